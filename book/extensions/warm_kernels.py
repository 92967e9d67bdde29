"""Sphinx extension: notebooks start from a process that has imported the heavy libraries and read the records already.

Every page still runs in a kernel of its own; it is forked instead of started anew, which saves seconds of imports for
each of them. Where there is no fork, Jupyter starts its kernels as usual.
"""

import gc
import multiprocessing
import os
import shutil
import tempfile
from importlib.metadata import EntryPoint
from multiprocessing import forkserver
from pathlib import Path

from jupyter_client.provisioning import KernelProvisionerFactory, LocalProvisioner

NAME = "warm"
_builder: int | None = None  # the process that started the server, which is Sphinx's in a build
# The first is what runs a build: multiprocessing imports it in every process that it starts.
IMPORTED = ("jupyter_book.cli.main", "ipykernel.kernelapp", "matplotlib_inline.backend_inline", "vgglib.runner")
IMPORTED += ("vgglib.plots", "vgglib.display.first_look", "vgglib.display.sections", "vgglib.display.explore_ensembles")
# By its place in the project, where a build runs: the server does not look where Sphinx finds extensions.
IMPORTED += ("book.extensions.read_records",)


class WarmProvisioner(LocalProvisioner):
    """Forks kernels from `multiprocessing`'s server instead of starting Python for each."""

    async def pre_launch(self, **kwargs):
        # Sockets in a folder of its own: a port, chosen here and bound by the kernel later, may be taken by then, for
        # example by a kernel of the other process that reads pages. The folder for temporary files keeps paths short.
        self._folder = tempfile.mkdtemp(prefix="kernel-")
        self.parent.transport, self.parent.ip = "ipc", str(Path(self._folder, "socket"))
        return await super().pre_launch(**kwargs)

    async def cleanup(self, restart=False):
        await super().cleanup(restart)
        shutil.rmtree(self._folder, ignore_errors=True)

    async def launch_kernel(self, cmd, **kwargs):
        if os.getpid() != _builder:
            # Sphinx reads pages in processes of its own. The server is not their child, so they cannot ask the system
            # whether it runs, as multiprocessing would; it runs until the build has ended.
            forkserver._forkserver.ensure_running = lambda: None
        start = multiprocessing.get_context("forkserver")
        arguments = cmd[cmd.index("ipykernel_launcher") + 1 :]
        process = start.Process(target=_kernel, args=(arguments, kwargs.get("cwd"), kwargs["env"]))
        process.start()
        self.process, self.pid = _Handle(process), process.pid
        return self.connection_info


class _Handle:
    """A process of `multiprocessing` with the names that `subprocess.Popen` has for the same things."""

    stdin = stdout = stderr = None

    def __init__(self, process):
        self._process = process
        self.wait, self.kill, self.terminate = process.join, process.kill, process.terminate

    def poll(self):
        return self._process.exitcode

    def send_signal(self, number):
        if self.poll() is None:
            os.kill(self._process.pid, number)


def _kernel(arguments, folder, environment):
    from ipykernel.kernelapp import launch_new_instance

    gc.freeze()  # what the server has imported is in use for good: each search of it for garbage takes 0.2 s
    os.environ.update(environment)
    if folder:
        os.chdir(folder)
    # A kernel ends with the server, and the server with the build; started as usual it would watch the build itself.
    # All that it would warn of is that messages within this machine are signed and not encrypted.
    launch_new_instance(argv=[*arguments, f"--IPKernelApp.parent_handle={os.getppid()}", "--log-level=ERROR"])


def start():
    """Start the server, and let this process and those that it starts fork kernels from it."""
    global _builder
    if "forkserver" in multiprocessing.get_all_start_methods():
        _builder = os.getpid()
        forkserver.set_forkserver_preload(list(IMPORTED))
        forkserver.ensure_running()
        factory = KernelProvisionerFactory.instance()
        factory.provisioners[NAME] = EntryPoint(NAME, f"{__name__}:WarmProvisioner", factory.GROUP_NAME)
        factory.default_provisioner_name = NAME


def start_for(app, env, pages):
    """Start the server if one of the pages about to be read holds code."""
    texts = (Path(env.doc2path(page)).read_text() for page in pages)
    if any('"code"' in text or "{code-cell}" in text for text in texts):
        start()


def setup(app):
    app.connect("env-before-read-docs", start_for)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
