"""A study's specification as a workbook for people, and what they change there written back into the study's files."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from transforms.errors import UsageError
from transforms.snapshot import specification_rows
from transforms.study import Study
from transforms.study.load import UNFINISHED
from transforms.submission import agencies
from transforms.submission.workbook import book
from transforms.submission.workbook.changes import Change, changes_of, stale, texts_of
from transforms.submission.workbook.plan import Plan, plan_of
from transforms.validation.rules import rule_book

PARTIAL = ".partial"


class WorkbookFaultsError(UsageError):
    """Nothing of a workbook was taken; `faults` holds every reason, each naming sheet, row and column."""

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = tuple(faults)
        lines = "\n".join(f"  - {fault}" for fault in self.faults)
        super().__init__(f"nothing was changed, {len(self.faults)} fault(s) stand against the workbook:\n{lines}")


def write_workbook(study: Study) -> bytes:
    """The workbook of a study's specification (.xlsx); the same specification gives the same bytes."""
    return book.write(_plan(study))


def read_workbook(study: Study, content: bytes) -> list[Change]:
    """Write what was changed in a workbook into the study's files, and return the changes.

    Comments, order and layout of the files stay. All changes are written or none: the changed specification is first
    loaded and must say what the workbook says in every changed cell. Raises WorkbookFaultsError with everything that
    cannot be taken, UsageError where it is no workbook, ConfigurationError where the changed specification is faulty.
    """
    plan = _plan(study)
    found, faults = book.read(content)
    if not faults:
        faults = [one for one in [stale(plan, found)] if one]
    if faults:
        raise WorkbookFaultsError(faults)
    changes, faults = changes_of(plan, book.lines_of(plan), found)
    texts, unwritten = texts_of(plan, changes)
    if faults or unwritten:
        raise WorkbookFaultsError([*faults, *unwritten])
    if changes:
        _try(study, texts, changes)
        _write(study.folder, texts)
    return changes


def notes(content: bytes) -> list[str]:
    """What is to be said of the notes on cells of a workbook, which are for its readers and go into no file."""
    return [
        f"{one} has a note, which is not taken. What the specification is to say goes into the cell, or into a row of "
        "Comments"
        for one in book.notes(content)
    ]


def _plan(study: Study) -> Plan:
    return plan_of(study, specification_rows(study))


def _try(study: Study, texts: Mapping[str, str], changes: Iterable[Change]) -> None:
    """Load the changed specification in a copy, and see that it says what is wanted."""
    with TemporaryDirectory(prefix="cairn-workbook-") as place:
        folder = Path(shutil.copytree(study.folder, Path(place) / study.name))
        for name, text in texts.items():
            (folder / name).write_bytes(text.encode())
        changed = Study.load(folder, placement=study.placement)
        rule_book(changed)
        agencies.read(folder)
        said = book.lines_of(_plan(changed))
    faults = []
    for one in changes:
        line = said[one.sheet].get(one.key)
        if line is None or line.cells[one.column] != one.after:
            told = "it is gone" if line is None else f"it is {line.cells[one.column]!r}"
            faults.append(f"{one.cell}: with the change in {'; '.join(map(str, one.places))} {told}. Change it there")
    if faults:
        raise WorkbookFaultsError(faults)


def _write(folder: Path, texts: Mapping[str, str]) -> None:
    """Replace files together.

    Each new text lies whole beside its file before a journal names them all, and only then is the first one replaced:
    without the journal nothing was changed, with it `finish` makes the rest of the change.
    """
    try:
        for name, text in texts.items():
            _store(folder / f"{name}{PARTIAL}", text)
        growing = folder / f"{UNFINISHED}{PARTIAL}"
        _store(growing, "".join(f"{name}\n" for name in texts))
        growing.replace(folder / UNFINISHED)
    except OSError as error:
        for name in (*texts, UNFINISHED):
            with suppress(OSError):
                (folder / f"{name}{PARTIAL}").unlink(missing_ok=True)
        raise UsageError(
            f"nothing was changed, {folder} cannot be written: {error.strerror}. Free it and repeat"
        ) from error
    finish(folder)


def finish(folder: Path) -> list[str]:
    """Make the rest of a change that was cut short; returns the files of it, none where none was cut short.

    Raises UsageError where a file cannot be replaced; the change can be finished later.
    """
    journal = folder / UNFINISHED
    if not journal.is_file():
        return []
    names = journal.read_text(encoding="utf-8").splitlines()
    try:
        for name in names:
            growing = folder / f"{name}{PARTIAL}"
            if growing.exists():
                growing.replace(folder / name)
        journal.unlink()
    except OSError as error:
        raise UsageError(
            f"the change of {', '.join(names)} is not finished, {folder} cannot be written: {error.strerror}. "
            "Free it and repeat ./cairn spec import, which finishes it"
        ) from error
    return names


def _store(path: Path, text: str) -> None:
    with path.open("wb") as file:
        file.write(text.encode())
        file.flush()
        os.fsync(file.fileno())
