"""How much work the paper's tables are, and how many hours and how much energy on a device of measured speed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd

from vgglib import experiments
from vgglib.configs import config
from vgglib.cost import TRAINING_PASSES, dense_macs, macs, parameters
from vgglib.experiments import PLACES, Entry, Experiment, Run

ILSVRC = (1_281_167, 50_000)  # training and validation images of ILSVRC-2012 (Sect. 4)


def crop_macs(experiment: Experiment) -> int:
    """Multiply-adds of one forward pass of an experiment's net on one of its crops."""
    return macs(config(experiment.net).scaled(experiment.width), experiment.crop)


def training_macs(run: Run, train_images: int) -> float:
    """Multiply-adds of the training behind a run, its earlier stages left out: forward and backward."""
    if run.experiment.weights:
        return 0.0  # trained elsewhere
    return TRAINING_PASSES * run.experiment.epochs * train_images * crop_macs(run.experiment)


def testing_macs(run: Run, test_images: int) -> int:
    """Multiply-adds of a run's test on square images. Photographs of 4:3, which a dense test sees whole, take about a
    third more.
    """
    asked, protocol = run.experiment, run.protocol
    if protocol.method == "dense":
        net = config(asked.net).scaled(asked.width)
        each = dense_macs(net, asked.pixels(protocol.test_scale), asked.crop)
    else:
        each = PLACES[protocol.method] ** 2 * crop_macs(asked)
    return (2 if protocol.flip else 1) * test_images * each


def measured(speeds: pd.DataFrame) -> Callable[[Run, str], float]:
    """What `timing.speeds` measured, as `estimate` asks for it: the multiply-adds a second of a run's net."""
    by_net = speeds.set_index("net")
    return lambda run, kind: float(by_net.loc[run.experiment.net, f"{kind}_macs"])


def estimate(
    entries: Sequence[Entry],
    train_images: int,
    test_images: int,
    macs_per_second: Callable[[Run, str], float],
    watts: float | None = None,
) -> pd.DataFrame:
    """Hours and energy of some tables' numbers, a line per table and a last one, "together".

    macs_per_second: measured speed for a run's net in "training" and "testing"; watts: what the machine draws
    meanwhile. Columns `table`, `trainings`, `tests`, `training_hours`, `testing_hours`, `kwh` (None without watts).
    Trainings that a net starts from count as well. Tables share trainings and tests, so "together" is less than the sum
    of the lines.
    """
    lines = []
    for table in [*dict.fromkeys(entry.table for entry in entries), "together"]:
        own = experiments.runs([entry for entry in entries if table in (entry.table, "together")])
        trainings = _with_donors(own)
        training = sum(training_macs(run, train_images) / macs_per_second(run, "training") for run in trainings) / 3600
        testing = sum(testing_macs(run, test_images) / macs_per_second(run, "testing") for run in own) / 3600
        kwh = None if watts is None else watts / 1000 * (training + testing)
        lines.append((table, len(trainings), len(own), training, testing, kwh))
    return pd.DataFrame(lines, columns=["table", "trainings", "tests", "training_hours", "testing_hours", "kwh"])


def divided(
    run: Run, train_images: int, devices: int, macs_per_second: float, bytes_per_second: float, gradient_bytes: int = 4
) -> tuple[float, float]:
    """Hours of the training behind a run on several like devices: (at least, at most).

    Each takes its share of a batch, then all average their gradients: around a ring each device sends
    2 (n - 1) / n of them, at `bytes_per_second`. At best that happens while the rest of the gradients is computed, at
    worst afterwards. macs_per_second: a device's sustained speed; gradient_bytes: 4, or 2 where they travel in bf16.
    Weights are those of a net of 1000 classes.
    """
    experiment = run.experiment
    steps = experiment.epochs * (train_images // experiment.batch_size)
    working = training_macs(run, train_images) / devices / macs_per_second
    weights = parameters(config(experiment.net).scaled(experiment.width), input_size=experiment.crop)
    sending = steps * 2 * (devices - 1) / devices * gradient_bytes * weights / bytes_per_second
    return max(working, sending) / 3600, (working + sending) / 3600


def _with_donors(runs: Sequence[Run]) -> list[Run]:
    """One run for each training behind some runs, those that they start from included."""
    found: dict[str, Run] = {}
    for run in runs:
        step: Run | None = run
        while step and step.experiment_id not in found:
            found[step.experiment_id] = step
            step = step.donor
    return list(found.values())
