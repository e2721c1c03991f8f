"""Work that is done in several processes, or in this one where that is all there is; the results are the same."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from multiprocessing import get_context
from typing import TypeVar

from transforms.core.memory import give_back
from transforms.errors import UsageError

ResultT = TypeVar("ResultT")
_KEPT: ContextVar[ProcessPoolExecutor | None] = ContextVar("kept", default=None)


@contextmanager
def kept_processes(processes: int, ready: Callable[[], None]) -> Iterator[None]:
    """Within it every `in_processes` of more than one process uses the same ones, however few it asks for.

    They begin at once, and each calls `ready` before anything else: what takes time to import is imported while this
    process is busy, and once.
    """
    if processes <= 1:
        yield
        return
    with _pool(processes, ready) as pool:
        for _ in range(processes):
            pool.submit(os.getpid)
        token = _KEPT.set(pool)
        try:
            yield
        finally:
            _KEPT.reset(token)


def in_processes(calls: Sequence[Callable[[], ResultT]], processes: int) -> list[ResultT]:
    """What each call returns, in the order of the calls; they are begun in that order, the longest best first.

    Calls are `functools.partial` of functions of a module, and each reads what it needs by itself.
    """
    if min(processes, len(calls)) <= 1:
        return [call() for call in calls]
    kept = _KEPT.get()
    if kept is not None:
        return _results(kept, calls)
    with _pool(min(processes, len(calls))) as pool:
        return _results(pool, calls)


def _pool(processes: int, ready: Callable[[], None] | None = None) -> ProcessPoolExecutor:
    # A process that forks while Arrow's threads run may hang, so workers begin afresh.
    return ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=ready)


def _results(pool: ProcessPoolExecutor, calls: Sequence[Callable[[], ResultT]]) -> list[ResultT]:
    return [one.result() for one in [pool.submit(_result, call) for call in calls]]


def _result(call: Callable[[], ResultT]) -> ResultT:
    try:
        return call()
    finally:
        give_back()


def available(most: int) -> int:
    """How many processes work: CAIRN_WORKERS, else one for each processor; never more than `most`.

    Raises UsageError where CAIRN_WORKERS is no number from 1.
    """
    return min(counted("CAIRN_WORKERS") or len(os.sched_getaffinity(0)), most)


def counted(name: str) -> int | None:
    """A whole number from 1 in an environment variable, None where it is not set. Raises UsageError for another."""
    written = os.environ.get(name, "")
    if not written:
        return None
    if not written.isascii() or not written.isdigit() or int(written) < 1:
        raise UsageError(f"{name} is {written!r}. Write a whole number from 1, or leave it away")
    return int(written)
