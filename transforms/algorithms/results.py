"""Algorithms of results: units, standard units, reference ranges, totals of instruments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import pandas as pd

from transforms.algorithms.base import Outcome, Problem, Scope, register
from transforms.algorithms.values import Derived
from transforms.core import numbers, text
from transforms.findings import Severity


@register
class UnitByRange(Derived):
    """The unit of a result that came without one, by a range rule on its number.

    `unit_by_range: VSORRES, table: vs_units, by: VSTESTCD`: the table has the columns named in `by`, `LOW`
    (inclusive, may be empty), `HIGH` (exclusive, may be empty), and `UNIT`. Each test resolved so is an
    answerable finding; a number outside every range is held.
    """

    word: ClassVar[str] = "unit_by_range"
    may_hold: ClassVar[bool] = True
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
                present & resolved & (tests.array.codes == code),
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

    may_hold: ClassVar[bool] = True
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
