"""How statistics are written: decimals, percentages, and NE where one cannot be estimated."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from transforms.core.numbers import round_half_away
from transforms.study.results import Decimals

NOT_ESTIMABLE = "NE"


def fixed(value: float | None, decimals: int) -> str:
    """A number with a fixed count of decimals, halves away from zero; NE for none, and never a negative zero."""
    if value is None or not math.isfinite(value):
        return NOT_ESTIMABLE
    rounded = round_half_away(value, decimals)
    return f"{rounded + 0.0 if rounded else 0.0:.{decimals}f}"


def percent(part: float, whole: float) -> tuple[float | None, str]:
    """A percentage to one decimal; without text where the part is 0, which is shown as a count alone."""
    if not whole:
        return None, ""
    value = 100 * part / whole
    return value, f"{fixed(value, 1)}%" if part else ""


def p_value(value: float | None) -> str:
    """A p-value to four decimals."""
    if value is not None and value < 0.0001:
        return "<0.0001"
    return fixed(value, 4)


def decimals_of(decimals: Decimals, records: pd.DataFrame, positions: np.ndarray) -> int:
    """In how many decimals the values of some records were collected, by the first of them."""
    if not decimals.by or not len(positions):
        return decimals.default
    return decimals.values.get(str(records[decimals.by].iloc[int(positions[0])]), decimals.default)
