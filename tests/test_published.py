import os
import re

import numpy as np
import pytest
import torch
import torchvision
from caffemodels import caffemodel

from vgglib.experiments import Protocol, Run
from vgglib.models import VGG, initialise
from vgglib.results import Store
from vgglib.training import checkpoints
from vgglib.weights import caffe, digest, published
from vgglib.weights.published import Published, Source, from_caffe, from_torchvision, load

SIZE = {"num_classes": 5, "width": 1 / 16, "input_size": 32}


def net(name="D", seed=0, **size):
    model = initialise(VGG(name, **SIZE | size), "glorot", seed).eval()
    for layer in model.weighted.values():
        torch.nn.init.normal_(layer.bias, generator=torch.Generator().manual_seed(seed))
    return model


def torchvisions(model):
    """The weights of a net under torchvision's names: every layer, ReLU, pool and dropout has a number there."""
    names, number = [], 0
    for block in model.config.blocks:
        for _ in block[:-1]:
            names.append(f"features.{number}")
            number += 2
        number += 1
    names += ["classifier.0", "classifier.3", "classifier.6"]
    layers = zip(names, model.weighted.values(), strict=True)
    return {f"{name}.{what}": getattr(layer, what).detach() for name, layer in layers for what in ("weight", "bias")}


def caffes(model):
    """The weights of a net as the authors' files have them: the first layer takes BGR."""
    arrays = {n: [w.detach().numpy() for w in (layer.weight, layer.bias)] for n, layer in model.weighted.items()}
    weight, bias = arrays["conv1_1"]
    return arrays | {"conv1_1": [weight[:, ::-1].copy(), bias]}


def same(first, second, **tolerance):
    pairs = zip(first.parameters(), second.parameters(), strict=True)
    return all(torch.allclose(a, b, **tolerance or {"rtol": 0, "atol": 0}) for a, b in pairs)


@torch.inference_mode()
def test_torchvisions_net_and_ours_give_the_same_logits():
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        theirs = torchvision.models.vgg11(weights=None).eval()
        pixels = torch.randint(0, 256, (1, 3, 224, 224), dtype=torch.uint8)
    weights = torchvision.models.VGG11_Weights.IMAGENET1K_V1
    expected = theirs(weights.transforms(resize_size=224)(pixels))
    found = from_torchvision("A", theirs.state_dict())
    logits = found.model(pixels - found.mean_rgb[:, None, None])
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-4 * expected.std())
    torch.testing.assert_close(found.mean_rgb, 255 * torch.tensor([0.485, 0.456, 0.406]))
    assert expected.std() > 0 and not found.model.training


@pytest.mark.parametrize("old", [True, False])
@torch.inference_mode()
def test_torchvisions_form_and_caffes_are_one_net(old, tmp_path):
    # torchvision's first layer sees (x / 255 - mean) / sd: for the same net its weights are 255 sd times Caffe's.
    ours, sd = net(), torch.tensor([0.229, 0.224, 0.225])
    state = torchvisions(ours)
    state["features.0.weight"] = state["features.0.weight"] * (255 * sd)[:, None, None]
    path = tmp_path / "net.caffemodel"
    path.write_bytes(caffemodel(caffes(ours), old))
    first, second = from_torchvision("D", state, **SIZE), from_caffe("D", caffe.read(path), **SIZE)
    assert same(second.model, ours) and same(first.model, ours, rtol=1e-6, atol=0)
    # Each subtracts its own mean: images that differ by the difference of the means are the same to them.
    image = torch.rand(2, 3, 32, 32) * 255
    other = image + (second.mean_rgb - first.mean_rgb)[:, None, None]
    logits = [found.model(x - found.mean_rgb[:, None, None]) for found, x in ((first, image), (second, other))]
    np.testing.assert_allclose(*logits, rtol=1e-4, atol=1e-4 * logits[0].std())
    assert second.mean_rgb.tolist() == pytest.approx([123.68, 116.779, 103.939])


@torch.inference_mode()
def test_a_net_of_caffes_sees_what_is_left_of_a_whole_image(tmp_path):
    # 43 pixels: 22, 11, 6, 3, 2 cells where the pools round up, and 21, 10, 5, 2, 1 where they round down.
    image = torch.rand(1, 3, 32, 43)
    first, second = from_caffe("D", caffes(net()), **SIZE), from_torchvision("D", torchvisions(net()), **SIZE)
    assert first.model.dense(image).shape[2:] == (1, 2) and second.model.dense(image).shape[2:] == (1, 1)
    crop = image[..., :32]
    assert torch.equal(first.model.dense(crop)[..., 0, 0], first.model(crop))
    published.write(tmp_path / "D.safetensors", first, "caffe:D")
    assert load(f"caffe:D={tmp_path}/D.safetensors").model.dense(image).shape[2:] == (1, 2)


def test_layers_are_taken_by_their_numbers_not_by_their_order():
    state = torchvisions(net())
    assert list(state)[:4] == ["features.0.weight", "features.0.bias", "features.2.weight", "features.2.bias"]
    expected = from_torchvision("D", state, **SIZE).model
    assert same(from_torchvision("D", {name: state[name] for name in sorted(state)}, **SIZE).model, expected)


