import pandas as pd
from rows import FROM_A, LONGER_START, OWN_RECIPE, of_pair, of_recipe, of_start, row_of

from vgglib.analysis import lengths, second_looks
from vgglib.claims import CLAIMS
from vgglib.comparisons import Arm
from vgglib.display import follow_ups

LONG = "48 epochs, fp32"


NO_TRAININGS = pd.DataFrame(columns=["method", *lengths.COLUMNS])
NO_SHALLOW = pd.DataFrame(columns=["net", "recipe"])
NO_STARTS = pd.DataFrame(columns=["table", "net", "start", "epochs", "before", "together"])


def looked(rows, longer=NO_TRAININGS, begun=NO_STARTS, shallow=NO_SHALLOW):
    """The table of a preset with these rows, longer trainings, trainings from several starts, and of B-5x5."""
    return second_looks.table(pd.DataFrame(rows), pd.DataFrame(longer), pd.DataFrame(begun), pd.DataFrame(shallow))


def test_another_way_stands_beside_the_verdict():
    rows = []
    for net, dense, crops in (
        ("D", (20.0, 20.0, 20.0), (9.0, 9.0, 9.0)),
        ("E", (40.0, 40.1, 40.2), (10.0, 11.0, 12.0)),
    ):
        for seed in range(3):
            rows.append(row_of(Arm("3", net, "256-512", "384"), seed, dense[seed]))
            rows.append(row_of(Arm("5", net, "256-512", "256 384 512", "multi-crop"), seed, crops[seed]))
    (line,) = looked(rows).to_dict("records")
    assert line["Claim"] == "The error no longer falls from 16 layers to 19"
    assert line["The claim's own verdict"] == "a loss"
    assert line["Asked otherwise"] == "E - D, S = [256; 512], on 150 crops"
    # 1, 2, 3: standard error 1/sqrt(3), t = 4.303.
    assert (line["Ours"], line["95 % interval"], line["Seeds"]) == ("+2.00", "-0.48 to +4.48", "3")


def test_depth_is_asked_of_crops_and_longer_trainings():
    longer = of_recipe(OWN_RECIPE, A=[10, 10], E=[11, 13]) + of_recipe(OWN_RECIPE, "multi-crop", A=[10, 10], E=[9, 7])
    longer += of_recipe(LONG, A=[5, 5], E=[4, 5]) + of_recipe("48 epochs, bf16", A=[5], E=[4])
    longer += of_recipe("12 epochs, fp32", A=[10, 10], E=[10, 14])
    found = looked([row_of(Arm("3", "A"), 0, 10.0)], longer)
    # The preset's own recipe, dense, is the claim itself, and one seed is none.
    assert found[["Asked otherwise", "Ours"]].values.tolist() == [
        [f"E - A, at most {OWN_RECIPE}, multi-crop", "-2.00"],
        [f"E - A, at most {LONG}, dense", "-0.50"],
        ["E - A, at most 12 epochs, fp32, dense", "+2.00"],
    ]


def test_the_start_from_a_is_asked_with_as_many_epochs_in_all():
    begun = of_start(FROM_A, 10.0, 10.0) + of_start(LONGER_START, 9.0, 10.0)
    (line,) = looked([row_of(Arm("3", "A"), 0, 10.0)], begun=begun).to_dict("records")
    assert line["Claim"].startswith("With Glorot's initialisation a deep net needs no start")
    assert line["Asked otherwise"].startswith("E from A - E from glorot for 24 epochs") and line["Ours"] == "+0.50"


def test_depth_is_asked_of_e_from_a_with_the_epochs_of_one_a():
    begun = of_start(FROM_A, 10.0, 10.0) + of_start(("3", "he-fan-out", 24, 0), 9.0, 10.0, net="A")
    (line,) = looked([row_of(Arm("3", "A"), 0, 10.0)], begun=begun).to_dict("records")
    assert line["Claim"].startswith("The error falls with depth") and line["Ours"] == "+0.50"
    assert line["Asked otherwise"].startswith("E from A - A from he-fan-out for 24 epochs")


def test_the_shallow_net_is_asked_about_on_a_centre_crop():
    shallow = of_pair("48 epochs, bf16", B=[2.0, 2.0], shallow=[4.0, 2.0])
    (line,) = looked([row_of(Arm("3", "A"), 0, 10.0)], shallow=shallow).to_dict("records")
    assert line["Claim"] == "A deep net with small filters does better than a shallow one with larger filters"
    asked = "B - B-5x5, both from random weights, at most 48 epochs, bf16, on a centre crop"
    assert (line["Asked otherwise"], line["Ours"]) == (asked, "-1.00")


def test_one_seed_has_no_line_and_nothing_is_shown(capsys):
    rows = [row_of(Arm("3", "A"), 0, 10.0)]
    assert looked(rows).empty
    follow_ups.second_looks_of("demo", pd.DataFrame(rows))
    assert not capsys.readouterr().out


def test_other_ways_are_about_errors_and_have_names():
    looks = [pool for claim in CLAIMS for pool in claim.again]
    assert len({pool.label for pool in looks}) == len(looks) and all(pool.comparisons for pool in looks)
