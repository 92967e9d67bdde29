import math

import pandas as pd
import pytest
from rows import row_of

from vgglib.comparisons import ERROR, SECONDS, Arm, Comparison, Evidence, checked, paper_effect

A, D, E = (Arm("3", net) for net in "ADE")


def evidence(rows, *comparisons, measure=ERROR):
    return Evidence.of(checked(pd.DataFrame(rows)), comparisons or (Comparison(E, (A,)),), measure)


def test_arms_are_paired_by_seed():
    rows = [row_of(A, seed, top1) for seed, top1 in enumerate((40, 50, 60))]
    rows += [row_of(E, 1, 45), row_of(E, 0, 37), row_of(E, 2, status="not run")]
    found = evidence(rows)
    assert found.seeds == [0, 1] and found.differences.tolist() == [-3, -5]
    assert found.effect()["effect"] == -4 and found.status == "1 of 6 not run"


def test_comparisons_are_averaged_within_a_seed():
    rows = [row_of(net, seed, top1) for seed in (0, 1) for net, top1 in ((A, 40), (D, 36 - seed), (E, 34))]
    found = evidence(rows, Comparison(E, (A,)), Comparison(D, (A,)))
    assert found.differences.tolist() == [-5, -5.5] and found.status == "done"
    rows.pop()  # E of seed 1
    assert evidence(rows, Comparison(E, (A,)), Comparison(D, (A,))).differences.tolist() == [-5]


def test_of_several_baselines_each_seed_has_its_best():
    fused = Arm("6", "two", "", "")
    errors = {D: (30, 35), E: (32, 31), fused: (29, 28)}
    rows = [row_of(arm, seed, top1) for arm, own in errors.items() for seed, top1 in enumerate(own)]
    assert evidence(rows, Comparison(fused, (D, E))).differences.tolist() == [-1, -3]


def test_equal_differences_have_an_effect_and_no_interval():
    found = evidence([row_of(net, seed, error) for seed in (0, 1) for net, error in ((A, 40.0), (E, 35.0))])
    assert found.effect() == {"effect": -5, "low": None, "high": None, "seeds": 2}


def test_images_add_up_to_the_errors():
    rows = [row_of(A, 0, wrong="xx.."), row_of(E, 0, wrong="x..."), row_of(D, 0, wrong="...x")]
    found = evidence(rows, Comparison(E, (A,)), Comparison(D, (A,)))
    assert found.image_differences.tolist() == [[-50, -100, 0, 50]]
    assert found.image_differences.mean() == found.differences.mean() == -25


def test_ratios_of_seconds():
    rows = [row_of(A, 0, seconds=8.0), row_of(E, 0, seconds=2.0), row_of(A, 1, seconds=4.0), row_of(E, 1, seconds=4.0)]
    found = evidence(rows, measure=SECONDS)
    assert found.differences == pytest.approx([-math.log(4), 0])
    effect = found.effect()
    assert effect["effect"] == pytest.approx(0.5)
    assert math.sqrt(effect["low"] * effect["high"]) == pytest.approx(0.5)  # symmetric in logarithms
    untimed = evidence([row_of(A, 0, seconds=8.0), row_of(E, 0, seconds=None)], measure=SECONDS)
    assert untimed.seeds == [] and untimed.status == "1 of 2 not run"


def test_what_is_lacking_is_counted():
    # A seed that neither arm has a row of is nothing that is missing.
    assert evidence([row_of(A, 0), row_of(E, 0), row_of(D, 1)]).status == "done"
    assert evidence([row_of(D, 0), row_of(D, 1)]).status == "4 of 4 not run"
    assert evidence([]).status == "2 of 2 not run" and evidence([]).effect()["effect"] is None
    assert evidence([row_of(A, 0), row_of(A, 1)]).undecidable.why == "no seed is complete: 2 of 4 not run"
    failed = evidence([row_of(A, 0), row_of(E, 0), row_of(A, 1), row_of(E, 1, status="failed")])
    assert failed.undecidable.why == "1 failed run(s) have no error to compare" and failed.status == "1 of 4 failed"
    assert "one seed" in evidence([row_of(A, 0), row_of(E, 0)]).undecidable.why
    assert evidence([row_of(A, 0), row_of(E, 0), row_of(A, 1), row_of(E, 1)]).undecidable is None


def test_the_same_row_twice_is_one_and_two_answers_are_refused():
    rows = [row_of(A, 0, 40), row_of(E, 0, 38)]
    assert evidence(rows + rows).differences.tolist() == [-2]
    with pytest.raises(ValueError, match="E, S = 256, Q = 256 has two different results for seed 0"):
        evidence([*rows, row_of(E, 0, 30)])
    with pytest.raises(ValueError, match="two different results"):
        evidence([*rows, row_of(E, 0, 38, start="A")])
    with pytest.raises(ValueError, match=r"several presets \(demo, smoke\)"):
        evidence([*rows, row_of(A, 0, 40, preset="smoke")])


