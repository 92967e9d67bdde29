from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from vgglib import evaluate, runner
from vgglib.analysis import evidence, expected
from vgglib.models import VGG, initialise
from vgglib.plans import plan
from vgglib.results import Store
from vgglib.running import tasks, worker
from vgglib.running.progress import Silent
from vgglib.weights import published
from vgglib.weights.published import Published, Source

THREE = "256 384 512"


def rows_of(*keys):
    columns = ["net", "start", "test_scales", "method", "top1_error_percent", "top5_error_percent"]
    return pd.DataFrame(keys, columns=columns)


@pytest.mark.parametrize(
    "net, start, scales, method, top1, top5, whose",
    [
        ("D", "caffe", "384", "dense", 25.6, 8.1, "the paper's Table 3, S = 256-512"),
        ("E", "caffe", THREE, "dense", 24.8, 7.5, "the paper's Table 4, S = 256-512"),
        ("E", "caffe", THREE, "multi-crop", 24.6, 7.4, "the paper's Table 5, S = 256-512"),
        ("D", "caffe", THREE, "multi-crop & dense", 24.4, 7.2, "the paper's Table 5, S = 256-512"),
        ("D", "caffe", "256", "dense", 27.0, 8.8, "the paper's Table 3, S = 256, another training"),
        ("D", "torchvision", "384", "dense", 25.6, 8.1, "the paper's Table 3, S = 256-512, another training"),
        ("A", "torchvision", "256", "dense", 29.6, 10.4, "the paper's Table 3, S = 256, another training"),
        ("A", "torchvision", "384", "dense", None, None, "nobody"),
        ("D", "torchvision", "256", "centre-crop", 100 - 71.592, 100 - 90.382, "torchvision"),
        ("D", "caffe", "256", "centre-crop", None, None, "nobody"),
        ("E + D", "caffe", THREE, "dense", 24.0, 7.1, "the paper's Table 6, S = 256-512"),
        ("D + E", "caffe", THREE, "multi-crop & dense", 23.7, 6.8, "the paper's Table 6, S = 256-512"),
        ("D + E", "torchvision", THREE, "multi-crop", 23.9, 7.2, "the paper's Table 6, S = 256-512, another training"),
        (
            "D + E",
            "torchvision, caffe",
            THREE,
            "dense",
            24.0,
            7.1,
            "the paper's Table 6, S = 256-512, another training",
        ),
        ("A + B", "torchvision", THREE, "dense", None, None, "nobody"),
        ("D + D", "torchvision, caffe", THREE, "dense", None, None, "nobody"),
    ],
)
def test_what_is_expected_and_by_whom(net, start, scales, method, top1, top5, whose):
    line = expected.beside(rows_of((net, start, scales, method, 30.0, 10.0))).iloc[0]
    assert line["whose"] == whose
    if top1 is None:
        assert np.isnan([line["top1_expected"], line["top5_difference"]]).all()
    else:
        assert (line["top1_expected"], line["top5_expected"]) == pytest.approx((top1, top5))
        assert (line["top1_difference"], line["top5_difference"]) == pytest.approx((30 - top1, 10 - top5))


def test_a_number_that_is_missing_is_a_dash():
    rows = rows_of(("D", "caffe", "384", "dense", None, None), ("A", "torchvision", "384", "dense", 25.04, 8.0))
    shown = expected.shown(expected.beside(rows))
    assert shown.iloc[0].tolist()[4:] == ["-", "25.6", "-", "-", "8.1", "-", "the paper's Table 3, S = 256-512"]
    assert shown.iloc[1].tolist()[4:] == ["25.0", "-", "-", "8.0", "-", "-", "nobody"]


def sources(text):
    return [Source.of(part) for part in text.split(",") if part]


