"""Publication in PostgreSQL: snapshots beside each other, one pointer, views that follow it.

Schemas of a study: <study>_store holds every snapshot, one partition per dataset and snapshot under one parent per
dataset structure; <study>_sdtm, <study>_adam and <study>_results hold views. A view reads the snapshot that its session
sees (ops.shown) from all parents of its dataset. <study>_records holds the same views with the place of each record in
its dataset, which a relation would lose and lineage goes by. Names are looked up as they are now and rows as they were
when a transaction began, so a reader may see through a newer view: because it has every parent, it still sees its own
snapshot whole. Readers never wait for loading; publishing waits for them only where the structure of a dataset changes.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property, partial
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Literal, LiteralString, Self
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import numpy as np
import psycopg
import pyarrow as pa
from psycopg import errors, sql
from psycopg.types.json import Jsonb
from pyarrow import csv

from transforms.errors import CairnError, UsageError
from transforms.warehouse.postgres_copy import HEADER, TRAILER, encoded_rows
from transforms.warehouse.postgres_server import DATABASE, ROLES, PostgresServer

Kind = Literal["sdtm", "adam", "results"]
KINDS: tuple[Kind, ...] = ("sdtm", "adam", "results")
ADDRESS = "CAIRN_POSTGRES_URL"
SQL = Path(__file__).resolve().parents[2] / "sql"
LONGEST = 63
SNAPSHOT = re.compile(r"[A-Za-z0-9_-]{1,50}")
KEY = "snapshot_id"
# A relation has no order and a dataset has one: lineage names a record by its place. It is no variable of the dataset,
# so that the views of this schema show it beside the dataset's own.
RECORDS = "records"
NUMBER = "record_number"
NUMBER_COLUMN = {"name": NUMBER, "original": "", "type": "integer", "label": "Place in the dataset, from 1"}
OLDEST_SERVER = 160000
# Classes of advisory locks; the second number says what is locked.
INSTALLING, PUBLISHING, LOADING, SHAPING = 7239001, 7239002, 7239003, 7239004
# Shorter than PostgreSQL's deadlock_timeout of one second: whoever publishes gives way before a reader is refused.
LOCK_WAIT = "150ms"
PATIENCE = 60.0
SWIFT = 2.0
# A process that was killed may hold the study until the server notices.
GRACE = 2.5
ROWS_PER_STATEMENT = 20_000
WORTH_AN_INDEX = 1_000
STANDS = "The earlier publication stands"
ABSENT = "Not part of the current snapshot"
OPS = (
    "delivery",
    "decision",
    "publication",
    "snapshot",
    "row_account",
    "snapshot_finding",
    "finding_event",
    "quarantine",
    "gate_decision",
)
Row = tuple[Any, ...]
Connection = psycopg.Connection[Row]
Columns = list[dict[str, str]]


class DatabaseError(CairnError):
    """The database refuses what was asked of it; the message says what and what to do."""


class DatabaseDownError(DatabaseError):
    """The database does not answer, or was lost while it worked."""


class DatabaseFullError(DatabaseError):
    """The database has no space left."""


class DatabaseBusyError(DatabaseError):
    """Readers hold what has to change for longer than a publication waits."""


class PublicationInProgressError(DatabaseError):
    """Another process publishes the study; the message has its number and snapshot."""


class NameRefusedError(DatabaseError):
    """A name that PostgreSQL would cut off, or that stands twice."""


class UnsuitableTableError(DatabaseError):
    """A column that has no PostgreSQL type here, or a value that its type cannot hold."""


class KeptSnapshotError(UsageError):
    """A snapshot is current, locked or pinned, and is not deleted."""


@dataclass(frozen=True)
class Table:
    """One dataset of a snapshot: columns carry their label as field metadata."""

    kind: Kind
    name: str
    label: str
    table: pa.Table
    keys: Sequence[str] = ()


@dataclass(frozen=True)
class _Shape:
    """A dataset as the database holds it: the name of its view, its columns, and the parent of that structure."""

    kind: Kind
    view: str
    columns: Columns

    @cached_property
    def parent(self) -> str:
        structure = [self.kind, self.view, _structure([NUMBER_COLUMN, *self.columns])]
        digest = hashlib.sha256(json.dumps(structure, ensure_ascii=False).encode()).hexdigest()[:8]
        return f"{self.view.encode()[:40].decode(errors='ignore')}_{digest}"


@dataclass(frozen=True)
class _Server:
    """Where the database is, and how each role reaches it."""

    name: str
    remedy: str
    installer: str
    urls: Mapping[str, str]


def connect_urls(home: Path) -> dict[str, str]:
    """The libpq URL of each role: reader, writer and owner. Starts the embedded server and leaves it running.

    Raises DatabaseDownError when the server of CAIRN_POSTGRES_URL does not answer.
    """
    with Database.open(home) as database:
        if database.embedded is not None:
            database.embedded.kept.touch()
        return dict(database.server.urls)


def connect_url(home: Path, role: str = "reader") -> str:
    """The libpq URL of one role, as `connect_urls`. Raises UsageError for a role there is not."""
    urls = connect_urls(home)
    if role not in urls:
        raise UsageError(f"no role {role!r}. One of: {', '.join(urls)}")
    return urls[role]


class Database:
    """The database of one CAIRN_HOME. With `with`, a server that was started for it is stopped again afterwards."""

    def __init__(self, server: _Server, embedded: PostgresServer | None = None, started: bool = False) -> None:
        self.server = server
        self.embedded = embedded
        self._started = started
        self._users: IO[str] | None = embedded.share() if embedded is not None else None

    @classmethod
    def open(cls, home: Path) -> Self:
        """The database, ready to use: server started, roles made, sql/ applied where its content is new.

        Several processes may open it at once. Raises ServerError when the embedded server does not start,
        DatabaseDownError when that of CAIRN_POSTGRES_URL does not answer.
        """
        address = os.environ.get(ADDRESS)
        if address:
            database = cls(_external(address))
        else:
            embedded = PostgresServer(home / "postgres")
            started = not embedded.running()
            embedded.start()
            urls = {role: embedded.url(role) for role in ("reader", "writer", "owner")}
            server = _Server(
                f"the embedded PostgreSQL of {embedded.folder}",
                f"Run again: it is started where needed; {embedded.folder / 'log'} says why it ended",
                embedded.url("administrator"),
                urls,
            )
            database = cls(server, embedded, started)
        try:
            database._install()
        except BaseException:
            database.close()
            raise
        return database

    def close(self) -> None:
        """Let go of the database; an embedded server started for it is stopped, unless others use it or it is kept."""
        if self._users is not None and self.embedded is not None:
            users, self._users = self._users, None
            with users:
                if self._started:
                    self.embedded.stop_unused(users)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def load(self, study: str, snapshot_id: str, tables: Iterable[Table]) -> None:
        """Load datasets of a snapshot, each in one step, where no reader sees them before it is published.

        A dataset that is loaded already is left alone; what a killed process left behind is not there. Several
        processes may load datasets of one snapshot. Raises NameRefusedError, UnsuitableTableError, DatabaseFullError
        or DatabaseDownError, and DatabaseError when a published snapshot was loaded with another content.
        """
        _check_snapshot(snapshot_id)
        with self._connected("writer", f"cairn load {snapshot_id}", f"loading snapshot {snapshot_id}") as connection:
            self._prepare(connection, study, snapshot_id)
            for table in tables:
                self._load(connection, study, snapshot_id, table)

    def publish(self, study: str, number: int, snapshot_id: str, ops: Mapping[str, pa.Table]) -> None:
        """Make a loaded snapshot current: history, pointer and views change in one transaction.

        `ops` holds the tables of the schema ops by name; rows known already are left alone. Doing it again changes
        nothing. Raises PublicationInProgressError when another process publishes the study, DatabaseBusyError when
        readers hold a view whose structure changes for a minute, and DatabaseError when the snapshot is not loaded
        whole, when a later publication stands, or when the database holds the history of another CAIRN_HOME.
        """
        _check_snapshot(snapshot_id)
        name = f"cairn publication {number} {snapshot_id}"

        decisions, rest = ({} if "decision" not in ops else {"decision": ops["decision"]}), dict(ops)
        rest.pop("decision", None)
        if decisions:
            # Who decided and when is the log's to say: the owner writes it, so that the writer cannot.
            with self._connected("owner", name, f"publishing snapshot {snapshot_id}") as owner, owner.transaction():
                self._add_history(owner, study, decisions)

        def once() -> None:
            self._add_history(connection, study, rest)
            self._check_publication(connection, study, number, snapshot_id)
            for change in _view_changes(connection, study, snapshot_id):
                _change_view(connection, study, change)
            moved = connection.execute(
                "INSERT INTO ops.pointer (study, snapshot_id, publication) VALUES (%s, %s, %s) "
                "ON CONFLICT (study) DO UPDATE SET snapshot_id = EXCLUDED.snapshot_id, "
                "publication = EXCLUDED.publication WHERE pointer.publication <= EXCLUDED.publication",
                [study, snapshot_id, number],
            )
            if moved.rowcount != 1:
                raise DatabaseError(
                    f"{study}: publication {number} (snapshot {snapshot_id}) is older than the one that is "
                    "current in the database. Nothing is to be done: the newer publication stands"
                )

        with (
            self._connected("writer", name, f"publishing snapshot {snapshot_id}") as connection,
            self._publishing(connection, study),
        ):
            try:
                self._patiently(connection, study, once, SWIFT)
            except DatabaseBusyError:
                # Readers that hold several views each in its own order never let all of them go at once.
                self._change_views_singly(connection, study, snapshot_id)
                self._patiently(connection, study, once)

    def current(self, study: str) -> str | None:
        """The current snapshot of a study, None where nothing was published."""
        with self._connected("reader", "cairn", "asking for the current snapshot") as connection:
            row = connection.execute("SELECT snapshot_id FROM ops.pointer WHERE study = %s", [study]).fetchone()
        return str(row[0]) if row is not None else None

    def loaded(self, study: str) -> set[str]:
        """The snapshots of which datasets lie in the database."""
        with self._connected("reader", "cairn", "asking for the snapshots") as connection:
            rows = connection.execute("SELECT DISTINCT snapshot_id FROM ops.dataset WHERE study = %s", [study])
            return {str(row[0]) for row in rows}

    def read(self, study: str, kind: Kind, name: str, snapshot_id: str | None = None) -> pa.Table:
        """A dataset as the database gives it, in the order it was loaded, with its original names and labels.

        Without a snapshot it is read as any reader does, through the view; with one, from that snapshot's partition,
        published or not. Raises DatabaseError when it is not there.
        """
        role = "reader" if snapshot_id is None else "writer"
        with self._connected(role, "cairn", f"reading {name} of {study}") as connection, connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            connection.execute("SET LOCAL synchronize_seqscans = off")
            connection.execute("SET LOCAL max_parallel_workers_per_gather = 0")
            wanted = snapshot_id
            if wanted is None:
                shown = connection.execute("SELECT ops.shown(%s)", [study]).fetchone()
                wanted = shown[0] if shown is not None else None
            row = connection.execute(
                "SELECT columns, label, partition FROM ops.dataset "
                "WHERE study = %s AND snapshot_id = %s AND kind = %s AND lower(name) = lower(%s)",
                [study, wanted, kind, name],
            ).fetchone()
            if row is None:
                raise DatabaseError(f"{study}: {kind} dataset {name} of snapshot {wanted} is not in the database")
            columns, label, partition = row
            relation = (
                sql.Identifier(f"{study}_{kind}", name.lower())
                if snapshot_id is None
                else sql.Identifier(f"{study}_store", partition)
            )
            return _read(connection, relation, columns, label)

    def drop_snapshot(self, study: str, snapshot_id: str) -> None:
        """Delete the data of a snapshot; its history stays. Does nothing where there is none.

        Raises KeptSnapshotError when the snapshot is current, locked or pinned, DatabaseBusyError when readers hold
        its tables for a minute, PublicationInProgressError while the study is published.
        """
        _check_snapshot(snapshot_id)
        name = f"cairn deletion of {snapshot_id}"
        with (
            self._connected("writer", name, f"deleting snapshot {snapshot_id}") as connection,
            self._publishing(connection, study),
        ):
            self._patiently(connection, study, lambda: self._hide(connection, study, snapshot_id))
            for what in connection.execute(
                "SELECT snapshot_id, kind, name, parent, partition FROM ops.dataset "
                "WHERE study = %s AND snapshot_id = %s ORDER BY kind, name",
                [study, snapshot_id],
            ).fetchall():
                self._patiently(connection, study, partial(self._drop_dataset, connection, study, what))

    def pins(self, study: str) -> list[str]:
        """The snapshots of a study that somebody pinned."""
        with self._connected("reader", "cairn", "asking for the pins") as connection:
            rows = connection.execute("SELECT DISTINCT snapshot_id FROM ops.pin WHERE study = %s", [study])
            return sorted(str(row[0]) for row in rows)

    def rebuild_ops(self, study: str, ops: Mapping[str, pa.Table]) -> None:
        """Make the history of a study anew: every table of ops but the runs, with who and when from the logs.

        Raises PublicationInProgressError while the study is published.
        """
        with (
            self._connected("owner", f"cairn rebuild of {study}"[:LONGEST], f"rebuilding ops of {study}") as owner,
            self._publishing(owner, study),
            owner.transaction(),
        ):
            owner.execute("SET LOCAL cairn.rebuild = 'on'")
            for name in OPS:
                owner.execute(sql.SQL("DELETE FROM {} WHERE study = %s").format(_ops(name)), [study])
            self._add_history(owner, study, ops)

    def record_run(self, study: str, run_id: str) -> None:
        """Record that a run began: who and when are the server's."""
        with self._connected("writer", "cairn", "recording the run") as connection:
            connection.execute(
                "INSERT INTO ops.run (study, run_id) VALUES (%s, %s) ON CONFLICT (study, run_id) DO NOTHING",
                [study, run_id],
            )

    def finish_run(self, study: str, run_id: str, outcome: str, snapshot_id: str | None, message: str) -> None:
        """Record how a run ended; one that has ended stays as it is."""
        with self._connected("writer", "cairn", "recording the end of the run") as connection:
            connection.execute("SELECT ops.end_run(%s, %s, %s, %s, %s)", [study, run_id, outcome, snapshot_id, message])

    @contextmanager
    def _connected(self, role: str, name: str, doing: str) -> Iterator[Connection]:
        """A connection of one role; what fails in it is said so that the reader can act."""
        with self._readable(doing):
            url = self.server.installer if role == "installer" else self.server.urls[role]
            connection: Connection = psycopg.connect(
                url, autocommit=True, application_name=name, connect_timeout=10, prepare_threshold=None
            )
            with connection:
                yield connection

    @contextmanager
    def _readable(self, doing: str) -> Iterator[None]:
        try:
            yield
        except (errors.DiskFull, errors.OutOfMemory) as error:
            raise DatabaseFullError(
                f"{self.server.name} has no space left while {doing}: {_first(error)}. {STANDS}. "
                "Free disk space, `cairn snapshots STUDY prune` deletes old snapshots, and run again"
            ) from error
        except errors.InsufficientPrivilege as error:
            raise DatabaseError(
                f"{self.server.name} does not allow {doing}: {_first(error)}. See docs/database.md, Roles"
            ) from error
        except errors.DependentObjectsStillExist as error:
            raise DatabaseError(
                f"{self.server.name} refuses {doing}: {_first(error)}. {STANDS}. A view or function of yours hangs on "
                "a view whose structure changes: drop it, and make it again afterwards"
            ) from error
        except (errors.QueryCanceled, errors.LockNotAvailable) as error:
            raise DatabaseBusyError(
                f"{self.server.name} gave up {doing}: {_first(error)}. {STANDS}. Run again"
            ) from error
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            if "No space left on device" in str(error):
                raise DatabaseFullError(
                    f"{self.server.name} has no space left while {doing}. {STANDS}. Free disk space and run again"
                ) from error
            raise DatabaseDownError(
                f"{self.server.name} does not answer while {doing}: {_first(error)}. {STANDS}. {self.server.remedy}"
            ) from error

    def _install(self) -> None:
        """Apply sql/ where the database does not have this content yet."""
        order, content = _scripts()
        with self._connected("installer", "cairn installation", "installing the schema ops") as connection:
            if connection.info.server_version < OLDEST_SERVER:
                raise DatabaseError(f"{self.server.name} is older than PostgreSQL 16. Upgrade it")
            if connection.info.parameter_status("server_encoding") != "UTF8":
                raise DatabaseError(f"{self.server.name}: the database is not in UTF-8. Make one with ENCODING 'UTF8'")
            if _installed(connection) == content:
                return
            with connection.transaction():
                connection.execute("SELECT pg_advisory_xact_lock(%s, 0)", [INSTALLING])
                if _installed(connection) == content:
                    return
                owner = False
                for name, script in order:
                    if name.startswith("ops/") and not owner:
                        connection.execute("SET LOCAL ROLE cairn_owner")
                        owner = True
                    connection.execute(script)
                connection.execute(
                    "INSERT INTO ops.installation (content) VALUES (%s) "
                    "ON CONFLICT (only_row) DO UPDATE SET content = EXCLUDED.content",
                    [content],
                )

    def _prepare(self, connection: Connection, study: str, snapshot_id: str) -> None:
        """The schemas of the study, and the marker of the snapshot: whoever reads the snapshot holds it."""
        for part in ("store", *KINDS):
            _check_name(f"{study}_{part}", f"study {study}")
        with connection.transaction():
            connection.execute("SELECT ops.add_study(%s)", [study])
            _lock(connection, SHAPING, study)
            connection.execute(sql.SQL("CREATE TABLE IF NOT EXISTS {} ()").format(_marker(study, snapshot_id)))

    def _load(self, connection: Connection, study: str, snapshot_id: str, table: Table) -> None:
        shape = _shape(table)
        label = _label_of(table)
        parent, partition = _store(study, shape.parent), f"{shape.parent}_{_short(snapshot_id)}"
        with connection.transaction():
            _lock(connection, SHAPING, study)
            if not _exists(connection, parent):
                connection.execute(
                    sql.SQL("CREATE TABLE {} ({}) PARTITION BY LIST ({})").format(
                        parent, _definitions([NUMBER_COLUMN, *shape.columns]), sql.Identifier(KEY)
                    )
                )
                # PostgreSQL leaves out partitions while a query runs only where there are two: a lone one is scanned.
                connection.execute(
                    sql.SQL("CREATE TABLE {} PARTITION OF {} FOR VALUES IN ('')").format(
                        _store(study, f"{shape.parent}_none"), parent
                    )
                )
        with connection.transaction():
            _lock(connection, LOADING, f"{study} {snapshot_id} {table.kind} {shape.view}")
            # Not while the snapshot is deleted.
            connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(_marker(study, snapshot_id)))
            what = [study, snapshot_id, table.kind, table.name]
            known = connection.execute(
                "SELECT parent, rows FROM ops.dataset WHERE (study, snapshot_id, kind, name) = (%s, %s, %s, %s)", what
            ).fetchone()
            if known is not None:
                if known == (shape.parent, table.table.num_rows):
                    return
                raise DatabaseError(
                    f"{study}: {table.name} of snapshot {snapshot_id} lies in the database with {known[1]} rows and "
                    f"another structure or number of rows than {table.table.num_rows} now. A snapshot never changes: "
                    "delete it (`cairn snapshots STUDY prune`) and load it again"
                )
            target = _store(study, partition)
            connection.execute(
                sql.SQL(
                    "CREATE TABLE {} (LIKE {}, CONSTRAINT {} CHECK ({} = {})); ALTER TABLE {} ALTER {} SET DEFAULT {}"
                ).format(
                    target,
                    parent,
                    sql.Identifier("only_snapshot"),
                    sql.Identifier(KEY),
                    sql.Literal(snapshot_id),
                    target,
                    sql.Identifier(KEY),
                    sql.Literal(snapshot_id),
                )
            )
            self._copy(connection, target, table, shape)
            if table.table.num_rows > WORTH_AN_INDEX:
                connection.execute(sql.SQL("CREATE INDEX ON {} ({})").format(target, sql.Identifier(NUMBER)))
            connection.execute(
                sql.SQL("ALTER TABLE {} ATTACH PARTITION {} FOR VALUES IN ({})").format(
                    parent, target, sql.Literal(snapshot_id)
                )
            )
            facts = [
                label,
                table.table.num_rows,
                Jsonb(list(table.keys)),
                Jsonb(shape.columns),
                shape.parent,
                partition,
            ]
            connection.execute(
                "INSERT INTO ops.dataset "
                "(study, snapshot_id, kind, name, label, rows, keys, columns, parent, partition) "
                "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
                [*what, *facts],
            )

    def _copy(self, connection: Connection, target: sql.Composable, table: Table, shape: _Shape) -> None:
        """Fill a new table; it is not read by others, so its rows need no second visit by vacuum (FREEZE)."""
        columns = [NUMBER_COLUMN, *shape.columns]
        names = sql.SQL(", ").join(sql.Identifier(column["name"]) for column in columns)
        statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary, FREEZE)").format(target, names)
        types = [column["type"] for column in columns]
        numbers = pa.array(np.arange(1, table.table.num_rows + 1, dtype=np.int32))
        numbered = table.table.add_column(0, NUMBER, numbers)
        try:
            with connection.cursor() as cursor, cursor.copy(statement) as copy:
                copy.write(HEADER)
                for rows in encoded_rows(numbered, types):
                    copy.write(rows)
                copy.write(TRAILER)
        except psycopg.DataError as error:
            raise UnsuitableTableError(
                f"{table.name}: PostgreSQL does not take a value: {_first(error)}. Correct it where it is derived"
            ) from error
        except pa.ArrowException as error:
            raise UnsuitableTableError(f"{table.name}: {error}") from error

    @contextmanager
    def _publishing(self, connection: Connection, study: str) -> Iterator[None]:
        """Hold the study. Raises PublicationInProgressError naming who holds it."""
        number, until = _number(study), time.monotonic() + GRACE
        while not _true(connection, "SELECT pg_try_advisory_lock(%s, %s)", PUBLISHING, number):
            if time.monotonic() > until:
                raise PublicationInProgressError(
                    f"{study}: {_holder(connection, number)} is going on, and this one is refused. "
                    "Wait until it has ended and run again"
                )
            time.sleep(0.1)
        try:
            yield
        finally:
            # When the connection is closed, the server takes its time to notice.
            if not connection.closed:
                connection.execute("SELECT pg_advisory_unlock(%s, %s)", [PUBLISHING, number])

    def _patiently(
        self, connection: Connection, study: str, work: Callable[[], None], seconds: float | None = None
    ) -> None:
        """Do the work in one transaction, again and again while readers hold what it has to change."""
        until, pause = time.monotonic() + (PATIENCE if seconds is None else seconds), 0.02
        while True:
            try:
                with connection.transaction():
                    connection.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(LOCK_WAIT))
                    work()
            except (errors.LockNotAvailable, errors.DeadlockDetected) as error:
                if time.monotonic() > until:
                    raise DatabaseBusyError(
                        f"{study}: sessions hold tables that have to change: {_readers(connection, study)}. {STANDS}. "
                        "End their transactions and run again"
                    ) from error
            else:
                return
            time.sleep(pause)
            pause = min(pause * 1.5, 1.0)

    def _add_history(self, connection: Connection, study: str, ops: Mapping[str, pa.Table]) -> None:
        """Add what is new to the tables of ops."""
        unknown = sorted(set(ops) - set(OPS))
        if unknown:
            raise DatabaseError(f"there is no table ops.{unknown[0]}. Known: {', '.join(OPS)}")
        for name in OPS:
            if name in ops and ops[name].num_rows:
                _insert(connection, study, name, ops[name])

    def _check_publication(self, connection: Connection, study: str, number: int, snapshot_id: str) -> None:
        known = connection.execute(
            "SELECT snapshot_id FROM ops.publication WHERE study = %s AND number = %s", [study, number]
        ).fetchone()
        if known is not None and known[0] != snapshot_id:
            raise DatabaseError(
                f"{study}: publication {number} is snapshot {known[0]} in {self.server.name}, and {snapshot_id} in "
                f"this CAIRN_HOME: the database holds the history of another one. {STANDS}. Use a database of its "
                "own, or `cairn rebuild` if the raw store here is the true one"
            )
        loaded: dict[str, int] = {
            str(name).upper(): rows
            for name, rows in connection.execute(
                "SELECT name, rows FROM ops.dataset WHERE study = %s AND snapshot_id = %s", [study, snapshot_id]
            )
        }
        row = connection.execute(
            "SELECT datasets FROM ops.snapshot WHERE study = %s AND snapshot_id = %s", [study, snapshot_id]
        ).fetchone()
        wanted: Mapping[str, int] = row[0] if row is not None and isinstance(row[0], dict) else {}
        missing = sorted(name for name, rows in wanted.items() if loaded.get(name.upper()) != rows)
        if missing or not loaded:
            what = f"{', '.join(missing[:5])} ({len(missing)} in all)" if missing else "none of its datasets"
            raise DatabaseError(
                f"{study}: snapshot {snapshot_id} is not loaded whole: "
                f"{what} {'missing or with other rows' if missing else 'is there'}. {STANDS}. Load it and publish again"
            )

    def _change_views_singly(self, connection: Connection, study: str, snapshot_id: str) -> None:
        """Change one view after the other, each for itself; if one stays held, those changed are changed back."""
        try:
            self._each_view(connection, study, snapshot_id)
        except DatabaseBusyError:
            pointer = connection.execute("SELECT snapshot_id FROM ops.pointer WHERE study = %s", [study]).fetchone()
            if pointer is not None:
                self._each_view(connection, study, str(pointer[0]))
            raise

    def _each_view(self, connection: Connection, study: str, snapshot_id: str) -> None:
        for change in _view_changes(connection, study, snapshot_id):
            self._patiently(connection, study, partial(_change_view, connection, study, change))

    def _hide(self, connection: Connection, study: str, snapshot_id: str) -> None:
        """Take a snapshot away from readers. Raises KeptSnapshotError when it has to stay."""
        marker = _marker(study, snapshot_id)
        if _exists(connection, marker):
            # Whoever sees this snapshot holds its marker until the transaction ends, and so does whoever pins it.
            connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(marker))
        pointer = connection.execute("SELECT snapshot_id FROM ops.pointer WHERE study = %s", [study]).fetchone()
        if pointer is not None and pointer[0] == snapshot_id:
            raise KeptSnapshotError(
                f"{study}: snapshot {snapshot_id} is current and is not deleted. Publish another first"
            )
        pins = [
            str(row[0])
            for row in connection.execute(
                "SELECT pinned_by FROM ops.pin WHERE study = %s AND snapshot_id = %s ORDER BY 1", [study, snapshot_id]
            )
        ]
        if pins:
            raise KeptSnapshotError(
                f"{study}: snapshot {snapshot_id} is pinned by {', '.join(pins)} and is not deleted. "
                f"SELECT ops.unpin('{snapshot_id}') as that role takes the pin off"
            )
        act = connection.execute(
            "SELECT act, by_person FROM ops.decision WHERE study = %s AND act IN ('lock', 'unlock') "
            "AND target ->> 'snapshot_id' = %s ORDER BY number DESC LIMIT 1",
            [study, snapshot_id],
        ).fetchone()
        if act is not None and act[0] == "lock":
            raise KeptSnapshotError(
                f"{study}: snapshot {snapshot_id} is locked by {act[1]} and is not deleted. `cairn unlock` unlocks it"
            )
        connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(marker))

    def _drop_dataset(self, connection: Connection, study: str, what: tuple[str, str, str, str, str]) -> None:
        """Delete one dataset of a snapshot, and its structure and view where nothing else needs them."""
        snapshot_id, kind, name, parent, partition = what
        connection.execute(
            "DELETE FROM ops.dataset WHERE (study, snapshot_id, kind, name) = (%s, %s, %s, %s)",
            [study, snapshot_id, kind, name],
        )
        left = connection.execute(
            "SELECT FROM ops.dataset WHERE study = %s AND parent = %s LIMIT 1", [study, parent]
        ).fetchone()
        if left is not None:
            connection.execute(sql.SQL("DROP TABLE {}").format(_store(study, partition)))
            return
        pointer = connection.execute("SELECT snapshot_id FROM ops.pointer WHERE study = %s", [study]).fetchone()
        for change in _view_changes(connection, study, str(pointer[0]) if pointer is not None else ""):
            if change.key in {(kind, name.lower()), (RECORDS, name.lower())}:
                _change_view(connection, study, change)
        connection.execute(sql.SQL("DROP TABLE {}").format(_store(study, parent)))


