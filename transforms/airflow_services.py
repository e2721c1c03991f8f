"""Airflow as processes: its environment, the DAGs without a scheduler, and the services with the UI.

Airflow is started, never imported. Everything it writes lies in CAIRN_HOME/airflow; its secrets are random and
readable by their owner alone.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transforms.errors import CairnError
from transforms.warehouse.postgres_server import PostgresServer

ROOT = Path(__file__).resolve().parents[1]
SERVICES = ("api-server", "scheduler", "dag-processor", "triggerer")
USER = "admin"
MARK = "CAIRN_AIRFLOW_HOME"
PATIENCE = 240.0
EVERY_MINUTE = "* * * * *"


class AirflowError(CairnError):
    """Airflow could not be started, stopped or reached."""


@dataclass(frozen=True)
class Status:
    """Which services run, and where the UI is."""

    running: Mapping[str, int]
    url: str | None
    password_file: str | None
    postgres: bool


def environment(home: Path, database: str | None = None) -> dict[str, str]:
    """The environment of every Airflow process of a CAIRN_HOME; SQLite where no database is named."""
    folder = home / "airflow"
    folder.mkdir(parents=True, exist_ok=True)
    kept = _secrets(folder)
    port = kept["port"]
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW__")},
        MARK: str(folder),
        # Without this a process that sets its title overwrites its environment, and the mark with it.
        "SPT_NOENV": "1",
        "CAIRN_HOME": str(home),
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "AIRFLOW_HOME": str(folder),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "dags" / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "2",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "AIRFLOW__CORE__FERNET_KEY": kept["fernet"],
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(folder / "passwords.json"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database or f"sqlite:///{folder / 'airflow.db'}",
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": port,
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{port}",
        "AIRFLOW__API__SECRET_KEY": kept["api"],
        "AIRFLOW__API_AUTH__JWT_SECRET": kept["jwt"],
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "30",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(folder / "logs"),
        "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
        "AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK": "False",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "GX_ANALYTICS_ENABLED": "false",
        "CAIRN_INGEST_SCHEDULE": os.environ.get("CAIRN_INGEST_SCHEDULE", EVERY_MINUTE),
        "NO_PROXY": "127.0.0.1,localhost",
    }


def _secrets(folder: Path) -> dict[str, str]:
    """Keys, port and password of the services, made once."""
    path = folder / "secrets.json"
    if not path.is_file():
        import base64

        content = {
            "port": str(_free_port()),
            "fernet": base64.urlsafe_b64encode(os.urandom(32)).decode(),
            "api": secrets.token_urlsafe(32),
            "jwt": secrets.token_urlsafe(48),
        }
        _write_secret(path, content)
        _write_secret(folder / "passwords.json", {USER: secrets.token_urlsafe(16)})
    kept: dict[str, str] = json.loads(path.read_text())
    return kept


def _write_secret(path: Path, content: Mapping[str, str]) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
        json.dump(content, stream)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def run_dags(home: Path, study: str, options: Sequence[str]) -> dict[str, Any]:
    """Run the four DAGs of a study without a scheduler; what they published, with exit_code and errors.

    Raises AirflowError when Airflow itself failed; its log is named.
    """
    settings = environment(home)
    if Path(study).is_dir():
        settings["CAIRN_STUDIES"] = study
    folder = home / "airflow"
    log = folder / "run.log"
    with log.open("ab") as stream:
        if not (folder / "airflow.db").is_file():
            _migrate(settings, stream)
        done = subprocess.run(
            [sys.executable, "-m", "dags.run", study, *options],
            cwd=ROOT,
            env=settings,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stream,
            text=True,
            check=False,
        )
    lines = done.stdout.splitlines()
    if not lines:
        raise AirflowError(f"the DAGs of {study} ended without an answer (exit {done.returncode}). See {log}")
    result: dict[str, Any] = json.loads(lines[-1])
    if result["exit_code"] == 1 and not result["errors"]:
        result["errors"] = [f"a DAG of {study} failed. See {log}"]
    return result


def _migrate(settings: Mapping[str, str], log: Any) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "airflow", "db", "migrate"],
        env=dict(settings),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        check=False,
    )
    if done.returncode:
        raise AirflowError(f"Airflow could not prepare its database (exit {done.returncode}). See {log.name}")


def up(home: Path) -> Status:
    """Start PostgreSQL and Airflow's services where they do not run, and wait until the UI answers.

    Raises AirflowError when the UI does not answer in time or a service ends.
    """
    folder = home / "airflow"
    running = _running(folder)
    server = PostgresServer(home / "postgres")
    server.start()
    server.kept.touch()
    settings = environment(home, _metadata(server))
    settings["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), settings.get("PATH", "")])
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    with (folder / "logs" / "migrate.log").open("ab") as stream:
        if not running:
            _migrate(settings, stream)
    for service in SERVICES:
        if service not in running:
            with (folder / "logs" / f"{service}.log").open("ab") as stream:
                subprocess.Popen(
                    [sys.executable, "-m", "airflow", service],
                    env=settings,
                    cwd=ROOT,
                    stdin=subprocess.DEVNULL,
                    stdout=stream,
                    stderr=stream,
                    start_new_session=True,
                )
    address = settings["AIRFLOW__API__BASE_URL"]
    patience = time.monotonic() + PATIENCE
    while not _healthy(address):
        if time.monotonic() > patience:
            raise AirflowError(f"Airflow does not answer at {address}. See {folder / 'logs'}; ./cairn down stops it")
        time.sleep(1)
    return status(home)


def _metadata(server: PostgresServer) -> str:
    """The address of Airflow's own database in the embedded server, made where it is not there."""
    import psycopg

    with psycopg.connect(server.url("administrator", "postgres"), autocommit=True) as connection:
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = 'airflow'").fetchone() is None:
            connection.execute("CREATE DATABASE airflow")
    return server.url("administrator", "airflow").replace("postgresql://", "postgresql+psycopg2://", 1)


