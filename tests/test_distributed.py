import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from vgglib import devices
from vgglib.experiments import Experiment
from vgglib.models import VGG, Dropout
from vgglib.plans import plan
from vgglib.results import Store
from vgglib.train import train
from vgglib.training import checkpoints, distributed
from vgglib.training.distributed import ALONE, Division

CPU = torch.device("cpu")
# Four epochs of six steps: 24 updates, dropout and all.
COMMAND = ["-m", "vgglib", "run", "--preset", "smoke", "--table", "3", "--train-scales", "256", "--device", "cpu"]
COMMAND += ["--nets", "A", "--epochs", "4", "--precision", "fp32", "--threads", "1"]
SETTINGS = {"epochs": 4, "precision": "fp32"}


def of(count, **settings):
    return [Division(rank, count, **settings).passes(10) for rank in range(count)]


def test_a_batch_is_divided_into_parts_of_nearly_one_size():
    assert ALONE.passes(10) == [(0, 10)]
    assert of(2) == [[(0, 5)], [(5, 10)]]
    assert of(3) == [[(0, 3)], [(3, 7)], [(7, 10)]]
    assert of(1, images_per_pass=4) == [[(0, 3), (3, 7), (7, 10)]]
    assert of(3, images_per_pass=1) == [
        [(0, 1), (1, 2), (2, 3)],
        [(3, 4), (4, 6), (6, 7)],
        [(7, 8), (8, 9), (9, 10)],
    ]  # ten images make no more than three passes in each of three processes
    assert of(2, images_per_pass=3) == [[(0, 2), (2, 5)], [(5, 8), (8, 10)]]


def test_more_processes_than_images_are_refused():
    with pytest.raises(ValueError, match="a batch of 3 cannot be divided over 4 processes"):
        Division(0, 4).passes(3)
    with pytest.raises(ValueError, match="3 images cannot be divided over 4 processes"):
        Division(0, 4).share(3)


def test_every_image_is_tested_by_one_process_and_the_rows_come_back_in_order(monkeypatch):
    shares = [Division(rank, 3).share(8) for rank in range(3)]
    assert sorted(torch.cat(shares).tolist()) == list(range(8))
    rows = np.arange(16).reshape(8, 2)
    monkeypatch.setattr(Division, "gather", lambda self, own: [rows[share] for share in shares])
    assert Division(0, 3).together(8, rows[shares[0]]).tolist() == rows.tolist()
    monkeypatch.setattr(Division, "gather", lambda self, own: [rows[shares[0]], None, rows[shares[2]]])
    assert Division(0, 3).together(8, rows[shares[0]]) is None


def test_parts_of_a_batch_drop_what_the_whole_batch_drops():
    dropout, x = Dropout(0.5), torch.randn(7, 40)
    torch.manual_seed(3)
    whole = dropout(x)
    parts = []
    for first, last in ((0, 2), (2, 7)):
        torch.manual_seed(3)
        dropout.rows = (first, last, 7)
        parts.append(dropout(x[first:last]))
    assert torch.equal(torch.cat(parts), whole) and 0 < (whole == 0).float().mean() < 1
    assert torch.equal(dropout.eval()(x[:2]), x[:2])


def close(ours, theirs, tolerance=1e-5):
    """The largest relative difference of a layer's weights, by their norms."""
    worst = max(float((a - b).norm() / b.norm()) for a, b in zip(ours, theirs, strict=True))
    return worst < tolerance


def small(**changes):
    usual = {"net": "A", "seed": 0, "resolution": 1 / 7, "width": 1 / 32, "batch_size": 16, "epochs": 3}
    usual |= {"initialisation": "he-fan-out", "learning_rate": 0.02, "precision": "fp32"}
    return Experiment(**usual | changes)


def parameters(trained):
    return [parameter.detach() for parameter in trained.model.parameters()]


