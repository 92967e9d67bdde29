"""The one training loop: the paper's recipe (Sect. 3.1), resumable after every epoch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch.nn import functional as F

from vgglib import checkpoints, devices
from vgglib.augment import generator, training_batch
from vgglib.data.imageset import ImageSet
from vgglib.evaluate import posteriors
from vgglib.experiments import Experiment, as_dict, differences
from vgglib.metrics import error_percent
from vgglib.models import VGG, grow, initialise

# A net of many classes starts on a plateau at chance; falling by this much (in points of top-1 error) counts as
# having left it.
LEFT_CHANCE_POINTS = 5.0


@dataclass(frozen=True)
class Epoch:
    """One line of a training's history. `seconds` includes augmentation and the look at minival."""

    epoch: int
    learning_rate: float
    train_loss: float
    minival_top1_error_percent: float
    seconds: float
    images_per_second: float


@dataclass(frozen=True)
class Progress:
    """Where a training stands, for whoever displays it."""

    images_done: int
    images_total: int
    epoch: int
    epochs: int
    images_per_second: float
    train_loss: float
    minival_top1_error_percent: float | None


@dataclass(frozen=True)
class Trained:
    """A trained net with its history; `initial_signal` holds the first batch's logit sd and gradient norm of
    conv1_1.
    """

    model: VGG
    history: tuple[Epoch, ...]
    initial_signal: dict[str, float]


class Diverged(Exception):
    """The loss stopped being a number; `history` holds the epochs before."""

    def __init__(self, message: str, history: Sequence[Epoch]):
        super().__init__(message)
        self.history = tuple(history)


class OutOfTime(Exception):
    """The time budget ends before the next epoch would; the checkpoint has all epochs so far."""


def next_learning_rate(experiment: Experiment, errors: Sequence[float], chance: float) -> float | None:
    """The learning rate of the epoch after `errors`, or None when training is over.

    errors: minival top-1 error in percent after each epoch so far; chance: that of guessing. The rate is divided by
    10 when the error has not improved for `patience` epochs (Sect. 3.1), three times in all; training ends when it
    stops improving a fourth time, or after `epochs`. The rule sleeps until the net has left chance. A drop that has not
    come by its deadline happens then.
    """
    drops, best, waited = 0, math.inf, 0
    for epoch, error in enumerate(errors, start=1):
        best, waited = (error, 0) if error < best else (best, waited + 1)
        on_plateau = waited >= experiment.patience and best <= chance - LEFT_CHANCE_POINTS
        if on_plateau and drops == experiment.drops:
            return None
        overdue = experiment.drop_deadlines[drops:] and epoch >= round(
            experiment.drop_deadlines[drops] * experiment.epochs
        )
        if on_plateau or overdue:
            drops, waited = drops + 1, 0
    if len(errors) >= experiment.epochs:
        return None
    return experiment.learning_rate / 10**drops


def train(
    experiment: Experiment,
    images: ImageSet,
    device: torch.device,
    checkpoint: Path | None = None,
    donor: Callable[[], VGG] | None = None,
    report: Callable[[Progress], None] = lambda progress: None,
    stop_at: float = math.inf,
) -> Trained:
    """Train one net; the result depends on the experiment, the images, the kind of device and the number of threads
    alone.

    `donor` gives the trained net of `experiment.start`, if there is one: A, or the same net after its earlier stage. It
    is asked only when there is no checkpoint to take up.
    `checkpoint` is written after every epoch and taken up where it exists. `report` is called about once a second.
    `stop_at` is a `time.time()` after which no epoch may end.
    Raises Diverged, OutOfTime, or ValueError for a checkpoint made with other settings or images.
    """
    with torch.random.fork_rng([]):  # PyTorch's layers draw weights of their own, replaced in the next line
        model = VGG(experiment.net, len(images.class_names), experiment.width, experiment.crop, experiment.dropout)
    taken_up = checkpoint is not None and checkpoint.exists()
    if not taken_up:
        _begin(model, experiment, donor)
    model.to(device, memory_format=torch.channels_last)
    optimiser = torch.optim.SGD(
        model.parameters(),
        experiment.learning_rate,
        experiment.momentum,
        weight_decay=experiment.weight_decay,
        fused=True,
    )
    history: list[Epoch] = []
    signal: dict[str, float] = {}
    precision = devices.precision(experiment.precision, device)
    identity = {"experiment": as_dict(experiment), "data": images.digest, "arithmetic": f"{precision} on {device.type}"}
    if taken_up:
        history, signal = _resume(checkpoint, model, optimiser, identity)

    chance = 100 * (1 - 1 / len(images.class_names))
    train_split = minival = None
    while rate := next_learning_rate(experiment, [epoch.minival_top1_error_percent for epoch in history], chance):
        if train_split is None:
            # With jitter each image is rescaled anew in every epoch, from its stored size.
            fixed = None if experiment.jittered else experiment.pixels(experiment.train_scale)
            train_split = (images.train.rescaled(fixed) if fixed else images.train).to(device)
            minival = images.minival.rescaled(experiment.pixels(experiment.test_scale)).to(device)
        if time.time() + (history[-1].seconds if history else 0) > stop_at:
            raise OutOfTime(f"{experiment.name}: {len(history)} epochs done, the next does not fit into the time left.")
        started = time.perf_counter()
        for group in optimiser.param_groups:
            group["lr"] = rate
        loss, count, first_signal = _epoch(
            model, optimiser, images, train_split, experiment, precision, history, started, report
        )
        signal = signal or first_signal
        if not math.isfinite(loss):
            raise Diverged(f"{experiment.name}: the training loss is {loss} in epoch {len(history) + 1}", history)
        trained_seconds = time.perf_counter() - started
        found = posteriors(model, minival, images.mean_rgb, flip=False, precision=precision)
        history.append(
            Epoch(
                epoch=len(history) + 1,
                learning_rate=rate,
                train_loss=loss,
                minival_top1_error_percent=error_percent(found, minival.labels.cpu().numpy()),
                seconds=time.perf_counter() - started,
                images_per_second=count / trained_seconds,
            )
        )
        if checkpoint is not None:
            _save(checkpoint, model, optimiser, history, signal, identity)
    return Trained(model, tuple(history), signal)


