"""Columns that a rule prepares before it checks them: numbers read from texts, dates, limits joined, arithmetic.

Each is a frozen model with one word; it names the columns it reads (of the frame, or prepared before it) and is
computed once per distinct value where that is possible. Nothing here judges: the expectation does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from inspect import signature
from itertools import product
from typing import Any, ClassVar, Literal, Protocol, Self

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from transforms.clinical import albi, ctcae, meld
from transforms.core import conditions, dates, numbers, text
from transforms.core.conditions import Test
from transforms.core.tables import Table
from transforms.standards import Codelist

Kind = Literal["text", "number"]
Operand = str | float | int
SCORES: Mapping[str, Callable[..., pd.Series]] = {
    "meld_i": meld.compute_meld_i,
    "meld_etiology": meld.compute_meld_etiology,
    "meld_na": meld.compute_meld_na,
    "albi": albi.compute_albi,
}


class Scope(Protocol):
    """What a prepared column may see."""

    @property
    def index(self) -> pd.Index:
        """The row index of the frame."""

    def column(self, name: str) -> pd.Series:
        """A column of the frame, or one prepared before."""

    def number(self, name: str) -> pd.Series:
        """A column as numbers; a text column must be one that its contract reads as numbers."""

    def names(self) -> Sequence[str]:
        """The columns of the frame."""

    def frame(self, name: str) -> Frame:
        """Another frame that is checked with this one."""

    def datasets(self) -> Sequence[str]:
        """The names of all frames that are checked together."""

    @property
    def cut_off(self) -> str:
        """The data cut-off as an ISO 8601 date, or nothing."""


class Frame(Protocol):
    """A data frame, or what reads its columns when they are asked for."""

    @property
    def columns(self) -> Any:
        """The names of its columns."""

    @property
    def index(self) -> Any:
        """Its row index."""

    def __getitem__(self, name: Any, /) -> Any: ...

    def __contains__(self, name: Any, /) -> bool: ...

    def __len__(self) -> int: ...


class Prepared(BaseModel):
    """Base of all prepared columns: `word` names it, `kind` says what it holds.

    `own_value` says that the values of its inputs decide; others look at more rows or columns.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, defer_build=True)

    word: ClassVar[str]
    kind: ClassVar[Kind] = "number"
    takes: ClassVar[Kind | None] = None
    own_value: ClassVar[bool] = True

    def inputs(self) -> Sequence[str]:
        """Columns it reads."""
        raise NotImplementedError

    def others(self) -> Mapping[str, Sequence[str]]:
        """Other frames it reads, with the columns it needs there."""
        return {}

    def values(self, scope: Scope) -> pd.Series:
        """The column, on the index of the frame."""
        raise NotImplementedError

    def renamed(self, names: Mapping[str, str]) -> Prepared:
        """The same with other column names."""
        return type(self).model_validate(_renamed(self.model_dump(), names, self.column_fields()))

    def column_fields(self) -> tuple[str, ...]:
        """Fields that hold column names."""
        return (self.word,)


class _OneText(Prepared):
    takes: ClassVar[Kind | None] = "text"

    def inputs(self) -> Sequence[str]:
        return (str(getattr(self, self.word)),)


class Number(_OneText):
    """The number that a text stands for; missing for any other text. `censored` reads `<5` as 5."""

    word: ClassVar[str] = "number"
    number: str
    censored: bool = False

    def values(self, scope: Scope) -> pd.Series:
        """See the class."""
        values = scope.column(self.number)
        if not isinstance(values.dtype, pd.CategoricalDtype):
            return values

        def censored(one: str) -> float | None:
            result = numbers.parse_result(one)
            return None if result is None else result.value

        return text.map_number(values, censored if self.censored else numbers.parse_number)


class Text(_OneText):
    """A text without those listed, and with `not_numbers` without those that are numbers or censored numbers."""

    word: ClassVar[str] = "text"
    kind: ClassVar[Kind] = "text"
    text: str
    without: tuple[str, ...] = ()
    not_numbers: bool = False

    def values(self, scope: Scope) -> pd.Series:
        """See the class."""

        def kept(one: str) -> str | None:
            return None if one in self.without or (self.not_numbers and numbers.parse_result(one)) else one

        return text.map_text(scope.column(self.text), kept)


class Part(_OneText):
    """The part of a text that the pattern's one group finds; missing where it finds none."""

    word: ClassVar[str] = "part"
    kind: ClassVar[Kind] = "text"
    part: str
    pattern: str

    @field_validator("pattern")
    @classmethod
    def _one_group(cls, value: str) -> str:
        if re.compile(value).groups != 1:
            raise ValueError("the pattern needs one group")
        return value

    def values(self, scope: Scope) -> pd.Series:
        """See the class."""
        pattern = re.compile(self.pattern)

        def found(one: str) -> str | None:
            match = pattern.fullmatch(one)
            return match[1] if match else None

        return text.map_text(scope.column(self.part), found)


class Bytes(_OneText):
    """The length of a text in bytes of UTF-8."""

    word: ClassVar[str] = "bytes"
    bytes: str

    def values(self, scope: Scope) -> pd.Series:
        """See the class."""
        return text.map_number(scope.column(self.bytes), lambda one: float(len(one.encode())))


