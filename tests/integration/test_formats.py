"""The same data as delimited text, ODM and HL7 give the same datasets; one file of several sources; .zip deliveries."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import stat
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from xml.sax.saxutils import quoteattr

import pandas as pd
import pyarrow.parquet as pq
import pytest

from tests.integration.test_extracts import accounts_close, dataset, findings, lines
from tests.small_study import EXTRACTS, SPECIFICATION, SmallStudy
from transforms.errors import NothingPublishedError, UsageError
from transforms.ingest import Ingested, ingest, look
from transforms.trace import Tracer
from transforms.warehouse.raw_store import RawStore

NS = 'xmlns="http://www.cdisc.org/ns/odm/v1.3"'
FORMS = {"demog": "IG.DM", "dosing": "IG.EX", "vitals": "IG.VS"}


def records(name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(EXTRACTS[name])))


def group(oid: str, row: dict[str, str], repeat: int, kind: str = "") -> str:
    items = "".join(
        f"<ItemData ItemOID={quoteattr(f'IT.{name}')} Value={quoteattr(value)}/>\n"
        for name, value in row.items()
        if name not in {"SUBJ", "ROW", "VISIT"} and value
    )
    kind = f' TransactionType="{kind}"' if kind else ""
    event = quoteattr(row.get("VISIT", "LOG"))
    return (
        f"<SubjectData SubjectKey={quoteattr(row['SUBJ'])}{kind}>\n<StudyEventData StudyEventOID={event}>\n"
        f'<FormData FormOID="F">\n<ItemGroupData ItemGroupOID="{oid}" ItemGroupRepeatKey="{row.get("ROW", repeat)}">\n'
        f"{items}</ItemGroupData>\n</FormData>\n</StudyEventData>\n</SubjectData>"
    )


def odm(groups: list[str], kind: str = "Snapshot", oid: str = "1", prior: str = "", at: str = "2024-04-01") -> str:
    prior = f'PriorFileOID="{prior}" ' if prior else ""
    inside = "\n".join(groups)
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<ODM {NS} FileType="{kind}" FileOID="{oid}" {prior}'
        f'CreationDateTime="{at}T06:00:00" ODMVersion="1.3.2">\n'
        f'<ClinicalData StudyOID="SMALL-01" MetaDataVersionOID="1">\n{inside}\n</ClinicalData>\n</ODM>\n'
    )


def everything() -> list[str]:
    return [
        group(oid, row, number)
        for name, oid in FORMS.items()
        for number, row in enumerate(records(f"{name}.csv"), start=1)
    ]


def as_odm(small: SmallStudy, delivery: str = "full") -> None:
    """The small study's contracts rewritten for ODM; nothing else of its specification changes."""
    system = {"demog": {"SUBJ": "subject_key"}, "dosing": {"SUBJ": "subject_key", "ROW": "group_repeat"}}
    system["vitals"] = {"SUBJ": "subject_key", "VISIT": "event_oid"}
    for name, oid in FORMS.items():
        content = SPECIFICATION[f"sources/{name}.yml"]
        items = {one: f"IT.{one}" for one in records(f"{name}.csv")[0] if one not in system[name]}
        content = content.replace(f"files: {name}*.csv", "files: edc*.xml\nformat: odm")
        content = content.replace("delivery: full", f"delivery: {delivery}")
        content = content.replace("delivery: incremental", f"delivery: {delivery}")
        content += f"item_groups: [{oid}]\nsystem: {json.dumps(system[name])}\nitems: {json.dumps(items)}\n"
        small.specify(f"sources/{name}.yml", content)
        (small.landing / f"{name}.csv").unlink()


def datasets(folder: Path) -> dict[str, pd.DataFrame]:
    return {path.stem: pq.read_table(path).to_pandas() for path in sorted((folder / "sdtm").glob("*.parquet"))}


def same(one: Path, other: Path) -> None:
    first, second = datasets(one), datasets(other)
    assert set(first) == set(second) and len(first) >= 3
    for name, frame in first.items():
        pd.testing.assert_frame_equal(frame, second[name])


