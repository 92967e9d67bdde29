"""Presets: a data set at a size, and the recipe that goes with it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Preset:
    """A data set at a size, and the recipe that goes with it."""

    name: str
    pictures: str  # what they are, for the reader
    data: dict  # arguments of `vgglib.data.load`, the folder excepted
    recipe: dict  # fields of Experiment that differ from the paper's
    seeds: tuple[int, ...]
    needs_folder: bool = False
    stage_epochs: float = 1 / 3  # length of each later stage (S = 384, jitter) over the first one's; not in the paper
    grow: bool = False  # start B, C, D and E from a trained A, as the authors did at first
    images: tuple[int, int] | None = None  # in train, less minival, and in val; None where only the folder knows


# Resolution: the smallest at which 224 gives one cell after pool5 and 256 gives two, as 7 and 8 in the paper.
# Initialisation and rate: with these, nets of pilots on small sets left chance two to four times sooner than with
# Glorot at 1e-2, and deep ones started as safely as A.
SMALL_RECIPE = {
    "resolution": 1 / 4,
    "initialisation": "he-fan-out",
    "learning_rate": 2e-2,
    "drop_deadlines": (0.6, 0.8, 0.93),
}

PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset(
            "smoke",
            "drawn pictures of 24 classes",
            {"name": "shapes", "train_images": 240, "val_images": 120, "smallest_side": 64},
            {**SMALL_RECIPE, "width": 1 / 64, "batch_size": 32, "epochs": 2},
            seeds=(0,),
            images=(216, 120),
        ),
        Preset(
            "demo",
            "drawn pictures of 24 classes",
            {"name": "shapes", "train_images": 4000, "val_images": 1000, "smallest_side": 128},
            {**SMALL_RECIPE, "width": 1 / 8, "batch_size": 32, "learning_rate": 1.5e-3, "epochs": 12, "patience": 3},
            seeds=(0, 1),
            grow=True,
            images=(3592, 1000),
        ),
        Preset(
            "tiny-imagenet",
            "photographs of 200 classes (Tiny ImageNet)",
            {"name": "tiny-imagenet"},
            {**SMALL_RECIPE, "epochs": 50},
            seeds=(0,),
            needs_folder=True,
            images=(90_000, 10_000),
        ),
        Preset(
            "tiny-imagenet-50",
            "photographs of 50 classes (of Tiny ImageNet)",
            {"name": "tiny-imagenet", "classes": 50},
            {**SMALL_RECIPE, "width": 1 / 4, "batch_size": 128, "epochs": 40},
            seeds=(0,),
            needs_folder=True,
            images=(22_500, 2_500),
        ),
        # The paper's own recipe: whatever Experiment says.
        Preset(
            "imagenet",
            "photographs of 1000 classes (ILSVRC-2012)",
            {"name": "imagenet"},
            {},
            seeds=(0,),
            needs_folder=True,
            images=(1_268_355, 50_000),  # 1 % of ILSVRC's training images, about, is minival
        ),
        Preset(
            "folder",
            "your own images",
            {"name": "folder", "smallest_side": 128},
            {**SMALL_RECIPE, "width": 1 / 4, "batch_size": 64, "epochs": 40},
            seeds=(0,),
            needs_folder=True,
        ),
    )
}


def named(name: str) -> Preset:
    """The preset called `name`; ValueError for an unknown one."""
    if name not in PRESETS:
        raise ValueError(f"unknown preset {name!r}: choose one of {', '.join(PRESETS)}.")
    return PRESETS[name]
