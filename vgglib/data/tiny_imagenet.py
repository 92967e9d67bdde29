"""Tiny ImageNet (200 classes, 64 x 64 pixels), from its unpacked zip or from a Parquet copy."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from vgglib.data import parquet
from vgglib.data.files import decode_all
from vgglib.data.imageset import ImageSet, Split


def load(data_dir: Path, classes: int | None = None, skip_bad_images: bool = False) -> ImageSet:
    """Either layout gives the same set: images sorted by class and file name, classes by WordNet id.

    `classes` keeps the first so many. Raises ValueError when the folder holds neither layout, or fewer classes, or
    images of either split do not decode.
    """
    read = reader(data_dir)

    def split(which: str) -> tuple[list[tuple], tuple[str, ...]]:
        names, labels, data, wnids = read(data_dir, which)
        order = sorted(range(len(names)), key=lambda i: (labels[i], names[i]))
        rows = [(names[i], labels[i], partial(data, i)) for i in order if classes is None or labels[i] < classes]
        return rows, tuple(wnids[:classes])

    (train, wnids), (val, _) = split("train"), split("val")
    if classes is not None and len(wnids) < classes:
        raise ValueError(f"{data_dir} has {len(wnids)} classes where {classes} are asked for: take a whole copy.")
    names, labels, data = zip(*train, *val, strict=True)
    images, kept, skipped = decode_all(names, lambda i: data[i](), skip_bad_images)
    splits = Split.two(images, np.array(labels)[kept], int((kept < len(train)).sum()))
    return ImageSet.of("tiny-imagenet", wnids, *splits, skipped)


def reader(data_dir: Path):
    """The function that reads a folder's layout: (folder, "train" or "val") -> file names, labels, a function from an
    image's number to the bytes of its file, WordNet ids in label order. ValueError when it holds neither layout.
    """
    if parquet.splits(data_dir):
        return _parquet
    if (data_dir / "wnids.txt").is_file():
        return _unpacked
    raise ValueError(
        f"{data_dir} holds no Tiny ImageNet: expected train-*.parquet and val-*.parquet, or the unpacked zip with "
        "wnids.txt."
    )


def _parquet(data_dir: Path, which: str):
    train, val = parquet.splits(data_dir)
    shards = train if which == "train" else val
    wnids = parquet.class_names([*train, *val])
    names, images, labels = [], [], []
    for shard in shards:
        with parquet.opened(shard) as file:
            table = file.read(columns=["image", "label"])
        images += (rows := [row or parquet.NO_IMAGE for row in table["image"].to_pylist()])
        labels += (own := table["label"].to_pylist())
        for row, label in enumerate(own):
            parquet.check_label(label, len(wnids), f"row {row} of {shard}")
        names += [row["path"] or f"{shard.stem}-{number:06}" for number, row in enumerate(rows)]
    return names, labels, lambda i: images[i]["bytes"], wnids


def _unpacked(data_dir: Path, which: str):
    wnids = sorted(set(_text(data_dir / "wnids.txt").split()))
    label_of = {wnid: label for label, wnid in enumerate(wnids)}
    if which == "train":
        files = [file for wnid in wnids for file in _images(data_dir / "train" / wnid / "images")]
        labels = [label_of[file.parent.parent.name] for file in files]
    else:
        files, labels = _val(data_dir / "val", label_of)
    return [file.name for file in files], labels, lambda i: files[i].read_bytes(), wnids


def _val(folder: Path, label_of: dict[str, int]) -> tuple[list[Path], list[int]]:
    annotations, labels = folder / "val_annotations.txt", {}
    for number, line in enumerate(_text(annotations).splitlines(), start=1):
        name, wnid, *_ = [*line.split("\t"), "", ""]
        if wnid not in label_of:
            raise ValueError(f"line {number} of {annotations} names no image and class of wnids.txt: unpack it again.")
        if name in labels:
            raise ValueError(f"line {number} of {annotations} names {name} again: unpack it again.")
        labels[name] = label_of[wnid]
    files = _images(folder / "images")
    if odd := sorted(set(labels) ^ {file.name for file in files}):
        raise ValueError(
            f"{annotations} names {len(labels)} images and {folder / 'images'} holds {len(files)}, {odd[0]} is in only "
            "one of them: unpack both again."
        )
    return files, [labels[file.name] for file in files]


def _images(folder: Path) -> list[Path]:
    """The images in a folder, sorted; ValueError where there are none."""
    if found := sorted(file for file in folder.glob("*.JPEG") if not file.name.startswith(".")):
        return found
    raise ValueError(f"{folder} holds no images (*.JPEG): unpack the zip again.")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror}): unpack the zip again.") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text: unpack the zip again.") from error
