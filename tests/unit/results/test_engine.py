"""Analyses of hand-made datasets, counted by hand, and the records each result names."""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.results.hand_made import ADEFF, FRAMES, KEYS, frame, made, results_of, values
from transforms.errors import InputError
from transforms.results.engine import analyse
from transforms.results.selection import from_json

COUNT = {"id": "one", "label": "Any", "method": "count", "data": "EMERGENT"}


def test_subjects_events_and_denominators() -> None:
    found = made(COUNT)
    assert values(found) == {("A",): 2, ("B",): 1, ("TOTAL",): 3}
    assert values(found, "events") == {("A",): 4, ("B",): 2, ("TOTAL",): 6}
    assert values(found, "denominator") == {("A",): 4, ("B",): 3, ("TOTAL",): 7}
    assert values(found, "pct")["A",] == 50
    assert [row["text"] for row in found.results.to_pylist() if row["analysis_order"] == 0] == ["4", "3", "7"]


def test_an_event_of_a_subject_outside_the_population_does_not_count() -> None:
    """X-8 has an event with the flag and is not in the safety set; X-6 has one without it."""
    assert values(made({**COUNT, "data": "ADAE"}, population="ALL"), "n", "TOTAL") == {(): 5}
    assert values(made(COUNT), "n", "TOTAL") == {(): 3}


def test_a_percentage_of_nothing_is_not_shown() -> None:
    rows = made({**COUNT, "where": {"GRADE": 5}}).results.to_pylist()
    assert {row["text"] for row in rows if row["statistic"] == "pct"} == {""}
    assert {row["text"] for row in rows if row["statistic"] == "n" and row["analysis_order"]} == {"0"}


def test_rate_and_exact_interval() -> None:
    """By hand: A is observed 31 + 31 + 21 + 31 days for 4 events; 2 of 4 has 6.8 to 93.2 % (Clopper and Pearson)."""
    timed = {**COUNT, "confidence": 0.95, "person_time": {"start": "TRTSDT", "end": ["DTHDT", "EOSDT"]}}
    found = made(timed)
    assert values(found, "person_months")["A",] == pytest.approx(114 / 30.4375)
    assert values(found, "rate")["A",] == pytest.approx(400 / (114 / 30.4375))
    low, high = (
        next(r for r in found.results.to_pylist() if r["statistic"] == s)["text"] for s in ("ci_low", "ci_high")
    )
    assert (low, high) == ("6.8", "93.2")


def test_nested_terms_most_frequent_first() -> None:
    by = [{"variable": "SOC", "sort": "frequency"}, {"variable": "TERM", "sort": "frequency"}]
    found = made({**COUNT, "nested": True, "by": by})
    assert list(values(found, "n", "TOTAL")) == [
        (),
        ("Skin",),
        ("Skin", "Rash"),
        ("Skin", "Itch"),
        ("Liver",),
        ("Liver", "Jaundice"),
    ]
    assert list(values(found, "n", "TOTAL").values()) == [3, 3, 2, 1, 1, 1]
    assert list(values(found, "n", "B").values()) == [1, 1, 1, 0, 0, 0]


def test_a_subject_counts_once_at_the_highest_grade() -> None:
    """X-1 had a rash of grade 1 and one of grade 3, X-5 two of grade 2."""
    by = ["SOC", "TERM", {"variable": "GRADE", "labels": {"3": "Severe"}}]
    found = made({**COUNT, "nested": True, "worst": "GRADE", "by": by})
    total = values(found, "n", "TOTAL")
    assert total["Skin", "Rash"] == 2
    assert total["Skin", "Rash", "Severe"] == 1
    assert total["Skin", "Rash", "2"] == 1
    assert total["Skin", "Rash", "1"] == 0
    assert {key: n for key, n in total.items() if len(key) == 1 and key[0] in {"1", "2", "Severe"}} == {
        ("1",): 0,
        ("2",): 2,
        ("Severe",): 1,
    }
    assert values(found, "events", "TOTAL")["Skin", "Rash", "2"] == 2


