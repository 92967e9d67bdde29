"""Data sets by name; each gives an `ImageSet` with train, minival and val."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from vgglib.data.imageset import ImageSet, Split
from vgglib.data.tree import listing

__all__ = ["DATASETS", "DECODERS", "ImageSet", "Split", "load"]

NUMBERS = {  # arguments that each data set takes beside its folder
    "shapes": ("train_images", "val_images", "smallest_side"),
    "tiny-imagenet": ("classes",),
    "imagenet": (),
    "folder": ("smallest_side",),
}
DATASETS = tuple(NUMBERS)
DECODERS = ("auto", "dali", "pillow")  # of packed images
WITHOUT_BAD = {"shapes": "it is drawn", "imagenet": "`vgg data pack` left them out or stopped at them"}


def load(
    name: str,
    data_dir: str | Path | None = None,
    classes: int | None = None,
    train_images: int | None = None,
    val_images: int | None = None,
    smallest_side: int | None = None,
    skip_bad_images: bool = False,
    decoder: str = "auto",
) -> ImageSet:
    """The data set called `name`; that of the last call again, unless the arguments or the files have changed.

    shapes: drawn on the fly, `train_images` and `val_images` of `smallest_side` pixels; needs no folder.
    tiny-imagenet: `data_dir` holds the Parquet copy or the unpacked zip; `classes` keeps the first so many.
    imagenet: `data_dir` holds what `vgg data pack` has written; images are read while a net trains, and those that do
    not decode were left out, or refused, when they were packed. `decoder` is "pillow", "dali" (NVIDIA's), or
    "auto" for DALI on a GPU where it is installed.
    folder: `data_dir` holds a reader's own images, one folder per class, reduced to `smallest_side` where larger.
    Raises ValueError for an unknown name, a missing folder or one that is not asked for, likewise for numbers, numbers
    below 1 and `classes` below 2 or above those that are there, a decoder where no images are packed, bad images to be
    skipped where there are none, or what the loader refuses.
    """
    if decoder not in DECODERS:
        raise ValueError(f"unknown decoder {decoder!r}: choose one of {', '.join(DECODERS)}.")
    if name not in DATASETS:
        raise ValueError(f"unknown data set {name!r}: choose one of {', '.join(DATASETS)}.")
    if decoder != "auto" and name != "imagenet":
        raise ValueError(f"the data set {name} has no packed images for --decoder {decoder}: leave it out.")
    if skip_bad_images and name in WITHOUT_BAD:
        raise ValueError(
            f"the data set {name} has no bad images, since {WITHOUT_BAD[name]}: leave out --skip-bad-images."
        )
    folder, state = _checked_folder(name, data_dir), 0
    numbers = {"classes": classes, "train_images": train_images, "val_images": val_images}
    _check_numbers(name, numbers | {"smallest_side": smallest_side})
    if folder:
        state = hash(frozenset(listing(folder, below=name != "imagenet").items()))  # the files of a pack lie at the top
    return _read(name, folder, state, classes, train_images, val_images, smallest_side, skip_bad_images, decoder)


def _checked_folder(name: str, data_dir: str | Path | None) -> Path | None:
    """The data set's folder, None for one that is drawn; ValueError where it is missing or not asked for."""
    if name == "shapes":
        if data_dir is not None:
            raise ValueError(
                f"the data set {name} is drawn and would not read {data_dir}: choose --preset folder for images of "
                "your own, or leave out --data-dir (data_dir in a notebook)."
            )
        return None
    if data_dir is None:
        raise ValueError(
            f"the data set {name} is read from a folder: say which with --data-dir (data_dir in a notebook)."
        )
    folder = Path(data_dir).expanduser().absolute()  # workers on other hosts may be in other folders
    if folder.is_file():
        raise ValueError(
            f"the data folder {data_dir} is a file: give --data-dir (data_dir in a notebook) the folder that holds it "
            "or, of an archive, the one that it is unpacked to."
        )
    if not folder.is_dir():
        raise ValueError(f"the data folder {data_dir} does not exist: check --data-dir (data_dir in a notebook).")
    return folder


def _check_numbers(name: str, numbers: dict[str, int | None]) -> None:
    """ValueError for a number that is no count, or that the data set does not take, and where one that is drawn
    lacks some.
    """
    for argument, value in numbers.items():
        least = 2 if argument == "classes" else 1
        if value is not None and not (type(value) is int and value >= least):
            raise ValueError(f"{argument} is {value!r}: it must be an int from {least} on.")
        if value is not None and argument not in NUMBERS[name]:
            raise ValueError(f"the data set {name} takes no {argument} and was given {value}: leave {argument} out.")
    if name == "shapes" and (lacking := [argument for argument in NUMBERS[name] if numbers[argument] is None]):
        raise ValueError(
            f"the data set {name} is drawn and lacks {', '.join(lacking)}: give numbers of images, and of pixels for "
            "smallest_side."
        )


@lru_cache(maxsize=1)
def _read(
    name: str,
    folder: Path | None,
    state: int,
    classes: int | None,
    train_images: int | None,
    val_images: int | None,
    smallest_side: int | None,
    skip_bad_images: bool,
    decoder: str,
) -> ImageSet:
    """`load` once its arguments are checked; `state` changes with the files of `folder`, so that they are read anew."""
    if name == "shapes":
        return _shapes(train_images, val_images, smallest_side)
    if name == "tiny-imagenet":
        from vgglib.data import tiny_imagenet

        return tiny_imagenet.load(folder, classes, skip_bad_images)
    if name == "imagenet":
        from vgglib.data import packed

        return packed.load(folder, decoder=decoder)
    from vgglib.data import folder as own

    return own.load(folder, skip_bad_images, smallest_side)


def _shapes(train_images: int, val_images: int, smallest_side: int) -> ImageSet:
    from vgglib.data import shapes

    def split(count: int, first_seed: int) -> Split:
        labels = [i % len(shapes.CLASSES) for i in range(count)]
        drawings = shapes.draw(labels, range(first_seed, first_seed + count), smallest_side)
        return Split.of([drawing.image for drawing in drawings], labels)

    # Seeds of val start where no train set reaches, so a larger train set never contains an image of val.
    return ImageSet.of("shapes", shapes.CLASSES, split(train_images, 0), split(val_images, 1 << 30))
