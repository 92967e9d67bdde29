"""An explorer of results, made like those of `explore`: at which scale to test.

Every number is computed from the records when the page is built. The script only looks numbers up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from vgglib import paper, tables
from vgglib.display import scale_drawings
from vgglib.display.explorer_frame import (
    NONE,
    TABLE_STYLE,
    errors_table,
    explorer,
    fixed_first,
    seeds_text,
    select,
    svg,
)
from vgglib.experiments import CROP, Entry
from vgglib.results import Store

_SCALE_ROWS = {"Ours": ("top1", "interval", "top5"), "Paper (ImageNet)": ("paper1", None, "paper5")}


def scales(plan: Sequence[Entry], store: Store | None = None) -> str:
    """An explorer of test scales (Sect. 4.1 and 4.2): the reader picks net, S and Q, and gets our errors and the
    paper's, all of the net's errors drawn over Q, and the sizes of images and crop. It starts with the net that has
    most tests, at several Q.

    plan: its entries of Tables 3 and 4 give nets, S and Q, as `plans.plan` makes them; every Q of a mean over
    several is also shown alone. store: where the records are, by default in `results.default_root()`.
    Raises ValueError for a plan without such an entry.
    """
    entries = _each_scale(plan)
    if not entries:
        raise ValueError("the plan has no test at one or several scales: give the entries of Tables 3 and 4.")
    lines = _scale_lines(entries, store or Store())
    own = {name: lines[lines["net"] == name] for name in dict.fromkeys(entry.net for entry in entries)}
    data = {name: _net_data(tests) for name, tests in own.items()}
    net = max(own, key=lambda name: len(own[name]))
    s, tests = next(iter(data[net]["tests"].items()))
    q = list(tests)[-1]
    state = dict(zip(("says", *_STATE), tests[q], strict=True))
    controls = "".join(
        [
            select("net", "Net", data, net),
            select("S", "Trained at S", data[net]["tests"], s),
            select("Q", "Tested at Q", tests, q),
        ]
    )
    span = min(map(min, lines["scales"])), max(map(max, lines["scales"]))
    charts = "".join(scale_drawings.chart(tests, (net, s, q), span) for tests in own.values())
    box = "0 0 {} {}".format(*scale_drawings.SIZE)
    body = [svg((box, data[net]["drawn"], charts)), errors_table(state, _SCALE_ROWS), scale_drawings.strip(lines, s, q)]
    note = (
        "Chart: our top-1 errors, a line for each S, and a bar for three Q whose posteriors are averaged. The ring is "
        "what is chosen, with its 95 % interval over seeds, or over images where there is one seed. Images, in "
        "relative size: at S, in training, the net sees only the crop, and with jitter S varies between the two; at Q, "
        f"in the test, it sees the whole image. The square is the crop of {CROP}, in the paper's pixels like S and Q."
    )
    legend, style = "Choose net and scales", TABLE_STYLE + scale_drawings.STYLE
    script = _SCALES_SCRIPT.replace("CROP", str(CROP))
    return explorer("scales", legend, controls, state["says"], body, note, data, style, script)


def _scale_lines(entries: Sequence[Entry], store: Store) -> pd.DataFrame:
    """Our errors and the paper's, a line per net, S and Q, with the columns that `scale_drawings` asks for, and
    `train`, (S_min, S_max). One Q comes before several, and a fixed S before a range.
    """
    theirs = paper.numbers()
    theirs = theirs[theirs["table"].isin([3, 4])].drop(columns="table")
    lines = tables.summary(store.rows(entries)).merge(theirs, "left", ["net", "train_scale", "test_scales", "method"])
    ranges = {entry.train_scale: entry.runs[0].experiment.scale_range for entry in entries}
    lines["train"] = lines["train_scale"].map(ranges)
    lines["scales"] = [tuple(map(int, text.split())) for text in lines["test_scales"]]
    lines["q"] = lines["test_scales"].str.replace(" ", ", ")
    order = [(fixed_first(line.train), len(line.scales), line.scales) for line in lines.itertuples()]
    return lines.iloc[sorted(range(len(lines)), key=order.__getitem__)]


def _each_scale(plan: Sequence[Entry]) -> list[Entry]:
    """The entries at several scales, and one for each scale alone."""
    own = [entry for entry in plan if entry.table in ("3", "4")]
    alone = [
        replace(entry, table="3", test_scales=str(run.protocol.test_scale), runs=(run,))
        for entry in own
        for run in entry.runs
    ]
    return list(dict.fromkeys([*alone, *(entry for entry in own if len(entry.runs) > 1)]))


_STATE = ("top1", "interval", "top5", "paper1", "paper5")


def _net_data(lines: pd.DataFrame) -> dict:
    """The texts of every test of one net, by S and Q, in the order of `says` and `_STATE`; and its chart in words."""
    tests: dict[str, dict[str, list[str]]] = {}
    for line in lines.itertuples():
        interval = NONE if pd.isna(line.top1_low) else f"{line.top1_low:.1f} to {line.top1_high:.1f}"
        top1, *others = (_percent(value) for value in (line.top1, line.top5, line.top1_val, line.top5_val))
        tests.setdefault(line.train_scale, {})[line.q] = [_says(line), top1, interval, *others]
    words = [f"S = {s}: {', '.join(map(_drawn, own, own.values()))}" for s, own in tests.items()]
    return {"drawn": f"Top-1 errors of net {lines['net'].iloc[0]}. {'; '.join(words)}.", "tests": tests}


def _drawn(q: str, texts: Sequence[str]) -> str:
    return f"{'not run' if texts[1] == NONE else f'{texts[1]} %'} at Q = {q}"


def _percent(value: float) -> str:
    return NONE if pd.isna(value) else f"{value:.1f}"


def _says(line) -> str:
    what = f"Net {line.net}, S = {line.train_scale}, Q = {line.q}"
    if not line.seeds:
        return f"{what}: {line.status}."
    missing = "" if line.status == "done" else f" ({line.status})"
    number = f"top-1 error {line.top1:.1f} %, {seeds_text(line.seeds)}{missing}"
    return f"{what}: {number}. An object is {_sizes(line.scales, line.train)} as in training."


def _sizes(scales: Sequence[int], train: tuple[int, int]) -> str:
    """How large an object is in the test, compared with training."""
    low, high = train
    if low != high:
        return f"between {_times(min(scales) / high)} and {_times(max(scales) / low)} times as large"
    if list(scales) == [low]:
        return "as large"
    *others, last = (_times(scale / low) for scale in scales)
    return f"{', '.join(others)} or {last} times as large" if others else f"{last} times as large"


def _times(ratio: float) -> str:
    return f"{ratio:.2f}".rstrip("0").rstrip(".")


_SCALES_SCRIPT = """
    const [net, S, Q] = ["net", "S", "Q"].map(at);
    const list = (choice, own) => {
      const kept = choice.value, place = choice.selectedIndex;
      choice.replaceChildren(...own.map((name) => new Option(name)));
      choice.value = own.includes(kept) ? kept : own[Math.min(place, own.length - 1)];
    };
    const only = (name, seen) => root.querySelectorAll(`[data-${name}]`)
      .forEach((part) => part.toggleAttribute("hidden", !seen.includes(part.dataset[name])));
    const show = () => {
      const {drawn, tests} = data[net.value];
      list(S, Object.keys(tests));
      list(Q, Object.keys(tests[S.value]));
      const test = [net, S, Q].map((choice) => choice.value).join("|");
      const [says, top1, interval, top5, paper1, paper5] = tests[S.value][Q.value];
      write({says, top1, interval, top5, paper1, paper5});
      only("net", [net.value]);
      only("s", S.value.split("-"));
      only("q", Q.value.split(", "));
      root.querySelectorAll("[data-test]").forEach((part) => part.classList.toggle("on", part.dataset.test === test));
      set("drawing", {"aria-label": drawn});
      set("sizes", {"aria-label": `Images of ${S.value} pixels in training and of ${Q.value} in the test, each with ` +
        "a crop of CROP."});
    };"""
