"""The paper's claims as functions of records: effect, interval, verdict."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import ttost_paired

from vgglib import results
from vgglib.tables import mean_interval

EQUIVALENCE_POINTS = 0.5  # fixed before any run: a smaller difference in top-1 error counts as none
LEVEL = 0.05
_FAILED = "{} failed run(s) have no error to compare"


@dataclass(frozen=True)
class Verdict:
    """One claim on one body of evidence. Effects are points of top-1 error, treatment - baseline; minus is better."""

    claim: str
    treatment: str
    baseline: str
    paper_points: float
    ours_points: float | None
    low: float | None
    high: float | None
    p_value: float | None
    seeds: int
    verdict: str  # reproduced, opposite or undecided
    why: str


def lrn_does_not_help(rows: pd.DataFrame) -> Verdict:
    """Sect. 4.1: A-LRN is no better than A. Reproduced when the two are equivalent within 0.5 points, or A-LRN is
    worse.

    Two one-sided paired t tests over seeds (equivalence), at level 0.05.
    """
    differences = _paired(rows, "A-LRN", "A")
    effect = _effect("Local response normalisation does not help", "A-LRN", "A", differences)
    if len(differences) < 2:
        return Verdict(**effect, p_value=None, verdict="undecided", why=_too_few(differences))
    if failed := _failed(rows, "A-LRN", "A"):
        return Verdict(**effect, p_value=None, verdict="undecided", why=_FAILED.format(failed))
    zeros = np.zeros(len(differences))
    p_value = float(ttost_paired(differences, zeros, -EQUIVALENCE_POINTS, EQUIVALENCE_POINTS)[0])
    if p_value < LEVEL:
        verdict, why = "reproduced", f"equivalent within {EQUIVALENCE_POINTS} points"
    elif effect["low"] > 0:
        verdict, why = "reproduced", "the net with normalisation is worse"
    elif effect["high"] < 0:
        verdict, why = "opposite", "the net with normalisation is better"
    else:
        verdict, why = (
            "undecided",
            f"the interval neither excludes 0 nor stays within {EQUIVALENCE_POINTS} points of it",
        )
    return Verdict(**effect, p_value=p_value, verdict=verdict, why=why)


def lower_error(rows: pd.DataFrame, claim: str, treatment: str, baseline: str) -> Verdict:
    """A claim that `treatment` errs less than `baseline`: two-sided paired t test over seeds, at level 0.05."""
    differences = _paired(rows, treatment, baseline)
    effect = _effect(claim, treatment, baseline, differences)
    if len(differences) < 2:
        return Verdict(**effect, p_value=None, verdict="undecided", why=_too_few(differences))
    if (failed := _failed(rows, treatment, baseline)) or not np.ptp(differences):
        why = _FAILED.format(failed) if failed else "all seeds differ by exactly the same"
        return Verdict(**effect, p_value=None, verdict="undecided", why=why)
    p_value = float(stats.ttest_1samp(differences, 0).pvalue)
    if p_value >= LEVEL:
        verdict, why = "undecided", "the interval contains 0"
    elif differences.mean() < 0:
        verdict, why = "reproduced", f"{treatment} errs less"
    else:
        verdict, why = "opposite", f"{treatment} errs more"
    return Verdict(**effect, p_value=p_value, verdict=verdict, why=why)


def deeper_is_better(rows: pd.DataFrame) -> list[Verdict]:
    """Sect. 4.1: the error falls with depth (Table 3, S = 256): the whole way from 11 to 19 layers, then step by step.

    The claim is the text's; at this scale the paper's own numbers for the last step have the other sign.
    """
    steps = [("Depth helps: 19 layers against 11", "E", "A"), ("Depth helps: 13 layers against 11", "B", "A")]
    steps += [("Depth helps: 16 layers (three of them 1x1) against 13", "C", "B")]
    steps += [("Depth helps: 16 layers against 13", "D", "B"), ("Depth helps: 19 layers against 16", "E", "D")]
    return [_with_head_start(rows, lower_error(rows, *step)) for step in steps]


def _with_head_start(rows: pd.DataFrame, verdict: Verdict) -> Verdict:
    """Say so when one of the two nets has the training of A behind it and the other has not."""
    started = rows.groupby("net")["from_a"].any()
    if started.get(verdict.treatment, False) == started.get(verdict.baseline, False):
        return verdict
    note = f"{verdict.treatment} has A's training behind it, {verdict.baseline} has not"
    return replace(verdict, why=f"{verdict.why}; {note}")


def _failed(rows: pd.DataFrame, *nets: str) -> int:
    return int(((rows["status"] == "failed") & rows["net"].isin(nets)).sum())


def holm(verdicts: list[Verdict]) -> list[Verdict]:
    """The verdicts after Holm's correction over the family: those whose p is no longer below 0.05 become undecided."""
    tested = [number for number, verdict in enumerate(verdicts) if verdict.p_value is not None]
    if not tested:
        return verdicts
    corrected = list(verdicts)
    p_values = multipletests([verdicts[number].p_value for number in tested], method="holm")[1]
    for number, p_value in zip(tested, p_values, strict=True):
        verdict = replace(verdicts[number], p_value=float(p_value))
        if verdicts[number].p_value < LEVEL <= p_value:
            why = f"not significant among the claims tested together (Holm); alone: {verdict.why}"
            verdict = replace(verdict, verdict="undecided", why=why)
        corrected[number] = verdict
    return corrected


def every(rows: pd.DataFrame) -> list[Verdict]:
    """All claims that these rows can be asked about."""
    return holm([lrn_does_not_help(rows), *deeper_is_better(rows)])


def frame(verdicts: list[Verdict]) -> pd.DataFrame:
    """Verdicts as a table for display, numbers as text."""

    def points(value: float | None) -> str:
        return "-" if value is None else f"{value:+.1f}"

    return pd.DataFrame(
        [
            {
                "Claim": verdict.claim,
                "Nets": f"{verdict.treatment} - {verdict.baseline}",
                "Paper": points(verdict.paper_points),
                "Ours": points(verdict.ours_points),
                "95 % interval": "-" if verdict.low is None else f"{points(verdict.low)} to {points(verdict.high)}",
                "p": "-" if verdict.p_value is None else f"{verdict.p_value:.3f}",
                "Seeds": verdict.seeds,
                "Verdict": verdict.verdict,
                "Why": verdict.why,
            }
            for verdict in verdicts
        ]
    )


def _paired(rows: pd.DataFrame, treatment: str, baseline: str) -> np.ndarray:
    done = rows[(rows["status"] == "done") & rows["net"].isin([treatment, baseline])]
    errors = done.pivot_table(index="seed", columns="net", values="top1_error_percent", aggfunc="first")
    if treatment not in errors or baseline not in errors:
        return np.empty(0)
    return (errors[treatment] - errors[baseline]).dropna().to_numpy(float)


def _effect(claim: str, treatment: str, baseline: str, differences: np.ndarray) -> dict:
    table = results.paper()
    table = table[(table["table"] == 3) & (table["train_scale"] == "256")].set_index("net")["top1_val"]
    low, high = mean_interval(differences) if len(differences) > 1 else (None, None)
    return {
        "claim": claim,
        "treatment": treatment,
        "baseline": baseline,
        "paper_points": float(table[treatment] - table[baseline]),
        "ours_points": float(differences.mean()) if len(differences) else None,
        "low": low,
        "high": high,
        "seeds": len(differences),
    }


def _too_few(differences: np.ndarray) -> str:
    if len(differences) == 0:
        return "no seed has both nets"
    return "one seed says nothing of the spread between seeds: at least two are needed"
