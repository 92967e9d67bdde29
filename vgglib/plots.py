"""Rows of numbers -> Axes. Colours are safe for colour-blind readers, and every series also has a marker or a line
style. Ours and the paper's errors have a panel and a scale each: the tasks differ.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from vgglib import paper, tables
from vgglib.claims import measured
from vgglib.comparisons import ERROR
from vgglib.configs import DEPTHS, TABLE_1, config
from vgglib.experiments import STAGES
from vgglib.verdicts import judge

LINE_STYLES = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "D", "^", "v", "P", "X")
STAGE_BEFORE = {"384": "256", "384+384": "384", "256-512": "384"}  # S -> S of the stage it begins with (Sect. 3.1)
DEPTH = "net, and its number of weight layers"
MINIVAL, LOSS = "minival_top1_error_percent", "train_loss"  # columns of a history
OF_HISTORY = {MINIVAL: "top-1 error on minival (%)", LOSS: "training loss, with dropout"}
SHORT_LABEL = 32  # letters, of which two labels fit side by side below a figure
PANELS = {"top1": "ours, 95 % interval", "top1_val": "paper (ImageNet)"}
OVER_IMAGES = "dotted: over images, of one seed"  # an interval that says nothing of another training


def style() -> None:
    """Set the look of all figures: large enough to read at half the page's width, on white in dark mode too."""
    sns.set_theme(context="notebook", style="whitegrid", palette="colorblind")
    plt.rcParams |= {
        "figure.figsize": (7, 4.2),
        "figure.dpi": 110,
        "savefig.facecolor": "white",
        "figure.constrained_layout.use": True,
    }


def error_by_depth(rows: pd.DataFrame, nets: Sequence[str] = DEPTHS) -> Axes:
    """Top-1 error at S = Q = 256 (Table 3) against the number of weight layers, for those of `nets` in A to E."""
    return _curves(_by_depth(tables.beside_paper("3", rows), set(nets) & set(DEPTHS)).assign(series="all"), DEPTH)


def error_by_length(rows: pd.DataFrame) -> Axes:
    """The same of A to E, ours alone: a line for each recipe and way to test of `lengths.rows`."""
    own = {
        f"{recipe}, {group['method'].iloc[0]}": _by_depth(tables.beside_paper(table, group), set(DEPTHS))
        for (recipe, table), group in rows.groupby(["recipe", "table"], sort=False)
    }
    points = pd.concat([table.assign(series=name) for name, table in own.items()])
    short = max(map(len, own)) <= SHORT_LABEL
    axes = plt.subplots(figsize=(6.2, 4 if short else 5.2), layout="constrained")[1]
    _panel(axes, points[points["top1"].notna()], "top1", PANELS["top1"], {name: look(n) for n, name in enumerate(own)})
    axes.set_xlabel(DEPTH)
    axes.set_ylabel("top-1 error (%)")
    _legend(axes.figure, [axes], columns=2 if short else 1)
    return axes


def _by_depth(table: pd.DataFrame, nets: set[str]) -> pd.DataFrame:
    """The lines of `nets` at S = 256 of a table of `tables.beside_paper`, with a column `place`."""
    table = table[(table["train_scale"] == "256") & table["net"].isin(nets)]
    return table.assign(place=[f"{net}\n{config(net).weight_layers}" for net in table["net"]])


def error_by_train_scale(rows: pd.DataFrame) -> Axes:
    """Top-1 error of C, D and E at Q = 384: before the jitter stage, after one as long without jitter, and after it."""
    table = tables.beside_paper("jitter", rows)
    return _curves(table.assign(place=table["train_scale"], series=table["net"]), "training scale S", "net")


def methods(rows: pd.DataFrame) -> Axes:
    """Top-1 error of D and E with dense evaluation, multi-crop, and both (Table 5)."""
    table = tables.beside_paper("5", rows)
    return _curves(table.assign(place=table["method"], series=table["net"]), "evaluation", "net")


