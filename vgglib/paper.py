"""The paper's own numbers, typed once in `results/paper/`."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pandas as pd

FOLDER = Path(__file__).resolve().parents[1] / "results" / "paper"


def numbers(name: str = "classification") -> pd.DataFrame:
    """`results/paper/<name>.csv`; scales as text, since a jittered S is a range and Q may be several."""
    return _read(name).copy()


@cache
def _read(name: str) -> pd.DataFrame:
    return pd.read_csv(FOLDER / f"{name}.csv", dtype={"train_scale": str, "test_scales": str})
