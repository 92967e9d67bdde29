"""Figures of where nets err, in the style of `plots`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vgglib import plots
from vgglib.analysis import calibration, class_errors
from vgglib.analysis.errors import Answers

COLUMNS = 3  # of the sheet: two names of classes fit above a picture this wide


def sheet(chosen: pd.DataFrame, val, names: Sequence[str], worse: Answers, better: Answers) -> Figure:
    """The images of `errors.cases`, each below its true class and what the two nets take it for.

    val: the `data.Split` that `errors.val_images` gives.
    """
    lines = -(-len(chosen) // COLUMNS)
    figure, places = plt.subplots(
        lines, COLUMNS, figsize=(6.4, 1.75 * lines), layout="constrained", facecolor="white", squeeze=False
    )
    for axes in places.flat:
        axes.axis("off")
    for axes, case in zip(places.flat, chosen.itertuples(), strict=False):
        axes.imshow(val.image(int(case.image)).numpy())
        axes.set_anchor("N")
        axes.set_title(names[case.true], fontsize=9, weight="bold", pad=27)
        said = "\n".join(_said(case, names, worse, better))
        place = {"xycoords": "axes fraction", "textcoords": "offset points", "ha": "center", "va": "bottom"}
        axes.annotate(said, (0.5, 1), (0, 3), fontsize=9, **place)
    return figure


def described(chosen: pd.DataFrame, names: Sequence[str], worse: Answers, better: Answers) -> str:
    """What `sheet` shows, for those who cannot see it."""
    said = [f"{names[case.true]} ({', '.join(_said(case, names, worse, better))})" for case in chosen.itertuples()]
    return f"{len(chosen)} images that {worse.name} gets wrong and {better.name} right: {'; '.join(said)}"


def _said(case, names: Sequence[str], worse: Answers, better: Answers) -> tuple[str, str]:
    return (
        f"{worse.name}: {names[case.worse]} {case.worse_probability:.2f}",
        f"{better.name}: {names[case.better]} {case.better_probability:.2f}",
    )


def confusion(answered: Answers, names: Sequence[str]) -> Axes:
    """The matrix of `class_errors.confusion` without its diagonal, in label order, with lines around classes that stand
    together and share the last word of their names.
    """
    axes = plt.subplots(figsize=(7.2, 6.4), layout="constrained")[1]
    if not answered.seeds:
        plots.not_run(axes)
        return axes
    share = class_errors.confusion(answered)
    np.fill_diagonal(share, np.nan)
    drawn = axes.imshow(share, cmap="Blues", vmin=0)
    axes.figure.colorbar(drawn, label="percent of the true class's images", shrink=0.8)
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.grid(False)
    words = [name.split()[-1] for name in names]
    edges = [i for i in range(1, len(words)) if words[i] != words[i - 1]]
    for edge in edges if len(edges) < len(words) / 2 else ():
        axes.axhline(edge - 0.5, color="0.3", linewidth=0.8)
        axes.axvline(edge - 0.5, color="0.3", linewidth=0.8)
    axes.set_xlabel("taken for")
    axes.set_ylabel("true class")
    return axes


def reliability(panels: Mapping[str, Sequence[Answers]], bins: int = calibration.BINS) -> Figure:
    """Accuracy over confidence, a panel for each title with a line for each of its answers. Bins with fewer than
    `calibration.SMALL_BIN` images, all seeds together, are left out.
    """
    figure, places = plt.subplots(1, len(panels), sharey=True, figsize=(8, 4.6), layout="constrained", squeeze=False)
    for axes, (title, found) in zip(places.flat, panels.items(), strict=True):
        axes.plot([0, 100], [0, 100], color="0.3", linewidth=1)
        for number, own in enumerate(found):
            if own.seeds:
                points = calibration.reliability(own, bins)
                points = points[points["images"] >= calibration.SMALL_BIN]
                axes.plot(points["confidence"], points["accuracy"], label=own.name, markersize=6, **plots.look(number))
        axes.set(title=title, xlabel="confidence (%)", xlim=(0, 100), ylim=(0, 100), aspect="equal")
        if any(own.seeds for own in found):
            axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=2, fontsize="small")
        else:
            plots.not_run(axes)
    places.flat[0].set_ylabel("accuracy (%)")
    return figure


def by_class(found: Sequence[Answers], names: Sequence[str]) -> Axes:
    """Top-1 error of each class with its interval, a look for each of `found`; classes by the error of the last one,
    the highest on top. Names are left out where there are more than `class_errors.MANY_CLASSES`.
    """
    many = len(names) > class_errors.MANY_CLASSES
    height = 1.5 + len(names) * (0.05 if many else 0.29)
    axes = plt.subplots(figsize=(7, max(height, 3)), layout="constrained")[1]
    done = {own.name: class_errors.by_class(own) for own in found if own.seeds}
    if not done:
        plots.not_run(axes)
        return axes
    order = list(done.values())[-1].sort_values("error", ascending=False, kind="stable")["label"].tolist()
    for number, (name, table) in enumerate(done.items()):
        at = np.array([order.index(label) for label in table["label"]]) + 0.3 * (number - (len(done) - 1) / 2)
        reach = plots.interval_reach(table["error"], table["low"], table["high"])
        axes.errorbar(
            table["error"], at, xerr=reach, label=name, markersize=5, **plots.look(number) | {"linestyle": ""}
        )
    axes.set_yticks([] if many else range(len(order)), [] if many else [names[label] for label in order], fontsize=10)
    axes.set_ylim(len(order) - 0.5, -0.5)
    axes.set_xlabel("top-1 error (%), 95 % interval")
    axes.figure.legend(title="net", loc="outside upper center", ncols=len(done), fontsize="small")
    return axes
