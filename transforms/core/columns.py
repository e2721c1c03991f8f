"""Columns of any type: values at positions, and numbers that sort as the values do."""

from __future__ import annotations

import numpy as np
import pandas as pd

from transforms.core import dates, text


def take(values: pd.Series, positions: np.ndarray, index: pd.Index) -> pd.Series:
    """Values at positions of any column; position -1 gives a missing value."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        codes = np.append(values.array.codes, -1)[positions]
        return text.of_codes(codes, values.dtype, index)
    raw = values.to_numpy()
    if values.dtype.kind == "M":
        padded = np.append(raw.astype("datetime64[s]"), np.datetime64("NaT"))
    else:
        padded = np.append(raw.astype(float), np.nan)
    return pd.Series(padded[positions], index=index, copy=False)


def sort_key(values: pd.Series, *, descending: bool) -> np.ndarray:
    """Numbers that sort as the values do, missing last in either direction."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        ranks = text.ranks(values).astype(float)
        key = np.where(ranks == 0, np.nan, ranks)
    elif values.dtype.kind == "M":
        key = dates.seconds_of(values)
    else:
        key = values.to_numpy().astype(float)
    return -key if descending else key


def replaced(values: pd.Series, rows: np.ndarray, others: pd.Series) -> pd.Series:
    """A column in which the values at some positions are replaced by others of the same kind, one for each."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        codes, own = values.array.codes.astype(np.int64), others.array.codes.astype(np.int64)
        codes[rows] = np.where(own >= 0, own + len(values.cat.categories), text.MISSING)
        return text.column(codes, [*text.texts_of(values), *text.texts_of(others)], values.index)
    changed = values.to_numpy().copy()
    changed[rows] = others.to_numpy()
    return pd.Series(changed, index=values.index)
