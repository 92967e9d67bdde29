"""B against the shallow B-5x5 as Sect. 4.1 compares them: on a centre crop, and both from random weights."""

from __future__ import annotations

import numpy as np
import pandas as pd

from vgglib.analysis import by_hand
from vgglib.catalogue import CENTRE
from vgglib.comparisons import ERROR, Arm, Evidence, between, with_failed
from vgglib.experiments import Protocol
from vgglib.metrics import interval_text, mean_interval
from vgglib.plans import plan
from vgglib.results import Store
from vgglib.statistics import lower, p_equals

TESTS = {"centre-crop": CENTRE, "dense": "5x5"}  # the tables that hold the pair, by way to test; the paper's first
SETTINGS = ("epochs", "patience", "precision")  # that may be made by hand, and no others


def rows(store: Store, preset: str) -> pd.DataFrame:
    """Rows of both nets on a centre crop and dense, as `Store.rows` gives them, from random weights, where B-5x5 was
    tested on a centre crop and trained by the preset's recipe but for the epochs, the patience or the arithmetic; with
    a column `recipe` on top, such as "48 epochs, bf16". Only what was run has a row.
    """
    parts = [pd.DataFrame(columns=["table", "net", "method", "seed", "recipe"])]
    protocols = [Protocol.usual(256, "centre-crop").name]
    for settings, seeds in by_hand.recipes(store, preset, SETTINGS, protocols, "B-5x5"):
        entries = plan(preset, ",".join(TESTS.values()), ["B", "B-5x5"], sorted(seeds), **settings, from_a=False)
        trained = entries[0].runs[0].experiment
        found = store.rows(entries)
        found = found[found["status"] != "not run"]
        recipe = by_hand.described(trained.epochs, by_hand.drops(trained, settings))
        parts.append(found.assign(recipe=recipe + ", " + by_hand.precision(found)))
    whole = pd.concat(parts, ignore_index=True)
    # A precision that was left to "auto" and the same asked for by name are one training.
    return whole.drop_duplicates(["recipe", "table", "net", "seed"])


def compared(found: pd.DataFrame) -> dict[tuple[str, str], Evidence]:
    """B less B-5x5, by recipe and way to test."""
    evidence = {}
    for recipe, own in found.groupby("recipe", sort=False):
        for method, table in TESTS.items():
            evidence[recipe, method] = between(own, *(Arm(table, net, method=method) for net in ("B", "B-5x5")))
    return evidence


def ratio(own: Evidence) -> tuple[float, float, float] | None:
    """The error of B-5x5 over that of B: geometric mean over seeds and its 95 % interval; None where that says
    nothing: for fewer than two seeds, an error of zero, and one ratio in all of them.
    """
    errors = _errors(own)
    if len(errors) < 2 or not errors.all():
        return None
    logs = np.log(errors[:, 1] / errors[:, 0])
    found = np.exp([logs.mean(), *mean_interval(logs)])
    return None if np.isnan(found).any() else tuple(map(float, found))


def _errors(own: Evidence) -> np.ndarray:
    """(seeds, 2): top-1 errors in percent of B and B-5x5."""
    return np.array([[getattr(row, ERROR) for row in own.pairs[0][seed]] for seed in own.seeds]).reshape(-1, 2)


def table(found: pd.DataFrame) -> pd.DataFrame:
    """For display, a line per recipe and way to test, where both nets of a seed are done or a run failed: mean top-1
    errors in percent, B less B-5x5 in points with its 95 % interval over seeds, the error of B-5x5 over that of B with
    its own, and what a test alone says of whether B errs less.
    """
    lines = []
    for (recipe, method), own in compared(found).items():
        if not own.seeds and not own.failed:
            continue
        b, shallow = _errors(own).mean(0) if own.seeds else (np.nan, np.nan)
        points, times = own.by_seed, ratio(own)
        lines.append(
            {
                "Trained for": recipe,
                "Tested": method,
                "B": f"{b:.2f}" if own.seeds else "-",
                "B-5x5": f"{shallow:.2f}" if own.seeds else "-",
                "B - B-5x5": f"{points.mean():+.2f}" if own.seeds else "-",
                "95 % interval": interval_text(points, "+.2f"),
                "B-5x5 : B": "{:.2f} ({:.2f} to {:.2f})".format(*times) if times else "-",
                "Below 0": with_failed(f"{(points < 0).sum()} of {len(points)} seeds", own.failed),
                "B errs less": by_hand.ANSWERS[own.decided(lower).verdict],
            }
        )
    return pd.DataFrame(lines)


def finding(found: pd.DataFrame) -> str:
    """In sentences, what the paper's own test says; empty for fewer than two seeds."""
    said = []
    for (recipe, method), own in compared(found).items():
        if method != "centre-crop" or len(own.seeds) < 2:
            continue
        points, decision = own.by_seed, own.decided(lower)
        text = f"Both nets from random weights, at most {recipe}, tested {by_hand.HOW[method]}: B - B-5x5 is "
        text += f"{points.mean():+.2f} points ({interval_text(points, '+.2f')}). "
        text += f"B errs less: **{by_hand.ANSWERS[decision.verdict]}**"
        text += f", {p_equals(decision.p_value)}." if decision.p_value is not None else "."
        if times := ratio(own):
            text += " B-5x5 errs {:.2f} times as much as B ({:.2f} to {:.2f}).".format(*times)
        said.append(text)
    return " ".join(said)
