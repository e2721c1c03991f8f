"""What the scores refuse, and what they do with numbers that cannot be."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from transforms.clinical import albi, child_pugh, conversions, egfr, karnofsky, meld
from transforms.errors import CairnError, InputError


def usual(**other: pd.Series) -> dict[str, pd.Series]:
    return {
        "bilirubin_mg_dl": pd.Series([2.0, 3.0]),
        "creatinine_mg_dl": pd.Series([1.0, 1.5]),
        "inr": pd.Series([1.2, 1.4]),
        "dialysed": pd.Series([False, True]),
        **other,
    }


def test_columns_of_different_records_are_refused() -> None:
    with pytest.raises(InputError, match=r"inr and bilirubin_mg_dl have different indexes\. Take them from the same"):
        meld.compute_meld_i(**usual(inr=pd.Series([1.2, 1.4], index=[1, 0])))
    with pytest.raises(InputError, match="sodium_mmol_l and bilirubin_mg_dl have different indexes"):
        meld.compute_meld_na(**usual(), sodium_mmol_l=pd.Series([130.0]))
    assert issubclass(InputError, CairnError)


def test_text_is_not_read_as_a_number() -> None:
    with pytest.raises(InputError, match="inr holds str values"):
        meld.compute_meld_i(**usual(inr=pd.Series(["1.2", "1.4"])))
    with pytest.raises(InputError, match="inr holds bool values"):
        meld.compute_meld_i(**usual(inr=pd.Series([True, False])))
    with pytest.raises(InputError, match="dialysed holds values other than True and False"):
        meld.compute_meld_i(**usual(dialysed=pd.Series(["Y", "N"])))
    with pytest.raises(InputError, match=r"dialysed is a bool\. Give a pandas Series"):
        meld.compute_meld_i(**{**usual(), "dialysed": False})


@pytest.mark.parametrize(
    "dialysed",
    [
        pd.Series([False, True]),
        pd.Series([False, True], dtype="boolean"),
        pd.Series([0, 1]),
        pd.Series([0.0, 1.0]),
        pd.Series([False, True], dtype=object),
        pd.Series([False, True]).astype("category"),
    ],
    ids=lambda column: str(column.dtype),
)
def test_truth_values_of_any_kind(dialysed: pd.Series) -> None:
    expected = meld.compute_meld_i(**usual())
    pd.testing.assert_series_equal(meld.compute_meld_i(**usual(dialysed=dialysed)), expected)


@pytest.mark.parametrize("dtype", ["Float64", "float32", "double[pyarrow]"])
def test_numbers_of_any_kind(dtype: str) -> None:
    score = meld.compute_meld_i(**usual(inr=pd.Series([1.5, None], dtype=dtype)))
    expected = meld.compute_meld_i(**usual(inr=pd.Series([1.5, np.nan])))
    pd.testing.assert_series_equal(score, expected)
    assert score.dtype == np.float64


def test_no_rows_and_no_values() -> None:
    empty = {name: column.iloc[:0] for name, column in usual().items()}
    assert meld.compute_meld_i(**empty).empty
    nothing = {name: pd.Series([None, None]) for name in usual()}
    assert meld.compute_meld_i(**nothing).isna().tolist() == [True, True]


def test_dialysis_does_not_stand_in_for_a_missing_creatinine() -> None:
    score = meld.compute_meld_i(**usual(creatinine_mg_dl=pd.Series([np.nan, np.nan])))
    assert score.isna().all()


def test_a_cut_off_is_not_missed_by_binary_arithmetic() -> None:
    score = albi.compute_albi_grade(albi=pd.Series([-1.3 - 0.09, -2.2 - 0.4]))
    assert list(score) == [2, 1]
    points = child_pugh.compute_child_pugh_points(
        bilirubin_umol_l=pd.Series([3 * 17.0, 0.1 * 3 * 171]),
        albumin_g_l=pd.Series([3.5 * 10, 2.8 * 10]),
        inr=pd.Series([0.1 * 17, 2.3]),
        ascites=pd.Series(["absent", " Slight"]),
        encephalopathy_grade=pd.Series([0, 2]),
        thresholds=child_pugh.MG_DL,
    )
    assert points.to_numpy().tolist() == [[2, 2, 2, 1, 1], [2, 2, 2, 2, 2]]


def child_pugh_inputs(**other: pd.Series) -> dict[str, pd.Series]:
    return {
        "bilirubin_umol_l": pd.Series([20.0]),
        "albumin_g_l": pd.Series([38.0]),
        "ascites": pd.Series(["ABSENT"]),
        "encephalopathy_grade": pd.Series([0]),
        **other,
    }


def test_child_pugh_takes_exactly_one_measure_of_coagulation() -> None:
    one = pd.Series([1.2])
    with pytest.raises(InputError, match="Give exactly one of them"):
        child_pugh.compute_child_pugh_points(**child_pugh_inputs(), thresholds=child_pugh.SI)
    with pytest.raises(InputError, match="Give exactly one of them"):
        child_pugh.compute_child_pugh_points(
            **child_pugh_inputs(), inr=one, pt_prolongation_s=one, thresholds=child_pugh.SI
        )


def test_child_pugh_refuses_a_text_it_does_not_know_without_showing_it() -> None:
    inputs = child_pugh_inputs(ascites=pd.Series(["a lot"]), inr=pd.Series([1.2]))
    with pytest.raises(InputError, match=r"other than ABSENT, SLIGHT, MODERATE on 1 row") as caught:
        child_pugh.compute_child_pugh_points(**inputs, thresholds=child_pugh.SI)
    assert "a lot" not in str(caught.value)


@pytest.mark.parametrize("grade", [-1, 5, 1.5])
def test_a_west_haven_grade_that_is_none_gives_no_total(grade: float) -> None:
    points = child_pugh.compute_child_pugh_points(
        **child_pugh_inputs(encephalopathy_grade=pd.Series([grade])), inr=pd.Series([1.2]), thresholds=child_pugh.SI
    )
    assert points.iloc[0].isna().tolist() == [False, False, False, False, True]
    assert child_pugh.compute_child_pugh_total(points=points).isna().all()


def test_a_prothrombin_time_below_control_is_not_prolonged() -> None:
    points = child_pugh.compute_child_pugh_points(
        **child_pugh_inputs(), pt_prolongation_s=pd.Series([-0.4]), thresholds=child_pugh.SI
    )
    assert points.coagulation.tolist() == [1]


def test_a_number_that_is_no_total_has_no_class() -> None:
    classes = child_pugh.compute_child_pugh_class(total=pd.Series([4, 5, 6.5, 15, 16, np.nan]))
    assert classes.isna().tolist() == [True, False, True, False, True, True]


def test_egfr_is_for_adults() -> None:
    rate = egfr.compute_egfr_ckd_epi_2021(
        creatinine_mg_dl=pd.Series([1.0, 1.0, 1.0]),
        age_years=pd.Series([17, 18, -3]),
        female=pd.Series([False, False, False]),
    )
    assert rate.isna().tolist() == [True, False, True]


def test_karnofsky_scores() -> None:
    score = pd.Series([0, 10, 95, 100, 110, -10, np.nan, np.inf])
    valid = karnofsky.is_karnofsky_score(score=score)
    assert valid.tolist() == [True, True, False, True, False, False, pd.NA, False]


def test_the_other_conversions() -> None:
    glucose = conversions.compute_glucose_mmol_l(glucose_mg_dl=pd.Series([100.0]))
    assert glucose.tolist() == pytest.approx([5.55])
    nitrogen = conversions.compute_urea_nitrogen_mg_dl(urea_mmol_l=pd.Series([5.0]))
    assert nitrogen.tolist() == pytest.approx([14.0])
