import hashlib
import json
import os
import pickle
import re
import shutil
from itertools import chain, product

import numpy as np
import pytest
import torch
from photographs import WNIDS, encoded, write
from photographs import draw as photograph
from scipy.stats import chisquare

from vgglib import data
from vgglib.augment import draw, generator
from vgglib.data import dali, packed, shards
from vgglib.data import pack as packing
from vgglib.data.ahead import ahead
from vgglib.data.imageset import ImageSet, Split
from vgglib.data.stored import stored
from vgglib.evaluate import posteriors
from vgglib.experiments import Experiment
from vgglib.models import VGG, initialise
from vgglib.runner import load_again, load_images
from vgglib.train import train
from vgglib.training.distributed import Division

CPU = torch.device("cpu")
SIZES = ((70, 90), (90, 70), (64, 64), (64, 150), (200, 130))  # height, width


def write_shard(path, images, labels, skipped=()):
    rows = [
        (f"{path.stem}/{i}.JPEG", label, *stored(encoded(pixels, quality=92), 512))
        for i, (pixels, label) in enumerate(zip(images, labels, strict=True))
    ]
    shards.write(path, rows, list(skipped))


def write_pack(folder, train=40, val=12, classes=2):
    """A pack whose class decides the brightness; two shards of train, one of val."""
    rng = np.random.default_rng(0)

    def images(count):
        labels = [i % classes for i in range(count)]
        return [photograph(rng, *SIZES[i % len(SIZES)]) // 2 + 100 * label for i, label in enumerate(labels)], labels

    for split, count, parts in (("train", train, 2), ("val", val, 1)):
        pixels, labels = images(count)
        for part in range(parts):
            path = folder / f"{split}-{part:05}-of-{parts:05}.arrow"
            write_shard(path, pixels[part::parts], labels[part::parts], [("odd.JPEG", "it is no image")][: part + 1])
    described = {"schema": 1, "name": "imagenet", "class_names": [f"n{i}" for i in range(classes)]}
    described |= {"smallest_side": 512, "source_sha256": "0" * 64, "shards": {"train": 2, "val": 1}}
    (folder / "pack.json").write_text(json.dumps(described))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_pack(tmp_path_factory.mktemp("pack"))


needs_dali = pytest.mark.skipif(not dali.installed(), reason="NVIDIA DALI is not installed (nvidia-dali-cuda130)")
WAYS = [("pillow", 0), ("pillow", 2), pytest.param(("dali", 2), marks=needs_dali)]


@pytest.fixture(params=WAYS, ids=lambda way: f"{way[0]}, {way[1]} threads")
def images(folder, request):
    decoder, threads = request.param
    return packed.load(folder, minival_share=0.1, threads=threads, decoder=decoder)


def in_memory(split):
    """The same images with their pixels held."""
    return Split.of([split.image(i).numpy() for i in range(len(split))], split.labels.tolist())


def test_a_pack_is_read_with_all_it_holds(images):
    assert (len(images.train), len(images.minival), len(images.val)) == (36, 4, 12)
    assert images.class_names == ("n0", "n1") and images.skipped == ("odd.JPEG",) * 3
    whole = packed.load(images.val.shards[0].path.parent, minival_share=0.1, threads=0)
    assert whole.digest == images.digest
    sizes = {tuple(size) for size in images.train.sizes.tolist()}
    assert sizes == set(SIZES) and (images.train.smallest_side, images.train.largest_scale) == (64, 130)
    assert [images.val.name(i) for i in (0, 7)] == ["val-00000-of-00001/0.JPEG", "val-00000-of-00001/7.JPEG"]
    dark, bright = (
        in_memory(images.val).subset(np.flatnonzero(images.val.labels == k)).mean_rgb.mean() for k in (0, 1)
    )
    assert bright > dark + 50


def test_a_line_says_what_a_pack_is(folder):
    images = packed.load(folder, minival_share=0.1)
    assert repr(images) == "ImageSet imagenet: 2 classes, 36 train, 4 minival, 12 val"
    assert repr(images.val) == "PackedSplit: 12 images, sides 64 to 200 px"
    assert repr(images.val.rescaled(32).subset([2])) == "PackedSplit: 1 images, sides 32 to 32 px"


def test_a_subset_by_mask_is_where_it_is_true(images):
    mask = np.arange(len(images.val)) == 2
    for given in (mask, torch.from_numpy(mask), mask.tolist()):
        assert images.val.subset(given).offset.tolist() == [images.val.offset[2]]
    with pytest.raises(ValueError, match=r"a mask of shape \(11,\) was given for 12 images"):
        images.val.subset(mask[1:])
    with pytest.raises(ValueError, match="a subset of 0 images was asked for: name at least one"):
        images.val.subset([])


def test_a_pack_that_was_made_anew_is_opened_anew(tmp_path):
    first = data.load("imagenet", write_pack(tmp_path))
    assert data.load("imagenet", tmp_path) is first
    assert len(data.load("imagenet", write_pack(tmp_path, val=14)).val) == 14


def test_pixels_are_those_of_the_pack_that_was_loaded(tmp_path):
    def packed_anew(grey, *size):
        for split, name, i in product(("train", "val"), WNIDS, range(2)):
            write(tmp_path / "source" / split / name / f"{i}.JPEG", encoded(np.full((*size, 3), grey, np.uint8)))
        shutil.rmtree(tmp_path / "pack", ignore_errors=True)
        packing.pack(tmp_path / "source", tmp_path / "pack", jobs=1)
        return data.load("imagenet", tmp_path / "pack")

    old = packed_anew(20, 64, 64)
    before = pickle.dumps(old.val)
    assert old.val.image(0).unique().tolist() == [20]
    new = packed_anew(200, 64, 96)
    assert new.val.image(0).shape == (64, 96, 3) and new.val.image(0).unique().tolist() == [200]
    assert old.val.image(1).shape == (64, 64, 3) and old.val.image(1).unique().tolist() == [20]
    with pytest.raises(ValueError, match=r"val-00000-of-00001.arrow has changed since it was opened: start again."):
        pickle.loads(before)
    path, descriptor = new.val.shards[0].path, new.val.shards[0].descriptor
    assert os.path.samestat(path.stat(), os.fstat(descriptor))
    del new
    data._read.cache_clear()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_mean_and_covariance_come_from_the_stored_sums(images):
    held = in_memory(images.train)
    torch.testing.assert_close(images.mean_rgb, held.mean_rgb)
    torch.testing.assert_close(images.train.rgb_covariance, held.rgb_covariance, rtol=1e-9, atol=0)


def test_mean_and_covariance_by_hand(tmp_path):
    black, red = np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2, 3), np.uint8)
    red[..., 0] = 100
    sums = [
        (2, 2, b"", pixels.sum((0, 1)).astype(float), np.array([4 * float(pixels[0, 0, 0]) ** 2, 0, 0, 0, 0, 0]))
        for pixels in (black, red)
    ]
    shards.write(tmp_path / "x.arrow", [(f"{i}", i, *row) for i, row in enumerate(sums)], [])
    split, _ = packed._split(tmp_path, "train", [tmp_path / "x.arrow"], 0, "auto")
    assert split.mean_rgb.tolist() == [50, 0, 0]
    # Four pixels 50 below the mean and four above: 8 * 50^2 / 7.
    assert split.rgb_covariance[0, 0].item() == pytest.approx(8 * 50**2 / 7 / 255**2)
    assert split.rgb_covariance.abs().sum() == split.rgb_covariance[0, 0]


