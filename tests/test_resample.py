import pytest
import torch

from vgglib.data.resample import crop, rescale, sides_at


@pytest.mark.parametrize("side", [32, 47, 64, 65, 80, 99, 128])
@pytest.mark.parametrize("shape", [(64, 64), (64, 90), (90, 64), (200, 66)])
def test_a_crop_is_a_window_of_the_whole_rescaled_image(shape, side):
    generator = torch.Generator().manual_seed(side)
    image = torch.randint(0, 256, (*shape, 3), dtype=torch.uint8, generator=generator)
    whole = rescale(image, side)
    sides = tuple(whole.shape[:2])
    assert sides == tuple(sides_at(torch.tensor([shape]), side)[0].tolist())
    # Every corner where something may be special: those of the image, and where a crop ends with the image's own sides.
    tops, lefts = (
        {0, end - 32, (end - 32) // 2, max(0, min(own, end) - 32)} for own, end in zip(shape, sides, strict=True)
    )
    for top in tops:
        for left in lefts:
            window = whole[top : top + 32, left : left + 32]
            ours = crop(image, sides, (top, left), 32)
            assert ours.shape == (32, 32, 3) and ours.dtype == torch.uint8
            assert (ours.int() - window.int()).abs().max() <= 1


def test_further_channels_are_rescaled_alike():
    image = torch.randint(0, 256, (70, 90, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    four, three = (crop(pixels, (40, 51), (3, 7), 32) for pixels in (image, image[..., :3].contiguous()))
    assert torch.equal(four[..., :3], three)
