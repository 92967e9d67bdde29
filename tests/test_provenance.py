from vgglib.provenance import commit


def test_a_copy_without_its_repository_can_be_told_its_commit(monkeypatch):
    monkeypatch.setenv("VGG_COMMIT", "0123abcd")
    assert commit() == {"commit": "0123abcd", "dirty": None}
    monkeypatch.delenv("VGG_COMMIT")
    assert commit()["commit"] != "0123abcd"
