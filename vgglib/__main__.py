"""The command line, `vgg`: a function for every command, but for those of `data_command`."""

from __future__ import annotations

import sys
from functools import partial
from typing import Annotated

import typer

from vgglib import data_command
from vgglib.lists import listed
from vgglib.options import (
    BatchSize,
    DataDir,
    Device,
    Preset,
    Results,
    SkipBadImages,
    of_a_plan,
    say_if_empty,
    stoppable,
    store_in,
)

app = typer.Typer(
    help="Reproduce the tables of Simonyan & Zisserman's paper on very deep convolutional networks.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _version(asked: bool) -> None:
    if asked:
        from vgglib import __version__

        typer.echo(f"vgglib {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    pass


app.add_typer(data_command.app, name="data")


@app.command()
@of_a_plan
def plan(entries, results: Results = None) -> None:
    """List the evaluations behind a table, and which of them have been made, or their training begun."""
    from vgglib.experiments import runs

    store = store_in(results)
    say_if_empty(store, entries[0].preset)
    for run in runs(entries):
        record = store.read(run)
        without = "begun" if store.begun(run) else "not run"
        why = f" ({record['error']})" if record and record["error"] else ""
        typer.echo(f"{record['status'] if record else without:8} {run.run_id}{why}")


@app.command()
@of_a_plan
def run(
    entries,
    data_dir: DataDir = None,
    results: Results = None,
    device: Device = None,
    threads: Annotated[
        int | None, typer.Option(help="CPU threads of each training; by default one, or all for one net at a time.")
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            help="Nets trained at once; by default one per core (or --threads of them) or worker, one on a GPU."
        ),
    ] = None,
    backend: Annotated[
        str, typer.Option(help="Who trains several nets at once: loky (this host's processes), dask or ray.")
    ] = "loky",
    scheduler: Annotated[
        str | None,
        typer.Option(
            help="Address of a dask or ray cluster, whose hosts must all see the results folder at the same path; "
            "without one, dask and ray are started on this host."
        ),
    ] = None,
    skip_bad_images: SkipBadImages = False,
    decoder: Annotated[
        str, typer.Option(help="Of packed images: pillow, dali (NVIDIA's) or auto: DALI on a GPU where it is.")
    ] = "auto",
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Run again what failed before.")] = False,
    max_minutes: Annotated[float, typer.Option(help="Stop after so many minutes; the next call goes on.")] = float(
        "inf"
    ),
    images_per_pass: Annotated[
        int | None, typer.Option(help="Take a batch through the net in passes of so many images, to save memory.")
    ] = None,
    bf16_gradients: Annotated[
        bool, typer.Option("--bf16-gradients", help="Under torchrun: send gradients rounded to bf16.")
    ] = False,
    compiled: Annotated[
        bool,
        typer.Option(
            "--compile",
            help="Fuse the updates' kernels, for some tens of seconds before the first: for long trainings on a GPU in "
            "one process, with batches in one pass.",
        ),
    ] = False,
) -> None:
    """Train and evaluate what a table needs and has not been run, then print the table."""
    from vgglib import runner

    with stoppable("nothing is lost but what came after the last checkpoint"):
        rows = runner.run(
            entries, data_dir=data_dir, device=device, threads=threads, jobs=jobs, backend=backend, scheduler=scheduler,
            results=results, skip_bad_images=skip_bad_images, decoder=decoder, retry_failed=retry_failed,
            max_minutes=max_minutes, images_per_pass=images_per_pass, bf16_gradients=bf16_gradients,
            compiled=compiled,
        )  # fmt: skip
    from vgglib.training import distributed

    if distributed.first():
        _print_tables(rows)
        failed = rows[rows["status"] == "failed"]
        for error, own in failed.groupby("error", sort=False):
            said = f"{len(own)} of {len(rows)} numbers failed ({error}); --retry-failed runs them again."
            typer.echo(f"vgg: {said}", err=True)
        if left := (rows["status"] == "not run").sum() if max_minutes < float("inf") else 0:
            typer.echo(f"vgg: {left} of {len(rows)} numbers are not there yet; the same command goes on.", err=True)


@app.command()
@partial(of_a_plan, recorded=True)
def table(entries, results: Results = None) -> None:
    """Print a table from the records that exist, of all their seeds unless said; nothing is run."""
    store = store_in(results)
    say_if_empty(store, entries[0].preset)
    _print_tables(store.rows(entries))


@app.command()
def evaluate(
    weights: Annotated[
        str,
        typer.Option(
            help="Nets that others trained, such as torchvision:D,torchvision:E, or from files, such as "
            "torchvision:D=/path/vgg16.pth or caffe:D=/path/VGG_ILSVRC_16_layers.caffemodel. torchvision has A, B, D "
            "and E, Caffe D and E."
        ),
    ],
    preset: Preset = "imagenet",
    table: Annotated[
        str, typer.Option(help="Which protocols: those of the paper's table 3, 4, 5 or 6, or all.")
    ] = "all",
    data_dir: DataDir = None,
    results: Results = None,
    device: Device = None,
    jobs: Annotated[
        int | None, typer.Option(help="Nets tested at once; by default one per core, one on a GPU.")
    ] = None,
) -> None:
    """Test nets that others trained as the paper tests its own, and print their errors beside those expected."""
    from vgglib.analysis import expected
    from vgglib.training import distributed
    from vgglib.weights.published import Source

    sources = [Source.of(text) for text in listed(weights)]
    with stoppable("tests that were done are kept"):
        found = expected.evaluate(preset, sources, table, results, data_dir=data_dir, device=device, jobs=jobs)
    if distributed.first():
        typer.echo(expected.shown(found).to_string(index=False))


@app.command(name="claims")
# Of a part of the plan most claims would be "not run".
@partial(of_a_plan, recorded=True, without=("table", "nets", "train_scales"))
def verdicts(entries, results: Results = None) -> None:
    """Print every claim of the paper with its verdict on a preset's records, as a table in Markdown."""
    from vgglib import verdicts
    from vgglib.analysis import verdict_tables

    store = store_in(results)
    say_if_empty(store, entries[0].preset)
    typer.echo(verdict_tables.markdown(verdicts.judge(store.rows(entries))))


@app.command()
@partial(of_a_plan, table="3", train_scales="256")
def keep(entries, results: Results = None) -> None:
    """Keep trained weights beside the records: pages and readers can then look into these nets."""
    from vgglib import experiments, weights

    store, planned, missing = store_in(results), experiments.runs(entries), {}
    for run in planned:
        try:
            typer.echo(weights.keep(store, run))
        except weights.NotTrained as error:
            missing[run.experiment_id] = error
    if len(missing) == len(planned):
        raise next(iter(missing.values()))
    if missing:
        typer.echo(f"vgg: not trained here, and so not kept: {', '.join(missing)}.", err=True)


@app.command()
@partial(of_a_plan, table="3", nets="D", seeds="0", train_scales="256")
def predict(
    entries,
    photo: Annotated[str, typer.Argument(help="A picture in a file; of the demo A, D and E of seed 0 can answer.")],
    data_dir: DataDir = None,
    results: Results = None,
) -> None:
    """Print the classes that trained nets find most probable for a picture, at three test scales."""
    from vgglib import experiments
    from vgglib.display import first_look

    store = store_in(results)
    for run in experiments.runs(entries):
        trained = first_look.of(run, store, data_dir)
        one = first_look.picture(trained, photo=photo)
        typer.echo(trained.sentence)
        for scale in (256, 384, 512):
            typer.echo(f"\nQ = {scale}\n{first_look.answers(trained, one, scale).to_string(index=False)}\n")


@app.command()
def speed(preset: Preset = "demo", batch_size: BatchSize = 32, device: Device = None, results: Results = None) -> None:
    """Time the preset's nets on this machine and keep the result for the page on cost."""
    from vgglib.analysis.speed import keep, measure

    store = store_in(results)
    store.check_writable(preset)
    typer.echo(keep(measure(preset, batch_size, device), store.root))


@app.command()
def bench(
    suites: Annotated[
        list[str] | None,
        typer.Argument(help="training, growth, evaluation, data or user; by default all of them.", show_default=False),
    ] = None,
    rounds: Annotated[int, typer.Option(help="How often everything is timed; six give intervals.")] = 6,
    cases: Annotated[str, typer.Option(help="Only cases whose names match, such as 'net A*'.")] = "*",
    list_only: Annotated[
        bool, typer.Option("--list", help="List the cases and their contenders; time nothing.")
    ] = False,
    against: Annotated[str | None, typer.Option(help="Time this commit of the project beside the present one.")] = None,
    device: Device = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads; by default one per core.")] = None,
    images: Annotated[
        str | None, typer.Option(help="Folder of Tiny ImageNet, to time training on; without it images are drawn.")
    ] = None,
    scratch: Annotated[str, typer.Option(help="Folder for the images that contenders read; it is kept.")] = "bench",
    results: Results = None,
    force: Annotated[bool, typer.Option("--force", help="Time on a busy machine, too; the record says so.")] = False,
) -> None:
    """Time this project beside what people would use instead, for the page on speed."""
    import sys
    from pathlib import Path

    from vgglib.parallel import check_counts
    from vgglib.results import REPOSITORY

    check_counts(rounds=rounds, threads=threads)
    if not (REPOSITORY / "benchmarks").is_dir():
        raise ValueError(f"{REPOSITORY} has no folder 'benchmarks': run `vgg bench` from a clone of the repository.")
    sys.path.append(str(REPOSITORY))
    from benchmarks import harness

    harness.command(
        suites, rounds, pattern=cases, list_only=list_only, against=against, device=device, threads=threads,
        images=images, scratch=Path(scratch), root=store_in(results).root, force=force,
    )  # fmt: skip


def _print_tables(rows) -> None:
    from vgglib import catalogue, tables

    names = dict.fromkeys(rows["table"])
    for name in (*names, *(("7",) if "6" in names else ())):
        typer.echo(f"\n{catalogue.TABLES[name].title}")
        typer.echo(tables.shown(tables.beside_paper(name, rows)).to_string(index=False))


def main() -> None:
    """Run the command line; what a user can mend is one sentence on stderr and exit status 2."""
    try:
        app()
    except (ValueError, OSError) as error:
        print(f"vgg: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
