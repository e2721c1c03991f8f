"""ODM-XML: rows, lines, transactions and hostile files. Expected values are written down from the files themselves."""

from __future__ import annotations

import csv
from pathlib import Path

import pandas as pd
import pytest
from lxml import etree

from transforms.errors import FileRefusedError
from transforms.sources.odm import OdmExtract, read_odm
from transforms.sources.transactions import apply_transactions
from transforms.study.models import OdmSource

NS = 'xmlns="http://www.cdisc.org/ns/odm/v1.3"'
METADATA = """\
<Study OID="S1"><MetaDataVersion OID="M1" Name="M1">
<ItemGroupDef OID="IG.VS" Name="VS" Repeating="Yes"><ItemRef ItemOID="IT.SYS" Mandatory="No"/>
<ItemRef ItemOID="IT.WT" Mandatory="No"/></ItemGroupDef>
</MetaDataVersion></Study>
"""


def odm(data: str, *, kind: str = "Snapshot", head: str = "", metadata: str = METADATA) -> str:
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<ODM {NS} FileType="{kind}" FileOID="F1" ODMVersion="1.3.2" '
        f'CreationDateTime="2024-04-01T06:00:00" {head}>\n{metadata}'
        f'<ClinicalData StudyOID="S1" MetaDataVersionOID="M1">\n{data}\n</ClinicalData>\n</ODM>\n'
    )


def subject(content: str, key: str = "001", kind: str = "") -> str:
    kind = f' TransactionType="{kind}"' if kind else ""
    return (
        f'<SubjectData SubjectKey="{key}"{kind}>\n<StudyEventData StudyEventOID="SE.1">\n'
        f'<FormData FormOID="F.VS">\n{content}\n</FormData>\n</StudyEventData>\n</SubjectData>'
    )


def group(items: dict[str, str], repeat: str = "1", kind: str = "", extra: str = "") -> str:
    kind = f' TransactionType="{kind}"' if kind else ""
    inside = "\n".join(f'<ItemData ItemOID="{oid}" Value="{value}"/>' for oid, value in items.items())
    return (
        f'<ItemGroupData ItemGroupOID="IG.VS" ItemGroupRepeatKey="{repeat}"{kind}>\n{extra}{inside}\n</ItemGroupData>'
    )


def contract(**changes: object) -> OdmSource:
    names = ("SUBJ", "VISIT", "NO", "SYS", "WT", "WTU")
    written: dict[str, object] = {
        "source": "vs",
        "label": "Vital signs",
        "files": "*.xml",
        "format": "odm",
        "delivery": "full",
        "subject": "SUBJ",
        "item_groups": ["IG.VS"],
        "system": {"SUBJ": "subject_key", "VISIT": "event_oid", "NO": "group_repeat"},
        "items": {"SYS": "IT.SYS", "WT": "IT.WT"},
        "units": {"WTU": "IT.WT"},
        "columns": {name: {} for name in names},
    }
    return OdmSource.model_validate(written | changes)


def read(tmp_path: Path, content: str | bytes, source: OdmSource | None = None, name: str = "a.xml") -> OdmExtract:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_odm(path, name, "S1", [source or contract()])[0]["vs"]


def rules(extract: OdmExtract) -> set[str]:
    return {note.rule for note in extract.notes}


def rows(extract: OdmExtract) -> list[dict[str, object]]:
    frame = extract.frame.astype(object)
    return frame.where(frame.notna(), None).to_dict("records")


