import pickle

import numpy as np
import pytest
import torch
from conftest import split_of
from torchvision.transforms.v2 import functional as tv

from vgglib.data.imageset import ImageSet, Split
from vgglib.data.resample import rescale


def gradient(height, width):
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, rows + columns], 2).astype(np.uint8)


def test_images_of_different_sizes_come_back_as_they_were():
    images = [gradient(4, 7), gradient(5, 3), gradient(4, 7) + 1]
    split = Split.of(images, [0, 1, 0])
    assert all(np.array_equal(split.image(i), image) for i, image in enumerate(images))
    assert split.sizes.tolist() == [[4, 7], [5, 3], [4, 7]]
    assert split.smallest_side == 3
    chosen = split.subset([2, 1])
    assert np.array_equal(chosen.image(0), images[2]) and np.array_equal(chosen.image(1), images[1])
    assert chosen.labels.tolist() == [0, 1]


def test_a_subset_by_mask_is_where_it_is_true():
    split = Split.of([gradient(4, 7), gradient(5, 3), gradient(6, 7)], [0, 1, 2])
    for mask in ([True, False, True], np.array([True, False, True]), torch.tensor([True, False, True])):
        assert split.subset(mask).labels.tolist() == [0, 2]
    with pytest.raises(ValueError, match=r"a mask of shape \(2,\) was given for 3 images: give one value for each"):
        split.subset([True, False])
    for nothing in ([], [False] * 3):
        with pytest.raises(ValueError, match="a subset of 0 images was asked for: name at least one"):
            split.subset(nothing)


@pytest.mark.parametrize(
    "image, came",
    [
        (np.zeros((4, 7, 4), np.uint8), r"uint8 of shape \(4, 7, 4\)"),
        (np.zeros((4, 7), np.uint8), r"uint8 of shape \(4, 7\)"),
        (np.zeros((4, 7, 3)), r"float64 of shape \(4, 7, 3\)"),
    ],
)
def test_images_that_are_not_rgb_of_uint8_are_refused(image, came):
    with pytest.raises(ValueError, match=f"image 1 is {came}: convert it to RGB, uint8 of shape"):
        Split.of([gradient(4, 7), image], [0, 1])


def test_each_image_has_a_label():
    with pytest.raises(ValueError, match="2 images were given with 3 labels: give each image one"):
        Split.of([gradient(4, 7)] * 2, [0, 1, 1])


def test_batches_hold_whole_images_of_one_shape_each_image_once():
    images = [gradient(4, 7), gradient(5, 3), gradient(4, 7) + 1, gradient(4, 7) + 2]
    split = Split.of(images, [0, 1, 0, 1])
    seen = []
    for index, batch in split.batches(pixels_per_batch=2 * 28):
        assert len(index) <= 2
        for i, image in zip(index.tolist(), batch, strict=True):
            seen.append(i)
            assert np.array_equal(image.permute(1, 2, 0), images[i])
    assert sorted(seen) == [0, 1, 2, 3]


def test_pixels_at_places_of_images_of_any_shapes():
    split = Split.of([gradient(4, 7), gradient(5, 3)], [0, 1])
    rows, columns = torch.tensor([[1, 2], [4, 0], [0, 3]]), torch.tensor([[2, 1, 0], [0, 0, 2], [6, 5, 4]])
    found = split.pixels_at(torch.tensor([0, 1, 0]), rows, columns)
    assert found.shape == (3, 3, 2, 3) and found.is_contiguous(memory_format=torch.channels_last)
    for place, pixels in enumerate(found):
        assert torch.equal(pixels[0], rows[place][:, None].expand(2, 3).to(torch.uint8))
        assert torch.equal(pixels[1], columns[place].expand(2, 3).to(torch.uint8))


def test_parts_are_the_images_in_order():
    images = [gradient(4, 7), gradient(5, 3), gradient(6, 7)]
    parts = list(Split.of(images, [0, 1, 2]).parts(2))
    assert [index.tolist() for index, _ in parts] == [[0, 1], [2]]
    found = [part.image(i) for _, part in parts for i in range(len(part))]
    assert all(np.array_equal(ours, image) for ours, image in zip(found, images, strict=True))
    assert parts[1][1].labels.tolist() == [2]


def test_the_smallest_side_and_the_largest_scale():
    split = Split.of([gradient(4, 9), gradient(6, 5)], [0, 1])
    assert (split.smallest_side, split.largest_scale) == (4, 5)


