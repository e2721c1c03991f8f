"""Lineage: for every record the raw lines it is from, for every value taken elsewhere the record it is from.

One row per link. `kind` is `raw` (a line of a delivered file), `specification` (a line of a table of the study)
or `record` (a record of another dataset, for the named variable). What stands behind a raw line follows it:
`superseded` (the line of an earlier version) and `correction` (the line of the table that corrected the column
`source_variable`). `record` and `line` count from 1. `source_variable` is otherwise the variable taken from another
record, or the source whose line a record reads besides its own; `part` is the position of the record group in the
dataset's specification. Where a wide row was spread, `entry_column` is the column the record was made of, and
`entry_file` and `entry_line` are the row of the table that says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from transforms.findings import RawPlace
from transforms.warehouse.parquet import constant, encoded

SCHEMA = pa.schema(
    [
        ("dataset", pa.string()),
        ("record", pa.int32()),
        ("variable", pa.string()),
        ("kind", pa.string()),
        ("source", pa.string()),
        ("sha256", pa.string()),
        ("line", pa.int32()),
        ("source_variable", pa.string()),
        ("part", pa.int16()),
        ("entry_column", pa.string()),
        ("entry_file", pa.string()),
        ("entry_line", pa.int32()),
    ]
)

# What stands behind a line that was taken: `rule` is the account's, or `correction` with its column.
VERSIONS = pa.schema(
    [
        ("source", pa.string()),
        ("file", pa.string()),
        ("sha256", pa.string()),
        ("line", pa.int64()),
        ("rule", pa.string()),
        ("column", pa.string()),
        ("behind_file", pa.string()),
        ("behind_sha256", pa.string()),
        ("behind_line", pa.int64()),
    ]
)


@dataclass(frozen=True)
class Part:
    """One record group of a dataset: its files, and for each of its rows the file and line."""

    files: Sequence[str]
    sha256: Sequence[str]
    file_codes: np.ndarray
    lines: np.ndarray
    specification: bool
    entry_file: str | None = None
    entry_columns: Sequence[str] = ()
    entry_lines: Sequence[int] = ()


def record_links(
    dataset: str, parts: Sequence[Part], part_codes: np.ndarray, positions: np.ndarray, entries: np.ndarray
) -> pa.Table:
    """The links of a dataset's records to raw or specification lines."""
    tables = []
    for number, part in enumerate(parts):
        records = np.flatnonzero(part_codes == number)
        rows = positions[records]
        codes = part.file_codes[rows]
        tables.append(
            _table(
                dataset,
                records + 1,
                None,
                "specification" if part.specification else "raw",
                encoded(codes, part.files),
                encoded(codes, part.sha256),
                part.lines[rows],
                number,
                entry=(part, entries[records]),
            )
        )
    return pa.concat_tables(tables) if tables else SCHEMA.empty_table()


def joined_links(
    dataset: str,
    source: str,
    files: Sequence[str],
    sha256: Sequence[str],
    file_codes: np.ndarray,
    lines: np.ndarray,
    rows: np.ndarray,
) -> pa.Table:
    """The links of a dataset's records to the raw lines of another source that they read; `rows` is -1 for none."""
    records = np.flatnonzero(rows >= 0)
    codes = file_codes[rows[records]]
    return _table(
        dataset,
        records + 1,
        None,
        "raw",
        encoded(codes, files),
        encoded(codes, sha256),
        lines[rows[records]],
        None,
        source,
    )


def value_links(dataset: str, links: Mapping[str, Sequence[tuple[str, np.ndarray, str | None]]]) -> pa.Table:
    """The links of values to records of other datasets, by record id (-1 for none); `numbered` makes them numbers."""
    tables = []
    for variable in sorted(links):
        for other, ids, source_variable in links[variable]:
            records = np.flatnonzero(ids >= 0)
            tables.append(
                _table(
                    dataset,
                    records + 1,
                    variable,
                    "record",
                    constant(len(records), other),
                    constant(len(records), None),
                    ids[records],
                    None,
                    source_variable,
                )
            )
    return pa.concat_tables(tables) if tables else SCHEMA.empty_table()


def made_of_links(dataset: str, records: np.ndarray, other: str, of: np.ndarray) -> pa.Table:
    """The links of records to those of another dataset that they are made of; both are numbers from 1."""
    size = len(records)
    return _table(dataset, records, None, "record", constant(size, other), constant(size, None), of, None)


