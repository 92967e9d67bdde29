import os
import sys

import pytest

from benchmarks import full_records, harness, user
from benchmarks.cases import OURS, LeftOut, Settings
from vgglib import bench
from vgglib.analysis import errors, evidence
from vgglib.plans import plan
from vgglib.results import Store


@pytest.fixture
def settings(tmp_path):
    return Settings(device="cpu", threads=1, folder=tmp_path / "scratch", small=True)


@pytest.fixture
def built(monkeypatch):
    """Books are not built but noted: the tree, whether it had a built book before, and the changes of environment.

    An option is noted as one of these, which has no value.
    """
    seen = []

    def note(tree, *options, **environment):
        seen.append((tree, (tree / "_build").exists(), dict.fromkeys(options) | environment))
        (tree / "_build").mkdir(exist_ok=True)
        return 1.5

    monkeypatch.setattr(user, "_build", note)
    return seen


def test_every_notebook_is_a_case_and_the_way_of_a_user_has_its_limits(settings, tmp_path):
    cases = {case.name: case for case in user.cases(Settings("cpu", 1, tmp_path))}
    assert sum(name.endswith(" from records") for name in cases) == len(list((user.ROOT / "notebooks").glob("*.ipynb")))
    assert all(case.unit == "s" and not case.more_is_better for case in cases.values())
    limits = {name: case.limit for name, case in cases.items() if case.limit and "re-run" not in name}
    assert limits == {user.IMPORT: 0.2, user.EDITED: 60, user.WARM: 60, user.DEMO: 1200}
    assert {case.limit for name, case in cases.items() if "re-run" in name and name != user.FIRST} == {15}
    assert [case.name for case in user.cases(settings)] == [
        user.IMPORT,
        user.HELP,
        "re-run 01_configurations from records",
    ]


def test_starts_and_a_notebook_are_timed_each_in_its_process(settings, tmp_path):
    (path,) = harness.run(["user"], settings, 1, force=True, root=tmp_path, say=lambda text: None)
    record = bench.kept("user", root=tmp_path)
    assert path == bench.path("user", root=tmp_path) and not record["cases"][0]["left_out"]
    medians = bench.summary(record).set_index(["case", "contender"])["median"]
    assert len(medians) == 5
    # No command can take less time than the interpreter that it starts.
    assert medians[user.HELP, OURS] > medians[user.HELP, user.ALONE] > 0
    torch = bench.values(record, "torch_imported").set_index("case")["value"]
    assert torch.to_dict() == {user.IMPORT: 0, user.HELP: 0}


def test_torch_is_noticed_where_it_is_imported(settings, monkeypatch):
    monkeypatch.setitem(user.CODE, user.IMPORT, "import sys; sys.modules['torch'] = None")
    assert user.measure(user.IMPORT, OURS, settings)["torch_imported"] == 1


def test_a_copy_has_the_projects_files_as_they_are_and_nothing_that_was_made(tmp_path):
    user._copy(tmp_path)
    for name in ("vgglib/__init__.py", "book/intro.md", "_toc.yml", "notebooks/05_depth.ipynb", "results/README.md"):
        assert (tmp_path / name).read_bytes() == (user.ROOT / name).read_bytes()
    assert not [path for name in ("_build", ".venv", ".git", "**/__pycache__") for path in tmp_path.glob(name)]


def test_the_book_is_warm_from_the_second_build_of_one_copy_on(settings, built):
    for _ in range(2):
        assert user.measure(user.WARM, OURS, settings) == {"value": 1.5}
    assert [before for _, before, _ in built] == [False, True, True]
    assert len({tree for tree, _, _ in built}) == 1
    assert [options for _, _, options in built] == [{}, {"--all": None}, {"--all": None}]


def test_a_page_is_edited_in_the_copy_alone(settings, built):
    before = (user.ROOT / user.PAGE).read_text()
    for edits in (1, 2):
        assert user.measure(user.EDITED, OURS, settings) == {"value": 1.5}
        tree, *_, options = built[-1]
        assert (tree / user.PAGE).read_text() == before + "\n" * edits and options == {}
    assert len({tree for tree, _, _ in built}) == 1 and (user.ROOT / user.PAGE).read_text() == before