def test_each_item_group_is_a_row_with_its_keys_and_its_line(tmp_path: Path) -> None:
    weight = (
        '<ItemDataFloat ItemOID="IT.WT">70.5<MeasurementUnitRef MeasurementUnitOID="MU.KG"/></ItemDataFloat>\n'
        '<ItemData ItemOID="IT.SYS" IsNull="Yes"/>'
    )
    content = odm(subject(group({"IT.SYS": "120"}) + "\n" + group({}, "2", extra=weight)))
    extract = read(tmp_path, content)
    assert rows(extract) == [
        {"SUBJ": "001", "VISIT": "SE.1", "NO": "1", "SYS": "120", "WT": None, "WTU": None},
        {"SUBJ": "001", "VISIT": "SE.1", "NO": "2", "SYS": None, "WT": "70.5", "WTU": "MU.KG"},
    ]
    starts = [at for at, line in enumerate(content.split("\n"), start=1) if line.startswith("<ItemGroupData")]
    assert extract.lines.tolist() == starts
    assert rules(extract) == set()
    assert extract.declared_at == "2024-04-01T06:00:00"


def test_lines_are_exact_beyond_65535(tmp_path: Path) -> None:
    many = "\n".join(group({"IT.SYS": str(at)}, str(at)) for at in range(30_000))
    content = odm(subject(many))
    extract = read(tmp_path, content)
    starts = [at for at, line in enumerate(content.split("\n"), start=1) if line.startswith("<ItemGroupData")]
    assert starts[-1] > 65_535
    assert extract.lines.tolist() == starts


def test_unknown_items_groups_units_and_vendor_extensions_are_said(tmp_path: Path) -> None:
    content = odm(
        subject(
            group({"IT.NEW": "x"}, extra='<v:Thing xmlns:v="urn:vendor"/>')
            + '<ItemGroupData ItemGroupOID="IG.OTHER"><ItemData ItemOID="I" Value="1"/></ItemGroupData>'
            + '<Signature><UserRef UserOID="U"/></Signature>'
        )
    )
    extract = read(tmp_path, content)
    assert list(extract.extra) == ["IT.NEW"]
    assert rules(extract) == {"item_group_not_taken", "vendor_extension", "element_not_taken"}
    unit = '<ItemData ItemOID="IT.WT" Value="70"><MeasurementUnitRef MeasurementUnitOID="MU.KG"/></ItemData>'
    names = {name: {} for name in ("SUBJ", "VISIT", "NO", "SYS", "WT")}
    extract = read(tmp_path, odm(subject(group({}, extra=unit))), contract(units={}, columns=names))
    assert rules(extract) == {"unit_not_taken"}
    assert "metadata_not_in_file" in rules(read(tmp_path, odm(subject(group({})), metadata="")))
    assert "rows_share_lines" in rules(read(tmp_path, odm(subject(group({}) + group({}, "2"))).replace("\n", " ", 40)))


def test_queries_annotations_and_audit_records_are_kept_without_identifiers(tmp_path: Path) -> None:
    audit = (
        '<AuditRecord><UserRef UserOID="U1"/><LocationRef LocationOID="L1"/>'
        "<DateTimeStamp>2024-03-01T10:00:00</DateTimeStamp><ReasonForChange>slip</ReasonForChange></AuditRecord>"
    )
    item = (
        f'<ItemData ItemOID="IT.SYS" Value="121">{audit}<Annotation SeqNum="1"><Comment>seen</Comment></Annotation>'
        '<m:Query xmlns:m="http://www.mdsol.com/ns/odm/metadata" Value="Really?" Status="Open" Recipient="Site"/>'
        "</ItemData>"
    )
    extract = read(tmp_path, odm(subject(group({}, extra=item))))
    kept = {row[0]: row for row in extract.audit}
    assert kept["audit"][2:] == (
        "IT.SYS",
        "SYS",
        None,
        None,
        "121",
        None,
        "U1",
        "L1",
        "2024-03-01T10:00:00",
        "slip",
        12,
    )
    assert kept["annotation"][6] == "seen"
    assert kept["query"][6:9] == ("Really?", "Open", "Site")
    assert kept["query"][1] == "001|SE.1||F.VS||IG.VS|1"
    hidden = contract(
        columns={
            **{name: {} for name in ("VISIT", "NO", "WT", "WTU")},
            "SUBJ": {"identifier": True},
            "SYS": {"identifier": True},
        }
    )
    told = repr(read(tmp_path, odm(subject(group({}, extra=item), key="ZHANG")), hidden).audit)
    assert "121" not in told and "ZHANG" not in told and "seen" not in told


