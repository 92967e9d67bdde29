"""One measurement, in a process of its own: `python -m benchmarks.measure SUITE CASE CONTENDER SETTINGS ANSWER`."""

from __future__ import annotations

import json
import sys
import traceback
from importlib import import_module
from pathlib import Path

from benchmarks.cases import LeftOut, Settings


def settings_of(text: str) -> Settings:
    found = json.loads(text)
    paths = {name: Path(found[name]) for name in ("folder", "images") if found[name]}
    return Settings(**{**found, **paths})


def main(suite: str, case: str, contender: str, settings: str, answer: str) -> None:
    """Write what was measured to the file `answer`, or why nothing was."""
    try:
        found = {"values": import_module(f"benchmarks.{suite}").measure(case, contender, settings_of(settings))}
    except LeftOut as reason:
        found = {"left_out": str(reason)}
    except Exception as error:
        traceback.print_exc()
        found = {"error": f"{type(error).__name__}: {error}"}
        if type(error).__name__ == "OutOfMemoryError":  # PyTorch's, which is not imported for it
            found = {"left_out": "it takes more memory than this GPU has free."}
    Path(answer).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
