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
import torch
from filelock import FileLock
from test_train import interrupted

from vgglib import checkpoints, devices, evaluate, runner
from vgglib.distributed import Division
from vgglib.experiments import Protocol, plan
from vgglib.metrics import error_percent
from vgglib.progress import Log, Progress, Silent, Terminal, minutes
from vgglib.results import Store
from vgglib.train import _Training


@pytest.fixture
def images(monkeypatch, two_colours):
    monkeypatch.setattr(runner, "load_images", lambda *_: two_colours)
    return two_colours


def small(nets=("A",), table="3", train_scales=("256",), **changes):
    usual = {"resolution": 1 / 7, "batch_size": 16, "precision": "fp32"}
    return plan("smoke", table, nets, [0], train_scales, **{**usual, **changes})


def run(runs, **settings):
    return runner.run(runs, **{"device": "cpu", "jobs": 1, "threads": 1, "display": Silent(), **settings})


def test_a_record_says_what_was_done_and_agrees_with_its_posteriors(images, tmp_path):
    entries = small()
    rows = run(entries, results=tmp_path)
    runs = entries[0].runs
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
    assert 0 < environment["evaluation_seconds"] < environment["seconds"]
    assert len(record["weights_sha256"]) == 64
    assert store.checkpoint_path(runs[0]).exists()


def test_updates_that_cannot_be_compiled_are_refused_before_any_training(images, tmp_path, monkeypatch):
    monkeypatch.setattr(devices, "compiles", lambda where, precision: False)
    with pytest.raises(ValueError, match="cannot be compiled on this cpu"):
        run(small(), results=tmp_path, compiled=True)
    with pytest.raises(ValueError, match="a batch in one pass"):
        run(small(), results=tmp_path, compiled=True, images_per_pass=8)
    assert not list(tmp_path.rglob("*.json")) and not list(tmp_path.rglob("*.safetensors"))


@pytest.mark.skipif(not devices.compiles(torch.device("cpu")), reason="no C++ compiler or no headers of Python")
def test_a_long_test_is_compiled_and_says_so(images, tmp_path, monkeypatch):
    asked = []

    def posteriors(*arguments, compiled, **settings):
        asked.append(compiled)
        return evaluate.posteriors(*arguments, **settings)

    monkeypatch.setattr(runner, "posteriors", posteriors)
    (run_,) = small()[0].runs
    (task,) = runner._tasks([run_], Store(tmp_path), False)
    work = runner._work(task, images)[1]
    for number, (limit, compiled) in enumerate(((work, True), (work + 1, False))):
        monkeypatch.setattr(runner, "COMPILE_FROM", limit)
        run(small(), results=tmp_path / str(number))
        assert Store(tmp_path / str(number)).read(run_)["environment"]["compiled"] is compiled
    assert asked == [True, False]


