"""Conformance in a run: explanations, findings, CDISC CORE and what people read.

CORE itself cannot be installed here (a Python and a cache of rules of its own). A program stands in for it that takes
its documented options (docs/cli-reference.md of cdisc-rules-engine) and writes a report in the form of its JSON
report (sdtm_report_data.py there); jsonschema holds what it is given against its published dataset.schema.json.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.small_study import SmallStudy
from transforms import acts, doctor, pipeline
from transforms.errors import ConfigurationError
from transforms.reporting import conformance as report
from transforms.validation import core_engine
from transforms.validation.core_engine import Core, CoreFailedError
from transforms.validation.rules import rule_book

PROGRAM = """\
import json, pathlib, sys
arguments = sys.argv[1:]
assert arguments[0] == "validate"
options = dict(zip(arguments[1::2], arguments[2::2]))
assert {"-s", "-v", "-d", "-ct", "-of", "-o", "-p"} <= set(options), options
assert (options["-s"], options["-v"], options["-ct"]) == ("sdtmig", "3-4", "sdtmct-2022-09-30")
here = pathlib.Path(__file__).parent
data = sorted(pathlib.Path(options["-d"]).glob("*.json"))
(here / "given.json").write_text(json.dumps([json.loads(one.read_text(encoding="utf-8")) for one in data]))
if (here / "status").exists():
    sys.exit(int((here / "status").read_text()))
pathlib.Path(options["-o"] + ".json").write_text((here / "report").read_text())
"""
REPORT: dict[str, Any] = {
    "Conformance_Details": {"CORE_Engine_Version": "0.17.1", "Standard": "SDTMIG", "Version": "V3.4"},
    "Dataset_Details": [],
    "Issue_Summary": [{"dataset": "VS", "core_id": "CORE-000357", "message": "A message", "issues": 2}],
    "Issue_Details": [
        {"core_id": "CORE-000357", "message": "A message", "executability": "fully executable", "dataset": "VS",
         "USUBJID": "SMALL-01-001", "row": row, "SEQ": str(row), "variables": ["VSORRES"], "values": ["secret"]}
        for row in (1, 2)
    ],
    "Rules_Report": [
        {"core_id": "CORE-000001", "version": "1", "message": "", "status": "SUCCESS"},
        {"core_id": "CORE-000002", "version": "1", "message": "", "status": "SKIPPED"},
        {"core_id": "CORE-000003", "version": "1", "message": "Why", "status": "EXECUTION ERROR"},
        {"core_id": "CORE-000357", "version": "1", "message": "A message", "status": "ISSUE REPORTED"},
    ],
}  # fmt: skip
# The parts of CORE's resources/schema/dataset.schema.json (Dataset-JSON 1.1) that must be there.
SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["datasetJSONCreationDateTime", "datasetJSONVersion", "itemGroupOID", "records", "name", "label",
                 "columns"],
    "properties": {
        "datasetJSONCreationDateTime": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d$"},
        "datasetJSONVersion": {"type": "string", "pattern": "^1.1(.(0|([1-9][0-9]*)))?$"},
        "fileOID": {"type": "string"},
        "studyOID": {"type": "string"},
        "itemGroupOID": {"type": "string"},
        "records": {"type": "integer", "minimum": 0},
        "name": {"type": "string"},
        "label": {"type": "string"},
        "rows": {"type": "array", "items": {"type": "array"}},
        "columns": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["itemOID", "name", "label", "dataType"],
                "properties": {
                    "itemOID": {"type": "string"},
                    "name": {"type": "string"},
                    "label": {"type": "string"},
                    "dataType": {"enum": ["string", "integer", "decimal", "float", "double", "boolean"]},
                    "length": {"type": "integer", "minimum": 1},
                },
            },
        },
    },
}  # fmt: skip


@pytest.fixture(autouse=True)
def no_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(core_engine.COMMAND, raising=False)
    monkeypatch.delenv(core_engine.CACHE, raising=False)


@pytest.fixture
def core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a stand-in for CORE, configured."""
    folder = tmp_path / "core program"
    (folder / "cache").mkdir(parents=True)
    (folder / "core.py").write_text(PROGRAM)
    (folder / "report").write_text(json.dumps(REPORT))
    monkeypatch.setenv(core_engine.COMMAND, f"{sys.executable} '{folder / 'core.py'}'")
    monkeypatch.setenv(core_engine.CACHE, str(folder / "cache"))
    return folder


