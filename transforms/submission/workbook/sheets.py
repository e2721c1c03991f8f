"""The sheets of the workbook: their columns as Pinnacle 21's define specification names them, and their rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from transforms.submission.define.codelists import SDTM_TERMINOLOGY
from transforms.submission.define.model import Item
from transforms.submission.workbook.plan import Plan

Row = tuple[str | int | None, ...]

COLUMNS: Mapping[str, Mapping[str, float]] = {
    "Study": {"Attribute": 22, "Value": 70},
    "Datasets": {
        "Dataset": 10, "Label": 34, "Class": 26, "SubClass": 18, "Structure": 44, "Key Variables": 40, "Standard": 14,
        "Has No Data": 9, "Repeating": 10, "Reference Data": 10, "Comment": 14, "Developer Notes": 30,
    },
    "Variables": {
        "Order": 7, "Dataset": 10, "Variable": 12, "Label": 38, "Data Type": 12, "Length": 8, "Significant Digits": 10,
        "Format": 12, "Mandatory": 10, "Assigned Value": 12, "Codelist": 16, "Common": 9, "Origin": 14, "Source": 13,
        "Pages": 10, "Method": 20, "Predecessor": 20, "Role": 10, "Has No Data": 9, "Comment": 20,
        "Developer Notes": 30,
    },
    "ValueLevel": {
        "Order": 7, "Dataset": 10, "Variable": 12, "Where Clause": 24, "Label": 38, "Data Type": 12, "Length": 8,
        "Significant Digits": 10, "Format": 12, "Mandatory": 10, "Assigned Value": 12, "Codelist": 16, "Origin": 14,
        "Source": 13, "Pages": 10, "Method": 24, "Predecessor": 20, "Comment": 24, "Developer Notes": 30,
    },
    "WhereClauses": {"ID": 30, "Dataset": 10, "Variable": 12, "Comparator": 11, "Value": 50, "Comment": 14},
    "Codelists": {
        "ID": 24, "Name": 36, "NCI Codelist Code": 12, "Data Type": 10, "Terminology": 16, "Comment": 30, "Order": 7,
        "Term": 36, "NCI Term Code": 12, "Decoded Value": 44,
    },
    "Dictionaries": {"ID": 16, "Name": 20, "Data Type": 10, "Dictionary": 16, "Version": 10},
    "Methods": {
        "ID": 26, "Name": 36, "Type": 14, "Description": 90, "Expression Context": 12, "Expression Code": 20,
        "Document": 12, "Pages": 10,
    },
    "Comments": {"ID": 26, "Description": 90, "Document": 12, "Pages": 10},
    "Documents": {"ID": 14, "Title": 44, "Href": 20},
    "Analysis Displays": {"ID": 16, "Title": 70, "Document": 12, "Pages": 10},
    "Analysis Results": {
        "Display": 16, "ID": 26, "Description": 50, "Variables": 34, "Reason": 24, "Purpose": 30,
        "Selection Criteria": 40, "Join Comment": 14, "Documentation": 80, "Documentation Refs": 14,
        "Programming Context": 14, "Programming Code": 20, "Programming Document": 14, "Pages": 10,
    },
}  # fmt: skip
"""The columns of each sheet, with their widths in characters."""

KEYS: Mapping[str, tuple[str, ...]] = {
    "Study": ("Attribute",),
    "Datasets": ("Dataset",),
    "Variables": ("Dataset", "Variable"),
    "ValueLevel": ("Dataset", "Variable", "Where Clause"),
    "WhereClauses": ("ID", "Dataset", "Variable"),
    "Codelists": ("ID", "Term"),
    "Dictionaries": ("ID",),
    "Methods": ("ID",),
    "Comments": ("ID",),
    "Documents": ("ID",),
    "Analysis Displays": ("ID",),
    "Analysis Results": ("Display", "ID"),
}
"""What tells the rows of a sheet apart."""

STUDY_NAME, TITLE, PROTOCOL = "StudyName", "StudyDescription", "ProtocolName"
FINGERPRINT = "Specification"
"""The attribute with the hash of the specification that the workbook tells of."""


@dataclass(frozen=True)
class SheetRows:
    """The rows of one sheet, as long as its columns."""

    name: str
    rows: tuple[Row, ...]


def sheets_of(plan: Plan) -> list[SheetRows]:
    """The sheets in their order."""
    made = {
        "Study": _study(plan),
        "Datasets": _datasets(plan),
        "Variables": _variables(plan),
        "ValueLevel": _values(plan),
        "WhereClauses": _wheres(plan),
        "Codelists": _codelists(plan),
        "Dictionaries": _dictionaries(plan),
        "Methods": _methods(plan),
        "Comments": ((one.oid, one.text) for one in plan.shared.comments),
        "Documents": ((one.id, one.title.en, one.href) for one in plan.documents),
        "Analysis Displays": ((one.name, one.title) for one in plan.displays),
        "Analysis Results": _results(plan),
    }
    return [SheetRows(name, tuple(_full(row, len(COLUMNS[name])) for row in rows)) for name, rows in made.items()]


def _full(row: Row, width: int) -> Row:
    """A row as long as its sheet's columns; an empty cell is None."""
    return (*(None if one == "" else one for one in row), *(None,) * (width - len(row)))


