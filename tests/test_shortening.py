import numpy as np
import pytest
from records import put

from vgglib import show
from vgglib.analysis import shortening
from vgglib.display import follow_ups
from vgglib.plans import plan

# Image 0: each net has another class first and class 2 second, which all classes make the first of their mean, and of
# which nothing is known where each net keeps its first class alone. Image 1: both nets say the same.
FIRST = [[0.5, 0.0, 0.4, 0.1], [0.1, 0.7, 0.1, 0.1]]
SECOND = [[0.0, 0.5, 0.4, 0.1], [0.1, 0.7, 0.1, 0.1]]
LABELS = [2, 1]


@pytest.fixture
def pairs(store):
    entries = plan("smoke", "3", ["A", "B", "C"], [0, 1], ["256"])
    for net, seed, own in (("A", 0, FIRST), ("B", 0, SECOND), ("C", 1, FIRST)):
        put(store, [entry for entry in entries if (entry.net, entry.seed) == (net, seed)], own, labels=LABELS)
    return store


def test_a_pair_by_pencil(pairs):
    found = shortening.rows(pairs, "smoke", kept=1)
    assert found.to_numpy().tolist() == [
        ["A and B", 0, 1, 0.0, 50.0, 50.0],
        ["A and B", 0, 5, 0.0, 0.0, 0.0],
    ]
    (first, _) = shortening.summary(found).to_dict("records")
    assert first == {
        **{"Error (%)": "top-1", "Pairs": "1", "All classes": "0.00", "Most probable ones": "50.00"},
        **{"Difference (points)": "+50.000", "Largest": "50.00", "Images that change sides (%)": "50.00"},
    }
    assert shortening.rows(pairs, "smoke", kept=3)["changed"].tolist() == [0, 0]


def test_posteriors_that_are_stored_short_say_nothing_of_it(store):
    entries = plan("smoke", "3", ["A", "B"], [0], ["256"])
    put(store, entries, np.full((2, 100), 0.01))
    assert shortening.rows(store, "smoke").empty


def test_the_page_says_what_is_missing(pairs, store, monkeypatch):
    shown = []
    monkeypatch.setenv("VGG_RESULTS", str(store.root))
    for way in ("sentence", "table"):
        monkeypatch.setattr(show, way, lambda *given: shown.append(given))
    follow_ups.shortening_of("smoke")
    assert len(shown[-1][0]) == 2 and "the 20 most probable" in shown[-1][1]
    follow_ups.shortening_of("demo")
    assert "Preset demo has no records of two nets of one seed" in shown[-1][0]
