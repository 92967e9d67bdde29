"""Records of timings (`vgg bench`), and what they say: medians, and how many times faster ours is, with intervals.

A record holds the cases of one suite on one kind of device. Each case has its contenders, their measurements, who was
left out and why, and the environment in which all of that was timed.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from statistics import median

import pandas as pd

from vgglib.results import default_root, read_sealed

SCHEMA = 1
SUITES = ("training", "growth", "evaluation", "data", "user")
OURS = "this project"
FOLDER = "benchmarks"  # of the results
FEWEST = 6  # values of which an interval of 95 % for the median can be given


def path(suite: str, device: str = "cpu", root: Path | None = None) -> Path:
    """Of a suite's record for one kind of device."""
    return (root or default_root()) / FOLDER / f"{suite}-{device.partition(':')[0]}.json"


def kept(suite: str, device: str = "cpu", root: Path | None = None) -> dict | None:
    """A suite's record, None where there is none; ValueError for one that was altered or is of another schema."""
    return read_sealed(path(suite, device, root), SCHEMA, f"measure again with `vgg bench {suite}`")


def interval(values: Sequence[float]) -> tuple[float, float] | None:
    """The 95 % interval of the median of independent values, from their order alone; None of fewer than six."""
    if len(values) < FEWEST:
        return None
    low, high = _ranks(len(values))
    ordered = sorted(values)
    return float(ordered[low]), float(ordered[high])


@cache
def _ranks(count: int) -> tuple[int, int]:
    """Which of `count` ordered values, from 0 on, are the ends of the 95 % interval of the median."""
    from scipy.stats import quantile_test

    found = quantile_test(range(count), p=0.5).confidence_interval(0.95)
    return int(found.low), int(found.high)


def with_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """The median, and the ends of its interval; NaN where there are too few values."""
    nan = float("nan")
    return (median(values) if len(values) else nan, *(interval(values) or (nan, nan)))


def values(record: dict, name: str = "value") -> pd.DataFrame:
    """One line per measurement that has a value called `name`: `case`, `contender`, `round`, `value`."""
    lines = [
        {"case": case["name"], "contender": one["contender"], "round": one["round"], "value": one["values"][name]}
        for case in record["cases"]
        for one in case["measurements"]
        if name in one["values"]
    ]
    return pd.DataFrame(lines, columns=["case", "contender", "round", "value"])


def summary(record: dict, only: str | None = None) -> pd.DataFrame:
    """One line per case and contender, in the order of the suite; those of the case called `only`, if one is named.

    Columns `case`, `contender`, `unit`, `rounds`, `median`, `low`, `high`; and how many times better ours is in the
    same round, `advantage` (a median), `advantage_low`, `advantage_high`: above 1 where ours is faster, or smaller.
    Intervals are NaN of fewer than six rounds, and advantages where nothing is compared.
    """
    found, lines = values(record), []
    for case in record["cases"]:
        if only not in (None, case["name"]):
            continue
        of_case = found[found["case"] == case["name"]]
        by_round = of_case.pivot(index="round", columns="contender", values="value")
        for contender in case["contenders"]:
            if contender not in by_round:
                continue
            own = by_round[contender].dropna()
            line = {"case": case["name"], "contender": contender, "unit": case["unit"], "rounds": len(own)}
            line |= dict(zip(("median", "low", "high"), with_interval(own), strict=True))
            if not case["points"] and contender != OURS and OURS in by_round:
                ratio = by_round[OURS] / by_round[contender] if case["more_is_better"] else own / by_round[OURS]
                names = ("advantage", "advantage_low", "advantage_high")
                line |= dict(zip(names, with_interval(ratio.dropna()), strict=True))
            lines.append(line)
    columns = ["case", "contender", "unit", "rounds", "median", "low", "high"]
    return pd.DataFrame(lines, columns=[*columns, "advantage", "advantage_low", "advantage_high"])


def limits(record: dict) -> pd.DataFrame:
    """What was to be reached, beside what ours reached: `case`, `unit`, `limit`, `median`, `low`, `high`, `met` (by the
    median).
    """
    ours = summary(record).set_index(["case", "contender"])
    lines = []
    for case in record["cases"]:
        if case["limit"] is None or (case["name"], OURS) not in ours.index:
            continue
        line = ours.loc[(case["name"], OURS)]
        better = line["median"] - case["limit"] if case["more_is_better"] else case["limit"] - line["median"]
        lines.append(
            {
                "case": case["name"],
                "unit": case["unit"],
                "limit": case["limit"],
                **{name: line[name] for name in ("median", "low", "high")},
                "met": bool(better >= 0),
            }
        )
    return pd.DataFrame(lines, columns=["case", "unit", "limit", "median", "low", "high", "met"])
