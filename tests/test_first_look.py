import inspect
from dataclasses import replace

import numpy as np
import pytest
from pages import NOTEBOOKS, code_cells
from photographs import WNIDS, write, write_tree
from PIL import Image
from small_runs import run, small

from vgglib import presets
from vgglib.analysis import errors
from vgglib.display import first_look, pictures
from vgglib.evaluate import posteriors
from vgglib.plans import plan


@pytest.fixture
def net(images, tmp_path, monkeypatch):
    """Net A of preset smoke, trained a little."""
    run(small(), results=tmp_path)
    monkeypatch.setenv("VGG_RESULTS", str(tmp_path))
    monkeypatch.setattr(pictures, "few_images", lambda *_: images)
    monkeypatch.setattr(first_look.plans, "plan", lambda *_, **__: small())
    return first_look.trained("smoke", "A")


def test_the_sentence_has_the_records_error(net):
    assert f"top-1 error is {net.record['top1_error_percent']:.1f} %" in net.sentence
    assert f"in {len(net.record['history'])} epochs" in net.sentence


def test_the_answers_are_the_first_of_the_posterior(net, images):
    one = first_look.picture(net, number=2)
    assert one.val.labels.tolist() == [int(images.val.labels[2])]
    split = images.val.subset(np.array([2])).rescaled(net.run.experiment.pixels(384))
    found = posteriors(net.model, split, images.mean_rgb)[0]
    table = first_look.answers(net, one, 384, count=3)
    assert table["Probability, %"].tolist() == [f"{100 * value:.1f}" for value in sorted(found)[:-4:-1]]
    assert table["Class"][0] == images.class_names[found.argmax()]


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_answers_are_computed_in_the_precision_of_the_record(net, monkeypatch, precision):
    heard = []
    monkeypatch.setattr(first_look.evaluate, "posteriors", lambda *_, **how: heard.append(how) or np.eye(2))
    record = net.record | {"environment": net.record["environment"] | {"precision": precision}}
    first_look.answers(replace(net, record=record), first_look.picture(net), 256)
    assert heard == [{"precision": precision}]


def test_a_photo_of_ones_own_is_labelled_by_the_net(net, tmp_path):
    path = tmp_path / "mine.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (70, 90, 3), dtype=np.uint8)).save(path)
    one = first_look.picture(net, photo=str(path))
    assert one.val.sizes.tolist() == [[70, 90]]
    assert one.class_names[int(one.val.labels[0])] == first_look.answers(net, one, 256)["Class"][0]


def test_images_that_a_net_was_not_trained_on_are_refused(net, images, monkeypatch):
    from_a_folder = replace(presets.named("smoke"), needs_folder=True)
    monkeypatch.setattr(first_look.presets, "named", lambda name: from_a_folder)
    assert first_look.trained("smoke", "A").images is images
    monkeypatch.setattr(pictures, "few_images", lambda *_: replace(images, class_names=("cat", "dog")))
    with pytest.raises(ValueError, match=r"A_S256_seed0.* of preset smoke was made from other images \(digest "):
        first_look.trained("smoke", "A")


def test_images_that_a_record_left_out_are_left_out_again(tmp_path):
    folder = write_tree(tmp_path / "own", train=9, val=3, sizes=((60, 50),))
    write(folder / "val" / WNIDS[0] / "bad.png", b"no image")
    small_recipe = {"epochs": 1, "width": 1 / 64, "resolution": 1 / 7, "precision": "fp32"}
    entries = plan("folder", "3", ["A"], [0], ["256"], **small_recipe)
    run(entries, data_dir=folder, skip_bad_images=True)
    (bad,) = first_look.trained("folder", "A", 0, folder, **small_recipe).images.skipped
    assert bad.endswith("bad.png")
    assert errors.val_images("folder", errors.answers(entries), folder).skipped == (bad,)
    write(folder / "val" / WNIDS[1] / "worse.png", b"no image either")
    first_look.trained("folder", "A", 0, folder, **small_recipe)  # of what was read nothing has changed
    next((folder / "train" / WNIDS[0]).iterdir()).write_bytes(b"no longer an image")
    with pytest.raises(ValueError, match=r"A_S256_seed0.* of preset folder was made from other images"):
        first_look.trained("folder", "A", 0, folder, **small_recipe)


def test_what_is_not_there_is_named(net, tmp_path):
    with pytest.raises(ValueError, match=f"number is 9999: there are {len(net.images.val)} images at hand"):
        first_look.picture(net, number=9999)
    with pytest.raises(ValueError, match=r"none\.png cannot be used"):
        first_look.picture(net, photo=str(tmp_path / "none.png"))


def test_the_comment_on_the_number_counts_the_images_at_hand():
    count = inspect.signature(pictures.few_images).parameters["val"].default
    assert f"from 0 to {count - 1}\n" in code_cells(NOTEBOOKS[0])[0].source


def test_a_net_that_was_never_trained_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("VGG_RESULTS", str(tmp_path))
    with pytest.raises(ValueError, match="there is no trained net A_S256_seed0 of preset smoke"):
        first_look.trained("smoke", "A")
