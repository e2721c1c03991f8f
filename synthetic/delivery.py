"""Writes one delivery: the files, and the manifest that names, counts and hashes them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path

from .edc import build_forms
from .lis import build_lis, text_bytes
from .pages import csv_bytes
from .protocol import BLOCK_SIZE, LABEL, STUDY
from .truth import build_truth, truth_bytes
from .world import simulate

DEFAULT_SEED = 2022
FINAL_CUT_OFF = date(2025, 1, 31)
EXTRACT_TIME = time(6, 0)


@dataclass(frozen=True)
class Delivery:
    """What was written: the landing folder, the truth folder, and rows by file name."""

    landing: Path
    truth: Path
    rows: dict[str, int]


def generate(
    landing: Path,
    *,
    seed: int = DEFAULT_SEED,
    cut_off: date = FINAL_CUT_OFF,
    subjects: int = BLOCK_SIZE,
    copies: int = 1,
    truth: Path | None = None,
) -> Delivery:
    """Simulate the study and write one full delivery as of 06:00 on ``cut_off``.

    ``subjects`` screening numbers are kept, times ``copies``. ``truth`` is the folder of the truth tables,
    by default ``truth`` beside ``landing``. Files of the same names are overwritten; nothing else in the
    folders is touched. The same arguments give the same bytes. Raises ``ValueError`` for a negative seed or
    a count below 1.
    """
    if copies < 1:
        raise ValueError(f"copies must be 1 or more; got {copies}")
    extracted = datetime.combine(cut_off, EXTRACT_TIME)
    world = simulate(seed, subjects * copies)
    forms, lis = build_forms(world, extracted), build_lis(world, extracted)
    contents = {table.name: (csv_bytes(table), len(table.rows)) for table in forms.values()}
    contents[lis.name] = (text_bytes(lis), len(lis.rows))

    landing.mkdir(parents=True, exist_ok=True)
    stamp = extracted.isoformat(timespec="minutes")
    entries: list[dict[str, object]] = []
    for name, (content, rows) in sorted(contents.items()):
        (landing / name).write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        entries.append({"name": name, "sha256": digest, "rows": rows, "extracted_at": stamp})
    manifest = {"label": LABEL, "study": STUDY, "extracted_at": stamp, "files": entries}
    text = json.dumps(manifest, ensure_ascii=False, indent=2) + "\n"
    (landing / "manifest.json").write_bytes(text.encode("utf-8"))

    folder = truth if truth is not None else landing.parent / "truth"
    folder.mkdir(parents=True, exist_ok=True)
    for table in build_truth(world, forms, lis):
        (folder / table.name).write_bytes(truth_bytes(table))
    return Delivery(landing, folder, {name: rows for name, (_, rows) in sorted(contents.items())})
