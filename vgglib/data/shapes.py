"""`shapes`: a made-up data set of textured shapes, drawn from a seed at any resolution, no download needed.

A class is a texture and a shape ("striped star"). Three cues name it, from easy to hard:

1. each class leans towards a hue (hearts are mostly red) and each texture towards a kind of second colour
   (stripes are mostly pale), but neighbours overlap;
2. the texture is a local pattern: two or three layers see it;
3. the outline needs spatial context, since every texture comes with every shape.

Size, place, rotation, contrast, lighting and grain vary; small shapes of any class lie around the subject and
sometimes in front of it. All lengths are in units of the image's smallest side, so a seed names one scene,
whatever the resolution; edges are antialiased by signed distance instead of supersampling. Pictures are the same on
all processors with fused multiply-adds: digests of the data set, and with them records, depend on it.
"""

from collections.abc import Iterable
from colorsys import hsv_to_rgb
from dataclasses import dataclass, replace
from functools import lru_cache
from math import cos, sin, tau
from random import Random

import numpy as np

from vgglib.data import outlines
from vgglib.data.outlines import Array

Colour = tuple[float, float, float]

TEXTURES: tuple[str, ...] = ("plain", "striped", "checked", "dotted")
SHAPES: tuple[str, ...] = ("heart", "cross", "star", "triangle", "disc", "square")
CLASSES: tuple[str, ...] = tuple(f"{texture} {shape}" for shape in SHAPES for texture in TEXTURES)

# Width over height. Three ratios, not a continuum, so that images of one size can be stacked into a batch.
ASPECT_RATIOS: tuple[float, ...] = (1.0, 4 / 3, 3 / 4)
MIN_SMALLEST_SIDE = 32  # below, a texture is finer than three pixels a period and fades to a mean colour

# How hard the task is: net A at width 1/8 is to leave chance within seconds, and no net to get close to zero.
HUE_SD = 0.05  # turns of the colour circle; the classes' mean hues are 1/24 apart, so neighbours overlap
SATURATION = (0.6, 0.95)
VALUE = (0.65, 0.95)
RADIUS = (0.26, 0.40)
TILT = 0.25  # radians, either way
PERIOD = (0.075, 0.1)
TEXTURE_CONTRAST = (0.65, 0.95)
# The second colour that a texture leans towards, and how often it is sure to have it; else any of the three.
SECOND_COLOUR = {"plain": "dark", "striped": "pale", "checked": "dark", "dotted": "other"}
SECOND_COLOUR_PROBABILITY = 0.8
SKY_SATURATION = (0.0, 0.12)  # greyish, so that the subject's hue shows in the mean colour already
SKY_VALUE = (0.35, 0.65)
LIGHT = (0.8, 1.1)
LIGHT_SLOPE = 0.5
MARGIN = 0.02  # between the subject's box and the image's edge
DISTRACTORS = (1, 4)
DISTRACTOR_RADIUS = (0.05, 0.13)
OCCLUSION_PROBABILITY = 0.35
GRAIN_SD = (0.01, 0.04)


@dataclass(frozen=True)
class Thing:
    """One textured shape, in units of the smallest side; (0, 0) is the image's centre, y points down."""

    shape: str
    texture: str
    x: float
    y: float
    radius: float
    angle: float  # radians
    period: float  # of the texture
    colour: Colour  # RGB in 0..1
    second_colour: Colour  # of stripes, dots and every other check


@dataclass(frozen=True, eq=False)
class Scene:
    """Everything that a picture shows, independent of its resolution."""

    label: int
    aspect: float  # width over height
    sky: tuple[Colour, Colour]  # the background wanders between these two
    clouds: Array  # (n, n) float32 in 0..1, how the background wanders
    grain: Array  # (m, m) float32, brightness noise
    light: tuple[float, float, float]  # brightness at the centre, its slope along x and along y
    behind: tuple[Thing, ...]
    subject: Thing
    in_front: tuple[Thing, ...]


@dataclass(frozen=True, eq=False)
class Drawing:
    """One image of the data set.

    `image` is uint8 RGB of shape (H, W, 3). `box` is (x_min, y_min, x_max, y_max) of the subject's whole
    outline, hidden parts included, as floats in pixels: (0, 0) is the image's upper left corner, (W, H) its
    lower right one.
    """

    image: Array
    box: tuple[float, float, float, float]
    label: int


def draw(labels: Iterable[int], seeds: Iterable[int], smallest_side: int) -> list[Drawing]:
    """Draw one image for each pair of a label and a seed.

    An image depends on its own label and seed and on `smallest_side` (pixels), not on the others in the call.
    The same label and seed at another `smallest_side` give the same scene at another resolution.

    Raises ValueError for a label that is not in 0..23, a negative seed, unequal numbers of labels and seeds,
    or a `smallest_side` below 32.
    """
    labels, seeds = list(labels), list(seeds)
    if len(labels) != len(seeds):
        raise ValueError(f"{len(labels)} labels but {len(seeds)} seeds: give one seed for each label.")
    # One image at a time: its arrays stay in the cache, and no rounding can depend on the batch.
    return [render(scene(label, seed), smallest_side) for label, seed in zip(labels, seeds, strict=True)]


