import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from small_runs import run, small

from vgglib import devices, evaluate, runner
from vgglib.experiments import Protocol, as_dict
from vgglib.plans import command, plan
from vgglib.results import Store, write_sealed
from vgglib.running import recorder, tasks, worker
from vgglib.running.progress import Silent
from vgglib.train import _Training
from vgglib.training import checkpoints


def test_updates_that_cannot_be_compiled_are_refused_before_any_training(images, tmp_path, monkeypatch):
    monkeypatch.setattr(devices, "compiles", lambda where, precision: False)
    with pytest.raises(ValueError, match="cannot be compiled on this cpu"):
        run(small(), results=tmp_path, compiled=True)
    with pytest.raises(ValueError, match="a batch in one pass"):
        run(small(), results=tmp_path, compiled=True, images_per_pass=8)
    assert not list(tmp_path.rglob("*.json")) and not list(tmp_path.rglob("*.safetensors"))


def test_a_plan_of_two_presets_is_refused(images, tmp_path):
    with pytest.raises(ValueError, match="the plan has runs of smoke and demo: run one preset at a time"):
        run([*small(), *plan("demo", "3", ["A"], [0], ["256"])], results=tmp_path / "own")
    assert not (tmp_path / "own").exists()


def test_records_that_exist_are_reused(images, tmp_path, monkeypatch):
    run(small(), results=tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.json")}
    monkeypatch.setattr(worker, "train", None)  # would fail if called
    assert run(small(), results=tmp_path)["status"].tolist() == ["done"]
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.json")} == before


def test_a_diverged_run_is_recorded_shown_and_repeated_only_if_asked(images, tmp_path):
    entries = small(learning_rate=1e6)
    failed = entries[0].runs[0]
    assert run(entries, results=tmp_path)["status"].tolist() == ["failed"]
    record = Store(tmp_path).read(failed)
    assert "loss is nan" in record["error"] and record["top1_error_percent"] is None
    started = record["environment"]["started_utc"]
    time.sleep(1.1)
    run(entries, results=tmp_path)
    assert Store(tmp_path).read(failed)["environment"]["started_utc"] == started
    run(entries, results=tmp_path, retry_failed=True)
    assert Store(tmp_path).read(failed)["environment"]["started_utc"] != started


def test_a_test_that_failed_says_why_at_once(images, tmp_path, monkeypatch):
    heard = []

    class Heard(Silent):
        def show(self, event):
            heard.append(event)

    monkeypatch.setattr(recorder, "posteriors", lambda *_, **__: np.full((len(images.val), 2), np.nan))
    assert run(small(), results=tmp_path, display=Heard())["status"].tolist() == ["failed"]
    assert heard[-1].kind == "failed" and "A_S256_seed0" in heard[-1].text
    assert heard[-1].text == Store(tmp_path).read(small()[0].runs[0])["error"]


def test_a_training_that_failed_is_not_repeated_for_another_test(images, tmp_path, monkeypatch, capsys):
    entries = small(learning_rate=1e6)
    run(entries, results=tmp_path)
    other = [replace(entry, runs=(replace(entry.runs[0], protocol=Protocol(288)),)) for entry in entries]
    with monkeypatch.context() as patched:
        patched.setattr(worker, "train", None)  # would fail if called
        assert run(other, results=tmp_path)["status"].tolist() == ["failed"]  # else a mean would leave this seed out
    name = entries[0].runs[0].experiment_id
    again = "vgg run --preset smoke --table 3 --nets A --train-scales 256 --seeds 0 --batch-size 16 --learning-rate "
    again += f"1000000.0 --precision fp32 --resolution {1 / 7} --results {tmp_path} --retry-failed"
    said = f"{name} was not run because this training failed: repeat that by `{again}`."
    assert said in capsys.readouterr().err
    assert run(other, results=tmp_path, retry_failed=True)["status"].tolist() == ["failed"]


def test_a_test_that_failed_says_nothing_of_the_others(images, tmp_path):
    """Its scores were not numbers, or a retry was stopped before it came to it."""
    (entry,) = small()
    run([entry], results=tmp_path)
    store, crops = Store(tmp_path), replace(entry.runs[0], protocol=Protocol(256, "multi-crop"))
    done = store.read(entry.runs[0])
    failed = done | {"run_id": crops.run_id, "protocol": as_dict(crops.protocol), "status": "failed", "error": "nan"}
    store.write(crops, {name: value for name, value in failed.items() if name not in ("digest", "posteriors_sha256")})
    third = replace(entry, runs=(replace(entry.runs[0], protocol=Protocol(288)),))
    assert run([third], results=tmp_path)["status"].tolist() == ["done"]


def test_a_diverged_training_is_set_aside_and_a_retry_begins_anew(images, tmp_path, monkeypatch):
    (entry,) = small()
    path = Store(tmp_path / "own").checkpoint_path(entry.runs[0])
    steps = _Training._steps

    def diverging(self):
        steps(self)
        if self.history:
            self.updates.total.fill_(np.nan)

    with monkeypatch.context() as patched:
        patched.setattr(_Training, "_steps", diverging)
        assert run([entry], results=tmp_path / "own")["error"].tolist() == [
            f"{entry.runs[0].experiment.name}: the training loss is nan in epoch 2"
        ]
    (kept,) = path.parent.glob("*.safetensors")
    assert kept.name.endswith(".diverged.safetensors") and len(checkpoints.read(kept)[1]["history"]) == 1
    assert run([entry], results=tmp_path / "own", retry_failed=True)["status"].tolist() == ["done"]
    run([entry], results=tmp_path / "whole")
    made = [Store(tmp_path / name).read(entry.runs[0]) for name in ("own", "whole")]
    assert made[0]["weights_sha256"] == made[1]["weights_sha256"]


def test_a_time_budget_stops_cleanly_and_the_next_call_goes_on(images, tmp_path, monkeypatch):
    assert run(small(), results=tmp_path, max_minutes=0)["status"].tolist() == ["not run"]
    assert not list(tmp_path.rglob("*.safetensors"))
    for seconds, status in ((61.0, "not run"), (59.0, "done")):  # so long does the first epoch take, of a minute
        folder = tmp_path / status
        checkpoint = Store(folder).checkpoint_path(small()[0].runs[0])
        with monkeypatch.context() as patched:
            patched.setattr("time.time", lambda late=seconds, at=checkpoint: late if at.exists() else 0.0)
            assert run(small(), results=folder, max_minutes=1)["status"].tolist() == [status]
        assert checkpoint.exists()
    assert run(small(), results=tmp_path / "not run")["status"].tolist() == ["done"]


def test_a_time_budget_stops_an_evaluation_too(images, tmp_path, monkeypatch):
    run(small(), results=tmp_path)
    record = Store(tmp_path).record_path(small()[0].runs[0])
    record.unlink()
    evaluating = []

    def posteriors(*arguments, **settings):
        evaluating.append(True)
        return evaluate.posteriors(*arguments, **settings)

    with monkeypatch.context() as patched:
        patched.setattr(recorder, "posteriors", posteriors)
        patched.setattr("time.time", lambda: 61.0 if evaluating else 0.0)
        assert run(small(), results=tmp_path, max_minutes=1)["status"].tolist() == ["not run"]
    assert evaluating and not record.exists()
    assert run(small(), results=tmp_path)["status"].tolist() == ["done"]


def test_two_workers_give_the_same_errors_as_one(images, tmp_path):
    runs = small(("A", "B"))
    one = run(runs, results=tmp_path / "one")
    two = run(runs, results=tmp_path / "two", jobs=2)
    for column in ("net", "status", "top1_error_percent"):
        assert one[column].tolist() == two[column].tolist()
    posteriors = [Store(tmp_path / name).posteriors(runs[1].runs[0])[0] for name in ("one", "two")]
    assert np.array_equal(*posteriors)


def test_a_net_that_starts_from_a_trains_a_first_and_keeps_its_record(images, tmp_path):
    entries = small(("E",), from_a=True)
    donor = entries[0].runs[0].donor
    assert donor.experiment.net == "A" and donor.experiment.start is None
    assert run(entries, results=tmp_path)["net"].tolist() == ["E"]
    store = Store(tmp_path)
    first = store.read(donor)
    assert first["status"] == "done"
    # The weights are lost, the records kept, as in a fresh copy of the repository: A is trained anew, its record stays.
    for lost in (donor, entries[0].runs[0]):
        checkpoints.set_aside(store.checkpoint_path(lost))
    store.record_path(entries[0].runs[0]).unlink()
    run(entries, results=tmp_path)
    assert store.read(donor) == first and store.checkpoint_path(donor).exists()


def test_a_net_does_not_start_from_an_a_that_failed(images, tmp_path, monkeypatch, capsys):
    entries = small(("A", "E"), train_scales=("256", "384"), from_a=True, learning_rate=1e6)
    names = {(entry.net, entry.train_scale): entry.runs[0].experiment_id for entry in entries}
    failed = names["A", "256"]
    again = f"{command(entries[0].runs[0])} --results {tmp_path} --retry-failed"
    expected = [
        f"{name} was not run because {failed}, whose weights it needs, failed: repeat that by `{again}`."
        for name in names.values()
        if name != failed
    ]
    for _ in range(2):
        rows = run(entries, results=tmp_path)
        assert rows["status"].tolist() == ["failed"] * len(names)
        assert capsys.readouterr().err.splitlines() == expected
        monkeypatch.setattr(runner, "_execute_all", None)  # would fail if called: there is nothing to do
    needed = tasks.needed([entry.runs[0] for entry in entries], Store(tmp_path), retry_failed=True)
    assert {task.name for task in needed} == set(names.values())


def test_stages_follow_each_other_and_every_protocol_is_evaluated_once(images, tmp_path):
    entries = [entry for entry in small(("D",), "all", None) if entry.table in ("3", "4", "5", "jitter")]
    rows = run(entries, results=tmp_path)
    assert set(rows["status"]) == {"done"}
    store = Store(tmp_path)
    jitter, control = (rows[(rows["table"] == "jitter") & (rows["train_scale"] == s)] for s in ("256-512", "384+384"))
    assert len(jitter.iloc[0]["history"]) == len(control.iloc[0]["history"]) == 1  # a third of two epochs
    weights = {store.read(r)["run_id"]: store.read(r)["weights_sha256"] for e in entries for r in e.runs}
    assert len(set(weights.values())) == 4  # the nets after each stage, and the control
    assert (
        weights["D_S256-512_seed0_batch_size=16_precision=fp32_resolution=0.142857_multi-crop_Q512"]
        == (weights["D_S256-512_seed0_batch_size=16_precision=fp32_resolution=0.142857_dense_Q384"])
    )


def test_a_further_protocol_needs_no_training(images, tmp_path, monkeypatch):
    run(small(), results=tmp_path)
    (entry,) = small()
    other = replace(entry, runs=(replace(entry.runs[0], protocol=Protocol(288, average="posteriors")),))
    monkeypatch.setattr(_Training, "epoch", None)  # would fail if called
    assert run([other], results=tmp_path)["status"].tolist() == ["done"]
    assert Store(tmp_path).record_path(other.runs[0]).stem.endswith("_dense_Q288_posteriors")


def test_a_net_that_is_trained_again_adds_tests_only_with_the_same_weights(images, tmp_path, capsys):
    run(small(), results=tmp_path)
    store, (entry,) = Store(tmp_path), small()
    recorded = entry.runs[0]
    other = replace(recorded, protocol=Protocol(288))
    more = replace(entry, test_scales="256 288", runs=(recorded, other))
    store.checkpoint_path(recorded).unlink()
    assert run([more], results=tmp_path)["status"].tolist() == ["done"]
    assert f"{recorded.experiment_id} has tests on record and is trained again" in capsys.readouterr().err
    # As if another machine had made the record: its sums in another order give other weights.
    record = store.read(recorded)
    write_sealed(store.record_path(recorded), {**record, "weights_sha256": 64 * "0"})
    with pytest.raises(ValueError, match=f"{recorded.run_id} and {other.run_id} are tests of one training and not"):
        store.rows([more])
    store.record_path(other).unlink()
    for checkpoint in ("there", "gone"):
        with pytest.raises(ValueError, match=f"not those of the record {recorded.run_id}, .*pass another --results"):
            run([more], results=tmp_path)
        assert store.read(other) is None
        if checkpoint == "there":
            store.checkpoint_path(recorded).unlink()


def test_a_net_starts_from_no_weights_but_those_on_record(images, tmp_path):
    (entry,) = small(("E",), from_a=True)
    donor = entry.runs[0].donor
    run(small(), results=tmp_path)
    store = Store(tmp_path)
    write_sealed(store.record_path(donor), {**store.read(donor), "weights_sha256": 64 * "0"})
    with pytest.raises(ValueError, match=f"{donor.experiment_id} was trained again"):
        run([entry], results=tmp_path)
    assert not store.checkpoint_path(entry.runs[0]).exists()


def test_records_of_other_images_are_refused(images, tmp_path, monkeypatch, two_colours):
    run(small(), results=tmp_path)
    other = replace(two_colours, class_names=("cat", "dog"))
    monkeypatch.setattr(runner, "load_images", lambda *_: other)
    with pytest.raises(ValueError, match=r"made from other images .* pass another --results \(VGG_RESULTS in"):
        run(small(("B",)), results=tmp_path)  # which would be compared with A


def test_pictures_beside_the_class_folders_are_told(images, tmp_path, monkeypatch, capsys):
    unread = ((".png", 2), (".txt", 5), (".heic", 1))
    monkeypatch.setattr(runner, "load_images", lambda *_: replace(images, unread=unread))
    run(small(), results=tmp_path, data_dir=tmp_path)
    assert (
        f"3 picture(s) in {tmp_path} lie in no class folder of train or val, and are not used"
        in capsys.readouterr().err
    )


def test_records_of_another_arithmetic_are_refused_where_both_were_left_to_the_device(images, tmp_path, monkeypatch):
    run(small(precision="auto"), results=tmp_path)
    monkeypatch.setattr(devices, "precision", lambda asked, where: "fp32")
    with pytest.raises(ValueError, match=r"seed0_\S+ of preset smoke was computed in bf16, .* in fp32: .*VGG_RESULTS"):
        run(small(("B",), precision="auto"), results=tmp_path)
    assert run(small(precision="auto"), results=tmp_path)["status"].tolist() == ["done"]  # nothing is to be done


def test_a_cluster_and_jobs_are_refused_under_torchrun(monkeypatch, tmp_path):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="--backend dask gives every net to one process: start it without torchrun"):
        run(small(), results=tmp_path, backend="dask")
    with pytest.raises(ValueError, match="--jobs is 2: torchrun's processes share every net; leave --jobs out"):
        run(small(), results=tmp_path, jobs=2)


