"""Compares what a run found with what the planted faults must and may raise."""

from __future__ import annotations

import csv
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from .apply import COLUMNS, Expected
from .landing import SUBJECT, DelimitedFile, FaultError, Landing, subject_of

Place = tuple[str, int]
"""A file and a line of it."""


@dataclass(frozen=True)
class Found:
    """What a run found: the findings that stand and the files refused, as ``./cairn findings STUDY --json`` says.

    A finding has ``rule``, ``severity`` and ``places`` (``file``, ``lines`` and ``sha256`` of each), a refusal ``rule``
    and ``file``.
    """

    findings: tuple[Mapping[str, Any], ...]
    refused: tuple[Mapping[str, Any], ...] = ()

    @classmethod
    def read(cls, path: Path) -> Found:
        """Read what the command printed; FaultError where it is something else."""
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            return cls(tuple(content["findings"]), tuple(content["refused"]))
        except (OSError, ValueError, KeyError, TypeError) as fault:
            raise FaultError(f"{path} does not hold what `./cairn findings STUDY --json` prints: {fault}") from fault


@dataclass(frozen=True)
class Line:
    """One fault in the comparison: how many of the findings it must raise were found, and which were not."""

    fault: str
    check: str
    state: str
    expected: int
    missing: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """Faults with what is missing, and findings that no planted fault explains."""

    lines: tuple[Line, ...]
    unexpected: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """True if nothing is missing and nothing is unexpected."""
        return not self.unexpected and not any(line.missing for line in self.lines)

    def table(self) -> str:
        """The comparison as text, one line for each fault and each unexpected finding."""
        rows = [("fault", "check", "state", "must", "found", "missing")]
        for one in self.lines:
            found = str(one.expected - len(one.missing))
            rows.append((one.fault, one.check, one.state, str(one.expected), found, "; ".join(one.missing)))
        widths = [max(len(row[column]) for row in rows) for column in range(5)]
        lines = ["  ".join([*map(str.ljust, row, widths), row[5]]).rstrip() for row in rows]
        return "\n".join([*lines, "", f"{len(self.unexpected)} unexpected", *self.unexpected])


@dataclass(frozen=True)
class _Rows:
    """The rows of a landing folder by file and line; a line is that of the raw file, the header being line 1."""

    landing: Landing

    @cached_property
    def files(self) -> dict[str, dict[int, dict[str, str]]]:
        files = {}
        for name, content in self.landing.contents.items():
            table = DelimitedFile.parse(content)
            if table is not None:
                files[name] = dict(zip(self._numbers(table), table.rows, strict=True))
        return files

    @staticmethod
    def _numbers(table: DelimitedFile) -> Iterator[int]:
        """The line on which each row begins: a quoted value may hold line breaks."""
        at = 2
        for row in table.rows:
            yield at
            at += 1 + sum(value.count("\n") for value in row.values())

    @cached_property
    def _names(self) -> dict[str, str]:
        return {hashlib.sha256(content).hexdigest(): name for name, content in self.landing.contents.items()}

    def places(self, finding: Mapping[str, Any]) -> set[Place]:
        """File and line of a finding; line 0 stands for the file.

        A file that was taken before under another name is that of this folder that has its bytes.
        """
        return {
            (self._names.get(place["sha256"], place["file"]), line)
            for place in finding["places"]
            for line in [0, *place["lines"]]
        }

    @cached_property
    def _hospital(self) -> dict[str, str]:
        return self.landing.subjects()

    def subject(self, place: Place) -> str | None:
        """Whose row stands there."""
        row = self.files.get(place[0], {}).get(place[1])
        return subject_of(row, self._hospital) if row is not None else None

    def meant(self, file: str) -> set[str]:
        """Names of the files that a fault's word for a file means, with those sent again."""
        return set(self.landing.named_by(file))

    @cached_property
    def _having(self) -> dict[tuple[str, str], dict[str | None, set[Place]]]:
        """Where the rows of a file are that have a value, by file and column, as far as it was asked."""
        return {}

    def fitting(self, file: str, keys: Mapping[str, str]) -> set[Place]:
        """Where the rows are that have all these values."""
        found: set[Place] = set()
        for name in self.meant(file) & set(self.files):
            rows = {(name, line) for line in self.files[name]} if not keys else None
            for column, value in keys.items():
                if (name, column) not in self._having:
                    having: dict[str | None, set[Place]] = {}
                    for line, row in self.files[name].items():
                        having.setdefault(row.get(column), set()).add((name, line))
                    self._having[name, column] = having
                here = self._having[name, column].get(value, set())
                rows = here if rows is None else rows & here
            found |= rows or set()
        return found


