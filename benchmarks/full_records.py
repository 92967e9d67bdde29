"""Records of ImageNet's size that no net has made: what pages take to read does not depend on what they say."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

PRESET = "imagenet"
IMAGES, CLASSES = 50_000, 1000  # of ILSVRC's validation images
HISTORY = [
    {
        "epoch": epoch,
        "learning_rate": 0.01,
        "train_loss": 5.0,
        "minival_top1_error_percent": 90.0 - epoch,
        "seconds": 1.0,
    }
    for epoch in range(1, 75)
]
ENVIRONMENT = {
    **{"device": "cpu", "device_name": "made up", "precision": "fp32"},
    **{"evaluation_seconds": 1.0, "images_skipped": 0},
}


def made(root: Path, images: int = IMAGES, classes: int = CLASSES, seeds: Sequence[int] | None = None) -> Path:
    """A folder of results with every record of the preset's plan, of one seed unless said, which takes some minutes.
    It is made once, and again when records of another form, number or size are asked for.
    """
    from vgglib import most_probable
    from vgglib.experiments import as_dict, runs
    from vgglib.plans import plan
    from vgglib.results import FIELDS, SCHEMA, Store

    tested = runs(plan(PRESET, seeds=seeds))
    form = [SCHEMA, FIELDS, most_probable.WHOLE, most_probable.KEPT]
    content = [*form, HISTORY, ENVIRONMENT, images, classes, [run.run_id for run in tested]]
    whole, digest = root / "whole", hashlib.sha256(json.dumps(content).encode()).hexdigest()
    if whole.exists() and whole.read_text() == digest:
        return root
    shutil.rmtree(root, ignore_errors=True)
    store, rng = Store(root), np.random.default_rng(0)
    labels = rng.integers(0, classes, images).astype(np.int16)
    scores = rng.standard_normal((images, classes), np.float32)
    for run in tested:
        own = scores.copy()
        own[np.arange(images), labels] += 3 * rng.random(images, np.float32)  # every net is sure of other images
        np.exp(own, out=own)
        own /= own.sum(1, keepdims=True)
        record = dict.fromkeys(FIELDS) | {
            **{"schema": SCHEMA, "run_id": run.run_id, "preset": PRESET, "status": "done", "seed": run.experiment.seed},
            **{"experiment": as_dict(run.experiment), "protocol": as_dict(run.protocol), "split": "val"},
            **{"n_images": images, "n_classes": classes, "top1_error_percent": 50.0, "top5_error_percent": 20.0},
            **{"history": HISTORY, "environment": ENVIRONMENT},
        }
        record.pop("digest")
        store.write(run, record, own.astype(np.float16), labels)
    whole.write_text(digest)
    return root
