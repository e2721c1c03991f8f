"""Work that is done in several processes, or in this one where that is all there is; the results are the same."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TypeVar

from transforms.errors import UsageError

ResultT = TypeVar("ResultT")


def in_processes(calls: Sequence[Callable[[], ResultT]], processes: int) -> list[ResultT]:
    """What each call returns, in the order of the calls; they are begun in that order, the longest best first.

    Calls are `functools.partial` of functions of a module, and each reads what it needs by itself.
    """
    if min(processes, len(calls)) <= 1:
        return [call() for call in calls]
    # A process that forks while Arrow's threads run may hang, so workers begin afresh.
    with ProcessPoolExecutor(min(processes, len(calls)), mp_context=get_context("spawn")) as pool:
        return [one.result() for one in [pool.submit(call) for call in calls]]


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
