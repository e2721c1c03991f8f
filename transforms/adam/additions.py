"""Records added when the variables of a dataset are filled: values carried forward, averages."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from transforms.adam.records import DerivationLine, Records
from transforms.algorithms.base import Link
from transforms.algorithms.timepoints import InWindow
from transforms.core import conditions, numbers, text
from transforms.core.columns import take
from transforms.core.tables import Table
from transforms.study.additions import Added, Average, CarriedForward
from transforms.study.analyses import AUTOMATIC, AnalysisFile


class Addition(NamedTuple):
    """All records, those added last; `first` is the position of the first of them."""

    records: Records
    first: int
    account: DerivationLine


def extend(file: AnalysisFile, number: int, added: Added, records: Records, windows: Table | None) -> Addition:
    """The records with those that one rule adds; `number` is that of the rule, `windows` the table it reads."""
    outcome = added.title.replace(" ", "_")
    if isinstance(added, CarriedForward):
        longer = _carried_forward(file, added, records, windows)
    elif isinstance(added, Average):
        longer = _averages(file, added, records)
    else:
        raise TypeError(f"{added.rule} is no rule that adds records")
    new = np.arange(records.size, longer.size)
    longer.copies[new] = number
    for name, value in added.set.items():
        is_text = isinstance(longer.columns[name].dtype, pd.CategoricalDtype)
        longer.overwrite(name, new, value if is_text else _number(value))
    return Addition(longer, records.size, DerivationLine(file.name, file.name, outcome, added.rule, len(new)))


def _chosen(added: Added, records: Records) -> np.ndarray:
    """The records that meet the condition; one that was added before never does."""
    chosen: np.ndarray = conditions.rows(added.where, records.columns.__getitem__, records.index)
    chosen &= records.copies == 0
    return chosen


def _copied(records: Records, rows: np.ndarray) -> Records:
    return records.chosen(np.concatenate([np.arange(records.size), rows]))


def _number(value: str) -> float:
    number = numbers.parse_number(value)
    return np.nan if number is None else number


def _carried_forward(file: AnalysisFile, added: CarriedForward, records: Records, windows: Table | None) -> Records:
    rule = file.written()[added.window].algorithm
    if not isinstance(rule, InWindow) or windows is None:
        raise TypeError(f"{file.name}.{added.window} is filled by no window although the study was checked")
    columns = records.columns
    candidates = np.flatnonzero(_chosen(added, records))
    groups = text.combination_codes([columns[name].iloc[candidates] for name in added.by])
    flagged = text.map_flag(columns[added.flag].iloc[candidates], lambda one: one == "Y")
    days = columns[rule.day].to_numpy()[candidates]
    order = np.lexsort((candidates, days, groups))
    candidates, groups, flagged, days = candidates[order], groups[order], flagged[order], days[order]
    names = {name: code for code, name in enumerate(windows.values(rule.value))}
    own = text.map_number(columns[added.window].iloc[candidates], names.get).to_numpy()
    descriptions, values, named = [], [], []
    for row, low in enumerate(windows.values("LOW")):
        here = np.ones(len(candidates), dtype=bool)
        for column, variable in rule.by.items():
            cell = windows.values(column)[row]
            here &= text.map_flag(columns[variable].iloc[candidates], lambda one, cell=cell: one == cell)  # type: ignore[misc]
        before = here & (days < float(low or "-inf"))
        filled = np.zeros(int(groups.max(initial=-1)) + 1, dtype=bool)
        filled[groups[flagged & (own == row)]] = True
        last, analysed = _last(groups, before, len(filled)), _last(groups, before & flagged, len(filled))
        empty = np.flatnonzero(~filled & (analysed >= 0))
        descriptions.append(candidates[last[empty]])
        values.append(candidates[analysed[empty]])
        named.append(np.full(len(empty), row))
    described, valued, window = (np.concatenate(one).astype(np.int64) for one in (descriptions, values, named))
    longer = _copied(records, described)
    new = np.arange(records.size, longer.size)
    for name in added.values:
        longer.replace(name, new, take(longer.columns[name], valued, longer.index[new]), [Link("", valued, name)])
    longer.replace(added.window, new, text.column(window, windows.values(rule.value), longer.index[new]))
    longer.overwrite(added.flag, new, "Y")
    return longer


def _last(groups: np.ndarray, mask: np.ndarray, size: int) -> np.ndarray:
    """The last position of each group among those of the mask, -1 for none."""
    result = np.full(size, -1, dtype=np.int64)
    rows = np.flatnonzero(mask)
    result[groups[rows]] = rows
    return result


def _averages(file: AnalysisFile, added: Average, records: Records) -> Records:
    columns = records.columns
    values = columns[added.of].to_numpy()
    rows = np.flatnonzero(_chosen(added, records) & ~np.isnan(values))
    groups = text.combination_codes([columns[name].iloc[rows] for name in added.by])
    rows = rows[np.lexsort((rows, groups))]
    groups = np.sort(groups)
    _, first, counts = np.unique(groups, return_index=True, return_counts=True)
    longer = _copied(records, rows[first])
    new = np.arange(records.size, longer.size)
    kept = {*AUTOMATIC, *file.unwritten, *added.by, *_of_subject(file)}
    for name in longer.columns.keys() - kept:
        longer.replace(name, new, take(longer.columns[name], np.full(len(new), -1), longer.index[new]))
    sums = np.add.reduceat(values[rows], first) if len(rows) else np.zeros(0)
    means = take(longer.columns[added.of], np.full(len(new), -1), longer.index[new])
    means[:] = sums / counts
    links = []
    for rank in range(int(counts.max(initial=0))):
        there = first + rank
        links.append(Link("", np.where(rank < counts, rows[np.minimum(there, len(rows) - 1)], -1), added.of))
    longer.replace(added.of, new, means, links)
    return longer


def _of_subject(file: AnalysisFile) -> tuple[str, ...]:
    """The variables that a record has of its subject."""
    return tuple(name for name, one in file.written().items() if one.algorithm.word == "of_subject")
