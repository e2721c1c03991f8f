"""Columns of any type: values at positions, and numbers that sort as the values do."""

from __future__ import annotations

import numpy as np
import pandas as pd

from transforms.core import dates, text


def take(values: pd.Series, positions: np.ndarray, index: pd.Index) -> pd.Series:
    """Values at positions of any column; position -1 gives a missing value."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        codes = np.append(values.cat.codes.to_numpy(), -1)[positions]
        return pd.Series(pd.Categorical.from_codes(codes, categories=values.cat.categories), index=index)
    raw = values.to_numpy()
    if values.dtype.kind == "M":
        padded = np.append(raw.astype("datetime64[s]"), np.datetime64("NaT"))
    else:
        padded = np.append(raw.astype(float), np.nan)
    return pd.Series(padded[positions], index=index)


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
