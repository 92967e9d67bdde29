"""Where nets err, from stored posteriors, image by image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import combinations

import numpy as np
import pandas as pd

from vgglib import plans, presets, results
from vgglib.answered import Answered, Reading, shared_labels
from vgglib.experiments import Entry, runs

# Net E after the jitter stage: table, net, S, Q and method of numbers that average over scales, methods and nets.
AVERAGES = {
    "E, dense, one scale": ("3", "E", "256-512", "384", "dense"),
    "E, dense, three scales": ("5", "E", "256-512", "256 384 512", "dense"),
    "E, 150 crops": ("5", "E", "256-512", "256 384 512", "multi-crop"),
    "E, crops & dense": ("5", "E", "256-512", "256 384 512", "multi-crop & dense"),
    "D and E, crops & dense": ("6", "post-submission (2 nets)", "", "", "multi-crop & dense"),
    "seven nets, dense": ("6", "ILSVRC submission (7 nets)", "", "", "dense"),
}


@dataclass(frozen=True, eq=False)
class Answers:
    """The answers behind one number, seed by seed; no seeds where it is not run.

    key: table, net, S, Q and method, as in `experiments.Entry`; name: what pages call it; classes: how many there are;
    labels: (N,) int, the true ones; found: of each seed; find_mean: gives `mean`, which may take long; images_skipped:
    how many did not decode and were left out.
    """

    name: str
    key: tuple[str, str, str, str, str]
    seeds: tuple[int, ...]
    found: tuple[Answered, ...]
    classes: int
    labels: np.ndarray
    find_mean: Callable[[], Answered]
    images_skipped: int = 0

    @cached_property
    def wrong(self) -> np.ndarray:
        """(seeds, N) bool, as `metrics.wrong` counts."""
        return self._of("missed", bool)

    @cached_property
    def choices(self) -> np.ndarray:
        """(seeds, N) int: the class named first. In a tie with the true class it is another one, as `wrong` counts."""
        return self._of("choice", int)

    @cached_property
    def confidence(self) -> np.ndarray:
        """(seeds, N) float64: the posterior of the class named first."""
        return self._of("confidence", float)

    @cached_property
    def mean(self) -> Answered:
        """What the mean of the posteriors over seeds comes to; IndexError where there are no seeds."""
        return self.find_mean()

    def _of(self, name: str, kind: type) -> np.ndarray:
        return np.array([getattr(own, name) for own in self.found], kind).reshape(len(self.found), len(self.labels))

    def wrong_at(self, seeds: Sequence[int]) -> np.ndarray:
        """(len(seeds), N) bool: `wrong` for these seeds."""
        return self.wrong[[self.seeds.index(seed) for seed in seeds]]


def answers(entries: Sequence[Entry]) -> list[Answers]:
    """One for every number of a plan, in its order, from the records that exist."""
    reading = Reading(results.Store(), runs(entries))
    numbers: dict[tuple, list[Entry]] = {}
    for entry in entries:
        numbers.setdefault(_key(entry), []).append(entry)
    return [_answers(key, own, reading) for key, own in numbers.items()]


def _key(entry: Entry) -> tuple[str, str, str, str, str]:
    return entry.table, entry.net, entry.train_scale, entry.test_scales, entry.method


def _answers(key: tuple, entries: list[Entry], reading: Reading) -> Answers:
    name = f"{key[1]}, S = {key[2]}"
    whose = f"the seeds of {name}, {key[4]},"
    done = {entry.seed: entry.runs for entry in entries if reading.done(entry.runs)}
    found = tuple(reading.answered(tested, whose) for tested in done.values())
    labels = shared_labels([own.labels for own in found], whose).astype(int)
    records = [reading.records[tested[0]] for tested in done.values()]
    classes = max((record["n_classes"] for record in records), default=0)
    skipped = max((record["environment"]["images_skipped"] for record in records), default=0)
    find_mean = partial(_mean, reading.store, tuple(done.values()), whose)
    return Answers(name, key, tuple(done), found, classes, labels, find_mean, skipped)


def _mean(store: results.Store, tested: Sequence[tuple], whose: str) -> Answered:
    everything = [run for own in tested for run in own]
    return Reading(store, everything).answered(everything, whose)  # not the one of `answers`, which holds gigabytes


def at_one_scale(found: Sequence[Answers], scale: str = "256") -> list[Answers]:
    """Those of Table 3 at S = Q = `scale`, called by their nets' names; ValueError for fewer than two, of which nothing
    can be compared.
    """
    chosen = [replace(own, name=own.key[1]) for own in found if own.key == ("3", own.key[1], scale, scale, "dense")]
    if len(chosen) < 2:
        nets = ", ".join(own.name for own in chosen) or "none"
        raise ValueError(f"nets with S = {scale} in Table 3: {nets}; name at least two, since two are compared.")
    return chosen


def averages(preset: str, seeds: Sequence[int], **overrides) -> list[Answers]:
    """Net E after jitter, from the mean of few posteriors to that of many and of several nets (`AVERAGES`); `overrides`
    as in `plans.plan`.
    """
    plan = plans.plan(preset, "3,5,6", seeds=seeds, **overrides)
    names = {key: name for name, key in AVERAGES.items()}
    found = {own.key: own for own in answers([entry for entry in plan if _key(entry) in names])}
    return [replace(found[key], name=name) for key, name in names.items()]


def discordance(first: Answers, second: Answers) -> pd.DataFrame:
    """The 2 x 2 counts of right and wrong on the same images, a line for each seed that both have, and their sum.

    The two columns of one alone are McNemar's discordant pairs.
    """
    columns = ["Seed", "Both right", *(f"Wrong only with {own.name}" for own in (first, second)), "Both wrong"]
    seeds = _shared(first, second)
    if not seeds:
        return pd.DataFrame([["not run", "-", "-", "-", "-"]], columns=columns)
    counts = [
        [int(part.sum()) for part in (~a & ~b, a & ~b, ~a & b, a & b)]
        for a, b in zip(first.wrong_at(seeds), second.wrong_at(seeds), strict=True)
    ]
    lines = [[str(seed), *own] for seed, own in zip(seeds, counts, strict=True)]
    return pd.DataFrame([*lines, ["all", *np.sum(counts, 0)]], columns=columns)


def _shared(first: Answers, second: Answers) -> list[int]:
    return [seed for seed in first.seeds if seed in second.seeds]


def disagreement(first: Answers, second: Answers) -> pd.DataFrame:
    """On how many images one of two trained nets is right and the other wrong: two nets of one seed and, as a
    yardstick, one net of two seeds. Means over pairs, in percent of the images.
    """
    both = _shared(first, second)
    pairs = {
        f"{first.name} and {second.name}, same seed": list(
            zip(first.wrong_at(both), second.wrong_at(both), strict=True)
        ),
        f"{first.name}, two seeds": list(combinations(first.wrong, 2)),
        f"{second.name}, two seeds": list(combinations(second.wrong, 2)),
    }
    shares = [f"{100 * np.mean([a != b for a, b in own]):.1f}" if own else "not run" for own in pairs.values()]
    counts = [len(own) for own in pairs.values()]
    return pd.DataFrame({"Nets": list(pairs), "Pairs": counts, "One right, the other wrong (%)": shares})


def in_every_seed(first: Answers, second: Answers) -> str:
    """How many images only one of the two gets wrong whatever the seed, in a sentence."""
    seeds = _shared(first, second)
    if not seeds:
        return f"{first.name} and {second.name} are not run with a common seed."
    a, b = first.wrong_at(seeds), second.wrong_at(seeds)
    only_first, only_second = ((x.all(0) & ~y.any(0)).sum() for x, y in ((a, b), (b, a)))
    return (
        f"Of {a.shape[1]:,} images, {only_first} are wrong with {first.name} and right with {second.name} in every "
        f"seed of {len(seeds)}, and {only_second} the other way round."
    )


def cases(worse: Answers, better: Answers, count: int) -> pd.DataFrame:
    """Images that `worse` gets wrong and `better` right, at most `count` of them and one of a class: those with the
    largest gap between the two in the true class's posterior. Both answer with the mean of their posteriors over seeds.

    Columns: `image` (its place in val), `true`, and the class and its probability that each names first, `worse`,
    `worse_probability`, `better` (the true one) and `better_probability`. Classes are labels.
    """
    columns = ["image", "true", "worse", "worse_probability", "better", "better_probability"]
    if not worse.seeds or not better.seeds:
        return pd.DataFrame(columns=columns)
    one, other, labels = worse.mean, better.mean, worse.labels
    gap = other.truth - one.truth
    possible = np.flatnonzero(one.missed & ~other.missed)
    ranked = possible[np.argsort(-gap[possible], kind="stable")]
    chosen = ranked[np.sort(np.unique(labels[ranked], return_index=True)[1])[:count]]
    found = {"image": chosen, "true": labels[chosen]}
    for side, own in (("worse", one), ("better", other)):
        found[side], found[f"{side}_probability"] = own.choice[chosen], own.confidence[chosen]
    return pd.DataFrame(found, columns=columns)


def without_pictures(chosen: pd.DataFrame, worse: Answers, better: Answers) -> str:
    """Why `cases` are not drawn, in a sentence."""
    if not worse.seeds or not better.seeds:
        return f"Images that {worse.name} gets wrong and {better.name} right: not run."
    if chosen.empty:
        return f"There is no image that {worse.name} gets wrong and {better.name} right."
    places = ", ".join(map(str, chosen["image"]))
    return (
        f"Images that {worse.name} gets wrong and {better.name} right: numbers {places} of val, counted from 0. Their "
        "pictures are in the folder of the data set: name it in data_dir to see them."
    )


def val_images(preset: str, found: Sequence[Answers], data_dir: str | None = None):
    """The `data.ImageSet` whose val the answers are about; None where none is run, and where the set is read from a
    folder and none is given.

    A set that is drawn has hardly any training images here: they take most of the time, and val is the same. Images
    that do not decode are left out where the answers' records left some out.
    Raises ValueError for images whose labels are not those recorded, and for a folder that will not do.
    """
    chosen = presets.named(preset)
    classes, labels = _task(found)
    if not classes or (chosen.needs_folder and data_dir is None):
        return None
    from vgglib import runner  # needs torch

    skipped = max(own.images_skipped for own in found)
    images = runner.load_again(preset, skipped, data_dir, train_images=2 * classes)
    if not np.array_equal(images.val.labels.numpy(), labels):
        raise ValueError(f"the records of preset {preset} are about other images than these: check data_dir.")
    return images


def class_names(images, found: Sequence[Answers]) -> tuple[str, ...]:
    """Names of the classes in label order, numbers where `images` of `val_images` is None."""
    return images.class_names if images else tuple(f"class {label}" for label in range(_task(found)[0]))


def _task(found: Sequence[Answers]) -> tuple[int, np.ndarray]:
    """The number of classes and the labels, from an answer that is run; no classes where none is."""
    return next(((own.classes, own.labels) for own in found if own.seeds), (0, np.empty(0, int)))
