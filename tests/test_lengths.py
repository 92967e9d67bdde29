import pandas as pd
from records import trained
from rows import OWN_RECIPE, of_recipe

from vgglib import plots, show
from vgglib.analysis import lengths
from vgglib.display import follow_ups, length_plots

LONG, FINE = "48 epochs, bf16", "12 epochs, resolution 1/2, bf16"


def test_rows_are_of_the_recipe_but_for_length_and_arithmetic(store):
    for seed in (0, 1):
        trained(store, "A", seed)
    trained(store, "A", 1, epochs=48)
    trained(store, "D", 2, used="fp32", precision="fp32", epochs=24)
    trained(store, "A", 0, epochs=48, width=0.5)  # not the preset's net
    trained(store, "A", 1, table="crops", epochs=48)
    found = lengths.rows(store, "demo")
    assert found[["net", "seed", "recipe", "method"]].values.tolist() == [
        ["A", 0, OWN_RECIPE, "dense"],
        ["A", 1, OWN_RECIPE, "dense"],
        ["D", 2, "24 epochs, fp32", "dense"],
        ["A", 1, LONG, "dense"],
        ["A", 1, LONG, "multi-crop"],
    ]
    assert found["by_hand"].tolist() == [False, False, True, True, True]


def test_another_patience_is_another_recipe(store):
    trained(store, "A", 0, patience=12)
    trained(store, "A", 0, patience=5, epochs=48)
    trained(store, "A", 0)
    found = lengths.rows(store, "demo")
    assert found[["drops", "recipe"]].values.tolist() == [
        ["", OWN_RECIPE],
        ["drops at the deadlines", "12 epochs, drops at the deadlines, bf16"],  # it never waits so long
        ["patience 5", "48 epochs, patience 5, bf16"],
    ]
    assert found["by_hand"].tolist() == [False, True, True]


def test_another_resolution_is_another_recipe(store):
    trained(store, "A", 9, resolution=0.5, epochs=48, patience=48)  # at the preset's own a prediction's
    trained(store, "A", 0, resolution=0.5)
    trained(store, "A", 0)
    found = lengths.rows(store, "demo")
    assert found[["resolution", "seed", "recipe"]].values.tolist() == [
        [lengths.OWN, 0, OWN_RECIPE],
        ["resolution 1/2", 0, FINE],
        ["resolution 1/2", 9, "48 epochs, drops at the deadlines, resolution 1/2, bf16"],
    ]
    assert found["by_hand"].tolist() == [False, True, True]


def test_a_resolution_that_its_name_cuts_short_is_read_from_the_record(store):
    trained(store, "A", 0, resolution=1 / 3)
    trained(store, "A", 0)
    assert lengths.rows(store, "demo")["resolution"].tolist() == [lengths.OWN, "resolution 1/3"]


def test_what_was_asked_for_in_two_ways_and_came_to_the_same_counts_once(store):
    trained(store, "A", 0, used="fp32")
    trained(store, "A", 0, used="fp32", precision="fp32")
    trained(store, "A", 0, used="fp32", table="crops")
    assert lengths.rows(store, "demo")["method"].tolist() == ["dense", "multi-crop"]


def test_without_another_length_or_crops_there_is_nothing(store):
    assert lengths.rows(store, "demo").empty
    trained(store, "A", 0)
    trained(store, "A", 0, used="fp32", precision="fp32")
    assert lengths.rows(store, "demo").empty


def test_effects_by_pencil():
    found = pd.DataFrame(
        of_recipe(OWN_RECIPE, A=[10, 10, 10], E=[11, 12, 13], B=[9])
        + of_recipe(OWN_RECIPE, "multi-crop", A=[10], E=[8])
        + of_recipe(LONG, A=[5, 5], E=[4, 4])
    )
    (line,) = lengths.effects(found).to_dict("records")  # B has one seed, crops too
    # 1, 2, 3: standard error 1/sqrt(3), t = 4.303.
    assert line == {
        **{"Nets": "E - A", "Tested": "dense", OWN_RECIPE: "+2.00 (-0.48 to +4.48), below 0 in 0 of 3 seeds"},
        LONG: "-1.00, below 0 in 2 of 2 seeds",  # equal differences have no interval
    }