def one_and_several_scales(rows: pd.DataFrame) -> Axes:
    """A line from each net's top-1 error at one test scale (Table 3) to that at three (Table 4).

    Without intervals: those of the errors say nothing of the gain, which is taken within one net.
    """
    places = {"one Q": tables.beside_paper("3", rows), "three Q": tables.beside_paper("4", rows)}
    both = pd.concat([table.assign(place=place) for place, table in places.items()], ignore_index=True)
    both["series"] = both["net"] + ", S = " + both["train_scale"]
    both = both[both.duplicated("series", keep=False)].assign(top1_low=both["top1"], top1_high=both["top1"])
    figure, panels = plt.subplots(1, 2, figsize=(7, 5.4), layout="constrained")
    nets, scales = (list(dict.fromkeys(both[column])) for column in ("net", "train_scale"))
    looks = {
        line.series: look(nets.index(line.net)) | {"linestyle": LINE_STYLES[scales.index(line.train_scale)]}
        for line in both.itertuples()
    }
    for axes, (column, title) in zip(panels, {**PANELS, "top1": "ours"}.items(), strict=True):
        _panel(axes, both, column, title, looks, nudge=0)
    panels[0].set_ylabel("top-1 error (%)")
    _legend(figure, panels, "net and training scale", columns=3, handle=4)  # S is told by the line style alone
    return panels[0]


def members_and_ensembles(rows: pd.DataFrame) -> Axes:
    """Top-1 error, dense at three scales, of the nets (Table 4) that are members of an ensemble, and of the ensembles
    (Table 6).
    """
    single, fused = tables.beside_paper("4", rows), tables.beside_paper("6", rows)
    members = set("; ".join(paper.numbers("fusion")["members"]).split("; "))
    single = single[(single["net"] + "/" + single["train_scale"] + "/" + single["test_scales"]).isin(members)]
    fused = fused[fused["method"] == "dense"]
    single = single.assign(place=single["net"] + ", S = " + single["train_scale"], series="one net")
    both = pd.concat([single, fused.assign(place=fused["ensemble"], series="ensemble")])
    figure, panels = plt.subplots(1, 2, sharey=True, figsize=(7, 4.8), layout="constrained")
    looks = {"one net": look(0) | {"linestyle": ""}, "ensemble": look(1) | {"linestyle": ""}}
    for axes, (column, title) in zip(panels, PANELS.items(), strict=True):
        _panel(axes, both, column, title, looks, nudge=0, upright=False)
        axes.set_xlabel("top-1 error (%)")
    panels[0].invert_yaxis()
    _legend(figure, panels)
    return panels[0]


def _curves(points: pd.DataFrame, xlabel: str, legend: str | None = None) -> Axes:
    """Two panels, ours above the paper's, with a line for each `series` over each `place`, both columns of `points`
    beside those of `tables`; returns the upper one.
    """
    figure, panels = plt.subplots(2, 1, sharex=True, figsize=(6.2, 5.4), layout="constrained")
    looks = {series: look(number) for number, series in enumerate(dict.fromkeys(points["series"]))}
    for axes, (column, title) in zip(panels, PANELS.items(), strict=True):
        _panel(axes, points, column, title, looks)
        axes.set_ylabel("top-1 error (%)")
    panels[1].set_xlabel(xlabel)
    if legend:
        _legend(figure, panels, legend)
    return panels[0]


def look(number: int) -> dict:
    """Colour, marker and line style of the series with this number."""
    return {
        "color": sns.color_palette("colorblind")[number % 10],
        "marker": MARKERS[number % len(MARKERS)],
        "linestyle": LINE_STYLES[number % len(LINE_STYLES)],
    }


def _panel(
    axes: Axes,
    points: pd.DataFrame,
    column: str,
    title: str,
    looks: dict[str, dict],
    nudge: float = 0.08,
    upright: bool = True,
) -> None:
    """Draw `column` of `points` over their places, which lie along x, or along y when not `upright`.

    nudge: how far series stand apart, so that one interval does not hide another.
    """
    places, notes = list(dict.fromkeys(points["place"])), []
    for number, (series, look) in enumerate(looks.items()):
        own = points[(points["series"] == series) & points[column].notna()]
        at = [places.index(place) + nudge * (number - (len(looks) - 1) / 2) for place in own["place"]]
        ends = ("top1_low", "top1_high") if column == "top1" else (column, column)
        reach = interval_reach(own[column], *(own[end] for end in ends))
        one_seed = (own["seeds"] == 1).to_numpy()
        where = (at, own[column]) if upright else (own[column], at)
        _with_bars(axes, where, np.where(one_seed, 0, reach), upright, label=series, **look)
        if reach[:, one_seed].any():
            drawn = _with_bars(axes, where, np.where(one_seed, reach, 0), upright, fmt="none", color=look["color"])
            drawn[2][0].set_linestyle(":")
            notes = [OVER_IMAGES]
    axes.set_title("\n".join([title, *notes]))
    names, values = (axes.xaxis, axes.yaxis) if upright else (axes.yaxis, axes.xaxis)
    names.set_ticks(range(len(places)), places)
    (axes.set_xlim if upright else axes.set_ylim)(-0.5, max(len(places), 1) - 0.5)
    get_limits, set_limits = (axes.get_ylim, axes.set_ylim) if upright else (axes.get_xlim, axes.set_xlim)
    set_limits(max(0, get_limits()[0]))  # an interval over two seeds may reach below any error
    if points[column].isna().all():
        not_run(axes)
        values.set_ticks([])


