"""Algorithms of analysis datasets: records of a subject elsewhere, durations, groups, baselines, windows, flags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from transforms.algorithms.base import Link, Outcome, Problem, Scope, fold, register
from transforms.algorithms.values import Derived
from transforms.core import conditions, dates, numbers, text
from transforms.core.conditions import Test
from transforms.findings import Severity


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


class _Found(NamedTuple):
    """Records of another dataset that belong to subjects here: their subject's code and their positions there."""

    owners: np.ndarray
    records: np.ndarray


class Search(Derived):
    """Base of what looks through a subject's records in another dataset; `where` chooses among them."""

    searches: ClassVar[bool] = True
    where: dict[str, Test] = {}

    def _inputs_of(self, dataset: str) -> Sequence[str]:
        return ("USUBJID", f"{dataset}.USUBJID", *(f"{dataset}.{name}" for name in self.where))

    def _found(self, scope: Scope, dataset: str) -> _Found:
        frame = scope.dataset(dataset)
        position = {subject: code for code, subject in enumerate(text.texts_of(scope.variable("USUBJID")))}
        known = np.array([*(position.get(one, -1) for one in text.texts_of(frame["USUBJID"])), -1], dtype=np.int64)
        owners = known[frame["USUBJID"].cat.codes.to_numpy()]
        kept = np.flatnonzero(conditions.rows(self.where, lambda name: frame[name], frame.index) & (owners >= 0))
        return _Found(owners[kept], kept)

    @staticmethod
    def _spread(scope: Scope, by_subject: np.ndarray) -> np.ndarray:
        """One value per subject (the last one standing for none) as one value per record."""
        spread: np.ndarray = by_subject[scope.variable("USUBJID").cat.codes.to_numpy()]
        return spread

    def _every(self, scope: Scope, dataset: str, found: _Found, variable: str) -> tuple[Link, ...]:
        """Links to all the records found: to each subject's first one, to each one's second, and so on."""
        order = np.lexsort((found.records, found.owners))
        owners, records = found.owners[order], found.records[order]
        rank = np.arange(len(owners)) - np.searchsorted(owners, owners)
        links = []
        for number in range(int(rank.max(initial=-1)) + 1):
            here = rank == number
            nth = np.full(self._subjects(scope) + 1, -1, dtype=np.int64)
            nth[owners[here]] = records[here]
            links.append(Link(dataset, self._spread(scope, nth), variable))
        return tuple(links)

    @staticmethod
    def _subjects(scope: Scope) -> int:
        return len(scope.variable("USUBJID").cat.categories)


def _split(source: str) -> tuple[str, str]:
    dataset, dot, variable = source.partition(".")
    if not dot or not variable:
        raise ValueError(f"{source!r} is not written DATASET.VARIABLE")
    return dataset, variable


def _seconds(values: pd.Series, *, timed: bool) -> np.ndarray:
    """Dates or ISO texts as seconds; `timed` keeps the time of day and leaves out what has none."""
    if values.dtype.kind == "M":
        seconds = dates.seconds_of(values)
    elif timed:
        seconds = text.map_number(values, lambda one: dates.first_second(one) if len(one) > 10 else None).to_numpy()
    else:
        seconds = text.map_number(values, dates.first_second).to_numpy()
    return seconds if timed else np.floor(seconds / dates.SECONDS_PER_DAY) * dates.SECONDS_PER_DAY


