"""From a plan to records: reuse what is there, train and evaluate what is missing, save each as soon as it is known."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from vgglib import backends, checkpoints, data, devices, distributed, presets, published, updates, weights
from vgglib.distributed import ALONE, Division
from vgglib.evaluate import posteriors
from vgglib.experiments import Entry, Run, as_dict, runs
from vgglib.metrics import error_percent
from vgglib.models import VGG
from vgglib.parallel import Workers, shared
from vgglib.planner import testing_macs, training_macs
from vgglib.progress import Event, Silent, fitting
from vgglib.provenance import commit
from vgglib.results import SCHEMA, Store, default_root
from vgglib.train import COMPILED, ROUNDED, Diverged, OutOfTime, Progress, Trained, finished, train

# Multiply-adds of a test, for each shape of input, that make it worth some ten seconds of compilation: a minute or two
# of two cores, of which compiled passes save a tenth (AVX-512) to a half (AMX).
COMPILE_FROM = 2e13
# The first of several processes waits no longer for a lock before it tells the others, who give up after
# `distributed.TIMEOUT`.
LOCK_SECONDS = 60


def run(
    plan: Sequence[Entry],
    *,
    data_dir: str | Path | None = None,
    device: str | None = None,
    threads: int | None = None,
    jobs: int | None = None,
    backend: str = "loky",
    scheduler: str | None = None,
    results: str | Path | None = None,
    skip_bad_images: bool = False,
    decoder: str = "auto",
    retry_failed: bool = False,
    max_minutes: float = math.inf,
    images_per_pass: int | None = None,
    bf16_gradients: bool = False,
    compiled: bool = False,
    display: Silent | None = None,
) -> pd.DataFrame:
    """Make the records that `plan` needs and that do not exist yet, and return a row for every entry of it.

    On a CPU several nets train at once, one thread each (`jobs` defaults to the number of cores): small nets leave most
    of a second thread idle. With `jobs=1` the nets take turns with `threads` threads, whole seeds first; a GPU always
    takes them in turn. With the `backend` "dask" or "ray" the nets train on the workers of a cluster, that at the
    address `scheduler` or one that is started on this host; `backends` says what its hosts must have in common.
    Processes that torchrun started train and test every net together; `images_per_pass` and `bf16_gradients` are as in
    `distributed.Division`, `decoder` as in `data.load`, `compiled` as in `updates.Updates`. A failed run counts as an
    outcome and is not repeated unless `retry_failed`; nets that need its weights are not run, which stderr says.
    Trainings and evaluations stop after `max_minutes`; the next call goes on. Several callers may share a results
    folder: what one is at, the others leave to it. Raises ValueError or OSError, before any training, for a data or
    results folder, or a cluster, that will not do, and where updates cannot be compiled; ValueError, too, for a net
    that a GPU has no memory for.
    """
    backends.check(backend, scheduler)
    if distributed.started() and backend != "loky":
        raise ValueError(f"--backend {backend} gives every net to one process: start it without torchrun.")
    if distributed.started() and jobs and jobs > 1:
        raise ValueError(f"--jobs is {jobs}: torchrun's processes share every net; leave --jobs out.")
    store = Store((Path(results) if results else default_root()).absolute())  # workers may be in other folders
    where = devices.device("cpu" if scheduler else device)  # workers elsewhere have devices of their own
    stop_at = time.time() + max_minutes * 60
    if not max_minutes >= 0:
        raise ValueError(f"max_minutes is {max_minutes}: it must be 0 or greater.")
    name = plan[0].preset
    planned = runs(plan)
    records = {run: store.read(run) for run in planned}
    images = None
    if data_dir:
        images = load_images(name, data_dir, skip_bad_images, decoder)
        _check_images(records.values(), images)
    with distributed.joined(
        where, Division(images_per_pass=images_per_pass, bf16_gradients=bf16_gradients)
    ) as division:
        tasks = division.agree(_tasks(planned, store, retry_failed))
        if tasks:
            store.check_writable(name)
            folder = store.checkpoint_path(planned[0]).parent
            jobs = jobs if division.count == 1 else 1
            with backends.workers(backend, scheduler, jobs, threads, device, len(tasks), folder) as pool:
                images = images or load_images(name, data_dir, skip_bad_images, decoder)
                _check_images(records.values(), images)
                _check_precision(records.values(), where)
                for experiment in {task.run.experiment for task in tasks} if compiled else ():
                    batch = min(experiment.batch_size, len(images.train))
                    updates.check_compiles(where, devices.precision(experiment.precision, where), division, batch)
                threads = threads or (1 if pool else devices.cores())
                at = device if scheduler else str(where)
                worker = _Worker(images, at, threads, store, stop_at, retry_failed, division, compiled)
                with display or fitting() if division.first else Silent() as shown:
                    shown.plan({task.name: sum(_work(task, images)) for task in tasks})
                    _execute_all(tasks, worker, pool, shown)
        if division.first:
            for sentence in _not_run(planned, store):
                print(sentence, file=sys.stderr)
        division.agree(None)  # when all has been written
    return store.rows(plan)


@dataclass(frozen=True)
class _Task:
    """One training, and its evaluations that have no record yet."""

    run: Run  # any run of this training
    missing: tuple[Run, ...]

    @property
    def name(self) -> str:
        return self.run.experiment_id

    @property
    def depth(self) -> int:
        """How many trainings must come before."""
        depth, start = 0, self.run.experiment.start
        while start:
            depth, start = depth + 1, start.start
        return depth


def _tasks(planned: Iterable[Run], store: Store, retry_failed: bool) -> list[_Task]:
    """The trainings behind what is missing and can be made, with those whose weights they begin with and which are not
    there.
    """
    missing: dict[str, list[Run]] = {}
    anyone: dict[str, Run] = {}

    def want(run: Run, record_needed: bool) -> None:
        anyone.setdefault(run.experiment_id, run)
        wanted = missing.setdefault(run.experiment_id, [])
        if record_needed and run not in wanted:
            wanted.append(run)
        donor = run.donor
        if donor and donor.experiment_id not in anyone:
            lacking = _lacks_record(donor, store, retry_failed)
            if lacking or not (_failed(donor, store) or finished(donor.experiment, store.checkpoint_path(donor))):
                want(donor, lacking)

    for run in planned:
        if _lacks_record(run, store, retry_failed) and (retry_failed or not _missed(run, store)):
            want(run, True)
    return [_Task(run, tuple(missing[name])) for name, run in anyone.items()]


def _lacks_record(run: Run, store: Store, retry_failed: bool) -> bool:
    return store.read(run) is None or (retry_failed and _failed(run, store))


def _failed(run: Run, store: Store) -> bool:
    record = store.read(run)
    return record is not None and record["status"] == "failed"


def _missed(run: Run, store: Store) -> Run | None:
    """The failed run whose weights a training lacks, directly or for another that it starts from; None where it has
    begun already, or can.
    """
    donor = run.donor
    if donor is None or checkpoints.latest(store.checkpoint_path(run)):
        return None
    return donor if _failed(donor, store) else _missed(donor, store)


def _not_run(planned: Iterable[Run], store: Store) -> Iterator[str]:
    """A sentence for each training that a failed one prevents."""
    for run in {run.experiment_id: run for run in planned if _lacks_record(run, store, False)}.values():
        if donor := _missed(run, store):
            why = f"{donor.experiment_id}, whose weights it needs, failed: repeat that with --retry-failed."
            yield f"{run.experiment_id} was not run because {why}"


def _check_images(records: Iterable[dict | None], images: data.ImageSet) -> None:
    """ValueError when a record was made from other images than these."""
    for record in records:
        if record is not None and record["environment"]["data_sha256"] != images.digest:
            raise ValueError(
                f"the record {record['run_id']} of preset {record['preset']} was made from other images (digest "
                f"{record['environment']['data_sha256'][:12]}, now {images.digest[:12]}): pass another --results."
            )


def _check_precision(records: Iterable[dict | None], where: torch.device) -> None:
    """ValueError when "auto" was another precision to a record than it is on this device."""
    here = devices.precision("auto", where)
    for record in records:
        if record is None or record["experiment"]["precision"] != "auto":
            continue
        if (used := record["environment"]["precision"]) != here:
            raise ValueError(
                f"the record {record['run_id']} of preset {record['preset']} was computed in {used}, and this device "
                f"would go on in {here}: pass another --results."
            )


def load_images(
    preset_name: str,
    data_dir: str | Path | None = None,
    skip_bad_images: bool = False,
    decoder: str = "auto",
    **drawn: int,
) -> data.ImageSet:
    """The images of a preset.

    drawn: other numbers of `train_images` or `val_images` for a set that is drawn on the fly, to draw no more than
    needed; whatever the number, val begins with the same images. A set that is read from a folder is read whole.
    """
    chosen = presets.named(preset_name)
    if chosen.needs_folder:
        return data.load(**chosen.data, data_dir=data_dir, skip_bad_images=skip_bad_images, decoder=decoder)
    return data.load(**chosen.data | drawn, data_dir=data_dir, decoder=decoder)


def _work(task: _Task, images: data.ImageSet) -> tuple[float, ...]:
    """Multiply-adds of a task, about: of its training, then of each evaluation."""
    return training_macs(task.run, len(images.train)), *(testing_macs(run, len(images.val)) for run in task.missing)


def _execute_all(tasks: list[_Task], worker: _Worker, pool: Workers | None, shown: Silent) -> None:
    def longest_first(task: _Task) -> float:
        return -sum(_work(task, worker.images))

    if pool is None:
        ordered = sorted(tasks, key=lambda task: (task.run.experiment.seed, task.depth, longest_first(task)))
        for wait in (False, True):
            ordered = [task for task in ordered if worker(task, shown.event, wait)]
        return
    # Computed once here: they travel with the images.
    _ = worker.images.digest, worker.images.mean_rgb, worker.images.rgb_components
    images, alone = pool.share(worker.images), replace(worker, images=None)
    with pool.heard(shown.event) as send:
        # What needs the weights of another training waits for the wave before.
        for depth in range(max(task.depth for task in tasks) + 1):
            wave = sorted((task for task in tasks if task.depth == depth), key=longest_first)
            for wait in (False, True):
                busy = pool.map(_in_another_process, [(alone, images, task, send, wait) for task in wave])
                wave = [task for task, later in zip(wave, busy, strict=True) if later]


def _in_another_process(worker: _Worker, images: str, *arguments) -> bool:
    return replace(worker, images=shared(images))(*arguments)


@dataclass(frozen=True)
class _Worker:
    """Trains and evaluates one task after another, in this process or in one of joblib's."""

    images: data.ImageSet | None  # None on the way to another process
    device: str | None
    threads: int
    store: Store
    stop_at: float
    retry_failed: bool
    division: Division = ALONE
    compiled: bool = False

    def __call__(self, task: _Task, send: Callable[[Event], None], wait: bool) -> bool:
        """Do a task. True when another process is at it, or at one that comes before; with `wait` it is awaited."""
        from filelock import FileLock

        lock = FileLock(f"{self.store.checkpoint_path(task.run)}.lock")
        try:
            if self._locked(lock, wait):
                self._execute(task, send)
                return False
        except _NoDonor:
            pass
        except torch.OutOfMemoryError as error:
            raise ValueError(
                f"{task.name} takes more memory than its GPU has free: train it with --images-per-pass, which takes a "
                f"batch of {task.run.experiment.batch_size} in parts, or with a smaller --batch-size, which is another "
                "training; once it is trained, test it with --device cpu."
            ) from error
        finally:
            lock.release()
        send(Event(task.name, "stopped" if wait else "waiting"))
        return not wait

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

    def _execute(self, task: _Task, send: Callable[[Event], None]) -> None:
        devices.prepare(self.threads)
        where = devices.device(self.device)
        devices.exact(where)
        checkpoint = self.store.checkpoint_path(task.run)
        # Others may have made some meanwhile.
        missing = [run for run in task.missing if _lacks_record(run, self.store, self.retry_failed)]
        over = not missing and (bool(task.missing) or finished(task.run.experiment, checkpoint))
        missing, over, late = self.division.agree((missing, over, time.time() >= self.stop_at))
        if over:
            send(Event(task.name, "done"))
            return
        if late:
            send(Event(task.name, "stopped"))
            return
        send(Event(task.name, "started"))
        evaluated: list[float | None] = []
        record = _Record(task.run, self.images, where, self.division)
        work = _work(_Task(task.run, tuple(missing)), self.images)

        def report(progress: Progress) -> None:
            share = progress.images_done / progress.images_total * work[0] / sum(work)
            send(Event(task.name, "training", progress, share))

        try:
            trained = self._trained(task.run, where, report)
            for number, run in enumerate(missing):
                done, own = sum(work[: number + 1]) / sum(work), work[number + 1]
                looked = self._looked(task.name, run, send, done, own / sum(work))
                content = record.evaluated(run, trained, looked, own)
                if self.division.first:
                    self.store.write(run, *content)
                evaluated.append(content[0]["top1_error_percent"])
            if None in evaluated:
                send(Event(task.name, "failed"))
            else:
                send(Event(task.name, "done", top1_error_percent=evaluated[0] if evaluated else None))
        except OutOfTime:
            send(Event(task.name, "stopped"))  # it stays "not run"
        except Diverged as failure:
            if self.division.first:
                checkpoints.set_aside(checkpoint)  # a retry begins anew
                for run in missing:
                    self.store.write(run, record.failed(run, failure))
            send(Event(task.name, "failed"))

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
            self.store.checkpoint_path(run),
            lambda: self._donor(run, where),
            report,
            self.stop_at,
            self.division,
            self.compiled,
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
        """The net whose weights a training begins with, from its checkpoint; _NoDonor where that is not finished.

        A finished checkpoint is not written any more, so that it may be read without its lock.
        """
        donor = run.donor
        path = self.store.checkpoint_path(donor)
        if not self.division.agree(finished(donor.experiment, path) and not _failed(donor, self.store)):
            raise _NoDonor
        return train(donor.experiment, self.images, where, path, division=self.division).model


