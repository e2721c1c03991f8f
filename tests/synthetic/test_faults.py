"""Faults are planted as their list says: in the rows meant, in the extracts meant, in files that stay deliveries."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from collections import Counter
from pathlib import Path
from typing import get_args

import pytest

import synthetic
from synthetic.__main__ import main
from synthetic.delivery import SERIES
from synthetic.faults import BUILT_IN, FaultError, Faults, apply_faults, operations
from synthetic.faults.landing import DelimitedFile
from synthetic.protocol import LABEL
from tests.reference import Extracts, Planted

Rows = list[dict[str, str]]


@pytest.fixture(scope="module")
def clean(series: dict[str, Extracts]) -> Path:
    return series["S1"].landing.parents[1]


@pytest.fixture
def landing(clean: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(clean / "S1" / "landing", tmp_path / "landing"))


def plant(landing: Path, *faults: dict[str, object], keys: dict[str, object] | None = None) -> list[dict[str, str]]:
    given = [{"id": f"fault_{number}", "why": "a test", **fault} for number, fault in enumerate(faults)]
    listed = Faults.model_validate({"label": LABEL, "keys": keys or {}, "faults": given})
    return [vars(one) for one in apply_faults(listed, landing)]


def rows(landing: Path, form: str) -> Rows:
    (path,) = landing.glob(f"UCMSC_{form}_*.csv")
    with path.open(encoding="utf-8-sig", newline="") as handle:
        return list(csv.DictReader(handle))


def lis(landing: Path) -> Rows:
    path = min(landing.glob("LIS_YHD_*.txt"))
    header, *lines = path.read_bytes().decode("gb18030").split("\r\n")[:-1]
    return [dict(zip(header.split("|"), line.split("|"), strict=True)) for line in lines]


def manifest(landing: Path) -> dict[str, dict[str, object]]:
    entries = json.loads((landing / "manifest.json").read_text(encoding="utf-8"))["files"]
    return {entry["name"]: entry for entry in entries}


def test_every_file_comes_out_of_a_table_as_it_went_in(clean: Path) -> None:
    seen = 0
    for path in (clean / "S1" / "landing").iterdir():
        if path.name != "manifest.json":
            table = DelimitedFile.parse(path.read_bytes())
            assert table is not None
            assert table.content() == path.read_bytes()
            seen += 1
    assert seen == 26


def test_no_fault_changes_nothing(landing: Path, clean: Path) -> None:
    plant(landing, {"kind": "shift_time", "file": "DM", "pick": 1, "columns": ["entered_ts"], "minutes": 0})
    for path in landing.iterdir():
        assert path.read_bytes() == (clean / "S1" / "landing" / path.name).read_bytes()


def test_a_value_is_set_and_the_manifest_fits(landing: Path, clean: Path) -> None:
    fault = {
        "kind": "set_value",
        "file": "AE",
        "where": {"record_id": "AE-1005-01"},
        "set": {"aetoxgr": "9", "aeterm": "{aeterm}?"},
        "must": [{"rule": "some.rule", "keys": ["record_id", "subj"]}],
        "may": ["other.rule"],
        "check": "X09",
    }
    expected = plant(landing, fault)
    before, after = rows(clean / "S1" / "landing", "AE"), rows(landing, "AE")
    changed = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert [(old["record_id"], new["aetoxgr"], new["aeterm"]) for old, new in changed] == [
        ("AE-1005-01", "9", "Insomnia?")
    ]
    assert [(one["rule"], one["necessity"], one["keys"]) for one in expected] == [
        ("", "", "{}"),
        ("some.rule", "must", '{"record_id": "AE-1005-01", "subj": "1005"}'),
        ("other.rule", "may", '{"subj": "1005"}'),
    ]
    for name, entry in manifest(landing).items():
        assert entry["sha256"] == hashlib.sha256((landing / name).read_bytes()).hexdigest()


def test_units_shift_and_swap(landing: Path, clean: Path) -> None:
    first, second = [row for row in lis(landing) if row["申请单号"].endswith("B") and row["项目代码"] == "ALB"][:2]
    plant(
        landing,
        {
            "kind": "change_unit", "file": "LIS", "where": {"项目代码": "CREA"}, "pick": 1, "column": "结果",
            "factor": 0.0113122, "decimals": 2, "unit_column": "单位", "unit": "mg/dL", "range_column": "参考范围",
        },
        {"kind": "shift_time", "file": "LIS", "where": {"项目代码": "PT"}, "columns": ["采集时间"], "days": 1},
        {
            "kind": "swap_values", "file": "LIS", "where": {"申请单号": {"matches": ".*B"}, "项目代码": "ALB"},
            "each": ["申请单号"], "columns": ["结果"], "match": ["项目代码"],
        },
    )  # fmt: skip
    before, after = lis(clean / "S1" / "landing"), lis(landing)
    creatinine = next(
        (old, new) for old, new in zip(before, after, strict=True) if old["项目代码"] == "CREA" and old != new
    )
    # 88.42 umol/L of creatinine are 1 mg/dL (molar mass 113.12 g/mol).
    assert float(creatinine[1]["结果"]) == pytest.approx(float(creatinine[0]["结果"]) / 88.4, abs=0.006)
    assert creatinine[1]["单位"] == "mg/dL"
    assert creatinine[1]["参考范围"] == "0.64-1.10"
    times = [(o["采集时间"], n["采集时间"]) for o, n in zip(before, after, strict=True) if o["项目代码"] == "PT"]
    assert ("2022/6/14 7:31", "2022/6/15 7:31") in times
    albumin = {row["申请单号"]: row["结果"] for row in after if row["项目代码"] == "ALB"}
    assert albumin[first["申请单号"]] == second["结果"]
    assert albumin[second["申请单号"]] == first["结果"]


def test_a_visit_moves_with_its_pages_and_samples(landing: Path, clean: Path) -> None:
    plant(
        landing,
        {
            "kind": "move_visit", "file": "VISIT", "where": {"subj": "1002", "visit": "MONTH 1"},
            "start": "svstdat", "collected": "采集时间", "days": 5,
        },
    )  # fmt: skip
    before = clean / "S1" / "landing"
    moved = {"2022-09-29": "2022-10-04", "29SEP2022": "04OCT2022"}
    forms = 0
    for path in sorted(before.glob("UCMSC_*.csv")):
        form = path.name.split("_")[1]
        for old, new in zip(rows(before, form), rows(landing, form), strict=True):
            if old["subj"] == "1002" and old["visit"] == "MONTH 1":
                forms += 1
                assert any(new[column] == moved.get(value) for column, value in old.items()), form
                assert old["entered_ts"] < new["entered_ts"]
            else:
                assert old == new
    samples = [(old, new) for old, new in zip(lis(before), lis(landing), strict=True) if old != new]
    assert forms > 5 and len(samples) > 20
    (person,) = {row["mrn"] for row in rows(before, "DM") if row["subj"] == "1002"}
    of_the_day = [row for row in lis(before) if row["病历号"] == person and row["采集时间"].startswith("2022/9/29 ")]
    assert [old for old, _ in samples] == of_the_day
    for old, new in samples:
        assert new["采集时间"] == old["采集时间"].replace("2022/9/29 ", "2022/10/4 ")
        assert (new["申请单号"], new["结果"]) == (old["申请单号"], old["结果"])


def test_rows_are_repeated_revised_and_dropped(landing: Path, clean: Path) -> None:
    plant(
        landing,
        {"kind": "duplicate_row", "file": "AE", "pick": 1, "set": {"record_id": "{record_id}D"}},
        {"kind": "drop_row", "file": "DSMB", "pick": 2},
        {
            "kind": "revise_row", "file": "LIS", "where": {"项目代码": "K"}, "pick": 1, "number": "修订号",
            "value": "结果", "factor": 10, "newer": {"结果状态": "C"}, "later": ["报告时间"], "minutes": 60,
        },
    )  # fmt: skip
    assert len(rows(landing, "AE")) == len(rows(clean / "S1" / "landing", "AE")) + 1
    assert len(rows(landing, "DSMB")) == len(rows(clean / "S1" / "landing", "DSMB")) - 2
    before, after = lis(clean / "S1" / "landing"), lis(landing)
    (newer,) = [row for row in after if row["修订号"] == "2"]
    key = (newer["申请单号"], "K")
    (older,) = [row for row in after if (row["申请单号"], row["项目代码"]) == key and row["修订号"] == "1"]
    (truth,) = [row for row in before if (row["申请单号"], row["项目代码"]) == key]
    assert newer["结果"] == truth["结果"]
    assert float(older["结果"]) == pytest.approx(10 * float(truth["结果"]))
    assert (older["结果状态"], newer["结果状态"]) == ("F", "C")
    counts = {name.split("_")[1]: entry["rows"] for name, entry in manifest(landing).items()}
    assert counts["AE"] == len(rows(landing, "AE"))
    assert counts["DSMB"] == len(rows(landing, "DSMB"))
    assert counts["YHD"] == len(after)


def test_files_are_broken_as_named(clean: Path, tmp_path: Path) -> None:
    listed = {fault.id: fault for fault in Faults.read("broken_files").faults}
    assert len(listed) > 10
    results = {}
    for name, fault in listed.items():
        folder = Path(shutil.copytree(clean / "S1" / "landing", tmp_path / name))
        apply_faults(Faults(label=LABEL, faults=(fault,)), folder)
        results[name] = folder
    entry = manifest(results["manifest_of_other_bytes"])["UCMSC_DM_20221110T0600.csv"]
    content = (results["manifest_of_other_bytes"] / "UCMSC_DM_20221110T0600.csv").read_bytes()
    assert entry["sha256"] != hashlib.sha256(content).hexdigest()
    assert manifest(results["manifest_says_other_rows"])["UCMSC_AE_20221110T0600.csv"]["rows"] == 7
    assert json.loads((results["other_study"] / "manifest.json").read_text())["study"] == "other_study"
    assert "UCMSC_VISIT_20221110T0600.csv" in manifest(results["file_did_not_come"])
    assert not list(results["file_did_not_come"].glob("UCMSC_VISIT_*"))
    assert (results["empty"] / "UCMSC_AE_20221110T0600.csv").read_bytes() == b""
    with pytest.raises(UnicodeDecodeError):
        (results["not_gb18030"] / "LIS_YHD_20221110_0600.txt").read_bytes().decode("gb18030")
    text = (results["utf16"] / "UCMSC_KPS_20221110T0600.csv").read_bytes().decode("utf-16")
    assert text.startswith("form_oid\trecord_id\t")
    assert not (results["cut_off"] / "LIS_YHD_20221110_0600.txt").read_bytes().endswith(b"\n")
    assert "病历号" not in (results["mojibake"] / "LIS_YHD_20221110_0600.txt").read_bytes().decode("utf-8")
    assert "aetoxgr" not in rows(results["column_missing"], "AE")[0]
    assert (results["name_outside_the_agreement"] / "KPS final.csv").is_file()


def test_a_file_sent_again_lies_beside_the_delivery(landing: Path) -> None:
    plant(
        landing,
        {
            "kind": "resend_file", "file": "MELD", "days": 1,
            "changes": [{"kind": "set_value", "pick": 1, "set": {"meld_score": "40"}}],
        },
        {"kind": "resend_file", "file": "DV", "days": 8, "instead": True},
    )  # fmt: skip
    names = manifest(landing)
    assert "UCMSC_MELD_20221110T0600.csv" in names
    assert "UCMSC_MELD_20221111T0600.csv" not in names
    again = (landing / "UCMSC_MELD_20221111T0600.csv").read_bytes()
    assert again.count(b",40,") == (landing / "UCMSC_MELD_20221110T0600.csv").read_bytes().count(b",40,") + 1
    assert "UCMSC_DV_20221110T0600.csv" not in names
    assert (landing / "UCMSC_DV_20221118T0600.csv").is_file()


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ({"kind": "set_value", "file": "AE", "where": {"subj": "9"}, "set": {"aeterm": ""}}, "no row of UCMSC_AE"),
        ({"kind": "set_value", "file": "AE", "where": {"nonsense": "9"}, "set": {"aeterm": ""}}, "no column nonsense"),
        ({"kind": "set_value", "file": "AE", "set": {"nonsense": ""}}, "no column nonsense"),
        ({"kind": "set_value", "file": "XYZ", "set": {"aeterm": ""}}, "XYZ means no file"),
        ({"kind": "set_value", "file": "UCMSC_*", "set": {"aeterm": ""}}, "means several files"),
        ({"kind": "shift_time", "file": "AE", "columns": ["aeterm"], "days": 1}, "is no time in a known layout"),
    ],
)
def test_a_fault_that_cannot_be_planted_is_refused_whole(
    landing: Path, clean: Path, fault: dict[str, object], says: str
) -> None:
    sound = {"kind": "set_value", "file": "DM", "pick": 1, "set": {"age": "1"}}
    with pytest.raises(FaultError, match=f"fault_1: .*{says}"):
        plant(landing, sound, fault)
    for path in landing.iterdir():
        assert path.read_bytes() == (clean / "S1" / "landing" / path.name).read_bytes()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("label: x\nfaults: [{id: a, why: b, kind: explode, file: AE}]", "explode"),
        ("label: x\nfaults: [{id: a, why: b, kind: drop_row, file: AE, wher: {}}]", "wher"),
        ("label: x\nfaults: [{id: a, why: b, kind: drop_row, file: AE, pick: 1, share: 0.1}]", "by share or by pick"),
        ("label: x\nfaults: [{id: a, why: b, cut: S2, cured: S1, kind: drop_row, file: AE}]", "later extract"),
        (
            "label: x\nfaults: [{id: a, why: b, kind: drop_row, file: AE}, {id: a, why: b, kind: drop_row, file: DM}]",
            "written once",
        ),
    ],
)
def test_a_list_with_a_slip_is_refused(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "faults.yml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(FaultError, match=says):
        Faults.read(path)


def test_same_faults_give_same_bytes(clean: Path, planted_series: dict[str, Planted], tmp_path: Path) -> None:
    again = Path(shutil.copytree(clean / "S1" / "landing", tmp_path / "S1" / "landing"))
    main(["faults", "apply", "--faults", "messy", "--landing", str(again), "--cut", "S1"])
    for path in again.iterdir():
        assert path.read_bytes() == (planted_series["S1"].landing / path.name).read_bytes()


def test_built_in_lists_are_labelled_and_cured_in_the_last_extract(planted_series: dict[str, Planted]) -> None:
    for path in BUILT_IN.glob("*.yml"):
        assert Faults.read(path).label == LABEL
    faults = {fault.id: fault for fault in Faults.read("messy").faults}
    expected = {cut: [vars(one) for one in planted.expected] for cut, planted in planted_series.items()}
    assert {one["fault"] for one in expected["S2"] if one["necessity"] == "must"} > {"dose_mismatch", "weight_typo"}
    left = {one["rule"] for one in expected["S4"] if one["state"] == "planted" and one["necessity"] == "must"}
    informing = {"cancelled_result", "late_file", "partial_date", "result_read_by_table", "text_normalised"}
    informing |= {"time_unknown", "unit_not_usual"}
    asking = {"eos.attempts", "extra_column", "lis.range_missing", "sae.reported_late", "visit.out_of_window"}
    assert left <= informing | asking, "nothing critical"
    assert all(fault.check for fault in faults.values())


def test_a_fault_stays_on_its_rows_from_extract_to_extract(planted_series: dict[str, Planted]) -> None:
    planted = {}
    for cut in ("S2", "S3"):
        planted[cut] = {
            (one.fault, one.rule, one.keys)
            for one in planted_series[cut].expected
            if one.necessity == "must" and one.keys != "{}"
        }
    kept = {fault.id for fault in Faults.read("messy").faults if fault.state("S3") == "planted"}
    assert {one for one in planted["S2"] if one[0] in kept} <= planted["S3"]


def test_the_last_extract_differs_from_the_clean_one_only_where_it_is_said(
    clean: Path, planted_series: dict[str, Planted]
) -> None:
    """Cured forms have the clean values and a later modification."""
    touched = Counter()
    open_faults = {
        step.file for fault in Faults.read("messy").faults if fault.state("S4") == "planted" for step in fault.steps
    }
    assert {"AE", "VITALS", "LIS"} <= open_faults
    for form in ("DM", "DOSE", "IC", "DSMB", "COA", "SAE", "ELIG", "CHILDPUGH"):
        pairs = zip(rows(clean / "S4" / "landing", form), rows(planted_series["S4"].landing, form), strict=True)
        for before, after in pairs:
            values = ["" if column == "modified_ts" else before[column] for column in before]
            if form != "CHILDPUGH" and form != "SAE":
                assert values == ["" if column == "modified_ts" else after[column] for column in before]
            touched[form] += before["modified_ts"] < after["modified_ts"]
    assert touched["DM"] >= 3
    assert touched["DOSE"] >= 4


def test_files_of_the_messy_series_stay_labelled(planted_series: dict[str, Planted]) -> None:
    for cut in SERIES:
        landing = planted_series[cut].landing
        assert json.loads((landing / "manifest.json").read_text(encoding="utf-8"))["label"] == LABEL
        for row in lis(landing):
            assert row["备注"].endswith(LABEL)
        for form in ("AE", "DM", "VITALS", "CONMED"):
            assert {row["data_label"] for row in rows(landing, form)} == {LABEL}


def test_faults_are_planted_on_the_whole_series_by_the_command(tmp_path: Path) -> None:
    faults = tmp_path / "own.yml"
    faults.write_text(
        f"label: {LABEL}\nfaults:\n"
        "  - {id: sex, why: a test, cut: S2, cured: S3, kind: set_value, file: DM, where: {subj: '1001'},\n"
        "     set: {sex: Man}, must: [{rule: unmapped_term, keys: [record_id]}]}\n",
        encoding="utf-8",
    )
    out = tmp_path / "out"
    main(["--out", str(out), "--series", "--subjects", "3", "--faults", str(faults)])
    sexes = [rows(out / cut / "landing", "DM")[0]["sex"] for cut in SERIES]
    assert sexes == ["Male", "Man", "Male", "Male"]
    with (out / "S2" / "truth" / "expected_findings.csv").open(encoding="utf-8", newline="") as handle:
        (line,) = [row for row in csv.DictReader(handle) if row["necessity"]]
    assert (line["fault"], line["state"], line["necessity"]) == ("sex", "planted", "must")
    assert json.loads(line["keys"]) == {"record_id": "DM-1001-01"}
    cured, sound = (rows(out / cut / "landing", "DM")[0] for cut in ("S3", "S1"))
    assert cured["modified_ts"] > sound["modified_ts"]


def test_readme_names_every_operation_and_its_words() -> None:
    text = (Path(synthetic.__file__).parent / "README.md").read_text(encoding="utf-8")
    table = text.split("| `kind` | words |")[1].split("\n\n")[0]
    (union,) = get_args(operations.AnyOperation)[:1]
    shared = set(operations.RowOperation.model_fields) | {"kind"}
    kinds = get_args(union)
    assert len(kinds) > 15
    for kind in kinds:
        (name,) = get_args(kind.model_fields["kind"].annotation)
        line = next(line for line in table.splitlines() if f"`{name}`" in line.split("|")[1:2][0])
        for word in set(kind.model_fields) - shared:
            assert f"`{word}`" in line, (name, word)