REFUSED = {
    "truncated": ("truncated_file", odm(subject(group({"IT.SYS": "1"})))[:-40], "line"),
    "cut in a tag": ("truncated_file", odm(subject(group({})))[:-3], "cut off"),
    "not well-formed": ("malformed_xml", odm("<a></b>"), "line 8, column 6"),
    "entity bomb": (
        "xml_doctype",
        odm(subject(group({"IT.SYS": "&b;"}))).replace(
            "<ODM", '<!DOCTYPE ODM [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>\n<ODM', 1
        ),
        "line 2",
    ),
    "external entity": (
        "xml_doctype",
        odm("&x;").replace("<ODM", '<!DOCTYPE ODM [<!ENTITY x SYSTEM "file:///etc/passwd">]>\n<ODM', 1),
        "document type",
    ),
    "remote DTD": (
        "xml_doctype",
        odm("").replace("<ODM", '<!DOCTYPE ODM SYSTEM "http://127.0.0.1:9/x.dtd">\n<ODM', 1),
        "DOCTYPE",
    ),
    "unknown entity": ("malformed_xml", odm("&x;"), "undefined entity"),
    "deep nesting": ("xml_too_deep", odm("<a>" * 200 + "</a>" * 200), "deeper than 100"),
    "huge text": ("xml_text_too_long", odm(subject(group({"IT.SYS": "1" * 10_000_001}))), "10,000,000"),
    "huge element text": (
        "xml_text_too_long",
        odm(subject(group({}, extra=f'<ItemDataString ItemOID="IT.SYS">{"1" * 10_000_001}</ItemDataString>'))),
        "10,000,000",
    ),
    "NUL": ("nul_byte", odm(subject(group({"IT.SYS": "1\0"}))), "line 12, column 36"),
    "control character": ("control_character", odm(subject(group({"IT.SYS": "1\x07"}))), "U+0007"),
    "control character by reference": ("malformed_xml", odm(subject(group({"IT.SYS": "&#7;"}))), "line 12"),
    "not the declared encoding": ("wrong_encoding", odm("é").encode("latin-1"), "says it is utf-8 and is not"),
    "unknown encoding": ("wrong_encoding", odm("").replace("UTF-8", "EBCDIC-9", 1), "EBCDIC-9"),
    "encodes no text": ("wrong_encoding", odm("").replace("UTF-8", "hex", 1), "encoding hex, which is unknown"),
    "not as its first line is": ("wrong_encoding", odm("").replace("UTF-8", "UTF-16", 1), "says it is UTF-16"),
    "damaged before": ("wrong_encoding", odm(subject(group({"IT.SYS": "\ufffd"}))), "wrong conversion"),
    "empty": ("empty_file", b"", "empty"),
    "HTML": ("not_odm", "<html><body/></html>", "its root is html"),
    "ODM 2.0": ("not_odm", odm("").replace("v1.3", "v2.0"), "v2.0"),
    "metadata only": ("no_clinical_data", odm("").replace("ClinicalData", "AdminData"), "only metadata"),
    "another study": ("wrong_study", odm("").replace('StudyOID="S1"', 'StudyOID="S2"'), "is not S1"),
    "item missing": ("missing_column", odm("").replace('"IT.WT"', '"IT.WEIGHT"'), "IT.WT"),
    "group missing": ("missing_column", odm("").replace('OID="IG.VS"', 'OID="IG.V"'), "IG.VS"),
    "transactional": ("transactional_not_expected", odm("", kind="Transactional"), "Transactional"),
    "item missing in the version of the data": (
        "missing_column",
        odm("", metadata=METADATA + METADATA.replace("M1", "M0").replace("IT.WT", "IT.W")).replace(
            'MetaDataVersionOID="M1"', 'MetaDataVersionOID="M0"'
        ),
        "MetaDataVersion M0 lacks",
    ),
    "item group in an item group": ("malformed_odm", odm(subject(group({}, extra=group({})))), "line 12"),
    "form in an item group": ("malformed_odm", odm(subject(group({}, extra=subject("")))), "line 12"),
    "unknown transaction": ("malformed_odm", odm(subject(group({}, kind="Delete"))), "line 11"),
    "out of place": ("malformed_odm", odm('<ItemData ItemOID="IT.SYS" Value="1"/>'), "line 8"),
}  # fmt: skip


