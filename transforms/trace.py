"""The way back: from a value of a snapshot to its raw lines, or to the row of the specification that says it.

A cell of a table leads to the records of the analysis dataset it was computed from, and each of their values further.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from transforms.core.numbers import canonical_number
from transforms.errors import UsageError
from transforms.results.records import TABLE
from transforms.results.selection import empty_frame, from_json
from transforms.study.analyses import SUPPLEMENTAL
from transforms.study.results import LEVELS
from transforms.warehouse import parquet

FOLDERS = ("sdtm", "adam")
ONE_PER_SUBJECT = ("DM", "ADSL")


@dataclass(frozen=True)
class Leaf:
    """An end of the way: a line of a raw file (with the columns read), or a place in the specification.

    `kind` is `raw`, `superseded` (the raw line of an earlier version) or `specification`.
    """

    kind: str
    file: str
    line: int | None
    columns: tuple[str, ...] = ()
    sha256: str = ""


@dataclass(frozen=True)
class Step:
    """One value on the way: where it stands, the rule that filled it, and what that rule read."""

    dataset: str
    record: int
    variable: str
    value: str | None
    rule: str
    specification: str
    inputs: tuple[Step, ...] = ()
    leaves: tuple[Leaf, ...] = ()

    def all_leaves(self) -> tuple[Leaf, ...]:
        """Every end of the way below this step, once each."""
        found: dict[Leaf, None] = dict.fromkeys(self.leaves)
        for step in self.inputs:
            found |= dict.fromkeys(step.all_leaves())
        return tuple(found)


@dataclass
class Tracer:
    """Traces values of one snapshot, from its own files alone."""

    snapshot: Path
    _datasets: dict[str, pa.Table] = field(default_factory=dict)
    _links: dict[str, pa.Table] = field(default_factory=dict)

    @cached_property
    def _lineage(self) -> pa.Table:
        return pq.read_table(self.snapshot / "lineage.parquet")

    @cached_property
    def _rules(self) -> dict[tuple[str, str], list[dict[str, Any]]]:
        rules: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for row in pq.read_table(self.snapshot / "specification.parquet").to_pylist():
            rules.setdefault((row["dataset"], row["variable"]), []).append(row)
        return rules

    def dataset(self, name: str) -> pa.Table:
        """An SDTM or analysis dataset of the snapshot; UsageError names those there are."""
        if name not in self._datasets:
            for folder in FOLDERS:
                path = self.snapshot / folder / f"{name.lower()}.parquet"
                if path.is_file():
                    self._datasets[name] = pq.read_table(path)
                    break
            else:
                every = sorted(path.stem.upper() for one in FOLDERS for path in (self.snapshot / one).glob("*.parquet"))
                raise UsageError(f"no dataset {name!r}. Known: {', '.join(every)}")
        return self._datasets[name]

    def is_analysis(self, name: str) -> bool:
        """True for an analysis dataset, whose records are made of records of other datasets."""
        return (self.snapshot / "adam" / f"{name.lower()}.parquet").is_file()

    def find(self, name: str, keys: Mapping[str, str]) -> list[int]:
        """Record numbers (from 1) with these values; numbers compare as numbers, dates as ISO 8601 texts.

        UsageError on an unknown variable.
        """
        table = self.dataset(name)
        wanted: object
        mask = pa.array([True] * table.num_rows)
        for variable, value in keys.items():
            if variable not in table.column_names:
                raise UsageError(f"{name} has no variable {variable}. It has: {', '.join(table.column_names)}")
            column = table.column(variable)
            if pa.types.is_temporal(column.type):
                column, wanted = _iso(column), value
            elif pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
                plain = canonical_number(value)
                column, wanted = column.cast(pa.float64()), float(plain) if plain is not None else None
            else:
                wanted = value
            mask = pc.and_(mask, pc.fill_null(pc.equal(column, pa.scalar(wanted, column.type)), False))
        return [int(row) + 1 for row in pc.indices_nonzero(mask).to_pylist()]

    def trace(self, dataset: str, record: int, variable: str) -> Step:
        """The way back of one value."""
        return self._step(dataset, record, variable, frozenset())

    def _step(self, dataset: str, record: int, variable: str, seen: frozenset[tuple[str, int, str]]) -> Step:
        here = (dataset, record, variable)
        parent = self._parent(dataset, record, variable)
        if parent is not None:
            step = self._step(*parent, seen | {here})
            return Step(dataset, record, variable, self.value(*here), f"qualifier of {parent[0]}", "", (step,))
        links = self.links(dataset, record)
        rule = self._rule(dataset, variable, [link["part"] for link in links if link["part"] is not None])
        if rule is None:
            return Step(dataset, record, variable, self.value(*here), "nothing fills it in this record", "")
        leaves = self._leaves(rule, links)
        inputs = []
        for reference in rule["inputs"]:
            inputs.extend(self._inputs(dataset, record, variable, reference, seen | {here}))
        if not leaves and not any(step.all_leaves() for step in inputs):
            leaves = [Leaf("specification", rule["file"], None)]
        return Step(
            dataset,
            record,
            variable,
            self.value(*here),
            rule["rule"],
            rule["file"],
            tuple(inputs),
            tuple(leaves),
        )

    def _leaves(self, rule: Mapping[str, Any], links: list[dict[str, Any]]) -> list[Leaf]:
        own = [link for link in links if link["variable"] is None]
        if not rule["collected"]:
            if rule["kind"] == "collected":
                return [Leaf("specification", rule["file"], None)]
            specification = [link for link in own if link["kind"] == "specification" and rule["kind"] == "automatic"]
            return [Leaf("specification", link["source"], link["line"]) for link in specification]
        leaves = []
        joined = {link["source_variable"] for link in own if link["kind"] == "raw"} - {None}
        for link in own:
            if link["kind"] == "correction":
                if link["source_variable"] in {_column_of(name, link) for name in rule["collected"]}:
                    leaves.append(Leaf("specification", link["source"], link["line"], ("FROM", "TO")))
                continue
            if link["source_variable"] in joined:
                named = tuple(
                    name.partition(".")[2] for name in rule["collected"] if _joined(name) == link["source_variable"]
                )
                if named:
                    leaves.append(Leaf(link["kind"], link["source"], link["line"], named, link["sha256"] or ""))
                continue
            columns = tuple(
                _column_of(name, link)
                for name in rule["collected"]
                if _reads_extract(name) and _joined(name) not in joined
            )
            entry = tuple(name.split(".")[-1] for name in rule["collected"] if name.startswith("each."))
            if columns:
                leaves.append(Leaf(link["kind"], link["source"], link["line"], columns, link["sha256"] or ""))
            if entry and link["kind"] != "superseded":
                named = tuple(name for name in entry if name != "value")
                leaves.append(Leaf("specification", link["entry_file"], link["entry_line"], named))
        return leaves

    def _inputs(
        self, dataset: str, record: int, variable: str, reference: str, seen: frozenset[tuple[str, int, str]]
    ) -> list[Step]:
        other, dot, name = reference.partition(".")
        links = self.links(dataset, record)
        own = [link for link in links if link["variable"] == variable and link["kind"] == "record"]
        if not dot:
            elsewhere = [one["line"] for one in own if one["source"] == dataset and one["source_variable"] == reference]
            if elsewhere:
                places = [(dataset, one, reference) for one in elsewhere]
                return [self._step(*place, seen) for place in places if place not in seen]
            there = (dataset, record, reference)
            submitted = reference in self.dataset(dataset).column_names or (dataset, reference) in self._rules
            return [self._step(*there, seen)] if submitted and there not in seen else []
        records = [link["line"] for link in own if link["source"] == other and link["source_variable"] in {None, name}]
        if not records:
            made_of = [link for link in links if link["variable"] is None and link["kind"] == "record"]
            records = [link["line"] for link in made_of if link["source"] == other]
        if not records and (not own or self.is_analysis(dataset)) and other in ONE_PER_SUBJECT:
            subject = self.value(dataset, record, "USUBJID")
            records = self.find(other, {"USUBJID": subject}) if subject is not None else []
        return [self._step(other, one, name, seen) for one in records if (other, one, name) not in seen]

    def links(self, dataset: str, record: int) -> list[dict[str, Any]]:
        """The lineage rows of one record."""
        if dataset not in self._links:
            table = self._lineage.filter(pc.equal(self._lineage["dataset"], dataset))
            self._links[dataset] = table.sort_by("record")
        table = self._links[dataset]
        rows = pc.indices_nonzero(pc.equal(table["record"], record))
        found: list[dict[str, Any]] = table.take(rows).to_pylist()
        return found

    def value(self, dataset: str, record: int, variable: str) -> str | None:
        """A value as text; None if it is missing or not submitted."""
        table = self.dataset(dataset)
        if variable not in table.column_names:
            return None
        value = table[variable][record - 1].as_py()
        if value is None:
            return None
        if isinstance(value, date):
            return value.isoformat()
        return canonical_number(f"{value:.15g}") or str(value) if isinstance(value, float) else str(value)

    def _rule(self, dataset: str, variable: str, parts: list[int]) -> dict[str, Any] | None:
        rules = self._rules.get((dataset, variable), [])
        for rule in rules:
            if rule["part"] is None or rule["part"] in parts:
                return rule
        return None

    def _parent(self, dataset: str, record: int, variable: str) -> tuple[str, int, str] | None:
        """The parent value of a supplemental qualifier's QVAL (and of the record, for its other variables)."""
        if not dataset.startswith("SUPP"):
            return None
        parent = dataset.removeprefix("SUPP")
        sequence = self.value(dataset, record, "IDVARVAL")
        keys = {"USUBJID": self.value(dataset, record, "USUBJID") or ""}
        id_variable = self.value(dataset, record, "IDVAR")
        if id_variable and sequence:
            keys[id_variable] = sequence
        found = self.find(parent, keys)
        name = self.value(dataset, record, "QNAM") or ""
        while variable == "QVAL" and (parent, name) not in self._rules and name[-1:].isdigit():
            name = name[:-1]
        wanted = {"QVAL": name, "STUDYID": "STUDYID", "IDVARVAL": id_variable or "USUBJID"}.get(variable, "USUBJID")
        return (parent, found[0], wanted) if found else None