def _begin(model: VGG, experiment: Experiment, donor: Callable[[], VGG] | None) -> None:
    """First weights: random, or wholly or in part those of the donor."""
    initialise(model, experiment.initialisation, experiment.seed)
    if not experiment.start:
        return
    if donor is None:
        raise ValueError(f"{experiment.name} starts from {experiment.start.name}: pass the trained net as donor.")
    if experiment.continues:
        model.load_state_dict(donor().state_dict())
    else:
        grow(model, donor())


def _epoch(model, optimiser, images, split, experiment, precision, history, started, report):
    """One pass over the training images: mean loss, images seen, and the signal of its first batch."""
    model.train()
    device = split.pixels.device
    number = len(history)
    epoch = experiment.epochs_before + number
    scales = tuple(map(experiment.pixels, experiment.train_scale)) if experiment.jittered else None
    order = torch.randperm(len(split), generator=generator(experiment.seed, epoch, 0)).to(device)
    batch = min(experiment.batch_size, len(split))
    steps = len(split) // batch  # the remainder waits for another epoch's order: every step has the same shape
    total = torch.zeros((), device=device)
    reported = started
    signal: dict[str, float] = {}
    # Dropout draws from the global generator: seed it for each step, and give the caller's back afterwards.
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        for step in range(steps):
            index = order[step * batch : (step + 1) * batch]
            draws = generator(experiment.seed, epoch, step + 1)  # 0 is the order's
            x = training_batch(images, split, index, experiment.crop, draws, scales)
            torch.manual_seed(draws.initial_seed())
            with devices.autocast(precision, device):
                scores = model(x)
            loss = F.cross_entropy(scores.float(), split.labels[index])
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            if step == 0:
                gradient = model.weighted[next(iter(model.weighted))].weight.grad
                signal = {
                    "logit_sd": scores.float().std().item(),
                    "conv1_1_gradient_norm": gradient.norm().item(),
                }
            optimiser.step()
            total += loss.detach()
            now = time.perf_counter()
            if now - reported > 1 or step == steps - 1:
                reported = now
                report(
                    Progress(
                        images_done=(number * steps + step + 1) * batch,
                        images_total=experiment.epochs * steps * batch,
                        epoch=number + 1,
                        epochs=experiment.epochs,
                        images_per_second=(step + 1) * batch / (now - started),
                        train_loss=total.item() / (step + 1),
                        minival_top1_error_percent=history[-1].minival_top1_error_percent if history else None,
                    )
                )
    return total.item() / steps, steps * batch, signal


def _save(path, model, optimiser, history, signal, identity) -> None:
    tensors = {f"model.{name}": weight for name, weight in model.named_parameters()}
    for name, weight in model.named_parameters():
        tensors[f"momentum.{name}"] = optimiser.state[weight]["momentum_buffer"]
    checkpoints.write(path, tensors, {**identity, "history": [asdict(epoch) for epoch in history], "signal": signal})


@torch.no_grad()
def _resume(path, model, optimiser, identity) -> tuple[list[Epoch], dict[str, float]]:
    tensors, state = checkpoints.read(path)
    for key, value in identity.items():
        if (was := state.get(key)) != value:
            both = isinstance(was, dict) and isinstance(value, dict)
            how = differences(was, value) if both else f"{str(was)[:12]} and now {str(value)[:12]}"
            raise ValueError(
                f"{path} belongs to another {key} ({how}): delete it, or keep its results elsewhere with --results."
            )
    for name, weight in model.named_parameters():
        weight.copy_(tensors[f"model.{name}"])
        optimiser.state[weight]["momentum_buffer"] = torch.empty_like(weight).copy_(tensors[f"momentum.{name}"])
    return [Epoch(**epoch) for epoch in state["history"]], state["signal"]
