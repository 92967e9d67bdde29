"""Sections of pages about the experiments: plans, tables, verdicts, and what was asked again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

import pandas as pd

from vgglib import catalogue, experiments, plans, presets, results, show, tables
from vgglib.analysis import evidence, headline, verdict_tables
from vgglib.claims import KINDS, claim_called, measured
from vgglib.comparisons import ERROR, checked
from vgglib.cost import crops_over_dense
from vgglib.experiments import Entry, Experiment
from vgglib.statistics import probability_text
from vgglib.verdicts import Verdict, judge

POINTS = "in points of top-1 error, minus means that what is named first errs less"


def effects(*names: str) -> str:
    """What the effects of the claims called `names` are measured in, a sentence; of what is not tested none."""
    units = _units({claim_called(name).kind for name in names})
    return f"Effects {units}." if units else ""


def _units(kinds: set[str]) -> str:
    of_errors = any(measured(kind) == ERROR for kind in kinds)
    units = [POINTS] * of_errors + ["of costs a ratio"] * ("cheaper" in kinds)
    return "; ".join(units + ["of counts millions of weights"] * ("count" in kinds))


def recipes() -> None:
    """What the presets set themselves of a training, a line each."""
    lines = []
    for preset in presets.PRESETS:
        first, later = (plans.plan(preset, "3", ["C"], [0], [scale])[0].runs[0].experiment for scale in ("256", "384"))
        weights = f"{first.start.initialisation}, B to E from A" if first.start else first.initialisation
        lines.append(
            {
                "Preset": preset,
                "Width": str(Fraction(first.width).limit_denominator(64)),
                "Batch": first.batch_size,
                "First rate": f"{first.learning_rate:g}",
                "Epochs, at most": first.epochs,
                "of each later stage": later.epochs,
                "Patience": first.patience,
                "First weights": weights,
            }
        )
    show.table(pd.DataFrame(lines), "What the presets set themselves; the stages are explained below")


def the_plan(entries: Sequence[Entry]) -> None:
    """The trainings behind some numbers, a line per net and S, and how each net is tested."""
    tests = [
        {
            **_training(run.experiment),
            "Q": run.protocol.test_scale,
            "Evaluation": run.protocol.method,
            "Seeds": run.experiment.seed,
        }
        for run in experiments.runs(entries)
    ]
    example = entries[0].runs[0].experiment
    trainings = list(_training(example))
    columns = {"Q": _listed, "Evaluation": _listed, "Seeds": _seeds}
    listed = pd.DataFrame(tests).groupby(trainings, sort=False, as_index=False).agg(columns)
    caption = f"The plan, preset {entries[0].preset}: width {example.width:g}, crops of {example.crop} pixels, batches "
    caption += f"of {example.batch_size}. S and Q are in the paper's units. A start that has no line is trained first."
    show.table(listed, caption)


def _training(experiment: Experiment) -> dict:
    start = experiment.initialisation
    if experiment.start:
        again = experiment.start.net == experiment.net
        start = f"S = {experiment.start.scale_text}" if again else f"seven layers from {experiment.start.net}"
    return {
        "Net": experiment.net,
        "S": experiment.scale_text,
        "Start": start,
        "Epochs, at most": experiment.epochs,
        "Learning rate": f"{experiment.learning_rate:g}",
    }


def _listed(values: pd.Series) -> str:
    return ", ".join(map(str, sorted(set(values))))


def _seeds(values: pd.Series) -> str:
    """Those of several seeds without a gap are told by the first and the last."""
    first, last, count = values.min(), values.max(), values.nunique()
    return f"{first} to {last}" if count > 2 and last - first == count - 1 else _listed(values)


def the_table(rows: pd.DataFrame, name: str | None = None, whose: str = "") -> None:
    """A table of `catalogue.TABLES`, ours beside the paper's; without a name the one that all rows belong to. A page on
    several presets says in the caption `whose` table it is, such as "preset demo".

    Lines of nets that no row is about are left out, since they may well have been run: they were not asked for.
    Raises ValueError for an unknown name, and where the rows do not tell which table is meant.
    """
    own = list(rows["table"].unique()) if name is None and len(rows) else [name]
    if len(own) != 1 or own[0] not in catalogue.TABLES:
        raise ValueError(
            f"the table is {' or '.join(map(str, own))}: name one of {', '.join(catalogue.TABLES)} after the rows."
        )
    found = tables.beside_paper(own[0], rows)
    title = ", ".join(filter(None, (catalogue.TABLES[own[0]].title, whose)))
    caption = f"{title}. Errors in percent. The interval is that of our top-1 error over seeds; of a single seed it is "
    caption += 'over the test images alone ("images").'
    text = tables.shown(found)
    net = next((column for column in ("net", "ensemble") if column in found), None)
    show.table(text[found[net].isin(rows["net"])] if net and len(rows) else text, caption)
    if own[0] == "7":
        show.sentence(tables.NOT_COMPARABLE)


def verdicts(rows: pd.DataFrame, *names: str) -> None:
    """The claims called `names` with the paper's effect, ours and the verdict, then a sentence for each."""
    found = judge(rows, *names)
    show.table(verdict_tables.frame(found).drop(columns="Why"), effects(*(verdict.name for verdict in found)))
    for verdict in found:
        said = [f"**{verdict.claim}: {verdict.verdict}** ({verdict.why})."]
        if verdict.difference_p:
            t, flips = map(probability_text, verdict.difference_p)
            said.append(
                f"The p value of a difference, before the correction: {t} by the t test, {flips} by sign flips."
            )
        show.sentence(" ".join(said))


