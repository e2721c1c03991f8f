"""The operations a fault may name. Each says what it needs and changes a landing folder; none knows a study."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Sequence
from datetime import date, datetime, time, timedelta
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from .landing import BOM, SUBJECT, VISIT, DelimitedFile, FaultError, Landing, subject_of

Row = dict[str, str]

SPREADSHEET_EPOCH = date(1899, 12, 30)
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")

TIME_LAYOUTS: tuple[tuple[re.Pattern[str], Callable[[datetime], str]], ...] = (
    (
        re.compile(r"(?P<d>\d{2})(?P<b>[A-Z]{3})(?P<y>\d{4})"),
        lambda at: f"{at.day:02d}{MONTHS[at.month - 1]}{at.year:04d}",
    ),
    (re.compile(r"(?P<y>\d{4})-(?P<m>\d{2})-(?P<d>\d{2})"), lambda at: f"{at:%Y-%m-%d}"),
    (
        re.compile(r"(?P<y>\d{4})-(?P<m>\d{2})-(?P<d>\d{2}) (?P<h>\d{2}):(?P<n>\d{2})"),
        lambda at: f"{at:%Y-%m-%d %H:%M}",
    ),
    (
        re.compile(r"(?P<y>\d{4})-(?P<m>\d{2})-(?P<d>\d{2})T(?P<h>\d{2}):(?P<n>\d{2}):(?P<s>\d{2})"),
        lambda at: f"{at:%Y-%m-%dT%H:%M:%S}",
    ),
    (
        re.compile(r"(?P<y>\d{4})/(?P<m>\d{1,2})/(?P<d>\d{1,2}) (?P<h>\d{1,2}):(?P<n>\d{2})"),
        lambda at: f"{at.year}/{at.month}/{at.day} {at.hour}:{at.minute:02d}",
    ),
    (
        re.compile(r"(?P<y>\d{4})(?P<m>\d{2})(?P<d>\d{2})(?P<h>\d{2})(?P<n>\d{2})(?P<s>\d{2})"),
        lambda at: f"{at:%Y%m%d%H%M%S}",
    ),
)
"""Layouts that ``shift_time`` reads and writes back: DDMONYYYY, ISO to day, minute and second, LIS, compact."""


def read_time(text: str) -> tuple[datetime, Callable[[datetime], str]] | None:
    """Return the moment of a text in a known layout, and how to write one back."""
    for pattern, write in TIME_LAYOUTS:
        found = pattern.fullmatch(text)
        if not found:
            continue
        part = {"h": "0", "n": "0", "s": "0", **found.groupdict()}
        month = MONTHS.index(part["b"]) + 1 if part.get("b") in MONTHS else int(part.get("m", 0))
        try:
            clock = time(int(part["h"]), int(part["n"]), int(part["s"]))
            return datetime.combine(date(int(part["y"]), month, int(part["d"])), clock), write
        except ValueError:
            return None
    return None


class Condition(BaseModel):
    """What a value must be: any of the given that hold together."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    equals: str | None = None
    one_of: tuple[str, ...] | None = None
    matches: str | None = None
    not_in: tuple[str, ...] | None = None
    present: bool | None = None
    at_least: float | None = None
    at_most: float | None = None
    from_time: str | None = None
    before_time: str | None = None

    def holds(self, value: str) -> bool:
        """True if the value meets every part."""
        return (
            (self.equals is None or value == self.equals)
            and (self.one_of is None or value in self.one_of)
            and (self.matches is None or re.fullmatch(self.matches, value) is not None)
            and (self.not_in is None or value not in self.not_in)
            and (self.present is None or (value != "") == self.present)
            and self._in_numbers(value)
            and self._in_times(value)
        )

    def _in_numbers(self, value: str) -> bool:
        if self.at_least is None and self.at_most is None:
            return True
        if not re.fullmatch(r"-?\d+(\.\d+)?", value):
            return False
        low = self.at_least if self.at_least is not None else float(value)
        high = self.at_most if self.at_most is not None else float(value)
        return low <= float(value) <= high

    def _in_times(self, value: str) -> bool:
        if self.from_time is None and self.before_time is None:
            return True
        read = read_time(value)
        if read is None:
            return False
        low, high = (None if text is None else _moment(text) for text in (self.from_time, self.before_time))
        return (low is None or low <= read[0]) and (high is None or read[0] < high)


