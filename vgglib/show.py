"""What pages display: the same call in the book, in JupyterLab and in papermill's output."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence

import pandas as pd
from IPython.display import HTML, Markdown, display

from vgglib import claims, experiments, results, tables
from vgglib.experiments import Entry, Experiment

EFFECTS = "Effects in points of top-1 error; minus means that what is named first errs less."


def table(frame: pd.DataFrame, caption: str) -> None:
    """A table with a caption; `frame` is displayed as it stands, without its index."""
    label = html.escape(caption)
    body = frame.to_html(index=False, border=0, classes="table vgg-table", justify="left")
    body = body.replace(">", f"><caption>{label}</caption>", 1)
    # Wide tables scroll within themselves on a narrow screen, by keyboard too.
    region = f'<div class="vgg-scroll" tabindex="0" role="region" aria-label="{label}">{body}</div>'
    display({"text/html": region, "text/plain": f"{caption}\n{frame.to_string(index=False)}"}, raw=True)


def sentence(text: str) -> None:
    """A line of Markdown, for a sentence whose numbers were computed."""
    display(Markdown(text))


def picture(figure, alt: str) -> None:
    """A matplotlib figure with alternative text, which the automatic display of figures does not give."""
    import matplotlib.pyplot as plt

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    plt.close(figure)
    data = base64.b64encode(buffer.getvalue()).decode()
    display(HTML(f'<img class="vgg-figure" src="data:image/png;base64,{data}" alt="{html.escape(alt)}">'))


def the_plan(entries: Sequence[Entry]) -> None:
    """What is trained for some numbers and how it is tested: a row per net and S, with the settings that matter."""
    tests: dict[tuple, dict] = {}
    for run in experiments.runs(entries):
        experiment = run.experiment
        found = tests.setdefault(
            (experiment.net, experiment.scale_text, experiment.start_text),
            {"experiment": experiment, "seeds": {}, "tests": {}},
        )
        found["seeds"][experiment.seed] = None
        found["tests"].setdefault(run.protocol.method, {})[run.protocol.test_scale] = None
    methods = sorted({run.protocol.method for run in experiments.runs(entries)})  # dense first
    lines = [_training(**found, methods=methods) for found in tests.values()]
    preset = entries[0].preset
    example = next(iter(tests.values()))["experiment"]
    table(
        pd.DataFrame(lines),
        f"The plan, preset {preset}: width {example.width:g}, crops of {example.crop} pixels, batches of "
        f"{example.batch_size}. S and Q in the paper's units.",
    )


def _training(experiment: Experiment, seeds: dict, tests: dict, methods: Sequence[str]) -> dict:
    if experiment.continues:
        start = f"S = {experiment.start.scale_text}"
    else:
        start = experiment.initialisation + (", seven layers from A" if experiment.start else "")
    return {
        "Net": experiment.net,
        "S": experiment.scale_text,
        "Start": start,
        "Epochs, at most": experiment.epochs,
        "Learning rate": f"{experiment.learning_rate:g}",
        **{f"Q, {method}": " ".join(map(str, tests.get(method, ()))) or "-" for method in methods},
        "Seeds": ", ".join(map(str, seeds)),
    }


def the_table(rows: pd.DataFrame, name: str | None = None) -> None:
    """A table of the paper with ours beside it; by default the one that the first row belongs to. Lines of nets that
    no row is about are left out, since "not run" would be wrong of them.
    """
    name = name or rows["table"].iloc[0]
    caption = f"{tables.TITLES[name]}. Errors in percent; 'from' and 'to' are the 95 % interval of our top-1 error."
    found = tables.BY_NAME[name](rows)
    if "net" in found:
        found = found[found["net"].isin(rows["net"])]
    table(tables.shown(found), caption)
    if name == "7":
        sentence(tables.NOT_COMPARABLE)


def verdicts(rows: pd.DataFrame, *names: str) -> None:
    """Claims with the paper's effect, ours and the verdict, then a sentence for each."""
    found = claims.verdict(rows, *names)
    table(claims.frame(found), EFFECTS)
    for verdict in found:
        sentence(f"**{verdict.claim}: {verdict.verdict}** ({verdict.why}).")


