"""The observations of a transport file: texts and numbers as the bytes of their variables."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.submission import ibm
from transforms.submission.faults import RecordFaults
from transforms.submission.header import Encoding
from transforms.submission.layout import LONGEST_TEXT, Variable

# SAS counts from 1960-01-01, and its dates go from 1582-01-01 to 19900-12-31.
DAYS_BEFORE_1970 = 3_653
FIRST_DAY, LAST_DAY = -138_061, 6_589_335
SECONDS_PER_DAY = 86_400
WHOLE = 1 << 53
REMOVE = "Correct or remove it in the mapping"
OUT_OF_RANGE = "a number too large or too near to zero for the format"
NUL, BLANK, FOREIGN, LONG, UNSEEN, LEADING = 1, 2, 3, 4, 5, 6
NOT_SEEN = r"[\x01-\x1f\x7f-\x{9f}\x{ad}\x{200b}-\x{200f}\x{2028}-\x{202e}\x{2060}-\x{2064}\x{feff}\x{fffd}-\x{ffff}]"
"""What core.text.UNSEEN says, in the words of Arrow's regular expressions."""
TEXT_PROBLEMS = {
    NUL: ("a NUL in a text", "Remove it in the mapping"),
    LEADING: ("a text that begins with a blank", "Strip it in the mapping"),
    UNSEEN: ("a character that does not show, or stands for one that was lost", "Remove it in the mapping"),
    BLANK: ("a text that ends in a blank, which the format does not keep", "Strip it in the mapping"),
}
NO_TEXT = pa.array([""])


def codes_of(column: pa.DictionaryArray) -> np.ndarray:
    """The codes of a dictionary-encoded column; a missing value has the one behind the last."""
    indices = column.indices.cast(pa.int32())
    codes: np.ndarray = indices.fill_null(len(column.dictionary)).to_numpy(zero_copy_only=False)
    return codes


class TextColumn:
    """A text variable: the distinct texts of a dictionary are encoded and examined once, then taken by their codes."""

    def __init__(self, variable: Variable, encoding: Encoding) -> None:
        self.variable = variable
        self.encoding = encoding
        self.problems = {
            **TEXT_PROBLEMS,
            FOREIGN: (f"a character that {encoding} lacks", "Write it in the mapping as that encoding can"),
            LONG: (
                f"a text longer than the {variable.length} bytes of the variable",
                "Split it in the mapping" if variable.length == LONGEST_TEXT else "Give the variable its length",
            ),
        }
        self.dictionary: pa.Array | None = None
        self.texts = Texts(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.uint8), pa.array([], pa.string()))
        self.table: np.ndarray | None = None

    def longest(self, batch: pa.RecordBatch, faults: RecordFaults, before: int) -> int:
        """The bytes of the longest text of a batch."""
        codes = self._codes(batch, faults, before)
        lengths = self.texts.lengths
        return int((lengths if codes is None else lengths[codes]).max(initial=0))

    def fill(self, block: np.ndarray, batch: pa.RecordBatch, faults: RecordFaults, before: int) -> None:
        """Write the batch's texts into its records."""
        codes = self._codes(batch, faults, before)
        if self.table is None:
            self.table = self.texts.padded(self.variable.length)
        block[self.variable.name] = self.table if codes is None else self.table[codes]

    def _codes(self, batch: pa.RecordBatch, faults: RecordFaults, before: int) -> np.ndarray | None:
        """Codes into the distinct texts, behind which stands the missing one; None where each record has its own."""
        column = batch.column(self.variable.name)
        codes: np.ndarray | None = None
        if pa.types.is_dictionary(column.type):
            if self.dictionary is None or not self.dictionary.equals(column.dictionary):
                self.dictionary, self.table = column.dictionary, None
                self.texts = Texts.of(
                    pa.concat_arrays([self.dictionary, NO_TEXT.cast(self.dictionary.type)]),
                    self.encoding,
                    self.variable.length,
                )
            codes = codes_of(column)
        else:
            self.dictionary, self.table = None, None
            self.texts = Texts.of(column, self.encoding, self.variable.length)
        if self.texts.faulty.any():
            found = self.texts.faulty if codes is None else self.texts.faulty[codes]
            for kind, (problem, remedy) in self.problems.items():
                faults.add(self.variable.name, problem, remedy, found == kind, before)
        return codes


