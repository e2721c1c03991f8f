"""Every broken delivery is refused whole, or its rows are held, with file, line, rule and remedy; what stood stands.

Lines and columns are counted in the files that each case writes.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.integration.test_extracts import accounts_close, contents, dataset, findings
from tests.integration.test_formats import (
    FIELDS,
    HOSTILE,
    LONG,
    archive,
    as_odm,
    as_results,
    everything,
    group,
    hl7,
    odm,
)
from tests.small_study import EXTRACTS, SmallStudy
from transforms import pipeline
from transforms.errors import NothingPublishedError
from transforms.warehouse.raw_store import RawStore

VITALS = EXTRACTS["vitals.csv"]
ODM = odm(everything())
MESSAGES = hl7(
    [dict(zip(LONG.split("\n")[0].split(","), row.split(","), strict=True)) for row in LONG.split("\n")[1:-1]]
)


def as_text(small: SmallStudy) -> None:
    """The small study as it is."""


def as_xml(small: SmallStudy) -> None:
    as_odm(small)
    small.drop("edc_1.xml", ODM)


def as_messages(small: SmallStudy) -> None:
    as_results(small)
    small.change("sources/vitals.yml", "files: vitals*.csv\n", "files: vitals*.hl7\n" + FIELDS)
    (small.landing / "vitals.csv").unlink()
    small.drop("vitals.hl7", MESSAGES)


@dataclass(frozen=True)
class Published:
    """A study with a publication, which each case gets a copy of."""

    small: SmallStudy
    report: pipeline.Report

    def copy(self, folder: Path) -> SmallStudy:
        for name in ("small", "landing", "home"):
            shutil.copytree(self.small.folder.parent / name, folder / name, symlinks=True)
        return SmallStudy(folder / "small", folder / "landing", folder / "home")


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Published]:
    out = {}
    for name, rewrite in (("text", as_text), ("odm", as_xml), ("hl7", as_messages)):
        small = SmallStudy.write(tmp_path_factory.mktemp(name))
        rewrite(small)
        out[name] = Published(small, small.run())
        assert not out[name].report.refused
    return out


@dataclass(frozen=True)
class Case:
    """A file that comes, the rule that refuses it, and what is said of the place, as a pattern."""

    rule: str
    content: str | bytes | Callable[[Path], None]
    place: str
    file: str = "vitals.csv"
    study: str = "text"


def at(old: str, new: str, content: str = VITALS) -> str:
    assert old in content
    return content.replace(old, new, 1)


DELIMITED = {
    "latin-1": Case("wrong_encoding", at("calm", "calmé").encode("latin-1"), "line 2, character 43"),
    "utf-16": Case("wrong_encoding", VITALS.encode("utf-16"), "line 1, character 1"),
    "utf-16 without a mark": Case("nul_byte", VITALS.encode("utf-16-le"), "line 1, character 2"),
    "gb18030": Case("wrong_encoding", at("calm", "安静").encode("gb18030"), "line 2, character 39"),
    "replacement character": Case("wrong_encoding", at("60,kg,,N", "60,kg,\ufffd,N"), "line 7, character 36"),
    "mojibake": Case("wrong_encoding", at("60,kg,,N", "60,kg,锟斤拷,N"), "line 7, character 36"),
    "NUL": Case("nul_byte", at("calm", "ca\0lm"), "line 2, character 41"),
    "binary": Case("wrong_encoding", b"\x89PNG\r\n\x1a\n\xff\xfe" + bytes(range(200)), "line 1, character 1"),
    "column missing": Case("missing_column", VITALS.replace(",NOTE", ""), "NOTE"),
    "column renamed": Case("missing_column", at("SYSBP", "SBP"), "SYSBP"),
    "another delimiter": Case("missing_column", VITALS.replace(",", ";"), "SUBJ"),
    "header left out": Case("missing_column", VITALS.partition("\n")[2], "SUBJ"),
    "header twice": Case("duplicate_header", at("NOTE", "SUBJ"), "SUBJ"),
    "header cut off": Case("missing_column", VITALS[:20], "SYSBP"),
    "empty": Case("empty_file", b"", "empty"),
    "byte order mark only": Case("missing_column", b"\xef\xbb\xbf", "SUBJ"),
    "blank lines only": Case("missing_column", b"\n\n\n", "SUBJ"),
    "cut off": Case("truncated_file", VITALS[:-14], r"line 8"),
    "open quote": Case("unbalanced_quote", at('rested"', "rested"), r"line 2"),
    "a field of 40 MB": Case("unreadable_file", at("calm", "x" * 40_000_000), "32 MiB"),
}


def said_of(**changes: object) -> str:
    files = [
        {"name": name, "sha256": hashlib.sha256(content.encode()).hexdigest(), "rows": content.count("\n") - 1}
        for name, content in EXTRACTS.items()
    ]
    files[2] |= changes.pop("vitals", {})  # type: ignore[arg-type]
    files += [{"name": name, "sha256": "0" * 64} for name in changes.pop("more", ())]  # type: ignore[attr-defined]
    return json.dumps({"study": "small", "extracted_at": "2024-04-01T06:00", "files": files, **changes})


def changed(rewrite: str, manifest: str) -> Callable[[Path], None]:
    """Vital signs that are new, so that the delivery is, and a manifest."""

    def write(landing: Path) -> None:
        (landing / "vitals.csv").write_text(rewrite, encoding="utf-8")
        (landing / "manifest.json").write_text(manifest, encoding="utf-8")

    return write


NEWER = VITALS.replace("131", "132")
NEWER_HASH = hashlib.sha256(NEWER.encode()).hexdigest()
MANIFESTS = {
    "wrong study": Case("wrong_study", changed(NEWER, said_of(study="other")), "another study", "manifest.json"),
    "checksum": Case("checksum_mismatch", changed(NEWER, said_of()), "sha256|checksum"),
    "rows": Case("row_count_mismatch", changed(NEWER, said_of(vitals={"sha256": NEWER_HASH, "rows": 8})), "8"),
    "file that did not come": Case(
        "incomplete_delivery",
        changed(NEWER, said_of(vitals={"sha256": NEWER_HASH}, more=["vitals_2.csv"])),
        "vitals_2.csv",
        "manifest.json",
    ),
    "name that leads out": Case(
        "incomplete_delivery",
        changed(NEWER, said_of(vitals={"sha256": NEWER_HASH}, more=["../vitals.csv"])),
        r"\.\./vitals.csv",
        "manifest.json",
    ),
    "file named twice": Case(
        "bad_manifest",
        said_of(more=["vitals.csv"]),
        "twice.*vitals.csv",
        "manifest.json",
    ),
    "manifest cut off": Case("bad_manifest", said_of()[:-9], r"line 1, column \d+", "manifest.json"),
    "manifest nested without end": Case("bad_manifest", "[" * 100_000, "nested", "manifest.json"),
    "manifest of another kind": Case("bad_manifest", "[1, 2]", "manifest", "manifest.json"),
    "manifest with a label that does not show": Case(
        "bad_manifest",
        '{"study": "small", "label": "A\\u0007B", "files": []}',
        r"label: has a character that does not show, U\+0007",
        "manifest.json",
    ),
    "manifest without files": Case("bad_manifest", '{"study": "small"}', "files", "manifest.json"),
    "manifest without checksum": Case("bad_manifest", '{"files": [{"name": "a"}]}', "sha256", "manifest.json"),
    "manifest not utf-8": Case("bad_manifest", b'{"label": "\xff"}', "byte 12", "manifest.json"),
    "manifest empty": Case("bad_manifest", b"", "manifest", "manifest.json"),
}
ARCHIVES = {
    f"archive: {name}": Case(rule, lambda landing, write=write: write(landing / "delivery.zip"), "", "delivery.zip")  # type: ignore[misc]
    for name, (rule, write) in HOSTILE.items()
} | {
    "archive with a broken file": Case(
        "missing_column",
        lambda landing: archive(landing / "delivery.zip", {"vitals.csv": at("SYSBP", "SBP")}),
        "SYSBP",
    ),
    "archive with a wrong manifest": Case(
        "checksum_mismatch",
        lambda landing: archive(
            landing / "delivery.zip", {**EXTRACTS, "vitals.csv": NEWER, "manifest.json": said_of()}
        ),
        "sha256|checksum",
    ),
}
DTD = '<!DOCTYPE ODM [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>\n<ODM'
BAD = {"SUBJ": "001", "VISIT": "Day 8", "NOTE": "@"}
WITH = odm([*everything(), group("IG.VS", BAD, 99)])
LINE = WITH[: WITH.index("@")].count("\n") + 1
XML = {
    "odm: cut off": Case("truncated_file", ODM[:-40], r"line \d+, column \d+"),
    "odm: tags crossed": Case("malformed_xml", at("</ClinicalData>", "</Clinical>", ODM), r"line \d+, column \d+"),
    "odm: entity bomb": Case("xml_doctype", at("<ODM", DTD, ODM), "line 2"),
    "odm: external entity": Case(
        "xml_doctype", at("<ODM", '<!DOCTYPE ODM [<!ENTITY x SYSTEM "file:///etc/passwd">]>\n<ODM', ODM), "line 2"
    ),
    "odm: unknown entity": Case("malformed_xml", at("@", "&x;", WITH), rf"line {LINE}, column \d+"),
    "odm: NUL": Case("nul_byte", at("@", "\0", WITH), rf"line {LINE}, column \d+"),
    "odm: control character": Case("control_character", at("@", "\x07", WITH), rf"line {LINE}, column \d+"),
    "odm: replacement character": Case("wrong_encoding", at("@", "\ufffd", WITH), rf"line {LINE}, column \d+"),
    "odm: not the encoding declared": Case("wrong_encoding", at("@", "é", WITH).encode("latin-1"), "utf-8"),
    "odm: unknown encoding": Case("wrong_encoding", at("UTF-8", "EBCDIC-9", ODM), "EBCDIC-9"),
    "odm: nested too deep": Case("xml_too_deep", odm(["<a>" * 200 + "</a>" * 200]), r"line \d+"),
    "odm: a text of 10 MB": Case("xml_text_too_long", at("@", "1" * 10_000_001, WITH), rf"line {LINE}"),
    "odm: another study": Case("wrong_study", at("SMALL-01", "OTHER-01", ODM), "line 3"),
    "odm: HTML": Case("not_odm", "<html><body/></html>", "html"),
    "odm: version 2": Case("not_odm", at("v1.3", "v2.0", ODM), "v2.0"),
    "odm: metadata only": Case("no_clinical_data", ODM.replace("ClinicalData", "AdminData"), "ClinicalData"),
    "odm: item out of place": Case("malformed_odm", odm(['<ItemData ItemOID="IT.SYSBP" Value="1"/>']), "line 4"),
    "odm: transactions not agreed": Case("transactional_not_expected", odm(everything(), "Transactional"), "vitals"),
    "odm: empty": Case("empty_file", b"", "empty"),
}
HL7 = {
    "hl7: empty": Case("empty_file", b"", "empty"),
    "hl7: no message": Case("not_hl7", "PID|1\rOBX|1\r", "MSH"),
    "hl7: a table": Case("not_hl7", LONG, "MSH"),
    "hl7: batch cut off": Case("truncated_file", "BHS|^~\\&\r" + MESSAGES, "BTS|trailer|cut off"),
    "hl7: batch count": Case("batch_count", "BHS|^~\\&\r" + MESSAGES + "BTS|99\r", r"BTS-1 \(line 42\)"),
    "hl7: file count": Case(
        "batch_count", "FHS|^~\\&\rBHS|^~\\&\r" + MESSAGES + "BTS|8\rFTS|2\r", r"FTS-1 \(line 44\)"
    ),
}
REFUSED = {
    **DELIMITED,
    **MANIFESTS,
    **ARCHIVES,
    **{name: Case(one.rule, one.content, one.place, "edc_1.xml", "odm") for name, one in XML.items()},
    **{name: Case(one.rule, one.content, one.place, "vitals.hl7", "hl7") for name, one in HL7.items()},
}


def test_there_are_enough_kinds_of_broken_deliveries() -> None:
    assert len(REFUSED) + len(HELD) + len(HELD_MESSAGES) >= 45
    assert len({case.rule for case in REFUSED.values()}) >= 25


@pytest.mark.parametrize("name", REFUSED)
def test_a_broken_delivery_is_refused_and_the_publication_stands(
    published: Mapping[str, Published], tmp_path: Path, name: str
) -> None:
    case = REFUSED[name]
    before = published[case.study].report
    small = published[case.study].copy(tmp_path)
    where = pipeline.Home(small.home, "small")
    kept = contents(where.snapshots.path(before.snapshot_id))
    known = len(RawStore(small.home / "raw" / "small").received())
    if callable(case.content):
        case.content(small.landing)
    else:
        small.drop(case.file, case.content)
    with pytest.raises(NothingPublishedError, match=case.rule) as caught:
        small.run()
    assert caught.value.exit_code == 3
    assert where.snapshots.current_id() == before.snapshot_id
    assert contents(where.snapshots.path(before.snapshot_id)) == kept
    fresh = RawStore(small.home / "raw" / "small").received()[known:]
    assert not any(one.accepted for one in fresh)
    (refusal,) = [one for one in fresh if one.rule == case.rule][:1]
    assert refusal.file == case.file
    assert re.search(case.place, refusal.problem), refusal.problem
    assert refusal.remedy
    assert small.landing.joinpath("demog.csv" if case.study != "odm" else "edc_1.xml").is_file()


# Each row is put on a line of its own behind the sound ones; `held` says whether the row is kept out.
@dataclass(frozen=True)
class Row:
    rule: str
    line: str
    variable: str
    held: bool = True


HELD = {
    "too few fields": Row("field_count", "002,Day 8", ""),
    "too many fields": Row("field_count", "a,b,c,d,e,f,g,h,i", ""),
    "impossible date": Row("unreadable_date", "002,Day 8,31/04/2024,138,,,,N", "DATE"),
    "spreadsheet's date": Row("unreadable_date", "002,Day 8,45363,138,,,,N", "DATE"),
    "date before anybody lived": Row("before_1900", "002,Day 8,1024-03-12,138,,,,N", "DATE", held=False),
    "date in the future": Row("after_cut_off", "002,Day 8,2034-03-12,138,,,,N", "DATE", held=False),
    "letter in a number": Row("unreadable_number", "002,Day 8,2024-03-12,14o,,,,N", "SYSBP"),
    "decimal comma": Row("unreadable_number", '002,Day 8,2024-03-12,"138,5",,,,N', "SYSBP"),
    "infinity": Row("unreadable_number", "002,Day 8,2024-03-12,inf,,,,N", "SYSBP"),
    "unknown unit": Row("unmapped_term", "002,Day 8,2024-03-12,,150,stone,,N", "VSSTRESU"),
    "no unit": Row("unmapped_term", "002,Day 8,2024-03-12,,150,,,N", "VSSTRESU"),
    "unknown visit": Row("unmapped_term", "002,Day Eight,2024-03-12,138,,,,N", "VISITNUM"),
    "wrong subject": Row("subject_not_in_dm", "009,Day 8,2024-03-12,138,,,,N", "USUBJID"),
    "no subject": Row("no_subject", ",Day 8,2024-03-12,138,,,,N", "SUBJ"),
    "telephone in a text": Row(
        "direct_identifier", "002,Day 8,2024-03-12,138,,,call 13912345678,N", "NOTE", held=False
    ),
}


def test_rows_that_cannot_be_read_or_attributed_are_held_by_line(
    published: Mapping[str, Published], tmp_path: Path
) -> None:
    small = published["text"].copy(tmp_path)
    small.drop("vitals.csv", VITALS + "".join(f"{one.line}\n" for one in HELD.values()))
    small.drop("demog.csv", EXTRACTS["demog.csv"] + "003,11,56,FEMALE,USA\n004,11,50,Zhang San,USA\n")
    report = small.run()
    found = findings(report).reset_index()
    first = VITALS.count("\n") + 1
    expected = {(one.rule, "vitals.csv", line): one for line, one in enumerate(HELD.values(), start=first)}
    expected |= {
        ("duplicate_key", "demog.csv", 4): Row("duplicate_key", "", "SUBJ"),
        ("duplicate_key", "demog.csv", 5): Row("duplicate_key", "", "SUBJ"),
        ("unmapped_term", "demog.csv", 6): Row("unmapped_term", "", "SEX"),
    }
    places = {
        (row["rule"], place["file"], line): row
        for row in found.to_dict("records")
        for place in row["places"]
        for line in place["lines"]
    }
    for key, one in expected.items():
        row = places[key]
        assert (one.variable in row["variable"], row["held"]) == (True, one.held), (key, row["variable"])
        assert row["remedy"] and row["why"] and row["who_acts"]
    accounts_close(report, small)
    kept = sum(not one.held for one in HELD.values())
    # Subject 003 is held with its two claims, so its one row of vital signs is in no dataset either.
    assert len(dataset(report, "vs")) == len(dataset(published["text"].report, "vs")) - 2 + kept
    assert report.page is not None
    told = found.to_string() + report.page.read_text(encoding="utf-8")
    assert "Zhang" not in told and "13912345678" not in told
    assert "13912345678" not in pq.read_table(report.path / "staged" / "vitals.parquet").to_pandas().to_string()


HELD_MESSAGES = {
    "no message id": ("hl7_message_malformed", "ORU^R01^ORU_R01|M0|", "ORU^R01^ORU_R01||"),
    "another kind of message": ("hl7_message_type", "ORU^R01^ORU_R01|M1|", "ADT^A01^ADT_A01|M1|"),
}


def test_messages_that_cannot_be_read_are_held_by_line(published: Mapping[str, Published], tmp_path: Path) -> None:
    small = published["hl7"].copy(tmp_path)
    content = MESSAGES
    for _, old, new in HELD_MESSAGES.values():
        content = at(old, new, content)
    small.drop("vitals.hl7", content)
    report = small.run()
    found = findings(report)
    for number, (rule, _, _) in enumerate(HELD_MESSAGES.values()):
        (place,) = found.loc[rule, "places"]
        assert (place["file"], list(place["lines"])) == ("vitals.hl7", [5 * number + 5])
        assert (found.loc[rule, "severity"], found.loc[rule, "held"]) == ("critical", True)
    assert len(dataset(report, "vs")) == len(dataset(published["hl7"].report, "vs")) - 2
    accounts_close(report, small)
