"""The command line as people meet it: exit codes, messages without a stack of calls, JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.small_study import SmallStudy

ROOT = Path(__file__).resolve().parents[2]


def cairn(small: SmallStudy, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "CAIRN_HOME": str(small.home)}
    command = [sys.executable, "-m", "transforms.cli", *arguments]
    return subprocess.run(command, env=env, cwd=small.landing, capture_output=True, text=True, check=False)


def test_run_findings_trace_and_snapshots(small: SmallStudy) -> None:
    ran = cairn(small, "run", str(small.folder), "--landing", ".")
    assert ran.returncode == 0, ran.stderr
    assert "DM 3" in ran.stdout
    assert ran.stderr == "", "quiet in a pipe"
    found = cairn(small, "findings", str(small.folder))
    assert found.stdout.strip() == "No findings."
    said = cairn(small, "conformance", str(small.folder))
    assert said.returncode == 0, said.stderr
    assert "conformance.csv line 3: A small study plans no arms." in said.stdout
    engines = json.loads(cairn(small, "conformance", str(small.folder), "--json").stdout)["engines"]
    assert [(one["engine"], one["unexplained"]) for one in engines] == [("cairn", 0), ("CORE", 0), ("pointblank", 0)]
    traced = cairn(
        small, "trace", str(small.folder), "vs", "USUBJID=SMALL-01-002", "VSTESTCD=WEIGHT", "--variable", "VSSTRESN"
    )
    assert "raw: vitals.csv line 5, column WEIGHT" in traced.stdout
    steps = json.loads(cairn(small, "trace", str(small.folder), "DM", "SUBJID=001", "--json").stdout)
    assert {step["variable"] for step in steps} >= {"USUBJID", "RFSTDTC", "SEX"}
    listed = json.loads(cairn(small, "snapshots", str(small.folder), "--json").stdout)
    assert [one["current"] for one in listed] == [True]


FAULTS = """\
label: SYNTHETIC - NOT PATIENT DATA
faults:
  - id: sex
    why: A term nobody has mapped
    kind: set_value
    file: demog.csv
    where: {SUBJ: "002"}
    set: {SEX: Man}
    must: [{rule: unmapped_term, keys: [SUBJ]}]
  - {id: cut_off, why: Cut off in transfer, cut: S2, kind: truncate_file, file: vitals.csv, bytes_off: 14}