def test_a_failed_run_leaves_its_comparison_undecided_and_is_counted():
    rows = of_recipe(OWN_RECIPE, A=[10, 10, 10, 10], E=[5.0, 5.1, 4.9, 1]) + of_recipe(LONG, A=[5, 5], E=[4.0, 4.1])
    found = pd.DataFrame(rows)
    assert f"**Yes**: {OWN_RECIPE}, tested densely;" in lengths.finding(found)
    failed = (found["net"] == "E") & (found["seed"] == 3) & (found["recipe"] == OWN_RECIPE)
    found.loc[failed, ["status", "top1_error_percent"]] = "failed", None
    assert f"**Undecided**: {OWN_RECIPE}, tested densely, 1 failed." in lengths.finding(found)
    (line,) = lengths.effects(found).to_dict("records")
    assert line[OWN_RECIPE] == "-5.00 (-5.25 to -4.75), below 0 in 3 of 3 seeds, 1 failed"  # t = 4.303, 0.1 / sqrt(3)
    (change,) = lengths.changes(found).to_dict("records")
    assert change["E - A changes by"].endswith("below 0 in 0 of 2 seeds, 1 failed")


def test_changes_pair_seeds_within_one_arithmetic():
    found = pd.DataFrame(
        of_recipe(OWN_RECIPE, A=[10, 10, 10, 10], E=[11, 12, 13, 99])
        + of_recipe(OWN_RECIPE, "multi-crop", A=[9, 9], E=[9, 10])
        + of_recipe(LONG, A=[5, 5, 5], E=[4, 4, 4])
        + of_recipe("96 epochs, fp32", A=[5, 5, 5], E=[1, 1, 1])
    )
    longer, crops = lengths.changes(found).to_dict("records")
    assert longer["What changes"] == f"{LONG} instead of {OWN_RECIPE}, tested densely"
    assert longer["E - A changes by"] == "-3.00 (-5.48 to -0.52), below 0 in 3 of 3 seeds"  # -2, -3, -4
    assert crops["What changes"] == f"crops instead of dense evaluation, {OWN_RECIPE}"
    assert crops["E - A changes by"] == "-1.00, below 0 in 2 of 2 seeds"  # 0 - 1, 1 - 2


def test_the_longest_is_set_against_the_shortest():
    found = pd.DataFrame(
        [
            *of_recipe(OWN_RECIPE, A=[9, 9], E=[9, 9]),
            *of_recipe("24 epochs, bf16", A=[7, 7], E=[7, 7]),
            *of_recipe(LONG, A=[5, 5], E=[5, 5]),
        ]
    )
    (longer,) = lengths.changes(found)["What changes"]
    assert longer == f"{LONG} instead of {OWN_RECIPE}, tested densely"


def test_other_drops_are_set_against_the_rule_with_as_many_epochs():
    found = pd.DataFrame(
        of_recipe(OWN_RECIPE, A=[9, 9], E=[1, 1])
        + of_recipe(LONG, A=[10, 10, 10], E=[11, 12, 13])
        + of_recipe("48 epochs, late, bf16", drops=lengths.AT_DEADLINES, A=[5, 5, 5], E=[5, 5, 5])
        + of_recipe("96 epochs, late, bf16", drops=lengths.AT_DEADLINES, A=[5, 5], E=[5, 5])
    )
    longer, other = lengths.changes(found).to_numpy()
    assert longer[0] == f"{LONG} instead of {OWN_RECIPE}, tested densely"
    assert other[0] == f"48 epochs, late, bf16 instead of {LONG}, tested densely"
    assert other[1].startswith("-2.00 (-4.48 to +0.48)")  # -1, -2, -3; nothing to set 96 epochs against


