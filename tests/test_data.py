import io
import os
import struct

import numpy as np
import pytest
import torch
from PIL import Image

from vgglib import data
from vgglib.data.files import decode, decode_all
from vgglib.runner import load_images


def encoded(colour, size=(64, 64), mode="RGB", format="JPEG", **options):
    buffer = io.BytesIO()
    Image.new(mode, size, colour).save(buffer, format, **options)
    return buffer.getvalue()


def write_tree(root, classes=("cat", "dog"), count=4):
    for number, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for i in range(count):
            (root / name / f"{i}.png").write_bytes(encoded((40 * i, 100 * number, 0), (50 + i, 64), format="PNG"))
    return root


def test_shapes_is_the_same_every_time_and_val_differs_from_train():
    arguments = {"name": "shapes", "train_images": 48, "val_images": 24, "smallest_side": 64}
    first = data.load(**arguments)
    data._read.cache_clear()
    assert data.load(**arguments).digest == first.digest
    assert len(first.class_names) >= 20
    assert (len(first.train), len(first.minival), len(first.val)) == (24, 24, 24)
    assert first.train.sizes.amin(1).unique().tolist() == [64] and first.train.sizes.max() > 64


def test_images_without_bad_ones_have_none_to_leave_out(tmp_path):
    with pytest.raises(ValueError, match="the data set shapes has no bad images, since it is drawn: leave out --skip-"):
        load_images("smoke", skip_bad_images=True)
    with pytest.raises(ValueError, match="imagenet has no bad images, since `vgg data pack` left them out or stopped"):
        load_images("imagenet", tmp_path, skip_bad_images=True)


def test_own_folder_with_and_without_val(tmp_path):
    plain = data.load("folder", write_tree(tmp_path / "plain", count=5))
    assert plain.class_names == ("cat", "dog")
    assert (len(plain.train), len(plain.minival), len(plain.val)) == (6, 2, 2)
    for which in ("train", "val"):
        write_tree(tmp_path / "both" / which)
    both = data.load("folder", tmp_path / "both")
    assert (len(both.train), len(both.minival), len(both.val)) == (6, 2, 8)
    assert both.val.sizes[:4].tolist() == [[64, 50], [64, 51], [64, 52], [64, 53]]


def test_large_own_images_are_reduced(tmp_path):
    images = data.load("folder", write_tree(tmp_path / "x"), smallest_side=32)
    assert images.train.sizes.amin(1).unique().tolist() == [32]


def test_grey_cmyk_palette_and_turned_images_become_upright_rgb():
    assert decode(encoded(100, mode="L"))[0, 0].tolist() == [100] * 3
    assert decode(encoded((0, 255, 255, 0), mode="CMYK"))[0, 0] == pytest.approx([255, 0, 0], abs=3)
    assert decode(encoded(0, mode="P", format="PNG")).shape == (64, 64, 3)
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    assert decode(encoded((9, 9, 9), size=(20, 10), exif=exif)).shape == (20, 10, 3)
    # The same, and the dots per inch as a text where a fraction belongs: tag, type, count and value.
    entries = struct.pack("<HHII", 0x0112, 3, 1, 6) + struct.pack("<HHI4s", 0x011A, 2, 3, b"72")
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2) + entries + bytes(4)
    assert decode(encoded((9, 9, 9), size=(20, 10), exif=exif)).shape == (20, 10, 3)


LEVELS = np.array([[0, 257 * 100, 65535]])  # the ends of 16 bits, and 100 of 255


def tiff(levels, order, bits=16, white_is=1, turned=1):
    """By the standard: a grey image as it lies in a TIFF whose bytes are in `order`, "<" or ">"."""
    height, width = levels.shape
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: white_is, 273: 200, 274: turned, 277: 1, 278: height}
    pixels = levels.astype(f"{order}u2").tobytes()
    entries = [struct.pack(f"{order}HHII", tag, 4, 1, value) for tag, value in (tags | {279: len(pixels)}).items()]
    head = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}IH", 8, len(entries))
    return (b"".join([head, *entries]) + bytes(4)).ljust(200, b"\0") + pixels


