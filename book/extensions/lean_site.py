"""Sphinx extension: leave out of the site what no reader's browser asks for."""

from pathlib import Path
from shutil import rmtree

# Source maps of minified files, the theme's sources of its translations and templates, and fonts that are there in a
# smaller form as well, which every browser prefers; and the picture that the README shows.
UNUSED = (
    *("_static/**/*.map", "_static/locales", "_static/*macros.html", "_static/vendor/**/*.ttf"),
    "_static/screenshot.png",
)


def remove_unused(app, exception):
    if exception or app.builder.format != "html":
        return
    for pattern in UNUSED:
        for path in list(Path(app.outdir).glob(pattern)):
            rmtree(path) if path.is_dir() else path.unlink()


def setup(app):
    app.connect("build-finished", remove_unused)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
