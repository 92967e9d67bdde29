"""Which pixels a unit really uses: the effective receptive field of Luo et al. (2016, arXiv:1701.04128), measured as
the gradient of a unit with respect to the image.

The theoretical field (`receptive_field`) says which pixels can matter. Its outermost pixels reach a unit by few paths,
those in the middle by many, so most of the influence comes from a smaller region.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from vgglib import plans, receptive_field, results, weights
from vgglib.configs import Config, config
from vgglib.data import shapes
from vgglib.models import VGG, initialise
from vgglib.receptive_field import IMAGE, Field

MEASURED = ("conv", "pool")  # kinds of layers whose units are looked at, before any rectification


def pictures(count: int, side: int) -> Tensor:
    """Pictures of the `shapes` set to measure on: (count, 3, side, side) float32, a class after the other.

    They are drawn with a smallest side of `side` pixels and cropped to the centre. Their own mean colour is subtracted,
    in the place of the training set's. Raises ValueError for a side below 32.
    """
    labels = [number % len(shapes.CLASSES) for number in range(count)]
    drawn = [_centre(drawing.image, side) for drawing in shapes.draw(labels, range(count), side)]
    images = torch.from_numpy(np.stack(drawn)).permute(0, 3, 1, 2).float()
    return images - images.mean((0, 2, 3), keepdim=True)


def _centre(image: np.ndarray, side: int) -> np.ndarray:
    top, left = ((length - side) // 2 for length in image.shape[:2])
    return image[top : top + side, left : left + side]


def untrained(preset: str, nets: Iterable[str], seed: int = 0) -> dict[str, VGG]:
    """The nets as the preset's first training draws their weights, at its width; a start from net A is left aside.

    Raises ValueError for an unknown preset or net.
    """
    found = {}
    for net in nets:
        start = plans.first_stage(preset, net, seed).experiment
        model = VGG(net, width=start.width, input_size=start.crop)
        found[net] = initialise(model, start.initialisation, seed)
    return found


def trained(preset: str, nets: Iterable[str], seed: int = 0) -> dict[str, VGG]:
    """Those of the nets that have weights trained by the preset at S = 256, on the CPU; empty where none has.

    Raises ValueError for an unknown preset or net.
    """
    store, found = results.Store(), {}
    for net in nets:
        run = plans.first_stage(preset, net, seed)
        with suppress(weights.NotTrained):
            found[net] = weights.load(store, run)
    return found


def central(net: Config, layer: str, side: int) -> tuple[Field, int]:
    """A layer's field, and the index of its most central unit along a side of `side` pixels (of two, the second).

    Raises ValueError for a name that is not a convolution or pool of the net.
    """
    field, units = _places(net, layer, side)
    return field, units // 2


def _places(net: Config, layer: str, side: int) -> tuple[Field, int]:
    """A layer's field, and how many units it has along a side."""
    known = {
        found.name: (field, units)
        for found, field, units in receptive_field.fields(net, side)
        if found.kind in MEASURED
    }
    if layer not in known:
        raise ValueError(f"unknown layer {layer!r}: net {net.name} has {', '.join(known)}.")
    return known[layer]


def influence(model: VGG, layers: Sequence[str], images: Tensor, seed: int = 0) -> dict[str, np.ndarray]:
    """How much each pixel moves a layer's most central unit: layer -> (side, side) float64 that sums to 1.

    images: (N, 3, side, side) float32, the mean colour subtracted, on the model's device; any size from 32 pixels on.
    The channels of the unit are weighted with draws from N(0, 1), anew for each image, so that on average all of them
    count alike. The map is the squared gradient of this sum, averaged over images and colours. Units are taken before
    their own rectification: behind it, one that is off would have no gradient at all.

    Raises ValueError for a layer that is not a convolution or pool of the net, images that are not square, and a unit
    that nothing moves.
    """
    height, side = images.shape[-2:]
    if height != side:
        raise ValueError(f"the images have {height} x {side} pixels: take square ones.")
    units = {layer: central(model.config, layer, side)[1] for layer in layers}
    pixels = images.detach().clone().requires_grad_()
    scores = _scores(model, units, pixels, seed)
    return {layer: _energy(layer, scores[layer], pixels) for layer in layers}


def _scores(model: VGG, units: Mapping[str, int], pixels: Tensor, seed: int) -> dict[str, Tensor]:
    """layer -> the sum over the images of its unit's channels, each weighted by a draw that no other layer changes."""
    scores, x = {}, pixels
    for name, module in model.features.named_children():
        x = module(x)
        if name in units:
            draws = torch.randn(x.shape[:2], generator=torch.Generator().manual_seed(seed))
            scores[name] = (x[:, :, units[name], units[name]] * draws.to(x)).sum()
            if len(scores) == len(units):
                break
    return scores


