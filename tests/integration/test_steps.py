"""The stages one task at a time give byte for byte what one process gives, and wait for files that still grow."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.reference import Published
from tests.small_study import EXTRACTS, SmallStudy
from transforms import ingest, pipeline, steps
from transforms.errors import FileRefusedError
from transforms.pipeline import Home
from transforms.warehouse.building import NotBuildingError
from transforms.warehouse.snapshots import RunInProgressError


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def build(study: str, landing: Path) -> str:
    """Every step but the publication, as the DAGs call them; returns the snapshot id."""
    for delivery in steps.pending(study, str(landing))["deliveries"]:
        steps.take(study, delivery, str(landing))
    snapshot_id = steps.open_snapshot(study)
    assert snapshot_id is not None
    steps.stage(study, snapshot_id)
    for domain in reversed(steps.domains(study, snapshot_id)):
        steps.map_domain(study, snapshot_id, domain)
    steps.finish_sdtm(study, snapshot_id)
    for dataset in reversed(steps.analyses(study, snapshot_id)):
        steps.derive(study, snapshot_id, dataset)
    steps.finish_adam(study, snapshot_id)
    steps.analyse(study, snapshot_id)
    steps.close(study, snapshot_id)
    return snapshot_id


@pytest.fixture
def at_home(small: SmallStudy, monkeypatch: pytest.MonkeyPatch) -> SmallStudy:
    monkeypatch.setenv("CAIRN_HOME", str(small.home))
    return small


def test_steps_give_what_one_process_gives(at_home: SmallStudy, tmp_path: Path) -> None:
    whole = pipeline.run(at_home.load(), landing=at_home.landing, home=tmp_path / "other")
    snapshot_id = build(str(at_home.folder), at_home.landing)
    assert snapshot_id == whole.snapshot_id
    assert contents(Home(at_home.home, "small").snapshots.path(snapshot_id)) == contents(whole.path)


def test_steps_of_the_reference_study(first_cut: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAIRN_HOME", str(tmp_path))
    snapshot_id = build("ucmsc_dac", first_cut.landing)
    assert snapshot_id == first_cut.report.snapshot_id
    assert contents(Home(tmp_path, "ucmsc_dac").snapshots.path(snapshot_id)) == contents(first_cut.report.path)


def test_nothing_is_begun_twice(at_home: SmallStudy) -> None:
    study = str(at_home.folder)
    assert steps.open_snapshot(study) is None
    for delivery in steps.pending(study, str(at_home.landing))["deliveries"]:
        steps.take(study, delivery, str(at_home.landing))
    first = steps.open_snapshot(study)
    assert first is not None
    assert steps.open_snapshot(study) is None
    assert steps.open_snapshot(study, again=True) == first


def test_a_step_without_the_one_before_says_so(at_home: SmallStudy) -> None:
    study = str(at_home.folder)
    with pytest.raises(NotBuildingError, match="abc is not being built"):
        steps.stage(study, "abc")
    for delivery in steps.pending(study, str(at_home.landing))["deliveries"]:
        steps.take(study, delivery, str(at_home.landing))
    snapshot_id = steps.open_snapshot(study)
    assert snapshot_id is not None
    with pytest.raises(NotBuildingError, match="staged/demog was not written"):
        steps.map_domain(study, snapshot_id, "DM")
    steps.stage(study, snapshot_id)
    steps.map_domain(study, snapshot_id, "DM")
    with pytest.raises(NotBuildingError, match=r"ex\.findings was not written"):
        steps.finish_sdtm(study, snapshot_id)


def test_a_step_does_not_run_beside_a_run(at_home: SmallStudy) -> None:
    with (
        Home(at_home.home, "small").snapshots.lock("cli-1"),
        pytest.raises(RunInProgressError, match="run cli-1"),
    ):
        steps.take(str(at_home.folder), "demog.csv", str(at_home.landing))


def test_a_refused_delivery_is_its_own_error(at_home: SmallStudy) -> None:
    at_home.drop("vitals.csv", EXTRACTS["vitals.csv"].replace("SYSBP", "BP"))
    study, landing = str(at_home.folder), str(at_home.landing)
    with pytest.raises(FileRefusedError, match="SYSBP") as raised:
        steps.take(study, "vitals.csv", landing)
    assert raised.value.exit_code == 3
    assert steps.take(study, "demog.csv", landing)["rows"] == 3
    assert steps.pending(study, landing)["deliveries"] == ["dosing.csv"]


def look(small: SmallStudy, now: float) -> tuple[list[str], list[str]]:
    where = Home(small.home, "small")
    return ingest.look(small.load(), small.landing, where.raw, where.watch, now)


def test_a_growing_file_stays_pending_until_it_has_settled(small: SmallStudy) -> None:
    assert look(small, 1000.0) == ([], ["demog.csv", "dosing.csv", "vitals.csv"])
    small.drop("vitals.csv", EXTRACTS["vitals.csv"] + "003,Day 8,2024-03-20,121,,,,N\n")
    assert look(small, 1059.0) == ([], ["demog.csv", "dosing.csv", "vitals.csv"])
    assert look(small, 1060.0) == (["demog.csv", "dosing.csv"], ["vitals.csv"])
    assert look(small, 1119.0) == (["demog.csv", "dosing.csv", "vitals.csv"], [])


def test_a_file_is_taken_at_once_when_its_manifest_matches(small: SmallStudy) -> None:
    digest = hashlib.sha256(EXTRACTS["demog.csv"].encode()).hexdigest()
    small.drop(
        "demog.manifest.json",
        '{"files": [{"name": "demog.csv", "sha256": "' + digest + '", "rows": 3}]}',
    )
    ready, waiting = look(small, 1000.0)
    assert (ready, waiting) == (["demog.manifest.json"], ["dosing.csv", "vitals.csv"])
    small.drop("demog.csv", EXTRACTS["demog.csv"][:-5])
    assert look(small, 1001.0) == ([], ["demog.manifest.json", "dosing.csv", "vitals.csv"])
    assert look(small, 1061.0)[0] == ["demog.manifest.json", "dosing.csv", "vitals.csv"]


def test_what_is_known_or_was_refused_is_not_looked_at_again(small: SmallStudy) -> None:
    small.drop("vitals.csv", EXTRACTS["vitals.csv"].replace("SYSBP", "BP"))
    assert len(small.run().refused) == 1
    assert look(small, 1000.0) == ([], [])
    small.drop("vitals.csv", EXTRACTS["vitals.csv"])
    assert look(small, 2000.0) == ([], ["vitals.csv"])
