import json
import logging
import multiprocessing
import os
import pickle
import sys
from contextlib import nullcontext
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from filelock import FileLock
from small_runs import lasting, run, small

from vgglib import runner
from vgglib.provenance import sources
from vgglib.results import Store
from vgglib.running import backends
from vgglib.running.progress import Silent
from vgglib.training.distributed import ALONE


class Heard(Silent):
    def __init__(self):
        super().__init__()
        self.kinds = {}

    def show(self, event):
        self.kinds.setdefault(event.run_id, []).append(event.kind)


def records(folder):
    return {path.name: lasting(json.loads(path.read_text())) for path in folder.rglob("runs/*.json")}


def check_the_same_plan(folder, **settings):
    """Runs a plan of two waves, the second of which starts from the first's weights, in turn and on a cluster."""
    entries, heard = small(("A", "B"), from_a=True), Heard()
    run(entries, results=folder / "one")
    rows = run(entries, results=folder / "many", display=heard, jobs=2, **settings)
    assert rows["status"].tolist() == ["done", "done"]
    assert records(folder / "one") == records(folder / "many") and len(records(folder / "many")) == 2
    posteriors = [Store(folder / name).posteriors(entries[1].runs[0])[0] for name in ("one", "many")]
    assert np.array_equal(*posteriors)
    for kinds in heard.kinds.values():
        assert kinds[0] == "started" and "training" in kinds and kinds[-1] == "done"
    assert heard.state.done == 1
    assert not list(folder.rglob(".shared-*"))


def check_calls(pool):
    def fail(number):  # no worker could import it from here
        if number == 1:
            raise OSError(28, "no room left")
        return number, os.getpid()

    answers = pool.map(fail, [(number,) for number in (3, 2, 4)])
    assert [number for number, _ in answers] == [3, 2, 4] and os.getpid() not in [process for _, process in answers]
    with pytest.raises(OSError, match="no room left") as caught:
        pool.map(fail, [(0,), (1,)])
    assert type(caught.value) is OSError and caught.value.errno == 28


def test_ray_gives_the_records_of_one_process(images, tmp_path, monkeypatch):
    with backends.workers("ray", None, 2, 1, "cpu", 3, tmp_path) as pool:
        check_calls(pool)
        with backends.one_by_one(1, backends._ray_backend({"num_cpus": 1, "num_gpus": 0})) as single:
            check_calls(replace(pool, parallel=single))
        monkeypatch.setattr(backends, "workers", lambda *_: nullcontext(pool))  # starting ray takes long
        check_the_same_plan(tmp_path / "runs", backend="ray")
    assert not sys.modules["ray"].is_initialized() and not list(tmp_path.glob(".shared-*"))


def test_a_ray_that_does_not_start_is_told(tmp_path, monkeypatch):
    def late(*_, **__):
        raise Exception("The current node timed out during startup.\nSee the logs.")

    monkeypatch.setattr("ray.init", late)
    refused = pytest.raises(ValueError, match=r"too busy \(The current node timed out during startup\.\): try again")
    with refused, backends.workers("ray", None, 2, 1, "cpu", 3, tmp_path):
        pass


def test_dask_on_this_host_gives_the_records_of_one_process(images, tmp_path):
    check_the_same_plan(tmp_path, backend="dask")
    assert not multiprocessing.active_children()


def test_dask_elsewhere_gives_the_records_of_one_process(images, tmp_path, monkeypatch):
    with backends._local_dask(2) as cluster:
        monkeypatch.chdir(tmp_path)  # where the workers are not
        check_the_same_plan(tmp_path.relative_to(tmp_path), backend="dask", scheduler=cluster.scheduler_address)
        with backends.workers("dask", cluster.scheduler_address, 2, 1, "cpu", 3, tmp_path) as pool:
            check_calls(pool)


def test_a_single_worker_of_dask_is_given_the_calls(tmp_path):
    with backends.workers("dask", None, 1, 1, "cpu", 3, tmp_path) as pool:
        check_calls(pool)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"backend": "slurm"}, "unknown backend 'slurm': take loky, dask, ray"),
        ({"scheduler": "127.0.0.1:1"}, "backend 'loky' has no use for the scheduler 127.0.0.1:1"),
        ({"backend": "dask", "scheduler": "127.0.0.1:1"}, "no dask scheduler answers at 127.0.0.1:1"),
        ({"backend": "dask", "scheduler": "http://127.0.0.1:1"}, "unknown scheme http"),
        ({"backend": "ray", "scheduler": "127.0.0.1:1"}, "no ray scheduler answers at 127.0.0.1:1"),
        ({"backend": "ray", "scheduler": "127.0.0.1:99999"}, "no ray scheduler answers at 127.0.0.1:99999"),
    ],
)
def test_a_cluster_that_is_not_there_is_refused_before_any_training(images, tmp_path, monkeypatch, settings, message):
    monkeypatch.setattr(runner, "_execute_all", None)
    with pytest.raises(ValueError, match=message):
        run(small(), results=tmp_path, **settings)


