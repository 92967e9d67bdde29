"""A shard of a pack: an Arrow IPC file, a row an image, mapped into memory and read at any place."""

from __future__ import annotations

import json
import os
import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import numpy as np

PACK = "pack.json"  # beside the shards, says what they are made of
SCHEMA = 1  # of both
IMAGES_PER_BATCH = 128  # what a writer holds in memory
SKIPPED = b"skipped"  # key of the schema's metadata


class ShardFile:
    """A shard that is open for as long as anybody has it: a pack made anew at its path does not change what is read.

    It is read at places, so that threads and processes can share it and no memory is mapped. Another process opens the
    path, and refuses a file of another size with ValueError.
    """

    def __init__(self, path: Path):
        self.path = path
        self.descriptor = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self.descriptor)

    @property
    def size(self) -> int:
        """Bytes."""
        return os.fstat(self.descriptor).st_size

    def read(self, length: int, offset: int) -> bytes:
        return os.pread(self.descriptor, length, offset)

    def changed(self) -> ValueError:
        """The error for a path where another file is now."""
        return ValueError(f"{self.path} has changed since it was opened: start again.")

    def __reduce__(self):
        return _opened_again, (self.path, self.size)


def _opened_again(path: Path, size: int) -> ShardFile:
    # Not by inode or time: hosts of a cluster may have copies of their own.
    file = ShardFile(path)
    if file.size != size:
        raise file.changed()
    return file


def shard_paths(folder: Path, split: str, count: int) -> list[Path]:
    """The files of a split of a pack that has `count` shards."""
    return [folder / f"{split}-{i:05}-of-{count:05}.arrow" for i in range(count)]


def write(path: Path, rows: Iterable[tuple], skipped: Sequence[tuple[str, str]]) -> None:
    """Write `rows` to `path`; (name, reason) of `skipped`, which may grow while `rows` are read, go into the metadata.

    A row is path, label, and the fields of `stored.Stored`.
    """
    _write_batches(path, _batches(iter(rows)), ())
    if skipped:  # a file's metadata come first, so now that they are known it is copied
        bare = path.with_name(f"{path.name}.tmp")
        path.rename(bare)
        with opened(bare) as reader:
            _write_batches(path, map(reader.get_batch, range(reader.num_record_batches)), skipped)
        bare.unlink()


@contextmanager
def mapped(path: Path) -> Iterator[tuple]:
    """The shard as a pyarrow.ipc.RecordBatchFileReader over mapped memory, and the address where the file begins.

    ValueError for a damaged file.
    """
    import pyarrow as pa

    with pa.memory_map(str(path)) as file:
        try:
            start = file.read_buffer().address
            file.seek(0)
            reader = pa.ipc.open_file(file)
            if not reader.schema.equals(schema()):
                raise ValueError("its columns are not a shard's")
            for i in range(reader.num_record_batches):
                reader.get_batch(i).validate()  # reads no image
            left_out(reader)
        except Exception as error:  # a damaged file fails in many ways
            raise ValueError(f"{path} is damaged ({error}): delete it and pack again.") from error
        yield reader, start


@contextmanager
def opened(path: Path) -> Iterator:
    """The shard's reader alone, as `mapped` gives it."""
    with mapped(path) as (reader, _):
        yield reader


def places(batch, start: int) -> tuple[np.ndarray, np.ndarray]:
    """Where in the file the JPEGs of a record batch begin, and how long they are, in bytes: (n,) int64 each.

    start: the address where the file begins.
    """
    _, ends, data = batch.column("image").buffers()
    ends = np.frombuffer(ends, np.int64)[: batch.num_rows + 1]
    return data.address - start + ends[:-1], np.diff(ends)


def left_out(reader) -> list[tuple[str, str]]:
    """(name, reason) of the images that a shard leaves out."""
    return [tuple(pair) for pair in json.loads(reader.schema.metadata[SKIPPED])]


def schema(skipped: Sequence[tuple[str, str]] = ()):
    """Columns of a shard.

    path: the image's name; label; height, width: pixels of the stored image; image: JPEG; rgb_sum, rgb_products: sums
    over its pixels of R, G, B and of RR, GG, BB, RG, RB, GB.
    """
    import pyarrow as pa

    columns = {
        "path": pa.string(),
        "label": pa.int32(),
        "height": pa.int32(),
        "width": pa.int32(),
        "image": pa.large_binary(),
        "rgb_sum": pa.list_(pa.float64(), 3),
        "rgb_products": pa.list_(pa.float64(), 6),
    }
    return pa.schema(columns, metadata={SKIPPED: json.dumps(skipped)})


def _write_batches(path: Path, batches: Iterable, skipped: Sequence[tuple[str, str]]) -> None:
    import pyarrow as pa

    described = schema(skipped)
    with path.open("wb") as file, pa.ipc.new_file(file, described) as writer:
        for batch in batches:
            writer.write_batch(batch.replace_schema_metadata(described.metadata))


def _batches(rows: Iterator[tuple]) -> Iterator:
    import pyarrow as pa

    described = schema()
    while some := list(islice(rows, IMAGES_PER_BATCH)):
        *plain, sums, products = zip(*some, strict=True)
        columns = [pa.array(column, kind) for column, kind in zip(plain, described.types, strict=False)]
        columns += [pa.FixedSizeListArray.from_arrays(np.concatenate(part), len(part[0])) for part in (sums, products)]
        yield pa.RecordBatch.from_arrays(columns, schema=described)
