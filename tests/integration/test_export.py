"""From a published snapshot to its package: what must be locked, decided and present before."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import zipfile
from collections import Counter
from pathlib import Path

import openpyxl
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pyreadstat
import pytest

from tests.e2e.test_machine import possible
from tests.small_study import EXTRACTS, SmallStudy
from transforms import acts
from transforms.errors import UsageError
from transforms.export import export
from transforms.home import default_home
from transforms.pipeline import Home
from transforms.submission import agencies
from transforms.submission.faults import ExportRefusedError

ROOT = Path(__file__).resolve().parents[2]
BY = {"by": "Dr A. Monitor", "reason": "all queries are answered"}
STUDIES = ROOT / "cdisc_mappings"


def home(small: SmallStudy) -> Home:
    return Home(small.home, "small")


def cairn(small: SmallStudy, *arguments: str, prefix: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [*prefix, sys.executable, "-m", "transforms.cli", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CAIRN_HOME": str(small.home)}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_a_snapshot_is_exported_once_it_is_locked(small: SmallStudy) -> None:
    """The small study has no trial summary: locked, it is refused for this alone."""
    report = small.run()
    with pytest.raises(UsageError, match=rf"snapshot {report.snapshot_id} cannot be exported: it is not locked"):
        export(home(small), small.folder)
    acts.lock(home(small), report.snapshot_id, **BY)
    with pytest.raises(ExportRefusedError, match="TS: is not in the package, so that it has no study start") as refused:
        export(home(small), small.folder)
    assert {one.dataset for one in refused.value.faults} == {"TS"}
    assert list((small.home / "exports" / "small").iterdir()) == []


def test_a_preview_holds_the_records_of_the_snapshot(small: SmallStudy) -> None:
    report = small.run()
    before = export(home(small), small.folder, preview=True)
    assert before.datasets == {"DM": 3, "EX": 4, "VS": 8}
    manifest = json.loads((before.folder / "manifest.json").read_text())
    assert (manifest["snapshot_id"], manifest["cut_off"]) == (report.snapshot_id, "2024-12-31")
    assert manifest["not_ready"] == [
        f"it is not locked (./cairn lock small {report.snapshot_id} --by NAME --reason WHY)"
    ]
    first = before.archive.read_bytes()
    again = export(home(small), small.folder, preview=True)
    assert again.archive.read_bytes() == first
    acts.lock(home(small), report.snapshot_id, **BY)
    locked = export(home(small), small.folder, preview=True)
    manifest = json.loads((locked.folder / "manifest.json").read_text())
    assert manifest["not_ready"] == [] and manifest["locked"] == BY
    with zipfile.ZipFile(before.archive) as one, zipfile.ZipFile(locked.archive) as other:
        datasets = [name for name in one.namelist() if name.endswith(".xpt")]
        assert len(datasets) == 3
        assert all(one.read(name) == other.read(name) for name in datasets)


def test_the_conformance_report_of_a_package(small: SmallStudy) -> None:
    """A waiver is there by name, what was not run is never among what passed, and the workbook has every rule."""
    small.change("conformance.csv", "pointblank,SDTM-121,TS,,A small study has no trial summary.\n", "")
    report = small.run()
    found = pq.read_table(report.path / "findings.parquet").to_pylist()
    (finding,) = [one for one in found if one["rule"] == "conformance_failed"]
    where = home(small)
    before = export(where, small.folder, preview=True)
    assert ">Not explained<" in (before.folder / "conformance.html").read_text(encoding="utf-8")
    acts.waive(where, finding["finding_id"], by="Dr A. Monitor", reason="A small study")
    written = export(where, small.folder, preview=True)
    page = (written.folder / "conformance.html").read_text(encoding="utf-8")
    assert "PREVIEW" in page and "Not explained" not in page
    assert "A small study.<small>Dr A. Monitor, 20" in page
    assert "A small study plans no arms.<small>conformance.csv line 2, of the study</small>" in page
    assert page.count("CAIRN_CORE is not set") == 2 and "no study start date" in page

    book = openpyxl.load_workbook(written.folder / "conformance.xlsx")
    rows = {sheet.title: list(sheet.iter_rows(min_row=2, values_only=True)) for sheet in book}
    outcomes = Counter(one["outcome"] for one in pq.read_table(report.path / "results/conformance.parquet").to_pylist())
    words = {"passed": "pass", "failed": "fail", "not run": "not_run", "nothing to check": "not_applicable"}
    assert Counter(words[row[5]] for row in rows["Every rule"]) == outcomes
    assert {row[6] for row in rows["Every rule"] if row[5] in {"not run", "nothing to check"}} == {None}
    engines = {row[0]: row[2:] for row in rows["Engines"]}
    assert engines["CORE"] == ("no", *[None] * 6, "CDISC CORE was not run: CAIRN_CORE is not set")
    assert sum(engines[name][1] for name in ("cairn", "pointblank")) == outcomes["pass"]
    assert engines["pointblank"][2:5] == (2, 2, 0)
    assert {row[0]: (row[5], row[9].split(",")[0]) for row in rows["Failed rules"]} == {
        "SDTM-121": (0, "Dr A. Monitor"),
        "SDTM-122": (0, "conformance.csv line 2"),
    }
    assert {row[0]: row[1] for row in rows["Package"]}.items() >= {
        ("FDA-1789", "not run"),
        ("FDA-1734", "failed"),
        ("CAIRN-READ-BACK", "passed"),
        ("DEFINE-SCHEMA", "passed"),
    }
    manifest = json.loads((written.folder / "manifest.json").read_text())
    named = {one["path"]: one["sha256"] for one in manifest["files"]}
    for name in ("conformance.html", "conformance.xlsx"):
        assert named[name] == hashlib.sha256((written.folder / name).read_bytes()).hexdigest()


def test_an_open_critical_finding_refuses(small: SmallStudy) -> None:
    small.drop("vitals.csv", EXTRACTS["vitals.csv"].replace("2024-02-21", "21st of Feb"))
    report = small.run()
    found = pq.read_table(report.path / "findings.parquet").to_pylist()
    critical = [one["finding_id"] for one in found if one["severity"] == "critical"]
    assert critical, "an unreadable date is critical"
    with pytest.raises(
        UsageError, match=rf"{len(critical)} open critical finding\(s\), .* waived by name: {critical[0]}"
    ):
        export(home(small), small.folder)
    for finding_id in critical:
        acts.waive(home(small), finding_id, by="Dr A. Monitor", reason="known")
    with pytest.raises(UsageError, match="it is not locked") as refused:
        export(home(small), small.folder)
    assert "critical" not in str(refused.value)
    written = export(home(small), small.folder, preview=True)
    said = json.loads((written.folder / "manifest.json").read_text())["critical_findings"]
    assert {(one["finding_id"], one["status"], one["decided_by"]) for one in said} == {
        (finding_id, "waived", "Dr A. Monitor") for finding_id in critical
    }


def test_another_specification_than_the_snapshots_refuses(small: SmallStudy) -> None:
    report = small.run()
    acts.lock(home(small), report.snapshot_id, **BY)
    small.specify("submission.yml", "fda: {leave_out: [{dataset: VS, where: {VSTESTCD: WEIGHT}, why: A test}]}\n")
    with pytest.raises(UsageError, match=r"the specification is another one now \(submission\.yml\)"):
        export(home(small), small.folder)


def test_what_a_define_finds_in_the_data_says_what_to_do(small: SmallStudy) -> None:
    """Also where a record that the guides show has no name: each is refused with what cures it, and nothing fails."""
    small.summarize()
    small.change("tables/ts.csv", "SPONSOR,Clinical", ",A parameter without a code,1\nSPONSOR,Clinical")
    small.change("tables/codelists.csv", "sex,Male,term,M,C66731", "sex,Male,term,M,")
    small.change("tables/codelists.csv", "sex,Female,term,F,C66731", "sex,Female,term,FEMALE,")
    small.change("tables/codelists.csv", "F,C66731\nsex,not asked,ignore,,C66731", "FEMALE,\nsex,not asked,ignore,,")
    report = small.run()
    for one in acts.critical_findings(home(small), report.snapshot_id):
        acts.waive(home(small), one["finding_id"], **BY)
    acts.lock(home(small), report.snapshot_id, **BY)
    with pytest.raises(ExportRefusedError) as refused:
        export(home(small), small.folder)
    told = str(refused.value)
    assert (
        "TS.TSPARMCD: mandatory_missing: is mandatory and missing in 1 records. Fill the variable in the mapping"
        in told
    )
    assert "term_not_allowed" in told and "Map the value to a term, or declare the term in ct_extensions" in told


@pytest.mark.parametrize("preview", [False, True])
def test_a_snapshot_that_was_altered_is_refused_and_made_anew_by_a_run(small: SmallStudy, preview: bool) -> None:
    """A value that somebody changed in a locked snapshot, a dataset that is gone and one that was put there."""
    small.summarize()
    report = small.run()
    acts.lock(home(small), report.snapshot_id, **BY)
    first = export(home(small), small.folder, preview=preview).archive.read_bytes()
    folder = report.path / "sdtm"
    doses = pq.read_table(folder / "ex.parquet")
    position = doses.schema.get_field_index("EXDOSE")
    more = doses.set_column(position, doses.schema.field(position), pc.add(doses["EXDOSE"], 1.0))
    (folder / "ex.parquet").unlink()
    pq.write_table(more, folder / "ex.parquet")
    (folder / "vs.parquet").rename(folder / "zz.parquet")
    with pytest.raises(ExportRefusedError) as refused:
        export(home(small), small.folder, preview=preview)
    problem = "its file in the snapshot is gone or is not the one that was published. Run the study again"
    assert [str(one).partition(", which")[0] for one in refused.value.faults] == [
        f"{name}: {problem}" for name in ("EX", "VS", "ZZ")
    ]
    again = small.run()
    assert (again.snapshot_id, again.published) == (report.snapshot_id, False)
    assert export(home(small), small.folder, preview=preview).archive.read_bytes() == first


def test_the_command(small: SmallStudy) -> None:
    small.run()
    refused = cairn(small, "export", str(small.folder))
    assert refused.returncode == 2 and "it is not locked" in refused.stderr
    done = cairn(small, "export", str(small.folder), "--preview", "--dataset-json", "json", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["datasets"] == {"DM": 3, "EX": 4, "VS": 8}
    assert {one["id"]: one["outcome"] for one in told["checklist"]}["FDA-1734"] == "fail"
    assert sorted(path.name for path in (Path(told["folder"]) / "dataset-json" / "sdtm").iterdir()) == [
        "dm.json",
        "ex.json",
        "vs.json",
    ]
    shown = cairn(small, "export", str(small.folder), "--preview")
    assert "PREVIEW of a submission package for fda: 3 datasets" in shown.stdout
    assert cairn(small, "export", str(small.folder), "--agency", "ema").returncode == 2
    assert cairn(small, "export", str(small.folder), "--snapshot", "none").returncode == 2


def test_bad_data_of_a_delivery_is_refused_by_the_command(small: SmallStudy) -> None:
    """Each fault of the format has a test at the writer, each of the checklist one where packages are written.

    Of what a delivery may bring, the mapping splits texts that are too long and holds numbers out of range.
    """
    small.summarize()
    doses = EXTRACTS["dosing.csv"].replace("3,002,Testol", "3,002,Testolé")
    small.drop("dosing.csv", doses.replace("2,001,Testol", f"2,001,{'Testol ' * 29}x"))
    small.drop("vitals.csv", EXTRACTS["vitals.csv"].replace("80.5", "1e76"))
    report = small.run()
    critical = acts.critical_findings(home(small), report.snapshot_id)
    assert [(one["rule"], one["variable"], one["held"]) for one in critical] == [("unreadable_number", "WEIGHT", True)]
    acts.waive(home(small), critical[0]["finding_id"], by="Dr A. Monitor", reason="known")
    acts.lock(home(small), report.snapshot_id, **BY)
    refused = cairn(small, "export", str(small.folder))
    assert refused.returncode == 2
    (fault,) = [line for line in refused.stderr.splitlines() if line.startswith("  - ")]
    assert fault == (
        "  - EX.EXTRT: a character that ascii lacks in 1 record(s): 3. Write it in the mapping as that encoding can"
    )
    assert "TESTOL" not in refused.stderr and list((small.home / "exports" / "small").iterdir()) == []
    china = cairn(small, "export", str(small.folder), "--agency", "nmpa", "--json")
    assert china.returncode == 0, china.stderr
    folder = Path(json.loads(china.stdout)["folder"]) / "m5" / "datasets" / "small-01" / "tabulations" / "sdtm"
    treatments = pyreadstat.read_xport(str(folder / "ex.xpt"), encoding="UTF-8")[0]["EXTRT"].tolist()
    assert [treatments[0], *treatments[2:]] == ["TESTOL", "TESTOLÉ", "TESTOL"]
    assert len(treatments[1]) == 195, "the rest is in SUPPEX"
    assert (folder / "suppex.xpt").is_file()


def test_no_clock_zone_or_locale_is_in_a_package(small: SmallStudy) -> None:
    """By the command, in processes of their own; what depends on the day is tested where packages are written."""
    small.summarize()
    report = small.run()
    acts.lock(home(small), report.snapshot_id, **BY)
    written = []
    for number, (zone, locale) in enumerate((("Asia/Shanghai", "C.utf8"), ("America/New_York", "C"))):
        to = small.home / str(number)
        prefix = ("env", f"TZ={zone}", f"LC_ALL={locale}", f"PYTHONHASHSEED={number}")
        options = ("--to", str(to), "--dataset-json", "json", "--json")
        done = cairn(small, "export", str(small.folder), *options, prefix=prefix)
        assert done.returncode == 0, done.stderr
        written.append(Path(json.loads(done.stdout)["archive"]).read_bytes())
    assert written[0] == written[1] and len(written[0]) > 10_000


def test_a_full_disk_leaves_nothing(small: SmallStudy) -> None:
    prefix = possible("--user", "--map-root-user", "--mount")
    small.run()
    full = small.home / "full"
    full.mkdir()
    script = f"mount -t tmpfs -o size=16k none '{full}' && \"$@\"; echo exit $?; ls -A '{full}'"
    options = ("--preview", "--to", str(full / "package"))
    done = cairn(small, "export", str(small.folder), *options, prefix=(*prefix, "sh", "-c", script, "sh"))
    assert "the disk is full" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout.split() == ["exit", "1"], "something was left on the full disk"


def test_what_the_studies_say_of_their_packages_can_be_read() -> None:
    assert [one.dataset for one in agencies.read(STUDIES / "cdiscpilot01").keys] == ["AE"]
    own = agencies.read(STUDIES / "ucmsc_dac")
    left_out = {one.dataset for one in own.of("fda").leave_out}
    assert left_out == {"ADAE", "SUPPAE", "SUPPCM", "SUPPDM", "SUPPLB", "SUPPMH", "SUPPPR"}
    assert own.of("nmpa").leave_out == ()


def test_the_home_of_a_study_that_was_never_run(small: SmallStudy) -> None:
    with pytest.raises(UsageError, match="small has no snapshot"):
        export(home(small), small.folder)
    assert default_home()
