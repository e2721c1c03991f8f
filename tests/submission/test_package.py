"""The package: what it holds, that its bytes depend on nothing else, and what refuses it."""

from __future__ import annotations

import hashlib
import json
import os
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pyreadstat
import pytest

from tests.submission.tables import table
from transforms.errors import ConfigurationError, UsageError
from transforms.study.yaml import read_yaml
from transforms.submission import agencies, checklist
from transforms.submission.agencies import AGENCIES, AgencyFile, LeaveOut, SubmissionFile
from transforms.submission.checklist import CHECKLIST, CHECKS, tag_of
from transforms.submission.contents import Contents
from transforms.submission.define import package as define
from transforms.submission.faults import ExportRefusedError
from transforms.submission.layout import Layout
from transforms.submission.package import Documents, Order, Package, Source, study_folder, write_package

DEFINE = b"<ODM/>"
SUBJECTS = ["S-001", "S-002"]
TRIAL = {
    "ACTSUB": "2", "ADAPT": "N", "ADDON": "N", "AGEMAX": "P80Y", "AGEMIN": "P18Y", "DCUTDESC": "DATA EXTRACT",
    "DCUTDTC": "2025-01-31", "FCNTRY": "CHN", "INTTYPE": "DRUG", "LENGTH": "P1Y", "NARMS": "1", "OBJPRIM": "Safety",
    "OUTMSPRI": "Adverse events", "PLANSUB": "2", "RANDOM": "N", "SENDTC": "2025-01-31", "SEXPOP": "BOTH",
    "SPONSOR": "A sponsor", "SSTDTC": "2023-12-01", "STYPE": "INTERVENTIONAL", "TBLIND": "OPEN LABEL",
    "TCNTRL": "NONE", "TINDTP": "TREATMENT", "TITLE": "A study", "TPHASE": "PHASE I TRIAL", "TTYPE": "SAFETY",
}  # fmt: skip
"""A trial summary with every parameter that FDA's rules require of an interventional study."""


def trial(without: tuple[str, ...] = (), **values: str | None) -> dict[str, list[object]]:
    """The columns of a trial summary: TRIAL without some parameters, and with other values of some."""
    said = {code: value for code, value in {**TRIAL, **values}.items() if code not in without}
    return {
        "STUDYID": ["S 01"] * len(said),
        "TSSEQ": [1.0] * len(said),
        "TSPARMCD": list(said),
        "TSVAL": list(said.values()),
        "TSVALNF": ["NA" if code == "CURTRT" else "" for code in said],
    }


DATASETS: dict[str, tuple[str, dict[str, list[object]], tuple[str, ...]]] = {
    "DM": ("sdtm", {"STUDYID": ["S 01"] * 2, "USUBJID": SUBJECTS, "RFSTDTC": ["2024-01-02", None]}, ("USUBJID",)),
    "TS": ("sdtm", trial(CURTRT=None), ("TSPARMCD", "TSSEQ")),
    "AE": (
        "sdtm",
        {
            "USUBJID": [*SUBJECTS, "S-002"],
            "AESEQ": [1.0, 1.0, 2.0],
            "AETERM": ["Fatigue", "Itch", "Itching all over"],
            "AESTDTC": ["2024-01", "2024-01-05T10:30", None],
        },
        ("USUBJID", "AESEQ"),
    ),
    "SUPPAE": (
        "sdtm",
        {
            "RDOMAIN": ["AE"] * 3,
            "USUBJID": [*SUBJECTS, "S-002"],
            "IDVAR": ["AESEQ"] * 3,
            "IDVARVAL": ["1", "1", "2"],
            "QNAM": ["AETERMZH", "AEDLT", "AETERMZH"],
            "QVAL": ["乏力", "N", "瘙痒"],
        },
        (),
    ),
    "CM": ("sdtm", {"USUBJID": [], "CMTRT": []}, ("USUBJID",)),
    "ADSL": ("adam", {"STUDYID": ["S 01"] * 2, "USUBJID": SUBJECTS, "AETERM": ["x", "y"]}, ("USUBJID",)),
}
IN_CHINESE = LeaveOut(dataset="SUPPAE", where={"QNAM": ["AETERMZH"]}, why="ASCII lacks it")  # type: ignore[dict-item]
DOCUMENTS = {
    "tabulations/sdtm/define.xml": DEFINE,
    "analysis/adam/datasets/define.xml": DEFINE,
    "analysis/adam/programs/adsl-yml.txt": b"dataset: ADSL\n",
}


