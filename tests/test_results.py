import os

import numpy as np
import pytest
from records import ENTRY, LABELS, POSTERIORS, RUN, record

from vgglib import files
from vgglib.experiments import as_dict, runs
from vgglib.files import previous
from vgglib.metrics import error_percent
from vgglib.paper import FOLDER, numbers
from vgglib.plans import plan
from vgglib.results import Store
from vgglib.running import tasks


def test_what_was_written_is_read(store):
    written = store.write(RUN, record(), POSTERIORS, LABELS)
    assert store.read(RUN) == written
    posteriors, labels = store.posteriors(RUN)
    assert np.array_equal(posteriors, POSTERIORS) and np.array_equal(labels, LABELS)
    assert not list(store.root.rglob("*.tmp"))


def test_all_records_of_a_preset_are_read_and_checked(store):
    assert store.records("demo") == []
    written = store.write(RUN, record(), POSTERIORS, LABELS)
    assert store.records(RUN.preset) == [written]
    path = store.record_path(RUN)
    path.write_text(path.read_text().replace('"val"', '"train"'))
    with pytest.raises(ValueError, match="changed after it was written"):
        store.records(RUN.preset)


def test_a_seed_of_other_nets_alone_is_nothing_that_is_missing(store):
    entries = plan("demo", "3,6", ["A", "C", "D"], [0, 1])
    for seed, net in ((0, "A"), (0, "C"), (1, "C")):
        (entry,) = plan("demo", "3", [net], [seed], ["256"])
        store.write(entry.runs[0], record(entry.runs[0]), POSTERIORS, LABELS)
    kept = {(entry.net, entry.train_scale, entry.seed) for entry in store.of_nets_on_record(entries)}
    own = {("C", scale, seed) for scale in ("256", "384", "256-512") for seed in (0, 1)}
    assert kept == {("A", "256", 0), *own}


def test_a_run_without_a_record_is_none(store):
    assert store.read(RUN) is None
    assert store.rows([ENTRY])["status"].tolist() == ["not run"]
    with pytest.raises(ValueError, match="no record of A_S256_seed0_dense_Q256"):
        store.posteriors(RUN)


def test_posteriors_that_are_gone_name_the_record_to_delete(store):
    store.write(RUN, record(), POSTERIORS, LABELS)
    store.posteriors_path(RUN).unlink()
    with pytest.raises(ValueError, match=f"delete the record {store.record_path(RUN)}"):
        store.posteriors(RUN)


@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda text: text.replace("50.0", "40.0"), "was changed after it was written"),
        (lambda text: text.replace('"schema": 2', '"schema": 1'), "has schema 1 where this version reads 2"),
        (lambda text: text.replace('"split"', '"part"'), r"foreign fields \(part, split\)"),
        (lambda text: text[:100], "is not JSON"),
        (lambda text: "[]", "has schema None"),
    ],
)
def test_a_damaged_record_is_refused_by_name(store, damage, message):
    store.write(RUN, record())
    path = store.record_path(RUN)
    path.write_text(damage(path.read_text()))
    with pytest.raises(ValueError, match=message) as refusal:
        store.read(RUN)
    assert str(path) in str(refusal.value)


def test_a_record_is_read_once_while_its_file_stays_as_it_is(store, monkeypatch):
    store.write(RUN, record())
    assert store.read(RUN) is not store.read(RUN)  # times of files are too coarse to tell changes that follow at once
    monkeypatch.setattr(files, "SETTLED_SECONDS", 0)
    assert store.read(RUN) is store.read(RUN)
    path = store.record_path(RUN)
    path.write_text(path.read_text().replace("50.0", "50.25"))
    with pytest.raises(ValueError, match="changed after it was written"):
        store.read(RUN)
    path.unlink()
    assert store.read(RUN) is None


def test_a_record_of_other_settings_is_refused(store):
    store.write(RUN, record(experiment=as_dict(RUN.experiment) | {"epochs": 99}))
    with pytest.raises(ValueError, match=r"epochs was 99 and is 2"):
        store.read(RUN)


def test_a_setting_that_older_records_lack_is_taken_as_unset(store):
    older = as_dict(RUN.experiment)
    assert older.pop("weights") is None
    written = store.write(RUN, record(experiment=older))
    assert store.read(RUN) == written
    store.write(RUN, record(experiment=older | {"weights": "torchvision"}))
    with pytest.raises(ValueError, match="weights was torchvision and is None"):
        store.read(RUN)


def test_posteriors_that_do_not_match_their_record_are_refused(store):
    store.write(RUN, record(), POSTERIORS, LABELS)
    np.savez_compressed(store.posteriors_path(RUN), posteriors=POSTERIORS[::-1], labels=LABELS)
    with pytest.raises(ValueError, match="do not match their record"):
        store.posteriors(RUN)


def test_damaged_posteriors_are_refused(store):
    store.write(RUN, record(), POSTERIORS, LABELS)
    store.posteriors_path(RUN).write_bytes(store.posteriors_path(RUN).read_bytes()[:50])
    with pytest.raises(ValueError, match=r"the posteriors .* are damaged"):
        store.posteriors(RUN)


def test_what_a_killed_writer_left_is_swept_once_it_is_old(store):
    store.check_writable("smoke")
    assert not (store.root / "smoke" / "weights").exists()
    (store.root / "smoke" / "weights").mkdir()
    for folder in (store.root / "smoke" / part for part in ("runs", "weights")):
        leftovers = [folder / f".{name}.x.tmp" for name in ("old", "new")]
        for path in leftovers:
            path.write_text("half")
        os.utime(leftovers[0], (0, 0))
        store.check_writable("smoke")
        assert [path.exists() for path in leftovers] == [False, True]


