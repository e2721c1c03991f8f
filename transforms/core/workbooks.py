"""Workbooks that people open in a spreadsheet: texts and numbers only, whole or refused, the same bytes every time."""

from __future__ import annotations

import io
import math
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from unicodedata import east_asian_width

from openpyxl import Workbook
from openpyxl.styles import Alignment, Font
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.worksheet import Worksheet
from openpyxl.writer.excel import ExcelWriter

from transforms.core import zips
from transforms.errors import UsageError

Cell = str | int | float | None

LONGEST_TEXT, MOST_ROWS, MOST_COLUMNS, LONGEST_NAME = 32_767, 1_048_576, 16_384, 31
"""Limits of Excel (Microsoft, Excel specifications and limits); a character beyond U+FFFF counts as two."""

LARGEST_WHOLE = 2**53
"""Beyond it a cell, which is a double, cannot hold every whole number."""

NO_XML = re.compile("[^\t\n\r\\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
ESCAPE = re.compile("_x[0-9A-Fa-f]{4}_")
"""What a spreadsheet reads as one character (ECMA-376 part 1, 22.9.2.19 ST_Xstring)."""

NAME = re.compile(r"[^\[\]:*?/\\]+")
SHOWN = 5

LINE, TALLEST = 15.0, 409.0
"""Height of a line in points, and of the tallest row of Excel."""


@dataclass(frozen=True)
class Sheet:
    """One sheet: its name, its columns with their widths in characters, and its rows, as long as the columns.

    An empty text is an empty cell.
    """

    name: str
    columns: Mapping[str, float]
    rows: Sequence[Sequence[Cell]]


class WorkbookRefusedError(UsageError):
    """A workbook cannot hold what it was given; nothing of it is cut or replaced."""

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = tuple(faults)
        more = [f"... and {len(self.faults) - SHOWN} more"] if len(self.faults) > SHOWN else []
        lines = "\n".join(f"  - {fault}" for fault in [*self.faults[:SHOWN], *more])
        super().__init__(f"{len(self.faults)} fault(s) stand against the workbook:\n{lines}")


def workbook(sheets: Sequence[Sheet], *, created: datetime) -> bytes:
    """An .xlsx with these sheets, each with its header frozen, filtered, and repeated on every page of paper.

    No cell is a formula: a text that begins with `=` stays a text. Every time in the file is `created`, so that the
    same sheets give the same bytes. Raises WorkbookRefusedError with every cell that Excel could not show whole.
    """
    faults = [*_name_faults(sheets), *(fault for sheet in sheets for fault in _sheet_faults(sheet))]
    if faults:
        raise WorkbookRefusedError(faults)
    book = Workbook()
    book.remove(book.worksheets[0])
    for sheet in sheets:
        _fill(book.create_sheet(sheet.name), sheet)
    stamp = created.replace(tzinfo=None, microsecond=0)
    book.properties.creator = "Cairn"
    book.properties.created = book.properties.modified = stamp
    # Workbook.save would write the time of the day into it.
    raw, fixed = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(raw, "w") as archive:
        ExcelWriter(book, archive).save()
    with zipfile.ZipFile(raw) as archive, zipfile.ZipFile(fixed, "w") as packed:
        for info in archive.infolist():
            packed.writestr(zips.entry(info.filename, stamp), archive.read(info))
    return fixed.getvalue()


def _fill(page: Worksheet, sheet: Sheet) -> None:
    wrapped, bold = Alignment(wrap_text=True, vertical="top"), Font(bold=True)
    for number, row in enumerate([tuple(sheet.columns), *sheet.rows], start=1):
        lines = max(_lines(value, width) for value, width in zip(row, sheet.columns.values(), strict=True))
        # Not every spreadsheet fits a row to its wrapped texts when it opens a file.
        page.row_dimensions[number].height = min(LINE * lines, TALLEST)
        for position, value in enumerate(row, start=1):
            cell = page.cell(number, position)
            # openpyxl takes a text that begins with = for a formula, and cuts a number after 16 digits.
            cell.value = None if value is None else str(value)
            cell.data_type = "s" if isinstance(value, str) else "n"
            cell.alignment = wrapped
    for position, width in enumerate(sheet.columns.values(), start=1):
        page.column_dimensions[get_column_letter(position)].width = width
        page.cell(1, position).font = bold
    page.freeze_panes = "A2"
    page.auto_filter.ref = page.dimensions
    page.print_title_rows = "1:1"
    page.page_setup.orientation = page.ORIENTATION_LANDSCAPE
    page.page_setup.paperSize = page.PAPERSIZE_A4
    page.page_setup.fitToHeight = 0
    page.sheet_properties.pageSetUpPr.fitToPage = True


def _lines(value: Cell, width: float) -> int:
    """How many lines a cell takes in a column, by the room of its characters; the wide ones of East Asia take two."""
    if not isinstance(value, str):
        return 1
    room = [sum(2 if east_asian_width(one) in "WF" else 1 for one in line) for line in value.split("\n")]
    return sum(max(1, math.ceil(1.1 * one / max(width, 1))) for one in room)


def _name_faults(sheets: Sequence[Sheet]) -> Iterator[str]:
    if not sheets:
        yield "it has no sheet. A spreadsheet opens none without"
    seen: set[str] = set()
    for sheet in sheets:
        name = sheet.name
        if not NAME.fullmatch(name) or len(name) > LONGEST_NAME or name.startswith("'") or name.endswith("'"):
            yield f"sheet {name!r}: a name has 1 to {LONGEST_NAME} characters, none of []:*?/\\, and no ' at its ends"
        if name.casefold() in {*seen, "history"}:
            yield f"sheet {name!r}: the name is taken. Choose another one"
        seen.add(name.casefold())


def _sheet_faults(sheet: Sheet) -> Iterator[str]:
    width = len(sheet.columns)
    if not 1 <= width <= MOST_COLUMNS or len(sheet.rows) >= MOST_ROWS:
        yield (
            f"{sheet.name}: {width:,} columns and {len(sheet.rows):,} rows; a sheet takes {MOST_COLUMNS:,} and "
            f"{MOST_ROWS - 1:,} below the header. Split it into several sheets"
        )
    for number, row in enumerate([tuple(sheet.columns), *sheet.rows], start=1):
        if len(row) != width:
            yield f"{sheet.name}, row {number}: it has {len(row)} cells; there are {width} columns"
            continue
        for position, value in enumerate(row, start=1):
            problem = _problem(value)
            if problem:
                yield f"{sheet.name}!{get_column_letter(position)}{number}: {problem}"


def _problem(value: object) -> str:
    """What a cell cannot hold of a value, and what to do; empty where it holds it."""
    if isinstance(value, str):
        forbidden = NO_XML.search(value)
        if forbidden:
            return f"the character U+{ord(forbidden.group()):04X} cannot be held. Correct the text where it comes from"
        length = len(value.encode("utf-16-le")) // 2
        if length > LONGEST_TEXT:
            return f"a text of {length:,} characters; a cell holds {LONGEST_TEXT:,}. Split it over several rows"
        escape = ESCAPE.search(value)
        return f"{escape.group()} is read as one character. Reword the text" if escape else ""
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"it is a {type(value).__name__}; a cell holds a text or a number. Write it as a text"
    if isinstance(value, float) and not math.isfinite(value):
        return "an infinite number or none. Leave the cell empty or write a text"
    if isinstance(value, int) and abs(value) > LARGEST_WHOLE:
        return "a whole number beyond 2^53. Write it as a text"
    return ""
