"""The messy life of four extracts: what is planted is found where it was planted, and nothing else is.

What must be found is settled when the faults are planted (`synthetic/faults/messy.yml`), from the rows they touch,
before the engine sees them.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from synthetic.__main__ import main
from synthetic.delivery import SERIES
from synthetic.faults import Expected, Faults, expected_bytes
from synthetic.faults.decide import Decisions
from synthetic.faults.landing import DelimitedFile, Landing, subject_of
from synthetic.faults.verify import Comparison, Found, compare
from tests.reference import Extracts, Planted, Published
from transforms import acts, operations, pipeline
from transforms.errors import UsageError
from transforms.export import export
from transforms.study import Study
from transforms.trace import Tracer

TELEPHONE = "13900000000"
OUTCOMES = {"accepted", "quarantined", "superseded", "duplicate", "excluded"}


def listed(where: pipeline.Home) -> list[dict[str, Any]]:
    """The findings that stand, as `./cairn findings` lists them."""
    found = operations.finding_list(where.publications.entries(), where.decisions.entries(), where.snapshots.summary)
    return [one for one in found if one["status"] != "closed"]


@dataclass(frozen=True)
class Cut:
    """One extract of the series, what must follow, and what the run said at the time."""

    landing: Path
    expected: list[Expected]
    report: pipeline.Report
    findings: list[dict[str, Any]]

    def compared(self) -> Comparison:
        refused = tuple({"rule": one.rule, "file": one.file} for one in self.report.refused)
        return compare(self.landing, self.expected, Found(tuple(self.findings), refused))


@dataclass(frozen=True)
class Series:
    """The four cuts in one home, and a copy of it from before the second came."""

    where: pipeline.Home
    cuts: Mapping[str, Cut]
    first: pipeline.Home


@pytest.fixture(scope="module")
def messy(planted_series: Mapping[str, Planted], tmp_path_factory: pytest.TempPathFactory) -> Series:
    study = Study.load("ucmsc_dac")
    where = pipeline.Home(tmp_path_factory.mktemp("home"), study.name)
    cuts = {}
    for cut, planted in planted_series.items():
        report = pipeline.run(study, landing=planted.landing, home=where.folder)
        cuts[cut] = Cut(planted.landing, planted.expected, report, listed(where))
        if cut == "S1":
            copied = shutil.copytree(where.folder, tmp_path_factory.mktemp("first") / "home", symlinks=True)
    return Series(where, cuts, pipeline.Home(Path(copied), study.name))


@pytest.mark.parametrize("cut", SERIES)
def test_every_planted_fault_is_found_on_its_rows_and_nothing_else_is(messy: Series, cut: str) -> None:
    one = messy.cuts[cut]
    compared = one.compared()
    assert compared.holds, compared.table()
    assert one.report.cut_off == SERIES[cut].isoformat()
    assert sum(line.state == "planted" for line in compared.lines) >= {"S1": 20, "S2": 60, "S3": 70, "S4": 20}[cut]
    planted = {line.fault for line in compared.lines if line.expected and line.state == "planted"}
    assert len(planted) >= {"S1": 10, "S2": 50, "S3": 55, "S4": 10}[cut]


def test_a_comparison_tells_what_is_missing_and_what_nobody_planted(messy: Series) -> None:
    one = messy.cuts["S2"]
    left = [row for row in one.findings if row["rule"] != "demographics.age"]
    strange = {"rule": "dose.planned", "severity": "critical", "dataset": "dose", "variable": "dose_planned"}
    places = [{"file": "UCMSC_DOSE_20230420T0600.csv", "sha256": "", "lines": [4]}]
    refused = tuple({"rule": one.rule, "file": one.file} for one in one.report.refused)
    compared = compare(one.landing, one.expected, Found((*left, strange | {"places": places}), refused))
    assert [line.missing for line in compared.lines if line.missing] == [
        ('demographics.age {"record_id": "DM-1009-01"}',)
    ]
    assert compared.unexpected == ("critical  dose.planned  dose dose_planned  UCMSC_DOSE_20230420T0600.csv:4",)
    assert not compared.holds


def test_a_finding_that_may_come_is_accepted_for_the_subjects_of_its_fault_only(
    planted_series: Mapping[str, Planted],
) -> None:
    """labedc.unit_differs may follow a result in another unit; for a subject nobody touched it is unexpected."""
    one = planted_series["S2"]
    may = [json.loads(e.keys) for e in one.expected if (e.rule, e.necessity) == ("labedc.unit_differs", "may")]
    touched = {keys["subj"] for keys in may}
    assert touched == {"1004", "1008", "1017"} and all(keys.keys() == {"subj"} for keys in may)
    for file in ("LIS_YHD_20230420_0600.txt", "UCMSC_LABEDC_20230420T0600.csv"):
        content = (one.landing / file).read_bytes()
        table = content.decode("gb18030" if file.startswith("LIS") else "utf-8-sig").splitlines()
        ids = [row.split("|")[5][8:12] if file.startswith("LIS") else row.split(",")[2] for row in table]
        for own in (True, False):
            line = next(n for n, subject in enumerate(ids[1:], 2) if (subject in touched) is own)
            told = {"rule": "labedc.unit_differs", "severity": "answer", "dataset": "labedc", "variable": "lbunit"}
            places = [{"file": file, "sha256": "", "lines": [line]}]
            compared = compare(one.landing, one.expected, Found((told | {"places": places},)))
            stated = f"answer  labedc.unit_differs  labedc lbunit  {file}:{line}"
            assert compared.unexpected == (() if own else (stated,)), (file, own)


def rows_of(content: bytes) -> int:
    """Data rows of a delivered file, counted without the engine and without the generator."""
    try:
        lines = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    except UnicodeDecodeError:
        lines = [[one] for one in content.decode("gb18030").split("\r\n")[:-1]]
    return len(lines) - 1


@pytest.mark.parametrize("cut", SERIES)
def test_every_row_of_every_file_is_accounted_for(messy: Series, cut: str) -> None:
    accounts = pq.read_table(messy.cuts[cut].report.path / "accounts.parquet").to_pandas()
    staging = accounts[accounts["stage"] == "staging"]
    assert set(staging["outcome"]) <= OUTCOMES
    assert (staging.loc[staging["outcome"] != "accepted", "rule"] != "").all()
    counted = staging.groupby(["file", "sha256"])["rows"].sum().to_dict()
    refused = {one.file for known in messy.cuts.values() for one in known.report.refused}
    delivered = {}
    for one in [name for name in SERIES if name <= cut]:
        for path in messy.cuts[one].landing.iterdir():
            if path.name != "manifest.json" and path.name not in refused:
                delivered[path.name] = rows_of(path.read_bytes())
    assert len({name for name, _ in counted}) > 20
    for (name, sha256), rows in counted.items():
        assert rows == delivered[name], (name, sha256)
    taken = {one.file for one in messy.where.raw.received() if one.accepted and one.file in delivered}
    held = {one["file"] for one in json.loads((messy.cuts[cut].report.path / "manifest.json").read_text())["files"]}
    assert {name for name, rows in delivered.items() if name in taken & held and rows} <= {name for name, _ in counted}


def sdtm(one: Cut) -> dict[str, pd.DataFrame]:
    return {path.stem.upper(): pq.read_table(path).to_pandas() for path in (one.report.path / "sdtm").glob("*.parquet")}


def raw_rows(landing: Path) -> dict[str, set[tuple[str, ...]]]:
    """What all readable files of an extract say of each subject, but the state of a page and columns added."""
    folder = Landing.open(landing)
    hospital, rows = folder.subjects(), dict[str, set[tuple[str, ...]]]()
    for name in folder.contents:
        table = DelimitedFile.parse(folder.contents[name])
        for row in table.rows if table else ():
            told = (name.split("_")[1], *(f"{key}={row[key]}" for key in row if row[key] and key != "page_status"))
            rows.setdefault(subject_of(row, hospital) or "", set()).add(told)
    return rows


def test_subjects_whom_a_later_extract_does_not_touch_keep_every_value_and_number(messy: Series) -> None:
    """Who is not touched is read from the files; their records are the same, --SEQ included, in all datasets."""
    told = {cut: raw_rows(one.landing) for cut, one in messy.cuts.items()}
    compared, numbered = Counter[str](), 0
    for cut, later in pairwise(SERIES):
        same = {subject for subject, rows in told[cut].items() if subject and rows == told[later].get(subject)}
        before, after = (
            {name: of_subjects(frame, same) for name, frame in sdtm(messy.cuts[one]).items() if "USUBJID" in frame}
            for one in (cut, later)
        )
        for name, records in before.items():
            assert records == after.get(name, Counter()), (cut, later, name)
            compared[later] += sum(records.values())
            numbered += sum(records.values()) if f"{name}SEQ" in sdtm(messy.cuts[cut])[name] else 0
    assert min(compared.values()) > 500 and numbered > 1000, compared


@pytest.mark.parametrize("cut", ["S3", "S4"])
def test_the_board_is_said_to_have_judged_only_what_began_before_its_data_cut(messy: Series, cut: str) -> None:
    """Flagged events and the board's cuts as the files have them; one toxicity of S3 is shifted past the cut."""
    folder = Landing.open(messy.cuts[cut].landing)
    events, decisions = (folder.table(folder.find(name)).rows for name in ("AE", "DSMB"))
    cuts = {row["subj"]: row["cutoffdat"] for row in decisions if row["scope"] == "SUBJECT"}
    flagged = {row["record_id"]: row for row in events if row["aedlt"] == "Y"}
    known = {
        one for one, row in flagged.items()
        if datetime.strptime(row["aestdat"], "%d%b%Y").date().isoformat() <= cuts[row["subj"]]
    }  # fmt: skip
    assert len(flagged) - len(known) == {"S3": 1, "S4": 0}[cut]
    frames = sdtm(messy.cuts[cut])
    judged = frames["SUPPAE"].query("QNAM == 'AEDLTADJ'").astype(str)
    records = frames["AE"].astype({"AESEQ": int}).astype(str).set_index(["USUBJID", "AESEQ"])["AESPID"]
    assert {records[key] for key in zip(judged["USUBJID"], judged["IDVARVAL"], strict=True)} == known


