import json
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from small_runs import interrupted, lasting, run, small

from vgglib import devices
from vgglib.experiments import Protocol
from vgglib.results import Store
from vgglib.running import tasks, worker
from vgglib.running.progress import Silent
from vgglib.running.worker import Worker
from vgglib.train import _Training
from vgglib.training import checkpoints
from vgglib.training.distributed import Division


def test_what_does_not_fit_a_gpu_is_one_sentence(images, tmp_path, monkeypatch):
    def full(self):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3.06 GiB. GPU 0 has\nmore to say.")

    monkeypatch.setattr(_Training, "_steps", full)
    with pytest.raises(ValueError, match=r"A_S256_seed0_\S+ takes more memory than the GPU has free: .*") as caught:
        run(small(), results=tmp_path)
    said = str(caught.value)
    assert "`vgg run` with --images-per-pass, which takes a batch of 16 in parts" in said and "\n" not in said
    assert "--batch-size" in said and "can be tested with --device cpu (device in a notebook)" in said


def test_what_would_fill_the_memory_is_refused_before_it_does(images, tmp_path, monkeypatch):
    monkeypatch.setattr(devices, "free_memory", lambda where: 1000)
    with pytest.raises(ValueError, match=r"A_S256_seed0_\S+ takes 0.\d GB at least and 0.0 are free: .*--width"):
        run(small(), results=tmp_path)
    assert not list(tmp_path.rglob("*.safetensors"))


def test_free_memory_is_the_least_of_what_the_system_says(tmp_path, monkeypatch):
    (tmp_path / "meminfo").write_text("MemTotal:       24683672 kB\nMemAvailable:    2000 kB\n")
    (tmp_path / "max").write_text("max\n")
    names = ("meminfo", "max")
    given = [(tmp_path / name, *how) for name, (_, *how) in zip(names, devices.MEMORY, strict=True)]
    monkeypatch.setattr(devices, "MEMORY", [*given, (tmp_path / "none", "x", 1)])
    assert devices.free_memory(torch.device("cpu")) == 2000 * 1024
    (tmp_path / "max").write_text("1000\n")
    assert devices.free_memory(torch.device("cpu")) == 1000
    monkeypatch.setattr(devices, "MEMORY", [])
    assert devices.free_memory(torch.device("cpu")) == math.inf


def test_a_training_keeps_the_threads_that_it_began_with(images, tmp_path, monkeypatch):
    (entry,) = small()
    first, store = entry.runs[0], Store(tmp_path)
    begin = Worker(None, "cpu", 1, store, math.inf, retry_failed=False)
    assert begin._threads(first) == 1
    run([entry], results=tmp_path, threads=2)
    monkeypatch.setattr(devices, "cores", lambda: 2)
    assert begin._threads(first) == 2 and replace(begin, threads_asked=True)._threads(first) == 1
    monkeypatch.setattr(devices, "cores", lambda: 1)
    assert begin._threads(first) == 1
    monkeypatch.setattr(devices, "cores", lambda: 2)
    checkpoints.set_aside(store.checkpoint_path(first))  # its record remains
    assert begin._threads(first) == 2
    store.record_path(first).unlink()
    assert begin._threads(first) == 1


def test_threads_of_a_training_are_not_those_of_its_tests(images, tmp_path, monkeypatch):
    (entry,) = small()
    first, store = entry.runs[0], Store(tmp_path)
    monkeypatch.setattr(devices, "cores", lambda: 2)
    run([entry], results=tmp_path, threads=2)
    other = replace(first, protocol=Protocol(224))
    run([replace(entry, runs=(other,))], results=tmp_path, threads=1)
    environments = [store.read(tested)["environment"] for tested in (first, other)]
    assert [found["training_threads"] for found in environments] == [2, 2]
    begin = Worker(None, "cpu", 1, store, math.inf, retry_failed=False)
    checkpoints.set_aside(store.checkpoint_path(first))
    store.record_path(first).unlink()
    assert begin._threads(first) == 2  # of the record of a test on one thread


def test_a_net_that_has_begun_needs_no_donor(images, tmp_path):
    (entry,) = small(("E",), from_a=True)
    whole, store = entry.runs[0], Store(tmp_path)
    run([entry], results=tmp_path)
    checkpoints.set_aside(store.checkpoint_path(whole.donor))
    other = replace(whole, protocol=Protocol(288))
    assert [task.run.experiment.net for task in tasks.needed([other], store, False)] == ["E"]
    checkpoints.set_aside(store.checkpoint_path(whole))
    assert {task.run.experiment.net for task in tasks.needed([other], store, False)} == {"A", "E"}


def test_a_donor_that_another_process_trains_is_left_to_it(images, tmp_path):
    (entry,) = small(("E",), from_a=True)
    donor = entry.runs[0].donor
    path = Store(tmp_path).checkpoint_path(donor)
    interrupted(donor.experiment, images, path)
    before = path.read_bytes()
    with FileLock(f"{path}.lock"):
        assert run([entry], results=tmp_path, max_minutes=0.05)["status"].tolist() == ["not run"]
        assert path.read_bytes() == before
    assert run([entry], results=tmp_path)["status"].tolist() == ["done"]
    assert Store(tmp_path).read(donor)["status"] == "done"


def test_a_donor_that_another_process_tests_may_be_read(images, tmp_path):
    (entry,) = small(("E",), from_a=True)
    store, donor = Store(tmp_path), entry.runs[0].donor
    run(small(("A",)), results=tmp_path)
    with FileLock(f"{store.checkpoint_path(donor)}.lock"):
        assert run([entry], results=tmp_path)["status"].tolist() == ["done"]