class _DateNumber(_OneText):
    reader: ClassVar[Callable[[str], float | None]]

    def values(self, scope: Scope) -> pd.Series:
        """See the class."""
        values = scope.column(str(getattr(self, self.word)))
        if pd.api.types.is_datetime64_any_dtype(values.dtype):
            seconds = values.to_numpy().astype("datetime64[s]").astype(np.int64).astype(float)
            seconds[values.isna().to_numpy()] = np.nan
            return pd.Series(seconds, index=values.index)
        return text.map_number(values, type(self).reader)


class Day(_DateNumber):
    """The day number of a complete ISO 8601 date; missing where the day is unknown."""

    word: ClassVar[str] = "day"
    day: str
    reader: ClassVar[Callable[[str], float | None]] = staticmethod(dates.day_number)


class _Moment(_DateNumber):
    time: str | None = None

    def inputs(self) -> Sequence[str]:
        own = str(getattr(self, self.word))
        return (own, self.time) if self.time else (own,)

    def column_fields(self) -> tuple[str, ...]:
        """See the base."""
        return (self.word, "time")

    def values(self, scope: Scope) -> pd.Series:
        """See the class."""
        if self.time is None:
            return super().values(scope)
        moments = text.map_rows([scope.column(name) for name in self.inputs()], dates.join)
        return text.map_number(moments, type(self).reader)


class Begin(_Moment):
    """Seconds at the start of what an ISO 8601 date (with its `time` of day) says; missing where the day is unknown."""

    word: ClassVar[str] = "begin"
    begin: str
    reader: ClassVar[Callable[[str], float | None]] = staticmethod(dates.first_second)


class End(_Moment):
    """Seconds at the end of what an ISO 8601 date (with its `time` of day) says: a date ends at its last second."""

    word: ClassVar[str] = "end"
    end: str
    reader: ClassVar[Callable[[str], float | None]] = staticmethod(dates.last_second)


class Rounded(Prepared):
    """A number to some significant digits, so that two writings of one number compare equal."""

    word: ClassVar[str] = "rounded"
    takes: ClassVar[Kind | None] = "number"
    rounded: str
    digits: int = Field(default=12, ge=1, le=15)

    def inputs(self) -> Sequence[str]:
        """See the base."""
        return (self.rounded,)

    def values(self, scope: Scope) -> pd.Series:
        """See the class."""
        values = scope.number(self.rounded)
        return pd.Series(numbers.round_significant(values.to_numpy(), self.digits), index=values.index)


class _Arithmetic(Prepared):
    takes: ClassVar[Kind | None] = "number"

    def inputs(self) -> Sequence[str]:
        return tuple(one for one in getattr(self, self.word) if isinstance(one, str))

    def operands(self, scope: Scope) -> list[np.ndarray]:
        """The operands, a number being the same on every row."""
        return [
            scope.number(one).to_numpy() if isinstance(one, str) else np.full(len(scope.index), float(one))
            for one in getattr(self, self.word)
        ]


class Sum(_Arithmetic):
    """The sum of columns and numbers; missing where one is missing."""

    word: ClassVar[str] = "sum"
    sum: tuple[Operand, ...] = Field(min_length=2)

    def values(self, scope: Scope) -> pd.Series:
        """See the class."""
        return pd.Series(np.add.reduce(self.operands(scope)), index=scope.index)


class Difference(_Arithmetic):
    """The first minus the second."""

    word: ClassVar[str] = "difference"
    difference: tuple[Operand, Operand]

    def values(self, scope: Scope) -> pd.Series:
        """See the class."""
        first, second = self.operands(scope)
        return pd.Series(first - second, index=scope.index)


class Product(_Arithmetic):
    """The product of columns and numbers."""

    word: ClassVar[str] = "product"
    product: tuple[Operand, ...] = Field(min_length=2)

    def values(self, scope: Scope) -> pd.Series:
        """See the class."""
        return pd.Series(np.multiply.reduce(self.operands(scope)), index=scope.index)


class Quotient(_Arithmetic):
    """The first over the second; missing where the second is 0."""

    word: ClassVar[str] = "quotient"
    quotient: tuple[Operand, Operand]

    def values(self, scope: Scope) -> pd.Series:
        """See the class."""
        first, second = self.operands(scope)
        result = np.full(len(first), np.nan)
        np.divide(first, second, out=result, where=second != 0)
        return pd.Series(result, index=scope.index)


class _Limits(Prepared):
    takes: ClassVar[Kind | None] = "number"
    low: Operand | None = None
    high: Operand | None = None

    def inputs(self) -> Sequence[str]:
        return tuple(one for one in (getattr(self, self.word), self.low, self.high) if isinstance(one, str))

    def column_fields(self) -> tuple[str, ...]:
        """See the base."""
        return (self.word, "low", "high")

    def margins(self, scope: Scope) -> tuple[np.ndarray, np.ndarray]:
        """The number, and how far it lies inside its limits."""

        def limit(one: Operand | None) -> np.ndarray:
            if isinstance(one, str):
                return scope.number(one).to_numpy()
            return np.full(len(scope.index), np.nan if one is None else float(one))

        value = scope.number(getattr(self, self.word)).to_numpy()
        return value, np.fmin(value - limit(self.low), limit(self.high) - value)