def test_the_protocols_of_the_tables_each_once():
    single = expected.entries("imagenet", sources("torchvision:D"))
    assert [(entry.test_scales, entry.method, len(entry.runs)) for entry in single] == [
        ("256", "centre-crop", 1),
        ("256", "dense", 1),
        ("384", "dense", 1),
        ("224 256 288", "dense", 3),
        (THREE, "dense", 3),
        (THREE, "multi-crop", 3),
        (THREE, "multi-crop & dense", 6),
    ]
    assert [run.protocol.flip for run in single[0].runs + single[1].runs] == [False, True]
    assert single[0].runs[0].run_id == "D_torchvision_centre-crop_Q256_noflip"
    fused = expected.entries("imagenet", sources("torchvision:D,caffe:E"), "6")
    assert [(e.net, e.start, e.method, len(e.runs)) for e in fused] == [
        ("D", "torchvision", "centre-crop", 1),
        ("E", "caffe", "centre-crop", 1),
        ("D + E", "torchvision, caffe", "dense", 6),
        ("D + E", "torchvision, caffe", "multi-crop", 6),
        ("D + E", "torchvision, caffe", "multi-crop & dense", 12),
    ]
    assert all(entry.seed is None for entry in single + fused)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("smoke", "torchvision:D"), "preset smoke shows images at 0.25 of the paper's size"),
        (("big", "torchvision:D"), "unknown preset 'big'"),
        (("imagenet", "torchvision:D", "7"), "no published net has a row in table '7'"),
        (("imagenet", "torchvision:D", "6"), "Table 6 are of several nets"),
        (("imagenet", "torchvision:D,torchvision:D"), "a net is named twice in torchvision:D, torchvision:D"),
        (("imagenet", ""), "no net is named"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(arguments, message):
    name, text, *table = arguments
    with pytest.raises(ValueError, match=message):
        expected.entries(name, sources(text), *table)


@pytest.fixture
def images(monkeypatch, two_colours):
    few = replace(two_colours, val=two_colours.val.subset(range(2)))
    monkeypatch.setattr(runner, "load_images", lambda *_: few)
    return few


@pytest.fixture
def published_nets(monkeypatch):
    """What the sources hold: narrow nets for two classes, with a mean of their own."""

    def load(source):
        net = initialise(VGG(source.net, 2, 1 / 64, 224), "glorot", 0).eval()
        return Published(net, torch.tensor([10.0, 20.0, 30.0]))

    monkeypatch.setattr(published, "load", load)
    monkeypatch.setattr(published, "CLASSES", 2)
    return load


def evaluated(text, results, table="3", **settings):
    usual = {"device": "cpu", "jobs": 1, "threads": 1, "display": Silent()}
    return expected.evaluate("imagenet", sources(text), table, results, **usual | settings)


def test_published_nets_are_tested_recorded_and_reused(images, published_nets, tmp_path, monkeypatch):
    monkeypatch.setattr(worker, "train", None)  # would fail if called
    found = evaluated("torchvision:A,torchvision:B", tmp_path)
    assert found[["net", "test_scales", "method"]].to_numpy().tolist() == [
        [net, *test] for net in "AB" for test in (["256", "centre-crop"], ["256", "dense"], ["384", "dense"])
    ]
    assert found["top1"].notna().all() and found["top1_difference"].notna().sum() == 4
    store = Store(tmp_path)
    entry = expected.entries("imagenet", sources("torchvision:A"), "3")[1]
    record = store.read(entry.runs[0])
    assert record["experiment"]["weights"] == "torchvision" and record["history"] == [] and record["seed"] is None
    assert record["environment"]["training_seconds"] == 0 and record["environment"]["evaluation_seconds"] > 0
    # With the mean of the weights, not that of the images.
    net = published_nets(Source.of("torchvision:A"))
    split = images.val.rescaled(256)
    model = net.model.to(memory_format=torch.channels_last)
    own = evaluate.posteriors(model, split, net.mean_rgb, precision=record["environment"]["precision"])
    assert np.array_equal(store.posteriors(entry.runs[0])[0], own.astype(np.float16))
    assert not list(tasks.repeated([tasks.Task(entry.runs[0], entry.runs)], store))  # nobody trains it again
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.json")}
    monkeypatch.setattr(published, "load", None)  # would fail if called: weights are there
    assert evaluated("torchvision:A,torchvision:B", tmp_path).equals(found)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.json")} == before


def test_a_fusion_is_of_all_nets_together(images, published_nets, tmp_path):
    found = evaluated("torchvision:A,torchvision:B", tmp_path, "6")
    fused = found[found["net"] == "A + B"]
    assert fused["method"].tolist() == ["dense", "multi-crop", "multi-crop & dense"] and fused["top1"].notna().all()


def test_published_nets_are_no_trainings(images, published_nets, tmp_path):
    evaluated("torchvision:A", tmp_path)
    store = Store(tmp_path)
    assert set(store.rows(plan("imagenet"))["status"]) == {"not run"}
    assert store.seeds("imagenet") == () and evidence.presets(store) == []
    with pytest.raises(ValueError, match="preset imagenet has no records"):
        evidence.records(store, "imagenet")


def test_images_of_other_classes_are_refused_and_nothing_is_recorded(images, tmp_path, monkeypatch):
    net = Published(VGG("A", 3, 1 / 64, 224), torch.zeros(3))
    monkeypatch.setattr(published, "load", lambda _: net)
    monkeypatch.setattr(published, "CLASSES", 2)  # as is supposed of what was not read yet
    with pytest.raises(ValueError, match="A_torchvision tell 3 classes apart and the images have 2"):
        evaluated("torchvision:A", tmp_path)
    assert not list(tmp_path.rglob("*.json"))