def _moment(text: str) -> datetime:
    read = read_time(text)
    if read is None:
        raise FaultError(f"{text} is no time in a known layout, for example 2023-04-20")
    return read[0]


Where = dict[str, str | tuple[str, ...] | Condition]


class Operation(BaseModel):
    """What all operations have: the file they touch."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str = Field(description="form (AE), LIS, name or pattern of one file")

    def apply(self, landing: Landing) -> list[Row]:
        """Change the landing; return copies of the rows touched, as they were before."""
        raise NotImplementedError


class RowOperation(Operation):
    """An operation on rows of a delimited file.

    ``where`` maps columns to a value, a list of values or a condition. Of the rows that fit, ``share`` takes
    a part, settled by the fault's id and the row's key, and ``pick`` the first so many (after ``skip``) in
    order of ``entered_ts``, else of the file: both keep their choice when later extracts hold more rows. With
    ``each`` the rows are taken by groups of these columns.
    """

    where: Where = {}
    pick: int | None = Field(default=None, ge=1)
    skip: int = Field(default=0, ge=0)
    share: float | None = Field(default=None, gt=0, le=1)
    each: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _one_choice(self) -> RowOperation:
        if self.share is not None and self.pick is not None:
            raise ValueError("a choice is by share or by pick")
        return self

    def apply(self, landing: Landing) -> list[Row]:
        """Change the selected rows."""
        name = landing.find(self.file)
        table = landing.table(name)
        rows = self.select(landing, table, name)
        before = [dict(row) for row in rows]
        self.change(table, rows)
        return before

    def select(self, landing: Landing, table: DelimitedFile, name: str) -> list[Row]:
        """The rows meant; FaultError if none fits or a column is not the file's. A small share may be no row."""
        unknown = (set(self.where) | set(self.each)) - set(table.columns)
        if unknown:
            raise FaultError(f"{name} has no column {', '.join(sorted(unknown))}")
        hits = [row for row in table.rows if all(_fits(row[column], what) for column, what in self.where.items())]
        groups: dict[tuple[str, ...], list[Row]] = {}
        for row in hits:
            key = tuple(row.get(column, "") for column in self.each or landing.keys_of(self.file, table))
            groups.setdefault(key, []).append(row)
        chosen = list(groups.items())
        if chosen and self.share is not None:
            share = self.share
            chosen = [(key, rows) for key, rows in chosen if _chance(landing.salt, key) < share]
            return [row for _, rows in chosen for row in rows]
        if self.pick is not None:
            if "entered_ts" in table.columns:
                chosen.sort(key=lambda group: group[1][0]["entered_ts"])
            chosen = chosen[self.skip : self.skip + self.pick]
        if not chosen:
            raise FaultError(f"no row of {name} fits. Widen `where`, or plant it in a later cut")
        return [row for _, rows in chosen for row in rows]

    def change(self, table: DelimitedFile, rows: Sequence[Row]) -> None:
        """Change the rows in place."""
        raise NotImplementedError


def _fits(value: str, what: str | tuple[str, ...] | Condition) -> bool:
    if isinstance(what, Condition):
        return what.holds(value)
    return value == what if isinstance(what, str) else value in what


def _chance(salt: str, key: tuple[str, ...]) -> float:
    return zlib.crc32("\x1f".join((salt, *key)).encode("utf-8")) / 2**32


def _need(table: DelimitedFile, *columns: str) -> None:
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise FaultError(f"there is no column {', '.join(missing)}. Name columns of the file's header")


class SetValue(RowOperation):
    """Set columns to texts; ``{column}`` in a text is that column's value."""

    kind: Literal["set_value"]
    set: dict[str, str]

    def change(self, table: DelimitedFile, rows: Sequence[Row]) -> None:
        """Set the values."""
        _need(table, *self.set)
        for row in rows:
            row.update(filled(self.set, row))


def filled(texts: dict[str, str], row: Row) -> Row:
    """Texts with ``{column}`` replaced by the row's values."""
    return {
        column: re.sub(r"\{([^{}]+)\}", lambda found: row.get(found[1], found[0]), text)
        for column, text in texts.items()
    }


