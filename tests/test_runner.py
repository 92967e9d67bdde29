import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vgglib import checkpoints, runner
from vgglib.experiments import plan
from vgglib.metrics import error_percent
from vgglib.progress import Log, Progress, Silent, Terminal, minutes
from vgglib.results import Store


@pytest.fixture
def images(monkeypatch, two_colours):
    monkeypatch.setattr(runner, "load_images", lambda *_: two_colours)
    return two_colours


def small(nets=("A",), **changes):
    return plan("smoke", "all", nets, [0], **{"resolution": 1 / 7, "batch_size": 16, "precision": "fp32", **changes})


def run(runs, **settings):
    return runner.run(runs, **{"device": "cpu", "jobs": 1, "threads": 1, "display": Silent(), **settings})


def test_a_record_says_what_was_done_and_agrees_with_its_posteriors(images, tmp_path):
    runs = small()
    rows = run(runs, results=tmp_path)
    assert rows["status"].tolist() == ["done"]
    store = Store(tmp_path)
    record = store.read(runs[0])
    posteriors, labels = store.posteriors(runs[0])
    assert np.array_equal(labels, images.val.labels)
    assert record["top1_error_percent"] == error_percent(posteriors, labels)
    assert record["n_images"] == 20 and len(record["history"]) == 2
    environment = record["environment"]
    assert environment["data_sha256"] == images.digest and environment["precision"] == "fp32"
    assert environment["threads"] == 1 and environment["seconds"] >= environment["training_seconds"] > 0
    assert store.checkpoint_path(runs[0]).exists()


