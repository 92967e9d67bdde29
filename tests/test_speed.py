import json

import pandas as pd
import pytest
import torch

from vgglib import timing
from vgglib.analysis import speed
from vgglib.analysis.speed import Speed
from vgglib.configs import TABLE_1
from vgglib.results import digest


@pytest.fixture
def measured():
    return Speed(
        preset="smoke",
        batch_size=3,
        precision="fp32",
        environment={"device_name": "a CPU", "threads": 2},
        peaks={"macs_per_second": 2.5e9, "bytes_per_second": 1e9},
        layers=pd.DataFrame({"layer": ["conv1_1"], "seconds_per_image": [0.1], "operations": [7]}),
        nets=pd.DataFrame({"net": ["A"], "training_images": [0.1 + 0.2]}),
    )


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("VGG_RESULTS", str(tmp_path))
    return tmp_path


def test_a_kept_record_comes_back_to_the_last_bit(measured, root):
    assert speed.kept("smoke") is None
    path = speed.keep(measured)
    assert path == root / "smoke" / "speed.json"
    found = speed.of("smoke", 99)
    assert (found.batch_size, found.environment, found.peaks) == (3, measured.environment, measured.peaks)
    pd.testing.assert_frame_equal(found.layers, measured.layers, check_exact=True)
    pd.testing.assert_frame_equal(found.nets, measured.nets, check_exact=True)


def test_it_is_measured_where_there_is_no_record_and_when_asked_for(measured, root, monkeypatch):
    monkeypatch.setattr(timing, "REPEATS", 1)
    monkeypatch.setitem(timing.MATRIX, "cpu", 64)
    monkeypatch.setitem(timing.COPY, "cpu", 1 << 12)
    found = speed.of("smoke", 2, "cpu")
    assert found.nets["net"].tolist() == list(TABLE_1) and found.batch_size == 2
    assert {"device_name", "torch", "commit", "dirty", "measured_utc"} <= set(found.environment)
    speed.keep(measured)
    assert speed.of("smoke", 2, "cpu", measured_now=True).batch_size == 2
    assert speed.of("smoke", 2, "cpu").batch_size == 3


@pytest.mark.parametrize(
    "error, where",
    [
        (torch.OutOfMemoryError(), "the GPU has"),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"), "there is"),
    ],
)
def test_a_batch_that_there_is_no_room_for_is_named(root, monkeypatch, error, where):
    def full(*_):
        raise error

    monkeypatch.setattr(timing, "peaks", lambda *_: {})
    monkeypatch.setattr(timing, "layer_times", full)
    with pytest.raises(
        ValueError, match=f"a batch of 7 takes more memory than {where} free: pass a smaller --batch-size"
    ):
        speed.of("smoke", 7, "cpu")


def signed(record):
    return record | {"digest": digest(record)}


DAMAGES = {
    "has schema 0 where this version reads 1": lambda record: signed(record | {"schema": 0}),
    r"was changed after it was written \(its digest differs\)": lambda record: record | {"batch_size": 4},
    "has schema None": lambda record: {},
    r"has missing or foreign fields \(batch_size, environment, ": lambda record: signed({"schema": 1}),
    "has schema None .* 1": lambda record: [1],
}


@pytest.mark.parametrize("why, damage", DAMAGES.items())
def test_another_file_is_refused_by_name(measured, root, why, damage):
    path = speed.keep(measured)
    path.write_text(json.dumps(damage(json.loads(path.read_text()))))
    with pytest.raises(ValueError, match=rf"the record \S+/speed\.json {why}.*: measure again with `vgg speed`"):
        speed.of("smoke", 2)
    path.write_text("{")
    with pytest.raises(ValueError, match=r"speed\.json is not JSON"):
        speed.of("smoke", 2)


@pytest.mark.parametrize("batch_size", [0, -1])
def test_a_batch_of_no_images_is_refused(batch_size, root):
    with pytest.raises(ValueError, match=f"batch_size is {batch_size}: it must be at least 1"):
        speed.measure("smoke", batch_size, "cpu")


def test_an_unknown_preset_is_named(root):
    with pytest.raises(ValueError, match="unknown preset 'big'"):
        speed.of("big", 2)