def order(folder: Path, changed: Mapping[str, Mapping[str, list[object]] | None] | None = None) -> Order:
    """The order of a package of DATASETS; `changed` replaces columns of some, or leaves a dataset out."""
    folder.mkdir(exist_ok=True)
    sources = []
    for name, (kind, columns, keys) in DATASETS.items():
        change = (changed or {}).get(name, {})
        if change is None:
            continue
        arrays = {
            key: pa.array(one, pa.string()) if not one else pa.array(one) for key, one in {**columns, **change}.items()
        }
        path = folder / kind / f"{name.lower()}.parquet"
        path.parent.mkdir(exist_ok=True)
        pq.write_table(table(arrays, name, f"Label of {name}"), path)
        sources.append(Source(kind, path, keys))  # type: ignore[arg-type]
    return Order(
        studyid="S 01",
        agency=AGENCIES["fda"],
        own=SubmissionFile(fda=AgencyFile(leave_out=(IN_CHINESE,))),
        created=datetime(2025, 1, 31),
        sources=sources,
        labels={},
        facts={"snapshot_id": "abc"},
    )


def write(folder: Path, what: Order, documents: Mapping[str, bytes] = DOCUMENTS) -> Package:
    return write_package(folder / "package", what, lambda *_: Documents(documents))


def test_what_a_package_holds(tmp_path: Path) -> None:
    written = write(tmp_path, order(tmp_path / "in"))
    study = "m5/datasets/s-01"
    expected = {
        "checksums.sha256",
        "manifest.json",
        f"{study}/analysis/adam/datasets/adsl.xpt",
        f"{study}/analysis/adam/datasets/define.xml",
        f"{study}/analysis/adam/programs/adsl-yml.txt",
        *(f"{study}/tabulations/sdtm/{name}" for name in ("ae.xpt", "define.xml", "dm.xpt", "suppae.xpt", "ts.xpt")),
    }
    files = {path.relative_to(written.folder).as_posix(): path for path in written.folder.rglob("*") if path.is_file()}
    assert set(files) == expected
    with zipfile.ZipFile(written.archive) as archive:
        assert archive.namelist() == sorted(expected)
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in expected} == {name: files[name].read_bytes() for name in expected}
        assert {(one.date_time, one.external_attr >> 16) for one in archive.infolist()} == {
            ((2025, 1, 31, 0, 0, 0), 0o100644)
        }
    assert written.sha256 == hashlib.sha256(written.archive.read_bytes()).hexdigest()
    beside = written.archive.with_name("package.zip.sha256").read_text()
    assert beside == f"{written.sha256}  package.zip\n"
    lines = (line.split("  ") for line in files["checksums.sha256"].read_text().splitlines())
    assert {name: digest for digest, name in lines} == {
        name: hashlib.sha256(files[name].read_bytes()).hexdigest() for name in expected - {"checksums.sha256"}
    }
    manifest = json.loads(files["manifest.json"].read_text())
    assert manifest["snapshot_id"] == "abc"
    assert {one["path"] for one in manifest["files"]} == expected - {"checksums.sha256", "manifest.json"}
    assert {one["path"].rpartition("/")[2]: one["records"] for one in manifest["files"] if one["records"]} == {
        "ae.xpt": 3,
        "dm.xpt": 2,
        "suppae.xpt": 1,
        "ts.xpt": len(TRIAL) + 1,
        "adsl.xpt": 2,
    }
    assert manifest["left_out"] == [
        {"dataset": "SUPPAE", "records": 2, "where": {"QNAM": ["AETERMZH"]}, "why": "ASCII lacks it"},
        {"dataset": "CM", "records": 0, "where": None, "why": "It has no records"},
    ]
    assert written.datasets == {"DM": 2, "TS": len(TRIAL) + 1, "AE": 3, "SUPPAE": 1, "ADSL": 2}
    assert {one.outcome for one in written.checklist} == {"pass", "not run"}


