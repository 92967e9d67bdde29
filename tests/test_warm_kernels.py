"""The kernels of a build: forked from a server that has imported the heavy libraries."""

import multiprocessing
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from jupyter_client.manager import start_new_kernel
from jupyter_client.provisioning import KernelProvisionerFactory
from jupyter_client.provisioning.local_provisioner import LocalPortCache
from records import trained

from vgglib import files, results
from vgglib.analysis import evidence

ROOT = Path(__file__).resolve().parents[1]

pytestmark = pytest.mark.skipif(
    "forkserver" not in multiprocessing.get_all_start_methods(), reason="nothing is forked on this system"
)


@pytest.fixture
def warm_kernels(extension):
    return extension("warm_kernels")


def test_a_kernel_answers_though_its_ports_are_taken(warm_kernels, monkeypatch):
    """Another process of the build, or of the machine, may take a port between its choice and its use."""
    factory = KernelProvisionerFactory.instance()
    monkeypatch.setattr(factory, "provisioners", dict(factory.provisioners))
    monkeypatch.setattr(factory, "default_provisioner_name", factory.default_provisioner_name)
    monkeypatch.setattr(warm_kernels, "IMPORTED", ())
    warm_kernels.start()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setattr(LocalPortCache, "find_available_port", lambda cache, ip: taken.getsockname()[1])
        manager, client = start_new_kernel(startup_timeout=120)
        try:
            assert client.execute("1 + 1", reply=True, timeout=60)["content"]["status"] == "ok"
        finally:
            client.stop_channels()
            manager.shutdown_kernel(now=True)
    assert not Path(manager.ip).parent.exists()


def test_the_server_finds_what_it_imports(warm_kernels):
    """It says nothing of a module that it does not find: its kernels only start later."""
    code = "import sys, importlib; [importlib.import_module(name) for name in sys.argv[1:]]"
    subprocess.run([sys.executable, "-c", code, *warm_kernels.IMPORTED], cwd=ROOT, check=True)


def test_what_the_server_reads_no_page_reads_again(store, monkeypatch, extension):
    monkeypatch.setattr(files, "SETTLED_SECONDS", 0)
    monkeypatch.setenv("VGG_RESULTS", str(store.root))
    for net in "AE":
        trained(store, net, 0)
    monkeypatch.delitem(sys.modules, "read_records", raising=False)
    extension("read_records")
    read = results._held.cache_info().misses
    rows = evidence.rows(results.Store(), "demo")
    assert (rows["status"] == "done").any() and results._held.cache_info().misses == read
