"""An explorer of results, made like those of `explore`: which nets to average.

Every number is computed from the records when the page is built. The script only looks numbers up.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from itertools import combinations, islice

import numpy as np
import pandas as pd

from vgglib import paper, tables
from vgglib.answered import Answered, Reading, blocks
from vgglib.display.explorer_frame import (
    NONE,
    TABLE_STYLE,
    checkbox,
    errors_table,
    explorer,
    fixed_first,
    seeds_text,
    select,
)
from vgglib.experiments import Entry, Run, runs
from vgglib.metrics import mean_interval
from vgglib.results import Store

OWN_CHOICE = "own choice"
NOT_EVALUATED = "not evaluated"
Net = tuple[str, tuple, str]  # name, place among training scales, and S as text
Errors = dict[tuple[str, int], dict[int, tuple[float, float]]]  # (method, ensemble) -> seed -> top-1 and top-5 error


def ensembles(plan: Sequence[Entry], store: Store | None = None) -> str:
    """An explorer of ensembles (Sect. 4.4): the reader ticks nets and picks an evaluation, and gets the errors of the
    mean of the nets' posteriors, beside those of the best net among them. It starts with the last ensemble of the plan.

    plan: its entries of Table 6 give the nets to tick and the evaluations, as `plans.plan` makes them; others are
    left out. An ensemble is the mean of all its nets' runs, each seed within itself, as in Table 6. store: where the
    records are, by default in `results.default_root()`.
    Raises ValueError for a plan without an ensemble, and where nets were tested on different images.
    """
    entries = [entry for entry in plan if entry.table == "6"]
    if not entries:
        raise ValueError("the plan has no ensemble: give the entries of Table 6.")
    data = _ensembles(entries, store or Store())
    name, mask = list(data["named"].items())[-1]
    method = next(entry.method for entry in entries if entry.net == name)
    state = _ensemble(data, method, mask)
    controls = "".join(
        [
            select("named", "Ensemble", [*data["named"], OWN_CHOICE], name),
            select("method", "Evaluation", map(escape, data["methods"]), escape(method)),
            "<hr>",
            *(checkbox(f"net{place}", label, bool(mask >> place & 1)) for place, label in enumerate(data["nets"])),
        ]
    )
    note = (
        f"No net runs here: each of the {2 ** len(data['nets']) - 1} ensembles is a mean of stored posteriors, preset "
        f"{entries[0].preset}. Gain, in points: the error of the single net that is best by its mean "
        "over seeds, less that of the ensemble; above 0 the ensemble errs less. Other tables of this page have the "
        "other sign, and the best net of each seed. 95 % intervals are over seeds; that "
        "of an error from one seed is over images. They hold for an ensemble chosen beforehand: whoever tries all and "
        "keeps the best has chosen on the test's images."
    )
    legend = "Choose nets to average"
    style = TABLE_STYLE + _ENSEMBLES_STYLE
    body = [errors_table(state, _ENSEMBLE_ROWS)]
    script = _ENSEMBLES_SCRIPT.replace("OWN_CHOICE", OWN_CHOICE)
    return explorer("ensembles", legend, controls, state["says"], body, note, data, style, script)


def subsets(posteriors: Mapping[int, np.ndarray]) -> Iterator[tuple[int, np.ndarray]]:
    """Every non-empty choice of some arrays of one shape with their sum, float64. A choice is a number whose bit i
    stands for key i. Ranks in a sum are those in the mean, and sums of float16 posteriors are exact.
    """

    def grow(mask: int, total: np.ndarray, rest: list[int]) -> Iterator[tuple[int, np.ndarray]]:
        for place, key in enumerate(rest):
            larger = total + posteriors[key]
            yield mask | 1 << key, larger
            yield from grow(mask | 1 << key, larger, rest[place + 1 :])

    yield from grow(0, np.zeros(()), sorted(posteriors))


def _ensembles(entries: Sequence[Entry], store: Store) -> dict:
    """What the script looks up. Errors and gains are in tenths of a percent, as whole numbers; ensembles are numbers
    as in `subsets`.
    """
    nets = sorted({_net(run) for entry in entries for run in entry.runs}, key=lambda net: (net[0], fixed_first(net[1])))
    reading = Reading(store, runs(entries))
    masks = {(entry.net, entry.method): _mask(entry, nets) for entry in entries}
    methods = list(dict.fromkeys(entry.method for entry in entries))
    errors: Errors = {}
    rows = []
    for method, seed in dict.fromkeys((entry.method, entry.seed) for entry in entries):
        own = [run for entry in entries if (entry.method, entry.seed) == (method, seed) for run in entry.runs]
        tests = {place: [run for run in dict.fromkeys(own) if _net(run) == net] for place, net in enumerate(nets)}
        rows += _rows(method, seed, {place: own for place, own in tests.items() if own}, reading, errors)
    found = {method: {} for method in methods}
    status = {method: [NOT_EVALUATED] * len(nets) for method in methods}
    for line in tables.summary(pd.DataFrame(rows)).itertuples():
        if line.seeds:
            found[line.method][line.net] = [
                *map(_tenths, (line.top1, line.top1_low, line.top1_high, line.top5)),
                line.seeds,
                *_gain(line.method, line.net, errors),
            ]
        if line.net.bit_count() == 1:
            status[line.method][line.net.bit_length() - 1] = line.status
    return {
        "nets": [f"{net}, S = {scale}" for net, _, scale in nets],
        "named": {name: mask for (name, _), mask in masks.items()},
        "methods": {
            method: {"status": status[method], "paper": _paper_ensembles(method, masks, nets), "found": found[method]}
            for method in methods
        },
    }


def _net(run: Run) -> Net:
    return run.experiment.net, fixed_first(run.experiment.scale_range), run.experiment.scale_text


def _mask(entry: Entry, nets: list[Net]) -> int:
    return sum({1 << nets.index(_net(run)) for run in entry.runs})


def _rows(method: str, seed: int, tests: dict[int, list[Run]], reading: Reading, errors: Errors) -> list[dict]:
    """Rows for `tables.summary`, a line per ensemble of the nets that are done, and per net that is not; the errors are
    added to `errors`.
    """
    key = {"table": "6", "train_scale": "", "test_scales": "", "method": method, "start": "", "seed": seed}
    key |= dict.fromkeys(("top1_error_percent", "top5_error_percent", "n_images", "n_classes"))
    statuses = {place: _status(own, reading) for place, own in tests.items()}
    rows = [key | {"net": 1 << place, "status": status} for place, status in statuses.items() if status != "done"]
    done = {place: own for place, own in tests.items() if statuses[place] == "done"}
    for mask, found in _answered(done, reading, f"the nets, {method}, seed {seed},").items():
        classes = reading.records[next(iter(done.values()))[0]]["n_classes"]
        top1, top5 = found.top1_error_percent, found.top5_error_percent
        top5 = top5 if classes > tables.FEW_CLASSES else math.nan
        errors.setdefault((method, mask), {})[seed] = top1, top5
        measured = {"top1_error_percent": top1, "top5_error_percent": top5, "n_images": len(found.labels)}
        measured["n_classes"] = classes
        rows.append(key | {"net": mask, "status": "done"} | measured)
    return rows


def _answered(tests: dict[int, list[Run]], reading: Reading, whose: str) -> dict[int, Answered]:
    """What every ensemble of some nets, which are there by their tests, answers: as `Reading.answered` has it, but each
    is made from a smaller one, and all of them from a block of images before the next is begun.
    """
    chosen = [own for size in range(1, len(tests) + 1) for own in combinations(tests, size)]
    ensembles = {sum(1 << place for place in own): [run for place in own for run in tests[place]] for own in chosen}
    found = {mask: reading.kept(tested) for mask, tested in ensembles.items()}
    if not any(own is None for own in found.values()):
        return found
    read, labels = reading.members([run for own in tests.values() for run in own], whose)
    rest = iter(read)
    by_net = {place: list(islice(rest, len(own))) for place, own in tests.items()}
    parts = {mask: [] for mask in ensembles}
    for block in blocks(read[0]):
        sums = {place: np.sum([own[block] for own in arrays], axis=0, dtype=float) for place, arrays in by_net.items()}
        for mask, total in subsets(sums):
            parts[mask].append(Answered.of(total / len(ensembles[mask]), labels[block]))
    found = {mask: Answered.joined(own) for mask, own in parts.items()}
    if reading.worth_keeping([run for own in tests.values() for run in own]):  # all of them or none
        for mask, tested in ensembles.items():
            reading.keep(tested, found[mask])
    return found


def _status(tested: Sequence[Run], reading: Reading) -> str:
    statuses = {"not run" if record is None else record["status"] for record in map(reading.records.get, tested)}
    return next(status for status in ("failed", "not run", "done") if status in statuses)


def _gain(method: str, mask: int, errors: Errors) -> list[int | None]:
    """Of several nets: the place of the best of them, its errors, and by how much lower those of the ensemble are, with
    the interval of the first; over the seeds that all of them have.
    """
    if mask.bit_count() == 1:
        return []
    own = errors[method, mask]
    ensemble = np.array(list(own.values()))
    singles = {
        place: np.array([errors[method, 1 << place][seed] for seed in own])
        for place in range(mask.bit_length())
        if mask >> place & 1
    }
    best = min(singles, key=lambda place: singles[place][:, 0].mean())
    gains = singles[best] - ensemble
    low, high = mean_interval(gains[:, 0]) if len(own) > 1 else (None, None)
    top1, top5, gain1, gain5 = (*singles[best].mean(0), *gains.mean(0))
    return [best, *map(_tenths, (top1, top5, gain1, low, high, gain5))]


def _paper_ensembles(method: str, masks: dict[tuple[str, str], int], nets: list[Net]) -> dict[int, list[int]]:
    """The paper's errors: of its ensembles, and of single nets at three test scales."""
    fused, single = paper.numbers("fusion"), paper.numbers()
    single = single[single["table"].isin([4, 5]) & (single["method"] == method)]
    places = {(net, scale): place for place, (net, _, scale) in enumerate(nets)}
    found = {
        1 << places[row.net, row.train_scale]: row
        for row in single.itertuples()
        if (row.net, row.train_scale) in places
    }
    for row in fused[fused["method"] == method].itertuples():
        if (row.ensemble, method) in masks:
            found[masks[row.ensemble, method]] = row
    return {mask: [_tenths(row.top1_val), _tenths(row.top5_val)] for mask, row in found.items()}


