import pytest

from vgglib.analysis import by_hand
from vgglib.plans import first_stage


@pytest.mark.parametrize(
    "settings, expected",
    [
        ({"epochs": 48}, ""),  # the preset's rule
        ({"epochs": 48, "patience": 5}, "patience 5"),
        ({"epochs": 48, "patience": 48}, "drops at the deadlines"),
        ({"epochs": 48, "patience": 48, "drop_deadlines": []}, "a rate that never drops"),
    ],
)
def test_what_makes_the_rate_drop(settings, expected):
    assert by_hand.drops(first_stage("demo", "A", **settings).experiment, settings) == expected
