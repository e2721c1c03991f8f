"""The ADaM engine: derives analysis datasets from finished SDTM datasets, by a study's specification.

Datasets are derived one after another, ADSL first; in each, records are made as its class says, variables are
filled in the order of their declared inputs, copies are added, and the records are sorted. What ADSL takes from other
analysis datasets (a baseline score) is filled when these are finished. The engine knows no study.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd

from transforms.adam import additions, builders, time_to_event
from transforms.adam.records import (
    AnalysisDataset,
    AnalysisVariable,
    DerivationLine,
    RecordLink,
    Records,
    finished_links,
)
from transforms.algorithms.base import Link, Outcome, Problem, StudyCodelist, Visits, limited
from transforms.algorithms.timepoints import InWindow
from transforms.core import conditions, dates, numbers, text
from transforms.core.columns import take
from transforms.core.tables import Table
from transforms.errors import UsageError
from transforms.findings import Finding, Severity
from transforms.standards import VariableStandard
from transforms.study import Study, analyses
from transforms.study.additions import Added, CarriedForward
from transforms.study.analyses import AUTOMATIC, CUT_OFF, ONE_PER_SUBJECT, AnalysisFile, Defined, Derivation

__all__ = ["AnalysisDataset", "AnalysisVariable", "Derived", "One", "derive_each", "derive_study"]

Read = Callable[[str, Collection[str]], pd.DataFrame | None]

SHOWN_KEYS = 5
LABELS = {"STUDYID": "Study Identifier", "USUBJID": "Unique Subject Identifier"}


class One(NamedTuple):
    """One finished dataset, its findings, and what became of the records of its sources."""

    dataset: AnalysisDataset
    findings: tuple[Finding, ...]
    account: tuple[DerivationLine, ...]


@dataclass(frozen=True)
class Derived:
    """What deriving gives: finished datasets by name, findings, and what became of the records of their sources."""

    datasets: Mapping[str, AnalysisDataset]
    findings: tuple[Finding, ...]
    account: tuple[DerivationLine, ...] = ()


def derive_study(
    study: Study, sdtm: Mapping[str, pd.DataFrame], *, cut_off: str, only: Iterable[str] | None = None
) -> Derived:
    """Derive all analysis datasets of a study, or `only` some (what they need is derived and not returned).

    `sdtm` holds the finished SDTM datasets by name, `cut_off` is an ISO 8601 date. Raises UsageError for an
    analysis dataset that the study does not have.
    """

    def read(name: str, columns: Collection[str]) -> pd.DataFrame | None:
        return sdtm[name][[one for one in sdtm[name] if one in columns]] if name in sdtm else None

    made = {one.dataset.name: one for one in derive_each(study, read, cut_off=cut_off, only=only)}
    asked = [made[name] for name in study.analyses if name in made]
    return Derived(
        {one.dataset.name: one.dataset for one in asked},
        tuple(found for one in asked for found in one.findings),
        tuple(line for one in asked for line in one.account),
    )


def derive_each(study: Study, read: Read, *, cut_off: str, only: Iterable[str] | None = None) -> Iterator[One]:
    """The same, each dataset as soon as it is finished, so that who writes it need not hold it.

    `read` gives some columns of a finished SDTM dataset, None for one that the study has no record of. A dataset is
    read anew, and no more of it than is needed, by each step that needs it.
    """
    wanted = None if only is None else tuple(only)
    unknown = sorted({*(wanted or ())} - {*study.analyses})
    if unknown:
        known = ", ".join(study.analyses) or "none"
        raise UsageError(f"{study.name} has no analysis dataset {', '.join(unknown)}. It has: {known}")
    run = _Run(study, read, cut_off)
    order = analyses.dataset_order(study.analyses, wanted)
    for place, step in enumerate(order):
        name = analyses.SUBJECT_LEVEL if step == analyses.WHOLE else step
        run.open(step)
        if name == analyses.SUBJECT_LEVEL and step == name and run.late:
            run.open_subjects(study.analyses[name])
        else:
            made = (run.close_subjects if step == analyses.WHOLE else run.build)(study.analyses[name])
            run.shut(order[place + 1 :])
            if wanted is None or name in wanted:
                yield One(
                    made,
                    tuple(one for one in run.findings if one.dataset == name),
                    tuple(one for one in run.account if one.dataset == name),
                )
            del made


@dataclass
class _Run:
    study: Study
    read: Read
    cut_off: str
    frames: dict[str, pd.DataFrame] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    account: list[DerivationLine] = field(default_factory=list)

    links: dict[str, Mapping[str, Sequence[Link]]] = field(default_factory=dict)
    subjects: _Records | None = None

    @cached_property
    def late(self) -> frozenset[str]:
        """The variables of ADSL that wait for other analysis datasets."""
        return analyses.late(self.study.analyses)

    def open(self, step: str) -> None:
        """Read what a step needs of SDTM, and forget what the step before it needed."""
        needed = analyses.columns_read(self.study.analyses, step)
        self.frames = {name: frame for name, frame in self.frames.items() if name in self.study.analyses}
        for name, columns in needed.items():
            if name not in self.study.analyses:
                read = self.read(name, columns)
                self.frames[name] = self.empty(name) if read is None else read

    def shut(self, later: Sequence[str]) -> None:
        """Keep of analysis datasets what later steps read."""
        files = self.study.analyses
        needed: dict[str, set[str]] = {}
        for step in later:
            for name, columns in analyses.columns_read(files, step).items():
                needed.setdefault(name, set()).update(columns)
        self.frames = {
            name: frame[[one for one in frame if one in needed[name]]]
            for name, frame in self.frames.items()
            if name in files and name in needed
        }
        traced = set().union(*(analyses.traced(file) for file in files.values()))
        self.links = {
            name: {one: links for one, links in own.items() if f"{name}.{one}" in traced}
            for name, own in self.links.items()
        }

    def build(self, file: AnalysisFile) -> AnalysisDataset:
        """Derive one dataset whose sources are finished."""
        scope = self.begin(file)
        written = file.written()
        for name in analyses.order(file):
            scope.fill(name, written[name])
        scope.forget()
        for complete in (builders.without_excluded, builders.with_copies):
            scope.records, account = complete(file, scope.records)
            self.account.extend(account)
        for number, added in enumerate(file.additions, start=len(file.copies) + 1):
            self.account.append(scope.add(number, added))
            scope.forget()
        self.frames = {name: frame for name, frame in self.frames.items() if name in self.study.analyses}
        return self.finish(file, scope.records)

    def begin(self, file: AnalysisFile) -> _Records:
        """The records of a dataset with what the engine writes."""
        records, account = builders.start(file, self.frames)
        self.account.extend(account)
        scope = _Records(self, file, records)
        scope.identify()
        return scope

    def open_subjects(self, file: AnalysisFile) -> None:
        """Derive ADSL but for what it takes from other analysis datasets, and let these read it."""
        scope = self.begin(file)
        written = file.written()
        for name in analyses.order(file):
            if name not in self.late:
                scope.fill(name, written[name])
        scope.sort([scope.records.columns[key] for key in file.keys])
        there = [name for name in (*analyses.AUTOMATIC, *file.variables) if name not in self.late]
        self.frames[file.name] = pd.DataFrame(
            {name: scope.records.columns[name] for name in there}, index=scope.records.index
        )
        self.links[file.name] = scope.records.links
        self.subjects = scope

    def close_subjects(self, file: AnalysisFile) -> AnalysisDataset:
        """Fill what ADSL takes from other analysis datasets."""
        scope = self.subjects
        if scope is None:
            raise ValueError("ADSL is closed before it is opened")
        written = file.written()
        for name in analyses.order(file):
            if name in self.late:
                scope.fill(name, written[name])
        self.subjects = None
        return self.finish(file, scope.records)

    def empty(self, name: str) -> pd.DataFrame:
        """A dataset of the study that has no record and therefore no file."""
        index = pd.RangeIndex(0)
        columns = analyses.columns_of(self.study, name) or frozenset()
        standard = self.study.standards
        known = {one: standard.variable(name, one) if name in standard.datasets else None for one in sorted(columns)}
        return pd.DataFrame(
            {
                one: pd.Series(dtype=float) if definition is not None and definition.is_number else text.missing(index)
                for one, definition in known.items()
            },
            index=index,
        )

    def finish(self, file: AnalysisFile, records: Records) -> AnalysisDataset:
        """Sort the records, keep what is submitted, check what must hold, and let other datasets read it."""
        order = text.sort_order([records.columns[key] for key in file.keys])
        records = records.chosen(order)
        for variable, problem in builders.demands(file, records.columns, records.size):
            self.settle(file, records.columns, variable, problem)
        variables = [AnalysisVariable(name, LABELS[name], "text", None, "Predecessor") for name in AUTOMATIC] + [
            _described(self.study, file, name)
            for name in (*file.automatic[len(AUTOMATIC) :], *file.subject, *file.variables)
        ]
        self.check_values(file, records.columns, variables)
        published = self.study.standards.analysis[file.observation_class]
        names = [variable.name for variable in variables]
        dataset = AnalysisDataset(
            file.name,
            file.label,
            published.name,
            file.structure or published.structure,
            file.keys,
            pd.DataFrame({name: records.columns[name] for name in names}, index=records.index, copy=False),
            tuple(variables),
            tuple(RecordLink(source, records.of_source(source) + 1, records.copies) for source in records.sources),
            finished_links(records.links, file.name),
        )
        self.frames[file.name] = dataset.frame
        self.links[file.name] = records.links
        return dataset

    def check_values(
        self, file: AnalysisFile, columns: Mapping[str, pd.Series], variables: Iterable[AnalysisVariable]
    ) -> None:
        """Required values are there, and every value of a variable with a codelist is one of its terms."""
        for name, derivation in {**file.variables, **file.working}.items():
            if derivation.required is False:
                continue
            missing = columns[name].isna().to_numpy()
            if isinstance(derivation.required, dict):
                missing = missing & conditions.rows(derivation.required, columns.__getitem__, columns[name].index)
            problem = Problem(
                "analysis_value_missing",
                Severity.ANSWER,
                missing,
                f"{name} must have a value and has none",
                "Look at what it is derived from with `trace`, and ask the site for what is missing there",
            )
            self.settle(file, columns, name, problem)
        for variable in variables:
            codelist = self.study.standards.codelists.get(variable.codelist or "")
            values = columns[variable.name]
            if codelist is None or not isinstance(values.dtype, pd.CategoricalDtype):
                continue
            allowed = codelist.terms | self.study.extensions.get(codelist.code, frozenset())
            for term in text.used_texts(values):
                if term not in allowed:
                    problem = Problem(
                        "term_not_in_codelist",
                        Severity.CRITICAL,
                        text.map_flag(values, term.__eq__),
                        f"a value is not a term of {codelist.code} {codelist.short_name}",
                        "Derive a published term, or declare it in tables/ct_extensions.csv if the list is extensible",
                        cause=term,
                    )
                    self.settle(file, columns, variable.name, problem)

    def settle(self, file: AnalysisFile, columns: Mapping[str, pd.Series], variable: str, problem: Problem) -> None:
        """A problem as a finding, with its count and the first subjects concerned."""
        count = int(problem.mask.sum())
        if not count:
            return
        subjects = columns["USUBJID"][problem.mask].dropna().drop_duplicates().iloc[:SHOWN_KEYS]
        message = f"{problem.message} ({count} records; first: {', '.join(subjects.astype(str))})"
        self.findings.append(
            Finding(problem.rule, problem.severity, file.name, variable, message, problem.remedy, cause=problem.cause)
        )


def _described(study: Study, file: AnalysisFile, name: str) -> AnalysisVariable:
    defined = analyses.define(study, file, name)
    if defined is None:
        raise ValueError(f"{file.name}.{name} is unknown although the study was checked")
    return AnalysisVariable(name, defined.label, defined.type, defined.codelist, defined.origin)


@dataclass
class _Records:
    """The records of one dataset while their variables are filled."""

    run: _Run
    file: AnalysisFile
    records: Records
    taken: dict[str, pd.Series] = field(default_factory=dict)
    rows: dict[str, np.ndarray] = field(default_factory=dict)

    def identify(self) -> None:
        """The variables the engine writes: identifiers, and the cut-off for those who read it."""
        columns, index = self.records.columns, self.records.index
        for name in AUTOMATIC:
            parts = [
                take(self.run.frames[source][name], self.records.of_source(source), index)
                for source in self.records.sources
            ]
            joined = parts[0]
            for part in parts[1:]:
                joined = text.coalesce(joined, part)
            columns[name] = joined
        columns[CUT_OFF] = text.constant(self.run.cut_off, index)
        if self.file.observation_class == analyses.TTE:
            for problem in time_to_event.fill(self.file, self.records, self.run.frames, self.run.links):
                self.run.settle(self.file, columns, "ADT", problem)

    def sort(self, keys: list[pd.Series]) -> None:
        """Bring the records into the order of some columns."""
        self.records = self.records.chosen(text.sort_order(keys))
        self.forget()

    def forget(self) -> None:
        """What was read of other datasets for these records is read again when it is asked for."""
        self.taken.clear()
        self.rows.clear()

    def add(self, number: int, added: Added) -> DerivationLine:
        """Add the records of one rule, and derive again for them what depends on what they were given."""
        written = self.file.written()
        window = written[added.window].algorithm if isinstance(added, CarriedForward) else None
        table = self.run.study.tables[window.table] if isinstance(window, InWindow) else None
        self.records, first, account = additions.extend(self.file, number, added, self.records, table)
        self.forget()
        if account.rows:
            new = np.arange(first, self.records.size)
            for name in analyses.dependents(self.file, added.given()):
                self.fill_again(name, written[name], new)
        return account

    def fill_again(self, name: str, derivation: Derivation, rows: np.ndarray) -> None:
        """Fill one variable of some records; those of the others stay as they are."""
        outcome = self.outcome(name, derivation)
        links = [Link(link.dataset, link.records[rows], link.variable) for link in outcome.links]
        self.records.replace(name, rows, outcome.values.iloc[rows], links)
        here = np.zeros(self.records.size, dtype=bool)
        here[rows] = True
        for problem in outcome.problems:
            if (problem.mask & here).any():
                self.run.settle(self.file, self.records.columns, name, replace(problem, mask=problem.mask & here))

    def fill(self, name: str, derivation: Derivation) -> None:
        """Fill one variable of all records."""
        outcome = self.outcome(name, derivation)
        self.records.columns[name] = outcome.values
        if outcome.links:
            self.records.links[name] = list(outcome.links)
        for problem in outcome.problems:
            self.run.settle(self.file, self.records.columns, name, problem)

    def outcome(self, name: str, derivation: Derivation) -> Outcome:
        """What fills one variable: the algorithm, its condition, the variable's type, and where values are from."""
        study, algorithm = self.run.study, derivation.algorithm
        defined = analyses.define(study, self.file, name)
        if defined is None:
            raise ValueError(f"{self.file.name}.{name} is unknown although the study was checked")
        scope = _Scope(self, defined.target)
        outcome = algorithm.apply(scope)
        if algorithm.when:
            outcome = limited(outcome, conditions.rows(algorithm.when, scope.variable, scope.index))
        outcome = _fit(outcome, defined)
        links = [link for link in outcome.links if (link.records >= 0).any()]
        present = outcome.values.notna().to_numpy()
        for reference in algorithm.variable_inputs() if algorithm.derived else ():
            dataset, dot, variable = reference.partition(".")
            by_subject = dot and not algorithm.searches and dataset not in self.records.sources
            if by_subject and not any(link.dataset == dataset and link.variable == variable for link in links):
                links.append(Link(dataset, np.where(present, self.subject_rows(dataset), -1), variable))
        # A large dataset has a hundred of these, one number a record.
        small = (Link(link.dataset, link.records.astype(np.int32), link.variable) for link in links)
        return Outcome(outcome.values, outcome.problems, tuple(small))

    def reference(self, reference: str) -> pd.Series:
        """`DS.VAR` for each record: of the record it is made of, or of its subject."""
        if reference not in self.taken:
            dataset, _, name = reference.partition(".")
            sources = self.records.sources
            own = dataset in sources and (len(sources) == 1 or dataset not in ONE_PER_SUBJECT)
            rows = self.records.of_source(dataset) if own else self.subject_rows(dataset)
            self.taken[reference] = take(self.run.frames[dataset][name], rows, self.records.index)
        return self.taken[reference]

    def subject_rows(self, dataset: str) -> np.ndarray:
        """The position in a dataset of one record per subject of each record's subject, -1 for none."""
        if dataset not in ONE_PER_SUBJECT:
            raise ValueError(f"{dataset} may have several records of a subject")
        if dataset not in self.rows:
            subjects = self.run.frames[dataset]["USUBJID"].astype(object)
            position = {subject: row for row, subject in enumerate(subjects)}
            own = self.records.columns["USUBJID"]
            known = np.array([*(position.get(one, -1) for one in text.texts_of(own)), -1], dtype=np.int64)
            self.rows[dataset] = known[own.array.codes]
        return self.rows[dataset]


