"""Arrow tables as the rows of COPY in binary format, built column by column: no Python object per value.

A row is a count of fields and, for each field, its length and its bytes; a missing value has length -1. Every column
becomes an array of such fields; one element-wise join makes the rows, which lie in memory as COPY wants them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
MISSING = pa.scalar(b"\xff\xff\xff\xff", pa.binary())
NOTHING = pa.scalar(b"", pa.binary())
BATCH_ROWS = 16_384
BATCH_BYTES = 32 << 20
# The object id of the type of an array's elements.
ELEMENTS = {"text[]": 25, "integer[]": 23}
DAYS_TO_2000 = 10_957
MICROSECONDS_TO_2000 = DAYS_TO_2000 * 86_400_000_000
LARGEST = 2**31 - 1


def encoded_rows(table: pa.Table, types: Sequence[str]) -> Iterator[bytes]:
    """The rows of a table, some thousand at a time; `types` are the PostgreSQL types of its columns.

    Raises pa.ArrowInvalid for a value that its type cannot hold: an integer beyond 32 bits, a part of a second.
    """
    count = pa.scalar(len(types).to_bytes(2, "big"), pa.binary())
    rows = (
        BATCH_ROWS
        if not table.num_rows
        else max(1, min(BATCH_ROWS, BATCH_BYTES * table.num_rows // max(1, table.nbytes)))
    )
    for batch in table.to_batches(max_chunksize=rows):
        if not batch.num_rows:
            continue
        fields: list[pa.Array] = []
        for name, values, kind in zip(batch.schema.names, batch.columns, types, strict=True):
            try:
                fields.extend(_fields(values, kind))
            except pa.ArrowInvalid as error:
                raise pa.ArrowInvalid(f"column {name}: {error}") from error
        joined = pc.binary_join_element_wise(count, *fields, NOTHING)
        _, offsets, content = joined.buffers()
        ends = np.frombuffer(offsets, np.int32)
        first, last = int(ends[joined.offset]), int(ends[joined.offset + len(joined)])
        yield memoryview(content)[first:last].tobytes()


def _fields(values: pa.Array, kind: str) -> list[pa.Array]:
    """The fields of a column: one array, or for text two that follow each other, lengths and bytes."""
    if kind == "text":
        return _text(values)
    if kind in ELEMENTS:
        return [_arrays(values, kind)]
    if kind == "double precision":
        return [_fixed(values, _numbers(values.cast(pa.float64())).astype(">f8"), 8)]
    if kind == "integer":
        return [_fixed(values, _numbers(values.cast(pa.int32())).astype(">i4"), 4)]
    if kind == "date":
        days = _numbers(values.cast(pa.date32()).cast(pa.int32()))
        return [_fixed(values, (days.astype(np.int64) - DAYS_TO_2000).astype(">i4"), 4)]
    seconds = _numbers(values.cast(pa.timestamp("s")).cast(pa.int64()))
    return [_fixed(values, (seconds * 1_000_000 - MICROSECONDS_TO_2000).astype(">i8"), 8)]


def _numbers(values: pa.Array) -> np.ndarray:
    whole = pc.fill_null(values, 0) if values.null_count else values
    return np.asarray(whole.to_numpy(zero_copy_only=False))


def _text(values: pa.Array) -> list[pa.Array]:
    if pa.types.is_null(values.type):
        return [pa.array([MISSING.as_py()] * len(values), pa.binary())]
    if pa.types.is_dictionary(values.type):
        # What stands often is written once.
        entries = pc.binary_join_element_wise(*_text(values.dictionary), NOTHING)
        taken = entries.take(values.indices)
        return [pc.fill_null(taken, MISSING) if taken.null_count else taken]
    content = values.cast(pa.string()).cast(pa.binary())
    lengths = pc.fill_null(pc.binary_length(content), -1).to_numpy(zero_copy_only=False).astype(">i4")
    return [_cut(lengths.view(np.uint8), 4, len(content)), pc.fill_null(content, NOTHING)]


def _arrays(values: pa.Array, kind: str) -> pa.Array:
    """Fields of lists: dimensions, flags, type, length and lower bound, and then each element as a field."""
    fields = []
    for value in values:
        if not value.is_valid:
            fields.append(MISSING.as_py())
            continue
        elements = value.values
        inner = _fields(elements, kind.removesuffix("[]"))
        written = b"".join(pc.binary_join_element_wise(*inner, NOTHING).to_pylist())
        header = [1, 0, ELEMENTS[kind], len(elements), 1] if len(elements) else [0, 0, ELEMENTS[kind]]
        content = np.array(header, dtype=">i4").tobytes() + written
        fields.append(len(content).to_bytes(4, "big") + content)
    return pa.array(fields, pa.binary())


def _fixed(values: pa.Array, numbers: np.ndarray, width: int) -> pa.Array:
    """Fields of one width: the length and the number, both with the highest byte first."""
    content = np.empty((len(numbers), 4 + width), np.uint8)
    content[:, :4] = np.frombuffer(width.to_bytes(4, "big"), np.uint8)
    content[:, 4:] = numbers.view(np.uint8).reshape(len(numbers), width)
    fields = _cut(content, 4 + width, len(numbers))
    return pc.if_else(values.is_valid(), fields, MISSING) if values.null_count else fields


def _cut(content: np.ndarray, width: int, count: int) -> pa.Array:
    """Bytes cut into pieces of one width, as an array."""
    offsets = np.arange(count + 1, dtype=np.int32) * width
    return pa.Array.from_buffers(pa.binary(), count, [None, pa.py_buffer(offsets), pa.py_buffer(content)])
