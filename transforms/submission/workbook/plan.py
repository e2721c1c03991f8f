"""What the specification says of the datasets to submit, in the terms of a define, before there are any data.

It is worked out by the same rules as a define: origins, prose, terminology. What only data can tell is left open:
lengths, digits, which terms are used, and values by test.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from transforms.standards import VariableStandard
from transforms.study import analyses, check, graph
from transforms.study.analyses import AnalysisFile
from transforms.study.models import DatasetFile
from transforms.submission.define import origins
from transforms.submission.define.analyses import Analyses, subclass_of
from transforms.submission.define.codelists import LARGEST, decode_variables
from transforms.submission.define.metadata import DOCUMENTS, guides_of, in_order
from transforms.submission.define.model import (
    Check,
    Codelist,
    DataType,
    Display,
    Document,
    Group,
    Item,
    Kind,
    Term,
    ValueList,
    Where,
)
from transforms.submission.define.profile import DATE_FORMAT, DATETIME_FORMAT
from transforms.submission.define.results import Displays
from transforms.submission.define.shared import Shared, keyed
from transforms.submission.define.tabulations import (
    GUIDE,
    OPEN_RESULTS,
    SUPPLEMENTAL,
    SUPPLEMENTAL_KEYS,
    SUPPLEMENTAL_ORIGINS,
    Tabulations,
    comments_of,
)
from transforms.submission.labels import Labels
from transforms.submission.workbook.values import TableCell, decodes, possible

if TYPE_CHECKING:
    from transforms.study import Study

FORMATS = {"date": DATE_FORMAT, "datetime": DATETIME_FORMAT}
SUPPLEMENTAL_LABEL = "Supplemental Qualifiers for "


@dataclass
class Plan:
    """What is to be submitted. `decodes` are the cells in which the decode of a term stands, by codelist and term."""

    study: Study
    shared: Shared
    kinds: dict[str, Kind] = field(default_factory=dict)
    groups: tuple[Group, ...] = ()
    displays: tuple[Display, ...] = ()
    wheres: tuple[Where, ...] = ()
    decodes: dict[tuple[str, str], set[TableCell]] = field(default_factory=dict)

    @property
    def documents(self) -> tuple[Document, ...]:
        """The documents beside the datasets."""
        return tuple(one for kind in DOCUMENTS for one in DOCUMENTS[kind] if kind in self.kinds.values())

    @property
    def codelists(self) -> tuple[Codelist, ...]:
        """The codelists and dictionaries, in the order met."""
        return tuple(self.shared.codelists.found.values())


def plan_of(study: Study, analysis_rules: Iterable[Mapping[str, object]]) -> Plan:
    """The plan of a study; `analysis_rules` are the rows of the specification table for its analysis datasets."""
    plan = Plan(study, Shared(study, Path(), "utf-8", {}, Labels.load(study.folder)))
    tabulated = in_order(_tabulations(plan))
    analysed = in_order(_analyses(plan, analysis_rules))
    plan.groups = (*tabulated, *analysed)
    plan.kinds.update((one.name, "sdtm") for one in tabulated)
    plan.kinds.update((one.name, "adam") for one in analysed)
    shown = Displays(study, {group.name: group for group in analysed}, plan.shared.codelists.found)
    plan.displays = shown.found()
    plan.wheres = tuple({one.oid: one for one in (*plan.shared.wheres, *shown.wheres)}.values())
    return plan


def _tabulations(plan: Plan) -> Iterator[Group]:
    study, shared = plan.study, plan.shared
    for name, file in study.datasets.items():
        standard = study.standards.datasets[name]
        known = (check.define(study, file, one) for one in graph.submitted(study, name))
        variables = sorted((one for one in known if one is not None), key=lambda one: (one.order, one.name))
        keys = _keys(["STUDYID", *file.keys], [one.name for one in variables])
        yield Group(
            name=name,
            label=shared.labels.of_dataset(standard.label),
            observation_class=standard.observation_class,
            structure=standard.structure,
            items=tuple(keyed(_item(plan, file, one), keys) for one in variables),
            rows=-1,
            domain=name,
            repeating=name != "DM",
            reference=standard.observation_class == origins.TRIAL_DESIGN,
            standard=GUIDE,
            comment=shared.comment(name, file.comment),
        )
        qualifiers = [*file.supplemental, *(one for group in file.records for one in group.supplemental)]
        if qualifiers:
            yield _supplemental(plan, file, list(dict.fromkeys(qualifiers)))


def _keys(keys: Iterable[str], submitted: Iterable[str]) -> list[str]:
    names = set(submitted)
    return [key for key in dict.fromkeys(keys) if key in names]


def _item(plan: Plan, file: DatasetFile, published: VariableStandard) -> Item:
    shared, variable, place = plan.shared, published.name, f"{file.name}.{published.name}"
    describer = Tabulations(shared)
    found = tuple(origins.of_variable(shared.study, file, variable))
    item = Item(
        oid=f"IT.{place}",
        name=variable,
        label=shared.labels.of(published.label),
        type=_type(published),
        length=None,
        mandatory=published.core == "Req",
        origins=found,
        codelist=_terminology(plan, file, published),
    )
    said, prose = comments_of(file, variable), describer.rules(file, variable)
    if any(one.type == "Derived" for one in found):
        method = shared.method(place, " ".join(prose) or describer.automatic(file, variable))
        return replace(item, method=method, comment=shared.comment(place, *said))
    assigned = prose if found == (origins.ASSIGNED,) else []
    return replace(item, comment=shared.comment(place, *(said or assigned)))


def _type(published: VariableStandard) -> DataType:
    if published.is_datetime:
        return "datetime"
    if "duration" in published.format:
        return "durationDatetime"
    if published.is_number:
        return "integer" if published.name.endswith(("SEQ", "DY")) else "float"
    return "text"


def _terminology(plan: Plan, file: DatasetFile, published: VariableStandard) -> str | None:
    """The codelist of an SDTM variable: a dictionary, the published list, or the sponsor's where there are decodes."""
    lists, place = plan.shared.codelists, f"{file.name}.{published.name}"
    dictionary = plan.study.file.dictionaries.get(file.name)
    kind = _type(published)
    if published.dictionary and dictionary is not None and kind == "text":
        return lists.of_dictionary(dictionary.name, dictionary.version)
    if kind not in ("text", "integer", "float"):
        return None
    values, known = possible(plan.study, file.name, published.name), _decodes(plan, file.name, published.name)
    at_hand = lists.published(published.codelists)
    if at_hand and kind == "text":
        codes = [code.code for code in at_hand]
        terms = [
            one for one in values if one in published.outside or any(lists.allowed([code], [one]) for code in codes)
        ]
        if published.name.endswith(OPEN_RESULTS) and len(terms) < len(values):
            return None
        said = {value: text for value, (text, _) in known.items()}
        oid = lists.of_terminology(published.codelists, terms, place, said, published.label, published.outside)
        if oid is None:
            one = at_hand[0]
            oid = lists.add(
                Codelist("", one.name, "text", concept=one.code, standard=lists.terminology(one.code)),
                f"CL.{one.short_name}",
                place,
            )
        return _remembered(plan, oid, known)
    return _sponsor(plan, published.label, kind, place, values, known)


