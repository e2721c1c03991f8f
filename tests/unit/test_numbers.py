"""Numbers as collected; expected values by hand and by decimal arithmetic."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.core import numbers


@pytest.mark.parametrize(
    ("value", "decimals", "rounded"),
    [(2.675, 2, 2.68), (0.5, 0, 1), (-0.5, 0, -1), (1.005, 2, 1.01), (38.45, 1, 38.5), (-2.345, 2, -2.35), (7, 2, 7)],
)
def test_halves_go_away_from_zero(value: float, decimals: int, rounded: float) -> None:
    assert numbers.round_half_away(value, decimals) == rounded


@given(st.decimals(-10_000, 10_000, places=4), st.integers(0, 3))
def test_rounding_is_decimal_rounding(value: Decimal, decimals: int) -> None:
    expected = value.quantize(Decimal(1).scaleb(-decimals), rounding=ROUND_HALF_UP)
    assert numbers.round_half_away(float(value), decimals) == float(expected)


@pytest.mark.parametrize(
    ("value", "rounded"),
    [
        (6.49999999996, 7),
        (6.4999999994, 6),
        (-6.49999999996, -7),
        (0.30000000004 * 5, 2),
        (1e20, 1e20),
        (2.5e14, 2.5e14),
    ],
)
def test_the_ninth_decimal_decides_a_half(value: float, rounded: float) -> None:
    assert numbers.round_half_away(value, 0) == rounded
    assert numbers.round_half_away(value, 9) == pytest.approx(value, abs=1e-9)


def test_significant_digits_make_two_ways_of_one_number_equal() -> None:
    ways = np.array([3 * 1.1, 3.3, 0.1 + 0.2, np.nan, 1234567890123.4, 0.0])
    expected = [3.3, 3.3, 0.3, np.nan, 1234567890120.0, 0.0]
    np.testing.assert_array_equal(numbers.round_significant(ways), expected)


@pytest.mark.parametrize(
    ("collected", "plain"),
    [
        ("63.0", "63"),
        ("098.0", "98"),
        ("007", "7"),
        ("-0.50", "-0.5"),
        (".5", "0.5"),
        ("100", "100"),
        (" 12.30 ", "12.3"),
        ("0.1000000000000000055", "0.1000000000000000055"),
        ("1e3", None),
        ("1,5", None),
        ("NA", None),
        ("", None),
        ("12a", None),
    ],
)
def test_plain_writing_of_a_collected_number(collected: str, plain: str | None) -> None:
    assert numbers.canonical_number(collected) == plain


@pytest.mark.parametrize(
    ("value", "written"),
    [(63.0, "63"), (0.2 * 17.1, "3.42"), (1e-7, "0.0000001"), (1e20, "100000000000000000000"), (-0.0, "0")],
)
def test_the_shortest_text_of_a_number(value: float, written: str) -> None:
    assert numbers.number_text(value) == written


@given(st.floats(-1e12, 1e12, allow_nan=False))
def test_a_written_number_reads_back(value: float) -> None:
    read = numbers.parse_number(numbers.number_text(value))
    assert read == pytest.approx(value, rel=1e-14, abs=1e-300)


@pytest.mark.parametrize(
    ("collected", "result"),
    [("<0.2", ("<", 0.2)), (">= 2000", (">=", 2000)), ("5", ("", 5)), ("3+", None), ("<", None), ("NEGATIVE", None)],
)
def test_a_censored_result_keeps_its_sign(collected: str, result: tuple[str, float] | None) -> None:
    parsed = numbers.parse_result(collected)
    assert (tuple(parsed) if parsed else None) == result


@pytest.mark.parametrize("written", ["\u0663", "1\u0660", "<\u0665", "\u00b2", "\uff15"])
def test_digits_of_another_script_are_no_number_until_they_were_read_as_ordinary_ones(written: str) -> None:
    assert numbers.parse_result(written) is None
    assert numbers.canonical_number(written) is None