def _healthy(address: str) -> bool:
    """True when every part of Airflow says that it is well."""
    try:
        with urllib.request.urlopen(f"{address}/api/v2/monitor/health", timeout=5) as answer:  # noqa: S310
            health = json.load(answer)
    except (OSError, ValueError):
        return False
    parts = ("metadatabase", "scheduler", "dag_processor")
    return all(health.get(part, {}).get("status") == "healthy" for part in parts)


def down(home: Path) -> list[int]:
    """Stop Airflow's services and the embedded PostgreSQL; no process is left. Returns the processes stopped."""
    folder = home / "airflow"
    stopped = [pid for pid, _ in _processes(folder)]
    for number, patience in ((signal.SIGTERM, 20.0), (signal.SIGKILL, 10.0)):
        for pid, _ in _processes(folder):
            _kill(pid, number)
        until = time.monotonic() + patience
        while any(True for _ in _processes(folder)) and time.monotonic() < until:
            time.sleep(0.2)
    left = [pid for pid, _ in _processes(folder)]
    if left:
        raise AirflowError(f"processes {', '.join(map(str, left))} of {folder} do not end")
    PostgresServer(home / "postgres").stop()
    for path in folder.glob("*.pid"):
        path.unlink()
    return stopped


def status(home: Path) -> Status:
    """What runs of a CAIRN_HOME."""
    folder = home / "airflow"
    running = _running(folder)
    kept = _secrets(folder) if (folder / "secrets.json").is_file() else None
    address = f"http://127.0.0.1:{kept['port']}" if kept and "api-server" in running else None
    passwords = str(folder / "passwords.json") if kept else None
    return Status(running, address, passwords, PostgresServer(home / "postgres").running())


def _running(folder: Path) -> dict[str, int]:
    """The services that run, by name: the oldest process of each."""
    found: dict[str, int] = {}
    for pid, command in sorted(_processes(folder)):
        for service in SERVICES:
            if f"airflow {service}" in " ".join(command).replace("_", "-"):
                found.setdefault(service, pid)
    return found


def _processes(folder: Path) -> Iterator[tuple[int, list[str]]]:
    """The living processes that were started for an Airflow folder, tasks included: they carry its mark.

    This holds when a parent was killed and its children were left over, whatever a pid file says.
    """
    mark = f"{MARK}={folder}".encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            if mark not in (entry / "environ").read_bytes().split(b"\0"):
                continue
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
            command = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if state != "Z":
            yield int(entry.name), command


def _kill(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def tell_decision(home: Path, study: str, number: int) -> bool:
    """Tell Airflow that somebody decided, so that the study is run; False when Airflow is not up."""
    try:
        with _session(home) as (address, token):
            assets = _call(f"{address}/api/v2/assets?uri_pattern=cairn://{study}/decisions", token)["assets"]
            if not assets:
                return False
            _call(
                f"{address}/api/v2/assets/events",
                token,
                {"asset_id": assets[0]["id"], "extra": {"decision": number}},
            )
    except (OSError, ValueError, KeyError):
        return False
    return True


@contextmanager
def _session(home: Path) -> Iterator[tuple[str, str]]:
    """The address of the running Airflow and a token of the admin user."""
    here = status(home)
    if here.url is None or here.password_file is None:
        raise ConnectionError("Airflow is not up")
    password = json.loads(Path(here.password_file).read_text())[USER]
    token = _call(f"{here.url}/auth/token", None, {"username": USER, "password": password})["access_token"]
    yield here.url, token


def _call(address: str, token: str | None, content: Mapping[str, Any] | None = None) -> dict[str, Any]:
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    body = json.dumps(content).encode() if content is not None else None
    request = urllib.request.Request(address, data=body, headers=headers)  # noqa: S310 (127.0.0.1)
    with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
        result: dict[str, Any] = json.load(answer)
    return result
