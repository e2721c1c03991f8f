"""SAS transport files, version 5: a writer that holds what it is given or refuses it, and never cuts.

The format: records of 80 bytes; a library header, a member header, one description of 140 bytes per variable, then the
observations side by side, the last record filled with blanks. It says nowhere how many observations there are.
Source: SAS technical support document TS-140, record layout of a version 5 data set in transport format.

A file is written under a temporary name, flushed to the disk, read back, counted, and then renamed: whoever sees the
file sees it whole.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa

from transforms.errors import CairnError
from transforms.submission.faults import ExportRefusedError, Fault, RecordFaults
from transforms.submission.header import RECORD, Encoding, header_faults, header_of
from transforms.submission.layout import Layout
from transforms.submission.observations import REMOVE, TextColumn, column_of

CHUNK = 1 << 20


class WriteError(CairnError):
    """What is on the disk is not what was written."""


@dataclass(frozen=True)
class Measured:
    """A dataset looked through: its records, the bytes used by each text, which numbers are all whole, its faults."""

    records: int
    lengths: Mapping[str, int]
    whole: frozenset[str]
    faults: tuple[Fault, ...]


@dataclass(frozen=True)
class Written:
    """A file: its records, size in bytes and sha256."""

    records: int
    size: int
    sha256: str


def measure(layout: Layout, batches: Iterable[pa.RecordBatch], encoding: Encoding) -> Measured:
    """Look through a dataset without writing it; the faults are all that `write` would refuse in its records."""
    faults = RecordFaults(layout.name)
    columns = [column_of(variable, encoding) for variable in layout.variables]
    lengths: dict[str, int] = {}
    whole = {variable.name for variable in layout.variables if variable.type == "number"}
    records = 0
    for batch in batches:
        for column in columns:
            name = column.variable.name
            if isinstance(column, TextColumn):
                lengths[name] = max(lengths.get(name, 0), column.longest(batch, faults, records))
            elif not column.check(batch, faults, records):
                whole.discard(name)
        records += batch.num_rows
    lengths = {variable.name: lengths.get(variable.name, 0) for variable in layout.variables if variable.is_text}
    return Measured(records, lengths, frozenset(whole), tuple(faults.faults()))


def write(
    path: Path, layout: Layout, batches: Iterable[pa.RecordBatch], *, encoding: Encoding, created: datetime
) -> Written:
    """Write a dataset as a transport file; `created` is the time the file says it was made.

    Raises ExportRefusedError with every fault; then, and on any other error, no file is left. OSError if the disk
    refuses, WriteError if the file does not read back as written.
    """
    refuse(header_faults(layout, encoding))
    record = np.dtype(
        [(variable.name, f"V{variable.length}" if variable.is_text else ">u8") for variable in layout.variables]
    )
    columns = [column_of(variable, encoding) for variable in layout.variables]
    faults = RecordFaults(layout.name)
    header = header_of(layout, encoding, created)
    partial = path.with_name(f".{path.name}.part")
    try:
        with partial.open("wb") as stream:
            sink = _Sink(stream)
            sink.write(header)
            records, last = 0, b"."
            for batch in batches:
                block = np.empty(batch.num_rows, dtype=record)
                for column in columns:
                    column.fill(block, batch, faults, records)
                sink.write(block.view(np.uint8).data)
                records += batch.num_rows
                if batch.num_rows:
                    last = block[-1].tobytes()
            if not last.strip(b" "):
                flag = np.array([True])
                faults.add(
                    "", "the last record is all blank, which reads as no record at all", REMOVE, flag, records - 1
                )
            faults.refuse()
            sink.write(b" " * (-sink.size % RECORD))
            stream.flush()
            os.fsync(stream.fileno())
        written = Written(records, sink.size, sink.digest.hexdigest())
        _read_back(partial, layout, len(header), written)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    _sync(path.parent)
    return written


def refuse(faults: Iterable[Fault]) -> None:
    """Raise ExportRefusedError if there is any fault."""
    found = tuple(faults)
    if found:
        raise ExportRefusedError(found)


class _Sink:
    """Writes and counts, hashing what it writes."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream
        self.size = 0
        self.digest = hashlib.sha256()

    def write(self, content: bytes | memoryview) -> None:
        self.stream.write(content)
        self.digest.update(content)
        self.size += len(content)


def _read_back(path: Path, layout: Layout, header: int, written: Written) -> None:
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
            size += len(chunk)
        # Records that would begin in the blanks of the last 80 bytes are none.
        records = max(size - header, 0) // layout.width
        while records and not _record(stream, header, layout.width, records).strip(b" "):
            records -= 1
    if (size, digest.hexdigest()) != (written.size, written.sha256) or records != written.records:
        raise WriteError(
            f"{path.name}: {size:,} bytes and {records:,} records read back of {written.size:,} and "
            f"{written.records:,} written. Look at the disk and run again"
        )


def _record(stream: BinaryIO, header: int, width: int, number: int) -> bytes:
    stream.seek(header + (number - 1) * width)
    return stream.read(width)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
