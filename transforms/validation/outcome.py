"""What a conformance engine says of one rule on one dataset."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Result = Literal["pass", "fail", "not_applicable", "not_run"]
Level = Literal["error", "warning", "information"]
# Failing records named in the table; how many there are is counted whole.
NAMED = 100


@dataclass(frozen=True)
class Outcome:
    """One rule of one engine on one dataset, and on one variable where the engine names it.

    `records` counts those that fail; `numbers` are the first of them, counted from 1 in the order of the dataset.
    `not_applicable` means that there was nothing to look at, `not_run` that the engine could not say. No field ever
    holds a collected value.
    """

    engine: str
    version: str
    rule: str
    domain: str
    variable: str
    severity: Level
    result: Result
    message: str = ""
    records: int = 0
    numbers: tuple[int, ...] = ()


def ranges(numbers: Iterable[int]) -> str:
    """Numbers as people write them: `1-3, 7`."""
    parts: list[list[int]] = []
    for number in sorted(set(numbers)):
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in parts)