def test_a_donor_whose_training_was_interrupted_is_a_task_of_its_own(images, tmp_path):
    (entry,) = small(("E",), from_a=True)
    store, donor = Store(tmp_path), entry.runs[0].donor
    run(small(("A",)), results=tmp_path)
    assert [task.name for task in tasks.needed(entry.runs, store, False)] == [entry.runs[0].experiment_id]
    # Its weights are lost, and training it anew was interrupted.
    checkpoints.set_aside(store.checkpoint_path(donor))
    interrupted(donor.experiment, images, store.checkpoint_path(donor))
    missing = {task.name: task.missing for task in tasks.needed(entry.runs, store, False)}
    assert missing == {entry.runs[0].experiment_id: entry.runs, donor.experiment_id: ()}
    assert run([entry], results=tmp_path)["status"].tolist() == ["done"]
    assert len(checkpoints.read(store.checkpoint_path(donor))[1]["history"]) == 2


def test_processes_that_wait_for_a_lock_hear_of_each_other_meanwhile(images, tmp_path, monkeypatch):
    (entry,) = small()
    path = f"{Store(tmp_path).checkpoint_path(entry.runs[0])}.lock"
    Path(path).parent.mkdir(parents=True)
    other, answers = FileLock(path), []

    def agree(self, value):
        answers.append(value)
        if answers.count((False, False)) == 3:
            other.release()
        return value

    monkeypatch.setattr(Division, "agree", agree)
    monkeypatch.setattr(worker, "LOCK_SECONDS", 0.01)
    other.acquire()
    assert run([entry], results=tmp_path, max_minutes=1)["status"].tolist() == ["done"]
    assert answers.count((False, False)) == 3 and (True, False) in answers


def test_a_training_that_another_process_is_at_is_left_to_it_and_awaited(images, tmp_path):
    (entry,) = small()
    path = f"{Store(tmp_path).checkpoint_path(entry.runs[0])}.lock"
    Path(path).parent.mkdir(parents=True)
    heard = []

    class Heard(Silent):
        def show(self, event):
            heard.append(event.kind)
            if event.kind == "waiting":
                other.release()

    other = FileLock(path)
    other.acquire()
    assert run([entry], results=tmp_path, display=Heard())["status"].tolist() == ["done"]
    assert heard[:2] == ["waiting", "started"] and heard[-1] == "done"


def test_a_failure_that_another_process_recorded_is_not_repeated(images, tmp_path, monkeypatch):
    (entry,) = small(learning_rate=1e6)
    record, here = (Store(tmp_path / name).record_path(entry.runs[0]) for name in ("there", "here"))
    run([entry], results=tmp_path / "there")
    other = FileLock(f"{Store(tmp_path / 'here').checkpoint_path(entry.runs[0])}.lock")
    Path(other.lock_file).parent.mkdir(parents=True)

    class Failing(Silent):
        def show(self, event):
            if event.kind == "waiting":
                here.write_bytes(record.read_bytes())
                other.release()

    other.acquire()
    monkeypatch.setattr(_Training, "epoch", None)  # would fail if called
    assert run([entry], results=tmp_path / "here", display=Failing())["status"].tolist() == ["failed"]


def test_two_runners_share_a_folder(tmp_path):
    command = [sys.executable, "-m", "vgglib", "run", "--preset", "smoke", "--table", "3", "--train-scales", "256"]
    command += ["--nets", "A,B", "--jobs", "1", "--threads", "1", "--device", "cpu", "--results", str(tmp_path)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=300) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    # Whoever tests a net says its error; to the other it is done.
    tested = [line.split()[0] for _, log in said for line in log.splitlines() if "top-1 error" in line]
    assert sorted(tested) == ["A_S256_seed0", "B_S256_seed0"]
    assert len(list(tmp_path.rglob("*.json"))) == 2
    assert said[0][0] == said[1][0] and "2 not run" not in said[0][0]  # the same table


def test_a_run_killed_in_each_stage_loses_no_record_and_ends_with_the_same_bits(tmp_path):
    """Kills the real command when each stage has a checkpoint, then lets it end: records equal those of a whole run."""
    command = [sys.executable, "-m", "vgglib", "run", "--preset", "smoke", "--table", "jitter", "--nets", "C"]
    command += ["--jobs", "1", "--threads", "1", "--device", "cpu", "--epochs", "3", "--results"]
    subprocess.run([*command, str(tmp_path / "whole")], check=True, capture_output=True)
    command.append(str(tmp_path / "killed"))
    finished: dict[Path, bytes] = {}
    for stage in ("S256", "S384", "S256-512"):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
        while process.poll() is None and not list(tmp_path.glob(f"killed/*/checkpoints/C_{stage}_*.safetensors")):
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        assert {path: path.read_bytes() for path in finished} == finished
        finished = {path: path.read_bytes() for path in (tmp_path / "killed").rglob("*.json")}
        for path in (tmp_path / "killed").rglob("*.safetensors"):
            checkpoints.read(path)  # whole, whenever it is there
    subprocess.run(command, check=True, capture_output=True)
    assert {path: path.read_bytes() for path in finished} == finished
    made = [
        {path.name: lasting(json.loads(path.read_text())) for path in (tmp_path / name).rglob("*.json")}
        for name in ("whole", "killed")
    ]
    assert len(made[0]) == 4 and made[0] == made[1]  # the donor at S = 256 has its record, too