def rows(path: Path, **wanted: str) -> list[dict[str, Any]]:
    found = pq.read_table(path / "results" / "conformance.parquet").to_pylist()
    return [row for row in found if all(row[name] == value for name, value in wanted.items())]


def found(path: Path) -> dict[str, dict[str, Any]]:
    listed = pq.read_table(path / "findings.parquet").to_pylist()
    return {row["rule"]: row for row in listed}


def test_without_core_one_line_says_so(small: SmallStudy) -> None:
    run = small.run()
    assert [row["message"] for row in rows(run.path, engine="CORE")] == [
        "CDISC CORE was not run: CAIRN_CORE is not set"
    ]
    assert "core" not in pipeline.Home(small.home, "small").snapshots.manifest(run.snapshot_id)
    assert run.page is not None
    assert "CAIRN_CORE is not set" in run.page.read_text(encoding="utf-8")
    said = {one.name: one for one in doctor.checks(Path(__file__).parents[2], small.home)}["CDISC CORE"]
    assert said.well and "not configured" in said.seen


def test_a_core_that_is_not_there_is_skipped_and_said(small: SmallStudy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(core_engine.COMMAND, str(small.home / "nowhere" / "core"))
    run = small.run()
    assert "names nothing that is there" in rows(run.path, engine="CORE")[0]["message"]
    said = {one.name: one for one in doctor.checks(Path(__file__).parents[2], small.home)}["CDISC CORE"]
    assert not said.well and "CAIRN_CORE" in said.remedy


def test_the_report_of_core_comes_into_the_same_table(small: SmallStudy, core: Path) -> None:
    run = small.run()
    told = {row["rule"]: row for row in rows(run.path, engine="CORE")}
    assert {rule: row["outcome"] for rule, row in told.items()} == {
        "CORE-000001": "pass",
        "CORE-000002": "not_applicable",
        "CORE-000003": "not_run",
        "CORE-000357": "fail",
    }
    failed = told["CORE-000357"]
    assert (failed["domain"], failed["variable"], failed["records"]) == ("VS", "VSORRES", 2)
    assert (failed["record_numbers"], failed["engine_version"]) == ("1-2", "0.17.1")
    listed = pq.read_table(run.path / "findings.parquet").to_pylist()
    conformance = [row for row in listed if row["rule"] == "conformance_failed"]
    assert {(row["dataset"], row["severity"], row["n_records"]) for row in conformance} == {
        ("", "critical", 0),
        ("VS", "critical", 2),
    }
    # The first two records of VS are the systolic pressures of subject 001.
    assert [one["lines"] for row in conformance for one in row["places"]] == [[2, 4]]
    for name in ("results/conformance", "findings"):
        assert "secret" not in str(pq.read_table(run.path / f"{name}.parquet").to_pylist())
    given = {one["name"]: one for one in json.loads((core / "given.json").read_text())}
    assert set(given) == {"DM", "EX", "VS"}
    for name, one in given.items():
        jsonschema.validate(one, SCHEMA)
        table = pq.read_table(run.path / "sdtm" / f"{name.lower()}.parquet")
        assert [column["name"] for column in one["columns"]] == table.column_names
        assert one["rows"] == [list(row.values()) for row in table.to_pylist()]
        assert one["datasetJSONCreationDateTime"] == "2024-12-31T00:00:00"


def test_core_is_part_of_what_names_a_snapshot(small: SmallStudy, core: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = core_engine.fingerprint()
    assert first == core_engine.fingerprint()
    (core / "cache" / "rules.pkl").write_bytes(b"newer rules")
    assert core_engine.fingerprint() != first
    study, where = small.load(), pipeline.Home(small.home, "small")
    with_core = pipeline.inputs_of(study, "2024-12-31", [], [])
    assert with_core["core"] == core_engine.fingerprint()
    monkeypatch.delenv(core_engine.COMMAND)
    assert "core" not in pipeline.inputs_of(study, "2024-12-31", [], [])
    assert where.snapshots.current_id() is None


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("status", "3", "ended with status 3"),
        ("report", "{", "no report that can be read"),
        ("report", "{}", "another form than expected"),
        ("report", json.dumps({**REPORT, "Rules_Report": []}), "ran no rule"),
    ],
)
def test_a_core_that_fails_stops_the_run(small: SmallStudy, core: Path, file: str, content: str, said: str) -> None:
    (core / file).write_text(content)
    table = pa.table({"USUBJID": ["SMALL-01-001"]})
    with pytest.raises(CoreFailedError, match=said) as caught:
        list(
            core_engine.run(
                {"DM": table}, studyid="SMALL-01", sdtmig="3.4", terminology="2022-09-30", cut_off="2024-12-31",
                expected=core_engine.fingerprint(),
            )
        )  # fmt: skip
    assert "SMALL-01-001" not in str(caught.value)


