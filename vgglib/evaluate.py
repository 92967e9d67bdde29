"""From a trained net and images to class posteriors (Sect. 3.2)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from vgglib import devices
from vgglib.data.imageset import Split
from vgglib.experiments import AVERAGES, GRID, METHODS, PLACES, PRECISIONS
from vgglib.models import VGG

# Pixels in one forward pass: large enough to keep the cores busy, small enough for the memory of a laptop or of one
# GPU.
PIXELS_PER_BATCH = {"cpu": 1 << 18, "cuda": 1 << 23}
COMPILE_AFTER = 64  # passes of one shape: what comes less often is not worth some seconds of compilation


@torch.no_grad()  # in inference mode autocast would cast all weights anew at every pass
def posteriors(
    model: VGG,
    split: Split,
    mean_rgb: Tensor,
    method: str = "dense",
    flip: bool = True,
    average: str = "scores",
    precision: str = "fp32",
    report: Callable[[float], None] = lambda share: None,
    compiled: bool = False,
) -> np.ndarray:
    """Soft-max posteriors of images of any shapes, (N, classes) float32, in the order of the split.

    `split` is at the test scale Q already, on the model's device. `method` says where the net looks:

    - dense: at the whole image at once, its fully connected layers acting as convolutions;
    - multi-crop: at a regular 5 x 5 grid of crops over the whole image, each a forward pass of its own;
    - centre-crop: at one crop in the middle.

    `average` says how the positions of one image (cells of the score map, or crops) become one posterior: "scores"
    averages their scores before the soft-max, "posteriors" their posteriors after it. With `flip` the posteriors of
    image and mirror image are averaged. `precision` is "fp32", "bf16" or "auto", as `devices.precision` resolves it;
    on a GPU fp32 is exact from then on, see `devices.exact`. `report` is called after every pass with the share done,
    0 to 1. With `compiled` shapes of input that keep coming go through `torch.compile`: the same posteriors, to
    rounding. The model keeps the mode, training or testing, that it came with.
    Raises ValueError for an unknown method, average or precision, a split without images, and an image smaller than the
    net's crop.
    """
    settings = (("method", method, METHODS), ("average", average, AVERAGES), ("precision", precision, PRECISIONS))
    for name, value, known in settings:
        if value not in known:
            raise ValueError(f"unknown {name} {value!r}: choose {' or '.join(known)}.")
    if not len(split):
        raise ValueError("the split has 0 images: give at least one.")
    _check_side(split.smallest_side, model.input_size)
    where = split.device
    devices.exact(where)
    mean = mean_rgb.to(where)[:, None, None]
    if method == "dense":
        net, batches, passes = model.dense, _whole_images(split), 1
    else:
        places = PLACES[method]
        net, batches, passes = model, _crops(split, model.input_size, places), places**2
    if compiled:
        net = _compiled(net)
    result = torch.empty(len(split), model.head["fc8"].out_features, device=where)
    done = 0
    with _testing(model), devices.autocast(devices.precision(precision, where), where):
        for index, inputs in batches:
            scores = []
            for pixels in inputs:
                x = pixels - mean
                views = (x, x.flip(3)) if flip else (x,)
                scores.append(torch.stack([net(view).float().view(*result[index].shape, -1) for view in views], 3))
                done += len(index)
                report(done / (passes * len(split)))
            result[index] = _average(torch.cat(scores, 2), average)
    return result.cpu().numpy()


@contextmanager
def _testing(model: nn.Module) -> Iterator[None]:
    """The context in which dropout is off."""
    before = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(before)


def _check_side(pixels: int, size: int) -> None:
    if pixels < size:
        raise ValueError(
            f"an image has a side of {pixels} pixels, less than the crop of {size}: rescale to a larger Q."
        )


def _compiled(net: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """`net`, compiled for each shape of input from its `COMPILE_AFTER`th pass on, weights taken as constants."""
    torch._dynamo.reset()  # it compiles a function eight times at most, and every net before counts
    fast = torch.compile(net, dynamic=False, options={"freezing": True})
    passes: Counter[torch.Size] = Counter()

    def call(x: Tensor) -> Tensor:
        passes[x.shape] += 1
        return (fast if passes[x.shape] > COMPILE_AFTER else net)(x)

    return call


def _average(scores: Tensor, average: str) -> Tensor:
    """Scores (B, classes, positions, views) -> posteriors (B, classes); the views are the image and its mirror
    image.
    """
    if average == "scores":
        return scores.mean(2).softmax(1).mean(2)
    return scores.softmax(1).mean((2, 3))


def _whole_images(split: Split) -> Iterator[tuple[Tensor, Iterable[Tensor]]]:
    """Batches of images of one shape: (which images (B,), their passes through the net (B, 3, H, W)), here one pass."""
    for index, pixels in split.batches(PIXELS_PER_BATCH[split.device.type]):
        yield index, [pixels]


def _crops(split: Split, size: int, places: int) -> Iterator[tuple[Tensor, Iterable[Tensor]]]:
    """The same with a pass for each place of the grid; crops of images of any shapes have one size, so they stack."""
    steps = torch.arange(size, device=split.device)
    for index, part in split.parts(max(1, PIXELS_PER_BATCH[split.device.type] // size**2)):
        corners, own = _grid(part.sizes, size, places), torch.arange(len(part), device=part.device)
        rows, columns = (corners[:, side, :, None] + steps for side in (0, 1))
        yield index, (part.pixels_at(own, rows[:, i], columns[:, j]) for i in range(places) for j in range(places))


def grid(sides: Tensor, size: int, places: int = GRID) -> Tensor:
    """Where crops of `size` pixels begin along sides (...): (..., places), equally spaced from edge to edge, rounded;
    a single one lies in the middle. ValueError for a side that is shorter than the crop.
    """
    _check_side(int(sides.min()), size)
    return _grid(sides, size, places)


def _grid(sides: Tensor, size: int, places: int) -> Tensor:
    steps = torch.arange(places, device=sides.device) if places > 1 else torch.tensor([0.5], device=sides.device)
    return ((sides - size)[..., None] * steps / max(1, places - 1)).round().long()