def test_a_batch_in_several_passes_trains_the_same_net(two_colours):
    whole = train(small(), two_colours, CPU)
    passes = train(small(), two_colours, CPU, division=Division(images_per_pass=5))
    assert close(parameters(passes), parameters(whole))
    assert passes.initial_signal == pytest.approx(whole.initial_signal, rel=1e-5)
    losses = [[epoch.train_loss for epoch in trained.history] for trained in (passes, whole)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    # Without scaling by the share of the batch, or with masks of each pass's own, it would be another net.
    assert not close(parameters(train(small(dropout=0.4), two_colours, CPU)), parameters(whole))


def test_in_bf16_the_gradients_of_each_pass_are_rounded(two_colours):
    def apart(precision):
        whole, passes = (
            train(small(precision=precision), two_colours, CPU, division=Division(images_per_pass=count))
            for count in (None, 5)
        )
        return max(float((a - b).abs().max()) for a, b in zip(parameters(whole), parameters(passes), strict=True))

    assert apart("fp32") < 1e-5 < 1e-4 < apart("bf16") < 0.1


def run(*options, processes=1):
    start = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)] if processes > 1 else []
    command = [sys.executable, *start, *COMMAND, *map(str, options)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)


@pytest.fixture(scope="module")
def one_process(tmp_path_factory):
    """The results folder of a training by one process."""
    folder = tmp_path_factory.mktemp("one")
    run("--results", folder)
    return folder


def found(folder, **settings):
    """The only record of a folder, and the weights and state of its checkpoint."""
    (entry,) = plan("smoke", "3", ["A"], [0], ["256"], **SETTINGS, **settings)
    store = Store(folder)
    tensors, state = checkpoints.read(store.checkpoint_path(entry.runs[0]))
    weights = [tensor for name, tensor in tensors.items() if name.startswith("model.") and tensor.dim() > 1]
    return store.read(entry.runs[0]), weights, state


def test_two_processes_train_and_test_as_one_does(one_process, tmp_path):
    said = run("--results", tmp_path, processes=2)
    ours, weights, state = found(tmp_path)
    theirs, expected, whole = found(one_process)
    assert close(weights, expected)
    for error in ("top1_error_percent", "top5_error_percent", "n_images"):
        assert ours[error] == theirs[error]
    for epoch, other in zip(state["history"], whole["history"], strict=True):
        assert epoch["minival_top1_error_percent"] == other["minival_top1_error_percent"]
        assert epoch["train_loss"] == pytest.approx(other["train_loss"], rel=1e-4)
    assert ours["initial_signal"] == pytest.approx(theirs["initial_signal"], rel=1e-4)
    assert ours["environment"]["processes"] == 2 and theirs["environment"]["processes"] == 1
    assert said.stdout.count("Table 3 of the paper") == 1  # the first process speaks


def test_another_number_of_processes_goes_on_within_an_epoch(one_process, tmp_path, monkeypatch):
    from vgglib import runner

    (entry,) = plan("smoke", "3", ["A"], [0], ["256"], **SETTINGS)
    path = Store(tmp_path).checkpoint_path(entry.runs[0])

    class Killed(Exception):
        pass

    def kill(progress):
        if progress.epoch == 2 and progress.images_done % (6 * 32) == 3 * 32:
            raise Killed

    images = runner.load_images("smoke")
    monkeypatch.setattr("vgglib.train.SAVE_SECONDS", -1)  # save before every step
    monkeypatch.setattr("vgglib.train.REPORT_SECONDS", -1)
    with pytest.raises(Killed):
        train(entry.runs[0].experiment, images, CPU, path, report=kill)
    assert checkpoints.read(path)[1]["begun"]["steps"] == 2
    run("--results", tmp_path, "--images-per-pass", 9, processes=2)  # two passes each
    assert close(found(tmp_path)[1], found(one_process)[1])


def test_gradients_may_travel_in_bf16(one_process, tmp_path):
    run("--results", tmp_path, "--bf16-gradients", processes=2)
    record, weights, state = found(tmp_path)
    expected = found(one_process)[1]
    assert not close(weights, expected) and close(weights, expected, 0.1)
    assert state["arithmetic"] == "fp32 on cpu, gradients in bf16" and record["environment"]["bf16_gradients"]


def test_processes_of_one_machine_share_its_cores(monkeypatch):
    alone = devices.cores()
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert devices.cores() == max(1, alone // 2)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "1000")
    assert devices.cores() == 1


def test_without_torchrun_there_is_one_process(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert not distributed.started() and distributed.first()
    with distributed.joined(CPU, Division(images_per_pass=3)) as division:
        assert division == Division(images_per_pass=3)
        assert division.agree("x") == "x" and division.parallel(VGG, CPU) is VGG
    assert replace(division, rank=1).first is False
