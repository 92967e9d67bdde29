"""Nets as Caffe saves them, for tests."""

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

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
