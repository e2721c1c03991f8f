"""Outputs laid out as pages: header, rows and footnotes, made from the dataset of results alone.

A page is the same whether it is then written as HTML or as RTF.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

Row = Mapping[str, Any]
Levels = tuple[str, ...]
LEVELS = 4
STATISTICS = "statistics"
BESIDE = "beside"
FIELD = re.compile(r"\{([^{}]*)\}")
EMPTY = re.compile(r"\s*\(\s*(?:[,/%\-]\s*)*\)")
NO_RESULT = "No records"


@dataclass(frozen=True)
class Facts:
    """What every page says of where it is from. `label` is what the deliveries say of themselves."""

    study: str
    title: str
    snapshot_id: str
    cut_off: str
    label: str = ""


Origin = tuple[str, str, int]
"""What names a result of an output: its analysis, its group, and the place of its levels."""


class Shown(str):
    """The text of a cell that knows the results it shows."""

    __slots__ = ("origins",)
    origins: tuple[Origin, ...]

    def __new__(cls, text: str, origins: Iterable[Origin]) -> Shown:
        """A text and its results."""
        shown = super().__new__(cls, text)
        shown.origins = tuple(origins)
        return shown


@dataclass(frozen=True)
class Result:
    """The texts of statistics that stand in one cell, and the results they are of, several where analyses join."""

    origins: list[Origin] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Heading:
    """A cell of a table's header, over `span` columns."""

    text: str
    span: int = 1


@dataclass(frozen=True)
class BodyRow:
    """A row: its label, how deep it is indented, and a text for each column; a `heading` has no texts."""

    label: str
    depth: int
    cells: tuple[str, ...] = ()
    heading: bool = False
    strong: bool = False


@dataclass(frozen=True)
class Page:
    """One output ready to be written; `widths` of the columns are relative to each other.

    `total` is the id of the column of all subjects, `results` are the rows of a figure, `gate` those of the gate's
    tables for a figure that draws them.
    """

    output_id: str
    kind: str
    title: str
    subtitle: str
    population: str
    headings: tuple[tuple[Heading, ...], ...]
    rows: tuple[BodyRow, ...]
    footnotes: tuple[str, ...]
    widths: tuple[float, ...]
    landscape: bool
    total: str = ""
    figure: Mapping[str, Any] | None = None
    results: Sequence[Row] = field(default=(), repr=False)
    gate: Mapping[str, Sequence[Row]] = field(default_factory=dict, repr=False)

    @property
    def name(self) -> str:
        """The name of its files."""
        return self.output_id.lower().replace(" ", "_")


def pages_of(
    outputs: pa.Table, results: pa.Table, only: Iterable[str] = (), gate: Mapping[str, Sequence[Row]] | None = None
) -> Iterator[Page]:
    """The pages of all outputs, or of `only` some, in their order; `gate` are the rows of the gate's tables by name."""
    wanted = set(only)
    rows: dict[str, list[Row]] = {}
    for row in results.to_pylist():
        rows.setdefault(row["output_id"], []).append(row)
    for output in sorted(outputs.to_pylist(), key=lambda one: one["output_order"]):
        if not wanted or output["output_id"] in wanted:
            yield _page(output, rows.get(output["output_id"], []), gate or {})


def _page(output: Row, rows: list[Row], gate: Mapping[str, Sequence[Row]]) -> Page:
    display = json.loads(output["display"])
    display["analyses"] = {one["id"]: one for one in display["analyses"]}
    headings: list[tuple[Heading, ...]] = []
    body: list[BodyRow] = []
    widths = [1.0]
    if output["kind"] == "listing":
        headings, body, widths = _listing(display, rows)
    elif output["kind"] == "table":
        headings, body, widths = _Table(display, rows).laid_out()
    return Page(
        output["output_id"],
        output["kind"],
        output["title"],
        output["subtitle"],
        output["population"],
        tuple(headings),
        tuple(body),
        tuple(output["footnotes"].splitlines()),
        tuple(widths),
        bool(display["landscape"]),
        display["total"],
        display["figure"],
        rows if output["kind"] == "figure" else (),
        gate if output["kind"] == "figure" else {},
    )


def filled(template: str, texts: Mapping[str, str]) -> str:
    """A template such as `{n} ({pct})` with the texts of statistics; brackets around nothing are dropped."""
    if not any(name in texts for name in FIELD.findall(template)):
        return ""
    written = EMPTY.sub("", FIELD.sub(lambda match: texts.get(match[1], ""), template)).strip()
    return "" if not re.search(r"\w", written) else written


