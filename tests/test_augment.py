import numpy as np
import pytest
import torch

from vgglib.augment import colour_shift, crop_and_flip, generator, training_batch
from vgglib.data.imageset import ImageSet, Split


def coordinates(height, width, number):
    """Red holds the row, green the column, blue the image."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, np.full_like(rows, number)], 2).astype(np.uint8)


@pytest.fixture
def split():
    return Split.of([coordinates(40, 50, 0), coordinates(60, 33, 1), coordinates(32, 32, 2)], [0, 1, 2])


def test_every_crop_is_a_window_of_its_own_image_mirrored_or_not(split):
    index = torch.arange(3).repeat(200)
    crops = crop_and_flip(split, index, 32, generator(0))
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
    first, second = (crop_and_flip(split, index, 32, generator(1, 2, 3)) for _ in range(2))
    assert torch.equal(first, second)
    draws = {torch.rand(1, generator=generator(*key)).item() for key in [(0, 0, 1), (0, 1, 0), (1, 0, 0), (0, 0, 2)]}
    assert len(draws) == 4


def test_an_image_smaller_than_the_crop_is_refused(split):
    with pytest.raises(ValueError, match="a side of 32 pixels, less than the crop of 33"):
        crop_and_flip(split, torch.arange(3), 33, generator(0))


def test_colour_shift_has_a_tenth_of_each_component():
    components = torch.diag(torch.tensor([10.0, 50.0, 200.0]))
    shift = colour_shift(components, 20000, generator(0))
    torch.testing.assert_close(shift.std(0), torch.tensor([1.0, 5.0, 20.0]), rtol=0.03, atol=0)
    assert shift.mean(0).abs().max() < 0.5


def test_a_batch_is_crop_minus_mean_plus_one_shift_per_image(split):
    images = ImageSet("x", ("a", "b", "c"), split, split, split)
    batch = training_batch(images, split, torch.arange(3), 32, generator(5))
    crops = crop_and_flip(split, torch.arange(3), 32, generator(5)).float()
    shift = batch - crops + images.mean_rgb[:, None, None]
    assert batch.dtype == torch.float32
    torch.testing.assert_close(shift, shift[:, :, :1, :1].expand_as(shift), rtol=0, atol=1e-4)
    assert shift.abs().max() > 0
