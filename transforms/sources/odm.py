"""CDISC ODM-XML 1.3 under the contracts of the sources it feeds: one pass, no tree, every row with its line.

Source: CDISC Operational Data Model 1.3.2, sections 2 and 3 (Snapshot and Transactional documents, clinical data).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np

from transforms.core import dates
from transforms.errors import FileRefusedError
from transforms.findings import Severity
from transforms.sources.extract import Columns, Extract, Note, Settled, unreadable_time
from transforms.sources.xml import LONGEST, SEPARATOR, XmlReader
from transforms.study.models import OdmSource

NAMESPACE = "http://www.cdisc.org/ns/odm/v1.3"
PREFIX = NAMESPACE + SEPARATOR
KNOWN_NAMESPACES = {
    NAMESPACE,
    "http://www.w3.org/2000/09/xmldsig#",
    "http://www.w3.org/2001/XMLSchema-instance",
    "http://www.w3.org/XML/1998/namespace",
    "http://www.w3.org/1999/xlink",
}
SNAPSHOT, TRANSACTIONAL = "Snapshot", "Transactional"
REMOVE, CONTEXT, INSERT, UPDATE, UPSERT = "Remove", "Context", "Insert", "Update", "Upsert"
REPLACE = "Replace"  # a row of a snapshot in a sequence of files: it is the whole row
TYPES = {REMOVE, CONTEXT, INSERT, UPDATE, UPSERT}
LEVELS = {
    "SubjectData": ("SubjectKey",),
    "StudyEventData": ("StudyEventOID", "StudyEventRepeatKey"),
    "FormData": ("FormOID", "FormRepeatKey"),
    "ItemGroupData": ("ItemGroupOID", "ItemGroupRepeatKey"),
}
START_OF_KEY = {"SubjectData": 0, "StudyEventData": 1, "FormData": 3, "ItemGroupData": 5}
KEY_WORDS = ("subject_key", "event_oid", "event_repeat", "form_oid", "form_repeat", "group_oid", "group_repeat")
CAPTURED = {"DateTimeStamp", "ReasonForChange", "SourceID", "Comment", "FlagValue"}
NOT_STAGED = {"Signature", "InvestigatorRef", "Association", "ReferenceData", "AdminData"}
READ_IN_METADATA = {"MetaDataVersion", "ItemGroupDef", "ItemRef", "Include"}

UNCLEAR = "item_group_unclear"
TWICE = "gives one item two values"
BOTH_NULL_AND_VALUE = "says that an item is null, and gives its value"
ELSEWHERE = "has the value of an item in the wrong place (ItemData has an attribute Value, typed ItemData a text)"
NOT_OF_SNAPSHOT = "is of a Snapshot and has a TransactionType of Remove or Context"

Key = tuple[str | None, ...]


@dataclass
class Audit:
    """Who, where, when and why of one AuditRecord."""

    by: str | None = None
    location: str | None = None
    at: str | None = None
    reason: str | None = None


@dataclass
class Remark:
    """An annotation, or a query as a vendor writes it."""

    kind: str
    item: str | None
    line: int
    text: list[str] = field(default_factory=list)
    status: str | None = None
    by: str | None = None
    at: str | None = None
    reason: str | None = None


class Cell(NamedTuple):
    """One collected value. Until a source takes it, `column` is None for a value and empty for its unit.

    `unclear` is why the value cannot be told.
    """

    item: str
    column: str | None
    value: str | None
    transaction: str
    line: int
    audit: Audit | None
    unclear: str = ""


class Transaction(NamedTuple):
    """What a file says of one row, or with a shorter `key` of all rows below one subject, event or form.

    `row` is its position, -1 for all rows below and -2 where the file says each of these by itself as well. What is
    Context alone changes nothing, so it has no position either.
    `unclear` is why the row cannot be told; it is then not applied.
    """

    key: Key
    kind: str
    line: int
    cells: tuple[Cell, ...]
    system: dict[str, str | None]
    audit: Audit | None
    row: int
    unclear: str = ""


@dataclass(frozen=True)
class OdmExtract(Extract):
    """An extract of ODM. `transactions` are there for incremental sources only and wait to be applied.

    `unmatched` are lines that remove a subject, event or form of which this source has no row.
    """

    file_type: str = SNAPSHOT
    file_oid: str = ""
    prior_file_oid: str = ""
    transactions: tuple[Transaction, ...] = ()
    unmatched: frozenset[int] = frozenset()


@dataclass
class _Level:
    name: str
    key: Key
    kind: str
    line: int
    audit: Audit | None = None
    inherited: Audit | None = None
    parent: bool = False
    remarks: list[Remark] = field(default_factory=list)
    fed: set[str] = field(default_factory=set)
    cells: list[Cell] = field(default_factory=list)
    forms: dict[str, list[Cell]] = field(default_factory=dict)

    def said(self) -> Audit | None:
        return self.audit or self.inherited


@dataclass(slots=True)
class _Item:
    oid: str
    value: str | None
    line: int
    kind: str
    typed: bool
    null: bool
    unit: str | None = None
    audit: Audit | None = None
    text: list[str] = field(default_factory=list)

    def said(self) -> tuple[str | None, str]:
        """The value, and why it cannot be told."""
        text = "".join(self.text).strip()
        value = (text if self.typed else self.value) or None
        other = self.value if self.typed else text
        if self.null:
            return None, BOTH_NULL_AND_VALUE if value or other else ""
        return value, ELSEWHERE if other else ""


class _Feed:
    """One source while its rows come in."""

    def __init__(self, source: OdmSource) -> None:
        self.source = source
        self.columns = Columns(source.extract_columns)
        self.items = {oid: name for name, oid in source.item_columns().items()}
        self.units = {oid: name for name, oid in source.units.items()}
        self.timed = {name: word for name, word in source.system.items() if word in {"entered_at", "modified_at"}}
        hidden = [name for name, word in source.system.items() if word in {"subject_key", "record_key"}]
        self.hides_subject = any(source.columns[name].identifier for name in hidden)
        self.extra: dict[str, int] = {}
        self.units_lost: dict[str, list[int]] = {}
        self.units_differ: dict[str, list[int]] = {}
        self.subjects: dict[tuple[str | None, str], list[int]] = {}
        self.transactions: list[Transaction] = []
        self.unclear: dict[str, list[tuple[int, int]]] = {}
        self.audit: list[tuple[object, ...]] = []
        self.late: list[tuple[int, list[Audit]]] = []
        self.pending: list[tuple[Key, str | None, str | None, str | None, str, int, Audit]] = []

    def strangers(self) -> list[int]:
        """Lines of rows whose SubjectKey and subject do not go together as most rows of the two say."""
        of_key: dict[str | None, str] = {}
        of_subject: dict[str, str | None] = {}
        for key, subject in sorted(self.subjects, key=lambda pair: -len(self.subjects[pair])):
            of_key.setdefault(key, subject)
            of_subject.setdefault(subject, key)
        pairs = [
            (key, subject) for key, subject in self.subjects if (of_key[key], of_subject[subject]) != (subject, key)
        ]
        return [line for pair in pairs for line in self.subjects[pair]]

    def takes(self, group: str | None, form: str | None) -> bool:
        return group in self.source.item_groups and (not self.source.forms or form in self.source.forms)

    def shown_key(self, key: Key) -> str:
        return record_key((None, *key[1:]) if self.hides_subject else key)

    def shown(self, column: str | None, value: str | None) -> str | None:
        """A value for the audit table; what may identify a person, or is of no column, stays in raw."""
        return value if column is not None and not self.source.columns[column].identifier else None


def record_key(key: Key) -> str:
    """Subject, event, form and item group with their repeats, as one text."""
    return "|".join(part or "" for part in key)


class _Odm:
    """The state of one pass over a file."""

    def __init__(self, path: Path, shown: str, study_oid: str, sources: Sequence[OdmSource]) -> None:
        self.shown = shown
        self.study_oid = study_oid
        self.feeds = {source.source: _Feed(source) for source in sources}
        self.reader = XmlReader(path, shown, self.start, self.end, self.text)
        self.head: dict[str, str] = {}
        self.began = 1
        self.clinical: dict[str, str] | None = None
        self.groups = 0
        self.site: str | None = None
        self.levels: list[_Level] = []
        self.item: _Item | None = None
        self.captured: list[str] | None = None
        self.length = 0
        self.record: Audit | None = None
        self.records: dict[str, Audit] = {}
        self.audited: list[tuple[int, Audit]] = []
        self.remark: Remark | None = None
        self.remark_depth = 0
        self.flag = False
        self.versions: dict[str, dict[str, set[str]]] = {}
        self.defined: dict[str, set[str]] = {}
        self.definition: set[str] | None = None
        self.including: set[str] = set()
        self.version = ""
        self.not_compared: list[int] = []
        self.reference = False
        self.untaken: dict[str, list[int]] = {}
        self.not_staged: dict[str, list[int]] = {}
        self.foreign: Counter[str] = Counter()
        self.foreign_line: dict[str, int] = {}

    def refuse(self, rule: str, problem: str, remedy: str) -> NoReturn:
        raise FileRefusedError(rule, self.shown, problem, remedy)

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if not self.head:
            self.begin(name, attributes)
            return
        if not name.startswith(PREFIX):
            self.start_foreign(name, attributes)
            return
        local = name[len(PREFIX) :]
        if self.clinical is not None and SEPARATOR in "".join(attributes):
            for attribute in attributes:
                if SEPARATOR in attribute:
                    self.count_foreign(attribute)
        if self.reference:
            self.groups += local == "ItemGroupData"
        elif local.startswith("ItemData"):
            self.start_item(local, attributes)
        elif local in LEVELS:
            self.start_level(local, attributes)
        elif self.clinical is None and local in READ_IN_METADATA:
            self.start_metadata(local, attributes)
        elif local == "ClinicalData":
            self.start_clinical(attributes)
        elif self.clinical is not None or local in NOT_STAGED:
            self.start_other(local, attributes)

    def begin(self, name: str, attributes: dict[str, str]) -> None:
        if name != f"{PREFIX}ODM":
            namespace, _, local = name.rpartition(SEPARATOR)
            version = f"its root is {local} of the namespace {namespace or 'none'}"
            self.refuse("not_odm", f"{version}, not ODM 1.3", "Ask the sender for ODM-XML 1.3.2")
        if attributes.get("FileType") not in {SNAPSHOT, TRANSACTIONAL}:
            self.refuse(
                "not_odm", "its FileType is neither Snapshot nor Transactional", "Ask the sender for ODM-XML 1.3.2"
            )
        self.head = attributes
        self.began = self.reader.line
        if attributes["FileType"] == TRANSACTIONAL:
            full = [name for name, feed in self.feeds.items() if feed.source.delivery == "full"]
            by_form = [name for name, feed in self.feeds.items() if feed.source.row == "form"]
            if full or by_form:
                self.refuse(
                    "transactional_not_expected",
                    f"is Transactional, and a Snapshot is what {', '.join(full or by_form)} can take",
                    "Write delivery: incremental and row: item_group in the source contract, or ask for a Snapshot",
                )

    def start_metadata(self, local: str, attributes: dict[str, str]) -> None:
        if local == "MetaDataVersion":
            self.version = attributes.get("OID", "")
            self.defined = self.versions.setdefault(self.version, {})
        elif local == "Include":
            self.including.add(self.version)
        elif local == "ItemGroupDef":
            self.definition = self.defined.setdefault(attributes.get("OID", ""), set())
        elif self.definition is not None:
            self.definition.add(attributes.get("ItemOID", ""))

    def start_clinical(self, attributes: dict[str, str]) -> None:
        if attributes.get("StudyOID") != self.study_oid:
            self.refuse(
                "wrong_study",
                f"holds data of a study whose StudyOID is not {self.study_oid} (line {self.reader.line})",
                "Drop it in the landing folder of the study it is for, or write study_oid in study.yml",
            )
        version = attributes.get("MetaDataVersionOID", "")
        if version not in self.versions or version in self.including:
            self.not_compared.append(self.reader.line)
        elif self.clinical is None or self.clinical.get("MetaDataVersionOID") != version:
            self.compare_definitions(version)
        self.clinical = attributes

    def compare_definitions(self, version: str) -> None:
        defined = self.versions[version]
        for name, feed in self.feeds.items():
            known = set().union(*(defined.get(one, set()) for one in feed.source.item_groups))
            lost = [one for one in feed.source.item_groups if one not in defined]
            lost += sorted((set(feed.items) | set(feed.units)) - known)
            if lost:
                self.refuse(
                    "missing_column",
                    f"its MetaDataVersion {version} lacks what the contract of {name} takes: {', '.join(lost)}",
                    "Ask the sender for the agreed item groups and items (a renamed OID counts as missing)",
                )
            feed.extra.update((oid, 1) for oid in sorted(known - set(feed.items) - set(feed.units)))

    def start_level(self, local: str, attributes: dict[str, str]) -> None:
        above = self.levels[-1] if self.levels else None
        own = tuple(attributes.get(word) for word in LEVELS[local])
        if own[0] is None:
            self.refuse(
                "malformed_odm",
                f"has a {local} without {LEVELS[local][0]} (line {self.reader.line})",
                "Ask for correct ODM",
            )
        # Some senders leave a level out (REDCap has no event): its place in the key stays empty.
        before = above.key if above else ()
        key = (*before, *[None] * (START_OF_KEY[local] - len(before)), *own)
        if above is not None and START_OF_KEY[local] <= START_OF_KEY[above.name]:
            self.refuse(
                "malformed_odm", f"has a {local} in a {above.name} (line {self.reader.line})", "Ask for correct ODM"
            )
        kind = self.transaction_type(attributes) or (above.kind if above else "")
        level = _Level(local, key, kind, self.reader.line, inherited=above.said() if above else None)
        if above is not None:
            above.parent = True
        self.levels.append(level)
        if local == "SubjectData":
            self.site = None
        elif local == "ItemGroupData":
            self.groups += 1

    def transaction_type(self, attributes: dict[str, str]) -> str:
        kind = attributes.get("TransactionType", "")
        if kind and kind not in TYPES:
            self.refuse(
                "malformed_odm",
                f"has a TransactionType that is none of {', '.join(sorted(TYPES))} (line {self.reader.line})",
                "Ask for correct ODM",
            )
        return kind

    def start_item(self, local: str, attributes: dict[str, str]) -> None:
        oid = attributes.get("ItemOID")
        if oid is None or not self.levels or self.levels[-1].name != "ItemGroupData":
            if self.clinical is not None:
                self.refuse(
                    "malformed_odm", f"has an {local} out of place (line {self.reader.line})", "Ask for correct ODM"
                )
            return
        kind = self.transaction_type(attributes) or self.levels[-1].kind
        null = attributes.get("IsNull") == "Yes"
        self.item = _Item(oid, attributes.get("Value"), self.reader.line, kind, local != "ItemData", null)
        # Of typed ItemData the content is the value, so what it refers to stands in attributes.
        self.item.unit = attributes.get("MeasurementUnitOID")
        if "AuditRecordID" in attributes:
            self.item.audit = self.records.setdefault(attributes["AuditRecordID"], Audit())
            self.audited.append((self.reader.line, self.item.audit))
        self.length = 0

    def capture(self) -> None:
        self.captured, self.length = [], 0

    def start_other(self, local: str, attributes: dict[str, str]) -> None:
        if local == "AuditRecord":
            self.record = self.records.setdefault(attributes["ID"], Audit()) if "ID" in attributes else Audit()
            self.audited.append((self.reader.line, self.record))
            if self.item is not None:
                self.item.audit = self.record
            elif self.levels:
                self.levels[-1].audit = self.record
        elif local == "UserRef" and self.record is not None:
            self.record.by = attributes.get("UserOID")
        elif local == "UserRef" and self.remark is not None:
            self.remark.by = attributes.get("UserOID")
        elif local == "LocationRef" and self.record is not None:
            self.record.location = attributes.get("LocationOID")
        elif local == "SiteRef":
            self.site = attributes.get("LocationOID")
        elif local == "MeasurementUnitRef" and self.item is not None:
            self.item.unit = attributes.get("MeasurementUnitOID")
        elif local == "Annotation":
            self.open_remark("annotation", attributes)
        elif local in CAPTURED:
            self.capture()
        elif local in NOT_STAGED:
            self.not_staged.setdefault(local, []).append(self.reader.line)
            self.reference = local == "ReferenceData"

    def open_remark(self, kind: str, attributes: dict[str, str]) -> None:
        self.remark = Remark(kind, self.item.oid if self.item else None, self.reader.line)
        for name, value in attributes.items():
            plain = name.rpartition(SEPARATOR)[2]
            if plain in {"Value", "Text"}:
                self.remark.text.append(value)
            elif plain in {"Status", "State"}:
                self.remark.status = value
            elif plain in {"UserOID", "Recipient"}:
                self.remark.by = value
            elif plain in {"DateTimeStamp", "DateUpdated", "DateCreated"}:
                self.remark.at = value
            elif plain in {"NoteType", "Type", "Response"}:
                self.remark.reason = value

    def count_foreign(self, name: str) -> None:
        namespace = name.rpartition(SEPARATOR)[0]
        if namespace not in KNOWN_NAMESPACES:
            self.foreign[namespace] += 1
            self.foreign_line.setdefault(namespace, self.reader.line)

    def start_foreign(self, name: str, attributes: dict[str, str]) -> None:
        if self.remark is not None and self.remark.kind == "query":
            self.remark_depth += 1
            self.capture()
            return
        local = name.rpartition(SEPARATOR)[2]
        if self.levels and local in {"Query", "DiscrepancyNote"}:
            self.open_remark("query", attributes)
            self.remark_depth = 1
            self.capture()
        else:
            self.count_foreign(name)

    def text(self, data: str) -> None:
        kept = self.captured if self.captured is not None else self.item.text if self.item is not None else None
        if kept is None:
            return
        self.length += len(data)
        if self.length > LONGEST:
            self.reader.too_long()
        kept.append(data)

    def taken(self) -> str | None:
        text = "".join(self.captured).strip() if self.captured is not None else ""
        self.captured = None
        return text or None

    def end(self, name: str) -> None:
        if not name.startswith(PREFIX):
            self.end_foreign()
            return
        local = name[len(PREFIX) :]
        if self.reference:
            self.reference = local != "ReferenceData"
        elif local.startswith("ItemData"):
            self.end_item()
        elif local in LEVELS:
            self.end_level()
        elif local == "ItemGroupDef":
            self.definition = None
        elif local == "AuditRecord":
            self.record = None
        elif local == "Annotation":
            self.close_remark()
        elif local in CAPTURED:
            self.end_captured(local, self.taken())

    def end_captured(self, local: str, text: str | None) -> None:
        if self.record is not None:
            if local == "DateTimeStamp":
                self.record.at = text
            elif local == "ReasonForChange":
                self.record.reason = text
        elif self.remark is not None and text:
            self.remark.text.append(text)
            if local == "FlagValue":
                self.remark.status = text

    def end_foreign(self) -> None:
        if self.remark is None or self.remark.kind != "query":
            return
        text = self.taken()
        if text:
            self.remark.text.append(text)
        self.remark_depth -= 1
        if self.remark_depth:
            self.capture()
        else:
            self.close_remark()

    def close_remark(self) -> None:
        if self.remark is not None and self.levels:
            self.levels[-1].remarks.append(self.remark)
        elif self.remark is not None:
            self.not_staged.setdefault("Annotation", []).append(self.remark.line)
        self.remark = None

    def end_item(self) -> None:
        item = self.item
        if item is None:
            return
        value, unclear = item.said()
        level = self.levels[-1]
        level.cells.append(Cell(item.oid, None, value, item.kind, item.line, item.audit or level.said(), unclear))
        if item.unit is not None:
            level.cells.append(Cell(item.oid, "", item.unit, item.kind, item.line, item.audit or level.said()))
        self.item = None

    def end_level(self) -> None:
        level = self.levels.pop()
        if level.name == "ItemGroupData":
            self.end_group(level)
        elif level.name == "FormData":
            for name, cells in level.forms.items():
                self.row(self.feeds[name], level, cells)
        removed = level.kind == REMOVE and self.head["FileType"] == TRANSACTIONAL and level.name != "ItemGroupData"
        for feed in self.feeds.values():
            if removed:
                feed.transactions.append(
                    Transaction(level.key, REMOVE, level.line, (), {}, level.said(), -1 - level.parent)
                )
            if feed.source.source in level.fed or removed:
                self.say(feed, level)
        if level.remarks and not level.fed and not removed:
            self.not_staged.setdefault("Annotation", []).extend(one.line for one in level.remarks)
        if self.levels:
            self.levels[-1].fed |= level.fed

    def end_group(self, level: _Level) -> None:
        form, group = level.key[3], level.key[5]
        takers = [feed for feed in self.feeds.values() if feed.takes(group, form)]
        if not takers:
            self.untaken.setdefault(f"{group} of form {form}", []).append(level.line)
            return
        for feed in takers:
            level.fed.add(feed.source.source)
            cells = self.known(feed, level.cells)
            if feed.source.row == "item_group":
                self.row(feed, level, cells)
                continue
            above = next((one for one in reversed(self.levels) if one.name == "FormData"), None)
            if above is None:
                self.refuse(
                    "malformed_odm", f"has item groups outside of a form (line {level.line})", "Ask for correct ODM"
                )
            together = above.forms.setdefault(feed.source.source, [])
            before = {cell.column for cell in together if cell.column}
            together.extend(cells)
            again = sorted(cell.item for cell in cells if cell.column in before)
            if again:
                self.refuse(
                    "items_repeat_in_form",
                    f"repeats {', '.join(again)} in one form (line {level.line}), so the form is not one row",
                    f"Write row: item_group in the contract of {feed.source.source}",
                )

    def known(self, feed: _Feed, cells: list[Cell]) -> list[Cell]:
        """The cells that have a column, with it; what the contract does not know is remembered."""
        found = []
        for item, unit, value, kind, line, audit, unclear in cells:
            own = feed.units if unit is not None else feed.items
            column = own.get(item)
            if column is not None:
                found.append(Cell(item, column, value, kind, line, audit, unclear))
            elif unit is None and item not in feed.units:
                feed.extra.setdefault(item, line)
            elif unit is not None and item in feed.items:
                expected = feed.source.columns[feed.items[item]].measured_in
                if expected is None:
                    feed.units_lost.setdefault(item, []).append(line)
                elif value != expected:
                    feed.units_differ.setdefault(item, []).append(line)
        return found

    def row(self, feed: _Feed, level: _Level, cells: list[Cell]) -> None:
        words = dict(zip(KEY_WORDS, (*level.key, None, None), strict=False))
        words |= {
            "study_oid": self.study_oid,
            "metadata_version": (self.clinical or {}).get("MetaDataVersionOID"),
            "site": self.site,
            "record_key": record_key(level.key),
        }
        system = {name: words.get(word) for name, word in feed.source.system.items()}
        for cell in cells:
            if cell.column == feed.source.subject and cell.value:
                feed.subjects.setdefault((level.key[0], cell.value.strip()), []).append(level.line)
        transactional = self.head["FileType"] == TRANSACTIONAL
        if transactional and level.kind == CONTEXT and all(cell.transaction == CONTEXT for cell in cells):
            context = Transaction(level.key, CONTEXT, level.line, tuple(cells), system, None, -1)
            feed.transactions.append(context)
            return
        position = len(feed.columns)
        unclear = self.unclear(level, cells)
        if unclear:
            feed.unclear.setdefault(unclear, []).append((position, level.line))
        feed.columns.add(system | {cell.column: cell.value for cell in cells if cell.column}, level.line)
        audits = [one for one in (level.said(), *(cell.audit for cell in cells)) if one is not None]
        if feed.timed and audits:
            feed.late.append((position, audits))
        if feed.source.delivery == "incremental":
            kind = level.kind if transactional else REPLACE
            feed.transactions.append(
                Transaction(level.key, kind, level.line, tuple(cells), system, level.said(), position, unclear)
            )
        if not transactional:
            feed.pending.extend(
                (level.key, cell.item, cell.column, cell.value, cell.transaction, cell.line, cell.audit)
                for cell in cells
                if cell.audit is not None and cell.audit is not level.said()
            )

    def unclear(self, level: _Level, cells: Sequence[Cell]) -> str:
        """Why the row that a level is cannot be told, or nothing. Transactions may change an item several times."""
        snapshot = self.head["FileType"] == SNAPSHOT
        if snapshot and {level.kind, *(cell.transaction for cell in cells)} & {REMOVE, CONTEXT}:
            return NOT_OF_SNAPSHOT
        values: dict[tuple[str | None, str], str | None] = {}
        for cell in cells:
            if cell.unclear:
                return cell.unclear
            once = (cell.column, "" if snapshot else cell.transaction)
            if values.setdefault(once, cell.value) != cell.value and (snapshot or cell.transaction == INSERT):
                return TWICE
        return ""

    def say(self, feed: _Feed, level: _Level) -> None:
        """Audit record and remarks of a level, for the audit table of a source."""
        if level.audit is not None:
            feed.pending.append((level.key, None, None, None, level.kind, level.line, level.audit))
        for remark in level.remarks:
            column = feed.items.get(remark.item) if remark.item else None
            text = "; ".join(remark.text) or None
            if column is not None and feed.source.columns[column].identifier:
                text = None
            where = (remark.kind, feed.shown_key(level.key), remark.item, column, None, None, text)
            feed.audit.append((*where, remark.status, remark.by, None, remark.at, remark.reason, remark.line))

    def extract(self, feed: _Feed, shared: tuple[Note, ...]) -> OdmExtract:
        for row, audits in feed.late:
            times = sorted(one.at for one in audits if one.at)
            for name, word in feed.timed.items():
                if times:
                    feed.columns.set(name, row, times[0] if word == "entered_at" else times[-1])
        for key, item, column, value, kind, line, audit in feed.pending:
            what = ("audit", feed.shown_key(key), item, column, kind or None, None, feed.shown(column, value), None)
            feed.audit.append((*what, audit.by, audit.location, audit.at, audit.reason, line))
        created = self.head.get("CreationDateTime", "")
        notes = [*shared, *self.units(feed), *_shared_lines(feed.columns)]
        return OdmExtract(
            frame=feed.columns.frame(),
            lines=feed.columns.line_numbers(),
            extra=dict(feed.extra),
            notes=tuple(notes),
            declared_at=created if dates.is_moment(created) else None,
            partial=self.head["FileType"] == TRANSACTIONAL,
            audit=tuple(feed.audit),
            file_type=self.head["FileType"],
            file_oid=self.head.get("FileOID", ""),
            prior_file_oid=self.head.get("PriorFileOID", ""),
            transactions=tuple(feed.transactions),
            settled=_unclear(feed.unclear),
        )

    def units(self, feed: _Feed) -> list[Note]:
        return [
            Note(
                "unit_not_taken",
                Severity.ANSWER,
                feed.items[item],
                "values carry a measurement unit that the contract has no column for",
                "Name a column for it under units in the source contract, or the unit under measured_in",
                tuple(lines),
            )
            for item, lines in sorted(feed.units_lost.items())
        ] + [
            Note(
                "unit_differs",
                Severity.CRITICAL,
                feed.items[item],
                "values carry another measurement unit than measured_in of the contract says",
                "Ask the sender which unit the values are in; until then they are taken as the contract says",
                tuple(lines),
            )
            for item, lines in sorted(feed.units_differ.items())
        ]

    def notes(self) -> tuple[Note, ...]:
        """What is to be said of the file as such."""
        found = [
            Note(
                "item_group_not_taken",
                Severity.ANSWER,
                "",
                f"data of item group {group} are in the file and in no source contract; they are kept in raw",
                "Write a source contract for the item group, or ask for an export without it",
                tuple(lines),
                group,
            )
            for group, lines in sorted(self.untaken.items())
        ]
        found.extend(
            Note(
                "element_not_taken",
                Severity.INFORMATION,
                "",
                f"elements {local} of ODM are kept in raw and not staged",
                "Nothing, unless the study needs them",
                tuple(lines),
                local,
            )
            for local, lines in sorted(self.not_staged.items())
        )
        found.extend(
            Note(
                "vendor_extension",
                Severity.INFORMATION,
                "",
                f"{count} element(s) and attributes of the namespace {namespace} are kept in raw and not staged",
                "Nothing, unless the study needs them",
                (self.foreign_line[namespace],),
                namespace,
            )
            for namespace, count in sorted(self.foreign.items())
        )
        created = self.head.get("CreationDateTime", "")
        strange = sorted({line for feed in self.feeds.values() for line in feed.strangers()})
        if strange:
            found.append(
                Note(
                    "subject_key_contradicts",
                    Severity.CRITICAL,
                    "",
                    "rows name another subject than the other rows under their SubjectKey, or their subject stands "
                    "under several SubjectKeys; they count for the subject they name",
                    "Ask the sender whose data they are",
                    tuple(strange),
                )
            )
        undated = sorted({line for line, audit in self.audited if audit.at is None})
        if undated:
            found.append(
                Note(
                    "audit_without_date",
                    Severity.ANSWER,
                    "",
                    "audit records have no date, so nobody can tell when these values were entered or changed",
                    "Ask the sender for an export with DateTimeStamp in every AuditRecord",
                    tuple(undated),
                )
            )
        if created and not dates.is_moment(created):
            found.append(unreadable_time("CreationDateTime", self.began))
        if self.not_compared:
            found.append(
                Note(
                    "metadata_not_in_file",
                    Severity.INFORMATION,
                    "",
                    "the file does not define the MetaDataVersion of its data, so it could not be compared with the "
                    "contract",
                    "Ask the sender for exports with the MetaDataVersion that their ClinicalData names",
                    tuple(self.not_compared),
                )
            )
        return tuple(found)


def _unclear(rows: Mapping[str, Sequence[tuple[int, int]]]) -> tuple[Settled, ...]:
    """Rows (position and line) that cannot be told, by why."""
    return tuple(
        Settled(
            "quarantined",
            UNCLEAR,
            np.array([row for row, _ in own], dtype=np.int64),
            Note(
                UNCLEAR,
                Severity.CRITICAL,
                "",
                f"an item group {why}, so its row is not taken",
                "Ask the sender which is meant, and for an export that says it once",
                tuple(line for _, line in own),
                why,
            ),
        )
        for why, own in sorted(rows.items())
    )


def _shared_lines(columns: Columns) -> list[Note]:
    """A file written without line breaks: a line then names several rows."""
    shared = sorted(line for line, count in Counter(columns.lines).items() if count > 1)
    if not shared:
        return []
    return [
        Note(
            "rows_share_lines",
            Severity.INFORMATION,
            "",
            "several rows stand on one line, so file and line do not tell them apart",
            "Ask the sender for an export with a line for each element",
            tuple(shared),
        )
    ]


def read_odm(path: Path, shown: str, study_oid: str, sources: Sequence[OdmSource]) -> tuple[dict[str, OdmExtract], int]:
    """Read the file at `path`, called `shown` in messages, for all sources it feeds.

    Returns the extract of each source, and the number of ItemGroupData in the file. What is to be said of the file
    as such is said by the first source. Raises FileRefusedError: not_odm, malformed_odm, wrong_study,
    missing_column, no_clinical_data, transactional_not_expected, items_repeat_in_form, and what XmlReader raises.
    """
    odm = _Odm(path, shown, study_oid, sources)
    odm.reader.read()
    if odm.clinical is None:
        odm.refuse(
            "no_clinical_data",
            "holds no ClinicalData, only metadata",
            "Ask the sender for the export with the data of the subjects",
        )
    notes = odm.notes()
    extracts = {}
    for number, (name, feed) in enumerate(sorted(odm.feeds.items())):
        extracts[name] = odm.extract(feed, notes if number == 0 else ())
    return extracts, odm.groups