def outcomes(rows: pd.DataFrame, *names: str) -> None:
    """What became of the claims called `names`, as a list; rows: of one preset, after which others' records follow.

    Raises ValueError for an unknown name.
    """
    preset, found = rows["preset"].iloc[0], {verdict.name: verdict for verdict in judge(rows)}
    own = [found[claim_called(name).name] for name in names]
    kinds = {verdict.kind for verdict in own if KINDS[verdict.kind]}
    everyone = {preset: own} | (_of_others(rows) if kinds else {})
    apart = {name: verdict for name, verdict in found.items() if name not in names}  # the others have their own lines
    compared, pictures, lines = checked(rows), presets.named(preset).pictures, []
    for verdict in own:
        if KINDS[verdict.kind] is None:
            lines.append(f"**{verdict.claim}**: {verdict.verdict} ({verdict.why}).")
            continue
        said = headline.everywhere(everyone, verdict.name)
        if not headline.was_run(verdict):
            said.insert(0, f"{pictures}: {verdict.verdict}")
        if others := headline.otherwise(verdict.name, compared, apart):
            said.append(headline.with_list(f"asked otherwise, on {pictures}:", others))
        notes = {f"note, on {pictures}": verdict.remark, "note": claim_called(verdict.name).caveat}
        said += [f"{where}: {text}" for where, text in notes.items() if text]
        compares = f"{verdict.comparison}{headline.in_the_paper(verdict)}"
        lines.append(headline.with_list(f"**{verdict.claim}** ({compares}):", said))
    units = _units(kinds)
    lead = [f"Effects {units}, with 95 % intervals over seeds.", ""] if units else []
    show.sentence("\n".join([*lead, *(f"- {line}" for line in lines)]))


def _of_others(rows: pd.DataFrame) -> dict[str, list[Verdict]]:
    """Verdicts on the records of the presets that `rows` are not about."""
    store, found = results.Store(), {}
    own = set(rows["preset"]) if "preset" in rows else set()
    for preset in evidence.presets(store):
        if preset in own:
            continue
        try:
            found[preset] = judge(evidence.rows(store, preset))
        except ValueError as error:  # this page is not about them
            show.sentence(f"Records of preset `{preset}` are left out: {error}")
    return found