@pytest.mark.parametrize("fault", REFUSED)
def test_a_file_that_cannot_be_trusted_is_refused_by_rule(tmp_path: Path, fault: str) -> None:
    rule, content, said = REFUSED[fault]
    with pytest.raises(FileRefusedError) as caught:
        read(tmp_path, content)
    assert (caught.value.rule, caught.value.file) == (rule, "a.xml")
    assert said in str(caught.value)
    assert caught.value.remedy


UNCLEAR = {
    "two values": ('<ItemData ItemOID="IT.SYS" Value="120"/>\n<ItemData ItemOID="IT.SYS" Value="210"/>', "two values"),
    "null and a value": ('<ItemData ItemOID="IT.SYS" IsNull="Yes" Value="120"/>', "is null, and gives its value"),
    "null and a text": ('<ItemDataInteger ItemOID="IT.SYS" IsNull="Yes">120</ItemDataInteger>', "is null, and gives"),
    "text of ItemData": ('<ItemData ItemOID="IT.SYS">120</ItemData>', "in the wrong place"),
    "attribute of typed ItemData": ('<ItemDataInteger ItemOID="IT.SYS" Value="120"/>', "in the wrong place"),
    "removed item": ('<ItemData ItemOID="IT.SYS" Value="120" TransactionType="Remove"/>', "Remove or Context"),
}


@pytest.mark.parametrize("delivery", ["full", "incremental"])
@pytest.mark.parametrize("fault", [*UNCLEAR, "removed row", "row of context"])
def test_an_item_group_that_says_two_things_is_held_and_the_others_are_taken(
    tmp_path: Path, fault: str, delivery: str
) -> None:
    inside, why = UNCLEAR.get(fault, ("", "Remove or Context"))
    kind = {"removed row": "Remove", "row of context": "Context"}.get(fault, "")
    source = contract(delivery=delivery)
    content = odm(subject(group({"IT.WT": "70"}, kind=kind, extra=inside) + "\n" + group({"IT.SYS": "130"}, "2")))
    extract = read(tmp_path, content, source)
    if delivery == "incremental":
        ((_, extract),) = apply_transactions(source, [extract])
    assert outcomes(extract) == ["item_group_unclear", "accepted"]
    (held,) = extract.settled
    assert held.note is not None and held.note.remedy
    assert (held.outcome, held.note.lines, why in held.note.message) == ("quarantined", (11,), True)
    assert rows(extract)[1]["SYS"] == "130"


def test_an_item_given_twice_alike_and_several_transactions_on_one_are_clear(tmp_path: Path) -> None:
    twice = '<ItemData ItemOID="IT.SYS" Value="120"/>'
    assert read(tmp_path, odm(subject(group({}, extra=twice + twice)))).settled == ()
    changes = (
        '<ItemData ItemOID="IT.SYS" Value="120" TransactionType="Insert"/>\n'
        '<ItemData ItemOID="IT.SYS" Value="210" TransactionType="Update"/>'
    )
    (one,) = transactional(tmp_path, ("F1", "", subject(group({}, kind="Insert", extra=changes))))
    assert (outcomes(one), rows(one)[0]["SYS"]) == (["accepted"], "210")


