"""The command line: ./cairn COMMAND. Each command is a thin call of a function that can be tested without it."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console

from transforms.errors import CairnError, MachineError, NothingPublishedError, UsageError

ROLES = ("reader", "writer", "owner")
ROOT = Path(__file__).resolve().parents[1]
DEMO_STUDY = "ucmsc_dac"
SEVERITIES = ("critical", "answer", "information")
STATUSES = ("current", "open", "answered", "waived", "closed", "all")

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="From the extracts a hospital and an EDC send to the package a regulator receives.",
)
spec_app = typer.Typer(no_args_is_help=True, help="A study's specification.")
app.add_typer(spec_app, name="spec")
dags_app = typer.Typer(no_args_is_help=True, help="The Airflow DAGs.")
app.add_typer(dags_app, name="dags")
faults_app = typer.Typer(no_args_is_help=True, help="Faults planted in extracts, to see what is found.")
app.add_typer(faults_app, name="faults")

StudyName = Annotated[str, typer.Argument(metavar="STUDY", help="A folder under cdisc_mappings/, or a path to one.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Placement = Annotated[str | None, typer.Option("--placement", help="Where instruments go, e.g. cdisc or qs_literal.")]


def _out() -> Console:
    return Console(highlight=False, soft_wrap=True)


def _progress(message: str) -> None:
    if sys.stderr.isatty():
        Console(stderr=True, highlight=False).print(f"[dim]{message}[/dim]")


def _print_json(content: Any) -> None:
    sys.stdout.write(json.dumps(content, ensure_ascii=False, indent=2) + "\n")


@app.command()
def run(
    study: StudyName,
    landing: Annotated[Path | None, typer.Option(help="Folder with the extracts.")] = None,
    as_of: Annotated[str | None, typer.Option("--as-of", help="Cut-off, YYYY-MM-DD.")] = None,
    placement: Placement = None,
    as_json: AsJson = False,
) -> None:
    """Take what lies in landing, map it and publish a snapshot."""
    from transforms import pipeline
    from transforms.study import Study

    _progress(f"Reading the specification of {study}")
    loaded = Study.load(study, placement=placement)
    home = pipeline.default_home()
    with _database(home) as database, _recorded(database, loaded.name) as record:
        _progress("Ingesting, staging, checking, mapping, deriving and publishing")
        report = pipeline.run(loaded, landing=landing, as_of=as_of, home=home, database=database, run_id=record.run_id)
        record.snapshot_id = report.snapshot_id
    if as_json:
        _print_json(
            {
                "study": report.study,
                "snapshot_id": report.snapshot_id,
                "path": str(report.path),
                "published": report.published,
                "cut_off": report.cut_off,
                "datasets": dict(report.rows),
                "findings": dict(report.findings),
                "refused": [one.__dict__ for one in report.refused],
                "report": str(report.page) if report.page else None,
            }
        )
        return
    _show_report(report)


@contextmanager
def _database(home: Path) -> Iterator[Any]:
    """The database, open; an embedded server that was not running before is stopped again."""
    from transforms.warehouse.postgres import Database

    with Database.open(home) as database:
        yield database


@dataclass
class _Record:
    run_id: str
    snapshot_id: str | None = None


@contextmanager
def _recorded(database: Any, study: str) -> Iterator[_Record]:
    """One row of ops.run: when it began, how it ended; what is said of an error is its own readable message."""
    from datetime import UTC, datetime

    record = _Record(f"cli-{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{os.getpid()}")
    database.record_run(study, record.run_id)
    try:
        yield record
    except CairnError as error:
        database.finish_run(study, record.run_id, "refused", None, str(error))
        raise
    except Exception as error:
        database.finish_run(study, record.run_id, "failed", None, type(error).__name__)
        raise
    database.finish_run(study, record.run_id, "published", record.snapshot_id, "")


def _show_report(report: Any) -> None:
    out = _out()
    state = "published" if report.published else "unchanged, already current"
    out.print(f"[bold]{report.study}[/bold] snapshot {report.snapshot_id} ({state}), cut-off {report.cut_off}")
    out.print("  " + "  ".join(f"{name} {rows:,}" for name, rows in report.rows.items()))
    counts = ", ".join(f"{count} {name}" for name, count in report.findings.items())
    out.print(f"  findings: {counts}   (./cairn findings {report.study})")
    for one in report.refused:
        out.print(f"  [bold red]refused[/bold red] {one.file}: {one.rule}: {one.problem}. {one.remedy}")
    out.print(f"  {report.path}")
    if report.page:
        out.print(f"  delivery report: {report.page}")


@app.command()
def demo(as_json: AsJson = False) -> None:
    """Generate the reference study's extracts, run the real DAGs on them, and say where to look."""
    from transforms import pipeline

    home = pipeline.Home(pipeline.default_home(), DEMO_STUDY)
    if not (home.landing / "manifest.json").is_file():
        _progress("Generating synthetic extracts")
        folder = home.folder / "synthetic" / DEMO_STUDY
        _synthetic("--out", str(folder))
        home.landing.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(folder / "landing", home.landing, dirs_exist_ok=True)
    result = _through_dags(DEMO_STUDY, [])
    if as_json:
        _print_json(result)
        return
    out = _out()
    out.print(f"Extracts of {DEMO_STUDY} (SYNTHETIC - NOT PATIENT DATA) are in {home.landing}")
    _show_published(home, result)
    example = "UCMSC-DAC-01-01-1001"
    out.print("\nLook at:")
    out.print(f"  {home.snapshots.current}/sdtm/*.parquet and adam/*.parquet")
    out.print(f'  psql "$(./cairn url)"   then: table {DEMO_STUDY}_adam.adsl')
    out.print(f"  ./cairn findings {DEMO_STUDY}")
    out.print(f"  ./cairn trace {DEMO_STUDY} EX USUBJID={example} EXSEQ=1 --variable EXDOSE")
    out.print("  ./cairn up   for Airflow with its UI")


