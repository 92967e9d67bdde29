"""Batches made ahead of time: threads fill memory that is used again and again."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

PIECE = 16  # images that a thread makes at once
AHEAD = 2  # batches that are begun before they are asked for


def ahead(jobs: Iterable[tuple[Any, list[Callable[[], Any]]]], threads: int) -> Iterator[tuple[Any, list]]:
    """For every job, in order, its first item and what its calls return, made by threads ahead of time.

    Decoding and resampling leave Python's lock to others, so that threads share the work, and no image has to
    travel between processes.
    """
    if not threads:
        for item, calls in jobs:
            yield item, [call() for call in calls]
        return
    begun: deque[tuple[Any, list[Future]]] = deque()
    # One thread is one core: PyTorch would let each of them call as many others as there are cores.
    pool = ThreadPoolExecutor(threads, "vgglib-input", torch.set_num_threads, (1,))
    try:
        for item, calls in jobs:
            begun.append((item, [pool.submit(call) for call in calls]))
            if len(begun) > AHEAD:
                item, futures = begun.popleft()
                yield item, [future.result() for future in futures]
        while begun:
            item, futures = begun.popleft()
            yield item, [future.result() for future in futures]
    finally:
        pool.shutdown(cancel_futures=True)


def pieces(fill: Callable[[np.ndarray, Any], None], room: Tensor, what: list) -> list[Callable[[], None]]:
    """Calls that fill a batch, so many images each."""
    places = room.numpy()  # numpy copies small pieces without asking other threads for help

    def piece(first: int) -> None:
        for k in range(first, min(first + PIECE, len(what))):
            fill(places[k], what[k])

    return [partial(piece, first) for first in range(0, len(what), PIECE)]


class Rooms:
    """Memory for a few batches, taken in turn: fresh memory costs a quarter of the time that decoding does, and what is
    left between small things that stay would pile up.
    """

    def __init__(self, device: torch.device):
        self.device = device
        # Those begun ahead, the one that is being filled, and the one in use.
        self.slots = deque(torch.empty(0, dtype=torch.uint8) for _ in range(AHEAD + 2))
        self.fetched: dict[int, torch.cuda.Event] = {}

    def take(self, *shape: int) -> Tensor:
        """Room for a batch, uint8, from which a GPU can fetch it."""
        slot, needed = self.slots.popleft(), math.prod(shape)
        if event := self.fetched.pop(slot.data_ptr(), None):
            event.synchronize()
        if len(slot) < needed:
            slot = torch.empty(needed, dtype=torch.uint8, pin_memory=self.device.type == "cuda")
        self.slots.append(slot)
        return slot[:needed].view(shape)

    def brought(self, room: Tensor) -> Tensor:
        """The batch (B, 3, H, W) on the device."""
        there = room.to(self.device, non_blocking=True)
        if there.is_cuda:
            # Of the stream that copies: the current device may be another one.
            self.fetched[room.data_ptr()] = torch.cuda.current_stream(self.device).record_event()
        return there.permute(0, 3, 1, 2)[:, :3]
