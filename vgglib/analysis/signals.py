"""What reaches both ends of a net before its first update, by how its weights begin (Sect. 3.1)."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from vgglib.analysis.starts import left_chance_text
from vgglib.metrics import mean_interval

SCORES, GRADIENT = "logit_sd", "conv1_1_gradient_norm"
MEASURED = {SCORES: "Spread of the scores", GRADIENT: "Gradient of conv1_1"}


def of(rows: pd.DataFrame) -> pd.DataFrame:
    """Of rows as `Store.rows` gives them those of first stages at S = 256 whose record holds the first batch's signal,
    one for each net, start and seed; `MEASURED` are columns: the standard deviation of the batch's scores, and the norm
    of the gradient that reaches conv1_1.
    """
    own = rows[(rows["train_scale"] == "256") & rows["initial_signal"].map(bool)]
    own = own.drop_duplicates(["net", "start", "seed"])
    return own.assign(**{key: [signal[key] for signal in own["initial_signal"]] for key in MEASURED})


def table(found: pd.DataFrame) -> pd.DataFrame:
    """For display, a line for each net and start of `of`: geometric means over seeds with the least and the most, and
    when the error on minival left chance.
    """
    lines = []
    for (net, start), own in found.groupby(["net", "start"], sort=False):
        lines.append(
            {"Net": net, "Start": start, "Seeds": len(own)}
            | {name: _spread(own[key]) for key, name in MEASURED.items()}
            | left_chance_text(own)
        )
    return pd.DataFrame(lines)


def finding(found: pd.DataFrame, net: str = "E", start: str = "glorot", other: str = "he-fan-out") -> str:
    """By what factors one start differs from another, seed by seed, in a sentence; empty for fewer than two seeds that
    have both.
    """
    own = found[found["net"] == net].pivot(index="seed", columns="start", values=list(MEASURED))
    if not {start, other} <= set(own.columns.get_level_values(1)):
        return ""
    said = []
    for key, name in MEASURED.items():
        logs = np.log(own[key, start] / own[key, other]).dropna()
        if len(logs) < 2:
            return ""
        ratio, low, high = np.exp([logs.mean(), *mean_interval(logs)])
        interval = "" if np.isnan(low) else f" ({low:.2g} to {high:.2g})"
        said.append(f"the {name[0].lower()}{name[1:]} is {ratio:.2g} times{interval}")
    return f"Net {net} before the first update, {len(logs)} seeds: with {start} {' and '.join(said)} that with {other}."


def _spread(values: pd.Series) -> str:
    mean, least, most = (f"{value:.2g}" for value in (stats.gmean(values), values.min(), values.max()))
    return f"{mean} ({least} to {most})" if len(values) > 1 else mean
