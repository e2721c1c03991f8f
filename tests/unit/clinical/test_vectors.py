"""The vectors of the study's specification; SOURCE.md says where they come from."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from transforms.clinical import albi, child_pugh, conversions, ctcae, egfr, meld
from transforms.core import numbers

Vectors = Callable[[str], pd.DataFrame]


def equal_as_printed(computed: pd.Series, printed: pd.Series, decimals: int) -> None:
    assert [f"{value:.{decimals}f}" for value in numbers.round_column(computed, decimals)] == [
        f"{value:.{decimals}f}" for value in printed
    ]


@pytest.fixture
def meld_vectors(vectors: Vectors) -> pd.DataFrame:
    return vectors("meld")


@pytest.fixture
def measured(meld_vectors: pd.DataFrame) -> dict[str, pd.Series]:
    return {
        "bilirubin_mg_dl": conversions.compute_bilirubin_mg_dl(bilirubin_umol_l=meld_vectors.bilirubin_umol_l),
        "creatinine_mg_dl": conversions.compute_creatinine_mg_dl(creatinine_umol_l=meld_vectors.creatinine_umol_l),
        "inr": meld_vectors.inr,
        "dialysed": meld_vectors.dialysed == "Y",
    }


def test_conversions_of_the_meld_vectors(meld_vectors: pd.DataFrame, measured: dict[str, pd.Series]) -> None:
    equal_as_printed(measured["bilirubin_mg_dl"], meld_vectors.bilirubin_mg_dl, 4)
    equal_as_printed(measured["creatinine_mg_dl"], meld_vectors.creatinine_mg_dl, 4)


def test_meld_i(meld_vectors: pd.DataFrame, measured: dict[str, pd.Series]) -> None:
    equal_as_printed(meld.compute_meld_i_raw(**measured), meld_vectors.meld_i_raw, 4)
    assert list(meld.compute_meld_i(**measured)) == list(meld_vectors.meld_i)


def test_meld_with_the_term_for_aetiology(meld_vectors: pd.DataFrame, measured: dict[str, pd.Series]) -> None:
    alcoholic = pd.Series(True, index=meld_vectors.index)
    raw = meld.compute_meld_etiology_raw(**measured, etiology_alcoholic_or_cholestatic=alcoholic)
    equal_as_printed(raw, meld_vectors.meld_etiology_raw, 4)
    whole = meld.compute_meld_etiology(**measured, etiology_alcoholic_or_cholestatic=alcoholic)
    assert list(whole) == list(meld_vectors.meld_etiology)
    other = meld.compute_meld_etiology(**measured, etiology_alcoholic_or_cholestatic=~alcoholic)
    assert list(other) == list(meld_vectors.meld_i)


def test_meld_na(meld_vectors: pd.DataFrame, measured: dict[str, pd.Series]) -> None:
    score = meld.compute_meld_na(**measured, sodium_mmol_l=meld_vectors.sodium_mmol_l)
    assert list(score) == list(meld_vectors.meld_na)


def test_meld_3_0(meld_vectors: pd.DataFrame, measured: dict[str, pd.Series]) -> None:
    more = {
        "sodium_mmol_l": meld_vectors.sodium_mmol_l,
        "albumin_g_dl": conversions.compute_albumin_g_dl(albumin_g_l=meld_vectors.albumin_g_l),
        "female": meld_vectors.sex == "F",
    }
    equal_as_printed(meld.compute_meld_3_0_raw(**measured, **more), meld_vectors.meld_3_0_raw, 4)
    assert list(meld.compute_meld_3_0(**measured, **more)) == list(meld_vectors.meld_3_0)
    uncapped = meld.compute_meld_3_0(**measured, **more, cap=60)
    assert list(uncapped) == [*meld_vectors.meld_3_0[:10], 48, *meld_vectors.meld_3_0[11:]]


@pytest.mark.parametrize(("thresholds", "suffix"), [(child_pugh.SI, ""), (child_pugh.MG_DL, "_mg_dl")])
@pytest.mark.parametrize("coagulation", ["inr", "pt_prolongation_s"])
def test_child_pugh(vectors: Vectors, thresholds: child_pugh.Thresholds, suffix: str, coagulation: str) -> None:
    rows = vectors("child_pugh").dropna(subset=[coagulation])
    assert len(rows) == (10 if coagulation == "inr" else 2)
    points = child_pugh.compute_child_pugh_points(
        bilirubin_umol_l=rows.bilirubin_umol_l,
        albumin_g_l=rows.albumin_g_l,
        ascites=rows.ascites,
        encephalopathy_grade=rows.encephalopathy_grade,
        thresholds=thresholds,
        **{coagulation: rows[coagulation]},
    )
    if not suffix:
        printed = rows[[f"{item}_points" for item in child_pugh.ITEMS]].to_numpy()
        np.testing.assert_array_equal(points.to_numpy(), printed)
    total = child_pugh.compute_child_pugh_total(points=points)
    assert list(total) == list(rows[f"total{suffix}"])
    assert list(child_pugh.compute_child_pugh_class(total=total)) == list(rows[f"class{suffix}"])


def test_albi(vectors: Vectors) -> None:
    rows = vectors("albi")
    score = albi.compute_albi(bilirubin_umol_l=rows.bilirubin_umol_l, albumin_g_l=rows.albumin_g_l)
    equal_as_printed(score, rows.albi, 4)
    assert list(albi.compute_albi_grade(albi=score)) == list(rows.grade)


def test_egfr(vectors: Vectors) -> None:
    rows = vectors("egfr")
    creatinine = conversions.compute_creatinine_mg_dl(creatinine_umol_l=rows.creatinine_umol_l)
    equal_as_printed(creatinine, rows.creatinine_mg_dl, 4)
    rate = egfr.compute_egfr_ckd_epi_2021(creatinine_mg_dl=creatinine, age_years=rows.age_years, female=rows.sex == "F")
    equal_as_printed(rate, rows.egfr, 3)
    equal_as_printed(rate, rows.egfr_rounded, 0)


def test_toxicity_grades(vectors: Vectors) -> None:
    rows = vectors("ctcae")
    low = ctcae.compute_toxicity_terms(test_code=rows.test_code, direction="L").astype("str")
    high = ctcae.compute_toxicity_terms(test_code=rows.test_code, direction="H").astype("str")
    grades = ctcae.compute_toxicity_grades(
        term=high.where(rows.direction == "H", low),
        value=rows.value,
        unit=rows.unit,
        lln=rows.lln,
        uln=rows.uln,
        baseline=rows.baseline,
        baseline_high=rows.baseline_high.map({"Y": True, "N": False}),
    )
    assert list(grades) == list(rows.grade)
