"""The annotated CRF of the small study; fates and counts are read from its contracts and extracts by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from lxml import etree

from tests.small_study import EXTRACTS, SmallStudy
from tests.submission.pdf import bookmarks_of, pages_of, text_of
from transforms.export import export
from transforms.pipeline import Home
from transforms.submission.guides.acrf_fields import FieldOfForm, Form, forms

FOLDER = Path("m5", "datasets", "small-01", "tabulations", "sdtm")


def fields(small: SmallStudy) -> dict[str, Form]:
    return {one.source: one for one in forms(small.load(), small.run().path)}


def field(form: Form, name: str) -> FieldOfForm:
    (found,) = (one for one in form.fields if one.name == name)
    return found


EXPECTED = {
    ("demog", "SUBJ"): ("mapped", ["DM.USUBJID", "DM.SUBJID"], 3, 0),
    ("demog", "SEX"): ("mapped", ["DM.SEX (codelist sex)"], 3, 0),
    ("dosing", "ROW"): ("read by a rule", [], 4, 0),
    ("dosing", "DRUG"): ("mapped", ["EX.EXTRT"], 4, 0),
    ("dosing", "START"): ("mapped", ["EX.EXSTDTC"], 4, 0),
    ("vitals", "VISIT"): ("mapped", ["VS.VISITNUM", "VS.VISIT"], 6, 0),
    ("vitals", "SYSBP"): ("mapped", ["VS.VSORRES where VSTESTCD = SYSBP"], 5, 1),
    ("vitals", "WEIGHT"): ("mapped", ["VS.VSORRES where VSTESTCD = WEIGHT"], 3, 3),
    ("vitals", "NOTE"): ("not submitted", [], 2, 4),
    ("vitals", "DELETED"): ("read by a rule", [], 6, 0),
}


def test_each_field_has_its_fate_and_its_counts(small: SmallStudy) -> None:
    found = fields(small)
    for (source, name), (fate, told, values, blank) in EXPECTED.items():
        one = field(found[source], name)
        found_there = [annotation.text for annotation in one.annotations]
        assert (one.fate, found_there, one.values, one.blank) == (fate, told, values, blank), name
    assert field(found["vitals"], "NOTE").reason == "Free text"
    assert field(found["dosing"], "ROW").reason == "identifies the record"
    assert field(found["vitals"], "DELETED").reason == "rule deleted_in_source: Deleted in the EDC"
    assert [one.text for one in field(found["vitals"], "WEIGHT_UNIT").annotations] == ["feeds VS.VSORRESU"]
    assert found["vitals"].rows == {("accepted", ""): 6, ("excluded", "deleted_in_source"): 1}


def test_what_a_field_quarantines_is_counted_at_the_field(small: SmallStudy) -> None:
    small.drop("vitals.csv", EXTRACTS["vitals.csv"].replace("2024-02-21", "21st of Feb"))
    vitals = fields(small)["vitals"]
    assert vitals.accepted == 5 and sum(vitals.rows.values()) == 7
    assert [(one.name, one.held) for one in vitals.fields if one.held] == [("DATE", 1)]
    assert field(vitals, "SYSBP").values == 4


def test_a_joined_and_a_hidden_field(small: SmallStudy) -> None:
    """An identifier is withheld and never counted; the sites' extract is joined by SITE."""
    small.specify(
        "sources/sites.yml",
        "source: sites\nlabel: Sites\nfiles: sites*.csv\ndelivery: full\nrecord_id: [SITE]\n"
        "columns:\n  SITE: {}\n  LEADER: {}\n  PHONE: {identifier: true}\n",
    )
    small.drop("sites.csv", "SITE,LEADER,PHONE\n10,A,123\n11,B,456\n")
    small.change("sdtm/dm.yml", "  - source: demog\n", "  - source: demog\n    join: {sites: {by: {SITE: SITE}}}\n")
    small.change("sdtm/dm.yml", "  SITEID:", "  INVNAM: {assign_no_ct: sites.LEADER}\n  SITEID:")
    found = fields(small)
    assert [one.text for one in field(found["sites"], "LEADER").annotations] == ["DM.INVNAM"]
    assert [one.text for one in field(found["sites"], "SITE").annotations] == ["decides DM where joined to demog"]
    assert field(found["sites"], "SITE").fate == "read by a rule"
    phone = field(found["sites"], "PHONE")
    assert (phone.fate, phone.values, phone.blank) == ("withheld", None, None)


def test_the_page_of_each_form(small: SmallStudy) -> None:
    """Every field of every contract stands once; bookmarks lead to forms, and to the forms of each domain."""
    small.change("sources/vitals.yml", "  NOTE: {", "  备注: {label: Remark, not_submitted: Free text}\n  NOTE: {")
    header = EXTRACTS["vitals.csv"].split("\n")[0]
    rows = EXTRACTS["vitals.csv"].split("\n")[1:-1]
    small.drop("vitals.csv", "\n".join([f"{header},备注", *(f"{row},好" for row in rows)]) + "\n")
    study = small.load()
    small.run()
    try:
        written = export(Home(small.home, "small"), small.folder, preview=True)
    except Exception as error:
        if "fonts-noto-cjk" in str(error):
            pytest.skip(f"NOT TESTED: {error}")
        raise
    path = written.folder / FOLDER / "acrf.pdf"
    marks = bookmarks_of(path.read_bytes())
    assert marks.count("Demographics (demog)") == 1 and marks.count("Vital signs (vitals)") == 1
    place = marks.index("By domain")
    assert marks[place:] == ["By domain", "DM", "Demographics", "EX", "Dosing", "VS", "Vital signs"]
    text = text_of(path)
    for source in study.sources.values():
        assert f"{source.label} ({source.source})" in text
    assert text.count("备注 Remark [NOT SUBMITTED] not submitted: Free text 6 0 0") == 1
    assert text.count("VS.VSORRES where VSTESTCD = SYSBP") == 1
    assert "excluded deleted_in_source 1" in text and "delivered 7" in text
    assert "calm, rested" not in text and "好" not in text
    pages, given = pages_of(path), _pages_of_define(written.folder / FOLDER / "define.xml")
    assert {"VS.VSORRES", "DM.SEX", "EX.EXDOSE"} <= set(given)
    for name, numbers in given.items():
        assert all(name in pages[number - 1] for number in numbers), name


def _pages_of_define(path: Path) -> dict[str, list[int]]:
    """The pages of the annotated CRF that a define gives for each variable."""
    tree = etree.parse(path)
    found = {}
    for reference in tree.iterfind(".//{*}ItemDef/{*}Origin/{*}DocumentRef/{*}PDFPageRef"):
        item = reference.getparent().getparent().getparent()
        name = ".".join(item.get("OID").split(".")[1:3])
        found[name] = [int(one) for one in reference.get("PageRefs").split()]
    return found
