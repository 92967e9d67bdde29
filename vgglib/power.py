"""How many seeds it would take to decide a claim."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.power import TTestPower

from vgglib.claims import CLAIMS, KINDS
from vgglib.comparisons import ERROR, Evidence, checked
from vgglib.statistics import EQUIVALENCE_POINTS, LEVEL
from vgglib.verdicts import judge

POWER = 0.8  # how often a test should find what is there
MOST_SEEDS = 1000  # more than anyone will train


def seeds_needed(effect: float, sd: float, level: float, power: float = POWER) -> int | None:
    """Seeds with which a one-sided paired t test at `level` finds an `effect` with probability `power`.

    sd: standard deviation of the differences between seeds, in the unit of `effect`. Twice the one-sided level is that
    of the two-sided test, whose chance to err in the direction does not count here. None above `MOST_SEEDS`.
    """
    sizes = np.arange(2, MOST_SEEDS + 1)
    # Not a number where the chance differs from 1 by less than can be computed, behind the sizes looked for.
    enough = TTestPower().power(abs(effect) / sd, sizes, level, alternative="larger") >= power
    return int(sizes[enough.argmax()]) if enough.any() else None


def to_decide(rows: pd.DataFrame) -> pd.DataFrame:
    """How many seeds would decide each undecided claim about errors, if seeds differ as much as so far; for display.

    At the level that the smallest p value has to reach with Holm's correction once all claims are tested, the
    strictest. The claim's
    own size is the paper's effect, and of "does not help" a true difference of 0 that must be shown to be within the
    margin. Claims without two complete seeds, or with failed runs, are left out.
    """
    found, compared = judge(rows), checked(rows)
    level = LEVEL / sum(KINDS[claim.kind] is not None for claim in CLAIMS)
    lines = []
    for claim, verdict in zip(CLAIMS, found, strict=True):
        if verdict.verdict != "undecided" or verdict.p_value is None or KINDS[claim.kind][0] != ERROR:
            continue
        sd = float(np.std(Evidence.of(compared, claim.comparisons, ERROR).differences, ddof=1))
        size, seeds = "-", "-"  # the paper has no number for some
        if claim.kind == "no better":
            size = f"within {EQUIVALENCE_POINTS}"
            # With no difference either of the two one-sided tests may miss: each gets half of the risk.
            seeds = _many(seeds_needed(EQUIVALENCE_POINTS, sd, level, (1 + POWER) / 2))
        elif verdict.paper is not None:
            size, seeds = f"{verdict.paper:+.1f}", _many(seeds_needed(verdict.paper, sd, level / 2))
        lines.append(
            {
                "Claim": claim.statement,
                "Seeds so far": verdict.seeds,
                "Spread between seeds, points": f"{sd:.2f}",
                "Size claimed": size,
                "Seeds for that": seeds,
                "Size seen here": f"{verdict.effect:+.2f}",
                "Seeds for this": _many(seeds_needed(verdict.effect, sd, level / 2)),
            }
        )
    return pd.DataFrame(lines)


def _many(seeds: int | None) -> str:
    return f"more than {MOST_SEEDS}" if seeds is None else str(seeds)


def spread_known_within(seeds: int) -> tuple[float, float]:
    """The ends of the 95 % interval of a standard deviation, as multiples of the one found in so many seeds."""
    low, high = stats.chi2.ppf([0.975, 0.025], seeds - 1)
    return math.sqrt((seeds - 1) / low), math.sqrt((seeds - 1) / high)