@pytest.mark.parametrize("zipped", [True, False])  # torchvision's own files are of before PyTorch wrote zip files
def test_a_file_of_either_form_is_read(zipped, tmp_path, monkeypatch):
    torch.save(torchvisions(net("A")), tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    monkeypatch.setattr(published, "_empty", lambda name, kind, size: VGG(name, **SIZE | size))
    found = load(f"torchvision:A={tmp_path}/a.pth")
    assert same(found.model, from_torchvision("A", torchvisions(net("A")), **SIZE).model)


def test_without_a_file_torchvision_downloads_and_checks_it(monkeypatch):
    asked, state = {}, torchvisions(net("B"))

    def downloading(url, **settings):
        asked.update(settings, url=url)
        return state

    monkeypatch.setattr(published, "_empty", lambda name, kind, size: VGG(name, **SIZE | size))
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", downloading)
    assert same(load("torchvision:B").model, from_torchvision("B", state).model)
    assert re.search(r"/vgg13-[0-9a-f]{8}\.pth$", asked["url"]) and asked["check_hash"] and asked["weights_only"]

    def failing(url, **settings):
        raise RuntimeError('invalid hash value (expected "19584684", got "0")')

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", failing)
    with pytest.raises(
        OSError, match=r"vgg13-.*\.pth could not be downloaded \(invalid hash .*write torchvision:B=PATH"
    ):
        load("torchvision:B")


class Executed:
    def __reduce__(self):
        return os.mkdir, ("executed",)


def without(state, name):
    return {key: value for key, value in state.items() if key != name}


def batch_norm():
    return {"features.0.weight": torch.zeros(1), "features.1.running_mean": torch.zeros(1)}


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("D", lambda: torchvisions(net("A")), "11 weight layers and net D has 16"),
        ("A", lambda: torchvisions(net("A")), r"features.0.weight has shape \(4, 3, 3, 3\) where conv1_1 has \(64, 3"),
        ("A", batch_norm, "batch normalisation"),
        ("A", lambda: {"features.0.weight": torch.zeros(1)}, "no fully connected layers"),
        ("A", lambda: {"conv1_1.weight": torch.zeros(1)}, "conv1_1.weight is no name of torchvision's VGG"),
        ("A", lambda: without(torchvisions(net("A")), "features.3.bias"), "features.3.bias is missing"),
        (
            "A",
            lambda: torchvisions(net("A")) | {"features.0.bias": torch.zeros(1)},
            r"features.0.bias has shape \(1,\)",
        ),
        ("A", lambda: {"state_dict": {}}, "no state dict of tensors"),
        ("A", lambda: [torch.zeros(1)], "no state dict of tensors"),
        ("A", lambda: Executed(), "nothing of it was executed"),
        ("A", lambda: b"<html>", "is no PyTorch file"),
        ("A", lambda: b"", "is no PyTorch file"),
    ],
)
def test_a_file_of_torchvisions_that_does_not_fit_is_refused_by_name(name, content, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content, path = content(), tmp_path / "net.pth"
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    with pytest.raises(ValueError, match=f"net.pth does not fit net {name}: .*{message}") as refusal:
        load(f"torchvision:{name}={path}")
    assert "\n" not in str(refusal.value) and not (tmp_path / "executed").exists()


@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_that_is_cut_short_is_refused(zipped, tmp_path):
    path = tmp_path / "net.pth"
    torch.save(torchvisions(net("A")), path, _use_new_zipfile_serialization=zipped)
    whole = path.read_bytes()
    for length in (len(whole) // 2, len(whole) - 100, 600):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"net.pth does not fit net A: .*(no PyTorch file|cut short)"):
            load(f"torchvision:A={path}")


def renamed(layers, old, new):
    return {new if name == old else name: arrays for name, arrays in layers.items()}


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda layers: renamed(layers, "fc6", "fc6-conv"), "fc6 is missing"),
        (lambda layers: layers | {"conv3_4": layers["conv3_3"]}, "it has a layer conv3_4"),
        (
            lambda layers: layers | {"fc8": layers["fc7"]},
            r"fc8 has .*\(256, 256\) and \(256,\) where the net has \(5, 256\)",
        ),
        (lambda layers: layers | {"fc8": layers["fc8"][:1]}, r"fc8 has numbers of shape \(5, 256\) where"),
    ],
)
def test_a_caffe_model_of_another_net_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        from_caffe("D", change(caffes(net())), **SIZE)


def test_a_caffe_file_of_another_net_is_named(tmp_path):
    path = tmp_path / "net.caffemodel"
    path.write_bytes(caffemodel(caffes(net()), True))
    with pytest.raises(ValueError, match=r"net.caffemodel does not fit net E: conv3_4 is missing"):
        load(f"caffe:E={path}")
    with pytest.raises(
        ValueError, match=r"conv1_1 has numbers of shape \(4, 3, 3, 3\) and \(1, 1, 1, 4\) where the net"
    ):
        load(f"caffe:D={path}")


