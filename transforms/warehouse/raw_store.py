"""The raw store: the bytes of every extract ever taken, by sha256, read-only, and the log of deliveries.

raw/<study>/objects/<sha256>      the bytes, never changed
raw/<study>/deliveries.jsonl      one line per file received, accepted or refused, append-only
raw/<study>/subjects/             the subject of each row of a file, so that an old file need not be read again; may be
                                  deleted, and is then made anew
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa

from transforms.errors import FileRefusedError
from transforms.warehouse import parquet

CHUNK = 1 << 22


@dataclass(frozen=True)
class Received:
    """One file of one delivery as the log keeps it.

    `rule` and `problem` say why it was refused; `label` is what the manifest says of the whole delivery.
    `archive` is the sha256 of the .zip it came in. A file that feeds several sources has one entry for each.
    """

    number: int
    delivery: str
    source: str
    file: str
    sha256: str
    size: int
    rows: int
    extracted_at: str | None
    accepted: bool
    rule: str = ""
    problem: str = ""
    remedy: str = ""
    label: str = ""
    archive: str = ""


class RawStore:
    """The raw store of one study."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "deliveries.jsonl"

    def received(self) -> tuple[Received, ...]:
        """All files received so far, in order; a last line cut off by a crash is not counted."""
        if not self.log.exists():
            return ()
        lines = self.log.read_text(encoding="utf-8").split("\n")[:-1]
        return tuple(Received(**json.loads(line)) for line in lines)

    def path(self, sha256: str) -> Path:
        """Where the bytes of a file are."""
        return self.folder / "objects" / sha256

    def take(self, path: Path) -> tuple[str, int]:
        """Copy a file's bytes into the store; returns sha256 and size.

        Raises FileRefusedError (file_changing) if the file changed while it was read.
        """
        objects = self.folder / "objects"
        objects.mkdir(parents=True, exist_ok=True)
        with _copying(objects):
            return self._copy(path, objects)

    def _copy(self, path: Path, objects: Path) -> tuple[str, int]:
        before = path.stat()
        partial = objects / f".partial-{os.getpid()}"
        digest, size = hashlib.sha256(), 0
        try:
            with partial.open("wb") as target:
                for chunk in _chunks(path):
                    digest.update(chunk)
                    size += len(chunk)
                    target.write(chunk)
                target.flush()
                os.fsync(target.fileno())
            after = path.stat()
            if (before.st_size, before.st_mtime_ns, before.st_ino) != (
                after.st_size,
                after.st_mtime_ns,
                after.st_ino,
            ) or size != after.st_size:
                raise FileRefusedError(
                    "file_changing",
                    path.name,
                    "changed while it was read",
                    "Run again when the sender has finished writing it",
                )
            final = self.path(digest.hexdigest())
            if final.exists():
                partial.unlink()
            else:
                partial.chmod(0o444)
                partial.replace(final)
        finally:
            partial.unlink(missing_ok=True)
        return digest.hexdigest(), size

    def subjects(self, sha256: str, reading: str) -> pa.Table | None:
        """The columns `subject` and `line` of a file's rows, if they were kept for this way of reading it."""
        path = self._subjects_path(sha256, reading)
        return parquet.read_encoded(path) if path.is_file() else None

    def keep_subjects(self, sha256: str, reading: str, subjects: pa.Table) -> None:
        """Keep the columns `subject` and `line` of a file's rows."""
        path = self._subjects_path(sha256, reading)
        if path.is_file():
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            parquet.write(subjects, partial)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)

    def _subjects_path(self, sha256: str, reading: str) -> Path:
        return self.folder / "subjects" / f"{sha256}-{reading}.parquet"

    def record(self, entries: tuple[Received, ...]) -> None:
        """Append to the log of deliveries; complete lines only, flushed to disk."""
        if not entries:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.log.exists():
            content = self.log.read_bytes()
            if content and not content.endswith(b"\n"):
                with self.log.open("r+b") as stream:
                    stream.truncate(content.rfind(b"\n") + 1)
        with self.log.open("a", encoding="utf-8") as stream:
            for entry in entries:
                stream.write(json.dumps(asdict(entry), ensure_ascii=False, sort_keys=True) + "\n")
            stream.flush()
            os.fsync(stream.fileno())


@contextmanager
def _copying(objects: Path) -> Iterator[None]:
    """Copy beside others who copy; whoever is alone first removes what a killed process left half copied."""
    with (objects / ".copying").open("w") as stream:
        with suppress(BlockingIOError):
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for left in objects.glob(".partial-*"):
                left.unlink()
        fcntl.flock(stream, fcntl.LOCK_SH)
        yield


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            yield chunk
