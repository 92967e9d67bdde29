"""How cost grows: training over batch, crop, width, depth and threads, dense evaluation over the size of images."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.cases import Case, Settings

TITLE = "How cost grows"
DEPTHS = {"11": "A", "13": "B", "16": "D", "19": "E"}  # nets by their weight layers
CLASSES = 200
SCALES = (224, 256, 288, 320, 352, 384, 416, 448, 480, 512)  # Q in the paper's pixels
BATCH, CROP = 256, 56  # at every point of the axes that are not these

# The points on a CPU (at width 1/4, Q at a quarter of the paper's pixels), on a GPU (at full width and pixels), small.
POINTS = {
    "batch size": {
        "cpu": (16, 32, 64, 128, 256, 512),
        "cuda": (32, 64, 128, 256, 512, 1024, 2048),
        "small": (2, 4),
    },
    "crop, pixels": {"cpu": (32, 56, 112, 224), "cuda": (32, 56, 112, 224), "small": (32, 56)},
    "width": {"cpu": (0.125, 0.25, 0.5, 1), "cuda": (0.125, 0.25, 0.5, 1), "small": (0.015625, 0.03125)},
    "weight layers": {"cpu": (11, 13, 16, 19), "cuda": (11, 13, 16, 19), "small": (11, 13)},
    "Q": {"cpu": SCALES, "cuda": SCALES, "small": (224, 256)},
}
BATCH_OVER_WIDTH = 64  # the widest net takes seconds a step
EVALUATED = {"cpu": 192, "cuda": 512, "small": 2}  # images


def cases(settings: Settings) -> list[Case]:
    """One for each axis; the contenders are its points."""
    how = _how(settings)
    trained = [Case(axis, _texts(POINTS[axis][how]), "images/s", points=True) for axis in POINTS if axis != "Q"]
    threads = [Case("threads", _texts(_threads(settings)), "images/s", points=True)] if how != "cuda" else []
    return [*trained, *threads, Case("Q", _texts(POINTS["Q"][how]), "s per image", more_is_better=False, points=True)]


def prepare(settings: Settings, cases: Sequence[Case]) -> None:
    """Nothing: batches are made where they are timed."""


def measure(case: str, contender: str, settings: Settings) -> dict:
    """One point of an axis, and the multiply-adds of one forward pass on one image there, `macs_per_image`."""
    if case == "Q":
        return _evaluation(int(contender), settings)
    given = {"net": "A", "width": _width(settings), "crop": CROP, "batch": 4 if settings.small else BATCH}
    threads = settings.threads
    if case == "batch size":
        given["batch"] = int(contender)
    elif case == "crop, pixels":  # as many pixels in a batch
        given["crop"] = int(contender)
        given["batch"] = max(1, round(given["batch"] * (CROP / given["crop"]) ** 2))
    elif case == "width":
        given["width"], given["batch"] = float(contender), min(BATCH_OVER_WIDTH, given["batch"])
    elif case == "weight layers":
        given["net"] = DEPTHS[contender]
    else:
        threads = int(contender)
    return _step(**given, threads=threads, device=settings.device)


def _step(net: str, width: float, crop: int, batch: int, threads: int, device: str) -> dict:
    """Forward, backward and update on a batch that is there already."""
    from vgglib import devices, timing
    from vgglib.configs import config
    from vgglib.cost import macs

    where = devices.device(device)
    devices.prepare(threads)
    devices.exact(where)
    model = timing.net(net, width, crop, CLASSES)
    for _ in range(2):  # memory settles during the first steps
        model.train()
        seconds = timing.step_seconds(model, batch, where, devices.precision("auto", where))["training"]
    return {
        "value": batch / seconds,
        "batch_size": batch,
        "macs_per_image": macs(config(net).scaled(width), crop, CLASSES),
    }


def _evaluation(scale: int, settings: Settings) -> dict:
    """Net D on square images at Q = `scale`, densely, image and mirror image."""
    import numpy as np
    import torch

    from vgglib import devices, timing
    from vgglib.configs import config
    from vgglib.cost import macs
    from vgglib.data.imageset import Split
    from vgglib.evaluate import posteriors

    where = devices.device(settings.device)
    devices.prepare(settings.threads)
    devices.exact(where)
    how = _how(settings)
    resolution = 1 if how == "cuda" else 1 / 4
    side, count = round(scale * resolution), EVALUATED[how]
    pixels = np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    split = Split.of(list(pixels), np.zeros(count, int)).to(where)
    model = timing.net("D", _width(settings), round(224 * resolution), CLASSES)
    model.to(where, memory_format=torch.channels_last)
    precision = devices.precision("auto", where)
    seconds = timing.seconds(lambda: posteriors(model, split, split.mean_rgb, precision=precision), where, repeats=3)
    return {"value": seconds / count, "macs_per_image": 2 * macs(config("D").scaled(_width(settings)), side, CLASSES)}


def _how(settings: Settings) -> str:
    return "small" if settings.small else settings.device.partition(":")[0]


def _width(settings: Settings) -> float:
    return {"cpu": 1 / 4, "cuda": 1, "small": 1 / 64}[_how(settings)]


def _threads(settings: Settings) -> list[int]:
    """One, two, four ... and all."""
    return sorted({settings.threads, *(2**k for k in range(10) if 2**k < settings.threads)})


def _texts(points) -> tuple[str, ...]:
    return tuple(f"{point:g}" for point in points)
