"""What a suite of timings consists of. A suite is a module of this package with

    TITLE                                            what its record is called on a page
    cases(settings) -> list[Case]                    what is timed
    prepare(settings, cases) -> None                 makes, once and untimed, the files that these cases read
    measure(case, contender, settings) -> dict       one measurement, in a process of its own: `value` in the case's
                                                     unit, and whatever else is known, all plain numbers

A measurement that cannot be made raises `LeftOut`, and the record says why.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

OURS = "this project"  # also in vgglib.bench; the library may be an earlier one here


@dataclass(frozen=True)
class Settings:
    """The same for every contender of a run.

    `folder` is for files that measurements share, `images` a reader's Tiny ImageNet, without which images are drawn.
    `small` makes everything so small that its numbers mean nothing: for tests.
    """

    device: str
    threads: int
    folder: Path
    images: Path | None = None
    small: bool = False


@dataclass(frozen=True)
class Case:
    """Contenders for the same work: ours is called `OURS`, and every other one is compared with it round by round.

    With `points` the contenders are not rivals but values along an axis, such as batch sizes: plain numbers as text.
    `limit` is what ours must not exceed, or must reach where more is better, if that was fixed in advance. `images` is
    "tiny-imagenet" where those of `Settings.images` are read, else "drawn".
    """

    name: str
    contenders: tuple[str, ...]
    unit: str
    more_is_better: bool = True
    points: bool = False
    limit: float | None = None
    rounds: int | None = None  # fewer than the others, of what takes minutes
    images: str = "drawn"


class LeftOut(Exception):
    """This contender cannot be timed here; the message is the reason, one sentence."""
