"""A first look at one trained net: how it was trained, and what it says of one picture."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from vgglib import evaluate, plans, presets, results, runner, weights
from vgglib.data.imageset import ImageSet, Split
from vgglib.display import pictures
from vgglib.experiments import Run
from vgglib.models import VGG


@dataclass(frozen=True)
class Trained:
    """A trained net with its record, and the validation images at hand."""

    run: Run
    model: VGG
    record: dict
    images: ImageSet

    @property
    def sentence(self) -> str:
        """How it was trained, and its error on the whole validation set."""
        experiment, record = self.run.experiment, self.record
        return (
            f"Net {experiment.net} of preset {self.run.preset}, width {experiment.width:g}, trained at "
            f"S = {experiment.scale_text} on crops of {experiment.crop} pixels in {len(record['history'])} epochs. Its "
            f"top-1 error is {record['top1_error_percent']:.1f} % on {record['n_images']:,} validation images of "
            f"{record['n_classes']} classes."
        )


def trained(preset: str, net: str, seed: int = 0, data_dir: str | None = None, **overrides) -> Trained:
    """A net trained at S = 256 by the preset's recipe, but for `overrides` as in `plans.plan`, from the usual folder of
    results, and a few of its preset's images; ValueError as `of`.
    """
    run = plans.first_stage(preset, net, seed, **overrides)
    return of(run, results.Store(), data_dir)


def of(run: Run, store: results.Store, data_dir: str | None = None) -> Trained:
    """The net that a run tested.

    Raises ValueError where this net has no weights here, for images that need a folder without one, and for others than
    the net was trained on.
    """
    model, record = weights.load(store, run), store.read(run)
    images = pictures.few_images(run.preset, data_dir, record["environment"]["images_skipped"])
    if presets.named(run.preset).needs_folder:  # of others only a few are drawn
        runner.check_images([record], images)
    return Trained(run, model, record, images)


def picture(net: Trained, number: int = 0, photo: str | None = None) -> ImageSet:
    """The one picture to look at, as the only validation image of a set: the validation image with this `number`, or a
    `photo` from a file, whose label is then the class that the net names at Q = 256.

    Raises ValueError for a number that there is no image of, and for a file that is no image.
    """
    val = net.images.val
    if photo is None:
        if not 0 <= number < len(val):
            raise ValueError(f"number is {number}: there are {len(val)} images at hand, from 0 on.")
        return replace(net.images, val=val.subset(np.array([number])))
    image = pictures.photograph(photo)
    unnamed = replace(net.images, val=Split.of([image.numpy()], [0]))
    first = int(_posterior(net, unnamed, 256).argmax())
    return replace(net.images, val=Split.of([image.numpy()], [first]))


def answers(net: Trained, one: ImageSet, scale: int, count: int = 5) -> pd.DataFrame:
    """The `count` classes that the net finds most probable for the picture at Q = `scale`, dense, with its mirror image
    (Sect. 3.2): "Class" and "Probability, %", as text.

    They are computed in the precision of the record's test. Of a drawn set the mean colour is that of the images at
    hand, not of the whole of train, so that probabilities differ a little from those on record.
    """
    found = _posterior(net, one, scale)
    order = found.argsort()[::-1][:count]
    lines = [(net.images.class_names[i], f"{100 * found[i]:.1f}") for i in order]
    return pd.DataFrame(lines, columns=["Class", "Probability, %"])


def _posterior(net: Trained, one: ImageSet, scale: int) -> np.ndarray:
    split = one.val.rescaled(net.run.experiment.pixels(scale))
    precision = net.record["environment"]["precision"]
    return evaluate.posteriors(net.model, split, net.images.mean_rgb, precision=precision)[0]
