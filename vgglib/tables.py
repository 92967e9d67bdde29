"""Rows of numbers -> the paper's tables, ours beside the paper's."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd
from scipy import stats

from vgglib import experiments, paper
from vgglib.metrics import interval_percent

TITLES = {
    "3": "Table 3: a single test scale, dense evaluation",
    "4": "Table 4: several test scales, dense evaluation",
    "5": "Table 5: dense evaluation, many crops, and both",
    "6": "Table 6: ensembles",
    "7": "Table 7: the state of the art of its time",
    "5x5": "Small filters against large ones (Sect. 4.1)",
    "jitter": "Scale jitter with a control of equal length, tested at Q = 384",
    "starts": "Net E from three starts, at S = Q = 256",
}
KEY = ["net", "train_scale", "test_scales", "method", "start"]
# What tells the rows of a table apart.
KEYS = {
    "3": ["net", "train_scale", "test_scales"],
    "4": ["net", "train_scale", "test_scales"],
    "5": ["net", "method"],
    "6": ["net", "method"],
    "5x5": ["net"],
    "jitter": ["net", "train_scale"],
    "starts": ["start"],
}
COLUMNS = {
    "net": "Net",
    "train_scale": "S",
    "test_scales": "Q",
    "start": "Start",
    "method": "Method",
    "top1_val": "Top-1, paper",
    "top1": "Top-1, ours",
    "top1_low": "from",
    "top1_high": "to",
    "top1_difference": "Difference",
    "top5_val": "Top-5, paper",
    "top5_test": "Top-5 on test, paper",
    "top5": "Top-5, ours",
    "seeds": "Seeds",
    "status": "Status",
}
# Rows of Table 7 that are ours to fill: the table, net and method that they repeat.
OURS_IN_TABLE_7 = {
    "VGG (2 nets, multi-crop & dense)": ("6", "post-submission (2 nets)", "multi-crop & dense"),
    "VGG (1 net, multi-crop & dense)": ("5", "E", "multi-crop & dense"),
    "VGG (ILSVRC submission, 7 nets, dense)": ("6", "ILSVRC submission (7 nets)", "dense"),
}
NOT_COMPARABLE = (
    "The paper's numbers are errors on ImageNet's images, and ours on those of the preset: they may be compared down a "
    "column, not across. The other groups' nets were not trained here, so on this evidence nothing can be said of them."
)


def summary(rows: pd.DataFrame, key: list[str] = KEY) -> pd.DataFrame:
    """One row per group of `key`: mean errors in percent over seeds, a 95 % interval, how many seeds, and a status.

    rows: as `results.Store.rows` gives them. The interval is Student's t over seeds where there are at least
    two, which speaks of the configuration, and Wilson's over images where there is one, which speaks of that one net.
    """
    if rows.empty:
        return pd.DataFrame(columns=[*key, *_group(rows)])
    return pd.DataFrame(
        [{**dict(zip(key, values, strict=True)), **_group(group)} for values, group in rows.groupby(key, sort=False)]
    )


def _group(group: pd.DataFrame) -> dict:
    done = group if group.empty else group[group["status"] == "done"]
    found = {"seeds": len(done), "status": "not run" if group.empty else _status(group["status"])}
    found |= dict.fromkeys(("top1", "top1_low", "top1_high", "top5"), np.nan)
    if len(done):
        top1 = done["top1_error_percent"].astype(float)
        low, high = (
            mean_interval(top1) if len(done) > 1 else interval_percent(top1.iloc[0], int(done["n_images"].iloc[0]))
        )
        top5 = float(done["top5_error_percent"].astype(float).mean())
        found |= {"top1": float(top1.mean()), "top1_low": low, "top1_high": high, "top5": top5}
    return found


def _status(statuses: pd.Series) -> str:
    counts = statuses.value_counts()
    if set(counts.index) == {"not run"}:
        return "not run"
    return ", ".join(f"{counts[name]} {name}" for name in ("failed", "not run") if name in counts) or "done"


def mean_interval(values, confidence: float = 0.95) -> tuple[float, float]:
    """Student's t interval of a mean, from at least two values."""
    values = np.asarray(values, float)
    error = float(stats.sem(values))
    if error == 0 or math.isnan(error):
        return float(values.mean()), float(values.mean())
    return tuple(float(end) for end in stats.t.interval(confidence, len(values) - 1, loc=values.mean(), scale=error))


