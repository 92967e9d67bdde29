"""What was run and what came out, in a few sentences, for those who read the first page alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction
from textwrap import indent

import pandas as pd

from vgglib import plans, presets
from vgglib.analysis.verdict_tables import brief
from vgglib.claims import claim_called, measured
from vgglib.comparisons import ERROR, Evidence, Row, checked
from vgglib.metrics import mean_text
from vgglib.statistics import LOSS
from vgglib.verdicts import Verdict

MAIN = "depth"  # the claim that the paper is known for
OUTCOMES = {
    "reproduced": "as in the paper",
    "opposite": "the other way round",
    LOSS: "a loss where the paper has no gain",
    "undecided": "undecided",
    "not run": "not run",
    "not tested": "not to be tested here",
}


def setting(preset: str, rows: pd.DataFrame) -> str:
    """What a preset's own trainings are, in a sentence without its full stop; rows: of all its tables."""
    chosen, recipe = presets.named(preset), plans.first_stage(preset, "A").experiment
    width = Fraction(recipe.width).limit_denominator(64)
    share = "" if width == 1 else f"{width} of "
    seeds = rows[rows["status"] == "done"].groupby("net")["seed"].nunique()
    least, most = (int(seeds.min()), int(seeds.max())) if len(seeds) else (0, 0)
    of_most = "" if least == most else "up to "
    train = f", {chosen.images[0]:,} of them to learn from" if chosen.images else ""
    return (
        f"{chosen.pictures}{train}, in crops of {recipe.crop} pixels, nets of {share}the paper's width, at most "
        f"{recipe.epochs} epochs at S = 256, {of_most}{most} seed{'s' * (most != 1)} (preset `{preset}`)"
    )


def outcomes(found: Sequence[Verdict]) -> str:
    """How many claims came out in which way, in a sentence without its full stop."""
    counts, words = Counter(verdict.verdict for verdict in found), dict(OUTCOMES)
    of_errors = sum(verdict.verdict == "reproduced" and measured(verdict.kind) == ERROR for verdict in found)
    words["reproduced"] += f" ({of_errors or 'none'} of them about errors)"
    if alone := sum(verdict.verdict == "undecided" and verdict.alone not in ("", "undecided") for verdict in found):
        words["undecided"] += f" ({alone} of them decided if tested alone)"
    parts = [f"{counts[verdict]} {text}" for verdict, text in words.items() if counts[verdict]]
    return f"of {len(found)} claims {', '.join(parts)}"


def tallies(found: Mapping[str, Sequence[Verdict]]) -> list[str]:
    """The `outcomes` of every preset that has an effect or a failed run, each after what its pictures are."""
    ran = {preset: own for preset, own in found.items() if any(map(was_run, own))}
    return [f"{presets.named(preset).pictures}: {outcomes(own)}" for preset, own in ran.items()]


def with_list(text: str, items: Sequence[str]) -> str:
    """An item of a list in Markdown that has a list of its own, whose items may have theirs."""
    return "\n".join([text, *(indent(f"- {item}", "  ") for item in items)])


def everywhere(found: dict[str, list[Verdict]], name: str = MAIN) -> list[str]:
    """The verdict on one claim from every preset's records that have an effect or a failed run, each after what its
    pictures are.
    """
    own = [(preset, verdict) for preset, verdicts in found.items() for verdict in verdicts if verdict.name == name]
    return [f"{presets.named(preset).pictures}: {brief(verdict)}" for preset, verdict in own if was_run(verdict)]


def was_run(verdict: Verdict) -> bool:
    """Whether records have an effect for a verdict, or a run that failed."""
    return bool(verdict.seeds or verdict.failed)


def in_the_paper(verdict: Verdict) -> str:
    """The paper's effect, to go on a sentence with; empty where it has none."""
    return "" if verdict.paper is None else f", in the paper {verdict.paper:+.1f}"


def reproduced(found: Sequence[Verdict], rows: pd.DataFrame) -> list[str]:
    """What the claims that came out as in the paper rest on, an item of a list in Markdown each: whether they are about
    errors at all, the paper's effect beside it, and what comes out `otherwise`.

    found, rows: as `verdicts.judge` gives and takes them, of one preset.
    """
    by_name, compared = {verdict.name: verdict for verdict in found}, checked(rows)
    return [
        f"*{verdict.claim}*: {_rests_on(verdict, by_name, compared)}"
        for verdict in found
        if verdict.verdict == "reproduced"
    ]


def _rests_on(verdict: Verdict, by_name: dict[str, Verdict], compared: list) -> str:
    measure = measured(verdict.kind)
    if measure != ERROR:
        return "a count, which needs no training." if measure is None else "a time, and no error."
    said = f"{verdict.effect:+.2f} points{in_the_paper(verdict)}."
    others = otherwise(verdict.name, compared, by_name)
    return with_list(f"{said} Asked otherwise:", others) if others else said


def otherwise(name: str, rows: Sequence[Row], found: Mapping[str, Verdict]) -> list[str]:
    """What comes out where the claim called `name` is asked otherwise, a phrase each: the verdict on its control, of
    those in `found`, and effects with their intervals.

    rows: from `comparisons.checked`.
    """
    claim, said = claim_called(name), []
    if (control := found.get(claim.control)) and control.seeds:
        said.append(f"{control.comparison}: {brief(control)}")
    for pool in claim.again:
        if len(points := Evidence.of(rows, pool.comparisons, ERROR).differences):
            said.append(f"{pool.label}: {mean_text(points.mean(), points, '+.2f')}")
    return said
