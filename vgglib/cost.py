"""What a net costs, counted from its configuration: weights, multiply-adds, activations, memory.

Multiply-adds are those of convolutions and fully connected layers, as torchvision and fvcore count them; what
rectifications, pools and normalisation compute is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from vgglib.configs import Config, Layer, as_config
from vgglib.experiments import CROP, GRID

TRAINING_PASSES = 3  # one forward and about two backward: a training step's multiply-adds over those of a test
BYTES = {"fp32": 4, "bf16": 2}  # of one number
INDEX_BYTES = 8  # PyTorch remembers where each maximum was as int64


@dataclass(frozen=True)
class Count:
    """One layer on one square image: `inputs` and `outputs` are values, `weights` and `biases` parameters."""

    layer: Layer
    block: str  # "1" to "5", or "head"
    side: int  # of the output, in units
    inputs: int
    outputs: int
    weights: int
    biases: int
    macs: int


def counts(net: str | Config, image_size: int = CROP, num_classes: int = 1000) -> Iterator[Count]:
    """Every layer of a net on a square image of `image_size` pixels, the head included, in order.

    `net` is a name such as "D" or a `Config`, here and below. Raises ValueError for an unknown name, an image of which
    nothing is left after the last pool, and less than one class.
    """
    net = as_config(net)
    if num_classes < 1:
        raise ValueError(f"num_classes is {num_classes}: it must be at least 1.")
    if image_size < net.stride:
        raise ValueError(f"an image of {image_size} pixels leaves nothing after the last pool: take {net.stride}.")
    side, channels = image_size, 3
    for number, block in enumerate(net.blocks, start=1):
        for layer in block:
            inputs = side**2 * channels
            side //= layer.stride
            weights = layer.kernel**2 * channels * layer.channels if layer.kind == "conv" else 0
            biases = layer.channels if layer.kind == "conv" else 0
            outputs = side**2 * layer.channels
            yield Count(layer, str(number), side, inputs, outputs, weights, biases, side**2 * weights)
            channels = layer.channels
    inputs = side**2 * channels
    for name, width in zip(("fc6", "fc7", "fc8"), (*net.fully_connected, num_classes), strict=True):
        yield Count(Layer(name, "fc", width), "head", 1, inputs, width, inputs * width, width, inputs * width)
        inputs = width


def layers(net: str | Config, image_size: int = CROP, num_classes: int = 1000) -> pd.DataFrame:
    """The same as a table: `layer`, `block`, `kind`, `kernel`, `channels`, `side`, `parameters`, `macs`, `activations`
    (values of the output).
    """
    lines = [
        {
            "layer": count.layer.name,
            "block": count.block,
            "kind": count.layer.kind,
            "kernel": count.layer.kernel,
            "channels": count.layer.channels,
            "side": count.side,
            "parameters": count.weights + count.biases,
            "macs": count.macs,
            "activations": count.outputs,
        }
        for count in counts(net, image_size, num_classes)
    ]
    return pd.DataFrame(lines)


def parameters(net: str | Config, num_classes: int = 1000, input_size: int = CROP) -> int:
    """Weights and biases of a net whose head reads crops of `input_size` pixels (Table 2)."""
    return sum(count.weights + count.biases for count in counts(net, input_size, num_classes))


def macs(net: str | Config, image_size: int = CROP, num_classes: int = 1000) -> int:
    """Multiply-adds of one forward pass on a square crop of `image_size` pixels."""
    return sum(count.macs for count in counts(net, image_size, num_classes))


def dense_macs(net: str | Config, image_size: int, crop: int = CROP, num_classes: int = 1000) -> int:
    """Multiply-adds of one dense pass over a square image of `image_size` pixels (Sect. 3.2): the convolutions on all
    of it, and the head, which reads crops of `crop` pixels, at every cell of the score map.

    Raises ValueError as `counts`, and for an image smaller than the crop.
    """
    if image_size < crop:
        raise ValueError(f"an image of {image_size} pixels is smaller than the crop of {crop}: take {crop} at least.")
    stride = as_config(net).stride
    cells = (image_size // stride - crop // stride + 1) ** 2
    convolutions = sum(count.macs for count in counts(net, image_size, num_classes) if count.block != "head")
    return convolutions + cells * sum(count.macs for count in counts(net, crop, num_classes) if count.block == "head")


def memory(
    net: str | Config, batch_size: int, image_size: int = CROP, num_classes: int = 1000, precision: str = "bf16"
) -> pd.DataFrame:
    """Bytes that training and testing take layer by layer, by `part`; columns `training` and `testing`.

    Weights, their gradients and the momentum are single precision; with `precision` "bf16" each weight also has a copy
    in it (`copies`), which products and the backward pass take. Training keeps the input of every layer for the
    backward pass, where the maxima of every pool were, and of normalisation a number in single precision for each value
    (`lrn`); testing keeps the input and output of one layer. Working memory of the kernels and dropout masks come on
    top. Code that is compiled as a whole can do without the places of the maxima, and takes less; hardware without
    units for bf16 keeps rounded numbers in single precision, and takes more.
    """
    if precision not in BYTES:
        raise ValueError(f"unknown precision {precision!r}: choose {' or '.join(BYTES)}.")
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}: it must be at least 1.")
    found = list(counts(net, image_size, num_classes))
    numbers = sum(count.weights + count.biases for count in found)
    weights = BYTES["fp32"] * numbers
    copies = BYTES["bf16"] * numbers if precision == "bf16" else 0
    kept = sum(count.inputs for count in found) * BYTES[precision]
    kept += sum(count.inputs for count in found if count.layer.kind == "lrn") * BYTES["fp32"]
    places = sum(count.outputs for count in found if count.layer.kind == "pool") * INDEX_BYTES
    passing = max(count.inputs + count.outputs for count in found) * BYTES[precision]
    parts = {
        "weights": (weights, weights),
        "copies": (copies, copies),
        "gradients": (weights, 0),
        "momentum": (weights, 0),
        "activations": (batch_size * (kept + places), batch_size * passing),
    }
    return pd.DataFrame([(part, *values) for part, values in parts.items()], columns=["part", "training", "testing"])


def stacks(channels: int = 256) -> pd.DataFrame:
    """Sect. 2.3: stacks of 3x3 layers against the single layer that sees the same square, `channels` in and out.

    Columns `stack`, `single`, `field_px`, `stack_weights`, `single_weights` (biases left out; also the multiply-adds at
    each position), `more_percent` (what the single layer has more), `stack_rectifications` (the single layer has one).
    """
    if channels < 1:
        raise ValueError(f"channels is {channels}: it must be at least 1.")
    lines = []
    for depth in (2, 3, 4, 5):
        field = 1 + 2 * depth
        stack, single = 9 * depth * channels**2, field**2 * channels**2
        lines.append(
            {
                "stack": f"{depth} of 3x3",
                "single": f"{field}x{field}",
                "field_px": field,
                "stack_weights": stack,
                "single_weights": single,
                "more_percent": 100 * (single / stack - 1),
                "stack_rectifications": depth,
            }
        )
    return pd.DataFrame(lines)


def crops_over_dense(test_scales: tuple[int, ...] = (256, 384, 512), aspect: float = 1.0) -> float:
    """Pixels of the 5 x 5 grid of crops over those of the whole image, summed over the test scales Q (Sect. 3.2).

    aspect: longer over smaller side of the image. Where time goes by pixels, so much more do crops cost.
    """
    return len(test_scales) * (GRID * CROP) ** 2 / sum(aspect * scale**2 for scale in test_scales)
