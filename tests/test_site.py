"""The whole book, built strictly from records of which some were changed, and looked at in a browser."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import numpy as np
import pandas as pd
import pytest
from browser import needs_browser, opened
from bs4 import BeautifulSoup

from vgglib import evidence, speed, tables, verdict_tables, verdicts
from vgglib.experiments import Run, plan, runs
from vgglib.metrics import error_percent
from vgglib.results import Store

ROOT = Path(__file__).resolve().parents[1]
SEED = 0
# Records that are changed, enough for each page of an experiment to show one: net, S, Q, method.
CHANGED = tuple((net, "256", 256, "dense") for net in "ADE")
CHANGED += tuple(("E", "256-512", 384, method) for method in ("dense", "multi-crop"))
EXPERIMENTS = sorted(path for path in (ROOT / "notebooks").glob("*.ipynb") if "train_missing" in path.read_text())
# Made by Sphinx alone: lists of names, and the library's source code.
NOT_OURS = ("_modules", "genindex", "py-modindex", "search", "index.html")


def change(store: Store, run: Run) -> None:
    """Replace a record and its posteriors by ones in which every third image has another answer, after a training that
    took a hundred times as long.
    """
    record = store.read(run)
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
    for preset in (path for path in (ROOT / "results").iterdir() if path.is_dir()):
        shutil.copytree(preset, folder / preset.name, ignore=shutil.ignore_patterns("checkpoints"))
    store = Store(folder)
    for run in runs(plan("demo", "all", seeds=[SEED])):
        protocol = run.protocol
        if (run.experiment.net, run.experiment.scale_text, protocol.test_scale, protocol.method) in CHANGED:
            change(store, run)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("VGG_RESULTS", str(folder))
        measured = speed.of("demo", 1)
    speed.keep(replace(measured, peaks={name: 3 * value for name, value in measured.peaks.items()}), folder)
    return store


@pytest.fixture(scope="module")
def site(changed, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [str(Path(sys.executable).with_name("jupyter-book")), "build", str(ROOT), "--path-output", str(folder)]
    command += ["--all", "-W", "-n", "--keep-going"]
    environment = {**os.environ, "VGG_RESULTS": str(changed.root)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return folder / "_build" / "html"


def pages(site: Path) -> list[Path]:
    return sorted(site.rglob("*.html"))


def ours(site: Path) -> list[Path]:
    return [path for path in pages(site) if not str(path.relative_to(site)).startswith(NOT_OURS)]


def shown_lines(page: Path) -> set[tuple[str, ...]]:
    """Every line of every table of a page, as texts."""
    soup = BeautifulSoup(page.read_text(), "html.parser")
    return {tuple(cell.get_text() for cell in line.find_all("td")) for line in soup.find_all("tr")}


@pytest.fixture(scope="module")
def both(changed) -> tuple[pd.DataFrame, pd.DataFrame]:
    """All rows of the demo, before records were changed and after."""
    return evidence.rows(Store(ROOT / "results"), "demo"), evidence.rows(changed, "demo")


def new_errors(name: str, both: tuple[pd.DataFrame, pd.DataFrame]) -> set[str]:
    """The errors in one of the paper's tables that the changed records made different, as a page shows them."""
    before, after = (tables.shown(tables.BY_NAME[name](rows))["Top-1, ours"] for rows in both)
    return set(after[after != before]) - set(before)


@pytest.mark.parametrize("notebook", EXPERIMENTS, ids=lambda path: path.stem)
def test_a_changed_record_changes_the_page(notebook, site, both):
    source = "\n".join(cell.source for cell in nbformat.read(notebook, 4).cells if cell.cell_type == "code")
    cells = {cell for line in shown_lines(site / "notebooks" / f"{notebook.stem}.html") for cell in line}
    new = set().union(*(new_errors(name, both) for name in re.findall(r'p\.plan\("(\w+)"\)', source)))
    assert new & cells


def test_a_changed_record_changes_the_pages_of_verdicts(site, both):
    before, after = ({tuple(line) for line in verdict_tables.short(verdicts.judge(rows)).to_numpy()} for rows in both)
    assert after - before
    assert after <= shown_lines(site / "book" / "intro.html")
    text = (site / "book" / "claims.html").read_text()
    assert all(interval in text for *_, interval, _ in after - before)


def test_a_changed_record_changes_the_pages_of_evidence_speed_and_the_first_look(site, changed):
    before, after = (
        {tuple(map(str, line)) for line in evidence.trainings(store, "demo").to_numpy()}
        for store in (Store(ROOT / "results"), changed)
    )
    assert after - before and after <= shown_lines(site / "book" / "evidence.html")
    record = json.loads((changed.root / "demo" / "speed.json").read_text())
    peak = f"{2 * record['peaks']['macs_per_second'] / 1e9:,.0f} billion operations a second"
    assert peak in (site / "notebooks" / "03_cost.html").read_text()
    (run,) = runs(plan("demo", "3", ["D"], [SEED], ["256"]))
    error = f"top-1 error is {changed.read(run)['top1_error_percent']:.1f} %"
    assert error in BeautifulSoup((site / "notebooks" / "00_start_here.html").read_text(), "html.parser").get_text()