def test_typed_item_data_keep_the_unit_of_their_attribute_and_the_value_beside_an_audit_record(
    tmp_path: Path,
) -> None:
    """ODM 1.3.2, ItemData[TYPE]: AuditRecordID and MeasurementUnitOID are attributes, the content is the value."""
    audit = "<AuditRecord><UserRef UserOID='U1'/><DateTimeStamp>2024-03-01</DateTimeStamp></AuditRecord>"
    items = (
        '<ItemDataFloat ItemOID="IT.WT" MeasurementUnitOID="MU.LB">154<!-- as read --><![CDATA[.3]]></ItemDataFloat>\n'
        f'<ItemDataInteger ItemOID="IT.SYS">120{audit}</ItemDataInteger>'
    )
    (row,) = rows(read(tmp_path, odm(subject(group({}, extra=items)))))
    assert (row["WT"], row["WTU"], row["SYS"]) == ("154.3", "MU.LB", "120")


@pytest.mark.parametrize("version", [' MetaDataVersionOID="M2"', ""])
def test_data_of_a_version_that_the_file_does_not_define_are_said(tmp_path: Path, version: str) -> None:
    content = odm(subject(group({"IT.SYS": "1"}))).replace(' MetaDataVersionOID="M1"', version)
    (note,) = read(tmp_path, content).notes
    assert (note.rule, note.lines) == ("metadata_not_in_file", (7,))


def test_reference_data_are_no_rows_of_a_subject(tmp_path: Path) -> None:
    reference = f'<ReferenceData StudyOID="S1" MetaDataVersionOID="M1">{group({"IT.SYS": "5"})}</ReferenceData>'
    path = tmp_path / "a.xml"
    path.write_text(odm(subject(group({"IT.SYS": "1"}))).replace("<Clin", reference + "<Clin", 1), encoding="utf-8")
    extracts, groups = read_odm(path, "a.xml", "S1", [contract()])
    assert (groups, extracts["vs"].frame["SYS"].tolist(), rules(extracts["vs"])) == (2, ["1"], {"element_not_taken"})


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "gb18030"])
def test_a_declared_encoding_and_a_byte_order_mark_are_read(tmp_path: Path, encoding: str) -> None:
    content = odm(subject(group({"IT.SYS": "高"})))
    if encoding != "utf-8-sig":
        content = content.replace("UTF-8", encoding, 1)
    assert read(tmp_path, content.encode(encoding)).frame["SYS"].tolist() == ["高"]


def transactional(tmp_path: Path, *files: tuple[str, str, str]) -> list[OdmExtract]:
    source = contract(delivery="incremental")
    extracts = []
    for oid, prior, data in files:
        content = odm(data, kind="Transactional", head=f'PriorFileOID="{prior}"' if prior else "")
        extracts.append(read(tmp_path, content.replace('FileOID="F1"', f'FileOID="{oid}"', 1), source))
    return [extract for _, extract in apply_transactions(source, extracts)]


def outcomes(extract: OdmExtract) -> list[str]:
    result = ["accepted"] * len(extract.frame)
    for one in extract.settled:
        for row in one.rows:
            result[row] = one.rule
    return result


