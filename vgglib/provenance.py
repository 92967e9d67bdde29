"""Which version of the source code makes a record."""

from __future__ import annotations

import hashlib
import os
import subprocess
from functools import cache
from pathlib import Path

from vgglib.results import REPOSITORY


def commit() -> dict[str, str | bool | None]:
    """`commit`, its hash, and `dirty`, whether the library has changes that are not committed; None of both where the
    code is not in a git repository, or git is not installed.

    Where the code was copied without its repository, VGG_COMMIT may name the commit; `dirty` then stays unknown.
    """
    if named := os.environ.get("VGG_COMMIT"):
        return {"commit": named, "dirty": None}

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(REPOSITORY), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain", "--", "vgglib"))}
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None, "dirty": None}


@cache
def sources() -> str:
    """SHA-256 over the library's source files, committed or not, as they are when this process first asks."""
    total = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        total.update(path.read_bytes())
    return total.hexdigest()
