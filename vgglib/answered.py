"""What nets answer, alone or averaged; kept on disk where it takes long to find out from their posteriors."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vgglib.ensemble import mean_posteriors
from vgglib.experiments import Run
from vgglib.files import DAMAGED_NPZ, state, write_atomically
from vgglib.metrics import percent, wrong

if TYPE_CHECKING:
    from vgglib.results import Store

WORTH_KEEPING = 10_000_000  # numbers to average: fewer take a tenth of a second or so
ANSWERS_HELD = 1024  # in memory, 28 bytes an image each
HELD_BYTES = 2**31  # of posteriors that a `Reading` holds
BLOCK = 2**18  # numbers that are averaged at a time: they fit into a processor's cache
FORM = "2"  # of what is kept; what has another is made anew
APART = "keep the records of each set of images in a folder of its own (--results, or VGG_RESULTS in a notebook)"


@dataclass(frozen=True, eq=False)
class Answered:
    """What posteriors come to, image by image.

    labels: (N,) int, the true classes; missed, missed_top5: (N,) bool, whether these are not among the answers, as
    `metrics.wrong` counts; choice: (N,) int, the class named first, in a tie with the true class another one;
    confidence: (N,) float64, the largest posterior; truth: (N,) float64, the true class's.
    """

    labels: np.ndarray
    missed: np.ndarray
    missed_top5: np.ndarray
    choice: np.ndarray
    confidence: np.ndarray
    truth: np.ndarray

    @classmethod
    def of(cls, posteriors: np.ndarray, labels: np.ndarray) -> Answered:
        """posteriors: (N, classes) float; labels: (N,) int."""
        missed = wrong(posteriors, labels, 1)
        named = choices(posteriors, labels, missed)
        truth = posteriors[np.arange(len(labels)), labels]
        return cls(labels, missed, wrong(posteriors, labels, 5), named, posteriors.max(1), truth)

    @classmethod
    def joined(cls, parts: Sequence[Answered]) -> Answered:
        """Those of some images, then those of others."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in cls.__dataclass_fields__))

    @property
    def top1_error_percent(self) -> float:
        return percent(self.missed)

    @property
    def top5_error_percent(self) -> float:
        return percent(self.missed_top5)


def choices(posteriors: np.ndarray, labels: np.ndarray, missed: np.ndarray) -> np.ndarray:
    """(N,) int: the class named first, which where an image is `missed` is not the true one."""
    named = posteriors.argmax(1)
    tied = np.flatnonzero(missed & (named == labels))
    others = posteriors[tied]
    others[np.arange(len(tied)), labels[tied]] = -1
    named[tied] = others.argmax(1)
    return named


def shared_labels(found: Sequence[np.ndarray], whose: str) -> np.ndarray:
    """The labels (N,) that answers to be compared or averaged have in common, none where there are no answers;
    ValueError, naming `whose` they are, where they differ.
    """
    if any(not np.array_equal(found[0], other) for other in found):
        raise ValueError(f"{whose} saw different images: {APART}.")
    return found[0] if len(found) else np.empty(0, int)


