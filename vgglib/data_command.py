"""The command `vgg data`, and its own `pack`."""

from __future__ import annotations

from typing import Annotated

import typer

from vgglib.options import DataDir, Preset, SkipBadImages, stoppable

app = typer.Typer(pretty_exceptions_enable=False)

LISTED = 10  # bad images; the shards' metadata list all


@app.callback(invoke_without_command=True)
def data(
    context: typer.Context,
    preset: Preset = "demo",
    data_dir: DataDir = None,
    skip_bad_images: SkipBadImages = False,
) -> None:
    """Load a preset's images and say what they are, or pack a large data set for it."""
    if context.invoked_subcommand:
        for name in context.params:
            if context.get_parameter_source(name).name == "COMMANDLINE":
                raise ValueError(
                    f"--{name.replace('_', '-')} stands before `{context.invoked_subcommand}`, which does not see it "
                    "there: put it behind, or leave it out."
                )
        return
    from vgglib.runner import load_images

    images = load_images(preset, data_dir, skip_bad_images)
    for name, split in (("train", images.train), ("minival", images.minival), ("val", images.val)):
        sides = f"{int(split.sizes.min())} to {int(split.sizes.max())} px"
        typer.echo(f"{name:8} {len(split):7,} images, sides {sides}")
    more = ", ..." if len(images.class_names) > 6 else ""
    typer.echo(f"classes  {len(images.class_names)}: {', '.join(images.class_names[:6])}{more}")
    typer.echo(f"mean RGB {', '.join(f'{value:.2f}' for value in images.mean_rgb.tolist())}")
    typer.echo(f"skipped  {len(images.skipped)}" + (f", the first is {images.skipped[0]}" if images.skipped else ""))
    if images.unread:
        typer.echo(f"not read {', '.join(f'{count} {suffix}' for suffix, count in images.unread)}")
    typer.echo(f"sha256   {images.digest}")


@app.command()
def pack(
    source: Annotated[
        str, typer.Argument(help="Folder of ILSVRC-2012: a tree, val/ with the devkit, Kaggle's, or Parquet.")
    ],
    target: Annotated[str, typer.Argument(help="Folder of the pack; an interrupted packing goes on there.")],
    smallest_side: Annotated[int, typer.Option(help="Reduce images whose smallest side has more pixels.")] = 512,
    skip_bad_images: SkipBadImages = False,
    jobs: Annotated[int | None, typer.Option(help="Processes; by default one per core.")] = None,
) -> None:
    """Store a large data set as few large files of small images, which training on it reads."""
    from pathlib import Path

    from vgglib.data import pack as packing
    from vgglib.running.counting import fitting

    with stoppable("finished shards are kept"), fitting() as count:
        done = packing.pack(Path(source), Path(target), smallest_side, skip_bad_images, jobs, count)
    typer.echo(f"images   {done.images:,} in {done.shards} shards, {done.size_bytes / 1e9:.2f} GB")
    typer.echo(f"skipped  {len(done.skipped)}" + ("" if len(done.skipped) <= LISTED else f", the first {LISTED} are"))
    for name, reason, shard in done.skipped[:LISTED]:
        typer.echo(f"         {name}: {reason} (listed by {shard})")
    if done.skipped and not done.packed:
        listing = sorted({shard for *_, shard in done.skipped})
        more = f" and {len(listing) - LISTED} more" if len(listing) > LISTED else ""
        typer.echo(f"         once they are repaired, delete {', '.join(listing[:LISTED])}{more}, and pack again")
    rate = done.packed / done.seconds
    typer.echo(f"packed   {done.packed:,} images in {done.seconds:.1f} s, {rate:,.0f} images a second")
