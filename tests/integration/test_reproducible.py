"""Same input, same bytes: in two homes, time zones, locales and hash seeds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.integration.test_extracts import contents
from tests.small_study import SmallStudy

ROOT = Path(__file__).resolve().parents[2]


def run(small: SmallStudy, home: Path, **environment: str) -> dict[str, str]:
    command = [
        sys.executable,
        "-m",
        "transforms.cli",
        "run",
        str(small.folder),
        "--landing",
        str(small.landing),
        "--json",
    ]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "CAIRN_HOME": str(home), **environment}
    done = subprocess.run(command, env=env, cwd=home.parent, capture_output=True, text=True, check=True)
    report: dict[str, str] = json.loads(done.stdout)
    return report


def test_two_homes_zones_and_locales_give_the_same_bytes(small: SmallStudy, tmp_path: Path) -> None:
    one = run(small, tmp_path / "one", TZ="Pacific/Kiritimati", LC_ALL="C", PYTHONHASHSEED="1")
    two = run(small, tmp_path / "two", TZ="America/Los_Angeles", LC_ALL="C.UTF-8", PYTHONHASHSEED="2")
    assert one["snapshot_id"] == two["snapshot_id"]
    assert contents(Path(one["path"])) == contents(Path(two["path"]))
    assert len(contents(Path(one["path"]))) == 13


def test_the_id_follows_what_went_in(small: SmallStudy) -> None:
    first = small.run().snapshot_id
    assert small.run(as_of="2024-11-30").snapshot_id != first
    small.change("tables/visits.csv", "DAY 8", "WEEK 1")
    changed = small.run().snapshot_id
    assert changed != first
    (small.folder / "README.md").write_text("Documentation changes nothing", encoding="utf-8")
    assert small.run().snapshot_id == changed


def test_labels_stand_in_the_schema(small: SmallStudy) -> None:
    import pyarrow.parquet as pq

    schema = pq.read_schema(small.run().path / "sdtm" / "dm.parquet")
    assert schema.field("USUBJID").metadata[b"label"] == b"Unique Subject Identifier"
    assert schema.metadata[b"label"] == b"Demographics"
