"""What pages display: the same call in the book, in JupyterLab and in papermill's output."""

from __future__ import annotations

import base64
import html
import io

import numpy as np
import pandas as pd
from IPython.display import HTML, Markdown, display

# JupyterLab sets cells flush right, texts too; the book's style sheet does not reach there.
_LEFT = "<style>.vgg-table.vgg-table :is(th, td) { text-align: left }</style>"


def table(frame: pd.DataFrame, caption: str, escape: bool = True) -> None:
    """A numbered table; `frame` is displayed as it stands, without its index. Without `escape` cells are HTML."""
    name = _numbered("Table", caption)
    label = html.escape(f"{name}. {caption}")
    body = frame.to_html(index=False, border=0, classes="table vgg-table", justify="left", escape=escape)
    body = _LEFT + body.replace(">", f"><caption>{_captioned(name, caption)}</caption>", 1)
    # Wide tables scroll within themselves on a narrow screen, by keyboard too.
    region = (
        f'<div class="vgg-scroll" id="{_anchor(name)}" tabindex="0" role="region" aria-label="{label}">{body}</div>'
    )
    display({"text/html": region, "text/plain": f"{name}. {caption}\n{frame.to_string(index=False)}"}, raw=True)


def sentence(text: str) -> None:
    """A line of Markdown, for a sentence whose numbers were computed."""
    display(Markdown(text))


def picture(figure, alt: str, caption: str | None = None, photograph: bool = False) -> None:
    """A matplotlib figure, numbered, with alternative text, which the automatic display of figures does not give.

    alt: what is drawn, for those who cannot see it; caption: what to see in it, below the figure for everyone, without
    one the alternative text; photograph: keep its colours in the book's dark mode, where plots turn light on dark.
    """
    import matplotlib.pyplot as plt

    drawn = _drawn(figure, 165 if photograph else 110)
    plt.close(figure)
    kind, look = ("jpeg", "vgg-figure") if photograph else ("png", "vgg-figure vgg-plot")
    data = base64.b64encode(_compressed(drawn, photograph)).decode()
    image = f'<img class="{look}" src="data:image/{kind};base64,{data}" alt="{html.escape(alt)}">'
    text = caption or alt
    name = _numbered("Figure", text)
    below = f"<figcaption>{_captioned(name, text)}</figcaption>"
    display(HTML(f'<figure id="{_anchor(name)}">{image}{below}</figure>'))


def _drawn(figure, dpi: int):
    """A figure as a picture of Pillow, drawn once; `savefig` draws twice, and hands over a file to be read again."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def _compressed(drawn, photograph: bool) -> bytes:
    """A photograph as JPEG, a quarter of its bytes as PNG; a plot as PNG, which keeps lines sharp, in 256 colours, a
    third of the bytes in all.
    """
    from PIL import Image

    buffer = io.BytesIO()
    if photograph:
        drawn.save(buffer, "JPEG")
    else:
        palette = {"method": Image.Quantize.MAXCOVERAGE, "dither": Image.Dither.NONE}
        drawn.quantize(256, **palette).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


# Number of each table and figure of this page by its caption: a cell that runs again keeps its number.
_numbers: dict[str, list[str]] = {"Table": [], "Figure": []}


def count_anew() -> None:
    """Begin with Table 1 and Figure 1 again, as where a page's parameters were changed and its cells run once more."""
    for captions in _numbers.values():
        captions.clear()


def _numbered(kind: str, caption: str) -> str:
    if caption not in _numbers[kind]:
        _numbers[kind].append(caption)
    return f"{kind} {_numbers[kind].index(caption) + 1}"


def _anchor(name: str) -> str:
    return name.lower().replace(" ", "-")


def _captioned(name: str, caption: str) -> str:
    return f"<span><b>{name}.</b> {html.escape(caption)}</span>"


def explorer(markup: str) -> None:
    """One of `explore`'s interactive pieces of HTML."""
    display(HTML(markup))


def data_uri(image, kind: str = "png") -> str:
    """An (H, W, 3) uint8 array as a picture that stands in the page itself."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format=kind, quality=85)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def sample_picture(side: int = 224) -> str:
    """A square picture of the `shapes` set, `side` pixels wide, to draw on."""
    from vgglib.data import shapes

    image = next(drawn.image for drawn in shapes.draw([9] * 8, range(8), side) if drawn.image.shape[0] == side)
    left = (image.shape[1] - side) // 2
    return data_uri(image[:, left : left + side], "jpeg")
