import math
import time

import numpy as np
import pytest
import torch
from small_runs import interrupted

from vgglib import devices
from vgglib.augment import draw
from vgglib.configs import config
from vgglib.cost import macs
from vgglib.evaluate import posteriors
from vgglib.experiments import Experiment
from vgglib.train import _Training, chance, train
from vgglib.training import checkpoints
from vgglib.training.distributed import Division
from vgglib.training.resume import finished, sealed
from vgglib.training.trained import Diverged, OutOfTime
from vgglib.training.updates import Updates

CPU = torch.device("cpu")


def experiment(**changes):
    # Resolution 1/7: crops of 32 pixels, S = 256 is 37.
    usual = {"net": "A", "seed": 0, "resolution": 1 / 7, "width": 1 / 32, "batch_size": 16, "epochs": 3}
    usual |= {"initialisation": "he-fan-out", "learning_rate": 0.02, "precision": "fp32"}
    return Experiment(**usual | changes)


def begun(plan, images):
    """A training with its first weights."""
    quiet = {"report": lambda progress: None, "checkpoint": None, "stop_at": math.inf}
    training = _Training(plan, images, CPU, **quiet, division=Division(), compiled=False)
    training.begin(None)
    return training


def weights(trained):
    return [parameter.detach().clone() for parameter in trained.model.parameters()]


def test_an_epoch_tells_its_share_of_the_matrix_peak(two_colours, monkeypatch):
    monkeypatch.setattr("vgglib.train.peak_once", lambda where, precision, threads: 2.5e9)
    (epoch,) = train(experiment(epochs=1), two_colours, CPU).history
    images_per_second = 2.5e9 * epoch.peak_share / (3 * macs(config("A").scaled(1 / 32), 32, 2))
    assert images_per_second == pytest.approx(epoch.images_per_second)


def test_an_epoch_counts_every_image_of_its_batches(two_colours, monkeypatch):
    monkeypatch.setattr(_Training, "_seconds", lambda self: 2.0)
    (epoch,) = train(experiment(epochs=1), two_colours, CPU).history
    assert (epoch.seconds, epoch.images_per_second) == (2.0, 32.0)  # four batches of 16


def test_minival_is_looked_at_unmirrored_in_the_middle_of_the_training_scales(two_colours, monkeypatch):
    looks = []

    def looking(model, split, mean_rgb, **settings):
        looks.append((split.sizes.unique(dim=0).tolist(), settings["flip"]))
        return posteriors(model, split, mean_rgb, **settings)

    monkeypatch.setattr("vgglib.train.posteriors", looking)
    train(experiment(epochs=1, train_scale=(256, 512)), two_colours, CPU)
    assert looks == [([[55, 66]], False)]  # 384 / 7 of images whose sides are as 5 to 6


def test_training_learns_and_tells_its_history(two_colours):
    heard = []
    trained = train(experiment(), two_colours, CPU, report=heard.append)
    assert [epoch.epoch for epoch in trained.history] == [1, 2, 3]
    assert trained.history[-1].minival_top1_error_percent == 0
    assert trained.history[-1].train_loss < 0.5 * math.log(2)
    assert trained.initial_signal["logit_sd"] > 0 and trained.initial_signal["conv1_1_gradient_norm"] > 0
    assert heard[-1].images_done == heard[-1].images_total == 3 * 64  # 72 images make four whole batches of 16


def test_a_trained_net_is_ready_to_be_tested(two_colours, tmp_path):
    for _ in ("trained", "taken up"):
        assert not train(experiment(epochs=1), two_colours, CPU, tmp_path / "net.safetensors").model.training


def test_a_device_may_be_given_by_its_name(two_colours):
    by_name = weights(train(experiment(epochs=1), two_colours, "cpu"))
    assert all(map(torch.equal, by_name, weights(train(experiment(epochs=1), two_colours, CPU))))
    with pytest.raises(ValueError, match="unknown device 'gpu': take cpu, cuda or cuda:N"):
        train(experiment(), two_colours, "gpu")


def test_fp32_on_a_gpu_is_made_exact(two_colours, monkeypatch):
    heard = []
    monkeypatch.setattr(devices, "exact", heard.append)
    begun(experiment(), two_colours)
    assert heard == [CPU]


