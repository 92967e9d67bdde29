import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from unittest.mock import Mock

import nbformat
import pytest
from pages import EXPERIMENTS, NOTEBOOKS, asked, code_cells, displayed

from vgglib import plans, runner, show
from vgglib.display import full_size
from vgglib.experiments import runs
from vgglib.notebooks import parameters, settings
from vgglib.plans import plan
from vgglib.presets import PRESETS
from vgglib.results import Store

ROOT = Path(__file__).resolve().parents[1]
USUAL = {"preset": "smoke", "seeds": None, "nets": None, "train_missing": False, "data_dir": None, "device": None}
USUAL |= {"recipe": None}


def check(injected="", **changes):
    return parameters({**USUAL, **changes, "In": ["", "preset: str = 'demo'", f"# Parameters\n{injected}\n"]})


@pytest.mark.parametrize(
    "name, value, message",
    [
        ("image_size", 31, "image_size is 31: it must be a whole number of at least 32"),
        ("image_size", 224.5, "image_size is 224.5"),
        ("batch_size", True, "batch_size is True"),
        ("watts", "200", "watts is '200': it must be a number of at least 0"),
        ("watts", float("inf"), "watts is inf"),
        ("seed", -1, "seed is -1"),
        ("num_classes", 0, "num_classes is 0"),
        ("nets", "A,F", "unknown net 'F'"),
    ],
)
def test_a_wrong_setting_of_a_chapter_is_named(name, value, message):
    with pytest.raises(ValueError, match=message):
        settings({name: value}, name)


def test_settings_take_text_as_papermill_gives_it():
    given = {"nets": "A, E", "watts": 65, "image_size": 56, "device": None, "In": ["# Parameters\nnets = 'A, E'\n"]}
    p = settings(given, "nets", "watts", "image_size", "device")
    assert (p.nets, p.watts, p.image_size, p.device) == (("A", "E"), 65, 56, None)
    with pytest.raises(ValueError, match="unknown parameter 'net': this notebook takes nets"):
        settings({"nets": "A", "In": ["# Parameters\nnet = 'A'\n"]}, "nets")


@pytest.mark.parametrize(
    "cells, message",
    [
        (["watts: int = 5\nbach_size: int = 2\nnets: list = ['A']"], "unknown parameter 'bach_size'"),
        (["watts: int = 5\nnets: list = ['A']\nspeed = 3"], "unknown parameter 'speed'"),
        (["watts: int = 5\nnets: list = ['A']"], "parameter 'batch_size' has no value"),
    ],
)
def test_a_parameter_that_was_misspelt_by_hand_is_named(cells, message):
    with pytest.raises(ValueError, match=message):
        settings({"watts": 5, "nets": ["A"], "In": cells}, "nets", "watts", "batch_size")


def test_what_else_was_typed_into_a_notebook_does_not_count():
    cells = ["watts: int = 5\nwats: int = 6\nnets: list = ['A']"]  # mended since
    cells += ["watts: int = 5\nnets: list = ['A']", "watts: int = 7", "%env X=1", "p.x: int = 3"]
    assert settings({"watts": 5, "nets": ["A"], "In": cells}, "nets", "watts").nets == ("A",)


def test_lists_and_text_mean_the_same():
    for seeds, nets in (([0, 1], ["A", "E"]), ("0,1", "A, E")):
        p = check(seeds=seeds, nets=nets)
        assert (p.seeds, p.nets) == ((0, 1), ("A", "E"))
    assert check(seeds=3).seeds == (3,)
    assert len(check().nets) == 7


def test_seeds_left_open_are_those_recorded(tmp_path, monkeypatch):
    runs = tmp_path / "smoke" / "runs"
    runs.mkdir(parents=True)
    for name in ("A_S256_seed3_dense_Q256", "A-LRN_S256_seed7_dense_Q256", "A_S256_seed9_width=0.5_dense_Q256"):
        (runs / f"{name}.json").write_text("{}")
    monkeypatch.setenv("VGG_RESULTS", str(tmp_path))
    assert check().seeds == (3, 7)
    assert check(preset="demo").seeds == PRESETS["demo"].seeds


