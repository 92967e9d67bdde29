import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from photographs import encoded

from vgglib import data

REAL = Path(__file__).resolve().parents[2] / "shared" / "data" / "tiny-imagenet-200"
WNIDS = [f"n0000000{i}" for i in range(6)]


def flat(*colour):
    return encoded(np.full((64, 64, 3), colour, np.uint8))


def tiny_imagenet(root, layout):
    """The same six classes of three training images and one of validation, in either layout."""
    wnids = [f"n0000000{i}" for i in range(6)]
    train = [(f"{w}_{i}.JPEG", label, flat(30 * label, 60 * i, 5)) for label, w in enumerate(wnids) for i in range(3)]
    val = [(f"val_{label}.JPEG", label, flat(200, 30 * label, 5)) for label in range(6)]
    if layout == "parquet":
        root.mkdir(exist_ok=True)
        for which, rows in (("train", train[::-1]), ("val", val)):
            table = pa.table(
                {
                    "image": [{"bytes": content, "path": name} for name, _, content in rows],
                    "label": [label for _, label, _ in rows],
                }
            ).replace_schema_metadata({"wnids": json.dumps(wnids)})
            pq.write_table(table, root / f"{which}-00000-of-00001.parquet")
    else:
        (root / "val" / "images").mkdir(parents=True)
        (root / "wnids.txt").write_text("\n".join(wnids[::-1]))
        for name, label, content in train:
            (root / "train" / wnids[label] / "images").mkdir(parents=True, exist_ok=True)
            (root / "train" / wnids[label] / "images" / name).write_bytes(content)
        for name, _, content in val:
            (root / "val" / "images" / name).write_bytes(content)
        lines = [f"{name}\t{wnids[label]}\t0\t0\t1\t1" for name, label, _ in val]
        (root / "val" / "val_annotations.txt").write_text("\n".join(lines) + "\n")
    return root


def test_both_layouts_of_tiny_imagenet_give_the_same_set(tmp_path):
    sets = [data.load("tiny-imagenet", tiny_imagenet(tmp_path / layout, layout)) for layout in ("parquet", "zip")]
    assert sets[0].digest == sets[1].digest
    assert (len(sets[0].train), len(sets[0].minival), len(sets[0].val)) == (12, 6, 6)
    few = data.load("tiny-imagenet", tmp_path / "zip", classes=2)
    assert len(few.class_names) == 2 and len(few.val) == 2


def test_more_classes_than_there_are_are_refused(tmp_path):
    with pytest.raises(ValueError, match="has 6 classes where 50 are asked for: take a whole copy"):
        data.load("tiny-imagenet", tiny_imagenet(tmp_path, "zip"), classes=50)


def test_a_row_without_an_image_is_a_bad_one(tmp_path):
    path = tiny_imagenet(tmp_path, "parquet") / "train-00000-of-00001.parquet"
    table = pq.read_table(path)
    rows = [row | {"image": None} if number == 4 else row for number, row in enumerate(table.to_pylist())]
    pq.write_table(pa.Table.from_pylist(rows, table.schema), path)
    with pytest.raises(ValueError, match=r"1 of 24 images do not decode.*train-00000-of-00001-000004"):
        data.load("tiny-imagenet", tmp_path)
    assert data.load("tiny-imagenet", tmp_path, skip_bad_images=True).skipped == ("train-00000-of-00001-000004",)


@pytest.mark.parametrize("val", ["valid", "validation"])
def test_tiny_imagenet_as_a_hub_lays_it_out(tmp_path, val):
    """In data/, with another name of val and of files, and with images that have no names of their own."""
    expected = data.load("tiny-imagenet", tiny_imagenet(tmp_path / "plain", "parquet"))
    (tmp_path / "hub" / "data").mkdir(parents=True)
    for which, called in (("train", "train"), ("val", val)):
        table = pq.read_table(tmp_path / "plain" / f"{which}-00000-of-00001.parquet")
        rows = sorted(table.to_pylist(), key=lambda row: (row["label"], row["image"]["path"]))
        nameless = [{**row, "image": {"bytes": row["image"]["bytes"], "path": None}} for row in rows]
        copy = pa.Table.from_pylist(nameless, table.schema)
        pq.write_table(copy, tmp_path / "hub" / "data" / f"{called}-00000-of-00001-70d52db3c749a935.parquet")
    for folder in (tmp_path / "hub", tmp_path / "hub" / "data"):
        assert data.load("tiny-imagenet", folder).digest == expected.digest


def test_tiny_imagenet_needs_both_splits(tmp_path):
    root = tiny_imagenet(tmp_path, "parquet")
    (root / "val-00000-of-00001.parquet").unlink()
    with pytest.raises(ValueError, match=r"no val-\*.parquet, valid-\*.parquet or validation-\*.parquet: fetch"):
        data.load("tiny-imagenet", root)


def test_a_missing_shard_is_named(tmp_path):
    root = tiny_imagenet(tmp_path / "p", "parquet")
    (root / "train-00000-of-00001.parquet").rename(root / "train-00000-of-00003.parquet")
    with pytest.raises(ValueError, match="1 of 3 train shards"):
        data.load("tiny-imagenet", root)


@pytest.mark.skipif(not REAL.is_dir(), reason="Tiny ImageNet is not on this machine")
def test_real_images_of_tiny_imagenet():
    images = data.load("tiny-imagenet", REAL, classes=2)
    assert images.class_names == ("n01443537", "n01629819")
    assert (len(images.train), len(images.minival), len(images.val)) == (900, 100, 100)
    assert images.train.sizes.unique().tolist() == [64]


