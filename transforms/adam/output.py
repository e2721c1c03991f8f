"""Analysis datasets as Arrow tables: typed, labelled, ready for Parquet."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pyarrow as pa

from transforms.adam.records import AnalysisDataset, AnalysisVariable
from transforms.core import text

ARROW = {
    "text": pa.string(),
    "integer": pa.int64(),
    "float": pa.float64(),
    "date": pa.date32(),
    "datetime": pa.timestamp("s"),
}


def to_arrow(dataset: AnalysisDataset, rows: int) -> Iterator[pa.Table]:
    """The dataset as tables of some rows each: texts plain strings, dates date32, whole numbers int64.

    As plain strings texts take many times the memory, so that the whole of a large dataset is more than it needs.
    Each field carries label, type, origin and codelist in its metadata, the schema name, label, class, structure
    and keys of the dataset.
    """
    for start in range(0, max(len(dataset.frame), 1), rows):
        yield _table(dataset, dataset.frame.iloc[start : start + rows])


def schema(dataset: AnalysisDataset) -> pa.Schema:
    """The schema of these tables."""
    return _table(dataset, dataset.frame.iloc[:0]).schema


def _table(dataset: AnalysisDataset, frame: pd.DataFrame) -> pa.Table:
    arrays = [_array(frame[variable.name], variable) for variable in dataset.variables]
    fields = [
        pa.field(variable.name, array.type, metadata=_described(variable))
        for variable, array in zip(dataset.variables, arrays, strict=True)
    ]
    description = {
        "dataset": dataset.name,
        "label": dataset.label,
        "class": dataset.observation_class,
        "structure": dataset.structure,
        "keys": " ".join(dataset.keys),
    }
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields, metadata=description))


def _described(variable: AnalysisVariable) -> dict[str, str]:
    known = {
        "label": variable.label,
        "type": variable.type,
        "origin": variable.origin,
        "codelist": variable.codelist or "",
    }
    return {key: value for key, value in known.items() if value}


def _array(values: pd.Series, variable: AnalysisVariable) -> pa.Array:
    if variable.type == "text":
        return text.to_arrow(values)
    raw = values.to_numpy()
    if variable.type in {"date", "datetime"}:
        return pa.array(raw.astype("datetime64[s]")).cast(ARROW[variable.type])
    if variable.type == "integer":
        missing = np.isnan(raw)
        return pa.array(np.where(missing, 0, raw).astype(np.int64), mask=missing)
    return pa.array(raw.astype(float), from_pandas=True)
