"""A study in several processes: how many there are is not in the bytes.

The expected bytes are those of doing everything in one process.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.integration.test_extracts import contents
from tests.reference import Extracts
from tests.small_study import SmallStudy
from transforms import pipeline
from transforms.findings import Finding
from transforms.ingest import ingest
from transforms.study import Study
from transforms.warehouse.building import Building
from transforms.warehouse.raw_store import RawStore


def test_a_small_study_has_the_same_bytes_in_any_number_of_processes(
    small: SmallStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "PROCESS_ROWS", 1)
    found = []
    for count in ("1", "2", "3"):
        monkeypatch.setenv("CAIRN_WORKERS", count)
        report = pipeline.run(small.load(), landing=small.landing, home=tmp_path / count)
        found.append(contents(report.path))
    assert found[0] == found[1] == found[2]
    assert "sdtm/dm.parquet" in found[0]


@pytest.fixture(scope="module")
def at_once(extracts: Extracts, tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, Building]:
    """The reference study up to SDTM, in one process."""
    return to_sdtm(extracts, tmp_path_factory.mktemp("one"))


def to_sdtm(extracts: Extracts, folder: Path) -> tuple[Study, Building]:
    study = Study.load("ucmsc_dac")
    home = pipeline.Home(folder, study.name)
    ingested = pipeline.ingest(study, extracts.landing, home.raw)
    building = home.building("run")
    building.begin(asdict(pipeline.open_snapshot(study, home, None)))
    pipeline.to_sdtm(study, home, building, dict(ingested.extracts))
    return study, building


def test_the_reference_study_has_the_same_bytes_in_two_processes(
    extracts: Extracts, at_once: tuple[Study, Building], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "PROCESS_ROWS", 10_000)
    monkeypatch.setenv("CAIRN_WORKERS", "2")
    _, building = to_sdtm(extracts, tmp_path)
    found, expected = contents(building.folder), contents(at_once[1].folder)
    assert found == expected
    assert {"sdtm/lb.parquet", "parts/sdtm.lineage.parquet", "parts/staged.findings.parquet"} <= found.keys()


def test_rules_look_at_the_rows_that_another_rule_holds(
    extracts: Extracts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a rule that holds rows finds stands where it stands among the rules, and others still see these rows."""
    told: list[Finding] = []

    def keep(found: list[Finding]) -> object:
        told.extend(found)
        return to_arrow(found)

    to_arrow = pipeline.findings_module.to_arrow
    monkeypatch.setattr(pipeline.findings_module, "to_arrow", keep)
    form = next(extracts.landing.glob("UCMSC_KPS_*.csv"))
    landing = tmp_path / "landing"
    landing.mkdir()
    for path in extracts.landing.iterdir():
        if path.name != "manifest.json":
            (landing / path.name).write_bytes(path.read_bytes())
    lines = form.read_text("utf-8").split("\n")
    header, row = lines[0].split(","), lines[1].split(",")
    row[header.index("kps_score")], row[header.index("kpsdat")] = "75", "2022-01-03"
    (landing / form.name).write_text("\n".join([lines[0], ",".join(row), *lines[2:]]), "utf-8")
    study, building = to_sdtm(Extracts(landing, extracts.truth), tmp_path / "home")
    found = [one for one in told if one.dataset == "kps" and one.places and one.places[0].lines == (2,)]
    assert [(one.rule, one.held) for one in found] == [("kps.score", True), ("kps.other_day", False)]
    whole, kept = building.rows("parts/whole/kps"), building.rows("staged/kps")
    assert (whole, kept) == (len(lines) - 2, len(lines) - 3)
    assert building.rows("staged/kps") == pipeline._StagedSources(study, building)["kps"].frame.shape[0]


def test_the_datasets_are_mapped_in_two_groups_of_which_none_needs_the_largest_of_the_other(
    at_once: tuple[Study, Building],
) -> None:
    study, building = at_once
    assert pipeline._largest(study, building) == "LB"
    own, others = pipeline._groups(study, "LB")
    assert set(own) | set(others) == set(study.datasets)
    # RELREC relates results to what was read from them, DM has the last date of all records.
    assert set(own) == {"LB", "DM", "RELREC"}


def test_the_number_of_processes_follows_the_rows(
    at_once: tuple[Study, Building], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAIRN_WORKERS", "4")
    rows = sum(at_once[1].rows(f"staged/{name}") for name in at_once[0].sources)
    assert pipeline._processes(*at_once) == 1
    monkeypatch.setattr(pipeline, "PROCESS_ROWS", rows // 2 + 1)
    assert pipeline._processes(*at_once) == 2
    monkeypatch.setattr(pipeline, "PROCESS_ROWS", 1)
    assert pipeline._processes(*at_once) == 4


def test_a_file_read_in_another_process_is_refused_in_the_same_words(small: SmallStudy, tmp_path: Path) -> None:
    """Of one delivery: a file without a column, one that is not whole, and the sound, largest one."""
    small.drop("demog.csv", "SUBJ,SITE,AGE,SEX\n1,2,3,M\n")
    small.drop("dosing.csv", "ROW,SUBJ,DRUG,DOSE,START\n1,1\n".removesuffix("\n"))
    files = {path.name: path.read_bytes() for path in sorted(small.landing.glob("*.csv"))}
    said = [{"name": name, "sha256": hashlib.sha256(content).hexdigest()} for name, content in files.items()]
    assert max(files, key=lambda name: len(files[name])) == "vitals.csv"
    small.drop("manifest.json", json.dumps({"files": said}))
    found = []
    for processes in (1, 2):
        taken = ingest(small.load(), small.landing, RawStore(tmp_path / str(processes)), processes=processes)
        found.append([(one.file, one.rule, one.problem, one.remedy, one.rows) for one in taken.refused])
    assert found[0] == found[1]
    assert {one[1] for one in found[0]} == {"missing_column", "delivery_refused"}
