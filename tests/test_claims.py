from dataclasses import replace

import pandas as pd
import pytest
from rows import row_of

from vgglib import claims, paper
from vgglib.analysis.verdict_tables import DETAILS, details, frame
from vgglib.claims import CLAIMS, NAMES, Claim, Pool
from vgglib.comparisons import ERROR, Arm, Evidence, checked
from vgglib.verdicts import corrected, judge

A, LRN, B, C, D, E = (Arm("3", net) for net in ("A", "A-LRN", "B", "C", "D", "E"))
EMPTY = pd.DataFrame()
BY_NAME = {claim.name: claim for claim in CLAIMS}


def rows(**errors):
    """Rows of Table 3 at S = 256 from errors by net, one per seed."""
    return pd.DataFrame(
        [row_of(Arm("3", net), seed, top1) for net, arm in errors.items() for seed, top1 in enumerate(arm)]
    )


def one(table, name):
    return judge(table, name)[0]


def filled(name, gain, seeds=3):
    """Rows of every arm of a claim: baselines at 40 + seed, treatments lower by `gain` and a little noise."""
    claim, found = BY_NAME[name], {}
    for comparison in claim.comparisons:
        for seed in range(seeds):
            for arm in comparison.baselines:
                found.setdefault((arm, seed), row_of(arm, seed, 40.0 + seed))
            found[comparison.treatment, seed] = row_of(comparison.treatment, seed, 40.0 + seed - gain + 0.1 * seed)
    return pd.DataFrame(found.values())


def pairs(claim):
    """The comparisons of a claim and those beside it."""
    pools = [shown.comparisons if isinstance(shown, Pool) else (shown,) for shown in claim.more]
    return (*claim.comparisons, *(pair for pool in pools for pair in pool))


def test_the_papers_effects_come_from_its_tables():
    effects = {verdict.name: verdict.paper and round(verdict.paper, 2) for verdict in judge(EMPTY)}
    assert effects == {
        **{"lrn": 0.1, "depth": -2.3, "saturation": -0.1, "non-linearity": -0.6, "context": -1.37},
        **{"small-filters": None, "jitter": -1.13, "jitter-control": None, "multi-scale": -0.5, "multi-crop": -0.2},
        **{"both": -0.2, "ensemble": -0.8, "two-against-seven": -0.7, "start": None, "cheaper-dense": None},
        **{"weights": 0, "single-net": -0.9, "epochs": None},
    }


def test_every_arm_of_the_papers_tables_is_one_of_its_rows():
    numbers, fusion = paper.numbers(), paper.numbers("fusion")
    keys = ["net", "train_scale", "test_scales", "method"]
    known = {(str(line.table), *(getattr(line, key) for key in keys)) for line in numbers.itertuples()}
    known |= {("6", line.ensemble, "", "", line.method) for line in fusion.itertuples()}
    arms = [arm for claim in CLAIMS for pair in pairs(claim) for arm in pair.arms]
    asked = {(arm.table, *(getattr(arm, key) for key in keys)) for arm in arms}
    assert {key for key in asked if key[0] in "3456"} <= known
    assert {key[0] for key in asked} == {"3", "4", "5", "6", "5x5", "jitter", "starts", "scales"}
    scales = {key for key in known if key[0] == "4"}
    assert {
        (*(str(getattr(c.treatment, key)) for key in ["table", *keys]),) for c in BY_NAME["multi-scale"].comparisons
    } == scales


def test_several_scales_meet_the_single_scale_of_the_same_net():
    for comparison in BY_NAME["multi-scale"].comparisons:
        (single,) = comparison.baselines
        assert (single.net, single.train_scale) == (comparison.treatment.net, comparison.treatment.train_scale)
    gains = [float(gain) for gain in details(EMPTY, "multi-scale")["Paper"][1:-2]]
    assert len(gains) == 10 and max(gains) == -0.2 and min(gains) == -1.0


