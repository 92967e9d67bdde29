from dataclasses import replace
from itertools import repeat

import pytest
import torch

from vgglib import devices, train
from vgglib.augment import draw, generator
from vgglib.configs import config
from vgglib.experiments import Experiment
from vgglib.models import VGG, initialise
from vgglib.training import updates
from vgglib.training.distributed import ALONE, Division

CPU, GPU = torch.device("cpu"), torch.device("cuda")
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs need a GPU, and there is none here.")


def experiment(**changes):
    # Resolution 1/7: crops of 32 pixels, S = 256 is 37, and [256; 512] is [37; 73].
    usual = {"net": "A", "seed": 0, "resolution": 1 / 7, "width": 1 / 16, "batch_size": 16, "epochs": 3}
    usual |= {"initialisation": "he-fan-out", "learning_rate": 0.02, "precision": "bf16"}
    return Experiment(**usual | changes)


def weights(trained):
    return [parameter.detach().cpu() for parameter in trained.model.parameters()]


@needs_gpu
@pytest.mark.parametrize(
    "changes", [{}, {"net": "A-LRN"}, {"net": "D", "train_scale": (256, 512)}, {"precision": "fp32"}]
)
def test_a_replayed_graph_leaves_the_same_bits_as_update_by_update(two_colours, monkeypatch, changes):
    devices.exact(GPU)
    # Twelve updates, three of them before the capture; the rate drops after the first and the second epoch.
    plan = experiment(drop_deadlines=(0.3, 0.6, 1.0), **changes)
    replayed = train.train(plan, two_colours, GPU)
    monkeypatch.setattr(updates, "WARM_UP", 1000)
    eager = train.train(plan, two_colours, GPU)
    assert all(map(torch.equal, weights(replayed), weights(eager)))
    losses = [[epoch.train_loss for epoch in each.history] for each in (replayed, eager)]
    assert losses[0] == losses[1]


@needs_gpu
def test_a_gpu_computes_what_the_cpu_computes(two_colours):
    devices.exact(GPU)
    plan = experiment(precision="fp32", dropout=0.0, epochs=1)
    here, there = (weights(train.train(plan, two_colours, where)) for where in (torch.device("cpu"), GPU))
    first = weights(train.train(experiment(precision="fp32", epochs=1, learning_rate=1e-9), two_colours, GPU))
    for cpu, gpu, begun in zip(here, there, first, strict=True):
        assert (cpu - gpu).norm() <= 1e-3 * (cpu - begun).norm()


@needs_gpu
def test_a_training_resumed_on_a_gpu_ends_with_the_same_bits(two_colours, tmp_path):
    devices.exact(GPU)
    whole, path = train.train(experiment(), two_colours, GPU), tmp_path / "c.safetensors"

    def kill(progress):
        if progress.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train.train(experiment(), two_colours, GPU, path, report=kill)
    assert all(map(torch.equal, weights(whole), weights(train.train(experiment(), two_colours, GPU, path))))


@needs_gpu
def test_compiled_updates_are_the_same_twice_and_drop_anew_each_time(two_colours):
    devices.exact(GPU)
    first, second = (train.train(experiment(), two_colours, GPU, compiled=True) for _ in range(2))
    assert all(map(torch.equal, weights(first), weights(second)))
    # Weights that hardly move, one batch again and again: what changes is what was dropped.
    made = updates_of(two_colours, GPU, compiled=True, rate=1e-12)
    batch = repeat(next(crops(two_colours.train.to(GPU), two_colours)))
    scores = [made(batch, seed)[0].clone() for seed in (0, 1, 2, 3, 4, 5, 4)]
    assert torch.equal(scores[4], scores[6]) and not torch.equal(scores[4], scores[5])


@pytest.mark.skipif(not devices.compiles(CPU), reason="no C++ compiler or no headers of Python")
def test_compiled_updates_differ_by_rounding(two_colours):
    moved = []
    for compiled in (False, True):
        made = updates_of(two_colours, CPU, compiled, rate=0.02)
        assert isinstance(made.net, torch._dynamo.OptimizedModule) == compiled
        before = [weight.detach().clone() for weight in made.model.parameters()]
        source = crops(two_colours.train, two_colours)
        for seed in range(2):
            made(source, seed)
        moved.append([now.detach() - then for now, then in zip(made.model.parameters(), before, strict=True)])
    for plain, fused in zip(*moved, strict=True):
        torch.testing.assert_close(fused, plain, rtol=1e-3, atol=1e-3 * plain.abs().max().item())


def test_updates_that_cannot_be_compiled_are_refused(two_colours, monkeypatch):
    with pytest.raises(ValueError, match="a batch in one pass: leave --compile out"):
        updates_of(two_colours, CPU, compiled=True, division=Division(images_per_pass=8))
    monkeypatch.setattr(devices, "compiles", lambda where, precision: False)
    with pytest.raises(ValueError, match="updates in fp32 cannot be compiled on this cpu"):
        updates_of(two_colours, CPU, compiled=True)


def updates_of(images, where, compiled, rate=0.02, division=ALONE):
    """Updates of 16 images each: on a GPU of a small net A with dropout, on a CPU of its first two blocks without."""
    net, dropout = (config("A"), 0.5) if where == GPU else (replace(config("A"), blocks=config("A").blocks[:2]), 0.0)
    model = initialise(VGG(net, 2, 1 / 16, 32, dropout), "he-fan-out", 0).to(where).train()
    return updates.Updates(
        model=model,
        optimiser=torch.optim.SGD(model.parameters(), rate, 0.9, fused=True),
        labels=images.train.labels.to(where),
        mean_rgb=images.mean_rgb,
        precision="fp32",
        division=division,
        batch=16,
        compiled=compiled,
    )


def crops(split, images):
    drawn = (draw(images, split, torch.arange(16), 32, generator(step)) for step in range(9))
    return split.crops(drawn, 32)
