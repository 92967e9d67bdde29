"""What notebooks ask of the records, and what pages show."""

import ast
import re
from pathlib import Path

import nbformat
import pandas as pd
from bs4 import BeautifulSoup

from vgglib.experiments import plan
from vgglib.results import Store
from vgglib.tables import OURS_IN_TABLE_7

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("*.ipynb"))
EXPERIMENTS = [path for path in NOTEBOOKS if "train_missing" in path.read_text()]


def code_cells(notebook: Path) -> list[nbformat.NotebookNode]:
    return [cell for cell in nbformat.read(notebook, 4).cells if cell.cell_type == "code"]


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
