import json
import math
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import pytest
import torch
from typer.testing import CliRunner

from benchmarks import cases as suite_cases
from benchmarks import harness
from benchmarks.cases import Case, Settings
from vgglib import bench
from vgglib.__main__ import app
from vgglib.results import write_sealed

IMPORT = "import vgglib"


@pytest.fixture
def settings(tmp_path):
    return Settings(device="cpu", threads=1, folder=tmp_path / "scratch", small=True)


@pytest.fixture
def idle(monkeypatch):
    monkeypatch.setattr(harness, "used_cores", lambda seconds=0.5: 0.0)


def record_of(values, **case):
    """A record of one case, from contender -> its value in every round."""
    whole = {"name": "work", "unit": "s", "more_is_better": False, "points": False, "limit": None} | case
    measurements = [
        {"contender": contender, "round": number, "values": {"value": value}}
        for contender, found in values.items()
        for number, value in enumerate(found)
    ]
    timed = whole | {"contenders": list(values), "measurements": measurements, "left_out": []}
    return {"schema": bench.SCHEMA, "cases": [timed]}


def test_the_interval_of_a_median_by_hand():
    # Six values: the chance that the median lies below all or above all of them is 2 / 64 = 3.1 %. Nine: the second and
    # the eighth, 2 (1 + 9) / 512 = 3.9 %.
    assert bench.interval([3, 1, 2, 6, 5, 4]) == (1, 6)
    assert bench.interval(list(range(9))) == (1, 7)
    assert bench.interval([1, 2, 3, 4, 5]) is None


def test_advantages_are_paired_by_round():
    # The machine gets slower: the medians are 3 and 6, but in every round theirs takes three times as long, or twice.
    record = record_of({bench.OURS: [1, 2, 3, 4, 5, 6], "theirs": [3, 4, 9, 8, 15, 12]})
    ours, theirs = bench.summary(record).to_dict("records")
    assert (ours["median"], ours["low"], ours["high"]) == (3.5, 1, 6)
    assert math.isnan(ours["advantage"])
    assert (theirs["advantage"], theirs["advantage_low"], theirs["advantage_high"]) == (2.5, 2, 3)


def test_where_more_is_better_the_advantage_is_the_other_way_round():
    record = record_of({bench.OURS: [10, 20], "theirs": [5, 5]}, more_is_better=True, unit="images/s")
    theirs = bench.summary(record).iloc[1]
    assert theirs["advantage"] == 3
    assert math.isnan(theirs["advantage_low"])


def test_rounds_that_only_one_of_them_has_do_not_count():
    record = record_of({bench.OURS: [1, 1, 1], "theirs": [4, 6]})
    assert bench.summary(record).iloc[1]["advantage"] == 5


def test_points_are_not_compared():
    record = record_of({"1": [1.0], "2": [2.0]}, points=True)
    assert bench.summary(record)["advantage"].isna().all()


@pytest.mark.parametrize(
    "more, limit, met", [(False, 2, True), (False, 1.9, False), (True, 2, True), (True, 2.1, False)]
)
def test_limits(more, limit, met):
    found = bench.limits(record_of({bench.OURS: [1, 2, 3]}, limit=limit, more_is_better=more))
    assert found["met"].tolist() == [met]
    assert bench.limits(record_of({bench.OURS: [1, 2, 3]})).empty


def test_an_altered_record_is_refused_by_name(tmp_path):
    assert bench.kept("user", root=tmp_path) is None
    path = bench.path("user", root=tmp_path)
    write_sealed(path, record_of({bench.OURS: [1]}))
    assert bench.kept("user", root=tmp_path)["cases"][0]["name"] == "work"
    path.write_text(path.read_text().replace('"value": 1', '"value": 2'))
    with pytest.raises(ValueError, match=r"user-cpu\.json was changed .*measure again"):
        bench.kept("user", root=tmp_path)


def the_case(root):
    (case,) = bench.kept("user", root=root)["cases"]
    return case


def test_a_run_times_contenders_in_turn(settings, tmp_path, idle):
    said = []
    whole = replace(settings, images=tmp_path)  # which this suite does not read
    paths = harness.run(["user"], whole, 2, pattern=IMPORT, root=tmp_path, say=said.append)
    assert paths == [bench.path("user", root=tmp_path)]
    case = the_case(tmp_path)
    order = [(one["round"], one["contender"]) for one in case["measurements"]]
    assert order == [(0, bench.OURS), (0, "python alone"), (1, "python alone"), (1, bench.OURS)]
    assert all(one["values"]["value"] > 0 and one["used_cores_before"] == 0 for one in case["measurements"])
    assert case["environment"]["threads"] == 1
    assert case["images"] == "drawn" and not case["forced"]
    assert len(said) == 4


