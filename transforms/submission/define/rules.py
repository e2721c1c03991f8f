"""Rules of our own for a define.xml: what neither the XSD nor an OID checker sees. Each has a name."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import get_args

from lxml import etree

from transforms.submission.define.document import DefineFault, Document, named
from transforms.submission.define.model import WITH_LENGTH, DataType
from transforms.submission.define.xml_file import DEF, XLINK

Rule = Callable[[Document], Iterator[DefineFault]]
RULES: dict[str, Rule] = {}

CLASSES = {
    "Tabulation": (
        "TRIAL DESIGN",
        "SPECIAL PURPOSE",
        "INTERVENTIONS",
        "EVENTS",
        "FINDINGS",
        "FINDINGS ABOUT",
        "STUDY REFERENCE",
        "RELATIONSHIP",
    ),
    "Analysis": (
        "SUBJECT LEVEL ANALYSIS DATASET",
        "OCCURRENCE DATA STRUCTURE",
        "BASIC DATA STRUCTURE",
        "ADAM OTHER",
    ),
}
GUIDES = {"Tabulation": {"SDTMIG"}, "Analysis": {"ADaMIG", "ADaM-OCCDSIG"}}
# Which sources an origin may have (Define-XML 2.1): a copy has none, and nobody supplied what is not available.
SOURCES: dict[str, set[str | None]] = {
    "Collected": {"Investigator", "Sponsor", "Subject", "Vendor"},
    "Derived": {"Investigator", "Sponsor", "Vendor"},
    "Assigned": {"Investigator", "Sponsor", "Subject", "Vendor"},
    "Protocol": {"Sponsor"},
    "Predecessor": {None},
    "Not Available": {None, "Sponsor"},
}
NAME = re.compile(r"[A-Z][A-Z0-9]{0,7}")
LABEL_BYTES = 40
ONE_PER_SUBJECT = ("DM", "ADSL")


def rule(check: Rule) -> Rule:
    """Make a rule known under the name of its function."""
    RULES[check.__name__] = check
    return check


def problem(check: Rule, element: etree._Element, message: str) -> DefineFault:
    """A problem of a rule at an element."""
    return DefineFault(check.__name__, named(element), message)


@rule
def class_unknown(document: Document) -> Iterator[DefineFault]:
    """A dataset has a class, and one of its purpose."""
    for group in document.groups:
        known = CLASSES.get(group.get("Purpose", ""), ())
        found = [one.get("Name") for one in document.find("def:Class", group)]
        if len(found) != 1 or found[0] not in known:
            yield problem(class_unknown, group, f"class {', '.join(map(str, found)) or 'missing'}; one of {known}")


@rule
def purpose_unknown(document: Document) -> Iterator[DefineFault]:
    """All datasets of a define are tabulations, or all are analysis datasets."""
    found = {group.get("Purpose") for group in document.groups}
    if len(found) != 1 or not found <= set(CLASSES):
        for group in document.groups:
            yield problem(purpose_unknown, group, f"purpose {group.get('Purpose')} among {sorted(map(str, found))}")


@rule
def dataset_order(document: Document) -> Iterator[DefineFault]:
    """Datasets go by class."""
    last = -1
    for group in document.groups:
        order = CLASSES.get(group.get("Purpose", ""), ())
        names = [one.get("Name") for one in document.find("def:Class", group)]
        place = order.index(names[0]) if names and names[0] in order else last
        if place < last:
            yield problem(dataset_order, group, f"class {names[0]} behind {order[last]}")
        last = max(last, place)


@rule
def standard_unknown(document: Document) -> Iterator[DefineFault]:
    """A dataset follows a guide of its purpose; a codelist of a terminology, which has a publishing set."""
    standards = {one.get("OID"): one for one in document.find(".//def:Standard")}
    for one in standards.values():
        if one.get("Type") == "CT" and (one.get("Name") != "CDISC/NCI" or not one.get("PublishingSet")):
            yield problem(standard_unknown, one, "a terminology is CDISC/NCI and names its publishing set")
        if one.get("Type") == "CT" and not re.fullmatch(r"\d{4}-\d{2}-\d{2}", one.get("Version", "")):
            yield problem(standard_unknown, one, f"the version of a terminology is a date, not {one.get('Version')}")
    for group in document.groups:
        found = standards.get(group.get(f"{{{DEF}}}StandardOID"))
        if found is None and group.get(f"{{{DEF}}}IsNonStandard") != "Yes":
            yield problem(standard_unknown, group, "follows no standard that is listed")
        elif found is not None and found.get("Name") not in GUIDES.get(group.get("Purpose", ""), set()):
            yield problem(standard_unknown, group, f"{found.get('Name')} is no guide for {group.get('Purpose')}")


@rule
def order_number(document: Document) -> Iterator[DefineFault]:
    """The variables of a dataset or value list are numbered 1, 2, 3."""
    for parent in (*document.groups, *document.value_lists.values()):
        numbers = [one.get("OrderNumber") for one in document.references(parent)]
        if sorted(int(one or 0) for one in numbers) != list(range(1, len(numbers) + 1)):
            again = sorted(number for number, count in Counter(map(str, numbers)).items() if count > 1)
            yield problem(order_number, parent, f"numbers are not 1 to {len(numbers)}; twice: {', '.join(again)}")


@rule
def description_missing(document: Document) -> Iterator[DefineFault]:
    """A dataset, a variable, a method and a comment have a description."""
    described = (*document.groups, *document.items.values())
    for one in (*described, *document.find(".//odm:MethodDef"), *document.find(".//def:CommentDef")):
        texts = document.texts(one)
        if not texts or not all(text.strip() for text in texts.values()):
            yield problem(description_missing, one, "has no description")


@rule
def label_too_long(document: Document) -> Iterator[DefineFault]:
    """A label has at most 40 bytes, in UTF-8."""
    own = [item for group in document.groups for _, item in document.variables(group)]
    for one in (*document.groups, *own):
        for language, text in document.texts(one).items():
            if len(text.encode()) > LABEL_BYTES:
                yield problem(label_too_long, one, f"{language}: {len(text.encode())} bytes: {text}")


@rule
def name_invalid(document: Document) -> Iterator[DefineFault]:
    """Names of datasets and variables have at most 8 letters and digits, and stand once."""
    for group in document.groups:
        names = [item.get("Name", "") for _, item in document.variables(group)]
        for name in (group.get("Name", ""), *names):
            if not NAME.fullmatch(name):
                yield problem(name_invalid, group, f"{name!r} is no name of a dataset or variable")
        for name, count in Counter(names).items():
            if count > 1:
                yield problem(name_invalid, group, f"{name} stands {count} times")
        if group.get("SASDatasetName") != group.get("Name"):
            yield problem(name_invalid, group, f"SASDatasetName is {group.get('SASDatasetName')}")
    for dataset, count in Counter(one.get("Name") for one in document.groups).items():
        if count > 1:
            yield DefineFault("name_invalid", f"ItemGroupDef {dataset}", f"stands {count} times")


@rule
def structure_missing(document: Document) -> Iterator[DefineFault]:
    """A dataset says its structure, its domain if it is a tabulation, and whether a subject has several records."""
    for group in document.groups:
        if not (group.get(f"{{{DEF}}}Structure") or "").strip():
            yield problem(structure_missing, group, "has no structure")
        if group.get("Purpose") == "Tabulation" and not group.get("Domain"):
            yield problem(structure_missing, group, "has no domain")
        once = group.get("Name") in ONE_PER_SUBJECT
        if (group.get("Repeating") == "No") != once:
            yield problem(structure_missing, group, f"Repeating is {group.get('Repeating')}")


@rule
def key_missing(document: Document) -> Iterator[DefineFault]:
    """The keys of a dataset are numbered 1, 2, 3."""
    for group in document.groups:
        keys = sorted(int(one.get("KeySequence", "0")) for one in document.references(group) if one.get("KeySequence"))
        if not keys or keys != list(range(1, len(keys) + 1)):
            yield problem(key_missing, group, f"key sequence {keys}")


@rule
def file_missing(document: Document) -> Iterator[DefineFault]:
    """A dataset's leaf is its file, by its name in lower case."""
    for group in document.groups:
        leaves = document.find("def:leaf", group)
        wanted = f"{group.get('Name', '').lower()}.xpt"
        if len(leaves) != 1 or leaves[0].get("ID") != group.get(f"{{{DEF}}}ArchiveLocationID"):
            yield problem(file_missing, group, "its ArchiveLocationID is not its leaf")
        elif leaves[0].get(f"{{{XLINK}}}href") != wanted:
            yield problem(file_missing, group, f"leads to {leaves[0].get(f'{{{XLINK}}}href')}, not to {wanted}")


