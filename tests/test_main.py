import contextlib
import io
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from unittest import mock

import pytest
from PIL import Image
from typer.testing import CliRunner

import vgglib
from vgglib import __version__, plans, runner
from vgglib.__main__ import app, main
from vgglib.analysis import expected
from vgglib.data import pack
from vgglib.experiments import Experiment
from vgglib.results import REPOSITORY, Store, default_root

RECIPE = ("--preset", "smoke", "--epochs", "1")
SMALL = (*RECIPE, "--table", "3", "--train-scales", "256")


def vgg(*arguments):
    """What a command prints and its exit status, in this process, which has imported the heavy libraries already."""
    out, err = io.StringIO(), io.StringIO()
    command = ["vgg", *map(str, arguments)]
    with mock.patch.object(sys, "argv", command), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
            status = 0
        except SystemExit as ended:
            status = ended.code or 0
    return subprocess.CompletedProcess(command, status, out.getvalue(), err.getvalue())


def test_the_package_and_the_command_are_one_program():
    for command in ([sys.executable, "-m", "vgglib"], [Path(sys.executable).with_name("vgg")]):
        done = subprocess.run([*command, "plan", "--preset", "big"], capture_output=True, text=True)
        assert done.returncode == 2 and done.stderr.startswith("vgg: unknown preset 'big'")


def test_the_library_leads_to_its_modules_and_imports_them_on_demand():
    code = "import sys, vgglib; assert {'configs', 'models', '__version__'} <= set(dir(vgglib))\n"
    code += "assert all(f'`{name}`' in vgglib.__doc__ for name in dir(vgglib) if name != '__version__')\n"
    code += "assert not [name for name in sys.modules if name.startswith('vgglib.')] and 'torch' not in sys.modules\n"
    code += "assert vgglib.configs.config('D').weight_layers == 16 and 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert all(getattr(vgglib, name) for name in dir(vgglib))  # here, where torch is imported already


@pytest.mark.parametrize("name", ["model", "_models", "__all__"])
def test_a_name_that_the_library_lacks_is_an_attribute_error(name):
    with pytest.raises(AttributeError, match=f"^module 'vgglib' has no attribute '{name}'$"):
        getattr(vgglib, name)