def numbered(links: pa.Table, record_ids: Mapping[str, np.ndarray]) -> pa.Table:
    """Value links with the record ids in `line` turned into record numbers (from 1).

    `record_ids` holds, per dataset, the id of each record in final order. A link to a record that is not in its
    dataset, because it was held, is left out.
    """
    sources = links["source"].combine_chunks().dictionary_encode()
    codes = sources.indices.to_numpy()
    line = links["line"].to_numpy().copy()
    for code, name in enumerate(sources.dictionary.to_pylist()):
        ids = record_ids[name]
        here = codes == code
        numbers = np.zeros(max(int(ids.max(initial=-1)), int(line[here].max())) + 1, dtype=np.int32)
        numbers[ids] = np.arange(1, len(ids) + 1)
        line[here] = numbers[line[here]]
    position = links.schema.get_field_index("line")
    return links.set_column(position, SCHEMA.field("line"), pa.array(line)).filter(pa.array(line > 0))


def with_versions(parts: Iterable[pa.Table], versions: pa.Table) -> Iterator[pa.Table]:
    """Links of records, part by part, and at last what stands behind the raw lines they lead to.

    `versions` has the columns of VERSIONS.
    """
    behind: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for row in versions.to_pylist():
        behind.setdefault((row["sha256"], row["line"]), []).append(row)
    lines = pa.array(sorted({line for _, line in behind}), pa.int32())
    found = []
    for links in parts:
        yield links
        if not behind:
            continue
        changed = pc.is_in(links["sha256"], versions["sha256"].unique())
        raw = links.filter(pc.and_(pc.equal(links["kind"], "raw"), changed))
        for link in raw.filter(pc.is_in(raw["line"], lines)).to_pylist():
            for row in behind.get((link["sha256"], link["line"]), ()):
                place = {"source": row["behind_file"], "sha256": row["behind_sha256"], "line": row["behind_line"]}
                kind = "correction" if row["column"] else "superseded"
                found.append({**link, **place, "kind": kind, "source_variable": row["column"]})
    if found:
        yield pa.Table.from_pylist(found, schema=SCHEMA)


class Links:
    """The links of whole records in a lineage file, read dataset by dataset when they are asked for.

    A large study has tens of millions of links, most of them of values.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.read: dict[str, pa.Table] = {}

    def places(self, dataset: str, records: np.ndarray) -> tuple[RawPlace, ...]:
        """The raw lines that some records (numbers from 1) are from, through other datasets they are made of."""
        found: dict[tuple[str, str], set[int]] = {}
        todo = [(dataset, records)]
        while todo:
            name, numbers = todo.pop()
            links = self._of(name)
            asked = pa.array(numbers.astype(np.int32))
            further: dict[str, list[int]] = {}
            for link in links.filter(pc.is_in(links["record"], asked)).to_pylist():
                if link["kind"] == "raw":
                    found.setdefault((link["source"], link["sha256"]), set()).add(link["line"])
                elif link["kind"] == "record":
                    further.setdefault(link["source"], []).append(link["line"])
            todo.extend((other, np.array(lines)) for other, lines in further.items())
        return tuple(RawPlace(file, tuple(sorted(lines)), sha256) for (file, sha256), lines in sorted(found.items()))

    def _of(self, dataset: str) -> pa.Table:
        if dataset not in self.read:
            self.read[dataset] = pq.read_table(
                self.path,
                columns=["record", "kind", "source", "sha256", "line"],
                filters=(pc.field("dataset") == dataset) & pc.field("variable").is_null(),
                read_dictionary=["kind", "source", "sha256"],
            )
        return self.read[dataset]


def _table(
    dataset: str,
    records: np.ndarray,
    variable: str | None,
    kind: str,
    source: pa.Array,
    sha256: pa.Array,
    lines: np.ndarray,
    part: int | None,
    source_variable: str | None = None,
    entry: tuple[Part, np.ndarray] | None = None,
) -> pa.Table:
    size = len(records)
    spread = [pa.nulls(size, field.type) for field in list(SCHEMA)[-3:]]
    if entry is not None and entry[0].entry_file is not None:
        part_of, entries = entry
        spread = [
            encoded(entries, part_of.entry_columns),
            constant(size, part_of.entry_file),
            pa.array(np.array(part_of.entry_lines, dtype=np.int32)[entries]),
        ]
    columns = [
        constant(size, dataset),
        pa.array(records.astype(np.int32)),
        constant(size, variable),
        constant(size, kind),
        source,
        sha256,
        pa.array(lines.astype(np.int32)),
        constant(size, source_variable),
        pa.nulls(size, pa.int16()) if part is None else pa.array(np.full(size, part, dtype=np.int16)),
        *spread,
    ]
    return pa.Table.from_arrays(columns, schema=SCHEMA)
