"""Work that is done in several processes, or in this one where that is all there is; the results are the same."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from threading import Thread
from typing import Any, TypeVar

from transforms.core.memory import give_back
from transforms.errors import UsageError

ResultT = TypeVar("ResultT")
_KEPT: ContextVar[ProcessPoolExecutor | None] = ContextVar("kept", default=None)


@dataclass(frozen=True)
class Work:
    """A call, and the works, by name, that must be done before it.

    The call is a `functools.partial` of a function of a module, and reads what it needs by itself; one that is done
    `here`, in this process, may be given what is too much to be sent.
    """

    call: Callable[[], Any]
    needs: Collection[Hashable] = ()
    here: bool = False


@contextmanager
def kept_processes(processes: int, ready: Callable[[], None]) -> Iterator[None]:
    """Within it all work in more than one process uses the same ones, however few it asks for.

    They begin at once, and each but this one calls `ready` before anything else: what takes time to import is imported
    while this process is busy, and once.
    """
    if processes <= 1 or _KEPT.get() is not None:
        yield
        return
    with _others(processes, ready) as pool:
        for _ in range(processes - 1):
            pool.submit(os.getpid)
        token = _KEPT.set(pool)
        try:
            yield
        finally:
            _KEPT.reset(token)


def in_order(works: Mapping[Hashable, Work], processes: int) -> dict[Hashable, Any]:
    """What each work returns, by name; each is begun as soon as what it needs is done, the first of them first.

    This process is one of the `processes`. What a work needs stands before it.
    """
    if processes <= 1 or len(works) <= 1:
        return {name: work.call() for name, work in works.items()}
    done: dict[Hashable, Any] = {}
    waiting = dict(works)
    begun: dict[Future[Any], tuple[Hashable, Executor]] = {}
    # A thread does the work of this process, so that the others are given theirs meanwhile.
    with ThreadPoolExecutor(1) as this, _processes(processes) as others:
        free: dict[Executor, int] = {others: processes - 1, this: 1}
        while len(done) < len(works):
            for executor in tuple(free):
                while free[executor] and (name := _next(waiting, done, here=executor is this)) is not None:
                    begun[executor.submit(_result, waiting.pop(name).call)] = (name, executor)
                    free[executor] -= 1
            ended, _ = wait(begun, return_when=FIRST_COMPLETED)
            for one in ended:
                name, executor = begun.pop(one)
                done[name] = one.result()
                free[executor] += 1
    return {name: done[name] for name in works}


def _next(waiting: Mapping[Hashable, Work], done: Collection[Hashable], *, here: bool) -> Hashable | None:
    """The work to begin next; in this process (`here`) one that must be done in it goes before others."""
    ready = [name for name, work in waiting.items() if all(need in done for need in work.needs)]
    own = [name for name in ready if waiting[name].here]
    others = [name for name in ready if not waiting[name].here]
    return next(iter([*own, *others] if here else others), None)


@contextmanager
def _processes(processes: int) -> Iterator[ProcessPoolExecutor]:
    """Processes beside this one: those that are kept, or new ones."""
    kept = _KEPT.get()
    if kept is not None:
        yield kept
        return
    with _others(processes) as pool:
        yield pool


def _others(processes: int, ready: Callable[[], None] | None = None) -> ProcessPoolExecutor:
    # A process that forks while Arrow's threads run may hang, so the others begin afresh.
    return ProcessPoolExecutor(processes - 1, mp_context=get_context("spawn"), initializer=_begin, initargs=(ready,))


def _begin(ready: Callable[[], None] | None) -> None:
    Thread(target=_end_with_parent, daemon=True).start()
    if ready is not None:
        ready()


def _end_with_parent() -> None:
    """A process whose parent was killed waits for work forever, with all its memory."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


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
