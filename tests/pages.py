"""What notebooks ask of the records, and what pages show."""

import ast
import re
from pathlib import Path
from unittest import mock

import nbformat
import pandas as pd
from bs4 import BeautifulSoup

from vgglib import show
from vgglib.plans import plan
from vgglib.results import Store
from vgglib.tables import OURS_IN_TABLE_7

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("*.ipynb"))
EXPERIMENTS = [path for path in NOTEBOOKS if "train_missing" in path.read_text()]


def code_cells(notebook: Path) -> list[nbformat.NotebookNode]:
    return [cell for cell in nbformat.read(notebook, 4).cells if cell.cell_type == "code"]


def displayed(page: Path, **parameters) -> str:
    """All tables, captions and sentences that the code of a notebook or a Markdown page displays, run in this process;
    `parameters` take the place of a notebook's.
    """
    if page.suffix == ".ipynb":
        cells = [(cell.source, "parameters" in cell.metadata.get("tags", [])) for cell in code_cells(page)]
    else:
        sources = re.findall(r"^```\{code-cell\} python3\n((?:.*\n)*?)```$", page.read_text(), re.MULTILINE)
        cells = [(re.sub(r"^:tags:.*\n", "", source), False) for source in sources]
    namespace, shown = {}, []

    def display(output, raw=False):
        shown.extend(output.values() if raw else [output.data])

    with mock.patch.object(show, "display", display):
        for source, takes_parameters in cells:
            exec(source, namespace)
            if takes_parameters:
                namespace |= parameters
    return "\n".join(shown)


def asked(notebook: Path, store: Store, preset: str, seeds: list[int] | None = None) -> pd.DataFrame:
    """The rows that a notebook plans with its own nets, and has in a table."""
    source = "\n".join(cell.source for cell in code_cells(notebook))
    nets = ast.literal_eval(re.search(r"^nets: list = (.*?)  #", source, re.MULTILINE)[1])
    tables = re.findall(r'p\.plan\("(\w+)"\)', source)
    if "starts" in tables:
        tables = ["starts"]  # the others are drawn as curves alone
    rows = store.rows([entry for table in tables for entry in plan(preset, table, nets, seeds)])
    if tables == ["7"]:  # which has three rows of Tables 5 and 6
        rows = rows[[key in OURS_IN_TABLE_7.values() for key in zip(rows.table, rows.net, rows.method, strict=True)]]
    assert len(rows) >= 2
    return rows


def lines_of_tables(html: str) -> set[tuple[str, ...]]:
    """Every line of every table, as texts."""
    soup = BeautifulSoup(html, "html.parser")
    return {tuple(cell.get_text() for cell in line.find_all("td")) for line in soup.find_all("tr")}
