"""Lineage: for every record the raw lines it is from, for every value taken elsewhere the record it is from.

One row per link. `kind` is `raw` (a line of a delivered file), `specification` (a line of a table of the study)
or `record` (a record of another dataset, for the named variable). `record` and `line` count from 1.
`source_variable` is the variable taken from another record where it is one; `part` is the position of the
record group in the dataset's specification. Where a wide row was spread, `entry_column` is the column the record
was made of, and `entry_file` and `entry_line` are the row of the table that says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from transforms.warehouse.parquet import encoded

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


def value_links(dataset: str, links: Mapping[str, Sequence[tuple[str, np.ndarray, str | None]]]) -> pa.Table:
    """The links of values to records of other datasets (1-based record numbers, 0 for none)."""
    tables = []
    for variable in sorted(links):
        for other, numbers, source_variable in links[variable]:
            records = np.flatnonzero(numbers > 0)
            empty = np.full(len(records), -1)
            tables.append(
                _table(
                    dataset,
                    records + 1,
                    variable,
                    "record",
                    encoded(np.zeros(len(records), dtype=int), [other]),
                    encoded(empty, []),
                    numbers[records],
                    None,
                    source_variable,
                )
            )
    return pa.concat_tables(tables) if tables else SCHEMA.empty_table()


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
    zeros = np.zeros(size, dtype=int)
    spread = [pa.nulls(size, field.type) for field in list(SCHEMA)[-3:]]
    if entry is not None and entry[0].entry_file is not None:
        part_of, entries = entry
        spread = [
            encoded(entries, part_of.entry_columns),
            encoded(zeros, [part_of.entry_file]),
            pa.array(np.array(part_of.entry_lines, dtype=np.int32)[entries]),
        ]
    columns = [
        encoded(zeros, [dataset]),
        pa.array(records.astype(np.int32)),
        encoded(zeros, [variable]),
        encoded(zeros, [kind]),
        source,
        sha256,
        pa.array(lines.astype(np.int32)),
        encoded(zeros, [source_variable]),
        pa.nulls(size, pa.int16()) if part is None else pa.array(np.full(size, part, dtype=np.int16)),
        *spread,
    ]
    return pa.Table.from_arrays(columns, schema=SCHEMA)
