"""Findings as lists that people open in a spreadsheet: nothing in them runs as a formula."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from openpyxl import Workbook
from openpyxl.styles import Alignment, Font
from openpyxl.utils import get_column_letter

COLUMNS = {
    "finding_id": 18,
    "status": 10,
    "severity": 12,
    "rule": 26,
    "dataset": 12,
    "variable": 14,
    "n_records": 10,
    "held": 7,
    "message": 60,
    "remedy": 60,
    "why": 50,
    "likely_cause": 50,
    "who_acts": 24,
    "places": 50,
    "opened": 12,
    "closed": 12,
    "reopened": 10,
    "decided_by": 18,
    "decision": 40,
}
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
SHOWN_LINES = 20


def to_csv(rows: Iterable[Mapping[str, Any]], columns: Iterable[str] = tuple(COLUMNS)) -> str:
    """Findings, or rows of other columns, as CSV; a text that would run as a formula gets a leading apostrophe."""
    stream = io.StringIO()
    names = tuple(columns)
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        writer.writerow([_plain(_cell(row, name)) for name in names])
    return stream.getvalue()


def write_excel(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Findings as a workbook whose cells are all texts and numbers."""
    book = Workbook()
    sheet = book.active
    sheet.title = "Findings"
    sheet.append(list(COLUMNS))
    for number, row in enumerate(rows, start=2):
        for position, name in enumerate(COLUMNS, start=1):
            cell = sheet.cell(number, position)
            value = _cell(row, name)
            cell.value = value
            if isinstance(value, str):
                cell.data_type = "s"
            cell.alignment = Alignment(wrap_text=True, vertical="top")
    for position, width in enumerate(COLUMNS.values(), start=1):
        sheet.column_dimensions[get_column_letter(position)].width = width
        sheet.cell(1, position).font = Font(bold=True)
    sheet.freeze_panes = "A2"
    sheet.auto_filter.ref = sheet.dimensions
    book.save(path)


def _cell(row: Mapping[str, Any], name: str) -> str | int | None:
    value = row.get(name)
    if name == "places":
        return place_text(value or [])
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, int) else None if value is None else str(value)


def _plain(value: str | int | None) -> str | int:
    if isinstance(value, str):
        return f"'{value}" if value.startswith(FORMULA_STARTS) else value
    return "" if value is None else value


def place_text(places: Sequence[Mapping[str, Any]], shown: int = SHOWN_LINES) -> str:
    """Files and lines in one text: `lab.csv line 3, 4 and 12 more; dose.csv`."""
    texts = []
    for place in places:
        lines = list(place["lines"])
        more = f" and {len(lines) - shown} more" if len(lines) > shown else ""
        listed = ", ".join(str(line) for line in lines[:shown])
        texts.append(f"{place['file']} line {listed}{more}" if lines else str(place["file"]))
    return "; ".join(texts)