def test_transactions_apply_in_the_order_of_prior_files_and_keep_every_earlier_value(tmp_path: Path) -> None:
    """Semantics of ODM 1.3, Transactions: Update changes what it names, Upsert either, Remove takes all below."""
    first = subject(
        "\n".join(
            [group({"IT.SYS": "120", "IT.WT": "70"}), group({"IT.SYS": "130"}, "2"), group({"IT.SYS": "9"}, "3")]
        ),
        kind="Insert",
    )
    audit = '<AuditRecord><UserRef UserOID="U2"/><DateTimeStamp>2024-03-09T09:00:00</DateTimeStamp></AuditRecord>\n'
    second = subject(
        "\n".join(
            [
                group({"IT.SYS": "125"}, kind="Update", extra=audit),
                group({}, "2", kind="Remove"),
                group({"IT.SYS": "140"}, "4", kind="Upsert"),
                group({"IT.SYS": "777"}, "3", kind="Context"),
            ]
        ),
        kind="Context",
    )
    third = (
        '<SubjectData SubjectKey="002" TransactionType="Insert">' + subject(group({"IT.SYS": "1"})).split("\n", 1)[1]
    )
    fourth = '<SubjectData SubjectKey="002" TransactionType="Remove"/>'
    # Given out of order: the chain of PriorFileOID decides.
    one, two, three, four = transactional(
        tmp_path, ("F1", "", first), ("F4", "F3", fourth), ("F3", "F2", third), ("F2", "F1", second)
    )
    assert [extract.file_oid for extract in (one, two, three, four)] == ["F1", "F2", "F3", "F4"]
    assert outcomes(one) == ["later_transaction", "later_transaction", "accepted"]
    assert outcomes(two) == ["accepted", "removed_at_source", "accepted"]
    assert outcomes(three) == ["removed_at_source"]
    assert [(row["NO"], row["SYS"], row["WT"]) for row in rows(two)] == [
        ("1", "125", "70"),
        ("2", None, None),
        ("4", "140", None),
    ]
    changes = [row[2:7] + row[8:11] for row in two.audit if row[0] == "change"]
    assert ("IT.SYS", "SYS", "Update", "120", "125", "U2", None, "2024-03-09T09:00:00") in changes
    assert (None, "SYS", "Remove", "130", None, None, None, None) in changes
    assert not any("777" in row for row in changes)
    assert any(row[4:7] == ("Remove", "1", None) for row in four.audit)


def test_transactions_that_do_not_fit_are_held_and_a_missing_file_is_said(tmp_path: Path) -> None:
    first = subject(group({"IT.SYS": "120"}, kind="Insert") + "\n" + group({"IT.SYS": "1"}, "2", kind="Update"))
    again = subject(
        group({"IT.SYS": "121"}, kind="Insert") + "\n" + group({}, "7", kind="Remove") + "\n" + group({}, "8")
    )
    one, two = transactional(tmp_path, ("F1", "", first), ("F3", "F2", again))
    assert outcomes(one) == ["accepted", "transaction_conflict"]
    assert outcomes(two) == ["transaction_conflict"] * 3
    assert {note.rule for note in two.notes} >= {"prior_file_missing"}
    why = {settled.note.message for settled in two.settled if settled.note}
    assert len(why) == 3 and any("says no TransactionType" in message for message in why)


@pytest.mark.parametrize(
    ("pairs", "strange"),
    [
        ((("001", "A"), ("001", "A"), ("002", "B")), []),
        ((("001", "A"), ("001", "A"), ("002", "B"), ("001", "B"), ("002", "B")), [3]),
        ((("001", "A"), ("001", "A"), ("002", "A")), [2]),
        ((("001", "A"), ("001", ""), ("001", "A ")), []),
    ],
)
def test_subjects_that_do_not_go_with_their_subject_key_are_said(
    tmp_path: Path, pairs: tuple[tuple[str, str], ...], strange: list[int]
) -> None:
    items = {"SUBJ": "IT.SYS"}
    columns = {name: {} for name in ("SUBJ", "VISIT", "NO", "WT")}
    source = contract(
        items=items | {"WT": "IT.WT"}, system={"VISIT": "event_oid", "NO": "group_repeat"}, units={}, columns=columns
    )
    content = odm("\n".join(subject(group({"IT.SYS": named}), key) for key, named in pairs))
    extract = read(tmp_path, content, source)
    starts = [at for at, line in enumerate(content.split("\n"), start=1) if line.startswith("<ItemGroupData")]
    told = [note.lines for note in extract.notes if note.rule == "subject_key_contradicts"]
    assert told == ([tuple(starts[at] for at in strange)] if strange else [])


ROW = subject(group({"IT.SYS": "120"}), kind="Insert")
CHANGED = subject(group({"IT.SYS": "125"}), kind="Update")


