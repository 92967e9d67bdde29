"""Writing files so that a reader never sees half of one."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

STALE_SECONDS = 3600  # a temporary file this old belongs to a process that was killed


def sweep(folder: Path) -> None:
    """Remove what killed writers left behind in `folder`."""
    for path in folder.glob(".*.tmp"):
        if time.time() - path.stat().st_mtime > STALE_SECONDS:
            path.unlink(missing_ok=True)


def write_atomically(path: Path, data: bytes) -> None:
    """Write under a temporary name beside `path`, flush to disk, then rename over it.

    A process killed meanwhile leaves the temporary file, never a part of `path`; `sweep` removes it later. Raises
    OSError, naming `path`, when it cannot be written; then nothing is left.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp makes files private
        os.replace(temporary, path)
    except OSError as error:
        Path(temporary).unlink(missing_ok=True)
        reason = f"{error.strerror}, while writing {path}: make room or choose another folder"
        raise OSError(error.errno, reason) from error
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
