"""Findings and what people decide: findings, conformance, release, answer, waive, decide, dsmb, lock, approve."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from transforms.commands.frame import (
    AsJson,
    StudyName,
    app,
    current_snapshot,
    out_console,
    print_json,
)
from transforms.errors import UsageError

SEVERITIES = ("critical", "answer", "information")
STATUSES = ("current", "open", "answered", "waived", "closed", "all")
By = Annotated[str, typer.Option("--by", help="Who decides: the person's name.")]
Reason = Annotated[str, typer.Option("--reason", help="Why.")]
FindingId = Annotated[str, typer.Argument(help="As ./cairn findings shows it.")]
SnapshotId = Annotated[str, typer.Argument(help="As ./cairn snapshots shows it.")]


@app.command()
def findings(
    study: StudyName,
    severity: Annotated[str | None, typer.Option(help="critical, answer or information.")] = None,
    status: Annotated[
        str, typer.Option(help="open, answered, waived, closed, all, or current (not closed).")
    ] = "current",
    rule: Annotated[str | None, typer.Option(help="Only this rule.")] = None,
    dataset: Annotated[str | None, typer.Option(help="Only this source or dataset.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Write the list to a CSV file.")] = None,
    excel: Annotated[Path | None, typer.Option(help="Write the list to an Excel file.")] = None,
    as_json: AsJson = False,
) -> None:
    """List findings with their status, and deliveries that were refused."""
    from transforms import operations
    from transforms.reporting import listing

    for name, value, known in (("severity", severity, SEVERITIES), ("status", status, STATUSES)):
        if value is not None and value not in known:
            raise UsageError(f"no {name} {value!r}. One of: {', '.join(known)}")
    home, current = current_snapshot(study)
    rows = operations.finding_list(home.publications.entries(), home.decisions.entries(), home.snapshots.summary)
    rows = [
        row
        for row in rows
        if (severity is None or row["severity"] == severity)
        and (status == "all" or row["status"] == status or (status == "current" and row["status"] != "closed"))
        and (rule is None or row["rule"] == rule)
        and (dataset is None or row["dataset"].lower() == dataset.lower())
    ]
    if csv is not None:
        csv.write_text(listing.to_csv(rows), encoding="utf-8-sig")
    if excel is not None:
        cut_off = datetime.fromisoformat(home.snapshots.manifest(current.name)["cut_off"])
        excel.write_bytes(listing.to_excel(rows, cut_off))
    refused = [one for one in home.raw.received() if not one.accepted]
    if as_json:
        print_json({"findings": rows, "refused": [one.__dict__ for one in refused]})
        return
    out = out_console()
    for row in rows:
        where = ".".join(part for part in (row["dataset"], row["variable"]) if part)
        state = row["status"] + (f" since {row['opened']}" if row["status"] == "open" else "")
        out.print(
            f"[bold]{row['severity']}[/bold]  {row['rule']}  {where}  {row['n_records']} line(s)  "
            f"{row['finding_id']}  {state}"
        )
        out.print(f"    {row['message']}. {row['remedy']}.", markup=False)
        out.print(f"    Likely: {row['likely_cause']} Acts: {row['who_acts']}.", markup=False)
        if row["places"]:
            out.print("    " + listing.place_text(row["places"], 5), markup=False)
        if row["decision"]:
            out.print(f"    {row['decision']} ({row['decided_by']})", markup=False)
    for one in refused:
        out.print(f"[bold]refused[/bold]  {one.rule}  {one.file}")
        out.print(f"    {one.problem}. {one.remedy}.", markup=False)
    if not rows and not refused:
        out.print("No findings.")
    for path in (csv, excel):
        if path is not None:
            out.print(f"{len(rows)} finding(s) written to {path}")


@app.command()
def conformance(study: StudyName, as_json: AsJson = False) -> None:
    """Say what each conformance engine found in the current snapshot, and what explains its failures."""
    from transforms.reporting import conformance as report

    _, snapshot = current_snapshot(study)
    listed = report.read(snapshot)
    if as_json:
        print_json(listed)
        return
    for line in report.lines(listed):
        out_console().print(line, markup=False)


@app.command()
def release(
    study: StudyName,
    finding_id: FindingId,
    by: By,
    reason: Reason,
    line: Annotated[list[str] | None, typer.Option(help="FILE:LINE; all lines of the finding otherwise.")] = None,
    as_json: AsJson = False,
) -> None:
    """Release rows from quarantine; the next run takes them."""
    from transforms import acts

    lines = []
    for one in line or []:
        file, colon, number = one.rpartition(":")
        if not colon or not number.isdigit():
            raise UsageError(f"--line {one!r} is not written FILE:LINE")
        lines.append((file, int(number)))
    _decided(study, lambda home: acts.release(home, finding_id, lines=lines, by=by, reason=reason), as_json)


@app.command()
def answer(study: StudyName, finding_id: FindingId, by: By, reason: Reason, as_json: AsJson = False) -> None:
    """Answer a finding; --reason is the answer."""
    from transforms import acts

    _decided(study, lambda home: acts.answer(home, finding_id, by=by, reason=reason), as_json)


@app.command()
def waive(study: StudyName, finding_id: FindingId, by: By, reason: Reason, as_json: AsJson = False) -> None:
    """Waive a finding: it is accepted as it is."""
    from transforms import acts

    _decided(study, lambda home: acts.waive(home, finding_id, by=by, reason=reason), as_json)


@app.command()
def decide(
    study: StudyName,
    by: By,
    reason: Reason,
    question: Annotated[str | None, typer.Argument(help='What is decided, for example "protocol amendment 2".')] = None,
    answer_given: Annotated[str | None, typer.Argument(metavar="[OUTCOME]", help="For example ACCEPTED.")] = None,
    cohort: Annotated[str | None, typer.Option(help="A decision about this dose cohort, for example UC05.")] = None,
    subject: Annotated[str | None, typer.Option(help="With --cohort: about this subject's repeat dose.")] = None,
    outcome: Annotated[str | None, typer.Option(help="With --cohort: for example ESCALATE, REPEAT, HOLD.")] = None,
    date: Annotated[str | None, typer.Option(help="With --cohort: the day of the decision, YYYY-MM-DD.")] = None,
    snapshot: Annotated[str | None, typer.Option(help="With --cohort: what it is based on; else the current.")] = None,
    as_json: AsJson = False,
) -> None:
    """Record a decision about the study itself, or of its DSMB about a dose cohort or a subject."""
    from transforms import acts
    from transforms.study import Study

    if cohort is None:
        if question is None or answer_given is None or subject or outcome or date or snapshot:
            raise UsageError("a decision is a QUESTION and an OUTCOME, or --cohort, --outcome and --date")
        _decided(study, lambda home: acts.decide(home, question, answer_given, by=by, reason=reason), as_json)
        return
    if question is not None or outcome is None or date is None:
        raise UsageError("a decision about a dose cohort needs --outcome and --date, and no QUESTION")
    loaded = Study.load(study)
    _decided(
        study,
        lambda home: acts.decide_gate(
            home,
            loaded,
            cohort=cohort,
            outcome=outcome,
            decided_on=date,
            by=by,
            reason=reason,
            subject=subject,
            snapshot_id=snapshot,
        ),
        as_json,
    )


@app.command()
def dsmb(
    study: StudyName,
    cohort: Annotated[str | None, typer.Option(help="Only this dose cohort, with its subjects.")] = None,
    snapshot: Annotated[str | None, typer.Option(help="Of this snapshot; else the current.")] = None,
    package: Annotated[bool, typer.Option("--package", help="Write the safety package of the cohorts ready.")] = False,
    to: Annotated[Path | None, typer.Option(help="With --package and --cohort: into this folder.")] = None,
    preview: Annotated[bool, typer.Option("--preview", help="With --package: also of a cohort not ready.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say which dose cohorts are ready for a decision, and write what the board reads."""
    from transforms import acts, safety_package
    from transforms.study import Study

    loaded = Study.load(study)
    home, current = current_snapshot(study)
    if snapshot is not None and not home.snapshots.exists(snapshot):
        raise UsageError(f"{home.study} has no snapshot {snapshot}. See ./cairn snapshots {home.study}")
    based_on = snapshot or current.name
    rows = acts.gate_rows(home, based_on, "gate")
    if cohort is not None and cohort not in {one["cohort"] for one in rows}:
        raise UsageError(f"no dose cohort {cohort!r}. One of: {', '.join(one['cohort'] for one in rows)}")
    if (to is not None or preview) and (not package or cohort is None):
        raise UsageError("--to and --preview go with --package and --cohort")
    rows = [one for one in rows if cohort in {None, one["cohort"]}]
    members = [one for one in acts.gate_rows(home, based_on, "gate_subjects") if one["cohort"] == cohort]
    written = []
    if package:
        wanted = [one["cohort"] for one in rows if cohort is not None or one["ready"] == "Y"]
        if not wanted:
            raise UsageError(f"no dose cohort is ready in snapshot {based_on}. See ./cairn dsmb {study}")
        written = [
            safety_package.write_package(home, loaded, one, snapshot_id=based_on, folder=to, preview=preview)
            for one in wanted
        ]
    if as_json:
        content = {"snapshot_id": based_on, "cut_off": home.snapshots.manifest(based_on)["cut_off"], "cohorts": rows}
        if cohort is not None:
            content["subjects"] = members
        content["packages"] = [one.__dict__ | {"path": str(one.path)} for one in written]
        print_json(json.loads(json.dumps(content, default=str)))
        return
    _show_gate(rows, members, home.snapshots.manifest(based_on))
    for one in written:
        mark = "PREVIEW of a safety package" if one.preview else "safety package"
        out_console().print(f"{mark} of {one.cohort}: {one.path}", markup=False)


