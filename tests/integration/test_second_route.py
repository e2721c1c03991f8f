"""Datasets of the pilot by two independent routes: the engine and the bare pandas scripts of benchmarks/.

The bare scripts were written from the study's published definitions, not from the engine; every cell must agree.
"""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks import map_one
from tests.reference import Published


@pytest.mark.parametrize("name", ["VS", "LB", "QS"])
def test_engine_and_bare_script_agree_cell_by_cell(name: str, pilot_raw: Path, tmp_path: Path) -> None:
    map_one.main(pilot_raw, tmp_path, name)
    importlib.import_module(f"benchmarks.bare_{name.lower()}").main(pilot_raw, tmp_path / "bare.parquet")
    agree(name, tmp_path / f"{name.lower()}.parquet", tmp_path / "bare.parquet")


@pytest.mark.parametrize("name", ["ADSL", "ADAE", "ADLB"])
def test_published_analysis_dataset_and_bare_script_agree_cell_by_cell(
    name: str, pilot_run: Published, tmp_path: Path
) -> None:
    bare = importlib.import_module(f"benchmarks.bare_{name.lower()}")
    bare.main(pilot_run.report.path / "sdtm", tmp_path / "bare.parquet")
    agree(name, pilot_run.report.path / "adam" / f"{name.lower()}.parquet", tmp_path / "bare.parquet")


def agree(name: str, one: Path, other: Path) -> None:
    """Every cell of two files, in the order of the records, whatever the order of the columns."""
    engine, bare = pd.read_parquet(one), pd.read_parquet(other)
    assert set(engine.columns) == set(bare.columns)
    assert len(engine) == len(bare)
    for column in engine.columns:
        ours, theirs = engine[column], bare[column]
        if pd.api.types.is_numeric_dtype(ours):
            equal = np.isclose(ours.astype(float), theirs.astype(float), rtol=1e-12, atol=0, equal_nan=True)
        else:
            ours, theirs = (values.astype(object).fillna("") for values in (ours, theirs))
            equal = (ours == theirs).to_numpy()
        assert equal.all(), f"{name}.{column}: {int((~equal).sum())} of {len(equal)} values differ"
