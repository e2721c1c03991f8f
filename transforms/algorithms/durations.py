"""Algorithms on dates: durations, order in time, partial dates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import pandas as pd

from transforms.algorithms.base import Outcome, Problem, Scope, register
from transforms.algorithms.values import Compared, Derived
from transforms.core import dates, text
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
