"""The nets of Table 1 in PyTorch, in their two uses: on a crop (`forward`) and densely on a larger image (`dense`)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vgglib.configs import GROWN_LAYERS, INITIALISATIONS, Config, Layer, as_config
from vgglib.lrn import LocalResponseNorm

TORCHVISION = {"A": "vgg11", "B": "vgg13", "D": "vgg16", "E": "vgg19"}  # how it calls the nets that it has


class Dropout(nn.Dropout):
    """Dropout whose masks are those of a whole batch when the batch is divided over passes or processes.

    `rows` is (first, last, total): the images of the batch that the next pass holds. Seeded alike, every part then
    draws the masks of all `total` images and takes its own: together they drop what one pass over the batch would.
    """

    rows: tuple[int, int, int] | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.rows is None or not self.training:
            return super().forward(x)
        first, last, total = self.rows
        mask = super().forward(torch.ones(total, *x.shape[1:], dtype=x.dtype, device=x.device))
        return x * mask[first:last]


class VGG(nn.Module):
    """A net of Table 1.

    `net` is a name such as "D" or a `Config`; `width` multiplies every channel count (the paper's is 1), `input_size`
    is the side of the crop in pixels (the paper's is 224), `dropout` the ratio after fc6 and fc7 (Sect. 3.1).
    `pools_round_up` is for nets made with Caffe, whose pools keep a last odd row or column: a crop of 224 has none, a
    whole image may.
    Raises ValueError for an unknown net, less than one class, a width that leaves a layer empty, or a crop smaller than
    one cell of the last pool.
    """

    def __init__(
        self,
        net: str | Config,
        num_classes: int = 1000,
        width: float = 1.0,
        input_size: int = 224,
        dropout: float = 0.5,
        pools_round_up: bool = False,
    ):
        super().__init__()
        self.pools_round_up = pools_round_up
        self.config = as_config(net).scaled(width)
        self.input_size = input_size
        if num_classes < 1:
            raise ValueError(f"num_classes is {num_classes}: it must be at least 1.")
        if input_size < self.config.stride:
            raise ValueError(
                f"input_size {input_size} leaves nothing after the last max-pool: take at least {self.config.stride} "
                "pixels."
            )
        # Pools that round down make 1 x 1 cells of 56 pixels; of 224 all make 7 x 7.
        self.cells = self._halved(input_size)

        self.features = nn.Sequential()
        channels = 3
        for block in self.config.blocks:
            self._add_block(block, channels)
            channels = block[-1].channels
        fc6, fc7 = self.config.fully_connected
        self.head = nn.ModuleDict(
            {
                "fc6": nn.Linear(channels * self.cells**2, fc6),
                "fc7": nn.Linear(fc6, fc7),
                "fc8": nn.Linear(fc7, num_classes),
            }
        )
        self.dropout = Dropout(dropout)

    def _add_block(self, block, channels: int) -> None:
        # ReLU and max commute, and ReLU on the pooled quarter costs less: only a pool right after a convolution
        # trades places.
        for layer, following in zip(block, (*block[1:], None), strict=True):
            name, number = layer.name, layer.name.removeprefix("conv")
            if layer.kind == "conv":
                conv = nn.Conv2d(channels, layer.channels, layer.kernel, layer.stride, layer.padding)
                self.features.add_module(name, conv)
                channels = layer.channels
                if following.kind == "pool":
                    self.features.add_module(following.name, self._pool(following))
                self.features.add_module(f"relu{number}", nn.ReLU(inplace=True))
            elif layer.kind == "lrn":
                self.features.add_module(name, LocalResponseNorm(channels))
            elif name not in self.features._modules:
                self.features.add_module(name, self._pool(layer))

    def _pool(self, layer: Layer) -> nn.MaxPool2d:
        return nn.MaxPool2d(layer.kernel, layer.stride, ceil_mode=self.pools_round_up)

    def _halved(self, pixels: int) -> int:
        """Cells that all pools together leave of a side."""
        return math.ceil(pixels / self.config.stride) if self.pools_round_up else pixels // self.config.stride

    @property
    def weighted(self) -> dict[str, nn.Conv2d | nn.Linear]:
        """The layers with weights by name (conv1_1 ... fc8), in the order of Table 1."""
        convs = {name: module for name, module in self.features.named_children() if isinstance(module, nn.Conv2d)}
        return {**convs, **dict(self.head.items())}

    def forward(self, x: Tensor) -> Tensor:
        """Class scores (logits) of crops: (N, 3, input_size, input_size) -> (N, classes); ValueError for another
        shape.
        """
        _check_batch(x)
        if x.shape[-2:] != (self.input_size, self.input_size):
            raise ValueError(
                f"a crop of {x.shape[-2]} x {x.shape[-1]} pixels was given where the net takes exactly "
                f"{self.input_size} x {self.input_size}: use dense() for larger images."
            )
        return self._scores(self.features(x).flatten(1))

    def dense(self, x: Tensor) -> Tensor:
        """The class-score map of whole images (Sect. 3.2): (N, 3, H, W) -> (N, classes, h, w).

        The fully connected layers act as convolutions, the first with a kernel as large as the crop's last pool, so a
        position of the map is one placement of the head: h = floor(H / 32) - floor(input_size / 32) + 1, with ceil in
        place of floor where pools round up. They are computed as products with all placements, since convolutions of
        so few positions are slow.
        Raises ValueError for another shape, and when the image is smaller than the crop.
        """
        _check_batch(x)
        if min(x.shape[-2:]) < self.input_size:
            raise ValueError(
                f"an image of {x.shape[-2]} x {x.shape[-1]} pixels is smaller than the crop of {self.input_size}: "
                "rescale it first."
            )
        x = self.features(x)
        placements = x.unfold(2, self.cells, 1).unfold(3, self.cells, 1)  # (N, C, h, w, cells, cells)
        return self._scores(placements.permute(0, 2, 3, 1, 4, 5).flatten(3)).permute(0, 3, 1, 2)

    def _scores(self, x: Tensor) -> Tensor:
        """(..., C * cells^2), channels first as in the paper's Caffe models -> (..., classes)."""
        x = self.dropout(F.relu(self.head["fc6"](x)))
        x = self.dropout(F.relu(self.head["fc7"](x)))
        return self.head["fc8"](x)


def _check_batch(x: Tensor) -> None:
    if x.dim() != 4 or x.shape[1] != 3:
        raise ValueError(
            f"an input of shape {tuple(x.shape)} was given where the net takes (N, 3, height, width): add a batch "
            "dimension to a single picture, x[None], and make it RGB."
        )


@torch.no_grad()
def initialise(model: VGG, how: str, seed: int) -> VGG:
    """Draw the weights of every layer anew from `seed`; biases are zero (Sect. 3.1).

    - glorot: normal with Glorot's variance, 2 / (fan_in + fan_out), whose own distribution is uniform; the authors
      found his initialisation to work afterwards.
    - he-fan-out: normal, variance 2 / fan_out for convolutions; fully connected layers have sd 0.01 where fc6 has the
      paper's 4096 outputs, else 0.01 sqrt(4096 / outputs of fc6), so that a narrow net starts with the same signal.
    - gaussian: sd 0.01 for every layer, as many programs read the "variance 10^-2" of net A (literally sd 0.1, with
      which activations explode); deep nets do not start with it.

    Raises ValueError for another name.
    """
    if how not in INITIALISATIONS:
        raise ValueError(f"unknown initialisation {how!r}: choose one of {', '.join(INITIALISATIONS)}.")
    generator = torch.Generator().manual_seed(seed)
    for layer in model.weighted.values():
        receptive = layer.weight[0, 0].numel()
        fan_out, fan_in = layer.weight.shape[0] * receptive, layer.weight.shape[1] * receptive
        if how == "glorot":
            sd = math.sqrt(2 / (fan_in + fan_out))
        elif how == "gaussian":
            sd = 0.01
        elif isinstance(layer, nn.Conv2d):
            sd = math.sqrt(2 / fan_out)
        else:
            sd = 0.01 * math.sqrt(4096 / model.config.fully_connected[0])
        # Drawn on the CPU, so that every device starts from the same weights. Those of nn.init differ in the last bit
        # where a layer has fewer than 16, as in nets of width 1/64.
        layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator) * sd)
        layer.bias.zero_()
    return model


