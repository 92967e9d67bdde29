from itertools import product

import numpy as np
import pytest
from scipy import stats

from vgglib.statistics import (
    bootstrap_interval,
    difference_p,
    equivalence_p,
    holm,
    lower,
    mcnemar_p,
    no_better,
    probability_text,
    seeds_needed,
    sign_flip_p,
)

# Student (1908): extra hours of sleep under two drugs.
FIRST = np.array([0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0])
SECOND = np.array([1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4])


def test_students_sleep_data():
    # R's t.test(paired = TRUE): t = -4.0621 with 9 degrees of freedom, p = 0.002833.
    decision = lower(FIRST - SECOND)
    assert decision.p_value == pytest.approx(0.002833, abs=1e-6) and decision.verdict == "reproduced"
    assert lower(SECOND - FIRST)[:2] == ("opposite", decision.p_value)


def test_noise_is_undecided():
    assert lower(np.array([-1.0, 2.0, -2.0])).verdict == "undecided"
    assert lower(np.array([-1.0, 2.0, -2.0]), none="1").why == "the interval contains 1"


@pytest.mark.parametrize("decide", [lower, no_better])
def test_equal_differences_have_no_spread_to_test(decide):
    assert decide(np.array([39.95 - 40, 40.95 - 41]))[:2] == ("undecided", None)


@pytest.mark.parametrize(
    "differences, verdict",
    [
        ([0.1, -0.1, 0.05, -0.05], "reproduced"),  # equivalent
        ([2.0, 2.1, 1.9, 2.0], "a loss"),
        ([-2.0, -2.1, -1.9, -2.0], "opposite"),  # better
        ([-0.2, -0.21, -0.19, -0.2], "reproduced"),  # better, by less than the margin
        ([3.0, -3.0, 2.0, -1.0], "undecided"),
    ],
)
def test_no_better_is_a_claim_of_equality(differences, verdict):
    assert no_better(np.array(differences)).verdict == verdict


def test_an_undecided_equality_says_how_many_seeds_it_would_take():
    # Differences 1 and -1 have a standard deviation of sqrt(2): d = 0.35, of which each one-sided test misses a tenth.
    needed = seeds_needed(0.5, 2**0.5, 0.05, 0.9)
    assert f"would take {needed} seeds even of equal nets" in no_better(np.array([1.0, -1.0])).why
    assert "would take more than 1000 seeds" in no_better(np.array([30.0, -30.0])).why


def test_a_loss_is_told_from_equality():
    assert no_better(np.array([2.0, 2.1, 1.9, 2.0])).why == "the interval lies above 0: no gain, and no equality either"
    assert no_better(np.array([-2.0, -2.1, -1.9, -2.0])).why == "the interval lies below 0"


def test_equivalence_is_two_one_sided_tests():
    differences = np.array([0.2, -0.1, 0.3, 0.05, -0.15])
    above = stats.ttest_1samp(differences, -0.5, alternative="greater").pvalue
    below = stats.ttest_1samp(differences, 0.5, alternative="less").pvalue
    assert no_better(differences).p_value == pytest.approx(max(above, below))
    wide = stats.ttest_1samp(differences, 0.1, alternative="less").pvalue
    assert no_better(differences, margin=0.1).p_value == pytest.approx(wide)


def test_a_verdict_of_difference_has_the_p_value_of_the_difference():
    differences = np.array([2.0, 2.1, 1.9, 2.0])
    assert no_better(differences).p_value == pytest.approx(stats.ttest_1samp(differences, 0).pvalue)


def test_holms_correction_by_hand():
    # Sorted: 0.005 x 4, 0.01 x 3, 0.03 x 2, then 0.04 x 1, which may not be less than the one before.
    corrected = holm([0.01, 0.04, 0.03, 0.005])
    assert corrected == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([None, None]) == [None, None]
    with pytest.raises(ValueError, match="a family of 0 p values"):
        holm([])


def test_what_was_not_run_makes_no_other_p_value_smaller():
    # Five in the family: 0.005 x 5, 0.01 x 4, 0.03 x 3, then 0.04 x 2, which may not be less than the one before.
    corrected = holm([0.01, None, 0.04, 0.03, 0.005])
    assert corrected.pop(1) is None and corrected == pytest.approx([0.04, 0.09, 0.09, 0.025])
    assert [holm([0.01, other])[0] for other in (None, 0.5, 1.0)] == pytest.approx([0.02] * 3)
    assert holm([0.01, 0.001])[0] == pytest.approx(0.01)  # a smaller one that was run does


def test_flipped_signs_by_hand():
    # Of eight ways to flip three signs, two have a mean as far from 0 as 1, 2, 3 itself; of -1, 2, 3 four have.
    assert sign_flip_p(np.array([1.0, 2.0, 3.0])) == sign_flip_p(np.array([-1.0, -2.0, -3.0])) == pytest.approx(2 / 8)
    assert sign_flip_p(np.array([-1.0, 2.0, 3.0])) == pytest.approx(4 / 8)
    assert sign_flip_p(np.full(8, -5.0)) == pytest.approx(2 / 2**8)


