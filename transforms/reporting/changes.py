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
POINTER_KEYS = ("RDOMAIN", "USUBJID", "IDVAR", "IDVARVAL", "QNAM", "RELID")
ROOM = 1 << 62


@dataclass(frozen=True)
class _Paired:
    """One dataset in both snapshots: per record the number of its pair, and per shared variable its value codes."""

    name: str
    before: pa.Table
    after: pa.Table
    codes: Mapping[str, np.ndarray]
    keys: tuple[str, ...]
    pair_before: np.ndarray
    pair_after: np.ndarray


def changes_between(before: Tables, after: Tables, keys: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """Compare the datasets of two snapshots by natural keys; one mapping per dataset, sorted by name.

    `keys` names the natural key of each dataset; datasets that point to records (SUPP--) need none. Key variables
    that one of the snapshots lacks are left out of the comparison. Records with equal keys are paired first where
    all their values are equal, then in their order.

    Each mapping holds `dataset`; `before` and `after` (numbers of records, None where the dataset is absent);
    `added`, `removed`, `changed`, `renumbered` (numbers of records); `variables` (changed values per variable,
    sequence numbers left out); `new_variables` and `gone_variables`.

    Raises ValueError for a dataset without keys.
    """
    names = sorted({*before, *after})
    old = {name: _arrow(table) for name, table in before.items()}
    new = {name: _arrow(table) for name, table in after.items()}
    keys = {**{name: POINTER_KEYS for name in names if _points(old.get(name), new.get(name))}, **keys}
    unknown = [name for name in names if not keys.get(name)]
    if unknown:
        raise ValueError(f"{', '.join(unknown)}: no natural key is given, so records cannot be compared. Name it")
    numbers = {f"{name}SEQ" for name in names} | {"ASEQ", "SRCSEQ"}
    paired: dict[str, _Paired] = {}
    for name in sorted(names, key=lambda one: (_points(old.get(one), new.get(one)), one)):
        if name in old and name in new:
            paired[name] = _pair(name, old[name], new[name], keys[name], numbers, paired)
    return [
        _compare(paired[name], numbers) if name in paired else _one_sided(name, old.get(name), new.get(name))
        for name in names
    ]


def _points(*tables: pa.Table | None) -> bool:
    """True for a dataset whose records point to records of others, which are to be paired first."""
    return any(table is not None and {"RDOMAIN", "IDVAR", "IDVARVAL"} <= set(table.column_names) for table in tables)


def _arrow(table: pa.Table | pd.DataFrame) -> pa.Table:
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


def _codes(before: pa.ChunkedArray, after: pa.ChunkedArray) -> np.ndarray:
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


def _combined(columns: Sequence[np.ndarray], size: int) -> np.ndarray:
    """One code per row for the combination of several columns of codes."""
    result, bound = np.zeros(size, dtype=np.int64), 1
    for codes in columns:
        values = int(codes.max(initial=-1)) + 2
        if bound > ROOM // values:
            result, distinct = pd.factorize(result)
            bound = len(distinct) + 1
        result, bound = result * values + (codes + 1), bound * values
    return result


def _occurrence(codes: np.ndarray) -> np.ndarray:
    series = pd.Series(codes)
    result: np.ndarray = series.groupby(series, sort=False).cumcount().to_numpy()
    return result


def _pair(
    name: str,
    before: pa.Table,
    after: pa.Table,
    keys: Sequence[str],
    numbers: set[str],
    paired: Mapping[str, _Paired],
) -> _Paired:
    if _points(before) and _points(after):
        before, after = _resolved(before, after, numbers, paired)
    size = before.num_rows
    shared = [one for one in before.column_names if one in set(after.column_names)]
    codes = {one: _codes(before[one], after[one]) for one in shared}
    known = tuple(one for one in keys if one in codes)
    total = size + after.num_rows
    if not known:
        return _Paired(name, before, after, codes, (), np.arange(size), np.arange(size, total))
    key = _combined([codes[one] for one in known], total)
    content = [codes[one] for one in shared if one in known or one not in numbers]
    pairs = np.full(total, -1, dtype=np.int64)
    for code in (_combined(content, total), key):
        _match(code, pairs, size)
    single = pairs < 0
    pairs[single] = total + np.arange(int(single.sum()))
    return _Paired(name, before, after, codes, known, pairs[:size], pairs[size:])


def _match(code: np.ndarray, pairs: np.ndarray, size: int) -> None:
    """Pair the open records before and after that have the same code, in their order; a pair has one number."""
    left = np.flatnonzero(pairs[:size] < 0)
    right = size + np.flatnonzero(pairs[size:] < 0)
    identity = [
        pd.MultiIndex.from_arrays([code[side], _occurrence(code[side])]) if len(side) else None
        for side in (left, right)
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


def _compare(paired: _Paired, numbers: set[str]) -> dict[str, Any]:
    size = paired.before.num_rows
    order = np.argsort(paired.pair_before, kind="stable")
    if size:
        place = np.clip(np.searchsorted(paired.pair_before, paired.pair_after, sorter=order), 0, size - 1)
        left = order[place]
        both = paired.pair_before[left] == paired.pair_after
    else:
        left = np.zeros(paired.after.num_rows, dtype=np.int64)
        both = np.zeros(paired.after.num_rows, dtype=bool)
    right = np.flatnonzero(both)
    left = left[both]
    changed = np.zeros(len(right), dtype=bool)
    renumbered = np.zeros(len(right), dtype=bool)
    variables: dict[str, int] = {}
    for name in sorted(set(paired.codes) - set(paired.keys)):
        codes = paired.codes[name]
        differs = codes[left] != codes[size + right]
        if name in numbers:
            renumbered |= differs
            continue
        changed |= differs
        if differs.any():
            variables[name] = int(differs.sum())
    names_before, names_after = set(paired.before.column_names), set(paired.after.column_names)
    return {
        "dataset": paired.name,
        "before": size,
        "after": paired.after.num_rows,
        "added": paired.after.num_rows - len(right),
        "removed": size - len(right),
        "changed": int(changed.sum()),
        "renumbered": int((renumbered & ~changed).sum()),
        "variables": variables,
        "new_variables": sorted(names_after - names_before),
        "gone_variables": sorted(names_before - names_after),
    }


def _one_sided(name: str, before: pa.Table | None, after: pa.Table | None) -> dict[str, Any]:
    return {
        "dataset": name,
        "before": None if before is None else before.num_rows,
        "after": None if after is None else after.num_rows,
        "added": 0 if after is None else after.num_rows,
        "removed": 0 if before is None else before.num_rows,
        "changed": 0,
        "renumbered": 0,
        "variables": {},
        "new_variables": [],
        "gone_variables": [],
    }