def test_lengths_in_the_files(tmp_path: Path) -> None:
    """AETERM is as long in ADSL as in AE, where the longest is; the SUPP-- dataset is sized by itself."""
    written = write(tmp_path, order(tmp_path / "in"))
    read = {}
    for name in ("tabulations/sdtm/ae", "tabulations/sdtm/suppae", "analysis/adam/datasets/adsl"):
        path = written.folder / "m5" / "datasets" / "s-01" / f"{name}.xpt"
        read[path.stem] = pyreadstat.read_xport(str(path), metadataonly=True)[1].variable_storage_width
    assert read["ae"]["AETERM"] == read["adsl"]["AETERM"] == len("Itching all over")
    assert read["suppae"]["QNAM"] == len("AEDLT")


def test_two_packages_are_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    what = order(tmp_path / "in")
    first = write_package(tmp_path / "1" / "package", what, lambda *_: Documents(DOCUMENTS))
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    monkeypatch.setattr(time, "time", lambda now=time.time: now() + 400 * 86_400)
    time.tzset()
    earlier = os.umask(0o077)
    try:
        reversed_documents = dict(reversed(DOCUMENTS.items()))
        second = write_package(tmp_path / "2" / "package", what, lambda *_: Documents(reversed_documents))
    finally:
        os.umask(earlier)
        monkeypatch.undo()
        time.tzset()
    for path in second.folder.rglob("*"):
        os.utime(path, (0, 0))
    again = write_package(tmp_path / "2" / "package", what, lambda *_: Documents(DOCUMENTS))
    assert first.archive.read_bytes() == second.archive.read_bytes() == again.archive.read_bytes()


