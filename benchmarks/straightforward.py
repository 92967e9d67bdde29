"""The ways that anyone would write first, to compare with: evaluation image by image, training crops image by image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision.datasets import ImageFolder
from torchvision.models.vgg import make_layers
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from vgglib.models import VGG

LAYOUTS = {"fp32": torch.contiguous_format, "bf16": torch.channels_last}
PLACES = 5  # of crops along each side: 25 and their mirror images at each of three scales are the paper's 150


@torch.no_grad()
def plain(model: VGG, dense: bool) -> nn.Sequential:
    """A net without normalisation as torchvision builds it, layer after layer, with the same weights.

    With `dense` its fully connected layers are convolutions: (N, 3, H, W) -> (N, classes, h, w). Otherwise they take
    crops: -> (N, classes).
    """
    channels = ["M" if layer.kind == "pool" else layer.channels for block in model.config.blocks for layer in block]
    fc6, fc7, fc8 = (
        nn.Conv2d(layer.in_features // side**2, layer.out_features, side)
        if dense
        else nn.Linear(layer.in_features, layer.out_features)
        for layer, side in zip(model.head.values(), (model.cells, 1, 1), strict=True)
    )
    flat = [] if dense else [nn.Flatten()]
    head = [fc6, nn.ReLU(inplace=True), nn.Dropout(), fc7, nn.ReLU(inplace=True), nn.Dropout(), fc8]
    net = nn.Sequential(*make_layers(channels), *flat, *head)
    ours = [values for layer in model.weighted.values() for values in (layer.weight, layer.bias)]
    for own, values in zip(net.parameters(), ours, strict=True):
        own.copy_(values.view_as(own))
    return net.eval()


@torch.inference_mode()
def dense_posteriors(
    net: nn.Module,
    images: Sequence[np.ndarray],
    mean_rgb: Tensor,
    scales: Sequence[int],
    where: torch.device,
    batch_size: int = 1,
    precision: str = "fp32",
) -> np.ndarray:
    """Posteriors (N, classes) of images (H, W, 3) uint8 by a `plain` net that takes whole images: the score map of each
    is averaged, then posteriors over the mirror image and over the scales, smallest sides in pixels. Images of one
    shape go through the net together, `batch_size` of them.

    precision: "fp32" with channels first in memory, or "bf16", autocast, with channels last; the net lies likewise.
    """
    layout = LAYOUTS[precision]
    totals: dict[int, Tensor] = {}
    for side in scales:
        for some in _of_one_shape(images, batch_size):
            x = torch.stack([_tensor(_rescaled(images[i], side), mean_rgb) for i in some])
            x = x.to(where, memory_format=layout)
            for view in (x, x.flip(3)):
                with torch.autocast(where.type, torch.bfloat16, enabled=precision == "bf16"):
                    scores = net(view).float()
                for i, own in zip(some, scores.mean((2, 3)).softmax(1), strict=True):
                    totals[i] = totals.get(i, 0) + own
    return torch.stack([totals[i] for i in range(len(images))]).cpu().numpy() / (2 * len(scales))


@torch.inference_mode()
def crop_posteriors(
    net: nn.Module,
    images: Sequence[np.ndarray],
    mean_rgb: Tensor,
    scales: Sequence[int],
    where: torch.device,
    size: int,
    precision: str = "fp32",
) -> np.ndarray:
    """Posteriors (N, classes) of images (H, W, 3) uint8 by a `plain` net that takes crops: the 50 of an image and scale
    are one batch. Scores are averaged over the places, then posteriors over mirror image and scales.

    precision: "fp32" with channels first in memory, or "bf16", autocast, with channels last; the net lies likewise.
    """
    layout = LAYOUTS[precision]
    found = []
    for image in images:
        total = 0
        for side in scales:
            x = _fifty(_tensor(_rescaled(image, side), mean_rgb), size).to(where, memory_format=layout)
            with torch.autocast(where.type, torch.bfloat16, enabled=precision == "bf16"):
                scores = net(x).float()
            total = total + scores.view(2, PLACES**2, -1).mean(1).softmax(1).mean(0)
        found.append(total / len(scales))
    return torch.stack(found).cpu().numpy()


def _fifty(image: Tensor, size: int) -> Tensor:
    """(50, 3, size, size): the crops of an image (3, H, W) on a regular grid, then their mirror images."""
    tops, lefts = ([round((n - size) * k / (PLACES - 1)) for k in range(PLACES)] for n in image.shape[1:])
    crops = torch.stack([F.crop(image, top, left, size, size) for top in tops for left in lefts])
    return torch.cat([crops, F.horizontal_flip(crops)])


def _rescaled(image: np.ndarray, side: int) -> Image.Image:
    whole = Image.fromarray(image)
    return whole.resize([round(n * side / min(whole.size)) for n in whole.size], Image.Resampling.BILINEAR)


def _tensor(image: Image.Image, mean_rgb: Tensor) -> Tensor:
    """(3, H, W) float32, the mean subtracted, grey levels unscaled."""
    return F.pil_to_tensor(image).float() - mean_rgb[:, None, None]


def _of_one_shape(images: Sequence[np.ndarray], batch_size: int) -> Iterator[list[int]]:
    groups: dict[tuple[int, ...], list[int]] = {}
    for i, image in enumerate(images):
        groups.setdefault(image.shape, []).append(i)
    for group in groups.values():
        for first in range(0, len(group), batch_size):
            yield group[first : first + batch_size]


class InMemory(Dataset):
    """Images (3, H, W) uint8, each transformed when it is asked for."""

    def __init__(self, images: Sequence[Tensor], transform: v2.Transform):
        self.images, self.transform = images, transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> Tensor:
        return self.transform(self.images[i])


class Photographs(ImageFolder):
    """A tree of JPEGs, their labels left out."""

    def __getitem__(self, i: int) -> Tensor:
        return super().__getitem__(i)[0]


class RandomScale:
    """Rescales an image so that its smallest side is a whole number of pixels from `low` to `high`, all as likely."""

    def __init__(self, low: int, high: int):
        self.low, self.high = low, high

    def __call__(self, image: Tensor) -> Tensor:
        side = int(torch.randint(self.low, self.high + 1, ()))
        sides = image.shape[-2:]
        return F.resize(image, [round(n * side / min(sides)) for n in sides], antialias=True)


class ColourShift:
    """Adds 0.1 * N(0, 1) of every principal component, the columns of `components`, in grey levels."""

    def __init__(self, components: Tensor):
        self.components = components

    def __call__(self, image: Tensor) -> Tensor:
        return image + (self.components @ (0.1 * torch.randn(3)))[:, None, None]


def training_transform(
    size: int, mean_rgb: Tensor, components: Tensor, scales: tuple[int, int] | None = None
) -> v2.Compose:
    """From an image (3, H, W) uint8 to what a net trains on, (3, size, size) float32: rescaled to a random S if there
    are `scales`, cropped, mirrored by chance, its colours shifted, the mean subtracted.
    """
    return v2.Compose(
        [
            *([RandomScale(*scales)] if scales else []),
            v2.RandomCrop(size),
            v2.RandomHorizontalFlip(),
            v2.ToDtype(torch.float32),
            ColourShift(components),
            v2.Normalize(mean_rgb.tolist(), [1.0, 1.0, 1.0]),
        ]
    )


def photographs(tree: Path, crop: Sequence[v2.Transform]) -> Photographs:
    """Crops (3, size, size) uint8 of the JPEGs in a tree, made by `crop` of Pillow's images and mirrored by chance."""
    return Photographs(tree, v2.Compose([*crop, v2.RandomHorizontalFlip(), v2.PILToTensor()]))


def loader(dataset: Dataset, batch_size: int, workers: int) -> DataLoader:
    """Shuffled batches, made by the caller where there are no workers; workers stay from one epoch to the next."""
    return DataLoader(dataset, batch_size, shuffle=True, num_workers=workers, persistent_workers=workers > 0)
