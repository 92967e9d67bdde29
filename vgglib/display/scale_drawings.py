"""What the explorer of test scales draws, as HTML: a net's errors over Q, and images and crop in relative size.

Everything that may be chosen is drawn, and hidden until it is; so the script has nothing to draw.
`lines` have the columns net, train_scale ("256-512"), scales (a tuple of every Q), q (the same as text), top1, top1_low
and top1_high (percent, missing where not run).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from vgglib.experiments import CROP

SIZE = (340, 224)  # width and height of a chart, in its own units
PLOT = (34, 20, 330, 178)  # left, top, right and bottom of its axes
STRIP_PX = 2060  # the widest row of images, 256 + 512 + 256 + 384 + 512 of the paper's pixels, and room between them
MARKERS = ("M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0", "M-4-4h8v8h-8z", "M0-5l5 9h-10z")


@dataclass(frozen=True)
class _Axes:
    """From Q and an error to places in a chart."""

    first: int  # Q
    last: int
    limit: int  # percent
    step: int

    @classmethod
    def of(cls, lines: pd.DataFrame, span: tuple[int, int]) -> _Axes:
        highest = 100 if lines["top1"].isna().all() else max(1, lines[["top1", "top1_high"]].max(axis=None))
        step = next(step for step in (1, 2, 5, 10, 20) if highest <= 5 * step)
        return cls(*span, step * math.ceil(highest / step), step)

    def x(self, scale: float) -> float:
        left, _, right, _ = PLOT
        return round(left + 16 + (scale - self.first) / max(1, self.last - self.first) * (right - left - 32), 1)

    def y(self, error: float) -> float:
        _, top, _, bottom = PLOT
        return round(bottom - error / self.limit * (bottom - top), 1)


def chart(lines: pd.DataFrame, chosen: tuple[str, str, str], span: tuple[int, int]) -> str:
    """One net's errors over Q from 0 on: a group with the attribute `data-net`, hidden unless the net is chosen.

    chosen: net, S and Q as text; every error is a group whose `data-test` joins the three by "|", with the class "on"
    where it is the chosen one. span: the outermost Q of all nets.
    """
    axes = _Axes.of(lines, span)
    shapes = [*_frame(axes, sorted({scale for own in lines["scales"] for scale in own}))]
    for number, (s, own) in enumerate(lines.groupby("train_scale", sort=False)):
        shapes += [_key(number, s), *_series(axes, number, own[own["top1"].notna()], chosen)]
    if lines["top1"].isna().all():
        shapes.append(_text(sum(PLOT[::2]) / 2, sum(PLOT[1::2]) / 2, "not run"))
    net = lines["net"].iloc[0]
    return f'<g data-net="{net}"{_hidden(net == chosen[0])}>{"".join(shapes)}</g>'


def _frame(axes: _Axes, scales: Sequence[int]) -> Iterator[str]:
    left, _, right, bottom = PLOT
    for value in range(0, axes.limit + 1, axes.step):
        y = axes.y(value)
        yield f'<path class="cuts" d="M{left} {y:g}H{right}"/>{_text(left - 5, y, value, "end")}'
    yield from (_text(axes.x(scale), bottom + 11, scale) for scale in scales)
    yield _text(0, 7, "top-1 error, %", "start") + _text(right, bottom + 24, "Q", "end")


def _key(number: int, s: str) -> str:
    """An entry of the legend, below the axes."""
    place = f"translate({PLOT[0] + 92 * number} {SIZE[1] - 8})"
    return f'<g transform="{place}">{_mark(number)}{_text(9, 0, f"S = {s}", "start")}</g>'


def _mark(number: int) -> str:
    return f'<path class="dot s{number}" d="{MARKERS[number]}"/>'


def _series(axes: _Axes, number: int, done: pd.DataFrame, chosen: tuple[str, str, str]) -> Iterator[str]:
    """A net's errors at one S: a line through those at one Q, then a marker or a bar for each."""
    single = done[[len(scales) == 1 for scales in done["scales"]]]
    points = "L".join(f"{axes.x(line.scales[0]):g} {axes.y(line.top1):g}" for line in single.itertuples())
    yield f'<path class="line s{number}" d="M{points}"/>' if len(single) > 1 else ""
    for line in done.itertuples():
        first, last = axes.x(line.scales[0]), axes.x(line.scales[-1])
        y = axes.y(line.top1)
        ends = (line.top1, line.top1) if pd.isna(line.top1_low) else (line.top1_low, line.top1_high)
        low, high = map(axes.y, ends)
        bar = f'<path class="bar s{number}" d="M{(first - last) / 2:g} 0h{last - first:g}"/>'
        key = (line.net, line.train_scale, line.q)
        on = ' class="on"' if key == chosen else ""
        yield (
            f'<g data-test="{"|".join(key)}"{on} transform="translate({(first + last) / 2:g} {y:g})">'
            f'<path class="reach" d="M0 {low - y:g}V{high - y:g}"/>'
            f'{bar if last > first else _mark(number)}<circle class="ring" r="8"/></g>'
        )


