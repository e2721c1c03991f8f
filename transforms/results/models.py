"""Models of repeated measures."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy import stats

from transforms.core.conditions import Test
from transforms.results.levels import combinations
from transforms.results.records import Column, Result, Statistic
from transforms.results.texts import decimals_of, fixed
from transforms.study.results import RepeatedMeasures

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
    fitted = _estimated(y, design, subjects)
    if fitted is None:
        return {}
    estimates, covariance = fitted
    size = design.shape[1]
    quantile = float(stats.t.ppf((1 + confidence) / 2, freedom))
    found: Means = {}
    for visit in visits:
        weights = np.zeros(size)
        weights[[column_of[visit, factor] for factor in factors]] = 1 / len(factors)
        mean = float(weights @ estimates)
        error = float(np.sqrt(weights @ covariance @ weights))
        found[visit] = (mean, error, mean - quantile * error, mean + quantile * error)
    return found


def _estimated(y: np.ndarray, design: np.ndarray, subjects: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Coefficients and their covariance; None where the model cannot be fitted."""
    from statsmodels.regression.linear_model import OLS
    from statsmodels.regression.mixed_linear_model import MixedLM

    size = design.shape[1]
    with warnings.catch_warnings():
        # A variance of subjects at 0 is a boundary, not a failure: the estimate is then that of ordinary regression.
        warnings.simplefilter("ignore")
        try:
            if len(np.unique(subjects)) == len(subjects):
                # With one record of each subject there is no correlation to estimate.
                fitted = OLS(y, design).fit()
            else:
                fitted = MixedLM(y, design, groups=subjects).fit(reml=True, method=["lbfgs", "powell"])
        except np.linalg.LinAlgError:
            return None
    covariance = np.asarray(fitted.cov_params())[:size, :size]
    if not getattr(fitted, "converged", True) or not np.isfinite(covariance).all():
        return None
    return np.asarray(fitted.params)[:size], covariance
