"""The same images in every layout of a large data set that can be packed."""

import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from photographs import WNIDS, photographs, write

VAL = [
    (wnid, f"ILSVRC2012_val_{number:08}.JPEG", data)
    for number, (wnid, _, data) in enumerate(photographs(5, seed=2, sizes=((60, 80), (90, 50))), start=1)
]
TRAIN = photographs(11, seed=1, sizes=((60, 80), (90, 50)))


def tree(root):
    for split, images in (("train", TRAIN), ("val", VAL)):
        for wnid, name, data in images:
            write(root / split / wnid / name, data)
    return root


def flat(root):
    """A tree of train, and the images of val in one folder."""
    tree(root)
    shutil.rmtree(root / "val")
    for _, name, data in VAL:
        write(root / "val" / name, data)
    return root


def kaggle(root):
    flat(root / "ILSVRC" / "Data" / "CLS-LOC")
    lines = [f"{name.removesuffix('.JPEG')},{wnid} 1 2 30 40 {wnid} 5 6 7 8" for wnid, name, _ in VAL[::-1]]
    (root / "LOC_val_solution.csv").write_text("\n".join(["ImageId,PredictionString", *lines]) + "\n")
    return root


def images_of(folder, wnid):
    """The files of a flat val that show a class."""
    return [folder / name for own, name, _ in VAL if own == wnid]


def kaggle_images(root):
    """The folder of Kaggle's layout that holds train and val."""
    return kaggle(root) / "ILSVRC" / "Data" / "CLS-LOC"


def devkit(root):
    """The devkit's numbers of the classes are not in the order of the WordNet ids, and inner nodes are in its list."""
    from scipy.io import savemat

    flat(root)
    number = {WNIDS[0]: 2, WNIDS[1]: 3, WNIDS[2]: 1}
    rows = [(number[wnid], wnid, 0) for wnid in WNIDS[::-1]] + [(4, "n00001740", 3)]
    synsets = np.array(rows, dtype=[("ILSVRC2012_ID", object), ("WNID", object), ("num_children", object)])
    folder = root / "ILSVRC2012_devkit_t12" / "data"
    folder.mkdir(parents=True)
    savemat(folder / "meta.mat", {"synsets": synsets})
    truth = "".join(f"{number[wnid]}\n" for wnid, _, _ in VAL)
    (folder / "ILSVRC2012_validation_ground_truth.txt").write_text(truth)
    return root


def parquet(root, val="validation", metadata=None):
    """As hubs lay it out: in data/, rows in no order of the classes, several row groups and files."""
    names = {"info": {"features": {"label": {"names": list(WNIDS), "_type": "ClassLabel"}}}}
    (root / "data").mkdir(parents=True)
    for split, images, files in (("train", TRAIN, 2), (val, VAL, 1)):
        for i in range(files):
            part = images[i::files]
            table = pa.table(
                {
                    "image": [{"bytes": data, "path": name} for _, name, data in part],
                    "label": [WNIDS.index(wnid) for wnid, _, _ in part],
                }
            ).replace_schema_metadata(metadata or {"huggingface": json.dumps(names)})
            pq.write_table(table, root / "data" / f"{split}-{i:05}-of-{files:05}.parquet", row_group_size=4)
    return root


LAYOUTS = {layout.__name__: layout for layout in (tree, kaggle, kaggle_images, devkit, parquet)}
