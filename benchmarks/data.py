"""Crops for a training, from images in memory and from photographs on disk: images a second, and what decodes alone.

Nothing trains meanwhile. Every measurement says with `threads` how many cores it could use: one, or `settings.threads`.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.cases import OURS, Case, LeftOut, Settings

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from vgglib.data import ImageSet, Split

TITLE = "Training input"
UNIT = "images/s"
JITTERED = "jitter, crop, flip and colour from memory"
FIXED = "crop and flip from memory"
PHOTOGRAPHS = "photographs of 500 x 375 from JPEG"
ONE_BY_ONE, WORKERS = "torchvision v2, one thread", "torchvision v2, DataLoader workers"
RESIZED_CROP = "torchvision v2, RandomResizedCrop"  # of parts of all sizes and shapes, as its reference script has it
DECODING = "decoding alone"

SECONDS = 3  # to measure for, at least
SIDE = 96  # pixels of the smallest side of an image in memory
CROP, S, SCALES = 56, 64, (64, 128)  # the paper's 224, 256 and [256; 512] at a quarter of the resolution
FULL_CROP, FULL_S = 224, 256  # of photographs


def cases(settings: Settings) -> list[Case]:
    """Colours shift in both cases from memory: it belongs to what a net trains on."""
    from_memory = (OURS, ONE_BY_ONE, WORKERS)
    return [
        Case(JITTERED, from_memory, UNIT),
        Case(FIXED, from_memory, UNIT),
        Case(PHOTOGRAPHS, (OURS, WORKERS, RESIZED_CROP, DECODING), UNIT),
    ]


def prepare(settings: Settings, cases: Sequence[Case]) -> None:
    """What these cases read: images to be held in memory; photographs as a tree of JPEGs, and the same packed."""
    names = {case.name for case in cases}
    if names - {PHOTOGRAPHS}:
        drawn(settings)
    if PHOTOGRAPHS not in names:
        return
    if _missing():
        return  # `measure` says so
    from benchmarks.input import write_photographs
    from vgglib.data import pack, shards

    folder = _photographs(settings)
    if not (folder / "pack" / shards.PACK).exists():
        write_photographs(folder / "tree", 20 if settings.small else 1515, settings.threads)
    pack.pack(folder / "tree", folder / "pack", jobs=settings.threads)


def measure(case: str, contender: str, settings: Settings) -> dict[str, float]:
    import torch

    from vgglib import devices

    if contender == OURS:
        devices.prepare(1)
    else:
        torch.set_num_threads(1)  # photographs are read by other threads or processes, each on one core
    where = devices.device(settings.device)
    threads = settings.threads if case == PHOTOGRAPHS or contender == WORKERS else 1
    return rate(_work(case, contender, settings, where), where, settings) | {"threads": threads}


def rate(work: Callable[[], int], where: torch.device, settings: Settings, warm_up: bool = True) -> dict[str, float]:
    """`value`, images a second of `work`, which returns how many it did; repeated for `SECONDS`, once before that."""
    import torch

    if warm_up:
        work()
    images, begun, seconds = 0, time.perf_counter(), 0.0
    while not images or (seconds < SECONDS and not settings.small):
        images += work()
        if where.type == "cuda":
            torch.cuda.synchronize(where)
        seconds = time.perf_counter() - begun
    return {"value": images / seconds, "images": images, "seconds": seconds}


def drawn(settings: Settings) -> Split:
    """Images of three shapes, drawn once and kept."""
    from vgglib.data import shapes
    from vgglib.data.imageset import Split
    from vgglib.files import write_atomically

    count = 48 if settings.small else 2048
    path = settings.folder / f"drawn-{count}.npz"
    if not path.exists():
        labels = [i % len(shapes.CLASSES) for i in range(count)]
        drawings = Split.of([one.image for one in shapes.draw(labels, range(count), SIDE)], labels)
        buffer = io.BytesIO()
        np.savez(buffer, **{name: getattr(drawings, name).numpy() for name in ("pixels", "sizes", "labels")})
        write_atomically(path, buffer.getvalue())
    with np.load(path) as file:
        return Split.from_numpy(**{name: file[name] for name in ("pixels", "sizes", "labels")})


def _work(case: str, contender: str, settings: Settings, where: torch.device) -> Callable[[], int]:
    """What is repeated and timed: an epoch, whose batches end on the device; how many images it had."""
    if case == PHOTOGRAPHS and _missing():
        raise LeftOut(f"{_missing()} is not installed, which photographs are made with: pip install {_missing()}.")
    if contender == DECODING:
        return _decoding(settings)
    epoch = epochs(case, contender, settings, where)
    return lambda: sum(len(batch.to(where)) for batch in epoch())


def epochs(case: str, contender: str, settings: Settings, where: torch.device) -> Callable[[], Iterable[Tensor]]:
    """A function of which every call begins an epoch and gives its batches.

    From memory they are what a net trains on, (B, 3, 56, 56) float32; of photographs (B, 3, 224, 224) uint8.
    """
    if case == PHOTOGRAPHS:  # of which there are fewer: small batches keep all workers busy to the end
        batch_size = 16 if settings.small else 64
        return _of_photographs(contender, settings, where, batch_size)
    batch_size = 16 if settings.small else 256
    images, scales = _in_memory(settings, case), SCALES if case == JITTERED else None
    if contender == OURS:
        return _ours(images, CROP, scales, where, batch_size)
    return _theirs(images, scales, settings.threads if contender == WORKERS else 0, batch_size)


def _in_memory(settings: Settings, case: str) -> ImageSet:
    """Without jitter all images are at S already, as at the beginning of a training."""
    from vgglib.data import ImageSet, shapes

    split = drawn(settings) if case == JITTERED else drawn(settings).rescaled(S)
    return ImageSet("shapes", shapes.CLASSES, split, split, split)


def _ours(
    images: ImageSet, size: int, scales: tuple[int, int] | None, where: torch.device, batch_size: int
) -> Callable[[], Iterator[Tensor]]:
    """Crops as a training of ours takes them, whole batches at once, on one thread (or the GPU): drawn, cut out of the
    rescaled images, colours shifted and the mean subtracted.
    """
    from vgglib.augment import net_input

    split, mean = images.train.to(where), images.mean_rgb.to(where)
    epoch = _crops(images, split, size, scales, batch_size)
    return lambda: (net_input(crops, draws.shift, mean) for draws, crops in epoch())


def _crops(images: ImageSet, split, size: int, scales: tuple[int, int] | None, batch_size: int):
    """Epochs of (draws, crops) of a split, each in an order of its own."""
    import torch

    from vgglib.augment import draw, generator

    numbers = count()

    def epoch() -> Iterator[tuple]:
        number = next(numbers)
        parts = torch.randperm(len(split), generator=generator(0, number, 0)).split(batch_size)
        steps = (
            draw(images, split, index, size, generator(0, number, step), scales) for step, index in enumerate(parts, 1)
        )
        yield from split.crops(steps, size)

    return epoch


def _theirs(images: ImageSet, scales: tuple[int, int] | None, workers: int, batch_size: int) -> Callable:
    """The same by torchvision's transforms of single images, in this process or in a DataLoader's workers, one for each
    thread of the settings, that stay from one epoch to the next.
    """
    from benchmarks import straightforward

    stored = [images.train.image(i).permute(2, 0, 1) for i in range(len(images.train))]
    transform = straightforward.training_transform(CROP, images.mean_rgb, images.rgb_components, scales)
    loader = straightforward.loader(straightforward.InMemory(stored, transform), batch_size, workers)
    return lambda: iter(loader)


def _of_photographs(contender: str, settings: Settings, where: torch.device, batch_size: int) -> Callable:
    """Ours reads a pack with so many threads as the settings say, at S = 256, and on a GPU with DALI where that is
    installed. Theirs read the JPEGs with as many workers of a DataLoader: rescaled to 256 and cropped as ours are, or
    by the crop of torchvision's reference script, a part of 8 to 100 % of the photograph brought to 224 x 224.
    """
    if contender == OURS:
        images = _packed(settings)
        split = images.train.rescaled(FULL_S).to(where)
        epoch = _crops(images, split, FULL_CROP, None, batch_size)
        return lambda: (crops for _, crops in epoch())
    from torchvision.transforms import v2

    from benchmarks import straightforward

    resized_crop = [v2.RandomResizedCrop(FULL_CROP)]
    crop = resized_crop if contender == RESIZED_CROP else [v2.Resize(FULL_S), v2.RandomCrop(FULL_CROP)]
    dataset = straightforward.photographs(_photographs(settings) / "tree" / "train", crop)
    loader = straightforward.loader(dataset, batch_size, settings.threads)
    return lambda: iter(loader)


def _decoding(settings: Settings) -> Callable[[], int]:
    """The packed JPEGs decoded by Pillow with so many threads as the settings say, and nothing else: what no input can
    exceed.
    """
    from benchmarks.input import decoding

    images = _packed(settings)

    def work() -> int:
        decoding(images, settings.threads)
        return len(images.train)

    return work


def _missing() -> str | None:
    """What `benchmarks.input` needs and a machine with little more than PyTorch may lack."""
    return next((name for name in ("psutil", "joblib") if find_spec(name) is None), None)


def _packed(settings: Settings) -> ImageSet:
    from vgglib.data import packed

    return packed.load(_photographs(settings) / "pack", threads=settings.threads)


def _photographs(settings: Settings) -> Path:
    return settings.folder / ("few-photographs" if settings.small else "photographs")
