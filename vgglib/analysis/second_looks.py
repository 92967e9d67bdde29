"""What claims come to when the same is asked in another way: of longer trainings, on crops, against other baselines."""

from __future__ import annotations

import pandas as pd

from vgglib.analysis import by_hand, lengths, small_filters, starts
from vgglib.claims import CLAIMS, KINDS
from vgglib.comparisons import Evidence, checked, with_failed
from vgglib.metrics import interval_text
from vgglib.plans import TESTS
from vgglib.verdicts import judge


def table(rows: pd.DataFrame, trainings: pd.DataFrame, started: pd.DataFrame, shallow: pd.DataFrame) -> pd.DataFrame:
    """For display, a line for each other way to ask of which there are two seeds: the claim's verdict, the way, and the
    effect in points with its 95 % interval, which no correction touches and which decides nothing, and how many runs
    failed.

    rows: of a preset's every table, as `evidence.rows` gives them; trainings: of its nets by length and arithmetic, as
    `lengths.rows` does; started: of net E from several starts, and A, as `starts.rows` does;
    shallow: of B and B-5x5 on a centre crop, as `small_filters.rows` does.
    """
    compared = checked(rows)
    lines = []
    for claim, verdict in zip(CLAIMS, judge(rows), strict=True):
        looks = {}
        if claim.name == "depth":
            looks = _of_depth(trainings) | starts.compared(started, "A")
        elif claim.name == "start":
            looks = starts.compared(started)
        elif claim.name == "small-filters":
            looks = {
                f"B - B-5x5, both from random weights, at most {recipe}, {by_hand.HOW[method]}": own
                for (recipe, method), own in small_filters.compared(shallow).items()
            }
        for pool in claim.again:
            looks[pool.label] = Evidence.of(compared, pool.comparisons, KINDS[claim.kind][0])
        lines += [
            {
                "Claim": claim.statement,
                "Asked otherwise": label,
                **_effect(own),
                "The claim's own verdict": verdict.verdict,
            }
            for label, own in looks.items()
            if len(own.seeds) > 1
        ]
    return pd.DataFrame(lines)


def _of_depth(found: pd.DataFrame) -> dict[str, Evidence]:
    """E - A of every length of training, arithmetic and way to test, but for the claim's own."""
    own = set(found.loc[~found["by_hand"].astype(bool) & (found["method"] == "dense"), "recipe"])
    return {
        f"E - A, at most {recipe}, {method}": lengths.compared(found, recipe, method, lengths.ENDS)
        for recipe in found["recipe"].unique()
        for method in TESTS
        if method != "dense" or recipe not in own
    }


def _effect(own: Evidence) -> dict[str, str]:
    points = own.differences
    seeds, interval = with_failed(str(len(points)), own.failed), interval_text(points, "+.2f")
    return {"Ours": f"{points.mean():+.2f}", "95 % interval": interval, "Seeds": seeds}