def test_grey_levels_of_sixteen_bits_become_eight():
    expected = [[[0] * 3, [100] * 3, [255] * 3]]
    for format in ("PNG", "TIFF", "JPEG2000"):
        if format in Image.SAVE:
            buffer = io.BytesIO()
            Image.fromarray(LEVELS.astype(np.uint16)).save(buffer, format)
            assert decode(buffer.getvalue()).tolist() == expected
    for order, mode in (("<", "I;16"), (">", "I;16B")):
        assert Image.open(io.BytesIO(tiff(LEVELS, order))).mode == mode
        assert decode(tiff(LEVELS, order)).tolist() == expected
        assert decode(tiff(LEVELS, order, turned=3)).tolist() == [expected[0][::-1]]
    near = np.array([[128, 129, 65535 - 129, 65535 - 128]])  # half of 257 is 128.5
    assert decode(tiff(near, "<"))[0, :, 0].tolist() == [0, 1, 254, 255]


def test_a_grey_level_of_sixteen_bits_may_be_declared_transparent():
    buffer = io.BytesIO()
    Image.fromarray(np.array([[25700, 25701]], np.uint16)).save(buffer, "PNG", transparency=25700)
    assert decode(buffer.getvalue())[0, :, 0].tolist() == [255, 100]


@pytest.mark.parametrize("content", [b"", b"not an image", encoded((1, 2, 3), size=(200, 200))[:-600]])
def test_broken_images_are_named_counted_and_skipped_only_if_asked(tmp_path, content):
    root = write_tree(tmp_path / "x")
    (root / "dog" / "1.png").write_bytes(content)
    with pytest.raises(ValueError, match=r"1 of \d+ images do not decode, the first is dog/1\.png .*--skip-bad-images"):
        data.load("folder", root)
    images = data.load("folder", root, skip_bad_images=True)
    assert images.skipped == ("dog/1.png",)
    assert len(images.train) + len(images.minival) + len(images.val) == 7


def test_bad_images_of_both_splits_are_named_at_once(tmp_path):
    for which in ("train", "val"):
        write_tree(tmp_path / "x" / which, count=9)
        (tmp_path / "x" / which / "dog" / "1.png").write_bytes(b"")
    with pytest.raises(ValueError) as caught:
        data.load("folder", tmp_path / "x")
    reason = "(it is no image that Pillow opens)"
    named = f"train/dog/1.png {reason}, val/dog/1.png {reason}"
    assert str(caught.value).startswith(f"2 of 36 images do not decode, the first 2 are {named}: repair or")
    images = data.load("folder", tmp_path / "x", skip_bad_images=True)
    assert images.skipped == ("train/dog/1.png", "val/dog/1.png") and count(images) == 34
    assert torch.bincount(images.val.labels).tolist() == [9, 8]
    for i in range(8):
        (tmp_path / "x" / "train" / "cat" / f"{i}.png").write_bytes(b"")
        (tmp_path / "x" / "val" / "dog" / f"{i}.png").write_bytes(b"")
    with pytest.raises(
        ValueError, match=r"^17 of 36 images do not decode, the first 10 are train/cat/0\.png"
    ) as caught:
        data.load("folder", tmp_path / "x")
    assert str(caught.value).count(reason) == 10 and "val/dog/0.png" in str(caught.value)


def composite(colour, alpha):
    """By hand: the colour where it covers, white behind."""
    return [round((value * alpha + 255 * (255 - alpha)) / 255) for value in colour]


@pytest.mark.parametrize("alpha", [0, 51, 128, 255])
def test_white_is_behind_what_is_transparent(alpha):
    for mode, colour, rgb in (("RGBA", (200, 40, 7, alpha), (200, 40, 7)), ("LA", (90, alpha), (90, 90, 90))):
        for format in ("PNG", "WEBP", "TIFF") if mode == "RGBA" else ("PNG", "TIFF"):
            options = {"lossless": True, "exact": True} if format == "WEBP" else {}
            pixels = decode(encoded(colour, mode=mode, format=format, **options))
            assert pixels.shape == (64, 64, 3) and pixels[3, 5].tolist() == composite(rgb, alpha)


