"""Verdicts, and what lies behind each, as tables for display."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from vgglib.claims import CLAIMS, KINDS, Claim, Pool, claim_called
from vgglib.comparisons import Comparison, Evidence, Row, checked, paper_effect, with_failed
from vgglib.statistics import (
    EQUIVALENCE_POINTS,
    LEVEL,
    LOSS,
    bootstrap_interval,
    mcnemar_p,
    p_equals,
    probability_text,
)
from vgglib.verdicts import Verdict

# How a kind of claim is put to the test.
HOW_TESTED = {
    "lower error": "paired t test over seeds",
    "no better": f"equivalence test over seeds, margin {EQUIVALENCE_POINTS} points; where it fails, a paired t test",
    "cheaper": "paired t test over seeds, on logarithms of the seconds",
    "count": "an exact count",
    "not testable": "not put to the test",
}
# Verdict alone -> what an undecided claim is called.
SIDES = {
    "reproduced": "undecided among all claims, alone as in the paper",
    LOSS: "undecided among all claims, alone a loss where the claim is no gain",
    "opposite": "undecided among all claims, alone the opposite",
    "undecided": "undecided, alone too",
}
WITHOUT_TEST = "undecided, without a test"
GROUPS = (
    "reproduced",
    LOSS,
    "opposite",
    *SIDES.values(),
    WITHOUT_TEST,
    "not run",
    "not tested",
)
UNCORRECTED = "p of t; of sign flips"
DETAILS = ["Treatment", "Baseline", "Paper", "Ours", "95 % interval", UNCORRECTED, "Bootstrap", "McNemar p"]
DETAILS += ["Seeds", "Status"]
OVER_SEEDS = ["95 % interval", UNCORRECTED]  # columns that take two seeds


def frame(found: list[Verdict]) -> pd.DataFrame:
    """Verdicts as a table for display, numbers as text."""
    return pd.DataFrame(
        [
            {
                "Claim": verdict.claim,
                "Verdict": verdict.verdict,
                "Comparison": verdict.comparison,
                "Paper": _text(verdict.paper, verdict.kind, decimals=1),
                "Ours": _text(verdict.effect, verdict.kind),
                "95 % interval": _interval(verdict.low, verdict.high, verdict.kind),
                "p (Holm)": _p_text(verdict),
                "Seeds": "-" if KINDS[verdict.kind] is None else with_failed(str(verdict.seeds), verdict.failed),
                "Why": verdict.why,
            }
            for verdict in found
        ]
    )


def _p_text(verdict: Verdict) -> str:
    """The p value; of a claim of no gain, for which two tests are made, with that on which the verdict rests."""
    text = probability_text(verdict.p_value)
    if verdict.kind != "no better" or verdict.p_value is None:
        return text
    return f"{text} ({verdict.test})"


def short(found: list[Verdict]) -> pd.DataFrame:
    """The columns of `frame` that fit on a page, and the paper's numbers of what can be tested: the others are of
    another kind.
    """
    table = frame(found)[["Claim", "Verdict", "Paper", "Ours", "95 % interval", "Seeds"]]
    return table.assign(Paper=table["Paper"].where([verdict.verdict != "not tested" for verdict in found], "-"))


def brief(verdict: Verdict) -> str:
    """Verdict, effect, interval and number of seeds, for a sentence; of an undecided claim with what its test says
    alone, or that there was none.
    """
    said = verdict.verdict if (group := _group(verdict)) == SIDES["undecided"] else group
    effect = _text(verdict.effect, verdict.kind)
    interval = "" if verdict.low is None else f" ({_interval(verdict.low, verdict.high, verdict.kind)})"
    return f"{said}, {effect}{interval}{_seeds(verdict)}"


def markdown(found: list[Verdict]) -> str:
    """Verdicts in short, as a table in Markdown for a terminal or a README."""
    table = short(found)
    lines = [table.columns.tolist(), ["---"] * table.shape[1], *table.to_numpy().tolist()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def details(rows: pd.DataFrame, name: str) -> pd.DataFrame:
    """What lies behind one claim, as a table for display: its comparisons pooled, then each, then those beside it.

    Beside the t interval over seeds: the p values of a difference, by the t test and among all flips of the seeds'
    signs; a bootstrap interval; and McNemar's exact p values of each seed's two fixed nets, the least and the most of
    them and how many are below 0.05. These are not corrected and decide nothing. A column of what is missing is there
    where something is, and what takes two seeds where a line has two. Raises ValueError for an unknown name.
    """
    claim, compared = claim_called(name), checked(rows)
    own = claim.comparisons
    pooled = [Pool(f"mean of all {len(own)}", own)] if len(own) > 1 else []
    lines = [_line(claim, compared, shown) for shown in (*pooled, *own, *claim.more, *claim.again)]
    found = pd.DataFrame(lines, columns=DETAILS)
    unused = [] if (found["Status"] != "done").any() else ["Status"]
    if (found[OVER_SEEDS] == "-").all(axis=None):
        unused += OVER_SEEDS
    return found.drop(columns=unused)


def _line(claim: Claim, rows: list[Row], shown: Comparison | Pool) -> dict:
    alone = isinstance(shown, Comparison)
    comparisons = (shown,) if alone else shown.comparisons
    evidence = Evidence.of(rows, comparisons, KINDS[claim.kind][0])
    effect = evidence.effect()
    treatment, baseline = comparisons[0].treatment.label, comparisons[0].baseline_label
    line = dict.fromkeys(DETAILS, "-") | {
        "Treatment": treatment if alone else shown.label,
        "Baseline": baseline if alone else "-",
        "Ours": _text(effect["effect"], claim.kind),
        "95 % interval": _interval(effect["low"], effect["high"], claim.kind),
        "Seeds": str(effect["seeds"]),
        "Status": evidence.status,
    }
    if evidence.difference_p:
        line[UNCORRECTED] = "; ".join(map(probability_text, evidence.difference_p))
    if claim.kind == "cheaper":
        return line
    line["Paper"] = _text(paper_effect(comparisons), claim.kind, decimals=1)
    if evidence.seeds:
        line["Bootstrap"] = _interval(*bootstrap_interval(evidence.image_differences), claim.kind)
    if evidence.seeds and alone:
        p_values = [mcnemar_p(*(row.wrong for row in evidence.pairs[0][seed])) for seed in evidence.seeds]
        least, most = (probability_text(end(p_values)) for end in (min, max))
        below = f"{sum(p_value < LEVEL for p_value in p_values)} of {len(p_values)} below {LEVEL}"
        line["McNemar p"] = f"{least} to {most}, {below}" if len(p_values) > 1 else least
    return line


def _text(value: float | None, kind: str, decimals: int = 2) -> str:
    if value is None:
        return "-"
    if kind == "count":
        return f"{value:+.0f}"
    return f"{value:.{decimals}f}" if kind == "cheaper" else f"{value:+.{decimals}f}"


def _interval(low: float | None, high: float | None, kind: str) -> str:
    return "-" if low is None else f"{_text(low, kind)} to {_text(high, kind)}"


def overview(found: dict[str, list[Verdict]]) -> pd.DataFrame:
    """One line per claim, one column of verdicts per preset, for display."""
    lines = {"Claim": [claim.statement for claim in CLAIMS], "Sect.": [claim.section for claim in CLAIMS]}
    for preset, own in found.items():
        lines[preset] = [verdict.verdict + _seeds(verdict) for verdict in own]
    return pd.DataFrame(lines)


def _seeds(verdict: Verdict) -> str:
    seeds = f", {verdict.seeds} seed{'s' * (verdict.seeds > 1)}" if verdict.seeds else ""
    return "" if KINDS[verdict.kind] is None else with_failed(seeds, verdict.failed)


def asked(*names: str) -> str:
    """How the claims called `names` are put to the test, as a list in Markdown."""
    chosen = [claim for claim in CLAIMS if claim.name in names]
    return "\n".join(
        f"- **{claim.statement}** (Sect. {claim.section}): {claim.contrast}, {HOW_TESTED[claim.kind]}"
        + (f"; {claim.caveat}." if claim.caveat else ".")
        for claim in chosen
    )


def answers(found: dict[str, list[Verdict]], *names: str) -> pd.DataFrame:
    """The claims called `names` on the records of every preset that has run them, for display, those that need no
    records once; reasons are left to the experiments' pages.
    """
    lines = []
    for name in names:
        asked = {preset: verdict for preset, own in found.items() for verdict in own if verdict.name == name}
        run = {preset: verdict for preset, verdict in asked.items() if verdict.verdict != "not run"}
        chosen = list((run or asked).items())
        for preset, verdict in chosen if KINDS[claim_called(name).kind] else [("any", chosen[0][1])]:
            shown = frame([verdict]).drop(columns=["Claim", "Why"])
            shown.insert(0, "Evidence", preset)
            shown.insert(0, "Comparison", shown.pop("Comparison"))
            lines.append(shown)
    return pd.concat(lines, ignore_index=True)


def remarks(found: dict[str, list[Verdict]], *names: str) -> str:
    """What is to be said of how the nets behind the claims called `names` were trained, as a list in Markdown; empty
    where there is nothing.
    """
    return "\n".join(
        f"- *{verdict.claim}*, preset `{preset}`: {verdict.remark}."
        for name in names
        for preset, own in found.items()
        for verdict in own
        if verdict.name == name and verdict.remark
    )


def both_tests(found: dict[str, list[Verdict]]) -> pd.DataFrame:
    """The p values of a difference before any correction, by the t test and by sign flips, beside the corrected one, a
    line for each claim and preset with two seeds or more, for display.
    """
    lines = []
    for preset, own in found.items():
        for verdict, line in zip(own, frame(own).to_dict("records"), strict=True):
            if verdict.difference_p:
                t, flips = map(probability_text, verdict.difference_p)
                same = {name: line[name] for name in ("Comparison", "Seeds", "p (Holm)", "Verdict")}
                lines.append({"Evidence": preset, **same, "p of t": t, "p of sign flips": flips})
    heads = ["Comparison", "Evidence", "Seeds", "p of t", "p of sign flips", "p (Holm)", "Verdict"]
    return pd.DataFrame(lines, columns=heads)


def on_normality(preset: str, found: Sequence[Verdict]) -> str:
    """Which verdicts on a preset's claims a t test decides where sign flips are not below 0.05, in a sentence; empty
    where it is none.
    """
    said = [
        f"*{verdict.claim}*, {verdict.verdict} ({p_equals(verdict.difference_p[1])}, {verdict.seeds} seeds)"
        for verdict in found
        if verdict.test == "difference" and verdict.verdict != "undecided" and verdict.difference_p[1] >= LEVEL
    ]
    if not said:
        return ""
    return (
        f"Preset `{preset}`: verdicts of the t test where sign flips do not come below {LEVEL}, even before the "
        f"correction: {'; '.join(said)}."
    )


def tally(preset: str, found: Sequence[Verdict]) -> str:
    """A preset's verdicts in groups, as a list in Markdown; undecided ones by what they are alone."""
    lines = [f"On the records of preset `{preset}`:", ""]
    for group in GROUPS:
        own = [verdict.claim for verdict in found if _group(verdict) == group]
        if own:
            lines.append(f"- **{group}** ({len(own)} of {len(found)}): {'; '.join(own)}.")
    return "\n".join(lines)


def _group(verdict: Verdict) -> str:
    if verdict.verdict != "undecided":
        return verdict.verdict
    if verdict.p_value is None:
        return WITHOUT_TEST
    return SIDES[verdict.alone]
