"""How many seeds it would take to decide a claim."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from scipy import stats

from vgglib.claims import CLAIMS, KINDS
from vgglib.comparisons import ERROR, Evidence, checked
from vgglib.statistics import EQUIVALENCE_POINTS, LEVEL, POWER, seeds_needed, seeds_text
from vgglib.verdicts import judge


def to_decide(rows: pd.DataFrame) -> pd.DataFrame:
    """How many seeds would decide each undecided claim about errors, if seeds differ as much as so far; for display.

    At the level that the smallest p value has to reach with Holm's correction over all claims, the strictest. The
    claim's own size is the paper's effect, and of "does not help" a true difference of 0 that must be shown to be
    within the margin, as must one that was found there. Claims without two complete seeds, or with failed runs, are
    left out.
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
            size, seeds = f"within {EQUIVALENCE_POINTS}", seeds_text(_to_show_equality(0, sd, level))
        elif verdict.paper is not None:
            size, seeds = f"{verdict.paper:+.1f}", seeds_text(seeds_needed(verdict.paper, sd, level / 2))
        equal = claim.kind == "no better" and abs(verdict.effect) < EQUIVALENCE_POINTS
        here = _to_show_equality(verdict.effect, sd, level) if equal else seeds_needed(verdict.effect, sd, level / 2)
        lines.append(
            {
                "Claim": claim.statement,
                "Seeds so far": verdict.seeds,
                "Spread between seeds, points": f"{sd:.2f}",
                "Size claimed": size,
                "Seeds for that": seeds,
                "Size seen here": f"{verdict.effect:+.2f}",
                "Seeds for this": seeds_text(here),
            }
        )
    return pd.DataFrame(lines)


def _to_show_equality(effect: float, sd: float, level: float) -> int | None:
    """Seeds with which an `effect` inside of the margin is shown to be there."""
    # Either of the two one-sided tests may miss: each gets half of the risk.
    return seeds_needed(EQUIVALENCE_POINTS - abs(effect), sd, level, (1 + POWER) / 2)


def spread_known_within(seeds: int) -> tuple[float, float]:
    """The ends of the 95 % interval of a standard deviation, as multiples of the one found in so many seeds."""
    low, high = stats.chi2.ppf([0.975, 0.025], seeds - 1)
    return math.sqrt((seeds - 1) / low), math.sqrt((seeds - 1) / high)
