"""Run records: one immutable JSON per evaluated net, its posteriors beside it; and the rows computed from them."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from vgglib import most_probable
from vgglib.answered import Reading
from vgglib.experiments import Entry, Name, Run, as_dict, differences, runs
from vgglib.files import DAMAGED_NPZ, latest, state, sweep, write_atomically

ANSWERED = "answered"  # the folder of what can be computed anew from the others
ARRAYS = ("posteriors", "labels", "classes")  # of a file of posteriors, the last where it holds the most probable ones
REPOSITORY = Path(__file__).resolve().parents[1]
SCHEMA = 2
RECORDS_HELD = 2048  # in memory, about 30 kB each
FIELDS = (
    *(
        "schema",
        "run_id",
        "preset",
        "status",
        "error",
        "experiment",
        "protocol",
        "split",
        "seed",
        "n_images",
        "n_classes",
    ),
    *("top1_error_percent", "top5_error_percent", "history", "initial_signal"),
    *("environment", "weights_sha256", "posteriors_sha256", "digest"),
)


def default_root() -> Path:
    """The folder of results: the one named by VGG_RESULTS, else the repository's own."""
    return Path(os.environ.get("VGG_RESULTS") or REPOSITORY / "results").expanduser()


def digest(record: dict) -> str:
    """SHA-256 over a record's canonical JSON, its own digest left out."""
    content = {key: value for key, value in record.items() if key != "digest"}
    return hashlib.sha256(json.dumps(content, sort_keys=True, allow_nan=False).encode()).hexdigest()


def write_sealed(path: Path, record: dict) -> dict:
    """Write a record with its digest, and return it so; OSError as `files.write_atomically`."""
    record = {**record, "digest": digest(record)}
    write_atomically(path, (json.dumps(record, indent=1, allow_nan=False) + "\n").encode())
    return record


def read_sealed(path: Path, schema: int, remedy: str, fields: Iterable[str] | None = None) -> dict | None:
    """What `write_sealed` has written, None where there is no file.

    Raises ValueError, naming the file and the `remedy`, for one that is damaged or altered, of another schema than
    `schema`, or with other fields than `fields`, where these are given; OSError where the file cannot be read.
    """
    try:
        record = json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as error:
        raise ValueError(f"the record {path} is not JSON ({error}): {remedy}.") from error
    found = record.get("schema") if isinstance(record, dict) else None
    if found != schema:
        wrong = f"has schema {found} where this version reads {schema}"
    elif fields and (odd := sorted(set(record) ^ set(fields))):
        wrong = f"has missing or foreign fields ({', '.join(odd)})"
    elif record.get("digest") != digest(record):
        wrong = "was changed after it was written (its digest differs)"
    else:
        return record
    raise ValueError(f"the record {path} {wrong}: {remedy}.")


