import numpy as np
import pytest

from vgglib.metrics import error_percent, interval_percent, interval_text, mean_interval, wrong

POSTERIORS = np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7], [0.2, 0.3, 0.5], [0.6, 0.3, 0.1]])


def test_top_k_by_hand():
    labels = np.array([0, 2, 1, 2])  # ranks 1, 1, 2, 3
    assert wrong(POSTERIORS, labels, 1).tolist() == [False, False, True, True]
    assert [error_percent(POSTERIORS, labels, k) for k in (1, 2, 3)] == [50, 25, 0]


def test_a_tie_counts_against_the_net():
    same = np.full((4, 3), 1 / 3)
    assert [error_percent(same, np.zeros(4, int), k) for k in (1, 2, 3)] == [100, 100, 0]
    assert wrong(np.array([[0.4, 0.4, 0.2]]), np.array([0]), 1).tolist() == [True]
    assert wrong(np.array([[0.4, 0.4, 0.2]]), np.array([0]), 2).tolist() == [False]


def test_posteriors_that_are_not_numbers_are_wrong():
    assert wrong(np.full((1, 3), np.nan), np.array([0]), 1).tolist() == [True]


def test_different_lengths_are_refused():
    with pytest.raises(ValueError, match="4 posteriors were given for 3 labels"):
        error_percent(POSTERIORS, np.zeros(3, int))


@pytest.mark.parametrize("label", [-1, 3])
def test_a_label_that_is_no_class_is_refused(label):
    with pytest.raises(ValueError, match=f"label {label} is none of the 3 classes: take labels from 0 to 2"):
        error_percent(POSTERIORS, np.array([0, 2, label, 1]))


@pytest.mark.parametrize("values", [[], [40.0]])
def test_an_interval_of_fewer_than_two_values_is_refused(values):
    with pytest.raises(ValueError, match=f"two values or more, not {len(values)}"):
        mean_interval(values)


def test_equal_values_have_no_interval():
    assert np.isnan(mean_interval([40.0, 40.0 + 1e-12, 40.0])).all() and interval_text([40.0, 40.0]) == "-"


def test_wilson_interval_of_a_published_example():
    # Newcombe (1998): 81 of 263 has the Wilson score interval 0.2553 to 0.3662.
    low, high = interval_percent(100 * 81 / 263, 263)
    assert (low, high) == pytest.approx((25.53, 36.62), abs=0.005)
    # A mean over two seeds, 2 and 3 wrong of 42: Wilson's formula with 2.5.
    assert interval_percent(100 * 2.5 / 42, 42) == pytest.approx((1.86, 17.42), abs=0.01)
    assert interval_percent(0, 100)[0] == pytest.approx(0, abs=1e-12)
    lows, highs = interval_percent(np.array([100 * 81 / 263, 100]), np.array([263, 4]))
    assert (lows[0], highs[0]) == (low, high) and lows[1] < highs[1] == 100


def test_an_interval_that_says_nothing_is_a_dash():
    # 1, 2, 3: standard error 1/sqrt(3), t = 4.303.
    assert (
        interval_text([1, 2, 3], "+.2f") == "-0.48 to +4.48" and interval_text([1, 2, 3], limits=(0, 4)) == "0.0 to 4.0"
    )
    assert {interval_text(values) for values in ([], [1.0], [40.0, 40.0], [1.0, float("nan")])} == {"-"}
