"""Where the runs of a plan are done at once: processes of this host (loky), or the workers of a dask or ray cluster,
all of them by way of joblib.

A cluster must offer, on every host: the same vgglib; and the results folder at the same path, on a file system whose
locks (flock) hold between hosts and whose renames are atomic, such as NFS 4, or Lustre mounted with flock. This is
checked before any work. Packed images must be at the same path, too. The clocks of the hosts should agree: a time
budget ends at an instant.

A dask worker takes one run at a time, with the GPU of its own CUDA_VISIBLE_DEVICES: start one worker for each GPU. Ray
gives each run a GPU of its own. A worker that is lost loses no more than the work since the last checkpoint.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import pickle
import queue
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import torch

from vgglib import devices
from vgglib.parallel import LOCK, Workers, locked_folder, loky, one_by_one, shared
from vgglib.provenance import sources

PACKAGES = {"dask": "distributed", "ray": "ray"}
SCHEMES = {"dask": ("", "tcp", "tls"), "ray": ("",)}
ANSWER_SECONDS = 10  # a scheduler that is silent for so long is not there
WORKER_SECONDS = 240  # in which a worker has started and imported what it needs, on a busy host, too
SHARED = ".shared-"  # begins the name of a folder for all hosts of a cluster
# Ray reads these when it is imported and started: its servers listen on the loopback address alone, it reports nothing
# to its makers, and runs without a GPU of their own leave the list of devices as it is.
LOCAL_RAY = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


def check(name: str, scheduler: str | None, jobs: int | None, device: str | None) -> None:
    """ValueError for an unknown backend, one that is not installed, an address that it has no use for, or several jobs
    for a GPU that takes them in turn.
    """
    if name not in (*PACKAGES, "loky"):
        raise ValueError(f"unknown backend {name!r}: take loky, {', '.join(PACKAGES)}.")
    # A machine whose runs take turns, on its GPU, needs not even joblib.
    if name in PACKAGES and importlib.util.find_spec(PACKAGES[name]) is None:
        raise ValueError(f'backend {name!r} is not installed: pip install -e ".[{name}]" in the project\'s folder.')
    if scheduler and name == "loky":
        raise ValueError(f"backend 'loky' has no use for the scheduler {scheduler}: pass --backend dask or ray.")
    if jobs and jobs > 1 and _in_turn(name, scheduler, device):
        raise ValueError(
            f"--jobs is {jobs}, and a GPU takes nets in turn: leave it out; `vgg run --backend ray` shares out several."
        )


def _in_turn(name: str, scheduler: str | None, device: str | None) -> bool:
    return name != "ray" and not scheduler and devices.device(device).type == "cuda"


def workers(
    name: str,
    scheduler: str | None,
    jobs: int | None,
    threads: int | None,
    device: str | None,
    most: int,
    folder: Path,
    suits: Callable[[torch.device], None] | None = None,
) -> AbstractContextManager[Workers | None]:
    """Workers for `jobs` calls at once, by default as many as have `threads` cores of this host each, or one for each
    worker of the cluster, and never for more than `most`; None when the calls should take turns in this process.

    Without `scheduler`, dask and ray are started on this host, and stopped at the end; this host's GPU takes runs in
    turn, only ray knows how to share out several. threads: of each call; device: of each worker, as in
    `devices.device`; folder: one that all hosts of a cluster see; suits: raises ValueError, on each worker, where its
    device will not do.

    Raises ValueError when the scheduler does not answer, or a worker will not do.
    """
    if _in_turn(name, scheduler, device):
        jobs = 1
    jobs = min(jobs or (most if scheduler else max(1, devices.cores() // (threads or 1))), most)
    if name == "dask":
        return _dask(scheduler, jobs, device, folder, suits)
    if name == "ray":
        return _ray(scheduler, jobs, threads or 1, device, folder, suits)
    return loky(jobs) if jobs > 1 else nullcontext()


@contextmanager
def _dask(
    scheduler: str | None, jobs: int, device: str | None, folder: Path, suits: Callable | None
) -> Iterator[Workers]:
    from distributed import Client
    from distributed.scheduler import KilledWorker

    with ExitStack() as stack:
        address = scheduler or stack.enter_context(_local_dask(jobs))
        with _answering("dask", scheduler):
            client = stack.enter_context(Client(address, timeout=ANSWER_SECONDS, set_as_default=False))
        try:
            client.wait_for_workers(1, ANSWER_SECONDS)
        except TimeoutError as error:
            raise ValueError(f"the dask scheduler at {scheduler} has no workers: start some.") from error
        for worker, threads in client.nthreads().items():
            if threads > 1:  # trainings share the random generator and the number of threads of their process
                raise ValueError(f"the dask worker {worker} has {threads} threads: start it with --nthreads 1.")
        common = stack.enter_context(locked_folder(folder, SHARED))
        _refuse_faults("dask", client.run, common, device, suits)
        stack.callback(client.run, shared.cache_clear)
        jobs = min(jobs, len(client.nthreads()))
        parallel = stack.enter_context(one_by_one(jobs, _dask_backend(client)))
        yield Workers(common, _Topic.of(client), parallel, (KilledWorker,))


def _dask_backend(client: Any) -> Any:
    """joblib's for dask, which leaves no call to this process."""
    import joblib

    with joblib.parallel_config("dask", client=client):
        backend, _ = joblib.parallel.get_active_backend()
    backend.effective_n_jobs = _more_than_one
    return backend