def test_an_event_without_a_term_or_a_grade_counts_above_it() -> None:
    """X-1 has a rash without grade, X-2 one of grade 2 and one without, X-5 an event without class and term."""
    columns = ["STUDYID", "USUBJID", "AESEQ", "SOC", "TERM", "GRADE", "TRTEMFL"]
    rows = [
        ("X", "X-1", 1, "Skin", "Rash", None, "Y"),
        ("X", "X-2", 1, "Skin", "Rash", 2, "Y"),
        ("X", "X-2", 2, "Skin", "Rash", None, "Y"),
        ("X", "X-5", 1, None, None, 1, "Y"),
    ]
    frames = {**FRAMES, "ADAE": frame(columns, rows)}

    def counted(*by: object) -> tuple[dict[tuple[str, ...], float], list[str]]:
        analysis = {**COUNT, "nested": True, "worst": "GRADE", "by": list(by)}
        output = {"title": "x", "population": "SAFETY", "columns": "ARMS", "analyses": [analysis]}
        found = analyse(results_of({"T1": output}), frames, KEYS)
        for row in found.results.to_pylist():
            mask = from_json(row["selection"]).holds(frames)
            assert int(mask.sum()) == row["n_records"], row
            assert frames[row["dataset"]]["USUBJID"][mask].nunique() == row["n_subjects"], row
        return values(found, "n", "TOTAL"), [one.variable for one in found.not_shown]

    shown, told = counted("SOC", "TERM", "GRADE")
    assert shown == {
        (): 3, ("1",): 1, ("2",): 1,
        ("Skin",): 2, ("Skin", "2"): 1,
        ("Skin", "Rash"): 2, ("Skin", "Rash", "2"): 1,
    }  # fmt: skip
    assert sorted(told) == ["GRADE", "SOC", "TERM"], "what has no level of its own is told"
    named = [{"variable": one, "missing": "Not coded"} for one in ("SOC", "TERM")]
    shown, told = counted(*named, {"variable": "GRADE", "missing": "Not known"})
    assert shown == {
        (): 3, ("1",): 1, ("2",): 1, ("Not known",): 1,
        ("Skin",): 2, ("Skin", "2"): 1, ("Skin", "Not known"): 1,
        ("Skin", "Rash"): 2, ("Skin", "Rash", "2"): 1, ("Skin", "Rash", "Not known"): 1,
        ("Not coded",): 1, ("Not coded", "1"): 1,
        ("Not coded", "Not coded"): 1, ("Not coded", "Not coded", "1"): 1,
    }  # fmt: skip
    assert told == []


def test_every_listed_value_is_shown_and_another_is_told() -> None:
    sex = {
        "id": "sex",
        "method": "count",
        "data": "ADSL",
        "by": [{"variable": "SEX", "values": {"F": "Female", "U": "Unknown"}}],
    }
    found = made(sex)
    assert values(found, "n", "TOTAL") == {("Female",): 3, ("Unknown",): 0}
    assert [(one.variable, one.value, len(one.records)) for one in found.not_shown] == [
        ("SEX", None, 1),
        ("SEX", "M", 3),
    ]
    by = [{"variable": "SEX", "values": ["F", "M"], "missing": "Missing"}]
    found = made({**sex, "by": by})
    assert values(found, "n", "TOTAL") == {("F",): 3, ("M",): 3, ("Missing",): 1}
    assert not found.not_shown


def test_percentages_of_those_with_a_value() -> None:
    responders = {
        "id": "r",
        "method": "count",
        "data": "ADEFF",
        "denominator": "data",
        "by": [
            {"variable": "AVISIT", "order": "AVISITN"},
            {"variable": "CLASS", "values": ["A", "B", "C"], "missing": "None"},
        ],
    }
    found = made(responders)
    assert values(found, "denominator", "A") == {
        (visit, one): n for visit, n in (("Month 1", 2), ("Month 2", 1)) for one in ("A", "B", "C", "None")
    }
    assert values(found, "n", "TOTAL")["Month 1", "B"] == 2


def test_everyone_stands_in_a_shift_table_once() -> None:
    """A at month 1: X-1 A to A, X-2 B to B, X-3 died on day 20 from B, X-4 has no value and was B."""
    shift = {
        "id": "shift",
        "method": "count",
        "data": "ADEFF",
        "where": {"AVISIT": "Month 1"},
        "by": [{"variable": "CLASS", "values": ["A", "B", "C"]}],
    }
    levels = {"A": "A", "B": "B", "C": "C", "Dead": "Dead", "Missing": "Missing"}
    shift["by"] = [{"variable": "CLASS", "values": levels}]
    shift["absent"] = [{"label": "Dead", "where": {"DTHDAY": {"at_most": 60}}}, {"label": "Missing"}]
    found = made(shift)
    assert values(found, "n", "A") == {("A",): 1, ("B",): 1, ("C",): 0, ("Dead",): 1, ("Missing",): 1}
    assert values(found, "n", "B") == {("A",): 0, ("B",): 1, ("C",): 1, ("Dead",): 0, ("Missing",): 1}
    for group, size in (("A", 4), ("B", 3), ("TOTAL", 7)):
        assert sum(values(found, "n", group).values()) == size