DATED = {"AGEMIN", "AGEMAX", "DCUTDTC", "LENGTH", "SENDTC", "SSTDTC"}
REFUSED: list[tuple[dict[str, dict[str, list[object]] | None], str]] = [
    ({"TS": None}, "TS: is not in the package, so that it has no study start date"),
    ({"TS": trial(("SSTDTC",))}, "TS.TSVAL: has no parameter SSTDTC"),
    ({"TS": trial(SSTDTC="2023-12")}, "TS.TSVAL: its parameter SSTDTC is no complete ISO 8601 date"),
    ({"TS": trial(SSTDTC="01DEC2023x")}, "TS.TSVAL: its parameter SSTDTC is no complete ISO 8601 date"),
    (
        {"TS": trial(SSTDTC="2023-12-01T10:00")},
        r"TS.TSVAL: its parameter SSTDTC is no .* date, or has a time in 1 record",
    ),
    (
        {"TS": trial(SSTDTC="2025-02-01")},
        r"TS.TSVAL: its parameter SSTDTC lies after the cut-off, 2025-01-31 in 1 record\(s\): 19. Correct it in",
    ),
    (
        {"TS": trial(SENDTC="2025-01")},
        "TS.TSVAL: its parameter SENDTC is no complete ISO 8601 date, or has a time in 1",
    ),
    ({"TS": trial(SENDTC="2023-11-30")}, "TS.TSVAL: its parameter SENDTC lies before SSTDTC in 1 record"),
    (
        {"TS": trial(DCUTDTC="2025-01-30")},
        "TS.TSVAL: its parameter DCUTDTC is not the cut-off of the snapshot, 2025-01-31",
    ),
    (
        {"TS": trial(AGEMIN=None)},
        r"TS.TSVAL: neither a value nor a reason in 1 record\(s\): 5. Correct it in the trial",
    ),
    (
        {"TS": {**trial(), "TSVALNF": ["UNK"] + [""] * 25}},
        r"TS.TSVAL: a value, and a reason for none in 1 record\(s\): 1\.",
    ),
    (
        {
            "TS": {
                **trial(AGEMIN="18 YEARS", AGEMAX="P"),
                "TSVCDREF": ["ISO 8601" if one in DATED else "" for one in TRIAL],
            }
        },
        r"TS.TSVAL: a value that is not of ISO 8601 in 2 record\(s\): 4, 5\.",
    ),
    (
        {
            "TS": {
                **trial(FCNTRY="China"),
                "TSVCDREF": ["ISO 3166-1 Alpha-3" if one == "FCNTRY" else "" for one in TRIAL],
            }
        },
        r"TS.TSVAL: a value that is not of ISO 3166-1 Alpha-3 in 1 record\(s\): 8\.",
    ),
    (
        {"DM": {"USUBJID": ["s-002", "S-002"]}},
        r"DM.USUBJID: a subject that differs from another only in case in 2 record",
    ),
    ({"TS": {**trial(), "STUDYID": ["OTHER"] * len(TRIAL)}}, "TS.STUDYID: is not S 01, the study of the package"),
    (
        {"TS": trial(("ADAPT",))},
        "TS.TSPARMCD: has no parameter ADAPT. Write it in the trial summary, with TSVALNF where there is no value",
    ),
    (
        {"TS": trial(PLANSUB=None)},
        "TS.TSVAL: its parameter PLANSUB has no value. Write its value in the trial summary, or in TSVALNF why",
    ),
    ({"TS": trial(ADDON="Y")}, "TS.TSPARMCD: has no parameter CURTRT, which ADDON Y asks for. Write it"),
    ({"TS": trial(("INTTYPE",))}, "TS.TSPARMCD: has no parameter INTTYPE, which STYPE INTERVENTIONAL asks for"),
    ({"DM": None}, "DM: is not in the package. Map it"),
    (
        {"AE": {"USUBJID": ["S-001", "S-009", "S-009"]}},
        r"AE.USUBJID: a subject that is not in DM in 2 record\(s\): 2, 3",
    ),
    ({"AE": {"USUBJID": ["S-001", None, "S-002"]}}, r"AE.USUBJID: no subject in 1 record\(s\): 2. Hold the records"),
    ({"DM": {"STUDYID": ["S 01", "OTHER"]}}, r"DM.STUDYID: is not S 01 in 1 record\(s\): 2. Correct it in the mapping"),
    ({"AE": {"DOMAIN": ["AE", "CM", "AE"]}}, r"AE.DOMAIN: is not AE in 1 record\(s\): 2. Correct it in the mapping"),
    ({"SUPPAE": {"RDOMAIN": ["AE", "XX", "AE"]}}, r"SUPPAE.RDOMAIN: is not AE in 1 record\(s\): 1. Correct it"),
    ({"SUPPAE": {"IDVARVAL": ["1", "3", "2"]}}, r"SUPPAE.IDVARVAL: a value that no record .* in 1 record\(s\): 1\. "),
    ({"ADSL": {"USUBJID": ["S-001", "S-003"]}}, r"ADSL.USUBJID: a subject that is not in DM in 1 record\(s\): 2"),
    (
        {"AE": {"AESEQ": [1.0, 1.0, 1.0]}},
        r"AE: the same USUBJID, AESEQ stands in more than one record in 2 record\(s\): 2, 3\.",
    ),
    ({"AE": {"AESTDTC": ["2024-01", "05JAN2024", None]}}, r"AE.AESTDTC: no ISO 8601 date in 1 record\(s\): 2"),
    ({"AE": {"AETERM": ["a", "b", "é"]}}, r"AE.AETERM: a character that ascii lacks in 1 record\(s\): 3"),
    ({"AE": {"AETERM": ["a", "x" * 201, "c"]}}, r"AE.AETERM: a text longer than the 200 bytes of the variable"),
]


def test_a_variable_that_is_left_out_is_nowhere_in_the_package(tmp_path: Path) -> None:
    """AETERM of ADSL would be refused in ASCII; it is not read, not measured and not in what the documents describe."""
    rules = (IN_CHINESE, LeaveOut(dataset="ADSL", variables=("AETERM",), why="ASCII lacks it"))
    what = order(tmp_path / "in", {"ADSL": {"AETERM": ["乏力", "瘙痒"]}})
    what = replace(what, own=SubmissionFile(fda=AgencyFile(leave_out=rules)))
    described: list[str] = []

    def documents(_: object, submitted: Path) -> Documents:
        described.extend(pq.read_schema(submitted / "adam" / "adsl.parquet").names)
        return Documents(DOCUMENTS)

    written = write_package(tmp_path / "package", what, documents)
    frame, _ = pyreadstat.read_xport(str(next(written.folder.rglob("adsl.xpt"))))
    assert list(frame.columns) == described == ["STUDYID", "USUBJID"]
    left_out = json.loads((written.folder / "manifest.json").read_text())["left_out"]
    assert {"dataset": "ADSL", "variables": ["AETERM"], "why": "ASCII lacks it"} in left_out


