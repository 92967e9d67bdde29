"""Why nets err more or less than others: how well they fit their training images, and at which Q they are tested."""

from __future__ import annotations

import pandas as pd

from vgglib import tables
from vgglib.statistics import mcnemar_p, probability_text

BASE = "A"  # the net that the others are compared with
ONE_SEED = " That is one training of each: another seed may say otherwise."
ALIKE = 0.05  # training losses that differ by no more count as the same


def of(rows: pd.DataFrame) -> pd.DataFrame:
    """From rows as `Store.rows` gives them, one line per net of Table 3 that was trained at S = 256, and B-5x5.

    Columns `net`, `seeds` (how many), `loss` (training, mean over the last epoch, then over the seeds), and of the
    top-1 error in percent, dense at Q = S, `top1`, `top1_low` and `top1_high` as `tables.summary` has them.
    """
    own = first_stage(rows)
    losses = own["history"].map(_last_loss).groupby(own["net"]).mean()
    found = tables.summary(own)
    found["loss"] = found["net"].map(losses)
    return found[["net", "seeds", "loss", "top1", "top1_low", "top1_high"]]


def first_stage(rows: pd.DataFrame) -> pd.DataFrame:
    """Of rows as `Store.rows` gives them those of Table 3 at S = 256 that are done, and of B-5x5."""
    own = (rows["table"] == "3") | ((rows["table"] == "5x5") & (rows["net"] == "B-5x5"))
    return rows[own & (rows["train_scale"] == "256") & (rows["status"] == "done")]


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
            "95 % interval": ["-" if pd.isna(low) else f"{low:.1f} to {high:.1f}" for low, high in ends],
        }
    )


def at_one_loss(found: pd.DataFrame) -> str:
    """Of the nets of `of` whose losses differ by `ALIKE` at most, the two whose errors differ most, in a sentence.

    Empty where there are none.
    """
    pairs = [
        (more.top1 - less.top1, more, less)
        for more in found.itertuples()
        for less in found.itertuples()
        if more.net != less.net and abs(more.loss - less.loss) <= ALIKE
    ]
    if not pairs:
        return ""
    points, more, less = max(pairs, key=lambda pair: pair[0])
    said = (
        f"Among nets whose training losses differ by at most {ALIKE}, the largest gap in error lies between {more.net} "
        f"({more.loss:.2f}) and {less.net} ({less.loss:.2f}): {more.net} errs {points:.1f} points more, which training "
        "loss does not explain."
    )
    return said + (ONE_SEED if min(more.seeds, less.seeds) < 2 else "")


def by_scale(rows: pd.DataFrame) -> pd.DataFrame:
    """For display, top-1 errors (%) at each of Table 4's test scales by itself and of their averaged posteriors, a line
    per net and S: means over the seeds that have all four; and the average's less that of each seed's best scale, with
    McNemar's p of these two for every seed.
    """
    done = rows[rows["status"] == "done"]
    alone = done[done["table"] == "scales"].groupby(["net", "train_scale", "seed"])
    tests = {key: {row.test_scales: row for row in own.itertuples()} for key, own in alone}
    found: dict[tuple[str, str], list[tuple]] = {}
    for row in done[done["table"] == "4"].itertuples():
        own = tests.get((row.net, row.train_scale, row.seed), {})
        if set(row.test_scales.split()) == set(own):
            each = [own[q] for q in sorted(own, key=int)]
            found.setdefault((row.net, row.train_scale), []).append((*each, row))
    lines = []
    # Nets in their order and jitter last, whichever of them was run first.
    for (net, scale), seeds in sorted(found.items(), key=lambda line: (line[0][0], len(line[0][1]), line[0][1])):
        errors = [[test.top1_error_percent for test in tests] for tests in seeds]
        means = [f"{sum(column) / len(seeds):.1f}" for column in zip(*errors, strict=True)]
        names = ("Smallest Q", "Middle Q", "Largest Q", "All three")
        gains = [own[-1] - min(own[:-1]) for own in errors]
        best = [min(tests[:-1], key=lambda test: test.top1_error_percent) for tests in seeds]
        p_values = [mcnemar_p(tests[-1].wrong, one.wrong) for tests, one in zip(seeds, best, strict=True)]
        lines.append(
            {"Net": net, "S": scale, "Seeds": len(seeds), **dict(zip(names, means, strict=True))}
            | {"All three - the best": f"{sum(gains) / len(gains):+.2f}"}
            | {"McNemar's p": ", ".join(map(probability_text, p_values))}
        )
    return pd.DataFrame(lines)


def finding(found: pd.DataFrame) -> str:
    """Which nets err more than A, and whether they fit their training images worse or no worse; by the means alone."""
    by_net = found.set_index("net")
    if BASE not in by_net.index or len(by_net) < 2:
        return f"There is no net to compare with {BASE}."
    others = by_net.drop(BASE)
    worse = others["top1"] > by_net.loc[BASE, "top1"]
    higher = others["loss"] - by_net.loc[BASE, "loss"]
    parts = (
        ("more, with a higher training loss", worse & (higher > ALIKE)),
        (f"more, with a training loss no more than {ALIKE} higher", worse & (higher > 0) & (higher <= ALIKE)),
        ("more, with a training loss that is no higher", worse & (higher <= 0)),
        ("no more", ~worse),
    )
    said = [
        f"{', '.join(others.index[which])} {'errs' if which.sum() == 1 else 'err'} {text}"
        for text, which in parts
        if which.any()
    ]
    if found["seeds"].max() < 2:
        return f"Compared with {BASE}: {'; '.join(said)}." + ONE_SEED
    return f"Compared with {BASE}, by the means over seeds alone: {'; '.join(said)}."
