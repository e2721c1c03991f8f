"""The archive of a package: written with its sha256 beside it, and read again before it leaves the house."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import IO, Any

from transforms.core import zips
from transforms.errors import UsageError

MANIFEST, CHECKSUMS = "manifest.json", "checksums.sha256"
CHUNK = 1 << 20
SHOWN = 5


@dataclass(frozen=True)
class Archive:
    """An archive that is whole: the sha256 of the file, and the manifest in it."""

    path: Path
    sha256: str
    manifest: Mapping[str, Any]


def digest_file(archive: Path) -> Path:
    """The file beside an archive that holds its sha256, as `sha256sum -c` reads it."""
    return archive.with_name(f"{archive.name}.sha256")


def sha256_of(path: Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sizes_below(folder: Path) -> dict[str, int]:
    """The files below a folder with their sizes, by path, in the order of the paths."""
    paths = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: paths[name].stat().st_size for name in sorted(paths)}


def write_archive(folder: Path, target: Path, created: datetime) -> None:
    """Every file of a folder, in the order of their paths, with the same time and rights, flushed to the disk."""
    with target.open("wb") as stream:
        with zipfile.ZipFile(stream, "w") as archive:
            for name, size in sizes_below(folder).items():
                entry = zips.entry(name, created)
                entry.file_size = size
                with (folder / name).open("rb") as content, archive.open(entry, "w") as packed:
                    for chunk in _chunks(content):
                        packed.write(chunk)
        stream.flush()
        os.fsync(stream.fileno())


def read_archive(path: Path) -> Archive:
    """An archive as it lies there; every byte of it is read.

    Raises UsageError unless its sha256 is the one beside it, and it holds the files that its manifest names, with the
    sha256 they have there, and no others.
    """
    beside = digest_file(path)
    for one in (path, beside):
        if not one.is_file():
            raise UsageError(f"there is no {one}. Write the package with ./cairn export")
    digest, said = sha256_of(path), beside.read_text(encoding="utf-8").partition(" ")[0]
    if digest != said:
        raise UsageError(
            f"{path} has the sha256 {digest}, and was written with {said}: it was altered. Export it again"
        )
    try:
        with zipfile.ZipFile(path) as archive:
            manifest = json.loads(archive.read(MANIFEST))
            faults = list(_differences(archive, manifest))
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise UsageError(f"{path} is no package that can be read ({type(error).__name__}). Export it again") from error
    if faults:
        shown = "; ".join(faults[:SHOWN]) + ("; ..." if len(faults) > SHOWN else "")
        raise UsageError(f"{path} is not what its manifest says in {len(faults)} file(s): {shown}. Export it again")
    return Archive(path, digest, manifest)


def _differences(archive: zipfile.ZipFile, manifest: Mapping[str, Any]) -> Iterator[str]:
    named = {one["path"]: one for one in manifest["files"]}
    held = {one.filename: one for one in archive.infolist()}
    for name in sorted({*named, *held} - {MANIFEST, CHECKSUMS}):
        if name not in held:
            yield f"{name} is missing"
        elif name not in named:
            yield f"{name} is not named"
        elif held[name].file_size != named[name]["bytes"] or _digest(archive, name) != named[name]["sha256"]:
            yield f"{name} has other bytes"


def _digest(archive: zipfile.ZipFile, name: str) -> str:
    digest = hashlib.sha256()
    with archive.open(name) as content:
        for chunk in _chunks(content):
            digest.update(chunk)
    return digest.hexdigest()


def _chunks(stream: IO[bytes]) -> Iterator[bytes]:
    return iter(partial(stream.read, CHUNK), b"")
