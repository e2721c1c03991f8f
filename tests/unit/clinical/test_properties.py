"""What must hold whatever the inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.clinical import albi, child_pugh, conversions, egfr, meld

INPUTS: dict[str, st.SearchStrategy] = {
    "bilirubin_mg_dl": st.floats(0.05, 60),
    "creatinine_mg_dl": st.floats(0.1, 12),
    "inr": st.floats(0.5, 12),
    "dialysed": st.booleans(),
    "sodium_mmol_l": st.floats(100, 170),
    "albumin_g_dl": st.floats(0.8, 6),
    "female": st.booleans(),
    "etiology_alcoholic_or_cholestatic": st.booleans(),
    "bilirubin_umol_l": st.floats(0.5, 1000),
    "albumin_g_l": st.floats(5, 70),
    "age_years": st.integers(18, 110),
    "encephalopathy_grade": st.integers(0, 4),
    "ascites": st.sampled_from(["ABSENT", "SLIGHT", "MODERATE"]),
}
MELD = ("bilirubin_mg_dl", "creatinine_mg_dl", "inr", "dialysed")
MELD_3_0 = (*MELD, "sodium_mmol_l", "albumin_g_dl", "female")


def child_pugh_total(**columns: pd.Series) -> pd.Series:
    points = child_pugh.compute_child_pugh_points(**columns, thresholds=child_pugh.SI)
    return child_pugh.compute_child_pugh_total(points=points)


CHILD_PUGH = ("bilirubin_umol_l", "albumin_g_l", "inr", "ascites", "encephalopathy_grade")
SCORES: list[tuple[Callable[..., pd.Series], tuple[str, ...]]] = [
    (meld.compute_meld_i_raw, MELD),
    (meld.compute_meld_i, MELD),
    (meld.compute_meld_etiology_raw, (*MELD, "etiology_alcoholic_or_cholestatic")),
    (meld.compute_meld_etiology, (*MELD, "etiology_alcoholic_or_cholestatic")),
    (meld.compute_meld_na, (*MELD, "sodium_mmol_l")),
    (meld.compute_meld_3_0_raw, MELD_3_0),
    (meld.compute_meld_3_0, MELD_3_0),
    (child_pugh_total, CHILD_PUGH),
    (albi.compute_albi, ("bilirubin_umol_l", "albumin_g_l")),
    (egfr.compute_egfr_ckd_epi_2021, ("creatinine_mg_dl", "age_years", "female")),
]
NAMES = [function.__name__ for function, _ in SCORES]
# Few examples of many rows each: the functions are vectorised, and a frame costs more than a row.
examples = settings(max_examples=15, deadline=None)
every_score = pytest.mark.parametrize(("score", "inputs"), SCORES, ids=NAMES)


def records(inputs: tuple[str, ...]) -> st.SearchStrategy[list[dict[str, Any]]]:
    return st.lists(st.fixed_dictionaries({name: INPUTS[name] for name in inputs}), min_size=1, max_size=20)


def columns(rows: list[dict[str, Any]], index: list[str] | None = None) -> dict[str, pd.Series]:
    return {str(name): column for name, column in pd.DataFrame(rows, index=index).items()}


@every_score
@examples
@given(data=st.data())
def test_rows_do_not_see_each_other_and_the_index_stays(
    score: Any, inputs: tuple[str, ...], data: st.DataObject
) -> None:
    rows = data.draw(records(inputs))
    labels = [f"S{number}" for number in range(len(rows))]
    together = score(**columns(rows, labels))
    assert list(together.index) == labels
    assert together.notna().all()
    order = data.draw(st.permutations(labels))
    moved = score(**{name: column.loc[order] for name, column in columns(rows, labels).items()})
    pd.testing.assert_series_equal(moved, together.loc[order])
    alone = score(**columns(rows[-1:], labels[-1:]))
    pd.testing.assert_series_equal(alone, together.iloc[-1:], check_exact=False, rtol=1e-14)


@every_score
@examples
@given(data=st.data())
def test_missing_in_missing_out(score: Any, inputs: tuple[str, ...], data: st.DataObject) -> None:
    rows = data.draw(records(inputs))
    absent = data.draw(st.sampled_from(inputs))
    given_columns = columns([*rows, {**rows[0], absent: None}])
    before = {name: column.copy() for name, column in given_columns.items()}
    result = score(**given_columns)
    assert result.isna().tolist() == [*(False for _ in rows), True]
    for name, column in given_columns.items():
        pd.testing.assert_series_equal(column, before[name])


@every_score
@examples
@given(data=st.data(), impossible=st.sampled_from([0.0, -1.0, np.inf, -np.inf]))
def test_an_impossible_number_counts_as_missing(
    score: Any, inputs: tuple[str, ...], data: st.DataObject, impossible: float
) -> None:
    numeric = [name for name in inputs if name.endswith(("_l", "_dl", "inr"))]
    row = data.draw(st.fixed_dictionaries({name: INPUTS[name] for name in inputs}))
    name = data.draw(st.sampled_from(numeric))
    assert score(**columns([{**row, name: impossible}])).isna().all()


WORSE_WHEN_HIGHER = {"bilirubin_mg_dl", "creatinine_mg_dl", "inr", "dialysed", "bilirubin_umol_l", "ascites"}
WORSE_WHEN_LOWER = {"albumin_g_l"}
RISING = WORSE_WHEN_HIGHER | {"encephalopathy_grade"}


@every_score
@examples
@given(data=st.data())
def test_monotone(score: Any, inputs: tuple[str, ...], data: st.DataObject) -> None:
    rows = data.draw(records(inputs))
    name = data.draw(st.sampled_from([name for name in inputs if name in RISING | WORSE_WHEN_LOWER]))
    severity = ["ABSENT", "SLIGHT", "MODERATE"].index if name == "ascites" else float
    pairs = [sorted((row[name], data.draw(INPUTS[name])), key=severity) for row in rows]
    first = score(**columns([{**row, name: low} for row, (low, _) in zip(rows, pairs, strict=True)]))
    second = score(**columns([{**row, name: high} for row, (_, high) in zip(rows, pairs, strict=True)]))
    falls = name in WORSE_WHEN_LOWER or score is egfr.compute_egfr_ckd_epi_2021
    assert ((second <= first + 1e-12) if falls else (first <= second + 1e-12)).all()


@examples
@given(records((*MELD, "sodium_mmol_l")), st.floats(0, 30))
def test_meld_na_never_rises_with_sodium(rows: list[dict[str, Any]], more: float) -> None:
    lower = columns(rows)
    higher = {**lower, "sodium_mmol_l": lower["sodium_mmol_l"] + more}
    assert (meld.compute_meld_na(**higher) <= meld.compute_meld_na(**lower)).all()


@examples
@given(records(("creatinine_mg_dl", "age_years", "female")), st.integers(0, 40))
def test_egfr_falls_with_age(rows: list[dict[str, Any]], more: int) -> None:
    younger = columns(rows)
    older = {**younger, "age_years": younger["age_years"] + more}
    assert (egfr.compute_egfr_ckd_epi_2021(**older) <= egfr.compute_egfr_ckd_epi_2021(**younger)).all()


@examples
@given(records(MELD_3_0))
def test_inputs_beyond_their_bounds_count_as_the_bounds(rows: list[dict[str, Any]]) -> None:
    given_columns = columns(rows)
    held = {
        **given_columns,
        "bilirubin_mg_dl": given_columns["bilirubin_mg_dl"].clip(lower=1),
        "creatinine_mg_dl": given_columns["creatinine_mg_dl"].clip(1, 3),
        "inr": given_columns["inr"].clip(lower=1),
        "sodium_mmol_l": given_columns["sodium_mmol_l"].clip(125, 137),
        "albumin_g_dl": given_columns["albumin_g_dl"].clip(1.5, 3.5),
    }
    pd.testing.assert_series_equal(meld.compute_meld_3_0_raw(**given_columns), meld.compute_meld_3_0_raw(**held))
    classic = {name: given_columns[name] for name in MELD}
    within = {**{name: held[name] for name in MELD}, "creatinine_mg_dl": classic["creatinine_mg_dl"].clip(1, 4)}
    pd.testing.assert_series_equal(meld.compute_meld_i_raw(**classic), meld.compute_meld_i_raw(**within))


@examples
@given(records((*MELD_3_0, "etiology_alcoholic_or_cholestatic")))
def test_the_four_scores_and_each_other(rows: list[dict[str, Any]]) -> None:
    given_columns = columns(rows)
    classic = {name: given_columns[name] for name in MELD}
    score = meld.compute_meld_i(**classic)
    with_sodium = meld.compute_meld_na(**classic, sodium_mmol_l=given_columns["sodium_mmol_l"])
    newest = meld.compute_meld_3_0(**{name: given_columns[name] for name in MELD_3_0})
    etiology = meld.compute_meld_etiology(
        **classic, etiology_alcoholic_or_cholestatic=given_columns["etiology_alcoholic_or_cholestatic"]
    )
    for one in (score, with_sodium, newest, etiology):
        assert one.between(6, 40).all()
        assert (one == one.round()).all()
    assert (etiology <= score).all()
    assert (with_sodium >= score).all()
    unchanged = (score <= 11) | (given_columns["sodium_mmol_l"] >= 137)
    assert (with_sodium[unchanged] == score[unchanged]).all()


@examples
@given(records(CHILD_PUGH))
def test_child_pugh_lies_between_5_and_15_and_its_class_follows(rows: list[dict[str, Any]]) -> None:
    total = child_pugh_total(**columns(rows))
    assert total.between(5, 15).all()
    expected = ["A" if one <= 6 else "B" if one <= 9 else "C" for one in total]
    assert list(child_pugh.compute_child_pugh_class(total=total)) == expected


@examples
@given(st.lists(st.floats(0.01, 5000), min_size=1, max_size=20))
def test_units_there_and_back(values: list[float]) -> None:
    column = pd.Series(values)
    for there, back in (
        (
            conversions.compute_bilirubin_mg_dl(bilirubin_umol_l=column),
            lambda one: conversions.compute_bilirubin_umol_l(bilirubin_mg_dl=one),
        ),
        (
            conversions.compute_creatinine_mg_dl(creatinine_umol_l=column),
            lambda one: conversions.compute_creatinine_umol_l(creatinine_mg_dl=one),
        ),
        (
            conversions.compute_albumin_g_dl(albumin_g_l=column),
            lambda one: conversions.compute_albumin_g_l(albumin_g_dl=one),
        ),
    ):
        np.testing.assert_allclose(back(there), column, rtol=1e-15)
