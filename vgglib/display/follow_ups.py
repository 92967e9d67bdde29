"""Sections of pages on what was asked after the verdicts were known, which decides nothing about them."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from vgglib import arithmetic, catalogue, most_probable, plans, results, show
from vgglib.analysis import (
    drops,
    evidence,
    fusions,
    lengths,
    predictions,
    second_looks,
    shortening,
    signals,
    small_filters,
    starts,
)
from vgglib.display.sections import POINTS

LEFT_CHANCE = (
    "Left chance: in how many trainings, and after how many epochs, the error on minival had fallen as far below that "
    "of guessing as the plateau rule asks"
)


def second_looks_of(preset: str = "demo", rows: pd.DataFrame | None = None) -> None:
    """Claims that were asked a second time in another way, from a preset's records; nothing where none was.

    rows: of all its tables, where they have been read already.
    """
    store = results.Store()
    rows = evidence.rows(store, preset) if rows is None else rows
    others = (module.rows(store, preset) for module in (lengths, starts, small_filters))
    found = second_looks.table(rows, *others)
    if len(found):
        caption = f"The same claims of preset {preset}, asked in other ways after their verdicts were known. Effects "
        show.table(found, f"{caption}{POINTS}. Tests are not corrected for their number, and decide nothing.")
        if predicted := predictions.finding(store, preset):
            show.sentence(predicted)


def equal_starts_of(preset: str = "demo", **overrides) -> None:
    """Net E from A and from random weights, and A, with as many epochs in all, from a preset's records, or how to make
    them; `overrides` of its recipe as in `plans.plan`.
    """
    found = starts.rows(results.Store(), preset, **overrides)
    if found.empty:
        first, *others = (f"`--table {table}`" for table in catalogue.OF_STARTS)
        ways = f"`{plans.command_line(preset, *plans.options(overrides))}` with {first} and with {' or '.join(others)}"
        show.sentence(f"Preset {preset} has no such records; {ways} makes them.")
        return
    from vgglib import plots

    as_long = (found["net"] == "A") & found["together"].isin(found.loc[found["before"] > 0, "together"])
    others = "and of the A before it"
    if as_long.any():
        others = "of the A before it, and of A trained for as long as A and E together"
    caption = f"Errors in percent of net E from several starts and for several lengths, {others}: preset {preset}, "
    caption += f"S = Q = 256, dense evaluation, intervals over seeds. {LEFT_CHANCE}"
    show.table(starts.summary(found), caption)
    for length, own in starts.raced(found).items():
        alt = f"Top-1 error of net E on minival after every epoch, with {length} epochs in all, preset {preset}"
        caption = f"{alt}, a line for each start and seed. Lines from A show E's own epochs alone; A's came before."
        show.picture(plots.training_curves(own, by="start").figure, alt, caption)
    gained = starts.gains(found)
    if len(gained):
        caption = "What the start from A is worth against nets with as many epochs as A and E together, and what E "
        caption += "adds to its A: points of top-1 error, means over seeds; minus means that E from A errs less. Each "
        show.table(gained, caption + "test stands alone, as a second look")
        if mixed := starts.mixed_devices(found):
            show.sentence(mixed)


def signals_of(rows: pd.DataFrame) -> None:
    """What reaches both ends of the nets of these rows, as `Store.rows` gives them, before their first update."""
    found = signals.of(rows)
    if found.empty:
        show.sentence("No record of these nets has measurements of the first batch.")
        return
    caption = "The first batch before any update, S = 256: the standard deviation of the scores over images and "
    caption += "classes, and the norm of the gradient of conv1_1's weights. Geometric means over seeds, with the least "
    show.table(signals.table(found), f"{caption}and the most in brackets. {LEFT_CHANCE}")
    if said := signals.finding(found):
        show.sentence(said)


def small_filters_of(preset: str = "demo") -> None:
    """B against B-5x5 on a centre crop, from a preset's records, or how to make them."""
    found = small_filters.rows(results.Store(), preset)
    pairs = small_filters.table(found)
    if pairs.empty:
        words = f"--table 5x5,{catalogue.CENTRE}", "--no-from-a", "--results mine"
        show.sentence(
            f"Preset {preset} has no such records of both nets; `{plans.command_line(preset, *words)}` makes them."
        )
        return
    caption = f"B against B-5x5, tested in two ways, preset {preset}, S = Q = 256: mean top-1 errors in percent, their "
    caption += "difference in points (minus means that B errs less), and the error of B-5x5 divided by that of B (a "
    caption += "geometric mean). 95 % intervals are over seeds. Each test stands alone, as a second look"
    show.table(pairs, caption)
    if said := small_filters.finding(found):
        show.sentence(said)


