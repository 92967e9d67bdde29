"""Pages whose code runs on records of which some were changed."""

import copy
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bs4 import BeautifulSoup
from pages import EXPERIMENTS, asked, displayed, lines_of_tables

from vgglib import tables, verdicts
from vgglib.analysis import evidence, speed, verdict_tables
from vgglib.experiments import Run, runs
from vgglib.metrics import error_percent
from vgglib.plans import plan
from vgglib.results import Store

ROOT = Path(__file__).resolve().parents[1]
COMMITTED = Store(ROOT / "results")
# Records of seed 0 that are changed, enough for each page of an experiment to show one: net, S, Q, method.
CHANGED = tuple((net, "256", 256, "dense") for net in "ADE")
CHANGED += tuple(("E", "256-512", 384, method) for method in ("dense", "multi-crop"))


def change(store: Store, run: Run) -> None:
    """Replace a record and its posteriors by ones in which every third image has another answer, after a training that
    took a hundred times as long.
    """
    record = copy.deepcopy(store.read(run))
    posteriors, labels = store.posteriors(run)
    posteriors = posteriors.copy()
    posteriors[::3] = np.roll(posteriors[::3], 1, axis=1)
    for rank in (1, 5):
        record[f"top{rank}_error_percent"] = error_percent(posteriors.astype(np.float32), labels, rank)
    record["environment"]["training_seconds"] *= 100
    store.record_path(run).unlink()
    store.write(run, record, posteriors, labels)


@pytest.fixture(scope="module")
def changed(tmp_path_factory) -> Store:
    """The committed records with those of CHANGED replaced."""
    folder = tmp_path_factory.mktemp("changed")
    for preset in (path for path in COMMITTED.root.iterdir() if path.is_dir()):
        shutil.copytree(preset, folder / preset.name, ignore=shutil.ignore_patterns("checkpoints"))
    store = Store(folder)
    for run in runs(plan("demo", "all", seeds=[0])):
        protocol = run.protocol
        if (run.experiment.net, run.experiment.scale_text, protocol.test_scale, protocol.method) in CHANGED:
            change(store, run)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("VGG_RESULTS", str(folder))
        measured = speed.of("demo", 1)
    speed.keep(replace(measured, peaks={name: 3 * value for name, value in measured.peaks.items()}), folder)
    return store


@pytest.fixture
def page(changed, monkeypatch, house_style):
    """Runs a page of the book on the changed records."""
    monkeypatch.setenv("VGG_RESULTS", str(changed.root))
    return lambda name: displayed(ROOT / name)


@pytest.fixture(scope="module")
def both(changed):
    """The short table of verdicts before records were changed and after, as sets of lines."""
    rows = (evidence.rows(store, "demo") for store in (COMMITTED, changed))
    before, after = ({tuple(line) for line in verdict_tables.short(verdicts.judge(own)).to_numpy()} for own in rows)
    assert after - before
    return before, after


def test_a_book_is_built_from_the_results_that_are_named(changed, both, tmp_path):
    """As README and the page of the evidence say; the first page alone, since a whole book takes minutes."""
    contents = tmp_path / "contents.yml"
    contents.write_text("format: jb-book\nroot: book/intro\n")
    command = [str(Path(sys.executable).with_name("jupyter-book")), "build", str(ROOT), "--toc", str(contents)]
    command += ["--path-output", str(tmp_path)]
    environment = {**os.environ, "VGG_RESULTS": str(changed.root)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    _, after = both
    assert after <= lines_of_tables((tmp_path / "_build" / "html" / "book" / "intro.html").read_text())


@pytest.mark.parametrize("notebook", EXPERIMENTS, ids=lambda path: path.stem)
def test_an_experiment_shows_the_changed_errors(notebook, page, changed):
    before, after = (
        {
            error
            for name, own in rows.groupby("table")
            for error in tables.shown(tables.beside_paper(name, own))["Top-1, ours"]
        }
        for rows in (asked(notebook, store, "demo", COMMITTED.seeds("demo")) for store in (COMMITTED, changed))
    )
    assert after - before
    assert after - before <= {cell for line in lines_of_tables(page(notebook)) for cell in line}


def test_the_page_of_claims_shows_the_changed_intervals(page, both):
    before, after = both
    text = page("book/claims.md")
    assert all(interval in text for *_, interval, _ in after - before)


def test_the_page_of_evidence_shows_the_changed_minutes(page, changed):
    before, after = (
        {tuple(map(str, line)) for line in evidence.trainings(evidence.records(store, "demo")).to_numpy()}
        for store in (COMMITTED, changed)
    )
    assert after - before
    assert after <= lines_of_tables(page("book/evidence.md"))


def test_the_page_of_cost_shows_the_changed_peak(page, changed):
    record = json.loads((changed.root / "demo" / "speed.json").read_text())
    peak = f"{2 * record['peaks']['macs_per_second'] / 1e9:,.0f} billion operations a second"
    assert peak in page("notebooks/03_cost.ipynb")


def test_the_first_look_says_the_changed_error(page, changed):
    (run,) = runs(plan("demo", "3", ["D"], [0], ["256"]))
    error = f"top-1 error is {changed.read(run)['top1_error_percent']:.1f} %"
    text = BeautifulSoup(page("notebooks/00_start_here.ipynb"), "html.parser").get_text()
    assert error in text
