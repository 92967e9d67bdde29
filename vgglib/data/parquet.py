"""Parquet copies of image sets, as hubs offer them: columns image {bytes, path} and label."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

VAL = ("val", "valid", "validation")
WNID = re.compile(r"n\d{8}")
NO_IMAGE = {"bytes": None, "path": None}  # of a row whose image is null


def splits(folder: Path) -> tuple[list[Path], list[Path]] | None:
    """The shards of train and of val, which has one of the names `VAL`, in `folder` or its folder data/; None where
    there are none of train.

    Raises ValueError when there are none of val, or some under two of its names, or as `shards`.
    """
    for place in (folder, folder / "data"):
        if train := shards(place, "train"):
            found = {f"{name}-*.parquet": own for name in VAL if (own := shards(place, name))}
            if not found:
                *most, last = (f"{name}-*.parquet" for name in VAL)
                raise ValueError(f"{place} holds train-*.parquet and no {', '.join(most)} or {last}: fetch them.")
            if len(found) > 1:
                raise ValueError(f"{place} holds {' and '.join(found)}: remove those that are not of train's copy.")
            return train, *found.values()
    return None


def shards(folder: Path, split: str) -> list[Path]:
    """The files `<split>-*.parquet` of `folder`, sorted; none where there are none.

    Raises ValueError when their names say that some are missing, or of another copy.
    """
    found = sorted(folder.glob(f"{split}-*.parquet"))
    named = [re.match(rf"{split}-(\d+)-of-(\d+)", path.stem) for path in found]
    if not any(named):
        return found
    numbers = [tuple(map(int, name.groups())) if name else None for name in named]
    for path, number in zip(found, numbers, strict=True):
        if number is None or number[1] != numbers[0][1] or numbers.count(number) > 1:
            raise ValueError(
                f"{folder} holds {split} shards of several copies, {path.name} among them: remove those of all but one."
            )
    count = numbers[0][1]
    if {number for number, _ in numbers} != set(range(count)):
        raise ValueError(f"{folder} holds {len(found)} of {count} {split} shards: fetch the missing ones.")
    return found


@contextmanager
def opened(path: Path) -> Iterator:
    """The shard as a pyarrow.parquet.ParquetFile, read in small pieces.

    What fails while it is open raises ValueError, naming `path`.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False) as file:
            _check_columns(file.schema_arrow)
            yield file
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"{path} is no whole Parquet file with image and label ({reason}): fetch it again.") from error


def _check_columns(schema) -> None:
    import pyarrow as pa

    columns = {field.name: field.type for field in schema}
    if "label" not in columns or "image" not in columns:
        raise pa.ArrowInvalid(f"its columns are {', '.join(columns)}")
    image = columns["image"]
    if not pa.types.is_struct(image) or {"bytes", "path"} - {field.name for field in image}:
        raise pa.ArrowInvalid(f"image is {image}, where bytes and path are expected")
    if not pa.types.is_integer(columns["label"]):
        raise pa.ArrowInvalid(f"label is {columns['label']}, where whole numbers are expected")


def check_label(label: int | None, classes: int, where: str) -> None:
    """ValueError, saying `where` it is, for a label that is none of 0, ..., classes - 1."""
    if label is None or not 0 <= label < classes:
        raise ValueError(f"{where} has label {label}, for {classes} classes: take another copy.")


def class_names(paths: Sequence[Path]) -> tuple[str, ...]:
    """The class names, in label order, in the metadata of some shards, of which each has them.

    ValueError where one has none, or others than the first, and for WordNet ids that are not in their own order, in
    which published weights count classes.
    """
    first, *others = paths
    found = _class_names(first)
    for path in others:
        if _class_names(path) != found:
            raise ValueError(f"{path} names other classes than {first}, or in another order: take shards of one copy.")
    if all(WNID.fullmatch(name) for name in found) and list(found) != sorted(found):
        raise ValueError(f"{first} has its classes in another order than that of their WordNet ids: take another copy.")
    return found


def _class_names(path: Path) -> tuple[str, ...]:
    with opened(path) as file:
        metadata = file.schema_arrow.metadata or {}
    try:
        if b"wnids" in metadata:
            return tuple(json.loads(metadata[b"wnids"]))
        # Copies on hubs carry the class names in the features of the `datasets` library.
        return tuple(json.loads(metadata[b"huggingface"])["info"]["features"]["label"]["names"])
    except (KeyError, ValueError) as error:
        raise ValueError(f"{path} does not name its classes in its metadata: take a complete copy.") from error
