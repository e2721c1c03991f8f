"""Tables of a specification: CSV files that people edit in a spreadsheet, each row knowing its line."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from transforms.core import text


@dataclass(frozen=True)
class Table:
    """A CSV file in memory: `file` as people know it, column names, rows of text and their line numbers."""

    name: str
    file: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]

    def values(self, column: str) -> list[str]:
        """One column, in file order; an empty cell is an empty text."""
        position = self.columns.index(column)
        return [row[position] for row in self.rows]

    def keyed(self, by: Sequence[str], column: str) -> dict[tuple[str, ...], str]:
        """The values of `column` by the values of the columns `by`; the first row of a key wins."""
        result: dict[tuple[str, ...], str] = {}
        keys = zip(*(self.values(name) for name in by), strict=True)
        for key, value in zip(keys, self.values(column), strict=True):
            result.setdefault(key, value)
        return result

    @cached_property
    def frame(self) -> pd.DataFrame:
        """The table as a frame of text columns."""
        index = pd.RangeIndex(len(self.rows))
        return pd.DataFrame({name: text.from_values(self.values(name), index) for name in self.columns}, index=index)


def read_table(path: Path, file: str) -> Table:
    """Read a UTF-8 CSV file with a header; cells are stripped and empty lines skipped.

    Raises ValueError, saying the line, for a repeated column, a row of another width, a character that does not show
    (as a line break in a cell) or bad UTF-8.
    """
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(stream, strict=True)
        try:
            header = [cell.strip() for cell in next(reader, [])]
            repeated = sorted({name for name in header if header.count(name) > 1})
            if not header or repeated or "" in header:
                raise ValueError(f"line 1: the header is empty or repeats a column ({', '.join(repeated)})")
            rows, lines = [], []
            for row in reader:
                if not row:
                    continue
                if len(row) != len(header):
                    raise ValueError(f"line {reader.line_num}: {len(row)} cells, the header has {len(header)}")
                rows.append(tuple(cell.strip() for cell in row))
                for name, cell in zip(header, rows[-1], strict=True):
                    if text.unseen(cell):
                        raise ValueError(
                            f"line {reader.line_num}, column {name}: holds {text.unseen(cell)}, which does not show"
                        )
                lines.append(reader.line_num)
        except csv.Error as error:
            raise ValueError(f"line {reader.line_num}: {error}") from error
        except UnicodeDecodeError as error:
            raise ValueError(f"is not UTF-8 ({error.reason})") from error
    return Table(path.stem, file, tuple(header), tuple(rows), tuple(lines))
