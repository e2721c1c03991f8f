"""Analysis datasets, while they are made and when they are finished, each record knowing what it was made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from transforms.algorithms.base import Link
from transforms.core import text
from transforms.core.columns import replaced, take
from transforms.study.analyses import Type


@dataclass(frozen=True)
class AnalysisVariable:
    """A variable of an analysis dataset: label (up to 40 bytes), ADaM type, C-code of its codelist, origin."""

    name: str
    label: str
    type: Type
    codelist: str | None
    origin: str


@dataclass(frozen=True)
class RecordLink:
    """The records of another dataset that records were made of, counted from 1; 0 for none.

    `copies` is 0 for an original and the number of the copy rule, from 1, for a copy; in time to event it is the
    number of the parameter.
    """

    dataset: str
    records: np.ndarray
    copies: np.ndarray


@dataclass(frozen=True)
class ValueLink:
    """The records of a dataset that values were taken from, counted from 1, 0 for none, and the variable there.

    The dataset may be the record's own: a baseline is taken from another record of it.
    """

    dataset: str
    records: np.ndarray
    variable: str | None


@dataclass(frozen=True)
class AnalysisDataset:
    """A finished analysis dataset: records sorted by its keys, variables in the order of the specification.

    Texts are unordered categories, numbers float64, dates and datetimes `datetime64[s]`. `records` and `links`
    say what each record was made of and each value taken from; links of working variables are among them.
    """

    name: str
    label: str
    observation_class: str
    structure: str
    keys: tuple[str, ...]
    frame: pd.DataFrame
    variables: tuple[AnalysisVariable, ...]
    records: tuple[RecordLink, ...]
    links: Mapping[str, tuple[ValueLink, ...]]


@dataclass(frozen=True)
class DerivationLine:
    """How many records of a source gave a record of an analysis dataset, or none under a named rule.

    The outcomes `copy`, `carried_forward` and `average` count records added under a named rule.
    """

    source: str
    dataset: str
    outcome: str
    rule: str
    rows: int


@dataclass
class Records:
    """Records under construction: columns by name, and for each record its source and position there."""

    size: int
    sources: tuple[str, ...]
    codes: np.ndarray
    positions: np.ndarray
    copies: np.ndarray
    columns: dict[str, pd.Series] = field(default_factory=dict)
    links: dict[str, list[Link]] = field(default_factory=dict)

    @property
    def index(self) -> pd.RangeIndex:
        """The record index."""
        return pd.RangeIndex(self.size)

    def of_source(self, source: str) -> np.ndarray:
        """The position in a source of each record, -1 for a record of another source."""
        if len(self.sources) == 1:
            return self.positions
        return np.where(self.codes == self.sources.index(source), self.positions, -1)

    def chosen(self, rows: np.ndarray) -> Records:
        """The records at some rows, in that order. These are used up, so that no two of all columns are in memory."""
        index = pd.RangeIndex(len(rows))
        back = np.full(self.size, -1, dtype=np.int32)
        back[rows[::-1]] = np.arange(len(rows) - 1, -1, -1)
        links: dict[str, list[Link]] = {}
        for name in [*self.links]:
            links[name] = [
                Link(
                    link.dataset,
                    _own(link.records[rows], back) if not link.dataset else link.records[rows],
                    link.variable,
                )
                for link in self.links.pop(name)
            ]
        columns = {name: take(self.columns.pop(name), rows, index) for name in [*self.columns]}
        return Records(
            len(rows), self.sources, self.codes[rows], self.positions[rows], self.copies[rows], columns, links
        )

    def overwrite_with(self, name: str, rows: np.ndarray, values: pd.Series) -> None:
        """Write what some records have in another variable over a value; what that was taken from is forgotten."""
        old = self.columns[name]
        if isinstance(old.dtype, pd.CategoricalDtype):
            codes = old.array.codes.astype(np.int64)
            other = values.array.codes.astype(np.int64)[rows]
            codes[rows] = np.where(other >= 0, other + len(old.cat.categories), text.MISSING)
            self.columns[name] = text.column(codes, [*text.texts_of(old), *text.texts_of(values)], old.index)
        else:
            changed = old.to_numpy().copy()
            changed[rows] = values.to_numpy()[rows]
            self.columns[name] = pd.Series(changed, index=old.index)
        self._forget(name, rows)

    def overwrite(self, name: str, rows: np.ndarray, value: str | float) -> None:
        """Write one value over the values of some records; what they were taken from is forgotten."""
        values = self.columns[name]
        if isinstance(value, str):
            codes = values.array.codes.astype(np.int64)
            codes[rows] = len(values.cat.categories)
            self.columns[name] = text.column(codes, [*text.texts_of(values), value], values.index)
        else:
            changed = values.to_numpy().copy()
            changed[rows] = value
            self.columns[name] = pd.Series(changed, index=values.index)
        self._forget(name, rows)

    def replace(self, name: str, rows: np.ndarray, values: pd.Series, links: Sequence[Link] = ()) -> None:
        """Write values over those of some records, one for each, with what the new ones were taken from."""
        self.columns[name] = replaced(self.columns[name], rows, values)
        self._forget(name, rows)
        for link in links:
            records = np.full(self.size, -1, dtype=np.int32)
            records[rows] = link.records
            self.links[name].append(Link(link.dataset, records, link.variable))

    def _forget(self, name: str, rows: np.ndarray) -> None:
        kept = np.ones(self.size, dtype=bool)
        kept[rows] = False
        self.links[name] = [
            Link(link.dataset, np.where(kept, link.records, -1), link.variable) for link in self.links.get(name, ())
        ]


def _own(records: np.ndarray, back: np.ndarray) -> np.ndarray:
    """Links to the own dataset's rows as links to where those rows are now."""
    return np.where(records >= 0, back[records], -1)


def finished_links(links: Mapping[str, Sequence[Link]], own: str) -> dict[str, tuple[ValueLink, ...]]:
    """The links of values, counted from 1, without those that lead nowhere."""
    result = {}
    for name, several in links.items():
        kept = tuple(
            ValueLink(link.dataset or own, link.records + 1, link.variable)
            for link in several
            if (link.records >= 0).any()
        )
        if kept:
            result[name] = kept
    return result