@pytest.mark.parametrize("scales", [None, (57, 128)], ids=["S = 64", "jitter"])
def test_crops_are_those_of_images_in_memory(images, scales):
    split = images.train if scales else images.train.rescaled(64)
    held = in_memory(images.train)
    held = held if scales else held.rescaled(64)
    index = torch.randperm(36, generator=generator(3)).repeat(2)
    steps = [draw(images, split, index[i : i + 40], 56, generator(0, i), scales) for i in (0, 32)]
    same = [draw(images, held, index[i : i + 40], 56, generator(0, i), scales) for i in (0, 32)]
    assert steps[0].mirrored.any() and not steps[0].mirrored.all()
    found, expected = list(split.crops(steps, 56)), list(held.crops(same, 56))
    for (draws, ours), (others, theirs) in zip(found, expected, strict=True):
        assert torch.equal(draws.corners, others.corners) and torch.equal(draws.sides, others.sides)
        assert ours.shape == (40, 3, 56, 56) and ours.dtype == torch.uint8
        assert ours.stride(1) == 1 and ours.float().is_contiguous(memory_format=torch.channels_last)
        difference = (ours.int() - theirs.int()).abs()
        assert difference.max() <= 1


def test_batches_and_parts_are_those_of_images_in_memory(images):
    split = images.val.rescaled(64)
    held = in_memory(images.val).rescaled(64)
    for (index, ours), (same, theirs) in zip(split.batches(8000), held.batches(8000), strict=True):
        assert torch.equal(index, same) and torch.equal(ours, theirs)
        assert ours.is_contiguous(memory_format=torch.channels_last)
    for (index, ours), (same, theirs) in zip(split.parts(5), held.parts(5), strict=True):
        assert torch.equal(index, same)
        for part in ("pixels", "sizes", "labels"):
            assert torch.equal(getattr(ours, part), getattr(theirs, part))


