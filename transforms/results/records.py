"""What an analysis is made of and what it gives: groups, levels, cells and results, and the dataset of results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

from transforms.core.conditions import Test
from transforms.results.selection import Frames, On, Selection
from transforms.study.results import LEVELS, Analysis

TABLE, OUTPUTS = "analysis_results", "analysis_outputs"
LABELS = {TABLE: "Analysis Results", OUTPUTS: "Outputs of Analysis Results"}
KEYS = {
    TABLE: (
        "output_id",
        "analysis_id",
        "group_id",
        *(f"level_{number}" for number in range(1, LEVELS + 1)),
        "statistic",
    ),
    OUTPUTS: ("output_id",),
}
POPULATION = "population"
"""The analysis that the engine adds to every output: the subjects of each column."""
COLUMNS: Mapping[str, tuple[pa.DataType, str]] = {
    "output_id": (pa.string(), "Output"),
    "output_order": (pa.int64(), "Place of the output"),
    "analysis_id": (pa.string(), "Analysis"),
    "analysis_order": (pa.int64(), "Place of the analysis in its output"),
    "analysis_label": (pa.string(), "What is analysed"),
    "group_id": (pa.string(), "Group of subjects"),
    "group_label": (pa.string(), "Label of the group"),
    "group_order": (pa.int64(), "Place of the group"),
    **{
        f"level_{number}{part}": (pa.string(), f"{words} {number}")
        for number in range(1, LEVELS + 1)
        for part, words in (("_variable", "By-variable"), ("", "Its value"), ("_label", "Label of the value"))
    },
    "row_order": (pa.int64(), "Place of the levels in the analysis"),
    "statistic": (pa.string(), "Statistic, or variable of a listing"),
    "statistic_order": (pa.int64(), "Place of the statistic"),
    "value": (pa.float64(), "Value"),
    "text": (pa.string(), "Value as shown"),
    "population": (pa.string(), "Population"),
    "population_where": (pa.string(), "Subjects of the population, a condition on adsl"),
    "method": (pa.string(), "Method"),
    "note": (pa.string(), "What was done otherwise than planned"),
    "dataset": (pa.string(), "Analysis dataset of the records"),
    "source_where": (pa.string(), "Records it was computed from, a condition on that dataset"),
    "n_records": (pa.int64(), "Records it was computed from"),
    "n_subjects": (pa.int64(), "Subjects of these records"),
    "sources": (pa.string(), "Variables that were read"),
    "selection": (pa.string(), "The condition as data"),
}
OUTPUT_COLUMNS: Mapping[str, tuple[pa.DataType, str]] = {
    "output_id": (pa.string(), "Output"),
    "output_order": (pa.int64(), "Place of the output"),
    "kind": (pa.string(), "table, listing or figure"),
    "title": (pa.string(), "Title"),
    "subtitle": (pa.string(), "Second title"),
    "population": (pa.string(), "Label of the population"),
    "footnotes": (pa.list_(pa.string()), "Footnotes"),
    "display": (pa.string(), "How it is shown, as JSON"),
}


@dataclass(frozen=True)
class Group:
    """A column: some subjects of the population, as a selection of ADSL and as a mask on its records."""

    id: str
    label: str
    order: int
    selection: Selection
    mask: np.ndarray


@dataclass(frozen=True)
class Level:
    """One value of a by-variable; `value` is None for records without one."""

    variable: str
    value: str | None
    label: str
    test: Test | On | None = None


@dataclass(frozen=True)
class Statistic:
    """One number of a result and how it is written; `note` says what was done otherwise than planned."""

    id: str
    value: float | None
    text: str
    note: str = ""


@dataclass(frozen=True)
class Result:
    """The statistics of one cell, and the records they were computed from."""

    levels: tuple[Level, ...]
    selection: Selection
    n_records: int
    n_subjects: int
    statistics: Sequence[Statistic]
    order: int


@dataclass(frozen=True)
class Cell:
    """Records at some levels in one column; `positions` are theirs in the dataset."""

    levels: tuple[Level, ...]
    selection: Selection
    positions: np.ndarray
    order: int


@dataclass(frozen=True)
class Column:
    """What a method works on: an analysis, one group of subjects, and their records.

    `records` has the analysed dataset, `subjects` the position in ADSL of each of its records' subject (-1 for none),
    `selection` the records of the analysis in this group, `cells` those at each combination of
    levels, `keys` the natural key of the dataset, `subsets` all data subsets of the study.
    """

    analysis: Analysis
    group: Group
    frames: Frames
    records: pd.DataFrame
    subjects: np.ndarray
    selection: Selection
    cells: Sequence[Cell]
    keys: tuple[str, ...]
    subsets: Mapping[str, Selection]

    @property
    def adsl(self) -> pd.DataFrame:
        """All records of ADSL."""
        return self.frames["ADSL"]

    @property
    def size(self) -> int:
        """Subjects of the group."""
        return int(self.group.mask.sum())

    def numbers(self, name: str, positions: np.ndarray) -> np.ndarray:
        """Values of a numeric variable at some records."""
        values: np.ndarray = self.records[name].to_numpy(dtype=float)[positions]
        return values

    def result(
        self, cell: Cell, statistics: Sequence[Statistic], also: Mapping[str, Test] | None = None,
        positions: np.ndarray | None = None,
    ) -> Result:  # fmt: skip
        """The result of a cell, of all its records or of those with further tests at `positions`."""
        rows = cell.positions if positions is None else positions
        selection = cell.selection.where(also) if also else cell.selection
        subjects = len(np.unique(self.subjects[rows]))
        return Result(cell.levels, selection, len(rows), subjects, statistics, cell.order)


def table_of(name: str, columns: Mapping[str, tuple[pa.DataType, str]], rows: list[dict[str, object]]) -> pa.Table:
    """Rows as a labelled table."""
    fields = [pa.field(column, kind, metadata={"label": label}) for column, (kind, label) in columns.items()]
    schema = pa.schema(fields, metadata={"dataset": name.upper(), "label": LABELS[name]})
    arrays = [pa.array([row[column] for row in rows], type=kind) for column, (kind, _) in columns.items()]
    return pa.Table.from_arrays(arrays, schema=schema)
