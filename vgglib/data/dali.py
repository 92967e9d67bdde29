"""Crops of a packed data set by NVIDIA DALI, where it is installed: decoded on the GPU if there is one, else on the CPU
by DALI's own threads. The same crops as Pillow's, to one grey level.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from vgglib.augment import Draws
    from vgglib.data.packed import PackedSplit

AHEAD = 2  # batches that DALI has begun before they are asked for


def installed() -> bool:
    return find_spec("nvidia") is not None and find_spec("nvidia.dali") is not None


def crops(split: PackedSplit, steps: Iterable[Draws], size: int, threads: int) -> Iterator[tuple[Draws, Tensor]]:
    """As `PackedSplit.crops`, with `threads` of the CPU.

    Raises ValueError, naming the image, when one does not decode.
    """
    waiting: deque[Draws] = deque()

    def batches() -> Iterator[tuple[list, ...]]:
        for draws in steps:
            waiting.append(draws)
            yield _inputs(split, draws, size)

    # DALI wants to know the largest batch: the first, since a step is divided evenly but for one image.
    source = batches()
    first = next(source, None)
    if first is None:
        return
    pipeline = _pipeline(chain([first], source), len(first[0]) + 1, size, threads, split.device)
    # In the order of PyTorch's own work, so that a batch's memory is used again only when it has been copied.
    stream = torch.cuda.current_stream(split.device) if split.device.type == "cuda" else None
    while True:
        try:
            (found,) = pipeline.run(stream)
        except StopIteration:
            return
        except RuntimeError as error:
            for draws in waiting:
                split.check(draws.index)
            raise ValueError(f"DALI could not make a batch ({error}): pass --decoder pillow.") from error
        yield waiting.popleft().to(split.device), _tensor(found)


def _inputs(split: PackedSplit, draws: Draws, size: int) -> tuple[list, ...]:
    """What DALI needs of every image of a batch: its JPEG, the crop's edges in the stored image, mirrored or not."""
    scale = split.stored[draws.index] / draws.sides
    starts, ends = (draws.corners * scale).float(), ((draws.corners + size) * scale).float()
    return (
        [np.frombuffer(split.encoded(i), np.uint8) for i in draws.index.tolist()],
        list(starts.numpy()),
        list(ends.numpy()),
        list(draws.mirrored.numpy().astype(np.int32)),
    )


def _pipeline(source: Iterator, largest: int, size: int, threads: int, device: torch.device):
    from nvidia.dali import fn, pipeline_def, types

    gpu = device.type == "cuda"

    @pipeline_def(
        batch_size=largest,
        num_threads=threads,
        device_id=(device.index or 0) if gpu else None,
        prefetch_queue_depth=AHEAD,
    )
    def described():
        images, starts, ends, mirrored = fn.external_source(source=source, num_outputs=4)
        images = fn.decoders.image(
            images,
            device="mixed" if gpu else "cpu",
            output_type=types.RGB,
            jpeg_fancy_upsampling=True,  # on a GPU colours would differ from those on a CPU
        )
        images = fn.resize(
            images,
            size=[size, size],
            roi_start=starts,
            roi_end=ends,
            interp_type=types.INTERP_LINEAR,
            antialias=True,
        )
        return fn.flip(images, horizontal=mirrored)

    pipeline = described()
    pipeline.build()
    return pipeline


def _tensor(found) -> Tensor:
    """(B, 3, size, size) uint8 in channels_last memory, copied out of DALI's buffers, which it uses again."""
    return torch.from_dlpack(found.as_tensor()).clone().permute(0, 3, 1, 2)
