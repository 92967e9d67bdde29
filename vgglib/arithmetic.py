"""What the arithmetic of products does to errors: trainings that were done in bf16 beside the same ones in fp32."""

from __future__ import annotations

import math

import pandas as pd

from vgglib.experiments import COMPILED, runs
from vgglib.metrics import interval_text
from vgglib.plans import plan
from vgglib.results import Store
from vgglib.statistics import EQUIVALENCE_POINTS, LEVEL, equivalence_p, lower

BOTH = ["bf16", "fp32"]
ROUNDED_ELSEWHERE = ("bf16_gradients", "updates_compiled")  # what a record says of trainings that round otherwise
ALL = "mean of the nets"


def name(precision: str, units: str | None = None) -> str:
    """A precision, and the units that computed it where those have another, for display."""
    return precision if units in (None, precision) else f"{precision} on {units} units"


def trained_on(environment: dict) -> tuple[str, str]:
    """Precision and kind of device of a record's training; the rest of its environment is that of the test, which may
    have been made elsewhere. Earlier records, whose tests were not, do not name it.
    """
    known = environment.get("trained_in") or f"{environment['precision']} on {environment['device']}"
    precision, _, device = known.split(",")[0].partition(" on ")
    return precision, device


def tested_elsewhere(environment: dict) -> bool:
    """Whether a net was trained in another precision, or on another kind of device, than its record's test was made."""
    return trained_on(environment) != (environment["precision"], environment["device"])


def of(environment: dict) -> str:
    """The arithmetic of a record's training, for display."""
    compiled = COMPILED if environment.get("updates_compiled") else ""
    units = None if tested_elsewhere(environment) else environment.get("units")
    return name(trained_on(environment)[0], units) + compiled


def pairs(store: Store, preset: str) -> pd.DataFrame:
    """The trainings of a preset's recipe at S = 256 that were done in both, on one kind of device: a line each, with
    `net`, `seed`, the top-1 errors `bf16` and `fp32` in percent, dense at Q = S, and `same_images`, whether the records
    have the same digest of the images: earlier, pictures that were drawn on another processor differed in rounding.

    Whichever precision was asked for, the record says which it was. Trainings on several devices that rounded their
    gradients, those whose updates were compiled, and nets of which a single seed was done in both, are left out. Raises
    ValueError for a record that was altered.
    """
    found: dict[tuple, dict[str, dict]] = {}
    seeds = store.seeds(preset)
    for asked in ("auto", *BOTH) if seeds else ():
        for run in runs(plan(preset, "3", seeds=seeds, train_scales=["256"], precision=asked)):
            record = store.read(run)
            if record is None or record["status"] != "done":
                continue
            if any(record["environment"].get(key) for key in ROUNDED_ELSEWHERE):
                continue
            precision, device = trained_on(record["environment"])
            found.setdefault((run.experiment.net, run.experiment.seed, device), {}).setdefault(precision, record)
    lines = [
        {
            **{"net": net, "seed": seed},
            **{precision: record["top1_error_percent"] for precision, record in own.items()},
            "same_images": len({record["environment"]["data_sha256"] for record in own.values()}) == 1,
        }
        for (net, seed, _), own in found.items()
        if len(own) == 2
    ]
    lines = pd.DataFrame(lines, columns=["net", "seed", *BOTH, "same_images"])
    return lines[lines["net"].duplicated(keep=False)].reset_index(drop=True)


def differences(found: pd.DataFrame) -> pd.Series:
    """bf16 - fp32 in points, by seed: the mean over the nets, of the seeds of which every net in `found` was done in
    both.
    """
    each = found.assign(difference=found["bf16"] - found["fp32"]).pivot(
        index="seed", columns="net", values="difference"
    )
    return each.dropna().mean(axis=1)


def summary(found: pd.DataFrame) -> pd.DataFrame:
    """For display, a line for each net of `pairs`, and one for all of them together.

    The difference has Student's t interval over seeds. "Between seeds" is the standard deviation of the errors of one
    arithmetic, pooled over the two; "within pairs" that of two errors of one seed: where the two are alike, another
    arithmetic is as good as another seed.
    """
    lines = []
    for net, own in found.groupby("net", sort=False):
        seeds = math.sqrt(own[BOTH].var(ddof=1).mean())
        within = math.sqrt(((own["bf16"] - own["fp32"]) ** 2).mean() / 2)
        lines.append(_line(net, own, f"{seeds:.2f}", f"{within:.2f}"))
    whole = found[found["seed"].isin(differences(found).index)]
    if len(lines) > 1 and whole["seed"].nunique() > 1:
        lines.append(_line(ALL, whole))
    return pd.DataFrame(lines)


def _line(name: str, found: pd.DataFrame, between: str = "", within: str = "") -> dict[str, str]:
    over_seeds = differences(found)
    return {
        "Net": name,
        "Seeds": str(len(over_seeds)),
        **{f"Error in {each}": f"{found[each].mean():.2f}" for each in BOTH},
        "bf16 - fp32": f"{over_seeds.mean():+.2f}",
        "95 % interval": interval_text(over_seeds, "+.2f"),
        "Between seeds": between,
        "Within pairs": within,
    }


def finding(found: pd.DataFrame) -> str:
    """What the differences over all nets show, as the end of a sentence; "undecided" where they show nothing."""
    over_seeds = differences(found).to_numpy()
    if len(over_seeds) < 2:
        return "undecided, since fewer than two seeds of every net were done in both"
    if equivalence_p(over_seeds) < LEVEL:
        return f"the same in both, within {EQUIVALENCE_POINTS} points"
    shown = {"reproduced": "lower in bf16", "opposite": "higher in bf16"}
    undecided = f"undecided: neither a difference nor its absence (within {EQUIVALENCE_POINTS} points) is shown"
    return shown.get(lower(over_seeds).verdict, undecided)
