"""Dataset-JSON 1.1, as JSON and as NDJSON: an extra beside the transport files, made of the same tables.

A text is a string, a missing value null. A number is an integer where all values of the variable are whole, else a
decimal, which is exchanged as a string so that no digit is lost: the shortest text that reads as the same double,
without an exponent. Dates, datetimes and times of analysis datasets are ISO 8601 strings that the receiver turns into
integers. `length` of a text is that of the transport file, of a decimal the longest text.
Source: CDISC Dataset-JSON 1.1 specification; the order of attributes is the one it recommends.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from transforms.submission.faults import RecordFaults
from transforms.submission.header import FORMATS
from transforms.submission.layout import Layout, Variable
from transforms.submission.xpt import refuse

Form = Literal["json", "ndjson"]
VERSION = "1.1.0"
MISSING = "null"
REMOVE = "Correct or remove it in the mapping"


@dataclass(frozen=True)
class About:
    """What a file says of itself; the identifiers of study and metadata are those of Define-XML, where there is one."""

    created: datetime
    study_oid: str | None = None
    metadata_version_oid: str | None = None
    metadata_ref: str | None = None


def write(
    path: Path, layout: Layout, batches: Callable[[], Iterable[pa.RecordBatch]], *, form: Form, about: About
) -> int:
    """Write a dataset and return its records; `batches` is called twice, to look through it and to write it.

    Raises ExportRefusedError for an infinite number; no file is left then, nor on any other error.
    """
    records, columns = _look_through(layout, batches())
    head = metadata(layout, records, columns, about)
    partial = path.with_name(f".{path.name}.part")
    try:
        with partial.open("w", encoding="utf-8", newline="\n") as stream:
            stream.writelines(_lines(head, _rows(layout, batches(), columns), form))
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return records


def _lines(head: dict[str, Any], rows: Iterator[str], form: Form) -> Iterator[str]:
    if form == "ndjson":
        yield _json(head) + "\n"
        for row in rows:
            yield row + "\n"
        return
    yield _json(head)[:-1] + ',"rows":['
    separator = "\n"
    for row in rows:
        yield separator + row
        separator = ",\n"
    yield "\n]}\n"


def metadata(layout: Layout, records: int, columns: dict[str, int | None], about: About) -> dict[str, Any]:
    """The attributes of a file; `columns` gives the length of the decimals of a number, None where all are whole."""
    known = {
        "datasetJSONCreationDateTime": about.created.strftime("%Y-%m-%dT%H:%M:%S"),
        "datasetJSONVersion": VERSION,
        "studyOID": about.study_oid,
        "metaDataVersionOID": about.metadata_version_oid,
        "metaDataRef": about.metadata_ref,
        "itemGroupOID": f"IG.{layout.name}",
        "records": records,
        "name": layout.name,
        "label": layout.label,
        "columns": [_column(layout, variable, columns.get(variable.name)) for variable in layout.variables],
    }
    return {name: value for name, value in known.items() if value is not None}


def _column(layout: Layout, variable: Variable, decimals: int | None) -> dict[str, Any]:
    form, width = FORMATS.get(variable.type, (None, 0))
    kind, target, length = variable.type, "integer" if form else None, None
    if variable.is_text:
        kind, length = "string", variable.length  # type: ignore[assignment]
    elif variable.type == "number":
        kind = "integer" if decimals is None else "decimal"  # type: ignore[assignment]
        target, length = None if decimals is None else "decimal", decimals
    known = {
        "itemOID": f"IT.{layout.name}.{variable.name}",
        "name": variable.name,
        "label": variable.label,
        "dataType": kind,
        "targetDataType": target,
        "length": length,
        "displayFormat": f"{form}{width}." if form else None,
        "keySequence": layout.keys.index(variable.name) + 1 if variable.name in layout.keys else None,
    }
    return {name: value for name, value in known.items() if value is not None}


def _look_through(layout: Layout, batches: Iterable[pa.RecordBatch]) -> tuple[int, dict[str, int | None]]:
    """The records, and for each number the length of its longest decimal, None where all are whole."""
    faults = RecordFaults(layout.name)
    numbers = [variable.name for variable in layout.variables if variable.type == "number"]
    longest, whole = dict.fromkeys(numbers, 1), dict.fromkeys(numbers, True)
    records = 0
    for batch in batches:
        for name in numbers:
            column = batch.column(name)
            if pa.types.is_integer(column.type):
                continue
            values = column.to_numpy(zero_copy_only=False).astype(np.float64)
            faults.add(name, "an infinite number, which JSON does not know", REMOVE, np.isinf(values), records)
            distinct = np.unique(values[np.isfinite(values)])
            whole[name] &= bool((distinct == np.rint(distinct)).all())
            longest[name] = max(longest[name], max(map(len, map(decimal, distinct.tolist())), default=1))
        records += batch.num_rows
    refuse(faults.faults())
    return records, {name: None if whole[name] else longest[name] for name in numbers}


def decimal(number: float) -> str:
    """The shortest text without an exponent that reads as the same double; zero has no sign."""
    written = format(Decimal(repr(number + 0.0)), "f")
    return written.removesuffix(".0")


def _rows(layout: Layout, batches: Iterable[pa.RecordBatch], columns: dict[str, int | None]) -> Iterator[str]:
    for batch in batches:
        cells = [_cells(batch.column(one.name), one, columns.get(one.name)) for one in layout.variables]
        yield from (f"[{','.join(row)}]" for row in zip(*cells, strict=True))


def _cells(column: pa.Array, variable: Variable, decimals: int | None) -> list[str]:
    """The values of a column in JSON, each distinct one written once."""
    encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    write_one = _writer(variable, decimals)
    texts = np.array([*map(write_one, encoded.dictionary.to_pylist()), MISSING], dtype=object)
    codes = encoded.indices.fill_null(len(texts) - 1).to_numpy(zero_copy_only=False)
    cells: list[str] = texts[codes].tolist()
    return cells


def _writer(variable: Variable, decimals: int | None) -> Callable[[Any], str]:
    if variable.is_text:
        return _json
    if variable.type == "number":
        if decimals is None:
            return lambda number: MISSING if number != number else str(int(number))  # noqa: PLR0124 (NaN)
        return lambda number: MISSING if number != number else f'"{decimal(number)}"'  # noqa: PLR0124 (NaN)
    return lambda moment: f'"{moment.isoformat()}"'


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
