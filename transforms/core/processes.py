"""Work that is done in several processes, or in this one where that is all there is; the results are the same."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any, TypeVar

from transforms.core.memory import give_back
from transforms.errors import UsageError

ResultT = TypeVar("ResultT")
_KEPT: ContextVar[ProcessPoolExecutor | None] = ContextVar("kept", default=None)


@dataclass(frozen=True)
class Work:
    """A call, and the works, by name, that must be done before it.

    The call is a `functools.partial` of a function of a module, and reads what it needs by itself.
    """

    call: Callable[[], Any]
    needs: Collection[Hashable] = ()


@contextmanager
def kept_processes(processes: int, ready: Callable[[], None]) -> Iterator[None]:
    """Within it all work in more than one process uses the same ones, however few it asks for.

    They begin at once, and each calls `ready` before anything else: what takes time to import is imported while this
    process is busy, and once.
    """
    if processes <= 1 or _KEPT.get() is not None:
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


def in_processes(
    calls: Sequence[Callable[[], ResultT]], processes: int, *, here: Sequence[Callable[[], ResultT]] = ()
) -> list[ResultT]:
    """What each call returns, in the order of the calls; they are begun in that order, the longest best first.

    Calls are as those of `Work`. Those `here` are done meanwhile in this process, since what they are given is too
    much to be sent; what they return stands last.
    """
    if processes <= 1 or len(calls) + len(here) <= 1 or not calls:
        return [call() for call in (*calls, *here)]
    with _processes(min(processes, len(calls))) as pool:
        begun = [pool.submit(_result, call) for call in calls]
        own = [call() for call in here]
        return [*(one.result() for one in begun), *own]


def in_order(works: Mapping[Hashable, Work], processes: int) -> dict[Hashable, Any]:
    """What each work returns, by name; each is begun as soon as what it needs is done, the first of them first.

    What a work needs stands before it.
    """
    if processes <= 1:
        return {name: work.call() for name, work in works.items()}
    done: dict[Hashable, Any] = {}
    waiting = dict(works)
    begun: dict[Future[Any], Hashable] = {}
    with _processes(processes) as pool:
        while len(done) < len(works):
            ready = [name for name, work in waiting.items() if all(need in done for need in work.needs)]
            for name in ready[: processes - len(begun)]:
                begun[pool.submit(_result, waiting.pop(name).call)] = name
            ended, _ = wait(begun, return_when=FIRST_COMPLETED)
            for one in ended:
                done[begun.pop(one)] = one.result()
    return {name: done[name] for name in works}


@contextmanager
def _processes(processes: int) -> Iterator[ProcessPoolExecutor]:
    kept = _KEPT.get()
    if kept is not None:
        yield kept
        return
    with _pool(processes) as pool:
        yield pool


def _pool(processes: int, ready: Callable[[], None] | None = None) -> ProcessPoolExecutor:
    # A process that forks while Arrow's threads run may hang, so workers begin afresh.
    return ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=ready)


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
