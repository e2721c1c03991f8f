"""Findings as lists that people open in a spreadsheet: nothing in them runs as a formula."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from transforms.core.workbooks import Sheet, workbook

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


def to_excel(rows: Iterable[Mapping[str, Any]], created: datetime) -> bytes:
    """Findings as a workbook; raises WorkbookRefusedError for a text that no cell can hold whole."""
    cells = [[_cell(row, name) for name in COLUMNS] for row in rows]
    return workbook([Sheet("Findings", COLUMNS, cells)], created=created)


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
