"""The embedded server, and what is left when it or its clients are killed; a server of one's own."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import stat
import time
from collections.abc import Iterator
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pytest

from tests.integration.test_postgres_publication import publication, put, rows_of, same
from transforms.errors import UsageError
from transforms.warehouse import postgres, postgres_server
from transforms.warehouse.postgres import Database, DatabaseDownError, Table, connect_url
from transforms.warehouse.postgres_server import PostgresServer, ServerError

SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture(autouse=True)
def no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CAIRN_POSTGRES_URL", raising=False)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    PostgresServer(tmp_path / "postgres").stop()


def postmaster(home: Path) -> int:
    return int((home / "postgres" / "data" / "postmaster.pid").read_text().splitlines()[0])


def large() -> pa.Table:
    return rows_of("killed", 60_000)


def load_and_halt(home: str, ready: Queue[str]) -> None:
    """Load a table and stand still in the middle of COPY, so that it can be killed there."""
    encoded = postgres.encoded_rows

    def halting(table: pa.Table, types: Any) -> Iterator[bytes]:
        for number, rows in enumerate(encoded(table, types)):
            yield rows
            if number == 1 and table.num_rows > 1000:
                ready.put("in the middle")
                time.sleep(120)

    postgres.encoded_rows = halting
    small = Table("sdtm", "DM", "Demographics", rows_of("killed", 3))
    database = Database.open(Path(home))
    database.load("study", "killed", [small, Table("sdtm", "LB", "Laboratory", large())])


def killed_in_copy(home: Path) -> None:
    ready: Queue[str] = SPAWN.Queue()
    process = SPAWN.Process(target=load_and_halt, args=(str(home), ready), daemon=True)
    process.start()
    assert ready.get(timeout=60) == "in the middle"
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join(timeout=30)


def finish(home: Path) -> None:
    """Everything again, as the next run does it: the content is right, nothing is there twice, nothing is left over."""
    small, big = Table("sdtm", "DM", "Demographics", rows_of("killed", 3)), Table("sdtm", "LB", "Laboratory", large())
    with Database.open(home) as database:
        assert database.current("study") == "before"
        assert database.read("study", "sdtm", "DM").num_rows == 2
        put(database, "study", 1, "killed", small, big)
        same(small.table, database.read("study", "sdtm", "DM"))
        same(big.table, database.read("study", "sdtm", "LB"))
        with psycopg.connect(database.server.urls["owner"]) as owner:
            loose = owner.execute(
                "SELECT relname FROM pg_class WHERE relnamespace = 'study_store'::regnamespace AND relkind = 'r' "
                "AND NOT relispartition AND relname NOT LIKE 'snapshot%'"
            ).fetchall()
            assert loose == []
            assert owner.execute("SELECT count(*) FROM ops.dataset").fetchone() == (3,)


def test_a_loading_client_that_is_killed_leaves_nothing_behind(home: Path) -> None:
    PostgresServer(home / "postgres").start()
    with Database.open(home) as database:
        put(database, "study", 0, "before", Table("sdtm", "DM", "Demographics", rows_of("before", 2)))
    killed_in_copy(home)
    finish(home)


def test_a_server_that_is_killed_in_the_middle_of_a_load_comes_up_again(home: Path) -> None:
    server = PostgresServer(home / "postgres")
    server.start()
    with Database.open(home) as database:
        put(database, "study", 0, "before", Table("sdtm", "DM", "Demographics", rows_of("before", 2)))
    ready: Queue[str] = SPAWN.Queue()
    process = SPAWN.Process(target=load_and_halt, args=(str(home), ready), daemon=True)
    process.start()
    assert ready.get(timeout=60) == "in the middle"
    os.kill(postmaster(home), signal.SIGKILL)
    time.sleep(0.1)
    assert not server.running()
    with pytest.raises(DatabaseDownError, match="does not answer"):
        database.current("study")
    finish(home)
    process.kill()
    process.join(timeout=30)


def test_a_pid_file_whose_number_another_program_has_does_not_keep_it_down(home: Path) -> None:
    server = PostgresServer(home / "postgres")
    server.start()
    path = server.data / "postmaster.pid"
    content = path.read_text()
    os.kill(postmaster(home), signal.SIGKILL)
    time.sleep(0.3)  # Its children end when they notice.
    path.write_text("\n".join([str(os.getpid()), *content.splitlines()[1:]]) + "\n")
    server.start()
    assert server.running()
    assert postmaster(home) != os.getpid()


def test_starting_and_stopping_twice_changes_nothing_and_the_port_stays(home: Path) -> None:
    server = PostgresServer(home / "postgres")
    server.stop()
    assert not server.running()
    with pytest.raises(ServerError, match="never started"):
        server.url()
    server.start()
    first, url = postmaster(home), server.url()
    server.start()
    assert postmaster(home) == first
    server.stop()
    server.stop()
    assert not server.running()
    with server:
        assert server.url() == url
        assert postmaster(home) != first
    with pytest.raises(UsageError, match=r"no role 'superuser'\. One of: reader, writer, owner"):
        server.url("superuser")


def test_a_port_that_is_taken_is_given_up(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = PostgresServer(home / "postgres")
    with server:
        before = server.url()
    monkeypatch.setattr(postgres_server, "_free", lambda port: False)
    with server:
        assert server.url() != before
        with psycopg.connect(server.url("administrator")) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)


def test_it_listens_to_this_machine_alone_and_asks_for_a_password(home: Path) -> None:
    server = PostgresServer(home / "postgres")
    server.start()
    with psycopg.connect(server.url("administrator")) as connection:
        settings = {
            name: connection.execute(f"SHOW {name}").fetchone()[0]  # type: ignore[index]
            for name in ("listen_addresses", "unix_socket_directories", "password_encryption", "data_checksums")
        }
        rules = connection.execute("SELECT DISTINCT auth_method FROM pg_hba_file_rules").fetchall()
    assert settings == {
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "password_encryption": "scram-sha-256",
        "data_checksums": "on",
    }
    assert rules == [("scram-sha-256",)]
    secrets = server.folder / "passwords.json"
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o600
    assert stat.S_IMODE(server.data.stat().st_mode) == 0o700
    passwords = json.loads(secrets.read_text())
    assert len(set(passwords.values())) == 4
    assert not any(value in (server.folder / "log").read_text() for value in passwords.values())
    wrong = server.url().replace(passwords["reader"], "wrong")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(wrong)


def test_a_server_that_cannot_start_says_what_its_log_says(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = PostgresServer(home / "postgres")
    with server:
        pass
    monkeypatch.setattr(postgres_server, "ATTEMPTS", 1)
    control = server.data / "global" / "pg_control"
    kept = control.read_bytes()
    control.write_bytes(b"\0" * len(kept))
    with pytest.raises(ServerError, match=r"(?s)does not start. The end of its log:.*FATAL"):
        server.start()
    control.write_bytes(kept)
    server.start()


def open_home(home: str, results: Queue[str]) -> None:
    try:
        with Database.open(Path(home)) as database:
            database.load("study", "one", [Table("sdtm", f"D{n}", "", rows_of("one", 5)) for n in range(4)])
            time.sleep(0.5)
            database.record_run("study", str(os.getpid()))
        results.put("")
    except Exception as error:
        results.put(f"{type(error).__name__}: {error}")


def test_several_processes_open_a_new_home_and_load_one_snapshot_at_once(home: Path) -> None:
    results: Queue[str] = SPAWN.Queue()
    processes = [SPAWN.Process(target=open_home, args=(str(home), results)) for _ in range(3)]
    for process in processes:
        process.start()
    assert [results.get(timeout=60) for _ in processes] == ["", "", ""]
    for process in processes:
        process.join(timeout=30)
    server = PostgresServer(home / "postgres")
    assert not server.running()
    with Database.open(home) as database:
        assert database.read("study", "sdtm", "D3", "one").num_rows == 5
        with psycopg.connect(database.server.urls["reader"]) as connection:
            assert connection.execute("SELECT count(*) FROM ops.run").fetchone() == (3,)
            assert connection.execute("SELECT count(*) FROM ops.dataset").fetchone() == (4,)


def test_new_sql_is_applied_once_and_can_be_applied_again(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Database.open(home) as database:
        put(database, "study", 0, "one", Table("sdtm", "DM", "", rows_of("one", 5)))
        order, _ = postgres._scripts()
        monkeypatch.setattr(postgres, "_scripts", lambda: (order, "another content"))
        database._install()
        monkeypatch.setattr(postgres, "_scripts", lambda: ([("ops/never.sql", b"SELECT 1/0")], "another content"))
        database._install()
        assert database.read("study", "sdtm", "DM").num_rows == 5


def test_the_order_names_every_file_of_sql() -> None:
    listed = [name for name, _ in postgres._scripts()[0]]
    assert len(listed) == len(set(listed)) > 20
    assert set(listed) == {path.relative_to(postgres.SQL).as_posix() for path in postgres.SQL.rglob("*.sql")}
    assert [name.startswith("roles/") for name in listed] == sorted([name.startswith("roles/") for name in listed])[
        ::-1
    ]


def test_an_external_server_takes_the_same(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user is what docker/postgres-init.sh makes: no superuser, owner of the database, allowed to make roles."""
    server = PostgresServer(home / "postgres")
    server.start()
    with psycopg.connect(server.url("administrator", "postgres"), autocommit=True) as connection:
        connection.execute("DROP ROLE cairn_reader; DROP ROLE cairn_writer; DROP ROLE cairn_owner")
        connection.execute("CREATE ROLE outside LOGIN CREATEROLE PASSWORD 'p w'")
        connection.execute("CREATE DATABASE outside OWNER outside")
        connection.execute("REVOKE ALL ON DATABASE outside FROM PUBLIC; GRANT CONNECT ON DATABASE outside TO PUBLIC")
    port = server.url().rpartition(":")[2].partition("/")[0]
    monkeypatch.setenv("CAIRN_POSTGRES_URL", f"postgresql://outside:p%20w@127.0.0.1:{port}/outside?sslmode=disable")
    with Database.open(home / "elsewhere") as database:
        for number, rows in enumerate((2, 5)):
            put(database, "study", number, f"s{number}", Table("sdtm", "DM", "", rows_of(f"s{number}", rows)))
        database.drop_snapshot("study", "s0")
        database.record_run("study", "run")
        database.finish_run("study", "run", "published", "s1", "")
        database.rebuild_ops("study", publication(1, "s1"))
        assert database.read("study", "sdtm", "DM").num_rows == 5
        assert not (home / "elsewhere").exists()
    with psycopg.connect(connect_url(home / "elsewhere")) as connection:
        row = connection.execute("SELECT session_user::text, current_user::text").fetchone()
        assert row == ("outside", "cairn_reader")
        assert connection.execute("SHOW transaction_isolation").fetchone() == ("repeatable read",)
        assert connection.execute("SELECT started_by::text, outcome FROM ops.run").fetchall() == [
            ("outside", "published")
        ]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("DELETE FROM study_sdtm.dm")
