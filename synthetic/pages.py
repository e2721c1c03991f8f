"""One page of a form, tables of text, and how dates, times and answers are written."""

from __future__ import annotations

import csv
import io
import zlib
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")


@dataclass(frozen=True)
class Record:
    """One page of one form: when it was entered and last changed, and its values as text."""

    form: str
    record_id: str
    subj: str
    visit: str
    entered: datetime
    modified: datetime
    values: tuple[str, ...]


@dataclass
class Table:
    """A file as text: its name, columns and rows."""

    name: str
    columns: tuple[str, ...]
    rows: list[list[str]]


def day_text(day: date | None) -> str:
    """Return ``13JUN2022``, or an empty string."""
    return "" if day is None else f"{day.day:02d}{MONTHS[day.month - 1]}{day.year:04d}"


def iso(day: date | None) -> str:
    """Return ``2022-06-13``, or an empty string."""
    return "" if day is None else day.isoformat()


def clock(moment: datetime | None) -> str:
    """Return ``08:05``, or an empty string."""
    return "" if moment is None else f"{moment.hour:02d}:{moment.minute:02d}"


def minute(moment: datetime) -> str:
    """Return ``2022-06-20 09:30``."""
    return f"{moment.date().isoformat()} {clock(moment)}"


def yes(value: bool) -> str:
    """Return ``Y`` or ``N``."""
    return "Y" if value else "N"


def entry_time(record_id: str, day: date) -> datetime:
    """When a page about ``day`` was entered: one to three days later, settled by the record id alone."""
    code = zlib.crc32(record_id.encode("ascii"))
    at = time(13 + (code >> 4) % 5, (code >> 8) % 60, (code >> 16) % 60)
    return datetime.combine(day + timedelta(days=1 + code % 3), at)


def record_key(form: str, subj: str, number: int) -> str:
    """Record id of a subject's page, numbered from 1 within the form: ``AE-1007-03``."""
    return f"{form}-{subj}-{number:02d}"


def page(form: str, subj: str, number: int, visit: str, day: date, *values: object) -> Record:
    """A page about ``day``, entered once; ``None`` is an empty value."""
    record_id = record_key(form, subj, number)
    entered = entry_time(record_id, day)
    text = tuple("" if value is None else str(value) for value in values)
    return Record(form, record_id, subj, visit, entered, entered, text)


def csv_bytes(table: Table) -> bytes:
    """Return the file's bytes: UTF-8 with BOM, comma, CRLF, quotes only where needed."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(table.columns)
    writer.writerows(table.rows)
    return b"\xef\xbb\xbf" + text.getvalue().encode("utf-8")
