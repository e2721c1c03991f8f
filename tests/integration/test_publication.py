"""Publication of whole runs: Parquet and PostgreSQL agree, the ledger follows from the logs, a crash leaves no half."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg
import pyarrow.parquet as pq
import pytest

from tests.reference import Published
from tests.small_study import EXTRACTS, SmallStudy
from transforms import acts, operations, pipeline, upkeep
from transforms.errors import LockedError, StaleSnapshotError, UsageError
from transforms.pipeline import Home
from transforms.study import Study
from transforms.warehouse.engines import engine
from transforms.warehouse.postgres import Database, DatabaseDownError
from transforms.warehouse.postgres_server import PostgresServer
from transforms.warehouse.snapshots import Snapshots

VITALS = EXTRACTS["vitals.csv"]
BY = {"by": "A. Person", "reason": "because"}
LEDGER = (
    "delivery",
    "decision",
    "publication",
    "snapshot",
    "row_account",
    "snapshot_finding",
    "finding_event",
    "quarantine",
    "finding",
    "current",
)


@pytest.fixture
def database(small: SmallStudy) -> Iterator[Database]:
    with Database.open(small.home) as opened:
        yield opened


def ledger(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table of ops but the runs, as text."""
    found = {}
    with psycopg.connect(database.server.urls["owner"]) as connection:
        for name in LEDGER:
            rows = connection.execute(f"SELECT one::text FROM ops.{name} AS one").fetchall()  # type: ignore[arg-type]
            found[name] = sorted(rows)
    return found


def agree(path: Path, database: Database, study: str, snapshot_id: str) -> int:
    """Compare every dataset of a snapshot with what the database gives; returns how many cells there are."""
    cells = 0
    for kind in pipeline.KINDS:
        for file in sorted((path / kind).glob("*.parquet")):
            written, read = pq.read_table(file), database.read(study, kind, file.stem.upper(), snapshot_id)
            assert read.column_names == written.column_names, file.stem
            for name in written.column_names:
                one, other = written[name].combine_chunks(), read[name].combine_chunks()
                assert one.cast(other.type).equals(other), f"{file.stem}.{name}"
            cells += written.num_rows * written.num_columns
    return cells


def in_database(published: Published, home: Path) -> int:
    """Publish a snapshot that only files hold in a database as well; returns how many cells agree."""
    with Database.open(published.home_in(home)) as database:
        study = Study.load(published.study)
        report = pipeline.run(study, landing=published.landing, home=home, database=database)
        assert report.snapshot_id == published.report.snapshot_id == database.current(study.name)
        return agree(report.path, database, study.name, report.snapshot_id)


def test_parquet_and_postgresql_agree_for_the_reference_study(reference: Published, tmp_path: Path) -> None:
    assert in_database(reference, tmp_path / "home") > 1_000_000


def test_parquet_and_postgresql_agree_for_the_pilot(pilot_run: Published, tmp_path: Path) -> None:
    assert in_database(pilot_run, tmp_path / "home") > 5_000_000


def history(small: SmallStudy, database: Database) -> None:
    """Four publications: held rows, an answer, a release beside a refused delivery, a cure; then a lock."""

    def run() -> pipeline.Report:
        return pipeline.run(small.load(), landing=small.landing, home=small.home, database=database)

    where = Home(small.home, "small")
    small.drop("vitals.csv", VITALS.replace("2024-02-21", "21st of Feb"))
    small.drop("demog.csv", EXTRACTS["demog.csv"].replace("COUNTRY\n", "COUNTRY,NEW\n").replace("USA", "USA,x"))
    run()
    rows = operations.finding_list(where.publications.entries(), where.decisions.entries(), where.snapshots.summary)
    ids = {str(row["rule"]): str(row["finding_id"]) for row in rows}
    acts.answer(where, ids["extra_column"], **BY)
    run()
    acts.release(where, ids["unreadable_date"], **BY)
    small.drop("dosing_2.csv", "ROW,SUBJ,DRUG,DOSE\n5,001,Testol,5\n")
    run()
    small.drop("demog.csv", EXTRACTS["demog.csv"])
    report = run()
    acts.lock(where, report.snapshot_id, **BY)
    acts.unlock(where, report.snapshot_id, **BY)


def test_the_ledger_is_rebuilt_from_raw_store_and_logs(small: SmallStudy) -> None:
    with Database.open(small.home) as database:
        history(small, database)
        before = ledger(database)
    assert len(before["publication"]) == 4
    assert {"opened", "closed", "answered"} <= {row[0].strip("()").split(",")[3] for row in before["finding_event"]}
    shutil.rmtree(small.home / "postgres")
    shutil.rmtree(small.home / "warehouse")
    with Database.open(small.home) as database:
        upkeep.rebuild(small.load(), Home(small.home, "small"), database)
        assert ledger(database) == before
        upkeep.rebuild(small.load(), Home(small.home, "small"), database)
        assert ledger(database) == before
        where = Home(small.home, "small")
        current = where.snapshots.current_id() or ""
        assert database.current("small") == current
        assert agree(where.snapshots.path(current), database, "small", current) > 100


