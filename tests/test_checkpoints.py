"""Checkpoints: written whole or not at all, two kept, and every kind that does not fit refused by name."""

import errno
import os
import shutil
import subprocess
import sys
from collections import namedtuple

import pytest
import torch
from safetensors.torch import save_file

from vgglib.experiments import Experiment
from vgglib.files import latest, previous, write_atomically
from vgglib.train import train
from vgglib.training import checkpoints, resume
from vgglib.training.distributed import Division

CPU = torch.device("cpu")
Usage = namedtuple("Usage", "total used free")


def experiment(**changes):
    usual = {"net": "A", "seed": 0, "resolution": 1 / 7, "width": 1 / 32, "batch_size": 16, "epochs": 1}
    return Experiment(**usual | {"initialisation": "he-fan-out", "precision": "fp32"} | changes)


def numbers(value, count=4):
    return {"x": torch.full((count,), float(value))}


def test_the_checkpoint_before_is_kept(tmp_path):
    path = tmp_path / "c.safetensors"
    assert latest(path) is None
    for value in range(3):
        checkpoints.write(path, numbers(value), {"value": value}, keep_previous=True)
    assert [checkpoints.read(found)[1]["value"] for found in (path, previous(path))] == [2, 1]
    assert sorted(found.name for found in tmp_path.iterdir()) == ["c.previous.safetensors", "c.safetensors"]
    path.unlink()
    assert latest(path) == previous(path)


def test_a_checkpoint_that_cannot_be_replaced_stays(tmp_path, monkeypatch):
    path, move = tmp_path / "c.safetensors", os.replace
    checkpoints.write(path, numbers(1), {"value": 1}, keep_previous=True)

    def full(source, target):
        if str(source).endswith(".tmp"):
            raise OSError(errno.EACCES, "no")
        move(source, target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="while writing"):
        checkpoints.write(path, numbers(2), {"value": 2}, keep_previous=True)
    assert checkpoints.read(path)[1] == {"value": 1} and len(list(tmp_path.iterdir())) == 1


def test_checkpoints_set_aside_are_kept_and_not_taken_up(tmp_path):
    path = tmp_path / "c=0.5.safetensors"
    for value in range(2):
        checkpoints.write(path, numbers(value), {"value": value}, keep_previous=True)
    checkpoints.set_aside(path)
    assert latest(path) is None
    names = "c=0.5.diverged.safetensors", "c=0.5.previous.diverged.safetensors"
    assert [checkpoints.read(tmp_path / name)[1]["value"] for name in names] == [1, 0]
    checkpoints.write(path, numbers(2), {"value": 2}, keep_previous=True)
    checkpoints.set_aside(path)  # once more: there is no previous one now
    assert [checkpoints.read(tmp_path / name)[1]["value"] for name in names] == [2, 0]


def test_another_writer_may_have_moved_the_checkpoint_before(tmp_path, monkeypatch):
    path = tmp_path / "c.safetensors"
    monkeypatch.setattr(type(path), "exists", lambda self: True)  # it was there a moment ago
    checkpoints.write(path, numbers(1), {"value": 1}, keep_previous=True)
    assert checkpoints.read(path)[1] == {"value": 1} and len(list(tmp_path.iterdir())) == 1


def test_a_disk_without_room_is_noticed_before_anything_is_written(tmp_path, monkeypatch):
    path = tmp_path / "c.safetensors"
    checkpoints.write(path, numbers(1), {}, keep_previous=True)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(100, 90, 10_000_000))
    monkeypatch.setattr(checkpoints, "replacing", None)  # would fail if called
    with pytest.raises(OSError, match=r"c.safetensors takes 12.0 MB where 10.0 are free: make room or choose another"):
        checkpoints.write(path, numbers(2, 3_000_000), {}, keep_previous=True)
    assert checkpoints.read(path)[0]["x"].tolist() == [1.0] * 4 and len(list(tmp_path.iterdir())) == 1