class ReplaceText(RowOperation):
    r"""Replace what a pattern finds in a column (``\1`` is its first group)."""

    kind: Literal["replace_text"]
    column: str
    pattern: str
    by: str

    def change(self, table: DelimitedFile, rows: Sequence[Row]) -> None:
        """Replace in each row."""
        _need(table, self.column)
        for row in rows:
            row[self.column] = re.sub(self.pattern, self.by, row[self.column], count=1)


class WidenText(RowOperation):
    """Write the ASCII characters of columns full-width, as a Chinese input method does."""

    kind: Literal["widen_text"]
    columns: tuple[str, ...]

    def change(self, table: DelimitedFile, rows: Sequence[Row]) -> None:
        """Widen each value."""
        _need(table, *self.columns)
        wide = {code: code + 0xFEE0 for code in range(0x21, 0x7F)} | {0x20: 0x3000}
        for row in rows:
            row.update({column: row[column].translate(wide) for column in self.columns})


class ChangeUnit(RowOperation):
    """Give a number in another unit: times ``factor`` plus ``offset``; without ``unit`` the old unit's name stays."""

    kind: Literal["change_unit"]
    column: str
    factor: float = 1.0
    offset: float = 0.0
    decimals: int = Field(ge=0)
    unit_column: str | None = None
    unit: str | None = None
    range_column: str | None = Field(default=None, description="a `low-high` text converted too")

    def change(self, table: DelimitedFile, rows: Sequence[Row]) -> None:
        """Convert each row; text that is no number stays."""
        _need(table, self.column, *(column for column in (self.unit_column, self.range_column) if column))
        number = re.compile(r"\d+(\.\d+)?")
        for row in rows:
            for column in (self.column, self.range_column):
                if column:
                    row[column] = number.sub(
                        lambda found: f"{float(found[0]) * self.factor + self.offset:.{self.decimals}f}", row[column]
                    )
            if self.unit_column and self.unit is not None:
                row[self.unit_column] = self.unit


class ShiftTime(RowOperation):
    """Move dates or times in columns, each in the layout it has; empty values stay."""

    kind: Literal["shift_time"]
    columns: tuple[str, ...]
    days: int = 0
    minutes: int = 0

    def change(self, table: DelimitedFile, rows: Sequence[Row]) -> None:
        """Shift each value."""
        _need(table, *self.columns)
        by = timedelta(days=self.days, minutes=self.minutes)
        for row in rows:
            for column in self.columns:
                if row[column] == "":
                    continue
                read = read_time(row[column])
                if read is None:
                    raise FaultError(f"a value of {column} is no time in a known layout")
                row[column] = read[1](read[0] + by)


class MoveVisit(RowOperation):
    """Let visits take place so many days later (or earlier), with what belongs to them.

    ``file`` is the form of visits, ``start`` its column of the day. Every time moves on the pages of the same subject
    and visit, and on the subject's results that were ``collected`` on that day.
    """

    kind: Literal["move_visit"]
    start: str
    collected: str
    days: int

    def apply(self, landing: Landing) -> list[Row]:
        """Move each visit; the rows touched are those of the form of visits."""
        name = landing.find(self.file)
        table = landing.table(name)
        _need(table, SUBJECT, VISIT, self.start)
        rows = self.select(landing, table, name)
        before = [dict(row) for row in rows]
        visits = {(row[SUBJECT], row[VISIT]) for row in rows}
        days = {(row[SUBJECT], _moment(row[self.start]).date()) for row in rows if row[self.start]}
        hospital = landing.subjects()
        for delivered in landing.named:
            for row in landing.table(delivered).rows:
                subject, collected = subject_of(row, hospital), read_time(row.get(self.collected, ""))
                if (subject, row.get(VISIT)) in visits or (collected and (subject, collected[0].date()) in days):
                    self._move(row)
        return before

    def _move(self, row: Row) -> None:
        for column, value in row.items():
            read = read_time(value)
            if read is not None:
                row[column] = read[1](read[0] + timedelta(days=self.days))


