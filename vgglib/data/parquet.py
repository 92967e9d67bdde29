"""Parquet copies of image sets, as hubs offer them: columns image {bytes, path} and label."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

VAL = ("val", "valid", "validation")


def splits(folder: Path) -> tuple[list[Path], list[Path]] | None:
    """The shards of train and of val, which has one of the names `VAL`, in `folder` or its folder data/; None where
    there are none of train.

    Raises ValueError when there are none of val, or as `shards`.
    """
    for place in (folder, folder / "data"):
        if train := shards(place, "train"):
            if val := next(filter(None, (shards(place, name) for name in VAL)), None):
                return train, val
            *most, last = (f"{name}-*.parquet" for name in VAL)
            raise ValueError(f"{place} holds train-*.parquet and no {', '.join(most)} or {last}: fetch them.")
    return None


def shards(folder: Path, split: str) -> list[Path]:
    """The files `<split>-*.parquet` of `folder`, sorted; none where there are none.

    Raises ValueError when their names say that some are missing.
    """
    found = sorted(folder.glob(f"{split}-*.parquet"))
    named = re.search(r"-of-(\d+)", found[0].stem) if found else None
    if named and len(found) != int(named[1]):
        raise ValueError(f"{folder} holds {len(found)} of {int(named[1])} {split} shards: fetch the missing ones.")
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


def class_names(path: Path) -> tuple[str, ...]:
    """The class names, in label order, in the metadata of a shard; ValueError where there are none."""
    with opened(path) as file:
        metadata = file.schema_arrow.metadata or {}
    try:
        if b"wnids" in metadata:
            return tuple(json.loads(metadata[b"wnids"]))
        # Copies on hubs carry the class names in the features of the `datasets` library.
        return tuple(json.loads(metadata[b"huggingface"])["info"]["features"]["label"]["names"])
    except (KeyError, ValueError) as error:
        raise ValueError(f"{path} does not name its classes in its metadata: take a complete copy.") from error
