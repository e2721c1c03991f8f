"""Columns that compare groups: who stands in them, and what they say."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tests.unit.results.hand_made import FRAMES, KEYS, SHARED, frame, values
from transforms.reporting.layout import Page, pages_of
from transforms.results.engine import Analysed, analyse
from transforms.results.selection import from_json
from transforms.study.results import Grouping, Output, Results, ResultsFile, joined

ARMS = {
    **SHARED["groupings"]["ARMS"],
    "comparisons": [{"id": "AB", "label": "A and B", "groups": ["A", "B"]}],
}
COUNT = {"id": "any", "label": "Any", "method": "count", "data": "EMERGENT", "test": "fisher"}


def results_of(*analyses: dict[str, Any], groupings: dict[str, Any] | None = None, **output: Any) -> Results:
    content = {"title": "An output", "population": "SAFETY", "columns": "ARMS", "analyses": list(analyses), **output}
    file = {**SHARED, "groupings": groupings or {"ARMS": ARMS}, "outputs": {"T1": content}}
    return joined([("results/x.yml", ResultsFile.model_validate(file))])[0]


def made(*analyses: dict[str, Any], **output: Any) -> Analysed:
    return analyse(results_of(*analyses, **output), FRAMES, KEYS)


def page(found: Analysed) -> Page:
    return next(iter(pages_of(found.outputs, found.results)))


def test_fisher_at_each_level() -> None:
    """By hand: 2 of 4 and 1 of 3 is the likeliest table of its margins, and so is 1 of 4 and 0 of 3."""
    found = made({**COUNT, "nested": True, "by": ["SOC", "TERM"]})
    p = values(found, "p")
    assert p["AB",] == 1
    assert p["AB", "Skin", "Itch"] == 1
    assert {key[0] for key in p} == {"AB"}
    header, *_ = page(found).headings
    assert [one.text for one in header] == ["", "Arm A\n(N=4)", "Arm B\n(N=3)", "Total\n(N=7)", "A and B"]
    assert page(found).rows[0].cells == ("2 (50.0%)", "1 (33.3%)", "3 (42.9%)", "1.0000")


def test_chi_square_stands_beside_the_label() -> None:
    """By hand: of women, men and unknown A has 1, 3, 0 and B 2, 0, 1; chi-square is 77/18, of 2 degrees of freedom."""
    by = [{"variable": "SEX", "values": ["F", "M"], "missing": "Unknown"}]
    found = made({"id": "sex", "label": "Sex", "method": "count", "data": "ADSL", "test": "chi_square", "by": by})
    assert values(found, "p")["AB",] == pytest.approx(math.exp(-77 / 36))
    label, *levels = page(found).rows
    assert (label.label, label.cells[:3]) == ("Sex", ("", "", ""))
    assert label.cells[3] == "0.1178"
    assert [one.label for one in levels] == ["F", "M", "Unknown"]
    assert {one.cells[3] for one in levels} == {""}


def test_variance_stands_on_the_first_line() -> None:
    found = made({"id": "age", "label": "Age", "method": "summary", "data": "ADSL", "variable": "AGE", "test": "anova"})
    rows = page(found).rows
    assert rows[1].label == "n"
    assert rows[1].cells[3]
    assert not any(row.cells[3] for row in rows[2:])


def test_groups_that_cannot_be_compared_are_refused() -> None:
    groups = [*ARMS["groups"][:1], {"id": "B", "label": "B", "where": {"SEX": "F"}}]
    with pytest.raises(ValueError, match="told apart by the values of one variable"):
        Grouping.model_validate({**ARMS, "groups": groups})
    with pytest.raises(ValueError, match="C is no group"):
        Grouping.model_validate({**ARMS, "comparisons": [{"id": "AC", "label": "", "groups": ["A", "C"]}]})


# SAS/STAT User's Guide, PROC GLM, analysis of covariance: leprosy bacilli before and after (Snedecor and Cochran 1967).
LEPROSY = {
    "A": "11 6 8 0 5 2 14 8 19 11 6 4 10 13 6 1 11 8 3 0",
    "D": "6 0 6 2 7 3 8 1 18 18 8 4 19 14 8 9 5 1 15 9",
    "F": "16 13 13 10 11 18 9 5 21 23 16 12 12 5 12 16 7 1 12 20",
}


@pytest.fixture(scope="module")
def leprosy() -> Analysed:
    subjects, records = [], []
    for number, (drug, written) in enumerate(LEPROSY.items(), start=1):
        counts = [int(one) for one in written.split()]
        for place, (before, after) in enumerate(zip(counts[::2], counts[1::2], strict=True)):
            name = f"{drug}{place}"
            subjects.append(("X", name, number))
            records.append(("X", name, "PRE", "After", before, after, number))
    frames = {
        "ADSL": frame(["STUDYID", "USUBJID", "TRTAN"], subjects),
        "ADEFF": frame(["STUDYID", "USUBJID", "PARAMCD", "AVISIT", "BASE", "AVAL", "DOSE"], records),
    }
    pairs = [("A", "D"), ("A", "F"), ("D", "F")]
    comparisons = [{"id": "".join(pair), "label": "", "groups": list(pair)} for pair in pairs]
    grouping = {
        "label": "Drug",
        "groups": [{"id": drug, "label": drug, "where": {"TRTAN": number}} for number, drug in enumerate("ADF", 1)],
        "comparisons": [*comparisons, {"id": "ALL", "label": "", "groups": ["A", "D", "F"]}],
    }
    model = {
        "id": "model", "method": "covariance", "data": "ADEFF", "variable": "AVAL", "covariates": ["BASE"],
        "dose": "DOSE",
    }  # fmt: skip
    file = {
        "analysis_sets": {"ALL": {"label": "All"}},
        "groupings": {"DRUGS": grouping},
        "outputs": {"T1": {"title": "", "population": "ALL", "columns": "DRUGS", "analyses": [model]}},
    }
    results = joined([("results/x.yml", ResultsFile.model_validate(file))])[0]
    made = analyse(results, frames, {"ADSL": ("USUBJID",), "ADEFF": ("USUBJID",)})
    for row in made.results.to_pylist():
        assert from_json(row["selection"]).holds(frames).sum() == row["n_records"]
    return made


class TestCovariance:
    def test_least_squares_means(self, leprosy: Analysed) -> None:
        means = values(leprosy, "lsmean")
        assert {key[0]: f"{one:.7f}" for key, one in means.items()} == {
            "A": "6.7149635",
            "D": "6.8239348",
            "F": "10.1611017",
        }

    def test_differences(self, leprosy: Analysed) -> None:
        p = {key[0]: f"{one:.4f}" for key, one in values(leprosy, "p").items() if key[0] != "ALL"}
        assert p == {"AD": "0.9521", "AF": "0.0793", "DF": "0.0835"}
        difference = values(leprosy, "difference")
        assert difference["AD",] == pytest.approx(6.7149635 - 6.8239348)

    def test_the_column_of_all_groups_has_the_slope_of_the_dose(self, leprosy: Analysed) -> None:
        assert set(values(leprosy, "slope")) == {("ALL",)}


def test_every_result_names_its_records() -> None:
    found = made({**COUNT, "nested": True, "by": ["SOC", "TERM"]})
    for row in found.results.to_pylist():
        assert from_json(row["selection"]).holds(FRAMES).sum() == row["n_records"]


def test_terms_by_the_frequency_of_one_group() -> None:
    """Of skin, A has one subject with rash and one with itch, B one with rash; so by A the letter decides."""
    by: list[Any] = ["SOC", {"variable": "TERM", "sort": "frequency", "of_group": "A"}]
    found = made({**COUNT, "nested": True, "by": by})
    assert [key for key in values(found, "n", "TOTAL") if len(key) == 2] == [
        ("Liver", "Jaundice"),
        ("Skin", "Itch"),
        ("Skin", "Rash"),
    ]


def test_analyses_beside_each_other() -> None:
    by = [{"variable": "AVISIT", "order": "AVISITN"}]
    value = {"id": "value", "method": "summary", "data": "ADEFF", "variable": "AVAL", "by": by}
    cells = [
        {"label": "N", "show": "{records.events}"},
        {"label": "Mean", "show": "{value.mean}"},
        {"label": "Change", "show": "{change.mean}"},
    ]
    found = made(
        {"id": "records", "method": "count", "data": "ADEFF", "by": by},
        value,
        {"like": "value", "id": "change", "variable": "CHG"},
        arrange="beside",
        cells=cells,
        groupings={"ARMS": SHARED["groupings"]["ARMS"]},
    )
    first, second = page(found).rows
    assert first.label == "Month 1"
    assert first.cells == ("2", "10.5", "-0.5", "2", "17.5", "2.0", "4", "14.0", "0.8")
    assert second.cells == ("1", "14.0", "4.0", "1", "", "", "2", "14.0", "4.0"), "a record without a value counts"


def test_like_names_an_analysis_before_it() -> None:
    with pytest.raises(ValueError, match="nothing is no analysis before b"):
        Output.model_validate(
            {"title": "", "population": "ALL", "columns": "ARMS", "analyses": [{"id": "b", "like": "nothing"}]}
        )
