"""Answers of nets to images, for tests of what they get wrong."""

import numpy as np

from vgglib.analysis.errors import Answers
from vgglib.answered import Answered

NAMES = ("plain disc", "plain star", "dotted star")


def posteriors_of(choices, classes=3, confidence=0.8):
    """(seeds, N, classes): nets that name `choices` (seeds, N), all with the same confidence."""
    choices = np.atleast_2d(choices)
    posteriors = np.full((*choices.shape, classes), (1 - confidence) / (classes - 1))
    np.put_along_axis(posteriors, choices[:, :, None], confidence, 2)
    return posteriors


def saying(choices, labels, net="A", classes=3, confidence=0.8, seeds=None):
    """The answers of such nets."""
    return of(posteriors_of(choices, classes, confidence), labels, net, seeds)


def of(posteriors, labels, net="A", seeds=None):
    """Nets of some seeds with posteriors (seeds, N, classes)."""
    key, seeds = ("3", net, "256", "256", "dense"), seeds or tuple(range(len(posteriors)))
    found = tuple(Answered.of(own, labels) for own in posteriors)
    return Answers(net, key, seeds, found, posteriors.shape[2], labels, lambda: Answered.of(posteriors.mean(0), labels))


def nothing(net="A"):
    return of(np.empty((0, 0, 0)), np.empty(0, int), net)


LABELS = np.array([0, 0, 1, 1, 2])
FIRST = saying([[0, 0, 1, 1, 0], [0, 1, 1, 0, 2]], LABELS)  # wrong: image 4; images 1 and 3
SECOND = saying([[1, 0, 1, 0, 0], [0, 1, 1, 1, 2]], LABELS, "E")  # wrong: images 0, 3, 4; image 1