def beside_paper(name: str, rows: pd.DataFrame) -> pd.DataFrame:
    """The table called `name` (a key of `KEYS`): every row that it should have, in order, with the paper's errors and
    ours in percent, and `top1_difference` in points (ours - paper).

    rows: as `results.Store.rows` gives them, of any tables. Rows that were never planned or run say "not run".
    """
    key = KEYS[name]
    own = rows[rows["table"] == name] if len(rows) else rows
    found = _lines(name).merge(summary(own, key), on=key, how="left")
    found["seeds"] = found["seeds"].fillna(0).astype(int)
    found["status"] = found["status"].fillna("not run")
    for column in ("top1", "top1_low", "top1_high", "top5"):
        found[column] = found[column].astype(float)
    found["top1_difference"] = found["top1"] - found["top1_val"]
    return found[[*key, *(column for column in COLUMNS if column in found and column not in KEY)]]


def _lines(name: str) -> pd.DataFrame:
    """The rows of a table with the paper's numbers."""
    entries = experiments.plan("smoke", name, seeds=[0])
    lines = pd.DataFrame([{column: getattr(entry, column) for column in KEY} for entry in entries])
    if name == "starts":
        return lines.assign(top1_val=np.nan, top5_val=np.nan)
    if name == "6":
        theirs, key = paper.numbers("fusion").rename(columns={"ensemble": "net"}), ["net", "method"]
    else:
        theirs, key = paper.numbers(), ["net", "train_scale", "test_scales", "method"]
        theirs = theirs[theirs["table"].astype(str) == (name if name in ("3", "4", "5") else "3")]
    return lines.merge(theirs[[*key, "top1_val", "top5_val"]], on=key, how="left")


def table7(rows: pd.DataFrame) -> pd.DataFrame:
    """Table 7: the paper's rows in its order, with our errors in those that can be repeated (`OURS_IN_TABLE_7`)."""
    theirs = paper.numbers("state_of_the_art")[["method", "top1_val", "top5_val", "top5_test"]]
    ours = {name: beside_paper(name, rows) for name in ("5", "6")}
    lines = []
    for line in theirs.to_dict("records"):
        if line["method"] in OURS_IN_TABLE_7:
            name, net, method = OURS_IN_TABLE_7[line["method"]]
            table = ours[name]
            own = table[(table["net"] == net) & (table["method"] == method)].iloc[0]
            line |= {column: own[column] for column in ("top1", "top1_low", "top1_high", "top5", "seeds", "status")}
        else:
            line |= dict.fromkeys(("top1", "top1_low", "top1_high", "top5"), np.nan)
            line |= {"seeds": 0, "status": "another group's"}
        lines.append(line)
    return pd.DataFrame(lines)


BY_NAME: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    **{name: partial(beside_paper, name) for name in KEYS},
    "7": table7,
}


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """A table with the heads and the decimals a reader expects; text only, "-" where there is no number."""
    columns = {key: head for key, head in COLUMNS.items() if key in table}
    formats = {"top1_difference": "{:+.1f}"}
    text = pd.DataFrame(index=table.index)
    for key, head in columns.items():
        if table[key].dtype.kind == "f":
            form = formats.get(key, "{:.1f}")
            text[head] = [("-" if pd.isna(value) else form.format(value)) for value in table[key]]
        else:
            text[head] = table[key].astype(str)
    return text
