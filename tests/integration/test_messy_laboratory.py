"""What a hospital's laboratory really sends: each messy form of the study's specification, and what must become of it.

The forms are those of the specification of the reference study: its sections on the laboratory (A.3 LB), on raw files
(D.1), on the laboratory's checks (D.2) and on messy reality (F.3). Expected values follow from what it says there:
`<5` has no number and a limit of detection, creatinine in mg/dL is umol/L over 88.4, bilirubin over 17.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

import synthetic
from transforms import pipeline
from transforms.study import Study
from transforms.trace import Leaf, Tracer

ORDER, ITEM, NAME, RESULT, FLAG, UNIT, RANGE = "申请单号", "项目代码", "项目名称", "结果", "提示", "单位", "参考范围"
COLLECTED, STATUS, REVISION, REMARK, MRN, SEX = "采集时间", "结果状态", "修订号", "备注", "病历号", "性别"
SUSPICIOUS_MRN = "9977123"
TELEPHONE = "13812345678"


@dataclass(frozen=True)
class Form:
    """One messy form: the item whose row it is put on, what is written there, and what must become of it.

    `record` are values of the LB record (None: missing), or None where the row is held; `found` are rules that name
    the line, with their severity.
    """

    item: str
    written: Mapping[str, str]
    record: Mapping[str, object] | None
    found: Mapping[str, str] = field(default_factory=dict)


HELD = "critical"
SAID = "information"
FORMS: dict[str, Form] = {
    # F.3: mixed units, converted and said
    "creatinine in mg/dL": Form(
        "CREA", {RESULT: "0.85", UNIT: "mg/dL", RANGE: "0.6-1.1"},
        {"LBORRES": "0.85", "LBORRESU": "mg/dL", "LBSTRESN": 0.85 * 88.4, "LBSTRESU": "umol/L", "LBSTNRHI": 97.24,
         "LBNRIND": "NORMAL"}, {"unit_not_usual": SAID}),
    "bilirubin in mg/dl": Form(
        "TBIL", {RESULT: "2.0", UNIT: "mg/dl", RANGE: "0-1.5"},
        {"LBORRESU": "mg/dL", "LBSTRESN": 34.2, "LBSTRESU": "umol/L", "LBNRIND": "HIGH"}, {"unit_not_usual": SAID}),
    "haemoglobin in g/dL": Form(
        "HGB", {RESULT: "11.4", UNIT: "g/dL", RANGE: "13-17.5"},
        {"LBORRESU": "g/dL", "LBSTRESN": 114, "LBSTRESU": "g/L", "LBNRIND": "LOW"}, {"unit_not_usual": SAID}),
    "cholinesterase in kU/L": Form(
        "CHE", {RESULT: "3.2", UNIT: "kU/L", RANGE: "5-12"},
        {"LBORRESU": "U/mL", "LBSTRESN": 3200, "LBSTRESU": "U/L"}, {"unit_not_usual": SAID}),
    # writings of one unit
    "ASCII unit": Form("CREA", {UNIT: "umol/l"}, {"LBORRESU": "umol/L", "LBSTRESU": "umol/L"}),
    "micro sign": Form("TBIL", {UNIT: "\u00b5mol/L"}, {"LBORRESU": "umol/L"}),
    "times ten": Form("PLT", {UNIT: "×10^9/L"}, {"LBORRESU": "10^9/L"}),
    "star for power": Form("WBC", {UNIT: "10*9/L"}, {"LBORRESU": "10^9/L"}),
    "full-width unit": Form("ALB", {UNIT: "ｇ／Ｌ"}, {"LBORRESU": "g/L"}, {"text_normalised": SAID}),
    "no unit": Form("CREA", {UNIT: ""}, None, {"missing_unit": HELD}),
    "unknown unit": Form("CREA", {UNIT: "nmol/mL"}, None, {"unknown_unit": HELD}),
    "ratio without unit": Form("INR", {UNIT: ""}, {"LBORRESU": "RATIO", "LBSTRESU": "RATIO"}),
    # L04: plausible only in another unit; an edit check removes nothing
    "mg/dL under the SI unit": Form(
        "CREA", {RESULT: "0.9"}, {"LBORRES": "0.9", "LBSTRESN": 0.9}, {"lis.unit_suspected": HELD}),
    "g/dL under the SI unit": Form("ALB", {RESULT: "3.4"}, {"LBSTRESN": 3.4}, {"lis.unit_suspected": HELD}),
    "kU/L under U/L": Form("CHE", {RESULT: "3.2"}, {"LBSTRESN": 3.2}, {"lis.unit_suspected": HELD}),
    "ug/dL under the SI unit": Form("NH3", {RESULT: "1020"}, {"LBSTRESN": 1020}, {"lis.unit_suspected": HELD}),
    "impossible potassium": Form("K", {RESULT: "41"}, {"LBSTRESN": 41}, {"lis.implausible": HELD}),
    # L05: results
    "below a limit": Form(
        "CRP", {RESULT: "<5"},
        {"LBORRES": "<5", "LBSTRESC": "<5", "LBSTRESN": None, "LBLLOD": "5"}),
    "below a limit with places": Form(
        "CRP", {RESULT: "<0.10"},
        {"LBORRES": "<0.10", "LBSTRESN": None, "LBLLOD": "0.10"}),
    "above a limit": Form(
        "AFP", {RESULT: ">2000"},
        {"LBORRES": ">2000", "LBSTRESC": ">2000", "LBSTRESN": None, "LBLLOD": None}),
    "at least": Form("AFP", {RESULT: "≥1000"}, {"LBORRES": ">=1000", "LBSTRESC": ">=1000", "LBSTRESN": None}),
    "full-width below": Form(
        "CRP", {RESULT: "＜５"}, {"LBORRES": "<5", "LBSTRESC": "<5", "LBLLOD": "5"}, {"text_normalised": SAID}),
    "arrow": Form(
        "ALT", {RESULT: "85.3↑", FLAG: ""},
        {"LBORRES": "85.3", "LBSTRESN": 85.3}, {"result_read_by_table": SAID}),
    "arrow after a blank": Form(
        "AST", {RESULT: "12.3 ↓", FLAG: ""},
        {"LBORRES": "12.3"}, {"result_read_by_table": SAID}),
    "arrow against the flag": Form(
        "GGT", {RESULT: "85.3↑", FLAG: "↓"}, {"LBORRES": "85.3"},
        {"result_read_by_table": SAID, "flag_contradicts": "answer"}),
    "full-width comma": Form("K", {RESULT: "4，3"}, None, {"unreadable_result": HELD}),
    "ideographic full stop": Form("K", {RESULT: "４。３"},
        {"LBORRES": "4.3", "LBSTRESN": 4.3}, {"text_normalised": SAID}),
    "negative": Form(
        "AFP", {RESULT: "阴性(-)", UNIT: ""},
        {"LBORRES": "NEGATIVE", "LBSTRESC": "NEGATIVE", "LBSTRESN": None, "LBORRESU": None},
        {"result_read_by_table": SAID}),
    "positive": Form("AFP", {RESULT: "阳性", UNIT: ""}, {"LBSTRESC": "POSITIVE", "LBSTRESN": None}),
    "grade": Form("AFP", {RESULT: "3+", UNIT: ""}, {"LBSTRESC": "3+", "LBSTRESN": None}),
    "haemolysed, to be drawn again": Form(
        "K", {RESULT: "溶血重抽"},
        {"LBORRES": None, "LBORRESU": None, "LBSTRESC": None, "LBSTAT": "NOT DONE",
         "LBREASND": "SPECIMEN HEMOLYZED, NEW SPECIMEN REQUESTED"}, {"result_read_by_table": SAID}),
    "masked": Form("NA", {RESULT: "****"}, None, {"unreadable_result": HELD}),
    "see report": Form("NA", {RESULT: "见报告"}, None, {"unreadable_result": HELD}),
    "exponent": Form("CHE", {RESULT: "1.0E+03"}, {"LBORRES": "1000", "LBSTRESN": 1000}, {"result_read_by_table": SAID}),
    # reference ranges, from the report line
    "doubled dash": Form("ALT", {RANGE: "9--50"}, {"LBORNRLO": "9", "LBORNRHI": "50"}),
    "upper bound": Form("TBIL", {RANGE: "<26"}, {"LBORNRLO": None, "LBORNRHI": "26", "LBSTNRHI": 26}),
    "upper bound included": Form("TBIL", {RANGE: "≤26.0"}, {"LBORNRLO": None, "LBORNRHI": "26.0", "LBSTNRHI": 26}),
    "range of men, a man": Form("CREA", {RANGE: "男:57-97", SEX: "男"}, {"LBORNRLO": "57", "LBORNRHI": "97"}),
    "range of both, a woman": Form(
        "CREA", {RANGE: "男:57-97 女:41-73", SEX: "女"}, {"LBORNRLO": "41", "LBORNRHI": "73"}),
    "range of men, a woman": Form(
        "CREA", {RANGE: "男:57-97", SEX: "女"}, {"LBORNRLO": None, "LBORNRHI": None}, {"range_not_for_row": "answer"}),
    "range in words": Form(
        "CREA", {RANGE: "见说明"}, {"LBORNRHI": None, "LBNRIND": None}, {"unreadable_range": "answer"}),
    # L12: what the remark says of the specimen
    "haemolysis, potassium": Form("K", {REMARK: "溶血"}, {"LBSPCCND": "HEMOLYZED", "LBSPCUFL": "N"}),
    "slight haemolysis, AST": Form("AST", {REMARK: "轻度溶血+"}, {"LBSPCCND": "HEMOLYZED", "LBSPCUFL": "N"}),
    "haemolysis, albumin": Form("ALB", {REMARK: "溶血"}, {"LBSPCCND": "HEMOLYZED", "LBSPCUFL": None}),
    "no haemolysis": Form("K", {REMARK: "无溶血"}, {"LBSPCCND": None, "LBSPCUFL": None}),
    "lipaemia": Form("NH3", {REMARK: "脂血"}, {"LBSPCCND": "LIPEMIC", "LBSPCUFL": "N"}),
    "clot": Form("PT", {REMARK: "标本有凝块"}, {"LBSPCCND": "CLOTTED", "LBSPCUFL": "N"}),
    "remark with a control character": Form(
        "K", {REMARK: "\x01溶血"}, {"LBSPCCND": "HEMOLYZED"}, {"control_character_replaced": "answer"}),
    "remark with a mark without width": Form(
        "K", {REMARK: "溶\u200b血"}, {"LBSPCCND": "HEMOLYZED"}, {"text_on_one_line": SAID}),
    "result with a control character": Form(
        "K", {RESULT: "4.31\x07"}, {"LBSTRESN": 4.31}, {"control_character_replaced": "answer"}),
    "another remark": Form("K", {REMARK: "已电话通知"}, {"LBSPCCND": None}, {"remark_not_read": "answer"}),
    # item codes and names
    "name for code": Form("ALT", {ITEM: "谷丙转氨酶"}, {"LBTESTCD": "ALT"}),
    "name with code": Form("ALT", {ITEM: "丙氨酸氨基转移酶(ALT)"}, {"LBTESTCD": "ALT"}),
    "renamed code": Form("CREA", {ITEM: "CREA2"}, {"LBTESTCD": "CREAT", "LBORRESU": "umol/L"}),
    "name variant": Form("ALT", {NAME: "谷丙转氨酶"}, {"LBTESTCD": "ALT"}),
    "unknown item": Form("UA", {ITEM: "XYZ9"}, None, {"unmapped_term": HELD}),
    # times
    "compact time": Form("K", {COLLECTED: "20220620080500"}, {"LBDTC": "2022-06-20T08:05:00"}),
    "midnight": Form("K", {COLLECTED: "2022/6/20 0:00"}, {"LBDTC": "2022-06-20"}, {"time_unknown": SAID}),
    "spreadsheet's date": Form("K", {COLLECTED: "44713"}, None, {"unreadable_datetime": HELD}),
    "no collection time": Form("K", {COLLECTED: ""}, {"LBDTC": None}, {"required_value_missing": "answer"}),
    "blanks at the end": Form("K", {RESULT: "4.31  "}, {"LBORRES": "4.31"}, {"text_normalised": SAID}),
    "no-break space": Form("K", {RESULT: "4.31\u00a0"}, {"LBORRES": "4.31"}, {"text_normalised": SAID}),
    # attribution
    "wrong patient": Form("K", {MRN: SUSPICIOUS_MRN}, None, {"unknown_identifier": HELD}),
    "telephone in the remark": Form(
        "K", {REMARK: f"已通知 {TELEPHONE}"}, {"LBSPCCND": None}, {"direct_identifier": HELD}),
}  # fmt: skip


@dataclass
class Lines:
    """The laboratory's file as rows of fields; `kept` are rows that no form has been put on."""

    header: list[str]
    rows: list[list[str]]
    used: set[int] = field(default_factory=set)

    def take(self, item: str) -> int:
        """A row of an item, with a result and a unit as they come, that nothing was changed on."""
        item_at = self.header.index(ITEM)
        row = next(number for number, one in enumerate(self.rows) if one[item_at] == item and number not in self.used)
        self.used.add(row)
        return row

    def write(self, row: int, written: Mapping[str, str]) -> None:
        for column, value in written.items():
            self.rows[row][self.header.index(column)] = value

    def add(self, row: int, written: Mapping[str, str]) -> int:
        """A copy of a row at the end, with other fields."""
        self.rows.append(list(self.rows[row]))
        self.used.add(len(self.rows) - 1)
        self.write(len(self.rows) - 1, written)
        return len(self.rows) - 1


