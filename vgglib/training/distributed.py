"""One training over several passes and processes: who takes what of a batch, and what the processes tell each other.

The paper divides each batch of 256 over four GPUs and averages the gradients (Sect. 3.3). Processes are started by
torchrun, which gives each its number in the environment.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

# One process may wait long for another's evaluation; torchrun ends all of them when one fails.
TIMEOUT = timedelta(days=1)


@dataclass(frozen=True)
class Division:
    """How the work on one net is divided.

    count, rank: how many processes share it, and which of them this is; images_per_pass: how many images of a batch a
    process takes through the net at once, at most (None: its whole share; of a batch that the processes cannot divide
    evenly, it may be one more); bf16_gradients: send gradients between
    processes rounded to bf16, half as many bytes.
    """

    rank: int = 0
    count: int = 1
    images_per_pass: int | None = None
    bf16_gradients: bool = False

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and reports."""
        return self.rank == 0

    def passes(self, batch: int) -> list[tuple[int, int]]:
        """The rows (first, last) of a batch that this process takes, pass by pass.

        Every process has the same number of passes, of one image at least. Raises ValueError when there are fewer
        images than processes.
        """
        if batch < self.count:
            raise ValueError(
                f"a batch of {batch} cannot be divided over {self.count} processes: start at most {batch} of them."
            )
        largest_share = -(-batch // self.count)
        each = min(-(-largest_share // (self.images_per_pass or largest_share)), batch // self.count)
        edges = np.linspace(0, batch, self.count * each + 1).round().astype(int).tolist()
        own = edges[self.rank * each : (self.rank + 1) * each + 1]
        return list(pairwise(own))

    def agree(self, value):
        """The first process's value, for all of them."""
        return self.gather(value)[0]

    def gather(self, value) -> list:
        """Every process's value (anything that pickles), in the order of the processes."""
        if self.count == 1:
            return [value]
        found = [None] * self.count
        torch.distributed.all_gather_object(found, value)
        return found

    def mean(self, values: Tensor) -> Tensor:
        """The mean over the processes."""
        if self.count == 1:
            return values
        total = values.clone()
        torch.distributed.all_reduce(total)
        return total / self.count

    def parallel(self, model: nn.Module, where: torch.device) -> nn.Module:
        """The model as training calls it: its gradients are averaged over the processes after a backward pass."""
        if self.count == 1:
            return model
        from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import bf16_compress_hook

        devices = [where] if where.type == "cuda" else None
        wrapped = nn.parallel.DistributedDataParallel(model, device_ids=devices, gradient_as_bucket_view=True)
        if self.bf16_gradients:
            wrapped.register_comm_hook(None, bf16_compress_hook)
        return wrapped

    def adding_up(self, model: nn.Module, more_to_come: bool):
        """The context of a pass: gradients travel after a batch's last one only."""
        return model.no_sync() if self.count > 1 and more_to_come else nullcontext()

    def share(self, count: int) -> Tensor:
        """Which of `count` images this process tests: (n,) int64, each in exactly one process.

        Raises ValueError when there are fewer images than processes.
        """
        if count < self.count:
            raise ValueError(f"{count} images cannot be divided over {self.count} processes: start at most {count}.")
        return torch.arange(self.rank, count, self.count)

    def together(self, count: int, own: np.ndarray | None) -> np.ndarray | None:
        """The rows of all processes in the order of the images, from each one's rows of its `share`.

        None for all when any process has none, such as one whose time was up.
        """
        found = self.gather(own)
        if any(part is None for part in found):
            return None
        whole = np.empty((count, *found[0].shape[1:]), found[0].dtype)
        for rank, part in enumerate(found):
            whole[rank :: self.count] = part
        return whole


ALONE = Division()


def started() -> bool:
    """Whether torchrun started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", 1)) > 1


def first() -> bool:
    """Whether this process is the one that writes and reports."""
    return not started() or int(os.environ["RANK"]) == 0


@contextmanager
def joined(where: torch.device, division: Division = ALONE) -> Iterator[Division]:
    """The division with the number of this process and of all processes, which can talk meanwhile."""
    if not started():
        yield division
        return
    if where.type == "cuda":
        torch.cuda.set_device(where)
    # Values travel between the CPUs, gradients between the GPUs where there are any.
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    torch.distributed.init_process_group(backend, timeout=TIMEOUT)
    yield replace(division, rank=torch.distributed.get_rank(), count=torch.distributed.get_world_size())
    torch.distributed.destroy_process_group()  # not after an error: the others may be waiting, and torchrun ends them
