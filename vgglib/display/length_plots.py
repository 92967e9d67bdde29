"""Figures of nets by the length of their training, in the style of `plots`."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes

from vgglib import plots
from vgglib.analysis import by_hand, lengths
from vgglib.comparisons import ERROR

APART = 0.15  # of a line's height: how far a net's points are from the middle


def seeds(found: pd.DataFrame) -> Axes:
    """The top-1 error of every seed of A and E, and their means: a line for each recipe and way to test.

    found: from `lengths.rows`. What failed has no error, and no point.
    """
    ways = list(lengths.of_ends(found).groupby(["recipe", "method"], sort=False))
    axes = plt.subplots(figsize=(7, 1 + 0.55 * len(ways)), layout="constrained")[1]
    for number, net in enumerate(sorted(lengths.ENDS)):
        points = [(place, group.loc[group["net"] == net, ERROR].astype(float)) for place, (_, group) in enumerate(ways)]
        look = plots.look(number) | {"linestyle": ""}
        height = APART * (2 * number - 1)
        each = [(error, place + height) for place, errors in points for error in errors]
        means = [(errors.mean(), place + height) for place, errors in points if len(errors)]
        axes.plot(*zip(*each, strict=True), **look, alpha=0.7, label=f"net {net}")
        axes.plot(*zip(*means, strict=True), **look | {"marker": "|"}, markersize=16, label=f"its mean, {net}")
    axes.set_yticks(range(len(ways)), [f"{recipe},\n{by_hand.HOW[method]}" for (recipe, method), _ in ways])
    axes.set_ylim(len(ways) - 0.5, -0.5)
    axes.set_xlim(left=0)
    axes.set_xlabel("top-1 error (%)")
    axes.figure.legend(loc="outside upper center", ncols=4)
    return axes
