import multiprocessing
import os
import queue
import signal
import subprocess
import sys

import numpy as np
import psutil
import pytest
from filelock import FileLock

from vgglib.parallel import LOCK, Workers, locked_folder, loky, shared

# Works in a process of its own, whose start method is the only one of a process; says who its manager is.
PARENT = """
import multiprocessing, sys, time
from vgglib.parallel import loky
if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[1])
    with loky(2) as pool:
        (manager,) = (child for child in multiprocessing.active_children() if child.name.startswith("SyncManager"))
        print(sum(pool.map(abs, [(-1,), (-2,)])), manager.pid, flush=True)
        time.sleep(60)
"""


def test_processes_of_this_host_take_calls_share_memory_and_tell_what_they_do():
    def call(path, number, send):
        array = shared(path)
        send((number, os.getpid()))
        return array[number], isinstance(array, np.memmap)

    heard = []
    with loky(2) as pool:
        path = pool.share(np.arange(10) ** 2)
        with pool.heard(heard.append) as send:
            assert pool.map(call, [(path, number, send) for number in (3, 1, 2)]) == [(9, True), (1, True), (4, True)]
        assert sorted(number for number, _ in heard) == [1, 2, 3] and os.getpid() not in dict(heard).values()
    assert not pool.folder.exists()


def test_a_display_that_fails_is_told_of_once_and_misses_nothing_else(capsys):
    heard = []

    def show(number):
        if number < 3:
            raise ZeroDivisionError("no bar of width 0")
        heard.append(number)

    with Workers(None, queue.SimpleQueue(), None).heard(show) as send:
        for number in range(1, 6):
            send(number)
    assert heard == [3, 4, 5]
    assert capsys.readouterr().err == (
        "vgg: what is done cannot be shown (ZeroDivisionError: no bar of width 0); the work goes on.\n"
    )


def test_a_process_that_is_killed_is_one_sentence():
    def call(fatal):
        if fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    sentence = r"a process was killed, most likely for lack of memory: run again with fewer --jobs; .* kept\."
    with loky(2) as pool, pytest.raises(ValueError, match=sentence):
        pool.map(call, [(False,), (True,)])
    with loky(2) as pool:
        assert pool.map(abs, [(-1,), (-2,)]) == [1, 2]


def test_a_cluster_says_in_its_own_way_that_a_process_is_lost():
    class Gone(Exception):
        pass

    def parallel(calls):
        raise Gone

    with pytest.raises(ValueError, match="a process was killed, most likely for lack of memory"):
        Workers(None, None, parallel, (Gone,)).map(abs, [(-1,)])
    with pytest.raises(Gone):
        Workers(None, None, parallel).map(abs, [(-1,)])


def test_images_that_do_not_fit_name_the_folder_and_a_remedy(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("joblib.dump", full)
    with pytest.raises(OSError, match=rf"No space left on device, while writing the images to {tmp_path}/.*TMPDIR"):
        Workers(tmp_path, None, None).share(np.zeros(3))


def test_the_folder_of_a_killed_run_is_removed_and_that_of_a_living_one_kept(tmp_path):
    dead, living, new, someones = (tmp_path / f"vgglib-{name}" for name in ("dead", "living", "new", "someones"))
    for folder in (dead, living, new, someones):
        folder.mkdir()
        (folder / "shared.joblib").touch()
    (someones / "notes.txt").touch()  # a folder may have such a name by chance
    with FileLock(living / LOCK):
        for folder in (dead, living, someones):
            os.utime(folder, (0, 0))
        with locked_folder(tmp_path, "vgglib-") as own:
            assert sorted(tmp_path.iterdir()) == sorted([living, new, someones, own])
    assert sorted(tmp_path.iterdir()) == sorted([living, new, someones])


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_the_manager_lives_as_long_as_its_parent_however_processes_start(method, tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    parent = subprocess.Popen([sys.executable, script, method], stdout=subprocess.PIPE, text=True)
    total, manager = map(int, parent.stdout.readline().split())
    manager = psutil.Process(manager)
    with parent:
        parent.kill()
    manager.wait(timeout=30)  # of a manager that stays this raises an error
    assert total == 3
