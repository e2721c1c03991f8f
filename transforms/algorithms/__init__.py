"""What a specification can say: the algorithms that fill variables, each declaring what it reads.

A new ability is a new class here, registered under its word; see `transforms.algorithms.base`.
"""

from transforms.algorithms import (
    arithmetic,
    collected,
    durations,
    matching,
    quantities,
    results,
    searches,
    sequences,
    timepoints,
    timing,
    values,
)

__all__ = [
    "arithmetic",
    "collected",
    "durations",
    "matching",
    "quantities",
    "results",
    "searches",
    "sequences",
    "timepoints",
    "timing",
    "values",
]
