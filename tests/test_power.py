import math

import numpy as np
import pandas as pd
import pytest
from rows import LRN, compared
from scipy import stats

from vgglib.analysis import power
from vgglib.statistics import seeds_needed


def test_seeds_needed_as_tables_of_power_have_it():
    # Cohen's d = 0.5, one-sided 0.025 (two-sided 0.05), power 0.8: 34 pairs; d = 0.8: 15.
    assert seeds_needed(0.5, 1.0, 0.025) == 34
    assert seeds_needed(-1.6, 2.0, 0.025) == 15
    assert seeds_needed(1000.0, 1.0, 0.025) == 2
    assert seeds_needed(0.001, 1.0, 0.025) is None


def test_seeds_needed_is_the_smallest_number_that_suffices():
    # The noncentral t distribution, straight from scipy.
    def chance(n):
        return stats.nct.sf(stats.t.ppf(0.99, n - 1), n - 1, 0.7 * math.sqrt(n))

    needed = seeds_needed(0.7, 1.0, 0.01)
    assert chance(needed) >= 0.8 > chance(needed - 1)


def test_what_would_decide_an_undecided_claim():
    rows = pd.concat([compared(-1.0, 1.0, 2.0), compared(-0.2, 0.3, 0.1, treatment=LRN)], ignore_index=True)
    lrn, depth = power.to_decide(rows).to_dict("records")
    sd = np.std([-1, 1, 2], ddof=1)  # 1.53
    assert (depth["Seeds so far"], depth["Spread between seeds, points"]) == (3, "1.53")
    assert (depth["Size claimed"], depth["Size seen here"]) == ("-2.3", "+0.67")
    # Fifteen claims can be tested, so the smallest p value must be below 0.05 / 15, two-sided.
    assert depth["Seeds for that"] == str(seeds_needed(2.3, sd, 0.05 / 30))
    assert depth["Seeds for this"] == str(seeds_needed(2 / 3, sd, 0.05 / 30))
    small = np.std([-0.2, 0.3, 0.1], ddof=1)
    assert lrn["Size claimed"] == "within 0.5"
    assert lrn["Seeds for that"] == str(seeds_needed(0.5, small, 0.05 / 15, 0.9))
    # The mean, 0.067, lies inside of the margin: what is left to its end, 0.433, is to be shown, and no difference.
    assert lrn["Size seen here"] == "+0.07"
    assert lrn["Seeds for this"] == str(seeds_needed(0.5 - 0.2 / 3, small, 0.05 / 15, 0.9))


def test_decided_and_untested_claims_need_no_seeds():
    assert power.to_decide(compared(-9.0, -9.1, -8.9)).empty
    assert power.to_decide(compared(-1.0)).empty


def test_how_well_three_seeds_know_their_spread():
    # chi2 with 2 degrees of freedom is exponential with mean 2: quantiles -2 ln(1 - q).
    low, high = power.spread_known_within(3)
    assert low == pytest.approx(math.sqrt(2 / (-2 * math.log(0.025))))
    assert high == pytest.approx(math.sqrt(2 / (-2 * math.log(0.975))))
