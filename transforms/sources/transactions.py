"""Transactions of ODM applied in order: the rows that stand, and every earlier value with who, when and why.

Source: CDISC Operational Data Model 1.3, Transactions: Insert needs that the entity is not there, Update and Remove
that it is, Upsert neither; Context changes nothing; a Remove takes everything below with it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from transforms.findings import Severity
from transforms.sources.extract import Columns, Note, Settled
from transforms.sources.odm import (
    CONTEXT,
    INSERT,
    REMOVE,
    REPLACE,
    UPDATE,
    UPSERT,
    Audit,
    Key,
    OdmExtract,
    Transaction,
    record_key,
)
from transforms.study.models import OdmSource

SUPERSEDED = "later_transaction"
REMOVED = "removed_at_source"
CONFLICT = "transaction_conflict"
CONTEXT_DIFFERS = "context_differs"
WHY = {
    INSERT: "inserts a row that is there already",
    UPDATE: "updates a row that is not there",
    REMOVE: "removes a row that is not there",
    CONTEXT: "changes values of a row that is not there",
    REPLACE: "holds the same row twice",
    "": "says no TransactionType",
}


@dataclass
class _Standing:
    file: int
    row: int
    values: dict[str, str | None]


class _Applied:
    """The state of one source while its files are applied."""

    def __init__(self, source: OdmSource, extracts: Sequence[OdmExtract]) -> None:
        self.source = source
        self.extracts = extracts
        self.rows: dict[Key, _Standing] = {}
        self.of_subject: dict[str | None, set[Key]] = {}
        self.superseded: list[list[int]] = [[] for _ in extracts]
        self.removed: list[list[int]] = [[] for _ in extracts]
        self.unmatched: list[set[int]] = [set() for _ in extracts]
        self.conflicts: list[dict[str, list[tuple[int, int]]]] = [{} for _ in extracts]
        self.audit: list[list[tuple[object, ...]]] = [[] for _ in extracts]
        self.context: list[dict[str, set[int]]] = [{} for _ in extracts]
        hidden = [name for name, word in source.system.items() if word in {"subject_key", "record_key"}]
        self.hides_subject = any(source.columns[name].identifier for name in hidden)
        self.entered = [name for name, word in source.system.items() if word == "entered_at"]

    def file(self, number: int) -> Columns:
        extract = self.extracts[number]
        columns = Columns(self.source.extract_columns)
        seen: set[Key] = set()
        own = {name: extract.frame[name].astype(object).where(extract.frame[name].notna(), None) for name in self.timed}
        for one in extract.transactions:
            if one.kind == CONTEXT and one.row < 0:
                self.compare(number, one)
                continue
            if one.row < 0:
                self.remove_below(number, one)
                continue
            times = {name: values.iloc[one.row] for name, values in own.items()}
            values = self.row(number, one, one.key in seen, times)
            seen.add(one.key)
            columns.add(values, one.line)
        return columns

    @property
    def timed(self) -> list[str]:
        return [name for name, word in self.source.system.items() if word in {"entered_at", "modified_at"}]

    def row(self, number: int, one: Transaction, again: bool, times: dict[str, str | None]) -> dict[str, str | None]:
        before = self.rows.get(one.key)
        given = {cell.column: cell.value for cell in one.cells if cell.column}
        if one.unclear:
            return {**one.system, **given, **times}
        new = {INSERT: before is not None, UPSERT: False, REPLACE: again}
        if one.kind == "" or new.get(one.kind, before is None):
            self.conflicts[number].setdefault(WHY[one.kind], []).append((one.row, one.line))
            return {**one.system, **given, **times}
        if one.kind == REMOVE:
            self.remove(number, one, one.key)
            self.removed[number].append(one.row)
            return {**one.system, **given, **times}
        kept = dict(before.values) if before is not None and one.kind != REPLACE else {}
        values = kept | one.system | {name: value for name, value in times.items() if value}
        for name in self.entered:
            values[name] = kept.get(name) or times.get(name)
        self.compare(number, one)
        old = before.values if before is not None else {}
        replaced = {name: value for name, value in old.items() if one.kind == REPLACE and name not in one.system}
        for cell in one.cells:
            if cell.column is None or cell.transaction == CONTEXT:
                continue
            value = None if cell.transaction == REMOVE else cell.value
            values[cell.column] = value
            replaced.pop(cell.column, None)
            if value != old.get(cell.column) or cell.audit is not None:
                kind = one.kind if one.kind == REPLACE else cell.transaction
                self.say(
                    number, one.key, cell.item, cell.column, kind, old.get(cell.column), value, cell.line, cell.audit
                )
        for name, value in replaced.items():
            if value is not None and name not in self.timed:
                self.say(number, one.key, None, name, REPLACE, value, None, one.line, one.audit)
        if before is not None:
            self.superseded[before.file].append(before.row)
        self.rows[one.key] = _Standing(number, one.row, values)
        self.of_subject.setdefault(one.key[0], set()).add(one.key)
        return values

    def compare(self, number: int, one: Transaction) -> None:
        """Values given as Context are those that stand before the transaction; others are said."""
        before = self.rows.get(one.key)
        old = before.values if before is not None else {}
        for cell in one.cells:
            if cell.column and cell.transaction == CONTEXT and cell.value != old.get(cell.column):
                self.context[number].setdefault(cell.column, set()).add(cell.line)

    def context_notes(self, number: int) -> list[Note]:
        return [
            Note(
                CONTEXT_DIFFERS,
                Severity.CRITICAL,
                column,
                "values given as Context are not those that stand; a Context changes nothing, so they are not taken",
                "Ask the sender whether a file is missing, or whether the values were to be changed (Update)",
                tuple(sorted(lines)),
            )
            for column, lines in sorted(self.context[number].items())
        ]

    def remove_below(self, number: int, one: Transaction) -> None:
        depth = len(one.key)
        below = [key for key in self.of_subject.get(one.key[0], ()) if key[:depth] == one.key]
        for key in sorted(below, key=record_key):
            self.removed[self.rows[key].file].append(self.rows[key].row)
            self.remove(number, one, key, superseded=False)
        if not below and one.row == -1:
            self.unmatched[number].add(one.line)

    def remove(self, number: int, one: Transaction, key: Key, *, superseded: bool = True) -> None:
        gone = self.rows.pop(key)
        self.of_subject[key[0]].discard(key)
        if superseded:
            self.superseded[gone.file].append(gone.row)
        for column, value in gone.values.items():
            if value is not None and column not in self.source.system:
                self.say(number, key, None, column, REMOVE, value, None, one.line, one.audit)

    def say(
        self,
        number: int,
        key: Key,
        item: str | None,
        column: str,
        kind: str,
        old: str | None,
        new: str | None,
        line: int,
        audit: Audit | None,
    ) -> None:
        hidden = self.source.columns[column].identifier
        record = record_key((None, *key[1:]) if self.hides_subject else key)
        said = audit or Audit()
        values = (None, None) if hidden else (old, new)
        self.audit[number].append(
            ("change", record, item, column, kind, *values, None, said.by, said.location, said.at, said.reason, line)
        )

    def settled(self, number: int) -> tuple[Settled, ...]:
        result = [
            Settled("superseded", SUPERSEDED, np.array(sorted(self.superseded[number]), dtype=np.int64)),
            Settled("excluded", REMOVED, np.array(sorted(self.removed[number]), dtype=np.int64)),
        ]
        for why, rows in sorted(self.conflicts[number].items()):
            note = Note(
                CONFLICT,
                Severity.CRITICAL,
                "",
                f"a transaction {why}, so it is not applied",
                "Ask the sender whether a file is missing or was sent twice",
                tuple(line for _, line in rows),
                why,
            )
            result.append(Settled("quarantined", CONFLICT, np.array([row for row, _ in rows], dtype=np.int64), note))
        return tuple(one for one in result if len(one.rows))


def unclear_places(extracts: Sequence[OdmExtract], order: Sequence[int]) -> list[int]:
    """Positions of files whose place among the others does not follow from FileOID and PriorFileOID.

    Two files continue one, or the one continued is there twice, or comes after the file that continues it.
    """
    place = {at: number for number, at in enumerate(order)}
    found = []
    for at, one in enumerate(extracts):
        if not one.prior_file_oid:
            continue
        prior = [other for other, extract in enumerate(extracts) if extract.file_oid == one.prior_file_oid]
        beside = [other for other in extracts if other.prior_file_oid == one.prior_file_oid]
        if prior and (len(prior) > 1 or len(beside) > 1 or place[prior[0]] >= place[at]):
            found.append(at)
    return found


def in_order(extracts: Sequence[OdmExtract]) -> tuple[list[int], list[int]]:
    """Positions in the order in which the files apply, and those whose prior file is not there.

    A file applies after the one its PriorFileOID names; otherwise the order given stays.
    """
    known = {extract.file_oid for extract in extracts if extract.file_oid}
    orphans = [at for at, one in enumerate(extracts) if one.prior_file_oid and one.prior_file_oid not in known]
    order: list[int] = []
    waiting = list(range(len(extracts)))
    applied: set[str] = set()
    while waiting:
        free = [at for at in waiting if extracts[at].prior_file_oid in applied | {""} or at in orphans]
        # A circle of PriorFileOIDs has no first file; the order given decides there.
        at = free[0] if free else waiting[0]
        waiting.remove(at)
        applied.add(extracts[at].file_oid)
        order.append(at)
    return order, orphans


def apply_transactions(
    source: OdmSource, extracts: Sequence[OdmExtract], told: Collection[int] = ()
) -> list[tuple[int, OdmExtract]]:
    """The files of an incremental source (in the order in which they were extracted), applied one after the other.

    Returns each file's position and extract in the order of application. A row of an extract is then the whole row
    as it was after that transaction; `settled` says which of them do not stand. Of files at the positions `told`,
    another source has said already how they follow each other.
    """
    order, orphans = in_order(extracts)
    unclear = unclear_places(extracts, order)
    ordered = [extracts[at] for at in order]
    applied = _Applied(source, ordered)
    columns = [applied.file(number) for number in range(len(ordered))]
    result = []
    for number, extract in enumerate(ordered):
        notes = (*extract.notes, *applied.context_notes(number))
        if order[number] in orphans and order[number] not in told:
            notes = (*notes, _prior_missing())
        if order[number] in unclear and order[number] not in told:
            notes = (*notes, _place_unclear())
        result.append(
            (
                order[number],
                replace(
                    extract,
                    frame=columns[number].frame(),
                    notes=notes,
                    settled=(*extract.settled, *applied.settled(number)),
                    audit=(*extract.audit, *applied.audit[number]),
                    transactions=(),
                    unmatched=frozenset(applied.unmatched[number]),
                ),
            )
        )
    return result


def _place_unclear() -> Note:
    return Note(
        "file_order_unclear",
        Severity.ANSWER,
        "",
        "PriorFileOID does not say which file it follows (two files continue one, or one is there twice or names "
        "itself); it applies in the order of extraction",
        "Ask the sender in which order the files apply",
        (1,),
    )


def _prior_missing() -> Note:
    return Note(
        "prior_file_missing",
        Severity.CRITICAL,
        "",
        "the file continues a file (PriorFileOID) that was never taken",
        "Ask the sender for the file before it",
        (1,),
    )
