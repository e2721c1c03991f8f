"""A landing folder as the fault operations see it: files as bytes or tables, and the manifest."""

from __future__ import annotations

import csv
import fnmatch
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MANIFEST = "manifest.json"
BOM = b"\xef\xbb\xbf"
SUBJECT, HOSPITAL_NUMBER = "subj", "病历号"
"""Columns of a form and of the laboratory that say whose row it is."""
VISIT = "visit"
"""Column of a form that says of which visit a page is."""


class FaultError(ValueError):
    """A fault that cannot be planted: which, where, and what to change."""


@dataclass
class DelimitedFile:
    """A delimited text file whose bytes are known to follow from its rows.

    ``quoted`` files quote where needed (RFC 4180), others never.
    """

    columns: list[str]
    rows: list[dict[str, str]]
    encoding: str
    delimiter: str
    quoted: bool
    newline: str
    bom: bool

    @classmethod
    def parse(cls, content: bytes) -> DelimitedFile | None:
        """Read UTF-8 (with or without BOM) or GB18030 text; None where the same bytes would not come out again."""
        for encoding in ("utf-8", "gb18030"):
            try:
                text = content.removeprefix(BOM).decode(encoding)
            except UnicodeDecodeError:
                continue
            newline = "\r\n" if "\r\n" in text else "\n"
            header = text.split(newline, 1)[0]
            delimiter = max("|\t,;", key=header.count)
            for quoted in (True, False):
                file = cls._read(text, encoding, delimiter, quoted, newline, content.startswith(BOM))
                if file is not None and file.content() == content:
                    return file
        return None

    @classmethod
    def _read(
        cls, text: str, encoding: str, delimiter: str, quoted: bool, newline: str, bom: bool
    ) -> DelimitedFile | None:
        if quoted:
            lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
        else:
            lines = [line.split(delimiter) for line in text.removesuffix(newline).split(newline)]
        if not lines or len(set(lines[0])) != len(lines[0]) or any(len(line) != len(lines[0]) for line in lines):
            return None
        rows = [dict(zip(lines[0], line, strict=True)) for line in lines[1:]]
        return cls(lines[0], rows, encoding, delimiter, quoted, newline, bom)

    def content(self) -> bytes:
        """The file's bytes."""
        lines = [self.columns, *([row.get(column, "") for column in self.columns] for row in self.rows)]
        if self.quoted:
            text = io.StringIO()
            csv.writer(text, delimiter=self.delimiter, lineterminator=self.newline).writerows(lines)
            body = text.getvalue()
        else:
            body = "".join(self.delimiter.join(line) + self.newline for line in lines)
        return (BOM if self.bom else b"") + body.encode(self.encoding)


