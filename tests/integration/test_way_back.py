"""The way back by SQL alone, beside the Tracer, which reads the files of the snapshot and was written apart from it.

Values are drawn with a fixed seed, one from each variable of each dataset in turn.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.conftest import Served
from transforms.study import Study
from transforms.trace import Step, Tracer, cell_origins
from transforms.warehouse import way
from transforms.warehouse.postgres import Database, Table

VALUES = 500
Value = tuple[str, int, str]


@pytest.fixture(params=["ucmsc_dac", "cdiscpilot01"])
def published(request: pytest.FixtureRequest) -> Served:
    fixture = {"ucmsc_dac": "served_reference", "cdiscpilot01": "served_pilot"}[request.param]
    found: Served = request.getfixturevalue(fixture)
    return found


@pytest.fixture
def reader(published: Served) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(published.reader, autocommit=True) as connection:
        yield connection


def drawn(snapshot: Path, folders: tuple[str, ...], seed: int) -> list[Value]:
    """One value of each variable of each dataset in turn, in an order of chance."""
    chance, strata = random.Random(seed), []
    for path in sorted(path for folder in folders for path in (snapshot / folder).glob("*.parquet")):
        table = pq.read_table(path)
        filled = [name for name in table.column_names if table[name].null_count < len(table)]
        strata += [(path.stem.upper(), name, table[name].is_valid().to_pylist()) for name in filled]
    chance.shuffle(strata)
    found = []
    for number in range(VALUES):
        dataset, name, there = strata[number % len(strata)]
        found.append((dataset, chance.choice([row for row, valid in enumerate(there, start=1) if valid]), name))
    return found


def met(step: Step, found: dict[Value, tuple[str | None, str, str]]) -> dict[Value, tuple[str | None, str, str]]:
    """Every value on a way: what it is, its rule and where the rule stands."""
    place = (step.dataset, step.record, step.variable)
    if place not in found:
        found[place] = (step.value, step.rule, step.specification)
        for one in step.inputs:
            met(one, found)
    return found


def walked(reader: psycopg.Connection[Any], study: str, value: Value) -> list[dict[str, Any]]:
    with reader.cursor(row_factory=psycopg.rows.dict_row) as cursor:
        return cursor.execute("SELECT * FROM ops.trace(%s, %s, %s, %s)", [study, *value]).fetchall()


def test_each_value_leads_by_sql_where_the_tracer_leads(published: Served, reader: psycopg.Connection[Any]) -> None:
    tracer, raw = Tracer(published.snapshot), 0
    for value in drawn(published.snapshot, ("sdtm", "adam"), 20220613):
        step = tracer.trace(*value)
        rows = walked(reader, published.study, value)
        there = {
            (row["dataset"], row["record"], row["variable"]): (row["value"], row["rule"], row["specification"])
            for row in rows
        }
        assert there == met(step, {}), value
        ends = {
            (row["ends_in"], row["file"], row["line"], tuple(row["columns"]), row["sha256"])
            for row in rows
            if row["ends_in"] is not None
        }
        assert ends == {(one.kind, one.file, one.line, one.columns, one.sha256) for one in step.all_leaves()}, value
        assert rows[0]["read_by"] is None
        assert all(row["read_by"] < row["step"] for row in rows if row["step"] > 1)
        raw += any(row["ends_in"] == "raw" for row in rows)
    assert raw > VALUES / 2


def test_each_analysis_value_ends_in_raw_or_in_the_specification(served_reference: Served) -> None:
    """The pilot's are walked in tests/golden/test_cdiscpilot01_adam.py."""
    published = served_reference
    tracer, raw = Tracer(published.snapshot), 0
    folder = Study.load(published.study).folder
    for value in drawn(published.snapshot, ("adam",), 20231102):
        leaves = tracer.trace(*value).all_leaves()
        assert leaves, f"{value} leads nowhere"
        assert all(leaf.kind in {"raw", "superseded"} or (folder / leaf.file).is_file() for leaf in leaves), value
        raw += any(leaf.kind == "raw" for leaf in leaves)
    assert raw > VALUES / 2


def rows_of(table: pa.Table) -> Counter[tuple[Any, ...]]:
    return Counter(zip(*(column.to_pylist() for column in table.columns), strict=True))


