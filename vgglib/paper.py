"""The paper's own numbers, as results/paper/*.csv holds them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

FOLDER = Path(__file__).resolve().parents[1] / "results" / "paper"


def numbers(name: str = "classification") -> pd.DataFrame:
    """The paper's numbers, as in `results/paper/<name>.csv`; scales as text, since a jittered S is a range."""
    return pd.read_csv(FOLDER / f"{name}.csv", dtype={"train_scale": str, "test_scales": str})
