"""The reviewer's guides and the annotated CRF of a package: what they are written from, brought together."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transforms import operations
from transforms.errors import UsageError
from transforms.pipeline import Home
from transforms.reporting import conformance
from transforms.reporting.fonts import chinese_font
from transforms.safety_package import delivery_label
from transforms.study import Study
from transforms.submission.contents import PROGRAMS, Contents
from transforms.submission.guides.facts import GuideFacts
from transforms.submission.guides.written import Guides, guides
from transforms.submission.package import Order
from transforms.warehouse.ledger import CLOSED


def documents(
    where: Home,
    study: Study,
    manifest: Mapping[str, Any],
    order: Order,
    contents: Contents,
    submitted: Path,
    programs: Mapping[str, bytes],
) -> Guides:
    """csdrg.pdf, adrg.pdf and acrf.pdf, by path below the study's folder, and the pages of the last by variable.

    `submitted` is the folder of the datasets as submitted, laid out as a snapshot. The findings are those of the
    snapshot, as they stood when it was last published and by the decisions taken since. Raises UsageError where no font
    of the machine has a character of a guide.
    """
    snapshot_id = manifest["snapshot_id"]
    found = findings(where, snapshot_id)
    facts = GuideFacts(
        study=study,
        snapshot_id=snapshot_id,
        cut_off=order.created,
        label=delivery_label(where, manifest),
        snapshot=submitted,
        agency=order.agency,
        own=order.own,
        contents=contents,
        findings=found,
        conformance=conformance.with_reasons(conformance.read(submitted), found),
        programs={path: len(content) for path, content in programs.items() if path.startswith(PROGRAMS)},
        font=chinese_font(),
    )
    return guides(facts)


def findings(where: Home, snapshot_id: str) -> list[dict[str, Any]]:
    """The findings of a snapshot as rows of `operations.finding_list`, and `decided_on`, the day of the decision."""
    publications = where.publications.entries()
    number = max((n for n, one in enumerate(publications) if one.snapshot_id == snapshot_id), default=None)
    if number is None:
        raise UsageError(f"snapshot {snapshot_id} was never published. Run ./cairn run {where.study}")
    decisions = where.decisions.entries()
    rows = operations.finding_list(publications[: number + 1], decisions, where.snapshots.summary)
    days = {
        (one.target.get("finding_id"), one.by, f"{one.act}: {one.reason}"): one.recorded_at[:10] for one in decisions
    }
    return [
        {**row, "decided_on": days.get((row["finding_id"], row["decided_by"], row["decision"]))}
        for row in rows
        if row["status"] != CLOSED
    ]
