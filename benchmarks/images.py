"""The stored images that trainings are timed on: a tree of JPEGs, one folder a class, made once."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from benchmarks.cases import Settings

QUALITY = 90
VAL_IMAGES = 10  # of each class; read and never trained on
MINIVAL_SHARE = 0.1  # what `vgglib.data.folder` cuts from train
DRAWN_CLASSES, TINY_CLASSES = 24, 50
# Of each class in train: with a tenth cut off, 16 steps of 256 remain in either tree, and with SMALL 3 steps of 16.
DRAWN_IMAGES, TINY_IMAGES = 190, 91
SMALL = 3
MANY = 8 * DRAWN_IMAGES  # for a GPU, which takes 16 steps in a wink, and has many workers to keep busy


@dataclass(frozen=True)
class Tree:
    """`path/train/<class>/*.JPEG` and `path/val/<class>/*.JPEG`; `per_class` counts the images of a class in train.

    Images are square, with sides of `side` pixels. `source` is a reader's Tiny ImageNet; without it they are drawn.
    """

    path: Path
    side: int
    classes: int
    per_class: int
    source: Path | None = None

    @property
    def train_images(self) -> int:
        """What is left of train when minival is cut off: this many every contender trains on in an epoch."""
        return self.classes * (self.per_class - max(1, round(MINIVAL_SHARE * self.per_class)))


def tree(settings: Settings, side: int = 64) -> Tree:
    """Which tree the contenders read that train on images of `side` pixels; Tiny ImageNet has 64."""
    source = settings.images if side == 64 else None
    classes, per_class = (TINY_CLASSES, TINY_IMAGES) if source else (DRAWN_CLASSES, DRAWN_IMAGES)
    if settings.small:
        classes, per_class = DRAWN_CLASSES, SMALL
    elif settings.device.startswith("cuda"):
        classes, per_class = (200, 500) if source else (classes, MANY)
    kind = "tiny-imagenet" if source else "shapes"
    return Tree(settings.folder / f"{kind}-{side}px-{classes}x{per_class}", side, classes, per_class, source)


def make(wanted: Tree, jobs: int) -> None:
    """Write a tree unless it is there, whole classes at a time: what an interrupted call finished is kept.

    Raises ValueError, before anything is written, for a source that is no Tiny ImageNet or holds too little of it.
    """
    marker = wanted.path / "complete"
    if marker.exists():
        return
    write = _copy if wanted.source else _draw
    write(wanted, jobs)
    shutil.rmtree(_unfinished(wanted), ignore_errors=True)
    marker.touch()


def _splits(wanted: Tree) -> dict[str, int]:
    return {"train": wanted.per_class, "val": min(VAL_IMAGES, wanted.per_class)}


def _unfinished(wanted: Tree) -> Path:
    """Beside train and val, since a data set takes any folder in them for a class."""
    return wanted.path / "unfinished"


def _write_class(wanted: Tree, split: str, name: str, files: Iterator[tuple[str, bytes]]) -> None:
    """The folder of one class, complete or not at all; `files` are names and contents, made when they are asked for."""
    folder, making = wanted.path / split / name, _unfinished(wanted) / split / name
    if folder.exists():
        return
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    for file, data in files:
        (making / file).write_bytes(data)
    folder.parent.mkdir(parents=True, exist_ok=True)
    making.rename(folder)


def _draw(wanted: Tree, jobs: int) -> None:
    plan = [(split, label) for split in _splits(wanted) for label in range(wanted.classes)]
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        for drawing in [pool.submit(_draw_class, wanted, split, label) for split, label in plan]:
            drawing.result()


def _draw_class(wanted: Tree, split: str, label: int) -> None:
    from vgglib.data import shapes

    first = 0 if split == "train" else wanted.per_class  # a seed names a picture

    seeds = range(first, first + _splits(wanted)[split])
    files = (
        (f"{seed:05}.JPEG", _jpeg(shapes.draw([label], [seed], wanted.side)[0].image, wanted.side)) for seed in seeds
    )
    _write_class(wanted, split, shapes.CLASSES[label].replace(" ", "-"), files)


def _jpeg(image, side: int) -> bytes:
    """The square in the middle of an image (H, W, 3) whose smallest side is `side`."""
    import io

    from PIL import Image

    top, left = ((length - side) // 2 for length in image.shape[:2])
    buffer = io.BytesIO()
    Image.fromarray(image[top : top + side, left : left + side]).save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()


def _copy(wanted: Tree, jobs: int) -> None:
    """The files of Tiny ImageNet themselves, its first classes and of each the first images."""
    from vgglib.data import tiny_imagenet

    read = tiny_imagenet.reader(wanted.source)
    found = {split: read(wanted.source, split) for split in _splits(wanted)}
    _check_counts(wanted, {split: labels for split, (_, labels, _, _) in found.items()}, len(found["train"][-1]))
    for split, count in _splits(wanted).items():
        names, labels, data, wnids = found[split]
        of_class: dict[int, list[int]] = {label: [] for label in range(wanted.classes)}
        for i in sorted(range(len(names)), key=names.__getitem__):
            if labels[i] in of_class and len(of_class[labels[i]]) < count:
                of_class[labels[i]].append(i)
        for label, chosen in of_class.items():
            _write_class(wanted, split, wnids[label], ((Path(names[i]).name, data(i)) for i in chosen))


def _check_counts(wanted: Tree, labels: dict[str, Sequence[int]], classes: int) -> None:
    """ValueError where the source has fewer `classes`, or in a split fewer images of one of them, than are copied.

    labels: split -> those of its images.
    """
    copied = range(min(classes, wanted.classes))
    train, val = (min(map(Counter(labels[split]).__getitem__, copied), default=0) for split in ("train", "val"))
    asked = _splits(wanted)
    if classes < wanted.classes or train < asked["train"] or val < asked["val"]:
        raise ValueError(
            f"{wanted.source} has {classes} classes with at least {train} images in train and {val} in val, and "
            f"{wanted.classes} with {asked['train']} and {asked['val']} are timed: give --images the whole of Tiny "
            "ImageNet, or leave it out for drawn ones."
        )
