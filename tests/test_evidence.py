import pandas as pd
import pytest
from records import planned, recorded, trained

from vgglib import notebooks, planner
from vgglib.analysis import evidence, repeating
from vgglib.experiments import runs
from vgglib.plans import plan


def trainings(store, preset):
    return evidence.trainings(evidence.records(store, preset))


def commands(store, preset):
    return repeating.commands(evidence.records(store, preset))


def test_only_presets_with_records_count_and_never_the_one_for_tests(store):
    assert evidence.presets(store) == [] and evidence.amounts(evidence.by_preset(store)).empty
    for preset in ("tiny-imagenet-50", "demo", "smoke"):
        recorded(store, planned(preset)[0])
    assert evidence.presets(store) == ["demo", "tiny-imagenet-50"]


def test_rows_are_of_what_was_trained_in_the_book_and_in_a_notebook(store):
    for net, seed in (("A", 0), ("C", 0), ("C", 1)):
        trained(store, net, seed)
    found = evidence.rows(store, "demo")
    assert {(row.net, row.seed) for row in found.itertuples() if row.table == "3"} == {("A", 0), ("C", 0), ("C", 1)}
    jitter = evidence.rows(store, "demo", "jitter")  # none of which has a record of its own
    assert set(zip(jitter["net"], jitter["seed"], strict=True)) == {("C", 0), ("C", 1)}
    asked = notebooks.Parameters("demo", (0, 1), ("A",), False, None, None, {})
    pd.testing.assert_frame_equal(asked.evidence(), found)


def test_a_training_counts_once_however_often_it_is_tested(store):
    for run in planned(table="5", nets=["D"]):  # one training, dense and multi-crop at three Q
        recorded(store, run)
    (line,) = evidence.amounts(evidence.by_preset(store)).to_dict("records")
    assert (line["Trainings"], line["Tests"], line["Seeds"]) == (1, 6, "0")
    assert (line["Training, h"], line["Testing, h"]) == ("1.0", "0.1")  # 6 x 36 s = 0.06 h
    assert line["When"] == "2026-01-02 to 2026-01-03"


def test_failed_tests_and_settings_by_hand_are_counted(store):
    (run,) = planned()
    recorded(store, run, status="failed", environment={"evaluation_seconds": None})
    recorded(store, planned(width=0.5)[0])
    (line,) = evidence.amounts(evidence.by_preset(store)).to_dict("records")
    assert (line["Failed"], line["Trainings"]) == (1, 2)
    assert evidence.records(store, "demo")["by_hand"].tolist() == [False, True]


def test_an_altered_record_is_refused(store):
    (run,) = planned()
    recorded(store, run)
    path = store.record_path(run)
    path.write_text(path.read_text().replace("a CPU", "a GPU"))
    with pytest.raises(ValueError, match="changed after it was written"):
        evidence.records(store, "demo")


def test_a_machine_that_only_tested_is_not_that_of_the_training(store):
    recorded(store, planned()[0], environment={"trained_in": "bf16 on cuda"})
    found = evidence.records(store, "demo").iloc[0]
    assert (found["device"], found["device_name"], found["arithmetic"]) == ("cuda", "not recorded", "bf16")


def test_minutes_of_first_stages_are_those_of_the_presets_own_recipe(store):
    assert evidence.first_stages(store, "demo", ["A"]).empty
    for run in planned(nets=["A"], seeds=[0, 1]):
        recorded(store, run)
    recorded(store, planned(width=0.5)[0], environment={"training_seconds": 60.0})
    for run in planned(table="starts", nets=["E"]):  # from A, and from two kinds of random weights
        recorded(store, run, environment={"training_seconds": 600.0 if run.experiment.start else 60.0})
    a, e = evidence.first_stages(store, "demo", ["A", "E"]).to_dict("records")
    assert a == {"Net": "A", "Arithmetic": "bf16", "Trainings": 2, "Minutes": "60.0"}
    assert e == {"Net": "E", "Arithmetic": "bf16", "Trainings": 1, "Minutes": "10.0"}


def test_no_records_are_refused(store):
    with pytest.raises(ValueError, match="preset demo has no records"):
        evidence.records(store, "demo")


def test_machines_have_a_line_per_combination(store):
    for seed, changes in enumerate([{}, {}, {"dirty": True}]):
        recorded(store, planned(seeds=[seed])[0], environment=changes)
    recorded(store, planned(seeds=[3])[0], environment={"data_sha256": "fedcba9876543210"})
    table = evidence.machines(evidence.by_preset(store))
    lines = [["0123456", "89abcdef", 2], ["0123456, changed", "89abcdef", 1], ["0123456", "fedcba98", 1]]
    assert table[["Commit", "Images", "Tests"]].values.tolist() == lines


