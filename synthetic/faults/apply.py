"""Plants a list of faults in a landing folder and tells which findings must follow."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from .landing import HOSPITAL_NUMBER, SUBJECT, FaultError, Landing, subject_of
from .model import Fault, Faults
from .operations import Row, RowOperation, read_time

CORRECTED_BEFORE = timedelta(days=20)
"""A correction of a form is entered so long before the extract that shows it."""


@dataclass(frozen=True)
class Expected:
    """A finding that a planted fault must raise, or may.

    One that may come has the subject in its keys, for rows of this subject in whatever file, or no keys, for any row.
    Without a necessity it only says that the fault is planted or cured; without a fault, that sound extracts raise it.
    """

    fault: str
    check: str
    state: str
    necessity: str
    rule: str
    file: str
    keys: str


COLUMNS = ("fault", "check", "state", "necessity", "rule", "file", "keys")


def apply_faults(faults: Faults, landing: Path, cut: str | None = None) -> list[Expected]:
    """Plant the faults in the folder (in place) as of extract ``cut`` and return the findings expected.

    Nothing is written if one fault cannot be planted: FaultError says which and why.
    """
    folder = Landing.open(landing)
    folder.row_keys = dict(faults.keys)
    expected = [Expected("", "", "", "may", rule, "", "{}") for rule in faults.anyway]
    for fault in faults.faults:
        state = fault.state(cut)
        if state == "absent":
            continue
        folder.salt = fault.id
        try:
            expected += _plant(fault, folder) if state == "planted" else _cure(fault, folder)
        except FaultError as error:
            raise FaultError(f"{fault.id}: {error}") from error
    folder.write()
    return expected


def _plant(fault: Fault, landing: Landing) -> list[Expected]:
    if fault.manifest == "keep":
        landing.kept |= {landing.find(step.file) for step in fault.steps if step.kind not in ("add_file",)}
    touched: list[tuple[str, Row]] = []
    hospital = landing.subjects()
    for step in fault.steps:
        touched += [(step.file, row) for row in step.apply(landing)]
    out = [_state(fault, "planted")]
    for one in fault.must:
        found = [(file, {**{key: row[key] for key in one.keys if key in row}, **one.at}) for file, row in touched]
        if not one.keys:
            found = [(one.file or fault.steps[0].file, one.at)]
        texts = {(file, json.dumps(keys, ensure_ascii=False, sort_keys=True)): None for file, keys in found}
        out += [Expected(fault.id, fault.check, "planted", "must", one.rule, file, keys) for file, keys in texts]
    keys = _whose(fault, landing, touched, hospital)
    bare = [one.rule for one in fault.must if not one.keys and not one.at]
    file = fault.steps[0].file
    out += [Expected(fault.id, fault.check, "planted", "may", rule, file, each) for rule in (*fault.may, *bare)
            for each in keys]  # fmt: skip
    out += [Expected(fault.id, fault.check, "planted", "may", rule, file, "{}") for rule in fault.elsewhere]
    return out


def _whose(fault: Fault, landing: Landing, touched: list[tuple[str, Row]], hospital: Mapping[str, str]) -> list[str]:
    """The subjects of the rows touched, as keys, and the rows of unknown hospital numbers by their own keys.

    No keys where the fault is of a whole file, or of a row that is of no subject, as a certificate.
    """
    written = [row for step in fault.steps if (row := getattr(step, "set", None))]
    subjects = {subject_of(row, hospital) for row in written}
    keys: dict[str, None] = {}
    for file, row in touched:
        subject = subject_of(row, hospital)
        if subject is None and HOSPITAL_NUMBER not in row:
            return ["{}"]
        subjects.add(subject)
        if subject is None:
            own = {column: row[column] for column in landing.row_keys.get(file, tuple(row))}
            keys[json.dumps(own, ensure_ascii=False, sort_keys=True)] = None
    known = [json.dumps({SUBJECT: one}) for one in sorted(filter(None, subjects))]
    return [*known, *keys] if touched else ["{}"]


def _cure(fault: Fault, landing: Landing) -> list[Expected]:
    """Apply the cure; a form's row that was wrong before is at least modified since."""
    for step in fault.cure:
        step.apply(landing)
    if not fault.cure:
        for step in fault.steps:
            if isinstance(step, RowOperation):
                _touch(step, landing)
    file = fault.steps[0].file
    left = [Expected(fault.id, fault.check, "cured", "must", rule, file, "{}") for rule in fault.left]
    left += [Expected(fault.id, fault.check, "cured", "may", rule, file, "{}") for rule in fault.left]
    return [_state(fault, "cured"), *left]


def _state(fault: Fault, state: str) -> Expected:
    return Expected(fault.id, fault.check, state, "", "", fault.steps[0].file, "{}")


def _touch(step: RowOperation, landing: Landing) -> None:
    name = landing.find(step.file)
    table = landing.table(name)
    extracted = read_time(str(landing.manifest.get("extracted_at", "")).replace("T", " "))
    if "modified_ts" not in table.columns or extracted is None:
        return
    corrected = datetime.combine((extracted[0] - CORRECTED_BEFORE).date(), datetime.min.time()).replace(hour=10)
    for row in step.select(landing, table, name):
        row["modified_ts"] = max(row["modified_ts"], corrected.isoformat())


def expected_bytes(expected: list[Expected]) -> bytes:
    """The expected findings as CSV: UTF-8, comma, LF."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([getattr(one, column) for column in COLUMNS] for one in expected)
    return text.getvalue().encode("utf-8")