@pytest.mark.parametrize("height, width, expected", [(40, 60, (32, 48)), (64, 50, (41, 32)), (20, 30, (32, 48))])
def test_rescaling_is_isotropic_and_equals_torchvisions_antialiased_resize(height, width, expected):
    image = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))
    ours = rescale(image, 32)
    assert ours.shape == (*expected, 3)
    theirs = tv.resize(image.permute(2, 0, 1).float(), list(expected), antialias=True).permute(1, 2, 0)
    assert (ours.float() - theirs).abs().max() <= 0.5 + 1e-3  # rounding to grey levels


def test_rescaling_to_the_side_they_have_copies_nothing():
    split = Split.of([gradient(32, 50), gradient(40, 32)], [0, 1])
    assert split.rescaled(32) is split
    assert split.rescaled(16).sizes.tolist() == [[16, 25], [20, 16]]


def test_minival_is_a_tenth_of_each_class_and_apart_from_train():
    colours = np.arange(60)[:, None].repeat(3, 1)
    images = ImageSet.of("x", ("a", "b"), split_of(colours, np.arange(60) % 2), split_of(colours[:2], [0, 1]))
    assert torch.bincount(images.minival.labels).tolist() == [3, 3]
    values = [{int(split.image(i)[0, 0, 0]) for i in range(len(split))} for split in (images.train, images.minival)]
    assert len(values[0]) == 54 and len(values[1]) == 6 and not values[0] & values[1]
    again = ImageSet.of("x", ("a", "b"), split_of(colours, np.arange(60) % 2), split_of(colours[:2], [0, 1]))
    assert again.digest == images.digest


def test_a_class_with_one_image_is_refused():
    with pytest.raises(ValueError, match="class 'b' of x has 1 training image"):
        ImageSet.of("x", ("a", "b"), split_of([[0] * 3] * 3, [0, 0, 1]), split_of([[0] * 3], [0]))


def test_mean_and_components_by_hand():
    # Two kinds of pixels, black and (100, 0, 0): mean 50, variance 50^2 along red only.
    pixels = split_of([[0, 0, 0], [100, 0, 0]], [0, 1])
    images = ImageSet("x", ("a", "b"), pixels, pixels, pixels)
    assert images.mean_rgb.tolist() == [50, 0, 0]
    strongest = images.rgb_components[:, 2]
    torch.testing.assert_close(strongest, torch.tensor([(50 / 255) ** 2 * 255, 0, 0]), rtol=1e-3, atol=1e-6)
    assert images.rgb_components[:, :2].abs().max() < 1e-6


def test_the_digest_sees_every_part():
    base = split_of([[0] * 3, [9] * 3], [0, 1])
    sets = [
        ImageSet("x", ("a", "b"), base, base, base),
        ImageSet("x", ("a", "c"), base, base, base),
        ImageSet("x", ("a", "b"), base, base, split_of([[0] * 3, [8] * 3], [0, 1])),
        ImageSet("x", ("a", "b"), base, base, split_of([[0] * 3, [9] * 3], [1, 0])),
        ImageSet("x", ("a", "b"), base, base, split_of([[0] * 3, [9] * 3], [0, 1], shapes=((48, 40),))),
    ]
    assert len({images.digest for images in sets}) == len(sets)


def test_a_line_says_what_a_split_or_a_set_is():
    split = Split.of([gradient(4, 7), gradient(5, 3)], [0, 1])
    assert repr(split) == "Split: 2 images, sides 3 to 7 px"
    many = Split(torch.empty(0, 3), torch.ones(1200, 2), torch.zeros(1200))
    assert repr(many) == "Split: 1,200 images, sides 1 to 1 px"
    assert repr(Split(torch.empty(0, 3), torch.empty(0, 2), torch.empty(0))) == "Split: 0 images"
    assert repr(ImageSet("x", ("a", "b"), many, split, split)) == "ImageSet x: 2 classes, 1,200 train, 2 minival, 2 val"


def test_two_splits_of_one_list_of_images():
    images = [gradient(4, 7), gradient(5, 3), gradient(6, 7)]
    one, other = Split.two(list(images), [0, 1, 2], 2)
    assert (len(one), one.labels.tolist(), other.labels.tolist()) == (2, [0, 1], [2])
    assert np.array_equal(one.image(1), images[1]) and np.array_equal(other.image(0), images[2])


def test_a_split_survives_pickling():
    split = split_of([[1, 2, 3]], [0])
    again = pickle.loads(pickle.dumps(split))
    assert all(torch.equal(getattr(split, name), getattr(again, name)) for name in ("pixels", "sizes", "labels"))
