"""Longer trainings: whether more epochs change what depth is worth, for the nets of Table 3 at S = 256."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from vgglib import claims
from vgglib.comparisons import ERROR, Comparison, Evidence, checked
from vgglib.experiments import plan
from vgglib.results import Store
from vgglib.statistics import lower
from vgglib.tables import mean_interval

_OTHER_LENGTH = re.compile(r"[^_]+_S256_seed(\d+)_epochs=(\d+)_dense_Q256")  # and nothing else set by hand
CLAIM = next(claim for claim in claims.CLAIMS if claim.name == "depth")
STEPS: tuple[Comparison, ...] = (*CLAIM.comparisons, *CLAIM.more)


def rows(store: Store, preset: str) -> pd.DataFrame:
    """Rows of Table 3 at S = 256, as `Store.rows` gives them, with a column `epochs`: of the preset's own number of
    epochs, and of every other number of which there are records that differ from the preset's recipe in nothing else.

    Seeds are those with another number of epochs. Empty where there are none.
    """
    names = [path.stem for path in (store.root / preset / "runs").glob("*_epochs=*.json")]
    found = [(int(name[1]), int(name[2])) for name in map(_OTHER_LENGTH.fullmatch, names) if name]
    seeds, others = (sorted(set(values)) for values in zip(*found, strict=True)) if found else ((), ())
    parts = []
    for epochs in (None, *others) if found else ():
        entries = plan(preset, "3", seeds=seeds, train_scales=["256"], epochs=epochs)
        parts.append(store.rows(entries).assign(epochs=entries[0].runs[0].experiment.epochs))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def differences(found: pd.DataFrame, comparison: Comparison, epochs: int) -> pd.Series:
    """Treatment - baseline in points of top-1 error, by seed, of the trainings that were given so many epochs."""
    evidence = Evidence.of(checked(found[found["epochs"] == epochs]), (comparison,), ERROR)
    return pd.Series(evidence.differences, index=evidence.seeds, dtype=float)


def effects(found: pd.DataFrame) -> pd.DataFrame:
    """For display: what each step of depth is worth after each number of epochs, and how much more after the largest
    than after the smallest, on the seeds that have both nets in all of them.
    """
    lengths = sorted(found["epochs"].unique())
    lines = []
    for comparison in STEPS:
        by_length = pd.DataFrame({epochs: differences(found, comparison, epochs) for epochs in lengths}).dropna()
        if len(by_length) > 1:
            nets = f"{comparison.treatment.net} - {comparison.baselines[0].net}"
            change = by_length[lengths[-1]] - by_length[lengths[0]]
            each = {f"after {epochs} epochs": _effect(by_length[epochs]) for epochs in lengths}
            lines.append({"Nets": nets, "Seeds": str(len(by_length)), **each, "Change": _effect(change)})
    return pd.DataFrame(lines)


def _effect(points: Sequence[float]) -> str:
    low, high = mean_interval(points)
    return f"{np.mean(points):+.2f} ({low:+.2f} to {high:+.2f})"


def finding(found: pd.DataFrame) -> str:
    """The claim of depth after each number of epochs, by its test alone: no other test is corrected for."""
    (comparison,) = CLAIM.comparisons
    said = []
    for epochs in sorted(found["epochs"].unique()):
        points = differences(found, comparison, epochs)
        verdict = lower(points.to_numpy()).verdict if len(points) > 1 else "undecided, with fewer than two seeds,"
        said.append(f"{verdict} after {epochs} epochs")
    return f"**{CLAIM.statement}: {', '.join(said)}** (paired t tests, each alone)."


def arithmetic(found: pd.DataFrame) -> str:
    """Which arithmetic the trainings of each length were done in, in words."""
    done = found[found["status"] == "done"]
    said = done.assign(precision=[environment["precision"] for environment in done["environment"]])
    return "; ".join(
        f"{epochs} epochs in {' and '.join(sorted(set(own)))}" for epochs, own in said.groupby("epochs")["precision"]
    )
