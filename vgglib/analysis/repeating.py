"""The command lines that make records again."""

from __future__ import annotations

import pandas as pd

from vgglib import arithmetic, catalogue, experiments, plans
from vgglib.configs import TABLE_1
from vgglib.experiments import STAGES, Name, Protocol, in_full


def commands(found: pd.DataFrame) -> list[str]:
    """The command lines that make a preset's `evidence.records` again, in a folder of their own: one for what belongs
    to its plan, one for each set of settings made by hand, and one for each table that is not part of "all". Where all
    tests are those of Table 3 at S = 256, the command asks for no others. Records of processors on which "auto" was
    fp32 and is bf16 now have a command that asks for fp32 by name.
    """
    preset = found["preset"].iloc[0]
    names = found["run_id"].map(Name.of)
    tables = pd.Series([_table(*run) for run in zip(names, found["by_hand"], strict=True)], found.index)
    lines = []
    asked = found["experiment"].map(lambda experiment: experiment.precision)
    older = (asked == "auto") & (found["precision"] == "fp32") & (found["device"] == "cpu")
    own_settings = settings(found) + older.map({True: (("precision", "fp32"),), False: ()})
    compiled = found["arithmetic"].str.endswith(arithmetic.COMPILED)
    # "all" would add tests, and net E from other starts.
    first = pd.Series([_first_stage(*run) for run in zip(names, found["by_hand"], strict=True)], found.index)
    for (own, table, fused), group in found.groupby([own_settings, tables, compiled]):
        table = "3" if table == "all" and first[group.index].all() else table
        made = set(group["experiment"])
        seeds = sorted({one.seed for one in made})
        planned = {run.experiment for run in experiments.runs(plans.plan(preset, seeds=seeds))}
        words = ["--results again"] + [f"--table {table}"] * (table != "all")
        words += [plans.option(key, value) for key, value in own]
        words += ["--compile"] * fused
        words.append("--seeds " + ",".join(map(str, seeds)))
        if planned - made:  # a part of the plan
            for option, name, order in (("nets", "net", list(TABLE_1)), ("train-scales", "scale_text", STAGES)):
                values = sorted({getattr(one, name) for one in made}, key=order.index)
                words.append(f"--{option} {','.join(values)}")
        lines.append(plans.command_line(preset, *words))
    return lines


def _first_stage(name: Name, by_hand: bool) -> bool:
    """Whether a test is one of Table 3 at S = 256, by the preset's own start where nothing else was set by hand."""
    own = (name.train_scale, name.protocol) == ("256", Protocol.usual(256, "dense").name)
    return own and (by_hand or not name.settings)


def _table(name: Name, by_hand: bool) -> str:
    """The table that a record's command asks for: "all" unless that leaves it out, or would add nets."""
    if name.protocol == Protocol.usual(256, "centre-crop").name:
        return catalogue.CENTRE
    if (name.train_scale, name.protocol) == ("256", Protocol.usual(256, "multi-crop").name):
        return "crops"
    return "5x5" if by_hand and name.net == "B-5x5" else "all"


def settings(found: pd.DataFrame) -> pd.Series:
    """What was set by hand for each of `evidence.records`, as pairs of text."""
    changed = [
        tuple((key, _text(getattr(trained, key, None), text)) for key, text in Name.of(run_id).settings.items())
        for run_id, trained in zip(found["run_id"], found["experiment"], strict=True)
    ]
    return pd.Series(changed, found.index).where(found["by_hand"], ())


def _text(value, text: str) -> str:
    """A setting as a command takes it; names of runs hold six digits of a number."""
    shortened = isinstance(value, tuple) or (isinstance(value, float) and float(text) != value)
    return in_full(value) if shortened else text