@dataclass(frozen=True)
class Messy:
    report: pipeline.Report
    lines: Mapping[str, int]
    lb: pd.DataFrame
    records: Mapping[int, int]
    findings: pd.DataFrame
    texts: Mapping[int, list[str]]

    def record(self, name: str) -> pd.Series | None:
        number = self.records.get(self.lines[name])
        return None if number is None else self.lb.iloc[number - 1]

    def rules(self, line: int) -> dict[str, str]:
        """Rules of the laboratory's findings that name a line, and their severity."""
        found = {}
        for row in self.findings.to_dict("records"):
            if any(line in place["lines"] for place in row["places"] if place["file"].startswith("LIS")):
                found[row["rule"]] = row["severity"]
        return found


def versions_of(file: Lines) -> dict[str, int]:
    """Versions of results: the names say what each row is."""
    rows: dict[str, int] = {}
    rows["corrected: first"] = file.take("ALT")
    rows["corrected: second"] = file.add(rows["corrected: first"], {RESULT: "77", REVISION: "2", STATUS: "C"})
    rows["corrected uncounted: first"] = file.take("CHE")
    rows["corrected uncounted: second"] = file.add(rows["corrected uncounted: first"], {RESULT: "7777", STATUS: "C"})
    rows["final: preliminary"] = file.take("AST")
    rows["final: final"] = file.add(rows["final: preliminary"], {RESULT: "55"})
    file.write(rows["final: preliminary"], {STATUS: "P"})
    rows["only preliminary"] = file.take("ALP")
    file.write(rows["only preliminary"], {STATUS: "P"})
    rows["cancelled: final"] = file.take("LDH")
    rows["cancelled: cancelled"] = file.add(rows["cancelled: final"], {REVISION: "2", STATUS: "X", RESULT: ""})
    rows["in doubt: one"] = file.take("UREA")
    rows["in doubt: two"] = file.add(rows["in doubt: one"], {RESULT: "9.9"})
    rows["second final: first"] = file.take("UA")
    rows["second final: second"] = file.add(rows["second final: first"], {RESULT: "301", REVISION: "2"})
    rows["unreadable last: first"] = file.take("GLU")
    rows["unreadable last: second"] = file.add(rows["unreadable last: first"], {RESULT: "****", REVISION: "2"})
    rows["unknown status: first"] = file.take("CYSC")
    rows["unknown status: second"] = file.add(rows["unknown status: first"], {STATUS: "Z", REVISION: "2"})
    rows["moved: first"] = file.take("TP")
    person = file.header.index("病历号")
    another = next(row[person] for row in file.rows if row[person] != file.rows[rows["moved: first"]][person])
    rows["moved: second"] = file.add(rows["moved: first"], {"病历号": another, REVISION: "2", STATUS: "C"})
    rows["no order"] = file.take("TBA")
    file.write(rows["no order"], {"申请单号": ""})
    rows["duplicate: one"] = file.take("CL")
    rows["duplicate: two"] = file.add(rows["duplicate: one"], {})
    return rows


