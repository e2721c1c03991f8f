"""Named random streams: one generator per seed, subject and purpose.

A stream depends on nothing but its name, so that a new purpose, a new analyte or one more subject leaves
every other draw as it was.
"""

from __future__ import annotations

import zlib

import numpy as np

BLOCK = 0
SUBJECT = 1
LOT = 2

PURPOSES = {
    "plan": 1,
    "fates": 2,
    "demographics": 3,
    "severity": 4,
    "analyte": 5,
    "latent": 6,
    "schedule": 7,
    "infusions": 8,
    "infusion events": 9,
    "follow-up events": 10,
    "fatal event": 11,
    "ascites": 12,
    "encephalopathy": 13,
    "performance": 14,
    "alcohol": 15,
    "vitals": 16,
    "clock times": 17,
    "screening": 18,
    "dose-limiting toxicity": 19,
    "history": 20,
    "drinking": 21,
    "medication": 22,
    "procedures": 23,
    "safety report": 24,
    "deviations": 25,
}
"""Purpose to number. Append only: a changed number changes every extract."""


def subject_stream(seed: int, serial: int, purpose: str, index: int = 0) -> np.random.Generator:
    """Return the stream of one subject (``serial`` from 1) for one purpose; ``index`` tells items apart."""
    key = (SUBJECT, serial, PURPOSES[purpose], index)
    return np.random.default_rng(np.random.SeedSequence(entropy=seed, spawn_key=key))


def block_stream(seed: int, block: int, purpose: str) -> np.random.Generator:
    """Return the stream of one block of 48 screened subjects (``block`` counts from 0) for one purpose."""
    key = (BLOCK, block, PURPOSES[purpose], 0)
    return np.random.default_rng(np.random.SeedSequence(entropy=seed, spawn_key=key))


def lot_stream(seed: int, lot: str) -> np.random.Generator:
    """Return the stream of one lot of cells, whoever receives it."""
    key = (LOT, zlib.crc32(lot.encode("ascii")))
    return np.random.default_rng(np.random.SeedSequence(entropy=seed, spawn_key=key))
