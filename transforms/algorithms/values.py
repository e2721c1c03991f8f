"""Algorithms that take, look up, choose or divide what other variables hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, field_validator, model_validator

from transforms.algorithms.base import Algorithm, Link, Outcome, Scope, register
from transforms.algorithms.collected import TableLookup, typed
from transforms.core import conditions, dates, numbers, text
from transforms.core.conditions import Test


class Derived(Algorithm):
    """Base of the algorithms that read variables; `when` is on variables of the same record."""

    derived: ClassVar[bool] = True


@register
class Copy(Derived):
    """Another variable of the record: `copy: SVSTDTC`."""

    word: ClassVar[str] = "copy"
    may_hold: ClassVar[bool] = True
    main: ClassVar[str] = "source"
    source: str

    def variable_inputs(self) -> Sequence[str]:
        return (self.source, *self.when)

    def apply(self, scope: Scope) -> Outcome:
        values = scope.variable(self.source)
        if isinstance(values.dtype, pd.CategoricalDtype):
            return typed(values, scope)
        if scope.target.is_number or values.dtype.kind == "M":
            return Outcome(values)
        return Outcome(text.map_rows([values], lambda value: None if value is None else numbers.number_text(value)))


@register
class OfSubject(Derived):
    """A variable of the record's subject: `of_subject: DM.ARMCD`, in an analysis dataset also `ADSL.TRTSDT`."""

    word: ClassVar[str] = "of_subject"
    main: ClassVar[str] = "source"
    source: str

    def variable_inputs(self) -> Sequence[str]:
        return (self.source, *self.when)

    def apply(self, scope: Scope) -> Outcome:
        dataset, variable = self.source.split(".")
        return Outcome(scope.by_subject(self.source), links=(Link(dataset, scope.subject_records(dataset), variable),))


@register
class Lookup(TableLookup):
    """By variables: `lookup: LBTEST, table: lab_tests, by: {LBTESTCD: LBTESTCD}`."""

    word: ClassVar[str] = "lookup"
    may_hold: ClassVar[bool] = True
    derived: ClassVar[bool] = True

    def variable_inputs(self) -> Sequence[str]:
        return (*self.by.values(), *self.when)

    def apply(self, scope: Scope) -> Outcome:
        return self.look_up([scope.variable(name) for name in self.by.values()], scope)


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
        if any(values.dtype.kind == "M" for _, values in parts):
            return Outcome(_moments(parts, scope.index))
        codes = np.full(len(scope.index), -1, dtype=np.int64)
        texts: list[str] = []
        for here, values in parts:
            own = values.array.codes.astype(np.int64)
            codes = np.where(here, np.where(own >= 0, own + len(texts), -1), codes)
            texts.extend(text.texts_of(values))
        return Outcome(text.column(codes, texts, scope.index))

    @staticmethod
    def _reader(scope: Scope):  # type: ignore[no-untyped-def]
        return lambda name: scope.by_subject(name) if name.startswith("DM.") else scope.variable(name)


def _moments(parts: Sequence[tuple[np.ndarray, pd.Series]], index: pd.Index) -> pd.Series:
    """The parts of a choice between dates; ISO texts among them are read as dates."""
    result = np.full(len(index), np.datetime64("NaT"), dtype="datetime64[s]")
    for here, values in parts:
        moments = dates.to_dates(values) if isinstance(values.dtype, pd.CategoricalDtype) else values
        result[here] = moments.to_numpy()[here]
    return pd.Series(result, index=index)


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
        above, below = (scope.variable(name).to_numpy() for name in self.inputs)
        with np.errstate(divide="ignore", invalid="ignore"):
            result = np.where(below == 0, np.nan, above / below)
        values = pd.Series(result, index=scope.index)
        return Outcome(values if self.decimals is None else numbers.round_column(values, self.decimals))


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