@pytest.fixture(scope="module")
def messy(tmp_path_factory: pytest.TempPathFactory) -> Messy:
    folder = tmp_path_factory.mktemp("messy")
    landing = folder / "landing"
    synthetic.generate(landing, truth=folder / "truth", subjects=6, cut_off=date(2023, 6, 30))
    (landing / "manifest.json").unlink()
    path = next(landing.glob("LIS_*.txt"))
    header, *rows = [line.split("|") for line in path.read_bytes().decode("gb18030").removesuffix("\r\n").split("\r\n")]
    file = Lines(header, rows)
    placed: dict[str, int] = {}
    for name, form in FORMS.items():
        placed[name] = file.take(form.item)
        file.write(placed[name], form.written)
    placed.update(versions_of(file))
    content = "".join("|".join(row) + "\r\n" for row in [file.header, *file.rows])
    path.write_bytes(content.encode("gb18030"))
    report = pipeline.run(Study.load("ucmsc_dac"), landing=landing, home=folder / "home")
    lineage = pq.read_table(report.path / "lineage.parquet").to_pandas()
    of_laboratory = lineage["source"].astype(str).str.startswith("LIS")
    own = lineage[(lineage["dataset"] == "LB") & (lineage["kind"] == "raw") & of_laboratory]
    return Messy(
        report,
        {name: row + 2 for name, row in placed.items()},
        pq.read_table(report.path / "sdtm" / "lb.parquet").to_pandas(),
        dict(zip(own["line"], own["record"], strict=True)),
        pq.read_table(report.path / "findings.parquet").to_pandas(),
        {row + 2: file.rows[row] for row in placed.values()},
    )


