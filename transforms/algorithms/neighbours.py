"""Algorithms that find a subject's records near a date or by a key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import pandas as pd
from pydantic import Field, field_validator, model_validator

from transforms.algorithms.base import Link, Outcome, Scope, register
from transforms.algorithms.values import Derived
from transforms.core import conditions, dates, text
from transforms.core.columns import take
from transforms.core.conditions import Test

SECONDS = {"days": dates.SECONDS_PER_DAY, "hours": 3600}
OWN = ""


class _Pairs(NamedTuple):
    """Records here and there that belong together: positions, and the distance of their dates in seconds."""

    here: np.ndarray
    there: np.ndarray
    distance: np.ndarray


class Near(Derived):
    """Base of what depends on a subject's records whose time is near a date of the record.

    `of` is the other dataset; without it the records of the dataset itself are looked through. A record there lasts
    from `start` to `end` (without `end` a moment); one whose end is missing lasts on where `ongoing` holds, and is a
    moment elsewhere. It is near if the date lies not before `start` plus `from` and not after `end` plus `to`, in
    `unit`: whole days compare, hours compare moments. A bound written `null` is none. `where` chooses among the records
    there, `same` asks that variables agree (here: there). A date without day is near to none.
    """

    searches: ClassVar[bool] = True
    start: str
    end: str | None = None
    ongoing: dict[str, Test] | None = None
    of: str | None = None
    where: dict[str, Test] = {}
    same: dict[str, str] = {}
    since: float | None = Field(default=0, alias="from")
    to: float | None = 0
    unit: Literal["days", "hours"] = "days"

    def _there(self) -> tuple[str, ...]:
        end = (self.end,) if self.end else ()
        return (self.start, *end, *self.where, *(self.ongoing or ()), *self.same.values())

    def _inputs(self, date: str, *taken: str) -> Sequence[str]:
        names = dict.fromkeys((*self._there(), *taken))
        there = [f"{self.of}.{one}" for one in ("USUBJID", *names)] if self.of else list(names)
        return (*there, date, "USUBJID", *self.same, *self.when)

    def _frame(self, scope: Scope, name: str) -> pd.Series:
        return scope.dataset(self.of)[name] if self.of else scope.variable(name)

    def _pairs(self, scope: Scope, date: str) -> _Pairs:
        """Every pair of a record here and a near one there."""
        index = scope.dataset(self.of).index if self.of else scope.index
        there = np.flatnonzero(conditions.rows(self.where, lambda name: self._frame(scope, name), index))
        here = np.flatnonzero(conditions.rows(self.when, scope.variable, scope.index))
        seconds = self._seconds(scope.variable(date))[here]
        here, seconds = here[~np.isnan(seconds)], seconds[~np.isnan(seconds)]
        keys = [("USUBJID", "USUBJID"), *self.same.items()]
        joined = [_below(scope.variable(own).iloc[here], self._frame(scope, other).iloc[there]) for own, other in keys]
        known = np.all([values.notna().to_numpy() for values in joined], axis=0)
        groups = np.where(known, text.combination_codes(joined), -1)
        ours, theirs = groups[: len(here)], groups[len(here) :]
        left, right = _joined(ours, theirs)
        begin = self._seconds(self._frame(scope, self.start))[there]
        finish = begin
        if self.end is not None:
            finish = self._seconds(self._frame(scope, self.end))[there]
            lasting = (
                conditions.rows(self.ongoing, lambda name: self._frame(scope, name), index)[there]
                if self.ongoing is not None
                else np.zeros(len(there), dtype=bool)
            )
            finish = np.where(np.isnan(finish), np.where(lasting, np.inf, begin), finish)
        step = SECONDS[self.unit]
        low = begin[right] + (-np.inf if self.since is None else self.since * step)
        high = finish[right] + (np.inf if self.to is None else self.to * step)
        near = (seconds[left] >= low) & (seconds[left] <= high)
        left, right = left[near], right[near]
        return _Pairs(here[left], there[right], seconds[left] - begin[right])

    def _seconds(self, values: pd.Series) -> np.ndarray:
        if values.dtype.kind == "M":
            seconds = dates.seconds_of(values)
        else:
            seconds = text.map_number(values, dates.first_second).to_numpy()
        return np.floor(seconds / dates.SECONDS_PER_DAY) * dates.SECONDS_PER_DAY if self.unit == "days" else seconds

    def _link(self, records: np.ndarray, variable: str) -> tuple[Link, ...]:
        return (Link(self.of or OWN, records, variable),)


def _below(ours: pd.Series, theirs: pd.Series) -> pd.Series:
    """One column below the other, texts or numbers."""
    if isinstance(ours.dtype, pd.CategoricalDtype) and isinstance(theirs.dtype, pd.CategoricalDtype):
        return text.concat([ours, theirs])
    return pd.Series(np.concatenate([ours.to_numpy().astype(float), theirs.to_numpy().astype(float)]))


def _joined(ours: np.ndarray, theirs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions of every pair of equal codes; -1 equals none."""
    order = np.argsort(theirs, kind="stable")
    ordered = theirs[order]
    first = np.searchsorted(ordered, ours, side="left")
    counts = np.where(ours >= 0, np.searchsorted(ordered, ours, side="right") - first, 0)
    left = np.repeat(np.arange(len(ours)), counts)
    within = np.arange(len(left)) - np.repeat(np.cumsum(counts) - counts, counts)
    return left, order[np.repeat(first, counts) + within]


