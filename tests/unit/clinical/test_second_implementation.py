"""The functions against a slow second implementation on grids that hold every cut-off and both its sides."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest

from tests.unit.clinical import second
from transforms.clinical import albi, child_pugh, conversions, ctcae, egfr, meld

BILIRUBIN = (0.4, 1.0, 1.01, 1.9999, 2.0, 3.7, 12.28, 40.0)
CREATININE = (0.5, 1.0, 1.3, 2.9, 3.0, 3.01, 4.0, 4.5)
INR = (0.9, 1.0, 1.2, 1.69, 1.7, 2.3, 2.31, 5.0)
SODIUM = (120.0, 125.0, 131.5, 137.0, 145.0)
ALBUMIN = (1.2, 1.5, 2.75, 3.5, 4.4)


def grid(**axes: tuple) -> pd.DataFrame:
    return pd.DataFrame(product(*axes.values()), columns=list(axes))


def test_meld_i_and_its_aetiology_term() -> None:
    rows = grid(bilirubin_mg_dl=BILIRUBIN, creatinine_mg_dl=CREATININE, inr=INR, dialysed=(True, False))
    inputs = {str(name): column for name, column in rows.items()}
    raw = [second.meld_i_raw(*row) for row in rows.itertuples(index=False)]
    np.testing.assert_allclose(meld.compute_meld_i_raw(**inputs), [float(one) for one in raw], rtol=1e-13)
    assert list(meld.compute_meld_i(**inputs)) == [second.bounded(one) for one in raw]
    without = [second.meld_i_raw(*row, constant="0") for row in rows.itertuples(index=False)]
    alcoholic = pd.Series(True, index=rows.index)
    score = meld.compute_meld_etiology(**inputs, etiology_alcoholic_or_cholestatic=alcoholic)
    assert list(score) == [second.bounded(one) for one in without]


def test_meld_na() -> None:
    rows = grid(bilirubin_mg_dl=BILIRUBIN, creatinine_mg_dl=CREATININE, inr=INR, dialysed=(False,), sodium=SODIUM)
    score = meld.compute_meld_na(
        **{name: rows[name] for name in ("bilirubin_mg_dl", "creatinine_mg_dl", "inr", "dialysed")},
        sodium_mmol_l=rows.sodium,
    )
    assert list(score) == [second.meld_na(*row) for row in rows.itertuples(index=False)]


def test_meld_3_0() -> None:
    rows = grid(
        bilirubin_mg_dl=BILIRUBIN[::2],
        creatinine_mg_dl=CREATININE[::2],
        inr=INR[::3],
        dialysed=(True, False),
        sodium_mmol_l=SODIUM,
        albumin_g_dl=ALBUMIN,
        female=(True, False),
    )
    inputs = {str(name): column for name, column in rows.items()}
    raw = [second.meld_3_0_raw(*row) for row in rows.itertuples(index=False)]
    np.testing.assert_allclose(meld.compute_meld_3_0_raw(**inputs), [float(one) for one in raw], rtol=1e-12)
    assert list(meld.compute_meld_3_0(**inputs)) == [second.bounded(one) for one in raw]


def test_albi() -> None:
    rows = grid(bilirubin_umol_l=(1.0, 5.0, 10.0, 17.1, 58.0, 300.0), albumin_g_l=tuple(range(10, 56)))
    score = albi.compute_albi(bilirubin_umol_l=rows.bilirubin_umol_l, albumin_g_l=rows.albumin_g_l)
    expected = [second.albi(*row) for row in rows.itertuples(index=False)]
    np.testing.assert_allclose(score, [float(one) for one, _ in expected], rtol=1e-12, atol=1e-12)
    assert list(albi.compute_albi_grade(albi=score)) == [grade for _, grade in expected]


def test_albi_grade_at_and_beside_the_cut_offs() -> None:
    scores = pd.Series([-2.61, -2.60, -2.5999, -1.3901, -1.39, -1.3899, -1.385, -2.6 + 1e-15])
    assert list(albi.compute_albi_grade(albi=scores)) == [1, 1, 2, 2, 2, 3, 3, 1]


def test_egfr() -> None:
    rows = grid(creatinine_mg_dl=(0.3, 0.69, 0.7, 0.71, 0.9, 1.0, 4.3), age_years=(18, 45, 90), female=(True, False))
    rate = egfr.compute_egfr_ckd_epi_2021(**{str(name): column for name, column in rows.items()})
    expected = [float(second.egfr(*row)) for row in rows.itertuples(index=False)]
    np.testing.assert_allclose(rate, expected, rtol=1e-13)


def test_child_pugh_with_cut_offs_in_mg_dl() -> None:
    rows = grid(
        bilirubin=("1.99", "2", "2.0", "2.5", "3", "3.01"),
        albumin=("3.51", "3.5", "2.8", "2.79"),
        inr=("1.69", "1.7", "2.3", "2.31"),
        ascites=("ABSENT", "SLIGHT", "MODERATE"),
        encephalopathy=(0, 1, 2, 3, 4),
    )
    points = child_pugh.compute_child_pugh_points(
        bilirubin_umol_l=conversions.compute_bilirubin_umol_l(bilirubin_mg_dl=rows.bilirubin.astype(float)),
        albumin_g_l=conversions.compute_albumin_g_l(albumin_g_dl=rows.albumin.astype(float)),
        inr=rows.inr.astype(float),
        ascites=rows.ascites,
        encephalopathy_grade=rows.encephalopathy,
        thresholds=child_pugh.MG_DL,
    )
    total = child_pugh.compute_child_pugh_total(points=points)
    assert list(total) == [second.child_pugh(*row) for row in rows.itertuples(index=False)]


def graded(test: str, direction: str, unit: str, rows: pd.DataFrame) -> pd.Series:
    index = rows.index
    missing = pd.Series(np.nan, index=index)
    test_code = pd.Series(test, index=index)
    return ctcae.compute_toxicity_grades(
        term=ctcae.compute_toxicity_terms(test_code=test_code, direction="H" if direction == "H" else "L"),
        value=rows.value,
        unit=pd.Series(unit, index=index),
        lln=rows.get("lower", missing),
        uln=rows.get("upper", missing),
        baseline=rows.get("baseline", missing),
        baseline_high=rows.get("high", missing),
    )


CUT_OFFS = (1, 1.2, 1.5, 2, 2.5, 3, 5, 6, 10, 20)
MULTIPLES = (0, 0.3, *(cut_off + step for cut_off in CUT_OFFS for step in (-0.001, 0, 0.001)))


@pytest.mark.parametrize("test", ["ALT", "AST", "ALP", "GGT", "BILI", "CREAT", "LDH", "APTT", "INR"])
def test_grades_of_high_results(test: str) -> None:
    unit = {"BILI": "umol/L", "CREAT": "umol/L", "APTT": "s", "INR": "RATIO"}.get(test, "U/L")
    limits = (
        [(40, 30, False), (40, 40, False), (40, 70, True), (33.3, 77.7, True)] if test != "INR" else [(1, 1, False)]
    )
    rows = pd.DataFrame(
        [
            (round(multiple * of, 9), upper, baseline, high)
            for upper, baseline, high in limits
            for of in {upper, baseline}
            for multiple in MULTIPLES
        ],
        columns=["value", "upper", "baseline", "high"],
    )
    expected = [
        second.ctcae_high(test, row.value, upper=row.upper, baseline=row.baseline, high=row.high)
        for row in rows.itertuples()
    ]
    assert list(graded(test, "H", unit, rows)) == expected
    assert max(expected) == {"LDH": 1, "APTT": 3, "INR": 3}.get(test, 4)


@pytest.mark.parametrize(
    ("test", "upper", "ends"), [("SODIUM", 145, (145, 150, 155, 160)), ("K", 5.3, (5.3, 5.5, 6, 7))]
)
def test_grades_of_high_electrolytes(test: str, upper: float, ends: tuple[float, ...]) -> None:
    rows = pd.DataFrame([(end + step, upper) for end in ends for step in (-0.1, 0, 0.1)], columns=["value", "upper"])
    expected = [second.ctcae_high(test, round(row.value, 6), upper=row.upper) for row in rows.itertuples()]
    assert list(graded(test, "H", "mmol/L", rows)) == expected
    assert set(expected) == {0, 1, 2, 3, 4}


@pytest.mark.parametrize(
    ("test", "unit", "lower", "ends"),
    [
        ("ALB", "g/L", 40, (40, 30, 20)),
        ("PLAT", "10^9/L", 125, (125, 75, 50, 25)),
        ("PLAT", "10^9/L", 60, (75, 60, 50, 25)),
        ("WBC", "10^9/L", 3.5, (3.5, 3, 2, 1)),
        ("NEUT", "10^9/L", 1.8, (1.8, 1.5, 1, 0.5)),
        ("LYM", "10^9/L", 1.1, (1.1, 0.8, 0.5, 0.2)),
        ("HGB", "g/L", 130, (130, 100, 80)),
        ("SODIUM", "mmol/L", 137, (137, 130, 129, 125, 124, 120)),
        ("K", "mmol/L", 3.5, (3.5, 3, 2.5)),
        ("FIBRINO", "g/L", 2.5, (2.5, 1.875, 1.25, 0.625, 0.5)),
        ("FIBRINO", "g/L", 1.6, (1.6, 1.2, 0.8, 0.5, 0.4)),
    ],
)
def test_grades_of_low_results(test: str, unit: str, lower: float, ends: tuple[float, ...]) -> None:
    values = [0.0, *(round(end + step, 6) for end in ends for step in (-0.001, 0, 0.001))]
    rows = pd.DataFrame({"value": values, "lower": lower})
    expected = [second.ctcae_low(test, value, lower=lower) for value in values]
    assert list(graded(test, "L", unit, rows)) == expected
    assert len(set(expected)) > 3
