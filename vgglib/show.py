"""What pages display: the same call in the book, in JupyterLab and in papermill's output."""

from __future__ import annotations

import base64
import html
import io

import pandas as pd
from IPython.display import HTML, Markdown, display

from vgglib import claims, experiments, results, tables

EFFECTS = "Effects in points of top-1 error; minus means that the first net errs less."


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


def the_plan(runs: list[experiments.Run]) -> None:
    """What is run: a row per net, with the settings that matter."""
    lines = []
    for run in runs:
        experiment = run.experiment
        if experiment.seed != runs[0].experiment.seed:
            continue
        seeds = [other.experiment.seed for other in runs if other.experiment.net == experiment.net]
        lines.append(
            {
                "Net": experiment.net,
                "S": experiment.train_scale,
                "Q": run.protocol.test_scale,
                "Crop, px": experiment.crop,
                "Width": f"{experiment.width:g}",
                "Epochs, at most": experiment.epochs,
                "Batch": experiment.batch_size,
                "Learning rate": f"{experiment.learning_rate:g}",
                "Start": experiment.initialisation + (", seven layers from A" if experiment.from_a else ""),
                "Seeds": ", ".join(map(str, seeds)),
            }
        )
    table(pd.DataFrame(lines), f"The plan, preset {runs[0].preset}. S and Q in the paper's units.")


def table3(rows: pd.DataFrame) -> None:
    """Table 3 of the paper with ours beside it."""
    caption = "Table 3 of the paper: a single test scale, dense evaluation. Errors in percent; "
    caption += "'from' and 'to' are the 95 % interval of our top-1 error."
    table(tables.shown(tables.table3(rows)), caption)


def verdicts(found: list[claims.Verdict]) -> None:
    """Claims with the paper's effect, ours and the verdict, then a sentence for each."""
    table(claims.frame(found), EFFECTS)
    for verdict in found:
        sentence(f"**{verdict.claim}: {verdict.verdict}** ({verdict.why}).")


def scoreboard(preset: str = "demo") -> None:
    """Every claim tested so far on the evidence of a preset."""
    store = results.Store(results.default_root())
    rows = store.rows(experiments.plan(preset, "all", seeds=store.seeds(preset) or None))
    table(claims.frame(claims.every(rows)), f"The paper's claims on the evidence of preset {preset}. {EFFECTS}")


def head_start(preset: str = "demo", net: str = "E") -> None:
    """A deep net with and without the start from a trained A."""
    store = results.Store(results.default_root())
    seed = experiments.preset(preset).seeds[0]
    lines = []
    for start, from_a in (("seven layers from A", True), ("random weights", False)):
        line = store.rows(experiments.plan(preset, "all", [net], [seed], from_a=from_a)).iloc[0]
        error = f"{line['top1_error_percent']:.1f}" if line["status"] == "done" else "-"
        lines.append({"Start of net " + net: start, "Seed": seed, "Top-1 error, %": error, "Status": line["status"]})
    table(pd.DataFrame(lines), f"Net {net} of preset {preset} after the same number of epochs, from two starts.")


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
