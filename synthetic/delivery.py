"""Writes deliveries: the files, and the manifest that names, counts and hashes them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path

from .edc import build_forms
from .hl7 import batch_bytes
from .lis import build_lis, text_bytes
from .odm import odm_bytes, transactional_bytes
from .pages import Table, csv_bytes
from .protocol import BLOCK_SIZE, LABEL, STUDY
from .truth import build_truth, truth_bytes
from .world import PLAUSIBLE, World, simulate

DEFAULT_SEED = 2022
FINAL_CUT_OFF = date(2025, 1, 31)
EXTRACT_TIME = time(6, 0)
SERIES = {
    "S1": date(2022, 11, 10),
    "S2": date(2023, 4, 20),
    "S3": date(2024, 1, 31),
    "S4": FINAL_CUT_OFF,
}
"""The four extracts of the study: before each decision on a dose group, during follow-up, and the last."""

EDC_FORMATS = ("csv", "odm", "odm-transactional")
LAB_FORMATS = ("text", "hl7")
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Delivery:
    """What was written: the landing folder, the truth folder, and rows by file name."""

    landing: Path
    truth: Path
    rows: dict[str, int]


@dataclass(frozen=True)
class Formats:
    """How forms and laboratory results are written: one of ``EDC_FORMATS`` and of ``LAB_FORMATS``."""

    edc: str = "csv"
    lab: str = "text"

    def __post_init__(self) -> None:
        """Refuse a format that is not known."""
        if self.edc not in EDC_FORMATS or self.lab not in LAB_FORMATS:
            raise ValueError(f"formats are {EDC_FORMATS} and {LAB_FORMATS}; got {self.edc} and {self.lab}")


def generate(
    landing: Path,
    *,
    seed: int = DEFAULT_SEED,
    cut_off: date = FINAL_CUT_OFF,
    subjects: int = BLOCK_SIZE,
    copies: int = 1,
    severity: str = PLAUSIBLE,
    formats: Formats | None = None,
    truth: Path | None = None,
) -> Delivery:
    """Simulate the study and write one full delivery as of 06:00 on ``cut_off``.

    ``subjects`` screening numbers are kept, times ``copies``. ``truth`` is the folder of the truth tables,
    by default ``truth`` beside ``landing``. Files of the same names are overwritten; nothing else in the
    folders is touched. The same arguments give the same bytes. Raises ``ValueError`` for a negative seed, a
    count below 1 or an unknown severity.
    """
    world = _world(seed, subjects, copies, severity)
    extract = Extract.of(world, cut_off)
    return extract.write(landing, truth or landing.parent / "truth", formats or Formats())


def generate_series(
    out: Path,
    *,
    seed: int = DEFAULT_SEED,
    subjects: int = BLOCK_SIZE,
    copies: int = 1,
    severity: str = PLAUSIBLE,
    formats: Formats | None = None,
) -> dict[str, Delivery]:
    """Write the extracts of ``SERIES`` to ``out/S1`` to ``out/S4``, each with ``landing`` and ``truth``.

    Each is cumulative, as ``generate`` at its date would write it; transactions are those since the extract
    before.
    """
    world = _world(seed, subjects, copies, severity)
    deliveries: dict[str, Delivery] = {}
    before: Extract | None = None
    for name, cut_off in SERIES.items():
        extract = Extract.of(world, cut_off)
        folder = out / name
        deliveries[name] = extract.write(folder / "landing", folder / "truth", formats or Formats(), before)
        before = extract
    return deliveries


def _world(seed: int, subjects: int, copies: int, severity: str) -> World:
    if copies < 1:
        raise ValueError(f"copies must be 1 or more; got {copies}")
    return simulate(seed, subjects * copies, severity)


@dataclass(frozen=True)
class Extract:
    """What the forms and the laboratory knew at one time."""

    world: World
    extracted: datetime
    forms: dict[str, Table]
    lis: Table

    @classmethod
    def of(cls, world: World, cut_off: date) -> Extract:
        """The extract at 06:00 on ``cut_off``."""
        extracted = datetime.combine(cut_off, EXTRACT_TIME)
        return cls(world, extracted, build_forms(world, extracted), build_lis(world, extracted))

    def files(self, formats: Formats, before: Extract | None = None) -> dict[str, tuple[bytes, int]]:
        """Bytes and rows of each file by name."""
        return {**self._form_files(formats.edc, before), **self._lab_files(formats.lab)}

    def _form_files(self, how: str, before: Extract | None) -> dict[str, tuple[bytes, int]]:
        if how == "csv":
            return {table.name: (csv_bytes(table), len(table.rows)) for table in self.forms.values()}
        if how == "odm":
            return {snapshot_name(self.extracted): odm_bytes(self.forms, self.extracted)}
        prior = None if before is None else (before.forms, before.extracted)
        name = f"UCMSC_ODMTX_{self.extracted:%Y%m%dT%H%M}.xml"
        return {name: transactional_bytes(self.forms, self.extracted, prior)}

    def _lab_files(self, how: str) -> dict[str, tuple[bytes, int]]:
        if how == "text":
            return {self.lis.name: (text_bytes(self.lis), len(self.lis.rows))}
        return {batch_name(self.lis.name): batch_bytes(self.lis, self.extracted)}

    def write(self, landing: Path, truth: Path, formats: Formats, before: Extract | None = None) -> Delivery:
        """Write the delivery and its truth."""
        contents = self.files(formats, before)
        landing.mkdir(parents=True, exist_ok=True)
        for name, (content, _) in contents.items():
            (landing / name).write_bytes(content)
        (landing / MANIFEST).write_bytes(manifest_bytes(contents, self.extracted))
        truth.mkdir(parents=True, exist_ok=True)
        for table in build_truth(self.world, self.forms, self.lis):
            (truth / table.name).write_bytes(truth_bytes(table))
        return Delivery(landing, truth, {name: rows for name, (_, rows) in sorted(contents.items())})


def snapshot_name(extracted: datetime) -> str:
    """Name of the ODM Snapshot of an extract."""
    return f"UCMSC_ODM_{extracted:%Y%m%dT%H%M}.xml"


def batch_name(text: str) -> str:
    """Name of the HL7 batch that holds what a laboratory's text file does."""
    return Path(text).with_suffix(".hl7").name


def manifest_bytes(contents: Mapping[str, tuple[bytes, int]], extracted: datetime) -> bytes:
    """Return the manifest of files (name to bytes and rows) extracted at one time."""
    stamp = extracted.isoformat(timespec="minutes")
    entries = [
        {"name": name, "sha256": hashlib.sha256(content).hexdigest(), "rows": rows, "extracted_at": stamp}
        for name, (content, rows) in sorted(contents.items())
    ]
    manifest = {"label": LABEL, "study": STUDY, "extracted_at": stamp, "files": entries}
    return (json.dumps(manifest, ensure_ascii=False, indent=2) + "\n").encode("utf-8")
