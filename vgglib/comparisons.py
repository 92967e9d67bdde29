"""Rows of results paired by seed: what a treatment gains over a baseline, seed by seed and image by image."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cache
from operator import attrgetter
from typing import Any

import numpy as np
import pandas as pd

from vgglib import paper
from vgglib.answered import APART
from vgglib.arithmetic import trained_on
from vgglib.metrics import mean_interval
from vgglib.statistics import Decision, difference_p

ERROR, SECONDS = "top1_error_percent", "evaluation_seconds"  # columns that can be compared
COLUMNS = ["preset", "table", "net", "train_scale", "test_scales", "method", "start", "seed", "status"]
COLUMNS += [ERROR, SECONDS, "wrong", "environment", "timed_on"]
Row = Any  # a named tuple of COLUMNS
_ONE_SEED = "one seed says nothing of the spread between seeds: at least two are needed"


@dataclass(frozen=True)
class Arm:
    """One side of a comparison: the rows of one number, one row per seed. `start` None leaves the start open."""

    table: str
    net: str
    train_scale: str = "256"
    test_scales: str = "256"
    method: str = "dense"
    start: str | None = None

    @property
    def label(self) -> str:
        start = f" from {self.start}" if self.start else ""
        scales = f", S = {self.train_scale}, Q = {self.test_scales}" if self.train_scale else ""
        return f"{self.net}{start}{scales}" + ("" if self.method == "dense" else f", {self.method}")


@dataclass(frozen=True)
class Comparison:
    """Two arms, paired by seed. Of several baselines the best of each seed counts."""

    treatment: Arm
    baselines: tuple[Arm, ...]

    @property
    def arms(self) -> tuple[Arm, ...]:
        return (self.treatment, *self.baselines)

    @property
    def baseline_label(self) -> str:
        if len(self.baselines) == 1:
            return self.baselines[0].label
        for name in ("net", "test_scales", "method"):
            if len({replace(arm, **{name: ""}) for arm in self.baselines}) == 1:  # alike in all else
                together = " or ".join(getattr(arm, name) for arm in self.baselines)
                return f"the best of {replace(self.baselines[0], **{name: together}).label}"
        return f"the best of {'; '.join(arm.label for arm in self.baselines)}"


def with_failed(text: str, failed: int) -> str:
    """A text for display with the number of runs that failed, where any did."""
    return f"{text}, {failed} failed" if failed else text


@dataclass(frozen=True)
class Evidence:
    """What rows say of several comparisons pooled. Only seeds of which every arm is done count.

    rows: from `checked`. Raises ValueError when two rows disagree about one arm and seed, and when nets were tested on
    different images.
    """

    comparisons: tuple[Comparison, ...]
    measure: str  # the column that is compared
    pairs: tuple[dict, ...]  # per comparison: seed -> (treatment's row, baseline's row)
    apart: frozenset[int]  # seeds that are left out of a comparison of seconds
    failed: int
    missing: int
    entries: int  # arms x the seeds that any of them has rows of

    @classmethod
    def of(cls, rows: list[Row], comparisons: tuple[Comparison, ...], measure: str) -> Evidence:
        arms = {arm: _entries(rows, arm) for comparison in comparisons for arm in comparison.arms}
        done = {arm: _done(found, measure) for arm, found in arms.items()}
        _check_images(done)
        pairs = tuple(_pairs(comparison, done, measure) for comparison in comparisons)
        apart = frozenset()
        if measure == SECONDS:
            apart = frozenset(seed for pair in pairs for seed, arms in pair.items() if not _timed_alike(arms))
            pairs = tuple({seed: arms for seed, arms in pair.items() if seed not in apart} for pair in pairs)
        failed = sum(row.status == "failed" for found in arms.values() for row in found.values())
        seeds = {seed for found in arms.values() for seed in found} or {row.seed for row in rows}
        entries = len(arms) * max(len(seeds), 1)
        return cls(comparisons, measure, pairs, apart, failed, entries - failed - sum(map(len, done.values())), entries)

    @property
    def seeds(self) -> list[int]:
        return sorted(set.intersection(*map(set, self.pairs)))

    @property
    def differences(self) -> np.ndarray:
        """(seeds,): mean over the comparisons of treatment - baseline, in points; for seconds of their logarithms."""
        scale = math.log if self.measure == SECONDS else float

        def difference(treatment, baseline) -> float:
            return scale(getattr(treatment, self.measure)) - scale(getattr(baseline, self.measure))

        return np.array([np.mean([difference(*pair) for pair in self._at(seed)]) for seed in self.seeds])

    @property
    def by_seed(self) -> pd.Series:
        """`differences` under their seeds."""
        return pd.Series(self.differences, index=self.seeds, dtype=float)

    @property
    def image_differences(self) -> np.ndarray:
        """(seeds, images): the same in points image by image, from each row's `wrong`."""
        return np.stack(
            [100 * np.mean([a.wrong.astype(float) - b.wrong for a, b in self._at(seed)], 0) for seed in self.seeds]
        )

    def _at(self, seed: int) -> list:
        return [pair[seed] for pair in self.pairs]

    def effect(self) -> dict:
        """`effect`, its t interval `low`, `high`, and the number of `seeds`; ratios for seconds, None for what there
        is not.
        """
        differences = self.differences
        scale = math.exp if self.measure == SECONDS else float
        ends = mean_interval(differences) if len(differences) > 1 else (math.nan, math.nan)
        low, high = (None if math.isnan(end) else scale(end) for end in ends)
        effect = scale(differences.mean()) if len(differences) else None
        return {"effect": effect, "low": low, "high": high, "seeds": len(differences)}

    @property
    def status(self) -> str:
        """What the entries lack, in words; "done" when nothing."""
        counts = {"failed": self.failed, "not run": self.missing}
        lacking = [f"{count} of {self.entries} {name}" for name, count in counts.items() if count]
        return ", ".join(lacking) or "done"

    @property
    def undecidable(self) -> Decision | None:
        """Why no test is made, if none is."""
        if self.failed:
            return Decision("undecided", None, f"{self.failed} failed run(s) have no error to compare")
        if not self.seeds and self.apart:
            return Decision("undecided", None, f"no seed has both timed alike: {self.timed_apart}")
        if not self.seeds:
            return Decision("not run", None, f"no seed is complete: {self.status}")
        if len(self.seeds) == 1:
            return Decision("undecided", None, _ONE_SEED)
        return None

    def decided(self, decide: Callable[[np.ndarray], Decision]) -> Decision:
        """What a test of the `differences` says alone, or why none is made."""
        return self.undecidable or decide(self.differences)

    @property
    def difference_p(self) -> tuple[float | None, float] | None:
        """`statistics.difference_p` of the `differences`; None where no test is made."""
        return None if self.undecidable else difference_p(self.differences)

    @property
    def timed_apart(self) -> str:
        """A remark where seeds are left out of a comparison of seconds, since their two tests were not timed alike."""
        seeds = f"seed{'s' * (len(self.apart) > 1)} {', '.join(map(str, sorted(self.apart)))}"
        return (
            f"{seeds} left out, timed on different devices or threads, or in different precisions" if self.apart else ""
        )

    @property
    def head_start(self) -> str:
        """A remark where one net of a pair has the training of A behind it and the other has not."""
        remarks = {}
        for comparison, pair in zip(self.comparisons, self.pairs, strict=True):
            if comparison.treatment.start or comparison.treatment.table == "6":  # starts compared on purpose; ensembles
                continue
            for arms in pair.values():
                grown, others = ([row.net for row in arms if (row.start == "A") == yes] for yes in (True, False))
                if grown and others:
                    remarks[f"{grown[0]} has A's training behind it, {others[0]} has not"] = None
        return ", ".join(remarks)

    @property
    def mixed_devices(self) -> str:
        """A remark where the nets of a pair were trained on different kinds of device, of which each drops other units:
        such a pair has less in common.
        """
        mixed = {
            seed for pair in self.pairs for seed in self.seeds if len({_device(row) for row in pair[seed]} - {None}) > 1
        }
        seeds = f"seed{'s' * (len(mixed) > 1)} {', '.join(map(str, sorted(mixed)))}"
        return f"for {seeds} the two nets were trained on different kinds of device" if mixed else ""