class _NoDonor(Exception):
    """The weights to begin with are not there: their training failed, or is not finished."""


def compiles_tests(where: torch.device, precision: str, macs: float) -> bool:
    """Whether a test's passes go through `torch.compile`: on a CPU that can, where a shape of input has many `macs`."""
    return where.type == "cpu" and macs >= COMPILE_FROM and devices.compiles(where, precision)


class _Record:
    """The contents of records of one training, apart from the digests that the store adds."""

    def __init__(self, run: Run, images: data.ImageSet, where: torch.device, division: Division):
        self.images, self.where, self.division, self.experiment = images, where, division, run.experiment
        self.precision = devices.precision(run.experiment.precision, where)
        self.started, self.clock, self.commit = datetime.now(UTC), time.perf_counter(), commit()

    def evaluated(self, run: Run, trained: Trained, report, work: float) -> tuple[dict, *tuple[np.ndarray, ...]]:
        """(record, posteriors (N, classes) float16, labels (N,) int16) of a trained net under the run's protocol, which
        takes `work` multiply-adds; the record of a failure alone when the posteriors are not numbers.

        Raises OutOfTime when time is up for any process.
        """
        begun = time.perf_counter()
        protocol, split = run.protocol, self.images.val
        if self.division.count > 1:
            split = split.subset(self.division.share(len(split)))
        split = split.rescaled(self.experiment.pixels(protocol.test_scale)).to(self.where)
        shapes = len(split.sizes.unique(dim=0)) if protocol.method == "dense" else 1
        compiled = compiles_tests(self.where, self.precision, work / shapes)
        try:
            own = posteriors(
                trained.model,
                split,
                trained.mean_rgb,
                method=protocol.method,
                flip=protocol.flip,
                average=protocol.average,
                precision=self.precision,
                report=report,
                compiled=compiled,
            )
        except OutOfTime:
            own = None
        found = self.division.together(len(self.images.val), own)
        if found is None:
            raise OutOfTime
        if not np.isfinite(found).all():
            what = f"{self.experiment.name}: the scores of the trained net are not numbers"
            return (self.failed(run, Diverged(what, trained.history, trained.arithmetic)),)
        # Rounded before anything is computed from them, so that the record and the stored posteriors agree to the last
        # count.
        found, labels = found.astype(np.float16), self.images.val.labels.numpy().astype(np.int16)
        record = self._base(run, trained) | {
            "status": "done",
            "error": None,
            "top1_error_percent": error_percent(found, labels, 1),
            "top5_error_percent": error_percent(found, labels, 5),
            "initial_signal": trained.initial_signal,
            "weights_sha256": weights.digest(trained.model),
        }
        record["environment"] |= {"evaluation_seconds": time.perf_counter() - begun, "compiled": compiled}
        return record, found, labels

    def failed(self, run: Run, failure: Diverged) -> dict:
        return self._base(run, failure) | {
            "status": "failed",
            "error": str(failure),
            "top1_error_percent": None,
            "top5_error_percent": None,
            "initial_signal": {},
            "weights_sha256": None,
        }

    def _base(self, run: Run, training: Trained | Diverged) -> dict:
        return {
            "schema": SCHEMA,
            "run_id": run.run_id,
            "preset": run.preset,
            "experiment": as_dict(run.experiment),
            "protocol": as_dict(run.protocol),
            "split": "val",
            "seed": run.experiment.seed,
            "n_images": len(self.images.val),
            "n_classes": len(self.images.class_names),
            "history": [asdict(epoch) for epoch in training.history],
            "environment": {
                **devices.describe(self.where),
                "precision": self.precision,
                "units": devices.units(self.precision, self.where),
                "processes": self.division.count,
                "images_per_pass": self.division.images_per_pass,
                "trained_in": training.arithmetic or None,
                "updates_compiled": COMPILED in training.arithmetic,
                "bf16_gradients": ROUNDED in training.arithmetic,
                **self.commit,
                "data_sha256": self.images.digest,
                "images_skipped": len(self.images.skipped),
                # Of images that are read while a net trains.
                "decoder": getattr(self.images.train, "decoder_on", lambda device: None)(self.where),
                "started_utc": self.started.isoformat(timespec="seconds"),
                "finished_utc": datetime.now(UTC).isoformat(timespec="seconds"),
                "training_seconds": sum(epoch.seconds for epoch in training.history),
                "seconds": time.perf_counter() - self.clock,
            },
        }