def test_another_core_than_the_snapshot_was_opened_with_is_refused(core: Path) -> None:
    with pytest.raises(CoreFailedError, match="not the one that the snapshot was opened with"):
        list(
            core_engine.run({}, studyid="S", sdtmig="3.4", terminology="2022-09-30", cut_off="2024-12-31", expected="")
        )


def test_core_runs_in_its_own_folder_without_resolving_the_program(core: Path) -> None:
    configured = Core.configured()
    assert configured is not None and configured.there
    assert configured.folder == core
    assert configured.command[0] == sys.executable
    assert os.sep in configured.command[1]


def test_an_unexplained_failure_is_a_finding_that_can_be_waived(small: SmallStudy) -> None:
    small.change("conformance.csv", "pointblank,SDTM-121,TS,,A small study has no trial summary.\n", "")
    run = small.run()
    finding = found(run.path)["conformance_failed"]
    assert (finding["severity"], finding["dataset"]) == ("critical", "TS")
    assert "SDTM-121" in finding["message"]
    where = pipeline.Home(small.home, "small")
    acts.waive(where, finding["finding_id"], by="A. Person", reason="Known")
    listed = report.read(run.path)
    assert [(one["rule"], one["explained_by"]) for one in listed["failures"]] == [
        ("SDTM-121", None),
        ("SDTM-122", "conformance.csv line 2"),
    ]
    text = "\n".join(report.lines(listed))
    assert "pointblank" in text and "    unexplained" in text and "A small study plans no arms." in text
    assert run.page is not None
    page = run.page.read_text(encoding="utf-8")
    assert 'id="conformance"' in page and "<code>SDTM-121</code>" in page


def test_a_warning_waits_for_an_answer(small: SmallStudy) -> None:
    small.change("conformance.csv", "pointblank,SDTM-122,TA,,A small study plans no arms.\n", "")
    assert found(small.run().path)["conformance_failed"]["severity"] == "answer"


def test_an_explanation_of_nothing_is_said(small: SmallStudy) -> None:
    content = (small.folder / "conformance.csv").read_text(encoding="utf-8")
    more = "pointblank,SDTM-007,DM,,Once there was a sex X.\nCORE,CORE-000001,DM,,Only where CORE runs.\n"
    small.specify("conformance.csv", content + more)
    run = small.run()
    finding = found(run.path)["conformance_explanation_unused"]
    assert finding["severity"] == "information"
    assert finding["message"].startswith("conformance.csv line 4 explains SDTM-007")
    unused = [row for row in pq.read_table(run.path / "findings.parquet").to_pylist() if "unused" in row["rule"]]
    assert len(unused) == 1, "CORE was not run, so nobody knows whether its rule still fails"
    assert any(line.startswith("unused  conformance.csv line 4") for line in report.lines(report.read(run.path)))


