"""Fusion: the mean of soft-max posteriors (Sect. 3.2 for scales and crops, Sect. 4.4 for nets)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def mean_posteriors(members: Sequence[np.ndarray]) -> np.ndarray:
    """The mean of arrays of posteriors (N, classes), float64; ValueError when there are none or their shapes differ."""
    if not members:
        raise ValueError("there are no posteriors to average: name at least one run.")
    if len({member.shape for member in members}) != 1:
        shapes = ", ".join(str(member.shape) for member in members)
        raise ValueError(f"posteriors of shapes {shapes} cannot be averaged: take runs on the same images.")
    # One after the other: at ImageNet's scale each takes 0.4 GB.
    total = members[0].astype(float)
    for member in members[1:]:
        total += member
    total /= len(members)
    return total
