"""Net E from a trained A and from random weights (Sect. 3.1), and A itself, as long as both together or as before E."""

from __future__ import annotations

import pandas as pd

from vgglib.analysis.by_hand import ANSWERS
from vgglib.catalogue import OF_STARTS
from vgglib.comparisons import ERROR, Arm, Evidence, between, with_failed
from vgglib.experiments import Entry
from vgglib.metrics import interval_text
from vgglib.plans import plan
from vgglib.results import Store
from vgglib.statistics import lower
from vgglib.training import schedule


def rows(store: Store, preset: str, **overrides) -> pd.DataFrame:
    """Rows of net E in the three tables of starts, of the A that E starts from, and of A trained for as long as that A
    and E together, as `Store.rows` gives them, of every seed that has records. Only what was run has a row; where no
    two trainings have as many epochs in all, or no E starts from A, there is none. `overrides` of the preset's recipe
    are as in `plans.plan`.

    Three columns come on top: `epochs`, at most; `before`, those of the A that E starts from; `together`, their sum.
    """
    seeds = store.seeds(preset, any_recipe=bool(overrides)) or None
    entries = [entry for table in OF_STARTS for entry in plan(preset, table, seeds=seeds, **overrides)]
    grown = [entry for entry in entries if entry.runs[0].experiment.start]
    lengths = {_together(entry) for entry in grown} | {entry.runs[0].experiment.start.epochs for entry in grown}
    for length in sorted(lengths):
        entries += plan(preset, "3", ["A"], seeds, ["256"], **overrides | {"epochs": length})
    trained = [entry.runs[0].experiment for entry in entries]
    found = store.rows(entries).assign(
        epochs=[experiment.epochs for experiment in trained],
        before=[experiment.start.epochs if experiment.start else 0 for experiment in trained],
        together=[_together(entry) for entry in entries],
    )
    found = found[found["status"] != "not run"]
    from_a, before = (set(found.loc[found["before"] > 0, column]) for column in ("together", "before"))
    found = found[(found["net"] == "E") | found["together"].isin(from_a | before)].reset_index(drop=True)
    as_long = found[(found["before"] == 0) & found["together"].isin(from_a)]
    return found if len(as_long) else found.iloc[:0]


def _together(entry: Entry) -> int:
    trained = entry.runs[0].experiment
    return trained.epochs + (trained.start.epochs if trained.start else 0)


def summary(found: pd.DataFrame) -> pd.DataFrame:
    """For display, a line per net, start and length: its epochs at most and those of the A that it starts from, the
    mean top-1 error and its 95 % interval over the seeds that are done, how many failed, and in how many trainings of
    both kinds, and after how many epochs, the error on minival had left chance as `schedule` has it.
    """
    lines = []
    for (net, start, before, epochs), own in found.groupby(["net", "start", "before", "epochs"], sort=False):
        done = own[own["status"] == "done"]
        lines.append(
            {
                "Net": net,
                "Start": start,
                "Epochs of A before": before or "-",
                "Epochs, at most": epochs,
                "Top-1": f"{done[ERROR].mean():.1f}" if len(done) else "-",
                "95 % interval": interval_text(done[ERROR]),
                "Seeds": with_failed(str(len(done)), len(own) - len(done)),
            }
            | left_chance_text(own)
        )
    return pd.DataFrame(lines)


def left_chance_text(own: pd.DataFrame) -> dict[str, str]:
    """In how many trainings, of `Store.rows`, the error on minival had left chance, and after how many epochs: two
    columns for display.
    """
    left = [epoch for row in own.itertuples() if row.history and (epoch := left_chance(row.history, row.n_classes))]
    after = "-" if not left else " to ".join(map(str, sorted({min(left), max(left)})))
    return {"Left chance": f"{len(left)} of {len(own)}", "After epochs": after}


def raced(found: pd.DataFrame) -> dict[int, pd.DataFrame]:
    """Rows of E from A and from random weights with as many epochs in all, by that number."""
    by_length = found[found["net"] == "E"].groupby("together")
    return {length: own for length, own in by_length if (own["before"] > 0).nunique() > 1}


def left_chance(history: list[dict], classes: int) -> int | None:
    """The first epoch whose error on minival has left that of guessing as `schedule` has it, None for none; of guessing
    among classes of equally many images.
    """
    chance = 100 * (1 - 1 / classes)
    errors = ((epoch["epoch"], epoch["minival_top1_error_percent"]) for epoch in history)
    return next((number for number, error in errors if schedule.left_chance(error, chance)), None)


def compared(found: pd.DataFrame, net: str = "E") -> dict[str, Evidence]:
    """E from A against `net`, "E" or "A", from random weights and with as many epochs as A and that E together; under
    what is compared, in words.
    """
    evidence = {}
    for length, trained in found.groupby("together"):
        grown = trained["before"] > 0
        others = trained[~grown & (trained["net"] == net)].groupby(["table", "start"], sort=False).groups
        for table in trained.loc[grown, "table"].unique():
            for other, start in others:
                label = f"E from A - {net} from {start} for {length} epochs, as many as A and E together"
                evidence[label] = between(trained, Arm(table, "E", start="A"), Arm(other, net, start=start))
    return evidence


def _grown(found: pd.DataFrame) -> dict[str, Evidence]:
    """E from A against the very A that it starts from, which has fewer epochs."""
    evidence = {}
    for (table, before), own in found[found["before"] > 0].groupby(["table", "before"], sort=False):
        first = found[(found["net"] == "A") & (found["epochs"] == before)]
        if len(first):
            label = f"E from A - the A that it starts from, after its {before} epochs"
            evidence[label] = between(pd.concat([own, first]), Arm(table, "E", start="A"), Arm("3", "A"))
    return evidence


def gains(found: pd.DataFrame) -> pd.DataFrame:
    """For display: what is `compared` with E and with A, and E from A with the A that it starts from, where there are
    at least two seeds, or a run that failed: then it is undecided.
    """
    evidence = compared(found) | compared(found, "A") | _grown(found)
    return pd.DataFrame(
        [
            {
                "Nets": label,
                "Points": f"{points.mean():+.2f}" if len(points := own.by_seed) else "-",
                "95 % interval": interval_text(points, "+.2f"),
                "Below 0": with_failed(f"{(points < 0).sum()} of {len(points)} seeds", own.failed),
                "E from A errs less": ANSWERS[own.decided(lower).verdict],
            }
            for label, own in evidence.items()
            if len(own.seeds) > 1 or own.failed
        ]
    )


def mixed_devices(found: pd.DataFrame) -> str:
    """A sentence for each comparison of `gains` whose nets were trained on different kinds of device."""
    evidence = compared(found) | compared(found, "A") | _grown(found)
    shown = {label: own.mixed_devices for label, own in evidence.items() if len(own.seeds) > 1}
    return " ".join(f"{label}: {mixed}." for label, mixed in shown.items() if mixed)
