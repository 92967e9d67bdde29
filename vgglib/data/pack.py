"""Packing a data set once, so that training reads few large files of small, upright JPEGs.

A pack is a folder: `pack.json` says what it is made of, shards `<split>-<i>-of-<n>.arrow` hold the images, as Arrow IPC
files that are mapped into memory and read at any place. Shards appear whole or not at all, so an interrupted packing
goes on where it was.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vgglib import files
from vgglib.data.shards import IMAGES_PER_BATCH, PACK, SCHEMA, left_out, opened, shard_paths, write
from vgglib.data.sources import Images, Source, open_source
from vgglib.data.stored import stored
from vgglib.devices import cores
from vgglib.parallel import check_counts, loky

NAME = "imagenet"
IMAGES_PER_SHARD = 4096
SAMPLE = 256  # images from which the size of a pack is estimated, to some 6 %


@dataclass(frozen=True)
class Summary:
    """What a pack holds, and what the call that returns this has done.

    images, shards, size_bytes: of the whole pack; skipped: (name, reason, shard that lists it) of the images
    left out; packed: images that this call has read, in `seconds`.
    """

    images: int
    shards: int
    size_bytes: int
    skipped: tuple[tuple[str, str, str], ...]
    packed: int
    seconds: float


@dataclass(frozen=True)
class Shard:
    """A file of a pack and the images that belong into it."""

    path: Path
    images: Images


def pack(
    source_folder: Path,
    target: Path,
    smallest_side: int = 512,
    skip_bad_images: bool = False,
    jobs: int | None = None,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Summary:
    """Pack the data set in `source_folder` (any layout of `sources`) into the folder `target`, or go on doing so.

    smallest_side: pixels; smaller images stay as they are. jobs: processes, by default one per core. report: called
    with the images done so far and all images. Images that do not decode stop the packing, or are left out and listed
    if `skip_bad_images`.
    Raises ValueError for a bad argument, source or image, for a target that is the pack of something else or is being
    packed by another process, and when a process was killed; OSError when the disk is full, beforehand where that can
    be foreseen. Finished shards stay in every case.
    """
    started = time.monotonic()
    check_counts(smallest_side=smallest_side, jobs=jobs)
    source, target = open_source(source_folder), target.expanduser().absolute()
    shards = _shards(source, target)
    declared = _declared(source, smallest_side, shards)
    _check(target, declared, shards, smallest_side)
    with _alone(target):
        if (target / PACK).exists():
            _check_same(target, declared)  # another process may have begun since
        else:
            files.write_atomically(target / PACK, json.dumps(declared, indent=1).encode())
        packed = _write_missing(shards, smallest_side, skip_bad_images, jobs, report)
    return _summary(shards, packed, time.monotonic() - started)


def _shards(source: Source, target: Path) -> list[Shard]:
    shards = []
    for split, images in (("train", source.train), ("val", source.val)):
        count = math.ceil(len(images) / IMAGES_PER_SHARD)
        for i, path in enumerate(shard_paths(target, split, count)):
            shards.append(Shard(path, images.part(i * IMAGES_PER_SHARD, (i + 1) * IMAGES_PER_SHARD)))
    return shards


def _missing(shards: list[Shard]) -> list[Shard]:
    return [shard for shard in shards if not shard.path.exists()]


def _declared(source: Source, smallest_side: int, shards: list[Shard]) -> dict:
    counts = Counter(shard.path.name.split("-")[0] for shard in shards)
    return {
        "schema": SCHEMA,
        "name": NAME,
        "class_names": list(source.class_names),
        "smallest_side": smallest_side,
        "source_sha256": source.sha256,
        "shards": {split: counts[split] for split in ("train", "val")},
    }


def _check(target: Path, declared: dict, shards: list[Shard], smallest_side: int) -> None:
    """Before anything is written: is the target usable, the same pack, and large enough?"""
    place = next(folder for folder in (target, *target.parents) if folder.exists())
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        raise ValueError(f"{target} cannot be written to: choose another folder.")
    if (target / PACK).exists():
        _check_same(target, declared)
    needed, free = _bytes_needed(_missing(shards), smallest_side), shutil.disk_usage(place).free
    if free < needed:
        raise OSError(
            f"{target} has room for {free / 1e9:.1f} GB and the pack needs about {needed / 1e9:.1f} GB more: make room "
            "or choose another folder."
        )


def _check_same(target: Path, declared: dict) -> None:
    try:
        found = json.loads((target / PACK).read_bytes())
        side = found["smallest_side"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{target / PACK} is damaged: delete the folder and pack again.") from error
    if side != declared["smallest_side"]:
        raise ValueError(
            f"{target} is a pack with smallest side {side}, not {declared['smallest_side']}: choose another folder, or "
            f"go on with --smallest-side {side}."
        )
    if found != declared:
        raise ValueError(f"{target} is a pack of another source: choose another folder.")


def _bytes_needed(shards: list[Shard], smallest_side: int) -> float:
    """Estimated from images spread over the shards."""
    if not shards:
        return 0
    images = sum(len(shard.images) for shard in shards)
    sample = min(SAMPLE, max(16, images // 16))
    chosen = shards[:: math.ceil(len(shards) / sample)]
    parts = [shard.images.part(0, math.ceil(sample / len(chosen))) for shard in chosen]
    with warnings.catch_warnings(action="ignore"):
        sizes = [_size(data, smallest_side) for part in parts for _, _, data in part]
    return sum(sizes) / len(sizes) * images


def _size(data: bytes, smallest_side: int) -> int:
    try:
        return len(stored(data, smallest_side).data)
    except ValueError:
        return 0


@contextmanager
def _alone(target: Path) -> Iterator[None]:
    """No other process packs into `target` meanwhile; leftovers of killed ones are removed before and after."""
    from filelock import FileLock, Timeout

    target.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(target / ".lock", timeout=0):
            files.sweep(target, older_than_seconds=-math.inf)
            try:
                yield
            finally:
                files.sweep(target, older_than_seconds=-math.inf)
    except Timeout:
        raise ValueError(f"another process is packing into {target}: wait for it, or choose another folder.") from None


def _write_missing(
    shards: list[Shard],
    smallest_side: int,
    skip_bad_images: bool,
    jobs: int | None,
    report: Callable[[int, int], None],
) -> int:
    """The images that had to be read."""
    missing = _missing(shards)
    total, left = (sum(len(shard.images) for shard in some) for some in (shards, missing))
    done = total - left

    def count(images: int) -> None:
        nonlocal done
        done += images
        report(done, total)

    count(0)
    if missing:
        jobs = min(jobs or cores(), len(missing))
        with loky(jobs) as workers, workers.heard(count) as tell:
            settings = smallest_side, skip_bad_images, os.getpid(), tell
            workers.map(_write_shard, ((shard, *settings) for shard in missing))
    return left


def _write_shard(
    shard: Shard, smallest_side: int, skip_bad_images: bool, parent: int, tell: Callable[[int], None]
) -> None:
    skipped: list[tuple[str, str]] = []
    images = _told(shard.images, parent, tell)
    rows = _rows(images, smallest_side, skipped if skip_bad_images else None)
    try:
        # Pillow warns of odd metadata, which are not kept.
        with warnings.catch_warnings(action="ignore"), files.replacing(shard.path) as temporary:
            write(temporary, rows, skipped)
    except _Abandoned:
        os._exit(1)


class _Abandoned(Exception):
    """The process that waits for this one was killed."""


def _check_awaited(parent: int) -> None:
    if parent not in (os.getpid(), os.getppid()):
        raise _Abandoned


def _told(images: Images, parent: int, tell: Callable[[int], None]) -> Iterator[tuple[str, int, bytes]]:
    """The images, whose number is told now and then, as long as somebody waits for them."""
    _check_awaited(parent)
    count = 0
    for count, image in enumerate(images, start=1):
        yield image
        if count % IMAGES_PER_BATCH == 0:
            _check_awaited(parent)
            tell(IMAGES_PER_BATCH)
    if rest := count % IMAGES_PER_BATCH:
        tell(rest)


def _rows(
    images: Iterable[tuple[str, int, bytes]], smallest_side: int, skipped: list[tuple[str, str]] | None
) -> Iterator[tuple]:
    """Rows of `shards.write`; bad images go into the list `skipped`, where there is one."""
    for name, label, data in images:
        try:
            yield name, label, *stored(data, smallest_side)
        except ValueError as error:
            if skipped is None:
                raise ValueError(
                    f"{name} does not decode ({error}): repair it and run again, or pass --skip-bad-images to leave "
                    "such images out; finished shards stay."
                ) from error
            skipped.append((name, str(error)))


def _summary(shards: list[Shard], packed: int, seconds: float) -> Summary:
    images, skipped = 0, []
    for shard in shards:
        with opened(shard.path) as reader:
            images += sum(reader.get_batch(i).num_rows for i in range(reader.num_record_batches))
            skipped += [(*image, shard.path.name) for image in left_out(reader)]
    size_bytes = sum(shard.path.stat().st_size for shard in shards)
    return Summary(images, len(shards), size_bytes, tuple(skipped), packed, seconds)
