"""Checking what papermill hands to a notebook: a misspelt or mistyped parameter stops at once."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from vgglib import experiments, results
from vgglib.configs import TABLE_1
from vgglib.experiments import Entry

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

    def plan(self, table: str) -> list[Entry]:
        """The numbers of a table for these nets and seeds."""
        return experiments.plan(self.preset, table, self.nets, self.seeds)

    def rows(self, plan: Sequence[Entry]) -> pd.DataFrame:
        """A row per number: from the records that exist, and with `train_missing` from new runs."""
        if not self.train_missing:
            return results.Store(results.default_root()).rows(list(plan))
        from vgglib import runner  # training needs torch, reading records does not

        return runner.run(plan, data_dir=self.data_dir, device=self.device)

    def evidence(self) -> pd.DataFrame:
        """Rows of all tables from the records that exist, for verdicts that hold for all claims together."""
        plan = experiments.plan(self.preset, "all", seeds=self.seeds)
        return results.Store(results.default_root()).rows(plan)


def parameters(namespace: dict) -> Parameters:
    """Check the notebook's globals, after its cell of parameters: `p = notebooks.parameters(globals())`.

    seeds and nets are lists, or text such as "0,1" and "A,E". None takes all nets, and the seeds that
    have records, else the preset's. Raises ValueError, naming
    the parameter, for a name the notebook does not have, a value of the wrong type, or an unknown preset, net or
    folder.
    """
    known = tuple(Parameters.__dataclass_fields__)
    for cell in namespace.get("In", ()):
        if cell.startswith(_INJECTED):
            unknown = [name for name in _assigned(cell) if name not in known]
            if unknown:
                raise ValueError(f"unknown parameter {unknown[0]!r}: this notebook takes {', '.join(known)}.")
    given = {name: namespace[name] for name in known}
    if not isinstance(given["preset"], str):
        raise ValueError(f"preset is {given['preset']!r}: it must be a name such as 'demo'.")
    chosen = experiments.preset(given["preset"])
    if not isinstance(given["train_missing"], bool):
        raise ValueError(
            f"train_missing is {given['train_missing']!r}, not True or False: on papermill's command line write "
            "-p train_missing True, with a capital."
        )
    for name in ("data_dir", "device"):
        if given[name] is not None and not isinstance(given[name], str):
            raise ValueError(f"{name} is {given[name]!r}: it must be text, or None.")
    recorded = results.Store(results.default_root()).seeds(chosen.name)
    seeds = _listed("seeds", given["seeds"], int, recorded or chosen.seeds)
    nets = _listed("nets", given["nets"], str, tuple(TABLE_1))
    checked = Parameters(
        chosen.name, seeds, nets, given["train_missing"], given["data_dir"] or None, given["device"] or None
    )
    checked.plan("all")  # refuses unknown nets and negative seeds
    return checked


def _assigned(cell: str) -> list[str]:
    return [
        target.id
        for node in ast.parse(cell).body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    ]


def _listed(name: str, value, kind: type, default: Sequence) -> tuple:
    if value is None:
        return tuple(default)
    example = "0,1" if kind is int else "A,E"
    refusal = f'{name} is {value!r}: give a list, or text such as "{example}".'
    if isinstance(value, str):
        try:
            value = [kind(part) for part in value.split(",")]
        except ValueError:
            raise ValueError(refusal) from None
    elif not isinstance(value, list | tuple):
        value = [value]
    if not value or not all(isinstance(item, kind) and not isinstance(item, bool) for item in value):
        raise ValueError(refusal)
    return tuple(item.strip() if isinstance(item, str) else item for item in value)
