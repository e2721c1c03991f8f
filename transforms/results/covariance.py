"""Analysis of covariance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from transforms.core.conditions import Test
from transforms.errors import InputError
from transforms.results.records import Cell, Column, Result, Statistic
from transforms.results.texts import decimals_of, fixed, p_value
from transforms.study.results import Covariance


def covariance(analysis: Covariance, column: Column) -> Iterator[Result]:
    """Least-squares means and their differences by ordinary least squares, the error being that of the whole model.

    Every column is computed from the records of all groups. Not estimable where effects cannot be told apart.
    """
    groups = [one.id for one in column.among]
    tests = {name: Test(present=True) for name in analysis.variables()}
    for cell in column.cells:
        model, positions = _model(analysis, column, cell)
        decimals = decimals_of(analysis.decimals, column.records, positions)
        statistics = []
        if column.group.id in groups:
            place = groups.index(column.group.id)
            n = int((model["group"] == place).sum())
            mean = _estimated(_design(analysis, column, model), {place: 1.0}, analysis.confidence)
            statistics = [
                Statistic("n", n, str(n)),
                Statistic("lsmean", mean.value, fixed(mean.value, decimals + 1)),
                Statistic("lsmean_se", mean.error, fixed(mean.error, decimals + 2)),
            ]
        elif len(column.compared) == 2:
            first, second = (groups.index(one.id) for one in column.compared)
            found = _estimated(_design(analysis, column, model), {first: 1.0, second: -1.0}, analysis.confidence)
            statistics = [
                Statistic("difference", found.value, fixed(found.value, decimals + 1)),
                Statistic("se", found.error, fixed(found.error, decimals + 2)),
                Statistic("ci_low", found.low, fixed(found.low, decimals + 1)),
                Statistic("ci_high", found.high, fixed(found.high, decimals + 1)),
                Statistic("p", found.p, p_value(found.p, analysis.p_values)),
            ]
        elif column.compared and analysis.dose is not None:
            slope = _estimated(_design(analysis, column, model, analysis.dose), {0: 1.0}, analysis.confidence)
            statistics = [
                Statistic("slope", slope.value, fixed(slope.value, decimals + 3)),
                Statistic("slope_se", slope.error, fixed(slope.error, decimals + 4)),
                Statistic("p", slope.p, p_value(slope.p, analysis.p_values)),
            ]
        if statistics:
            yield column.result(cell, statistics, tests, positions)


@dataclass(frozen=True)
class _Design:
    """A model: its response and design; `means` weigh the columns after those of the groups in a mean."""

    response: np.ndarray
    matrix: np.ndarray
    means: np.ndarray


@dataclass(frozen=True)
class _Estimate:
    value: float | None = None
    error: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None


def _model(analysis: Covariance, column: Column, cell: Cell) -> tuple[pd.DataFrame, np.ndarray]:
    """The records of a cell with all variables of the model, and their positions; `group` numbers the groups."""
    numeric = (analysis.variable, *analysis.covariates, *((analysis.dose,) if analysis.dose else ()))
    frame = pd.DataFrame({name: column.numbers(name, cell.positions) for name in numeric})
    for name in analysis.factors:
        frame[name] = np.asarray(column.records[name].iloc[cell.positions].astype(object))
    subjects = column.subjects[cell.positions]
    frame["group"] = np.select([one.mask[subjects] for one in column.among], range(len(column.among)), -1)
    kept = frame.notna().all(axis=1).to_numpy()
    if len(np.unique(subjects[kept])) < kept.sum():
        raise InputError(
            f"{analysis.id}: a subject has several records of {column.selection.dataset}; restrict the data to one "
            "visit and parameter, or name them as by-variables"
        )
    return frame[kept].reset_index(drop=True), cell.positions[kept]


def _design(analysis: Covariance, column: Column, model: pd.DataFrame, dose: str | None = None) -> _Design:
    """A column for each group (or the dose, and an intercept), then for factors and covariates.

    Of a factor the first level has no column; covariates are taken from their mean.
    """
    n = len(model)
    parts: list[np.ndarray]
    weights: list[float] = []
    if dose is None:
        parts = [(model["group"] == place).to_numpy(dtype=float) for place in range(len(column.among))]
    else:
        parts, weights = [model[dose].to_numpy(), np.ones(n)], [1.0]
    for name in analysis.factors:
        levels = sorted(model[name].unique())
        parts += [(model[name] == level).to_numpy(dtype=float) for level in levels[1:]]
        weights += [1 / len(levels)] * (len(levels) - 1)
    for name in analysis.covariates:
        parts.append((model[name] - model[name].mean()).to_numpy())
        weights.append(0.0)
    return _Design(model[analysis.variable].to_numpy(), np.column_stack(parts), np.array(weights))


def _estimated(design: _Design, weights: dict[int, float], confidence: float) -> _Estimate:
    """A weighted sum of the first coefficients; of a single group, its mean at the means of the others."""
    size = design.matrix.shape[1]
    if len(design.response) <= size or np.linalg.matrix_rank(design.matrix) < size:
        return _Estimate()
    from statsmodels.regression.linear_model import OLS

    contrast = np.zeros(size)
    contrast[list(weights)] = list(weights.values())
    groups = size - len(design.means)
    if groups > 1 and sum(weights.values()) == 1:
        contrast[groups:] = design.means
    found = OLS(design.response, design.matrix).fit().t_test(contrast)
    low, high = found.conf_int(alpha=1 - confidence)[0]
    return _Estimate(float(found.effect[0]), float(found.sd[0, 0]), float(low), float(high), float(found.pvalue))
