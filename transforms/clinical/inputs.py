"""What the scores ask of their inputs: one index, numbers or truth values, and nothing impossible."""

from __future__ import annotations

import numpy as np
import pandas as pd

from transforms.errors import InputError


def shared_index(**columns: pd.Series) -> pd.Index:
    """The index that all the columns have. InputError where one has another: rows are never aligned by guess."""
    for name, column in columns.items():
        if not isinstance(column, pd.Series):
            raise InputError(f"{name} is a {type(column).__name__}. Give a pandas Series, one value per row")
    (first, leading), *others = columns.items()
    apart = [name for name, column in others if not column.index.equals(leading.index)]
    if apart:
        raise InputError(f"{', '.join(apart)} and {first} have different indexes. Take them from the same records")
    return leading.index


def finite(name: str, column: pd.Series) -> np.ndarray:
    """A column of numbers as floats, NaN where missing or infinite. InputError for anything but numbers."""
    if column.isna().all():
        return np.full(len(column), np.nan)
    if not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
        raise InputError(f"{name} holds {column.dtype} values. Give numbers, in the unit its name says")
    values = column.to_numpy(dtype=float, na_value=np.nan)
    return np.where(np.isfinite(values), values, np.nan)


def positive(name: str, column: pd.Series) -> np.ndarray:
    """Like `finite`, NaN also where the number is 0 or below: no concentration, ratio or limit is."""
    values = finite(name, column)
    return np.where(values > 0, values, np.nan)


def truth(name: str, column: pd.Series) -> np.ndarray:
    """A column of truth values as 1.0 and 0.0, NaN where missing. InputError for anything but True and False (1, 0)."""
    present = column.notna().to_numpy()
    if not set(column[present].unique()) <= {0, 1}:
        raise InputError(f"{name} holds values other than True and False. Decide each record before, missing included")
    values = np.full(len(column), np.nan)
    values[present] = column[present].astype(float)
    return values
