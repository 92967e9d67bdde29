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

    `classes` keeps the first so many. Raises ValueError when the folder holds neither layout, or images of either
    split do not decode.
    """
    read = reader(data_dir)

    def split(which: str) -> tuple[list[tuple], tuple[str, ...]]:
        names, labels, data, wnids = read(data_dir, which)
        order = sorted(range(len(names)), key=lambda i: (labels[i], names[i]))
        rows = [(names[i], labels[i], partial(data, i)) for i in order if classes is None or labels[i] < classes]
        return rows, tuple(wnids[:classes])

    (train, wnids), (val, _) = split("train"), split("val")
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
    names, images, labels = [], [], []
    for shard in shards:
        with parquet.opened(shard) as file:
            table = file.read(columns=["image", "label"])
        images += (rows := table["image"].to_pylist())
        labels += table["label"].to_pylist()
        names += [row["path"] or f"{shard.stem}-{number:06}" for number, row in enumerate(rows)]
    wnids = parquet.class_names(shards[0])
    return names, labels, lambda i: images[i]["bytes"], wnids


def _unpacked(data_dir: Path, which: str):
    wnids = sorted((data_dir / "wnids.txt").read_text().split())
    label_of = {wnid: label for label, wnid in enumerate(wnids)}
    if which == "train":
        files = [file for wnid in wnids for file in sorted((data_dir / "train" / wnid / "images").glob("*.JPEG"))]
        labels = [label_of[file.parent.parent.name] for file in files]
    else:
        annotations = data_dir / "val" / "val_annotations.txt"
        rows = [line.split("\t") for line in annotations.read_text().splitlines()]
        for number, row in enumerate(rows, start=1):
            if len(row) < 2 or row[1] not in label_of:
                raise ValueError(
                    f"line {number} of {annotations} names no image and class of wnids.txt: unpack it again."
                )
        files = [data_dir / "val" / "images" / row[0] for row in rows]
        labels = [label_of[row[1]] for row in rows]
    return [file.name for file in files], labels, lambda i: files[i].read_bytes(), wnids
