"""The one training loop: the paper's recipe (Sect. 3.1), resumable within every epoch, on one or several processes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vgglib import devices
from vgglib.augment import Draws, draw, generator
from vgglib.cost import TRAINING_PASSES, macs
from vgglib.data.imageset import ImageSet
from vgglib.evaluate import posteriors
from vgglib.experiments import COMPILED, ROUNDED, Experiment
from vgglib.files import latest
from vgglib.metrics import error_percent
from vgglib.models import VGG, grow, initialise
from vgglib.timing import peak_once
from vgglib.training import resume
from vgglib.training.distributed import ALONE, Division
from vgglib.training.resume import Begun, Standing
from vgglib.training.schedule import next_learning_rate
from vgglib.training.trained import Diverged, Epoch, OutOfTime, Progress, Trained
from vgglib.training.updates import Updates

REPORT_SECONDS = 1
SAVE_SECONDS = 600  # an epoch of a million images may take an hour: lose no more than this of it
LARGE_BYTES, LARGE_SECONDS = 1 << 26, 60  # of a checkpoint that takes its time, and how much may be lost instead
STEPS_BETWEEN_LOOKS = 16  # at the clock, where several processes have to agree on what it says


def train(
    experiment: Experiment,
    images: ImageSet,
    device: torch.device | str,
    checkpoint: Path | None = None,
    donor: Callable[[], VGG] | None = None,
    report: Callable[[Progress], None] = lambda progress: None,
    stop_at: float = math.inf,
    division: Division = ALONE,
    compiled: bool = False,
) -> Trained:
    """Train one net; the result depends on the experiment, the images, the kind of device, its units and the number of
    threads alone, and on `division` only by rounding. `compiled` is as in `updates.Updates`.

    `device` is one, or its name as `devices.device` takes it; on a GPU fp32 is exact from then on, see `devices.exact`.
    The net is ready to be tested, with dropout off.
    `donor` gives the trained net of `experiment.start`, if there is one: A, or the same net after its earlier stage. It
    is asked only when there is no checkpoint to take up.
    `checkpoint` is written after every epoch, a large one once a minute at most, and about every ten minutes of a long
    epoch; it is taken up where it exists, by any number of processes, and the one before it is kept. A finished net is
    returned whatever arithmetic trained it. `report` is called about once a second. `stop_at` is a `time.time()` after
    which no step begins; several processes may begin fifteen more. Of these, which all call this, the first writes and
    reports.
    Raises Diverged, OutOfTime, or ValueError for an unknown device, a checkpoint made with other settings or images,
    one to go on with in another arithmetic, and where the updates cannot be compiled.
    """
    where = devices.device(device) if isinstance(device, str) else device
    training = _Training(
        experiment=experiment,
        images=images,
        device=where,
        checkpoint=checkpoint,
        report=report,
        stop_at=stop_at,
        division=division,
        compiled=compiled,
    )
    training.begin(donor)
    while rate := training.next_learning_rate():
        training.epoch(rate)
    training.optimiser.zero_grad(set_to_none=True)  # on a GPU they would keep a graph's memory
    training.model.eval()
    return Trained(
        training.model, tuple(training.history), training.signal, images.mean_rgb, training.arithmetic, training.threads
    )


def chance(labels: np.ndarray) -> float:
    """Top-1 error in percent on images with these labels, (N,), of a net that has learned nothing but which class is
    the largest.
    """
    return 100 * (1 - np.bincount(labels).max() / len(labels))


@dataclass
class _Training:
    experiment: Experiment
    images: ImageSet
    device: torch.device
    checkpoint: Path | None
    report: Callable[[Progress], None]
    stop_at: float
    division: Division
    compiled: bool
    history: list[Epoch] = field(default_factory=list)
    signal: dict[str, float] = field(default_factory=dict)
    begun: Begun = field(default_factory=Begun)
    loss: float = 0.0  # the mean of an epoch so far, when it was last reported
    saved: float = 0.0  # when, by this process's clock
    unsaved: bool = False  # whether something was done since

    def begin(self, donor: Callable[[], VGG] | None) -> None:
        """The net with its first weights, or with everything that the checkpoint has."""
        plan = self.experiment
        devices.exact(self.device)
        with torch.random.fork_rng([]):  # PyTorch's layers draw weights of their own, replaced in the next lines
            self.model = VGG(plan.net, len(self.images.class_names), plan.width, plan.crop, plan.dropout)
        taken_up = latest(self.checkpoint) if self.checkpoint else None
        if not taken_up:
            self._first_weights(donor)
        self.model.to(self.device, memory_format=torch.channels_last)
        self.optimiser = torch.optim.SGD(
            self.model.parameters(),
            plan.learning_rate,
            plan.momentum,
            weight_decay=plan.weight_decay,
            fused=True,
        )
        self.precision = devices.precision(plan.precision, self.device)
        rounded = ROUNDED if self.division.bf16_gradients and self.division.count > 1 else ""
        self.arithmetic = f"{self.precision} on {self.device.type}{rounded}{COMPILED if self.compiled else ''}"
        self.threads = torch.get_num_threads()
        self.minival_labels = self.images.minival.labels.cpu().numpy()
        self.chance = chance(self.minival_labels)
        if taken_up:
            self._take_up(taken_up)
        stands = self.division.gather((bool(taken_up), len(self.history), self.begun))
        if any(stand != stands[0] for stand in stands):
            raise ValueError(
                f"the processes do not see the same {self.checkpoint}: put --results where all hosts see a new file at "
                "once, and start again."
            )
        self.batch = min(plan.batch_size, len(self.images.train))
        self.steps = len(self.images.train) // self.batch  # the remainder waits for another epoch's order
        self.resumed = len(self.history) * self.steps + self.begun.steps
        self.updates = self.train_split = self.minival = None

    def _first_weights(self, donor: Callable[[], VGG] | None) -> None:
        """Random, or wholly or in part those of the donor."""
        plan = self.experiment
        initialise(self.model, plan.initialisation, plan.seed)
        if not plan.start:
            return
        if donor is None:
            raise ValueError(f"{plan.name} starts from {plan.start.name}: pass the trained net as donor.")
        if plan.continues:
            self.model.load_state_dict(donor().state_dict())
        else:
            grow(self.model, donor())

    def next_learning_rate(self) -> float | None:
        errors = [epoch.minival_top1_error_percent for epoch in self.history]
        return next_learning_rate(self.experiment, errors, self.chance)

    def epoch(self, rate: float) -> None:
        """Go on to the end of the next epoch, and look at minival."""
        self._prepare()
        self.started = time.perf_counter()
        self.saved = self.saved or self.started
        self.before = self.begun.seconds
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self._steps()
        loss = self.division.mean(self.updates.total).item() / self.steps
        self._check(loss)
        images_per_second = self.steps * self.batch / self._seconds()
        error = self._minival_error()
        self.history.append(
            Epoch(
                epoch=len(self.history) + 1,
                learning_rate=rate,
                train_loss=loss,
                minival_top1_error_percent=error,
                seconds=self._seconds(),
                images_per_second=images_per_second,
                peak_share=images_per_second * self.macs_per_image / self.peak / self.division.count,
            )
        )
        self.begun, self.unsaved = Begun(), True
        over = self.next_learning_rate() is None
        rested = time.perf_counter() - self.saved > LARGE_SECONDS
        large = sum(tensor.nbytes for tensor in self._tensors().values()) > LARGE_BYTES
        if self.division.agree(over or rested or not large):
            self._save()

    def _prepare(self) -> None:
        """Bring the images to the device, once."""
        if self.train_split is not None:
            return
        plan = self.experiment
        # With jitter each image is rescaled anew in every epoch, from its stored size.
        fixed = None if plan.jittered else plan.pixels(plan.train_scale)
        self.train_split = (self.images.train.rescaled(fixed) if fixed else self.images.train).to(self.device)
        minival = self.images.minival
        if self.division.count > 1:
            minival = minival.subset(self.division.share(len(minival)))
        self.minival = minival.rescaled(plan.pixels(plan.test_scale)).to(self.device)
        self.updates = Updates(
            model=self.model,
            optimiser=self.optimiser,
            labels=self.train_split.labels,
            mean_rgb=self.images.mean_rgb,
            precision=self.precision,
            division=self.division,
            batch=self.batch,
            compiled=self.compiled,
        )
        self.macs_per_image = TRAINING_PASSES * macs(self.model.config, plan.crop, len(self.images.class_names))
        self.peak = peak_once(self.device, self.precision, torch.get_num_threads())

    def _seconds(self) -> float:
        """Of this epoch, those before an interruption included."""
        return self.before + time.perf_counter() - self.started

    @property
    def _number(self) -> int:
        """Of the epoch that goes on, earlier stages counted: what its draws depend on."""
        return self.experiment.epochs_before + len(self.history)

    def _draws(self) -> Iterator[Draws]:
        """What is left of an epoch for this process: the draws of every pass, from (seed, epoch, step) alone."""
        plan, split, number = self.experiment, self.train_split, self._number
        scales = tuple(map(plan.pixels, plan.train_scale)) if plan.jittered else None
        order = torch.randperm(len(split), generator=generator(plan.seed, number, 0))
        for step in range(self.begun.steps, self.steps):
            index = order[step * self.batch : (step + 1) * self.batch]
            drawn = draw(self.images, split, index, plan.crop, generator(plan.seed, number, step + 1), scales)
            for first, last in self.updates.passes:
                yield drawn.part(first, last)

    def _steps(self) -> None:
        """The steps that are left of an epoch."""
        self.model.train()
        plan, number = self.experiment, self._number
        self.updates.total.fill_(self.begun.loss)
        reported = self.started
        first = self.begun.steps
        crops = self.train_split.crops(self._draws(), plan.crop)
        # Dropout draws from the global generator: seed it for each step, and give the caller's back afterwards.
        with torch.random.fork_rng([self.device] if self.device.type == "cuda" else []):
            for step in range(first, self.steps):
                self._watch_the_clock(step)
                scores = self.updates(crops, generator(plan.seed, number, step + 1).initial_seed())
                self.signal = self.signal or self._signal(scores)
                self.begun.steps, self.unsaved = step + 1, True
                now = time.perf_counter()
                if self.division.first and (now - reported > REPORT_SECONDS or step == self.steps - 1):
                    reported = now
                    self._report((step + 1 - first) * self.batch / (now - self.started))

    def _signal(self, scores: list[Tensor]) -> dict[str, float]:
        gradient = next(iter(self.model.weighted.values())).weight.grad
        everyones = torch.cat(self.division.gather(torch.cat(scores).cpu()))
        return {"logit_sd": everyones.std().item(), "conv1_1_gradient_norm": gradient.norm().item()}

    def _check(self, loss: float) -> None:
        """Diverged when the loss is no number."""
        if not math.isfinite(loss):
            self._diverge(f"the training loss is {loss} in epoch {len(self.history) + 1}")

    def _diverge(self, what: str) -> None:
        raise Diverged(f"{self.experiment.name}: {what}", self.history, self.arithmetic, self.threads)

    def _watch_the_clock(self, step: int) -> None:
        """Before a step: save now and then, and stop when the loss is no number or time is up; all processes alike."""
        if self.division.count > 1 and step % STEPS_BETWEEN_LOOKS:
            return
        late = time.time() >= self.stop_at
        due = time.perf_counter() - self.saved > SAVE_SECONDS
        late, due, loss = self.division.agree((late, due, self.loss))
        self._check(loss)
        if late:
            self._stop()
        elif due:
            self._save()

    def _stop(self) -> None:
        if self.division.agree(self.unsaved):
            self._save()
        raise OutOfTime(f"{self.experiment.name}: time is up after {self._epochs_done:.2f} epochs.")

    def _minival_error(self) -> float:
        def look(share: float) -> None:
            if time.time() >= self.stop_at:
                raise OutOfTime

        try:
            own = posteriors(
                self.model, self.minival, self.images.mean_rgb, flip=False, precision=self.precision, report=look
            )
        except OutOfTime:
            own = None
        found = self.division.together(len(self.minival_labels), own)
        if found is None:
            self._stop()
        return error_percent(found, self.minival_labels)

    @property
    def _epochs_done(self) -> float:
        return len(self.history) + self.begun.steps / self.steps

    def _report(self, images_per_second: float) -> None:
        done = len(self.history) * self.steps + self.begun.steps
        self.loss = self.updates.total.item() / self.begun.steps
        self.report(
            Progress(
                images_done=done * self.batch,
                images_total=self.experiment.epochs * self.steps * self.batch,
                epoch=len(self.history) + 1,
                epochs=self.experiment.epochs,
                images_per_second=images_per_second,
                train_loss=self.loss,
                minival_top1_error_percent=self.history[-1].minival_top1_error_percent if self.history else None,
                images_resumed=self.resumed * self.batch,
            )
        )

    def _save(self) -> None:
        self.saved, self.unsaved = time.perf_counter(), False
        begun = Begun(self.begun.steps, self.division.mean(self.updates.total).item(), self._seconds())
        self._check(begun.loss)
        tensors = self._tensors()
        # The loss is that of the weights before the last update. Norms, since flags would take as much memory again.
        largest = torch.stack([torch.linalg.vector_norm(tensor.detach(), math.inf) for tensor in tensors.values()])
        if not largest.isfinite().all():
            self._diverge(f"the weights are not numbers after {self._epochs_done:.2f} epochs")
        if self.checkpoint and self.division.first:
            standing = Standing(
                arithmetic=self.arithmetic,
                threads=self.threads,
                chance=self.chance,
                history=self.history,
                signal=self.signal,
                begun=begun if begun.steps else Begun(),
            )
            resume.write(self.checkpoint, self._identity(), tensors, standing)

    def _identity(self) -> dict:
        return resume.identity(self.experiment, self.images.digest)

    def _tensors(self) -> dict[str, Tensor]:
        return resume.tensors(self.model, self.optimiser)

    def _take_up(self, path: Path) -> None:
        stood = resume.take_up(path, self._identity(), self._tensors())
        self.history, self.signal, self.begun = stood.history, stood.signal, stood.begun
        was = stood.arithmetic
        needed = was if self.division.count > 1 else was.replace(ROUNDED, "")  # one process sends no gradients
        if self.arithmetic != needed and self.next_learning_rate() is not None:
            raise ValueError(
                f"{path} was trained in {was}, and would go on in {self.arithmetic}: repeat --compile and "
                "--bf16-gradients as they were, on the same kind of device, or pass another --results (VGG_RESULTS in "
                "a notebook)."
            )
        self.arithmetic, self.threads = was, stood.threads
