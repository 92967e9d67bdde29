"""Pictures to look at, and what a trained net says of them at each scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vgglib import evaluate, runner
from vgglib.data.files import decode
from vgglib.data.imageset import ImageSet, Split
from vgglib.experiments import Experiment
from vgglib.metrics import error_percent
from vgglib.models import VGG

SCALES = (256, 384, 512)  # the ends and the middle of the range from which jitter draws S, and its net's three Q
LARGEST = 1024  # pixels of a photograph's smallest side: more would only cost time here
LONGEST = 20  # times the smallest side of a photograph, its other one: a strip shows nothing and takes long


def photograph(path: str | None = None) -> Tensor:
    """A picture to draw on, (H, W, 3) uint8; None takes the cat that ships inside scikit-image.

    One whose smallest side has more than 1024 pixels is reduced to that. Raises ValueError for a file that cannot be
    read or is no image, and for a picture of which one side is more than 20 times the other.
    """
    file = Path(path).expanduser() if path else resources.files("skimage") / "data" / "chelsea.png"
    try:
        image = torch.tensor(decode(file.read_bytes(), LARGEST))
    except OSError as error:
        raise ValueError(f"the photograph {file} cannot be used ({error.strerror}): name an image file.") from error
    except ValueError as error:
        raise ValueError(f"the photograph {file} cannot be used, repair or convert it: {error}.") from error
    least, most = sorted(image.shape[:2])
    if most > LONGEST * least:
        raise ValueError(
            f"the sides of the photograph {file} are as {most / least:g} to 1: crop it to {LONGEST} to 1 at most."
        )
    return image


def alone(image: Tensor) -> ImageSet:
    """One image as a data set, whose mean colour and colour components are then this image's own."""
    split = Split.of([image.numpy()], [0])
    return ImageSet("one photograph", ("photograph",), split, split, split)


def few_images(
    preset_name: str, data_dir: str | None = None, images_skipped: int = 0, train: int = 240, val: int = 48
) -> ImageSet:
    """A preset's images, at most `val` of them for validation, evenly spaced; without those that do not decode where
    records left out `images_skipped` of them.

    A set that is drawn on the fly is drawn no further than needed, which saves seconds: its validation images are the
    preset's first ones, its mean colour that of the first `train` training images.
    """
    images = runner.load_again(preset_name, images_skipped, data_dir, train_images=train, val_images=val)
    index = np.linspace(0, len(images.val) - 1, min(val, len(images.val))).astype(int)
    return replace(images, val=images.val.subset(index))


Tested = dict[int, tuple[Split, np.ndarray]]  # Q -> images at this scale, and their posteriors (N, classes)


def at_scales(model: VGG, images: ImageSet, experiment: Experiment, scales: Sequence[int] = SCALES) -> Tested:
    """A trained net on the validation images at each Q (Sect. 4.2), dense, without the mirror image."""
    splits = {scale: images.val.rescaled(experiment.pixels(scale)) for scale in scales}
    return {
        scale: (split, evaluate.posteriors(model, split, images.mean_rgb, flip=False))
        for scale, split in splits.items()
    }


def errors(tested: Tested) -> dict[int, float]:
    """Q -> top-1 error in percent."""
    return {scale: error_percent(found, split.labels.numpy(), 1) for scale, (split, found) in tested.items()}


def instructive(tested: Tested) -> list[int]:
    """Which images to look at: the first that is right at every Q, and the first that is right at the first Q and wrong
    at the last; image 0 where there is neither.
    """
    right = np.array([found.argmax(1) == split.labels.numpy() for split, found in tested.values()])
    kinds = (right.all(0), right[0] & ~right[-1])
    return [int(kind.argmax()) for kind in kinds if kind.any()] or [0]


@torch.inference_mode()
def score_map(model: VGG, image: Tensor, mean_rgb: Tensor, label: int) -> np.ndarray:
    """The soft-max of one class in every cell of the score map of `model.dense` (Sect. 3.2): (h, w) float32.

    image: (H, W, 3) uint8, at the test scale already.
    """
    x = image.permute(2, 0, 1).float() - mean_rgb[:, None, None]
    return model.eval().dense(x[None])[0].softmax(0)[label].numpy()