def _tenths(value: float | None) -> int | None:
    """As tables round it, so that a page shows one number for one thing."""
    return None if pd.isna(value) else int(f"{value:.1f}".replace(".", ""))


def _number(tenths: int | None) -> str:
    return NONE if tenths is None else f"{tenths / 10:.1f}"


def _points(tenths: int | None) -> str:
    return _number(tenths) if not tenths else f"{'+' if tenths > 0 else '−'}{_number(abs(tenths))}"


_ENSEMBLE_ROWS = {
    "Ensemble": ("own1", "own", "own5"),
    'Best single net: <span data-at="best">{best}</span>': ("best1", None, "best5"),
    "Gain": ("gain1", "gain", "gain5"),
    "Paper (ImageNet)": ("paper1", None, "paper5"),
}


def _ensemble(data: dict, method: str, mask: int) -> dict[str, str]:
    """What is said of an ensemble: the texts of `show` in the script."""
    own = data["methods"][method]
    paper1, paper5 = own["paper"].get(mask, (None, None))
    top1, low, high, top5, _, *gain = own["found"].get(mask, (None,) * 5)
    best, best1, best5, gain1, gain_low, gain_high, gain5 = gain or (None,) * 7
    return {
        "says": escape(_ensemble_says(data, method, mask)),
        "own1": _number(top1),
        "own": NONE if low is None else f"{_number(low)} to {_number(high)}",
        "own5": _number(top5),
        "best": NONE if best is None else data["nets"][best],
        "best1": _number(best1),
        "best5": _number(best5),
        "gain1": _points(gain1),
        "gain": NONE if gain_low is None else f"{_points(gain_low)} to {_points(gain_high)}",
        "gain5": _points(gain5),
        "paper1": _number(paper1),
        "paper5": _number(paper5),
    }