def _synthetic(*arguments: str) -> str:
    """What the generator of synthetic extracts says; it is a program of its own, which nothing here imports.

    Raises UsageError with its own words where it refuses what it was given.
    """
    command = [sys.executable, "-P", "-m", "synthetic", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, check=False, env=environment, capture_output=True, text=True)
    if done.returncode == 2:
        raise UsageError(done.stderr.partition("error: ")[2].strip() or done.stderr.strip())
    if done.returncode:
        raise CairnError(f"the generator of synthetic extracts failed:\n{done.stderr.strip()}")
    return done.stdout


@faults_app.command("apply")
def faults_apply(
    faults: Annotated[str, typer.Option("--faults", help="A list of faults (YAML), or one that comes along: messy.")],
    landing: Annotated[Path, typer.Option(help="Folder with the extracts; it is changed in place.")],
    cut: Annotated[str | None, typer.Option(help="Plant as of this extract; every fault otherwise.")] = None,
    expected: Annotated[Path | None, typer.Option(help="Write the findings that follow to this CSV.")] = None,
    as_json: AsJson = False,
) -> None:
    """Plant faults written as data in a folder of extracts."""
    options = [
        *(["--cut", cut] if cut else []),
        *(["--expected", str(expected)] if expected else []),
    ]
    said = _synthetic("faults", "apply", "--faults", faults, "--landing", str(landing), *options).strip()
    if as_json:
        _print_json({"landing": str(landing), "expected": str(expected) if expected else None, "said": said})
        return
    _out().print(said, markup=False)


@dags_app.command("run")
def dags_run(
    study: StudyName,
    landing: Annotated[Path | None, typer.Option(help="Folder with the extracts.")] = None,
    as_of: Annotated[str | None, typer.Option("--as-of", help="Cut-off, YYYY-MM-DD.")] = None,
    placement: Placement = None,
    as_json: AsJson = False,
) -> None:
    """The same as `run`, through the Airflow DAGs and without a scheduler."""
    from transforms import pipeline
    from transforms.study.load import find_folder

    options = [
        *(["--landing", str(landing.resolve())] if landing else []),
        *(["--as-of", as_of] if as_of else []),
        *(["--placement", placement] if placement else []),
    ]
    result = _through_dags(study, options)
    if as_json:
        _print_json(result)
        return
    _show_published(pipeline.Home(pipeline.default_home(), find_folder(study).name), result)


