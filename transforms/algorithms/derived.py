"""Algorithms that fill a variable from variables: of the same record, its subject, or other datasets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, field_validator, model_validator

from transforms.algorithms.base import Algorithm, Link, Outcome, Problem, Scope, register
from transforms.algorithms.collected import TableLookup, typed
from transforms.core import conditions, dates, numbers, text
from transforms.core.conditions import Test
from transforms.findings import Severity

REFERENCE = "DM.RFSTDTC"
EXPOSURE = "DM.RFXSTDTC"


class Derived(Algorithm):
    """Base of the algorithms that read variables; `when` is on variables of the same record."""

    derived: ClassVar[bool] = True


@register
class Copy(Derived):
    """Another variable of the record: `copy: SVSTDTC`."""

    word: ClassVar[str] = "copy"
    main: ClassVar[str] = "source"
    source: str

    def variable_inputs(self) -> Sequence[str]:
        return (self.source, *self.when)

    def apply(self, scope: Scope) -> Outcome:
        values = scope.variable(self.source)
        if isinstance(values.dtype, pd.CategoricalDtype):
            return typed(values, scope)
        if scope.target.is_number:
            return Outcome(values)
        return Outcome(text.map_rows([values], lambda value: None if value is None else numbers.number_text(value)))


@register
class OfSubject(Derived):
    """A DM variable of the record's subject: `of_subject: DM.ARMCD`."""

    word: ClassVar[str] = "of_subject"
    main: ClassVar[str] = "source"
    source: str

    def variable_inputs(self) -> Sequence[str]:
        return (self.source, *self.when)

    def apply(self, scope: Scope) -> Outcome:
        return Outcome(
            scope.by_subject(self.source),
            links=(Link("DM", scope.subject_records(), self.source.split(".")[1]),),
        )


@register
class Lookup(TableLookup):
    """By variables: `lookup: LBTEST, table: lab_tests, by: {LBTESTCD: LBTESTCD}`."""

    word: ClassVar[str] = "lookup"
    derived: ClassVar[bool] = True

    def variable_inputs(self) -> Sequence[str]:
        return (*self.by.values(), *self.when)

    def apply(self, scope: Scope) -> Outcome:
        return self.look_up([scope.variable(name) for name in self.by.values()], scope)


@register
class StudyDay(Derived):
    """Days from the reference date, never 0: `study_day: AESTDTC` (SDTMIG 3.4, 4.4.4)."""

    word: ClassVar[str] = "study_day"
    main: ClassVar[str] = "date"
    date: str
    reference: str = REFERENCE

    def variable_inputs(self) -> Sequence[str]:
        return (self.date, self.reference, *self.when)

    def apply(self, scope: Scope) -> Outcome:
        reference = scope.variable(self.reference) if "." not in self.reference else scope.by_subject(self.reference)
        return Outcome(dates.study_days(scope.variable(self.date), reference))


