import pytest

from vgglib.experiments import PRESETS, Experiment, Protocol, plan


def test_the_papers_recipe_is_the_default():
    paper = Experiment("D", 0)
    assert (paper.batch_size, paper.momentum, paper.weight_decay, paper.dropout) == (256, 0.9, 5e-4, 0.5)
    assert (paper.learning_rate, paper.drops, paper.epochs) == (1e-2, 3, 74)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_keeps_what_dense_evaluation_needs(name):
    run = plan(name, "all")[0]
    # After five pools the crop leaves one cell fewer than S = 256, as 7 and 8 in the paper.
    assert run.experiment.pixels(256) // 32 == run.experiment.crop // 32 + 1


def test_a_plan_has_whole_seeds_first():
    runs = plan("smoke", "3", ["A", "B"], [3, 4])
    assert [(run.experiment.net, run.experiment.seed) for run in runs] == [("A", 3), ("B", 3), ("A", 4), ("B", 4)]
    assert runs[0].run_id == "A_S256_seed3_dense_Q256"


def test_a_setting_made_by_hand_shows_in_the_name():
    run = plan("smoke", "3", ["A"], [0], width=1 / 32, epochs=2, learning_rate=None)[0]
    assert run.overrides == (("width", 1 / 32),)  # epochs is the preset's own
    assert run.run_id == "A_S256_seed0_width=0.03125_dense_Q256"


def test_the_demo_grows_deep_nets_from_an_a_of_the_same_seed_and_settings():
    runs = {run.experiment.net: run for run in plan("demo", "all", seeds=[5])}
    assert [net for net, run in runs.items() if run.donor] == ["B", "C", "D", "E"]
    assert runs["E"].donor.run_id == runs["A"].run_id and runs["E"].donor.experiment == runs["A"].experiment


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"preset_name": "big"}, "unknown preset 'big'"),
        ({"table": "8"}, "unknown table '8'"),
        ({"nets": ["A", "F"]}, "unknown net 'F'"),
        ({"nets": []}, "no net"),
        ({"seeds": [1, 1]}, "seed is given twice in 1, 1"),
        ({"seeds": [-1]}, "seed is -1"),
        ({"depth": 3}, "unknown setting 'depth'"),
        ({"width": -1}, "width is -1"),
        ({"epochs": 0}, "epochs is 0"),
        ({"width": float("inf")}, "width is inf"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"precision": "fp8"}, "unknown precision 'fp8'"),
        ({"initialisation": "zeros"}, "unknown initialisation 'zeros'"),
    ],
)
def test_refusals_name_the_value(arguments, message):
    with pytest.raises(ValueError, match=message):
        plan(**{"preset_name": "smoke", **arguments})


def test_only_nets_with_the_layers_of_a_start_from_it():
    with pytest.raises(ValueError, match="net B-5x5 cannot start from A: only B, C, D, E can"):
        Experiment("B-5x5", 0, from_a=True)
    runs = plan("smoke", "all", ["A", "D"], [0], from_a=True)
    assert [run.run_id for run in runs] == ["A_S256_seed0_dense_Q256", "D_S256_seed0_from_a=True_dense_Q256"]
    assert runs[1].donor == runs[0]


def test_scales_below_the_crop_are_refused():
    with pytest.raises(ValueError, match="S is 200, smaller than the crop of 224"):
        Experiment("A", 0, train_scale=200)
    with pytest.raises(ValueError, match="Q is 192, smaller than the crop of 224"):
        Protocol(192)