@dataclass
class _Scope:
    """What one algorithm sees; see transforms.algorithms.base.Scope."""

    own: _Records
    target: VariableStandard

    @property
    def index(self) -> pd.Index:
        return self.own.records.index

    @property
    def visits(self) -> Visits:
        return self.own.run.study.file.visits

    def collected(self, name: str) -> pd.Series:
        return self.variable(name)

    def variable(self, name: str) -> pd.Series:
        return self.own.reference(name) if "." in name else self.own.records.columns[name]

    def by_subject(self, reference: str) -> pd.Series:
        return self.variable(reference)

    def subject_records(self, dataset: str = "DM") -> np.ndarray:
        if dataset not in ONE_PER_SUBJECT:
            return self.own.records.of_source(dataset)
        return self.own.subject_rows(dataset)

    def dataset(self, name: str) -> pd.DataFrame:
        return self.own.run.frames[name]

    def table(self, name: str) -> Table:
        return self.own.run.study.tables[name]

    def codelist(self, name: str) -> StudyCodelist:
        return self.own.run.study.codelists[name]


def _fit(outcome: Outcome, defined: Defined) -> Outcome:
    """An outcome in the type of its variable; what does not fit it is missing and a problem."""
    values = outcome.values
    is_text, is_moment = isinstance(values.dtype, pd.CategoricalDtype), values.dtype.kind == "M"
    if defined.type == "text":
        if not is_text:
            values = (
                _as_iso(values)
                if is_moment
                else text.map_rows([values], lambda one: None if one is None else numbers.number_text(float(one)))
            )
        return Outcome(values, outcome.problems, outcome.links)
    if defined.type == "date":
        fitted = dates.to_dates(values) if is_text else _midnight(values)
        lost = values.notna().to_numpy() & fitted.isna().to_numpy()
        problem = Problem(
            "partial_date",
            Severity.ANSWER,
            lost,
            f"{defined.name} is a date, and what it is taken from has no day; it is missing",
            "Ask the site for the day, or write a rule that imputes it",
        )
    elif defined.type == "datetime":
        fitted = dates.to_datetimes(values) if is_text else values
        return Outcome(fitted, outcome.problems, outcome.links)
    else:
        fitted = text.map_number(values, numbers.parse_number) if is_text else values
        if defined.type == "integer":
            fitted = fitted.where(fitted == np.floor(fitted))
        problem = Problem(
            "not_a_number",
            Severity.CRITICAL,
            values.notna().to_numpy() & fitted.isna().to_numpy(),
            f"{defined.name} is {defined.type}, and a value that was derived is not",
            "Correct the rule, or the type of the variable",
        )
    problems = (*outcome.problems, problem) if problem.mask.any() else outcome.problems
    return Outcome(fitted, problems, outcome.links)


def _midnight(values: pd.Series) -> pd.Series:
    days = values.to_numpy().astype("datetime64[D]").astype("datetime64[s]")
    return pd.Series(days, index=values.index)


def _as_iso(values: pd.Series) -> pd.Series:
    codes, distinct = pd.factorize(values)
    return text.column(codes, [str(np.datetime64(one, "s")) for one in distinct], values.index)