@dataclass
class Landing:
    """The files of one landing folder, changed in memory until ``write``."""

    folder: Path
    manifest: dict[str, Any]
    contents: dict[str, bytes]
    tables: dict[str, DelimitedFile] = field(default_factory=dict)
    kept: set[str] = field(default_factory=set)
    """Files whose entry in the manifest stays as the sender wrote it."""
    stated: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What the manifest says instead, by file; ``""`` for the manifest itself."""
    named: list[str] = field(default_factory=list)
    """Files of the manifest, by their names now."""
    salt: str = ""
    """What settles a share of rows: the id of the fault at work."""
    row_keys: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Columns that name a row, by file as faults write it."""

    @classmethod
    def open(cls, folder: Path) -> Landing:
        """Read a folder; the manifest may be missing."""
        if not folder.is_dir():
            raise FaultError(f"{folder} is no folder. Give the landing folder of a delivery")
        contents = {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}
        manifest = json.loads(contents.pop(MANIFEST)) if MANIFEST in contents else {}
        names = [entry["name"] for entry in manifest.get("files", [])]
        return cls(folder, manifest, contents, named=names)

    def find(self, file: str) -> str:
        """Name of the file meant by a form (``AE``), ``LIS``, a name or a pattern; FaultError unless it is one."""
        hits = self.named_by(file)
        hits = [name for name in hits if name in self.named] or hits
        if not hits:
            raise FaultError(f"{file} means no file of {self.folder}. Give a form, a name or a pattern of one")
        if len(hits) > 1:
            raise FaultError(f"{file} means several files ({', '.join(hits)}). Give a name or a narrower pattern")
        return hits[0]

    def named_by(self, file: str) -> list[str]:
        """Names of all files that a form (``AE``), ``LIS``, a name or a pattern fits."""
        for pattern in (file, f"UCMSC_{file}_*", f"{file}_*"):
            hits = [name for name in self.contents if fnmatch.fnmatchcase(name, pattern)]
            if hits:
                return hits
        return []

    def table(self, name: str) -> DelimitedFile:
        """The file as a table; FaultError where it is none."""
        if name not in self.tables:
            parsed = DelimitedFile.parse(self.contents[name])
            if parsed is None:
                raise FaultError(
                    f"{name} cannot be read as a delimited file. Plant faults of rows before those of bytes, "
                    "and only in files with a header and equal fields"
                )
            self.tables[name] = parsed
        return self.tables[name]

    def subjects(self) -> dict[str, str]:
        """The subject of each hospital number, by the form of demographics; none where it cannot be read."""
        try:
            rows = self.table(self.find("DM")).rows
        except FaultError:
            return {}
        return {row["mrn"]: row[SUBJECT] for row in rows if row.get("mrn") and row.get(SUBJECT)}

    def keys_of(self, file: str, table: DelimitedFile) -> Sequence[str]:
        """Columns that name a row of a file: those declared, else ``record_id``, else all."""
        return self.row_keys.get(file) or (["record_id"] if "record_id" in table.columns else table.columns)

    def bytes_of(self, name: str) -> bytes:
        """The file's bytes with all changes of its rows."""
        if name in self.tables:
            self.contents[name] = self.tables.pop(name).content()
        return self.contents[name]

    def put(self, name: str, content: bytes, *, delivered: bool = False) -> None:
        """Set a file's bytes; ``delivered`` names it in the manifest."""
        self.tables.pop(name, None)
        self.contents[name] = content
        if delivered and name not in self.named:
            self.named.append(name)

    def drop(self, name: str) -> bytes:
        """Take a file out of the folder and of the manifest."""
        content = self.bytes_of(name)
        del self.contents[name]
        if name in self.named:
            self.named.remove(name)
        return content

    def write(self) -> None:
        """Write the folder: changed files, and a manifest that fits them unless a fault says otherwise."""
        for name in list(self.tables):
            self.bytes_of(name)
        for path in sorted(self.folder.iterdir()):
            if path.is_file() and path.name != MANIFEST and path.name not in self.contents:
                path.unlink()
        for name, content in self.contents.items():
            path = self.folder / name
            if not path.is_file() or path.read_bytes() != content:
                path.write_bytes(content)
        if self.manifest:
            text = json.dumps(self._manifest(), ensure_ascii=False, indent=2) + "\n"
            (self.folder / MANIFEST).write_bytes(text.encode("utf-8"))

    def _manifest(self) -> dict[str, Any]:
        before = {entry["name"]: entry for entry in self.manifest["files"]}
        entries = []
        for name in sorted(self.named):
            entry = dict(before.get(name, {"name": name}))
            if name not in self.kept and name in self.contents:
                digest = hashlib.sha256(self.contents[name]).hexdigest()
                if entry.get("sha256") != digest:
                    entry |= {"sha256": digest, "rows": count_rows(name, self.contents[name])}
            entry.setdefault("extracted_at", self.manifest.get("extracted_at"))
            entries.append(entry | self.stated.get(name, {}))
        return {**self.manifest, "files": entries, **self.stated.get("", {})}


def subject_of(row: Mapping[str, str], hospital: Mapping[str, str]) -> str | None:
    """Whose row it is; None where it is nobody's or the hospital number is not known."""
    return row.get(SUBJECT) or hospital.get(row.get(HOSPITAL_NUMBER, "")) or None


def count_rows(name: str, content: bytes) -> int:
    """Data rows of a file: ItemGroupData of ODM, OBX of HL7, else lines (RFC 4180 records) after the header."""
    if name.endswith(".xml"):
        return content.count(b"<ItemGroupData ")
    if name.endswith(".hl7"):
        return content.count(b"\rOBX|")
    table = DelimitedFile.parse(content)
    if table is not None:
        return len(table.rows)
    newline = "\n".encode("utf-16-le") if content.startswith(b"\xff\xfe") else b"\n"
    return max(0, content.count(newline) + (not content.endswith(newline)) - 1)
