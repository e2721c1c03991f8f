"""Work in one process and in several."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from pathlib import Path
from subprocess import PIPE, Popen
from time import monotonic, sleep
from typing import Any

import psutil
import pyarrow as pa
import pytest

from transforms.core.processes import Work, available, counted, in_order
from transforms.errors import UsageError
from transforms.warehouse import parquet


def in_processes(
    calls: Sequence[Callable[[], Any]], processes: int, *, here: Sequence[Callable[[], Any]] = ()
) -> list[Any]:
    works = [*(Work(call) for call in calls), *(Work(call, here=True) for call in here)]
    return list(in_order(dict(enumerate(works)), processes).values())


@pytest.mark.parametrize("processes", [1, 2])
def test_results_stand_in_the_order_of_the_calls(processes: int) -> None:
    calls = [partial(divmod, number, 3) for number in (7, 1, 5)]
    assert in_processes(calls, processes) == [(2, 1), (0, 1), (1, 2)]


def pause_and_tell() -> int:
    """The process, which is busy long enough for another to take the next call."""
    sleep(1)
    return os.getpid()


def test_this_process_is_one_of_them() -> None:
    assert in_processes([os.getpid] * 2, 1) == [os.getpid()] * 2
    assert len({os.getpid(), *in_processes([pause_and_tell] * 4, 2)}) == 2


def test_what_is_done_here_stands_last() -> None:
    other, own = in_processes([pause_and_tell], 2, here=[pause_and_tell])
    assert own == os.getpid() != other
    assert in_processes([os.getpid], 1, here=[os.getpid]) == [os.getpid()] * 2


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_a_work_begins_when_what_it_needs_is_done(processes: int, tmp_path: Path) -> None:
    works: dict[Hashable, Work] = {
        "one": Work(partial((tmp_path / "one").write_text, "1")),
        "two": Work(partial((tmp_path / "two").write_text, "12")),
        "length": Work(partial(os.path.getsize, tmp_path / "two"), ["one", "two"]),
        "again": Work(partial(os.path.getsize, tmp_path / "one"), ["length"]),
    }
    assert in_order(works, processes) == {"one": 1, "two": 2, "length": 2, "again": 1}
    assert list(in_order(works, processes)) == list(works)


def test_what_a_work_raises_is_raised(tmp_path: Path) -> None:
    works: dict[Hashable, Work] = {one: Work(partial(os.path.getsize, tmp_path / one)) for one in ("a", "b")}
    with pytest.raises(FileNotFoundError):
        in_order(works, 2)


def test_what_a_call_raises_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAIRN_WORKERS", "0")
    with pytest.raises(UsageError, match="CAIRN_WORKERS is '0'"):
        in_processes([partial(counted, "CAIRN_WORKERS")] * 2, 2)


KILLED = """
import os
from multiprocessing import active_children
from transforms.core.processes import kept_processes
if __name__ == "__main__":
    with kept_processes(2, os.getpid):
        print(active_children()[0].pid, flush=True)
        input()
"""


def test_a_process_ends_with_the_one_that_began_it(tmp_path: Path) -> None:
    (tmp_path / "killed.py").write_text(KILLED, "utf-8")
    command, environment = [sys.executable, str(tmp_path / "killed.py")], {**os.environ, "PYTHONPATH": str(Path.cwd())}
    with Popen(command, stdin=PIPE, stdout=PIPE, env=environment) as begun:
        assert begun.stdout is not None
        other = int(begun.stdout.readline())
        assert not ended(other)
        begun.kill()
    until = monotonic() + 20
    while not ended(other) and monotonic() < until:
        sleep(0.1)
    assert ended(other)


def ended(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def test_there_are_never_more_processes_than_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAIRN_WORKERS", "3")
    assert [available(most) for most in (1, 3, 5)] == [1, 3, 3]


def test_tables_are_joined_and_cut_into_row_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "ROW_GROUP", 4)
    several = [pa.table({"a": pa.array(one, pa.int64())}) for one in ([], [0, 1, 2], [3, 4, 5, 6, 7, 8], [9])]
    assert [one["a"].to_pylist() for one in parquet.grouped(several)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert [one["a"].to_pylist() for one in parquet.grouped(several[:1])] == [[]]


def test_a_file_read_column_by_column_has_the_columns_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "one.parquet"
    parquet.write(pa.table({"A": ["x", None], "_subject": ["1", "2"], "_line": [7, 8]}), path)
    frame = parquet.Columns(path, {"_subject": "SUBJECT", "_line": ""})
    assert list(frame.columns) == ["A", "SUBJECT"]
    assert frame["SUBJECT"].tolist() == ["1", "2"]
    assert len(frame) == 2
    assert "_line" not in frame
    with pytest.raises(KeyError):
        frame["_line"]
