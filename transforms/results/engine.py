"""The analyses of a study, one after the other: columns, cells, methods, and the dataset of results."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

from transforms.results.comparisons import COMPARISONS
from transforms.results.levels import Combination, Unlisted, combinations, shapes_of
from transforms.results.methods import METHODS
from transforms.results.records import (
    COLUMNS,
    OUTPUT_COLUMNS,
    OUTPUTS,
    POPULATION,
    TABLE,
    Cell,
    Column,
    Group,
    Result,
    Statistic,
    table_of,
)
from transforms.results.selection import Frames, Selection, numbers_of
from transforms.study.results import LEVELS, Analysis, Count, Grouping, Output, Results

SUBJECTS = "ADSL"


@dataclass(frozen=True)
class NotShown:
    """Records of an analysis that no level takes: `value` is None where the by-variable is missing.

    `grouped` is False where the subjects are in none of the groups.
    """

    output: str
    analysis: str
    dataset: str
    variable: str
    value: str | None
    records: np.ndarray
    grouped: bool = True


@dataclass(frozen=True)
class Analysed:
    """The dataset of results, the outputs, and what was left out of them."""

    results: pa.Table
    outputs: pa.Table
    not_shown: tuple[NotShown, ...]


def analyse(results: Results, frames: Frames, keys: Mapping[str, tuple[str, ...]]) -> Analysed:
    """Every analysis of every output, from analysis datasets by name; `keys` are their natural keys."""
    engine = _Engine(results, frames, keys)
    rows: list[dict[str, object]] = []
    described = []
    for order, (name, output) in enumerate(results.outputs.items(), start=1):
        rows.extend(engine.output(name, order, output))
        described.append(_described(results, name, order, output))
    return Analysed(
        table_of(TABLE, COLUMNS, rows), table_of(OUTPUTS, OUTPUT_COLUMNS, described), tuple(engine.not_shown)
    )


class _Engine:
    def __init__(self, results: Results, frames: Frames, keys: Mapping[str, tuple[str, ...]]) -> None:
        self.results = results
        self.frames = frames
        self.keys = keys
        self.numbers = numbers_of(frames)
        self.not_shown: list[NotShown] = []
        self._places = {}
        names = pd.Index(frames[SUBJECTS]["USUBJID"].astype(object))
        for name in sorted(results.datasets()):
            self._places[name] = names.get_indexer(pd.Index(frames[name]["USUBJID"].astype(object)))
        self._subsets = {
            name: Selection(results.subset(name).dataset).where(results.subset(name).where)
            for name in {*results.data_subsets, *results.datasets()}
        }

    def output(self, name: str, order: int, output: Output) -> Iterator[dict[str, object]]:
        """The rows of one output, the subjects of its columns first."""
        groups = self.groups(output.columns, output.population)
        compared = [one for one, _ in self.compared(output.columns, output.population, groups)]
        for group in (*groups, *compared):
            size = int(group.mask.sum())
            result = Result((), group.selection, size, size, [Statistic("n", size, str(size))], 0)
            about = {
                "output_id": name, "output_order": order, "analysis_id": POPULATION, "analysis_order": 0,
                "analysis_label": "Subjects", "method": "count",
            }  # fmt: skip
            yield from self.rows(about, output.population, group, result, {("ADSL", "USUBJID")})
        for place, analysis in enumerate(output.analyses, start=1):
            about = {
                "output_id": name, "output_order": order, "analysis_id": analysis.id, "analysis_order": place,
                "analysis_label": analysis.label, "method": getattr(analysis, "method", ""),
            }  # fmt: skip
            population = analysis.population or output.population
            read = self.read(analysis)
            for column in self.columns(name, analysis, output.columns, population):
                methods = COMPARISONS if column.compared and not analysis.whole else METHODS
                for result in methods[str(about["method"])](analysis, column):
                    yield from self.rows(about, population, column.group, result, read)

    def groups(self, grouping: str, population: str) -> list[Group]:
        """The columns of a grouping within a population."""
        adsl = self.frames[SUBJECTS]
        everyone = Selection(SUBJECTS).where(self.results.analysis_sets[population].where)
        division: Grouping = self.results.groupings[grouping]
        chosen = [(one.id, one.label, everyone.where(one.where)) for one in division.groups]
        if division.total is not None:
            chosen.append((division.total.id, division.total.label, everyone))
        return [
            Group(name, label, order, selection, selection.holds({SUBJECTS: adsl}))
            for order, (name, label, selection) in enumerate(chosen, start=1)
        ]

    def compared(
        self, grouping: str, population: str, groups: Sequence[Group]
    ) -> Iterator[tuple[Group, tuple[Group, ...]]]:
        """The columns of the comparisons of a grouping, each with the groups it compares."""
        division: Grouping = self.results.groupings[grouping]
        known = {one.id: one for one in groups}
        everyone = Selection(SUBJECTS).where(self.results.analysis_sets[population].where)
        for order, one in enumerate(division.comparisons, start=len(groups) + 1):
            parts = tuple(known[name] for name in one.groups)
            mask = np.logical_or.reduce([part.mask for part in parts])
            yield Group(one.id, one.label, order, everyone.where(division.together(one.groups)), mask), parts

    def columns(self, output: str, analysis: Analysis, grouping: str, population: str) -> Iterator[Column]:
        """Each column of an analysis with the cells it has; every column has the same cells."""
        data = self._subsets[analysis.data].where(analysis.where)
        everyone = Selection(SUBJECTS).where(self.results.analysis_sets[population].where)
        frame, places = self.frames[data.dataset], self._places[data.dataset]
        whole = data.of_subjects(everyone)
        positions = np.flatnonzero(whole.holds(self.frames))
        nested = isinstance(analysis, Count) and analysis.nested
        worst = isinstance(analysis, Count) and analysis.worst is not None
        shapes = shapes_of(analysis.by, nested, worst)
        groups = self.groups(grouping, population)
        masks = {one.id: one.mask for one in groups}
        cells, unlisted = combinations(analysis.by, frame, positions, places[positions], shapes, masks)
        self.not_shown.extend(self._told(output, analysis, data.dataset, unlisted))
        if analysis.many and analysis.divided and len(groups) > 1 and self.results.groupings[grouping].total:
            # Each record stands once: in its group, not in the total again.
            self.not_shown.extend(self._in_no_group(output, analysis, data.dataset, groups, positions))
            groups = groups[:-1]
        self.not_shown.extend(self._unplaced(output, analysis, whole, everyone))
        division = self.results.groupings[grouping]
        among = tuple(groups[: len(division.groups)])
        asked: list[tuple[Group, tuple[Group, ...]]] = [(one, ()) for one in groups]
        if analysis.whole or analysis.tested:
            asked += self.compared(grouping, population, groups)
        for group, compared in asked:
            members, mask = group.selection, group.mask
            if analysis.whole:
                members = everyone.where(division.together(one.id for one in among))
                mask = np.logical_or.reduce([one.mask for one in among])
            selection = data.of_subjects(members)
            inside = (places >= 0) & mask[places]
            own = [self._cell(one, number, selection, inside) for number, one in enumerate(cells)]
            yield Column(
                analysis, group, self.frames, frame, places, selection, own, self.keys[data.dataset], self._subsets,
                compared, among,
            )  # fmt: skip

    def _unplaced(self, output: str, analysis: Analysis, whole: Selection, everyone: Selection) -> Iterator[NotShown]:
        """Subjects without a record whose own value of the first by-variable is not shown."""
        if not isinstance(analysis, Count) or not analysis.absent_level or len(analysis.by) < 2:
            return
        absent = everyone.of_subjects(whole, present=False).holds(self.frames)
        first = analysis.by[0].model_copy(update={"variable": analysis.absent_level})
        rows = np.flatnonzero(absent)
        _, unlisted = combinations((first,), self.frames[SUBJECTS], rows, rows, [(0,)])
        yield from self._told(output, analysis, SUBJECTS, unlisted)

    def _in_no_group(
        self, output: str, analysis: Analysis, dataset: str, groups: list[Group], positions: np.ndarray
    ) -> Iterator[NotShown]:
        grouped = np.logical_or.reduce([one.mask for one in groups[:-1]])
        left = positions[~grouped[self._places[dataset][positions]]]
        if len(left):
            yield NotShown(output, analysis.id, dataset, "USUBJID", None, left, grouped=False)

    @staticmethod
    def _cell(one: Combination, number: int, selection: Selection, inside: np.ndarray) -> Cell:
        tests = {level.variable: level.test for level in one.levels if level.test is not None}
        return Cell(one.levels, selection.where(tests), one.positions[inside[one.positions]], number)

    @staticmethod
    def _told(output: str, analysis: Analysis, dataset: str, unlisted: list[Unlisted]) -> Iterator[NotShown]:
        for one in unlisted:
            yield NotShown(output, analysis.id, dataset, one.variable, one.value, one.positions)

    def read(self, analysis: Analysis) -> set[tuple[str, str]]:
        """The variables that an analysis reads beyond its conditions."""
        dataset = self.results.subset(analysis.data).dataset
        own = {(dataset, name) for name in (*analysis.variables(), *(by.variable for by in analysis.by))}
        return own | {(SUBJECTS, name) for name in analysis.subject_variables()}

    def rows(
        self,
        about: Mapping[str, object],
        population: str,
        group: Group,
        result: Result,
        read: set[tuple[str, str]],
    ) -> Iterator[dict[str, object]]:
        """The rows of one result, one for each statistic."""
        members = self.results.analysis_sets[population]
        everyone = Selection(SUBJECTS).where(members.where)
        sources = sorted({*read, *result.selection.variables(), (result.selection.dataset, "USUBJID")})
        levels: dict[str, object] = {}
        for number in range(LEVELS):
            level = result.levels[number] if number < len(result.levels) else None
            levels[f"level_{number + 1}_variable"] = level.variable if level else ""
            levels[f"level_{number + 1}"] = (level.value or "") if level else ""
            levels[f"level_{number + 1}_label"] = level.label if level else ""
        common = {
            **about,
            "group_id": group.id,
            "group_label": group.label,
            "group_order": group.order,
            **levels,
            "row_order": result.order,
            "population": members.label,
            "population_where": everyone.sql(self.numbers),
            "dataset": result.selection.dataset,
            "source_where": result.selection.sql(self.numbers),
            "n_records": result.n_records,
            "n_subjects": result.n_subjects,
            "sources": ", ".join(f"{dataset}.{name}" for dataset, name in sources),
            "selection": result.selection.as_json(),
        }
        for order, one in enumerate(result.statistics, start=1):
            yield {
                **common,
                "statistic": one.id,
                "statistic_order": order,
                "value": one.value,
                "text": one.text,
                "note": one.note,
            }


def _described(results: Results, name: str, order: int, output: Output) -> dict[str, object]:
    """An output as a row: its words, and how it is shown."""
    display = {
        "cells": [one.model_dump() for one in output.cells],
        "across": output.across,
        "arrange": output.arrange,
        "landscape": output.landscape,
        "rows": output.rows,
        "comparisons": [one.id for one in results.groupings[output.columns].comparisons],
        "total": total.id if (total := results.groupings[output.columns].total) else "",
        "figure": output.figure.model_dump() if output.figure else None,
        "analyses": [
            {
                "id": one.id,
                "label": one.label,
                "depth": len(one.by),
                "lines": [line.model_dump() for line in one.shown()],
                "compared": "{p}" if one.tested else "",
                "columns": [column.model_dump() for column in getattr(one, "columns", ())],
                "none": getattr(one, "none", ""),
            }
            for one in output.analyses
        ],
    }
    return {
        "output_id": name,
        "output_order": order,
        "kind": output.kind,
        "title": output.title,
        "subtitle": output.subtitle,
        "population": results.analysis_sets[output.population].label,
        "footnotes": "\n".join(output.footnotes),
        "display": json.dumps(display, ensure_ascii=False, sort_keys=True),
    }
