"""Sections of pages about the experiments: plans, tables, verdicts, and what was asked again."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from vgglib import (
    arithmetic,
    drops,
    evidence,
    experiments,
    fusions,
    lengths,
    plans,
    predictions,
    presets,
    results,
    second_looks,
    show,
    starts,
    tables,
    verdict_tables,
)
from vgglib.claims import claim_called
from vgglib.cost import crops_over_dense
from vgglib.experiments import Entry, Experiment
from vgglib.verdicts import judge

EFFECTS = (
    "Effects in points of top-1 error, minus means that what is named first errs less; of costs a ratio, of counts "
    "millions of weights."
)


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
    listed = pd.DataFrame(tests).groupby(trainings, sort=False, as_index=False).agg(_listed)
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


def the_table(rows: pd.DataFrame, name: str | None = None, whose: str = "") -> None:
    """A table of `tables.BY_NAME`, ours beside the paper's; without a name the one that all rows belong to. A page on
    several presets says in the caption `whose` table it is, such as "preset demo".

    Lines of nets that no row is about are left out, since they may well have been run: they were not asked for.
    Raises ValueError for an unknown name, and where the rows do not tell which table is meant.
    """
    own = list(rows["table"].unique()) if name is None and len(rows) else [name]
    if len(own) != 1 or own[0] not in tables.BY_NAME:
        raise ValueError(
            f"the table is {' or '.join(map(str, own))}: name one of {', '.join(tables.BY_NAME)} after the rows."
        )
    found = tables.BY_NAME[own[0]](rows)
    title = ", ".join(filter(None, (tables.TITLES[own[0]], whose)))
    caption = f"{title}. Errors in percent; the interval is that of our top-1 error, over seeds, or where there is one "
    caption += '("images") over the test images alone.'
    text = tables.shown(found)
    net = next((column for column in ("net", "ensemble") if column in found), None)
    show.table(text[found[net].isin(rows["net"])] if net and len(rows) else text, caption)
    if own[0] == "7":
        show.sentence(tables.NOT_COMPARABLE)


def verdicts(rows: pd.DataFrame, *names: str) -> None:
    """The claims called `names` with the paper's effect, ours and the verdict, then a sentence for each."""
    found = judge(rows, *names)
    show.table(verdict_tables.frame(found).drop(columns="Why"), EFFECTS)
    for verdict in found:
        show.sentence(f"**{verdict.claim}: {verdict.verdict}** ({verdict.why}).")


def details(rows: pd.DataFrame, name: str) -> None:
    """What lies behind one claim: its comparisons, and tests of fixed nets, which decide nothing."""
    found = verdict_tables.details(rows, name)
    statement = claim_called(name).statement
    caption = f"Behind '{statement}'. {EFFECTS} McNemar's p values are those of two fixed nets, seed by seed; they are "
    caption += "not corrected and decide nothing."
    show.table(found, caption)


def scoreboard(preset: str = "demo") -> None:
    """Every claim on the evidence of a preset's records, in short."""
    caption = f"The paper's claims on the evidence of preset {preset}. {EFFECTS}"
    show.table(verdict_tables.short(judge(_evidence(preset, "all"))), caption)


def second_looks_of(preset: str = "demo", rows: pd.DataFrame | None = None) -> None:
    """Claims that were asked a second time in another way, from a preset's records; nothing where none was.

    rows: of all its tables, where they have been read already.
    """
    rows = _evidence(preset, "all") if rows is None else rows
    store = results.Store(results.default_root())
    found = second_looks.table(rows, lengths.rows(store, preset), starts.rows(store, preset))
    if len(found):
        caption = f"The same claims of preset {preset}, asked in other ways after their verdicts were known. {EFFECTS} "
        show.table(found, caption + "Not corrected for their number; they decide nothing.")
        if predicted := predictions.finding(store, preset):
            show.sentence(predicted)


def starts_of(preset: str = "demo") -> None:
    """Net E from several starts, from a preset's records."""
    the_table(_evidence(preset, "starts"), "starts")


