"""Tests between the groups of a comparison: each takes its column and gives the p-value of its cells."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from transforms.core.conditions import Test
from transforms.results.records import Column, Group, Result, Statistic
from transforms.results.statistics import chi_square, fisher_exact, one_way_anova
from transforms.results.texts import p_value
from transforms.study.results import Analysis, Count, Summary

BEFORE = -1
"""The place of a result over all levels, before the first of them."""


def compared_counts(analysis: Count, column: Column) -> Iterator[Result]:
    """The p of subjects with and without a record at each level, or of their distribution over all levels."""
    if analysis.test == "chi_square":
        if column.cells:
            yield _over_levels(analysis, column)
        return
    sizes = [int(one.mask.sum()) for one in column.compared]
    for cell in column.cells:
        p = fisher_exact([_subjects(column, one, cell.positions) for one in column.compared], sizes)
        yield column.result(cell, [_p(analysis, p)])


def _over_levels(analysis: Count, column: Column) -> Result:
    table = [[_subjects(column, one, cell.positions) for one in column.compared] for cell in column.cells]
    positions = np.concatenate([cell.positions for cell in column.cells])
    p = chi_square(np.array(table))
    subjects = len(np.unique(column.subjects[positions]))
    return Result((), column.selection, len(positions), subjects, [_p(analysis, p)], BEFORE)


def _subjects(column: Column, group: Group, positions: np.ndarray) -> int:
    own = column.subjects[positions]
    return len(np.unique(own[group.mask[own]]))


def compared_means(analysis: Summary, column: Column) -> Iterator[Result]:
    """The p of the means of each cell."""
    for cell in column.cells:
        values = column.numbers(analysis.variable, cell.positions)
        positions, values = cell.positions[~np.isnan(values)], values[~np.isnan(values)]
        own = column.subjects[positions]
        p = one_way_anova([values[one.mask[own]] for one in column.compared])
        yield column.result(cell, [_p(analysis, p)], {analysis.variable: Test(present=True)}, positions)


def _p(analysis: Analysis, p: float | None) -> Statistic:
    """A p-value; without text where there is nothing to compare."""
    return Statistic("p", p, "" if p is None else p_value(p, analysis.p_values))


COMPARISONS: Mapping[str, Callable[[Any, Column], Iterator[Result]]] = {
    "count": compared_counts,
    "summary": compared_means,
}