@pytest.mark.parametrize("name", FORMS)
def test_each_form_becomes_what_it_says(messy: Messy, name: str) -> None:
    form, record, found = FORMS[name], messy.record(name), messy.rules(messy.lines[name])
    assert {rule: found.get(rule) for rule in form.found} == form.found
    if form.record is None:
        assert record is None
        return
    assert record is not None, found
    for variable, expected in form.record.items():
        if expected is None:
            assert pd.isna(record[variable]), (variable, record[variable])
        elif isinstance(expected, int | float):
            assert record[variable] == pytest.approx(expected, rel=1e-12), variable
        else:
            assert record[variable] == expected, variable
    # Rules about values (bilirubin parts, critical values, order of times) rightly look at what a form writes.
    unexpected = {rule for rule in found if "." not in rule} - set(form.found) - {"no_visit_on_date", "key_not_unique"}
    assert not unexpected


VERSIONS = {
    "corrected: first": ("superseded", "earlier_revision"),
    "corrected: second": ("accepted", ""),
    "corrected uncounted: first": ("superseded", "earlier_revision"),
    "corrected uncounted: second": ("accepted", ""),
    "final: preliminary": ("superseded", "preliminary"),
    "final: final": ("accepted", ""),
    "only preliminary": ("excluded", "preliminary_only"),
    "cancelled: final": ("superseded", "cancelled_result"),
    "cancelled: cancelled": ("excluded", "cancelled_result"),
    "in doubt: one": ("quarantined", "ambiguous_revision"),
    "in doubt: two": ("quarantined", "ambiguous_revision"),
    "second final: first": ("superseded", "earlier_revision"),
    "second final: second": ("accepted", ""),
    "unreadable last: first": ("superseded", "earlier_revision"),
    "unreadable last: second": ("quarantined", "unreadable_result"),
    "unknown status: first": ("quarantined", "unreadable_revision"),
    "unknown status: second": ("quarantined", "unreadable_revision"),
    "moved: first": ("superseded", "earlier_revision"),
    "moved: second": ("accepted", ""),
    "no order": ("quarantined", "unreadable_revision"),
    "duplicate: one": ("accepted", ""),
    "duplicate: two": ("duplicate", "equal_row"),
}


