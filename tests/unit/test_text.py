"""Text columns: each operation equals the plain one done row by row."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from transforms.core import text
from transforms.core.conditions import Test
from transforms.sdtm.finish import split_text

VALUES = st.lists(st.one_of(st.none(), st.sampled_from(["a", "B", "b", "ä", "中", "10", "9", " x"])), max_size=30)


def column(values: list[str | None]) -> pd.Series:
    return text.from_values(values, pd.RangeIndex(len(values)))


def plain(values: pd.Series) -> list[str | None]:
    return [None if pd.isna(one) else one for one in values.astype(object)]


@given(VALUES)
def test_values_come_back(values: list[str | None]) -> None:
    assert plain(column(values)) == values
    assert text.to_arrow(column(values)).to_pylist() == values


@given(st.lists(st.one_of(st.none(), st.sampled_from(["", "a", "b", "中"])), max_size=8), st.data())
def test_texts_of_an_array_are_those_of_a_list(texts: list[str | None], data: st.DataObject) -> None:
    codes = np.array(data.draw(st.lists(st.integers(-1, len(texts) - 1), max_size=20)), dtype=np.int32)
    index = pd.RangeIndex(len(codes))
    of_array = text.of_array(codes, pa.array(texts, pa.string()), index)
    pd.testing.assert_series_equal(of_array, text.column(codes, texts, index))
    assert plain(of_array) == [(texts[code] or None) if code >= 0 else None for code in codes]


@given(VALUES)
def test_mapping_equals_mapping_row_by_row(values: list[str | None]) -> None:
    mapping = {"a": "1", "b": "1", "B": None}
    assert plain(text.translate(column(values), mapping)) == [mapping.get(one) if one else None for one in values]
    numbers = text.map_number(column(values), lambda one: float(one) if one.isdigit() else None)
    assert [None if pd.isna(one) else one for one in numbers] == [
        float(one) if one and one.isdigit() else None for one in values
    ]


@given(VALUES, VALUES)
def test_concatenation_keeps_rows(one: list[str | None], two: list[str | None]) -> None:
    assert plain(text.concat([column(one), column(two)])) == one + two


@given(st.lists(st.tuples(st.sampled_from(["a", "b", None]), st.sampled_from([1.0, 2.0, float("nan")])), min_size=1))
def test_combination_codes_agree_with_rows(rows: list[tuple[str | None, float]]) -> None:
    columns = [column([row[0] for row in rows]), pd.Series([row[1] for row in rows])]
    codes, distinct = text.combinations(columns)
    as_told = [tuple(None if pd.isna(part) else part for part in row) for row in rows]
    assert [distinct[code] for code in codes] == as_told
    assert len(set(distinct)) == len(distinct)


@given(VALUES)
def test_order_is_by_code_point_with_missing_first_and_stable(values: list[str | None]) -> None:
    order = text.sort_order([column(values)]) if values else []
    assert list(order) == sorted(range(len(values)), key=lambda row: (values[row] is not None, values[row] or ""))


@given(VALUES, VALUES)
def test_coalesce_takes_the_first_there_is(one: list[str | None], two: list[str | None]) -> None:
    size = min(len(one), len(two))
    merged = text.coalesce(column(one[:size]), column(two[:size]))
    assert plain(merged) == [a if a is not None else b for a, b in zip(one[:size], two[:size], strict=True)]


def test_conditions_say_what_a_missing_value_does() -> None:
    values = column(["Y", "N", None])
    assert Test.model_validate("Y").holds(values).tolist() == [True, False, False]
    assert Test.model_validate({"not_equals": "Y"}).holds(values).tolist() == [False, True, True]
    assert Test.model_validate({"present": False}).holds(values).tolist() == [False, False, True]
    assert Test.model_validate([1, 2]).holds(pd.Series([1.0, 3.0])).tolist() == [True, False]


@given(st.text(alphabet="abc 中文é", max_size=600))
def test_long_text_is_split_within_bytes_and_nothing_is_lost(value: str) -> None:
    pieces = split_text(value)
    assert all(len(piece.encode()) <= 200 for piece in pieces)
    assert "".join(pieces).replace(" ", "") == value.replace(" ", "")


def test_long_text_is_split_at_a_blank_where_one_is_near() -> None:
    first, second = split_text("word " * 45)[:2]
    assert first == ("word " * 40).strip()
    assert second.startswith("word")
