"""Verdicts, and what lies behind each, as tables for display."""

from __future__ import annotations

import pandas as pd

from vgglib.claims import KINDS, Claim, Pool, claim_called
from vgglib.comparisons import Comparison, Evidence, Row, checked, paper_effect
from vgglib.statistics import LEVEL, bootstrap_interval, mcnemar_p, probability_text
from vgglib.verdicts import Verdict

DETAILS = ["Treatment", "Baseline", "Paper", "Ours", "95 % interval", "Bootstrap", "Resampled", "McNemar p"]
DETAILS += ["Seeds", "Status"]


def frame(found: list[Verdict]) -> pd.DataFrame:
    """Verdicts as a table for display, numbers as text."""
    return pd.DataFrame(
        [
            {
                "Claim": verdict.claim,
                "Comparison": verdict.comparison,
                "Paper": _text(verdict.paper, verdict.kind, decimals=1),
                "Ours": _text(verdict.effect, verdict.kind),
                "95 % interval": _interval(verdict.low, verdict.high, verdict.kind),
                "p (Holm)": probability_text(verdict.p_value),
                "Seeds": "-" if KINDS[verdict.kind] is None else str(verdict.seeds),
                "Verdict": verdict.verdict,
                "Why": verdict.why,
            }
            for verdict in found
        ]
    )


def short(found: list[Verdict]) -> pd.DataFrame:
    """The columns of `frame` that fit on a page."""
    return frame(found)[["Claim", "Verdict", "Paper", "Ours", "95 % interval", "Seeds"]]


def markdown(found: list[Verdict]) -> str:
    """Verdicts in short, as a table in Markdown for a terminal or a README."""
    table = short(found)
    lines = [table.columns.tolist(), ["---"] * table.shape[1], *table.to_numpy().tolist()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def details(rows: pd.DataFrame, name: str) -> pd.DataFrame:
    """What lies behind one claim, as a table for display: its comparisons pooled, then each, then those beside it.

    Beside the t interval over seeds: a bootstrap interval, what was resampled for it, and McNemar's exact p values of
    each seed's two fixed nets, the least and the most of them and how many are below 0.05. These are not corrected and
    decide nothing. Raises ValueError for an unknown name.
    """
    claim, compared = claim_called(name), checked(rows)
    own = claim.comparisons
    pooled = [Pool(f"mean of all {len(own)}", own)] if len(own) > 1 else []
    lines = [_line(claim, compared, shown) for shown in (*pooled, *own, *claim.more, *claim.again)]
    return pd.DataFrame(lines, columns=DETAILS)


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
    if claim.kind == "cheaper":
        return line
    line["Paper"] = _text(paper_effect(comparisons), claim.kind, decimals=1)
    if evidence.seeds:
        line["Bootstrap"] = _interval(*bootstrap_interval(evidence.image_differences), claim.kind)
        line["Resampled"] = "images alone" if len(evidence.seeds) == 1 else "seeds and images"
    if evidence.seeds and alone:
        p_values = [mcnemar_p(*(row.wrong for row in evidence.pairs[0][seed])) for seed in evidence.seeds]
        least, most = (probability_text(end(p_values)) for end in (min, max))
        below = f"{sum(p_value < LEVEL for p_value in p_values)} of {len(p_values)} below {LEVEL}"
        line["McNemar p"] = f"{least} to {most}, {below}" if len(p_values) > 1 else least
    return line


def _text(value: float | None, kind: str, decimals: int = 2) -> str:
    if value is None:
        return "-"
    return f"{value:.{decimals}f}" if kind == "cheaper" else f"{value:+.{decimals}f}"


def _interval(low: float | None, high: float | None, kind: str) -> str:
    return "-" if low is None else f"{_text(low, kind)} to {_text(high, kind)}"
