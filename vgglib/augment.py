"""Scale jitter, random crops, flips and colour shifts (Sect. 3.1), drawn for a whole batch at once on the images' own
device.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

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
    return split.pixels_at(index, *_random_window(split.sizes[index], size, draws))


def rescale_crop_and_flip(
    split: Split, index: Tensor, size: int, draws: torch.Generator, scales: tuple[int, int]
) -> Tensor:
    """One random crop of each image after rescaling it to an S of its own: scale jitter.

    S is uniform over the integers from scales[0] to scales[1], in pixels. To rounding, the crop is the one that
    `crop_and_flip` cuts from the image as `imageset.rescale` makes it, but only its own pixels are computed.
    index: (B,) which images; -> (B, 3, size, size) uint8, in channels_last memory.
    Raises ValueError when the scales fall, or begin below the crop.
    """
    low, high = scales
    if not size <= low <= high:
        raise ValueError(f"S from {low} to {high} pixels will not do for crops of {size}: take {size} <= low <= high.")
    sides = split.sizes[index]
    scale = torch.randint(low, high + 1, (len(index), 1), generator=draws).to(sides.device)
    rescaled = (sides.double() * scale / sides.amin(1, keepdim=True)).round().long()
    # How far any image may shrink, a longer side that is rounded down included.
    shrink = max(1.0, split.largest_scale / (low - 0.5))
    rows, columns = _random_window(rescaled, size, draws)
    rows, *row_taps = _resampling(rows, sides[:, :1], rescaled[:, :1], shrink)
    columns, *column_taps = _resampling(columns, sides[:, 1:], rescaled[:, 1:], shrink)
    x = split.pixels_at(index, rows, columns).permute(0, 2, 3, 1).float()
    x = _interpolate(x, *row_taps)
    x = _interpolate(x.transpose(1, 2), *column_taps)  # (B, column, row, colour)
    return x.permute(0, 3, 2, 1).round().to(torch.uint8, memory_format=torch.channels_last)


def _random_window(sides: Tensor, size: int, draws: torch.Generator) -> tuple[Tensor, Tensor]:
    """Rows and columns, (B, size) each, of a random crop of images with these sides (B, 2); a mirrored one's columns
    fall.
    """
    # Drawn on the CPU, so that every device sees the same crops.
    uniform = torch.rand(len(sides), 3, generator=draws).to(sides.device)
    top, left = (uniform[:, :2] * (sides - size + 1)).long().split(1, 1)
    steps = torch.arange(size, device=sides.device)
    return top + steps, left + torch.where(uniform[:, 2:] < 0.5, steps.flip(0), steps)


def _resampling(places: Tensor, side: Tensor, rescaled: Tensor, shrink: float) -> tuple[Tensor, Tensor, Tensor]:
    """Antialiased linear interpolation along one side, with PyTorch's filter: a triangle that reaches one pixel of
    whichever image is coarser.

    places: (B, size) in the rescaled image; side, rescaled: (B, 1) pixels before and after, at most `shrink` apart.
    Returns the window of source pixels to read, (B, window), and for every place its taps in that window and their
    weights, (B, size, taps) each. Window and taps are as many as `shrink` may ask for, so that all batches are alike.
    """
    factor = side / rescaled
    reach = factor.clamp(min=1)
    centres = (places + 0.5) * factor
    taps = torch.arange(int(2 * shrink) + 2, device=side.device)
    source = (centres - reach + 0.5).long().clamp(min=0)[:, :, None] + taps
    distance = (source + 0.5 - centres[:, :, None]).abs()
    weights = (1 - distance / reach[:, :, None]).clamp(min=0) * (source < side[:, :, None])
    first = source[:, :, 0].amin(1, keepdim=True)
    window = first + torch.arange(int(shrink * (places.shape[1] + 1)) + 2, device=side.device)
    taps = (source - first[:, :, None]).clamp(max=window.shape[1] - 1)  # those beyond weigh nothing
    return window.clamp(max=side - 1), taps, weights / weights.sum(2, keepdim=True)


def _interpolate(x: Tensor, taps: Tensor, weights: Tensor) -> Tensor:
    """Weighted sums of rows: x (B, window, n, 3), taps and weights (B, size, k) -> (B, size, n, 3)."""
    rows = x.flatten(2).flatten(0, 1)
    taps = taps + torch.arange(len(x), device=x.device)[:, None, None] * x.shape[1]
    # One pass over the few rows that count: a matrix product would mostly multiply by zero.
    sums = F.embedding_bag(taps.flatten(0, 1), rows, per_sample_weights=weights.flatten(0, 1), mode="sum")
    return sums.view(*taps.shape[:2], *x.shape[2:])


def colour_shift(components: Tensor, count: int, draws: torch.Generator) -> Tensor:
    """(count, 3) grey levels to add to the channels of each image: 0.1 * N(0, 1) of every principal component."""
    return COLOUR_SD * torch.randn(count, 3, generator=draws) @ components.T


def training_batch(
    images: ImageSet,
    split: Split,
    index: Tensor,
    size: int,
    draws: torch.Generator,
    scales: tuple[int, int] | None = None,
) -> Tensor:
    """What the net trains on: (B, 3, size, size) float32 crops with the training mean subtracted, grey levels unscaled.

    `split` holds the images on the training device; mean and colour components come from `images`. Without `scales`
    the images are at the training scale already; with it each is rescaled to an S drawn from scales[0] to scales[1].
    """
    if scales is None:
        crops = crop_and_flip(split, index, size, draws)
    else:
        crops = rescale_crop_and_flip(split, index, size, draws, scales)
    shift = colour_shift(images.rgb_components, len(index), draws) - images.mean_rgb
    return crops + shift[:, :, None, None].to(crops.device)
