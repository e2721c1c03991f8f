"""Changes between snapshots: by natural key, whatever the order, the numbering or the type of a column."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.reporting.changes import Keys, Tables, compare

KEYS = {"LB": ("USUBJID", "LBTESTCD", "LBDTC"), "DM": ("USUBJID",)}


def changes_between(before: Tables, after: Tables, keys: Mapping[str, Keys]) -> list[dict[str, Any]]:
    return [one.summary() for one in compare(before, after, keys)]


def lab(rows: list[tuple[str, str, str, str | None]]) -> pa.Table:
    """LB of (subject, test, date, result), numbered in the order given."""
    numbers: dict[str, int] = {}
    sequence = [numbers.setdefault(row[0], 0) or 0 for row in rows]
    for position, row in enumerate(rows):
        numbers[row[0]] += 1
        sequence[position] = numbers[row[0]]
    names = ("USUBJID", "LBTESTCD", "LBDTC", "LBORRES")
    columns: dict[str, pa.Array] = {
        name: pa.array([row[position] for row in rows], type=pa.string()) for position, name in enumerate(names)
    }
    return pa.table({**columns, "LBSEQ": pa.array(sequence, type=pa.float64())})


BEFORE = [("S1", "ALB", "2024-01-01", "40"), ("S1", "ALT", "2024-01-01", "20"), ("S2", "ALB", "2024-01-02", None)]


def test_the_same_tables_have_no_change() -> None:
    [line] = changes_between({"LB": lab(BEFORE)}, {"LB": lab(BEFORE)}, KEYS)
    assert line == {
        "dataset": "LB",
        "before": 3,
        "after": 3,
        "added": 0,
        "removed": 0,
        "changed": 0,
        "renumbered": 0,
        "variables": {},
        "new_variables": [],
        "gone_variables": [],
    }


def test_added_removed_and_changed_records_are_counted_by_key() -> None:
    after = [
        ("S0", "ALB", "2024-01-05", "38"),
        ("S1", "ALB", "2024-01-01", "41"),
        ("S2", "ALB", "2024-01-02", "39"),
    ]
    [line] = changes_between({"LB": lab(BEFORE)}, {"LB": lab(after)}, KEYS)
    assert (line["added"], line["removed"], line["changed"]) == (1, 1, 2)
    assert line["variables"] == {"LBORRES": 2}
    assert line["before"] + line["added"] - line["removed"] == line["after"]


def test_a_record_whose_sequence_number_alone_moved_is_renumbered_not_changed() -> None:
    after = [("S1", "AAA", "2024-01-01", "1"), *BEFORE]
    [line] = changes_between({"LB": lab(BEFORE)}, {"LB": lab(after)}, KEYS)
    assert (line["added"], line["removed"], line["changed"], line["renumbered"]) == (1, 0, 0, 2)
    assert line["variables"] == {}


def test_a_key_that_ends_with_the_number_of_a_source_record_follows_the_record() -> None:
    """A record that came in before them moved SRCSEQ; of two scores of one day only the number says which is which."""
    key = ("USUBJID", "PARAMCD", "ADT", "SRCSEQ")

    def scores(rows: list[tuple[str, str, int, float]]) -> pd.DataFrame:
        return pd.DataFrame([("S1", *row) for row in rows], columns=[*key, "AVAL"])

    before = scores([("KPS", "D1", 1, 70), ("KPS", "D8", 2, 80), ("MELD", "D1", 3, 9), ("MELD", "D1", 4, 10)])
    after = scores(
        [("KPS", "D1", 1, 70), ("KPS", "D4", 2, 90), ("KPS", "D8", 3, 60), ("MELD", "D1", 3, 9), ("MELD", "D1", 4, 12)]
    )
    [line] = changes_between({"ADEFF": before}, {"ADEFF": after}, {"ADEFF": key})
    assert (line["added"], line["removed"], line["changed"], line["renumbered"]) == (1, 0, 2, 0)
    assert line["variables"] == {"AVAL": 2}
    [line] = changes_between({"ADEFF": before}, {"ADEFF": after.assign(AVAL=[70.0, 90, 80, 9, 10])}, {"ADEFF": key})
    assert (line["added"], line["removed"], line["changed"], line["renumbered"]) == (1, 0, 0, 1)


def test_qualifiers_follow_the_record_they_point_to() -> None:
    def supp(table: pa.Table) -> pa.Table:
        frame = table.to_pandas()
        return pa.table(
            {
                "RDOMAIN": ["LB"] * len(frame),
                "USUBJID": list(frame["USUBJID"]),
                "IDVAR": ["LBSEQ"] * len(frame),
                "IDVARVAL": [str(int(one)) for one in frame["LBSEQ"]],
                "QNAM": ["LBRECDTC"] * len(frame),
                "QVAL": [f"{a}{b}" for a, b in zip(frame["USUBJID"], frame["LBTESTCD"], strict=True)],
            }
        )

    before = lab(BEFORE)
    after = lab([("S1", "AAA", "2024-01-01", "1"), *BEFORE])
    lines = changes_between({"LB": before, "SUPPLB": supp(before)}, {"LB": after, "SUPPLB": supp(after)}, KEYS)
    qualifiers = lines[1]
    assert qualifiers["dataset"] == "SUPPLB"
    assert (qualifiers["added"], qualifiers["removed"], qualifiers["changed"]) == (1, 0, 0)


def test_qualifiers_of_a_subject_need_no_sequence_number() -> None:
    demographics = pa.table({"USUBJID": ["S1", "S2"], "AGE": [50, 60]})
    columns = {"RDOMAIN": ["DM"] * 2, "USUBJID": ["S1", "S2"], "IDVAR": pa.nulls(2, pa.string())}
    before = pa.table({**columns, "IDVARVAL": pa.nulls(2, pa.string()), "QNAM": ["RACE1"] * 2, "QVAL": ["a", "b"]})
    after = pa.table({**columns, "IDVARVAL": pa.nulls(2, pa.string()), "QNAM": ["RACE1"] * 2, "QVAL": ["a", "c"]})
    lines = changes_between({"DM": demographics, "SUPPDM": before}, {"DM": demographics, "SUPPDM": after}, KEYS)
    assert (lines[1]["changed"], lines[1]["variables"]) == (1, {"QVAL": 1})


def test_equal_keys_are_paired_by_content_first() -> None:
    twice = [("S1", "ALB", "2024-01-01", "1"), ("S1", "ALB", "2024-01-01", "2"), ("S1", "ALB", "2024-01-01", "3")]
    [line] = changes_between({"LB": lab(twice)}, {"LB": lab(twice[1:])}, KEYS)
    assert (line["removed"], line["changed"]) == (1, 0)


def test_a_dataset_that_came_or_went() -> None:
    demographics = pa.table({"USUBJID": ["S1", "S2"]})
    lines = changes_between({"LB": lab(BEFORE)}, {"DM": demographics}, KEYS)
    assert [(one["dataset"], one["before"], one["after"], one["added"], one["removed"]) for one in lines] == [
        ("DM", None, 2, 2, 0),
        ("LB", 3, None, 0, 3),
    ]


def test_a_new_variable_changes_no_record() -> None:
    before = lab(BEFORE)
    after = before.append_column("LBNRIND", pa.array(["HIGH"] * 3))
    [line] = changes_between({"LB": before}, {"LB": after}, KEYS)
    assert (line["changed"], line["new_variables"], line["gone_variables"]) == (0, ["LBNRIND"], [])


def test_frames_dictionaries_and_number_types_compare_by_value() -> None:
    before = lab(BEFORE)
    frame = before.to_pandas().astype({"LBTESTCD": "category", "LBSEQ": "int64"})
    frame["LBORRES"] = frame["LBORRES"].astype(object)
    [line] = changes_between({"LB": before}, {"LB": frame}, KEYS)
    assert (line["added"], line["changed"], line["renumbered"]) == (0, 0, 0)


def test_missing_equals_missing_and_differs_from_a_value() -> None:
    before = pa.table({"USUBJID": ["S1", "S2", "S3"], "AGE": [None, 0.0, float("nan")]})
    after = pa.table({"USUBJID": ["S1", "S2", "S3"], "AGE": [float("nan"), -0.0, 0.0]})
    [line] = changes_between({"DM": before}, {"DM": after}, KEYS)
    assert line["changed"] == 1


def test_a_column_of_nothing_meets_a_column_of_text() -> None:
    before = pa.table({"USUBJID": ["S1"], "ARM": pa.nulls(1)})
    after = pa.table({"USUBJID": ["S1"], "ARM": ["A"]})
    [line] = changes_between({"DM": before}, {"DM": after}, KEYS)
    assert line["variables"] == {"ARM": 1}


def test_empty_tables() -> None:
    empty = lab([])
    assert changes_between({"LB": empty}, {"LB": empty}, KEYS)[0]["after"] == 0
    assert changes_between({"LB": empty}, {"LB": lab(BEFORE)}, KEYS)[0]["added"] == 3
    assert changes_between({"LB": lab(BEFORE)}, {"LB": empty}, KEYS)[0]["removed"] == 3
    assert changes_between({}, {}, KEYS) == []


def test_the_inputs_stay_as_they_were() -> None:
    before, after = lab(BEFORE), lab(BEFORE[1:]).to_pandas()
    kept = after.copy()
    changes_between({"LB": before}, {"LB": after}, KEYS)
    assert before.equals(lab(BEFORE))
    pd.testing.assert_frame_equal(after, kept)


def test_keys_of_both_specifications_are_tried_in_turn() -> None:
    """The date left the key: records that the later key cannot pair are paired by the earlier one."""
    before = lab([("S1", "ALB", "2024-01-01", "40"), ("S2", "ALB", "2024-01-02", "41")])
    after = lab([("S1", "ALB", "2024-01-09", "40"), ("S2", "ALX", "2024-01-02", "41")])
    [line] = changes_between({"LB": before}, {"LB": after}, {"LB": [("USUBJID", "LBTESTCD"), ("USUBJID", "LBDTC")]})
    assert (line["added"], line["removed"], line["changed"]) == (0, 0, 2)
    assert line["variables"] == {"LBDTC": 1, "LBTESTCD": 1}


def test_a_dataset_without_keys_is_refused() -> None:
    with pytest.raises(ValueError, match="VS: no natural key is given"):
        changes_between({"VS": lab(BEFORE)}, {}, KEYS)


ROWS = st.lists(
    st.tuples(st.sampled_from(["S1", "S2"]), st.sampled_from(["A", "B", "C"]), st.sampled_from(["1", "2", None])),
    max_size=12,
)


@given(ROWS, ROWS)
def test_the_counts_equal_those_of_a_comparison_record_by_record(
    before: list[tuple[str, str, str | None]], after: list[tuple[str, str, str | None]]
) -> None:
    """With unique keys two dictionaries say the same."""
    old = {row[:2]: row[2] for row in before}
    new = {row[:2]: row[2] for row in after}
    tables = [lab([(subject, test, "2024", value) for (subject, test), value in side.items()]) for side in (old, new)]
    [line] = changes_between({"LB": tables[0]}, {"LB": tables[1]}, KEYS)
    assert line["added"] == len(new.keys() - old.keys())
    assert line["removed"] == len(old.keys() - new.keys())
    assert line["changed"] == sum(old[key] != new[key] for key in old.keys() & new.keys())


@given(ROWS, ROWS)
def test_records_add_up_even_where_keys_are_equal(
    before: list[tuple[str, str, str | None]], after: list[tuple[str, str, str | None]]
) -> None:
    tables = [lab([(subject, test, "2024", value) for subject, test, value in side]) for side in (before, after)]
    [line] = changes_between({"LB": tables[0]}, {"LB": tables[1]}, KEYS)
    assert line["before"] + line["added"] - line["removed"] == line["after"]
    [back] = changes_between({"LB": tables[1]}, {"LB": tables[0]}, KEYS)
    assert (back["added"], back["removed"], back["changed"]) == (line["removed"], line["added"], line["changed"])