def test_gradients_that_nobody_is_sent_are_not_rounded(monkeypatch, tmp_path):
    monkeypatch.setattr(runner, "_execute_all", None)
    with pytest.raises(ValueError, match="--bf16-gradients rounds what torchrun's processes send one another: use"):
        run(small(), results=tmp_path, bf16_gradients=True)


@pytest.mark.parametrize("setting", ["jobs", "threads", "images_per_pass"])
@pytest.mark.parametrize("value", [0, -1])
def test_none_of_a_thing_is_refused(setting, value, tmp_path):
    with pytest.raises(ValueError, match=f"^--{setting.replace('_', '-')} is {value}: it must be at least 1.$"):
        run(small(), results=tmp_path, **{setting: value})
    assert not list(tmp_path.iterdir())


def test_bad_folders_are_refused_before_any_training(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "_execute_all", None)
    with pytest.raises(ValueError, match="the data folder /nowhere does not exist"):
        run(plan("tiny-imagenet", "3"), data_dir="/nowhere", results=tmp_path)
    with pytest.raises(ValueError, match="--data-dir"):
        run(plan("tiny-imagenet", "3"), results=tmp_path)
    assert not list(tmp_path.iterdir())
    (tmp_path / "smoke").write_text("")
    with pytest.raises(OSError, match="cannot be written"):
        run(small(), results=tmp_path)


def test_runs_that_take_turns_need_no_package_of_those_that_do_not(tmp_path):
    """On a bare machine with a GPU there is PyTorch, and little of what books, clusters and conversions need."""
    absent = ("papermill", "fvcore", "joblib", "distributed", "dask", "ray", "IPython", "nvidia.dali", "psutil", "timm")
    absent += ("google.protobuf", "jupyter_book")
    command = ["vgg", "run", "--preset", "smoke", "--table", "3", "--nets", "A", "--train-scales", "256", "--jobs", "1"]
    code = f"import sys\nsys.modules |= dict.fromkeys({absent})\nsys.argv = {[*command, '--results', str(tmp_path)]}\n"
    code += "from vgglib.__main__ import main\nmain()"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert said.returncode == 0, said.stderr
    assert len(list(tmp_path.rglob("*.json"))) == 1


def test_workers_need_no_statistics():
    """They import the runner, and scipy.stats would add a quarter to that."""
    code = "import sys, vgglib.runner; sys.exit('scipy.stats' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
