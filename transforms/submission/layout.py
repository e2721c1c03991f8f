"""What a dataset looks like in a submission: its variables in order, their types, labels and lengths."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

from transforms.errors import InputError

Type = Literal["text", "number", "date", "datetime", "time"]
BATCH = 1 << 16
LONGEST_TEXT = 200
NUMBER_LENGTH = 8
SUPPLEMENTAL = "SUPP"


@dataclass(frozen=True)
class Variable:
    """A variable: `length` in bytes, 8 for numbers; `special` names the text column with its special missing values.

    That column is itself not written; `.A` to `.Z` or `._` in it says which missing value a missing number is.
    """

    name: str
    label: str
    type: Type
    length: int = NUMBER_LENGTH
    special: str | None = None

    @property
    def is_text(self) -> bool:
        """True for text; dates and times are numbers."""
        return self.type == "text"


@dataclass(frozen=True)
class Layout:
    """A dataset: name, label, variables in order, and the variables that identify a record."""

    name: str
    label: str
    variables: tuple[Variable, ...]
    keys: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """Bytes of one record in a transport file."""
        return sum(variable.length for variable in self.variables)

    def without(self, names: Collection[str]) -> Layout:
        """The same without some variables."""
        return replace(self, variables=tuple(one for one in self.variables if one.name not in names))

    def with_lengths(self, lengths: Mapping[str, int]) -> Layout:
        """The same with these lengths of text variables."""
        variables = (
            replace(variable, length=lengths.get(variable.name, variable.length)) if variable.is_text else variable
            for variable in self.variables
        )
        return replace(self, variables=tuple(variables))

    def with_labels(self, label: str, labels: Mapping[str, str]) -> Layout:
        """The same with other labels; InputError names a variable that has none among them."""
        missing = [variable.name for variable in self.variables if variable.name not in labels]
        if missing:
            raise InputError(f"{self.name}: no label for {', '.join(missing)}")
        variables = tuple(replace(variable, label=labels[variable.name]) for variable in self.variables)
        return replace(self, label=label, variables=variables)


def layout_of(schema: pa.Schema, keys: Iterable[str] = (), special: Mapping[str, str] | None = None) -> Layout:
    """The layout of a dataset of a snapshot, from the schema of its Parquet file; texts get the longest length.

    `special` gives, for a number, the column with its special missing values. InputError for a type that no
    submission knows.
    """
    described = {key.decode(): value.decode() for key, value in (schema.metadata or {}).items()}
    columns = dict(special or {})
    variables = tuple(
        _variable(described.get("dataset", "?"), field, columns.get(field.name))
        for field in schema
        if field.name not in columns.values()
    )
    written = described.get("keys", "").split()
    return Layout(described.get("dataset", ""), described.get("label", ""), variables, tuple(keys) or tuple(written))


def _variable(dataset: str, field: pa.Field, special: str | None) -> Variable:
    label = (field.metadata or {}).get(b"label", b"").decode()
    kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return Variable(field.name, label, "text", LONGEST_TEXT)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return Variable(field.name, label, "number", special=special)
    if pa.types.is_date(kind):
        return Variable(field.name, label, "date", special=special)
    if pa.types.is_timestamp(kind) and kind.tz is None:
        return Variable(field.name, label, "datetime", special=special)
    if pa.types.is_time(kind):
        return Variable(field.name, label, "time", special=special)
    raise InputError(f"{dataset}.{field.name} is of the type {field.type}, which no submission file holds")


def batches_of(path: Path, rows: int = BATCH) -> Iterator[pa.RecordBatch]:
    """A Parquet file in batches of at most `rows` records; texts that repeat are dictionary-encoded."""
    metadata, schema = pq.read_metadata(path), pq.read_schema(path)
    texts = [
        field.name
        for position, field in enumerate(schema)
        if pa.types.is_string(field.type) and _repeats(metadata, position)
    ]
    with pq.ParquetFile(path, read_dictionary=texts, page_checksum_verification=True) as file:
        yield from file.iter_batches(batch_size=rows, use_threads=False)


def _repeats(metadata: pq.FileMetaData, column: int) -> bool:
    """True if a column is stored as codes, of at most 4 bytes each, in every row group."""
    chunks = [metadata.row_group(group).column(column) for group in range(metadata.num_row_groups)]
    return all(chunk.total_uncompressed_size <= 4 * chunk.num_values for chunk in chunks)


def shared_lengths(used: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, int]]:
    """The length of each text variable of each dataset, from the longest value used in each, at least 1.

    A variable has the same length in every dataset of the study, SUPP-- excepted, whose variables are sized each by
    its own dataset. Source: FDA Study Data Technical Conformance Guide, Dataset Column Length.
    """
    longest: dict[str, int] = {}
    for dataset, lengths in used.items():
        if not dataset.startswith(SUPPLEMENTAL):
            for name, length in lengths.items():
                longest[name] = max(longest.get(name, 1), length)
    return {
        dataset: {
            name: max(length, 1) if dataset.startswith(SUPPLEMENTAL) else longest[name]
            for name, length in lengths.items()
        }
        for dataset, lengths in used.items()
    }
