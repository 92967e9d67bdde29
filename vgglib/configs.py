"""Table 1 of the paper as data: which layers make up nets A, A-LRN, B, C, D and E, and the shallow B-5x5 of Sect.
4.1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cache

# One string per block, in the paper's own notation; every block ends with a 2x2 max-pool of stride 2.
TABLE_1: dict[str, tuple[str, ...]] = {
    "A": (
        "conv3-64",
        "conv3-128",
        "conv3-256 conv3-256",
        "conv3-512 conv3-512",
        "conv3-512 conv3-512",
    ),
    "A-LRN": (
        "conv3-64 LRN",
        "conv3-128",
        "conv3-256 conv3-256",
        "conv3-512 conv3-512",
        "conv3-512 conv3-512",
    ),
    "B": (
        "conv3-64 conv3-64",
        "conv3-128 conv3-128",
        "conv3-256 conv3-256",
        "conv3-512 conv3-512",
        "conv3-512 conv3-512",
    ),
    "C": (
        "conv3-64 conv3-64",
        "conv3-128 conv3-128",
        "conv3-256 conv3-256 conv1-256",
        "conv3-512 conv3-512 conv1-512",
        "conv3-512 conv3-512 conv1-512",
    ),
    "D": (
        "conv3-64 conv3-64",
        "conv3-128 conv3-128",
        "conv3-256 conv3-256 conv3-256",
        "conv3-512 conv3-512 conv3-512",
        "conv3-512 conv3-512 conv3-512",
    ),
    "E": (
        "conv3-64 conv3-64",
        "conv3-128 conv3-128",
        "conv3-256 conv3-256 conv3-256 conv3-256",
        "conv3-512 conv3-512 conv3-512 conv3-512",
        "conv3-512 conv3-512 conv3-512 conv3-512",
    ),
    # Sect. 4.1: net B with each pair of 3x3 layers replaced by one 5x5 layer, which sees the same field.
    "B-5x5": (
        "conv5-64",
        "conv5-128",
        "conv5-256",
        "conv5-512",
        "conv5-512",
    ),
}
FULLY_CONNECTED = (4096, 4096)
# Sect. 3.1: deeper nets start with the first four convolutions and the three fully connected layers of a trained A.
GROWN_LAYERS = ("conv1_1", "conv2_1", "conv3_1", "conv3_2", "fc6", "fc7", "fc8")
GROWN_NETS = ("B", "C", "D", "E")
DEPTHS = ("A", "B", "C", "D", "E")  # each deeper than, or as deep as, the one before; A-LRN is no step of depth
INITIALISATIONS = ("glorot", "he-fan-out", "gaussian")  # what they draw is in models.initialise


@dataclass(frozen=True)
class Layer:
    """One layer of a net; `channels` counts its outputs, `kernel`, `stride` and `padding` are in pixels of its
    input.
    """

    name: str
    kind: str  # "conv", "lrn", "pool" or "fc"
    channels: int
    kernel: int = 1
    stride: int = 1
    padding: int = 0


@dataclass(frozen=True)
class Config:
    """A column of Table 1. `blocks` holds the layers up to each max-pool, `fully_connected` the widths of fc6 and
    fc7.
    """

    name: str
    blocks: tuple[tuple[Layer, ...], ...]
    fully_connected: tuple[int, ...] = FULLY_CONNECTED

    @property
    def layers(self) -> tuple[Layer, ...]:
        """All layers before the head, in order, pools included."""
        return tuple(layer for block in self.blocks for layer in block)

    @property
    def weight_layers(self) -> int:
        """Layers with weights, the number in the paper's column heads (11, 13, 16, 19)."""
        return sum(layer.kind == "conv" for layer in self.layers) + len(self.fully_connected) + 1

    @property
    def stride(self) -> int:
        """Pixels of the image between neighbouring cells of the last pool: 32 for five pools."""
        return 2 ** len(self.blocks)

    def scaled(self, width: float) -> Config:
        """The same net with every channel count multiplied by `width` (the paper's is 1).

        Raises ValueError when `width` is not positive or leaves a layer without a whole, positive number of channels.
        """
        if not 0 < width < math.inf:
            raise ValueError(f"width is {width}: it multiplies channel counts and must be greater than 0 and finite.")

        def scale(channels: int) -> int:
            scaled = channels * width
            if scaled < 1 or scaled != int(scaled):
                raise ValueError(
                    f"width {width} turns {channels} channels into {scaled:g}: take a width that gives whole "
                    "channels, such as 0.25."
                )
            return int(scaled)

        blocks = tuple(
            tuple(replace(layer, channels=scale(layer.channels)) for layer in block) for block in self.blocks
        )
        return replace(self, blocks=blocks, fully_connected=tuple(scale(n) for n in self.fully_connected))


def _block(number: int, text: str) -> tuple[Layer, ...]:
    layers: list[Layer] = []
    convs = 0
    for word in text.split():
        if word == "LRN":
            layers.append(Layer(f"lrn{number}", "lrn", layers[-1].channels))
            continue
        kernel, channels = (int(part) for part in word.removeprefix("conv").split("-"))
        convs += 1
        # Sect. 2.1: stride 1 and a padding that keeps the resolution.
        layers.append(Layer(f"conv{number}_{convs}", "conv", channels, kernel, padding=kernel // 2))
    return (*layers, Layer(f"pool{number}", "pool", layers[-1].channels, kernel=2, stride=2))


@cache
def config(name: str) -> Config:
    """The net called `name` in Table 1, at the paper's full width; ValueError for an unknown name."""
    if name not in TABLE_1:
        raise ValueError(f"unknown net {name!r}: choose one of {', '.join(TABLE_1)}.")
    return Config(name, tuple(_block(number, text) for number, text in enumerate(TABLE_1[name], start=1)))


def as_config(net: str | Config) -> Config:
    """A net given by its name in Table 1 or as a `Config`; ValueError for an unknown name."""
    return net if isinstance(net, Config) else config(net)
