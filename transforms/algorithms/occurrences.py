"""Algorithms of occurrences: customised queries by lists of terms."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from pydantic import field_validator

from transforms.algorithms.base import Outcome, Scope, as_list, fold, register
from transforms.algorithms.values import Derived
from transforms.core import text

COLUMNS = ("QUERY", "NAME", "VARIABLE", "TERM", "ACTION")


@register
class InQuery(Derived):
    """The name of a customised query (CQzzNAM) where one of its terms fits: `in_query: CQ01, table: adam_queries`.

    The table has QUERY, NAME, VARIABLE, TERM and ACTION, and `variables` lists the variables that VARIABLE may name.
    The first row of the query whose term fits decides: `include` gives the NAME, `exclude` none. Blanks fold, case is
    ignored, `*` stands for any text: `*DERMATITIS*`.
    """

    word: ClassVar[str] = "in_query"
    main: ClassVar[str] = "query"
    query: str
    table: str
    variables: tuple[str, ...]

    _list = field_validator("variables", mode="before")(as_list)

    def variable_inputs(self) -> Sequence[str]:
        return (*self.variables, *self.when)

    def tables(self) -> Mapping[str, Sequence[str]]:
        return {self.table: COLUMNS}

    def apply(self, scope: Scope) -> Outcome:
        table = scope.table(self.table)
        rows = [
            row
            for row in zip(*(table.values(name) for name in COLUMNS), strict=True)
            if row[0] == self.query and row[2] in self.variables
        ]
        codes = np.full(len(scope.index), -1, dtype=np.int64)
        undecided = np.ones(len(scope.index), dtype=bool)
        for number, (_, _, variable, term, action) in enumerate(rows):
            pattern = fold(term)
            fits = text.map_flag(scope.variable(variable), lambda one, pattern=pattern: fits_term(one, pattern))  # type: ignore[misc]
            here = undecided & fits
            undecided &= ~here
            if action == "include":
                codes[here] = number
        return Outcome(text.column(codes, [name for _, name, _, _, _ in rows], scope.index))


def fits_term(collected: str, pattern: str) -> bool:
    """Whether a text is the term of a query; `*` stands for any text, brackets and question marks for themselves."""
    if "*" not in pattern:
        return fold(collected) == pattern
    literal = "".join(f"[{one}]" if one in "[?" else one for one in pattern)
    return fnmatch.fnmatchcase(fold(collected), literal)
