"""What a reader makes of a file: text columns whose rows know their line, rows set aside, and what is to be said."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pyarrow as pa

from transforms.core import text
from transforms.findings import Severity

AUDIT = pa.schema(
    [
        ("kind", pa.string()),
        ("record", pa.string()),
        ("item", pa.string()),
        ("column", pa.string()),
        ("transaction", pa.string()),
        ("old", pa.string()),
        ("new", pa.string()),
        ("status", pa.string()),
        ("by", pa.string()),
        ("location", pa.string()),
        ("at", pa.string()),
        ("reason", pa.string()),
        ("line", pa.int64()),
    ]
)


@dataclass(frozen=True)
class Note:
    """Something to be said of lines of a file; it becomes a finding of the source. It holds no collected text."""

    rule: str
    severity: Severity
    variable: str
    message: str
    remedy: str
    lines: tuple[int, ...]
    cause: str = ""


def unreadable_time(place: str, line: int) -> Note:
    """What is to be said of a file whose own time cannot be read."""
    return Note(
        "extract_time_unreadable",
        Severity.ANSWER,
        "",
        f"{place}, the time at which the file was made, cannot be read; the file itself declares none",
        "Send a manifest with the extract time, and ask the sender to have the time put right",
        (line,),
    )


@dataclass(frozen=True)
class Settled:
    """Rows (positions in the frame) whose outcome the reader knows, for staging to account for.

    `note` is the finding that holds them; None where nothing need be said.
    """

    outcome: str
    rule: str
    rows: np.ndarray
    note: Note | None = None


@dataclass(frozen=True)
class Extract:
    """A file as text columns (index 0..n-1) with the line each row starts on, and the rows set aside.

    `set_aside` holds rows that never got into the frame, one line each (critical, quarantined under the note's rule),
    `blank` lines without any text, `extra` names in the file that the contract does not know, with the line where
    they are first seen. `ended` is False where the last line has no line break. `declared_at` is the time the file
    itself says it was made, as ISO text. `partial` is True for a file that holds changes only, so that it need not
    hold any row of the source. `audit` are rows of AUDIT, in its order. `padded` says, by column, in which rows blanks
    at the ends of the value were dropped.
    """

    frame: pd.DataFrame
    lines: np.ndarray
    set_aside: tuple[Note, ...] = ()
    blank: tuple[int, ...] = ()
    extra: Mapping[str, int] = field(default_factory=dict)
    ended: bool = True
    notes: tuple[Note, ...] = ()
    settled: tuple[Settled, ...] = ()
    declared_at: str | None = None
    partial: bool = False
    audit: tuple[tuple[object, ...], ...] = ()
    padded: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Rows the file holds for the source, blank lines not counted."""
        return len(self.lines) + sum(len(note.lines) for note in self.set_aside)


class Columns:
    """Text columns that grow row by row, held as codes into their distinct texts."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._codes = [array("i") for _ in self.names]
        self._texts: list[dict[str, int]] = [{} for _ in self.names]
        self.lines = array("q")

    def __len__(self) -> int:
        return len(self.lines)

    def add(self, values: Mapping[str, str | None], line: int) -> None:
        """Add a row; a name without a value is missing. Blanks at both ends are dropped."""
        for name, codes, texts in zip(self.names, self._codes, self._texts, strict=True):
            value = values.get(name)
            value = value.strip() if value else None
            codes.append(texts.setdefault(value, len(texts)) if value else -1)
        self.lines.append(line)

    def set(self, name: str, row: int, value: str) -> None:
        """Put a value into a row that is there."""
        position = self.names.index(name)
        texts = self._texts[position]
        self._codes[position][row] = texts.setdefault(value, len(texts))

    def line_numbers(self) -> np.ndarray:
        """The line of each row."""
        return np.array(self.lines, dtype=np.int64)

    def frame(self) -> pd.DataFrame:
        """The rows so far as text columns."""
        index = pd.RangeIndex(len(self))
        return pd.DataFrame(
            {
                name: text.column(np.array(codes, dtype=np.int32), list(texts), index)
                for name, codes, texts in zip(self.names, self._codes, self._texts, strict=True)
            },
            index=index,
        )
