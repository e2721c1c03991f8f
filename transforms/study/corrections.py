"""Corrections that a study lists: values of an extract that are replaced at staging, with ticket, reason and person.

A listed correction is specification: it is reviewed and versioned with the study and holds for one value of one row,
only as long as the extract still says what was corrected.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from transforms.core.tables import Table
from transforms.errors import Fault
from transforms.study.models import Source

CORRECTIONS = "corrections"
COLUMNS = ("SOURCE", "RECORD", "SHA256", "LINE", "COLUMN", "FROM", "TO", "TICKET", "REASON", "BY")
SEPARATOR = "|"
SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Correction:
    """One row of the table: the value `old` of a column becomes `new` in the row of a record id, or of a file's line.

    `table_line` is the row's line in the table.
    """

    source: str
    record: tuple[str, ...]
    sha256: str
    line: int
    column: str
    old: str
    new: str
    ticket: str
    table_line: int


def corrections_of(table: Table | None, source: str) -> tuple[Correction, ...]:
    """The corrections listed for a source, in the order of the table."""
    if table is None:
        return ()
    found = []
    for row, line in zip(table.rows, table.lines, strict=True):
        cell = dict(zip(table.columns, row, strict=True))
        if cell["SOURCE"] == source:
            record = tuple(part.strip() for part in cell["RECORD"].split(SEPARATOR)) if cell["RECORD"] else ()
            place = (cell["SHA256"], int(cell["LINE"] or 0))
            found.append(
                Correction(source, record, *place, cell["COLUMN"], cell["FROM"], cell["TO"], cell["TICKET"], line)
            )
    return tuple(found)


def faults_of(table: Table, sources: Mapping[str, Source]) -> Iterator[Fault]:
    """What is wrong with the table of corrections."""
    lost = [name for name in COLUMNS if name not in table.columns]
    if lost:
        yield Fault(table.file, "header", f"lacks {', '.join(lost)}", "Add the column")
        return
    seen: dict[tuple[str, ...], int] = {}
    for row, line in zip(table.rows, table.lines, strict=True):
        cell, place = dict(zip(table.columns, row, strict=True)), f"line {line}"
        source = sources.get(cell["SOURCE"])
        column = source.columns.get(cell["COLUMN"]) if source else None
        if source is None:
            yield Fault(table.file, place, f"no source {cell['SOURCE']!r}", f"Known: {', '.join(sorted(sources))}")
        elif column is None or column.made:
            yield Fault(table.file, place, f"{source.source} has no column {cell['COLUMN']!r}", "Correct the column")
        elif column.identifier:
            yield Fault(table.file, place, "corrects an identifier", "Have it corrected at the source; it stays in raw")
        by_line = bool(cell["SHA256"] or cell["LINE"])
        if bool(cell["RECORD"]) == by_line:
            yield Fault(table.file, place, "names its row twice, or not at all", "Write RECORD, or SHA256 and LINE")
        elif by_line and not (SHA256.fullmatch(cell["SHA256"]) and cell["LINE"].isdecimal() and int(cell["LINE"]) > 1):
            yield Fault(table.file, place, "names no line of a file", "Write the file's sha256 and the line")
        elif source is not None and not by_line:
            ids = source.record_id
            if len(ids) != len(cell["RECORD"].split(SEPARATOR)):
                yield Fault(
                    table.file,
                    place,
                    f"RECORD is no record id of {source.source} ({SEPARATOR.join(ids) or 'it has none'})",
                    f"Write the values with {SEPARATOR} between them, or SHA256 and LINE",
                )
            elif any(source.columns[name].identifier for name in ids if name in source.columns):
                yield Fault(table.file, place, "RECORD holds an identifier", "Write SHA256 and LINE")
        if cell["FROM"] == cell["TO"]:
            yield Fault(table.file, place, "FROM and TO are the same", "Remove the row")
        empty = [name for name in ("TICKET", "REASON", "BY") if not cell[name]]
        if empty:
            yield Fault(
                table.file,
                place,
                f"{', '.join(empty)} is empty",
                "Say who corrected it, why, and where it is asked for",
            )
        key = tuple(cell[name] for name in ("SOURCE", "RECORD", "SHA256", "LINE", "COLUMN"))
        if seen.setdefault(key, line) != line:
            yield Fault(table.file, place, f"corrects the value of line {seen[key]} again", "Keep one")
