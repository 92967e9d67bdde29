"""A reader's own images: one folder per class."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import numpy as np

from vgglib.data.files import decode_all
from vgglib.data.imageset import ImageSet, Split
from vgglib.data.tree import class_folders, listing, tree, trees

VAL_SHARE = 0.2  # of a tree that has no val folder of its own
# Names that no class may have at the top.
SPLITS = {"train", "training", "val", "valid", "validation", "test", "testing"}


def load(data_dir: Path, skip_bad_images: bool = False, longest_smallest_side: int | None = None) -> ImageSet:
    """`data_dir/train/<class>/*` and `data_dir/val/<class>/*`, or `data_dir/<class>/*`, of which a fifth becomes val.

    Classes are sorted by name. Raises ValueError for a class folder without images, a class of val unknown to train,
    a class folder named as a split is, or (unless `skip_bad_images`) images of either split that do not decode.
    """
    train, val = _files(data_dir)
    files = [file for split in (train, val) for some in split.values() for file in some]
    names = [str(file.relative_to(data_dir)) for file in files]
    images, kept, skipped = decode_all(names, lambda i: files[i].read_bytes(), skip_bad_images, longest_smallest_side)
    counts = [len(some) for split in (train, val) for some in split.values()]
    labels = np.repeat(np.tile(np.arange(len(train)), 2), counts)[kept]
    in_train = kept < sum(counts[: len(train)])
    for there in (in_train, ~in_train):
        if lost := set(range(len(train))) - set(labels[there].tolist()):
            raise ValueError(f"no image of class {list(train)[min(lost)]!r} in {data_dir} decodes: replace its files.")
    splits = Split.two(images, labels, int(in_train.sum()))
    return ImageSet.of("folder", tuple(train), *splits, skipped, unread=_unread(data_dir, files))


def _files(data_dir: Path) -> tuple[dict[str, list[Path]], dict[str, list[Path]]]:
    """The images of each class, in train and in val; ValueError as `load`."""
    if (data_dir / "train").is_dir():
        if not (data_dir / "val").is_dir():
            raise ValueError(
                f"{data_dir} has a folder 'train' and no folder 'val': add one or rename yours to it, put the class "
                f"folders directly into {data_dir}, or rename a class that is called 'train'."
            )
        return tuple(
            {name: [data_dir / split / name / file for file in files] for name, files in classes.items()}
            for split, classes in zip(("train", "val"), trees(data_dir), strict=True)
        )
    _check_no_splits(data_dir)
    train, val = {}, {}
    rng = np.random.default_rng(0)
    for name, files in tree(data_dir).items():
        if len(files) < 3:
            raise ValueError(
                f"class folder {data_dir / name} holds {len(files)} image(s): at least 3 are needed, one each for "
                "train, minival and val."
            )
        held_out = set(rng.permutation(len(files))[: max(1, round(VAL_SHARE * len(files)))].tolist())
        train[name] = [data_dir / name / file for i, file in enumerate(files) if i not in held_out]
        val[name] = [data_dir / name / file for i, file in enumerate(files) if i in held_out]
    return train, val


def _unread(data_dir: Path, files: list[Path]) -> list[tuple[str, int]]:
    """Suffixes of the other files in `data_dir`, and how many there are of each."""
    unread = {os.path.realpath(path): path for path in listing(data_dir)}
    for file in files:
        unread.pop(os.path.realpath(file), None)
    kinds = Counter(os.path.splitext(name)[1].lower() or "no suffix" for name in sorted(unread.values()))
    return kinds.most_common()


def _check_no_splits(data_dir: Path) -> None:
    if odd := [name for name in class_folders(data_dir) if name.lower() in SPLITS]:
        raise ValueError(
            f"{data_dir} holds {', '.join(map(repr, odd))}, as splits are called and not classes: rename the folder of "
            "the training images to 'train' and that of the others to 'val', or a class of such a name to another."
        )
