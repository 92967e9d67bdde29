"""Trainings with settings made by hand, found by the names of their records."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from vgglib.arithmetic import trained_on
from vgglib.experiments import Experiment
from vgglib.results import Store

SETTING = re.compile(r"([a-z][a-z_]*)=([^_]+)")  # as a run's name holds it
# What makes the rate drop: the preset's patience, or not even that.
BY_RULE, AT_DEADLINES, CONSTANT = "", "drops at the deadlines", "a rate that never drops"
UNKNOWN = "none was trained"
HOW = {"dense": "densely", "multi-crop": "on crops", "centre-crop": "on a centre crop"}  # a net was tested


def recipes(store: Store, preset: str, name: re.Pattern) -> Iterator[tuple[dict, set[int]]]:
    """The settings of records whose names match, as `plans.plan` takes them, and the seeds that have such records.

    name: of a whole record at Q = 256, with its groups `seed` and `settings`.
    """
    found: dict[str, dict[int, Path]] = {}
    for path in sorted((store.root / preset / "runs").glob("*_Q256*.json")):
        if match := name.fullmatch(path.stem):
            found.setdefault(match["settings"], {}).setdefault(int(match["seed"]), path)
    for text, by_seed in sorted(found.items()):
        trained = store.at(next(iter(by_seed.values())))["experiment"]
        # Names hold six digits of a number, and records all of them.
        yield {key: trained[key] for key, _ in SETTING.findall(text)}, set(by_seed)


def drops(trained: Experiment, settings: dict) -> str:
    """What makes the rate of a training with these settings drop, where it is not the preset's rule."""
    if "patience" not in settings:
        return BY_RULE
    if trained.patience < trained.epochs:
        return f"patience {trained.patience}"
    return AT_DEADLINES if trained.drop_deadlines else CONSTANT


def described(epochs: int, *details: str) -> str:
    """A recipe in words, such as "48 epochs, drops at the deadlines"; details that are empty do not show."""
    return ", ".join([f"{epochs} epochs", *filter(None, details)])


def precision(rows: pd.DataFrame) -> pd.Series:
    """In which arithmetic each of `Store.rows` of one recipe was trained. Of what failed before it began, since what it
    starts from had failed, no record tells: it counts with most of the others.
    """
    known = pd.Series([trained_on(own)[0] if own else None for own in rows["environment"]], rows.index, object)
    return known.fillna(known.mode().get(0, UNKNOWN))
