"""Where large image sets come from: encoded images that are read one after another, never all at once.

Understood are ILSVRC-2012 as a tree (train/<class>/*.JPEG, val/<class>/*.JPEG); the same with a flat val/, its labels
in Kaggle's LOC_val_solution.csv or in the official devkit; and Parquet copies from a hub.
"""

from __future__ import annotations

import csv
import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Protocol

import numpy as np

from vgglib.data import parquet
from vgglib.data.tree import images, is_image, tree, trees

KAGGLE = Path("ILSVRC", "Data", "CLS-LOC")
SOLUTION = "LOC_val_solution.csv"
DEVKIT = Path("ILSVRC2012_devkit_t12", "data")
ROWS_AT_ONCE = 32  # read of a Parquet file


class Images(Protocol):
    """Encoded images with labels, in a fixed order; small to pickle once cut to a part.

    Names are "<class>/<file>" in every layout.
    """

    def __len__(self) -> int: ...

    def part(self, first: int, last: int) -> Images:
        """Images first, ..., last - 1."""

    def listing(self) -> Iterator[tuple[str, int]]:
        """Name and label of every image, without reading the images."""

    def __iter__(self) -> Iterator[tuple[str, int, bytes]]:
        """Name, label and encoded bytes of every image."""


@dataclass(frozen=True)
class Source:
    """A data set to be read: class names in label order, and the images of train and val."""

    class_names: tuple[str, ...]
    train: Images
    val: Images

    @cached_property
    def sha256(self) -> str:
        """Over the class names, and the names and labels of all images in their order (not their bytes: a repaired
        image belongs to the same source)."""
        digest = hashlib.sha256("\n".join(self.class_names).encode())
        for split in (self.train, self.val):
            digest.update(f"\n{len(split)}".encode())
            for name, label in split.listing():
                digest.update(f"\n{name}\t{label}".encode())
        return digest.hexdigest()


@dataclass(frozen=True)
class Files:
    """`Images` in files of their own; paths are relative to `root`."""

    root: Path
    paths: Sequence[str]
    names: Sequence[str]
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.paths)

    def part(self, first: int, last: int) -> Files:
        return Files(self.root, self.paths[first:last], self.names[first:last], self.labels[first:last])

    def listing(self) -> Iterator[tuple[str, int]]:
        return zip(self.names, self.labels.tolist(), strict=True)

    def __iter__(self) -> Iterator[tuple[str, int, bytes]]:
        for path, (name, label) in zip(self.paths, self.listing(), strict=True):
            try:
                data = (self.root / path).read_bytes()
            except OSError as error:  # no fault of the image, which is therefore not left out
                raise ValueError(f"{self.root / path} cannot be read ({error.strerror}): mend that first.") from error
            yield name, label, data


@dataclass(frozen=True)
class Piece:
    """Rows first, ..., last - 1 of one row group of a Parquet file."""

    path: Path
    group: int
    first: int
    last: int


@dataclass(frozen=True)
class Rows:
    """`Images` in the rows of Parquet files, in the order of the files."""

    class_names: tuple[str, ...]
    pieces: tuple[Piece, ...]

    def __len__(self) -> int:
        return sum(piece.last - piece.first for piece in self.pieces)

    def part(self, first: int, last: int) -> Rows:
        kept, start = [], 0
        for piece in self.pieces:
            stop = start + piece.last - piece.first
            if start < last and first < stop:
                rows = piece.first + max(first - start, 0), piece.last - max(stop - last, 0)
                kept.append(Piece(piece.path, piece.group, *rows))
            start = stop
        return Rows(self.class_names, tuple(kept))

    def listing(self) -> Iterator[tuple[str, int]]:
        return ((name, label) for name, label, _ in self._records(["image.path", "label"]))

    def __iter__(self) -> Iterator[tuple[str, int, bytes]]:
        for name, label, record in self._records(["image", "label"]):
            if record["bytes"] is None:
                raise ValueError(f"{name} has no bytes: take a Parquet copy that holds the images themselves.")
            yield name, label, record["bytes"]

    def _records(self, columns: list[str]) -> Iterator[tuple[str, int, dict]]:
        for path, pieces in groupby(self.pieces, lambda piece: piece.path):
            with parquet.opened(path) as file:
                for piece in pieces:
                    for row, record in _rows(file, piece, columns):
                        label, where = record["label"], f"row {row} of row group {piece.group} of {path}"
                        image = record["image"] or parquet.NO_IMAGE
                        parquet.check_label(label, len(self.class_names), where)
                        place = image["path"] or f"{path.stem}-{piece.group}-{row}"
                        yield f"{self.class_names[label]}/{os.path.basename(place)}", label, image


def _rows(file, piece: Piece, columns: list[str]) -> Iterator[tuple[int, dict]]:
    start = 0
    for batch in file.iter_batches(ROWS_AT_ONCE, row_groups=[piece.group], columns=columns):
        first, last = max(piece.first - start, 0), min(piece.last - start, len(batch))
        if first < last:
            yield from enumerate(batch.slice(first, last - first).to_pylist(), start + first)
        start += len(batch)
        if start >= piece.last:
            return