def test_several_scales_meet_the_best_of_their_own():
    rows = []
    for seed in range(3):
        for net, s in claims.TABLE_4:
            three = claims.SEVERAL_SCALES[s]
            rows.append(row_of(Arm("4", net, s, three), seed, 38.0))
            alone = dict(zip(three.split(), (39.0, 36.0 + seed, 50.0), strict=True))
            rows += [row_of(Arm("scales", net, s, q), seed, error) for q, error in alone.items()]
    best, smallest = BY_NAME["multi-scale"].again
    assert best.label.startswith("three Q - the best") and smallest.label.startswith("three Q - the smallest")
    found = [Evidence.of(checked(pd.DataFrame(rows)), pool.comparisons, ERROR) for pool in (best, smallest)]
    assert [own.differences.tolist() for own in found] == [[2, 1, 0], [-1, -1, -1]]


def test_both_ways_together_are_set_against_the_better_one():
    table = filled("both", 3.0)
    table.loc[(table["method"] == "multi-crop") & (table["seed"] == 0), "top1_error_percent"] = 35.0
    # -3, -2.9, -2.8 against baselines of 40; in seed 0 crops alone are better by five points, in both nets.
    assert one(table, "both").effect == pytest.approx((2.0 - 2.9 - 2.8) / 3)


@pytest.mark.parametrize("name", [claim.name for claim in CLAIMS if claim.kind == "lower error"])
def test_a_gain_reproduces_and_a_loss_is_the_opposite(name):
    gain = one(filled(name, 3.0), name)
    assert gain.verdict == "reproduced" and gain.effect == pytest.approx(-2.9) and gain.seeds == 3
    # Differences of -3.0, -2.9 and -2.8: standard error 0.1 / sqrt(3), t with 2 degrees of freedom 4.3027.
    assert (gain.low, gain.high) == pytest.approx((-2.9 - 0.2484, -2.9 + 0.2484), abs=1e-3)
    assert one(filled(name, -3.0), name).verdict == "opposite"


@pytest.mark.parametrize("name", [claim.name for claim in CLAIMS if claim.kind == "no better"])
def test_equality_reproduces_what_is_no_better_and_a_loss_is_told_from_it(name):
    assert "alone: equivalent within 0.5 points" in one(filled(name, 0.1), name).why
    assert [one(filled(name, gain), name).alone for gain in (0.1, -3.0, 3.0)] == [
        "reproduced",
        "a loss",
        "opposite",
    ]


def test_the_better_single_net_of_each_seed_is_the_baseline():
    table = filled("ensemble", 3.0)
    table.loc[(table["net"] == "E") & (table["seed"] == 1), "top1_error_percent"] = 36.0
    assert one(table, "ensemble").effect == pytest.approx((-3.0 + 2.1 - 2.8) / 3)


def test_cheaper_is_a_ratio():
    arms = {arm for comparison in BY_NAME["cheaper-dense"].comparisons for arm in comparison.arms}
    seconds = {"dense": [1.0, 1.0, 1.0], "multi-crop": [4.9, 5.0, 5 * 5 / 4.9]}
    table = pd.DataFrame([row_of(arm, seed, seconds=seconds[arm.method][seed]) for arm in arms for seed in range(3)])
    found = one(table, "cheaper-dense")
    assert found.effect == pytest.approx(0.2) and found.high < 1 and found.verdict == "reproduced"
    shown = frame([found]).iloc[0]
    assert (shown["Paper"], shown["Ours"]) == ("-", "0.20") and shown["Why"].startswith("the interval lies below 1")
    assert details(table, "cheaper-dense")["Ours"].tolist() == ["0.20"] * 3
    table["method"] = table["method"].map({"dense": "multi-crop", "multi-crop": "dense"})
    assert one(table, "cheaper-dense").verdict == "opposite"


def test_weights_are_counted():
    # Net E at width 1 and 1000 classes has 143 667 240 weights and biases.
    found = one(EMPTY, "weights")
    # The other net's are known to a million.
    assert found.effect == 0 and found.verdict == "reproduced" and found.p_value is None
    assert found.why == "an exact count: 132.9 (A) to 143.7 million (E); OverFeat's are quoted as 144"
    assert frame([found]).iloc[0][["Paper", "Ours", "Seeds"]].tolist() == ["+0", "+0", "-"]