@pytest.mark.parametrize("transparency, expected", [(1, [255] * 3), (bytes([255, 51]), composite((10, 20, 30), 51))])
def test_a_palette_may_have_transparent_colours(transparency, expected):
    image = Image.new("P", (2, 1))
    image.putpalette([250, 0, 0, 10, 20, 30])
    image.putpixel((1, 0), 1)
    for format in ("PNG", "GIF") if transparency == 1 else ("PNG",):
        buffer = io.BytesIO()
        image.save(buffer, format, transparency=transparency)
        assert decode(buffer.getvalue()).tolist() == [[[250, 0, 0], expected]]


def test_one_colour_may_be_declared_transparent():
    for mode, colour, other in (("RGB", (9, 8, 7), (9, 8, 6)), ("L", 100, 99)):
        assert (decode(encoded(colour, mode=mode, format="PNG", transparency=colour)) == 255).all()
        hidden_elsewhere = decode(encoded(colour, mode=mode, format="PNG", transparency=other))
        assert np.array_equal(hidden_elsewhere, decode(encoded(colour, mode=mode, format="PNG")))


def test_opaque_images_keep_every_bit():
    pixels = np.arange(256 * 3, dtype=np.int64).reshape(16, 16, 3).astype(np.uint8)
    for alpha in ([], [np.full((16, 16, 1), 255, np.uint8)]):
        buffer = io.BytesIO()
        Image.fromarray(np.concatenate([pixels, *alpha], 2)).save(buffer, "PNG")
        assert np.array_equal(decode(buffer.getvalue()), pixels)


def count(images):
    return len(images.train) + len(images.minival) + len(images.val)


def test_a_folder_that_has_changed_is_read_again(tmp_path):
    root = write_tree(tmp_path / "x")
    first = data.load("folder", root)
    assert data.load("folder", str(root)) is first and count(first) == 8
    (root / "cat" / "4.png").write_bytes(encoded((1, 2, 3), format="PNG"))
    assert count(data.load("folder", root)) == 9
    (root / "cat" / "4.png").unlink()
    again = data.load("folder", root)
    assert count(again) == 8 and again.digest == first.digest
    digests = set()
    for time in (1, 2):  # of as many bytes
        (root / "dog" / "0.png").write_bytes(encoded((time, 0, 0), format="BMP"))
        os.utime(root / "dog" / "0.png", ns=(time, time))
        digests.add(data.load("folder", root).digest)
    assert len(digests) == 2


def test_links_are_followed_to_what_has_changed_and_never_in_circles(tmp_path):
    write_tree(tmp_path / "pool")
    (tmp_path / "x" / "val").mkdir(parents=True)
    (tmp_path / "x" / "train").symlink_to(tmp_path / "pool")
    for name in ("cat", "dog"):
        (tmp_path / "x" / "val" / name).symlink_to(tmp_path / "pool" / name)
    (tmp_path / "pool" / "cat" / "up").symlink_to(tmp_path / "pool")
    (tmp_path / "pool" / "cat" / "gone.txt").symlink_to(tmp_path / "nowhere")
    first = data.load("folder", tmp_path / "x")
    assert data.load("folder", tmp_path / "x") is first and count(first) == 16
    assert first.unread == ((".txt", 1),)  # what is read by another path is read
    (tmp_path / "pool" / "dog" / "3.png").unlink()
    assert count(data.load("folder", tmp_path / "x")) == 14


def test_files_that_are_not_read_are_counted_by_their_suffix(tmp_path):
    root = write_tree(tmp_path / "x", count=5)
    assert data.load("folder", root).unread == ()
    for name in ("cat/a.txt", "cat/deep/b.TXT", "dog/c.mov", "loose.png", "dog/README", "Thumbs.db", "cat/.DS_Store"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b"")
    images = data.load("folder", root)
    assert count(images) == 10 and images.skipped == ()
    assert images.unread[0] == (".txt", 2)
    assert sorted(images.unread[1:]) == [(".db", 1), (".mov", 1), (".png", 1), ("no suffix", 1)]


