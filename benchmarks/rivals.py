"""What people would train the nets with instead: torchvision's reference script, timm's script, a tutorial's loop.

Each is written as its script trains, with the script's settings, and is given our net, images, batch and threads.
"""

from __future__ import annotations

import random
import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.cases import LeftOut
from vgglib import devices
from vgglib.configs import config
from vgglib.cost import parameters

MEAN, SD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, in all three of them
LEARNING_RATE = 0.01  # takes no part in the time, and the nets stay finite with it
DROPOUT = 0.5


@dataclass(frozen=True)
class Work:
    """What every contender does: train `net` on crops of `crop` pixels of `images` of the images in `tree`/train."""

    net: str
    width: float
    crop: int
    batch: int
    classes: int
    tree: Path
    images: int
    threads: int
    where: torch.device


@dataclass(frozen=True)
class Rival:
    """A training set up: `loader(n)` gives batches of n of the images, `step` makes an update of one of them."""

    net: nn.Module
    loader: Callable[[int], Iterable[tuple[Tensor, Tensor]]]
    step: Callable[[Tensor, Tensor], object]


def images_per_second(work: Work, rival: Rival) -> float:
    """Of the second of two whole epochs, whose workers are there from the first: starting them does not count.

    Raises ValueError where the epoch has not as many steps as ours.
    """
    loader = rival.loader(work.images)

    def train() -> float:
        begun, steps = time.perf_counter(), 0
        for inputs, labels in loader:
            rival.step(inputs, labels)
            steps += 1
        if work.where.type == "cuda":
            torch.cuda.synchronize(work.where)
        seconds = time.perf_counter() - begun
        if steps != work.images // work.batch:
            raise ValueError(f"an epoch of {work.images} images had {steps} steps of {work.batch}.")
        return seconds

    with warnings.catch_warnings():
        # That pinning memory does nothing without a GPU, and that there are more workers than cores: as shipped.
        warnings.filterwarnings("ignore", message=".*pin_memory.*", category=UserWarning)
        warnings.filterwarnings("ignore", message="This DataLoader will create", category=UserWarning)
        rival.net.train()
        train()
        return work.images / train()


def torchvision_as_shipped(work: Work) -> Rival:
    """references/classification/train.py without options but batch and sizes: Pillow transforms in 16 workers, fp32,
    plain SGD, loss and accuracies read at every step.
    """
    from torchvision import transforms as T

    augment = [
        T.RandomResizedCrop(work.crop),
        T.RandomHorizontalFlip(),
        T.PILToTensor(),
        T.ConvertImageDtype(torch.float),
        T.Normalize(MEAN, SD),
    ]
    return _torchvision(work, T.Compose(augment), workers=16, amp=False)


def torchvision_tuned(work: Work) -> Rival:
    """The same script with `--use-v2 --backend tensor` and `fast_workers`; on a GPU with `--amp`, which is CUDA's
    autocast and does nothing on a CPU.
    """
    from torchvision.transforms import v2

    augment = [
        v2.PILToTensor(),
        v2.RandomResizedCrop(work.crop, antialias=True),
        v2.RandomHorizontalFlip(),
        v2.ToDtype(torch.float, scale=True),
        v2.Normalize(MEAN, SD),
        v2.ToPureTensor(),
    ]
    return _torchvision(work, v2.Compose(augment), workers=fast_workers(work), amp=work.where.type == "cuda")


def tutorial(work: Work) -> Rival:
    """The loop that tutorials teach: random crop and flip by Pillow in the training process, fp32, plain SGD, the loss
    read at every step.
    """
    from torchvision import transforms as T

    crop = [T.RandomCrop(work.crop), T.RandomHorizontalFlip(), T.ToTensor(), T.Normalize(MEAN, SD)]
    net = torchvision_net(work).to(work.where)
    optimiser = torch.optim.SGD(net.parameters(), LEARNING_RATE, 0.9)
    criterion = nn.CrossEntropyLoss()

    def step(inputs: Tensor, labels: Tensor) -> float:
        inputs, labels = inputs.to(work.where), labels.to(work.where)
        optimiser.zero_grad()
        loss = criterion(net(inputs), labels)
        loss.backward()
        optimiser.step()
        return loss.item()

    return Rival(net, lambda images: _loader(work, images, T.Compose(crop), workers=0), step)


