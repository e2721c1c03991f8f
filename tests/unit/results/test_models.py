"""Models of repeated measures: which values are in one, what it says of itself, and what has no estimate."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import pytest

from tests.unit.results.hand_made import FRAMES, KEYS, frame, made, results_of
from transforms.errors import InputError
from transforms.results.engine import analyse

Value = tuple[str, str, int, float | None, float | None]
MODEL = {
    "id": "m",
    "method": "repeated_measures",
    "data": "ADEFF",
    "variable": "CHG",
    "baseline": "BASE",
    "visit": {"variable": "AVISIT", "order": "AVISITN"},
}


def test_a_model_of_one_visit_is_ordinary_regression() -> None:
    """One visit, one group: the adjusted mean at the mean baseline is the plain mean."""
    rows = made({**MODEL, "where": {"AVISIT": "Month 1"}}, columns="POOLED").results.to_pylist()
    found = {row["statistic"]: row["value"] for row in rows if row["analysis_id"] == "m"}
    assert found["n"] == 4
    assert found["estimate"] == pytest.approx(0.75, abs=1e-9)
    assert found["se"] == pytest.approx(1.75178, abs=1e-5)  # RSS 24.549801 over 2, over 4, its root
    assert found["df"] == pytest.approx(2)
    assert found["t"] == pytest.approx(0.75 / 1.75178, abs=1e-5)
    # Student's distribution with 2 degrees of freedom is elementary: p is 1 - t / root(2 + t^2), its 97.5% 4.302653.
    assert found["p"] == pytest.approx(1 - found["t"] / math.sqrt(2 + found["t"] ** 2))
    assert found["ci_high"] == pytest.approx(0.75 + 4.302653 * 1.75178, abs=1e-4)


def scores(rows: list[Value]) -> dict[str, pd.DataFrame]:
    """ADSL, and ADEFF of these subjects, groups, months, baselines and changes."""
    columns = ["STUDYID", "USUBJID", "PARAMCD", "AVISIT", "AVISITN", "TRTA", "BASE", "CHG"]
    written = [
        ("X", name, "SCORE", f"Month {month}", month, group, base, change) for name, group, month, base, change in rows
    ]
    return {"ADSL": FRAMES["ADSL"], "ADEFF": frame(columns, written)}


def modelled(rows: list[Value], **more: Any) -> list[dict[str, Any]]:
    content = {
        "title": "An output",
        "population": "ALL",
        "columns": "POOLED",
        "analyses": [{**MODEL, "factor": "TRTA", **more}],
    }
    found = analyse(results_of({"T1": content}), scores(rows), KEYS).results.to_pylist()
    return [row for row in found if row["analysis_id"] == "m"]


def texts(rows: list[dict[str, Any]], statistic: str) -> list[str]:
    return [row["text"] for row in rows if row["statistic"] == statistic]


THREE: list[Value] = [
    (f"X-{name}", "AB"[name % 2], month, base, change)
    for name, base, changes in (
        (1, 10, (2, 4, 5)), (2, 12, (-3, -1, 0)), (3, 9, (1, 1, 4)), (4, 14, (0, -2, 1)), (5, 11, (4, 3, 7)),
        (6, 20, (0, 1, -4)), (7, 16, (-2, 0, 1)), (8, 13, (3, 2, 6)),
    )
    for month, change in zip((1, 2, 3), changes, strict=True)
]  # fmt: skip


def test_a_model_names_the_covariance_it_was_fitted_with() -> None:
    rows = modelled(THREE)
    assert texts(rows, "covariance") == ["unstructured"] * 3
    assert not any(row["note"] for row in rows)
    few = modelled([row for row in THREE if row[0] in {"X-1", "X-2", "X-3", "X-4"}])
    assert texts(few, "covariance") == ["compound symmetry"] * 3
    assert "NE" not in [text for name in ("estimate", "se", "df", "p") for text in texts(few, name)]
    notes = {row["note"] for row in few if row["statistic"] == "covariance"}
    assert notes == {"unstructured: no maximum of the restricted likelihood was found"}


@pytest.mark.parametrize(
    ("rows", "n", "why"),
    [
        ([row for row in THREE if row[0] in {"X-1", "X-2"}], ["2", "2", "2"], "6 values for 6 coefficients"),
        ([(*row[:4], 1.0) for row in THREE], ["8", "8", "8"], "the values do not vary about their means"),
        ([(*row[:3], None, row[4]) for row in THREE], ["0", "0", "0"], "no values"),
        (
            [row for row in THREE if int(row[0][-1]) % 3 + 1 == row[2]],
            ["2", "3", "3"],
            "compound symmetry: the values do not determine its 2 parameters",
        ),
    ],
    ids=["too few", "no variance", "no baseline", "each once"],
)
def test_a_model_that_cannot_be_fitted_says_why(rows: list[Value], n: list[str], why: str) -> None:
    found = modelled(rows)
    assert texts(found, "n") == n
    for statistic in ("estimate", "se", "ci_low", "ci_high", "df", "t", "p", "covariance"):
        assert texts(found, statistic) == ["NE"] * 3
    assert all(why in row["note"] for row in found if row["statistic"] == "covariance")


def test_a_visit_without_a_group_has_no_mean_and_the_others_have() -> None:
    found = modelled([row for row in THREE if row[2] < 3 or row[1] == "B"])
    assert [text == "NE" for text in texts(found, "estimate")] == [False, False, True]
    assert texts(found, "n") == ["8", "8", "4"]


def test_a_subject_without_baseline_or_with_a_visit_missing_leaves_the_others() -> None:
    """Who has no baseline is as if absent; who misses a visit stays with the others."""
    unknown = [(*row[:3], None if row[0] == "X-8" else row[3], row[4]) for row in THREE]
    absent = [row for row in THREE if row[0] != "X-8"]
    assert [row["value"] for row in modelled(unknown)] == [row["value"] for row in modelled(absent)]
    missed = modelled([row for row in THREE if (row[0], row[2]) != ("X-8", 3)])
    assert texts(missed, "n") == ["8", "8", "7"]
    assert {row["n_records"] for row in missed} == {23}


def test_a_subject_with_two_values_at_a_visit_is_refused() -> None:
    with pytest.raises(InputError, match=r"m: a subject has several values of ADEFF.CHG at one AVISIT; restrict"):
        modelled([*THREE, THREE[0]])


def test_only_listed_visits_are_in_a_model() -> None:
    found = modelled(THREE, visit={"variable": "AVISIT", "values": ["Month 1", "Month 2", "Month 9"]})
    assert texts(found, "n") == ["8", "8", "0"]
    assert texts(found, "estimate")[2] == "NE"
    assert {row["n_records"] for row in found} == {16}
    assert all("avisit in ('Month 1', 'Month 2', 'Month 9')" in row["source_where"] for row in found)
