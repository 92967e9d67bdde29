"""Sphinx extension: a page is read, and its code run, only if something that it shows may have changed.

Sphinx itself compares the time of a page's file alone, so that a new record would leave old numbers standing. Here all
pages are made anew once the library, a result, an extension or an installed package is another, and after a build that
warned, failed or was stopped; a page whose own text has changed is made anew by itself.
"""

import json
import platform
from hashlib import sha256
from importlib.metadata import distributions
from pathlib import Path

import vgglib
from vgglib.results import ANSWERED, default_root

SHOWN = "shown.json"  # what the pages beside it were made from; it is there only after a build that ended well


def _state(paths) -> str:
    """One word that is another when a file is written, replaced, added or gone; large weights are not read for it."""
    files = sorted((str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in paths if path.is_file())
    return sha256(json.dumps(files).encode()).hexdigest()


def _inputs() -> dict[str, str]:
    """What all pages may show beside their own text -> its state, or name."""
    packages = sorted(f"{found.name} {found.version}" for found in distributions())
    return {
        "code": _state([*Path(vgglib.__file__).parent.rglob("*.py"), *Path(__file__).parent.glob("*.py")]),
        "results": _state(path for path in default_root().rglob("*") if path.parent.name != ANSWERED),
        "packages": sha256(json.dumps(packages).encode()).hexdigest(),
        "python": f"{platform.python_version()} {platform.platform()}",
    }


def _now(app) -> dict:
    pages = {page: _state([Path(app.env.doc2path(page))]) for page in sorted(app.env.found_docs)}
    return {"inputs": _inputs(), "pages": pages}


def outdated(app, env, added, changed, removed):
    """The pages to make anew. What they were made from is forgotten here, until this build has ended well."""
    shown = Path(app.doctreedir) / SHOWN
    before = json.loads(shown.read_text()) if shown.exists() else {"inputs": None, "pages": {}}
    shown.unlink(missing_ok=True)
    app.fresh_pages_now = now = _now(app)
    if before["inputs"] != now["inputs"]:
        return sorted(env.found_docs)
    return [page for page, state in now["pages"].items() if before["pages"].get(page) != state]


def remember(app, exception):
    now = getattr(app, "fresh_pages_now", None)
    if now and not exception and not app._warncount:
        (Path(app.doctreedir) / SHOWN).write_text(json.dumps(now, indent=1))


def setup(app):
    app.connect("env-get-outdated", outdated)
    app.connect("build-finished", remember)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
