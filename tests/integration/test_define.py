"""Define-XML of the reference study: the published schema and odmlib accept it, the data agree, and faults are caught.

Each mutant is a fault put into a correct define; the rule that must catch it is named.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from lxml import etree

from tests.reference import Published
from transforms import pipeline
from transforms.export import export
from transforms.study import Study
from transforms.submission.define.agreement import (
    Delivered,
    agreement_problems,
    from_snapshot,
    from_transport,
    page_problems,
    row_problems,
)
from transforms.submission.define.checks import problems_of
from transforms.submission.define.document import Document
from transforms.submission.define.files import write
from transforms.submission.define.metadata import Agency, describe, without_chinese
from transforms.submission.define.model import Define, Kind
from transforms.submission.define.profile import Data, read, submitted_lengths
from transforms.submission.define.xml_file import ARM, DEF, ODM, XLINK, to_xml

SPACES = {"odm": ODM, "def": DEF, "arm": ARM, "xlink": XLINK}
CODES = {"fda": "en", "nmpa": "zh"}
KINDS: tuple[Kind, ...] = ("sdtm", "adam")


@dataclass(frozen=True)
class Package:
    """A finished snapshot, its defines, and for each a folder with empty files where the define names files."""

    study: Study
    home: pipeline.Home
    snapshot: Path
    folders: dict[Kind, Path]
    defines: dict[Kind, Define]
    data: dict[Kind, dict[str, Data]]
    lengths: dict[str, dict[str, int]]

    def content(self, kind: Kind) -> bytes:
        return (self.folders[kind] / "define.xml").read_bytes()

    def delivered(self, kind: Kind, *names: str) -> list[Delivered]:
        data = self.data[kind]
        return [from_snapshot(data[name], self.lengths[name]) for name in names or data]


@pytest.fixture(scope="module")
def package(reference: Published, tmp_path_factory: pytest.TempPathFactory) -> Package:
    root = tmp_path_factory.mktemp("define")
    study = Study.load("ucmsc_dac")
    home = pipeline.Home(reference.home_in(root / "home"), study.name)
    snapshot = home.snapshots.path(reference.report.snapshot_id)
    folders, defines, data = {}, {}, {}
    for kind in KINDS:
        folders[kind] = root / kind
        data[kind] = read(snapshot, kind)
        defines[kind] = describe(study, snapshot, kind)
        write(defines[kind], folders[kind])
        files = [document.href for document in defines[kind].documents]
        for name in (*files, *(group.file for group in defines[kind].groups)):
            (folders[kind] / name).touch()
    return Package(study, home, snapshot, folders, defines, data, submitted_lengths(snapshot, "ascii"))


def names_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


@pytest.mark.parametrize("kind", KINDS)
def test_the_published_schema_odmlib_and_our_rules_find_nothing(package: Package, kind: Kind) -> None:
    assert problems_of(package.content(kind), study=package.study, beside=names_in(package.folders[kind])) == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_chinese_define_is_as_good(package: Package, kind: Kind) -> None:
    define = describe(package.study, package.snapshot, kind, agency="nmpa", encoding="utf-8")
    assert without_chinese(define) == []
    assert problems_of(to_xml(define), study=package.study) == []
    for group in define.groups:
        for label in (group.label, *(item.label for item in group.items)):
            assert 0 < len((label.zh or "").encode()) <= 40, label


@pytest.mark.parametrize("kind", KINDS)
def test_the_data_of_the_snapshot_agree(package: Package, kind: Kind) -> None:
    delivered = package.delivered(kind)
    assert agreement_problems(Document.parse(package.content(kind)), delivered) == []
    assert sum(one.table.num_rows for one in delivered) > 10_000


@pytest.mark.parametrize(("agency", "encoding"), [("fda", "ascii"), ("nmpa", "utf-8")])
def test_the_define_of_a_package_agrees_with_its_transport_files(package: Package, agency: str, encoding: str) -> None:
    """The files are read by pyreadstat, which knows nothing of the define or of who wrote them."""
    written = export(package.home, package.study.name, agency=agency, preview=True)
    study = written.folder / "m5" / "datasets" / "ucmsc-dac-01"
    for kind, place in (("sdtm", study / "tabulations/sdtm"), ("adam", study / "analysis/adam/datasets")):
        content = (place / "define.xml").read_bytes()
        assert problems_of(content, study=package.study, beside=names_in(place)) == []
        delivered = [from_transport(path) for path in sorted(place.glob("*.xpt"))]
        # All that SUPPCM holds is in Chinese, and FDA takes ASCII: see the study's submission.yml.
        left_out = {"SUPPCM"} if agency == "fda" else set()
        assert {one.name for one in delivered} == set(package.data[kind]) - left_out  # type: ignore[index]
        assert agreement_problems(Document.parse(content), delivered, encoding) == []
        assert "SYNTHETIC - NOT PATIENT DATA" in (place / "define.html").read_text(encoding="utf-8")
        if agency == "nmpa":
            assert list(row_problems(delivered, package.data[kind])) == []  # type: ignore[index]
    assert (study / "tabulations/sdtm/define.html").read_text(encoding="utf-8").count(f'lang="{CODES[agency]}"') == 1


@pytest.mark.parametrize("agency", ["fda", "nmpa"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_bytes_again(package: Package, tmp_path: Path, kind: Kind, agency: Agency) -> None:
    once, again = (describe(package.study, package.snapshot, kind, agency=agency) for _ in range(2))
    first = [path.read_bytes() for path in write(once, tmp_path / "once")]
    second = [path.read_bytes() for path in write(again, tmp_path / "again")]
    assert first == second
    assert once.created == "2025-01-31T00:00:00"  # the extract time that the manifest of the extracts declares


def test_the_page_shows_every_dataset_and_variable(package: Package) -> None:
    for kind in KINDS:
        page = (package.folders[kind] / "define.html").read_text(encoding="utf-8")
        assert page.startswith("<!DOCTYPE html>")
        for group in package.defines[kind].groups:
            assert f'id="IG.{group.name}"' in page
            for item in group.items:
                assert f'id="{item.oid}"' in page


def test_every_test_item_and_parameter_is_described_by_value(package: Package) -> None:
    lists = {one.oid: one for kind in KINDS for one in package.defines[kind].value_lists}

    def described(oid: str) -> set[str]:
        return {str(item.where).split(".")[2] for item in lists[oid].items}

    def used(kind: Kind, dataset: str, variable: str, filled: str) -> set[str]:
        frame = package.data[kind][dataset].table.select([variable, filled]).to_pandas()
        return {str(one) for one in frame.loc[frame[filled].notna(), variable]}

    for kind, dataset, variable, by in (
        ("sdtm", "LB", "LBORRES", "LBTESTCD"),
        ("sdtm", "RS", "RSSTRESC", "RSTESTCD"),
        ("sdtm", "QS", "QSORRES", "QSTESTCD"),
        ("sdtm", "VS", "VSSTRESN", "VSTESTCD"),
        ("sdtm", "EX", "EXDOSE", "EXTRT"),
        ("sdtm", "EC", "ECDOSE", "ECMOOD"),
        ("sdtm", "SUPPAE", "QVAL", "QNAM"),
        ("adam", "ADLB", "AVAL", "PARAMCD"),
    ):
        assert described(f"VL.{dataset}.{variable}") == used(kind, dataset, by, variable), dataset  # type: ignore[arg-type]


def test_the_primary_table_is_described_as_results_yml_has_it(package: Package) -> None:
    """Read off results/safety.yml by hand: T14.3.3 counts related treatment-emergent events of the safety set."""
    displays = {one.name: one for one in package.defines["adam"].displays}
    assert list(displays) == ["T14.2.1", "T14.2.2", "T14.2.3.1", "T14.2.4", "T14.2.5", "T14.3.1", "T14.3.3"]
    wheres = {one.oid: {check.item: check.values for check in one.checks} for one in package.defines["adam"].wheres}
    result = displays["T14.3.3"].results[0]
    assert (result.reason, result.purpose) == ("SPECIFIED IN PROTOCOL", "PRIMARY OUTCOME MEASURE")
    assert [one.name for one in result.datasets] == ["ADAE", "ADSL"]
    assert wheres[str(result.datasets[0].where)] == {"IT.ADAE.TRTEMFL": ("Y",), "IT.ADAE.AREL": ("RELATED",)}
    assert wheres[str(result.datasets[1].where)] == {"IT.ADSL.SAFFL": ("Y",)}


def test_origins_and_methods_as_the_specification_has_them(package: Package) -> None:
    """Read off sdtm/lb.yml, sdtm/ex.yml, sdtm/dm.yml and adam/adsl.yml by hand."""
    items = {item.oid: item for kind in KINDS for group in package.defines[kind].groups for item in group.items}
    methods = {one.oid: one.text for kind in KINDS for one in package.defines[kind].methods}
    origins = {
        oid: (items[oid].origins[0].type, items[oid].origins[0].source)
        for oid in ("IT.LB.LBDTC", "IT.EX.EXDOSE", "IT.EX.EXDOSU", "IT.QS.QSORRES", "IT.TA.ARM", "IT.DM.SEX")
    }
    assert origins == {
        "IT.LB.LBDTC": ("Collected", "Vendor"),
        "IT.EX.EXDOSE": ("Derived", "Sponsor"),
        "IT.EX.EXDOSU": ("Assigned", "Sponsor"),
        "IT.QS.QSORRES": ("Collected", "Subject"),
        "IT.TA.ARM": ("Protocol", "Sponsor"),
        "IT.DM.SEX": ("Collected", "Investigator"),
    }
    assert methods[str(items["IT.EX.EXDOSE"].method)].startswith(
        "cells over weight, rounded half away from zero to 3 decimals. Here cells is the collected value of cells_"
    )
    assert items["IT.ADSL.AGE"].origins[0].predecessor == "DM.AGE"
    assert items["IT.ADSL.TRTSDT"].origins[0].type == "Derived"
    assert items["IT.ADSL.TRTSDT"].format == "DATE9."


Mutation = Callable[[etree._Element], None]


def found(root: etree._Element, path: str) -> etree._Element:
    elements = root.xpath(path, namespaces=SPACES)
    assert elements, f"{path} is not in the define"
    return elements[0]


def attribute(path: str, name: str, value: str | None) -> Mutation:
    """Set an attribute, or take it away."""

    def mutate(root: etree._Element) -> None:
        element = found(root, path)
        prefix, _, local = name.rpartition(":")
        key = f"{{{SPACES[prefix]}}}{local}" if prefix else local
        if value is None:
            del element.attrib[key]
        else:
            element.set(key, value)

    return mutate


def removed(path: str) -> Mutation:
    """Take an element away."""

    def mutate(root: etree._Element) -> None:
        element = found(root, path)
        element.getparent().remove(element)  # type: ignore[union-attr]

    return mutate


def worded(path: str, text: str) -> Mutation:
    """Set the text of an element."""

    def mutate(root: etree._Element) -> None:
        found(root, path).text = text

    return mutate


def doubled(path: str, **changes: str) -> Mutation:
    """Put a copy of an element behind it, with other attributes."""

    def mutate(root: etree._Element) -> None:
        element = found(root, path)
        other = copy.deepcopy(element)
        for name, value in changes.items():
            other.set(name, value)
        element.addnext(other)

    return mutate


def moved_last(path: str) -> Mutation:
    """Put an element behind its siblings of the same name."""

    def mutate(root: etree._Element) -> None:
        element = found(root, path)
        siblings = element.getparent().findall(element.tag)  # type: ignore[union-attr]
        siblings[-1].addnext(element)

    return mutate


def child(path: str, tag: str, **attributes: str) -> Mutation:
    """Put a new first child into an element."""

    def mutate(root: etree._Element) -> None:
        made = etree.Element(tag)
        for name, value in attributes.items():
            made.set(name, value)
        found(root, path).insert(0, made)

    return mutate


DM = "//odm:ItemGroupDef[@Name='DM']"
LB_LIST = "//def:ValueListDef[@OID='VL.LB.LBORRES']"
WORDS = "/odm:Description/odm:TranslatedText"
ALBUMIN = "//def:WhereClauseDef[@OID='WC.LB.ALB']/odm:RangeCheck/odm:CheckValue"
SEX = "//odm:CodeList[@OID='CL.SEX']"
MUTANTS: dict[str, tuple[Kind, Mutation, str]] = {
    "class of no standard": ("sdtm", attribute(f"{DM}/def:Class", "Name", "SPECIAL"), "class_unknown"),
    "class of another purpose": ("sdtm", attribute(f"{DM}/def:Class", "Name", "BASIC DATA STRUCTURE"), "class_unknown"),
    "class missing": ("sdtm", removed(f"{DM}/def:Class"), "class_unknown"),
    "purpose of another kind": ("sdtm", attribute(DM, "Purpose", "Analysis"), "purpose_unknown"),
    "guide of another kind": (
        "sdtm", attribute("//def:Standard[@Name='SDTMIG']", "Name", "ADaMIG"), "standard_unknown",
    ),
    "terminology without a date": (
        "sdtm", attribute("//def:Standard[@Type='CT']", "Version", "2022"), "standard_unknown",
    ),
    "dataset of no standard": ("sdtm", attribute(DM, "def:StandardOID", None), "standard_unknown"),
    "dataset out of order": ("sdtm", moved_last(DM), "dataset_order"),
    "OrderNumber twice": ("sdtm", attribute(f"{DM}/odm:ItemRef[2]", "OrderNumber", "1"), "order_number"),
    "dataset without Description": ("sdtm", removed(f"{DM}/odm:Description"), "description_missing"),
    "variable without Description": (
        "sdtm", removed("//odm:ItemDef[@OID='IT.DM.AGE']/odm:Description"), "description_missing",
    ),
    "method without words": (
        "sdtm", worded("//odm:MethodDef[1]/odm:Description/odm:TranslatedText", " "), "description_missing",
    ),
    "label of 41 bytes": ("sdtm", worded(f"{DM}/odm:Description/odm:TranslatedText", "x" * 41), "label_too_long"),
    "label of 14 Chinese characters": (
        "sdtm", worded(f"{DM}/odm:Description/odm:TranslatedText", "数" * 14), "label_too_long",
    ),
    "variable in lower case": ("sdtm", attribute("//odm:ItemDef[@OID='IT.DM.AGE']", "Name", "age"), "name_invalid"),
    "variable twice": ("sdtm", attribute("//odm:ItemDef[@OID='IT.DM.AGE']", "Name", "SEX"), "name_invalid"),
    "dataset twice": ("sdtm", doubled(DM, OID="IG.DM2"), "name_invalid"),
    "no structure": ("sdtm", attribute(DM, "def:Structure", " "), "structure_missing"),
    "no domain": ("sdtm", attribute(DM, "Domain", None), "structure_missing"),
    "DM repeating": ("sdtm", attribute(DM, "Repeating", "Yes"), "structure_missing"),
    "a key too few": ("sdtm", attribute(f"{DM}/odm:ItemRef[@KeySequence='1']", "KeySequence", None), "key_missing"),
    "leaf of another dataset": ("sdtm", attribute(DM, "def:ArchiveLocationID", "LF.AE"), "file_missing"),
    "file of another dataset": ("sdtm", attribute(f"{DM}/def:leaf", "xlink:href", "ae.xpt"), "file_missing"),
    "document that is not there": (
        "sdtm", attribute("//def:leaf[@ID='LF.csdrg']", "xlink:href", "guide.pdf"), "href_unresolved",
    ),
    "link out of the folder": (
        "sdtm", attribute("//def:leaf[@ID='LF.csdrg']", "xlink:href", "../csdrg.pdf"), "href_unresolved",
    ),
    "document nobody names": ("sdtm", removed("//def:AnnotatedCRF"), "document_unlinked"),
    "text without length": ("sdtm", attribute("//odm:ItemDef[@OID='IT.DM.SEX']", "Length", None), "length_wrong"),
    "date with length": ("sdtm", attribute("//odm:ItemDef[@OID='IT.DM.RFSTDTC']", "Length", "20"), "length_wrong"),
    "decimal number without digits": (
        "sdtm", attribute("//odm:ItemDef[@OID='IT.LB.LBSTRESN']", "SignificantDigits", None), "length_wrong",
    ),
    "no origin": ("sdtm", removed("//odm:ItemDef[@OID='IT.DM.SEX']/def:Origin"), "origin_missing"),
    "protocol from a vendor": (
        "sdtm", attribute("//odm:ItemDef[@OID='IT.TA.ARM']/def:Origin", "Source", "Vendor"), "origin_missing",
    ),
    "predecessor of no name": (
        "adam", removed("//odm:ItemDef[@OID='IT.ADSL.AGE']/def:Origin/odm:Description"), "origin_missing",
    ),
    "predecessor that is no variable": (
        "adam",
        worded("//odm:ItemDef[@OID='IT.ADSL.AGE']/def:Origin/odm:Description/odm:TranslatedText", "the age"),
        "predecessor_unknown",
    ),
    "predecessor that is not there": (
        "adam",
        worded("//odm:ItemDef[@OID='IT.ADLB.AGE']/def:Origin/odm:Description/odm:TranslatedText", "ADSL.AGED"),
        "predecessor_unknown",
    ),
    "derived without method": (
        "sdtm", attribute("//odm:ItemRef[@ItemOID='IT.DM.RFSTDTC']", "MethodOID", None), "method_missing",
    ),
    "collected with method": (
        "sdtm", attribute("//odm:ItemRef[@ItemOID='IT.DM.SEX']", "MethodOID", "MT.DM.RFSTDTC"), "method_missing",
    ),
    "codelist that is not there": (
        "sdtm", attribute("//odm:ItemDef[@OID='IT.DM.SEX']/odm:CodeListRef", "CodeListOID", "CL.NONE"),
        "reference_dangling",
    ),
    "codelist that is not there, by odmlib": (
        "sdtm", attribute("//odm:ItemDef[@OID='IT.DM.SEX']/odm:CodeListRef", "CodeListOID", "CL.NONE"), "oid",
    ),
    "comment that is not there": ("sdtm", attribute(DM, "def:CommentOID", "COM.NONE"), "reference_dangling"),
    "OID twice": ("sdtm", doubled("//odm:MethodDef[1]"), "reference_dangling"),
    "codelist nobody uses": ("sdtm", doubled(SEX, OID="CL.SEX2"), "definition_unused"),
    "no data and no word": (
        "sdtm", attribute("//odm:ItemDef[@OID='IT.AE.AELLT']", "def:CommentOID", None), "no_data_unexplained",
    ),
    "codelist of another type": ("sdtm", attribute(SEX, "DataType", "integer"), "codelist_type"),
    "term twice": ("sdtm", doubled(f"{SEX}/*[@CodedValue='M']"), "codelist_terms"),
    "codelist without terms": (
        "adam", removed("//odm:CodeList[count(*[@CodedValue])=1]/*[@CodedValue]"), "codelist_terms",
    ),
    "decode without words": (
        "sdtm", worded("//odm:CodeList[@OID='CL.LBTESTCD']//odm:Decode/odm:TranslatedText", " "), "codelist_terms",
    ),
    "value of another variable": (
        "sdtm", attribute("//odm:ItemDef[@OID='IT.LB.LBORRES.ALB']", "Name", "LBSTRESC"), "value_list_variable",
    ),
    "value under no clause": (
        "sdtm", removed(f"{LB_LIST}/odm:ItemRef[1]/def:WhereClauseRef"), "value_list_variable",
    ),
    "clause on another dataset": (
        "sdtm", attribute("//def:WhereClauseDef[@OID='WC.LB.ALB']/odm:RangeCheck", "def:ItemOID", "IT.VS.VSTESTCD"),
        "where_clause_variable",
    ),
    "EQ with two values": (
        "sdtm", doubled(ALBUMIN), "where_clause_variable",
    ),
    "clause with a value of no codelist": (
        "sdtm", worded(ALBUMIN, "ALBU"),
        "where_clause_term",
    ),
    "term that CDISC has not": (
        "sdtm", attribute(f"{SEX}/*[@CodedValue='M']", "CodedValue", "MALE"), "term_not_allowed",
    ),
    "published term as an extension": (
        "sdtm", attribute(f"{SEX}/*[@CodedValue='M']", "def:ExtendedValue", "Yes"), "term_not_allowed",
    ),
    "extension nobody declared": (
        "sdtm", doubled("//odm:CodeList[@OID='CL.FRM']/*[1]", CodedValue="SLURRY", OrderNumber="2"), "term_not_allowed",
    ),
    "C-code of another term": (
        "sdtm", attribute(f"{SEX}/*[@CodedValue='M']/odm:Alias", "Name", "C16576"), "concept_wrong",
    ),
    "C-code of no codelist": ("sdtm", attribute(f"{SEX}/odm:Alias", "Name", "C1"), "concept_wrong"),
    "result of another dataset": (
        "adam", attribute("//arm:AnalysisVariable[@ItemOID='IT.ADTTE.CNSR']", "ItemOID", "IT.ADAE.AESEQ"),
        "analysis_result",
    ),
    "result of no dataset": (
        "adam", attribute("//arm:AnalysisDataset", "ItemGroupOID", "IG.ADXX"), "analysis_result",
    ),
    "parameter of another dataset": (
        "adam", attribute("//arm:AnalysisResult[@ParameterOID='IT.ADTTE.PARAMCD']", "ParameterOID", "IT.ADEX.PARAMCD"),
        "analysis_result",
    ),
    "reason that ARM does not know": (
        "adam", attribute("//arm:AnalysisResult", "AnalysisReason", "BECAUSE"), "odmlib",
    ),
    "attribute of no schema": ("sdtm", attribute(DM, "Colour", "red"), "xsd"),
    "type of no schema": ("sdtm", attribute("//odm:ItemDef[@OID='IT.DM.SEX']", "DataType", "words"), "xsd"),
    "type odmlib does not know": ("sdtm", attribute("//odm:ItemDef[@OID='IT.DM.SEX']", "DataType", "words"), "odmlib"),
    "type of ODM only": ("sdtm", attribute("//odm:ItemDef[@OID='IT.DM.SEX']", "DataType", "string"), "type_unknown"),
    "element of no schema": ("sdtm", child(DM, f"{{{ODM}}}Remark"), "xsd"),
}  # fmt: skip


def mutated(package: Package, kind: Kind, mutate: Mutation) -> bytes:
    root = etree.fromstring(package.content(kind))
    mutate(root)
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8")


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_caught_by_its_rule(package: Package, name: str) -> None:
    kind, mutate, rule = MUTANTS[name]
    found = problems_of(mutated(package, kind, mutate), study=package.study, beside=names_in(package.folders[kind]))
    assert rule in {one.rule for one in found}, found


def test_what_is_no_xml_is_said(package: Package) -> None:
    assert [one.rule for one in problems_of(package.content("sdtm")[:-20])] == ["not_xml"]


def item(oid: str) -> str:
    return f"//odm:ItemDef[@OID='IT.{oid}']"


def reference(oid: str) -> str:
    return f"//odm:ItemRef[@ItemOID='IT.{oid}']"


AGREEMENT: dict[str, tuple[Kind, Mutation, str]] = {
    "dataset nobody delivered": ("sdtm", doubled(DM, Name="DX"), "dataset_not_delivered"),
    "dataset nobody described": ("sdtm", removed(DM), "dataset_not_described"),
    "label of a dataset": ("sdtm", worded(DM + WORDS, "Demography"), "dataset_label_differs"),
    "dataset without data": ("sdtm", attribute(DM, "def:HasNoData", "Yes"), "has_no_data_differs"),
    "variable nobody delivered": ("sdtm", attribute(item("DM.AGE"), "Name", "AAGE"), "variable_not_delivered"),
    "variable nobody described": ("sdtm", removed(reference("DM.AGE")), "variable_not_described"),
    "order of variables": ("sdtm", attribute(reference("DM.SEX"), "OrderNumber", "99"), "variable_order_differs"),
    "label of a variable": ("sdtm", worded(item("DM.AGE") + WORDS, "Years"), "label_differs"),
    "length": ("sdtm", attribute(item("DM.SEX"), "Length", "2"), "length_differs"),
    "text as number": ("sdtm", attribute(item("DM.SEX"), "DataType", "integer"), "type_differs"),
    "date as date and time": ("sdtm", attribute(item("DM.BRTHDTC"), "DataType", "datetime"), "type_differs"),
    "decimal digits": ("sdtm", attribute(item("LB.LBSTRESN"), "SignificantDigits", "9"), "digits_differ"),
    "term nobody uses": ("sdtm", doubled(f"{SEX}/*[@CodedValue='M']", CodedValue="U"), "term_not_used"),
    "term that is lacking": ("sdtm", removed(f"{SEX}/*[@CodedValue='M']"), "value_not_in_codelist"),
    "mandatory and missing": ("sdtm", attribute(reference("DM.DTHFL"), "Mandatory", "Yes"), "mandatory_missing"),
    "data where none is said": ("sdtm", attribute(reference("DM.SEX"), "def:HasNoData", "Yes"), "has_no_data_differs"),
    "keys that are not unique": ("sdtm", attribute(reference("VS.VSTESTCD"), "KeySequence", None), "key_not_unique"),
    "clause without records": ("sdtm", worded(ALBUMIN, "ALBU"), "where_without_records"),
    "values under no clause": ("sdtm", removed(f"{LB_LIST}/odm:ItemRef[1]"), "value_not_described"),
    "type under a clause": ("sdtm", attribute(item("RS.RSORRES.CPS0102"), "DataType", "integer"), "type_differs"),
    "length under a clause": ("sdtm", attribute(item("RS.RSORRES.CPS0102"), "Length", "99"), "length_differs"),
}  # fmt: skip


@pytest.mark.parametrize("name", AGREEMENT)
def test_what_the_data_do_not_bear_out_is_caught(package: Package, name: str) -> None:
    kind, mutate, rule = AGREEMENT[name]
    document = Document.parse(mutated(package, kind, mutate))
    delivered = package.delivered(kind, "DM", "LB", "RS", "VS")
    assert rule in {one.rule for one in agreement_problems(document, delivered)}


def test_a_record_too_few_is_caught(package: Package) -> None:
    (one,) = package.delivered("sdtm", "DM")
    short = Delivered(one.name, one.label, one.table.slice(1), one.labels, one.lengths)
    assert [problem.rule for problem in row_problems([short], package.data["sdtm"])] == ["rows_differ"]


def test_a_page_that_does_not_show_the_variable_is_caught(package: Package) -> None:
    pages = {"DM.SEX": (2,), "SUPPAE.QVAL.AEDLT": (3, 4)}
    document = Document.parse(to_xml(replace(package.defines["sdtm"], pages=pages)))
    assert list(page_problems(document, pages)) == []
    moved = {"DM.SEX": (3,), "SUPPAE.QVAL.AEDLT": (3,)}
    assert [(one.rule, one.place) for one in page_problems(document, moved)] == [
        ("crf_page", "DM.SEX"),
        ("crf_page", "SUPPAE.QVAL.AEDLT"),
    ]
