"""Sphinx extension: small repairs of the theme's HTML, so that people who listen to a page can find their way too.

All but the last are for rules of axe, the checker that the tests run on the built book. A page that an earlier build
has repaired stays as it is.
"""

import re
from pathlib import Path

REPAIRS = (
    # The names of these buttons leave out what stands on them: "Ctrl + K", "Light".
    (r'(<button class="btn search-button-field[^>]*?) aria-label="Search"', r"\1"),
    (r'(<i class="theme-switch[^>]*?) title="[^"]*"', r"\1"),
    # The book's title stands outside of all landmarks.
    (r'(<div id="pst-primary-sidebar") (?!role=)', r'\1 role="complementary" aria-label="Book" '),
    # Roles of a bibliography that are deprecated or do not belong to these elements.
    (r' role="doc-biblioentry"', ""),
    (r'<div role="list" class="citation-list">', '<div class="citation-list">'),
    # A package's modules stand in a list beside its entry instead of inside it.
    (r"(?s)</li>(\s*<ul>.*?</ul>)", r"\1</li>"),
    # The first page leads on at once; without an icon of its own browsers ask for one that is not there.
    (r'(<meta http-equiv="Refresh"[^>]*>)(?! <link)', r'\1 <link rel="icon" href="_static/favicon.svg">'),
)


def repair(app, exception):
    if exception or app.builder.format != "html":
        return
    for page in Path(app.outdir).rglob("*.html"):
        before = after = page.read_text()
        for pattern, replacement in REPAIRS:
            after = re.sub(pattern, replacement, after)
        if after != before:
            page.write_text(after)


def setup(app):
    app.connect("build-finished", repair)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
