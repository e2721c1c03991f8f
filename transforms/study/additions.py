"""The written form of records that are added to an analysis dataset when its variables are filled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field, field_validator

from transforms.algorithms.base import as_list
from transforms.core.conditions import Test
from transforms.study.models import Rule


class Added(Rule):
    """Base of added records: those that `where` says are looked at, and `set` writes texts and numbers.

    `title` is what the records are. What a rule gives an added record is never derived; what depends on it is derived
    again for the added records.
    """

    title: ClassVar[str]
    where: dict[str, Test] = Field(min_length=1)
    set: dict[str, str] = {}

    @field_validator("set", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return {
            key: str(item) if isinstance(item, int | float) and not isinstance(item, bool) else item
            for key, item in value.items()
        }

    def given(self) -> tuple[str, ...]:
        """The variables that the addition writes."""
        return tuple(self.set)

    def reads(self) -> tuple[str, ...]:
        """The variables that decide which records are added."""
        return tuple(self.where)

    def says(self, name: str) -> str:
        """One line for people: what the addition gives a variable."""
        value = f" {self.set[name]}" if name in self.set else ""
        return f"{self.title}{value} under the rule {self.rule}: {self.why}"

    def inputs(self, name: str) -> Sequence[str]:
        """What the value of a variable is taken from."""
        return () if name in self.set else (name,)


class CarriedForward(Added):
    """Records for the windows in which a group has no analysed record: the last analysed values, carried forward.

    `window` is the variable that names each record's window; its rule, `in_window`, says which windows there are.
    A window is empty where no record that meets `where` has the `flag`. The record added to it is a copy of the
    group's last record before the window, by the day that decides the window; `values` come from the last flagged
    record before it. A window with nothing before it stays empty.
    """

    title: ClassVar[str] = "carried forward"
    by: tuple[str, ...] = Field(min_length=1)
    window: str
    values: tuple[str, ...] = ("AVAL",)
    flag: str = "ANL01FL"

    _list = field_validator("by", "values", mode="before")(as_list)

    def given(self) -> tuple[str, ...]:
        """See the base."""
        return tuple(dict.fromkeys((*self.values, self.window, self.flag, *self.set)))

    def reads(self) -> tuple[str, ...]:
        """See the base."""
        return tuple(dict.fromkeys((*self.where, *self.by, self.window, self.flag)))

    def inputs(self, name: str) -> Sequence[str]:
        """See the base."""
        return (name,) if name in self.values else ()


class Average(Added):
    """One record for each group: the mean of `of` over the group's records that meet `where`, missing values left out.

    The record has the variables of `by`, those taken from its subject, what `set` writes, and what depends on them;
    the others are missing.
    """

    title: ClassVar[str] = "average"
    of: str = "AVAL"
    by: tuple[str, ...] = Field(min_length=1)

    _list = field_validator("by", mode="before")(as_list)

    def given(self) -> tuple[str, ...]:
        """See the base."""
        return tuple(dict.fromkeys((self.of, *self.set)))

    def reads(self) -> tuple[str, ...]:
        """See the base."""
        return tuple(dict.fromkeys((*self.where, *self.by, self.of)))
