"""Rows of runs -> the paper's tables, ours beside the paper's."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from scipy import stats

from vgglib import results
from vgglib.metrics import interval_percent

KEY = ["net", "train_scale", "test_scales", "method"]
COLUMNS = {
    "net": "Net",
    "train_scale": "S",
    "test_scales": "Q",
    "top1_val": "Top-1, paper",
    "top1": "Top-1, ours",
    "top1_low": "from",
    "top1_high": "to",
    "top1_difference": "Difference",
    "top5_val": "Top-5, paper",
    "top5": "Top-5, ours",
    "seeds": "Seeds",
    "status": "Status",
}


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per net and protocol: mean errors in percent over seeds, a 95 % interval, how many seeds, and a status.

    rows: as `results.Store.rows` gives them. The interval is Student's t over seeds where there are at least
    two, which speaks of the configuration, and Wilson's over images where there is one, which speaks of that one net.
    """
    return pd.DataFrame(
        [{**dict(zip(KEY, key, strict=True)), **_group(group)} for key, group in rows.groupby(KEY, sort=False)]
    )


def _group(group: pd.DataFrame) -> dict:
    done = group[group["status"] == "done"]
    counts = group["status"].value_counts()
    status = ", ".join(f"{counts[name]} {name}" for name in ("failed", "not run") if name in counts)
    summary = {
        "seeds": len(done),
        "status": status or "done",
        "top1": np.nan,
        "top1_low": np.nan,
        "top1_high": np.nan,
        "top5": np.nan,
    }
    if len(done):
        top1 = done["top1_error_percent"].astype(float)
        low, high = (
            mean_interval(top1) if len(done) > 1 else interval_percent(top1.iloc[0], int(done["n_images"].iloc[0]))
        )
        top5 = float(done["top5_error_percent"].astype(float).mean())
        summary |= {"top1": float(top1.mean()), "top1_low": low, "top1_high": high, "top5": top5}
    return summary


def mean_interval(values, confidence: float = 0.95) -> tuple[float, float]:
    """Student's t interval of a mean, from at least two values."""
    values = np.asarray(values, float)
    error = float(stats.sem(values))
    if error == 0 or math.isnan(error):
        return float(values.mean()), float(values.mean())
    return tuple(float(end) for end in stats.t.interval(confidence, len(values) - 1, loc=values.mean(), scale=error))


def table3(rows: pd.DataFrame) -> pd.DataFrame:
    """Table 3 (a single test scale): every row of the paper with ours beside it, and `top1_difference` in points
    (ours - paper).

    Rows that were never planned or run say "not run".
    """
    return _beside_paper(rows, table=3)


def _beside_paper(rows: pd.DataFrame, table: int) -> pd.DataFrame:
    paper = results.paper()
    paper = paper[paper["table"] == table]
    joined = paper.merge(summary(rows), on=KEY, how="left")
    joined["seeds"] = joined["seeds"].fillna(0).astype(int)
    joined["status"] = joined["status"].fillna("not run")
    joined["top1_difference"] = joined["top1"] - joined["top1_val"]
    return joined[[*KEY, *(column for column in COLUMNS if column not in KEY)]]


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
