"""Text columns, held dictionary-encoded.

An extract of a hundred thousand rows has a few thousand distinct texts. A text column is therefore a
`Series` of pandas' unordered `category` dtype, and every operation here runs once per distinct text
instead of once per row. Missing is NaN, never an empty text. Functions return a new column with the
index of their input and mutate nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Mapping, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa

MISSING = -1
STRINGS = pd.StringDtype("pyarrow", na_value=np.nan)
# Full-width forms of ASCII, and what a Chinese keyboard gives for a blank, a full stop, `<` and `>`.
NARROW = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {
    0x3000: " ", 0x00A0: " ", 0x202F: " ", 0x3002: ".", 0xFE64: "<", 0xFE65: ">", 0x200B: None, 0xFEFF: None,
}  # fmt: skip

BREAK = re.compile(r"\s*[\t\n\r\x0b\x0c\x85\u2028\u2029]\s*")
INVISIBLE = re.compile(r"[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")
CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f]+")
# No dataset may hold these: controls, breaks, marks without width, what stands for a character that was lost.
UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\xad\u200b-\u200f\u2028-\u202e\u2060-\u2064\ufeff\ufffd-\uffff\ud800-\udfff]")


def on_one_line(written: str) -> str:
    """The text without what does not show: line breaks and tabs are a blank, marks without width are dropped."""
    return _replaced(written, lambda one: BREAK.sub(" ", INVISIBLE.sub("", one)))


def without_controls(written: str) -> str:
    """The text with a blank for each run of control characters that are no line break and no tab."""
    return _replaced(written, lambda one: CONTROL.sub(" ", one))


def unseen(written: str) -> str:
    """The first character of UNSEEN in a text, as U+000A; empty where it has none."""
    found = None if written.isprintable() and "\ufffd" not in written else UNSEEN.search(written)
    return f"U+{ord(found.group()):04X}" if found else ""


def _replaced(written: str, shown: Callable[[str], str]) -> str:
    if written.isprintable():
        return written
    changed = shown(written)
    return written if changed == written else changed.strip()


def narrow(written: str) -> str:
    """The text with full-width characters and unusual blanks in their ordinary form, blanks at both ends dropped.

    A full-width comma becomes a plain one; whether that is a decimal point is not decided here.
    """
    return written if written.isascii() else written.translate(NARROW).strip()


def column(codes: np.ndarray, texts: Sequence[str | None], index: pd.Index) -> pd.Series:
    """A text column from `codes` into `texts`; equal texts are merged and None becomes missing."""
    distinct: dict[str, int] = {}
    table = np.empty(len(texts) + 1, dtype=np.int32)
    table[-1] = MISSING
    for position, text in enumerate(texts):
        if text is None or text == "":
            table[position] = MISSING
        else:
            table[position] = distinct.setdefault(text, len(distinct))
    dtype = pd.CategoricalDtype(_strings(list(distinct)), ordered=False)
    return of_codes(table[codes], dtype, index)


def of_array(codes: np.ndarray, texts: pa.Array, index: pd.Index) -> pd.Series:
    """What `column` gives, of the texts of an Arrow array."""
    encoded = texts.dictionary_encode()
    distinct = encoded.dictionary
    table = np.append(encoded.indices.fill_null(MISSING).to_numpy(zero_copy_only=False), MISSING).astype(np.int32)
    empty = distinct.index("").as_py()
    if empty >= 0:
        distinct = pa.concat_arrays([distinct.slice(0, empty), distinct.slice(empty + 1)])
        table = np.where(table == empty, MISSING, table - (table > empty)).astype(np.int32)
    strings = pd.arrays.ArrowStringArray(distinct.cast(pa.large_string()), dtype=STRINGS)  # type: ignore[call-arg]
    return of_codes(table[codes], pd.CategoricalDtype(pd.Index(strings), ordered=False), index)


def of_codes(codes: np.ndarray, dtype: pd.CategoricalDtype, index: pd.Index) -> pd.Series:
    """A text column from new codes of a type that has them all; -1 is missing.

    Codes that are right by construction are neither checked, which is half of what a small column costs, nor copied.
    """
    return pd.Series(pd.Categorical.from_codes(codes, dtype=dtype, validate=False), index=index, copy=False)


def _strings(texts: list[str]) -> pd.Index:
    """Texts as an index of pandas' own text type, made without its guess at what the list holds."""
    return pd.Index(pd.arrays.ArrowStringArray(pa.array(texts, type=pa.large_string()), dtype=STRINGS))  # type: ignore[call-arg]


def from_values(values: Sequence[object] | pd.Series, index: pd.Index | None = None) -> pd.Series:
    """A text column from any values; None, NaN and empty text are missing."""
    series = values if isinstance(values, pd.Series) else pd.Series(list(values), index=index, dtype=object)
    codes, texts = pd.factorize(series)
    return column(codes, [str(text) for text in texts], series.index)


def constant(text: str | None, index: pd.Index) -> pd.Series:
    """The same text on every row."""
    return column(np.zeros(len(index), dtype=np.int32), [text], index)


def missing(index: pd.Index) -> pd.Series:
    """A text column without any text."""
    return constant(None, index)


def texts_of(values: pd.Series) -> list[str]:
    """The distinct texts of a column, in code order (unused ones included)."""
    categories: list[str] = values.cat.categories.tolist()
    return categories


def used_texts(values: pd.Series) -> list[str]:
    """The distinct texts that occur on at least one row, in code order."""
    codes = values.array.codes
    present = np.unique(codes[codes >= 0])
    texts = texts_of(values)
    return [texts[code] for code in present]


def map_text(values: pd.Series, function: Callable[[str], str | None]) -> pd.Series:
    """`function` of each distinct text; None makes the row missing."""
    return column(values.array.codes, [function(text) for text in texts_of(values)], values.index)