def open_source(folder: Path) -> Source:
    """The data set in `folder`, whichever of the layouts it has.

    Classes are in the order of their sorted names (WordNet ids), in which published weights count them; a Parquet copy
    that names them otherwise has its own order. Raises ValueError for a folder of no known layout, or an incomplete
    one.
    """
    folder = folder.expanduser().absolute()
    if folder.is_file():
        raise ValueError(
            f"the source folder {folder} is a file: name the folder that holds it or, of an archive, the one that it "
            "is unpacked to."
        )
    if not folder.is_dir():
        raise ValueError(f"the source folder {folder} does not exist: check the path.")
    if found := parquet.splits(folder):
        return _parquet(*found)
    root = folder / KAGGLE if (folder / KAGGLE).is_dir() else folder
    if not (root / "train").is_dir():
        raise ValueError(
            f"{folder} holds no data set to pack: expected train/<class>/ and val/, Kaggle's {KAGGLE}/, or "
            "train-*.parquet and val-*.parquet."
        )
    if not (root / "val").is_dir():
        raise ValueError(f"{root} has a folder 'train' and no folder 'val': unpack the validation images into it.")
    with os.scandir(root / "val") as entries:
        folders = any(entry.is_dir() and not entry.name.startswith(".") for entry in entries)
    return _sorted_val(root) if folders else _flat_val(root)


def _parquet(train: list[Path], val: list[Path]) -> Source:
    class_names = parquet.class_names([*train, *val])
    return Source(class_names, *(Rows(class_names, _pieces(paths)) for paths in (train, val)))


def _pieces(paths: list[Path]) -> tuple[Piece, ...]:
    pieces = []
    for path in paths:
        with parquet.opened(path) as file:
            rows = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
        pieces += [Piece(path, group, 0, count) for group, count in enumerate(rows)]
    return tuple(pieces)


def _sorted_val(root: Path) -> Source:
    train, val = trees(root)
    with os.scandir(root / "val") as entries:
        if loose := sum(entry.is_file() and is_image(entry.name) for entry in entries):
            raise ValueError(f"{root / 'val'} holds class folders and {loose} images beside them: sort those in, too.")
    return Source(tuple(train), _files(root / "train", train), _files(root / "val", val))


def _files(root: Path, classes: dict[str, list[str]]) -> Files:
    paths = [f"{name}/{file}" for name, files in classes.items() for file in files]
    labels = np.repeat(np.arange(len(classes)), [len(files) for files in classes.values()])
    return Files(root, paths, paths, labels)


def _flat_val(root: Path) -> Source:
    train, val = tree(root / "train"), sorted(images(root / "val"))
    class_names = tuple(train)
    label_of, listed = _val_classes(root)
    known = {name: label for label, name in enumerate(class_names)}
    for path in val:
        if path not in label_of:
            raise ValueError(f"{listed} names no class for {root / 'val' / path}: the two must be of one data set.")
        if label_of[path] not in known:
            raise ValueError(
                f"{listed} says that {path} shows {label_of[path]}, which is no folder of {root / 'train'}: unpack "
                "the training images of all classes."
            )
    if len(val) != len(label_of):
        raise ValueError(f"{root / 'val'} holds {len(val)} of the {len(label_of)} images of {listed}: unpack them all.")
    if unseen := sorted(set(known) - set(label_of.values())):
        raise ValueError(
            f"{listed} names no image of {unseen[0]}, a folder of {root / 'train'}: both need the same classes."
        )
    val.sort(key=lambda path: (label_of[path], path))  # as in a tree
    names = [f"{label_of[path]}/{path}" for path in val]
    labels = np.array([known[label_of[path]] for path in val])
    return Source(class_names, _files(root / "train", train), Files(root / "val", val, names, labels))


def _val_classes(root: Path) -> tuple[dict[str, str], Path]:
    """The WordNet id of every image of a flat val/, and the file that tells it."""
    above = root.parents[len(KAGGLE.parts) - 1] if root.parts[-len(KAGGLE.parts) :] == KAGGLE.parts else root
    for place in dict.fromkeys((root, above)):
        if (place / SOLUTION).is_file():
            return _from_solution(place / SOLUTION), place / SOLUTION
        if (place / DEVKIT).is_dir():
            return _from_devkit(place / DEVKIT), place / DEVKIT
    raise ValueError(
        f"{root / 'val'} has no class folders: put {SOLUTION} or the devkit's folder {DEVKIT.parts[0]} into {above}."
    )


def _from_solution(path: Path) -> dict[str, str]:
    found = {}
    # Spreadsheets put a mark in front.
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        for number, row in enumerate(csv.DictReader(file), start=2):
            image, boxes = row.get("ImageId"), (row.get("PredictionString") or "").split()
            if not image or not boxes:
                raise ValueError(f"line {number} of {path} names no image and class: fetch the file again.")
            if found.setdefault(f"{image}.JPEG", boxes[0]) != boxes[0]:
                raise ValueError(f"line {number} of {path} gives {image} a second class: fetch the file again.")
    return found


def _from_devkit(folder: Path) -> dict[str, str]:
    """Line n of the ground truth is the class of image n, by the devkit's own numbers of the classes."""
    from scipy.io import loadmat

    try:
        synsets = loadmat(folder / "meta.mat", squeeze_me=True)["synsets"]
        leaves = synsets[synsets["num_children"] == 0]
        wnids = dict(zip(leaves["ILSVRC2012_ID"].tolist(), leaves["WNID"].tolist(), strict=True))
        lines = (folder / "ILSVRC2012_validation_ground_truth.txt").read_text().split()
        classes = [wnids[int(line)] for line in lines]
    except Exception as error:  # scipy fails in many ways on a damaged file
        raise ValueError(f"{folder} is no whole devkit ({type(error).__name__}: {error}): unpack it again.") from error
    return {f"ILSVRC2012_val_{number:08}.JPEG": wnid for number, wnid in enumerate(classes, start=1)}
