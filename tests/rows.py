"""Rows for tests, as `results.Store.rows` gives them or as far as what is tested looks at them."""

import numpy as np
import pandas as pd

from vgglib.analysis import lengths, small_filters
from vgglib.comparisons import Arm
from vgglib.plans import TESTS

A, LRN, E = (Arm("3", net) for net in ("A", "A-LRN", "E"))
OWN_RECIPE = "12 epochs, bf16"  # of preset demo, as `lengths` names it
# Trainings of `of_start`: from an A, and from random weights for as long as both together.
FROM_A = ("starts", "A", 12, 12)
LONGER_START = ("longer-starts", "glorot", 24, 0)


def row(table="3", net="A", train_scale="256", test_scales="256", method="dense", **changes):
    """One number of one table, as `results.Store.rows` gives it."""
    usual = {
        **{"table": table, "preset": "demo", "net": net, "train_scale": train_scale, "test_scales": test_scales},
        **{"method": method, "start": "he-fan-out", "seed": 0, "status": "done", "error": None},
        **{"n_images": 200, "n_classes": 24, "top1_error_percent": 40.0, "top5_error_percent": 20.0},
        **{"wrong": np.arange(200) < 80, "evaluation_seconds": 2.0, "history": [], "initial_signal": {}},
        **{"environment": {"device_name": "a CPU", "device": "cpu", "precision": "fp32"}},
        **{"timed_on": frozenset({("cpu", "a CPU", 1, 1)})},
    }
    if changes.get("status", "done") != "done":
        measured = ("n_images", "n_classes", "top1_error_percent", "top5_error_percent", "wrong", "evaluation_seconds")
        usual |= dict.fromkeys(measured) | {"environment": {}, "timed_on": frozenset()}
    return usual | changes


def seeds(*top1, **settings):
    """Rows of one number for seeds 0, 1, ... with these top-1 errors; None for one that is not run."""
    return [
        row(seed=seed, **settings, **({"status": "not run"} if error is None else {"top1_error_percent": error}))
        for seed, error in enumerate(top1)
    ]


def fused(net, method="dense", **changes):
    return row("6", net, "", "", method, **changes)


def best(net, method, **changes):
    return row("5", net, "256-512", "256 384 512", method, **changes)


def row_of(arm=A, seed=0, top1=40.0, status="done", start="he-fan-out", seconds=None, wrong=None, preset="demo"):
    """One entry; with `wrong`, a text such as "x.x", the error is that of these images."""
    if wrong is not None:
        wrong = np.array([letter == "x" for letter in wrong])
        top1 = 100 * wrong.mean()
    return {
        **{"preset": preset, "table": arm.table, "net": arm.net, "train_scale": arm.train_scale},
        **{"test_scales": arm.test_scales, "method": arm.method, "start": arm.start or start, "seed": seed},
        **{"status": status, "wrong": wrong, "evaluation_seconds": seconds},
        "top1_error_percent": top1 if status == "done" else None,
    }


def compared(*gains, treatment=E, baseline=A):
    """Rows of two arms whose differences, treatment - baseline, are `gains`."""
    pairs = [(row_of(treatment, seed, 40.0 + gain), row_of(baseline, seed, 40.0)) for seed, gain in enumerate(gains)]
    return pd.DataFrame([one for pair in pairs for one in pair])


def of_recipe(recipe, method="dense", drops=lengths.BY_RULE, resolution=lengths.OWN, **errors):
    """Rows of nets with an error for each seed."""
    rest = {"recipe": recipe, "epochs": int(recipe.split()[0]), "drops": drops, "resolution": resolution}
    rest["precision"] = recipe.split(", ")[-1]
    rest |= {"top5_error_percent": 1.0, "n_images": 100, "n_classes": 10}
    rest["by_hand"] = recipe != OWN_RECIPE
    return [
        row_of(Arm(TESTS[method], net, method=method), seed, error) | rest
        for net, of_seeds in errors.items()
        for seed, error in enumerate(of_seeds)
    ]


def of_pair(recipe, method="centre-crop", status="done", **errors):
    """Rows of B and of the shallow net with an error for each seed."""
    return [
        row_of(Arm(small_filters.TESTS[method], net, method=method), seed, error, status) | {"recipe": recipe}
        for net, of_seeds in (("B", errors["B"]), ("B-5x5", errors["shallow"]))
        for seed, error in enumerate(of_seeds)
    ]


def of_start(training, *errors, history=(90.0,), classes=10, net="E"):
    """Rows of a training (table, start, epochs, of A before) with an error for each seed."""
    table, start, epochs, before = training
    epochs_done = [{"epoch": n, "minival_top1_error_percent": error} for n, error in enumerate(history, start=1)]
    same = {"preset": "demo", "table": table, "net": net, "train_scale": "256", "test_scales": "256", "start": start}
    same |= {"method": "dense", "status": "done", "epochs": epochs, "before": before, "n_classes": classes}
    same |= {"together": epochs + before}
    return [same | {"seed": n, "top1_error_percent": e, "history": epochs_done} for n, e in enumerate(errors)]
