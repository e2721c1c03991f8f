"""The approval of a submission package: a person says by name that these bytes may leave the house."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transforms import export
from transforms.errors import UsageError
from transforms.pipeline import Home
from transforms.study import Study
from transforms.submission import agencies
from transforms.submission.archive import Archive, digest_file, read_archive, sha256_of
from transforms.warehouse.decisions import Decision, approved

APPROVED = "approved"
SHORTEST = 12


@dataclass(frozen=True)
class Approval:
    """A package that was approved: the decision, and where the archive lies that may leave."""

    decision: Decision
    archive: Path


def reviewed(where: Home, study_name: str | Path, snapshot_id: str, agency: str) -> Archive:
    """The package of a snapshot for an agency, of which nothing stands against its approval.

    Raises UsageError where there is none, where its bytes are not those that were written, where the snapshot is not
    locked or has a critical finding that is neither answered nor waived by name, where the specification is another
    one, and where people decided otherwise since it was written.
    """
    agencies.agency(agency)
    if not where.snapshots.exists(snapshot_id):
        raise UsageError(f"{where.study} has no snapshot {snapshot_id}. See ./cairn snapshots {where.study}")
    manifest = where.snapshots.manifest(snapshot_id)
    study = Study.load(study_name, placement=manifest["placement"])
    facts = export.decided(where, manifest)
    against = list(export.reasons_against(study, manifest, facts))
    if against:
        raise UsageError(f"the package of snapshot {snapshot_id} cannot be approved: {'; '.join(against)}")
    folder = export.package_folder(where, snapshot_id, agency)
    found = read_archive(folder.with_name(f"{folder.name}.zip"))
    others = sorted(name for name, value in _said(facts, agency).items() if found.manifest.get(name) != value)
    if others:
        raise UsageError(
            f"{found.path} was written before other decisions: its manifest differs in {', '.join(others)}. "
            f"Export it again and read it: ./cairn export {where.study} --snapshot {snapshot_id} --agency {agency}"
        )
    return found


def _said(facts: Mapping[str, Any], agency: str) -> dict[str, Any]:
    return {**facts, "agency": agency, "preview": False, "not_ready": []}


def approve(
    where: Home, study_name: str | Path, snapshot_id: str, *, agency: str, sha256: str, by: str, reason: str
) -> Approval:
    """Record that a person approves a package, and lay a copy that nobody may write to beside the others approved.

    `sha256` names the bytes that the person read: that of the archive, or its first twelve characters or more. The same
    approval again records nothing and lays the copy where it is missing. Raises UsageError as `reviewed` does, where
    the archive has another sha256, and where somebody approved it before.
    """
    found = reviewed(where, study_name, snapshot_id, agency)
    if len(sha256) < SHORTEST or not found.sha256.startswith(sha256.lower()):
        raise UsageError(
            f"{found.path} has the sha256 {found.sha256}, not {sha256!r}. Name the package that was read, as "
            f"./cairn export printed it; its first {SHORTEST} characters are enough"
        )
    earlier = approved(where.decisions.entries()).get(found.sha256)
    if earlier is not None and (earlier.by, earlier.reason) != (by.strip(), reason.strip()):
        raise UsageError(f"{found.path.name} was approved by {earlier.by} on {earlier.recorded_at[:10]} already")
    target = {"snapshot_id": snapshot_id, "agency": agency, "sha256": found.sha256}
    decision = earlier or where.decisions.append("approve", target, by=by, reason=reason)
    place = found.path.parent / APPROVED / f"{found.path.stem}-{found.sha256[:SHORTEST]}.zip"
    if not place.is_file():
        _lay(found, place)
    return Approval(decision, place)


def _lay(found: Archive, place: Path) -> None:
    """Copy an archive to its place, whole and unchanged or not at all, with its sha256 beside it."""
    place.parent.mkdir(exist_ok=True)
    growing = place.with_name(f".{place.name}.partial")
    try:
        shutil.copyfile(found.path, growing)
        with growing.open("rb") as stream:
            os.fsync(stream.fileno())
        if sha256_of(growing) != found.sha256:
            raise UsageError(f"{found.path} changed while it was copied. Approve it again")
        growing.chmod(0o444)
        digest_file(place).write_text(f"{found.sha256}  {place.name}\n", encoding="utf-8")
        growing.replace(place)
    finally:
        growing.unlink(missing_ok=True)
