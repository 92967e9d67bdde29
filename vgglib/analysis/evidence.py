"""The records as a body of evidence: how much was run, where and for how long."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from vgglib import arithmetic, experiments, planner, plans
from vgglib.analysis.repeating import settings
from vgglib.configs import DEPTHS, TABLE_1
from vgglib.cost import TRAINING_PASSES
from vgglib.experiments import STAGES, Experiment
from vgglib.presets import PRESETS
from vgglib.results import Store


def presets(store: Store) -> list[str]:
    """The presets that have records of trainings; the one for tests is no evidence."""
    return [name for name in PRESETS if name != "smoke" and any((store.root / name / "runs").glob("*_seed*.json"))]


def rows(store: Store, preset: str, table: str = "all") -> pd.DataFrame:
    """Rows of a table, or of all, from a preset's records, for every net and seed that has some; without any, rows that
    say so.
    """
    planned = _planned(store, preset, table if table == "all" else f"all,{table}")
    kept = store.of_nets_on_record(planned) or planned  # whatever table is asked, records of all tell what was trained
    return store.rows([entry for entry in kept if table in ("all", entry.table)])


def everything(store: Store, first: str = "demo") -> dict[str, pd.DataFrame]:
    """`rows` of all tables of every preset that has records; and, before them, of `first`, if need be without any."""
    return {preset: rows(store, preset) for preset in dict.fromkeys([first, *presets(store)])}


def _planned(store: Store, preset: str, table: str = "all") -> list[experiments.Entry]:
    return plans.plan(preset, table, seeds=store.seeds(preset) or None)


def records(store: Store, preset: str) -> pd.DataFrame:
    """One line per record of a preset, those with settings made by hand included.

    Columns `experiment` (the training), `preset`, `run_id`, `status`, `by_hand` (not in the preset's own plan),
    `n_images`, `epochs` (that were done), `images_per_second` and `peak_share` (medians of the epochs; not a number
    where the record does not say, or the peak was measured on a GPU that others used, too), `at_once` (how many of the
    preset's trainings went on at one time on devices of that name, itself included, at most), `arithmetic` (the
    precision, the units that computed it where those have another, and whether updates were compiled) and the record's
    environment, of which `device` is that of the training; its `device_name` is "not recorded" where the net was tested
    elsewhere.
    Raises ValueError for a record that was altered, and for a preset without any.
    """
    planned = {run.run_id for run in experiments.runs(_planned(store, preset))}
    trained_here = [record for record in store.records(preset) if not record["experiment"].get("weights")]
    found = [_line(record, planned) for record in trained_here]
    if not found:
        raise ValueError(f"preset {preset} has no records in {store.root}: run it first.")
    lines = pd.DataFrame(found)
    lines["at_once"] = lines["experiment"].map(_at_once(lines))
    lines["peak_share"] = lines["peak_share"].mask((lines["device"] == "cuda") & (lines["at_once"] > 1))
    return lines


def by_preset(store: Store) -> dict[str, pd.DataFrame]:
    """`records` of every preset that has some."""
    return {preset: records(store, preset) for preset in presets(store)}


def _at_once(lines: pd.DataFrame) -> dict[Experiment, int]:
    """How many trainings went on at one time at most while each did, on devices of one name. A training lasts until its
    first test is done.
    """
    first = lines.sort_values("finished_utc").drop_duplicates("experiment")
    device, begun, done = (first[key].to_numpy(str) for key in ("device_name", "started_utc", "finished_utc"))
    # Row i, column j: training j began while i went on.
    during = (begun[:, None] <= begun) & (begun < done[:, None]) & (device[:, None] == device)
    np.fill_diagonal(during, True)
    counts = during.sum(0)  # that went on when j began
    return dict(zip(first["experiment"], (during * counts).max(1), strict=True))


def _line(record: dict, planned: set[str]) -> dict:
    return {
        **{key: record[key] for key in ("preset", "run_id", "status", "n_images")},
        "experiment": _experiment(record["experiment"]),
        "by_hand": record["run_id"] not in planned,
        "epochs": len(record["history"]),
        **{name: _median(record["history"], name) for name in ("images_per_second", "peak_share")},
        "evaluation_seconds": math.nan,  # failed runs have none
        **record["environment"],
        **_machine(record["environment"]),
    }


def _median(history: Sequence[dict], name: str) -> float:
    values = [epoch[name] for epoch in history if epoch.get(name) is not None]
    return float(np.median(values)) if values else math.nan


def _machine(environment: dict) -> dict:
    """Of a training whose net was tested elsewhere, the record does not have the machine's name."""
    known = {"arithmetic": arithmetic.of(environment)}
    if not arithmetic.tested_elsewhere(environment):
        return known
    return known | {"device": arithmetic.trained_on(environment)[1], "device_name": "not recorded", "threads": "-"}


def _experiment(values: dict) -> Experiment:
    start = values["start"]
    return Experiment(**values | {"start": _experiment(start) if start else None})


def amounts(found: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """How much was run, a line per preset, for display. Hours are summed over trainings, which may have run at once.

    found: as `by_preset` gives it.
    """
    lines = []
    for preset, own in found.items():
        trainings = own.drop_duplicates("experiment")
        lines.append(
            {
                "Preset": preset,
                "Trainings": len(trainings),
                "Tests": len(own),
                "Failed": int((own["status"] == "failed").sum()),
                "Seeds": ", ".join(map(str, sorted({experiment.seed for experiment in trainings["experiment"]}))),
                "Training, h": f"{trainings['training_seconds'].sum() / 3600:.1f}",
                "Testing, h": f"{own['evaluation_seconds'].sum() / 3600:.1f}",
                "When": " to ".join(sorted({own["started_utc"].min()[:10], own["finished_utc"].max()[:10]})),
            }
        )
    return pd.DataFrame(lines)


def machines(found: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Which device, software and source code made the records, of which images (the beginning of their digest), a line
    per combination, for display. found: as `by_preset` gives it.
    """
    lines = []
    for preset, own in found.items():
        keys = ["device_name", "threads", "arithmetic", "torch", "commit", "dirty", "data_sha256"]
        for key, group in own.groupby(keys, dropna=False, sort=False):
            device, threads, computed, torch, commit, dirty, images = key
            lines.append(
                {
                    "Preset": preset,
                    "Device": device,
                    "Threads": threads,
                    "Arithmetic": computed,
                    "PyTorch": torch,
                    "Commit": _commit(commit, dirty),
                    "Images": images[:8],
                    "Tests": len(group),
                }
            )
    return pd.DataFrame(lines)


def _commit(commit: str | None, dirty: bool | None) -> str:
    if not isinstance(commit, str):
        return "unknown"
    return commit[:7] + {True: ", changed", False: ""}.get(dirty, ", as stated")


def trainings(found: pd.DataFrame) -> pd.DataFrame:
    """The trainings behind a preset's `records`, a line per net, S, start, kind of device, arithmetic and settings made
    by hand, with their means over the seeds, for display. Columns that would be empty on every line are left out.
    """
    found = found.drop_duplicates("experiment").reset_index(drop=True)
    names = {"Net": "net", "S": "scale_text", "Begun from": "start_text"}
    each = pd.DataFrame({key: [getattr(one, name) for one in found["experiment"]] for key, name in names.items()})
    each["Arithmetic"] = found["arithmetic"] + found["device"].map({"cpu": "", "cuda": ", GPU"})
    each["Changed settings"] = [", ".join(f"{key}={value}" for key, value in own) or "-" for own in settings(found)]
    lines = []
    for key, group in found.join(each).groupby(list(each), sort=False):
        lines.append(
            {
                **dict(zip(each, key, strict=True)),
                "Trainings": len(group),
                "Epochs": _span(group["epochs"]),
                # Trainings on a CPU have a core, or more, each to itself.
                "At once": _span(group["at_once"]) if (found["device"] == "cuda").any() else "1",
                "Minutes": f"{group['training_seconds'].mean() / 60:.1f}",
                "Images a second": _number(group["images_per_second"].median()),
                "Of the peak": _share(group["peak_share"]),
            }
        )
    table = pd.DataFrame(lines)
    says_nothing = {"Changed settings": {"-"}, "Of the peak": {"-"}, "At once": {"1"}}
    table = table.drop(columns=[column for column, values in says_nothing.items() if set(table[column]) == values])
    places = table[["Net", "S"]].map([*TABLE_1, *STAGES].index)
    return table.loc[places.sort_values(["Net", "S"], kind="stable").index].reset_index(drop=True)


def _number(value: float) -> str:
    """A training that failed in its first epoch has none."""
    return "-" if pd.isna(value) else f"{value:,.0f}"


def _share(shares: pd.Series) -> str:
    """The median share of the peak; none where it says that the peak was measured too low, beside other work."""
    median = shares.median()
    return "-" if pd.isna(median) or median > 1 else f"{median:.0%}"


def first_stages(store: Store, preset: str, nets: Sequence[str]) -> pd.DataFrame:
    """Minutes of one training at S = 256 by the preset's own recipe, mean over the records, for display: a line per net
    and arithmetic; empty where there are no records.
    """
    lines = []
    if preset not in presets(store):
        return pd.DataFrame(lines)
    found = records(store, preset).drop_duplicates("experiment")
    looks = found["experiment"].map(lambda one: (one.net, one.scale_text, one.start_text))
    for net in nets:
        usual = plans.first_stage(preset, net).experiment
        own = found[(looks == (net, "256", usual.start_text)) & ~found["by_hand"]]
        for computed, group in own.groupby("arithmetic"):
            minutes = f"{group['training_seconds'].mean() / 60:.1f}"
            lines.append({"Net": net, "Arithmetic": computed, "Trainings": len(group), "Minutes": minutes})
    return pd.DataFrame(lines)


def _span(values: pd.Series) -> str:
    return str(values.min()) if values.nunique() == 1 else f"{values.min()} to {values.max()}"


def minutes(store: Store, measured_on: str, preset: str, images: int) -> pd.DataFrame:
    """Minutes that Table 3's trainings of each net would take with `preset` and so many training images, for display: a
    column per device and arithmetic of the records of preset `measured_on`, at the multiply-adds a second there. A GPU
    that several trainings used at once says nothing of one.
    """
    found = records(store, measured_on).drop_duplicates("experiment")
    found = found[(found["device"] != "cuda") | (found["at_once"] == 1)].copy()
    crops = found["experiment"].map(planner.crop_macs)
    found["macs"] = TRAINING_PASSES * crops * found["images_per_second"]
    found["on"] = found["device_name"] + ", " + found["threads"].astype(str) + " thread(s), " + found["arithmetic"]
    lines = {}
    for net in DEPTHS:
        entries = plans.plan(preset, "3", [net], [0])
        work = planner.estimate(entries, images, 0, lambda run, kind: 1.0)["training_hours"].iloc[-1] * 60
        lines[net] = {device: f"{work / own['macs'].median():.1f}" for device, own in found.groupby("on")}
    return pd.DataFrame.from_dict(lines, orient="index").rename_axis("Net").reset_index()
