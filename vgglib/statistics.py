"""The tests behind the verdicts, on plain arrays: from differences to a decision."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower
from statsmodels.stats.weightstats import ttost_paired

from vgglib.metrics import SAME

LEVEL = 0.05
EQUIVALENCE_POINTS = 0.5  # fixed before any run: a smaller difference in top-1 error counts as none
RESAMPLES = 2000
POWER = 0.8  # how often a test should find what is there
MOST_SEEDS = 1000  # more than anyone will train
HELD = 1024  # p values in memory: pages ask for those of the same seeds again and again
LOSS = "a loss"  # where a claim says that something brings no gain


class Decision(NamedTuple):
    """What one test says alone, before any correction. `p_value` is that of the test the verdict rests on."""

    verdict: str  # reproduced, or LOSS; opposite; undecided; not run
    p_value: float | None
    why: str
    test: str = ""  # of what: "difference" or "equivalence"; empty without a test


def lower(differences: np.ndarray, none: str = "0") -> Decision:
    """Whether the mean of paired differences (treatment - baseline), one per seed, is below 0.

    Two-sided paired t test. `none` is what the reader calls no effect: 0 points, or a ratio of 1. Raises ValueError
    where there are no differences.
    """
    if not _spread(differences):
        return Decision("undecided", None, "all seeds differ by exactly the same")
    p_value = _t_test_p(tuple(differences))
    if p_value >= LEVEL:
        return Decision("undecided", p_value, f"the interval contains {none}", "difference")
    if np.mean(differences) < 0:
        return Decision("reproduced", p_value, f"the interval lies below {none}", "difference")
    return Decision("opposite", p_value, f"the interval lies above {none}", "difference")


@lru_cache(HELD)
def _t_test_p(differences: tuple[float, ...]) -> float:
    return float(stats.ttest_1samp(differences, 0).pvalue)


def no_better(differences: np.ndarray, margin: float = EQUIVALENCE_POINTS) -> Decision:
    """Whether paired differences of errors in points, one per seed, show no gain: equivalence, or a loss.

    Two one-sided paired t tests against +-`margin`. Where they do not show equivalence, the two-sided t test may show a
    difference: a gain is the claim's opposite; a loss (`LOSS`) is no gain either, and not what the paper found. Raises
    ValueError where there are no differences.
    """
    if not _spread(differences):
        return Decision("undecided", None, "all seeds differ by exactly the same")
    p_value = equivalence_p(differences, margin)
    if p_value < LEVEL:
        return Decision("reproduced", p_value, f"equivalent within {margin} points", "equivalence")
    shown = lower(differences)
    if shown.verdict == "undecided":
        needed = seeds_text(seeds_needed(margin, float(np.std(differences, ddof=1)), LEVEL, (1 + POWER) / 2))
        why = f"the interval neither excludes 0 nor stays within {margin} points of it; at this spread equality, "
        why += f"tested alone, would take {needed} seeds even of equal nets"
        return Decision("undecided", p_value, why, "equivalence")
    if shown.verdict == "reproduced":
        return shown._replace(verdict="opposite")
    return shown._replace(verdict=LOSS, why=f"{shown.why}: no gain, and no equality either")


def equivalence_p(differences: np.ndarray, margin: float = EQUIVALENCE_POINTS) -> float:
    """The p value of two one-sided paired t tests: small where the mean difference is shown to be within +-`margin`.

    Differences that are all the same show nothing: their p value is 1. Raises ValueError where there are none.
    """
    if not _spread(differences):
        return 1.0
    return float(ttost_paired(differences, np.zeros(len(differences)), -margin, margin)[0])


def _spread(differences: np.ndarray) -> bool:
    if not len(differences):
        raise ValueError("0 differences leave nothing to test: give one for each seed.")
    return np.ptp(differences) > SAME  # else a t test has nothing to divide by


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's corrected p values of a family; None, where nothing was tested, stays None and counts as a p value of 1.

    So what was not run makes no other verdict easier. Raises ValueError for an empty family.
    """
    if not p_values:
        raise ValueError("a family of 0 p values has nothing to correct: give one for each claim.")
    corrected = multipletests([1.0 if p_value is None else p_value for p_value in p_values], method="holm")[1]
    return [None if own is None else float(p_value) for own, p_value in zip(p_values, corrected, strict=True)]


