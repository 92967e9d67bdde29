"""From a plan to records: reuse what is there, train and evaluate what is missing, save each as soon as it is known."""

from __future__ import annotations

import math
import multiprocessing
import os
import subprocess
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from vgglib import data, devices
from vgglib.configs import config
from vgglib.cost import macs
from vgglib.evaluate import dense_posteriors
from vgglib.experiments import Run, as_dict, preset
from vgglib.metrics import error_percent
from vgglib.progress import Event, Silent, fitting
from vgglib.results import REPOSITORY, SCHEMA, Store, default_root
from vgglib.train import Diverged, OutOfTime, Progress, train


def run(
    plan: Sequence[Run],
    *,
    data_dir: str | Path | None = None,
    device: str | None = None,
    threads: int | None = None,
    jobs: int | None = None,
    results: str | Path | None = None,
    skip_bad_images: bool = False,
    retry_failed: bool = False,
    max_minutes: float = math.inf,
    display: Silent | None = None,
) -> pd.DataFrame:
    """Make the records of `plan` that do not exist yet, and return a row for every run of it.

    On a CPU several nets train at once, one thread each (`jobs` defaults to the number of cores): small nets leave
    most of a second thread idle. With `jobs=1` the nets take turns with `threads` threads; a GPU always takes them
    in turn. A failed run counts as an outcome and is not repeated unless `retry_failed`. After `max_minutes` no
    epoch begins that would end later. Raises ValueError or OSError, before any training, for a data or results
    folder that will not do.
    """
    store = Store(Path(results) if results else default_root())
    where = devices.device(device)
    stop_at = time.monotonic() + max_minutes * 60
    if not max_minutes >= 0:
        raise ValueError(f"max_minutes is {max_minutes}: it must be 0 or greater.")
    records = {run.run_id: store.read(run) for run in plan}
    images = None
    if data_dir and preset(plan[0].preset).needs_folder:
        images = load_images(plan[0].preset, data_dir, skip_bad_images)
        _check_images(records.values(), images)
    missing = [
        run
        for run in plan
        if records[run.run_id] is None or (retry_failed and records[run.run_id]["status"] == "failed")
    ]
    # A net that starts from A needs its weights, which records do not hold.
    donors = {run.donor.run_id: run.donor for run in missing if run.donor}
    lacking = {
        key: donor
        for key, donor in donors.items()
        if store.read(donor) is None or not store.checkpoint_path(donor).exists()
    }
    missing = [*lacking.values(), *(run for run in missing if run.run_id not in lacking)]
    if missing:
        for name in {run.preset for run in missing}:
            store.check_writable(name)
        images = images or load_images(missing[0].preset, data_dir, skip_bad_images)
        _check_images(records.values(), images)
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        jobs = 1 if where.type == "cuda" else min(jobs or cores, len(missing))
        threads = threads or (1 if jobs > 1 else cores)
        # Within each wave the longest first, so that no worker is left with it at the end; seeds stay in order.
        missing.sort(key=lambda run: (run.experiment.seed, -_work(run)))
        waves = [[run for run in missing if run.donor is None], [run for run in missing if run.donor]]
        with display or fitting() as shown:
            shown.plan({run.run_id: _work(run) for run in missing})
            for wave in waves:
                _execute_all(wave, images, str(where), threads, jobs, store, stop_at, shown)
    return store.rows(list(plan))


def _check_images(records: Iterable[dict | None], images: data.ImageSet) -> None:
    """ValueError when a record was made from other images than these."""
    for record in records:
        if record is not None and record["environment"]["data_sha256"] != images.digest:
            raise ValueError(
                f"the record {record['run_id']} of preset {record['preset']} was made from other images (digest "
                f"{record['environment']['data_sha256'][:12]}, now {images.digest[:12]}): pass another --results."
            )


def load_images(preset_name: str, data_dir: str | Path | None = None, skip_bad_images: bool = False) -> data.ImageSet:
    """The images of a preset."""
    chosen = preset(preset_name)
    return data.load(**chosen.data, data_dir=data_dir if chosen.needs_folder else None, skip_bad_images=skip_bad_images)


def _work(run: Run) -> float:
    experiment = run.experiment
    return experiment.epochs * macs(config(experiment.net).scaled(experiment.width), experiment.crop)