@pytest.mark.parametrize("recipe", [{"epochs": 9, "from_a": False}, "epochs=9, from_a=False", "epochs=9, from_a=false"])
def test_a_recipe_of_ones_own_is_planned_and_its_seeds_are_found(recipe, tmp_path, monkeypatch):
    runs = tmp_path / "demo" / "runs"
    runs.mkdir(parents=True)
    for name in ("E_S256_seed3_epochs=9_from_a=False_dense_Q256", "E_S256_seed4_epochs=8_dense_Q256"):
        (runs / f"{name}.json").write_text("{}")
    monkeypatch.setenv("VGG_RESULTS", str(tmp_path))
    p = check(preset="demo", recipe=recipe, nets="E")
    assert p.seeds == (3,)
    first = p.plan("3")[0].runs[0]
    assert first.experiment.epochs == 9 and first.experiment.start is None
    assert check(preset="demo", recipe={"epochs": 7}).seeds == PRESETS["demo"].seeds  # none on record


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"injected": "sedes = 3"}, "unknown parameter 'sedes': this notebook takes preset, seeds"),
        ({"train_missing": "false"}, "train_missing is 'false', not True or False"),
        ({"train_missing": 1}, "train_missing is 1"),
        ({"preset": "big"}, "unknown preset 'big'"),
        ({"preset": 3}, "preset is 3"),
        ({"seeds": "one"}, "seeds is 'one'"),
        ({"seeds": [True]}, r"seeds is \[True\]"),
        ({"seeds": 1.5}, "seeds is"),
        ({"seeds": "-1"}, "seed is -1"),
        ({"nets": "A,F"}, "unknown net 'F'"),
        ({"nets": []}, r"nets is \[\]"),
        ({"data_dir": 5}, "data_dir is 5"),
        ({"device": 0}, "device is 0"),
        ({"recipe": "24"}, "recipe is '24': give a dictionary"),
        ({"recipe": [24]}, "recipe is .24.: give a dictionary"),
        ({"recipe": {"epoch": 24}}, "unknown setting 'epoch'"),
        ({"recipe": "epochs=many"}, "epochs is 'many': it must be an int"),
        ({"recipe": {"width": "wide"}}, "width is 'wide': it must be an int or a float"),
        ({"recipe": "from_a=no"}, "from_a is 'no': it must be True or False"),
    ],
)
def test_a_wrong_parameter_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        check(**arguments)


@pytest.mark.parametrize(
    "there, made, sentence",
    [
        (0, 3, "Of 3 tests 0 were there already, and 3 were made now."),
        (2, 0, "Of 3 tests 2 were there already, and 0 were made now."),  # as when a training that it needs has failed
        (3, 0, "All 3 tests were there already: nothing was trained."),
    ],
)
def test_it_is_said_how_many_tests_were_trained(there, made, sentence, tmp_path, monkeypatch):
    monkeypatch.setenv("VGG_RESULTS", str(tmp_path))
    p, said = check(nets="D", train_missing=True), []
    entries = p.plan("3") + p.plan("3")  # at three S, each named twice
    paths = [Store(tmp_path).record_path(run) for run in runs(entries)]

    def record(some):
        for path in some:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()

    record(paths[:there])
    monkeypatch.setattr(runner, "run", lambda *_, **__: record(paths[there : there + made]))
    monkeypatch.setattr(show, "sentence", said.append)
    p.rows(entries)
    where = f"Records go to {tmp_path}; `%env VGG_RESULTS=../mine` names another folder."
    assert said == [where] * (there < 3) + [sentence]
    if not there:
        (tmp_path / "smoke").rename(tmp_path / "elsewhere")
        check(nets="D").rows(entries)
        assert said[-1] == "Nothing of this is on record: set `train_missing` to True, and the notebook trains it."


def test_a_training_that_is_interrupted_says_how_to_go_on(tmp_path, monkeypatch):
    monkeypatch.setenv("VGG_RESULTS", str(tmp_path))
    said = []
    monkeypatch.setattr(runner, "run", Mock(side_effect=KeyboardInterrupt))
    monkeypatch.setattr(show, "sentence", said.append)
    p = check(nets="D", train_missing=True)
    with pytest.raises(KeyboardInterrupt):
        p.rows(p.plan("3"))
    assert said[-1] == "Stopped: run the cell again, and it goes on from the last checkpoint."


@pytest.mark.parametrize("notebook", [*NOTEBOOKS[2:13], NOTEBOOKS[15]], ids=lambda path: path.stem)
def test_the_comment_on_the_preset_names_them_all(notebook):
    comment = re.search(r"^preset: str = .*#(.*)", code_cells(notebook)[0].source, re.MULTILINE)[1]
    assert set(PRESETS) <= set(re.findall(r"[\w-]+", comment))


def test_the_papers_own_size_is_planned_as_on_the_page_of_imagenet():
    source = "\n".join(cell.source for cell in code_cells(NOTEBOOKS[3]))
    own = eval(re.search(r"^paper = (.*)$", source, re.MULTILINE)[1], {"plans": plans})
    assert own[0].runs[0].experiment.epochs == 74
    work = full_size.work().set_index("For")["Multiply-adds, 10^18"]
    assert work["everything behind all tables, one seed"] == f"{full_size.multiply_adds(own) / 1e18:,.1f}"