@pytest.mark.parametrize("name", ["loky", "dask"])
def test_a_gpu_takes_no_two_nets_at_once(name, tmp_path, monkeypatch):
    monkeypatch.setattr(backends.devices, "device", lambda _: torch.device("cuda"))
    with pytest.raises(ValueError, match="--jobs is 2, and a GPU takes nets in turn: leave it out"):
        run(small(), results=tmp_path, backend=name, jobs=2)
    with backends.workers("loky", None, 1, None, None, 3, tmp_path) as pool:
        assert pool is None


@pytest.mark.parametrize(
    "threads, jobs, processes", [(None, None, 8), (3, None, 2), (8, None, 1), (20, None, 1), (3, 4, 4)]
)
def test_processes_of_several_threads_are_fewer(threads, jobs, processes, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(backends.devices, "cores", lambda: 8)
    monkeypatch.setattr(backends, "loky", lambda count: asked.append(count) or nullcontext(count))
    monkeypatch.setattr(backends, "_dask", lambda scheduler, count, *more: asked.append(count))
    monkeypatch.setattr(backends, "_ray", lambda scheduler, count, each, *more: asked.append(count))
    for name in ("dask", "ray"):
        backends.workers(name, None, jobs, threads, "cpu", 30, tmp_path)
    with backends.workers("loky", None, jobs, threads, "cpu", 30, tmp_path) as pool:
        assert pool == (processes if processes > 1 else None)  # what is done one after another needs no process
    assert set(asked) == {processes}


@pytest.mark.parametrize("name", ["dask", "ray"])
def test_a_package_that_is_missing_is_named(monkeypatch, name):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ValueError, match=rf'pip install -e "\.\[{name}\]"'):
        backends.check(name, None, None, "cpu")


def test_a_dask_worker_with_several_threads_is_refused(images, tmp_path, monkeypatch):
    from distributed import LocalCluster

    monkeypatch.setattr(runner, "_execute_all", None)
    quiet = {"dashboard_address": "127.0.0.1:0", "silence_logs": logging.ERROR, "host": "127.0.0.1"}
    with LocalCluster(n_workers=1, threads_per_worker=2, **quiet) as cluster:
        with pytest.raises(ValueError, match="has 2 threads: start it with --nthreads 1"):
            run(small(), results=tmp_path, backend="dask", scheduler=cluster.scheduler_address)
        assert not list(tmp_path.rglob(".shared-*"))


def test_what_keeps_a_worker_from_taking_part(tmp_path):
    def fault(folder=tmp_path, device="cpu", ours=None, suits=None):
        return backends._fault(folder, device, ours or sources(), pickle.dumps(suits))

    assert "has another vgglib" in fault(ours="0" * 64)
    assert f"does not see {tmp_path / 'elsewhere'}" in fault(tmp_path / "elsewhere")
    (tmp_path / backends.LOCK).touch()
    assert "ignores a lock" in fault()
    with FileLock(tmp_path / backends.LOCK):
        assert fault() == ""
        assert "cannot take part: unknown device 'gpu'" in fault(device="gpu")
        used = partial(runner._check_device, earlier={"fp16": "E of preset demo"}, fused=(), division=ALONE)
        assert "cannot take part: the record E of preset demo was computed in fp16, and this" in fault(suits=used)


def test_the_devices_of_a_cluster_are_judged_there(images, tmp_path, monkeypatch):
    """The processor at which a plan is begun need not be able to do what workers elsewhere are asked for."""
    judged = []

    def workers(*settings):
        judged.append(settings[-1])
        raise KeyboardInterrupt  # nothing is to be run

    monkeypatch.setattr(backends, "workers", workers)
    monkeypatch.setattr(backends.devices, "compiles", lambda where, precision: where.type == "cuda")
    with pytest.raises(KeyboardInterrupt):
        run(small(), results=tmp_path, backend="dask", scheduler="there:1", compiled=True)
    judged[0](torch.device("cuda"))
    with pytest.raises(ValueError, match="cannot be compiled on this cpu"):
        judged[0](torch.device("cpu"))
    with pytest.raises(ValueError, match="cannot be compiled on this cpu"):
        run(small(), results=tmp_path, compiled=True)


def test_a_worker_without_the_library_is_named(tmp_path, monkeypatch):
    def ask(question):
        monkeypatch.setitem(sys.modules, "vgglib.running.backends", None)
        return {"tcp://there": question()}

    with pytest.raises(ValueError, match="the dask worker tcp://there has no vgglib, or another"):
        backends._refuse_faults("dask", ask, tmp_path, None)


@pytest.mark.parametrize(
    "has, threads, gpus, room", [({"CPU": 8.0}, 3, 0, 2), ({"CPU": 8.0, "GPU": 2.0}, 1, 1, 2), ({"CPU": 8.0}, 1, 1, 0)]
)
def test_how_many_runs_a_host_of_ray_takes(has, threads, gpus, room):
    assert backends._room(has, threads, gpus) == room
