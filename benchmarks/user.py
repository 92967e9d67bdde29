"""The way of a user: how long one waits for each command, from the first import to the whole demo.

Every command runs as in a user's shell: with as many threads as it takes by itself, on the committed records.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from statistics import median

from benchmarks import full_records
from benchmarks.cases import OURS, Case, LeftOut, Settings

TITLE = "The way of a user"
ROOT = Path(__file__).resolve().parents[1]
ALONE = "python alone"
IMPORT, HELP = "import vgglib", "vgg --help"
WARM, COLD = "strict book build, warm", "strict book build, cold"
EDITED = "strict book build, one page edited"
PAGE = Path("book", "claims.md")  # the page that is edited; it runs code
DEMO = "demo reproduction"
QUICKEST = "01_configurations"  # of the notebooks
# The notebook that looks at most answers, with records of ImageNet's size: when nothing is kept of them yet, and later.
ANSWERS = "13_errors"
FIRST, AGAIN = (f"re-run {ANSWERS} from records of ImageNet's size, {when}" for when in ("at first", "again"))
STARTS = 5  # of an interpreter in one measurement: a single one takes some hundredths of a second
# What each command does in this process, and then, in the last word it prints, whether torch was imported for it.
CODE = {
    IMPORT: "import vgglib",
    HELP: """
import runpy, sys
sys.argv = ["vgg", "--help"]
try:
    runpy.run_module("vgglib", run_name="__main__")
except SystemExit:
    pass
""",
}
ASK = "\nimport sys; print(int('torch' in sys.modules))"
BUILD = ("-W", "-n", "--keep-going")  # as `make book`


def cases(settings: Settings) -> list[Case]:
    def wait(name: str, limit: float | None = None, rivals: Sequence[str] = (), rounds: int | None = None) -> Case:
        return Case(name, (OURS, *rivals), "s", more_is_better=False, limit=limit, rounds=rounds)

    notebooks = [wait(name, 15) for name, path in _notebooks().items() if not settings.small or path.stem == QUICKEST]
    short = [wait(IMPORT, 0.2, [ALONE]), wait(HELP, None, [ALONE]), *notebooks]
    if settings.small:
        return short
    return [
        *short,
        wait(EDITED, 60, rounds=3),
        wait(WARM, 60, rounds=3),
        wait(COLD, rounds=2),
        wait(FIRST, rounds=1),
        wait(AGAIN, 15, rounds=3),
        wait(DEMO, 1200, rounds=1),
    ]


def prepare(settings: Settings, cases: Sequence[Case]) -> None:
    """The records of ImageNet's size. The copy of the book that is built again and again is made when it is first asked
    for.
    """
    if {FIRST, AGAIN} & {case.name for case in cases}:
        _full_records(settings)


def measure(case: str, contender: str, settings: Settings) -> dict[str, float]:
    """Seconds; of our first two cases `torch_imported` as well, 0 or 1."""
    if case in CODE:
        return _start(case, contender, settings)
    if case == DEMO:
        with tempfile.TemporaryDirectory() as folder:
            demo = ["--preset", "demo", "--table", "all", "--results", folder, "--device", settings.device]
            return {"value": _seconds([sys.executable, "-m", "vgglib", "run", *demo])}
    if case in (EDITED, WARM, COLD):
        return {"value": _book(case, settings)}
    if case in (FIRST, AGAIN):
        return {"value": _at_full_size(case, settings)}
    return {"value": _notebook(_notebooks()[case])}


def _notebooks() -> dict[str, Path]:
    """What re-running each notebook is called -> the notebook."""
    return {f"re-run {path.stem} from records": path for path in sorted((ROOT / "notebooks").glob("*.ipynb"))}


def _start(case: str, contender: str, settings: Settings) -> dict[str, float]:
    """The median of some starts of an interpreter that does what the case says, or nothing at all."""
    module = ["-m", "vgglib", "--help"] if case == HELP else ["-c", CODE[case]]
    command = [sys.executable, *(module if contender == OURS else ["-c", "pass"])]
    _seconds(command)  # compiles what was never imported before
    found = {"value": median(_seconds(command) for _ in range(1 if settings.small else STARTS))}
    if contender == OURS:
        said = _done([sys.executable, "-c", CODE[case] + ASK])
        found["torch_imported"] = int(said.split()[-1])
    return found


def _full_records(settings: Settings) -> Path:
    return full_records.made(settings.folder / "full-records")


def _at_full_size(case: str, settings: Settings) -> float:
    path, root = ROOT / "notebooks" / f"{ANSWERS}.ipynb", _full_records(settings)
    kept = root / full_records.PRESET / "answered"
    if case == FIRST:
        shutil.rmtree(kept, ignore_errors=True)
    else:  # what is there may be of an earlier form, or half of it
        _notebook(path, root, preset=full_records.PRESET)
    return _notebook(path, root, preset=full_records.PRESET)


def _notebook(path: Path, root: Path = ROOT / "results", **parameters: str) -> float:
    """Seconds of papermill, in a folder from which the project is not seen; parameters: others than the notebook's."""
    if find_spec("papermill") is None:
        raise LeftOut("papermill is not installed: pip install papermill.")
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "papermill", str(path), str(Path(folder) / path.name)]
        command += [word for name, value in parameters.items() for word in ("-p", name, value)]
        try:
            return _seconds(command, Path(folder), VGG_RESULTS=str(root))
        except RuntimeError as error:
            if _earlier():
                raise LeftOut("the present notebook does not run with the earlier library.") from error
            raise


