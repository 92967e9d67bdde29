"""Sphinx extension: a build uses all processors, and leaves out work that no page needs."""

import gc
import os
from pathlib import Path

from sphinx.pycode import ModuleAnalyzer

PROJECT = Path(__file__).parents[2]


def use_every_processor(app):
    """As `sphinx-build -j auto`, an option that Jupyter Book does not pass on."""
    # It numbers sections after all pages have been read, and forgot to say that reading them may be shared.
    app.extensions["sphinx_multitoc_numbering"].parallel_read_safe = True
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    # Shares are equal in pages and not in seconds: with more of them no processor waits for long.
    app.parallel = 2 * processors


def source(app, module):
    """The text of one of our modules for its page, and where its parts are, None for others. To look for it, Sphinx
    would import all of them once more, PyTorch included; given it, every build writes these pages anew.
    """
    place = PROJECT.joinpath(*module.split("."))
    path = next((path for path in (place / "__init__.py", place.with_suffix(".py")) if path.exists()), None)
    if path is None:
        return None
    analyzer = ModuleAnalyzer.for_file(path, module)
    analyzer.find_tags()
    return analyzer.code, analyzer.tags


def leave_garbage(app, exception):
    """The process ends soon; Python would look through all that it holds, every node of every page, for garbage."""
    gc.freeze()


def setup(app):
    app.connect("builder-inited", use_every_processor)
    app.connect("viewcode-find-source", source)
    app.connect("build-finished", leave_garbage, priority=900)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