def _shown(template: str, result: Result | None) -> str:
    return "" if result is None else Shown(filled(template, result.texts), result.origins)


def origin_of(row: Row) -> Origin:
    """The result that a row of the results belongs to."""
    return row["analysis_id"], row["group_id"], row["row_order"]


class _Table:
    """One table: which texts stand at which levels, and the rows and columns made of them."""

    def __init__(self, display: Mapping[str, Any], rows: Sequence[Row]) -> None:
        self.display = display
        self.groups: dict[str, tuple[str, str]] = {}
        self.analyses: dict[str, dict[Levels, dict[str, Result]]] = {one: {} for one in display["analyses"]}
        self.labels: dict[tuple[str, Levels], str] = {}
        self.variables: dict[str, list[str]] = {}
        for row in sorted(rows, key=lambda one: (one["analysis_order"], one["row_order"], one["group_order"])):
            if row["analysis_order"] == 0:
                self.groups[row["group_id"]] = (row["group_label"], row["text"])
                continue
            path = _path(row)
            own = self.analyses[row["analysis_id"]].setdefault(path, {})
            own.setdefault(row["group_id"], Result([origin_of(row)])).texts[row["statistic"]] = row["text"]
            self.labels[row["analysis_id"], path] = row[f"level_{len(path)}_label"] if path else row["analysis_label"]
            names = [row[f"level_{number}_variable"] for number in range(1, len(path) + 1)]
            if len(names) >= len(self.variables.get(row["analysis_id"], ())):
                self.variables[row["analysis_id"]] = names
        if display["arrange"] == BESIDE:
            self.analyses = self._joined()

    def laid_out(self) -> tuple[list[tuple[Heading, ...]], list[BodyRow], list[float]]:
        """Header, rows and widths."""
        across = self.display["across"]
        if across == STATISTICS:
            return self._statistics_across()
        if across:
            return self._levels_across(across)
        first = Heading(self.display["rows"])
        spans = {group: len(self._cells(group)) for group in self.groups}
        headings = [(first, *(Heading(self._column(group), span) for group, span in spans.items()))]
        if self.display["cells"]:
            headings.append((Heading(""), *(Heading(one["label"]) for group in spans for one in self._cells(group))))
        rows = list(self._by_levels() if self.display["arrange"] == "levels" else self._by_analyses())
        return headings, rows, _widths([one["width"] for group in spans for one in self._cells(group)])

    def _joined(self) -> dict[str, dict[Levels, dict[str, Result]]]:
        """All analyses as one, their statistics named after them."""
        first = next(iter(self.analyses))
        joined: dict[Levels, dict[str, Result]] = {}
        for name, found in self.analyses.items():
            for path, groups in found.items():
                self.labels.setdefault((first, path), self.labels[name, path])
                for group, result in groups.items():
                    own = joined.setdefault(path, {}).setdefault(group, Result())
                    own.origins.extend(result.origins)
                    own.texts.update({f"{name}.{statistic}": text for statistic, text in result.texts.items()})
        return {first: joined}

    def _column(self, group: str) -> str:
        label, size = self.groups[group]
        return label if group in self.display["comparisons"] else f"{label}\n(N={size})"

    def _cells(self, group: str) -> list[Row]:
        """The sub-columns of a column; a comparison has one."""
        one: Row = {"label": "", "show": "", "width": 1.0}
        cells: list[Row] = self.display["cells"] or [one]
        return [one] if group in self.display["comparisons"] else cells

    def _by_analyses(self) -> Iterator[BodyRow]:
        for name, found in self.analyses.items():
            about = self.display["analyses"][name]
            lines = self._lines(name)
            if not found:
                if about["label"]:
                    yield BodyRow(about["label"], 0, heading=True)
                    yield BodyRow(NO_RESULT, 1, tuple("" for _ in self._columns()))
                continue
            flat = set(found) == {()}
            nested = () in found and not flat
            told: set[Levels] = set()
            offset = 0
            if about["label"] and not (nested or (flat and len(lines) == 1 and not lines[0]["label"])):
                yield BodyRow(about["label"], 0, heading=True, strong=True)
                offset = 1
            for path, groups in found.items():
                yield from self._outer(name, path, told, offset)
                told.add(path)
                depth = len(path) - 1 + offset if path else offset
                depth += 1 if nested and path else 0
                yield from self._result_rows(self.labels[name, path], groups, lines, depth, flat, about["compared"])

    def _by_levels(self) -> Iterator[BodyRow]:
        paths = _in_order(path for found in self.analyses.values() for path in found)
        told: set[Levels] = set()
        for path in paths:
            name = next(one for one, found in self.analyses.items() if path in found)
            yield from self._outer(name, path, told, 0)
            if path:
                yield BodyRow(self.labels[name, path], len(path) - 1, heading=True, strong=len(path) == 1)
            told.add(path)
            for name, found in self.analyses.items():
                if path not in found:
                    continue
                about = self.display["analyses"][name]
                label, lines = about["label"], self._lines(name)
                plain = len(lines) == 1 and not lines[0]["label"]
                if label and not plain:
                    yield BodyRow(label, len(path), heading=True)
                depth = len(path) + (1 if label and not plain else 0)
                yield from self._result_rows(label, found[path], lines, depth, not plain, about["compared"])

    def _outer(self, name: str, path: Levels, told: set[Levels], offset: int) -> Iterator[BodyRow]:
        """Headings of the levels above a row that have no row of their own."""
        for depth in range(1, len(path)):
            if path[:depth] not in told:
                told.add(path[:depth])
                place = depth - 1 + offset
                yield BodyRow(self._outer_label(name, path, depth), place, heading=True, strong=place == 0)

    def _outer_label(self, name: str, path: Levels, depth: int) -> str:
        return self.labels.get((name, path[:depth])) or path[depth - 1].partition("\x1f")[2]

    def _result_rows(
        self,
        label: str,
        groups: Mapping[str, Result],
        lines: Sequence[Row],
        depth: int,
        flat: bool,
        compared: str,
    ) -> Iterator[BodyRow]:
        """The rows of one result: one with the label itself, or the label and a row for each line.

        What is `compared` of groups stands in the first of them.
        """
        if len(lines) == 1 and not lines[0]["label"]:
            yield BodyRow(label, depth, self._texts(groups, lines[0]["show"], compared), strong=depth == 0)
            return
        if not flat:
            yield BodyRow(label, depth, heading=True, strong=depth == 0)
            depth += 1
        for number, line in enumerate(lines):
            yield BodyRow(line["label"], depth, self._texts(groups, line["show"], "" if number else compared))

    def _columns(self, compared: str = "") -> list[tuple[str, str]]:
        """The group and template of each column; no template where the line says it."""
        return [
            (group, compared if group in self.display["comparisons"] else cell["show"])
            for group in self.groups
            for cell in self._cells(group)
        ]

    def _texts(self, groups: Mapping[str, Result], show: str, compared: str) -> tuple[str, ...]:
        return tuple(_shown(template or show, groups.get(group)) for group, template in self._columns(compared))

    def _lines(self, name: str) -> list[Row]:
        if self.display["cells"]:
            return [{"label": "", "show": ""}]
        lines: list[Row] = self.display["analyses"][name]["lines"]
        return lines

    def _statistics_across(self) -> tuple[list[tuple[Heading, ...]], list[BodyRow], list[float]]:
        """The statistics in columns: each result has a row for each group."""
        cells = self.display["cells"]
        headings = [(Heading(self.display["rows"]), *(Heading(one["label"]) for one in cells))]
        rows: list[BodyRow] = []
        for name, found in self.analyses.items():
            about = self.display["analyses"][name]
            offset = 0
            if about["label"] and (found or len(self.analyses) > 1):
                rows.append(BodyRow(about["label"], 0, heading=True, strong=True))
                offset = 1
            if not found:
                rows.append(BodyRow(NO_RESULT, offset, tuple("" for _ in cells)))
            told: set[Levels] = set()
            for path, groups in found.items():
                rows.extend(self._outer(name, path, told, offset))
                told.add(path)
                depth = offset + len(path)
                several = len(self.groups) > 1
                if path and several:
                    rows.append(BodyRow(self.labels[name, path], depth - 1, heading=True, strong=depth == 1))
                for group, (label, size) in self.groups.items():
                    texts = tuple(_shown(one["show"], groups.get(group)) for one in cells)
                    said = f"{label} (N={size})" if several else self.labels[name, path] if path else f"N={size}"
                    rows.append(BodyRow(said, depth if several else max(depth - 1, 0), texts))
        return headings, rows, _widths([one["width"] for one in cells])

    def _levels_across(self, variable: str) -> tuple[list[tuple[Heading, ...]], list[BodyRow], list[float]]:
        """The values of one by-variable in columns: the groups stand above the last other level."""
        order: dict[str, str] = {}
        rows: list[BodyRow] = []
        for name, found in self.analyses.items():
            place = self.variables.get(name, [variable]).index(variable)
            for path in found:
                if len(path) > place:
                    order.setdefault(path[place], self._label_at(path, place))
        for name, found in self.analyses.items():
            place = self.variables.get(name, [variable]).index(variable)
            about, show = self.display["analyses"][name], self._lines(name)[0]["show"]
            offset = 0
            if about["label"]:
                rows.append(BodyRow(about["label"], 0, heading=True, strong=True))
                offset = 1
            told: set[Levels] = set()
            others: dict[Levels, dict[Levels, list[Levels]]] = {}
            for path in found:
                rest = (*path[:place], *path[place + 1 :])
                others.setdefault(rest[:-1], {}).setdefault(rest[-1:], []).append(path)
            for outer, inner in others.items():
                for depth in range(1, len(outer) + 1):
                    if outer[:depth] not in told:
                        told.add(outer[:depth])
                        rows.append(BodyRow(_label(outer[depth - 1]), depth - 1 + offset, heading=True, strong=True))
                for group, (label, size) in self.groups.items():
                    base = len(outer) + offset
                    several = len(self.groups) > 1 or not outer
                    if several:
                        rows.append(BodyRow(f"{label} (N={size})", base, heading=True))
                    for last, paths in inner.items():
                        at = {path[place]: found[path].get(group) for path in paths if len(path) > place}
                        texts = tuple(_shown(show, at.get(one)) for one in order)
                        said = _label(last[0]) if last else "Subjects"
                        rows.append(BodyRow(said, base + (1 if several else 0), texts))
        headings = [(Heading(self.display["rows"]), *(Heading(one) for one in order.values()))]
        return headings, rows, _widths([1.0] * len(order))

    @staticmethod
    def _label_at(path: Levels, place: int) -> str:
        return _label(path[place])


