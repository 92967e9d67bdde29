"""Predictions: what some trainings suggest, written down before others were made that can refute it."""

from __future__ import annotations

from dataclasses import dataclass


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