def of_subjects(frame: pd.DataFrame, subjects: set[str]) -> Counter[tuple[str, ...]]:
    """The records of some subjects, whatever their place in the dataset."""
    own = frame[frame["USUBJID"].astype(str).str[-4:].isin(subjects)].astype(str)
    return Counter(own.itertuples(index=False, name=None))


@pytest.mark.parametrize("cut", SERIES)
def test_every_record_leads_to_lines_of_delivered_files(messy: Series, cut: str) -> None:
    """Every record of a subject has a raw line, which is a line of that file; values of a sample lead there."""
    one = messy.cuts[cut]
    lines = {}
    for known in [name for name in SERIES if name <= cut]:
        for path in messy.cuts[known].landing.iterdir():
            lines[hashlib.sha256(path.read_bytes()).hexdigest()] = path.read_bytes().count(b"\n") + 1
    links = pq.read_table(one.report.path / "lineage.parquet").to_pandas()
    raw = links[(links["kind"] == "raw") & links["variable"].isna()]
    assert set(raw["sha256"]) <= set(lines)
    assert (raw["line"] > 1).all() and (raw["line"] <= raw["sha256"].astype(str).map(lines)).all()
    tracer, traced = Tracer(one.report.path), 0
    for name, frame in sdtm(one).items():
        if "USUBJID" not in frame or name in {"SE", "RELREC"} or name.startswith("SUPP"):
            continue  # made of other records, to which their values are linked
        assert set(raw.loc[raw["dataset"] == name, "record"]) == set(range(1, len(frame) + 1)), name
    for name, frame in sdtm(one).items():
        record = len(frame) // 2 + 1
        for variable in frame.columns if len(frame) else []:
            if not pd.isna(frame[variable].iloc[record - 1]):
                leaves = tracer.trace(name, record, variable).all_leaves()
                assert leaves, (name, record, variable)
                assert all(leaf.sha256 in lines for leaf in leaves if leaf.kind == "raw"), (name, record, variable)
                traced += 1
    assert traced > 300


