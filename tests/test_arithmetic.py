import pandas as pd
import pytest
from records import planned, recorded

from vgglib import arithmetic, show
from vgglib.display import follow_ups


def trained(store, precision, errors, net="A", asked="auto", where=None, **settings):
    """A record for each seed with the error that it came to, whatever precision was asked for."""
    environment = {"precision": precision, "device": "cpu", "data_sha256": "abc", **(where or {})}
    for seed, error in errors.items():
        (run,) = planned(nets=[net], seeds=[seed], train_scales=["256"], precision=asked, **settings)
        recorded(store, run, top1_error_percent=error, environment=environment)


def pair(net, seed, bf16, fp32):
    return {"net": net, "seed": seed, "bf16": bf16, "fp32": fp32}


def test_a_pair_is_one_training_in_both(store):
    trained(store, "bf16", {0: 10.0, 1: 20.0, 2: 30.0})
    trained(store, "fp32", {1: 19.0, 0: 9.5, 3: 8.0}, asked="fp32")
    trained(store, "fp32", {2: 1.0}, asked="fp32", width=0.5)  # another net
    assert arithmetic.pairs(store, "demo").values.tolist() == [["A", 0, 10.0, 9.5, True], ["A", 1, 20.0, 19.0, True]]


def test_only_the_presets_own_recipe_makes_pairs(store):
    trained(store, "bf16", {0: 10.0, 1: 11.0}, net="D")  # begun from an A in "auto"
    trained(store, "fp32", {0: 12.0, 1: 13.0}, net="D", asked="fp32")  # from one in fp32
    for asked, used in (("auto", "bf16"), ("fp32", "fp32")):
        trained(store, used, {0: 50.0, 1: 51.0}, net="D", asked=asked, from_a=False)
        trained(store, used, {0: 60.0, 1: 61.0}, net="A", asked=asked, epochs=48)
    assert arithmetic.pairs(store, "demo").values.tolist() == [["D", 0, 10.0, 12.0, True], ["D", 1, 11.0, 13.0, True]]


def test_a_net_of_which_one_seed_was_done_in_both_does_not_count(store):
    for used, asked, more in (("bf16", "auto", 0.0), ("fp32", "fp32", 0.01)):
        trained(store, used, {0: 10.0 - more, 1: 11.0 + more, 2: 12.0}, asked=asked)
        trained(store, used, {0: 10.0}, net="E", asked=asked)
    found = arithmetic.pairs(store, "demo")
    assert set(found["net"]) == {"A"} and arithmetic.finding(found).startswith("the same in both")


def test_another_device_and_other_roundings_make_no_pair(store):
    trained(store, "bf16", {0: 10.0, 1: 11.0}, where={"device": "cuda"})
    trained(store, "fp32", {0: 10.0, 1: 11.0}, asked="fp32")
    trained(store, "bf16", {0: 10.0, 1: 11.0}, net="D", where={"bf16_gradients": True})
    trained(store, "fp32", {0: 10.0, 1: 11.0}, net="D", asked="fp32")
    trained(store, "bf16", {0: 10.0, 1: 11.0}, net="E", where={"updates_compiled": True})
    trained(store, "fp32", {0: 10.0, 1: 11.0}, net="E", asked="fp32")
    assert arithmetic.pairs(store, "demo").empty


def test_the_arithmetic_is_that_of_the_training_wherever_the_net_was_tested(store):
    here = {"precision": "fp32", "device": "cpu", "units": "fp32"}
    there = here | {"trained_in": "bf16 on cuda, compiled", "updates_compiled": True}
    assert arithmetic.trained_on(here) == ("fp32", "cpu") and not arithmetic.tested_elsewhere(here)
    assert not arithmetic.tested_elsewhere(here | {"trained_in": "fp32 on cpu"})
    assert arithmetic.trained_on(there) == ("bf16", "cuda") and arithmetic.tested_elsewhere(there)
    assert arithmetic.of(there) == "bf16, compiled" and arithmetic.of(here) == "fp32"
    trained(store, "fp32", {0: 10.0, 1: 11.0}, where={"trained_in": "bf16 on cpu"})
    trained(store, "fp32", {0: 12.0, 1: 13.0}, asked="fp32")
    assert arithmetic.pairs(store, "demo").values.tolist() == [["A", 0, 10.0, 12.0, True], ["A", 1, 11.0, 13.0, True]]


def test_images_of_another_digest_are_told(store, monkeypatch):
    trained(store, "bf16", {0: 10.0, 1: 11.0})
    trained(store, "fp32", {0: 10.0, 1: 11.0}, asked="fp32", where={"data_sha256": "def"})
    assert not arithmetic.pairs(store, "demo")["same_images"].any()
    said = []
    monkeypatch.setattr(show, "sentence", said.append)
    monkeypatch.setattr(show, "table", lambda *content: None)
    follow_ups.arithmetic_of("demo")
    assert "not equal to the last bit" in said[0]


def test_failed_trainings_and_other_tests_make_no_pair(store):
    trained(store, "bf16", {0: 10.0, 1: 11.0})
    for seed in (0, 1):
        (run,) = planned(seeds=[seed], precision="fp32")
        environment = {"precision": "fp32", "device": "cpu"}
        recorded(store, run, status="failed", top1_error_percent=None, environment=environment)
        (run,) = planned(table="crops", seeds=[seed], precision="fp32")
        recorded(store, run, environment=environment)
    assert arithmetic.pairs(store, "demo").empty


def test_summary_by_pencil():
    found = pd.DataFrame([pair("A", seed, 10.0 * (seed + 1), 9.0 * (seed + 1)) for seed in range(3)])
    (line,) = arithmetic.summary(found).to_dict("records")
    # Differences 1, 2, 3: mean 2, standard error 1/sqrt(3), t = 4.303 with 2 degrees of freedom.
    assert [line[key] for key in ("Seeds", "bf16 - fp32", "95 % interval")] == ["3", "+2.00", "-0.48 to +4.48"]
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
        ((2.0, 2.0, 2.0), "undecided: neither"),  # no spread: no test
        ((0.0, 0.0, 0.0), "undecided: neither"),
        ((5.0,), "fewer than two seeds"),
    ],
)
def test_finding(differences, text):
    found = pd.DataFrame([pair("A", seed, 20.0 + one, 20.0) for seed, one in enumerate(differences)])
    assert text in arithmetic.finding(found)


def test_a_page_shows_the_pairs_or_says_that_there_are_none(store, monkeypatch):
    said, shown = [], []
    monkeypatch.setattr(show, "sentence", said.append)
    monkeypatch.setattr(show, "table", lambda frame, caption: shown.append(frame))
    trained(store, "bf16", {0: 10.0, 1: 11.0})
    follow_ups.arithmetic_of("demo")
    assert not shown and said[0].startswith("No net of preset demo has records of two seeds in both")
    trained(store, "fp32", {0: 10.01, 1: 10.99}, asked="fp32")
    follow_ups.arithmetic_of("demo")
    assert shown[0]["Net"].tolist() == ["A"] and said[-1].endswith("**the same in both, within 0.5 points**.")
