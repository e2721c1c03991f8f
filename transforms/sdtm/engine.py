"""The SDTM engine: executes a study's specification on its staged sources.

Records are made first, group by group, by the collected algorithms; the derived algorithms then run
variable by variable in the order of their declared inputs, across datasets; at last every dataset is
sorted, numbered and checked against the standard. The engine knows no study.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from transforms.algorithms.base import Outcome, Problem, StudyCodelist, Visits, limited
from transforms.core import conditions, dates, text
from transforms.core.tables import Table
from transforms.findings import Finding, RawPlace, Severity, joined_places
from transforms.sdtm import finish
from transforms.sdtm.elements import element_records
from transforms.sdtm.records import Dataset, Joined, MappingLine, Records, StagedSource
from transforms.sdtm.relations import related_records
from transforms.standards import VariableStandard
from transforms.study import Study, check, graph
from transforms.study.models import DatasetFile, Fallback, Group, Join, Variable

DAYS = 4_000_000
"""More than the days of the calendar, so that a group and a day make one number."""


@dataclass(frozen=True)
class Mapped:
    """What mapping gives: finished datasets by name, findings, and what became of each source's rows."""

    datasets: Mapping[str, Dataset]
    findings: tuple[Finding, ...]
    account: tuple[MappingLine, ...]


def map_study(
    study: Study, staged: Mapping[str, StagedSource], only: Iterable[str] | None = None, *, cut_off: str
) -> Mapped:
    """Map all datasets of a study, or `only` some (what they need is computed and not returned).

    `cut_off` is an ISO 8601 date.
    """
    return _Run(study, staged, cut_off).run(None if only is None else tuple(only))


