"""Weights and training state in one safetensors file, written whole or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from vgglib.files import write_atomically


def write(path: Path, tensors: dict[str, Tensor], state: dict) -> None:
    """Replace `path` by a file with the tensors and the plain values of `state`."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_atomically(path, save(plain, {"state": json.dumps(state)}))


def read(path: Path) -> tuple[dict[str, Tensor], dict]:
    """Tensors (on the CPU) and state; nothing in the file is executed. ValueError when it is no checkpoint or cut
    short.
    """
    try:
        with safe_open(os.fspath(path), framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, json.loads(file.metadata()["state"])  # noqa: SIM118
    except (SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{path} is not a whole checkpoint of this project ({error}): delete it to train anew."
        ) from error
