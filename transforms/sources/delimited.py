"""Delimited text under a declared contract.

Nothing is guessed: encoding, delimiter and header are the contract's, a row with another number of
fields is set aside with its line, and no value is interpreted (`NA` stays `NA`, `007` stays `007`).
"""

from __future__ import annotations

import codecs
import csv
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from transforms.core import text
from transforms.errors import FileRefusedError
from transforms.findings import Severity
from transforms.sources.extract import Extract, Note

CHUNK = 1 << 22
BLOCK = 1 << 24  # a row must fit into two blocks
NUL = "\0"
UNWANTED = (NUL, "\ufffd", "锟斤拷")
UNEVEN = Note(
    "field_count",
    Severity.CRITICAL,
    "",
    "a row has more or fewer fields than the header",
    "Ask the sender to correct the rows (often an unquoted delimiter); they are quarantined",
    (),
)


@dataclass(frozen=True)
class Layout:
    """What a contract says of the file as such."""

    encoding: str
    delimiter: str
    quote: str | None
    columns: tuple[str, ...]


@dataclass(frozen=True)
class _Scan:
    lines: int
    ended: bool


def read_delimited(path: Path, shown: str, layout: Layout) -> Extract:
    """Read the file at `path`, called `shown` in messages.

    Raises FileRefusedError: empty_file, wrong_encoding, nul_byte, duplicate_header, missing_column,
    truncated_file.
    """
    if path.stat().st_size == 0:
        raise FileRefusedError("empty_file", shown, "the file is empty", "Ask the sender for the whole file")
    scan = _scan(path, shown, layout)
    header, header_lines = _header(path, shown, layout)
    keep = {name: position for position, name in enumerate(header)}
    missing = [name for name in layout.columns if name not in keep]
    if missing:
        raise FileRefusedError(
            "missing_column",
            shown,
            f"the header lacks {len(missing)} column(s): {', '.join(missing)}",
            "Ask the sender for the agreed columns (a renamed column counts as missing)",
        )
    invalid: list[int] = []
    try:
        table = _parse(path, layout, header, header_lines, invalid)
    except pa.ArrowInvalid as error:
        raise FileRefusedError(
            "unreadable_file",
            shown,
            f"cannot be read as delimited text; a row may be over {BLOCK >> 19} MiB",
            "Ask the sender to correct the file",
        ) from error
    physical = _row_lines(path, layout, scan, table.num_rows, invalid, header_lines)
    valid = np.ones(len(physical), dtype=bool)
    valid[invalid] = False
    if not scan.ended and len(valid) and not valid[-1]:
        raise FileRefusedError(
            "truncated_file",
            shown,
            f"line {int(physical[-1])}, the last one, has too few fields and no line break: the file is cut off",
            "Ask the sender for the whole file",
        )
    _refuse_open_quotes(shown, physical, valid, scan)
    uneven = tuple(int(line) for line in physical[~valid])
    set_aside = (replace(UNEVEN, lines=uneven),) if uneven else ()
    lines = physical[valid].astype(np.int64)
    read = {name: _text_column(table.column(name)) for name in layout.columns}
    frame = pd.DataFrame({name: values for name, (values, _) in read.items()}, index=pd.RangeIndex(table.num_rows))
    empty = frame.isna().all(axis=1).to_numpy()
    blank = tuple(int(line) for line in lines[empty])
    padded = {name: np.flatnonzero(mask[~empty]) for name, (_, mask) in read.items() if mask is not None}
    if empty.any():
        frame, lines = frame[~empty].reset_index(drop=True), lines[~empty]
    extra = {name: 1 for name in header if name not in layout.columns}
    return Extract(frame, lines, set_aside, blank, extra, scan.ended, padded=padded)


def _scan(path: Path, shown: str, layout: Layout) -> _Scan:
    """Read all bytes once: the encoding holds and there is no NUL; how many lines, is the last one ended."""
    decoder = codecs.getincrementaldecoder(layout.encoding)(errors="strict")
    lines, last, before = 0, "", 0
    with path.open("rb") as stream:
        while True:
            chunk = stream.read(CHUNK)
            try:
                decoded = decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                sound = error.object[: error.start].decode(layout.encoding, errors="replace")
                raise FileRefusedError(
                    "wrong_encoding",
                    shown,
                    f"is not {layout.encoding}: {error.reason} ({_where(sound, lines, before)})",
                    "Ask the sender for the declared encoding, or correct the source contract",
                ) from error
            bad = [at for mark in UNWANTED if (at := decoded.find(mark)) >= 0]
            if bad:
                where = _where(decoded[: min(bad)], lines, before)
                if decoded[min(bad)] == NUL:
                    raise FileRefusedError(
                        "nul_byte",
                        shown,
                        f"holds a NUL character ({where})",
                        "The file is damaged or UTF-16: ask for it again",
                    )
                raise FileRefusedError(
                    "wrong_encoding",
                    shown,
                    f"holds replacement characters ({where}): it was already damaged by a wrong conversion",
                    "Ask the sender to export it again in the declared encoding",
                )
            breaks = decoded.count("\n")
            before = len(decoded) - decoded.rfind("\n") - 1 if breaks else before + len(decoded)
            lines += breaks
            last = decoded[-1:] or last
            if not chunk:
                break
    ended = last == "\n"
    return _Scan(lines + (not ended), ended)


