"""Algorithms that read the records of a group one after another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from pydantic import Field, field_validator

from transforms.algorithms.base import Link, Outcome, Scope, as_list, register
from transforms.algorithms.values import Derived
from transforms.core import conditions, text
from transforms.core.columns import sort_key, take


@register
class PreviousValue(Derived):
    """The value in the record before, in a group: `previous_value: AVAL, by: [USUBJID, PARAMCD], order: [VISITNUM]`.

    `when` limits the records that follow one another; elsewhere, and in the first of a group, the value is missing.
    A missing value of the record before stays missing: no earlier one stands in for it. A missing `order` comes
    last, and records equal in all of it follow one another in the dataset's own order.
    """

    word: ClassVar[str] = "previous_value"
    main: ClassVar[str] = "source"
    source: str
    by: tuple[str, ...] = Field(min_length=1)
    order: tuple[str, ...] = Field(min_length=1)

    _list = field_validator("by", "order", mode="before")(as_list)

    def variable_inputs(self) -> Sequence[str]:
        return (self.source, *self.by, *self.order, *self.when)

    def apply(self, scope: Scope) -> Outcome:
        follow = np.flatnonzero(conditions.rows(self.when, scope.variable, scope.index))
        groups = text.combination_codes([scope.variable(name).iloc[follow] for name in self.by])
        keys = [sort_key(scope.variable(name).iloc[follow], descending=False) for name in reversed(self.order)]
        order = np.lexsort((follow, *keys, groups))
        before = np.full(len(scope.index), -1, dtype=np.int64)
        same = groups[order][1:] == groups[order][:-1]
        before[follow[order][1:][same]] = follow[order][:-1][same]
        return Outcome(take(scope.variable(self.source), before, scope.index), links=(Link("", before, self.source),))
