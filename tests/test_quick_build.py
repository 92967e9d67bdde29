"""What a build of the book leaves out."""

import sys

import pytest
from sphinx.pycode import ModuleAnalyzer


@pytest.fixture
def quick_build(extension):
    return extension("quick_build")


@pytest.mark.parametrize("module", ["vgglib.metrics", "vgglib.data"])
def test_a_source_is_what_sphinx_finds_where_it_imports_the_module(quick_build, module):
    theirs = ModuleAnalyzer.for_module(module)
    theirs.find_tags()
    assert quick_build.source(None, module) == (theirs.code, theirs.tags)


def test_a_source_is_read_without_importing_its_module(quick_build, monkeypatch):
    monkeypatch.delitem(sys.modules, "vgglib.lists", raising=False)
    code, tags = quick_build.source(None, "vgglib.lists")
    assert "vgglib.lists" not in sys.modules and code and tags


def test_modules_of_others_are_left_to_sphinx(quick_build):
    assert quick_build.source(None, "functools") is None
