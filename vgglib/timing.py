"""How fast this machine is: its peaks, and a net layer by layer. What else the machine does at the time counts, too."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from itertools import repeat
from statistics import median

import pandas as pd
import torch

from vgglib import devices
from vgglib.augment import Draws
from vgglib.configs import TABLE_1
from vgglib.cost import BYTES, TRAINING_PASSES, counts
from vgglib.models import VGG, initialise
from vgglib.planner import crop_macs
from vgglib.plans import first_stage
from vgglib.training.distributed import ALONE
from vgglib.training.updates import WARM_UP, Updates

REPEATS = 5
# Side of the square matrices of the peak, and values of the copied tensor: large enough to leave the caches.
MATRIX = {"cpu": 2048, "cuda": 8192}
COPY = {"cpu": 1 << 26, "cuda": 1 << 29}


def seconds(work: Callable[[], object], where: torch.device, repeats: int = REPEATS) -> float:
    """Median wall-clock seconds of `work`, after a call that warms up; a GPU is waited for."""

    def once() -> float:
        begun = time.perf_counter()
        work()
        if where.type == "cuda":
            torch.cuda.synchronize(where)
        return time.perf_counter() - begun

    once()
    return median(once() for _ in range(repeats))


@torch.inference_mode()
def matrix_peak(where: torch.device, precision: str, repeats: int = REPEATS, side: int | None = None) -> float:
    """Multiply-adds a second of a large matrix product on the units that `precision`, "bf16" or "fp32", has there.

    side: of the square matrices, by default `MATRIX`. The caller's random numbers go on as if nothing had been drawn.
    """
    dtype = torch.bfloat16 if devices.units(precision, where) == "bf16" else torch.float32
    side, draws = side or MATRIX[where.type], torch.Generator(where).manual_seed(0)
    a, b = (torch.randn(side, side, device=where, generator=draws).to(dtype) for _ in range(2))
    return side**3 / seconds(lambda: a @ b, where, repeats)


@cache
def peak_once(where: torch.device, precision: str, threads: int) -> float:
    """`matrix_peak` with the `threads` that are set, measured at the first call of this process and in little time."""
    return matrix_peak(where, precision, repeats=3, side=MATRIX[where.type] // 2)


@torch.inference_mode()
def peaks(where: torch.device, precision: str) -> dict[str, float]:
    """What the machine reaches at best: `macs_per_second` as `matrix_peak`, `bytes_per_second` read and written by a
    copy.
    """
    source = torch.ones(COPY[where.type], dtype=torch.uint8, device=where)
    target = torch.empty_like(source)
    return {
        "macs_per_second": matrix_peak(where, precision),
        "bytes_per_second": 2 * source.numel() / seconds(lambda: target.copy_(source), where),
    }


@torch.no_grad()  # as `evaluate`
def layer_times(model: VGG, batch_size: int, where: torch.device, precision: str) -> pd.DataFrame:
    """Every convolution, pool and fully connected layer timed by itself on a batch of random crops, rectifications with
    the layer they belong to.

    Columns `layer`, `kind`, `seconds_per_image`, `operations` (an image: two for a multiply-add, one for a comparison)
    and `bytes` (an image: input, output and the layer's share of weights), all measured or counted on the model's crop.
    """
    model = model.to(where, memory_format=torch.channels_last).eval()
    x = torch.randn(batch_size, 3, model.input_size, model.input_size, device=where) * 60
    x = x.contiguous(memory_format=torch.channels_last)
    found: dict[str, float] = {}
    with devices.autocast(precision, where):
        for name, module in model.features.named_children():
            owner = name.replace("relu", "conv")
            # Rectifications work in place: twice is the same as once.
            found[owner] = found.get(owner, 0.0) + seconds(lambda m=module, x=x: m(x), where)
            x = module(x)
        x = x.flatten(1)
        for name, layer in model.head.items():
            found[name] = seconds(lambda m=layer, x=x: m(x), where)
            x = layer(x)
    classes = model.head["fc8"].out_features
    lines = []
    for count in counts(model.config, model.input_size, classes):
        layer = count.layer
        comparisons = count.outputs * (layer.kernel**2 - 1) if layer.kind == "pool" else 0
        values = count.inputs + count.outputs + (count.weights + count.biases) / batch_size
        lines.append(
            {
                "layer": layer.name,
                "kind": layer.kind,
                "seconds_per_image": found[layer.name] / batch_size,
                "operations": 2 * count.macs + comparisons,
                "bytes": values * BYTES[devices.units(precision, where)],
            }
        )
    return pd.DataFrame(lines)


def step_seconds(
    model: VGG, batch_size: int, where: torch.device, precision: str, captures: bool = True, compiled: bool = False
) -> dict[str, float]:
    """Seconds of a step on a batch of random crops: "training" (forward, backward, update) and "testing" (forward).

    The update is the one that trains (`updates.Updates`); `captures` and `compiled` as there. Tests cast their weights
    once, as those of a whole split do.
    """
    model = model.to(where, memory_format=torch.channels_last).train()
    classes, size = model.head["fc8"].out_features, model.input_size
    pixels = torch.randint(256, (batch_size, size, size, 3), dtype=torch.uint8, device=where).permute(0, 3, 1, 2)
    index = torch.arange(batch_size)
    # The crops are cut already: of how they were drawn, an update needs which images they are of, and the shift.
    drawn = Draws(index, index, index, index, torch.zeros(batch_size, 3), None).to(where)
    updates = Updates(
        model=model,
        optimiser=torch.optim.SGD(model.parameters(), 1e-4, 0.9, weight_decay=5e-4, fused=True),
        labels=torch.randint(classes, (batch_size,), device=where),
        mean_rgb=torch.full((3,), 127.5),
        precision=precision,
        division=ALONE,
        batch=batch_size,
        captures=captures,
        compiled=compiled,
    )
    with torch.random.fork_rng([where] if where.type == "cuda" else []):
        for _ in range(WARM_UP):
            updates(repeat((drawn, pixels)), seed=0)
        training = seconds(lambda: updates(repeat((drawn, pixels)), seed=0), where)
    x = pixels - updates.mean_rgb[:, None, None]
    model.eval()
    with torch.no_grad(), devices.autocast(precision, where):  # as `evaluate`
        return {"training": training, "testing": seconds(lambda: model(x), where)}


def net(name: str, width: float, input_size: int, num_classes: int = 1000) -> VGG:
    """A net with first weights, to be timed."""
    return initialise(VGG(name, num_classes, width, input_size), "he-fan-out", seed=0)


def speeds(preset: str, batch_size: int, where: torch.device, precision: str) -> pd.DataFrame:
    """Every net of Table 1 timed at a preset's width and crop, as `step_seconds` does it.

    Columns `net`, and for "training" and "testing" the images a second and the multiply-adds a second that they make,
    `<kind>_images` and `<kind>_macs`.
    """
    lines = []
    for name in TABLE_1:
        experiment = first_stage(preset, name).experiment
        model = net(name, experiment.width, experiment.crop)
        line = {"net": name}
        for kind, taken in step_seconds(model, batch_size, where, precision).items():
            images = batch_size / taken
            passes = TRAINING_PASSES if kind == "training" else 1
            line |= {f"{kind}_images": images, f"{kind}_macs": images * passes * crop_macs(experiment)}
        lines.append(line)
    return pd.DataFrame(lines)