def test_odm_gives_the_datasets_that_delimited_text_gives(small: SmallStudy, tmp_path: Path) -> None:
    expected = small.run()
    other = SmallStudy.write(tmp_path / "odm" if (tmp_path / "odm").mkdir() is None else tmp_path)
    as_odm(other)
    content = odm(everything())
    other.drop("edc_1.xml", content)
    report = other.run()
    same(expected.path, report.path)
    received = RawStore(other.home / "raw" / "small").received()
    assert [(one.source, one.rows, one.accepted) for one in received] == [
        ("demog", 3, True),
        ("dosing", 4, True),
        ("vitals", 7, True),
    ]
    assert len({one.sha256 for one in received}) == 1
    assert "metadata_not_in_file" in findings(report).index
    tracer = Tracer(report.path)
    (leaf,) = tracer.trace("VS", tracer.find("VS", {"VSORRES": "131"})[0], "VSORRES").all_leaves()[:1]
    line = content.split("\n")[(leaf.line or 0) - 1]
    assert (leaf.file, "IG.VS" in line) == ("edc_1.xml", True)
    assert other.run().accepted == ()


def test_transactions_end_where_the_snapshot_is_and_keep_what_was(small: SmallStudy, tmp_path: Path) -> None:
    (tmp_path / "odm").mkdir()
    other = SmallStudy.write(tmp_path / "odm")
    as_odm(other, "incremental")
    groups = everything()
    wrong = [one.replace('Value="131"', 'Value="113"') for one in groups]
    extra = {"SUBJ": "003", "VISIT": "Day 8", "DATE": "2024-03-13", "SYSBP": "77"}
    inserts = [one.replace("<SubjectData ", '<SubjectData TransactionType="Insert" ', 1) for one in wrong]
    other.drop("edc_1.xml", odm([*inserts, group("IG.VS", extra, 99, "Insert")], "Transactional", "A"))
    other.drop(
        "edc_2.xml",
        odm(
            [
                group("IG.VS", {"SUBJ": "001", "VISIT": "Day 8", "SYSBP": "131"}, 3, "Update"),
                group("IG.VS", {"SUBJ": "003", "VISIT": "Day 8"}, 99, "Context").replace(
                    "<ItemGroupData ", '<ItemGroupData TransactionType="Remove" '
                ),
            ],
            "Transactional",
            "B",
            "A",
            "2024-04-02",
        ),
    )
    report = other.run()
    same(small.run().path, report.path)
    audit = pq.read_table(report.path / "staged" / "vitals__audit.parquet").to_pandas()
    update = audit[audit["transaction"] == "Update"]
    assert update[["record", "column", "old", "new", "_file"]].to_numpy().tolist() == [
        ["001|Day 8||F||IG.VS|3", "SYSBP", "113", "131", "edc_2.xml"]
    ]
    accounts = pq.read_table(report.path / "accounts.parquet").to_pandas()
    vitals = accounts[(accounts["source"] == "vitals") & (accounts["stage"] == "staging")]
    assert vitals.groupby(["file", "rule"])["rows"].sum().to_dict() == {
        ("edc_1.xml", ""): 5,
        ("edc_1.xml", "deleted_in_source"): 1,
        ("edc_1.xml", "later_transaction"): 2,
        ("edc_2.xml", ""): 1,
        ("edc_2.xml", "removed_at_source"): 1,
    }
    assert "no_rows" not in findings(report).index
    manifest = json.loads((report.path / "manifest.json").read_text(encoding="utf-8"))
    for file in manifest["files"]:
        own = accounts[(accounts["sha256"] == file["sha256"]) & (accounts["source"] == file["source"])]
        assert own["rows"].sum() == file["rows"]


