"""Checking what a notebook was asked for, by papermill or by hand: a misspelt or mistyped parameter stops at once."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace

import pandas as pd

from vgglib import experiments, plans, presets, results, show
from vgglib.configs import TABLE_1, config
from vgglib.experiments import Entry, Run
from vgglib.lists import listed

# papermill writes its parameters into a cell that begins with this line.
_INJECTED = "# Parameters"


@dataclass(frozen=True)
class Parameters:
    """What a notebook was asked for, checked."""

    preset: str
    seeds: tuple[int, ...]
    nets: tuple[str, ...]
    train_missing: bool
    data_dir: str | None
    device: str | None
    recipe: dict

    def plan(self, table: str) -> list[Entry]:
        """The numbers of a table for these nets and seeds."""
        return plans.plan(self.preset, table, self.nets, self.seeds, **self.recipe)

    def rows(self, plan: Sequence[Entry]) -> pd.DataFrame:
        """A row per number: from the records that exist, and with `train_missing` from new runs. A sentence says how
        many of these there were, or that there is no record at all.
        """
        store, tests = results.Store(), experiments.runs(plan)
        before = _recorded(store, tests)
        if not self.train_missing:
            if not before:
                show.sentence("Nothing of this is on record: set `train_missing` to True, and the notebook trains it.")
            return store.rows(list(plan))
        from vgglib import runner  # training needs torch, reading records does not

        if before < len(tests):
            show.sentence(f"Records go to {store.root.resolve()}; `%env VGG_RESULTS=../mine` names another folder.")
        try:
            rows = runner.run(plan, data_dir=self.data_dir, device=self.device)
        except KeyboardInterrupt:
            show.sentence("Stopped: run the cell again, and it goes on from the last checkpoint.")
            raise KeyboardInterrupt from None  # what the workers were doing tells a reader nothing
        if before == len(tests):
            show.sentence(f"All {before} tests were there already: nothing was trained.")
        else:
            made = _recorded(store, tests) - before
            show.sentence(f"Of {len(tests)} tests {before} were there already, and {made} were made now.")
        return rows

    def evidence(self) -> pd.DataFrame:
        """Rows of all tables from the records that exist, as verdicts on all claims take them."""
        plan, store = plans.plan(self.preset, "all", seeds=self.seeds, **self.recipe), results.Store()
        return store.rows(store.of_nets_on_record(plan) or plan)


def _recorded(store: results.Store, tests: Sequence[Run]) -> int:
    return sum(store.record_path(run).exists() for run in tests)


def parameters(namespace: dict) -> Parameters:
    """Check the globals of a notebook about an experiment, after its cell of parameters:
    `p = notebooks.parameters(globals())`.

    seeds and nets are lists, or text such as "0,1" and "A,E". None takes all nets, and the seeds that have records,
    else the preset's. recipe is a dictionary of settings as `plans.plan` takes them, or text such as
    "epochs=12,width=0.25". Raises ValueError, naming the parameter, for a name the notebook does not have, a value of
    the wrong type, or an unknown preset, net, setting or folder.
    """
    given = settings(namespace, *Parameters.__dataclass_fields__)
    given.seeds = given.seeds or _seeds_on_record(given.preset, given.recipe) or presets.named(given.preset).seeds
    checked = Parameters(**vars(given))
    checked.plan("all")  # refuses negative seeds
    return checked


def _seeds_on_record(preset: str, recipe: dict) -> tuple[int, ...]:
    store = results.Store()
    if not recipe or not (any_recipe := store.seeds(preset, any_recipe=True)):
        return store.seeds(preset)
    entries = plans.plan(preset, "all", seeds=any_recipe, **recipe)
    return tuple(sorted({entry.seed for entry in store.of_nets_on_record(entries)}))


def settings(namespace: dict, *names: str) -> SimpleNamespace:
    """Check the parameters called `names` of any notebook; returns them as attributes, lists as tuples. Tables and
    figures are counted anew.

    The checks of each are in `CHECKS`. Raises ValueError, naming the parameter, for a name that papermill or the cell
    of parameters has and the notebook does not know, for one that is missing, and for a value that will not do.
    """
    for cell in _cells_of_parameters(namespace.get("In", ()), names):
        unknown = [name for name in _assigned(cell, ast.Assign, ast.AnnAssign) if name not in names]
        if unknown:
            raise ValueError(f"unknown parameter {unknown[0]!r}: this notebook takes {', '.join(names)}.")
    if missing := [name for name in names if name not in namespace]:
        raise ValueError(f"parameter {missing[0]!r} has no value: give it one in the cell of parameters, and run that.")
    show.count_anew()
    return SimpleNamespace(**{name: CHECKS[name](name, namespace[name]) for name in names})


def _preset(name: str, value) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name} is {value!r}: it must be a name such as 'demo'.")
    return presets.named(value).name


def _yes_or_no(name: str, value) -> bool:
    if not isinstance(value, bool):
        raise ValueError(
            f"{name} is {value!r}, not True or False: on papermill's command line write -p {name} True, with a capital."
        )
    return value


def _text(name: str, value) -> str | None:
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{name} is {value!r}: it must be text, or None.")
    return value or None


def _nets(name: str, value) -> tuple[str, ...]:
    nets = _listed(name, value, str, tuple(TABLE_1))
    for net in nets:
        config(net)
    return nets


def _net(name: str, value) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name} is {value!r}: it must be the name of one net, such as A.")
    return config(value).name


def _recipe(name: str, value) -> dict:
    """A dictionary of settings, or text that spells one; which there are, and their values, `plans.plan` checks."""
    refusal = (
        f'{name} is {value!r}: give a dictionary such as {{"epochs": 12}}, or text such as "epochs=12,width=0.25".'
    )
    if isinstance(value, str):
        pairs = [part.partition("=") for part in value.split(",")]
        if not all(equals for _, equals, _ in pairs):
            raise ValueError(refusal)
        value = {key.strip(): _literal(text.strip()) for key, _, text in pairs}
    if value is not None and not (isinstance(value, dict) and all(isinstance(key, str) for key in value)):
        raise ValueError(refusal)
    return value or {}


def _literal(text: str):
    """A number where the text is one, True or False where it is one of these, in capitals or not, else the text."""
    try:
        return ast.literal_eval(text.capitalize() if text.lower() in ("true", "false") else text)
    except (ValueError, SyntaxError):
        return text


def _seeds(name: str, value) -> tuple[int, ...]:
    return _listed(name, value, int, ())


def _number(name: str, value, kind: type, least: int) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | kind) or not least <= value < math.inf:
        raise ValueError(f"{name} is {value!r}: it must be a{' whole' * (kind is int)} number of at least {least}.")
    return value


def _whole(least: int) -> Callable[[str, object], int]:
    return lambda name, value: _number(name, value, int, least)


# What each parameter of a notebook must be: (its name, the value given) -> the value to use.
CHECKS: dict[str, Callable[[str, object], object]] = {
    "preset": _preset,
    "seeds": _seeds,
    "recipe": _recipe,
    "nets": _nets,
    "train_missing": _yes_or_no,
    "data_dir": _text,
    "device": _text,
    "photo": _text,
    "net": _net,
    "number": _whole(0),
    "seed": _whole(0),
    "image_size": _whole(32),
    "num_classes": _whole(1),
    "batch_size": _whole(1),
    "measure": _yes_or_no,
    "watts": lambda name, value: _number(name, value, float, 0),
}


def _cells_of_parameters(cells: Sequence[str], names: Sequence[str]) -> list[str]:
    """Of the cells that ran: all that papermill wrote, and the last one that declares some of these parameters."""
    declaring = [cell for cell in cells if len({*names} & {*_assigned(cell, ast.AnnAssign)}) >= min(2, len(names))]
    return [cell for cell in cells if cell.startswith(_INJECTED)] + declaring[-1:]


def _assigned(cell: str, *kinds: type) -> list[str]:
    """The names that a cell gives values to by statements of these kinds, in order; none where it has magics."""
    try:
        statements = [node for node in ast.parse(cell).body if isinstance(node, kinds)]
    except SyntaxError:
        return []
    targets = [target for node in statements for target in getattr(node, "targets", None) or [node.target]]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _listed(name: str, value, kind: type, default: Sequence) -> tuple:
    if value is None:
        return tuple(default)
    example = "0,1" if kind is int else "A,E"
    refusal = f'{name} is {value!r}: give a list, or text such as "{example}".'
    if isinstance(value, str):
        try:
            value = listed(value, kind)
        except ValueError:
            raise ValueError(refusal) from None
    elif not isinstance(value, list | tuple):
        value = [value]
    if not value or not all(isinstance(item, kind) and not isinstance(item, bool) for item in value):
        raise ValueError(refusal)
    return tuple(item.strip() if isinstance(item, str) else item for item in value)
