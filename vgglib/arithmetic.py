"""What the arithmetic of products does to errors: trainings that were done in bf16 beside the same ones in fp32."""

from __future__ import annotations

import math
from dataclasses import replace

import pandas as pd

from vgglib.configs import TABLE_1
from vgglib.evidence import experiment_of
from vgglib.experiments import Experiment, Protocol, as_dict
from vgglib.results import Store
from vgglib.statistics import EQUIVALENCE_POINTS, LEVEL, equivalence_p, lower
from vgglib.tables import mean_interval

BOTH = ["bf16", "fp32"]
ALL = "mean of the nets"
BETWEEN, WITHIN = "Between seeds", "Within pairs"


def pairs(store: Store, preset: str) -> pd.DataFrame:
    """The trainings of a preset that were done in both, a line each: `net`, `train_scale`, `seed`, and the top-1 errors
    `bf16` and `fp32` in percent, dense at Q = S.

    Two trainings are the same if nothing but their precision differs, that of the net they start from included; which
    it was is what the record says of the machine. Raises ValueError for a record that was altered.
    """
    found: dict[Experiment, dict[str, float]] = {}
    for record in store.records(preset):
        experiment = experiment_of(record["experiment"])
        asked = as_dict(Protocol(experiment.test_scale))
        if record["status"] == "done" and not experiment.weights and record["protocol"] == asked:
            errors = found.setdefault(_in_any(experiment), {})
            errors[record["environment"]["precision"]] = record["top1_error_percent"]
    lines = [
        {"net": one.net, "train_scale": one.scale_text, "start": one.start_text, "seed": one.seed, **errors}
        for one, errors in found.items()
        if set(BOTH) <= set(errors)
    ]
    lines = pd.DataFrame(lines, columns=["net", "train_scale", "start", "seed", *BOTH])
    return lines.sort_values(["net", "seed"], key=lambda column: column.map(_place), ignore_index=True)


def differences(found: pd.DataFrame) -> pd.Series:
    """bf16 - fp32 in points, by seed: the mean over the nets, of the seeds of which every net in `found` was done in
    both.
    """
    each = found.assign(difference=found["bf16"] - found["fp32"]).pivot(
        index="seed", columns=["net", "train_scale", "start"], values="difference"
    )
    return each.dropna().mean(axis=1)


def summary(found: pd.DataFrame) -> pd.DataFrame:
    """For display, a line per net of `pairs` with two seeds or more, and one for all of them together.

    The difference has Student's t interval over seeds. "Between seeds" is the standard deviation of the errors of one
    arithmetic, pooled over the two; "within pairs" that of two errors of one seed: where the two are alike, another
    arithmetic is as good as another seed.
    """
    lines = []
    for (net, scale, _), own in found.groupby(["net", "train_scale", "start"], sort=False):
        if len(own) > 1:
            seeds = math.sqrt(own[BOTH].var(ddof=1).mean())
            within = math.sqrt(((own["bf16"] - own["fp32"]) ** 2).mean() / 2)
            lines.append(_line(net, scale, own, differences(own)) | {BETWEEN: f"{seeds:.2f}", WITHIN: f"{within:.2f}"})
    together = differences(found)
    if len(lines) > 1 and len(together) > 1:
        whole = found[found["seed"].isin(together.index)]
        lines.append(_line(ALL, "", whole, together) | {BETWEEN: "", WITHIN: ""})
    return pd.DataFrame(lines)


def _line(net: str, scale: str, found: pd.DataFrame, differences: pd.Series) -> dict[str, str]:
    low, high = mean_interval(differences)
    return {
        "Net": net,
        "S": scale,
        "Seeds": str(len(differences)),
        **{f"Error in {name}": f"{found[name].mean():.2f}" for name in BOTH},
        "bf16 - fp32": f"{differences.mean():+.2f}",
        "from": f"{low:+.2f}",
        "to": f"{high:+.2f}",
    }


def finding(found: pd.DataFrame) -> str:
    """What the differences over all nets show, as the end of a sentence; "undecided" where they show nothing."""
    over_seeds = differences(found).to_numpy()
    if len(over_seeds) < 2:
        return "undecided, since there are fewer than two seeds in both"
    if equivalence_p(over_seeds) < LEVEL:
        return f"the same in both, within {EQUIVALENCE_POINTS} points"
    shown = {"reproduced": "lower in bf16", "opposite": "higher in bf16"}
    undecided = f"undecided: neither a difference nor its absence (within {EQUIVALENCE_POINTS} points) is shown"
    return shown.get(lower(over_seeds).verdict, undecided)


def _in_any(experiment: Experiment) -> Experiment:
    start = experiment.start and _in_any(experiment.start)
    return replace(experiment, precision="auto", start=start)


def _place(value: str | int) -> int:
    return list(TABLE_1).index(value) if value in TABLE_1 else value
