"""Small interactive explorers, each one string of HTML with its numbers, style and script: they need neither network
nor kernel. Python draws the first selection, so the page says something sensible without JavaScript as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from vgglib.configs import TABLE_1, Layer, config
from vgglib.display.explorer_frame import TABLE_STYLE, explorer, number, select, slider, svg
from vgglib.receptive_field import IMAGE, Field, fields

KINDS = {"conv": "convolution", "lrn": "normalisation (LRN)", "pool": "max-pool", "fc": "fully connected"}
KERNELS = (1, 3, 5, 7, 11)
MOST_LAYERS = 6
CHANNELS = (64, 128, 256, 512)
GRID_PX = 32  # between the grid lines of the drawing: the stride of five pools
_EDGE_PX = 4  # around the drawing, for outlines that would be cut off
_CROSS = "M-8 0H8M0-8V8"
_UNIT_NUMBERS = {
    "kind": "Kind of layer",
    "size": "Field size",
    "stride": "Stride",
    "padding": "Padding",
    "units": "Units",
    "rows": "Rows it sees",
    "columns": "Columns it sees",
    "outside": "Share that is padding",
    "all": "Sees the whole image",
}
_STACK_NUMBERS = {
    "field": "Receptive field",
    "coefficient": "Weights in terms of C",
    "weights": "Weights, and multiply-adds per position",
    "rectifications": "Rectifications",
}


def receptive_fields(nets: Sequence[str] = tuple(TABLE_1), image_size: int = 224, picture: str | None = None) -> str:
    """An explorer of what a unit sees: the reader picks a net, a layer and a unit of it, and gets its theoretical
    receptive field drawn on a square image, with its numbers (Sect. 2.3). It starts with the central unit of the first
    net's last pool.

    nets: names of Table 1. image_size: side of the image in pixels. picture: a square picture to show in the place of a
    grey square, as a data URI.
    Raises ValueError for an unknown net, for no net, for an image of which nothing is left after the last pool, and for
    a picture that is not a data URI and would have to be fetched.
    """
    if not nets:
        raise ValueError(f"nets is {nets!r}: name at least one of {', '.join(TABLE_1)}.")
    if picture is not None and not picture.startswith("data:image/"):
        raise ValueError(
            f"the picture starts with {picture[:20]!r}: give a data URI, such as 'data:image/png;base64,...'."
        )
    layers = {name: list(fields(config(name), image_size)) for name in nets}
    lines = {
        name: [(layer.name, layer.kind, field.size, field.stride, field.padding, units) for layer, field, units in own]
        for name, own in layers.items()
    }
    layer, field, units = next(line for line in reversed(layers[nets[0]]) if line[0].kind == "pool")
    state = _unit(nets[0], layer, field, units, image_size)
    controls = "".join(
        [
            select("net", "Net", lines, nets[0]),
            select("layer", "Layer", [line[0] for line in lines[nets[0]]], layer.name),
            *(slider(key, key.title(), 0, units - 1, units // 2) for key in ("row", "column")),
        ]
    )
    body = [
        svg(_fields_drawing([line for own in layers.values() for line in own], image_size, picture, state)),
        f"<dl>{''.join(number(label, state[key], key) for key, label in _UNIT_NUMBERS.items())}</dl>",
    ]
    note = (
        "Blue, solid: the part of the field inside the image. Hatched, dashed: the part outside, where padding "
        "stands in for the image. Cross: the unit's centre. Padding, in pixels, is how far unit 0 reaches over the "
        f"edge: unit i sees the pixels from stride × i − padding on, counted from 0. The image has {image_size} × "
        f"{image_size} pixels; grid lines are {GRID_PX} apart."
    )
    data = {"side": image_size, "kinds": KINDS, "nets": lines}
    legend = "Choose net, layer and unit"
    return explorer("fields", legend, controls, state["says"], body, note, data, _FIELDS_STYLE, _FIELDS_SCRIPT)


def _unit(net: str, layer: Layer, field: Field, units: int, side: int) -> dict[str, str]:
    """What is said of a layer's central unit: the texts of `show` in the script, and the places of the drawing."""
    first, last = field.span(units // 2)
    share = 100 * (1 - (1 - field.outside(units // 2, side)) ** 2)
    seen = f"{first} to {last}".replace("-", "−")
    sees_all = field.sees_all(units // 2, side)
    start, end = max(first, 0), min(last, side - 1)
    return {
        "kind": KINDS[layer.kind],
        "size": f"{field.size} × {field.size} px",
        "stride": f"{field.stride} px",
        "padding": f"{field.padding} px",
        "units": f"{units} × {units}",
        "rows": seen,
        "columns": seen,
        "outside": f"{share:.1f} %",
        "all": "yes" if sees_all else "no",
        "says": f"Net {net}, {layer.name}: the unit in row {units // 2}, column {units // 2} sees {field.size} × "
        f"{field.size} pixels, {share:.1f} % of them padding. It "
        f"{'sees' if sees_all else 'does not see'} the whole image.",
        "field": _place(first, field.size),
        "seen": _place(start, end - start + 1),
        "centre": f"translate({first + field.size / 2:g} {first + field.size / 2:g})",
        "drawn": f"An image of {side} × {side} pixels with the field of one unit of {layer.name}: rows {seen}, "
        f"columns {seen}.",
    }


def _place(first: int, size: int) -> str:
    return f'x="{first}" y="{first}" width="{size}" height="{size}"'


def _fields_drawing(
    lines: Sequence[tuple[Layer, Field, int]], side: int, picture: str | None, state: dict[str, str]
) -> tuple[str, str, str]:
    """The view box that has room for every unit's field, the drawing's text, and what it shows."""
    low = min(field.span(0)[0] for _, field, _ in lines) - _EDGE_PX
    high = max(field.span(units - 1)[1] for _, field, units in lines) + 1 + _EDGE_PX
    square = f'width="{side}" height="{side}"'
    wide = high - low
    # Dashed lines wider than the drawing make a grid and a hatch without an id; nested svg elements clip them.
    start = low // GRID_PX * GRID_PX - 0.4
    dashes = f'stroke-width="{2 * wide}" stroke-dasharray="0.8 {GRID_PX - 0.8}"'
    grid = f'<path class="cuts" d="M{start} 0H{high}M0 {start}V{high}" {dashes}/>'
    image = f'{grid}<image {square} href="{escape(picture)}"/>' if picture else f'<rect class="paper" {square}/>{grid}'
    shapes = (
        f'<svg data-at="field" {state["field"]}><line class="hatch" x2="100%" y2="100%" stroke-width="{2 * wide}"/>'
        '<rect class="edge" width="100%" height="100%"/></svg>'
        f'{image}<rect class="frame" {square}/>'
        f'<svg data-at="seen" {state["seen"]} overflow="visible"><rect class="halo" width="100%" height="100%"/>'
        '<rect class="inside" width="100%" height="100%"/></svg>'
        f'<g data-at="centre" transform="{state["centre"]}"><path class="halo" d="{_CROSS}"/>'
        f'<path class="cross" d="{_CROSS}"/></g>'
    )
    return f"{low} {low} {wide} {wide}", state["drawn"], shapes


def filter_stacks() -> str:
    """An explorer of stacked convolutions (Sect. 2.3): the reader picks the kernel and the number of layers and of
    channels, and compares weights and rectifications with those of the single layer that has the same receptive field.
    It starts with the paper's own example, three 3x3 layers against one of 7x7. Weights are without biases.
    """
    sizes = {kernel: _sizes(kernel) for kernel in KERNELS}
    kernel, layers, channels = 3, 3, CHANNELS[-1]
    state = _stack(kernel, layers, channels)
    controls = "".join(
        [
            select("kernel", "Kernel", [f"{size} × {size}" for size in KERNELS], f"{kernel} × {kernel}"),
            slider("layers", "Layers", 1, MOST_LAYERS, layers),
            select("channels", "Channels C", map(str, CHANNELS), str(channels)),
        ]
    )
    rows = "".join(
        f'<tr><th scope="row">{label}</th><td data-at="{key}">{state[key]}</td>'
        f'<td data-at="{key}1">{state[key + "1"]}</td></tr>'
        for key, label in _STACK_NUMBERS.items()
    )
    shapes = f'<path class="grid" data-at="grid" d="{state["grid"]}"/><g data-at="squares">{state["squares"]}</g>'
    body = [
        svg((state["box"], state["drawn"], shapes)),
        f'<table><thead><tr><td></td><th scope="col" data-at="head">{state["head"]}</th>'
        f'<th scope="col" data-at="head1">{state["head1"]}</th></tr></thead><tbody>{rows}</tbody></table>',
    ]
    note = (
        "Filled square: the place of one unit. Square 1, 2, ...: the pixels that a unit of that layer sees from there. "
        "Every layer reads and makes C channels, with stride 1 and a rectification behind it. Biases are left "
        "out; a multiply-add per weight is done at each position of the image."
    )
    legend, data = "Choose a stack of convolutions", {"sizes": sizes}
    style = TABLE_STYLE + _STACKS_STYLE
    return explorer("stacks", legend, controls, state["says"], body, note, data, style, _STACKS_SCRIPT)


def _sizes(kernel: int) -> list[int]:
    """The size of the field after each layer of a stack."""
    field, sizes = IMAGE, []
    for _ in range(MOST_LAYERS):
        field = field.through(Layer("", "conv", 0, kernel, padding=kernel // 2))
        sizes.append(field.size)
    return sizes


def _stack(kernel: int, layers: int, channels: int) -> dict[str, str]:
    """What is said of a stack: the texts of `show` in the script, and the drawing."""
    sizes = _sizes(kernel)[:layers]
    size = sizes[-1]
    stack, single = layers * kernel**2, size**2
    more = 100 * (single / stack - 1)
    change = f"{abs(more):.0f} % {'more' if more > 0 else 'fewer'}"
    head = f"{layers} {'layer' if layers == 1 else 'layers'} of {kernel} × {kernel}"
    one = f"1 layer of {size} × {size}"
    if layers == 1:
        says = f"{one}: the stack and the single layer are the same layer."
    else:
        says = f"{head} see {size} × {size} pixels with {stack:,} C² weights and {layers} rectifications. "
        says += f"{one} sees the same with {single:,} C² weights, {change}, and 1 rectification."
    side = max(size, 7) + 2
    start = f"M{-side / 2:g} {-side / 2:g}"
    return {
        "head": head,
        "head1": one,
        "field": f"{size} × {size}",
        "field1": f"{size} × {size}",
        "coefficient": f"{stack:,} C²",
        "coefficient1": f"{single:,} C²",
        "weights": f"{stack * channels**2:,}",
        "weights1": f"{single * channels**2:,}",
        "rectifications": f"{layers}",
        "rectifications1": "1",
        "says": says,
        "box": f"{-side / 2:g} {-side / 2:g} {side} {side}",
        "drawn": f"Squares around one pixel, the fields after each layer: {', '.join(map(str, sizes))} pixels wide.",
        "grid": start + f"v{side}m1-{side}" * side + start + f"h{side}m-{side} 1" * side,
        "squares": _squares(kernel, sizes, side),
    }


def _squares(kernel: int, sizes: Sequence[int], side: int) -> str:
    ring = (kernel - 1) / 2
    drawn = []
    for layer, size in reversed(list(enumerate(sizes, start=1))):
        corner = -size / 2
        drawn.append(f'<rect x="{corner:g}" y="{corner:g}" width="{size}" height="{size}"></rect>')
        if ring:
            place = f"{corner + ring / 2:g}"
            drawn.append(f'<text x="{place}" y="{place}" font-size="{min(7 * ring / 10, side / 16):g}">{layer}</text>')
    return "".join(drawn) + '<rect class="unit" x="-0.5" y="-0.5" width="1" height="1"></rect>'


_FIELDS_STYLE = """
.vgg-explorer dl>div{display:flex;justify-content:space-between;gap:1rem;padding:.2rem 0;
border-bottom:1px solid currentColor}
.vgg-explorer dl dt{float:none;width:auto;margin:0;font-weight:400}
.vgg-explorer dl dd{width:auto;margin:0;font-weight:600;text-align:right;font-variant-numeric:tabular-nums}
.vgg-explorer :is(.edge,.frame,.inside,.halo,.cross,.cuts,.hatch){fill:none}
.vgg-explorer :is(.edge,.frame,.hatch){stroke:currentColor}
.vgg-explorer .hatch{stroke-dasharray:1 6;vector-effect:none}
.vgg-explorer .edge{stroke-width:4;stroke-dasharray:6 4}
.vgg-explorer .paper{fill:#f4f4f4}
.vgg-explorer .cuts{stroke:#888;stroke-opacity:.4;vector-effect:none}
.vgg-explorer .halo{stroke:#fff;stroke-width:5}
.vgg-explorer .inside{stroke:#0072b2;stroke-width:2.5;fill:#0072b2;fill-opacity:.22}
.vgg-explorer .cross{stroke:#000;stroke-width:2}
"""

_STACKS_STYLE = """
.vgg-explorer .grid{fill:none;stroke:currentColor;stroke-opacity:.25}
.vgg-explorer g>rect{fill:#0072b2;fill-opacity:.13;stroke:currentColor;stroke-dasharray:4 3}
.vgg-explorer g>rect:first-child{stroke-width:3;stroke-dasharray:none}
.vgg-explorer g>.unit{fill:currentColor;fill-opacity:1;stroke:none}
.vgg-explorer text{fill:currentColor;text-anchor:middle;dominant-baseline:central}
"""

_FIELDS_SCRIPT = """
    const [net, layer, row, column] = ["net", "layer", "row", "column"].map(at);
    const list = () => {
      const kept = layer.value, own = data.nets[net.value].map(([name]) => name);
      layer.replaceChildren(...own.map((name) => new Option(name)));
      layer.value = own.includes(kept) ? kept : kept.replace(/^\\D+(\\d).*/, "pool$1");
    };
    const show = () => {
      const [name, kind, size, stride, padding, units] = data.nets[net.value][layer.selectedIndex];
      const [y, x] = [row, column].map((slider) => {
        const unit = Math.floor((+slider.value + 0.5) / (+slider.max + 1) * units);
        slider.max = units - 1;
        slider.value = unit;
        slider.disabled = units === 1;
        const first = stride * unit - padding, last = first + size - 1;
        const start = Math.max(first, 0), length = Math.min(last, data.side - 1) - start + 1;
        const all = length === data.side, span = `${first} to ${last}`.replaceAll("-", "−");
        return {unit, first, start, length, all, span, middle: first + size / 2};
      });
      const outside = (100 * (1 - y.length * x.length / size ** 2)).toFixed(1) + " %", all = y.all && x.all;
      set("field", {x: x.first, y: y.first, width: size, height: size});
      set("seen", {x: x.start, y: y.start, width: x.length, height: y.length});
      set("centre", {transform: `translate(${x.middle} ${y.middle})`});
      set("drawing", {"aria-label": `An image of ${data.side} × ${data.side} pixels with the field of one unit of ` +
        `${name}: rows ${y.span}, columns ${x.span}.`});
      write({
        kind: data.kinds[kind], size: `${size} × ${size} px`, stride: `${stride} px`, padding: `${padding} px`,
        units: `${units} × ${units}`, rows: y.span, columns: x.span, outside, all: all ? "yes" : "no",
        "row-is": y.unit, "column-is": x.unit,
        says: `Net ${net.value}, ${name}: the unit in row ${y.unit}, column ${x.unit} sees ${size} × ${size} ` +
          `pixels, ${outside} of them padding. It ${all ? "sees" : "does not see"} the whole image.`,
      });
    };
    net.addEventListener("input", list);
    list();"""

_STACKS_SCRIPT = """
    const [kernel, layers, channels] = ["kernel", "layers", "channels"].map(at);
    const show = () => {
      const k = parseInt(kernel.value), n = +layers.value, c = +channels.value;
      const sizes = data.sizes[k].slice(0, n), size = sizes[n - 1];
      const stack = n * k * k, single = size * size, more = Math.round(100 * (single / stack - 1));
      const head = `${n} ${n === 1 ? "layer" : "layers"} of ${k} × ${k}`, one = `1 layer of ${size} × ${size}`;
      const side = Math.max(size, 7) + 2, ring = (k - 1) / 2;
      const comma = (count) => count.toLocaleString("en-US");
      const squares = [stack, single].map((count) => `${comma(count)} C²`);
      write({
        "layers-is": n, head, head1: one, field: `${size} × ${size}`, field1: `${size} × ${size}`,
        coefficient: squares[0], coefficient1: squares[1],
        weights: comma(stack * c * c), weights1: comma(single * c * c),
        rectifications: n, rectifications1: 1,
        says: n === 1 ? `${one}: the stack and the single layer are the same layer.` :
          `${head} see ${size} × ${size} pixels with ${squares[0]} weights and ${n} rectifications. ${one} sees the ` +
          `same with ${squares[1]} weights, ${Math.abs(more)} % ${more > 0 ? "more" : "fewer"}, and 1 rectification.`,
      });
      set("drawing", {
        viewBox: `${-side / 2} ${-side / 2} ${side} ${side}`,
        "aria-label": `Squares around one pixel, the fields after each layer: ${sizes.join(", ")} pixels wide.`,
      });
      const start = `M${-side / 2} ${-side / 2}`;
      set("grid", {d: start + `v${side}m1-${side}`.repeat(side) + start + `h${side}m-${side} 1`.repeat(side)});
      at("squares").innerHTML = sizes.map((size, i) => {
        const corner = -size / 2, place = corner + ring / 2;
        const font = Math.min(7 * ring / 10, side / 16);
        const number = `<text x="${place}" y="${place}" font-size="${font}">${i + 1}</text>`;
        return `<rect x="${corner}" y="${corner}" width="${size}" height="${size}"></rect>` + (ring ? number : "");
      }).reverse().join("") + '<rect class="unit" x="-0.5" y="-0.5" width="1" height="1"></rect>';
    };"""