def _more_than_one(jobs: int) -> int:
    """How many workers joblib is told of: where it knows of a single one, it makes all calls in its own process."""
    return max(2, jobs)


@contextmanager
def _local_dask(jobs: int) -> Iterator[Any]:
    from distributed import LocalCluster

    quiet = {
        "dashboard_address": "127.0.0.1:0",
        "scheduler_kwargs": {"dashboard": False},
        "silence_logs": logging.CRITICAL,
    }
    with LocalCluster(n_workers=jobs, threads_per_worker=1, memory_limit=None, host="127.0.0.1", **quiet) as cluster:
        yield cluster


@dataclass(frozen=True)
class _Topic:
    """Structured events of dask, as a queue from the workers to this process."""

    name: str
    client: Any = None  # this and the next in this process only
    arrived: queue.SimpleQueue | None = None

    @classmethod
    def of(cls, client: Any) -> _Topic:
        topic = cls(f"vgglib-{uuid4().hex}", client, queue.SimpleQueue())
        client.subscribe_topic(topic.name, lambda event: topic.arrived.put(pickle.loads(event[1])))
        return topic

    def __reduce__(self):
        return _Topic, (self.name,)

    def get(self) -> Any:
        return self.arrived.get()

    def put(self, event: Any) -> None:
        from distributed import get_worker

        (self.client or get_worker()).log_event(self.name, pickle.dumps(event))


@contextmanager
def _ray(
    scheduler: str | None, jobs: int, threads: int, device: str | None, folder: Path, suits: Callable | None
) -> Iterator[Workers]:
    with _connected_ray(scheduler, jobs * threads), locked_folder(folder, SHARED) as common:
        import ray
        from ray.util.queue import Queue
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        gpus = int(device != "cpu" and ray.cluster_resources().get("GPU", 0) > 0)
        each = {"num_cpus": threads, "num_gpus": gpus}
        room = {node["NodeID"]: _room(node["Resources"], threads, gpus) for node in ray.nodes() if node["Alive"]}
        nodes = [node for node in room if room[node]]
        if not nodes:
            raise ValueError(f"no host of the ray cluster has {threads} CPUs for a run: pass fewer --threads.")

        def ask(question: Callable[[], str]) -> dict[str, str]:
            there = [NodeAffinitySchedulingStrategy(node, soft=False) for node in nodes]
            asked = [ray.remote(question).options(**each, scheduling_strategy=one).remote() for one in there]
            return dict(zip(nodes, ray.get(asked, timeout=WORKER_SECONDS), strict=True))

        _refuse_faults("ray", ask, common, device, suits)
        lost = (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError)
        with one_by_one(min(jobs, sum(room.values())), _ray_backend(each)) as parallel:
            yield Workers(common, Queue(actor_options={"num_cpus": 0}), parallel, lost)


