"""Posteriors of many classes as they are stored: of each image those of its most probable classes."""

from __future__ import annotations

import numpy as np

WHOLE = 64  # classes; where there are no more, all posteriors are stored
KEPT = 20  # classes of an image that are stored where there are more


def shortened(posteriors: np.ndarray, kept: int = KEPT) -> tuple[np.ndarray, np.ndarray]:
    """(largest (N, kept) float16, falling; classes (N, kept) int16, which ones these are) of posteriors (N, classes)
    float16; of equal ones the first come first.
    """
    # Half precision has no arithmetic of its own on most processors.
    classes = np.argsort(-posteriors.astype(np.float32), axis=1, kind="stable")[:, :kept].astype(np.int16)
    return np.take_along_axis(posteriors, classes, 1), classes


def restored(largest: np.ndarray, classes: np.ndarray, n_classes: int) -> np.ndarray:
    """Posteriors (N, n_classes) float16 from those of the most probable classes, as `shortened` gives them: all other
    classes share equally what these leave of 1.

    None of the others gets more than the least of the kept ones, which would happen where rounding has made their sum
    too small. So the top-k error is what it was, as long as k is less than the number of kept ones.
    """
    others = max(n_classes - largest.shape[1], 1)  # where there are none, nobody asks for their share
    share = np.maximum(1 - largest.astype(float).sum(1), 0) / others
    share = np.minimum(share.astype(np.float16), largest[:, -1])
    posteriors = np.repeat(share[:, None], n_classes, axis=1)
    np.put_along_axis(posteriors, classes.astype(np.intp), largest, 1)
    return posteriors
