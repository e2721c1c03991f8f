"""Records of a dataset while they are made, each knowing the raw lines it came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from transforms.algorithms.base import Link
from transforms.core import text
from transforms.core.tables import Table
from transforms.findings import RawPlace
from transforms.standards import VariableStandard
from transforms.study.models import ForEach


@dataclass(frozen=True)
class StagedSource:
    """A staged source as the engine needs it: columns, subjects, and for each row its file and line."""

    frame: pd.DataFrame
    subjects: pd.Series
    files: tuple[str, ...]
    hashes: tuple[str, ...]
    file_codes: np.ndarray
    lines: np.ndarray


@dataclass(frozen=True)
class MappingLine:
    """How many accepted rows of a source gave a record of a dataset, or none under a named rule."""

    source: str
    dataset: str
    outcome: str
    rule: str
    rows: int


@dataclass(frozen=True)
class Origin:
    """Where records stand in what they were made of: a source or specification table, its files and lines.

    `hashes` are the sha256 of the files, empty for a specification table.

    `entry_table` and `entry_columns` are the table that spreads a wide row and the columns it names.
    """

    name: str
    files: tuple[str, ...]
    hashes: tuple[str, ...]
    file_codes: np.ndarray
    lines: np.ndarray
    specification: bool
    entry_table: Table | None = None
    entry_columns: tuple[str, ...] = ()

    def columns_of(self, name: str) -> tuple[str, ...] | None:
        """The extract's column that `name` reads for each row of the entry table; None if it reads none."""
        if name == "each.value":
            return self.entry_columns
        if name.startswith("each.column.") and self.entry_table is not None:
            return tuple(self.entry_table.values(name.removeprefix("each.column.")))
        return None


@dataclass(frozen=True)
class Joined:
    """Rows of another source that a group reads: for each of its own rows (later: each record) one, -1 for none."""

    frame: pd.DataFrame
    files: tuple[str, ...]
    hashes: tuple[str, ...]
    file_codes: np.ndarray
    lines: np.ndarray
    rows: np.ndarray

    def values(self, column: str, index: pd.Index) -> pd.Series:
        """A column of the rows joined, on the record index."""
        own = self.frame[column]
        codes = np.append(own.array.codes, -1)[self.rows]
        return pd.Series(pd.Categorical.from_codes(codes, categories=own.cat.categories), index=index)