def test_links_in_the_database_are_those_of_the_snapshot(served_reference: Served) -> None:
    written = pq.read_table(served_reference.snapshot / "lineage.parquet")
    same = (
        "dataset, {}, variable, kind, source, sha256, {}, source_variable, part, entry_column, entry_file, entry_line"
    )
    with psycopg.connect(served_reference.reader) as connection:
        rows = connection.execute(
            f"SELECT {same.format('link.record', 'link.line')} "
            "FROM ucmsc_dac_results.lineage, unnest(records, lines) AS link(record, line)"
        ).fetchall()
    assert len(rows) > 100_000
    assert Counter(rows) == rows_of(written)


def test_bundles_hold_each_link_once_and_say_which_records_they_hold() -> None:
    links = pa.table(
        {
            "dataset": ["A"] * 5 + ["B"],
            "record": pa.array([3, 1, 2, 1, 1, 1], pa.int32()),
            "part": pa.array([None, None, None, 0, None, None], pa.int16()),
            "line": pa.array([30, 10, 20, 10, 11, 12], pa.int32()),
        }
    )
    assert sorted(way.bundled(links).to_pylist(), key=str) == [
        {"dataset": "A", "part": 0, "first_record": 1, "last_record": 1, "records": [1], "lines": [10]},
        {
            "dataset": "A",
            "part": None,
            "first_record": 1,
            "last_record": 3,
            "records": [1, 1, 2, 3],
            "lines": [10, 11, 20, 30],
        },
        {"dataset": "B", "part": None, "first_record": 1, "last_record": 1, "records": [1], "lines": [12]},
    ]
    many = pa.table({"dataset": ["A"] * 2500, "record": pa.array(range(1, 2501), pa.int32())})
    bundles = way.bundled(many.append_column("line", many["record"])).to_pylist()
    assert [(one["first_record"], one["last_record"]) for one in bundles] == [(1, 1000), (1001, 2000), (2001, 2500)]
    assert way.bundled(many.append_column("line", many["record"]).slice(0, 0)).num_rows == 0


def test_the_specification_in_the_database_is_that_of_the_snapshot(published: Served) -> None:
    written = pq.read_table(published.snapshot / "specification.parquet")
    read = published.database.read(published.study, "results", "SPECIFICATION")
    assert read.to_pylist() == written.to_pylist()


def test_record_numbers_are_the_order_of_the_dataset(published: Served, reader: psycopg.Connection[Any]) -> None:
    written = pq.read_table(published.snapshot / "sdtm" / "qs.parquet", columns=["USUBJID", "QSSEQ"])
    rows = reader.execute(
        f"SELECT record_number, usubjid, qsseq FROM {published.study}_records.qs ORDER BY 1"
    ).fetchall()
    subjects, numbers = written["USUBJID"].to_pylist(), written["QSSEQ"].to_pylist()
    assert rows == list(zip(range(1, len(written) + 1), subjects, numbers, strict=True))


def test_from_a_cell_to_the_raw_line_in_one_query(served_reference: Served) -> None:
    """T14.3.3: the subjects with a related treatment-emergent event, to the lines of the forms."""
    keys = {"GROUP": "TOTAL", "ANALYSIS": "related", "STATISTIC": "n"}
    (origin, *_) = cell_origins(served_reference.snapshot, "T14.3.3", keys)
    tracer = Tracer(served_reference.snapshot)
    ends = {leaf for record in origin.records for leaf in tracer.trace("ADAE", record, "AEREL").all_leaves()}
    with psycopg.connect(served_reference.reader) as connection:
        rows = connection.execute(
            """
            SELECT cell.text, selected.record, way.ends_in, way.file, way.line, way.columns, way.sha256
            FROM ucmsc_dac_results.analysis_results AS cell,
                ops.selected('ucmsc_dac', cell.dataset, cell.source_where) AS selected(record),
                ops.trace('ucmsc_dac', cell.dataset, selected.record, 'AEREL') AS way
            WHERE cell.output_id = 'T14.3.3' AND cell.analysis_id = %s AND cell.group_id = %s AND cell.row_order = %s
                AND cell.statistic = %s AND way.ends_in IS NOT NULL
            """,
            [*(origin.row[name] for name in ("analysis_id", "group_id", "row_order", "statistic"))],
        ).fetchall()
    assert {row[0] for row in rows} == {origin.row["text"]}
    assert {row[1] for row in rows} == set(origin.records)
    assert {(kind, file, line, tuple(columns), sha256) for _, _, kind, file, line, columns, sha256 in rows} == {
        (one.kind, one.file, one.line, one.columns, one.sha256) for one in ends
    }