def test_every_local_link_leads_somewhere(site):
    for page in pages(site):
        soup = BeautifulSoup(page.read_text(), "html.parser")
        for element in soup.select("[href], [src]"):
            address = urlsplit(element.get("href") or element.get("src"))
            if address.scheme in ("data", "mailto") or (address.netloc and element.name == "a"):
                continue
            assert not address.netloc, f"{page} asks {address.netloc} for something"
            target = (page.parent / unquote(address.path)).resolve() if address.path else page
            assert target.exists(), f"{page} links to {target}"


def test_the_site_is_small(site):
    assert sum(path.stat().st_size for path in site.rglob("*") if path.is_file()) <= 15e6


def test_every_notebook_says_how_to_run_it(site):
    for notebook in (ROOT / "notebooks").glob("*.ipynb"):
        text = (site / "notebooks" / f"{notebook.stem}.html").read_text()
        assert f"papermill notebooks/{notebook.name} out.ipynb" in BeautifulSoup(text, "html.parser").get_text()


@pytest.fixture(scope="module")
def browser():
    with opened() as browser:
        yield browser


# The pages of modules look alike, and their many small parts take long: one of them is asked for its contrasts.
LOOK_ALIKE = {f"api_{name}.html" for name in ("nets", "training", "results", "display")}


@needs_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_fetch_nothing_complain_of_nothing_and_can_be_read_by_all(scheme, site, browser):
    from axe_playwright_python.sync_playwright import Axe

    problems = []
    context = browser.new_context(color_scheme=scheme, viewport={"width": 1400, "height": 1000})
    for path in ours(site):
        if scheme == "dark" and path.name in LOOK_ALIKE:
            continue
        rules = {"runOnly": ["color-contrast"]} if scheme == "dark" else {}
        if path.name in LOOK_ALIKE:
            rules = {"rules": {"color-contrast": {"enabled": False}}}
        page = _watched(context, lambda *what, name=path.name: problems.append((name, *what)))
        page.goto(path.as_uri())
        # Without preloading: axe itself would ask for style sheets again, which a page may not do with files.
        for found in Axe().run(page, options={"preload": False, **rules}).response["violations"]:
            problems.append((path.name, found["id"], found["nodes"][0]["html"][:200]))
        page.close()
    context.close()
    assert not problems


def _watched(context, report):
    """A new page that reports requests that leave the machine or fail, warnings and errors."""
    page, here = context.new_page(), ("file:", "data:", "blob:")
    page.on("request", lambda request: request.url.startswith(here) or report("fetches", request.url))
    page.on("requestfailed", lambda request: report("lacks", request.url))
    page.on("console", lambda message: message.type in ("error", "warning") and report("says", message.text))
    page.on("pageerror", lambda error: report("breaks", str(error)))
    return page


@needs_browser
def test_without_scripts_a_page_still_shows_its_formulas_and_figures(site, browser):
    context = browser.new_context(java_script_enabled=False, viewport={"width": 390, "height": 800})
    for name, selector in (("book/protocol", "math"), ("notebooks/05_depth", "img.vgg-figure"), ("book/intro", "td")):
        page = context.new_page()
        page.goto((site / f"{name}.html").as_uri())
        found = page.locator(f"article {selector}")
        assert found.count() > 0
        for i in range(found.count()):
            box = found.nth(i).bounding_box()
            assert box["width"] > 0 and box["height"] > 0
    context.close()


@needs_browser
def test_no_page_is_wider_than_a_phone(site, browser):
    context = browser.new_context(viewport={"width": 390, "height": 800})
    for path in ours(site):
        page = context.new_page()
        page.goto(path.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path
        page.close()
    context.close()


@needs_browser
def test_a_figure_opens_at_full_size_by_keyboard(site, browser):
    page = browser.new_page()
    page.goto((site / "notebooks" / "05_depth.html").as_uri())
    page.locator("img.vgg-figure").first.focus()
    page.keyboard.press("Enter")
    page.locator("dialog.vgg-zoom img").wait_for(state="visible")
    page.keyboard.press("Escape")
    page.locator("dialog.vgg-zoom").wait_for(state="hidden")
    page.close()


@needs_browser
def test_the_first_mention_of_a_term_leads_to_the_glossary(site, browser):
    page = browser.new_page()
    page.goto((site / "notebooks" / "05_depth.html").as_uri())
    term = page.locator("a.vgg-term", has_text="scale jitter").first
    assert len(term.get_attribute("title")) > 20
    term.click()
    page.wait_for_url("**/glossary.html#term-scale-jitter")
    page.locator("#term-scale-jitter").wait_for(state="visible")
    page.close()
