"""How nets with published weights are tested, and which error is expected of each of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from vgglib import paper, presets, runner
from vgglib.experiments import Entry, Experiment, Protocol, Run, runs
from vgglib.results import Store
from vgglib.training import distributed
from vgglib.weights import published
from vgglib.weights.published import Source

TABLE = "published"  # of entries: none of the paper's, whose rows are trainings
THREE = "256 384 512"
BOTH = "multi-crop & dense"
# Q and method of the rows of the paper's tables that concern one net, whatever S; Table 6 fuses nets.
PROTOCOLS = {
    "3": (("256", "dense"), ("384", "dense")),
    "4": (("224 256 288", "dense"), (THREE, "dense")),
    "5": ((THREE, "dense"), (THREE, "multi-crop"), (THREE, BOTH)),
}
FUSED = ((THREE, "dense"), (THREE, "multi-crop"), (THREE, BOTH))
CENTRE = ("256", "centre-crop")  # how torchvision tests its own weights: one view, no mirror image
JITTERED = "256-512"  # S of the nets that the authors published
COLUMNS = {
    "net": "Net",
    "start": "Weights",
    "test_scales": "Q",
    "method": "Evaluation",
    "top1": "Top-1",
    "top1_expected": "Expected",
    "top1_difference": "Difference",
    "top5": "Top-5",
    "top5_expected": "Expected",
    "top5_difference": "Difference",
    "whose": "Expected by",
}


def entries(preset_name: str, sources: Sequence[Source], table: str = "all") -> list[Entry]:
    """The numbers of nets with published weights: one crop in the middle, then the protocols of the paper's tables "3"
    to "6", or of "all" of them. Those of Table 6 are of all nets together.

    Raises ValueError for an unknown preset or table, a preset whose images are not of the paper's size, a net that is
    named twice, and for Table 6 of a single net.
    """
    names = ("3", "4", "5", "6") if table == "all" else (table,)
    if not set(names) <= {*PROTOCOLS, "6"}:
        raise ValueError(f"no published net has a row in table {table!r}: choose one of 3, 4, 5, 6, all.")
    if (resolution := presets.named(preset_name).recipe.get("resolution", 1)) != 1:
        raise ValueError(
            f"preset {preset_name} shows images at {resolution:g} of the paper's size, and published nets take crops "
            "of 224 pixels: take preset imagenet."
        )
    nets = [source.experiment for source in sources]
    if not nets:
        raise ValueError("no net is named: write, for example, torchvision:D.")
    if len(set(nets)) != len(nets):
        raise ValueError(f"a net is named twice in {', '.join(map(str, sources))}: name each once.")
    if table == "6" and len(nets) < 2:
        raise ValueError(
            "the rows of Table 6 are of several nets: name at least two, such as torchvision:D,torchvision:E."
        )
    tests = dict.fromkeys((CENTRE, *(test for name in names for test in PROTOCOLS.get(name, ()))))
    found = [_entry(preset_name, [net], *test) for net in nets for test in tests]
    if "6" in names and len(nets) > 1:
        found += [_entry(preset_name, nets, *test) for test in FUSED]
    return found


def _entry(preset_name: str, nets: Sequence[Experiment], test_scales: str, method: str) -> Entry:
    runs = tuple(
        Run(preset_name, net, Protocol.usual(q, how))
        for net in nets
        for how in method.split(" & ")
        for q in test_scales.split()
    )
    return Entry(TABLE, " + ".join(net.net for net in nets), "", test_scales, method, runs)


def evaluate(
    preset_name: str,
    sources: Sequence[Source],
    table: str = "all",
    results: str | Path | None = None,
    **settings,
) -> pd.DataFrame:
    """Make the records of `entries` that do not exist yet, and return `beside` of all of them; of several
    processes that torchrun started the first alone returns any.

    Weights are converted first, once (`published.keep`); `settings` are as in `runner.run`. Raises ValueError or
    OSError as these do.
    """
    plan = entries(preset_name, sources, table)
    runner.check(settings.get("device"), settings.get("jobs"))
    store, classes = Store(results), None
    if settings.get("data_dir") or any(store.read(run) is None for run in runs(plan)):
        # Before half a gigabyte is downloaded: are the images there? They are kept for the run.
        images = runner.load_images(preset_name, settings.get("data_dir"))
        classes = len(images.class_names)
    if distributed.first():  # the others meet it in runner.run before they need the weights
        for source in sources:
            own = [run for run in runs(plan) if run.experiment == source.experiment]
            published.keep(store, own, source, classes)
    rows = runner.run(plan, results=results, **settings)
    return beside(rows) if len(rows) else rows


def beside(rows: pd.DataFrame) -> pd.DataFrame:
    """A line for each row, with the errors expected and the differences (ours - expected) in points; columns as
    `COLUMNS`. rows: as `results.Store.rows` gives them for `entries`.
    """
    found = rows.rename(columns={"top1_error_percent": "top1", "top5_error_percent": "top5"})
    expected = pd.DataFrame(
        [_expected(*key) for key in found[["net", "start", "test_scales", "method"]].itertuples(index=False)],
        columns=["top1_expected", "top5_expected", "whose"],
    )
    found = pd.concat([found, expected], axis=1)
    for k in ("top1", "top5"):
        found[k] = found[k].astype(float)
        found[f"{k}_difference"] = found[k] - found[f"{k}_expected"]
    return found[list(COLUMNS)]


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """`beside` as text: one decimal, "-" where there is no number."""
    text = table.copy().astype(object)
    for column in table.select_dtypes(float):
        form = "{:+.1f}" if column.endswith("difference") else "{:.1f}"
        text[column] = ["-" if pd.isna(value) else form.format(value) for value in table[column]]
    return text.rename(columns=COLUMNS)


def _expected(net: str, start: str, test_scales: str, method: str) -> tuple[float, float, str]:
    """(top-1 error, top-5 error, whose number it is), errors in percent.

    torchvision states the errors of its nets for one crop in the middle. The authors' Caffe models are the paper's nets
    of jittered S. Other numbers of the paper are of another training of the same net: a comparison, no expectation.
    """
    if method == "centre-crop":
        if start != "torchvision":
            return math.nan, math.nan, "nobody"
        top1, top5 = published.accuracy_percent(net)
        return 100 - top1, 100 - top5, "torchvision"
    numbers = _paper(net)
    numbers = numbers[(numbers["test_scales"] == test_scales) & (numbers["method"] == method)]
    if numbers.empty:
        return math.nan, math.nan, "nobody"
    best = numbers.sort_values("train_scale", key=lambda scale: scale != JITTERED, kind="stable").iloc[0]
    whose = f"the paper's Table {best['table']}, S = {best['train_scale']}"
    if start != "caffe" or best["train_scale"] != JITTERED:
        whose += ", another training"
    return best["top1_val"], best["top5_val"], whose


def _paper(net: str) -> pd.DataFrame:
    """The paper's rows of a net, or of D and E fused."""
    if " + " not in net:
        numbers = paper.numbers()
        return numbers[numbers["net"] == net]
    fused = paper.numbers("fusion").assign(test_scales=THREE, train_scale=JITTERED)
    pair = "; ".join(f"{name}/{JITTERED}/{THREE}" for name in sorted(net.split(" + ")))
    return fused[fused["members"] == pair]
