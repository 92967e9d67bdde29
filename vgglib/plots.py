"""Rows of numbers -> Axes. Colours are safe for colour-blind readers, and every series also has a marker or a line
style.
"""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from vgglib import claims, paper, tables
from vgglib.configs import config

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


def _ours_and_papers(table: pd.DataFrame, labels: Sequence[str], axes: Axes | None, line: bool) -> Axes:
    """Top-1 errors of a table's rows, ours with intervals and the paper's, which has an axis of its own: the tasks
    differ.
    """
    axes = axes or plt.subplots()[1]
    blue, orange = sns.color_palette("colorblind")[:2]
    ours, theirs = table[table["top1"].notna()], table[table["top1_val"].notna()]
    axes.errorbar(
        [table.index.get_loc(i) for i in ours.index],
        ours["top1"],
        yerr=[ours["top1"] - ours["top1_low"], ours["top1_high"] - ours["top1"]],
        fmt="o-" if line else "o",
        capsize=4,
        color=blue,
        label="ours, 95 % interval",
    )
    right = axes.twinx()
    places = [table.index.get_loc(i) for i in theirs.index]
    right.plot(places, theirs["top1_val"], "s--" if line else "s", color=orange, label="paper (ImageNet)")
    right.grid(False)
    axes.set_xticks(range(len(labels)), labels)
    axes.set_xlim(-0.5, len(labels) - 0.5)
    axes.set_ylabel("top-1 error, ours (%)", color=blue)
    right.set_ylabel("top-1 error, paper (%)", color=orange)
    handles = axes.get_legend_handles_labels()[0] + right.get_legend_handles_labels()[0]
    axes.legend(handles, [handle.get_label() for handle in handles], loc="best", fontsize="small")
    return axes


def error_by_depth(rows: pd.DataFrame, nets: Sequence[str], axes: Axes | None = None) -> Axes:
    """Top-1 error at S = 256 against the number of weight layers, for those of `nets` in A, B, C, D, E."""
    table = tables.beside_paper("3", rows)
    nets = [net for net in ("A", "B", "C", "D", "E") if net in nets]
    table = table[table["train_scale"] == "256"].set_index("net").reindex(nets).reset_index()
    axes = _ours_and_papers(table, [f"{net}\n{config(net).weight_layers}" for net in nets], axes, line=True)
    axes.set_xlabel("net, and its number of weight layers")
    return axes


def error_by_train_scale(rows: pd.DataFrame, axes: Axes | None = None) -> Axes:
    """Top-1 error at Q = 384 of nets after S = 384, after its continuation, and after jitter."""
    table = tables.beside_paper("jitter", rows)
    labels = [f"{line.net}\n{line.train_scale}" for line in table.itertuples()]
    axes = _ours_and_papers(table, labels, axes, line=False)
    axes.tick_params(axis="x", labelsize="small")
    axes.set_xlabel("net and training scale S")
    return axes


def methods(rows: pd.DataFrame, axes: Axes | None = None) -> Axes:
    """Top-1 error of D and E with dense evaluation, many crops, and both."""
    table = tables.beside_paper("5", rows)
    labels = [f"{line.net}\n{line.method}".replace(" & ", " &\n") for line in table.itertuples()]
    axes = _ours_and_papers(table, labels, axes, line=False)
    axes.tick_params(axis="x", labelsize="small")
    return axes


def members_and_ensembles(rows: pd.DataFrame, axes: Axes | None = None) -> Axes:
    """Top-1 error, dense at three scales, of the single nets of Table 4 and of the ensembles of Table 6."""
    single, fused = tables.beside_paper("4", rows), tables.beside_paper("6", rows)
    single = single[single["net"] != "B"]
    fused = fused[fused["method"] == "dense"]
    table = pd.concat([single, fused], ignore_index=True)
    labels = [f"{line.net}\n{line.train_scale.replace('-', '-' + chr(10))}" for line in single.itertuples()]
    labels += [net.split("(")[1].rstrip(")").replace(" ", "\n") for net in fused["net"]]
    axes = _ours_and_papers(table, labels, axes, line=False)
    axes.tick_params(axis="x", labelsize="small")
    axes.set_xlabel("net and training scale S, then ensembles")
    return axes


