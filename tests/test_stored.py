import io

import numpy as np
import pytest
from photographs import bad, draw, encoded, odd, turned
from PIL import Image

from vgglib.data.files import decode
from vgglib.data.stored import stored

RNG = np.random.default_rng(0)
ODD = odd(RNG)
BAD = bad(RNG)


def kind(data):
    with Image.open(io.BytesIO(data)) as image:
        return image.format, image.mode


@pytest.mark.parametrize("data", [encoded(draw(RNG, 60, 80)), ODD["grey"], ODD["progressive"]])
def test_a_small_upright_jpeg_keeps_its_bytes(data):
    height, width, _ = decode(data).shape
    assert stored(data, min(height, width))[:3] == (height, width, data)
    assert stored(data, min(height, width) - 1).data != data


@pytest.mark.parametrize("name", ["cmyk", "cmyk-without-adobe", "turned", "png-named-jpeg", "palette"])
def test_everything_else_becomes_an_upright_rgb_jpeg(name):
    image, expected = stored(ODD[name], 512), decode(ODD[name])
    assert kind(image.data) == ("JPEG", "RGB") and image.data != ODD[name]
    assert (image.height, image.width) == expected.shape[:2]
    error = np.abs(decode(image.data).astype(int) - expected)
    assert error.mean() < (4 if name == "palette" else 1.5)  # a palette's dither is hard to encode


def test_grey_levels_of_sixteen_bits_become_a_jpeg():
    file = io.BytesIO()
    Image.fromarray(RNG.integers(0, 1 << 16, (20, 30), dtype=np.uint16)).save(file, "PNG")
    image, expected = stored(file.getvalue(), 512), decode(file.getvalue())
    assert kind(image.data) == ("JPEG", "RGB") and (image.height, image.width) == (20, 30)
    assert np.abs(decode(image.data).astype(int) - expected).mean() < 4  # noise is hard to encode


@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_upright_whatever_their_exif_data_say(orientation):
    """By the standard's table of where row 0 and column 0 belong: top, bottom, left or right."""
    first_row, first_column = {1: "tl", 2: "tr", 3: "br", 4: "bl", 5: "lt", 6: "rt", 7: "rb", 8: "lb"}[orientation]
    pixels = np.full((40, 64, 3), 20, np.uint8)
    rows = slice(0, 20) if first_row in "tl" else slice(20, 40)
    columns = slice(0, 32) if first_column in "tl" else slice(32, 64)
    pixels[rows, columns] = 240
    image = stored(turned(pixels, orientation), 512)
    height, width = (40, 64) if orientation < 5 else (64, 40)
    found = Image.open(io.BytesIO(image.data))
    assert (image.height, image.width) == (height, width) == found.size[::-1]
    assert 0x0112 not in found.getexif() or orientation == 1
    quarters = np.asarray(found).reshape(2, height // 2, 2, width // 2, 3).mean((1, 3, 4))
    assert quarters == pytest.approx(np.array([[240, 20], [20, 20]]), abs=3)


def test_grey_with_chroma_of_its_own_is_stored_without_loss_of_colour():
    """Thin red and blue stripes would be purple if chroma were halved."""
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[:, ::2, 0] = pixels[:, 1::2, 2] = 255
    kept = decode(stored(encoded(pixels, format="PNG"), 512).data)
    assert np.abs(kept.astype(int) - pixels).mean() < 10


@pytest.mark.parametrize(
    "size, expected",
    [((1100, 600), (939, 512)), ((600, 1100), (512, 939)), ((513, 513), (512, 512)), ((3, 2000), (3, 2000))],
)
def test_only_the_smallest_side_is_bounded(size, expected):
    image = stored(encoded(draw(RNG, *size)), 512)
    assert (image.height, image.width) == expected == decode(image.data).shape[:2]


def test_sums_by_pencil_and_paper():
    image = stored(encoded(np.full((10, 20, 3), 100, np.uint8), "L"), 512)
    assert image.rgb_sum.tolist() == [20_000.0] * 3
    assert image.rgb_products.tolist() == [2_000_000.0] * 6


@pytest.mark.parametrize("name", ["progressive", "cmyk", "turned"])
def test_sums_are_those_of_the_stored_pixels_to_the_last_digit(name):
    image = stored(ODD[name], 64)
    red, green, blue = (decode(image.data)[..., channel].astype(int).ravel() for channel in range(3))
    assert image.rgb_sum.tolist() == [red.sum(), green.sum(), blue.sum()]
    pairs = ((red, red), (green, green), (blue, blue), (red, green), (red, blue), (green, blue))
    assert image.rgb_products.tolist() == [(one * other).sum() for one, other in pairs]


@pytest.mark.parametrize("name, data", BAD.items())
def test_bad_images_are_refused_with_a_reason(name, data):
    with pytest.raises(ValueError) as caught:
        stored(data, 512)
    assert str(caught.value) and "\n" not in str(caught.value)


def test_what_fits_into_no_jpeg_is_refused():
    with pytest.raises(ValueError, match="70000 x 2 pixels do not fit into a JPEG"):
        stored(encoded(np.zeros((2, 70_000, 3), np.uint8), format="PNG"), 512)
