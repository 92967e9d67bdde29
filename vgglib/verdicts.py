"""What rows of results say of each claim of the paper: effect, interval, p value, verdict."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pandas as pd

from vgglib.claims import CLAIMS, KINDS, NAMES, OVERFEAT_MILLIONS, Claim, claim_called
from vgglib.comparisons import Evidence, Row, checked, paper_effect
from vgglib.configs import config
from vgglib.cost import parameters
from vgglib.statistics import LEVEL, holm


@dataclass(frozen=True)
class Verdict:
    """One claim on one body of evidence. An effect is treatment - baseline in points of top-1 error (minus is better),
    for costs a ratio of seconds, for counts a difference in millions of weights.
    """

    name: str
    claim: str
    section: str
    kind: str
    comparison: str
    paper: float | None
    effect: float | None
    low: float | None
    high: float | None
    p_value: float | None
    seeds: int
    verdict: str  # that of a `statistics.Decision`, or "not tested"
    why: str
    test: str = ""  # of what its p value is: "difference" or "equivalence"
    remark: str = ""  # on how its nets were trained, which `why` has, too
    alone: str = ""  # the verdict before the correction
    failed: int = 0  # runs that are left out of the effect
    difference_p: tuple[float | None, float] | None = None  # uncorrected, as `statistics.difference_p` gives them


def judge(rows: pd.DataFrame, *names: str) -> list[Verdict]:
    """Every claim on these rows, in the order of `CLAIMS`, or those called `names`, in theirs.

    p values and verdicts are those after Holm's correction over all claims that can be put to a test, whether `rows`
    can be asked about them or not. rows: as `results.Store.rows` gives them, of any tables. Raises ValueError for an
    unknown name, for rows of several presets, and where two rows disagree.
    """
    for name in names:
        claim_called(name)
    compared = checked(rows)
    found = {verdict.name: verdict for verdict in corrected([_on_its_own(claim, compared) for claim in CLAIMS])}
    return [found[name] for name in names or NAMES]


def corrected(found: list[Verdict]) -> list[Verdict]:
    """Verdicts after Holm's correction over those of `found` that can be put to a test, all of them, so that no
    verdict is the easier for what was not run: those whose p value is no longer below 0.05 become undecided.
    """
    p_values = iter(holm([verdict.p_value for verdict in found if KINDS[verdict.kind] is not None]))
    return [verdict if KINDS[verdict.kind] is None else _corrected(verdict, next(p_values)) for verdict in found]


def _corrected(verdict: Verdict, p_value: float | None) -> Verdict:
    if p_value is None or not verdict.p_value < LEVEL <= p_value:
        return replace(verdict, p_value=p_value)
    why = f"not significant among all claims that can be tested (Holm); alone: {verdict.why}"
    return replace(verdict, p_value=p_value, verdict="undecided", why=why)


def _on_its_own(claim: Claim, rows: list[Row]) -> Verdict:
    """One claim without the others: no correction."""
    found = Verdict(
        **{"name": claim.name, "claim": claim.statement, "section": claim.section, "kind": claim.kind},
        **{"comparison": claim.contrast, "paper": _paper(claim)},
        **{"effect": None, "low": None, "high": None, "p_value": None, "seeds": 0},
        **{"verdict": "not tested", "why": claim.caveat},
    )
    if claim.kind == "count":
        return _counted(found)
    return found if KINDS[claim.kind] is None else _tested(claim, found, rows)


def _paper(claim: Claim) -> float | None:
    if claim.kind == "cheaper":  # the paper compares errors of these arms, not their cost
        return None
    return claim.paper() if claim.paper else paper_effect(claim.comparisons)


def _millions(net: str) -> float:
    """Millions of weights and biases of a net of Table 1 at the paper's width and 1000 classes."""
    return parameters(config(net)) / 1e6


def _counted(found: Verdict) -> Verdict:
    least, most = _millions("A"), _millions("E")
    effect = round(most) - OVERFEAT_MILLIONS  # the other net's weights are known to a million only
    verdict = "reproduced" if effect <= 0 else "opposite"
    why = f"an exact count: {least:.1f} (A) to {most:.1f} million (E); OverFeat's are quoted as {OVERFEAT_MILLIONS}"
    return replace(found, effect=effect, verdict=verdict, why=why)


def _tested(claim: Claim, found: Verdict, rows: list[Row]) -> Verdict:
    measure, decide = KINDS[claim.kind]
    evidence = Evidence.of(rows, claim.comparisons, measure)
    decision = evidence.decided(decide)
    remark = "; ".join(filter(None, [evidence.head_start, evidence.mixed_devices, evidence.timed_apart]))
    notes = [decision.why, evidence.status if evidence.missing and evidence.seeds else "", remark]
    return replace(
        found,
        **evidence.effect(),
        p_value=decision.p_value,
        verdict=decision.verdict,
        alone=decision.verdict,
        failed=evidence.failed,
        difference_p=evidence.difference_p,
        test=decision.test,
        why="; ".join(note for note in (*notes, claim.caveat) if note),
        remark=remark,
    )
