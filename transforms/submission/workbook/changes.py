"""What somebody changed in a workbook, and where in the study's files it belongs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from transforms.submission.workbook.book import Key, Line, Lines
from transforms.submission.workbook.places import COMMENT, NoPlaceError, Place, Places
from transforms.submission.workbook.plan import Plan
from transforms.submission.workbook.sheets import FINGERPRINT, STUDY_NAME

COMMENTS, DESCRIPTION, VALUE = "Comments", "Description", "Value"


@dataclass(frozen=True)
class Change:
    """A cell that says something else than the specification, and the places that are to say it."""

    sheet: str
    row: int
    key: Key
    column: str
    before: str
    after: str
    places: tuple[Place, ...]

    @property
    def cell(self) -> str:
        """The cell in words."""
        return f"{self.sheet}, row {self.row} ({' '.join(self.key)}), {self.column}"


def stale(plan: Plan, lines: Lines) -> str:
    """Why a workbook cannot be compared with this specification; nothing where it can."""
    line = lines.get("Study", {}).get((FINGERPRINT,))
    if line is not None and line.cells[VALUE] == plan.study.specification_hash:
        return ""
    name = lines.get("Study", {}).get((STUDY_NAME,))
    return (
        f"the workbook tells of another state of a specification than {plan.study.name} is in now "
        f"({name.cells[VALUE] if name is not None else 'no study named'}). Export it again and repeat the changes there"
    )


def changes_of(plan: Plan, before: Lines, after: Lines) -> tuple[list[Change], list[str]]:
    """The changed cells, and the faults of those that cannot be changed in a workbook."""
    places, changes, faults = Places(plan), [], []
    for sheet, known in before.items():
        found = after.get(sheet, {})
        faults += [
            f"{sheet}: the row {' '.join(key)} is missing. Put it back, or change the specification"
            for key in known
            if key not in found
        ]
        for key, line in found.items():
            for column, old, new in _differences(sheet, known.get(key), line):
                change = Change(sheet, line.number, key, column, old, new, ())
                try:
                    changes.append(_placed(places, change, key in known, after))
                except NoPlaceError as error:
                    faults.append(f"{change.cell}: it cannot be changed here, {error}")
    return [one for one in changes if one.places], faults


def _differences(sheet: str, known: Line | None, line: Line) -> Iterator[tuple[str, str, str]]:
    """Column, old and new text of each changed cell; a new row is a change of all that it says."""
    for column, text in line.cells.items():
        old = known.cells[column] if known is not None else ""
        if text == old or (column in line.numeric and _same_number(text, old)):
            continue
        if known is not None or sheet != COMMENTS or column != "ID":
            yield column, old, text


def _same_number(text: str, old: str) -> bool:
    """Whether a number cell is what a spreadsheet makes of the old text: 5 of `5.0`, which nobody changed."""
    try:
        return float(text) == float(old)
    except ValueError:
        return False


def _placed(places: Places, change: Change, known: bool, after: Lines) -> Change:
    """The change with its places; `known` says that the row was there before. Raises NoPlaceError."""
    if not known and change.sheet != COMMENTS:
        raise NoPlaceError("the specification has no such row; datasets, variables and terms are added in its files")
    if change.sheet in ("Datasets", "Variables") and change.column == "Comment":
        named = f"{COMMENT}{'.'.join(change.key)}"
        if change.after == named and (named,) in after.get(COMMENTS, {}):
            # The row of Comments says it; that a comment is there follows.
            return change
    found = places.of(change.sheet, change.key, change.column)
    if not found:
        raise NoPlaceError("it is written nowhere")
    if not change.after:
        raise NoPlaceError(f"a text is not taken away in a workbook: do it in {'; '.join(map(str, found))}")
    return Change(change.sheet, change.row, change.key, change.column, change.before, change.after, found)


def texts_of(plan: Plan, changes: Sequence[Change]) -> tuple[dict[str, str], list[str]]:
    """The text of each file that changes, with all changes in it, and the faults of those that did not go in."""
    places, texts, said, faults = Places(plan), dict[str, str](), dict[Place, Change](), []
    for change in changes:
        for place in change.places:
            other = said.setdefault(place, change)
            if other.after != change.after:
                faults.append(f"{change.cell}: {other.cell} says something else for {place}. Write the same in both")
                continue
            text = texts.get(place.file) or places.yaml(place.file).text
            try:
                texts[place.file] = place.written(text, _value(place, change))
            except ValueError as error:
                faults.append(f"{change.cell}: {error}. Change it in {place}")
    return texts, faults


def _value(place: Place, change: Change) -> str | list[str]:
    if place.steps[-1:] != ("keys",):
        return change.after
    # Every dataset is keyed by study; a specification does not repeat it.
    return [one for one in (part.strip() for part in change.after.split(",")) if one and one != "STUDYID"]