def test_the_ledger_survives_pruning(small: SmallStudy, database: Database) -> None:
    history(small, database)
    where = Home(small.home, "small")
    before = ledger(database)
    published = [one.snapshot_id for one in where.publications.entries()]
    with pytest.raises(UsageError, match=r"open critical finding.*unreadable_date of vitals"):
        acts.lock(where, published[0], **BY)
    acts.lock(where, published[2], **BY)
    with psycopg.connect(database.server.urls["reader"], autocommit=True) as connection:
        connection.execute("SELECT ops.pin(%s)", [published[1]])
        assert upkeep.prune(where, database, 1) == [published[0]]
    assert where.snapshots.listed() == sorted({published[1], published[2], published[3]})
    upkeep.rebuild(small.load(), where, database)
    assert {name: rows for name, rows in ledger(database).items() if name != "decision"} == {
        name: rows for name, rows in before.items() if name != "decision"
    }


class CrashError(Exception):
    pass


def crash(*arguments: object, **options: object) -> None:
    raise CrashError


@pytest.mark.parametrize("place", ["before the log", "before the database", "before the link"])
def test_a_run_killed_while_publishing_is_finished_by_the_next(
    small: SmallStudy, database: Database, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    def run() -> pipeline.Report:
        return pipeline.run(small.load(), landing=small.landing, home=small.home, database=database)

    first = run()
    small.drop("vitals.csv", VITALS.replace("131", "132"))
    where = Home(small.home, "small")
    with monkeypatch.context() as patch:
        target: tuple[Any, str] = {
            "before the log": (pipeline.PublicationLog, "append"),
            "before the database": (Database, "publish"),
            "before the link": (Snapshots, "publish"),
        }[place]
        patch.setattr(*target, crash)
        with pytest.raises(CrashError):
            run()
    assert where.snapshots.current_id() == first.snapshot_id
    if place != "before the link":
        assert database.current("small") == first.snapshot_id
    second = run()
    assert second.snapshot_id == where.snapshots.current_id() == database.current("small") != first.snapshot_id
    assert [one.snapshot_id for one in where.publications.entries()] == [first.snapshot_id, second.snapshot_id]
    assert len(ledger(database)["publication"]) == 2
    assert second.page is not None


def test_a_database_that_is_down_leaves_what_stands(small: SmallStudy, monkeypatch: pytest.MonkeyPatch) -> None:
    first = pipeline.run(small.load(), landing=small.landing, home=small.home)
    monkeypatch.setenv("CAIRN_POSTGRES_URL", "postgresql://nobody@127.0.0.1:1/cairn")
    with pytest.raises(DatabaseDownError, match=r"127\.0\.0\.1:1"):
        Database.open(small.home)
    assert Home(small.home, "small").snapshots.current_id() == first.snapshot_id


def test_a_snapshot_begun_before_what_is_published_is_not_published(small: SmallStudy) -> None:
    pipeline.run(small.load(), landing=small.landing, home=small.home)
    where = Home(small.home, "small")
    old = pipeline.open_snapshot(small.load(), where, None)
    small.drop("vitals.csv", VITALS.replace("131", "132"))
    new = pipeline.run(small.load(), landing=small.landing, home=small.home)
    with pytest.raises(StaleSnapshotError, match="was begun before"):
        pipeline.publish(small.load(), where, old)
    assert where.snapshots.current_id() == new.snapshot_id


def test_a_lock_made_while_a_snapshot_is_built_holds_too(small: SmallStudy) -> None:
    first = pipeline.run(small.load(), landing=small.landing, home=small.home)
    where = Home(small.home, "small")
    small.drop("vitals.csv", VITALS.replace("131", "132"))
    pipeline.ingest(small.load(), small.landing, where.raw)
    begun = pipeline.open_snapshot(small.load(), where, None)
    acts.lock(where, first.snapshot_id, **BY)
    with pytest.raises(LockedError):
        pipeline.publish(small.load(), where, begun)


def test_a_reader_with_pandas_sees_one_snapshot_in_one_transaction(small: SmallStudy, database: Database) -> None:
    def run() -> pipeline.Report:
        return pipeline.run(small.load(), landing=small.landing, home=small.home, database=database)

    run()
    reading = engine(small.home)
    try:
        with reading.connect() as connection:
            before = pd.read_sql("SELECT usubjid, vsorres FROM small_sdtm.vs ORDER BY vsseq, usubjid", connection)
            small.drop("vitals.csv", VITALS.replace("131", "132"))
            run()
            again = pd.read_sql("SELECT usubjid, vsorres FROM small_sdtm.vs ORDER BY vsseq, usubjid", connection)
            pd.testing.assert_frame_equal(before, again)
        with reading.connect() as connection:
            now = pd.read_sql("SELECT vsorres FROM small_sdtm.vs", connection)
        assert "132" in set(now["vsorres"])
        assert "132" not in set(before["vsorres"])
    finally:
        reading.dispose()
        PostgresServer(small.home / "postgres").stop()