def one_and_several_scales(rows: pd.DataFrame, axes: Axes | None = None) -> Axes:
    """What three test scales change against one: top-1 points for each net and S, ours and the paper's."""
    one = tables.beside_paper("3", rows).set_index(["net", "train_scale"])
    several = tables.beside_paper("4", rows).set_index(["net", "train_scale"])
    one = one.reindex(several.index)
    axes = axes or plt.subplots()[1]
    blue, orange = sns.color_palette("colorblind")[:2]
    for column, marker, colour, label in (("top1", "o", blue, "ours"), ("top1_val", "s", orange, "paper (ImageNet)")):
        axes.plot(several[column] - one[column], range(len(several)), marker, color=colour, label=label)
    axes.axvline(0, color="0.3", linewidth=1)
    axes.set_yticks(range(len(several)), [f"{net}, S = {scale}" for net, scale in several.index])
    axes.invert_yaxis()
    axes.set_xlabel("top-1 points, three test scales - one")
    axes.legend(fontsize="small")
    return axes


def effects(rows: pd.DataFrame, names: Sequence[str], axes: Axes | None = None) -> Axes:
    """Effects of some claims with their 95 % intervals, and the paper's; points of top-1 error, minus is better."""
    found = claims.verdict(rows, *names)
    axes = axes or plt.subplots(figsize=(7, 1.2 + 0.7 * len(found)))[1]
    blue, orange = sns.color_palette("colorblind")[:2]
    for place, verdict in enumerate(found):
        if verdict.effect is not None:
            reach = None if verdict.low is None else [[verdict.effect - verdict.low], [verdict.high - verdict.effect]]
            axes.errorbar(verdict.effect, place, xerr=reach, fmt="o", capsize=4, color=blue)
        if verdict.paper is not None:
            axes.plot(verdict.paper, place, "s", color=orange)
    axes.errorbar([], [], fmt="o", color=blue, label="ours, 95 % interval")
    axes.plot([], [], "s", color=orange, label="paper (ImageNet)")
    axes.axvline(0, color="0.3", linewidth=1)
    axes.set_yticks(range(len(found)), [verdict.comparison for verdict in found])
    axes.set_ylim(len(found) - 0.5, -0.5)
    axes.set_xlabel("top-1 points; minus: the first errs less")
    axes.legend(fontsize="small")
    return axes


def state_of_the_art(axes: Axes | None = None) -> Axes:
    """The paper's Table 7: top-5 errors on ImageNet's test images, single nets apart from ensembles."""
    numbers = paper.numbers("state_of_the_art").dropna(subset="top5_test")
    axes = axes or plt.subplots(figsize=(7, 5))[1]
    single = numbers["method"].str.contains("1 net")
    for place, (line, alone) in enumerate(zip(numbers.itertuples(), single, strict=True)):
        colour = sns.color_palette("colorblind")[0 if "VGG" in line.method else 7]
        axes.plot(line.top5_test, place, "o" if alone else "D", color=colour)
    for marker, label in (("o", "single net"), ("D", "ensemble")):
        axes.plot([], [], marker, color="0.4", label=label)
    axes.set_yticks(range(len(numbers)), numbers["method"])
    axes.invert_yaxis()
    axes.set_xlabel("top-5 error on ImageNet's test images (%)")
    axes.legend(fontsize="small")
    return axes


def training_curves(rows: pd.DataFrame, by: str = "net", axes: Axes | None = None) -> Axes:
    """Minival top-1 error after every epoch, a line per training and a colour per value of the column `by`; a failed
    run's line ends where it failed.
    """
    axes = axes or plt.subplots()[1]
    groups = list(dict.fromkeys(rows[by]))
    colours = dict(zip(groups, sns.color_palette("colorblind", len(groups)), strict=True))
    labelled = set()
    # Several tests of one training share its history.
    for _, row in rows.drop_duplicates(["net", "train_scale", "start", "seed"]).iterrows():
        history = pd.DataFrame(row["history"])
        if history.empty:
            continue
        group = row[by]
        axes.plot(
            history["epoch"],
            history["minival_top1_error_percent"],
            linestyle=LINE_STYLES[groups.index(group) % len(LINE_STYLES)],
            color=colours[group],
            label=group if group not in labelled else None,
        )
        labelled.add(group)
    axes.set_xlabel("epoch")
    axes.set_ylabel("top-1 error on minival (%)")
    if labelled:
        axes.legend(title={"train_scale": "S"}.get(by, by))
    return axes
