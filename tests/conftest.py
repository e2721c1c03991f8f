"""Fixtures that several tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

from tests.small_study import SmallStudy

# The same examples on every machine, however slow it is.
settings.register_profile("cairn", deadline=None, derandomize=True)
settings.load_profile("cairn")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def pilot_raw() -> Path:
    """The extracts of the CDISC pilot, which lie outside the project."""
    folder = ROOT.parent / "shared" / "data" / "cdiscpilot01" / "raw"
    if not folder.is_dir():
        message = f"NOT TESTED: the extracts of cdiscpilot01 are not at {folder}"
        if os.environ.get("CI"):
            pytest.fail(f"{message}, and continuous integration must test them")
        pytest.skip(message)
    return folder


@pytest.fixture
def small(tmp_path: Path) -> SmallStudy:
    """A small study of three extracts, written into a folder of its own."""
    return SmallStudy.write(tmp_path)
