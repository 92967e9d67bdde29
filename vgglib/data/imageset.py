"""Images in memory, `Split` (pixels and labels), and a data set of such splits or of `packed.PackedSplit`, `ImageSet`
(train, minival and val).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from vgglib.data import resample

if TYPE_CHECKING:
    from vgglib.augment import Draws

# Sect. 3.1 watches a validation error to lower the learning rate; these images are cut from train for it, so that
# val is only reported on.
MINIVAL_SHARE = 0.1


class Sized:
    """What follows from the sizes of images alone: `sizes` is (N, 2) int64, heights and widths in pixels."""

    sizes: Tensor

    def __repr__(self) -> str:
        sides = f", sides {int(self.sizes.min())} to {int(self.sizes.max())} px" if len(self) else ""
        return f"{type(self).__name__}: {len(self):,} images{sides}"

    @cached_property
    def cpu_sizes(self) -> Tensor:
        """`sizes` on the CPU: looking a few up there need not wait for a GPU."""
        return self.sizes.cpu()

    @cached_property
    def smallest_side(self) -> int:
        """Pixels of the smallest side of any image."""
        return int(self.sizes.min())

    @cached_property
    def largest_scale(self) -> int:
        """Pixels of the smallest side of the image where it is largest."""
        return int(self.sizes.amin(1).max())

    def chosen(self, index: Tensor | np.ndarray | Sequence[int] | Sequence[bool]) -> np.ndarray:
        """Which images `index` means, (B,): those it numbers, or of a mask (N,) those where it is true.

        Raises ValueError for a mask of another length, and where no image is meant.
        """
        index = np.asarray(index.cpu() if isinstance(index, Tensor) else index)
        if index.dtype == bool:
            if index.shape != (len(self),):
                raise ValueError(
                    f"a mask of shape {index.shape} was given for {len(self)} images: give one value for each."
                )
            index = np.flatnonzero(index)
        if not len(index):
            raise ValueError("a subset of 0 images was asked for: name at least one.")
        return index

    def of_one_shape(self, pixels_per_batch: int) -> Iterator[tuple[Tensor, int, int]]:
        """Every image once, in batches of one shape: (indices (B,), height, width)."""
        shapes, group = self.sizes.unique(dim=0, return_inverse=True)
        for number, (height, width) in enumerate(shapes.tolist()):
            for index in (group == number).nonzero().flatten().split(max(1, pixels_per_batch // (height * width))):
                yield index, height, width


@dataclass(frozen=True, repr=False)
class Split(Sized):
    """Labelled images of any sizes, as uint8.

    pixels: (P, 3) RGB, the rows of every image one after another, so that sides may differ without padding;
    sizes: (N, 2) int64, height and width in pixels; labels: (N,) int64.
    """

    pixels: Tensor
    sizes: Tensor
    labels: Tensor

    @classmethod
    def of(cls, images: Sequence[np.ndarray], labels: Sequence[int]) -> Split:
        """From uint8 arrays of shape (H, W, 3), RGB; ValueError for others, and where not every one has a label."""
        if len(images) != len(labels):
            raise ValueError(f"{len(images)} images were given with {len(labels)} labels: give each image one.")
        for number, image in enumerate(images):
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
                raise ValueError(
                    f"image {number} is {image.dtype} of shape {image.shape}: convert it to RGB, uint8 of shape "
                    "(H, W, 3) with values from 0 to 255."
                )
        pixels = np.concatenate([image.reshape(-1, 3) for image in images])
        return cls.from_numpy(pixels, np.array([image.shape[:2] for image in images]), np.array(labels))

    @classmethod
    def two(cls, images: list[np.ndarray], labels: Sequence[int], first: int) -> tuple[Split, Split]:
        """`of` for the first so many images, which leave the list so that memory holds them once, and for the rest."""
        one = cls.of(images[:first], labels[:first])
        del images[:first]
        return one, cls.of(images, labels[first:])

    @classmethod
    def from_numpy(cls, pixels: np.ndarray, sizes: np.ndarray, labels: np.ndarray) -> Split:
        return cls(
            torch.from_numpy(pixels),
            torch.from_numpy(sizes.astype(np.int64)),
            torch.from_numpy(labels.astype(np.int64)),
        )

    def __reduce__(self):
        # As numpy arrays, which joblib can map into the memory of several processes.
        return Split.from_numpy, tuple(part.cpu().numpy() for part in (self.pixels, self.sizes, self.labels))

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def device(self) -> torch.device:
        return self.pixels.device

    @cached_property
    def starts(self) -> Tensor:
        """(N,) int64: the row of `pixels` where each image begins."""
        areas = self.sizes.prod(1)
        return areas.cumsum(0) - areas

    def image(self, i: int) -> Tensor:
        """Image i: (H, W, 3) uint8, a view."""
        height, width = self.sizes[i].tolist()
        start = int(self.starts[i])
        return self.pixels[start : start + height * width].view(height, width, 3)

    def to(self, device: torch.device | str) -> Split:
        return Split(self.pixels.to(device), self.sizes.to(device), self.labels.to(device))

    def subset(self, index: Tensor | np.ndarray | Sequence[int] | Sequence[bool]) -> Split:
        """The images at `index`, copied, in that order; a mask and ValueError are as in `chosen`."""
        index = [int(i) for i in self.chosen(index)]
        pixels = torch.cat([self.image(i).reshape(-1, 3) for i in index])
        return Split(pixels, self.sizes[index], self.labels[index])

    def rescaled(self, side: int) -> Split:
        """Every image isotropically rescaled so that its smallest side is `side` pixels (antialiased bilinear),
        Sect. 3.1.

        Returns the split itself when nothing changes.
        """
        if bool((self.sizes.amin(1) == side).all()):
            return self
        images = [resample.rescale(self.image(i), side) for i in range(len(self))]
        sizes = torch.tensor([image.shape[:2] for image in images], device=self.sizes.device)
        return Split(torch.cat([image.reshape(-1, 3) for image in images]), sizes, self.labels)

    def batches(self, pixels_per_batch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Whole images in batches of one shape: (indices (B,), images (B, 3, H, W) uint8 in channels_last memory)."""
        for index, height, width in self.of_one_shape(pixels_per_batch):
            offsets = torch.arange(height * width, device=self.pixels.device)
            rows = (self.starts[index][:, None] + offsets).flatten()
            yield index, self.pixels.index_select(0, rows).view(len(index), height, width, 3).permute(0, 3, 1, 2)

    def pixels_at(self, index: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        """Pixels of images of any shapes, one grid of places for each.

        index: (B,) which images; rows: (B, h), columns: (B, w), places inside them; -> (B, 3, h, w) uint8 in
        channels_last memory.
        """
        rows = self.starts[index][:, None] + rows * self.sizes[index, 1:]
        places = rows[:, :, None] + columns[:, None, :]
        return self.pixels.index_select(0, places.flatten()).view(*places.shape, 3).permute(0, 3, 1, 2)

    def parts(self, images: int) -> Iterator[tuple[Tensor, Split]]:
        """The split in pieces of so many images: (which (B,), the piece)."""
        for index in torch.arange(len(self), device=self.device).split(images):
            first, last = int(index[0]), int(index[-1])
            rows = slice(int(self.starts[first]), int(self.starts[last] + self.sizes[last].prod()))
            whose = slice(first, last + 1)
            yield index, Split(self.pixels[rows], self.sizes[whose], self.labels[whose])

    def crops(self, steps: Iterable[Draws], size: int) -> Iterator[tuple[Draws, Tensor]]:
        """For every step what was drawn and its crops, (B, 3, size, size) uint8 in channels_last memory; both on the
        split's device.

        To rounding, a crop is a window of the image as `rescaled` makes it, but only its own pixels are computed.
        """
        for draws in steps:
            there = draws.to(self.device)
            yield there, self._cut(there, size)

    def _cut(self, draws: Draws, size: int) -> Tensor:
        rows, columns = resample.places(draws.corners, draws.mirrored, size)
        if draws.shrink is None:
            return self.pixels_at(draws.index, rows, columns)
        stored = self.sizes[draws.index]
        rows, *row_taps = resample.resampling(rows, stored[:, :1], draws.sides[:, :1], draws.shrink)
        columns, *column_taps = resample.resampling(columns, stored[:, 1:], draws.sides[:, 1:], draws.shrink)
        x = self.pixels_at(draws.index, rows, columns).permute(0, 2, 3, 1).float()
        x = resample.interpolate(x, *row_taps)
        x = resample.interpolate(x.transpose(1, 2), *column_taps)  # (B, column, row, colour)
        return x.permute(0, 3, 2, 1).round().to(torch.uint8, memory_format=torch.channels_last)

    @cached_property
    def mean_rgb(self) -> Tensor:
        """(3,) float32: the mean over all pixels, in grey levels 0-255."""
        # In pieces whose sums are below 2^24, hence exact; integers would take ten times as long.
        total = sum(piece.float().sum(0).double() for piece in self.pixels.split(1 << 16))
        return (total / len(self.pixels)).float()

    @cached_property
    def rgb_covariance(self) -> Tensor:
        """(3, 3) float64: the covariance of RGB values in [0, 1], over some four million pixels."""
        return torch.cov(self.pixels[:: max(1, len(self.pixels) >> 22)].T.double() / 255)

    def update(self, digest: hashlib._Hash) -> None:
        for part in (self.labels, self.sizes, self.pixels):
            digest.update(np.ascontiguousarray(part.cpu().numpy()))


@dataclass(frozen=True, repr=False)
class ImageSet:
    """A data set: its splits, its class names in label order, the names of images left out because they do not decode,
    and of other files in its folder the suffixes and how many there are of each.
    """

    name: str
    class_names: tuple[str, ...]
    train: Split
    minival: Split
    val: Split
    skipped: tuple[str, ...] = ()
    unread: tuple[tuple[str, int], ...] = ()

    def __repr__(self) -> str:
        splits = ", ".join(f"{len(getattr(self, name)):,} {name}" for name in ("train", "minival", "val"))
        return f"ImageSet {self.name}: {len(self.class_names)} classes, {splits}"

    @classmethod
    def of(
        cls,
        name: str,
        class_names: Sequence[str],
        train: Split,
        val: Split,
        skipped: Sequence[str] = (),
        minival_share: float = MINIVAL_SHARE,
        unread: Sequence[tuple[str, int]] = (),
    ) -> ImageSet:
        """Cut minival from `train`: `minival_share` of each class, at least one image, always the same ones."""
        order = np.random.default_rng(0).permutation(len(train))
        labels = train.labels.numpy()[order]
        held_out = np.zeros(len(train), bool)
        for label in range(len(class_names)):
            members = order[labels == label]
            if len(members) < 2:
                raise ValueError(
                    f"class {class_names[label]!r} of {name} has {len(members)} training image(s): at least 2 are "
                    "needed, one of them for minival."
                )
            held_out[members[: max(1, round(minival_share * len(members)))]] = True
        return cls(
            name,
            tuple(class_names),
            train.subset(np.flatnonzero(~held_out)),
            train.subset(np.flatnonzero(held_out)),
            val,
            tuple(skipped),
            tuple(unread),
        )

    @cached_property
    def mean_rgb(self) -> Tensor:
        """(3,) float32: the mean RGB value over all pixels of train, in grey levels 0-255 (Sect. 2.1)."""
        return self.train.mean_rgb

    @cached_property
    def rgb_components(self) -> Tensor:
        """(3, 3) float32: the principal components of train's RGB values as columns, each times its eigenvalue, in
        grey levels.

        Krizhevsky's colour shift adds 0.1 * N(0, 1) of each column. Eigenvalues depend on the unit of the
        covariance, which neither paper states: it is taken over values in [0, 1], and the result brought back to grey
        levels 0-255.
        """
        values, vectors = torch.linalg.eigh(self.train.rgb_covariance)
        # eigh leaves the signs open, and they decide the sign of each draw: fix them.
        vectors = vectors * torch.where(vectors.sum(0) < 0, -1.0, 1.0)
        return (vectors * values * 255).float()

    @cached_property
    def digest(self) -> str:
        """SHA-256 over class names, and labels, sizes and pixels of the three splits; of a pack sums of pixels."""
        digest = hashlib.sha256("\n".join(self.class_names).encode())
        for split in (self.train, self.minival, self.val):
            split.update(digest)
        return digest.hexdigest()
