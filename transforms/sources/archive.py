"""A .zip as one delivery: its members taken out with nothing in it believed."""

from __future__ import annotations

import hashlib
import re
import stat
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NoReturn

from transforms.errors import FileRefusedError

CHUNK = 1 << 20
NESTED = (".zip", ".7z", ".rar", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst")
NESTED_MAGIC = (b"PK\x03\x04", b"PK\x05\x06", b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07", b"\x1f\x8b", b"\xfd7zXZ\x00")
METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA}
UTF8_NAME = 0x800
ENCRYPTED = 0x1
DRIVE = re.compile(r"[A-Za-z]:")
JUNK_FOLDERS = {"__MACOSX"}
JUNK_STARTS = ("._", "~$")  # what a Mac and an open office document leave beside a file
JUNK_FILES = {"thumbs.db", ".ds_store", "desktop.ini"}


@dataclass(frozen=True)
class Member:
    """One file of an archive: its name as written there. `junk` is what an operating system left behind."""

    name: str
    junk: bool
    info: zipfile.ZipInfo


def is_archive(path: Path) -> bool:
    """True for a file that is taken as an archive."""
    return path.suffix.lower() == ".zip"


def is_foreign(name: str) -> bool:
    """True for the name of an archive that is not taken as one."""
    return name.lower().endswith(NESTED) and not name.lower().endswith(".zip")


def is_packed(path: Path) -> bool:
    """True for a file that begins as an archive does, whatever its name; workbooks are archives."""
    with path.open("rb") as stream:
        return stream.read(8).startswith(NESTED_MAGIC)


def members(path: Path, *, largest_bytes: int, largest_ratio: int) -> tuple[Member, ...]:
    """The files of the archive at `path`, every one of them safe to take out.

    Raises FileRefusedError: archive_damaged, archive_empty, archive_unsafe_name, archive_name_encoding,
    archive_duplicate_name, archive_symlink, archive_encrypted, archive_method, archive_nested, archive_ratio,
    archive_too_large.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError) as error:
        _damaged(path, error)
    found = []
    seen: set[str] = set()
    total = 0
    for number, info in enumerate(infos, start=1):
        # The name as written: zipfile cuts it at a NUL and writes other separators as a slash.
        name = info.orig_filename
        _check_name(path, name, number, info)
        if info.is_dir():
            continue
        if name.casefold() in seen:
            raise FileRefusedError(
                "archive_duplicate_name", path.name, f"holds {name} twice", "Ask the sender for each file once"
            )
        seen.add(name.casefold())
        _check_kind(path, name, info)
        total += info.file_size
        if info.file_size > largest_ratio * max(info.compress_size, 1):
            raise FileRefusedError(
                "archive_ratio",
                path.name,
                f"{name} would grow more than {largest_ratio} times",
                "Ask the sender whether the file is right; raise archives.largest_ratio in study.yml if it is",
            )
        if total > largest_bytes:
            raise FileRefusedError(
                "archive_too_large",
                path.name,
                f"holds more than {largest_bytes:,} bytes",
                "Ask for several archives, or raise archives.largest_bytes in study.yml",
            )
        parts = PurePosixPath(name).parts
        junk = bool(JUNK_FOLDERS & set(parts)) or parts[-1].lower() in JUNK_FILES or parts[-1].startswith(JUNK_STARTS)
        found.append(Member(name, junk, info))
    if not any(not member.junk for member in found):
        raise FileRefusedError("archive_empty", path.name, "holds no file", "Ask the sender for the extracts")
    return tuple(found)


def _check_name(path: Path, name: str, number: int, info: zipfile.ZipInfo) -> None:
    if not name.isascii() and not info.flag_bits & UTF8_NAME:
        raw = name.encode("cp437")
        readings = {encoding: raw.decode(encoding, errors="replace") for encoding in ("utf-8", "gbk")}
        seen = "; ".join(f"{text!r} in {encoding}" for encoding, text in (readings | {"cp437": name}).items())
        raise FileRefusedError(
            "archive_name_encoding",
            path.name,
            f"does not say that the name of its member {number} is UTF-8; it reads {seen}",
            "Ask the sender to write names in UTF-8, or in ASCII letters",
        )
    parts = name.rstrip("/").split("/")
    why = ""
    if name.startswith("/") or DRIVE.match(name):
        why = "is absolute"
    elif "\\" in name:
        why = "holds a backslash"
    elif ".." in parts:
        why = "leads out of the archive"
    elif any(part in {"", "."} for part in parts) or any(ord(one) < 32 for one in name):
        why = "is no plain file name"
    if why:
        raise FileRefusedError(
            "archive_unsafe_name",
            path.name,
            f"the name of its member {number} {why}",
            "Ask the sender for an archive of plain files",
        )


def _check_kind(path: Path, name: str, info: zipfile.ZipInfo) -> None:
    mode = info.external_attr >> 16
    if stat.S_IFMT(mode) not in {0, stat.S_IFREG}:
        raise FileRefusedError(
            "archive_symlink",
            path.name,
            f"{name} is a link or another special file",
            "Ask the sender for an archive of plain files",
        )
    if info.flag_bits & ENCRYPTED:
        raise FileRefusedError(
            "archive_encrypted", path.name, f"{name} is encrypted", "Decrypt the archive before it is dropped"
        )
    if info.compress_type not in METHODS:
        raise FileRefusedError(
            "archive_method",
            path.name,
            f"{name} is compressed by a method that cannot be read here (number {info.compress_type})",
            "Ask the sender for a .zip compressed by Deflate, the usual method",
        )
    if name.lower().endswith(NESTED):
        _nested(path, name)


def _nested(path: Path, name: str) -> NoReturn:
    raise FileRefusedError(
        "archive_nested", path.name, f"{name} is an archive itself", "Ask the sender for an archive of plain files"
    )


def _damaged(path: Path, error: Exception) -> NoReturn:
    raise FileRefusedError(
        "archive_damaged",
        path.name,
        f"cannot be read as a .zip, or a member is not what its checksum says ({type(error).__name__})",
        "Transfer the file again",
    ) from error


def contents(path: Path, member: Member) -> Iterator[bytes]:
    """The bytes of one member, in pieces, its checksum verified at the end.

    Raises FileRefusedError: archive_damaged, archive_nested.
    """
    try:
        with zipfile.ZipFile(path) as archive, archive.open(member.info) as stream:
            first = True
            while chunk := stream.read(CHUNK):
                if first and chunk.startswith(NESTED_MAGIC):
                    _nested(path, member.name)
                first = False
                yield chunk
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        _damaged(path, error)


def sha256_of(path: Path, member: Member) -> str:
    """The sha256 of one member."""
    digest = hashlib.sha256()
    for chunk in contents(path, member):
        digest.update(chunk)
    return digest.hexdigest()


def unpack(path: Path, member: Member, target: Path) -> None:
    """Write one member to a file."""
    with target.open("wb") as stream:
        for chunk in contents(path, member):
            stream.write(chunk)