def test_a_batch_in_several_passes_trains_the_same_net(images):
    settings = {"resolution": 1 / 4, "width": 1 / 32, "batch_size": 32, "epochs": 1, "precision": "fp32"}
    plan = Experiment("A", 0, initialisation="he-fan-out", learning_rate=1e-4, train_scale=(256, 512), **settings)
    whole, passes = (train(plan, images, CPU, division=Division(images_per_pass=count)) for count in (None, 2))
    # Sixteen passes: more than there is memory for at once.
    assert passes.history[0].train_loss == pytest.approx(whole.history[0].train_loss, rel=1e-6)


def test_a_subset_and_what_travels_to_another_process(images):
    index = np.array([7, 2])
    again = pickle.loads(pickle.dumps(images.val.subset(index)))
    assert again.labels.tolist() == images.val.labels[index].tolist()
    assert torch.equal(again.image(0), images.val.image(7)) and torch.equal(again.image(1), images.val.image(2))
    assert len(pickle.dumps(images.val)) < 20_000  # places, not pixels


@pytest.mark.parametrize("method", ["dense", "multi-crop"])
def test_posteriors_are_those_of_images_in_memory(images, method):
    model = initialise(VGG("A", 2, 1 / 32, input_size=56), "he-fan-out", seed=0)
    ours, theirs = (
        posteriors(model, split, images.mean_rgb, method=method)
        for split in (images.val.rescaled(64), in_memory(images.val).rescaled(64))
    )
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)


def test_a_thread_that_reads_calls_no_others():
    torch.set_num_threads(2)
    try:
        found = list(ahead([("what", [torch.get_num_threads])], threads=1))
        assert found == [("what", [1])] and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


def test_every_image_once_an_epoch_and_training_learns(images, monkeypatch):
    seen = []

    def cropping(self, steps, size):
        for draws, crops in given(self, steps, size):
            seen.append(draws.index.tolist())
            yield draws, crops

    given = packed.PackedSplit.crops
    monkeypatch.setattr(packed.PackedSplit, "crops", cropping)
    settings = {"resolution": 1 / 4, "width": 1 / 32, "batch_size": 12, "epochs": 4, "precision": "fp32"}
    plan = Experiment("A", 0, initialisation="he-fan-out", learning_rate=0.02, **settings)
    trained = train(plan, images, CPU)
    for epoch in range(4):
        assert sorted(chain(*seen[3 * epoch : 3 * epoch + 3])) == list(range(36))
    assert trained.history[-1].train_loss < trained.history[0].train_loss


def test_every_scale_is_drawn_alike(images):
    index = torch.zeros(25_700, dtype=torch.long)
    sides = draw(images, images.train, index, 224, generator(0), (256, 512)).sides.amin(1)
    found = torch.bincount(sides, minlength=513)[256:]
    assert len(found) == 257 and found.sum() == 25_700
    assert chisquare(found.numpy()).pvalue > 0.01  # a fixed seed: never by chance


