"""What each role may do, and what the history of ops refuses to everyone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from psycopg import errors

from tests.integration.test_postgres_publication import put, rows_of
from transforms.warehouse.postgres import OPS, Database, DatabaseError, Table

DENIED = (errors.InsufficientPrivilege, errors.ReadOnlySqlTransaction)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    os.environ.pop("CAIRN_POSTGRES_URL", None)
    with Database.open(tmp_path_factory.mktemp("home")) as database:
        put(database, "study", 0, "s0", Table("sdtm", "DM", "Demographics", rows_of("s0", 2)))
        database.publish("study", 0, "s0", history())
        database.record_run("study", "run")
        yield database


@pytest.fixture
def reader(database: Database) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database.server.urls["reader"], autocommit=True) as connection:
        yield connection


@pytest.fixture
def writer(database: Database) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database.server.urls["writer"], autocommit=True) as connection:
        yield connection


@pytest.fixture
def owner(database: Database) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database.server.urls["owner"], autocommit=True) as connection:
        yield connection


def history() -> dict[str, pa.Table]:
    """A row for every table of ops, as the pipeline hands them over."""
    here = {"study": ["study"], "snapshot_id": ["s0"]}
    return {
        "delivery": pa.table(
            {"study": ["study"], "number": [0], "file": ["dm.csv"], "accepted": [True], "bytes": [2**40]}
        ),
        "publication": pa.table({"number": [0], "snapshot_id": ["s0"], "cut_off": ["2024-06-30"], "deliveries": [1]}),
        "snapshot": pa.table({**here, "datasets": ['{"DM": 2}'], "standards": ['{"ct": "2022-09-30"}']}),
        "row_account": pa.table({**here, "ordinal": [0], "stage": ["staging"], "outcome": ["accepted"], "rows": [2]}),
        "snapshot_finding": pa.table(
            {
                **here,
                "finding_id": ["f0"],
                "rule": ["late"],
                "message": ["受试者 \\ 'late'"],
                "held": [False],
                "places": pa.array([[{"file": "dm.csv", "lines": [2]}]]),
            }
        ),
        "finding_event": events(("opened", "2024-06-30")),
        "quarantine": pa.table({**here, "source": ["dm"], "sha256": ["0"], "line": [2], "rule": ["late"]}),
        "gate_decision": pa.table({**here, "decision_id": ["D-1"], "scope": ["COHORT"], "recorded_in": ["form"]}),
        "decision": decisions("Li"),
    }


def events(*life: tuple[str, str]) -> pa.Table:
    rows = [
        {"number": number, "finding_id": "f0", "event": event, "publication": 0, "snapshot_id": "s0", "cut_off": day}
        for number, (event, day) in enumerate(life)
    ]
    return pa.Table.from_pylist(rows)


def decisions(recorded_by: str) -> pa.Table:
    return pa.table(
        {
            "number": [0],
            "act": ["answer"],
            "target": ['{"finding_id": "f0"}'],
            "by_person": ["Wang"],
            "reason": ["seen"],
            "recorded_by": [recorded_by],
            "recorded_at": ["2001-01-01T00:00:00+00:00"],
        }
    )


FORBIDDEN_TO_READERS = [
    "INSERT INTO study_sdtm.dm VALUES ('x', 1)",
    "UPDATE study_sdtm.dm SET n = 0",
    "DELETE FROM study_sdtm.dm",
    "SELECT * FROM study_store.snapshot_s0",
    "INSERT INTO ops.pointer VALUES ('study', 's1', 1)",
    "UPDATE ops.pointer SET snapshot_id = 's1'",
    "DELETE FROM ops.pin",
    "INSERT INTO ops.pin (study, snapshot_id) VALUES ('study', 's0')",
    *[f"DELETE FROM ops.{name}" for name in (*OPS, "run", "dataset", "data_view", "installation")],
    "SELECT ops.end_run('study', 'run', '', '', '')",
    "SELECT ops.add_study('evil')",
    "CREATE TABLE public.evil (a int)",
    "CREATE TABLE ops.evil (a int)",
    "CREATE TABLE study_sdtm.evil (a int)",
    "CREATE TEMP TABLE evil (a int)",
    "CREATE SCHEMA evil",
    "CREATE FUNCTION public.evil() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE ROLE evil",
    "CREATE DATABASE evil",
    "SET ROLE cairn_writer",
    "SET ROLE cairn_owner",
    "SET SESSION AUTHORIZATION cairn_owner",
    "GRANT cairn_owner TO cairn_reader",
    "ALTER ROLE cairn_writer PASSWORD 'x'",
    "ALTER ROLE cairn_reader SUPERUSER",
    "ALTER DATABASE cairn SET search_path = evil",
    "ALTER SYSTEM SET work_mem = '1GB'",
    "COPY study_sdtm.dm TO PROGRAM 'cat'",
    "COPY study_sdtm.dm TO '/tmp/evil'",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT ops.selected('study', 'DM', 'pg_read_file(''/etc/passwd'') IS NULL')",
    "SELECT ops.selected('study', 'DM', 'EXISTS (SELECT FROM study_store.snapshot_s0)')",
    "SELECT lo_create(0)",
    "SELECT lo_from_bytea(0, 'x')",
    "SELECT lo_import('/etc/passwd')",
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'cairn_writer'",
    "SELECT rolpassword FROM pg_authid",
    "COMMENT ON VIEW study_sdtm.dm IS 'x'",
    "DROP VIEW study_sdtm.dm",
    "DO $$ BEGIN LOCK TABLE ops.pointer IN ACCESS EXCLUSIVE MODE; END $$",
]


@pytest.mark.parametrize("statement", FORBIDDEN_TO_READERS)
def test_the_reader_may_not(reader: psycopg.Connection[Any], database: Database, statement: str) -> None:
    with psycopg.connect(database.server.urls["writer"]), pytest.raises(DENIED):
        reader.execute(statement)


def test_the_reader_reads_data_and_history(reader: psycopg.Connection[Any]) -> None:
    assert reader.execute("SHOW transaction_isolation").fetchone() == ("repeatable read",)
    assert reader.execute("SELECT count(*) FROM study_sdtm.dm").fetchone() == (2,)
    for name in OPS:
        assert reader.execute(f"SELECT count(*) FROM ops.{name}").fetchone() == (1,), name
    assert reader.execute("SELECT study, snapshot_id, publication FROM ops.current").fetchall() == [("study", "s0", 0)]
    row = reader.execute("SELECT message, places, bytes FROM ops.finding, ops.delivery").fetchone()
    assert row == ("受试者 \\ 'late'", [{"file": "dm.csv", "lines": [2]}], 2**40)


def test_a_search_path_of_ones_own_does_not_change_what_a_function_does(
    writer: psycopg.Connection[Any], reader: psycopg.Connection[Any]
) -> None:
    """The writer makes look-alikes where it may; functions that run as the owner do not find them."""
    writer.execute("CREATE TABLE study_sdtm.pointer (study text, snapshot_id text, publication int)")
    writer.execute("CREATE FUNCTION study_sdtm.md5(text) RETURNS text LANGUAGE sql AS $$ SELECT 'x' $$")
    writer.execute(
        "CREATE FUNCTION study_sdtm.hashtext(text) RETURNS int LANGUAGE plpgsql AS "
        "$$ BEGIN DELETE FROM ops.decision; RETURN 1; END $$"
    )
    try:
        for connection in (reader, writer):
            connection.execute("SET search_path = study_sdtm, ops, pg_catalog")
            assert connection.execute("SELECT ops.shown('study')").fetchone() == ("s0",)
            assert connection.execute("SELECT ops.pin('s0')").fetchone() == ("study",)
            connection.execute("SELECT ops.unpin()")
        writer.execute("SELECT ops.add_study('study')")
        assert writer.execute("SELECT count(*) FROM ops.decision").fetchone() == (1,)
    finally:
        writer.execute("DROP TABLE study_sdtm.pointer; DROP FUNCTION study_sdtm.md5; DROP FUNCTION study_sdtm.hashtext")


def test_every_function_of_ops_that_runs_as_its_owner_has_a_search_path(owner: psycopg.Connection[Any]) -> None:
    rows = owner.execute(
        "SELECT proname, proconfig, prosecdef FROM pg_proc WHERE pronamespace = 'ops'::regnamespace"
    ).fetchall()
    assert sum(definer for _, _, definer in rows) >= 5
    for name, settings, _ in rows:
        assert settings == ["search_path=pg_catalog, pg_temp"], name
    public = owner.execute(
        "SELECT proname FROM pg_proc WHERE pronamespace = 'ops'::regnamespace "
        "AND has_function_privilege('public', oid, 'EXECUTE')"
    ).fetchall()
    assert public == []


FORBIDDEN_TO_WRITERS = [
    *[f"DELETE FROM ops.{name}" for name in (*OPS, "run")],
    *[f"UPDATE ops.{name} SET study = 'x'" for name in (*OPS, "run")],
    *[f"TRUNCATE ops.{name}" for name in (*OPS, "run")],
    *[f"ALTER TABLE ops.{name} DISABLE TRIGGER ALL" for name in (*OPS, "run")],
    "ALTER TABLE ops.decision ADD COLUMN x int",
    "DROP TRIGGER append_only ON ops.decision",
    "CREATE TRIGGER evil BEFORE INSERT ON ops.decision EXECUTE FUNCTION ops.refuse_change()",
    "CREATE OR REPLACE FUNCTION ops.refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
    "CREATE TABLE ops.evil (a int)",
    "CREATE SCHEMA evil",
    "DROP SCHEMA study_sdtm CASCADE",
    "INSERT INTO ops.pin (study, snapshot_id) VALUES ('study', 's0')",
    "UPDATE ops.pointer SET study = 'x'",
    "DELETE FROM ops.pointer",
    "INSERT INTO ops.decision (study, number, act, by_person, reason) VALUES ('study', 9, 'a', 'b', 'c')",
    "INSERT INTO ops.decision (study, number, recorded_by) VALUES ('study', 9, 'd')",
    "INSERT INTO ops.decision (study, number, recorded_at) VALUES ('study', 9, '2001-01-01')",
    "INSERT INTO ops.run (study, run_id, started_by) VALUES ('study', 'x', 'd')",
    "INSERT INTO ops.run (study, run_id, started_at) VALUES ('study', 'x', '2001-01-01')",
    "INSERT INTO ops.run (study, run_id, outcome) VALUES ('study', 'x', 'd')",
    "SET ROLE cairn_owner",
    "SET SESSION AUTHORIZATION cairn_reader",
    "SET session_replication_role = replica",
    "GRANT cairn_owner TO cairn_writer",
    "COPY ops.decision FROM PROGRAM 'cat'",
]


@pytest.mark.parametrize("statement", FORBIDDEN_TO_WRITERS)
def test_the_writer_may_not(writer: psycopg.Connection[Any], statement: str) -> None:
    writer.execute("SET cairn.rebuild = 'on'")
    with pytest.raises(DENIED):
        writer.execute(statement)


def test_who_and_when_are_the_servers(database: Database, writer: psycopg.Connection[Any]) -> None:
    """Decisions carry who and when of the log, and the writer can write none; runs carry the server's."""
    row = writer.execute("SELECT recorded_by, extract(year FROM recorded_at), by_person FROM ops.decision").fetchone()
    assert row == ("Li", 2001, "Wang")
    with pytest.raises(errors.InsufficientPrivilege):
        writer.execute(
            "INSERT INTO ops.decision (study, number, act, by_person, reason) VALUES ('other', 0, 'a', 'b', 'c')"
        )
    writer.execute("INSERT INTO ops.run (study, run_id) VALUES ('other', 'x')")
    other = writer.execute("SELECT started_by::text FROM ops.run WHERE study = 'other'").fetchone()
    assert other == ("cairn_writer",)


