"""From landing to the publication: run, demo, dags run, rebuild, snapshots."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated, Any

import typer

from transforms.commands.frame import (
    AsJson,
    Placement,
    StudyName,
    app,
    call_synthetic,
    current_snapshot,
    open_database,
    out_console,
    print_json,
    progress,
    recorded,
)
from transforms.errors import CairnError, NothingPublishedError, UsageError
from transforms.home import default_home

DEMO_STUDY = "ucmsc_dac"
dags_app = typer.Typer(no_args_is_help=True, help="The Airflow DAGs.")
app.add_typer(dags_app, name="dags")


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

    progress(f"Reading the specification of {study}")
    loaded = Study.load(study, placement=placement)
    home = default_home()
    with open_database(home) as database, recorded(database, loaded.name) as record:
        progress("Ingesting, staging, checking, mapping, deriving and publishing")
        report = pipeline.run(loaded, landing=landing, as_of=as_of, home=home, database=database, run_id=record.run_id)
        record.snapshot_id = report.snapshot_id
    if as_json:
        print_json(
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


def _show_report(report: Any) -> None:
    out = out_console()
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

    home = pipeline.Home(default_home(), DEMO_STUDY)
    if not (home.landing / "manifest.json").is_file():
        progress("Generating synthetic extracts")
        folder = home.folder / "synthetic" / DEMO_STUDY
        call_synthetic("--out", str(folder))
        home.landing.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(folder / "landing", home.landing, dirs_exist_ok=True)
    result = _through_dags(DEMO_STUDY, [])
    if as_json:
        print_json(result)
        return
    out = out_console()
    out.print(f"Extracts of {DEMO_STUDY} (SYNTHETIC - NOT PATIENT DATA) are in {home.landing}")
    _show_published(home, result)
    example = "UCMSC-DAC-01-01-1001"
    out.print("\nLook at:")
    out.print(f"  {home.snapshots.current}/sdtm/*.parquet and adam/*.parquet")
    out.print(f'  psql "$(./cairn url)"   then: table {DEMO_STUDY}_adam.adsl')
    out.print(f"  ./cairn findings {DEMO_STUDY}")
    out.print(f"  ./cairn trace {DEMO_STUDY} EX USUBJID={example} EXSEQ=1 --variable EXDOSE")
    out.print("  ./cairn up   for Airflow with its UI")


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
        print_json(result)
        return
    _show_published(pipeline.Home(default_home(), find_folder(study).name), result)


def _through_dags(study: str, options: list[str]) -> dict[str, Any]:
    """Run the DAGs of a study; CairnError with what the tasks said where nothing was published."""
    from transforms import airflow_services
    from transforms.study.load import MAPPINGS, find_folder

    folder = find_folder(study)
    name = folder.name if folder.parent == MAPPINGS else str(folder)
    home = default_home()
    progress("Running the DAGs ingest, sdtm, adam and publish")
    with open_database(home):
        result = airflow_services.run_dags(home, name, options)
    if "snapshot_id" not in result:
        kind = {2: UsageError, 3: NothingPublishedError}.get(result["exit_code"], CairnError)
        raise kind("\n".join(result["errors"]))
    return result


def _show_published(home: Any, result: dict[str, Any]) -> None:
    out = out_console()
    manifest = home.snapshots.manifest(result["snapshot_id"])
    out.print(f"[bold]{home.study}[/bold] snapshot {result['snapshot_id']} (published), cut-off {manifest['cut_off']}")
    out.print("  " + "  ".join(f"{name} {rows:,}" for name, rows in manifest["datasets"].items()))
    counts = ", ".join(f"{count} {name}" for name, count in manifest["findings"].items())
    out.print(f"  findings: {counts}   (./cairn findings {home.study})")
    for one in result["errors"]:
        out.print(f"  [bold red]refused[/bold red] {one}")
    out.print(f"  delivery report: {result['report']}")


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

    home, _ = current_snapshot(study)
    if action not in {None, "prune"}:
        raise UsageError(f"no action {action!r}. Leave it out, or write prune")
    if action == "prune":
        with open_database(home.folder) as database:
            gone = upkeep.prune(home, database, keep)
        if as_json:
            print_json({"pruned": gone})
            return
        out_console().print(f"{len(gone)} snapshot(s) deleted" + "".join(f"\n  {one}" for one in gone))
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
        print_json(listed)
        return
    for one in listed:
        mark, lock = "*" if one["current"] else " ", "  locked" if one["locked"] else ""
        out_console().print(f"{mark} {one['snapshot_id']}  cut-off {one['cut_off']}{lock}")


@app.command()
def rebuild(study: StudyName, as_json: AsJson = False) -> None:
    """Make the ledger in the database anew from raw store and logs, and load what the database lost."""
    from transforms import pipeline, upkeep
    from transforms.study import Study

    loaded = Study.load(study)
    home = pipeline.Home(default_home(), loaded.name)
    with open_database(home.folder) as database:
        upkeep.rebuild(loaded, home, database)
    publications = len(home.publications.entries())
    if as_json:
        print_json({"study": loaded.name, "publications": publications})
        return
    out_console().print(f"ops of {loaded.name} was made anew from {publications} publication(s)")