class Margin(_Limits):
    """How far a number lies inside its limits: 0 on a limit, negative outside; a missing limit does not limit.

    With `low` and `high` joined from a table, one expectation (at least 0) serves every analyte.
    """

    word: ClassVar[str] = "margin"
    margin: str

    def values(self, scope: Scope) -> pd.Series:
        """See the class."""
        return pd.Series(self.margins(scope)[1], index=scope.index)


class Inside(_Limits):
    """A number where it lies inside its limits, missing elsewhere: what another rule says already is left to it."""

    word: ClassVar[str] = "inside"
    inside: str

    def values(self, scope: Scope) -> pd.Series:
        """See the class."""
        value, margin = self.margins(scope)
        return pd.Series(np.where(margin < 0, np.nan, value), index=scope.index)


class Pick(Prepared):
    """The number `pick` of the one row on which `when` holds among the rows with the same values `within`."""

    word: ClassVar[str] = "pick"
    own_value: ClassVar[bool] = False
    pick: str
    when: dict[str, Test] = Field(min_length=1)
    within: tuple[str, ...] = Field(min_length=1)

    def inputs(self) -> Sequence[str]:
        """See the base."""
        return (self.pick, *self.when, *self.within)

    def renamed(self, names: Mapping[str, str]) -> Prepared:
        """See the base."""
        return self.model_copy(
            update={
                "pick": names.get(self.pick, self.pick),
                "when": {names.get(name, name): test for name, test in self.when.items()},
                "within": tuple(names.get(name, name) for name in self.within),
            }
        )

    def values(self, scope: Scope) -> pd.Series:
        """See the class."""
        groups = text.combination_codes([scope.column(name) for name in self.within])
        rows = np.flatnonzero(conditions.rows(self.when, scope.column, scope.index))
        size = int(groups.max(initial=-1)) + 1
        table = np.full(size, np.nan)
        table[groups[rows]] = scope.number(self.pick).to_numpy()[rows]
        table[np.bincount(groups[rows], minlength=size) != 1] = np.nan
        return pd.Series(table[groups] if size else [], index=scope.index, dtype=float)


class Flags(Prepared):
    """How many of the columns `flags` hold `value`; those of `if_there` count where the dataset has them."""

    word: ClassVar[str] = "flags"
    own_value: ClassVar[bool] = False
    flags: tuple[str, ...] = Field(min_length=1)
    if_there: tuple[str, ...] = ()
    value: str = "Y"

    def inputs(self) -> Sequence[str]:
        """See the base."""
        return self.flags

    def column_fields(self) -> tuple[str, ...]:
        """See the base."""
        return ("flags", "if_there")

    def values(self, scope: Scope) -> pd.Series:
        """See the class."""
        names = [*self.flags, *(name for name in self.if_there if name in scope.names())]
        total = np.zeros(len(scope.index))
        for name in names:
            total += text.map_flag(scope.column(name), lambda one: one == self.value)
        return pd.Series(total, index=scope.index)


class FromTable(Prepared):
    """Base of what stands in a table's column, found by the values of columns, and by fixed ones."""

    own_value: ClassVar[bool] = True
    table: str
    by: dict[str, str] = Field(min_length=1)
    fixed: dict[str, str] = {}
    found: Mapping[tuple[str, ...], Any] = Field(default={}, repr=False)

    @property
    def wanted(self) -> str:
        """The table's column."""
        return str(getattr(self, self.word))

    def inputs(self) -> Sequence[str]:
        """See the base."""
        return tuple(self.by.values())

    def column_fields(self) -> tuple[str, ...]:
        """See the base."""
        return ("by",)

    def taken(self, cell: str) -> Any:
        """What a cell of the table stands for; None for nothing."""
        raise NotImplementedError

    def resolved(self, table: Table) -> Self:
        """With what stands in the table."""
        keyed = table.keyed((*self.by, *self.fixed), self.wanted)
        taken = {key: self.taken(cell) for key, cell in keyed.items()}
        return self.model_copy(update={"found": {key: one for key, one in taken.items() if one is not None}})

    def find(self, *key: object) -> Any:
        """What stands in the row of a key."""
        return self.found.get((*("" if part is None else str(part) for part in key), *self.fixed.values()))


class Lookup(FromTable):
    """The number in a table's column found by the values of columns, and by fixed ones; missing without a row."""

    word: ClassVar[str] = "lookup"
    kind: ClassVar[Kind] = "number"
    lookup: str

    def taken(self, cell: str) -> float | None:
        """See the base."""
        return numbers.parse_number(cell)

    def values(self, scope: Scope) -> pd.Series:
        """See the class."""
        return text.map_rows_number([scope.column(name) for name in self.by.values()], self.find)


