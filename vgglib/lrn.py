"""Local response normalisation with Krizhevsky's constants (Sect. 2.1): only net A-LRN has it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

# x / (k + alpha * sum over n neighbouring channels of x^2) ^ beta
LRN_K, LRN_N, LRN_ALPHA, LRN_BETA = 2.0, 5, 1e-4, 0.75
PIECE = 1 << 19  # values that are normalised together on a CPU, so that all steps find them in its cache


class LocalResponseNorm(nn.Module):
    """Normalisation across channels with the paper's constants, on (N, C, H, W) of any floating type, computed in fp32.

    The sum over neighbouring channels is a product with a band matrix, and the gradient is computed as one formula:
    many times faster than `torch.nn.LocalResponseNorm`, which also divides alpha by n.
    """

    def __init__(self, channels: int):
        super().__init__()
        channel = np.arange(channels)  # NumPy: on the meta device PyTorch would import its compiler for these steps
        near = np.abs(np.subtract.outer(channel, channel)) <= LRN_N // 2
        self.register_buffer("band", torch.tensor(near * LRN_ALPHA, dtype=torch.float32), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return _Normalise.apply(x, self.band.float())  # a net that was cast to bf16 included


class _Normalise(Function):
    """y = x s^(-3/4) with s = k + band x^2, whose gradient is g s^(-3/4) - 3/2 x band (g x s^(-7/4))."""

    @staticmethod
    def forward(ctx, x: Tensor, band: Tensor) -> Tensor:
        def piece(x: Tensor, kept: Tensor | None = None) -> Tensor:
            root = torch.rsqrt((x.square() @ band).add_(LRN_K), out=kept)
            return x * root.sqrt().mul_(root)

        if not ctx.needs_input_grad[0]:
            return _by_pieces(piece, x)
        root = torch.empty_like(x, dtype=torch.float32, memory_format=torch.channels_last)  # s^(-1/2)
        ctx.save_for_backward(x, root, band)
        return _by_pieces(piece, x, root)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        x, root, band = ctx.saved_tensors

        def piece(x: Tensor, root: Tensor, gradient: Tensor) -> Tensor:
            direct = root.sqrt().mul_(root).mul_(gradient)
            through = (direct * x).mul_(root).mul_(root) @ band
            return direct.addcmul_(through, x, value=-2 * LRN_BETA)

        return _by_pieces(piece, x, root, gradient), None


def _by_pieces(formula, *tensors: Tensor) -> Tensor:
    """A formula over rows of channels (places, C) in fp32, applied to tensors (N, C, H, W) piece by piece."""
    first = tensors[0]
    channels = first.shape[1]
    result = torch.empty_like(first, memory_format=torch.channels_last)
    rows = [tensor.permute(0, 2, 3, 1).reshape(-1, channels) for tensor in tensors]
    out = result.permute(0, 2, 3, 1).view(-1, channels)
    whole = first.is_cuda or torch.compiler.is_compiling()
    step = max(1, len(out) if whole else PIECE // channels)
    with torch.autocast(first.device.type, enabled=False):  # squares of activations of a hundred need fp32
        for begin in range(0, len(out), step):
            piece = slice(begin, begin + step)
            out[piece].copy_(formula(*(tensor[piece].float() for tensor in rows)))
    return result
