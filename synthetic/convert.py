"""Carries a landing folder of delimited files, faulty ones too, over to an ODM Snapshot and an HL7 batch.

Values stay as they are written; dates and times in their column's own format are written as the other format does.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from .delivery import Formats, batch_name, manifest_bytes, snapshot_name
from .edc import FORMS
from .faults.landing import MANIFEST, DelimitedFile
from .hl7 import batch_bytes
from .lis import COLUMNS
from .odm import odm_bytes
from .pages import Table

FORM_FILE = re.compile(r"UCMSC_([A-Z]+)_(\d{8}T\d{4})\.csv")
LAB_FILE = re.compile(r"(LIS)_YHD_(\d{8}_\d{4})\.txt")
WITHOUT_FIELD = ("年龄",)
"""Columns of the laboratory that HL7 has no field for."""


@dataclass(frozen=True)
class Lost:
    """What the other format does not carry: the file, and why."""

    file: str
    why: str


def convert(landing: Path, out: Path, formats: Formats) -> list[Lost]:
    """Write to ``out`` the delivery of ``landing`` in other formats, with a manifest, and return what is lost.

    A Snapshot holds all forms and an extract is one Snapshot, so that of several files of a form only the one that
    stands is carried: the last that can be read. Raises ``ValueError`` without a manifest's extract time, for
    Transactions, and where a value holds what XML forbids.
    """
    if formats.edc == "odm-transactional":
        raise ValueError("Transactions follow from two extracts; one folder converts to a Snapshot (odm)")
    manifest = json.loads((landing / MANIFEST).read_text(encoding="utf-8"))
    extracted = datetime.fromisoformat(manifest["extracted_at"])
    lost: list[Lost] = []
    contents: dict[str, tuple[bytes, int]] = {}
    forms, lab, others = _sorted_out(landing)
    if formats.edc == "odm":
        tables = {form: table for form in FORMS if (table := _standing(forms.get(form, []), lost)) is not None}
        lost.extend(Lost(form, "no file that can be read") for form in FORMS if form not in tables)
        contents[snapshot_name(extracted)] = odm_bytes(tables, extracted)
    else:
        others += [path for paths in forms.values() for path in paths]
    if formats.lab == "hl7":
        table = _standing(lab, lost)
        if table is not None:
            absent = [name for name in table.columns if name not in COLUMNS or name in WITHOUT_FIELD]
            lost.extend(Lost(table.name, f"HL7 has no field for {name}") for name in absent)
            contents[batch_name(table.name)] = batch_bytes(table, extracted)
    else:
        others += lab
    out.mkdir(parents=True, exist_ok=True)
    rows = {entry["name"]: entry.get("rows") for entry in manifest["files"]}
    for path in others:
        if path.name in rows:
            contents[path.name] = (path.read_bytes(), rows[path.name])
        else:
            (out / path.name).write_bytes(path.read_bytes())
    for name, (content, _) in contents.items():
        (out / name).write_bytes(content)
    (out / MANIFEST).write_bytes(manifest_bytes(contents, extracted))
    return lost


def _sorted_out(landing: Path) -> tuple[dict[str, list[Path]], list[Path], list[Path]]:
    """Files of each form and of the laboratory in the order of their extract times, and all others."""
    forms: dict[str, list[Path]] = {}
    lab: list[Path] = []
    others: list[Path] = []
    for path in sorted(landing.iterdir()):
        form, result = FORM_FILE.fullmatch(path.name), LAB_FILE.fullmatch(path.name)
        if form and form[1] in FORMS:
            forms.setdefault(form[1], []).append(path)
        elif result:
            lab.append(path)
        elif path.name != MANIFEST:
            others.append(path)
    return forms, lab, others


def _standing(paths: list[Path], lost: list[Lost]) -> Table | None:
    """The last file of several that can be read; the others are lost."""
    found: Table | None = None
    for path in reversed(paths):
        file = DelimitedFile.parse(path.read_bytes())
        if file is None:
            lost.append(Lost(path.name, "its bytes are damaged, cut off or in another encoding"))
        elif found is not None:
            lost.append(Lost(path.name, f"an extract is one file, and {found.name} was extracted later"))
        else:
            found = Table(path.name, tuple(file.columns), [[row[name] for name in file.columns] for row in file.rows])
    return found
