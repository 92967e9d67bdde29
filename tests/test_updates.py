import pytest
import torch

from vgglib import devices, train, updates
from vgglib.experiments import Experiment

GPU = torch.device("cuda")
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
