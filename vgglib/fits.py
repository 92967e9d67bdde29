"""Why nets err more or less than others: how well they fit their training images, and at which Q they are tested."""

from __future__ import annotations

import pandas as pd

from vgglib import tables

BASE = "A"  # the net that the others are compared with
EARLY = 3 / 4  # of the epochs of the longest training


def of(rows: pd.DataFrame) -> pd.DataFrame:
    """From rows as `Store.rows` gives them, one line per net of Table 3 that was trained at S = 256.

    Columns `net`, `seeds` (how many), `loss` (training, mean over the last epoch, then over the seeds), and of the
    top-1 error in percent, dense at Q = S, `top1`, `top1_low` and `top1_high` as `tables.summary` has them.
    """
    own = _first_stage(rows)
    losses = own["history"].map(_last_loss).groupby(own["net"]).mean()
    found = tables.summary(own)
    found["loss"] = found["net"].map(losses)
    return found[["net", "seeds", "loss", "top1", "top1_low", "top1_high"]]


def ended_early(rows: pd.DataFrame) -> str:
    """Which of Table 3's trainings at S = 256 ended before three quarters of the longest one's epochs, and what the
    other seeds of the same net say without them, as sentences; empty where there is none.
    """
    own = _first_stage(rows)
    own = own.assign(epochs=own["history"].map(len), loss=own["history"].map(_last_loss))
    early = own["epochs"] < EARLY * own["epochs"].max()
    said = []
    for row in own[early].itertuples():
        said.append(
            f"The training of {row.net}, seed {row.seed}, ended after {row.epochs} epochs, of {own['epochs'].max()} at "
            f"most: training loss {row.loss:.2f}, top-1 error {row.top1_error_percent:.1f} %."
        )
        others = own[(own["net"] == row.net) & ~early]
        if len(others):
            loss, error = others["loss"].mean(), others["top1_error_percent"].mean()
            said.append(f"The other seeds of {row.net} have {loss:.2f} and {error:.1f} % on average.")
    return " ".join(said)


def _first_stage(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[(rows["table"] == "3") & (rows["train_scale"] == "256") & (rows["status"] == "done")]


def _last_loss(history: list[dict]) -> float:
    return history[-1]["train_loss"]


def shown(found: pd.DataFrame) -> pd.DataFrame:
    """The same for display."""
    ends = zip(found["top1_low"], found["top1_high"], strict=True)
    return pd.DataFrame(
        {
            "Net": found["net"],
            "Seeds": found["seeds"],
            "Training loss": found["loss"].map("{:.2f}".format),
            "Top-1 error": found["top1"].map("{:.1f}".format),
            "95 % interval": [f"{low:.1f} to {high:.1f}" for low, high in ends],
        }
    )


def by_scale(rows: pd.DataFrame) -> pd.DataFrame:
    """For display, top-1 errors (%) at each of Table 4's test scales by itself and of their averaged posteriors, a line
    per net and S: means over the seeds that have all four.
    """
    done = rows[rows["status"] == "done"]
    alone = done[done["table"] == "scales"].groupby(["net", "train_scale", "seed"])
    errors = {key: dict(zip(own["test_scales"], own["top1_error_percent"], strict=True)) for key, own in alone}
    found: dict[tuple[str, str], list[list[float]]] = {}
    for row in done[done["table"] == "4"].itertuples():
        own = errors.get((row.net, row.train_scale, row.seed), {})
        if set(row.test_scales.split()) == set(own):
            each = [own[q] for q in sorted(own, key=int)]
            found.setdefault((row.net, row.train_scale), []).append([*each, row.top1_error_percent])
    lines = []
    for (net, scale), values in found.items():
        means = [f"{sum(column) / len(values):.1f}" for column in zip(*values, strict=True)]
        names = ("Smallest Q", "Middle Q", "Largest Q", "All three")
        lines.append({"Net": net, "S": scale, "Seeds": len(values), **dict(zip(names, means, strict=True))})
    return pd.DataFrame(lines)


def finding(found: pd.DataFrame) -> str:
    """Which nets err more than A, and whether they fit their training images worse or no worse; by the means alone."""
    by_net = found.set_index("net")
    if BASE not in by_net.index or len(by_net) < 2:
        return f"There is no net to compare with {BASE}."
    others = by_net.drop(BASE)
    worse = others["top1"] > by_net.loc[BASE, "top1"]
    fits = others["loss"] <= by_net.loc[BASE, "loss"]
    parts = (
        ("more, with a higher training loss", worse & ~fits),
        ("more, with no higher training loss", worse & fits),
        ("no more", ~worse),
    )
    said = [
        f"{', '.join(others.index[which])} {'errs' if which.sum() == 1 else 'err'} {text}"
        for text, which in parts
        if which.any()
    ]
    return f"Beside {BASE}: {'; '.join(said)}."
