"""What every command shares: the application, words of the command line, output, the database of a run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from transforms.errors import CairnError, UsageError
from transforms.home import default_home

ROOT = Path(__file__).resolve().parents[2]
app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="From the extracts a hospital and an EDC send to the package a regulator receives.",
)
StudyName = Annotated[str, typer.Argument(metavar="STUDY", help="A folder under cdisc_mappings/, or a path to one.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Placement = Annotated[str | None, typer.Option("--placement", help="Where instruments go, e.g. cdisc or qs_literal.")]


def out_console() -> Console:
    """Where answers are printed."""
    return Console(highlight=False, soft_wrap=True)


def progress(message: str) -> None:
    """Say what is being done: on a terminal only."""
    if sys.stderr.isatty():
        Console(stderr=True, highlight=False).print(f"[dim]{message}[/dim]")


def print_json(content: Any) -> None:
    """Print an answer as JSON."""
    sys.stdout.write(json.dumps(content, ensure_ascii=False, indent=2) + "\n")


@contextmanager
def open_database(home: Path) -> Iterator[Any]:
    """The database, open; an embedded server that was not running before is stopped again."""
    from transforms.warehouse.postgres import Database

    with Database.open(home) as database:
        yield database


@dataclass
class Record:
    """A run as ops.run will tell it: its id, and the snapshot it published."""

    run_id: str
    snapshot_id: str | None = None


@contextmanager
def recorded(database: Any, study: str) -> Iterator[Record]:
    """One row of ops.run: when it began, how it ended; what is said of an error is its own readable message."""
    from datetime import UTC, datetime

    record = Record(f"cli-{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{os.getpid()}")
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


def call_synthetic(*arguments: str) -> str:
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


def current_snapshot(study: str) -> tuple[Any, Path]:
    """The study's home and the folder of its current snapshot."""
    from transforms import pipeline
    from transforms.study.load import find_folder

    home = pipeline.Home(default_home(), find_folder(study).name)
    current = home.snapshots.current_id()
    if current is None:
        raise UsageError(f"{home.study} has no snapshot. Run ./cairn run {study} first")
    return home, home.snapshots.path(current)