def _yes(value: bool) -> str:
    return "Yes" if value else "No"


def _study(plan: Plan) -> Iterator[Row]:
    file = plan.study.file
    yield STUDY_NAME, file.studyid
    yield TITLE, file.title
    yield PROTOCOL, file.studyid
    yield "Language", "en"
    yield "SDTMIG", file.standards.sdtmig
    yield "ADaMIG", file.standards.adamig
    yield "Controlled Terminology", file.standards.ct
    yield "Placement", plan.study.placement
    yield FINGERPRINT, plan.study.specification_hash


def _datasets(plan: Plan) -> Iterator[Row]:
    for group in plan.groups:
        keys = sorted((item for item in group.items if item.key), key=lambda item: item.key or 0)
        yield (
            group.name, group.label.en, group.observation_class, group.subclass, group.structure,
            ", ".join(item.name for item in keys), (group.standard or "").removeprefix("STD."), None,
            _yes(group.repeating), _yes(group.reference), group.comment,
        )  # fmt: skip


def _origin(item: Item) -> tuple[str, str, str]:
    """Origin, source and predecessor; several are separated by a comma."""
    kinds = dict.fromkeys(one.type for one in item.origins)
    sources = dict.fromkeys(one.source for one in item.origins if one.source)
    predecessors = dict.fromkeys(one.predecessor for one in item.origins if one.predecessor)
    return ", ".join(kinds), ", ".join(sources), ", ".join(predecessors)


def _variables(plan: Plan) -> Iterator[Row]:
    core = plan.study.analyses["ADSL"].written() if "ADSL" in plan.study.analyses else {}
    for group in plan.groups:
        file = plan.study.analyses.get(group.name) if group.name != "ADSL" else None
        for number, item in enumerate(group.items, start=1):
            origin, source, predecessor = _origin(item)
            common = None if file is None else _yes(item.name in file.subject and item.name in core)
            yield (
                number, group.name, item.name, item.label.en, item.type, item.length, item.digits, item.format,
                _yes(item.mandatory), None, item.codelist, common, origin, source, None, item.method, predecessor,
                item.role, None, item.comment,
            )  # fmt: skip


def _values(plan: Plan) -> Iterator[Row]:
    for values in plan.shared.value_lists:
        for number, item in enumerate(values.items, start=1):
            origin, source, predecessor = _origin(item)
            yield (
                number, item.oid.split(".")[1], item.name, item.where, item.label.en, item.type, item.length,
                item.digits, item.format, _yes(item.mandatory), None, item.codelist, origin, source, None, item.method,
                predecessor, item.comment,
            )  # fmt: skip


def _wheres(plan: Plan) -> Iterator[Row]:
    for where in plan.wheres:
        for one in where.checks:
            _, dataset, variable = one.item.split(".", 2)
            yield where.oid, dataset, variable, one.comparator, ", ".join(one.values)


def _codelists(plan: Plan) -> Iterator[Row]:
    for one in plan.codelists:
        if one.dictionary:
            continue
        standard = one.standard and ("SDTM" if one.standard == SDTM_TERMINOLOGY else "ADaM")
        head = (one.oid, one.name, one.concept, one.type, standard, one.comment)
        for number, term in enumerate(one.terms, start=1):
            yield (*head, number, term.value, term.concept, term.decode)
        if not one.terms:
            yield head


def _dictionaries(plan: Plan) -> Iterator[Row]:
    for one in plan.codelists:
        if one.dictionary:
            yield one.oid, one.name, one.type, one.dictionary, one.version


def _methods(plan: Plan) -> Iterator[Row]:
    for one in plan.shared.methods:
        yield one.oid, one.name, one.type, one.text


def _results(plan: Plan) -> Iterator[Row]:
    for display in plan.displays:
        for one in display.results:
            variables = [f"{data.name}.{name}" for data in one.datasets for name in data.variables]
            chosen = [data.where for data in one.datasets if data.where]
            yield (
                display.name, one.oid, one.description, ", ".join(variables), one.reason, one.purpose,
                ", ".join(chosen), None, one.documentation,
            )  # fmt: skip
