"""A packed data set, read while a net trains: threads decode, rescale and cut images ahead of time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vgglib import devices
from vgglib.data import dali, resample
from vgglib.data.ahead import PIECE, Rooms, ahead, pieces
from vgglib.data.files import opened_image
from vgglib.data.imageset import ImageSet, Sized, Split
from vgglib.data.shards import PACK, SCHEMA, ShardFile, left_out, mapped, places, shard_paths

if TYPE_CHECKING:
    from vgglib.augment import Draws

MINIVAL_SHARE = 0.01  # of ILSVRC some 12,800 images, enough to see an error settle to half a point
MOST_THREADS = 16

CPU = torch.device("cpu")


@dataclass(frozen=True, repr=False)
class PackedSplit(Sized):
    """Labelled images in the shards of a pack; offers what `imageset.Split` does, without holding pixels.

    shards: the files; shard: (N,) which of them an image is in; offset, length: (N,) where in it its JPEG is, in bytes;
    stored: (N, 2) int64, height and width of the stored image; labels: (N,) int64; rgb_sum (N, 3), rgb_products (N, 6):
    sums over the stored pixels of R, G, B and RR, GG, BB, RG, RB, GB; side: the smallest side in pixels that images are
    rescaled to (None: as stored); device: where labels are, and where images are brought; threads: those that read, 0
    for the caller's alone, None for one on each core that is this process's share; decoder: one of `data.DECODERS`.
    """

    shards: tuple[ShardFile, ...]
    shard: np.ndarray
    offset: np.ndarray
    length: np.ndarray
    stored: Tensor
    labels: Tensor
    rgb_sum: np.ndarray
    rgb_products: np.ndarray
    side: int | None = None
    device: torch.device = CPU
    threads: int | None = None
    decoder: str = "auto"

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def sizes(self) -> Tensor:
        """(N, 2) int64, on the CPU: height and width in pixels, once rescaled."""
        return self.stored if self.side is None else resample.sides_at(self.stored, self.side)

    def to(self, device: torch.device | str) -> PackedSplit:
        return replace(self, device=torch.device(device), labels=self.labels.to(device))

    def rescaled(self, side: int) -> PackedSplit:
        """Every image isotropically rescaled so that its smallest side is `side` pixels, once it is read."""
        return replace(self, side=side)

    def subset(self, index: Tensor | np.ndarray | Sequence[int] | Sequence[bool]) -> PackedSplit:
        """The images at `index`, in that order; a mask and ValueError are as in `chosen`."""
        index = self.chosen(index)
        arrays = ("shard", "offset", "length", "stored", "labels", "rgb_sum", "rgb_products")
        return replace(self, **{name: getattr(self, name)[index] for name in arrays})

    def name(self, i: int) -> str:
        """The name that image i had when it was packed."""
        file = self.shards[self.shard[i]]
        with mapped(file.path) as (reader, start):
            for batch in map(reader.get_batch, range(reader.num_record_batches)):
                begins, _ = places(batch, start)
                if len(found := np.flatnonzero(begins == self.offset[i])):
                    return batch.column("path")[int(found[0])].as_py()
        raise file.changed()

    def batches(self, pixels_per_batch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Whole images in batches of one shape: (indices (B,), images (B, 3, H, W) uint8 in channels_last memory).

        The memory of a batch is used again once the next is asked for.
        """
        rooms = Rooms(self.device)

        def jobs() -> Iterator[tuple]:
            for index, height, width in self.of_one_shape(pixels_per_batch):
                room = rooms.take(len(index), height, width, 3)
                yield (index, room), pieces(self._fill_whole, room, index.tolist())

        for (index, room), _ in ahead(jobs(), self._threads()):
            yield index.to(self.device), rooms.brought(room)

    def parts(self, images: int) -> Iterator[tuple[Tensor, Split]]:
        """The split in pieces of so many images: (which (B,), the piece in memory)."""

        def read(indices: list[int]) -> list[Tensor]:
            return [self.image(i).reshape(-1, 3) for i in indices]

        def jobs() -> Iterator[tuple]:
            for index in torch.arange(len(self)).split(images):
                own = [index[first : first + PIECE].tolist() for first in range(0, len(index), PIECE)]
                yield index, [partial(read, piece) for piece in own]

        for index, made in ahead(jobs(), self._threads()):
            pixels = torch.cat([image for piece in made for image in piece]).to(self.device)
            labels = self.labels[index.to(self.device)]
            yield index.to(self.device), Split(pixels, self.sizes[index].to(self.device), labels)

    def crops(self, steps: Iterable[Draws], size: int) -> Iterator[tuple[Draws, Tensor]]:
        """For every step what was drawn and its crops, (B, 3, size, size) uint8, colours innermost in memory; both on
        the split's device.

        To rounding, a crop is a window of the image as `rescaled` makes it. The memory of a batch is used again once
        the next is asked for.
        """
        if self.decoder_on(self.device) == "dali":
            yield from dali.crops(self, steps, size, max(1, self._threads()))
            return

        rooms = Rooms(self.device)

        def jobs() -> Iterator[tuple]:
            for draws in steps:
                room = rooms.take(len(draws.index), size, size, 4)
                columns = (draws.index, draws.sides, draws.corners, draws.mirrored)
                rows = list(zip(*(column.tolist() for column in columns), strict=True))
                yield (draws, room), pieces(self._fill_crop, room, rows)

        for (draws, room), _ in ahead(jobs(), self._threads()):
            yield draws.to(self.device), rooms.brought(room)

    def image(self, i: int) -> Tensor:
        """Image i: (H, W, 3) uint8."""
        image = torch.from_numpy(np.array(self._decoded(i)))
        return image if self.side is None else resample.rescale(image, self.side)

    def encoded(self, i: int) -> bytes:
        """The JPEG of image i."""
        return self.shards[self.shard[i]].read(int(self.length[i]), int(self.offset[i]))

    def check(self, index: Tensor) -> None:
        """ValueError, naming the image, when one of those at `index` does not decode."""
        for i in index.tolist():
            self._decoded(i)

    def _fill_whole(self, place: np.ndarray, i: int) -> None:
        place[:] = self.image(i).numpy()

    def _fill_crop(self, place: np.ndarray, row: tuple) -> None:
        i, sides, corner, mirrored = row
        window = resample.crop(_rgbx(self._decoded(i)), sides, corner, len(place)).numpy()
        pixels = window.view(np.uint32)  # four bytes move at once
        place.view(np.uint32)[:] = pixels[:, ::-1] if mirrored else pixels

    def _decoded(self, i: int) -> Image.Image:
        try:
            return opened_image(self.encoded(i), upright=True)
        except ValueError as error:
            path = self.shards[self.shard[i]].path
            raise ValueError(
                f"{self.name(i)} in {path} does not decode ({error}): delete that file and pack again."
            ) from error

    def decoder_on(self, device: torch.device) -> str:
        """What makes crops there: "auto" is DALI on a GPU, where it is installed. On a CPU it is no faster."""
        auto = "dali" if device.type == "cuda" and dali.installed() else "pillow"
        return auto if self.decoder == "auto" else self.decoder

    def _threads(self) -> int:
        # Known only where the images are read: on another host, or in one of several processes.
        return min(devices.cores(), MOST_THREADS) if self.threads is None else self.threads

    @cached_property
    def mean_rgb(self) -> Tensor:
        """(3,) float32: the mean over all stored pixels, in grey levels 0-255."""
        return torch.from_numpy(self.rgb_sum.sum(0) / self._pixels).float()

    @cached_property
    def rgb_covariance(self) -> Tensor:
        """(3, 3) float64: the covariance of RGB values in [0, 1], over all stored pixels."""
        total, (rr, gg, bb, rg, rb, gb) = self.rgb_sum.sum(0) / 255, self.rgb_products.sum(0) / 255**2
        products = np.array([[rr, rg, rb], [rg, gg, gb], [rb, gb, bb]])
        return torch.from_numpy((products - np.outer(total, total) / self._pixels) / (self._pixels - 1))

    @property
    def _pixels(self) -> int:
        return int(self.stored.prod(1).sum())

    def update(self, digest: hashlib._Hash) -> None:
        # The sums depend on every pixel, and reading a hundred gigabytes at every start would take too long.
        for part in (self.labels.cpu().numpy(), self.stored.numpy(), self.rgb_sum, self.rgb_products):
            digest.update(np.ascontiguousarray(part))


