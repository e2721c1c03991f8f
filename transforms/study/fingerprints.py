"""Fingerprints of a specification's parts, so that two snapshots can say which rule changed and which did not.

A fingerprint covers what is written and the content of the tables and codelists it reads, and nothing else: a line
moved in a file, or a new row of a table that a rule does not read, changes no fingerprint.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from transforms.study.analyses import AnalysisFile, Derivation
from transforms.study.models import DatasetFile, Group, Source, Variable

if TYPE_CHECKING:
    from transforms.study.load import Study

LENGTH = 16


def of_rule(study: Study, definition: Variable | Derivation, groups: Iterable[Group] = ()) -> str:
    """The fingerprint of what fills a variable; `groups` are the record groups it is written for.

    A collected value of a group that reads a table is a cell of it, and so is `each.NAME` where a table spreads rows.
    """
    algorithm = definition.algorithm
    tables = set(algorithm.tables())
    if algorithm.reads_visits:
        tables.add(study.file.visits.table)
    if not algorithm.derived:
        spread = any(name.startswith("each.") for name in algorithm.collected_inputs())
        for group in groups:
            tables |= {
                name for name in (group.table, group.for_each.table if group.for_each and spread else None) if name
            }
    codelists = [
        (name, sorted(study.codelists[name].terms.items()))
        for name in sorted(algorithm.study_codelists())
        if name in study.codelists
    ]
    visits = [repr(study.file.visits)] if algorithm.reads_visits else []
    return _hash([repr(definition), *_tables(study, tables), repr(codelists), *visits])


def of_records(study: Study, file: DatasetFile | AnalysisFile) -> str:
    """The fingerprint of what decides on a dataset's records: their origin, conditions, tables and natural key."""
    tables: set[str] = set()
    if isinstance(file, AnalysisFile):
        return _hash([repr(one) for one in (file.records, file.parameters, file.exclude, file.copies, file.keys)])
    groups = []
    for group in file.records:
        tables |= {name for name in (group.table, group.for_each.table if group.for_each else None) if name}
        groups.append(repr(group.model_copy(update={"variables": {}, "supplemental": {}, "working": {}})))
    if file.elements is not None:
        tables |= {file.elements.te, file.elements.ta}
    return _hash([repr(groups), repr(file.elements), repr(file.keys), *_tables(study, tables)])


def of_source(source: Source) -> str:
    """The fingerprint of a source contract."""
    return _hash([repr(source)])


def of_text(says: str) -> str:
    """The fingerprint of a rule the engine writes itself."""
    return _hash([says])


def _tables(study: Study, names: Iterable[str]) -> Iterator[str]:
    for name in sorted(names):
        if name in study.tables:
            table = study.tables[name]
            yield repr((name, table.columns, table.rows))


def _hash(parts: Iterable[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:LENGTH]