def _external(address: str) -> _Server:
    """The server of CAIRN_POSTGRES_URL: its user installs and takes on the role it needs.

    Raises UsageError when it is not an address of a database.
    """
    parts = urlsplit(address)
    if parts.scheme not in {"postgresql", "postgres"} or not parts.hostname:
        raise UsageError(f"{ADDRESS} is not an address like postgresql://user:password@host:5432/{DATABASE}")
    host = f"{parts.hostname}:{parts.port or 5432}"
    return _Server(
        f"PostgreSQL at {host} ({ADDRESS})",
        f"Start it, or correct {ADDRESS}; without {ADDRESS} an embedded server is used",
        address,
        {role: _as_role(address, role) for role in ("reader", "writer", "owner")},
    )


def _as_role(address: str, role: str) -> str:
    """An address that takes a role on as it connects; readers get their isolation too, which belongs to logins."""
    parts = urlsplit(address)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    options = [query["options"]] if query.get("options") else []
    options.append(f"-c role={ROLES[role]}")
    if role == "reader":
        options.append("-c default_transaction_isolation=repeatable\\ read")
    return urlunsplit(parts._replace(query=urlencode({**query, "options": " ".join(options)}, quote_via=quote)))


def _scripts() -> tuple[list[tuple[str, bytes]], str]:
    """The files of sql/ in their order, and a hash of it all."""
    lines = (SQL / "order.txt").read_text(encoding="utf-8").splitlines()
    names = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    scripts = [(name, (SQL / name).read_bytes()) for name in names]
    digest = hashlib.sha256()
    for name, script in scripts:
        digest.update(f"{name}\0{hashlib.sha256(script).hexdigest()}\n".encode())
    return scripts, digest.hexdigest()


