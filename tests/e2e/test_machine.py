"""A full disk and an unreadable landing folder, for real: said in words, and the earlier publication stands."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.small_study import EXTRACTS, SmallStudy
from transforms import pipeline
from transforms.pipeline import Home

ROOT = Path(__file__).resolve().parents[2]


def cairn_run(small: SmallStudy, prefix: list[str], mount: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "transforms.cli", "run", str(small.folder)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CAIRN_HOME": str(small.home)}
    return subprocess.run(
        [*prefix, "sh", "-c", f'{mount} exec "$@"', "sh", *command],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def possible(*options: str) -> list[str]:
    prefix = ["unshare", *options]
    try:
        done = subprocess.run([*prefix, "true"], capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("NOT TESTED: there is no unshare on this machine")
    if done.returncode:
        message = f"NOT TESTED: {' '.join(prefix)} is not allowed here"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return prefix


@pytest.fixture
def published(small: SmallStudy) -> SmallStudy:
    """A first publication, and a second delivery in the landing folder of the home."""
    (small.home / "landing").mkdir(parents=True)
    (small.home / "landing" / "small").symlink_to(small.landing)
    pipeline.run(small.load(), landing=small.landing, home=small.home)
    small.drop("vitals.csv", EXTRACTS["vitals.csv"].replace("131", "132"))
    return small


def stands(small: SmallStudy, done: subprocess.CompletedProcess[str], before: str | None) -> None:
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "What was published before stands" in done.stderr
    assert Home(small.home, "small").snapshots.current_id() == before


@pytest.mark.parametrize(("folder", "size"), [("raw/small/objects", "4k"), ("warehouse/small/building", "40k")])
def test_a_full_disk(published: SmallStudy, folder: str, size: str) -> None:
    prefix = possible("--user", "--map-root-user", "--mount")
    before = Home(published.home, "small").snapshots.current_id()
    full = published.home / folder
    full.mkdir(parents=True, exist_ok=True)
    done = cairn_run(published, prefix, f"mount -t tmpfs -o size={size} none '{full}' &&")
    stands(published, done, before)
    assert "the disk is full" in done.stderr
    assert "Free space and run again" in done.stderr
    after = pipeline.run(published.load(), landing=published.landing, home=published.home)
    assert after.snapshot_id != before


def test_a_landing_folder_that_may_not_be_read(published: SmallStudy) -> None:
    prefix = [] if os.geteuid() else possible("--user", "--map-user=1000", "--map-group=1000")
    before = Home(published.home, "small").snapshots.current_id()
    published.landing.chmod(0)
    try:
        done = cairn_run(published, prefix)
    finally:
        published.landing.chmod(0o755)
    stands(published, done, before)
    assert "may not be read" in done.stderr
    assert str(published.home / "landing" / "small") in done.stderr
