"""`shapes`: what a seed fixes, what a resolution must not change, and where the boxes are."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from vgglib.data import outlines, shapes

LABELS = range(len(shapes.CLASSES))


def drawn(label, seed, smallest_side=64):
    (drawing,) = shapes.draw([label], [seed], smallest_side)
    return drawing


def subject_pixels(scene, smallest_side):
    """True where the subject shows: the same scene with a black and with a white subject differs there."""
    images = []
    for colour in ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)):
        subject = replace(scene.subject, colour=colour, second_colour=colour)
        images.append(shapes.render(replace(scene, subject=subject), smallest_side).image.astype(int))
    return np.abs(images[1] - images[0]).max(axis=2) > 25


def test_class_names_are_texture_and_shape():
    assert len(shapes.CLASSES) == len(set(shapes.CLASSES)) == 24
    assert "striped star" in shapes.CLASSES


@pytest.mark.parametrize("label", LABELS)
def test_every_class_is_drawn_in_its_shape_and_texture(label):
    subject = shapes.scene(label, 5).subject
    assert f"{subject.texture} {subject.shape}" == shapes.CLASSES[label]
    drawing = drawn(label, 5)
    assert drawing.label == label
    assert drawing.image.dtype == np.uint8
    assert drawing.image.std() > 5  # not one flat colour


def test_an_image_depends_on_nothing_but_label_seed_and_side():
    labels, seeds = [3, 17, 3, 0], [8, 8, 9, 10]
    together = shapes.draw(labels, seeds, 64)
    backwards = shapes.draw(labels[::-1], seeds[::-1], 64)[::-1]
    for label, seed, one, other in zip(labels, seeds, together, backwards, strict=True):
        alone = drawn(label, seed)
        assert np.array_equal(one.image, alone.image) and np.array_equal(other.image, alone.image)
        assert one.box == other.box == alone.box


def test_pictures_are_the_same_with_and_without_avx512():
    # Drawn on one with AVX-512. NumPy's own arctan2 gives other stars without it.
    digest = hashlib.sha256()
    for drawing in shapes.draw(range(24), range(24), 64) + shapes.draw([8, 9, 10, 11] * 4, range(16), 256):
        digest.update(drawing.image)
    assert digest.hexdigest() == "c46e6b45ea0894232876cbf962b71d48377adf141602c4abe6d861dcf26c73a8"


def test_labels_and_seeds_change_the_image():
    images = [drawn(label, seed).image for label, seed in ((0, 1), (1, 1), (0, 2), (1, 2))]
    for i, first in enumerate(images):
        for second in images[:i]:
            assert first.shape != second.shape or np.abs(first.astype(int) - second).mean() > 5


def test_label_and_seed_do_not_mix():
    # A generator seeded with the sum of both would draw one scene for these two.
    one, other = shapes.scene(2, 7), shapes.scene(3, 6)
    assert not np.array_equal(one.grain, other.grain)


@pytest.mark.parametrize("smallest_side", [32, 64, 96])
def test_sizes(smallest_side):
    long_side = {32: 43, 64: 85, 96: 128}[smallest_side]  # 4/3 of the smallest, rounded
    sizes = {drawing.image.shape for drawing in shapes.draw([0] * 40, range(40), smallest_side)}
    assert sizes == {
        (smallest_side, smallest_side, 3),
        (smallest_side, long_side, 3),
        (long_side, smallest_side, 3),
    }


def test_aspect_ratios_are_equally_frequent():
    aspects = [shapes.scene(seed % 24, seed).aspect for seed in range(900)]
    for ratio in shapes.ASPECT_RATIOS:
        assert 240 < aspects.count(ratio) < 360  # 300 expected, 14 is one standard deviation


@pytest.mark.parametrize("label", LABELS)
def test_the_same_scene_at_twice_the_resolution(label):
    for seed in range(3):
        small, large = drawn(label, seed, 96), drawn(label, seed, 192)
        height, width, _ = small.image.shape
        halved = large.image.reshape(height, 2, width, 2, 3).mean(axis=(1, 3))
        difference = np.abs(halved - small.image)
        assert difference.mean() < 4  # grey levels; grain is finer than a pixel of the small image
        assert np.allclose(np.array(large.box), 2 * np.array(small.box), atol=1e-9)
        other = drawn(label, seed + 3, 96).image
        if other.shape == small.image.shape:
            assert np.abs(halved - other).mean() > 3 * difference.mean()


@pytest.mark.parametrize("label", LABELS)
def test_the_box_is_the_subject(label):
    for seed in range(6):
        scene = replace(shapes.scene(label, seed), in_front=())
        drawing = shapes.render(scene, 128)
        height, width, _ = drawing.image.shape
        left, top, right, bottom = drawing.box
        assert 0 < left < right < width and 0 < top < bottom < height
        rows, columns = np.nonzero(subject_pixels(scene, 128))
        # Every pixel in the box, and the box no wider than the pixels. A pixel on an edge is half covered; at
        # a sharp tip two edges add up, so that some colour reaches past it and full colour ends before it.
        inside = (columns.min(), rows.min(), width - columns.max() - 1, height - rows.max() - 1)
        for measured, said in zip(inside, (left, top, width - right, height - bottom), strict=True):
            assert -1.6 < measured - said < 3.5


def test_outlines_have_the_areas_of_their_formulas():
    side = 2.6 * (np.arange(800) + 0.5) / 800 - 1.3
    u, v = (grid.astype(np.float32) for grid in np.meshgrid(side, side))
    a = outlines.HEART_SIZE * np.sqrt(2)  # side of the heart's square; the discs add two half discs
    w = 2 * outlines.CROSS_HALF_WIDTH
    areas = {
        "disc": np.pi * 0.9**2,
        "square": 1.6**2,
        "triangle": 3 * np.sqrt(3) * outlines.TRIANGLE_INRADIUS**2,
        "star": 5 * outlines.STAR_TIP * outlines.STAR_NOTCH * np.sin(np.pi / 5),
        "heart": a**2 + np.pi * (a / 2) ** 2,
        "cross": 2 * 2 * w - w**2,
    }
    for shape, area in areas.items():
        measured = (outlines.OUTLINE[shape](u, v) < 0).mean() * 2.6**2
        assert measured == pytest.approx(area, rel=0.01), shape


@pytest.mark.parametrize(
    ("texture", "share"), [("striped", 0.5), ("checked", 0.5), ("dotted", np.pi * outlines.DOT_RADIUS**2)]
)
def test_textures_cover_their_share(texture, share):
    grid = ((np.arange(1200) + 0.5) / 120).astype(np.float32)  # ten periods
    u, v = np.meshgrid(grid, grid)
    assert outlines.PATTERN[texture](u, v, 1 / 120).mean() == pytest.approx(share, abs=0.02)


@pytest.mark.parametrize(
    ("labels", "seeds", "side", "words"),
    [
        ([24], [0], 64, "Label 24 is unknown.* 0 to 23"),
        ([-1], [0], 64, "Label -1 is unknown"),
        ([0], [-5], 64, "Seed -5 is negative"),
        ([0, 1], [0], 64, "2 labels but 1 seeds"),
        ([0], [0], 31, "31 pixels .* at least 32"),
    ],
)
def test_bad_input_is_named(labels, seeds, side, words):
    with pytest.raises(ValueError, match=words):
        shapes.draw(labels, seeds, side)
