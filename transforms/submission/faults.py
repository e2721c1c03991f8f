"""Why a dataset cannot be submitted as it is: every fault at once, by dataset, variable and record, never a value."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from transforms.errors import UsageError

SHOWN = 5


@dataclass(frozen=True, order=True)
class Fault:
    """One fault: where, what, in how many records (0: not of a record), the first of them by number, what to do."""

    dataset: str
    variable: str
    problem: str
    remedy: str
    count: int = 0
    records: tuple[int, ...] = ()

    def __str__(self) -> str:
        where = f"{self.dataset}.{self.variable}" if self.variable else self.dataset
        among = ""
        if self.count:
            more = ", ..." if self.count > len(self.records) else ""
            among = f" in {self.count:,} record(s): {', '.join(map(str, self.records))}{more}"
        return f"{where}: {self.problem}{among}. {self.remedy}"


class ExportRefusedError(UsageError):
    """Nothing is written; `faults` holds every fault found."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(sorted(set(faults)))
        lines = "\n".join(f"  - {fault}" for fault in self.faults)
        super().__init__(f"{len(self.faults)} fault(s) stand against the export:\n{lines}")


class RecordFaults:
    """Collects faults of records while a dataset goes by in batches."""

    def __init__(self, dataset: str) -> None:
        self.dataset = dataset
        self._found: dict[tuple[str, str, str], tuple[int, tuple[int, ...]]] = {}

    def add(self, variable: str, problem: str, remedy: str, rows: np.ndarray, before: int) -> None:
        """Note the flagged rows of a batch that has `before` records in front of it."""
        numbers = np.flatnonzero(rows)
        if len(numbers):
            count, records = self._found.get((variable, problem, remedy), (0, ()))
            first = tuple(int(one) + before + 1 for one in numbers[: SHOWN - len(records)])
            self._found[variable, problem, remedy] = (count + len(numbers), records + first)

    def faults(self) -> list[Fault]:
        """What was found."""
        return [Fault(self.dataset, *key, count, records) for key, (count, records) in self._found.items()]

    def refuse(self) -> None:
        """Raise ExportRefusedError if anything was found."""
        if self._found:
            raise ExportRefusedError(self.faults())
