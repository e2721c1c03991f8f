"""Transport files read by two readers that are not ours, pyreadstat and pandas, and compared with the dataset.

Every cell is compared, numbers to the last bit. What a reader itself cannot say is not held against a file:

- both give a missing text and an empty one alike, and a dataset has no empty texts;
- -0.0 is written as 0;
- pandas gives 0 as 16^-65 (5.4e-79), the smallest number of the format;
- pandas counts the records of a file wrongly where they are at most 80 bytes long and the last 80 bytes hold a blank
  text of 8 bytes: such a file is read by pyreadstat alone, and the result says so;
- both give a special missing value as a missing one.

Names, labels, formats and lengths are read by pyreadstat.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyreadstat

from transforms.submission import ibm
from transforms.submission.faults import Fault, RecordFaults
from transforms.submission.header import FORMATS, RECORD, Encoding
from transforms.submission.layout import Layout, Variable
from transforms.submission.observations import NumberColumn

REMEDY = "Do not send the file; it is not what the dataset is"


@dataclass(frozen=True)
class ReadBack:
    """What reading a file back said: the records, the readers asked, and every difference."""

    records: int
    readers: tuple[str, ...]
    faults: tuple[Fault, ...]


def read_back(
    path: Path, layout: Layout, batches: Iterable[pa.RecordBatch], encoding: Encoding, expected: int
) -> ReadBack:
    """Compare a file with its dataset, batch by batch; `expected` is how many records were written."""
    faults = RecordFaults(layout.name)
    header = list(_header_faults(path, layout, encoding))
    readers = ("pyreadstat", "pandas") if pandas_counts(path, layout, expected) else ("pyreadstat",)
    records = 0
    reader = pd.read_sas(path, format="xport", encoding=encoding, iterator=True) if "pandas" in readers else None
    for batch in batches:
        if not batch.num_rows:
            continue
        frame, _ = pyreadstat.read_xport(
            str(path),
            encoding=encoding.upper(),
            disable_datetime_conversion=True,
            row_offset=records,
            row_limit=batch.num_rows,
        )
        _compare("pyreadstat", frame, layout, batch, faults, records)
        if reader is not None:
            try:
                other = reader.read(batch.num_rows)
            except StopIteration:
                other = frame.iloc[:0]
            _compare("pandas", other, layout, batch, faults, records)
        records += batch.num_rows
    header.extend(_surplus(path, layout, records, encoding, reader))
    if reader is not None:
        reader.close()
    return ReadBack(records, readers, (*header, *faults.faults()))


def pandas_counts(path: Path, layout: Layout, records: int) -> bool:
    """True if pandas counts the records of this file rightly, which is told from the way it counts."""
    if layout.width > RECORD:
        return True
    with path.open("rb") as stream:
        stream.seek(-RECORD, 2)
        card = stream.read(RECORD)
    blank = sum(card[at : at + 8] == b" " * 8 for at in range(0, RECORD, 8))
    size = -(-records * layout.width // RECORD) * RECORD
    return (size - 8 * blank) // layout.width == records


def _header_faults(path: Path, layout: Layout, encoding: Encoding) -> Iterator[Fault]:
    _, metadata = pyreadstat.read_xport(str(path), encoding=encoding.upper(), metadataonly=True)
    said: dict[str, tuple[Any, Any]] = {
        "name": (metadata.table_name, layout.name),
        "label": (metadata.file_label or "", layout.label),
        "variables": (metadata.column_names, [variable.name for variable in layout.variables]),
    }
    if said["variables"][0] == said["variables"][1]:
        said |= {
            "labels": ([one or "" for one in metadata.column_labels], [one.label for one in layout.variables]),
            "lengths": (
                [metadata.variable_storage_width[one.name] for one in layout.variables],
                [one.length for one in layout.variables],
            ),
            "formats": (
                [metadata.original_variable_types[one.name] or "" for one in layout.variables],
                [_format(one) for one in layout.variables],
            ),
        }
    for what, (read, expected) in said.items():
        if read != expected:
            yield Fault(layout.name, "", f"its {what} read back otherwise than written", REMEDY)


def _format(variable: Variable) -> str:
    form, width = FORMATS.get(variable.type, ("", 0))
    return f"{form}{width}" if form else ""


def _surplus(path: Path, layout: Layout, records: int, encoding: Encoding, reader: Any) -> Iterator[Fault]:
    """Records that the dataset does not have."""
    frame, _ = pyreadstat.read_xport(str(path), encoding=encoding.upper(), row_offset=records, row_limit=1)
    more = ["pyreadstat"] if len(frame) else []
    if reader is not None and reader.nobs != records:
        more.append("pandas")
    for name in more:
        yield Fault(layout.name, "", f"{name} reads another number of records than the {records:,} written", REMEDY)


def _compare(
    reader: str, frame: pd.DataFrame, layout: Layout, batch: pa.RecordBatch, faults: RecordFaults, before: int
) -> None:
    if len(frame) != batch.num_rows or list(frame.columns) != [variable.name for variable in layout.variables]:
        rows = np.ones(batch.num_rows, dtype=bool)
        faults.add("", f"{reader} reads other records or variables than were written", REMEDY, rows, before)
        return
    for variable in layout.variables:
        if variable.is_text:
            differs = _texts_differ(frame[variable.name], batch.column(variable.name))
        else:
            differs = _numbers_differ(reader, frame[variable.name], variable, batch)
        faults.add(variable.name, f"{reader} reads another value than was written", REMEDY, differs, before)


def _texts_differ(read: pd.Series, written: pa.Array) -> np.ndarray:
    if pa.types.is_dictionary(written.type):
        written = written.dictionary_decode()
    expected = written.fill_null("").to_numpy(zero_copy_only=False)
    differs: np.ndarray = np.not_equal(read.to_numpy(dtype=object), expected)
    return differs


def _numbers_differ(reader: str, read: pd.Series, variable: Variable, batch: pa.RecordBatch) -> np.ndarray:
    expected = NumberColumn(variable).values(batch)
    numbers = read.to_numpy(dtype=np.float64)
    if reader == "pandas":
        numbers = np.where(np.abs(numbers) == ibm.SMALLEST, np.where(expected == 0, 0, numbers), numbers)
    return ~_same(numbers, expected)


def _same(read: np.ndarray, expected: np.ndarray) -> np.ndarray:
    same: np.ndarray = np.equal(read, expected) | (np.isnan(read) & np.isnan(expected))
    return same