def _through_dags(study: str, options: list[str]) -> dict[str, Any]:
    """Run the DAGs of a study; CairnError with what the tasks said where nothing was published."""
    from transforms import airflow_services, pipeline
    from transforms.study.load import MAPPINGS, find_folder

    folder = find_folder(study)
    name = folder.name if folder.parent == MAPPINGS else str(folder)
    home = pipeline.default_home()
    _progress("Running the DAGs ingest, sdtm, adam and publish")
    with _database(home):
        result = airflow_services.run_dags(home, name, options)
    if "snapshot_id" not in result:
        kind = {2: UsageError, 3: NothingPublishedError}.get(result["exit_code"], CairnError)
        raise kind("\n".join(result["errors"]))
    return result


def _show_published(home: Any, result: dict[str, Any]) -> None:
    out = _out()
    manifest = home.snapshots.manifest(result["snapshot_id"])
    out.print(f"[bold]{home.study}[/bold] snapshot {result['snapshot_id']} (published), cut-off {manifest['cut_off']}")
    out.print("  " + "  ".join(f"{name} {rows:,}" for name, rows in manifest["datasets"].items()))
    counts = ", ".join(f"{count} {name}" for name, count in manifest["findings"].items())
    out.print(f"  findings: {counts}   (./cairn findings {home.study})")
    for one in result["errors"]:
        out.print(f"  [bold red]refused[/bold red] {one}")
    out.print(f"  delivery report: {result['report']}")


@app.command()
def up(as_json: AsJson = False) -> None:
    """Start PostgreSQL and Airflow with its UI, watching landing/."""
    from transforms import airflow_services, pipeline

    _progress("Starting PostgreSQL and Airflow; this takes some seconds")
    _show_status(airflow_services.up(pipeline.default_home()), as_json)


@app.command()
def down(as_json: AsJson = False) -> None:
    """Stop Airflow and the embedded PostgreSQL; no process is left."""
    from transforms import airflow_services, pipeline

    stopped = airflow_services.down(pipeline.default_home())
    if as_json:
        _print_json({"stopped": stopped})
        return
    _out().print(f"stopped ({len(stopped)} process(es) of Airflow)")


@app.command()
def status(as_json: AsJson = False) -> None:
    """Say what runs."""
    from transforms import airflow_services, pipeline

    _show_status(airflow_services.status(pipeline.default_home()), as_json)


def _show_status(here: Any, as_json: bool) -> None:
    from transforms import airflow_services, pipeline

    if as_json:
        _print_json(here.__dict__)
        return
    out = _out()
    for service in airflow_services.SERVICES:
        pid = here.running.get(service)
        out.print(f"{service:14s} {'process ' + str(pid) if pid else 'not running'}", markup=False)
    out.print(f"{'postgresql':14s} {'running' if here.postgres else 'not running'}")
    if here.url:
        out.print(f"\n{here.url}   user {airflow_services.USER}, password in {here.password_file}", markup=False)
        out.print(f"Drop extracts into {pipeline.default_home() / 'landing'}/STUDY")


@app.command()
def test(
    quick: Annotated[bool, typer.Option("--quick", help="Only pytest.")] = False,
    arguments: Annotated[list[str] | None, typer.Argument(help="Passed on to pytest.")] = None,
) -> None:
    """Run ruff, mypy, the import contracts and pytest."""
    scripts = Path(sys.executable).parent
    checks = [
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["mypy"],
        ["lint-imports", "--no-cache"],
    ]
    commands = [] if quick else [[str(scripts / name), *rest] for name, *rest in checks]
    # Everything on all cores, a file of tests on one; what is chosen runs as it is chosen.
    spread = ["--numprocesses", "auto", "--dist", "loadfile"]
    commands.append([sys.executable, "-m", "pytest", *(arguments or spread)])
    failed = []
    for command in commands:
        name = Path(command[0]).name if command[0] != sys.executable else "pytest"
        _progress(f"Running {name}")
        if subprocess.run(command, cwd=ROOT, check=False).returncode:
            failed.append(name)
    if failed:
        raise CairnError(f"failed: {', '.join(failed)}")


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
    home, _ = _current(study)
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
        listing.write_excel(rows, excel)
    refused = [one for one in home.raw.received() if not one.accepted]
    if as_json:
        _print_json({"findings": rows, "refused": [one.__dict__ for one in refused]})
        return
    out = _out()
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

    _, snapshot = _current(study)
    listed = report.read(snapshot)
    if as_json:
        _print_json(listed)
        return
    for line in report.lines(listed):
        _out().print(line, markup=False)


