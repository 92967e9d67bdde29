"""Every table of the book, declared once: what it is called, its lines, and where the paper has errors for these."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

Line = tuple[str, str, str, str]  # net, S, Q and method, as in `experiments.Entry`
STARTS, LONGER, SHORTER = "starts", "longer-starts", "shorter-starts"
OF_STARTS = (STARTS, LONGER, SHORTER)  # whose lines differ in how net E starts
CENTRE = "5x5-centre"


@dataclass(frozen=True)
class Table:
    """One table.

    title: above it. brief: in a few words, where tables are listed; the paper's own have none. lines: (net, S, Q,
    method) of each, in order, before starts are told apart; None where they are ensembles (Table 6) or repeat other
    tables (Table 7). source: the paper's table with errors for these lines. in_all: is part of "all".
    """

    title: str
    brief: str = ""
    lines: Callable[[], tuple[Line, ...]] | None = None
    source: str | None = None
    in_all: bool = True


@cache
def _of_paper(number: str) -> tuple[Line, ...]:
    from vgglib import paper  # needs pandas, which lists of options should not wait for

    numbers = paper.numbers()
    numbers = numbers[numbers["table"].astype(str) == number]
    return tuple(numbers[["net", "train_scale", "test_scales", "method"]].itertuples(index=False, name=None))


def _pair(method: str) -> tuple[Line, ...]:
    return tuple((net, "256", "256", method) for net in ("B", "B-5x5"))


def _jitter() -> tuple[Line, ...]:
    return tuple((net, s, "384", "dense") for net in ("C", "D", "E") for s in ("384", "384+384", "256-512"))


def _start() -> tuple[Line, ...]:
    return (("E", "256", "256", "dense"),)


def _each_scale() -> tuple[Line, ...]:
    each = [(net, s, q, method) for net, s, scales, method in _of_paper("4") for q in scales.split()]
    return tuple(dict.fromkeys(each))


def _crops() -> tuple[Line, ...]:
    return tuple((net, s, q, "multi-crop") for net, s, q, _ in _of_paper("3") if s == "256")


# Beside the paper's tables those that its text speaks of (5x5, starts), controls for its comparisons (jitter and what
# is not part of "all"), and "scales", which takes no further test.
TABLES = {
    "3": Table("Table 3 of the paper: a single test scale, dense evaluation", lines=lambda: _of_paper("3"), source="3"),
    "4": Table("Table 4 of the paper: three test scales, dense evaluation", lines=lambda: _of_paper("4"), source="4"),
    "5": Table(
        "Table 5 of the paper: dense evaluation, multi-crop and both, at S = [256; 512] and Q = 256, 384, 512",
        lines=lambda: _of_paper("5"),
        source="5",
    ),
    "6": Table("Table 6 of the paper: ensembles"),
    "7": Table(
        "Table 7 of the paper: the state of the art of its time, top-1 and top-5 on validation images unless said",
        in_all=False,
    ),
    "5x5": Table(
        "Sect. 4.1 of the paper: B against the shallow B-5x5, S = Q = 256, dense evaluation",
        "B against B-5x5",
        lambda: _pair("dense"),
    ),
    "jitter": Table(
        "Scale jitter and a control of equal length (384+384), Q = 384, dense evaluation",
        "jitter and a control of equal length",
        _jitter,
        source="3",
    ),
    STARTS: Table(
        "Net E from seven layers of a trained A and from random weights, S = Q = 256, dense evaluation",
        "E from A and from random weights",
        _start,
    ),
    LONGER: Table(
        "Net E from random weights, with the epochs of A added to its own, S = Q = 256, dense evaluation",
        "E from random weights, with A's epochs added",
        _start,
        in_all=False,
    ),
    SHORTER: Table(
        "Net E from a trained A, each with half of the epochs, S = Q = 256, dense evaluation",
        "E from A, each with half of the epochs",
        _start,
        in_all=False,
    ),
    "scales": Table(
        "Every test scale of Table 4 by itself, dense evaluation",
        "each scale of Table 4 by itself",
        _each_scale,
        source="3",
    ),
    CENTRE: Table(
        "B against the shallow B-5x5 as the paper tests them, on one crop in the centre, S = Q = 256",
        "B against B-5x5 on a centre crop",
        lambda: _pair("centre-crop"),
        in_all=False,
    ),
    "crops": Table(
        "The nets of Table 3 at S = 256 on 25 crops and their mirror images, Q = 256",
        "Table 3's nets on crops",
        _crops,
        in_all=False,
    ),
}
SAME_AS = {
    "7": ("5", "6"),  # of which it repeats rows
    "all": tuple(name for name, table in TABLES.items() if table.in_all),
}


def known() -> list[str]:
    """Names that a plan takes, alone or with commas."""
    return [*sorted(TABLES), "all"]


def briefs(in_all: bool) -> str:
    """The tables beside the paper's that are part of "all", or those that are not, each with its brief."""
    own = {name: table.brief for name, table in TABLES.items() if table.brief and table.in_all is in_all}
    return ", ".join(f"{name} ({brief})" for name, brief in own.items())