@rule
def href_unresolved(document: Document) -> Iterator[DefineFault]:
    """Every link leads to a file in the folder of the define, or below it."""
    for leaf in document.find(".//def:leaf"):
        href = leaf.get(f"{{{XLINK}}}href", "")
        if not href or href.startswith("/") or ".." in href.split("/") or ":" in href:
            yield problem(href_unresolved, leaf, f"{href!r} leads out of the folder")
        elif document.beside is not None and href not in document.beside:
            yield problem(href_unresolved, leaf, f"there is no {href}")


@rule
def document_unlinked(document: Document) -> Iterator[DefineFault]:
    """Every document is named as annotated CRF or guide, and every one named has a leaf."""
    leaves = {one.get("ID") for one in document.find("odm:Study/odm:MetaDataVersion/def:leaf")}
    used = {one.get("leafID") for one in document.find(".//def:DocumentRef")}
    for identifier in sorted(map(str, leaves ^ used)):
        yield DefineFault("document_unlinked", f"leaf {identifier}", "is not both defined and referred to")


@rule
def type_unknown(document: Document) -> Iterator[DefineFault]:
    """A variable is of one of the types of Define-XML; ODM has others."""
    for item in document.items.values():
        if item.get("DataType") not in get_args(DataType):
            yield problem(type_unknown, item, f"{item.get('DataType')}")


