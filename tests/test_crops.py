import numpy as np
import pandas as pd
import pytest
from records import put

from vgglib.analysis import crops
from vgglib.plans import plan

RIGHT, WRONG = [0.75, 0.25], [0.25, 0.75]  # of class 0
COLUMNS = ["net", "train_scale", "test_scale", "seed", "dense", "crops"]


def write(store, net, seed, wrong, **protocol):
    """Four images, of which so many are wrong."""
    entries = plan("smoke", "3,crops", [net], [seed], ["256"])
    put(store, entries, [WRONG if image < wrong else RIGHT for image in range(4)], test_scale=256, **protocol)


@pytest.fixture
def found(store):
    for net, seed, dense, on_crops in (("A", 0, 1, 1), ("A", 1, 1, 2), ("E", 0, 3, 1), ("E", 1, 4, 0)):
        write(store, net, seed, dense, method="dense")
        write(store, net, seed, on_crops, method="multi-crop")
    write(store, "B", 0, 2, method="dense")  # crops alone are missing
    write(store, "C", 2, 2, method="dense")
    write(store, "C", 2, 2, method="multi-crop")
    return crops.rows(store, "smoke")


def test_both_tests_of_a_net_by_pencil(found):
    assert found[COLUMNS].to_numpy().tolist() == [
        ["A", "256", 256, 0, 25.0, 25.0],
        ["A", "256", 256, 1, 25.0, 50.0],
        ["C", "256", 256, 2, 50.0, 50.0],
        ["E", "256", 256, 0, 75.0, 25.0],
        ["E", "256", 256, 1, 100.0, 0.0],
    ]
    assert found["crops_wrong"][1].tolist() == [True, True, False, False]


def test_what_crops_change_by_pencil(found):
    first, second, third = crops.summary(found).to_dict("records")
    # Of A, seed 1, one image is wrong on crops alone: one toss says nothing.
    assert (first["Net"], first["Seeds"], first["Dense"], first["Crops"]) == ("A", "2", "25.0", "37.5")
    assert first["McNemar's p"] == "1.000, 1.000" and first["Crops - dense"].startswith("+12.5 (")
    assert (second["Net"], second["Crops - dense"]) == ("C", "+0.0")
    # Two images, then four, that are wrong densely alone: 2 / 4 and 2 / 16.
    assert (third["Net"], third["McNemar's p"]) == ("E", "0.500, 0.125")
    assert third["Crops - dense"].startswith("-75.0 (")


def test_what_depth_is_worth_by_pencil(found):
    (line,) = crops.depth(found).to_dict("records")  # C shares no seed with A
    assert (line["Nets"], line["Seeds"]) == ("E - A", "2")
    assert line["Tested densely"].startswith("+62.5 (") and line["McNemar's p, dense"] == "0.500, 0.250"
    assert line["Tested on crops"].startswith("-25.0 (") and line["McNemar's p, crops"] == "1.000, 0.500"


def test_one_seed_has_no_interval_and_none_has_no_lines(found, store):
    one = crops.depth(found[found["seed"] == 0])
    assert one.loc[0, ["Tested densely", "Tested on crops"]].tolist() == ["+50.0", "+0.0"]
    nothing = crops.rows(store, "demo")
    assert nothing.empty and crops.summary(nothing).empty and crops.depth(nothing).empty


def test_larger_scales_are_tested_q_by_q(store):
    entries = plan("smoke", "5", ["D"], [0])
    put(store, entries, [RIGHT], method="dense")
    put(store, entries, [WRONG], method="multi-crop", test_scale=384)
    expected = pd.DataFrame([["D", "256-512", 384, 0, 0.0, 100.0]], columns=COLUMNS)
    assert crops.rows(store, "smoke")[COLUMNS].to_numpy().tolist() == expected.to_numpy().tolist()
    assert np.array_equal(crops.rows(store, "smoke")["dense_wrong"][0], [False])
