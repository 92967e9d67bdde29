import pytest
import torch

from vgglib import timing
from vgglib.configs import TABLE_1, config
from vgglib.cost import counts

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(timing, "REPEATS", 1)
    monkeypatch.setitem(timing.MATRIX, "cpu", 64)
    monkeypatch.setitem(timing.COPY, "cpu", 1 << 12)


def test_seconds_is_the_median_after_a_warm_up(monkeypatch):
    calls = []
    clock = iter([0, 100, 0, 1, 0, 5, 0, 2])  # the warm-up takes 100
    monkeypatch.setattr(timing.time, "perf_counter", lambda: next(clock))
    assert timing.seconds(lambda: calls.append(1), CPU, repeats=3) == 2
    assert len(calls) == 4


@pytest.mark.parametrize("net", ["A-LRN", "C"])
def test_every_layer_is_timed_with_its_counts(net):
    model = timing.net(net, 1 / 64, 32, 10)
    table = timing.layer_times(model, 2, CPU, "fp32")
    expected = {count.layer.name: count for count in counts(config(net).scaled(1 / 64), 32, 10)}
    assert table["layer"].tolist() == list(expected) and (table["seconds_per_image"] > 0).all()
    by_name = table.set_index("layer")
    assert by_name.loc["conv1_1", "operations"] == 2 * 32**2 * 27 and by_name.loc["pool1", "operations"] == 16**2 * 3
    assert by_name.loc["fc8", "bytes"] == 4 * (64 + 10 + (640 + 10) / 2)


def test_a_timed_step_really_trains():
    model = timing.net("A", 1 / 64, 32, 10)
    before = model.head["fc8"].weight.clone()
    found = timing.step_seconds(model, 4, CPU, "fp32")
    assert set(found) == {"training", "testing"} and min(found.values()) > 0
    assert not torch.equal(model.head["fc8"].weight, before)


def test_speeds_of_every_net_at_the_presets_size():
    table = timing.speeds("smoke", 2, CPU, "fp32")
    assert table["net"].tolist() == list(TABLE_1)
    ratio = table["training_macs"] / table["training_images"] / (table["testing_macs"] / table["testing_images"])
    assert ratio.tolist() == pytest.approx([3] * len(table))


def test_speeds_count_the_images_of_a_batch(monkeypatch):
    monkeypatch.setattr(timing, "step_seconds", lambda *_: {"training": 0.5, "testing": 0.25})
    monkeypatch.setattr(timing, "crop_macs", lambda experiment: 100)
    for line in timing.speeds("smoke", 8, CPU, "fp32").to_dict("records"):
        assert (line["training_images"], line["testing_images"]) == (16, 32)
        assert (line["training_macs"], line["testing_macs"]) == (16 * 3 * 100, 32 * 100)


def test_a_copy_reads_and_writes_every_byte(monkeypatch):
    monkeypatch.setattr(timing, "seconds", lambda work, where, *_: 0.5)
    assert timing.peaks(CPU, "fp32") == {"macs_per_second": 64**3 / 0.5, "bytes_per_second": 2 * 4096 / 0.5}


def test_peaks_are_positive():
    assert min(timing.peaks(CPU, "fp32").values()) > 0 and min(timing.peaks(CPU, "bf16").values()) > 0


def test_the_peak_is_of_a_product_of_squares(monkeypatch):
    monkeypatch.setattr(timing, "seconds", lambda work, where, repeats: 0.5)
    assert timing.matrix_peak(CPU, "fp32") == 64**3 / 0.5


def test_measuring_the_peak_takes_none_of_the_callers_random_numbers():
    state = torch.get_rng_state()
    timing.matrix_peak(CPU, "fp32")
    assert torch.equal(torch.get_rng_state(), state)


def test_the_peak_is_measured_once_for_each_number_of_threads(monkeypatch):
    measured = iter([1.0, 2.0, 3.0])
    monkeypatch.setattr(timing, "matrix_peak", lambda *arguments, **settings: next(measured))
    timing.peak_once.cache_clear()
    asked = [("fp32", 1), ("fp32", 2), ("fp32", 1), ("bf16", 1)]
    assert [timing.peak_once(CPU, *one) for one in asked] == [1.0, 2.0, 1.0, 3.0]
    timing.peak_once.cache_clear()


def test_the_peak_is_that_of_the_units_which_do_the_work(monkeypatch):
    multiplied = []
    monkeypatch.setattr(timing, "MATRIX", {"cpu": 8})
    monkeypatch.setattr(timing, "seconds", lambda work, *_: multiplied.append(work().dtype) or 1.0)
    for there in (False, True):
        monkeypatch.setattr(timing.devices, "multiplies_bf16", lambda where, there=there: there)
        timing.matrix_peak(CPU, "bf16")
    assert multiplied == [torch.float32, torch.bfloat16]