def translate(values: pd.Series, mapping: Mapping[str, str | None]) -> pd.Series:
    """Each text replaced by its entry in `mapping`; a text without entry becomes missing."""
    return map_text(values, mapping.get)


def map_number(values: pd.Series, function: Callable[[str], float | None]) -> pd.Series:
    """`function` of each distinct text as a float column; None and missing become NaN."""
    table = np.full(len(values.cat.categories) + 1, np.nan)
    for position, text in enumerate(texts_of(values)):
        number = function(text)
        if number is not None:
            table[position] = number
    return pd.Series(table[values.array.codes], index=values.index, copy=False)


def map_flag(values: pd.Series, function: Callable[[str], bool]) -> np.ndarray:
    """`function` of each distinct text as a boolean array; missing is False."""
    table = np.zeros(len(values.cat.categories) + 1, dtype=bool)
    for position, text in enumerate(texts_of(values)):
        table[position] = function(text)
    by_row: np.ndarray = table[values.array.codes]
    return by_row


def codes_of(values: pd.Series) -> tuple[np.ndarray, list[Hashable]]:
    """Integer codes and the distinct values behind them, for text and number columns alike; -1 is missing."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        return values.array.codes.astype(np.int64), values.cat.categories.tolist()
    codes, distinct = pd.factorize(values)
    return codes.astype(np.int64), list(distinct)


def combination_codes(columns: Sequence[pd.Series]) -> np.ndarray:
    """One integer per row, equal where the columns agree (missing agrees with missing); never negative."""
    return _combined([codes_of(values) for values in columns])


def _combined(parts: Sequence[tuple[np.ndarray, list[Hashable]]]) -> np.ndarray:
    if not parts:
        raise ValueError("combinations of no column")
    combined, size = parts[0][0] + 1, len(parts[0][1]) + 1
    for codes, distinct in parts[1:]:
        width = len(distinct) + 1
        if size > np.iinfo(np.int64).max // width:
            combined, seen = pd.factorize(combined)
            size = len(seen)
        combined = combined * width + (codes + 1)
        size *= width
    return pd.factorize(combined)[0].astype(np.int64)


def combinations(columns: Sequence[pd.Series]) -> tuple[np.ndarray, list[tuple[Hashable | None, ...]]]:
    """Rows of several columns as codes into their distinct combinations (missing is None).

    Returns one code per row, never negative, and the combinations in code order.
    """
    parts = [codes_of(values) for values in columns]
    codes = _combined(parts)
    first = np.empty(int(codes.max(initial=-1)) + 1, dtype=np.int64)
    first[codes[::-1]] = np.arange(len(codes) - 1, -1, -1)
    return codes, [tuple(_value(part, int(row)) for part in parts) for row in first]


def _value(part: tuple[np.ndarray, list[Hashable]], row: int) -> Hashable | None:
    codes, distinct = part
    return distinct[codes[row]] if codes[row] >= 0 else None


def map_rows(
    columns: Sequence[pd.Series], function: Callable[..., str | None], index: pd.Index | None = None
) -> pd.Series:
    """`function(*values)` of each distinct combination of the columns, as a text column."""
    codes, rows = combinations(columns)
    where = columns[0].index if index is None else index
    return column(codes, [function(*row) for row in rows], where)


def map_rows_number(columns: Sequence[pd.Series], function: Callable[..., float | None]) -> pd.Series:
    """`function(*values)` of each distinct combination of the columns, as a float column."""
    codes, rows = combinations(columns)
    results = [function(*row) for row in rows]
    table = np.array([np.nan if number is None else number for number in results], dtype=float)
    return pd.Series(table[codes] if len(table) else np.empty(0), index=columns[0].index, copy=False)


def concat(columns: Sequence[pd.Series]) -> pd.Series:
    """Text columns one below the other, with a fresh row index."""
    texts: list[str] = []
    codes = []
    for values in columns:
        own = values.array.codes.astype(np.int64)
        codes.append(np.where(own >= 0, own + len(texts), MISSING))
        texts.extend(texts_of(values))
    joined = np.concatenate(codes) if codes else np.empty(0, dtype=np.int64)
    return column(joined, texts, pd.RangeIndex(len(joined)))


def coalesce(first: pd.Series, second: pd.Series) -> pd.Series:
    """`first`, and `second` where `first` is missing."""
    own = first.array.codes.astype(np.int64)
    other = second.array.codes.astype(np.int64)
    shift = len(first.cat.categories)
    codes = np.where(own >= 0, own, np.where(other >= 0, other + shift, MISSING))
    return column(codes, texts_of(first) + texts_of(second), first.index)


def ranks(values: pd.Series) -> np.ndarray:
    """An integer per row that sorts as the value does: text by code point, missing first, no locale."""
    codes, distinct = codes_of(values)
    order = sorted(range(len(distinct)), key=lambda code: distinct[code])  # type: ignore[arg-type,return-value]
    table = np.empty(len(distinct) + 1, dtype=np.int64)
    table[-1] = 0
    table[order] = np.arange(1, len(distinct) + 1)
    by_row: np.ndarray = table[codes]
    return by_row


def sort_order(columns: Sequence[pd.Series]) -> np.ndarray:
    """Row positions in ascending order of the columns, ties in the order given (stable)."""
    order: np.ndarray = np.lexsort([ranks(values) for values in reversed(columns)])
    return order


def to_arrow(values: pd.Series) -> pa.Array:
    """The column as a plain Arrow string array."""
    codes = values.array.codes.astype(np.int32)
    indices = pa.array(codes, mask=codes < 0)
    return pa.array(texts_of(values), type=pa.string()).take(indices)