def test_momentum_weight_decay_and_dropout_are_those_of_the_experiment(two_colours):
    plan = experiment(momentum=0.8, weight_decay=0.25, dropout=0.3)
    training = begun(plan, two_colours)
    (group,) = training.optimiser.param_groups
    assert (group["momentum"], group["weight_decay"], group["nesterov"]) == (0.8, 0.25, False)
    assert group["params"] == list(training.model.parameters())
    assert training.model.dropout.p == 0.3
    weight = torch.nn.Parameter(torch.tensor([2.0]))
    training.optimiser.add_param_group({"params": [weight]})
    for gradient in (1.0, -1.0):
        weight.grad = torch.tensor([gradient])
        training.optimiser.step()
    # v = 1 + 0.25 x 2 = 1.5, w = 2 - 0.02 x 1.5 = 1.97; v = 0.8 x 1.5 - 1 + 0.25 x 1.97, w = 1.97 - 0.02 v.
    assert weight.item() == pytest.approx(1.97 - 0.02 * (1.2 - 1 + 0.4925))


def test_the_same_seed_gives_the_same_weights_and_leaves_the_callers_generator_alone(two_colours):
    torch.manual_seed(7)
    before = torch.get_rng_state()
    first = weights(train(experiment(), two_colours, CPU))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(8)
    assert all(map(torch.equal, first, weights(train(experiment(), two_colours, CPU))))
    other = weights(train(experiment(seed=1), two_colours, CPU))
    assert not any(map(torch.equal, first, other))


@pytest.mark.parametrize("net", ["A", "A-LRN"])
def test_a_resumed_training_ends_with_the_same_bits(two_colours, tmp_path, net):
    plan = experiment(net=net)
    whole = train(plan, two_colours, CPU)
    path = tmp_path / "checkpoint.safetensors"
    interrupted(plan, two_colours, path, epochs=2)
    assert len(checkpoints.read(path)[1]["history"]) == 2
    heard = []
    resumed = train(plan, two_colours, CPU, path, report=heard.append)
    assert {progress.images_resumed for progress in heard} == {2 * 64}
    assert all(map(torch.equal, weights(whole), weights(resumed)))
    same = [(epoch.train_loss, epoch.minival_top1_error_percent) for epoch in whole.history]
    assert [(epoch.train_loss, epoch.minival_top1_error_percent) for epoch in resumed.history] == same
    kept = {path.name for path in tmp_path.iterdir()}
    assert kept == {"checkpoint.safetensors", "checkpoint.previous.safetensors"}


def test_a_finished_checkpoint_is_not_trained_again(two_colours, tmp_path):
    path = tmp_path / "c.safetensors"
    first = train(experiment(), two_colours, CPU, path)
    heard = []
    second = train(experiment(), two_colours, CPU, path, report=heard.append)
    assert not heard and all(map(torch.equal, weights(first), weights(second)))


def test_chance_is_to_name_the_largest_class():
    assert chance(np.array([0, 1, 2, 3])) == 75
    assert chance(np.array([1, 1, 1, 0])) == 25


def test_a_training_is_finished_when_its_checkpoint_says_so(two_colours, tmp_path):
    path = tmp_path / "c.safetensors"
    assert not finished(experiment(), path)
    train(experiment(epochs=2), two_colours, CPU, path)
    assert finished(experiment(epochs=2), path) and not finished(experiment(), path)
    # On a plateau at chance, 50 % for two classes, the rule sleeps; below it, it ends the training.
    stale = {"epochs": 9, "patience": 1, "drops": 0}
    tensors, state = checkpoints.read(path)
    for error, ended in ((50.0, False), (40.0, True)):
        for epoch in state["history"]:
            epoch["minival_top1_error_percent"] = error
        checkpoints.write(path, tensors, state)
        assert finished(experiment(**stale), path) is ended
    path.write_bytes(path.read_bytes()[:-1])
    assert not finished(experiment(epochs=2), path)  # whoever goes on with it is told why not


def test_a_finished_net_is_taken_up_whatever_arithmetic_trained_it(two_colours, tmp_path):
    path = tmp_path / "c.safetensors"
    first = train(experiment(), two_colours, CPU, path)
    assert first.arithmetic == "fp32 on cpu"
    tensors, state = checkpoints.read(path)
    checkpoints.write(path, tensors, sealed(tensors, state | {"arithmetic": "bf16 on cuda, compiled"}))
    second = train(experiment(), two_colours, CPU, path, division=Division(bf16_gradients=True))
    assert second.arithmetic == "bf16 on cuda, compiled" and all(map(torch.equal, weights(first), weights(second)))


