"""Checking a define.xml: by the published XSD, by odmlib's loader and OID checks, and by rules of our own."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import cache
from typing import TYPE_CHECKING

import odmlib.arm_loader
import odmlib.define_loader
import odmlib.loader
from lxml import etree
from odmlib import oid_generator, schema_manager
from odmlib.exceptions import OdmlibError

from transforms.submission.define import rules_values  # registers its rules
from transforms.submission.define.document import DefineFault, Document
from transforms.submission.define.rules import RULES
from transforms.submission.define.xml_file import ARM

if TYPE_CHECKING:
    from transforms.study import Study

SCHEMAS = {"define": ("define", "2.1"), "arm": ("arm", "1.0-define2.1")}


def problems_of(
    content: bytes, *, study: Study | None = None, beside: Collection[str] | None = None
) -> list[DefineFault]:
    """Everything wrong with a define.xml: rules `not_xml`, `xsd`, `odmlib`, `oid` and those of our own.

    With `beside`, the files of its folder and below, its links must lead to these; with `study` its codelists are
    compared with the terminology and the extensions of the study.
    """
    try:
        document = Document.parse(content, beside)
    except etree.XMLSyntaxError as error:
        return [DefineFault("not_xml", "", str(error))]
    found = [*schema_problems(document), *odmlib_problems(content, document)]
    for check in RULES.values():
        found.extend(check(document))
    if study is not None:
        found.extend(rules_values.terminology_problems(document, study.standards.codelists, study.extensions))
    return found


def schema_problems(document: Document) -> Iterator[DefineFault]:
    """What the XSD of Define-XML 2.1 does not allow, or that of its extension for analysis results."""
    schema = _schema("arm" if document.is_analysis else "define")
    if not schema.validate(document.root):
        for error in schema.error_log:  # type: ignore[attr-defined]
            yield DefineFault("xsd", f"line {error.line}", error.message)


@cache
def _schema(name: str) -> etree.XMLSchema:
    return etree.XMLSchema(etree.parse(schema_manager.get_schema_path(*SCHEMAS[name])))


def odmlib_problems(content: bytes, document: Document) -> Iterator[DefineFault]:
    """What odmlib cannot load, and OIDs that are dangling, of the wrong kind or twice."""
    results = bool(document.find(f".//{{{ARM}}}AnalysisResultDisplays"))
    reader = (
        odmlib.arm_loader.XMLArmLoader()
        if results
        else odmlib.define_loader.XMLDefineLoader(model_package="define_2_1")
    )
    loader = odmlib.loader.ODMLoader(reader)
    try:
        loader.load_odm_string(content.decode("utf-8").partition("?>")[2])
        root = loader.root()
    except (OdmlibError, ValueError, TypeError, AttributeError) as error:
        yield DefineFault("odmlib", "", f"cannot be loaded: {error}")
        return
    try:
        root.verify_oids(oid_generator.create_oid_checker("arm_1_0" if results else "define_2_1"))
    except (OdmlibError, ValueError) as error:
        yield DefineFault("oid", "", str(error))