@dataclass
class _Run:
    study: Study
    staged: Mapping[str, StagedSource]
    cut_off: str
    records: dict[str, Records] = field(default_factory=dict)
    subjects: frozenset[str] = frozenset()
    step: tuple[int, ...] = ()
    told: list[tuple[tuple[int, ...], Finding]] = field(default_factory=list)
    account: list[MappingLine] = field(default_factory=list)

    def run(self, only: tuple[str, ...] | None) -> Mapped:
        self.make(only)
        findings = _joined(self.told)
        finished: dict[str, Dataset] = {}
        for name, records in sorted(self.records.items()):
            if only is None or name in only:
                finished.update(finish.finish(self.study, records, findings))
                self.count(self.study.datasets[name], records)
        return Mapped(finished, tuple(findings), tuple(self.account))

    def make(self, only: tuple[str, ...] | None) -> None:
        """Make and fill the records, in the order of what they read."""
        needs = graph.dependencies(self.study)
        wanted = None if only is None else [node for node in needs if node[0] in only]
        order = graph.order(needs, wanted)
        definitions = {name: graph.definitions(dataset) for name, dataset in self.study.datasets.items()}
        for step, (dataset, variable) in enumerate(order):
            self.step = (step,)
            if variable == graph.RECORDS:
                self.make_records(self.study.datasets[dataset])
            elif variable in definitions[dataset]:
                for _, definition in definitions[dataset][variable]:
                    if definition.algorithm.derived:
                        self.derive(dataset, variable, definition)

    def make_records(self, dataset: DatasetFile) -> None:
        if dataset.elements is not None:
            self.records[dataset.name] = element_records(
                self.study, dataset, {name: records.frame for name, records in self.records.items()}
            )
            return
        if dataset.relations:
            frames = {name: records.frame for name, records in self.records.items()}
            self.records[dataset.name] = related_records(self.study, dataset, frames)
            return
        node, parts = self.step, []
        for number, group in enumerate(dataset.records):
            self.step = (*node, number)
            parts.append(self.group_records(dataset, group))
        self.step = (*node, len(parts))
        records = Records.stacked(dataset.name, parts, self.numeric(dataset))
        self.records[dataset.name] = records
        if dataset.name == "DM":
            self.subjects = frozenset(text.used_texts(records.frame["USUBJID"]))
        elif "DM" in self.records and "USUBJID" in records.frame:
            owners = records.frame["USUBJID"]
            for stranger in sorted({*text.used_texts(owners)} - self.subjects):
                self.settle(
                    records,
                    "USUBJID",
                    Problem(
                        "subject_not_in_dm",
                        Severity.CRITICAL,
                        text.map_flag(owners, stranger.__eq__),
                        "records belong to a subject that is not in DM",
                        "Settle what holds the demographics, ask for them, or have the subject identifier corrected",
                        cause=stranger,
                        hold=True,
                    ),
                )
            records.drop_held()

    def numeric(self, dataset: DatasetFile) -> dict[str, bool]:
        """The variables written in records, and whether each is numeric."""
        result = {}
        for name, places in graph.definitions(dataset).items():
            if not places[0][1].algorithm.derived:
                definition = check.define(self.study, dataset, name)
                result[name] = definition is not None and definition.is_number
        return result

    def group_records(self, dataset: DatasetFile, group: Group) -> Records:
        if group.table is not None:
            table = self.study.tables[group.table]
            frame = table.frame
            origin = np.zeros(len(frame), dtype=np.int64)
            records = Records.begin(
                dataset.name, table.file, frame, (table.file,), ("",), origin, np.array(table.lines), True
            )
        else:
            source = self.staged[group.source or ""]
            records = Records.begin(
                dataset.name,
                group.source or "",
                source.frame,
                source.files,
                source.hashes,
                source.file_codes,
                source.lines,
                False,
            )
        taken = np.ones(len(records.rows), dtype=bool)
        if group.only is not None:
            taken = conditions.rows(group.only.where, lambda name: records.rows[name], records.rows.index)
            records.without[group.only.otherwise.rule] = np.flatnonzero(~taken)
        if group.fallback is not None:
            taken = self.fall_back(records, group.fallback, taken)
        positions = np.flatnonzero(taken)
        for name, join in group.join.items():
            self.join(records, name, join, positions)
        if group.for_each is not None:
            records.spread(positions, self.study.tables[group.for_each.table], group.for_each)
        else:
            records.take(positions)
        self.identify(dataset, group, records)
        for name, variable in {
            **dataset.variables,
            **dataset.supplemental,
            **dataset.working,
            **group.written(),
        }.items():
            if not variable.algorithm.derived:
                self.fill(records, dataset, name, variable)
        records.drop_held()
        return records

    def keys(
        self, records: Records, name: str, by: Mapping[str, str], same_day: Mapping[str, str]
    ) -> tuple[list[pd.Series], list[pd.Series]]:
        """What the rows of another source and those of this one must have in common, the subject among it."""
        other = self.staged[name]
        theirs, own = [other.frame[one] for one in by], [records.rows[one] for one in by.values()]
        for frame, names, found in ((other.frame, same_day, theirs), (records.rows, same_day.values(), own)):
            found.extend(text.map_text(frame[one], dates.date_part) for one in names)
        if self.study.sources[name].subject is not None:
            theirs, own = [*theirs, other.subjects], [*own, self.staged[records.origins[0].name].subjects]
        return theirs, own

    def fall_back(self, records: Records, fallback: Fallback, taken: np.ndarray) -> np.ndarray:
        """Those of the rows taken for which another source has no row; the others are counted under their rule."""
        other = self.staged[fallback.of]
        theirs, own = self.keys(records, fallback.of, fallback.by, {})
        groups = text.combination_codes([text.concat(pair) for pair in zip(theirs, own, strict=True)])
        there, here = groups[: len(other.frame)], groups[len(other.frame) :]
        matched = np.isin(here, there)
        for column, mine in fallback.dates.items():
            known, day = (
                np.nan_to_num(dates.day_numbers(values).to_numpy()).astype(np.int64)
                for values in (other.frame[column], records.rows[mine])
            )
            dated = there[known > 0] * DAYS + known[known > 0]
            near = [np.isin(here * DAYS + day + apart, dated) for apart in range(-fallback.days, fallback.days + 1)]
            matched &= np.where(day > 0, np.logical_or.reduce(near), True)
        records.without[fallback.otherwise.rule] = np.flatnonzero(taken & matched)
        left = taken & ~matched
        if fallback.wait is not None and fallback.date is not None:
            age = (dates.day_number(self.cut_off) or np.nan) - dates.day_numbers(records.rows[fallback.date]).to_numpy()
            young = left & (age <= fallback.wait.days)
            records.without[fallback.wait.rule] = np.flatnonzero(young)
            left &= ~young
        return left

    def join(self, records: Records, name: str, join: Join, positions: np.ndarray) -> None:
        """Find the row of another source that fits each row of this one; what is missing or doubtful is a finding."""
        other = self.staged[name]
        theirs, own = self.keys(records, name, join.by, join.same_day)
        groups = text.combination_codes([text.concat(pair) for pair in zip(theirs, own, strict=True)])
        first = np.full(int(groups.max(initial=-1)) + 1, -1, dtype=np.int64)
        whole = np.logical_and.reduce([values.notna().to_numpy() for values in theirs])
        rows = np.flatnonzero(whole)
        first[groups[rows[::-1]]] = rows[::-1]
        size = len(other.frame)
        asked = np.logical_and.reduce([values.notna().to_numpy() for values in own])
        found = np.where(asked, first[groups[size:]], -1)
        records.joined[name] = Joined(other.frame, other.files, other.hashes, other.file_codes, other.lines, found)
        counted = np.bincount(groups[rows], minlength=len(first))
        taken = np.zeros(len(found), dtype=bool)
        taken[positions] = True
        self.tell_of_rows(
            records,
            taken & (found >= 0) & (counted[groups[size:]] > 1),
            Finding(
                "several_rows_fit",
                Severity.ANSWER,
                records.dataset,
                ", ".join(join.by.values()),
                f"several rows of {name} fit, and the first is read",
                "Ask which row is right",
            ),
        )
        self.tell_of_rows(
            records,
            taken & asked & (found < 0) & (not join.optional),
            Finding(
                "no_row_fits",
                Severity(join.severity),
                records.dataset,
                ", ".join(join.by.values()),
                f"no row of {name} fits, and what is read from it is missing",
                f"Ask for the row of {name}, or have the key corrected",
            ),
        )

    def tell_of_rows(self, records: Records, mask: np.ndarray, finding: Finding) -> None:
        """A finding on the rows under a mask, if there are any."""
        if mask.any():
            places = records.places_of_rows([np.flatnonzero(mask)])
            self.told.append((self.step, replace(finding, places=places)))

    def identify(self, dataset: DatasetFile, group: Group, records: Records) -> None:
        file = self.study.file
        for name in graph.automatic(self.study, dataset):
            if name == "STUDYID":
                records.frame[name] = text.constant(file.studyid, records.frame.index)
            elif name == "DOMAIN":
                records.frame[name] = text.constant(dataset.name, records.frame.index)
            elif name == graph.CUT_OFF:
                records.frame[name] = text.constant(self.cut_off, records.frame.index)
            elif name == "USUBJID" and group.source is not None:
                subjects = records.taken(self.staged[group.source].subjects)
                records.frame[name] = text.map_text(
                    subjects, lambda subject: file.usubjid.format(studyid=file.studyid, subject=subject)
                )

    def fill(self, records: Records, dataset: DatasetFile, name: str, variable: Variable) -> None:
        algorithm = variable.algorithm
        definition = check.define(self.study, dataset, name)
        if definition is None:
            raise ValueError(f"{dataset.name}.{name} is unknown although the study was checked")
        scope = _Scope(self, records, definition)
        outcome = algorithm.apply(scope)
        if algorithm.when:
            outcome = limited(outcome, conditions.rows(algorithm.when, scope.collected, scope.index))
        self.put(records, name, outcome)

    def derive(self, dataset_name: str, name: str, variable: Variable) -> None:
        dataset, records = self.study.datasets[dataset_name], self.records[dataset_name]
        definition = check.define(self.study, dataset, name)
        if definition is None:
            raise ValueError(f"{dataset_name}.{name} is unknown although the study was checked")
        scope = _Scope(self, records, definition)
        outcome = variable.algorithm.apply(scope)
        if variable.algorithm.when:
            outcome = limited(outcome, conditions.rows(variable.algorithm.when, scope.variable, scope.index))
        self.put(records, name, outcome)
        records.drop_held()

    def put(self, records: Records, name: str, outcome: Outcome) -> None:
        records.frame[name] = outcome.values
        for link in outcome.links:
            if (link.records >= 0).any():
                records.links.setdefault(name, []).append(link)
        for problem in outcome.problems:
            self.settle(records, name, problem)

    def settle(self, records: Records, variable: str, problem: Problem) -> None:
        if not problem.mask.any():
            return
        places: tuple[RawPlace, ...] = () if records.from_table_only else records.places(problem.mask)
        finding = Finding(
            problem.rule,
            problem.severity,
            records.dataset,
            variable,
            problem.message,
            problem.remedy,
            places,
            problem.cause,
            problem.hold,
        )
        self.told.append((self.step, finding))
        if problem.hold:
            records.hold(problem.mask, problem.rule)

    def count(self, dataset: DatasetFile, records: Records) -> None:
        """What became of the rows of each source this dataset reads."""
        sources = dict.fromkeys(group.source for group in dataset.records if group.source)
        for group_source in sources:
            size = len(self.staged[group_source].frame)
            self.account.extend(records.account_of(group_source, size))
        for other in dict.fromkeys(name for group in dataset.records for name in group.join if name not in sources):
            self.account.extend(records.account_of_joined(other, len(self.staged[other].frame)))