class RelayTime(RowOperation):
    """Write times in another layout of those known: ``compact`` (20220620080500) or ``day`` (2022-06-20)."""

    kind: Literal["relay_time"]
    columns: tuple[str, ...]
    layout: Literal["compact", "day", "excel_serial", "midnight"]

    def change(self, table: DelimitedFile, rows: Sequence[Row]) -> None:
        """Rewrite each value; ``midnight`` keeps the layout and loses the time of day."""
        _need(table, *self.columns)
        for row in rows:
            for column in self.columns:
                read = read_time(row[column])
                if read is None:
                    raise FaultError(f"a value of {column} is no time in a known layout")
                at, write = read
                row[column] = {
                    "compact": f"{at:%Y%m%d%H%M%S}",
                    "day": f"{at:%Y-%m-%d}",
                    "excel_serial": str((at.date() - SPREADSHEET_EPOCH).days),
                    "midnight": write(at.replace(hour=0, minute=0, second=0)),
                }[self.layout]


class SwapValues(RowOperation):
    """Exchange columns between two groups of rows (``each`` makes the groups), matched by ``match``.

    With ``pick: 1`` the first group is exchanged with the next that fits: tubes of two persons mixed up.
    """

    kind: Literal["swap_values"]
    columns: tuple[str, ...]
    match: tuple[str, ...]
    differ: tuple[str, ...] = Field(default=(), description="columns in which the two groups must differ")

    def apply(self, landing: Landing) -> list[Row]:
        """Exchange the first selected group with the first that differs."""
        name = landing.find(self.file)
        table = landing.table(name)
        _need(table, *self.columns, *self.match, *self.differ)
        whole = self.model_copy(update={"pick": None})
        groups: dict[tuple[str, ...], list[Row]] = {}
        for row in whole.select(landing, table, name):
            groups.setdefault(tuple(row[column] for column in self.each), []).append(row)
        places = list(groups.values())
        if len(places) <= self.skip:
            raise FaultError(f"fewer groups of {name} fit than `skip` passes over")
        first = places[self.skip]
        others = (
            group
            for group in places[self.skip + 1 :]
            if all(group[0][column] != first[0][column] for column in self.differ)
            and {self._matched(row) for row in group} == {self._matched(row) for row in first}
        )
        second = next(others, None)
        if second is None:
            raise FaultError(f"no second group of {name} fits. Widen `where`")
        before = [dict(row) for row in (*first, *second)]
        partner = {self._matched(row): row for row in second}
        for row in first:
            other = partner[self._matched(row)]
            for column in self.columns:
                row[column], other[column] = other[column], row[column]
        return before

    def _matched(self, row: Row) -> tuple[str, ...]:
        return tuple(row[column] for column in self.match)


class DuplicateRow(RowOperation):
    """Repeat rows right behind themselves; ``set`` changes the copies (``{column}`` is the row's own value)."""

    kind: Literal["duplicate_row"]
    set: dict[str, str] = {}

    def change(self, table: DelimitedFile, rows: Sequence[Row]) -> None:
        """Insert the copies."""
        _need(table, *self.set)
        chosen = {id(row) for row in rows}
        out: list[Row] = []
        for row in table.rows:
            out.append(row)
            if id(row) in chosen:
                out.append({**row, **filled(self.set, row)})
        table.rows[:] = out


class ReviseRow(RowOperation):
    """Add a later version of rows: number plus one, ``newer`` on the new row, ``older`` on the old one."""

    kind: Literal["revise_row"]
    number: str
    older: dict[str, str] = {}
    newer: dict[str, str] = {}
    keep_older: bool = True
    later: tuple[str, ...] = Field(default=(), description="time columns that are `minutes` later on the new row")
    minutes: int = 0
    factor: float | None = Field(default=None, description="the older row's number in `value` is times this")
    value: str | None = None

    def change(self, table: DelimitedFile, rows: Sequence[Row]) -> None:
        """Put the new version behind the old."""
        _need(table, self.number, *self.older, *self.newer, *self.later, *([self.value] if self.value else []))
        chosen = {id(row) for row in rows}
        out: list[Row] = []
        for row in table.rows:
            if id(row) not in chosen:
                out.append(row)
                continue
            newer = {**row, **filled(self.newer, row), self.number: str(int(row[self.number]) + 1)}
            for column in self.later:
                read = read_time(row[column])
                if read is not None:
                    newer[column] = read[1](read[0] + timedelta(minutes=self.minutes))
            older = {**row, **filled(self.older, row)}
            if self.value and self.factor is not None and re.fullmatch(r"\d+(\.\d+)?", older[self.value]):
                places = len(older[self.value].partition(".")[2])
                older[self.value] = f"{float(older[self.value]) * self.factor:.{places}f}"
            out += [older, newer] if self.keep_older else [newer]
        table.rows[:] = out