def _rgbx(image: Image.Image) -> Tensor:
    """(H, W, 4) uint8: the pixels where Pillow keeps them, three values and one without meaning, not copied."""
    import pyarrow as pa

    try:
        return torch.from_dlpack(pa.array(image).flatten()).view(image.height, image.width, 4)
    except ValueError:  # a very long image is kept in several pieces
        return torch.from_numpy(np.array(image.convert("RGBX")))


def load(
    folder: Path, minival_share: float = MINIVAL_SHARE, threads: int | None = None, decoder: str = "auto"
) -> ImageSet:
    """The data set that `vgg data pack` has written into `folder`; minival is `minival_share` of every class of train.

    threads and decoder are those of `PackedSplit`.
    Raises ValueError for a folder that holds no whole pack, and for a decoder that is not installed.
    """
    if decoder == "dali" and not dali.installed():
        raise ValueError(
            'DALI is not installed: pip install -e ".[dali]" in the project\'s folder, or pass --decoder pillow.'
        )
    try:
        described = json.loads((folder / PACK).read_bytes())
        schema = described["schema"]
        if schema == SCHEMA:  # another has other fields
            set_name, class_names, counts = (described[key] for key in ("name", "class_names", "shards"))
            paths = {split: shard_paths(folder, split, counts[split]) for split in ("train", "val")}
    except FileNotFoundError as error:
        raise ValueError(f"{folder} holds no {PACK}: pack the images, `vgg data pack SOURCE {folder}`.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{folder / PACK} is damaged ({error!r}): delete the folder and pack again.") from error
    if schema != SCHEMA:
        raise ValueError(f"{folder / PACK} has schema {schema} where this version reads {SCHEMA}: pack again.")
    missing = [path for some in paths.values() for path in some if not path.exists()]
    if missing:
        raise ValueError(
            f"{len(missing)} of {sum(map(len, paths.values()))} shards of {folder} are missing, the first is "
            f"{missing[0].name}: go on with `vgg data pack SOURCE {folder}`."
        )
    (train, skipped), (val, more) = (_split(folder, name, paths[name], threads, decoder) for name in ("train", "val"))
    for name, split in (("train", train), ("val", val)):
        if lost := set(range(len(class_names))) - set(split.labels.tolist()):
            raise ValueError(
                f"the pack {folder} holds no image of class {class_names[min(lost)]} in {name}, all were left out: "
                "repair some, delete the shards that list them, and pack again."
            )
    return ImageSet.of(set_name, class_names, train, val, (*skipped, *more), minival_share=minival_share)


