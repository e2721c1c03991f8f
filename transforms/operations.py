"""The tables of `ops`: what a study's logs and snapshots say of deliveries, rows, findings and decisions.

Everything here follows from the raw store's logs and the snapshots they name; only runs are recorded elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from transforms.reporting import conformance
from transforms.reporting.delivery import DeliveryFacts
from transforms.warehouse.decisions import Decision
from transforms.warehouse.ledger import CLOSED, Ledger, ledger
from transforms.warehouse.publications import Publication
from transforms.warehouse.raw_store import Received
from transforms.warehouse.snapshots import DECIDED, MANIFEST

Rows = list[dict[str, Any]]
LOG_ONLY = {"label"}  # what the log of deliveries says and `ops` does not


def ops_tables(
    study: str,
    received: Sequence[Received],
    decisions: Sequence[Decision],
    publications: Sequence[Publication],
    folder_of: Callable[[str], Path],
    only: Iterable[str] | None = None,
) -> dict[str, pa.Table]:
    """The rows of every table of `ops` but the runs, as of the last publication.

    `folder_of` gives the folder with a snapshot's manifest, findings and accounts. `only` limits what is said of
    each snapshot to some snapshots; logs and events are always whole.
    """
    last = publications[-1]
    history = ledger_of(publications, folder_of, decisions)
    rows: dict[str, Rows] = {
        "delivery": [_delivery(one) for one in received[: last.deliveries]],
        "decision": [_decision(one) for one in decisions[: last.decisions]],
        "publication": [_publication(one) for one in publications],
        "finding_event": [asdict(one) for one in history.history],
        "snapshot": [],
        "row_account": [],
        "snapshot_finding": [],
        "quarantine": [],
        "gate_decision": [],
    }
    wanted = set(only) if only is not None else {one.snapshot_id for one in publications}
    for snapshot_id in sorted(wanted):
        folder = folder_of(snapshot_id)
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        found = pq.read_table(folder / "findings.parquet").to_pylist()
        accounts = pq.read_table(folder / "accounts.parquet").to_pylist()
        here = {"snapshot_id": snapshot_id}
        rows["snapshot"].append(here | _snapshot(manifest))
        rows["row_account"].extend(here | {"ordinal": number} | one for number, one in enumerate(accounts))
        rows["snapshot_finding"].extend(here | _finding(one) for one in found)
        rows["quarantine"].extend(here | one for one in _quarantine(found, manifest["files"]))
        gate = folder / DECIDED
        if gate.is_file():
            rows["gate_decision"].extend(here | one for one in pq.read_table(gate).to_pylist())
    return {name: _table(study, content) for name, content in rows.items()}


def ledger_of(
    publications: Sequence[Publication], folder_of: Callable[[str], Path], decisions: Sequence[Decision]
) -> Ledger:
    """The ledger of findings of a study."""
    return ledger(
        publications,
        lambda snapshot_id: pq.read_table(
            folder_of(snapshot_id) / "findings.parquet", columns=["finding_id", "n_records"]
        ),
        decisions,
    )


def _table(study: str, rows: Rows) -> pa.Table:
    table = pa.Table.from_pylist(rows)
    return table.add_column(0, "study", pa.array([study] * table.num_rows, type=pa.string()))


def _delivery(one: Received) -> dict[str, Any]:
    row = asdict(one)
    return {("bytes" if name == "size" else name): value for name, value in row.items() if name not in LOG_ONLY}


def _decision(one: Decision) -> dict[str, Any]:
    return {
        "number": one.number,
        "act": one.act,
        "target": json.dumps(one.target, ensure_ascii=False, sort_keys=True),
        "by_person": one.by,
        "reason": one.reason,
        "previous_hash": one.previous,
        "hash": one.hash,
        "recorded_by": one.recorded_by,
        "recorded_at": one.recorded_at,
    }


def _publication(one: Publication) -> dict[str, Any]:
    names = ("number", "snapshot_id", "cut_off", "deliveries", "decisions", "decisions_hash")
    return {name: getattr(one, name) for name in names}


def _snapshot(manifest: Mapping[str, Any]) -> dict[str, Any]:
    plain = {name: manifest[name] for name in ("studyid", "cut_off", "placement", "specification", "code")}
    written = {
        name: json.dumps(manifest[name], ensure_ascii=False, sort_keys=True)
        for name in ("standards", "datasets", "files")
    }
    return plain | written


def _finding(one: Mapping[str, Any]) -> dict[str, Any]:
    names = ("finding_id", "rule", "severity", "dataset", "variable", "message", "remedy", "why", "held", "n_records")
    row = {name: one[name] for name in names}
    row |= {"cause": one["likely_cause"], "who_acts": one["who_acts"]}
    return row | {"places": json.dumps(one["places"], ensure_ascii=False, sort_keys=True)}


def _quarantine(found: Sequence[Mapping[str, Any]], files: Sequence[Mapping[str, Any]]) -> Rows:
    """The raw lines that findings hold, once each per rule."""
    sources: dict[str, list[str]] = {}
    for one in files:
        sources.setdefault(one["sha256"], []).append(one["source"])
    rows: dict[tuple[str, str, int, str], dict[str, Any]] = {}
    for finding in found:
        if not finding["held"]:
            continue
        for place in finding["places"]:
            for line in place["lines"]:
                source = (
                    finding["dataset"]
                    if finding["dataset"] in sources[place["sha256"]]
                    else sources[place["sha256"]][0]
                )
                key = (source, place["sha256"], line, finding["rule"])
                rows.setdefault(
                    key,
                    {
                        "source": key[0],
                        "file": place["file"],
                        "sha256": key[1],
                        "line": line,
                        "rule": key[3],
                        "finding_id": finding["finding_id"],
                    },
                )
    return list(rows.values())


def finding_list(
    publications: Sequence[Publication], decisions: Sequence[Decision], folder_of: Callable[[str], Path]
) -> list[dict[str, Any]]:
    """Every finding there ever was with its status, in the order of the newest snapshot that has it.

    Decisions that no publication covers yet count too. Keys are the columns of findings.parquet, and status, opened,
    closed, reopened, decided_by and decision.
    """
    history = ledger_of(publications, folder_of, decisions)
    for one in decisions[history.covered :]:
        history.say(one)
    details: dict[str, dict[str, Any]] = {}
    for snapshot_id in dict.fromkeys(one.snapshot_id for one in reversed(publications)):
        for row in pq.read_table(folder_of(snapshot_id) / "findings.parquet").to_pylist():
            details.setdefault(row["finding_id"], row)
    rows = []
    for finding_id, row in details.items():
        life = history.lives[finding_id]
        by = decisions[life.decision] if life.decision is not None else None
        status = {"status": life.status, "opened": life.opened, "closed": life.closed, "reopened": life.reopened}
        rows.append(
            row | status | {"decided_by": by.by if by else None, "decision": f"{by.act}: {by.reason}" if by else None}
        )
    return rows


def delivery_facts(
    study: str,
    title: str,
    run_id: str,
    received: Sequence[Received],
    decisions: Sequence[Decision],
    publications: Sequence[Publication],
    folder_of: Callable[[str], Path],
) -> DeliveryFacts:
    """What the delivery report shows: the last publication, or the deliveries refused since it.

    Without any publication only the refused deliveries are shown.
    """
    if not publications:
        return DeliveryFacts(study, title, "", None, "", False, run_id, [asdict(one) for one in received])
    last = publications[-1]
    published = len(received) == last.deliveries
    earlier = publications[-2] if len(publications) > 1 and published else None
    if not published:
        earlier = last
    known = earlier.deliveries if earlier is not None else 0
    folder = folder_of(last.snapshot_id)
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    before: Mapping[str, int] = {}
    if earlier is not None:
        before = json.loads((folder_of(earlier.snapshot_id) / MANIFEST).read_text(encoding="utf-8"))["datasets"]
    history = ledger_of(publications, folder_of, decisions)
    changed = {one.finding_id: one.event for one in history.history if one.publication == last.number and published}
    rows = finding_list(publications, decisions, folder_of)
    current = [_reported(row, changed) for row in rows if row["status"] != CLOSED]
    found = pq.read_table(folder / "findings.parquet").to_pylist()
    releasable = {row["finding_id"]: row["releasable"] for row in found}
    return DeliveryFacts(
        study=study,
        title=title,
        snapshot_id=last.snapshot_id,
        previous_id=earlier.snapshot_id if earlier is not None else None,
        cut_off=last.cut_off,
        published=published,
        run_id=run_id,
        received=[asdict(one) | {"taken_before": True} for one in received[:known] if one.accepted]
        + [asdict(one) for one in received[known:]],
        accounts=pq.read_table(folder / "accounts.parquet").to_pylist(),
        findings=current,
        closed=[_reported(row, changed) for row in rows if changed.get(row["finding_id"]) == CLOSED],
        datasets={name: (count, before.get(name)) for name, count in manifest["datasets"].items()},
        label="; ".join(sorted({one.label for one in received if one.accepted and one.label})),
        quarantine=[
            one | {"releasable": releasable[one["finding_id"]]} for one in _quarantine(found, manifest["files"])
        ],
        conformance=conformance.read(folder),
    )


def _reported(row: Mapping[str, Any], changed: Mapping[str, str]) -> dict[str, Any]:
    change = {"opened": "new", "reopened": "reopened"}.get(changed.get(row["finding_id"], ""), "open")
    return dict(row) | {"cause": row["likely_cause"], "who": row["who_acts"], "change": change}
