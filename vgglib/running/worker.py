"""Trains and tests one net of a plan after another; several workers share a results folder by locks."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from vgglib import cost, data, devices, weights
from vgglib.configs import config
from vgglib.experiments import Run
from vgglib.models import VGG
from vgglib.results import Store
from vgglib.running.progress import Event
from vgglib.running.recorder import Recorder
from vgglib.running.tasks import Task, failed, lacks_record
from vgglib.train import train
from vgglib.training import checkpoints
from vgglib.training.distributed import ALONE, Division
from vgglib.training.resume import finished, stood
from vgglib.training.trained import Diverged, OutOfTime, Progress, Trained
from vgglib.weights import published

# The first of several processes waits no longer for a lock before it tells the others, who give up after
# `distributed.TIMEOUT`.
LOCK_SECONDS = 60


@dataclass(frozen=True)
class Worker:
    """Trains and evaluates one task after another, in this process or in one of joblib's."""

    images: data.ImageSet | None  # None on the way to another process
    device: str | None
    threads: int
    store: Store
    stop_at: float
    retry_failed: bool
    division: Division = ALONE
    compiled: bool = False
    threads_asked: bool = False  # by the user, and not the usual number

    def __call__(self, task: Task, send: Callable[[Event], None], wait: bool) -> bool:
        """Do a task. True when another process is at it, or at one that comes before; with `wait` it is awaited."""
        from filelock import FileLock

        lock = FileLock(f"{self.store.checkpoint_path(task.run)}.lock")
        try:
            if self._locked(lock, wait):
                remedy = "train it by `vgg run` with --images-per-pass, which takes a batch of "
                remedy += f"{task.run.experiment.batch_size} in parts, or with a smaller --batch-size or --width, "
                remedy += "which is another training; what a GPU has trained can be tested with --device cpu (device "
                remedy += "in a notebook)"
                needed, where = self._least_memory(task.run), devices.device(self.device)
                with devices.enough_memory(task.name, remedy, needed, where):
                    self._execute(task, send)
                return False
        except _NoDonor:
            pass
        finally:
            lock.release()
        send(Event(task.name, "stopped" if wait else "waiting"))
        return not wait

    def _least_memory(self, run: Run) -> int:
        """Bytes of weights alone, and in training of gradients and momentum."""
        asked = run.experiment
        count = cost.parameters(config(asked.net).scaled(asked.width), len(self.images.class_names), asked.crop)
        return 4 * count * (1 if asked.weights else 3)

    def _locked(self, lock, wait: bool) -> bool:
        """Whether the first process has taken a lock, for all of them; with `wait`, before the time is up."""
        from filelock import Timeout

        while True:
            left = max(0.0, self.stop_at - time.time()) if wait else 0.0
            free = True
            try:
                if self.division.first:
                    lock.acquire(timeout=min(left, LOCK_SECONDS))
            except Timeout:
                free = False
            free, over = self.division.agree((free, left <= LOCK_SECONDS))
            if free or over:
                return free

    def _execute(self, task: Task, send: Callable[[Event], None]) -> None:
        devices.prepare(self._threads(task.run))
        where = devices.device(self.device)
        devices.exact(where)
        checkpoint = self.store.checkpoint_path(task.run)
        # Others may have made some meanwhile.
        missing = [run for run in task.missing if lacks_record(run, self.store, self.retry_failed)]
        over = not missing and (bool(task.missing) or finished(task.run.experiment, checkpoint))
        missing, over, late = self.division.agree((missing, over, time.time() >= self.stop_at))
        if over:
            send(Event(task.name, "done"))
            return
        if late:
            send(Event(task.name, "stopped"))
            return
        send(Event(task.name, "started"))
        tested: list[dict] = []
        recorder = Recorder(task.run, self.images, where, self.division)
        work = Task(task.run, tuple(missing)).macs(self.images)

        def report(progress: Progress) -> None:
            images = progress.images_done, progress.images_resumed
            share, before = (count / progress.images_total * work[0] / sum(work) for count in images)
            send(Event(task.name, "training", progress, share, before))

        try:
            trained = self._trained(task.run, where, report)
            weights.check(self.store, task.run, trained.model)
            for number, run in enumerate(missing):
                done, own = sum(work[: number + 1]) / sum(work), work[number + 1]
                looked = self._looked(task.name, run, send, done, own / sum(work))
                content = recorder.evaluated(run, trained, looked, own)
                if self.division.first:
                    self.store.write(run, *content)
                tested.append(content[0])
            if errors := [record["error"] for record in tested if record["error"]]:
                send(Event(task.name, "failed", text=errors[0]))
            else:
                send(Event(task.name, "done", top1_error_percent=tested[0]["top1_error_percent"] if tested else None))
        except OutOfTime:
            send(Event(task.name, "stopped"))  # it stays "not run"
        except Diverged as failure:
            if self.division.first:
                checkpoints.set_aside(checkpoint)  # a retry begins anew
                for run in missing:
                    self.store.write(run, recorder.failed(run, failure))
            send(Event(task.name, "failed", text=str(failure)))

    def _threads(self, run: Run) -> int:
        """How many threads: those that a training began with, on which its last bits depend, unless others were asked
        for or this host has fewer cores.
        """
        begun = self.store.begun(run)
        known = [stood(begun).threads] if begun else []
        environments = [record["environment"] for record in self.store.tests(run)]
        # Earlier records know only with how many they were tested.
        known += [found.get(key) for key in ("training_threads", "threads") for found in environments]
        first = next(filter(None, known), self.threads)
        return self.threads if self.threads_asked or first > devices.cores() else first

    def _trained(self, run: Run, where: torch.device, report: Callable[[Progress], None]) -> Trained:
        """The net of a run: trained here, or with the weights that others published."""
        if run.experiment.weights:
            found = published.trained(self.store, run, len(self.images.class_names))
            found.model.to(where, memory_format=torch.channels_last)
            return found
        return train(
            run.experiment,
            self.images,
            where,
            checkpoint=self.store.checkpoint_path(run),
            donor=lambda: self._donor(run, where),
            report=report,
            stop_at=self.stop_at,
            division=self.division,
            compiled=self.compiled,
        )

    def _looked(self, name: str, run: Run, send: Callable[[Event], None], done: float, own: float):
        """What an evaluation reports to: tells the display about once a second, and ends it when time is up."""
        told = 0.0

        def looked(share: float) -> None:
            nonlocal told
            now = time.time()
            if now > self.stop_at:
                raise OutOfTime
            if now - told > 1:
                told = now
                send(Event(name, "evaluating", share=done + share * own, text=run.protocol.name))

        return looked

    def _donor(self, run: Run, where: torch.device) -> VGG:
        """The net whose weights a training begins with, from its checkpoint; _NoDonor where that is not finished,
        ValueError where its records are of other weights.

        A finished checkpoint is not written any more, so that it may be read without its lock.
        """
        donor = run.donor
        path = self.store.checkpoint_path(donor)
        if not self.division.agree(finished(donor.experiment, path) and not failed(donor, self.store)):
            raise _NoDonor
        model = train(donor.experiment, self.images, where, checkpoint=path, division=self.division).model
        weights.check(self.store, donor, model)
        return model


class _NoDonor(Exception):
    """The weights to begin with are not there: their training failed, or is not finished."""
