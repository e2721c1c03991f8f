"""Columns prepared from values of the same row: numbers and parts of texts, dates, flags, concepts."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

import numpy as np
import pandas as pd
from pydantic import Field, field_validator

from transforms.core import conditions, dates, numbers, text
from transforms.core.conditions import Test
from transforms.standards import Codelist
from transforms.validation.columns.base import Kind, OneText, Prepared, Scope


class Number(OneText):
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


class Text(OneText):
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


class Part(OneText):
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


class Bytes(OneText):
    """The length of a text in bytes of UTF-8."""

    word: ClassVar[str] = "bytes"
    bytes: str

    def values(self, scope: Scope) -> pd.Series:
        """See the class."""
        return text.map_number(scope.column(self.bytes), lambda one: float(len(one.encode())))


class _DateNumber(OneText):
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
    partial: bool = False
    possible: ClassVar[Callable[[str], float | None]]

    def inputs(self) -> Sequence[str]:
        own = str(getattr(self, self.word))
        return (own, self.time) if self.time else (own,)

    def column_fields(self) -> tuple[str, ...]:
        """See the base."""
        return (self.word, "time")

    def values(self, scope: Scope) -> pd.Series:
        """See the class."""
        moments = scope.column(str(getattr(self, self.word)))
        if pd.api.types.is_datetime64_any_dtype(moments.dtype):
            return super().values(scope)
        if self.time is not None:
            moments = text.map_rows([scope.column(name) for name in self.inputs()], dates.join)
        return text.map_number(moments, type(self).possible if self.partial else type(self).reader)


class Begin(_Moment):
    """Seconds at the start of what an ISO 8601 date (with its `time` of day) says; missing where the day is unknown.

    With `partial`, the earliest that a date without its day, or day and month, can mean.
    """

    word: ClassVar[str] = "begin"
    begin: str
    reader: ClassVar[Callable[[str], float | None]] = staticmethod(dates.first_second)
    possible: ClassVar[Callable[[str], float | None]] = staticmethod(dates.earliest_second)


class End(_Moment):
    """Seconds at the end of what an ISO 8601 date (with its `time` of day) says: a date ends at its last second.

    With `partial`, the latest that a date without its day, or day and month, can mean.
    """

    word: ClassVar[str] = "end"
    end: str
    reader: ClassVar[Callable[[str], float | None]] = staticmethod(dates.last_second)
    possible: ClassVar[Callable[[str], float | None]] = staticmethod(dates.latest_second)


class Elapsed(OneText):
    """Days from a complete date to the data cut-off, negative after it; missing without a cut-off."""

    word: ClassVar[str] = "elapsed"
    own_value: ClassVar[bool] = False
    elapsed: str

    def values(self, scope: Scope) -> pd.Series:
        """See the class."""
        end = dates.day_number(scope.cut_off)
        return (np.nan if end is None else end) - dates.day_numbers(scope.column(self.elapsed))


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


class Concept(OneText):
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