def scene(label: int, seed: int) -> Scene:
    """Invent the scene of a label and a seed. Raises ValueError for an unknown label or a negative seed."""
    label, seed = int(label), int(seed)
    if not 0 <= label < len(CLASSES):
        raise ValueError(f"Label {label} is unknown: give an index into CLASSES, 0 to {len(CLASSES) - 1}.")
    if seed < 0:
        raise ValueError(f"Seed {seed} is negative: give a whole number of at least 0.")
    dice = Random(seed * len(CLASSES) + label)
    aspect = dice.choice(ASPECT_RATIOS)
    half_width, half_height = max(aspect, 1) / 2, max(1 / aspect, 1) / 2
    subject = _invent_subject(dice, label, half_width, half_height)
    count = dice.randint(*DISTRACTORS)
    behind = tuple(_invent_distractor(dice, half_width, half_height) for _ in range(count))
    in_front = ()
    if dice.random() < OCCLUSION_PROBABILITY:
        turn = tau * dice.random()
        x, y = subject.x + subject.radius * cos(turn), subject.y + subject.radius * sin(turn)
        in_front = (replace(_invent_distractor(dice, half_width, half_height), x=x, y=y),)
    hue, saturation, value = dice.random(), dice.uniform(*SKY_SATURATION), dice.uniform(*SKY_VALUE)
    other_hue, other_value = hue + dice.gauss(0, 0.1), min(max(value + dice.uniform(-0.3, 0.3), 0.15), 0.95)
    sky = hsv_to_rgb(hue, saturation, value), hsv_to_rgb(other_hue, saturation, other_value)
    turn, slope = tau * dice.random(), dice.uniform(0, LIGHT_SLOPE)
    light = dice.uniform(*LIGHT), slope * cos(turn), slope * sin(turn)
    grain_sd = np.float32(dice.uniform(*GRAIN_SD))
    rng = np.random.default_rng(dice.getrandbits(64))
    clouds = rng.random((10, 10), dtype=np.float32)
    grain = rng.standard_normal((90, 90), dtype=np.float32) * grain_sd
    return Scene(label, aspect, sky, clouds, grain, light, behind, subject, in_front)


def render(scene: Scene, smallest_side: int) -> Drawing:
    """Draw a scene. Raises ValueError for a `smallest_side` (pixels) below 32."""
    if smallest_side < MIN_SMALLEST_SIDE:
        raise ValueError(
            f"A smallest side of {smallest_side} pixels is too small to tell the classes apart: "
            f"give at least {MIN_SMALLEST_SIDE}."
        )
    width, height = (
        round(smallest_side * max(scene.aspect, 1)),
        round(smallest_side * max(1 / scene.aspect, 1)),
    )
    x, y = _coordinates(width, smallest_side), _coordinates(height, smallest_side)
    mix = _value_noise(scene.clouds, 5, x, y)
    first, second = (np.array(colour, dtype=np.float32)[:, None, None] for colour in scene.sky)
    canvas = first + (second - first) * mix
    for thing in (*scene.behind, scene.subject, *scene.in_front):
        _paint(canvas, thing, x, y, 1 / smallest_side)
    brightness, slope_x, slope_y = scene.light
    canvas *= brightness + x * slope_x + y[:, None] * slope_y
    canvas += _value_noise(scene.grain, 64, x, y)
    canvas *= 255
    np.rint(canvas, out=canvas)
    outlines.clip(canvas, 255)
    image = np.ascontiguousarray(canvas.astype(np.uint8).transpose(1, 2, 0))
    left, top, right, bottom = _bounds(scene.subject)
    box = (
        left * smallest_side + width / 2,
        top * smallest_side + height / 2,
        right * smallest_side + width / 2,
        bottom * smallest_side + height / 2,
    )
    return Drawing(image, box, scene.label)


def _invent_subject(dice: Random, label: int, half_width: float, half_height: float) -> Thing:
    shape, texture = divmod(label, len(TEXTURES))
    hue = label / len(CLASSES) + dice.gauss(0, HUE_SD) - 0.12  # the offset makes hearts red, discs blue
    saturation, value = dice.uniform(*SATURATION), dice.uniform(*VALUE)
    colour, second = _invent_colours(dice, TEXTURES[texture], hue, saturation, value)
    radius, angle, period = dice.uniform(*RADIUS), dice.uniform(-TILT, TILT), dice.uniform(*PERIOD)
    thing = Thing(SHAPES[shape], TEXTURES[texture], 0, 0, radius, angle, period, colour, second)
    # Somewhere near the centre, so that most crops show most of it, and never over the image's edge.
    left, top, right, bottom = _bounds(thing)
    x = min(max(dice.gauss(0, 0.12), MARGIN - half_width - left), half_width - MARGIN - right)
    y = min(max(dice.gauss(0, 0.12), MARGIN - half_height - top), half_height - MARGIN - bottom)
    return replace(thing, x=x, y=y)


