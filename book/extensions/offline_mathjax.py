"""Sphinx extension: put MathJax into the built site, so that formulas show without a network.

The single file with its fonts comes from the installed package sphinx-mathjax-offline; that package's own extension,
which copies many megabytes more, is not loaded.
"""

from importlib.metadata import files
from pathlib import Path
from shutil import copyfile

from sphinx.errors import ExtensionError

PACKAGE, FILE = "sphinx-mathjax-offline", "tex-svg.js"


def copy_mathjax(app, exception):
    """Copy the file to where Sphinx looks for `mathjax_path`, after a successful HTML build."""
    if exception or app.builder.format != "html":
        return
    source = next((path for path in files(PACKAGE) or () if path.name == FILE), None)
    if source is None:
        raise ExtensionError(f"{FILE} is missing from the package {PACKAGE}: install the version in requirements.lock.")
    target = Path(app.outdir, "_static", app.config.mathjax_path)
    target.parent.mkdir(parents=True, exist_ok=True)
    copyfile(source.locate(), target)


def setup(app):
    app.connect("build-finished", copy_mathjax)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