class Cell(FromTable):
    """The text in a table's column, found in the same way; a text of the specification, which a rule may tell."""

    word: ClassVar[str] = "cell"
    kind: ClassVar[Kind] = "text"
    cell: str

    def taken(self, cell: str) -> str | None:
        """See the base."""
        return cell or None

    def values(self, scope: Scope) -> pd.Series:
        """See the class."""
        return text.map_rows([scope.column(name) for name in self.by.values()], self.find)


class Present(Prepared):
    """How many of the columns `present` hold a value; those of `if_there` count where the dataset has them."""

    word: ClassVar[str] = "present"
    own_value: ClassVar[bool] = False
    present: tuple[str, ...] = Field(min_length=1)
    if_there: tuple[str, ...] = ()

    def inputs(self) -> Sequence[str]:
        """See the base."""
        return self.present

    def column_fields(self) -> tuple[str, ...]:
        """See the base."""
        return ("present", "if_there")

    def values(self, scope: Scope) -> pd.Series:
        """See the class."""
        names = [*self.present, *(name for name in self.if_there if name in scope.names())]
        return pd.Series(np.add.reduce([scope.column(name).notna().to_numpy().astype(float) for name in names]),
                         index=scope.index)  # fmt: skip


# More days than any date has before it.
DAYS = 2**24


