"""Algorithms that find a value elsewhere: in a matching record, in all records of the study, in a range of a table."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import field_validator

from transforms.algorithms.base import Link, Outcome, Problem, Scope, fold, register
from transforms.algorithms.collected import typed
from transforms.algorithms.values import Derived
from transforms.core import conditions, dates, numbers, text
from transforms.core.columns import take
from transforms.core.conditions import Test
from transforms.findings import Severity

FIELD = re.compile(r"\{([A-Za-z][A-Za-z0-9_]*)\}")


def _written_whole(value: str) -> str:
    if value.count(".") != 1 or not all(value.split(".")):
        raise ValueError(f"{value!r} is not written DATASET.VARIABLE")
    return value


@register
class ValueOf(Derived):
    """A variable of the subject's record in another dataset that agrees with this one.

    `value_of: EX.EXLNKID, match: {VISITNUM: VISITNUM}, same_day: {VSDTC: EXSTDTC}`: `match` names variables here and
    those there that must be equal, `same_day` dates that must fall on one day, `where` chooses among the records
    there. A missing value agrees with nothing. Several records that agree and differ are a critical finding; the
    first value in order stands.
    """

    word: ClassVar[str] = "value_of"
    searches: ClassVar[bool] = True
    main: ClassVar[str] = "source"
    source: str
    match: dict[str, str] = {}
    same_day: dict[str, str] = {}
    where: dict[str, Test] = {}

    _whole = field_validator("source")(_written_whole)

    def variable_inputs(self) -> Sequence[str]:
        dataset = self.source.split(".")[0]
        theirs = (*self.match.values(), *self.same_day.values(), *self.where, "USUBJID")
        return (
            self.source,
            *(f"{dataset}.{name}" for name in theirs),
            *self.match,
            *self.same_day,
            "USUBJID",
            *self.when,
        )

    def apply(self, scope: Scope) -> Outcome:
        dataset, variable = self.source.split(".")
        frame = scope.dataset(dataset)
        pairs = [(frame["USUBJID"], scope.variable("USUBJID"))]
        pairs += [(frame[theirs], scope.variable(own)) for own, theirs in self.match.items()]
        pairs += [(_day(frame[theirs]), _day(scope.variable(own))) for own, theirs in self.same_day.items()]
        size = len(frame)
        whole = np.logical_and.reduce(
            [np.concatenate([theirs.notna().to_numpy(), own.notna().to_numpy()]) for theirs, own in pairs]
        )
        groups = text.combination_codes([_stacked(theirs, own) for theirs, own in pairs])
        usable = conditions.rows(self.where, lambda name: frame[name], frame.index) & whole[:size]
        rows = np.flatnonzero(usable & frame[variable].notna().to_numpy())
        order = rows[np.argsort(text.ranks(frame[variable].iloc[rows]), kind="stable")]
        first = np.full(int(groups.max(initial=-1)) + 1, -1, dtype=np.int64)
        first[groups[order[::-1]]] = order[::-1]
        last = first.copy()
        last[groups[order]] = order
        found = np.where(whole[size:], first[groups[size:]], -1)
        values = take(frame[variable], found, scope.index)
        other = take(frame[variable], np.where(found >= 0, last[groups[size:]], -1), scope.index)
        several = values.notna().to_numpy() & (values.astype(object) != other.astype(object)).to_numpy()
        problem = Problem(
            "several_values",
            Severity.CRITICAL,
            several,
            f"several records of {dataset} agree with this one, and their {variable} differs",
            "Ask the site which one is right",
        )
        links = (Link(dataset, np.append(frame.index.to_numpy(), -1)[found], variable),)
        return Outcome(values, (problem,) if several.any() else (), links)


def _day(values: pd.Series) -> pd.Series:
    return text.map_text(values, lambda one: one[:10] if len(one) >= 10 else None)


def _stacked(theirs: pd.Series, own: pd.Series) -> pd.Series:
    """One column below the other; a number and a text never agree, except as the same text."""
    if all(isinstance(one.dtype, pd.CategoricalDtype) for one in (theirs, own)):
        return text.concat([theirs, own])
    if not any(isinstance(one.dtype, pd.CategoricalDtype) for one in (theirs, own)):
        return pd.Series(np.concatenate([theirs.to_numpy(), own.to_numpy()]))
    return text.concat([_texts(theirs), _texts(own)])


def _texts(values: pd.Series) -> pd.Series:
    if isinstance(values.dtype, pd.CategoricalDtype):
        return values
    return text.map_rows([values], lambda one: None if one is None else numbers.number_text(one))


@register
class Compose(Derived):
    """A text with variables written into it: `compose: "INFUSION {dose_number}"`; missing if one of them is."""

    word: ClassVar[str] = "compose"
    main: ClassVar[str] = "pattern"
    pattern: str

    @field_validator("pattern")
    @classmethod
    def _with_fields(cls, value: str) -> str:
        if not FIELD.search(value):
            raise ValueError("names no variable in braces")
        return value

    def variable_inputs(self) -> Sequence[str]:
        return (*dict.fromkeys(FIELD.findall(self.pattern)), *self.when)

    def apply(self, scope: Scope) -> Outcome:
        names = list(dict.fromkeys(FIELD.findall(self.pattern)))

        def written(*values: str | None) -> str | None:
            found = dict(zip(names, values, strict=True))
            if None in found.values():
                return None
            return FIELD.sub(lambda field: str(found[field[1]]), self.pattern)

        return Outcome(text.map_rows([_texts(scope.variable(name)) for name in names], written))


@register
class IsoBasic(Derived):
    """A date and time in the basic format of ISO 8601, which holds no sign but T: `iso_basic: EXSTDTC`."""

    word: ClassVar[str] = "iso_basic"
    main: ClassVar[str] = "date"
    date: str

    def variable_inputs(self) -> Sequence[str]:
        return (self.date, *self.when)

    def apply(self, scope: Scope) -> Outcome:
        return Outcome(text.map_text(scope.variable(self.date), lambda value: value.replace("-", "").replace(":", "")))


class OfStudy(Derived):
    """Base of what is found in all records of a dataset, whichever subject they are of; `where` chooses among them."""

    searches: ClassVar[bool] = True
    where: dict[str, Test] = {}

    def _rows(self, scope: Scope, dataset: str) -> np.ndarray:
        frame = scope.dataset(dataset)
        return np.flatnonzero(conditions.rows(self.where, lambda name: frame[name], frame.index))


@register
class EarliestOfStudy(OfStudy):
    """The first date in a variable of all subjects: `earliest_of_study: DM.RFICDTC, where: {ARMCD: {present: true}}`.

    `part: date` drops a time of day. Texts compare as ISO 8601.
    """

    word: ClassVar[str] = "earliest_of_study"
    main: ClassVar[str] = "source"
    source: str
    part: Literal["date"] | None = None

    _whole = field_validator("source")(_written_whole)

    def variable_inputs(self) -> Sequence[str]:
        dataset = self.source.split(".")[0]
        return (self.source, *(f"{dataset}.{name}" for name in self.where), *self.when)

    def apply(self, scope: Scope) -> Outcome:
        dataset, variable = self.source.split(".")
        values = scope.dataset(dataset)[variable]
        rows = self._rows(scope, dataset)
        rows = rows[values.notna().to_numpy()[rows]]
        if not len(rows):
            return Outcome(text.missing(scope.index))
        chosen = rows[int(np.argmin(text.ranks(values)[rows]))]
        found = str(values.iloc[chosen])
        record = np.full(len(scope.index), values.index[chosen], dtype=np.int64)
        return Outcome(
            text.constant(found[:10] if self.part == "date" else found, scope.index),
            links=(Link(dataset, record, variable),),
        )


@register
class CountOfStudy(OfStudy):
    """How many records a dataset has: `count_of_study: DM, where: {ARMCD: {present: true}}`."""

    word: ClassVar[str] = "count_of_study"
    main: ClassVar[str] = "dataset"
    dataset: str

    def variable_inputs(self) -> Sequence[str]:
        return (f"{self.dataset}.USUBJID", *(f"{self.dataset}.{name}" for name in self.where), *self.when)

    def apply(self, scope: Scope) -> Outcome:
        rows = self._rows(scope, self.dataset)
        ids = scope.dataset(self.dataset).index.to_numpy()[rows]
        links = tuple(Link(self.dataset, np.full(len(scope.index), one, dtype=np.int64), "USUBJID") for one in ids)
        values = pd.Series(float(len(rows)), index=scope.index)
        if scope.target.is_number:
            return Outcome(values, links=links)
        return Outcome(text.constant(numbers.number_text(float(len(rows))), scope.index), links=links)


@register
class LookupRange(Derived):
    """A table's column found by the range in which a number lies, and by variables.

    `lookup_range: ACTARMCD, table: dose_arms, by: {ARMCD: ARMCD}, number: first_dose`: the table has the columns named
    in `by`, `LOW` (inclusive, may be empty), `HIGH` (exclusive, may be empty), and the one looked up. A number in no
    range gives a missing value.
    """

    word: ClassVar[str] = "lookup_range"
    main: ClassVar[str] = "value"
    value: str
    table: str
    number: str
    by: dict[str, str] = {}

    def variable_inputs(self) -> Sequence[str]:
        return (self.number, *self.by.values(), *self.when)

    def tables(self) -> Mapping[str, Sequence[str]]:
        return {self.table: (*self.by, "LOW", "HIGH", self.value)}

    def apply(self, scope: Scope) -> Outcome:
        table = scope.table(self.table)
        columns = [table.values(name) for name in ("LOW", "HIGH", self.value, *self.by)]
        ranges: dict[tuple[str, ...], list[tuple[float, float, str]]] = {}
        for low, high, found, *key in zip(*columns, strict=True):
            place = ranges.setdefault(tuple(fold(part) for part in key), [])
            place.append((float(low or "-inf"), float(high or "inf"), found))

        def look_up(number: float | str | None, *key: str | None) -> str | None:
            value = numbers.parse_number(number) if isinstance(number, str) else number
            if value is None or None in key:
                return None
            known = ranges.get(tuple(fold(part or "") for part in key), ())
            return next((found for low, high, found in known if low <= value < high), None)

        inputs = [_texts(scope.variable(name)) for name in self.by.values()]
        return typed(text.map_rows([scope.variable(self.number), *inputs], look_up), scope)


@register
class FlagWithin(Derived):
    """`Y` where a moment lies within some hours after one of the subject's moments in another dataset.

    `flag_within: AESTDTC, after: EX.EXSTDTC, hours: 24`; both ends count. A moment without time of day, here or there,
    is not flagged: what is not known is not said.
    """

    word: ClassVar[str] = "flag_within"
    searches: ClassVar[bool] = True
    main: ClassVar[str] = "date"
    date: str
    after: str
    hours: float

    _whole = field_validator("after")(_written_whole)

    def variable_inputs(self) -> Sequence[str]:
        return (self.date, "USUBJID", self.after, f"{self.after.split('.')[0]}.USUBJID", *self.when)

    def literal_terms(self) -> Sequence[str]:
        return ("Y",)

    def apply(self, scope: Scope) -> Outcome:
        dataset, variable = self.after.split(".")
        frame = scope.dataset(dataset)
        here = pd.DataFrame(
            {
                "subject": scope.variable("USUBJID").astype(object).to_numpy(),
                "moment": text.map_number(scope.variable(self.date), _timed_second).to_numpy(),
                "place": np.arange(len(scope.index)),
            }
        )
        there = pd.DataFrame(
            {
                "subject": frame["USUBJID"].astype(object).to_numpy(),
                "moment": text.map_number(frame[variable], _timed_second).to_numpy(),
                "record": frame.index.to_numpy(),
            }
        )
        pairs = here.dropna().merge(there.dropna(), on="subject", suffixes=("", "_there"))
        pairs = pairs[(pairs["moment"] - pairs["moment_there"]).between(0, self.hours * 3600)]
        pairs = pairs.sort_values(["place", "moment_there"]).drop_duplicates("place", keep="last")
        record = np.full(len(here), -1, dtype=np.int64)
        record[pairs["place"].to_numpy()] = pairs["record"].to_numpy()
        values = text.column(np.where(record >= 0, 0, -1), ["Y"], scope.index)
        return Outcome(values, links=(Link(dataset, record, variable),))


def _timed_second(value: str) -> float | None:
    return dates.first_second(value) if len(value) > 10 else None
