"""Runs of a few seconds, for tests."""

import pytest
import torch

from vgglib import runner
from vgglib.plans import plan
from vgglib.running.progress import Silent
from vgglib.train import train


def small(nets=("A",), table="3", train_scales=("256",), **changes):
    usual = {"resolution": 1 / 7, "batch_size": 16, "precision": "fp32"}
    return plan("smoke", table, nets, [0], train_scales, **{**usual, **changes})


def run(runs, **settings):
    return runner.run(runs, **{"device": "cpu", "jobs": 1, "threads": 1, "display": Silent(), **settings})


def interrupted(experiment, images, path, epochs=1):
    """Leave a checkpoint after so many epochs of a training that has more."""

    class Killed(Exception):
        pass

    def kill(progress):
        if progress.epoch == epochs + 1:
            raise Killed

    with pytest.raises(Killed):
        train(experiment, images, torch.device("cpu"), path, report=kill)


def lasting(record):
    """What must not depend on when, or how often interrupted, a record was made."""
    measured = ("seconds", "images_per_second", "peak_share")
    history = [{k: v for k, v in e.items() if k not in measured} for e in record["history"]]
    kept = {k: v for k, v in record.items() if k not in ("environment", "digest", "history")}
    return kept | {"history": history, "data": record["environment"]["data_sha256"]}