def _decodes(plan: Plan, dataset: str, variable: str) -> dict[str, tuple[str, tuple[TableCell, ...]]]:
    """The decodes of a variable that is a code, from the tables of the study."""
    for code, decode in decode_variables().items():
        if code.replace("--", dataset) == variable:
            return decodes(plan.study, dataset, variable, decode.replace("--", dataset))
    return {}


def _sponsor(
    plan: Plan,
    name: str,
    kind: DataType,
    place: str,
    values: Iterable[str],
    known: Mapping[str, tuple[str, tuple[TableCell, ...]]],
) -> str | None:
    """A list of the sponsor's own, for a code that has decodes."""
    terms = tuple(values)
    if not known or not terms or len(terms) > LARGEST:
        return None
    told = tuple(Term(one, known[one][0] if one in known else None) for one in terms)
    own = Codelist("", name, kind, told)  # type: ignore[arg-type]
    return _remembered(plan, plan.shared.codelists.add(own, f"CL.{place}", place), known)


def _remembered(plan: Plan, oid: str, known: Mapping[str, tuple[str, tuple[TableCell, ...]]]) -> str:
    for value, (_, cells) in known.items():
        plan.decodes.setdefault((oid, value), set()).update(cells)
    return oid


def _supplemental(plan: Plan, file: DatasetFile, qualifiers: list[str]) -> Group:
    """SUPP-- with a value of QVAL for each qualifier."""
    study, shared, name = plan.study, plan.shared, f"{SUPPLEMENTAL}{file.name}"
    standard, describer = study.standards.datasets["SUPPQUAL"], Tabulations(plan.shared)
    items = []
    for variable in analyses.SUPPLEMENTAL:
        published = standard.by_name[variable]
        found = SUPPLEMENTAL_ORIGINS.get(variable, origins.ASSIGNED)
        item = Item(
            oid=f"IT.{name}.{variable}",
            name=variable,
            label=shared.labels.of(published.label),
            type=_type(published),
            length=None,
            mandatory=published.core == "Req",
            origins=() if variable == "QVAL" else (found,),
            values=f"VL.{name}.QVAL" if variable == "QVAL" else None,
        )
        items.append(keyed(item, SUPPLEMENTAL_KEYS))
    values = []
    for qualifier in qualifiers:
        own = check.define(study, file, qualifier)
        found_at = tuple(origins.of_variable(study, file, qualifier))
        derived = any(one.type == "Derived" for one in found_at)
        place, prose = f"{name}.QVAL.{qualifier}", " ".join(describer.rules(file, qualifier))
        where = Where(f"WC.{name}.{qualifier}", (Check(f"IT.{name}.QNAM", (qualifier,)),))
        shared.wheres.append(where)
        values.append(
            Item(
                oid=f"IT.{place}",
                name="QVAL",
                label=shared.labels.of(own.label if own is not None else qualifier),
                type=_type(own) if own is not None else "text",
                length=None,
                origins=found_at,
                method=shared.method(place, prose) if derived and prose else None,
                where=where.oid,
            )
        )
    shared.value_lists.append(ValueList(f"VL.{name}.QVAL", tuple(values)))
    return Group(
        name=name,
        label=shared.labels.of_dataset(f"{SUPPLEMENTAL_LABEL}{file.name}"),
        observation_class=standard.observation_class,
        structure=standard.structure,
        items=tuple(items),
        rows=-1,
        domain=file.name,
        standard=GUIDE,
    )