def _execute_all(missing, images, device, threads, jobs, store, stop_at, shown) -> None:
    if jobs == 1:
        for item in missing:
            _execute(item, images, device, threads, store, stop_at, shown.event)
        return
    import joblib  # a machine that trains on its GPU needs none

    # Computed once here: they travel with the images, which joblib lets the workers share.
    _ = images.digest, images.mean_rgb, images.rgb_components
    with multiprocessing.Manager() as manager:
        events = manager.Queue()
        listener = threading.Thread(
            target=lambda: [shown.event(event) for event in iter(events.get, None)], daemon=True
        )
        listener.start()
        work = joblib.Parallel(n_jobs=jobs, backend="loky", mmap_mode="c", batch_size=1, pre_dispatch=jobs)
        try:
            work(
                joblib.delayed(_execute)(item, images, device, threads, store, stop_at, events.put) for item in missing
            )
        finally:
            events.put(None)
            listener.join(timeout=5)


def _execute(run: Run, images: data.ImageSet, device: str, threads: int, store: Store, stop_at: float, send) -> None:
    devices.prepare(threads)
    where = devices.device(device)
    devices.exact(where)
    started, clock, commit = datetime.now(UTC), time.perf_counter(), _commit()
    if time.monotonic() >= stop_at:
        send(Event(run.run_id, "stopped"))
        return

    def report(progress: Progress) -> None:
        send(Event(run.run_id, "training", progress))

    send(Event(run.run_id, "started"))
    record = {
        "schema": SCHEMA,
        "run_id": run.run_id,
        "preset": run.preset,
        "status": "done",
        "error": None,
        "experiment": as_dict(run.experiment),
        "protocol": as_dict(run.protocol),
        "split": "val",
        "seed": run.experiment.seed,
        "n_images": len(images.val),
        "n_classes": len(images.class_names),
        "top1_error_percent": None,
        "top5_error_percent": None,
        "history": [],
        "initial_signal": {},
    }
    posteriors = labels = donor = None
    if run.donor:
        if (start := store.read(run.donor)) is None or start["status"] == "failed":
            send(Event(run.run_id, "stopped"))  # nothing to start from: it stays "not run"
            return
        donor = train(run.donor.experiment, images, where, store.checkpoint_path(run.donor)).model
    try:
        trained = train(run.experiment, images, where, store.checkpoint_path(run), donor, report, stop_at)
        record["history"] = [asdict(epoch) for epoch in trained.history]
        record["initial_signal"] = trained.initial_signal
        posteriors, labels = _evaluate(run, trained.model, images, where)
        if not np.isfinite(posteriors).all():
            raise Diverged(f"{run.experiment.name}: the scores of the trained net are not numbers", trained.history)
        record["top1_error_percent"] = error_percent(posteriors, labels, 1)
        record["top5_error_percent"] = error_percent(posteriors, labels, 5)
    except OutOfTime:
        send(Event(run.run_id, "stopped"))
        return
    except Diverged as failure:
        posteriors = labels = None
        store.checkpoint_path(run).unlink(missing_ok=True)  # a retry begins anew
        record |= {
            "status": "failed",
            "error": str(failure),
            "history": [asdict(epoch) for epoch in failure.history],
        }
    record["environment"] = {
        **devices.describe(where),
        "precision": devices.precision(run.experiment.precision, where),
        **commit,
        "data_sha256": images.digest,
        "images_skipped": len(images.skipped),
        "started_utc": started.isoformat(timespec="seconds"),
        "finished_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "training_seconds": sum(epoch["seconds"] for epoch in record["history"]),
        "seconds": time.perf_counter() - clock,
    }
    if (existing := store.read(run)) is None or existing["status"] == "failed":  # a donor may have its record already
        store.write(run, record, posteriors, labels)
    send(Event(run.run_id, record["status"], top1_error_percent=record["top1_error_percent"]))


def _evaluate(run: Run, model, images, where) -> tuple[np.ndarray, np.ndarray]:
    split = images.val.rescaled(run.experiment.pixels(run.protocol.test_scale)).to(where)
    precision = devices.precision(run.experiment.precision, where)
    posteriors = dense_posteriors(model, split, images.mean_rgb, run.protocol.flip, precision)
    # Rounded before anything is computed from them, so that the record and the stored posteriors agree to the last
    # count.
    return posteriors.astype(np.float16), images.val.labels.numpy().astype(np.int16)


def _commit() -> dict[str, str | bool | None]:
    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(REPOSITORY), *arguments], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        return {
            "commit": git("rev-parse", "HEAD"),
            "dirty": bool(git("status", "--porcelain", "--", "vgglib")),
        }
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None, "dirty": None}
