"""The arithmetic of bf16 matrix units on hardware that has none."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

PRODUCTS = (F.conv2d, F.linear)  # all that the nets' layers multiply with


class Bf16InFp32(TorchFunctionMode):
    """Under `torch.autocast` to bf16, lets fp32 units compute convolutions and linear layers.

    Operands, results and all their gradients are rounded to bf16 as autocast rounds them, and the sums in between are
    fp32's, so that little but the order of sums differs from bf16 units. PyTorch's own emulation rounds alike and takes
    many times as long.
    """

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function not in PRODUCTS:
            return function(*args, **kwargs)
        device = (args[0] if args else kwargs["input"]).device.type
        if not torch.is_autocast_enabled(device) or torch.get_autocast_dtype(device) != torch.bfloat16:
            return function(*args, **kwargs)
        with torch.autocast(device, enabled=False):
            rounded = function(*map(_rounded, args), **{name: _rounded(each) for name, each in kwargs.items()})
        return rounded.bfloat16()


def _rounded(value):
    """A tensor with bf16's values in fp32, anything else as it is; its gradient is rounded on the way back."""
    return value.bfloat16().float() if isinstance(value, Tensor) else value