class Near(BaseModel):
    """A window of days: `there` lies `from` to `to` days after `here` (before it where negative); both are dates."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    here: str
    there: str
    first: int = Field(alias="from")
    last: int = Field(alias="to")

    @model_validator(mode="after")
    def _forward(self) -> Near:
        if self.first > self.last:
            raise ValueError("near goes from the earlier to the later day")
        return self


class _Rows(Prepared):
    """Base of what looks for rows: of another frame (`of`) or of this one, on which `when` holds, `near` in time."""

    own_value: ClassVar[bool] = False
    of: str | None = None
    there: tuple[str, ...] = ()
    when: dict[str, Test] = {}
    near: Near | None = None

    @property
    def keys(self) -> tuple[str, ...]:
        """The columns of this frame whose values a row must have."""
        raise NotImplementedError

    @model_validator(mode="after")
    def _as_many(self) -> Self:
        if self.there and (self.of is None or len(self.there) != len(self.keys)):
            raise ValueError("there names as many columns of another frame as are looked for")
        return self

    def inputs(self) -> Sequence[str]:
        """See the base."""
        here = (self.near.here,) if self.near else ()
        return (*self.keys, *here, *(() if self.of else self.read_there()))

    def read_there(self) -> tuple[str, ...]:
        """Columns read of the rows looked for."""
        return (*self.there, *self.when, *((self.near.there,) if self.near else ()))

    def others(self) -> Mapping[str, Sequence[str]]:
        """See the base."""
        return {self.of: (*(self.there or self.keys), *self.read_there())} if self.of else {}

    def renamed(self, names: Mapping[str, str]) -> Prepared:
        """See the base."""
        if self.near or self.when:
            raise ValueError("a rule for a kind of source looks neither near a date nor for a condition")
        return super().renamed(names)

    def found(self, scope: Scope) -> tuple[Callable[[str], pd.Series], np.ndarray]:
        """The columns of the frame looked into, and the rows on which `when` holds."""
        frame = scope.frame(self.of) if self.of else None
        values = scope.column if frame is None else frame.__getitem__
        index = scope.index if frame is None else frame.index
        return values, np.flatnonzero(conditions.rows(self.when, values, index))


class Count(_Rows):
    """How many rows of a frame (`of`, else this one) have the same values in the columns `count`.

    Columns of `if_there` belong to them where the dataset has them. `there` names the columns of `of` where they
    have other names. Only rows on which `when` holds count, and with `near` those in the window of days; a row whose
    day is unknown has no number then.
    """

    word: ClassVar[str] = "count"
    count: tuple[str, ...] = Field(min_length=1)
    if_there: tuple[str, ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        """See the base."""
        return self.count

    def column_fields(self) -> tuple[str, ...]:
        """See the base."""
        return ("count", "if_there")

    def values(self, scope: Scope) -> pd.Series:
        """See the class."""
        names = [*self.count, *(name for name in self.if_there if name in scope.names())]
        own = [scope.column(name) for name in names]
        values, rows = self.found(scope)
        there = [values(name).iloc[rows] for name in (*(self.there or self.count), *names[len(self.count) :])]
        here, found, size = _matched(own, there)
        if self.near is None:
            return pd.Series(np.bincount(found, minlength=size)[here].astype(float), index=scope.index)
        asked = dates.day_numbers(scope.column(self.near.here)).to_numpy()
        days = dates.day_numbers(values(self.near.there)).to_numpy()[rows]
        dated = ~np.isnan(days)
        # Key and day as one number, so that the rows of a key in a window of days lie together.
        places = np.sort(found[dated] * DAYS + days[dated].astype(np.int64))

        def before(day: np.ndarray, side: Literal["left", "right"]) -> np.ndarray:
            whole = np.clip(np.nan_to_num(day), 0, DAYS - 1).astype(np.int64)
            position: np.ndarray = np.searchsorted(places, here * DAYS + whole, side)
            return position

        counts = before(asked + self.near.last, "right") - before(asked + self.near.first, "left")
        return pd.Series(np.where(np.isnan(asked), np.nan, counts), index=scope.index)


class Fetch(_Rows):
    """The text in the column `fetch` of another frame, on its one row with the same values in the columns `by`.

    `there` names the columns of the other frame where they have other names; only rows on which `when` holds are
    looked at. With `near` the row is the one nearest in time within the window of days; missing where rows equally
    near say different things.
    """

    word: ClassVar[str] = "fetch"
    kind: ClassVar[Kind] = "text"
    fetch: str
    of: str
    by: tuple[str, ...] = Field(min_length=1)

    @property
    def keys(self) -> tuple[str, ...]:
        """See the base."""
        return self.by

    def column_fields(self) -> tuple[str, ...]:
        """See the base."""
        return ("by",)

    def read_there(self) -> tuple[str, ...]:
        """See the base."""
        return (self.fetch, *super().read_there())

    def values(self, scope: Scope) -> pd.Series:
        """See the class."""
        values, rows = self.found(scope)
        here, found, size = _matched(
            [scope.column(name) for name in self.by], [values(name).iloc[rows] for name in self.there or self.by]
        )
        codes, distinct = text.codes_of(values(self.fetch).iloc[rows])
        if self.near is None:
            code = np.full(size, text.MISSING)
            code[found] = codes
            code[np.bincount(found, minlength=size) > 1] = text.MISSING
            said = code[here]
        else:
            asked = text.map_number(scope.column(self.near.here), dates.first_second).to_numpy()
            moments = text.map_number(values(self.near.there), dates.first_second).to_numpy()[rows]
            said = _nearest(self.near, here, asked, found, moments, codes)
        return text.column(said, [_written(one) for one in distinct], scope.index)


def _nearest(
    near: Near, here: np.ndarray, asked: np.ndarray, there: np.ndarray, moments: np.ndarray, codes: np.ndarray
) -> np.ndarray:
    """For each row here the code of the row there with the same key that is nearest in time, within the window of days.

    Missing where no row is in the window, and where rows equally near have different codes. Moments are seconds, NaN
    where the day is unknown; a missing code is one among others.
    """
    result = np.full(len(here), text.MISSING)
    dated, rows = ~np.isnan(moments), np.flatnonzero(~np.isnan(asked))
    if not dated.any():
        return result
    instants, ranks = np.unique(moments[dated], return_inverse=True)
    width = len(instants) + 1
    # Key and moment as one number, so that the rows of a key lie together in the order of time.
    spots, group = np.unique(there[dated] * width + ranks, return_inverse=True)
    least, most = np.full(len(spots), np.iinfo(np.int64).max), np.full(len(spots), text.MISSING)
    np.minimum.at(least, group, codes[dated])
    np.maximum.at(most, group, codes[dated])
    agreed = np.where(least == most, least, text.MISSING)

    key, moment = here[rows] * width, asked[rows]
    day = moment // dates.SECONDS_PER_DAY
    start, end = (day + near.first) * dates.SECONDS_PER_DAY, (day + near.last + 1) * dates.SECONDS_PER_DAY - 1
    after = np.searchsorted(spots, key + np.searchsorted(instants, np.maximum(moment, start), "left"), "left")
    before = np.searchsorted(spots, key + np.searchsorted(instants, np.minimum(moment, end), "right"), "left") - 1

    def reached(places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How far away in time a place is, infinite in another key or outside of the window, and its code."""
        inside = (places >= 0) & (places < len(spots))
        places = np.where(inside, places, 0)
        at = instants[spots[places] % width]
        inside &= (spots[places] // width * width == key) & (at >= start) & (at <= end)
        return np.where(inside, np.abs(at - moment), np.inf), agreed[places]

    (far, later), (near_by, earlier) = reached(after), reached(before)
    chosen = np.where(far < near_by, later, earlier)
    tied = (far == near_by) & (later != earlier)
    result[rows] = np.where(tied | np.isinf(np.minimum(far, near_by)), text.MISSING, chosen)
    return result


def _written(value: Any) -> str:
    return numbers.number_text(value) if isinstance(value, float) else str(value)


def _matched(here: Sequence[pd.Series], there: Sequence[pd.Series]) -> tuple[np.ndarray, np.ndarray, int]:
    """One integer for each row here and there, equal where all columns agree (missing agrees with missing).

    The third is one more than the greatest of them.
    """
    own = np.zeros(len(here[0]), dtype=np.int64)
    other = np.zeros(len(there[0]), dtype=np.int64)
    size = 1
    for one, two in zip(here, there, strict=True):
        codes, distinct = text.codes_of(one)
        codes_there, distinct_there = text.codes_of(two)
        place = {value: position for position, value in enumerate(distinct, start=1)}
        places = np.array([0, *(place.setdefault(value, len(place) + 1) for value in distinct_there)], dtype=np.int64)
        own = own * (len(place) + 1) + codes + 1
        other = other * (len(place) + 1) + places[codes_there + 1]
        dense, seen = pd.factorize(np.concatenate([own, other]))
        own, other, size = dense[: len(own)].astype(np.int64), dense[len(own) :].astype(np.int64), len(seen)
    return own, other, size


class Previous(Prepared):
    """The text in the column `previous` on the row before this one among those with the same values `within`.

    Before is by the dates in `order`, at least one moment earlier; with `days` at most so many days. Missing where
    the rows at that moment say different things.
    """

    word: ClassVar[str] = "previous"
    kind: ClassVar[Kind] = "text"
    own_value: ClassVar[bool] = False
    previous: str
    within: tuple[str, ...] = Field(min_length=1)
    order: str
    days: int | None = None

    def inputs(self) -> Sequence[str]:
        """See the base."""
        return (self.previous, *self.within, self.order)

    def column_fields(self) -> tuple[str, ...]:
        """See the base."""
        return ("previous", "within", "order")

    def values(self, scope: Scope) -> pd.Series:
        """See the class."""
        data = pd.DataFrame(
            {
                "group": text.combination_codes([scope.column(name) for name in self.within]),
                "moment": text.map_number(scope.column(self.order), dates.first_second).to_numpy(),
                "value": text.codes_of(scope.column(self.previous))[0],
            }
        )
        known = [_written(one) for one in text.codes_of(scope.column(self.previous))[1]]
        groups = data[data["moment"].notna() & (data["value"] >= 0)].groupby(["group", "moment"], sort=True)["value"]
        said = groups.agg(["min", "max"])
        said["code"] = said["min"].where(said["min"] == said["max"], -1)
        moments = said.index.get_level_values("moment")
        said["before"] = said.groupby("group")["code"].shift(fill_value=-1)
        waited = moments.to_series(index=said.index).groupby("group").diff()
        if self.days is not None:
            said.loc[~(waited <= self.days * dates.SECONDS_PER_DAY), "before"] = -1
        codes = data.join(said["before"], on=["group", "moment"])["before"].fillna(-1).to_numpy().astype(np.int64)
        return text.column(codes, known, scope.index)


class Spread(_Arithmetic):
    """How far apart the greatest and the least of some numbers lie; missing where fewer than two are there."""

    word: ClassVar[str] = "spread"
    spread: tuple[Operand, ...] = Field(min_length=2)

    def values(self, scope: Scope) -> pd.Series:
        """See the class."""
        operands = np.array(self.operands(scope))
        apart = np.fmax.reduce(operands) - np.fmin.reduce(operands)
        return pd.Series(np.where((~np.isnan(operands)).sum(axis=0) < 2, np.nan, apart), index=scope.index)


class Absolute(_Arithmetic):
    """The size of a number without its sign."""

    word: ClassVar[str] = "absolute"
    absolute: str

    def inputs(self) -> Sequence[str]:
        """See the base."""
        return (self.absolute,)

    def values(self, scope: Scope) -> pd.Series:
        """See the class."""
        return scope.number(self.absolute).abs()


class Least(_Arithmetic):
    """The least of some numbers, those missing left out; missing where all are."""

    word: ClassVar[str] = "least"
    least: tuple[Operand, ...] = Field(min_length=2)

    def values(self, scope: Scope) -> pd.Series:
        """See the class."""
        return pd.Series(np.fmin.reduce(self.operands(scope)), index=scope.index)


class Agree(Prepared):
    """1 where two texts are equal or both missing, 0 elsewhere."""

    word: ClassVar[str] = "agree"
    takes: ClassVar[Kind | None] = "text"
    agree: tuple[str, str]

    def inputs(self) -> Sequence[str]:
        """See the base."""
        return self.agree

    def values(self, scope: Scope) -> pd.Series:
        """See the class."""
        return text.map_rows_number([scope.column(name) for name in self.agree], lambda one, two: float(one == two))


class Elapsed(_OneText):
    """Days from a complete date to the data cut-off, negative after it; missing without a cut-off."""

    word: ClassVar[str] = "elapsed"
    own_value: ClassVar[bool] = False
    elapsed: str

    def values(self, scope: Scope) -> pd.Series:
        """See the class."""
        end = dates.day_number(scope.cut_off)
        return (np.nan if end is None else end) - dates.day_numbers(scope.column(self.elapsed))


class Score(Prepared):
    """A published score by its name (`transforms.clinical`), of columns and numbers in the units it names."""

    word: ClassVar[str] = "score"
    takes: ClassVar[Kind | None] = "number"
    score: str
    of: dict[str, Operand] = Field(min_length=1)

    @model_validator(mode="after")
    def _known(self) -> Score:
        if self.score not in SCORES:
            raise ValueError(f"unknown score {self.score!r}; known: {', '.join(sorted(SCORES))}")
        needed = {name for name, one in signature(SCORES[self.score]).parameters.items() if one.default is one.empty}
        if needed != set(self.of):
            raise ValueError(f"{self.score} is computed of {', '.join(sorted(needed))}")
        return self

    def inputs(self) -> Sequence[str]:
        """See the base."""
        return tuple(one for one in self.of.values() if isinstance(one, str))

    def column_fields(self) -> tuple[str, ...]:
        """See the base."""
        return ("of",)

    def values(self, scope: Scope) -> pd.Series:
        """See the class."""
        operands = {
            name: scope.number(one) if isinstance(one, str) else pd.Series(float(one), index=scope.index)
            for name, one in self.of.items()
        }
        return SCORES[self.score](**operands)


class Toxicity(Prepared):
    """CTCAE v5.0 grade of a result in the `direction` L or H; missing where there is no term or no grade can be told.

    `unit` is that of the value, both limits and the baseline.
    """

    word: ClassVar[str] = "toxicity"
    takes: ClassVar[Kind | None] = None
    toxicity: str
    test: str
    unit: str
    low: str
    high: str
    baseline: str
    direction: Literal["L", "H"]

    def inputs(self) -> Sequence[str]:
        """See the base."""
        return tuple(getattr(self, name) for name in self.column_fields())

    def column_fields(self) -> tuple[str, ...]:
        """See the base."""
        return ("toxicity", "test", "unit", "low", "high", "baseline")

    def values(self, scope: Scope) -> pd.Series:
        """See the class."""
        before, high = scope.number(self.baseline), scope.number(self.high)
        return ctcae.compute_toxicity_grades(
            term=ctcae.compute_toxicity_terms(test_code=scope.column(self.test), direction=self.direction),
            value=scope.number(self.toxicity),
            unit=scope.column(self.unit),
            lln=scope.number(self.low),
            uln=high,
            baseline=before,
            baseline_high=(before > high).where(before.notna() & high.notna()).astype(float),
        )


class ToxicityTerm(_OneText):
    """The CTCAE v5.0 term that grades low (`direction` L) or high (H) results of an LBTESTCD."""

    word: ClassVar[str] = "toxicity_term"
    kind: ClassVar[Kind] = "text"
    toxicity_term: str
    direction: Literal["L", "H"]

    def values(self, scope: Scope) -> pd.Series:
        """See the class."""
        return ctcae.compute_toxicity_terms(test_code=scope.column(self.toxicity_term), direction=self.direction)


class StudyDay(Prepared):
    """The study day of a complete ISO 8601 date, counted from `reference`: no day 0; missing for a partial date."""

    word: ClassVar[str] = "study_day"
    takes: ClassVar[Kind | None] = "text"
    study_day: str
    reference: str

    def inputs(self) -> Sequence[str]:
        """See the base."""
        return (self.study_day, self.reference)

    def column_fields(self) -> tuple[str, ...]:
        """See the base."""
        return ("study_day", "reference")

    def values(self, scope: Scope) -> pd.Series:
        """See the class."""
        return dates.study_days(scope.column(self.study_day), scope.column(self.reference))


class Related(Prepared):
    """How many records a pointer reaches: `related` names the columns of RDOMAIN, USUBJID, IDVAR and IDVARVAL.

    Without IDVAR the pointer means the subject, without IDVARVAL every record that has the variable, without USUBJID
    those of all subjects. 0 for a dataset or variable that is not there.
    """

    word: ClassVar[str] = "related"
    own_value: ClassVar[bool] = False
    related: tuple[str, str, str, str] = ("RDOMAIN", "USUBJID", "IDVAR", "IDVARVAL")

    def inputs(self) -> Sequence[str]:
        """See the base."""
        return self.related

    def values(self, scope: Scope) -> pd.Series:
        """See the class."""
        domains, subjects, variables, values = (scope.column(name) for name in self.related)
        codes, pointers = text.combinations([domains, variables])
        result = np.zeros(len(codes))
        for code, (domain, variable) in enumerate(pointers):
            rows = np.flatnonzero(codes == code)
            frame = scope.frame(str(domain)) if domain in scope.datasets() else None
            if frame is not None:
                name = None if variable is None else str(variable)
                result[rows] = _reached(frame, name, subjects.iloc[rows], values.iloc[rows])
        return pd.Series(result, index=scope.index)


def _reached(frame: Frame, variable: str | None, subjects: pd.Series, values: pd.Series) -> np.ndarray:
    """How many records of a dataset each pointer reaches; a subject or value that is missing in it stands for any."""
    result = np.zeros(len(subjects))
    if (variable or "USUBJID") not in frame:
        return result
    subject = frame["USUBJID"] if "USUBJID" in frame else None  # noqa: SIM401 (columns that are read when asked for)
    value = None
    if variable is not None:
        codes, distinct = text.codes_of(frame[variable])
        value = text.column(codes, [_written(one) for one in distinct], frame.index)
        there = value.notna().to_numpy()
        subject, value = None if subject is None else subject[there], value[there]
    size = len(frame) if value is None else len(value)
    given = (subjects.notna().to_numpy(), values.notna().to_numpy())
    for by_subject, by_value in product((True, False), repeat=2):
        rows = np.flatnonzero((given[0] == by_subject) & (given[1] == by_value))
        keys = [(subjects, subject)] * by_subject + [(values, value)] * by_value
        known = [(here.iloc[rows], there) for here, there in keys if there is not None]
        if not keys:
            result[rows] = size
        elif len(rows) and len(known) == len(keys):
            here, found, width = _matched(*map(list, zip(*known, strict=True)))
            result[rows] = np.bincount(found, minlength=width)[here]
    return result


class Concept(_OneText):
    """The C-code of the concept that a term of some codelists stands for; missing where it is not known."""

    word: ClassVar[str] = "concept"
    kind: ClassVar[Kind] = "text"
    concept: str
    codelists: tuple[str, ...] = Field(min_length=1)
    found: Mapping[str, str] = Field(default={}, repr=False)

    def resolved(self, published: Mapping[str, Codelist]) -> Concept:
        """With the codes of the study's terminology; a term with two codes stands for neither."""
        found: dict[str, set[str]] = {}
        for code in self.codelists:
            for term, concept in published[code].concepts.items() if code in published else ():
                found.setdefault(term, set()).add(concept)
        return self.model_copy(update={"found": {term: min(one) for term, one in found.items() if len(one) == 1}})

    def values(self, scope: Scope) -> pd.Series:
        """See the class."""
        return text.translate(scope.column(self.concept), dict(self.found))


class Distinct(Prepared):
    """How many different values of columns (`distinct`) the rows with the same values `within` have.

    `distinct: ["*"]` means the whole record, `but` the columns listed.
    """

    word: ClassVar[str] = "distinct"
    own_value: ClassVar[bool] = False
    distinct: tuple[str, ...] = Field(min_length=1)
    within: tuple[str, ...] = Field(min_length=1)
    but: tuple[str, ...] = ()

    def inputs(self) -> Sequence[str]:
        """See the base."""
        return (*(one for one in self.distinct if one != "*"), *self.within)

    def column_fields(self) -> tuple[str, ...]:
        """See the base."""
        return ("distinct", "within", "but")

    def values(self, scope: Scope) -> pd.Series:
        """See the class."""
        names = list(self.distinct)
        if names == ["*"]:
            names = [name for name in scope.names() if name not in self.but]
        within = text.combination_codes([scope.column(name) for name in self.within])
        result = np.ones(len(within))
        size = np.bincount(within) if len(within) else np.empty(0, dtype=np.int64)
        rows = np.flatnonzero(size[within] > 1)
        if len(rows):
            whole = text.combination_codes([scope.column(name).iloc[rows] for name in names])
            groups = pd.Series(whole).groupby(within[rows])
            result[rows] = groups.transform("nunique").to_numpy()
        return pd.Series(result, index=scope.index)


class Rank(Prepared):
    """The place, from 1, of a row's number among the rows with the same values `within`."""

    word: ClassVar[str] = "rank"
    own_value: ClassVar[bool] = False
    takes: ClassVar[Kind | None] = None
    rank: str
    within: tuple[str, ...] = Field(min_length=1)

    def inputs(self) -> Sequence[str]:
        """See the base."""
        return (self.rank, *self.within)

    def column_fields(self) -> tuple[str, ...]:
        """See the base."""
        return ("rank", "within")

    def values(self, scope: Scope) -> pd.Series:
        """See the class."""
        groups = text.combination_codes([scope.column(name) for name in self.within])
        order = np.lexsort((scope.number(self.rank).to_numpy(), groups))
        sizes = np.bincount(groups) if len(groups) else np.empty(0, dtype=np.int64)
        starts = np.repeat(np.cumsum(sizes) - sizes, sizes)
        result = np.empty(len(groups))
        result[order] = np.arange(len(groups)) - starts + 1
        return pd.Series(result, index=scope.index)


WORDS: dict[str, type[Prepared]] = {
    kind.word: kind
    for kind in (
        Number, Text, Part, Bytes, Day, Begin, End, Rounded, Sum, Difference, Product, Quotient, Margin, Inside,
        Lookup, Cell, Pick, Flags, Present, Count, Distinct, Rank, Fetch, Previous, Spread, Least, Absolute, Agree,
        Elapsed, Score, Toxicity, ToxicityTerm, StudyDay, Related, Concept,
    )
}  # fmt: skip


def parse(written: Any) -> Prepared:
    """The prepared column a rule writes, for example `{number: LBORRES}`; ValueError names the words known."""
    if isinstance(written, Prepared):
        return written
    if not isinstance(written, Mapping):
        raise ValueError(f"is no prepared column; write one of: {', '.join(sorted(WORDS))}")
    words = [key for key in written if key in WORDS]
    if len(words) != 1:
        names = ", ".join(map(str, written))
        raise ValueError(f"names {len(words)} preparations ({names}); one of: {', '.join(sorted(WORDS))}")
    several = {"count", "distinct", "flags", "present"}
    options = {key: [one] if key in several and isinstance(one, str) else one for key, one in written.items()}
    return WORDS[words[0]].model_validate(options)


def _renamed(written: Mapping[str, Any], names: Mapping[str, str], fields: tuple[str, ...]) -> dict[str, Any]:
    def one(value: Any) -> Any:
        if isinstance(value, str):
            return names.get(value, value)
        if isinstance(value, Mapping):
            return {key: one(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [one(item) for item in value]
        return value

    return {key: one(value) if key in fields else value for key, value in written.items()}