def _widths(columns: Sequence[float]) -> list[float]:
    """Relative widths: labels take more, and more still beside many narrow columns."""
    return [max(2.4, 0.45 * sum(columns)), *columns]


def _in_order(paths: Iterable[Levels]) -> list[Levels]:
    """Paths in the order given, each after the one it lies below and before the next beside that."""
    below: dict[Levels, list[Levels]] = {}
    seen: set[Levels] = set()
    for path in paths:
        if path not in seen:
            parent = next((path[:end] for end in range(len(path) - 1, 0, -1) if path[:end] in seen), ())
            below.setdefault(parent if path else (), []).append(path)
            seen.add(path)
    found: list[Levels] = []
    waiting = below.get((), [])[::-1]
    while waiting:
        path = waiting.pop()
        found.append(path)
        waiting.extend(below.get(path, [])[::-1] if path else [])
    return found


def _path(row: Row) -> Levels:
    """The levels of a result, each as value and label."""
    found = []
    for number in range(1, LEVELS + 1):
        if not row[f"level_{number}_variable"]:
            break
        found.append(f"{row[f'level_{number}']}\x1f{row[f'level_{number}_label']}")
    return tuple(found)


def _label(step: str) -> str:
    return step.partition("\x1f")[2]


def _listing(
    display: Mapping[str, Any], rows: Sequence[Row]
) -> tuple[list[tuple[Heading, ...]], list[BodyRow], list[float]]:
    """A listing: one row for each record, under the label of its group."""
    headings: list[tuple[Heading, ...]] = []
    body: list[BodyRow] = []
    widths: list[float] = []
    groups = {row["group_id"]: row["group_label"] for row in rows if row["analysis_order"] == 0}
    for name, about in display["analyses"].items():
        columns = about["columns"]
        if not headings:
            headings = [tuple(Heading(one["label"]) for one in columns)]
            widths = [one["width"] for one in columns]
        records: dict[tuple[str, int], Result] = {}
        for row in rows:
            if row["analysis_id"] == name:
                place = (row["group_id"], row["row_order"])
                records.setdefault(place, Result([origin_of(row)])).texts[row["statistic"]] = row["text"]
        if len(display["analyses"]) > 1:
            body.append(BodyRow(about["label"], 0, heading=True, strong=True))
        if not records:
            body.append(BodyRow(about["none"], 0, heading=True))
        for group, label in groups.items():
            own = [result for (one, _), result in records.items() if one == group]
            if own and len(groups) > 1:
                body.append(BodyRow(label, 0, heading=True, strong=True))
            for result in own:
                cells = tuple(Shown(result.texts.get(one["variable"], ""), result.origins) for one in columns)
                body.append(BodyRow(cells[0], 0, cells[1:]))
    return headings, body, widths
