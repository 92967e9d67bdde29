from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import split_of
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from vgglib import devices, evaluate
from vgglib.configs import config
from vgglib.data.imageset import Split
from vgglib.evaluate import grid, posteriors
from vgglib.models import VGG, initialise

ZERO = torch.zeros(3)


@pytest.fixture
def model():
    return initialise(VGG("A", 4, 1 / 64, 32), "he-fan-out", seed=0).eval()


def two_blocks(seed):
    """Net A up to its second pool: what takes long to compile are its layers."""
    net = replace(config("A"), blocks=config("A").blocks[:2])
    return initialise(VGG(net, 4, 1 / 64, 32), "he-fan-out", seed).eval()


def random_split(shapes):
    rng = np.random.default_rng(0)
    return Split.of([rng.integers(0, 256, (*shape, 3), dtype=np.uint8) for shape in shapes], [0] * len(shapes))


BOTH = pytest.mark.parametrize("method", ["dense", "multi-crop"])


class LeftColumn(nn.Module):
    """Takes crops of 2 x 2 pixels; its two scores are the mean red of their left column, and zero."""

    input_size = 2

    def __init__(self):
        super().__init__()
        self.head = nn.ModuleDict({"fc8": nn.Linear(1, 2)})

    def forward(self, x):
        assert x.shape[1:] == (3, 2, 2)
        return self.dense(x)[:, :, 0, 0]

    def dense(self, x):
        left = x[:, :1, ::2, :-1:2] / 2 + x[:, :1, 1::2, :-1:2] / 2
        return torch.cat([left, torch.zeros_like(left)], 1)


# 2 x 6 pixels. Crops begin at columns 0, 1, 2, 3, 4 (five times, as there is one row of them), cells at 0, 2, 4.
STRIP = Split.of([np.broadcast_to(np.array([0, 0, 1, 1, 4, 6], np.uint8)[None, :, None], (2, 6, 3))], [0])
SEEN = {  # what the left column holds at each position, in the image and in its mirror image
    "multi-crop": ([0, 0, 1, 1, 4], [0, 1, 1, 4, 6]),
    "dense": ([0, 1, 4], [0, 1, 6]),
}


def logistic(x):
    return 1 / (1 + np.exp(-np.array(x, float)))


@BOTH
def test_positions_are_averaged_as_scores_or_as_posteriors(method):
    for average, expected in (
        ("scores", [logistic(np.mean(seen)) for seen in SEEN[method]]),
        ("posteriors", [logistic(seen).mean() for seen in SEEN[method]]),
    ):
        plain = posteriors(LeftColumn(), STRIP, ZERO, method, flip=False, average=average)
        np.testing.assert_allclose(plain, [[expected[0], 1 - expected[0]]], rtol=1e-5)
        flipped = posteriors(LeftColumn(), STRIP, ZERO, method, average=average)
        np.testing.assert_allclose(flipped[0, 0], np.mean(expected), rtol=1e-5)


@pytest.mark.parametrize(
    "side, crop, expected",
    [(10, 2, [0, 2, 4, 6, 8]), (5, 5, [0] * 5), (38, 32, [0, 2, 3, 4, 6]), (341, 224, [0, 29, 58, 88, 117])],
)
def test_the_grid_is_regular_from_edge_to_edge(side, crop, expected):
    assert grid(torch.tensor([[side, crop]]), crop).tolist() == [[expected, [0] * 5]]


def test_a_grid_larger_than_the_image_is_refused():
    with pytest.raises(ValueError, match="an image has a side of 31 pixels, less than the crop of 32: rescale"):
        grid(torch.tensor([[40, 32], [31, 50]]), 32)


def test_the_centre_crop_is_one_pass_over_the_middle():
    assert grid(torch.tensor([[10, 5, 6, 7]]), 2, 1).tolist() == [[[4], [2], [2], [2]]]  # 1.5 and 2.5 become 2
    shades = np.arange(8, dtype=np.uint8)[None, :, None] * np.ones((2, 1, 3), np.uint8)
    split, done = Split.of([shades], [0]), []
    found = posteriors(LeftColumn(), split, ZERO, "centre-crop", flip=False, report=done.append)
    np.testing.assert_allclose(found[0, 0], logistic(3), rtol=1e-5)  # columns 3 and 4 of 0 ... 7
    flipped = posteriors(LeftColumn(), split, ZERO, "centre-crop")
    np.testing.assert_allclose(flipped[0, 0], (logistic(3) + logistic(4)) / 2, rtol=1e-5)
    assert done == [1.0]


