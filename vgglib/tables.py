"""Rows of numbers -> the paper's tables, ours beside the paper's."""

from __future__ import annotations

import numpy as np
import pandas as pd

from vgglib import catalogue, paper, plans
from vgglib.metrics import interval_percent, mean_interval

KEY = ["table", "net", "train_scale", "test_scales", "method", "start"]
FEW_CLASSES = 5  # of so many, or fewer, the true one is always among the first five
OURS = ["top1", "top1_low", "top1_high", "top5"]
THEIRS = ["top1_val", "top5_val", "top5_test"]
# What identifies a line of a table; shown where it differs between lines.
LABELS = {
    "system": "Net or ensemble",
    "ensemble": "Ensemble",
    "net": "Net",
    "start": "Start",
    "train_scale": "S",
    "test_scales": "Q",
    "method": "Evaluation",
}
NUMBERS = {
    "top1_val": "Top-1, paper",
    "top1": "Top-1, ours",
    "interval": "95 % interval",
    "top5_val": "Top-5, paper",
    "top5_test": "Top-5 on test, paper",
    "top5": "Top-5, ours",
    "seeds": "Seeds",
    "status": "Status",
}
# The lines of Table 7 that are the authors' own: table, net and method of the rows that repeat them.
OURS_IN_TABLE_7 = {
    "VGG (2 nets, multi-crop & dense)": ("6", "post-submission (2 nets)", "multi-crop & dense"),
    "VGG (1 net, multi-crop & dense)": ("5", "E", "multi-crop & dense"),
    "VGG (ILSVRC submission, 7 nets, dense)": ("6", "ILSVRC submission (7 nets)", "dense"),
}
NOT_COMPARABLE = (
    "Our lines may be compared with each other, and the paper's with each other within a column. Ours may not be "
    "compared with the paper's, whose images and classes are ImageNet's, and say nothing of other groups' nets, none "
    "of which was trained here."
)


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per table, net, protocol and start: mean errors in percent over seeds, a 95 % interval of the top-1
    error, the number of seeds done, and a status: "done", "not run", or what is missing, such as "1 failed, 1 not run".

    rows: as `results.Store.rows` gives them. The interval is Student's t over seeds where there are at least
    two, which speaks of the configuration, and Wilson's over images where there is one, which speaks of that one net;
    what lies beyond 0 or 100 % is cut off.
    Raises ValueError where two rows disagree about one seed.
    """
    lines = [
        {**dict(zip(KEY, key, strict=True)), **_group(group)} for key, group in _once(rows).groupby(KEY, sort=False)
    ]
    found = pd.DataFrame(lines, columns=[*KEY, *OURS, "seeds", "status"])
    return found.astype(dict.fromkeys(OURS, float))


def _once(rows: pd.DataFrame) -> pd.DataFrame:
    """Each number once, where plans that overlap were joined."""
    if rows.empty:
        return rows.reindex(columns=[*KEY, "seed", "status"])
    again = rows.duplicated([*KEY, "seed"])
    for row in rows[again & ~rows.duplicated([*KEY, "seed", "status", "top1_error_percent"])].itertuples():
        raise ValueError(
            f"table {row.table}, net {row.net} has two different results for seed {row.seed}: give the rows of one "
            "preset and recipe."
        )
    return rows[~again]


def _group(group: pd.DataFrame) -> dict:
    done = group[group["status"] == "done"]
    found = {"seeds": len(done), "status": _status(group["status"])}
    if done.empty:
        return found
    top1 = done["top1_error_percent"].astype(float)
    low, high = mean_interval(top1) if len(done) > 1 else interval_percent(top1.iloc[0], int(done["n_images"].iloc[0]))
    low, high = np.clip([low, high], 0, 100)  # an error cannot be outside
    top5 = None if (done["n_classes"] <= FEW_CLASSES).any() else done["top5_error_percent"].astype(float).mean()
    return found | {"top1": top1.mean(), "top1_low": low, "top1_high": high, "top5": top5}


def _status(statuses: pd.Series) -> str:
    if (statuses == "not run").all():
        return "not run"
    counts = statuses.value_counts()
    return ", ".join(f"{counts[name]} {name}" for name in ("failed", "not run") if name in counts) or "done"


def beside_paper(name: str, rows: pd.DataFrame) -> pd.DataFrame:
    """A table of `catalogue.TABLES`: every line in its order, ours beside the paper's where it gives a number.

    Lines that were not planned or not run say "not run". Those of Table 6 are named by `ensemble`, those of Table 7 by
    `system`, with our errors in those of `OURS_IN_TABLE_7` (see `NOT_COMPARABLE`). rows: as `results.Store.rows` gives
    them, of any tables, or none. Raises KeyError for an unknown name.
    """
    if name == "7":
        return _state_of_the_art(rows)
    lines = _lines(name)
    theirs = _paper_errors(name)
    if theirs is not None:
        lines = lines.merge(theirs, how="left")
    joined = _complete(lines.merge(summary(rows), how="left"))
    labels = [column for column in KEY if column in lines and column != "table"]
    return joined[[*labels, *_numbers(joined)]].rename(columns={"net": "ensemble"} if name == "6" else {})


def _state_of_the_art(rows: pd.DataFrame) -> pd.DataFrame:
    theirs = paper.numbers("state_of_the_art").rename(columns={"method": "system"}).drop(columns=["table", "note"])
    repeated = [(system, *key) for system, key in OURS_IN_TABLE_7.items()]
    own = pd.DataFrame(repeated, columns=["system", "table", "net", "method"])
    joined = _complete(theirs.merge(own, how="left").merge(summary(rows), how="left"))
    others = ~joined["system"].isin(OURS_IN_TABLE_7)
    joined.loc[others, "status"] = "the paper's number"
    joined.loc[others, "seeds"] = pd.NA
    return joined[["system", *_numbers(joined)]]


def _numbers(table: pd.DataFrame) -> list[str]:
    return [column for column in [*THEIRS, *OURS, "seeds", "status"] if column in table]


def _lines(name: str) -> pd.DataFrame:
    """What identifies the lines of a table, in its order; they are the same in every preset."""
    entries = plans.plan("smoke", name, seeds=[0])
    key = KEY if name in catalogue.OF_STARTS else [column for column in KEY if column != "start"]
    return pd.DataFrame([{column: getattr(entry, column) for column in key} for entry in entries])


def _paper_errors(name: str) -> pd.DataFrame | None:
    """The paper's validation errors for a table's lines, None where it has none."""
    if name == "6":
        fusions = paper.numbers("fusion").rename(columns={"ensemble": "net"})
        return fusions[["net", "method", "top1_val", "top5_val"]]
    source = catalogue.TABLES[name].source
    numbers = paper.numbers()
    columns = ["net", "train_scale", "test_scales", "method", "top1_val", "top5_val"]
    return None if source is None else numbers.loc[numbers["table"].astype(str) == source, columns]


def _complete(joined: pd.DataFrame) -> pd.DataFrame:
    """Seeds and a status also for lines without rows."""
    joined["seeds"] = joined["seeds"].astype("Int64").fillna(0)
    joined["status"] = joined["status"].fillna("not run")
    return joined


def evaluation_cost(rows: pd.DataFrame) -> pd.DataFrame:
    """Measured seconds per image over three test scales, mirror images included, of dense evaluation and of multi-crop
    (150 crops), and their `ratio`: medians over the seeds with both, timed alike, and the `_low`est and `_high`est; the
    number of `seeds`, and the devices they ran `on`.

    rows: as `results.Store.rows` gives them, of any tables, or none; one line for each net of Table 5.
    """
    methods = ["dense", "multi-crop"]
    lines = {net: {} for net in _lines("5")["net"]}
    if not rows.empty:
        rows = rows[(rows["table"] == "5") & rows["method"].isin(methods) & rows["evaluation_seconds"].notna()]
        for net, group in rows.groupby("net", sort=False):
            lines[net] = _cost(group)
    numbers = [name + end for name in (*methods, "ratio") for end in ("", "_low", "_high")]
    found = pd.DataFrame.from_dict(lines, orient="index", columns=[*numbers, "seeds", "on"])
    found = found.rename_axis("net").reset_index()
    return found.astype(dict.fromkeys(numbers, float) | {"seeds": "Int64"}).fillna({"seeds": 0})


def _cost(group: pd.DataFrame) -> dict:
    seconds = (group["evaluation_seconds"] / group["n_images"]).astype(float)
    group = group.assign(seconds=seconds)[group["timed_on"].map(len) == 1]
    both = group.pivot_table(index=["seed", "timed_on"], columns="method", values="seconds").dropna()
    if both.shape[1] < 2 or both.empty:
        return {}
    devices = sorted({device for where in both.index.get_level_values("timed_on") for _, device, *_ in where})
    both["ratio"] = both["multi-crop"] / both["dense"]
    ends = {"": both.median(), "_low": both.min(), "_high": both.max()}
    numbers = {name + end: value for end, values in ends.items() for name, value in values.items()}
    return {**numbers, "seeds": len(both), "on": ", ".join(devices)}


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """A table with the heads and the decimals a reader expects; text only, "-" where there is no number.

    What is the same on every line, such as the method in Table 3, is left to the title.
    """
    labels = [column for column in LABELS if column in table and table[column].nunique() > 1]
    ends = zip(table["top1_low"], table["top1_high"], table["seeds"], strict=True)
    table = table.assign(interval=[None if pd.isna(low) else _interval(low, high, seeds) for low, high, seeds in ends])
    columns = [*labels, *(column for column in NUMBERS if column in table)]
    text = {column: [_text(column, value) for value in table[column]] for column in columns}
    return pd.DataFrame(text, index=table.index).rename(columns=LABELS | NUMBERS)


def _interval(low: float, high: float, seeds: int) -> str:
    return f"{low:.1f} to {high:.1f}" + (" (images)" if seeds == 1 else "")


def _text(column: str, value) -> str:
    if pd.isna(value):
        return "-"
    return f"{value:.1f}" if isinstance(value, float) else str(value)
