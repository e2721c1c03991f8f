"""Models of repeated measures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from transforms.core.conditions import Test
from transforms.errors import InputError
from transforms.results.levels import Combination, combinations
from transforms.results.records import Column, Result, Statistic
from transforms.results.repeated import STRUCTURES, Fit, NotEstimable, Sample, fit
from transforms.results.texts import NOT_ESTIMABLE, decimals_of, fixed, p_value
from transforms.study.results import RepeatedMeasures


def repeated_measures(analysis: RepeatedMeasures, column: Column) -> Iterator[Result]:
    """Adjusted means at each visit, at the mean baseline of the subjects in the model, groups weighing the same.

    `covariance` names the structure that was fitted, and its note says why not the one before. NE where a group has no
    value at the visit, and everywhere where no structure can be fitted. Raises InputError where a subject has several
    values at one visit.
    """
    by = analysis.visit
    for number, cell in enumerate(column.cells):
        visits, _ = combinations((by,), column.records, cell.positions, column.subjects[cell.positions], [(0,)])
        model = _model(analysis, column, visits)
        tests = {name: Test(present=True) for name in analysis.variables()}
        tests[by.variable] = Test(present=True) if by.values is None else Test.model_validate([*by.values])
        whole = column.result(cell, [], tests, model.positions)
        for place, visit in enumerate(visits):
            there = model.visits == place
            found = model.fitted.contrast(model.mean_at(place), analysis.confidence) if model.fitted else None
            numbers: dict[str, float] = vars(found) if found else {}
            decimals = decimals_of(analysis.decimals, column.records, model.positions[there])
            places = {"estimate": decimals + 1, "se": decimals + 2, "ci_low": decimals + 1, "ci_high": decimals + 1}
            n = int(there.sum())
            statistics = [
                Statistic("n", n, str(n)),
                *(
                    Statistic(name, numbers.get(name), fixed(numbers.get(name), shown))
                    for name, shown in {**places, "df": 1, "t": 2}.items()
                ),
                Statistic("p", numbers.get("p"), p_value(numbers.get("p"), analysis.p_values)),
                Statistic("covariance", None, model.structure, model.note),
            ]
            levels, order = (*cell.levels, visit.levels[0]), number * len(visits) + place
            yield Result(levels, whole.selection, whole.n_records, whole.n_subjects, statistics, order)


@dataclass(frozen=True)
class _Model:
    """Values of the model with their place in the dataset, visit, and design, and the fit; `groups` are counted."""

    positions: np.ndarray
    visits: np.ndarray
    design: np.ndarray
    groups: int
    fitted: Fit | None
    structure: str
    note: str

    def mean_at(self, visit: int) -> np.ndarray:
        """The weights of the adjusted mean at a visit."""
        weights = np.zeros(self.design.shape[1])
        weights[visit * self.groups : (visit + 1) * self.groups] = 1 / max(self.groups, 1)
        return weights


def _model(analysis: RepeatedMeasures, column: Column, visits: list[Combination]) -> _Model:
    """A column of the design for each group at each visit, and the baseline from its mean over subjects."""
    positions = np.concatenate([np.empty(0, dtype=int), *(one.positions for one in visits)])
    place = np.repeat(np.arange(len(visits)), [len(one.positions) for one in visits])
    values, baseline = (column.numbers(name, positions) for name in (analysis.variable, analysis.baseline))
    known = ~np.isnan(values) & ~np.isnan(baseline)
    if analysis.factor is not None:
        known &= column.records[analysis.factor].iloc[positions].notna().to_numpy()
    positions, place, values, baseline = positions[known], place[known], values[known], baseline[known]
    names = column.records[analysis.factor].iloc[positions].astype(object) if analysis.factor else np.zeros(len(place))
    groups, group = np.unique(np.asarray(names), return_inverse=True)
    _, first, subject = np.unique(column.subjects[positions], return_index=True, return_inverse=True)
    if len(np.unique(np.stack([subject, place]), axis=1).T) < len(place):
        raise InputError(
            f"{analysis.id}: a subject has several values of {column.selection.dataset}.{analysis.variable} at one "
            f"{analysis.visit.variable}; restrict the data to one parameter and record, or name by-variables"
        )
    design = np.zeros((len(place), len(visits) * len(groups) + 1))
    design[np.arange(len(place)), place * len(groups) + group] = 1.0
    design[:, -1] = baseline - baseline[first].mean() if len(first) else 0.0
    fitted, structure, note = _fitted(values, design, subject, place)
    return _Model(positions, place, design, len(groups), fitted, structure, note)


def _fitted(
    values: np.ndarray, design: np.ndarray, subjects: np.ndarray, visits: np.ndarray
) -> tuple[Fit | None, str, str]:
    """The first structure that can be fitted, its name, and why none or not the one before it."""
    told: list[str] = []
    try:
        sample = Sample(values, design, subjects, np.unique(visits, return_inverse=True)[1])
        for name, structure in STRUCTURES.items():
            try:
                return fit(sample, structure), name, "; ".join(told)
            except NotEstimable as reason:
                told.append(f"{name}: {reason}")
    except NotEstimable as reason:
        told.append(str(reason))
    return None, NOT_ESTIMABLE, "; ".join(told)
