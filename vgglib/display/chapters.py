"""What the chapters on architecture and cost show: tables for readers, made from counts and measurements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from difflib import SequenceMatcher

import pandas as pd

from vgglib import catalogue, cost, paper
from vgglib.analysis.speed import Speed
from vgglib.claims import OVERFEAT_MILLIONS
from vgglib.configs import TABLE_1, Config, Layer, config
from vgglib.receptive_field import IMAGE

# The net that each column of Table 1 is compared with: its left neighbour, and B for the shallow net of Sect. 4.1.
BEFORE = {"A-LRN": "A", "B": "A", "C": "B", "D": "C", "E": "D", "B-5x5": "B"}


def table_1(nets: Sequence[str] = tuple(TABLE_1), num_classes: int = 1000) -> pd.DataFrame:
    """Table 1 with a column per net; its cells are HTML, and bold is what the net in `BEFORE` does not have."""
    rows = {"Weight layers": [str(config(net).weight_layers) for net in nets]}
    for block in range(5):
        rows[f"Block {block + 1}"] = [_marked(net, block) for net in nets]
    head = (*config(nets[0]).fully_connected, num_classes)
    rows["Head"] = [", ".join(f"FC-{width}" for width in head)] * len(nets)
    return pd.DataFrame.from_dict(rows, orient="index", columns=list(nets)).rename_axis("Part").reset_index()


def _marked(net: str, block: int) -> str:
    layers = TABLE_1[net][block].split()
    before = TABLE_1[BEFORE[net]][block].split() if net in BEFORE else layers
    same = {
        j
        for _, j, size in SequenceMatcher(None, before, layers, False).get_matching_blocks()
        for j in range(j, j + size)
    }
    return "<br>".join(
        [layer if j in same else f"<strong>{layer}</strong>" for j, layer in enumerate(layers)] + ["maxpool"]
    )


def parameters(nets: Sequence[str] = tuple(TABLE_1), num_classes: int = 1000) -> pd.DataFrame:
    """Table 2: exact weights and biases of each net, by block, beside the paper's millions.

    Columns `net`, `block 1` to `block 5`, `head`, `total`, `head_percent`, `paper_millions` (None where the paper has
    none).
    """
    theirs = paper.numbers("parameters").set_index("net")["parameters_millions"]
    lines = []
    for net in nets:
        found = cost.layers(config(net), num_classes=num_classes).groupby("block", sort=False)["parameters"].sum()
        blocks = {("head" if block == "head" else f"block {block}"): count for block, count in found.items()}
        total = int(found.sum())
        share = 100 * blocks["head"] / total
        lines.append({"net": net, **blocks, "total": total, "head_percent": share, "paper_millions": theirs.get(net)})
    return pd.DataFrame(lines)


def merged(net: Config) -> Config:
    """The same net with the convolutions of each block replaced by a single one that sees as much (Sect. 2.3): the
    shallow counterpart. Of B it is B-5x5.
    """
    blocks = []
    for number, block in enumerate(net.blocks, start=1):
        field = IMAGE
        for layer in block[:-1]:
            field = field.through(layer)
        single = Layer(f"conv{number}_1", "conv", block[-1].channels, field.size, padding=field.size // 2)
        blocks.append((single, block[-1]))
    return replace(net, name=f"{net.name}, merged", blocks=tuple(blocks))


def shallow_counterparts(nets: Sequence[str] = ("B", "D", "E")) -> pd.DataFrame:
    """Nets against their `merged` counterparts: `net`, `kernels` of the counterpart, and of both the `convolutions`'
    parameters and the multiply-adds at 224 pixels, deep and `shallow_`.
    """
    lines = []
    for net in nets:
        deep, shallow = config(net), merged(config(net))
        counts = {}
        for prefix, which in (("", deep), ("shallow_", shallow)):
            table = cost.layers(which)
            counts[f"{prefix}parameters"] = int(table.loc[table["kind"] == "conv", "parameters"].sum())
            counts[f"{prefix}macs"] = int(table["macs"].sum())
        kernels = [layer.kernel for layer in shallow.layers if layer.kind == "conv"]
        lines.append({"net": net, "kernels": ", ".join(f"{kernel}x{kernel}" for kernel in kernels), **counts})
    return pd.DataFrame(lines)


def parameters_shown(table: pd.DataFrame) -> pd.DataFrame:
    """`parameters` with the heads and separators a reader expects."""
    counts = [column for column in table if column.startswith("block") or column in ("head", "total")]
    text = {"Net": table["net"], **{column.capitalize(): [f"{n:,}" for n in table[column]] for column in counts}}
    text["Head, %"] = [f"{share:.0f}" for share in table["head_percent"]]
    text["Millions, paper"] = ["-" if pd.isna(n) else f"{n:.0f}" for n in table["paper_millions"]]
    return pd.DataFrame(text)


def layers_shown(table: pd.DataFrame) -> pd.DataFrame:
    """`cost.layers` for readers: multiply-adds and activations in millions, with each layer's share of the whole."""
    macs, kept = table["macs"].sum(), table["activations"].sum()
    return pd.DataFrame(
        {
            "Layer": table["layer"],
            "Output": [f"{c} x {s} x {s}" for c, s in zip(table["channels"], table["side"], strict=True)],
            "Parameters": [f"{n:,}" for n in table["parameters"]],
            "Multiply-adds, millions": [f"{n / 1e6:,.1f}" for n in table["macs"]],
            "of all, %": [f"{100 * n / macs:.1f}" for n in table["macs"]],
            "Activations, millions": [f"{n / 1e6:.2f}" for n in table["activations"]],
            "of all activations, %": [f"{100 * n / kept:.1f}" for n in table["activations"]],
        }
    )


