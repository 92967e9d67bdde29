"""What `shapes` draws: outlines by their signed distance, and textures, each a formula of the coordinates."""

from collections.abc import Callable
from math import cos, hypot, sin, sqrt, tau

import numpy as np

from vgglib.data import portable

Array = np.ndarray

# Outlines. Each takes coordinates in units of the thing's radius and gives the signed distance to the edge
# (negative inside), exact near the edge, which is where it is used. HULL holds circles (x, y, radius)
# whose convex hull is that of the shape: the box follows from them.

TRIANGLE_INRADIUS = 0.6
STAR_TIP, STAR_NOTCH = 1.1, 0.5
HEART_SIZE = 0.8
CROSS_HALF_WIDTH = 0.36
DOT_RADIUS = 0.3  # of the period, of a texture


def _disc(u: Array, v: Array) -> Array:
    return portable.hypot(u, v) - 0.9


def _square(u: Array, v: Array) -> Array:
    return np.maximum(np.abs(u), np.abs(v)) - 0.8


def _triangle(u: Array, v: Array) -> Array:
    return np.maximum(v, np.abs(u) * (sqrt(3) / 2) - v * 0.5) - TRIANGLE_INRADIUS


def _star(u: Array, v: Array) -> Array:
    sector = tau / 5
    turn = portable.arctan2(u, -v)
    # Fold the plane onto one half of one arm: there the edge is a straight line from the tip to the notch.
    turn -= np.rint(turn / sector) * sector
    rho = portable.hypot(u, v)
    along, across = rho * np.cos(turn), rho * np.abs(np.sin(turn))
    notch = STAR_NOTCH * cos(sector / 2), STAR_NOTCH * sin(sector / 2)
    edge = notch[0] - STAR_TIP, notch[1]
    length = hypot(*edge)
    return (along - STAR_TIP) * (edge[1] / length) - across * (edge[0] / length)


def _heart(u: Array, v: Array) -> Array:
    # A square on its corner, with a disc on each of its two upper sides.
    u, half = np.abs(u), HEART_SIZE / 2
    square = (u + np.abs(v) - HEART_SIZE) * sqrt(0.5)
    return np.minimum(square, portable.hypot(u - half, v + half) - HEART_SIZE * sqrt(0.5))


def _cross(u: Array, v: Array) -> Array:
    u, v, half = np.abs(u), np.abs(v), CROSS_HALF_WIDTH
    return np.maximum(np.minimum(u, v) - half, np.maximum(u, v) - 1)


OUTLINE: dict[str, Callable[[Array, Array], Array]] = {
    "heart": _heart, "cross": _cross, "star": _star, "triangle": _triangle, "disc": _disc, "square": _square,
}  # fmt: skip

HULL: dict[str, tuple[tuple[float, float, float], ...]] = {
    "heart": (
        (0, HEART_SIZE, 0),
        *((side * HEART_SIZE / 2, -HEART_SIZE / 2, HEART_SIZE * sqrt(0.5)) for side in (-1, 1)),
    ),
    "cross": tuple(
        (i * x, j * y, 0)
        for i in (-1, 1) for j in (-1, 1) for x, y in ((1, CROSS_HALF_WIDTH), (CROSS_HALF_WIDTH, 1))
    ),
    "star": tuple((STAR_TIP * sin(k * tau / 5), -STAR_TIP * cos(k * tau / 5), 0) for k in range(5)),
    "triangle": tuple(
        (2 * TRIANGLE_INRADIUS * sin(k * tau / 3), -2 * TRIANGLE_INRADIUS * cos(k * tau / 3), 0)
        for k in range(3)
    ),
    "disc": ((0, 0, 0.9),),
    "square": tuple((i * 0.8, j * 0.8, 0) for i in (-1, 1) for j in (-1, 1)),
}  # fmt: skip


# Textures. Each takes coordinates in units of the period and a pixel's size in the same units, and gives the
# share of the second colour, antialiased.


def _wave(u: Array, pixel: float) -> Array:
    """A square wave between 0 and 1 of period 1 whose steps are a pixel wide."""
    step = np.sin(u * tau) / (tau * pixel)
    return clip(step + 0.5)


def _striped(u: Array, v: Array, pixel: float) -> Array:
    return _wave(v, pixel)


def _checked(u: Array, v: Array, pixel: float) -> Array:
    # Slightly wider than stripes, so that the checks survive the first pooling layers as well as stripes do.
    a, b = _wave(u * 0.7, pixel * 0.7), _wave(v * 0.7, pixel * 0.7)
    return a + b - 2 * a * b


def _dotted(u: Array, v: Array, pixel: float) -> Array:
    distance = portable.hypot(u - np.rint(u), v - np.rint(v)) - DOT_RADIUS
    return clip(0.5 - distance / pixel)


PATTERN: dict[str, Callable[[Array, Array, float], Array]] = {
    "striped": _striped, "checked": _checked, "dotted": _dotted,
}  # fmt: skip


def clip(values: Array, high: float = 1) -> Array:
    """Limit to 0..high in place; np.clip takes five times as long on small arrays."""
    np.minimum(values, np.float32(high), out=values)
    return np.maximum(values, 0, out=values)
