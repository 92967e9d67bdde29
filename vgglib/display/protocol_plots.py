"""The protocol of Sect. 3 in pictures: what S does to a training image, what augmentation makes of it, where a net
looks at test time, and what a dense pass says cell by cell. All of it is drawn with what trains and tests the nets.
"""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from torch import Tensor

from vgglib import augment, evaluate, receptive_field
from vgglib.configs import config
from vgglib.data.imageset import ImageSet
from vgglib.data.resample import rescale
from vgglib.display.pictures import SCALES, Tested, score_map
from vgglib.experiments import CROP, JITTER
from vgglib.models import VGG

METHODS = ("dense", "multi-crop")  # of the paper
MOST_NUMBERS = 200  # written into a map: more are too small to read, and take minutes to lay out
# With a white rim, since a photograph has all colours.
FRAME = {
    "edgecolor": sns.color_palette("colorblind")[3],
    "linewidth": 2,
    "fill": False,
    "path_effects": [withStroke(linewidth=4, foreground="white")],
}


def training_scales(image: Tensor, scales: Sequence[int] = SCALES, crop: int = CROP) -> Figure:
    """An image rescaled to each S (Sect. 3.1), rising, all drawn to one scale, with the central crop; below, what the
    crops show.
    """
    figure = plt.figure(figsize=(5.1, 3.1), layout="constrained")
    places = figure.add_gridspec(2, len(scales), height_ratios=(3, 2))
    above, left = _empty(figure.add_subplot(places[0, :])), 0
    for number, scale in enumerate(scales):
        rescaled = rescale(image, scale)
        height, width = rescaled.shape[:2]
        corner = ((width - crop) // 2, (height - crop) // 2)
        # All stand on one line, an eighth of the crop apart.
        above.imshow(rescaled.numpy(), extent=(left, left + width, 0, height))
        frame_corner = (left + corner[0], height - corner[1] - crop)
        above.add_patch(Rectangle(frame_corner, crop, crop, **FRAME))
        above.text(left + width / 2, height + crop / 12, f"S = {scale}", ha="center", fontsize="medium")
        left += width + crop // 8
        below = _empty(figure.add_subplot(places[1, number]))
        below.imshow(rescaled[corner[1] : corner[1] + crop, corner[0] : corner[0] + crop].numpy())
        below.set_title(f"{100 * crop**2 / (height * width):.0f} % of it", fontsize="medium")
    above.set_xlim(0, left - crop // 8)
    above.set_ylim(0, height + crop / 3)  # of the last one, and its title
    return figure


def training_crops(images: ImageSet, seed: int = 0, columns: int = 5, crop: int = CROP) -> Figure:
    """Crops of the first training image as training makes them, the mean colour added again: a line
    each for S = 256, S = 384 and S drawn from [256; 512] (Sect. 3.1). All depends on `seed` alone.
    """
    low, high = JITTER
    jittered = f"S in\n[{low}; {high}]"
    lines = {"S =\n256": (256, None), "S =\n384": (384, None), jittered: (None, JITTER)}
    size = (0.8 + 0.85 * columns, 0.88 * len(lines))
    figure, panels = plt.subplots(len(lines), columns, figsize=size, squeeze=False, layout="constrained")
    for number, (places, (title, (fixed, drawn))) in enumerate(zip(panels, lines.items(), strict=True)):
        split = images.train.rescaled(fixed) if fixed else images.train
        index = torch.zeros(columns, dtype=torch.long)
        draws = augment.draw(images, split, index, crop, augment.generator(seed, number), drawn)
        ((_, crops),) = split.crops([draws], crop)
        batch = augment.net_input(crops, draws.shift, images.mean_rgb)
        batch = (batch + images.mean_rgb[:, None, None]).round().clamp(0, 255).byte()
        for axes, pixels in zip(places, batch, strict=True):
            _empty(axes).imshow(pixels.permute(1, 2, 0).numpy())
        places[0].set_ylabel(title, rotation=0, ha="right", va="center", fontsize="medium")
    return figure


def colour_shifts(images: ImageSet) -> list[float]:
    """The standard deviation of the colour shift (Sect. 3.1) in red, green and blue, in grey levels."""
    # Each channel is a sum of independent draws, one for each component.
    return (augment.COLOUR_SD * images.rgb_components.square().sum(1).sqrt()).tolist()


def positions(side: int, method: str, crop: int = CROP) -> Tensor:
    """Where along a side of `side` pixels the crops begin that a test looks at (Sect. 3.2), (n,) int64.

    multi-crop: the five of `evaluate.grid`; dense: those that the cells of the score map stand for, one every 32
    pixels. Raises ValueError for an unknown method and a side shorter than the crop.
    """
    if side < crop:
        raise ValueError(f"a side of {side} pixels is shorter than the crop of {crop}: rescale to a larger Q.")
    if method == "multi-crop":
        return evaluate.grid(torch.tensor(side), crop)
    if method == "dense":
        stride = config("A").stride  # the same for all nets
        return stride * torch.arange(side // stride - crop // stride + 1)
    raise ValueError(f"unknown method {method!r}: choose {' or '.join(METHODS)}.")


def looks(sides: Sequence[int], method: str, crop: int = CROP) -> np.ndarray:
    """How many of a test's crops hold each pixel of an image with these sides: (height, width) int64.

    Raises ValueError as `positions` does.
    """
    along = []
    for side in sides:
        distance = torch.arange(side)[:, None] - positions(side, method, crop)
        along.append(((distance >= 0) & (distance < crop)).sum(1).numpy())
    return np.outer(*along)


def places_of_crops(image: Tensor, scales: Sequence[int] = SCALES, crop: int = CROP) -> Figure:
    """The 5 x 5 crops of multi-crop evaluation on the central square of an image and on the whole of it, at each Q:
    dots are the crops' centres, frames the first and the last crop.
    """
    side = min(image.shape[:2])
    top, left = ((length - side) // 2 for length in image.shape[:2])
    forms = (image[top : top + side, left : left + side], image)
    heights = [form.shape[0] / form.shape[1] for form in forms]
    figure, panels = plt.subplots(
        2, len(scales), figsize=(5.6, 0.3 + 1.8 * sum(heights)), height_ratios=heights, layout="constrained"
    )
    for line, form in zip(panels, forms, strict=True):
        for axes, scale in zip(line, scales, strict=True):
            _crops(axes, rescale(form, scale), crop)
    for axes, scale in zip(panels[0], scales, strict=True):
        axes.set_title(f"Q = {scale}", fontsize="medium")
    return figure


def _crops(axes: Axes, image: Tensor, crop: int) -> None:
    height, width = image.shape[:2]
    _empty(axes).imshow(image.float().mean(2).numpy(), cmap="gray", vmin=0, vmax=255, alpha=0.4)
    rows, columns = (positions(side, "multi-crop", crop).numpy() for side in (height, width))
    # An image's first pixel is drawn from -0.5 on.
    x, y = np.meshgrid(columns + crop / 2 - 0.5, rows + crop / 2 - 0.5)
    axes.plot(x.ravel(), y.ravel(), "o", color="black", markersize=3)
    for corner, style in (((columns[0], rows[0]), "-"), ((columns[-1], rows[-1]), "--")):
        axes.add_patch(Rectangle(np.subtract(corner, 0.5), crop, crop, linestyle=style, **FRAME))


def coverage(sides: Sequence[tuple[int, int]], crop: int = CROP) -> Figure:
    """`looks` as maps, in percent of all positions: a column for each image of these sides (height, width), a line for
    each method.
    """
    methods = METHODS[::-1]
    tallest = max(height / width for height, width in sides)
    size = (7, 0.3 + len(methods) * (0.35 + 1.9 * tallest))
    figure, panels = plt.subplots(len(methods), len(sides), figsize=size, squeeze=False, layout="constrained")
    for line, method in zip(panels, methods, strict=True):
        for axes, lengths in zip(line, sides, strict=True):
            rows, columns = (len(positions(side, method, crop)) for side in lengths)
            share = 100 * looks(lengths, method, crop) / (rows * columns)
            shown = _empty(axes).imshow(share, cmap="Blues", vmin=0, vmax=100)
            axes.set_title(f"Q = {min(lengths)}, {rows * columns} positions", fontsize="medium")
        line[0].set_ylabel(method)
    figure.colorbar(shown, ax=panels, fraction=0.04).set_label("positions that see it (%)", size="small")
    return figure


def coverage_table(sides: Sequence[tuple[int, int]], crop: int = CROP) -> pd.DataFrame:
    """The same in numbers for readers, a line for each image and method. What goes through the net is counted in
    pixels, over the image's own.
    """
    lines = []
    for lengths in sides:
        for method in METHODS:
            rows, columns = (len(positions(side, method, crop)) for side in lengths)
            seen, count, area = looks(lengths, method, crop), rows * columns, lengths[0] * lengths[1]
            through = count * crop**2 / area if method == "multi-crop" else 1
            lines.append(
                {
                    "Q": min(lengths),
                    "Evaluation": method,
                    "Positions": f"{rows} x {columns} = {count}",
                    "of them see the centre": int(seen[lengths[0] // 2, lengths[1] // 2]),
                    "see the first corner": int(seen[0, 0]),
                    "Pixels through the net : pixels of the image": f"{through:.1f}",
                }
            )
    return pd.DataFrame(lines)


def score_maps(model: VGG, images: ImageSet, tested: Tested, numbers: Sequence[int]) -> Figure:
    """Validation images, a line each, beside the true class's `score_map` at each Q, with its numbers in percent where
    these are 200 at most; below each map the three first classes after averaging.
    """
    size = (1.5 * (1 + len(tested)), 2 * len(numbers))
    figure, panels = plt.subplots(len(numbers), 1 + len(tested), figsize=size, squeeze=False, layout="constrained")
    for line, number in zip(panels, numbers, strict=True):
        label = int(images.val.labels[number])
        _empty(line[0]).imshow(images.val.image(number).numpy())
        line[0].set_title(images.class_names[label], fontsize="medium")
        for axes, (scale, (split, found)) in zip(line[1:], tested.items(), strict=True):
            image = split.image(number)
            shown = _heat(axes, model, image, score_map(model, image, images.mean_rgb, label))
            first = found[number].argsort()[:-4:-1]
            texts = [f"{images.class_names[i]} {100 * found[number, i]:.0f} %" for i in first]
            axes.set_title(f"Q = {scale}", fontsize="medium")
            axes.set_xlabel("\n".join(texts), fontsize="x-small")
    figure.colorbar(shown, ax=panels, label="soft-max of its class", fraction=0.03, ticks=(0, 0.5, 1))
    return figure


def _heat(axes: Axes, model: VGG, image: Tensor, cells: np.ndarray):
    """A map over its image in grey; a cell is drawn around the centre of what it sees, as wide as the map's steps."""
    _empty(axes).imshow(image.float().mean(2).numpy(), cmap="gray", vmin=0, vmax=255)
    names = {layer.name: field for layer, field, _ in receptive_field.fields(model.config, model.input_size)}
    field = names["fc6"]
    x, y = ([field.centre(unit) for unit in range(count)] for count in cells.shape[::-1])
    half = field.stride / 2
    extent = (x[0] - half, x[-1] + half, y[-1] + half, y[0] - half)
    shown = axes.imshow(cells, extent=extent, cmap="viridis", vmin=0, vmax=1, alpha=0.7)
    numbered = np.ndindex(cells.shape) if cells.size <= MOST_NUMBERS else ()
    for row, column in numbered:
        text = axes.text(x[column], y[row], f"{100 * cells[row, column]:.0f}", ha="center", va="center", color="white")
        text.set(fontsize="xx-small", path_effects=[withStroke(linewidth=2, foreground="black")])
    height, width = image.shape[:2]
    axes.set_xlim(-0.5, width - 0.5)
    axes.set_ylim(height - 0.5, -0.5)
    return shown


def _empty(axes: Axes) -> Axes:
    """For pictures: without grid, ticks and frame."""
    axes.grid(False)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    return axes
