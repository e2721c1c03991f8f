"""The machine: Airflow up and down, the address of the database, doctor, and the tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from transforms.commands.frame import (
    ROOT,
    AsJson,
    app,
    out_console,
    print_json,
    progress,
)
from transforms.errors import CairnError, UsageError
from transforms.home import default_home

ROLES = ("reader", "writer", "owner")


@app.command()
def up(as_json: AsJson = False) -> None:
    """Start PostgreSQL and Airflow with its UI, watching landing/."""
    from transforms import airflow_services

    progress("Starting PostgreSQL and Airflow; this takes some seconds")
    _show_status(airflow_services.up(default_home()), as_json)


@app.command()
def down(as_json: AsJson = False) -> None:
    """Stop Airflow and the embedded PostgreSQL; no process is left."""
    from transforms import airflow_services

    stopped = airflow_services.down(default_home())
    if as_json:
        print_json({"stopped": stopped})
        return
    out_console().print(f"stopped ({len(stopped)} process(es) of Airflow)")


@app.command()
def status(as_json: AsJson = False) -> None:
    """Say what runs."""
    from transforms import airflow_services

    _show_status(airflow_services.status(default_home()), as_json)


def _show_status(here: Any, as_json: bool) -> None:
    from transforms import airflow_services

    if as_json:
        print_json(here.__dict__)
        return
    out = out_console()
    for service in airflow_services.SERVICES:
        pid = here.running.get(service)
        out.print(f"{service:14s} {'process ' + str(pid) if pid else 'not running'}", markup=False)
    out.print(f"{'postgresql':14s} {'running' if here.postgres else 'not running'}")
    if here.url:
        out.print(f"\n{here.url}   user {airflow_services.USER}, password in {here.password_file}", markup=False)
        out.print(f"Drop extracts into {default_home() / 'landing'}/STUDY")


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
        ["lint-imports", "--no-cache"],
    ]
    commands = [] if quick else [[str(scripts / name), *rest] for name, *rest in checks]
    # Everything on all cores, a file of tests on one, in the order of tests/conftest.py; what is chosen runs as it is.
    spread = ["--numprocesses", "auto", "--dist", "loadfile", "--no-loadscope-reorder"]
    commands.append([sys.executable, "-m", "pytest", *(arguments or spread)])
    failed = []
    # mypy takes one core for half a minute, so it runs beside the others and speaks after them.
    beside = None if quick else subprocess.Popen([str(scripts / "mypy")], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    for command in commands:
        name = Path(command[0]).name if command[0] != sys.executable else "pytest"
        progress(f"Running {name}")
        if subprocess.run(command, cwd=ROOT, check=False).returncode:
            failed.append(name)
    if beside is not None:
        sys.stdout.write(f"mypy: {beside.communicate()[0]}")
        if beside.returncode:
            failed.append("mypy")
    if failed:
        raise CairnError(f"failed: {', '.join(failed)}")


@app.command()
def url(
    role: Annotated[str, typer.Option(help="reader, writer or owner.")] = "reader",
    as_json: AsJson = False,
) -> None:
    """Start the embedded PostgreSQL where needed, leave it running and print its libpq URL."""
    from transforms.warehouse.postgres import connect_url

    if role not in ROLES:
        raise UsageError(f"no role {role!r}. One of: {', '.join(ROLES)}")
    address = connect_url(default_home(), role)
    if as_json:
        print_json({"url": address})
        return
    sys.stdout.write(address + "\n")


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Say whether this machine can run Cairn, and what to do where it cannot."""
    from transforms import doctor as machine

    found = list(machine.checks(ROOT, default_home()))
    if as_json:
        print_json([one.__dict__ for one in found])
    else:
        for one in found:
            out_console().print(f"{'well  ' if one.well else 'NOT   '} {one.name}: {one.seen}", markup=False)
            if not one.well:
                out_console().print(f"       {one.remedy}", markup=False)
    if not all(one.well for one in found):
        raise typer.Exit(1)
