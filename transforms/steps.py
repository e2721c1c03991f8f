"""The stages as an orchestrator calls them, one task each: plain texts in, plain facts out, files in between.

Every function may run in a process of its own. What it needs stands in CAIRN_HOME; what it writes is whole or not
there, so that a task that was killed is simply run again.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from transforms import acts, approval, export, ingest, pipeline, safety_package
from transforms.errors import FileRefusedError, UsageError
from transforms.home import default_home
from transforms.pipeline import Home
from transforms.study import Study
from transforms.submission.archive import read_archive
from transforms.warehouse.building import Building
from transforms.warehouse.postgres import Database


def _study(study: str, placement: str | None = None) -> tuple[Study, Home]:
    loaded = Study.load(study, placement=placement)
    return loaded, Home(default_home(), loaded.name)


def _building(study: str, snapshot_id: str) -> tuple[Study, Home, Building, dict[str, Any]]:
    """The study under the placement the snapshot was opened with, and the folder it is built in."""
    home = Home(default_home(), Path(study).name)
    building = home.building(snapshot_id)
    opening = building.opening()
    loaded, _ = _study(study, opening["placement"])
    return loaded, home, building, opening


def _landing(home: Home, landing: str | None) -> Path:
    return Path(landing) if landing else home.landing


def pending(study: str, landing: str | None = None) -> dict[str, list[str]]:
    """Deliveries in landing: those that may be taken, and those still to wait for.

    In a folder named with `landing` nothing is waited for.
    """
    loaded, home = _study(study)
    folder = _landing(home, landing)
    if not folder.is_dir():
        if landing:
            raise UsageError(f"{folder} is no folder. Drop the extracts there, or name a folder with --landing")
        return {"deliveries": [], "waiting": []}
    ready, waiting = ingest.look(loaded, folder, home.raw, home.watch, time.time())
    if landing:
        ready, waiting = [*ready, *waiting], []
    return {"deliveries": ready, "waiting": waiting}


def take(study: str, delivery: str, landing: str | None = None, run_id: str = "") -> dict[str, Any]:
    """Take one delivery into the raw store. Raises FileRefusedError when it was refused."""
    loaded, home = _study(study)
    with home.snapshots.lock(run_id):
        taken = ingest.ingest(loaded, _landing(home, landing), home.raw, [delivery])
    if taken.refused:
        one = taken.causes[0]
        raise FileRefusedError(one.rule, one.file, f"{one.problem}; delivery {delivery} is refused", one.remedy)
    return {"delivery": delivery, "files": len(taken.accepted), "rows": sum(one.rows for one in taken.accepted)}


def open_snapshot(
    study: str, as_of: str | None = None, placement: str | None = None, run_id: str = "", again: bool = False
) -> str | None:
    """Begin the snapshot of all that is known now; returns its id.

    None when it is current already, or when it is being built by an earlier run; `again` begins it in any case.
    """
    loaded, home = _study(study, placement)
    with home.snapshots.lock(run_id):
        if not any(entry.accepted for entry in home.raw.received()):
            return None
        opening = pipeline.open_snapshot(loaded, home, as_of)
        building = home.building(opening.snapshot_id)
        begun = building.opened.is_file()
        if not again and (home.snapshots.current_id() == opening.snapshot_id or begun):
            return None
        building.begin(asdict(opening))
    return opening.snapshot_id


def stage(study: str, snapshot_id: str) -> dict[str, int]:
    """Stage and check every source; returns accepted rows by source."""
    loaded, home, building, _ = _building(study, snapshot_id)
    pipeline.stage_sources(loaded, home, building)
    return {name: building.read(f"staged/{name}").num_rows for name in sorted(loaded.sources)}


def domains(study: str, snapshot_id: str) -> list[str]:
    """The SDTM datasets of the snapshot, to be mapped one by one."""
    loaded, *_ = _building(study, snapshot_id)
    return sorted(loaded.datasets)


def map_domain(study: str, snapshot_id: str, domain: str) -> dict[str, int]:
    """Map one SDTM dataset with its supplemental qualifiers; returns records by dataset."""
    loaded, _, building, _ = _building(study, snapshot_id)
    return pipeline.map_datasets(loaded, building, [domain])


def finish_sdtm(study: str, snapshot_id: str) -> dict[str, int]:
    """Join and check the SDTM datasets and assess the gate; returns records by dataset."""
    loaded, home, building, _ = _building(study, snapshot_id)
    pipeline.finish_sdtm(loaded, building)
    pipeline.assess_gate(loaded, home, building)
    return {name.upper(): building.read(f"sdtm/{name}").num_rows for name in building.names("sdtm")}


def analyses(study: str, snapshot_id: str) -> list[str]:
    """The analysis datasets of the snapshot, to be derived one by one."""
    loaded, *_ = _building(study, snapshot_id)
    return sorted(loaded.analyses)


def derive(study: str, snapshot_id: str, dataset: str) -> dict[str, int]:
    """Derive one analysis dataset; returns its records."""
    loaded, _, building, _ = _building(study, snapshot_id)
    return pipeline.derive_datasets(loaded, building, [dataset])


def finish_adam(study: str, snapshot_id: str) -> dict[str, int]:
    """Join and check the analysis datasets; returns records by dataset."""
    loaded, _, building, _ = _building(study, snapshot_id)
    pipeline.finish_adam(loaded, building)
    return {name.upper(): building.read(f"adam/{name}").num_rows for name in building.names("adam")}


def analyse(study: str, snapshot_id: str) -> int:
    """Make every analysis of the study's outputs; returns the number of results."""
    loaded, _, building, _ = _building(study, snapshot_id)
    return pipeline.analyse(loaded, building)