def test_records_that_exist_are_reused(images, tmp_path, monkeypatch):
    run(small(), results=tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.json")}
    monkeypatch.setattr(runner, "train", None)  # would fail if called
    assert run(small(), results=tmp_path)["status"].tolist() == ["done"]
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.json")} == before


def test_a_diverged_run_is_recorded_shown_and_repeated_only_if_asked(images, tmp_path):
    entries = small(learning_rate=1e6)
    failed = entries[0].runs[0]
    assert run(entries, results=tmp_path)["status"].tolist() == ["failed"]
    record = Store(tmp_path).read(failed)
    assert "loss is nan" in record["error"] and record["top1_error_percent"] is None
    started = record["environment"]["started_utc"]
    time.sleep(1.1)
    run(entries, results=tmp_path)
    assert Store(tmp_path).read(failed)["environment"]["started_utc"] == started
    run(entries, results=tmp_path, retry_failed=True)
    assert Store(tmp_path).read(failed)["environment"]["started_utc"] != started


def test_a_diverged_training_is_set_aside_and_a_retry_begins_anew(images, tmp_path, monkeypatch):
    (entry,) = small()
    path = Store(tmp_path / "own").checkpoint_path(entry.runs[0])
    steps = _Training._steps

    def diverging(self):
        steps(self)
        if self.history:
            self.updates.total.fill_(np.nan)

    with monkeypatch.context() as patched:
        patched.setattr(_Training, "_steps", diverging)
        assert run([entry], results=tmp_path / "own")["error"].tolist() == [
            f"{entry.runs[0].experiment.name}: the training loss is nan in epoch 2"
        ]
    (kept,) = path.parent.glob("*.safetensors")
    assert kept.name.endswith(".diverged.safetensors") and len(checkpoints.read(kept)[1]["history"]) == 1
    assert run([entry], results=tmp_path / "own", retry_failed=True)["status"].tolist() == ["done"]
    run([entry], results=tmp_path / "whole")
    records = [Store(tmp_path / name).read(entry.runs[0]) for name in ("own", "whole")]
    assert records[0]["weights_sha256"] == records[1]["weights_sha256"]


def test_what_does_not_fit_a_gpu_is_one_sentence(images, tmp_path, monkeypatch):
    def full(self):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3.06 GiB. GPU 0 has\nmore to say.")

    monkeypatch.setattr(_Training, "_steps", full)
    with pytest.raises(ValueError, match=r"A_S256_seed0_\S+ takes more memory than its GPU has free: .*") as caught:
        run(small(), results=tmp_path)
    said = str(caught.value)
    assert "--images-per-pass" in said and "a batch of 16" in said and "--batch-size" in said and "\n" not in said


def test_a_time_budget_stops_cleanly_and_the_next_call_goes_on(images, tmp_path, monkeypatch):
    assert run(small(), results=tmp_path, max_minutes=0)["status"].tolist() == ["not run"]
    assert not list(tmp_path.rglob("*.safetensors"))
    checkpoint = Store(tmp_path).checkpoint_path(small()[0].runs[0])
    with monkeypatch.context() as patched:  # the budget runs out during the first epoch
        patched.setattr("time.time", lambda: 61.0 if checkpoint.exists() else 0.0)
        assert run(small(), results=tmp_path, max_minutes=1)["status"].tolist() == ["not run"]
    assert checkpoint.exists()
    assert run(small(), results=tmp_path)["status"].tolist() == ["done"]


def test_scores_that_are_no_numbers_fail_their_own_protocol_only(images, tmp_path, monkeypatch):
    def posteriors(model, split, *arguments, **settings):
        found = evaluate.posteriors(model, split, *arguments, **settings)
        return found * np.nan if split.smallest_side == round(256 / 7) else found

    (entry,) = small(("B",), "4")
    checkpoint = Store(tmp_path).checkpoint_path(entry.runs[0])
    with monkeypatch.context() as patched:
        patched.setattr(runner, "posteriors", posteriors)
        assert run([entry], results=tmp_path)["status"].tolist() == ["failed"]
    records = [Store(tmp_path).read(single) for single in entry.runs]
    assert [record["status"] for record in records] == ["done", "failed", "done"]
    assert records[1]["error"] == "B_S256_seed0: the scores of the trained net are not numbers"
    # The trained net stays, and a retry repeats the test alone.
    trained = checkpoint.read_bytes()
    monkeypatch.setattr(_Training, "epoch", None)  # would fail if called
    assert run([entry], results=tmp_path, retry_failed=True)["status"].tolist() == ["done"]
    assert checkpoint.read_bytes() == trained and Store(tmp_path).read(entry.runs[0]) == records[0]


def test_a_time_budget_stops_an_evaluation_too(images, tmp_path, monkeypatch):
    run(small(), results=tmp_path)
    record = Store(tmp_path).record_path(small()[0].runs[0])
    record.unlink()
    evaluating = []

    def posteriors(*arguments, **settings):
        evaluating.append(True)
        return evaluate.posteriors(*arguments, **settings)

    with monkeypatch.context() as patched:
        patched.setattr(runner, "posteriors", posteriors)
        patched.setattr("time.time", lambda: 61.0 if evaluating else 0.0)
        assert run(small(), results=tmp_path, max_minutes=1)["status"].tolist() == ["not run"]
    assert evaluating and not record.exists()
    assert run(small(), results=tmp_path)["status"].tolist() == ["done"]


def test_two_workers_give_the_same_errors_as_one(images, tmp_path):
    runs = small(("A", "B"))
    one = run(runs, results=tmp_path / "one", device="cpu")
    two = run(runs, results=tmp_path / "two", jobs=2, device="cpu")
    for column in ("net", "status", "top1_error_percent"):
        assert one[column].tolist() == two[column].tolist()
    posteriors = [Store(tmp_path / name).posteriors(runs[1].runs[0])[0] for name in ("one", "two")]
    assert np.array_equal(*posteriors)


def test_a_net_that_starts_from_a_trains_a_first_and_keeps_its_record(images, tmp_path):
    entries = small(("E",), from_a=True)
    donor = entries[0].runs[0].donor
    assert donor.experiment.net == "A" and donor.experiment.start is None
    assert run(entries, results=tmp_path)["net"].tolist() == ["E"]
    store = Store(tmp_path)
    first = store.read(donor)
    assert first["status"] == "done"
    # The weights are lost, the records kept, as in a fresh copy of the repository: A is trained anew, its record stays.
    store.checkpoint_path(donor).unlink()
    store.record_path(entries[0].runs[0]).unlink()
    run(entries, results=tmp_path)
    assert store.read(donor) == first and store.checkpoint_path(donor).exists()


def test_a_net_does_not_start_from_an_a_that_failed(images, tmp_path, monkeypatch, capsys):
    entries = small(("A", "E"), train_scales=("256", "384"), from_a=True, learning_rate=1e6)
    names = {(entry.net, entry.train_scale): entry.runs[0].experiment_id for entry in entries}
    failed = names["A", "256"]
    expected = [
        f"{name} was not run because {failed}, whose weights it needs, failed: repeat that with --retry-failed."
        for name in names.values()
        if name != failed
    ]
    for _ in range(2):
        rows = run(entries, results=tmp_path)
        assert rows["status"].tolist() == ["failed" if name == failed else "not run" for name in names.values()]
        assert capsys.readouterr().err.splitlines() == expected
        monkeypatch.setattr(runner, "_execute_all", None)  # would fail if called: there is nothing to do
    tasks = runner._tasks([entry.runs[0] for entry in entries], Store(tmp_path), retry_failed=True)
    assert {task.name for task in tasks} == set(names.values())


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
    assert [task.name for task in runner._tasks(entry.runs, store, False)] == [entry.runs[0].experiment_id]
    # Its weights are lost, and training it anew was interrupted.
    checkpoints.set_aside(store.checkpoint_path(donor))
    interrupted(donor.experiment, images, store.checkpoint_path(donor))
    tasks = {task.name: task.missing for task in runner._tasks(entry.runs, store, False)}
    assert tasks == {entry.runs[0].experiment_id: entry.runs, donor.experiment_id: ()}
    assert run([entry], results=tmp_path)["status"].tolist() == ["done"]
    assert len(checkpoints.read(store.checkpoint_path(donor))[1]["history"]) == 2


def test_stages_follow_each_other_and_every_protocol_is_evaluated_once(images, tmp_path):
    entries = [entry for entry in small(("D",), "all", None) if entry.table in ("3", "4", "5", "jitter")]
    rows = run(entries, results=tmp_path)
    assert set(rows["status"]) == {"done"}
    store = Store(tmp_path)
    jitter, control = (rows[(rows["table"] == "jitter") & (rows["train_scale"] == s)] for s in ("256-512", "384+384"))
    assert len(jitter.iloc[0]["history"]) == len(control.iloc[0]["history"]) == 1  # a third of two epochs
    weights = {store.read(r)["run_id"]: store.read(r)["weights_sha256"] for e in entries for r in e.runs}
    assert len(set(weights.values())) == 4  # the nets after each stage, and the control
    assert (
        weights["D_S256-512_seed0_batch_size=16_precision=fp32_resolution=0.142857_multi-crop_Q512"]
        == (weights["D_S256-512_seed0_batch_size=16_precision=fp32_resolution=0.142857_dense_Q384"])
    )


def test_a_further_protocol_needs_no_training(images, tmp_path, monkeypatch):
    run(small(), results=tmp_path)
    (entry,) = small()
    other = replace(entry, runs=(replace(entry.runs[0], protocol=Protocol(288, average="posteriors")),))
    monkeypatch.setattr(_Training, "epoch", None)  # would fail if called
    assert run([other], results=tmp_path)["status"].tolist() == ["done"]
    assert Store(tmp_path).record_path(other.runs[0]).stem.endswith("_dense_Q288_posteriors")


def test_a_finished_net_is_tested_in_another_arithmetic_and_its_record_says_how_it_was_trained(
    images, tmp_path, monkeypatch
):
    run(small(), results=tmp_path)
    (tested,), store = small()[0].runs, Store(tmp_path)
    store.record_path(tested).unlink()
    tensors, state = checkpoints.read(store.checkpoint_path(tested))
    state["arithmetic"] = "bf16 on cuda, gradients in bf16, compiled"
    checkpoints.write(store.checkpoint_path(tested), tensors, state)
    monkeypatch.setattr(_Training, "epoch", None)  # would fail if called
    assert run(small(), results=tmp_path)["status"].tolist() == ["done"]
    environment = store.read(tested)["environment"]
    assert environment["updates_compiled"] and environment["bf16_gradients"]
    assert environment["trained_in"] == state["arithmetic"]
    assert environment["device"] == "cpu" and environment["precision"] == "fp32"


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
    monkeypatch.setattr(runner, "LOCK_SECONDS", 0.01)
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
    started = [json.loads(path.read_text())["environment"]["started_utc"] for path in tmp_path.rglob("*.json")]
    assert len(started) == 2
    assert said[0][0] == said[1][0] and "2 not run" not in said[0][0]  # the same table


def test_records_of_other_images_are_refused(images, tmp_path, monkeypatch, two_colours):
    run(small(), results=tmp_path)
    other = replace(two_colours, class_names=("cat", "dog"))
    monkeypatch.setattr(runner, "load_images", lambda *_: other)
    with pytest.raises(ValueError, match="made from other images"):
        run(small(("A", "B")), results=tmp_path)


def test_records_of_another_arithmetic_are_refused_where_both_were_left_to_the_device(images, tmp_path, monkeypatch):
    run(small(precision="auto"), results=tmp_path)
    monkeypatch.setattr(devices, "precision", lambda asked, where: "fp32")
    with pytest.raises(ValueError, match=r"seed0_\S+ of preset smoke was computed in bf16, .* go on in fp32: pass"):
        run(small(("A", "B"), precision="auto"), results=tmp_path)
    assert run(small(precision="auto"), results=tmp_path)["status"].tolist() == ["done"]  # nothing is to be done


def test_a_cluster_and_jobs_are_refused_under_torchrun(monkeypatch, tmp_path):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="--backend dask gives every net to one process: start it without torchrun"):
        run(small(), results=tmp_path, backend="dask")
    with pytest.raises(ValueError, match="--jobs is 2: torchrun's processes share every net; leave --jobs out"):
        run(small(), results=tmp_path, jobs=2)