def test_trainings_are_listed_by_net_and_stage(store):
    for seed, minutes in ((0, 10), (1, 20)):
        for net in ("A", "D"):
            for run in planned(nets=[net], seeds=[seed]):
                recorded(store, run, environment={"training_seconds": 60.0 * minutes})
    table = trainings(store, "demo")
    assert table[["Net", "S"]].values.tolist() == [["A", "256"], ["D", "256"], ["D", "384"], ["D", "256-512"]]
    assert set(table["Minutes"]) == {"15.0"} and set(table["Trainings"]) == {2}
    assert set(table["Images a second"]) == {"20"}
    assert table["Begun from"].tolist() == ["he-fan-out", "A", "A", "A"]


def test_the_share_of_the_peak_is_that_of_the_epochs_that_know_it(store):
    epochs = [{"epoch": n, "images_per_second": 10.0, "peak_share": share} for n, share in enumerate((0.1, 0.3, None))]
    runs = planned(nets=["A", "B"])
    recorded(store, runs[0], history=epochs)
    recorded(store, runs[1])
    assert trainings(store, "demo")["Of the peak"].tolist() == ["20%", "-"]


def times(first, last):
    return {f"{name}_utc": f"2026-01-02T0{hour}:00:00+00:00" for name, hour in (("started", first), ("finished", last))}


def test_trainings_at_one_time_are_counted_on_each_device(store):
    # On the GPU: A from 1 to 4, B from 2 to 3, C from 3 to 5, D from 6 on; E on the CPU from 1 to 9.
    hours = {"A": (1, 4), "B": (2, 3), "C": (3, 5), "D": (6, 7), "E": (1, 9)}
    for run in planned(nets=list(hours), train_scales=["256"]):
        net = run.experiment.net
        gpu = {} if net == "E" else {"device": "cuda", "device_name": "a GPU"}
        epochs = [{"epoch": 1, "images_per_second": 10.0, "peak_share": 0.2}]
        recorded(store, run, history=epochs, environment={**times(*hours[net]), **gpu})
    # A later test of D says nothing of its training.
    recorded(store, planned(table="crops", nets=["D"])[0], environment={**times(1, 9), "device_name": "a GPU"})
    table = trainings(store, "demo")
    assert table["At once"].tolist() == ["2", "2", "2", "1", "1"]
    assert table["Arithmetic"].tolist() == [*["bf16, GPU"] * 4, "bf16"]
    assert table["Of the peak"].tolist() == ["-", "-", "-", "20%", "20%"]
    # Speeds of a shared GPU are not for planning: D has the GPU's column to itself, E the CPU's.
    minutes = evidence.minutes(store, "demo", "demo", 300_000).set_index("Net")
    minutes.columns = [line.split(",")[0] for line in minutes]
    assert evidence.records(store, "demo")["at_once"].max() == 2
    d, e = (planner.crop_macs(planned(nets=[net])[0].experiment) for net in "DE")  # 10 images a second each
    assert float(minutes.loc["A", "a GPU"]) / float(minutes.loc["A", "a CPU"]) == pytest.approx(e / d, rel=1e-3)


def test_trainings_in_other_arithmetic_have_a_line_of_their_own(store):
    recorded(store, planned()[0], environment={"precision": "bf16"})
    recorded(store, planned(precision="fp32")[0], environment={"precision": "fp32"})
    recorded(store, planned(nets=["B"])[0], environment={"precision": "bf16", "units": "fp32"})
    found = trainings(store, "demo")["Arithmetic"].tolist()
    assert sorted(found) == ["bf16", "bf16 on fp32 units", "fp32"]


def test_trainings_of_another_length_have_a_line_of_their_own(store):
    for epochs in (None, 48):
        recorded(store, planned(epochs=epochs)[0])
    table = trainings(store, "demo")
    assert table["Trainings"].tolist() == [1, 1] and table["Changed settings"].tolist() == ["-", "epochs=48"]


def test_columns_that_say_nothing_are_left_out(store):
    recorded(store, planned()[0])
    empty = {"Changed settings", "Of the peak", "At once"}
    assert not empty & set(trainings(store, "demo"))
    recorded(store, planned(nets=["D"])[0])  # at the same time, on another core
    assert not empty & set(trainings(store, "demo"))
    recorded(store, planned("tiny-imagenet")[0], environment={"device": "cuda"})
    assert not empty & set(trainings(store, "tiny-imagenet"))


def test_tests_on_crops_have_a_command_of_their_own(store):
    recorded(store, planned(epochs=48)[0])
    recorded(store, planned(table="crops", epochs=48)[0])
    recorded(store, planned(table="5", nets=["D"])[3])  # multi-crop, too, and part of the plan
    tables = [command.partition(" again")[2].partition(" --seeds")[0] for command in commands(store, "demo")]
    assert tables == ["", " --table 3 --epochs 48", " --table crops --epochs 48"]


