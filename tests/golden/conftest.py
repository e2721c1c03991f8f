"""One run of the pilot for all tests that judge it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from transforms import pipeline
from transforms.study import Study


@pytest.fixture(scope="session")
def snapshot(pilot_raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pipeline.run(Study.load("cdiscpilot01"), landing=pilot_raw, home=tmp_path_factory.mktemp("home")).path


@pytest.fixture(scope="session")
def data(snapshot: Path) -> dict[str, pd.DataFrame]:
    """SDTM and analysis datasets by name."""
    paths = [*(snapshot / "sdtm").glob("*.parquet"), *(snapshot / "adam").glob("*.parquet")]
    return {path.stem.upper(): pq.read_table(path).to_pandas() for path in paths}
