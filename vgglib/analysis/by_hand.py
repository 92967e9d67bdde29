"""Trainings with settings made by hand, found by the names of their records."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from vgglib.experiments import Experiment
from vgglib.results import Store

SETTING = re.compile(r"([a-z][a-z_]*)=([^_]+)")  # as a run's name holds it
# What makes the rate drop: the preset's patience, or not even that.
BY_RULE, AT_DEADLINES = "", "drops at the deadlines"


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
    return AT_DEADLINES if trained.patience >= trained.epochs else f"patience {trained.patience}"