def _split(
    folder: Path, name: str, paths: list[Path], threads: int | None, decoder: str
) -> tuple[PackedSplit, list[str]]:
    """The images of a split's shards, and the names of those that were left out when they were packed."""
    parts, skipped = [], []
    for number, path in enumerate(paths):
        with mapped(path) as (reader, start):
            skipped += [name for name, _ in left_out(reader)]
            for i in range(reader.num_record_batches):
                batch = reader.get_batch(i)
                parts.append((number, *places(batch, start), *_columns(batch)))
    if not parts:
        raise ValueError(f"the pack {folder} holds no images of {name}: repair some, delete the folder and pack again.")
    numbers, offsets, lengths, stored, labels, sums, products = zip(*parts, strict=True)
    shard = np.repeat(np.array(numbers, np.int32), [len(part) for part in labels])
    return PackedSplit(
        shards=tuple(map(ShardFile, paths)),
        shard=shard,
        offset=np.concatenate(offsets),
        length=np.concatenate(lengths),
        stored=torch.from_numpy(np.concatenate(stored)),
        labels=torch.from_numpy(np.concatenate(labels)),
        rgb_sum=np.concatenate(sums),
        rgb_products=np.concatenate(products),
        threads=threads,
        decoder=decoder,
    ), skipped


def _columns(batch) -> tuple[np.ndarray, ...]:
    """Sizes, labels and sums of a record batch, copied out of the mapped file."""
    sizes = np.stack([batch.column(name).to_numpy() for name in ("height", "width")], 1).astype(np.int64)
    labels = batch.column("label").to_numpy().astype(np.int64)
    sums = [batch.column(name).flatten().to_numpy().reshape(len(labels), -1) for name in ("rgb_sum", "rgb_products")]
    return sizes, labels, *(part.copy() for part in sums)