def close(study: str, snapshot_id: str) -> dict[str, Any]:
    """Write the manifest and make the building a snapshot; returns counts of records and findings."""
    loaded, home, building, _ = _building(study, snapshot_id)
    with home.snapshots.lock():
        pipeline.close(loaded, home, building)
    manifest = home.snapshots.manifest(snapshot_id)
    return {"datasets": manifest["datasets"], "findings": manifest["findings"]}


def tables(study: str, snapshot_id: str) -> list[str]:
    """The datasets of a finished snapshot, to be loaded one by one: `sdtm.lb`, `adam.adsl`."""
    home = Home(default_home(), Path(study).name)
    folder = home.snapshots.path(snapshot_id)
    return [f"{kind}.{name}" for kind, name in pipeline.table_names(folder)]


def load(study: str, snapshot_id: str, table: str) -> dict[str, Any]:
    """Load one dataset of a finished snapshot into the database, where nobody sees it before it is published."""
    loaded, home, *_ = _building(study, snapshot_id)
    written, _, name = table.partition(".")
    kind = next(one for one in pipeline.KINDS if one == written)
    found = pipeline.table_of(loaded, home.snapshots.path(snapshot_id), kind, name)
    with Database.open(home.folder) as database:
        database.load(loaded.name, snapshot_id, [found])
    return {"table": table, "rows": found.table.num_rows}


def publish(study: str, snapshot_id: str, run_id: str = "") -> dict[str, Any]:
    """Make a finished snapshot the current one, in the database and in the files, and write the delivery report."""
    loaded, home, building, opening = _building(study, snapshot_id)
    with Database.open(home.folder) as database, home.snapshots.lock(run_id):
        database.record_run(loaded.name, run_id)
        page = pipeline.publish(loaded, home, pipeline.Opening(**opening), database=database, run_id=run_id)
        building.published()
        database.finish_run(loaded.name, run_id, "published", snapshot_id, "")
    return {"snapshot_id": snapshot_id, "report": str(page)}


def to_do(study: str, stage: str, ids: list[str]) -> list[str]:
    """Those of some snapshots that a stage (sdtm, adam, publish) has not processed yet, in the order given."""
    home = Home(default_home(), Path(study).name)
    return [one for one in ids if _waits(home, stage, one)]


def _waits(home: Home, stage: str, snapshot_id: str) -> bool:
    building = home.building(snapshot_id)
    if not building.opened.is_file():
        return False
    if stage == "publish":
        return home.snapshots.exists(snapshot_id)
    return building.folder.is_dir() and (stage == "adam" or "sdtm.findings" not in building.names("parts"))


