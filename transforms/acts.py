"""What people decide: release, answer, waive, decide, lock, unlock. Each goes to the decision log or is refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow.parquet as pq

from transforms.errors import UsageError
from transforms.pipeline import Home
from transforms.warehouse.decisions import Decision, locked


def release(where: Home, finding_id: str, *, lines: Sequence[tuple[str, int]] = (), by: str, reason: str) -> Decision:
    """Release rows that a finding of the current snapshot holds: all of them, or those at some (file, line).

    The rows are taken by the next run; a value that cannot be read is left missing there.
    Raises UsageError when the finding holds nothing, or holds what nobody can release.
    """
    finding = _finding(where, finding_id)
    if not finding["held"]:
        raise UsageError(f"finding {finding_id} ({finding['rule']}) holds no row; answer or waive it instead")
    if not finding["releasable"]:
        raise UsageError(
            f"finding {finding_id}: rows held by {finding['rule']} cannot be released, since nothing could be taken "
            f"of them. {finding['remedy']}"
        )
    places = [{"file": one["file"], "sha256": one["sha256"], "lines": one["lines"]} for one in finding["places"]]
    if lines:
        places = [_chosen(one, lines) for one in places]
        chosen = {(one["file"], line) for one in places for line in one["lines"]}
        unknown = sorted(set(lines) - chosen)
        if unknown:
            shown = ", ".join(f"{file}:{line}" for file, line in unknown)
            raise UsageError(f"finding {finding_id} does not hold {shown}. See ./cairn findings {where.study}")
        places = [one for one in places if one["lines"]]
    target = {"finding_id": finding_id, "source": finding["dataset"], "rule": finding["rule"], "places": places}
    return where.decisions.append("release", target, by=by, reason=reason)


def _chosen(place: Mapping[str, Any], lines: Sequence[tuple[str, int]]) -> dict[str, Any]:
    return {**place, "lines": [line for line in place["lines"] if (place["file"], line) in set(lines)]}


def answer(where: Home, finding_id: str, *, by: str, reason: str) -> Decision:
    """Answer a finding: what the site or the laboratory said. It stays until its cause is gone."""
    return where.decisions.append("answer", _seen(where, finding_id), by=by, reason=reason)


def waive(where: Home, finding_id: str, *, by: str, reason: str) -> Decision:
    """Waive a finding: it is accepted as it is, for the reason given."""
    return where.decisions.append("waive", _seen(where, finding_id), by=by, reason=reason)


def _seen(where: Home, finding_id: str) -> dict[str, Any]:
    finding = _finding(where, finding_id)
    return {"finding_id": finding_id, "rule": finding["rule"], "n_records": finding["n_records"]}


def decide(where: Home, question: str, outcome: str, *, by: str, reason: str) -> Decision:
    """Record a decision about the study itself, for example of its DSMB about a dose group."""
    if not question.strip() or not outcome.strip():
        raise UsageError("a decision needs a question and an outcome")
    target = {"question": question.strip(), "outcome": outcome.strip()}
    return where.decisions.append("decide", target, by=by, reason=reason)


def lock(where: Home, snapshot_id: str, *, by: str, reason: str) -> Decision:
    """Lock a snapshot: while it is current nothing else is published, and it is never deleted."""
    if not where.snapshots.exists(snapshot_id):
        raise UsageError(f"{where.study} has no snapshot {snapshot_id}. See ./cairn snapshots {where.study}")
    if snapshot_id in locked(where.decisions.entries()):
        raise UsageError(f"snapshot {snapshot_id} is locked already")
    return where.decisions.append("lock", {"snapshot_id": snapshot_id}, by=by, reason=reason)


def unlock(where: Home, snapshot_id: str, *, by: str, reason: str) -> Decision:
    """Unlock a locked snapshot."""
    if snapshot_id not in locked(where.decisions.entries()):
        raise UsageError(f"snapshot {snapshot_id} is not locked")
    return where.decisions.append("unlock", {"snapshot_id": snapshot_id}, by=by, reason=reason)


def _finding(where: Home, finding_id: str) -> dict[str, Any]:
    """A finding of the current snapshot; UsageError when it has none of that id."""
    current = where.snapshots.current_id()
    if current is None:
        raise UsageError(f"{where.study} has no snapshot. Run ./cairn run {where.study} first")
    rows = pq.read_table(where.snapshots.path(current) / "findings.parquet").to_pylist()
    found = [row for row in rows if row["finding_id"] == finding_id]
    if not found:
        raise UsageError(f"the current snapshot has no finding {finding_id}. See ./cairn findings {where.study}")
    return dict(found[0])
