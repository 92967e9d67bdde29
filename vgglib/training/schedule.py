"""When the learning rate drops, and when training ends (Sect. 3.1)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from vgglib.experiments import Experiment

# A net of many classes starts on a plateau at chance; falling by this much (in points of top-1 error) counts as
# having left it; where guessing errs less than twice this, half of its error is enough.
LEFT_CHANCE_POINTS = 5.0


def left_chance(error: float, chance: float) -> bool:
    """Whether a top-1 error is so far below that of guessing, both in percent, that the net has begun to learn."""
    return error <= chance - min(LEFT_CHANCE_POINTS, chance / 2)


def next_learning_rate(experiment: Experiment, errors: Sequence[float], chance: float) -> float | None:
    """The learning rate of the epoch after `errors`, or None when training is over.

    errors: minival top-1 error in percent after each epoch so far; chance: that of guessing. The rate is divided by
    10 when the error has not improved for `patience` epochs (Sect. 3.1), three times in all; training ends when it
    stops improving a fourth time, or after `epochs`. The rule waits until the net has left chance. A drop that has not
    come by its deadline happens then.
    """
    drops, best, waited = 0, math.inf, 0
    for epoch, error in enumerate(errors, start=1):
        best, waited = (error, 0) if error < best else (best, waited + 1)
        on_plateau = waited >= experiment.patience and left_chance(best, chance)
        if on_plateau and drops == experiment.drops:
            return None
        overdue = experiment.drop_deadlines[drops:] and epoch >= round(
            experiment.drop_deadlines[drops] * experiment.epochs
        )
        if on_plateau or overdue:
            drops, waited = drops + 1, 0
    if len(errors) >= experiment.epochs:
        return None
    return experiment.learning_rate / 10**drops
