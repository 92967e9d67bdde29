"""What crops change where dense evaluation tests the same net at the same Q, and whether depth pays on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from vgglib.answered import Reading
from vgglib.experiments import Protocol, runs
from vgglib.metrics import mean_text
from vgglib.plans import plan
from vgglib.results import Store
from vgglib.statistics import mcnemar_p, probability_text

BASE = "A"  # the net that deeper ones are compared with
WAYS = {"dense": "tested densely", "crops": "tested on crops"}


def rows(store: Store, preset: str) -> pd.DataFrame:
    """A line for every test on crops of the nets of Tables 3 and 5 that was also made densely.

    Columns: `net`, `train_scale` (S), `test_scale` (Q), `seed`, `dense` and `crops` (top-1 errors in percent), and
    `dense_wrong` and `crops_wrong`, (images,) bool. Raises ValueError for an unknown preset and for an altered record.
    """
    planned = runs(plan(preset, "crops,5", seeds=store.seeds(preset) or None))
    tests = [run for run in planned if run.protocol.method == "multi-crop"]
    both = [(replace(run, protocol=Protocol.usual(run.protocol.test_scale, "dense")), run) for run in tests]
    reading, lines = Reading(store, [run for pair in both for run in pair]), []
    for pair in both:
        if reading.done(pair):
            run, own = pair[0], [reading.answered([each], f"the tests of {each.experiment.name}") for each in pair]
            errors, missed = ([getattr(one, name) for one in own] for name in ("top1_error_percent", "missed"))
            what = run.experiment.net, run.experiment.scale_text, run.protocol.test_scale, run.experiment.seed
            lines.append((*what, *errors, *missed))
    columns = ["net", "train_scale", "test_scale", "seed", *WAYS, *(f"{way}_wrong" for way in WAYS)]
    return pd.DataFrame(lines, columns=columns).sort_values(columns[:4], kind="stable", ignore_index=True)


def summary(found: pd.DataFrame) -> pd.DataFrame:
    """For display, a line for each net, S and Q of `rows`: mean top-1 errors in percent, the second less the first in
    points with its 95 % interval over seeds, and McNemar's p of the two tests of each seed.
    """
    lines = []
    for (net, train_scale, test_scale), own in found.groupby(["net", "train_scale", "test_scale"], sort=False):
        p_values = [mcnemar_p(row.crops_wrong, row.dense_wrong) for row in own.itertuples()]
        lines.append(
            {"Net": net, "S": train_scale, "Q": str(test_scale), "Seeds": str(len(own))}
            | {"Dense": f"{own['dense'].mean():.1f}", "Crops": f"{own['crops'].mean():.1f}"}
            | {"Crops - dense": _points(own["crops"] - own["dense"]), "McNemar's p": _listed(p_values)}
        )
    return pd.DataFrame(lines)


def depth(found: pd.DataFrame) -> pd.DataFrame:
    """For display, what each net of `rows` at S = Q = 256 errs more than A of the same seed, in points, by way to test,
    with McNemar's p of the two nets of each seed: a line per net that shares a seed with A.
    """
    lines = []
    for net, (own, base) in _beside_base(found).items():
        line = {"Nets": f"{net} - {BASE}", "Seeds": str(len(own))}
        for way, how in WAYS.items():
            pairs = zip(own[f"{way}_wrong"], base[f"{way}_wrong"], strict=True)
            line |= {how.capitalize(): _points(own[way] - base[way])}
            line |= {f"McNemar's p, {way}": _listed([mcnemar_p(*pair) for pair in pairs])}
        lines.append(line)
    return pd.DataFrame(lines)


def _beside_base(found: pd.DataFrame) -> dict[str, tuple[pd.DataFrame, pd.DataFrame]]:
    """Lines at S = Q = 256 of each other net and of A, both by the seeds that they share, where there are any."""
    first = found[(found["train_scale"] == "256") & (found["test_scale"] == 256)].set_index("seed")
    nets = {net: own for net, own in first.groupby("net")}
    base = nets.pop(BASE, first.iloc[:0])
    shared = {net: own.index.intersection(base.index) for net, own in nets.items()}
    return {net: (nets[net].loc[seeds], base.loc[seeds]) for net, seeds in shared.items() if len(seeds)}


def _points(values: pd.Series) -> str:
    return mean_text(values.mean(), values, "+.1f")


def _listed(p_values: Sequence[float]) -> str:
    return ", ".join(map(probability_text, p_values))