def _show_gate(rows: list[dict[str, Any]], members: list[dict[str, Any]], manifest: dict[str, Any]) -> None:
    out = out_console()
    out.print(f"snapshot {manifest['snapshot_id']}, cut-off {manifest['cut_off']}", markup=False)
    for one in rows:
        state = f"ready since {one['ready_since']}" if one["ready"] == "Y" else "not ready"
        out.print(f"[bold]{one['cohort']}[/bold]  {state}")
        out.print(
            f"    dosed {one['n_dosed']} of {one['size']}, observed {one['n_observed']}, "
            f"evaluable {one['n_evaluable']}, with dose-limiting toxicity {one['n_dlt']}"
        )
        if one["waits_for"]:
            out.print(f"    waits for: {one['waits_for']}", markup=False)
        if one["decision"]:
            who = f" by {one['decided_by']}" if one["decided_by"] else ""
            out.print(f"    {one['decision']} on {one['decided_on']}{who} ({one['recorded_in']})", markup=False)
        elif one["ready"] == "Y":
            out.print("    no decision is recorded")
    for one in members:
        why = f", not evaluable: {one['not_evaluable_because']}" if one["not_evaluable_because"] else ""
        out.print(
            f"  {one['usubjid']}  first dose {one['first_dose'] or 'none'}, {one['observation']}{why}"
            + (", DLT" if one["dlt"] == "Y" else "")
            + (f", {one['decision']} on {one['decided_on']}" if one["decision"] else ""),
            markup=False,
        )