@pytest.mark.parametrize(("changed", "message"), REFUSED)
def test_a_package_is_refused(tmp_path: Path, changed: dict[str, dict[str, list[object]] | None], message: str) -> None:
    what = order(tmp_path / "in", changed)
    (tmp_path / "out").mkdir()
    with pytest.raises(ExportRefusedError, match=message):
        write(tmp_path / "out", what)
    assert list((tmp_path / "out").iterdir()) == []


def test_the_package_before_stands_where_the_new_one_cannot_be_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    what = order(tmp_path / "in")
    before = {path.name: path for path in write(tmp_path / "out", what).folder.parent.iterdir()}
    content = before["package.zip"].read_bytes()
    rename = Path.rename

    def refuse(one: Path, other: Path) -> Path:
        if one.name == ".package.partial":
            raise OSError(5, "Input/output error")
        return rename(one, other)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(OSError, match="Input/output error"):
        write(tmp_path / "out", what)
    assert {path.name for path in (tmp_path / "out").iterdir()} == set(before)
    assert (tmp_path / "out" / "package" / "manifest.json").is_file()
    assert before["package.zip"].read_bytes() == content


def test_a_package_that_was_put_aside_by_a_killed_export_is_taken_back(tmp_path: Path) -> None:
    written = write(tmp_path / "out", order(tmp_path / "in"))
    written.folder.rename(tmp_path / "out" / ".package.replaced")
    with pytest.raises(ExportRefusedError):
        write(tmp_path / "out", order(tmp_path / "in", {"DM": None}))
    assert (written.folder / "manifest.json").is_file()


@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(path.read_bytes()[:-30]), Path.unlink])
def test_a_damaged_snapshot_is_refused(tmp_path: Path, damage: Callable[[Path], object]) -> None:
    what = order(tmp_path / "in")
    damage(what.sources[2].path)
    with pytest.raises(ExportRefusedError, match="AE: its file in the snapshot is damaged or gone"):
        write(tmp_path, what)


def test_two_datasets_of_one_name_are_refused(tmp_path: Path) -> None:
    what = order(tmp_path / "in")
    path = tmp_path / "in" / "adam" / "dm.parquet"
    columns = {"STUDYID": pa.array(["S 01"]), "USUBJID": pa.array(["S-001"])}
    pq.write_table(table(columns, "DM", "Demographics"), path)
    with pytest.raises(ExportRefusedError, match=r"DM: another dataset of the package has the same name\. Rename"):
        write(tmp_path, replace(what, sources=[*what.sources, Source("adam", path, ("USUBJID",))]))


@pytest.mark.parametrize(
    ("documents", "message"),
    [
        ({}, "tabulations/sdtm/define.xml: is not in the package"),
        ({**DOCUMENTS, "tabulations/sdtm/My_Notes.txt": b""}, "My_Notes.txt is no name an eCTD takes"),
        ({**DOCUMENTS, "tabulations/sdtm/notes.txt": b""}, "tabulations/sdtm/notes.txt: has no file tag"),
        ({**DOCUMENTS, f"tabulations/sdtm/{'x' * 61}.xpt": b""}, "is no name an eCTD takes"),
    ],
)
def test_documents_refuse_a_package(tmp_path: Path, documents: dict[str, bytes], message: str) -> None:
    with pytest.raises(ExportRefusedError, match=message):
        write(tmp_path, order(tmp_path / "in"), documents)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize(
    ("label", "paired"),
    [
        ("Age (Years)", True),
        ("Age (Years", False),
        ("Age )Years(", False),
        ('The "worst" grade', True),
        ('The "worst grade', False),
        ("Subject's Age", False),
        ("Range [a, b)", False),
        ("", False),
    ],
)
def test_labels(tmp_path: Path, label: str, paired: bool) -> None:
    what = order(tmp_path / "in")
    source = next(one for one in what.sources if one.path.stem == "dm")
    content = pq.read_table(source.path)
    fields = [content.schema.field(0).with_metadata({"label": label}), *list(content.schema)[1:]]
    pq.write_table(content.cast(pa.schema(fields, metadata=content.schema.metadata)), source.path)
    if paired:
        write(tmp_path, what)
        return
    with pytest.raises(
        ExportRefusedError, match=r"DM.STUDYID: has (no label|brackets or quotation marks without a pair)"
    ):
        write(tmp_path, what)


