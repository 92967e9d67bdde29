"""What depth is worth after more epochs, by another patience, at another resolution, and tested on crops.

Asked of Table 3's nets at S = 256.
"""

from __future__ import annotations

from fractions import Fraction

import pandas as pd

from vgglib.analysis import by_hand
from vgglib.analysis.by_hand import AT_DEADLINES, BY_RULE
from vgglib.analysis.predictions import held_back
from vgglib.comparisons import ERROR, Arm, Evidence, between, with_failed
from vgglib.experiments import Protocol
from vgglib.metrics import mean_text
from vgglib.plans import TESTS, plan
from vgglib.results import Store
from vgglib.statistics import lower

SETTINGS = ("resolution", "epochs", "patience", "precision")  # that may be made by hand, and no others
PAIRS = ("EA", "DA", "BA", "DB", "ED", "EB")  # a deeper net and a shallower one
KNOWN = ("table", "net", "method", "seed", "status", "environment")  # of `Store.rows`
COLUMNS = ("epochs", "drops", "resolution", "precision", "by_hand", "recipe")  # of `rows`, beside those
OWN = ""  # the preset's resolution
ENDS = "EA"  # those of the paper's claim
# What a test of "crops help E less at a finer resolution" says of the border of dense tests.
BORDER = {
    "reproduced": "speaks for the border of the dense test as a reason for E's loss",
    "opposite": "speaks against the border of the dense test as the reason for E's loss",
    "undecided": "leaves open whether the border of the dense test is a reason for E's loss",
}


def rows(store: Store, preset: str) -> pd.DataFrame:
    """Rows of Table 3 at S = 256 and of its nets on crops, as `Store.rows` gives them, of all records that differ from
    the preset's recipe in the number of epochs, the patience, the resolution or the arithmetic at most, but for
    trainings that a prediction is put to.

    Six columns come on top: `epochs`; `drops`, empty where they follow the preset's rule, else how they come;
    `resolution`, empty where it is the preset's; `precision`; `by_hand` (not the preset's own settings); and `recipe`,
    such as "12 epochs, bf16". Only what was run has a row; empty where all trainings had the same epochs, patience and
    resolution, and none was tested on crops.
    """
    parts = []
    protocols = [Protocol.usual(256, method).name for method in TESTS]
    for settings, seeds in by_hand.recipes(store, preset, SETTINGS, protocols):
        trained = plan(preset, "3", ["A"], [0], ["256"], **settings)[0].runs[0].experiment
        finer = f"resolution {Fraction(trained.resolution).limit_denominator(64)}" if "resolution" in settings else OWN
        own = {"epochs": trained.epochs, "drops": by_hand.drops(trained, settings), "resolution": finer}
        own["by_hand"] = bool(settings)
        if seeds := seeds - (set() if finer else held_back(preset, trained.epochs, trained.patience)):
            asked = {"seeds": sorted(seeds), "train_scales": ["256"], **settings}
            found = store.rows([entry for table in TESTS.values() for entry in plan(preset, table, **asked)])
            found = found[found["status"] != "not run"]
            precision = by_hand.precision(found)
            recipe = by_hand.described(trained.epochs, own["drops"], finer) + ", " + precision
            parts.append(found.assign(**own, precision=precision, recipe=recipe))
    whole = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=[*KNOWN, *COLUMNS])
    if (whole[["epochs", "drops", "resolution"]].nunique() < 2).all() and "crops" not in set(whole["table"]):
        return whole.iloc[:0]
    # A precision that was left to "auto" and the same asked for by name are one training.
    whole = whole.drop_duplicates(["recipe", "table", "net", "seed"])
    return whole.sort_values(["epochs", "drops", "resolution"], kind="stable")


def of_ends(found: pd.DataFrame) -> pd.DataFrame:
    """Those of `rows` that have the error of A or E."""
    return found[found["net"].isin([*ENDS]) & found[ERROR].notna()]


