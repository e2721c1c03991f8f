"""Rules on small frames: exactly the rows in breach, whatever the kind of rule."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from transforms.core import text
from transforms.core.tables import Table
from transforms.validation import check as checking
from transforms.validation.check import CheckFailedError, check, reach
from transforms.validation.columns.tables import Cell, Lookup
from transforms.validation.rules import Rule

WORDS = {
    "severity": "answer",
    "message": "wrong",
    "remedy": "ask",
    "why": "because",
    "cause": "a slip",
    "who": "site",
}


def rule(expectation: str, kwargs: dict[str, Any], name: str = "test.rule", **more: Any) -> Rule:
    return Rule.model_validate({**WORDS, "id": name, "expect": {expectation: kwargs}, **more})


def frame(**columns: list[Any]) -> pd.DataFrame:
    """Texts as categories, numbers as floats, as frames are here."""
    return pd.DataFrame(
        {
            name: pd.Series(values, dtype=float)
            if any(isinstance(one, int | float) for one in values)
            else text.from_values(values)
            for name, values in columns.items()
        }
    )


OTHERS = {
    "Y": frame(
        K=["x", "x", "x"], V=["1", "2", "3"], F=["Y", "Y", "N"], T=["2022-06-01T08:00", "2022-06-03", "2022-06-05"]
    )
}


def rows(data: pd.DataFrame, *rules: Rule, **others: pd.DataFrame) -> list[list[int]]:
    found = check({"X": data, **others}, {"X": rules})
    return [list(breach.rows) for breach in found]


@pytest.mark.parametrize(
    ("expectation", "kwargs", "columns", "expected"),
    [
        ("expect_column_values_to_not_be_null", {"column": "A"}, {"A": ["x", None, "y", None]}, [1, 3]),
        ("expect_column_values_to_not_be_null", {"column": "A"}, {"A": [1, None, 3]}, [1]),
        ("expect_column_values_to_be_null", {"column": "A"}, {"A": ["x", None, "x"]}, [0, 2]),
        ("expect_column_values_to_be_in_set", {"column": "A", "value_set": ["x"]}, {"A": ["x", "X", None]}, [1]),
        ("expect_column_values_to_be_in_set", {"column": "A", "value_set": [0, 10]}, {"A": ["0", "5", "10"]}, [1]),
        ("expect_column_values_to_be_in_set", {"column": "A", "value_set": [1, 2]}, {"A": [1, 2, 3, None]}, [2]),
        ("expect_column_values_to_not_be_in_set", {"column": "A", "value_set": [0]}, {"A": [-1, 0, 1]}, [1]),
        ("expect_column_values_to_be_between", {"column": "A", "min_value": 0}, {"A": [0, -1, None, 2]}, [1]),
        (
            "expect_column_values_to_be_between",
            {"column": "A", "min_value": 0, "max_value": 1, "strict_max": True},
            {"A": [0, 1, 0.5]},
            [1],
        ),
        ("expect_column_values_to_match_regex", {"column": "A", "regex": "^[A-Z]$"}, {"A": ["A", "a", None]}, [1]),
        ("expect_column_values_to_not_match_regex", {"column": "A", "regex": "x"}, {"A": ["ax", "a", "x"]}, [0, 2]),
        ("expect_column_value_lengths_to_be_between", {"column": "A", "max_value": 2}, {"A": ["ab", "abc"]}, [1]),
        (
            "expect_column_pair_values_a_to_be_greater_than_b",
            {"column_A": "A", "column_B": "B", "ignore_row_if": "either_value_is_missing"},
            {"A": [2, 1, None, 1], "B": [1, 2, 1, 1]},
            [1, 3],
        ),
        (
            "expect_column_pair_values_to_be_equal",
            {"column_A": "A", "column_B": "B", "ignore_row_if": "both_values_are_missing"},
            {"A": ["x", "x", None, None], "B": ["x", "y", "x", None]},
            [1, 2],
        ),
        (
            "expect_multicolumn_sum_to_equal",
            {"column_list": ["A", "B"], "sum_total": 3, "ignore_row_if": "any_value_is_missing"},
            {"A": [1, 1, None], "B": [2, 1, 1]},
            [1],
        ),
        (
            "expect_select_column_values_to_be_unique_within_record",
            {"column_list": ["A", "B"], "ignore_row_if": "any_value_is_missing"},
            {"A": ["x", "y"], "B": ["x", "x"]},
            [0],
        ),
        ("expect_column_values_to_be_unique", {"column": "A"}, {"A": ["x", "y", "x", None, None]}, [0, 2]),
        (
            "expect_compound_columns_to_be_unique",
            {"column_list": ["A", "B"], "ignore_row_if": "never"},
            {"A": ["x", "x", "x"], "B": ["1", "2", "1"]},
            [0, 2],
        ),
    ],
)
def test_each_expectation_gives_its_rows(
    expectation: str, kwargs: dict[str, Any], columns: dict[str, list[Any]], expected: list[int]
) -> None:
    assert rows(frame(**columns), rule(expectation, kwargs)) == [expected]


@pytest.mark.parametrize(
    ("prepared", "columns", "expected"),
    [
        ({"number": "A"}, {"A": ["1.5", "<2", "x", None]}, [1.5, None, None, None]),
        ({"number": "A", "censored": True}, {"A": ["1.5", "<2", "x"]}, [1.5, 2, None]),
        ({"bytes": "A"}, {"A": ["ab", "汉", None]}, [2, 3, None]),
        ({"day": "A"}, {"A": ["0001-01-02", "2022-06", None]}, [2, None, None]),
        ({"begin": "A"}, {"A": ["0001-01-01", "0001-01-01T00:01"]}, [86400, 86460]),
        ({"begin": "A", "time": "B"}, {"A": ["0001-01-01", "0001-01-01"], "B": ["00:01", None]}, [86460, 86400]),
        ({"end": "A"}, {"A": ["0001-01-01", "0001-01-01T00:01"]}, [172799, 86519]),
        ({"rounded": "A", "digits": 2}, {"A": [0.123, 123, None]}, [0.12, 120, None]),
        ({"sum": ["A", "B", 1]}, {"A": [1, None], "B": [2, 3]}, [4, None]),
        ({"difference": ["A", 1]}, {"A": [1, 3]}, [0, 2]),
        ({"product": ["A", "B"]}, {"A": [2, 3], "B": [3, None]}, [6, None]),
        ({"quotient": ["A", "B"]}, {"A": [6, 1], "B": [3, 0]}, [2, None]),
        ({"margin": "A", "low": "B", "high": 10}, {"A": [5, 12, 1, None], "B": [4, 4, None, 1]}, [1, -2, 9, None]),
        ({"inside": "A", "low": 0}, {"A": [5, -1, None]}, [5, None, None]),
        ({"flags": ["A", "B"]}, {"A": ["Y", "Y"], "B": ["Y", "N"]}, [2, 1]),
        ({"flags": ["A"], "if_there": ["B", "C"]}, {"A": ["Y", "N"], "B": ["Y", "N"]}, [2, 0]),
        ({"present": ["A"], "if_there": ["B"]}, {"A": [1, None], "B": ["x", None]}, [2, 0]),
        ({"count": ["A"]}, {"A": ["x", "y", "x", None]}, [2, 1, 2, 1]),
        ({"count": ["A"], "if_there": ["B"]}, {"A": ["x", "x"], "B": ["1", "2"]}, [1, 1]),
        ({"distinct": "B", "within": ["A"]}, {"A": ["x", "x", "y"], "B": ["1", "2", "1"]}, [2, 2, 1]),
        ({"distinct": ["*"], "within": ["A"], "but": ["B"]}, {"A": ["x", "x"], "B": ["1", "2"]}, [1, 1]),
        ({"rank": "B", "within": ["A"]}, {"A": ["x", "y", "x", "x"], "B": [3, 7, 1, 2]}, [3, 1, 1, 2]),
        ({"count": ["A"], "when": {"B": "1"}}, {"A": ["x", "x", "y"], "B": ["1", "2", "2"]}, [1, 1, 0]),
        ({"count": ["A"], "of": "Y", "there": ["K"], "when": {"F": "Y"}}, {"A": ["x", "y", None]}, [2, 0, 0]),
        (
            {"count": ["A"], "of": "Y", "there": ["K"], "near": {"here": "D", "there": "T", "from": -7, "to": 0}},
            {"A": ["x"] * 4, "D": ["2022-06-08", "2022-06-09", "2022-05-31", "2022-06"]},
            [3, 2, 0, None],
        ),
        ({"spread": ["A", "B", "C"]}, {"A": [1, 1], "B": [4, None], "C": [None, None]}, [3, None]),
        ({"least": ["A", "B"]}, {"A": [1, None], "B": [4, 2]}, [1, 2]),
        ({"absolute": "A"}, {"A": [-1.5, 2, None]}, [1.5, 2, None]),
        ({"agree": ["A", "B"]}, {"A": ["x", "x", None], "B": ["x", "y", None]}, [1, 0, 1]),
        ({"elapsed": "A"}, {"A": ["2022-06-30", "2022-07-02T10:00", "2022"]}, [1, -1, None]),
        # OPTN: bilirubin 2, creatinine 2, INR 2 give 10 x (0.957 + 0.378 + 1.120) x ln 2 + 6.43 = 23.4
        (
            {"score": "meld_i", "of": {"bilirubin_mg_dl": "A", "creatinine_mg_dl": 2, "inr": 2, "dialysed": 0}},
            {"A": [2, None]},
            [23, None],
        ),
        # CTCAE 5.0: platelets below 50 are grade 3, below 25 grade 4
        (
            {"toxicity": "A", "test": "T", "unit": "U", "low": "L", "high": "H", "baseline": "B", "direction": "L"},
            {"A": [49, 24], "T": ["PLAT"] * 2, "U": ["10^9/L"] * 2, "L": [125, 125], "H": [350, 350], "B": [130, 130]},
            [3, 4],
        ),
        (
            {"pick": "B", "when": {"C": "T"}, "within": ["A"]},
            {"A": ["x", "x", "y", "y"], "B": [1, 2, 3, 4], "C": ["T", "D", "T", "T"]},
            [1, 1, None, None],
        ),
    ],
)
def test_each_prepared_column(prepared: dict[str, Any], columns: dict[str, list[Any]], expected: list[Any]) -> None:
    data = frame(**columns)
    one = rule("expect_column_values_to_be_between", {"column": "made", "min_value": 0}, columns={"made": prepared})
    own = checking._Frame({"X": data, **OTHERS}, "X", "2022-07-01")
    own.prepare(one)
    made = own.column("made")
    assert [None if np.isnan(value) else value for value in made] == expected


@pytest.mark.parametrize(
    ("prepared", "values", "expected"),
    [
        ({"text": "A", "without": ["NO UNITS"]}, ["NO UNITS", "g/L", None], [None, "g/L", None]),
        ({"text": "A", "not_numbers": True}, ["5", "<5", "HIGH"], [None, None, "HIGH"]),
        ({"part": "A", "pattern": "([0-9]+)-.*"}, ["1-2", "x", None], ["1", None, None]),
    ],
)
def test_each_prepared_text(prepared: dict[str, Any], values: list[Any], expected: list[Any]) -> None:
    one = rule("expect_column_values_to_not_be_null", {"column": "made"}, columns={"made": prepared})
    own = checking._Frame({"X": frame(A=values)}, "X", "")
    own.prepare(one)
    assert own.column("made").astype(object).where(own.column("made").notna(), None).tolist() == expected


LOOKED = {"A": ["x", "x", "y"], "D": ["2022-06-01T08:00", "2022-06-03", "2022-06-02"], "B": ["1", "2", "3"]}


@pytest.mark.parametrize(
    ("prepared", "columns", "expected"),
    [
        ({"fetch": "V", "of": "Y", "by": ["A"], "there": ["K"], "when": {"F": "N"}}, {"A": ["x", "y"]}, ["3", None]),
        (
            {
                "fetch": "V",
                "of": "Y",
                "by": ["A"],
                "there": ["K"],
                "near": {"here": "D", "there": "T", "from": -9, "to": 9},
            },
            {"A": ["x"] * 3, "D": ["2022-06-02T07:00", "2022-06-10", "2022-06-04"]},
            ["2", "3", None],  # the fourth lies a day from the third and from the fifth
        ),
        ({"previous": "B", "within": ["A"], "order": "D"}, LOOKED, [None, "1", None]),
        ({"previous": "B", "within": ["A"], "order": "D", "days": 1}, LOOKED, [None, None, None]),
        ({"toxicity_term": "A", "direction": "L"}, {"A": ["PLAT", "X"]}, ["Platelet count decreased", None]),
    ],
)
def test_each_prepared_text_of_other_rows(
    prepared: dict[str, Any], columns: dict[str, list[Any]], expected: list[Any]
) -> None:
    one = rule("expect_column_values_to_not_be_null", {"column": "made"}, columns={"made": prepared})
    own = checking._Frame({"X": frame(**columns), **OTHERS}, "X", "")
    own.prepare(one)
    assert own.column("made").astype(object).where(own.column("made").notna(), None).tolist() == expected


NAMES = ["RDOMAIN", "USUBJID", "IDVAR", "IDVARVAL"]


@pytest.mark.parametrize(
    ("pointer", "expected"),
    [
        (("AE", "1", "AESEQ", "1"), 1),
        (("AE", "1", "AESEQ", "2"), 2),  # twice the same number
        (("AE", "1", "AESEQ", "3"), 0),
        (("AE", "1", "AESEQ", None), 3),  # every record that has the variable
        (("AE", None, "AESEQ", "1"), 2),  # of any subject
        (("AE", None, "AESEQ", None), 4),
        (("AE", "1", None, None), 4),  # the subject
        (("AE", "1", None, "1"), 0),  # a value of no variable
        (("AE", "9", "AESEQ", "1"), 0),
        (("AE", "1", "AELNKID", "1"), 0),  # a variable that is not there
        (("TA", None, "ARMCD", "LOW"), 2),  # a dataset without subjects
        (("TA", "1", "ARMCD", "LOW"), 0),
        (("TA", None, None, None), 0),
        (("ZZ", "1", None, None), 0),
    ],
)
def test_a_pointer_reaches_the_records_that_it_names(pointer: tuple[str | None, ...], expected: int) -> None:
    others = {
        "AE": frame(USUBJID=["1", "1", "1", "1", "2"], AESEQ=[1, 2, 2, None, 1]),
        "TA": frame(ARMCD=["LOW", "LOW", "HIGH"]),
    }
    one = rule("expect_column_values_to_not_be_null", {"column": "made"}, columns={"made": {"related": NAMES}})
    own = frame(**{name: [value, "x"] for name, value in zip(NAMES, pointer, strict=True)})
    prepared = checking._Frame({"X": own, **others}, "X", "")
    prepared.prepare(one)
    assert prepared.column("made").tolist() == [expected, 0]


MOMENTS = st.none() | st.builds("2022-06-{:02}{}".format, st.integers(1, 6), st.sampled_from(["", "T08:00", "T20:00"]))
KEYS = st.sampled_from([None, "x", "y"])


@given(
    here=st.lists(st.tuples(KEYS, MOMENTS), min_size=1, max_size=8),
    there=st.lists(st.tuples(KEYS, MOMENTS, st.sampled_from([None, "1", "2"])), max_size=10),
    window=st.tuples(st.integers(-3, 3), st.integers(0, 3)),
)
def test_the_nearest_row_in_a_window_is_that_of_a_search_row_by_row(
    here: list[tuple[str | None, str | None]],
    there: list[tuple[str | None, str | None, str | None]],
    window: tuple[int, int],
) -> None:
    first, last = window[0], sum(window)
    near = {"here": "D", "there": "T", "from": first, "to": last}
    fetch = {"fetch": "V", "of": "Y", "by": ["A"], "there": ["K"], "near": near}
    one = rule("expect_column_values_to_not_be_null", {"column": "made"}, columns={"made": fetch})
    columns = {name: text.from_values([row[place] for row in there]) for place, name in enumerate("KTV")}
    own = frame(A=[key for key, _ in here], D=[day for _, day in here])
    prepared = checking._Frame({"X": own, "Y": pd.DataFrame(columns)}, "X", "")
    prepared.prepare(one)
    made = prepared.column("made")

    for row, (key, asked) in enumerate(here):
        said: dict[pd.Timedelta, set[str | None]] = {}
        for other, moment, value in there:
            if key == other and asked and moment:
                apart = pd.Timestamp(moment) - pd.Timestamp(asked)
                days = (pd.Timestamp(moment).normalize() - pd.Timestamp(asked).normalize()).days
                if first <= days <= last:
                    said.setdefault(abs(apart), set()).add(value)
        expected = said[min(said)] if said else set()
        assert (made[row] if pd.notna(made[row]) else None) == (expected.pop() if len(expected) == 1 else None)


def test_a_window_of_days_goes_forward_and_a_score_is_known() -> None:
    for prepared, message in (
        ({"count": ["A"], "near": {"here": "D", "there": "T", "from": 1, "to": 0}}, "earlier to the later"),
        ({"score": "meld_5", "of": {"inr": "A"}}, "known: albi"),
        ({"score": "meld_i", "of": {"inr": "A"}}, "is computed of bilirubin_mg_dl"),
    ):
        with pytest.raises(ValidationError, match=message):
            rule("expect_column_values_to_not_be_null", {"column": "made"}, columns={"made": prepared})


def test_limits_are_joined_and_checked_at_once() -> None:
    table = Table("limits", "limits.csv", ("T", "U", "LOW"), (("K", "mmol/L", "1.5"), ("INR", "", "0.6")), (2, 3))
    lowest = Lookup(lookup="LOW", table="limits", by={"T": "A", "U": "B"}).resolved(table)
    one = rule(
        "expect_column_values_to_be_between",
        {"column": "inside", "min_value": 0},
        columns={"lowest": lowest, "inside": {"margin": "C", "low": "lowest"}},
        per=["A"],
    )
    data = frame(A=["K", "INR", "K", "NA", "INR"], B=["mmol/L", None, "mmol/L", None, None], C=[1, 0.5, 4, 1, 0.1])
    found = check({"X": data}, {"X": [one]})
    assert [(breach.cause, list(breach.rows), breach.variable) for breach in found] == [
        ("K", [0], "C, A, B"),
        ("INR", [1, 4], "C, A, B"),
    ]


def test_a_cell_is_found_by_the_spelling_nearest_to_what_is_told() -> None:
    rows = (("Anemia", "5", "Blood"), ("Fever", "5", "General"), ("Old fever", "4", "General"))
    table = Table("terms", "terms.csv", ("TERM", "VERSION", "CLASS"), rows, (2, 3, 4))
    data = frame(A=["Anemia", "Anaemia", "FEVER", "old fevers", "Pyrexia", None])
    for wanted, nearest, expected in (
        ("TERM", True, ["Anemia", "Anemia", "Fever", None, None, None]),
        ("CLASS", True, ["Blood", "Blood", "General", None, None, None]),
        ("TERM", False, ["Anemia", None, None, None, None, None]),
    ):
        made = Cell(cell=wanted, table="terms", by={"TERM": "A"}, fixed={"VERSION": "5"}, nearest=nearest)
        seen = rule(
            "expect_column_values_to_be_null", {"column": "made"}, columns={"made": made.resolved(table)}, tell="made"
        )
        told = {row: breach.told for breach in check({"X": data}, {"X": [seen]}) for row in breach.rows}
        assert [told.get(row) for row in range(len(data))] == expected, (wanted, nearest)
    with pytest.raises(ValidationError, match="nearest looks for the value of one column"):
        Cell(cell="CLASS", table="terms", by={"TERM": "A", "VERSION": "B"}, nearest=True)


def test_a_thousand_bad_rows_are_all_returned() -> None:
    data = frame(A=[f"bad {number}" if number % 3 else "good" for number in range(1500)], N=list(range(1500)))
    in_set = rule("expect_column_values_to_be_in_set", {"column": "A", "value_set": ["good"]})
    unique = rule("expect_column_values_to_be_between", {"column": "N", "max_value": 499}, "test.other")
    same = rule("expect_column_values_to_not_be_in_set", {"column": "A", "value_set": ["good"]}, "test.third")
    whole = rule("expect_column_values_to_be_unique", {"column": "A"}, "test.fourth")
    found = rows(data, in_set, unique, same, whole)
    assert found[0] == [number for number in range(1500) if number % 3]
    assert found[1] == list(range(500, 1500))
    assert found[2] == found[3] == list(range(0, 1500, 3))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """The expectations that Great Expectations is asked for, each with the number of values."""
    told: list[tuple[str, int]] = []
    run = checking._Expect.__call__

    def counted(self: checking._Expect, data: pd.DataFrame, name: str, kwargs: dict[str, Any]) -> Any:
        told.append((name, len(data)))
        return run(self, data, name, kwargs)

    monkeypatch.setattr(checking._Expect, "__call__", counted)
    return told


def test_rules_of_several_frames_share_an_expectation(asked: list[tuple[str, int]]) -> None:
    one = rule("expect_column_values_to_not_be_null", {"column": "A"})
    two = rule("expect_column_values_to_not_be_null", {"column": "B"}, "test.two")
    first = frame(A=["x"] * 500 + [None], B=["1"] * 501)
    second = frame(A=["x"], B=[None])
    found = check({"X": first, "Y": second}, {"X": [one, two], "Y": [one, two]})
    assert [(breach.dataset, breach.rule.id, list(breach.rows)) for breach in found] == [
        ("X", "test.rule", [500]),
        ("Y", "test.two", [0]),
    ]
    # Presence only: there and missing, there, there, missing.
    assert asked == [("expect_column_values_to_not_be_null", 5)]


def test_rules_with_other_limits_share_an_expectation(asked: list[tuple[str, int]]) -> None:
    """0.1 + 0.2 is 0.30000000000000004 in binary floating-point numbers (IEEE 754), so it is over 0.3."""
    between = "expect_column_values_to_be_between"
    data = frame(A=[0.3, 0.1 + 0.2, 0.1, None, -1e308, 1e308])
    limits: list[dict[str, Any]] = [
        {"max_value": 0.3},
        {"min_value": 0.3},
        {"min_value": 0.1, "max_value": 0.3},
        {"max_value": 0.3, "strict_max": True},
        {"min_value": 0.1, "max_value": 0.3, "strict_min": True, "strict_max": True},
        {"min_value": 0.1, "max_value": 0.3, "strict_min": True},
    ]
    rules = [rule(between, {"column": "A", **one}, f"test.{number}") for number, one in enumerate(limits)]
    found = {one.rule.id: list(one.rows) for one in check({"X": data}, {"X": rules})}
    assert found == {
        "test.0": [1, 5],
        "test.1": [2, 4],
        "test.2": [1, 4, 5],
        "test.3": [0, 1, 5],
        "test.4": [0, 1, 2, 4, 5],
        "test.5": [1, 2, 4, 5],
    }
    # Limits included, limits excluded, and one of each.
    assert [name for name, _ in asked] == [between] * 3
    with pytest.raises(CheckFailedError, match="min_value cannot be greater than max_value"):
        check({"X": data}, {"X": [rule(between, {"column": "A", "min_value": 2, "max_value": 1})]})


def test_frames_with_the_same_columns_are_asked_for_once(asked: list[tuple[str, int]]) -> None:
    columns = rule("expect_table_columns_to_match_set", {"column_set": ["A", "Z"], "exact_match": False})
    frames = {"X": frame(A=["x"]), "Y": frame(A=[None]), "W": frame(A=["x"], Z=[1])}
    found = check(frames, {name: [columns] for name in frames})
    assert [(one.dataset, one.variable) for one in found] == [("X", "Z"), ("Y", "Z")]
    assert len(asked) == 2


def test_a_condition_limits_a_rule() -> None:
    data = frame(A=["Y", "N", "Y", None], B=[None, None, "x", None])
    where = rule("expect_column_values_to_not_be_null", {"column": "B"}, where={"A": "Y"})
    assert rows(data, where) == [[0]]
    prepared = rule(
        "expect_column_values_to_not_be_null",
        {"column": "B"},
        columns={"no": {"text": "A", "without": ["Y"]}},
        where={"no": {"present": True}},
    )
    assert rows(data, prepared) == [[1]]


def test_another_frame_is_looked_into() -> None:
    one = rule(
        "expect_column_values_to_be_between",
        {"column": "there", "min_value": 1},
        columns={"there": {"count": ["USUBJID"], "of": "DM"}},
    )
    data = frame(USUBJID=["1", "2", "1"])
    assert rows(data, one, DM=frame(USUBJID=["1"])) == [[1]]
    with pytest.raises(CheckFailedError, match="looks into DM"):
        rows(data, one)


def test_causes_are_split() -> None:
    one = rule("expect_column_values_to_be_in_set", {"column": "A", "value_set": ["x"]}, per=["A", "N"])
    found = check({"X": frame(A=["b", "x", "a", "b"], N=[1, 1, None, 1])}, {"X": [one]})
    assert [(breach.cause, list(breach.rows)) for breach in found] == [("b\x1f1", [0, 3]), ("a\x1f", [2])]


def test_a_breach_of_the_frame_has_no_rows() -> None:
    columns = rule("expect_table_columns_to_match_set", {"column_set": ["A", "Z"], "exact_match": False})
    count = rule("expect_table_row_count_to_be_between", {"min_value": 2}, "test.count")
    values = rule("expect_column_distinct_values_to_contain_set", {"column": "A", "value_set": ["x", "y"]}, "test.set")
    found = check({"X": frame(A=["x"])}, {"X": [columns, count, values]})
    assert [(breach.rule.id, len(breach.rows)) for breach in found] == [
        ("test.rule", 0),
        ("test.count", 0),
        ("test.set", 0),
    ]
    assert check({"X": frame(A=["x", "y"], Z=["1", "1"])}, {"X": [columns, count, values]}) == ()


def test_a_missing_column_is_an_error_and_a_lenient_rule_is_left_out() -> None:
    one = rule("expect_column_values_to_not_be_null", {"column": "B"})
    with pytest.raises(CheckFailedError, match=r"X\.B: the rule test\.rule reads it"):
        check({"X": frame(A=["x"])}, {"X": [one]})
    assert check({"X": frame(A=["x"])}, {"X": [one.model_copy(update={"lenient": True})]}) == ()


def test_a_missing_frame_is_an_error_but_for_qualifiers() -> None:
    one = rule("expect_column_values_to_not_be_null", {"column": "B"})
    with pytest.raises(CheckFailedError, match="AE: has rules"):
        check({}, {"AE": [one]})
    assert check({}, {"SUPPAE": [one]}) == ()


def test_an_expectation_that_raises_is_an_error_naming_its_rule() -> None:
    good = rule("expect_column_values_to_match_regex", {"column": "A", "regex": "x"})
    bad = good.model_copy(update={"id": "test.bad", "kwargs": {"column": "A", "regex": "("}})
    with pytest.raises(CheckFailedError, match=r"X: the rule test\.bad: Great Expectations could not check it"):
        check({"X": frame(A=["x"])}, {"X": [good, bad]})


def test_a_text_never_equals_a_number() -> None:
    one = rule("expect_column_pair_values_to_be_equal", {"column_A": "A", "column_B": "B", "ignore_row_if": "neither"})
    assert rows(frame(A=["1"], B=[1]), one) == [[0]]


class _Lying:
    def __init__(self, **answer: Any) -> None:
        self.exception_info = answer.pop("exception_info", {"raised_exception": False})
        self.success = answer.pop("success", False)
        self.result = {"element_count": 2, "unexpected_count": 1, "unexpected_index_list": [0], **answer}


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"unexpected_index_list": []}, "counts 1 unexpected values and names 0"),
        ({"unexpected_index_list": [0, 0], "unexpected_count": 2}, "counts 2 unexpected values and names 2"),
        ({"element_count": 1}, "looked at 1 of 2 values"),
        ({"success": True}, "says True for 1 unexpected"),
        ({"exception_info": {"m": {"raised_exception": True, "exception_message": "boom"}}}, "boom"),
    ],
)
def test_an_answer_that_is_not_whole_is_refused(
    monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any], message: str
) -> None:
    monkeypatch.setattr(checking._Expect, "__call__", lambda *_: _Lying(**answer))
    one = rule("expect_column_values_to_not_be_null", {"column": "A"})
    with pytest.raises(CheckFailedError, match=rf"X: the rule test\.rule.*{message}"):
        check({"X": frame(A=["x", None])}, {"X": [one]})


def test_nothing_to_check_imports_nothing() -> None:
    assert check({"X": frame(A=["x"])}, {"X": []}) == ()


def test_an_empty_frame_has_no_breach() -> None:
    one = rule("expect_column_values_to_not_be_null", {"column": "A"})
    rank = rule(
        "expect_column_pair_values_to_be_equal",
        {"column_A": "N", "column_B": "place", "ignore_row_if": "neither"},
        columns={"place": {"rank": "N", "within": ["A"]}},
    )
    empty = frame(A=["x"], N=[1.0]).iloc[:0]
    assert check({"X": empty}, {"X": [one, rank]}) == ()


def test_reach_says_what_was_looked_at() -> None:
    where = rule("expect_column_values_to_be_in_set", {"column": "A", "value_set": ["x"]}, where={"B": "N"})
    null = rule("expect_column_values_to_not_be_null", {"column": "A"}, "test.null")
    data = frame(A=["x", None, "x"], B=["Y", "N", "Y"])
    assert reach({"X": data}, {"X": [where, null]}) == {("X", "test.rule"): 0, ("X", "test.null"): 3}


def test_dates_of_adam() -> None:
    dates = pd.DataFrame(
        {"S": pd.to_datetime(["2022-01-02", "2022-01-01", None]), "E": pd.to_datetime(["2022-01-01"] * 3)}
    )
    one = rule(
        "expect_column_pair_values_a_to_be_greater_than_b",
        {"column_A": "e", "column_B": "s", "or_equal": True, "ignore_row_if": "either_value_is_missing"},
        columns={"s": {"begin": "S"}, "e": {"end": "E"}},
    )
    assert rows(dates.astype("datetime64[s]"), one) == [[0]]


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "c", None]), st.sampled_from(["1", "2", None])), max_size=30))
def test_distinct_values_give_the_rows_that_a_loop_gives(pairs: list[tuple[str | None, str | None]]) -> None:
    data = pd.DataFrame(
        {"A": text.from_values([one for one, _ in pairs]), "B": text.from_values([two for _, two in pairs])}
    )
    own = checking._Frame({"X": data, **OTHERS}, "X", "2022-07-01")
    present = np.flatnonzero(data["B"].notna().to_numpy())
    for names, chosen in ((["A"], None), (["A"], present), (["A", "B"], None), (["A", "B"], present)):
        found = checking._distinct(own, names, chosen)
        taken = [pairs[row] for row in (range(len(pairs)) if chosen is None else chosen)]
        width = len(names)
        assert [pairs[found.first[code]][:width] for code in found.codes] == [pair[:width] for pair in taken]
        assert len(found.first) == len({pair[:width] for pair in taken})


def test_rules_examined_in_shares_are_told_in_their_order() -> None:
    frames = {"X": frame(A=["x", None], B=[None, "1"]), "Y": frame(A=[None], B=["1"])}
    rules = {
        name: [
            rule("expect_column_values_to_not_be_null", {"column": column}, f"test.{column.lower()}")
            for column in ("B", "A")
        ]
        for name in ("Y", "X")
    }
    shares = [checking.examine(frames, rules, only={name: [number] for name in rules}) for number in (1, 0)]
    found = checking.together(shares, rules)
    assert [(*one.place, one.reached, [list(breach.rows) for breach in one.breaches]) for one in found] == [
        ("Y", 0, 1, []),
        ("Y", 1, 1, [[0]]),
        ("X", 0, 2, [[0]]),
        ("X", 1, 2, [[1]]),
    ]


def test_rules_are_dealt_out_once_each() -> None:
    rules = {"LB": [0, 1, 2, 5], "DM": [0, 1], "AE": [3]}
    assert checking.dealt(rules, "LB", 1) == [rules]
    assert checking.dealt(rules, "LB", 2) == [{"LB": [0, 1, 2, 5]}, {"DM": [0, 1]}, {"AE": [3]}]
    assert checking.dealt(rules, "LB", 3)[:2] == [{"LB": [0, 2]}, {"LB": [1, 5]}]
    assert checking.dealt({"DM": [0]}, "LB", 2) == [{"DM": [0]}]
