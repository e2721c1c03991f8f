"""Vectors as frames of numbers and texts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

VECTORS = Path(__file__).parent / "vectors"


@pytest.fixture(scope="session")
def vectors() -> Callable[[str], pd.DataFrame]:
    def read(name: str) -> pd.DataFrame:
        frame = pd.read_csv(VECTORS / f"{name}.csv")
        assert len(frame) > 9, f"{name}.csv has lost its vectors"
        return frame

    return read
