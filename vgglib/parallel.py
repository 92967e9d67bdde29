"""Processes that take calls, whoever runs them: this host's own here, those of clusters in `backends`."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing.managers import SyncManager
from pathlib import Path
from typing import Any

from vgglib.files import STALE_SECONDS

LOCK, IMAGES = "lock", "shared.joblib"  # all that is ever in a folder of `locked_folder`


def check_counts(**counts: int | None) -> None:
    """ValueError for a number of processes, threads or the like, named as its option is, of less than 1; None stands
    for what is usual.
    """
    for name, value in counts.items():
        if value is not None and value < 1:
            raise ValueError(f"--{name.replace('_', '-')} is {value}: it must be at least 1.")


@dataclass(frozen=True)
class Workers:
    """Processes that take calls.

    folder: for files that all of them see; events: a queue from them to this process; parallel: a joblib.Parallel;
    lost: what it raises when a process is gone, beside concurrent.futures' BrokenExecutor.
    """

    folder: Path
    events: Any
    parallel: Any
    lost: tuple[type[Exception], ...] = ()

    def share(self, content: Any) -> str:
        """Write an object where every worker gets it by `shared`, and return its path; OSError where it has no room."""
        import joblib

        path = self.folder / IMAGES
        try:
            return joblib.dump(content, path)[0]
        except OSError as error:
            reason = f"{error.strerror}, while writing the images to {path}: make room there, or name another folder "
            raise OSError(error.errno, reason + "for this host's processes by TMPDIR") from error

    def map(self, function: Callable, calls: Iterable[tuple]) -> list:
        """`function(*call)` of every call, in their order; begun in that order, too, as workers become free.

        Raises ValueError when a process was killed.
        """
        import joblib

        try:
            return self.parallel(joblib.delayed(function)(*call) for call in calls)
        except (BrokenExecutor, *self.lost) as error:
            raise ValueError(
                "a process was killed, most likely for lack of memory: run again with fewer --jobs; what was done is "
                "kept."
            ) from error

    @contextmanager
    def heard(self, handler: Callable[[Any], None]) -> Iterator[Callable[[Any], None]]:
        """A function for the workers: what one of them gives to it, `handler` gets in this process, as `unfailing`."""
        handler = unfailing(handler)

        def listen() -> None:
            for event in iter(self.events.get, None):
                handler(event)

        listener = threading.Thread(target=listen, daemon=True)
        listener.start()
        try:
            yield self.events.put
        finally:
            self.events.put(None)
            listener.join(timeout=5)


def unfailing(handler: Callable[[Any], None]) -> Callable[[Any], None]:
    """A handler of events that never fails: a display is no reason to lose a training. Where `handler` does, stderr
    says so the first time.
    """
    told = False

    def handled(event: Any) -> None:
        nonlocal told
        try:
            handler(event)
        except Exception as error:
            if not told:
                what = f"{type(error).__name__}: {error}"
                print(f"vgg: what is done cannot be shown ({what}); the work goes on.", file=sys.stderr)
            told = True

    return handled


@lru_cache(maxsize=1)
def shared(path: str) -> Any:
    """What `Workers.share` has written, its arrays as memory that all processes of a host share."""
    import joblib

    return joblib.load(path, mmap_mode="c")


def one_by_one(jobs: int, backend: Any):
    """A joblib.Parallel, to be used as a context, that has `jobs` calls under way, each dispatched by itself."""
    import joblib

    return joblib.Parallel(n_jobs=jobs, backend=backend, max_nbytes=None, batch_size=1, pre_dispatch=jobs)


@contextmanager
def locked_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """A new folder in `parent`, with a file that is locked for as long as it is used; those of its kind that killed
    processes left are removed, and never one that holds anything else.
    """
    from filelock import FileLock, Timeout

    for left in parent.glob(f"{prefix}*"):
        with suppress(Timeout, OSError):
            ours = {path.name for path in left.iterdir()} <= {LOCK, IMAGES}
            if ours and time.time() - left.stat().st_mtime > STALE_SECONDS:
                with FileLock(left / LOCK, timeout=0):
                    shutil.rmtree(left, ignore_errors=True)
    with (
        tempfile.TemporaryDirectory(prefix=prefix, dir=parent, ignore_cleanup_errors=True) as folder,
        FileLock(Path(folder, LOCK)),
    ):
        yield Path(folder)


def _end_with_parent() -> None:
    """Called in a manager's process, which would stay for ever if its parent was killed."""

    def watch() -> None:
        # Not by os.getppid(), which is that of a server where processes are forked by one.
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def loky(jobs: int) -> Iterator[Workers]:
    """`jobs` processes of this host."""
    manager = SyncManager()
    manager.start(_end_with_parent)
    with (
        manager,
        locked_folder(Path(tempfile.gettempdir()), "vgglib-") as folder,
        one_by_one(jobs, "loky") as parallel,
    ):
        yield Workers(folder, manager.Queue(), parallel)
