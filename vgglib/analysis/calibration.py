"""Whether a net is right as often as it says, from stored posteriors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from vgglib import tables
from vgglib.analysis.errors import Answers

BINS = 10  # of confidence, equally wide: with more, a thousand images leave most of them nearly empty
SMALL_BIN = 30  # images below which a bin's accuracy is not drawn: its interval spans a third of the scale
DRAWS = 100  # of right and wrong, for the calibration error of a calibrated net


def reliability(answered: Answers, bins: int = BINS) -> pd.DataFrame:
    """Confidence, which is the posterior of the class named first, and accuracy: a line for each of `bins` equally wide
    bins that holds images, all seeds together.

    Columns: `images` (their number), `confidence` and `accuracy` (percent, means within the bin).
    """
    confidence, right = answered.confidence.ravel(), ~answered.wrong.ravel()
    frame = pd.DataFrame({"bin": _bins(confidence, bins), "confidence": 100 * confidence, "accuracy": 100 * right})
    groups = frame.groupby("bin")
    return groups.mean().assign(images=groups.size()).reset_index(drop=True)


def _bins(confidence: np.ndarray, bins: int) -> np.ndarray:
    """The number of the bin, 0 to bins - 1; a value on an edge belongs to the bin below."""
    return np.digitize(confidence, np.linspace(0, 1, bins + 1)[1:-1], right=True)


def calibration_error(confidence: np.ndarray, right: np.ndarray, bins: int = BINS) -> np.ndarray:
    """Expected calibration error in points (Guo et al., 2017): the mean over images of the distance between their bin's
    mean confidence and its accuracy.

    confidence: (N,) in 0..1; right: (..., N) bool, one error for each of its rows.
    """
    members = _bins(confidence, bins)[:, None] == np.arange(bins)
    return 100 * np.abs((right - confidence) @ members).sum(-1) / len(confidence)


def calibrated_error(confidence: np.ndarray, bins: int = BINS, draws: int = DRAWS) -> float:
    """What `calibration_error` is on average for a net that is right exactly as often as it says, in points: chance
    keeps it above 0, and the more so the fewer images. The same input always gives the same answer.
    """
    right = np.random.default_rng(0).random((draws, len(confidence))) < confidence
    return float(calibration_error(confidence, right, bins).mean())


def table(rows: pd.DataFrame, found: Sequence[Answers], bins: int = BINS) -> pd.DataFrame:
    """A line for each of `found`: top-1 error, mean confidence less accuracy, and the calibration error beside that of
    a calibrated net of the same confidences. Means over seeds.

    rows: as `results.Store.rows` gives them, for the errors and what is missing of them.
    """
    summary = {tuple(line[:5]): line for line in tables.summary(rows).itertuples(index=False)}
    lines = []
    for own in found:
        line = summary.get(own.key)  # `rows` may leave out nets without records
        excess, distance, chance = _calibration(own, bins) if own.seeds else "---"
        numbers = {
            "Top-1 error (%)": f"{line.top1:.1f}" if own.seeds else "-",
            "Confidence - accuracy (points)": excess,
            "Calibration error (points)": distance,
            "of a calibrated net": chance,
        }
        seeds, status = (line.seeds, line.status) if line else (0, "not run")
        lines.append({"Net": own.name, **numbers, "Seeds": str(seeds), "Status": status})
    return pd.DataFrame(lines)


def _calibration(own: Answers, bins: int) -> tuple[str, str, str]:
    pairs = list(zip(own.confidence, ~own.wrong, strict=True))
    distance = np.mean([calibration_error(confidence, right, bins) for confidence, right in pairs])
    chance = np.mean([calibrated_error(confidence, bins) for confidence, _ in pairs])
    excess = np.mean([confidence.mean() - right.mean() for confidence, right in pairs])
    return f"{100 * excess:+.1f}", f"{distance:.1f}", f"{chance:.1f}"