def test_a_subject_without_record_and_without_a_listed_level_is_told() -> None:
    """X-4 and X-7 have no value at month 1 and were B and C before; C is not listed."""
    shift = {
        "id": "shift",
        "method": "count",
        "data": "ADEFF",
        "where": {"AVISIT": "Month 1"},
        "absent_level": "BASECL",
        "by": [
            {"variable": "BCLASS", "values": ["A", "B"]},
            {"variable": "CLASS", "values": ["A", "B", "C", "Missing"]},
        ],
        "absent": [{"label": "Missing"}],
    }
    found = made(shift)
    assert values(found, "n", "TOTAL")["B", "Missing"] == 2
    assert {(one.dataset, one.variable, one.value, len(one.records)) for one in found.not_shown} == {
        ("ADEFF", "BCLASS", "C", 1),
        ("ADSL", "BASECL", "C", 1),
    }


def test_summary_of_a_change() -> None:
    """By hand: 2 and -3 in A, 4 and 0 in B; one value has no deviation."""
    found = made({"id": "chg", "method": "summary", "data": "ADEFF", "variable": "CHG", "by": ["AVISIT"]})
    assert values(found, "mean", "TOTAL") == {("Month 1",): 0.75, ("Month 2",): 4}
    assert values(found, "n") == {
        ("A", "Month 1"): 2,
        ("A", "Month 2"): 1,
        ("B", "Month 1"): 2,
        ("B", "Month 2"): 0,
        ("TOTAL", "Month 1"): 4,
        ("TOTAL", "Month 2"): 1,
    }
    text = {(r["group_id"], r["level_1"], r["statistic"]): r["text"] for r in found.results.to_pylist()}
    assert text["A", "Month 1", "sd"] == "3.54"  # 5 / sqrt 2
    assert text["A", "Month 2", "sd"] == "NE"
    assert text["B", "Month 2", "mean"] == ""
    assert text["A", "Month 1", "min"] == "-3"


def test_the_dead_as_the_worst() -> None:
    """By hand: A at month 1 has 2 and -3, and X-3 dead counts 40 less 60 (its AGE stands for a baseline)."""
    worst = {
        "id": "w",
        "method": "summary",
        "data": "ADEFF",
        "where": {"AVISIT": "Month 1"},
        "variable": "CHG",
        "absent": [{"label": "Death", "where": {"DTHDAY": {"at_most": 60}}, "value": 40, "less": "AGE"}],
    }
    found = made(worst)
    assert values(found, "n", "A") == {(): 3}
    assert values(found, "min", "A") == {(): -20}
    notes = {row["note"] for row in found.results.to_pylist() if row["group_id"] == "A" and row["statistic"] == "n"}
    assert "1 subjects without record taken as 40 less AGE: Death" in notes


def test_survival_at_a_time() -> None:
    """By hand: A has one death of four on day 21, so 75 %; B loses one of two at risk on day 12, so 50 %."""
    at = {"id": "os", "method": "survival_at", "data": "ADTTE", "times": {30: "Day 30"}}
    found = made(at)
    assert values(found, "survival") == {
        ("A", "Day 30"): pytest.approx(75),
        ("B", "Day 30"): 50,
        ("TOTAL", "Day 30"): pytest.approx(100 * 5 / 6 * 4 / 5),
    }
    assert values(found, "known", "B") == {("Day 30",): 2}


def test_what_is_not_known_of_the_observation_is_noted() -> None:
    timed = {**COUNT, "person_time": {"start": "TRTSDT", "end": ["DTHDT"]}}
    found = made(timed)
    assert values(found, "person_months")["A",] == pytest.approx(21 / 30.4375)
    notes = {row["group_id"]: row["note"] for row in found.results.to_pylist() if row["statistic"] == "person_months"}
    assert notes["A"] == "3 subjects whose observation is not known add no time"


def test_two_records_of_a_subject_are_no_survival_time() -> None:
    twice = {"id": "os", "method": "survival_at", "data": "ADEFF", "time": "AVAL", "censor": "BASE", "times": [1]}
    with pytest.raises(InputError, match="several records of ADEFF"):
        made(twice)