def between(rows: pd.DataFrame, treatment: Arm, *baselines: Arm) -> Evidence:
    """What rows of one preset say of the errors of one arm less those of another, or of the best of several.

    Raises ValueError as `checked` and `Evidence` do.
    """
    return Evidence.of(checked(rows), (Comparison(treatment, baselines),), ERROR)


def _device(row: Row) -> str | None:
    """The kind of device that trained a row's net, None where no record says so."""
    return trained_on(row.environment)[1] if isinstance(row.environment, dict) and row.environment else None


def _timed_alike(pair: tuple[Row, Row]) -> bool:
    """Whether all tests of two numbers were made on one device with as many threads in one precision, as far as the
    records say.
    """
    return len(frozenset().union(*(row.timed_on for row in pair if isinstance(row.timed_on, frozenset)))) < 2


def checked(rows: pd.DataFrame) -> list[Row]:
    """Named tuples of the columns that are compared; ValueError for rows of several presets."""
    if "preset" in rows and rows["preset"].nunique() > 1:
        presets = ", ".join(rows["preset"].unique())
        raise ValueError(f"the rows are of several presets ({presets}): ask about one at a time.")
    return list(rows.reindex(columns=COLUMNS).itertuples(index=False))


def _entries(rows: list[Row], arm: Arm) -> dict[int, Row]:
    """Seed -> row of an arm; ValueError when two rows disagree about one seed."""
    asked = {field.name: value for field in fields(arm) if (value := getattr(arm, field.name)) is not None}
    values, wanted, found = attrgetter(*asked), tuple(asked.values()), {}
    for row in rows:
        if values(row) != wanted:
            continue
        if pd.isna(row.seed):
            raise ValueError(f"{arm.label} has a net without a seed, which others trained: comparisons pair seeds.")
        other = found.setdefault(int(row.seed), row)
        if _result(row) != _result(other):
            raise ValueError(f"{arm.label} has two different results for seed {row.seed}: give the rows of one recipe.")
    return found


