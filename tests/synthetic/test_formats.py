"""ODM-XML and HL7 say what the CSV forms and the text file say, read here by other means than they were written."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from hl7apy.parser import parse_message
from lxml import etree

import synthetic
from synthetic import edc, metadata
from synthetic.__main__ import main
from synthetic.convert import convert
from synthetic.delivery import SERIES, Formats
from synthetic.protocol import LABEL

ODM = "{http://www.cdisc.org/ns/odm/v1.3}"
AUDITED = ("entered_ts", "modified_ts")
HL7_ESCAPES = {"\\F\\": "|", "\\S\\": "^", "\\T\\": "&", "\\R\\": "~", "\\E\\": "\\"}

Records = dict[tuple[str, str], dict[str, str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("formats")
    few = ["--series", "--subjects", "20"]
    main(["--out", str(out / "csv"), *few])
    main(["--out", str(out / "transactions"), *few, "--edc", "odm-transactional", "--lab", "hl7"])
    main(["--out", str(out / "snapshot"), *few, "--edc", "odm"])
    return out


def read_csv(landing: Path) -> Records:
    records: Records = {}
    for path in landing.glob("UCMSC_*.csv"):
        with path.open(encoding="utf-8-sig", newline="") as handle:
            for row in csv.DictReader(handle):
                records[row["form_oid"], row["record_id"]] = row
    return records


def as_iso(row: dict[str, str]) -> dict[str, str]:
    """The row with collected dates as ISO 8601, by strptime."""
    out = dict(row)
    for column, how in metadata.DATE_FORMATS.get(row["form_oid"], {}).items():
        if how == metadata.DAY_TEXT and row[column]:
            out[column] = datetime.strptime(row[column], "%d%b%Y").date().isoformat()
        if how == metadata.ISO_MINUTE and row[column]:
            out[column] = datetime.strptime(row[column], "%Y-%m-%d %H:%M").isoformat(timespec="minutes")
    return out


def document(landing: Path) -> etree._Element:
    (path,) = landing.glob("UCMSC_ODM*_*.xml")
    return etree.parse(path).getroot()


def groups(root: etree._Element) -> Iterator[tuple[etree._Element, tuple[str, str, str, str]]]:
    for subject in root.iter(f"{ODM}SubjectData"):
        for event in subject.iter(f"{ODM}StudyEventData"):
            for form in event.iter(f"{ODM}FormData"):
                (group,) = form.iter(f"{ODM}ItemGroupData")
                yield (
                    group,
                    (
                        subject.get("SubjectKey", ""),
                        event.get("StudyEventOID", ""),
                        form.get("FormOID", ""),
                        form.get("FormRepeatKey", ""),
                    ),
                )


def values(group: etree._Element) -> dict[str, str]:
    out = {}
    for item in group.iter(f"{ODM}ItemData"):
        prefix, form, column = item.get("ItemOID", "").split(".")
        assert prefix == "IT"
        assert form == group.get("ItemGroupOID", "").removeprefix("IG.")
        out[column.lower()] = "" if item.get("IsNull") == "Yes" else item.get("Value", "")
    return out


@pytest.mark.parametrize("cut", SERIES)
def test_a_snapshot_holds_every_value_of_the_forms(folder: Path, cut: str) -> None:
    expected = read_csv(folder / "csv" / cut / "landing")
    root = document(folder / "snapshot" / cut / "landing")
    assert root.get("FileType") == "Snapshot"
    assert root.get("ODMVersion") == "1.3.2"
    assert root.get("Description") == LABEL
    seen = {}
    for group, (subject, event, form, repeat) in groups(root):
        found = values(group)
        row = as_iso(expected[form.removeprefix("F."), found["record_id"]])
        kept = {column: value for column, value in row.items() if value and column not in AUDITED}
        assert found == kept
        assert subject == (row["subj"] or "STUDY-LEVEL")
        assert event == "SE.LOG" or row["visit"] != ""
        stamps = sorted(stamp.text or "" for stamp in group.iter(f"{ODM}DateTimeStamp"))
        assert stamps[0] == row["entered_ts"] + "+08:00"
        assert stamps[-1] == row["modified_ts"] + "+08:00"
        assert seen.setdefault((subject, event, form, repeat), group) is group
    assert len(seen) == len(expected)


def test_every_oid_used_is_defined_once(folder: Path) -> None:
    root = document(folder / "snapshot" / "S4" / "landing")
    defined = {
        kind: [element.get("OID") for element in root.iter(f"{ODM}{kind}")]
        for kind in ("StudyEventDef", "FormDef", "ItemGroupDef", "ItemDef", "CodeList", "MeasurementUnit", "User")
    }
    for oids in defined.values():
        assert len(set(oids)) == len(oids) > 0
    for name, kind in (
        ("StudyEventOID", "StudyEventDef"),
        ("FormOID", "FormDef"),
        ("ItemGroupOID", "ItemGroupDef"),
        ("ItemOID", "ItemDef"),
        ("CodeListOID", "CodeList"),
        ("MeasurementUnitOID", "MeasurementUnit"),
        ("UserOID", "User"),
    ):
        used = {element.get(name) for element in root.iter() if element.get(name)}
        assert used
        assert used <= set(defined[kind]), name
    assert {element.get("StudyOID") for element in root.iter() if element.get("StudyOID")} == {"UCMSC-DAC-01"}


def test_values_fit_their_data_type_and_code_list(folder: Path) -> None:
    root = document(folder / "snapshot" / "S4" / "landing")
    kinds = {item.get("OID"): item for item in root.iter(f"{ODM}ItemDef")}
    codes = {
        code.get("OID"): {item.get("CodedValue") for item in code.iter(f"{ODM}CodeListItem")}
        for code in root.iter(f"{ODM}CodeList")
    }
    checked = 0
    for data in root.iter(f"{ODM}ItemData"):
        item, value = kinds[data.get("ItemOID")], data.get("Value", "")
        kind = item.get("DataType")
        listed = item.find(f"{ODM}CodeListRef")
        if listed is not None:
            assert value in codes[listed.get("CodeListOID")], data.get("ItemOID")
            checked += 1
        if kind == "integer":
            assert int(value) >= 0
        if kind == "float":
            assert float(value) >= 0
        if kind == "date":
            datetime.strptime(value, "%Y-%m-%d")
        if kind == "partialDatetime":
            datetime.strptime(value, "%Y-%m-%dT%H:%M")
        if kind == "text":
            assert len(value) <= int(item.get("Length"))
    assert checked > 1000


def test_transactions_build_the_same_forms_as_the_snapshot(folder: Path) -> None:
    state: dict[tuple[str, str, str, str], dict[str, str]] = {}
    kinds = set()
    prior = None
    for cut in SERIES:
        root = document(folder / "transactions" / cut / "landing")
        assert root.get("FileType") == "Transactional"
        assert root.get("PriorFileOID") == prior
        prior = root.get("FileOID")
        for group, key in groups(root):
            kind = group.get("TransactionType")
            kinds.add(kind)
            if kind == "Remove":
                del state[key]
                continue
            assert (kind == "Insert") == (key not in state)
            state[key] = {**state.get(key, {}), **values(group)}
        expected = read_csv(folder / "csv" / cut / "landing")
        found = {
            (key[2], row["record_id"]): {column: value for column, value in row.items() if value}
            for key, row in state.items()
        }
        assert found == {
            (f"F.{form}", record): {
                column: value for column, value in as_iso(row).items() if value and column not in AUDITED
            }
            for (form, record), row in expected.items()
        }
    assert {"Insert", "Update"} <= kinds


def hl7_fields(line: str) -> list[str]:
    return line.split("|")


def unescaped(text: str) -> str:
    for mark, sign in HL7_ESCAPES.items():
        text = text.replace(mark, sign)
    return text


def lis_rows(landing: Path) -> list[dict[str, str]]:
    (path,) = landing.glob("LIS_YHD_*.txt")
    header, *lines = path.read_bytes().decode("gb18030").split("\r\n")[:-1]
    return [dict(zip(header.split("|"), line.split("|"), strict=True)) for line in lines]


def hl7_time(text: str) -> str:
    assert text.endswith("+0800")
    when = datetime.strptime(text, "%Y%m%d%H%M%z")
    return f"{when.year}/{when.month}/{when.day} {when.hour}:{when.minute:02d}"


def test_hl7_holds_every_result_of_the_text_file(folder: Path) -> None:
    expected = lis_rows(folder / "csv" / "S1" / "landing")
    (path,) = (folder / "transactions" / "S1" / "landing").glob("LIS_YHD_*.hl7")
    lines = path.read_bytes().decode("utf-8").split("\r")[:-1]
    assert lines[0].startswith("FHS|^~\\&|")
    assert LABEL in lines[0]
    assert lines[-1] == "FTS|1"
    assert lines[-2] == f"BTS|{sum(line.startswith('MSH') for line in lines)}"
    found: list[dict[str, str]] = []
    pending: list[dict[str, str]] = []
    person: dict[str, str] = {}
    for line in lines:
        fields = hl7_fields(line)
        if fields[0] == "MSH":
            assert fields[8] == "ORU^R01^ORU_R01"
            assert fields[11] == "2.5.1"
            assert fields[17] == "UNICODE UTF-8"
        elif fields[0] == "PID":
            person = {
                "病历号": fields[3].split("^")[0],
                "姓名(脱敏)": fields[5],
                "性别": {"M": "男", "F": "女"}[fields[8]],
            }
        elif fields[0] == "PV1":
            person["门诊住院号"] = fields[19]
            assert (fields[2] == "I") == fields[19].startswith("ZY")
        elif fields[0] == "OBR":
            person |= {
                "申请单号": fields[2],
                "条码号": fields[3],
                "采集时间": hl7_time(fields[7]),
                "接收时间": hl7_time(fields[14]),
                "报告时间": hl7_time(fields[22]),
            }
        elif fields[0] == "OBX":
            code, name, system = fields[3].split("^")
            assert system == "99YHD"
            result = fields[5]
            if fields[2] == "SN":
                result = result.replace("^", "")
            pending.append(
                {
                    **person,
                    "项目代码": unescaped(code),
                    "项目名称": unescaped(name),
                    "修订号": fields[4],
                    "结果": unescaped(result),
                    "单位": unescaped(fields[6]),
                    "参考范围": unescaped(fields[7]),
                    "提示": {"H": "↑", "L": "↓", "": ""}[fields[8]],
                    "结果状态": fields[11],
                    "仪器": fields[18],
                }
            )
            assert hl7_time(fields[14]) == person["采集时间"]
        elif fields[0] == "NTE":
            pending[-1]["备注"] = fields[3]
        elif fields[0] == "SPM":
            assert fields[2] == f"^{person['条码号']}"
            found += [{**row, "标本类型": fields[4].split("^")[1]} for row in pending]
            pending = []
    assert found == [{column: value for column, value in row.items() if column != "年龄"} for row in expected]
    assert len(found) > 1000


def test_hl7_messages_parse_as_oru_r01(folder: Path) -> None:
    """By hl7apy, which knows the structure of ORU_R01 in 2.5.1."""
    (path,) = (folder / "transactions" / "S1" / "landing").glob("LIS_YHD_*.hl7")
    text = path.read_bytes().decode("utf-8")
    messages = text.split("MSH|")[1:]
    for body in messages[:12]:
        message = parse_message("MSH|" + body.split("\rBTS|")[0], find_groups=True)
        assert message.name == "ORU_R01"
        (result,) = message.oru_r01_patient_result
        (order,) = result.oru_r01_order_observation
        assert len(order.oru_r01_observation) > 0
        assert order.oru_r01_specimen.spm.spm_4.spm_4_3.value == "HL70487"
        assert message.validate()


def test_manifest_counts_rows_of_each_format(folder: Path) -> None:
    landing = folder / "transactions" / "S4" / "landing"
    entries = {entry["name"]: entry["rows"] for entry in json.loads((landing / "manifest.json").read_text())["files"]}
    assert entries["UCMSC_ODMTX_20250131T0600.xml"] == sum(1 for _ in groups(document(landing)))
    (path,) = landing.glob("*.hl7")
    assert entries[path.name] == path.read_bytes().count(b"\rOBX|")


def test_each_extract_of_the_series_is_that_of_its_date(folder: Path, tmp_path: Path) -> None:
    for cut, cut_off in list(SERIES.items())[:2]:
        alone = synthetic.generate(tmp_path / cut / "landing", cut_off=cut_off, subjects=20)
        for path in sorted(alone.landing.iterdir()):
            assert path.read_bytes() == (folder / "csv" / cut / "landing" / path.name).read_bytes()
    assert [len(read_csv(folder / "csv" / cut / "landing")) for cut in SERIES] == sorted(
        len(read_csv(folder / "csv" / cut / "landing")) for cut in SERIES
    )


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(ValueError, match="formats are"):
        synthetic.Formats(edc="excel")


def test_forms_have_the_formats_the_readme_says() -> None:
    text = (Path(synthetic.__file__).parent / "README.md").read_text(encoding="utf-8")
    for form, columns in metadata.DATE_FORMATS.items():
        section = text.split(f"### {form} (")[1].split("\n### ")[0]
        for column, how in columns.items():
            (line,) = (line for line in section.splitlines() if f"`{column}`" in "".join(line.split("|")[1:2]))
            assert f"`{how}`" in line, (form, column)
    assert set(metadata.DATE_FORMATS) == set(edc.FORMS)


def test_a_folder_carried_over_holds_what_the_generator_writes(folder: Path, tmp_path: Path) -> None:
    """Without faults both ways end in the same bytes, manifest included."""
    main(["convert", "--landing", str(folder / "csv" / "S3" / "landing"), "--out", str(tmp_path), "--lab", "text"])
    written = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert written == {path.name: path.read_bytes() for path in (folder / "snapshot" / "S3" / "landing").iterdir()}
    main(["convert", "--landing", str(folder / "csv" / "S1" / "landing"), "--out", str(tmp_path / "lab")])
    (path,) = (folder / "transactions" / "S1" / "landing").glob("LIS_YHD_*.hl7")
    assert (tmp_path / "lab" / path.name).read_bytes() == path.read_bytes()


def test_what_has_no_place_in_the_other_format_is_said(folder: Path, tmp_path: Path) -> None:
    landing, out = tmp_path / "landing", tmp_path / "out"
    landing.mkdir()
    for path in (folder / "csv" / "S1" / "landing").iterdir():
        (landing / path.name).write_bytes(path.read_bytes())
    (ae,) = landing.glob("UCMSC_AE_*.csv")
    later = ae.name.replace("T0600", "T0700")
    (landing / later).write_bytes(ae.read_bytes()[:-40])
    (landing / "readme.txt").write_bytes(b"x")
    (kps,) = landing.glob("UCMSC_KPS_*.csv")
    kps.write_bytes(kps.read_bytes().replace(b"\r\n", b",\r\n", 1).replace(b",\r\n", b",kpscomm\r\n", 1))
    assert {(one.file, one.why.partition(" ")[0]) for one in convert(landing, out, Formats(edc="odm"))} == {
        (later, "its"),
        (kps.name, "its"),
        ("KPS", "no"),
    }
    assert (out / "readme.txt").read_bytes() == b"x"
    with pytest.raises(ValueError, match="two extracts"):
        convert(landing, out, Formats(edc="odm-transactional"))