def test_a_listing_says_each_record_once() -> None:
    columns = [
        {"variable": "USUBJID", "label": "Subject"},
        {"variable": "TERM", "label": "Term"},
        {"variable": "ADSL.AGE", "label": "Age"},
        {"variable": "ASTDT", "label": "Start"},
    ]
    found = made(
        {
            "id": "l",
            "method": "listing",
            "data": "EMERGENT",
            "sort": ["-GRADE", "USUBJID", "ASTDT"],
            "columns": columns,
        },
        kind="listing",
    )
    rows = [row for row in found.results.to_pylist() if row["statistic"] == "TERM"]
    assert [(row["group_id"], row["level_1"], row["text"]) for row in rows] == [
        ("A", "X-1", "Rash"),
        ("A", "X-2", "Itch"),
        ("A", "X-2", "Jaundice"),
        ("A", "X-1", "Rash"),
        ("B", "X-5", "Rash"),
        ("B", "X-5", "Rash"),
    ]
    assert next(row["text"] for row in found.results.to_pylist() if row["statistic"] == "ASTDT") == "2024-01-09"
    assert {
        row["value"] for row in found.results.to_pylist() if row["statistic"] == "ADSL.AGE" and row["group_id"] == "B"
    } == {33}


def test_a_listing_by_groups_tells_of_a_subject_in_none() -> None:
    columns = [{"variable": "USUBJID", "label": "Subject"}]
    listing = {"id": "l", "method": "listing", "data": "ADAE", "columns": columns}
    found = made(listing, kind="listing", population="ALL")
    assert [(one.variable, len(one.records)) for one in found.not_shown] == [("USUBJID", 1)]


EVERY = [
    COUNT,
    {**COUNT, "id": "nested", "nested": True, "worst": "GRADE", "by": ["SOC", "TERM", "GRADE"]},
    {"id": "sex", "method": "count", "data": "ADSL", "by": [{"variable": "SEX", "missing": "Missing"}]},
    {"id": "chg", "method": "summary", "data": "ADEFF", "variable": "CHG", "by": ["AVISIT"]},
    {"id": "os", "method": "time_to_event", "data": "ADTTE"},
    {"id": "at", "method": "survival_at", "data": "ADTTE", "times": [20, 30]},
    {"id": "rank", "method": "signed_rank", "data": "ADEFF", "variable": "CHG"},
    {
        "id": "m",
        "method": "repeated_measures",
        "data": "ADEFF",
        "variable": "CHG",
        "baseline": "BASE",
        "visit": "AVISIT",
    },
    {
        "id": "shift",
        "method": "count",
        "data": "ADEFF",
        "where": {"AVISIT": "Month 1"},
        "absent_level": "BASECL",
        "by": [
            {"variable": "BCLASS", "values": ["A", "B", "C"]},
            {"variable": "CLASS", "values": ["A", "B", "C", "Dead", "Missing"]},
        ],
        "absent": [{"label": "Dead", "where": {"DTHDAY": {"present": True}}}, {"label": "Missing"}],
    },
]


def test_every_result_names_the_records_it_is_from() -> None:
    found = made(*EVERY).results.to_pylist()
    assert {row["method"] for row in found} >= {"count", "summary", "survival_at", "signed_rank"}
    for row in found:
        selection = from_json(row["selection"])
        mask = selection.holds(FRAMES)
        frame = FRAMES[row["dataset"]]
        assert selection.dataset == row["dataset"]
        assert int(mask.sum()) == row["n_records"], row
        assert frame["USUBJID"][mask].nunique() == row["n_subjects"], row
        if row["method"] == "count" and row["statistic"] == "n":
            assert row["value"] == row["n_subjects"]
        assert from_json(selection.as_json()) == selection


def test_the_records_of_a_mean_give_the_mean() -> None:
    for row in made(EVERY[3]).results.to_pylist():
        if row["statistic"] == "mean" and row["value"] is not None:
            mask = from_json(row["selection"]).holds(FRAMES)
            assert np.mean(ADEFF["CHG"][mask]) == pytest.approx(row["value"])


def test_the_extreme_of_a_subject() -> None:
    found = made(
        {"id": "x", "method": "extreme", "data": "ADEFF", "variable": "AVAL"},
        {"id": "n", "method": "count", "data": "ADSL"},
        kind="figure",
        figure={
            "kind": "peaks",
            "x_analysis": "x",
            "y_analysis": "x",
            "x_limit": 1,
            "y_limit": 1,
            "x": {"label": "x"},
            "y": {"label": "y"},
        },
    )
    assert values(found, "value", "A") == {("X-1",): 14, ("X-2",): 9}
    for row in found.results.to_pylist():
        assert int(from_json(row["selection"]).holds(FRAMES).sum()) == row["n_records"]
