import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from vgglib.results import REPOSITORY, default_root, root


def vgg(*arguments):
    return subprocess.run([sys.executable, "-m", "vgglib", *arguments], capture_output=True, text=True)


def test_help_needs_no_torch():
    code = "import sys; from typer.testing import CliRunner; from vgglib.__main__ import app\n"
    code += "r = CliRunner().invoke(app, ['--help']); assert r.exit_code == 0 and 'plan' in r.output\n"
    code += "assert 'torch' not in sys.modules and 'pandas' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["run", "--preset", "big"], "unknown preset 'big'"),
        (["run", "--preset", "smoke", "--nets", "F"], "unknown net 'F'"),
        (["run", "--preset", "smoke", "--width", "-1"], "width is -1"),
        (["run", "--preset", "smoke", "--resolution", "0.1"], "resolution is 0.1, which makes crops of 22 pixels"),
        (["run", "--preset", "tiny-imagenet", "--data-dir", "/nowhere"], "/nowhere does not exist"),
        (["run", "--preset", "smoke", "--seeds", "x"], "'x' is no list of seeds"),
        (["evaluate", "--weights", "torchvision:C"], "there are no weights of net C by torchvision"),
        (["evaluate", "--weights", "torchvision:A=/nowhere"], "/nowhere is not a file"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_2(arguments, message, tmp_path):
    done = vgg(*arguments, *(["--results", str(tmp_path)]))
    assert done.returncode == 2 and not done.stdout
    assert message in done.stderr and done.stderr.count("\n") == 1 and done.stderr.startswith("vgg: ")


def test_an_unknown_option_is_refused():
    done = vgg("run", "--widht", "1")
    assert done.returncode == 2 and "widht" in done.stderr


def test_plan_and_table_read_records_without_running(tmp_path):
    done = vgg("plan", "--preset", "smoke", "--table", "3", "--nets", "A", "--results", str(tmp_path))
    assert done.stdout.splitlines() == ["not run  A_S256_seed0_dense_Q256"]
    done = vgg("table", "--preset", "smoke", "--table", "3", "--results", str(tmp_path))
    assert done.returncode == 0 and done.stdout.count("not run") == 12
    assert not list(tmp_path.iterdir())
    done = vgg("plan", "--preset", "smoke", "--table", "3", "--nets", "A", "--resolution", "0.5", "--results", tmp_path)
    assert done.stdout.splitlines() == ["not run  A_S256_seed0_resolution=0.5_dense_Q256"]


def test_a_table_has_all_seeds_on_record_of_its_recipe():
    asked = ["table", "--preset", "demo", "--table", "crops", "--nets", "A", "--results", str(REPOSITORY / "results")]
    longer = [*asked, "--epochs", "48"]
    for own, seeds in ((longer, "8"), ([*longer, "--patience", "48"], "16"), ([*longer, "--seeds", "1,2"], "2")):
        net_a = next(line.split() for line in vgg(*own).stdout.splitlines() if line.split()[:1] == ["A"])
        assert net_a[-2:] == [seeds, "done"]
    assert " done" not in vgg(*asked).stdout


def test_results_may_be_in_ones_home(tmp_path, monkeypatch):
    assert root("~/mine") == Path.home() / "mine" and root(None) == default_root()
    monkeypatch.setenv("VGG_RESULTS", "~/mine")
    assert default_root() == Path.home() / "mine"


def test_data_says_what_it_loaded():
    done = vgg("data", "--preset", "smoke")
    assert done.returncode == 0 and "classes  24" in done.stdout and "sha256" in done.stdout
    assert "not read" not in done.stdout


def test_data_says_what_it_did_not_read(tmp_path):
    for name, shade in (("cat", 10), ("dog", 200)):
        (tmp_path / name).mkdir()
        for number in range(3):
            Image.new("RGB", (64, 64), (shade, number, 0)).save(tmp_path / name / f"{number}.png")
    (tmp_path / "cat" / "film.mov").touch()
    assert "not read 1 .mov" in vgg("data", "--preset", "folder", "--data-dir", str(tmp_path)).stdout


@pytest.mark.parametrize("command", [["data"], ["run", "--table", "3"]])
def test_a_folder_that_would_not_be_read_is_refused(command, tmp_path):
    done = vgg(*command, "--preset", "smoke", "--data-dir", str(tmp_path))
    assert done.returncode == 2 and "choose --preset folder" in " ".join(done.stderr.split())
