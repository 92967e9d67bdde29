from dataclasses import replace

import pandas as pd
import pytest
from test_tables import row

from vgglib.claims import deeper_is_better, every, frame, holm, lower_error, lrn_does_not_help


def rows(a, b, nets=("A", "E")):
    return pd.DataFrame([row(nets[i], seed, top1) for i, arm in enumerate((a, b)) for seed, top1 in enumerate(arm)])


def depth(a, e):
    return lower_error(rows(a, e), "depth helps", "E", "A")


def test_student_sleep_data():
    # Student (1908): extra hours of sleep under two drugs; t = -4.0621 with 9 degrees of freedom, p = 0.002833.
    first = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
    second = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
    verdict = depth(second, first)  # the first drug gives less
    assert verdict.p_value == pytest.approx(0.002833, abs=1e-6)
    assert (verdict.low, verdict.high) == pytest.approx((-2.4598858, -0.7001142), abs=1e-6)
    assert verdict.verdict == "reproduced" and verdict.seeds == 10
    assert depth(first, second).verdict == "opposite"


def test_noise_is_undecided():
    verdict = depth([40, 42, 41], [41, 40, 43])
    assert verdict.verdict == "undecided" and verdict.low < 0 < verdict.high


def test_one_seed_decides_nothing():
    verdict = depth([40], [20])
    assert verdict.verdict == "undecided" and verdict.ours_points == -20 and verdict.low is None
    assert "one seed" in verdict.why


def test_arms_are_paired_by_seed():
    table = rows([40, 41, 42], [35, 36, 37])
    table.loc[table.index[-1], "status"] = "not run"
    verdict = lower_error(table, "depth helps", "E", "A")
    assert verdict.seeds == 2 and verdict.ours_points == -5
    assert lower_error(table[:0], "depth helps", "E", "A").why == "no seed has both nets"


@pytest.mark.parametrize(
    "difference, verdict",
    [
        ([0.1, -0.1, 0.05, -0.05], "reproduced"),  # equivalent
        ([2.0, 2.1, 1.9, 2.0], "reproduced"),  # worse
        ([-2.0, -2.1, -1.9, -2.0], "opposite"),  # better
        ([3.0, -3.0, 2.0, -1.0], "undecided"),
    ],
)
def test_lrn_is_a_claim_of_equality(difference, verdict):
    table = rows([40.0] * 4, [40 + d for d in difference], ("A", "A-LRN"))
    assert lrn_does_not_help(table).verdict == verdict


def test_the_papers_effects_come_from_its_table():
    table = rows([40.0] * 2, [39.0] * 2)
    verdicts = deeper_is_better(table)
    assert [round(verdict.paper_points, 1) for verdict in verdicts] == [-2.3, -0.9, -0.6, -1.7, 0.3]
    assert frame(verdicts)["Paper"].tolist() == ["-2.3", "-0.9", "-0.6", "-1.7", "+0.3"]
    assert lrn_does_not_help(table).paper_points == pytest.approx(0.1)


def test_a_failed_run_leaves_the_claim_undecided():
    table = rows([40, 41, 42, 43], [30.0, 31.1, 32.0, 33.0])
    assert lower_error(table, "depth helps", "E", "A").verdict == "reproduced"
    table.loc[table.index[-1], "status"] = "failed"
    verdict = lower_error(table, "depth helps", "E", "A")
    assert verdict.verdict == "undecided" and verdict.why == "1 failed run(s) have no error to compare"


def test_equal_differences_have_no_spread_to_test():
    assert depth([40, 41], [39.95, 40.95]).verdict == "undecided"


def test_a_head_start_is_named_where_only_one_net_has_it():
    table = rows([40, 41, 42], [30.0, 31.1, 32.0])
    table["from_a"] = table["net"] == "E"
    assert deeper_is_better(table)[0].why == "E errs less; E has A's training behind it, A has not"


def test_holms_correction_by_hand():
    verdicts = [replace(depth([40, 41, 42], [30.0, 31.1, 32.0]), p_value=p) for p in (0.01, 0.04, 0.03, None)]
    # Sorted: 0.01 x 3, 0.03 x 2, then 0.04 x 1, which may not be less than the one before.
    corrected = holm(verdicts)
    assert [v.p_value and round(v.p_value, 6) for v in corrected] == [0.03, 0.06, 0.06, None]
    assert [v.verdict for v in corrected] == ["reproduced", "undecided", "undecided", "reproduced"]
    assert len(every(rows([40, 41], [30, 32]))) == 6
