"""Rows of runs -> Axes. Colours are safe for colour-blind readers, and every series also has a marker or a line
style.
"""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from vgglib.configs import config
from vgglib.tables import summary

LINE_STYLES = ("-", "--", "-.", ":")


def style() -> None:
    """Set the look of all figures: large enough to read at half the page's width, on white in dark mode too."""
    sns.set_theme(context="notebook", style="whitegrid", palette="colorblind")
    plt.rcParams |= {
        "figure.figsize": (7, 4.2),
        "figure.dpi": 110,
        "savefig.facecolor": "white",
        "figure.constrained_layout.use": True,
    }


def error_by_depth(rows: pd.DataFrame, paper: pd.DataFrame, nets: list[str], axes: Axes | None = None) -> Axes:
    """Top-1 error against the number of weight layers: ours with the interval of `tables.summary`, the paper's
    beside it.

    paper: rows of `results.paper()` for S = 256, one per net. Ours and the paper's have an axis each: the tasks differ.
    """
    axes = axes or plt.subplots()[1]
    ours = summary(rows).set_index("net").reindex(nets)
    ours = ours[ours["top1"].notna()]
    theirs = paper.set_index("net")["top1_val"].reindex(nets).dropna()
    place = {net: position for position, net in enumerate(nets)}
    blue, orange = sns.color_palette("colorblind")[:2]
    axes.errorbar(
        [place[net] for net in ours.index],
        ours["top1"],
        yerr=[ours["top1"] - ours["top1_low"], ours["top1_high"] - ours["top1"]],
        fmt="o-",
        capsize=4,
        color=blue,
        label="ours, 95 % interval",
    )
    right = axes.twinx()
    right.plot([place[net] for net in theirs.index], theirs, "s--", color=orange, label="paper (ImageNet)")
    right.grid(False)
    axes.set_xticks(range(len(nets)), [f"{net}\n{config(net).weight_layers}" for net in nets])
    axes.set_xlabel("net, and its number of weight layers")
    axes.set_ylabel("top-1 error, ours (%)", color=blue)
    right.set_ylabel("top-1 error, paper (%)", color=orange)
    handles = axes.get_legend_handles_labels()[0] + right.get_legend_handles_labels()[0]
    axes.legend(handles, [handle.get_label() for handle in handles], loc="upper right")
    return axes


def training_curves(rows: pd.DataFrame, axes: Axes | None = None) -> Axes:
    """Minival top-1 error after every epoch, a line per run; a failed run's line ends where it failed."""
    axes = axes or plt.subplots()[1]
    nets = list(dict.fromkeys(rows["net"]))
    colours = dict(zip(nets, sns.color_palette("colorblind", len(nets)), strict=True))
    labelled = set()
    for _, row in rows.iterrows():
        history = pd.DataFrame(row["history"])
        if history.empty:
            continue
        net = row["net"]
        axes.plot(
            history["epoch"],
            history["minival_top1_error_percent"],
            linestyle=LINE_STYLES[nets.index(net) % len(LINE_STYLES)],
            color=colours[net],
            label=net if net not in labelled else None,
        )
        labelled.add(net)
    axes.set_xlabel("epoch")
    axes.set_ylabel("top-1 error on minival (%)")
    if labelled:
        axes.legend(title="net")
    return axes
