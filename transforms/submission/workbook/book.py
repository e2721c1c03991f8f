"""The workbook as a file: written, and read back with all that is wrong with its form."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

import openpyxl
from openpyxl import Workbook
from openpyxl.utils.exceptions import InvalidFileException
from openpyxl.worksheet.worksheet import Worksheet

from transforms.core.workbooks import Sheet, workbook
from transforms.errors import UsageError
from transforms.submission.workbook.plan import Plan
from transforms.submission.workbook.sheets import COLUMNS, KEYS, sheets_of

Key = tuple[str, ...]


@dataclass(frozen=True)
class Line:
    """A row of a sheet: its number in the spreadsheet, its texts by column, and the columns whose cell is a number."""

    number: int
    cells: Mapping[str, str]
    numeric: frozenset[str] = frozenset()


Lines = Mapping[str, Mapping[Key, Line]]
"""The rows of each sheet by their key."""

NOT_READ = (
    InvalidFileException,
    zipfile.BadZipFile,
    zlib.error,
    SyntaxError,  # XML that is none
    AttributeError,  # parts that refer to parts that are not there
    LookupError,
    ValueError,
    TypeError,
    EOFError,
    OSError,
    NotImplementedError,
)
"""What openpyxl raises where a file is no whole workbook."""


def write(plan: Plan) -> bytes:
    """The workbook of a plan: the same specification gives the same bytes."""
    created = datetime.fromisoformat(plan.study.file.standards.ct)
    return workbook([Sheet(one.name, COLUMNS[one.name], one.rows) for one in sheets_of(plan)], created=created)


def lines_of(plan: Plan) -> Lines:
    """What the workbook of a plan says, as `read` gives it."""
    result = {}
    for sheet in sheets_of(plan):
        lines = [
            Line(number, {column: _text(value) for column, value in zip(COLUMNS[sheet.name], row, strict=True)})
            for number, row in enumerate(sheet.rows, start=2)
        ]
        result[sheet.name] = {key_of(sheet.name, line): line for line in lines}
    return result


def key_of(sheet: str, line: Line) -> Key:
    """What tells a row apart in its sheet."""
    return tuple(line.cells[column] for column in KEYS[sheet])


def read(content: bytes) -> tuple[Lines, list[str]]:
    """The rows of a workbook, and the faults of its form. Raises UsageError where it is no workbook at all."""
    book = _opened(content)
    faults = [f"sheet {name}: it is not one of the workbook's. Remove it; what it says would be lost"
              for name in book.sheetnames if name not in COLUMNS]  # fmt: skip
    faults += [
        f"sheet {name}: it is missing. Export the workbook again" for name in COLUMNS if name not in book.sheetnames
    ]
    result: dict[str, dict[Key, Line]] = {}
    for name in COLUMNS:
        if name not in book.sheetnames:
            continue
        if not isinstance(book[name], Worksheet):
            faults.append(f"sheet {name}: it is a chart. Export the workbook again")
            continue
        lines, wrong = _lines(name, book[name])
        result[name] = lines
        faults += wrong
    return result, faults


def notes(content: bytes) -> list[str]:
    """The cells of a workbook that have a note or a thread of comments, as `Variables!D5`. Raises as `read` does."""
    return [
        f"{page.title}!{cell.coordinate}"
        for page in _opened(content).worksheets
        for row in page.iter_rows()
        for cell in row
        if cell.comment is not None
    ]


def _opened(content: bytes) -> Workbook:
    try:
        return openpyxl.load_workbook(io.BytesIO(content))
    except NOT_READ as error:
        raise UsageError("the file is no Excel workbook (.xlsx). Save it as one, or export it again") from error


def _lines(sheet: str, page: Worksheet) -> tuple[dict[Key, Line], list[str]]:
    faults = [
        f"{sheet}!{one.coord}: the cells are merged. Take them apart and give each its own text"
        for one in sorted(page.merged_cells.ranges, key=lambda one: one.bounds)
    ]
    faults += [
        f"{sheet}!{cell.coordinate}: it is {kind}. {remedy}"
        for row in page.iter_rows()
        for cell in row
        for kind, remedy in [_no_text(cell)]
        if kind
    ]
    values = list(page.iter_rows(values_only=True))
    rows = [[_text(value) for value in row] for row in values]
    header = rows[0] if rows else []
    faults += [f"{sheet}: the column {one} is missing" for one in COLUMNS[sheet] if one not in header]
    faults += [f"{sheet}: the column {one} is there twice" for one in COLUMNS[sheet] if header.count(one) > 1]
    faults += list(_beside(sheet, header, rows))
    if any(one not in header for one in COLUMNS[sheet]):
        return {}, faults
    places = {one: header.index(one) for one in COLUMNS[sheet]}
    found: dict[Key, Line] = {}
    for number, row in enumerate(rows[1:], start=2):
        numeric = frozenset(
            column for column, place in places.items() if isinstance(values[number - 1][place], int | float)
        )
        line = Line(number, {column: row[place] for column, place in places.items()}, numeric)
        if not any(line.cells.values()):
            continue
        key = key_of(sheet, line)
        if not any(key):
            faults.append(
                f"{sheet}, row {number}: {' and '.join(KEYS[sheet])} missing. Fill it, or clear the whole row"
            )
        elif key in found:
            faults.append(f"{sheet}, row {number}: {' '.join(key)} is in row {found[key].number} already")
        found[key] = line
    return found, faults


def _no_text(cell: Any) -> tuple[str, str]:
    """What a cell is that is neither text nor number, and the remedy; nothing where it is one of both."""
    if cell.data_type == "f":
        return "a formula", "Write the text itself"
    if cell.data_type == "e":
        return f"an error, {cell.value}", "Write the text itself"
    if isinstance(cell.value, bool | date | time | timedelta):
        kind = "a truth value" if isinstance(cell.value, bool) else "a date or time of the spreadsheet"
        return kind, "Format the cell as text and write what is to stand there"
    return "", ""


def _beside(sheet: str, header: list[str], rows: list[list[str]]) -> Iterator[str]:
    """Columns that the sheet does not have, if anything is written in them."""
    for place, name in enumerate(header):
        if name not in COLUMNS[sheet] and (name or any(row[place] for row in rows[1:])):
            yield f"{sheet}: the column {name or place + 1} is not one of the sheet's. Remove it"


def _text(value: object) -> str:
    """A cell as text: blanks at the ends and the way a spreadsheet keeps whole numbers and line ends are no change."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).replace("\r\n", "\n").replace("_x000D_", "").strip()
