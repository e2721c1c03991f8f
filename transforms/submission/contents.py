"""What a package holds, as those see it who describe and check it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

import numpy as np
import pyarrow as pa

from transforms.submission.agencies import Agency
from transforms.submission.faults import SHOWN, Fault
from transforms.submission.layout import Layout

TABULATIONS, DATASETS = "tabulations/sdtm", "analysis/adam/datasets"
PROGRAMS = "analysis/adam/programs"


@dataclass(frozen=True)
class Submitted:
    """A dataset of the package: its layout, the bytes its texts use, its records, the file, as in the package.

    `readers` are those that read the file back and found the dataset in it.
    """

    layout: Layout
    lengths: Mapping[str, int]
    records: int
    file: str
    batches: Callable[[], Iterable[pa.RecordBatch]]
    readers: tuple[str, ...] = ()

    def columns(self, *names: str) -> pa.Table:
        """Some of its variables, as a table."""
        wanted = [pa.table({name: _plain(batch.column(name)) for name in names}) for batch in self.batches()]
        return pa.concat_tables(wanted) if wanted else pa.table({name: pa.array([], pa.string()) for name in names})

    def has(self, name: str) -> bool:
        """True if it has a variable of that name."""
        return any(variable.name == name for variable in self.layout.variables)


@dataclass(frozen=True)
class Contents:
    """What a package holds: its datasets, and the size of every file below `m5/datasets/<study>/`, by path.

    `found` has what those who wrote the files found wrong with them, by the name of the check; a check that nobody made
    is not in it.
    """

    studyid: str
    study_folder: str
    agency: Agency
    cut_off: date
    datasets: Sequence[Submitted]
    files: Mapping[str, int]
    found: Mapping[str, Sequence[Fault]] = field(default_factory=dict)

    def dataset(self, name: str) -> Submitted | None:
        """The dataset of that name."""
        return next((one for one in self.datasets if one.layout.name == name), None)


def record_faults(
    one: Submitted, variable: str, found: np.ndarray | pa.ChunkedArray, problem: str, remedy: str
) -> Iterator[Fault]:
    """The fault of the records that are flagged, if any is."""
    numbers = np.flatnonzero(np.asarray(found)) + 1
    if len(numbers):
        first = tuple(int(number) for number in numbers[:SHOWN])
        yield Fault(one.layout.name, variable, problem, remedy, len(numbers), first)


def _plain(column: pa.Array) -> pa.Array:
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
