"""Writing files so that a reader never sees half of one, and noticing that one has changed."""

from __future__ import annotations

import os
import tempfile
import time
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

DAMAGED_NPZ = (
    KeyError,
    ValueError,
    EOFError,
    NotImplementedError,
    zipfile.BadZipFile,
    zlib.error,
)  # what reading one raises
SETTLED_SECONDS = 10  # times of files are coarse: two changes at once may bear the same
STALE_SECONDS = 3600  # a temporary file this old belongs to a process that was killed


def sweep(folder: Path, older_than_seconds: float = STALE_SECONDS) -> None:
    """Remove what killed writers left behind in `folder`."""
    for path in folder.glob(".*.tmp"):
        with suppress(FileNotFoundError):  # its writer may be alive and done with it
            if time.time() - path.stat().st_mtime > older_than_seconds:
                path.unlink()


@contextmanager
def replacing(path: Path, kept: Path | None = None) -> Iterator[Path]:
    """A temporary file beside `path` to write to; when the block ends it is flushed to disk and renamed over `path`,
    whose file is first renamed to `kept`, where one is asked for.

    A process killed meanwhile leaves the temporary file, never a part of `path`; `sweep` removes it later. Raises
    OSError, naming `path`, when it cannot be written; then nothing is left, and `path` is what it was; what was
    at `kept` may be gone.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        os.close(handle)
        temporary = Path(name)
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp makes files private
        moved = False
        if kept:
            with suppress(FileNotFoundError):  # there is none yet
                os.replace(path, kept)
                moved = True
        try:
            os.replace(temporary, path)
        except OSError:
            if moved:
                os.replace(kept, path)
            raise
    except OSError as error:
        reason = f"{error.strerror}, while writing {path}: make room or choose another folder"
        raise OSError(error.errno, reason) from error
    finally:
        if temporary:
            temporary.unlink(missing_ok=True)  # unless it has been renamed


def state(path: Path) -> tuple[int, ...] | None:
    """What differs once a file has changed: its inode, size and times. None where there is no file, and for a while
    after its last change, when a further one might not show. File systems of networks may tell of a change late.
    """
    try:
        found = path.stat()
    except OSError:
        return None
    times = found.st_mtime_ns, found.st_ctime_ns
    return None if time.time() - max(times) / 1e9 < SETTLED_SECONDS else (found.st_ino, found.st_size, *times)


def previous(path: Path) -> Path:
    """Where the file that was at `path` before is kept, if it is."""
    return path.with_suffix(f".previous{path.suffix}")


def latest(path: Path) -> Path | None:
    """`path` where it exists, else the one before it (the newest was deleted, or a process killed while it was being
    replaced), else None.
    """
    return next((found for found in (path, previous(path)) if found.exists()), None)


def write_atomically(path: Path, data: bytes) -> None:
    """Replace `path` by `data`, whole or not at all; OSError as `replacing`."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)