def test_records_that_exist_are_reused(images, tmp_path, monkeypatch):
    run(small(), results=tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.json")}
    monkeypatch.setattr(runner, "train", None)  # would fail if called
    assert run(small(), results=tmp_path)["status"].tolist() == ["done"]
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.json")} == before


def test_a_diverged_run_is_recorded_shown_and_repeated_only_if_asked(images, tmp_path):
    runs = small(learning_rate=1e6)
    assert run(runs, results=tmp_path)["status"].tolist() == ["failed"]
    record = Store(tmp_path).read(runs[0])
    assert "loss is nan" in record["error"] and record["top1_error_percent"] is None
    started = record["environment"]["started_utc"]
    time.sleep(1.1)
    run(runs, results=tmp_path)
    assert Store(tmp_path).read(runs[0])["environment"]["started_utc"] == started
    run(runs, results=tmp_path, retry_failed=True)
    assert Store(tmp_path).read(runs[0])["environment"]["started_utc"] != started


def test_a_time_budget_stops_cleanly_and_the_next_call_goes_on(images, tmp_path, monkeypatch):
    assert run(small(), results=tmp_path, max_minutes=0)["status"].tolist() == ["not run"]
    assert not list(tmp_path.rglob("*.safetensors"))
    checkpoint = Store(tmp_path).checkpoint_path(small()[0])
    with monkeypatch.context() as patched:  # the budget runs out during the first epoch
        patched.setattr("time.monotonic", lambda: 61.0 if checkpoint.exists() else 0.0)
        assert run(small(), results=tmp_path, max_minutes=1)["status"].tolist() == ["not run"]
    assert checkpoint.exists()
    assert run(small(), results=tmp_path)["status"].tolist() == ["done"]


def test_two_workers_give_the_same_errors_as_one(images, tmp_path):
    runs = small(("A", "B"))
    one = run(runs, results=tmp_path / "one")
    two = run(runs, results=tmp_path / "two", jobs=2)
    for column in ("net", "status", "top1_error_percent"):
        assert one[column].tolist() == two[column].tolist()
    posteriors = [Store(tmp_path / name).posteriors(runs[1])[0] for name in ("one", "two")]
    assert np.array_equal(*posteriors)


def test_a_net_that_starts_from_a_trains_a_first_and_keeps_its_record(images, tmp_path):
    runs = small(("E",), from_a=True)
    donor = runs[0].donor
    assert donor.experiment.net == "A" and not donor.experiment.from_a
    assert run(runs, results=tmp_path)["net"].tolist() == ["E"]
    store = Store(tmp_path)
    first = store.read(donor)
    assert first["status"] == "done"
    # The weights are lost, the records kept, as in a fresh copy of the repository: A is trained anew, its record stays.
    store.checkpoint_path(donor).unlink()
    store.record_path(runs[0]).unlink()
    run(runs, results=tmp_path)
    assert store.read(donor) == first and store.checkpoint_path(donor).exists()


def test_a_net_does_not_start_from_an_a_that_failed(images, tmp_path):
    rows = run(small(("A", "E"), from_a=True, learning_rate=1e6), results=tmp_path)
    assert dict(zip(rows["net"], rows["status"], strict=True)) == {"A": "failed", "E": "not run"}


def test_records_of_other_images_are_refused(images, tmp_path, monkeypatch, two_colours):
    run(small(), results=tmp_path)
    other = replace(two_colours, class_names=("cat", "dog"))
    monkeypatch.setattr(runner, "load_images", lambda *_: other)
    with pytest.raises(ValueError, match="made from other images"):
        run(small(("A", "B")), results=tmp_path)


def test_bad_folders_are_refused_before_any_training(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "_execute_all", None)
    with pytest.raises(ValueError, match="the data folder /nowhere does not exist"):
        run(plan("tiny-imagenet", "3"), data_dir="/nowhere", results=tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="cannot be written"):
        run(small(), results=tmp_path / "file")


def test_a_run_killed_at_any_moment_loses_no_record_and_goes_on(tmp_path):
    """Kills the real command at several moments: records stay as they were, and nothing is half-written."""
    command = [sys.executable, "-m", "vgglib", "run", "--preset", "smoke", "--nets", "A,B", "--jobs", "1", "--threads"]
    command += ["1", "--device", "cpu", "--epochs", "3", "--results", str(tmp_path)]
    finished: dict[Path, bytes] = {}
    for seconds in (4.5, 6, 7.5):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
        time.sleep(seconds)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for path in finished:
            assert path.read_bytes() == finished[path]
        finished = {path: path.read_bytes() for path in tmp_path.rglob("*.json")}
        for path in tmp_path.rglob("*.safetensors"):
            checkpoints.read(path)  # whole, whenever it is there
        for content in finished.values():
            assert json.loads(content)["status"] == "done"
    subprocess.run(command, check=True, capture_output=True)
    records = {path.name: json.loads(path.read_text()) for path in tmp_path.rglob("*.json")}
    assert len(records) == 2 and all(len(record["history"]) == 3 for record in records.values())
    assert all((path.read_bytes() == content) for path, content in finished.items())


def test_time_left_and_the_line_of_a_log(capsys, monkeypatch):
    assert [minutes(59.6), minutes(61), minutes(3661)] == ["1:00", "1:01", "1:01:01"]
    log = Log()
    monkeypatch.setattr(sys, "__stderr__", sys.stderr)
    log.plan({"A": 1.0, "E": 3.0})
    log.event(runner.Event("A", "started"))
    log.event(runner.Event("A", "done", top1_error_percent=12.34))
    assert log.state.done == 0.25
    log.event(runner.Event("E", "training", Progress(50, 100, 1, 2, 10.0, 2.5, None)))
    assert log.state.done == 0.25 + 0.375
    assert "A done, top-1 error 12.3 %" in capsys.readouterr().err
    assert log.state.line().endswith("E epoch 1/2 10 img/s loss 2.50")


def test_the_terminals_bars_take_every_event(capsys):
    with Terminal() as shown:
        shown.plan({"A": 1.0})
        shown.event(runner.Event("A", "started"))
        shown.event(runner.Event("A", "training", Progress(50, 100, 1, 2, 10.0, 2.5, 40.0)))
        shown.event(runner.Event("A", "failed"))
        assert shown.state.done == 1
    assert "failed" in capsys.readouterr().err
