import math

import numpy as np
import pandas as pd
import pytest
from records import put, record

from vgglib import show
from vgglib.analysis import fusions
from vgglib.analysis.fusions import ONE_SEED, TWO_D, TWO_E, TWO_SEEDS, pseudo_values
from vgglib.display import follow_ups
from vgglib.experiments import runs
from vgglib.metrics import mean_interval
from vgglib.plans import plan
from vgglib.results import Store

# The images, of four, that a net errs on. It is surer where it is right, so a pair errs where both nets err.
WRONG = {
    **{("D", 0): {0, 1}, ("D", 1): {1}, ("D", 2): {2, 3}},
    **{("E", 0): {0}, ("E", 1): {1, 2}, ("E", 2): {2}},
}


def trained(store, net, seed, images=4, **protocol):
    posteriors = [[0.4, 0.6] if image in WRONG[net, seed] else [0.9, 0.1] for image in range(images)]
    put(store, plan("smoke", "5", [net], [seed]), posteriors, **protocol)


def of(found, pairing, method="dense"):
    return found[(found["method"] == method) & (found["pairing"] == pairing)]


def lines(pairing, errors):
    """Lines of a pairing; `errors` by the seeds of its nets."""
    return pd.DataFrame(
        [
            {"method": "dense", "pairing": pairing, "seeds": set(seeds), "error": error, "difference": error - 30.0}
            for seeds, error in errors.items()
        ]
    )


def test_every_pair_by_pencil(store):
    for net, seed in WRONG:
        trained(store, net, seed)
    found = fusions.rows(store, "smoke")
    assert found.groupby(["method", "pairing"]).size().to_dict() == {
        (method, pairing): count
        for method in ("dense", "multi-crop")
        for pairing, count in {"D": 3, "E": 3, ONE_SEED: 3, TWO_SEEDS: 6, TWO_D: 3, TWO_E: 3}.items()
    }
    assert of(found, "D")["error"].tolist() == [50, 25, 50] and of(found, "E")["error"].tolist() == [25, 50, 25]
    assert of(found, ONE_SEED)[["error", "better", "difference"]].values.tolist() == [[25, 25, 0]] * 3
    # D of the first seed, E of the second: 0 and 1, 0 and 2, 1 and 0, 1 and 2, 2 and 0, 2 and 1.
    assert of(found, TWO_SEEDS)["error"].tolist() == [25, 0, 0, 0, 0, 25]
    assert of(found, TWO_SEEDS)["better"].tolist() == [50, 25, 25, 25, 25, 50]
    assert of(found, TWO_SEEDS)["seeds"].tolist() == [{0, 1}, {0, 2}, {0, 1}, {1, 2}, {0, 2}, {1, 2}]
    assert of(found, TWO_D)[["error", "better"]].values.tolist() == [[25, 25], [0, 50], [0, 25]]
    assert of(found, TWO_E)[["error", "better"]].values.tolist() == [[0, 25], [0, 25], [25, 25]]


def test_pairs_of_one_seed_are_the_ensemble_of_table_6(store):
    rng = np.random.default_rng(0)
    entries, labels = plan("smoke", "5", ["D", "E"], [0, 1]), rng.integers(0, 7, 40)
    for run in runs(entries):
        posteriors = rng.dirichlet(np.ones(7), 40).astype(np.float16)
        store.write(run, record(run, n_images=40), posteriors, labels)
    found, rows = fusions.rows(store, "smoke"), store.rows([*entries, *plan("smoke", "6", ["D", "E"], [0, 1])])
    for method in fusions.METHODS:
        own = rows[rows["method"] == method]
        for pairing, net in (("D", "D"), ("E", "E"), (ONE_SEED, "post-submission (2 nets)")):
            errors = own.loc[own["net"] == net, "top1_error_percent"].tolist()
            assert len(errors) == 2 and of(found, pairing, method)["error"].tolist() == errors


def test_only_seeds_with_both_nets_count_each_method_for_itself(store):
    for seed in (0, 1):
        trained(store, "D", seed)
        trained(store, "E", seed, method="dense")
    trained(store, "E", 0, method="multi-crop")  # one seed: no pair of two
    trained(store, "D", 2)
    for run in runs(plan("smoke", "5", ["E"], [2])):
        store.write(run, record(run, status="failed", error="the loss is nan", top1_error_percent=None))
    found = fusions.rows(store, "smoke")
    assert set(found["method"]) == {"dense"} and set().union(*found["seeds"]) == {0, 1}
    assert fusions.rows(store, "smoke", [0, 2]).empty
    assert fusions.rows(store, "demo").empty


def test_nets_tested_on_different_images_are_refused(store):
    for seed in (0, 1):
        trained(store, "D", seed)
        trained(store, "E", seed, labels=[seed] * 4)
    with pytest.raises(ValueError, match="the nets, dense, saw different images"):
        fusions.rows(store, "smoke")


def test_where_a_seed_has_one_line_the_jackknife_is_the_usual_interval():
    own = lines(ONE_SEED, {(0,): 10.0, (1,): 12.0, (5,): 17.0})
    assert pseudo_values(own, "error").to_dict() == pytest.approx({0: 10, 1: 12, 5: 17})