def papermill(notebook, folder, store, *arguments):
    """Runs a notebook by papermill in `folder`, from where nothing of the project can be seen."""
    command = [sys.executable, "-m", "papermill", str(notebook), str(folder / notebook.name), *arguments]
    environment = {**os.environ, "VGG_RESULTS": str(store.root), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def shown(notebook):
    """All that an executed notebook displays, as text; pictures without their pixels."""
    outputs = [output for cell in nbformat.read(notebook, 4).cells for output in cell.get("outputs", [])]
    return without_pixels("\n".join(text for output in outputs for text in output.get("data", {}).values()))


def without_pixels(text):
    return re.sub(r"base64,[^\"]+", "", text)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """The records of every table of the smallest preset, made by the command line."""
    folder = tmp_path_factory.mktemp("results")
    command = [sys.executable, "-m", "vgglib", "run", "--preset", "smoke", "--table", "all"]
    done = subprocess.run([*command, "--results", str(folder)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return Store(folder)


@pytest.fixture(scope="module")
def executed(store, tmp_path_factory):
    """What a notebook displays on these records, run from another folder, once each. In this process: kernels run all
    of them where the book is built, and papermill one or two below.
    """
    folder = tmp_path_factory.mktemp("elsewhere")

    @cache
    def run(notebook):
        parameters = {"preset": "smoke"} if "preset: str" in notebook.read_text() else {}  # one chapter knows no preset
        with pytest.MonkeyPatch.context() as patched:
            patched.setenv("VGG_RESULTS", str(store.root))
            patched.chdir(folder)
            return without_pixels(displayed(notebook, **parameters))

    return run


def test_a_misspelt_parameter_stops_papermill_at_once(tmp_path):
    done = papermill(EXPERIMENTS[0], tmp_path, Store(tmp_path), "-p", "preset", "smoke", "-p", "trian_missing", "True")
    assert done.returncode != 0
    assert "unknown parameter 'trian_missing'" in done.stderr


@pytest.mark.parametrize("notebook", EXPERIMENTS, ids=lambda path: path.stem)
def test_every_notebook_shows_the_records(notebook, store, executed, house_style):
    rows = asked(notebook, store, "smoke")
    assert (rows["status"] == "done").all()
    text = executed(notebook)
    for error in rows["top1_error_percent"]:
        assert f"{error:.1f}" in text
    assert re.search("reproduced|opposite|undecided|not tested", text)
    assert not re.search(r"\bnan\b", text, re.IGNORECASE)


@pytest.mark.parametrize("notebook", NOTEBOOKS[:15], ids=lambda path: path.stem)  # the last draws longer trainings
def test_every_figure_has_a_text_for_those_who_cannot_see_it(notebook, executed, house_style):
    figures = re.findall(r"<img [^>]+>", executed(notebook))
    assert figures
    assert all(re.search(r'alt="\w.{20,}"', figure) for figure in figures)


def test_a_notebook_trains_what_is_missing(tmp_path):
    store = Store(tmp_path / "results")
    done = papermill(EXPERIMENTS[0], tmp_path, store, "-p", "preset", "smoke", "-p", "train_missing", "True")
    assert done.returncode == 0, done.stderr[-3000:]
    rows = asked(EXPERIMENTS[0], store, "smoke")
    assert list(rows["status"]) == ["done", "done"]
    text = shown(tmp_path / EXPERIMENTS[0].name)
    assert "Of 2 tests 0 were there already, and 2 were made now." in text
    for error in rows["top1_error_percent"]:
        assert f"{error:.1f}" in text


@pytest.mark.parametrize("notebook", EXPERIMENTS, ids=lambda path: path.stem)
def test_without_records_every_notebook_says_so(notebook):
    text = displayed(notebook, preset="smoke")
    assert "not run" in text
    assert not re.search(r"\bnan\b", text, re.IGNORECASE)


@pytest.mark.parametrize("notebook", EXPERIMENTS, ids=lambda path: path.stem)
def test_failed_and_missing_runs_are_shown(notebook, store, tmp_path, monkeypatch):
    kept = Store(tmp_path / "kept")
    shutil.copytree(store.root / "smoke", kept.root / "smoke", ignore=shutil.ignore_patterns("D_*", "checkpoints"))
    for run in runs(plan("smoke")):
        if run.experiment.net in ("A-LRN", "C", "E"):
            record = store.read(run) | {"status": "failed", "error": "the training loss is nan in epoch 1"}
            kept.write(run, record | {"top1_error_percent": None, "top5_error_percent": None, "history": []})
    monkeypatch.setenv("VGG_RESULTS", str(kept.root))
    statuses = set(asked(notebook, kept, "smoke")["status"])
    assert "failed" in statuses
    text = displayed(notebook, preset="smoke")
    for status in statuses - {"done"}:
        assert status in text
