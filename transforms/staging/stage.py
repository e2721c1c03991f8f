"""Staging one source: its extracts as one frame of canonical text, each row knowing file and line.

Every row of every file is accepted, quarantined, superseded, duplicate, or excluded by a named rule.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from transforms.algorithms.base import StudyCodelist
from transforms.core import conditions, dates, numbers, text
from transforms.core.identifiers import Identifiers
from transforms.core.tables import Table
from transforms.findings import Finding, RawPlace, Severity
from transforms.sources.extract import Extract, Note
from transforms.staging import cells, revisions
from transforms.staging.versions import Behind, Version
from transforms.study.corrections import CORRECTIONS, corrections_of
from transforms.study.models import Column, Source

LABORATORY = ("result", "unit", "range")
OUTCOMES = ("accepted", "quarantined", "superseded", "duplicate", "excluded")
RELEASED = "released_row"
DELETED = "deleted_in_source"
OFFSET = re.compile(r"(?:\d{4}|:\d{2})([+-]\d{2}:?\d{2}|Z)$")  # behind a time of day
FIRST_YEAR = "1900"

Released = Mapping[str, Mapping[str, frozenset[int]]]


@dataclass(frozen=True)
class RawFile:
    """An accepted file of a source, as read: `name` as delivered, `sha256` of its bytes."""

    name: str
    sha256: str
    extract: Extract


@dataclass(frozen=True)
class AccountLine:
    """How many rows of a file had one outcome, under which rule."""

    source: str
    file: str
    sha256: str
    outcome: str
    rule: str
    rows: int


@dataclass(frozen=True)
class Staged:
    """The accepted rows of a source: text columns, and for each row its file (position in `files`) and line."""

    source: str
    frame: pd.DataFrame
    file_codes: np.ndarray
    lines: np.ndarray
    files: tuple[RawFile, ...]
    subjects: pd.Series
    account: tuple[AccountLine, ...] = ()
    findings: tuple[Finding, ...] = ()
    versions: tuple[Version, ...] = ()

    def places(self, rows: np.ndarray) -> tuple[RawPlace, ...]:
        """Raw places of some rows (positions)."""
        result = []
        for code in np.unique(self.file_codes[rows]):
            here = rows[self.file_codes[rows] == code]
            file = self.files[code]
            result.append(RawPlace(file.name, tuple(sorted({int(one) for one in self.lines[here]})), file.sha256))
        return tuple(result)


@dataclass
class _Rows:
    """Rows of a source while they are sorted out: `outcome` and `rule` say what became of each."""

    source: Source
    files: tuple[RawFile, ...]
    frame: pd.DataFrame
    file_codes: np.ndarray
    lines: np.ndarray
    outcome: np.ndarray
    rule: np.ndarray
    released: Released
    findings: list[Finding] = field(default_factory=list)
    behind: list[Behind] = field(default_factory=list)

    def not_released(self, rule: str, column: str, mask: np.ndarray) -> np.ndarray:
        """The rows of `mask` that nobody released from quarantine; those released are said."""
        free = _released_rows(self.released.get(rule, {}), self.files, self.file_codes, self.lines) & mask
        if free.any():
            self.find(
                RELEASED,
                Severity.INFORMATION,
                column,
                free,
                f"rows held by {rule} were released by a decision and are taken",
                "Nothing; the decision log says who released them and why",
                cause=rule,
            )
        kept: np.ndarray = mask & ~free
        return kept

    def open(self) -> np.ndarray:
        accepted: np.ndarray = self.outcome == "accepted"
        return accepted

    def place(self, row: int) -> RawPlace:
        """File and line of one row."""
        file = self.files[self.file_codes[row]]
        return RawPlace(file.name, (int(self.lines[row]),), file.sha256)

    def link(self, rows: np.ndarray, by: np.ndarray) -> None:
        """Say for superseded rows which row stands in their place."""
        self.behind.extend(
            Behind(str(self.rule[old]), int(new), self.place(old)) for old, new in zip(rows, by, strict=True)
        )

    def settle(self, mask: np.ndarray, outcome: str, rule: str) -> None:
        self.outcome[mask] = outcome
        self.rule[mask] = rule

    def hold(self, rule: str, column: str, mask: np.ndarray, message: str, remedy: str, cause: str = "") -> None:
        """Quarantine the rows of `mask` under a rule, and say so."""
        self.settle(mask, "quarantined", rule)
        self.find(rule, Severity.CRITICAL, column, mask, message, remedy, held=True, cause=cause)

    def places(self, mask: np.ndarray) -> tuple[RawPlace, ...]:
        result = []
        for code, file in enumerate(self.files):
            lines = self.lines[mask & (self.file_codes == code)]
            if len(lines):
                result.append(RawPlace(file.name, tuple(int(one) for one in np.sort(lines)), file.sha256))
        return tuple(result)

    def find(
        self,
        rule: str,
        severity: Severity,
        column: str,
        mask: np.ndarray,
        message: str,
        remedy: str,
        held: bool = False,
        cause: str = "",
    ) -> None:
        places = self.places(mask)
        self.findings.append(Finding(rule, severity, self.source.source, column, message, remedy, places, cause, held))


def stage(
    source: Source,
    files: Sequence[RawFile],
    *,
    cut_off: str,
    identities: Mapping[str, str] | None = None,
    released: Released | None = None,
    tables: Mapping[str, Table] | None = None,
    codelists: Mapping[str, StudyCodelist] | None = None,
    identifiers: Identifiers | None = None,
) -> Staged:
    """Stage the files of one source, given in the order in which they were extracted.

    A `full` source is its last file; an `incremental` one is all of them, a later row of the same record
    id superseding an earlier one. `identities` maps a hospital identifier to a subject where the contract
    has an identity. Dates after `cut_off` (ISO) are findings. `released` holds, by rule and sha256 of the
    file, the lines that a person released from quarantine. `tables` and `codelists` are the study's, as far as the
    contract names them; `identifiers` are looked for in every text.
    """
    used = tuple(files) if source.delivery == "incremental" else tuple(files[-1:])
    rows = _gather(source, used, released or {})
    _of_reader(rows)
    _file_findings(rows)
    cells.correct(rows, corrections_of((tables or {}).get(CORRECTIONS), source.source))
    _excluded(rows)
    _equal_rows(rows)
    cells.clean(rows)
    if identifiers is not None:
        cells.withhold_identifiers(rows, identifiers)
    cells.normalise(rows, codelists or {})
    _constants(rows)
    _revisions(rows)
    cells.laboratory(rows, tables or {})
    _types(rows, cut_off)
    _required(rows)
    subjects = _subjects(rows, identities)
    _record_ids(rows)
    keep = rows.open()
    shown = [name for name, column in source.columns.items() if not column.identifier]
    return Staged(
        source=source.source,
        frame=rows.frame.loc[keep, shown].reset_index(drop=True),
        file_codes=rows.file_codes[keep],
        lines=rows.lines[keep],
        files=used,
        subjects=subjects[keep].reset_index(drop=True),
        account=_account(rows),
        findings=tuple(rows.findings),
        versions=tuple(Version(rows.place(one.row), one) for one in rows.behind),
    )


def identity_map(
    source: Source, files: Sequence[RawFile], column: str, subject: str, released: Released | None = None
) -> tuple[dict[str, str], list[Finding]]:
    """Hospital identifier to subject, one to one, from the extract that links them.

    An identifier of two subjects, or a subject with two identifiers, is left out and is a critical finding.
    """
    used = tuple(files) if source.delivery == "incremental" else tuple(files[-1:])
    rows = _gather(source, used, released or {})
    _of_reader(rows)
    _excluded(rows)
    _constants(rows)
    rows.findings.clear()
    both = {"id": text.map_text(rows.frame[column], text.narrow), "subject": rows.frame[subject]}
    known = rows.open() & both["id"].notna().to_numpy() & both["subject"].notna().to_numpy()
    own = pd.DataFrame({name: one.astype(object) for name, one in both.items()})[known]
    pairs = own.drop_duplicates()
    bad = pairs["id"].duplicated(keep=False) | pairs["subject"].duplicated(keep=False)
    result = dict(zip(pairs["id"][~bad], pairs["subject"][~bad], strict=True))
    for subjects in _persons(pairs[bad]):
        # The cause is hashed: subjects may stand there, hospital numbers are short enough to be found by trial.
        rows.find(
            "identity_not_one_to_one",
            Severity.CRITICAL,
            subject,
            known & text.map_flag(both["subject"], lambda one, own=subjects: one in own),  # type: ignore[misc]
            "a hospital identifier belongs to several subjects, or a subject has several",
            "Ask the site which pair is right; until then rows of these persons are quarantined",
            cause="\x1f".join(sorted(subjects)),
        )
    return result, rows.findings


def _persons(pairs: pd.DataFrame) -> list[set[str]]:
    """Subjects that share identifiers, directly or through others, together."""
    groups: list[tuple[set[str], set[str]]] = []
    for identifier, subject in pairs.itertuples(index=False):
        ids, subjects = {identifier}, {subject}
        apart = []
        for group in groups:
            if group[0] & ids or group[1] & subjects:
                ids, subjects = ids | group[0], subjects | group[1]
            else:
                apart.append(group)
        groups = [*apart, (ids, subjects)]
    return [subjects for _, subjects in groups]


def quarantine(
    staged: Staged, rows: np.ndarray, finding: Finding, *, released: Released | None = None
) -> tuple[Staged, np.ndarray, Finding | None]:
    """Hold some accepted rows (positions) back under the rule of a finding.

    Rows that a person released stay and are said. Returns the staged source, which of its rows stayed, and the
    finding with the places of the rows that are held, or None where all were released.
    """
    free = _released_rows((released or {}).get(finding.rule, {}), staged.files, staged.file_codes, staged.lines)
    held = np.zeros(len(staged.lines), dtype=bool)
    held[rows] = True
    said = staged.findings
    if (free & held).any():
        said = (
            *said,
            Finding(
                RELEASED,
                Severity.INFORMATION,
                staged.source,
                finding.variable,
                f"rows held by {finding.rule} were released by a decision and are taken",
                "Nothing; the decision log says who released them and why",
                staged.places(np.flatnonzero(free & held)),
                finding.rule,
            ),
        )
        held &= ~free
    if not held.any():
        return replace(staged, findings=said), ~held, None
    account = []
    for line in staged.account:
        code = next((code for code, file in enumerate(staged.files) if file.sha256 == line.sha256), -1)
        count = int((held & (staged.file_codes == code)).sum()) if line.outcome == "accepted" else 0
        if count < line.rows or not count:
            account.append(replace(line, rows=line.rows - count))
        if count:
            account.append(replace(line, outcome="quarantined", rule=finding.rule, rows=count))
    keep = ~held
    result = replace(
        staged,
        frame=staged.frame[keep].reset_index(drop=True),
        file_codes=staged.file_codes[keep],
        lines=staged.lines[keep],
        subjects=staged.subjects[keep].reset_index(drop=True),
        account=tuple(account),
        findings=said,
    )
    return result, keep, replace(finding, places=staged.places(np.flatnonzero(held)), held=True)


def _released_rows(
    places: Mapping[str, frozenset[int]], files: Sequence[RawFile], file_codes: np.ndarray, lines: np.ndarray
) -> np.ndarray:
    mask = np.zeros(len(lines), dtype=bool)
    for code, file in enumerate(files):
        if file.sha256 in places:
            mask |= (file_codes == code) & np.isin(lines, list(places[file.sha256]))
    return mask


def _gather(source: Source, files: tuple[RawFile, ...], released: Released) -> _Rows:
    columns = source.extract_columns
    extracts = [file.extract for file in files]
    if len(extracts) == 1:
        frame = extracts[0].frame
    else:
        index = pd.RangeIndex(sum(len(extract.frame) for extract in extracts))
        frame = pd.DataFrame(
            {
                name: text.concat([extract.frame[name] for extract in extracts]) if extracts else text.missing(index)
                for name in columns
            },
            index=index,
        )
    made = {name: text.missing(frame.index) for name, column in source.columns.items() if column.made}
    frame = frame.assign(**made) if made else frame
    sizes = [len(extract.frame) for extract in extracts]
    lines = np.concatenate([extract.lines for extract in extracts]) if extracts else np.empty(0, dtype=np.int64)
    outcome = np.full(len(frame), "accepted", dtype=object)
    return _Rows(
        source,
        files,
        frame,
        np.repeat(np.arange(len(files)), sizes),
        lines,
        outcome,
        np.full(len(frame), "", dtype=object),
        released,
    )


def _of_reader(rows: _Rows) -> None:
    """What the reader set aside, settled or wants to be said becomes outcomes and findings, one finding per cause."""
    told: dict[tuple[str, ...], list[tuple[RawFile, Note, bool]]] = {}
    for code, file in enumerate(rows.files):
        notes = [(note, True) for note in file.extract.set_aside] + [(note, False) for note in file.extract.notes]
        start = int(np.searchsorted(rows.file_codes, code))
        for one in file.extract.settled:
            mask = np.zeros(len(rows.lines), dtype=bool)
            mask[start + one.rows] = True
            rows.settle(mask, one.outcome, one.rule)
            if one.note is not None:
                notes.append((one.note, one.outcome == "quarantined"))
        for note, held in notes:
            told.setdefault((note.rule, note.variable, note.cause), []).append((file, note, held))
    for said in told.values():
        note, held = said[0][1:]
        places = tuple(RawPlace(file.name, one.lines, file.sha256) for file, one, _ in said)
        source = rows.source.source
        rows.findings.append(
            Finding(
                note.rule, note.severity, source, note.variable, note.message, note.remedy, places, note.cause, held
            )
        )


def _file_findings(rows: _Rows) -> None:
    for file in rows.files:
        if not file.extract.ended:
            rows.findings.append(
                Finding(
                    "last_line_not_ended",
                    Severity.ANSWER,
                    rows.source.source,
                    "",
                    "the last line has no line break; its fields are complete, but its last value may be cut off",
                    "Ask the sender whether the file is whole; a manifest with its sha256 would settle it",
                    (RawPlace(file.name, tuple(int(line) for line in file.extract.lines[-1:]), file.sha256),),
                )
            )
        if not file.extract.rows and not file.extract.partial:
            rows.findings.append(
                Finding(
                    "no_rows",
                    Severity.INFORMATION if rows.source.may_be_empty else Severity.ANSWER,
                    rows.source.source,
                    "",
                    "the file holds no row of the source",
                    "Nothing, while there is nothing to collect"
                    if rows.source.may_be_empty
                    else "Ask the sender whether nothing has been collected yet",
                    (RawPlace(file.name, (1,), file.sha256),),
                )
            )
        for name, line in file.extract.extra.items():
            rows.findings.append(
                Finding(
                    "extra_column",
                    Severity.ANSWER,
                    rows.source.source,
                    name,
                    f"column {name!r} is not in the source contract; it is kept in raw and not staged",
                    "Add it to the source contract, mapped or with a reason why it is not submitted",
                    (RawPlace(file.name, (line,), file.sha256),),
                )
            )


def _excluded(rows: _Rows) -> None:
    deleted = rows.source.deleted
    if deleted is not None:
        gone = text.map_flag(rows.frame[deleted.column], lambda value: value == deleted.value)
        rows.settle(rows.open() & gone, "excluded", DELETED)
        if deleted.otherwise is not None:
            known = (deleted.value, deleted.otherwise)
            strange = rows.open() & text.map_flag(rows.frame[deleted.column], lambda value: value not in known)
            if strange.any():
                rows.find(
                    "unknown_delete_marker",
                    Severity.CRITICAL,
                    deleted.column,
                    strange,
                    "the column says neither that the record was deleted nor that it stands; it is kept",
                    "Ask the sender what the value means, and have the record deleted at the source if it says so",
                )
    for exclusion in rows.source.exclude:
        gone = conditions.rows(exclusion.where, lambda name: rows.frame[name], rows.frame.index)
        rows.settle(rows.open() & gone, "excluded", exclusion.rule)


def _constants(rows: _Rows) -> None:
    """Rows that say they are of another form, or study, than the source: what their values mean is in doubt."""
    for name, column in rows.source.columns.items():
        if column.constant is None:
            continue
        other = rows.open() & text.map_flag(
            rows.frame[name],
            lambda value, own=column.constant: text.narrow(value) != own,  # type: ignore[misc]
        )
        other = rows.not_released("not_of_source", name, other)
        if other.any():
            rows.hold(
                "not_of_source",
                name,
                other,
                f"the column is {column.constant!r} on every row of this source, and these rows say something else",
                "Ask the sender where the rows belong, and for a file without them; "
                "if the source has a new name, write it as `constant` of the column in the source contract",
            )


def _equal_rows(rows: _Rows) -> None:
    """Rows equal in every column: kept with a finding, or duplicates where the contract or a record id says so."""
    open_rows = np.flatnonzero(rows.open())
    if not len(open_rows):
        return
    codes = text.combination_codes([rows.frame[name] for name in rows.frame.columns])
    own = pd.Series(codes[open_rows])
    again = own.duplicated().to_numpy()
    if not again.any():
        return
    mask = np.zeros(len(rows.frame), dtype=bool)
    mask[open_rows[again]] = True
    if rows.source.equal_rows == "duplicate" or rows.source.record_id:
        rows.settle(mask, "duplicate", "equal_row")
        return
    mask[open_rows[own.duplicated(keep=False).to_numpy()]] = True
    rows.find(
        "equal_rows_kept",
        Severity.ANSWER,
        "",
        mask,
        "rows are equal in every column and have no record id, so all of them stay",
        "Ask the site whether they are one event entered twice; if so, have one deleted at the source",
    )


def _revisions(rows: _Rows) -> None:
    """One version of each record, the last final or corrected one; the others are superseded, or held if in doubt."""
    rule = rows.source.revisions
    if rule is None:
        return
    open_rows = np.flatnonzero(rows.open())
    here = rows.frame.iloc[open_rows]
    meaning = {
        **dict.fromkeys(rule.final, revisions.FINAL),
        **dict.fromkeys(rule.corrected, revisions.CORRECTED),
        **dict.fromkeys(rule.preliminary, revisions.PRELIMINARY),
        **dict.fromkeys(rule.cancelled, revisions.CANCELLED),
    }
    number = text.map_number(here[rule.number], lambda one: numbers.parse_number(text.narrow(one))).to_numpy()
    state = text.map_number(here[rule.status], lambda one: meaning.get(text.narrow(one), revisions.UNKNOWN))
    states = state.fillna(revisions.UNKNOWN).to_numpy().astype(np.int64)
    states[here[list(rule.key)].isna().any(axis=1).to_numpy()] = revisions.UNKNOWN
    records = text.combination_codes([here[name] for name in rule.key])
    found = revisions.standing(records, number, states, rows.file_codes[open_rows])
    columns = f"{rule.number}, {rule.status}"
    for fate, (outcome, name) in revisions.OUTCOMES.items():
        mask = np.zeros(len(rows.frame), dtype=bool)
        mask[open_rows[found.fate == fate]] = True
        if outcome == "quarantined":
            mask = rows.not_released(name, columns, mask)
        rows.settle(mask, outcome, name)
        if fate in REVISION_FINDINGS and mask.any():
            severity, message, remedy = REVISION_FINDINGS[fate]
            rows.find(name, severity, columns, mask, message, remedy, held=outcome == "quarantined")
    linked = np.flatnonzero(found.by >= 0)
    rows.link(open_rows[linked], open_rows[found.by[linked]])
    _persons_of_versions(rows, open_rows[linked], open_rows[found.by[linked]])
    if rule.flag is not None:
        replaced = found.by[(found.fate == revisions.EARLIER) & (states != revisions.CANCELLED)]
        corrected = text.map_flag(here[rule.status], lambda one: text.narrow(one) in rule.corrected)
        corrected[replaced] = True
        codes = np.full(len(rows.frame), text.MISSING)
        codes[open_rows[corrected]] = 0
        rows.frame = rows.frame.assign(**{rule.flag: text.column(codes, ["Y"], rows.frame.index)})


def _persons_of_versions(rows: _Rows, earlier: np.ndarray, standing: np.ndarray) -> None:
    """A version whose person is not that of the one that replaces it: the result moves from one person to another."""
    column = rows.source.subject
    if column is None or not len(earlier):
        return
    persons = text.map_text(rows.frame[column], text.narrow).array.codes
    moved = persons[earlier] != persons[standing]
    if moved.any():
        mask = np.zeros(len(rows.frame), dtype=bool)
        mask[earlier[moved]] = mask[standing[moved]] = True
        rows.find(
            "revision_of_other_person",
            Severity.CRITICAL,
            column,
            mask,
            "versions of one result name different persons; the last one stands, under the person it names",
            "Ask the sender whose result it is; if an earlier version named the wrong person, waive this",
        )


REVISION_FINDINGS = {
    revisions.PENDING: (
        Severity.INFORMATION,
        "only a preliminary version has come so far; it is left out",
        "Nothing, if the final version follows; otherwise ask the sender for it",
    ),
    revisions.CANCELS: (
        Severity.INFORMATION,
        "the record was cancelled at the source; no version of it is taken",
        "Nothing, or ask the sender why",
    ),
    revisions.AMBIGUOUS: (
        Severity.CRITICAL,
        "several different final versions carry the same revision, so none can be trusted",
        "Ask the sender which version is right",
    ),
    revisions.UNREADABLE: (
        Severity.CRITICAL,
        "a version lacks its record's key, a readable revision or a known status: which is the last cannot be said",
        "Ask the sender for key, revision and status, or add the status to the source contract",
    ),
}


def _types(rows: _Rows, cut_off: str) -> None:
    for name, column in rows.source.columns.items():
        if column.identifier:
            continue
        values = rows.frame[name]
        if column.type not in {"text", *LABORATORY}:
            read = _reader(column)
            canonical = text.map_text(values, read)
            bad = rows.open() & values.notna().to_numpy() & canonical.isna().to_numpy()
            bad = rows.not_released(f"unreadable_{column.type}", name, bad)
            rows.frame = rows.frame.assign(**{name: canonical})
            if bad.any():
                rows.hold(
                    f"unreadable_{column.type}",
                    name,
                    bad,
                    f"the text is no {column.type}"
                    + (f" in the layout {' or '.join(column.layouts)}" if column.layouts else ""),
                    "Have the value corrected at the source, or add its layout to the source contract",
                )
            if any("+hhmm" in layout for layout in column.layouts):
                _offsets(rows, name, values)
            if column.default_midnight:
                rows.frame = rows.frame.assign(**{name: _without_midnight(rows, name, canonical)})
            if any("DD" in layout and "YYYY" in layout for layout in column.layouts):
                partial = rows.open() & text.map_flag(canonical, lambda value: len(value) < 10)
                if partial.any():
                    rows.find(
                        "partial_date",
                        Severity.ANSWER if column.complete else Severity.INFORMATION,
                        name,
                        partial,
                        "the day, or day and month, is unknown; the date stays as precise as collected",
                        "Ask the site whether the full date is known",
                    )
            if column.type in {"date", "datetime"} and not column.planned:
                late = rows.open() & text.map_flag(canonical, lambda value: value[:10] > cut_off[: len(value[:10])])
                if late.any():
                    rows.find(
                        "after_cut_off",
                        Severity.ANSWER,
                        name,
                        late,
                        "the date lies after the cut-off",
                        "Ask the site for the right date, or use a later cut-off",
                    )
                early = rows.open() & text.map_flag(canonical, lambda value: value[:4] < FIRST_YEAR)
                if early.any():
                    rows.find(
                        "before_1900",
                        Severity.ANSWER,
                        name,
                        early,
                        "the date lies before 1900, when no subject of a study lived",
                        "Ask the site for the right date",
                    )


def _required(rows: _Rows) -> None:
    for name, column in rows.source.columns.items():
        if not column.required:
            continue
        where = column.required if isinstance(column.required, dict) else {}
        empty = rows.open() & rows.frame[name].isna().to_numpy()
        if where:
            empty &= conditions.rows(where, lambda other: rows.frame[other], rows.frame.index)
        if empty.any():
            said = " and ".join(f"{other} {test.says()}" for other, test in where.items())
            rows.find(
                "required_value_missing",
                Severity.ANSWER,
                name,
                empty,
                f"a value that the contract requires{' where ' + said if said else ''} is missing",
                "Ask the site for the value",
            )


def _offsets(rows: _Rows, name: str, collected: pd.Series) -> None:
    """Times that carry another offset from UTC than most of their column: as written they are no local times."""
    offsets = text.map_text(
        collected, lambda value: found[1].replace(":", "") if (found := OFFSET.search(value)) else None
    )
    codes = np.where(rows.open(), offsets.array.codes, text.MISSING)
    counts = np.bincount(codes[codes >= 0])
    if np.count_nonzero(counts) < 2:
        return
    rows.find(
        "utc_offset_differs",
        Severity.CRITICAL,
        name,
        (codes >= 0) & (codes != counts.argmax()),
        "the time carries another offset from UTC than most of the column; it is taken as local time as it is written",
        "Ask the sender for the local time of the site",
    )


def _without_midnight(rows: _Rows, name: str, canonical: pd.Series) -> pd.Series:
    """Times of 00:00 dropped and said: the source writes them where the time is unknown."""
    unknown = rows.open() & text.map_flag(canonical, lambda value: value[10:] in MIDNIGHT)
    if not unknown.any():
        return canonical
    rows.find(
        "time_unknown",
        Severity.INFORMATION,
        name,
        unknown,
        "the time is 00:00, which this source writes where it is unknown; the date stays without time",
        "Ask the site for the time where it matters",
    )
    return text.map_text(canonical, lambda value: value[:10] if value[10:] in MIDNIGHT else value)


MIDNIGHT = ("T00:00", "T00:00:00")


def _reader(column: Column) -> Callable[[str], str | None]:
    if column.type == "number":
        return lambda value: numbers.canonical_number(text.narrow(value))
    if column.type == "integer":
        return _integer
    return lambda value: dates.to_iso(text.narrow(value), column.layouts)


def _integer(value: str) -> str | None:
    plain = numbers.canonical_number(text.narrow(value))
    return plain if plain is not None and "." not in plain else None


def _subjects(rows: _Rows, identities: Mapping[str, str] | None) -> pd.Series:
    """Each row's subject; a row without one that needs one, or with an unknown identifier, is quarantined.

    The rows of a source that names no subject column have none.
    """
    if rows.source.subject is None:
        return text.missing(rows.frame.index)
    identifiers = text.map_text(rows.frame[rows.source.subject], text.narrow)
    linked = rows.source.identity is not None
    subjects = text.translate(identifiers, identities or {}) if linked else identifiers
    lost = rows.open() & subjects.isna().to_numpy()
    if rows.source.without_subject:
        lost &= ~conditions.rows(rows.source.without_subject, lambda name: rows.frame[name], rows.frame.index)
    if lost.any():
        rule = "unknown_identifier" if linked else "no_subject"
        rows.hold(
            rule,
            rows.source.subject,
            lost,
            "the row cannot be attributed to a subject",
            "Have the identifier corrected at the source or the person linked to a subject",
        )
    return subjects


def _record_ids(rows: _Rows) -> None:
    """One row per record id: a later file supersedes an earlier one; twice in one file holds both.

    A row that says its record was deleted supersedes the record's rows of earlier files too.
    """
    if not rows.source.record_id:
        return
    open_rows = np.flatnonzero(rows.open() | (rows.rule == DELETED))
    codes = text.combination_codes([rows.frame[name].iloc[open_rows] for name in rows.source.record_id])
    keys = pd.DataFrame({"record": codes, "file": rows.file_codes[open_rows]})
    latest = keys.groupby("record")["file"].transform("max").to_numpy()
    old = np.zeros(len(rows.frame), dtype=bool)
    before = np.flatnonzero(keys["file"].to_numpy() < latest)
    old[open_rows[before]] = True
    rows.settle(old & rows.open(), "superseded", "later_file")
    if len(before):
        standing = keys[keys["file"] == latest].groupby("record").head(1)
        by = pd.Series(standing.index.to_numpy(), index=standing["record"].to_numpy())
        rows.link(open_rows[before], open_rows[by.reindex(codes[before]).to_numpy()])
    keys["live"] = rows.open()[open_rows]
    twice = np.zeros(len(rows.frame), dtype=bool)
    twice[open_rows[keys.duplicated(keep=False).to_numpy() & (keys["file"].to_numpy() == latest)]] = True
    twice &= rows.open()
    twice = rows.not_released("duplicate_key", ", ".join(rows.source.record_id), twice)
    if twice.any():
        rows.hold(
            "duplicate_key",
            ", ".join(rows.source.record_id),
            twice,
            "several different rows carry the same record id, so none can be trusted",
            "Ask the sender which row is right",
        )


def _account(rows: _Rows) -> tuple[AccountLine, ...]:
    result: list[AccountLine] = []
    for code, file in enumerate(rows.files):
        here = rows.file_codes == code
        lines = Counter(zip(rows.outcome[here], rows.rule[here], strict=True))
        for note in file.extract.set_aside:
            lines[("quarantined", note.rule)] += len(note.lines)
        if file.extract.blank:
            lines[("excluded", "blank_line")] = len(file.extract.blank)
        for (outcome, rule), count in sorted(lines.items()):
            result.append(AccountLine(rows.source.source, file.name, file.sha256, outcome, rule, count))
    return tuple(result)