def read_expected(path: Path) -> list[Expected]:
    """Read the truth of planted faults, ``expected_findings.csv``."""
    with path.open(encoding="utf-8", newline="") as handle:
        reader = csv.DictReader(handle)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise FaultError(f"{path} is no list of expected findings: its columns are not {', '.join(COLUMNS)}")
        return [Expected(**row) for row in reader]


def compare(landing: Path, expected: Sequence[Expected], found: Found) -> Comparison:
    """Hold what was found against what planted faults must and may raise.

    A finding that must come is there if one of its rule points to a row with the keys expected, or, without keys, to a
    row of a subject that the fault touched, to a file alone, or to anything where it touched a whole file. A finding
    is unexpected if its rule is that of no planted fault, or if it points to rows that are neither those whose finding
    must come nor of a subject for whom it may come. Refusals of files of this folder count as findings.
    """
    rows = _Rows(Landing.open(landing))
    told = [
        *((one, rows.places(one)) for one in found.findings),
        *((_refusal(one), {(one["file"], 0)}) for one in found.refused if one["file"] in rows.landing.contents),
    ]
    places: dict[str, list[set[Place]]] = {}
    for one, at in told:
        places.setdefault(one["rule"], []).append(at)
    wanted: dict[tuple[str, str, str], list[Expected]] = {}
    for each in expected:
        if each.fault:
            must = [each] if each.necessity == "must" else []
            wanted.setdefault((each.fault, each.check, each.state), []).extend(must)
    subjects: dict[tuple[str, str], set[str]] = {}
    for each in expected:
        if each.necessity == "may" and SUBJECT in (keys := json.loads(each.keys)):
            subjects.setdefault((each.fault, each.rule), set()).add(keys[SUBJECT])
    lines = []
    for fault, musts in wanted.items():
        lost = [one for one in musts if not _is_there(one, places, rows, subjects)]
        lines.append(Line(*fault, len(musts), tuple(f"{one.rule} {one.keys}" for one in lost)))
    return Comparison(tuple(lines), tuple(_unexpected(told, expected, rows)))


def _refusal(one: Mapping[str, Any]) -> dict[str, Any]:
    return {"rule": one["rule"], "severity": "critical", "dataset": one["file"]}


def _is_there(
    one: Expected,
    places: Mapping[str, Sequence[set[Place]]],
    rows: _Rows,
    subjects: Mapping[tuple[str, str], set[str]],
) -> bool:
    found, keys = places.get(one.rule, ()), json.loads(one.keys)
    if keys:
        fitting = rows.fitting(one.file, keys)
        return any(at & fitting for at in found)
    own = subjects.get((one.fault, one.rule))
    return any(
        own is None or not any(line for _, line in at) or any(rows.subject(place) in own for place in at)
        for at in found
    )


def _unexpected(
    told: Iterable[tuple[Mapping[str, Any], set[Place]]], expected: Sequence[Expected], rows: _Rows
) -> Iterator[str]:
    anywhere = {one.rule for one in expected if one.necessity == "may" and one.keys == "{}"}
    somewhere: dict[str, set[Place]] = {}
    allowed: dict[str, set[str]] = {}
    for each in expected:
        keys = json.loads(each.keys)
        if each.necessity == "may" and SUBJECT in keys:
            allowed.setdefault(each.rule, set()).add(keys[SUBJECT])
        elif each.necessity and keys and each.rule not in anywhere:
            somewhere.setdefault(each.rule, set()).update(rows.fitting(each.file, keys))
    counted: Counter[tuple[str, ...]] = Counter()
    for one, at in told:
        if one["rule"] in anywhere:
            continue
        what = (one["severity"], one["rule"], f"{one.get('dataset', '')} {one.get('variable', '')}".strip())
        known, subjects = somewhere.get(one["rule"], set()), allowed.get(one["rule"], set())
        strange = [
            place for place in sorted(at) if place[1] and place not in known and rows.subject(place) not in subjects
        ]
        if strange or one["rule"] not in somewhere.keys() | allowed.keys():
            where = ", ".join(f"{file}:{line}" for file, line in strange[:5])
            counted[*what, where] += 1
    for words, count in counted.items():
        yield "  ".join(word for word in (*words, f"({count} times)" if count > 1 else "") if word)
