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


def _shared(*parts: str) -> Path:
    folder = ROOT.parent.joinpath("shared", "data", *parts)
    if not folder.is_dir():
        message = f"NOT TESTED: {'/'.join(parts)} is not at {folder}"
        if os.environ.get("CI"):
            pytest.fail(f"{message}, and continuous integration must test it")
        pytest.skip(message)
    return folder


@pytest.fixture(scope="session")
def pilot_raw() -> Path:
    """The extracts of the CDISC pilot, which lie outside the project."""
    return _shared("cdiscpilot01", "raw")


@pytest.fixture(scope="session")
def foreign_formats() -> Path:
    """Files of standard formats that others wrote, which lie outside the project."""
    return _shared("formats")


@pytest.fixture
def small(tmp_path: Path) -> SmallStudy:
    """A small study of three extracts, written into a folder of its own."""
    return SmallStudy.write(tmp_path)