@dataclass(frozen=True)
class Texts:
    """Encoded texts: their bytes, how many each has, and what is wrong with each; a missing one is empty."""

    lengths: np.ndarray
    faulty: np.ndarray
    encoded: pa.Array | list[bytes]

    @classmethod
    def of(cls, texts: pa.Array, encoding: Encoding, longest: int) -> Texts:
        """Encode texts of at most `longest` bytes."""
        texts = texts.fill_null("")
        if pc.all(pc.string_is_ascii(texts)).as_py() is not False:
            encoded: pa.Array | list[bytes] = texts
            lengths = pc.binary_length(texts).to_numpy(zero_copy_only=False)
            faulty = np.zeros(len(texts), dtype=np.uint8)
        else:
            texts = pa.array(_decoded(texts), pa.string())
            encoded, foreign = _encode(texts.to_pylist(), encoding)
            lengths = np.fromiter(map(len, encoded), dtype=np.int64, count=len(encoded))
            faulty = np.where(foreign, FOREIGN, 0).astype(np.uint8)
        faulty[lengths > longest] = LONG
        faulty[pc.starts_with(texts, " ").to_numpy(zero_copy_only=False)] = LEADING
        faulty[pc.ends_with(texts, " ").to_numpy(zero_copy_only=False)] = BLANK
        faulty[pc.match_substring_regex(texts, NOT_SEEN).to_numpy(zero_copy_only=False)] = UNSEEN
        faulty[pc.match_substring(texts, "\0").to_numpy(zero_copy_only=False)] = NUL
        return cls(lengths, faulty, encoded)

    def padded(self, width: int) -> np.ndarray:
        """The texts filled with blanks to `width` bytes; longer ones were noted as faults."""
        if isinstance(self.encoded, list) or self.lengths.max(initial=0) > width:
            plain = (
                self.encoded if isinstance(self.encoded, list) else [one.encode() for one in self.encoded.to_pylist()]
            )
            joined: object = b"".join(one[:width].ljust(width) for one in plain)
        else:
            joined = pc.ascii_rpad(self.encoded, width).buffers()[2] or b""
        return np.frombuffer(joined, dtype=f"V{width}", count=len(self.lengths))  # type: ignore[call-overload, no-any-return]


def _decoded(texts: pa.Array) -> list[str]:
    """The texts; what is no UTF-8 in a file of Parquet becomes U+FFFD, which is a fault."""
    try:
        return list(texts.to_pylist())
    except UnicodeDecodeError:
        plain = texts.dictionary_decode() if pa.types.is_dictionary(texts.type) else texts
        return [one.decode("utf-8", "replace") for one in plain.cast(pa.binary()).to_pylist()]


def _encode(texts: list[str], encoding: Encoding) -> tuple[list[bytes], np.ndarray]:
    """Texts as bytes, and which of them the encoding cannot write."""
    encoded, foreign = [], np.zeros(len(texts), dtype=bool)
    for number, text in enumerate(texts):
        try:
            encoded.append(text.encode(encoding))
        except UnicodeEncodeError:
            encoded.append(b"")
            foreign[number] = True
    return encoded, foreign


