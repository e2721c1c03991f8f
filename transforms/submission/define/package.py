"""The defines of a package: described from the datasets as submitted, checked, and compared with their files."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

from transforms.submission.contents import DATASETS, TABULATIONS, Contents
from transforms.submission.define.agreement import Delivered, agreement_problems, page_problems
from transforms.submission.define.checks import problems_of
from transforms.submission.define.document import DefineFault, Document
from transforms.submission.define.files import DEFINE, contents_of
from transforms.submission.define.metadata import DOCUMENTS, Agency, describe
from transforms.submission.define.model import Kind
from transforms.submission.define.profile import read
from transforms.submission.define.rules import RULES
from transforms.submission.define.rules_values import TERM_RULES
from transforms.submission.faults import Fault
from transforms.submission.package import Documents

if TYPE_CHECKING:
    from transforms.study import Study

PLACES: dict[Kind, str] = {"sdtm": TABULATIONS, "adam": DATASETS}
DATA = "define_data"
CHECKS: dict[str, frozenset[str]] = {
    "define_schema": frozenset({"not_xml", "xsd"}),
    "define_oids": frozenset({"odmlib", "oid"}),
    "define_rules": frozenset({*RULES, *TERM_RULES}),
    DATA: frozenset(),
}
"""The checks of the package by the rules that belong to each; what compares with the data belongs to the last."""

REMEDIES = {
    "term_not_allowed": "Map the value to a term, or declare the term in ct_extensions where the codelist takes others",
    "value_not_in_codelist": "Map the value to a term of the codelist",
    "mandatory_missing": "Fill the variable in the mapping, or hold the records",
    "key_not_unique": "Correct the keys or the records in the mapping",
}
REMEDY = "The define does not fit the data: tell who maintains this software"


def defines(
    study: Study,
    contents: Contents,
    folder: Path,
    others: Iterable[str],
    pages: Mapping[str, tuple[int, ...]],
    label: str,
) -> Documents:
    """define.xml, its stylesheet and its page for SDTM and for ADaM, by path below the study's folder.

    `folder` holds the datasets as submitted, laid out as a snapshot; `others` are the paths of the other documents, of
    which a define names those that are there; `pages` are those of the annotated CRF by variable; `label` is what the
    deliveries say of themselves. With them goes everything that the checks of the define, and its comparison with the
    datasets and these pages, found.
    """
    present = set(others)
    written: dict[str, bytes] = {}
    found: dict[str, list[Fault]] = {check: [] for check in CHECKS}
    for kind, place in PLACES.items():
        if not any(one.file.startswith(f"{place}/") for one in contents.datasets):
            continue
        define = describe(
            study,
            folder,
            kind,
            agency=cast("Agency", contents.agency.name),
            encoding=contents.agency.encoding,
            lengths={
                one.layout.name: {variable.name: variable.length for variable in one.layout.variables}
                for one in contents.datasets
            },
            documents=[one for one in DOCUMENTS[kind] if f"{place}/{one.href}" in present],
            pages=pages,
            label=label,
        )
        files = contents_of(define)
        written |= {f"{place}/{name}": content for name, content in files.items()}
        inside = {one.file for one in contents.datasets} | present | set(written)
        beside = {path.removeprefix(f"{place}/") for path in inside if path.startswith(f"{place}/")}
        differing = page_problems(Document.parse(files[DEFINE]), pages)
        for one in (*_problems(study, contents, folder, kind, files[DEFINE], beside), *differing):
            fault = Fault(f"{place}/{DEFINE}", one.place, f"{one.rule}: {one.message}", REMEDIES.get(one.rule, REMEDY))
            found[_check_of(one.rule)].append(fault)
    return Documents(written, found if written else {})


def _check_of(rule: str) -> str:
    """The check of the package that a rule belongs to."""
    return next((check for check, rules in CHECKS.items() if rule in rules), DATA)


def _problems(
    study: Study, contents: Contents, folder: Path, kind: Kind, content: bytes, beside: Collection[str]
) -> Iterator[DefineFault]:
    """What is wrong with a define; `beside` are the names of the files in its folder."""
    yield from problems_of(content, study=study, beside=beside)
    data = read(folder, kind)
    delivered = [
        Delivered(
            one.layout.name,
            one.layout.label,
            data[one.layout.name].table,
            {variable.name: variable.label for variable in one.layout.variables},
            {variable.name: variable.length for variable in one.layout.variables},
        )
        for one in contents.datasets
        if one.layout.name in data
    ]
    yield from agreement_problems(Document.parse(content), delivered, contents.agency.encoding)