@register
class FlagNear(Near):
    """`Y` where the subject has a record near the date: `flag_near: ADT, of: CM, start: CMSTDTC, end: CMENDTC, to: 7`.

    `otherwise` is said where there is none and the date is known.
    """

    word: ClassVar[str] = "flag_near"
    main: ClassVar[str] = "date"
    date: str
    flag: str = "Y"
    otherwise: str | None = None

    def variable_inputs(self) -> Sequence[str]:
        return self._inputs(self.date)

    def literal_terms(self) -> Sequence[str]:
        return (self.flag,) if self.otherwise is None else (self.flag, self.otherwise)

    def apply(self, scope: Scope) -> Outcome:
        pairs = self._pairs(scope, self.date)
        records = np.full(len(scope.index), -1, dtype=np.int64)
        order = np.lexsort((pairs.there, np.abs(pairs.distance), pairs.here))
        places, first = np.unique(pairs.here[order], return_index=True)
        records[places] = pairs.there[order][first]
        dated = scope.variable(self.date).notna().to_numpy()
        codes = np.where(records >= 0, 0, np.where(dated, 1, -1))
        values = text.column(codes, [self.flag, self.otherwise], scope.index)
        return Outcome(values, links=self._link(records, self.start))


@register
class NearestValue(Near):
    """A value of the subject's nearest record: `nearest_value: ADLB.AVAL, date: ADT, start: ADT, from: -3, to: 3`.

    Records that agree in `prefer` (here: there; the first pair decides before the second) come first, then the nearest;
    of those equally near in whole days the nearest in time, where `moments` names a datetime here and one there, those
    without a time last; then the later, then the last in the dataset's order.
    """

    word: ClassVar[str] = "nearest_value"
    main: ClassVar[str] = "value"
    value: str
    date: str
    prefer: dict[str, str] = {}
    moments: tuple[str, str] | None = None

    @model_validator(mode="before")
    @classmethod
    def _dataset_of_value(cls, written: Any) -> Any:
        if not isinstance(written, Mapping) or not isinstance(written.get("value"), str):
            return written
        dataset, dot, _ = written["value"].rpartition(".")
        if "of" in written and written["of"] != (dataset or None):
            raise ValueError("the dataset is the one that the value is written with; remove `of`")
        return {**written, "of": dataset} if dot else written

    @property
    def _variable(self) -> str:
        return self.value.rpartition(".")[2]

    def variable_inputs(self) -> Sequence[str]:
        own, other = ((self.moments[0],), (self.moments[1],)) if self.moments else ((), ())
        return (*self._inputs(self.date, self._variable, *self.prefer.values(), *other), *self.prefer, *own)

    def apply(self, scope: Scope) -> Outcome:
        pairs = self._pairs(scope, self.date)
        preferred = []
        for own, other in self.prefer.items():
            both = _below(scope.variable(own).iloc[pairs.here], self._frame(scope, other).iloc[pairs.there])
            codes, _ = text.codes_of(both)
            left, right = codes[: len(pairs.here)], codes[len(pairs.here) :]
            preferred.append((left != right) | (left < 0))
        distance = np.abs(pairs.distance)
        order = np.lexsort(
            (-pairs.there, pairs.distance, self._apart(scope, pairs), distance, *reversed(preferred), pairs.here)
        )
        places, first = np.unique(pairs.here[order], return_index=True)
        records = np.full(len(scope.index), -1, dtype=np.int64)
        records[places] = pairs.there[order][first]
        values = take(self._frame(scope, self._variable), records, scope.index)
        return Outcome(values, links=self._link(records, self._variable))

    def _apart(self, scope: Scope, pairs: _Pairs) -> np.ndarray:
        """Seconds between the moments of each pair, infinite where one is not known."""
        if self.moments is None:
            return np.zeros(len(pairs.here))
        own, other = self.moments
        ours, theirs = dates.seconds_of(scope.variable(own)), dates.seconds_of(self._frame(scope, other))
        apart = np.abs(ours[pairs.here] - theirs[pairs.there])
        return np.where(np.isnan(apart), np.inf, apart)


