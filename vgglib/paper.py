"""The paper's own numbers, typed once in `results/paper/`."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pandas as pd

FOLDER = Path(__file__).resolve().parents[1] / "results" / "paper"


def numbers(name: str = "classification") -> pd.DataFrame:
    """`results/paper/<name>.csv`; scales as text, since a jittered S is a range and Q may be several.

    Raises ValueError where this package was installed without the repository that holds the file.
    """
    return _read(name).copy()


@cache
def _read(name: str) -> pd.DataFrame:
    if not FOLDER.is_dir():
        raise ValueError(
            f"{FOLDER} does not exist: plans and tables need the repository, so install vgglib from a clone of it by "
            "`make setup` or `pip install -e .`; nets, counts and weights work without."
        )
    return pd.read_csv(FOLDER / f"{name}.csv", dtype={"train_scale": str, "test_scales": str})
