"""Conditions of a specification: which rows a record, a variable or a rule is for.

Written as data, for example `{OTHERSP: {present: true}, FORM: [DISC1, DISC2]}`: all entries must hold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, model_validator

from transforms.core import numbers, text


class Test(BaseModel):
    """One entry of a condition; a bare text or list is short for `equals` or `in`."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)
    __test__ = False

    one_of: tuple[str, ...] | None = None
    none_of: tuple[str, ...] | None = None
    present: bool | None = None
    above: float | None = None
    at_least: float | None = None
    below: float | None = None
    at_most: float | None = None

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, value: Any) -> Any:
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            return {"one_of": [str(value)]}
        if isinstance(value, list):
            return {"one_of": [str(item) for item in value]}
        if isinstance(value, Mapping):
            renamed = {"equals": "one_of", "in": "one_of", "not_equals": "none_of", "not_in": "none_of"}
            result: dict[str, Any] = {}
            for key, item in value.items():
                name = str(renamed.get(key, key))
                if name in {"one_of", "none_of"}:
                    item = [str(one) for one in (item if isinstance(item, list) else [item])]
                result[name] = item
            return result
        return value

    @model_validator(mode="after")
    def _one_question(self) -> Test:
        if sum(part is not None for part in (self.one_of, self.none_of, self.present, *self._bounds())) != 1:
            raise ValueError(
                "say exactly one of: a value, a list, {not_equals: ...}, {not_in: [...]}, {present: ...}, "
                "{above: ...}, {at_least: ...}, {below: ...}, {at_most: ...}"
            )
        return self

    def _bounds(self) -> tuple[float | None, ...]:
        return self.above, self.at_least, self.below, self.at_most

    def says(self) -> str:
        """The test in words."""
        if self.present is not None:
            return "is present" if self.present else "is missing"
        for words, bound in zip(("above", "at least", "below", "at most"), self._bounds(), strict=True):
            if bound is not None:
                return f"is {words} {bound:g}"
        values = " or ".join(self.one_of or self.none_of or ())
        return f"is {values}" if self.one_of is not None else f"is not {values}"

    def holds(self, values: pd.Series) -> np.ndarray:
        """True for the rows that pass; a missing value passes `none_of` and `present: false` only.

        Bounds compare numbers; a text that is no plain number passes none.
        """
        here = values.notna().to_numpy()
        if self.present is not None:
            return here if self.present else ~here
        if any(bound is not None for bound in self._bounds()):
            return self._within(values)
        wanted = set(self.one_of or self.none_of or ())
        if isinstance(values.dtype, pd.CategoricalDtype):
            inside = text.map_flag(values, lambda value: value in wanted)
        else:
            inside = values.isin([float(value) for value in wanted]).to_numpy()
        return inside if self.one_of is not None else ~inside

    def _within(self, values: pd.Series) -> np.ndarray:
        text_values = isinstance(values.dtype, pd.CategoricalDtype)
        plain = (text.map_number(values, numbers.parse_number) if text_values else values).to_numpy()
        result: np.ndarray
        if self.above is not None:
            result = plain > self.above
        elif self.at_least is not None:
            result = plain >= self.at_least
        elif self.below is not None:
            result = plain < self.below
        else:
            result = plain <= (self.at_most if self.at_most is not None else np.nan)
        return result


Condition = Mapping[str, Test]


def rows(condition: Condition, values: Callable[[str], pd.Series], index: pd.Index) -> np.ndarray:
    """True for each row on which every test of the condition holds; `values` gives a named column."""
    result = np.ones(len(index), dtype=bool)
    for name, test in condition.items():
        result &= test.holds(values(name))
    return result
