"""The frame of an explorer: one string of HTML with controls, result, note, data, style and script. It needs neither
network nor kernel, and says something sensible without JavaScript, since Python draws the first selection.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

NONE = "–"  # in the place of a number that there is not


def explorer(
    kind: str,
    legend: str,
    controls: str,
    says: str,
    body: Sequence[str],
    note: str,
    data: dict,
    style: str,
    script: str,
) -> str:
    """The fragment: controls, the result in words, drawing and numbers, a note, then data and script.

    kind: a name that no other explorer has. says: the first result in words. style: rules of this explorer alone.
    script: its JavaScript, which defines `show`, what an input changes; it has `root`, `data`, `at`, `write` and `set`.
    """
    # The controls stay disabled until the script is there to answer them.
    return (
        f'<div class="vgg-explorer" data-vgg-explorer="{kind}">'
        f"<style>{_STYLE.rstrip()}{style}</style>"
        f"<fieldset disabled><legend>{legend}</legend>{controls}</fieldset>"
        f'<output aria-live="polite" data-at="says">{says}</output>'
        f'<div class="pair">{"".join(body)}</div><p class="note">{note}</p>'
        "<noscript><p>Without JavaScript this shows the first selection only.</p></noscript>"
        f'<script type="application/json" data-at="data">{as_json(data)}</script>'
        f"<script>{_script(kind, script)}</script></div>"
    )


def as_json(data: dict) -> str:
    """JSON that cannot end the script element it stands in."""
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")


def select(key: str, label: str, options: Iterable[str], chosen: str) -> str:
    """A list to choose one of `options` from."""
    made = "".join(f"<option{' selected' if option == chosen else ''}>{option}</option>" for option in options)
    return f'<label><span>{label}</span><select data-at="{key}">{made}</select></label>'


def slider(key: str, label: str, low: int, high: int, value: int) -> str:
    """A whole number from `low` to `high`."""
    # The number is for the eyes: screen readers have the slider's own value.
    return (
        f'<label><span>{label}</span><input type="range" data-at="{key}" min="{low}" max="{high}" value="{value}">'
        f'<b aria-hidden="true" data-at="{key}-is">{value}</b></label>'
    )


def checkbox(key: str, label: str, ticked: bool) -> str:
    """Yes or no."""
    return f'<label><input type="checkbox" data-at="{key}"{" checked" * ticked}><span>{label}</span></label>'


def svg(drawing: tuple[str, str, str]) -> str:
    """A drawing from its view box, what it shows in words, and its shapes."""
    box, text, shapes = drawing
    return f'<svg data-at="drawing" role="img" viewBox="{box}" aria-label="{text}">{shapes}</svg>'


def number(label: str, value: str, key: str) -> str:
    """A line of a list of numbers."""
    return f'<div><dt>{label}</dt><dd data-at="{key}">{value}</dd></div>'


def errors_table(state: dict[str, str], rows: dict[str, tuple[str, str | None, str]]) -> str:
    """Top-1 error, its interval and top-5 error of every row; those without an interval have no cell to fill."""
    made = "".join(
        f'<tr><th scope="row">{head.format(**state)}</th>'
        + "".join(f'<td data-at="{key}">{state[key]}</td>' if key else f"<td>{NONE}</td>" for key in keys)
        + "</tr>"
        for head, keys in rows.items()
    )
    heads = "".join(f'<th scope="col">{head}</th>' for head in ("Top-1 error, %", "95 % interval", "Top-5 error, %"))
    return f"<table><thead><tr><td></td>{heads}</tr></thead><tbody>{made}</tbody></table>"


def seeds_text(count: int) -> str:
    """How many seeds a number rests on."""
    return "1 seed" if count == 1 else f"mean over {count} seeds"


def fixed_first(train: tuple[int, int]) -> tuple[bool, tuple[int, int]]:
    """The order of training scales: a range comes after every fixed S, as in the paper's tables."""
    return train[0] != train[1], train


def _script(kind: str, own: str) -> str:
    script = _SCRIPT.replace("KIND", kind).replace("/* own */", own)
    return "\n".join(line.strip() for line in script.splitlines())


# The first rule takes back the light card that the book's theme lays behind outputs in dark mode. An option's list
# opens outside the page's own colours, so it takes the browser's pair.
_STYLE = """
html[data-theme="dark"] .bd-content div.cell_output .text_html:has(div.vgg-explorer){
background:none;color:inherit;padding:0}
.vgg-explorer{max-width:46rem;margin:1rem 0;line-height:1.4}
.vgg-explorer fieldset{display:flex;flex-wrap:wrap;gap:.5rem 1.5rem;min-width:0;margin:0 0 .8rem;
padding:.2rem .8rem .7rem;border:1px solid currentColor;border-radius:.3rem}
.vgg-explorer legend{width:auto;float:none;margin:0;padding:0 .4rem;font-size:1em;font-weight:600}
.vgg-explorer label{display:flex;align-items:center;gap:.5rem;margin:0}
.vgg-explorer select{background:transparent;color:inherit;border:1px solid currentColor;border-radius:.2rem;
font:inherit;padding:.1rem .3rem}
.vgg-explorer option{background:Canvas;color:CanvasText}
.vgg-explorer input{width:8rem;margin:0;color:inherit;accent-color:currentColor}
.vgg-explorer b{min-width:2em;font-variant-numeric:tabular-nums}
.vgg-explorer :focus-visible{outline:2px solid currentColor;outline-offset:2px}
.vgg-explorer output{display:block;min-height:2.8em;color:inherit}
.vgg-explorer .pair{display:flex;flex-wrap:wrap;align-items:flex-start;gap:1rem 1.5rem;margin:.6rem 0}
.vgg-explorer .pair>*{flex:1 1 14rem;min-width:0;margin:0}
.vgg-explorer .pair>svg{flex:2 1 17rem}
.vgg-explorer svg{max-width:100%;height:auto}
.vgg-explorer .note{margin:0;font-size:.9em}
.vgg-explorer svg *{vector-effect:non-scaling-stroke}
"""

# Of explorers with a table of numbers, for their own style.
TABLE_STYLE = """
.vgg-explorer table{border-collapse:collapse;font-size:inherit;color:inherit}
.vgg-explorer .pair>table{flex:3 1 17rem}
.vgg-explorer .pair tr{background:none}
.vgg-explorer :is(th,td){padding:.3rem;border:0;border-bottom:1px solid currentColor;text-align:right;
vertical-align:top;white-space:normal;font-variant-numeric:tabular-nums}
.vgg-explorer th[scope=row]{text-align:left;font-weight:400}
"""

# Serves every root that is not yet served: a page may hold several, and where a notebook program runs scripts apart
# from their place, the script cannot know its own. JupyterLab takes arrow keys for its own shortcuts unless the element
# in focus has the attribute that suppresses them.
_SCRIPT = """
(() => {
  for (const root of document.querySelectorAll('[data-vgg-explorer="KIND"]:not([data-ready])')) {
    root.dataset.ready = "";
    const at = (key) => root.querySelector(`[data-at="${key}"]`);
    const write = (texts) => Object.keys(texts).forEach((key) => { at(key).textContent = texts[key]; });
    const set = (key, values) => Object.keys(values).forEach((name) => at(key).setAttribute(name, values[name]));
    const data = JSON.parse(at("data").textContent);
    /* own */
    const controls = root.querySelector("fieldset");
    controls.disabled = false;
    for (const control of controls.elements) control.setAttribute("data-lm-suppress-shortcuts", "");
    root.addEventListener("input", show);
    show();
  }
})();
"""
