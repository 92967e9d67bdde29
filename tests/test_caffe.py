import sys

import numpy as np
import pytest
from caffemodels import NET, caffemodel

from vgglib.weights import caffe


def layers_of(**shapes):
    numbers = iter(np.arange(1000, dtype=np.float32) / 7)
    return {
        name: [np.fromiter(numbers, np.float32, int(np.prod(shape))).reshape(shape) for shape in both]
        for name, both in shapes.items()
    }


LAYERS = layers_of(conv1_1=((4, 3, 3, 3), (4,)), fc8=((2, 5), (2,)))


@pytest.mark.parametrize("old", [True, False])
def test_what_caffe_saves_is_read(old, tmp_path):
    path = tmp_path / "net.caffemodel"
    path.write_bytes(caffemodel(LAYERS, old))
    found = caffe.read(path)
    assert list(found) == ["conv1_1", "fc8"]
    for name, arrays in LAYERS.items():
        for ours, theirs in zip(found[name], arrays, strict=True):
            assert ours.shape == ((1,) * (4 - theirs.ndim) + theirs.shape if old else theirs.shape)
            assert np.array_equal(ours.ravel(), theirs.ravel()) and ours.dtype == np.float32


def test_double_precision_and_gradients(tmp_path):
    net = NET()
    layer = net.layer.add(name="fc8")
    blob = layer.blobs.add(double_data=[0.1, 0.2], diff=[5.0, 6.0])
    blob.shape.dim.append(2)
    path = tmp_path / "net.caffemodel"
    path.write_bytes(net.SerializeToString())
    assert np.array_equal(caffe.read(path)["fc8"][0], np.float32([0.1, 0.2]))


def test_numbers_that_do_not_fill_their_shape_are_refused(tmp_path):
    net = NET()
    blob = net.layers.add(name="fc6").blobs.add(data=[1.0, 2.0])
    blob.num, blob.channels, blob.height, blob.width = 1, 1, 3, 1
    path = tmp_path / "net.caffemodel"
    path.write_bytes(net.SerializeToString())
    with pytest.raises(
        ValueError, match=r"net.caffemodel has 8 bytes of numbers for layer fc6 .* \(1, 1, 3, 1\) takes 12"
    ):
        caffe.read(path)


@pytest.mark.parametrize(
    "content, message",
    [
        (caffemodel(LAYERS, True)[:200], "is no Caffe model, or cut short"),
        (b"<!DOCTYPE html><title>Not found</title>", "is no Caffe model, or cut short"),
        (b'name: "VGG_ILSVRC_16_layers"\ninput: "data"\n', "is no Caffe model, or cut short"),
        (b"", "holds no weights"),
        (caffemodel({}, True), "holds no weights"),
    ],
)
def test_what_is_no_whole_model_is_refused_by_name(content, message, tmp_path):
    path = tmp_path / "net.caffemodel"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"net.caffemodel {message}"):
        caffe.read(path)


def test_without_protobuf_the_remedy_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "google.protobuf", None)
    caffe._classes.cache_clear()
    with pytest.raises(ValueError, match=r'pip install -e "\.\[caffe\]"'):
        caffe.read(tmp_path / "net.caffemodel")
