"""Predictions: what some trainings suggest, written down before others were made that can refute it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from vgglib.analysis import by_hand
from vgglib.claims import claim_called
from vgglib.comparisons import ERROR, Arm, Evidence, between
from vgglib.metrics import interval_text
from vgglib.plans import TESTS, plan
from vgglib.results import Store
from vgglib.statistics import Decision, lower, p_equals, probability_text

OUTCOMES = {"reproduced": "held", "opposite": "refuted: the opposite", "undecided": "undecided", "not run": "not run"}


@dataclass(frozen=True)
class Prediction:
    """That `treatment` has a lower top-1 error than `baseline`, S = Q = 256, in trainings that were not made yet.

    It is put to the paired t test of the claims, two-sided at 5 %, over all of `seeds` at once: none is added or left
    out, and no page shows their errors before all are done. `seen` are the seeds that suggested it, which take no part.
    """

    preset: str
    claim: str  # the one of `claims.CLAIMS` that it asks again
    treatment: str
    baseline: str
    method: str  # how both are tested
    epochs: int
    patience: int
    seen: tuple[int, ...]
    seeds: tuple[int, ...]

    @property
    def contrast(self) -> str:
        return f"{self.treatment} - {self.baseline}"

    @property
    def waits(self) -> int:
        """The patience as far as it counts."""
        return min(self.patience, self.epochs)

    @property
    def recipe(self) -> str:
        """What is not the preset's own in its trainings."""
        if self.waits == self.epochs:
            return f"{self.epochs} epochs whose rate drops at the deadlines alone"
        return f"{self.epochs} epochs with patience {self.patience}"


PREDICTIONS = (
    # Of several other ways to ask about E - A the one that had an interval below 0.
    Prediction(
        preset="demo",
        claim="depth",
        treatment="E",
        baseline="A",
        method="multi-crop",
        epochs=48,
        patience=48,
        seen=tuple(range(8)),
        seeds=tuple(range(8, 16)),
    ),
)


def of(preset: str) -> tuple[Prediction, ...]:
    """Those about nets of a preset."""
    return tuple(prediction for prediction in PREDICTIONS if prediction.preset == preset)


def held_back(preset: str, epochs: int, patience: int) -> set[int]:
    """The seeds of which trainings so long and patient belong to a prediction, and to nothing else."""
    asked = epochs, min(patience, epochs)  # a patience longer than the training is none
    own = [prediction for prediction in of(preset) if asked == (prediction.epochs, prediction.waits)]
    return {seed for prediction in own for seed in prediction.seeds}


def rows(store: Store, prediction: Prediction, seeds: Sequence[int], method: str) -> pd.DataFrame:
    """Rows of both nets, as `Store.rows` gives them, of these seeds and this way to test."""
    nets = prediction.baseline, prediction.treatment
    trained = {"epochs": prediction.epochs, "patience": prediction.patience}
    return store.rows(plan(prediction.preset, TESTS[method], nets, seeds, ["256"], **trained))


def decision(prediction: Prediction, found: pd.DataFrame) -> Decision:
    """What `rows` of the prediction's own seeds say of it: nothing, before all of them are done or have failed."""
    evidence = _evidence(prediction, found, prediction.method)
    if (found["status"] == "not run").any():
        return Decision("not run", None, f"{evidence.status}, and before all are done no page shows their errors")
    return evidence.decided(lower)


def table(store: Store, preset: str) -> pd.DataFrame:
    """For display, a line for the seeds that suggested each prediction and one for those that it is put to, on which
    the other way to test follows, of which nothing was predicted: mean top-1 errors in percent, their difference in
    points with its 95 % interval over seeds and seed by seed, and the outcome with its p value.
    """
    lines = []
    for prediction in of(preset):
        seen = rows(store, prediction, prediction.seen, prediction.method)
        lines.append(_line(prediction, seen, prediction.seen, prediction.method) | {"Outcome": "suggested it"})
        found = {method: rows(store, prediction, prediction.seeds, method) for method in TESTS}
        own = decision(prediction, found[prediction.method])
        for method in sorted(TESTS, key=lambda method: method != prediction.method):
            line = _line(prediction, found[method], prediction.seeds, method, hidden=own.verdict == "not run")
            outcome = {"Outcome": "nothing was predicted"}
            if method == prediction.method:
                outcome = {"p": probability_text(own.p_value), "Outcome": OUTCOMES[own.verdict]}
            lines.append(line | outcome)
    return pd.DataFrame(lines)


def _line(prediction: Prediction, found: pd.DataFrame, seeds: Sequence[int], method: str, hidden: bool = False) -> dict:
    evidence = _evidence(prediction, found, method)
    line = {"Seeds": f"{min(seeds)} to {max(seeds)}", "Tested": method, prediction.baseline: "-"}
    line |= dict.fromkeys([prediction.treatment, prediction.contrast, "95 % interval", "Seed by seed", "p"], "-")
    if hidden or not evidence.seeds:
        return line
    if len(evidence.seeds) < len(seeds):
        line["Seeds"] += f", of which {', '.join(map(str, evidence.seeds))}"
    (pair,) = evidence.pairs
    for net, errors in zip((prediction.treatment, prediction.baseline), zip(*pair.values(), strict=True), strict=True):
        line[net] = f"{sum(getattr(row, ERROR) for row in errors) / len(errors):.2f}"
    points = evidence.differences
    line[prediction.contrast] = f"{points.mean():+.2f}"
    line["Seed by seed"] = ", ".join(f"{point:+.1f}" for point in points)
    return line | {"95 % interval": interval_text(points, "+.2f")}


def _evidence(prediction: Prediction, found: pd.DataFrame, method: str) -> Evidence:
    return between(
        found, *(Arm(TESTS[method], net, method=method) for net in (prediction.treatment, prediction.baseline))
    )


def finding(store: Store, preset: str) -> str:
    """A sentence for each prediction about a preset: what it was, and what came of it; empty where there is none."""
    said = []
    for prediction in of(preset):
        found = rows(store, prediction, prediction.seeds, prediction.method)
        evidence, own = _evidence(prediction, found, prediction.method), decision(prediction, found)
        text = f"*{claim_called(prediction.claim).statement}*, asked once more. Seeds {min(prediction.seen)} to "
        text += f"{max(prediction.seen)} suggested that {prediction.treatment} errs less than {prediction.baseline} "
        text += f"after {prediction.recipe}, tested {by_hand.HOW[prediction.method]}. The same was predicted for seeds "
        text += f"{min(prediction.seeds)} to {max(prediction.seeds)} before any of these was trained. The outcome: "
        text += f"**{OUTCOMES[own.verdict]}**"
        if own.p_value is not None:
            points = evidence.differences
            text += f", {points.mean():+.2f} points ({interval_text(points, '+.2f')}), {p_equals(own.p_value)}"
        notes = [own.why, evidence.head_start, evidence.mixed_devices]
        said.append(f"{text}; {'; '.join(filter(None, notes))}.")
    return " ".join(said)
