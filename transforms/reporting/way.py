"""The way back as pages: outputs whose cells are links, cells with their records, records with rules and raw lines.

Each page is HTML without scripts or references to anything outside its folder. The same snapshot gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from transforms.reporting.delivery import template
from transforms.reporting.layout import Facts, Page


@dataclass(frozen=True)
class Link:
    """A text that leads to another place of the pages."""

    text: str
    href: str


@dataclass(frozen=True)
class Computed:
    """Statistics of a cell that were computed from the same records.

    `statistics` are names and texts, `where` is the condition on the dataset, `read` the variables that were read,
    `records` the links to the records by subject.
    """

    statistics: tuple[tuple[str, str], ...]
    method: str
    note: str
    dataset: str
    where: str
    n_records: int
    n_subjects: int
    read: str
    records: tuple[tuple[str, tuple[Link, ...]], ...]


@dataclass(frozen=True)
class Cell:
    """A cell of an output: its place in words, the population, what was computed, and the results shown beside it."""

    id: str
    place: str
    population: str
    population_where: str
    computed: tuple[Computed, ...]
    beside: tuple[Link, ...] = ()


@dataclass(frozen=True)
class Value:
    """A value of a record, the rule that filled it and where that stands, what it read, and where the way ends."""

    variable: str
    value: str
    rule: str
    specification: str
    read: tuple[Link, ...]
    ends: tuple[str, ...]


@dataclass(frozen=True)
class Record:
    """A record: what names it, the records it was made of, and its values that were asked for."""

    id: str
    name: str
    made_of: tuple[Link, ...]
    values: tuple[Value, ...]


@dataclass(frozen=True)
class Row:
    """A row of an output, each of its cells a link or, where nothing was computed, a plain text."""

    label: Link
    depth: int
    cells: tuple[Link, ...]
    heading: bool
    strong: bool


def index(outputs: Sequence[tuple[Page, Link]], facts: Facts) -> str:
    """The list of the outputs."""
    return template("way_index.html.j2").render(outputs=outputs, facts=facts, up="")


def output(page: Page, rows: Sequence[Row], groups: Sequence[Link], facts: Facts) -> str:
    """An output, each cell a link to what it was computed from; `groups` lead to the subjects of the columns."""
    columns = max((sum(one.span for one in line) for line in page.headings), default=1)
    return template("way_output.html.j2").render(
        page=page, rows=rows, groups=groups, columns=columns, facts=facts, up=""
    )


def cells(page: Page, some: Sequence[Cell], number: int, of: int, facts: Facts) -> str:
    """Some cells of an output, the `number`-th of `of` pages."""
    return template("way_cells.html.j2").render(page=page, cells=some, number=number, of=of, facts=facts, up="../")


def records(dataset: str, label: str, subject: str, some: Sequence[Record], facts: Facts) -> str:
    """The records of one subject in one dataset."""
    return template("way_records.html.j2").render(
        dataset=dataset, label=label, subject=subject, records=some, facts=facts, up="../"
    )
