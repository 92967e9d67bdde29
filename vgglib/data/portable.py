"""Functions of float32 arrays that round alike on all processors: drawn pictures are to be the same everywhere.

NumPy's own take other code with AVX-512 than without it, or the system's, and differ in last digits. Its `sin` and
`cos` of float32 need no double here: they are one algorithm wherever multiply-adds are fused (x86 with AVX2 and FMA,
64-bit ARM).
"""

import numpy as np

Array = np.ndarray

# atan(q) = q P(q^2) on [-1, 1], the coefficient of the highest power first. The choice and the order of operations are
# those of NumPy's AVX-512 code (Intel's SVML), with which the first pictures were drawn.
ATAN_EVEN = np.float32([0.0027187318, 0.041934505, 0.10614863, 0.19991921, 1])  # of q^16, q^12, ...
ATAN_ODD = np.float32([-0.01557307, -0.07444412, -0.14197528, -0.33333042])  # of q^14, q^10, ...
PI, HALF_PI = np.float32(np.pi), np.float32(np.pi / 2)


def hypot(x: Array, y: Array) -> Array:
    """sqrt(x^2 + y^2) of two float32 arrays that broadcast, computed in float64 and rounded to float32."""
    return np.sqrt(np.square(x, dtype=np.float64) + np.square(y, dtype=np.float64)).astype(np.float32)


def arctan2(y: Array, x: Array) -> Array:
    """The angle of (x, y) in radians, from -pi to pi, of two float32 arrays that broadcast, as float32; within 4e-7,
    and arbitrary where both are zero.
    """
    tall = np.abs(y) >= np.abs(x)
    over = np.where(tall, -np.abs(x), np.abs(y))
    under = np.where(tall, np.abs(y), np.abs(x))
    q = over / np.where(under == 0, np.float32(1), under)
    square = q * q
    even, odd = (_horner(half, square * square) for half in (ATAN_EVEN, ATAN_ODD))
    angle = _fused(q, _fused(square, odd, even), np.where(tall, HALF_PI, np.float32(0)))
    return np.copysign(np.where(x < 0, PI - angle, angle), y)


def _horner(coefficients: Array, x: Array) -> Array:
    value = coefficients[0]
    for coefficient in coefficients[1:]:
        value = _fused(x, value, coefficient)
    return value


def _fused(a: Array, b: Array, c: Array) -> Array:
    """a b + c with an exact product, that of two float32 in float64, rounded to float32 at the end."""
    return (np.multiply(a, b, dtype=np.float64) + c).astype(np.float32)