@contextmanager
def _connected_ray(scheduler: str | None, cpus: int) -> Iterator[None]:
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    if scheduler:
        with _answering("ray", scheduler):
            import ray

            ray.init(scheduler, **quiet)
    else:
        os.environ.update(LOCAL_RAY)
        import ray

        # The store of objects stays nearly empty: images travel as files.
        try:
            ray.init("local", num_cpus=cpus, include_dashboard=False, object_store_memory=1 << 27, **quiet)
        except Exception as error:  # ray raises nothing narrower where its node is not up within some seconds
            reason = str(error).splitlines()[0]
            raise ValueError(
                f"ray does not start on this host, which may be too busy ({reason}): try again, or pass --backend dask."
            ) from error
    try:
        yield
    finally:
        ray.shutdown()


def _room(has: dict[str, float], threads: int, gpus: int) -> int:
    """How many runs fit on a host of a ray cluster at once."""
    room = int(has.get("CPU", 0) // threads)
    return min(room, int(has.get("GPU", 0))) if gpus else room


def _ray_backend(each: dict[str, int]):
    """A backend of joblib whose calls are tasks of ray, which go to whatever worker is free.

    The one that ray brings deals them out in turn, and lets a call wait for a busy worker while others are idle.
    """
    import joblib
    import ray

    class Tasks(joblib.parallel.ParallelBackendBase):
        supports_retrieve_callback = True

        def effective_n_jobs(self, n_jobs):
            return _more_than_one(n_jobs)

        def submit(self, func, callback=None):
            future = ray.remote(lambda: func()).options(**each).remote().future()
            future.add_done_callback(callback)
            return future

        def retrieve_result_callback(self, out):
            try:
                return out.result()
            except ray.exceptions.RayTaskError as error:
                raise error.cause from error

    return Tasks()


@contextmanager
def _answering(name: str, scheduler: str | None) -> Iterator[None]:
    """Where the scheduler is connected to, if there is one: ValueError when it is not there."""
    try:
        if scheduler and scheduler != "auto":  # ray's word for the cluster of this host
            address = urlsplit(scheduler if "://" in scheduler else f"//{scheduler}")
            if address.scheme not in SCHEMES[name]:
                raise ValueError(f"unknown scheme {address.scheme}")
            # Both libraries try for long, and leave threads behind, where nothing listens.
            socket.create_connection((address.hostname, address.port), ANSWER_SECONDS).close()
        yield
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"no {name} scheduler answers at {scheduler} ({reason}): start one, or correct it.") from error


def _refuse_faults(
    name: str,
    ask: Callable[..., dict[str, str]],
    folder: Path,
    device: str | None,
    suits: Callable[[torch.device], None] | None = None,
) -> None:
    """ValueError when a worker has a fault; `ask` calls a function in all of them."""
    ours, packed = sources(), pickle.dumps(suits)

    def question() -> str:  # sent whole, because a worker without this module could not look it up
        try:
            from vgglib.running.backends import _fault
        except ImportError as error:
            return f"has no vgglib, or another ({error}): install the same on all hosts."
        return _fault(folder, device, ours, packed)

    try:
        faults = ask(question)
    except TimeoutError as error:
        raise ValueError(f"{name} workers do not answer: they may be at other work; wait, or start more.") from error
    for worker, fault in faults.items():
        if fault:
            raise ValueError(f"the {name} worker {worker} {fault}")


def _fault(folder: Path, device: str | None, ours: str, suits: bytes) -> str:
    """What keeps this process from doing runs for another one, if anything; `suits` is pickled, since where the library
    is another it may not be found.
    """
    from filelock import FileLock, Timeout

    if sources() != ours:
        return "has another vgglib: install the same on all hosts, and start it again."
    if not Path(folder, LOCK).exists():
        return f"does not see {folder}: the results (--results) must be at one path on all hosts."
    with suppress(Timeout), FileLock(Path(folder, LOCK), timeout=0):
        return f"ignores a lock in {folder}: put the results (--results) where locks hold between hosts."
    try:
        found = devices.device(device)
        if check := pickle.loads(suits):
            check(found)
    except ValueError as error:
        return f"cannot take part: {error}"
    return ""
