"""Columns prepared by arithmetic on numbers of the same row, and by how far they lie from limits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import pandas as pd
from pydantic import Field

from transforms.core import numbers
from transforms.validation.columns.base import Kind, Operand, Prepared, Scope


class Rounded(Prepared):
    """A number to some significant digits, so that two writings of one number compare equal."""

    word: ClassVar[str] = "rounded"
    takes: ClassVar[Kind | None] = "number"
    rounded: str
    digits: int = Field(default=12, ge=1, le=15)

    def inputs(self) -> Sequence[str]:
        """See the base."""
        return (self.rounded,)

    def values(self, scope: Scope) -> pd.Series:
        """See the class."""
        values = scope.number(self.rounded)
        return pd.Series(numbers.round_significant(values.to_numpy(), self.digits), index=values.index)


class _Arithmetic(Prepared):
    takes: ClassVar[Kind | None] = "number"

    def inputs(self) -> Sequence[str]:
        return tuple(one for one in getattr(self, self.word) if isinstance(one, str))

    def operands(self, scope: Scope) -> list[np.ndarray]:
        """The operands, a number being the same on every row."""
        return [
            scope.number(one).to_numpy() if isinstance(one, str) else np.full(len(scope.index), float(one))
            for one in getattr(self, self.word)
        ]


class Sum(_Arithmetic):
    """The sum of columns and numbers; missing where one is missing."""

    word: ClassVar[str] = "sum"
    sum: tuple[Operand, ...] = Field(min_length=2)

    def values(self, scope: Scope) -> pd.Series:
        """See the class."""
        return pd.Series(np.add.reduce(self.operands(scope)), index=scope.index)


class Difference(_Arithmetic):
    """The first minus the second."""

    word: ClassVar[str] = "difference"
    difference: tuple[Operand, Operand]

    def values(self, scope: Scope) -> pd.Series:
        """See the class."""
        first, second = self.operands(scope)
        return pd.Series(first - second, index=scope.index)


class Product(_Arithmetic):
    """The product of columns and numbers."""

    word: ClassVar[str] = "product"
    product: tuple[Operand, ...] = Field(min_length=2)

    def values(self, scope: Scope) -> pd.Series:
        """See the class."""
        return pd.Series(np.multiply.reduce(self.operands(scope)), index=scope.index)


class Quotient(_Arithmetic):
    """The first over the second; missing where the second is 0."""

    word: ClassVar[str] = "quotient"
    quotient: tuple[Operand, Operand]

    def values(self, scope: Scope) -> pd.Series:
        """See the class."""
        first, second = self.operands(scope)
        result = np.full(len(first), np.nan)
        np.divide(first, second, out=result, where=second != 0)
        return pd.Series(result, index=scope.index)


class Spread(_Arithmetic):
    """How far apart the greatest and the least of some numbers lie; missing where fewer than two are there."""

    word: ClassVar[str] = "spread"
    spread: tuple[Operand, ...] = Field(min_length=2)

    def values(self, scope: Scope) -> pd.Series:
        """See the class."""
        operands = np.array(self.operands(scope))
        apart = np.fmax.reduce(operands) - np.fmin.reduce(operands)
        return pd.Series(np.where((~np.isnan(operands)).sum(axis=0) < 2, np.nan, apart), index=scope.index)


class Absolute(_Arithmetic):
    """The size of a number without its sign."""

    word: ClassVar[str] = "absolute"
    absolute: str

    def inputs(self) -> Sequence[str]:
        """See the base."""
        return (self.absolute,)

    def values(self, scope: Scope) -> pd.Series:
        """See the class."""
        return scope.number(self.absolute).abs()


class Least(_Arithmetic):
    """The least of some numbers, those missing left out; missing where all are."""

    word: ClassVar[str] = "least"
    least: tuple[Operand, ...] = Field(min_length=2)

    def values(self, scope: Scope) -> pd.Series:
        """See the class."""
        return pd.Series(np.fmin.reduce(self.operands(scope)), index=scope.index)


class _Limits(Prepared):
    takes: ClassVar[Kind | None] = "number"
    low: Operand | None = None
    high: Operand | None = None

    def inputs(self) -> Sequence[str]:
        return tuple(one for one in (getattr(self, self.word), self.low, self.high) if isinstance(one, str))

    def column_fields(self) -> tuple[str, ...]:
        """See the base."""
        return (self.word, "low", "high")

    def margins(self, scope: Scope) -> tuple[np.ndarray, np.ndarray]:
        """The number, and how far it lies inside its limits."""

        def limit(one: Operand | None) -> np.ndarray:
            if isinstance(one, str):
                return scope.number(one).to_numpy()
            return np.full(len(scope.index), np.nan if one is None else float(one))

        value = scope.number(getattr(self, self.word)).to_numpy()
        return value, np.fmin(value - limit(self.low), limit(self.high) - value)


class Margin(_Limits):
    """How far a number lies inside its limits: 0 on a limit, negative outside; a missing limit does not limit.

    With `low` and `high` joined from a table, one expectation (at least 0) serves every analyte.
    """

    word: ClassVar[str] = "margin"
    margin: str

    def values(self, scope: Scope) -> pd.Series:
        """See the class."""
        return pd.Series(self.margins(scope)[1], index=scope.index)


class Inside(_Limits):
    """A number where it lies inside its limits, missing elsewhere: what another rule says already is left to it."""

    word: ClassVar[str] = "inside"
    inside: str

    def values(self, scope: Scope) -> pd.Series:
        """See the class."""
        value, margin = self.margins(scope)
        return pd.Series(np.where(margin < 0, np.nan, value), index=scope.index)
