import json

import pandas as pd
import pytest

from vgglib import planner, plans
from vgglib.analysis.speed import Speed
from vgglib.configs import DEPTHS, config
from vgglib.cost import dense_macs, macs, memory, parameters
from vgglib.display import full_size
from vgglib.results import digest

RECORD = {
    "schema": 1,
    "images": 10_000,
    "threads": 2,
    "images_per_second": {"decoding": [900, 1000, 1100], "S = 256": [700, 800, 750]},
    "share_of_decoding": {"S = 256": 0.75},
    "memory_bytes_by_quarter": [[1, 100, 100, 104], [1, 100, 100, 90]],
}


def test_the_setting_is_the_papers():
    run = plans.first_stage("imagenet", "D")
    experiment = run.experiment
    assert (experiment.crop, experiment.width, experiment.batch_size, experiment.epochs) == (224, 1.0, 256, 74)
    assert (experiment.learning_rate, experiment.initialisation, experiment.drop_deadlines) == (1e-2, "glorot", ())


def test_work_by_hand():
    table = full_size.work().set_index("For")
    crop = macs(config("A"), 224)
    dense = dense_macs(config("A"), 256)
    whole = 3 * 74 * 1_281_167 * crop + 50_000 * 2 * dense
    assert table.loc["net A, S = 256", "Multiply-adds, 10^18"] == f"{whole / 1e18:,.1f}"
    assert table.loc["net A, S = 256", "Hours at 10"] == f"{2 * whole / 1e13 / 3600:,.0f}"
    everything = float(table.loc["everything behind all tables, one seed", "Multiply-adds, 10^18"].replace(",", ""))
    assert everything > 5 * float(table.loc["net E, S = 256", "Multiply-adds, 10^18"].replace(",", ""))


def test_several_devices_take_less_time_and_more_device_hours():
    table = full_size.several_devices()
    assert len(table) == 2 * (1 + 2 * 2)
    alone = planner.training_macs(plans.first_stage("imagenet", "D"), 1_281_167) / 25e12 / 3600
    assert table.iloc[0]["Hours"] == f"{alone:,.1f}"
    hours = table["Device-hours, at most"].str.replace(",", "").astype(float)
    assert (hours.iloc[1:5] > hours.iloc[0]).all()
    assert hours.iloc[2] < hours.iloc[1] and hours.iloc[4] < hours.iloc[3]  # bf16 gradients take less


def test_measured_speeds_become_days():
    nets = [
        {"net": net, "training_images": 2.5, "testing_images": 8.0, "training_macs": 1e12, "testing_macs": 1e12}
        for net in DEPTHS
    ]
    table = full_size.on_this_device(Speed("imagenet", 8, "fp32", {}, {}, pd.DataFrame(), pd.DataFrame(nets)))
    days = planner.training_macs(plans.first_stage("imagenet", "A"), 1_281_167) / 1e12 / 86400
    assert table.iloc[0].tolist() == ["A", "2.50", "8.00", f"{days:,.1f}"]


def test_updates_timed_on_a_gpu_become_hours():
    name = "a step on a ready batch, net D, 224 pixels, width 1"
    rounds = [("this project", 3000.0), ("this project", 1000.0), ("compiled", 4000.0)]
    case = {
        "name": name,
        "contenders": ["this project", "compiled"],
        "unit": "images/s",
        "points": False,
        "more_is_better": True,
        "environment": {"device_name": "a GPU"},
        "measurements": [
            {"contender": way, "round": number, "values": {"value": rate, "seconds_to_first_step": 9.0}}
            for number, (way, rate) in enumerate(rounds)
        ],
    }
    other = {**case, "name": name.replace("224", "56")}
    records = {"training": [{"device": "cpu", "cases": [case]}, {"device": "cuda", "cases": [other, case]}]}
    table = full_size.on_gpus(records)
    # 74 epochs of 1,281,167 images at a median of 2000 a second; 6 operations for each multiply-add of a test.
    trillions = 6 * macs(config("D"), 224) * 2000 / 1e12
    hours = 74 * 1_281_167 / 2000 / 3600
    assert table.iloc[0].tolist() == [
        "a GPU",
        "replayed as a CUDA graph",
        "2,000",
        f"{trillions:,.0f}",
        f"{hours:,.1f}",
        "9",
    ]
    assert table.iloc[1].tolist()[1:3] == ["compiled", "4,000"] and len(table) == 2
    assert full_size.on_gpus({"training": []}).empty


def test_memory_holds_more_of_a_shallow_net():
    table = full_size.largest_batches().set_index("Net")
    found = table.apply(lambda column: column.str.replace(",", "").astype(int))
    assert (found.loc["A"] > found.loc["E"]).all() and (found["80 GB"] > 4 * found["16 GB"]).all()
    # Of each weight a number in single precision, its gradient, its momentum and a copy in bf16.
    each = memory("D", 1).set_index("part").loc["activations", "training"]
    assert found.loc["D", "16 GB"] == (16e9 - (4 + 4 + 4 + 2) * parameters("D")) // each


def test_expected_errors_are_the_papers_with_an_interval():
    table = full_size.expected()
    row = table[(table["Net"] == "D") & (table["S"] == "256-512")].iloc[0]
    assert row["Top-1 error"] == "25.6" and row["Top-5 error"] == "8.1"
    assert row["Its interval from 50,000 images"] == "25.2 to 26.0"  # 1.96 * sqrt(0.256 * 0.744 / 50000) = 0.38 points
    assert len(table) == 12


def write(folder, record):
    path = folder / "imagenet" / "input.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record))


def test_a_record_of_input_is_read_and_shown(tmp_path):
    write(tmp_path, RECORD | {"digest": digest(RECORD)})
    record = full_size.input_speed(tmp_path)
    assert full_size.input_shown(record).to_numpy().tolist() == [
        ["decoding alone", "1,000", "900", "1,100", ""],
        ["training input, S = 256", "750", "700", "800", "75 %"],
    ]
    assert full_size.flatness_percent(record) == pytest.approx(4)


@pytest.mark.parametrize(("change", "wrong"), [({"images": 9}, "was changed"), ({"schema": 2}, "has schema 2")])
def test_an_altered_record_of_input_is_refused(tmp_path, change, wrong):
    write(tmp_path, RECORD | {"digest": digest(RECORD)} | change)
    with pytest.raises(ValueError, match=rf"input.json {wrong} .*: measure with benchmarks/input.py"):
        full_size.input_speed(tmp_path)
    assert full_size.input_speed(tmp_path / "empty") is None