class DropRow(RowOperation):
    """Leave rows out."""

    kind: Literal["drop_row"]

    def change(self, table: DelimitedFile, rows: Sequence[Row]) -> None:
        """Remove the rows."""
        chosen = {id(row) for row in rows}
        table.rows[:] = [row for row in table.rows if id(row) not in chosen]


class ChangeColumns(Operation):
    """Rename, drop, add or reorder columns of a file."""

    kind: Literal["change_columns"]
    rename: dict[str, str] = {}
    drop: tuple[str, ...] = ()
    add: dict[str, str] = {}
    first: tuple[str, ...] = ()

    def apply(self, landing: Landing) -> list[Row]:
        """Change the header and the rows with it."""
        table = landing.table(landing.find(self.file))
        _need(table, *self.rename, *self.drop)
        columns = [self.rename.get(column, column) for column in table.columns if column not in self.drop]
        columns += [column for column in self.add if column not in columns]
        table.rows[:] = [
            {**{self.rename.get(column, column): value for column, value in row.items()}, **self.add}
            for row in table.rows
        ]
        table.columns[:] = [*self.first, *(column for column in columns if column not in self.first)]
        return []


class TruncateFile(Operation):
    """Cut a file off: so many bytes before its end, or after so many lines."""

    kind: Literal["truncate_file"]
    bytes_off: int | None = Field(default=None, ge=1)
    lines_kept: int | None = Field(default=None, ge=0, description="data lines behind the header")

    def apply(self, landing: Landing) -> list[Row]:
        """Cut the bytes."""
        name = landing.find(self.file)
        content = landing.bytes_of(name)
        if self.lines_kept is not None:
            content = b"".join(content.splitlines(keepends=True)[: 1 + self.lines_kept])
        if self.bytes_off is not None:
            content = content[: -self.bytes_off]
        landing.put(name, content)
        return []


class EmptyFile(Operation):
    """Empty a file, to no byte or to its header."""

    kind: Literal["empty_file"]
    header: bool = False

    def apply(self, landing: Landing) -> list[Row]:
        """Empty it."""
        name = landing.find(self.file)
        content = landing.bytes_of(name)
        landing.put(name, content.splitlines(keepends=True)[0] if self.header else b"")
        return []


class Reencode(Operation):
    """Write a text file in another encoding, delimiter or line end, as an Excel or a script would."""

    kind: Literal["reencode"]
    encoding: Literal["utf-8", "utf-8-sig", "utf-16", "gb18030", "gbk", "latin-1"]
    delimiter: str | None = Field(default=None, min_length=1, max_length=1)
    newline: Literal["\n", "\r\n"] | None = None
    read_as: str | None = Field(default=None, description="decode the bytes so first: a wrong one makes mojibake")

    def apply(self, landing: Landing) -> list[Row]:
        """Decode and encode; what cannot be encoded becomes ``?``."""
        name = landing.find(self.file)
        table = landing.table(name)
        if self.delimiter:
            table.delimiter = self.delimiter
        if self.newline:
            table.newline = self.newline
        text = table.content().removeprefix(BOM).decode(self.read_as or table.encoding, errors="replace")
        landing.put(name, text.encode(self.encoding, errors="replace"))
        return []