def test_a_preview_is_written_and_says_what_fails(tmp_path: Path) -> None:
    what = replace(order(tmp_path / "in", {"TS": None}), preview=True, not_ready=["it is not locked"])
    written = write(tmp_path, what, {})
    failed = {one.id for one in written.checklist if one.outcome == "fail"}
    assert failed == {"FDA-1734", "FDA-1736"}
    manifest = json.loads((written.folder / "manifest.json").read_text())
    assert manifest["preview"] is True and manifest["not_ready"] == ["it is not locked"]


def test_no_file_is_larger_than_the_agency_takes(tmp_path: Path) -> None:
    what = replace(order(tmp_path / "in"), agency=replace(AGENCIES["fda"], largest_bytes=1_000))
    with pytest.raises(ExportRefusedError, match=r"ae.xpt: has [\d,]+ bytes; fda takes 1,000. Split the dataset"):
        write(tmp_path, what)


@pytest.mark.parametrize(
    ("own", "message"),
    [
        (
            {"fda": {"leave_out": [{"dataset": "SUPPXX", "where": {"QNAM": "A"}, "why": "x"}]}},
            "SUPPXX: is named in submission.yml, but there is no such dataset",
        ),
        (
            {"fda": {"leave_out": [{"dataset": "AE", "variables": ["AEXXX"], "why": "x"}]}},
            "AE.AEXXX: is named in submission.yml, but there is no such variable",
        ),
        (
            {"fda": {"leave_out": [{"dataset": "AE", "variables": ["AESEQ"], "why": "x"}]}},
            "AE.AESEQ: is left out by submission.yml, but identifies the records. Name another variable",
        ),
        (
            {"keys": [{"dataset": "AE", "variables": ["AEXXX"], "why": "x"}]},
            "AE.AEXXX: is named in submission.yml, but there is no such variable",
        ),
    ],
)
def test_what_submission_yml_names_must_be_there(tmp_path: Path, own: dict[str, object], message: str) -> None:
    what = replace(order(tmp_path / "in", {"SUPPAE": None}), own=SubmissionFile.model_validate(own))
    with pytest.raises(ExportRefusedError, match=message):
        write(tmp_path, what)


def test_further_keys_tell_equal_records_apart(tmp_path: Path) -> None:
    """Two equal events of a subject are two records; the sequence number is a key then, and the manifest says why."""
    equal = {"AE": {"USUBJID": ["S-001", "S-002", "S-002"], "AETERM": ["Itch"] * 3, "AESTDTC": ["2024-01"] * 3}}
    what = order(tmp_path / "in", equal)
    keys = {"AE": ("USUBJID", "AETERM", "AESTDTC")}
    what = replace(what, sources=[replace(one, keys=keys.get(one.path.stem.upper(), one.keys)) for one in what.sources])
    with pytest.raises(ExportRefusedError, match="AE: the same USUBJID, AETERM, AESTDTC stands in more than"):
        write(tmp_path, what)
    said = {"dataset": "AE", "variables": ["AESEQ"], "why": "Two equal rows are two events"}
    own = SubmissionFile.model_validate({"keys": [said], "fda": what.own.fda.model_dump()})
    written = write(tmp_path, replace(what, own=own, dataset_json="json"))
    assert json.loads((written.folder / "manifest.json").read_text())["further_keys"] == [said]
    columns = json.loads((written.folder / "dataset-json" / "sdtm" / "ae.json").read_text())["columns"]
    assert {one["name"]: one.get("keySequence") for one in columns} == {
        "USUBJID": 1,
        "AETERM": 2,
        "AESTDTC": 3,
        "AESEQ": 4,
    }