def test_bad_folders_are_refused_before_any_training(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "_execute_all", None)
    with pytest.raises(ValueError, match="the data folder /nowhere does not exist"):
        run(plan("tiny-imagenet", "3"), data_dir="/nowhere", results=tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="cannot be written"):
        run(small(), results=tmp_path / "file")


def lasting(record):
    """What must not depend on when, or how often interrupted, a record was made."""
    measured = ("seconds", "images_per_second", "peak_share")
    history = [{k: v for k, v in e.items() if k not in measured} for e in record["history"]]
    kept = {k: v for k, v in record.items() if k not in ("environment", "digest", "history")}
    return kept | {"history": history, "data": record["environment"]["data_sha256"]}


def test_a_run_killed_at_any_moment_loses_no_record_and_ends_with_the_same_bits(tmp_path):
    """Kills the real command at several moments, then lets it end: records equal those of an uninterrupted run."""
    command = [sys.executable, "-m", "vgglib", "run", "--preset", "smoke", "--table", "jitter", "--nets", "C"]
    command += ["--jobs", "1", "--threads", "1", "--device", "cpu", "--epochs", "3", "--results"]
    begun = time.monotonic()
    subprocess.run([*command, str(tmp_path / "whole")], check=True, capture_output=True)
    took = time.monotonic() - begun
    command.append(str(tmp_path / "killed"))
    finished: dict[Path, bytes] = {}
    for share in (0.5, 0.7, 0.8):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
        time.sleep(share * took)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert {path: path.read_bytes() for path in finished} == finished
        finished = {path: path.read_bytes() for path in (tmp_path / "killed").rglob("*.json")}
        for path in (tmp_path / "killed").rglob("*.safetensors"):
            checkpoints.read(path)  # whole, whenever it is there
    subprocess.run(command, check=True, capture_output=True)
    assert {path: path.read_bytes() for path in finished} == finished
    records = [
        {path.name: lasting(json.loads(path.read_text())) for path in (tmp_path / name).rglob("*.json")}
        for name in ("whole", "killed")
    ]
    assert len(records[0]) == 4 and records[0] == records[1]  # the donor at S = 256 has its record, too


