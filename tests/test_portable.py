import math

import numpy as np
import pytest

from vgglib.data import portable


def planes():
    rng = np.random.default_rng(0)
    return (rng.standard_normal((2, 100_000)) * 10.0 ** rng.integers(-6, 3, 100_000)).astype(np.float32)


@pytest.mark.parametrize(
    ("y", "x", "expected"),
    [
        *((0, 1, 0), (0, -1, math.pi), (1, 0, math.pi / 2), (-1, 0, -math.pi / 2), (1, -0.0, math.pi / 2)),
        *((1, 1, math.pi / 4), (1, -1, 3 * math.pi / 4), (-1, -1, -3 * math.pi / 4), (-1, 1, -math.pi / 4)),
        *((-0.0, 1, 0), (-0.0, -1, -math.pi), (1e-30, 1, 1e-30), (1, 1e-30, math.pi / 2)),
    ],
)
def test_known_angles(y, x, expected):
    assert portable.arctan2(np.float32([y]), np.float32([x]))[0] == pytest.approx(expected, rel=2e-7)


def test_angles_are_right_in_every_direction():
    y, x = planes()
    found = portable.arctan2(y, x)
    assert found.dtype == np.float32
    assert np.abs(found - np.arctan2(y.astype(float), x.astype(float))).max() < 4e-7


def test_the_origin_has_some_angle_and_columns_meet_rows():
    assert np.isfinite(portable.arctan2(np.float32([0.0]), np.float32([0.0]))).all()
    y, x = np.float32([[1.0], [-1.0]]), np.float32([1.0, 2.0, -1.0])
    assert portable.arctan2(y, x).shape == portable.hypot(y, x).shape == (2, 3)


def test_a_hypotenuse_is_right_to_the_last_digit():
    y, x = planes()
    found = portable.hypot(y, x)
    assert found.dtype == np.float32
    assert found.tolist() == [np.float32(math.hypot(*sides)) for sides in zip(y.tolist(), x.tolist(), strict=True)]
    assert portable.hypot(np.float32([3.0]), np.float32([-4.0])) == 5


def test_products_are_exact():
    fine = np.float32(1 + 2**-12)  # its square is 1 + 2^-11 + 2^-24, the last term below float32's last digit
    assert portable._fused(fine, fine, np.float32(-1)) == np.float32(2**-11 + 2**-24)
    assert fine * fine - np.float32(1) == np.float32(2**-11)
