"""Algorithms that fill a variable from columns of an extract."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import field_validator

from transforms.algorithms.base import Algorithm, Outcome, Problem, Scope, fold, register
from transforms.core import dates, numbers, text
from transforms.findings import Severity


def typed(values: pd.Series, scope: Scope) -> Outcome:
    """A text column in the type of the variable being filled; what is no number is held as a problem."""
    if not scope.target.is_number:
        return Outcome(values)
    result = text.map_number(values, numbers.parse_number)
    bad = (result.isna() & values.notna()).to_numpy()
    problem = Problem(
        "not_a_number",
        Severity.CRITICAL,
        bad,
        f"{scope.target.name} is numeric and the collected value is no plain number",
        "Have the source corrected, or map the column to a character variable",
        hold=True,
    )
    return Outcome(result, (problem,) if bad.any() else ())


def unmapped(values: pd.Series, mapped: np.ndarray, what: str, remedy: str) -> tuple[Problem, ...]:
    """One problem for each distinct text that `mapped` (one flag per distinct text) does not know."""
    codes = values.array.codes
    problems = []
    for code, value in enumerate(text.texts_of(values)):
        if not mapped[code]:
            mask = codes == code
            if mask.any():
                problems.append(Problem("unmapped_term", Severity.CRITICAL, mask, what, remedy, cause=value, hold=True))
    return tuple(problems)


@register
class HardcodeCt(Algorithm):
    """A term of the variable's codelist on every record: `hardcode_ct: YEARS`."""

    word: ClassVar[str] = "hardcode_ct"
    main: ClassVar[str] = "term"
    term: str

    def literal_terms(self) -> Sequence[str]:
        return (self.term,)

    def apply(self, scope: Scope) -> Outcome:
        return typed(text.constant(self.term, scope.index), scope)


@register
class HardcodeNoCt(Algorithm):
    """A fixed text or number on every record: `hardcode_no_ct: "01"`."""

    word: ClassVar[str] = "hardcode_no_ct"
    main: ClassVar[str] = "value"
    value: str

    @field_validator("value", mode="before")
    @classmethod
    def _as_text(cls, value: object) -> object:
        return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value

    def fixed_values(self) -> Sequence[str]:
        return (self.value,)

    def apply(self, scope: Scope) -> Outcome:
        return typed(text.constant(self.value, scope.index), scope)


@register
class AssignNoCt(Algorithm):
    """The collected value itself: `assign_no_ct: IT.AETERM`, in upper case where `case: upper` says so.

    `words` names a codelist of the study with the words of another language: a value that it lists becomes its term,
    any other stays.
    """

    word: ClassVar[str] = "assign_no_ct"
    main: ClassVar[str] = "column"
    column: str
    case: Literal["upper", "lower"] | None = None
    words: str | None = None

    def collected_inputs(self) -> Sequence[str]:
        return (self.column, *self.when)

    def study_codelists(self) -> Sequence[str]:
        return (self.words,) if self.words else ()

    def apply(self, scope: Scope) -> Outcome:
        values = scope.collected(self.column)
        if self.words is not None:
            find = scope.codelist(self.words).find
            values = text.map_text(values, lambda value: found if (found := find(value)[1]) is not None else value)
        if self.case is not None:
            values = text.map_text(values, str.upper if self.case == "upper" else str.lower)
        return typed(values, scope)


@register
class AssignCt(Algorithm):
    """The collected value through a codelist of the study: `assign_ct: IT.SEX, codelist: sex`.

    The codelist is a partition: a text that is neither mapped nor listed as ignored is held as a
    critical finding, never passed through and never nulled.
    """

    word: ClassVar[str] = "assign_ct"
    main: ClassVar[str] = "column"
    column: str
    codelist: str

    def collected_inputs(self) -> Sequence[str]:
        return (self.column, *self.when)

    def study_codelists(self) -> Sequence[str]:
        return (self.codelist,)

    def apply(self, scope: Scope) -> Outcome:
        values = scope.collected(self.column)
        codelist = scope.codelist(self.codelist)
        found = [codelist.find(value) for value in text.texts_of(values)]
        problems = unmapped(
            values,
            np.array([known for known, _ in found], dtype=bool),
            f"a collected term is not in the codelist {self.codelist}",
            "Map the term in tables/codelists.csv (term, fix or ignore), or have the source corrected",
        )
        result = text.column(values.array.codes, [term for _, term in found], scope.index)
        outcome = typed(result, scope)
        return Outcome(outcome.values, (*problems, *outcome.problems))


