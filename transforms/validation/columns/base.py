"""What every prepared column is, and what it may see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Protocol

import pandas as pd
from pydantic import BaseModel, ConfigDict

Kind = Literal["text", "number"]
Operand = str | float | int


class Scope(Protocol):
    """What a prepared column may see."""

    @property
    def index(self) -> pd.Index:
        """The row index of the frame."""

    def column(self, name: str) -> pd.Series:
        """A column of the frame, or one prepared before."""

    def number(self, name: str) -> pd.Series:
        """A column as numbers; a text column must be one that its contract reads as numbers."""

    def names(self) -> Sequence[str]:
        """The columns of the frame."""

    def frame(self, name: str) -> Frame:
        """Another frame that is checked with this one."""

    def datasets(self) -> Sequence[str]:
        """The names of all frames that are checked together."""

    @property
    def cut_off(self) -> str:
        """The data cut-off as an ISO 8601 date, or nothing."""


class Frame(Protocol):
    """A data frame, or what reads its columns when they are asked for."""

    @property
    def columns(self) -> Any:
        """The names of its columns."""

    @property
    def index(self) -> Any:
        """Its row index."""

    def __getitem__(self, name: Any, /) -> Any: ...

    def __contains__(self, name: Any, /) -> bool: ...

    def __len__(self) -> int: ...


class Prepared(BaseModel):
    """Base of all prepared columns: `word` names it, `kind` says what it holds.

    `own_value` says that the values of its inputs decide; others look at more rows or columns.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, defer_build=True)

    word: ClassVar[str]
    kind: ClassVar[Kind] = "number"
    takes: ClassVar[Kind | None] = None
    own_value: ClassVar[bool] = True

    def inputs(self) -> Sequence[str]:
        """Columns it reads."""
        raise NotImplementedError

    def others(self) -> Mapping[str, Sequence[str]]:
        """Other frames it reads, with the columns it needs there."""
        return {}

    def values(self, scope: Scope) -> pd.Series:
        """The column, on the index of the frame."""
        raise NotImplementedError

    def renamed(self, names: Mapping[str, str]) -> Prepared:
        """The same with other column names."""
        return type(self).model_validate(_renamed(self.model_dump(), names, self.column_fields()))

    def column_fields(self) -> tuple[str, ...]:
        """Fields that hold column names."""
        return (self.word,)


class OneText(Prepared):
    """Base of what is prepared of one text column, which its word names."""

    takes: ClassVar[Kind | None] = "text"

    def inputs(self) -> Sequence[str]:
        """See the base."""
        return (str(getattr(self, self.word)),)


def _renamed(written: Mapping[str, Any], names: Mapping[str, str], fields: tuple[str, ...]) -> dict[str, Any]:
    def one(value: Any) -> Any:
        if isinstance(value, str):
            return names.get(value, value)
        if isinstance(value, Mapping):
            return {key: one(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [one(item) for item in value]
        return value

    return {key: one(value) if key in fields else value for key, value in written.items()}