def equal_starts_of(preset: str = "demo") -> None:
    """Net E from A and from random weights, and A, with as many epochs in all, from a preset's records, or how to make
    them.
    """
    found = starts.rows(results.Store(results.default_root()), preset)
    if found.empty:
        first, *others = (f"`--table {table}`" for table in plans.OF_STARTS)
        ways = f"`vgg run --preset {preset}` with {first} and with {' or '.join(others)}"
        show.sentence(f"Preset {preset} has no such records; {ways} makes them.")
        return
    from vgglib import plots

    caption = "Net E from several starts and for several lengths, and A where it was trained for as long as A and E "
    caption += f"from it together, preset {preset}, S = Q = 256, dense evaluation: "
    caption += "errors in percent, with intervals over seeds. Left chance: trainings in which the error on minival "
    caption += "fell below that of guessing by as much as the rule of the plateaus asks, and when"
    show.table(starts.summary(found), caption)
    for length, own in starts.raced(found).items():
        alt = f"Top-1 error of net E on minival after every epoch, with {length} epochs in all, preset {preset}"
        caption = f"{alt}, a line for each start and seed. Lines from A have E's own epochs alone; A's came before."
        show.picture(plots.training_curves(own, by="start").figure, alt, caption)
    gained = starts.gains(found)
    if len(gained):
        caption = "What the start from A is worth when others have as many epochs as A and E together: points of top-1 "
        show.table(
            gained, caption + "error by seed; minus means that E from A errs less. Tests stand alone, as a second look"
        )
        if mixed := starts.mixed_devices(found):
            show.sentence(mixed)


def lengths_of(preset: str = "demo") -> None:
    """What depth is worth after more epochs and on crops, from a preset's records, or how to make some."""
    found = lengths.rows(results.Store(results.default_root()), preset)
    if found.empty:
        show.sentence(
            f"Preset {preset} has no such records; `vgg run --table 3 --epochs` and `vgg run --table crops` make some."
        )
        return
    from vgglib import plots

    alt = "Top-1 error against the number of weight layers, a line for each kind of training and way to test"
    show.picture(plots.error_by_length(found).figure, alt, f"{alt}: preset {preset}, S = Q = 256.")
    by_rule = found[(found["drops"] == lengths.BY_RULE) & (found["method"] == "dense")]
    longest = by_rule[by_rule["epochs"] == by_rule["epochs"].max()]
    if longest["history"].map(len).any():
        alt = f"Top-1 error on minival after every epoch of the longest of these trainings, preset {preset}"
        show.picture(plots.training_curves(longest).figure, f"{alt}, a line for each net and seed")
    caption = f"What a step of depth is worth, preset {preset}: points of top-1 error, with 95 % intervals over seeds; "
    caption += "minus means that the deeper net errs less"
    show.table(lengths.effects(found), caption)
    changed = lengths.changes(found)
    if len(changed):
        caption = "By how many points more epochs, other drops of the rate, and another test change what 19 layers are "
        show.table(changed, caption + "worth against 11")
    late = lengths.without_rule(found)
    if len(late):
        caption = "Trainings whose rate follows the rule of the plateaus, and the same seeds whose rate waits for the "
        caption += f"deadlines, preset {preset}: mean top-1 error, and in brackets its standard "
        show.table(late, caption + "deviation over seeds; the change in points, minus means that waiting errs less")
    show.sentence(f"{lengths.finding(found)} {lengths.ends(found)}")
    told = "The records do not tell, since the rule was the same for all."
    if lengths.AT_DEADLINES in set(found["drops"]):
        told = "Trainings whose rate waited for the deadlines, in the last table, tell what it came to."
    show.sentence(
        f"The longest trainings, tested dense. {drops.said(drops.of(longest))} Below 0 it says that seeds whose first "
        "rate lasted longer err less. The rule may have cut the others short, or only seen that they had stopped. "
        + told
    )


def predictions_of(preset: str = "demo") -> None:
    """What was predicted about a preset's nets, and what came of it."""
    store = results.Store(results.default_root())
    found = predictions.table(store, preset)
    if found.empty:
        show.sentence(f"Nothing was predicted about the nets of preset {preset}.")
        return
    show.sentence(predictions.finding(store, preset))
    caption = f"The seeds that suggested the prediction about preset {preset}, and those that it was put to: mean "
    caption += "top-1 errors in percent, their difference in points with its 95 % interval over seeds, and seed by seed"
    show.table(found, caption)


