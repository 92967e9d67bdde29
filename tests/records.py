"""Records and posteriors of runs that nobody ran, for tests."""

import numpy as np

from vgglib.experiments import as_dict, runs
from vgglib.plans import plan
from vgglib.results import FIELDS

(ENTRY,) = plan("smoke", "3", ["A"], [0])
(RUN,) = ENTRY.runs
POSTERIORS, LABELS = np.eye(3, dtype=np.float16), np.arange(3, dtype=np.int16)
ENSEMBLES = plan("smoke", "6", seeds=[0])
SCALES = [*plan("smoke", "3", ["B", "D"], [0]), *plan("smoke", "4", ["B", "D"], [0])]
# Two images of class 0. Each net errs on one of them, and their means are 0.6 and 0.55.
D_HALF, E_HALF = [[0.9, 0.1], [0.4, 0.6]], [[0.3, 0.7], [0.7, 0.3]]


def record(run=RUN, **changes):
    usual = dict.fromkeys(FIELDS)
    usual |= {"schema": 2, "run_id": run.run_id, "preset": run.preset, "status": "done", "seed": run.experiment.seed}
    usual |= {"experiment": as_dict(run.experiment), "protocol": as_dict(run.protocol), "split": "val"}
    usual |= {"environment": {"evaluation_seconds": 2.5, "images_skipped": 0}}
    usual |= {"n_images": 200, "n_classes": 24, "top1_error_percent": 50.0, "top5_error_percent": 20.0, "history": []}
    return {key: value for key, value in (usual | changes).items() if key != "digest"}


def planned(preset="demo", table="3", nets=("A",), seeds=(0,), **settings):
    return runs(plan(preset, table, nets, seeds, **settings))


def recorded(store, run, **changes):
    """A record of two epochs of half an hour at 10 and 30 images a second, and a test of 36 seconds."""
    environment = {
        **{"device_name": "a CPU", "threads": 1, "precision": "bf16", "torch": "2", "python": "3.11"},
        **{"commit": "0123456789", "dirty": False, "device": "cpu", "data_sha256": "89abcdef01234567"},
        **{"training_seconds": 3600.0, "evaluation_seconds": 36.0},
        **{"started_utc": "2026-01-02T03:04:05+00:00", "finished_utc": "2026-01-03T03:04:05+00:00"},
    }
    epochs = [{"epoch": 1, "images_per_second": 10.0}, {"epoch": 2, "images_per_second": 30.0}]
    environment |= changes.pop("environment", {})
    changes = {"n_images": 1000, "history": epochs, **changes}
    return store.write(run, record(run, environment=environment, **changes))


def trained(store, net, seed, used="bf16", table="3", **settings):
    """A record of a net that was trained in `used`, whatever was asked for."""
    (run,) = planned(table=table, nets=[net], seeds=[seed], train_scales=["256"], **settings)
    history = [{"epoch": 1, "learning_rate": 0.01, "train_loss": 1.0, "minival_top1_error_percent": 50.0}]
    environment = {"precision": used, "device": "cpu", "evaluation_seconds": 1.0}
    store.write(run, record(run, environment=environment, history=history), POSTERIORS, LABELS)


def put(store, entries, posteriors, net=None, s=None, labels=None, **protocol):
    """Write these posteriors for all runs of a net, or for those of a method or a Q."""
    posteriors = np.array(posteriors, np.float16)
    labels = np.array(labels if labels is not None else [0] * len(posteriors), np.int16)
    for run in runs(entries):
        named = (net or run.experiment.net, s or run.experiment.scale_text)
        if named == (run.experiment.net, run.experiment.scale_text) and all(
            getattr(run.protocol, key) == value for key, value in protocol.items()
        ):
            store.write(run, record(run, n_images=len(labels), n_classes=posteriors.shape[1]), posteriors, labels)


def filled(store, seeds, images=40):
    """Random posteriors over seven classes for every run of Table 6."""
    rng = np.random.default_rng(0)
    entries, labels = plan("smoke", "6", seeds=seeds), rng.integers(0, 7, images)
    for run in runs(entries):
        posteriors = rng.dirichlet(np.ones(7), images) + 0.4 * np.eye(7)[labels]
        put(store, [entry for entry in entries if run in entry.runs], posteriors / 1.4, labels=labels, **_only(run))
    return entries, labels


def _only(run):
    protocol = {"method": run.protocol.method, "test_scale": run.protocol.test_scale}
    return {"net": run.experiment.net, "s": run.experiment.scale_text, **protocol}
