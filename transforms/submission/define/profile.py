"""What the data of a finished dataset are like: types, lengths and values, as Define-XML describes them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from transforms.core import numbers
from transforms.errors import UsageError
from transforms.submission.define.model import WITH_LENGTH, DataType, Kind
from transforms.submission.layout import shared_lengths

NUMBER_BYTES = 8
DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
PARTIAL_DATE = re.compile(r"\d{4}(-\d{2}(-\d{2})?)?")
DATETIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(Z|[+-]\d{2}:\d{2})?")
PARTIAL_DATETIME = re.compile(r"\d{4}(-\d{2}(-\d{2}(T\d{2}(:\d{2}(:\d{2})?)?(Z|[+-]\d{2}:\d{2})?)?)?)?")
INTEGER = re.compile(r"-?(0|[1-9]\d*)")
DECIMAL = re.compile(r"-?(0|[1-9]\d*)(\.(?P<digits>\d+))?")
DATE_FORMAT, DATETIME_FORMAT = "DATE9.", "DATETIME20."


@dataclass(frozen=True)
class Profile:
    """Type, length in bytes, decimal digits and display format of a column, and whether it has values."""

    type: DataType
    length: int | None
    digits: int | None = None
    format: str | None = None
    filled: bool = True


@dataclass(frozen=True)
class Data:
    """One finished dataset: its table, with the label, class and structure that its schema carries."""

    name: str
    table: pa.Table

    @property
    def described(self) -> dict[str, str]:
        """What the schema says of the dataset."""
        return {key.decode(): value.decode() for key, value in (self.table.schema.metadata or {}).items()}

    def field(self, variable: str) -> dict[str, str]:
        """What the schema says of a variable."""
        metadata = self.table.schema.field(variable).metadata or {}
        return {key.decode(): value.decode() for key, value in metadata.items()}

    def distinct(self, variable: str) -> list[str] | list[float]:
        """The values a variable has, sorted."""
        return sorted(pc.unique(self.table[variable]).drop_null().to_pylist())

    def combinations(self, variables: Sequence[str]) -> list[tuple[str | float | None, ...]]:
        """The combinations of values that some variables have together, sorted; None for missing."""
        frame = self.table.select(list(dict.fromkeys(variables))).to_pandas(strings_to_categorical=True)
        distinct = frame.drop_duplicates().astype(object)
        rows = [
            tuple(None if pd.isna(one) else one for one in row)
            for row in distinct[list(variables)].itertuples(index=False, name=None)
        ]
        return sorted(rows, key=lambda row: [(one is None, one) for one in row])


def read(snapshot: Path, kind: Kind) -> dict[str, Data]:
    """The finished datasets of a snapshot. Raises UsageError where there are none."""
    folder = snapshot / kind
    paths = sorted(folder.glob("*.parquet"))
    if not paths:
        raise UsageError(f"{folder} holds no dataset: a finished snapshot has {kind}/*.parquet")
    return {path.stem.upper(): Data(path.stem.upper(), pq.read_table(path)) for path in paths}


def used_lengths(data: Data, encoding: str) -> dict[str, int]:
    """The bytes of the longest value of each text variable."""
    return {
        name: longest((str(one) for one in data.distinct(name)), encoding)
        for name in data.table.column_names
        if _is_text(data.table[name].type)
    }


def submitted_lengths(snapshot: Path, encoding: str) -> dict[str, dict[str, int]]:
    """The length of each text variable in the transport files: the longest used under its name in any dataset."""
    used: dict[str, dict[str, int]] = {}
    for kind in get_args(Kind):
        if any((snapshot / kind).glob("*.parquet")):
            used |= {one.name: used_lengths(one, encoding) for one in read(snapshot, kind).values()}
    return shared_lengths(used)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_dictionary(kind))


def column_profile(data: Data, variable: str, written: str, encoding: str) -> Profile:
    """The profile of a whole variable; `written` is `datetime` or `duration` where its texts are ISO 8601.

    The length of a text is that of the longest value in bytes of the encoding, at least 1; a number takes eight
    bytes, which is what the file holds.
    """
    column = data.table[variable]
    filled = column.null_count < len(column)
    if pa.types.is_date(column.type):
        return Profile("integer", NUMBER_BYTES, format=DATE_FORMAT, filled=filled)
    if pa.types.is_timestamp(column.type):
        return Profile("integer", NUMBER_BYTES, format=DATETIME_FORMAT, filled=filled)
    values = data.distinct(variable)
    if not _is_text(column.type):
        return number_profile([float(one) for one in values])
    return text_profile([str(one) for one in values], written, encoding)


def number_profile(values: Sequence[float]) -> Profile:
    """The profile of numbers: whole ones are integers, others have as many digits as the finest."""
    digits = max((_decimals(numbers.number_text(one)) for one in values), default=0)
    if digits == 0:
        return Profile("integer", NUMBER_BYTES, filled=bool(values))
    return Profile("float", NUMBER_BYTES, digits)


def text_profile(values: Sequence[str], written: str, encoding: str) -> Profile:
    """The profile of texts that are ISO 8601 (`written`: datetime or duration) or plain."""
    kind: DataType = "text"
    if written == "datetime":
        kind = iso_type(values)
    elif written == "duration":
        kind = "durationDatetime"
    length = longest(values, encoding) if kind in WITH_LENGTH else None
    return Profile(kind, length, filled=bool(values))


def result_profile(values: Sequence[str], encoding: str) -> Profile:
    """The profile of texts of one test, parameter or qualifier: numbers and dates are told from other texts."""
    if values and all(INTEGER.fullmatch(one) for one in values):
        return Profile("integer", longest(values, encoding))
    if values and all(DECIMAL.fullmatch(one) for one in values):
        return Profile("float", longest(values, encoding), max(_decimals(one) for one in values))
    if values and all(PARTIAL_DATETIME.fullmatch(one) and "-" in one for one in values):
        return Profile(iso_type(values), None)
    return Profile("text", longest(values, encoding), filled=bool(values))


def iso_type(values: Iterable[str]) -> DataType:
    """The narrowest type that holds ISO 8601 dates: complete, cut off on the right, or with parts missing before."""
    known = list(values)
    shapes: list[tuple[DataType, re.Pattern[str]]] = [
        ("date", DATE),
        ("datetime", DATETIME),
        ("partialDate", PARTIAL_DATE),
        ("partialDatetime", PARTIAL_DATETIME),
    ]
    if not known:
        return "datetime"
    for kind, pattern in shapes:
        if all(pattern.fullmatch(one) for one in known):
            return kind
    return "incompleteDatetime"


def longest(values: Iterable[str], encoding: str) -> int:
    """The bytes of the longest text, at least 1. A character the encoding lacks counts as in UTF-8."""
    return max((_bytes(one, encoding) for one in values), default=1) or 1


def _bytes(value: str, encoding: str) -> int:
    try:
        return len(value.encode(encoding))
    except UnicodeEncodeError:
        return len(value.encode())


def _decimals(written: str) -> int:
    match = DECIMAL.fullmatch(written)
    return len(match["digits"]) if match and match["digits"] else 0
