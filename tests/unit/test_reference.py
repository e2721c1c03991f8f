"""What tests share is made once, however many ask for it at a time."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.reference import Made


def test_a_thing_is_made_once_and_who_asks_meanwhile_waits(tmp_path: Path) -> None:
    made: list[Path] = []

    def make(folder: Path) -> int:
        made.append(folder)
        time.sleep(0.1)
        (folder / "content").write_text("whole")
        return len(made)

    def ask(_: int) -> tuple[int, str]:
        return Made(tmp_path).once("thing", make), (tmp_path / "thing" / "content").read_text()

    # A lock of a file is its opener's, whether threads or processes open it.
    with ThreadPoolExecutor(4) as several:
        assert list(several.map(ask, range(4))) == [(1, "whole")] * 4
    assert made == [tmp_path / "thing"]


def test_what_could_not_be_made_is_made_anew(tmp_path: Path) -> None:
    def fail(folder: Path) -> int:
        (folder / "half").write_text("half")
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        Made(tmp_path).once("thing", fail)
    assert Made(tmp_path).once("thing", lambda folder: len(list(folder.iterdir()))) == 0
