"""Linear models: repeated measures, and analysis of covariance."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats  # type: ignore[import-untyped]

from transforms.core.conditions import Test
from transforms.errors import InputError
from transforms.results.levels import combinations
from transforms.results.records import Cell, Column, Result, Statistic
from transforms.results.texts import decimals_of, fixed, p_value
from transforms.study.results import Covariance, RepeatedMeasures

Means = dict[str, tuple[float | None, float | None, float | None, float | None]]
FALLBACK = "compound symmetry instead of an unstructured covariance; degrees of freedom between subjects"


def repeated_measures(analysis: RepeatedMeasures, column: Column) -> Iterator[Result]:
    """Adjusted means at each visit, at the mean baseline of the subjects in the model, groups weighing the same.

    The model is fitted by restricted maximum likelihood with a random intercept, which is compound symmetry. An
    unstructured covariance and the degrees of freedom of Kenward and Roger (Biometrics 1997;53:983-997) are in no
    library used here; the interval takes Student's t, its degrees of freedom being the subjects less the parameters
    between subjects (groups and baseline). Not estimable where a visit and group have no record, or with too few
    subjects.
    """
    for number, cell in enumerate(column.cells):
        model = _rows(analysis, column, cell.positions)
        visits, _ = combinations(
            (analysis.visit,), column.records, cell.positions, column.subjects[cell.positions], [(0,)]
        )
        means = _fit(model, [str(one.levels[0].value) for one in visits], analysis.confidence)
        for place, visit in enumerate(visits):
            level = visit.levels[0]
            known = visit.positions[~np.isnan(column.numbers(analysis.variable, visit.positions))]
            known = known[~np.isnan(column.numbers(analysis.baseline, known))]
            n = len(np.unique(column.subjects[known]))
            estimate, error, low, high = means.get(str(level.value), (None, None, None, None))
            decimals = decimals_of(analysis.decimals, column.records, known)
            statistics = [
                Statistic("n", n, str(n), FALLBACK),
                Statistic("estimate", estimate, fixed(estimate, decimals + 1)),
                Statistic("se", error, fixed(error, decimals + 2)),
                Statistic("ci_low", low, fixed(low, decimals + 1)),
                Statistic("ci_high", high, fixed(high, decimals + 1)),
            ]
            # The estimate at one visit is computed from the records of all visits.
            used = cell.positions[~np.isnan(column.numbers(analysis.variable, cell.positions))]
            used = used[~np.isnan(column.numbers(analysis.baseline, used))]
            tests = {analysis.variable: Test(present=True), analysis.baseline: Test(present=True)}
            whole = column.result(cell, statistics, tests, used)
            yield Result(
                (*cell.levels, level), whole.selection, whole.n_records, whole.n_subjects, statistics,
                number * len(visits) + place,
            )  # fmt: skip


def _rows(analysis: RepeatedMeasures, column: Column, positions: np.ndarray) -> pd.DataFrame:
    records = column.records
    visit = records[analysis.visit.variable].iloc[positions]
    frame = pd.DataFrame(
        {
            "y": column.numbers(analysis.variable, positions),
            "baseline": column.numbers(analysis.baseline, positions),
            "visit": np.asarray(visit.astype(object)),
            "subject": column.subjects[positions],
            "factor": np.asarray(records[analysis.factor].iloc[positions].astype(object)) if analysis.factor else "all",
        }
    )
    return frame.dropna().reset_index(drop=True)


def _fit(model: pd.DataFrame, visits: list[str], confidence: float) -> Means:
    """Adjusted mean, standard error and interval by visit; nothing where the model cannot be fitted."""
    factors = sorted(model["factor"].unique())
    cells = [(visit, factor) for visit in visits for factor in factors]
    column_of = {one: place for place, one in enumerate(cells)}
    design = np.zeros((len(model), len(cells) + 1))
    for row, (visit, factor) in enumerate(zip(model["visit"], model["factor"], strict=True)):
        if (visit, factor) in column_of:
            design[row, column_of[visit, factor]] = 1
    kept = design[:, :-1].any(axis=1)
    fitted_rows = model.iloc[np.flatnonzero(kept)]
    centre = fitted_rows.groupby("subject")["baseline"].first().mean() if kept.any() else np.nan
    design[:, -1] = model["baseline"] - centre
    design, y, subjects = design[kept], model["y"].to_numpy()[kept], model["subject"].to_numpy()[kept]
    freedom = len(np.unique(subjects)) - len(factors) - 1
    if not kept.any() or freedom < 1 or np.linalg.matrix_rank(design) < design.shape[1]:
        return {}
    from statsmodels.regression.mixed_linear_model import MixedLM  # type: ignore[import-untyped]

    with warnings.catch_warnings():
        # A variance of subjects at 0 is a boundary, not a failure: the estimate is then that of ordinary regression.
        warnings.simplefilter("ignore")
        try:
            fitted = MixedLM(y, design, groups=subjects).fit(reml=True, method=["lbfgs", "powell"])
        except np.linalg.LinAlgError:
            return {}
    size = design.shape[1]
    estimates, covariance = np.asarray(fitted.fe_params), np.asarray(fitted.cov_params())[:size, :size]
    if not fitted.converged or not np.isfinite(covariance).all():
        return {}
    quantile = float(stats.t.ppf((1 + confidence) / 2, freedom))
    found: Means = {}
    for visit in visits:
        weights = np.zeros(size)
        weights[[column_of[visit, factor] for factor in factors]] = 1 / len(factors)
        mean = float(weights @ estimates)
        error = float(np.sqrt(weights @ covariance @ weights))
        found[visit] = (mean, error, mean - quantile * error, mean + quantile * error)
    return found


def covariance(analysis: Covariance, column: Column) -> Iterator[Result]:
    """Least-squares means and their differences by ordinary least squares, the error being that of the whole model.

    Every column is computed from the records of all groups. Not estimable where effects cannot be told apart.
    """
    whole = any(column.group.id == one.id for one in column.among)
    tests = {name: Test(present=True) for name in (analysis.variable, *analysis.factors, *analysis.covariates)}
    for cell in column.cells:
        model, positions = _model(analysis, column, cell)
        decimals = decimals_of(analysis.decimals, column.records, positions)
        statistics = []
        if whole:
            place = next(number for number, one in enumerate(column.among) if one.id == column.group.id)
            n = int((model["group"] == place).sum())
            mean = _estimated(_design(analysis, column, model), {place: 1.0}, analysis.confidence)
            statistics = [
                Statistic("n", n, str(n)),
                Statistic("lsmean", mean.value, fixed(mean.value, decimals + 1)),
                Statistic("lsmean_se", mean.error, fixed(mean.error, decimals + 2)),
            ]
        elif len(column.compared) == 2:
            first, second = (column.among.index(one) for one in column.compared)
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
    from statsmodels.regression.linear_model import OLS  # type: ignore[import-untyped]

    contrast = np.zeros(size)
    contrast[list(weights)] = list(weights.values())
    groups = size - len(design.means)
    if groups > 1 and sum(weights.values()) == 1:
        contrast[groups:] = design.means
    found = OLS(design.response, design.matrix).fit().t_test(contrast)
    low, high = found.conf_int(alpha=1 - confidence)[0]
    return _Estimate(float(found.effect[0]), float(found.sd[0, 0]), float(low), float(high), float(found.pvalue))
