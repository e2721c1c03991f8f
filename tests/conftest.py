"""Fixtures that several tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings

import synthetic
from tests.small_study import SmallStudy
from transforms import pipeline
from transforms.study import Study
from transforms.warehouse.postgres import Database

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


@dataclass(frozen=True)
class Published:
    """A study published in a CAIRN_HOME of its own, whose database is open."""

    study: str
    home: Path
    snapshot: Path
    database: Database

    @property
    def reader(self) -> str:
        """The libpq URL of cairn_reader."""
        return self.database.server.urls["reader"]


def _published(study: str, landing: Path, home: Path) -> Iterator[Published]:
    with Database.open(home) as database:
        report = pipeline.run(Study.load(study), landing=landing, home=home, database=database)
        yield Published(study, home, report.path, database)


@pytest.fixture(scope="session")
def published_reference(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Published]:
    """The reference study on synthetic extracts."""
    folder = tmp_path_factory.mktemp("reference")
    synthetic.generate(folder / "landing")
    yield from _published("ucmsc_dac", folder / "landing", folder / "home")


@pytest.fixture(scope="session")
def published_pilot(pilot_raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Published]:
    """The CDISC pilot."""
    yield from _published("cdiscpilot01", pilot_raw, tmp_path_factory.mktemp("pilot"))


@pytest.fixture
def small(tmp_path: Path) -> SmallStudy:
    """A small study of three extracts, written into a folder of its own."""
    return SmallStudy.write(tmp_path)