def test_what_a_transactional_file_lacks_is_said_once_however_many_sources_it_feeds(small: SmallStudy) -> None:
    as_odm(small, "incremental")
    inserts = [one.replace("<SubjectData ", '<SubjectData TransactionType="Insert" ', 1) for one in everything()]
    small.drop("edc_1.xml", odm(inserts, "Transactional", "A"))
    removed = [
        '<SubjectData SubjectKey="009" TransactionType="Remove"/>',
        group("IG.VS", {"SUBJ": "001"}, 1, "Context"),
    ]
    small.drop("edc_3.xml", odm(removed, "Transactional", "C", "B", "2024-04-03"))
    found = findings(small.run())
    for rule, severity, line in (("prior_file_missing", "critical", 1), ("transaction_conflict", "answer", 4)):
        (one,) = found.loc[[rule]].to_dict("records")
        (place,) = one["places"]
        assert (one["severity"], place["file"], list(place["lines"])) == (severity, "edc_3.xml", [line])


LONG = "SUBJ,VISIT,DATE,CODE,RESULT,UNIT\n" + "".join(
    f"{row['SUBJ']},{row['VISIT']},{row['DATE'].replace('-', '')},{code},{row[column]},{unit or row['WEIGHT_UNIT']}\n"
    for row in records("vitals.csv")
    if row["DELETED"] == "N" and "/" not in row["DATE"]
    for code, column, unit in (("SYSBP", "SYSBP", "mmHg"), ("WEIGHT", "WEIGHT", ""))
    if row[column]
)


def as_results(small: SmallStudy) -> None:
    """Vital signs one result a row, as a device or laboratory sends them."""
    small.specify(
        "sources/vitals.yml",
        "source: vitals\nlabel: Vital signs\nfiles: vitals*.csv\ndelivery: full\nsubject: SUBJ\ncolumns:\n  SUBJ: {}\n"
        "  VISIT: {}\n  DATE: {type: date, layouts: [YYYYMMDD]}\n  CODE: {}\n  RESULT: {}\n  UNIT: {}\n",
    )
    small.specify("tables/vs_names.csv", "VSTESTCD,VSTEST\nSYSBP,Systolic Blood Pressure\nWEIGHT,Weight\n")
    content = SPECIFICATION["sdtm/vs.yml"]
    start, end = content.index("    for_each:"), content.index("  VSSTRESC")
    content = (
        content[:start]
        + "variables:\n  VSTESTCD: {assign_no_ct: CODE}\n"
        + "  VSTEST: {lookup: VSTEST, table: vs_names, by: {VSTESTCD: VSTESTCD}}\n"
        + "  VSORRES: {assign_no_ct: RESULT}\n  VSORRESU: {assign_no_ct: UNIT}\n"
        + content[end : content.index("working:")]
    )
    small.specify("sdtm/vs.yml", content)
    (small.folder / "tables" / "vs_tests.csv").unlink()
    small.drop("vitals.csv", LONG)


def hl7(rows: list[dict[str, str]]) -> str:
    return "".join(
        f"MSH|^~\\&|DEV|SITE|CAIRN||{row['DATE']}||ORU^R01^ORU_R01|M{number}|P|2.5.1\rPID|1||{row['SUBJ']}\r"
        f"PV1|1||{row['VISIT']}\rOBR|1||{number}|VS\r"
        f"OBX|1|NM|{row['CODE']}||{row['RESULT']}|{row['UNIT']}|||||F|||{row['DATE']}\r"
        for number, row in enumerate(rows)
    )


FIELDS = (
    "format: hl7\nfields: {SUBJ: PID-3.1, VISIT: PV1-3.1, DATE: OBX-14, CODE: OBX-3.1, RESULT: result, UNIT: OBX-6.1}\n"
)


def test_hl7_gives_the_datasets_that_delimited_text_gives(small: SmallStudy, tmp_path: Path) -> None:
    as_results(small)
    expected = small.run()
    assert len(dataset(expected, "vs")) == 8
    (tmp_path / "hl7").mkdir()
    other = SmallStudy.write(tmp_path / "hl7")
    as_results(other)
    other.change("sources/vitals.yml", "files: vitals*.csv\n", "files: vitals*.hl7\n" + FIELDS)
    (other.landing / "vitals.csv").unlink()
    messages = hl7(list(csv.DictReader(io.StringIO(LONG))))
    other.drop("vitals.hl7", messages)
    same(expected.path, other.run().path)
    # One message more that is broken: it is held with its line, and nothing else changes.
    broken = (
        "MSH|^~\\&|DEV|SITE|CAIRN||20240310||ORU^R01^ORU_R01||P|2.5.1\rPID|1||Zhang\rOBX|1|NM|X||1\rOBX|2|NM|X||1\r"
    )
    other.drop("vitals.hl7", messages + broken)
    report = other.run()
    same(expected.path, report.path)
    assert lines(report, "hl7_message_malformed") == [("vitals.hl7", [43, 44])]
    found = findings(report).loc["hl7_message_malformed"]
    assert (found["severity"], bool(found["held"]), "Zhang" in found["message"]) == ("critical", True, False)
    accounts_close(report, other)


