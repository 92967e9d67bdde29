"""Tests of one trained net, and what their records say."""

from __future__ import annotations

import time
from dataclasses import asdict
from datetime import UTC, datetime

import numpy as np
import torch

from vgglib import data, devices, weights
from vgglib.evaluate import posteriors
from vgglib.experiments import COMPILED, ROUNDED, Run, as_dict
from vgglib.metrics import error_percent
from vgglib.provenance import commit
from vgglib.results import SCHEMA
from vgglib.training.distributed import Division
from vgglib.training.trained import Diverged, OutOfTime, Trained

# Multiply-adds of a test, for each shape of input, that make it worth some ten seconds of compilation: a minute or two
# of two cores, of which compiled passes save a tenth (AVX-512) to a half (AMX).
COMPILE_FROM = 2e13


def compiles_tests(where: torch.device, precision: str, macs: float) -> bool:
    """Whether a test's passes go through `torch.compile`: on a CPU that can, where a shape of input has many `macs`."""
    return where.type == "cpu" and macs >= COMPILE_FROM and devices.compiles(where, precision)


class Recorder:
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
        took = time.perf_counter() - begun
        if found is None:
            raise OutOfTime
        if not np.isfinite(found).all():
            what = f"{self.experiment.name}: the scores of the trained net are not numbers"
            failure = self.failed(run, Diverged(what, trained.history, trained.arithmetic, trained.threads))
            return (failure | {"weights_sha256": weights.digest(trained.model)},)  # others of its tests may do
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
        record["environment"] |= {"evaluation_seconds": took, "compiled": compiled}
        return record, found, labels

    def failed(self, run: Run, failure: Diverged) -> dict:
        """The record of a run whose training diverged, or whose scores are not numbers."""
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
                "training_threads": training.threads,
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
