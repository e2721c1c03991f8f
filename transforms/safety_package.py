"""The frozen safety package of a dose cohort: its datasets, the gate, the open findings and one page to read."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from transforms import acts, operations
from transforms.errors import UsageError
from transforms.gate.assess import COHORTS, DECISIONS, SUBJECTS
from transforms.gate.readiness import toxicities_of
from transforms.pipeline import Home
from transforms.reporting.safety import SafetyFacts, safety_page
from transforms.study import Study
from transforms.warehouse import parquet
from transforms.warehouse.snapshots import MANIFEST, write_json

PAGE = "safety.html"
FINDINGS = "open_findings"


@dataclass(frozen=True)
class SafetyPackage:
    """A package that was written: where, and of what."""

    cohort: str
    snapshot_id: str
    cut_off: str
    preview: bool
    path: Path


def write_package(
    where: Home,
    study: Study,
    cohort: str,
    *,
    snapshot_id: str | None = None,
    folder: Path | None = None,
    preview: bool = False,
) -> SafetyPackage:
    """Write the safety package of a cohort from a snapshot, the current one where none is named.

    It goes to CAIRN_HOME/exports/<study>/dsmb/<cohort>-<snapshot>, or to `folder`, whole or not at all; a package
    that is there is replaced. Raises UsageError when the cohort is not ready and no preview was asked for.
    """
    gate = study.gate
    if gate is None or cohort not in gate.arms:
        known = ", ".join(gate.arms) if gate is not None else "none"
        raise UsageError(f"{study.name} has no dose cohort {cohort!r}. Known: {known}")
    based_on = snapshot_id or where.snapshots.current_id()
    if based_on is None or not where.snapshots.exists(based_on):
        raise UsageError(f"{where.study} has no snapshot {based_on or ''}. See ./cairn snapshots {where.study}")
    row = {one["cohort"]: one for one in acts.gate_rows(where, based_on, COHORTS)}[cohort]
    ready = row["ready"] == "Y"
    if not ready and not preview:
        raise UsageError(
            f"{cohort} is not ready in snapshot {based_on}; it waits for: {row['waits_for']}. "
            "Ask for a preview with --preview"
        )
    source = where.snapshots.path(based_on)
    subjects = _of(pq.read_table(source / "results" / f"{SUBJECTS}.parquet"), "cohort", [cohort])
    members = subjects["usubjid"].to_pylist()
    tables = {
        f"sdtm/{name.lower()}": _of(pq.read_table(source / "sdtm" / f"{name.lower()}.parquet"), "USUBJID", members)
        for name in gate.package.datasets
        if (source / "sdtm" / f"{name.lower()}.parquet").is_file()
    }
    tables[f"gate/{COHORTS}"] = pq.read_table(source / "results" / f"{COHORTS}.parquet")
    tables[f"gate/{SUBJECTS}"] = subjects
    tables[f"gate/{DECISIONS}"] = _of(pq.read_table(source / "results" / f"{DECISIONS}.parquet"), "cohort", [cohort])
    found = _open_findings(where, based_on)
    tables[FINDINGS] = pa.Table.from_pylist(found, schema=_FINDING)
    manifest = where.snapshots.manifest(based_on)
    cut_off, label = manifest["cut_off"], delivery_label(where, manifest)
    records = {name.removeprefix("sdtm/").upper(): table for name, table in tables.items() if name.startswith("sdtm/")}
    frames = {name: parquet.frame_of(table) for name, table in records.items() if name in {"AE", "SUPPAE"}}
    events = frames.get("AE")
    toxicities = toxicities_of(gate, frames) if events is not None else {}
    page = safety_page(
        SafetyFacts(
            study=study.name,
            title=study.file.title,
            snapshot_id=based_on,
            cut_off=cut_off,
            observation_days=gate.observation_days,
            cohort=row,
            subjects=subjects.to_pylist(),
            decisions=tables[f"gate/{DECISIONS}"].to_pylist(),
            records=_shown(records, gate.package.labs),
            toxicities=frozenset(
                (usubjid, float(events["AESEQ"].iloc[one.row])) for usubjid, own in toxicities.items() for one in own
            )
            if events is not None
            else frozenset(),
            findings=found,
            not_related=gate.package.not_related,
            labs=gate.package.labs,
            preview=not ready,
            label=label,
            files={f"{name}.parquet": table.num_rows for name, table in tables.items()},
        )
    )
    target = (
        folder or where.folder / "exports" / study.name / "dsmb" / f"{cohort}-{based_on}{'' if ready else '-preview'}"
    )
    facts = {
        "study": study.name,
        "studyid": study.file.studyid,
        "cohort": cohort,
        "snapshot_id": based_on,
        "cut_off": cut_off,
        "preview": not ready,
        "label": label,
    }
    _write(target, tables, page, facts)
    return SafetyPackage(cohort, based_on, cut_off, not ready, target)


_FINDING = pa.schema(
    [
        ("finding_id", pa.string()),
        ("rule", pa.string()),
        ("severity", pa.string()),
        ("dataset", pa.string()),
        ("variable", pa.string()),
        ("message", pa.string()),
        ("status", pa.string()),
        ("n_records", pa.int64()),
        ("places", pa.list_(pa.struct([("file", pa.string()), ("lines", pa.list_(pa.int64()))]))),
    ]
)


def _open_findings(where: Home, snapshot_id: str) -> list[dict[str, Any]]:
    """The findings of a snapshot that were open when it was first published, without any value: keys, files, lines."""
    publications = where.publications.entries()
    number = next((n for n, one in enumerate(publications) if one.snapshot_id == snapshot_id), None)
    if number is None:
        raise UsageError(f"snapshot {snapshot_id} was never published. Run ./cairn run {where.study}")
    covered = where.decisions.entries()[: publications[number].decisions]
    rows = operations.finding_list(publications[: number + 1], covered, where.snapshots.summary)
    return [
        {name: row[name] for name in _FINDING.names if name != "places"}
        | {"places": [{"file": one["file"], "lines": one["lines"]} for one in row["places"]]}
        for row in rows
        if row["status"] == "open" and row["severity"] != "information"
    ]


def _of(table: pa.Table, column: str, values: Sequence[str]) -> pa.Table:
    kept = table.filter(pc.is_in(table[column], value_set=pa.array(values, type=pa.string())))
    return kept.replace_schema_metadata(table.schema.metadata)


def delivery_label(where: Home, manifest: Mapping[str, Any]) -> str:
    """What the deliveries of a snapshot say of themselves."""
    used = {one["sha256"] for one in manifest["files"]}
    return "; ".join(sorted({one.label for one in where.raw.received() if one.label and one.sha256 in used}))


def _shown(records: Mapping[str, pa.Table], labs: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """The records that the page shows: subjects, doses, events, and results of the tests chosen."""
    shown = {name: records[name] for name in ("DM", "EX", "AE", "LB") if name in records}
    if "LB" in shown:
        shown["LB"] = _of(shown["LB"], "LBTESTCD", labs)
    return {name: table.to_pylist() for name, table in shown.items()}


def _write(target: Path, tables: Mapping[str, pa.Table], page: str, facts: Mapping[str, Any]) -> None:
    """Write all files into a folder beside the target, then put it in its place."""
    if target.exists() and not (target / MANIFEST).is_file() and (target.is_file() or any(target.iterdir())):
        raise UsageError(f"{target} holds something else than a safety package. Name another folder with --to")
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for name, table in tables.items():
        path = partial / f"{name}.parquet"
        path.parent.mkdir(exist_ok=True)
        parquet.write(table, path)
    (partial / PAGE).write_text(page, encoding="utf-8")
    files = {
        path.relative_to(partial).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(partial.rglob("*"))
        if path.is_file()
    }
    write_json(partial / MANIFEST, {**facts, "files": files})
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)
