import json
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from vgglib.notebooks import parameters

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
USUAL = {"preset": "smoke", "seeds": None, "nets": None, "train_missing": False, "data_dir": None, "device": None}


def check(injected="", **changes):
    return parameters({**USUAL, **changes, "In": ["", "preset: str = 'demo'", f"# Parameters\n{injected}\n"]})


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
    assert check(preset="demo").seeds == (0,)


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
    ],
)
def test_a_wrong_parameter_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        check(**arguments)


def papermill(notebook, out, cwd, *arguments):
    command = [sys.executable, "-m", "papermill", str(notebook), str(out), *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True)


def test_a_misspelt_parameter_stops_papermill_at_once(tmp_path):
    done = papermill(
        NOTEBOOKS[0], tmp_path / "out.ipynb", tmp_path, "-p", "preset", "smoke", "-p", "trian_missing", "True"
    )
    assert done.returncode != 0
    assert "unknown parameter 'trian_missing'" in done.stderr


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_notebook_runs_from_another_folder(notebook, tmp_path, monkeypatch):
    monkeypatch.setenv("VGG_RESULTS", str(tmp_path / "results"))
    arguments = ["-p", "preset", "smoke", "-p", "train_missing", "True", "-p", "nets", "A,A-LRN,E"]
    done = papermill(notebook, tmp_path / "out.ipynb", tmp_path, *arguments)
    assert done.returncode == 0, done.stderr[-3000:]
    cells = nbformat.read(tmp_path / "out.ipynb", 4).cells
    shown = json.dumps([cell.get("outputs", []) for cell in cells])
    records = [json.loads(path.read_text()) for path in (tmp_path / "results").rglob("*.json")]
    assert len(records) == 3
    for record in records:
        assert f"{record['top1_error_percent']:.1f}" in shown
    assert "undecided" in shown and "not run" in shown
