"""Which pages a second build of a book makes anew."""

import os

import pytest
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace


@pytest.fixture
def fresh_pages(extension):
    return extension("fresh_pages")


@pytest.fixture
def book(tmp_path, monkeypatch, fresh_pages):
    """A project of two pages, a module and a result; `book(**options)` builds it and names the pages that were read."""
    files = {"pages/index.rst": "Index\n=====\n\n.. toctree::\n\n   other\n", "pages/other.rst": "Other\n=====\n"}
    files |= {"vgglib/module.py": "A = 1\n", "results/demo/record.json": "{}"}
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(fresh_pages.vgglib, "__file__", str(tmp_path / "vgglib" / "__init__.py"))
    monkeypatch.setattr("vgglib.results.REPOSITORY", tmp_path)
    monkeypatch.delenv("VGG_RESULTS", raising=False)

    def build(freshenv=False):
        read = []
        build = tmp_path / "_build"
        overrides = {"extensions": ["fresh_pages"]}
        with docutils_namespace():
            where = (tmp_path / "pages", None, build / "nothing", build / "doctrees")  # sources, configuration, output
            app = Sphinx(*where, "dummy", overrides, status=None, warning=None, freshenv=freshenv)
            app.connect("source-read", lambda app, page, text: read.append(page))
            app.build()
        return sorted(read)

    build.root = tmp_path
    assert build() == ["index", "other"]
    return build


def test_nothing_is_read_again_when_nothing_changed(book):
    assert book() == []
    assert book(freshenv=True) == ["index", "other"]
    assert book() == []


def test_a_page_whose_text_changed_is_read_alone(book):
    page = book.root / "pages" / "other.rst"
    page.write_text("Another\n=======\n")
    os.utime(page, (1, 1))  # older than the last build, as a file may be that was moved here
    assert book() == ["other"]
    assert book() == []


@pytest.mark.parametrize("name", ["vgglib/module.py", "results/demo/record.json"])
def test_all_pages_are_read_after_a_change_of_what_they_show(name, book):
    path = book.root / name
    path.write_text(path.read_text() + "\n")
    assert book() == ["index", "other"]
    assert book() == []
    path.unlink()
    assert book() == ["index", "other"]
    path.write_text("")
    assert book() == ["index", "other"]


def test_what_is_computed_from_the_records_is_no_change(book):
    folder = book.root / "results" / "demo" / "answered"
    folder.mkdir()
    (folder / "one.npz").write_text("")
    assert book() == []


def test_another_folder_of_results_is_a_change(book, monkeypatch):
    (book.root / "mine").mkdir()
    monkeypatch.setenv("VGG_RESULTS", str(book.root / "mine"))
    assert book() == ["index", "other"]
    (book.root / "mine" / "record.json").write_text("{}")
    assert book() == ["index", "other"]
    assert book() == []


def test_another_version_of_a_package_is_a_change(book, monkeypatch, fresh_pages):
    found = list(fresh_pages.distributions())
    monkeypatch.setattr(fresh_pages, "distributions", lambda: found[1:])
    assert book() == ["index", "other"]
    assert book() == []


def test_a_page_that_warned_is_read_until_it_does_not(book):
    (book.root / "pages" / "other.rst").write_text("Other\n=====\n\n:ref:`nowhere`\n")
    assert book() == ["other"]
    assert book() == ["index", "other"]
    assert book() == ["index", "other"]
    (book.root / "pages" / "other.rst").write_text("Other\n=====\n")
    assert book() == ["index", "other"]
    assert book() == []


def test_after_a_build_that_was_stopped_all_pages_are_read(book, monkeypatch):
    def stop(app, doctree):
        raise KeyboardInterrupt

    (book.root / "pages" / "other.rst").write_text("Another\n=======\n")
    build = Sphinx.build
    with monkeypatch.context() as patched:
        patched.setattr(Sphinx, "build", lambda app: (app.connect("doctree-read", stop), build(app)))
        with pytest.raises(KeyboardInterrupt):
            book()
    assert book() == ["index", "other"]
    assert book() == []
