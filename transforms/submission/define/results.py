"""Analysis results metadata of the key outputs: which data, chosen how, and by which method, from results/*.yml.

The study's table `analysis_results` names the key outputs, or single analyses of them, with reason and purpose in the
words of ARM 1.0.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from transforms.core.conditions import Test
from transforms.errors import ConfigurationError, Fault
from transforms.study.results import Analysis, Output, Results
from transforms.submission.define.model import (
    AnalysisDataset,
    AnalysisResult,
    Check,
    Codelist,
    Comparator,
    Display,
    Group,
    Item,
    Where,
)
from transforms.submission.define.prose import spoken

if TYPE_CHECKING:
    from transforms.study import Study

TABLE = "analysis_results"
COLUMNS = ("OUTPUT", "ANALYSIS", "REASON", "PURPOSE")
SUBJECTS = "ADSL"
METHODS: Mapping[str, str] = {
    "count": "Subjects with a record, in number and percent, and records; intervals by Clopper and Pearson",
    "summary": "Summary statistics; the interval of the mean is Student's",
    "time_to_event": "Kaplan-Meier estimates; intervals of log(-log S) with Greenwood's variance",
    "survival_at": "Kaplan-Meier estimates at given times, and the rate among subjects whose status is known there",
    "survival_curve": "The Kaplan-Meier curve with its interval",
    "covariance": "Analysis of covariance by ordinary least squares: means, their differences, dose response",
    "signed_rank": "Wilcoxon's signed-rank test, descriptive",
    "repeated_measures": "Adjusted means by visit of a model for repeated measures; inference of Kenward and Roger",
    "extreme": "The extreme value of each subject",
    "listing": "The records themselves",
}
COMPARATORS: Mapping[str, Comparator] = {"above": "GT", "at_least": "GE", "below": "LT", "at_most": "LE"}


@dataclass
class Displays:
    """The key outputs as displays, the where clauses they need, and the datasets they may name."""

    study: Study
    groups: Mapping[str, Group]
    codelists: Mapping[str, Codelist]
    wheres: list[Where] = field(default_factory=list)

    @property
    def results(self) -> Results:
        """The results of the study."""
        return self.study.results or Results()

    def found(self) -> tuple[Display, ...]:
        """The displays, in the order of the outputs.

        Raises ConfigurationError for an output or analysis that does not exist.
        """
        table = self.study.tables.get(TABLE)
        if table is None:
            return ()
        outputs = self.results.outputs
        known = {(name, one.id) for name, output in outputs.items() for one in output.analyses}
        faults, named = [], dict[tuple[str, str], tuple[str, str]]()
        columns = (table.values(one) for one in COLUMNS)
        for line, (name, analysis, *said) in zip(table.lines, zip(*columns, strict=True), strict=True):
            if name not in outputs or (analysis and (name, analysis) not in known):
                place = f"line {line}"
                faults.append(
                    Fault(table.file, place, f"no {name} {analysis}".rstrip(), "Name one that is in results/")
                )
            named[name, analysis] = (said[0], said[1])
        if faults:
            raise ConfigurationError(faults)
        displays = (self._display(name, output, named) for name, output in outputs.items())
        return tuple(one for one in displays if one.results)

    def _display(self, name: str, output: Output, named: Mapping[tuple[str, str], tuple[str, str]]) -> Display:
        """An output with those of its analyses that are named, each by itself or all at once."""
        results: list[AnalysisResult] = []
        for analysis in output.analyses:
            said = named.get((name, analysis.id)) or named.get((name, ""))
            datasets = tuple(self._datasets(name, output, analysis)) if said is not None else ()
            if said is None or not datasets:
                continue
            subset = self.results.subset(analysis.data)
            parameter = "PARAMCD" in (*subset.where, *analysis.where) and self._item(subset.dataset, "PARAMCD")
            results.append(
                AnalysisResult(
                    oid=f"AR.{name}.{analysis.id}",
                    description=analysis.label or output.title,
                    reason=said[0],
                    purpose=said[1],
                    datasets=datasets,
                    parameter=parameter.oid if parameter else None,
                    documentation=self._documentation(name, output, analysis, () if results else output.footnotes),
                )
            )
        return Display(f"RD.{name}", name, output.title, tuple(results))

    def _datasets(self, name: str, output: Output, analysis: Analysis) -> Iterator[AnalysisDataset]:
        """The analysed records with the variables analysed, and the subjects of the population; ADSL once."""
        results = self.results
        subset = results.subset(analysis.data)
        if subset.dataset not in self.groups:
            return
        population = results.analysis_sets[analysis.population or output.population]
        own = {**subset.where, **analysis.where}
        if subset.dataset == SUBJECTS:
            own = {**population.where, **own}
        variables = [*analysis.variables(), *(one.variable for one in analysis.by)]
        yield self._dataset(f"{name}.{analysis.id}", subset.dataset, own, variables)
        if subset.dataset != SUBJECTS and SUBJECTS in self.groups:
            read = list(analysis.subject_variables())
            yield self._dataset(f"{name}.{analysis.id}", SUBJECTS, population.where, read)

    def _dataset(self, place: str, dataset: str, where: Mapping[str, Test], variables: list[str]) -> AnalysisDataset:
        checks = tuple(check for one, test in where.items() if (check := self._check(dataset, one, test)) is not None)
        oid = None
        if checks:
            oid = f"WC.{place}.{dataset}"
            self.wheres.append(Where(oid, checks))
        known = [one for one in dict.fromkeys(variables) if self._item(dataset, one) is not None]
        return AnalysisDataset(dataset, oid, tuple(known))

    def _check(self, dataset: str, variable: str, test: Test) -> Check | None:
        """A condition as a where clause can say it; one on presence it cannot."""
        item = self._item(dataset, variable)
        if item is None or test.present is not None:
            return None
        for word, comparator in COMPARATORS.items():
            bound = getattr(test, word)
            if bound is not None:
                return Check(item.oid, (f"{bound:g}",), comparator)
        values = test.one_of or test.none_of or ()
        codelist = self.codelists.get(item.codelist or "")
        if codelist is not None and codelist.terms:
            terms = {term.value for term in codelist.terms}
            values = tuple(value for value in values if value in terms) or values
        if test.none_of is not None:
            return Check(item.oid, values, "NE" if len(values) == 1 else "NOTIN")
        return Check(item.oid, values)

    def _item(self, dataset: str, variable: str) -> Item | None:
        group = self.groups.get(dataset)
        return next((one for one in group.items if one.name == variable), None) if group is not None else None

    def _documentation(self, name: str, output: Output, analysis: Analysis, footnotes: Iterable[str]) -> str:
        """Method, subjects and records; the footnotes of the output stand with its first result."""
        results = self.results
        method = str(getattr(analysis, "method", ""))
        subset = results.subset(analysis.data)
        population = results.analysis_sets[analysis.population or output.population]
        said = [
            f"{METHODS.get(method, method)}.",
            f"Subjects: {population.label}; in columns: {results.groupings[output.columns].label}.",
        ]
        if subset.label:
            said.append(f"Records: {subset.label}.")
        present = {one: test for one, test in {**subset.where, **analysis.where}.items() if test.present is not None}
        if present:
            said.append(f"Besides, {spoken(present)}.")
        said += footnotes
        said.append(f"Specification: {results.places['outputs', name]}, {name}, {analysis.id}.")
        return " ".join(said)