def timm_as_shipped(work: Work) -> Rival:
    """timm's train.py without options but batch and sizes: four workers, random interpolation, colour jitter, label
    smoothing, fp32.
    """
    return _timm(work, workers=4, interpolation="random", colour_jitter=0.4, smoothing=0.1, fast=False)


def timm_tuned(work: Work) -> Rival:
    """The same script with its fastest options: `--channels-last`, `--amp --amp-dtype bfloat16` where the hardware has
    bf16, `fast_workers`, bilinear interpolation, neither colour jitter nor label smoothing; on a GPU `--torchcompile`,
    which on a CPU slows these nets down (as the steps on a ready batch show).
    """
    return _timm(work, fast_workers(work), interpolation="bilinear", colour_jitter=0.0, smoothing=0.0, fast=True)


def fast_workers(work: Work) -> int:
    """A worker for each core, and four at least: on two cores that is a little faster than two."""
    return max(4, work.threads)


def torchvision_net(work: Work) -> nn.Module:
    """torchvision's VGG with our net's widths, and a head for what is left of the crop."""
    from torchvision.models import vgg

    channels, cells, hidden = _head(work)
    with torch.device("meta"):  # its own head has a hundred million weights
        net = vgg.VGG(nn.Identity(), work.classes, init_weights=False)
    net.features = vgg.make_layers(_layers(work))
    net.avgpool = nn.AdaptiveAvgPool2d((cells, cells))
    net.classifier = nn.Sequential(
        nn.Linear(channels * cells**2, hidden),
        nn.ReLU(True),
        nn.Dropout(DROPOUT),
        nn.Linear(hidden, hidden),
        nn.ReLU(True),
        nn.Dropout(DROPOUT),
        nn.Linear(hidden, work.classes),
    )
    return _same(work, net)


def timm_net(work: Work) -> nn.Module:
    """timm's VGG, its head likewise."""
    try:
        from timm.layers import ClassifierHead
        from timm.models import vgg
    except ImportError as error:
        raise LeftOut("timm is not installed: pip install timm.") from error
    channels, cells, hidden = _head(work)
    with torch.device("meta"):  # as above
        net = vgg.VGG(_layers(work), work.classes)
    net.features.to_empty(device="cpu")
    net.pre_logits = vgg.ConvMlp(channels, hidden, cells, drop_rate=DROPOUT)
    net.head = ClassifierHead(hidden, work.classes, drop_rate=DROPOUT)
    net._initialize_weights()
    return _same(work, net)


def _layers(work: Work) -> list[int | str]:
    """Our net as both libraries write it: channels, and M for a pool."""
    own = config(work.net).scaled(work.width).layers
    return ["M" if layer.kind == "pool" else layer.channels for layer in own]


def _head(work: Work) -> tuple[int, int, int]:
    """Channels and cells a side that reach the head, and its width."""
    own = config(work.net).scaled(work.width)
    return own.layers[-1].channels, work.crop // own.stride, own.fully_connected[0]


def _same(work: Work, net: nn.Module) -> nn.Module:
    """The net, if it has as many parameters as ours."""
    ours = parameters(config(work.net).scaled(work.width), work.classes, work.crop)
    theirs = sum(weight.numel() for weight in net.parameters())
    if theirs != ours:
        raise ValueError(f"net {work.net} has {ours} parameters here and {theirs} there.")
    return net


