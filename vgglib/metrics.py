"""Errors and their intervals, from posteriors and labels, and from the errors of several seeds."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

Numbers = float | np.ndarray
SAME = 1e-9  # values no further apart are equal up to rounding


def wrong(posteriors: np.ndarray, labels: np.ndarray, k: int) -> np.ndarray:
    """(N,) bool: whether the true class is missing from the k most probable.

    posteriors: (N, classes); labels: (N,). A class that ties with the true one counts as ranked before it, so that a
    net which says the same of every class is wrong everywhere instead of right everywhere.
    Raises ValueError for different lengths, and for a label that is no class.
    """
    posteriors, labels = np.asarray(posteriors), np.asarray(labels)
    if len(posteriors) != len(labels):
        raise ValueError(
            f"{len(posteriors)} posteriors were given for {len(labels)} labels: both must name the same images."
        )
    classes = posteriors.shape[1]
    if len(unknown := labels[(labels < 0) | (labels >= classes)]):
        raise ValueError(f"label {unknown[0]} is none of the {classes} classes: take labels from 0 to {classes - 1}.")
    own = posteriors[np.arange(len(labels)), labels][:, None]
    # Written so that a posterior that is not a number counts as wrong.
    return ~((posteriors < own).sum(1) >= classes - k)


def error_percent(posteriors: np.ndarray, labels: np.ndarray, k: int = 1) -> float:
    """Top-k error in percent, the paper's two measures being k = 1 and k = 5 (Sect. 4).

    Raises ValueError as `wrong` does.
    """
    return percent(wrong(posteriors, labels, k))


def percent(missed: np.ndarray) -> float:
    """The error in percent of answers (N,) bool, True where wrong."""
    return 100 * float(missed.mean())


def interval_percent(error: Numbers, n_images: Numbers, confidence: float = 0.95) -> tuple[Numbers, Numbers]:
    """Wilson interval of an error in percent measured on `n_images`, or of arrays of both: what the sampling of images
    alone leaves open.
    """
    # Takes a second or two to import, and workers, which train and test, need no interval.
    from statsmodels.stats.proportion import proportion_confint

    errors = np.clip(np.asarray(error) / 100 * n_images, 0, n_images)  # of a mean over seeds no whole number
    low, high = proportion_confint(errors, n_images, 1 - confidence, method="wilson")
    return np.clip(100 * low, 0, 100), np.clip(100 * high, 0, 100)  # rounding may lead out of them


def mean_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float]:
    """Student's t interval of a mean, from at least two values: what the sampling of seeds leaves open. Equal values
    say nothing of it, and have ends that are not a number.

    Raises ValueError for fewer.
    """
    values = np.asarray(values, float)
    if len(values) < 2:
        raise ValueError(f"an interval of a mean takes two values or more, not {len(values)}: run more seeds.")
    if np.ptp(values) <= SAME:
        return np.nan, np.nan
    ends = values.mean() + values.std(ddof=1) / np.sqrt(len(values)) * _t_ends(confidence, len(values) - 1)
    return tuple(float(end) for end in ends)


@cache
def _t_ends(confidence: float, degrees: int) -> np.ndarray:
    from scipy import stats  # as above

    return np.array(stats.t.interval(confidence, degrees))


def interval_text(values: Sequence[float], form: str = ".1f", limits: tuple[float, float] = (-np.inf, np.inf)) -> str:
    """`mean_interval`, cut at `limits`, for display, as in "1.0 to 2.0"; "-" where it would say nothing: of fewer than
    two values, of such as are no numbers, and of equal ones.
    """
    low, high = np.clip(mean_interval(values), *limits) if len(values) > 1 else (np.nan, np.nan)
    return "-" if np.isnan(low) else f"{low:{form}} to {high:{form}}"


def mean_text(
    mean: float, values: Sequence[float], form: str = ".1f", limits: tuple[float, float] = (-np.inf, np.inf)
) -> str:
    """A mean for display with the `interval_text` of the values that it is of in brackets, where that says anything."""
    interval = interval_text(values, form, limits)
    return f"{mean:{form}}" + (f" ({interval})" if interval != "-" else "")
