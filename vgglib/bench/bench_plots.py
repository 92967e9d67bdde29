"""Figures of timings: how many times as fast ours is, and how cost grows."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from vgglib import bench
from vgglib.bench import bench_page
from vgglib.plots import interval_reach, look

WIDE = 4  # an axis is logarithmic where its largest value is so many times its smallest, or more


def advantages(record: dict, cases: Sequence[str]) -> Figure:
    """How many times as fast ours is as each of the others, with intervals: a panel for each of `cases` below each
    other, on one logarithmic axis. Parts of the work are left out: nothing can be faster than they are.
    """
    found = bench_page.rivals(record)
    found = found[~found["contender"].str.endswith(bench_page.PART)]
    groups = {case: rows for case in cases if len(rows := found[found["case"] == case])}
    heights = [len(rows) for rows in groups.values()] or [1]
    size = (7, 0.9 + sum(0.42 * height + 0.6 for height in heights))
    figure, panels = plt.subplots(
        len(heights), 1, sharex=True, squeeze=False, figsize=size, layout="constrained", height_ratios=heights
    )
    for axes, (case, rows) in zip(panels[:, 0], groups.items(), strict=False):
        places = np.arange(len(rows))
        reach = interval_reach(rows["advantage"], rows["advantage_low"], rows["advantage_high"])
        axes.errorbar(rows["advantage"], places, xerr=reach, capsize=4, **look(0) | {"linestyle": ""})
        axes.axvline(1, color="0.3", linewidth=1)
        axes.set_yticks(places, [textwrap.fill(name, 30) for name in rows["contender"]])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_title(case, fontsize="medium", loc="left")
    axes = panels[-1, 0]
    axes.set_xscale("log")
    _plain(axes, "x", *_reach(found[found["case"].isin(groups)]))
    axes.set_xlabel("ours is so many times as fast")
    return figure


def _reach(rows: pd.DataFrame) -> tuple[float, float]:
    """From the smallest to the largest of advantages and ends of intervals, 1 included."""
    values = rows[["advantage", "advantage_low", "advantage_high"]].to_numpy().ravel()
    values = np.append(values[np.isfinite(values)], 1.0)
    return values.min() / 1.1, values.max() * 1.1


def growth(record: dict, columns: int = 2) -> Figure:
    """A panel for each axis along which something grows: medians, with intervals, over its points."""
    found = bench.summary(record)
    names = [name for name in bench_page.points(record) if (found["case"] == name).any()]
    lines = max(1, -(-len(names) // columns))
    figure, panels = plt.subplots(lines, columns, squeeze=False, figsize=(7, 2.9 * lines), layout="constrained")
    for axes, name in zip(panels.flat, names, strict=False):
        _curve(axes, found[found["case"] == name], name)
    for axes in panels.flat[len(names) :]:
        axes.axis("off")
    return figure


def _curve(axes: Axes, rows: pd.DataFrame, name: str) -> None:
    at = rows["contender"].astype(float).to_numpy()
    reach = interval_reach(rows["median"], rows["low"], rows["high"])
    axes.errorbar(at, rows["median"], yerr=reach, capsize=3, **look(0))
    axes.set_xlabel(name)
    axes.set_ylabel(rows["unit"].iloc[0])
    if at.max() >= WIDE * at.min():
        axes.set_xscale("log", base=2)
    axes.set_xticks(at, rows["contender"], fontsize="small", rotation=45 if len(at) > 5 else 0)
    axes.xaxis.set_minor_locator(NullLocator())
    low, high = rows["median"].min(), rows["median"].max()
    if high >= WIDE * low:
        axes.set_yscale("log")
        _plain(axes, "y", low / 1.2, high * 1.2)
    else:
        axes.set_ylim(0, 1.15 * high)  # so that heights can be compared
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))


def _plain(axes: Axes, which: str, low: float, high: float) -> None:
    """Ticks of a logarithmic axis at 1, 2 and 5 times powers of ten, or at every digit of a short one, in plain
    numbers.
    """
    powers = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    digits = (1, 2, 5) if high >= WIDE * low else range(1, 10)
    ticks = [round(digit * 10.0**power, 9) for power in powers for digit in digits]
    ticks = [tick for tick in ticks if low <= tick <= high]
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axis.set_minor_locator(NullLocator())
    (axes.set_xlim if which == "x" else axes.set_ylim)(low, high)