def sign_flip_p(differences: np.ndarray) -> float:
    """The two-sided p value of the mean of paired differences, one per seed, among all ways to flip their signs.

    It takes no shape of their distribution for granted but that it is symmetric about 0 where there is no effect. With
    n seeds it cannot be below 2 / 2^n. Above thirteen seeds a fixed choice of ways stands for all of them. Raises
    ValueError where there are no differences.
    """
    if not len(differences):
        raise ValueError("0 differences leave nothing to test: give one for each seed.")
    return _flips_p(tuple(differences))


@lru_cache(HELD)
def _flips_p(differences: tuple[float, ...]) -> float:
    ways = stats.permutation_test(
        (np.array(differences), np.zeros(len(differences))),
        # In whole units, since ways whose means are equal by pencil and paper must count as equal.
        lambda first, second, axis: np.rint(np.mean(first - second, axis=axis) / SAME),
        permutation_type="samples",
        vectorized=True,
        rng=np.random.default_rng(0),
    )
    return float(ways.pvalue)


def difference_p(differences: np.ndarray) -> tuple[float | None, float] | None:
    """The p values of a difference from 0 by the two-sided paired t test, None where all are the same, and by sign
    flips; None of fewer than two differences.
    """
    return (lower(differences).p_value, sign_flip_p(differences)) if len(differences) > 1 else None


def mcnemar_p(first: np.ndarray, second: np.ndarray) -> float:
    """McNemar's exact two-sided p value of two fixed nets on the same images; (N,) bool each, True where wrong.

    Raises ValueError for different shapes.
    """
    if first.shape != second.shape:
        raise ValueError(f"answers have shapes {first.shape} and {second.shape}: both must be of the same images.")
    table = [[np.sum(first & second), np.sum(first & ~second)], [np.sum(~first & second), np.sum(~first & ~second)]]
    return float(mcnemar(table, exact=True).pvalue)


def probability_text(p_value: float | None) -> str:
    """A p value as tables show it: three decimals, "< 0.001" where these would be zeros, "-" for None."""
    if p_value is None:
        return "-"
    return "< 0.001" if p_value < 0.001 else f"{p_value:.3f}"


def p_equals(p_value: float) -> str:
    """A p value for a sentence, such as "p = 0.057" or "p < 0.001"."""
    text = probability_text(p_value)
    return f"p {text}" if text.startswith("<") else f"p = {text}"


def seeds_needed(effect: float, sd: float, level: float, power: float = POWER) -> int | None:
    """Seeds with which a one-sided paired t test at `level` finds an `effect` with probability `power`.

    sd: standard deviation of the differences between seeds, in the unit of `effect`. Twice the one-sided level is that
    of the two-sided test, whose chance to err in the direction does not count here. None above `MOST_SEEDS`.
    """
    sizes = np.arange(2, MOST_SEEDS + 1)
    # Not a number where the chance differs from 1 by less than can be computed, behind the sizes looked for.
    enough = TTestPower().power(abs(effect) / sd, sizes, level, alternative="larger") >= power
    return int(sizes[enough.argmax()]) if enough.any() else None


def seeds_text(seeds: int | None) -> str:
    """What `seeds_needed` gives, for readers."""
    return f"more than {MOST_SEEDS}" if seeds is None else str(seeds)


def bootstrap_interval(
    differences: np.ndarray, confidence: float = 0.95, resamples: int = RESAMPLES
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean of `differences`, (seeds, images).

    Seeds and images are drawn anew independently of each other (two-way); with a single seed images alone, and the
    interval then speaks of those trained nets only. The same input always gives the same interval. Raises ValueError
    for another shape, and where there are no differences.
    """
    if differences.ndim != 2 or not differences.size:
        raise ValueError(f"differences have shape {differences.shape}: give (seeds, images), one of each at least.")
    # Images whose differences are the same in every seed count as one that is drawn more often: at ImageNet's size a
    # handful of kinds stands for 50,000 images.
    kinds, images = np.unique(differences, axis=1, return_counts=True)
    rng, batch = np.random.default_rng(0), 100  # all at once would hold resamples x kinds numbers
    means = [
        np.einsum("rs,sk,rk->r", _shares(rng, np.ones(len(kinds)), size), kinds, _shares(rng, images, size))
        for size in (min(batch, resamples - start) for start in range(0, resamples, batch))
    ]
    tails = (1 - confidence) / 2
    return tuple(float(end) for end in np.quantile(np.concatenate(means), [tails, 1 - tails]))


def _shares(rng: np.random.Generator, counts: np.ndarray, resamples: int) -> np.ndarray:
    """(resamples, kinds): the share of each kind among as many draws with replacement as there are things to draw."""
    total = int(counts.sum())
    return rng.multinomial(total, counts / total, resamples) / total
