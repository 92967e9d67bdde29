"""Runs notebooks by papermill on preset smoke, into the working folder: python papermills.py NOTEBOOK...

As papermill's own command line does, but all in one process, whose kernels have imported the heavy libraries already.
"""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import papermill

sys.path.append(str(Path(__file__).resolve().parents[1] / "book" / "extensions"))
import warm_kernels


def run(notebook: Path) -> None:
    parameters = {"preset": "smoke"} if "preset: str" in notebook.read_text() else {}  # one chapter knows no preset
    papermill.execute_notebook(notebook, notebook.name, parameters, progress_bar=False)


if __name__ == "__main__":
    warm_kernels.use_warm_kernels(app=None)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(run, map(Path, sys.argv[1:])))