def test_ways_to_flip_that_are_equal_by_pencil_and_paper_count_as_equal():
    # In images these differ by 5 in sum, and so do, or by more, 218 of the 256 ways: counted in whole numbers.
    before, more = np.array([226, 161, 388, 300, 163, 249, 155, 397]), np.array([-1, 14, -2, 2, -3, -10, 2, -7])
    sums = [abs(np.dot(signs, more)) for signs in product((-1, 1), repeat=8)]
    expected = sum(total >= abs(more.sum()) for total in sums) / 256
    assert sign_flip_p((before + more) / 10 - before / 10) == expected == 218 / 256


def test_a_difference_has_the_p_values_of_both_its_tests():
    assert difference_p(np.array([1.0, 2.0, 3.0])) == (pytest.approx(0.0742, abs=5e-5), pytest.approx(2 / 8))
    assert difference_p(np.array([2.0, 2.0])) == (None, pytest.approx(2 / 4))
    assert difference_p(np.array([2.0])) is None and difference_p(np.empty(0)) is None


def test_mcnemars_exact_test_on_the_approval_ratings():
    # Agresti (1990), p. 350: 794 approve twice, 150 only at first, 86 only later, 570 never; exact p = 3.716e-05.
    first = np.repeat([True, True, False, False], [794, 150, 86, 570])
    second = np.repeat([True, False, True, False], [794, 150, 86, 570])
    assert mcnemar_p(first, second) == mcnemar_p(second, first) == pytest.approx(3.716e-05, rel=1e-4)


def test_mcnemars_exact_test_by_hand():
    # Four images, all judged differently and all for the second: 2 x (1/2)^4. Agreement says nothing.
    wrong = np.array([True] * 4 + [False] * 6)
    assert mcnemar_p(wrong, np.zeros(10, bool)) == pytest.approx(0.125)
    assert mcnemar_p(wrong, wrong) == 1


@pytest.mark.parametrize("decide", [lower, no_better, equivalence_p, sign_flip_p])
def test_no_differences_are_no_evidence(decide):
    with pytest.raises(ValueError, match="0 differences leave nothing to test"):
        decide(np.empty(0))


@pytest.mark.parametrize("count", [1, 5])  # one answer would be compared with each of the four
def test_answers_about_other_images_are_not_compared(count):
    with pytest.raises(ValueError, match=rf"shapes \(4,\) and \({count},\): both must be of the same images"):
        mcnemar_p(np.ones(4, bool), np.zeros(count, bool))


@pytest.mark.parametrize("shape", [(5,), (0, 5), (2, 0), (1, 2, 3)])
def test_the_bootstrap_takes_seeds_and_images(shape):
    with pytest.raises(ValueError, match=rf"differences have shape \({shape[0]},.*give \(seeds, images\)"):
        bootstrap_interval(np.zeros(shape))


def test_the_bootstraps_variance_is_that_of_both_factors():
    # d = a_seed + b_image: the mean of a two-way resample has the variance var(a) / seeds + var(b) / images.
    seed, image = np.linspace(-3, 3, 30), np.linspace(-5, 5, 50)
    low, high = bootstrap_interval(seed[:, None] + image, resamples=4000)
    spread = 1.96 * np.sqrt(seed.var() / 30 + image.var() / 50)
    assert (low, high) == pytest.approx((-spread, spread), rel=0.06)


def test_one_seed_resamples_images_alone():
    wrong = np.repeat([0.0, 1.0], 50)
    low, high = bootstrap_interval(wrong[None])
    assert (low, high) == pytest.approx(tuple(stats.binom(100, 0.5).ppf([0.025, 0.975]) / 100), abs=0.011)
    assert bootstrap_interval(wrong[None]) == (low, high)  # the draws are seeded
    assert bootstrap_interval(np.zeros((1, 9))) == bootstrap_interval(np.zeros((2, 9))) == (0, 0)


def test_the_bootstrap_covers_what_images_alone_miss():
    rng = np.random.default_rng(0)
    both = alone = 0
    for _ in range(40):
        differences = rng.normal(size=(20, 1)) + rng.normal(size=80) + rng.normal(size=(20, 80))
        low, high = bootstrap_interval(differences, resamples=200)
        both += low < 0 < high
        low, high = bootstrap_interval(differences[:1], resamples=200)  # one net, and its own luck
        alone += low < 0 < high
    assert both >= 34 and alone <= 20


def test_a_p_value_is_never_shown_as_zero():
    shown = [probability_text(p_value) for p_value in (None, 0.0, 0.0009, 0.001, 0.25)]
    assert shown == ["-", "< 0.001", "< 0.001", "0.001", "0.250"]
