"""From a trained net and images to class posteriors (Sect. 3.2)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from vgglib import devices
from vgglib.data.imageset import Split
from vgglib.models import VGG

# Pixels in one forward pass: large enough to keep the cores busy, small enough for the memory of a laptop or of one
# GPU.
PIXELS_PER_BATCH = {"cpu": 1 << 18, "cuda": 1 << 23}


@torch.inference_mode()
def dense_posteriors(
    model: VGG, split: Split, mean_rgb: Tensor, flip: bool = True, precision: str = "fp32"
) -> np.ndarray:
    """Soft-max posteriors of whole images, (N, classes) float32, in the order of the split.

    The score map is averaged over space before the soft-max; with `flip` the posteriors of image and mirror image are
    averaged. Images may differ in shape; each must be at least as large as the net's crop (ValueError otherwise).
    `split` must already be at the test scale, on the model's device.
    """
    model.eval()
    where = split.pixels.device
    mean = mean_rgb.to(where)[:, None, None]
    result = torch.empty(len(split), model.head["fc8"].out_features, device=where)
    with devices.autocast(precision, where):
        for index, pixels in split.batches(PIXELS_PER_BATCH[where.type]):
            x = pixels - mean
            posteriors = _posteriors(model, x)
            if flip:
                posteriors = (posteriors + _posteriors(model, x.flip(3))) / 2
            result[index] = posteriors
    return result.cpu().numpy()


def _posteriors(model: VGG, x: Tensor) -> Tensor:
    scores = model.dense(x).float().mean((2, 3))  # the order is the paper's: average the scores, then soft-max
    return scores.softmax(1)