def lengths_in_short(preset: str = "demo") -> None:
    """What `lengths_of` and `predictions_of` find, in sentences."""
    store = results.Store()
    found = lengths.rows(store, preset)
    said = _no_lengths(preset) if found.empty else lengths.finding(found)
    show.sentence(f"{said} {predictions.finding(store, preset)}".strip())


def _no_lengths(preset: str) -> str:
    """What to say of a preset without longer trainings."""
    return (
        f"Preset {preset} has no such records; `{plans.command_line(preset, '--table crops')}` makes some, and so "
        "does --table 3 with --epochs and a number."
    )


def lengths_of(preset: str = "demo") -> None:
    """What depth is worth after more epochs and on crops, from a preset's records, or how to make some."""
    found = lengths.rows(results.Store(), preset)
    if found.empty:
        show.sentence(_no_lengths(preset))
        return
    from vgglib import plots
    from vgglib.display import length_plots

    alt = "Top-1 error against the number of weight layers, a line for each kind of training and way to test"
    aside = "Points of one net are drawn side by side."
    show.picture(plots.error_by_length(found).figure, alt, f"{alt}: preset {preset}, S = Q = 256. {aside}")
    usual = (found["drops"] == lengths.BY_RULE) & (found["resolution"] == lengths.OWN) & (found["method"] == "dense")
    longest = found[usual & (found["epochs"] == found.loc[usual, "epochs"].max())]
    longest = longest[longest["recipe"].isin(longest["recipe"].mode()[:1])]  # of one arithmetic: that of most runs
    if longest["history"].map(len).any():
        which = f"of the trainings of at most {longest['epochs'].iloc[0]} epochs that follow the plateau rule"
        alt = f"Top-1 error on minival after every epoch {which}, preset {preset}"
        show.picture(plots.training_curves(longest).figure, f"{alt}, a line for each net and seed")
    caption = f"What a step of depth is worth, preset {preset}: points of top-1 error with 95 % intervals over seeds; "
    caption += "minus means that the deeper net errs less"
    show.table(lengths.effects(found), caption)
    if len(lengths.of_ends(found)):
        alt = f"Top-1 error of every seed of A and E by training and way to test, preset {preset}"
        caption = f"{alt}. Where seeds of one net lie in groups, its mean describes none of them."
        show.picture(length_plots.seeds(found).figure, alt, caption)
    changed = lengths.changes(found)
    if len(changed):
        caption = "What more epochs, other drops of the rate, more pixels and another test change in E - A, what 19 "
        show.table(changed, caption + "layers are worth against 11: points of top-1 error")
    late = lengths.without_rule(found)
    if len(late):
        caption = "Trainings whose rate follows the plateau rule, and trainings of the same seeds whose rate "
        caption += f"waits for the deadlines, preset {preset}: mean top-1 error in percent (standard deviation over "
        show.table(late, caption + "seeds), and the change in points; minus means that nets which waited err less")
    show.sentence(" ".join(filter(None, (lengths.finding(found), lengths.at_the_border(found), lengths.ends(found)))))
    told = "The records do not tell which, since the rule was the same for all."
    if len(late):
        told = "The last table shows what changed where the rate waited for the deadlines."
    show.sentence(
        f"The longest trainings under the plateau rule, tested densely. {drops.said(drops.of(longest))} Where the "
        f"first rate was shorter, the rule may have cut learning short, or only noticed that it had stopped. {told}"
    )