def _where(sound: str, lines: int, before: int) -> str:
    """Line and character behind a sound text, which follows `lines` line breaks and `before` characters of a line."""
    breaks = sound.count("\n")
    column = len(sound) - sound.rfind("\n") if breaks else before + len(sound) + 1
    return f"line {lines + breaks + 1}, character {column}"


def _refuse_open_quotes(shown: str, physical: np.ndarray, valid: np.ndarray, scan: _Scan) -> None:
    """A row with the wrong number of fields that runs over several lines has swallowed others."""
    following = np.append(physical[1:], scan.lines + 1)
    swallowed = np.flatnonzero(~valid & (following - physical > 1))
    if len(swallowed):
        raise FileRefusedError(
            "unbalanced_quote",
            shown,
            f"a quote that is opened on line {int(physical[swallowed[0]])} is not closed there, so lines run together",
            "Ask the sender to double quotes inside fields, or declare another quote in the source contract",
        )


def _reader(stream: Iterable[str], layout: Layout) -> Any:
    if layout.quote is None:
        return csv.reader(stream, delimiter=layout.delimiter, quoting=csv.QUOTE_NONE)
    return csv.reader(stream, delimiter=layout.delimiter, quotechar=layout.quote)


def _header(path: Path, shown: str, layout: Layout) -> tuple[list[str], int]:
    encoding = "utf-8-sig" if layout.encoding.lower().replace("_", "-") in {"utf-8", "utf8"} else layout.encoding
    with path.open(encoding=encoding, newline="") as stream:
        reader = _reader(stream, layout)
        header = [name.strip().removeprefix("\ufeff") for name in next(reader, [])]
        lines = reader.line_num
    repeated = sorted(name for name, count in Counter(header).items() if count > 1)
    if repeated:
        raise FileRefusedError(
            "duplicate_header",
            shown,
            f"the header repeats {', '.join(repeated)}",
            "Ask the sender to correct it",
        )
    return header, lines


def _parse(path: Path, layout: Layout, header: Sequence[str], header_lines: int, invalid: list[int]) -> pa.Table:
    def set_aside(row: pacsv.InvalidRow) -> str:
        invalid.append(row.number - 1 - header_lines)
        return "skip"

    dictionary = pa.dictionary(pa.int32(), pa.string())
    return pacsv.read_csv(
        path,
        read_options=pacsv.ReadOptions(
            use_threads=False,
            block_size=BLOCK,
            column_names=list(header),
            skip_rows=header_lines,
            encoding=layout.encoding,
        ),
        parse_options=pacsv.ParseOptions(
            delimiter=layout.delimiter,
            quote_char=layout.quote if layout.quote is not None else False,
            newlines_in_values=True,
            ignore_empty_lines=False,
            invalid_row_handler=set_aside,
        ),
        convert_options=pacsv.ConvertOptions(
            column_types=dict.fromkeys(header, dictionary),
            include_columns=list(layout.columns),
            strings_can_be_null=False,
            quoted_strings_can_be_null=False,
            null_values=[],
        ),
    )


def _row_lines(
    path: Path, layout: Layout, scan: _Scan, parsed: int, invalid: Sequence[int], header_lines: int
) -> np.ndarray:
    """The line on which each physical row starts, rows set aside included."""
    total = parsed + len(invalid)
    if scan.lines == header_lines + total:
        return np.arange(header_lines + 1, header_lines + 1 + total)
    with path.open(encoding=layout.encoding, newline="") as stream:
        reader = _reader(stream, layout)
        starts, line = [], 0
        for _ in reader:
            starts.append(line + 1)
            line = reader.line_num
    return np.array(starts[1 : total + 1])


def _text_column(chunks: pa.ChunkedArray) -> tuple[pd.Series, np.ndarray | None]:
    """A dictionary-encoded Arrow column as a text column, and the rows where blanks at the ends were dropped."""
    if not chunks.num_chunks:
        return text.missing(pd.RangeIndex(0)), None
    unified = chunks.unify_dictionaries()
    codes = np.concatenate([chunk.indices.to_numpy(zero_copy_only=False) for chunk in unified.chunks])
    texts = unified.chunk(0).dictionary
    stripped = pc.utf8_trim_whitespace(texts)
    # A field of blanks only is an empty one, and nothing of it is lost.
    changed = pc.and_(pc.not_equal(stripped, texts), pc.not_equal(stripped, "")).to_numpy(zero_copy_only=False)
    values = text.of_array(codes, stripped, pd.RangeIndex(len(codes)))
    return values, changed[codes] if changed.any() else None
