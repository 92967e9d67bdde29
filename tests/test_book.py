"""The book's shell and the project's own files; test_site looks at the pages."""

import json
import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from pages import NOTEBOOKS

from vgglib import verdicts
from vgglib.analysis import evidence, verdict_tables
from vgglib.results import Store

ROOT = Path(__file__).resolve().parents[1]
TEXT_SUFFIXES = {
    f".{name}"
    for name in ("bib", "cff", "css", "csv", "ipynb", "js", "json", "lock", "md", "py", "toml", "yaml", "yml")
}
FOLDERS = ("book", "notebooks", "results", "tests", "vgglib", ".ci")
CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text())
TOC = yaml.safe_load((ROOT / "_toc.yml").read_text())
PAGES = [TOC["root"], *(chapter["file"] for part in TOC["parts"] for chapter in part["chapters"])]


def text_files() -> list[Path]:
    files = [*ROOT.iterdir(), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*"))]
    files = [path for path in files if not {"checkpoints", ".ipynb_checkpoints"} & set(path.parts)]
    texts = [path for path in files if path.suffix in TEXT_SUFFIXES]
    return [ROOT / "Makefile", ROOT / ".gitignore", ROOT / ".ci" / "run", *texts]


def requirements() -> list[Requirement]:
    """Everything that pyproject.toml asks for, extras included, but for DALI, which is large and bound to a CUDA."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = {name: texts for name, texts in project["optional-dependencies"].items() if name != "dali"}
    lists = [project["dependencies"], *extras.values()]
    return [Requirement(text) for texts in lists for text in texts]


def strings(value):
    if isinstance(value, dict):
        for item in value.items():
            yield from strings(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from strings(item)
    else:
        yield str(value)


def locked() -> dict[str, str]:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"==[\w.]+", str(pin.specifier)) for pin in pins)
    return {canonicalize_name(pin.name): str(pin.specifier).removeprefix("==") for pin in pins}


def test_notebooks_exist():
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_stripped_and_takes_parameters(path):
    notebook = json.loads(path.read_text())
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    ran = any(cell["outputs"] or cell["execution_count"] for cell in code)
    assert not ran, f"{path.name} was saved with outputs: jupyter nbconvert --clear-output --inplace takes them out."
    assert sum("parameters" in cell["metadata"].get("tags", []) for cell in code) == 1
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_has_no_role_that_jupyterlab_shows_raw(path):
    cells = json.loads(path.read_text())["cells"]
    prose = "".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    assert not re.findall(r"\{[a-z:]+\}`", prose)


def test_every_page_is_in_the_contents_and_exists():
    found = [*(ROOT / "book").glob("*.md"), *NOTEBOOKS]
    assert sorted(PAGES) == sorted(str(path.relative_to(ROOT).with_suffix("")) for path in found)


def test_book_fetches_nothing_and_runs_every_notebook():
    assert not [text for text in strings(CONFIG) if "//" in text]
    assert CONFIG["execute"] | {"execute_notebooks": "force", "raise_on_error": True} == CONFIG["execute"]
    assert "sphinx_thebe" not in CONFIG["sphinx"]["config"]["extensions"]


def test_api_pages_name_every_module():
    modules = [path.relative_to(ROOT).with_suffix("") for path in (ROOT / "vgglib").rglob("[!_]*.py")]
    modules += [path.parent.relative_to(ROOT) for path in (ROOT / "vgglib").rglob("*/__init__.py")]
    pages = [path.read_text() for path in (ROOT / "book").glob("api_*.md")]
    documented = [name for page in pages for name in re.findall(r"automodule:: (\S+)", page)]
    assert sorted(documented) == sorted(".".join(path.parts) for path in modules)


def test_lock_satisfies_every_requirement():
    pins = locked()
    for requirement in requirements():
        assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)]), requirement


def test_lock_names_no_host():
    assert not re.search(r"://|@|^-", (ROOT / "requirements.lock").read_text(), re.MULTILINE)


def test_conda_environment_asks_for_the_same_versions():
    conda_names = {"torch": "pytorch", "matplotlib": "matplotlib-base", "ray": "ray-core"}
    listed = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    pins = [Requirement(text) for text in listed if isinstance(text, str)]
    conda = {pin.name: pin.specifier for pin in pins}
    for requirement in requirements():
        if requirement.name not in ("axe-playwright-python", "playwright"):  # pip installs them
            assert conda[conda_names.get(requirement.name, requirement.name)] == requirement.specifier


def test_readme_names_only_targets_that_exist():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"`make ([a-z]+)`|^make ([a-z]+)", (ROOT / "README.md").read_text(), re.MULTILINE))
    assert {"setup", "reproduce", "test", "book", "lab", "clean", "help"} <= targets
    assert {a or b for a, b in named} <= targets


def test_text_files_hold_no_path_of_a_machine():
    machine = re.compile(r"(?<![\w.~-])/(?:home|root|Users|tmp|work|mnt|opt)/\w|[A-Z]:\\\\Users")
    for path in text_files():
        assert not machine.search(path.read_text()), path


def test_readme_shows_the_verdicts_of_the_committed_records():
    table = verdict_tables.markdown(verdicts.judge(evidence.rows(Store(ROOT / "results"), "demo")))
    assert table in (ROOT / "README.md").read_text(), "put the output of `vgg claims` into README.md"
