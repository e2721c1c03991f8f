"""What differs between two snapshots, value by value, and what caused it.

A snapshot is a function of its inputs: data, decisions, specification, terminology, placement, cut-off and code. Where
one input differs, it is the cause of every difference. Where several do, each value is followed back: to the
collected columns of its raw line, to the fingerprint of its rule, and to the values its rule reads, through the links
of both snapshots. What names a cause on that way is evidence. Where nothing does, every input that could be the
cause is named, joined by "or".
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from transforms.errors import UsageError
from transforms.reporting.changes import POINTER_KEYS, Comparison, arrow, combined, compare, occurrence, value_codes
from transforms.snapshot import FILE, LINE, SHA256
from transforms.warehouse.decisions import Decision, digests
from transforms.warehouse.snapshots import MANIFEST

# Results follow from these two; what differs in them is told by their own pages.
KINDS = ("sdtm", "adam")
CAUSES = ("data", "decisions", "specification", "terminology", "placement", "cut-off", "code")
DATA, DECISIONS, SPECIFICATION, TERMINOLOGY, PLACEMENT, CUT_OFF, CODE = (1 << bit for bit in range(len(CAUSES)))
ONE_PER_SUBJECT = ("DM", "ADSL")
CUT_OFF_VARIABLE = "cut_off"
ROW_COLUMNS = (
    "dataset",
    "change",
    "subject",
    "key",
    "variable",
    "before",
    "after",
    "cause",
    "file_before",
    "line_before",
    "file_after",
    "line_after",
)
Marks = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Side:
    """One snapshot as it is compared, read from its own files."""

    folder: Path

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """The manifest."""
        content: dict[str, Any] = json.loads((self.folder / MANIFEST).read_text(encoding="utf-8"))
        return content

    @cached_property
    def datasets(self) -> dict[str, pa.Table]:
        """Every dataset by name."""
        return {
            path.stem.upper(): pq.read_table(path) for kind in KINDS for path in (self.folder / kind).glob("*.parquet")
        }

    @cached_property
    def rules(self) -> dict[tuple[str, str], list[dict[str, Any]]]:
        """The rules of each variable, one per record group that has its own."""
        rules: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for row in pq.read_table(self.folder / "specification.parquet").to_pylist():
            rules.setdefault((row["dataset"], row["variable"]), []).append(row)
        return rules

    @cached_property
    def links(self) -> dict[str, pd.DataFrame]:
        """The lineage by dataset."""
        names = ["dataset", "variable", "kind", "source", "sha256", "source_variable", "entry_column"]
        table = pq.read_table(self.folder / "lineage.parquet", read_dictionary=names)
        frame = table.to_pandas()
        return {str(name): frame.loc[rows] for name, rows in frame.groupby("dataset", observed=True).groups.items()}

    @cached_property
    def _staged(self) -> dict[str, pa.Table]:
        return {}

    def staged(self, source: str) -> pa.Table | None:
        """The accepted rows of a source; None where the snapshot has no such source."""
        path = self.folder / "staged" / f"{source}.parquet"
        if source not in self._staged and path.is_file():
            self._staged[source] = pq.read_table(path)
        return self._staged.get(source)

    @cached_property
    def held(self) -> set[tuple[str, int]]:
        """The raw lines (sha256, line) that findings hold."""
        found = pq.read_table(self.folder / "findings.parquet", columns=["held", "places"]).to_pylist()
        places = [place for one in found if one["held"] for place in one["places"]]
        return {(place["sha256"], line) for place in places for line in place["lines"]}

    def records(self, dataset: str) -> dict[str, Any]:
        """What the manifest says of a dataset's records; empty where the snapshot lacks it."""
        found: dict[str, Any] = self.manifest.get("records", {}).get(dataset, {})
        return found

    def keys(self, dataset: str) -> tuple[str, ...]:
        """The natural key of a dataset in this snapshot's specification."""
        return tuple(self.records(dataset).get("keys", ()))

    def used(self, source: str) -> set[str]:
        """The sha256 of the files that the source is made of."""
        return {one["sha256"] for one in self.manifest["files"] if one["source"] == source and one["stands"]}


def inputs_between(before: Side, after: Side, log: Sequence[Decision]) -> dict[str, list[str]]:
    """The inputs in which two snapshots differ, by cause, and what of each: files, decisions, versions."""
    one, two = before.manifest, after.manifest
    result: dict[str, list[str]] = {}
    files = [[(entry["source"], entry["file"], entry["sha256"]) for entry in each["files"]] for each in (one, two)]
    if files[0] != files[1]:
        gone, new = (sorted(set(files[side]) - set(files[1 - side])) for side in (0, 1))
        result["data"] = [f"{file} ({source}) taken" for source, file, _ in new]
        result["data"] += [f"{file} ({source}) not there" for source, file, _ in gone]
        result["data"] = result["data"] or ["the order of files"]
    known = digests(log)
    decided = [dict.fromkeys(each.get("decided", ())) for each in (one, two)]
    if one["decisions"] != two["decisions"]:
        both = [("taken", decided[1], decided[0]), ("not there", decided[0], decided[1])]
        result["decisions"] = [
            f"decision {known[name].number} ({known[name].act}) {word}" if name in known else f"a decision {word}"
            for word, here, there in both
            for name in here
            if name not in there
        ]
    if one["specification"] != two["specification"]:
        result["specification"] = changed_files(before, after)
    if (one["standards"], one.get("terminology")) != (two["standards"], two.get("terminology")):
        result["terminology"] = [
            f"{name} {one['standards'].get(name)} to {version}"
            for name, version in sorted(two["standards"].items())
            if one["standards"].get(name) != version
        ] or ["the content of the standards' folder"]
    for cause, name in (("placement", "placement"), ("cut-off", "cut_off")):
        if one[name] != two[name]:
            result[cause] = [f"{one[name]} to {two[name]}"]
    if one["code"] != two["code"]:
        result["code"] = [f"{one['code'][:12]} to {two['code'][:12]}"]
    return result


