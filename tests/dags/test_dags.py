"""The DAGs: how they hang together, what people read about them, and that they give what `run` gives."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.small_study import EXTRACTS, SmallStudy
from transforms import airflow_services, pipeline
from transforms.pipeline import Home
from transforms.submission.agencies import AGENCIES
from transforms.warehouse.postgres import Database

ROOT = Path(__file__).resolve().parents[2]
STAGES = ("ingest", "sdtm", "adam", "publish")
WAITS = {"ingest": "decisions", "sdtm": "staged", "adam": "sdtm", "publish": "adam"}
GIVES = {"ingest": "staged", "sdtm": "sdtm", "adam": "adam", "publish": "published"}


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("dags")
    environment = airflow_services.environment(folder)
    environment["CAIRN_STUDIES"] = "/somewhere/third_study"
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT / "dags"), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-m", "tests.dags.describe"],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def studies() -> list[str]:
    return sorted(path.parent.name for path in (ROOT / "cdisc_mappings").glob("*/study.yml"))


def test_every_study_has_one_set_of_dags(described: Mapping[str, Any]) -> None:
    assert len(studies()) >= 2
    expected = {f"{study}_{stage}" for study in [*studies(), "third_study"] for stage in STAGES}
    expected |= {f"{study}_submission" for study in [*studies(), "third_study"]}
    expected.add("ucmsc_dac_dsmb")  # the study with a gate
    assert set(described["dags"]) == expected


def test_parsing_loads_nothing_heavy(described: Mapping[str, Any]) -> None:
    assert "wiring" in described["loaded"]
    assert not {"pandas", "pyarrow", "numpy", "great_expectations", "transforms", "psycopg"} & set(described["loaded"])


@pytest.mark.parametrize("stage", STAGES)
def test_dags_are_chained_by_assets(described: Mapping[str, Any], stage: str) -> None:
    for study in studies():
        dag = described["dags"][f"{study}_{stage}"]
        assert dag["schedule"] == [f"cairn://{study}/{WAITS[stage]}"]
        given = {uri for task in dag["tasks"].values() for uri in task["outlets"]}
        assert given == {f"cairn://{study}/{GIVES[stage]}"}
        assert (dag["max_active_runs"], dag["catchup"]) == (1, False)
        assert not any(task["mapped"] for task in dag["tasks"].values() if task["outlets"]), "the join hands on"


def test_the_board_is_asked_after_a_publication_and_its_decision_begins_a_snapshot(
    described: Mapping[str, Any],
) -> None:
    dag = described["dags"]["ucmsc_dac_dsmb"]
    assert dag["schedule"] == ["cairn://ucmsc_dac/published"]
    assert {task_id: task["outlets"] for task_id, task in dag["tasks"].items()} == {
        "questions": [],
        "prepare": [],
        "ask": [],
        "record": ["cairn://ucmsc_dac/decisions"],
    }


def test_a_package_waits_for_a_person_before_it_leaves(described: Mapping[str, Any]) -> None:
    for study in studies():
        dag = described["dags"][f"{study}_submission"]
        assert dag["by_hand"] and dag["schedule"] == [] and dag["max_active_runs"] == 1
        assert dag["params"]["agency"]["enum"] == list(AGENCIES)
        assert {task_id: (task["kind"], task["after"]) for task_id, task in dag["tasks"].items()} == {
            "package": ("_PythonDecoratedOperator", []),
            "approve": ("ApprovalOperator", ["package"]),
            "record": ("_PythonDecoratedOperator", ["approve", "package"]),
        }
        assert "./cairn approve" in dag["doc"]


def test_people_can_read_every_dag_and_task(described: Mapping[str, Any]) -> None:
    for name, dag in described["dags"].items():
        assert "red square" in dag["doc"], name
        for task_id, task in dag["tasks"].items():
            assert task["doc"], (name, task_id)
            if task["mapped"]:
                assert re.search(r"op_kwargs\['\w+'\]|task\.subject", task["name"] or ""), (name, task_id)


def test_faults_are_tried_again(described: Mapping[str, Any]) -> None:
    for dag in described["dags"].values():
        assert {task["retries"] for task_id, task in dag["tasks"].items() if task_id != "refused"} == {2}


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def command(small: SmallStudy, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CAIRN_HOME": str(small.home)}
    return subprocess.run(
        [sys.executable, "-m", "transforms.cli", *arguments],
        env=environment,
        cwd=small.landing,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_dags_give_what_run_gives(small: SmallStudy, tmp_path: Path) -> None:
    done = command(small, "dags", "run", str(small.folder), "--landing", ".", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["errors"] == []
    whole = pipeline.run(small.load(), landing=small.landing, home=tmp_path / "other")
    where = Home(small.home, "small")
    assert result["snapshot_id"] == whole.snapshot_id == where.snapshots.current_id()
    assert contents(where.snapshots.path(whole.snapshot_id)) == contents(whole.path)
    assert Path(result["report"]).is_file()
    with Database.open(small.home) as database:
        assert database.current("small") == whole.snapshot_id
        for path in (whole.path / "sdtm").glob("*.parquet"):
            written = pq.read_table(path).replace_schema_metadata(None)
            read = database.read("small", "sdtm", path.stem.upper())
            assert read.column_names == written.column_names
            plain = pa.Table.from_arrays(read.columns, names=read.column_names)
            assert plain.equals(pa.Table.from_arrays(written.columns, names=written.column_names)), path.stem

    small.drop("vitals.csv", EXTRACTS["vitals.csv"].replace("SYSBP", "BP"))
    small.drop("demog.csv", EXTRACTS["demog.csv"].replace("55", "56"))
    again = command(small, "dags", "run", str(small.folder), "--landing", ".")
    assert again.returncode == 0, again.stderr
    assert "refused" in again.stdout
    assert "vitals.csv" in again.stdout
    assert where.snapshots.current_id() != whole.snapshot_id

    standing = where.snapshots.current_id()
    small.drop("vitals.csv", EXTRACTS["vitals.csv"].replace("SYSBP", "BLOOD PRESSURE"))
    only = command(small, "dags", "run", str(small.folder), "--landing", ".")
    assert only.returncode == 3, only.stdout + only.stderr
    assert "vitals.csv" in only.stderr
    assert "Traceback" not in only.stderr
    assert where.snapshots.current_id() == standing