def arithmetic_of(preset: str = "demo") -> None:
    """Trainings of a preset's recipe that were done in bf16 and in fp32, from its records."""
    found = arithmetic.pairs(results.Store(results.default_root()), preset)
    if found.empty:
        show.sentence(
            f"No net of preset {preset} has records of two seeds in both arithmetics here: "
            "`vgg run` with `--precision fp32`, or `bf16`, makes what is missing."
        )
        return
    nets = ", ".join(found["net"].unique())
    images = "the same images"
    if not found["same_images"].all():
        images = "images from the same seeds that are not equal to the last bit (their digests differ),"
    show.sentence(
        f"These nets of preset {preset} were trained in both arithmetics on {images} in the same order: {nets}. What "
        "starts from A starts from an A in its own arithmetic."
    )
    caption = f"The same trainings of preset {preset} with products in bf16 and in fp32: mean top-1 errors in percent, "
    caption += "their difference in points with its 95 % interval over seeds, and the standard deviations of errors "
    caption += "between seeds of one arithmetic and within pairs of one seed"
    show.table(arithmetic.summary(found), caption)
    show.sentence(
        f"The error in bf16 against that in fp32, over all nets of the table: **{arithmetic.finding(found)}**."
    )


def depth_figure(preset: str = "demo") -> None:
    """Error against depth, ours above the paper's (Table 3, S = 256), from a preset's records."""
    from vgglib import plots

    axes = plots.error_by_depth(_evidence(preset, "3"))
    alt = "Top-1 error against the number of weight layers, with intervals, above the same of the paper's nets"
    caption = f"Top-1 error at S = Q = 256 over the number of weight layers: preset {preset} above, the paper below."
    show.picture(axes.figure, alt, caption)


def _evidence(preset: str, table: str) -> pd.DataFrame:
    return evidence.rows(results.Store(results.default_root()), preset, table)


def evaluation_cost(rows: pd.DataFrame) -> None:
    """What an image costs with dense evaluation and with crops, over the same three test scales (Table 5)."""
    cost = tables.evaluation_cost(rows)
    text = {
        "Net": cost["net"],
        "Dense, ms": [_number(1000 * value) for value in cost["dense"]],
        "150 crops, ms": [_number(1000 * value) for value in cost["multi-crop"]],
        "Crops : dense": [_number(value) for value in cost["ratio"]],
        "Seeds": cost["seeds"].astype(str),
        "On": cost["on"].fillna("not run"),
    }
    caption = "Time of evaluation for each image, three test scales with mirror images: medians over the seeds with "
    caption += "both, and the median of their ratios. Crops share no computation; dense evaluation looks at "
    caption += "every part of the image once. Other work on the machine is in these times."
    show.table(pd.DataFrame(text), caption)
    square, wide = (crops_over_dense(aspect=aspect) for aspect in (1, 4 / 3))
    show.sentence(
        f"Counted in pixels, 150 crops are {square:.1f} times the three dense passes and their mirror images for "
        f"square images, and {wide:.1f} times for images of 4:3, which dense evaluation sees whole."
    )


def _number(value: float) -> str:
    return "-" if pd.isna(value) else f"{value:.2f}" if value < 10 else f"{value:.0f}"


def fusions_of(preset: str = "demo", seeds: Sequence[int] | None = None) -> None:
    """Which two nets to average, from a preset's records; seeds: by default all that have some."""
    found = fusions.rows(results.Store(results.default_root()), preset, seeds)
    missing = [method for method in fusions.METHODS if method not in set(found["method"])]
    if missing:
        asked = f"of the seeds {', '.join(map(str, seeds))}" if seeds else "seeds"
        show.sentence(
            f"No pair of two seeds can be averaged with {' or with '.join(missing)} evaluation: fewer than two {asked} "
            f"have records of both D and E with jitter, preset {preset}."
        )
    if found.empty:
        return
    caption = f"D and E of preset {preset}, trained with jitter and tested at the scales of Table 5, alone and in "
    caption += "pairs. Means over all nets or pairs (their number): top-1 error in percent, and by how many points a "
    caption += "pair's differs from that of its better net, minus means that the pair errs less. 95 % intervals are "
    caption += "over seeds; those of pairs of two seeds, which share nets, leave out one seed at a time (jackknife) "
    caption += "and need three."
    show.table(fusions.summary(found), caption)
    caption = f"What an exchange of one thing does to the top-1 error of a pair, preset {preset}: points, minus means "
    show.table(
        fusions.exchanges(found), caption + "that what is named first errs less. Intervals as in the table above."
    )


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
