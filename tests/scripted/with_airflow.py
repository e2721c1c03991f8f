"""With Airflow up: deliveries, growing files and releases go through the asset chain.

python -m tests.scripted.with_airflow HOME [--stay]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

import synthetic

ROOT = Path(__file__).resolve().parents[2]
STUDY = "ucmsc_dac"


def cairn(home: Path, *arguments: str) -> str:
    """A command's answer; it must succeed."""
    done = subprocess.run(
        [str(ROOT / "cairn"), *arguments],
        env={**os.environ, "CAIRN_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def say(text: str) -> None:
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stdout.flush()


def wait(what: str, condition: Callable[[], Any], patience: float = 1200) -> Any:
    """Wait for a condition; AssertionError when it does not come true in time."""
    until = time.monotonic() + patience
    while not (found := condition()):
        assert time.monotonic() < until, f"not in time: {what}"
        time.sleep(2)
    say(what)
    return found


def received(home: Path) -> list[dict[str, Any]]:
    log = home / "raw" / STUDY / "deliveries.jsonl"
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()] if log.exists() else []


def current(home: Path) -> str | None:
    link = home / "warehouse" / STUDY / "current"
    return link.readlink().name if link.is_symlink() else None


def events(home: Path) -> int:
    return pq.read_table(home / "warehouse" / STUDY / "current" / "sdtm" / "ae.parquet").num_rows


def main() -> None:
    """Run the whole check."""
    parser = argparse.ArgumentParser()
    parser.add_argument("home", type=Path)
    parser.add_argument("--stay", action="store_true")
    options = parser.parse_args()
    home = options.home.resolve()
    say("starting: " + cairn(home, "up").strip().replace("\n", " | "))
    landing = home / "landing" / STUDY
    if not landing.is_dir():
        synthetic.generate(home / "extracts")
        landing.mkdir(parents=True)
        for path in sorted((home / "extracts").iterdir()):
            shutil.copy(path, landing / path.name)
    wait("the delivery is published", lambda: current(home))
    rows = events(home)

    source = next(landing.glob("UCMSC_AE_*.csv")).read_text(encoding="utf-8").splitlines(keepends=True)
    start = source[0].rstrip("\n").split(",").index("aestdat")
    fields = source[1].rstrip("\n").split(",")
    fields[start] = "in spring"
    growing = landing / "UCMSC_AE_20250201T0600.csv"
    with growing.open("w", encoding="utf-8") as stream:
        for number, line in enumerate([source[0], ",".join(fields) + "\n", *source[2:]]):
            stream.write(line)
            if number % 12 == 0:
                stream.flush()
                time.sleep(10)
                assert growing.name not in {one["file"] for one in received(home)}, "a growing file was taken"
    say("a file that grew for 80 seconds was left alone")
    wait("it is taken once it has settled", lambda: growing.name in {one["file"] for one in received(home)})
    wait("and published, the row with the unreadable date held", lambda: events(home) == rows - 1)

    found = json.loads(cairn(home, "findings", STUDY, "--rule", "unreadable_date", "--json"))["findings"]
    assert len(found) == 1, found
    told = cairn(home, "release", STUDY, found[0]["finding_id"], "--by", "A. Monitor", "--reason", "site does not know")
    assert "Airflow was told" in told, told
    wait("the released row is published", lambda: events(home) == rows)
    left = json.loads(cairn(home, "findings", STUDY, "--rule", "unreadable_date", "--status", "all", "--json"))
    assert [one["status"] for one in left["findings"]] == ["closed"]
    if options.stay:
        say(cairn(home, "status"))
        return
    say(cairn(home, "down").strip())
    marks = f"CAIRN_AIRFLOW_HOME={home / 'airflow'}".encode()
    alive = [path.parent.name for path in Path("/proc").glob("[0-9]*/environ") if _holds(path, marks)]
    assert not alive, alive
    say("no process is left")


def _holds(path: Path, mark: bytes) -> bool:
    try:
        return mark in path.read_bytes()
    except OSError:
        return False


if __name__ == "__main__":
    main()