def test_gradients_count_as_rounded_only_where_they_travel(two_colours, tmp_path):
    path, rounded = tmp_path / "c.safetensors", "fp32 on cpu, gradients in bf16"
    interrupted(experiment(), two_colours, path)
    tensors, state = checkpoints.read(path)
    with pytest.raises(ValueError, match=f"trained in fp32 on cpu, and would go on in {rounded}: "):
        train(experiment(), two_colours, CPU, path, division=Division(0, 2, bf16_gradients=True))
    alone = train(experiment(), two_colours, CPU, path, division=Division(bf16_gradients=True))
    assert alone.arithmetic == checkpoints.read(path)[1]["arithmetic"] == "fp32 on cpu"
    # By several processes, and one goes on.
    checkpoints.write(path, tensors, sealed(tensors, state | {"arithmetic": rounded}))
    assert train(experiment(), two_colours, CPU, path).arithmetic == checkpoints.read(path)[1]["arithmetic"] == rounded


def test_a_large_checkpoint_is_not_written_after_every_short_epoch(two_colours, tmp_path, monkeypatch):
    path, written = tmp_path / "c.safetensors", []
    write = checkpoints.write
    monkeypatch.setattr(checkpoints, "write", lambda *given, **how: (written.append(1), write(*given, **how)))
    monkeypatch.setattr("vgglib.train.LARGE_BYTES", 0)
    train(experiment(), two_colours, CPU, path)
    assert len(written) == 1 and len(checkpoints.read(path)[1]["history"]) == 3
    monkeypatch.setattr("vgglib.train.LARGE_SECONDS", 0)
    train(experiment(), two_colours, CPU, tmp_path / "d.safetensors")
    assert len(written) == 4


def test_time_that_is_up_between_epochs_loses_none_of_a_large_checkpoint(two_colours, tmp_path, monkeypatch):
    monkeypatch.setattr("vgglib.train.LARGE_BYTES", 0)
    path, whole = tmp_path / "c.safetensors", train(experiment(), two_colours, CPU)
    clock = iter([0.0] * 5 + [math.inf] * 99)  # four steps and a look at minival; then it is too late for another step
    monkeypatch.setattr("vgglib.train.time.time", lambda: next(clock))
    with pytest.raises(OutOfTime):
        train(experiment(), two_colours, CPU, path, stop_at=1.0)
    monkeypatch.undo()
    assert checkpoints.read(path)[1]["history"]
    assert all(map(torch.equal, weights(whole), weights(train(experiment(), two_colours, CPU, path))))


def test_a_setting_that_a_checkpoint_lacks_counts_as_none(two_colours, tmp_path):
    path = tmp_path / "c.safetensors"
    first = train(experiment(epochs=1), two_colours, CPU, path)
    tensors, state = checkpoints.read(path)
    assert state["experiment"].pop("weights") is None
    checkpoints.write(path, tensors, sealed(tensors, state))
    assert all(map(torch.equal, weights(first), weights(train(experiment(epochs=1), two_colours, CPU, path))))


def test_a_checkpoint_of_other_settings_or_images_is_refused(two_colours, tmp_path):
    path = tmp_path / "c.safetensors"
    train(experiment(epochs=1), two_colours, CPU, path)
    with pytest.raises(ValueError, match=r"another experiment \(epochs was 1 and is 2\)"):
        train(experiment(epochs=2), two_colours, CPU, path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match="is damaged or of an earlier version"):
        train(experiment(epochs=1), two_colours, CPU, path)


def test_a_loss_that_is_no_number_stops_the_training(two_colours):
    with pytest.raises(Diverged, match="the training loss is nan in epoch 1"):
        train(experiment(learning_rate=1e6), two_colours, CPU)


def spoilt_after(updates, monkeypatch):
    """Make one weight no number in that update; a list that counts the updates."""
    made, update = [], Updates.__call__

    def spoiling(self, *given):
        scores = update(self, *given)
        made.append(True)
        if len(made) == updates:
            with torch.no_grad():
                next(self.model.parameters())[0, 0, 0, 0] = math.nan
        return scores

    monkeypatch.setattr(Updates, "__call__", spoiling)
    return made


def test_a_loss_that_is_no_number_is_noticed_within_an_epoch(two_colours, monkeypatch):
    monkeypatch.setattr("vgglib.train.REPORT_SECONDS", -1)
    made = spoilt_after(3, monkeypatch)
    with pytest.raises(Diverged, match="A_S256_seed0: the training loss is nan in epoch 2") as caught:
        train(experiment(batch_size=36), two_colours, CPU)  # two updates an epoch
    assert len(made) == 4 and len(caught.value.history) == 1
    made = spoilt_after(3, monkeypatch)
    with pytest.raises(Diverged, match="loss is nan in epoch 1"):
        train(experiment(batch_size=4), two_colours, CPU)
    assert len(made) == 4  # of 18