@dataclass
class Records:
    """Records under construction.

    `frame` holds the variables, its index being record ids that stay with a record until the end.
    `origin_codes` and `positions` (aligned with the frame) say from which row of which origin a record is, and
    `joined` which row of another source it reads besides.
    """

    dataset: str
    frame: pd.DataFrame
    origins: list[Origin]
    origin_codes: np.ndarray
    positions: np.ndarray
    rows: pd.DataFrame = field(default_factory=pd.DataFrame)
    entries: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    without: dict[str, np.ndarray] = field(default_factory=dict)
    held: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=bool))
    held_rules: dict[str, dict[str, list[np.ndarray]]] = field(default_factory=dict)
    no_record: list[tuple[str, dict[str, np.ndarray]]] = field(default_factory=list)
    links: dict[str, list[Link]] = field(default_factory=dict)
    subject_rows: tuple[int, np.ndarray] | None = None
    joined: dict[str, Joined] = field(default_factory=dict)

    @classmethod
    def begin(
        cls,
        dataset: str,
        name: str,
        rows: pd.DataFrame,
        files: tuple[str, ...],
        hashes: tuple[str, ...],
        file_codes: np.ndarray,
        lines: np.ndarray,
        specification: bool,
    ) -> Records:
        """Records to be made of the rows of one source or table."""
        origin = Origin(name, files, hashes, file_codes, lines, specification)
        empty = np.empty(0, dtype=np.int64)
        return cls(dataset, pd.DataFrame(), [origin], empty, empty, rows)

    def take(self, positions: np.ndarray) -> None:
        """One record for each of the rows at `positions`."""
        self.positions = positions
        self.joined = {name: replace(one, rows=one.rows[positions]) for name, one in self.joined.items()}
        self.origin_codes = np.zeros(len(positions), dtype=np.int64)
        self.frame = pd.DataFrame(index=pd.RangeIndex(len(positions)))
        self.held = np.zeros(len(positions), dtype=bool)
        self.entries = np.full(len(positions), -1, dtype=np.int64)

    def spread(self, positions: np.ndarray, table: Table, rule: ForEach) -> None:
        """One record for each row at `positions` and each row of `table` whose column is filled there."""
        columns = tuple(table.values(rule.column))
        parts = [positions[self.rows[name].notna().to_numpy()[positions]] for name in columns]
        self.take(np.concatenate(parts) if parts else np.empty(0, dtype=np.int64))
        self.entries = np.repeat(np.arange(len(columns)), [len(part) for part in parts])
        self.origins = [replace(self.origins[0], entry_table=table, entry_columns=columns)]
        self.without[rule.none.rule] = np.setdiff1d(positions, self.positions)

    def collected(self, name: str) -> pd.Series:
        """A collected column for each record; `each....` belongs to a spread record (see ForEach)."""
        if not name.startswith("each."):
            source, dot, column = name.partition(".")
            if dot and source in self.joined:
                return self.joined[source].values(column, self.frame.index)
            return self.taken(self.rows[name])
        origin = self.origins[0]
        if origin.entry_table is None:
            raise ValueError(f"{name} outside for_each")
        columns = origin.columns_of(name)
        if columns is not None:
            codes = np.full(len(self.frame), -1, dtype=np.int64)
            texts: list[str] = []
            for entry, column in enumerate(columns):
                if not column:
                    continue
                here = np.flatnonzero(self.entries == entry)
                own = self.rows[column].array.codes[self.positions[here]].astype(np.int64)
                codes[here] = np.where(own >= 0, own + len(texts), -1)
                texts.extend(text.texts_of(self.rows[column]))
            return text.column(codes, texts, self.frame.index)
        return text.column(self.entries, origin.entry_table.values(name[5:]), self.frame.index)

    def taken(self, values: pd.Series) -> pd.Series:
        """A column of the origin's rows, for each record."""
        codes = values.array.codes[self.positions]
        taken = pd.Categorical.from_codes(codes, categories=values.cat.categories)
        return pd.Series(taken, index=self.frame.index)

    @property
    def from_table_only(self) -> bool:
        """True if all records come from the specification."""
        return all(origin.specification for origin in self.origins)

    def hold(self, mask: np.ndarray, rule: str) -> None:
        """Keep records out of the dataset, under a named rule."""
        self.held |= mask
        for code, origin in enumerate(self.origins):
            here = mask & (self.origin_codes == code)
            self.held_rules.setdefault(origin.name, {}).setdefault(rule, []).append(self.positions[here])

    def drop_held(self) -> None:
        """Remove the records held so far."""
        if not self.held.any():
            return
        keep = ~self.held
        self.frame = self.frame[keep]
        self.origin_codes, self.positions = self.origin_codes[keep], self.positions[keep]
        self.entries = self.entries[keep]
        self.links = {
            name: [replace(link, records=link.records[keep]) for link in links] for name, links in self.links.items()
        }
        self.joined = {name: replace(one, rows=one.rows[keep]) for name, one in self.joined.items()}
        self.held = np.zeros(int(keep.sum()), dtype=bool)
        self.subject_rows = None

    def places(self, mask: np.ndarray) -> tuple[RawPlace, ...]:
        """Files and lines of the records under a mask."""
        return self.places_of_rows(
            [self.positions[mask & (self.origin_codes == code)] for code in range(len(self.origins))]
        )

    def places_of_rows(self, rows_of: Sequence[np.ndarray]) -> tuple[RawPlace, ...]:
        """Files and lines of rows of each origin."""
        found: dict[tuple[str, str], list[np.ndarray]] = {}
        for origin, rows in zip(self.origins, rows_of, strict=True):
            for file_code in np.unique(origin.file_codes[rows]):
                lines = origin.lines[rows[origin.file_codes[rows] == file_code]]
                found.setdefault((origin.files[file_code], origin.hashes[file_code]), []).append(lines)
        return tuple(
            RawPlace(file, tuple(int(line) for line in np.unique(np.concatenate(lines))), sha256)
            for (file, sha256), lines in sorted(found.items())
        )

    @classmethod
    def stacked(cls, dataset: str, parts: Sequence[Records], numeric: Mapping[str, bool]) -> Records:
        """The records of all groups, one below the other; a variable that a group lacks is missing there."""
        names = list(dict.fromkeys(name for part in parts for name in part.frame.columns))
        names += [name for name in numeric if name not in names]
        index = pd.RangeIndex(sum(len(part.frame) for part in parts))
        columns: dict[str, pd.Series] = {}
        for name in names:
            if numeric.get(name, False):
                values = [
                    part.frame[name].to_numpy() if name in part.frame else np.full(len(part.frame), np.nan)
                    for part in parts
                ]
                columns[name] = pd.Series(np.concatenate(values) if values else np.empty(0), index=index)
            else:
                own = [part.frame[name] if name in part.frame else text.missing(part.frame.index) for part in parts]
                columns[name] = text.concat(own) if len(own) != 1 else own[0].set_axis(index)
        origins: list[Origin] = []
        codes: list[np.ndarray] = []
        for part in parts:
            codes.append(part.origin_codes + len(origins))
            origins.extend(part.origins)
        result = cls(
            dataset,
            pd.DataFrame(columns, index=index),
            origins,
            np.concatenate(codes) if codes else np.empty(0, dtype=np.int64),
            np.concatenate([part.positions for part in parts]) if parts else np.empty(0, dtype=np.int64),
            entries=np.concatenate([part.entries for part in parts]) if parts else np.empty(0, dtype=np.int64),
            held=np.zeros(len(index), dtype=bool),
            no_record=[(part.origins[0].name, part.without) for part in parts],
        )
        for name in dict.fromkeys(name for part in parts for name in part.joined):
            lacking = [np.full(len(part.positions), -1, dtype=np.int64) for part in parts]
            rows = [
                part.joined[name].rows if name in part.joined else none
                for part, none in zip(parts, lacking, strict=True)
            ]
            first = next(part.joined[name] for part in parts if name in part.joined)
            result.joined[name] = replace(first, rows=np.concatenate(rows))
        for part in parts:
            for name, rules in part.held_rules.items():
                for rule, rows in rules.items():
                    result.held_rules.setdefault(name, {}).setdefault(rule, []).extend(rows)
        return result

    def account_of_joined(self, source: str, size: int) -> list[MappingLine]:
        """How many rows of a joined source are read by a record, and by none."""
        read = len(np.unique(self.joined[source].rows[self.joined[source].rows >= 0])) if source in self.joined else 0
        lines = (("record", "", read), ("none", "no_record_reads_it", size - read))
        return [MappingLine(source, self.dataset, kind, rule, rows) for kind, rule, rows in lines if rows]

    def account_of(self, source: str, size: int) -> list[MappingLine]:
        """What became of a source's rows: a row counts once, as a record if it gave any."""
        labels: list[tuple[str, str]] = []
        outcome = np.full(size, -1, dtype=np.int16)

        def settle(rows: np.ndarray, kind: str, rule: str) -> None:
            outcome[rows] = len(labels)
            labels.append((kind, rule))

        for name, rules in self.no_record:
            if name == source:
                for rule, rows in rules.items():
                    settle(rows, "none", rule)
        for rule, chunks in self.held_rules.get(source, {}).items():
            for rows in chunks:
                settle(rows, "held", rule)
        for code, origin in enumerate(self.origins):
            if origin.name == source:
                settle(self.positions[self.origin_codes == code], "record", "")
        if (outcome < 0).any():
            raise AssertionError(f"{int((outcome < 0).sum())} rows of {source} are in no account of {self.dataset}")
        counts: dict[tuple[str, str], int] = {}
        for label, count in zip(labels, np.bincount(outcome, minlength=len(labels)), strict=True):
            counts[label] = counts.get(label, 0) + int(count)
        return [
            MappingLine(source, self.dataset, kind, rule, count)
            for (kind, rule), count in sorted(counts.items())
            if count
        ]


@dataclass(frozen=True)
class Dataset:
    """A finished dataset: variables in the standard's order, records in key order, and where they are from.

    `entries` say which row of the origin's entry table made a record of a wide row, -1 for none.
    `record_ids` are the ids the records had while they were made; `links` give, per variable and record,
    the id of the record of another dataset a value was taken from (-1 for none).
    """

    name: str
    frame: pd.DataFrame
    variables: tuple[VariableStandard, ...]
    origins: tuple[Origin, ...]
    origin_codes: np.ndarray
    positions: np.ndarray
    entries: np.ndarray
    record_ids: np.ndarray
    links: Mapping[str, Sequence[Link]]
    joined: Mapping[str, Joined] = field(default_factory=dict)
