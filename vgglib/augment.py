"""Random crops, flips and colour shifts (Sect. 3.1), drawn for a whole batch at once on the images' own device."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from vgglib.data.imageset import ImageSet, Split

COLOUR_SD = 0.1  # Krizhevsky's, of each principal component


def generator(*key: int) -> torch.Generator:
    """A CPU generator that depends on `key` alone, such as (seed, epoch, step): resuming needs no generator state."""
    state = np.random.SeedSequence(key).generate_state(2)
    return torch.Generator().manual_seed(int(state[0]) << 32 | int(state[1]))


def crop_and_flip(split: Split, index: Tensor, size: int, draws: torch.Generator) -> Tensor:
    """One random crop of each image, mirrored with probability one half.

    index: (B,) which images; -> (B, 3, size, size) uint8, in channels_last memory.
    Raises ValueError when an image is smaller than the crop.
    """
    if split.smallest_side < size:
        raise ValueError(
            f"an image has a side of {split.smallest_side} pixels, less than the crop of {size}: rescale to a larger S."
        )
    sizes, starts = split.sizes[index], split.starts[index]
    device = split.pixels.device
    # Drawn on the CPU, so that every device sees the same crops.
    uniform = torch.rand(len(index), 3, generator=draws).to(device)
    top, left = (uniform[:, :2] * (sizes - size + 1)).long().unbind(1)
    steps = torch.arange(size, device=device)
    columns = torch.where(uniform[:, 2:] < 0.5, steps.flip(0), steps)
    rows = (starts + top * sizes[:, 1] + left)[:, None, None] + (steps * sizes[:, 1:])[:, :, None] + columns[:, None, :]
    return split.pixels.index_select(0, rows.flatten()).view(len(index), size, size, 3).permute(0, 3, 1, 2)


def colour_shift(components: Tensor, count: int, draws: torch.Generator) -> Tensor:
    """(count, 3) grey levels to add to the channels of each image: 0.1 * N(0, 1) of every principal component."""
    return COLOUR_SD * torch.randn(count, 3, generator=draws) @ components.T


def training_batch(images: ImageSet, split: Split, index: Tensor, size: int, draws: torch.Generator) -> Tensor:
    """What the net trains on: (B, 3, size, size) float32 crops with the training mean subtracted, grey levels unscaled.

    `split` holds the images on the training device at the training scale; mean and colour components come from
    `images`.
    """
    crops = crop_and_flip(split, index, size, draws)
    shift = colour_shift(images.rgb_components, len(index), draws) - images.mean_rgb
    return crops + shift[:, :, None, None].to(crops.device)
