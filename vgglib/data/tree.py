"""Trees of image files, one folder a class."""

from __future__ import annotations

import os
from pathlib import Path

from vgglib.data.files import PHOTOGRAPHS, SUFFIXES

FOLLOWED = 3  # levels on which a link to a folder is one: splits, classes and what is in them


def class_folders(root: Path) -> list[str]:
    """Names of the folders in `root`, sorted, hidden ones left out; ValueError for one that is not in UTF-8."""
    with os.scandir(root) as entries:
        return sorted(_written(entry) for entry in entries if entry.is_dir() and not entry.name.startswith("."))


def tree(root: Path) -> dict[str, list[str]]:
    """The images of each class folder of `root`, as paths relative to that folder; all sorted, hidden ones left out.

    Raises ValueError for fewer than two class folders, or one without images.
    """
    classes = class_folders(root)
    if len(classes) < 2:
        raise ValueError(
            f"{root} holds {len(classes)} class folder(s): put the images of each class into a folder of their own, "
            "at least two."
        )
    found = {name: sorted(images(root / name), key=lambda path: path.split("/")) for name in classes}
    for name, files in found.items():
        if not files:
            raise ValueError(
                f"class folder {root / name} holds no images: remove it or fill it ({', '.join(sorted(SUFFIXES))})."
            )
    return found


def trees(data_dir: Path) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """The trees of `data_dir/train` and `data_dir/val`; ValueError where their classes differ."""
    train, val = tree(data_dir / "train"), tree(data_dir / "val")
    if odd := sorted(set(train) ^ set(val)):
        raise ValueError(
            f"{data_dir}: class {odd[0]!r} is in only one of train and val: both need the same class folders."
        )
    return train, val


def images(folder: Path | str, prefix: str = "") -> list[str]:
    """Image files in `folder` and below, relative to it, in no order; by os.scandir, for folders of a million.

    Raises ValueError for a name that is not in UTF-8.
    """
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):  # a link may lead back up
                found += images(entry.path, f"{prefix}{_written(entry)}/")
            elif is_image(entry.name):
                found.append(prefix + _written(entry))
    return found


def is_image(name: str) -> bool:
    """Whether a file's name is that of an image, and not a hidden one."""
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in PHOTOGRAPHS


def _written(entry: os.DirEntry) -> str:
    """The name of a file or a folder; ValueError for one that no text can hold, as old archives have them."""
    try:
        entry.name.encode()
    except UnicodeEncodeError:
        raise ValueError(f"the name of {os.fsencode(entry.path)!r} is not in UTF-8: rename it.") from None
    return entry.name


def listing(folder: Path, below: bool = True) -> dict[str, tuple[int, int]]:
    """Every file in `folder`, and `below` it: its path -> bytes, and ns since the epoch of its last change.

    Hidden ones are left out; links to splits, classes and folders in these are followed, so that a change of what they
    lead to shows.
    """
    found = {}
    for place, folders, files in os.walk(folder, followlinks=True):
        deep = place[len(os.fspath(folder)) :].count(os.sep) >= FOLLOWED  # from here on a link may lead in circles
        folders[:] = [
            name
            for name in folders
            if below and not name.startswith(".") and not (deep and os.path.islink(os.path.join(place, name)))
        ]
        for path in (os.path.join(place, name) for name in files if not name.startswith(".")):
            try:
                state = os.stat(path)
                found[path] = state.st_size, state.st_mtime_ns
            except OSError:  # a link that leads nowhere
                found[path] = 0, 0
    return found