def _with_bars(axes: Axes, where: tuple, reach: np.ndarray, upright: bool, **look) -> ErrorbarContainer:
    # Without any length there is nothing to draw, nor to show in a legend.
    bars = {"yerr" if upright else "xerr": reach} if reach.any() else {}
    return axes.errorbar(*where, **bars, capsize=3, **look)


def not_run(axes: Axes) -> None:
    """Say so in the middle of a panel that has nothing to show."""
    axes.text(0.5, 0.5, "not run", transform=axes.transAxes, ha="center", va="center")


def interval_reach(values, low, high) -> np.ndarray:
    """(2, n) distances from values to the ends of their intervals, 0 where there are none; rounding may put an end on
    the wrong side.
    """
    return np.maximum(np.nan_to_num([np.subtract(values, low), np.subtract(high, values)]), 0)


def _legend(
    figure: Figure, panels: Sequence[Axes], title: str | None = None, columns: int = 4, handle: float = 2
) -> None:
    """Beside the panels, where it hides nothing. handle: length of its lines, in font sizes."""
    handles, labels = panels[0].get_legend_handles_labels()
    if handles:
        where = {"loc": "outside lower center", "ncols": columns}
        figure.legend(handles, labels, title=title, fontsize="small", handlelength=handle, **where)


def effects(rows: pd.DataFrame, names: Sequence[str]) -> Axes:
    """Forest plot of claims about errors: ours on these rows, and the paper's.

    Raises ValueError for a claim that is not about errors.
    """
    for verdict in (found := judge(rows, *names)):
        if measured(verdict.kind) != ERROR:
            raise ValueError(f"the claim {verdict.name!r} is not about errors: its effect is not in points.")
    columns = {"label": "comparison", "ours": "effect", "low": "low", "high": "high", "paper": "paper"}
    frame = pd.DataFrame([{key: getattr(verdict, name) for key, name in columns.items()} for verdict in found])
    return forest(frame)


def forest(effects: pd.DataFrame) -> Axes:
    """Effects in points of top-1 error, one line each: ours with an interval, and beside them the paper's on a scale of
    their own; returns the axes of ours.

    effects: `label` (text), `ours`, `low`, `high`, `paper` (points, minus is better; missing where not known).
    """
    size = (7, 1.9 + 0.7 * len(effects))
    figure, panels = plt.subplots(1, 2, sharey=True, figsize=size, width_ratios=(3, 2), layout="constrained")
    effects = effects.astype(dict.fromkeys(["ours", "low", "high", "paper"], float)).reset_index(drop=True)
    reach = {"ours": interval_reach(effects["ours"], effects["low"], effects["high"])}  # one seed has none
    for number, (axes, column, title) in enumerate(zip(panels, ("ours", "paper"), PANELS.values(), strict=True)):
        axes.axvline(0, color="0.3", linewidth=1)
        axes.errorbar(
            effects[column], effects.index, xerr=reach.get(column), capsize=4, **look(number) | {"linestyle": ""}
        )
        axes.margins(x=0.1)
        axes.set_title(title)
    if effects["ours"].isna().all():
        not_run(panels[0])
    panels[0].set_yticks(range(len(effects)), [textwrap.fill(label, 28) for label in effects["label"]])
    panels[0].set_ylim(max(len(effects), 1) - 0.5, -0.5)
    figure.supxlabel("points of top-1 error, minus is better", fontsize="medium")
    return panels[0]