def test_a_module_that_lacks_what_it_needs_is_not_taken_for_a_missing_one(monkeypatch):
    monkeypatch.delattr(vgglib, "lrn")  # imports it first
    monkeypatch.delitem(sys.modules, "vgglib.lrn")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ModuleNotFoundError, match="torch"):
        _ = vgglib.lrn


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
        (["run", "--preset", "smoke", "--drop-deadlines", "0.5,x"], "'0.5,x' is no list of shares"),
        (
            ["plan", "--preset", "smoke", "--drop-deadlines", ""],
            "--drop-deadlines is '': write shares with commas, such",
        ),
        (["run", "--preset", "smoke", "--dropout", "1"], "dropout is 1"),
        (["run", "--preset", "smoke", "--threads", "0"], "--threads is 0: it must be at least 1"),
        (["evaluate", "--weights", "torchvision:A", "--jobs", "0"], "--jobs is 0: it must be at least 1"),
        (["evaluate", "--weights", "torchvision:C"], "there are no weights of net C by torchvision"),
        (["evaluate", "--weights", "torchvision:A=/nowhere"], "/nowhere is not a file"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_2(arguments, message, tmp_path):
    done = vgg(*arguments, *(["--results", str(tmp_path)]))
    assert done.returncode == 2 and not done.stdout
    assert message in done.stderr and done.stderr.count("\n") == 1 and done.stderr.startswith("vgg: ")


@pytest.mark.parametrize(
    "command, option",
    [
        (["run"], "--widht"),
        (["evaluate", "--weights", "torchvision:A"], "--skip-bad-images"),  # packs, which it reads, have no bad ones
    ],
)
def test_an_unknown_option_is_refused(command, option):
    done = vgg(*command, option)
    assert done.returncode == 2 and "No such option" in done.stderr and option in done.stderr


def test_plan_and_table_read_records_without_running(tmp_path):
    done = vgg("plan", "--preset", "smoke", "--table", "3", "--nets", "A", "--results", str(tmp_path))
    assert done.stdout.splitlines() == ["not run  A_S256_seed0_dense_Q256"]
    done = vgg("table", "--preset", "smoke", "--table", "3", "--results", str(tmp_path))
    assert done.returncode == 0 and done.stdout.count("not run") == 12
    assert not list(tmp_path.iterdir())
    done = vgg("plan", "--preset", "smoke", "--table", "3", "--nets", "A", "--resolution", "0.5", "--results", tmp_path)
    assert done.stdout.splitlines() == ["not run  A_S256_seed0_resolution=0.5_dense_Q256"]


def test_every_setting_of_a_recipe_is_an_option(tmp_path):
    """Messages name the command of a training, with whatever a notebook's `recipe` has."""
    settings = {"momentum": 0.8, "weight_decay": 1e-3, "dropout": 0.25, "drops": 2, "drop_deadlines": (0.5, 0.75)}
    settings |= {"batch_size": 16, "epochs": 3, "initialisation": "glorot", "learning_rate": 0.03, "patience": 2}
    settings |= {"precision": "fp32", "resolution": 0.5, "width": 0.25}
    unsettled = {"net", "seed", "train_scale", "start", "weights"}
    assert set(settings) == {field.name for field in fields(Experiment)} - unsettled
    run = plans.first_stage("smoke", "A", 0, **settings)
    _, _, *words = plans.command(run).split()
    done = vgg("plan", *words, "--results", tmp_path)
    assert done.stdout.splitlines() == [f"not run  {run.run_id}"], done.stderr
    by_plateaus = vgg("plan", *SMALL, "--nets", "A", "--drop-deadlines", "none", "--results", tmp_path)
    assert "_drop_deadlines=none_" in by_plateaus.stdout


def test_a_table_has_all_seeds_on_record_of_its_recipe():
    asked = ["table", "--preset", "demo", "--table", "crops", "--nets", "A", "--results", str(REPOSITORY / "results")]
    longer = [*asked, "--epochs", "48"]
    for own, seeds in ((longer, "8"), ([*longer, "--patience", "48"], "16"), ([*longer, "--seeds", "1,2"], "2")):
        net_a = next(line.split() for line in vgg(*own).stdout.splitlines() if line.split()[:1] == ["A"])
        assert net_a[-2:] == [seeds, "done"]
    assert " done" not in vgg(*asked).stdout


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with records of net A of the smallest preset, one epoch, and its checkpoint."""
    folder = tmp_path_factory.mktemp("trained")
    done = vgg("run", *SMALL, "--nets", "A", "--results", folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_a_recipe_of_ones_own_gets_tables_verdicts_and_kept_weights(trained):
    assert vgg("plan", *SMALL, "--nets", "A", "--results", trained).stdout.startswith("done     A_S256_seed0_epochs=1")
    lrn = "| Local response normalisation does not help | "
    assert lrn in vgg("claims", *RECIPE, "--results", trained).stdout
    kept = vgg("keep", *SMALL, "--results", trained)
    path = f"{trained}/smoke/weights/A_S256_seed0_epochs=1.safetensors"
    assert kept.returncode == 0 and kept.stdout.split() == [path]
    assert kept.stderr.startswith("vgg: not trained here, and so not kept: A-LRN_S256_seed0_epochs=1, B_S256")
    none = vgg("keep", "--preset", "smoke", "--nets", "D", "--results", trained)
    assert none.returncode == 2 and "`vgg run --preset smoke --table 3 --nets D --train-scales 256 --s" in none.stderr


def test_verdicts_are_never_of_a_part_of_the_claims():
    done = vgg("claims", "--preset", "smoke", "--nets", "A,E")
    assert done.returncode == 2 and "--nets" in done.stderr


def test_a_training_that_was_begun_is_called_so(trained, tmp_path):
    folder = tmp_path / "smoke" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / "A_S256_seed0_epochs=1.safetensors").touch()
    (folder / "B_S256_seed0_epochs=1.previous.safetensors").touch()  # its last one was deleted
    shown = vgg("plan", *SMALL, "--nets", "A,B,C", "--results", tmp_path).stdout.splitlines()
    assert [line[:8] for line in shown] == ["begun   ", "begun   ", "not run "]


@pytest.mark.parametrize("command", ["plan", "table", "claims"])
def test_a_folder_without_records_is_named(command, tmp_path):
    done = vgg(command, "--preset", "smoke", "--results", tmp_path / "mispelt")
    assert done.returncode == 0
    assert done.stderr == f"vgg: {tmp_path}/mispelt holds no records of preset smoke; --results names another folder.\n"
    (tmp_path / "file").touch()
    done = vgg(command, "--preset", "smoke", "--results", tmp_path / "file")
    assert done.returncode == 2 and done.stderr == f"vgg: {tmp_path}/file is a file: name the folder of the records.\n"


def test_time_that_is_up_leaves_a_sentence(tmp_path):
    done = vgg("run", *SMALL, "--nets", "A", "--max-minutes", "0", "--results", tmp_path)
    assert done.returncode == 0 and "vgg: 1 of 1 numbers are not there yet; the same command goes on." in done.stderr


@pytest.mark.parametrize(
    ("command", "kept"),
    [
        (("run", *SMALL), "nothing is lost but what came after the last checkpoint"),
        (("evaluate", "--weights", "torchvision:A", "--data-dir", "images"), "tests that were done are kept"),
        (("data", "pack", "source", "target"), "finished shards are kept"),
    ],
)
@pytest.mark.parametrize("rank", [0, 1])
def test_an_interruption_leaves_a_sentence(command, kept, rank, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    for module, function in ((runner, "run"), (expected, "evaluate"), (pack, "pack")):
        monkeypatch.setattr(module, function, interrupted)
    monkeypatch.setenv("RANK", str(rank))  # of torchrun's processes the first one says it
    done = CliRunner().invoke(app, command)
    said = f"vgg: stopped; {kept}, the same command goes on.\n"
    assert done.exit_code == 130 and done.stderr == (said if rank == 0 else "")


def test_a_failed_training_says_why_and_how_to_repeat_it(tmp_path):
    asked = (*SMALL, "--nets", "A", "--learning-rate", "1e6", "--resolution", "0.142857", "--results", tmp_path)
    done = vgg("run", *asked, "--jobs", "1", "--threads", "1")
    why = "A_S256_seed0: the training loss is nan in epoch 1"
    assert done.returncode == 0 and f"vgg: 1 of 1 numbers failed ({why}" in done.stderr
    assert done.stderr.rstrip().endswith("--retry-failed runs them again.")
    (line,) = vgg("plan", *asked).stdout.splitlines()
    assert line.startswith("failed   A_S256_seed0_") and why in line


def test_a_net_says_what_a_picture_shows(tmp_path):
    Image.new("RGB", (90, 64), (200, 30, 30)).save(tmp_path / "red.png")
    done = vgg("predict", tmp_path / "red.png", "--nets", "A", "--results", REPOSITORY / "results")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Net A of preset demo, width 0.125, trained at S = 256")
    assert [line for line in done.stdout.splitlines() if line.startswith("Q")] == ["Q = 256", "Q = 384", "Q = 512"]


def test_the_version_is_told():
    assert vgg("--version").stdout == f"vgglib {__version__}\n"


def test_speed_is_not_measured_where_it_cannot_be_kept(tmp_path):
    (tmp_path / "smoke").touch()
    done = vgg("speed", "--preset", "smoke", "--results", tmp_path)
    assert done.returncode == 2 and "cannot be written" in done.stderr


def test_results_may_be_in_ones_home(tmp_path, monkeypatch):
    assert Store("~/mine").root == Path.home() / "mine" and Store().root == default_root()
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