def _book(case: str, settings: Settings) -> float:
    """Seconds of `make book` in a copy of the project.

    Edited: the copy has been built before, and one page of it is changed since. Warm: it has been built before, so that
    files are in memory and modules compiled; every page is made anew nevertheless. Cold: neither a page nor a compiled
    module exists, of other packages neither.
    """
    if find_spec("jupyter_book") is None:
        raise LeftOut("Jupyter Book is not installed: pip install 'jupyter-book<2'.")
    if _earlier():
        raise LeftOut("the present book documents the present library.")
    if case != COLD:
        tree = _built(settings.folder)
        if case == WARM:
            return _build(tree, "--all")
        with (tree / PAGE).open("a") as page:
            page.write("\n")
        return _build(tree)
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "project"
        _copy(tree)
        return _build(tree, PYTHONPYCACHEPREFIX=str(Path(folder) / "bytecode"))


def _build(tree: Path, *options: str, **environment: str) -> float:
    """Seconds of the strict build in a copy, which imports and documents its own library and writes all pages."""
    shutil.rmtree(tree / "_build" / "html", ignore_errors=True)  # as `make book` does
    command = [str(Path(sys.executable).with_name("jupyter-book")), "build", ".", *BUILD, *options]
    return _seconds(command, tree, PYTHONPATH=str(tree), **environment)


def _built(folder: Path) -> Path:
    """A copy of the project as it is now, its book built; it is kept in `folder` for the next measurement."""
    total = hashlib.sha256()
    for name in _files():
        total.update(name.encode() + b"\0" + (ROOT / name).read_bytes())
    tree = folder.absolute() / f"project-{total.hexdigest()[:16]}"
    whole = tree / "_build" / "whole"
    if not whole.exists():
        for old in folder.glob("project-*"):
            shutil.rmtree(old)
        _copy(tree)
        _build(tree)
        whole.touch()
    return tree


def _copy(tree: Path) -> None:
    """The project's own files, with changes that are not committed, and nothing that commands have made."""
    for name in _files():
        target = tree / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, target)


def _files() -> list[str]:
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise LeftOut("git does not list the project's files, so the book cannot be copied.") from error
    names = {name for name in listed.split("\0") if name and (ROOT / name).is_file()}
    return sorted(name for name in names if not name.startswith("results/benchmarks/"))  # they change meanwhile


def _earlier() -> bool:
    """Whether the library on the path is another one than this project's."""
    import vgglib

    return Path(vgglib.__file__).resolve().parents[1] != ROOT


def _seconds(command: Sequence[str], folder: Path | None = None, **environment: str) -> float:
    begun = time.perf_counter()
    _done(command, folder, **environment)
    return time.perf_counter() - begun


def _done(command: Sequence[str], folder: Path | None = None, **environment: str) -> str:
    """What a command prints; RuntimeError, with its last words, when it fails."""
    inherited = {k: v for k, v in os.environ.items() if k not in ("PYTHONDONTWRITEBYTECODE", "VGG_RESULTS")}
    done = subprocess.run(command, cwd=folder, env=inherited | environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{command[1:4]} ended with status {done.returncode}: {(done.stdout + done.stderr)[-400:]}")
    return done.stdout