def test_dataset_json_lies_beside(tmp_path: Path) -> None:
    written = write(tmp_path, replace(order(tmp_path / "in"), dataset_json="ndjson"))
    lines = (written.folder / "dataset-json" / "sdtm" / "suppae.ndjson").read_text().splitlines()
    assert json.loads(lines[0])["records"] == 1 and json.loads(lines[1])[-2:] == ["AEDLT", "N"]
    columns = {one["name"]: one.get("keySequence") for one in json.loads(lines[0])["columns"]}
    assert columns == {"RDOMAIN": 2, "USUBJID": 1, "IDVAR": 3, "IDVARVAL": 4, "QNAM": 5, "QVAL": None}


def test_another_folder_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="holds something else than a package"):
        write(tmp_path, order(tmp_path / "in"))
    assert (tmp_path / "package" / "mine.txt").read_text() == "mine"


CHINESE = {
    "Label of DM": "人口学资料",
    "Label of AE": "不良事件",
    "Label of USUBJID": "受试者唯一标识",
    "Label of AESEQ": "序号",
    "Label of AETERM": "不良事件的报告名称",
    "Label of AESTDTC": "开始日期时间",
    "Label of STUDYID": "研究标识",
    "Label of RFSTDTC": "参照开始日期",
}


def chinese(folder: Path, labels: Mapping[str, str]) -> Order:
    """The order of DM and AE for the NMPA, with Chinese labels."""
    what = order(folder / "in", {"TS": None, "SUPPAE": None, "CM": None, "ADSL": None})
    return replace(what, agency=AGENCIES["nmpa"], own=SubmissionFile(), labels=labels)


def test_chinese_labels(tmp_path: Path) -> None:
    documents = {name: content for name, content in DOCUMENTS.items() if "adam" not in name}
    written = write(tmp_path, chinese(tmp_path, CHINESE), documents)
    path = written.folder / "m5" / "datasets" / "s-01" / "tabulations" / "sdtm" / "ae.xpt"
    _, metadata = pyreadstat.read_xport(str(path), encoding="UTF-8", metadataonly=True)
    assert metadata.file_label == "不良事件"
    assert metadata.column_labels == ["受试者唯一标识", "序号", "不良事件的报告名称", "开始日期时间"]


def test_what_has_no_chinese_label_is_refused(tmp_path: Path) -> None:
    few = {label: one for label, one in CHINESE.items() if label not in {"Label of AE", "Label of RFSTDTC"}}
    with pytest.raises(
        ExportRefusedError, match=r"DM.RFSTDTC: has no Chinese label\. Write it in the table"
    ) as refused:
        write(tmp_path, chinese(tmp_path, few))
    assert {(one.dataset, one.variable) for one in refused.value.faults if "no Chinese" in one.problem} == {
        ("AE", ""),
        ("DM", "RFSTDTC"),
    }


def test_a_chinese_label_beyond_40_bytes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportRefusedError, match=r"DM.STUDYID: the label has 42 bytes in utf-8; the format holds 40"):
        write(tmp_path, chinese(tmp_path, {**CHINESE, "Label of STUDYID": "研" * 14}))


def test_the_label_of_supplemental_qualifiers_names_their_dataset() -> None:
    shape = Layout("SUPPAE", "Supplemental Qualifiers for AE", ())
    assert agencies.chinese_labels(shape, {"Supplemental Qualifiers for --": "--补充限定"}) == ({"": "AE补充限定"}, [])


def test_documents_are_written_of_what_is_submitted(tmp_path: Path) -> None:
    """They are given a folder like a snapshot: without the records left out, and without datasets that have none."""
    what = order(tmp_path / "in")
    (tmp_path / "in" / "manifest.json").write_text("{}")
    seen: dict[str, pa.Table] = {}

    def documents(contents: Contents, folder: Path) -> Documents:
        assert (folder / "manifest.json").read_text() == "{}"
        seen.update({path.stem.upper(): pq.read_table(path) for path in folder.glob("*/*.parquet")})
        assert {one.layout.name: one.records for one in contents.datasets} == {
            name: one.num_rows for name, one in seen.items()
        }
        return Documents(DOCUMENTS)

    write_package(tmp_path / "out" / "package", what, documents)
    assert set(seen) == {"DM", "TS", "AE", "SUPPAE", "ADSL"}
    whole = pq.read_table(tmp_path / "in" / "sdtm" / "suppae.parquet")
    assert seen["SUPPAE"].equals(whole.slice(1, 1), check_metadata=True)
    left = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert left == ["package", "package.zip", "package.zip.sha256"]