def test_bad_images_of_both_splits_of_tiny_imagenet_are_named_at_once(tmp_path):
    root = tiny_imagenet(tmp_path / "x", "zip")
    (root / "train" / "n00000001" / "images" / "n00000001_0.JPEG").write_bytes(b"")
    (root / "val" / "images" / "val_2.JPEG").write_bytes(b"")
    with pytest.raises(ValueError, match=r"^2 of 24 .* first 2 are n00000001_0\.JPEG \(it is no .*\), val_2\.JPEG \("):
        data.load("tiny-imagenet", root)
    images = data.load("tiny-imagenet", root, skip_bad_images=True)
    assert images.skipped == ("n00000001_0.JPEG", "val_2.JPEG") and images.val.labels.tolist() == [0, 1, 3, 4, 5]
    assert torch.bincount(images.train.labels).tolist() == [2, 1, 2, 2, 2, 2]


def test_more_broken_copies_of_tiny_imagenet_are_named(tmp_path):
    root = tiny_imagenet(tmp_path / "zip", "zip")
    with (root / "val" / "val_annotations.txt").open("a") as file:
        file.write("val_9.JPEG\tn9\n")
    with pytest.raises(ValueError, match=r"line 7 of .*val_annotations\.txt"):
        data.load("tiny-imagenet", root)
    root = tiny_imagenet(tmp_path / "parquet", "parquet")
    shard = root / "train-00000-of-00001.parquet"
    shard.rename(root / "train-00000-of-00001-1a2b3c.parquet")  # as hubs name them
    assert len(data.load("tiny-imagenet", root).val) == 6
    (root / "val-00000-of-00001.parquet").write_bytes(b"PAR1 and nothing else")
    with pytest.raises(ValueError, match=r"val-00000-of-00001\.parquet is no whole Parquet file"):
        data.load("tiny-imagenet", root)


def rewritten(shard, labels=None, wnids=None):
    """A shard with other labels, or with other names of its classes."""
    table = pq.read_table(shard)
    metadata = {"wnids": json.dumps(wnids)} if wnids else table.schema.metadata
    table = table if labels is None else table.set_column(1, "label", pa.array(labels))
    pq.write_table(table.replace_schema_metadata(metadata), shard)


@pytest.mark.parametrize(
    "labels, message",
    [
        ([0, 1, 2, 3, 4, -1], r"row 5 of .*val-00000-of-00001\.parquet has label -1, for 6 classes"),
        ([6, 1, 2, 3, 4, 5], r"row 0 of .* has label 6, for 6 classes"),
        ([0, 1, None, 3, 4, 5], r"row 2 of .* has label None, for 6 classes"),
        (WNIDS, r"label is string, where whole numbers are expected"),
        ([0.0, 1.0, 2.0, 3.0, 4.0, 5.0], r"label is double, where whole numbers are expected"),
    ],
)
def test_labels_that_are_no_classes_are_refused(tmp_path, labels, message):
    root = tiny_imagenet(tmp_path, "parquet")
    rewritten(root / "val-00000-of-00001.parquet", labels)
    with pytest.raises(ValueError, match=message):
        data.load("tiny-imagenet", root)


def test_shards_that_name_their_classes_otherwise_are_refused(tmp_path):
    root = tiny_imagenet(tmp_path, "parquet")
    train, val = (root / f"{split}-00000-of-00001.parquet" for split in ("train", "val"))
    rewritten(val, wnids=[WNIDS[1], WNIDS[0], *WNIDS[2:]])
    with pytest.raises(ValueError, match=r"val-.* names other classes than .*train-.*, or in another order: take"):
        data.load("tiny-imagenet", root)
    rewritten(train, wnids=[WNIDS[1], WNIDS[0], *WNIDS[2:]])
    with pytest.raises(ValueError, match="has its classes in another order than that of their WordNet ids: take"):
        data.load("tiny-imagenet", root)


def test_the_list_of_val_and_its_images_must_agree(tmp_path):
    root = tiny_imagenet(tmp_path, "zip")
    path = root / "val" / "val_annotations.txt"
    lines = path.read_text().splitlines()

    def refused(message):
        with pytest.raises(ValueError, match=message):
            data.load("tiny-imagenet", root)

    path.write_text("\n".join(lines[:4]))
    refused(r"names 4 images and .*images holds 6, val_4\.JPEG is in only one of them: unpack both again")
    path.write_text("\n".join([*lines, lines[0]]))
    refused(r"line 7 of .* names val_0\.JPEG again")
    path.write_bytes(b"\xff\xfe")
    refused(r"val_annotations\.txt is no text: unpack the zip again")
    path.unlink()
    refused(r"val_annotations\.txt cannot be read \(No such file or directory\): unpack the zip again")


def test_images_that_are_not_there_are_asked_for(tmp_path):
    root = tiny_imagenet(tmp_path, "zip")
    digest = data.load("tiny-imagenet", root).digest
    folder = root / "train" / WNIDS[2] / "images"
    (folder / "._x.JPEG").write_bytes(b"what a Mac leaves beside a file")
    assert data.load("tiny-imagenet", root).digest == digest
    for path in folder.iterdir():
        path.unlink()
    with pytest.raises(ValueError, match=rf"{WNIDS[2]}/images holds no images \(\*\.JPEG\): unpack the zip again"):
        data.load("tiny-imagenet", root)
