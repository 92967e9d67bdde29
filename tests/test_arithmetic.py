import pandas as pd
import pytest
from test_evidence import planned, record

from vgglib import arithmetic, show
from vgglib.results import Store


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "results")


def trained(store, precision, errors, net="A", asked="auto", **settings):
    """A record for each seed with the error that it came to, whatever precision was asked for."""
    for seed, error in errors.items():
        (run,) = planned(nets=[net], seeds=[seed], train_scales=["256"], precision=asked, **settings)
        record(store, run, top1_error_percent=error, environment={"precision": precision})


def pair(net, seed, bf16, fp32):
    return {"net": net, "train_scale": "256", "start": "A", "seed": seed, "bf16": bf16, "fp32": fp32}


def test_a_pair_is_one_training_in_both(store):
    trained(store, "bf16", {0: 10.0, 1: 20.0, 2: 30.0})
    trained(store, "fp32", {1: 19.0, 0: 9.5, 3: 8.0}, asked="fp32")
    trained(store, "fp32", {2: 1.0}, asked="fp32", width=0.5)  # another net
    found = arithmetic.pairs(store, "demo")
    assert found[["net", "seed", "bf16", "fp32"]].values.tolist() == [["A", 0, 10.0, 9.5], ["A", 1, 20.0, 19.0]]


def test_the_arithmetic_of_the_start_does_not_tell_trainings_apart(store):
    trained(store, "bf16", {0: 10.0}, net="D")  # whose A is asked for in "auto"
    trained(store, "fp32", {0: 12.0}, net="D", asked="fp32")  # and here in fp32
    trained(store, "fp32", {0: 50.0}, net="D", asked="fp32", from_a=False)
    assert arithmetic.pairs(store, "demo")[["start", "bf16", "fp32"]].values.tolist() == [["A", 10.0, 12.0]]


def test_failed_trainings_and_other_tests_make_no_pair(store):
    trained(store, "bf16", {0: 10.0})
    (run,) = planned(precision="fp32")
    record(store, run, status="failed", top1_error_percent=None, environment={"precision": "fp32"})
    trained(store, "bf16", {0: 10.0}, net="D")
    for run in planned(table="4", nets=["D"], train_scales=["256"], precision="fp32"):
        if run.protocol.test_scale != 256:  # S
            record(store, run, environment={"precision": "fp32"})
    assert arithmetic.pairs(store, "demo").empty


def test_summary_by_pencil():
    found = pd.DataFrame([pair("A", seed, 10.0 * (seed + 1), 9.0 * (seed + 1)) for seed in range(3)])
    (line,) = arithmetic.summary(found).to_dict("records")
    # Differences 1, 2, 3: mean 2, standard error 1/sqrt(3), t = 4.303 with 2 degrees of freedom.
    assert [line[key] for key in ("Seeds", "bf16 - fp32", "from", "to")] == ["3", "+2.00", "-0.48", "+4.48"]
    assert (line["Error in bf16"], line["Error in fp32"]) == ("20.00", "18.00")
    # Variances 100 and 81, root of their mean 9.51; root of (1 + 4 + 9) / 3 / 2.
    assert (line["Between seeds"], line["Within pairs"]) == ("9.51", "1.53")


def test_the_mean_of_the_nets_takes_the_seeds_that_all_have():
    found = pd.DataFrame(
        [
            *(pair("A", seed, bf16, 10.0) for seed, bf16 in enumerate((11.0, 12.0, 90.0))),
            *(pair("D", seed, bf16, 10.0) for seed, bf16 in enumerate((9.0, 14.0))),
        ]
    )
    assert arithmetic.differences(found).tolist() == [0.0, 3.0]  # (1 - 1) / 2, (2 + 4) / 2
    last = arithmetic.summary(found).iloc[-1]
    assert (last["Net"], last["Seeds"], last["bf16 - fp32"]) == (arithmetic.ALL, "2", "+1.50")


@pytest.mark.parametrize(
    ("differences", "text"),
    [
        ((0.1, -0.1, 0.1, -0.1), "the same in both"),
        ((2.0, 2.1, 1.9, 2.0), "higher in bf16"),
        ((-2.0, -2.1, -1.9, -2.0), "lower in bf16"),
        ((5.0, -5.0, 4.0, -3.0), "undecided: neither"),
        ((5.0,), "fewer than two seeds"),
    ],
)
def test_finding(differences, text):
    found = pd.DataFrame([pair("A", seed, 20.0 + one, 20.0) for seed, one in enumerate(differences)])
    assert text in arithmetic.finding(found)


def test_a_page_without_pairs_says_so(store, monkeypatch, capsys):
    monkeypatch.setenv("VGG_RESULTS", str(store.root))
    trained(store, "bf16", {0: 10.0, 1: 11.0})
    shown = []
    monkeypatch.setattr(show, "sentence", shown.append)
    show.arithmetic_of("demo")
    assert shown == ["No two seeds of preset demo have records in both."]