def _joined(told: Sequence[tuple[tuple[int, ...], Finding]]) -> list[Finding]:
    """Findings in the order of the steps that told them; what several steps say of the same rows is one.

    Such a finding names all the variables: a term that a table lacks is said once, whatever is looked up by it.
    """
    found: dict[tuple[tuple[int, ...], Finding], list[RawPlace]] = {}
    for step, one in told:
        found.setdefault((step, replace(one, places=())), []).extend(one.places)
    ordered = sorted(found, key=lambda key: (key[0], key[1].message, key[1].remedy))
    variables: dict[Finding, dict[str, None]] = {}
    for key in ordered:
        same = replace(key[1], places=joined_places(found[key]), variable="")
        variables.setdefault(same, {})[key[1].variable] = None
    return [replace(one, variable=", ".join(names)) for one, names in variables.items()]


@dataclass
class _Scope:
    """What one algorithm sees; see transforms.algorithms.base.Scope."""

    run: _Run
    records: Records
    target: VariableStandard

    @property
    def index(self) -> pd.Index:
        return self.records.frame.index

    @property
    def visits(self) -> Visits:
        return self.run.study.file.visits

    def collected(self, name: str) -> pd.Series:
        return self.records.collected(name)

    def variable(self, name: str) -> pd.Series:
        return self.records.frame[name]

    def subject_records(self, dataset: str = "DM") -> np.ndarray:
        if dataset != "DM":
            raise ValueError(f"{dataset}: only DM has one record per subject")
        rows = self._subject_rows()
        ids = self.run.records["DM"].frame.index.to_numpy()
        return np.where(rows >= 0, ids[rows] if len(ids) else -1, -1)

    def _subject_rows(self) -> np.ndarray:
        """The position in DM of each record's subject, -1 for none; kept until DM or the records change."""
        subjects = self.run.records["DM"].frame["USUBJID"]
        kept = self.records.subject_rows
        if kept is None or kept[0] != len(subjects):
            position = {subject: row for row, subject in enumerate(subjects.astype(object))}
            own = self.records.frame["USUBJID"]
            known = np.array([*(position.get(one, -1) for one in text.texts_of(own)), -1], dtype=np.int64)
            kept = (len(subjects), known[own.array.codes])
            self.records.subject_rows = kept
        return kept[1]

    def by_subject(self, reference: str) -> pd.Series:
        dataset, name = reference.split(".")
        if dataset != "DM":
            raise ValueError(f"{reference}: only DM has one record per subject")
        if self.records.dataset == "DM":
            return self.records.frame[name]
        rows = self._subject_rows()
        values = self.run.records["DM"].frame[name]
        if not len(values):
            return text.missing(self.index)
        if isinstance(values.dtype, pd.CategoricalDtype):
            codes = np.where(rows >= 0, values.array.codes[rows], -1)
            return text.column(codes, text.texts_of(values), self.index)
        return pd.Series(np.where(rows >= 0, values.to_numpy()[rows], np.nan), index=self.index)

    def dataset(self, name: str) -> pd.DataFrame:
        return self.run.records[name].frame

    def table(self, name: str) -> Table:
        return self.run.study.tables[name]

    def codelist(self, name: str) -> StudyCodelist:
        return self.run.study.codelists[name]