def test_what_crops_change_is_itself_compared_between_resolutions():
    found = pd.DataFrame(
        of_recipe(OWN_RECIPE, A=[9, 9, 9], E=[9, 9, 9])
        + of_recipe(OWN_RECIPE, "multi-crop", A=[9, 9, 9], E=[5, 4, 3])
        + of_recipe(FINE, resolution="resolution 1/2", A=[5, 5, 5], E=[4, 4, 4])
        + of_recipe(FINE, "multi-crop", resolution="resolution 1/2", A=[5, 5, 5], E=[3, 3, 3])
    )
    last = lengths.changes(found).iloc[-1]
    assert last["What changes"] == (
        f"crops instead of dense evaluation: the change with {FINE} minus that with {OWN_RECIPE}"
    )
    # -1 less -4, -5, -6: mean 4, standard error 1/sqrt(3), t = 4.303.
    assert last["E - A changes by"] == "+4.00 (+1.52 to +6.48), below 0 in 0 of 3 seeds"
    assert lengths.at_the_border(found) == (
        f"By testing on crops instead of densely, E - A falls by +4.00 (+1.52 to +6.48) points more with {OWN_RECIPE} "
        f"than with {FINE}, which speaks for the border of the dense test as a reason for E's loss."
    )
    fewer = found[(found["seed"] < 2) | (found["recipe"] != FINE)]
    said = lengths.at_the_border(fewer)  # 3 and 4: standard error 1/2, t = 12.706
    assert "by +3.50 (-2.85 to +9.85) points more" in said and "leaves open whether the border" in said
    assert not lengths.at_the_border(found[found["recipe"] != FINE])


def test_more_pixels_are_set_against_the_presets_with_as_many_epochs():
    found = pd.DataFrame(
        of_recipe(OWN_RECIPE, A=[9, 9], E=[9, 9])
        + of_recipe(LONG, A=[5, 5], E=[5, 5])
        + of_recipe(FINE, resolution="resolution 1/2", A=[5, 5], E=[3, 4])
        + of_recipe("96 epochs, resolution 1/2, bf16", resolution="resolution 1/2", A=[5, 5], E=[3, 4])
    )
    longer, finer = lengths.changes(found)["What changes"]
    assert longer == f"{LONG} instead of {OWN_RECIPE}, tested densely"
    assert finer == f"{FINE} instead of {OWN_RECIPE}, tested densely"


def test_what_the_rule_costs_is_told_by_the_same_seeds():
    late = "48 epochs, drops at the deadlines, bf16"
    found = of_recipe(LONG, A=[4, 8, 99]) + of_recipe(late, drops=lengths.AT_DEADLINES, A=[4, 6], E=[1])
    (line,) = lengths.without_rule(pd.DataFrame(found)).to_dict("records")
    # 4 and 8: sd 2.83; 4 and 6: sd 1.41; the third seed has no counterpart, nor has E.
    assert (line["Net"], line["By the rule"], line["At the deadlines"]) == ("A", "6.00 (2.83)", "5.00 (1.41)")
    assert line["Change"].startswith("-1.00 (") and line["Change"].endswith("below 0 in 1 of 2 seeds")


def test_the_finding_is_that_of_the_claims_test():
    found = pd.DataFrame(
        of_recipe(OWN_RECIPE, A=[10, 10, 10], E=[15, 16, 14]) + of_recipe(LONG, "multi-crop", A=[10, 10], E=[9, 12])
    )
    said = lengths.finding(found)
    assert said.endswith(f"**No, the opposite**: {OWN_RECIPE}, tested densely. **Undecided**: {LONG}, tested on crops.")
    assert "fewer than two seeds" in lengths.finding(pd.DataFrame(of_recipe(OWN_RECIPE, A=[10], E=[15])))


def test_ends_are_those_of_the_histories():
    found = pd.DataFrame(of_recipe(OWN_RECIPE, A=[10, 10]) + of_recipe(LONG, A=[5, 5]))
    found["history"] = [[{}] * epochs for epochs in (12, 12, 29, 32)]
    assert lengths.ends(found) == "Epochs really trained: 12 of at most 12; 29 to 32 of at most 48."
    found["drops"] = ["", "", "", lengths.AT_DEADLINES]
    assert lengths.ends(found).endswith("29 of at most 48; 32 of at most 48 with drops at the deadlines.")
    found["resolution"] = ["resolution 1/2", *[lengths.OWN] * 3]
    assert "12 of at most 12; 12 of at most 12 at resolution 1/2" in lengths.ends(found)