@pytest.mark.parametrize("cut", SERIES)
def test_variables_and_closed_terms_are_the_standards(messy: Series, cut: str) -> None:
    folder = Path(pipeline.ROOT) / "cdisc_mappings" / "standards"
    variables = pd.read_csv(folder / "sdtmig-3.4" / "variables.csv", dtype=str, keep_default_na=False)
    lists = pd.read_csv(folder / "ct-2022-09-30" / "codelists.csv", dtype=str)
    closed = set(lists.loc[lists["extensible"] == "N", "codelist"])
    terms = pd.read_csv(folder / "ct-2022-09-30" / "terms.csv", dtype=str, keep_default_na=False)
    allowed = terms.groupby("codelist")["term"].agg(set)
    asked = {(row["rule"], row["dataset"], row["variable"]) for row in messy.cuts[cut].findings}
    assert cut != "S4" or "required_variable_empty" not in {rule for rule, _, _ in asked}
    present = held = 0
    for name, frame in sdtm(messy.cuts[cut]).items():
        own = variables[variables["dataset"] == ("SUPPQUAL" if name.startswith("SUPP") else name)]
        needed = own.loc[own["core"].isin(["Req", "Exp"]), "variable"]
        assert set(needed) <= set(frame.columns), name
        for variable in own.loc[own["core"] == "Req", "variable"]:
            missing = ("required_variable_empty", name, variable) in asked
            assert frame[variable].notna().all() or missing, f"{name}.{variable}"
        present += len(needed)
        for row in own[own["codelist"].isin(closed) & own["variable"].isin(frame.columns)].to_dict("records"):
            assert set(frame[row["variable"]].dropna()) <= allowed[row["codelist"]], f"{name}.{row['variable']}"
            held += int(frame[row["variable"]].notna().any())
    assert present > 250
    assert held > 30


