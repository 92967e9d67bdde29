"""What the paper's own setting takes, ILSVRC-2012 at full size: work, time, memory and disk, for the page on it."""

from __future__ import annotations

from pathlib import Path
from statistics import median

import pandas as pd

from vgglib import bench, cost, paper, planner, plans
from vgglib.analysis.speed import Speed
from vgglib.bench import bench_page
from vgglib.configs import DEPTHS, config
from vgglib.experiments import Entry
from vgglib.metrics import interval_percent
from vgglib.results import default_root, read_sealed

PRESET = "imagenet"
SUSTAINED = (10, 50, 200, 400)  # trillions of operations a second, two for a multiply-add
# Devices as they are sold together: trillions of operations a second that one may sustain, and what its link to the
# others carries, in gigabytes a second.
MACHINES = {"slow cards, PCIe": (50, 16), "fast cards, NVLink": (200, 200)}
DEVICES = (1, 4, 8)
MEMORIES = (16, 24, 40, 80)  # gigabytes
ARCHIVES = {"train": 147_897_477_120, "val": 6_744_924_160}  # bytes of the official archives of ILSVRC-2012
INPUT_SCHEMA = 1


def multiply_adds(entries: list[Entry]) -> float:
    """Of the trainings and tests behind some numbers."""
    last = planner.estimate(entries, *planner.ILSVRC, lambda run, kind: 1.0).iloc[-1]
    return 3600 * (last["training_hours"] + last["testing_hours"])


def work() -> pd.DataFrame:
    """Multiply-adds behind each net and behind all tables, and hours at each speed of `SUSTAINED`."""
    planned = {f"net {net}, S = 256": plans.plan(PRESET, "3", [net], [0], ["256"]) for net in DEPTHS}
    planned["everything behind all tables, one seed"] = plans.plan(PRESET, "all", None, [0])
    lines = []
    for name, entries in planned.items():
        macs = multiply_adds(entries)
        hours = {f"Hours at {speed}": f"{_hours(macs, speed):,.0f}" for speed in SUSTAINED}
        lines.append({"For": name, "Multiply-adds, 10^18": f"{macs / 1e18:,.1f}", **hours})
    return pd.DataFrame(lines)


def _hours(macs: float, trillions: float) -> float:
    return 2 * macs / (trillions * 1e12) / 3600


def several_devices(net: str = "D") -> pd.DataFrame:
    """Hours of a net's first stage on several devices, from `MACHINES`: at best and at worst, and device-hours."""
    run, lines = plans.first_stage(PRESET, net), []
    for machine, (trillions, gigabytes) in MACHINES.items():
        for count in DEVICES:
            for gradients, size in (("fp32", 4), ("bf16", 2)):
                if count == 1 and gradients == "bf16":
                    continue
                least, most = planner.divided(
                    run, planner.ILSVRC[0], count, trillions * 1e12 / 2, gigabytes * 1e9, gradient_bytes=size
                )
                lines.append(
                    {
                        "Devices": f"{count}, {machine}",
                        "Gradients sent as": gradients if count > 1 else "-",
                        "Hours": f"{least:,.1f}" if count == 1 else f"{least:,.1f} to {most:,.1f}",
                        "Device-hours, at most": f"{count * most:,.0f}",
                    }
                )
    return pd.DataFrame(lines)


def on_this_device(speed: Speed) -> pd.DataFrame:
    """What `vgg speed` measured at full size, and the days that the first stage of each net would take at that."""
    by_net, lines = speed.nets.set_index("net"), []
    for net in DEPTHS:
        seconds = (
            planner.training_macs(plans.first_stage(PRESET, net), planner.ILSVRC[0]) / by_net.loc[net, "training_macs"]
        )
        lines.append(
            {
                "Net": net,
                "Images a second, training": f"{by_net.loc[net, 'training_images']:,.2f}",
                "Images a second, testing": f"{by_net.loc[net, 'testing_images']:,.2f}",
                "Days for 74 epochs": f"{seconds / 86400:,.1f}",
            }
        )
    return pd.DataFrame(lines)