def test_multi_crop_is_the_average_of_a_forward_pass_per_crop(model):
    split = random_split([(40, 52)])
    x = split.image(0).permute(2, 0, 1)[None].float()
    with torch.inference_mode():
        scores = torch.cat([model(x[..., r : r + 32, c : c + 32]) for r in range(0, 9, 2) for c in range(0, 21, 5)])
    found = posteriors(model, split, ZERO, "multi-crop", flip=False)
    np.testing.assert_allclose(found[0], scores.mean(0).softmax(0), rtol=1e-4)


@BOTH
def test_an_image_of_the_size_of_the_crop_gives_one_forward_pass(model, method):
    split = random_split([(32, 32)])
    with torch.inference_mode():
        expected = model(split.image(0).permute(2, 0, 1)[None].float()).softmax(1)
    for average in ("scores", "posteriors"):
        found = posteriors(model, split, ZERO, method, flip=False, average=average)
        np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_dense_sees_the_neighbourhood_where_crops_are_padded(model):
    # 64 pixels and crops of 32 in steps of 8: the four cells of the score map are crops of the grid but for padding.
    split = random_split([(64, 64)])
    dense, crops = (posteriors(model, split, ZERO, method, flip=False) for method in ("dense", "multi-crop"))
    assert not np.allclose(dense, crops, rtol=1e-3)


@BOTH
def test_each_image_by_itself_gives_the_same_in_the_order_of_the_split(model, method, monkeypatch):
    monkeypatch.setitem(evaluate.PIXELS_PER_BATCH, "cpu", 2 * 64 * 64)  # two images or eight crops a pass
    split = random_split([(64, 96), (70, 64), (64, 96), (64, 64)] * 3)
    together = posteriors(model, split, ZERO, method)
    for i in range(len(split)):
        alone = posteriors(model, split.subset([i]), ZERO, method)
        np.testing.assert_allclose(together[i], alone[0], rtol=1e-4)
    np.testing.assert_allclose(together.sum(1), 1, rtol=1e-5)


def test_scores_are_averaged_over_space_before_the_softmax(model):
    split = random_split([(64, 96)])
    x = split.image(0).permute(2, 0, 1)[None].float()
    with torch.inference_mode():
        scores = model.dense(x)
        assert scores.shape == (1, 4, 2, 3)
        expected = scores[0].flatten(1).mean(1).softmax(0)
    np.testing.assert_allclose(posteriors(model, split, ZERO, flip=False)[0], expected, rtol=1e-4)


@BOTH
def test_flip_averages_posteriors_of_image_and_mirror_image(model, method):
    split = random_split([(64, 80)])
    mirrored = Split.of([split.image(0).flip(1).numpy()], [0])
    plain, other = (posteriors(model, s, ZERO, method, flip=False) for s in (split, mirrored))
    both = [posteriors(model, s, ZERO, method) for s in (split, mirrored)]
    np.testing.assert_allclose(both[0], (plain + other) / 2, rtol=1e-5)
    np.testing.assert_allclose(both[0], both[1], rtol=1e-5)  # mirroring twice changes nothing
    assert not np.allclose(plain, other, rtol=1e-4)


def test_the_mean_is_subtracted(model):
    # An image of the mean colour is an image of zeros: all biases are zero, so every class scores 0.
    split = split_of([[10, 20, 30]], [0], shapes=((64, 64),))
    found = posteriors(model, split, torch.tensor([10.0, 20.0, 30.0]))
    np.testing.assert_allclose(found, 0.25, rtol=1e-6)


def test_dropout_is_off(model):
    split = random_split([(64, 64)])
    model.train()
    assert np.array_equal(posteriors(model, split, ZERO), posteriors(model, split, ZERO))


@pytest.mark.parametrize("training", [True, False])
def test_the_model_keeps_its_mode(model, training):
    split = random_split([(64, 64)])
    model.train(training)
    posteriors(model, split, ZERO)
    assert model.training == training

    def stop(share):
        assert not model.training
        raise InterruptedError

    with pytest.raises(InterruptedError):
        posteriors(model, split, ZERO, report=stop)
    assert model.training == training