def told(messy: Series) -> Iterator[tuple[str, str]]:
    """Everything people are shown of findings, rows and runs, as text."""
    for cut, one in messy.cuts.items():
        for path in (one.report.path / "findings.parquet", one.report.path / "accounts.parquet"):
            yield f"{cut} {path.name}", pq.read_table(path).to_pandas().to_csv()
        for path in sorted((one.report.path / "results").glob("*.parquet")):
            yield f"{cut} {path.name}", pq.read_table(path).to_pandas().to_csv()
        yield f"{cut} manifest", (one.report.path / "manifest.json").read_text(encoding="utf-8")
        yield f"{cut} report", one.report.page.read_text(encoding="utf-8") if one.report.page else ""
    for name, table in pipeline.ops_of(messy.where).items():
        yield f"ops.{name}", table.to_pandas().to_csv()


def test_no_hospital_number_and_no_free_text_is_told(messy: Series, extracts: Extracts) -> None:
    forms = {
        name: pd.read_csv(next(extracts.landing.glob(f"UCMSC_{name}_*.csv")), dtype=str, encoding="utf-8-sig")
        for name in ("DM", "DV", "AE")
    }
    numbers = {*forms["DM"]["mrn"], "9999999", TELEPHONE}
    texts = {one for one in forms["DV"]["dvterm"].dropna() if len(one) > 12}
    assert len(numbers) == 50 and texts
    places = 0
    for name, text in told(messy):
        assert not numbers & set(re.findall(r"(?<![0-9a-f])\d{7,11}(?![0-9a-f])", text)), name
        assert not [one for one in texts if one in text], name
        places += 1
    assert places > 30
    for one in messy.cuts.values():
        for path in one.report.path.rglob("*.parquet"):
            table = pq.read_table(path)
            for column in table.column_names:
                values = table[column].combine_chunks()
                if pa.types.is_dictionary(values.type):
                    values = values.dictionary
                if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
                    assert not numbers & set(values.to_pylist()), (path, column)


def test_an_earlier_cut_is_exported_once_each_critical_finding_is_waived_by_name(messy: Series) -> None:
    where, snapshot_id = messy.first, messy.cuts["S1"].report.snapshot_id
    critical = [row for row in messy.cuts["S1"].findings if row["severity"] == "critical"]
    assert len(critical) >= 2
    *others, last = critical
    with pytest.raises(UsageError, match=rf"it has {len(critical)} open critical finding\(s\), .* waived by name"):
        export(where, "ucmsc_dac")
    for row in others:
        acts.waive(where, row["finding_id"], by="Dr A. Monitor", reason="confirmed by the laboratory")
    for refuse in (lambda: export(where, "ucmsc_dac"), lambda: acts.lock(where, snapshot_id, by="A", reason="lock")):
        with pytest.raises(UsageError, match=rf"1 open critical finding\(s\).*{last['finding_id']} \({last['rule']}"):
            refuse()
    assert not (where.folder / "exports").exists()
    acts.waive(where, last["finding_id"], by="B. Lead", reason="repeated, and the same")
    acts.lock(where, snapshot_id, by="Synthetic Data Manager", reason="interim")
    written = export(where, "ucmsc_dac")
    told = json.loads((written.folder / "manifest.json").read_text(encoding="utf-8"))
    assert {row["finding_id"]: (row["status"], row["decided_by"]) for row in told["critical_findings"]} == {
        **{row["finding_id"]: ("waived", "Dr A. Monitor") for row in others},
        last["finding_id"]: ("waived", "B. Lead"),
    }
    page = (written.folder / "conformance.html").read_text(encoding="utf-8")
    assert "Synthetic Data Manager" in page and page.count("B. Lead, ") == 1
    assert page.count("Dr A. Monitor, ") == len(others)


