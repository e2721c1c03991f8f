"""Parquet files: typed, labelled in the schema, and byte-identical for the same data."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from transforms.core import text

ROW_GROUP = 1 << 20


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


def frame_of(table: pa.Table) -> pd.DataFrame:
    """A table written by `table_of` as a frame again: text as unordered categories, numbers, dates by the second."""
    columns = {}
    index = pd.RangeIndex(table.num_rows)
    for field, column in zip(table.schema, table.columns, strict=True):
        if pa.types.is_string(field.type) or pa.types.is_dictionary(field.type):
            joined = column.combine_chunks()
            encoded_text = joined if pa.types.is_dictionary(field.type) else joined.dictionary_encode()
            codes = encoded_text.indices.fill_null(-1).to_numpy(zero_copy_only=False)
            columns[field.name] = text.of_array(codes, encoded_text.dictionary, index)
        elif pa.types.is_temporal(field.type):
            values = column.cast(pa.timestamp("s")).to_numpy()
            columns[field.name] = pd.Series(values.astype("datetime64[s]"), index=index, copy=False)
        else:
            columns[field.name] = pd.Series(column.to_numpy(), index=index)
    return pd.DataFrame(columns, index=index)


def read_frame(path: Path, columns: Collection[str] | None = None) -> pd.DataFrame:
    """A Parquet file written by `write` as a frame; with `columns`, those of them that it has."""
    return frame_of(read_encoded(path, columns))


class Columns:
    """A Parquet file as a frame whose columns are read when they are asked for, and kept until the object goes.

    `names` gives columns of the file another name; one whose name is empty is not of the frame.
    """

    def __init__(self, path: Path, names: Mapping[str, str] | None = None) -> None:
        self.file = _open_encoded(path)
        own = {(names or {}).get(one, one): one for one in self.file.schema_arrow.names}
        self.columns = {name: one for name, one in own.items() if name}
        self.index = pd.RangeIndex(self.file.metadata.num_rows)
        self._read: dict[str, pd.Series] = {}

    def __getitem__(self, name: str) -> pd.Series:
        if name not in self.columns:
            raise KeyError(name)
        if name not in self._read:
            stored = self.columns[name]
            self._read[name] = frame_of(self.file.read(columns=[stored]))[stored]
        return self._read[name]

    def __contains__(self, name: object) -> bool:
        return name in self.columns

    def __len__(self) -> int:
        return len(self.index)


def write(table: pa.Table, path: Path) -> None:
    """Write a table with fixed settings and page checksums."""
    write_parts([table], path, table.schema)


def write_parts(tables: Iterable[pa.Table], path: Path, schema: pa.Schema) -> None:
    """Write tables one after the other into one file, so that no more than one of them is in memory."""
    with pq.ParquetWriter(
        path, schema, version="2.6", compression="zstd", write_page_checksum=True, store_schema=True
    ) as writer:
        for table in tables:
            writer.write_table(table, row_group_size=ROW_GROUP)


def grouped(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Tables joined and cut into row groups: what is written is what all tables at once would give."""
    waiting: list[pa.Table] = []
    size, groups = 0, 0
    for table in tables:
        waiting.append(table)
        size += table.num_rows
        while size >= ROW_GROUP:
            joined = pa.concat_tables(waiting)
            yield joined.slice(0, ROW_GROUP)
            waiting, size, groups = [joined.slice(ROW_GROUP)], size - ROW_GROUP, groups + 1
    if size or (waiting and not groups):
        yield pa.concat_tables(waiting)


def read_encoded(path: Path, columns: Collection[str] | None = None) -> pa.Table:
    """A Parquet file with its texts dictionary-encoded, which is a tenth of the memory and of the work.

    With `columns`, those of them that the file has, in the order of the file.
    """
    with _open_encoded(path) as file:
        return file.read(columns=[name for name in file.schema_arrow.names if columns is None or name in columns])


def _open_encoded(path: Path) -> pq.ParquetFile:
    with pq.ParquetFile(path) as file:
        metadata, schema = file.metadata, file.schema_arrow
    texts = [field.name for field in schema if pa.types.is_string(field.type)]
    return pq.ParquetFile(path, metadata=metadata, read_dictionary=texts)


def encoded(codes: np.ndarray, texts: Sequence[str | None]) -> pa.Array:
    """Codes into texts as an Arrow string array; None and code -1 are null."""
    return text.to_arrow(text.column(codes, texts, pd.RangeIndex(len(codes))))


def constant(size: int, one: str | None) -> pa.Array:
    """One text, or none, in every row of an Arrow string array."""
    return pa.nulls(size, pa.string()) if not one else pa.repeat(pa.scalar(one, pa.string()), size)
