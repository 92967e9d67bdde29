import json
import os

import numpy as np
import pytest

from vgglib.experiments import as_dict, plan
from vgglib.results import FIELDS, PAPER, Store, paper

RUN = plan("smoke", "3", ["A"], [0])[0]


def record(run=RUN, **changes):
    usual = dict.fromkeys(FIELDS)
    usual |= {"schema": 1, "run_id": run.run_id, "preset": run.preset, "status": "done", "seed": run.experiment.seed}
    usual |= {"experiment": as_dict(run.experiment), "protocol": as_dict(run.protocol), "split": "val"}
    usual |= {"n_images": 200, "n_classes": 24, "top1_error_percent": 50.0, "top5_error_percent": 20.0, "history": []}
    return {key: value for key, value in (usual | changes).items() if key != "digest"}


POSTERIORS, LABELS = np.eye(3, dtype=np.float16), np.arange(3, dtype=np.int16)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def test_what_was_written_is_read(store):
    written = store.write(RUN, record(), POSTERIORS, LABELS)
    assert store.read(RUN) == written
    posteriors, labels = store.posteriors(RUN)
    assert np.array_equal(posteriors, POSTERIORS) and np.array_equal(labels, LABELS)
    assert not list(store.root.rglob("*.tmp"))


def test_a_run_without_a_record_is_none(store):
    assert store.read(RUN) is None
    assert store.rows([RUN])["status"].tolist() == ["not run"]
    with pytest.raises(ValueError, match="no posteriors of A_S256_seed0_dense_Q256"):
        store.posteriors(RUN)


@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda text: text.replace("50.0", "40.0"), "was changed after it was written"),
        (lambda text: text.replace('"schema": 1', '"schema": 0'), "has schema 0 where this version reads 1"),
        (lambda text: text.replace('"split"', '"part"'), r"foreign fields \(part, split\)"),
        (lambda text: text[:100], "is not JSON"),
        (lambda text: "[]", "has schema None"),
    ],
)
def test_a_damaged_record_is_refused_by_name(store, damage, message):
    store.write(RUN, record())
    path = store.record_path(RUN)
    path.write_text(damage(path.read_text()))
    with pytest.raises(ValueError, match=message) as refusal:
        store.read(RUN)
    assert str(path) in str(refusal.value)


def test_a_record_of_other_settings_is_refused(store):
    store.write(RUN, record(experiment=as_dict(RUN.experiment) | {"epochs": 99}))
    with pytest.raises(ValueError, match=r"epochs was 99 and is 2"):
        store.read(RUN)


def test_posteriors_that_do_not_match_their_record_are_refused(store):
    store.write(RUN, record(), POSTERIORS, LABELS)
    np.savez_compressed(store.posteriors_path(RUN), posteriors=POSTERIORS[::-1], labels=LABELS)
    with pytest.raises(ValueError, match="do not match their record"):
        store.posteriors(RUN)


def test_damaged_posteriors_are_refused(store):
    store.write(RUN, record(), POSTERIORS, LABELS)
    store.posteriors_path(RUN).write_bytes(store.posteriors_path(RUN).read_bytes()[:50])
    with pytest.raises(ValueError, match=r"the posteriors .* are damaged"):
        store.posteriors(RUN)


def test_what_a_killed_writer_left_is_swept_once_it_is_old(store):
    store.check_writable("smoke")
    leftovers = [store.root / "smoke" / "runs" / f".{name}.json.x.tmp" for name in ("old", "new")]
    for path in leftovers:
        path.write_text("half")
    os.utime(leftovers[0], (0, 0))
    store.check_writable("smoke")
    assert [path.exists() for path in leftovers] == [False, True]


def test_a_failed_write_leaves_the_old_record(store, monkeypatch):
    store.write(RUN, record())
    before = store.record_path(RUN).read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match=r"No space left on device, while writing .*make room"):
        store.write(RUN, record(top1_error_percent=1.0))
    assert store.record_path(RUN).read_bytes() == before
    assert [path.name for path in store.record_path(RUN).parent.iterdir()] == [f"{RUN.run_id}.json"]


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"file/smoke cannot be written.*--results"):
        Store(tmp_path / "file").check_writable("smoke")


def test_numbers_that_json_lacks_are_refused(store):
    with pytest.raises(ValueError, match="not JSON compliant"):
        store.write(RUN, record(top1_error_percent=float("nan")))
    assert store.read(RUN) is None


def test_the_papers_table_3():
    table = paper()[lambda rows: rows["table"] == 3]
    assert len(table) == 12
    assert table.iloc[0][["net", "train_scale", "top1_val", "top5_val"]].tolist() == ["A", "256", 29.6, 10.4]
    assert {path.name for path in PAPER.glob("*.csv")} >= {"classification.csv", "parameters.csv"}


def test_committed_records_are_whole():
    for path in PAPER.parent.glob("*/runs/*.json"):
        found = json.loads(path.read_text())
        from vgglib.results import _check

        _check(found, path)
        assert found["status"] in ("done", "failed")
        assert found["environment"]["data_sha256"] and found["environment"]["torch"]
