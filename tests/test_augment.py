import numpy as np
import pytest
import torch

from vgglib.augment import Draws, colour_shift, draw, generator, net_input
from vgglib.data.imageset import ImageSet, Split
from vgglib.data.resample import rescale


def drawn(split, index, size, draws, scales=None):
    return draw(ImageSet("x", ("a", "b", "c"), split, split, split), split, index, size, draws, scales)


def cropped(split, index, size, draws, scales=None):
    """Crops as a training step has them: (B, 3, size, size)."""
    ((_, crops),) = split.crops([drawn(split, index, size, draws, scales)], size)
    return crops


def coordinates(height, width, number):
    """Red holds the row, green the column, blue the image."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, np.full_like(rows, number)], 2).astype(np.uint8)


@pytest.fixture
def split():
    return Split.of([coordinates(40, 50, 0), coordinates(60, 33, 1), coordinates(32, 32, 2)], [0, 1, 2])


def test_every_crop_is_a_window_of_its_own_image_mirrored_or_not(split):
    index = torch.arange(3).repeat(200)
    crops = cropped(split, index, 32, generator(0))
    assert crops.shape == (600, 3, 32, 32) and crops.is_contiguous(memory_format=torch.channels_last)
    mirrored, corners = 0, {0: set(), 1: set(), 2: set()}
    for i, crop in zip(index.tolist(), crops, strict=True):
        rows, columns, number = crop.long()
        assert (number == i).all()
        assert (rows == rows[0, 0] + torch.arange(32)[:, None]).all()
        step = int(columns[0, 1] - columns[0, 0])
        assert (columns == columns[0, 0] + step * torch.arange(32)).all()
        mirrored += step == -1
        corners[i].add((int(rows[0, 0]), int(columns[0].min())))
    assert 240 < mirrored < 360  # 600 fair coins: 300, five standard deviations of 12
    assert {top for top, _ in corners[0]} == set(range(9))  # 40 - 32 + 1 places, 18 across
    assert max(left for _, left in corners[0]) == 18 and max(left for _, left in corners[1]) == 1
    assert corners[2] == {(0, 0)}


def test_draws_depend_on_the_key_alone(split):
    index = torch.arange(3)
    first, second = (cropped(split, index, 32, generator(1, 2, 3)) for _ in range(2))
    assert torch.equal(first, second)
    # With other seeds nets that were trained again would have other weights than their records.
    assert (
        generator(0, 0, 1).initial_seed() == 16454886136742421394 and generator(5).initial_seed() == 72255951453554333
    )
    draws = {torch.rand(1, generator=generator(*key)).item() for key in [(0, 0, 1), (0, 1, 0), (1, 0, 0), (0, 0, 2)]}
    assert len(draws) == 4


def test_an_image_smaller_than_the_crop_is_refused(split):
    with pytest.raises(ValueError, match="a side of 32 pixels, less than the crop of 33"):
        cropped(split, torch.arange(3), 33, generator(0))


def noise(*shapes):
    rng = np.random.default_rng(0)
    return Split.of([rng.integers(0, 256, (*shape, 3), dtype=np.uint8) for shape in shapes], [0] * len(shapes))


@pytest.mark.parametrize(
    "shapes, low, high",
    [
        ([(64, 85), (85, 64), (64, 64), (70, 91)], 32, 64),  # all shrink, or stay as they are
        ([(32, 32), (32, 47)], 32, 64),  # all grow
        ([(40, 100), (33, 32), (90, 41)], 32, 70),  # both, and images smaller than the largest window
        ([(64, 128)], 32, 32),  # by exactly two: many grey levels end in one half
    ],
)
def test_jittered_crops_are_those_of_the_whole_image_rescaled(shapes, low, high):
    split, index = noise(*shapes), torch.arange(len(shapes)).repeat(12)
    crops = cropped(split, index, 32, generator(1), (low, high))
    assert crops.dtype == torch.uint8 and crops.is_contiguous(memory_format=torch.channels_last)
    draws = drawn(split, index, 32, generator(1), (low, high))
    scale = draws.sides.amin(1)
    assert scale.min() >= low and scale.max() <= high and (low == high or len(scale.unique()) > 8)
    expected = []
    for i, (side, (top, left), mirrored) in enumerate(zip(scale, draws.corners, draws.mirrored, strict=True)):
        whole = rescale(split.image(int(index[i])), int(side))
        window = whole[top : top + 32, left : left + 32].permute(2, 0, 1)[None]
        assert window.shape == (1, 3, 32, 32)
        expected.append(window.flip(3) if mirrored else window)
    difference = (crops.int() - torch.cat(expected).int()).abs()
    assert difference.max() <= 1 and (difference > 0).float().mean() < 1e-3


def test_every_scale_place_and_direction_is_drawn_alike():
    # Grey levels rise by 3 a column, so that a row of a crop tells its S, where it began, and whether it is mirrored.
    ramp = np.broadcast_to((3 * np.arange(64, dtype=np.uint8))[None, :, None], (64, 64, 3))
    split, scales = Split.of([ramp], [0]), range(60, 65)
    crops = cropped(split, torch.zeros(5000, dtype=torch.long), 58, generator(0), (60, 64))
    rows, places = [], []
    for scale in scales:
        whole = rescale(split.image(0), scale)[0, :, 0].int()
        for left in range(scale - 58 + 1):
            for row in (whole[left : left + 58], whole[left : left + 58].flip(0)):
                rows.append(row)
                places.append(scale)
    matches = ((crops[:, 0, 0].int()[:, None] - torch.stack(rows)).abs() <= 1).all(2)
    assert (matches.sum(1) == 1).all()
    found, places = matches.sum(0), torch.tensor(places)
    for scale in scales:
        here = found[places == scale]
        assert abs(int(here.sum()) - 1000) < 5 * 28.3  # a fifth of 5000; the binomial's sd is 28.3
        expected = 1000 / len(here)  # as often at each place, mirrored or not
        assert ((here - expected).abs() < 5 * expected**0.5).all()


def test_jittered_draws_depend_on_the_generator_alone():
    split, index = noise((40, 50), (64, 64)), torch.tensor([0, 1, 1])
    first, second, other = (cropped(split, index, 32, generator(key), (32, 64)) for key in (1, 1, 2))
    assert torch.equal(first, second) and not torch.equal(first, other)


@pytest.mark.parametrize("scales", [(31, 64), (50, 40)])
def test_scales_below_the_crop_or_falling_are_refused(scales):
    with pytest.raises(ValueError, match=f"S from {scales[0]} to {scales[1]} pixels will not do for crops of 32"):
        cropped(noise((64, 64)), torch.tensor([0]), 32, generator(0), scales)


def test_colour_shift_has_a_tenth_of_each_component():
    components = torch.diag(torch.tensor([10.0, 50.0, 200.0]))
    shift = colour_shift(components, 20000, generator(0))
    torch.testing.assert_close(shift.std(0), torch.tensor([1.0, 5.0, 20.0]), rtol=0.03, atol=0)
    assert shift.mean(0).abs().max() < 0.5


@pytest.mark.parametrize("scales", [None, (32, 64)])
def test_a_batch_is_crop_minus_mean_plus_one_shift_per_image(split, scales):
    images = ImageSet("x", ("a", "b", "c"), split, split, split)
    draws = draw(images, split, torch.arange(3), 32, generator(5), scales)
    ((_, crops),) = split.crops([draws], 32)
    batch = net_input(crops, draws.shift, images.mean_rgb)
    shift = batch - crops + images.mean_rgb[:, None, None]
    assert batch.dtype == torch.float32
    torch.testing.assert_close(shift, draws.shift[:, :, None, None].expand_as(shift), rtol=0, atol=1e-4)
    assert draws.shift.abs().min() > 0


def test_parts_of_a_batch_are_what_the_whole_batch_is(split):
    draws = drawn(split, torch.tensor([2, 0, 1, 0]), 32, generator(5), (32, 64))
    whole = next(split.crops([draws], 32))[1]
    parts = [crops for _, crops in split.crops((draws.part(0, 1), draws.part(1, 4)), 32)]
    assert torch.equal(torch.cat(parts), whole)
    assert isinstance(draws.part(1, 4), Draws) and draws.part(1, 4).index.tolist() == [0, 1, 0]