class SubjectDate(Derived):
    """The first or last date(time) a subject has in one or several variables of other datasets.

    `where` chooses the records, `part: date` drops a time of day. Texts compare as ISO 8601.
    """

    main: ClassVar[str] = "sources"
    sources: tuple[str, ...]
    where: dict[str, Test] = {}
    part: Literal["date"] | None = None
    latest: ClassVar[bool]

    @field_validator("sources", mode="before")
    @classmethod
    def _list(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value

    @field_validator("sources")
    @classmethod
    def _other_datasets(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for source in value:
            if source.count(".") != 1:
                raise ValueError(f"{source!r} is not written DATASET.VARIABLE")
        return value

    def variable_inputs(self) -> Sequence[str]:
        conditions_on = [f"{source.split('.')[0]}.{name}" for source in self.sources for name in self.where]
        return (*self.sources, *conditions_on, "USUBJID", *self.when)

    def apply(self, scope: Scope) -> Outcome:
        return self.extreme(scope, latest=self.latest)

    def extreme(self, scope: Scope, *, latest: bool) -> Outcome:
        """Each subject's first or last value, linked to the record it is from."""
        own = text.texts_of(scope.variable("USUBJID"))
        own_codes = scope.variable("USUBJID").cat.codes.to_numpy()
        row_of = np.full(len(own) + 1, -1, dtype=np.int64)
        row_of[own_codes] = np.arange(len(own_codes))
        position = {subject: row_of[code] for code, subject in enumerate(own)}
        parts = []
        for source in self.sources:
            dataset, variable = source.split(".")
            frame = scope.dataset(dataset)
            keep = conditions.rows(self.where, lambda name, frame=frame: frame[name], frame.index)  # type: ignore[misc]
            keep &= frame[variable].notna().to_numpy()
            subjects = frame["USUBJID"]
            table = np.array([*(position.get(one, -1) for one in text.texts_of(subjects)), -1], dtype=np.int64)
            rows = table[subjects.cat.codes.to_numpy()]
            keep &= rows >= 0
            parts.append((dataset, frame.index.to_numpy()[keep], rows[keep], frame[variable][keep]))
        joined = text.concat([values for *_, values in parts])
        rows = np.concatenate([part[2] for part in parts])
        ranks = text.ranks(joined)
        order = np.lexsort((-ranks if latest else ranks, rows))
        owners, first = np.unique(rows[order], return_index=True)
        chosen = np.full(len(scope.index), -1, dtype=np.int64)
        chosen[owners] = order[first]
        codes = np.where(chosen >= 0, joined.cat.codes.to_numpy()[chosen] if len(joined) else -1, -1)
        values = text.column(codes, text.texts_of(joined), scope.index)
        if self.part == "date":
            values = text.map_text(values, lambda value: value[:10])
        links, start = [], 0
        for source, (dataset, records, *_) in zip(self.sources, parts, strict=True):
            inside = (chosen >= start) & (chosen < start + len(records))
            link = np.full(len(scope.index), -1, dtype=np.int64)
            link[inside] = records[chosen[inside] - start]
            links.append(Link(dataset, link, source.split(".")[1]))
            start += len(records)
        return Outcome(values, links=tuple(links))


@register
class Earliest(SubjectDate):
    """The subject's first date: `earliest: EX.EXSTDTC`."""

    word: ClassVar[str] = "earliest"
    latest: ClassVar[bool] = False


@register
class Latest(SubjectDate):
    """The subject's last date: `latest: [SV.SVENDTC, DS.DSDTC]`."""

    word: ClassVar[str] = "latest"
    latest: ClassVar[bool] = True


@register
class OnlyValue(SubjectDate):
    """The one value a subject has in a variable of another dataset: `only_value: DS.arm_code`.

    A subject with several different values is a critical finding, and the first in text order stands.
    """

    word: ClassVar[str] = "only_value"
    latest: ClassVar[bool] = False

    def apply(self, scope: Scope) -> Outcome:
        lowest, highest = self.extreme(scope, latest=False), self.extreme(scope, latest=True)
        several = (lowest.values.astype(object).fillna("") != highest.values.astype(object).fillna("")).to_numpy()
        problem = Problem(
            "several_values",
            Severity.CRITICAL,
            several,
            f"a subject has several different values of {' and '.join(self.sources)}",
            "Ask the site which one is right",
        )
        return Outcome(lowest.values, (problem,) if several.any() else (), lowest.links)


@register
class FlagWhen(Derived):
    """`Y` on the records that meet a condition, missing elsewhere: `flag_when: {VISIT: BASELINE}`."""

    word: ClassVar[str] = "flag_when"
    main: ClassVar[str] = "condition"
    condition: dict[str, Test]
    flag: str = "Y"

    def variable_inputs(self) -> Sequence[str]:
        return (*self.condition, *self.when)

    def literal_terms(self) -> Sequence[str]:
        return (self.flag,)

    def apply(self, scope: Scope) -> Outcome:
        meets = conditions.rows(self.condition, scope.variable, scope.index)
        return Outcome(text.column(np.where(meets, 0, -1), [self.flag], scope.index))


class Case(BaseModel):
    """One case of `choose`: a condition, and a literal `value` or the `variable` to take; neither means missing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    when: dict[str, Test] = {}
    value: str | None = None
    variable: str | None = None

    @field_validator("value", mode="before")
    @classmethod
    def _as_text(cls, value: object) -> object:
        return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value

    @model_validator(mode="after")
    def _not_both(self) -> Case:
        if self.value is not None and self.variable is not None:
            raise ValueError("a case has a value or a variable, not both")
        return self


@register
class Choose(Derived):
    """The first case whose condition holds: `choose: [{when: {...}, value: X}, {variable: VAR}]`."""

    word: ClassVar[str] = "choose"
    main: ClassVar[str] = "cases"
    cases: tuple[Case, ...]

    def variable_inputs(self) -> Sequence[str]:
        names: dict[str, None] = {}
        for case in self.cases:
            names |= dict.fromkeys(case.when)
            if case.variable:
                names[case.variable] = None
        return (*names, *self.when)

    def literal_terms(self) -> Sequence[str]:
        return tuple(case.value for case in self.cases if case.value is not None)

    def says(self) -> str:
        return "choose: the first of " + "; ".join(
            f"{case.value or case.variable or 'missing'} when {', '.join(case.when) or 'otherwise'}"
            for case in self.cases
        )

    def apply(self, scope: Scope) -> Outcome:
        open_rows = np.ones(len(scope.index), dtype=bool)
        parts: list[tuple[np.ndarray, pd.Series]] = []
        for case in self.cases:
            here = open_rows & conditions.rows(case.when, self._reader(scope), scope.index)
            open_rows &= ~here
            if case.variable is not None:
                parts.append((here, self._reader(scope)(case.variable)))
            elif case.value is not None:
                parts.append((here, text.constant(case.value, scope.index)))
        if scope.target.is_number:
            result = np.full(len(scope.index), np.nan)
            for here, values in parts:
                numeric = (
                    text.map_number(values, numbers.parse_number)
                    if isinstance(values.dtype, pd.CategoricalDtype)
                    else values
                )
                result[here] = numeric.to_numpy()[here]
            return Outcome(pd.Series(result, index=scope.index))
        codes = np.full(len(scope.index), -1, dtype=np.int64)
        texts: list[str] = []
        for here, values in parts:
            own = values.cat.codes.to_numpy()
            codes = np.where(here, np.where(own >= 0, own + len(texts), -1), codes)
            texts.extend(text.texts_of(values))
        return Outcome(text.column(codes, texts, scope.index))

    @staticmethod
    def _reader(scope: Scope):  # type: ignore[no-untyped-def]
        return lambda name: scope.by_subject(name) if name.startswith("DM.") else scope.variable(name)


@register
class UnitByRange(Derived):
    """The unit of a result that came without one, by a range rule on its number.

    `unit_by_range: VSORRES, table: vs_units, by: VSTESTCD`: the table has the columns named in `by`, `LOW`
    (inclusive, may be empty), `HIGH` (exclusive, may be empty), and `UNIT`. Each test resolved so is an
    answerable finding; a number outside every range is held.
    """

    word: ClassVar[str] = "unit_by_range"
    main: ClassVar[str] = "result"
    result: str
    table: str
    by: str

    def variable_inputs(self) -> Sequence[str]:
        return (self.result, self.by, *self.when)

    def tables(self) -> Mapping[str, Sequence[str]]:
        return {self.table: (self.by, "LOW", "HIGH", "UNIT")}

    def apply(self, scope: Scope) -> Outcome:
        table = scope.table(self.table)
        columns = [table.values(name) for name in (self.by, "LOW", "HIGH", "UNIT")]
        rules: dict[str, list[tuple[float, float, str]]] = {}
        for test, low, high, unit in zip(*columns, strict=True):
            rules.setdefault(test, []).append((float(low or "-inf"), float(high or "inf"), unit))

        def unit_of(test: str | None, result: str | None) -> str | None:
            number = numbers.parse_number(result) if result is not None else None
            if number is None or test is None:
                return None
            return next((unit for low, high, unit in rules.get(test, ()) if low <= number < high), None)

        tests, results = scope.variable(self.by), scope.variable(self.result)
        units = text.map_rows([tests, results], unit_of)
        present = results.notna().to_numpy()
        resolved = units.notna().to_numpy()
        problems = [
            Problem(
                "unit_resolved_by_rule",
                Severity.ANSWER,
                present & resolved & (tests.cat.codes.to_numpy() == code),
                f"{scope.target.name} was not collected for {test}; the ranges of {self.table} decided it",
                f"Confirm the ranges in tables/{self.table}.csv with the site, or have the unit collected",
                cause=test,
            )
            for code, test in enumerate(text.texts_of(tests))
        ]
        problems.append(
            Problem(
                "unit_unresolved",
                Severity.CRITICAL,
                present & ~resolved,
                f"{scope.target.name} was not collected and no range of {self.table} holds the result",
                f"Have the unit collected, or add a range to tables/{self.table}.csv",
                hold=True,
            )
        )
        return Outcome(units, tuple(problem for problem in problems if problem.mask.any()))


class Standardize(Derived):
    """Base of conversion to standard units: factors of a table found by variables such as test and unit.

    The converted number is `(collected - subtract) * factor`; `decimals` names a column that says to how
    many places it is rounded (half away from zero; an empty cell means not rounded).
    """

    main: ClassVar[str] = "result"
    result: str
    table: str
    by: dict[str, str]
    factor: str = "FACTOR"
    subtract: str | None = None
    decimals: str | None = None

    def variable_inputs(self) -> Sequence[str]:
        return (self.result, *self.by.values(), *self.when)

    def tables(self) -> Mapping[str, Sequence[str]]:
        return {self.table: (*self.by, *self.columns())}

    def columns(self) -> Sequence[str]:
        """The columns of the table that say how to convert."""
        return tuple(name for name in (self.factor, self.subtract, self.decimals) if name)

    def _converter(self, scope: Scope):  # type: ignore[no-untyped-def]
        table = scope.table(self.table)
        names = list(self.by)
        factors = table.keyed(names, self.factor)
        subtracts = table.keyed(names, self.subtract) if self.subtract else {}
        places = table.keyed(names, self.decimals) if self.decimals else {}

        def convert(number: float, key: tuple[str, ...]) -> float | None:
            factor = factors.get(key)
            if not factor:
                return None
            shift = subtracts.get(key)
            converted = (number - float(shift)) * float(factor) if shift else number * float(factor)
            place = places.get(key)
            return numbers.round_half_away(converted, int(place)) if place else converted

        return convert

    def _inputs(self, scope: Scope) -> list[pd.Series]:
        return [scope.variable(self.result), *(scope.variable(name) for name in self.by.values())]


def _table_key(parts: Sequence[object]) -> tuple[str, ...]:
    return tuple("" if part is None else str(part) for part in parts)


@register
class StandardizeNumber(Standardize):
    """A result or limit as a number in standard units; missing for a censored or a text result."""

    word: ClassVar[str] = "standardize_number"

    def apply(self, scope: Scope) -> Outcome:
        convert = self._converter(scope)

        def number(result: str | None, *key: object) -> float | None:
            parsed = numbers.parse_number(result) if result is not None else None
            converted: float | None = convert(parsed, _table_key(key)) if parsed is not None else None
            return converted

        return Outcome(text.map_rows_number(self._inputs(scope), number))


@register
class StandardizeText(Standardize):
    """A result as text in standard units: a censored one keeps its sign, a text one goes through `texts`.

    `texts` names a codelist of the study for results that are no number (for example urinalysis grades);
    a text that it does not hold is a critical finding and holds the record.
    """

    word: ClassVar[str] = "standardize_text"
    texts: str | None = None

    def study_codelists(self) -> Sequence[str]:
        return (self.texts,) if self.texts else ()

    def apply(self, scope: Scope) -> Outcome:
        convert = self._converter(scope)
        codelist = scope.codelist(self.texts) if self.texts else None
        unknown: set[str] = set()

        def standard(result: str | None, *key: object) -> str | None:
            if result is None:
                return None
            parsed = numbers.parse_result(result)
            if parsed is None:
                known, term = codelist.find(result) if codelist else (False, None)
                if not known:
                    unknown.add(result)
                return term
            converted = convert(parsed.value, _table_key(key))
            return None if converted is None else parsed.sign + numbers.number_text(converted)

        values = text.map_rows(self._inputs(scope), standard)
        collected = scope.variable(self.result)
        problems = tuple(
            Problem(
                "unmapped_term",
                Severity.CRITICAL,
                text.map_flag(collected, lambda one, value=value: one == value),  # type: ignore[misc]
                f"{self.result} holds a result that is neither a number nor a listed text",
                "Map the text in tables/codelists.csv (term, fix or ignore), or have the source corrected",
                cause=value,
                hold=True,
            )
            for value in sorted(unknown)
        )
        return Outcome(values, problems)


@register
class ReferenceRangeIndicator(Derived):
    """LOW, NORMAL or HIGH of a result against its limits: `reference_range_indicator: [LBORRES, LBORNRLO, LBORNRHI]`.

    Limits are inclusive. A censored result is LOW or HIGH when its bound lies outside the range, and NORMAL when
    all it can be lies inside (results are not negative); otherwise the indicator stays missing, as it does without
    any limit unless `without_limits` names a table whose columns `by` and `value` decide.
    """

    word: ClassVar[str] = "reference_range_indicator"
    main: ClassVar[str] = "inputs"
    inputs: tuple[str, str, str]
    without_limits: str | None = None
    by: dict[str, str] = {}
    value: str = "NRIND"

    def variable_inputs(self) -> Sequence[str]:
        return (*self.inputs, *self.by.values(), *self.when)

    def tables(self) -> Mapping[str, Sequence[str]]:
        return {self.without_limits: (*self.by, self.value)} if self.without_limits else {}

    def literal_terms(self) -> Sequence[str]:
        return ("LOW", "NORMAL", "HIGH")

    def apply(self, scope: Scope) -> Outcome:
        fallback = scope.table(self.without_limits).keyed(list(self.by), self.value) if self.without_limits else {}

        def indicator(result: str | None, low: str | None, high: str | None, *key: object) -> str | None:
            if result is None:
                return None
            lower = numbers.parse_number(low) if low is not None else None
            upper = numbers.parse_number(high) if high is not None else None
            if lower is None and upper is None:
                return fallback.get(_table_key(key))
            parsed = numbers.parse_result(result)
            return None if parsed is None else _indicator(parsed, lower, upper)

        columns = [scope.variable(name) for name in (*self.inputs, *self.by.values())]
        return Outcome(text.map_rows(columns, indicator))


def _indicator(result: numbers.Result, lower: float | None, upper: float | None) -> str | None:
    below = lower is not None and result.value < lower
    above = upper is not None and result.value > upper
    if result.sign.startswith("<"):
        whole = (lower is None or lower <= 0) and not above
        return "LOW" if below else "NORMAL" if whole else None
    if result.sign.startswith(">"):
        return "HIGH" if above else "NORMAL" if upper is None and not below else None
    return "LOW" if below else "HIGH" if above else "NORMAL"


@register
class LastBeforeExposure(Derived):
    """`Y` on the subject's last result before first treatment.

    `last_before_exposure: VSDTC, result: VSSTRESC, by: [VSTESTCD, VSTPTNUM]`. One record per subject and `by`.
    A record on the day of first treatment counts when its time is earlier; without a time on either side it
    counts only where `untimed_same_day` says so (a condition; `{}` means always, absent means never). Ties go to
    the higher `order`, then to the later record.
    Source: SDTMIG 3.4, 4.5.9.
    """

    word: ClassVar[str] = "last_before_exposure"
    main: ClassVar[str] = "date"
    date: str
    result: str
    by: tuple[str, ...]
    order: tuple[str, ...] = ()
    untimed_same_day: dict[str, Test] | None = None
    reference: str = EXPOSURE

    def variable_inputs(self) -> Sequence[str]:
        return (
            "USUBJID",
            self.date,
            self.result,
            *self.by,
            *self.order,
            *(self.untimed_same_day or ()),
            self.reference,
            *self.when,
        )

    def apply(self, scope: Scope) -> Outcome:
        when, start = scope.variable(self.date), scope.by_subject(self.reference)
        same_day = dates.day_numbers(when).to_numpy() == dates.day_numbers(start).to_numpy()
        timed = text.map_flag(when, lambda value: len(value) > 10) & text.map_flag(start, lambda value: len(value) > 10)
        seconds = text.map_number(when, dates.first_second).to_numpy()
        before = seconds < text.map_number(start, dates.first_second).to_numpy()
        before = np.where(same_day & ~timed, False, before)
        if self.untimed_same_day is not None:
            before |= same_day & ~timed & conditions.rows(self.untimed_same_day, scope.variable, scope.index)
        candidates = np.flatnonzero(before & scope.variable(self.result).notna().to_numpy() & self._when(scope))
        groups = text.combination_codes([scope.variable(name).iloc[candidates] for name in ("USUBJID", *self.by)])
        orders = [text.ranks(scope.variable(name).iloc[candidates]) for name in reversed(self.order)]
        order = np.lexsort((np.arange(len(candidates)), *orders, seconds[candidates], groups))
        last = np.ones(len(order), dtype=bool)
        last[:-1] = groups[order][1:] != groups[order][:-1]
        flags = np.full(len(scope.index), -1, dtype=np.int8)
        flags[candidates[order[last]]] = 0
        return Outcome(text.column(flags, ["Y"], scope.index))

    def _when(self, scope: Scope) -> np.ndarray:
        return conditions.rows(self.when, scope.variable, scope.index)


@register
class EpochOf(Derived):
    """EPOCH of the element in which a date falls, from SE: `epoch: AESTDTC` (SDTMIG 3.4, 4.1.3.1).

    On the day an element starts, dates compare by day unless both have a time: the record belongs to that
    element, or to the one before where the starting element has no epoch (one outside the plan). Missing when
    the day is unknown, before the first element or after the last one's end.
    """

    word: ClassVar[str] = "epoch"
    main: ClassVar[str] = "date"
    date: str

    def variable_inputs(self) -> Sequence[str]:
        return (
            self.date,
            "USUBJID",
            *(f"SE.{name}" for name in ("USUBJID", "SESTDTC", "SEENDTC", "EPOCH")),
            *self.when,
        )

    def apply(self, scope: Scope) -> Outcome:
        elements = scope.dataset("SE")
        dates_of, epochs = scope.variable(self.date), elements["EPOCH"]
        latest = text.map_number(dates_of, dates.last_second).to_numpy()
        earliest = text.map_number(dates_of, dates.first_second).to_numpy()
        starts = text.map_number(elements["SESTDTC"], dates.first_second).to_numpy()
        ends = text.map_number(elements["SEENDTC"], dates.last_second).to_numpy()

        def element(moment: np.ndarray) -> np.ndarray:
            return covering(scope.variable("USUBJID"), moment, earliest, elements["USUBJID"], starts, ends)

        chosen = element(latest)
        if len(elements):
            # At day precision, where the record or the start has no time, the start could be before or after.
            timed = text.map_flag(dates_of, _timed) & text.map_flag(elements["SESTDTC"], _timed)[chosen]
            days = dates.day_numbers(dates_of).to_numpy()
            same_day = dates.day_numbers(elements["SESTDTC"]).to_numpy()[chosen] == days
            open_start = (chosen >= 0) & same_day & ~timed & epochs.isna().to_numpy()[chosen]
            before = element(np.where(open_start, days * dates.SECONDS_PER_DAY - 1, np.nan))
            chosen = np.where(before >= 0, before, chosen)
        codes = np.where(chosen >= 0, epochs.cat.codes.to_numpy()[chosen] if len(epochs) else -1, -1)
        records = np.where(chosen >= 0, elements.index.to_numpy()[chosen] if len(epochs) else -1, -1)
        return Outcome(text.column(codes, text.texts_of(epochs), scope.index), links=(Link("SE", records),))


def _timed(value: str) -> bool:
    return len(value) > 10


def covering(
    subjects: pd.Series,
    latest: np.ndarray,
    earliest: np.ndarray,
    owners: pd.Series,
    starts: np.ndarray,
    ends: np.ndarray,
) -> np.ndarray:
    """For each record the position of its subject's interval that covers it, -1 for none.

    The interval is the last one that starts no later than `latest` (seconds); the record must not begin
    (`earliest`) after the interval's end. NaN in a record gives -1, NaN in an end leaves it open.
    """
    position = {subject: code for code, subject in enumerate(text.texts_of(owners))}
    table = np.array([*(position.get(one, -1) for one in text.texts_of(subjects)), -1], dtype=np.int64)
    own = table[subjects.cat.codes.to_numpy()]
    usable = np.flatnonzero(~np.isnan(starts))
    span = 4e11
    keys = owners.cat.codes.to_numpy()[usable] * span + starts[usable]
    order = np.argsort(keys, kind="stable")
    asked = own * span + np.nan_to_num(latest, nan=-1.0)
    found = np.searchsorted(keys[order], asked, side="right") - 1
    result = np.where(found >= 0, usable[order][np.maximum(found, 0)] if len(usable) else -1, -1)
    known = (own >= 0) & ~np.isnan(latest) & (result >= 0)
    if len(usable):
        known &= owners.cat.codes.to_numpy()[result] == own
        known &= ~(earliest > ends[result])
    return np.where(known, result, -1)


@register
class VisitByDate(Derived):
    """VISITNUM of the visit in which a date falls, from SV: `visit_by_date: LBDTC`.

    For extracts that know no visit. Only visits that took place count; a date in no visit of its subject
    is an answerable finding and stays without visit.
    """

    word: ClassVar[str] = "visit_by_date"
    main: ClassVar[str] = "date"
    date: str

    def variable_inputs(self) -> Sequence[str]:
        return (
            self.date,
            "USUBJID",
            *(f"SV.{name}" for name in ("USUBJID", "VISITNUM", "SVSTDTC", "SVENDTC")),
            *self.when,
        )

    def apply(self, scope: Scope) -> Outcome:
        visits = scope.dataset("SV")
        collected = scope.variable(self.date)
        days = dates.day_numbers(collected).to_numpy() * dates.SECONDS_PER_DAY
        chosen = covering(
            scope.variable("USUBJID"),
            days,
            days,
            visits["USUBJID"],
            dates.day_numbers(visits["SVSTDTC"]).to_numpy() * dates.SECONDS_PER_DAY,
            dates.day_numbers(visits["SVENDTC"]).to_numpy() * dates.SECONDS_PER_DAY,
        )
        numbers_of = visits["VISITNUM"].to_numpy()
        values = np.where(chosen >= 0, numbers_of[chosen] if len(visits) else np.nan, np.nan)
        records = np.where(chosen >= 0, visits.index.to_numpy()[chosen] if len(visits) else -1, -1)
        lost = (chosen < 0) & collected.notna().to_numpy()
        problem = Problem(
            "no_visit_on_date",
            Severity.ANSWER,
            lost,
            f"{self.date} falls in no visit of the subject",
            "Ask the site whether a visit is missing from the visit log or the date is wrong",
        )
        return Outcome(pd.Series(values, index=scope.index), (problem,) if lost.any() else (), (Link("SV", records),))


@register
class Quotient(Derived):
    """One number over another: `quotient: [ECDOSE, weight], decimals: 3`; missing if either is, or over 0."""

    word: ClassVar[str] = "quotient"
    main: ClassVar[str] = "inputs"
    inputs: tuple[str, str]
    decimals: int | None = None

    def variable_inputs(self) -> Sequence[str]:
        return (*self.inputs, *self.when)

    def apply(self, scope: Scope) -> Outcome:
        def divide(above: float | None, below: float | None) -> float | None:
            if above is None or not below:
                return None
            value = above / below
            return value if self.decimals is None else numbers.round_half_away(value, self.decimals)

        return Outcome(text.map_rows_number([scope.variable(name) for name in self.inputs], divide))


@register
class InstrumentTotal(Derived):
    """The collected score of each item, a derived total being recomputed from its items.

    `instrument_total: score, table: qs_totals, item: QSTESTCD, by: [USUBJID, VISITNUM]`: the table lists
    TOTAL, ITEM and WEIGHT. A total is the sum of the item scores of the same `by`, times the sum of all
    weights over the sum of the weights present (no proration when none is missing). A collected total
    that differs from the recomputed one by more than `tolerance` is a finding; the recomputed one stands.
    """

    word: ClassVar[str] = "instrument_total"
    main: ClassVar[str] = "score"
    score: str
    table: str
    item: str
    by: tuple[str, ...]
    tolerance: float = 1e-9

    def variable_inputs(self) -> Sequence[str]:
        return (self.score, self.item, *self.by, *self.when)

    def tables(self) -> Mapping[str, Sequence[str]]:
        return {self.table: ("TOTAL", "ITEM", "WEIGHT")}

    def apply(self, scope: Scope) -> Outcome:
        table = scope.table(self.table)
        weights: dict[str, dict[str, float]] = {}
        for total, item, weight in zip(*(table.values(name) for name in ("TOTAL", "ITEM", "WEIGHT")), strict=True):
            weights.setdefault(total, {})[item] = float(weight)
        items = scope.variable(self.item)
        collected = scope.variable(self.score).to_numpy()
        result = collected.copy()
        groups = text.combination_codes([scope.variable(name) for name in self.by])
        size = int(groups.max(initial=-1)) + 1
        for total, parts in weights.items():
            share = text.map_number(items, parts.get).to_numpy()
            used = ~np.isnan(share) & ~np.isnan(collected)
            sums = np.bincount(groups[used], collected[used], size)
            present = np.bincount(groups[used], share[used], size)
            rows = np.flatnonzero(text.map_flag(items, lambda one, total=total: one == total))  # type: ignore[misc]
            full = sum(parts.values())
            here = present[groups[rows]]
            with np.errstate(invalid="ignore", divide="ignore"):
                prorated = sums[groups[rows]] * full / here
            result[rows] = np.where(here > 0, np.where(here == full, sums[groups[rows]], prorated), np.nan)
        differs = np.abs(result - collected) > self.tolerance
        problem = Problem(
            "total_recomputed",
            Severity.ANSWER,
            differs,
            f"a collected total differs from the one recomputed from its items; {scope.target.name} carries the latter",
            "Ask the source why its total differs (often it was truncated on export)",
        )
        return Outcome(pd.Series(result, index=scope.index), (problem,) if differs.any() else ())
