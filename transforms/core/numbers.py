"""Numbers as collected and as submitted: reading, rounding once, writing back as text."""

from __future__ import annotations

import math
import re
from decimal import ROUND_HALF_UP, Decimal
from typing import NamedTuple

import numpy as np
import pandas as pd

PLAIN_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)", re.ASCII)
CENSORED = re.compile(r"(<=|>=|<|>)\s*([+-]?(?:\d+(?:\.\d*)?|\.\d+))", re.ASCII)
JUDGED_AT = 9
WHOLE_FROM = 1e15


class Result(NamedTuple):
    """A collected result read as a number: `sign` is `<`, `<=`, `>`, `>=` or empty."""

    sign: str
    value: float


def parse_number(text: str) -> float | None:
    """The number a plain decimal text stands for; None for anything else (`NA`, `1e3`, `12a`)."""
    stripped = text.strip()
    return float(stripped) if PLAIN_NUMBER.fullmatch(stripped) else None


def parse_result(text: str) -> Result | None:
    """A number or a censored number (`<0.2`); None for any other text."""
    number = parse_number(text)
    if number is not None:
        return Result("", number)
    match = CENSORED.fullmatch(text.strip())
    return Result(match[1], float(match[2])) if match else None


def round_half_away(value: float, decimals: int) -> float:
    """`value` to `decimals` places, halves away from zero, judged on the value at 9 decimals.

    2.675 rounds to 2.68 although its binary value lies below the half, and so does 2.6749999999999: what
    arithmetic in binary leaves below the ninth decimal decides nothing. The one rounding of this project.
    """
    if not math.isfinite(value) or abs(value) >= WHOLE_FROM:
        return value
    rounded = Decimal(f"{value:.15g}")
    for places in (max(JUDGED_AT, decimals), decimals):
        rounded = rounded.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_UP)
    return float(rounded)


def round_column(values: pd.Series, decimals: int) -> pd.Series:
    """`round_half_away` of a column of numbers, once per distinct value."""
    codes, distinct = pd.factorize(values)
    table = np.array([*(round_half_away(float(value), decimals) for value in distinct), np.nan], dtype=float)
    return pd.Series(table[codes], index=values.index)


def round_significant(values: np.ndarray, digits: int = 12) -> np.ndarray:
    """Each number to `digits` significant digits, so that two ways of computing one number compare equal.

    Comparisons at a cut-off are made between numbers rounded so: 3 x 1.1 is not above 3.3.
    """
    codes, distinct = pd.factorize(values)
    return np.array([*(float(f"{value:.{digits}g}") for value in distinct), np.nan])[codes]


def number_text(value: float) -> str:
    """The shortest plain decimal text of a number (15 significant digits): 63.0 is `63`, never `6.3E1`."""
    text = f"{value:.15g}"
    if "e" in text or "E" in text:
        text = format(Decimal(text), "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def canonical_number(text: str) -> str | None:
    """Plain writing of a collected number: `098.0` is `98`, `63.0` is `63`; None if it is no number.

    Works on the digits, so no digit is lost to binary rounding.
    """
    stripped = text.strip()
    if not PLAIN_NUMBER.fullmatch(stripped):
        return None
    value = Decimal(stripped)
    plain = format(value, "f")
    if "." in plain:
        plain = plain.rstrip("0").rstrip(".")
    return "0" if plain in {"-0", ""} else plain