def _installed(connection: Connection) -> str | None:
    known = connection.execute("SELECT to_regclass('ops.installation')").fetchone()
    if known is None or known[0] is None:
        return None
    row = connection.execute("SELECT content FROM ops.installation").fetchone()
    return str(row[0]) if row is not None else None


def _first(error: BaseException) -> str:
    """The first line of a message; details may hold values."""
    lines = str(error).strip().splitlines()
    return lines[0].removesuffix(".") if lines else type(error).__name__


def _number(text: str) -> int:
    """A text as the second number of an advisory lock."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big", signed=True)


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _lock(connection: Connection, what: int, text: str) -> None:
    """Hold something until the transaction ends."""
    connection.execute("SELECT pg_advisory_xact_lock(%s, %s)", [what, _number(text)])


def _check_name(name: str, what: str) -> None:
    if len(name.encode()) > LONGEST:
        raise NameRefusedError(
            f"{what}: the name {name!r} has {len(name.encode())} bytes, and PostgreSQL takes {LONGEST}. Shorten it"
        )
    if not name or "\0" in name:
        raise NameRefusedError(f"{what}: {name!r} is no name. Name it")


def _check_snapshot(snapshot_id: str) -> None:
    if not SNAPSHOT.fullmatch(snapshot_id):
        raise NameRefusedError(
            f"snapshot {snapshot_id!r}: an id has at most 50 letters, digits, hyphens and underscores. Use another"
        )


def _store(study: str, name: str) -> sql.Identifier:
    return sql.Identifier(f"{study}_store", name)


def _marker(study: str, snapshot_id: str) -> sql.Identifier:
    return _store(study, f"snapshot_{snapshot_id}")


def _view(study: str, kind: str, name: str) -> sql.Identifier:
    return sql.Identifier(f"{study}_{kind}", name)


def _ops(name: str) -> sql.Identifier:
    return sql.Identifier("ops", name)


def _exists(connection: Connection, relation: sql.Identifier) -> bool:
    row = connection.execute("SELECT to_regclass(%s)", [relation.as_string(connection)]).fetchone()
    return row is not None and row[0] is not None


def _label_of(table: Table) -> str:
    return table.label.strip()


def _shape(table: Table) -> _Shape:
    """The structure of a dataset in the database.

    Raises NameRefusedError for a name that is too long or stands twice, UnsuitableTableError for a type there is not.
    """
    if table.kind not in KINDS:
        raise DatabaseError(f"{table.name}: no kind of dataset {table.kind!r}. One of: {', '.join(KINDS)}")
    view = table.name.lower()
    _check_name(view, f"dataset {table.name}")
    columns: Columns = []
    for field in table.table.schema:
        _check_name(field.name.lower(), f"{table.name}.{field.name}")
        label = (field.metadata or {}).get(b"label", b"").decode()
        name = field.name.lower()
        columns.append({"name": name, "original": field.name, "type": _type(table.name, field), "label": label})
    names = [column["name"] for column in columns]
    twice = sorted({name for name in names if names.count(name) > 1} | ({KEY, NUMBER} & set(names)))
    if twice:
        raise NameRefusedError(
            f"{table.name}: column {twice[0]!r} stands twice, upper and lower case being the same, or is Cairn's own. "
            "Rename it"
        )
    if not columns:
        raise UnsuitableTableError(f"{table.name} has no columns. Leave it out")
    return _Shape(table.kind, view, columns)


def _type(dataset: str, field: pa.Field) -> str:
    kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    if pa.types.is_list(kind):
        of = _type(dataset, kind.value_field)
        if of in {"text", "integer"}:
            return f"{of}[]"
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind):
        return "text"
    if pa.types.is_floating(kind):
        return "double precision"
    if pa.types.is_integer(kind):
        return "integer"
    if pa.types.is_date(kind):
        return "date"
    if pa.types.is_timestamp(kind) and kind.tz is None:
        return "timestamp(0)"
    raise UnsuitableTableError(
        f"{dataset}.{field.name}: {field.type} has no type in the database. Use text, a number, a date, a date and "
        "time without a zone, or a list of texts or integers"
    )


TYPES = {
    "text": sql.SQL("text"),
    "double precision": sql.SQL("double precision"),
    "integer": sql.SQL("integer"),
    "date": sql.SQL("date"),
    "timestamp(0)": sql.SQL("timestamp(0)"),
    "text[]": sql.SQL("text[]"),
    "integer[]": sql.SQL("integer[]"),
}


@dataclass(frozen=True)
class _ViewChange:
    """What becomes of a view: its columns and what is executed; `content` is None where it is removed."""

    key: tuple[str, str]
    columns: Columns
    statements: Sequence[sql.Composed]
    content: str | None


def _view_changes(connection: Connection, study: str, snapshot_id: str) -> list[_ViewChange]:
    """What makes the views fit the snapshot that becomes or stays current: its columns, over all parents."""
    # Tables of an earlier version of Cairn do not say the place of a record.
    numbered = {
        str(name)
        for (name,) in connection.execute(
            "SELECT c.relname FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid "
            "WHERE c.relnamespace = to_regnamespace(%s) AND a.attname = %s AND NOT a.attisdropped",
            [sql.Identifier(f"{study}_store").as_string(connection), NUMBER],
        )
    }
    parents: dict[tuple[str, str], dict[str, Columns]] = {}
    for kind, name, parent, columns in connection.execute(
        "SELECT DISTINCT ON (kind, lower(name), parent) kind, lower(name), parent, columns FROM ops.dataset "
        "WHERE study = %s ORDER BY kind, lower(name), parent, snapshot_id",
        [study],
    ):
        parents.setdefault((kind, name), {})[parent] = columns
        own_number = [NUMBER_COLUMN] if parent in numbered else []
        parents.setdefault((RECORDS, name), {})[parent] = [*own_number, *columns]
    present: dict[tuple[str, str], tuple[str, Columns, str]] = {}
    for kind, name, label, columns, parent in connection.execute(
        "SELECT kind, lower(name), label, columns, parent FROM ops.dataset WHERE study = %s AND snapshot_id = %s",
        [study, snapshot_id],
    ):
        present[kind, name] = (label, columns, parent)
        present[RECORDS, name] = (label, [NUMBER_COLUMN, *columns], parent)
    views: dict[tuple[str, str], tuple[Columns, str]] = {
        (kind, name): (columns, content)
        for kind, name, columns, content in connection.execute(
            "SELECT kind, name, columns, content FROM ops.data_view WHERE study = %s", [study]
        )
    }
    changes = [
        _ViewChange(key, [], [sql.SQL("DROP VIEW IF EXISTS {}").format(_view(study, *key))], None)
        for key in sorted(views.keys() - parents.keys())
    ]
    for key, own in sorted(parents.items()):
        earlier, content = views.get(key, ([], ""))
        if key in present:
            label, columns, first = present[key]
        else:
            # Not part of the current snapshot: the view stays for those who still see an earlier one.
            columns, label, first = earlier or next(iter(own.values())), ABSENT, ""
        view = _view(study, *key)
        query = _union(study, columns, [(one, own[one]) for one in sorted(own, key=lambda one: (one != first, one))])
        comments = _comments(view, label, columns)
        wanted = f"{_digest(connection, [query])} {_digest(connection, comments)}"
        stands = content.partition(" ")[0] == wanted.partition(" ")[0] and _exists(connection, view)
        if stands and content == wanted:
            continue
        statements = [] if stands else [_MAKE_VIEW.format(view, query)]
        # A view only takes further columns at its end; anything else makes it anew.
        if not stands and _structure(columns)[: len(earlier)] != _structure(earlier):
            statements.insert(0, sql.SQL("DROP VIEW IF EXISTS {}").format(view))
        changes.append(_ViewChange(key, columns, [*statements, *comments], wanted))
    return changes


_MAKE_VIEW = sql.SQL("CREATE OR REPLACE VIEW {} WITH (security_invoker = true) AS {}")


def _digest(connection: Connection, statements: Sequence[sql.Composable]) -> str:
    return hashlib.sha256("; ".join(one.as_string(connection) for one in statements).encode()).hexdigest()


def _change_view(connection: Connection, study: str, change: _ViewChange) -> None:
    connection.execute(sql.SQL("; ").join(change.statements))
    if change.content is None:
        connection.execute("DELETE FROM ops.data_view WHERE (study, kind, name) = (%s, %s, %s)", [study, *change.key])
        return
    connection.execute(
        "INSERT INTO ops.data_view (study, kind, name, columns, content) VALUES (%s, %s, %s, %s, %s) "
        "ON CONFLICT (study, kind, name) DO UPDATE SET columns = EXCLUDED.columns, content = EXCLUDED.content",
        [study, *change.key, Jsonb(change.columns), change.content],
    )


def _definitions(columns: Columns) -> sql.Composable:
    parts: list[sql.Composable] = [
        sql.SQL("{} {}").format(sql.Identifier(column["name"]), TYPES[column["type"]]) for column in columns
    ]
    parts.append(sql.SQL("{} text NOT NULL").format(sql.Identifier(KEY)))
    return sql.SQL(", ").join(parts)


def _structure(columns: Columns) -> list[tuple[str, str]]:
    return [(column["name"], column["type"]) for column in columns]


def _union(study: str, columns: Columns, parents: Sequence[tuple[str, Columns]]) -> sql.Composed:
    """What a view selects: from every parent the columns of now, of the snapshot that the session sees."""
    parts = []
    for parent, own in parents:
        types = dict(_structure(own))
        values = [_value(column, types.get(column["name"])) for column in columns]
        parts.append(
            sql.SQL("SELECT {} FROM {} WHERE {} = (SELECT ops.shown({}))").format(
                sql.SQL(", ").join(values), _store(study, parent), sql.Identifier(KEY), sql.Literal(study)
            )
        )
    return sql.SQL(" UNION ALL ").join(parts)


def _value(column: Mapping[str, str], held: str | None) -> sql.Composable:
    """A column of now from a parent that holds it as another type, or not at all; null where it has no value of it."""
    name, wanted = sql.Identifier(column["name"]), column["type"]
    if held == wanted:
        return name
    kind = TYPES[wanted]
    if held is None:
        value: sql.Composable = sql.SQL("NULL::{}").format(kind)
    elif wanted == "text" or (held, wanted) in {("integer", "double precision"), ("date", "timestamp(0)")}:
        value = sql.SQL("{}::{}").format(name, kind)
    else:
        value = sql.SQL("CASE WHEN pg_input_is_valid({}::text, {}) THEN {}::text::{} END").format(
            name, sql.Literal(wanted), name, kind
        )
    return sql.SQL("{} AS {}").format(value, name)


def _comments(view: sql.Identifier, label: str, columns: Columns) -> list[sql.Composed]:
    result = [sql.SQL("COMMENT ON VIEW {} IS {}").format(view, sql.Literal(label))]
    for column in columns:
        result.append(
            sql.SQL("COMMENT ON COLUMN {}.{} IS {}").format(
                view, sql.Identifier(column["name"]), sql.Literal(column["label"] or None)
            )
        )
    return result


def _insert(connection: Connection, study: str, name: str, table: pa.Table) -> None:
    """Rows into a table of ops that are not there yet."""
    payload = table.drop_columns(["study"]) if "study" in table.column_names else table
    known = {
        str(row[0])
        for row in connection.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped",
            [f"ops.{name}"],
        )
    }
    unknown = [one for one in payload.column_names if one not in known]
    if unknown:
        raise DatabaseError(f"ops.{name} has no column {unknown[0]!r}. Known: {', '.join(sorted(known))}")
    structured = {
        str(row[0])
        for row in connection.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(%s) AND atttypid = 'jsonb'::regtype",
            [f"ops.{name}"],
        )
    }
    names = sql.SQL(", ").join(sql.Identifier(one) for one in payload.column_names)
    statement = sql.SQL(
        "INSERT INTO {table} (study, {names}) SELECT %s, {names} FROM jsonb_populate_recordset(NULL::{table}, %s) "
        "ON CONFLICT DO NOTHING"
    ).format(table=_ops(name), names=names)
    for start in range(0, payload.num_rows, ROWS_PER_STATEMENT):
        rows = payload.slice(start, ROWS_PER_STATEMENT).to_pylist()
        for row in rows:
            for column in structured & row.keys():
                if isinstance(row[column], str):
                    row[column] = json.loads(row[column])
        connection.execute(statement, [study, Jsonb(rows, dumps=_dumped)])


def _dumped(rows: object) -> str:
    return json.dumps(rows, ensure_ascii=False, default=_plain)


def _plain(value: object) -> str:
    if isinstance(value, date | datetime):
        return value.isoformat()
    raise TypeError(f"a row of ops holds a {type(value).__name__}")


def _true(connection: Connection, query: LiteralString, *values: object) -> bool:
    row = connection.execute(query, values).fetchone()
    return row is not None and bool(row[0])


def _holder(connection: Connection, number: int) -> str:
    """Who holds the study of this number, for a message."""
    row = connection.execute(
        "SELECT a.application_name, a.pid FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid) "
        "WHERE l.locktype = 'advisory' AND l.granted AND l.classid = %s AND l.objid = %s::bigint "
        "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        [PUBLISHING, number % (1 << 32)],
    ).fetchone()
    return f"{str(row[0]).removeprefix('cairn ')} (server process {row[1]})" if row is not None else "another process"


def _readers(connection: Connection, study: str) -> str:
    """Who holds tables or views of a study, for a message."""
    schemas = [f"{study}_{part}" for part in ("store", *KINDS)]
    rows = connection.execute(
        "SELECT DISTINCT a.pid, a.usename, a.application_name FROM pg_locks AS l "
        "JOIN pg_stat_activity AS a USING (pid) JOIN pg_class AS c ON c.oid = l.relation "
        "JOIN pg_namespace AS n ON n.oid = c.relnamespace "
        "WHERE l.granted AND a.pid <> pg_backend_pid() AND n.nspname = ANY (%s) ORDER BY 1 LIMIT 5",
        [schemas],
    ).fetchall()
    said = [f"server process {pid} ({' '.join(filter(None, (user, name)))})" for pid, user, name in rows]
    return ", ".join(said) or "they have ended just now"


ARROW = {
    "text": pa.string(),
    "double precision": pa.float64(),
    "integer": pa.int64(),
    "date": pa.date32(),
    "timestamp(0)": pa.timestamp("s"),
    "text[]": pa.list_(pa.string()),
    "integer[]": pa.list_(pa.int32()),
}


def _read(connection: Connection, relation: sql.Identifier, columns: Columns, label: str) -> pa.Table:
    """A relation as an Arrow table, by COPY; text is quoted, so that an empty text is not a missing one."""
    schema = pa.schema(
        [
            pa.field(one["original"], ARROW[one["type"]], metadata={"label": one["label"]} if one["label"] else None)
            for one in columns
        ],
        metadata={"label": label} if label else None,
    )
    # Lists are read as JSON, whose quoting is plain.
    names = sql.SQL(", ").join(
        sql.SQL("array_to_json({})" if one["type"].endswith("[]") else "{}").format(sql.Identifier(one["name"]))
        for one in columns
    )
    content = BytesIO()
    with (
        connection.cursor() as cursor,
        cursor.copy(
            sql.SQL("COPY (SELECT {} FROM {}) TO STDOUT (FORMAT csv, FORCE_QUOTE *, ENCODING 'UTF8')").format(
                names, relation
            )
        ) as copy,
    ):
        for block in copy:
            content.write(block)
    if not content.tell():
        return schema.empty_table()
    lists = {field.name: field.type for field in schema if pa.types.is_list(field.type)}
    size = content.tell()
    content.seek(0)
    table = csv.read_csv(
        content,
        read_options=csv.ReadOptions(column_names=schema.names, block_size=max(1 << 20, min(size + 1, 1 << 30))),
        parse_options=csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
        convert_options=csv.ConvertOptions(
            column_types={field.name: pa.string() if field.name in lists else field.type for field in schema},
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
    for name, kind in lists.items():
        values = [None if value is None else json.loads(value) for value in table[name].to_pylist()]
        table = table.set_column(table.schema.get_field_index(name), name, pa.array(values, kind))
    return table.cast(schema)
