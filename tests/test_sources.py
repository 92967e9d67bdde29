import json
import pickle
import shutil

import layouts
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from photographs import WNIDS, write

from vgglib.data.sources import open_source

IMAGE = pa.struct({"bytes": pa.binary(), "path": pa.string()})
SORTED = {
    split: sorted((f"{wnid}/{name}", WNIDS.index(wnid), data) for wnid, name, data in images)
    for split, images in (("train", layouts.TRAIN), ("val", layouts.VAL))
}


@pytest.mark.parametrize("name", layouts.LAYOUTS)
def test_every_layout_gives_the_same_names_labels_and_bytes(name, tmp_path):
    source = open_source(layouts.LAYOUTS[name](tmp_path))
    assert source.class_names == WNIDS
    for split in ("train", "val"):
        images = getattr(source, split)
        found = list(images)
        assert sorted(found) == SORTED[split] and len(images) == len(found)
        assert list(images.listing()) == [image[:2] for image in found]
        if name != "parquet":
            assert found == SORTED[split]


@pytest.mark.parametrize("name", ["tree", "parquet"])
def test_parts_put_together_are_the_whole_and_travel_alone(name, tmp_path):
    images = open_source(layouts.LAYOUTS[name](tmp_path)).train
    whole = list(images)
    for first in range(len(whole)):
        for last in range(first, len(whole) + 1):
            part = images.part(first, last)
            assert len(part) == last - first
            assert list(part.listing()) == [image[:2] for image in whole[first:last]]
    assert list(pickle.loads(pickle.dumps(images.part(3, 9).part(1, 4)))) == whole[4:7]
    assert len(pickle.dumps(images.part(0, 1))) < len(pickle.dumps(images))


def test_the_source_is_the_same_in_every_tree_and_another_with_other_images(tmp_path):
    digests = [open_source(layouts.LAYOUTS[name](tmp_path / name)).sha256 for name in ("tree", "kaggle", "devkit")]
    assert len(set(digests)) == 1
    path = next((tmp_path / "tree" / "train" / WNIDS[0]).iterdir())
    path.write_bytes(b"repaired")
    assert open_source(tmp_path / "tree").sha256 == digests[0]
    path.rename(path.with_name("other.JPEG"))
    assert open_source(tmp_path / "tree").sha256 != digests[0]


def test_parquet_copies_may_name_val_and_classes_otherwise(tmp_path):
    metadata = {"wnids": '["b", "a", "c"]'}
    sources = [open_source(layouts.parquet(tmp_path / val, val, metadata)) for val in ("val", "valid", "validation")]
    sources.append(open_source(tmp_path / "val" / "data"))
    assert {source.sha256 for source in sources} == {sources[0].sha256}
    assert sources[0].class_names == ("b", "a", "c") and len(sources[0].val) == len(layouts.VAL)


def refused(message, folder):
    with pytest.raises(ValueError, match=message) as caught:
        source = open_source(folder)
        list(source.train), list(source.val)
    assert "\n" not in str(caught.value)


def test_folders_without_a_data_set_are_refused(tmp_path):
    refused("does not exist", tmp_path / "none")
    (tmp_path / "images.zip").write_bytes(b"")
    refused(r"images\.zip is a file: name the folder that holds it or, .* unpacked to", tmp_path / "images.zip")
    refused("holds no data set to pack", tmp_path)
    layouts.tree(tmp_path / "x")
    shutil.rmtree(tmp_path / "x" / "val")
    refused("no folder 'val'", tmp_path / "x")


def test_incomplete_trees_are_refused(tmp_path):
    root = layouts.tree(tmp_path)
    write(root / "val" / "ILSVRC2012_val_00000001.JPEG", b"")
    refused("class folders and 1 images beside them", root)
    (root / "val" / "ILSVRC2012_val_00000001.JPEG").rename(root / "val" / "1.jpeg")
    refused("class folders and 1 images beside them", root)
    (root / "val" / "1.jpeg").unlink()
    (root / "train" / WNIDS[0]).rename(root / "train" / "n0")
    refused("'n0' is in only one of train and val", root)
    shutil.rmtree(root / "train" / "n0")
    (root / "train" / "n0").mkdir()
    refused("n0 holds no images", root)


def test_a_flat_val_without_its_classes_is_refused(tmp_path):
    refused("has no class folders: put LOC_val_solution.csv or the devkit's folder ILSVRC2012_", layouts.flat(tmp_path))


def test_a_flat_val_and_its_list_must_agree(tmp_path):
    root = layouts.kaggle(tmp_path)
    val, solution = root / "ILSVRC" / "Data" / "CLS-LOC" / "val", root / "LOC_val_solution.csv"
    (val / layouts.VAL[0][1]).rename(tmp_path / "aside.JPEG")
    refused(r"holds 11 of the 12 images of .*LOC_val_solution\.csv", root)
    (tmp_path / "aside.JPEG").rename(val / "ILSVRC2012_val_99999999.JPEG")
    refused(r"names no class for .*ILSVRC2012_val_99999999\.JPEG", root)
    (val / "ILSVRC2012_val_99999999.JPEG").rename(val / layouts.VAL[0][1])
    text = solution.read_text()
    solution.write_text(text.replace(WNIDS[0], "n9"))
    refused("shows n9, which is no folder of", root)
    solution.write_text(text + f"ILSVRC2012_val_00000001,{WNIDS[1]} 1 2 3 4\n")
    refused(r"line 14 of .*LOC_val_solution\.csv gives ILSVRC2012_val_00000001 a second class", root)
    for path in layouts.images_of(val, WNIDS[2]):
        path.unlink()
    solution.write_text("\n".join(line for line in text.splitlines() if WNIDS[2] not in line))
    refused(rf"LOC_val_solution\.csv names no image of {WNIDS[2]}, a folder of", root)
    solution.write_text("ImageId,PredictionString\nILSVRC2012_val_00000001,\n")
    refused(r"line 2 of .*LOC_val_solution\.csv names no image and class", root)


