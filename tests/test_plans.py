import pytest

from vgglib.experiments import Protocol, runs
from vgglib.plans import command, first_stage, plan
from vgglib.presets import PRESETS


def test_tables_may_be_listed_and_count_once():
    both = plan("smoke", "3, jitter,3", ["D"])
    assert both == [*plan("smoke", "3", ["D"]), *plan("smoke", "jitter", ["D"])]
    with pytest.raises(ValueError, match="unknown table '8': choose one of"):
        plan("smoke", "3,8")


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"nets": "A,C"}, r"nets is 'A,C': give a list, such as \['A'\]"),
        ({"seeds": 0}, r"seeds is 0: give a list, such as \[0\]"),
        ({"train_scales": "256"}, r"train_scales is '256': give a list, such as \['256'\]"),
        ({"train_scales": []}, "the plan has no train scale: name at least one"),
        ({"width": "wide"}, "width is 'wide': it must be an int or a float"),
    ],
)
def test_arguments_of_the_wrong_kind_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        plan("smoke", "3", **arguments)


def test_scales_may_be_numbers():
    assert plan("smoke", "3", ["D"], [0], [256, "384"]) == plan("smoke", "3", ["D"], [0], ["256", "384"])


def test_a_command_trains_the_run_it_is_of():
    run = first_stage("folder", "B-5x5", 3, epochs=12, from_a=True)
    assert command(run) == (
        "vgg run --preset folder --data-dir path/to/images --table 5x5 --nets B-5x5 --train-scales 256 --seeds 3 "
        "--epochs 12"
    )
    assert command(first_stage("demo", "E", 0, from_a=False)).endswith("--seeds 0 --no-from-a")
    (control,) = plan("demo", "jitter", ["C"], [0], ["384+384"])  # the one table that has it
    assert command(control.runs[0]) == "vgg run --preset demo --table jitter --nets C --train-scales 384+384 --seeds 0"


def test_a_command_has_all_digits_of_a_setting_and_a_name_six():
    third = 1 / 3
    run = first_stage("demo", "A", 0, drop_deadlines=[third, 0.7, 0.9], dropout=third)
    assert run.run_id == "A_S256_seed0_drop_deadlines=0.333333,0.7,0.9_dropout=0.333333_dense_Q256"
    assert command(run).endswith(f"--drop-deadlines {third},0.7,0.9 --dropout {third}")
    waits = first_stage("demo", "A", 0, drop_deadlines=[])
    assert "_drop_deadlines=none_" in waits.run_id and command(waits).endswith("--drop-deadlines none")


def test_a_list_of_the_presets_own_is_no_other_recipe():
    own = first_stage("demo", "A", 0)
    assert first_stage("demo", "A", 0, drop_deadlines=list(own.experiment.drop_deadlines)) == own


def test_settings_may_be_lists():
    listed, same = (plan("smoke", "3", ["A"], drop_deadlines=own) for own in ([0.5, 0.7, 0.9], (0.5, 0.7, 0.9)))
    assert runs(listed) == runs(same)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_keeps_what_dense_evaluation_needs(name):
    run = plan(name, "3")[0].runs[0]
    # After five pools the crop leaves one cell fewer than S = 256, as 7 and 8 in the paper.
    assert run.experiment.pixels(256) // 32 == run.experiment.crop // 32 + 1


def test_a_plan_has_whole_seeds_first():
    entries = plan("smoke", "3", ["A", "B"], [3, 4])
    assert [(entry.net, entry.seed) for entry in entries] == [("A", 3), ("B", 3), ("A", 4), ("B", 4)]
    assert entries[0].runs[0].run_id == "A_S256_seed3_dense_Q256"


def test_a_table_has_the_papers_rows_in_its_order():
    def rows(table):
        return [(entry.net, entry.train_scale, entry.test_scales, entry.method) for entry in plan("smoke", table)]

    one = ("256", "256"), ("384", "384"), ("256-512", "384")
    several = ("256", "224 256 288"), ("384", "352 384 416"), ("256-512", "256 384 512")
    assert rows("3") == [(net, "256", "256", "dense") for net in ("A", "A-LRN", "B")] + [
        (net, *scales, "dense") for net in "CDE" for scales in one
    ]
    assert rows("4") == [("B", *several[0], "dense")] + [(net, *scales, "dense") for net in "CDE" for scales in several]
    ways = "dense", "multi-crop", "multi-crop & dense"
    assert rows("5") == [(net, "256-512", "256 384 512", way) for net in "DE" for way in ways]


def test_a_row_of_several_scales_or_methods_is_a_mean_of_runs():
    last = plan("smoke", "5")[-1]
    assert last.method == "multi-crop & dense"
    assert [(run.protocol.method, run.protocol.test_scale) for run in last.runs] == [
        (method, scale) for method in ("multi-crop", "dense") for scale in (256, 384, 512)
    ]
    assert {run.experiment.name for run in last.runs} == {"E_S256-512_seed0"}