def predictions_of(preset: str = "demo") -> None:
    """What was predicted about a preset's nets, and what came of it."""
    store = results.Store()
    found = predictions.table(store, preset)
    if found.empty:
        show.sentence(f"Nothing was predicted about the nets of preset {preset}.")
        return
    show.sentence(predictions.finding(store, preset))
    caption = f"The seeds that suggested the prediction about preset {preset}, and those that tested it: mean top-1 "
    caption += "errors in percent, their difference in points with its 95 % interval over seeds, and seed by seed"
    show.table(found, caption)


def arithmetic_of(preset: str = "demo") -> None:
    """Trainings of a preset's recipe that were done in bf16 and in fp32, from its records."""
    found = arithmetic.pairs(results.Store(), preset)
    if found.empty:
        show.sentence(
            f"No net of preset {preset} has records of two seeds in both arithmetics here: "
            f"`{plans.command_line(preset)}` with `--precision fp32`, or `bf16`, makes what is missing."
        )
        return
    nets = ", ".join(found["net"].unique())
    images = "the same images"
    if not found["same_images"].all():
        images = "images from the same seeds that are not equal to the last bit (their digests differ),"
    show.sentence(
        f"These nets of preset {preset} were trained in both arithmetics on {images} in the same order: {nets}. "
        "Those that start from A start from an A in their own arithmetic."
    )
    caption = f"The same trainings of preset {preset} with products in bf16 and in fp32: mean top-1 errors in percent, "
    caption += "their difference in points with its 95 % interval over seeds, and the standard deviations of errors "
    caption += "between seeds of one arithmetic and within pairs of one seed"
    show.table(arithmetic.summary(found), caption)
    show.sentence(
        f"The error in bf16 against that in fp32, over all nets of the table: **{arithmetic.finding(found)}**."
    )


def shortening_of(preset: str) -> None:
    """What storing only the most probable classes would change in means of two nets, from a preset's records, of which
    all classes are stored.
    """
    found = shortening.rows(results.Store(), preset)
    if found.empty:
        show.sentence(f"Preset {preset} has no records of two nets of one seed that hold all classes.")
        return
    caption = (
        f"All pairs of nets of one seed, preset {preset}, S = Q = 256, dense: errors in percent of their averaged "
    )
    caption += f"posteriors, from all classes and from the {most_probable.KEPT} most probable of each net and image. "
    caption += "Means over pairs, and the largest difference of any pair in either direction"
    show.table(shortening.summary(found), caption)


def fusions_of(preset: str = "demo", seeds: Sequence[int] | None = None, **overrides) -> None:
    """Which two nets to average, from a preset's records; seeds: by default all that have some; `overrides` as in
    `plans.plan`.
    """
    found = fusions.rows(results.Store(), preset, seeds, **overrides)
    missing = [method for method in fusions.METHODS if method not in set(found["method"])]
    if missing:
        asked = f"of the seeds asked for ({', '.join(map(str, seeds))})" if seeds else "seeds"
        show.sentence(
            f"No pair of two seeds can be averaged with {' or with '.join(missing)} evaluation: fewer than two {asked} "
            f"have records of both D and E with jitter, preset {preset}."
        )
    if found.empty:
        return
    caption = (
        f"D and E of preset {preset}, trained with jitter and tested at the three Q of jittered nets, alone and in "
    )
    caption += "pairs: top-1 error in percent, and the error of a pair minus that of its better net, in points. Both "
    caption += "are means over all nets or pairs, with 95 % intervals over seeds. Pairs of two seeds share nets, so "
    caption += "their intervals leave out one seed at a time (jackknife), which needs three."
    show.table(fusions.summary(found), caption)
    caption = f"What an exchange of one thing does to the top-1 error of a pair, preset {preset}, in points. Minus "
    show.table(
        fusions.exchanges(found), caption + "means that what is named first errs less. Intervals as in the table above."
    )