def test_a_run_is_ended_once(database: Database, owner: psycopg.Connection[Any]) -> None:
    database.record_run("runs", "r")
    database.record_run("runs", "r")
    database.finish_run("runs", "r", "published", "s0", "well")
    ended = owner.execute("SELECT * FROM ops.run WHERE study = 'runs'").fetchall()
    database.finish_run("runs", "r", "failed", None, "later")
    assert owner.execute("SELECT * FROM ops.run WHERE study = 'runs'").fetchall() == ended
    assert ended[0][3] == "cairn_writer" and ended[0][4] >= ended[0][2] and ended[0][5:] == ("published", "s0", "well")
    for change in ("started_by = 'x'", "started_at = now()", "outcome = 'x'"):
        with pytest.raises(errors.InsufficientPrivilege, match="append-only"):
            owner.execute(f"UPDATE ops.run SET {change} WHERE study = 'runs'")


def test_the_owner_changes_history_in_a_rebuild_alone_and_runs_never(
    database: Database, owner: psycopg.Connection[Any]
) -> None:
    for name in OPS:
        for statement in (f"DELETE FROM ops.{name}", f"UPDATE ops.{name} SET study = 'x'", f"TRUNCATE ops.{name}"):
            with pytest.raises(errors.InsufficientPrivilege, match=f"ops.{name} is append-only"):
                owner.execute(statement)
    runs = owner.execute("SELECT * FROM ops.run ORDER BY 1, 2").fetchall()
    with psycopg.connect(database.server.installer, autocommit=True) as administrator:
        administrator.execute("SET session_replication_role = replica; SET cairn.rebuild = 'on'")
        with pytest.raises(errors.InsufficientPrivilege, match="append-only"):
            administrator.execute("DELETE FROM ops.decision")
    database.rebuild_ops("study", history())
    row = owner.execute(
        "SELECT recorded_by::text, recorded_at::text FROM ops.decision WHERE study = 'study'"
    ).fetchone()
    assert row == ("Li", "2001-01-01 00:00:00+00")
    for name in OPS:
        assert owner.execute(f"SELECT count(*) FROM ops.{name} WHERE study = 'study'").fetchone() == (1,), name
    assert owner.execute("SELECT * FROM ops.run ORDER BY 1, 2").fetchall() == runs
    assert database.current("study") == "s0"
    owner.execute("SET cairn.rebuild = 'on'")
    with pytest.raises(errors.InsufficientPrivilege, match="append-only"):
        owner.execute("DELETE FROM ops.run")