def test_a_failed_write_leaves_the_old_record(store, monkeypatch):
    store.write(RUN, record())
    before = store.record_path(RUN).read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match=r"No space left on device, while writing .*make room"):
        store.write(RUN, record(top1_error_percent=1.0))
    assert store.record_path(RUN).read_bytes() == before
    assert [path.name for path in store.record_path(RUN).parent.iterdir()] == [f"{RUN.run_id}.json"]


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "smoke").write_text("")
    with pytest.raises(OSError, match=r"/smoke cannot be written.*--results \(VGG_RESULTS in a notebook\)"):
        Store(tmp_path).check_writable("smoke")
    with pytest.raises(ValueError, match="/smoke is a file: name the folder of the records"):
        Store(tmp_path / "smoke")


def test_numbers_that_json_lacks_are_refused(store):
    with pytest.raises(ValueError, match="not JSON compliant"):
        store.write(RUN, record(top1_error_percent=float("nan")))
    assert store.read(RUN) is None


def test_the_papers_table_3():
    table = numbers()[lambda rows: rows["table"] == 3]
    assert len(table) == 12
    assert table.iloc[0][["net", "train_scale", "top1_val", "top5_val"]].tolist() == ["A", "256", 29.6, 10.4]
    assert {path.name for path in FOLDER.glob("*.csv")} >= {"classification.csv", "fusion.csv", "parameters.csv"}


def write(store, run, posteriors, labels):
    posteriors = np.array(posteriors, np.float16)
    error = error_percent(posteriors, np.array(labels))
    store.write(run, record(run, top1_error_percent=error), posteriors, np.array(labels, np.int16))


def test_a_row_of_several_runs_is_the_error_of_their_mean_posteriors(store):
    (entry,) = plan("smoke", "4", ["B"], [0])
    # Class 0 is right for both images. By scale: (right, wrong), (wrong, wrong), (right, wrong); means 0.6 and 0.4.
    for run, first, second in zip(entry.runs, (0.9, 0.2, 0.7), (0.4, 0.4, 0.4), strict=True):
        write(store, run, [[first, 1 - first], [second, 1 - second]], [0, 0])
    row = store.rows([entry]).iloc[0]
    assert (row["status"], row["top1_error_percent"], row["test_scales"]) == ("done", 50.0, "224 256 288")
    assert row["wrong"].tolist() == [False, True]
    assert row["evaluation_seconds"] == 7.5
    assert store.rows(plan("smoke", "3", ["B"], [0])).iloc[0]["top1_error_percent"] == 100.0


def test_a_row_needs_all_its_runs_and_shows_a_failure(store):
    (entry,) = plan("smoke", "4", ["B"], [0])
    write(store, entry.runs[0], [[1, 0]], [0])
    assert store.rows([entry])["status"].tolist() == ["not run"]
    failed = {"status": "failed", "error": "the loss is nan", "top1_error_percent": None}
    store.write(entry.runs[1], record(entry.runs[1], **failed))
    row = store.rows([entry]).iloc[0]
    assert (row["status"], row["error"], row["top1_error_percent"], row["wrong"]) == (
        "failed", "the loss is nan", None, None,
    )  # fmt: skip


def test_a_net_that_has_begun_does_not_fail_with_the_one_it_starts_from(store):
    (entry,) = plan("smoke", "3", ["E"], [0], ["384"], from_a=True)
    (later,) = entry.runs
    first = later.donor
    failed = {"status": "failed", "error": "the loss is nan", "top1_error_percent": None}
    store.write(first.donor, record(first.donor, **failed))
    assert store.failed_start(later) == first.donor
    assert store.rows([entry])[["status", "error"]].to_numpy().tolist() == [["failed", "the loss is nan"]]
    assert not tasks.needed([later], store, retry_failed=False)
    path = store.checkpoint_path(first)
    path.parent.mkdir()
    for begun in (path, previous(path)):
        begun.touch()
        assert store.failed_start(later) is None and store.rows([entry])["status"].tolist() == ["not run"]
        assert {task.name for task in tasks.needed([later], store, retry_failed=False)} == {
            later.experiment_id, first.experiment_id,
        }  # fmt: skip
        begun.unlink()


def test_runs_on_different_images_are_not_averaged(store):
    (entry,) = plan("smoke", "4", ["B"], [0])
    for run, label in zip(entry.runs, (0, 0, 1), strict=True):
        write(store, run, [[1, 0]], [label])
    with pytest.raises(ValueError, match="the runs of B, dense, seed 0, saw different images"):
        store.rows([entry])


def test_a_difference_in_an_earlier_stage_is_named(store):
    run = plan("smoke", "3", ["D"], [0], train_scales=["384"])[0].runs[0]
    experiment = as_dict(run.experiment)
    store.write(run, record(run, experiment=experiment | {"start": experiment["start"] | {"epochs": 99}}))
    with pytest.raises(ValueError, match=r"\(start.epochs was 99 and is 2\)"):
        store.read(run)


def test_committed_records_are_whole():
    presets = {path.parent.name for path in FOLDER.parent.glob("*/runs")}
    assert presets >= {"demo", "tiny-imagenet", "tiny-imagenet-50"}
    for preset in presets:
        found = Store(FOLDER.parent).records(preset)
        assert found and {own["status"] for own in found} <= {"done", "failed"}
        for own in found:
            assert own["environment"]["data_sha256"] and own["environment"]["torch"]


@pytest.mark.parametrize("preset", ["demo", "tiny-imagenet-50"])
def test_committed_records_are_those_of_todays_settings(preset):
    store = Store(FOLDER.parent)
    read = [store.read(run) for run in runs(plan(preset, "3", seeds=store.seeds(preset)))]
    assert any(read)
