"""What timings were to reach, fixed before anything was timed, and what of it did not hold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch

import pandas as pd

from vgglib import bench
from vgglib.bench import OURS
from vgglib.bench import bench_page as page
from vgglib.bench.bench_page import Records

ALIKE = 0.05  # ratios no further from 1 are called so
COLUMNS = ("Case", "On", "What", "To reach", "Ours", "95 % interval", "Met")


@dataclass(frozen=True)
class Goal:
    """What was to be reached beyond the limits that stand in the cases themselves.

    Ours is to be `limit` times as fast as `rival`, or where less is better, to take at most `limit` times its time.
    Without a rival, `value` names what `contender` is to reach, in the unit of the records.
    """

    suite: str
    device: str  # a pattern, as the next
    case: str
    limit: float
    rival: str | None = None
    at_least: bool = True
    value: str | None = None
    contender: str = OURS


GOALS = (
    Goal("training", "cpu", "net [AD], *", 4, "torchvision's script"),
    Goal("training", "cpu", "net [AD], *", 1.7, "timm's script, best options"),
    Goal("training", "*", page.LRN, 1.35, page.NET_A, at_least=False),
    Goal("evaluation", "cpu", "dense against 150 crops, *", 8, "150 crops, this project"),
    Goal("training", "cuda", "net D, 224 pixels, *", 0.55, value="peak_share"),
    *(
        Goal("training", "cuda", f"{page.STEP}net D, {size}, *", limit, value=value, contender=contender)
        for size, limit, value in (("224 pixels", 0.55, "peak_share"), ("56 pixels", 45_000, "value"))
        for contender in (OURS, page.COMPILED)
    ),
)


def reached(records: Records) -> pd.DataFrame:
    """Everything that was to be reached, and whether it was, by the median, or that it was not timed."""
    lines = []
    for record in page.each(records):
        better = {case["name"]: case["more_is_better"] for case in record["cases"]}
        for row in bench.limits(record).itertuples():
            found = (row.median, row.low, row.high)
            lines.append(_line(record, row.case, row.unit, row.limit, better[row.case], found))
    for goal in GOALS:
        timed = [
            line
            for record in records[goal.suite]
            if fnmatch(record["device"], goal.device)
            for line in (_against if goal.rival else _by_value)(record, goal)
        ]
        lines += timed or [_not_timed(goal)]
    return pd.DataFrame(lines, columns=COLUMNS)


def _against(record: dict, goal: Goal) -> Iterator[dict]:
    for case in page.cases(record, goal.case):
        above, below = (OURS, goal.rival) if goal.at_least else (goal.rival, OURS)
        found = page.paired(record, case, above, below)  # of speeds
        if not pd.isna(found[0]):
            what = "times as fast as" if goal.at_least else "times the time of"
            yield _line(record, case, f"{what} {goal.rival}", goal.limit, goal.at_least, found)


def _not_timed(goal: Goal) -> dict:
    on = page.DEVICES.get(goal.device, "any device")
    what, factor = _what(goal) if goal.value else (f"against {goal.rival}", 1)
    cells = (goal.case.removesuffix(", *"), on, what, _limit(factor * goal.limit, goal.at_least), "not timed", "-", "-")
    return dict(zip(COLUMNS, cells, strict=True))


def _limit(limit: float, at_least: bool) -> str:
    return f"{'at least' if at_least else 'at most'} {limit:,g}"


def _what(goal: Goal) -> tuple[str, float]:
    """What a goal's value is called, and the factor with which it is shown."""
    what, factor = page.EXTRAS.get(goal.value, ("images/s", 1))
    if not goal.case.startswith(page.STEP):
        what += ", from stored images"
    return what if goal.contender == OURS else f"{what}, {goal.contender}", factor


def _by_value(record: dict, goal: Goal) -> Iterator[dict]:
    what, factor = _what(goal)
    found = bench.values(record, goal.value)
    for case in page.cases(record, goal.case):
        own = found[(found["case"] == case) & (found["contender"] == goal.contender)]["value"]
        if len(own):
            yield _line(record, case, what, factor * goal.limit, goal.at_least, bench.with_interval(factor * own))


def _line(record: dict, case: str, what: str, limit: float, at_least: bool, found: tuple[float, ...]) -> dict:
    """found: what ours reached, and the ends of its interval."""
    met = found[0] >= limit if at_least else found[0] <= limit
    own = (page.number(found[0]), page.span(*found[1:]), "yes" if met else "no")
    return dict(zip(COLUMNS, (case, page.where(record), what, _limit(limit, at_least), *own), strict=True))


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
        other &= ~found["case"].str.startswith(page.STEP)
        for row in found[other & ~(found["advantage_low"] > 1) & (found["advantage"] < 1 + ALIKE)].itertuples():
            shown = "about as fast"
            if row.advantage_high < 1:
                shown = "faster"
            elif row.advantage < 1 - ALIKE:
                shown = "faster by the median, which the rounds do not make sure"
            own = f"{page.number(row.advantage)} times as fast"
            own += page.in_brackets(page.span(row.advantage_low, row.advantage_high))
            texts.append(f"**{row.case}**, on {page.where(record)}: {row.contender} is {shown}; ours is {own}.")
    return texts
