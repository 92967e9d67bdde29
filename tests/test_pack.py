import errno
import io
import json
import shutil
import signal
import subprocess
import sys
import time

import layouts
import numpy as np
import pyarrow as pa
import pytest
from filelock import FileLock
from photographs import ORIENTATION, WNIDS, bad, draw, encoded, write, write_tree
from PIL import Image
from typer.testing import CliRunner

from vgglib.__main__ import app
from vgglib.data import pack as packing
from vgglib.data import packed, shards
from vgglib.data.files import decode

BAD = bad(np.random.default_rng(0))


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(packing, "IMAGES_PER_SHARD", 8)


def pack(source, target, **options):
    return packing.pack(source, target, **{"jobs": 1, **options})


def content(folder, split):
    """Rows of a split as dictionaries, in their order."""
    rows = []
    for path in sorted(folder.glob(f"{split}-*.arrow")):
        with shards.opened(path) as reader:
            rows += reader.read_all().to_pylist()
    return rows


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}


def times(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.arrow")}


def refused(message, source, target, error=ValueError, **options):
    with pytest.raises(error, match=message) as caught:
        pack(source, target, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", layouts.LAYOUTS)
def test_every_layout_gives_the_same_pack(name, tmp_path):
    summary = pack(layouts.LAYOUTS[name](tmp_path / name), tmp_path / "pack")
    assert (summary.images, summary.shards, summary.packed) == (len(layouts.TRAIN) + len(layouts.VAL), 5, 30)
    for split, images in (("train", layouts.TRAIN), ("val", layouts.VAL)):
        rows = {row["path"]: row for row in content(tmp_path / "pack", split)}
        assert sorted(rows) == sorted(f"{wnid}/{file}" for wnid, file, _ in images)
        for wnid, file, data in images:
            row = rows[f"{wnid}/{file}"]
            assert row["label"] == WNIDS.index(wnid)
            with Image.open(io.BytesIO(data)) as image:
                clean = image.format == "JPEG" and image.mode != "CMYK" and ORIENTATION not in image.getexif()
            assert (row["image"] == data) == clean
            assert decode(row["image"]).shape == (row["height"], row["width"], 3)


def test_the_format_on_disk(tmp_path):
    source = layouts.tree(tmp_path / "source")
    pack(source, tmp_path / "pack")
    described = json.loads((tmp_path / "pack" / "pack.json").read_text())
    digest = described.pop("source_sha256")
    assert len(digest) == 64 and described == {
        "schema": 1,
        "name": "imagenet",
        "class_names": list(WNIDS),
        "smallest_side": 512,
        "shards": {"train": 3, "val": 2},
    }
    names = [f"train-0000{i}-of-00003.arrow" for i in range(3)] + [f"val-0000{i}-of-00002.arrow" for i in range(2)]
    assert sorted(files(tmp_path / "pack")) == ["pack.json", *names]
    with pa.memory_map(str(tmp_path / "pack" / names[0])) as file:
        reader = pa.ipc.open_file(file)
        assert reader.schema.to_string(show_schema_metadata=False).splitlines() == [
            "path: string",
            "label: int32",
            "height: int32",
            "width: int32",
            "image: large_binary",
            "rgb_sum: fixed_size_list<item: double>[3]",
            "  child 0, item: double",
            "rgb_products: fixed_size_list<item: double>[6]",
            "  child 0, item: double",
        ]
        assert json.loads(reader.schema.metadata[b"skipped"]) == []


def test_batches_are_small_and_nothing_is_lost_between_them(tmp_path, monkeypatch):
    monkeypatch.setattr(packing, "IMAGES_PER_SHARD", 4096)
    tiny = [encoded(np.full((4, 4, 3), i % 256, np.uint8)) for i in range(300)]
    for split in ("train", "val"):
        for i, data in enumerate(tiny):
            write(tmp_path / "source" / split / WNIDS[i // 150] / f"{i:03}.JPEG", data)
    write(tmp_path / "source" / "train" / WNIDS[0] / "000.JPEG", b"")
    told = []
    summary = pack(
        tmp_path / "source", tmp_path / "pack", skip_bad_images=True, report=lambda *count: told.append(count)
    )
    why = "it is no image that Pillow opens"
    assert summary.skipped == ((f"{WNIDS[0]}/000.JPEG", why, "train-00000-of-00001.arrow"),) and summary.images == 599
    for split, counts, first in (("train", [128, 128, 43], 1), ("val", [128, 128, 44], 0)):
        with shards.opened(tmp_path / "pack" / f"{split}-00000-of-00001.arrow") as reader:
            assert [reader.get_batch(i).num_rows for i in range(reader.num_record_batches)] == counts
        assert [row["image"] for row in content(tmp_path / "pack", split)] == tiny[first:]
    assert told == [(done, 600) for done in (0, 128, 256, 300, 428, 556, 600)]


def test_two_processes_write_what_one_does(tmp_path):
    source = write_tree(tmp_path / "source", train=20, val=4, sizes=((60, 70), (600, 530)))
    write(source / "train" / WNIDS[1] / "0.JPEG", BAD["truncated"])
    for jobs in (1, 2):
        pack(source, tmp_path / str(jobs), jobs=jobs, skip_bad_images=True)
    assert files(tmp_path / "1") == files(tmp_path / "2")


SLOWLY = """
import sys, time
from pathlib import Path
from vgglib.data import pack

quick = pack.stored
def stored(*arguments):
    time.sleep(0.02)
    return quick(*arguments)

pack.stored, pack.IMAGES_PER_SHARD = stored, 8
pack.pack(Path(sys.argv[1]), Path(sys.argv[2]), jobs=1)
"""


def test_a_killed_packing_goes_on_where_it_was(tmp_path):
    source = write_tree(tmp_path / "source", train=60, val=3, sizes=((40, 50),))
    target = tmp_path / "pack"
    arguments = [sys.executable, "-c", SLOWLY, str(source), str(target)]
    process = subprocess.Popen(arguments, start_new_session=True)
    give_up = time.monotonic() + 60
    while len(list(target.glob("train-*"))) < 3 or not list(target.glob(".train-*.tmp")):
        assert process.poll() is None and time.monotonic() < give_up
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = times(target)
    assert 3 <= len(before) < 9 and list(target.glob(".train-*.tmp"))

    counts = []
    summary = pack(source, target, report=lambda *count: counts.append(count))
    assert counts[0] == (8 * len(before), 77) and summary.packed == 77 - 8 * len(before)
    assert before.items() <= times(target).items()
    pack(source, tmp_path / "at once")
    assert files(target) == files(tmp_path / "at once")
    assert pack(source, target).packed == 0


def test_workers_stop_when_nobody_waits_for_them(tmp_path):
    images = packing.open_source(layouts.tree(tmp_path)).train
    with pytest.raises(packing._Abandoned):
        list(packing._told(images, -1, print))


def test_another_source_or_side_is_refused_and_nothing_changes(tmp_path):
    source, target = layouts.tree(tmp_path / "source"), tmp_path / "pack"
    pack(source, target)
    before = files(target), times(target)
    refused("is a pack with smallest side 512, not 256: .* --smallest-side 512", source, target, smallest_side=256)
    (source / "train" / WNIDS[0] / layouts.TRAIN[0][1]).rename(source / "train" / WNIDS[0] / "other.JPEG")
    refused("is a pack of another source", source, target)
    assert (files(target), times(target)) == before
    (target / "pack.json").write_text("{")
    refused(r"pack\.json is damaged", source, target)


def test_a_packing_that_began_meanwhile_with_another_side_is_not_mixed_with(tmp_path, monkeypatch):
    source, target = layouts.tree(tmp_path / "source"), tmp_path / "pack"
    check = packing._check

    def checked_too_early(*arguments):
        check(*arguments)
        monkeypatch.setattr(packing, "_check", check)
        pack(source, target, smallest_side=256)
        (target / "val-00001-of-00002.arrow").unlink()

    monkeypatch.setattr(packing, "_check", checked_too_early)
    refused("is a pack with smallest side 256, not 512", source, target)
    assert not (target / "val-00001-of-00002.arrow").exists()


@pytest.mark.parametrize("kind", BAD)
def test_bad_images_are_named_and_left_out_if_asked(kind, tmp_path):
    source, target = layouts.tree(tmp_path / "source"), tmp_path / "pack"
    name = f"{WNIDS[2]}/x.JPEG"
    write(source / "train" / name, BAD[kind])
    refused(rf"{name} does not decode \(.*\): repair it and run again, or pass --skip-bad-images", source, target)
    finished = times(target)
    assert len(finished) == 2 and not list(target.glob(".*.tmp"))
    summary = pack(source, target, skip_bad_images=True)
    ((skipped, reason, shard),) = summary.skipped
    assert (skipped, shard) == (name, "train-00002-of-00003.arrow") and summary.images == 30
    assert finished.items() <= times(target).items()
    with shards.opened(target / shard) as reader:
        assert shards.left_out(reader) == [(name, reason)]


def test_a_repaired_image_belongs_to_the_same_source(tmp_path):
    source, target = layouts.tree(tmp_path / "source"), tmp_path / "pack"
    path = source / "train" / WNIDS[2] / layouts.TRAIN[2][1]
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    refused("does not decode", source, target)
    path.write_bytes(whole)
    assert pack(source, target).images == 30


def test_a_disk_too_small_is_refused_beforehand(tmp_path, monkeypatch):
    source, target = layouts.tree(tmp_path / "source"), tmp_path / "pack"
    size = pack(source, tmp_path / "measured").size_bytes
    monkeypatch.setattr(packing.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(size, size // 2, size // 3))
    refused(r"has room for 0\.0 GB and the pack needs about 0\.0 GB more: make room", source, target, OSError)
    assert not target.exists()
    assert pack(source, tmp_path / "measured").packed == 0
    monkeypatch.setattr(packing.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(size, 0, 2 * size))
    assert pack(source, target).size_bytes == size


def test_a_disk_that_fills_up_leaves_no_half_written_shard(tmp_path, monkeypatch):
    source, target = layouts.tree(tmp_path / "source"), tmp_path / "pack"
    whole, count = shards.write, iter(range(100))

    def full(path, rows, skipped):
        whole(path, rows, skipped)
        if next(count) == 2:
            path.write_bytes(path.read_bytes()[:1000])
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(packing, "write", full)
    refused(r"No space left on device, while writing .*train-00002-of-00003\.arrow: make room", source, target, OSError)
    assert sorted(files(target)) == ["pack.json", "train-00000-of-00003.arrow", "train-00001-of-00003.arrow"]
    monkeypatch.undo()
    monkeypatch.setattr(packing, "IMAGES_PER_SHARD", 8)
    before = times(target)
    pack(source, target)
    pack(source, tmp_path / "other")
    assert before.items() <= times(target).items() and files(target) == files(tmp_path / "other")


def test_a_target_that_cannot_be_used_is_refused(tmp_path):
    source = layouts.tree(tmp_path / "source")
    (tmp_path / "file").write_bytes(b"")
    for target in (tmp_path / "file", tmp_path / "file" / "pack"):
        refused("cannot be written to: choose another folder", source, target)
    (tmp_path / "pack").mkdir()
    with FileLock(tmp_path / "pack" / ".lock"):
        refused("another process is packing into", source, tmp_path / "pack")
    assert not (tmp_path / "pack" / "pack.json").exists()
    refused("does not exist", tmp_path / "none", tmp_path / "pack")
    refused("--jobs is 0", source, tmp_path / "pack", jobs=0)
    refused("--smallest-side is -1", source, tmp_path / "pack", smallest_side=-1)


def test_a_damaged_shard_is_named(tmp_path):
    source, target = layouts.tree(tmp_path / "source"), tmp_path / "pack"
    pack(source, target)
    path = target / "val-00001-of-00002.arrow"
    path.write_bytes(path.read_bytes()[:-20])
    refused(r"val-00001-of-00002\.arrow is damaged .*: delete it and pack again", source, target)


def test_the_smallest_side_is_bounded_and_small_images_stay(tmp_path):
    for split in ("train", "val"):
        for wnid, size in zip(WNIDS, ((30, 40), (90, 64), (5, 300)), strict=True):
            write(tmp_path / "source" / split / wnid / "0.JPEG", encoded(draw(np.random.default_rng(0), *size)))
    pack(tmp_path / "source", tmp_path / "pack", smallest_side=32)
    sizes = [(row["height"], row["width"]) for row in content(tmp_path / "pack", "train")]
    assert sizes == [(30, 40), (45, 32), (5, 300)]


def test_damaged_exif_data_are_no_fault_of_the_image(tmp_path):
    source = layouts.tree(tmp_path / "source")
    whole = encoded(draw(np.random.default_rng(0), 40, 50))
    exif = b"Exif\0\0II*\0\xff\xff\0\0"  # points behind its own end
    damaged = whole[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + whole[2:]
    write(source / "train" / WNIDS[0] / "0.JPEG", damaged)
    pack(source, tmp_path / "pack")
    assert content(tmp_path / "pack", "train")[0]["image"] == damaged


def test_a_packed_tree_can_be_loaded(tmp_path):
    """From photographs in a tree to the images that training and evaluation see."""
    source = write_tree(tmp_path / "source", train=41, val=9, sizes=((60, 80), (90, 50), (700, 530)))
    write(source / "train" / WNIDS[0] / "0.JPEG", BAD["text"])
    pack(source, tmp_path / "pack", smallest_side=64, skip_bad_images=True)
    images = packed.load(tmp_path / "pack", threads=0)
    assert images.class_names == WNIDS and images.skipped == (f"{WNIDS[0]}/0.JPEG",)
    assert (len(images.train), len(images.minival), len(images.val)) == (45, 3, 16)
    for split, folder in ((images.train, "train"), (images.minival, "train"), (images.val, "val")):
        for i in range(len(split)):
            name = split.name(i)
            assert split.labels[i] == WNIDS.index(name.split("/")[0])
            expected = decode((source / folder / name).read_bytes(), 64).astype(int)
            assert split.sizes[i].tolist() == list(expected.shape[:2])
            assert np.abs(split.image(i).numpy() - expected).mean() < 4

    pixels = [decode(row["image"]).reshape(-1, 3).astype(int) for row in content(tmp_path / "pack", "train")]
    held_out = {images.minival.name(i) for i in range(3)}
    names = [row["path"] for row in content(tmp_path / "pack", "train")]
    seen = np.concatenate([some for name, some in zip(names, pixels, strict=True) if name not in held_out])
    assert images.mean_rgb.numpy() == pytest.approx(seen.mean(0), rel=1e-6)


def test_on_the_command_line(tmp_path):
    source = layouts.tree(tmp_path / "source")
    write(source / "train" / WNIDS[0] / "x.JPEG", b"")
    arguments = ["data", "pack", str(source), str(tmp_path / "pack"), "--jobs", "1"]
    done = CliRunner().invoke(app, arguments)
    assert isinstance(done.exception, ValueError) and not done.stdout
    assert str(done.exception).startswith(f"{WNIDS[0]}/x.JPEG does not decode (it is no image that Pillow opens)")
    done = CliRunner().invoke(app, [*arguments, "--skip-bad-images"])
    lines = done.stdout.splitlines()
    assert done.exit_code == 0 and lines[0].startswith("images   30 in 5 shards, 0.00 GB")
    shard = "train-00000-of-00003.arrow"
    said = f"         {WNIDS[0]}/x.JPEG: it is no image that Pillow opens (listed by {shard})"
    assert lines[1:3] == ["skipped  1", said]
    assert lines[3].startswith("packed   31 images in")
    again = CliRunner().invoke(app, [*arguments, "--skip-bad-images"]).stdout.splitlines()
    assert again[3] == f"         once they are repaired, delete {shard}, and pack again"
    assert again[4].startswith("packed   0 images in")
    assert done.stderr.splitlines()[-1].startswith("31 of 31 images")
    unseen = CliRunner().invoke(app, ["data", "--skip-bad-images", *arguments[1:]])
    assert "--skip-bad-images stands before `pack`" in str(unseen.exception)


def test_a_pack_without_images_of_a_class_or_a_split_is_refused(tmp_path):
    source = layouts.tree(tmp_path / "source")
    for path in (source / "val" / WNIDS[1]).iterdir():
        path.write_bytes(b"")
    pack(source, tmp_path / "pack", skip_bad_images=True)
    with pytest.raises(ValueError, match=rf"holds no image of class {WNIDS[1]} in val, all were left out: repair"):
        packed.load(tmp_path / "pack")
    for path in (source / "val").rglob("*.JPEG"):
        path.write_bytes(b"")
    pack(source, tmp_path / "none", skip_bad_images=True)
    with pytest.raises(ValueError, match="none holds no images of val: repair some"):
        packed.load(tmp_path / "none")
