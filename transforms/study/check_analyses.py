"""What must hold in the analysis datasets of a study before it may run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from graphlib import CycleError
from typing import TYPE_CHECKING

from transforms.algorithms.base import Algorithm, fold
from transforms.algorithms.timepoints import InWindow
from transforms.algorithms.values import Lookup
from transforms.core.tables import Table
from transforms.errors import Fault
from transforms.study import analyses
from transforms.study.analyses import AnalysisFile, Derivation
from transforms.study.models import NAME

if TYPE_CHECKING:
    from transforms.study.load import Study

LABEL_BYTES = 40
Terms = Callable[[str, Iterable[str], str, str], Iterator[Fault]]


def faults_of(study: Study, term: Terms, unreadable: frozenset[str]) -> Iterator[Fault]:
    """Every fault of the analysis datasets; `term` checks a term against codelists."""
    if study.analyses and study.file.standards.adamig is None:
        yield Fault("study.yml", "standards", "adam/ is there and no version of ADaM", "Write adamig")
        return
    for file in study.analyses.values():
        yield from _Checker(study, file, term, unreadable).faults()
    try:
        analyses.dataset_order(study.analyses)
    except CycleError as error:
        path = " needs ".join(reversed(error.args[1]))
        named = next(name for name in error.args[1] if name in study.files)
        yield Fault(study.files[named], "", f"a cycle of datasets: {path}", "Break it")


def suggest(name: str, known: Iterable[str]) -> str:
    """The nearest known name, or all of them."""
    close = get_close_matches(name, list(known), 1, 0.6)
    return f"Did you mean {close[0]}?" if close else f"Known: {', '.join(sorted(known)) or 'none'}"


class _Checker:
    def __init__(self, study: Study, file: AnalysisFile, term: Terms, unreadable: frozenset[str]) -> None:
        self.study = study
        self.file = file
        self.where = study.files[file.name]
        self.term = term
        self.unreadable = unreadable
        self.written = file.written()

    def fault(self, place: str, problem: str, remedy: str) -> Fault:
        return Fault(self.where, place, problem, remedy)

    def faults(self) -> Iterator[Fault]:
        file = self.file
        known = {*file.automatic, *file.subject, *file.variables}
        if file.observation_class != analyses.SUBJECT_LEVEL and analyses.SUBJECT_LEVEL not in self.study.analyses:
            if analyses.SUBJECT_LEVEL not in self.unreadable:
                yield self.fault("class", "there is no ADSL, whose subjects it needs", "Write adam/adsl.yml")
            return
        for key in file.keys:
            if key not in known:
                yield self.fault("keys", f"{key} is not a variable of {file.name}", suggest(key, known))
        for required in self.study.standards.required_analysis_variables(file.observation_class):
            if required not in known:
                yield self.fault(required, "is required by the standard and not written", "Say what fills it")
        for key in file.keys:
            if key in analyses.late({file.name: file, **self.study.analyses}) and file.name == analyses.SUBJECT_LEVEL:
                yield self.fault("keys", f"{key} is filled after other datasets", "Sort by an earlier variable")
        if file.observation_class == "BDS" and not {"AVAL", "AVALC"} & known:
            yield self.fault("AVAL", "a BDS dataset needs AVAL or AVALC", "Say what fills it")
        for number, group in enumerate(file.records, start=1):
            columns = analyses.columns_of(self.study, group.source)
            place = f"records.{number}"
            if columns is None:
                if group.source not in self.unreadable:
                    yield self.fault(place, f"no dataset {group.source!r}", suggest(group.source, self.datasets()))
                continue
            for condition in (group.only, *(exclusion.where for exclusion in group.exclude)):
                for name in condition:
                    if name not in columns:
                        yield self.fault(place, f"{group.source} has no variable {name!r}", suggest(name, columns))
        for parameter, definition in file.parameters.items():
            for reference in definition.reads():
                yield from self.read(f"parameters.{parameter}", reference)
        for name in file.subject:
            columns = analyses.columns_of(self.study, analyses.SUBJECT_LEVEL) or frozenset()
            if name not in columns:
                yield self.fault("subject", f"ADSL has no variable {name!r}", suggest(name, columns))
        for name, derivation in {**file.variables, **file.working}.items():
            yield from self.variable(name, derivation)
        later = [(f"copies.{number}", (*one.reads(), *one.set)) for number, one in enumerate(file.copies, start=1)]
        later += [(f"exclude.{number}", tuple(one.where)) for number, one in enumerate(file.exclude, start=1)]
        for place, names in later:
            for name in names:
                if name not in {*known, *file.unwritten, *file.working}:
                    yield self.fault(place, f"{file.name} has no variable {name!r}", suggest(name, known))
        cycle = analyses.cycle_of(file)
        if cycle:
            yield self.fault(cycle[0], f"a cycle: {' needs '.join(reversed(cycle))}", "Break it")

    def datasets(self) -> set[str]:
        return {*self.study.datasets, *self.study.analyses}

    def variable(self, name: str, derivation: Derivation) -> Iterator[Fault]:
        file, algorithm = self.file, derivation.algorithm
        if name in {*file.automatic, *file.unwritten}:
            yield self.fault(name, "is written by the engine", "Remove it")
            return
        if name in file.variables:
            yield from self.definition(name, derivation)
        if not algorithm.derived and tuple(algorithm.collected_inputs()) != tuple(algorithm.when):
            yield self.fault(name, f"{algorithm.word} reads columns of an extract", "Read variables of a dataset")
            return
        for reference in analyses.inputs(derivation):
            yield from self.reference(name, reference, algorithm)
        yield from self.tables(name, algorithm)
        defined = analyses.define(self.study, file, name)
        if defined is not None and defined.codelist:
            if defined.codelist not in self.study.standards.codelists:
                if derivation.codelist:
                    yield self.fault(name, f"codelist {defined.codelist} is not at hand", "Correct the C-code")
            else:
                for term in algorithm.literal_terms():
                    yield from self.term(term, (defined.codelist,), self.where, name)

    def definition(self, name: str, derivation: Derivation) -> Iterator[Fault]:
        file = self.file
        if not NAME.fullmatch(name):
            yield self.fault(name, "is no variable name: up to 8 capitals and digits", "Rename it, or make it working")
        standard = analyses.standard_of(self.study, file, name)
        own = derivation.label is not None or derivation.type is not None
        inherited = standard is not None and (derivation.label, derivation.type) == (standard.label, standard.type)
        if standard is not None and own and not inherited:
            yield self.fault(name, "is a variable of the standard, which says its label and type", "Remove them")
        elif standard is None and not (derivation.label and derivation.type):
            yield self.fault(name, f"is no standard variable of {file.observation_class}", "Write label and type")
        if derivation.label and len(derivation.label.encode()) > LABEL_BYTES:
            yield self.fault(name, f"its label has more than {LABEL_BYTES} bytes", "Shorten it")

    def reference(self, place: str, reference: str, algorithm: Algorithm) -> Iterator[Fault]:
        file = self.file
        other, dot, name = reference.partition(".")
        if not dot:
            known = {*file.automatic, *file.unwritten, *self.written}
            if reference not in known:
                yield self.fault(
                    place, f"reads {reference}, which {file.name} does not write", suggest(reference, known)
                )
            return
        yield from self.read(place, reference)
        columns = analyses.columns_of(self.study, other) or frozenset()
        one_each = {*file.sources, *analyses.ONE_PER_SUBJECT}
        if name in columns and other != file.name and not algorithm.searches and other not in one_each:
            yield self.fault(
                place,
                f"{algorithm.word} reads {reference}, and {other} may have several records of a subject",
                "Use an algorithm that chooses among them, such as first_value or latest_date",
            )

    def read(self, place: str, reference: str) -> Iterator[Fault]:
        """A variable of another dataset that is there."""
        other, _, name = reference.partition(".")
        columns = analyses.columns_of(self.study, other)
        if columns is None:
            if other not in self.unreadable:
                yield self.fault(
                    place, f"reads {reference}, and there is no dataset {other}", suggest(other, self.datasets())
                )
        elif other == self.file.name:
            yield self.fault(place, f"reads {reference} of its own dataset", f"Write {name}")
        elif name not in columns:
            yield self.fault(place, f"reads {reference}, which {other} does not have", suggest(name, columns))

    def tables(self, place: str, algorithm: Algorithm) -> Iterator[Fault]:
        for table_name, columns in algorithm.tables().items():
            table = self.study.tables.get(table_name)
            if table is None:
                yield self.fault(place, f"no table {table_name!r}", suggest(table_name, self.study.tables))
                continue
            missing = [column for column in columns if column not in table.columns]
            for column in missing:
                yield self.fault(place, f"{table.file} has no column {column!r}", suggest(column, table.columns))
            if missing:
                continue
            if isinstance(algorithm, Lookup):
                yield from _one_answer(table, [*algorithm.by], algorithm.value)
            if isinstance(algorithm, InWindow):
                yield from _windows(table, [*algorithm.by])


def _one_answer(table: Table, by: list[str], value: str) -> Iterator[Fault]:
    seen: dict[tuple[str, ...], tuple[str, int]] = {}
    keys = zip(*(table.values(name) for name in by), strict=True)
    for key, answer, line in zip(keys, table.values(value), table.lines, strict=True):
        first, first_line = seen.setdefault(tuple(fold(part) for part in key), (answer, line))
        if first != answer:
            problem = f"answers {', '.join(key)} differently than line {first_line}"
            yield Fault(table.file, f"line {line}", problem, "Keep one of the rows")


def _windows(table: Table, by: list[str]) -> Iterator[Fault]:
    """Bounds are numbers, and the windows of one group do not overlap."""
    seen: dict[tuple[str, ...], list[tuple[float, float, int]]] = {}
    cells: Mapping[str, list[str]] = {name: table.values(name) for name in (*by, "LOW", "HIGH")}
    for row, line in enumerate(table.lines):
        try:
            low, high = float(cells["LOW"][row] or "-inf"), float(cells["HIGH"][row] or "inf")
        except ValueError:
            yield Fault(table.file, f"line {line}", "LOW or HIGH is no number", "Write days, or leave the cell empty")
            continue
        if low > high:
            yield Fault(table.file, f"line {line}", "LOW lies above HIGH", "Exchange them")
        windows = seen.setdefault(tuple(cells[name][row] for name in by), [])
        for first, last, first_line in windows:
            if low <= last and first <= high:
                yield Fault(table.file, f"line {line}", f"overlaps the window of line {first_line}", "Part them")
        windows.append((low, high, line))