def _invent_distractor(dice: Random, half_width: float, half_height: float) -> Thing:
    texture = dice.choice(TEXTURES)
    hue, saturation, value = dice.random(), dice.uniform(0.15, 0.7), dice.uniform(0.3, 0.9)
    colour, second = _invent_colours(dice, texture, hue, saturation, value)
    return Thing(
        dice.choice(SHAPES), texture,
        dice.uniform(-half_width, half_width), dice.uniform(-half_height, half_height),
        dice.uniform(*DISTRACTOR_RADIUS), tau * dice.random(), PERIOD[0], colour, second,
    )  # fmt: skip


def _invent_colours(dice: Random, texture: str, hue: float, saturation: float, value: float) -> tuple[Colour, Colour]:
    """A thing's colour, and the second one of its texture: dark, pale or of another hue."""
    contrast = dice.uniform(*TEXTURE_CONTRAST)
    kind = SECOND_COLOUR[texture]
    if dice.random() >= SECOND_COLOUR_PROBABILITY:
        kind = dice.choice(("dark", "pale", "other"))
    second = {
        "dark": (hue, saturation, value * (1 - contrast)),
        "pale": (hue, saturation * (1 - contrast), 1),
        "other": (hue + 0.5 * contrast, saturation, value),
    }[kind]
    return hsv_to_rgb(hue, saturation, value), hsv_to_rgb(*second)


def _bounds(thing: Thing) -> tuple[float, float, float, float]:
    """The box (left, top, right, bottom) of a thing, in the same units as its place."""
    c, s, r = cos(thing.angle), sin(thing.angle), thing.radius
    circles = [(c * x - s * y, s * x + c * y, reach) for x, y, reach in outlines.HULL[thing.shape]]
    return (
        thing.x + r * min(x - reach for x, _, reach in circles),
        thing.y + r * min(y - reach for _, y, reach in circles),
        thing.x + r * max(x + reach for x, _, reach in circles),
        thing.y + r * max(y + reach for _, y, reach in circles),
    )


@lru_cache(maxsize=64)
def _coordinates(pixels: int, smallest_side: int) -> Array:
    """Pixel centres in units of the smallest side, 0 in the middle."""
    return ((np.arange(pixels) + 0.5 - pixels / 2) / smallest_side).astype(np.float32)


def _value_noise(lattice: Array, cells: int, x: Array, y: Array) -> Array:
    """Interpolate a square lattice with `cells` cells to the smallest side; (len(y), len(x)) float32."""
    for axis, positions in enumerate((y, x)):
        where = positions * cells + ((lattice.shape[axis] - 1) / 2)
        low = where.astype(np.intp)
        t = where - low
        t = t * t * (3 - 2 * t)  # no visible creases at the lattice's lines
        t = t[:, None] if axis == 0 else t
        below, above = lattice.take(low, axis), lattice.take(low + 1, axis)
        above -= below
        above *= t
        lattice = below + above
    return lattice


def _paint(canvas: Array, thing: Thing, x: Array, y: Array, pixel: float) -> None:
    """Draw a thing with a soft shadow over `canvas` (3, H, W) in place; `pixel` is a pixel's size."""
    shadow = 0.035 + 0.1 * thing.radius  # how far it reaches
    left, top, right, bottom = _bounds(thing)
    columns = slice(*x.searchsorted((left - shadow, right + shadow)))
    rows = slice(*y.searchsorted((top - shadow, bottom + shadow)))
    patch = canvas[:, rows, columns]
    if not patch.size:
        return
    # The thing's own coordinates, in units of its radius.
    dx, dy = (x[columns] - thing.x) / thing.radius, (y[rows, None] - thing.y) / thing.radius
    c, s = cos(thing.angle), sin(thing.angle)
    u, v = dx * c + dy * s, dy * c - dx * s
    distance = outlines.OUTLINE[thing.shape](u, v)
    # The shadow lies evenly around the thing: its own distances serve, and edges show on a like background.
    patch *= outlines.clip(distance * (0.4 * thing.radius / shadow) + 0.6)
    colour = np.array(thing.colour, dtype=np.float32)[:, None, None]
    if thing.texture in outlines.PATTERN:
        second = np.array(thing.second_colour, dtype=np.float32)[:, None, None]
        periods = thing.radius / thing.period
        share = outlines.PATTERN[thing.texture](u * periods, v * periods, pixel / thing.period)
        colour = colour + (second - colour) * share
    coverage = outlines.clip(0.5 - distance * (thing.radius / pixel))
    patch += (colour - patch) * coverage
