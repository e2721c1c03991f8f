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

    `total` is the id of the column of all subjects, `results` are the rows of a figure.
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

    @property
    def name(self) -> str:
        """The name of its files."""
        return self.output_id.lower().replace(" ", "_")


def pages_of(outputs: pa.Table, results: pa.Table, only: Iterable[str] = ()) -> Iterator[Page]:
    """The pages of all outputs, or of `only` some, in their order."""
    wanted = set(only)
    rows: dict[str, list[Row]] = {}
    for row in results.to_pylist():
        rows.setdefault(row["output_id"], []).append(row)
    for output in sorted(outputs.to_pylist(), key=lambda one: one["output_order"]):
        if not wanted or output["output_id"] in wanted:
            yield _page(output, rows.get(output["output_id"], []))


def _page(output: Row, rows: list[Row]) -> Page:
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
        tuple(output["footnotes"]),
        tuple(widths),
        bool(display["landscape"]),
        display["total"],
        display["figure"],
        rows if output["kind"] == "figure" else (),
    )


def filled(template: str, texts: Mapping[str, str]) -> str:
    """A template such as `{n} ({pct})` with the texts of statistics; brackets around nothing are dropped."""
    if not any(name in texts for name in FIELD.findall(template)):
        return ""
    written = EMPTY.sub("", FIELD.sub(lambda match: texts.get(match[1], ""), template)).strip()
    return "" if not re.search(r"\w", written) else written


class _Table:
    """One table: which texts stand at which levels, and the rows and columns made of them."""

    def __init__(self, display: Mapping[str, Any], rows: Sequence[Row]) -> None:
        self.display = display
        self.groups: dict[str, tuple[str, str]] = {}
        self.analyses: dict[str, dict[Levels, dict[str, dict[str, str]]]] = {one: {} for one in display["analyses"]}
        self.labels: dict[tuple[str, Levels], str] = {}
        self.variables: dict[str, list[str]] = {}
        for row in sorted(rows, key=lambda one: (one["analysis_order"], one["row_order"], one["group_order"])):
            if row["analysis_order"] == 0:
                self.groups[row["group_id"]] = (row["group_label"], row["text"])
                continue
            path = _path(row)
            own = self.analyses[row["analysis_id"]].setdefault(path, {})
            own.setdefault(row["group_id"], {})[row["statistic"]] = row["text"]
            self.labels[row["analysis_id"], path] = row[f"level_{len(path)}_label"] if path else row["analysis_label"]
            names = [row[f"level_{number}_variable"] for number in range(1, len(path) + 1)]
            if len(names) >= len(self.variables.get(row["analysis_id"], ())):
                self.variables[row["analysis_id"]] = names

    def laid_out(self) -> tuple[list[tuple[Heading, ...]], list[BodyRow], list[float]]:
        """Header, rows and widths."""
        across = self.display["across"]
        if across == STATISTICS:
            return self._statistics_across()
        if across:
            return self._levels_across(across)
        cells = self.display["cells"] or [{"label": "", "show": ""}]
        first = Heading(self.display["rows"])
        headings = [(first, *(Heading(self._column(one), len(cells)) for one in self.groups))]
        if self.display["cells"]:
            headings.append((Heading(""), *(Heading(one["label"]) for _ in self.groups for one in cells)))
        rows = list(self._by_levels() if self.display["arrange"] == "levels" else self._by_analyses())
        return headings, rows, [2.4, *(1.0 for _ in self.groups for _ in cells)]

    def _column(self, group: str) -> str:
        label, size = self.groups[group]
        return f"{label}\n(N={size})"

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
                yield from self._result_rows(self.labels[name, path], groups, lines, depth, flat)

    def _by_levels(self) -> Iterator[BodyRow]:
        paths = list(dict.fromkeys(path for found in self.analyses.values() for path in found))
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
                label = self.display["analyses"][name]["label"]
                lines = self._lines(name)
                plain = len(lines) == 1 and not lines[0]["label"]
                if label and not plain:
                    yield BodyRow(label, len(path), heading=True)
                depth = len(path) + (1 if label and not plain else 0)
                yield from self._result_rows(label, found[path], lines, depth, flat=not plain)

    def _outer(self, name: str, path: Levels, told: set[Levels], offset: int) -> Iterator[BodyRow]:
        """Headings of the levels above a row that have no row of their own."""
        for depth in range(1, len(path)):
            if path[:depth] not in told:
                told.add(path[:depth])
                yield BodyRow(self._outer_label(name, path, depth), depth - 1 + offset, heading=True, strong=depth == 1)

    def _outer_label(self, name: str, path: Levels, depth: int) -> str:
        return self.labels.get((name, path[:depth])) or path[depth - 1].partition("\x1f")[2]

    def _result_rows(
        self,
        label: str,
        groups: Mapping[str, Mapping[str, str]],
        lines: Sequence[Row],
        depth: int,
        flat: bool,
    ) -> Iterator[BodyRow]:
        """The rows of one result: one with the label itself, or the label and a row for each line."""
        if len(lines) == 1 and not lines[0]["label"]:
            yield BodyRow(label, depth, self._texts(groups, lines[0]["show"]), strong=depth == 0)
            return
        if not flat:
            yield BodyRow(label, depth, heading=True, strong=depth == 0)
            depth += 1
        for line in lines:
            yield BodyRow(line["label"], depth, self._texts(groups, line["show"]))

    def _columns(self) -> list[tuple[str, str]]:
        """The group and template of each column; no template where the line says it."""
        cells = self.display["cells"] or [{"label": "", "show": ""}]
        return [(group, cell["show"]) for group in self.groups for cell in cells]

    def _texts(self, groups: Mapping[str, Mapping[str, str]], show: str) -> tuple[str, ...]:
        return tuple(filled(template or show, groups.get(group, {})) for group, template in self._columns())

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
                    texts = tuple(filled(one["show"], groups.get(group, {})) for one in cells)
                    said = f"{label} (N={size})" if several else self.labels[name, path] if path else f"N={size}"
                    rows.append(BodyRow(said, depth if several else max(depth - 1, 0), texts))
        return headings, rows, [2.4, *(1.0 for _ in cells)]

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
                        at = {path[place]: found[path].get(group, {}) for path in paths if len(path) > place}
                        texts = tuple(filled(show, at.get(one, {})) for one in order)
                        said = _label(last[0]) if last else "Subjects"
                        rows.append(BodyRow(said, base + (1 if several else 0), texts))
        headings = [(Heading(self.display["rows"]), *(Heading(one) for one in order.values()))]
        return headings, rows, [2.4, *(1.0 for _ in order)]

    @staticmethod
    def _label_at(path: Levels, place: int) -> str:
        return _label(path[place])


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
        records: dict[tuple[str, int], dict[str, str]] = {}
        for row in rows:
            if row["analysis_id"] == name:
                records.setdefault((row["group_id"], row["row_order"]), {})[row["statistic"]] = row["text"]
        if len(display["analyses"]) > 1:
            body.append(BodyRow(about["label"], 0, heading=True, strong=True))
        if not records:
            body.append(BodyRow(about["none"], 0, heading=True))
        for group, label in groups.items():
            own = [texts for (one, _), texts in records.items() if one == group]
            if own and len(groups) > 1:
                body.append(BodyRow(label, 0, heading=True, strong=True))
            for texts in own:
                cells = tuple(texts.get(one["variable"], "") for one in columns)
                body.append(BodyRow(cells[0], 0, cells[1:]))
    return headings, body, widths