@pytest.mark.parametrize(
    ("files", "unclear"),
    [
        ((("F1", "", ROW), ("F2", "F1", CHANGED), ("F3", "F2", CHANGED)), []),
        ((("F1", "", ROW), ("F1", "", CHANGED)), []),
        ((("F1", "", ROW), ("F2", "F1", CHANGED), ("F3", "F1", CHANGED)), [1, 2]),
        ((("F1", "", ROW), ("F1", "", CHANGED), ("F3", "F1", CHANGED)), [2]),
        ((("F1", "F2", ROW), ("F2", "F1", CHANGED)), [0]),
        ((("F1", "F1", ROW),), [0]),
    ],
)
def test_files_that_do_not_say_their_order_are_told(
    tmp_path: Path, files: tuple[tuple[str, str, str], ...], unclear: list[int]
) -> None:
    applied = transactional(tmp_path, *files)
    assert [at for at, one in enumerate(applied) if "file_order_unclear" in rules(one)] == unclear


def test_removals_of_what_is_not_there_are_known_by_line(tmp_path: Path) -> None:
    """A Remove that lists the rows below takes them one by one, and is then no removal of nothing."""
    absent = '<SubjectData SubjectKey="009" TransactionType="Remove"/>\n'
    form = '<FormData FormOID="F.ZZ" TransactionType="Remove"/>'
    other = subject("", kind="Context").replace('<FormData FormOID="F.VS">\n\n</FormData>', form)
    whole = subject(group({"IT.SYS": "120"}), kind="Remove")
    one, two = transactional(tmp_path, ("F1", "", ROW), ("F2", "F1", absent + other + whole))
    assert (one.unmatched, two.unmatched) == (frozenset(), frozenset({8, 11}))
    assert outcomes(two) == ["removed_at_source"]


def test_values_given_as_context_that_do_not_stand_are_said(tmp_path: Path) -> None:
    """ODM 1.3, TransactionType: Context says where changes belong; it changes nothing itself."""
    first = subject(group({"IT.SYS": "120", "IT.WT": "70"}) + "\n" + group({"IT.SYS": "9"}, "3"), kind="Insert")
    item = '<ItemData ItemOID="IT.WT" Value="{}" TransactionType="Context"/>\n'
    second = subject(
        "\n".join(
            [
                group({"IT.SYS": "121"}, kind="Update", extra=item.format(71)),
                group({"IT.SYS": "9"}, "3", kind="Context"),
                group({"IT.SYS": "777"}, "3", kind="Context"),
                group({"IT.SYS": "1"}, "8", kind="Context"),
            ]
        ),
        kind="Context",
    )
    one, two = transactional(tmp_path, ("F1", "", first), ("F2", "F1", second))
    assert "context_differs" not in rules(one)
    content = odm(second).split("\n")
    said = {note.variable: note.lines for note in two.notes if note.rule == "context_differs"}
    at = {
        value: next(n for n, line in enumerate(content, 1) if f'Value="{value}"' in line)
        for value in ("71", "777", "1")
    }
    assert said == {"WT": (at["71"],), "SYS": (at["777"], at["1"])}
    assert [(row["NO"], row["SYS"], row["WT"]) for row in rows(two)] == [("1", "121", "70")]

    same = group({"IT.SYS": "122"}, kind="Update", extra=item.format(70))
    _, sound = transactional(tmp_path, ("F1", "", first), ("F2", "F1", subject(same, kind="Context")))
    assert "context_differs" not in rules(sound)


def test_an_audit_record_without_a_date_is_asked_about(tmp_path: Path) -> None:
    """ODM 1.3: DateTimeStamp is required in an AuditRecord, within the data or in AuditRecords."""
    record = '<AuditRecord{}><UserRef UserOID="U2"/>{}</AuditRecord>\n'
    date = "<DateTimeStamp>2024-03-09T09:00:00</DateTimeStamp>"
    content = odm(subject(group({"IT.SYS": "120"}, extra=record.format("", date)) + "\n"
                          + group({"IT.SYS": "130"}, "2", extra=record.format("", "<DateTimeStamp/>"))))  # fmt: skip
    lines = [n for n, line in enumerate(content.split("\n"), 1) if "<AuditRecord" in line]
    (note,) = [one for one in read(tmp_path, content).notes if one.rule == "audit_without_date"]
    assert note.lines == (lines[1],)
    assert "audit_without_date" not in rules(read(tmp_path, content.replace("<DateTimeStamp/>", date)))

    apart = odm(subject(group({"IT.SYS": "120"}).replace('Value="120"', 'Value="120" AuditRecordID="A1"')))
    trail = record.format(' ID="A1"', date)
    given = apart.replace("</ClinicalData>", f"<AuditRecords>\n{trail}</AuditRecords>\n</ClinicalData>")
    assert "audit_without_date" in rules(read(tmp_path, apart))
    assert "audit_without_date" not in rules(read(tmp_path, given))


