"""Algorithms that look through a subject's records in other datasets: moments, values, counts, sums."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import numpy as np
import pandas as pd
from pydantic import field_validator

from transforms.algorithms.base import Link, Outcome, Problem, Scope, as_list, register
from transforms.algorithms.values import Derived
from transforms.core import conditions, dates, text
from transforms.core.columns import sort_key, take
from transforms.core.conditions import Test
from transforms.findings import Severity


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
        owners = known[frame["USUBJID"].array.codes]
        kept = np.flatnonzero(conditions.rows(self.where, lambda name: frame[name], frame.index) & (owners >= 0))
        return _Found(owners[kept], kept)

    @staticmethod
    def _spread(scope: Scope, by_subject: np.ndarray) -> np.ndarray:
        """One value per subject (the last one standing for none) as one value per record."""
        spread: np.ndarray = by_subject[scope.variable("USUBJID").array.codes]
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

    _list = field_validator("sources", "not_after", mode="before")(as_list)

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
        codes = scope.variable("USUBJID").array.codes
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

    _list = field_validator("order", mode="before")(as_list)

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
        keys = [sort_key(frame[name].iloc[records], descending=self.last) for name in reversed(self.order)]
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
