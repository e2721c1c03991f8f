"""The pilot's datasets for all tests that judge them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from tests.reference import Published


@pytest.fixture(scope="session")
def snapshot(pilot_run: Published) -> Path:
    return pilot_run.report.path


@pytest.fixture(scope="session")
def data(snapshot: Path) -> dict[str, pd.DataFrame]:
    """SDTM and analysis datasets by name."""
    paths = [*(snapshot / "sdtm").glob("*.parquet"), *(snapshot / "adam").glob("*.parquet")]
    return {path.stem.upper(): pq.read_table(path).to_pandas() for path in paths}
