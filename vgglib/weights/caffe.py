"""Weights out of a .caffemodel, the binary protobuf message in which Caffe saves a net."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path

import numpy as np

# The messages of a saved net that weights stand in, with the fields that are read: (name, number, type, repeated).
# Whatever else a file has is skipped. Numbers that stand one after another are read as the bytes they are, since a net
# of 138 million weights would take a minute one by one.
MESSAGES = {
    "Shape": [("dim", 1, "int64", True)],
    "Blob": [
        ("num", 1, "int64", False),  # the old form's shape
        ("channels", 2, "int64", False),
        ("height", 3, "int64", False),
        ("width", 4, "int64", False),
        ("data", 5, "bytes", True),
        ("shape", 7, "Shape", False),
        ("double_data", 8, "bytes", True),
    ],
    "Layer": [("name", 1, "string", False), ("blobs", 7, "Blob", True)],
    "OldLayer": [("name", 4, "string", False), ("blobs", 6, "Blob", True)],  # of 2014, as in the authors' own files
    "Net": [("layers", 2, "OldLayer", True), ("layer", 100, "Layer", True)],
}


def read(path: str | Path) -> dict[str, list[np.ndarray]]:
    """The blobs of every layer that has any, by the layer's name: for a convolution or a fully connected layer its
    weights, then its biases, float32.

    Shapes are as the file states them: the old form has four numbers for each, such as (1, 1, 4096, 25088).
    Raises ValueError when protobuf is not installed, or the file is no Caffe model or cut short; OSError when it cannot
    be read.
    """
    net = message("Net")
    data = Path(path).read_bytes()
    try:
        net.ParseFromString(data)
    except _decode_error() as error:
        raise ValueError(f"{path} is no Caffe model, or cut short: get the .caffemodel file again.") from error
    del data  # half a gigabyte
    found = {}
    for layer in (*net.layers, *net.layer):
        if layer.blobs:
            found[layer.name] = [_array(blob, path, layer.name) for blob in layer.blobs]
            layer.ClearField("blobs")
    if not found:
        raise ValueError(f"{path} holds no weights: take a .caffemodel file, not a description of a net.")
    return found


def message(name: str):
    """An empty message of the kind called `name` in `MESSAGES`; ValueError when protobuf is not installed."""
    return _classes()[name]()


@cache
def _classes() -> dict:
    try:
        from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
    except ImportError as error:
        raise ValueError(
            'to read Caffe models takes protobuf: pip install -e ".[caffe]" in the project\'s folder.'
        ) from error
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="vgglib/caffe.proto", package="vgglib.caffe", syntax="proto2")
    for name, entries in MESSAGES.items():
        kind = file.message_type.add(name=name)
        for own, number, what, repeated in entries:
            label = field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL
            added = kind.field.add(name=own, number=number, label=label)
            if what in MESSAGES:
                added.type, added.type_name = field.TYPE_MESSAGE, f".vgglib.caffe.{what}"
            else:
                added.type = getattr(field, f"TYPE_{what.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    described = {name: pool.FindMessageTypeByName(f"vgglib.caffe.{name}") for name in MESSAGES}
    return {name: message_factory.GetMessageClass(kind) for name, kind in described.items()}


def _decode_error() -> type[Exception]:
    from google.protobuf.message import DecodeError

    return DecodeError


def _array(blob, path: str | Path, layer: str) -> np.ndarray:
    kind, pieces = (np.dtype("<f8"), blob.double_data) if blob.double_data else (np.dtype("<f4"), blob.data)
    data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
    old = (blob.num, blob.channels, blob.height, blob.width)
    shape = tuple(blob.shape.dim) if blob.HasField("shape") else old
    if len(data) != kind.itemsize * math.prod(shape):
        raise ValueError(
            f"{path} has {len(data)} bytes of numbers for layer {layer} where its shape {shape} takes "
            f"{kind.itemsize * math.prod(shape)}: get the .caffemodel file again."
        )
    return np.frombuffer(data, kind).reshape(shape).astype(np.float32)
