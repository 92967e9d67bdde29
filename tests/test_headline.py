import pandas as pd
import pytest
from rows import row_of

from vgglib import show
from vgglib.analysis import headline
from vgglib.claims import claim_called
from vgglib.comparisons import Arm
from vgglib.display import sections
from vgglib.verdicts import judge

A, E = Arm("3", "A"), Arm("3", "E")


def rows_of(*pairs, preset="demo"):
    """Rows of arms with one error for each seed."""
    found = [row_of(arm, seed, error) for arm, errors in pairs for seed, error in enumerate(errors)]
    return pd.DataFrame([{**one, "preset": preset} for one in found])


def against(name, treatment, baseline):
    """Rows on which every treatment of a claim has these errors, seed by seed, and every baseline those."""
    claim = claim_called(name)
    arms = {arm: treatment for comparison in claim.comparisons for arm in [comparison.treatment]}
    arms |= {arm: baseline for comparison in claim.comparisons for arm in comparison.baselines}
    return rows_of(*arms.items())


def test_a_setting_is_the_presets_own():
    said = headline.setting("demo", rows_of((A, [40, 41]), (E, [30])))
    assert said == (
        "drawn pictures of 24 classes, 3,592 of them to learn from, in crops of 56 pixels, nets of 1/8 of the paper's "
        "width, at most 12 epochs at S = 256, up to 2 seeds (preset `demo`)"
    )
    assert "S = 256, 2 seeds (preset" in headline.setting("demo", rows_of((A, [40, 41]), (E, [30, 31])))
    said = headline.setting("imagenet", rows_of((A, [40])))
    assert "in crops of 224 pixels, nets of the paper's width, at most 74 epochs at S = 256, 1 seed (preset" in said
    assert headline.setting("folder", rows_of((A, [40]))).startswith("your own images, in crops of 56 pixels")


def test_claims_are_counted_by_their_outcome():
    found = judge(rows_of((A, [40, 41, 42, 43]), (E, [50.0, 51.1, 52.0, 53.0])))
    assert headline.outcomes(found) == (
        "of 18 claims 1 as in the paper (none of them about errors), 1 the other way round, 14 not run, 2 not to be "
        "tested here"
    )


def test_undecided_claims_that_are_decided_alone_are_counted():
    # A t of 5.5 with three seeds: p is 0.032, and 0.48 among the fifteen claims that can be tested.
    found = judge(rows_of((A, [40.0, 40.0, 40.0]), (E, [41.0, 42.0, 41.5])))
    assert headline.outcomes(found) == (
        "of 18 claims 1 as in the paper (none of them about errors), 1 undecided (1 of them decided if tested alone), "
        "14 not run, 2 not to be tested here"
    )
    (said,) = headline.everywhere({"demo": found})
    assert said.startswith("drawn pictures of 24 classes: undecided among all claims, alone the opposite, +1.50 (")


def test_every_preset_with_an_effect_says_what_it_shows():
    rows = {
        "demo": rows_of((A, [40, 41, 42]), (E, [50.0, 51.1, 52.0])),
        "folder": rows_of((A, [40])),
        "tiny-imagenet": rows_of((A, [40]), (E, [39])),
    }
    demo, photographs = headline.everywhere({preset: judge(own) for preset, own in rows.items()})
    assert demo == "drawn pictures of 24 classes: opposite, +10.03 (+9.89 to +10.18), 3 seeds"
    assert photographs == "photographs of 200 classes (Tiny ImageNet): undecided, without a test, -1.00, 1 seed"


@pytest.mark.parametrize("control, verdict", [([38.0, 38.1, 38.0], "undecided"), ([34.0, 34.1, 34.0], "opposite")])
def test_what_came_out_stands_beside_its_control(control, verdict):
    jitter = against("jitter", [38.0, 38.2, 38.0], [40.0, 40.1, 40.1])
    longer = against("jitter-control", [38.0, 38.2, 38.0], control)
    rows = pd.concat([jitter, longer[longer["train_scale"] == "384+384"]])
    weights, said = sorted(headline.reproduced(judge(rows), rows), key=lambda line: "jitter" in line)
    assert weights.endswith(": a count, which needs no training.")
    assert said.startswith(
        "*Scale jitter in training helps, even with a single test scale*: -2.00 points, in the paper -1.1. Asked "
        f"otherwise:\n  - S = [256; 512] - S = 384 for as long, mean of C, D, E: {verdict}, "
    )


def test_another_baseline_and_the_papers_effect_are_named():
    several = against("multi-scale", [38.0, 38.1, 38.0], [48.0, 48.2, 48.0])
    alone = [comparison.treatment for comparison in claim_called("multi-scale").again[1].comparisons]
    assert all(arm.table == "4" for arm in alone)
    smallest = [comparison.baselines[0] for comparison in claim_called("multi-scale").again[1].comparisons]
    rows = pd.concat([several, rows_of(*((arm, [37.0, 37.2, 37.0]) for arm in smallest))])
    said = next(line for line in headline.reproduced(judge(rows), rows) if "test scales" in line)
    assert "-10.03 points, in the paper -0.5. Asked otherwise" in said
    # 1.0, 0.9, 1.0: a mean of 0.967, a standard error of 0.0333, t = 4.303.
    assert said.endswith(
        "\n  - three Q - the smallest of the three alone, mean of ten nets and S: +0.97 (+0.82 to +1.11)"
    )


def test_the_first_page_says_it_in_a_list(monkeypatch):
    said = []
    monkeypatch.setattr(show, "sentence", said.append)
    sections.in_short({"demo": rows_of((A, [40, 41, 42]), (E, [50.0, 51.1, 52.0]))})
    lines = said[0].splitlines()
    assert lines[0] == "- **What was run**, the longer trainings of some pages aside:" and lines[1].startswith(
        "  - drawn pictures of 24 classes, 3,592"
    )
    assert "In the paper it is -2.3, and here, on" in said[0]
    sections.in_short({"demo": rows_of((A, [40, 41]))})
    assert "In the paper it is -2.3, and here, on\n  - nothing that was run\n" in said[1]
    assert "  - drawn pictures of 24 classes: opposite, +10.03 (+9.89 to +10.18), 3 seeds" in lines
