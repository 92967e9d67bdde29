"""From stored images to updated weights: this project's training beside other scripts, and what a step costs."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import images
from benchmarks.cases import OURS, Case, LeftOut, Settings

if TYPE_CHECKING:
    from benchmarks.rivals import Work
    from vgglib.experiments import Experiment

TITLE = "Training"
RIVALS = (
    "torchvision's script",
    "torchvision's script, best options",
    "timm's script",
    "timm's script, best options",
    "a tutorial's loop",
)
NET_A, TORCH_LRN = f"{OURS}, net A", "torch.nn.LocalResponseNorm"
COMPILED, EAGER = "compiled", "update by update"  # the first also in vgglib.bench.bench_page, as the next
STEP = "a step on a ready batch, "
SIDES = {56: 64, 224: 256}  # of the stored images, for crops of so many pixels: S = 256 in the paper's units
# Images a second: on two idle cores with AMX at width 1/4, on one H100 at full width.
LIMITS = {("cpu", "A", 56): 3000.0, ("cpu", "D", 56): 1700.0, ("cuda", "D", 56): 45_000.0}
IMPORTED = time.perf_counter()


def cases(settings: Settings) -> list[Case]:
    """End to end for each net and crop, then A-LRN beside A, then a step alone."""
    kind = _kind(settings)
    places = [(net, crop) for crop in _crops(settings) for net in _nets(settings)]
    # Compiling takes half a minute, however small the net. On a GPU ours replays a CUDA graph.
    own = [OURS, *([EAGER] if kind == "cuda" else []), *([] if settings.small else [COMPILED])]

    def case(what: str, crop: int, contenders: Sequence[str], limit: float | None = None) -> Case:
        source = None if what.startswith(STEP) else images.tree(settings, SIDES[crop]).source
        read = "tiny-imagenet" if source else "drawn"
        return Case(_name(settings, what, crop), tuple(contenders), "images/s", limit=limit, images=read)

    return [
        *(case(f"net {net}", crop, (OURS, *RIVALS), LIMITS.get((kind, net, crop))) for net, crop in places),
        *(case("net A-LRN beside net A", crop, (OURS, NET_A, TORCH_LRN)) for crop in _crops(settings)),
        *(case(f"{STEP}net {net}", crop, own) for net, crop in places),
    ]


def prepare(settings: Settings, cases: Sequence[Case]) -> None:
    """The trees of JPEGs that the cases read: a step on a ready batch reads none."""
    for crop in _crops(settings):
        if any(f", {crop} pixels" in case.name and not case.name.startswith(STEP) for case in cases):
            images.make(images.tree(settings, SIDES[crop]), settings.threads)


def measure(case: str, contender: str, settings: Settings) -> dict:
    """Images a second, and beside it what `_measured` names."""
    what, size = case.removesuffix(_width_text(settings)).rsplit(", ", 1)
    net, crop = what.rpartition("net ")[2], int(size.split()[0])
    if what.startswith(STEP):
        return _measured(work(settings, net, crop), lambda given: _step(given, contender))
    if "beside" in what:
        net = "A" if contender == NET_A else "A-LRN"
        with _torch_lrn() if contender == TORCH_LRN else nullcontext():
            return _measured(work(settings, net, crop), _ours)
    return _measured(work(settings, net, crop), _ours if contender == OURS else _theirs(contender))


def work(settings: Settings, net: str, crop: int = 56) -> Work:
    """What the contenders for a case do."""
    from benchmarks.rivals import Work
    from vgglib import devices

    tree = images.tree(settings, SIDES[crop])
    batch = 16 if settings.small else 256
    return Work(
        net=net,
        width=_width(settings),
        crop=crop,
        batch=batch,
        classes=tree.classes,
        tree=tree.path,
        images=tree.train_images // batch * batch,
        threads=settings.threads,
        where=devices.device(settings.device),
    )


def experiment(given: Work) -> Experiment:
    """Ours: the preset's recipe at this width, for an epoch that warms up and one that is timed."""
    from vgglib import experiments, presets

    recipe = presets.named("tiny-imagenet" if given.crop == 56 else "imagenet").recipe
    settings = {"width": given.width, "batch_size": given.batch, "epochs": 2}
    return experiments.Experiment(given.net, seed=0, **{**recipe, **settings})


def _kind(settings: Settings) -> str:
    return settings.device.partition(":")[0]


def _crops(settings: Settings) -> tuple[int, ...]:
    return (56, 224) if _kind(settings) == "cuda" and not settings.small else (56,)


def _nets(settings: Settings) -> tuple[str, ...]:
    return ("A",) if settings.small else ("A", "D")