def test_what_cannot_be_tested_is_listed_with_its_reason():
    found = judge(EMPTY, "single-net", "epochs")
    assert [v.verdict for v in found] == ["not tested"] * 2 and all(v.why for v in found)
    assert details(EMPTY, "epochs").empty


def test_without_rows_everything_is_not_run():
    found = {verdict.name: verdict for verdict in judge(EMPTY)}
    assert tuple(found) == NAMES and len(set(NAMES)) == len(NAMES)
    assert found["lrn"].why == "no seed is complete: 2 of 2 not run" and found["lrn"].verdict == "not run"
    assert found["multi-scale"].why.startswith("no seed is complete: 20 of 20 not run")
    assert (details(EMPTY, "depth")["Status"] == "2 of 2 not run").all()
    assert not frame(list(found.values())).isna().any().any()


def test_one_seed_decides_nothing():
    found = one(rows(A=[40], E=[20]), "depth")
    assert found.verdict == "undecided" and found.effect == -20 and found.low is None and "one seed" in found.why


def test_a_failed_run_leaves_the_claim_undecided():
    table = rows(A=[40, 41, 42, 43], E=[30.0, 31.1, 32.0, 33.0])
    assert one(table, "depth").verdict == "reproduced"
    table.loc[table.index[-1], "status"] = "failed"
    found = one(table, "depth")
    assert (found.verdict, found.why) == ("undecided", "1 failed run(s) have no error to compare")
    assert found.p_value is None and found.seeds == 3


def test_missing_runs_and_head_starts_stand_beside_the_verdict():
    table = rows(A=[40, 41, 42], E=[30.0, 31.1, 32.0])
    table.loc[table["net"] == "E", "start"] = "A"
    table = pd.concat([table, rows(A=[40, 41, 42, 43])[3:]])
    notes = "1 of 8 not run; E has A's training behind it, A has not"
    assert one(table, "depth").why == f"the interval lies below 0; {notes}"


def test_caveats_stand_beside_the_verdict():
    assert one(rows(B=[40, 41], C=[38.0, 39.1]), "non-linearity").why.endswith("C is also deeper than B")


def test_a_claim_is_corrected_for_all_that_can_be_tested():
    table = rows(A=[40, 41, 42], E=[38.0, 38.6, 40.3])  # differences -2, -2.4, -1.7: t = -10.03
    alone = 1 - 10.03 / (2 + 10.03**2) ** 0.5  # Student's, 2 degrees of freedom
    found = one(table, "depth")
    assert found.p_value == pytest.approx(15 * alone, abs=1e-4)
    assert (found.verdict, found.alone) == ("undecided", "reproduced")
    assert found.why.startswith("not significant among all claims that can be tested")


def test_no_verdict_is_the_easier_for_what_was_not_run():
    table = rows(A=[40, 41, 42], E=[38.0, 38.6, 40.3])
    more = pd.concat([table, rows(**{"A-LRN": [40, 44, 39], "B": [40, 42, 41], "C": [39, 42, 42], "D": [40, 44, 35]})])
    noise = pd.concat([more, filled("jitter", 0.01), filled("both", 0.01), filled("two-against-seven", 0.01)])
    assert len([v for v in judge(noise) if v.p_value is not None]) == 7
    assert one(noise, "depth").p_value == one(table, "depth").p_value


def test_what_was_not_tested_counts_and_what_cannot_be_does_not():
    found = one(rows(A=[40, 41, 42], E=[30.0, 31.1, 32.0]), "depth")
    family = [replace(found, p_value=p) for p in (0.01, 0.04, 0.03, None)]
    family.append(next(verdict for verdict in judge(EMPTY) if verdict.kind == "count"))
    after = corrected(family)
    assert [v.p_value and round(v.p_value, 6) for v in after] == [0.04, 0.09, 0.09, None, None]
    assert [v.verdict for v in after] == ["reproduced", "undecided", "undecided", "reproduced", "reproduced"]