def take(small: SmallStudy) -> Ingested:
    return ingest(small.load(), small.landing, RawStore(small.home / "raw" / "small"))


def archive(path: Path, files: dict[str, str | bytes]) -> None:
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        warnings.simplefilter("ignore", UserWarning)
        for name, content in files.items():
            target.writestr(name, content)


def only_archive(small: SmallStudy) -> Path:
    for name in EXTRACTS:
        (small.landing / name).unlink()
    return small.landing / "delivery.zip"


def test_an_archive_is_one_delivery_whose_members_are_taken(small: SmallStudy) -> None:
    path = only_archive(small)
    files = [
        {"name": name, "sha256": hashlib.sha256(content.encode()).hexdigest(), "rows": content.count("\n") - 1}
        for name, content in EXTRACTS.items()
    ]
    manifest = json.dumps({"study": "small", "extracted_at": "2024-04-01T06:00", "files": files})
    archive(path, {**EXTRACTS, "manifest.json": manifest, "__MACOSX/._demog.csv": b"\x00", "Thumbs.db": b"x"})
    (small.home / "raw" / "small" / ".unpacking-killed").mkdir(parents=True)
    taken = take(small)
    assert {one.file for one in taken.accepted} == set(EXTRACTS)
    assert {one.archive for one in taken.accepted} == {hashlib.sha256(path.read_bytes()).hexdigest()}
    assert {one.sha256 for one in taken.accepted} == {file["sha256"] for file in files}
    assert {one.extracted_at for one in taken.accepted} == {"2024-04-01T06:00"}
    assert {(one.file, one.rule) for one in taken.refused} == {
        ("__MACOSX/._demog.csv", "unexpected_file"),
        ("Thumbs.db", "unexpected_file"),
    }
    assert not taken.newly_refused
    log = RawStore(small.home / "raw" / "small")
    assert [one.number for one in log.received()] == list(range(5))
    assert not list(log.folder.glob(".unpacking*"))
    assert look(small.load(), small.landing, log, small.home / "watch.json", 1e12) == ([], [])
    assert take(small).accepted == []


