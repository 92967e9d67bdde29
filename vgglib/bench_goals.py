"""What timings were to reach, fixed before anything was timed, and what of it did not hold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from statistics import median

import pandas as pd

from vgglib import bench
from vgglib import bench_page as page
from vgglib.bench import OURS
from vgglib.bench_page import Records

COLUMNS = ("Case", "On", "What", "To reach", "Ours", "95 % interval", "Met")


@dataclass(frozen=True)
class Goal:
    """What was to be reached beyond the limits that stand in the cases themselves.

    Ours is to be `limit` times as fast as `rival`, or where less is better, to take at most `limit` times its time.
    Without a rival, `value` names what is to be reached, in the unit of the records.
    """

    suite: str
    device: str  # a pattern, as the next
    case: str
    limit: float
    rival: str | None = None
    at_least: bool = True
    value: str | None = None


GOALS = (
    Goal("training", "cpu", "net [AD], *", 4, "torchvision's script"),
    Goal("training", "cpu", "net [AD], *", 1.7, "timm's script, best options"),
    Goal("training", "*", page.LRN, 1.35, page.NET_A, at_least=False),
    Goal("training", "cuda", "net D, 224 pixels, *", 0.55, value="peak_share"),
)


def reached(records: Records) -> pd.DataFrame:
    """Everything that was to be reached, and whether it was, by the median."""
    lines = []
    for record in page.each(records):
        better = {case["name"]: case["more_is_better"] for case in record["cases"]}
        for row in bench.limits(record).itertuples():
            found = (row.median, row.low, row.high)
            lines.append(_line(record, row.case, row.unit, row.limit, better[row.case], found))
        for goal in GOALS:
            if record["suite"] == goal.suite and fnmatch(record["environment"]["device"], goal.device):
                lines += _against(record, goal) if goal.rival else _by_value(record, goal)
    return pd.DataFrame(lines, columns=COLUMNS)


def _against(record: dict, goal: Goal) -> Iterator[dict]:
    found = page.rivals(record)
    for row in found[found["contender"] == goal.rival].itertuples():
        if not fnmatch(row.case, goal.case):
            continue
        times = (row.advantage, row.advantage_low, row.advantage_high)
        if goal.at_least:
            yield _line(record, row.case, f"times as fast as {goal.rival}", goal.limit, True, times)
        else:
            longer = (1 / times[0], 1 / times[2], 1 / times[1])
            yield _line(record, row.case, f"times the time of {goal.rival}", goal.limit, False, longer)


def _by_value(record: dict, goal: Goal) -> Iterator[dict]:
    what, factor = page.EXTRAS[goal.value]
    found = bench.values(record, goal.value)
    for case in page.cases(record, goal.case):
        own = found[(found["case"] == case) & (found["contender"] == OURS)]["value"]
        if len(own):
            own = (factor * own).tolist()
            ends = bench.interval(own) or (float("nan"), float("nan"))
            yield _line(record, case, what, factor * goal.limit, goal.at_least, (median(own), *ends))


def _line(record: dict, case: str, what: str, limit: float, at_least: bool, found: tuple[float, ...]) -> dict:
    """found: what ours reached, and the ends of its interval."""
    met = found[0] >= limit if at_least else found[0] <= limit
    least = "at least" if at_least else "at most"
    own = (page.number(found[0]), page.span(*found[1:]), "yes" if met else "no")
    return dict(zip(COLUMNS, (case, page.where(record), what, f"{least} {limit:,g}", *own), strict=True))


def not_held(records: Records) -> list[str]:
    """What was to be reached and was not, and who is faster than ours, a sentence each."""
    limits = reached(records)
    texts = [
        f"**{row['Case']}**, on {row['On']}: {row['Ours']} {row['What']}{page.in_brackets(row['95 % interval'])}, "
        f"where {row['To reach']} was to be reached."
        for _, row in limits[limits["Met"] == "no"].iterrows()
    ]
    for record in page.each(records):
        found = page.rivals(record)
        # Parts of the work do less than ours, and other ways to use this project are no rivals.
        names = found["contender"].str
        other = ~names.endswith(page.PART) & ~names.contains(OURS, regex=False)
        texts += [
            f"**{row.case}**, on {page.where(record)}: {row.contender} is faster; ours is {page.number(row.advantage)} "
            f"times as fast{page.in_brackets(page.span(row.advantage_low, row.advantage_high))}."
            for row in found[other & (found["advantage"] < 1)].itertuples()
        ]
    return texts
