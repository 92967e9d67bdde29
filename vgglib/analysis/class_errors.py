"""How errors are spread over classes: which is taken for which, by which cues, and which classes are hard."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from vgglib import presets
from vgglib.analysis.errors import Answers
from vgglib.metrics import interval_percent

MANY_CLASSES = 30  # above, names do not fit beside a figure
HUE_REACH = 4  # classes of `shapes`, a sixth of the colour circle: how far shapes of one texture are apart at least


def confusion(answered: Answers) -> np.ndarray:
    """(classes, classes) float64: percent of a true class's images (row) that are taken for a class (column), mean over
    seeds; a row adds up to 100, or is 0 for a class without images.
    """
    counts = np.zeros((answered.classes, answered.classes))
    for named in answered.choices:
        np.add.at(counts, (answered.labels, named), 1)
    return 100 * counts / np.maximum(counts.sum(1, keepdims=True), 1)


def top_pairs(answered: Answers, names: Sequence[str], count: int = 8) -> pd.DataFrame:
    """The `count` most frequent errors: a true class, what it is taken for, how often, and how often the reverse."""
    columns = ["True class", "Taken for", "Of its images (%)", "The reverse (%)"]
    if not answered.seeds:
        return pd.DataFrame([["not run", "-", "-", "-"]], columns=columns)
    share = confusion(answered)
    errors = share - np.diag(np.diag(share))
    most = np.argsort(-errors, axis=None, kind="stable")[:count]
    places = [(i, j) for i, j in zip(*np.unravel_index(most, share.shape), strict=True) if errors[i, j] > 0]
    return pd.DataFrame(
        [(names[i], names[j], f"{share[i, j]:.1f}", f"{share[j, i]:.1f}") for i, j in places], columns=columns
    )


def has_cues(preset: str) -> bool:
    """Whether `cues` speaks of a preset's classes."""
    return presets.named(preset).data["name"] == "shapes"


def cues(found: Sequence[Answers]) -> pd.DataFrame:
    """Which of the three cues of the `shapes` set the wrong answers still get right: texture, shape, or a hue within
    `HUE_REACH` classes. A line per net, all seeds together, and two for wrong classes drawn by lot.
    """
    from vgglib.data.shapes import CLASSES, TEXTURES  # the package needs torch

    label = np.arange(len(CLASSES))
    texture, shape = (part[:, None] == part for part in (label % len(TEXTURES), label // len(TEXTURES)))
    apart = (label[:, None] - label) % len(CLASSES)
    hue = np.minimum(apart, len(CLASSES) - apart) <= HUE_REACH
    kinds = {
        "Texture right, shape wrong (%)": texture & ~shape,
        "Shape right, texture wrong (%)": shape & ~texture,
        "Both wrong (%)": ~shape & ~texture,
        "A similar hue (%)": hue,
    }
    lots = {"by lot": apart > 0, "by lot, of a similar hue": hue & (apart > 0)}
    lines = [_shares(own.name, str(own.wrong.sum()) if own.seeds else "not run", _errors(own), kinds) for own in found]
    return pd.DataFrame([*lines, *(_shares(name, "-", np.nonzero(pairs), kinds) for name, pairs in lots.items())])


def _errors(answered: Answers) -> tuple[np.ndarray, np.ndarray]:
    """(true classes, classes named first) of all errors of all seeds."""
    labels = np.broadcast_to(answered.labels, answered.choices.shape)
    return labels[answered.wrong], answered.choices[answered.wrong]


def _shares(name: str, count: str, pairs: tuple[np.ndarray, np.ndarray], kinds: dict[str, np.ndarray]) -> dict:
    shares = {kind: f"{100 * these[pairs].mean():.1f}" if len(pairs[0]) else "-" for kind, these in kinds.items()}
    return {"Net": name, "Errors": count, **shares}


def by_class(answered: Answers) -> pd.DataFrame:
    """Columns `label`, `images`, `error`, `low`, `high`, a line for each class that has images: its top-1 error in
    percent, mean over seeds, with Wilson's 95 % interval for that many images.

    All seeds look at the same images, so more of them do not make the interval narrower.
    """
    labels, images = np.unique(answered.labels, return_counts=True)
    misses = np.bincount(answered.labels, answered.wrong.mean(0) if answered.seeds else None)[labels]
    error = 100 * misses / images
    low, high = interval_percent(error, images)
    return pd.DataFrame({"label": labels, "images": images, "error": error, "low": low, "high": high})


def told_apart(answered: Answers) -> str:
    """How wide the classes' intervals are, and how many leave out the error of all classes, in a sentence."""
    if not answered.seeds:
        return f"{answered.name}: not run."
    found, error = by_class(answered), 100 * answered.wrong.mean()
    outside = ((found["low"] > error) | (found["high"] < error)).sum()
    few, many = found["images"].min(), found["images"].max()
    width = (found["high"] - found["low"]).median()
    return (
        f"**{answered.name}:** with {few if few == many else f'{few} to {many}'} images a class, half of the intervals "
        f"are wider than {width:.0f} points, and {outside} of {len(found)} leave out the error over all classes, "
        f"{error:.1f} %. If all classes had this error, chance alone would make no more than about "
        f"{0.05 * len(found):.0f} do so."
    )
