"""What a pack stores of one photograph: an upright JPEG of bounded size, and the sums its mean colour is made of."""

from __future__ import annotations

import io
from typing import NamedTuple

import numpy as np
from PIL import ExifTags, Image

from vgglib.data.files import decode

QUALITY = 95  # of what is encoded again; with full chroma, so that little is lost
TURNED = range(2, 9)  # EXIF orientations other than upright


class Stored(NamedTuple):
    """height, width: pixels of the stored image; data: the JPEG.

    rgb_sum: (3,) float64, sums of R, G, B over the pixels, in grey levels 0-255; rgb_products: (6,) float64, sums of
    RR, GG, BB, RG, RB, GB. Both are exact: every partial sum is a whole number below 2^53.
    """

    height: int
    width: int
    data: bytes
    rgb_sum: np.ndarray
    rgb_products: np.ndarray


def stored(data: bytes, smallest_side: int) -> Stored:
    """An encoded image as a pack stores it, its smallest side at most `smallest_side` pixels.

    A JPEG that is upright, RGB or grey, and small enough keeps its bytes; everything else is decoded, reduced and
    encoded again. Raises ValueError, with the reason, for what is no whole image or fits into no JPEG.
    """
    pixels = decode(data, smallest_side)
    if not _fit(data, smallest_side):
        data = _encoded(pixels)
        pixels = decode(data)
    height, width, _ = pixels.shape
    values = np.ones((4, height * width))  # a row of ones, so that one product gives the sums, too
    values[:3] = pixels.reshape(-1, 3).T
    products = values @ values.T
    return Stored(height, width, data, products[:3, 3], products[[0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]])


def _fit(data: bytes, smallest_side: int) -> bool:
    with Image.open(io.BytesIO(data)) as image:
        plain = image.format == "JPEG" and image.mode in ("RGB", "L")
        turned = image.getexif().get(ExifTags.Base.Orientation) in TURNED
        return plain and not turned and min(image.size) <= smallest_side


def _encoded(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    try:
        Image.fromarray(pixels).save(buffer, "JPEG", quality=QUALITY, subsampling="4:4:4")
    except (OSError, ValueError) as error:
        height, width, _ = pixels.shape
        raise ValueError(f"{width} x {height} pixels do not fit into a JPEG") from error
    return buffer.getvalue()
