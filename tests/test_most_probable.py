import numpy as np
import pytest
from records import RUN, record

from vgglib.metrics import wrong
from vgglib.most_probable import KEPT, WHOLE, restored, shortened
from vgglib.results import REPOSITORY


def test_the_most_probable_classes_by_pencil():
    posteriors = np.array([[0.125, 0.5, 0.125, 0.25, 0.0], [0.25, 0.25, 0.125, 0.125, 0.25]], np.float16)
    largest, classes = shortened(posteriors, 2)
    assert largest.tolist() == [[0.5, 0.25], [0.25, 0.25]] and largest.dtype == np.float16
    assert classes.tolist() == [[1, 3], [0, 1]] and classes.dtype == np.int16
    # A quarter is left for three classes, and a half: more than the least that was kept would be no order any more.
    third = np.float16(0.25 / 3)
    assert restored(largest, classes, 5).tolist() == [
        [third, 0.5, third, 0.25, third],
        [0.25, 0.25, np.float16(0.5 / 3), np.float16(0.5 / 3), np.float16(0.5 / 3)],
    ]


def test_what_rounding_has_lost_lifts_no_class_above_one_that_was_kept():
    largest, classes = np.array([[0.875, 0.0]], np.float16), np.array([[2, 0]], np.int16)
    assert restored(largest, classes, 4).tolist() == [[0.0, 0.0, 0.875, 0.0]]
    more_than_one = np.array([[0.75, 0.5]], np.float16)
    assert restored(more_than_one, classes, 4).tolist() == [[0.5, 0.0, 0.75, 0.0]]


@pytest.mark.parametrize("sharpness", [0, 0.01, 1, 3, 30])
def test_the_error_is_what_it_was(sharpness):
    rng = np.random.default_rng(0)
    scores = sharpness * rng.normal(size=(400, 100))
    posteriors = np.exp(scores - scores.max(1, keepdims=True))
    posteriors = (posteriors / posteriors.sum(1, keepdims=True)).astype(np.float16)
    labels = np.where(rng.random(400) < 0.5, scores.argsort(1)[:, -rng.integers(1, 9)], rng.integers(0, 100, 400))
    found = restored(*shortened(posteriors), 100)
    for k in (1, 5, KEPT - 1):
        assert np.array_equal(wrong(found, labels, k), wrong(posteriors, labels, k))
    assert np.array_equal(restored(*shortened(found), 100), found)


def test_posteriors_of_many_classes_are_stored_short_and_read_whole(store):
    rng = np.random.default_rng(0)
    for classes, names in ((WHOLE, {"posteriors", "labels"}), (WHOLE + 1, {"posteriors", "classes", "labels"})):
        own = rng.dirichlet(np.ones(classes), 3).astype(np.float16)
        labels = np.arange(3, dtype=np.int16)
        store.write(RUN, record(n_images=3, n_classes=classes), own, labels)
        with np.load(store.posteriors_path(RUN)) as file:
            assert set(file) == names and file["posteriors"].shape == (3, KEPT if "classes" in names else classes)
        found, found_labels = store.posteriors(RUN)
        assert found.shape == own.shape and found.dtype == np.float16 and np.array_equal(found_labels, labels)
        assert np.array_equal(found, own) == (classes == WHOLE)
        assert np.array_equal(np.sort(found, 1)[:, -KEPT:], np.sort(own, 1)[:, -KEPT:])


@pytest.mark.parametrize("page", ["book/deviations.md", "results/README.md"])
def test_pages_name_the_numbers_of_classes(page):
    text = (REPOSITORY / page).read_text()
    assert f"of more than {WHOLE} classes" in text.lower() and f"only the {KEPT} most probable of each image" in text


def test_the_digest_vouches_for_the_classes_too(store):
    own = np.random.default_rng(0).dirichlet(np.ones(100), 3).astype(np.float16)
    labels = np.arange(3, dtype=np.int16)
    store.write(RUN, record(n_images=3, n_classes=100), own, labels)
    with np.load(store.posteriors_path(RUN)) as file:
        arrays = dict(file)
    np.savez_compressed(store.posteriors_path(RUN), **arrays | {"classes": arrays["classes"][:, ::-1]})
    with pytest.raises(ValueError, match="do not match their record"):
        store.posteriors(RUN)