def _ensemble_says(data: dict, method: str, mask: int) -> str:
    nets, own = data["nets"], data["methods"][method]
    chosen = [place for place in range(len(nets)) if mask >> place & 1]
    if not chosen:
        return "Tick at least one net."
    if mask not in own["found"]:
        missing = [f"{nets[place]}: {own['status'][place]}" for place in chosen if 1 << place not in own["found"]]
        return f"No number with {method} evaluation: {'; '.join(missing) or 'no seed has all of these nets'}."
    top1, _, _, _, seeds, *gain = own["found"][mask]
    what = f"{len(chosen)} nets" if gain else nets[chosen[0]]
    number = f"{what}, {method}: top-1 error {_number(top1)} %, {seeds_text(seeds)}."
    if not gain:
        return f"{number} Tick another net to average the two."
    best, _, _, points, *_ = gain
    if not points:
        return f"{number} That is what the best of them has alone, {nets[best]}."
    how = "lower" if points > 0 else "higher"
    return f"{number} That is {_number(abs(points))} points {how} than that of the best of them, {nets[best]}."


# The line of no height puts the nets below the lists.
_ENSEMBLES_STYLE = """
.vgg-explorer hr{flex:1 0 100%;height:0;margin:0;border:0}
.vgg-explorer input[type=checkbox]{width:1.1em;height:1.1em}
"""

