"""Small tables as a snapshot holds them: labels in the schema, keys and name of the dataset in its metadata."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import pyarrow as pa

from transforms.submission import layout, xpt
from transforms.submission.header import Encoding
from transforms.submission.layout import Layout

CREATED = datetime(2025, 1, 31)


def table(
    columns: Mapping[str, pa.Array | Sequence[object]], name: str = "AE", label: str = "Adverse Events"
) -> pa.Table:
    """A table of one dataset; each variable is labelled with its name."""
    arrays = {key: one if isinstance(one, pa.Array) else pa.array(one) for key, one in columns.items()}
    fields = [pa.field(key, one.type, metadata={"label": f"Label of {key}"}) for key, one in arrays.items()]
    return pa.Table.from_arrays(
        list(arrays.values()), schema=pa.schema(fields, metadata={"dataset": name, "label": label})
    )


def batches(content: pa.Table, rows: int = 1 << 16) -> Iterator[pa.RecordBatch]:
    yield from content.to_batches(max_chunksize=rows)


def sized(content: pa.Table, encoding: Encoding = "ascii", special: Mapping[str, str] | None = None) -> Layout:
    """The layout of a table with the lengths it uses; the faults of its records are raised."""
    shape = layout.layout_of(content.schema, special=special)
    measured = xpt.measure(shape, batches(content), encoding)
    xpt.refuse(measured.faults)
    return shape.with_lengths(layout.shared_lengths({shape.name: measured.lengths})[shape.name])


def write(
    path: Path,
    content: pa.Table,
    *,
    encoding: Encoding = "ascii",
    shape: Layout | None = None,
    rows: int = 1 << 16,
    special: Mapping[str, str] | None = None,
) -> xpt.Written:
    """Write a table; with `shape`, without looking through it before."""
    used = shape or sized(content, encoding, special)
    return xpt.write(path, used, batches(content, rows), encoding=encoding, created=CREATED)
