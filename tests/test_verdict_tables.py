import pandas as pd
import pytest
from rows import LRN, E, compared, row_of

from vgglib.analysis import verdict_tables
from vgglib.claims import CLAIMS, claim_called
from vgglib.verdicts import judge


def test_the_overview_has_a_column_per_preset():
    found = {"demo": judge(compared(-9.0, -9.1, -8.9)), "folder": judge(pd.DataFrame())}
    table = verdict_tables.overview(found).set_index("Claim")
    depth = next(claim.statement for claim in CLAIMS if claim.name == "depth")
    assert table.loc[depth].tolist() == ["4.1", "reproduced, 3 seeds", "not run"]
    assert len(table) == len(CLAIMS) and table.iloc[-1, 1] == "not tested"


def test_answers_have_a_line_per_claim_and_preset_that_ran_it():
    depth, nothing = judge(compared(-9.0, -9.1, -8.9)), judge(pd.DataFrame())
    table = verdict_tables.answers({"demo": depth, "folder": nothing, "imagenet": depth}, "depth", "lrn")
    assert table["Comparison"].tolist() == ["E - A"] * 2 + ["A-LRN - A"] * 3
    # Nobody has run the second, which is said rather than left out.
    assert table["Evidence"].tolist() == ["demo", "imagenet", "demo", "folder", "imagenet"]
    assert table["Verdict"].tolist() == ["reproduced"] * 2 + ["not run"] * 3


def test_a_count_needs_no_records_and_is_shown_once():
    table = verdict_tables.answers({"demo": judge(pd.DataFrame()), "folder": judge(pd.DataFrame())}, "weights")
    assert table[["Evidence", "Verdict"]].to_numpy().tolist() == [["any", "reproduced"]]
    assert list(table)[:3] == ["Comparison", "Evidence", "Verdict"]


def test_how_nets_were_trained_is_said_of_every_preset():
    rows = compared(-9.0, -9.1, -8.9)
    rows.loc[rows["net"] == "E", "start"] = "A"
    found = {"demo": judge(rows), "folder": judge(compared(-9.0, -9.1, -8.9))}
    said = (
        "- *The error falls with depth, from 11 layers to 19*, preset `demo`: E has A's training behind it, A has not."
    )
    assert verdict_tables.remarks(found, "lrn", "depth") == said


def test_what_is_asked_of_a_claim():
    lines = verdict_tables.asked("lrn", "non-linearity").splitlines()
    assert lines[0].endswith(
        "(Sect. 4.1): A-LRN - A, equivalence test over seeds, margin 0.5 points; where it fails, a paired t test."
    )
    assert lines[1].endswith("C - B, paired t test over seeds; C is also deeper than B.")


@pytest.mark.parametrize(
    "treatment, gains, group",
    [
        (E, (-9.0, -9.1, -8.9), "reproduced"),
        (E, (9.0, 9.1, 8.9), "opposite"),
        # Three seeds, fifteen claims: mean 3, sd 1, t = 5.2, p = 0.035 alone and 0.53 among all.
        (E, (-2.0, -3.0, -4.0), "undecided among all claims, alone as in the paper"),
        (E, (2.0, 3.0, 4.0), "undecided among all claims, alone the opposite"),
        (E, (-1.0, 1.0, 2.0), "undecided, alone too"),
        (E, (-1.0,), "undecided, without a test"),
        # Of an equality a loss is on a side of its own.
        (LRN, (9.0, 9.1, 8.9), "a loss"),
        (LRN, (-0.01, 0.0, 0.01), "reproduced"),
        (LRN, (2.0, 3.0, 4.0), "undecided among all claims, alone a loss where the claim is no gain"),
        (LRN, (-2.0, -3.0, -4.0), "undecided among all claims, alone the opposite"),
        # Its 90 % interval lies within the margin, the 95 % one does not: 0.05 +- 2.92 and 4.30 x 0.13 / sqrt(3).
        (LRN, (-0.08, 0.05, 0.18), "undecided among all claims, alone as in the paper"),
    ],
)
def test_claims_are_grouped_by_their_verdict_among_all_and_alone(treatment, gains, group):
    rows = compared(*gains, treatment=treatment)
    statement = claim_called("depth" if treatment is E else "lrn").statement
    (line,) = (line for line in verdict_tables.tally("demo", judge(rows)).splitlines() if statement in line)
    assert line.startswith(f"- **{group}** (")


def test_a_difference_is_shown_with_the_p_values_of_both_tests():
    found = {"demo": judge(compared(-9.0, -9.1, -8.9)), "folder": judge(compared(-9.0))}
    (line,) = verdict_tables.both_tests(found).to_dict("records")
    assert (line["Comparison"], line["Evidence"], line["Seeds"]) == ("E - A", "demo", "3")
    assert (line["p of t"], line["p of sign flips"]) == ("< 0.001", "0.250")  # 2 of the 8 ways to flip three signs


def test_no_p_value_is_shown_where_a_run_failed():
    rows = pd.concat([compared(-9.0, -9.1, -8.9), pd.DataFrame([row_of(E, 3, status="failed")])])
    assert verdict_tables.both_tests({"demo": judge(rows)}).empty


def test_verdicts_that_rest_on_the_normal_distribution_are_named():
    three, eight = (judge(compared(*gains)) for gains in ((-9.0, -9.1, -8.9), (-9.0, -9.1, -8.9, -9.2) * 2))
    said = verdict_tables.on_normality("demo", three)
    assert said.endswith(
        "correction: *The error falls with depth, from 11 layers to 19*, reproduced (p = 0.250, 3 seeds)."
    )
    for decided_by_both_or_not_at_all in (eight, judge(compared(-9.0, 9.1, -8.9))):
        assert verdict_tables.on_normality("demo", decided_by_both_or_not_at_all) == ""


def test_a_failed_run_shows_wherever_its_claim_does():
    rows = compared(-9.0, -9.1, -8.9, -9.2)
    rows.loc[rows.index[-2], "status"] = "failed"  # E's
    (depth,) = judge(rows, "depth")
    assert verdict_tables.short([depth])["Seeds"].tolist() == ["3, 1 failed"]
    assert verdict_tables.brief(depth).endswith(", 3 seeds, 1 failed")
    overview = verdict_tables.overview({"demo": judge(rows)}).set_index("Claim")
    assert overview.loc[depth.claim, "demo"] == "undecided, 3 seeds, 1 failed"
    nothing = compared(-9.0)
    nothing["status"] = "failed"
    assert verdict_tables.brief(judge(nothing, "depth")[0]) == "undecided, without a test, -, 2 failed"
