"""Evaluation of nets on images in memory, from stored pixels to posteriors: ours beside the straightforward way.

Nets have their first weights, which cost what trained ones do. On a CPU they are a quarter of the paper's width, on a
GPU as wide as the paper's; either way images are a quarter of its size: Q = 224, 256 and 288 are 56, 64 and 72 pixels.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.cases import OURS, Case, LeftOut, Settings
from benchmarks.data import drawn, rate

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from vgglib.data import Split
    from vgglib.experiments import Run
    from vgglib.models import VGG
    from vgglib.results import Store

TITLE = "Evaluation"
UNIT = "images/s"
DENSE, CROPS, FUSION = "dense, three scales", "150 crops", "fusion of two nets"
ONE_BY_ONE, BATCHED = "image by image, fp32", "batches of 32, fp32"
ONE_BY_ONE_BF16, BATCHED_BF16 = (f"{name}, bf16 and channels last" for name in ("image by image", "batches of 32"))
OUR_CROPS = "150 crops, this project"
SCALES, WIDER = (224, 256, 288), (256, 384, 512)  # Q, in the paper's pixels, of nets trained at one S and with jitter
RATIOS = {f"dense against 150 crops, Q = {', '.join(map(str, scales))}": scales for scales in (SCALES, WIDER)}
RUN_AGAIN = "both nets run again"
PRESET, CLASSES = "tiny-imagenet-50", 50
BATCH_SIZE = 32
THEIRS = (ONE_BY_ONE, BATCHED, ONE_BY_ONE_BF16, BATCHED_BF16)


def cases(settings: Settings) -> list[Case]:
    return [
        Case(DENSE, (OURS, ONE_BY_ONE, BATCHED, BATCHED_BF16), UNIT),
        Case(CROPS, (OURS, ONE_BY_ONE, ONE_BY_ONE_BF16), UNIT),
        Case(FUSION, (OURS, RUN_AGAIN), UNIT),
        *(Case(name, (OURS, OUR_CROPS), UNIT) for name in RATIOS),
    ]


def prepare(settings: Settings, cases: Sequence[Case]) -> None:
    """Images to be held in memory."""
    drawn(settings)


def measure(case: str, contender: str, settings: Settings) -> dict[str, float]:
    """`value`; of fusions `top1_error_percent` as well, which both contenders must find."""
    import torch

    from vgglib import devices

    if contender in THEIRS:
        torch.set_num_threads(settings.threads)
    else:
        devices.prepare(settings.threads)
    where = devices.device(settings.device)
    if contender not in THEIRS:
        devices.exact(where)  # as the runner
    images = drawn(settings)
    images = images.subset(range(_count(case, contender, settings)))
    if case == FUSION:
        return _fusion(contender, images, where, settings)
    posteriors = evaluation(case, contender, where, settings)
    posteriors(images.subset(range(min(len(images), BATCH_SIZE))))  # warms up
    return _timed(lambda: posteriors(images), images, where, settings)


def _timed(work: Callable[[], object], images: Split, where: torch.device, settings: Settings) -> dict[str, float]:
    def whole() -> int:
        work()
        return len(images)

    return rate(whole, where, settings, warm_up=False)


def _count(case: str, contender: str, settings: Settings) -> int:
    """How many images a contender is given: one that takes them one by one needs no more to show how long each takes,
    and the three shapes are mixed alike.
    """
    if settings.small:
        return 6
    if contender in (ONE_BY_ONE, ONE_BY_ONE_BF16):
        return 48
    return (96 if case == CROPS or contender == OUR_CROPS else 384) * (4 if settings.device.startswith("cuda") else 1)


def evaluation(case: str, contender: str, where: torch.device, settings: Settings) -> Callable[[Split], np.ndarray]:
    """How a contender gets posteriors (N, classes) of net D for images on the CPU: the mean over three scales."""
    from vgglib.ensemble import mean_posteriors

    crops = case == CROPS or contender == OUR_CROPS
    tested = runs("D", crops, settings, RATIOS.get(case, SCALES))
    model, mean_rgb = net(tested[0], where), drawn(settings).mean_rgb
    if contender in THEIRS:
        return _straightforward(contender, crops, model, tested, mean_rgb, where)
    return lambda images: mean_posteriors(ours(model, tested, images, mean_rgb, where))


def _straightforward(
    contender: str, crops: bool, model: VGG, tested: Sequence[Run], mean_rgb: Tensor, where: torch.device
) -> Callable[[Split], np.ndarray]:
    """One image after another, or 32 of one shape together: Pillow rescales, the mirror image is a second pass, in fp32
    with channels first in memory, or else in bf16 with channels last. The 50 crops of an image and scale are one batch.
    """
    from benchmarks import straightforward
    from vgglib import devices

    precision = "bf16" if contender in (ONE_BY_ONE_BF16, BATCHED_BF16) else "fp32"
    if precision == "bf16" and not devices.multiplies_bf16(where):
        raise LeftOut("this device has no bf16 units, and PyTorch is many times slower without.")
    plain = straightforward.plain(model, dense=not crops)
    plain = plain.to(where, memory_format=straightforward.LAYOUTS[precision])
    ours, theirs = (sum(values.numel() for values in net.parameters()) for net in (model, plain))
    assert ours == theirs, f"nets of {ours} and {theirs} parameters"
    scales = [run.experiment.pixels(run.protocol.test_scale) for run in tested]

    def found(images: Split) -> np.ndarray:
        stored = [images.image(i).numpy() for i in range(len(images))]
        if not crops:
            batch_size = BATCH_SIZE if contender in (BATCHED, BATCHED_BF16) else 1
            return straightforward.dense_posteriors(plain, stored, mean_rgb, scales, where, batch_size, precision)
        size = tested[0].experiment.crop
        return straightforward.crop_posteriors(plain, stored, mean_rgb, scales, where, size, precision)

    return found


def ours(model: VGG, tested: Sequence[Run], images: Split, mean_rgb: Tensor, where: torch.device) -> list[np.ndarray]:
    """Posteriors (N, classes) float16 of every run, made as the runner makes them for a record."""
    from vgglib import devices
    from vgglib.evaluate import posteriors
    from vgglib.planner import testing_macs

    for name in ("vgglib.running.recorder", "vgglib.recorder", "vgglib.runner"):  # earlier libraries have it elsewhere
        with suppress(ModuleNotFoundError):
            compiles_tests = import_module(name).compiles_tests
            break
    found = []
    for run in tested:
        protocol, precision = run.protocol, devices.precision(run.experiment.precision, where)
        split = images.rescaled(run.experiment.pixels(protocol.test_scale)).to(where)
        shapes = len(split.sizes.unique(dim=0)) if protocol.method == "dense" else 1
        own = posteriors(
            model,
            split,
            mean_rgb,
            method=protocol.method,
            flip=protocol.flip,
            average=protocol.average,
            precision=precision,
            compiled=compiles_tests(where, precision, testing_macs(run, len(images)) / shapes),
        )
        found.append(own.astype(np.float16))
    return found


def _fusion(contender: str, images: Split, where: torch.device, settings: Settings) -> dict[str, float]:
    """Errors of the mean of nets D and E, each tested densely at three scales, by the row that a table takes: from
    posteriors that are stored, or from posteriors that both nets make again, as fast as ours do.

    Stored posteriors are read from files that have just been written, their digests compared with their records'.
    """
    from vgglib.ensemble import mean_posteriors
    from vgglib.experiments import Entry
    from vgglib.metrics import error_percent

    members = [runs(name, False, settings) for name in ("D", "E")]
    nets, mean_rgb = [net(tested[0], where) for tested in members], drawn(settings).mean_rgb

    def run_again() -> list[np.ndarray]:
        pairs = zip(nets, members, strict=True)
        return [one for model, tested in pairs for one in ours(model, tested, images, mean_rgb, where)]

    def errors() -> list[float]:
        mean = mean_posteriors(run_again())
        return [error_percent(mean, images.labels.numpy(), k) for k in (1, 5)]

    if contender == RUN_AGAIN:
        (top1, _) = errors()  # warms up
        return _timed(errors, images, where, settings) | {"top1_error_percent": top1}
    fused = Entry("6", "D E", "", "", "dense", tuple(run for tested in members for run in tested))
    with tempfile.TemporaryDirectory() as folder:
        store = _stored(Path(folder), fused.runs, run_again(), images)
        (row,) = store.rows([fused]).to_dict("records")
        timed = _timed(lambda: store.rows([fused]), images, where, settings)
    return timed | {"top1_error_percent": row["top1_error_percent"]}


def _stored(folder: Path, tested: Sequence[Run], found: Sequence[np.ndarray], images: Split) -> Store:
    """Records with posteriors, as the runner leaves them, of what a fusion needs to know."""
    from vgglib.experiments import as_dict
    from vgglib.results import FIELDS, SCHEMA, Store

    store = Store(folder)
    for run, posteriors in zip(tested, found, strict=True):
        known = {
            "schema": SCHEMA,
            "run_id": run.run_id,
            "preset": run.preset,
            "status": "done",
            "experiment": as_dict(run.experiment),
            "protocol": as_dict(run.protocol),
            "n_images": len(images),
            "n_classes": CLASSES,
            "history": [],
            "environment": {"evaluation_seconds": 0.0},
        }
        record = {name: known.get(name) for name in FIELDS if name != "digest"}
        store.write(run, record, posteriors, images.labels.numpy().astype(np.int16))
    return store


def runs(name: str, crops: bool, settings: Settings, scales: Sequence[int] = SCALES) -> list[Run]:
    """Tests of a net at each Q of `scales`: dense as in Table 4, or by 50 crops each."""
    from vgglib.experiments import Experiment, Protocol, Run

    # Not from a plan, which reads the paper's tables: an earlier library comes without them.
    width = 1 / 64 if settings.small else 1.0 if settings.device.startswith("cuda") else 1 / 4
    experiment = Experiment(name, seed=0, resolution=1 / 4, width=width)
    method = "multi-crop" if crops else "dense"
    return [Run(PRESET, experiment, Protocol(scale, method)) for scale in scales]


def net(run: Run, where: torch.device) -> VGG:
    """With its first weights, laid out in memory as trained ones are."""
    import torch

    from vgglib import timing

    experiment = run.experiment
    model = timing.net(experiment.net, experiment.width, experiment.crop, CLASSES)
    return model.to(where, memory_format=torch.channels_last)