def changed_files(before: Side, after: Side) -> list[str]:
    """The files of the specification that differ."""
    one, two = (side.manifest.get("specification_files", {}) for side in (before, after))
    return sorted(name for name in {*one, *two} if one.get(name) != two.get(name))


def _places(decision: Any) -> Iterator[tuple[str, int]]:
    """The raw lines (sha256, line) that a decision's target names."""
    if isinstance(decision, Mapping):
        if "sha256" in decision:
            lines = decision.get("lines", [decision["line"]] if "line" in decision else [])
            yield from ((decision["sha256"], int(line)) for line in lines)
        for value in decision.values():
            yield from _places(value)
    elif isinstance(decision, list | tuple):
        for value in decision:
            yield from _places(value)


@dataclass
class _Rows:
    """Where a dataset's records are from: per record its source, its row there, its raw place and spread column."""

    sources: np.ndarray
    staged: np.ndarray
    files: np.ndarray
    shas: np.ndarray
    lines: np.ndarray
    entries: np.ndarray
    specified: np.ndarray


@dataclass
class Difference:
    """Two snapshots compared: `comparisons` by dataset, `inputs` in which they differ, and causes on demand."""

    before: Side
    after: Side
    log: Sequence[Decision] = ()
    _cache: dict[tuple[str, ...], Any] = field(default_factory=dict)
    _open: set[tuple[str, ...]] = field(default_factory=set)

    @cached_property
    def comparisons(self) -> dict[str, Comparison]:
        """Every dataset compared, by name."""
        names = {*self.before.datasets, *self.after.datasets}
        keys = {name: [one for side in (self.after, self.before) if (one := side.keys(name))] for name in names}
        unknown = sorted(name for name in names if not keys[name] and not name.startswith(("SUPP", "RELREC")))
        if unknown:
            raise UsageError(
                f"neither snapshot says the natural key of {', '.join(unknown)}: an earlier version made them. "
                "Run the study again, and compare what is published then"
            )
        return {one.name: one for one in compare(self.before.datasets, self.after.datasets, keys)}

    @cached_property
    def inputs(self) -> dict[str, list[str]]:
        """See `inputs_between`."""
        return inputs_between(self.before, self.after, self.log)

    @property
    def sources(self) -> list[str]:
        """The sources whose files differ."""
        files = [{(one["source"], one["sha256"]) for one in side.manifest["files"]} for side in self._sides()]
        return sorted({source for source, _ in files[0] ^ files[1]})

    @cached_property
    def differing(self) -> int:
        """The causes that are possible at all, as bits."""
        return sum(1 << CAUSES.index(name) for name in self.inputs)

    @cached_property
    def _possible(self) -> int:
        """What may be the cause where nothing names one: a cut-off reaches only what reads it."""
        return self.differing & ~CUT_OFF if self.differing & ~CUT_OFF else self.differing

    @cached_property
    def _named(self) -> set[tuple[str, int]]:
        """The raw lines named by decisions that one of the snapshots lacks."""
        decided = [set(side.manifest.get("decided", ())) for side in (self.before, self.after)]
        known = digests(self.log)
        different = decided[0] ^ decided[1]
        return {place for name in different if name in known for place in _places(known[name].target)}

    @cached_property
    def _files(self) -> set[str]:
        return set(changed_files(self.before, self.after))

    def _sides(self) -> tuple[Side, Side]:
        return self.before, self.after

    def _rewritten(self, dataset: str) -> int:
        """The bits of a rule that differs: nothing where no file it can stand in differs."""
        owners = {side.records(dataset).get("file") for side in self._sides()}
        shared = any(name in owners or not name.startswith(("sdtm/", "adam/", "checks/")) for name in self._files)
        bits = SPECIFICATION if shared else 0
        return (bits | (PLACEMENT if self._placed(dataset) else 0)) & self.differing

    def _placed(self, dataset: str) -> bool:
        """True if a placement may decide on the dataset: its file serves several, or it reads one that does."""
        if not self.differing & PLACEMENT:
            return False
        files: dict[str, set[str]] = {}
        for side in self._sides():
            for name, one in side.manifest.get("records", {}).items():
                files.setdefault(one["file"], set()).add(name)
        owners = {side.records(dataset).get("file", "") for side in self._sides()}
        return any(len(files.get(one, ())) > 1 or one.startswith("adam/") for one in owners)

    def slots(self, side: Side, dataset: str) -> np.ndarray:
        """The slot of each record of a snapshot."""
        comparison = self.comparisons[dataset]
        rows = comparison.rows_before if side is self.before else comparison.rows_after
        table = comparison.before if side is self.before else comparison.after
        result = np.full(0 if table is None else table.num_rows, -1, dtype=np.int64)
        here = np.flatnonzero(rows >= 0)
        result[rows[here]] = here
        return result

    @cached_property
    def _offsets(self) -> dict[str, int]:
        """A witness is a slot of any dataset; its number counts on from those of the datasets before it."""
        offsets, total = {}, 0
        for name, comparison in self.comparisons.items():
            offsets[name] = total
            total += comparison.size
        return offsets

    def _rows(self, side: Side, dataset: str) -> _Rows:
        key = ("rows", str(side is self.before), dataset)
        if key not in self._cache:
            self._cache[key] = self._read_rows(side, dataset)
        found: _Rows = self._cache[key]
        return found

    def _read_rows(self, side: Side, dataset: str) -> _Rows:
        table = side.datasets.get(dataset)
        size = 0 if table is None else table.num_rows
        rows = _Rows(
            sources=np.full(size, None, dtype=object),
            staged=np.full(size, -1, dtype=np.int64),
            files=np.full(size, None, dtype=object),
            shas=np.full(size, None, dtype=object),
            lines=np.zeros(size, dtype=np.int64),
            entries=np.full(size, None, dtype=object),
            specified=np.zeros(size, dtype=bool),
        )
        links = side.links.get(dataset)
        if links is None or not size:
            return rows
        own = links[links["variable"].isna() & (links["kind"] != "record")]
        rows.specified[own.loc[own["kind"] == "specification", "record"].to_numpy() - 1] = True
        own = own[own["kind"] == "raw"]
        place = own["record"].to_numpy() - 1
        rows.files[place] = own["source"].astype(object)
        rows.shas[place] = own["sha256"].astype(object)
        rows.lines[place] = own["line"].to_numpy()
        rows.entries[place] = own["entry_column"].astype(object).where(own["entry_column"].notna(), None)
        groups = side.records(dataset.removeprefix("SUPP") if dataset.startswith("SUPP") else dataset)
        names = dict(enumerate(groups.get("sources", ())))
        rows.sources[place] = own["part"].map(names).astype(object).where(own["part"].notna(), None)
        for source in {one for one in rows.sources[place] if isinstance(one, str)}:
            staged = side.staged(source)
            if staged is None:
                continue
            here = np.flatnonzero(rows.sources == source)
            index = pd.MultiIndex.from_arrays([staged[SHA256].to_pylist(), staged[LINE].to_numpy()])
            wanted = pd.MultiIndex.from_arrays([rows.shas[here], rows.lines[here]])
            rows.staged[here] = index.get_indexer(wanted) if index.is_unique else -1
        return rows

    def _column(self, source: str, column: str) -> tuple[np.ndarray, np.ndarray] | None:
        """Codes of a staged column in both snapshots; None where one of them lacks it."""
        key = ("column", source, column)
        if key not in self._cache:
            tables = [side.staged(source) for side in self._sides()]
            codes = None
            if all(table is not None and column in table.column_names for table in tables):
                plain = [arrow(table.select([column]))[column] for table in tables]  # type: ignore[union-attr]
                joined = value_codes(*plain)
                codes = (joined[: len(plain[0])], joined[len(plain[0]) :])
            self._cache[key] = codes
        found: tuple[np.ndarray, np.ndarray] | None = self._cache[key]
        return found

    def _same_rows(self, source: str) -> tuple[np.ndarray, np.ndarray]:
        """Per staged row of both snapshots: whether the other one has an equal row."""
        key = ("same", source)
        if key not in self._cache:
            tables = [side.staged(source) for side in self._sides()]
            sizes = [0 if table is None else table.num_rows for table in tables]
            if tables[0] is None or tables[1] is None:
                self._cache[key] = (np.zeros(sizes[0], dtype=bool), np.zeros(sizes[1], dtype=bool))
            else:
                shared = [name for name in tables[0].column_names if name in set(tables[1].column_names)]
                columns = [self._column(source, name) for name in shared if name not in {FILE, SHA256, LINE}]
                code = combined([np.concatenate(one) for one in columns if one is not None], sum(sizes))
                each = [code[: sizes[0]], code[sizes[0] :]]
                rows = [pd.MultiIndex.from_arrays([one, occurrence(one)]) for one in each]
                self._cache[key] = (rows[0].isin(rows[1]), rows[1].isin(rows[0]))
        found: tuple[np.ndarray, np.ndarray] = self._cache[key]
        return found

    def _contract_differs(self, source: str) -> bool:
        contracts = [side.manifest.get("sources", {}).get(source, {}) for side in self._sides()]
        return bool(contracts[0] != contracts[1])

    def _rules(self, side: Side, dataset: str, variable: str) -> list[dict[str, Any]]:
        return side.rules.get((dataset, variable), [])

    def _marks(self, dataset: str) -> Marks:
        size = self.comparisons[dataset].size
        return np.zeros(size, dtype=np.uint8), np.full((size, 2), -1, dtype=np.int64)

    def value_marks(self, dataset: str, variable: str) -> Marks:
        """Per slot the causes (bits) of a variable's change, 0 where it is equal, and the evidence.

        The evidence is two slots of any dataset, one for each snapshot, -1 for none.
        For a variable that is not submitted, or that one snapshot lacks, they are the causes it would have.
        """
        key = ("value", dataset, variable)
        if key in self._cache or key in self._open or dataset not in self.comparisons:
            found: Marks = (
                self._cache[key]
                if key in self._cache
                else (
                    self._marks(dataset)
                    if dataset in self.comparisons
                    else (np.zeros(0, np.uint8), np.zeros((0, 2), np.int64))
                )
            )
            return found
        self._open.add(key)
        comparison = self.comparisons[dataset]
        both = ~(comparison.added | comparison.removed)
        compared = all(
            table is not None and variable in table.column_names for table in (comparison.before, comparison.after)
        )
        if compared:
            focus = np.flatnonzero(comparison.changed.get(variable, np.zeros(comparison.size, dtype=bool)))
        else:
            focus = np.flatnonzero(both)
        mask, witness = self._marks(dataset)
        if len(focus):
            self._collected(dataset, variable, focus, mask, witness)
            self._rewritten_rules(dataset, variable, focus, mask)
            self._read(dataset, variable, focus, mask, witness)
            mask &= np.uint8(self.differing)
            if compared:
                self._unexplained(dataset, variable, focus, mask, witness)
        records = self.record_marks(dataset)
        single = ~both
        mask[single], witness[single] = records[0][single], records[1][single]
        self._open.discard(key)
        self._cache[key] = (mask, witness)
        return mask, witness

    def _collected(self, dataset: str, variable: str, focus: np.ndarray, mask: np.ndarray, witness: np.ndarray) -> None:
        """The collected columns behind the values differ: data where the raw line is another, else how it is read."""
        comparison = self.comparisons[dataset]
        rules = [self._rules(side, dataset, variable) for side in self._sides()]
        names = {name for one in rules for rule in one for name in rule["collected"]}
        if not names:
            return
        one, two = self._rows(self.before, dataset), self._rows(self.after, dataset)
        left, right = comparison.rows_before[focus], comparison.rows_after[focus]
        known = (one.staged[left] >= 0) & (two.staged[right] >= 0) & (one.sources[left] == two.sources[right])
        focus, left, right = focus[known], left[known], right[known]
        differs = np.zeros(len(focus), dtype=bool)
        for source in {str(name) for name in one.sources[left]}:
            own = np.flatnonzero(one.sources[left] == source)
            columns: list[tuple[str, np.ndarray]] = []
            for name in sorted(names):
                if name == "each.value":
                    entries = one.entries[left[own]]
                    columns += [(str(entry), own[entries == entry]) for entry in {e for e in entries if e}]
                elif name.startswith("each.column."):
                    table = self.before.staged(source)
                    columns += [(each, own) for each in (table.column_names if table is not None else ())]
                elif not name.startswith("each."):
                    columns.append((name, own))
            for column, rows in columns:
                codes = self._column(source, column)
                if codes is not None and column not in {FILE, SHA256, LINE}:
                    differs[rows] |= codes[0][one.staged[left[rows]]] != codes[1][two.staged[right[rows]]]
            rewritten = SPECIFICATION if self._contract_differs(source) else 0
            here = own[differs[own]]
            same = (one.shas[left[here]] == two.shas[right[here]]) & (one.lines[left[here]] == two.lines[right[here]])
            mask[focus[here[~same]]] |= np.uint8(DATA | rewritten)
            mask[focus[here[same]]] |= np.uint8((SPECIFICATION | CODE) & self.differing)
            witness[focus[here]] = (self._offsets[dataset] + focus[here])[:, None]
        if self._named:
            pairs = [(one, left), (two, right)]
            named = np.array(
                [
                    any((rows.shas[at[i]], int(rows.lines[at[i]])) in self._named for rows, at in pairs)
                    for i in np.flatnonzero(differs)
                ],
                dtype=bool,
            )
            at = focus[np.flatnonzero(differs)[named]] if len(named) else np.zeros(0, dtype=np.int64)
            mask[at] = np.uint8(DECISIONS) | (mask[at] & np.uint8(DATA))

    def _rewritten_rules(self, dataset: str, variable: str, focus: np.ndarray, mask: np.ndarray) -> None:
        """The rule of the variable, or a table or codelist it reads, differs."""
        bits = np.uint8(self._rewritten(dataset))
        if not bits:
            return
        written = [
            {rule["part"]: rule.get("fingerprint") for rule in self._rules(side, dataset, variable)}
            for side in self._sides()
        ]
        if written[0] != written[1]:
            mask[focus] |= bits

    def _read(self, dataset: str, variable: str, focus: np.ndarray, mask: np.ndarray, witness: np.ndarray) -> None:
        """The values that the rule reads have causes of their own."""
        for reference in self._references(dataset, variable):
            other, dot, name = reference.partition(".")
            if not dot:
                if reference == CUT_OFF_VARIABLE:
                    mask[focus] |= np.uint8(CUT_OFF & self.differing)
                    continue
                marks = self.value_marks(dataset, reference)
                _take(mask, witness, focus, marks, focus)
                continue
            if other not in self.comparisons:
                continue
            marks = self.value_marks(other, name)
            linked = False
            for side in self._sides():
                pairs = self._linked(side, dataset, variable, other, name)
                if pairs is None:
                    continue
                linked = True
                wanted = np.isin(pairs[0], focus)
                _take(mask, witness, pairs[0][wanted], marks, pairs[1][wanted])
            if not linked and other in ONE_PER_SUBJECT:
                self._take_subject(dataset, focus, mask, witness, other, marks)

    def _references(self, dataset: str, variable: str) -> list[str]:
        rules = [rule for side in self._sides() for rule in self._rules(side, dataset, variable)]
        return sorted({one for rule in rules for one in rule["inputs"]} - {variable})

    def _linked(
        self, side: Side, dataset: str, variable: str, other: str, name: str
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """Slots of a dataset and of the records of another one that a variable is from; None without links."""
        links = side.links.get(dataset)
        if links is None or other not in side.datasets:
            return None
        key = ("links", str(side is self.before), dataset, other)
        if key not in self._cache:
            own = links[(links["kind"] == "record") & (links["source"] == other)]
            self._cache[key] = own
        own = self._cache[key]
        found = own[(own["variable"] == variable) & (own["source_variable"].isna() | (own["source_variable"] == name))]
        if not len(found):
            found = own[own["variable"].isna()]
        if not len(found):
            return None
        slots = self.slots(side, dataset)[found["record"].to_numpy() - 1]
        return slots, self.slots(side, other)[found["line"].to_numpy() - 1]

    @cached_property
    def _subjects(self) -> pd.Index:
        names: set[str] = set()
        for side in self._sides():
            for table in side.datasets.values():
                if "USUBJID" in table.column_names:
                    names |= {str(one) for one in table["USUBJID"].unique().to_pylist() if one is not None}
        return pd.Index(sorted(names), dtype=object)

    def subject_codes(self, dataset: str) -> np.ndarray:
        """The subject of each slot as a number, -1 for none."""
        key = ("subjects", dataset)
        if key not in self._cache:
            comparison = self.comparisons[dataset]
            result = np.full(comparison.size, -1, dtype=np.int64)
            for side, rows in ((self.before, comparison.rows_before), (self.after, comparison.rows_after)):
                table = side.datasets.get(dataset)
                if table is not None and "USUBJID" in table.column_names:
                    codes = self._subjects.get_indexer(pd.Index(table["USUBJID"].to_pylist(), dtype=object))
                    here = rows >= 0
                    result[here] = codes[rows[here]]
            self._cache[key] = result
        found: np.ndarray = self._cache[key]
        return found

    def _take_subject(
        self,
        dataset: str,
        focus: np.ndarray,
        mask: np.ndarray,
        witness: np.ndarray,
        other: str,
        marks: Marks,
    ) -> None:
        """Take over the causes of all records that the subject has in another dataset."""
        subjects = self.subject_codes(other)
        known = np.flatnonzero((subjects >= 0) & (marks[0] > 0))
        causes = np.zeros(len(self._subjects) + 1, dtype=np.uint8)
        evidence = np.full((len(self._subjects) + 1, 2), -1, dtype=np.int64)
        np.bitwise_or.at(causes, subjects[known], marks[0][known])
        for side in (0, 1):
            told = known[marks[1][known, side] >= 0]
            evidence[subjects[told], side] = marks[1][told, side]
        own = self.subject_codes(dataset)[focus]
        found = np.where(own >= 0, causes[own], 0).astype(np.uint8)
        _take(mask, witness, focus, (found, np.where((own >= 0)[:, None], evidence[own], -1)), np.arange(len(focus)))

    def _unexplained(
        self, dataset: str, variable: str, focus: np.ndarray, mask: np.ndarray, witness: np.ndarray
    ) -> None:
        """Where no evidence lies on the way, the subject's other records that the rule reads; else every input."""
        for reference in self._references(dataset, variable):
            open_ones = focus[mask[focus] == 0]
            other, dot, name = reference.partition(".")
            where = other if dot else dataset
            if len(open_ones) and where in self.comparisons:
                marks = self.value_marks(where, name if dot else reference)
                self._take_subject(dataset, open_ones, mask, witness, where, marks)
        mask[focus[mask[focus] == 0]] = np.uint8(self._possible)

    def any_marks(self, dataset: str) -> Marks:
        """Per slot the causes of any change of its record."""
        key = ("any", dataset)
        if key in self._open:
            return self._marks(dataset)
        if key not in self._cache:
            self._open.add(key)
            mask, witness = (one.copy() for one in self.record_marks(dataset))
            every = np.arange(len(mask))
            for variable in self.comparisons[dataset].changed:
                _take(mask, witness, every, self.value_marks(dataset, variable), every)
            self._open.discard(key)
            self._cache[key] = (mask, witness)
        found: Marks = self._cache[key]
        return found

    def record_marks(self, dataset: str) -> Marks:
        """Per slot the causes of a record that one snapshot alone has, 0 for a record of both, and the evidence."""
        key = ("record", dataset)
        if key in self._open:
            return self._marks(dataset)
        if key in self._cache:
            found: Marks = self._cache[key]
            return found
        self._open.add(key)
        comparison = self.comparisons[dataset]
        mask, witness = self._marks(dataset)
        sides = (
            (self.before, self.after, comparison.removed, comparison.rows_before, 0),
            (self.after, self.before, comparison.added, comparison.rows_after, 1),
        )
        for side, other, chosen, rows, position in sides:
            slots = np.flatnonzero(chosen)
            if len(slots):
                self._single(dataset, side, other, slots, rows[slots], position, mask, witness)
        mask &= np.uint8(self.differing)
        single = np.flatnonzero((comparison.added | comparison.removed) & (mask == 0))
        if len(single):
            self._unexplained_records(dataset, single, mask, witness)
        self._open.discard(key)
        self._cache[key] = (mask, witness)
        return mask, witness

    def _single(
        self,
        dataset: str,
        side: Side,
        other: Side,
        slots: np.ndarray,
        records: np.ndarray,
        position: int,
        mask: np.ndarray,
        witness: np.ndarray,
    ) -> None:
        """Evidence for records of one snapshot alone: is their raw row new or gone, was it released, copied, placed."""
        rows = self._rows(side, dataset)
        mask[slots[rows.specified[records]]] |= np.uint8(SPECIFICATION)
        for source in {one for one in rows.sources[records] if isinstance(one, str)}:
            here = np.flatnonzero(rows.sources[records] == source)
            staged = rows.staged[records[here]]
            same = self._same_rows(source)[position]
            kept = np.where(staged >= 0, same[staged] if len(same) else False, False)
            used = other.used(source)
            taken = np.array([sha in used for sha in rows.shas[records[here]]], dtype=bool)
            if source in self.sources:
                # A row that its file still holds, and no finding, was replaced or deleted by another file.
                places = zip(rows.shas[records[here]], rows.lines[records[here]].tolist(), strict=True)
                taken &= np.array([place in other.held for place in places], dtype=bool)
            moved = slots[here[~kept & ~taken]]
            mask[moved] |= np.uint8(DATA)
            witness[moved, position] = self._offsets[dataset] + moved
        if self._named:
            named = np.array(
                [(rows.shas[one], int(rows.lines[one])) in self._named for one in records.tolist()], dtype=bool
            )
            mask[slots[named]] |= np.uint8(DECISIONS)
            witness[slots[named], position] = self._offsets[dataset] + slots[named]
        links = side.links.get(dataset)
        if links is None:
            return
        own = links[(links["kind"] == "record") & (links["variable"].isna() | (links["variable"] == "IDVARVAL"))]
        own = own[np.isin(own["record"].to_numpy() - 1, records)]
        for name, group in own.groupby("source", observed=True):
            if name in self.comparisons:
                here = self.slots(side, dataset)[group["record"].to_numpy() - 1]
                there = self.slots(side, str(name))[group["line"].to_numpy() - 1]
                marks = self.record_marks(str(name)) if dataset.startswith("SUPP") else self.any_marks(str(name))
                _take(mask, witness, here, marks, there)

    def _unexplained_records(self, dataset: str, slots: np.ndarray, mask: np.ndarray, witness: np.ndarray) -> None:
        if dataset.startswith("SUPP"):
            self._take_qualifiers(dataset, slots, mask, witness)
            slots = slots[mask[slots] == 0]
        if "DM" in self.comparisons and dataset != "DM":
            self._take_subject(dataset, slots, mask, witness, "DM", self.record_marks("DM"))
            slots = slots[mask[slots] == 0]
        rewritten = self._rewritten(dataset)
        names = {variable for side in self._sides() for owner, variable in side.rules if owner == dataset}
        written = [
            {
                (name, rule["part"]): rule.get("fingerprint")
                for name in names
                for rule in self._rules(side, dataset, name)
            }
            for side in self._sides()
        ]
        records = [side.records(dataset).get("fingerprint") for side in self._sides()]
        contracts = {str(one) for side in self._sides() for one in side.records(dataset).get("sources", ()) if one}
        if written[0] != written[1] or records[0] != records[1] or any(map(self._contract_differs, contracts)):
            mask[slots] |= np.uint8(rewritten)
        for other, variable in sorted(self._read_elsewhere(dataset)):
            if len(slots) and other in self.comparisons:
                self._take_subject(dataset, slots, mask, witness, other, self.value_marks(other, variable))
        mask[slots[mask[slots] == 0]] = np.uint8(self._possible)

    def _read_elsewhere(self, dataset: str) -> set[tuple[str, str]]:
        """The variables of other datasets that the rules of a dataset read."""
        found: set[tuple[str, str]] = set()
        for side in self._sides():
            for (owner, _), rules in side.rules.items():
                if owner == dataset:
                    reads = [one.partition(".") for rule in rules for one in rule["inputs"]]
                    found |= {(other, name) for other, dot, name in reads if dot and other != dataset}
        return found

    def _take_qualifiers(self, dataset: str, slots: np.ndarray, mask: np.ndarray, witness: np.ndarray) -> None:
        """Supplemental qualifiers have the causes of the parent's variable that they hold."""
        parent = dataset.removeprefix("SUPP")
        comparison = self.comparisons[dataset]
        if parent not in self.comparisons:
            return
        for side, rows in ((self.before, comparison.rows_before), (self.after, comparison.rows_after)):
            links, table = side.links.get(dataset), side.datasets.get(dataset)
            here = slots[rows[slots] >= 0]
            if links is None or table is None or not len(here):
                continue
            own = links[(links["variable"] == "IDVARVAL") & (links["source"] == parent)]
            target = np.full(table.num_rows, -1, dtype=np.int64)
            target[own["record"].to_numpy() - 1] = self.slots(side, parent)[own["line"].to_numpy() - 1]
            names = np.array(table["QNAM"].to_pylist(), dtype=object)[rows[here]]
            there = target[rows[here]]
            for name in {str(one) for one in names}:
                rule = name if self._references_known(parent, name) else name[:-1]
                chosen = (names == name) & (there >= 0)
                _take(mask, witness, here[chosen], self.value_marks(parent, rule), there[chosen])

    def _references_known(self, dataset: str, variable: str) -> bool:
        return any((dataset, variable) in side.rules for side in self._sides())

    def marks(self, dataset: str, variable: str) -> Marks:
        """`value_marks`, for the variables of supplemental qualifiers too."""
        if not dataset.startswith("SUPP"):
            return self.value_marks(dataset, variable)
        mask, witness = self._marks(dataset)
        slots = np.flatnonzero(self.comparisons[dataset].changed[variable])
        self._take_qualifiers(dataset, slots, mask, witness)
        mask &= np.uint8(self.differing)
        mask[slots[mask[slots] == 0]] = np.uint8(self._possible)
        return mask, witness

    def variable_cause(self, dataset: str, variable: str) -> int:
        """The causes of a variable that one snapshot alone has."""
        if len(self.inputs) == 1:
            return self.differing
        known = [bool(self._rules(side, dataset, variable)) for side in self._sides()]
        evidence = self._rewritten(dataset) if known[0] != known[1] else 0
        return evidence or self.differing & (SPECIFICATION | TERMINOLOGY | PLACEMENT | CODE) or self.differing

    def place(self, side: Side, witness: int) -> tuple[str, int] | None:
        """The raw file and line of the record that is evidence, in one of the snapshots."""
        names = list(self._offsets)
        starts = list(self._offsets.values())
        at = int(np.searchsorted(starts, witness, side="right")) - 1
        while self.comparisons[names[at]].size == 0:
            at -= 1
        dataset, slot = names[at], witness - starts[at]
        comparison = self.comparisons[dataset]
        row = int((comparison.rows_before if side is self.before else comparison.rows_after)[slot])
        if row < 0:
            return None
        rows = self._rows(side, dataset)
        return (str(rows.files[row]), int(rows.lines[row])) if rows.files[row] is not None else None

    def select(self, dataset: str | None = None, subject: str | None = None) -> list[tuple[Comparison, np.ndarray]]:
        """The datasets and the slots asked for. Raises UsageError for a dataset or subject in neither snapshot."""
        names = list(self.comparisons)
        if dataset is not None and dataset.upper() not in names:
            raise UsageError(f"no dataset {dataset!r} in either snapshot. Known: {', '.join(names)}")
        chosen = [self.comparisons[name] for name in names if dataset is None or name == dataset.upper()]
        if subject is None:
            return [(one, np.ones(one.size, dtype=bool)) for one in chosen]
        wanted = [str(one) == subject or str(one).endswith(f"-{subject}") for one in self._subjects]
        if not any(wanted):
            raise UsageError(f"no subject {subject!r} in either snapshot. Write USUBJID, or its last part")
        codes = np.flatnonzero(wanted)
        return [(one, np.isin(self.subject_codes(one.name), codes)) for one in chosen]

    def rows(self, comparison: Comparison, within: np.ndarray) -> Iterator[dict[str, Any]]:
        """Every difference of a dataset: a record added or removed, a value changed, a variable that came or went."""
        name = comparison.name
        keys = (
            self.after.keys(name)
            or self.before.keys(name)
            or (tuple(one for one in POINTER_KEYS if one != "RELID") if name.startswith("SUPP") else POINTER_KEYS)
        )
        for word, variables in (
            ("variable added", comparison.new_variables),
            ("variable removed", comparison.gone_variables),
        ):
            for variable in variables:
                yield _row(name, word, variable=variable, cause=_words(self.variable_cause(name, variable)))
        single = self.record_marks(name)
        for word, chosen in (("removed", comparison.removed), ("added", comparison.added)):
            slots = np.flatnonzero(chosen & within)
            yield from self._told(comparison, slots, keys, word, None, single)
        for variable, differs in comparison.changed.items():
            slots = np.flatnonzero(differs & within)
            if len(slots):
                yield from self._told(comparison, slots, keys, "changed", variable, self.marks(name, variable))

    def _told(
        self,
        comparison: Comparison,
        slots: np.ndarray,
        keys: Sequence[str],
        word: str,
        variable: str | None,
        marks: Marks,
    ) -> Iterator[dict[str, Any]]:
        sides = ((self.before, comparison.rows_before), (self.after, comparison.rows_after))
        side, rows = sides[0] if word == "removed" else sides[1]
        table = side.datasets.get(comparison.name)
        if table is None or not len(slots):
            return
        shown = [one for one in (*keys, "USUBJID") if one in table.column_names]
        record = {one: _plain(table[one].take(rows[slots])) for one in dict.fromkeys(shown)}
        values: list[list[Any]] = [[None] * len(slots), [None] * len(slots)]
        if variable is not None:
            values = [_plain(one.datasets[comparison.name][variable].take(at[slots])) for one, at in sides]
        for number, slot in enumerate(slots.tolist()):
            evidence = marks[1][slot].tolist()
            if max(evidence) < 0:
                evidence = [self._offsets[comparison.name] + slot] * 2
            places = [
                (self.place(one, witness) if witness >= 0 else None) or (None, None)
                for (one, _), witness in zip(sides, evidence, strict=True)
            ]
            yield _row(
                comparison.name,
                word,
                subject=record["USUBJID"][number] if "USUBJID" in record else None,
                key={one: record[one][number] for one in keys if one in record},
                variable=variable,
                before=values[0][number],
                after=values[1][number],
                cause=_words(int(marks[0][slot])),
                file_before=places[0][0],
                line_before=places[0][1],
                file_after=places[1][0],
                line_after=places[1][1],
            )


def source_comparison(before: Side, after: Side, source: str) -> Comparison:
    """The accepted rows of a source compared by its record id; without one rows come and go, and none changes."""
    tables = [side.staged(source) for side in (before, after)]
    if tables[0] is None and tables[1] is None:
        known = sorted({path.stem for side in (before, after) for path in (side.folder / "staged").glob("*.parquet")})
        raise UsageError(f"no source {source!r} in either snapshot. Known: {', '.join(known)}")
    plain = [{} if table is None else {source: table.drop_columns([FILE, SHA256, LINE])} for table in tables]
    ids = [tuple(side.manifest.get("sources", {}).get(source, {}).get("record_id", ())) for side in (after, before)]
    every = tuple(dict.fromkeys(name for one in plain for table in one.values() for name in table.column_names))
    return compare(plain[0], plain[1], {source: [one for one in ids if one] or [every]})[0]


def source_rows(before: Side, after: Side, comparison: Comparison) -> Iterator[dict[str, Any]]:
    """Every difference of a source: rows added, deleted, and values changed, with file and line on both sides."""
    source = comparison.name
    tables = [side.staged(source) for side in (before, after)]
    ids = [tuple(side.manifest.get("sources", {}).get(source, {}).get("record_id", ())) for side in (after, before)]
    keys = next((one for one in ids if one), ())
    slots = {"deleted": comparison.removed, "added": comparison.added}
    rows = (comparison.rows_before, comparison.rows_after)
    told: list[tuple[str, str | None, np.ndarray]] = [
        (word, None, np.flatnonzero(chosen)) for word, chosen in slots.items()
    ]
    told += [("changed", name, np.flatnonzero(differs)) for name, differs in comparison.changed.items()]
    for word, variable, chosen in told:
        cells: list[dict[str, list[Any]]] = []
        for table, at in zip(tables, rows, strict=True):
            here = at[chosen]
            wanted = [*keys, "_subject", FILE, LINE, *([variable] if variable else [])]
            if table is None or (here < 0).any():
                cells.append({})
            else:
                cells.append({one: _plain(table[one].take(here)) for one in wanted if one in table.column_names})
        record = cells[0] if word == "deleted" else cells[1]
        for number in range(len(chosen)):
            values = [one[variable][number] if variable and one else None for one in cells]
            places = [(one[FILE][number], one[LINE][number]) if one else (None, None) for one in cells]
            yield _row(
                source,
                word,
                subject=record["_subject"][number],
                key={one: record[one][number] for one in keys if one in record},
                variable=variable,
                before=values[0],
                after=values[1],
                cause="",
                file_before=places[0][0],
                line_before=places[0][1],
                file_after=places[1][0],
                line_after=places[1][1],
            )


def cause_counts(rows: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    """How many differences of each kind have which cause."""
    counts: dict[str, dict[str, int]] = {}
    for row in rows:
        kind = counts.setdefault(row["change"], {})
        kind[row["cause"]] = kind.get(row["cause"], 0) + 1
    return counts


def _take(mask: np.ndarray, witness: np.ndarray, slots: np.ndarray, marks: Marks, there: np.ndarray) -> None:
    """Add the causes of other slots to some slots, and their evidence where there is none yet."""
    np.bitwise_or.at(mask, slots, marks[0][there])
    for side in (0, 1):
        found = marks[1][there, side]
        fresh = (witness[slots, side] < 0) & (found >= 0)
        witness[slots[fresh], side] = found[fresh]


def _words(bits: int) -> str:
    return " or ".join(name for position, name in enumerate(CAUSES) if bits >> position & 1)


def _row(dataset: str, change: str, **more: Any) -> dict[str, Any]:
    return {**dict.fromkeys(ROW_COLUMNS), "dataset": dataset, "change": change, **more}


def _plain(column: pa.ChunkedArray) -> list[Any]:
    return [one.isoformat() if isinstance(one, date) else one for one in column.to_pylist()]
