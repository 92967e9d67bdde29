"""The paper's own numbers, typed once in `results/paper/`."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pandas as pd

FOLDER = Path(__file__).resolve().parents[1] / "results" / "paper"


def numbers(name: str = "classification") -> pd.DataFrame:
    """`results/paper/<name>.csv`; scales as text, since a jittered S is a range and Q may be several.

    Raises ValueError as `check` does.
    """
    return _read(name).copy()


def check() -> None:
    """Raises ValueError where this package was installed without the repository that holds these numbers."""
    if not FOLDER.is_dir():
        raise ValueError(
            f"{FOLDER} does not exist: plans, tables and pages need the repository, so install vgglib from a clone of "
            "it by `make setup` or `pip install -e .`; nets and their counts work without."
        )


@cache
def _read(name: str) -> pd.DataFrame:
    check()
    return pd.read_csv(FOLDER / f"{name}.csv", dtype={"train_scale": str, "test_scales": str})
