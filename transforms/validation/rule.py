"""One rule: what must hold, for which rows, and what people are told where it does not."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from transforms.core.conditions import Test
from transforms.findings import Severity
from transforms.validation import columns as prepared
from transforms.validation.columns.base import Prepared
from transforms.validation.expectations import KNOWN


class Rule(BaseModel):
    """One rule: what must hold, for which rows, and what people are told where it does not.

    `expectation` and `kwargs` are Great Expectations'; columns named there are the frame's own or those that
    `columns` prepares. Only rows on which `where` holds are checked. `per` splits what is found: one cause for each
    combination of values of these columns. `tell` names a prepared `cell` or PARAMCD, whose text, which is the
    specification's and no one's data, ends the message; each text is a finding of its own. `hold` keeps a staged row
    back (then `releasable` says whether a person may let it through); `finding` only says it. `tells` names rules, also
    the engine's, whose findings say nothing new on lines that a finding of this rule has; `gathers` those, split by the
    same columns, whose findings of one cause are part of the finding of this rule, and the rule itself where it speaks
    of several datasets. `lenient` marks a rule for a class of ADaM datasets, or one that follows from the
    specification: it is left out where the dataset has not all its columns.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, defer_build=True)

    id: str = Field(pattern=r"^[a-z][a-z0-9_]*(\.[a-z0-9_]+)+$")
    severity: Severity
    message: str = Field(min_length=1)
    remedy: str = Field(min_length=1)
    why: str = Field(min_length=1)
    cause: str = Field(min_length=1)
    who: str = Field(min_length=1)
    expectation: str
    kwargs: dict[str, Any] = {}
    columns: dict[str, Prepared] = {}
    where: dict[str, Test] = {}
    per: tuple[str, ...] = ()
    tell: str = ""
    variable: str = ""
    action: Literal["finding", "hold"] = "finding"
    releasable: bool = False
    tells: tuple[str, ...] = ()
    gathers: tuple[str, ...] = ()
    lenient: bool = False

    @model_validator(mode="before")
    @classmethod
    def _expect(cls, value: Any) -> Any:
        if not isinstance(value, Mapping) or "expect" not in value:
            return value
        expect = value["expect"]
        if not isinstance(expect, Mapping) or len(expect) != 1:
            raise ValueError("expect names one expectation with its keyword arguments")
        ((name, kwargs),) = expect.items()
        rest = {key: item for key, item in value.items() if key != "expect"}
        return {**rest, "expectation": name, "kwargs": kwargs if kwargs is not None else {}}

    @field_validator("columns", mode="before")
    @classmethod
    def _prepared(cls, value: Any) -> Any:
        return {name: prepared.parse(item) for name, item in value.items()} if isinstance(value, Mapping) else value

    @model_validator(mode="after")
    def _expectation_known(self) -> Rule:
        known = KNOWN.get(self.expectation)
        if known is None:
            close = get_close_matches(self.expectation, KNOWN, 1, 0.6)
            hint = f"did you mean {close[0]}" if close else f"known: {', '.join(sorted(KNOWN))}"
            raise ValueError(f"unknown expectation {self.expectation!r}; {hint}")
        problems = [f"takes no {key!r}" for key in self.kwargs if key not in known.options]
        problems += [f"needs {key!r}" for key in (*known.columns, *known.required) if key not in self.kwargs]
        if known.nulls and self.kwargs.get("ignore_row_if") not in known.nulls:
            problems.append(f"needs ignore_row_if: {' or '.join(known.nulls)}")
        if "min_value" in known.optional and not {"min_value", "max_value"} & self.kwargs.keys():
            problems.append("needs min_value or max_value")
        if problems:
            raise ValueError(f"{self.expectation} {', '.join(problems)}")
        for key in known.columns:
            names = self.kwargs[key]
            if not (isinstance(names, str) if key != "column_list" else isinstance(names, list | tuple)):
                raise ValueError(f"{key} must name {'columns' if key == 'column_list' else 'a column'}")
        if "regex" in self.kwargs:
            try:
                re.compile(self.kwargs["regex"])
            except (re.error, TypeError) as error:
                raise ValueError(f"regex cannot be read: {error}") from error
        return self

    @model_validator(mode="after")
    def _action(self) -> Rule:
        if self.action == "hold" and self.severity is not Severity.CRITICAL:
            raise ValueError("a rule that holds rows is critical")
        if self.releasable and self.action != "hold":
            raise ValueError("only a rule that holds rows is releasable")
        return self

    @property
    def checked(self) -> tuple[str, ...]:
        """The columns that the expectation looks at."""
        result: list[str] = []
        for key in KNOWN[self.expectation].columns:
            value = self.kwargs[key]
            result.extend([value] if isinstance(value, str) else value)
        return tuple(result)

    def read(self) -> tuple[str, ...]:
        """Every column of the frame that the rule reads."""
        used = [*self.checked, *self.where, *self.split]
        for one in self.columns.values():
            used.extend(one.inputs())
        return tuple(dict.fromkeys(name for name in used if name not in self.columns))

    @property
    def split(self) -> tuple[str, ...]:
        """The columns whose combinations are findings of their own; what is told stands last."""
        return (*self.per, self.tell) if self.tell else self.per

    @property
    def said(self) -> str:
        """The variable a finding names: as written, else the frame's columns behind what is checked."""
        if self.variable:
            return self.variable
        names: list[str] = []
        todo = list(self.checked)
        while todo:
            name = todo.pop(0)
            if name in self.columns:
                todo[:0] = self.columns[name].inputs()
            else:
                names.append(name)
        return ", ".join(dict.fromkeys(names))
