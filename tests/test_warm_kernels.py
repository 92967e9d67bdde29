"""The kernels of a build: forked from a server that has imported the heavy libraries."""

import multiprocessing
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from jupyter_client.manager import start_new_kernel
from jupyter_client.provisioning import KernelProvisionerFactory
from jupyter_client.provisioning.local_provisioner import LocalPortCache

ROOT = Path(__file__).resolve().parents[1]
EXTENSIONS = ROOT / "book" / "extensions"

pytestmark = pytest.mark.skipif(
    "forkserver" not in multiprocessing.get_all_start_methods(), reason="nothing is forked on this system"
)


@pytest.fixture
def warm_kernels(monkeypatch):
    monkeypatch.syspath_prepend(str(EXTENSIONS))
    import warm_kernels

    return warm_kernels


@pytest.fixture
def kernel(monkeypatch, tmp_path, warm_kernels):
    """`kernel()` starts one as a build does: its manager and its client."""
    factory = KernelProvisionerFactory.instance()
    monkeypatch.setattr(factory, "provisioners", dict(factory.provisioners))
    monkeypatch.setattr(factory, "default_provisioner_name", factory.default_provisioner_name)
    monkeypatch.setattr(warm_kernels, "IMPORTED", ())
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    warm_kernels.start()
    started = []

    def start():
        started[:] = start_new_kernel(startup_timeout=120)
        return started

    yield start
    for manager, client in [started] if started else []:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    assert not list(tmp_path.glob("kernel-*"))


def test_a_kernel_answers_though_its_ports_are_taken(kernel, monkeypatch):
    """Another process of the build, or of the machine, may take a port between its choice and its use."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setattr(LocalPortCache, "find_available_port", lambda cache, ip: taken.getsockname()[1])
        _, client = kernel()
        reply = client.execute("1 + 1", reply=True, timeout=60)
    assert reply["content"]["status"] == "ok"


def test_the_server_finds_what_it_imports(warm_kernels):
    """It says nothing of a module that it does not find: its kernels only start later."""
    code = "import sys, importlib; [importlib.import_module(name) for name in sys.argv[1:]]"
    subprocess.run([sys.executable, "-c", code, *warm_kernels.IMPORTED], cwd=ROOT, check=True)
