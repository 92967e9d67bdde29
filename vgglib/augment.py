"""What is random about a training step (Sect. 3.1): scale jitter, crops, flips and colour shifts, drawn for a whole
batch at once.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor

from vgglib.data.imageset import ImageSet, Split
from vgglib.data.resample import sides_at

COLOUR_SD = 0.1  # Krizhevsky's, of each principal component


@dataclass(frozen=True)
class Draws:
    """What was drawn for a batch of B crops; the split cuts them out (`Split.crops`).

    index: (B,) int64, which images; sides: (B, 2) int64, their height and width in pixels once rescaled to S; corners:
    (B, 2) int64, top and left of the crop in the rescaled image; mirrored: (B,) bool; shift: (B, 3) float32, grey
    levels to add to the channels; shrink: how many times smaller any image of the split may become, at most, None where
    none is rescaled.
    """

    index: Tensor
    sides: Tensor
    corners: Tensor
    mirrored: Tensor
    shift: Tensor
    shrink: float | None

    def part(self, first: int, last: int) -> Draws:
        """Those of the crops from `first` to before `last`."""
        return self._each(lambda tensor: tensor[first:last])

    def to(self, device: torch.device) -> Draws:
        """Those of the CPU on `device`, without waiting for what a GPU is at; not for bringing them back."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def _each(self, change) -> Draws:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{name: change(value) for name, value in values.items() if isinstance(value, Tensor)})


def generator(*key: int) -> torch.Generator:
    """A CPU generator that depends on `key` alone, such as (seed, epoch, step): resuming needs no generator state."""
    high, low = np.random.SeedSequence(key).generate_state(2)  # a CPU reads the low word, dropout on a GPU both
    return torch.Generator().manual_seed(int(high) << 32 | int(low))


def draw(
    images: ImageSet,
    split: Split,
    index: Tensor,
    size: int,
    draws: torch.Generator,
    scales: tuple[int, int] | None = None,
) -> Draws:
    """One random crop of `size` pixels of each image, mirrored with probability one half, and its colour shift.

    index: (B,) on the CPU, images of `split`; colour components come from `images`. Without `scales` the images are at
    the training scale already; with it each is rescaled to an S of its own, uniform over the integers from scales[0] to
    scales[1], in pixels: scale jitter.
    Raises ValueError for an image smaller than the crop, and for scales that fall, or begin below the crop.
    """
    sides, shrink = split.cpu_sizes[index], None
    if scales is None:
        if split.smallest_side < size:
            raise ValueError(
                f"an image has a side of {split.smallest_side} pixels, less than the crop of {size}: rescale to a "
                "larger S."
            )
    else:
        low, high = scales
        if not size <= low <= high:
            raise ValueError(
                f"S from {low} to {high} pixels will not do for crops of {size}: take {size} <= low <= high."
            )
        sides = sides_at(sides, torch.randint(low, high + 1, (len(index), 1), generator=draws))
        # A longer side that is rounded down included.
        shrink = max(1.0, split.largest_scale / (low - 0.5))
    uniform = torch.rand(len(index), 3, generator=draws)
    corners = (uniform[:, :2] * (sides - size + 1)).long()
    shift = colour_shift(images.rgb_components, len(index), draws)
    return Draws(index, sides, corners, uniform[:, 2] < 0.5, shift, shrink)


def colour_shift(components: Tensor, count: int, draws: torch.Generator) -> Tensor:
    """(count, 3) grey levels to add to the channels of each image: 0.1 * N(0, 1) of every principal component."""
    return COLOUR_SD * torch.randn(count, 3, generator=draws) @ components.T


def net_input(crops: Tensor, shift: Tensor, mean_rgb: Tensor) -> Tensor:
    """What the net trains on: (B, 3, size, size) float32 crops with the training mean subtracted and the colour shift
    (B, 3) added, grey levels unscaled; all on one device.
    """
    return crops + (shift - mean_rgb)[:, :, None, None]