def _text(x: float, y: float, text: str | int, anchor: str = "middle") -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}">{text}</text>'


def _hidden(seen: bool) -> str:
    return "" if seen else ' hidden=""'


def strip(lines: pd.DataFrame, s: str, q: str) -> str:
    """Images at every S (`data-s`) and Q (`data-q`) with the crop, in relative size; those not chosen are hidden."""
    trained = sorted({int(side) for text in lines["train_scale"] for side in text.split("-")})
    tested = sorted({scale for own in lines["scales"] for scale in own})
    images = [_image("s", side, str(side) in s.split("-")) for side in trained]
    images += ["<u></u>", *(_image("q", side, str(side) in q.split(", ")) for side in tested)]
    return f'<div class="strip" role="img" data-at="sizes" aria-label="{strip_words(s, q)}">{"".join(images)}</div>'


def strip_words(s: str, q: str) -> str:
    """What the row of images shows, for those who cannot see it."""
    return f"Images of {s} pixels in training and of {q} in the test, each with a crop of {CROP}."


def _image(which: str, side: int, seen: bool) -> str:
    return (
        f'<span data-{which}="{side}"{_hidden(seen)} style="width:{100 * side / STRIP_PX:.2f}%">'
        f'<i><b style="inset:{50 * (1 - CROP / side):.2f}%"></b></i>{which.upper()} {side}</span>'
    )


# The disc stands for an object; in training what lies outside the crop is not seen.
STYLE = """
.vgg-explorer [hidden]{display:none}
.vgg-explorer svg text{fill:currentColor;font-size:10.5px;dominant-baseline:central}
.vgg-explorer .cuts{stroke:currentColor;stroke-opacity:.25}
.vgg-explorer :is(.line,.reach,.bar,.ring){stroke:currentColor;fill:none}
.vgg-explorer .s0{color:#0072b2}
.vgg-explorer .s1{color:#d55e00}
.vgg-explorer .s2{color:#009e73}
.vgg-explorer .dot{fill:currentColor}
.vgg-explorer .bar{stroke-width:4}
.vgg-explorer :is(.reach,.ring){stroke-width:1.5}
.vgg-explorer [data-test]:not(.on)>:is(.reach,.ring){display:none}
.vgg-explorer .pair>.strip{flex:1 0 100%;display:flex;align-items:flex-end;gap:1.2%}
.vgg-explorer .strip>span{flex:none;font-size:.8em;text-align:center;white-space:nowrap}
.vgg-explorer .strip>u{align-self:stretch;border-left:1px solid currentColor}
.vgg-explorer .strip i{display:block;position:relative;aspect-ratio:1;overflow:hidden;
background:radial-gradient(circle,#666 30%,#ddd 31%);outline:1px solid #888}
.vgg-explorer .strip b{position:absolute;min-width:0;border:2px solid #000}
.vgg-explorer [data-s] b{box-shadow:0 0 0 99rem rgb(255 255 255/.65)}
"""
