import numpy as np
import pytest
from records import record

from vgglib import answered, files
from vgglib.answered import Answered, Reading
from vgglib.experiments import runs
from vgglib.plans import plan
from vgglib.results import Store

RUNS = runs(plan("smoke", "3", ["A", "B"], [0]))
LABELS = np.array([0, 1, 2, 3])
# Right; a tie, which counts as wrong; the true class second; the true class last.
POSTERIORS = np.array(
    [
        [0.7, 0.1, 0.1, 0.0, 0.0, 0.0, 0.1],
        [0.1, 0.4, 0.1, 0.4, 0.0, 0.0, 0.0],
        [0.5, 0.0, 0.3, 0.2, 0.0, 0.0, 0.0],
        [0.2, 0.2, 0.2, 0.0, 0.1, 0.1, 0.2],
    ]
)


def the_same(one, other):
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in Answered.__dataclass_fields__)


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setattr(answered, "WORTH_KEEPING", 2 * POSTERIORS.size)
    own = Store(tmp_path)
    for number, run in enumerate(RUNS):
        written(own, run, np.roll(POSTERIORS, number, 0))
    return own


def written(store, run, posteriors, labels=LABELS):
    sizes = {"n_images": len(labels), "n_classes": posteriors.shape[1]}
    store.write(run, record(run, **sizes), posteriors.astype(np.float16), labels)


def test_answers_by_pencil():
    found = Answered.of(POSTERIORS, LABELS)
    assert found.missed.tolist() == [False, True, True, True] and found.top1_error_percent == 75
    assert found.missed_top5.tolist() == [False, False, False, True] and found.top5_error_percent == 25
    assert found.choice.tolist() == [0, 3, 0, 0] and found.confidence.tolist() == [0.7, 0.4, 0.5, 0.2]
    assert found.truth.tolist() == [0.7, 0.4, 0.3, 0.0]


def test_blocks_of_images_come_to_the_same_as_all_at_once(store, monkeypatch):
    whole = Reading(store, RUNS).answered(RUNS[:1], "they")
    for numbers, images in ((1, 1), (15, 2), (21, 3), (28, 4)):
        monkeypatch.setattr(answered, "BLOCK", numbers)
        assert next(iter(answered.blocks(POSTERIORS))) == slice(0, images)
        assert the_same(Reading(store, RUNS).answered(RUNS[:1], "they"), whole)


def test_what_was_much_work_is_kept_under_the_digests_of_its_posteriors(store):
    reading = Reading(store, RUNS)
    reading.answered(RUNS[:1], "they")
    folder = store.answered_path("smoke", "any").parent
    assert not folder.exists()  # one net alone is little work
    found = reading.answered(RUNS, "they")
    (path,) = folder.iterdir()
    for run in RUNS:
        store.posteriors_path(run).rename(store.posteriors_path(run).with_suffix(".away"))
    assert the_same(Reading(store, RUNS).answered(RUNS[::-1], "they"), found)  # a mean, in any order
    with pytest.raises(ValueError, match="are missing"):
        Reading(store, RUNS).answered(RUNS[:1], "they")
    for run in RUNS:
        store.posteriors_path(run).with_suffix(".away").rename(store.posteriors_path(run))
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    assert reading.kept(RUNS) is None
    assert the_same(Reading(store, RUNS).answered(RUNS, "they"), found)
    assert the_same(reading.kept(RUNS), found)  # the damaged file is mended
    for place in range(0, len(whole), 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        assert (kept := reading.kept(RUNS)) is None or the_same(kept, found)
    written(store, RUNS[1], POSTERIORS)
    assert not the_same(Reading(store, RUNS).answered(RUNS, "they"), found)


def test_what_was_little_work_is_known_while_its_posteriors_stay_as_they_are(store, monkeypatch):
    first = Reading(store, RUNS).answered(RUNS[:1], "they")
    assert Reading(store, RUNS).answered(RUNS[:1], "they") is not first  # they may have changed a moment ago
    monkeypatch.setattr(files, "SETTLED_SECONDS", 0)
    known = Reading(store, RUNS).answered(RUNS[:1], "they")
    assert Reading(store, RUNS).answered(RUNS[:1], "they") is known and the_same(known, first)
    with pytest.raises(ValueError, match="read-only"):
        known.missed[0] = True
    written(store, RUNS[0], np.roll(POSTERIORS, 1, 1))
    assert not the_same(Reading(store, RUNS).answered(RUNS[:1], "they"), known)
    store.posteriors_path(RUNS[0]).write_bytes(b"damaged")
    with pytest.raises(ValueError, match="damaged"):
        Reading(store, RUNS).answered(RUNS[:1], "they")


def test_a_folder_that_cannot_be_written_costs_time_and_nothing_else(store):
    store.answered_path("smoke", "any").parent.write_text("in the way")
    found = Reading(store, RUNS).answered(RUNS, "they")
    assert the_same(
        found,
        Answered.of(
            (POSTERIORS.astype(np.float16) + np.roll(POSTERIORS, 1, 0).astype(np.float16).astype(float)) / 2, LABELS
        ),
    )


def test_posteriors_are_read_once_as_far_as_memory_allows(store, monkeypatch):
    read = []
    own = Store.posteriors_of
    monkeypatch.setattr(Store, "posteriors_of", lambda *given: read.append(given[1]) or own(*given))
    reading = Reading(store, RUNS)
    for tested in (RUNS[:1], RUNS[1:], RUNS[:1]):
        reading.answered(tested, "they")
    assert read == RUNS
    read.clear()
    monkeypatch.setattr(answered, "HELD_BYTES", 2 * POSTERIORS.size)
    reading = Reading(store, RUNS)
    for tested in (RUNS[:1], RUNS[1:], RUNS[:1]):
        reading.answered(tested, "they")
    assert read == [RUNS[0], RUNS[1], RUNS[0]]


def test_other_images_are_refused(store):
    written(store, RUNS[1], POSTERIORS, LABELS[::-1])
    with pytest.raises(ValueError, match=r"^the two saw different images: keep the records"):
        Reading(store, RUNS).answered(RUNS, "the two")


def test_images_of_another_digest_are_refused_even_with_equal_labels(store):
    for run, digest in zip(RUNS, (64 * "a", 64 * "b"), strict=True):
        environment = record(run)["environment"] | {"data_sha256": digest}
        store.write(run, record(run, environment=environment), POSTERIORS, LABELS)
        Reading(store, RUNS[:1])
    with pytest.raises(
        ValueError, match=r"digest a{12}\) and .* \(digest b{12}\) in .* saw different images: keep the"
    ):
        Reading(store, RUNS)