def _result(row: Row) -> list:
    return [None if pd.isna(value) else value for value in (row.start, row.status, getattr(row, ERROR))]


def _done(entries: dict, measure: str) -> dict:
    return {seed: row for seed, row in entries.items() if row.status == "done" and pd.notna(getattr(row, measure))}


def _check_images(done: dict[Arm, dict]) -> None:
    """ValueError where arms were trained and tested on different images, as far as the records say."""
    seen: dict[str, str] = {}
    for arm, found in done.items():
        for seed, row in found.items():
            digest = row.environment.get("data_sha256") if isinstance(row.environment, dict) else None
            if digest:
                seen.setdefault(digest, f"{arm.label} of seed {seed} (digest {digest[:12]})")
    if len(seen) > 1:
        raise ValueError(f"{' and '.join(seen.values())} saw different images: {APART}.")


def _pairs(comparison: Comparison, done: dict[Arm, dict], measure: str) -> dict:
    shared = set.intersection(*(set(done[arm]) for arm in comparison.arms))
    return {
        seed: (
            done[comparison.treatment][seed],
            min((done[arm][seed] for arm in comparison.baselines), key=lambda row: getattr(row, measure)),
        )
        for seed in shared
    }


def paper_effect(comparisons: tuple[Comparison, ...]) -> float | None:
    """The paper's top-1 errors compared in the same way; None where it has no number for one of the arms."""
    effects = []
    for comparison in comparisons:
        treatment, *baselines = (_paper_error(arm) for arm in comparison.arms)
        if treatment is None or None in baselines:
            return None
        effects.append(treatment - min(baselines))
    return float(np.mean(effects)) if effects else None


@cache
def _paper_error(arm: Arm) -> float | None:
    """The paper's top-1 error for an arm; a number that stands in several of its tables is the same in all."""
    if arm.start:  # its tables do not tell starts apart
        return None
    if arm.table == "6":
        table, asked = paper.numbers("fusion"), {"ensemble": arm.net, "method": arm.method}
    else:
        table = paper.numbers()
        asked = {key: getattr(arm, key) for key in ("net", "train_scale", "test_scales", "method")}
    found = table[np.logical_and.reduce([table[column] == value for column, value in asked.items()])]
    return float(found["top1_val"].iloc[0]) if len(found) else None
