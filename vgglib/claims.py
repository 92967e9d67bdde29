"""The paper's claims as declarations: what is compared, in which unit, and how it decides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vgglib import paper
from vgglib.comparisons import ERROR, SECONDS, Arm, Comparison
from vgglib.statistics import Decision, lower, no_better

OVERFEAT_MILLIONS = 144  # weights of Sermanet et al.'s net, as Sect. 2.2 quotes them; in none of the paper's tables
SINGLE_SCALE = {"256": "256", "384": "384", "256-512": "384"}  # S -> Q of Table 3
SEVERAL_SCALES = {"256": "224 256 288", "384": "352 384 416", "256-512": "256 384 512"}  # S -> Q of Table 4
# Net and S of Table 4's rows.
TABLE_4 = tuple(
    (net, scale)
    for net, scales in (("B", ["256"]), ("C", SINGLE_SCALE), ("D", SINGLE_SCALE), ("E", SINGLE_SCALE))
    for scale in scales
)
TWO_NETS, SEVEN_NETS = "post-submission (2 nets)", "ILSVRC submission (7 nets)"  # as in fusion.csv


@dataclass(frozen=True)
class Pool:
    """Comparisons whose mean is shown behind a claim, and what they have in common, for the reader."""

    label: str
    comparisons: tuple[Comparison, ...]


@dataclass(frozen=True)
class Claim:
    """One statement of the paper and how it is put to the test; `comparisons` are pooled, `more` are shown beside, and
    `again` ask the same in another way, which may come out otherwise.
    """

    name: str
    statement: str
    section: str
    kind: str  # one of KINDS
    contrast: str  # what is compared, for the reader
    comparisons: tuple[Comparison, ...] = ()
    more: tuple[Comparison | Pool, ...] = ()
    again: tuple[Pool, ...] = ()
    control: str = ""  # the claim that asks the same without what else comes with the treatment
    caveat: str = ""  # why the statement may not follow from the comparison; of "not testable", the reason
    paper: Callable[[], float] | None = None  # the paper's effect where no comparison has it

    def __post_init__(self):
        if self.kind not in KINDS:
            raise ValueError(f"unknown kind of claim {self.kind!r}: choose one of {', '.join(KINDS)}.")


# What each kind of claim measures and how it decides; None where nothing is tested on rows.
KINDS: dict[str, tuple[str, Callable[[np.ndarray], Decision]] | None] = {
    "lower error": (ERROR, lower),
    "no better": (ERROR, no_better),
    "cheaper": (SECONDS, lambda logs: lower(logs, none="1")),
    "count": None,
    "not testable": None,
}


def measured(kind: str) -> str | None:
    """The column of rows that claims of a kind compare, None where they compare none."""
    return KINDS[kind][0] if KINDS[kind] else None


def _versus(treatment: Arm, *baselines: Arm) -> Comparison:
    return Comparison(treatment, baselines)


def _single(net: str, train_scale: str = "256") -> Arm:
    return Arm("3", net, train_scale, SINGLE_SCALE[train_scale])


def _several(net: str, train_scale: str) -> Arm:
    return Arm("4", net, train_scale, SEVERAL_SCALES[train_scale])


def _alone(net: str, train_scale: str, test_scale: str) -> Arm:
    return Arm("scales", net, train_scale, test_scale)


def _smallest(net: str, train_scale: str) -> Arm:
    """At the smallest Q of Table 4, where most of a dense test sees the zeros around the picture as training did."""
    return _alone(net, train_scale, SEVERAL_SCALES[train_scale].split()[0])


def _jitter(net: str, train_scale: str) -> Arm:
    return Arm("jitter", net, train_scale, "384")


def _best_single(net: str, method: str = "dense") -> Arm:
    return Arm("5", net, "256-512", SEVERAL_SCALES["256-512"], method)


def _fused(ensemble: str, method: str = "dense") -> Arm:
    return Arm("6", ensemble, "", "", method)


def _started(start: str) -> Arm:
    return Arm("starts", "E", start=start)


def _paper_millions(net: str) -> float:
    return float(paper.numbers("parameters").set_index("net")["parameters_millions"][net])


def _best_against_googlenet() -> float:
    top5 = paper.numbers("state_of_the_art").set_index("method")["top5_test"]
    return float(top5["VGG (1 net, multi-crop & dense)"] - top5["GoogLeNet (1 net)"])


CLAIMS: tuple[Claim, ...] = (
    Claim(
        "lrn",
        "Local response normalisation does not help",
        section="4.1",
        kind="no better",
        contrast="A-LRN - A",
        comparisons=(_versus(_single("A-LRN"), _single("A")),),
    ),
    Claim(
        "depth",
        "The error falls with depth, from 11 layers to 19",
        section="4.1",
        kind="lower error",
        contrast="E - A",
        comparisons=(_versus(_single("E"), _single("A")),),
        more=(
            *(_versus(_single(deep), _single(shallow)) for deep, shallow in ("BA", "DB", "ED", "EB")),
            *(_versus(_smallest(deep, "256"), _smallest(shallow, "256")) for deep, shallow in ("DB", "ED", "EB")),
        ),
    ),
    Claim(
        "saturation",
        "The error no longer falls from 16 layers to 19",
        section="4.1",
        kind="no better",
        contrast="E - D, S = [256; 512]",
        comparisons=(_versus(_single("E", "256-512"), _single("D", "256-512")),),
        more=(
            *(_versus(_single("E", scale), _single("D", scale)) for scale in ("256", "384")),
            *(_versus(_smallest("E", scale), _smallest("D", scale)) for scale in SINGLE_SCALE),
        ),
        again=(
            Pool(
                "E - D, S = [256; 512], dense at the three Q together", (_versus(_best_single("E"), _best_single("D")),)
            ),
            Pool(
                "E - D, S = [256; 512], on 150 crops",
                (_versus(_best_single("E", "multi-crop"), _best_single("D", "multi-crop")),),
            ),
        ),
    ),
    Claim(
        "non-linearity",
        "An additional non-linearity helps",
        section="4.1",
        kind="lower error",
        contrast="C - B",
        comparisons=(_versus(_single("C"), _single("B")),),
        caveat="C is also deeper than B",
    ),
    Claim(
        "context",
        "Spatial context helps: 3x3 filters do better than 1x1 filters at equal depth",
        section="4.1",
        kind="lower error",
        contrast="D - C, mean of three S",
        comparisons=tuple(_versus(_single("D", scale), _single("C", scale)) for scale in SINGLE_SCALE),
        more=(
            Pool(
                "D - C at the smallest Q of Table 4, mean of three S",
                tuple(_versus(_smallest("D", scale), _smallest("C", scale)) for scale in SINGLE_SCALE),
            ),
        ),
        caveat="D also has more weights than C, and in a dense test more of its filters meet picture where "
        "training had zeros",
    ),
    Claim(
        "small-filters",
        "A deep net with small filters does better than a shallow one with larger filters",
        section="4.1",
        kind="lower error",
        contrast="B - B-5x5",
        comparisons=(_versus(Arm("5x5", "B"), Arm("5x5", "B-5x5")),),
        caveat="here tested densely, in the paper on a centre crop; the paper calls the error of B-5x5 "
        '"7 % higher", and does not say whether in points or as a ratio',
    ),
    Claim(
        "jitter",
        "Scale jitter in training helps, even with a single test scale",
        section="4.1",
        kind="lower error",
        contrast="S = [256; 512] - S = 384, mean of C, D, E",
        comparisons=tuple(_versus(_jitter(net, "256-512"), _jitter(net, "384")) for net in "CDE"),
        again=(
            Pool(
                "S = [256; 512] - S = 256 (the paper's text names it, too), each at its own Q, mean of C, D, E",
                tuple(_versus(_single(net, "256-512"), _single(net)) for net in "CDE"),
            ),
            Pool(
                "S = [256; 512] - S = 256, both at Q = 256, mean of C, D, E",
                tuple(_versus(_alone(net, "256-512", "256"), _alone(net, "256", "256")) for net in "CDE"),
            ),
        ),
        control="jitter-control",
        caveat="a further stage of training comes with the jitter; the verdict is on S = 384 alone, the paper's text "
        "names S = 256 as well",
    ),
    Claim(
        "jitter-control",
        "Scale jitter helps beyond the longer training that comes with it",
        section="4.1",
        kind="lower error",
        contrast="S = [256; 512] - S = 384 for as long, mean of C, D, E",
        comparisons=tuple(_versus(_jitter(net, "256-512"), _jitter(net, "384+384")) for net in "CDE"),
        caveat="the paper has no such control",
    ),
    Claim(
        "multi-scale",
        "Several test scales do better than one",
        section="4.2",
        kind="lower error",
        contrast="three Q - one Q, mean of ten nets and S",
        comparisons=tuple(_versus(_several(*trained), _single(*trained)) for trained in TABLE_4),
        again=(
            Pool(
                "three Q - the best of the three alone, picked after the fact, mean of ten nets and S",
                tuple(
                    _versus(_several(net, s), *(_alone(net, s, q) for q in SEVERAL_SCALES[s].split()))
                    for net, s in TABLE_4
                ),
            ),
            Pool(
                "three Q - the smallest of the three alone, mean of ten nets and S",
                tuple(_versus(_several(*trained), _smallest(*trained)) for trained in TABLE_4),
            ),
        ),
        caveat="the one Q is the paper's, which need not be the best",
    ),
    Claim(
        "multi-crop",
        "Many crops do better than dense evaluation",
        section="4.3",
        kind="lower error",
        contrast="multi-crop - dense, mean of D, E",
        caveat="in the paper slightly: only the sign is judged here, and not whether the gain is slight",
        comparisons=tuple(_versus(_best_single(net, "multi-crop"), _best_single(net)) for net in "DE"),
    ),
    Claim(
        "both",
        "Crops and dense evaluation complement each other",
        section="4.3",
        kind="lower error",
        contrast="multi-crop & dense - the better of the two, mean of D, E",
        comparisons=tuple(
            _versus(_best_single(net, "multi-crop & dense"), _best_single(net, "multi-crop"), _best_single(net))
            for net in "DE"
        ),
        more=tuple(
            _versus(_best_single(net, "multi-crop & dense"), _best_single(net, method))
            for method in ("dense", "multi-crop")
            for net in "DE"
        ),
        caveat="the better way is picked after the fact, which favours the baseline",
    ),
    Claim(
        "ensemble",
        "Averaging two nets does better than the better of them",
        section="4.4",
        kind="lower error",
        contrast="D and E - the better of D, E",
        comparisons=(_versus(_fused(TWO_NETS), _best_single("D"), _best_single("E")),),
        caveat="the better net is picked after the fact, which favours the baseline",
    ),
    Claim(
        "two-against-seven",
        "D and E with jitter do better together than the seven nets of the submission",
        section="4.4",
        kind="lower error",
        contrast="2 nets - 7 nets",
        comparisons=(_versus(_fused(TWO_NETS), _fused(SEVEN_NETS)),),
        more=(_versus(_fused(TWO_NETS, "multi-crop"), _fused(SEVEN_NETS)),),
        caveat="in the paper the two are the best nets; on other data they need not be",
    ),
    Claim(
        "start",
        "With Glorot's initialisation a deep net needs no start from a trained A",
        section="3.1",
        kind="no better",
        contrast="E from A - E from glorot",
        comparisons=(_versus(_started("A"), _started("glorot")),),
        more=(_versus(_started("A"), _started("he-fan-out")),),
        caveat="the paper says that training without it is possible, and gives no error: equal errors are this book's "
        "reading, and whether such nets learn at all is another question; the start from A has A's "
        "training behind it, as many epochs again; and the rate was chosen for A with He's initialisation",
    ),
    Claim(
        "cheaper-dense",
        "Dense evaluation is cheaper than crops",
        section="3.2",
        kind="cheaper",
        contrast="seconds, dense : multi-crop, geometric mean of D, E",
        comparisons=tuple(_versus(_best_single(net), _best_single(net, "multi-crop")) for net in "DE"),
        caveat="the paper gives no timing; between seeds the ratio differs by what else went on on their machines",
    ),
    Claim(
        "weights",
        "The deep nets have no more weights than a shallower, wider one",
        section="2.2",
        kind="count",
        contrast="millions of weights, E - OverFeat",
        paper=lambda: _paper_millions("E") - OVERFEAT_MILLIONS,
    ),
    Claim(
        "single-net",
        "The best single net does better than any other group's",
        section="4.5",
        kind="not testable",
        contrast="VGG - GoogLeNet, top-5 error on ImageNet's test images",
        caveat="it needs the other groups' nets",
        paper=_best_against_googlenet,
    ),
    Claim(
        "epochs",
        "The deep nets need fewer epochs than Krizhevsky's",
        section="3.1",
        kind="not testable",
        contrast="epochs, VGG - Krizhevsky et al.",
        caveat="it needs Krizhevsky's net trained beside ours; the paper offers it as a conjecture",
    ),
)
NAMES = tuple(claim.name for claim in CLAIMS)


def claim_called(name: str) -> Claim:
    """Raises ValueError for an unknown name."""
    if name not in NAMES:
        raise ValueError(f"unknown claim {name!r}: choose one of {', '.join(NAMES)}.")
    return CLAIMS[NAMES.index(name)]