def _analyses(plan: Plan, analysis_rules: Iterable[Mapping[str, object]]) -> Iterator[Group]:
    study, shared = plan.study, plan.shared
    guides = {row["class"]: f"STD.{row['name']}" for row in guides_of(study)}
    rules: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for row in analysis_rules:
        rules.setdefault((str(row["dataset"]), str(row["variable"])), []).append((str(row["kind"]), str(row["rule"])))
    describer = Analyses(shared, guides, rules)
    for file in study.analyses.values():
        published = study.standards.analysis[file.observation_class]
        names = [*analyses.AUTOMATIC, *(one for one in file.automatic if one not in analyses.AUTOMATIC)]
        names = list(dict.fromkeys((*names, *file.subject, *file.variables)))
        keys = _keys(["STUDYID", *file.keys], names)
        yield Group(
            name=file.name,
            label=shared.labels.of_dataset(file.label),
            observation_class=published.name,
            subclass=subclass_of(file),
            structure=file.structure or published.structure,
            items=tuple(keyed(_analysis_item(plan, describer, file, one), keys) for one in names),
            rows=-1,
            repeating=file.observation_class != analyses.SUBJECT_LEVEL,
            standard=guides.get(published.name, guides.get("")),
            comment=shared.comment(file.name, file.comment),
        )


def _analysis_item(plan: Plan, describer: Analyses, file: AnalysisFile, variable: str) -> Item:
    study, shared, place = plan.study, plan.shared, f"{file.name}.{variable}"
    known = analyses.define(study, file, variable)
    label = known.label if known is not None else _label(study, file, variable)
    kind = known.type if known is not None else "text"
    origin = origins.of_analysis_variable(study, file, variable)
    if kind in FORMATS and origin.predecessor and origin.predecessor.endswith("DTC"):
        origin = origins.DERIVED
    derivation = file.written().get(variable)
    standard = analyses.standard_of(study, file, variable)
    required = (standard is not None and standard.required) or (derivation is not None and derivation.required is True)
    shown: DataType = "integer" if kind in FORMATS else kind
    item = Item(
        oid=f"IT.{place}",
        name=variable,
        label=shared.labels.of(label),
        type=shown,
        length=None if shown == "text" else 8,
        format=FORMATS.get(kind),
        mandatory=required,
        origins=(origin,),
        codelist=_analysis_codelist(plan, file, variable, known, shown) if kind not in FORMATS else None,
    )
    comment = derivation.comment if derivation is not None else None
    said = describer.method(file, variable, item.format)
    if origin.type == "Derived":
        return replace(item, method=shared.method(place, " ".join(said)), comment=shared.comment(place, comment))
    if origin.type == "Predecessor":
        said = describer.added(file, variable)
    return replace(item, comment=shared.comment(place, *([comment] if comment else said)))


def _label(study: Study, file: AnalysisFile, variable: str) -> str:
    """The label of a variable that the engine writes."""
    standard = analyses.standard_of(study, file, variable)
    published = study.standards.variable("DM", variable)
    return standard.label if standard is not None else published.label if published is not None else variable


def _analysis_codelist(
    plan: Plan, file: AnalysisFile, variable: str, known: analyses.Defined | None, kind: DataType
) -> str | None:
    lists, place = plan.shared.codelists, f"{file.name}.{variable}"
    values = possible(plan.study, file.name, variable)
    if known is not None and known.codelist and kind == "text":
        terms = [one for one in values if lists.allowed([known.codelist], [one])]
        oid = lists.of_terminology([known.codelist], terms, place)
        at_hand = lists.published([known.codelist])
        if oid is None and at_hand:
            one = at_hand[0]
            own = Codelist("", one.name, "text", concept=one.code, standard=lists.terminology(one.code))
            oid = lists.add(own, f"CL.{one.short_name}", place)
        if oid is not None:
            return oid
    said = _decodes(plan, file.name, variable)
    if not said and variable.endswith("N") and kind != "text":
        said = decodes(plan.study, file.name, variable, variable[:-1])
    label = known.label if known is not None else variable
    return _sponsor(plan, label, kind, place, values, said)