def test_redcap_as_xml_and_as_csv_are_the_same_cell_by_cell(foreign_formats: Path, tmp_path: Path) -> None:
    """formats/redcap: one project exported twice, 500 subjects with 13 fields."""
    with (foreign_formats / "redcap" / "data.csv").open(encoding="utf-8-sig", newline="") as stream:
        expected = [{name: value or None for name, value in row.items()} for row in csv.DictReader(stream)]
    source = contract(
        subject="record_id",
        item_groups=["demographics.record_id", "demographics.demographics_complete"],
        row="form",
        system={},
        items={},
        units={},
        columns={name: {} for name in expected[0]},
    )
    path = foreign_formats / "redcap" / "project.xml"
    extracts, groups = read_odm(path, "project.xml", "Project.REDCapRClinicaltrial1", [source])
    assert len(expected) == 500
    assert groups == 1000
    found = rows(extracts["vs"])
    assert found == expected
    assert sum(len(row) for row in found) == 6500
    assert {note.rule for note in extracts["vs"].notes} == {"vendor_extension"}


def test_every_value_of_foreign_odm_agrees_with_a_reading_by_lxml(foreign_formats: Path) -> None:
    """The second opinion: lxml with a tree, for each item group of both files."""
    ns = "{http://www.cdisc.org/ns/odm/v1.3}"
    checked = 0
    for path, study in (("odm-data-snapshot.xml", "1001_virus"), ("test_clinical_data_01.xml", "P2006-101")):
        tree = etree.parse(str(foreign_formats / "odm" / path))
        for oid in sorted({one.get("ItemGroupOID") for one in tree.iter(f"{ns}ItemGroupData")}):
            groups = [one for one in tree.iter(f"{ns}ItemGroupData") if one.get("ItemGroupOID") == oid]
            items = sorted({item.get("ItemOID") for one in groups for item in one})
            columns = {name: {} for name in ("_subject_key", *items)}
            source = contract(
                item_groups=[oid],
                subject="_subject_key",
                system={"_subject_key": "subject_key"},
                items={},
                units={},
                columns=columns,
            )
            extract = read_odm(foreign_formats / "odm" / path, path, study, [source])[0]["vs"]
            wanted = []
            for one in groups:
                values = {item.get("ItemOID"): (item.get("Value") or "").strip() or None for item in one}
                key = next(one.iterancestors(f"{ns}SubjectData")).get("SubjectKey")
                wanted.append({"_subject_key": key, **{name: values.get(name) for name in items}})
            assert rows(extract) == wanted
            assert extract.lines.tolist() == [one.sourceline for one in groups]
            checked += len(groups) * len(items)
    assert checked > 100


def test_one_file_feeds_several_sources_in_one_pass(tmp_path: Path) -> None:
    other = contract(
        source="weights",
        system={"SUBJ": "subject_key"},
        columns={"SUBJ": {}, "WT": {}},
        items={"WT": "IT.WT"},
        units={},
    )
    path = tmp_path / "a.xml"
    path.write_text(odm(subject(group({"IT.SYS": "120", "IT.WT": "70"}))), encoding="utf-8")
    extracts, groups = read_odm(path, "a.xml", "S1", [contract(), other])
    assert groups == 1
    assert pd.Series(extracts["weights"].frame["WT"]).tolist() == ["70"]
    assert extracts["vs"].frame["SYS"].tolist() == ["120"]