def compared(found: pd.DataFrame, recipe: str, method: str, nets: str) -> Evidence:
    """First of `nets` against the second, of one recipe and way to test."""
    own = found[found["recipe"] == recipe]
    return between(own, *(Arm(TESTS[method], net, method=method) for net in nets))


def effects(found: pd.DataFrame) -> pd.DataFrame:
    """For display: what a step of depth is worth by each recipe and way to test, where at least two seeds have both
    nets, a line per step and way.
    """
    lines = []
    for nets in PAIRS:
        for method in TESTS:
            by_recipe = {recipe: compared(found, recipe, method, nets) for recipe in found["recipe"].unique()}
            if any(len(own.seeds) > 1 for own in by_recipe.values()):
                each = {recipe: _effect(own.by_seed, own.failed) for recipe, own in by_recipe.items()}
                lines.append({"Nets": " - ".join(nets), "Tested": method, **each})
    return pd.DataFrame(lines)


def changes(found: pd.DataFrame) -> pd.DataFrame:
    """For display: by how much more epochs, another rule for the drops, another resolution, crops instead of dense
    evaluation, and these at another resolution change E - A, paired by seed; a line for each change of which there are
    at least two seeds.
    """
    lines = []
    recipes = found.drop_duplicates("recipe").sort_values(["epochs", "drops", "resolution"])
    for _, group in recipes.groupby("precision"):
        own = group[group["resolution"] == OWN]
        by_rule = own[own["drops"] == BY_RULE]
        pairs = [(by_rule["recipe"].iloc[0], by_rule["recipe"].iloc[-1])] if len(by_rule) > 1 else []
        late = own[own["drops"] != BY_RULE]
        finer = _finer(group)
        pairs += [*_partners(own, late.assign(drops=BY_RULE)), *finer]
        for before, after in pairs:
            for method in TESTS:
                both = [compared(found, recipe, method, ENDS) for recipe in (before, after)]
                lines.append((f"{after} instead of {before}, tested {by_hand.HOW[method]}", *_change(*both)))
        for recipe in group["recipe"]:
            lines.append((f"crops instead of dense evaluation, {recipe}", *_on_crops(found, recipe)))
        for before, after in finer:  # a change here and none there would not show that the two differ
            what = f"crops instead of dense evaluation: the change with {after} minus that with {before}"
            lines.append((what, *_more_on_crops(found, before, after)))
    return pd.DataFrame(
        [
            {"What changes": what, "E - A changes by": _effect(points.dropna(), failed)}
            for what, points, failed in lines
            if points.notna().sum() > 1
        ]
    )


def _finer(group: pd.DataFrame) -> list[tuple[str, str]]:
    """Recipes of one arithmetic at the preset's resolution, and the same at another one."""
    own = group["resolution"] == OWN
    return _partners(group[own], group[~own])


def _partners(own: pd.DataFrame, others: pd.DataFrame) -> list[tuple[str, str]]:
    """For each of the others the recipe in `own` with as many epochs and the same drops, where there is one, and it."""
    usual = {(row.epochs, row.drops): row.recipe for row in own.itertuples()}
    keys = ((usual.get((row.epochs, row.drops)), row.recipe) for row in others.itertuples())
    return [(before, after) for before, after in keys if before]


def _on_crops(found: pd.DataFrame, recipe: str) -> tuple[pd.Series, int]:
    """By how much testing on crops changes E - A, by seed, and how many runs failed."""
    return _change(*(compared(found, recipe, method, ENDS) for method in TESTS))


def _more_on_crops(found: pd.DataFrame, before: str, after: str) -> tuple[pd.Series, int]:
    """The change by the second recipe minus that by the first: by how much more E gains on crops by the first."""
    (less, failed), (more, failed_too) = _on_crops(found, before), _on_crops(found, after)
    return more - less, failed + failed_too