def test_a_disk_that_is_full_at_the_end_leaves_both_that_were_there(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "c.safetensors"
    for value in range(2):
        checkpoints.write(path, numbers(value), {"value": value}, keep_previous=True)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device, while writing .*c.safetensors: make room"):
        checkpoints.write(path, numbers(2), {"value": 2}, keep_previous=True)
    assert [checkpoints.read(found)[1]["value"] for found in (path, previous(path))] == [1, 0]
    assert len(list(tmp_path.iterdir())) == 2


def test_a_folder_that_cannot_be_made_or_written_to_names_the_file(tmp_path, monkeypatch):
    (tmp_path / "taken").touch()
    with pytest.raises(OSError, match=rf"File exists, while writing {tmp_path}/taken/x\.json: make room or choose"):
        write_atomically(tmp_path / "taken" / "x.json", b"")

    def full(**_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tempfile.mkstemp", full)
    with pytest.raises(OSError, match=rf"No space left on device, while writing {tmp_path}/new/x\.json: make room"):
        write_atomically(tmp_path / "new" / "x.json", b"")
    assert not list((tmp_path / "new").iterdir())


def test_a_disk_that_fills_up_meanwhile_leaves_what_was_there(tmp_path):
    """The system refuses the file half-way, in a process of its own."""
    path = tmp_path / "c.safetensors"
    checkpoints.write(path, numbers(1), {}, keep_previous=True)
    code = f"""
import resource, signal, torch
from pathlib import Path
from vgglib.training import checkpoints, resume
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    checkpoints.write(Path({str(path)!r}), {{"x": torch.zeros(1_000_000)}}, {{}}, keep_previous=True)
except OSError as error:
    print(error)
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "File too large" in said and f"while writing {path}: make room or choose another folder" in said
    assert checkpoints.read(path)[0]["x"].tolist() == [1.0] * 4 and len(list(tmp_path.iterdir())) == 1


@pytest.fixture
def trained(two_colours, tmp_path):
    path = tmp_path / "c.safetensors"
    train(experiment(), two_colours, CPU, path)
    return path


def altered(path, change):
    """Write the checkpoint anew with other tensors or state."""
    tensors, state = checkpoints.read(path)
    change(tensors, state)
    checkpoints.write(path, tensors, resume.sealed(tensors, state))


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def emptied(path):
    path.write_bytes(b"")


def another_byte(path):
    """One that a disk changed, among the last weights."""
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)


def another_step(path):
    tensors, state = checkpoints.read(path)
    state["begun"]["steps"] += 1
    checkpoints.write(path, tensors, state)


def no_seal(path):
    tensors, state = checkpoints.read(path)
    checkpoints.write(path, tensors, {key: value for key, value in state.items() if key != "sha256"})


def pickled(path):
    torch.save({"model.features.conv1_1.weight": torch.zeros(2)}, path)


def without_state(path):
    save_file(checkpoints.read(path)[0], path)


def extra_key(path):
    altered(path, lambda tensors, state: tensors.update(surprise=torch.zeros(1)))


def missing_key(path):
    altered(path, lambda tensors, state: tensors.pop("model.head.fc8.bias"))


def other_shape(path):
    altered(path, lambda tensors, state: tensors.update({"model.head.fc8.bias": torch.zeros(3)}))


def other_type(path):
    altered(path, lambda tensors, state: tensors.update({"model.head.fc8.bias": torch.zeros(2).half()}))


def other_images(path):
    altered(path, lambda tensors, state: state.update(data="f" * 64))


def other_arithmetic(path):
    altered(path, lambda tensors, state: state.update(arithmetic="bf16 on cuda", history=[]))


def compiled_updates(path):
    altered(path, lambda tensors, state: state.update(arithmetic=f"{state['arithmetic']}, compiled", history=[]))


def no_arithmetic(path):
    altered(path, lambda tensors, state: state.pop("arithmetic"))


def no_chance(path):
    altered(path, lambda tensors, state: state.pop("chance"))


def no_peak(path):
    altered(path, lambda tensors, state: state["history"][0].pop("peak_share"))


def unknown_setting(path):
    altered(path, lambda tensors, state: state["experiment"].update(warm_up=3))


def other_history(path):
    altered(path, lambda tensors, state: state.update(history=[{"epoch": 1}]))


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (cut, r"c.safetensors is damaged or of an earlier version \(.*\): move it away to train anew\."),
        (emptied, r"c.safetensors is damaged or of an earlier version \(.*\): move it away to train anew\."),
        (another_byte, r"of an earlier version \(it is not what was written\): move it away to train anew\."),
        (another_step, r"of an earlier version \(it is not what was written\): move it away to train anew\."),
        (no_seal, r"of an earlier version \(it is not what was written\): move it away to train anew\."),
        (pickled, r"c.safetensors is damaged or of an earlier version \(.*\): move it away to train anew\."),
        (without_state, r"c.safetensors is damaged or of an earlier version \(.*\): move it away to train anew\."),
        (extra_key, r"c.safetensors has tensors that are not the net's \(surprise\): it belongs to another net"),
        (missing_key, r"c.safetensors has no model.head.fc8.bias: it belongs to another net"),
        (other_shape, r"has model.head.fc8.bias as torch.float32 of shape \(3,\) where the net has .* of \(2,\)"),
        (other_type, r"has model.head.fc8.bias as torch.float16 of shape \(2,\) where the net has torch.float32"),
        (
            other_images,
            r"c.safetensors was trained on other images \(ffffffffffff and now .*\): take those .*--data-dir",
        ),
        (compiled_updates, r"was trained in fp32 on cpu, compiled, and would go on in fp32 on cpu: repeat --compile"),
        (
            other_arithmetic,
            r"was trained in bf16 on cuda, and would go on in fp32 on cpu: .* same kind of device, .*\(VGG_RESULTS in",
        ),
        (no_arithmetic, r"c.safetensors is damaged or of an earlier version \(.*\): move it away to train anew\."),
        (no_chance, r"c.safetensors is damaged or of an earlier version \('chance'\): move it away to train anew\."),
        (
            no_peak,
            r"c.safetensors is damaged or of an earlier version .* argument: 'peak_share'\): move it away to train",
        ),
        (unknown_setting, r"c.safetensors belongs to another experiment \(warm_up was 3 and is None\): delete it"),
        (other_history, r"c.safetensors is damaged or of an earlier version \(.*\): move it away to train anew\."),
    ],
)
def test_what_is_not_this_trainings_checkpoint_is_refused(trained, two_colours, spoil, sentence):
    spoil(trained)
    before = trained.read_bytes()
    with pytest.raises(ValueError, match=sentence):
        train(experiment(), two_colours, CPU, trained)
    assert trained.read_bytes() == before


def test_a_checkpoint_of_another_net_is_refused(trained, two_colours):
    with pytest.raises(ValueError, match=r"belongs to another experiment \(net was A and is B\)"):
        train(experiment(net="B"), two_colours, CPU, trained)


def test_a_damaged_checkpoint_names_the_one_before_and_training_goes_on_from_it(two_colours, tmp_path):
    path = tmp_path / "c.safetensors"
    whole = train(experiment(epochs=2), two_colours, CPU, path)
    cut(path)
    with pytest.raises(ValueError, match=r"move it away to go on from c.previous.safetensors"):
        train(experiment(epochs=2), two_colours, CPU, path)
    path.unlink()
    again = train(experiment(epochs=2), two_colours, CPU, path)
    assert all(map(torch.equal, whole.model.parameters(), again.model.parameters()))


def test_processes_that_took_up_different_checkpoints_stop(trained, two_colours, monkeypatch):
    monkeypatch.setattr(Division, "gather", lambda self, own: [own, (False, 0, None)])  # the other host saw no file
    with pytest.raises(ValueError, match=r"do not see the same .*c.safetensors: put --results where all hosts see"):
        train(experiment(), two_colours, CPU, trained)


def test_nothing_in_a_checkpoint_is_executed(tmp_path):
    """A pickle that would run a command when it is loaded is only refused."""

    class Trap:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'executed'}",)

    path = tmp_path / "c.safetensors"
    torch.save(Trap(), path)
    with pytest.raises(ValueError, match="is damaged or of an earlier version"):
        checkpoints.read(path)
    assert not (tmp_path / "executed").exists()
