"""Where to run: the device, its precision, its threads, and what to record about it."""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
import platform
import re
import shutil
import sys
import sysconfig
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import torch

from vgglib.rounding import Bf16InFp32

# Huge pages for tensors of a processor. Read by PyTorch at its first allocation, so `prepare` would come too late.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's mallopt
_NEVER = 2**31 - 1
CGROUP = Path("/sys/fs/cgroup")
MEMORY = (  # what says how many bytes may be had, and in which unit
    (Path("/proc/meminfo"), r"^MemAvailable: +(\d+)", 1024),
    (CGROUP / "memory.max", r"^\d+", 1),
)
QUOTAS = (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"))  # of cgroup v2, of v1


def cores() -> int:
    """How many cores this process may use, by its affinity and its container's quota: its share of them, where torchrun
    started several on this machine.
    """
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(found, _quota()) // int(os.environ.get("LOCAL_WORLD_SIZE", 1)))


def _quota() -> float:
    """Cores, rounded up; `joblib.cpu_count` reads the same, but a machine with a GPU needs no joblib."""
    for files in QUOTAS:
        with contextlib.suppress(OSError, ValueError):  # no such group, or the word max
            quota, period = (int(word) for file in files for word in (CGROUP / file).read_text().split())
            if quota > 0:
                return math.ceil(quota / period)
    return math.inf


def device(name: str | None = None) -> torch.device:
    """The device called `name` ("cpu", "cuda", "cuda:1"), by default the GPU where there is one. "cuda" is, for a
    process that torchrun started, the GPU with the process's number.

    Raises ValueError for an unknown name or one that this machine lacks.
    """
    if not name:
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and "LOCAL_RANK" in os.environ:
        name = f"cuda:{os.environ['LOCAL_RANK']}"
    try:
        chosen = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"unknown device {name!r}: take cpu, cuda or cuda:N.") from error
    if chosen.type not in ("cpu", "cuda"):
        raise ValueError(f"device {name!r} is not supported: take cpu, cuda or cuda:N.")
    if chosen.type == "cuda" and (not torch.cuda.is_available() or (chosen.index or 0) >= torch.cuda.device_count()):
        count = torch.cuda.device_count()
        remedy = f"start at most {count} processes here, or " if count and "LOCAL_RANK" in os.environ else ""
        raise ValueError(
            f"device {name!r} is not on this machine ({count} GPUs): {remedy}pass --device cpu (device in a notebook)."
        )
    return chosen


def multiplies_bf16(where: torch.device) -> bool:
    """Whether the hardware has bf16 units: AMX, AVX-512's or a GPU's. Without them, and on ARM, where nobody has tried,
    `autocast` rounds alike and multiplies in fp32.
    """
    if where.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))


def precision(asked: str, where: torch.device) -> str:
    """ "auto" resolved to "bf16" or "fp32" for this device; other values pass.

    bf16, so that all processors train in one arithmetic; fp32 on GPUs without bf16 units, where bf16 is untried.
    """
    if asked != "auto":
        return asked
    return "bf16" if where.type == "cpu" or multiplies_bf16(where) else "fp32"


def units(resolved: str, where: torch.device) -> str:
    """Which matrix units compute the products of a precision: "bf16" or "fp32"."""
    return "bf16" if resolved == "bf16" and multiplies_bf16(where) else "fp32"


def exact(where: torch.device) -> None:
    """On a GPU, make fp32 mean fp32, and let cuDNN repeat a run bit for bit."""
    if where.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
        torch.backends.cudnn.deterministic = True


def free_memory(where: torch.device) -> float:
    """Bytes that are left there, at most; infinity where the system does not say."""
    if where.type == "cuda":
        return torch.cuda.mem_get_info(where)[0]
    free = [math.inf]
    for path, pattern, unit in MEMORY:
        with contextlib.suppress(OSError):
            free += [unit * int(found) for found in re.findall(pattern, path.read_text(), re.MULTILINE)]
    return min(free)


@contextlib.contextmanager
def enough_memory(what: str, remedy: str, needed: float = 0, where: torch.device | None = None) -> Iterator[None]:
    """The context in which `what` is computed; ValueError, with a `remedy`, where memory runs out, or where less is
    free than the bytes `needed` at least: a CPU's memory is promised without limit, and who then uses it is killed.
    """
    try:
        if where is not None and needed > (free := free_memory(where)):
            raise ValueError(f"{what} takes {needed / 1e9:,.1f} GB at least and {free / 1e9:,.1f} are free: {remedy}.")
        yield
    except RuntimeError as error:
        on_gpu = isinstance(error, torch.OutOfMemoryError)
        if not on_gpu and "can't allocate memory" not in str(error):
            raise
        where = "the GPU has" if on_gpu else "there is"
        raise ValueError(f"{what} takes more memory than {where} free: {remedy}.") from error


@contextlib.contextmanager
def autocast(resolved: str, where: torch.device) -> Iterator[None]:
    """The context in which the nets run: bf16 autocast, by whatever `units` there are, or nothing for fp32; ValueError
    for another precision.
    """
    if resolved == "fp32":
        yield
        return
    if resolved != "bf16":
        raise ValueError(f"the precision {resolved!r} is not one that nets run in: choose bf16 or fp32.")
    products = contextlib.nullcontext() if multiplies_bf16(where) else Bf16InFp32()
    with torch.autocast(where.type, torch.bfloat16), products:
        yield


def compiles(where: torch.device, resolved: str = "fp32") -> bool:
    """Whether `torch.compile` can build code for this device. It takes a precision with `units` of its own, since
    compiled code leaves out the roundings to another; a compiler and Python's headers; and triton for a GPU.
    """
    if units(resolved, where) != resolved or not Path(sysconfig.get_path("include"), "Python.h").exists():
        return False
    gpu = where.type == "cuda"
    compilers = (os.environ.get("CC"), "gcc", "clang") if gpu else (os.environ.get("CXX"), "g++", "clang++")
    return any(map(shutil.which, filter(None, compilers))) and (not gpu or find_spec("triton") is not None)


def prepare(threads: int | None) -> None:
    """Set the number of CPU threads and keep freed memory for reuse.

    Activations are allocated and freed at every step: returning them to the system and faulting them in again costs
    up to a quarter of the time of a training step.
    """
    if sys.platform == "linux" and platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_TRIM_THRESHOLD, _NEVER)
        libc.mallopt(_M_MMAP_THRESHOLD, _NEVER)
    if threads:
        torch.set_num_threads(threads)


def describe(where: torch.device) -> dict[str, str | int]:
    """Device and software, for a run's record."""
    if where.type == "cuda":
        name = torch.cuda.get_device_name(where)
    else:
        capabilities = getattr(torch.cpu, "get_capabilities", dict)()
        name = str(capabilities.get("cpu_name") or platform.processor() or platform.machine())
    return {
        "device": where.type,
        "device_name": name,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