class SubjectMoment(Search):
    """Base of a subject's first and last date in variables of other datasets.

    Dates without a day are left out, and so are those after any of the dates in `not_after` (days compare). A
    datetime variable takes datetimes only, a date variable takes their days.
    """

    main: ClassVar[str] = "sources"
    latest: ClassVar[bool]
    sources: tuple[str, ...]
    not_after: tuple[str, ...] = ()

    _list = field_validator("sources", "not_after", mode="before")(_as_list)

    @field_validator("sources")
    @classmethod
    def _written_whole(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for source in value:
            _split(source)
        return value

    def variable_inputs(self) -> Sequence[str]:
        datasets = dict.fromkeys(_split(source)[0] for source in self.sources)
        searched = [name for dataset in datasets for name in self._inputs_of(dataset)]
        return (*self.sources, *dict.fromkeys(searched), *self.not_after, *self.when)

    def apply(self, scope: Scope) -> Outcome:
        size = self._subjects(scope)
        timed = scope.target.type == "Datetime"
        limit = np.full(size, np.inf)
        codes = scope.variable("USUBJID").cat.codes.to_numpy()
        for name in self.not_after:
            seconds = _seconds(scope.variable(name), timed=False) + dates.SECONDS_PER_DAY - 1
            np.minimum.at(limit, codes, np.where(np.isnan(seconds), np.inf, seconds))
        best = np.full(size, np.nan)
        chosen = np.full(size, -1, dtype=np.int64)
        origin = np.full(size, -1, dtype=np.int64)
        for number, source in enumerate(self.sources):
            dataset, variable = _split(source)
            owners, records = self._found(scope, dataset)
            seconds = _seconds(scope.dataset(dataset)[variable].iloc[records], timed=timed)
            usable = ~np.isnan(seconds) & (seconds <= limit[owners])
            owners, records, seconds = owners[usable], records[usable], seconds[usable]
            order = np.lexsort((-seconds if self.latest else seconds, owners))
            subjects, first = np.unique(owners[order], return_index=True)
            found = seconds[order][first]
            better = np.isnan(best[subjects]) | ((found > best[subjects]) if self.latest else (found < best[subjects]))
            best[subjects[better]] = found[better]
            chosen[subjects[better]] = records[order][first][better]
            origin[subjects[better]] = number
        links = []
        for number, source in enumerate(self.sources):
            dataset, variable = _split(source)
            own = np.append(np.where(origin == number, chosen, -1), -1)
            links.append(Link(dataset, self._spread(scope, own), variable))
        values = dates.from_seconds(self._spread(scope, np.append(best, np.nan)), scope.index)
        return Outcome(values, links=tuple(links))


@register
class EarliestDate(SubjectMoment):
    """The subject's first date or datetime: `earliest_date: EX.EXSTDTC, where: {EXSCAT: REPEAT ADMINISTRATION}`."""

    word: ClassVar[str] = "earliest_date"
    latest: ClassVar[bool] = False


@register
class LatestDate(SubjectMoment):
    """The subject's last date or datetime: `latest_date: [SV.SVENDTC, LB.LBDTC], not_after: [DCUTDT]`."""

    word: ClassVar[str] = "latest_date"
    latest: ClassVar[bool] = True


class SubjectValue(Search):
    """Base of the value of a subject's first and last record in another dataset.

    `order` names variables there; a missing one comes last, and records equal in all stand in the dataset's order.
    """

    main: ClassVar[str] = "source"
    last: ClassVar[bool]
    source: str
    order: tuple[str, ...] = ()

    _list = field_validator("order", mode="before")(_as_list)

    @field_validator("source")
    @classmethod
    def _written_whole(cls, value: str) -> str:
        _split(value)
        return value

    def variable_inputs(self) -> Sequence[str]:
        dataset, _ = _split(self.source)
        return (self.source, *self._inputs_of(dataset), *(f"{dataset}.{name}" for name in self.order), *self.when)

    def apply(self, scope: Scope) -> Outcome:
        dataset, variable = _split(self.source)
        owners, records = self._found(scope, dataset)
        frame = scope.dataset(dataset)
        keys = [_sort_key(frame[name].iloc[records], descending=self.last) for name in reversed(self.order)]
        order = np.lexsort((-records if self.last else records, *keys, owners))
        subjects, first = np.unique(owners[order], return_index=True)
        chosen = np.full(self._subjects(scope) + 1, -1, dtype=np.int64)
        chosen[subjects] = records[order][first]
        taken = self._spread(scope, chosen)
        ids = np.append(frame.index.to_numpy(), -1)[taken]
        return Outcome(take(frame[variable], taken, scope.index), links=(Link(dataset, ids, variable),))


@register
class FirstValue(SubjectValue):
    """The value in the subject's first record there: `first_value: VS.VSSTRESN, where: {VSTESTCD: HEIGHT}`."""

    word: ClassVar[str] = "first_value"
    last: ClassVar[bool] = False


@register
class LastValue(SubjectValue):
    """The value in the subject's last record there: `last_value: EX.EXENDTC, order: [EXSEQ]`."""

    word: ClassVar[str] = "last_value"
    last: ClassVar[bool] = True


def take(values: pd.Series, positions: np.ndarray, index: pd.Index) -> pd.Series:
    """Values at positions of any column; position -1 gives a missing value."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        codes = np.append(values.cat.codes.to_numpy(), -1)[positions]
        return pd.Series(pd.Categorical.from_codes(codes, categories=values.cat.categories), index=index)
    raw = values.to_numpy()
    if values.dtype.kind == "M":
        padded = np.append(raw.astype("datetime64[s]"), np.datetime64("NaT"))
    else:
        padded = np.append(raw.astype(float), np.nan)
    return pd.Series(padded[positions], index=index)


def _sort_key(values: pd.Series, *, descending: bool) -> np.ndarray:
    """Numbers that sort as the values do, missing last in either direction."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        ranks = text.ranks(values).astype(float)
        key = np.where(ranks == 0, np.nan, ranks)
    elif values.dtype.kind == "M":
        key = dates.seconds_of(values)
    else:
        key = values.to_numpy().astype(float)
    return -key if descending else key


@register
class CountOf(Search):
    """How many records a subject has in another dataset, 0 for none: `count_of: EX`."""

    word: ClassVar[str] = "count_of"
    main: ClassVar[str] = "dataset"
    dataset: str

    def variable_inputs(self) -> Sequence[str]:
        return (*self._inputs_of(self.dataset), *self.when)

    def apply(self, scope: Scope) -> Outcome:
        found = self._found(scope, self.dataset)
        counts = np.append(np.bincount(found.owners, minlength=self._subjects(scope)), 0)
        values = pd.Series(self._spread(scope, counts).astype(float), index=scope.index)
        return Outcome(values, links=self._every(scope, self.dataset, found, "USUBJID"))


@register
class SumOf(Search):
    """The sum of a number over a subject's records in another dataset: `sum_of: EX.EXDOSE`.

    Missing without a record, and when one of the numbers is missing. `records` says how many there must be; a
    subject with another number (but not without any) has no sum and is a finding.
    """

    word: ClassVar[str] = "sum_of"
    main: ClassVar[str] = "source"
    source: str
    records: int | None = None

    @field_validator("source")
    @classmethod
    def _written_whole(cls, value: str) -> str:
        _split(value)
        return value

    def variable_inputs(self) -> Sequence[str]:
        return (self.source, *self._inputs_of(_split(self.source)[0]), *self.when)

    def apply(self, scope: Scope) -> Outcome:
        dataset, variable = _split(self.source)
        found = self._found(scope, dataset)
        owners, records = found
        size = self._subjects(scope)
        counts = np.bincount(owners, minlength=size)
        sums = np.bincount(owners, scope.dataset(dataset)[variable].to_numpy()[records], minlength=size)
        whole = counts > 0 if self.records is None else counts == self.records
        sums = np.append(np.where(whole, sums, np.nan), np.nan)
        partial = self._spread(scope, np.append((counts > 0) & ~whole, False))
        problem = Problem(
            "incomplete_sum",
            Severity.ANSWER,
            partial,
            f"{scope.target.name} is a sum of {self.records} values of {self.source}, and a subject has another number",
            "Ask for the missing or the surplus record",
        )
        values = pd.Series(self._spread(scope, sums), index=scope.index)
        links = self._every(scope, dataset, found, variable)
        return Outcome(values, (problem,) if partial.any() else (), links)


@register
class DaysBetween(Derived):
    """Days from one date to another: `days_between: [TRTSDT, TRTEDT]`; `inclusive` counts both ends."""

    word: ClassVar[str] = "days_between"
    main: ClassVar[str] = "ends"
    ends: tuple[str, str]
    inclusive: bool = False

    def variable_inputs(self) -> Sequence[str]:
        return (*self.ends, *self.when)

    def apply(self, scope: Scope) -> Outcome:
        start, end = (dates.day_numbers(scope.variable(name)).to_numpy() for name in self.ends)
        return Outcome(pd.Series(end - start + (1 if self.inclusive else 0), index=scope.index))


@register
class Difference(Derived):
    """One number less another: `difference: [AVAL, BASE]`."""

    word: ClassVar[str] = "difference"
    main: ClassVar[str] = "inputs"
    inputs: tuple[str, str]

    def variable_inputs(self) -> Sequence[str]:
        return (*self.inputs, *self.when)

    def apply(self, scope: Scope) -> Outcome:
        left, right = (scope.variable(name).to_numpy() for name in self.inputs)
        return Outcome(pd.Series(left - right, index=scope.index))


@register
class AbsoluteDifference(Difference):
    """The distance of two numbers: `absolute_difference: [ADYLD, AWTARGET]`."""

    word: ClassVar[str] = "absolute_difference"

    def apply(self, scope: Scope) -> Outcome:
        return Outcome(super().apply(scope).values.abs())


@register
class Percentage(Derived):
    """One number in percent of another: `percentage: [CHG, BASE]`; missing over 0."""

    word: ClassVar[str] = "percentage"
    main: ClassVar[str] = "inputs"
    inputs: tuple[str, str]

    def variable_inputs(self) -> Sequence[str]:
        return (*self.inputs, *self.when)

    def apply(self, scope: Scope) -> Outcome:
        part, whole = (scope.variable(name).to_numpy() for name in self.inputs)
        with np.errstate(divide="ignore", invalid="ignore"):
            return Outcome(pd.Series(np.where(whole == 0, np.nan, 100 * part / whole), index=scope.index))


@register
class Rounded(Derived):
    """A number rounded half away from zero: `rounded: height, decimals: 1`."""

    word: ClassVar[str] = "rounded"
    main: ClassVar[str] = "source"
    source: str
    decimals: int

    def variable_inputs(self) -> Sequence[str]:
        return (self.source, *self.when)

    def apply(self, scope: Scope) -> Outcome:
        return Outcome(numbers.round_column(scope.variable(self.source), self.decimals))


@register
class BodyMassIndex(Derived):
    """Weight in kg over the square of the height in m: `body_mass_index: [WEIGHTBL, HEIGHTBL]`, height in cm."""

    word: ClassVar[str] = "body_mass_index"
    main: ClassVar[str] = "weight_and_height"
    weight_and_height: tuple[str, str]
    decimals: int | None = None

    def variable_inputs(self) -> Sequence[str]:
        return (*self.weight_and_height, *self.when)

    def apply(self, scope: Scope) -> Outcome:
        weight_kg, height_cm = (scope.variable(name).to_numpy() for name in self.weight_and_height)
        with np.errstate(divide="ignore", invalid="ignore"):
            index = np.where(height_cm > 0, weight_kg / (height_cm / 100) ** 2, np.nan)
        values = pd.Series(index, index=scope.index)
        return Outcome(values if self.decimals is None else numbers.round_column(values, self.decimals))


class Band(BaseModel):
    """One band of a number: up to but not including `below`; the last one has no bound."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    below: float | None = None
    value: str

    @field_validator("value", mode="before")
    @classmethod
    def _as_text(cls, value: object) -> object:
        return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


@register
class Banded(Derived):
    """The band a number falls in: `band: AGE, bands: [{below: 65, value: "<65"}, {value: ">=65"}]`."""

    word: ClassVar[str] = "band"
    main: ClassVar[str] = "source"
    source: str
    bands: tuple[Band, ...] = Field(min_length=2)

    @field_validator("bands")
    @classmethod
    def _ascending(cls, value: tuple[Band, ...]) -> tuple[Band, ...]:
        bounds = [band.below for band in value[:-1] if band.below is not None]
        if len(bounds) != len(value) - 1 or value[-1].below is not None or bounds != sorted(set(bounds)):
            raise ValueError("bands ascend, each but the last has `below`")
        return value

    def variable_inputs(self) -> Sequence[str]:
        return (self.source, *self.when)

    def literal_terms(self) -> Sequence[str]:
        return tuple(band.value for band in self.bands)

    def says(self) -> str:
        bounds = "; ".join(f"{band.value} below {band.below:g}" for band in self.bands[:-1] if band.below is not None)
        return f"band: {self.source}; {bounds}; else {self.bands[-1].value}"

    def apply(self, scope: Scope) -> Outcome:
        values = scope.variable(self.source).to_numpy()
        bounds = np.array([band.below for band in self.bands[:-1]], dtype=float)
        codes = np.where(np.isnan(values), -1, np.searchsorted(bounds, values, side="right"))
        return Outcome(text.column(codes, [band.value for band in self.bands], scope.index))


class Steps(BaseModel):
    """Daily doses one after another; each but the last is given until the day of a variable, that day included."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    when: dict[str, Test] = {}
    doses: tuple[float, ...] = Field(min_length=1)
    until: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _one_end_less(self) -> Steps:
        if len(self.until) != len(self.doses) - 1:
            raise ValueError("each dose but the last needs the variable until whose day it is given")
        return self


@register
class SteppedDose(Derived):
    """Planned cumulative dose of daily doses that change on given days: `stepped_dose: [TRTSDT, TRTEDT], steps`.

    Each step lasts from the day after the one before until its own day, never beyond the end of treatment; a step
    whose last day is missing lasts until the end, and the later ones are not reached.
    """

    word: ClassVar[str] = "stepped_dose"
    main: ClassVar[str] = "ends"
    ends: tuple[str, str]
    steps: tuple[Steps, ...]

    def variable_inputs(self) -> Sequence[str]:
        names = [name for case in self.steps for name in (*case.when, *case.until)]
        return (*self.ends, *dict.fromkeys(names), *self.when)

    def says(self) -> str:
        plans = "; ".join(
            f"{', '.join(f'{dose:g}' for dose in case.doses)} until {', '.join(case.until) or 'the end'}"
            for case in self.steps
        )
        return f"stepped_dose: {', '.join(self.ends)}; daily doses {plans}"

    def apply(self, scope: Scope) -> Outcome:
        start, end = (dates.day_numbers(scope.variable(name)).to_numpy() for name in self.ends)
        result = np.full(len(scope.index), np.nan)
        for case in self.steps:
            here = conditions.rows(case.when, scope.variable, scope.index) & np.isnan(result)
            dose, before = np.zeros(len(start)), start - 1
            lasts = [dates.day_numbers(scope.variable(name)).to_numpy() for name in case.until]
            for daily, last in zip(case.doses, [*lasts, end], strict=True):
                until = np.maximum(np.where(np.isnan(last), end, np.minimum(last, end)), before)
                dose, before = dose + daily * (until - before), until
            result[here] = dose[here]
        return Outcome(pd.Series(result, index=scope.index))


@register
class PoolSmall(Derived):
    """A group, or `pooled` where it is small: `pool_small: SITEID, across: TRT01P, fewer_than: 3, pooled: "900"`.

    A group is small when any of the values of `across` occurs in fewer than so many of its records.
    """

    word: ClassVar[str] = "pool_small"
    main: ClassVar[str] = "group"
    group: str
    across: str
    fewer_than: int
    pooled: str

    def variable_inputs(self) -> Sequence[str]:
        return (self.group, self.across, *self.when)

    def apply(self, scope: Scope) -> Outcome:
        groups, parts = scope.variable(self.group), scope.variable(self.across)
        codes, columns = groups.cat.codes.to_numpy(), parts.cat.codes.to_numpy()
        counts = np.zeros((len(groups.cat.categories) + 1, len(parts.cat.categories) + 1), dtype=np.int64)
        np.add.at(counts, (codes, columns), 1)
        used = counts[:, :-1].sum(axis=0) > 0
        small: np.ndarray = np.any(counts[:-1, :-1][:, used] < self.fewer_than, axis=1)
        named = [self.pooled if tiny else name for name, tiny in zip(text.texts_of(groups), small, strict=True)]
        return Outcome(text.column(codes, named, scope.index))


class Compared(Derived):
    """Base of flags from two variables of the record; missing where either is, unless `otherwise` says what."""

    main: ClassVar[str] = "inputs"
    inputs: tuple[str, str]
    flag: str = "Y"
    otherwise: str | None = None

    def variable_inputs(self) -> Sequence[str]:
        return (*self.inputs, *self.when)

    def literal_terms(self) -> Sequence[str]:
        return (self.flag,) if self.otherwise is None else (self.flag, self.otherwise)

    def apply(self, scope: Scope) -> Outcome:
        holds = self._holds(*(scope.variable(name) for name in self.inputs))
        return Outcome(text.column(np.where(holds, 0, 1), [self.flag, self.otherwise], scope.index))

    def _holds(self, left: pd.Series, right: pd.Series) -> np.ndarray:
        raise NotImplementedError


@register
class FlagNotAfter(Compared):
    """`Y` where one date(time) is not later than another: `flag_not_after: [visit8, RFENDT]`."""

    word: ClassVar[str] = "flag_not_after"

    def _holds(self, left: pd.Series, right: pd.Series) -> np.ndarray:
        holds: np.ndarray = dates.seconds_of(left) <= dates.seconds_of(right)
        return holds


@register
class FlagBefore(Compared):
    """`Y` where one date(time) is earlier than another: `flag_before: [ADTM, next_dose]`."""

    word: ClassVar[str] = "flag_before"

    def _holds(self, left: pd.Series, right: pd.Series) -> np.ndarray:
        holds: np.ndarray = dates.seconds_of(left) < dates.seconds_of(right)
        return holds


@register
class FlagEqual(Compared):
    """`Y` where two texts are the same, blanks folded and case ignored: `flag_equal: [LB.VISIT, AVISIT]`."""

    word: ClassVar[str] = "flag_equal"

    def _holds(self, left: pd.Series, right: pd.Series) -> np.ndarray:
        texts = {fold(one): code for code, one in enumerate(text.texts_of(left))}
        own = np.array([*(texts[fold(one)] for one in text.texts_of(left)), -1], dtype=np.int64)
        other = np.array([*(texts.get(fold(one), -2) for one in text.texts_of(right)), -2], dtype=np.int64)
        holds: np.ndarray = own[left.cat.codes.to_numpy()] == other[right.cat.codes.to_numpy()]
        return holds


class FlagExtreme(Derived):
    """Base of flags on one record of each group: `order` decides, `-VAR` turns it round, missing comes last.

    `when` limits the records that compete. Those equal in all of `order` stand in the dataset's own order.
    """

    main: ClassVar[str] = "order"
    last: ClassVar[bool]
    order: tuple[str, ...] = Field(min_length=1)
    by: tuple[str, ...] = Field(min_length=1)
    flag: str = "Y"

    _list = field_validator("order", "by", mode="before")(_as_list)

    def variable_inputs(self) -> Sequence[str]:
        return (*(name.removeprefix("-") for name in self.order), *self.by, *self.when)

    def literal_terms(self) -> Sequence[str]:
        return (self.flag,)

    def apply(self, scope: Scope) -> Outcome:
        candidates = np.flatnonzero(conditions.rows(self.when, scope.variable, scope.index))
        groups = text.combination_codes([scope.variable(name).iloc[candidates] for name in self.by])
        keys = [
            _sort_key(
                scope.variable(name.removeprefix("-")).iloc[candidates],
                descending=name.startswith("-") != self.last,
            )
            for name in reversed(self.order)
        ]
        order = np.lexsort((-candidates if self.last else candidates, *keys, groups))
        _, first = np.unique(groups[order], return_index=True)
        flags = np.full(len(scope.index), -1, dtype=np.int8)
        flags[candidates[order[first]]] = 0
        return Outcome(text.column(flags, [self.flag], scope.index))


@register
class FlagFirst(FlagExtreme):
    """`Y` on the first record of each group: `flag_first: [-ALBTRVAL, ADT], by: [USUBJID, PARAMCD]`."""

    word: ClassVar[str] = "flag_first"
    last: ClassVar[bool] = False


@register
class FlagLast(FlagExtreme):
    """`Y` on the last record of each group: `flag_last: [ADT], by: [USUBJID, PARAMCD]`."""

    word: ClassVar[str] = "flag_last"
    last: ClassVar[bool] = True


@register
class OfBaseline(Derived):
    """The value a variable has in the flagged record of the same group: `of_baseline: AVAL, by: [USUBJID, PARAMCD]`.

    Missing where no record is flagged; with several flagged ones a critical finding, and the first one stands.
    """

    word: ClassVar[str] = "of_baseline"
    main: ClassVar[str] = "source"
    source: str
    by: tuple[str, ...] = Field(min_length=1)
    flag: str = "ABLFL"

    def variable_inputs(self) -> Sequence[str]:
        return (self.source, self.flag, *self.by, *self.when)

    def apply(self, scope: Scope) -> Outcome:
        groups = text.combination_codes([scope.variable(name) for name in self.by])
        flagged = np.flatnonzero(text.map_flag(scope.variable(self.flag), lambda value: value == "Y"))
        baseline = np.full(int(groups.max(initial=-1)) + 1, -1, dtype=np.int64)
        baseline[groups[flagged[::-1]]] = flagged[::-1]
        again = np.zeros(len(groups), dtype=bool)
        again[flagged] = baseline[groups[flagged]] != flagged
        records = baseline[groups] if len(baseline) else np.empty(0, dtype=np.int64)
        problem = Problem(
            "several_baselines",
            Severity.CRITICAL,
            again,
            f"several records of one {' and '.join(self.by)} have {self.flag} Y",
            "Correct the rule of the flag so that one record of the group remains",
        )
        return Outcome(
            take(scope.variable(self.source), records, scope.index),
            (problem,) if again.any() else (),
            (Link("", records, self.source),),
        )


@register
class WithUnit(Derived):
    """A name with its unit in brackets: `with_unit: LB.LBTEST, unit: LB.LBSTRESU`.

    A missing unit, and one listed in `without`, is not written.
    """

    word: ClassVar[str] = "with_unit"
    main: ClassVar[str] = "name"
    name: str
    unit: str
    without: tuple[str, ...] = ()

    def variable_inputs(self) -> Sequence[str]:
        return (self.name, self.unit, *self.when)

    def apply(self, scope: Scope) -> Outcome:
        def written(name: str | None, unit: str | None) -> str | None:
            return name if name is None or unit is None or unit in self.without else f"{name} ({unit})"

        return Outcome(text.map_rows([scope.variable(self.name), scope.variable(self.unit)], written))


@register
class InWindow(Derived):
    """A column of the window that a day falls in: `in_window: AVISIT, table: windows, day: ADYLD, by: {FRAME: frame}`.

    The table has the columns of `by`, LOW and HIGH (days, both included; an empty one leaves the side open, both
    empty take a record without day as well). A day in no window gives a missing value.
    """

    word: ClassVar[str] = "in_window"
    main: ClassVar[str] = "value"
    value: str
    table: str
    day: str
    by: dict[str, str] = {}

    def variable_inputs(self) -> Sequence[str]:
        return (self.day, *self.by.values(), *self.when)

    def tables(self) -> Mapping[str, Sequence[str]]:
        return {self.table: (self.value, *self.by, "LOW", "HIGH")}

    def apply(self, scope: Scope) -> Outcome:
        table = scope.table(self.table)
        days = scope.variable(self.day).to_numpy()
        codes = np.full(len(scope.index), -1, dtype=np.int64)
        keys = [table.values(name) for name in self.by]
        for row, (low, high) in enumerate(zip(table.values("LOW"), table.values("HIGH"), strict=True)):
            here = np.ones(len(days), dtype=bool)
            for name, cells in zip(self.by.values(), keys, strict=True):
                here &= text.map_flag(scope.variable(name), lambda one, cell=cells[row]: one == cell)  # type: ignore[misc]
            if low:
                here &= days >= float(low)
            if high:
                here &= days <= float(high)
            codes[here & (codes < 0)] = row
        return Outcome(text.column(codes, table.values(self.value), scope.index))


@register
class RangeIndicator(Derived):
    """Low, normal or high against multiples of the limits: `range_indicator: [AVAL, A1LO, A1HI], high_factor: 1.5`.

    `terms` are the words for low, normal and high. Without a value the indicator is missing, or the middle term
    with `missing_is_normal`. A missing limit is no limit; with `missing_high_is_lowest` any value is above a
    missing upper limit.
    """

    word: ClassVar[str] = "range_indicator"
    main: ClassVar[str] = "inputs"
    inputs: tuple[str, str, str]
    low_factor: float = 1.0
    high_factor: float = 1.0
    terms: tuple[str, str, str] = ("LOW", "NORMAL", "HIGH")
    missing_high_is_lowest: bool = False
    missing_is_normal: bool = False

    def variable_inputs(self) -> Sequence[str]:
        return (*self.inputs, *self.when)

    def literal_terms(self) -> Sequence[str]:
        return self.terms

    def apply(self, scope: Scope) -> Outcome:
        value, low, high = (scope.variable(name).to_numpy() for name in self.inputs)
        if self.missing_high_is_lowest:
            high = np.where(np.isnan(high), -np.inf, high)
        below, above = value < self.low_factor * low, value > self.high_factor * high
        codes = np.where(below, 0, np.where(above, 2, 1))
        if not self.missing_is_normal:
            codes = np.where(np.isnan(value), -1, codes)
        return Outcome(text.column(codes, list(self.terms), scope.index))


@register
class RangeMargin(Derived):
    """The larger distance of a value from multiples of its limits: `range_margin: [AVAL, low, A1HI]`.

    The larger of `high_factor` x upper limit - value and value - `low_factor` x lower limit; one that cannot be
    computed is left out.
    """

    word: ClassVar[str] = "range_margin"
    main: ClassVar[str] = "inputs"
    inputs: tuple[str, str, str]
    low_factor: float = 1.0
    high_factor: float = 1.0

    def variable_inputs(self) -> Sequence[str]:
        return (*self.inputs, *self.when)

    def apply(self, scope: Scope) -> Outcome:
        value, low, high = (scope.variable(name).to_numpy() for name in self.inputs)
        margin = np.fmax(self.high_factor * high - value, value - self.low_factor * low)
        return Outcome(pd.Series(margin, index=scope.index))


@register
class HalfLimit(Derived):
    """Half the bound of a result below its limit of quantification: `half_limit: LB.LBSTRESC`; `<5` gives 2.5."""

    word: ClassVar[str] = "half_limit"
    main: ClassVar[str] = "result"
    result: str

    def variable_inputs(self) -> Sequence[str]:
        return (self.result, *self.when)

    def apply(self, scope: Scope) -> Outcome:
        def half(result: str) -> float | None:
            parsed = numbers.parse_result(result)
            return parsed.value / 2 if parsed is not None and parsed.sign == "<" else None

        return Outcome(text.map_number(scope.variable(self.result), half))


@register
class ImputeDay(Derived):
    """A date; where its day is missing the first of the month, or the day after a date if that is later.

    `impute_day: DM.DTHDTC, after: LSTALVDT`. A date without month, and one whose month ends before, is not imputed
    and must be asked for.
    """

    word: ClassVar[str] = "impute_day"
    main: ClassVar[str] = "date"
    date: str
    after: str | None = None

    def variable_inputs(self) -> Sequence[str]:
        return (self.date, *((self.after,) if self.after else ()), *self.when)

    def apply(self, scope: Scope) -> Outcome:
        collected = scope.variable(self.date)
        known = dates.to_dates(collected)
        first = dates.to_dates(text.map_text(collected, lambda one: f"{one}-01" if len(one) == 7 else None))
        month = first.to_numpy().astype("datetime64[M]")
        guess = first.to_numpy().copy()
        if self.after is not None:
            next_day = scope.variable(self.after).to_numpy().astype("datetime64[D]") + 1
            later = ~np.isnat(next_day) & (next_day > guess)
            guess = np.where(later, next_day.astype("datetime64[s]"), guess)
        outside = guess.astype("datetime64[M]") != month
        guess[outside] = np.datetime64("NaT")
        values = pd.Series(np.where(known.notna(), known.to_numpy(), guess).astype("datetime64[s]"), index=scope.index)
        lost = (collected.notna() & values.isna()).to_numpy()
        problem = Problem(
            "date_not_imputed",
            Severity.ANSWER,
            lost,
            f"{self.date} has no month, or a month that contradicts {self.after or 'nothing'}; it is not imputed",
            "Ask the site for the date",
        )
        return Outcome(values, (problem,) if lost.any() else ())


@register
class DayImputed(Derived):
    """`D` where a date stands for a collected one without day: `day_imputed: [DTHDT, DM.DTHDTC]` (DATEFL)."""

    word: ClassVar[str] = "day_imputed"
    main: ClassVar[str] = "inputs"
    inputs: tuple[str, str]

    def variable_inputs(self) -> Sequence[str]:
        return (*self.inputs, *self.when)

    def literal_terms(self) -> Sequence[str]:
        return ("D",)

    def apply(self, scope: Scope) -> Outcome:
        date, collected = (scope.variable(name) for name in self.inputs)
        partial = text.map_flag(collected, lambda one: len(one) < 10) & date.notna().to_numpy()
        return Outcome(text.column(np.where(partial, 0, -1), ["D"], scope.index))
