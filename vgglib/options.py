"""What commands of the command line share: their options, and the plan that these ask for."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Annotated

import typer

from vgglib import catalogue
from vgglib.lists import listed

Preset = Annotated[
    str, typer.Option(help="Data and recipe: smoke, demo, tiny-imagenet, tiny-imagenet-50, imagenet or folder.")
]
Table = Annotated[
    str,
    typer.Option(
        help=f"Which numbers: 3 to 7 (the paper's tables), {catalogue.briefs(in_all=True)}, or all; and what all "
        f"leaves out: {catalogue.briefs(in_all=False)}. Several with commas."
    ),
]
Nets = Annotated[str | None, typer.Option(help="Only these nets, such as A,B.")]
Seeds = Annotated[str | None, typer.Option(help="Only these seeds, such as 0,1,2.")]
TrainScales = Annotated[
    str | None, typer.Option(help="Only nets trained at these S, such as 256,384; also 256-512 and 384+384.")
]
Width = Annotated[float | None, typer.Option(help="Multiply every channel count; the paper's nets have width 1.")]
Resolution = Annotated[
    float | None,
    typer.Option(
        help="Multiply all scales, 224, 256 and so on; the paper's pixels have resolution 1. Images that are stored "
        "with fewer pixels than a scale are enlarged."
    ),
]
Epochs = Annotated[int | None, typer.Option(help="At most so many passes over the training images.")]
BatchSize = Annotated[int | None, typer.Option(help="Images per step.")]
LearningRate = Annotated[float | None, typer.Option(help="Rate before the first drop.")]
Patience = Annotated[int | None, typer.Option(help="Epochs without a better error on minival before the rate drops.")]
Momentum = Annotated[float | None, typer.Option(help="How much of its last step a weight keeps.")]
WeightDecay = Annotated[float | None, typer.Option(help="Factor of the L2 penalty.")]
Dropout = Annotated[float | None, typer.Option(help="Share of units dropped after fc6 and fc7.")]
Drops = Annotated[int | None, typer.Option(help="How often the rate is divided by ten before training ends.")]
DropDeadlines = Annotated[
    str | None,
    typer.Option(
        help="By which share of the epochs each drop comes at the latest, such as 0.6,0.8,0.93; or none, for as long "
        "as the plateaus take."
    ),
]
Initialisation = Annotated[str | None, typer.Option(help="glorot, he-fan-out or gaussian.")]
FromA = Annotated[
    bool | None,
    typer.Option("--from-a/--no-from-a", help="Start B, C, D and E from a trained A, or from random weights."),
]
Precision = Annotated[str | None, typer.Option(help="auto, bf16 or fp32.")]
DataDir = Annotated[str | None, typer.Option(help="Folder of the images, for presets that read one.")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda or cuda:N; by default the GPU where there is one.")]
Results = Annotated[str | None, typer.Option(help="Folder of the records; by default the repository's results/.")]
SkipBadImages = Annotated[bool, typer.Option("--skip-bad-images", help="Leave out images that do not decode.")]


def planned(
    preset: Preset = "demo",
    table: Table = "all",
    nets: Nets = None,
    seeds: Seeds = None,
    train_scales: TrainScales = None,
    width: Width = None,
    resolution: Resolution = None,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    learning_rate: LearningRate = None,
    momentum: Momentum = None,
    weight_decay: WeightDecay = None,
    dropout: Dropout = None,
    patience: Patience = None,
    drops: Drops = None,
    drop_deadlines: DropDeadlines = None,
    initialisation: Initialisation = None,
    from_a: FromA = None,
    precision: Precision = None,
):
    """The numbers that these options ask for."""
    from vgglib import plans

    scales = listed(train_scales, what="scale")
    return plans.plan(
        preset, table, listed(nets), listed(seeds, int, "seed"), scales, width=width, resolution=resolution,
        epochs=epochs, batch_size=batch_size, learning_rate=learning_rate, momentum=momentum,
        weight_decay=weight_decay, dropout=dropout, patience=patience, drops=drops,
        drop_deadlines=_deadlines(drop_deadlines), initialisation=initialisation, from_a=from_a, precision=precision,
    )  # fmt: skip


def of_a_plan(command: Callable, recorded: bool = False, without: Sequence[str] = (), **usual: str) -> Callable:
    """Give a command the options of `planned`, some with a default of its own (`usual`) and not those in `without`, and
    in their stead what they plan as its first argument; with `recorded` of all seeds on record, unless some are named.
    """
    options = inspect.signature(planned, eval_str=True).parameters
    options = {name: option for name, option in options.items() if name not in without}
    options |= {name: options[name].replace(default=value) for name, value in usual.items()}
    _, *own = inspect.signature(command, eval_str=True).parameters.values()

    @wraps(command)
    def with_options(**given):
        asked = {name: given.pop(name) for name in options}
        entries = _recorded(asked, store_in(given["results"])) if recorded and asked["seeds"] is None else []
        return command(entries or planned(**asked), **given)

    named = [option.replace(kind=inspect.Parameter.KEYWORD_ONLY) for option in (*options.values(), *own)]
    with_options.__signature__ = inspect.Signature(named)
    with_options.__annotations__ = {option.name: option.annotation for option in named}
    return with_options


def _recorded(asked: dict, store) -> list:
    """What is planned with these options for every net and seed of which there is a record."""
    seeds = ",".join(map(str, store.seeds(asked["preset"], any_recipe=True)))
    entries = planned(**asked | {"seeds": seeds}) if seeds else []
    return store.of_nets_on_record(entries)


@contextmanager
def stoppable(kept: str) -> Iterator[None]:
    """Ends a command that is interrupted with a sentence that says what of its work is `kept`, and exit status 130."""
    try:
        yield
    except KeyboardInterrupt:
        if os.environ.get("RANK", "0") == "0":  # of torchrun's processes one says it
            typer.echo(f"vgg: stopped; {kept}, the same command goes on.", err=True)
        raise typer.Exit(130) from None


def say_if_empty(store, preset: str) -> None:
    """A line on stderr where a folder has no records of a preset, which a misspelt name looks like."""
    if not store.seeds(preset, any_recipe=True):
        typer.echo(f"vgg: {store.root} holds no records of preset {preset}; --results names another folder.", err=True)


def _deadlines(text: str | None) -> list[float] | None:
    if text is None or text.strip() == "none":
        return None if text is None else []
    if found := listed(text, float, "share"):
        return found
    raise ValueError(f"--drop-deadlines is {text!r}: write shares with commas, such as 0.6,0.8,0.93, or none.")


def store_in(folder: str | None):
    """The records in a folder given by hand, or in the repository's."""
    from vgglib.results import Store

    return Store(folder)
