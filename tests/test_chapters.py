import json

import pandas as pd
import pytest

from vgglib import cost, planner
from vgglib.configs import config
from vgglib.display import chapters
from vgglib.plans import plan
from vgglib.results import REPOSITORY


def test_table_1_marks_what_the_left_neighbour_lacks():
    table = chapters.table_1().set_index("Part")
    assert table.loc["Weight layers"].tolist() == ["11", "11", "13", "16", "16", "19", "8"]
    assert table.loc["Block 1", "A"] == "conv3-64<br>maxpool"
    assert table.loc["Block 1", "A-LRN"] == "conv3-64<br><strong>LRN</strong><br>maxpool"
    assert table.loc["Block 1", "B"] == "conv3-64<br><strong>conv3-64</strong><br>maxpool"
    assert table.loc["Block 3", "C"].endswith("conv3-256<br><strong>conv1-256</strong><br>maxpool")
    assert table.loc["Block 3", "D"].count("strong") == 2 and table.loc["Block 3", "E"].count("<strong>") == 1
    assert "<strong>" not in table.loc["Block 2", "C"]
    assert table.loc["Block 5", "B-5x5"] == "<strong>conv5-512</strong><br>maxpool"
    assert table.loc["Head"].tolist() == ["FC-4096, FC-4096, FC-1000"] * 7


def test_table_1_ends_in_the_classes_that_are_counted():
    table = chapters.table_1(["A", "E"], 10).set_index("Part")
    assert table.loc["Head"].tolist() == ["FC-4096, FC-4096, FC-10"] * 2


def test_parameters_by_block_add_up_and_equal_the_papers():
    table = chapters.parameters(["A", "E", "B-5x5"]).set_index("net")
    blocks = [column for column in table if column.startswith("block")] + ["head"]
    assert (table[blocks].sum(axis=1) == table["total"]).all()
    assert table.loc["A", "block 1"] == 64 * 27 + 64
    assert [round(table.loc[net, "total"] / 1e6) for net in "AE"] == table.loc[["A", "E"], "paper_millions"].tolist()
    assert pd.isna(table.loc["B-5x5", "paper_millions"])
    shown = chapters.parameters_shown(table.reset_index()).set_index("Net")
    assert shown.loc["A", "Total"] == "132,863,336" and shown.loc["B-5x5", "Millions, paper"] == "-"


def test_the_shallow_counterpart_of_b_is_the_papers_own():
    assert chapters.merged(config("B")).layers == config("B-5x5").layers
    assert [layer.kernel for layer in chapters.merged(config("E")).layers if layer.kind == "conv"] == [5, 5, 9, 9, 9]
    pairs = chapters.shallow_counterparts().set_index("net")
    assert pairs.loc["B", "shallow_macs"] == cost.macs(config("B-5x5"))
    assert pairs.loc["D", "kernels"] == "5x5, 5x5, 7x7, 7x7, 7x7"


def test_the_sentence_about_overfeat_counts_at_the_papers_classes():
    assert chapters.overfeat_sentence().startswith(
        "Nets A to E have 132.9 to 143.7 million weights and biases with ImageNet's 1000 classes. The paper compares"
    )


def test_the_page_of_configurations_gives_its_classes_to_all_but_the_comparison_with_overfeat():
    page = json.loads((REPOSITORY / "notebooks" / "01_configurations.ipynb").read_text())
    code = "\n".join("".join(cell["source"]) for cell in page["cells"] if cell["cell_type"] == "code")
    calls = ("chapters.table_1", "chapters.parameters", "cost_plots.parameters")
    assert all(f"{call}(p.nets, p.num_classes)" in code for call in calls)
    assert "chapters.overfeat_sentence()" in code


def test_tables_for_readers_keep_the_numbers():
    layers = chapters.layers_shown(cost.layers(config("A"))).set_index("Layer")
    assert layers.loc["conv1_1", "Output"] == "64 x 224 x 224" and layers.loc["fc8", "Parameters"] == "4,097,000"
    memory = chapters.memory_shown(["D"], 256).iloc[0]
    assert float(memory["Weights, gradients, momentum"]) == pytest.approx(14 * 138.357544e6 / 1e9, abs=0.005)
    assert float(memory["Weights"]) == pytest.approx(6 * 138.357544e6 / 1e9, abs=0.005)
    entries = plan("smoke", "starts", ["E"], [0])
    shown = chapters.estimate_shown(planner.estimate(entries, 216, 120, lambda run, kind: 1e6, 100))
    assert shown["For"].tolist() == ["E from A and from random weights", "together"]
    assert shown["Energy, kWh"].ne("-").all()


def test_times_and_speeds_for_readers():
    times = pd.DataFrame(
        {"kind": ["conv", "conv", "pool"], "seconds_per_image": [1e-3, 2e-3, 1e-3], "operations": [3e6, 3e6, 1e6]}
    )
    conv, pool = chapters.times_shown(times).to_dict("records")
    assert (conv["Layers"], conv["ms an image"], conv["of the time, %"]) == (2, "3.000", "75")
    assert pool["Billion operations a second"] == "1.0"
    speeds = pd.DataFrame({"net": ["A"], "training_images": [1000.0], "testing_images": [3000.0]})
    speeds = speeds.assign(training_macs=5e9, testing_macs=2e9)
    (line,) = chapters.speeds_shown(speeds, {"macs_per_second": 1e10}).to_dict("records")
    assert (line["Training, images a second"], line["training, % of peak"], line["testing, % of peak"]) == (
        "1,000",
        "50",
        "20",
    )