def test_the_checklist_and_its_checks_agree() -> None:
    lines = read_yaml(CHECKLIST)
    assert {one["check"] for one in lines if "check" in one} == set(CHECKS)
    assert {one["found_by"] for one in lines if "found_by" in one} == set(define.CHECKS)
    assert len({one["id"] for one in lines}) == len(lines)
    assert all(len({"check", "found_by", "not_run", "required"} & set(one)) == 1 for one in lines)
    assert all(one["says"] and one["source"] for one in lines)
    assert {name for one in lines for name in one["agencies"]} == set(AGENCIES)


@pytest.mark.parametrize(
    ("file", "tag"),
    [
        ("tabulations/sdtm/ae.xpt", "data-tabulation-dataset-sdtm"),
        ("tabulations/sdtm/define.xml", "data-tabulation-data-definition"),
        ("analysis/adam/datasets/adsl.xpt", "analysis-dataset-adam"),
        ("analysis/adam/datasets/define.xml", "analysis-data-definition"),
        ("tabulations/other/ae.xpt", None),
    ],
)
def test_file_tags(file: str, tag: str | None) -> None:
    """The tags of FDA's technical rejection criterion 1735."""
    assert {tag_of(file, agency) for agency in AGENCIES.values()} == {tag}


def test_reviewers_guides_are_tagged_by_agency() -> None:
    """ICH's list has words for the guides, which FDA takes; the NMPA tags a guide as it tags the definition."""
    files = ("tabulations/sdtm/csdrg.pdf", "analysis/adam/datasets/adrg.pdf")
    assert {name: tuple(tag_of(file, one) for file in files) for name, one in AGENCIES.items()} == {
        "fda": ("study-data-reviewers-guide", "analysis-data-reviewers-guide"),
        "nmpa": ("data-tabulation-data-definition", "analysis-data-definition"),
    }


@pytest.mark.parametrize("label", ["2次给药", "大于>5", "年龄（岁", "“年龄"])
def test_a_chinese_label_that_the_agency_does_not_take(tmp_path: Path, label: str) -> None:
    with pytest.raises(ExportRefusedError, match=r"DM.STUDYID: has (a label that begins with a digit or|brackets or)"):
        write(tmp_path, chinese(tmp_path, {**CHINESE, "Label of STUDYID": label}))


@pytest.mark.parametrize(("studyid", "folder"), [("UCMSC-DAC-01", "ucmsc-dac-01"), ("S 01/A_b.", "s-01-a-b")])
def test_the_folder_of_a_study(studyid: str, folder: str) -> None:
    assert study_folder(studyid) == folder
    assert checklist.PATH.fullmatch(folder)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("pmda: {}", "pmda: extra inputs are not permitted"),
        ("keys: [{dataset: AE, variables: [], why: x}]", "keys.0.variables"),
        ("fda: {leave_out: [{dataset: AE, where: {}, why: x}]}", "fda.leave_out.0"),
        ("fda: {leave_out: [{dataset: AE, where: {A: B}, variables: [C], why: x}]}", "fda.leave_out.0"),
        ("fda: {leave_out: [{dataset: AE, where: {A: B}}]}", "fda.leave_out.0.why"),
        ("fda: {left: []}", "fda.left"),
        ("fda: [", "cannot be read as YAML"),
    ],
)
def test_faults_of_what_a_study_says(tmp_path: Path, written: str, message: str) -> None:
    (tmp_path / "submission.yml").write_text(written)
    with pytest.raises(ConfigurationError, match=message):
        agencies.read(tmp_path)


def test_an_unknown_agency() -> None:
    with pytest.raises(UsageError, match=r"no agency 'ema'\. One of: fda, nmpa"):
        agencies.agency("ema")
