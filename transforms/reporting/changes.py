"""What changed from one snapshot to the next, dataset by dataset, compared by natural keys.

A record is the same record in both snapshots when its natural key is the same. Sequence numbers are no property
of a record: a record that came in between renumbers those after it, so they are compared apart and a record whose
numbers alone differ is `renumbered`, not changed. Records that point to others by such a number (SUPP--, RELREC)
are compared by the record they point to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

Tables = Mapping[str, pa.Table | pd.DataFrame]
Keys = Sequence[str] | Sequence[Sequence[str]]
POINTER_KEYS = ("RDOMAIN", "USUBJID", "IDVAR", "IDVARVAL", "QNAM", "RELID")
ROOM = 1 << 62


@dataclass(frozen=True)
class Comparison:
    """One dataset in two snapshots. A slot is a record of either, or of both: its rows there, -1 where it is absent.

    Slots stand in the order of the earlier snapshot, those added at the end. `changed` says per variable in which
    slots of both its value differs; variables equal everywhere, and sequence numbers, are left out.
    """

    name: str
    before: pa.Table | None
    after: pa.Table | None
    rows_before: np.ndarray
    rows_after: np.ndarray
    changed: Mapping[str, np.ndarray]
    renumbered: np.ndarray

    @property
    def size(self) -> int:
        """The number of slots."""
        return len(self.rows_before)

    @property
    def added(self) -> np.ndarray:
        """True for records that the later snapshot alone has."""
        result: np.ndarray = self.rows_before < 0
        return result

    @property
    def removed(self) -> np.ndarray:
        """True for records that the earlier snapshot alone has."""
        result: np.ndarray = self.rows_after < 0
        return result

    @property
    def altered(self) -> np.ndarray:
        """True for records with a changed value."""
        result = np.zeros(self.size, dtype=bool)
        for differs in self.changed.values():
            result |= differs
        return result

    @property
    def new_variables(self) -> list[str]:
        """Variables that the later snapshot alone has; none where it alone has the dataset."""
        return self._lacking(self.after, self.before)

    @property
    def gone_variables(self) -> list[str]:
        """Variables that the earlier snapshot alone has; none where it alone has the dataset."""
        return self._lacking(self.before, self.after)

    def _lacking(self, one: pa.Table | None, other: pa.Table | None) -> list[str]:
        if one is None or other is None:
            return []
        return sorted(set(one.column_names) - set(other.column_names))

    def summary(self) -> dict[str, Any]:
        """Numbers of records before, after, added, removed, changed and renumbered, and changed values by variable."""
        altered = self.altered
        return {
            "dataset": self.name,
            "before": None if self.before is None else self.before.num_rows,
            "after": None if self.after is None else self.after.num_rows,
            "added": int(self.added.sum()),
            "removed": int(self.removed.sum()),
            "changed": int(altered.sum()),
            "renumbered": int((self.renumbered & ~altered).sum()),
            "variables": {name: int(differs.sum()) for name, differs in self.changed.items()},
            "new_variables": self.new_variables,
            "gone_variables": self.gone_variables,
        }


@dataclass(frozen=True)
class _Paired:
    """One dataset in both snapshots: per record the number of its pair, and per shared variable its value codes."""

    name: str
    before: pa.Table
    after: pa.Table
    codes: Mapping[str, np.ndarray]
    pair_before: np.ndarray
    pair_after: np.ndarray


def compare(before: Tables, after: Tables, keys: Mapping[str, Keys]) -> list[Comparison]:
    """Compare the datasets of two snapshots by natural keys; sorted by name.

    `keys` names the natural key of each dataset, or several (that of each snapshot) in the order in which they are
    tried; datasets that point to records (SUPP--) need none. Key variables that one of the snapshots lacks are left
    out of the comparison. Records are paired first where all their values but sequence numbers are equal, then by what
    of their key is no sequence number where that names one record on each side (a key of an analysis dataset may end
    with the number of the record it comes from), then by the whole key, in their order.

    Raises ValueError for a dataset without keys.
    """
    names = sorted({*before, *after})
    old = {name: arrow(table) for name, table in before.items()}
    new = {name: arrow(table) for name, table in after.items()}
    known: dict[str, tuple[tuple[str, ...], ...]] = {
        name: (POINTER_KEYS,) for name in names if _points(old.get(name), new.get(name))
    }
    known |= {name: _several(one) for name, one in keys.items() if one}
    unknown = [name for name in names if not known.get(name)]
    if unknown:
        raise ValueError(f"{', '.join(unknown)}: no natural key is given, so records cannot be compared. Name it")
    numbers = {f"{name}SEQ" for name in names} | {"ASEQ", "SRCSEQ"}
    paired: dict[str, _Paired] = {}
    for name in sorted(names, key=lambda one: (_points(old.get(one), new.get(one)), one)):
        if name in old and name in new:
            paired[name] = _pair(name, old[name], new[name], known[name], numbers, paired)
    return [
        _compared(paired[name], numbers) if name in paired else _one_sided(name, old.get(name), new.get(name))
        for name in names
    ]


def _several(keys: Keys) -> tuple[tuple[str, ...], ...]:
    """One key or several as several."""
    nested = [(one,) if isinstance(one, str) else tuple(one) for one in keys]
    if all(isinstance(one, str) for one in keys):
        return (tuple(one for key in nested for one in key),)
    return tuple(dict.fromkeys(nested))


def _points(*tables: pa.Table | None) -> bool:
    """True for a dataset whose records point to records of others, which are to be paired first."""
    return any(table is not None and {"RDOMAIN", "IDVAR", "IDVARVAL"} <= set(table.column_names) for table in tables)


def arrow(table: pa.Table | pd.DataFrame) -> pa.Table:
    """A table whose columns can be compared: plain types, missing as null."""
    if isinstance(table, pd.DataFrame):
        table = pa.Table.from_pandas(table, preserve_index=False)
    return pa.table({name: _plain(table[name]) for name in table.column_names})


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column without dictionary, in 64 bits, with missing as null and one zero."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_floating(column.type):
        column = pc.add(column.cast(pa.float64()), 0.0)
        return pc.if_else(pc.is_nan(column), None, column)
    if pa.types.is_integer(column.type):
        return column.cast(pa.int64())
    if pa.types.is_nested(column.type):
        raise ValueError("a column of lists or structures cannot be compared. Leave the dataset out")
    return column.cast(pa.string()) if pa.types.is_large_string(column.type) else column


def value_codes(before: pa.ChunkedArray, after: pa.ChunkedArray) -> np.ndarray:
    """Codes of the values of both columns, one after the other: equal codes are equal values, -1 is missing."""
    kinds = {before.type, after.type} - {pa.null()}
    if len(kinds) > 1:
        numeric = all(pa.types.is_integer(kind) or pa.types.is_floating(kind) for kind in kinds)
        kinds = {pa.float64() if numeric else pa.string()}
    kind = kinds.pop() if kinds else pa.string()
    both = pa.chunked_array([*before.cast(kind).chunks, *after.cast(kind).chunks], type=kind)
    encoded = pa.chunked_array(both.dictionary_encode().chunks, type=pa.dictionary(pa.int32(), kind))
    indices = encoded.combine_chunks()
    if isinstance(indices, pa.ChunkedArray):  # no rows at all
        return np.empty(0, dtype=np.int64)
    codes: np.ndarray = pc.fill_null(indices.indices, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    return codes


def combined(columns: Sequence[np.ndarray], size: int) -> np.ndarray:
    """One code per row for the combination of several columns of codes."""
    result, bound = np.zeros(size, dtype=np.int64), 1
    for codes in columns:
        values = int(codes.max(initial=-1)) + 2
        if bound > ROOM // values:
            result, distinct = pd.factorize(result)
            bound = len(distinct) + 1
        result, bound = result * values + (codes + 1), bound * values
    return result


def occurrence(codes: np.ndarray) -> np.ndarray:
    """How many rows before it have the same code."""
    series = pd.Series(codes)
    result: np.ndarray = series.groupby(series, sort=False).cumcount().to_numpy()
    return result


def _pair(
    name: str,
    before: pa.Table,
    after: pa.Table,
    keys: Sequence[Sequence[str]],
    numbers: set[str],
    paired: Mapping[str, _Paired],
) -> _Paired:
    if _points(before) and _points(after):
        before, after = _resolved(before, after, numbers, paired)
    size = before.num_rows
    shared = [one for one in before.column_names if one in set(after.column_names)]
    codes = {one: value_codes(before[one], after[one]) for one in shared}
    tried = [known for one in keys if (known := tuple(name for name in one if name in codes))]
    total = size + after.num_rows
    pairs = np.full(total, -1, dtype=np.int64)
    if tried:
        content = [codes[one] for one in shared if one not in numbers]
        _match(combined(content, total), pairs, size)
        for key in tried:
            lasting = [codes[one] for one in key if one not in numbers]
            if 1 < len(lasting) < len(key):  # the subject alone names no record
                _match(_once(combined(lasting, total), size), pairs, size)
        for key in tried:
            _match(combined([codes[one] for one in key], total), pairs, size)
    single = pairs < 0
    pairs[single] = total + np.arange(int(single.sum()))
    return _Paired(name, before, after, codes, pairs[:size], pairs[size:])


def _once(code: np.ndarray, size: int) -> np.ndarray:
    """The codes, with those that a side has several times replaced by some that nothing else has."""
    alone = code.copy()
    for side in (slice(0, size), slice(size, len(code))):
        again = pd.Series(code[side]).duplicated(keep=False).to_numpy()
        alone[side][again] = -1 - np.arange(len(code))[side][again]
    return alone


def _match(code: np.ndarray, pairs: np.ndarray, size: int) -> None:
    """Pair the open records before and after that have the same code, in their order; a pair has one number."""
    left = np.flatnonzero(pairs[:size] < 0)
    right = size + np.flatnonzero(pairs[size:] < 0)
    identity = [
        pd.MultiIndex.from_arrays([code[side], occurrence(code[side])]) if len(side) else None for side in (left, right)
    ]
    if identity[0] is None or identity[1] is None:
        return
    found = identity[0].get_indexer(identity[1])
    hit = found >= 0
    pairs[left[found[hit]]] = left[found[hit]]
    pairs[right[hit]] = left[found[hit]]


def _resolved(
    before: pa.Table, after: pa.Table, numbers: set[str], paired: Mapping[str, _Paired]
) -> tuple[pa.Table, pa.Table]:
    """IDVARVAL as the pair of the record it points to, where IDVAR is a sequence number of a compared dataset."""
    result = []
    for table, side in ((before, "before"), (after, "after")):
        frame = table.select([one for one in ("RDOMAIN", "USUBJID", "IDVAR", "IDVARVAL") if one in table.column_names])
        frame = frame.to_pandas().astype(object)
        values = frame["IDVARVAL"].copy()
        for (domain, variable), rows in frame.groupby(["RDOMAIN", "IDVAR"], sort=True).groups.items():
            parent = paired.get(domain)
            by = ["USUBJID", variable]
            if parent is None or variable not in numbers or not set(by) <= set(parent.codes) or "USUBJID" not in frame:
                continue
            records = getattr(parent, side).select(by).to_pandas()
            pairs = parent.pair_before if side == "before" else parent.pair_after
            numbered = pd.to_numeric(records[variable], errors="coerce")
            target = pd.Series(pairs, index=pd.MultiIndex.from_arrays([records["USUBJID"].astype(object), numbered]))
            target = target[~target.index.duplicated()]
            pointers = pd.MultiIndex.from_arrays(
                [frame.loc[rows, "USUBJID"], pd.to_numeric(frame.loc[rows, "IDVARVAL"], errors="coerce")]
            )
            found = target.reindex(pointers).to_numpy()
            known = ~np.isnan(found.astype(float))
            values.loc[rows[known]] = [f"record {int(one)}" for one in found[known]]
        position = table.column_names.index("IDVARVAL")
        column = pa.chunked_array([pa.array(values, type=pa.string(), from_pandas=True)])
        result.append(table.set_column(position, "IDVARVAL", column))
    return result[0], result[1]


def _compared(paired: _Paired, numbers: set[str]) -> Comparison:
    size = paired.before.num_rows
    before = np.arange(size)
    position = pd.Index(paired.pair_before).get_indexer(pd.Index(paired.pair_after))
    shared = position >= 0
    after = np.full(size, -1, dtype=np.int64)
    after[position[shared]] = np.flatnonzero(shared)
    added = np.flatnonzero(~shared)
    rows_before = np.concatenate([before, np.full(len(added), -1, dtype=np.int64)])
    rows_after = np.concatenate([after, added])
    both = np.flatnonzero((rows_before >= 0) & (rows_after >= 0))
    changed: dict[str, np.ndarray] = {}
    renumbered = np.zeros(len(rows_before), dtype=bool)
    for name in sorted(paired.codes):
        codes = paired.codes[name]
        differs = np.zeros(len(rows_before), dtype=bool)
        differs[both] = codes[rows_before[both]] != codes[size + rows_after[both]]
        if name in numbers:
            renumbered |= differs
        elif differs.any():
            changed[name] = differs
    return Comparison(paired.name, paired.before, paired.after, rows_before, rows_after, changed, renumbered)


def _one_sided(name: str, before: pa.Table | None, after: pa.Table | None) -> Comparison:
    table = before if before is not None else after
    size = 0 if table is None else table.num_rows
    here, absent = np.arange(size), np.full(size, -1, dtype=np.int64)
    rows = (here, absent) if before is not None else (absent, here)
    return Comparison(name, before, after, *rows, {}, np.zeros(size, dtype=bool))
