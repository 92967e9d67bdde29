"""When the learning rate first dropped, which is `schedule`'s rule at work, and what it has to do with the errors."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from vgglib.analysis.fits import BASE
from vgglib.comparisons import ERROR
from vgglib.statistics import probability_text

ORDERS = 10**5  # tried by the permutation test; all of them, where there are no more: up to eight seeds

COLUMNS = ["net", "seed", "first_rate_epochs", "minival_error", "from_chance", "epochs", "train_loss", ERROR]


def of(rows: pd.DataFrame) -> pd.DataFrame:
    """One line per training of rows that are done, as `results.Store.rows` gives them, of one table and recipe.

    Columns `net`, `seed`, `first_rate_epochs` (epochs before the first drop), `minival_error` (top-1, %, the best by
    then), `from_chance` (by how many points guessing errs more), `early` (sooner than in the training of these that
    kept its first rate longest), `epochs` (all), `train_loss` of the last, and the `top1_error_percent` of the row.
    """
    found = pd.DataFrame([_line(row) for row in _trained(rows).itertuples()], columns=COLUMNS)
    return found.assign(early=found["first_rate_epochs"] < found["first_rate_epochs"].max())


def _trained(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[(rows["status"] == "done") & (rows["history"].map(len) > 0)]


def _first(history: list[dict]) -> int:
    """How many epochs the first rate lasted."""
    return sum(epoch["learning_rate"] == history[0]["learning_rate"] for epoch in history)


def _line(row) -> tuple:
    first = _first(row.history)
    best = min(epoch["minival_top1_error_percent"] for epoch in row.history[:first])
    chance = 100 * (1 - 1 / row.n_classes)
    end = (len(row.history), row.history[-1]["train_loss"], row.top1_error_percent)
    return (row.net, row.seed, first, best, chance - best, *end)


def shown(found: pd.DataFrame) -> pd.DataFrame:
    """Those that dropped `early`, for display, beside the mean error of their nets' seeds that did not."""
    lines = []
    for row in found[found["early"]].sort_values(["net", "seed"]).itertuples():
        others = found[(found["net"] == row.net) & ~found["early"]]
        late = f"{others[ERROR].mean():.1f} ({len(others)})" if len(others) else "-"
        lines.append(
            {
                "Net": row.net,
                "Seed": row.seed,
                "Epochs at the first rate": row.first_rate_epochs,
                "Minival error then": f"{row.minival_error:.1f}",
                "Points below chance": f"{row.from_chance:.1f}",
                "Training loss in the end": f"{row.train_loss:.2f}",
                "Top-1 error": f"{row.top1_error_percent:.1f}",
                "Error of seeds that dropped late": late,
            }
        )
    return pd.DataFrame(lines)


def differences(found: pd.DataFrame) -> pd.DataFrame:
    """For display, each net's error - A's in points, means over the seeds that have both, and over those of them in
    which the rate of neither dropped early, with the number of seeds.
    """
    lines = []
    for net in found["net"].unique():
        one, other = (found[found["net"] == name].set_index("seed") for name in (net, BASE))
        points = (one[ERROR] - other[ERROR]).dropna()
        late = points[~(one["early"].loc[points.index] | other["early"].loc[points.index])]
        if net != BASE and len(points):
            each = {"All seeds": points, "Neither dropped early": late}
            lines.append({"Nets": f"{net} - {BASE}", **{name: _mean(own) for name, own in each.items()}})
    return pd.DataFrame(lines)


def _mean(points: pd.Series) -> str:
    return f"{points.mean():+.2f} ({len(points)})" if len(points) else "-"


def course(rows: pd.DataFrame) -> pd.DataFrame:
    """For display, training loss and top-1 error on minival (%) of each net in the last epoch of the first rate, the
    first epoch after, and the last one: means over the seeds of rows as `of` takes them whose rate dropped at all.
    """
    lines = {}
    for row in _trained(rows).itertuples():
        first = _first(row.history)
        if first < len(row.history):
            lines.setdefault(row.net, []).append([row.history[place] for place in (first - 1, first, -1)])
    names = ("before the first drop", "after it", "in the end")
    columns = {"train_loss": ("Loss", ".2f"), "minival_top1_error_percent": ("Minival", ".1f")}
    return pd.DataFrame(
        [
            {"Net": net, "Seeds": len(found)}
            | {
                f"{label} {name}": format(sum(epochs[place][key] for epochs in found) / len(found), form)
                for key, (label, form) in columns.items()
                for place, name in enumerate(names)
            }
            for net, found in lines.items()
        ]
    )


def said(found: pd.DataFrame) -> str:
    """How long the first rate lasted, and how that goes with the error among a net's seeds; empty for no training.

    Spearman's rank correlation, of nets with at least five seeds that neither all have the same rate nor the same
    error, with the p value of a permutation test, which is exact up to eight seeds; p values stand alone.
    """
    if found.empty:
        return ""
    least, most = found["first_rate_epochs"].min(), found["first_rate_epochs"].max()
    lasted = f"{least} to {most} epochs" if least < most else f"{least} epoch{'s' if least > 1 else ''}"
    text = f"The first rate lasted {lasted}."
    parts = []
    for net, own in found.groupby("net", sort=False):
        if len(own) >= 5 and (own[["first_rate_epochs", ERROR]].nunique() > 1).all():
            correlation, p_value = _rank_correlation(own["first_rate_epochs"].to_numpy(), own[ERROR].to_numpy())
            parts.append(f"{correlation:+.2f} for {net} ({len(own)} seeds, p value {probability_text(p_value)})")
    if not parts:
        return text
    text += f" Rank correlation of its length with the error: {', '.join(parts)}."
    return f"{text} A value below 0 means that seeds whose first rate lasted longer err less."


def _rank_correlation(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """Spearman's, and its two-sided p value; Student's t, which is often used for it, is wrong for few numbers."""

    def product(order: np.ndarray, axis: int) -> np.ndarray:
        return (order * ranks).sum(axis)  # grows with the correlation

    ranks = stats.rankdata(second)
    found = stats.permutation_test(
        (stats.rankdata(first),),
        product,
        permutation_type="pairings",
        vectorized=True,
        n_resamples=ORDERS,
        random_state=np.random.default_rng(0),
    )
    return float(stats.spearmanr(first, second).statistic), float(found.pvalue)
