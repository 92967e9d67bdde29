"""Run records: one immutable JSON per evaluated net, its posteriors beside it, and the paper's own numbers."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from vgglib.experiments import Run, as_dict
from vgglib.files import sweep, write_atomically

REPOSITORY = Path(__file__).resolve().parents[1]
PAPER = REPOSITORY / "results" / "paper"
SCHEMA = 1
_OWN_RECIPE = re.compile(
    r"[^_]+_S\d+_seed(\d+)_[^=]+"
)  # settings made by hand stand in a run's name with an equals sign
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
    *("environment", "posteriors_sha256", "digest"),
)


def default_root() -> Path:
    """The folder of results: the one named by VGG_RESULTS, else the repository's own."""
    return Path(os.environ.get("VGG_RESULTS") or REPOSITORY / "results")


def digest(record: dict) -> str:
    """SHA-256 over a record's canonical JSON, its own digest left out."""
    content = {key: value for key, value in record.items() if key != "digest"}
    return hashlib.sha256(json.dumps(content, sort_keys=True, allow_nan=False).encode()).hexdigest()


@dataclass(frozen=True)
class Store:
    """The records under one folder: `<root>/<preset>/runs/*.json` and `<root>/<preset>/posteriors/*.npz`."""

    root: Path

    def record_path(self, run: Run) -> Path:
        return self.root / run.preset / "runs" / f"{run.run_id}.json"

    def posteriors_path(self, run: Run) -> Path:
        return self.root / run.preset / "posteriors" / f"{run.run_id}.npz"

    def checkpoint_path(self, run: Run) -> Path:
        return self.root / run.preset / "checkpoints" / f"{run.experiment_id}.safetensors"

    def check_writable(self, preset: str) -> None:
        """OSError when a record could not be written, before any work is done for it."""
        try:
            for part in ("runs", "posteriors", "checkpoints"):
                folder = self.root / preset / part
                folder.mkdir(parents=True, exist_ok=True)
                sweep(folder)
                tempfile.TemporaryFile(dir=folder).close()
        except OSError as error:
            raise OSError(
                f"the results folder {self.root / preset} cannot be written ({error.strerror}): choose another with "
                "--results."
            ) from error

    def write(
        self, run: Run, record: dict, posteriors: np.ndarray | None = None, labels: np.ndarray | None = None
    ) -> dict:
        """Save posteriors, then the record that vouches for them; returns the record with its digests."""
        record = {**record, "posteriors_sha256": None}
        if posteriors is not None:
            buffer = io.BytesIO()
            np.savez_compressed(buffer, posteriors=posteriors, labels=labels)
            write_atomically(self.posteriors_path(run), buffer.getvalue())
            record["posteriors_sha256"] = _array_digest(posteriors, labels)
        record["digest"] = digest(record)
        write_atomically(self.record_path(run), (json.dumps(record, indent=1, allow_nan=False) + "\n").encode())
        return record

    def read(self, run: Run) -> dict | None:
        """The record of a run, None where it has not been made.

        Raises ValueError, naming the file, for one that is broken, altered, of another schema, or made with other
        settings.
        """
        path = self.record_path(run)
        try:
            record = json.loads(path.read_text())
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"the record {path} is not JSON ({error}): delete it and run again.") from error
        _check(record, path)
        for part, ours in (("experiment", as_dict(run.experiment)), ("protocol", as_dict(run.protocol))):
            changed = [key for key in {**record[part], **ours} if record[part].get(key) != ours.get(key)]
            if changed:
                was = ", ".join(f"{key} was {record[part].get(key)} and is {ours.get(key)}" for key in changed)
                raise ValueError(
                    f"the record {path} was made with other settings ({was}): move it away, or pass another --results."
                )
        return record

    def posteriors(self, run: Run) -> tuple[np.ndarray, np.ndarray]:
        """Posteriors (N, classes) float16 and labels (N,) of a finished run; ValueError when they do not fit its
        record.
        """
        path = self.posteriors_path(run)
        record = self.read(run)
        if record is None or not path.exists():
            raise ValueError(f"there are no posteriors of {run.run_id} in {self.root}: run it first.")
        try:
            with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                posteriors, labels = file["posteriors"], file["labels"]
        except (zipfile.BadZipFile, KeyError, ValueError, EOFError) as error:
            raise ValueError(f"the posteriors {path} are damaged ({error}): delete them and their record.") from error
        if _array_digest(posteriors, labels) != record["posteriors_sha256"]:
            raise ValueError(f"the posteriors {path} do not match their record: delete both and run again.")
        return posteriors, labels

    def seeds(self, preset: str) -> tuple[int, ...]:
        """The seeds of which a preset has records made with its own recipe."""
        names = [path.stem for path in (self.root / preset / "runs").glob("*.json")]
        return tuple(sorted({int(found[1]) for name in names if (found := _OWN_RECIPE.fullmatch(name))}))

    def rows(self, runs: list[Run]) -> pd.DataFrame:
        """One row per run of a plan, in its order: settings, status (done, failed or not run), errors, history,
        environment.
        """
        return pd.DataFrame([self._row(run) for run in runs])

    def _row(self, run: Run) -> dict:
        record = self.read(run) or {"status": "not run", "environment": {}, "history": []}
        return {
            "run_id": run.run_id,
            "preset": run.preset,
            "net": run.experiment.net,
            "train_scale": str(run.experiment.train_scale),
            "test_scales": str(run.protocol.test_scale),
            "method": run.protocol.method,
            "seed": run.experiment.seed,
            "from_a": run.experiment.from_a,
            **{
                key: record.get(key)
                for key in (
                    "status",
                    "error",
                    "n_images",
                    "n_classes",
                    "top1_error_percent",
                    "top5_error_percent",
                    "history",
                    "environment",
                )
            },
        }


def _array_digest(*arrays: np.ndarray) -> str:
    total = hashlib.sha256()
    for array in arrays:
        total.update(f"{array.dtype} {array.shape}".encode())
        total.update(np.ascontiguousarray(array))
    return total.hexdigest()


def _check(record: dict, path: Path) -> None:
    if not isinstance(record, dict) or record.get("schema") != SCHEMA:
        found = record.get("schema") if isinstance(record, dict) else None
        raise ValueError(f"the record {path} has schema {found} where this version reads {SCHEMA}: run it again.")
    odd = sorted(set(record) ^ set(FIELDS))
    if odd:
        raise ValueError(f"the record {path} has missing or foreign fields ({', '.join(odd)}): run it again.")
    if record["digest"] != digest(record):
        raise ValueError(f"the record {path} was changed after it was written (its digest differs): run it again.")


def paper(name: str = "classification") -> pd.DataFrame:
    """The paper's numbers, as in `results/paper/<name>.csv`; scales as text, since a jittered S is a range."""
    return pd.read_csv(PAPER / f"{name}.csv", dtype={"train_scale": str, "test_scales": str})
