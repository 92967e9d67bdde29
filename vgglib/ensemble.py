"""Fusion: the mean of soft-max posteriors (Sect. 3.2 for scales and crops, Sect. 4.4 for nets)."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np


def mean_posteriors(members: Iterable[np.ndarray]) -> np.ndarray:
    """The mean of arrays of posteriors (N, classes), float64; ValueError when there are none, when one has another
    number of dimensions, or when their shapes differ.

    They are taken one after the other: at ImageNet's scale each has 50 million numbers.
    """
    total, count = None, 0
    for member in members:
        count += 1
        if member.ndim != 2:
            raise ValueError(f"a member has shape {member.shape}: give a list of arrays (N, classes).")
        if total is None:
            total = member.astype(float)
        elif total.shape == member.shape:
            total += member
        else:
            raise ValueError(
                f"posteriors of shapes {total.shape} and {member.shape} cannot be averaged: take runs on the same "
                "images."
            )
    if total is None:
        raise ValueError("there are no posteriors to average: name at least one run.")
    total /= count
    return total
