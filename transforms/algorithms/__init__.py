"""What a specification can say: the algorithms that fill variables, each declaring what it reads.

A new ability is a new class here, registered under its word; see `transforms.algorithms.base`.
"""

from transforms.algorithms import (
    collected,
    durations,
    matching,
    neighbours,
    occurrences,
    quantities,
    results,
    scores,
    searches,
    timepoints,
    timing,
    values,
)

__all__ = [
    "collected",
    "durations",
    "matching",
    "neighbours",
    "occurrences",
    "quantities",
    "results",
    "scores",
    "searches",
    "timepoints",
    "timing",
    "values",
]