def test_one_version_of_each_result_stands_and_the_others_are_accounted(messy: Messy) -> None:
    accounts = pq.read_table(messy.report.path / "accounts.parquet").to_pandas()
    own = accounts[(accounts["stage"] == "staging") & (accounts["source"] == "lis")]
    counted = own.groupby(["outcome", "rule"])["rows"].sum().to_dict()
    revised = ("earlier_revision", "preliminary", "preliminary_only", "cancelled_result", "ambiguous_revision",
               "unreadable_revision", "equal_row")  # fmt: skip
    for outcome, rule in {one for one in VERSIONS.values() if one[1] in revised}:
        assert counted[outcome, rule] == list(VERSIONS.values()).count((outcome, rule))
    for name, (outcome, _) in VERSIONS.items():
        assert (messy.record(name) is not None) == (outcome == "accepted"), name
    said = {name: messy.rules(messy.lines[name]) for name in VERSIONS}
    assert said["only preliminary"]["preliminary_only"] == "information"
    assert said["cancelled: cancelled"]["cancelled_result"] == "information"
    assert said["in doubt: one"]["ambiguous_revision"] == said["in doubt: two"]["ambiguous_revision"] == "critical"
    assert said["unknown status: first"]["unreadable_revision"] == "critical"
    assert said["no order"]["unreadable_revision"] == "critical"
    moved = {name for name, rules in said.items() if "revision_of_other_person" in rules}
    assert moved == {"moved: first", "moved: second"}
    assert said["moved: first"]["revision_of_other_person"] == "critical"
    staged = pq.read_table(messy.report.path / "staged" / "lis.parquet")
    assert staged.num_rows == own.loc[own["outcome"] == "accepted", "rows"].sum()