class DamageBytes(Operation):
    """Replace bytes in the middle of a file: at a share of its length, from the next ``find`` on."""

    kind: Literal["damage_bytes"]
    at: float = Field(default=0.5, ge=0, lt=1)
    find: str = ""
    by: str = Field(description="bytes in hexadecimal")

    def apply(self, landing: Landing) -> list[Row]:
        """Overwrite as many bytes as ``by`` has."""
        name = landing.find(self.file)
        content = landing.bytes_of(name)
        encoded = self.find.encode("gb18030" if name.endswith(".txt") else "utf-8")
        place = content.find(encoded, int(len(content) * self.at))
        if place < 0:
            raise FaultError(f"{name} has no such text behind {self.at:.0%} of its length")
        new = bytes.fromhex(self.by)
        landing.put(name, content[:place] + new + content[place + len(new) :])
        return []


class RenameFile(Operation):
    """Give a file another name; ``{stem}`` and ``{suffix}`` are parts of its own."""

    kind: Literal["rename_file"]
    to: str

    def apply(self, landing: Landing) -> list[Row]:
        """Rename, in the manifest too unless it is kept."""
        name = landing.find(self.file)
        delivered = name in landing.named
        content = landing.drop(name)
        stem, _, suffix = name.rpartition(".")
        landing.put(self.to.replace("{stem}", stem).replace("{suffix}", suffix), content, delivered=delivered)
        return []


class DropFile(Operation):
    """A file that did not come."""

    kind: Literal["drop_file"]

    def apply(self, landing: Landing) -> list[Row]:
        """Take it out; with ``manifest: keep`` the manifest still names it."""
        name = landing.find(self.file)
        named = list(landing.named)
        landing.drop(name)
        if name in landing.kept:
            landing.named = named
        return []


class AddFile(Operation):
    """A file nobody agreed on: ``file`` is its name."""

    kind: Literal["add_file"]
    text: str
    delivered: bool = False

    def apply(self, landing: Landing) -> list[Row]:
        """Add it, named in the manifest if ``delivered``."""
        landing.put(self.file, self.text.encode("utf-8"), delivered=self.delivered)
        return []


STAMP = re.compile(r"(\d{8})([T_])(\d{4})")


class ResendFile(Operation):
    """Send a file again with a time of extract so much later (or earlier); ``changes`` change the copy.

    The copy's name carries the time and the manifest does not name it; a change needs no ``file``. With ``instead``
    the first one did not come.
    """

    kind: Literal["resend_file"]
    days: int = 0
    minutes: int = 0
    instead: bool = False
    changes: tuple[AnyOperation, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _of_this_file(cls, value: object) -> object:
        """A change is one of the copy."""
        if not isinstance(value, dict) or "changes" not in value:
            return value
        return {**value, "changes": [{"file": value.get("file"), **change} for change in value["changes"]]}

    def apply(self, landing: Landing) -> list[Row]:
        """Copy the file and change the copy."""
        name = landing.find(self.file)
        found = STAMP.search(name)
        if not found:
            raise FaultError(f"{name} carries no time of extract to move")
        at = datetime.fromisoformat(f"{found[1]}T{found[3]}") + timedelta(days=self.days, minutes=self.minutes)
        copy = STAMP.sub(f"{at:%Y%m%d}{found[2]}{at:%H%M}", name)
        content = landing.drop(name) if self.instead else landing.bytes_of(name)
        landing.put(copy, content)
        rows: list[Row] = []
        for change in self.changes:
            rows += change.model_copy(update={"file": copy}).apply(landing)
        return rows


class StateManifest(Operation):
    """Let the manifest say something else of a file (``rows``, ``sha256``), or of itself (``file: manifest``)."""

    kind: Literal["state_manifest"]
    set: dict[str, str | int]

    def apply(self, landing: Landing) -> list[Row]:
        """Keep the words for the writing of the manifest."""
        name = "" if self.file == "manifest" else landing.find(self.file)
        landing.stated[name] = {**landing.stated.get(name, {}), **self.set}
        return []


AnyOperation = Annotated[
    SetValue
    | ReplaceText
    | WidenText
    | ChangeUnit
    | ShiftTime
    | MoveVisit
    | RelayTime
    | SwapValues
    | DuplicateRow
    | ReviseRow
    | DropRow
    | ChangeColumns
    | TruncateFile
    | EmptyFile
    | Reencode
    | DamageBytes
    | RenameFile
    | DropFile
    | AddFile
    | ResendFile
    | StateManifest,
    Field(discriminator="kind"),
]
ResendFile.model_rebuild()