def test_the_submission_fuses_seven_nets_and_the_later_one_two():
    seven, dense, crops, both = plan("smoke", "6")
    nets = sorted({(run.experiment.net, run.experiment.scale_text) for run in seven.runs})
    jittered = [("D", "256-512")]
    assert nets == sorted([(n, s) for n in "CDE" for s in ("256", "384")] + jittered)
    assert [len(entry.runs) for entry in (seven, dense, crops, both)] == [21, 6, 6, 12]
    assert {run.experiment.name for run in dense.runs} == {"D_S256-512_seed0", "E_S256-512_seed0"}


def test_the_stages_follow_each_other_as_in_the_paper():
    stages = {run.experiment.scale_text: run.experiment for run in runs(plan("tiny-imagenet", "jitter", ["D"]))}
    assert list(stages) == ["384", "384+384", "256-512"]
    jitter, control, second = stages["256-512"], stages["384+384"], stages["384"]
    assert jitter.start == control.start == second and second.start.train_scale == 256
    assert second.start.start is None
    # 1e-3 after 1e-2 (Sect. 3.1), kept as a ratio; the control has the same number of epochs.
    assert second.learning_rate == pytest.approx(second.start.learning_rate / 10)
    assert jitter.epochs == control.epochs and jitter.epochs_before == second.start.epochs + second.epochs
    assert (jitter.test_scale, second.test_scale, jitter.jittered, control.jittered) == (384, 384, True, False)


def test_settings_made_by_hand_reach_every_stage():
    entries = plan("smoke", "jitter", ["D"], width=1 / 32, epochs=9, learning_rate=0.5)
    for run in runs(entries):
        stage = run.experiment
        assert stage.width == 1 / 32 and stage.first.epochs == 9 and stage.epochs == 3
        assert stage.learning_rate == 0.05
        assert "_epochs=9_learning_rate=0.5_width=0.03125_" in run.run_id


def test_a_setting_made_by_hand_shows_in_the_name():
    run = plan("smoke", "3", ["A"], [0], width=1 / 32, epochs=2, learning_rate=None)[0].runs[0]
    assert run.overrides == (("width", 1 / 32),)  # epochs is the preset's own
    assert run.run_id == "A_S256_seed0_width=0.03125_dense_Q256"


def test_only_some_scales_can_be_planned():
    entries = plan("smoke", "3", train_scales=["256"])
    assert [entry.net for entry in entries] == ["A", "A-LRN", "B", "C", "D", "E"]


def test_every_evaluation_has_a_name_of_its_own():
    for preset in PRESETS:
        found = runs(plan(preset, "all"))
        assert len({run.run_id for run in found}) == len(found)
    assert {entry.table for entry in plan("smoke", "all")} == {"3", "4", "5", "6", "5x5", "jitter", "starts", "scales"}


def test_every_scale_by_itself_takes_no_further_test():
    tested = set(runs(plan("demo", "3")) + runs(plan("demo", "4")))
    alone = plan("demo", "scales", seeds=[0])
    assert set(runs(alone)) <= tested and all(len(entry.runs) == 1 for entry in alone)
    assert [entry.test_scales for entry in alone if (entry.net, entry.train_scale) == ("D", "256-512")] == [
        *("256", "384", "512")
    ]


def test_crops_are_asked_for_by_name():
    nets = {entry.net: entry.runs[0].protocol for entry in plan("demo", "crops", seeds=[0])}
    assert list(nets) == ["A", "A-LRN", "B", "C", "D", "E"] and set(nets.values()) == {Protocol(256, "multi-crop")}


def test_the_demo_grows_deep_nets_from_an_a_of_the_same_seed_and_settings():
    first = {run.experiment.net: run for run in runs(plan("demo", "3", seeds=[5], train_scales=["256"]))}
    assert [net for net, run in first.items() if run.donor] == ["B", "C", "D", "E"]
    assert first["E"].donor.run_id == first["A"].run_id and first["E"].donor.experiment == first["A"].experiment


def test_the_comparison_of_starts_names_each():
    for preset in ("demo", "tiny-imagenet"):
        entries = plan(preset, "starts", seeds=[0])
        assert [entry.start for entry in entries] == ["A", "he-fan-out", "glorot"]
    from_a, other, glorot = (entry.runs[0] for entry in plan("demo", "starts", seeds=[0]))
    assert (from_a.overrides, other.overrides) == ((), (("from_a", False),))
    assert glorot.donor is None and from_a.donor.overrides == ()