def test_nets_of_different_images_and_nets_without_seeds_are_not_compared():
    rows = [row_of(A, 0) | {"environment": {"data_sha256": 64 * "a"}}, row_of(E, 0)]
    assert evidence(rows).seeds == [0]  # of one, nothing is known
    rows[1] |= {"environment": {"data_sha256": 64 * "b"}}
    with pytest.raises(
        ValueError, match=r"E, S.* seed 0 \(digest b{12}\) and A, S.* seed 0 \(digest a{12}\) saw differ"
    ):
        evidence(rows)
    with pytest.raises(ValueError, match="A, S = 256, Q = 256 has a net without a seed, which others trained"):
        evidence([row_of(A, None), row_of(E, 0)])


def test_an_arm_can_ask_for_a_start():
    grown, glorot = (Arm("starts", "E", start=start) for start in ("A", "glorot"))
    rows = [row_of(grown, 0, 30), row_of(glorot, 0, 31)]
    found = evidence(rows, Comparison(grown, (glorot,)))
    assert found.differences.tolist() == [-1] and found.head_start == ""


def test_seconds_are_compared_on_one_device_alone():
    crops, dense = Arm("5", "D", method="multi-crop"), Arm("5", "D")
    one, two, gpu = (frozenset({on}) for on in (("cpu", "CPU", 1, 1), ("cpu", "CPU", 2, 1), ("cuda", "GPU", 1, 1)))
    times = [(crops, 9, one), (dense, 2, one), (crops, 8, one), (dense, 1, one), (crops, 8, one), (dense, 1, gpu)]
    rows = [row_of(arm, place // 2, seconds=took) | {"timed_on": on} for place, (arm, took, on) in enumerate(times)]
    found = evidence(rows, Comparison(dense, (crops,)), measure=SECONDS)
    assert found.seeds == [0, 1] and found.undecidable is None
    assert found.timed_apart == "seed 2 left out, timed on different devices or threads, or in different precisions"
    # Each of two tests that make a number, on a device of its own.
    apart = [one_row | {"timed_on": two | one_row["timed_on"]} for one_row in rows]
    found = evidence(apart, Comparison(dense, (crops,)), measure=SECONDS)
    assert found.undecidable.verdict == "undecided" and "seeds 0, 1, 2 left out" in found.undecidable.why
    found = evidence(apart, Comparison(dense, (crops,)))  # errors are the same wherever they are found
    assert found.undecidable is None and found.timed_apart == ""


def test_pairs_of_different_devices_are_named():
    on = {kind: {"environment": {"precision": "bf16", "device": kind, "trained_in": None}} for kind in ("cpu", "cuda")}
    elsewhere = {"environment": {"precision": "bf16", "device": "cpu", "trained_in": "bf16 on cuda, compiled"}}
    rows = [row_of(A, 0) | on["cpu"], row_of(E, 0) | on["cpu"], row_of(A, 1) | on["cpu"], row_of(E, 1) | on["cuda"]]
    assert evidence(rows[:2]).mixed_devices == ""
    assert evidence(rows).mixed_devices == "for seed 1 the two nets were trained on different kinds of device"
    rows += [
        row_of(A, 2) | elsewhere,
        row_of(E, 2) | on["cpu"],
        row_of(A, 3) | on["cuda"],
        row_of(E, 3) | {"environment": {}},
    ]
    assert evidence(rows).mixed_devices.startswith("for seeds 1, 2 the two nets")


def test_a_head_start_is_named_where_only_one_net_has_it():
    assert evidence([row_of(A, 0), row_of(E, 0, start="A")]).head_start == "E has A's training behind it, A has not"
    assert evidence([row_of(A, 0, start="A"), row_of(E, 0)]).head_start == "A has A's training behind it, E has not"
    assert evidence([row_of(A, 0), row_of(E, 0)]).head_start == ""
    fused = Arm("6", "two", "", "")
    assert evidence([row_of(fused, 0, start=""), row_of(E, 0, start="A")], Comparison(fused, (E,))).head_start == ""


def test_the_papers_effect_is_computed_alike():
    jittered = [Arm("5", net, "256-512", "256 384 512") for net in "DE"]
    two = Arm("6", "post-submission (2 nets)", "", "")
    assert paper_effect((Comparison(E, (A,)),)) == pytest.approx(27.3 - 29.6)
    assert paper_effect((Comparison(E, (A,)), Comparison(E, (D,)))) == pytest.approx((-2.3 + 0.3) / 2)
    assert paper_effect((Comparison(A, (D, E)),)) == pytest.approx(29.6 - 27.0)
    assert paper_effect((Comparison(two, tuple(jittered)),)) == pytest.approx(24.0 - 24.8)
    assert paper_effect((Comparison(Arm("5x5", "B"), (Arm("5x5", "B-5x5"),)),)) is None
    assert paper_effect((Comparison(Arm("starts", "E", start="A"), (Arm("starts", "E", start="glorot"),)),)) is None
    assert paper_effect(()) is None
