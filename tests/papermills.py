"""Runs notebooks by papermill on preset smoke, into the working folder: python papermills.py NOTEBOOK...

As papermill's own command line does, but all in one process, whose kernels have imported the heavy libraries already.
Exit status 1, and what went wrong in each, when notebooks fail.
"""

import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path


def run(notebook: Path) -> str:
    """What went wrong; empty when nothing did."""
    import papermill  # at the top, every kernel would import it as well

    parameters = {"preset": "smoke"} if "preset: str" in notebook.read_text() else {}  # one chapter knows no preset
    try:
        papermill.execute_notebook(notebook, notebook.name, parameters, progress_bar=False)
    except Exception:
        return f"{notebook.name}: {traceback.format_exc()}"
    return ""


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1] / "book" / "extensions")  # kernels see nothing of this folder
    import warm_kernels

    warm_kernels.start()
    with ThreadPoolExecutor(2) as pool:
        failures = list(filter(None, pool.map(run, map(Path, sys.argv[1:]))))
    sys.exit("\n".join(failures) or None)
