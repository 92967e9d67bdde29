"""Which pixels of the image a unit of a net can see, by arithmetic; `effective_field` measures which it uses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from vgglib.configs import Config, Layer, as_config


@dataclass(frozen=True)
class Field:
    """The receptive fields of one layer's units along one side of the image, all lengths in pixels.

    Unit i sees the `size` pixels from `stride * i - padding` on, where pixel 0 is the image's first and `padding` is
    how far the first unit reaches over the edge.
    """

    size: int = 1
    stride: int = 1
    padding: int = 0

    def through(self, layer: Layer) -> Field:
        """The fields of the units of a layer that reads this one's."""
        return Field(
            size=self.size + (layer.kernel - 1) * self.stride,
            stride=self.stride * layer.stride,
            padding=self.padding + layer.padding * self.stride,
        )

    def span(self, unit: int) -> tuple[int, int]:
        """First and last pixel that a unit sees; those below 0, or beyond the image, are padding."""
        first = self.stride * unit - self.padding
        return first, first + self.size - 1

    def centre(self, unit: int) -> float:
        """The middle of a unit's field, in pixels; whole numbers are centres of pixels."""
        return sum(self.span(unit)) / 2

    def outside(self, unit: int, side: int) -> float:
        """The share, 0 to 1, of a unit's field that lies outside an image of `side` pixels, along this side alone."""
        first, last = self.span(unit)
        inside = max(0, min(last, side - 1) - max(first, 0) + 1)
        return 1 - inside / self.size

    def sees_all(self, unit: int, side: int) -> bool:
        """Whether a unit's field covers an image of `side` pixels."""
        first, last = self.span(unit)
        return first <= 0 and last >= side - 1


IMAGE = Field()
WHO = ("centre", "all")  # of a layer's units sees the whole image: the most central one, or each


def fields(net: str | Config, input_size: int = 224) -> Iterator[tuple[Layer, Field, int]]:
    """Every layer of a net with its field and the units along a side of an image of `input_size` pixels, in order; the
    head is one unit that sees the last pool whole (Sect. 3.2 reads it as a convolution of that size).

    `net` is a name such as "D" or a `Config`, here and below. Raises ValueError for an unknown name, and an image of
    which nothing is left after the last pool.
    """
    net = as_config(net)
    if input_size < net.stride:
        raise ValueError(f"an image of {input_size} pixels leaves nothing after the last pool: take {net.stride}.")
    field, side = IMAGE, input_size
    for layer in net.layers:
        if layer.kind == "pool":
            side //= layer.stride
        field = field.through(layer)
        yield layer, field, side
    # The later layers of the head look at one place each and see what the first does.
    for name, kernel in (("fc6", side), ("fc7", 1), ("fc8", 1)):
        layer = Layer(name, "fc", 0, kernel)
        field = field.through(layer)
        yield layer, field, 1


def table(net: str | Config, input_size: int = 224) -> pd.DataFrame:
    """One line per layer: `layer`, `kind`, `units` along a side, `size_px`, `stride_px`, `padding_px`, `centre_px` of
    the first unit, `outside_percent` (the mean share of a unit's square field that is padding) and `sees_all`: "none",
    "centre" (the most central unit) or "all" units see the whole image. Sect. 2.3 argues with these sizes.
    """
    lines = [
        {
            "layer": layer.name,
            "kind": layer.kind,
            "units": units,
            "size_px": field.size,
            "stride_px": field.stride,
            "padding_px": field.padding,
            "centre_px": field.centre(0),
            "outside_percent": 100 * outside_share(field, units, input_size),
            "sees_all": _who_sees_all(field, units, input_size),
        }
        for layer, field, units in fields(net, input_size)
    ]
    return pd.DataFrame(lines)


def outside_share(field: Field, units: int, side: int) -> float:
    """The mean share of the units' square fields that lies outside a square image, 0 to 1."""
    inside = np.array([1 - field.outside(unit, side) for unit in range(units)])
    return float(1 - np.outer(inside, inside).mean())


def _who_sees_all(field: Field, units: int, side: int) -> str:
    seeing = [field.sees_all(unit, side) for unit in range(units)]
    return "all" if all(seeing) else "centre" if any(seeing) else "none"


def first_that_sees_all(net: str | Config, input_size: int = 224, who: str = "centre") -> str:
    """The first layer of which the most central unit (`who` "centre"), or every unit ("all"), sees the whole image.

    Raises ValueError for another `who`.
    """
    if who not in WHO:
        raise ValueError(f"unknown who {who!r}: choose {' or '.join(WHO)}.")
    enough = WHO[WHO.index(who) :]  # where every unit does, so does the most central one
    found = table(net, input_size)
    return str(found.loc[found["sees_all"].isin(enough), "layer"].iloc[0])
