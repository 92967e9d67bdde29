"""Weights and training state in one safetensors file, written whole or not at all; the one before is kept beside it."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from vgglib.files import previous, replacing


def write(path: Path, tensors: dict[str, Tensor], state: dict, keep_previous: bool = False) -> None:
    """Replace `path` by a file with the tensors and the plain values of `state`.

    With `keep_previous` the file that was there stays as `previous(path)`. Raises OSError when it cannot be written or
    does not fit on the disk, before anything is replaced.
    """
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    needed = sum(tensor.nbytes for tensor in plain.values())
    path.parent.mkdir(parents=True, exist_ok=True)
    if (free := shutil.disk_usage(path.parent).free) < needed:
        reason = (
            f"{path} takes {needed / 1e6:,.1f} MB where {free / 1e6:,.1f} are free: make room or choose another folder"
        )
        raise OSError(errno.ENOSPC, reason)
    with replacing(path, previous(path) if keep_previous else None) as temporary:
        try:
            save_file(plain, temporary, {"state": json.dumps(state)})
        except SafetensorError as error:  # what the system said reaches us as text alone
            raise OSError(errno.EIO, str(error)) from error


def set_aside(path: Path) -> None:
    """Rename the checkpoint at `path` and the one before it, so that a training begins anew and nothing is lost; those
    that were set aside earlier are replaced.
    """
    for found in (path, previous(path)):
        with suppress(FileNotFoundError):
            os.replace(found, found.with_suffix(f".diverged{found.suffix}"))


def read(path: Path) -> tuple[dict[str, Tensor], dict]:
    """Tensors (on the CPU) and state; nothing in the file is executed. ValueError when it is no checkpoint or cut
    short.
    """
    with _opened(path) as (file, state):
        return {name: file.get_tensor(name) for name in file.keys()}, state  # noqa: SIM118


def read_state(path: Path) -> dict:
    """The state alone, without reading the tensors; ValueError as `read`."""
    with _opened(path) as (_, found):
        return found


@contextmanager
def _opened(path: Path) -> Iterator[tuple[safe_open, dict]]:
    try:
        with safe_open(os.fspath(path), framework="pt") as file:
            yield file, json.loads(file.metadata()["state"])
    except (SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise damaged(path, error) from error


def damaged(path: Path, reason: object) -> ValueError:
    """The error that names a file that is no checkpoint, or one of an earlier version, and what to do."""
    before = previous(path)
    otherwise = f"go on from {before.name}" if before.exists() else "train anew"
    return ValueError(f"{path} is damaged or of an earlier version ({reason}): move it away to {otherwise}.")


def check(path: Path, tensors: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """ValueError, naming the file, when its tensors are not those expected: names, shapes and types."""
    foreign, missing = sorted(set(tensors) - set(expected)), sorted(set(expected) - set(tensors))
    what = f"tensors that are not the net's ({foreign[0]})" if foreign else f"no {missing[0]}" if missing else ""
    for name in () if what else expected:
        ours, theirs = expected[name], tensors[name]
        if (ours.shape, ours.dtype) != (theirs.shape, theirs.dtype):
            what = f"{name} as {theirs.dtype} of shape {tuple(theirs.shape)} where the net has {ours.dtype} of "
            what += f"{tuple(ours.shape)}"
            break
    if what:
        raise ValueError(f"{path} has {what}: it belongs to another net, delete it to train anew.")
