"""Figures of receptive fields, in the style of `plots`: theoretical sizes, padding, and measured maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from vgglib import plots
from vgglib.configs import Config, config
from vgglib.effective_field import central, width_px
from vgglib.receptive_field import fields, outside_share

THEORY = {"edgecolor": "black", "linestyle": "--", "linewidth": 1.5}
EFFECTIVE = {"edgecolor": sns.color_palette("colorblind")[3], "linestyle": "-", "linewidth": 2}


def sizes(nets: Sequence[str], image_size: int = 224, axes: Axes | None = None) -> Axes:
    """The theoretical field's side in pixels over the number of the weight layer, up to fc6, a line per net."""
    axes = axes or plt.subplots(figsize=(7, 4.6), layout="constrained")[1]
    for number, net in enumerate(nets):
        lines = fields(config(net), image_size)
        found = [field.size for layer, field, _ in lines if layer.kind == "conv" or layer.name == "fc6"]
        axes.plot(range(1, len(found) + 1), found, label=net, markersize=6, **plots.look(number))
    axes.axhline(image_size, color="0.3", linewidth=1)
    axes.annotate(f"the whole image, {image_size} px", (1, image_size), (0, 4), textcoords="offset points", fontsize=11)
    axes.set_xlabel("weight layer, up to fc6")
    axes.set_ylabel("side of the field (px)")
    axes.set_ylim(0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(title="net", loc="upper left", bbox_to_anchor=(1.01, 1))  # beside the lines, not over them
    return axes


def padding(net: Config, crop: int = 224, dense: Sequence[int] = (256, 384, 512)) -> pd.DataFrame:
    """The mean share in percent of the units' square fields that lies outside the image, a line per `layer` up to fc6:
    column `crop` for a crop of `crop` pixels, and one for each side of a square image that is evaluated densely, where
    fc6 slides over the map as in Sect. 3.2. Sides are in pixels.

    Raises ValueError for an image smaller than the crop.
    """
    small = [side for side in dense if side < crop]
    if small:
        raise ValueError(f"an image of {small[0]} pixels is smaller than the crop of {crop}: take a larger one.")
    lines = [line for line in fields(net, crop) if line[0].name not in ("fc7", "fc8")]  # which see what fc6 sees
    cells = lines[-2][2]
    found = {"layer": [layer.name for layer, _, _ in lines]}
    for name, side in {"crop": crop, **{side: side for side in dense}}.items():
        units = [line[2] for line in fields(net, side) if line[0].kind != "fc"]
        units.append(units[-1] - cells + 1)
        shares = [outside_share(field, count, side) for (_, field, _), count in zip(lines, units, strict=True)]
        found[name] = [100 * share for share in shares]
    return pd.DataFrame(found)


def outside(panels: Mapping[str, pd.DataFrame]) -> Figure:
    """The shares of `padding` along depth, one panel under the other: title -> frame, all of the same net."""
    size = (7, 2.2 + 2.5 * len(panels))
    figure, places = plt.subplots(len(panels), 1, figsize=size, sharex=True, squeeze=False, layout="constrained")
    for axes, (title, shares) in zip(places.flat, panels.items(), strict=True):
        for number, side in enumerate(shares.columns[1:]):
            label = "crop" if side == "crop" else f"dense, {side} px"
            axes.plot(shares["layer"], shares[side], label=label, markersize=5, **plots.look(number))
        axes.set_title(title)
        axes.set_ylabel("outside the image (%)")
        axes.set_ylim(0, 100)
        axes.legend(loc="upper left", fontsize="small")
    axes.tick_params(axis="x", rotation=90)
    return figure


def maps(net: Config, rows: Mapping[str, Mapping[str, np.ndarray]], layers: Sequence[str]) -> Figure:
    """Maps of `effective_field.influence` as a grid, a column for each of `layers`; rows: title -> layer -> map.

    A panel shows the root of the influence, relative to its largest value, since the influence itself falls off so
    steeply that little but its centre would be seen. Two squares lie on it: the theoretical field, and the smallest
    around its centre that holds 95 % of the influence.
    """
    size = (0.9 + 1.9 * len(layers), 1 + 2.3 * len(rows))
    figure, panels = plt.subplots(len(rows), len(layers), figsize=size, squeeze=False, layout="constrained")
    for places, (title, found) in zip(panels, rows.items(), strict=True):
        for axes, layer in zip(places, layers, strict=True):
            image = _map(axes, net, layer, found[layer])
        places[0].set_ylabel(title)
    figure.colorbar(image, ax=panels, label="root of influence", fraction=0.04, ticks=(0, 0.5, 1))
    looks = {"theoretical field": THEORY, "95 % of the influence": EFFECTIVE}
    lines = [Line2D([], [], color=look["edgecolor"], linestyle=look["linestyle"]) for look in looks.values()]
    figure.legend(lines, looks, loc="outside lower center", ncols=2, fontsize="small")
    return figure


def _map(axes: Axes, net: Config, layer: str, influence: np.ndarray):
    field, unit = central(net, layer, len(influence))
    centre = field.centre(unit)
    width = width_px(influence, centre)
    shown = axes.imshow(np.sqrt(influence / influence.max()), cmap="Blues", vmin=0, vmax=1, interpolation="none")
    axes.grid(False)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(f"{layer}\n{width} of {field.size} px", fontsize="medium")
    for side, look in ((field.size, THEORY), (width, EFFECTIVE)):
        axes.add_patch(Rectangle((centre - side / 2, centre - side / 2), side, side, fill=False, **look))
    return shown