def test_the_view_of_findings_tells_their_life(database: Database, reader: psycopg.Connection[Any]) -> None:
    life = (("opened", "2024-01-31"), ("answered", "2024-02-29"), ("closed", "2024-03-31"), ("reopened", "2024-04-30"))
    expected = [
        ("open", "2024-01-31", None, 0, "opened"),
        ("answered", "2024-01-31", None, 0, "answered"),
        ("closed", "2024-01-31", "2024-03-31", 0, "closed"),
        ("open", "2024-01-31", None, 1, "reopened"),
    ]
    for number, facts in enumerate(expected, start=1):
        database.rebuild_ops("study", history() | {"finding_event": events(*life[:number])})
        row = reader.execute(
            "SELECT status, opened::text, closed::text, reopened, last_event FROM ops.finding WHERE study = 'study'"
        ).fetchone()
        assert row == facts
    database.rebuild_ops("study", history())


def test_rows_that_fit_no_table_are_refused_by_name(database: Database) -> None:
    with pytest.raises(DatabaseError, match=r"there is no table ops\.secret"):
        database.publish("study", 0, "s0", {"secret": pa.table({"a": [1]})})
    with pytest.raises(DatabaseError, match=r"ops\.delivery has no column 'surname'"):
        database.publish("study", 0, "s0", {"delivery": pa.table({"number": [5], "surname": ["x"]})})
