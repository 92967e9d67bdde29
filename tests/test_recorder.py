from dataclasses import replace

import numpy as np
import pytest
import torch
from small_runs import run, small

from vgglib import devices, evaluate, weights
from vgglib.experiments import Protocol
from vgglib.metrics import error_percent
from vgglib.results import Store, timed_on
from vgglib.running import recorder, tasks
from vgglib.train import _Training
from vgglib.training import checkpoints, resume


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
    assert timed_on(environment) != timed_on(environment | {"precision": "bf16"})  # which does not take as long
    assert len(record["weights_sha256"]) == 64
    assert store.checkpoint_path(runs[0]).exists()


@pytest.mark.skipif(not devices.compiles(torch.device("cpu")), reason="no C++ compiler or no headers of Python")
def test_a_long_test_is_compiled_and_says_so(images, tmp_path, monkeypatch):
    asked = []

    def posteriors(*arguments, compiled, **settings):
        asked.append(compiled)
        return evaluate.posteriors(*arguments, **settings)

    monkeypatch.setattr(recorder, "posteriors", posteriors)
    (run_,) = small()[0].runs
    (task,) = tasks.needed([run_], Store(tmp_path), False)
    work = task.macs(images)[1]
    for number, (limit, compiled) in enumerate(((work, True), (work + 1, False))):
        monkeypatch.setattr(recorder, "COMPILE_FROM", limit)
        run(small(), results=tmp_path / str(number))
        assert Store(tmp_path / str(number)).read(run_)["environment"]["compiled"] is compiled
    assert asked == [True, False]


def test_scores_that_are_no_numbers_fail_their_own_protocol_only(images, tmp_path, monkeypatch):
    def posteriors(model, split, *arguments, **settings):
        found = evaluate.posteriors(model, split, *arguments, **settings)
        return found * np.nan if split.smallest_side == round(256 / 7) else found

    (entry,) = small(("B",), "4")
    checkpoint = Store(tmp_path).checkpoint_path(entry.runs[0])
    with monkeypatch.context() as patched:
        patched.setattr(recorder, "posteriors", posteriors)
        assert run([entry], results=tmp_path)["status"].tolist() == ["failed"]
    made = [Store(tmp_path).read(single) for single in entry.runs]
    assert [record["status"] for record in made] == ["done", "failed", "done"]
    assert made[1]["error"] == "B_S256_seed0: the scores of the trained net are not numbers"
    # The trained net stays, and a retry repeats the test alone.
    trained = checkpoint.read_bytes()
    monkeypatch.setattr(_Training, "epoch", None)  # would fail if called
    assert run([entry], results=tmp_path, retry_failed=True)["status"].tolist() == ["done"]
    assert checkpoint.read_bytes() == trained and Store(tmp_path).read(entry.runs[0]) == made[0]


def test_the_time_of_a_test_is_that_of_its_posteriors(images, tmp_path, monkeypatch):
    now = [0.0]
    own = weights.digest

    def clock():
        now[0] += 1e-3
        return now[0]

    def slow(model):
        now[0] += 100
        return own(model)

    def posteriors(*arguments, **settings):
        now[0] += 3
        return evaluate.posteriors(*arguments, **settings)

    monkeypatch.setattr(recorder.time, "perf_counter", clock)
    monkeypatch.setattr(weights, "digest", slow)
    monkeypatch.setattr(recorder, "posteriors", posteriors)
    run(small(), results=tmp_path)
    assert Store(tmp_path).read(small()[0].runs[0])["environment"]["evaluation_seconds"] == pytest.approx(3, abs=1)


def test_a_trained_net_whose_only_test_failed_has_not_failed_in_training(images, tmp_path, monkeypatch):
    (entry,), store = small(), Store(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(recorder, "posteriors", lambda *_, **__: np.full((len(images.val), 2), np.nan))
        assert run([entry], results=tmp_path)["status"].tolist() == ["failed"]
    assert store.failed_training(entry.runs[0]) is None
    other = replace(entry, runs=(replace(entry.runs[0], protocol=Protocol(288)),))
    assert run([other], results=tmp_path)["status"].tolist() == ["done"]


def test_a_finished_net_is_tested_in_another_arithmetic_and_its_record_says_how_it_was_trained(
    images, tmp_path, monkeypatch
):
    run(small(), results=tmp_path)
    (tested,), store = small()[0].runs, Store(tmp_path)
    store.record_path(tested).unlink()
    tensors, state = checkpoints.read(store.checkpoint_path(tested))
    state["arithmetic"] = "bf16 on cuda, gradients in bf16, compiled"
    checkpoints.write(store.checkpoint_path(tested), tensors, resume.sealed(tensors, state))
    monkeypatch.setattr(_Training, "epoch", None)  # would fail if called
    assert run(small(), results=tmp_path)["status"].tolist() == ["done"]
    environment = store.read(tested)["environment"]
    assert environment["updates_compiled"] and environment["bf16_gradients"]
    assert environment["trained_in"] == state["arithmetic"]
    assert environment["device"] == "cpu" and environment["precision"] == "fp32"
