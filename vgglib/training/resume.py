"""What a training leaves behind to be taken up again: its weights and momentum, and where it stood."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

import torch
from torch import Tensor

from vgglib.experiments import Experiment, as_dict, differences
from vgglib.models import VGG
from vgglib.results import digest_of
from vgglib.training import checkpoints
from vgglib.training.schedule import next_learning_rate
from vgglib.training.trained import Epoch

TAKE_THE_IMAGES = (
    "take those that it was made from (--data-dir names their folder, data_dir in a notebook), or pass another "
    "--results (VGG_RESULTS in a notebook)"
)


@dataclass
class Begun:
    """How far an unfinished epoch is: steps done, and the sum of their losses."""

    steps: int = 0
    loss: float = 0.0
    seconds: float = 0.0


@dataclass(frozen=True)
class Standing:
    """Where a training stood: the arithmetic of its updates, the threads with which they began, the error by chance on
    its minival images in percent, the epochs that were done, the signal of its first batch, and the epoch that was
    begun.
    """

    arithmetic: str
    history: list[Epoch]
    signal: dict[str, float]
    begun: Begun
    threads: int
    chance: float


def identity(experiment: Experiment, data: str) -> dict:
    """What a checkpoint must have in common with the training that takes it up; `data` is the digest of its images."""
    return {"experiment": as_dict(experiment), "data": data}


def tensors(model: VGG, optimiser: torch.optim.SGD) -> dict[str, Tensor]:
    """Weights and momentum under the names of a checkpoint."""
    found = {f"model.{name}": weight for name, weight in model.named_parameters()}
    for name, weight in model.named_parameters():
        state = optimiser.state[weight]
        if state.get("momentum_buffer") is None:
            state["momentum_buffer"] = torch.zeros_like(weight)
        found[f"momentum.{name}"] = state["momentum_buffer"]
    return found


def write(path: Path, whose: dict, ours: dict[str, Tensor], standing: Standing) -> None:
    """Write the checkpoint of the training that `identity` names, and keep the one before it."""
    checkpoints.write(path, ours, sealed(ours, {**whose, **asdict(standing)}), keep_previous=True)


def sealed(tensors: dict[str, Tensor], state: dict) -> dict:
    """The state with the SHA-256 of all that goes into a checkpoint: no record vouches for a training that goes on."""
    state = {key: value for key, value in state.items() if key != "sha256"}
    arrays = (tensors[name].detach().cpu().numpy() for name in sorted(tensors))
    content = f"{digest_of(*arrays)} {json.dumps(state, sort_keys=True)}"
    return {**state, "sha256": sha256(content.encode()).hexdigest()}


@torch.no_grad()
def take_up(path: Path, whose: dict, ours: dict[str, Tensor]) -> Standing:
    """Give `ours`, weights and momentum, the values of a checkpoint; where its training stood.

    Raises ValueError, naming the file, for one that belongs to another training than `whose` or is damaged.
    """
    theirs, state = checkpoints.read(path)
    if state != sealed(theirs, state):
        raise checkpoints.damaged(path, "it is not what was written")
    for key, value in whose.items():
        was = state.get(key)
        both = isinstance(was, dict) and isinstance(value, dict)
        length = 12 if key == "data" else None  # of a digest the beginning will do
        how = differences(was, value) if both else f"{str(was)[:length]} and now {str(value)[:length]}"
        if was != value and how:  # as in records, a setting that is not there is None
            if key == "data":
                raise ValueError(f"{path} was trained on other images ({how}): {TAKE_THE_IMAGES}.")
            raise ValueError(
                f"{path} belongs to another {key} ({how}): delete it, or keep its results elsewhere with --results "
                "(VGG_RESULTS in a notebook)."
            )
    checkpoints.check(path, theirs, ours)
    standing = _standing(path, state)
    for name, tensor in ours.items():
        tensor.copy_(theirs[name])
    return standing


def _standing(path: Path, state: dict) -> Standing:
    try:
        return Standing(
            arithmetic=state["arithmetic"],
            history=[Epoch(**epoch) for epoch in state["history"]],
            signal=state["signal"],
            begun=Begun(**state["begun"]),
            threads=state["threads"],
            chance=state["chance"],
        )
    except (KeyError, TypeError) as error:
        raise checkpoints.damaged(path, error) from error


def stood(path: Path) -> Standing:
    """Where the training of a checkpoint stood, without reading its tensors; ValueError, naming the file, for a damaged
    one.
    """
    return _standing(path, checkpoints.read_state(path))


def finished(experiment: Experiment, path: Path) -> bool:
    """Whether a training has ended; a checkpoint that is missing or damaged says no, and `train` why."""
    try:
        standing = stood(path)
        errors = [epoch.minival_top1_error_percent for epoch in standing.history]
        return next_learning_rate(experiment, errors, standing.chance) is None
    except (OSError, ValueError, TypeError):
        return False