class Reading:
    """A look at the records of some runs, which reads each record once, and a file of posteriors as seldom as memory
    allows: tables share runs.

    What few posteriors come to is known for the rest of the process, while their files do not change. What many come to
    is kept in `<results>/<preset>/answered/`, under the digests of these posteriors, which then need not be read.
    Nothing is lost with that folder.
    """

    def __init__(self, store: Store, tested: Sequence[Run]):
        """Raises ValueError as `Store.read`, and where records were made from different images."""
        self.store = store
        self.records = {run: store.read(run) for run in tested}
        self._check_images()
        sizes = [record["n_images"] * record["n_classes"] for run, record in self.records.items() if self.done([run])]
        held = max(1, HELD_BYTES // (2 * max(sizes, default=1)))  # they are float16
        self._posteriors = lru_cache(held)(lambda run: store.posteriors_of(run, self.records[run]))

    def _check_images(self) -> None:
        seen = {own["environment"].get("data_sha256"): own for own in self.records.values() if own is not None}
        if len(seen) > 1:
            one, other, *_ = (f"{own['run_id']} (digest {str(digest)[:12]})" for digest, own in seen.items())
            raise ValueError(f"the records {one} and {other} in {self.store.root} saw different images: {APART}.")

    def done(self, tested: Sequence[Run]) -> bool:
        """Whether all of these runs have been made and have not failed."""
        return all(own is not None and own["status"] == "done" for own in map(self.records.get, tested))

    def answered(self, tested: Sequence[Run], whose: str) -> Answered:
        """What the mean of the posteriors of `tested`, all of them done, comes to.

        whose: named in the ValueError that is raised where they saw different images; other ValueErrors as
        `Store.posteriors`.
        """
        if not self.worth_keeping(tested):
            files = tuple((self.store.posteriors_path(run), self.records[run]["posteriors_sha256"]) for run in tested)
            states = tuple(state(path) for path, _ in files)
            known = [] if None in states else _known(files, states)
            if not known:
                known.append(self._found_out(tested, whose))
            return known[0]
        found = self.kept(tested)
        if found is None:
            found = self._found_out(tested, whose)
            self.keep(tested, found)
        return found

    def _found_out(self, tested: Sequence[Run], whose: str) -> Answered:
        members, labels = self.members(tested, whose)
        found = Answered.joined(
            [
                Answered.of(mean_posteriors([own[block] for own in members]), labels[block])
                for block in blocks(members[0])
            ]
        )
        for name in Answered.__dataclass_fields__:
            getattr(found, name).setflags(write=False)  # others may be given the same
        return found

    def worth_keeping(self, tested: Sequence[Run]) -> bool:
        """Whether the mean of the posteriors of these runs, all of them done, is much work."""
        sizes = (self.records[run]["n_images"] * self.records[run]["n_classes"] for run in tested)
        return sum(sizes) >= WORTH_KEEPING

    def members(self, tested: Sequence[Run], whose: str) -> tuple[list[np.ndarray], np.ndarray]:
        """Posteriors of some runs, and the labels that they share; ValueErrors as of `answered`."""
        read = [self._posteriors(run) for run in tested]
        return [own for own, _ in read], shared_labels([labels for _, labels in read], whose)

    def kept(self, tested: Sequence[Run]) -> Answered | None:
        """What `keep` has kept of these runs; None where there is nothing, or something damaged."""
        with (
            suppress(OSError, *DAMAGED_NPZ),
            self._path(tested).open("rb") as opened,
            np.load(opened, allow_pickle=False) as file,
        ):
            return Answered(**{name: file[name] for name in Answered.__dataclass_fields__})
        return None

    def keep(self, tested: Sequence[Run], found: Answered) -> None:
        """Keep what the mean of the posteriors of `tested` comes to, where the folder can be written."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **{name: getattr(found, name) for name in Answered.__dataclass_fields__})
        with suppress(OSError):  # it is made anew then
            write_atomically(self._path(tested), buffer.getvalue())

    def _path(self, tested: Sequence[Run]) -> Path:
        # In any order: sums of float16 posteriors are exact.
        digests = sorted(self.records[run]["posteriors_sha256"] for run in tested)
        name = hashlib.sha256(" ".join([FORM, *digests]).encode()).hexdigest()
        return self.store.answered_path(tested[0].preset, name)


@lru_cache(ANSWERS_HELD)
def _known(files: tuple, states: tuple) -> list[Answered]:
    """A place for what some files of posteriors come to while they are as they are; empty until somebody finds out."""
    return []


def blocks(posteriors: np.ndarray) -> Iterator[slice]:
    """Slices of images (N, classes) that are worked on one after the other."""
    images = max(1, BLOCK // posteriors.shape[1])
    return (slice(start, start + images) for start in range(0, len(posteriors), images))