@pytest.mark.parametrize("inside", [False, True])
def test_rows_that_a_manifest_promises_of_an_archive_are_those_of_its_files(small: SmallStudy, inside: bool) -> None:
    """3 persons, 4 infusions and 7 rows of vital signs, as EXTRACTS lists them."""
    path = only_archive(small)
    archive(path, {**EXTRACTS, **({"manifest.json": listed(EXTRACTS)} if inside else {})})
    of = {"name": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    outer = {"files": [{**of, "rows": 15, "extracted_at": "2024-04-01T06:00"}], "label": "OUTER"}
    small.drop("manifest.json", json.dumps(outer))
    taken = take(small)
    assert [(one.file, one.rule) for one in taken.causes] == [(path.name, "row_count_mismatch")]
    assert taken.accepted == [] and "holds 14 rows in its files, the manifest says 15" in taken.causes[0].problem
    outer["files"][0]["rows"] = 14  # type: ignore[index]
    small.drop("manifest.json", json.dumps(outer))
    taken = take(small)
    assert {(one.file, one.extracted_at) for one in taken.accepted} == {(one, "2024-04-01T06:00") for one in EXTRACTS}
    assert {one.label for one in taken.accepted} == {"" if inside else "OUTER"}
    log = RawStore(small.home / "raw" / "small")
    assert look(small.load(), small.landing, log, small.home / "watch.json", 1e12) == ([], [])


def test_a_file_beside_an_archive_is_held_against_its_own_manifest(small: SmallStudy) -> None:
    """The manifest in the archive says nothing of what lies outside of it."""
    path = only_archive(small)
    archived = {name: EXTRACTS[name] for name in ("demog.csv", "dosing.csv")}
    archive(path, {**archived, "manifest.json": listed(archived)})
    small.drop("vitals.csv", EXTRACTS["vitals.csv"][:-40])
    files = [{"name": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()},
             {"name": "vitals.csv", "sha256": hashlib.sha256(EXTRACTS["vitals.csv"].encode()).hexdigest()}]  # fmt: skip
    small.drop("manifest.json", json.dumps({"files": files}))
    taken = take(small)
    assert [(one.file, one.rule) for one in taken.causes] == [("vitals.csv", "checksum_mismatch")]
    assert taken.accepted == []


def test_an_archive_that_breaks_its_manifest_or_holds_an_unknown_file_is_refused_whole(small: SmallStudy) -> None:
    path = only_archive(small)
    archive(path, {**EXTRACTS, "readme.txt": "hello"})
    taken = take(small)
    assert taken.accepted == []
    assert {one.rule for one in taken.refused} == {"unexpected_file", "delivery_refused"}
    (cause,) = {one.remedy for one in taken.refused if one.rule == "unexpected_file"}
    assert cause not in {one.remedy for one in taken.refused if one.rule == "delivery_refused"}, (
        "nothing is wrong there"
    )
    with pytest.raises(NothingPublishedError, match=r"readme\.txt: unexpected_file: .*\n  and \d+ file\(s\) that"):
        small.run()
    files = [{"name": "demog.csv", "sha256": "0" * 64}]
    archive(path, {"demog.csv": EXTRACTS["demog.csv"], "manifest.json": json.dumps({"files": files})})
    assert [one.rule for one in take(small).refused] == ["checksum_mismatch"]


@pytest.mark.parametrize("place", ["manifest.json", "cut/manifest.json"])
def test_the_names_of_a_manifest_count_from_its_folder(small: SmallStudy, place: str) -> None:
    """A folder that was compressed whole, with the manifest in it or beside it; both are checked and not new again."""
    path = only_archive(small)
    inside = {f"cut/{name}": content for name, content in EXTRACTS.items()}
    said = listed(inside if place == "manifest.json" else EXTRACTS, extracted_at="2024-04-01T06:00")
    archive(path, {**inside, place: said})
    taken = take(small)
    assert {(one.file, one.extracted_at) for one in taken.accepted} == {(name, "2024-04-01T06:00") for name in inside}
    assert taken.refused == []
    log = RawStore(small.home / "raw" / "small")
    assert look(small.load(), small.landing, log, small.home / "watch.json", 1e12) == ([], [])
    archive(path, {**inside, "cut/demog.csv": EXTRACTS["demog.csv"][:-3], place: said})
    assert {one.file: one.rule for one in take(small).refused}["cut/demog.csv"] == "checksum_mismatch"


def test_what_programs_leave_beside_a_file_is_listed_and_other_archives_are_named_as_such(small: SmallStudy) -> None:
    archive(only_archive(small), {**EXTRACTS, "._demog.csv": "x", "~$vitals.csv": "x"})
    (small.landing / "demog.csv.gz").write_bytes(b"\x1f\x8b")
    taken = take(small)
    assert {one.file for one in taken.accepted} == set(EXTRACTS)
    refused = {one.file: (one.rule, one.problem) for one in taken.refused}
    assert {refused[one][0] for one in ("._demog.csv", "~$vitals.csv", "demog.csv.gz")} == {"unexpected_file"}
    assert "is an archive" in refused["demog.csv.gz"][1]


def test_a_manifest_that_cannot_be_read_is_told_in_a_watched_folder_once(small: SmallStudy) -> None:
    small.drop("manifest.json", "{")
    log, watch = RawStore(small.home / "raw" / "small"), small.home / "watch.json"
    assert "manifest.json" in look(small.load(), small.landing, log, watch, 0)[1]
    ready, _ = look(small.load(), small.landing, log, watch, 1e6)
    assert "manifest.json" in ready
    taken = ingest(small.load(), small.landing, log, ready)
    assert [one.rule for one in taken.refused] == ["bad_manifest"] and len(taken.accepted) == 3
    assert look(small.load(), small.landing, log, watch, 1e7) == ([], [])
    assert not take(small).newly_refused


@pytest.mark.parametrize("content", [b"PK\x03\x04\x14\x00\x06\x00 a workbook", b"\x1f\x8b\x08 packed"])
def test_a_workbook_under_the_name_of_an_extract_is_named_as_such(small: SmallStudy, content: bytes) -> None:
    (small.landing / "vitals.csv").write_bytes(content)
    (refused,) = take(small).refused
    assert (refused.rule, "a workbook" in refused.problem) == ("unreadable_file", True)


@pytest.mark.parametrize("at", ["soon", "01/04/2024", "2024-13-45T06:00", "20240401"])
def test_a_time_that_is_none_refuses_the_manifest_with_the_files_it_names(small: SmallStudy, at: str) -> None:
    small.drop("manifest.json", listed({name: EXTRACTS[name] for name in ("demog.csv", "vitals.csv")}, extracted_at=at))
    taken = take(small)
    assert [one.file for one in taken.accepted] == ["dosing.csv"]
    assert {one.file: one.rule for one in taken.refused} == {
        "manifest.json": "bad_manifest",
        "demog.csv": "delivery_refused",
        "vitals.csv": "delivery_refused",
    }
    assert "extracted_at: is no time in ISO 8601" in taken.causes[0].problem
    small.drop("manifest.json", listed({name: EXTRACTS[name] for name in ("demog.csv", "vitals.csv")}))
    assert {one.file for one in take(small).accepted} == {"demog.csv", "vitals.csv"}


def test_a_time_of_an_odm_file_that_is_none_is_said_and_is_no_cut_off(small: SmallStudy) -> None:
    as_odm(small)
    small.drop("edc_1.xml", odm(everything(), at="01/04/2024"))
    report = small.run()
    assert findings(report).loc["extract_time_unreadable", "severity"] == "answer"
    small.change("study.yml", "cut_off: 2024-12-31\n", "")
    with pytest.raises(UsageError, match="has no cut-off"):
        small.run()


def linked(path: Path) -> None:
    info = zipfile.ZipInfo("demog.csv")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "w") as target:
        target.writestr(info, "/etc/passwd")


