"""The values that a specification can give a variable, and the cells of its tables in which their decodes stand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from transforms.algorithms.base import Algorithm
from transforms.study import graph
from transforms.study.analyses import PARAMETER, AnalysisFile
from transforms.study.models import DatasetFile, Group

if TYPE_CHECKING:
    from transforms.study import Study

TAKING = frozenset({"copy", "of_subject", "value_of"})
"""Words that take the value of another variable unchanged."""


@dataclass(frozen=True, order=True)
class TableCell:
    """A cell of a table of the study: the row counts from 0."""

    table: str
    row: int
    column: str


@dataclass(frozen=True)
class TableColumn:
    """The column of a table that fills a variable, and by which of its columns the row is found (empty: none)."""

    table: str
    column: str
    by: tuple[tuple[str, str], ...] = ()


def possible(study: Study, dataset: str, variable: str) -> tuple[str, ...]:
    """The values that the specification itself names for a variable, sorted, without what only extracts say."""
    return tuple(sorted(_possible(study, dataset, variable, set()) - {""}))


def _possible(study: Study, dataset: str, variable: str, seen: set[tuple[str, str]]) -> set[str]:
    if (dataset, variable) in seen:
        return set()
    seen.add((dataset, variable))
    file = study.analyses.get(dataset)
    if file is not None and variable == PARAMETER:
        return {one for group in file.records for one in group.parameters}
    if file is not None and variable == "PARAMCD" and file.parameters:
        return set(file.parameters)
    found: set[str] = set()
    for group, algorithm in rules(study, dataset, variable):
        found |= {*algorithm.literal_terms(), *algorithm.fixed_values()}
        for name in algorithm.study_codelists():
            found |= {term for term in study.codelists[name].terms.values() if term is not None}
        column = column_of(study, variable, group, algorithm)
        if column is not None and column.column in study.tables[column.table].columns:
            found |= set(study.tables[column.table].values(column.column))
        options: Any = algorithm
        if algorithm.word.startswith("flag_"):
            found |= {one for one in (getattr(options, "flag", "Y"), getattr(options, "otherwise", None)) if one}
        if algorithm.word == "last_before_exposure":
            found.add("Y")
        taken = [options.source] if algorithm.word in TAKING else []
        if algorithm.word == "choose":
            found |= {case.value for case in options.cases if case.value is not None}
            taken = [case.variable for case in options.cases if case.variable is not None]
        for one in taken:
            other, name = graph.node_of(dataset, one)
            found |= _possible(study, other, name, seen)
    return found


def rules(study: Study, dataset: str, variable: str) -> Iterator[tuple[Group | None, Algorithm]]:
    """The rules that fill a variable, each with the record group for which it does (None: an analysis dataset)."""
    file: DatasetFile | AnalysisFile | None = study.analyses.get(dataset)
    if isinstance(file, AnalysisFile):
        derivation = file.written().get(variable)
        if derivation is not None:
            yield None, derivation.algorithm
        return
    file = study.datasets.get(dataset)
    if file is not None:
        for group, definition in graph.definitions(file).get(variable, []):
            for one in file.records if group is None else (group,):
                yield one, definition.algorithm


def column_of(study: Study, variable: str, group: Group | None, algorithm: Algorithm) -> TableColumn | None:
    """The column of a table that a rule takes its value from; None where it is no column of the specification."""
    options: Any = algorithm
    if algorithm.word in {"lookup", "assign_from_table"}:
        return TableColumn(options.table, options.value, tuple(sorted(options.by.items())))
    if algorithm.word == "assign_visit":
        return TableColumn(study.file.visits.table, options.take or variable)
    if algorithm.word != "assign_no_ct" or group is None:
        return None
    name = options.column
    if group.table is not None:
        return TableColumn(group.table, name)
    own = name.startswith("each.") and not name.startswith(("each.value", "each.column."))
    if own and group.for_each is not None:
        return TableColumn(group.for_each.table, name.removeprefix("each."))
    return None


def decodes(study: Study, dataset: str, code: str, decode: str) -> dict[str, tuple[str, tuple[TableCell, ...]]]:
    """The decode of each value of a code that a table of the study holds, with the cells in which it stands.

    The decode is in the row in which the code is: both are filled from one table, or the decode is looked up by the
    code. A code with two different decodes, or with an empty one, has none.
    """
    cells: dict[str, set[TableCell]] = {}
    for table, key, said in _pairs(study, dataset, code, decode):
        known = study.tables[table]
        if key in known.columns and said in known.columns:
            for row, value in enumerate(known.values(key)):
                cells.setdefault(value, set()).add(TableCell(table, row, said))
    found = {}
    for value, places in cells.items():
        texts = {study.tables[one.table].values(one.column)[one.row] for one in places}
        if len(texts) == 1 and texts != {""}:
            found[value] = (texts.pop(), tuple(sorted(places)))
    return found


def _pairs(study: Study, dataset: str, code: str, decode: str) -> set[tuple[str, str, str]]:
    """Table, column of the code and column of the decode."""
    codes = [(group, column_of(study, code, group, one)) for group, one in rules(study, dataset, code)]
    found = set()
    for group, algorithm in rules(study, dataset, decode):
        said = column_of(study, decode, group, algorithm)
        if said is None:
            continue
        by_code = [key for key, variable in said.by if variable == code]
        if len(said.by) == 1 and by_code:
            found.add((said.table, by_code[0], said.column))
            continue
        for other, key in codes:
            if key is not None and other == group and (key.table, key.by) == (said.table, said.by):
                found.add((said.table, key.column, said.column))
    return found