@dataclass(frozen=True)
class CellOrigin:
    """A statistic of an output: its row of the results, and the records of the analysis dataset it was computed from.

    Records are counted from 1, as `Tracer.trace` takes them; `variables` are those of the dataset that were read.
    """

    row: Mapping[str, Any]
    dataset: str
    records: tuple[int, ...]
    variables: tuple[str, ...]


def cell_origins(snapshot: Path, output: str, keys: Mapping[str, str]) -> list[CellOrigin]:
    """The statistics of an output that the keys name, each with its records.

    Keys are columns of the results, in any case (GROUP for GROUP_ID, ANALYSIS for ANALYSIS_ID), or by-variables.
    UsageError where the snapshot has no such output, or nothing has these keys.
    """
    path = snapshot / "results" / f"{TABLE}.parquet"
    rows = pq.read_table(path).to_pylist() if path.is_file() else []
    named = [row for row in rows if row["output_id"].casefold() == output.casefold()]
    if not named:
        known = ", ".join(dict.fromkeys(row["output_id"] for row in rows)) or "none"
        raise UsageError(f"no output {output!r} in this snapshot. It has: {known}")
    found = [row for row in named if all(_has(row, key, value) for key, value in keys.items())]
    if not found:
        raise UsageError(f"no result of {output} has {_said(keys)}. {_choices(named)}")
    frames: dict[str, pd.DataFrame] = {}
    origins, masks = [], dict[str, tuple[int, ...]]()
    for row in found:
        selection = from_json(row["selection"])
        for dataset in {selection.dataset, *(name for name, _ in selection.variables())} - set(frames):
            frames[dataset] = _frame(snapshot, dataset)
        if row["selection"] not in masks:
            masks[row["selection"]] = tuple(int(one) + 1 for one in np.flatnonzero(selection.holds(frames)))
        own = [one.partition(".") for one in row["sources"].split(", ")]
        variables = tuple(name for dataset, _, name in own if dataset == selection.dataset)
        origins.append(CellOrigin(row, selection.dataset, masks[row["selection"]], variables))
    return origins