def state_of_the_art(axes: Axes | None = None) -> Axes:
    """The paper's Table 7: top-5 errors on ImageNet's test images where it has them, VGG's in another colour."""
    numbers = paper.numbers("state_of_the_art").dropna(subset="top5_test").reset_index(drop=True)
    axes = axes or plt.subplots(figsize=(7, 5))[1]
    blue, grey = (sns.color_palette("colorblind")[number] for number in (0, 7))
    single, vgg = numbers["method"].str.contains("(1 net", regex=False), numbers["method"].str.startswith("VGG")
    for whose, mine, colour in (("VGG", vgg, blue), ("others", ~vgg, grey)):
        for marker, what, kind in (("o", "one net", single), ("D", "ensemble", ~single)):
            own = numbers[mine & kind]
            axes.plot(own["top5_test"], own.index, marker, color=colour, label=f"{whose}, {what}")
    axes.set_yticks(range(len(numbers)), numbers["method"])
    axes.invert_yaxis()
    axes.set_xlabel("top-5 error on ImageNet's test images (%)")
    axes.legend(fontsize="small", loc="upper right")
    return axes


def training_curves(rows: pd.DataFrame, by: str = "net", axes: Axes | None = None, of_history: str = MINIVAL) -> Axes:
    """Minival top-1 error after every epoch, or another of `OF_HISTORY`, a line per training and a look per value of
    the column `by`.

    A later stage begins where the rows' earlier one of the same net and seed ended. A failed run's line ends where it
    failed.
    """
    axes = axes or plt.subplots()[1]
    # Several tests of one training share its history; those of ensembles have none.
    trainings = {}
    for row in rows.itertuples():
        if row.history:
            trainings.setdefault((row.net, row.seed, row.start, row.train_scale), row)
    groups = list(dict.fromkeys(getattr(row, by) for row in trainings.values()))
    labelled = set()
    for (*own, scale), row in trainings.items():
        history, group = pd.DataFrame(row.history), getattr(row, by)
        axes.plot(
            history["epoch"] + _epochs_before(trainings, own, scale),
            history[of_history],
            **look(groups.index(group)),
            markersize=4,
            markevery=max(1, len(history) // 6),
            label=None if group in labelled else group,
        )
        labelled.add(group)
    axes.set_xlabel("epoch")
    axes.set_ylabel(OF_HISTORY[of_history])
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if labelled:
        title = {"train_scale": "S"}.get(by, by)
        axes.legend(title=title, loc="upper left", bbox_to_anchor=(1.01, 1))  # beside the lines, not over them
    else:
        not_run(axes)
    return axes


def loss_and_error(rows: pd.DataFrame) -> Figure:
    """Training loss beside minival error after every epoch, a line per training: whether a net that errs has learned
    its training images.
    """
    figure, places = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    for place, of_history in zip(places, (LOSS, MINIVAL), strict=True):
        training_curves(rows, axes=place, of_history=of_history)
    if places[0].get_legend():
        places[0].get_legend().remove()
    return figure


def curves_by_net(rows: pd.DataFrame) -> Figure:
    """Every training's curve, a panel per net; trainings that compare starts have a panel of their own.

    rows: as `results.Store.rows` gives them, of one preset. Where none of them was trained the panel says "not run".
    """
    trained = rows[rows["history"].map(len) > 0] if len(rows) else pd.DataFrame(columns=["table", "net", "start"])
    stages = trained[trained["table"] != "starts"]
    panels = {f"net {net}": stages[stages["net"] == net] for net in TABLE_1 if net in set(stages["net"])}
    looks = dict.fromkeys(panels, "train_scale")
    starts = trained[trained["table"] == "starts"]
    if starts["start"].nunique() > 1:
        panels["net E, starts"], looks["net E, starts"] = starts, "start"
    lines = max(1, math.ceil(len(panels) / 2))
    size = (9, 0.4 + 2.5 * lines)
    figure, places = plt.subplots(lines, 2, figsize=size, sharey=True, squeeze=False, layout="constrained")
    for place in places.flat[len(panels) :]:
        place.set_axis_off()
    if not panels:
        not_run(places.flat[0])
    for place, (title, own) in zip(places.flat, panels.items(), strict=False):
        own = own.sort_values("train_scale", key=lambda scales: scales.map(STAGES.index), kind="stable")
        training_curves(own, by=looks[title], axes=place)
        place.set_title(title)
        place.set_ylabel("top-1 error (%)")
        title = "S" if looks[title] == "train_scale" else "start"
        place.legend(title=title, fontsize="x-small", title_fontsize="x-small", loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def _epochs_before(trainings: dict, own: list, scale: str) -> int:
    before = STAGE_BEFORE.get(scale)
    if (*own, before) not in trainings:
        return 0
    return len(trainings[*own, before].history) + _epochs_before(trainings, own, before)
