"""Rescaling images, and cutting crops out of them without rescaling more than the crop."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
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


def crop(
    image: Image.Image, sides: tuple[int, int], corner: tuple[int, int], size: int, mirrored: bool = False
) -> np.ndarray:
    """A window of an image, (size, size, 3) uint8, as if the whole had been rescaled to `sides` (height, width).

    image: RGB; corner: top and left in the rescaled image, in pixels. To one grey level as `rescale`.
    """
    (height, width), (top, left) = sides, corner
    bottom, right = top + size, left + size
    x, y = image.width / width, image.height / height
    if y > 1:
        # PyTorch's vector instructions make all that is above and left of the crop, too, sooner than Pillow the crop
        # alone. `interpolate` cannot stop before the end; this is what it calls.
        # With the colours innermost throughout (the order of these views decides) it is three times as fast.
        planes = torch.from_numpy(np.array(image))[: int(bottom * y + y) + 1].unsqueeze(0).permute(0, 3, 1, 2)
        above = torch.ops.aten._upsample_bilinear2d_aa(planes, [bottom, right], False, 1 / y, 1 / x)
        window = above[0, :, top:, left:]
        return (window.flip(2) if mirrored else window).permute(1, 2, 0).numpy()
    if (image.height, image.width) == (height, width):
        window = image.crop((left, top, right, bottom))
    else:
        # Enlarged, a crop shows little of the image. The filter reaches over the edges of Pillow's box.
        box = (left * x, top * y, min(right * x, image.width), min(bottom * y, image.height))
        window = image.resize((size, size), Image.Resampling.BILINEAR, box)
    return np.asarray(window.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored else window)


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