def details(rows: pd.DataFrame, name: str) -> None:
    """What lies behind one claim: its comparisons, and tests of fixed nets, which decide nothing."""
    found = claims.details(rows, name)
    statement = next(claim.statement for claim in claims.CLAIMS if claim.name == name)
    caption = f"Behind '{statement}'. {EFFECTS} McNemar's p values are those of two fixed nets and not corrected."
    table(found, caption)


def scoreboard(preset: str = "demo") -> None:
    """Every claim on the evidence of a preset."""
    rows = _evidence(preset)
    caption = f"The paper's claims on the evidence of preset {preset}. {EFFECTS}"
    table(claims.frame(claims.verdicts(rows)), caption)


def starts_of(preset: str = "demo") -> None:
    """A deep net from several starts, from a preset's records."""
    the_table(_evidence(preset, "starts"))


def _evidence(preset: str, name: str = "all") -> pd.DataFrame:
    store = results.Store(results.default_root())
    return store.rows(experiments.plan(preset, name, seeds=store.seeds(preset) or None))


def evaluation_cost(rows: pd.DataFrame) -> None:
    """Seconds that dense evaluation and crops took for each image, over the same three test scales (Table 5)."""
    own = rows[(rows["table"] == "5") & (rows["status"] == "done")]
    lines = []
    for net, group in own.groupby("net", sort=False):
        seconds = (group["evaluation_seconds"].astype(float) / group["n_images"].astype(float)).groupby(group["method"])
        mean = 1000 * seconds.mean()
        if {"dense", "multi-crop"} <= set(mean.index):
            lines.append(
                {
                    "Net": net,
                    "Dense, ms an image": f"{mean['dense']:.1f}",
                    "150 crops, ms an image": f"{mean['multi-crop']:.1f}",
                    "Crops : dense": f"{mean['multi-crop'] / mean['dense']:.1f}",
                    "On": ", ".join(dict.fromkeys(environment["device_name"] for environment in group["environment"])),
                }
            )
    if not lines:
        sentence("The cost is not known: Table 5 has not been run.")
        return
    table(pd.DataFrame(lines), "Time of evaluation over three test scales, mirror images included, mean over seeds.")


def chance(rows: pd.DataFrame) -> None:
    """What guessing would give, for the number of classes of these rows."""
    known = rows["n_classes"].dropna()
    if known.empty:
        sentence("No run has been made, so the number of classes is not known.")
        return
    classes = int(known.iloc[0])
    top1, top5 = (100 * max(0, 1 - k / classes) for k in (1, 5))
    sentence(
        f"With {classes} classes guessing errs {top1:.1f} % of the time, and {top5:.1f} % with five guesses; with "
        "ImageNet's 1000 classes it is 99.9 % and 99.5 %."
    )


def data_summary(preset: str = "demo") -> None:
    """Sizes of a preset's splits, and its mean colour."""
    from vgglib.runner import load_images

    images = load_images(preset)
    lines = [
        {
            "Split": name,
            "Images": f"{len(split):,}",
            "Classes": len(images.class_names),
            "Smallest side, px": int(split.sizes.min()),
            "Largest side, px": int(split.sizes.max()),
        }
        for name, split in (("train", images.train), ("minival", images.minival), ("val", images.val))
    ]
    mean = ", ".join(f"{value:.1f}" for value in images.mean_rgb.tolist())
    caption = f"Data set {images.name} of preset {preset}; mean RGB of train: {mean} (grey levels 0-255)."
    table(pd.DataFrame(lines), caption)


def data_sheet(preset: str = "demo", columns: int = 8) -> None:
    """One training image of every class with its name, as a single picture."""
    import matplotlib.pyplot as plt

    from vgglib.runner import load_images

    images = load_images(preset)
    labels = images.train.labels
    first = [int((labels == label).nonzero()[0, 0]) for label in range(len(images.class_names))]
    lines = -(-len(first) // columns)
    size = (1.35 * columns, 1.6 * lines)
    figure, axes = plt.subplots(lines, columns, figsize=size, layout="constrained", facecolor="white")
    for place in axes.flat:
        place.axis("off")
    for place, i in zip(axes.flat, first, strict=False):
        place.imshow(images.train.image(i).numpy())
        place.set_title(images.class_names[int(labels[i])], fontsize=9)
    picture(figure, f"One training image for each of the {len(first)} classes of {images.name}")