def _energy(layer: str, score: Tensor, pixels: Tensor) -> np.ndarray:
    # The layers share one forward pass, which must outlive the first one's gradient.
    (gradient,) = torch.autograd.grad(score, pixels, retain_graph=True)
    energy = gradient.double().square().mean((0, 1)).cpu().numpy()
    total = energy.sum()
    if not 0 < total < np.inf:
        raise ValueError(
            f"the gradient of {layer} adds up to {total:g}: nothing moves this unit, or too much; take other images or "
            "other weights."
        )
    return energy / total


def width_px(influence: np.ndarray, centre: float, share: float = 0.95) -> int:
    """The side in pixels of the smallest square around a field's centre that holds `share` of the influence.

    influence: (side, side), such as one map of `influence`. centre: of the field, in pixels along both sides, as
    `Field.centre` gives it: a whole number is the centre of a pixel and the square's side is odd, a half lies between
    two pixels and the side is even. The square may reach over the image's edge, where nothing adds to it.
    Raises ValueError for another centre or share.
    """
    side = len(influence)
    if (2 * centre) % 1 or not 0 <= centre <= side - 1:
        raise ValueError(f"the centre {centre} is no whole or half pixel of an image of {side}: take Field.centre.")
    if not 0 < share <= 1:
        raise ValueError(f"share is {share}: it must be greater than 0 and at most 1.")
    distance = np.abs(np.arange(side) - centre)
    sides = (2 * np.maximum.outer(distance, distance) + 1).astype(int)  # of the smallest square that has the pixel
    held = np.bincount(sides.ravel(), weights=influence.ravel()).cumsum()
    return int(np.searchsorted(held, share * held[-1] * (1 - 1e-12)))  # the last bits are rounding


def measure(net: Config, maps: Mapping[str, np.ndarray], share: float = 0.95) -> pd.DataFrame:
    """One line for each map of `influence`: `layer`, `size_px` of the theoretical field, `effective_px`, the side of
    the square that holds `share` of the influence, and `ratio`, effective over theoretical.
    """
    lines = []
    for layer, found in maps.items():
        field, unit = central(net, layer, len(found))
        effective = width_px(found, field.centre(unit), share)
        lines.append(
            {"layer": layer, "size_px": field.size, "effective_px": effective, "ratio": effective / field.size}
        )
    return pd.DataFrame(lines)


def measure_nets(
    models: Mapping[str, VGG], images: Tensor, seed: int = 0
) -> tuple[pd.DataFrame, dict[str, dict[str, np.ndarray]]]:
    """The lines of `measure` for the pools of several nets, with the column `net` before them, and the nets' maps."""
    maps = {net: influence(model, _pools(model.config), images, seed) for net, model in models.items()}
    frames = [measure(models[net].config, found).assign(net=net) for net, found in maps.items()]
    lines = pd.concat(frames, ignore_index=True)
    return lines[["net", *lines.columns.drop("net")]], maps


def _pools(net: Config) -> list[str]:
    return [layer.name for layer in net.layers if layer.kind == "pool"]


def shown(lines: pd.DataFrame) -> pd.DataFrame:
    """Lines of `measure_nets` for readers: a line per layer, and for each net a column with the effective width beside
    the theoretical one, and their ratio.
    """
    texts = [f"{line.effective_px} of {line.size_px} ({100 * line.ratio:.0f} %)" for line in lines.itertuples()]
    wide = lines.assign(text=texts).pivot(index="layer", columns="net", values="text")
    return wide[lines["net"].unique()].rename_axis(index="Layer", columns=None).reset_index()


def outside_percent(net: Config, layer: str, width: int, side: int) -> float:
    """The mean share in percent of squares of `width` pixels around the centres of a layer's fields that lies outside
    an image of `side` pixels. With the field's own size it is that of `receptive_field.table`, with the effective width
    that of the part that a unit uses.

    Raises ValueError for an unknown layer, and a width that has no place around the centre: of the field's size, both
    are odd or both even.
    """
    field, units = _places(net, layer, side)
    if (field.size - width) % 2:
        raise ValueError(
            f"a square of {width} pixels has not the centre of a field of {field.size}: take an "
            f"{'even' if field.size % 2 == 0 else 'odd'} width."
        )
    square = Field(width, field.stride, field.padding - (field.size - width) // 2)
    return 100 * receptive_field.outside_share(square, units, side)


def stacks(most: int = 3) -> pd.DataFrame:
    """Stacks of 1 to `most` 3x3 convolutions (Sect. 2.3), one line each: `convs`, `field_px`, and the number of paths
    that lead from the field's `centre` pixel and from one in its `corner` to the unit, one channel counted.
    """
    lines, field, along = [], IMAGE, np.ones(1, int)
    for convs in range(1, most + 1):
        field = field.through(config("A").layers[0])
        along = np.convolve(along, np.ones(3, int))  # of paths along one side; those of a square are their products
        ways = {"centre": int(along[field.size // 2]) ** 2, "corner": int(along[0]) ** 2}
        lines.append({"convs": convs, "field_px": field.size, **ways})
    return pd.DataFrame(lines)