def test_a_build_finds_no_page_of_the_last_one_as_make_book_has_it(tmp_path, monkeypatch):
    site = tmp_path / "_build" / "html"
    monkeypatch.setattr(user, "_seconds", lambda *_, **__: site.exists())
    assert user._build(tmp_path) is False
    site.mkdir(parents=True)
    (site / "old.html").touch()
    assert user._build(tmp_path) is False


def test_a_changed_project_is_copied_anew(settings, built, monkeypatch):
    monkeypatch.setattr(user, "_files", lambda: ["README.md"])
    user.measure(user.WARM, OURS, settings)
    monkeypatch.setattr(user, "_files", lambda: ["README.md", "LICENSE"])
    user.measure(user.WARM, OURS, settings)
    assert [before for _, before, _ in built] == [False, True, False, True]
    assert [path.name for path in settings.folder.iterdir()] == [built[-1][0].name]


def test_the_book_is_cold_in_a_new_copy_without_compiled_modules(settings, built):
    for _ in range(2):
        user.measure(user.COLD, OURS, settings)
    (one, before, first), (other, again, second) = built
    assert one != other and not before and not again
    assert first["PYTHONPYCACHEPREFIX"] != second["PYTHONPYCACHEPREFIX"]
    assert not os.path.exists(first["PYTHONPYCACHEPREFIX"]) and not one.exists()


@pytest.mark.parametrize(
    "case, package",
    [("re-run 05_depth from records", "papermill"), (user.WARM, "Jupyter Book")],
    ids=["notebook", "book"],
)
def test_what_a_bare_machine_cannot_run_is_left_out(case, package, settings, monkeypatch):
    monkeypatch.setattr(user, "find_spec", lambda name: None)
    with pytest.raises(LeftOut, match=f"{package} is not installed"):
        user.measure(case, OURS, settings)


def test_what_an_earlier_library_cannot_do_is_left_out(settings, monkeypatch):
    def failing(*_, **__):
        raise RuntimeError("no such function")

    monkeypatch.setattr(user, "_seconds", failing)
    with pytest.raises(RuntimeError, match="no such function"):
        user.measure("re-run 05_depth from records", OURS, settings)
    monkeypatch.setattr(user, "_earlier", lambda: True)
    with pytest.raises(LeftOut, match="the present notebook does not run"):
        user.measure("re-run 05_depth from records", OURS, settings)
    with pytest.raises(LeftOut, match="the present book documents"):
        user.measure(user.COLD, OURS, settings)


def test_a_command_that_fails_says_what_it_said():
    with pytest.raises(RuntimeError, match=r"status 3: no more"):
        user._done([sys.executable, "-c", "import sys; print('no more'); sys.exit(3)"])


def test_records_of_imagenets_size_are_made_once_and_kept_answers_are_cleared_for_the_first_look(
    settings, tmp_path, monkeypatch
):
    root = settings.folder / "full-records"
    full_records.made(root, images=5, classes=6)
    rows = evidence.rows(Store(root), "imagenet")
    assert set(rows["status"]) == {"done"} and rows["wrong"].map(len).eq(5).all()
    monkeypatch.setenv("VGG_RESULTS", str(root))
    (own,) = errors.answers(plan("imagenet", "3", ["A"], [0]))  # what the timed notebook asks first
    assert own.seeds == (0,) and own.classes == 6
    posteriors = next(root.rglob("posteriors/*.npz"))
    posteriors.unlink()
    assert full_records.made(root, images=5, classes=6) == root and not posteriors.exists()
    full_records.made(root, images=4, classes=6)
    assert posteriors.exists()

    monkeypatch.setattr(full_records, "made", lambda folder: folder)
    kept, run = root / "imagenet" / "answered", []

    def notebook(path, results, preset):
        run.append((path.stem, results, preset, kept.exists()))
        kept.mkdir(exist_ok=True)
        return 2.0

    monkeypatch.setattr(user, "_notebook", notebook)
    for case, expected in ((user.AGAIN, [False, True]), (user.AGAIN, [True, True]), (user.FIRST, [False])):
        run.clear()
        assert user.measure(case, OURS, settings) == {"value": 2.0}
        assert run == [("13_errors", root, "imagenet", there) for there in expected]
