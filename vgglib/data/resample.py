"""Rescaling images, and cutting crops out of them without rescaling more than the crop."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def rescale(image: Tensor, side: int) -> Tensor:
    """(H, W, 3) uint8 with its smallest side brought to `side` pixels, the other in proportion (rounded)."""
    height, width = image.shape[:2]
    if min(height, width) == side:
        return image
    size = [max(side, round(n * side / min(height, width))) for n in (height, width)]
    planes = image.permute(2, 0, 1)[None].float()
    resized = F.interpolate(planes, size, mode="bilinear", antialias=True, align_corners=False)
    return resized[0].round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).contiguous()


def crop(image: Tensor, sides: tuple[int, int], corner: tuple[int, int], size: int) -> Tensor:
    """A window of an image, (size, size, C) uint8, as if the whole had been rescaled to `sides` (height, width).

    image: (H, W, C) uint8; corner: top and left in the rescaled image, in pixels. To one grey level as `rescale`.
    """
    (top, left), (bottom, right) = corner, (start + size for start in corner)
    if tuple(image.shape[:2]) == tuple(sides):
        return image[top:bottom, left:right]
    y, x = (own / scaled for own, scaled in zip(image.shape, sides, strict=False))
    rows = int(bottom * y + max(1, y)) + 1  # as far down as the filter reaches
    # With the colours innermost (the order of these views decides) it is three times as fast.
    planes = image[:rows].unsqueeze(0).permute(0, 3, 1, 2)
    # What is below and to the right of the crop is left out, but for a pixel where the number of pixels would stay the
    # same, from which it would conclude that there is nothing to do.
    ends = [
        end + (end == own and end < scaled)
        for end, own, scaled in zip((bottom, right), planes.shape[2:], sides, strict=True)
    ]
    # `interpolate` cannot leave anything out; this is what it calls.
    above = torch.ops.aten._upsample_bilinear2d_aa(planes, ends, False, 1 / y, 1 / x)
    return above[0, :, top:bottom, left:right].permute(1, 2, 0)


def sides_at(sizes: Tensor, side: int | Tensor) -> Tensor:
    """(N, 2) int64 heights and widths of images of `sizes` (N, 2) once their smallest side is `side` (N, 1) pixels."""
    return (sizes.double() * side / sizes.amin(1, keepdim=True)).round().long()


def places(corners: Tensor, mirrored: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Rows and columns, (B, size) each, of crops with these corners (B, 2); a mirrored one's columns fall."""
    steps = torch.arange(size, device=corners.device)
    return corners[:, :1] + steps, corners[:, 1:] + torch.where(mirrored[:, None], steps.flip(0), steps)


def resampling(places: Tensor, side: Tensor, rescaled: Tensor, shrink: float) -> tuple[Tensor, Tensor, Tensor]:
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


def interpolate(x: Tensor, taps: Tensor, weights: Tensor) -> Tensor:
    """Weighted sums of rows: x (B, window, n, 3), taps and weights (B, size, k) -> (B, size, n, 3)."""
    rows = x.flatten(2).flatten(0, 1)
    taps = taps + torch.arange(len(x), device=x.device)[:, None, None] * x.shape[1]
    # One pass over the few rows that count: a matrix product would mostly multiply by zero.
    sums = F.embedding_bag(taps.flatten(0, 1), rows, per_sample_weights=weights.flatten(0, 1), mode="sum")
    return sums.view(*taps.shape[:2], *x.shape[2:])