def at_the_border(found: pd.DataFrame) -> str:
    """Whether crops make up for more of E's loss at the preset's resolution than at a finer one, as they would where
    the border of a dense test is its reason, a sentence for each recipe of both; empty where fewer than two seeds tell.
    """
    said = []
    for _, group in found.drop_duplicates("recipe").groupby("precision"):
        for before, after in _finer(group):
            points, failed = _more_on_crops(found, before, after)
            points = points.dropna()
            if len(points) < 2:
                continue
            answer = "undecided" if failed else lower(-points.to_numpy()).verdict
            shown = with_failed(mean_text(points.mean(), points, "+.2f"), failed)
            said.append(
                f"By testing on crops instead of densely, E - A falls by {shown} points more with {before} than with "
                f"{after}, which {BORDER[answer]}."
            )
    return " ".join(said)


def _change(old: Evidence, new: Evidence) -> tuple[pd.Series, int]:
    """By how much the second differs from the first, by seed, and how many runs of both failed."""
    return new.by_seed - old.by_seed, old.failed + new.failed


def without_rule(found: pd.DataFrame) -> pd.DataFrame:
    """For display: top-1 errors of trainings whose rate follows the plateau rule and of those whose rate waits
    for the deadlines, of as many epochs and the same seeds, a line for each net and way to test of which there are at
    least two: mean and standard deviation over seeds, and the second less the first.
    """
    lines = []
    compared = found[found["drops"].isin([BY_RULE, AT_DEADLINES])]
    alike = ["epochs", "resolution", "precision", "method", "net"]
    for (*_, method, net), own in compared.groupby(alike, sort=False):
        both = own.pivot(index="seed", columns="drops", values=ERROR).reindex(columns=[BY_RULE, AT_DEADLINES]).dropna()
        if len(both) > 1:
            rule, late = (both[name].astype(float) for name in both)
            said = {"By the rule": rule, "At the deadlines": late}
            lines.append(
                {
                    "Net": net,
                    "Tested": method,
                    **{name: f"{errors.mean():.2f} ({errors.std():.2f})" for name, errors in said.items()},
                    "Change": _effect(late - rule),
                }
            )
    return pd.DataFrame(lines)


def _effect(points: pd.Series, failed: int = 0) -> str:
    if len(points) < 2:
        return with_failed("-", failed)
    said = mean_text(points.mean(), points, "+.2f")
    return with_failed(f"{said}, below 0 in {(points < 0).sum()} of {len(points)} seeds", failed)


def ends(found: pd.DataFrame) -> str:
    """After how many epochs the trainings really ended, which the plateau rule may bring about early."""
    done = found[found["history"].map(len) > 0]
    said = []
    for (epochs, drops, resolution), own in done.groupby(["epochs", "drops", "resolution"]):
        least, most = own["history"].map(len).min(), own["history"].map(len).max()
        after = least if least == most else f"{least} to {most}"
        said.append(f"{after} of at most {epochs}{drops and f' with {drops}'}{resolution and f' at {resolution}'}")
    return f"Epochs really trained: {'; '.join(said)}."


def finding(found: pd.DataFrame) -> str:
    """Whether the error falls from A to E, by recipe and way to test: each by its test alone, undecided where a run
    failed. What came out alike is named together.
    """
    said: dict[str, list[str]] = {}
    for recipe in found["recipe"].unique():
        for method in TESTS:
            own = compared(found, recipe, method, ENDS)
            if len(own.seeds) > 1 or own.failed:
                how = with_failed(f"{recipe}, tested {by_hand.HOW[method]}", own.failed)
                said.setdefault(by_hand.ANSWERS[own.decided(lower).verdict], []).append(how)
    if not said:
        return "That the error falls with depth, from A to E: undecided, with fewer than two seeds."
    found = " ".join(f"**{answer.capitalize()}**: {'; '.join(ways)}." for answer, ways in said.items())
    return f"Does the error fall with depth, from A to E? {found}"
