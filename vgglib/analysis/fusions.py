"""Which two nets to average (Sect. 4.4): two nets of one seed or of two, or one net that was trained twice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, permutations

import numpy as np
import pandas as pd

from vgglib.answered import Answered, Reading, shared_labels
from vgglib.experiments import Run, runs
from vgglib.metrics import mean_text
from vgglib.plans import plan
from vgglib.results import Store

NETS = ("D", "E")  # the ensemble of two in Table 6
METHODS = ("dense", "multi-crop")
ONE_SEED, TWO_SEEDS, TWO_D, TWO_E = "D and E of one seed", "D and E of two seeds", "D of two seeds", "E of two seeds"
# What is averaged: its nets, and how many seeds they are of.
PAIRINGS = {"D": ("D", 1), "E": ("E", 1), ONE_SEED: ("DE", 1), TWO_SEEDS: ("DE", 2), TWO_D: ("DD", 2), TWO_E: ("EE", 2)}
# Pairings that differ in one thing: with the exchange, and without it.
EXCHANGES = {
    "Another seed": (TWO_SEEDS, ONE_SEED),
    "E instead of another D": (TWO_SEEDS, TWO_D),
    "D instead of another E": (TWO_SEEDS, TWO_E),
}
Net = tuple[str, int]  # name and seed


def rows(store: Store, preset: str, seeds: Sequence[int] | None = None, **overrides) -> pd.DataFrame:
    """A line for each net and each pair of nets, at the S and Q of Table 5, of all `PAIRINGS` and `METHODS`.

    Columns: `method`, `pairing`, `seeds` (the set of its nets' seeds), the top-1 errors in percent `error`, of the mean
    of its nets' posteriors, and `better`, of the better net alone, and `difference`, the first less the second in
    points. seeds: by default all that have records; `overrides` as in `plans.plan`. Only those count of which both nets
    are done; a method of which there are fewer than two has no lines. Raises ValueError for an unknown preset, for an
    altered record, and where nets were tested on different images.
    """
    entries = plan(preset, "5", NETS, seeds or store.seeds(preset) or None, **overrides)
    reading = Reading(store, runs(entries))
    lines = []
    for method in METHODS:
        own = {(entry.net, entry.seed): entry.runs for entry in entries if entry.method == method}
        own = {net: tested for net, tested in own.items() if reading.done(tested)}
        both = [seed for net, seed in own if net == NETS[0] and (NETS[1], seed) in own]
        if len(both) > 1:
            lines += _lines(reading, method, {(net, seed): own[net, seed] for net in NETS for seed in both}, both)
    return pd.DataFrame(lines, columns=["method", "pairing", "seeds", "error", "better", "difference"])


def _lines(reading: Reading, method: str, tests: dict[Net, Sequence[Run]], seeds: Sequence[int]) -> list[dict]:
    whose = f"the nets, {method},"

    def answered(members: Sequence[Net]) -> Answered:
        return reading.answered([run for net in members for run in tests[net]], whose)

    single = {net: answered([net]) for net in tests}
    shared_labels([own.labels for own in single.values()], whose)
    alone = {net: own.top1_error_percent for net, own in single.items()}
    lines = []
    for pairing in PAIRINGS:
        for members in _members(pairing, seeds):
            own, better = answered(members).top1_error_percent, min(alone[net] for net in members)
            line = {"method": method, "pairing": pairing, "seeds": {seed for _, seed in members}}
            lines.append(line | {"error": own, "better": better, "difference": own - better})
    return lines


def _members(pairing: str, seeds: Sequence[int]) -> Iterator[list[Net]]:
    """The nets of each pair of a pairing; D and E of two seeds make two pairs of them, two D one."""
    nets, of_seeds = PAIRINGS[pairing]
    if of_seeds == 1:
        chosen = ([seed] * len(nets) for seed in seeds)
    else:
        chosen = (combinations if nets[0] == nets[1] else permutations)(seeds, 2)
    return (list(zip(nets, own, strict=True)) for own in chosen)


def pseudo_values(own: pd.DataFrame, column: str) -> pd.Series:
    """The jackknife's pseudo-values (Tukey, 1958) of a mean over lines of one method and pairing, a number for each
    seed: n times the mean less n - 1 times the mean of the lines without that seed, n being the number of seeds.

    Pairs of two seeds share nets, so they are not independent, and Student's t interval over pairs would be too narrow;
    leaving out one seed leaves out all its pairs. The mean of the pseudo-values is that of the lines, their standard
    error is the jackknife's, and with n - 1 degrees of freedom they give its t interval. Where a seed has one line they
    are these lines' own numbers, and the interval is the usual one over seeds. Not numbers where nothing is left
    without a seed: pairs of two seeds need three.
    """
    seeds = sorted(set().union(*own["seeds"]))
    left = {seed: own.loc[[seed not in members for members in own["seeds"]], column].mean() for seed in seeds}
    return len(seeds) * own[column].mean() - (len(seeds) - 1) * pd.Series(left, dtype=float)


def summary(found: pd.DataFrame) -> pd.DataFrame:
    """For display, a line per method and pairing of `rows`: means over its nets or pairs, with 95 % intervals over
    seeds from `pseudo_values` where there are any.
    """
    lines = []
    for (method, pairing), own in found.groupby(["method", "pairing"], sort=False):
        error, difference = (own[column].mean() for column in ("error", "difference"))
        errors, differences = (pseudo_values(own, column) for column in ("error", "difference"))
        one_net = len(PAIRINGS[pairing][0]) == 1
        lines.append(
            {
                "Evaluation": method,
                "Averaged": pairing,
                "Number": str(len(own)),
                "Seeds": str(len(errors)),
                "Top-1 error": mean_text(error, errors, ".2f", (0, 100)),  # an error cannot be outside
                "Minus the better net's": "-" if one_net else mean_text(difference, differences, "+.2f"),
            }
        )
    return pd.DataFrame(lines)


def exchanges(found: pd.DataFrame) -> pd.DataFrame:
    """For display, what each of `EXCHANGES` changes in the mean top-1 error, in points with intervals as in `summary`,
    a column for each method.
    """
    lines = []
    for name, (treatment, baseline) in EXCHANGES.items():
        line = {"Exchanged": name, "Difference": f"{treatment} - {baseline}"}
        for method, own in found.groupby("method", sort=False):
            first, second = (own[own["pairing"] == pairing] for pairing in (treatment, baseline))
            values = pseudo_values(first, "error") - pseudo_values(second, "error")
            line[method] = mean_text(first["error"].mean() - second["error"].mean(), values, "+.2f")
        lines.append(line)
    return pd.DataFrame(lines)


def first_stage(store: Store, preset: str) -> pd.DataFrame:
    """For display, every two of Table 3's nets trained at S = 256 and tested densely at Q = 256, averaged seed by seed:
    a line for each pair that has a seed in common, the least error first.

    Raises ValueError as `rows`.
    """
    entries = plan(preset, "3", seeds=store.seeds(preset) or None, train_scales=["256"])
    reading, whose = Reading(store, runs(entries)), f"the nets of preset {preset}"
    found: dict[str, dict[int, Run]] = {}
    for entry in entries:
        if reading.done(entry.runs):
            found.setdefault(entry.net, {})[entry.seed] = entry.runs[0]
    alone = {run: reading.answered([run], whose) for tests in found.values() for run in tests.values()}
    shared_labels([own.labels for own in alone.values()], whose)
    lines = []
    for pair in combinations(found, 2):
        seeds = sorted(set(found[pair[0]]) & set(found[pair[1]]))
        if seeds:
            nets = [[found[net][seed] for net in pair] for seed in seeds]
            both = [reading.answered(own, whose).top1_error_percent for own in nets]
            better = [min(alone[run].top1_error_percent for run in own) for own in nets]
            lines.append((" and ".join(pair), np.array(both), np.array(better)))
    return pd.DataFrame(
        [
            {
                "Averaged": names,
                "Seeds": len(both),
                "Top-1 error": f"{both.mean():.2f}",
                "Minus the better net's": mean_text((both - better).mean(), pd.Series(both - better), "+.2f"),
            }
            for names, both, better in sorted(lines, key=lambda line: line[1].mean())
        ]
    )