def test_records_selected_by_sql_are_those_of_the_cell(served_reference: Served) -> None:
    """Each condition of the results, once."""
    results = pq.read_table(served_reference.snapshot / "results" / "analysis_results.parquet")
    cells = {(row["output_id"], row["dataset"], row["source_where"]): row["n_records"] for row in results.to_pylist()}
    chosen = random.Random(20220613).sample(sorted(cells), 150)
    with psycopg.connect(served_reference.reader) as connection:
        for output, dataset, condition in chosen:
            found = connection.execute(
                "SELECT count(*) FROM ops.selected('ucmsc_dac', %s, %s)", [dataset, condition]
            ).fetchone()
            assert found == (cells[output, dataset, condition],), (output, condition)


def test_what_is_not_there_is_said(served_reference: Served) -> None:
    asked = {
        "SELECT ops.trace('ucmsc_dac', 'XX', 1, 'AVAL')": "no dataset XX",
        "SELECT ops.trace('ucmsc_dac', 'ADSL', 1, 'AVAL')": "no variable AVAL",
        "SELECT ops.trace('ucmsc_dac', 'ADSL', 100000, 'AGE')": "no record 100000",
        "SELECT ops.selected('ucmsc_dac', 'XX', 'true')": "no dataset XX",
    }
    for query, message in asked.items():
        with (
            psycopg.connect(served_reference.reader) as connection,
            pytest.raises(psycopg.errors.RaiseException, match=message),
        ):
            connection.execute(query)  # type: ignore[call-overload]


def test_the_way_back_is_pruned_with_its_snapshot_and_an_earlier_one_keeps_its_own(tmp_path: Path) -> None:
    def tables(line: int) -> list[Table]:
        dm = pa.table({"USUBJID": ["S1"], "AGE": pa.array([40.0 + line])})
        links = pa.table(
            {
                "dataset": ["DM"],
                "variable": pa.array([None], pa.string()),
                "kind": ["raw"],
                "source": ["dm.csv"],
                "sha256": ["ab"],
                "source_variable": pa.array([None], pa.string()),
                "part": pa.array([0], pa.int16()),
                **{f"entry_{name}": pa.array([None], pa.string()) for name in ("column", "file")},
                "entry_line": pa.array([None], pa.int32()),
                "record": pa.array([1], pa.int32()),
                "line": pa.array([line], pa.int32()),
            }
        )
        rule = {"dataset": "DM", "variable": "AGE", "part": None, "kind": "collected", "rule": "collect age"}
        rules = pa.Table.from_pylist(
            [rule | {"collected": ["age"], "inputs": [], "file": "dm.yml", "fingerprint": "f"}]
        )
        rules = rules.set_column(2, "part", pa.array([None], pa.int16()))
        rules = rules.set_column(6, "inputs", pa.array([[]], pa.list_(pa.string())))
        return [
            Table("sdtm", "DM", "Demographics", dm),
            *(Table("results", name.upper(), *way.table_of(name, one)) for name, one in
              ((way.LINEAGE, links), (way.SPECIFICATION, rules))),
        ]  # fmt: skip

    with Database.open(tmp_path) as database:
        for number, snapshot_id in enumerate(("one", "two")):
            database.load("small", snapshot_id, tables(number + 2))
            told = {"number": [number], "snapshot_id": [snapshot_id], "cut_off": ["2024-06-30"]}
            known = pa.table({"snapshot_id": [snapshot_id], "datasets": ['{"DM": 1}']})
            database.publish("small", number, snapshot_id, {"publication": pa.table(told), "snapshot": known})
        query = "SELECT value, file, line FROM ops.trace('small', 'dm', 1, 'age')"
        with psycopg.connect(database.server.urls["reader"], autocommit=True) as connection:
            assert connection.execute(query).fetchall() == [("43", "dm.csv", 3)]
            connection.execute("SELECT ops.pin('one')")
            assert connection.execute(query).fetchall() == [("42", "dm.csv", 2)]
            connection.execute("SELECT ops.unpin()")
        database.drop_snapshot("small", "one")
        with psycopg.connect(database.server.urls["owner"]) as connection:
            left = connection.execute("SELECT DISTINCT snapshot_id FROM small_store.lineage_" + parent(connection))  # type: ignore[arg-type]
            assert left.fetchall() == [("two",)]


def parent(connection: psycopg.Connection[Any]) -> str:
    row = connection.execute("SELECT parent FROM ops.dataset WHERE name = 'LINEAGE'").fetchone()
    assert row is not None
    return str(row[0]).removeprefix("lineage_")