@rule
def length_wrong(document: Document) -> Iterator[DefineFault]:
    """Texts and numbers have a length, a decimal number its digits, a date or time neither."""
    for item in document.items.values():
        kind, length, digits = item.get("DataType", ""), item.get("Length"), item.get("SignificantDigits")
        if (kind in WITH_LENGTH) != bool(length) or length == "0":
            yield problem(length_wrong, item, f"{kind} with length {length}")
        if (kind == "float") != bool(digits):
            yield problem(length_wrong, item, f"{kind} with {digits} significant digits")


@rule
def origin_missing(document: Document) -> Iterator[DefineFault]:
    """A variable, or each of its values, says where it comes from; type and source go together."""
    for item in document.items.values():
        found = document.find("def:Origin", item)
        if not found and not document.find("def:ValueListRef", item):
            yield problem(origin_missing, item, "has no origin")
        for one in found:
            kind, source = one.get("Type", ""), one.get("Source")
            if source not in SOURCES.get(kind, {source}):
                yield problem(origin_missing, item, f"{kind} from {source}")
            if (kind == "Predecessor") != bool(document.text(one)):
                yield problem(origin_missing, item, "a predecessor is named, and nothing else is")


@rule
def method_missing(document: Document) -> Iterator[DefineFault]:
    """What is derived has a method, at the variable or at its values; what is not derived has none."""
    for parent in (*document.groups, *document.value_lists.values()):
        for reference in document.references(parent):
            item = document.items.get(reference.get("ItemOID", ""))
            if item is None or reference.get(f"{{{DEF}}}HasNoData") == "Yes":
                continue
            derived = any(one.get("Type") == "Derived" for one in document.find("def:Origin", item))
            if derived and not reference.get("MethodOID"):
                yield problem(method_missing, reference, "is derived and has no method")
            if not derived and reference.get("MethodOID"):
                yield problem(method_missing, reference, "has a method and is not derived")


@rule
def reference_dangling(document: Document) -> Iterator[DefineFault]:
    """Every OID that is referred to is defined, once, as an element of the right kind."""
    for attribute, path in REFERENCES.items():
        defined = Counter(one.get("OID") for one in document.find(f".//{path}"))
        for oid, count in defined.items():
            if count > 1:
                yield DefineFault("reference_dangling", f"{path} {oid}", f"is defined {count} times")
        for element in document.root.iter(etree.Element):
            oid = element.get(attribute)
            if oid is not None and oid not in defined:
                yield problem(reference_dangling, element, f"{oid} is not defined")


REFERENCES = {
    "ItemOID": "odm:ItemDef",
    f"{{{DEF}}}ItemOID": "odm:ItemDef",
    "MethodOID": "odm:MethodDef",
    "CodeListOID": "odm:CodeList",
    "ValueListOID": "def:ValueListDef",
    "WhereClauseOID": "def:WhereClauseDef",
    f"{{{DEF}}}CommentOID": "def:CommentDef",
    f"{{{DEF}}}StandardOID": "def:Standard",
    "ItemGroupOID": "odm:ItemGroupDef",
}


@rule
def definition_unused(document: Document) -> Iterator[DefineFault]:
    """Nothing is defined that nothing refers to."""
    used: dict[str, set[str | None]] = {}
    for element in document.root.iter(etree.Element):
        for attribute, path in REFERENCES.items():
            if element.get(attribute) is not None:
                used.setdefault(path, set()).add(element.get(attribute))
    for path in dict.fromkeys(REFERENCES.values()):
        if path == "odm:ItemGroupDef":
            continue
        for one in document.find(f".//{path}"):
            if one.get("OID") not in used.get(path, set()):
                yield problem(definition_unused, one, "nothing refers to it")


@rule
def no_data_unexplained(document: Document) -> Iterator[DefineFault]:
    """A variable or dataset without data has a comment that says so."""
    for group in document.groups:
        if group.get(f"{{{DEF}}}HasNoData") == "Yes" and not group.get(f"{{{DEF}}}CommentOID"):
            yield problem(no_data_unexplained, group, "has no data and no comment")
        for reference, item in document.variables(group):
            if reference.get(f"{{{DEF}}}HasNoData") == "Yes" and not item.get(f"{{{DEF}}}CommentOID"):
                yield problem(no_data_unexplained, item, "has no data and no comment")


@rule
def predecessor_unknown(document: Document) -> Iterator[DefineFault]:
    """A predecessor is a variable `DATASET.VARIABLE`; one of this define is in it."""
    known = {
        f"{group.get('Name')}.{item.get('Name')}" for group in document.groups for _, item in document.variables(group)
    }
    datasets = {group.get("Name") for group in document.groups}
    for item in document.items.values():
        for origin in document.find("def:Origin", item):
            said = document.text(origin)
            if origin.get("Type") != "Predecessor" or said is None:
                continue
            dataset, dot, variable = said.partition(".")
            if not dot or not NAME.fullmatch(dataset) or not NAME.fullmatch(variable):
                yield problem(predecessor_unknown, item, f"{said!r} names no variable")
            elif dataset in datasets and said not in known:
                yield problem(predecessor_unknown, item, f"{said} is not in this define")
