"""Algorithms on dates: durations, order in time, partial dates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import pandas as pd
from pydantic import field_validator, model_validator

from transforms.algorithms.base import Outcome, Problem, Scope, as_list, register
from transforms.algorithms.values import Compared, Derived
from transforms.core import dates, text
from transforms.core.columns import take
from transforms.findings import Severity


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
        first = dates.to_dates(text.map_text(collected, lambda one: f"{one}-01" if _monthly(one) else None))
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
class ImputeStart(Derived):
    """The date of a start; a partial one begins with what is known of it.

    `impute_start: AE.AESTDTC, treatment: TRTSDT, not_before: [RFICDT], not_after: [AENDT]`. Where the known part agrees
    with that of `treatment`, an unknown day or month is taken from there, so that an event cannot fall before treatment
    by imputation alone; else the first day is taken. An imputed date is moved to the latest of `not_before` and then
    to the earliest of `not_after`, but never out of the month or year that was collected. A date without year stays
    missing.
    """

    word: ClassVar[str] = "impute_start"
    main: ClassVar[str] = "date"
    date: str
    treatment: str | None = None
    not_before: tuple[str, ...] = ()
    not_after: tuple[str, ...] = ()

    _list = field_validator("not_before", "not_after", mode="before")(as_list)

    def variable_inputs(self) -> Sequence[str]:
        treatment = (self.treatment,) if self.treatment else ()
        return (self.date, *treatment, *self.not_before, *self.not_after, *self.when)

    def apply(self, scope: Scope) -> Outcome:
        collected = scope.variable(self.date)
        imputed = dates.to_dates(text.map_text(collected, _first_day)).to_numpy()
        if self.treatment is not None:
            treated = scope.variable(self.treatment).to_numpy().astype("datetime64[s]")
            monthly = text.map_flag(collected, _monthly)
            same = np.where(
                monthly,
                imputed.astype("datetime64[M]") == treated.astype("datetime64[M]"),
                imputed.astype("datetime64[Y]") == treated.astype("datetime64[Y]"),
            )
            imputed = np.where(same & ~np.isnat(treated), treated, imputed)
        return Outcome(_within(scope, collected, imputed, self.not_before, self.not_after))


@register
class ImputeEnd(Derived):
    """The date of an end; a partial one ends with the last day of what is known of it.

    `impute_end: AE.AEENDTC, not_after: [DTHDT, DCUTDT]`. An imputed date is moved to the earliest of `not_after`, but
    never out of the month or year that was collected. A date without year stays missing.
    """

    word: ClassVar[str] = "impute_end"
    main: ClassVar[str] = "date"
    date: str
    not_after: tuple[str, ...] = ()

    _list = field_validator("not_after", mode="before")(as_list)

    def variable_inputs(self) -> Sequence[str]:
        return (self.date, *self.not_after, *self.when)

    def apply(self, scope: Scope) -> Outcome:
        collected = scope.variable(self.date)
        return Outcome(_within(scope, collected, _last_days(collected), (), self.not_after))


def _monthly(iso: str) -> bool:
    """Whether a date lacks no more than its day."""
    return len(iso) == 7 and "--" not in iso


def _first_day(iso: str) -> str | None:
    """The first day of what a partial date knows; an unknown month makes a known day useless, an unknown year all."""
    if iso.startswith("-") or dates.date_part(iso) is not None:
        return None
    return f"{iso}-01" if _monthly(iso) else f"{iso[:4]}-01-01"


def _last_days(collected: pd.Series) -> np.ndarray:
    """The last day of what each partial date knows."""
    first = dates.to_dates(text.map_text(collected, _first_day)).to_numpy()
    month = (first.astype("datetime64[M]") + 1).astype("datetime64[D]") - 1
    year = (first.astype("datetime64[Y]") + 1).astype("datetime64[D]") - 1
    return np.where(text.map_flag(collected, _monthly), month, year).astype("datetime64[s]")


def _within(
    scope: Scope, collected: pd.Series, imputed: np.ndarray, not_before: Sequence[str], not_after: Sequence[str]
) -> pd.Series:
    """Known dates, and imputed ones inside their bounds as far as what was collected of them allows."""
    known = dates.to_dates(collected).to_numpy()
    first = dates.to_dates(text.map_text(collected, _first_day)).to_numpy()
    for name in not_before:
        bound = scope.variable(name).to_numpy().astype("datetime64[s]")
        imputed = np.where(~np.isnat(bound) & (imputed < bound), bound, imputed)
    for name in not_after:
        bound = scope.variable(name).to_numpy().astype("datetime64[s]")
        imputed = np.where(~np.isnat(bound) & (imputed > bound), bound, imputed)
    imputed = np.clip(imputed, first, _last_days(collected))
    return pd.Series(np.where(np.isnat(known), imputed, known).astype("datetime64[s]"), index=scope.index)


@register
class DateImputed(Derived):
    """What was imputed of a date, by the collected text: `date_imputed: [ASTDT, AE.AESTDTC]` (DATEFL).

    `D` where the day was, `M` where the month was too.
    """

    word: ClassVar[str] = "date_imputed"
    main: ClassVar[str] = "inputs"
    inputs: tuple[str, str]

    def variable_inputs(self) -> Sequence[str]:
        return (*self.inputs, *self.when)

    def literal_terms(self) -> Sequence[str]:
        return ("D", "M")

    def apply(self, scope: Scope) -> Outcome:
        date, collected = (scope.variable(name) for name in self.inputs)
        there = date.notna().to_numpy()
        day = text.map_flag(collected, _monthly) & there
        month = text.map_flag(collected, lambda one: dates.date_part(one) is None and not _monthly(one)) & there
        return Outcome(text.column(np.where(day, 0, np.where(month, 1, -1)), ["D", "M"], scope.index))


@register
class ImputeTime(Derived):
    """A moment; without time of day that of `treatment` on its day, else the beginning of the day.

    `impute_time: AE.AESTDTC, date: ASTDT, treatment: TRTSDTM`: `date` is the day, imputed or not.
    """

    word: ClassVar[str] = "impute_time"
    main: ClassVar[str] = "moment"
    moment: str
    date: str
    treatment: str | None = None

    def variable_inputs(self) -> Sequence[str]:
        return (self.moment, self.date, *((self.treatment,) if self.treatment else ()), *self.when)

    def apply(self, scope: Scope) -> Outcome:
        known = dates.to_datetimes(scope.variable(self.moment)).to_numpy()
        guess = scope.variable(self.date).to_numpy().astype("datetime64[s]")
        if self.treatment is not None:
            treated = scope.variable(self.treatment).to_numpy().astype("datetime64[s]")
            same = treated.astype("datetime64[D]") == guess.astype("datetime64[D]")
            guess = np.where(same & ~np.isnat(treated), treated, guess)
        return Outcome(pd.Series(np.where(np.isnat(known), guess, known).astype("datetime64[s]"), index=scope.index))


@register
class TimeImputed(Derived):
    """`H` where a moment stands for a collected date without time: `time_imputed: [ASTDTM, AE.AESTDTC]` (TIMEFL)."""

    word: ClassVar[str] = "time_imputed"
    main: ClassVar[str] = "inputs"
    inputs: tuple[str, str]

    def variable_inputs(self) -> Sequence[str]:
        return (*self.inputs, *self.when)

    def literal_terms(self) -> Sequence[str]:
        return ("H",)

    def apply(self, scope: Scope) -> Outcome:
        moment, collected = (scope.variable(name) for name in self.inputs)
        untimed = text.map_flag(collected, lambda one: len(one) <= 10) & moment.notna().to_numpy()
        return Outcome(text.column(np.where(untimed, 0, -1), ["H"], scope.index))


@register
class MinutesBetween(Derived):
    """Minutes from one moment to another; missing without time of day: `minutes_between: [EX.EXSTDTC, EX.EXENDTC]`."""

    word: ClassVar[str] = "minutes_between"
    main: ClassVar[str] = "ends"
    ends: tuple[str, str]

    def variable_inputs(self) -> Sequence[str]:
        return (*self.ends, *self.when)

    def apply(self, scope: Scope) -> Outcome:
        start, end = (dates.seconds_of(_moments(scope.variable(name))) for name in self.ends)
        return Outcome(pd.Series((end - start) / 60, index=scope.index))


def _moments(values: pd.Series) -> pd.Series:
    return dates.to_datetimes(values) if isinstance(values.dtype, pd.CategoricalDtype) else values


@register
class MonthsBetween(Derived):
    """Calendar months from one date to another, days aside: `months_between: [last_drink, TRTSDT]`.

    Either may lack its day; missing where one has no month.
    """

    word: ClassVar[str] = "months_between"
    main: ClassVar[str] = "ends"
    ends: tuple[str, str]

    def variable_inputs(self) -> Sequence[str]:
        return (*self.ends, *self.when)

    def apply(self, scope: Scope) -> Outcome:
        start, end = (_months(scope.variable(name)) for name in self.ends)
        return Outcome(pd.Series(end - start, index=scope.index))


@register
class YearsBetween(MonthsBetween):
    """Whole years from one date to another by their months: `years_between: [DM.BRTHDTC, ADT]`."""

    word: ClassVar[str] = "years_between"

    def apply(self, scope: Scope) -> Outcome:
        return Outcome(np.floor(super().apply(scope).values / 12))


def _months(values: pd.Series) -> np.ndarray:
    """Months since the year 0 of dates or ISO texts."""
    if values.dtype.kind == "M":
        months = values.to_numpy().astype("datetime64[M]")
        return np.where(np.isnat(months), np.nan, months.astype(np.int64) + 1970 * 12 + 0.0)
    return text.map_number(
        values, lambda one: int(one[:4]) * 12 + int(one[5:7]) - 1 if len(one) >= 7 and one[4:7] != "---" else None
    ).to_numpy()


@register
class LatestOf(Derived):
    """The latest of several dates of the record, or what goes with it: `latest_of: [ADT, LTDT]`.

    With `take` the value of the variable listed in the same place: `latest_of: [bili_at, inr_at], take: [BILISEQ,
    INRSEQ]`; of equal ones the one listed first counts. With `all` missing where one of the dates is. A date without
    time stands for the beginning of its day.
    """

    word: ClassVar[str] = "latest_of"
    main: ClassVar[str] = "moments"
    moments: tuple[str, ...]
    take: tuple[str, ...] = ()
    all: bool = False

    @model_validator(mode="after")
    def _paired(self) -> LatestOf:
        if self.take and len(self.take) != len(self.moments):
            raise ValueError("`take` lists one variable for each date")
        return self

    def variable_inputs(self) -> Sequence[str]:
        return (*self.moments, *self.take, *self.when)

    def apply(self, scope: Scope) -> Outcome:
        seconds = np.stack([_first_seconds(scope.variable(name)) for name in self.moments])
        missing = np.isnan(seconds)
        none = missing.any(axis=0) if self.all else missing.all(axis=0)
        chosen = np.where(missing, -np.inf, seconds).argmax(axis=0)
        taken = [scope.variable(name) for name in self.take or self.moments]
        if isinstance(taken[0].dtype, pd.CategoricalDtype):
            joined = text.concat(taken)
            rows = np.where(none, -1, chosen * len(scope.index) + np.arange(len(scope.index)))
            return Outcome(take(joined, rows, scope.index))
        values = np.stack([one.to_numpy() for one in taken])[chosen, np.arange(len(scope.index))]
        return Outcome(pd.Series(values, index=scope.index).mask(none))


def _first_seconds(values: pd.Series) -> np.ndarray:
    if isinstance(values.dtype, pd.CategoricalDtype):
        return text.map_number(values, dates.first_second).to_numpy()
    return dates.seconds_of(values)
