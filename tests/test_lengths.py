import pandas as pd
import pytest
from test_comparisons import row
from test_evidence import planned
from test_results import LABELS, POSTERIORS
from test_results import record as results_record

from vgglib import lengths, plots, show
from vgglib.comparisons import Arm
from vgglib.results import Store

A, B, D, E = (Arm("3", net) for net in "ABDE")


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "results")


def trained(store, net, seed, precision="fp32", **settings):
    (run,) = planned(nets=[net], seeds=[seed], train_scales=["256"], **settings)
    history = [{"epoch": 1, "minival_top1_error_percent": 50.0}]
    environment = {"precision": precision, "evaluation_seconds": 1.0}
    store.write(run, results_record(run, environment=environment, history=history), POSTERIORS, LABELS)


def of_length(epochs, **errors):
    """Rows of nets with an error for each seed."""
    return [
        row(Arm("3", net), seed, error)
        | {"epochs": epochs, "environment": {"precision": "bf16"}, "top5_error_percent": 1.0, "n_images": 100}
        for net, of_seeds in errors.items()
        for seed, error in enumerate(of_seeds)
    ]


def test_rows_are_of_the_seeds_that_were_trained_for_another_number_of_epochs(store):
    for seed in (0, 1, 2):
        trained(store, "A", seed)
    trained(store, "A", 1, epochs=48)
    trained(store, "D", 2, epochs=24)
    trained(store, "A", 0, epochs=48, width=0.5)  # not the preset's net
    found = lengths.rows(store, "demo")
    done = found[found["status"] == "done"]
    assert done[["net", "seed", "epochs"]].values.tolist() == [["A", 1, 12], ["A", 2, 12], ["D", 2, 24], ["A", 1, 48]]
    assert set(found["seed"]) == {1, 2} and set(found["table"]) == {"3"}


def test_without_other_lengths_there_is_nothing(store):
    trained(store, "A", 0)
    assert lengths.rows(store, "demo").empty


def test_what_a_step_of_depth_is_worth_by_pencil():
    short = of_length(12, A=[10, 10, 10, 10], E=[11, 12, 13, 99])
    long = of_length(48, A=[5, 5, 5], E=[4, 4, 4])
    found = pd.DataFrame(short + long)
    (line,) = lengths.effects(found).to_dict("records")
    assert (line["Nets"], line["Seeds"]) == ("E - A", "3")  # the fourth seed is not there after 48 epochs
    # 1, 2, 3: standard error 1/sqrt(3), t = 4.303; the changes are -2, -3, -4.
    assert line["after 12 epochs"] == "+2.00 (-0.48 to +4.48)"
    assert line["after 48 epochs"] == "-1.00 (-1.00 to -1.00)"
    assert line["Change"] == "-3.00 (-5.48 to -0.52)"


def test_the_finding_says_what_the_claims_test_says_after_each_length():
    found = pd.DataFrame(of_length(12, A=[10, 10, 10], E=[15, 16, 14]) + of_length(48, A=[10, 10, 10], E=[9, 12, 10]))
    assert "opposite after 12 epochs, undecided after 48 epochs" in lengths.finding(found)
    one = pd.DataFrame(of_length(12, A=[10], E=[15]))
    assert "fewer than two seeds" in lengths.finding(one)


def test_arithmetic_is_told_for_each_length():
    found = pd.DataFrame(of_length(12, A=[10, 10]) + of_length(48, A=[5]))
    found.at[1, "environment"] = {"precision": "fp32"}
    found = pd.concat([found, pd.DataFrame([row(A, 3, status="not run") | {"epochs": 48, "environment": {}}])])
    assert lengths.arithmetic(found) == "12 epochs in bf16 and fp32; 48 epochs in bf16"


def test_the_figure_has_a_line_for_each_length(house_style):
    found = pd.DataFrame(of_length(12, A=[10, 12], E=[20, 22]) + of_length(48, A=[5, 6], E=[4, 4]))
    axes = plots.error_by_length(found)
    lines = {bars.get_label(): list(bars.lines[0].get_ydata()) for bars in axes.containers}
    assert lines == {"12 epochs": [11, 21], "48 epochs": [5.5, 4]}
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["A\n11", "E\n19"]


def test_a_page_shows_what_there_is(store, monkeypatch):
    monkeypatch.setenv("VGG_RESULTS", str(store.root))
    shown = []
    for name in ("sentence", "table", "picture"):
        monkeypatch.setattr(show, name, lambda *content, name=name: shown.append(name))
    show.lengths_of("demo")
    assert shown == ["sentence"]
    for seed in (0, 1):
        for net in "AE":
            trained(store, net, seed)
            trained(store, net, seed, epochs=48)
    shown.clear()
    show.lengths_of("demo")
    assert shown == ["picture", "picture", "picture", "table", "sentence"]
