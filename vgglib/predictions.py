"""Predictions: what some trainings suggest, written down before others were made that can refute it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from vgglib.comparisons import ERROR, Arm, Comparison, Evidence, checked
from vgglib.plans import TESTS, plan
from vgglib.results import Store
from vgglib.statistics import Decision, lower, probability_text
from vgglib.tables import mean_interval

OUTCOMES = {"reproduced": "held", "opposite": "refuted: the opposite", "undecided": "undecided", "not run": "not run"}


@dataclass(frozen=True)
class Prediction:
    """That `treatment` has a lower top-1 error than `baseline`, S = Q = 256, in trainings that were not made yet.

    It is put to the paired t test of the claims, two-sided at 5 %, over all of `seeds` at once: none is added, left out
    or looked at before. `seen` are the seeds that suggested it, which take no part.
    """

    preset: str
    claim: str  # the one of `claims.CLAIMS` that it asks again
    treatment: str
    baseline: str
    method: str  # how both are tested
    settings: tuple[tuple[str, int], ...]  # of the trainings, where they are not the preset's
    seen: tuple[int, ...]
    seeds: tuple[int, ...]

    @property
    def contrast(self) -> str:
        return f"{self.treatment} - {self.baseline}"


PREDICTIONS = (
    # Seen at 48 epochs whose rate drops at the deadlines alone: E - A = -1.00 points on crops (-1.60 to -0.40).
    Prediction(
        preset="demo",
        claim="depth",
        treatment="E",
        baseline="A",
        method="multi-crop",
        settings=(("epochs", 48), ("patience", 48)),
        seen=tuple(range(8)),
        seeds=tuple(range(8, 16)),
    ),
)


def of(preset: str) -> tuple[Prediction, ...]:
    """Those about nets of a preset."""
    return tuple(prediction for prediction in PREDICTIONS if prediction.preset == preset)


def held_back(preset: str, settings: dict) -> set[int]:
    """The seeds of trainings with these settings that a prediction is put to, and nothing else."""
    return {seed for prediction in of(preset) if dict(prediction.settings) == settings for seed in prediction.seeds}


def rows(store: Store, prediction: Prediction, seeds: Sequence[int], method: str) -> pd.DataFrame:
    """Rows of both nets, as `Store.rows` gives them, of these seeds and this way to test."""
    nets, settings = (prediction.baseline, prediction.treatment), dict(prediction.settings)
    return store.rows(plan(prediction.preset, TESTS[method], nets, seeds, ["256"], **settings))


def decision(prediction: Prediction, found: pd.DataFrame) -> Decision:
    """What `rows` of the prediction's own seeds say of it: nothing, before all of them are done."""
    evidence = _evidence(prediction, found, prediction.method)
    if evidence.missing:
        return Decision("not run", None, f"{evidence.status}, and before all are done none is looked at")
    return evidence.undecidable or lower(evidence.differences)


def table(store: Store, preset: str) -> pd.DataFrame:
    """For display, a line for the seeds that suggested each prediction and one for those that it is put to, on which
    the other way to test follows, of which nothing was predicted: mean top-1 errors in percent, their difference in
    points with its 95 % interval over seeds, in how many seeds it is below 0, and the outcome with its p value.
    """
    lines = []
    for prediction in of(preset):
        lines.append(_line(store, prediction, prediction.seen, prediction.method, "suggested it"))
        own = decision(prediction, rows(store, prediction, prediction.seeds, prediction.method))
        for method in sorted(TESTS, key=lambda method: method != prediction.method):
            outcome = OUTCOMES[own.verdict] if method == prediction.method else "nothing was predicted"
            line = _line(store, prediction, prediction.seeds, method, outcome, hidden=own.verdict == "not run")
            lines.append(line | ({"p": probability_text(own.p_value)} if method == prediction.method else {}))
    return pd.DataFrame(lines)


def _line(
    store: Store, prediction: Prediction, seeds: Sequence[int], method: str, outcome: str, hidden: bool = False
) -> dict:
    found = rows(store, prediction, seeds, method)
    evidence = _evidence(prediction, found, method)
    line = {"Seeds": f"{min(seeds)} to {max(seeds)}", "Tested": method, prediction.baseline: "-"}
    line |= dict.fromkeys([prediction.treatment, prediction.contrast, "95 % interval", "Below 0", "p"], "-")
    line["Outcome"] = outcome
    if hidden or not evidence.seeds:
        return line
    (pair,) = evidence.pairs
    for net, errors in zip((prediction.treatment, prediction.baseline), zip(*pair.values(), strict=True), strict=True):
        line[net] = f"{sum(getattr(row, ERROR) for row in errors) / len(errors):.2f}"
    points = evidence.differences
    line[prediction.contrast] = f"{points.mean():+.2f}"
    line["Below 0"] = f"{(points < 0).sum()} of {len(points)}"
    if len(points) > 1:
        line["95 % interval"] = "{:+.2f} to {:+.2f}".format(*mean_interval(points))
    return line


def _evidence(prediction: Prediction, found: pd.DataFrame, method: str) -> Evidence:
    first, second = (Arm(TESTS[method], net, method=method) for net in (prediction.treatment, prediction.baseline))
    return Evidence.of(checked(found), (Comparison(first, (second,)),), ERROR)


def finding(store: Store, preset: str) -> str:
    """A sentence for each prediction about a preset: what it was, and what came of it."""
    said = []
    for prediction in of(preset):
        found = rows(store, prediction, prediction.seeds, prediction.method)
        own = decision(prediction, found)
        settings = ", ".join(f"{name} {value}" for name, value in prediction.settings)
        text = f"That {prediction.treatment} errs less than {prediction.baseline} ({prediction.method}, {settings}), "
        text += f"which seeds {prediction.seen[0]} to {prediction.seen[-1]} suggested, was predicted for seeds "
        text += f"{prediction.seeds[0]} to {prediction.seeds[-1]} before any of these was trained: "
        text += f"**{OUTCOMES[own.verdict]}**"
        points = _evidence(prediction, found, prediction.method).differences
        if own.p_value is not None:
            low, high = mean_interval(points)
            text += f", {points.mean():+.2f} points ({low:+.2f} to {high:+.2f}), p: {probability_text(own.p_value)}"
        said.append(f"{text}; {own.why}.")
    return " ".join(said)