def _width(settings: Settings) -> float:
    if settings.small:
        return 1 / 64
    return 1.0 if _kind(settings) == "cuda" else 1 / 4


def _width_text(settings: Settings) -> str:
    width = _width(settings)
    return f", width {'1' if width == 1 else f'1/{round(1 / width)}'}"


def _name(settings: Settings, what: str, crop: int) -> str:
    return f"{what}, {crop} pixels{_width_text(settings)}"


def _measured(given: Work, train: Callable[[Work], dict]) -> dict:
    """What `train` found, with `value` in images a second, and `seconds_to_first_step` since the process began,
    `macs_per_image` (forward), `peak_share` (of the fastest matrix product, on the units that ours uses, three
    passes an image), on a GPU `cuda_memory_bytes`.
    """
    import torch

    from vgglib import devices, timing
    from vgglib.configs import config
    from vgglib.cost import TRAINING_PASSES, macs

    if given.where.type == "cpu":
        torch.set_num_threads(given.threads)
    with _first_step(given.where) as first:
        found = train(given)
    found["seconds_to_first_step"] = first[0]
    if given.where.type == "cuda":
        found["cuda_memory_bytes"] = torch.cuda.max_memory_allocated(given.where)
    found["macs_per_image"] = macs(config(given.net).scaled(given.width), given.crop, given.classes)
    peak = timing.peaks(given.where, devices.precision("auto", given.where))["macs_per_second"]
    found["peak_share"] = TRAINING_PASSES * found["macs_per_image"] * found["value"] / peak
    return found


@contextmanager
def _first_step(where) -> Iterator[list[float]]:
    """A list that gets the seconds from the start of the process to the end of the first update of any optimiser."""
    import torch
    from torch.optim.optimizer import register_optimizer_step_post_hook

    moment: list[float] = []

    def note(*_) -> None:
        if where.type == "cuda":
            torch.cuda.synchronize(where)
        moment.append(_process_seconds())
        hook.remove()

    hook = register_optimizer_step_post_hook(note)
    try:
        yield moment
    finally:
        hook.remove()


def _process_seconds() -> float:
    """Since this process began; where the system does not say, since this module was imported."""
    try:
        begun = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
        return float(Path("/proc/uptime").read_text().split()[0]) - begun
    except (OSError, ValueError, IndexError):
        return time.perf_counter() - IMPORTED


def _ours(given: Work) -> dict:
    """This project as `vgg run` trains: in bf16, the images in memory, cut and mirrored there in whole batches. Reading
    them, once, is `loading_seconds`; the second epoch is timed.
    """
    from vgglib import devices
    from vgglib.data import folder
    from vgglib.train import train

    devices.prepare(given.threads)
    devices.exact(given.where)
    begun = time.perf_counter()
    loaded = folder.load(given.tree)
    loading = time.perf_counter() - begun
    if len(loaded.train) // given.batch * given.batch != given.images:
        raise ValueError(f"{given.tree} leaves {len(loaded.train)} images in train, {given.images} were expected.")
    epoch = train(experiment(given), loaded, given.where).history[1]
    return {"value": epoch.images_per_second, "loading_seconds": loading}


def _theirs(contender: str) -> Callable[[Work], dict]:
    from benchmarks import rivals

    setup = rivals.RIVALS[contender]
    return lambda given: {"value": rivals.images_per_second(given, setup(given))}


@contextmanager
def _torch_lrn() -> Iterator[None]:
    """Our nets with PyTorch's own normalisation, which divides alpha by the five neighbours."""
    from unittest.mock import patch

    from torch import nn

    from vgglib import models

    with patch.object(models, "LocalResponseNorm", lambda channels: nn.LocalResponseNorm(5, 5 * 1e-4, 0.75, 2.0)):
        yield


def _step(given: Work, contender: str) -> dict:
    """Forward, backward and update on one batch that is there already: what the net alone allows."""
    from vgglib import devices, timing

    devices.prepare(given.threads)
    devices.exact(given.where)
    net = timing.net(given.net, given.width, given.crop, given.classes)
    precision = devices.precision("auto", given.where)
    how = {"captures": contender != EAGER, "compiled": contender == COMPILED}
    if how["compiled"] and not devices.compiles(given.where, precision):
        raise LeftOut("torch.compile needs bf16 units, a compiler, Python's headers, and on a GPU triton.")
    for _ in range(2):  # memory settles during the first steps
        found = timing.step_seconds(net, given.batch, given.where, precision, **how)
    return {"value": given.batch / found["training"]}
