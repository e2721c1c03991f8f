"""CTCAE grades: what cannot be known stays open, units are never guessed, the criteria are checked when read."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from transforms.clinical import conversions, ctcae
from transforms.errors import ConfigurationError, UnitError

ALT = "Alanine aminotransferase increased"


def grade(term: str | None, value: float | None, unit: str | None, **other: Any) -> float | None:
    row = {"lln": None, "uln": None, "baseline": None, "baseline_high": None, **other}
    one = ctcae.compute_toxicity_grades(
        term=pd.Series([term], dtype="str"),
        value=pd.Series([value], dtype=float),
        unit=pd.Series([unit], dtype="str"),
        **{name: pd.Series([cell]) for name, cell in row.items()},
    ).iloc[0]
    return None if np.isnan(one) else float(one)


NORMAL = {"uln": 50, "baseline": 40, "baseline_high": False}


@pytest.mark.parametrize(
    ("expected", "term", "value", "unit", "other"),
    [
        (2, ALT, 151, "U/L", NORMAL),
        (None, ALT, None, "U/L", NORMAL),
        (None, ALT, -151, "U/L", NORMAL),
        (None, ALT, np.inf, "U/L", NORMAL),
        (None, ALT, 151, None, NORMAL),
        (None, ALT, 151, "", NORMAL),
        (None, ALT, 151, "U/L", {**NORMAL, "uln": None}),
        (None, ALT, 151, "U/L", {**NORMAL, "uln": 0}),
        (None, ALT, 151, "U/L", {**NORMAL, "baseline_high": None}),
        (2, ALT, 151, "U/L", {**NORMAL, "baseline": None}),
        (None, ALT, 151, "U/L", {"uln": 50, "baseline_high": True}),
        (1, ALT, 151, "U/L", {"baseline": 100, "baseline_high": True}),
        (None, "Ammonia increased", 151, "umol/L", NORMAL),
        (None, None, 151, "U/L", NORMAL),
        (4, "Platelet count decreased", 24, "10^9/L", {}),
        (4, "Platelet count decreased", 0, "10^9/L", {}),
        (2, "Platelet count decreased", 60, "10^9/L", {}),
        (None, "Platelet count decreased", 80, "10^9/L", {}),
        (None, "Creatinine increased", 211, "umol/L", {"uln": 97}),
        (4, "Creatinine increased", 600, "umol/L", {"uln": 97}),
        (None, "Creatinine increased", 300, "umol/L", {"baseline": 70}),
        (2, "INR increased", 1.6, "RATIO", {}),
        (2, "INR increased", 1.6, None, {}),
        (1, "inr INCREASED", 1.3, "RATIO", {"baseline": 0.5}),
        (1, "Hypokalemia", 3.2, "mmol/L", {"lln": 3.5}),
        (2, "Hyponatremia", 127, "mmol/L", {"lln": 137}),
        (3, "Hyponatremia", 124.5, "mmol/L", {"lln": 137}),
    ],
)
def test_a_grade_is_given_only_where_it_is_known(
    expected: float | None, term: str | None, value: float | None, unit: str | None, other: dict[str, Any]
) -> None:
    assert grade(term, value, unit, **other) == expected


@pytest.mark.parametrize(
    ("term", "unit", "value", "listed", "factor", "other"),
    [
        ("Hypoalbuminemia", "g/L", 29.9, "g/dL", 10, {"lln": 40}),
        ("Anemia", "g/L", 79.9, "g/dL", 10, {"lln": 130}),
        ("Fibrinogen decreased", "g/L", 0.49, "mg/dL", 0.01, {"lln": 2.0}),
        ("Blood bilirubin increased", "umol/L", 34.2, "mg/dL", 17.1, {**NORMAL, "uln": 17.1}),
        ("Platelet count decreased", "10^9/L", 49, "/uL", 0.001, {"lln": 125}),
    ],
)
def test_a_listed_unit_gives_the_same_grade(
    term: str, unit: str, value: float, listed: str, factor: float, other: dict[str, Any]
) -> None:
    converted = {name: cell / factor if name in {"lln", "uln", "baseline"} else cell for name, cell in other.items()}
    assert grade(term, value, unit, **other) == grade(term, value / factor, listed, **converted)
    assert grade(term, value, unit, **other) in {2, 3, 4}


def test_a_unit_without_a_factor_is_refused() -> None:
    with pytest.raises(
        UnitError, match=r"Anemia in mmol/L \(1 rows; the rule is in g/L\)\. Convert .* or add the factor"
    ):
        grade("Anemia", 6.0, "mmol/L", lln=8.0)
    assert grade("Anemia", None, "mmol/L") is None
    assert grade("Ammonia increased", 60.0, "parsecs") is None


def test_rows_of_many_terms_keep_index_and_order() -> None:
    index = pd.Index(["d", "a", "d"])
    grades = ctcae.compute_toxicity_grades(
        term=pd.Series(["Anemia", ALT, "Ammonia"], index=index).astype("category"),
        value=pd.Series([79.0, 151.0, 60.0], index=index),
        unit=pd.Series(["g/L", "U/L", "umol/L"], index=index).astype("category"),
        lln=pd.Series([130.0, np.nan, 10.0], index=index),
        uln=pd.Series([np.nan, 50.0, 50.0], index=index),
        baseline=pd.Series([np.nan, 40.0, 40.0], index=index),
        baseline_high=pd.Series([None, False, False], index=index),
    )
    pd.testing.assert_series_equal(grades, pd.Series([3.0, 2.0, np.nan], index=index))


def test_terms_of_a_test_by_direction() -> None:
    tests = pd.Series(["SODIUM", "ALT", "AMMONIA", None])
    low = ctcae.compute_toxicity_terms(test_code=tests, direction="L")
    high = ctcae.compute_toxicity_terms(test_code=tests, direction="H")
    assert low.astype(object).where(low.notna(), None).tolist() == ["Hyponatremia", None, None, None]
    assert high.astype(object).where(high.notna(), None).tolist() == ["Hypernatremia", ALT, None, None]


def test_the_factors_are_those_of_the_conversions() -> None:
    rules = ctcae.published_criteria().rules
    assert rules["blood bilirubin increased"].factors["mg/dL"] == conversions.BILIRUBIN_UMOL_L_PER_MG_DL
    assert rules["creatinine increased"].factors["mg/dL"] == conversions.CREATININE_UMOL_L_PER_MG_DL
    assert rules["hypoalbuminemia"].factors["g/dL"] == conversions.ALBUMIN_G_L_PER_G_DL


@pytest.mark.parametrize(
    ("file", "line", "message"),
    [
        ("criteria.csv", "Anemia,5,any,<,1,LLN", "grade is '5'"),
        ("criteria.csv", "Anemia,1,low,<,1,LLN", "baseline is 'low'"),
        ("criteria.csv", "Anemia,1,any,=,1,LLN", "comparison is '='"),
        ("criteria.csv", "Anemia,1,any,<,one,LLN", "factor is 'one'"),
        ("criteria.csv", "Anemia,1,any,<,1,MEAN", "of is 'MEAN'"),
        ("criteria.csv", "Anaemia,1,any,<,1,LLN", "term is 'Anaemia'"),
        ("units.csv", "Anemia,g/L,1", "the unit listed twice"),
        ("units.csv", "Anemia,kg/L,-1", "the factor none"),
        ("terms.csv", "Polycythaemia,HGB,H,g/L,", "has no criterion"),
        ("terms.csv", "Anemia", "cannot be read"),
    ],
)
def test_faults_of_the_criteria_are_found_when_they_are_read(
    tmp_path: Path, file: str, line: str, message: str
) -> None:
    folder = tmp_path / "ctcae-5.0"
    shutil.copytree(ctcae.PUBLISHED, folder)
    with (folder / file).open("a", encoding="utf-8") as stream:
        stream.write(line + "\n")
    with pytest.raises(ConfigurationError, match=message):
        ctcae.Criteria.load(folder)


def test_a_missing_file_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"terms\.csv: cannot be read"):
        ctcae.Criteria.load(tmp_path)
