"""What a training hands out: its epochs, how far it is, the trained net, and why it may end before that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from vgglib.models import VGG


@dataclass(frozen=True)
class Epoch:
    """One line of a training's history. `seconds` includes augmentation and the look at minival; `peak_share` is what
    part of `timing.peak_once` the multiply-adds of the steps were.
    """

    epoch: int
    learning_rate: float
    train_loss: float
    minival_top1_error_percent: float
    seconds: float
    images_per_second: float
    peak_share: float


@dataclass(frozen=True)
class Progress:
    """Where a training stands, for whoever displays it."""

    images_done: int
    images_total: int
    epoch: int
    epochs: int
    images_per_second: float
    train_loss: float
    minival_top1_error_percent: float | None
    images_resumed: int = 0  # of those done, by earlier calls


@dataclass(frozen=True)
class Trained:
    """A trained net with its history; `initial_signal` holds the first batch's logit sd and gradient norm of conv1_1,
    `mean_rgb` (3,) is what the net's input is without, in grey levels 0-255; `arithmetic` is that of the updates, empty
    for a net that was not trained here, and `threads` how many of a processor they began with.
    """

    model: VGG
    history: tuple[Epoch, ...]
    initial_signal: dict[str, float]
    mean_rgb: Tensor
    arithmetic: str = ""
    threads: int | None = None


class Diverged(Exception):
    """The loss, weights or scores stopped being numbers; `history` holds the epochs before, `arithmetic` and `threads`
    are those of the updates.
    """

    def __init__(self, message: str, history: Sequence[Epoch], arithmetic: str, threads: int | None = None):
        super().__init__(message)
        self.history, self.arithmetic, self.threads = tuple(history), arithmetic, threads


class OutOfTime(Exception):
    """The time budget is used up; the checkpoint has everything so far."""
