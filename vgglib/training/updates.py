"""The update of the weights: forward pass, loss, backward pass and SGD; on a GPU replayed as one CUDA graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from vgglib import devices
from vgglib.augment import Draws, net_input
from vgglib.models import VGG
from vgglib.training.distributed import Division

WARM_UP = 3  # updates before the first capture, in which the libraries choose their algorithms and take their memory


@dataclass
class Updates:
    """Updates of a net's weights, one after another (Sect. 3.1).

    `labels` are those of all training images, (N,) int64 on the device of the net, `mean_rgb` is (3,), `batch` the
    images of an update in all processes. `total` sums up the losses.

    Small nets leave a GPU waiting for Python, so with `captures` one process with one pass a batch captures an update
    as a CUDA graph and replays it: the same kernels on the same numbers, bit for bit. The learning rate is a constant
    of the graph, which is captured anew when the optimiser has another.

    With `compiled` they are built by `torch.compile`, which fuses what surrounds the products: with other roundings,
    and other masks of dropout. Raises ValueError where that cannot be done.
    """

    model: VGG
    optimiser: torch.optim.SGD
    labels: Tensor
    mean_rgb: Tensor
    precision: str
    division: Division
    batch: int
    captures: bool = True
    compiled: bool = False

    def __post_init__(self):
        self.device = self.labels.device
        self.mean_rgb = self.mean_rgb.to(self.device)
        self.passes = self.division.passes(self.batch)
        self.net = self._compiled() if self.compiled else self.division.parallel(self.model, self.device)
        self.total = torch.zeros((), device=self.device)
        self.captures &= self.device.type == "cuda" and self.division.count == len(self.passes) == 1
        self.eager = 0  # updates so far that were no replay
        self.aside: torch.cuda.Stream | None = None
        self.graph: _Graph | None = None

    def __call__(self, crops: Iterator[tuple[Draws, Tensor]], seed: int) -> list[Tensor]:
        """One update from the next crops for every pass, dropout drawing from `seed`; the scores of every pass.

        crops: draws and pixels as `Split.crops` gives them. Scores (B, classes) may be overwritten by the next update.
        """
        if not self.captures:
            self.optimiser.zero_grad(set_to_none=True)
            scores = [self._pass(crops, seed, number) for number in range(len(self.passes))]
            self.optimiser.step()
            return scores
        draws, pixels = next(crops)
        inputs = pixels, draws.shift, self.labels[draws.index]
        torch.manual_seed(seed)
        with torch.cuda.device(self.device):
            if self.eager < WARM_UP:
                self.eager += 1
                return [self._aside(inputs)]
            rates = [group["lr"] for group in self.optimiser.param_groups]
            if self.graph is None or self.graph.constants != rates:
                self.graph = None  # its memory serves the next
                self.graph = _Graph(self._update, inputs, rates)
            return [self.graph.replay(inputs)]

    def _compiled(self) -> Callable[[Tensor], Tensor]:
        check_compiles(self.device, self.precision, self.division, self.batch)
        torch._dynamo.reset()  # it compiles a function eight times at most, and every net before counts
        return torch.compile(self.model, dynamic=False)

    def _aside(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """An update on another stream, where what is captured later must have run before."""
        here = torch.cuda.current_stream()
        self.aside = self.aside or torch.cuda.Stream()
        self.aside.wait_stream(here)
        with torch.cuda.stream(self.aside):
            scores = self._update(*inputs)
        here.wait_stream(self.aside)
        return scores

    def _pass(self, crops: Iterator[tuple[Draws, Tensor]], seed: int, number: int) -> Tensor:
        rows = self.passes[number]
        draws, pixels = next(crops)
        torch.manual_seed(seed)
        self.model.dropout.rows = None if rows == (0, self.batch) else (*rows, self.batch)
        with self.division.adding_up(self.net, more_to_come=number < len(self.passes) - 1):
            return self._gradients(pixels, draws.shift, self.labels[draws.index])

    def _update(self, pixels: Tensor, shift: Tensor, labels: Tensor) -> Tensor:
        """One update from a whole batch."""
        self.optimiser.zero_grad(set_to_none=True)
        scores = self._gradients(pixels, shift, labels)
        self.optimiser.step()
        return scores

    def _gradients(self, pixels: Tensor, shift: Tensor, labels: Tensor) -> Tensor:
        """Add the gradients of one pass to those of the weights, and its loss to `total`; returns its scores.

        pixels: (B, 3, size, size) uint8; shift: (B, 3) float32; labels: (B,) int64.
        """
        x = net_input(pixels, shift, self.mean_rgb)
        with devices.autocast(self.precision, self.device):
            scores = self.net(x).float()
        # The processes' gradients are averaged: each pass counts by its share of the batch.
        loss = F.cross_entropy(scores, labels) * (len(labels) * self.division.count / self.batch)
        loss.backward()
        self.total += loss.detach()
        return scores.detach()


def check_compiles(where: torch.device, precision: str, division: Division, batch: int) -> None:
    """ValueError where updates in a precision, on batches of so many images, cannot be compiled."""
    if division.count > 1 or len(division.passes(batch)) > 1:
        raise ValueError("compiled updates take one process, and a batch in one pass: leave --compile out.")
    if not devices.compiles(where, precision):
        raise ValueError(
            f"updates in {precision} cannot be compiled on this {where.type} (it takes units for them, a compiler, "
            "Python's headers, and on a GPU triton): leave --compile out."
        )


class _Graph:
    """Work on a GPU, captured once on `inputs` and replayed on others of the same shapes; `constants` are what else it
    depends on.
    """

    def __init__(self, work: Callable[..., Tensor], inputs: tuple[Tensor, ...], constants: object):
        self.constants = constants
        # Pixels from a pack leave a gap after every colour: the graph reads them as the net likes them.
        self.inputs = [torch.empty_like(each, memory_format=_format(each)) for each in inputs]
        self.graph = torch.cuda.CUDAGraph()
        # On a stream of the present device, and threads that decode images may talk to the GPU meanwhile.
        with torch.cuda.graph(self.graph, stream=torch.cuda.Stream(), capture_error_mode="thread_local"):
            self.result = work(*self.inputs)

    def replay(self, inputs: tuple[Tensor, ...]) -> Tensor:
        for own, given in zip(self.inputs, inputs, strict=True):
            own.copy_(given)
        self.graph.replay()
        return self.result


def _format(tensor: Tensor) -> torch.memory_format:
    return torch.channels_last if tensor.dim() == 4 else torch.contiguous_format
