"""Sphinx extension: read pages on all processors, and leave out of the site what no reader's browser asks for."""

import os
from pathlib import Path
from shutil import rmtree

# Source maps of minified files, the theme's sources of its translations and templates, and fonts that are there in a
# smaller form as well, which every browser prefers; and the picture that the README shows.
UNUSED = (
    *("_static/**/*.map", "_static/locales", "_static/*macros.html", "_static/vendor/**/*.ttf"),
    "_static/screenshot.png",
)


def use_every_processor(app):
    """As `sphinx-build -j auto`, an option that Jupyter Book does not pass on."""
    # It numbers sections after all pages have been read, and forgot to say that reading them may be shared.
    app.extensions["sphinx_multitoc_numbering"].parallel_read_safe = True
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    # Shares are equal in pages and not in seconds: with more of them no processor waits for long.
    app.parallel = 2 * processors


def remove_unused(app, exception):
    if exception or app.builder.format != "html":
        return
    for pattern in UNUSED:
        for path in list(Path(app.outdir).glob(pattern)):
            rmtree(path) if path.is_dir() else path.unlink()


def setup(app):
    app.connect("builder-inited", use_every_processor)
    app.connect("build-finished", remove_unused)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
