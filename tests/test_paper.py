import pytest

from vgglib import paper
from vgglib.plans import plan


def test_an_install_without_the_repository_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr(paper, "FOLDER", tmp_path / "results" / "paper")
    paper._read.cache_clear()
    with pytest.raises(ValueError, match=r"results/paper does not exist: .* install vgglib from a clone of it"):
        paper.numbers()
    with pytest.raises(ValueError, match="from a clone"):
        plan("demo", "5x5")  # no plan, hence no record in a folder that nobody looks into


def test_numbers_may_be_changed_without_changing_them_for_others():
    first = paper.numbers()
    first.loc[0, "top1_val"] = 0.0
    assert paper.numbers()["top1_val"].iloc[0] == 29.6  # Table 3, net A
