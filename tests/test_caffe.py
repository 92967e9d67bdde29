import sys

import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from vgglib.weights import caffe

FIELD = descriptor_pb2.FieldDescriptorProto
# The messages again as Caffe declares them, apart from what `caffe` reads with: numbers are numbers here, not bytes.
DECLARED = {
    "BlobShape": [("dim", 1, "INT64", True)],
    "BlobProto": [
        *((name, n, "INT64", False) for n, name in enumerate(("num", "channels", "height", "width"), start=1)),
        *(("data", 5, "FLOAT", True), ("diff", 6, "FLOAT", True)),
        *(("shape", 7, "BlobShape", False), ("double_data", 8, "DOUBLE", True)),
    ],
    "LayerParameter": [("name", 1, "STRING", False), ("type", 2, "STRING", False), ("blobs", 7, "BlobProto", True)],
    "V1LayerParameter": [("name", 4, "STRING", False), ("type", 5, "INT32", False), ("blobs", 6, "BlobProto", True)],
    "NetParameter": [
        ("name", 1, "STRING", False),
        ("layers", 2, "V1LayerParameter", True),
        ("input_dim", 4, "INT64", True),
        ("layer", 100, "LayerParameter", True),
    ],
}


def declared():
    file = descriptor_pb2.FileDescriptorProto(name="test/caffe.proto", package="test", syntax="proto2")
    for name, entries in DECLARED.items():
        kind = file.message_type.add(name=name)
        for own, number, what, repeated in entries:
            field = kind.field.add(name=own, number=number, label=FIELD.LABEL_OPTIONAL + 2 * repeated)
            if what in DECLARED:
                field.type, field.type_name = FIELD.TYPE_MESSAGE, f".test.{what}"
            else:
                field.type = getattr(FIELD, f"TYPE_{what}")
                field.options.packed = repeated
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("test.NetParameter"))


NET = declared()


def caffemodel(layers, old):
    """A net as Caffe saves it: {name: arrays}; in the old form every shape has four numbers."""
    net = NET(name="VGG", input_dim=[10, 3, 224, 224])
    own = net.layers if old else net.layer
    own.add(name="data", type=5 if old else "Data")
    for name, arrays in layers.items():
        layer = own.add(name=name, type=4 if old else "Convolution")
        for array in arrays:
            blob = layer.blobs.add(data=array.ravel())
            if old:
                shape = (1,) * (4 - array.ndim) + array.shape
                blob.num, blob.channels, blob.height, blob.width = shape
            else:
                blob.shape.dim.extend(array.shape)
    return net.SerializeToString()


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
