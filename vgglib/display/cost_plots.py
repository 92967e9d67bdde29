"""Figures of weights, multiply-adds and measured speed, in the style of `plots`."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vgglib import cost
from vgglib.claims import OVERFEAT_MILLIONS
from vgglib.configs import config
from vgglib.plots import MARKERS

HATCHES = ("", "//", "..", "xx")  # beside the colours, for those who cannot tell them apart
KINDS = {"conv": "convolution", "pool": "max-pool", "fc": "fully connected"}


def _colour(number: int):
    return sns.color_palette("colorblind")[number]


def stacks(channels: int = 256) -> Axes:
    """Weights of stacks of 3x3 layers beside those of the single layer with the same field (`cost.stacks`)."""
    table = cost.stacks(channels)
    axes = plt.subplots(figsize=(7, 4.2), layout="constrained")[1]
    places = np.arange(len(table))
    both = (("stack_weights", "stack of 3x3"), ("single_weights", "single layer"))
    for number, (column, label) in enumerate(both):
        at = places + 0.4 * (number - 0.5)
        look = {"color": _colour(number), "hatch": HATCHES[number], "edgecolor": "white"}
        bars = axes.bar(at, table[column] / 1e6, 0.38, label=label, **look)
        axes.bar_label(bars, fmt="%.1f", fontsize=11)
    axes.set_xticks(places, [f"{row.stack}\nor {row.single}" for row in table.itertuples()])
    axes.set_ylabel("million weights")
    axes.legend()
    return axes


def parameters(nets: Sequence[str], num_classes: int = 1000) -> Axes:
    """Weights of convolutions and of fully connected layers, a bar per net."""
    axes = plt.subplots(figsize=(7, 1.4 + 0.45 * len(nets)), layout="constrained")[1]
    left = np.zeros(len(nets))
    tables = [cost.layers(config(net), num_classes=num_classes) for net in nets]
    for number, kind in enumerate(("conv", "fc")):
        widths = np.array([table.loc[table["kind"] == kind, "parameters"].sum() / 1e6 for table in tables])
        look = {"color": _colour(number), "hatch": HATCHES[number], "edgecolor": "white"}
        bars = axes.barh(range(len(nets)), widths, left=left, label=KINDS[kind], **look)
        box = {"facecolor": "white", "alpha": 0.85, "edgecolor": "none", "pad": 1}
        axes.bar_label(bars, fmt="%.0f", label_type="center", fontsize=11, bbox=box)
        left += widths
    axes.axvline(OVERFEAT_MILLIONS, color="0.2", linestyle="--", linewidth=1.5)
    note = {"rotation": 90, "va": "center", "ha": "left", "fontsize": 11}
    axes.text(OVERFEAT_MILLIONS + 1, (len(nets) - 1) / 2, f"OverFeat, {OVERFEAT_MILLIONS}", **note)
    axes.set_yticks(range(len(nets)), nets)
    axes.invert_yaxis()
    axes.set_xlabel("million weights and biases")
    axes.figure.legend(loc="outside upper center", ncols=2, fontsize="small")
    return axes


def layers(net: str, image_size: int = 224, num_classes: int = 1000) -> Figure:
    """Where a net's multiply-adds, activations and parameters are, layer by layer, in three panels."""
    table = cost.layers(config(net), image_size, num_classes)
    figure, panels = plt.subplots(3, 1, sharex=True, figsize=(7, 6.2), layout="constrained")
    columns = {"macs": "multiply-adds\n(millions)", "activations": "activations\n(millions)"}
    columns["parameters"] = "parameters\n(millions)"
    for axes, (column, label) in zip(panels, columns.items(), strict=True):
        for number, (kind, name) in enumerate(KINDS.items()):
            values = table[column].where(table["kind"] == kind, 0) / 1e6
            look = {"color": _colour(number), "hatch": HATCHES[number], "edgecolor": "white"}
            axes.bar(range(len(table)), values, label=name if axes is panels[0] else None, **look)
        axes.set_ylabel(label)
    panels[-1].set_xticks(range(len(table)), table["layer"], rotation=90, fontsize=11)
    figure.legend(loc="outside upper center", ncols=3, fontsize="small")
    return figure


def roofline(times: pd.DataFrame, peaks: dict[str, float]) -> Axes:
    """Measured speed of each layer over its operations per byte, under the two roofs of the machine.

    times: as `timing.layer_times` gives them; peaks: as `timing.peaks` does. Layers left of the bend wait for memory at
    best, layers right of it for arithmetic.
    """
    axes = plt.subplots(figsize=(7, 4.8), layout="constrained")[1]
    intensity = times["operations"] / times["bytes"]
    speed = times["operations"] / times["seconds_per_image"] / 1e9
    arithmetic, memory = 2 * peaks["macs_per_second"] / 1e9, peaks["bytes_per_second"] / 1e9
    reach = np.geomspace(intensity.min() / 2, max(intensity.max(), arithmetic / memory) * 2, 100)
    axes.plot(reach, np.minimum(arithmetic, memory * reach), color="0.2", label="the machine at its best")
    for number, (kind, name) in enumerate(KINDS.items()):
        own = times["kind"] == kind
        axes.plot(intensity[own], speed[own], MARKERS[number], color=_colour(number), label=name, markersize=7)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("operations per byte moved")
    axes.set_ylabel("billion operations per second")
    axes.figure.legend(loc="outside upper center", ncols=2, fontsize="small")
    return axes