def test_an_earlier_commit_is_timed_beside_the_present_one(settings, tmp_path, idle):
    harness.run(["user"], settings, 1, pattern=IMPORT, against="HEAD", root=tmp_path, say=lambda text: None)
    names = [one["contender"] for one in the_case(tmp_path)["measurements"]]
    assert len(names) == 3
    assert names[2].startswith(f"{bench.OURS} at ")


def test_the_earlier_library_is_the_one_that_is_imported(tmp_path):
    with harness._earlier("HEAD") as (_, folder):
        where = os.pathsep.join([str(folder), str(harness.REPOSITORY)])
        code = "import vgglib, benchmarks; print(vgglib.__file__, benchmarks.__file__)"
        command = [sys.executable, "-c", code]
        environment = {**os.environ, "PYTHONPATH": where}
        said = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    library, suites = map(Path, said.stdout.split())
    assert library == folder / "vgglib" / "__init__.py"
    assert suites == harness.REPOSITORY / "benchmarks" / "__init__.py"


@pytest.mark.parametrize(
    "options, sentence",
    [
        ({"suites": ["trainig"]}, "unknown suite 'trainig': choose from training, growth"),
        ({"pattern": "nothing like it"}, "no case of user matches 'nothing like it'"),
        ({"against": "no-such-commit"}, "there is no commit 'no-such-commit' of vgglib"),
    ],
)
def test_what_cannot_be_timed_is_refused(options, sentence, settings, tmp_path, idle):
    with pytest.raises(ValueError, match=sentence):
        harness.run(options.pop("suites", ["user"]), settings, 1, root=tmp_path, **options)
    assert not list(tmp_path.rglob("*.json"))


def test_a_busy_machine_is_refused_unless_forced(settings, tmp_path, monkeypatch):
    monkeypatch.setattr(harness, "used_cores", lambda seconds=0.5: 1.5)
    with pytest.raises(ValueError, match=r"other programs use 1\.5 of \d+ cores.*--force"):
        harness.run(["user"], settings, 1, pattern=IMPORT, root=tmp_path)
    harness.run(["user"], settings, 1, pattern=IMPORT, root=tmp_path, force=True, say=lambda text: None)
    case = the_case(tmp_path)
    assert case["forced"]
    assert {one["used_cores_before"] for one in case["measurements"]} == {1.5}