def _frame(snapshot: Path, dataset: str) -> pd.DataFrame:
    for folder in ("adam", "sdtm"):
        path = snapshot / folder / f"{dataset.lower()}.parquet"
        if path.is_file():
            return parquet.read_frame(path)
    return empty_frame(SUPPLEMENTAL)


def _has(row: Mapping[str, Any], key: str, value: str) -> bool:
    name = key.casefold()
    for column in (name, f"{name}_id"):
        if column in row:
            return str(row[column]).casefold() == value.casefold()
    levels = [number for number in range(1, LEVELS + 1) if row[f"level_{number}_variable"].casefold() == name]
    texts = {str(row[f"level_{number}{part}"]).casefold() for number in levels for part in ("", "_label")}
    return value.casefold() in texts


def _said(keys: Mapping[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in keys.items())


def _choices(rows: list[dict[str, Any]]) -> str:
    """What may be asked of an output: its analyses, groups, by-variables and statistics."""
    parts = []
    for label, column in (("ANALYSIS", "analysis_id"), ("GROUP", "group_id"), ("STATISTIC", "statistic")):
        parts.append(f"{label}: {', '.join(dict.fromkeys(row[column] for row in rows))}")
    variables = {row[f"level_{number}_variable"]: None for row in rows for number in range(1, LEVELS + 1)}
    named = ", ".join(one for one in variables if one)
    return "; ".join(parts) + (f"; by {named}" if named else "")


def _iso(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column of dates or datetimes as ISO 8601 texts."""
    return pc.strftime(column, format="%Y-%m-%d" if pa.types.is_date(column.type) else "%Y-%m-%dT%H:%M:%S")


def _reads_extract(name: str) -> bool:
    """True if an input of a collected algorithm is a column of the extract, not a cell of the table that spreads it."""
    return not name.startswith("each.") or name == "each.value" or name.startswith("each.column.")


def _joined(name: str) -> str:
    """The source that a column written SOURCE.COLUMN is of."""
    return name.partition(".")[0] if "." in name else ""


def _column_of(name: str, link: Mapping[str, Any]) -> str:
    if name == "each.value":
        return str(link["entry_column"])
    return f"named by {name.removeprefix('each.column.')}" if name.startswith("each.") else name