def test_the_shallow_net_and_its_centre_crops_have_commands_of_their_own(store):
    for table in ("5x5", "5x5-centre"):
        for run in planned(table=table, nets=["B", "B-5x5"], from_a=False, epochs=48):
            recorded(store, run)
    asked = [command.partition(" --table ")[2] for command in commands(store, "demo")]
    assert asked == [
        "5x5 --epochs 48 --seeds 0 --nets B-5x5 --train-scales 256",
        "5x5-centre --epochs 48 --seeds 0 --nets B-5x5 --train-scales 256",
        "5x5-centre --epochs 48 --no-from-a --seeds 0 --nets B --train-scales 256",
        "3 --epochs 48 --no-from-a --seeds 0 --nets B --train-scales 256",
    ]


def test_commands_have_all_digits_of_deadlines(store):
    third = 1 / 3
    recorded(store, planned(drop_deadlines=(third, 0.5, 0.9))[0])
    assert f" --drop-deadlines {third},0.5,0.9 " in commands(store, "demo")[0]


def test_minutes_of_other_images_at_the_speed_of_the_records(store):
    (run,) = planned("tiny-imagenet-50")  # net A, width 1/4 as in `folder`; 20 images a second
    recorded(store, run)
    table = evidence.minutes(store, "tiny-imagenet-50", "folder", 300).set_index("Net")
    # 40 epochs of 300 images at 20 a second.
    assert float(table.loc["A", "a CPU, 1 thread(s), bf16"]) == 10.0
    # D has stages of 40, 13 and 13 epochs.
    crops = {net: planner.crop_macs(planned("folder", nets=[net])[0].experiment) for net in "AD"}
    assert float(table.loc["D"].iloc[0]) == pytest.approx(66 * 300 / 20 / 60 * crops["D"] / crops["A"], abs=0.05)


def test_a_command_names_the_part_that_was_run(store):
    for seed in (0, 2):
        for run in planned("tiny-imagenet-50", nets=["D"], seeds=[seed], train_scales=["256", "384"]):
            recorded(store, run)
    assert commands(store, "tiny-imagenet-50") == [
        "vgg run --preset tiny-imagenet-50 --data-dir path/to/images --results again --seeds 0,2 --nets D "
        "--train-scales 256,384"
    ]


def test_a_command_for_all_of_a_plan_names_no_part(store):
    for run in runs(plan("demo", "all", seeds=[0])):
        recorded(store, run)
    assert commands(store, "demo") == ["vgg run --preset demo --results again --seeds 0"]


def test_a_command_for_table_3_alone_asks_for_no_other_start_or_scale(store):
    for net in "AE":
        recorded(store, planned(nets=[net], train_scales=["256"])[0])
    (command,) = commands(store, "demo")
    assert command == "vgg run --preset demo --results again --table 3 --seeds 0 --nets A,E --train-scales 256"
    for run in planned(table="starts", nets=["E"])[1:]:
        recorded(store, run)
    assert commands(store, "demo") == [command.replace(" --table 3", "")]


def test_compiled_trainings_have_a_line_and_a_command_of_their_own(store):
    recorded(store, planned()[0])
    recorded(store, planned(seeds=[1])[0], environment={"updates_compiled": True})
    assert trainings(store, "demo")["Arithmetic"].tolist() == ["bf16", "bf16, compiled"]
    plain, fused = commands(store, "demo")
    assert "--compile" not in plain and "--compile --seeds 1 " in fused


def test_a_commit_that_was_only_stated_is_shown_as_such(store):
    recorded(store, planned()[0], environment={"dirty": None})
    assert evidence.machines(evidence.by_preset(store))["Commit"].tolist() == ["0123456, as stated"]


def test_a_command_asks_by_name_for_what_auto_no_longer_means(store):
    recorded(store, planned(epochs=48)[0], environment={"precision": "fp32"})
    recorded(store, planned(epochs=48, seeds=[1])[0], environment={"precision": "fp32", "device": "cuda"})
    gpu, cpu = sorted(commands(store, "demo"), key=len)
    assert gpu.startswith("vgg run --preset demo --results again --table 3 --epochs 48 --seeds 1")
    assert cpu.startswith("vgg run --preset demo --results again --table 3 --epochs 48 --precision fp32 --seeds 0")


def test_settings_made_by_hand_have_a_command_of_their_own(store):
    for run in planned(nets=["E"], train_scales=["256"], from_a=False, width=0.5, learning_rate=0.001234567):
        recorded(store, run)  # the name has six digits of the rate
    recorded(store, planned()[0])
    ours, by_hand = commands(store, "demo")
    ending = "--seeds 0 --nets E --train-scales 256"
    assert ours == "vgg run --preset demo --results again --table 3 --seeds 0 --nets A --train-scales 256"
    assert by_hand.endswith(
        f"demo --results again --table 3 --no-from-a --learning-rate 0.001234567 --width 0.5 {ending}"
    )


def test_no_share_is_above_the_peak():
    assert evidence._share(pd.Series([0.9, 1.3, 1.4])) == "-" and evidence._share(pd.Series([0.5, 0.7, 1.2])) == "70%"
