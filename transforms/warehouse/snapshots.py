"""Snapshots: immutable folders named by what went into them, and the pointer to the current one.

warehouse/<study>/snapshots/<snapshot_id>/   manifest.json, staged/, sdtm/, findings, lineage, ...
warehouse/<study>/current                    symbolic link, replaced in one step
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transforms.errors import CairnError

MANIFEST = "manifest.json"
HASHES = "sha256"
"""The part of a manifest that has the sha256 of each file of the snapshot."""
SUMMARY = (MANIFEST, "findings.parquet", "accounts.parquet")
# Kept where the study has a gate between dose cohorts.
DECIDED = "results/gate_decisions.parquet"


class RunInProgressError(CairnError):
    """Another run of the study holds the warehouse."""

    exit_code = 1


class Snapshots:
    """The snapshots of one study."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def lock(self, run_id: str = "") -> Iterator[None]:
        """Hold the study's warehouse for one run; RunInProgressError names the run that already does."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / ".lock").open("a+", encoding="utf-8") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                stream.seek(0)
                raise RunInProgressError(
                    f"{self.folder.name}: {stream.read().strip() or 'another process'} is running this study. "
                    "Wait until it has ended and run again"
                ) from error
            stream.truncate(0)
            stream.write(f"run {run_id} (process {os.getpid()})" if run_id else f"process {os.getpid()}")
            stream.flush()
            yield

    def path(self, snapshot_id: str) -> Path:
        """The folder of a snapshot."""
        return self.folder / "snapshots" / snapshot_id

    @property
    def current(self) -> Path:
        """The pointer; readers resolve it once."""
        return self.folder / "current"

    def current_id(self) -> str | None:
        """The current snapshot's id, if anything was published."""
        return self.current.readlink().name if self.current.is_symlink() else None

    def exists(self, snapshot_id: str) -> bool:
        """True if the snapshot is complete (its manifest is written last)."""
        return (self.path(snapshot_id) / MANIFEST).is_file()

    def altered(self, snapshot_id: str) -> list[str]:
        """Files of a snapshot that are gone, are not the ones that its manifest names, or are not named there."""
        folder, written = self.path(snapshot_id), self.manifest(snapshot_id).get(HASHES)
        found = {} if written is None else hashes_below(folder)
        return sorted(name for name in {*found, *(written or ())} if found.get(name) != (written or {}).get(name))

    def whole(self, snapshot_id: str) -> bool:
        """True if the snapshot is complete and as it was made."""
        return self.exists(snapshot_id) and not self.altered(snapshot_id)

    def listed(self) -> list[str]:
        """Ids of all complete snapshots."""
        folder = self.folder / "snapshots"
        return sorted(path.name for path in folder.iterdir() if self.exists(path.name)) if folder.is_dir() else []

    def adopt(self, folder: Path, snapshot_id: str) -> None:
        """Make a finished building the snapshot: what was only for building goes, the rest becomes read-only."""
        final = self.path(snapshot_id)
        final.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(folder / "parts")
        _make_durable(folder)
        if final.exists():
            shutil.rmtree(final)
        folder.rename(final)
        _sync(final.parent)

    def summary(self, snapshot_id: str) -> Path:
        """The folder with a snapshot's manifest, findings and accounts, which stay when it is pruned."""
        kept = self.folder / "pruned" / snapshot_id
        return self.path(snapshot_id) if self.exists(snapshot_id) or not kept.is_dir() else kept

    def prune(self, snapshot_id: str) -> None:
        """Delete a snapshot's data; its manifest, findings, accounts and gate decisions are kept for the ledger."""
        kept = self.folder / "pruned" / snapshot_id
        if not kept.is_dir():
            partial = kept.with_name(f".{snapshot_id}")
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            for name in (*SUMMARY, DECIDED):
                if name != DECIDED or (self.path(snapshot_id) / name).is_file():
                    (partial / name).parent.mkdir(exist_ok=True)
                    shutil.copy2(self.path(snapshot_id) / name, partial / name)
            partial.rename(kept)
            _sync(kept.parent)
        going = self.path(snapshot_id).with_name(f".going-{snapshot_id}")
        self.path(snapshot_id).rename(going)
        shutil.rmtree(going)

    def publish(self, snapshot_id: str) -> None:
        """Point `current` to a complete snapshot, in one step."""
        fresh = self.folder / f".current-{os.getpid()}"
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(Path("snapshots") / snapshot_id)
        fresh.replace(self.current)
        _sync(self.folder)

    def manifest(self, snapshot_id: str) -> dict[str, Any]:
        """A snapshot's manifest."""
        content: dict[str, Any] = json.loads((self.path(snapshot_id) / MANIFEST).read_text(encoding="utf-8"))
        return content


def hashes_below(folder: Path) -> dict[str, str]:
    """The sha256 of every file of a snapshot but its manifest, by path; what is only for building has none."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name != MANIFEST and not name.startswith("parts/") and not path.name.startswith("."):
            with path.open("rb") as stream:
                found[name] = hashlib.file_digest(stream, "sha256").hexdigest()
    return found


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """JSON with sorted keys, so that the same content has the same bytes."""
    path.write_text(json.dumps(content, ensure_ascii=False, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def content_hash(root: Path, parts: Iterable[str], suffixes: Iterable[str]) -> str:
    """A hash of the files under `parts` of `root` with one of the suffixes, by path and content."""
    digest, wanted = hashlib.sha256(), set(suffixes)
    for part in parts:
        top = root / part
        files = [top] if top.is_file() else sorted(path for path in top.rglob("*") if path.is_file())
        for path in files:
            if path.suffix in wanted and "__pycache__" not in path.parts:
                content = hashlib.sha256(path.read_bytes()).hexdigest()
                digest.update(f"{path.relative_to(root).as_posix()}\0{content}\n".encode())
    return digest.hexdigest()


def identify(content: Mapping[str, Any]) -> str:
    """The id of what went into a snapshot."""
    written = json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(written.encode()).hexdigest()[:20]


def _make_durable(folder: Path) -> None:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            path.chmod(0o444)
            _sync(path)
    for path in sorted((one for one in folder.rglob("*") if one.is_dir()), reverse=True):
        _sync(path)
    _sync(folder)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