def on_gpus(records: bench_page.Records) -> pd.DataFrame:
    """What `vgg bench training --device cuda` timed of net D's updates at full size, by device and way to compute them,
    for display; empty where it has not.
    """
    run, lines = plans.first_stage(PRESET, "D"), []
    images = run.experiment.epochs * planner.ILSVRC[0]
    operations = 2 * planner.training_macs(run, planner.ILSVRC[0]) / images
    name = f"{bench_page.STEP}net D, {run.experiment.crop} pixels, width 1"
    for record in records["training"]:
        devices = {case["name"]: case["environment"]["device_name"] for case in record["cases"]}
        first = bench.values(record, "seconds_to_first_step").groupby(["case", "contender"])["value"].median()
        timed = bench.summary(record, name)
        for row in timed.itertuples() if record["device"] == "cuda" else ():
            line = {
                "Device": devices[name],
                "Updates": "replayed as a CUDA graph" if row.contender == bench.OURS else row.contender,
                "Images a second": f"{row.median:,.0f}",
                "Trillion operations a second": f"{operations * row.median / 1e12:,.0f}",
                f"Hours for {run.experiment.epochs} epochs": f"{images / row.median / 3600:,.1f}",
                "Before the first update, s": f"{first[name, row.contender]:,.0f}",
            }
            lines.append(line)
    return pd.DataFrame(lines)


def largest_batches() -> pd.DataFrame:
    """Crops of 224 pixels that fit into a device of each size in `MEMORIES` while a net trains in bf16."""
    lines = []
    for net in DEPTHS:
        parts = cost.memory(config(net), 1).set_index("part")["training"]
        fixed, each = parts.drop("activations").sum(), parts["activations"]
        lines.append({"Net": net, **{f"{size} GB": f"{int((1e9 * size - fixed) // each):,}" for size in MEMORIES}})
    return pd.DataFrame(lines)


def expected() -> pd.DataFrame:
    """The paper's errors of single nets at a single scale (Table 3), and how far 50,000 other images of the same kind
    may lie from them.
    """
    rows = paper.numbers()
    lines = []
    for row in rows[rows["table"].astype(str) == "3"].itertuples():
        low, high = interval_percent(row.top1_val, planner.ILSVRC[1])
        lines.append(
            {
                "Net": row.net,
                "S": row.train_scale,
                "Q": row.test_scales,
                "Top-1 error": f"{row.top1_val:.1f}",
                "Its interval from 50,000 images": f"{low:.1f} to {high:.1f}",
                "Top-5 error": f"{row.top5_val:.1f}",
            }
        )
    return pd.DataFrame(lines)


def input_speed(root: Path | None = None) -> dict | None:
    """What `benchmarks/input.py` has measured, None where it has not; ValueError for a record that was altered."""
    path = (root or default_root()) / PRESET / "input.json"
    return read_sealed(path, INPUT_SCHEMA, "measure with benchmarks/input.py")


def input_shown(record: dict) -> pd.DataFrame:
    """Median images a second of decoding alone and of training input, and their ratio."""
    lines = []
    for name, values in record["images_per_second"].items():
        share = record["share_of_decoding"].get(name)
        lines.append(
            {
                "What": "decoding alone" if share is None else f"training input, {name}",
                "Images a second": f"{median(values):,.0f}",
                "From": f"{min(values):,.0f}",
                "To": f"{max(values):,.0f}",
                "Of decoding alone": "" if share is None else f"{100 * share:.0f} %",
            }
        )
    return pd.DataFrame(lines)


def flatness_percent(record: dict) -> float:
    """The memory of an epoch's last quarter over that of its second, less one, where it grew most, in percent."""
    return max(100 * (last / second - 1) for _, second, _, last in record["memory_bytes_by_quarter"])