def test_used_cores_are_those_that_neither_idle_nor_wait_for_a_disk(monkeypatch):
    # user, nice, system, idle, iowait, irq, softirq, steal, guest, guest_nice (counted in user)
    looks = iter(["cpu  100 0 100 700 100 0 0 0 50 0\ncpu0 1", "cpu  250 10 120 790 110 10 5 5 90 0\ncpu0 1"])
    file = SimpleNamespace(exists=lambda: True, read_text=lambda: next(looks))
    monkeypatch.setattr(harness, "Path", lambda path: file)
    monkeypatch.setattr(harness.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(harness.os, "cpu_count", lambda: 6)
    assert harness.used_cores() == pytest.approx(6 * 200 / 300)


def test_it_waits_for_others_to_be_done_and_not_for_ever(settings, monkeypatch):
    seen = iter([1.0, 0.7, 0.1])
    monkeypatch.setattr(harness, "used_cores", lambda seconds=0.5: next(seen))
    monkeypatch.setattr(harness.time, "sleep", lambda seconds: None)
    suite = harness._Suite("user", settings, None, False, None, print)
    assert suite._calm() == 0.1
    monkeypatch.setattr(harness, "used_cores", lambda seconds=0.5: 1.0)
    monkeypatch.setattr(harness, "PATIENCE_SECONDS", 0)
    assert suite._calm() == 1.0


def test_the_memory_of_a_contender_and_its_children_is_seen(monkeypatch):
    pytest.importorskip("psutil")
    monkeypatch.setattr(harness, "LOOK_SECONDS", 0.1)
    hold = "x = bytearray(100_000_000); import time; time.sleep({})"
    child = f"import subprocess, sys; {hold.format(0)}; subprocess.run([sys.executable, '-c', {hold.format(1)!r}])"
    assert harness._watched(subprocess.Popen([sys.executable, "-c", child])) > 200_000_000


class Toy:
    """A suite that measures in this process: case -> contender -> its answer."""

    TITLE = "Toy"

    def __init__(self, answers, rounds):
        self.answers, self.rounds = answers, rounds

    def cases(self, settings):
        return [Case(name, tuple(found), "s", rounds=self.rounds) for name, found in self.answers.items()]

    def prepare(self, settings, cases):
        pass


def good(value=1.0):
    return {"values": {"value": value}}


@pytest.fixture
def toy(monkeypatch, idle):
    def install(answers, rounds=None):
        suite = Toy(answers, rounds)
        imported = harness.import_module
        monkeypatch.setattr(
            harness, "import_module", lambda name: suite if name == "benchmarks.user" else imported(name)
        )
        monkeypatch.setattr(harness._Suite, "_measure", lambda self, case, contender: (answers[case][contender], None))

    return install


def timed(settings, root, rounds=1, **options):
    harness.run(["user"], settings, rounds, root=root, say=lambda text: None, **options)


def test_who_cannot_be_timed_is_left_out_once_with_the_reason(toy, settings, tmp_path):
    toy({"work": {"ours": good(), "absent": {"left_out": "it is not installed: pip install it."}}})
    said = []
    harness.run(["user"], settings, 3, root=tmp_path, say=said.append)
    case = the_case(tmp_path)
    assert [one["contender"] for one in case["measurements"]] == ["ours"] * 3
    assert case["left_out"] == [{"contender": "absent", "reason": "it is not installed: pip install it."}]
    assert len(said) == 4


def test_a_case_may_have_fewer_rounds(toy, settings, tmp_path):
    toy({"work": {"ours": good()}}, rounds=2)
    timed(settings, tmp_path, rounds=5)
    assert len(the_case(tmp_path)["measurements"]) == 2


def test_some_cases_take_their_own_place_in_the_record(toy, settings, tmp_path):
    toy({"b": {"ours": good(1.0)}, "a": {"ours": good(2.0)}})
    timed(settings, tmp_path)
    toy({"b": {"ours": good(1.0)}, "a": {"ours": good(3.0)}, "new": {"ours": good(4.0)}})
    timed(settings, tmp_path, pattern="[an]*")
    found = bench.summary(bench.kept("user", root=tmp_path))
    assert list(zip(found["case"], found["median"], strict=True)) == [("b", 1.0), ("a", 3.0), ("new", 4.0)]


def test_a_contender_that_breaks_down_is_named_and_costs_its_own_case_alone(toy, settings, tmp_path):
    toy({"work": {"ours": good(1.0)}})
    timed(settings, tmp_path)
    broken = {"error": "ZeroDivisionError: division by zero"}
    toy({"work": {"ours": good(2.0), "broken": broken}, "more": {"ours": good(5.0)}})
    with pytest.raises(harness.Failed, match=r"work: broken broke down \(ZeroDivisionError"):
        timed(settings, tmp_path)
    found = bench.summary(bench.kept("user", root=tmp_path))
    assert dict(zip(found["case"], found["median"], strict=True)) == {"work": 1.0, "more": 5.0}


def test_a_process_that_dies_without_an_answer_is_reported(settings, tmp_path, idle, monkeypatch):
    monkeypatch.setattr(harness.sys, "executable", "/bin/false")
    with pytest.raises(harness.Failed, match="this project ended with status 1 and without an answer"):
        timed(settings, tmp_path, pattern=IMPORT)
    assert bench.kept("user", root=tmp_path) is None


def test_an_altered_record_is_refused_before_anything_is_timed(toy, settings, tmp_path):
    toy({"work": {"ours": good()}})
    timed(settings, tmp_path)
    path = bench.path("user", root=tmp_path)
    path.write_text(path.read_text().replace('"round": 0', '"round": 1'))
    with pytest.raises(ValueError, match="was changed after it was written"):
        timed(settings, tmp_path)


def test_the_command_line_lists_and_refuses(tmp_path):
    listed = CliRunner().invoke(app, ["bench", "user", "--list", "--device", "cpu"])
    assert listed.exit_code == 0
    assert f"{IMPORT}: {bench.OURS}, python alone" in listed.stdout
    for options, sentence in (
        (["--rounds", "0"], "--rounds is 0: it must be at least 1."),
        (["--images", str(tmp_path / "none")], "does not exist: check --images."),
        (["--list", "--cases", "nothing"], "no case of user matches 'nothing': `vgg bench --list` names them."),
    ):
        found = CliRunner().invoke(app, ["bench", "user", *options])
        assert sentence in str(found.exception)


def test_both_call_this_project_the_same():
    # Two names, since a suite may run with an earlier library.
    assert suite_cases.OURS == bench.OURS


def test_settings_reach_the_measurement_as_they_are(tmp_path):
    from benchmarks.measure import settings_of

    whole = Settings(device="cuda:1", threads=3, folder=tmp_path, images=tmp_path / "images", small=True)
    assert settings_of(json.dumps(asdict(whole), default=str)) == whole
    assert settings_of(json.dumps(asdict(Settings("cpu", 1, tmp_path)), default=str)).images is None


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), {"left_out": "it takes more memory than this GPU has free."}),
        (ZeroDivisionError("division by zero"), {"error": "ZeroDivisionError: division by zero"}),
    ],
)
def test_a_gpu_without_room_leaves_a_contender_out(error, answer, settings, tmp_path, monkeypatch):
    from benchmarks import measure, user

    monkeypatch.setattr(user, "measure", mock.Mock(side_effect=error))
    said = tmp_path / "answer.json"
    measure.main("user", IMPORT, bench.OURS, json.dumps(asdict(settings), default=str), str(said))
    assert json.loads(said.read_text()) == answer