def test_time_left_and_the_line_of_a_log(capsys, monkeypatch):
    assert [minutes(59.6), minutes(61), minutes(3661)] == ["1:00", "1:01", "1:01:01"]
    log = Log()
    monkeypatch.setattr(sys, "__stderr__", sys.stderr)
    log.plan({"A": 1.0, "E": 3.0})
    log.event(runner.Event("A", "started"))
    log.event(runner.Event("A", "done", top1_error_percent=12.34))
    assert log.state.done == 0.25
    log.event(runner.Event("E", "training", Progress(50, 100, 1, 2, 10.0, 2.5, None), share=0.5))
    assert log.state.done == 0.25 + 0.375
    assert "A done, top-1 error 12.3 %" in capsys.readouterr().err
    assert log.state.line().endswith("E epoch 1/2 10 img/s loss 2.50")
    log.event(runner.Event("E", "evaluating", share=0.9, text="dense_Q256"))
    assert log.state.line().endswith("E evaluating dense_Q256")


def test_the_terminals_bars_take_every_event(capsys):
    with Terminal() as shown:
        shown.plan({"A": 1.0})
        shown.event(runner.Event("A", "started"))
        shown.event(runner.Event("A", "training", Progress(50, 100, 1, 2, 10.0, 2.5, 40.0), share=0.4))
        shown.event(runner.Event("A", "evaluating", share=0.9, text="multi-crop_Q256"))
        shown.event(runner.Event("A", "failed"))
        assert shown.state.done == 1
    assert "failed" in capsys.readouterr().err


def test_runs_that_take_turns_need_no_package_of_those_that_do_not(tmp_path):
    """On a bare machine with a GPU there is PyTorch, and little of what books, clusters and conversions need."""
    absent = ("papermill", "fvcore", "joblib", "distributed", "dask", "ray", "IPython", "nvidia.dali", "psutil", "timm")
    absent += ("google.protobuf", "jupyter_book")
    command = ["vgg", "run", "--preset", "smoke", "--table", "3", "--nets", "A", "--train-scales", "256", "--jobs", "1"]
    code = f"import sys\nsys.modules |= dict.fromkeys({absent})\nsys.argv = {[*command, '--results', str(tmp_path)]}\n"
    code += "from vgglib.__main__ import main\nmain()"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert said.returncode == 0, said.stderr
    assert len(list(tmp_path.rglob("*.json"))) == 1