def test_fp32_on_a_gpu_is_made_exact(model, monkeypatch):
    heard = []
    monkeypatch.setattr(devices, "exact", heard.append)
    posteriors(model, random_split([(32, 32)]), ZERO)
    assert heard == [torch.device("cpu")]


def test_auto_is_the_precision_of_the_device(model):
    split = random_split([(64, 64)])
    auto, bf16, fp32 = (posteriors(model, split, ZERO, precision=name) for name in ("auto", "bf16", "fp32"))
    assert np.array_equal(auto, bf16) and not np.array_equal(auto, fp32)


@BOTH
def test_an_image_smaller_than_the_crop_is_refused(model, method):
    with pytest.raises(ValueError, match="a side of 31 pixels, less than the crop of 32"):
        posteriors(model, random_split([(64, 64), (31, 64)]), ZERO, method)


@BOTH
def test_a_split_without_images_is_refused(model, method):
    nothing = np.empty((0, 3), np.uint8), np.empty((0, 2)), np.empty(0)
    with pytest.raises(ValueError, match="the split has 0 images: give at least one"):
        posteriors(model, Split.from_numpy(*nothing), ZERO, method)


@pytest.mark.parametrize("name, value", [("method", "center-crop"), ("average", "logits"), ("precision", "fp16")])
def test_an_unknown_setting_is_refused(model, name, value):
    with pytest.raises(ValueError, match=f"unknown {name} '{value}': choose "):
        posteriors(model, random_split([(32, 32)]), ZERO, **{name: value})


@BOTH
def test_the_share_done_rises_to_one(model, method):
    shares = []
    posteriors(model, random_split([(32, 40), (40, 32)]), ZERO, method, report=shares.append)
    passes = {"dense": 2, "multi-crop": 25}[method]
    assert shares == [done / passes for done in range(1, passes + 1)]


class Casts(TorchDispatchMode):
    """Counts casts of tensors of a weight's shape."""

    def __init__(self, model):
        super().__init__()
        self.shapes, self.count = {weight.shape for weight in model.parameters()}, 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += function is torch.ops.aten._to_copy.default and args[0].shape in self.shapes
        return function(*args, **(kwargs or {}))


@BOTH
def test_weights_are_cast_once_for_all_passes(model, method, monkeypatch):
    monkeypatch.setattr(devices, "multiplies_bf16", lambda where: True)
    counts = []
    for images in (1, 6):
        split = split_of([[90, 60, 30 * number] for number in range(images)], [0] * images, ((64, 64 + 4 * images),))
        with Casts(model) as casts:
            posteriors(model, split, torch.zeros(3), method, precision="bf16")
        counts.append(casts.count)
    assert counts[0] == counts[1] == len(list(model.parameters()))


@BOTH
@pytest.mark.skipif(not devices.compiles(torch.device("cpu")), reason="no C++ compiler or no headers of Python")
def test_compiled_passes_give_the_same_posteriors(method, monkeypatch):
    monkeypatch.setattr(evaluate, "COMPILE_AFTER", 1)
    compiled = []
    original = torch.compile
    monkeypatch.setattr(torch, "compile", lambda net, **how: compiled.append(how) or original(net, **how))
    split = random_split([(40, 40)] * 3)
    for net in map(two_blocks, (0, 1)):
        plain, fast = (posteriors(net, split, ZERO, method, compiled=yes) for yes in (False, True))
        np.testing.assert_allclose(fast, plain, rtol=1e-4)
    assert len(compiled) == 2


@pytest.mark.skipif(not devices.compiles(torch.device("cpu")), reason="no C++ compiler or no headers of Python")
def test_what_was_compiled_before_does_not_count(monkeypatch):
    """PyTorch compiles one function so many times and then silently gives up, or fails as it is told to here."""
    monkeypatch.setattr(evaluate, "COMPILE_AFTER", 0)
    model = two_blocks(0)
    with torch._dynamo.config.patch(recompile_limit=1, fail_on_recompile_limit_hit=True):
        for side in (32, 64):
            split = random_split([(side, side)])
            fast = posteriors(model, split, ZERO, flip=False, compiled=True)
            np.testing.assert_allclose(fast, posteriors(model, split, ZERO, flip=False), rtol=1e-4)
