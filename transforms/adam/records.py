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

    `copies` is 0 for an original and the number of the rule that added it, from 1, for an added record.
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
        """The records at some rows, in that order."""
        index = pd.RangeIndex(len(rows))
        back = np.full(self.size, -1, dtype=np.int64)
        back[rows[::-1]] = np.arange(len(rows) - 1, -1, -1)
        links = {
            name: [
                Link(
                    link.dataset,
                    _own(link.records[rows], back) if not link.dataset else link.records[rows],
                    link.variable,
                )
                for link in links
            ]
            for name, links in self.links.items()
        }
        return Records(
            len(rows),
            self.sources,
            self.codes[rows],
            self.positions[rows],
            self.copies[rows],
            {name: take(values, rows, index) for name, values in self.columns.items()},
            links,
        )

    def is_text(self, name: str) -> bool:
        """True for a column of texts."""
        return isinstance(self.columns[name].dtype, pd.CategoricalDtype)

    def overwrite(self, name: str, rows: np.ndarray, value: str | float) -> None:
        """Write one value over the values of some records; what they were taken from is forgotten."""
        index = self.index[rows]
        constant = text.constant(value, index) if isinstance(value, str) else pd.Series(value, index=index, dtype=float)
        self.replace(name, rows, constant)

    def replace(self, name: str, rows: np.ndarray, values: pd.Series, links: Sequence[Link] = ()) -> None:
        """Write values over those of some records, with what the new ones were taken from."""
        self.columns[name] = replaced(self.columns[name], rows, values)
        others = np.ones(self.size, dtype=bool)
        others[rows] = False
        kept = [
            Link(link.dataset, np.where(others, link.records, -1), link.variable) for link in self.links.get(name, ())
        ]
        for link in links:
            records = np.full(self.size, -1, dtype=np.int64)
            records[rows] = link.records
            kept.append(Link(link.dataset, records, link.variable))
        self.links[name] = kept


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