@register
class AssignDatetime(Algorithm):
    """ISO 8601 from a date column, or a date and a time column: `assign_datetime: [DSDTCOL, DSTMCOL]`."""

    word: ClassVar[str] = "assign_datetime"
    main: ClassVar[str] = "columns"
    columns: tuple[str, ...]

    @field_validator("columns", mode="before")
    @classmethod
    def _one_or_two(cls, value: object) -> object:
        columns = [value] if isinstance(value, str) else value
        if isinstance(columns, list) and not 1 <= len(columns) <= 2:
            raise ValueError("takes a date column, or a date and a time column")
        return columns

    def collected_inputs(self) -> Sequence[str]:
        return (*self.columns, *self.when)

    def apply(self, scope: Scope) -> Outcome:
        values = scope.collected(self.columns[0])
        if len(self.columns) == 2:
            values = text.map_rows([values, scope.collected(self.columns[1])], dates.join)
        bad = text.map_flag(values, lambda value: not dates.is_iso(value))
        problem = Problem(
            "not_a_date",
            Severity.CRITICAL,
            bad,
            f"{scope.target.name} holds a text that is no ISO 8601 date",
            "Declare the column as date or datetime with its layouts in the source contract",
            hold=True,
        )
        return Outcome(values, (problem,) if bad.any() else ())


@register
class AssignPart(Algorithm):
    """The part of a collected text that a pattern's one group finds: `assign_part: PATNUM, pattern: (.{3})-.*`.

    A text that does not fit is a critical finding and holds the record; with `optional` it gives a missing value.
    """

    word: ClassVar[str] = "assign_part"
    main: ClassVar[str] = "column"
    column: str
    pattern: str
    optional: bool = False

    @field_validator("pattern")
    @classmethod
    def _one_group(cls, value: str) -> str:
        if re.compile(value).groups != 1:
            raise ValueError("the pattern needs exactly one group")
        return value

    def collected_inputs(self) -> Sequence[str]:
        return (self.column, *self.when)

    def apply(self, scope: Scope) -> Outcome:
        pattern = re.compile(self.pattern)
        values = scope.collected(self.column)
        found = [pattern.fullmatch(value) for value in text.texts_of(values)]
        problems = (
            ()
            if self.optional
            else unmapped(
                values,
                np.array([match is not None for match in found], dtype=bool),
                f"a collected value does not have the form from which {scope.target.name} is taken",
                "Have the source corrected, or widen the pattern in the specification",
            )
        )
        parts = [match[1] if match else None for match in found]
        outcome = typed(text.column(values.array.codes, parts, scope.index), scope)
        return Outcome(outcome.values, (*problems, *outcome.problems))


@register
class AssignByPattern(Algorithm):
    """What a remark says, by the first pattern found in it: `assign_by_pattern: REMARK, table: remarks`.

    The table has a column PATTERN (a regular expression for a part of the text) and one named as the variable, whose
    empty cell means that the remark says nothing of it. A remark in which no pattern is found is a question; the
    record stays without the value.
    """

    word: ClassVar[str] = "assign_by_pattern"
    main: ClassVar[str] = "column"
    column: str
    table: str

    def collected_inputs(self) -> Sequence[str]:
        return (self.column, *self.when)

    def tables(self) -> Mapping[str, Sequence[str]]:
        return {self.table: ("PATTERN",)}

    def apply(self, scope: Scope) -> Outcome:
        table = scope.table(self.table)
        rules = [
            (re.compile(pattern), value)
            for pattern, value in zip(table.values("PATTERN"), table.values(scope.target.name), strict=True)
        ]
        values = scope.collected(self.column)
        found = [
            next((value for pattern, value in rules if pattern.search(text.narrow(one))), None)
            for one in text.texts_of(values)
        ]
        codes = values.array.codes
        unread = np.array([*(one is None for one in found), False], dtype=bool)[codes]
        problem = Problem(
            "remark_not_read",
            Severity.ANSWER,
            unread,
            f"a remark says something for which {table.file} has no pattern; {scope.target.name} stays empty",
            f"Add a pattern to {table.file}, with an empty {scope.target.name} where it says nothing of it",
        )
        outcome = typed(text.column(codes, found, scope.index), scope)
        return Outcome(outcome.values, (*((problem,) if unread.any() else ()), *outcome.problems))