def test_a_list_may_begin_as_spreadsheets_write_it(tmp_path):
    root = layouts.kaggle(tmp_path)
    expected, solution = open_source(root).sha256, root / "LOC_val_solution.csv"
    solution.write_text(solution.read_text(), encoding="utf-8-sig")
    assert open_source(root).sha256 == expected


def test_a_damaged_devkit_is_refused(tmp_path):
    root = layouts.devkit(tmp_path)
    folder = root / "ILSVRC2012_devkit_t12" / "data"
    (folder / "ILSVRC2012_validation_ground_truth.txt").write_text("4\n" * len(layouts.VAL))
    refused(r"is no whole devkit \(KeyError: 4\)", root)  # the number of an inner node
    (folder / "meta.mat").write_bytes(b"nothing")
    refused(r"is no whole devkit \(", root)


def test_incomplete_parquet_copies_are_refused(tmp_path):
    folder = layouts.parquet(tmp_path) / "data"
    train, val = sorted(folder.glob("train-*")), next(folder.glob("validation-*"))
    val.rename(tmp_path / "aside")
    refused("no val-.*parquet or validation-", tmp_path)
    (tmp_path / "aside").rename(val)
    kept = train[1].read_bytes()
    train[1].unlink()
    refused("holds 1 of 2 train shards", tmp_path)
    train[1].write_bytes(kept[:-100])
    refused(r"train-00001-of-00002\.parquet is no whole Parquet file", tmp_path)


def test_shards_of_several_copies_are_refused(tmp_path):
    folder = layouts.parquet(tmp_path) / "data"
    first, second = sorted(folder.glob("train-*"))
    first.rename(folder / "train-00000-of-00002-aaaa.parquet")
    second.rename(folder / "train-00000-of-00002-bbbb.parquet")
    refused(r"holds train shards of several copies, train-00000-of-00002-aaaa\.parquet among them: remove", tmp_path)
    (folder / "train-00000-of-00002-bbbb.parquet").rename(folder / "train-00001-of-00002-bbbb.parquet")
    open_source(tmp_path)  # their names agree in what tells the number
    shutil.copy(folder / "train-00000-of-00002-aaaa.parquet", folder / "train-00000-of-00001.parquet")
    refused("holds train shards of several copies", tmp_path)
    (folder / "train-00000-of-00001.parquet").rename(folder / "train-all.parquet")
    refused(r"several copies, train-all\.parquet among them", tmp_path)
    (folder / "train-all.parquet").rename(folder / "val-00000-of-00001.parquet")
    refused(r"holds val-\*\.parquet and validation-\*\.parquet: remove", tmp_path)


def test_every_shard_names_the_same_classes(tmp_path):
    folder = layouts.parquet(tmp_path / "x") / "data"
    second, val = folder / "train-00001-of-00002.parquet", folder / "validation-00000-of-00001.parquet"
    for path in (second, val):
        table = pq.read_table(path)
        pq.write_table(table.replace_schema_metadata({"wnids": json.dumps(WNIDS[::-1])}), path)
        refused(rf"{path.name} names other classes than .*train-00000-of-00002\.parquet, or in another", tmp_path / "x")
        pq.write_table(table, path)
    metadata = {"wnids": json.dumps(WNIDS[::-1])}
    refused("in another order than that of their WordNet ids", layouts.parquet(tmp_path / "y", metadata=metadata))


def test_labels_must_be_whole_numbers(tmp_path):
    folder = layouts.parquet(tmp_path) / "data"
    path = folder / "validation-00000-of-00001.parquet"
    table = pq.read_table(path)
    pq.write_table(table.set_column(1, "label", pa.array([WNIDS[0]] * len(table))), path)
    refused("label is string, where whole numbers are expected", tmp_path)


def test_parquet_rows_without_a_class_or_an_image_are_refused(tmp_path):
    metadata = {"wnids": '["a", "b"]'}
    refused("has label 2, for 2 classes", layouts.parquet(tmp_path / "labels", metadata=metadata))
    refused("does not name its classes", layouts.parquet(tmp_path / "names", metadata={"x": "y"}))
    for name, image, kind in (
        ("plain", b"bytes", pa.binary()),
        ("bytes", {"bytes": None, "path": "1.JPEG"}, IMAGE),
        ("paths", {"bytes": b"bytes", "path": None}, IMAGE),
    ):
        table = pa.table({"image": pa.array([image], kind), "label": [0]}).replace_schema_metadata(metadata)
        (tmp_path / name).mkdir()
        for split in ("train", "val"):
            pq.write_table(table, tmp_path / name / f"{split}-0.parquet")
    refused("image is binary, where bytes and path are expected", tmp_path / "plain")
    refused("a/1.JPEG has no bytes", tmp_path / "bytes")
    assert list(open_source(tmp_path / "paths").train) == [("a/train-0-0-0", 0, b"bytes")]


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    source = open_source(layouts.tree(tmp_path))
    (tmp_path / "train" / WNIDS[0] / layouts.TRAIN[0][1]).unlink()
    with pytest.raises(ValueError, match=r"n01440764_1_0\.JPEG cannot be read"):
        list(source.train)
