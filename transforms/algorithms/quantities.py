"""Algorithms on numbers: arithmetic, bands, limits of a result, doses, sizes of groups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from transforms.algorithms.base import Outcome, Scope, register
from transforms.algorithms.values import Compared, Derived
from transforms.core import conditions, dates, numbers, text
from transforms.core.conditions import Test


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
class Absolute(Derived):
    """The size of a number without its sign: `absolute: CHG`."""

    word: ClassVar[str] = "absolute"
    main: ClassVar[str] = "source"
    source: str

    def variable_inputs(self) -> Sequence[str]:
        return (self.source, *self.when)

    def apply(self, scope: Scope) -> Outcome:
        return Outcome(scope.variable(self.source).abs())


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


class Folded(Derived):
    """Base of arithmetic over several variables and numbers; missing where one of them is."""

    main: ClassVar[str] = "inputs"
    inputs: tuple[str | float, ...] = Field(min_length=2)

    def variable_inputs(self) -> Sequence[str]:
        return (*(one for one in self.inputs if isinstance(one, str)), *self.when)

    def _terms(self, scope: Scope) -> list[np.ndarray]:
        return [
            scope.variable(one).to_numpy() if isinstance(one, str) else np.full(len(scope.index), float(one))
            for one in self.inputs
        ]


@register
class Sum(Folded):
    """The sum of variables and numbers of the record: `sum: [TRTDURD, 27]`."""

    word: ClassVar[str] = "sum"

    def apply(self, scope: Scope) -> Outcome:
        return Outcome(pd.Series(np.sum(self._terms(scope), axis=0), index=scope.index))


@register
class Product(Folded):
    """The product of variables and numbers of the record: `product: [daily_dose, 28]`."""

    word: ClassVar[str] = "product"

    def apply(self, scope: Scope) -> Outcome:
        return Outcome(pd.Series(np.prod(self._terms(scope), axis=0), index=scope.index))


@register
class FlagAbove(Compared):
    """`Y` where one number is above another, at 12 significant digits: `flag_above: [grade, baseline_grade]`."""

    word: ClassVar[str] = "flag_above"

    def _holds(self, left: pd.Series, right: pd.Series) -> np.ndarray:
        holds: np.ndarray = numbers.round_significant(left.to_numpy()) > numbers.round_significant(right.to_numpy())
        return holds


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
        codes, columns = groups.array.codes, parts.array.codes
        counts = np.zeros((len(groups.cat.categories) + 1, len(parts.cat.categories) + 1), dtype=np.int64)
        np.add.at(counts, (codes, columns), 1)
        used = counts[:, :-1].sum(axis=0) > 0
        small: np.ndarray = np.any(counts[:-1, :-1][:, used] < self.fewer_than, axis=1)
        named = [self.pooled if tiny else name for name, tiny in zip(text.texts_of(groups), small, strict=True)]
        return Outcome(text.column(codes, named, scope.index))


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
