"""How statistics are written: decimals, percentages, and NE where one cannot be estimated."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from transforms.core.numbers import round_half_away
from transforms.study.results import Decimals, PValues

NOT_ESTIMABLE = "NE"


def fixed(value: float | None, decimals: int) -> str:
    """A number with a fixed count of decimals, halves away from zero; NE for none, and never a negative zero."""
    if value is None or not math.isfinite(value):
        return NOT_ESTIMABLE
    rounded = round_half_away(value, decimals)
    return f"{rounded + 0.0 if rounded else 0.0:.{decimals}f}"


def percent(part: float, whole: float, decimals: int = 1) -> tuple[float | None, str]:
    """A percentage; without text where the part is 0, which is shown as a count alone.

    Without decimals one above 0 and below 1 is `<1%`.
    """
    if not whole:
        return None, ""
    value = 100 * part / whole
    if decimals == 0 and 0 < value < 1:
        return value, "<1%"
    return value, f"{fixed(value, decimals)}%" if part else ""


def p_value(value: float | None, shown: PValues) -> str:
    """A p-value with its mark; one that would be written as 0 is below the smallest number that can be."""
    if value is None:
        return NOT_ESTIMABLE
    marks = "".join(mark for mark, bound in shown.mark.items() if value < bound)
    above = [written for bound, written in sorted(shown.above.items()) if value > bound]
    smallest = 10.0**-shown.decimals
    below = f"<{smallest:.{shown.decimals}f}" if value < smallest else fixed(value, shown.decimals)
    return f"{above[-1] if above else below}{marks}"


def decimals_of(decimals: Decimals, records: pd.DataFrame, positions: np.ndarray) -> int:
    """In how many decimals the values of some records were collected, by the first of them."""
    if not decimals.by or not len(positions):
        return decimals.default
    return decimals.values.get(str(records[decimals.by].iloc[int(positions[0])]), decimals.default)
