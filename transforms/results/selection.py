"""Which records of an analysis dataset a result was computed from, as data and as one SQL condition.

A selection names a dataset, tests on its variables, and other selections whose subjects its records must be of, or
must not be of. It is written beside every result, so that whoever has the datasets can find the same records.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from transforms.core import text
from transforms.core.conditions import Test
from transforms.core.numbers import number_text

SUBJECT = "USUBJID"
PLAIN = r"^\s*[+-]?(\d+(\.\d*)?|\.\d+)\s*$"
Frames = Mapping[str, pd.DataFrame]
Numbers = Mapping[str, frozenset[str]]


def numbers_of(frames: Frames) -> Numbers:
    """The numeric variables of each dataset; what is compared with a value is written as SQL by it."""
    return {
        name: frozenset(str(one) for one in frame.select_dtypes(["number"]).columns) for name, frame in frames.items()
    }


def equal(value: str) -> Test:
    """The test that a value is one text or number."""
    return Test.model_validate([value])


def empty_frame(columns: Iterable[str]) -> pd.DataFrame:
    """A dataset of text variables without records."""
    return pd.DataFrame({name: text.missing(pd.RangeIndex(0)) for name in columns})


@dataclass(frozen=True)
class On:
    """A test that a date or datetime is the one written in ISO 8601."""

    moment: str

    def holds(self, values: pd.Series) -> np.ndarray:
        """True for the rows with that moment."""
        return (values == np.datetime64(self.moment)).to_numpy()


@dataclass(frozen=True)
class Selection:
    """Records of a dataset on which all tests hold and whose subjects are among those of all members.

    A member is another selection and whether a subject must be among its subjects or must not.
    """

    dataset: str
    tests: tuple[tuple[str, Test | On], ...] = ()
    members: tuple[tuple[bool, Selection], ...] = ()

    def where(self, tests: Mapping[str, Test] | Mapping[str, Test | On]) -> Selection:
        """The same with further tests; one that is there already is not written again."""
        fresh = tuple(one for one in tests.items() if one not in self.tests)
        return replace(self, tests=(*self.tests, *fresh))

    def of_subjects(self, other: Selection, present: bool = True) -> Selection:
        """Those whose subjects are, or are not, among the subjects of another selection."""
        if present and other.dataset == self.dataset and not other.members and _one_per_subject(self.dataset):
            return self.where(dict(other.tests))
        return replace(self, members=(*self.members, (present, other)))

    def holds(self, frames: Frames) -> np.ndarray:
        """True for each record of the dataset that is selected."""
        frame = frames[self.dataset]
        result = np.ones(len(frame), dtype=bool)
        for name, test in self.tests:
            result &= test.holds(frame[name])
        for present, other in self.members:
            chosen = set(frames[other.dataset][SUBJECT][other.holds(frames)])
            result &= frame[SUBJECT].isin(chosen).to_numpy() == present
        return result

    def sql(self, numbers: Numbers) -> str:
        """The condition after WHERE, on the view of the dataset in the schema of analysis datasets."""
        numeric = numbers[self.dataset]
        parts = [_test(name.lower(), test, name in numeric) for name, test in self.tests]
        for present, other in self.members:
            inner = other.sql(numbers)
            condition = f" where {inner}" if inner != "true" else ""
            among = "in" if present else "not in"
            # Names are of the specification and values are quoted; nobody but a reader of the text runs it.
            parts.append(f"usubjid {among} (select usubjid from {other.dataset.lower()}{condition})")  # noqa: S608
        return " and ".join(parts) or "true"

    def variables(self) -> set[tuple[str, str]]:
        """Every variable that is asked, as dataset and name."""
        own = {(self.dataset, name) for name, _ in self.tests}
        return own.union(*(other.variables() for _, other in self.members))

    def as_json(self) -> str:
        """The selection as text, read back by `from_json`."""
        return json.dumps(self._content(), ensure_ascii=False, separators=(",", ":"))

    def _content(self) -> dict[str, Any]:
        content: dict[str, Any] = {"dataset": self.dataset}
        if self.tests:
            content["where"] = [[name, _dumped(test)] for name, test in self.tests]
        if self.members:
            content["subjects"] = [[present, other._content()] for present, other in self.members]
        return content


def from_json(written: str) -> Selection:
    """A selection written by `as_json`."""
    return _read(json.loads(written))


def _read(content: Mapping[str, Any]) -> Selection:
    tests = tuple(
        (name, On(test["on"]) if "on" in test else Test.model_validate(test)) for name, test in content.get("where", ())
    )
    members = tuple((bool(present), _read(other)) for present, other in content.get("subjects", ()))
    return Selection(content["dataset"], tests, members)


def _dumped(test: Test | On) -> dict[str, Any]:
    return {"on": test.moment} if isinstance(test, On) else test.model_dump(exclude_none=True)


def _one_per_subject(dataset: str) -> bool:
    return dataset == "ADSL"


def _test(name: str, test: Test | On, number: bool) -> str:
    if isinstance(test, On):
        return f"{name} = timestamp '{test.moment}'"
    if test.present is not None:
        return f"{name} is {'not ' if test.present else ''}null"
    listed = test.one_of if test.one_of is not None else test.none_of
    if listed is not None:
        values = [_exact(float(one)) if number else _quoted(one) for one in listed]
        if test.one_of is not None:
            return f"{name} = {values[0]}" if len(values) == 1 else f"{name} in ({', '.join(values)})"
        return f"({name} is null or {name} not in ({', '.join(values)}))"
    sign, bound = next(
        (sign, bound)
        for sign, bound in ((">", test.above), (">=", test.at_least), ("<", test.below), ("<=", test.at_most))
        if bound is not None
    )
    if number:
        return f"{name} {sign} {_exact(bound)}"
    # A text that is no plain number passes no bound.
    return f"(case when {name} ~ '{PLAIN}' then {name}::double precision {sign} {_exact(bound)} else false end)"


def _exact(value: float) -> str:
    """A number as SQL that is read back as the same number."""
    plain = number_text(value)
    return plain if float(plain) == value else f"'{value!r}'::double precision"


def _quoted(written: str) -> str:
    return "'" + written.replace("'", "''") + "'"