def memory_shown(nets: Sequence[str], batch_size: int, image_size: int = 224) -> pd.DataFrame:
    """`cost.memory` of several nets in bf16, a line each, in gigabytes (10^9 bytes); weights with their copies."""
    lines = []
    for net in nets:
        table = cost.memory(config(net), batch_size, image_size).set_index("part") / 1e9
        state = table.loc[["weights", "copies", "gradients", "momentum"], "training"].sum()
        kept, passing = table.loc["activations"]
        lines.append((net, state, kept, state + kept, table.loc[["weights", "copies"], "testing"].sum(), passing))
    heads = ["Net", "Weights, gradients, momentum", "Kept activations", "Training", "Weights", "Passing activations"]
    frame = pd.DataFrame(lines, columns=heads)
    return frame.assign(**{head: [f"{value:.2f}" for value in frame[head]] for head in heads[1:]})


def overfeat_sentence() -> str:
    """Sect. 2.2's comparison with a shallower net with wider layers, in a sentence; its weights are for 1000 classes,
    so ours are, too.
    """
    least, most = (cost.parameters(config(net), num_classes=1000) / 1e6 for net in ("A", "E"))
    return (
        f"Nets A to E have {least:.1f} to {most:.1f} million weights and biases with ImageNet's 1000 classes. The "
        f"paper compares them with the {OVERFEAT_MILLIONS} million weights of a shallower net with wider layers."
    )


def times_shown(times: pd.DataFrame) -> pd.DataFrame:
    """`timing.layer_times` summed by kind of layer: milliseconds an image, share of the time, operations a second."""
    lines = []
    for kind, group in times[times["kind"] != "lrn"].groupby("kind", sort=False):
        took, operations = group["seconds_per_image"].sum(), group["operations"].sum()
        share = 100 * took / times["seconds_per_image"].sum()
        rate = f"{operations / took / 1e9:.1f}"
        lines.append((kind, len(group), f"{1000 * took:.3f}", f"{share:.0f}", f"{operations / 1e6:.1f}", rate))
    heads = ["Kind", "Layers", "ms an image", "of the time, %", "Million operations", "Billion operations a second"]
    return pd.DataFrame(lines, columns=heads)


def measured_on(speed: Speed) -> str:
    """How a speed was measured, for captions."""
    on = speed.environment
    return f"{speed.precision}, {speed.batch_size} at a time, on {on['device_name']}, {on['threads']} thread(s)"


def speeds_shown(speeds: pd.DataFrame, peaks: dict[str, float]) -> pd.DataFrame:
    """`timing.speeds` for readers, with the share of the machine's measured peak."""
    text = {"Net": speeds["net"]}
    for kind in ("training", "testing"):
        text[f"{kind.capitalize()}, images a second"] = [f"{rate:,.0f}" for rate in speeds[f"{kind}_images"]]
        shares = 100 * speeds[f"{kind}_macs"] / peaks["macs_per_second"]
        text[f"{kind}, % of peak"] = [f"{share:.0f}" for share in shares]
    return pd.DataFrame(text)


def estimate_shown(estimate: pd.DataFrame) -> pd.DataFrame:
    """`planner.estimate` for readers."""
    briefs = {name: table.brief or f"Table {name}" for name, table in catalogue.TABLES.items()}
    names = [briefs.get(name, name) for name in estimate["table"]]
    energy = ["-" if pd.isna(kwh) else _decimals(kwh) for kwh in estimate["kwh"]]
    hours = {kind: [_decimals(value) for value in estimate[f"{kind}_hours"]] for kind in ("training", "testing")}
    return pd.DataFrame(
        {
            "For": names,
            "Trainings": estimate["trainings"],
            "Tests": estimate["tests"],
            "Training, hours": hours["training"],
            "Testing, hours": hours["testing"],
            "Energy, kWh": energy,
        }
    )


def _decimals(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}"