def test_a_result_in_chinese_words_stands_in_english_and_the_words_are_kept(messy: Messy) -> None:
    supplemental = pq.read_table(messy.report.path / "sdtm" / "supplb.parquet").to_pandas()
    kept = supplemental[supplemental["QNAM"] == "LBORRSZH"]
    records = {one: messy.record(one) for one in ("negative", "positive")}
    assert {name: None if one is None else one["LBORRES"] for name, one in records.items()} == {
        "negative": "NEGATIVE",
        "positive": "POSITIVE",
    }
    places = {name: (one["USUBJID"], str(int(one["LBSEQ"]))) for name, one in records.items() if one is not None}
    told = dict(zip(zip(kept["USUBJID"], kept["IDVARVAL"], strict=True), kept["QVAL"], strict=True))
    assert told == {places["negative"]: "阴性", places["positive"]: "阳性"}


def test_a_corrected_result_is_flagged_and_leads_to_its_earlier_version(messy: Messy) -> None:
    supplemental = pq.read_table(messy.report.path / "sdtm" / "supplb.parquet").to_pandas()
    flagged = supplemental[supplemental["QNAM"] == "LBCORFL"]
    corrected = [
        messy.record(name)
        for name in ("corrected: second", "corrected uncounted: second", "second final: second", "moved: second")
    ]
    expected = {(one["USUBJID"], str(int(one["LBSEQ"]))) for one in corrected if one is not None}
    assert set(zip(flagged["USUBJID"], flagged["IDVARVAL"], strict=True)) == expected
    assert set(flagged["QVAL"]) == {"Y"}
    tracer = Tracer(messy.report.path)
    for second, first in (
        ("corrected: second", "corrected: first"),
        ("corrected uncounted: second", "corrected uncounted: first"),
        ("final: final", "final: preliminary"),
    ):
        leaves = tracer.trace("LB", messy.records[messy.lines[second]], "LBORRES").all_leaves()
        assert [(one.kind, one.line) for one in leaves] == [
            ("raw", messy.lines[second]),
            ("superseded", messy.lines[first]),
        ]
        assert all(isinstance(one, Leaf) and one.columns == (RESULT,) for one in leaves)


def test_a_cause_is_one_finding_with_all_its_rows(messy: Messy) -> None:
    unusual = messy.findings[messy.findings["rule"] == "unit_not_usual"]
    assert sorted(unusual["n_records"]) == [1, 1, 1, 1], "one for each analyte and unit"
    suspected = messy.findings[messy.findings["rule"] == "lis.unit_suspected"]
    assert sorted(one.rpartition(": ")[2] for one in suspected["message"]) == [
        "probably g/dL",
        "probably kU/L",
        "probably mg/dL",
        "probably μg/dL",
    ]


def test_no_identifier_leaves_raw(messy: Messy) -> None:
    """Neither the unknown hospital number nor the telephone in a remark stands in anything but the raw store."""
    for path in messy.report.path.rglob("*"):
        if path.suffix == ".json":
            assert not any(one in path.read_text(encoding="utf-8") for one in (SUSPICIOUS_MRN, TELEPHONE)), path
        elif path.suffix == ".parquet":
            shown = str(pq.read_table(path).to_pydict())
            assert SUSPICIOUS_MRN not in shown, path.name
            assert TELEPHONE not in shown, path.name
    assert messy.report.page is not None
    page = messy.report.page.read_text(encoding="utf-8")
    assert SUSPICIOUS_MRN not in page
    assert TELEPHONE not in page


def test_the_rows_of_the_file_are_all_accounted(messy: Messy, tmp_path: Path) -> None:
    accounts = pq.read_table(messy.report.path / "accounts.parquet").to_pandas()
    own = accounts[(accounts["stage"] == "staging") & (accounts["source"] == "lis")]
    manifest = messy.report.path / "manifest.json"
    rows = next(one["rows"] for one in pd.read_json(manifest, typ="series")["files"] if one["source"] == "lis")
    assert own["rows"].sum() == rows
