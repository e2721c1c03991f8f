"""Fixtures that several tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings

from tests.reference import Extracts, Made, Planted, Published
from tests.small_study import SmallStudy
from transforms import pipeline
from transforms.study import Study
from transforms.warehouse.postgres import Database

# The same examples on every machine, however slow it is.
settings.register_profile("cairn", deadline=None, derandomize=True)
settings.load_profile("cairn")

ROOT = Path(__file__).resolve().parents[1]
# The files of tests that take longest come first, so that processes that share the work end together.
LONGEST = (
    "integration/test_messy_series.py",
    "dags/test_dags.py",
    "integration/test_validation.py",
    "integration/test_carriers.py",
    "e2e/test_command_line.py",
    "integration/test_checks.py",
    "integration/test_kill.py",
    "integration/test_gate.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The order in which files are handed out."""
    places = {ROOT / "tests" / file: place for place, file in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(LONGEST)))


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


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """What is made once in a session; with several processes the session's folder is above that of each."""
    own = tmp_path_factory.getbasetemp()
    return Made(own.parent if "PYTEST_XDIST_WORKER" in os.environ else own)


@pytest.fixture(scope="session")
def series(made: Made) -> dict[str, Extracts]:
    """The four clean extracts of the reference study; they are not to be changed."""
    return made.series()


@pytest.fixture(scope="session")
def planted_series(made: Made) -> dict[str, Planted]:
    """The four extracts with the faults of `messy`; they are not to be changed."""
    return made.messy()


@pytest.fixture(scope="session")
def extracts(series: dict[str, Extracts]) -> Extracts:
    """The last clean extract, which is what the generator writes unless it is told otherwise."""
    return series["S4"]


@pytest.fixture(scope="session")
def reference(made: Made) -> Published:
    """The reference study after a run on its last clean extract; it is not to be changed."""
    return made.reference()


@pytest.fixture(scope="session")
def first_cut(made: Made) -> Published:
    """The reference study after a run on the first clean extract; it is not to be changed."""
    return made.first_cut()


@pytest.fixture(scope="session")
def clean_runs(made: Made) -> dict[str, Published]:
    """The reference study after each of its clean extracts, in one home that is not to be changed."""
    return made.clean_runs()


@pytest.fixture(scope="session")
def pilot_run(made: Made, pilot_raw: Path) -> Published:
    """The CDISC pilot after a run; it is not to be changed."""
    return made.pilot(pilot_raw)


@dataclass(frozen=True)
class Served:
    """A study published in a CAIRN_HOME of its own, whose database is open."""

    study: str
    home: Path
    snapshot: Path
    database: Database

    @property
    def reader(self) -> str:
        """The libpq URL of cairn_reader."""
        return self.database.server.urls["reader"]


def _served(published: Published, home: Path) -> Iterator[Served]:
    """What was published in files before, in a database as well."""
    with Database.open(published.home_in(home)) as database:
        report = pipeline.run(Study.load(published.study), landing=published.landing, home=home, database=database)
        yield Served(published.study, home, report.path, database)


@pytest.fixture(scope="session")
def served_reference(reference: Published, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The reference study in a database."""
    yield from _served(reference, tmp_path_factory.mktemp("served") / "home")


@pytest.fixture(scope="session")
def served_pilot(pilot_run: Published, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The CDISC pilot in a database."""
    yield from _served(pilot_run, tmp_path_factory.mktemp("served") / "home")


@pytest.fixture
def small(tmp_path: Path) -> SmallStudy:
    """A small study of three extracts, written into a folder of its own."""
    return SmallStudy.write(tmp_path)