def test_the_last_extract_and_its_decisions_leave_nothing_critical_open(messy: Series) -> None:
    where, last = messy.where, messy.cuts["S4"]
    open_at = {
        cut: Counter(row["severity"] for row in one.findings if row["status"] == "open")["critical"]
        for cut, one in messy.cuts.items()
    }
    assert min(open_at["S1"], open_at["S2"], open_at["S3"]) >= 2
    assert open_at["S4"] == 1
    for one in messy.cuts.values():
        with pytest.raises(UsageError, match="open critical finding"):
            acts.lock(where, one.report.snapshot_id, by="Synthetic Data Manager", reason="database lock")
    decided = Decisions.read("messy").chosen("S4", last.findings)
    for one, finding_id in decided:
        act = {"waive": acts.waive, "answer": acts.answer}[one.act]
        act(where, finding_id, by=one.by, reason=one.reason)
    report = pipeline.run(Study.load("ucmsc_dac"), landing=last.landing, home=where.folder)
    assert report.published and report.snapshot_id != last.report.snapshot_id
    assert {row["status"] for row in listed(where) if row["severity"] == "critical"} == {"waived"}
    acts.lock(where, report.snapshot_id, by="Synthetic Data Manager", reason="database lock")
    written = export(where, "ucmsc_dac")
    assert written.datasets["DM"] == len(sdtm(Cut(last.landing, [], report, []))["DM"])
    assert {one.outcome for one in written.checklist if one.id != "FDA-1789"} == {"pass"}
    assert f"{decided[0][0].by}, " in (written.folder / "conformance.html").read_text(encoding="utf-8")
    closed = operations.finding_list(where.publications.entries(), where.decisions.entries(), where.snapshots.summary)
    once = {row["finding_id"] for one in messy.cuts.values() for row in one.findings if row["severity"] == "critical"}
    assert {row["status"] for row in closed if row["finding_id"] in once} == {"closed", "waived"}


def test_a_clean_extract_raises_nothing_to_act_on(clean_runs: Mapping[str, Published]) -> None:
    report = clean_runs["S2"].report
    found = pq.read_table(report.path / "findings.parquet").to_pandas()
    assert found.loc[found["severity"] != "information", ["rule", "dataset", "variable"]].to_numpy().tolist() == []
    assert set(found["rule"]) <= set(Faults.read("messy").anyway)


def test_the_commands_compare_and_decide(messy: Series, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`./cairn` is played by a program that prints the findings of the run and writes down what it is told."""
    one = messy.cuts["S4"]
    refused = [{"rule": each.rule, "file": each.file} for each in one.report.refused]
    printed = tmp_path / "findings.json"
    printed.write_text(json.dumps({"findings": one.findings, "refused": refused}, default=str), encoding="utf-8")
    expected = tmp_path / "expected_findings.csv"
    expected.write_bytes(expected_bytes(one.expected))
    verify = ["faults", "verify", "--landing", str(one.landing), "--expected", str(expected)]
    with pytest.raises(SystemExit) as left:
        main([*verify, "--findings", str(printed)])
    assert left.value.code == 0
    assert re.search(r"^wrong_patient +L02 +cured +1 +1$", capsys.readouterr().out, re.MULTILINE)
    printed.with_name("none.json").write_text('{"findings": [], "refused": []}', encoding="utf-8")
    with pytest.raises(SystemExit) as left:
        main([*verify, "--findings", str(printed.with_name("none.json"))])
    assert left.value.code == 1
    cairn, log = tmp_path / "cairn", tmp_path / "log"
    cairn.write_text(
        f"#!{sys.executable}\nimport json, pathlib, sys\n"
        f"if sys.argv[1] == 'findings': print(pathlib.Path({str(printed)!r}).read_text())\n"
        f"else: print(json.dumps(sys.argv[1:]), file=open({str(log)!r}, 'a'))\n",
        encoding="utf-8",
    )
    cairn.chmod(0o755)
    main(["decisions", "--cut", "S4", "--cairn", str(cairn)])
    (said,) = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    (waived,) = [row["finding_id"] for row in one.findings if row["rule"] == "subject_disappeared"]
    assert said[:3] == ["waive", "ucmsc_dac", waived]
    assert said[3::2] == ["--by", "--reason"] and all(said[4::2])
    with pytest.raises(SystemExit):
        main(["decisions", "--cut", "S4", "--cairn", str(tmp_path / "nothing")])