By = Annotated[str, typer.Option("--by", help="Who decides: the person's name.")]
Reason = Annotated[str, typer.Option("--reason", help="Why.")]
FindingId = Annotated[str, typer.Argument(help="As ./cairn findings shows it.")]


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
    home, current = _current(study)
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
        _print_json(json.loads(json.dumps(content, default=str)))
        return
    _show_gate(rows, members, home.snapshots.manifest(based_on))
    for one in written:
        mark = "PREVIEW of a safety package" if one.preview else "safety package"
        _out().print(f"{mark} of {one.cohort}: {one.path}", markup=False)


def _show_gate(rows: list[dict[str, Any]], members: list[dict[str, Any]], manifest: dict[str, Any]) -> None:
    out = _out()
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
def tables(
    study: StudyName,
    outputs: Annotated[
        list[str] | None, typer.Argument(metavar="[OUTPUT]...", help="For example T14.3.1; else all.")
    ] = None,
    snapshot: Annotated[str | None, typer.Option(help="Of this snapshot; else the current.")] = None,
    output: Annotated[Path | None, typer.Option("--output", help="Into this folder.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write tables, listings and figures as HTML, RTF, SVG and PNG."""
    from transforms import pages
    from transforms.study import Study

    loaded = Study.load(study)
    home, _ = _current(study)
    _progress("Writing tables, listings and figures")
    written = pages.write_pages(home, loaded, snapshot_id=snapshot, folder=output, only=outputs or ())
    if as_json:
        _print_json(written.__dict__ | {"path": str(written.path)})
    else:
        _out().print(
            f"{len(written.outputs) - len(written.not_drawn)} outputs of snapshot {written.snapshot_id}: "
            f"{written.path / pages.INDEX}",
            markup=False,
        )
    if written.not_drawn:
        lines = "\n".join(f"  - {name}: {why}" for name, why in written.not_drawn)
        raise UsageError(f"{len(written.not_drawn)} figures were not drawn:\n{lines}")


@app.command()
def lock(
    study: StudyName,
    snapshot_id: Annotated[str, typer.Argument(help="As ./cairn snapshots shows it.")],
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
    snapshot_id: Annotated[str, typer.Argument(help="As ./cairn snapshots shows it.")],
    by: By,
    reason: Reason,
    as_json: AsJson = False,
) -> None:
    """Unlock a locked snapshot."""
    from transforms import acts

    _decided(study, lambda home: acts.unlock(home, snapshot_id, by=by, reason=reason), as_json, publishes=False)


def _decided(study: str, act: Callable[[Any], Any], as_json: bool, publishes: bool = True) -> None:
    home, _ = _current(study)
    decision = act(home)
    told = publishes and _tell_airflow(home, decision.number)
    if as_json:
        _print_json(decision.__dict__ | {"announced": told})
        return
    out = _out()
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


@app.command()
def trace(
    study: StudyName,
    dataset: Annotated[str | None, typer.Argument(help="For example LB; not with --cell.")] = None,
    keys: Annotated[list[str] | None, typer.Argument(help="VARIABLE=VALUE, enough of them to name one record.")] = None,
    cell: Annotated[
        str | None, typer.Option(help="An output, e.g. T14.3.1: keys then name one of its results.")
    ] = None,
    variable: Annotated[str | None, typer.Option(help="One variable; all of them otherwise.")] = None,
    records: Annotated[int, typer.Option(min=0, help="With --cell: how many records are led further back.")] = 3,
    as_json: AsJson = False,
) -> None:
    """Lead a value back to its raw file and line, or to the specification row that says it.

    With --cell, lead a result of a table to the records it was computed from, and these further:
    trace STUDY --cell T14.3.1 ANALYSIS=related GROUP=TOTAL STATISTIC=n
    """
    from transforms.trace import Tracer

    _, snapshot = _current(study)
    if cell is not None:
        _trace_cell(snapshot, cell, _keys([dataset] if dataset else [], keys), variable, records, as_json)
        return
    if dataset is None or not keys:
        raise UsageError("name a dataset and keys, as in LB USUBJID=... LBSEQ=..., or an output with --cell")
    wanted = _keys(keys)
    tracer = Tracer(snapshot)
    name = dataset.upper()
    found = tracer.find(name, wanted)
    if len(found) != 1:
        hint = "Add a key" if found else "Correct a key"
        raise UsageError(f"{len(found)} records of {name} have {', '.join(keys)}. {hint}")
    table = tracer.dataset(name)
    if variable is not None and variable.upper() not in table.column_names:
        raise UsageError(f"{name} has no variable {variable}. It has: {', '.join(table.column_names)}")
    variables = (
        [variable.upper()] if variable else [one for one in table.column_names if table[one][found[0] - 1].is_valid]
    )
    steps = [tracer.trace(name, found[0], one) for one in variables]
    if as_json:
        _print_json([_step_json(step) for step in steps])
        return
    out = _out()
    for step in steps:
        _show_step(out, step)


def _keys(*several: list[str] | None) -> dict[str, str]:
    """Keys written VARIABLE=VALUE."""
    wanted = {}
    for key in (one for written in several for one in written or []):
        name, equals, value = key.partition("=")
        if not equals:
            raise UsageError(f"{key!r} is not written VARIABLE=VALUE")
        wanted[name.upper()] = value
    return wanted


def _trace_cell(
    snapshot: Path, output: str, keys: dict[str, str], variable: str | None, limit: int, as_json: bool
) -> None:
    """Show the results of an output that the keys name, their records, and where these are from."""
    from transforms.trace import Tracer, cell_origins

    origins = cell_origins(snapshot, output, keys)
    several = len({(one.row["analysis_id"], one.row["group_id"], one.row["row_order"]) for one in origins}) > 1
    tracer = Tracer(snapshot)
    shown = []
    for number, one in enumerate(origins):
        # Statistics of one cell are of the same records, which are led further back once.
        further = () if several or number else one.records[:limit]
        variables = [variable.upper()] if variable else list(one.variables)
        steps = [tracer.trace(one.dataset, record, name) for record in further for name in variables]
        shown.append((one, steps))
    if as_json:
        _print_json(
            [
                {**one.row, "records": list(one.records), "steps": [_step_json(step) for step in steps]}
                for one, steps in shown
            ]
        )
        return
    out = _out()
    for one, steps in shown:
        row = one.row
        levels = [row[f"level_{place}_label"] or row[f"level_{place}"] for place in range(1, 5)]
        place = ", ".join(part for part in (row["analysis_label"], *levels, row["group_label"]) if part)
        out.print(f"{row['output_id']} {place}: {row['statistic']} = {row['text']}", markup=False, style="bold")
        out.print(
            f"  {row['method']} in {row['population']}; {row['n_records']} records of {one.dataset}", markup=False
        )
        out.print(f"  where {row['source_where']}", markup=False)
        for step in steps:
            _show_step(out, step, 1)
        left = len(one.records) - limit
        if steps and left > 0:
            out.print(f"  and {left} more records: --records {len(one.records)} shows all", markup=False)
    if several:
        out.print("Several results have these keys. Add keys to lead one of them further back", markup=False)


def _step_json(step: Any) -> dict[str, Any]:
    return {
        "dataset": step.dataset,
        "record": step.record,
        "variable": step.variable,
        "value": step.value,
        "rule": step.rule,
        "specification": step.specification,
        "leaves": [leaf.__dict__ for leaf in step.leaves],
        "inputs": [_step_json(one) for one in step.inputs],
    }


def _show_step(out: Console, step: Any, depth: int = 0) -> None:
    indent = "    " * depth
    value = "" if step.value is None else f" = {step.value}"
    out.print(f"{indent}{step.dataset}.{step.variable}{value}  (record {step.record})", markup=False, style="bold")
    out.print(f"{indent}  {step.rule}" + (f"  [{step.specification}]" if step.specification else ""), markup=False)
    for leaf in step.leaves:
        line = f" line {leaf.line}" if leaf.line else ""
        columns = f", column {', '.join(leaf.columns)}" if leaf.columns else ""
        digest = f"  sha256 {leaf.sha256[:12]}" if leaf.sha256 else ""
        out.print(f"{indent}  {leaf.kind}: {leaf.file}{line}{columns}{digest}", markup=False)
    for one in step.inputs:
        _show_step(out, one, depth + 1)


@app.command()
def diff(
    study: StudyName,
    before: Annotated[str, typer.Argument(metavar="SNAPSHOT", help="An id, the beginning of one, current, previous.")],
    after: Annotated[str, typer.Argument(metavar="SNAPSHOT", help="What to compare it with.")],
    dataset: Annotated[str | None, typer.Option(help="Only this dataset.")] = None,
    subject: Annotated[str | None, typer.Option(help="Only this subject: USUBJID, or its last part.")] = None,
    source: Annotated[str | None, typer.Option(help="The rows of this source instead, by record id.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Write every difference to a CSV file.")] = None,
    as_json: AsJson = False,
) -> None:
    """Say what differs between two snapshots, by dataset, record and variable, and what caused it."""
    from transforms import differences, pipeline
    from transforms.reporting import listing

    home, _ = _current(study)
    if source is not None and (dataset is not None or subject is not None):
        raise UsageError("--source shows rows of a source; leave --dataset and --subject out")
    told = pipeline.difference(home, before, after)
    if source is not None:
        compared = differences.source_comparison(told.before, told.after, source)
        parts = [(compared.summary(), list(differences.source_rows(told.before, told.after, compared)))]
    else:
        parts = [(one.summary(), list(told.rows(one, within))) for one, within in told.select(dataset, subject)]
    if csv is not None:
        csv.write_text(
            listing.to_csv((row for _, rows in parts for row in rows), differences.ROW_COLUMNS), encoding="utf-8-sig"
        )
    if as_json:
        _print_json(
            {
                "study": home.study,
                "before": told.before.manifest["snapshot_id"],
                "after": told.after.manifest["snapshot_id"],
                "inputs": told.inputs,
                "datasets": [summary | {"causes": differences.cause_counts(rows)} for summary, rows in parts],
                "changes": [row for _, rows in parts for row in rows],
            }
        )
        return
    _show_difference(told, parts)
    if csv is not None:
        _out().print(f"{sum(len(rows) for _, rows in parts)} difference(s) written to {csv}")


SHOWN_DIFFERENCES = 20


def _show_difference(told: Any, parts: list[tuple[dict[str, Any], list[dict[str, Any]]]]) -> None:
    from transforms import differences

    out = _out()
    one, two = (side.manifest for side in (told.before, told.after))
    out.print(f"{one['snapshot_id']} (cut-off {one['cut_off']}) to {two['snapshot_id']} (cut-off {two['cut_off']})")
    for cause, what in told.inputs.items():
        more = f" and {len(what) - 8} more" if len(what) > 8 else ""
        out.print(f"  {cause}: {'; '.join(what[:8])}{more}", markup=False)
    quiet = []
    for summary, rows in parts:
        counts = {name: summary[name] for name in ("added", "removed", "changed", "renumbered") if summary[name]}
        if not rows and not counts:
            quiet.append(summary["dataset"])
            continue
        line = ", ".join(f"{count:,} {name}" for name, count in counts.items())
        out.print(f"\n[bold]{summary['dataset']}[/bold]  {line or 'as asked'}")
        for kind, causes in differences.cause_counts(rows).items():
            said = ", ".join(f"{count:,} by {cause}" for cause, count in causes.items() if cause)
            if said:
                out.print(f"  {kind}: {said}", markup=False)
        for row in rows[:SHOWN_DIFFERENCES]:
            out.print(f"    {_difference_line(row)}", markup=False)
        if len(rows) > SHOWN_DIFFERENCES:
            out.print(f"    and {len(rows) - SHOWN_DIFFERENCES:,} more; --csv FILE or --json shows them all")
    if quiet:
        out.print(f"\nNo difference: {', '.join(quiet)}")


def _difference_line(row: dict[str, Any]) -> str:
    key = " ".join(f"{name}={value}" for name, value in (row["key"] or {}).items() if value is not None)
    value = f" {row['variable']}" if row["variable"] else ""
    if row["change"] == "changed":
        value += f": {row['before']} to {row['after']}"
    places = [
        f"{row[f'file_{side}']}:{row[f'line_{side}']}" if row[f"file_{side}"] else "-" for side in ("before", "after")
    ]
    where = "" if places == ["-", "-"] else f"  [{places[0]} to {places[1]}]"
    cause = f"  {row['cause']}" if row["cause"] else ""
    return f"{row['change']} {key or row['subject'] or ''}{value}{cause}{where}"


@app.command()
def export(
    study: StudyName,
    agency: Annotated[str, typer.Option(help="fda or nmpa.")] = "fda",
    snapshot: Annotated[str | None, typer.Option(help="A locked snapshot; else the current.")] = None,
    to: Annotated[Path | None, typer.Option(help="Into this folder, with a .zip beside it.")] = None,
    dataset_json: Annotated[str | None, typer.Option(help="Dataset-JSON besides: json or ndjson.")] = None,
    preview: Annotated[bool, typer.Option("--preview", help="Also of what may not be submitted yet.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write the submission package of a locked snapshot: datasets, documents, checklist, checksums, one zip."""
    from transforms import export as submission
    from transforms import pipeline
    from transforms.study.load import find_folder
    from transforms.submission.checklist import as_json as line_of

    if dataset_json not in {None, "json", "ndjson"}:
        raise UsageError(f"no form {dataset_json!r} of Dataset-JSON. Write json or ndjson")
    folder = find_folder(study)
    home = pipeline.Home(pipeline.default_home(), folder.name)
    _progress("Looking through the datasets, writing them and reading them back")
    written = submission.export(
        home,
        folder,
        agency=agency,
        snapshot_id=snapshot,
        folder=to.resolve() if to is not None else None,
        dataset_json=dataset_json,  # type: ignore[arg-type]
        preview=preview,
    )
    if as_json:
        paths = {"folder": str(written.folder), "archive": str(written.archive)}
        _print_json(written.__dict__ | paths | {"checklist": [line_of(one) for one in written.checklist]})
        return
    out = _out()
    mark = "PREVIEW of a submission package" if written.preview else "submission package"
    out.print(f"[bold]{mark}[/bold] for {agency}: {len(written.datasets)} datasets")
    for one in written.checklist:
        out.print(f"  {one.outcome:8s} {one.id}: {one.says}{f' ({one.reason})' if one.reason else ''}", markup=False)
        for fault in one.faults:
            out.print(f"           {fault}", markup=False)
    out.print(f"  {written.folder}", markup=False)
    out.print(f"  {written.archive}  sha256 {written.sha256}", markup=False)


@app.command()
def snapshots(
    study: StudyName,
    action: Annotated[str | None, typer.Argument(metavar="[prune]", help="prune: delete old snapshots.")] = None,
    keep: Annotated[int, typer.Option(help="With prune: how many of the last published snapshots stay.")] = 5,
    as_json: AsJson = False,
) -> None:
    """List the snapshots of a study, or delete old ones.

    The current, the locked and the pinned ones stay, and so does all they were made of.
    """
    from transforms import upkeep
    from transforms.warehouse.decisions import locked

    home, _ = _current(study)
    if action not in {None, "prune"}:
        raise UsageError(f"no action {action!r}. Leave it out, or write prune")
    if action == "prune":
        with _database(home.folder) as database:
            gone = upkeep.prune(home, database, keep)
        if as_json:
            _print_json({"pruned": gone})
            return
        _out().print(f"{len(gone)} snapshot(s) deleted" + "".join(f"\n  {one}" for one in gone))
        return
    current, locks = home.snapshots.current_id(), locked(home.decisions.entries())
    listed = [
        {
            "snapshot_id": one,
            "current": one == current,
            "locked": one in locks,
            "cut_off": home.snapshots.manifest(one)["cut_off"],
        }
        for one in home.snapshots.listed()
    ]
    if as_json:
        _print_json(listed)
        return
    for one in listed:
        mark = "*" if one["current"] else " "
        _out().print(f"{mark} {one['snapshot_id']}  cut-off {one['cut_off']}{'  locked' if one['locked'] else ''}")


@app.command()
def rebuild(study: StudyName, as_json: AsJson = False) -> None:
    """Make the ledger in the database anew from raw store and logs, and load what the database lost."""
    from transforms import pipeline, upkeep
    from transforms.study import Study

    loaded = Study.load(study)
    home = pipeline.Home(pipeline.default_home(), loaded.name)
    with _database(home.folder) as database:
        upkeep.rebuild(loaded, home, database)
    publications = len(home.publications.entries())
    if as_json:
        _print_json({"study": loaded.name, "publications": publications})
        return
    _out().print(f"ops of {loaded.name} was made anew from {publications} publication(s)")


@app.command()
def url(
    role: Annotated[str, typer.Option(help="reader, writer or owner.")] = "reader",
    as_json: AsJson = False,
) -> None:
    """Start the embedded PostgreSQL where needed, leave it running and print its libpq URL."""
    from transforms import pipeline
    from transforms.warehouse.postgres import connect_url

    if role not in ROLES:
        raise UsageError(f"no role {role!r}. One of: {', '.join(ROLES)}")
    address = connect_url(pipeline.default_home(), role)
    if as_json:
        _print_json({"url": address})
        return
    sys.stdout.write(address + "\n")


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Say whether this machine can run Cairn, and what to do where it cannot."""
    from transforms import doctor as machine
    from transforms import pipeline

    found = list(machine.checks(ROOT, pipeline.default_home()))
    if as_json:
        _print_json([one.__dict__ for one in found])
    else:
        for one in found:
            _out().print(f"{'well  ' if one.well else 'NOT   '} {one.name}: {one.seen}", markup=False)
            if not one.well:
                _out().print(f"       {one.remedy}", markup=False)
    if not all(one.well for one in found):
        raise typer.Exit(1)


@spec_app.command("check")
def spec_check(study: StudyName, placement: Placement = None, as_json: AsJson = False) -> None:
    """Read a study's whole specification and report every fault at once, then those of its rules."""
    from transforms.errors import ConfigurationError
    from transforms.study import Study
    from transforms.validation.rules import rule_book

    try:
        loaded = Study.load(study, placement=placement)
        rule_book(loaded)
    except ConfigurationError as error:
        if not as_json:
            raise
        _print_json({"faults": [fault.__dict__ for fault in error.faults]})
        raise typer.Exit(error.exit_code) from error
    variables = Counter(name for name, dataset in loaded.datasets.items() for _ in dataset.variables)
    if as_json:
        _print_json({"faults": [], "datasets": dict(variables)})
        return
    _out().print(
        f"{loaded.name}: no fault. Sources {len(loaded.sources)}, datasets {len(loaded.datasets)}, "
        f"tables {len(loaded.tables)}."
    )


def _current(study: str) -> tuple[Any, Path]:
    """The study's home and the folder of its current snapshot."""
    from transforms import pipeline
    from transforms.study.load import find_folder

    home = pipeline.Home(pipeline.default_home(), find_folder(study).name)
    current = home.snapshots.current_id()
    if current is None:
        raise UsageError(f"{home.study} has no snapshot. Run ./cairn run {study} first")
    return home, home.snapshots.path(current)


def main() -> NoReturn:
    """Run the command line; a CairnError is a message and an exit code, not a stack of calls."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        try:
            app(prog_name="./cairn")
        except OSError as error:
            raise MachineError.of(error) from error
    except CairnError as error:
        Console(stderr=True, highlight=False, soft_wrap=True).print(f"cairn: {error}", markup=False)
        raise SystemExit(error.exit_code) from error
    except Exception as error:
        if os.environ.get("CAIRN_DEBUG"):
            raise
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}:{place.lineno}"
        # The message of an unexpected error may hold data, so only its kind and place are shown.
        Console(stderr=True, highlight=False, soft_wrap=True).print(
            f"cairn: a fault of Cairn itself ({type(error).__name__} at {where}). An earlier publication stands. "
            "Set CAIRN_DEBUG=1 to see the whole stack, which may show data",
            markup=False,
        )
        raise SystemExit(1) from error
    raise SystemExit(0)


if __name__ == "__main__":
    main()