@pytest.mark.parametrize(
    "text, message",
    [
        ("D", "'D' is no source of weights: write torchvision:NET or caffe:NET"),
        ("timm:D", "no source of weights"),
        ("caffe:", "no source of weights"),
        ("torchvision:D=", "no source of weights"),
        (
            "torchvision:C",
            "there are no weights of net C by torchvision: there are A, B, D, E of torchvision and D, E of",
        ),
        ("torchvision:A-LRN", "no weights of net A-LRN"),
        ("torchvision:B-5x5", "no weights of net B-5x5"),
        ("caffe:A", "no weights of net A by caffe"),
        ("caffe:F", "unknown net 'F'"),
        ("caffe:D", "the file of caffe:D is not given"),
        ("caffe:D=/nowhere/net.caffemodel", "/nowhere/net.caffemodel is not a file"),
    ],
)
def test_a_source_without_weights_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        load(text)


def run_of(source, protocol=Protocol(256)):  # noqa: B008
    return Run("imagenet", Source.of(source).experiment, protocol)


def test_a_net_is_converted_once_and_taken_from_there(store, tmp_path, monkeypatch):
    run, source = run_of("torchvision:D"), Source.of("torchvision:D")
    mine = Published(net(), torch.tensor([1.0, 2.0, 3.0]))
    monkeypatch.setattr(published, "load", lambda _: mine)
    (tmp_path / "mine.pth").touch()
    file = Source("torchvision", "D", tmp_path / "mine.pth")
    with pytest.raises(ValueError, match="D_torchvision tell 5 classes apart and the images have 4"):
        published.keep(store, [run], file, classes=4)
    monkeypatch.setattr(published, "load", None)  # would fail if called: half a gigabyte is not downloaded for that
    with pytest.raises(ValueError, match="D_torchvision tell 1000 classes apart and the images have 12"):
        published.keep(store, [run], source, classes=12)
    monkeypatch.setattr(published, "load", lambda _: mine)
    assert not store.weights_path(run).exists()
    path = published.keep(store, [run], file, classes=5)
    assert path == store.weights_path(run) and path.name == "D_torchvision.safetensors"
    monkeypatch.setattr(published, "load", None)  # would fail if called
    assert published.keep(store, [run], source) == path
    trained = published.trained(store, run, 5)
    assert same(trained.model, mine.model) and trained.mean_rgb.tolist() == [1, 2, 3] and trained.history == ()
    monkeypatch.undo()
    assert same(load(f"torchvision:D={path}").model, mine.model)  # such as on another machine
    with pytest.raises(ValueError, match=r"holds weights of torchvision:D and not of torchvision:E"):
        load(f"torchvision:E={path}")
    with pytest.raises(ValueError, match="D_torchvision tell 5 classes apart and the images have 4"):
        published.trained(store, run, 4)


def test_other_weights_than_before_are_refused(store, tmp_path, monkeypatch):
    (tmp_path / "net.caffemodel").touch()
    run, given = run_of("caffe:D"), Source("caffe", "D", tmp_path / "net.caffemodel")
    with pytest.raises(ValueError, match=r"D_caffe.safetensors does not exist: name the file, such as caffe:D=/path"):
        published.keep(store, [run], Source.of("caffe:D"))
    seen = {"seed": 0}
    monkeypatch.setattr(published, "load", lambda _: Published(net(**seen), torch.zeros(3)))
    path = published.keep(store, [run], given)
    before = path.read_bytes()
    published.keep(store, [run], given)
    seen["seed"] = 1
    with pytest.raises(ValueError, match=r"D_caffe.safetensors was made of other weights than caffe:D: pass another"):
        published.keep(store, [run], given)
    assert path.read_bytes() == before
    path.unlink()
    monkeypatch.setattr(Store, "read", lambda *_: {"weights_sha256": digest(net())})
    with pytest.raises(ValueError, match=r"the record D_caffe_dense_Q256 was made of other weights"):
        published.keep(store, [run], given)
    assert not path.exists()


def test_a_damaged_or_foreign_converted_file_is_refused(store):
    run = run_of("torchvision:D")
    path = store.weights_path(run)
    published.write(path, Published(net(), torch.zeros(3)), "torchvision:D")
    tensors, state = checkpoints.read(path)
    whole = path.read_bytes()
    name = "model.head.fc8.bias"
    for changed in (
        (tensors | {name: tensors[name] + 1}, state),
        (without(tensors, name), state),
        (tensors, without(state, "mean_rgb")),
        (tensors, state | {"size": {"depth": 3}}),
    ):
        checkpoints.write(path, *changed)
        with pytest.raises(ValueError, match=r"D_torchvision.safetensors is damaged: delete it"):
            published.trained(store, run, 5)
    checkpoints.write(path, tensors, {"history": []})
    with pytest.raises(ValueError, match="holds weights of a training and not of torchvision:D"):
        published.trained(store, run, 5)
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"D_torchvision.safetensors is damaged or of an earlier version"):
        published.trained(store, run, 5)
