"""From a plan to records: reuse what is there, train and evaluate what is missing, save each as soon as it is known."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd
import torch

from vgglib import data, devices, presets
from vgglib.data.files import PHOTOGRAPHS
from vgglib.experiments import Entry, Experiment, runs
from vgglib.parallel import Workers, check_counts, shared, unfailing
from vgglib.results import Store
from vgglib.running import backends, tasks
from vgglib.running.progress import Silent, fitting
from vgglib.running.tasks import Task
from vgglib.running.worker import Worker
from vgglib.training import distributed, updates
from vgglib.training.distributed import Division
from vgglib.training.resume import TAKE_THE_IMAGES


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
    """Make the records that `plan` needs and that do not exist yet, and return a row for every entry of it; of several
    processes that torchrun started the first alone returns any.

    On a CPU several nets train at once, one thread each (`jobs` defaults to the number of cores, or with `threads` to
    what fits on them): small nets leave most of a second thread idle. With `jobs=1` the nets take turns with `threads`
    threads, whole seeds first; a GPU always takes them in turn, and refuses more jobs. Without `threads` a training
    goes on with as many as it began with. With the `backend` "dask" or "ray" the nets train on the workers of a
    cluster, that at the address `scheduler` or one that is started on this host; `backends` says what its hosts must
    have in common. Processes that torchrun started train and test every net together; `images_per_pass` and
    `bf16_gradients` are as in `distributed.Division`, `decoder` as in `data.load`, `compiled` as in `updates.Updates`.
    A failed run counts as an outcome and is not repeated unless `retry_failed`; nets that need its weights are not run,
    nor are other tests of its training, which stderr says. Trainings and tests stop after `max_minutes`; the next call
    goes on with a training, and makes a test that was stopped anew. Several callers of one user may share a results
    folder: what one is at, the others leave to it.
    Raises ValueError or OSError, before any training, for a data or results folder, or a cluster, that will not do, for
    a plan of several presets, where the preset has damaged records, some of other images, or some whose precision was
    left to the device and came out otherwise, and where updates cannot be compiled; ValueError, too, when a process was
    killed, for a damaged checkpoint, for a net that there is no memory for, and for one that was trained again and has
    other weights than its records.
    """
    check(
        device=device,
        jobs=jobs,
        backend=backend,
        scheduler=scheduler,
        bf16_gradients=bf16_gradients,
        threads=threads,
        images_per_pass=images_per_pass,
    )
    store = Store(Store(results).root.absolute())  # workers may be in other folders
    where = devices.device("cpu" if scheduler else device)  # workers elsewhere have devices of their own
    stop_at = time.time() + max_minutes * 60
    if not max_minutes >= 0:
        raise ValueError(f"max_minutes is {max_minutes}: it must be 0 or greater.")
    if not plan:
        raise ValueError("the plan is empty: plans.plan lists what a table needs.")
    planned = runs(plan)
    name, *others = dict.fromkeys(run.preset for run in planned)
    if others:
        raise ValueError(f"the plan has runs of {' and '.join([name, *others])}: run one preset at a time.")
    records = store.records(name)  # all of them: what is made now will be compared with what this plan leaves out

    def load() -> data.ImageSet:
        found = load_images(name, data_dir, skip_bad_images, decoder)
        check_images(records, found)
        if distributed.first():
            _say(_passed_over(found, data_dir))
        return found

    images = load() if data_dir else None
    with distributed.joined(
        where, Division(images_per_pass=images_per_pass, bf16_gradients=bf16_gradients)
    ) as division:
        needed = division.agree(tasks.needed(planned, store, retry_failed))
        if needed:
            # A missing folder of images is named before any folder of ours is made; what is drawn takes its time, and
            # comes after all that may be refused.
            if presets.named(name).needs_folder:
                images = images or load()
            store.check_writable(name)
            folder = store.checkpoint_path(planned[0]).parent
            jobs = jobs if division.count == 1 else 1
            fused = _updates({task.run.experiment for task in needed}, images) if compiled else set()
            suits = partial(_check_device, earlier=_precisions(records), fused=fused, division=division)
            if not scheduler:
                suits(where)
            there = (suits,) if scheduler else ()
            with backends.workers(backend, scheduler, jobs, threads, device, len(needed), folder, *there) as pool:
                images = images or load()
                if division.first:
                    _say(tasks.repeated(needed, store))
                worker = Worker(
                    images=images,
                    device=device if scheduler else str(where),
                    threads=threads or (1 if pool else devices.cores()),
                    store=store,
                    stop_at=stop_at,
                    retry_failed=retry_failed,
                    division=division,
                    compiled=compiled,
                    threads_asked=threads is not None,
                )
                with display or fitting() if division.first else Silent() as shown:
                    shown.plan({task.name: sum(task.macs(images)) for task in needed})
                    _execute_all(needed, worker, pool, shown)
        if division.first:
            _say(tasks.prevented(planned, store))
        division.agree(None)  # when all has been written
    return store.rows(plan) if division.first else pd.DataFrame()


def check(
    device: str | None = None,
    jobs: int | None = None,
    backend: str = "loky",
    scheduler: str | None = None,
    bf16_gradients: bool = False,
    threads: int | None = None,
    images_per_pass: int | None = None,
) -> None:
    """ValueError for settings of `run` that are out of range or do not go together."""
    check_counts(jobs=jobs, threads=threads, images_per_pass=images_per_pass)
    backends.check(backend, scheduler, jobs, device)
    if distributed.started() and backend != "loky":
        raise ValueError(f"--backend {backend} gives every net to one process: start it without torchrun.")
    if distributed.started() and jobs and jobs > 1:
        raise ValueError(f"--jobs is {jobs}: torchrun's processes share every net; leave --jobs out.")
    if bf16_gradients and not distributed.started():
        raise ValueError(
            "--bf16-gradients rounds what torchrun's processes send one another: use torchrun, or leave it out."
        )


def _say(sentences: Iterable[str]) -> None:
    for sentence in sentences:
        print(sentence, file=sys.stderr)


def _passed_over(images: data.ImageSet, data_dir: str | Path | None) -> Iterable[str]:
    """A sentence where a folder has pictures in no class folder."""
    if count := sum(count for suffix, count in images.unread if suffix in PHOTOGRAPHS):
        yield (
            f"{count} picture(s) in {data_dir} lie in no class folder of train or val, and are not used: `vgg data` "
            "lists the kinds of files that are not read."
        )


def check_images(records: Iterable[dict], images: data.ImageSet) -> None:
    """ValueError when a record was made from other images than these."""
    for record in records:
        if record["environment"]["data_sha256"] != images.digest:
            raise ValueError(
                f"the record {record['run_id']} of preset {record['preset']} was made from other images (digest "
                f"{record['environment']['data_sha256'][:12]}, now {images.digest[:12]}): {TAKE_THE_IMAGES}."
            )


def _precisions(records: Iterable[dict]) -> dict[str, str]:
    """What precision "auto" was to records, and which is one of each."""
    return {
        record["environment"]["precision"]: f"{record['run_id']} of preset {record['preset']}"
        for record in records
        if record["experiment"]["precision"] == "auto" and not record["experiment"]["weights"]  # others trained those
    }


def _updates(experiments: Iterable[Experiment], images: data.ImageSet | None) -> set[tuple[str, int]]:
    """Precision and images of a batch of trainings; of a set that is not drawn yet, as if it filled one."""
    most = len(images.train) if images else math.inf
    return {(experiment.precision, min(experiment.batch_size, most)) for experiment in experiments}


def _check_device(
    where: torch.device, earlier: dict[str, str], fused: Iterable[tuple[str, int]], division: Division
) -> None:
    """ValueError when "auto" was another precision to a record than it is on this device, and where updates cannot be
    compiled in a precision on batches of so many images, as `fused` has them.
    """
    here = devices.precision("auto", where)
    for used, record in earlier.items():
        if used != here:
            raise ValueError(
                f"the record {record} was computed in {used}, and this device would go on in {here}: pass another "
                "--results (VGG_RESULTS in a notebook)."
            )
    for precision, batch in fused:
        updates.check_compiles(where, devices.precision(precision, where), division, batch)


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
    settings = chosen.data if chosen.needs_folder else chosen.data | drawn
    return data.load(**settings, data_dir=data_dir, skip_bad_images=skip_bad_images, decoder=decoder)


def load_again(
    preset_name: str, images_skipped: int, data_dir: str | Path | None = None, **drawn: int
) -> data.ImageSet:
    """The images of a preset whose records left out `images_skipped` that do not decode, again without such images.

    drawn: as in `load_images`. Raises ValueError as `data.load`.
    """
    # Those of a pack were left out when it was made.
    skip = images_skipped > 0 and presets.named(preset_name).data["name"] not in data.WITHOUT_BAD
    return load_images(preset_name, data_dir, skip, **drawn)


def _execute_all(needed: list[Task], worker: Worker, pool: Workers | None, shown: Silent) -> None:
    def longest_first(task: Task) -> float:
        return -sum(task.macs(worker.images))

    if pool is None:
        ordered = sorted(needed, key=lambda task: (task.run.experiment.seed, task.depth, longest_first(task)))
        report = unfailing(shown.event)
        for wait in (False, True):
            ordered = [task for task in ordered if worker(task, report, wait)]
        return
    # Computed once here: they travel with the images.
    _ = worker.images.digest, worker.images.mean_rgb, worker.images.rgb_components
    images, alone = pool.share(worker.images), replace(worker, images=None)
    with pool.heard(shown.event) as send:
        # What needs the weights of another training waits for the wave before.
        for depth in range(max(task.depth for task in needed) + 1):
            wave = sorted((task for task in needed if task.depth == depth), key=longest_first)
            for wait in (False, True):
                busy = pool.map(_in_another_process, [(alone, images, task, send, wait) for task in wave])
                wave = [task for task, later in zip(wave, busy, strict=True) if later]


def _in_another_process(worker: Worker, images: str, *arguments) -> bool:
    return replace(worker, images=shared(images))(*arguments)
