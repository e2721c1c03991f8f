"""Algorithms that call the published scores and grades of `transforms.clinical`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from inspect import signature
from typing import ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from transforms.algorithms.base import Outcome, Problem, Scope, register
from transforms.algorithms.values import Derived
from transforms.clinical import albi, child_pugh, conversions, ctcae, egfr, meld
from transforms.core import conditions, text
from transforms.core.conditions import Test
from transforms.findings import Severity


def _child_pugh_points(item: str, thresholds: child_pugh.Thresholds) -> Callable[..., pd.Series]:
    def compute(
        *,
        bilirubin_umol_l: pd.Series,
        albumin_g_l: pd.Series,
        inr: pd.Series,
        ascites: pd.Series,
        encephalopathy_grade: pd.Series,
    ) -> pd.Series:
        points = child_pugh.compute_child_pugh_points(
            bilirubin_umol_l=bilirubin_umol_l,
            albumin_g_l=albumin_g_l,
            inr=inr,
            ascites=ascites,
            encephalopathy_grade=encephalopathy_grade,
            thresholds=thresholds,
        )
        return child_pugh.compute_child_pugh_total(points=points) if item == "total" else points[item]

    return compute


SCORES: Mapping[str, Callable[..., pd.Series]] = {
    "meld_i": meld.compute_meld_i,
    "meld_i_raw": meld.compute_meld_i_raw,
    "meld_etiology": meld.compute_meld_etiology,
    "meld_na": meld.compute_meld_na,
    "meld_3_0": meld.compute_meld_3_0,
    "child_pugh_total_si": _child_pugh_points("total", child_pugh.SI),
    "child_pugh_total_mg_dl": _child_pugh_points("total", child_pugh.MG_DL),
    "child_pugh_class": child_pugh.compute_child_pugh_class,
    "albi": albi.compute_albi,
    "albi_grade": albi.compute_albi_grade,
    "egfr_ckd_epi_2021": egfr.compute_egfr_ckd_epi_2021,
}
# An input may be given in the unit of the laboratory: the input a score names, the one that may stand for it, and how.
CONVERTED: Mapping[str, tuple[str, Callable[..., pd.Series]]] = {
    "bilirubin_mg_dl": ("bilirubin_umol_l", conversions.compute_bilirubin_mg_dl),
    "creatinine_mg_dl": ("creatinine_umol_l", conversions.compute_creatinine_mg_dl),
    "albumin_g_dl": ("albumin_g_l", conversions.compute_albumin_g_dl),
}
# The inputs of scores that are texts, and which rows hold one that the scores know.
TEXTS: Mapping[str, Callable[[pd.Series], pd.Series]] = {
    "ascites": lambda values: child_pugh.is_ascites(ascites=values)
}
Operand = str | float | dict[str, Test]


@register
class Score(Derived):
    """A published score of variables of the record: `score: meld_i, of: {bilirubin_umol_l: MBILI, inr: MINR, ...}`.

    `of` gives each input a variable, a number, or a condition, which is true or false. Units stand in the names; those
    of bilirubin, creatinine and albumin may be the SI ones, which are converted. Missing where an input is. A text that
    the score does not know is a finding and counts as missing: one value never stops a run.
    """

    word: ClassVar[str] = "score"
    main: ClassVar[str] = "name"
    name: str
    of: dict[str, Operand] = Field(min_length=1)

    @model_validator(mode="after")
    def _known(self) -> Score:
        if self.name not in SCORES:
            raise ValueError(f"unknown score {self.name!r}; known: {', '.join(sorted(SCORES))}")
        parameters = signature(SCORES[self.name]).parameters
        needed = {name for name, one in parameters.items() if one.default is one.empty}
        given = {next((one for one, (other, _) in CONVERTED.items() if other == name and one in needed), name)
                 for name in self.of}  # fmt: skip
        if needed != given or len(given) != len(self.of):
            raise ValueError(f"{self.name} is computed of {', '.join(sorted(needed))}")
        return self

    def variable_inputs(self) -> Sequence[str]:
        names: dict[str, None] = {}
        for operand in self.of.values():
            names |= dict.fromkeys(
                operand if isinstance(operand, dict) else [operand] if isinstance(operand, str) else []
            )
        return (*names, *self.when)

    def says(self) -> str:
        written = (
            f"{name} {' and '.join(f'{one} {test.says()}' for one, test in operand.items())}"
            if isinstance(operand, dict)
            else f"{name} {operand}"
            for name, operand in self.of.items()
        )
        return f"score: {self.name}; of {', '.join(written)}"

    def apply(self, scope: Scope) -> Outcome:
        needed = signature(SCORES[self.name]).parameters
        rows = np.flatnonzero(conditions.rows(self.when, scope.variable, scope.index))
        index = pd.RangeIndex(len(rows))
        operands = {}
        problems = []
        for name, operand in self.of.items():
            values = self._values(scope, operand).iloc[rows].set_axis(index)
            if name in TEXTS:
                known = TEXTS[name](values)
                unknown = np.zeros(len(scope.index), dtype=bool)
                unknown[rows] = values.notna().to_numpy() & ~known.to_numpy()
                values = values.where(known)
                problems.append(_score_input_unknown(unknown, f"{name} of {self.name} is no text that the score knows"))
            for wanted, (given, convert) in CONVERTED.items():
                if name == given and wanted in needed and name not in needed:
                    name, values = wanted, convert(**{given: values})
            operands[name] = values
        found = SCORES[self.name](**operands)
        if isinstance(found.dtype, pd.CategoricalDtype):
            codes = np.full(len(scope.index), text.MISSING, dtype=np.int64)
            codes[rows] = found.array.codes
            return Outcome(text.column(codes, text.texts_of(found), scope.index), tuple(problems))
        result = np.full(len(scope.index), np.nan)
        result[rows] = found.to_numpy()
        return Outcome(pd.Series(result, index=scope.index), tuple(problems))

    @staticmethod
    def _values(scope: Scope, operand: Operand) -> pd.Series:
        if isinstance(operand, str):
            return scope.variable(operand)
        if isinstance(operand, dict):
            holds = conditions.rows(operand, scope.variable, scope.index)
            return pd.Series(holds.astype(float), index=scope.index)
        return pd.Series(float(operand), index=scope.index)


@register
class ToxicityGrade(Derived):
    """The CTCAE v5.0 grade of a low (`L`) or high (`H`) result: `toxicity_grade: AVAL, direction: H, test: PARAMCD`.

    `unit` is that of the value, both limits and the baseline; `baseline_indicator` is the reference range indicator of
    the baseline, HIGH where it was above its own upper limit. Missing where the test has no term in the direction, and
    where no grade can be told (docs/clinical-scores.md). A unit that the term does not list is a finding.
    """

    word: ClassVar[str] = "toxicity_grade"
    main: ClassVar[str] = "value"
    value: str
    direction: Literal["L", "H"]
    test: str
    unit: str
    limits: tuple[str, str]
    baseline: str
    baseline_indicator: str

    def variable_inputs(self) -> Sequence[str]:
        named = (self.value, self.test, self.unit, *self.limits, self.baseline, self.baseline_indicator)
        return (*named, *self.when)

    def apply(self, scope: Scope) -> Outcome:
        indicator = scope.variable(self.baseline_indicator)
        low, high = (scope.variable(name) for name in self.limits)
        is_high = pd.Series(text.map_flag(indicator, "HIGH".__eq__).astype(float), index=scope.index)
        term = ctcae.compute_toxicity_terms(test_code=scope.variable(self.test), direction=self.direction)
        value, unit = scope.variable(self.value), scope.variable(self.unit)
        listed = ctcae.is_unit_listed(term=term, unit=unit)
        unknown = value.notna().to_numpy() & ~listed.to_numpy()
        grades = ctcae.compute_toxicity_grades(
            term=term,
            value=value.where(listed),
            unit=unit,
            lln=low,
            uln=high,
            baseline=scope.variable(self.baseline),
            baseline_high=is_high.where(indicator.notna().to_numpy()),
        )
        return Outcome(
            grades, (_score_input_unknown(unknown, f"{self.unit} is no unit in which CTCAE grades the test"),)
        )


@register
class ToxicityTerm(Derived):
    """The CTCAE v5.0 term that grades low or high results of a test: `toxicity_term: PARAMCD, direction: L`."""

    word: ClassVar[str] = "toxicity_term"
    main: ClassVar[str] = "test"
    test: str
    direction: Literal["L", "H"]

    def variable_inputs(self) -> Sequence[str]:
        return (self.test, *self.when)

    def apply(self, scope: Scope) -> Outcome:
        return Outcome(ctcae.compute_toxicity_terms(test_code=scope.variable(self.test), direction=self.direction))


def _score_input_unknown(mask: np.ndarray, message: str) -> Problem:
    return Problem(
        "score_input_unknown",
        Severity.ANSWER,
        mask,
        f"{message}; the result is missing",
        "Ask the site for the value, or map what was collected to what the score knows",
    )
