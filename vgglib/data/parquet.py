"""Parquet copies of image sets, as hubs offer them: columns image {bytes, path} and label."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
            if not {"image", "label"} <= set(file.schema_arrow.names):
                raise pa.ArrowInvalid(f"its columns are {', '.join(file.schema_arrow.names)}")
            yield file
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"{path} is no whole Parquet file with image and label ({reason}): fetch it again.") from error


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
