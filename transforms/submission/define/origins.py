"""Where a variable's values come from, as Define-XML names it, from the rules that fill it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Literal

from transforms.study import analyses, graph
from transforms.study.analyses import AnalysisFile
from transforms.study.models import DatasetFile, Group, Variable
from transforms.submission.define.model import Origin

if TYPE_CHECKING:
    from transforms.study import Study

Source = Literal["Investigator", "Sponsor", "Subject", "Vendor"]
SPONSOR: Source = "Sponsor"
DERIVED = Origin("Derived", SPONSOR)
ASSIGNED = Origin("Assigned", SPONSOR)
PROTOCOL = Origin("Protocol", SPONSOR)
NOT_AVAILABLE = Origin("Not Available")
# Rules that give a value the sponsor chose beforehand: a constant, or a cell of a table of the specification.
ASSIGNING = frozenset(
    {
        "hardcode_ct",
        "hardcode_no_ct",
        "assign_from_table",
        "assign_visit",
        "assign_by_pattern",
        "lookup",
        "lookup_range",
        "visit_name",
        "with_unit",
        "toxicity_term",
        "in_query",
    }
)
DESCRIBING = frozenset({"PARAMCD", "PARAM", "EVNTDESC", "CNSDTDSC", "SRCDOM", "SRCVAR"})
TRIAL_DESIGN = "TRIAL DESIGN"
AUTOMATIC = {"STUDYID": PROTOCOL, "DOMAIN": ASSIGNED, "RDOMAIN": ASSIGNED, "IDVAR": ASSIGNED, "QNAM": ASSIGNED}
# What the values of QORIG say (SDTMIG 3.4, 8.4) in the words of Define-XML 2.1.
QUALIFIER_ORIGINS = {
    "CRF": Origin("Collected", "Investigator"),
    "EDT": Origin("Collected", "Vendor"),
    "ASSIGNED": ASSIGNED,
    "DERIVED": DERIVED,
    "PROTOCOL": PROTOCOL,
}


def of_variable(study: Study, dataset: DatasetFile, name: str, parts: Iterable[int] | None = None) -> list[Origin]:
    """The origins of an SDTM variable, or of it in the records of some groups (`parts`, by position)."""
    if study.standards.datasets[dataset.name].observation_class == TRIAL_DESIGN:
        places = graph.definitions(dataset).get(name, [])
        derived = any(one.algorithm.derived for _, one in places)
        return [PROTOCOL, DERIVED] if derived and dataset.name == "TS" else [PROTOCOL]
    wanted = None if parts is None else set(parts)
    found: dict[Origin, None] = {}
    for group, variable in graph.definitions(dataset).get(name, []):
        groups = dataset.records if group is None else (group,)
        for one in groups:
            if wanted is None or dataset.records.index(one) in wanted:
                found[_of_rule(study, variable, one)] = None
        if not groups:
            found[DERIVED if variable.algorithm.derived else ASSIGNED] = None
    if not found:
        return [AUTOMATIC.get(name, DERIVED if name in _written(study, dataset) else NOT_AVAILABLE)]
    return list(found)


def _written(study: Study, dataset: DatasetFile) -> set[str]:
    """The variables that the engine writes itself."""
    sequence = graph.sequence_variable(study, dataset.name)
    return {*graph.automatic(study, dataset), *((sequence,) if sequence else ())}


def _of_rule(study: Study, variable: Variable, group: Group) -> Origin:
    if variable.origin is not None:
        return QUALIFIER_ORIGINS.get(variable.origin.upper(), ASSIGNED)
    algorithm = variable.algorithm
    if algorithm.word in ASSIGNING:
        return ASSIGNED
    if algorithm.derived:
        return DERIVED
    if group.source is None:
        return PROTOCOL
    read = [one for one in algorithm.collected_inputs() if one not in algorithm.when]
    if read and all(one.startswith("each.") and not one.startswith(("each.value", "each.column.")) for one in read):
        return ASSIGNED
    return Origin("Collected", _supplied_by(study, group.source, read))


def _supplied_by(study: Study, source: str, read: Iterable[str]) -> Source:
    """Who supplied the columns read; a column of a joined source is written `SOURCE.COLUMN`."""
    named = {one.partition(".")[0] for one in read if "." in one} & set(study.sources)
    return study.sources[min(named) if named else source].supplied_by


def of_analysis_variable(study: Study, file: AnalysisFile, name: str) -> Origin:
    """The origin of an analysis variable; a copy names what it is a copy of."""
    if name in analyses.AUTOMATIC:
        return Origin("Predecessor", None, f"{file.sources[0]}.{name}")
    derivation = file.written().get(name)
    if derivation is None:
        # What the engine fills by the parameters of the dataset: names and words are the specification's.
        return ASSIGNED if name in DESCRIBING else DERIVED
    known = analyses.define(study, file, name)
    kind = known.origin if known is not None else "Derived"
    algorithm = derivation.algorithm
    if kind == "Predecessor":
        predecessors = [one for one in algorithm.variable_inputs() if "." in one and one not in algorithm.when]
        return Origin("Predecessor", None, predecessors[0]) if predecessors else DERIVED
    if derivation.origin is not None:
        return QUALIFIER_ORIGINS.get(derivation.origin.upper(), ASSIGNED)
    return ASSIGNED if kind == "Assigned" or algorithm.word in ASSIGNING else DERIVED


def rules_of(dataset: DatasetFile, name: str) -> Iterator[tuple[int | None, Variable]]:
    """The rules that fill an SDTM variable, each with the position of its record group (None: all groups)."""
    for group, variable in graph.definitions(dataset).get(name, []):
        yield (None if group is None else dataset.records.index(group)), variable
