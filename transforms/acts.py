"""What people decide: release, answer, waive, decide, lock, unlock. Each goes to the decision log or is refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow.parquet as pq

from transforms import operations
from transforms.core import dates
from transforms.errors import UsageError
from transforms.findings import Severity
from transforms.pipeline import Home
from transforms.study import Study
from transforms.study.gate import GATE
from transforms.warehouse.decisions import Decision, locked
from transforms.warehouse.ledger import ANSWERED, WAIVED

SETTLED = frozenset({ANSWERED, WAIVED})


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


def decide_gate(
    where: Home,
    study: Study,
    *,
    cohort: str,
    outcome: str,
    decided_on: str,
    by: str,
    reason: str,
    subject: str | None = None,
    snapshot_id: str | None = None,
) -> Decision:
    """Record a decision about a dose cohort, or about the repeat dose of one of its subjects.

    It is bound to the snapshot it was based on (else the current one), with the counts of that snapshot. `subject`
    is a USUBJID or a subject number. A decision that halts is taken at any time; any other one is refused while the
    cohort, or the subject, is not ready. Raises UsageError, saying what is missing.
    """
    gate = study.gate
    if gate is None:
        raise UsageError(f"{study.name} has no gate between dose cohorts. Write {GATE}; docs/dsmb.md shows how")
    if cohort not in gate.arms:
        raise UsageError(f"{study.name} has no dose cohort {cohort!r}. One of: {', '.join(gate.arms)}")
    scope = "cohort" if subject is None else "subject"
    if outcome not in gate.allowed(scope):
        raise UsageError(f"{outcome!r} is no outcome for a {scope}. One of: {', '.join(gate.allowed(scope))}")
    if len(decided_on) != 10 or not dates.is_iso(decided_on):
        raise UsageError(f"--date {decided_on!r} is no date. Write YYYY-MM-DD")
    if snapshot_id is not None and not where.snapshots.exists(snapshot_id):
        raise UsageError(f"{where.study} has no snapshot {snapshot_id}. See ./cairn snapshots {where.study}")
    based_on = snapshot_id or _current(where)
    cut_off = where.snapshots.manifest(based_on)["cut_off"]
    if decided_on < cut_off:
        raise UsageError(
            f"the decision is dated {decided_on}, before the cut-off {cut_off} of the snapshot {based_on} it is based "
            "on. Correct the date, or name the snapshot with --snapshot"
        )
    row = {one["cohort"]: one for one in gate_rows(where, based_on, "gate")}[cohort]
    target = {"scope": scope, "cohort": cohort, "subject": None}
    counts = {"n_observed": row["n_observed"], "n_dlt": row["n_dlt"]}
    waits_for, since = row["waits_for"], row["ready_since"]
    if subject is not None:
        member = _member(where, study, based_on, cohort, subject)
        over = member["observed"] == "Y"
        since = member["observed_until"] if over else None
        waits_for = None if over else f"the end of observation ({member['observation']})"
        target["subject"] = member["usubjid"]
        counts = {"n_observed": int(over), "n_dlt": int(member["dlt"] == "Y")}
    what = cohort if subject is None else f"{target['subject']} of {cohort}"
    if outcome not in gate.outcomes.halt:
        if waits_for:
            raise UsageError(
                f"{what} is not ready at the cut-off {cut_off} of snapshot {based_on}; it waits for: {waits_for}. "
                f"Only {' or '.join(gate.outcomes.halt) or 'nothing'} may be decided before"
            )
        if since is not None and decided_on <= since.isoformat():
            raise UsageError(f"{what} became ready on {since.isoformat()}; a decision on it is dated after that day")
    target |= {"question": f"dose cohort {what}", "outcome": outcome, "decided_on": decided_on}
    target |= {"snapshot_id": based_on, "cut_off": cut_off}
    return where.decisions.append("decide", target | counts, by=by, reason=reason)


def gate_rows(where: Home, snapshot_id: str, name: str) -> list[dict[str, Any]]:
    """The rows of a table of the gate (gate, gate_subjects, gate_decisions) of a snapshot."""
    path = where.snapshots.path(snapshot_id) / "results" / f"{name}.parquet"
    if not path.is_file():
        raise UsageError(
            f"snapshot {snapshot_id} has no gate: it was built without {GATE}. Run ./cairn run {where.study}"
        )
    return list(pq.read_table(path).to_pylist())


def _member(where: Home, study: Study, snapshot_id: str, cohort: str, subject: str) -> dict[str, Any]:
    """The row of a subject of a cohort, given by USUBJID or by number."""
    written = study.file.usubjid.format(studyid=study.file.studyid, subject=subject)
    for row in gate_rows(where, snapshot_id, "gate_subjects"):
        if row["usubjid"] in {subject, written} and row["cohort"] == cohort:
            return row
    raise UsageError(f"{cohort} has no subject {subject} in snapshot {snapshot_id}. See ./cairn dsmb {where.study}")


def lock(where: Home, snapshot_id: str, *, by: str, reason: str) -> Decision:
    """Lock a snapshot: while it is current nothing else is published, and it is never deleted.

    Raises UsageError while it has a critical finding that is neither answered nor waived by name. One that a later
    snapshot no longer has is in this one all the same.
    """
    if not where.snapshots.exists(snapshot_id):
        raise UsageError(f"{where.study} has no snapshot {snapshot_id}. See ./cairn snapshots {where.study}")
    if snapshot_id in locked(where.decisions.entries()):
        raise UsageError(f"snapshot {snapshot_id} is locked already")
    in_the_way = [named(one) for one in critical_findings(where, snapshot_id) if one["status"] not in SETTLED]
    if in_the_way:
        shown = ", ".join(in_the_way[:5]) + (", ..." if len(in_the_way) > 5 else "")
        raise UsageError(
            f"snapshot {snapshot_id} has {len(in_the_way)} open critical finding(s): {shown}. Have each cured, or "
            f"answer or waive it by name; see ./cairn findings {where.study} --severity critical"
        )
    return where.decisions.append("lock", {"snapshot_id": snapshot_id}, by=by, reason=reason)


def critical_findings(where: Home, snapshot_id: str) -> list[dict[str, Any]]:
    """The critical findings of a snapshot and how each stands now; cured by a later one it is still in this one."""
    its_own = set(pq.read_table(where.snapshots.path(snapshot_id) / "findings.parquet")["finding_id"].to_pylist())
    history = operations.finding_list(where.publications.entries(), where.decisions.entries(), where.snapshots.summary)
    return [one for one in history if one["finding_id"] in its_own and one["severity"] == Severity.CRITICAL]


def named(finding: Mapping[str, Any]) -> str:
    """A finding in a message: its id, rule and dataset."""
    return f"{finding['finding_id']} ({finding['rule']} of {finding['dataset']})"


def unlock(where: Home, snapshot_id: str, *, by: str, reason: str) -> Decision:
    """Unlock a locked snapshot."""
    if snapshot_id not in locked(where.decisions.entries()):
        raise UsageError(f"snapshot {snapshot_id} is not locked")
    return where.decisions.append("unlock", {"snapshot_id": snapshot_id}, by=by, reason=reason)


def _finding(where: Home, finding_id: str) -> dict[str, Any]:
    """A finding of the current snapshot; UsageError when it has none of that id."""
    current = _current(where)
    rows = pq.read_table(where.snapshots.path(current) / "findings.parquet").to_pylist()
    found = [row for row in rows if row["finding_id"] == finding_id]
    if not found:
        raise UsageError(f"the current snapshot has no finding {finding_id}. See ./cairn findings {where.study}")
    return dict(found[0])


def _current(where: Home) -> str:
    """The current snapshot; UsageError where nothing was published."""
    current = where.snapshots.current_id()
    if current is None:
        raise UsageError(f"{where.study} has no snapshot. Run ./cairn run {where.study} first")
    return current