def test_the_figure_has_a_line_for_each_recipe_and_test(house_style):
    found = pd.DataFrame(
        of_recipe(OWN_RECIPE, A=[10, 12], E=[20, 22]) + of_recipe(OWN_RECIPE, "multi-crop", A=[5, 6], E=[4, 4])
    )
    axes = plots.error_by_length(found)
    lines = {bars.get_label(): list(bars.lines[0].get_ydata()) for bars in axes.containers}
    assert lines == {f"{OWN_RECIPE}, dense": [11, 21], f"{OWN_RECIPE}, multi-crop": [5.5, 4]}
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["A\n11", "E\n19"]


def test_a_figure_has_a_point_for_every_seed_and_their_mean(house_style):
    found = pd.DataFrame(
        of_recipe(OWN_RECIPE, A=[10, 12], E=[20, 30])
        + of_recipe(OWN_RECIPE, "multi-crop", A=[5], D=[1])
        + of_recipe(LONG, E=[7, None])
    )
    axes = length_plots.seeds(found)
    drawn = {line.get_label(): [list(map(float, values)) for values in line.get_data()] for line in axes.lines}
    assert drawn == {
        "net A": [[10, 12, 5], [-0.15, -0.15, 0.85]],
        "its mean, A": [[11, 5], [-0.15, 0.85]],
        "net E": [[20, 30, 7], [0.15, 0.15, 2.15]],
        "its mean, E": [[25, 7], [0.15, 2.15]],
    }
    assert [tick.get_text() for tick in axes.get_yticklabels()] == [
        f"{OWN_RECIPE},\ndensely", f"{OWN_RECIPE},\non crops", f"{LONG},\ndensely",
    ]  # fmt: skip


def test_a_page_shows_what_there_is(store, monkeypatch):
    shown = []
    for name in ("sentence", "table", "picture"):
        monkeypatch.setattr(show, name, lambda *content, name=name: shown.append(name))
    follow_ups.lengths_of("demo")
    assert shown == ["sentence"]
    for seed in (0, 1):
        for net in "AE":
            trained(store, net, seed)
            trained(store, net, seed, table="crops")
    shown.clear()
    follow_ups.lengths_of("demo")
    assert shown == ["picture", "picture", "table", "picture", "table", "sentence", "sentence"]


def test_in_short_a_page_has_the_findings_alone(store, monkeypatch):
    said = []
    monkeypatch.setattr(show, "sentence", said.append)
    follow_ups.lengths_in_short("tiny-imagenet")
    assert said.pop().startswith(
        "Preset tiny-imagenet has no such records; "
        "`vgg run --preset tiny-imagenet --data-dir path/to/images --table crops` makes some"
    )
    for seed in (0, 1):
        for net in "AE":
            trained(store, net, seed)
            trained(store, net, seed, table="crops")
    follow_ups.lengths_in_short("demo")
    (text,) = said
    assert text.startswith("Does the error fall with depth, from A to E? ")
    assert "for seeds 8 to 15 before any of these was trained. The outcome: **not run**" in text


def test_a_page_says_whether_the_records_tell_what_the_rule_did(store, monkeypatch):
    said = []
    monkeypatch.setattr(show, "sentence", said.append)
    for name in ("table", "picture"):
        monkeypatch.setattr(show, name, lambda *content: None)
    for seed in (0, 1):
        trained(store, "A", seed)
        trained(store, "A", seed, epochs=48)
    follow_ups.lengths_of("demo")
    assert said.pop().endswith("The records do not tell which, since the rule was the same for all.")
    trained(store, "A", 0, epochs=48, patience=48)
    follow_ups.lengths_of("demo")
    assert said.pop().endswith(
        "The records do not tell which, since the rule was the same for all."
    )  # of one seed no table
    trained(store, "A", 1, epochs=48, patience=48)
    follow_ups.lengths_of("demo")
    assert "The last table shows what changed" in said.pop()