_ENSEMBLES_SCRIPT = """
    const [named, method] = ["named", "method"].map(at), boxes = data.nets.map((_, place) => at(`net${place}`));
    const number = (tenths) => tenths == null ? "–" : (tenths / 10).toFixed(1);
    const points = (tenths) => tenths ? (tenths > 0 ? "+" : "−") + number(Math.abs(tenths)) : number(tenths);
    const range = (low, high, form) => low == null ? "–" : `${form(low)} to ${form(high)}`;
    const say = (own, chosen, found) => {
      if (!chosen.length) return "Tick at least one net.";
      if (!found) {
        const missing = chosen.filter((place) => !own.found[1 << place])
          .map((place) => `${data.nets[place]}: ${own.status[place]}`).join("; ");
        return `No number with ${method.value} evaluation: ${missing || "no seed has all of these nets"}.`;
      }
      const [top1, , , , seeds, best, , , gain] = found, one = chosen.length === 1;
      const what = one ? data.nets[chosen[0]] : `${chosen.length} nets`;
      const over = seeds === 1 ? "1 seed" : `mean over ${seeds} seeds`;
      const said = `${what}, ${method.value}: top-1 error ${number(top1)} %, ${over}.`;
      if (one) return `${said} Tick another net to average the two.`;
      if (!gain) return `${said} That is what the best of them has alone, ${data.nets[best]}.`;
      const how = gain > 0 ? "lower" : "higher";
      return `${said} That is ${number(Math.abs(gain))} points ${how} than that of the best of them, ` +
        `${data.nets[best]}.`;
    };
    const show = () => {
      const chosen = boxes.flatMap((box, place) => box.checked ? [place] : []);
      const mask = chosen.reduce((sum, place) => sum + (1 << place), 0);
      const own = data.methods[method.value], found = own.found[mask];
      const [top1, low, high, top5, , best, best1, best5, gain1, least, most, gain5] = found || [];
      const [paper1, paper5] = own.paper[mask] || [];
      named.value = Object.keys(data.named).find((name) => data.named[name] === mask) || "OWN_CHOICE";
      write({
        says: say(own, chosen, found),
        own1: number(top1), own: range(low, high, number), own5: number(top5),
        best: best == null ? "–" : data.nets[best], best1: number(best1), best5: number(best5),
        gain1: points(gain1), gain: range(least, most, points), gain5: points(gain5),
        paper1: number(paper1), paper5: number(paper5),
      });
    };
    named.addEventListener("input", () => {
      const mask = data.named[named.value];
      if (mask) boxes.forEach((box, place) => { box.checked = mask >> place & 1; });
    });"""