def test_weights_that_are_no_numbers_are_never_written(two_colours, tmp_path, monkeypatch):
    path = tmp_path / "c.safetensors"
    monkeypatch.setattr("vgglib.train.SAVE_SECONDS", -1)  # save before every step
    spoilt_after(6, monkeypatch)  # whose own loss is a number
    with pytest.raises(Diverged, match=r"A_S256_seed0: the weights are not numbers after 1.50 epochs") as caught:
        train(experiment(), two_colours, CPU, path)
    assert len(caught.value.history) == 1
    tensors, state = checkpoints.read(path)
    assert state["begun"]["steps"] == 1 and all(tensor.isfinite().all() for tensor in tensors.values())
    monkeypatch.undo()
    spoilt_after(4, monkeypatch)  # the last update of an epoch
    with pytest.raises(Diverged, match=r"the weights are not numbers after 1.00 epochs"):
        train(experiment(), two_colours, CPU, tmp_path / "d.safetensors")
    assert not (tmp_path / "d.safetensors").exists()
    monkeypatch.undo()
    spoilt_after(4, monkeypatch)
    with pytest.raises(Diverged, match=r"the weights are not numbers after 1.00 epochs"):
        train(experiment(epochs=1), two_colours, CPU)  # nor returned


def test_no_step_begins_after_the_budget_and_none_is_lost(two_colours, tmp_path, monkeypatch):
    path = tmp_path / "c.safetensors"
    with pytest.raises(OutOfTime, match=r"time is up after 0.00 epochs"):
        train(experiment(), two_colours, CPU, path, stop_at=time.time())
    assert not path.exists()
    looks = []

    def clock():
        looks.append(True)
        return float(len(looks))

    # A call stops after some steps, within an epoch, or while it looks at minival; then another goes on.
    with monkeypatch.context() as patched:
        patched.setattr("vgglib.train.time.time", clock)
        trained, within = None, set()
        while trained is None:
            try:
                trained = train(experiment(), two_colours, CPU, path, stop_at=len(looks) + 2)
            except OutOfTime:
                within.add(checkpoints.read(path)[1]["begun"]["steps"])
    assert within > {1, 4}  # 4 steps make an epoch: minival is what was left of it
    whole = train(experiment(), two_colours, CPU)
    assert all(map(torch.equal, weights(whole), weights(trained)))
    assert [epoch.train_loss for epoch in trained.history] == [epoch.train_loss for epoch in whole.history]


def test_a_later_stage_goes_on_from_the_weights_of_the_one_before(two_colours, tmp_path):
    first = experiment(epochs=2)
    donor = train(first, two_colours, CPU).model
    second = experiment(epochs=1, learning_rate=1e-30, start=first)  # a step that changes nothing
    trained = train(second, two_colours, CPU, donor=lambda: donor)
    for ours, theirs in zip(weights(trained), donor.parameters(), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-12)
    with pytest.raises(ValueError, match="starts from A_S256_seed0: pass the trained net as donor"):
        train(second, two_colours, CPU)


def test_a_later_stage_sees_other_draws_than_the_first_and_the_same_as_its_control(two_colours, monkeypatch):
    seen = []

    def drawing(images, split, index, size, draws, scales):
        seen.append((index.tolist(), scales))
        return draw(images, split, index, size, draws, scales)

    monkeypatch.setattr("vgglib.train.draw", drawing)
    first = experiment(epochs=1)
    donor = train(first, two_colours, CPU).model
    train(experiment(epochs=1, start=first), two_colours, CPU, donor=lambda: donor)
    train(experiment(epochs=1, start=first, train_scale=(256, 512)), two_colours, CPU, donor=lambda: donor)
    steps = len(seen) // 3
    orders = [[index for index, _ in seen[i * steps : (i + 1) * steps]] for i in range(3)]
    assert orders[0] != orders[1] == orders[2]
    assert [scales for _, scales in seen] == [None] * 2 * steps + [(37, 73)] * steps


def test_a_donor_is_asked_only_when_there_is_nothing_to_take_up(two_colours, tmp_path):
    path = tmp_path / "c.safetensors"
    first = experiment(epochs=1)
    second = experiment(epochs=1, start=first)
    donor = train(first, two_colours, CPU).model
    once = weights(train(second, two_colours, CPU, path, donor=lambda: donor))
    assert all(map(torch.equal, once, weights(train(second, two_colours, CPU, path, donor=None))))
