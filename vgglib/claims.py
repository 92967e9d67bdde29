"""The paper's claims as declarations, and what rows of results say of each: effect, interval, p value, verdict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from vgglib import paper
from vgglib.comparisons import ERROR, SECONDS, Arm, Comparison, Evidence, checked, paper_effect
from vgglib.configs import config
from vgglib.cost import parameters
from vgglib.statistics import LEVEL, Decision, bootstrap_interval, holm, lower, mcnemar_p, no_better

OVERFEAT_MILLIONS = 144  # weights of Sermanet et al.'s net, as Sect. 2.3 quotes them; in none of the paper's tables
SINGLE_SCALE = {"256": "256", "384": "384", "256-512": "384"}  # S -> Q of Table 3
SEVERAL_SCALES = {"256": "224 256 288", "384": "352 384 416", "256-512": "256 384 512"}  # S -> Q of Table 4
# Net and S of Table 4's rows.
TABLE_4 = tuple(
    (net, scale)
    for net, scales in (("B", ["256"]), ("C", SINGLE_SCALE), ("D", SINGLE_SCALE), ("E", SINGLE_SCALE))
    for scale in scales
)
TWO_NETS, SEVEN_NETS = "post-submission (2 nets)", "ILSVRC submission (7 nets)"  # as in fusion.csv
DETAILS = ["Treatment", "Baseline", "Paper", "Ours", "95 % interval", "Bootstrap", "Resampled", "McNemar p"]
DETAILS += ["Seeds", "Status"]


@dataclass(frozen=True)
class Pool:
    """Comparisons whose mean is shown behind a claim, and what they have in common, for the reader."""

    label: str
    comparisons: tuple[Comparison, ...]


@dataclass(frozen=True)
class Claim:
    """One statement of the paper and how it is put to the test; `comparisons` are pooled, `more` are shown beside."""

    name: str
    statement: str
    section: str
    kind: str  # one of KINDS
    contrast: str  # what is compared, for the reader
    comparisons: tuple[Comparison, ...] = ()
    more: tuple[Comparison | Pool, ...] = ()
    caveat: str = ""  # why the statement may not follow from the comparison; of "not testable", the reason
    paper: Callable[[], float] | None = None  # the paper's effect where no comparison has it

    def __post_init__(self):
        if self.kind not in KINDS:
            raise ValueError(f"unknown kind of claim {self.kind!r}: choose one of {', '.join(KINDS)}.")


@dataclass(frozen=True)
class Verdict:
    """One claim on one body of evidence. An effect is treatment - baseline in points of top-1 error (minus is better),
    for costs a ratio of seconds, for counts a difference in millions of weights.
    """

    name: str
    claim: str
    section: str
    kind: str
    comparison: str
    paper: float | None
    effect: float | None
    low: float | None
    high: float | None
    p_value: float | None
    seeds: int
    verdict: str  # reproduced, opposite, undecided or not tested
    why: str


# What each kind of claim measures and how it decides; None where nothing is tested on rows.
KINDS: dict[str, tuple[str, Callable[[np.ndarray], Decision]] | None] = {
    "lower error": (ERROR, lower),
    "no better": (ERROR, no_better),
    "cheaper": (SECONDS, lambda logs: lower(logs, none="1")),
    "count": None,
    "not testable": None,
}


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


def _millions(net: str) -> float:
    """Weights and biases of a net of Table 1 at the paper's width and 1000 classes, in millions."""
    return parameters(config(net)) / 1e6


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
            _versus(_best_single("E", "multi-crop"), _best_single("D", "multi-crop")),
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
        caveat="D also has more weights than C",
    ),
    Claim(
        "small-filters",
        "A deep net with small filters does better than a shallow one with larger filters",
        section="4.1",
        kind="lower error",
        contrast="B - B-5x5",
        comparisons=(_versus(Arm("5x5", "B"), Arm("5x5", "B-5x5")),),
        caveat='the paper calls the error of B-5x5 "7 % higher", and does not say whether in points or as a ratio',
    ),
    Claim(
        "jitter",
        "Scale jitter in training helps, even with a single test scale",
        section="4.1",
        kind="lower error",
        contrast="S = [256; 512] - S = 384, mean of C, D, E",
        comparisons=tuple(_versus(_jitter(net, "256-512"), _jitter(net, "384")) for net in "CDE"),
        caveat="a further stage of training comes with the jitter",
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
        more=(
            Pool(
                "three Q - the best of the three alone, mean of ten nets and S",
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
        "Many crops do slightly better than dense evaluation",
        section="4.3",
        kind="lower error",
        contrast="multi-crop - dense, mean of D, E",
        caveat="only the sign is judged, and not whether the gain is slight",
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
        "The two best nets together do better than the seven of the submission",
        section="4.4",
        kind="lower error",
        contrast="2 nets - 7 nets",
        comparisons=(_versus(_fused(TWO_NETS), _fused(SEVEN_NETS)),),
    ),
    Claim(
        "start",
        "Starting deep nets from a trained A is unnecessary: Glorot's initialisation does as well",
        section="3.1",
        kind="no better",
        contrast="E from A - E from glorot",
        comparisons=(_versus(_started("A"), _started("glorot")),),
        more=(_versus(_started("A"), _started("he-fan-out")),),
        caveat="the start from A has A's training behind it",
    ),
    Claim(
        "cheaper-dense",
        "Dense evaluation is cheaper than crops",
        section="3.2",
        kind="cheaper",
        contrast="seconds, dense : multi-crop, geometric mean of D, E",
        comparisons=tuple(_versus(_best_single(net), _best_single(net, "multi-crop")) for net in "DE"),
        caveat="the paper gives no timing; the ratio is that of the machines of these runs",
    ),
    Claim(
        "weights",
        "The deep nets have no more weights than a shallower, wider one",
        section="2.3",
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


def verdicts(rows: pd.DataFrame) -> list[Verdict]:
    """Every claim on these rows, in the order of `CLAIMS`; p values and verdicts after Holm's correction over all.

    rows: as `results.Store.rows` gives them, of any tables. Raises ValueError for rows of several presets, and
    where two rows disagree.
    """
    rows = checked(rows)
    return corrected([_on_its_own(claim, rows) for claim in CLAIMS])


def verdict(rows: pd.DataFrame, *names: str) -> list[Verdict]:
    """The claims called `names` out of the whole family, hence corrected for all that `rows` can be asked about."""
    for name in names:
        _claim(name)
    by_name = {verdict.name: verdict for verdict in verdicts(rows)}
    return [by_name[name] for name in names]


def corrected(found: list[Verdict]) -> list[Verdict]:
    """Verdicts after Holm's correction over `found`: those whose p value is no longer below 0.05 become undecided."""
    p_values = holm([verdict.p_value for verdict in found])
    return [_corrected(verdict, p_value) for verdict, p_value in zip(found, p_values, strict=True)]


def _corrected(verdict: Verdict, p_value: float | None) -> Verdict:
    if p_value is None or not verdict.p_value < LEVEL <= p_value:
        return replace(verdict, p_value=p_value)
    why = f"not significant among the claims tested together (Holm); alone: {verdict.why}"
    return replace(verdict, p_value=p_value, verdict="undecided", why=why)


def _claim(name: str) -> Claim:
    if name not in NAMES:
        raise ValueError(f"unknown claim {name!r}: choose one of {', '.join(NAMES)}.")
    return CLAIMS[NAMES.index(name)]


def _on_its_own(claim: Claim, rows: pd.DataFrame) -> Verdict:
    """One claim without the others: no correction."""
    found = Verdict(
        **{"name": claim.name, "claim": claim.statement, "section": claim.section, "kind": claim.kind},
        **{"comparison": claim.contrast, "paper": _paper(claim)},
        **{"effect": None, "low": None, "high": None, "p_value": None, "seeds": 0},
        **{"verdict": "not tested", "why": claim.caveat},
    )
    if claim.kind == "count":
        return _counted(found)
    return found if KINDS[claim.kind] is None else _tested(claim, found, rows)


def _paper(claim: Claim) -> float | None:
    if claim.kind == "cheaper":  # the paper compares errors of these arms, not their cost
        return None
    return claim.paper() if claim.paper else paper_effect(claim.comparisons)


def _counted(found: Verdict) -> Verdict:
    ours = _millions("E")
    # Rounded, since the other net's weights are known to a million only.
    verdict = "reproduced" if round(ours) <= OVERFEAT_MILLIONS else "opposite"
    why = f"an exact count: {_millions('A'):.0f} (A) to {ours:.0f} million (E); OverFeat has {OVERFEAT_MILLIONS}"
    return replace(found, effect=ours - OVERFEAT_MILLIONS, verdict=verdict, why=why)


def _tested(claim: Claim, found: Verdict, rows: pd.DataFrame) -> Verdict:
    measure, decide = KINDS[claim.kind]
    evidence = Evidence.of(rows, claim.comparisons, measure)
    decision = evidence.undecidable or decide(evidence.differences)
    notes = [decision.why, evidence.status if evidence.missing and evidence.seeds else "", evidence.head_start]
    return replace(
        found,
        **evidence.effect(),
        p_value=decision.p_value,
        verdict=decision.verdict,
        why="; ".join(note for note in (*notes, claim.caveat) if note),
    )


def frame(found: list[Verdict]) -> pd.DataFrame:
    """Verdicts as a table for display, numbers as text."""
    return pd.DataFrame(
        [
            {
                "Claim": verdict.claim,
                "Comparison": verdict.comparison,
                "Paper": _text(verdict.paper, verdict.kind, decimals=1),
                "Ours": _text(verdict.effect, verdict.kind),
                "95 % interval": _interval(verdict.low, verdict.high, verdict.kind),
                "p (Holm)": _probability(verdict.p_value),
                "Seeds": "-" if KINDS[verdict.kind] is None else str(verdict.seeds),
                "Verdict": verdict.verdict,
                "Why": verdict.why,
            }
            for verdict in found
        ]
    )


def short(found: list[Verdict]) -> pd.DataFrame:
    """The columns of `frame` that fit on a page."""
    return frame(found)[["Claim", "Verdict", "Paper", "Ours", "95 % interval", "Seeds"]]


def markdown(found: list[Verdict]) -> str:
    """Verdicts in short, as a table in Markdown for a terminal or a README."""
    table = short(found)
    lines = [table.columns.tolist(), ["---"] * table.shape[1], *table.to_numpy().tolist()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def details(rows: pd.DataFrame, name: str) -> pd.DataFrame:
    """What lies behind one claim, as a table for display: its comparisons pooled, then each, then those beside it.

    Beside the t interval over seeds: a bootstrap interval, what was resampled for it, and McNemar's exact p values of
    each seed's two fixed nets, the least and the most of them and how many are below 0.05. These are not corrected and
    decide nothing. Raises ValueError for an unknown name.
    """
    claim, rows = _claim(name), checked(rows)
    own = claim.comparisons
    pooled = [Pool(f"mean of all {len(own)}", own)] if len(own) > 1 else []
    lines = [_line(claim, rows, shown) for shown in (*pooled, *own, *claim.more)]
    return pd.DataFrame(lines, columns=DETAILS)


def _line(claim: Claim, rows: pd.DataFrame, shown: Comparison | Pool) -> dict:
    alone = isinstance(shown, Comparison)
    comparisons = (shown,) if alone else shown.comparisons
    evidence = Evidence.of(rows, comparisons, KINDS[claim.kind][0])
    effect = evidence.effect()
    treatment, baseline = comparisons[0].treatment.label, comparisons[0].baseline_label
    line = dict.fromkeys(DETAILS, "-") | {
        "Treatment": treatment if alone else shown.label,
        "Baseline": baseline if alone else "-",
        "Ours": _text(effect["effect"], claim.kind),
        "95 % interval": _interval(effect["low"], effect["high"], claim.kind),
        "Seeds": str(effect["seeds"]),
        "Status": evidence.status,
    }
    if claim.kind == "cheaper":
        return line
    line["Paper"] = _text(paper_effect(comparisons), claim.kind, decimals=1)
    if evidence.seeds:
        line["Bootstrap"] = _interval(*bootstrap_interval(evidence.image_differences), claim.kind)
        line["Resampled"] = "images alone" if len(evidence.seeds) == 1 else "seeds and images"
    if evidence.seeds and alone:
        p_values = [mcnemar_p(*(row.wrong for row in evidence.pairs[0][seed])) for seed in evidence.seeds]
        least, most = (_probability(end(p_values)) for end in (min, max))
        below = f"{sum(p_value < LEVEL for p_value in p_values)} of {len(p_values)} below {LEVEL}"
        line["McNemar p"] = f"{least} to {most}, {below}" if len(p_values) > 1 else least
    return line


def _text(value: float | None, kind: str, decimals: int = 2) -> str:
    if value is None:
        return "-"
    return f"{value:.{decimals}f}" if kind == "cheaper" else f"{value:+.{decimals}f}"


def _interval(low: float | None, high: float | None, kind: str) -> str:
    return "-" if low is None else f"{_text(low, kind)} to {_text(high, kind)}"


def _probability(p_value: float | None) -> str:
    if p_value is None:
        return "-"
    return "< 0.001" if p_value < 0.001 else f"{p_value:.3f}"