@dataclass(frozen=True)
class Store:
    """The records under one folder, by default `default_root()`: `<root>/<preset>/runs/*.json` and
    `<root>/<preset>/posteriors/*.npz`. Raises ValueError where that is a file.
    """

    root: Path | str | None = None

    def __post_init__(self):
        object.__setattr__(self, "root", Path(self.root).expanduser() if self.root else default_root())
        if self.root.is_file():
            raise ValueError(f"{self.root} is a file: name the folder of the records.")

    def record_path(self, run: Run) -> Path:
        return self.root / run.preset / "runs" / f"{run.run_id}.json"

    def posteriors_path(self, run: Run) -> Path:
        return self.root / run.preset / "posteriors" / f"{run.run_id}.npz"

    def checkpoint_path(self, run: Run) -> Path:
        return self.root / run.preset / "checkpoints" / f"{run.experiment_id}.safetensors"

    def begun(self, run: Run) -> Path | None:
        """The newest checkpoint of a run's training, with which it goes on; None where there is none."""
        return latest(self.checkpoint_path(run))

    def answered_path(self, preset: str, name: str) -> Path:
        """Of what posteriors come to, where that is kept (`answered`)."""
        return self.root / preset / ANSWERED / f"{name}.npz"

    def weights_path(self, run: Run) -> Path:
        return self.root / run.preset / "weights" / f"{run.experiment_id}.safetensors"

    def check_writable(self, preset: str) -> None:
        """OSError when a record could not be written, before any work is done for it."""
        try:
            for part in ("runs", "posteriors", "checkpoints"):
                folder = self.root / preset / part
                folder.mkdir(parents=True, exist_ok=True)
                sweep(folder)
                tempfile.TemporaryFile(dir=folder).close()
            for part in ("weights", ANSWERED):  # which are there only once something is kept
                sweep(self.root / preset / part)
        except OSError as error:
            raise OSError(
                f"the results folder {self.root / preset} cannot be written ({error.strerror}): choose another with "
                "--results (VGG_RESULTS in a notebook)."
            ) from error

    def write(
        self, run: Run, record: dict, posteriors: np.ndarray | None = None, labels: np.ndarray | None = None
    ) -> dict:
        """Save posteriors, of many classes the most probable ones, then the record that vouches for them; returns the
        record with its digests.
        """
        record = {**record, "posteriors_sha256": None}
        if posteriors is not None:
            arrays = {"posteriors": posteriors, "labels": labels}
            if posteriors.shape[1] > most_probable.WHOLE:
                arrays["posteriors"], arrays["classes"] = most_probable.shortened(posteriors)
            buffer = io.BytesIO()
            np.savez_compressed(buffer, **arrays)
            write_atomically(self.posteriors_path(run), buffer.getvalue())
            record["posteriors_sha256"] = digest_of(*arrays.values())
        return write_sealed(self.record_path(run), record)

    def read(self, run: Run) -> dict | None:
        """The record of a run, None where it has not been made; shared with other readers: copy it before you alter it.

        Raises ValueError, naming the file, for one that is broken, altered, of another schema, or made with other
        settings.
        """
        path = self.record_path(run)
        record = self.at(path)
        if record is None:
            return None
        for part, ours in (("experiment", as_dict(run.experiment)), ("protocol", as_dict(run.protocol))):
            if was := differences(record[part], ours):
                raise ValueError(
                    f"the record {path} was made with other settings ({was}): move it away, or pass another --results "
                    "(VGG_RESULTS in a notebook)."
                )
        return record

    def posteriors(self, run: Run) -> tuple[np.ndarray, np.ndarray]:
        """Posteriors (N, classes) float16, those of many classes as `most_probable.restored` gives them, and labels
        (N,) of a finished run; ValueError when they do not fit its record.
        """
        record = self.read(run)
        if record is None:
            raise ValueError(f"there is no record of {run.run_id} in {self.root}: run it first.")
        return self.posteriors_of(run, record)

    def posteriors_of(self, run: Run, record: dict) -> tuple[np.ndarray, np.ndarray]:
        """`posteriors` of a run whose record has been read."""
        path = self.posteriors_path(run)
        if not path.exists():
            raise ValueError(
                f"the posteriors {path} are missing: delete the record {self.record_path(run)} and run it again."
            )
        try:
            with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                posteriors, labels, *classes = (file[name] for name in ARRAYS if name in file)
        except DAMAGED_NPZ as error:
            raise ValueError(f"the posteriors {path} are damaged ({error}): delete them and their record.") from error
        if digest_of(posteriors, labels, *classes) != record["posteriors_sha256"]:
            raise ValueError(f"the posteriors {path} do not match their record: delete both and run again.")
        if classes:
            posteriors = most_probable.restored(posteriors, *classes, record["n_classes"])
        return posteriors, labels

    def records(self, preset: str) -> list[dict]:
        """Every record of a preset, those with settings made by hand included, in the order of their names; shared with
        other readers.

        Raises ValueError, naming the file, for one that is broken, altered or of another schema.
        """
        return self._matching(preset, "*.json")

    def _matching(self, preset: str, names: str) -> list[dict]:
        paths = sorted((self.root / preset / "runs").glob(names))
        paths = [path for path in paths if not path.name.startswith(".")]  # which systems leave behind
        return [record for path in paths if (record := self.at(path)) is not None]

    def at(self, path: Path) -> dict | None:
        """The record of a file, read once while that does not change; None where there is none; ValueError as `records`
        raises it.
        """
        unchanged = state(path)
        return _record(path) if unchanged is None else _held(path, unchanged)

    def seeds(self, preset: str, any_recipe: bool = False) -> tuple[int, ...]:
        """The seeds of which a preset has records made with its own recipe, or with any."""
        names = [Name.of(path.stem) for path in (self.root / preset / "runs").glob("*.json")]
        return tuple(sorted({name.seed for name in names if name and (any_recipe or not name.settings)}))

    def of_nets_on_record(self, entries: Sequence[Entry]) -> list[Entry]:
        """Those of a plan's entries of which a net has a record of the same seed, here or in another entry: a seed that
        other nets alone were trained with is nothing that is missing.
        """
        trained = {(run.experiment.net, run.experiment.seed) for run in runs(entries) if self.record_path(run).exists()}
        return [
            entry
            for entry in entries
            if not trained.isdisjoint((run.experiment.net, run.experiment.seed) for run in entry.runs)
        ]

    def tests(self, run: Run) -> list[dict]:
        """The records of all tests of a run's training that are done; ValueError as `records` raises it."""
        return [one for one in self._all_tests(run) if one["status"] == "done"]

    def _all_tests(self, run: Run) -> list[dict]:
        found, ours = self._matching(run.preset, f"{run.experiment_id}_*.json"), as_dict(run.experiment)
        return [one for one in found if not differences(one["experiment"], ours)]

    def failed_training(self, run: Run) -> dict | None:
        """A record of a run's training where that has failed, by the records of all of its tests: a single test that
        failed says nothing of the others, nor does one of a net that was trained, whose scores were not numbers.
        """
        found = self._all_tests(run)
        without = all(one["status"] == "failed" and one["weights_sha256"] is None for one in found)
        return found[0] if found and without else None

    def failed_start(self, run: Run) -> Run | None:
        """The run of a failed training whose weights a run's own lacks, directly or for another that it starts from;
        None where it has begun already, or can.
        """
        donor = run.donor
        if donor is None or self.begun(run):
            return None
        return donor if self.failed_training(donor) else self.failed_start(donor)

    def prevented_by(self, run: Run) -> Run | None:
        """What keeps a run without a record from being made: a run whose training failed and from which its own starts,
        or itself where its own training failed; None for nothing.
        """
        return self.failed_start(run) or (run if self.failed_training(run) else None)

    def rows(self, entries: Sequence[Entry]) -> pd.DataFrame:
        """One row per entry of a plan, in its order: what it is, status (done, failed or not run), errors, which images
        are wrong, seconds of evaluation, history and first batch's signal of the training, environment. What was to
        start from a training that failed, and has not begun, has failed with it, and so have its further tests.

        A row of several runs has the errors of the mean of their posteriors; nothing is run for it. History, signal and
        environment are the record's own, shared with other readers. Raises ValueError where runs of one training were
        tests of nets with different weights, and where records were made from different images.
        """
        reading = Reading(self, runs(entries))
        return pd.DataFrame([_row(entry, reading) for entry in entries])


