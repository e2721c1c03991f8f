"""Parquet files: typed, labelled in the schema, and byte-identical for the same data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from transforms.core import text


def table_of(
    frame: pd.DataFrame, labels: Mapping[str, str] | None = None, description: Mapping[str, str] | None = None
) -> pa.Table:
    """A frame of text and number columns as an Arrow table; labels and description go into the schema."""
    arrays, fields = [], []
    for name in frame.columns:
        values = frame[name]
        if isinstance(values.dtype, pd.CategoricalDtype):
            array = text.to_arrow(values)
        else:
            array = pa.array(values.to_numpy(), from_pandas=True)
        label = (labels or {}).get(str(name))
        arrays.append(array)
        fields.append(pa.field(str(name), array.type, metadata={"label": label} if label else None))
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields, metadata=dict(description or {})))


def write(table: pa.Table, path: Path) -> None:
    """Write a table with fixed settings and page checksums."""
    pq.write_table(
        table,
        path,
        version="2.6",
        compression="zstd",
        write_page_checksum=True,
        store_schema=True,
        row_group_size=1 << 20,
    )


def encoded(codes: np.ndarray, texts: Sequence[str | None]) -> pa.Array:
    """Codes into texts as an Arrow string array; None and code -1 are null."""
    return text.to_arrow(text.column(codes, texts, pd.RangeIndex(len(codes))))