@app.command()
def lock(
    study: StudyName,
    snapshot_id: SnapshotId,
    by: By,
    reason: Reason,
    as_json: AsJson = False,
) -> None:
    """Lock a snapshot: while it is current nothing else is published, and it is never deleted."""
    from transforms import acts

    _decided(study, lambda home: acts.lock(home, snapshot_id, by=by, reason=reason), as_json, publishes=False)


@app.command()
def unlock(
    study: StudyName,
    snapshot_id: SnapshotId,
    by: By,
    reason: Reason,
    as_json: AsJson = False,
) -> None:
    """Unlock a locked snapshot."""
    from transforms import acts

    _decided(study, lambda home: acts.unlock(home, snapshot_id, by=by, reason=reason), as_json, publishes=False)


@app.command()
def approve(
    study: StudyName,
    snapshot_id: SnapshotId,
    sha256: Annotated[str, typer.Option("--sha256", help="Of the archive that was read, as export printed it.")],
    by: By,
    reason: Reason,
    agency: Annotated[str, typer.Option(help="fda or nmpa.")] = "fda",
    as_json: AsJson = False,
) -> None:
    """Approve a submission package: a copy that nobody may write to is laid where it is sent from."""
    from transforms import approval

    home, _ = current_snapshot(study)
    made = approval.approve(home, study, snapshot_id, agency=agency, sha256=sha256, by=by, reason=reason)
    if as_json:
        print_json(made.decision.__dict__ | {"archive": str(made.archive)})
        return
    said = made.decision
    out_console().print(f"approve recorded as decision {said.number} by {said.by}: {said.reason}", markup=False)
    out_console().print(f"  {made.archive}", markup=False)


def _decided(study: str, act: Callable[[Any], Any], as_json: bool, publishes: bool = True) -> None:
    home, _ = current_snapshot(study)
    decision = act(home)
    told = publishes and _tell_airflow(home, decision.number)
    if as_json:
        print_json(decision.__dict__ | {"announced": told})
        return
    out = out_console()
    out.print(
        f"{decision.act} recorded as decision {decision.number} by {decision.by}: {decision.reason}", markup=False
    )
    if told:
        out.print("Airflow was told; the next publication holds it.")
    elif publishes:
        out.print(f"The next run publishes it: ./cairn run {study}")


def _tell_airflow(home: Any, number: int) -> bool:
    from transforms import airflow_services

    return airflow_services.tell_decision(home.folder, home.study, number)
