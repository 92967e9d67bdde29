"""Trainings with settings made by hand, found by the names of their records."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

import pandas as pd

from vgglib.arithmetic import trained_on
from vgglib.experiments import Experiment, Name
from vgglib.results import Store

# What makes the rate drop: the preset's patience, or not even that.
BY_RULE, AT_DEADLINES, CONSTANT = "", "drops at the deadlines", "a rate that never drops"
UNKNOWN = "none was trained"
# What a test says alone of "errs less", in words of its own: verdicts are those of the claims.
ANSWERS = {"reproduced": "yes", "opposite": "no, the opposite", "undecided": "undecided"}
HOW = {"dense": "densely", "multi-crop": "on crops", "centre-crop": "on a centre crop"}  # a net was tested


def recipes(
    store: Store, preset: str, settings: Collection[str], protocols: Collection[str], net: str | None = None
) -> Iterator[tuple[dict, set[int]]]:
    """The settings of the records at S = 256 with one of these `protocols` (their names) that have no other settings
    made by hand than `settings`, as `plans.plan` takes them, and the seeds that have such records. Of one net, or all.
    """
    found: dict[tuple, dict[int, Path]] = {}
    for path in sorted((store.root / preset / "runs").glob("*_S256_*.json")):
        name = Name.of(path.stem)
        if not name or name.train_scale != "256" or name.protocol not in protocols or net not in (None, name.net):
            continue
        if name.settings.keys() <= set(settings):
            found.setdefault(tuple(name.settings.items()), {}).setdefault(name.seed, path)
    for own, by_seed in sorted(found.items()):
        trained = store.at(next(iter(by_seed.values())))["experiment"]
        # Names hold six digits of a number, and records all of them.
        yield {key: trained[key] for key, _ in own}, set(by_seed)


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
    """In which arithmetic each of `Store.rows` of one recipe was trained. Of what failed without a record, since its
    training or what it starts from had failed, no record tells: it counts with most of the others.
    """
    known = pd.Series([trained_on(own)[0] if own else None for own in rows["environment"]], rows.index, object)
    return known.fillna(known.mode().get(0, UNKNOWN))
