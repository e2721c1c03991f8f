"""Whether this machine can run Cairn: each check says what it saw, and what to do where it failed."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from transforms.errors import CairnError

ENOUGH = 2 << 30
PACKAGES = ("apache-airflow", "great-expectations", "pandas", "pyarrow", "psycopg", "sqlalchemy")


@dataclass(frozen=True)
class Check:
    """One check: what was looked at, whether it is well, what was seen, what to do if not."""

    name: str
    well: bool
    seen: str
    remedy: str = ""


def checks(root: Path, home: Path) -> Iterator[Check]:
    """All checks of this machine, for a checkout and a CAIRN_HOME."""
    version = platform.python_version()
    fits = (3, 11) <= sys.version_info[:2] < (3, 14)
    yield Check("python", fits, version, "Install Python 3.11, 3.12 or 3.13, or set CAIRN_PYTHON to one")
    stamp, lock = Path(sys.prefix) / ".lock-sha256", root / "requirements.lock"
    same = stamp.is_file() and stamp.read_text().strip() == hashlib.sha256(lock.read_bytes()).hexdigest()
    yield Check("environment", same, sys.prefix, "Run any ./cairn command: it makes the environment anew")
    for name in PACKAGES:
        try:
            yield Check(name, True, metadata.version(name))
        except metadata.PackageNotFoundError:
            yield Check(name, False, "missing", "Delete .venv and run any ./cairn command")
    yield _folder(home)
    free = shutil.disk_usage(_existing(home)).free
    yield Check("disk", free >= ENOUGH, f"{free / (1 << 30):.1f} GiB free", "Free at least 2 GiB where CAIRN_HOME lies")
    yield _database(home)
    yield _core()


def _existing(path: Path) -> Path:
    return path if path.exists() else _existing(path.parent)


def _folder(home: Path) -> Check:
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home):
            return Check("CAIRN_HOME", True, str(home))
    except OSError as error:
        return Check("CAIRN_HOME", False, f"{home}: {error.strerror}", "Set CAIRN_HOME to a folder you may write to")


def _database(home: Path) -> Check:
    from transforms.warehouse.postgres import Database

    kind = "CAIRN_POSTGRES_URL" if os.environ.get("CAIRN_POSTGRES_URL") else "embedded"
    try:
        with Database.open(home):
            return Check("postgresql", True, kind)
    except CairnError as error:
        return Check("postgresql", False, str(error), "See docs/database.md")


def _core() -> Check:
    """CDISC CORE is optional, so only one that is named and not there is not well."""
    from transforms.validation.core_engine import CACHE, COMMAND, Core

    core = Core.configured()
    if core is None:
        return Check("CDISC CORE", True, f"not configured ({COMMAND}): its rules are not run")
    remedy = f"Correct {COMMAND} and {CACHE}, or unset {COMMAND}; docs/checks.md shows how"
    return Check("CDISC CORE", core.there, " ".join(core.command) if core.there else f"{COMMAND} is not there", remedy)
