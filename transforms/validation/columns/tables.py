"""Columns looked up in a table of the study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import cached_property
from typing import Any, ClassVar, Self

import pandas as pd
from pydantic import Field, model_validator

from transforms.core import numbers, text
from transforms.core.tables import Table
from transforms.validation.columns.base import Kind, Prepared, Scope

# How alike two spellings of one word are: `Anaemia` and `Anemia` (0.92), but not `Pyrexia` and `Anorexia` (0.67).
ALIKE = 0.85


class FromTable(Prepared):
    """Base of what stands in a table's column, found by the values of columns, and by fixed ones."""

    own_value: ClassVar[bool] = True
    table: str
    by: dict[str, str] = Field(min_length=1)
    fixed: dict[str, str] = {}
    found: Mapping[tuple[str, ...], Any] = Field(default={}, repr=False)

    @property
    def wanted(self) -> str:
        """The table's column."""
        return str(getattr(self, self.word))

    def inputs(self) -> Sequence[str]:
        """See the base."""
        return tuple(self.by.values())

    def column_fields(self) -> tuple[str, ...]:
        """See the base."""
        return ("by",)

    def taken(self, cell: str) -> Any:
        """What a cell of the table stands for; None for nothing."""
        raise NotImplementedError

    def resolved(self, table: Table) -> Self:
        """With what stands in the table."""
        keyed = table.keyed((*self.by, *self.fixed), self.wanted)
        taken = {key: self.taken(cell) for key, cell in keyed.items()}
        return self.model_copy(update={"found": {key: one for key, one in taken.items() if one is not None}})

    def find(self, *key: object) -> Any:
        """What stands in the row of a key."""
        return self.found.get((*("" if part is None else str(part) for part in key), *self.fixed.values()))


class Lookup(FromTable):
    """The number in a table's column found by the values of columns, and by fixed ones; missing without a row."""

    word: ClassVar[str] = "lookup"
    kind: ClassVar[Kind] = "number"
    lookup: str

    def taken(self, cell: str) -> float | None:
        """See the base."""
        return numbers.parse_number(cell)

    def values(self, scope: Scope) -> pd.Series:
        """See the class."""
        return text.map_rows_number([scope.column(name) for name in self.by.values()], self.find)


class Cell(FromTable):
    """The text in a table's column, found in the same way; a text of the specification, which a rule may tell.

    With `nearest` a key that no row has finds the row whose key is spelt most like it, whatever the case, if any is
    spelt alike.
    """

    word: ClassVar[str] = "cell"
    kind: ClassVar[Kind] = "text"
    cell: str
    nearest: bool = False

    @model_validator(mode="after")
    def _one_key(self) -> Self:
        if self.nearest and len(self.by) != 1:
            raise ValueError("nearest looks for the value of one column")
        return self

    def taken(self, cell: str) -> str | None:
        """See the base."""
        return cell or None

    def find(self, *key: object) -> Any:
        """See the base."""
        exact = super().find(*key)
        if exact is not None or not self.nearest or key[0] is None:
            return exact
        close = get_close_matches(str(key[0]).casefold(), self.spelt, 1, ALIKE)
        return self.spelt[close[0]] if close else None

    @cached_property
    def spelt(self) -> Mapping[str, str]:
        """What stands in the rows that the fixed values leave, by the value looked for without its case."""
        return {own.casefold(): one for (own, *rest), one in self.found.items() if rest == [*self.fixed.values()]}

    def values(self, scope: Scope) -> pd.Series:
        """See the class."""
        return text.map_rows([scope.column(name) for name in self.by.values()], self.find)
