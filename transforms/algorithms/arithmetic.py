"""Algorithms that calculate with one number of the record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from transforms.algorithms.base import Outcome, Scope, register
from transforms.algorithms.values import Derived


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
class Scaled(Derived):
    """A number times a fixed factor: `scaled: range_width, factor: 0.5`."""

    word: ClassVar[str] = "scaled"
    main: ClassVar[str] = "source"
    source: str
    factor: float

    def variable_inputs(self) -> Sequence[str]:
        return (self.source, *self.when)

    def apply(self, scope: Scope) -> Outcome:
        return Outcome(scope.variable(self.source) * self.factor)
