"""What readers of the database see while snapshots are loaded, published and deleted."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Iterator
from datetime import date, datetime
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.errors import CairnError
from transforms.warehouse.postgres import (
    Database,
    DatabaseBusyError,
    DatabaseDownError,
    DatabaseError,
    DatabaseFullError,
    KeptSnapshotError,
    NameRefusedError,
    PublicationInProgressError,
    Table,
    UnsuitableTableError,
    connect_url,
)
from transforms.warehouse.postgres_server import PostgresServer

SPAWN = multiprocessing.get_context("spawn")
READERS = 4
PUBLICATIONS = 200


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    os.environ.pop("CAIRN_POSTGRES_URL", None)
    with Database.open(tmp_path_factory.mktemp("home")) as database:
        yield database


def labelled(columns: dict[str, pa.Array], labels: dict[str, str] | None = None) -> pa.Table:
    fields = [
        pa.field(name, values.type, metadata={"label": (labels or {}).get(name, f"Label of {name}")})
        for name, values in columns.items()
    ]
    return pa.Table.from_arrays(list(columns.values()), schema=pa.schema(fields))


def rows_of(snapshot_id: str, count: int, **further: pa.Array) -> pa.Table:
    """A table that says in every row which snapshot it is of and how many rows that has."""
    return labelled({"TAG": pa.array([snapshot_id] * count), "N": pa.array([count] * count, pa.int32()), **further})


def publication(number: int, snapshot_id: str, **datasets: int) -> dict[str, pa.Table]:
    return {
        "publication": pa.table({"number": [number], "snapshot_id": [snapshot_id], "cut_off": ["2024-06-30"]}),
        "snapshot": pa.table({"snapshot_id": [snapshot_id], "datasets": [str(datasets).replace("'", '"')]}),
    }


def put(database: Database, study: str, number: int, snapshot_id: str, *tables: Table) -> None:
    database.load(study, snapshot_id, tables)
    sizes = {one.name: one.table.num_rows for one in tables}
    database.publish(study, number, snapshot_id, publication(number, snapshot_id, **sizes))


def reader(database: Database) -> psycopg.Connection[Any]:
    return psycopg.connect(database.server.urls["reader"], prepare_threshold=None)


def look(connection: psycopg.Connection[Any], study: str, tables: tuple[str, ...], pause: float = 0.0) -> set[str]:
    """What is wrong with one look at some tables in one transaction; nothing, where all are of one snapshot."""
    wrong: set[str] = set()
    tags: set[str] = set()
    with connection.transaction():
        for table in tables:
            row = connection.execute(
                f"SELECT count(*), min(n), max(n), min(tag), max(tag), ops.shown('{study}') FROM {study}_{table}"
            ).fetchone()
            assert row is not None
            count, least, most, first, last, shown = row
            if not (count == least == most):
                wrong.add(f"{table} has {count} rows of {least} to {most}")
            if not (first == last == shown):
                wrong.add(f"{table} holds {first} to {last} while {shown} is shown")
            tags |= {first, last}
            time.sleep(pause)
    if len(tags) != 1:
        wrong.add(f"one transaction saw {sorted(str(tag) for tag in tags)}")
    return wrong


def keep_looking(number: int, url: str, ended: Event, results: Queue[tuple[int, set[str], str]]) -> None:
    tables = ("sdtm.dm", "sdtm.lb") if number % 2 else ("sdtm.lb", "adam.adlb", "sdtm.dm")
    seen, wrong, failure = 0, set(), ""
    try:
        with psycopg.connect(url, prepare_threshold=None) as connection:
            while not ended.is_set():
                wrong |= look(connection, "loop", tables, pause=0.004 if number < 2 else 0.0)
                seen += 1
    except Exception as error:
        failure = f"{type(error).__name__}: {error}"
    results.put((seen, wrong, failure))


def structure(number: int, snapshot_id: str) -> list[Table]:
    """The datasets of the n-th structure: columns come, go and change their type; a dataset comes and goes."""
    count = 20 + number
    lb = [
        {"LBSTRESN": pa.array([1.5] * count)},
        {"LBSTRESN": pa.array([1.5] * count), "LBNEW": pa.array(["x"] * count)},
        {"LBNEW": pa.array(["x"] * count)},
        {"LBSTRESN": pa.array(["1.5"] * count), "LBNEW": pa.array([None] * count, pa.date32())},
    ][number % 4]
    tables = [
        Table("sdtm", "DM", "Demographics", rows_of(snapshot_id, 3 + number)),
        Table("sdtm", "LB", "Laboratory", rows_of(snapshot_id, count, **lb)),
        Table("adam", "ADLB", "Laboratory analysis", rows_of(snapshot_id, 2 * count)),
    ]
    if number % 2:
        tables.append(Table("sdtm", "AE", "Adverse events", rows_of(snapshot_id, 2)))
    return tables


def test_readers_never_see_half_while_two_hundred_publications_pass(database: Database) -> None:
    put(database, "loop", 0, "start", *structure(0, "start"))
    for name, size in (("even", 5), ("odd", 9)):
        database.load(
            "loop", name, [Table(one.kind, one.name, one.label, rows_of(name, size)) for one in structure(0, name)]
        )
    ended, results = SPAWN.Event(), SPAWN.Queue()
    readers = [
        SPAWN.Process(target=keep_looking, args=(number, database.server.urls["reader"], ended, results))
        for number in range(READERS)
    ]
    for process in readers:
        process.start()
    try:
        earlier: list[str] = []
        for number in range(1, PUBLICATIONS + 1):
            snapshot_id = "even" if number % 2 else "odd"
            if number % 10 == 0:
                snapshot_id = f"changed-{number // 10}"
                database.load("loop", snapshot_id, structure(number // 10, snapshot_id))
                earlier.append(snapshot_id)
            database.publish("loop", number, snapshot_id, publication(number, snapshot_id))
            if number % 10 == 5 and len(earlier) > 2:
                database.drop_snapshot("loop", earlier.pop(0))
            time.sleep(0.01)
    finally:
        ended.set()
        answers = [results.get(timeout=60) for _ in readers]
        for process in readers:
            process.join(timeout=60)
    assert [failure for _, _, failure in answers if failure] == []
    assert set().union(*(wrong for _, wrong, _ in answers)) == set()
    assert min(seen for seen, _, _ in answers) >= 50
    assert sum(seen for seen, _, _ in answers) >= 2 * PUBLICATIONS


def test_the_look_finds_a_mix_where_every_statement_sees_its_own_publication(database: Database) -> None:
    for number, name in enumerate(("first", "second")):
        database.load("mixed", name, structure(number, name))
    database.publish("mixed", 0, "first", publication(0, "first"))
    for level, expected in (("repeatable read", 0), ("read committed", 1)):
        with reader(database) as connection:
            connection.execute(f"SET default_transaction_isolation = '{level}'")
            connection.commit()
            database.publish("mixed", 2 * expected + 1, "first", publication(2 * expected + 1, "first"))
            with connection.transaction():
                tags = [connection.execute("SELECT min(tag) FROM mixed_sdtm.dm").fetchone()]
                # Only ADLB changes: DM is held by this transaction.
                database.publish("mixed", 2 * expected + 2, "second", publication(2 * expected + 2, "second"))
                tags.append(connection.execute("SELECT min(tag) FROM mixed_adam.adlb").fetchone())
        assert len(set(tags)) == 1 + expected


def test_a_transaction_sees_its_snapshot_through_a_view_that_was_made_anew(database: Database) -> None:
    put(database, "anew", 0, "before", *structure(0, "before"))
    with reader(database) as connection, connection.transaction():
        assert connection.execute("SELECT count(*) FROM anew_sdtm.dm").fetchone() == (3,)
        # LB gets other columns and types, AE comes, and DM, which is held, stays as it is.
        put(database, "anew", 1, "after", *structure(3, "after"))
        row = connection.execute("SELECT count(*), min(tag), min(lbstresn), count(lbnew) FROM anew_sdtm.lb").fetchone()
        assert row == (20, "before", "1.5", 0)
        assert connection.execute("SELECT count(*) FROM anew_sdtm.ae").fetchone() == (0,)
    assert database.read("anew", "sdtm", "LB").num_rows == 23
    put(database, "anew", 2, "third", *structure(4, "third"))
    with reader(database) as connection:
        assert connection.execute("SELECT count(*) FROM anew_sdtm.ae").fetchone() == (0,)
        assert connection.execute("SELECT obj_description('anew_sdtm.ae'::regclass)").fetchone() == (
            "Not part of the current snapshot",
        )


def test_a_value_that_has_no_meaning_in_the_new_type_is_null_and_not_an_error(database: Database) -> None:
    texts = labelled({"V": pa.array(["1.5", "many", None])})
    put(database, "retyped", 0, "text", Table("sdtm", "LB", "", texts))
    put(database, "retyped", 1, "number", Table("sdtm", "LB", "", labelled({"V": pa.array([2.0])})))
    with reader(database) as connection:
        connection.execute("SELECT ops.pin('text')")
        assert connection.execute("SELECT v FROM retyped_sdtm.lb").fetchall() == [(1.5,), (None,), (None,)]


NASTY = labelled(
    {
        "TEXT": pa.array(
            ["", None, "受试者：张", 'say "hi", all', "tab\tand\nline\r\n", "\\N", "\\.", "NULL", " x ", "\u200b"]
        ),
        "CODED": pa.array(["a", None, "", "b", "a", "a", None, "b", "乙", "a"]).dictionary_encode(),
        "NUMBER": pa.array([0.1, None, float("nan"), float("inf"), -0.0, 1e308, 5e-324, -1.0, 1 / 3, float("-inf")]),
        "WHOLE": pa.array([0, None, -1, 2**31 - 1, -(2**31), 1, 2, 3, 4, 5], pa.int64()),
        "DAY": pa.array([date(1970, 1, 1), None, date(1900, 2, 28), date(9999, 12, 31), date(1, 1, 1)] * 2),
        "MOMENT": pa.array([datetime(2024, 2, 29, 23, 59, 59), None, datetime(1899, 1, 1, 0, 0, 1)] * 3 + [None]),
        "NOTHING": pa.nulls(10),
    }
)


def same(one: pa.Table, other: pa.Table) -> None:
    assert one.column_names == other.column_names
    assert one.num_rows == other.num_rows
    for name in one.column_names:
        left, right = one[name].cast(other[name].type), other[name]
        # repr tells NaN from null and 0.0 from -0.0.
        assert [repr(value) for value in left.to_pylist()] == [repr(value) for value in right.to_pylist()], name


def test_every_cell_comes_back_as_it_was_loaded(database: Database) -> None:
    tables = [
        Table("sdtm", "NASTY", "Every kind of value", NASTY, ("TEXT",)),
        Table("sdtm", "CHUNKS", "Two chunks", pa.concat_tables([NASTY, NASTY.slice(3, 4)])),
        Table("results", "EMPTY", "No rows", NASTY.slice(0, 0)),
    ]
    put(database, "cells", 0, "snap", *tables)
    for one in tables:
        for snapshot_id in (None, "snap"):
            seen = database.read("cells", one.kind, one.name, snapshot_id)
            same(one.table, seen)
            assert [field.metadata for field in seen.schema] == [field.metadata for field in one.table.schema]


def test_lists_come_back_as_they_were_loaded(database: Database) -> None:
    texts = [["a", None, ""], [], None, ['"', "\\", "{,}", "NULL", "é\n"]]
    table = labelled(
        {
            "T": pa.array(texts, pa.list_(pa.string())),
            "N": pa.array([[1, -(2**31)], None, [], [None, 2**31 - 1]], pa.list_(pa.int32())),
            "D": pa.array(["x", "y", "x", None]).dictionary_encode(),
        }
    )
    put(database, "lists", 0, "snap", Table("results", "L", "Lists", pa.concat_tables([table, table.slice(1, 2)])))
    assert database.read("lists", "results", "L").to_pylist() == [*table.to_pylist(), *table.slice(1, 2).to_pylist()]
    with reader(database) as connection:
        rows = connection.execute("SELECT record_number, t, n FROM lists_records.l ORDER BY 1 LIMIT 4").fetchall()
    assert rows == [
        (number, *(table[name][number - 1].as_py() for name in ("T", "N"))) for number in range(1, table.num_rows + 1)
    ]


def test_a_column_named_as_the_place_of_a_record_is_refused(database: Database) -> None:
    table = labelled({"RECORD_NUMBER": pa.array([1])})
    with pytest.raises(NameRefusedError, match="record_number"):
        database.load("refused", "snap", [Table("sdtm", "DM", "", table)])


def test_a_snapshot_of_an_earlier_structure_shows_no_places(database: Database) -> None:
    """Its tables have no record_number: null there, and the columns of the dataset as ever."""
    put(database, "earlier", 0, "old", Table("sdtm", "DM", "", rows_of("old", 2)))
    with psycopg.connect(database.server.urls["writer"]) as writer:
        name = writer.execute("SELECT parent FROM ops.dataset WHERE study = 'earlier'").fetchone()
        assert name is not None
        writer.execute("DROP VIEW earlier_sdtm.dm, earlier_records.dm")
        writer.execute(f"ALTER TABLE earlier_store.{name[0]} DROP COLUMN record_number")
        writer.execute(f"ALTER TABLE earlier_store.{name[0]} RENAME TO dm_earlier")
        writer.execute(f"ALTER TABLE earlier_store.{name[0]}_none RENAME TO dm_earlier_none")
        writer.execute("DELETE FROM ops.data_view WHERE study = 'earlier'")
    with psycopg.connect(database.server.urls["owner"]) as owner:
        owner.execute("UPDATE ops.dataset SET parent = 'dm_earlier' WHERE study = 'earlier'")
    put(database, "earlier", 1, "new", Table("sdtm", "DM", "", rows_of("new", 3)))
    with reader(database) as connection:
        query = "SELECT record_number, tag FROM earlier_records.dm ORDER BY 1"
        assert connection.execute(query).fetchall() == [(1, "new"), (2, "new"), (3, "new")]
        connection.execute("SELECT ops.pin('old')")
        assert connection.execute(query).fetchall() == [(None, "old")] * 2


TEXTS = st.lists(st.none() | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), max_size=8)
NUMBERS = st.lists(st.none() | st.floats(), min_size=8, max_size=8)


@settings(max_examples=25)
@given(texts=TEXTS, numbers=NUMBERS)
def test_any_text_and_any_number_come_back(
    database: Database, texts: list[str | None], numbers: list[float | None]
) -> None:
    table = labelled({"T": pa.array(texts, pa.string()), "X": pa.array(numbers[: len(texts)], pa.float64())})
    snapshot_id = f"s{time.monotonic_ns()}"
    database.load("anything", snapshot_id, [Table("sdtm", "ANY", "", table)])
    same(table, database.read("anything", "sdtm", "ANY", snapshot_id))


def test_views_have_types_labels_and_the_rights_of_who_asks(database: Database) -> None:
    put(database, "typed", 0, "snap", Table("sdtm", "NASTY", "Every kind of value", NASTY))
    with reader(database) as connection:
        rows, plain = (
            connection.execute(
                "SELECT attname, format_type(atttypid, atttypmod), col_description(attrelid, attnum) FROM pg_attribute "
                "WHERE attrelid = %s::regclass AND attnum > 0 ORDER BY attnum",
                [view],
            ).fetchall()
            for view in ("typed_records.nasty", "typed_sdtm.nasty")
        )
        view = connection.execute(
            "SELECT obj_description(oid), reloptions, relowner::regrole::text FROM pg_class "
            "WHERE oid = 'typed_sdtm.nasty'::regclass"
        ).fetchone()
    types = ["text", "text", "double precision", "integer", "date", "timestamp(0) without time zone", "text"]
    own = [(name.lower(), kind, f"Label of {name}") for name, kind in zip(NASTY.column_names, types, strict=True)]
    assert rows == [("record_number", "integer", "Place in the dataset, from 1"), *own]
    assert plain == own
    assert view == ("Every kind of value", ["security_invoker=true"], "cairn_writer")


def test_a_label_that_changes_is_shown_without_a_new_structure(database: Database) -> None:
    for number, label in enumerate(("Old", "New")):
        table = labelled({"A": pa.array(["x"])}, {"A": label})
        put(database, "relabelled", number, f"s{number}", Table("sdtm", "DM", label, table))
    with reader(database) as connection:
        row = connection.execute(
            "SELECT obj_description('relabelled_sdtm.dm'::regclass), col_description('relabelled_sdtm.dm'::regclass, 1)"
        ).fetchone()
    assert row == ("New", "New")
    with psycopg.connect(database.server.urls["owner"]) as owner:
        assert owner.execute(
            "SELECT count(DISTINCT parent) FROM ops.dataset WHERE study = 'relabelled'"
        ).fetchone() == (1,)


def test_loading_is_not_seen_and_loading_again_changes_nothing(database: Database) -> None:
    table = Table("sdtm", "DM", "Demographics", rows_of("one", 4))
    put(database, "again", 0, "one", table)
    database.load("again", "two", [Table("sdtm", "DM", "Demographics", rows_of("two", 7))])
    assert database.current("again") == "one"
    assert database.read("again", "sdtm", "DM").num_rows == 4
    assert database.loaded("again") == {"one", "two"}
    put(database, "again", 0, "one", table)
    assert database.read("again", "sdtm", "DM", "one").num_rows == 4
    with pytest.raises(DatabaseError, match="A snapshot never changes"):
        database.load("again", "one", [Table("sdtm", "DM", "Demographics", rows_of("one", 5))])


def test_what_is_not_loaded_whole_is_not_published(database: Database) -> None:
    put(database, "whole", 0, "one", Table("sdtm", "DM", "", rows_of("one", 4)))
    database.load("whole", "two", [Table("sdtm", "DM", "", rows_of("two", 4))])
    with pytest.raises(DatabaseError, match=r"two is not loaded whole: LB \(1 in all\).*earlier publication stands"):
        database.publish("whole", 1, "two", publication(1, "two", DM=4, LB=7))
    with pytest.raises(DatabaseError, match="DM"):
        database.publish("whole", 1, "two", publication(1, "two", DM=5))
    with pytest.raises(DatabaseError, match="none of its datasets"):
        database.publish("whole", 1, "three", publication(1, "three"))
    assert database.current("whole") == "one"
    with reader(database) as connection:
        assert connection.execute("SELECT number FROM ops.publication WHERE study = 'whole'").fetchall() == [(0,)]


def test_an_older_publication_and_another_history_are_refused(database: Database) -> None:
    for number, name in enumerate(("a", "b")):
        put(database, "older", number, name, Table("sdtm", "DM", "", rows_of(name, 2)))
    with pytest.raises(DatabaseError, match=r"publication 0 .* is older"):
        database.publish("older", 0, "a", publication(0, "a"))
    with pytest.raises(DatabaseError, match="history of another one"):
        database.publish("older", 1, "a", publication(1, "a"))
    assert database.current("older") == "b"


def test_a_pin_holds_for_the_session_and_keeps_the_snapshot(database: Database) -> None:
    for number, name in enumerate(("p0", "p1", "p2")):
        put(database, "pinned", number, name, Table("sdtm", "DM", "", rows_of(name, number + 2)))
    database.load("pinned", "hidden", [Table("sdtm", "DM", "", rows_of("hidden", 9))])
    count = "SELECT count(*) FROM pinned_sdtm.dm"
    with reader(database) as connection:
        connection.autocommit = True
        assert connection.execute(count).fetchone() == (4,)
        assert connection.execute("SELECT ops.pin('p0')").fetchone() == ("pinned",)
        assert connection.execute(count).fetchone() == (2,)
        put(database, "pinned", 3, "p3", Table("sdtm", "DM", "", rows_of("p3", 8)))
        assert connection.execute(count).fetchone() == (2,)
        assert database.pins("pinned") == ["p0"]
        with pytest.raises(KeptSnapshotError, match="pinned by cairn_reader"):
            database.drop_snapshot("pinned", "p0")
        with pytest.raises(KeptSnapshotError, match="is current"):
            database.drop_snapshot("pinned", "p3")
        with pytest.raises(psycopg.errors.RaiseException, match="never published"):
            connection.execute("SELECT ops.pin('hidden')")
        connection.execute("SELECT set_config('cairn.pin_' || md5('pinned'), 'hidden', false)")
        with pytest.raises(psycopg.errors.RaiseException, match="never published"):
            connection.execute(count)
        connection.execute("SELECT ops.unpin()")
        assert connection.execute(count).fetchone() == (8,)
        connection.execute("SELECT ops.pin('p1')")
    with reader(database) as connection:
        assert connection.execute(count).fetchone() == (8,)
        connection.execute("SELECT ops.unpin('p0')")
    assert database.pins("pinned") == ["p1"]
    database.drop_snapshot("pinned", "p0")
    with reader(database) as connection:
        connection.execute("SELECT ops.unpin('p1')")
    database.drop_snapshot("pinned", "p1")
    database.drop_snapshot("pinned", "p1")
    assert database.loaded("pinned") == {"p2", "p3", "hidden"}
    with reader(database) as connection, pytest.raises(psycopg.errors.RaiseException, match="p0 of pinned was deleted"):
        connection.execute("SELECT ops.pin('p0')")
    assert database.pins("pinned") == []


def test_a_locked_snapshot_is_kept_until_it_is_unlocked(database: Database) -> None:
    for number, name in enumerate(("l0", "l1")):
        put(database, "locked", number, name, Table("sdtm", "DM", "", rows_of(name, 2)))

    def decide(number: int, act: str) -> None:
        row = {
            "number": [number],
            "act": [act],
            "target": ['{"snapshot_id": "l0"}'],
            "by_person": ["Li"],
            "reason": ["r"],
            "recorded_by": ["li"],
            "recorded_at": [f"2024-01-0{number + 1}T08:00:00+00:00"],
        }
        database.publish("locked", 1, "l1", {"decision": pa.table(row)})

    decide(0, "lock")
    with pytest.raises(KeptSnapshotError, match="locked by Li"):
        database.drop_snapshot("locked", "l0")
    decide(1, "unlock")
    database.drop_snapshot("locked", "l0")


def test_deleting_takes_structures_and_views_that_nothing_needs(database: Database) -> None:
    put(database, "pruned", 0, "old", *structure(1, "old"))
    put(database, "pruned", 1, "new", *structure(2, "new"))
    database.drop_snapshot("pruned", "old")
    with psycopg.connect(database.server.urls["writer"]) as writer:
        names = [
            row[0]
            for row in writer.execute(
                "SELECT relname FROM pg_class WHERE relnamespace = 'pruned_store'::regnamespace AND relkind = 'p'"
            )
        ]
        assert len(names) == 3
        assert writer.execute("SELECT to_regclass('pruned_sdtm.ae')").fetchone() == (None,)
        assert writer.execute("SELECT to_regclass('pruned_store.snapshot_old')").fetchone() == (None,)
    assert database.read("pruned", "sdtm", "LB").num_rows == 22


def test_a_reader_who_sees_a_snapshot_keeps_it_and_one_who_comes_too_late_is_told(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, name in enumerate(("h0", "h1")):
        put(database, "held", number, name, *structure(number, name))
    monkeypatch.setattr("transforms.warehouse.postgres.PATIENCE", 0.5)
    with reader(database) as connection:
        with connection.transaction():
            assert connection.execute("SELECT count(*) FROM held_sdtm.dm").fetchone() == (4,)
            put(database, "held", 2, "h2", Table("sdtm", "DM", "", rows_of("h2", 2)))
            with pytest.raises(DatabaseBusyError, match=r"server process \d+ \(cairn_reader\).*earlier publication"):
                database.drop_snapshot("held", "h1")
            # LB was not read yet: it is there all the same.
            assert connection.execute("SELECT count(*) FROM held_sdtm.lb").fetchone() == (21,)
        with connection.transaction():
            connection.execute("SELECT 1 FROM ops.pointer")
            put(database, "held", 3, "h3", Table("sdtm", "DM", "", rows_of("h3", 2)))
            database.drop_snapshot("held", "h2")
            with pytest.raises(psycopg.errors.RaiseException, match="h2 of held was deleted"):
                connection.execute("SELECT count(*) FROM held_sdtm.dm")
            connection.execute("ROLLBACK")


def test_a_held_view_delays_a_change_of_structure_and_the_earlier_publication_stands(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(database, "busy", 0, "b0", *structure(0, "b0"))
    database.load("busy", "b1", structure(2, "b1"))
    monkeypatch.setattr("transforms.warehouse.postgres.PATIENCE", 0.5)
    with reader(database) as connection, connection.transaction():
        connection.execute("SELECT count(*) FROM busy_sdtm.lb")
        with pytest.raises(DatabaseBusyError, match="cairn_reader"):
            database.publish("busy", 1, "b1", publication(1, "b1"))
    assert database.current("busy") == "b0"
    database.publish("busy", 1, "b1", publication(1, "b1"))
    assert database.current("busy") == "b1"


def publish_slowly(home: str, results: Queue[str]) -> None:
    with Database.open(Path(home)) as database:
        results.put("opened")
        try:
            database.publish("race", 1, "r1", publication(1, "r1"))
            results.put("published")
        except CairnError as error:
            results.put(f"{type(error).__name__}: {error}")


def test_a_second_publication_is_refused_with_the_id_of_the_first(database: Database) -> None:
    put(database, "race", 0, "r0", *structure(0, "r0"))
    database.load("race", "r1", structure(2, "r1"))
    assert database.embedded is not None
    results: Queue[str] = SPAWN.Queue()
    first = SPAWN.Process(target=publish_slowly, args=(str(database.embedded.folder.parent), results))
    with reader(database) as connection:
        connection.execute("SELECT count(*) FROM race_sdtm.lb")
        first.start()
        assert results.get(timeout=30) == "opened"
        for _ in range(200):
            with reader(database) as other:
                if other.execute("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2").fetchone():
                    break
            time.sleep(0.02)
        with pytest.raises(
            PublicationInProgressError, match=r"race: publication 1 r1 \(server process \d+\) is going on"
        ):
            database.publish("race", 1, "r1", publication(1, "r1"))
        connection.commit()
    assert results.get(timeout=30) == "published"
    first.join(timeout=30)
    database.publish("race", 1, "r1", publication(1, "r1"))
    assert database.current("race") == "r1"


LONG = "n" * 64


@pytest.mark.parametrize(
    ("study", "table", "message"),
    [
        ("s" * 56, Table("sdtm", "DM", "", rows_of("x", 1)), "64 bytes, and PostgreSQL takes 63"),
        ("named", Table("sdtm", LONG, "", rows_of("x", 1)), f"dataset {LONG}"),
        ("named", Table("sdtm", "DM", "", labelled({"名" * 22: pa.array([1])})), "66 bytes"),
        ("named", Table("sdtm", "DM", "", labelled({"A": pa.array([1]), "a": pa.array([1])})), "'a' stands twice"),
        ("named", Table("sdtm", "DM", "", labelled({"SNAPSHOT_ID": pa.array([1])})), "is Cairn's own"),
    ],
)
def test_names_that_postgresql_would_cut_off_are_refused(
    database: Database, study: str, table: Table, message: str
) -> None:
    with pytest.raises(NameRefusedError, match=message):
        database.load(study, "snap", [table])


def test_the_longest_names_are_taken(database: Database) -> None:
    study, dataset, column = "s" * 55, "d" * 63, "c" * 63
    table = labelled({column: pa.array(["x"])})
    put(database, study, 0, "s" * 50, Table("results", dataset, "", table))
    same(table, database.read(study, "results", dataset))
    database.load(
        "named", "snap", [Table("sdtm", 'a"; DROP SCHEMA ops; --', "'; --", labelled({'%s"': pa.array([1])}))]
    )
    assert database.read("named", "sdtm", 'a"; DROP SCHEMA ops; --', "snap").num_rows == 1


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (pa.array([2**31]), "DM: column V: .* not in range"),
        (pa.array([datetime(2024, 1, 1, 0, 0, 0, 5)]), "DM: column V: .* lose data"),
        (pa.array(["a\0b"]), "DM: PostgreSQL does not take a value"),
        (pa.array([True]), "DM.V: bool has no type"),
        (pa.array([[1.5]]), "DM.V: list"),
    ],
)
def test_values_without_a_type_are_refused_by_name(database: Database, values: pa.Array, message: str) -> None:
    with pytest.raises(UnsuitableTableError, match=message):
        database.load("unsuitable", "snap", [Table("sdtm", "DM", "", labelled({"V": values}))])
    assert database.loaded("unsuitable") == set()


def test_a_full_disk_is_said_and_the_earlier_publication_stands(database: Database) -> None:
    put(database, "full", 0, "f0", Table("sdtm", "DM", "", rows_of("f0", 2)))
    with psycopg.connect(database.server.urls["owner"], autocommit=True) as owner:
        owner.execute(
            "CREATE FUNCTION ops.no_space() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$;"
            "GRANT EXECUTE ON FUNCTION ops.no_space() TO cairn_writer;"
            "CREATE TRIGGER no_space BEFORE INSERT ON ops.dataset EXECUTE FUNCTION ops.no_space()"
        )
        try:
            with pytest.raises(
                DatabaseFullError, match=r"no space left while loading.*earlier publication stands.*Free"
            ):
                database.load("full", "f1", [Table("sdtm", "DM", "", rows_of("f1", 2))])
        finally:
            owner.execute("DROP TRIGGER no_space ON ops.dataset; DROP FUNCTION ops.no_space()")
    assert database.current("full") == "f0"
    put(database, "full", 1, "f1", Table("sdtm", "DM", "", rows_of("f1", 3)))
    assert database.read("full", "sdtm", "DM").num_rows == 3


def test_a_server_that_is_down_is_named_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Database.open(tmp_path) as database:
        assert database.embedded is not None
        database.embedded.stop()
        with pytest.raises(
            DatabaseDownError, match=r"embedded PostgreSQL of .*while publishing.*earlier.*stands.*Run again"
        ):
            database.publish("down", 0, "snap", {})
        port = database.server.urls["reader"].rpartition(":")[2]
    monkeypatch.setenv("CAIRN_POSTGRES_URL", f"postgresql://nobody:secret@127.0.0.1:{port}")
    with pytest.raises(
        DatabaseDownError, match=r"PostgreSQL at 127.0.0.1:\d+ \(CAIRN_POSTGRES_URL\) does not"
    ) as caught:
        Database.open(tmp_path)
    assert "secret" not in str(caught.value)
    monkeypatch.setenv("CAIRN_POSTGRES_URL", "sqlite:///x")
    with pytest.raises(CairnError, match="is not an address like postgresql"):
        connect_url(tmp_path)


def test_an_address_that_was_given_out_stays_good(tmp_path: Path) -> None:
    server = PostgresServer(tmp_path / "postgres")
    with Database.open(tmp_path):
        assert server.running()
    assert not server.running()
    url = connect_url(tmp_path)
    try:
        with Database.open(tmp_path), psycopg.connect(url) as connection:
            assert connection.execute("SELECT session_user::text").fetchone() == ("cairn_reader",)
        assert server.running()
    finally:
        server.stop()


def test_arrays_of_this_module_hold_what_they_claim() -> None:
    assert pc.is_nan(NASTY["NUMBER"]).to_pylist().count(True) == 1
    assert all(column.null_count for column in NASTY.columns)