def _loader(work: Work, images: int, transform: Callable, workers: int, **options) -> Iterable[tuple[Tensor, Tensor]]:
    from torch.utils.data import DataLoader
    from torchvision.datasets import ImageFolder

    dataset = ImageFolder(work.tree / "train", transform)
    dataset.samples = random.Random(0).sample(dataset.samples, images)  # as many as an epoch of ours has
    return DataLoader(
        dataset,
        work.batch,
        shuffle=True,
        num_workers=workers,
        drop_last=True,
        persistent_workers=workers > 0,
        **options,
    )


def _torchvision(work: Work, transform: Callable, workers: int, amp: bool) -> Rival:
    torch.backends.cudnn.benchmark = True
    net = torchvision_net(work).to(work.where)
    optimiser = torch.optim.SGD(net.parameters(), LEARNING_RATE, momentum=0.9, weight_decay=1e-4)
    criterion = nn.CrossEntropyLoss()
    scaler = torch.amp.GradScaler(work.where.type, enabled=amp)

    def step(inputs: Tensor, labels: Tensor) -> tuple[float, ...]:
        inputs, labels = inputs.to(work.where), labels.to(work.where)
        with torch.autocast(work.where.type, torch.float16, enabled=amp):
            scores = net(inputs)
            loss = criterion(scores, labels)
        optimiser.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(optimiser)
        scaler.update()
        return (loss.item(), *_accuracies(scores, labels))

    return Rival(net, lambda images: _loader(work, images, transform, workers, pin_memory=True), step)


@torch.no_grad()
def _accuracies(scores: Tensor, labels: Tensor) -> tuple[float, float]:
    """Top-1 and top-5, in percent."""
    right = scores.topk(min(5, scores.shape[1])).indices == labels[:, None]
    return 100 * right[:, 0].float().mean().item(), 100 * right.any(1).float().mean().item()


def _timm(work: Work, workers: int, interpolation: str, colour_jitter: float, smoothing: float, fast: bool) -> Rival:
    net = timm_net(work).to(work.where)
    from timm.data import create_dataset, create_loader
    from timm.loss import LabelSmoothingCrossEntropy
    from timm.optim import create_optimizer_v2

    torch.backends.cudnn.benchmark = True
    layout = torch.channels_last if fast else torch.contiguous_format
    amp = fast and devices.multiplies_bf16(work.where)
    net = net.to(memory_format=layout)
    if fast and work.where.type == "cuda":
        net.compile()
    optimiser = create_optimizer_v2(net, "sgd", lr=LEARNING_RATE, weight_decay=2e-5, momentum=0.9)
    criterion = LabelSmoothingCrossEntropy(smoothing) if smoothing else nn.CrossEntropyLoss()

    def loader(images: int) -> Iterable[tuple[Tensor, Tensor]]:
        dataset = create_dataset("", root=str(work.tree), split="train", is_training=True, batch_size=work.batch)
        dataset.reader.samples = random.Random(0).sample(dataset.reader.samples, images)
        return create_loader(
            dataset,
            input_size=(3, work.crop, work.crop),
            batch_size=work.batch,
            is_training=True,
            color_jitter=colour_jitter,
            interpolation=interpolation,
            num_workers=workers,
            device=work.where,
        )

    def step(inputs: Tensor, labels: Tensor) -> float:
        inputs = inputs.contiguous(memory_format=layout)
        with torch.autocast(work.where.type, torch.bfloat16, enabled=amp):
            loss = criterion(net(inputs), labels)
        loss.backward()
        optimiser.step()
        read = loss.item()
        optimiser.zero_grad()
        return read

    return Rival(net, loader, step)


RIVALS: dict[str, Callable[[Work], Rival]] = {
    "torchvision's script": torchvision_as_shipped,
    "torchvision's script, best options": torchvision_tuned,
    "timm's script": timm_as_shipped,
    "timm's script, best options": timm_tuned,
    "a tutorial's loop": tutorial,
}
