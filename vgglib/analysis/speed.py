"""What `timing` measures for a preset's nets, kept as a record, so that a page shows it without measuring again."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from vgglib import arithmetic, plans, presets
from vgglib.results import default_root, read_sealed, write_sealed

SCHEMA = 1
LAYERS_OF = "D"  # the net that is timed layer by layer


@dataclass(frozen=True)
class Speed:
    """The speed of one machine with one preset's nets."""

    preset: str
    batch_size: int
    precision: str  # bf16 or fp32, as `arithmetic.name`
    environment: dict  # as `devices.describe` and `provenance.commit`, and when it was measured
    peaks: dict[str, float]  # as `timing.peaks`
    layers: pd.DataFrame  # as `timing.layer_times`, of net D
    nets: pd.DataFrame  # as `timing.speeds`


def of(preset: str, batch_size: int, device: str | None = None, measured_now: bool = False) -> Speed:
    """The preset's record, or with `measured_now`, and where there is none, a measurement: it takes seconds for the
    demo, and on a CPU many minutes for nets of full size.

    Raises ValueError for a record that cannot be read, and as `measure`.
    """
    found = None if measured_now else kept(preset)
    return found or measure(preset, batch_size, device)


def kept(preset: str) -> Speed | None:
    """The preset's record, None where there is none; ValueError as `of`."""
    fields = ("schema", *Speed.__dataclass_fields__, "digest")
    path = _path(presets.named(preset).name)
    record = read_sealed(path, SCHEMA, "measure again with `vgg speed`", fields)
    if record is None:
        return None
    speed = Speed(**{name: record[name] for name in Speed.__dataclass_fields__})
    return replace(speed, layers=pd.DataFrame(speed.layers), nets=pd.DataFrame(speed.nets))


def measure(preset: str, batch_size: int, device: str | None = None) -> Speed:
    """Time a preset's nets here and now, on batches of `batch_size` crops.

    Raises ValueError for an unknown preset or device, and for batches of no images or that there is no memory for.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}: it must be at least 1.")
    from vgglib import devices, provenance, timing  # measuring needs torch, reading a record does not

    where = devices.device(device)
    devices.exact(where)  # as the runner
    precision = devices.precision("auto", where)
    recipe = plans.first_stage(preset, LAYERS_OF).experiment
    model = timing.net(LAYERS_OF, recipe.width, recipe.crop)
    peaks = timing.peaks(where, precision)
    with devices.enough_memory(f"a batch of {batch_size}", "pass a smaller --batch-size (batch_size in a notebook)"):
        layers = timing.layer_times(model, batch_size, where, precision)
        nets = timing.speeds(preset, batch_size, where, precision)
    return Speed(
        preset=preset,
        batch_size=batch_size,
        precision=arithmetic.name(precision, devices.units(precision, where)),
        environment=devices.describe(where)
        | provenance.commit()
        | {"measured_utc": datetime.now(UTC).isoformat(timespec="seconds")},
        peaks=peaks,
        layers=layers,
        nets=nets,
    )


def keep(speed: Speed, root: Path | None = None) -> Path:
    """Write the record of a preset, in the place of an earlier one; returns its path."""
    path = _path(speed.preset, root)
    frames = {name: getattr(speed, name).to_dict("records") for name in ("layers", "nets")}
    write_sealed(path, {"schema": SCHEMA, **asdict(replace(speed, **frames))})
    return path


def _path(preset: str, root: Path | None = None) -> Path:
    return (root or default_root()) / preset / "speed.json"
