"""Algorithms that place a record among those of its subject: windows, baselines, flags on one of a group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import pandas as pd
from pydantic import Field, field_validator

from transforms.algorithms.base import Link, Outcome, Problem, Scope, as_list, fold, register
from transforms.algorithms.values import Compared, Derived
from transforms.core import conditions, text
from transforms.core.columns import sort_key, take
from transforms.findings import Severity


@register
class FlagEqual(Compared):
    """`Y` where two texts are the same, blanks folded and case ignored: `flag_equal: [LB.VISIT, AVISIT]`."""

    word: ClassVar[str] = "flag_equal"

    def _holds(self, left: pd.Series, right: pd.Series) -> np.ndarray:
        texts = {fold(one): code for code, one in enumerate(text.texts_of(left))}
        own = np.array([*(texts[fold(one)] for one in text.texts_of(left)), -1], dtype=np.int64)
        other = np.array([*(texts.get(fold(one), -2) for one in text.texts_of(right)), -2], dtype=np.int64)
        holds: np.ndarray = own[left.array.codes] == other[right.array.codes]
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

    _list = field_validator("order", "by", mode="before")(as_list)

    def variable_inputs(self) -> Sequence[str]:
        return (*(name.removeprefix("-") for name in self.order), *self.by, *self.when)

    def literal_terms(self) -> Sequence[str]:
        return (self.flag,)

    def apply(self, scope: Scope) -> Outcome:
        candidates = np.flatnonzero(conditions.rows(self.when, scope.variable, scope.index))
        groups = text.combination_codes([scope.variable(name).iloc[candidates] for name in self.by])
        keys = [
            sort_key(
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
