"""Giving memory back to the machine."""

from __future__ import annotations

import ctypes

import pyarrow as pa


def give_back() -> None:
    """Return the memory that Arrow keeps for a next use, and where the C library can, the memory that it keeps.

    After a stage that made millions of small objects the C library keeps over a gigabyte for a next one.
    """
    pa.default_memory_pool().release_unused()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
