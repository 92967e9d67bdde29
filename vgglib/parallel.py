"""Processes that take calls, whoever runs them: this host's own here, those of clusters in `backends`."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing.managers import SyncManager
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Workers:
    """Processes that take calls.

    folder: for files that all of them see; events: a queue from them to this process; parallel: a joblib.Parallel.
    """

    folder: Path
    events: Any
    parallel: Any

    def share(self, content: Any) -> str:
        """Write an object where every worker gets it by `shared`, and return its path."""
        import joblib

        return joblib.dump(content, self.folder / "shared.joblib")[0]

    def map(self, function: Callable, calls: Iterable[tuple]) -> list:
        """`function(*call)` of every call, in their order; begun in that order, too, as workers become free.

        Raises ValueError when a process of this host was killed.
        """
        import joblib

        try:
            return self.parallel(joblib.delayed(function)(*call) for call in calls)
        except BrokenExecutor as error:
            raise ValueError(
                "a process was killed, most likely for lack of memory: run again with fewer --jobs; what was done is "
                "kept."
            ) from error

    @contextmanager
    def heard(self, handler: Callable[[Any], None]) -> Iterator[Callable[[Any], None]]:
        """A function for the workers: what one of them gives to it, `handler` gets in this process."""
        listener = threading.Thread(
            target=lambda: [handler(event) for event in iter(self.events.get, None)], daemon=True
        )
        listener.start()
        try:
            yield self.events.put
        finally:
            self.events.put(None)
            listener.join(timeout=5)


@lru_cache(maxsize=1)
def shared(path: str) -> Any:
    """What `Workers.share` has written, its arrays as memory that all processes of a host share."""
    import joblib

    return joblib.load(path, mmap_mode="c")


def one_by_one(jobs: int, backend: Any, **settings: Any):
    """A joblib.Parallel, to be used as a context, that has `jobs` calls under way, each dispatched by itself."""
    import joblib

    with joblib.parallel_config(backend, **settings):  # Parallel itself passes no settings to a backend of dask
        return joblib.Parallel(n_jobs=jobs, max_nbytes=None, batch_size=1, pre_dispatch=jobs)


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
        tempfile.TemporaryDirectory(prefix="vgglib-") as folder,
        one_by_one(jobs, "loky") as parallel,
    ):
        yield Workers(Path(folder), manager.Queue(), parallel)