@torch.no_grad()
def grow(model: VGG, donor: VGG) -> VGG:
    """Start a deep net from a trained net A (Sect. 3.1): its first four convolutions and its fully connected layers.

    The layers are matched by role (`configs.GROWN_LAYERS`), since by position the shapes of A do not fit deeper nets;
    all other layers keep their weights. Raises ValueError, before anything is copied, when a layer is missing or
    differs in shape.
    """
    ours, theirs = model.weighted, donor.weighted
    for name in GROWN_LAYERS:
        if name not in ours or name not in theirs or ours[name].weight.shape != theirs[name].weight.shape:
            raise ValueError(
                f"net {model.config.name} cannot start from net {donor.config.name}: {name} is missing or differs in "
                "shape; B, C, D and E can start from A of the same width, crop and classes."
            )
    for name in GROWN_LAYERS:
        ours[name].load_state_dict(theirs[name].state_dict())
    return model


@torch.no_grad()
def load_torchvision(model: VGG, state: dict[str, Tensor]) -> VGG:
    """Copy a state dict of torchvision's vgg11, vgg13, vgg16 or vgg19 into net A, B, D or E, layer by layer.

    Raises ValueError when the number of layers or a shape differs, before anything is copied.
    """
    names = [key.removesuffix(".weight") for key in state if key.endswith(".weight")]
    layers = model.weighted
    if len(names) != len(layers):
        raise ValueError(
            f"the state dict has {len(names)} weight layers and net {model.config.name} has {len(layers)}: "
            "torchvision's vgg11, 13, 16 and 19 (without _bn) match A, B, D and E."
        )
    for name, (ours, layer) in zip(names, layers.items(), strict=True):
        if state[f"{name}.weight"].shape != layer.weight.shape:
            raise ValueError(
                f"{name}.weight has shape {tuple(state[f'{name}.weight'].shape)} where {ours} has "
                f"{tuple(layer.weight.shape)}: "
                "the net, its width, input size or number of classes differs."
            )
    for name, layer in zip(names, layers.values(), strict=True):
        layer.weight.copy_(state[f"{name}.weight"])
        layer.bias.copy_(state[f"{name}.bias"])
    return model