def test_the_jackknife_of_pairs_by_pencil():
    values = pseudo_values(lines(TWO_D, {(0, 1): 25.0, (0, 2): 0.0, (1, 2): 0.0}), "error")
    # Without seed 0, 1, 2 the mean is 0, 0, 25; of all it is 25 / 3.
    assert values.to_dict() == pytest.approx({0: 25, 1: 25, 2: -25})
    assert values.mean() == pytest.approx(25 / 3)
    textbook = math.sqrt(2 / 3 * ((25 / 3) ** 2 + (25 / 3) ** 2 + (50 / 3) ** 2))  # (n - 1) / n times squares
    assert values.sem() == pytest.approx(textbook)
    # t = 4.303 with 2 degrees of freedom
    assert mean_interval(values) == pytest.approx((25 / 3 - 4.3027 * textbook, 25 / 3 + 4.3027 * textbook), abs=1e-3)


@pytest.mark.parametrize("pairing", [TWO_D, TWO_SEEDS])
def test_pairs_that_share_nets_are_no_independent_evidence(pairing):
    nets = {0: 1.0, 1: 2.0, 2: 4.0, 3: 9.0}
    pairs = {(i, j): nets[i] + nets[j] for i in nets for j in nets if i < j or (i > j and pairing == TWO_SEEDS)}
    # What each seed adds to a sum of two counts twice, whatever the number of pairs.
    values = pseudo_values(lines(pairing, pairs), "error")
    assert values.to_dict() == pytest.approx({seed: 2 * value for seed, value in nets.items()})


def test_summary_and_exchanges_by_pencil():
    found = pd.concat(
        [
            lines("D", {(0,): 20.0, (1,): 21.0, (2,): 22.0}),
            lines(ONE_SEED, {(0,): 10.0, (1,): 11.0, (2,): 12.0}),
            lines(TWO_SEEDS, {pair: 8.0 for pair in ((0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1))}),
            lines(TWO_D, {(0, 1): 5.0, (0, 2): 5.0, (1, 2): 5.0}),
            lines(TWO_E, {(0, 1): 25.0, (0, 2): 0.0, (1, 2): 0.0}),
        ]
    )
    alone, one, two, _, last = fusions.summary(found).to_dict("records")
    # 10, 11, 12: standard error 1/sqrt(3) times 4.303 is 2.48.
    assert list(one.values()) == [
        "dense", ONE_SEED, "3", "3", "11.00 (8.52 to 13.48)", "-19.00 (-21.48 to -16.52)",
    ]  # fmt: skip
    assert (alone["Averaged"], alone["Minus the better net's"]) == ("D", "-")
    assert (two["Number"], two["Seeds"], two["Top-1 error"]) == ("6", "3", "8.00")
    assert last["Top-1 error"] == "8.33 (0.00 to 80.04)"  # as in the test above; no error is below 0
    seed, net, other = fusions.exchanges(found).to_dict("records")
    assert seed == {
        "Exchanged": "Another seed", "Difference": f"{TWO_SEEDS} - {ONE_SEED}", "dense": "-3.00 (-5.48 to -0.52)",
    }  # fmt: skip
    assert net["dense"] == "+3.00" and other["dense"] == "-0.33 (-72.04 to +71.38)"


def test_two_seeds_leave_no_interval_for_pairs_of_two(store):
    for seed in (0, 1):
        trained(store, "D", seed)
        trained(store, "E", seed)
    found = fusions.rows(store, "smoke")
    table = fusions.summary(found)[lambda table: table["Evaluation"] == "dense"].set_index("Averaged")
    assert table["Top-1 error"].to_dict() == {
        "D": "37.50 (0.00 to 100.00)", "E": "37.50 (0.00 to 100.00)", ONE_SEED: "25.00",
        TWO_SEEDS: "12.50", TWO_D: "25.00", TWO_E: "0.00",
    }  # fmt: skip
    assert fusions.exchanges(found)["dense"].tolist() == ["-12.50", "-12.50", "+12.50"]


def test_a_page_says_what_is_missing(store, monkeypatch):
    shown = []
    monkeypatch.setattr(show, "sentence", shown.append)
    monkeypatch.setattr(show, "table", lambda frame, caption: shown.append(frame.columns.tolist()))
    follow_ups.fusions_of("smoke")
    for seed in (0, 1):
        trained(store, "D", seed)
        trained(store, "E", seed, method="dense")
    follow_ups.fusions_of("smoke")
    follow_ups.fusions_of("smoke", [0])
    nothing, no_crops, summary, exchanges, one_seed = shown
    assert "with dense or with multi-crop evaluation: fewer than two seeds have records" in nothing
    assert "preset smoke" in nothing and "with multi-crop evaluation: fewer" in no_crops and "dense" not in no_crops
    assert summary[:2] == ["Evaluation", "Averaged"] and exchanges == ["Exchanged", "Difference", "dense"]
    assert "fewer than two of the seeds asked for (0) have records" in one_seed


def test_every_two_nets_of_the_first_stage_by_pencil(store):
    for net, seed in (("D", 0), ("D", 1), ("E", 0), ("E", 1)):
        posteriors = [[0.4, 0.6] if image in WRONG[net, seed] else [0.9, 0.1] for image in range(4)]
        put(store, plan("smoke", "3", [net], [seed], ["256"]), posteriors)
    put(store, plan("smoke", "3", ["A"], [2], ["256"]), [[0.9, 0.1]] * 4)  # no other net has its seed
    (line,) = fusions.first_stage(store, "smoke").to_dict("records")
    # Seed 0: the pair errs on image 0 as E does, 25 against 25; seed 1: on 1 as D does, 25 against 25.
    assert line == {
        "Averaged": "D and E",
        "Seeds": 2,
        "Top-1 error": "25.00",
        "Minus the better net's": "+0.00",
    }
    assert fusions.first_stage(Store(store.root / "none"), "smoke").empty
