import numpy as np
import pytest

from vgglib.ensemble import mean_posteriors


def test_the_mean_of_two_members():
    members = [np.array([[0.75, 0.25]], np.float16), np.array([[0.25, 0.75]], np.float16)]
    assert mean_posteriors(members).tolist() == [[0.5, 0.5]]
    assert mean_posteriors(members[:1]).tolist() == [[0.75, 0.25]]


def test_a_member_counts_as_often_as_it_is_named():
    a, b = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])
    assert mean_posteriors([a, a, a, b]).tolist() == [[0.75, 0.25]]


def test_members_are_added_up_as_numpy_would():
    members = np.random.default_rng(0).random((5, 7, 3)).astype(np.float16)
    assert np.array_equal(mean_posteriors(list(members)), members.astype(float).mean(0))
    assert np.array_equal(mean_posteriors(iter(members)), members.astype(float).mean(0))


def test_what_cannot_be_averaged_is_refused():
    with pytest.raises(ValueError, match=r"shapes \(2, 3\) and \(1, 3\) cannot be averaged"):
        mean_posteriors([np.zeros((2, 3)), np.zeros((1, 3))])
    with pytest.raises(ValueError, match=r"a member has shape \(3,\): give a list of arrays \(N, classes\)"):
        mean_posteriors(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="no posteriors to average"):
        mean_posteriors([])
