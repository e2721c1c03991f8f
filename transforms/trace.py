"""The way back: from a value of a snapshot to its raw lines, or to the row of the specification that says it.

A cell of a table leads to the records of the analysis dataset it was computed from, and each of their values further.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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

FOLDERS = ("sdtm", "adam", "results")
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
    """One value on the way: where it stands, the rule that filled it, and what that rule read.

    A value that several others were derived of is one step, met on several ways.
    """

    dataset: str
    record: int
    variable: str
    value: str | None
    rule: str
    specification: str
    inputs: tuple[Step, ...] = ()
    leaves: tuple[Leaf, ...] = ()

    @cached_property
    def _ends(self) -> tuple[Leaf, ...]:
        found: dict[Leaf, None] = dict.fromkeys(self.leaves)
        for step in self.inputs:
            found |= dict.fromkeys(step.all_leaves())
        return tuple(found)

    @cached_property
    def ends(self) -> bool:
        """True if the way ends somewhere below this step."""
        return bool(self.leaves) or any(step.ends for step in self.inputs)

    def all_leaves(self) -> tuple[Leaf, ...]:
        """Every end of the way below this step, once each."""
        return self._ends


@dataclass
class Tracer:
    """Traces values of one snapshot, from its own files alone."""

    snapshot: Path
    _datasets: dict[str, pa.Table] = field(default_factory=dict)
    _columns: dict[str, dict[str, pa.ChunkedArray]] = field(default_factory=dict)
    _links: dict[str, tuple[np.ndarray, pa.Table]] = field(default_factory=dict)
    _of_records: dict[tuple[str, int], list[dict[str, Any]]] = field(default_factory=dict)
    _steps: dict[tuple[str, int, str], Step] = field(default_factory=dict)
    _cuts: int = 0

    @cached_property
    def _lineage(self) -> pa.Table:
        return pq.read_table(self.snapshot / "lineage.parquet")

    @cached_property
    def _rules(self) -> dict[tuple[str, str], list[dict[str, Any]]]:
        rules: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for row in pq.read_table(self.snapshot / "specification.parquet").to_pylist():
            rules.setdefault((row["dataset"], row["variable"]), []).append(row)
        return rules

    @cached_property
    def _ruled(self) -> frozenset[str]:
        """The datasets whose variables the specification of the snapshot explains."""
        return frozenset(dataset for dataset, _ in self._rules)

    def dataset(self, name: str) -> pa.Table:
        """An SDTM or analysis dataset, or a table of the gate, of the snapshot; UsageError names those there are."""
        if name not in self._datasets:
            for folder in FOLDERS:
                path = self.snapshot / folder / f"{name.lower()}.parquet"
                if path.is_file() and (folder != "results" or name in self._ruled):
                    self._datasets[name] = pq.read_table(path)
                    break
            else:
                paths = [path for one in FOLDERS for path in (self.snapshot / one).glob("*.parquet")]
                names = {path.stem.upper(): path.parent.name for path in paths}
                every = sorted(one for one, folder in names.items() if folder != "results" or one in self._ruled)
                raise UsageError(f"no dataset {name!r}. Known: {', '.join(every)}")
        return self._datasets[name]

    def _columns_of(self, name: str) -> dict[str, pa.ChunkedArray]:
        """The columns of a dataset, which Arrow looks up anew each time it is asked."""
        if name not in self._columns:
            table = self.dataset(name)
            self._columns[name] = dict(zip(table.column_names, table.columns, strict=True))
        return self._columns[name]

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
        """A step, followed once: values of analysis datasets meet the same others again and again."""
        here = (dataset, record, variable)
        if here not in self._steps:
            cuts = self._cuts
            step = self._followed(dataset, record, variable, seen)
            if self._cuts != cuts:
                # Incomplete here, where the way would go round in a circle; elsewhere it may not.
                return step
            self._steps[here] = step
        return self._steps[here]

    def _followed(self, dataset: str, record: int, variable: str, seen: frozenset[tuple[str, int, str]]) -> Step:
        here = (dataset, record, variable)
        parent = self._parent(dataset, record, variable)
        if parent is not None:
            step = self._step(*parent, seen | {here})
            return Step(dataset, record, variable, self.value(*here), f"qualifier of {parent[0]}", "", (step,))
        links = self.links(dataset, record)
        rule = self._rule(dataset, variable, [link["part"] for link in links if link["part"] is not None])
        if rule is None:
            return Step(dataset, record, variable, self.value(*here), "nothing fills it in this record", "")
        leaves, cuts = self._leaves(rule, links), self._cuts
        inputs = []
        if rule["inputs"]:
            own = [link for link in links if link["variable"] == variable and link["kind"] == "record"]
            for reference in rule["inputs"]:
                inputs.extend(self._inputs(dataset, record, reference, own, seen | {here}))
        # What only goes round in a circle ends where the circle was entered.
        if not leaves and not any(step.ends for step in inputs) and (self._cuts == cuts or not seen):
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
        self,
        dataset: str,
        record: int,
        reference: str,
        own: list[dict[str, Any]],
        seen: frozenset[tuple[str, int, str]],
    ) -> list[Step]:
        """The values that a rule reads under one name; `own` are the links of the value it fills."""
        other, dot, name = reference.partition(".")
        if not dot:
            elsewhere = [one["line"] for one in own if one["source"] == dataset and one["source_variable"] == reference]
            if elsewhere:
                places = [(dataset, one, reference) for one in elsewhere]
                return self._unless_seen(places, seen)
            there = (dataset, record, reference)
            submitted = reference in self._columns_of(dataset) or (dataset, reference) in self._rules
            return self._unless_seen([there] if submitted else [], seen)
        records = [link["line"] for link in own if link["source"] == other and link["source_variable"] in {None, name}]
        if not records:
            links = self.links(dataset, record)
            made_of = [link for link in links if link["variable"] is None and link["kind"] == "record"]
            records = [link["line"] for link in made_of if link["source"] == other]
        if not records and (not own or self.is_analysis(dataset)) and other in ONE_PER_SUBJECT:
            subject = self.value(dataset, record, "USUBJID")
            records = self.find(other, {"USUBJID": subject}) if subject is not None else []
        return self._unless_seen([(other, one, name) for one in records], seen)

    def _unless_seen(self, places: list[tuple[str, int, str]], seen: frozenset[tuple[str, int, str]]) -> list[Step]:
        kept = [place for place in places if place not in seen]
        self._cuts += len(places) - len(kept)
        return [self._step(*place, seen) for place in kept]

    def links(self, dataset: str, record: int) -> list[dict[str, Any]]:
        """The lineage rows of one record."""
        if (dataset, record) not in self._of_records:
            if dataset not in self._links:
                table = self._lineage.filter(pc.equal(self._lineage["dataset"], dataset))
                table = table.sort_by("record")
                self._links[dataset] = (table["record"].to_numpy(), table)
            records, table = self._links[dataset]
            first, last = np.searchsorted(records, [record, record + 1])
            self._of_records[dataset, record] = table.slice(first, last - first).to_pylist()
        return self._of_records[dataset, record]

    def value(self, dataset: str, record: int, variable: str) -> str | None:
        """A value as text; None if it is missing or not submitted."""
        column = self._columns_of(dataset).get(variable)
        if column is None:
            return None
        value = column[record - 1].as_py()
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
    return origins(snapshot, found)


def origins(snapshot: Path, rows: Iterable[Mapping[str, Any]]) -> list[CellOrigin]:
    """Each of some rows of the results with the records it was computed from."""
    frames: dict[str, pd.DataFrame] = {}
    selected: dict[str, tuple[str, tuple[int, ...]]] = {}
    found = []
    for row in rows:
        if row["selection"] not in selected:
            selection = from_json(row["selection"])
            for dataset in {selection.dataset, *(name for name, _ in selection.variables())} - set(frames):
                frames[dataset] = _frame(snapshot, dataset)
            records = tuple(int(one) + 1 for one in np.flatnonzero(selection.holds(frames)))
            selected[row["selection"]] = selection.dataset, records
        name, records = selected[row["selection"]]
        own = [one.partition(".") for one in row["sources"].split(", ")]
        variables = tuple(variable for dataset, _, variable in own if dataset == name)
        found.append(CellOrigin(row, name, records, variables))
    return found


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
