"""Columns computed as published: clinical scores and CTCAE grades."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from inspect import signature
from typing import ClassVar, Literal

import pandas as pd
from pydantic import Field, model_validator

from transforms.clinical import albi, ctcae, meld
from transforms.validation.columns.base import Kind, OneText, Operand, Prepared, Scope

SCORES: Mapping[str, Callable[..., pd.Series]] = {
    "meld_i": meld.compute_meld_i,
    "meld_etiology": meld.compute_meld_etiology,
    "meld_na": meld.compute_meld_na,
    "albi": albi.compute_albi,
}


class Score(Prepared):
    """A published score by its name (`transforms.clinical`), of columns and numbers in the units it names."""

    word: ClassVar[str] = "score"
    takes: ClassVar[Kind | None] = "number"
    score: str
    of: dict[str, Operand] = Field(min_length=1)

    @model_validator(mode="after")
    def _known(self) -> Score:
        if self.score not in SCORES:
            raise ValueError(f"unknown score {self.score!r}; known: {', '.join(sorted(SCORES))}")
        needed = {name for name, one in signature(SCORES[self.score]).parameters.items() if one.default is one.empty}
        if needed != set(self.of):
            raise ValueError(f"{self.score} is computed of {', '.join(sorted(needed))}")
        return self

    def inputs(self) -> Sequence[str]:
        """See the base."""
        return tuple(one for one in self.of.values() if isinstance(one, str))

    def column_fields(self) -> tuple[str, ...]:
        """See the base."""
        return ("of",)

    def values(self, scope: Scope) -> pd.Series:
        """See the class."""
        operands = {
            name: scope.number(one) if isinstance(one, str) else pd.Series(float(one), index=scope.index)
            for name, one in self.of.items()
        }
        return SCORES[self.score](**operands)


class Toxicity(Prepared):
    """CTCAE v5.0 grade of a result in the `direction` L or H; missing where there is no term or no grade can be told.

    `unit` is that of the value, both limits and the baseline. In one that the term does not list no grade can be told.
    """

    word: ClassVar[str] = "toxicity"
    takes: ClassVar[Kind | None] = None
    toxicity: str
    test: str
    unit: str
    low: str
    high: str
    baseline: str
    direction: Literal["L", "H"]

    def inputs(self) -> Sequence[str]:
        """See the base."""
        return tuple(getattr(self, name) for name in self.column_fields())

    def column_fields(self) -> tuple[str, ...]:
        """See the base."""
        return ("toxicity", "test", "unit", "low", "high", "baseline")

    def values(self, scope: Scope) -> pd.Series:
        """See the class."""
        before, high = scope.number(self.baseline), scope.number(self.high)
        term = ctcae.compute_toxicity_terms(test_code=scope.column(self.test), direction=self.direction)
        unit = scope.column(self.unit)
        return ctcae.compute_toxicity_grades(
            term=term,
            value=scope.number(self.toxicity).where(ctcae.is_unit_listed(term=term, unit=unit)),
            unit=unit,
            lln=scope.number(self.low),
            uln=high,
            baseline=before,
            baseline_high=(before > high).where(before.notna() & high.notna()).astype(float),
        )


class ToxicityTerm(OneText):
    """The CTCAE v5.0 term that grades low (`direction` L) or high (H) results of an LBTESTCD."""

    word: ClassVar[str] = "toxicity_term"
    kind: ClassVar[Kind] = "text"
    toxicity_term: str
    direction: Literal["L", "H"]

    def values(self, scope: Scope) -> pd.Series:
        """See the class."""
        return ctcae.compute_toxicity_terms(test_code=scope.column(self.toxicity_term), direction=self.direction)