def details(rows: pd.DataFrame, name: str) -> None:
    """What lies behind one claim: its comparisons, and tests of fixed nets, which decide nothing."""
    found, claim = verdict_tables.details(rows, name), claim_called(name)
    caption = f"Behind '{claim.statement}'. {effects(name)} No test here is corrected, and none decides anything. "
    if verdict_tables.UNCORRECTED in found:
        caption += "The t test and the sign flips, of which only the first assumes a normal distribution, ask whether "
        caption += "the mean over seeds differs from 0. "
    caption += "The bootstrap draws seeds and images anew; with a single seed, images alone. McNemar's "
    caption += "test compares two fixed nets, seed by seed."
    if any(len(comparison.baselines) > 1 for comparison in claim.comparisons):
        caption += " The best of several baselines is picked on these very images: McNemar's p value is then too small "
        caption += "for a loss, and the bootstrap leaves the pick out."
    show.table(found, caption)


def in_short(rows: Mapping[str, pd.DataFrame], preset: str = "demo") -> None:
    """What was run and what came out, in some sentences; rows: of each preset, as `evidence.everything` gives them."""
    found = {name: judge(own) for name, own in rows.items()}
    paper = next(verdict.paper for verdict in found[preset] if verdict.name == headline.MAIN)
    ran = [headline.setting(name, own) for name, own in rows.items() if (own["status"] == "done").any()]
    lines = [
        headline.with_list("**What was run**, the longer trainings of some pages aside:", ran or ["nothing"]),
        headline.with_list("**What came out**, on", headline.tallies(found) or ["nothing that was run"]),
        headline.with_list(
            "**Depth**, the paper's main claim: the top-1 error with 19 layers minus that with 11, in points. In the "
            f"paper it is {paper:+.1f}, and here, on",
            headline.everywhere(found) or ["nothing that was run"],
        ),
    ]
    if same := headline.reproduced(found[preset], rows[preset]):
        lines.append(
            headline.with_list(f"**What came out as in the paper** ({len(same)}), and what is behind it:", same)
        )
    show.sentence("\n".join(f"- {line}" for line in lines))


def scoreboard(rows: pd.DataFrame, preset: str = "demo") -> None:
    """Every claim on the evidence of a preset's rows, of all its tables, in short."""
    found = judge(rows)
    caption = f"The paper's claims on the evidence of preset {preset}. Effects in points of top-1 error: below 0 what "
    caption += "the claim is about (depth, jitter, more crops) brings a gain, above 0 a loss; a claim of no gain "
    caption += "expects about 0. Of costs a ratio, of counts millions of weights"
    if any(verdict.p_value is not None for verdict in found):
        caption += ". Verdicts are corrected for all claims that can be tested, so a claim may be undecided although "
        caption += "its interval leaves out 0"
    show.table(verdict_tables.short(found), caption)


def starts_of(preset: str = "demo") -> None:
    """Net E from several starts, from a preset's records."""
    the_table(_evidence(preset, "starts"), "starts")


def depth_figure(preset: str = "demo") -> None:
    """Error against depth, ours above the paper's (Table 3, S = 256), from a preset's records."""
    from vgglib import plots

    axes = plots.error_by_depth(_evidence(preset, "3"))
    alt = f"Top-1 error of preset {preset} against the number of weight layers, with intervals, above the paper's nets"
    caption = f"Top-1 error at S = Q = 256 over the number of weight layers: preset {preset} above, the paper below, "
    caption += "on a scale of its own."
    show.picture(axes.figure, alt, caption)


def _evidence(preset: str, table: str) -> pd.DataFrame:
    return evidence.rows(results.Store(), preset, table)


