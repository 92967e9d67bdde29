"""Whether deep nets err more because they fit their training images less, or although they fit them: S = Q = 256."""

from __future__ import annotations

import pandas as pd

from vgglib.configs import TABLE_1
from vgglib.tables import mean_interval

BASE = "A"  # the net that the others are compared with


def of(rows: pd.DataFrame) -> pd.DataFrame:
    """From rows as `Store.rows` gives them, one line per net of Table 3 that was trained at S = 256.

    Columns `net`, `seeds` (how many), `loss` (training, mean over the last epoch, then over the seeds), `error` (top-1
    in percent, dense at Q = S, likewise), `low` and `high` (95 % interval over the seeds, not a number from one).
    """
    own = rows[(rows["table"] == "3") & (rows["train_scale"] == "256") & (rows["status"] == "done")]
    lines = []
    for net in [net for net in TABLE_1 if net in set(own["net"])]:
        group = own[own["net"] == net].drop_duplicates("seed")
        errors = group["top1_error_percent"].astype(float)
        low, high = mean_interval(errors) if len(group) > 1 else (float("nan"), float("nan"))
        loss = group["history"].map(lambda history: history[-1]["train_loss"]).mean()
        lines.append({"net": net, "seeds": len(group), "loss": loss, "error": errors.mean(), "low": low, "high": high})
    return pd.DataFrame(lines, columns=["net", "seeds", "loss", "error", "low", "high"])


def shown(found: pd.DataFrame) -> pd.DataFrame:
    """The same for display."""
    interval = [
        "-" if pd.isna(low) else f"{low:.1f} to {high:.1f}"
        for low, high in zip(found["low"], found["high"], strict=True)
    ]
    return pd.DataFrame(
        {
            "Net": found["net"],
            "Seeds": found["seeds"],
            "Training loss": found["loss"].map("{:.2f}".format),
            "Top-1 error": found["error"].map("{:.1f}".format),
            "95 % interval over seeds": interval,
        }
    )


def finding(found: pd.DataFrame) -> str:
    """Which nets err more than A, and whether they fit their training images worse or no worse; by the means alone."""
    by_net = found.set_index("net")
    if BASE not in by_net.index or len(by_net) < 2:
        return f"There is no net to compare with {BASE}."
    others = by_net.drop(BASE)
    worse = others["error"] > by_net.loc[BASE, "error"]
    fits = others["loss"] <= by_net.loc[BASE, "loss"]
    parts = (
        ("err more and have a higher training loss", worse & ~fits),
        ("err more, with no higher training loss", worse & fits),
        ("err no more", ~worse),
    )
    said = [f"{', '.join(others.index[which])} {text}" for text, which in parts if which.any()]
    return f"Beside {BASE}: {'; '.join(said)}."
