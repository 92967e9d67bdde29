"""Counts of others beside ours: fvcore's, which follows a real forward pass, and those that torchvision publishes."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import pandas as pd
import torch

from vgglib import devices
from vgglib.configs import config
from vgglib.cost import macs, parameters
from vgglib.models import TORCHVISION, VGG


def fvcore_macs(net: str, image_size: int = 224, num_classes: int = 1000) -> dict[str, int]:
    """fvcore's multiply-adds by layer for one crop of `image_size` pixels: layers it counts nothing for are left out.

    Raises ValueError for an unknown net or an image too small for it.
    """
    with torch.device("meta"):
        model = VGG(net, num_classes, input_size=image_size)
    model = model.to_empty(device="cpu").eval()  # what the weights are does not matter
    crop = torch.zeros(1, 3, image_size, image_size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it uses parts of PyTorch that are on their way out
        from fvcore.nn import FlopCountAnalysis

        found = FlopCountAnalysis(model, crop).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        with devices.autocast(devices.units("bf16", crop.device), crop.device):  # the quickest; it counts the same
            by_module = found.by_module()
    names = [*model.features._modules, *(f"head.{name}" for name in model.head)]
    return {
        name.removeprefix("head."): count
        for name in names
        if (count := by_module[name if name.startswith("head.") else f"features.{name}"])
    }


def multiply_adds(nets: Sequence[str], image_size: int = 224, num_classes: int = 1000) -> pd.DataFrame:
    """One line per net: `net`, `ours`, `fvcore`, `difference`."""
    lines = []
    for net in nets:
        ours, theirs = macs(config(net), image_size, num_classes), fvcore_macs(net, image_size, num_classes)
        total = sum(theirs.values())
        lines.append((net, ours, total, total - ours))
    return pd.DataFrame(lines, columns=["net", "ours", "fvcore", "difference"])


def torchvision_counts() -> pd.DataFrame:
    """Parameters and billions of multiply-adds that torchvision publishes with its nets, beside ours: `net`, `name`,
    `parameters`, `theirs`, `gmacs`, `their_gmacs`.
    """
    from torchvision.models import get_model_weights

    lines = []
    for net, name in TORCHVISION.items():
        published = get_model_weights(name).IMAGENET1K_V1.meta
        ours = parameters(config(net)), macs(config(net)) / 1e9
        lines.append((net, name, ours[0], published["num_params"], ours[1], published["_ops"]))
    columns = ["net", "name", "parameters", "theirs", "gmacs", "their_gmacs"]
    return pd.DataFrame(lines, columns=columns)