class NumberColumn:
    """A number, date, datetime or time of day."""

    def __init__(self, variable: Variable) -> None:
        self.variable = variable

    def check(self, batch: pa.RecordBatch, faults: RecordFaults, before: int) -> bool:
        """Note what cannot be written; True if all numbers are whole."""
        values = self._numbers(batch, faults, before)
        self._missing(batch, values, faults, before)
        present = values[~np.isnan(values)]
        return bool((present == np.rint(present)).all())

    def fill(self, block: np.ndarray, batch: pa.RecordBatch, faults: RecordFaults, before: int) -> None:
        """Write the batch's numbers into its records."""
        values = self._numbers(batch, faults, before)
        written = ibm.from_ieee(values)
        missing = self._missing(batch, values, faults, before)
        block[self.variable.name] = written if missing is None else np.where(np.isnan(values), missing, written)

    def values(self, batch: pa.RecordBatch) -> np.ndarray:
        """The numbers of a batch as SAS counts them; NaN where missing or where they cannot be written."""
        return self._numbers(batch, RecordFaults(""), 0)

    def _numbers(self, batch: pa.RecordBatch, faults: RecordFaults, before: int) -> np.ndarray:
        """Doubles, NaN where missing or where a fault was noted."""
        column = batch.column(self.variable.name)
        if self.variable.type == "number":
            values = self._plain(column, faults, before)
        else:
            values = self._moments(column, faults, before)
        wrong = ibm.out_of_range(values)
        if wrong.any():
            infinite = np.isinf(values)
            faults.add(self.variable.name, "an infinite number", REMOVE, infinite, before)
            faults.add(self.variable.name, OUT_OF_RANGE, REMOVE, wrong & ~infinite, before)
            values = np.where(wrong, np.nan, values)
        return values

    def _plain(self, column: pa.Array, faults: RecordFaults, before: int) -> np.ndarray:
        if pa.types.is_floating(column.type):
            values: np.ndarray = column.to_numpy(zero_copy_only=False).astype(np.float64, copy=False)
            return values
        known = column.is_valid().to_numpy(zero_copy_only=False)
        whole = column.fill_null(0).to_numpy(zero_copy_only=False)
        inexact = (whole > WHOLE) | (whole < -WHOLE)
        faults.add(
            self.variable.name, "a whole number beyond 2^53, which a double does not hold", REMOVE, inexact, before
        )
        return np.where(known & ~inexact, whole, np.nan)

    def _moments(self, column: pa.Array, faults: RecordFaults, before: int) -> np.ndarray:
        known = column.is_valid().to_numpy(zero_copy_only=False)
        kind = self.variable.type
        if kind == "date":
            counted = column.cast(pa.date32()).cast(pa.int32()).fill_null(0).to_numpy(zero_copy_only=False)
            values = counted.astype(np.float64) + DAYS_BEFORE_1970
            days = values
        else:
            unit = pa.timestamp("s") if kind == "datetime" else pa.time32("s")
            seconds = column.cast(unit, safe=False)
            fine = pc.not_equal(column, seconds.cast(column.type)).fill_null(False).to_numpy(zero_copy_only=False)
            faults.add(self.variable.name, "a time finer than a second", REMOVE, fine, before)
            integer = pa.int64() if kind == "datetime" else pa.int32()
            values = seconds.cast(integer).fill_null(0).to_numpy(zero_copy_only=False).astype(np.float64)
            if kind == "datetime":
                values += DAYS_BEFORE_1970 * SECONDS_PER_DAY
            days = np.floor(values / SECONDS_PER_DAY)
        outside = known & ((days < FIRST_DAY) | (days > LAST_DAY))
        faults.add(self.variable.name, "a date outside 1582 to 19900", REMOVE, outside, before)
        return np.where(known & ~outside, values, np.nan)

    def _missing(
        self, batch: pa.RecordBatch, values: np.ndarray, faults: RecordFaults, before: int
    ) -> np.ndarray | None:
        """The bits of the missing value of each record that has a special one."""
        if self.variable.special is None:
            return None
        column = batch.column(self.variable.special)
        if not pa.types.is_dictionary(column.type):
            column = column.dictionary_encode()
        texts = column.dictionary.to_pylist()
        table = np.array([*(ibm.SPECIAL.get(text, 0) for text in texts), ibm.MISSING], dtype=np.uint64)
        missing: np.ndarray = table[codes_of(column)]
        name, source = self.variable.name, self.variable.special
        faults.add(name, f"no special missing value in {source}", "Write .A to .Z or ._", missing == 0, before)
        both = (missing != ibm.MISSING) & ~np.isnan(values)
        faults.add(name, f"a number where {source} says it is missing", "Keep one of them", both, before)
        return missing


def column_of(variable: Variable, encoding: Encoding) -> TextColumn | NumberColumn:
    """What writes a variable."""
    return TextColumn(variable, encoding) if variable.is_text else NumberColumn(variable)
