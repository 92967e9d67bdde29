"""The whole book as it is published, and looked at in a browser."""

import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from browser import needs_browser, opened
from bs4 import BeautifulSoup
from pages import EXPERIMENTS, NOTEBOOKS, asked, lines_of_tables

from vgglib import tables, verdicts
from vgglib.analysis import evidence, speed, verdict_tables
from vgglib.experiments import runs
from vgglib.plans import plan
from vgglib.results import Store

ROOT = Path(__file__).resolve().parents[1]
COMMITTED = Store(ROOT / "results")
# Made by Sphinx alone: lists of names, and the library's source code.
NOT_OURS = ("_modules", "genindex", "py-modindex", "search", "index.html")


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The folder VGG_SITE, where `make test` has just built the book; without that the book is built here."""
    if built := os.environ.get("VGG_SITE"):
        assert (Path(built) / "index.html").exists()
        return Path(built).resolve()
    folder = tmp_path_factory.mktemp("site")
    command = [str(Path(sys.executable).with_name("jupyter-book")), "build", str(ROOT), "--path-output", str(folder)]
    command += ["-W", "-n", "--keep-going"]
    environment = {**os.environ, "VGG_RESULTS": str(COMMITTED.root)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return folder / "_build" / "html"


def all_pages(site: Path) -> list[Path]:
    return sorted(site.rglob("*.html"))


def our_pages(site: Path) -> list[Path]:
    return [path for path in all_pages(site) if not str(path.relative_to(site)).startswith(NOT_OURS)]


@pytest.mark.parametrize("notebook", EXPERIMENTS, ids=lambda path: path.stem)
def test_a_page_shows_all_errors_of_its_tables(notebook, site):
    rows = asked(notebook, COMMITTED, "demo", COMMITTED.seeds("demo"))
    page = (site / "notebooks" / f"{notebook.stem}.html").read_text()
    shown = {cell for line in lines_of_tables(page) for cell in line}
    for name, own in rows.groupby("table"):
        # "-" is that of nets which the page does not ask for, and whose lines it leaves out.
        assert (ours := set(tables.shown(tables.beside_paper(name, own))["Top-1, ours"]) - {"-"}) and ours <= shown


def test_pages_show_the_verdicts_the_trainings_and_the_speed(site, monkeypatch):
    monkeypatch.setenv("VGG_RESULTS", str(COMMITTED.root))
    short = verdict_tables.short(verdicts.judge(evidence.rows(COMMITTED, "demo")))
    assert {tuple(line) for line in short.to_numpy()} <= lines_of_tables((site / "book" / "intro.html").read_text())
    claims = (site / "book" / "claims.html").read_text()
    assert all(interval in claims for interval in short["95 % interval"])
    trained = evidence.trainings(evidence.records(COMMITTED, "demo"))
    lines = {tuple(map(str, line)) for line in trained.to_numpy()}
    assert lines <= lines_of_tables((site / "book" / "evidence.html").read_text())
    peak = f"{2 * speed.kept('demo').peaks['macs_per_second'] / 1e9:,.0f} billion operations a second"
    assert peak in (site / "notebooks" / "03_cost.html").read_text()
    (run,) = runs(plan("demo", "3", ["D"], [0], ["256"]))
    first_look = BeautifulSoup((site / "notebooks" / "00_start_here.html").read_text(), "html.parser").get_text()
    assert f"top-1 error is {COMMITTED.read(run)['top1_error_percent']:.1f} %" in first_look


def test_every_local_link_leads_somewhere(site):
    for page in all_pages(site):
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
    for notebook in NOTEBOOKS:
        text = (site / "notebooks" / f"{notebook.stem}.html").read_text()
        assert f"papermill notebooks/{notebook.name} out.ipynb" in BeautifulSoup(text, "html.parser").get_text()


@pytest.fixture(scope="module")
def browser():
    with opened() as browser:
        yield browser


# Parts of a page that axe need not look at again, since they are made alike everywhere: it takes long over each.
REPEATED = [[".bd-sidebar-primary"], ["tbody tr:nth-child(n+4)"]]
# What is in order need not be listed. With preloading axe would ask for style sheets again, which a page may not do
# with files.
OPTIONS = {"preload": False, "resultTypes": ["violations"]}
# Marks what looks like something that was judged before, here or on another page, and so does all that is in it:
# contrasts take longest, and need be judged once for each look. Takes the known looks, as numbers, and gives all.
MARK = """known => {
  const looks = new Map(), seen = new Set(known), repeated = new Set();
  for (const element of document.body.querySelectorAll("*")) {
    const style = getComputedStyle(element), own = [element.localName, element.className.toString()];
    for (const name of ["color", "backgroundColor", "backgroundImage", "opacity", "fontSize", "fontWeight", "display"])
      own.push(style[name]);
    let look = looks.get(element.parentElement) ?? 1;
    for (const letter of own.join()) look = (look * 65599 + letter.charCodeAt(0)) % 2 ** 36;
    looks.set(element, look);
    if (seen.has(look)) repeated.add(element);
    seen.add(look);
  }
  for (const element of [...looks.keys()].reverse())  // what is inside comes before what it is in
    if (![...element.children].every(child => repeated.has(child))) repeated.delete(element);
  for (const element of looks.keys())
    element.toggleAttribute("data-known", repeated.has(element) && !repeated.has(element.parentElement));
  return [...seen];
}"""
# What runs out of the window on the right, where nothing can be scrolled to see it.
CUT = """() => [...document.querySelectorAll("article *")].filter(element => {
  const {right, width, height} = element.getBoundingClientRect();
  if (!width || !height || right <= innerWidth + 1) return false;
  for (let around = element.parentElement; around; around = around.parentElement)
    if (["auto", "scroll"].includes(getComputedStyle(around).overflowX)) return false;
  return true;
}).map(element => element.outerHTML.slice(0, 200))"""
SCHEMES = ("light", "dark")
PHONE = 390  # pixels


@needs_browser
def test_pages_fetch_nothing_complain_of_nothing_fit_a_phone_and_can_be_read_by_all(site, browser):
    from axe_playwright_python.sync_playwright import Axe

    problems, looks = [], {scheme: [] for scheme in SCHEMES}
    # Else buttons fade from one scheme's colours to the other's, and a busy machine would judge them on the way.
    context = browser.new_context(viewport={"width": 1400, "height": 1000}, reduced_motion="reduce")
    for path in our_pages(site):
        page = _watched(context, lambda *what, name=path.name: problems.append((name, *what)))
        page.goto(path.as_uri())
        rules = {"rules": {"color-contrast": {"enabled": False}}}
        judged = [Axe().run(page, {"exclude": [] if path.name == "intro.html" else REPEATED}, OPTIONS | rules)]
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            page.wait_for_function("scheme => document.documentElement.dataset.theme === scheme", arg=scheme)
            looks[scheme] = page.evaluate(MARK, looks[scheme])
            judged.append(Axe().run(page, {"exclude": [["[data-known]"]]}, OPTIONS | {"runOnly": ["color-contrast"]}))
        for found in (violation for one in judged for violation in one.response["violations"]):
            problems.append((path.name, found["id"], found["nodes"][0]["html"][:200]))
        page.set_viewport_size({"width": PHONE, "height": 800})
        if (width := page.evaluate("document.documentElement.scrollWidth")) > PHONE:
            problems.append((path.name, f"is {width} pixels wide on a phone"))
        if cut := page.evaluate(CUT):
            problems.append((path.name, "is cut on a phone", cut[0]))
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
    context = browser.new_context(java_script_enabled=False, viewport={"width": PHONE, "height": 800})
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
