import numpy as np
import pytest
import torch
from small_runs import run, small

from vgglib import weights
from vgglib.evaluate import posteriors
from vgglib.experiments import Entry, Experiment, Protocol, Run
from vgglib.models import VGG, initialise
from vgglib.results import Store
from vgglib.training import checkpoints
from vgglib.weights import published


@pytest.fixture
def trained(images, tmp_path):
    """A store with one trained net, and the run that shows it."""
    run(small(), results=tmp_path)
    return Store(tmp_path), small()[0].runs[0]


def test_a_loaded_net_gives_the_recorded_posteriors(trained, images):
    store, tested = trained
    model = weights.load(store, tested)
    split = images.val.rescaled(tested.experiment.pixels(256))
    found = posteriors(model.to(memory_format=torch.channels_last), split, images.mean_rgb)
    assert np.array_equal(found.astype(np.float16), store.posteriors(tested)[0])


def test_kept_weights_outlive_the_checkpoint(trained):
    store, tested = trained
    path = weights.keep(store, tested)
    assert path == str(store.weights_path(tested))
    before = weights.load(store, tested).state_dict()
    store.checkpoint_path(tested).unlink()
    after = weights.load(store, tested).state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_published_net_is_loaded_as_it_was_tested(images, tmp_path):
    """Caffe's pools keep the last cells of a side of 307 pixels, and its mean is not that of the images."""
    store, tested = Store(tmp_path), Run("imagenet", Experiment("D", None, weights="caffe"), Protocol(256))
    net = initialise(VGG("D", 2, 1 / 64, pools_round_up=True), "glorot", 0)
    mean = torch.tensor([10.0, 20.0, 30.0])
    published.write(store.weights_path(tested), published.Published(net, mean), "caffe:D")
    run([Entry("3", "D", "256", "256", "dense", (tested,))], results=tmp_path)
    model = weights.load(store, tested)
    precision = store.read(tested)["environment"]["precision"]
    split = images.val.rescaled(256)
    found = posteriors(model.to(memory_format=torch.channels_last), split, mean, precision=precision)
    assert np.array_equal(found.astype(np.float16), store.posteriors(tested)[0])
    before = store.weights_path(tested).read_bytes()
    assert weights.keep(store, tested) == str(store.weights_path(tested))  # where it is kept already
    assert store.weights_path(tested).read_bytes() == before
    published.write(store.weights_path(tested), published.Published(initialise(net, "glorot", 1), mean), "caffe:D")
    with pytest.raises(ValueError, match=r"D_caffe.safetensors are not those of the record D_caffe_dense_Q256"):
        weights.load(store, tested)


def test_a_net_without_weights_or_record_is_named(trained):
    store, tested = trained
    checkpoint = store.checkpoint_path(tested)
    kept = checkpoint.read_bytes()
    checkpoint.unlink()
    with pytest.raises(ValueError, match=f"no trained net {tested.experiment_id} of preset smoke"):
        weights.load(store, tested)
    checkpoint.write_bytes(kept)
    store.record_path(tested).unlink()
    with pytest.raises(ValueError, match=r"--nets A --train-scales 256 --seeds 0 .*--results mine`, and name that"):
        weights.load(store, tested)


def test_weights_of_another_training_or_net_are_refused(trained):
    store, tested = trained
    path = store.checkpoint_path(tested)
    tensors, state = checkpoints.read(path)
    name = "model.head.fc8.bias"
    for changed in ({**tensors, name: tensors[name] + 1}, {name: tensors[name]}):
        checkpoints.write(path, changed, state)
        with pytest.raises(ValueError, match=f"{path.name} are not those of the record"):
            weights.load(store, tested)
