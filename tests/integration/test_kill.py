"""kill -9 at any place: readers saw no half, and the next run gives what an undisturbed one gives."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pyarrow.parquet as pq
import pytest

from tests.integration.test_publication import ledger
from tests.small_study import EXTRACTS, SmallStudy
from transforms import pipeline
from transforms.pipeline import Home
from transforms.warehouse.postgres import Database
from transforms.warehouse.postgres_server import PostgresServer

ROOT = Path(__file__).resolve().parents[2]
# The new delivery changes the last value of the vital signs and adds an infusion: a mix of the two would be seen.
NEW = {
    "vitals.csv": EXTRACTS["vitals.csv"].replace("131", "132"),
    "dosing_2.csv": "ROW,SUBJ,DRUG,DOSE,START\n5,003,Testol,10,13-Mar-2024 08:00\n",
}
PLACES = {
    "ingest: a file is half copied": ("transforms.warehouse.raw_store", "os.fsync", 1),
    "ingest: the second file is in the store, the log is not written": (
        "transforms.warehouse.raw_store",
        "RawStore.record",
        1,
    ),
    "staging": ("transforms.warehouse.building", "Building.write", 2),
    "mapping": ("transforms.warehouse.building", "Building.write", 9),
    "mapping: a dataset is half written": ("transforms.warehouse.building", "Path.replace", 11),
    "closing: the manifest is not written": ("transforms.pipeline", "write_json", 1),
    "closing: the folder is not named yet": ("transforms.warehouse.snapshots", "_make_durable", 1),
    "publishing: two datasets are loaded": ("transforms.warehouse.postgres", "Database._copy", 3),
    "publishing: the log is not written": ("transforms.warehouse.publications", "PublicationLog.append", 1),
    "publishing: the database does not know": ("transforms.warehouse.postgres", "Database.publish", 1),
    "publishing: ops is half written": ("transforms.warehouse.postgres", "_insert", 4),
    "publishing: the files do not know": ("transforms.warehouse.snapshots", "Snapshots.publish", 1),
    "publishing: the report is not written": ("transforms.pipeline", "write_report", 1),
}


@contextmanager
def serving(small: SmallStudy) -> Iterator[Database]:
    """The study's database, which stays up."""
    PostgresServer(small.home / "postgres").start()
    with Database.open(small.home) as database:
        yield database
    PostgresServer(small.home / "postgres").stop()


def second_delivery(small: SmallStudy) -> None:
    for name, content in NEW.items():
        small.drop(name, content)


def contents(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


class Reader(threading.Thread):
    """Reads two tables again and again, in the database and in the files, and keeps each pair it saw."""

    def __init__(self, small: SmallStudy, address: str) -> None:
        super().__init__(daemon=True)
        self.current = Home(small.home, "small").snapshots.current
        self.address = address
        self.seen: set[tuple[int, bool]] = set()
        self.reads = 0
        self.ended = threading.Event()

    def run(self) -> None:
        while not self.ended.is_set():
            with psycopg.connect(self.address) as connection:
                doses = connection.execute("SELECT count(*) FROM small_sdtm.ex").fetchone()
                changed = connection.execute("SELECT count(*) FROM small_sdtm.vs WHERE vsorres = '132'").fetchone()
            assert doses is not None
            assert changed is not None
            self.seen.add((doses[0], changed[0] == 1))
            folder = self.current.resolve()
            results = pq.read_table(folder / "sdtm" / "vs.parquet")["VSORRES"].to_pylist()
            self.seen.add((pq.read_table(folder / "sdtm" / "ex.parquet").num_rows, "132" in results))
            self.reads += 1


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> SmallStudy:
    """A study after its first publication; the server is down, so that its home can be copied."""
    small = SmallStudy.write(tmp_path_factory.mktemp("first"))
    with serving(small) as database:
        pipeline.run(small.load(), landing=small.landing, home=small.home, database=database)
    return small


def copied(first: SmallStudy, folder: Path) -> SmallStudy:
    small = SmallStudy.write(folder)
    shutil.copytree(first.home, small.home, symlinks=True)
    return small


@pytest.fixture(scope="module")
def undisturbed(first: SmallStudy, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], object]:
    """What an undisturbed run of the second delivery gives: the files of the snapshot, and the ledger."""
    small = copied(first, tmp_path_factory.mktemp("undisturbed"))
    second_delivery(small)
    with serving(small) as database:
        report = pipeline.run(small.load(), landing=small.landing, home=small.home, database=database)
        return contents(report.path), ledger(database)


@pytest.fixture(scope="module")
def killer() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-m", "tests.integration.killed_run"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


@pytest.mark.parametrize("place", PLACES)
def test_a_killed_run_is_made_good_by_the_next(
    first: SmallStudy,
    undisturbed: tuple[dict[str, str], object],
    killer: subprocess.Popen[str],
    tmp_path: Path,
    place: str,
) -> None:
    files, history = undisturbed
    small = copied(first, tmp_path)
    second_delivery(small)
    with serving(small) as database:
        reader = Reader(small, database.server.urls["reader"])
        reader.start()
        assert killer.stdin is not None
        assert killer.stdout is not None
        order = [str(small.folder), str(small.landing), str(small.home), *PLACES[place]]
        killer.stdin.write(json.dumps(order) + "\n")
        killer.stdin.flush()
        assert killer.stdout.readline() == f"{int(signal.SIGKILL)}\n"
        report = pipeline.run(small.load(), landing=small.landing, home=small.home, database=database)
        reader.ended.set()
        reader.join(timeout=60)
        assert not reader.is_alive()
        assert reader.reads > 2
        assert reader.seen <= {(4, False), (5, True)}, "a reader saw a mix of two publications"
        assert database.current("small") == report.snapshot_id == Home(small.home, "small").snapshots.current_id()
        assert contents(report.path) == files
        assert ledger(database) == history
        left = [path.name for path in small.home.rglob(".partial-*")]
        assert not left