def test_the_digest_sees_pixels_labels_and_sizes(tmp_path, folder):
    def digest(change):
        rows = [["a", 0, 4, 6, b"x", np.ones(3), np.ones(6)], ["b", 1, 4, 6, b"x", np.ones(3), np.ones(6)]]
        change(rows)
        shards.write(tmp_path / "x.arrow", rows, [])
        found = hashlib.sha256()
        packed._split(tmp_path, "train", [tmp_path / "x.arrow"], 0, "auto")[0].update(found)
        return found.hexdigest()

    changes = [
        lambda rows: None,
        lambda rows: rows[0].__setitem__(1, 1),
        lambda rows: rows[0].__setitem__(2, 5),
        lambda rows: rows[1].__setitem__(5, np.array([1.0, 1, 2])),
        lambda rows: rows[1].__setitem__(6, np.array([1.0, 1, 2, 1, 1, 1])),
        lambda rows: rows.reverse(),
    ]
    assert len({digest(change) for change in changes}) == len(changes)


def test_a_pack_whose_bad_images_were_left_out_is_loaded_again_as_it_is(folder):
    assert load_again("imagenet", 3, folder).digest == load_images("imagenet", folder).digest


def test_a_decoder_that_is_unknown_or_missing_is_refused(folder, monkeypatch):
    with pytest.raises(ValueError, match="unknown decoder 'turbo': choose one of auto, dali, pillow"):
        load_images("smoke", decoder="turbo")
    with pytest.raises(ValueError, match="the data set shapes has no packed images for --decoder pillow: leave it out"):
        load_images("smoke", decoder="pillow")
    monkeypatch.setattr(dali, "installed", lambda: False)
    gpu = torch.device("cuda")
    assert packed.load(folder).train.decoder_on(gpu) == "pillow"
    with pytest.raises(ValueError, match=r'DALI is not installed: pip install -e "\.\[dali\]" .*, or pass --decoder'):
        packed.load(folder, decoder="dali")
    monkeypatch.setattr(dali, "installed", lambda: True)
    assert [packed.load(folder).train.decoder_on(device) for device in (CPU, gpu)] == ["pillow", "dali"]


def test_what_is_no_whole_pack_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"holds no pack.json: pack the images, `vgg data pack SOURCE "):
        data.load("imagenet", tmp_path)
    write_pack(tmp_path)
    kept = (tmp_path / "pack.json").read_text()
    (tmp_path / "pack.json").write_text(kept[:20])
    with pytest.raises(ValueError, match=r"pack.json is damaged \(.*\): delete the folder and pack again"):
        packed.load(tmp_path)
    for odd in (kept.replace("shards", "parts"), kept.replace("class_names", "names"), re.sub(r": 2,", ': "2",', kept)):
        (tmp_path / "pack.json").write_text(odd)
        with pytest.raises(ValueError, match=r"pack.json is damaged \(.*\): delete the folder and pack again"):
            packed.load(tmp_path)
    (tmp_path / "pack.json").write_text(kept.replace('"schema": 1', '"schema": 7'))
    with pytest.raises(ValueError, match="has schema 7 where this version reads 1"):
        packed.load(tmp_path)
    (tmp_path / "pack.json").write_text(kept)
    shard = tmp_path / "train-00001-of-00002.arrow"
    whole = shard.read_bytes()
    for damage in (whole[: len(whole) // 2], b""):
        shard.write_bytes(damage)
        with pytest.raises(ValueError, match=r"train-00001-of-00002.arrow is damaged \(.*\): delete it and pack again"):
            packed.load(tmp_path)
    shard.unlink()
    with pytest.raises(ValueError, match=r"1 of 3 shards of .* are missing, the first is train-00001-of-00002.arrow"):
        packed.load(tmp_path)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: f"{way[0]}, {way[1]} threads")
def test_an_image_that_went_bad_is_named(tmp_path, way):
    write_pack(tmp_path)
    split = packed.load(tmp_path, threads=way[1], decoder=way[0]).val.rescaled(64)
    path = split.shards[0].path
    content = bytearray(path.read_bytes())
    content[int(split.offset[3]) : int(split.offset[3]) + 200] = bytes(200)
    path.write_bytes(content)
    images = ImageSet("x", ("n0", "n1"), split, split, split)
    sentence = (
        r"val-00000-of-00001/3.JPEG in .*val-00000-of-00001.arrow "
        r"does not decode \(it is no image that Pillow opens\): delete that"
    )
    with pytest.raises(ValueError, match=sentence):
        list(split.crops([draw(images, split, torch.arange(12), 56, generator(0))], 56))
    for read in (lambda: list(split.batches(1 << 16)), lambda: list(split.parts(4)), lambda: split.image(3)):
        with pytest.raises(ValueError, match=sentence):
            read()