def test_details_by_hand():
    marks = {"A": ["xxxxxx....", "xxxxxx...."], "B": ["xx........", "xxxxx....."]}
    table = pd.DataFrame([row_of(Arm("3", net), s, wrong=mark) for net in marks for s, mark in enumerate(marks[net])])
    line = details(table, "depth").iloc[1]  # the step from A to B
    assert line[["Treatment", "Baseline"]].tolist() == ["B, S = 256, Q = 256", "A, S = 256, Q = 256"]
    assert line[["Paper", "Ours", "Seeds", "Status"]].tolist() == ["-0.9", "-25.00", "2", "done"]  # other steps are not
    assert line["95 % interval"] == "-215.59 to +165.59"  # -25 +- 12.706 x 15
    # t = -25 / 15 with one degree of freedom, 2 atan(15 / 25) / pi; both negative, as in two of four ways to flip them.
    assert line["p of t; of sign flips"] == "0.344; 0.500"
    assert line["McNemar p"] == "0.125 to 1.000, 0 of 2 below 0.05"
    alone = details(table[table["seed"] == 0], "depth")
    assert list(alone) == [column for column in DETAILS if column not in ("95 % interval", "p of t; of sign flips")]
    single = alone.iloc[1]
    assert [float(end) for end in single["Bootstrap"].split(" to ")] == pytest.approx([-70, -10], abs=10.1)
    assert list(details(table, "depth")) == DETAILS


def test_pooled_details_come_first():
    lines = details(EMPTY, "context")
    assert lines["Treatment"].tolist()[0] == "mean of all 3" and len(lines) == 5
    assert lines["Paper"].tolist() == ["-1.4", "-1.1", "-1.3", "-1.7", "-"]
    assert lines["Treatment"].tolist()[-1].startswith("D - C at the smallest Q")
    (ensemble,) = details(EMPTY, "ensemble")["Baseline"]
    assert ensemble.startswith("the best of D or E, S = 256-512, Q = 256 384 512")


def test_the_frame_is_ready_to_show():
    shown = frame(judge(rows(A=[40, 41, 42], E=[30.0, 31.1, 32.0]), "depth", "lrn"))
    heads = ["Claim", "Verdict", "Comparison", "Paper", "Ours", "95 % interval", "p (Holm)", "Seeds", "Why"]
    assert list(shown) == heads
    assert shown.iloc[0][["Paper", "Ours", "p (Holm)", "Seeds"]].tolist() == ["-2.3", "-9.97", "< 0.001", "3"]
    assert shown.iloc[1]["Ours"] == "-"


@pytest.mark.parametrize("errors, test", [([40.1, 41.0, 42.1], "equivalence"), ([45.0, 46.1, 47.0], "difference")])
def test_of_two_tests_it_is_said_which_the_p_value_is_of(errors, test):
    wide = {"A": [40, 41, 42], "A-LRN": errors}
    (line,) = frame(judge(rows(**wide), "lrn")).to_dict("records")
    assert line["p (Holm)"].endswith(f" ({test})")


def test_unknown_names_are_refused():
    for ask in (judge, details):
        with pytest.raises(ValueError, match="unknown claim 'dept': choose one of lrn, depth"):
            ask(EMPTY, "dept")
    with pytest.raises(ValueError, match="unknown kind of claim 'better'"):
        Claim("x", "X", "1", "better", "x")


@pytest.mark.parametrize(
    "name, treatment, baseline",
    [
        ("small-filters", "B, S = 256, Q = 256", "B-5x5, S = 256, Q = 256"),
        ("jitter-control", "C, S = 256-512, Q = 384", "C, S = 384+384, Q = 384"),
        ("start", "E from A, S = 256, Q = 256", "E from glorot, S = 256, Q = 256"),
        ("cheaper-dense", "D, S = 256-512, Q = 256 384 512", "D, S = 256-512, Q = 256 384 512, multi-crop"),
    ],
)
def test_which_way_round_a_claim_without_the_papers_number_is(name, treatment, baseline):
    first = BY_NAME[name].comparisons[0]
    assert (first.treatment.label, first.baseline_label) == (treatment, baseline)
