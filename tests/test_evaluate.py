import numpy as np
import pytest
import torch
from conftest import split_of

from vgglib.data.imageset import Split
from vgglib.evaluate import dense_posteriors
from vgglib.models import VGG, initialise

ZERO = torch.zeros(3)


@pytest.fixture
def model():
    return initialise(VGG("A", 4, 1 / 64, 32), "he-fan-out", seed=0).eval()


def random_split(shapes):
    rng = np.random.default_rng(0)
    return Split.of([rng.integers(0, 256, (*shape, 3), dtype=np.uint8) for shape in shapes], [0] * len(shapes))


def test_each_image_by_itself_gives_the_same_in_the_order_of_the_split(model):
    split = random_split([(64, 96), (70, 64), (64, 96), (64, 64)])
    together = dense_posteriors(model, split, ZERO)
    for i in range(len(split)):
        alone = dense_posteriors(model, split.subset([i]), ZERO)
        np.testing.assert_allclose(together[i], alone[0], rtol=1e-4)
    np.testing.assert_allclose(together.sum(1), 1, rtol=1e-5)


def test_scores_are_averaged_over_space_before_the_softmax(model):
    split = random_split([(64, 96)])
    x = split.image(0).permute(2, 0, 1)[None].float()
    with torch.inference_mode():
        scores = model.dense(x)
        assert scores.shape == (1, 4, 2, 3)
        expected = scores[0].flatten(1).mean(1).softmax(0)
    np.testing.assert_allclose(dense_posteriors(model, split, ZERO, flip=False)[0], expected, rtol=1e-4)


def test_flip_averages_posteriors_of_image_and_mirror_image(model):
    split = random_split([(64, 80)])
    mirrored = Split.of([split.image(0).flip(1).numpy()], [0])
    plain, other = (dense_posteriors(model, s, ZERO, flip=False) for s in (split, mirrored))
    both = [dense_posteriors(model, s, ZERO) for s in (split, mirrored)]
    np.testing.assert_allclose(both[0], (plain + other) / 2, rtol=1e-5)
    np.testing.assert_allclose(both[0], both[1], rtol=1e-5)  # mirroring twice changes nothing
    assert not np.allclose(plain, other, rtol=1e-4)


def test_the_mean_is_subtracted(model):
    # An image of the mean colour is an image of zeros: all biases are zero, so every class scores 0.
    split = split_of([[10, 20, 30]], [0], shapes=((64, 64),))
    posteriors = dense_posteriors(model, split, torch.tensor([10.0, 20.0, 30.0]))
    np.testing.assert_allclose(posteriors, 0.25, rtol=1e-6)


def test_dropout_is_off(model):
    split = random_split([(64, 64)])
    model.train()
    assert np.array_equal(dense_posteriors(model, split, ZERO), dense_posteriors(model, split, ZERO))


def test_an_image_smaller_than_the_crop_is_refused(model):
    with pytest.raises(ValueError, match="31 x 64 pixels is smaller than the crop of 32"):
        dense_posteriors(model, random_split([(31, 64)]), ZERO)
