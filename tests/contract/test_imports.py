"""What takes long to import is imported by what needs it: a run of one stage and a short command do not wait for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STATISTICS = {"scipy", "statsmodels", "lifelines"}
DATABASE = {"psycopg", "sqlalchemy"}
CHECKS = {"great_expectations", "pointblank"}
PAGES = {"matplotlib", "openpyxl"}
FRAMES = {"numpy", "pandas", "pyarrow"}


@pytest.mark.parametrize(
    ("module", "without"),
    [
        ("transforms.cli", {*STATISTICS, *DATABASE, *CHECKS, *PAGES, *FRAMES, "pydantic"}),
        ("transforms.airflow_services", {*STATISTICS, *CHECKS, *PAGES, *FRAMES, "pydantic"}),
        ("transforms.doctor", {*STATISTICS, *DATABASE, *CHECKS, *PAGES, *FRAMES, "pydantic"}),
        ("transforms.pipeline", {*STATISTICS, *DATABASE, *CHECKS, *PAGES}),
    ],
)
def test_what_is_not_imported(module: str, without: set[str]) -> None:
    code = f"import sys, {module}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "transforms" in loaded
    assert not loaded & without


def test_status_waits_for_no_data_frames(tmp_path: Path) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "transforms.cli", "status", "--json"]
    environment = {**os.environ, "CAIRN_HOME": str(tmp_path)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "transforms.airflow_services" in loaded
    assert not loaded & FRAMES