@register
class AssignVisit(Algorithm):
    """VISIT, VISITNUM or VISITDY of a collected visit name, by the study's visit table and unscheduled rule.

    `take` names the column of the visit table where the variable filled has another name. The name of an unscheduled
    visit that holds no number gives a missing value.
    """

    word: ClassVar[str] = "assign_visit"
    main: ClassVar[str] = "column"
    reads_visits: ClassVar[bool] = True
    column: str
    take: Literal["VISIT", "VISITNUM", "VISITDY"] | None = None

    def collected_inputs(self) -> Sequence[str]:
        return (self.column, *self.when)

    def apply(self, scope: Scope) -> Outcome:
        rules, wanted = scope.visits, self.take or scope.target.name
        table = scope.table(rules.table)
        planned = {fold(key[0]): value for key, value in table.keyed([rules.collected], wanted).items()}
        pattern = re.compile(rules.unscheduled, re.IGNORECASE) if rules.unscheduled else None
        values = scope.collected(self.column)
        found: list[str | None] = []
        known = np.zeros(len(values.cat.categories), dtype=bool)
        for position, value in enumerate(text.texts_of(values)):
            match = pattern.fullmatch(value) if pattern else None
            if fold(value) in planned:
                known[position] = True
                found.append(planned[fold(value)])
            elif match:
                known[position] = True
                collected = match.groupdict().get("number")
                if collected is None:
                    found.append(None)
                    continue
                number = numbers.canonical_number(collected) or collected
                shown = {"VISITNUM": number, "VISIT": rules.unscheduled_visit.format(number=number)}
                found.append(shown.get(wanted))
            else:
                found.append(None)
        problems = unmapped(
            values,
            known,
            "a collected visit name is not in the visit table",
            f"Add the visit to tables/{rules.table}.csv, or have the source corrected",
        )
        outcome = typed(text.column(values.array.codes, found, scope.index), scope)
        return Outcome(outcome.values, (*problems, *outcome.problems))


class TableLookup(Algorithm):
    """What the two table look-ups share: a table's column, found by named columns or variables.

    Texts compare with blanks folded and case ignored. A combination that the table does not hold is a
    critical finding and holds the record, unless `optional`; a single missing input gives a missing value.
    """

    main: ClassVar[str] = "value"
    value: str
    table: str
    by: dict[str, str]
    optional: bool = False

    def tables(self) -> Mapping[str, Sequence[str]]:
        return {self.table: (*self.by, self.value)}

    def look_up(self, columns: list[pd.Series], scope: Scope) -> Outcome:
        """The table's value for each combination of the columns."""
        table = scope.table(self.table)
        keyed: dict[tuple[str, ...], str] = {}
        for key, found in table.keyed(list(self.by), self.value).items():
            keyed.setdefault(tuple(fold(part) for part in key), found)
        codes, rows = text.combinations(columns)
        keys = [tuple(_key(part) for part in row) for row in rows]
        result = text.column(codes, [keyed.get(key) for key in keys], scope.index)
        problems: list[Problem] = []
        if not self.optional:
            for code, key in enumerate(keys):
                if key not in keyed and not (len(key) == 1 and key[0] == ""):
                    problems.append(
                        Problem(
                            "unmapped_term",
                            Severity.CRITICAL,
                            codes == code,
                            f"the table {self.table} has no row for a combination of {', '.join(self.by.values())}",
                            f"Add the row to tables/{self.table}.csv, or have the source corrected",
                            cause="\x1f".join(key),
                            hold=True,
                        )
                    )
        outcome = typed(result, scope)
        return Outcome(outcome.values, (*problems, *outcome.problems))


def _key(part: object) -> str:
    if part is None:
        return ""
    return numbers.number_text(part) if isinstance(part, float) else fold(str(part))


@register
class AssignFromTable(TableLookup):
    """By collected columns: `assign_from_table: LBTESTCD, table: lab_tests, by: {NAME: TEST_NAME}`."""

    word: ClassVar[str] = "assign_from_table"

    def collected_inputs(self) -> Sequence[str]:
        return (*self.by.values(), *self.when)

    def apply(self, scope: Scope) -> Outcome:
        return self.look_up([scope.collected(name) for name in self.by.values()], scope)
