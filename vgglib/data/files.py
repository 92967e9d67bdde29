"""Decoding image files, with a clear account of those that do not decode."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from vgglib import devices

# What Pillow opens and photographs come in; not all it knows, which includes camera previews, icons and plots.
SUFFIXES = {
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".bmp", ".dib", ".gif", ".webp", ".avif", ".tif", ".tiff"),
    *(".jp2", ".j2k", ".jpx", ".jpf", ".j2c", ".jpc", ".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".qoi"),
}
FOREIGN = {".heic", ".heif", ".jxl"}  # photographs, too, that Pillow cannot open: refused, rather than passed over
PHOTOGRAPHS = SUFFIXES | FOREIGN
BEHIND = "white"  # what shows through transparent pixels, whose own colour nobody has seen
BITS, WHITE_IS = 258, 262  # tags of a TIFF: bits of a grey level, and whether 0 is white (0) or black (1)
# How to turn an image back, by the number that EXIF gives to how the camera was held.
TURNED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
LISTED = 10  # bad images that a refusal names


def opened_image(data: bytes, upright: bool = False) -> Image.Image:
    """Encoded image -> RGB image, upright and decoded; grey (of 8 or 16 bits) and CMYK become RGB, transparent pixels
    white.

    `upright` says that the image is known to be, which saves looking. Raises ValueError when the data is no image, is
    cut short, or has grey levels of another range.
    """
    try:
        image = Image.open(io.BytesIO(data))
        image.load()
        _check_range(image)
        image = image if upright else _upright(image)
        if image.mode.startswith("I;16"):
            image = _narrowed(image)
        if image.has_transparency_data:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, BEHIND), image)
        return image if image.mode == "RGB" else image.convert("RGB")
    except UnidentifiedImageError as error:
        raise ValueError("it is no image that Pillow opens") from error
    except MemoryError:
        raise
    except Exception as error:  # decoders fail in many ways on damaged files, all of them the file's fault
        raise ValueError(f"{type(error).__name__}: {error}") from error


def _upright(image: Image.Image) -> Image.Image:
    """An image turned as its EXIF says. Only that tag is read: others may be malformed, and would be written anew."""
    turned = TURNED.get(image.getexif().get(ExifTags.Base.Orientation))
    return image if turned is None else image.transpose(turned)


def _check_range(image: Image.Image) -> None:
    """ValueError for grey levels that have no fixed range, or whose range is not that of their 16 bits."""
    if image.mode in ("I", "F"):
        raise ValueError(f"mode {image.mode} has no fixed range of grey levels, save it with 8 bits a channel")
    tags = getattr(image, "tag_v2", {})
    # Pillow hands these over as they are: nearly black, and as negatives.
    if image.mode.startswith("I;16") and (tags.get(BITS) == (12,) or tags.get(WHITE_IS) == 0):
        raise ValueError("its grey levels do not go from 0, black, to 65535, white, save it with 8 bits a channel")


def _narrowed(image: Image.Image) -> Image.Image:
    """Grey levels 0-65535 -> 0-255, mode L; LA where one of them is declared transparent. Pillow would clip at 255."""
    levels = np.asarray(image)
    grey = Image.fromarray(np.rint(levels / 257).astype(np.uint8))
    if (hidden := image.info.get("transparency")) is not None:
        grey.putalpha(Image.fromarray(np.where(levels == hidden, 0, 255).astype(np.uint8)))
    return grey


def decode(data: bytes, longest_smallest_side: int | None = None) -> np.ndarray:
    """Encoded image -> (H, W, 3) uint8 RGB, as `opened_image` makes it.

    An image whose smallest side exceeds `longest_smallest_side` is reduced to it (antialiased), which bounds memory.
    """
    image = opened_image(data)
    if longest_smallest_side and min(image.size) > longest_smallest_side:
        ratio = longest_smallest_side / min(image.size)
        image = image.resize([round(side * ratio) for side in image.size], Image.Resampling.BILINEAR)
    return np.asarray(image)


def decode_all(
    names: Sequence[str],
    read: Callable[[int], bytes],
    skip_bad_images: bool,
    longest_smallest_side: int | None = None,
) -> tuple[list[np.ndarray], np.ndarray, list[str]]:
    """Decode `read(i)` for every name, on all cores.

    Returns the images, (H, W, 3) uint8 each, the (M,) int64 indices that decoded, and the names of those that did not.
    Unless `skip_bad_images`, a single bad image raises ValueError with the count and the first `LISTED` names: give the
    names of all splits, so that one repair is enough. A file that cannot be read raises ValueError in any case.
    """

    def attempt(i: int) -> np.ndarray | str:
        try:
            data = read(i)
        except OSError as error:  # no fault of the image, which is therefore not left out
            raise ValueError(f"{names[i]} cannot be read ({error.strerror}): mend that first.") from error
        try:
            return decode(data, longest_smallest_side)
        except ValueError as error:
            return str(error)

    with ThreadPoolExecutor(devices.cores()) as pool:
        outcomes = list(pool.map(attempt, range(len(names))))
    bad = [i for i, outcome in enumerate(outcomes) if isinstance(outcome, str)]
    if bad and not skip_bad_images:
        listed = [f"{names[i]} ({outcomes[i]})" for i in bad[:LISTED]]
        which = "the first is" if len(listed) == 1 else f"the first {len(listed)} are"
        raise ValueError(
            f"{len(bad)} of {len(names)} images do not decode, {which} {', '.join(listed)}: repair or convert them, or "
            "pass --skip-bad-images to leave them out (for a notebook: to `vgg run`)."
        )
    good = np.setdiff1d(np.arange(len(names)), bad)
    return [outcomes[i] for i in good], good, [names[i] for i in bad]
