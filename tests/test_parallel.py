import os

import numpy as np

from vgglib.parallel import loky, shared


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