def test_a_rule_of_our_own_that_is_explained_is_no_finding_and_stays_in_the_table(small: SmallStudy) -> None:
    small.change("tables/vs_tests.csv", "Systolic Blood Pressure", "Systolic Blood Pressure of the Upper Left Arm")
    assert "structure.length" in found(small.run().path)
    content = (small.folder / "conformance.csv").read_text(encoding="utf-8")
    small.specify("conformance.csv", content + "cairn,structure.length,VS,,Written out on purpose.\n")
    path = small.run().path
    assert "structure.length" not in found(path)
    (row,) = rows(path, engine="cairn", rule="structure.length", domain="VS", variable="VSTEST")
    assert (row["outcome"], row["explained_by"], row["records"]) == ("fail", "conformance.csv line 4", 5)
    assert row["record_numbers"]


def test_a_key_that_is_not_unique_is_one_finding_and_stays_in_the_table(small: SmallStudy) -> None:
    small.drop("vitals.csv", small.landing.joinpath("vitals.csv").read_text().replace("Extra 2.1,2024-03-09,119,,,,Y",
               "Screening,2024-02-22,119,,,,N"))  # fmt: skip
    path = small.run().path
    (row,) = rows(path, engine="cairn", rule="structure.key", domain="VS")
    assert (row["outcome"], row["records"]) == ("fail", 2)
    told = [one for one in pq.read_table(path / "findings.parquet").to_pylist() if "key" in one["rule"]]
    assert [(one["rule"], one["severity"], one["n_records"]) for one in told] == [("key_not_unique", "answer", 2)]


@pytest.mark.parametrize(
    ("line", "place", "problem"),
    [
        ("pointblnk,SDTM-001,DM,,Why.", "line 4", "unknown engine 'pointblnk'"),
        ("pointblank,SDTM-999,DM,,Why.", "line 4", "pointblank has no rule 'SDTM-999'"),
        ("cairn,structure.keys,DM,,Why.", "line 4", "cairn has no rule 'structure.keys'"),
        ("CORE,SDTM-001,DM,,Why.", "line 4", "'SDTM-001' is no rule of CORE"),
        ("pointblank,SDTM-001,XX,,Why.", "line 4", "there is no dataset 'XX'"),
        ("pointblank,SDTM-001,DM,,", "line 4", "does not say why"),
        ("pointblank,SDTM-121,TS,,Again.", "line 4", "explains the same as line 2"),
        ("pointblank,SDTM-001,DM,Why.", "", "line 4: 4 cells, the header has 5"),
    ],
)
def test_a_fault_of_the_explanations_is_said_with_its_place(
    small: SmallStudy, line: str, place: str, problem: str
) -> None:
    content = (small.folder / "conformance.csv").read_text(encoding="utf-8")
    small.specify("conformance.csv", content + line + "\n")
    with pytest.raises(ConfigurationError) as caught:
        rule_book(small.load())
    assert [(fault.file, fault.place, fault.problem) for fault in caught.value.faults] == [
        ("conformance.csv", place, problem)
    ]
    assert caught.value.faults[0].remedy


def test_all_faults_of_the_explanations_are_said_at_once(small: SmallStudy) -> None:
    small.specify("conformance.csv", "ENGINE,RULE,DOMAIN,VARIABLE,WHY\nnone,x,DM,,Why.\npointblank,SDTM-001,DM,,\n")
    small.specify("checks/vitals.yml", "source: vital\nrules: []\n")
    with pytest.raises(ConfigurationError) as caught:
        rule_book(small.load())
    assert {fault.file for fault in caught.value.faults} == {"conformance.csv", "checks/vitals.yml"}
    assert len(caught.value.faults) == 3