def evaluation_cost(rows: pd.DataFrame) -> None:
    """What an image costs with dense evaluation and with crops, over the same three test scales (Table 5)."""
    cost = tables.evaluation_cost(rows)
    text = {
        "Net": cost["net"],
        "Dense, ms": _spans(cost, "dense", 1000),
        "150 crops, ms": _spans(cost, "multi-crop", 1000),
        "Crops : dense": _spans(cost, "ratio"),
        "Seeds": cost["seeds"].astype(str),
        "On": cost["on"].fillna("not run"),
    }
    caption = "Time of evaluation for each image, three test scales with mirror images. Medians of both times and of "
    caption += "their ratio, over the seeds that have both, with the least and the most. Crops share no computation; "
    caption += "dense evaluation looks at every part of the image once. Other work on the machine is in these times. "
    caption += "The page on speed has the same, timed on a machine that did nothing else."
    show.table(pd.DataFrame(text), caption)
    square, wide = (crops_over_dense(aspect=aspect) for aspect in (1, 4 / 3))
    show.sentence(
        f"Counted in pixels, 150 crops are {square:.1f} times the three dense passes and their mirror images for "
        f"square images, and {wide:.1f} times for images of 4:3, which dense evaluation sees whole."
    )


def _spans(cost: pd.DataFrame, name: str, unit: float = 1) -> list[str]:
    """A median of `tables.evaluation_cost` and its ends, for each line."""
    texts = [[_number(unit * value) for value in cost[name + end]] for end in ("", "_low", "_high")]
    return [f"{median} ({low} to {high})" if low != high else median for median, low, high in zip(*texts, strict=True)]


def _number(value: float) -> str:
    return "-" if pd.isna(value) else f"{value:.2f}" if value < 10 else f"{value:.0f}"


def chance(rows: pd.DataFrame) -> None:
    """What guessing would achieve with these rows' number of classes, in a sentence."""
    known = [] if rows.empty else rows["n_classes"].dropna().unique()
    if not len(known):
        show.sentence("These numbers are not run, so the number of classes is not known here.")
        return
    classes = int(known[0])
    top1, top5 = (100 * max(0, 1 - k / classes) for k in (1, 5))
    show.sentence(
        f"With {classes} classes guessing has a top-1 error of {top1:.1f} % and a top-5 error of {top5:.1f} %; with "
        "ImageNet's 1000 classes they are 99.9 % and 99.5 %."
    )


def data_summary(preset: str = "demo") -> None:
    """Sizes of the splits of a preset that draws its own pictures; nothing is drawn for it."""
    from vgglib.data import shapes

    settings, (train, val) = presets.named(preset).data, presets.named(preset).images
    side, longest = settings["smallest_side"], max(max(ratio, 1 / ratio) for ratio in shapes.ASPECT_RATIOS)
    counts = {"train": train, "minival": settings["train_images"] - train, "val": val}
    lines = [
        {
            "Split": name,
            "Images": f"{count:,}",
            "Classes": len(shapes.CLASSES),
            "Smallest side, px": side,
            "Largest side, px": round(side * longest),
        }
        for name, count in counts.items()
    ]
    show.table(pd.DataFrame(lines), f"Data set {settings['name']} of preset {preset}.")


def data_sheet(preset: str = "demo", columns: int = 8) -> None:
    """One picture of every class of a preset that draws its own, the first of its training images, with its name."""
    import matplotlib.pyplot as plt

    from vgglib.data import shapes

    labels = range(len(shapes.CLASSES))
    drawings = shapes.draw(labels, labels, presets.named(preset).data["smallest_side"])
    lines = -(-len(labels) // columns)
    size = (1.35 * columns, 1.6 * lines)
    figure, axes = plt.subplots(lines, columns, figsize=size, layout="constrained", facecolor="white")
    for place in axes.flat:
        place.axis("off")
    for place, drawing in zip(axes.flat, drawings, strict=False):
        place.imshow(drawing.image)
        place.set_title(shapes.CLASSES[drawing.label], fontsize=9)
    alt = f"One training image for each of the {len(labels)} classes of shapes"
    show.picture(figure, alt, photograph=True)
