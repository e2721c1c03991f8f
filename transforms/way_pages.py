"""The way back of a snapshot's outputs as a folder of pages that link each other, to be read without a network.

index.html, one page for each output, cells/ with what its numbers were computed from, records/ with one page for each
dataset and subject. Only records and values that an output of the folder leads to are there.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow.parquet as pq

from transforms.errors import UsageError
from transforms.pages import facts_of, read_results
from transforms.pipeline import Home
from transforms.reporting import way
from transforms.reporting.layout import BodyRow, Heading, Origin, Page, Shown, origin_of, pages_of
from transforms.reporting.way import Cell, Computed, Link, Record, Row, Value
from transforms.study import Study
from transforms.study.results import LEVELS
from transforms.trace import CellOrigin, Leaf, Step, Tracer, origins

STYLE = Path(way.__file__).with_name("way.css")
CELLS_ON_A_PAGE = 250


@dataclass(frozen=True)
class Written:
    """Where pages were written, and how many: outputs, pages in all, records and bytes."""

    snapshot_id: str
    path: Path
    outputs: tuple[str, ...]
    pages: int
    records: int
    bytes: int


def write_way(where: Home, study: Study, folder: Path, only: Sequence[str] = ()) -> Written:
    """Write the way back of all outputs of the current snapshot, or of `only` some, into a folder.

    Raises UsageError where the snapshot has no results, an output is unknown, or the folder is not empty.
    """
    snapshot_id, outputs, results = read_results(where, None, only)
    snapshot = where.snapshots.path(snapshot_id)
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise UsageError(f"{folder} is there already. Name a new or an empty folder with --pages")
    facts = facts_of(where, study, snapshot_id)
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in results.to_pylist():
        rows.setdefault(row["output_id"], []).append(row)
    records = _Records(Tracer(snapshot), where.snapshots.manifest(snapshot_id)["records"])
    folder.parent.mkdir(parents=True, exist_ok=True)
    pages = tuple(pages_of(outputs, results, only))
    with TemporaryDirectory(dir=folder.parent, prefix=".writing-") as partial:
        # The temporary folder is its owner's alone; the pages are as open as other files written here.
        made = Path(partial) / "pages"
        (made / "cells").mkdir(parents=True)
        (made / "records").mkdir()
        shutil.copyfile(STYLE, made / STYLE.name)
        for page in pages:
            found = origins(snapshot, rows.get(page.output_id, []))
            cells = _Cells(page, found, records)
            texts = cells.pages()
            for number, some in enumerate(texts, start=1):
                text = way.cells(page, some, number, len(texts), facts)
                (made / "cells" / cells.file(number)).write_text(text, encoding="utf-8")
            text = way.output(cells.page, [cells.row(row) for row in cells.page.rows], cells.groups(), facts)
            (made / f"{page.name}.html").write_text(text, encoding="utf-8")
        for name, (dataset, subject, those) in records.pages():
            text = way.records(dataset, records.label(dataset), subject, those, facts)
            (made / "records" / name).write_text(text, encoding="utf-8")
        listed = [(page, Link(page.output_id, f"{page.name}.html")) for page in pages]
        (made / "index.html").write_text(way.index(listed, facts), encoding="utf-8")
        files = [path for path in made.rglob("*") if path.is_file()]
        size = sum(path.stat().st_size for path in files)
        shutil.copytree(made, folder, dirs_exist_ok=True)
    return Written(snapshot_id, folder, tuple(page.output_id for page in pages), len(files) - 1, len(records), size)


@dataclass
class _Cells:
    """The cells of one output: each result with its place, and the page and section that shows it."""

    page: Page
    found: Sequence[CellOrigin]
    records: _Records
    of: dict[Origin, list[CellOrigin]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for one in self.found:
            self.of.setdefault(origin_of(one.row), []).append(one)
        self.beside: dict[Origin, dict[Origin, None]] = {}
        for text in (text for row in self.page.rows for text in row.cells if isinstance(text, Shown)):
            for origin in text.origins[1:]:
                self.beside.setdefault(text.origins[0], {})[origin] = None
        self.numbers = {origin: number for number, origin in enumerate(self.of)}
        if self.page.kind == "figure":
            self.page = _as_table(self.page, self.of)

    def file(self, number: int) -> str:
        """The name of the `number`-th page of cells."""
        return f"{self.page.name}.html" if number == 1 else f"{self.page.name}_{number}.html"

    def link(self, text: str, folder: str = "cells/") -> Link:
        """A text that leads to the result it shows, to the first of several; a plain text where it shows none."""
        if not isinstance(text, Shown):
            return Link(text, "")
        number = self.numbers[text.origins[0]]
        return Link(text, f"{folder}{self.file(number // CELLS_ON_A_PAGE + 1)}#c{number + 1}")

    def row(self, row: BodyRow) -> Row:
        """A row of the output with links."""
        cells = tuple(self.link(one) for one in row.cells)
        return Row(self.link(row.label), row.depth, cells, row.heading, row.strong)

    def groups(self) -> list[Link]:
        """The columns with their subjects."""
        return [
            self.link(Shown(f"{some[0].row['group_label']} (N={some[0].row['text']})", [origin]))
            for origin, some in self.of.items()
            if some[0].row["analysis_order"] == 0
        ]

    def pages(self) -> list[list[Cell]]:
        """The cells, so many on a page; their records are remembered to be written."""
        cells = [self._cell(number, some) for number, some in enumerate(self.of.values(), start=1)]
        return [cells[start : start + CELLS_ON_A_PAGE] for start in range(0, len(cells), CELLS_ON_A_PAGE)]

    def _cell(self, number: int, some: Sequence[CellOrigin]) -> Cell:
        row = some[0].row
        computed: dict[str, list[CellOrigin]] = {}
        for one in some:
            computed.setdefault(one.row["selection"], []).append(one)
        return Cell(
            f"c{number}",
            _place(row),
            row["population"],
            row["population_where"],
            tuple(self._computed(together) for together in computed.values()),
            tuple(
                self.link(Shown(_place(self.of[one][0].row), [one]), "") for one in self.beside.get(origin_of(row), ())
            ),
        )

    def _computed(self, some: Sequence[CellOrigin]) -> Computed:
        first = some[0]
        variables = dict.fromkeys(name for one in some for name in one.variables)
        by_subject: dict[str, list[Link]] = {}
        for record in first.records:
            self.records.follow(first.dataset, record, variables)
            link = self.records.link(first.dataset, record, "../records/")
            by_subject.setdefault(self.records.subject(first.dataset, record), []).append(link)
        return Computed(
            tuple((one.row["statistic"], one.row["text"]) for one in some),
            first.row["method"],
            "; ".join(dict.fromkeys(one.row["note"] for one in some if one.row["note"])),
            first.dataset,
            first.row["source_where"],
            first.row["n_records"],
            first.row["n_subjects"],
            first.row["sources"],
            tuple((subject, tuple(links)) for subject, links in by_subject.items()),
        )


@dataclass
class _Records:
    """The records that cells lead to, with the values on the way from there."""

    tracer: Tracer
    described: Mapping[str, Mapping[str, Any]]
    values: dict[tuple[str, int], dict[str, Step]] = field(default_factory=dict)
    names: dict[tuple[str, int], tuple[str, str]] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known = {
            subject
            for path in sorted(self.tracer.snapshot.glob("sdtm/*.parquet"))
            if "USUBJID" in pq.read_schema(path).names
            for subject in pq.read_table(path, columns=["USUBJID"])["USUBJID"].unique().to_pylist()
        }
        self.numbers = {subject: number for number, subject in enumerate(sorted(known - {None}), start=1)}

    def __len__(self) -> int:
        return len(self.values)

    def follow(self, dataset: str, record: int, variables: Mapping[str, None]) -> None:
        """Remember some values of a record and every value on the way back from them."""
        own = self.values.setdefault((dataset, record), {})
        waiting = [self.tracer.trace(dataset, record, name) for name in variables if name not in own]
        while waiting:
            step = waiting.pop()
            own = self.values.setdefault((step.dataset, step.record), {})
            if step.variable not in own:
                own[step.variable] = step
                waiting.extend(step.inputs)
        for link in self._made_of(dataset, record):
            self.values.setdefault((link["source"], link["line"]), {})

    def subject(self, dataset: str, record: int) -> str:
        """The subject of a record, empty where it has none."""
        return self._named(dataset, record)[0]

    def label(self, dataset: str) -> str:
        """The label of a dataset."""
        label = (self.tracer.dataset(dataset).schema.metadata or {}).get(b"label", dataset.encode())
        return str(label.decode())

    def link(self, dataset: str, record: int, folder: str = "", variable: str = "") -> Link:
        """A link to a record, with its key but for study and subject, or to one of its variables."""
        text = f"{dataset}.{variable}" if variable else self._named(dataset, record)[1] or f"record {record}"
        return Link(text, f"{folder}{self._page(dataset, record)}#r{record}")

    def pages(self) -> Iterator[tuple[str, tuple[str, str, list[Record]]]]:
        """The name of each page, its dataset, subject and records."""
        for dataset, record in list(self.values):
            for link in self._made_of(dataset, record):
                self.values.setdefault((link["source"], link["line"]), {})
        found: dict[str, list[tuple[str, int]]] = {}
        for place in sorted(self.values):
            found.setdefault(self._page(*place), []).append(place)
        for name, places in found.items():
            dataset, record = places[0]
            yield name, (dataset, self.subject(dataset, record), [self._record(*place) for place in places])

    def _record(self, dataset: str, record: int) -> Record:
        own = self.values[dataset, record]
        order = {name: place for place, name in enumerate(self.tracer.dataset(dataset).column_names)}
        steps = sorted(own.values(), key=lambda step: (order.get(step.variable, len(order)), step.variable))
        made_of = []
        for link in self._made_of(dataset, record):
            leads = self.link(link["source"], link["line"])
            made_of.append(Link(f"{link['source']} {leads.text}", leads.href))
        key = self._named(dataset, record)[1]
        name = f"{dataset} record {record}" + (f": {key}" if key else "")
        return Record(f"r{record}", name, tuple(made_of), tuple(self._row(step) for step in steps))

    def _row(self, step: Step) -> Value:
        read = dict.fromkeys(self.link(one.dataset, one.record, "", one.variable) for one in step.inputs)
        return Value(
            step.variable,
            "" if step.value is None else step.value,
            step.rule,
            step.specification,
            tuple(read),
            tuple(_said(leaf) for leaf in step.leaves),
        )

    def _made_of(self, dataset: str, record: int) -> list[dict[str, Any]]:
        links = self.tracer.links(dataset, record)
        return [link for link in links if link["variable"] is None and link["kind"] == "record"]

    def _page(self, dataset: str, record: int) -> str:
        number = self.numbers.get(self.subject(dataset, record))
        return f"{dataset.lower()}.html" if number is None else f"{dataset.lower()}_{number:04d}.html"

    def _named(self, dataset: str, record: int) -> tuple[str, str]:
        """The subject of a record, and its key but for study and subject; each empty where there is none."""
        if (dataset, record) not in self.names:
            keys = self.described.get(dataset, {}).get("keys", ()) or ("IDVAR", "IDVARVAL", "QNAM")
            values = [
                self.tracer.value(dataset, record, name) or ""
                for name in ("USUBJID", *(key for key in keys if key not in {"STUDYID", "USUBJID"}))
            ]
            self.names[dataset, record] = values[0], " ".join(filter(None, values[1:]))
        return self.names[dataset, record]


def _place(row: Mapping[str, Any]) -> str:
    """Where a result stands, in words."""
    levels = [row[f"level_{number}_label"] or row[f"level_{number}"] for number in range(1, LEVELS + 1)]
    return ", ".join(part for part in (row["analysis_label"], *levels, row["group_label"]) if part)


def _drawn(row: Mapping[str, Any]) -> str:
    """A point of a figure in words: many have one label, and differ in the value it stands for."""
    levels = [(row[f"level_{number}_label"], row[f"level_{number}"]) for number in range(1, LEVELS + 1)]
    words = [" ".join(dict.fromkeys(filter(None, level))) for level in levels]
    return ", ".join(part for part in (row["analysis_label"], *words, row["group_label"]) if part)


def _statistics(some: Sequence[CellOrigin]) -> str:
    return "; ".join(f"{one.row['statistic']} {one.row['text']}" for one in some)


def _as_table(page: Page, results: Mapping[Origin, Sequence[CellOrigin]]) -> Page:
    """A figure as the numbers it was drawn from."""
    rows = tuple(
        BodyRow(_drawn(some[0].row), 0, (Shown(_statistics(some), [origin]),)) for origin, some in results.items()
    )
    return replace(page, headings=((Heading("Drawn"), Heading("Statistics")),), rows=rows)


def _said(leaf: Leaf) -> str:
    """The end of a way in words."""
    line = f" line {leaf.line}" if leaf.line else ""
    columns = f", column {', '.join(leaf.columns)}" if leaf.columns else ""
    digest = f" (sha256 {leaf.sha256[:12]})" if leaf.sha256 else ""
    return f"{leaf.kind}: {leaf.file}{line}{columns}{digest}"
