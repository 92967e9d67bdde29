import pandas as pd
import pytest

from vgglib import planner
from vgglib.configs import config
from vgglib.cost import macs, parameters
from vgglib.data import load
from vgglib.experiments import Experiment, Protocol, Run
from vgglib.plans import plan
from vgglib.presets import PRESETS

NARROW = config("A").scaled(1 / 64)  # channels 1, 2, 4, 8, 8; head 64, 64
CROP = macs(NARROW, 56)
HEAD = 8 * 64 + 64 * 64 + 64 * 1000
# A crop of 56 pixels has 1 cell, whose work with that of the convolutions is CROP; 64 pixels have 2 x 2.
DENSE = macs(NARROW, 64) - (4 * 8 * 64 - 8 * 64) - HEAD + 4 * HEAD


def test_the_work_of_one_run_by_hand():
    (run,) = plan("smoke", "3", ["A"], [0])[0].runs
    assert planner.training_macs(run, 10) == 3 * 2 * 10 * CROP  # forward and backward, two epochs
    assert planner.testing_macs(run, 10) == 10 * 2 * DENSE  # with the mirror image
    crops = plan("smoke", "5", ["D"], [0])[1].runs[0]
    assert crops.protocol.method == "multi-crop"
    assert planner.testing_macs(crops, 10) == 10 * 50 * macs(config("D").scaled(1 / 64), 56)
    one = Run("imagenet", Experiment("A", None, weights="torchvision"), Protocol(256, "centre-crop", flip=False))
    assert (planner.training_macs(one, 10), planner.testing_macs(one, 10)) == (0, 10 * macs(config("A"), 224))


def test_hours_and_energy_by_hand():
    entries = plan("smoke", "3", ["A"], [0])
    (run,) = entries[0].runs
    speed = {"training": planner.training_macs(run, 10) / 7200, "testing": planner.testing_macs(run, 5) / 1800}
    table = planner.estimate(entries, 10, 5, lambda run, kind: speed[kind], watts=100)
    assert table["table"].tolist() == ["3", "together"]
    assert table.loc[1, ["trainings", "tests"]].tolist() == [1, 1]
    assert table.loc[1, ["training_hours", "testing_hours", "kwh"]].tolist() == pytest.approx([2, 0.5, 0.25])
    assert planner.estimate(entries, 10, 5, lambda run, kind: 1.0)["kwh"].isna().all()


def test_several_devices_share_the_work_and_exchange_their_gradients():
    (run,) = plan("smoke", "3", ["A"], [0])[0].runs  # batches of 32, two epochs
    weights = parameters(config("A").scaled(1 / 64), input_size=56)
    work = planner.training_macs(run, 320)
    alone = planner.divided(run, 320, 1, work / 3600, 1.0)
    assert alone == pytest.approx((1, 1))
    # Four of them: a quarter of an hour; 20 steps, in each of which 1.5 times all gradients travel.
    fast = planner.divided(run, 320, 4, work / 3600, 20 * 1.5 * 4 * weights / 360)
    assert fast == pytest.approx((0.25, 0.35))
    slow = planner.divided(run, 320, 4, work / 3600, 20 * 1.5 * 4 * weights / 3600)
    assert slow == pytest.approx((1, 1.25))
    halved = planner.divided(run, 320, 4, work / 3600, 20 * 1.5 * 4 * weights / 3600, gradient_bytes=2)
    assert halved == pytest.approx((0.5, 0.75))


def test_trainings_that_others_start_from_count_once():
    entries = [entry for entry in plan("demo", "3", ["D"], [0])]
    table = planner.estimate(entries, 10, 5, lambda run, kind: 1.0).set_index("table")
    assert table.loc["3", "trainings"] == 4  # A, and three stages of D
    assert table.loc["3", "tests"] == 3
    both = planner.estimate([*entries, *plan("demo", "4", ["D"], [0])], 10, 5, lambda run, kind: 1.0).set_index("table")
    assert both.loc["together", "trainings"] == 4
    assert both.loc["together", "training_hours"] == table.loc["3", "training_hours"]


def test_measured_speeds_are_asked_by_net_and_kind():
    speeds = pd.DataFrame({"net": ["A", "D"], "training_macs": [1.0, 2.0], "testing_macs": [3.0, 4.0]})
    (run,) = plan("smoke", "3", ["D"], [0], ["256"])[0].runs
    assert [planner.measured(speeds)(run, kind) for kind in ("training", "testing")] == [2.0, 4.0]


def test_a_preset_says_how_many_images_it_has():
    for preset in ("smoke", "demo"):
        images = load(**PRESETS[preset].data)
        assert PRESETS[preset].images == (len(images.train), len(images.val))