def test_a_linked_folder_in_a_class_is_not_read_and_counted(tmp_path):
    write_tree(tmp_path / "pool", count=5)
    for which in ("train", "val"):
        write_tree(tmp_path / "x" / which)
    (tmp_path / "x" / "train" / "cat" / "more").symlink_to(tmp_path / "pool" / "cat")
    images = data.load("folder", tmp_path / "x")
    assert count(images) == 16 and images.unread == ((".png", 5),)


@pytest.mark.parametrize(
    "suffix, format", [(".jfif", "JPEG"), (".JPE", "JPEG"), (".avif", "AVIF"), (".jp2", "JPEG2000"), (".pgm", "PPM")]
)
def test_less_usual_formats_are_read(tmp_path, suffix, format):
    if format not in Image.SAVE:
        pytest.skip(f"Pillow was built without {format}")
    root = write_tree(tmp_path / "x")
    (root / "cat" / f"photo{suffix}").write_bytes(encoded((9, 9, 9), format=format))
    images = data.load("folder", root)
    assert count(images) == 9 and images.unread == ()


def test_photographs_that_pillow_cannot_open_are_refused_and_not_passed_over(tmp_path):
    root = write_tree(tmp_path / "x")
    (root / "cat" / "IMG_1.HEIC").write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    with pytest.raises(ValueError, match=r"1 of \d+ images .* cat/IMG_1\.HEIC \(it is no image that Pillow.*convert"):
        data.load("folder", root)
    images = data.load("folder", root, skip_bad_images=True)
    assert images.skipped == ("cat/IMG_1.HEIC",) and images.unread == ()


@pytest.mark.parametrize(
    "folders", [("Train", "Valid"), ("training", "validation"), ("test", "val"), ("TESTING", "cat", "dog"), ("Train",)]
)
def test_folders_of_splits_are_no_classes(tmp_path, folders):
    for name in folders:
        write_tree(tmp_path / "x" / name)
    with pytest.raises(ValueError, match=rf"x holds '{folders[0]}', .*rename .*'train'") as caught:
        data.load("folder", tmp_path / "x")
    assert "\n" not in str(caught.value)


def test_classes_below_train_and_val_may_be_called_test(tmp_path):
    for which in ("train", "val"):
        write_tree(tmp_path / "x" / which, classes=("cat", "test"))
    assert data.load("folder", tmp_path / "x").class_names == ("cat", "test")


def test_a_set_that_is_drawn_takes_no_folder(tmp_path):
    for folder in (tmp_path, "nowhere"):
        with pytest.raises(ValueError, match=r"the data set shapes is drawn .*: .*--preset folder .*--data-dir"):
            data.load("shapes", folder, train_images=48, val_images=24, smallest_side=64)


@pytest.mark.parametrize(
    "name, numbers, said",
    [
        ("shapes", {"val_images": 0}, "val_images is 0: it must be an int from 1 on"),
        ("shapes", {"train_images": -5}, "train_images is -5: "),
        ("folder", {"smallest_side": -4}, "smallest_side is -4: "),
        ("tiny-imagenet", {"classes": 1}, "classes is 1: it must be an int from 2 on"),
    ],
)
def test_numbers_of_nothing_are_refused(tmp_path, name, numbers, said):
    usual = {"train_images": 4, "val_images": 4, "smallest_side": 64} if name == "shapes" else {"data_dir": tmp_path}
    with pytest.raises(ValueError, match=said):
        data.load(name, **usual | numbers)


def test_numbers_that_a_set_does_not_take_and_those_it_lacks_are_named(tmp_path):
    numbers = {"train_images": 48, "val_images": 24, "smallest_side": 64}
    with pytest.raises(ValueError, match="the data set shapes takes no classes and was given 3: leave classes out"):
        data.load("shapes", **numbers, classes=3)
    with pytest.raises(ValueError, match="the data set folder takes no train_images and was given 9: leave train_im"):
        data.load("folder", write_tree(tmp_path / "x"), train_images=9)
    with pytest.raises(ValueError, match="drawn and lacks train_images, val_images, smallest_side: give numbers of"):
        data.load("shapes")
    with pytest.raises(ValueError, match="drawn and lacks val_images: give numbers of"):
        data.load("shapes", **(numbers | {"val_images": None}))


