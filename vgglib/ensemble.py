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
    return np.mean([member.astype(np.float64) for member in members], axis=0)
