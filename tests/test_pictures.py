import numpy as np
import pytest
import torch
from photographs import picture
from PIL import Image

from vgglib import evaluate
from vgglib.data.imageset import Split
from vgglib.display import pictures


def test_the_photograph_is_scikit_images_cat():
    found = pictures.photograph()
    assert (found.shape, found.dtype) == ((300, 451, 3), torch.uint8)


def test_a_photograph_of_ones_own_is_read_and_bounded(tmp_path):
    Image.fromarray(picture(20, 30).numpy()).save(tmp_path / "own.png")
    assert torch.equal(pictures.photograph(str(tmp_path / "own.png")), picture(20, 30))
    Image.new("RGB", (4096, 2048)).save(tmp_path / "large.png")
    assert pictures.photograph(str(tmp_path / "large.png")).shape == (1024, 2048, 3)
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(ValueError, match=r"missing\.png cannot be used \(No such file .*\): name an image file\."):
        pictures.photograph(str(tmp_path / "missing.png"))
    with pytest.raises(ValueError, match=r"text\.png cannot be used, repair or convert it: it is no image that"):
        pictures.photograph(str(tmp_path / "text.png"))


def test_a_photograph_that_a_decoder_refuses_ends_with_its_remedy(tmp_path):
    Image.new("F", (4, 4)).save(tmp_path / "float.tif")
    with pytest.raises(ValueError, match=r"float\.tif cannot be used, .* save it with 8 bits a channel\.$"):
        pictures.photograph(str(tmp_path / "float.tif"))


@pytest.mark.parametrize("turned", [False, True])
def test_a_long_thin_photograph_is_to_be_cropped(tmp_path, turned):
    for length in (40, 41):
        pixels = picture(2, length).numpy()
        Image.fromarray(pixels.swapaxes(0, 1) if turned else pixels).save(tmp_path / f"{length}.png")
    assert sorted(pictures.photograph(str(tmp_path / "40.png")).shape) == [2, 3, 40]
    with pytest.raises(ValueError, match=r"41\.png are as 20\.5 to 1: crop it to 20 to 1 at most"):
        pictures.photograph(str(tmp_path / "41.png"))


def test_one_image_as_a_set_has_its_own_mean():
    image = picture(3, 5)
    one = pictures.alone(image)
    assert torch.equal(one.train.image(0), image)
    assert one.mean_rgb.tolist() == [1, 2, 100]


def test_few_images_are_the_presets_own():
    few = pictures.few_images("smoke", train=48, val=24)
    assert len(few.val) == 24
    from vgglib.runner import load_images

    whole = load_images("smoke").val
    assert all(torch.equal(few.val.image(i), whole.image(i)) for i in range(24))


def test_images_from_a_folder_are_spaced_evenly(tmp_path):
    for part, count in (("train", 2), ("val", 5)):
        for name in ("dark", "light"):
            (tmp_path / part / name).mkdir(parents=True)
            for i in range(count):
                grey = 20 * i + 5 * (name == "light")
                Image.new("RGB", (64, 64), (grey,) * 3).save(tmp_path / part / name / f"{i}.png")
    few = pictures.few_images("folder", str(tmp_path), val=4)
    assert [int(few.val.image(i)[0, 0, 0]) for i in range(4)] == [0, 60, 25, 85]  # numbers 0, 3, 6 and 9
    assert few.val.labels.tolist() == [0, 0, 1, 1]
    with pytest.raises(ValueError, match="is read from a folder"):
        pictures.few_images("folder")


def answers(*rights):
    """Two classes; all images are of class 1, and right where told so."""
    split = Split.of([np.zeros((2, 2, 3), np.uint8)] * len(rights[0]), [1] * len(rights[0]))
    return {
        q: (split, np.array([(0.1, 0.9) if right else (0.8, 0.2) for right in line])) for q, line in enumerate(rights)
    }


def test_instructive_images_and_errors():
    found = answers([False, True, True, True], [True, True, False, True], [False, False, True, True])
    assert pictures.instructive(found) == [3, 1]
    assert pictures.errors(found) == {0: 25, 1: 25, 2: 50}
    assert pictures.instructive(answers([True, True], [True, True])) == [0]
    assert pictures.instructive(answers([False, True], [False, False])) == [1]
    assert pictures.instructive(answers([False, False], [True, True])) == [0]


def test_score_map_is_what_the_posteriors_are_averaged_from(net_and_noise):
    model, images, experiment = net_and_noise
    found = pictures.at_scales(model, images, experiment, (256, 512))
    assert [split.sizes.tolist() for split, _ in found.values()] == [[[64, 64], [64, 96]], [[128, 128], [128, 192]]]
    split, posteriors = found[512]
    maps = [pictures.score_map(model, split.image(1), images.mean_rgb, label) for label in range(4)]
    assert maps[0].shape == (4, 6)
    np.testing.assert_allclose(sum(maps), 1, rtol=1e-5)
    # Scores are averaged before the soft-max: up to a constant of each cell they are the logarithms.
    scores = np.log(maps).mean((1, 2))
    np.testing.assert_allclose(posteriors[1], np.exp(scores) / np.exp(scores).sum(), rtol=1e-3)
    assert abs(posteriors[1] - np.mean(maps, (1, 2))).max() > 0.01  # the other order
    np.testing.assert_allclose(posteriors, evaluate.posteriors(model, split, images.mean_rgb, flip=False))