def report(study: str, run_id: str) -> str:
    """Write the delivery report of what was refused since the last publication; returns its path."""
    loaded, home = _study(study)
    return str(pipeline.write_report(loaded, home, run_id))


def open_questions(study: str, snapshot_id: str) -> list[dict[str, Any]]:
    """What the board is to decide: the cohorts that are ready and undecided, each with its safety package written.

    A decision counts as soon as the log has it, whether a snapshot holds it yet or not.
    """
    loaded, home = _study(study)
    if loaded.gate is None or not home.snapshots.exists(snapshot_id):
        return []
    decided = {
        one.target["cohort"]
        for one in home.decisions.entries()
        if one.act == "decide" and one.target.get("scope") == "cohort"
    }
    questions = []
    for row in acts.gate_rows(home, snapshot_id, "gate"):
        if row["ready"] != "Y" or row["decision"] is not None or row["cohort"] in decided:
            continue
        made = safety_package.write_package(home, loaded, row["cohort"], snapshot_id=snapshot_id)
        questions.append(
            {
                "cohort": made.cohort,
                "snapshot_id": made.snapshot_id,
                "cut_off": made.cut_off,
                "package": str(made.path),
                "outcomes": list(loaded.gate.outcomes.cohort),
                **{name: row[name] for name in ("n_dosed", "n_observed", "n_evaluable", "n_dlt")},
            }
        )
    return questions


def decide_cohort(
    study: str, cohort: str, outcome: str, decided_on: str, by: str, reason: str, snapshot_id: str
) -> dict[str, Any]:
    """Record the decision on a cohort, based on a snapshot; the same act as `./cairn decide`.

    One that stands in the log already is not recorded again, so that a task may be repeated.
    """
    loaded, home = _study(study)
    said = {
        "scope": "cohort",
        "cohort": cohort,
        "outcome": outcome,
        "decided_on": decided_on,
        "snapshot_id": snapshot_id,
    }
    known = (one for one in home.decisions.entries() if one.act == "decide" and one.by == by and one.reason == reason)
    made = next((one for one in known if said.items() <= one.target.items()), None)
    made = made or acts.decide_gate(
        home,
        loaded,
        cohort=cohort,
        outcome=outcome,
        decided_on=decided_on,
        by=by,
        reason=reason,
        snapshot_id=snapshot_id,
    )
    return {"decision": made.number, "cohort": cohort, "outcome": outcome, "by": made.by}


def package(study: str, agency: str, snapshot_id: str | None = None) -> dict[str, Any]:
    """Write the submission package of a locked snapshot, the current one where none is named.

    Returns what a person has to know to approve it.
    """
    _, home = _study(study)
    written = export.export(home, study, agency=agency, snapshot_id=snapshot_id)
    manifest = read_archive(written.archive).manifest
    findings = manifest["critical_findings"]
    return {
        "study": home.study,
        "snapshot_id": manifest["snapshot_id"],
        "cut_off": manifest["cut_off"],
        "agency": agency,
        "sha256": written.sha256,
        "archive": str(written.archive),
        "page": str(written.folder / f"{export.REPORT}.html"),
        "datasets": len(written.datasets),
        "records": sum(written.datasets.values()),
        "locked": f"{manifest['locked']['by']}: {manifest['locked']['reason']}",
        "not_run": [f"{one.id}: {one.reason}" for one in written.checklist if one.outcome == "not run"],
        "critical": [f"{acts.named(one)}, {one['decided_by']}, {one['decision']}" for one in findings],
    }


def approve_package(study: str, snapshot_id: str, agency: str, sha256: str, by: str, reason: str) -> dict[str, Any]:
    """Record that a person approves a package; the same act as `./cairn approve`, and as repeatable."""
    _, home = _study(study)
    made = approval.approve(home, study, snapshot_id, agency=agency, sha256=sha256, by=by, reason=reason)
    return {"decision": made.decision.number, "by": made.decision.by, "archive": str(made.archive)}