def patched(old: bytes, new: bytes) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        archive(path, {"demog.csv": EXTRACTS["demog.csv"]})
        content = path.read_bytes()
        assert old in content
        path.write_bytes(content.replace(old, new))

    return write


def encrypted(path: Path) -> None:
    archive(path, {"demog.csv": EXTRACTS["demog.csv"]})
    content = bytearray(path.read_bytes())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(bytes(content))


def damaged(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as target:
        target.writestr("demog.csv", EXTRACTS["demog.csv"])
    path.write_bytes(path.read_bytes().replace(b"001,10,63.0", b"001,10,64.0"))


def method(number: int) -> Callable[[Path], None]:
    """An archive whose one member says that it is compressed by this method (9 is Deflate64)."""

    def write(path: Path) -> None:
        archive(path, {"demog.csv": EXTRACTS["demog.csv"]})
        content = bytearray(path.read_bytes())
        content[8] = number
        content[content.index(b"PK\x01\x02") + 10] = number
        path.write_bytes(bytes(content))

    return write


def listed(files: Mapping[str, str], **said: object) -> str:
    """A manifest of these files."""
    named = [{"name": one, "sha256": hashlib.sha256(content.encode()).hexdigest()} for one, content in files.items()]
    return json.dumps({"files": named, **said})


HOSTILE: dict[str, tuple[str, Callable[[Path], None]]] = {
    "leads out": ("archive_unsafe_name", lambda path: archive(path, {"../demog.csv": "x"})),
    "leads out within": ("archive_unsafe_name", lambda path: archive(path, {"a/../../demog.csv": "x"})),
    "absolute": ("archive_unsafe_name", lambda path: archive(path, {"/demog.csv": "x"})),
    "drive": ("archive_unsafe_name", lambda path: archive(path, {"C:demog.csv": "x"})),
    "backslash": ("archive_unsafe_name", lambda path: archive(path, {"a\\demog.csv": "x"})),
    "symbolic link": ("archive_symlink", linked),
    "nested": ("archive_nested", lambda path: archive(path, {"demog.zip": "x"})),
    "nested by content": ("archive_nested", lambda path: archive(path, {"demog.csv": b"PK\x03\x04rest"})),
    "encrypted": ("archive_encrypted", encrypted),
    "unusual method": ("archive_method", method(9)),
    "two manifests": (
        "bad_manifest",
        lambda path: archive(path, {"manifest.json": listed(EXTRACTS), "old/manifest.json": listed(EXTRACTS)}),
    ),
    "manifest of nothing": ("bad_manifest", lambda path: archive(path, {"manifest.json": '{"files": []}'})),
    "twice": ("archive_duplicate_name", lambda path: archive(path, {"demog.csv": "x", "DEMOG.csv": "y"})),
    "bomb": ("archive_ratio", lambda path: archive(path, {"demog.csv": "0" * 1_000_000})),
    "names in another encoding": ("archive_name_encoding", patched(b"demog.csv", "患者.csv".encode("gbk") + b"x")),
    "wrong checksum": ("archive_damaged", damaged),
    "no archive": ("archive_damaged", lambda path: path.write_bytes(b"PK\x03\x04 and nothing else") and None),
    "empty": ("archive_empty", lambda path: archive(path, {"__MACOSX/x": "y"})),
}


@pytest.mark.parametrize("fault", HOSTILE)
def test_a_hostile_archive_is_refused_and_nothing_of_it_is_written(small: SmallStudy, fault: str) -> None:
    rule, write = HOSTILE[fault]
    path = only_archive(small)
    write(path)
    taken = take(small)
    (entry,) = taken.refused
    assert (entry.rule, entry.file, entry.accepted) == (rule, "delivery.zip", False)
    assert entry.problem and entry.remedy
    assert entry.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert taken.newly_refused
    assert not (small.home / "raw" / "small" / "objects").exists()
    assert {one.name for one in small.landing.iterdir()} == {"delivery.zip"}
    if rule == "archive_name_encoding":
        assert "患者" in entry.problem
    assert not take(small).newly_refused


def test_an_archive_over_the_configured_size_is_refused(small: SmallStudy) -> None:
    small.change("study.yml", "cut_off:", "archives: {largest_bytes: 50}\ncut_off:")
    archive(only_archive(small), EXTRACTS)
    assert [one.rule for one in take(small).refused] == ["archive_too_large"]


def test_a_refused_file_of_several_sources_is_refused_once(small: SmallStudy) -> None:
    as_odm(small)
    small.drop("edc_1.xml", odm(everything()).replace('StudyOID="SMALL-01"', 'StudyOID="OTHER"'))
    (refused,) = take(small).refused
    assert (refused.rule, refused.source, "is not SMALL-01" in refused.problem) == ("wrong_study", "", True)
    small.change("study.yml", "cut_off:", "study_oid: OTHER\ncut_off:")
    assert len(take(small).accepted) == 3


def test_rows_of_a_manifest_are_the_item_groups_of_the_file(small: SmallStudy) -> None:
    as_odm(small)
    content = odm(everything())
    small.drop("edc_1.xml", content)
    file = {"name": "edc_1.xml", "sha256": hashlib.sha256(content.encode()).hexdigest(), "rows": 15}
    small.drop("manifest.json", json.dumps({"files": [file]}))
    assert {one.rule for one in take(small).refused} == {"row_count_mismatch"}
    small.drop("manifest.json", json.dumps({"files": [file | {"rows": 14}]}))
    assert sum(one.rows for one in take(small).accepted) == 14