@register
class RecordValue(Derived):
    """A value of the subject's record with a key: `record_value: ADLB.AVAL, by: {SRCSEQ: BILISEQ, DTYPE: none}`.

    `by` is the variable there and the one here; the first record that agrees in all counts, missing agrees with none.
    `where` chooses among the records there.
    """

    word: ClassVar[str] = "record_value"
    searches: ClassVar[bool] = True
    main: ClassVar[str] = "value"
    value: str
    by: dict[str, str] = Field(min_length=1)
    where: dict[str, Test] = {}

    @field_validator("value")
    @classmethod
    def _written_whole(cls, value: str) -> str:
        if value.count(".") != 1:
            raise ValueError(f"{value!r} is not written DATASET.VARIABLE")
        return value

    def variable_inputs(self) -> Sequence[str]:
        dataset, variable = self.value.split(".")
        there = dict.fromkeys((variable, "USUBJID", *self.by, *self.where))
        return (*(f"{dataset}.{name}" for name in there), "USUBJID", *self.by.values(), *self.when)

    def apply(self, scope: Scope) -> Outcome:
        dataset, variable = self.value.split(".")
        frame = scope.dataset(dataset)
        there = np.flatnonzero(conditions.rows(self.where, frame.__getitem__, frame.index))
        keys = [("USUBJID", "USUBJID"), *self.by.items()]
        joined = [_below(scope.variable(own), frame[other].iloc[there]) for other, own in keys]
        known = np.all([values.notna().to_numpy() for values in joined], axis=0)
        groups = np.where(known, text.combination_codes(joined), -1)
        left, right = _joined(groups[: len(scope.index)], groups[len(scope.index) :])
        places, first = np.unique(left, return_index=True)
        records = np.full(len(scope.index), -1, dtype=np.int64)
        records[places] = there[right[first]]
        return Outcome(take(frame[variable], records, scope.index), links=(Link(dataset, records, variable),))


@register
class Qualifier(Derived):
    """A supplemental qualifier of the record this one is made of: `qualifier: EC.VIABPCT`, from SUPPEC.

    The parent is found by --SEQ, or by USUBJID alone where the qualifier is of the subject.
    """

    word: ClassVar[str] = "qualifier"
    searches: ClassVar[bool] = True
    main: ClassVar[str] = "name"
    name: str

    @field_validator("name")
    @classmethod
    def _written_whole(cls, value: str) -> str:
        if value.count(".") != 1:
            raise ValueError(f"{value!r} is not written DOMAIN.QNAM")
        return value

    def variable_inputs(self) -> Sequence[str]:
        domain, _ = self.name.split(".")
        there = [f"SUPP{domain}.{name}" for name in ("USUBJID", "IDVAR", "IDVARVAL", "QNAM", "QVAL")]
        return (*there, "USUBJID", *((f"{domain}.{domain}SEQ",) if domain != "DM" else ()), *self.when)

    def apply(self, scope: Scope) -> Outcome:
        domain, name = self.name.split(".")
        frame = scope.dataset(f"SUPP{domain}")
        there = np.flatnonzero(text.map_flag(frame["QNAM"], name.__eq__))
        joined = [_below(scope.variable("USUBJID"), frame["USUBJID"].iloc[there])]
        if domain != "DM":
            own = scope.variable(f"{domain}.{domain}SEQ")
            pointed = text.map_number(frame["IDVARVAL"].iloc[there], _whole)
            joined.append(_below(own, pointed))
        known = np.all([values.notna().to_numpy() for values in joined], axis=0)
        groups = np.where(known, text.combination_codes(joined), -1)
        left, right = _joined(groups[: len(scope.index)], groups[len(scope.index) :])
        places, first = np.unique(left, return_index=True)
        records = np.full(len(scope.index), -1, dtype=np.int64)
        records[places] = there[right[first]]
        return Outcome(take(frame["QVAL"], records, scope.index), links=(Link(f"SUPP{domain}", records, "QVAL"),))


def _whole(value: str) -> float | None:
    return float(value) if value.isdigit() else None