def _record(path: Path) -> dict | None:
    return read_sealed(path, SCHEMA, "delete it and run again", FIELDS)


@lru_cache(RECORDS_HELD)
def _held(path: Path, unchanged: tuple[int, ...]) -> dict | None:
    return _record(path)


def timed_on(environment: dict) -> tuple:
    """Where and in which precision a test was made, as far as its time depends on it. Whether its passes were compiled
    is left out: that goes by how much work a test is, and is a part of its time.
    """
    where = (environment.get(key) for key in ("device", "device_name", "threads", "precision"))
    return *where, environment.get("processes") or 1


def _row(entry: Entry, reading: Reading) -> dict:
    records = [record for run in entry.runs if (record := reading.records[run]) is not None]
    failed = [record for record in records if record["status"] == "failed"]
    done = reading.done(entry.runs)
    if not (done or failed):
        lacking = (run for run in entry.runs if reading.records[run] is None)
        failures = filter(None, map(reading.store.prevented_by, lacking))
        failed = list(map(reading.store.failed_training, failures))
    first = records[0] if records and (done or failed) else {}
    one_net = len({run.experiment for run in entry.runs}) == 1
    row = {
        "table": entry.table,
        "preset": entry.preset,
        "net": entry.net,
        "train_scale": entry.train_scale,
        "test_scales": entry.test_scales,
        "method": entry.method,
        "start": entry.start,
        "seed": entry.seed,
        "status": "done" if done else "failed" if failed else "not run",
        "error": failed[0]["error"] if failed else None,
        "n_images": first.get("n_images"),
        "n_classes": first.get("n_classes"),
        "top1_error_percent": None,
        "top5_error_percent": None,
        "wrong": None,
        "evaluation_seconds": None,
        "history": first.get("history", []) if one_net else [],
        "initial_signal": first.get("initial_signal", {}) if one_net else {},
        "environment": first.get("environment", {}),
        "timed_on": frozenset(timed_on(record["environment"]) for record in records if done),
    }
    if done:
        _check_weights(entry.runs, records)
        found = reading.answered(entry.runs, f"the runs of {entry.net}, {entry.method}, seed {entry.seed},")
        row |= {
            "top1_error_percent": found.top1_error_percent,
            "top5_error_percent": found.top5_error_percent,
            "wrong": found.missed,
            "evaluation_seconds": sum(record["environment"]["evaluation_seconds"] for record in records),
        }
    return row


def _check_weights(tested: Sequence[Run], records: Sequence[dict]) -> None:
    """ValueError where tests of one training were made with different weights."""
    first = {}
    for run, record in zip(tested, records, strict=True):
        other = first.setdefault(run.experiment, record)
        if record["weights_sha256"] != other["weights_sha256"]:
            raise ValueError(
                f"the records {other['run_id']} and {record['run_id']} are tests of one training and not of the same "
                "weights: move away those of one of them."
            )


def digest_of(*arrays: np.ndarray) -> str:
    """SHA-256 over the types, shapes and values of some arrays."""
    total = hashlib.sha256()
    for array in arrays:
        total.update(f"{array.dtype} {array.shape}".encode())
        total.update(np.ascontiguousarray(array))
    return total.hexdigest()
