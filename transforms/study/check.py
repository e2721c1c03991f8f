"""What must hold between the files of a study before it may run."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING

from transforms.algorithms.base import Algorithm, fold
from transforms.algorithms.collected import (
    AssignByPattern,
    AssignCt,
    AssignDatetime,
    AssignFromTable,
    AssignNoCt,
    AssignVisit,
    TableLookup,
)
from transforms.algorithms.results import Standardize
from transforms.algorithms.values import Lookup
from transforms.core.results import COLUMNS as RESULT_COLUMNS
from transforms.core.results import ResultTexts
from transforms.core.tables import Table
from transforms.core.units import UNIT, Units
from transforms.errors import Fault
from transforms.standards import VariableStandard
from transforms.study import check_analyses, check_results, corrections, gate, graph, guide
from transforms.study.models import Column, DatasetFile, Group, Relation, Source, Variable

if TYPE_CHECKING:
    from transforms.study.load import Study

DATE_TYPES = {"date", "datetime", "time"}


@dataclass
class Target:
    """The CT codelist a study codelist leads to, and its terms with the line each stands on."""

    codelist: str
    terms: list[tuple[str, str]]


Targets = dict[str, Target]


def faults_of(study: Study, targets: Targets, unreadable: frozenset[str]) -> list[Fault]:
    """Every fault between the parts of a study that could be read.

    `unreadable` names sources and datasets that have faults of their own; what only follows from them is not said.
    """
    checker = _Checker(study, unreadable)
    found = [
        *checker.codelists(targets),
        *checker.extensions(),
        *checker.sources(),
        *(fault for dataset in study.datasets.values() for fault in checker.dataset(dataset)),
        *check_analyses.faults_of(study, checker.term, unreadable),
        *gate.faults_of(study),
        *guide.faults_of(study, unreadable),
        *check_results.faults_of(study, unreadable),
    ]
    return found + list(checker.order()) if not found else found + list(checker.columns())


class _Checker:
    def __init__(self, study: Study, unreadable: frozenset[str]) -> None:
        self.study = study
        self.unreadable = unreadable
        self.used: dict[str, set[str]] = {name: set() for name in study.sources}

    def suggest(self, name: str, known: Iterable[str]) -> str:
        close = get_close_matches(name, list(known), 1, 0.6)
        return f"Did you mean {close[0]}?" if close else f"Known: {', '.join(sorted(known)) or 'none'}"

    def codelists(self, targets: Targets) -> Iterator[Fault]:
        published = self.study.standards.codelists
        for name, target in targets.items():
            if not target.codelist:
                continue
            if target.codelist not in published:
                yield Fault(
                    "tables/codelists.csv",
                    name,
                    f"CT {target.codelist} is not among the codelists at hand",
                    "Correct the C-code, or add the codelist to cdisc_mappings/standards",
                )
                continue
            for term, place in target.terms:
                yield from self.term(term, (target.codelist,), "tables/codelists.csv", place)

    def extensions(self) -> Iterator[Fault]:
        published = self.study.standards.codelists
        for code, terms in self.study.extensions.items():
            file = "tables/ct_extensions.csv"
            if code not in published:
                yield Fault(file, code, "no such codelist at hand", "Correct the C-code")
            elif not published[code].extensible:
                yield Fault(file, code, f"{published[code].name} is not extensible", "Map to one of its terms")
            else:
                for term in sorted(terms & published[code].terms):
                    yield Fault(file, f"{code} {term}", "is a published term, not an extension", "Remove the row")

    def term(self, term: str, codes: Iterable[str], file: str, place: str) -> Iterator[Fault]:
        published = [self.study.standards.codelists[code] for code in codes if code in self.study.standards.codelists]
        if not published or any(self.allowed(term, one.code) for one in published):
            return
        names = ", ".join(f"{one.code} {one.short_name}" for one in published)
        close = get_close_matches(term, [known for one in published for known in one.terms], 1, 0.6)
        same = [known for one in published for known in one.terms if known.casefold() == term.casefold()]
        hint = f"Did you mean {(same or close)[0]!r}? " if same or close else ""
        extensible = any(one.extensible for one in published)
        way = ", or declare it in tables/ct_extensions.csv" if extensible else "; the codelist is not extensible"
        yield Fault(file, place, f"{term!r} is not a term of {names}", f"{hint}Use a published term{way}")

    def allowed(self, term: str, code: str) -> bool:
        return term in self.study.standards.codelists[code].terms or term in self.study.extensions.get(code, ())

    def sources(self) -> Iterator[Fault]:
        for name, source in self.study.sources.items():
            file = f"sources/{name}.yml"
            named = {
                "subject": (source.subject,) if source.subject is not None else (),
                "record_id": source.record_id,
                "deleted": (source.deleted.column,) if source.deleted else (),
                "exclude": tuple(name for exclusion in source.exclude for name in exclusion.where),
                "revisions": source.revisions.columns if source.revisions else (),
                "without_subject": tuple(source.without_subject),
                "columns": tuple(
                    name
                    for column in source.columns.values()
                    if isinstance(column.required, dict)
                    for name in column.required
                ),
            }
            for place, columns in named.items():
                for column in columns:
                    if column not in source.columns:
                        yield Fault(file, place, f"names no column: {column!r}", self.suggest(column, source.columns))
                    elif source.columns[column].identifier and not (place == "subject" and source.identity):
                        yield Fault(file, place, f"{column!r} is an identifier", "Use another column, or an identity")
            incremental = [carrier for carrier in source.carriers if carrier.delivery == "incremental"]
            if source.deleted and incremental and not source.record_id:
                yield Fault(
                    file,
                    "deleted",
                    "an incremental source without record_id cannot say which record was deleted",
                    "Name the columns of its record_id",
                )
            if len(incremental) > 1:
                yield Fault(
                    file,
                    "also",
                    f"{len(incremental)} carriers are incremental, and neither could carry on what the other said",
                    "Have all but one delivered in full, or write a source of its own for each",
                )
            yield from self.made(file, source)
            for number, carrier in enumerate(source.carriers):
                for column, contract in carrier.columns.items():
                    yield from self.read_with(file, carrier, column, contract, f"also.{number}." if number else "")
            identity = source.identity
            if identity is not None:
                other = self.study.sources.get(identity.source)
                if other is None and identity.source in self.unreadable:
                    continue
                if other is None:
                    yield Fault(
                        file,
                        "identity.source",
                        f"no source {identity.source!r}",
                        self.suggest(identity.source, self.study.sources),
                    )
                else:
                    for column in (identity.column, identity.subject):
                        if column not in other.columns:
                            yield Fault(
                                file,
                                "identity",
                                f"{identity.source} has no column {column!r}",
                                self.suggest(column, other.columns),
                            )
                        elif any(carrier.columns[column].made for carrier in other.carriers):
                            yield Fault(
                                file,
                                "identity",
                                f"a carrier of {identity.source} does not carry {column!r}",
                                "Name columns that every carrier has",
                            )

        table = self.study.tables.get(corrections.CORRECTIONS)
        if table is not None and not self.unreadable:
            yield from corrections.faults_of(table, self.study.sources)

    def made(self, file: str, source: Source) -> Iterator[Fault]:
        """Each made column is written by one place of the contract, and each such place writes a made column."""
        makers = source.makers()
        for place, name in makers.items():
            if name not in source.columns or not source.columns[name].made:
                yield Fault(file, place, f"{name!r} is no made column", "Declare it under columns with `made: true`")
        for name, column in source.columns.items():
            count = list(makers.values()).count(name)
            if column.made and count != 1:
                yield Fault(file, f"columns.{name}", f"{count} places write it", "Name it in one place, or remove it")

    def read_with(self, file: str, source: Source, name: str, column: Column, under: str) -> Iterator[Fault]:
        """The codelist, tables and other columns with which a column is read."""
        place = f"{under}columns.{name}"
        for codelist in (column.codelist, column.answers):
            if codelist is not None and codelist not in self.study.codelists:
                yield Fault(file, place, f"no codelist {codelist!r}", self.suggest(codelist, self.study.codelists))
        others: list[str] = []
        if column.result is not None:
            others = [column.result.flag] if column.result.flag else []
            yield from self.usable(file, place, column.result.texts, RESULT_COLUMNS, ResultTexts.read)
        if column.unit is not None:
            listed = column.unit.listed
            others = [column.unit.analyte, column.unit.of]
            yield from self.usable(
                file, place, column.unit.table, (listed, UNIT), lambda table: Units.read(table, listed)
            )
        if column.range is not None:
            others = [column.range.by]
        for other in others:
            if other not in source.columns:
                yield Fault(file, place, f"names no column: {other!r}", self.suggest(other, source.columns))
            elif source.columns[other].identifier or source.columns[other].made:
                yield Fault(file, place, f"{other!r} is an identifier, or made", "Use another column")

    def usable(
        self, file: str, place: str, name: str, columns: Iterable[str], read: Callable[[Table], object]
    ) -> Iterator[Fault]:
        """A table that a column is read with is there, has its columns and can be used."""
        table = self.study.tables.get(name)
        if table is None:
            yield Fault(file, place, f"no table {name!r}", self.suggest(name, self.study.tables))
            return
        lost = [one for one in columns if one not in table.columns]
        if lost:
            yield Fault(table.file, "header", f"lacks {', '.join(lost)}", "Add the column")
            return
        try:
            read(table)
        except ValueError as error:
            line, _, problem = str(error).partition(": ")
            yield Fault(table.file, line, problem, "Correct the row")

    def dataset(self, dataset: DatasetFile) -> Iterator[Fault]:
        study, file = self.study, self.study.files[dataset.name]
        if dataset.name not in study.standards.datasets:
            yield Fault(
                file,
                "dataset",
                f"no dataset {dataset.name!r}",
                self.suggest(dataset.name, study.standards.datasets),
            )
            return
        written = graph.definitions(dataset)
        automatic = graph.automatic(study, dataset)
        sequence = graph.sequence_variable(study, dataset.name)
        known = {*written, *automatic}
        for name, places in written.items():
            if name in automatic or name == sequence:
                yield Fault(file, name, "is written by the engine", "Remove it")
            shared = any(group is None for group, _ in places)
            if shared and len(places) > 1:
                yield Fault(file, name, "is written for all records and again in a group", "Keep one")
            if any(group is not None and place.algorithm.derived for group, place in places):
                yield Fault(file, name, "is derived in one group only", "Write it for all records, with a `when`")
            for group, variable in places:
                yield from self.variable(dataset, group, name, variable, known)
        for key in dataset.keys:
            if key not in known:
                yield Fault(file, "keys", f"{key} is not a variable of {dataset.name}", self.suggest(key, known))
        for name, standard in study.standards.datasets[dataset.name].by_name.items():
            if standard.core == "Req" and name not in known and name != sequence:
                yield Fault(file, name, "is required by the standard and not written", "Say what fills it")
        for group in dataset.records:
            yield from self.group(dataset, group)
        if dataset.elements is not None:
            yield from self.elements(dataset)
        for number, relation in enumerate(dataset.relations, start=1):
            yield from self.relation(dataset, f"relations.{number}", relation)

    def group(self, dataset: DatasetFile, group: Group) -> Iterator[Fault]:
        file = self.study.files[dataset.name]
        if group.source in self.unreadable:
            return
        if group.source is not None and group.source not in self.study.sources:
            yield Fault(file, "records", f"no source {group.source!r}", self.suggest(group.source, self.study.sources))
            return
        if group.table is not None and group.table not in self.study.tables:
            yield Fault(file, "records", f"no table {group.table!r}", self.suggest(group.table, self.study.tables))
            return
        if group.source is not None:
            subject = self.study.sources[group.source].subject
            if subject is None:
                yield Fault(file, "records", f"{group.source} names no subject", "Join it to a source that does")
                return
            self.used[group.source].add(subject)
        yield from self.joins(dataset, group)
        yield from self.fallback(dataset, group)
        if group.only is not None:
            for name in group.only.where:
                yield from self.collected(dataset, group, name, "only")
        if group.for_each is not None:
            table = self.study.tables.get(group.for_each.table)
            if table is None:
                yield Fault(
                    file,
                    "for_each",
                    f"no table {group.for_each.table!r}",
                    self.suggest(group.for_each.table, self.study.tables),
                )
            elif group.for_each.column not in table.columns:
                yield Fault(
                    file,
                    "for_each",
                    f"{table.file} has no column {group.for_each.column!r}",
                    self.suggest(group.for_each.column, table.columns),
                )
            else:
                for column in table.values(group.for_each.column):
                    yield from self.collected(dataset, group, column, f"for_each ({table.file})")

    def joins(self, dataset: DatasetFile, group: Group) -> Iterator[Fault]:
        file = self.study.files[dataset.name]
        for name, join in group.join.items():
            if name in self.unreadable or group.source is None:
                continue
            if name not in self.study.sources:
                yield Fault(file, "join", f"no source {name!r}", self.suggest(name, self.study.sources))
                continue
            subject = self.study.sources[name].subject
            self.used[name] |= {subject} if subject is not None else set()
            for theirs, own in (*join.by.items(), *join.same_day.items()):
                yield from self.collected(dataset, group, f"{name}.{theirs}", "join")
                yield from self.collected(dataset, group, own, "join")

    def fallback(self, dataset: DatasetFile, group: Group) -> Iterator[Fault]:
        file, fallback = self.study.files[dataset.name], group.fallback
        if fallback is None or fallback.of in self.unreadable:
            return
        if fallback.of not in self.study.sources:
            yield Fault(file, "fallback", f"no source {fallback.of!r}", self.suggest(fallback.of, self.study.sources))
            return
        source = self.study.sources[fallback.of]
        self.used[fallback.of] |= {source.subject} if source.subject is not None else set()
        for theirs in (*fallback.by, *fallback.dates):
            if theirs not in source.columns:
                hint = self.suggest(theirs, source.columns)
                yield Fault(file, "fallback", f"{fallback.of} has no column {theirs!r}", hint)
            else:
                self.used[fallback.of].add(theirs)
        for own in fallback.own_columns:
            yield from self.collected(dataset, group, own, "fallback")

    def relation(self, dataset: DatasetFile, place: str, relation: Relation) -> Iterator[Fault]:
        file = self.study.files[dataset.name]
        for name in relation.records:
            if name in self.study.datasets and graph.sequence_variable(self.study, name) is None:
                yield Fault(file, place, f"{name} has no sequence number that names a record", "Relate another dataset")
        read = [f"{name}.{variable}" for name, variable in relation.datasets.items()]
        for name, related in relation.records.items():
            read += [f"{name}.{one}" for one in (*related.where, *((related.match,) if related.match else ()))]
        for reference in dict.fromkeys([*read, *(f"{name}.USUBJID" for name in relation.records)]):
            yield from self.reference(dataset, place, reference, set())

    def collected(self, dataset: DatasetFile, group: Group | None, name: str, place: str) -> Iterator[Fault]:
        file = self.study.files[dataset.name]
        groups = [group] if group is not None else list(dataset.records)
        for one in groups:
            if name.startswith("each."):
                table = self.study.tables.get(one.for_each.table) if one.for_each else None
                columns = {"value", *(table.columns if table else ())}
                if name.startswith("each.column.") and table and name[12:] in table.columns:
                    for column in filter(None, table.values(name[12:])):
                        yield from self.collected(dataset, one, column, f"{place} ({table.file})")
                    continue
                if name[5:] not in columns:
                    yield Fault(
                        file,
                        place,
                        f"{name!r} is no column of the group's for_each table",
                        self.suggest(name[5:], columns),
                    )
                continue
            if one.source is not None and one.source in self.study.sources:
                joined, dot, rest = name.partition(".")
                source, column = (joined, rest) if dot and joined in one.join else (one.source, name)
                if source not in self.study.sources:
                    continue
                columns_of = self.study.sources[source].columns
                if column not in columns_of:
                    yield Fault(file, place, f"{source} has no column {column!r}", self.suggest(column, columns_of))
                elif columns_of[column].identifier:
                    yield Fault(
                        file, place, f"{column!r} of {source} is an identifier", "It never leaves the raw store"
                    )
                else:
                    self.used[source].add(column)
            elif one.table is not None and one.table in self.study.tables:
                columns = set(self.study.tables[one.table].columns)
                if name not in columns:
                    yield Fault(file, place, f"table {one.table} has no column {name!r}", self.suggest(name, columns))

    def variable(
        self, dataset: DatasetFile, group: Group | None, name: str, variable: Variable, known: set[str]
    ) -> Iterator[Fault]:
        file, algorithm = self.study.files[dataset.name], variable.algorithm
        definition = define(self.study, dataset, name)
        if definition is None:
            candidates = self.study.standards.datasets[dataset.name].by_name
            yield Fault(file, name, f"is not a variable of {dataset.name}", self.suggest(name, candidates))
            return
        supplemental = name in dataset.supplemental or any(name in one.supplemental for one in dataset.records)
        if supplemental:
            yield from self.supplemental(dataset, name, variable)
        for input_name in algorithm.collected_inputs():
            yield from self.collected(dataset, group, input_name, name)
        for reference in algorithm.variable_inputs():
            yield from self.reference(dataset, name, reference, known)
        for table_name, columns in algorithm.tables().items():
            table = self.study.tables.get(table_name)
            if table is None:
                yield Fault(file, name, f"no table {table_name!r}", self.suggest(table_name, self.study.tables))
            else:
                for column in columns:
                    if column not in table.columns:
                        yield Fault(
                            file,
                            name,
                            f"{table.file} has no column {column!r}",
                            self.suggest(column, table.columns),
                        )
                yield from self.one_answer(table, algorithm)
        for codelist in algorithm.study_codelists():
            if codelist not in self.study.codelists:
                yield Fault(
                    file,
                    name,
                    f"no codelist {codelist!r} in tables/codelists.csv",
                    self.suggest(codelist, self.study.codelists),
                )
        if definition.codelists and not supplemental:
            for term in algorithm.literal_terms():
                yield from self.term(term, definition.codelists, file, name)
        yield from self.kind(dataset, group, name, definition, algorithm)

    def one_answer(self, table: Table, algorithm: Algorithm) -> Iterator[Fault]:
        """A table in which something is looked up has one answer for each key."""
        if not isinstance(algorithm, TableLookup | Standardize):
            return
        answers = [algorithm.value] if isinstance(algorithm, TableLookup) else list(algorithm.columns())
        if any(name not in table.columns for name in (*algorithm.by, *answers)):
            return
        seen: dict[tuple[str, ...], tuple[tuple[str, ...], int]] = {}
        keys = zip(*(table.values(name) for name in algorithm.by), strict=True)
        found = zip(*(table.values(name) for name in answers), strict=True)
        for key, answer, line in zip(keys, found, table.lines, strict=True):
            first, first_line = seen.setdefault(tuple(fold(part) for part in key), (answer, line))
            if first != answer:
                yield Fault(
                    table.file,
                    f"line {line}",
                    f"answers {', '.join(key)} differently than line {first_line}",
                    "Keep one of the rows",
                )

    def kind(
        self,
        dataset: DatasetFile,
        group: Group | None,
        name: str,
        definition: VariableStandard,
        algorithm: Algorithm,
    ) -> Iterator[Fault]:
        file = self.study.files[dataset.name]
        if isinstance(algorithm, AssignVisit):
            table = self.study.tables.get(self.study.file.visits.table)
            needed = (self.study.file.visits.collected, algorithm.take or name)
            if table is None or any(column not in table.columns for column in needed):
                yield Fault(
                    file,
                    name,
                    f"the visit table {self.study.file.visits.table!r} needs columns {', '.join(needed)}",
                    "Write them",
                )
        if isinstance(algorithm, AssignCt) and algorithm.codelist in self.study.codelists:
            target = self.study.codelists[algorithm.codelist].codelist
            if definition.codelists and target and target not in definition.codelists:
                yield Fault(
                    file,
                    name,
                    f"codelist {algorithm.codelist} leads to {target}, not to {' or '.join(definition.codelists)}",
                    "Use a codelist of the variable's own CT list",
                )
        if isinstance(algorithm, AssignDatetime):
            for one in [group] if group is not None else list(dataset.records):
                source = self.study.sources.get(one.source or "")
                for column in algorithm.columns:
                    if source and column in source.columns and source.columns[column].type not in DATE_TYPES:
                        yield Fault(
                            file,
                            name,
                            f"{column!r} of {one.source} is {source.columns[column].type}, not a date",
                            "Declare its type and layouts in the source contract",
                        )
        if isinstance(algorithm, AssignByPattern) and algorithm.table in self.study.tables:
            yield from self.patterns(file, name, self.study.tables[algorithm.table], definition)
        if definition.is_datetime and isinstance(algorithm, AssignNoCt):
            yield Fault(file, name, "is a date and takes assign_datetime", "Write assign_datetime")
        if isinstance(algorithm, AssignFromTable | Lookup) and definition.codelists:
            table = self.study.tables.get(algorithm.table)
            if table is not None and algorithm.value in table.columns:
                for value, line in zip(table.values(algorithm.value), table.lines, strict=True):
                    if value:
                        yield from self.term(value, definition.codelists, table.file, f"line {line}, {algorithm.value}")

    def patterns(self, file: str, name: str, table: Table, definition: VariableStandard) -> Iterator[Fault]:
        """A table of patterns has readable patterns and, in the variable's column, terms of its codelists."""
        if not {"PATTERN", name} <= set(table.columns):
            yield Fault(file, name, f"{table.file} needs columns PATTERN, {name}", "Add the column")
            return
        for pattern, value, line in zip(table.values("PATTERN"), table.values(name), table.lines, strict=True):
            try:
                re.compile(pattern)
            except re.error as error:
                yield Fault(table.file, f"line {line}", str(error), "Correct the pattern")
            if value and definition.codelists:
                yield from self.term(value, definition.codelists, table.file, f"line {line}, {name}")

    def reference(self, dataset: DatasetFile, place: str, reference: str, known: set[str]) -> Iterator[Fault]:
        file = self.study.files[dataset.name]
        other, name = graph.node_of(dataset.name, reference)
        if other == dataset.name:
            if name not in known:
                yield Fault(file, place, f"reads {name}, which {other} does not write", self.suggest(name, known))
        elif other in self.unreadable:
            return
        elif other not in self.study.datasets:
            yield Fault(
                file,
                place,
                f"reads {reference}, and there is no dataset {other}",
                self.suggest(other, self.study.datasets),
            )
        else:
            target = self.study.datasets[other]
            there = {*graph.definitions(target), *graph.automatic(self.study, target)}
            if name not in there:
                yield Fault(file, place, f"reads {reference}, which {other} does not write", self.suggest(name, there))

    def supplemental(self, dataset: DatasetFile, name: str, variable: Variable) -> Iterator[Fault]:
        file = self.study.files[dataset.name]
        if self.study.standards.variable(dataset.name, name) is not None:
            yield Fault(file, name, "is a standard variable, not a supplemental qualifier", "Move it to variables")
        if not variable.label or len(variable.label.encode()) > 40:
            yield Fault(file, name, "a supplemental qualifier needs a label of at most 40 bytes", "Write label")
        if not graph.sequence_variable(self.study, dataset.name) and dataset.name != "DM":
            yield Fault(file, name, f"{dataset.name} has no sequence number to relate to", "Drop the qualifier")

    def elements(self, dataset: DatasetFile) -> Iterator[Fault]:
        file, elements = self.study.files[dataset.name], dataset.elements
        if elements is None:
            return
        known = {*graph.automatic(self.study, dataset)}
        plan = self.study.tables.get(elements.te)
        arms = self.study.tables.get(elements.ta)
        needed = (
            (elements.te, plan, ("ETCD", "ELEMENT")),
            (elements.ta, arms, ("ARMCD", "ETCD", "TAETORD", "EPOCH")),
        )
        for name, table, columns in needed:
            if table is None or any(column not in table.columns for column in columns):
                yield Fault(file, "elements", f"the table {name!r} needs columns {', '.join(columns)}", "Write it")
                return
        for number, element in enumerate(elements.elements, start=1):
            place = f"elements.{number}"
            if plan is not None and element.unplanned is None and element.etcd not in plan.values("ETCD"):
                yield Fault(
                    file,
                    place,
                    f"{element.etcd} is not in {plan.file}",
                    self.suggest(element.etcd, plan.values("ETCD")),
                )
            for rule in element.rules:
                for reference in graph.rule_inputs(rule):
                    yield from self.reference(dataset, place, reference, known)

    def columns(self) -> Iterator[Fault]:
        """Every source column is read by a dataset or says why it is not submitted."""
        if self.unreadable:
            return
        for name, source in self.study.sources.items():
            technical = {*source.record_id, *(one for exclusion in source.exclude for one in exclusion.where)}
            technical |= set(source.revisions.columns if source.revisions else ())
            for contract in source.columns.values():
                technical |= {contract.range.by} if contract.range else set()
            if source.deleted is not None:
                technical.add(source.deleted.column)
            for other in self.study.sources.values():
                if other.identity is not None and other.identity.source == name:
                    technical |= {other.identity.column, other.identity.subject}
            for column, contract in source.columns.items():
                mapped = column in self.used[name]
                place = f"columns.{column}"
                if mapped and contract.not_submitted:
                    yield Fault(f"sources/{name}.yml", place, "is mapped and also listed as not submitted", "Keep one")
                elif not mapped and not contract.not_submitted and not (contract.identifier or column in technical):
                    yield Fault(
                        f"sources/{name}.yml",
                        place,
                        "is in no dataset",
                        "Map it, or say why under not_submitted",
                    )

    def order(self) -> Iterator[Fault]:
        yield from self.columns()
        found = graph.cycle(graph.dependencies(self.study))
        if found:
            path = " needs ".join(f"{dataset}.{name}" for dataset, name in reversed(found))
            yield Fault(self.study.files[found[0][0]], found[0][1], f"a cycle: {path}", "Break it")


def define(study: Study, dataset: DatasetFile, name: str) -> VariableStandard | None:
    """What a variable of a dataset is: the standard's, or the study's for qualifiers and working variables."""
    own: Variable | None = None
    codelists: set[str] | None = None
    outside: set[str] = set()
    for group, variable in graph.definitions(dataset).get(name, ()):
        kinds: tuple[Mapping[str, Variable], ...] = (
            (group.supplemental, group.working) if group else (dataset.supplemental, dataset.working)
        )
        if any(name in kind for kind in kinds):
            own = variable
        if variable.codelists is not None:
            codelists = (codelists or set()) | set(variable.codelists)
            outside |= set() if variable.codelists else set(variable.algorithm.fixed_values())
    if own is not None:
        return VariableStandard(name, own.label or name, own.type or "Char", "", "Perm", (), 0.0)
    published = study.standards.variable(dataset.name, name)
    if published is not None and codelists is not None:
        return replace(published, codelists=tuple(sorted(codelists)), outside=tuple(sorted(outside)))
    return published
