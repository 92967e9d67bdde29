"""Photographs for tests, drawn from a seed: sound ones, odd ones that must be understood, bad ones; and a test card."""

import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image

WNIDS = ("n01440764", "n01443537", "n01484850")
SIZES = ((375, 500), (500, 375), (300, 300), (40, 56), (700, 900), (1100, 620), (12, 400))  # height, width
ORIENTATION = 0x0112  # the EXIF tag


def draw(rng, height, width):
    """(height, width, 3) uint8: soft patches of colour with some grain, much like a photograph to an encoder."""
    coarse = Image.fromarray(rng.integers(0, 256, (7, 9, 3), dtype=np.uint8))
    fine = Image.fromarray(rng.integers(0, 256, (height // 6 + 2, width // 6 + 2, 3), dtype=np.uint8))
    layers = [
        np.asarray(layer.resize((width, height), Image.Resampling.BICUBIC), np.float32) for layer in (coarse, fine)
    ]
    return (0.7 * layers[0] + 0.3 * layers[1]).round().astype(np.uint8)


def encoded(pixels, mode="RGB", format="JPEG", **options):
    """Bytes of an image file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, format, **options)
    return buffer.getvalue()


def turned(pixels, orientation):
    """A JPEG whose EXIF data ask for a turn before it is shown."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return encoded(pixels, exif=exif)


def odd(rng):
    """{kind: bytes} of files that no sound reader may stumble over."""
    pixels = draw(rng, 120, 160)
    return {
        "grey": encoded(pixels, "L"),
        "cmyk": encoded(pixels, "CMYK"),
        "cmyk-without-adobe": without_adobe(encoded(pixels, "CMYK")),
        "turned": turned(pixels, 6),
        "progressive": encoded(pixels, progressive=True),
        "png-named-jpeg": encoded(pixels, format="PNG"),
        "palette": encoded(pixels, "P", "PNG"),
    }


def bad(rng):
    """{kind: bytes} of files that are no images, or no whole ones."""
    whole = encoded(draw(rng, 200, 260))
    deep = io.BytesIO()
    Image.fromarray(rng.integers(0, 1 << 30, (20, 30), dtype=np.int32)).save(deep, "TIFF")
    return {
        "truncated": whole[: len(whole) // 2],
        "header-only": whole[:300],
        "empty": b"",
        "text": b"This is no photograph.\n" * 20,
        "zeros": bytes(len(whole)),
        "thirty-two-bit": deep.getvalue(),
    }


def without_adobe(data):
    """A JPEG without Adobe's marker, which tells that CMYK is stored inverted."""
    start = data.index(b"\xff\xee")
    return data[:start] + data[start + 2 + int.from_bytes(data[start + 2 : start + 4], "big") :]


def photographs(count, seed=0, sizes=SIZES, classes=WNIDS):
    """(class, file name, bytes) of `count` sound JPEGs, sizes and classes in turn, then one of each odd kind."""
    rng = np.random.default_rng(seed)
    files = [(f"{seed}_{i}", encoded(draw(rng, *sizes[i % len(sizes)]))) for i in range(count)]
    files += [(f"{seed}_{kind}", data) for kind, data in odd(rng).items()]
    named = [(classes[i % len(classes)], name, data) for i, (name, data) in enumerate(files)]
    return [(wnid, f"{wnid}_{name}.JPEG", data) for wnid, name, data in named]


def write_tree(root, train=18, val=9, **options):
    """root/train/<class>/*.JPEG and root/val/<class>/*.JPEG, of `photographs`; -> root."""
    for split, count, seed in (("train", train, 1), ("val", val, 2)):
        for wnid, name, data in photographs(count, seed, **options):
            write(Path(root) / split / wnid / name, data)
    return Path(root)


def write(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def picture(height, width):
    """Red tells the row and green the column, so that a part of it shows where it was cut."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([rows, columns, torch.full_like(rows, 100)], 2).to(torch.uint8)