def test_a_file_that_cannot_be_read_is_no_bad_image(tmp_path):
    root = write_tree(tmp_path / "x")
    (root / "dog" / "9.png").symlink_to(tmp_path / "nowhere")
    for skip in (False, True):
        with pytest.raises(ValueError, match=r"dog/9\.png cannot be read \(No such file or directory\): mend that"):
            data.load("folder", root, skip_bad_images=skip)


@pytest.mark.parametrize("place", ["dog", os.fsdecode(b"caf\xe9")])
def test_names_that_are_not_in_utf_8_are_refused(tmp_path, place):
    root = write_tree(tmp_path / "x", ("cat", place))
    (root / place / "1.png").rename(root / place / os.fsdecode(b"\xe9.png"))
    with pytest.raises(ValueError, match=r"^the name of b'.*' is not in UTF-8: rename it\.$"):
        data.load("folder", root)


def test_hidden_copies_are_not_images(tmp_path):
    root = write_tree(tmp_path / "x", count=5)
    (root / "cat" / ".ipynb_checkpoints").mkdir()
    (root / "cat" / ".ipynb_checkpoints" / "0.png").write_bytes(b"")
    (root / "dog" / "._1.png").write_bytes(b"")
    images = data.load("folder", root)
    assert len(images.train) + len(images.minival) + len(images.val) == 10


def test_images_without_a_range_and_classes_too_small_are_refused(tmp_path):
    for mode in ("I", "F"):
        with pytest.raises(ValueError, match=f"mode {mode} has no fixed range of grey levels, save it with 8 bits"):
            decode(encoded(40000, mode=mode, format="TIFF"))
    for odd in ({"bits": 12}, {"white_is": 0}):
        with pytest.raises(ValueError, match="do not go from 0, black, to 65535, white, save it with 8 bits"):
            decode(tiff(LEVELS, "<", **odd))
    with pytest.raises(ValueError, match=r"cat holds 2 image\(s\): at least 3"):
        data.load("folder", write_tree(tmp_path / "x", count=2))


def test_refusals_name_the_value(tmp_path):
    write_tree(tmp_path / "x")
    (tmp_path / "x" / "empty").mkdir()
    (tmp_path / "only").mkdir()
    for arguments, message in (
        (("mnist",), "unknown data set 'mnist'"),
        (("tiny-imagenet",), "read from a folder"),
        (("folder", tmp_path / "none"), "none does not exist"),
        (
            ("folder", tmp_path / "x" / "cat" / "0.png"),
            r"0\.png is a file: give --data-dir .* the folder that holds it",
        ),
        (("folder", tmp_path / "x"), "empty holds no images"),
        (("folder", tmp_path / "only"), "only holds 0 class folder"),
        (("tiny-imagenet", tmp_path / "only"), "holds no Tiny ImageNet"),
    ):
        with pytest.raises(ValueError, match=message):
            data.load(*arguments)


def test_train_and_val_must_have_the_same_classes(tmp_path):
    write_tree(tmp_path / "x" / "train")
    with pytest.raises(ValueError, match="no folder 'val'"):
        data.load("folder", tmp_path / "x")
    write_tree(tmp_path / "x" / "val", classes=("cat", "emu"))
    with pytest.raises(ValueError, match="class 'dog' is in only one of train and val"):
        data.load("folder", tmp_path / "x")


def test_decoded_pixels_are_those_of_the_file():
    pixels = np.random.default_rng(0).integers(0, 256, (7, 5, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    assert torch.equal(torch.tensor(decode(buffer.getvalue())), torch.from_numpy(pixels))


def test_a_lack_of_memory_is_no_bad_image(monkeypatch):
    def scarce(_):
        raise MemoryError

    monkeypatch.setattr("PIL.Image.open", scarce)
    with pytest.raises(MemoryError):
        decode_all(["one.png"], lambda _: b"", skip_bad_images=True)