"""


def test_faults_written_as_data_are_planted_and_found(small: SmallStudy, tmp_path: Path) -> None:
    own = tmp_path / "own.yml"
    own.write_text(FAULTS, encoding="utf-8")
    expected = tmp_path / "expected.csv"
    options = ("--faults", str(own), "--landing", ".", "--cut", "S1", "--expected", str(expected))
    planted = cairn(small, "faults", "apply", *options)
    assert planted.returncode == 0, planted.stderr
    assert planted.stdout.strip() == "SYNTHETIC - NOT PATIENT DATA: 1 faults planted in ."
    assert (small.landing / "demog.csv").read_text().splitlines()[2] == "002,10,70,Man,USA"
    assert (small.landing / "vitals.csv").read_text().endswith("\n")
    small.run()
    found = tmp_path / "found.json"
    found.write_text(cairn(small, "findings", str(small.folder), "--json").stdout, encoding="utf-8")
    verify = [sys.executable, "-m", "synthetic", "faults", "verify", "--landing", str(small.landing)]
    command = [*verify, "--expected", str(expected), "--findings", str(found)]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    # Whatever else the lost subject causes is nobody's fault in this list.
    assert said.returncode == 1, said.stderr
    lines = said.stdout.splitlines()
    assert lines[1].split() == ["sex", "planted", "1", "1"]
    assert {line.split()[1] for line in lines[lines.index("") + 2 :]} == {"subject_not_in_dm"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("faults: [", "own.yml is no YAML"),
        (FAULTS.replace("set_value", "explode"), "explode"),
        (FAULTS.replace("where:", "wher:"), "faults.0.steps.0.set_value.wher: Extra inputs are not permitted"),
        (FAULTS.replace('"002"', '"009"'), "sex: no row of demog.csv fits"),
        (FAULTS.replace("demog.csv", "nothing.csv"), "sex: nothing.csv means no file"),
    ],
)
def test_a_list_of_faults_with_a_slip_is_refused_and_nothing_is_planted(
    small: SmallStudy, tmp_path: Path, content: str, said: str
) -> None:
    before = {path.name: path.read_bytes() for path in small.landing.iterdir()}
    (tmp_path / "own.yml").write_text(content, encoding="utf-8")
    refused = cairn(small, "faults", "apply", "--faults", str(tmp_path / "own.yml"), "--landing", ".")
    assert refused.returncode == 2
    assert said in refused.stderr
    assert "Traceback" not in refused.stderr
    assert {path.name: path.read_bytes() for path in small.landing.iterdir()} == before


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("run", "nosuch"), 2, "no study 'nosuch'"),
        (("run", "{study}", "--landing", "nowhere"), 2, "is no folder"),
        (("run", "{study}", "--landing", ".", "--as-of", "tomorrow"), 2, "Write YYYY-MM-DD"),
        (("run", "{study}", "--landing", ".", "--placement", "x"), 2, "has no placement 'x'"),
        (("findings", "{study}"), 2, "has no snapshot"),
        (("findings", "{study}", "--severity", "critcal"), 2, "One of: critical, answer, information"),
        (("trace", "{study}", "DM", "SUBJID=001"), 2, "has no snapshot"),
    ],
)
def test_wrong_usage_is_said_in_one_message(
    small: SmallStudy, arguments: tuple[str, ...], code: int, said: str
) -> None:
    done = cairn(small, *(one.format(study=small.folder) for one in arguments))
    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_trace_says_what_it_could_not_find(small: SmallStudy) -> None:
    small.run()
    study = str(small.folder)
    assert "0 records of DM" in cairn(small, "trace", study, "DM", "SUBJID=009").stderr
    assert "2 records of EX" in cairn(small, "trace", study, "EX", "USUBJID=SMALL-01-001").stderr
    assert "no dataset 'XX'" in cairn(small, "trace", study, "XX", "A=1").stderr
    assert "has no variable nope" in cairn(small, "trace", study, "DM", "SUBJID=001", "--variable", "nope").stderr


def test_spec_check_prints_every_fault(small: SmallStudy) -> None:
    assert "no fault" in cairn(small, "spec", "check", str(small.folder)).stdout
    small.change("sdtm/dm.yml", "codelist: sex", "codelist: gender")
    small.change("sdtm/ex.yml", "hardcode_ct: mg", "hardcode_ct: MG")
    done = cairn(small, "spec", "check", str(small.folder))
    assert done.returncode == 2
    assert "sdtm/dm.yml: SEX" in done.stderr
    assert "sdtm/ex.yml: EXDOSU" in done.stderr
    reported = json.loads(cairn(small, "spec", "check", str(small.folder), "--json").stdout)
    assert {fault["file"] for fault in reported["faults"]} == {"sdtm/dm.yml", "sdtm/ex.yml"}


def test_nothing_published_is_exit_code_3(small: SmallStudy) -> None:
    for path in small.landing.iterdir():
        path.write_bytes(b"")
    done = cairn(small, "run", str(small.folder), "--landing", ".")
    assert done.returncode == 3
    assert "every new delivery was refused" in done.stderr


def test_a_fault_of_ours_shows_no_data(small: SmallStudy, tmp_path: Path) -> None:
    (small.home / "raw" / "small").mkdir(parents=True)
    (small.home / "raw" / "small" / "deliveries.jsonl").write_text('{"patient": "Zhang San"}\n', encoding="utf-8")
    done = cairn(small, "run", str(small.folder), "--landing", ".")
    assert done.returncode == 1
    assert "a fault of Cairn itself" in done.stderr
    assert "Zhang" not in done.stderr