def test_shorter_starts_give_a_and_e_half_of_the_epochs_each():
    for preset, epochs, settings in (("demo", 6, {}), ("tiny-imagenet-50", 20, {}), ("demo", 2, {"epochs": 5})):
        (run,) = runs(plan(preset, "shorter-starts", seeds=[0], **settings))
        assert run.experiment.epochs == run.donor.experiment.epochs == epochs and run.donor.experiment.net == "A"
    (by_hand,) = runs(plan("tiny-imagenet-50", "3", ["E"], [0], ["256"], epochs=20, from_a=True))
    (run,) = runs(plan("tiny-imagenet-50", "shorter-starts", seeds=[0]))
    assert run == by_hand and run.run_id == "E_S256_seed0_epochs=20_from_a=True_dense_Q256"


def test_longer_starts_have_the_epochs_of_a_and_of_e_together():
    for preset, epochs, settings in (("demo", 24, {}), ("tiny-imagenet", 100, {}), ("demo", 10, {"epochs": 5})):
        found = runs(plan(preset, "longer-starts", seeds=[0], **settings))
        assert [run.experiment.start_text for run in found] == ["he-fan-out", "glorot"]
        assert {run.experiment.epochs for run in found} == {epochs} and not any(run.donor for run in found)
    assert found[0].run_id == "E_S256_seed0_epochs=10_from_a=False_dense_Q256"
    # The same training as one whose settings were made by hand.
    by_hand = plan("demo", "3", ["E"], [0], ["256"], epochs=10, from_a=False)
    assert runs(by_hand) == [found[0]]


def test_the_shallow_net_is_tested_on_a_centre_crop_as_in_the_paper():
    found = [entry.runs[0] for entry in plan("demo", "5x5-centre", ["B", "B-5x5"], [0], from_a=False)]
    names = [run.run_id for run in found]
    assert names == [f"{net}_centre-crop_Q256_noflip" for net in ("B_S256_seed0_from_a=False", "B-5x5_S256_seed0")]
    dense = runs(plan("demo", "5x5", ["B", "B-5x5"], [0], from_a=False))
    assert [run.experiment for run in found] == [run.experiment for run in dense]
    assert not any(run.experiment.start for run in found)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"preset_name": "big"}, "unknown preset 'big'"),
        ({"weights": "torchvision"}, "unknown setting 'weights'"),
        ({"table": "8"}, "unknown table '8'"),
        ({"nets": ["A", "F"]}, "unknown net 'F'"),
        ({"nets": []}, "no net"),
        ({"nets": ["A"], "table": "4"}, r"table 4 has no row of A alone: its rows are of B; C; D; E\.$"),
        ({"nets": ["C"], "table": "5"}, r"table 5 has no row of C alone: its rows are of D; E\.$"),
        ({"nets": ["D"], "table": "6"}, r"table 6 has no row of D alone: its rows are of C & D & E; D & E\.$"),
        ({"nets": ["C"], "table": "7"}, r"its rows are of D; E; C & D & E; D & E\.$"),
        ({"nets": ["C", "D"], "table": "5x5"}, r"table 5x5 has no row of C, D alone: its rows are of B; B-5x5\.$"),
        ({"nets": ["A", "B"], "table": "starts"}, r"table starts has no row of A, B alone: its rows are of E\.$"),
        ({"nets": ["B"], "table": "jitter"}, r"its rows are of C; D; E\.$"),
        ({"nets": ["B-5x5"], "table": "3"}, r"its rows are of A; A-LRN; B; C; D; E\.$"),
        ({"nets": ["A"], "table": "scales"}, r"its rows are of B; C; D; E\.$"),
        ({"nets": ["B-5x5"], "table": "crops"}, r"its rows are of A; A-LRN; B; C; D; E\.$"),
        (
            {"nets": ["D", "E"], "table": "6", "train_scales": ["300"]},
            r"table 6 has no row of D, E alone at S of 300: its rows of them are at S of 256-512\.$",
        ),
        ({"train_scales": ["300"]}, r"table all has no row of .* at S of 300: .* at S of 256; 384; .*; 384\+384\.$"),
        ({"seeds": [1, 1]}, "seed is given twice in 1, 1"),
        ({"seeds": [-1]}, "seed is -1"),
        ({"depth": 3}, "unknown setting 'depth'"),
        ({"width": -1}, "width is -1"),
        ({"epochs": 0}, "epochs is 0"),
        ({"width": float("inf")}, "width is inf"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"precision": "fp8"}, "unknown precision 'fp8'"),
        ({"initialisation": "zeros"}, "unknown initialisation 'zeros'"),
        ({"from_a": "false"}, "from_a is 'false': it must be True or False"),
        ({"from_a": 0}, "from_a is 0: it must be True or False"),
    ],
)
def test_refusals_name_the_value(arguments, message):
    with pytest.raises(ValueError, match=message):
        plan(**{"preset_name": "smoke", **arguments})


def test_a_net_that_starts_from_a_names_its_run():
    first, second = runs(plan("smoke", "3", ["A", "D"], [0], train_scales=["256"], from_a=True))
    assert (first.run_id, second.run_id) == ("A_S256_seed0_dense_Q256", "D_S256_seed0_from_a=True_dense_Q256")
    assert second.donor == first
