import numpy as np
import pytest

from vgglib.experiments import Entry, Experiment, Name, Protocol, Run, runs
from vgglib.plans import plan


def test_the_papers_recipe_is_the_default():
    paper = Experiment("D", 0)
    assert (paper.batch_size, paper.momentum, paper.weight_decay, paper.dropout) == (256, 0.9, 5e-4, 0.5)
    assert (paper.learning_rate, paper.drops, paper.epochs) == (1e-2, 3, 74)


def test_what_a_net_can_start_from():
    a = Experiment("A", 0)
    with pytest.raises(ValueError, match="net B-5x5 cannot start from A"):
        Experiment("B-5x5", 0, start=a)
    with pytest.raises(ValueError, match="net A cannot start from B"):
        Experiment("A", 0, start=Experiment("B", 0))


def test_published_weights_have_no_seed_and_trainings_no_weights():
    assert Experiment("D", None, weights="caffe").name == "D_caffe"
    for seed, weights in ((0, "torchvision"), (None, None)):
        with pytest.raises(ValueError, match=f"seed is {seed} with weights {weights}: a training has a seed"):
            Experiment("D", seed, weights=weights)
    with pytest.raises(
        ValueError, match="no weights of net A by caffe: there are A, B, D, E of torchvision and D, E of"
    ):
        Experiment("A", None, weights="caffe")


def test_what_is_run_shows_itself_by_its_id():
    first = Experiment("D", 0, start=Experiment("A", 0))
    later = Experiment("D", 0, (256, 512), start=first)
    one, three = Run("demo", first, Protocol()), Run("demo", later, Protocol(384), (("epochs", 3),))
    assert repr(later) == "<Experiment D_S256-512_seed0>"
    assert repr([one]) == "[<Run D_S256_seed0_dense_Q256 of preset demo>]"
    assert repr(three) == "<Run D_S256-512_seed0_epochs=3_dense_Q384 of preset demo>"
    assert repr(Entry("3", "D", "256", "256", "dense", (one, three))) == (
        "<Entry of table 3, net D: D_S256_seed0_dense_Q256, D_S256-512_seed0_epochs=3_dense_Q384>"
    )


def test_lists_are_taken_as_tuples():
    experiment = Experiment("A", 0, train_scale=[256, 512], drop_deadlines=[0.5, 0.7, 0.9])
    assert experiment == Experiment("A", 0, train_scale=(256, 512), drop_deadlines=(0.5, 0.7, 0.9))
    assert experiment.jittered and hash(experiment)


@pytest.mark.parametrize("scale", ["256", 256.0, None, True])
def test_a_test_scale_is_a_whole_number(scale):
    with pytest.raises(ValueError, match=f"Q is {scale!r}: it must be an int"):
        Protocol(scale)


def test_scales_below_the_crop_are_refused():
    with pytest.raises(ValueError, match="S is 200, smaller than the crop of 224"):
        Experiment("A", 0, train_scale=200)
    with pytest.raises(ValueError, match=r"S is drawn from \[512; 256\]"):
        Experiment("A", 0, train_scale=(512, 256))
    with pytest.raises(ValueError, match="Q is 192, smaller than the crop of 224"):
        Protocol(192)
    with pytest.raises(ValueError, match="unknown method 'crops': choose dense or multi-crop"):
        Protocol(256, "crops")


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"epochs": 2.5}, "epochs is 2.5: it must be an int of at least 1"),
        ({"batch_size": 0}, "batch_size is 0: it must be an int of at least 1"),
        ({"patience": True}, "patience is True"),
        ({"dropout": 1.0}, "dropout is 1.0: it must be at least 0 and less than 1"),
        ({"momentum": float("nan")}, "momentum is nan"),
        ({"weight_decay": -5}, "weight_decay is -5"),
        ({"learning_rate": float("inf")}, "learning_rate is inf"),
        ({"drop_deadlines": (float("nan"),) * 3}, "drop_deadlines is"),
        ({"drop_deadlines": (0.5, 0.9, 1.5)}, "drop_deadlines is"),
        ({"drop_deadlines": ("0.6", "0.8", "0.9")}, "drop_deadlines is"),
        ({"drop_deadlines": 0.6}, "drop_deadlines is 0.6: give 3 rising shares of the epochs, or none"),
        ({"momentum": "0.9"}, "momentum is '0.9': it must be an int or a float"),
        ({"dropout": None}, "dropout is None: it must be an int or a float"),
        ({"weight_decay": True}, "weight_decay is True: it must be an int or a float"),
        ({"train_scale": np.int64(256)}, r"S is np.int64\(256\): it must be an int, or two for jitter"),
        ({"train_scale": 256.5}, "S is 256.5: it must be an int, or two for jitter"),
        ({"train_scale": "256"}, "S is '256': it must be an int, or two for jitter"),
        ({"train_scale": (256, 512.5)}, r"S is \(256, 512.5\): it must be an int, or two for jitter"),
        ({"train_scale": (256,)}, r"S is \(256,\): it must be an int, or two for jitter"),
        ({"seed": 0.5}, "seed is 0.5: it must be an int from 0"),
        ({"seed": 2**32}, "seed is 4294967296"),
    ],
)
def test_settings_that_no_training_can_have_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Experiment(**{"net": "A", "seed": 0} | settings)


def test_a_name_says_what_its_run_is():
    settings = {"epochs": 7, "drop_deadlines": (0.5, 0.75, 1.0), "initialisation": "he-fan-out", "learning_rate": 1 / 3}
    tables = "all,crops,5x5-centre,starts"
    for run in runs([*plan("demo", tables, seeds=[0, 12]), *plan("demo", tables, seeds=[3], **settings)]):
        name = Name.of(run.run_id)
        experiment = run.experiment
        assert (name.net, name.train_scale, name.seed) == (experiment.net, experiment.scale_text, experiment.seed)
        assert name.protocol == run.protocol.name and name.settings.keys() == dict(run.overrides).keys()
    assert name.settings["drop_deadlines"] == "0.5,0.75,1" and name.settings["learning_rate"] == "0.333333"
    assert Name.of("D_torchvision_dense_Q256") is None
