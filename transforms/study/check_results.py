"""What must hold between the outputs of a study and its analysis datasets before it may run."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from transforms.core.conditions import Test
from transforms.errors import Fault
from transforms.study import analyses
from transforms.study.check_analyses import suggest
from transforms.study.results import (
    BESIDE,
    RESULTS,
    STATISTICS,
    Analysis,
    By,
    Grouping,
    Listing,
    Output,
    PeakFigure,
    ProfileFigure,
    RepeatedMeasures,
    ShiftFigure,
    SurvivalFigure,
    SwimmerFigure,
    TimelineFigure,
)

if TYPE_CHECKING:
    from transforms.study.load import Study

SUBJECTS = analyses.SUBJECT_LEVEL
FIELD = re.compile(r"\{([^{}]*)\}")
NUMBERS = {"integer", "float"}
DATES = {"date", "datetime"}


def faults_of(study: Study, unreadable: frozenset[str]) -> Iterator[Fault]:
    """Every fault of the outputs; what only follows from an unreadable dataset or results file is not said."""
    results = study.results
    if results is None or RESULTS in unreadable:
        return
    if SUBJECTS not in study.analyses:
        if SUBJECTS not in unreadable:
            yield Fault("results", "", "there is no ADSL, whose subjects are analysed", "Write adam/adsl.yml")
        return
    checker = _Checker(study, unreadable)
    yield from checker.shared()
    for name, output in results.outputs.items():
        yield from checker.output(name, output)


class _Checker:
    def __init__(self, study: Study, unreadable: frozenset[str]) -> None:
        self.study = study
        self.unreadable = unreadable
        assert study.results is not None  # noqa: S101 (asked before)
        self.results = study.results

    def shared(self) -> Iterator[Fault]:
        results = self.results
        for name, one in results.analysis_sets.items():
            yield from self.conditions(results.places["analysis_sets", name], name, SUBJECTS, one.where)
        for name, subset in results.data_subsets.items():
            file = results.places["data_subsets", name]
            if analyses.columns_of(self.study, name) is not None:
                yield Fault(file, name, "is also the name of a dataset", "Rename it")
            if self.dataset(subset.dataset):
                yield from self.conditions(file, name, subset.dataset, subset.where)
            elif subset.dataset not in self.unreadable:
                yield self.no_dataset(file, name, subset.dataset)
        for name, grouping in results.groupings.items():
            for group in grouping.groups:
                file = results.places["groupings", name]
                yield from self.conditions(file, f"{name}.{group.id}", SUBJECTS, group.where)

    def no_dataset(self, file: str, place: str, name: str) -> Fault:
        return Fault(file, place, f"no dataset {name!r}", suggest(name, {*self.study.analyses, *self.study.datasets}))

    def dataset(self, name: str) -> bool:
        return analyses.columns_of(self.study, name) is not None and name not in self.unreadable

    def type_of(self, dataset: str, variable: str) -> str | None:
        """The type of a variable of a dataset; None if it has none of that name. SDTM tells numbers from texts only."""
        if variable in analyses.AUTOMATIC:
            return "text"
        if variable not in (analyses.columns_of(self.study, dataset) or ()):
            return None
        if dataset in self.study.analyses:
            defined = analyses.define(self.study, self.study.analyses[dataset], variable)
            return defined.type if defined is not None else "text"
        standard = self.study.standards.variable(dataset, variable) if dataset in self.study.datasets else None
        return "float" if standard is not None and standard.is_number else "text"

    def variable(self, file: str, place: str, dataset: str, name: str, kinds: Iterable[str] = ()) -> Iterator[Fault]:
        found = self.type_of(dataset, name)
        wanted = set(kinds)
        if found is None:
            columns = analyses.columns_of(self.study, dataset) or frozenset()
            yield Fault(file, place, f"{dataset} has no variable {name!r}", suggest(name, columns))
        elif wanted and found not in wanted:
            kind = "a number" if wanted == NUMBERS else "a date"
            yield Fault(file, place, f"{dataset}.{name} is {found}, not {kind}", f"Name {kind}")

    def conditions(self, file: str, place: str, dataset: str, where: Mapping[str, Test]) -> Iterator[Fault]:
        for name, test in where.items():
            yield from self.variable(file, place, dataset, name)
            kind = self.type_of(dataset, name)
            if kind in DATES and test.present is None:
                yield Fault(file, place, f"{dataset}.{name} is a date and compared with a value", "Ask for present")
            if kind in NUMBERS and not all(_number(one) for one in (*(test.one_of or ()), *(test.none_of or ()))):
                yield Fault(file, place, f"{dataset}.{name} is a number and compared with a text", "Write numbers")

    def output(self, name: str, output: Output) -> Iterator[Fault]:
        results, file = self.results, self.results.places["outputs", name]
        if output.population not in results.analysis_sets:
            known = suggest(output.population, results.analysis_sets)
            yield Fault(file, f"{name}.population", f"no analysis set {output.population!r}", known)
        if output.columns not in results.groupings:
            known = suggest(output.columns, results.groupings)
            yield Fault(file, f"{name}.columns", f"no grouping {output.columns!r}", known)
        for analysis in output.analyses:
            yield from self.analysis(file, f"{name}.{analysis.id}", analysis)
            variables = [by.variable for by in analysis.by]
            if output.across not in {None, STATISTICS, *variables}:
                problem = f"{output.across} is no by-variable of {analysis.id}"
                yield Fault(file, f"{name}.across", problem, "Name one that all analyses have")
            if output.arrange != BESIDE:
                for line in output.cells:
                    yield from self.shown(file, f"{name}.cells", line.show, analysis)
        if output.arrange == BESIDE:
            yield from self.beside(file, f"{name}.cells", output)
        if output.columns in results.groupings:
            yield from self.compared(file, name, output, results.groupings[output.columns])
        if output.figure is not None:
            yield from self.figure(file, f"{name}.figure", output)

    def beside(self, file: str, place: str, output: Output) -> Iterator[Fault]:
        """Cells of analyses beside each other name an analysis and a statistic that it gives."""
        known = {one.id: one for one in output.analyses}
        for line in output.cells:
            for named in FIELD.findall(line.show):
                analysis, _, statistic = named.partition(".")
                if analysis not in known:
                    remedy = f"Write it as {{analysis.statistic}}; analyses: {', '.join(known)}"
                    yield Fault(file, place, f"{named!r} names no analysis of this output", remedy)
                else:
                    yield from self.shown(file, place, f"{{{statistic}}}", known[analysis])

    def compared(self, file: str, name: str, output: Output, grouping: Grouping) -> Iterator[Fault]:
        """What needs groups that can be compared has them, and comparisons are columns of a table of groups."""
        comparisons, groups = grouping.comparisons, {one.id for one in grouping.groups}
        if comparisons and (output.kind != "table" or output.across):
            problem = f"{output.columns} has comparisons, which stand in tables of groups in columns only"
            yield Fault(file, f"{name}.columns", problem, "Name a grouping without them")
        for analysis in output.analyses:
            place = f"{name}.{analysis.id}"
            if analysis.tested and not comparisons:
                yield Fault(file, place, f"{output.columns} has no comparisons to test", "Add one to the grouping")
            if analysis.tested == "fisher" and any(len(one.groups) != 2 for one in comparisons):
                yield Fault(file, place, "fisher compares two groups", "Name a grouping with comparisons of two")
            if analysis.whole and (grouping.divided_by is None or len(groups) < 2):
                problem = f"{output.columns} has no groups told apart by the values of one variable"
                yield Fault(file, place, problem, "Name a grouping that has them")
            for by in analysis.by:
                if by.of_group is not None and by.of_group not in groups:
                    yield Fault(file, place, f"no group {by.of_group!r}", suggest(by.of_group, groups))

    def analysis(self, file: str, place: str, analysis: Analysis) -> Iterator[Fault]:
        results = self.results
        if analysis.population is not None and analysis.population not in results.analysis_sets:
            known = suggest(analysis.population, results.analysis_sets)
            yield Fault(file, place, f"no analysis set {analysis.population!r}", known)
        for line in analysis.lines:
            yield from self.shown(file, place, line.show, analysis)
        dataset = results.subset(analysis.data).dataset
        if not self.dataset(dataset):
            if dataset not in self.unreadable and analysis.data not in results.data_subsets:
                known = suggest(analysis.data, {*results.data_subsets, *self.study.analyses})
                yield Fault(file, place, f"no data subset or dataset {analysis.data!r}", known)
            return
        yield from self.conditions(file, place, dataset, analysis.where)
        visit = (analysis.visit,) if isinstance(analysis, RepeatedMeasures) else ()
        for by in (*analysis.by, *visit):
            yield from self.by(file, place, dataset, by)
        numbers = not isinstance(analysis, Listing)
        for variable in analysis.variables():
            factors = (getattr(analysis, "factor", None), *getattr(analysis, "factors", ()))
            kinds = NUMBERS if numbers and variable not in factors else ()
            yield from self.variable(file, place, dataset, variable, kinds)
        person_time = getattr(analysis, "person_time", None)
        for variable in analysis.subject_variables():
            timed = person_time is not None and variable != getattr(analysis, "absent_level", None)
            yield from self.variable(file, place, SUBJECTS, variable, DATES if timed else ())
        if analysis.decimals.by:
            yield from self.variable(file, f"{place}.decimals", dataset, analysis.decimals.by)
        for absent in analysis.absences():
            yield from self.conditions(file, f"{place}.absent", SUBJECTS, absent.where)
            if absent.less:
                yield from self.variable(file, f"{place}.absent", SUBJECTS, absent.less, NUMBERS)
            if absent.data and absent.data not in results.data_subsets and not self.dataset(absent.data):
                known = suggest(absent.data, {*results.data_subsets, *self.study.analyses})
                yield Fault(file, f"{place}.absent", f"no data subset or dataset {absent.data!r}", known)
            values = analysis.by[-1].values if analysis.by else None
            if values is not None and absent.label not in values:
                yield Fault(
                    file, f"{place}.absent", f"{absent.label!r} is not among the values of the last by-variable",
                    f"Known: {', '.join(values)}",
                )  # fmt: skip

    def by(self, file: str, place: str, dataset: str, by: By) -> Iterator[Fault]:
        yield from self.variable(file, place, dataset, by.variable)
        if self.type_of(dataset, by.variable) in DATES:
            yield Fault(file, place, f"{dataset}.{by.variable} is a date", "Name a variable with few values")
        if by.order:
            yield from self.variable(file, place, dataset, by.order, NUMBERS)

    def shown(self, file: str, place: str, template: str, analysis: Analysis) -> Iterator[Fault]:
        for name in FIELD.findall(template):
            if name not in analysis.statistics:
                remedy = f"Known: {', '.join(analysis.statistics) or 'none'}"
                yield Fault(file, place, f"{getattr(analysis, 'method', '')} gives no statistic {name!r}", remedy)

    def figure(self, file: str, place: str, output: Output) -> Iterator[Fault]:
        figure = output.figure
        known = {one.id: one for one in output.analyses}
        wanted = {
            SurvivalFigure: "survival_curve", PeakFigure: "extreme", SwimmerFigure: "listing", ShiftFigure: "listing",
            ProfileFigure: "listing", TimelineFigure: "listing",
        }[type(figure)]  # type: ignore[index]  # fmt: skip
        named = [(getattr(figure, role), "summary" if role == "mean" else wanted) for role in figure.analyses]  # type: ignore[union-attr]
        if isinstance(figure, SwimmerFigure):
            named += [(mark.analysis, "listing") for mark in figure.marks]
        if isinstance(figure, TimelineFigure):
            yield from self.timeline(file, place, output)
        for name, method in named:
            if name not in known:
                yield Fault(file, place, f"no analysis {name!r} in this output", suggest(name, known))
            elif getattr(known[name], "method", "") != method:
                yield Fault(file, place, f"{name} does not have the method {method}", f"Draw an analysis by {method}")
        yield from self.drawn(file, place, output)

    def timeline(self, file: str, place: str, output: Output) -> Iterator[Fault]:
        """A timeline is drawn of the gate, whose cohorts are the groups of the output."""
        if self.study.gate is None:
            yield Fault(
                file, place, "the study has no gate, whose watch and decisions a timeline draws", "Write gate.yml"
            )
        elif output.columns in self.results.groupings:
            groups = {one.id for one in self.results.groupings[output.columns].groups}
            arms = [one.arm for one in self.study.gate.cohorts]
            if groups != {*arms}:
                problem = f"the groups of {output.columns} are not the cohorts of gate.yml"
                yield Fault(file, place, problem, f"Name a grouping with the groups {', '.join(arms)}")

    def drawn(self, file: str, place: str, output: Output) -> Iterator[Fault]:
        """Variables that a figure draws are columns of the listing that it draws them from."""
        figure = output.figure
        pairs: list[tuple[str, str]] = []
        if isinstance(figure, ProfileFigure | ShiftFigure):
            pairs = [(figure.records, figure.x_variable), (figure.records, figure.y_variable)]
            pairs += [(figure.records, figure.panel)] if isinstance(figure, ShiftFigure) else []
        elif isinstance(figure, SwimmerFigure):
            pairs = [(figure.lanes, figure.end), *((mark.analysis, mark.day) for mark in figure.marks)]
            pairs += [(figure.lanes, figure.ongoing.variable)] if figure.ongoing else []
        elif isinstance(figure, TimelineFigure):
            pairs = [(figure.doses, figure.day)]
        listings = {
            one.id: [column.variable for column in one.columns] for one in output.analyses if isinstance(one, Listing)
        }
        for analysis, variable in pairs:
            if analysis in listings and variable not in listings[analysis]:
                known = suggest(variable, listings[analysis])
                yield Fault(file, place, f"{variable} is no column of {analysis}", known)


def _number(written: str) -> bool:
    try:
        float(written)
    except ValueError:
        return False
    return True
