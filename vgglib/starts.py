"""Net E from a trained A and from random weights (Sect. 3.1), which are also given the epochs of both together."""

from __future__ import annotations

import pandas as pd

from vgglib.comparisons import ERROR, Arm, Comparison, Evidence, checked
from vgglib.plans import plan
from vgglib.results import Store
from vgglib.schedule import LEFT_CHANCE_POINTS
from vgglib.statistics import lower
from vgglib.tables import mean_interval

AS_LONG, TOGETHER = "starts", "longer-starts"  # tables: all E with equal epochs; random starts with A's epochs on top


def rows(store: Store, preset: str) -> pd.DataFrame:
    """Rows of both tables, as `Store.rows` gives them, of every seed that has records; only what was run has a row, and
    without records of `TOGETHER` there is none.

    Two columns come on top: `epochs` of E, at most, and `before`, those of the A that it starts from.
    """
    seeds = store.seeds(preset) or None
    entries = [entry for table in (AS_LONG, TOGETHER) for entry in plan(preset, table, seeds=seeds)]
    trained = [entry.runs[0].experiment for entry in entries]
    found = store.rows(entries).assign(
        epochs=[experiment.epochs for experiment in trained],
        before=[experiment.start.epochs if experiment.start else 0 for experiment in trained],
    )
    found = found[found["status"] != "not run"].reset_index(drop=True)
    return found if TOGETHER in set(found["table"]) else found.iloc[:0]


def summary(found: pd.DataFrame) -> pd.DataFrame:
    """For display, a line per start and length: E's epochs at most and those of its A, the mean top-1 error and its
    95 % interval over seeds, and in how many trainings, and after how many epochs, the error on minival had left chance
    as `schedule` has it.
    """
    lines = []
    for (start, before, epochs), own in found.groupby(["start", "before", "epochs"], sort=False):
        done = own[own["status"] == "done"]
        left = [epoch for row in done.itertuples() if (epoch := left_chance(row.history, row.n_classes))]
        lines.append(
            {
                "Start": start,
                "Epochs of A before": before or "-",
                "Epochs of E, at most": epochs,
                "Top-1": f"{done[ERROR].mean():.1f}" if len(done) else "-",
                "95 % interval": _interval(done[ERROR]),
                "Seeds": len(done),
                "Left chance": f"{len(left)} of {len(done)}",
                "After epochs": "-" if not left else f"{min(left)} to {max(left)}" if len(set(left)) > 1 else left[0],
            }
        )
    return pd.DataFrame(lines)


def left_chance(history: list[dict], classes: int) -> int | None:
    """The first epoch whose error on minival is below that of guessing by as much as `schedule` asks, None for none."""
    chance = 100 * (1 - 1 / classes)
    errors = ((epoch["epoch"], epoch["minival_top1_error_percent"]) for epoch in history)
    return next((number for number, error in errors if error <= chance - LEFT_CHANCE_POINTS), None)


def differences(found: pd.DataFrame) -> dict[str, pd.Series]:
    """Of each kind of random weights with `TOGETHER`'s epochs: error of E from A less that of E from these, in points
    by seed; under what is compared, in words.
    """
    compared, points = checked(found), {}
    for start, epochs in found.loc[found["table"] == TOGETHER, ["start", "epochs"]].drop_duplicates().to_numpy():
        arms = Arm(AS_LONG, "E", start="A"), Arm(TOGETHER, "E", start=start)
        evidence = Evidence.of(compared, (Comparison(arms[0], arms[1:]),), ERROR)
        label = f"E from A - E from {start} for {epochs} epochs, as many as A and E together"
        points[label] = pd.Series(evidence.differences, index=evidence.seeds, dtype=float)
    return points


def gains(found: pd.DataFrame) -> pd.DataFrame:
    """For display: those `differences` of which there are at least two seeds."""
    return pd.DataFrame(
        [
            {
                "Nets": label,
                "Points": f"{points.mean():+.2f}",
                "95 % interval": _interval(points, "+.2f"),
                "Below 0": f"{(points < 0).sum()} of {len(points)} seeds",
                "That E from A errs less": lower(points.to_numpy()).verdict,
            }
            for label, points in differences(found).items()
            if len(points) > 1
        ]
    )


def _interval(values: pd.Series, form: str = ".1f") -> str:
    if len(values) < 2:
        return "-"
    low, high = mean_interval(values)
    return f"{low:{form}} to {high:{form}}"
