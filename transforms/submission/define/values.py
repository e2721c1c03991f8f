"""Value-level metadata: what a variable is under each test, item, parameter, treatment or qualifier."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from transforms.core import numbers
from transforms.core.tables import read_table
from transforms.submission.define.codelists import DEFINE
from transforms.submission.define.model import Check, Where
from transforms.submission.define.profile import Data, Profile, column_profile, number_profile, result_profile

UNSAFE = re.compile(r"[^A-Za-z0-9_.-]+")


@dataclass(frozen=True)
class Plan:
    """The variables that a dataset describes by value, the variable they depend on, and one that tells values apart."""

    variables: tuple[str, ...]
    by: str
    also: str | None


@dataclass(frozen=True)
class Slice:
    """One variable under one where clause: its profile, its distinct texts, and the record groups it is from."""

    variable: str
    where: Where
    profile: Profile
    texts: tuple[str, ...]
    parts: frozenset[int]
    complete: bool

    @property
    def suffix(self) -> str:
        """What tells the OIDs of this clause from those of others of the dataset."""
        return self.where.oid.split(".", 2)[2]


def plan_of(dataset: str, observation_class: str) -> Plan | None:
    """How a dataset is described by value, by its name or its class; None if it is not."""
    table = read_table(DEFINE / "value_level.csv", "value_level.csv")
    rows = {row[0]: row for row in table.rows}
    kind = "SUPPQUAL" if dataset.startswith("SUPP") else observation_class
    row = rows.get(dataset) or rows.get(kind)
    if row is None:
        return None
    placed = [cell.replace("--", dataset) for cell in row]
    return Plan(tuple(placed[1].split()), placed[2], placed[3] or None)


def slices(data: Data, plan: Plan, parts: np.ndarray | None, encoding: str) -> Iterator[Slice]:
    """What each variable of the plan is under each where clause that has values.

    `parts` is the record group of each record. A value with records of several values of `also` is told apart by it
    where both are known.
    """
    names = data.table.column_names
    if plan.by not in names:
        return
    variables = [name for name in plan.variables if name in names]
    also = plan.also if plan.also in names else None
    columns = list(dict.fromkeys([plan.by, *([also] if also else []), *variables]))
    frame = data.table.select(columns).to_pandas(strings_to_categorical=True)
    keys = [plan.by]
    if also is not None:
        several = frame.groupby(plan.by, observed=True)[also].nunique()
        if (several > 1).any():
            keys.append(also)
    numbered = frame.groupby(keys, observed=True, sort=True, dropna=True)
    for key, rows in sorted(numbered.indices.items(), key=lambda item: str(item[0])):
        values = [str(one) for one in (key if isinstance(key, tuple) else (key,))]
        if len(keys) > 1 and several[values[0]] < 2:
            values = values[:1]
        where = _where(data.name, keys[: len(values)], values)
        for variable in variables:
            taken = data.table[variable].take(pa.array(rows))
            filled = np.flatnonzero(taken.is_valid().to_numpy(zero_copy_only=False))
            if not len(filled):
                continue
            profile, texts = _profile(Data(data.name, pa.table({variable: taken})), variable, encoding)
            own = frozenset() if parts is None else frozenset(int(one) for one in np.unique(parts[rows[filled]]))
            yield Slice(variable, where, profile, texts, own, len(filled) == len(rows))


def _profile(data: Data, variable: str, encoding: str) -> tuple[Profile, tuple[str, ...]]:
    column = data.table[variable]
    if pa.types.is_temporal(column.type):
        return column_profile(data, variable, "", encoding), ()
    values = pc.unique(column).drop_null().to_pylist()
    if pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
        return number_profile([float(one) for one in values]), ()
    texts = tuple(sorted(str(one) for one in values))
    return result_profile(texts, encoding), texts


def _where(dataset: str, names: Sequence[str], values: Sequence[str]) -> Where:
    checks = tuple(Check(f"IT.{dataset}.{name}", (value,)) for name, value in zip(names, values, strict=True))
    shown = ".".join(oid_part(value) for value in values)
    return Where(f"WC.{dataset}.{shown}", checks)


def oid_part(value: str) -> str:
    """A value as part of an OID; a digest tells those with other signs than letters, digits, `_`, `.`, `-`."""
    safe = UNSAFE.sub("_", value)
    return safe if safe == value else f"{safe}-{hashlib.sha256(value.encode()).hexdigest()[:6]}"


def groups_of_records(snapshot: Path, dataset: str, rows: int) -> np.ndarray | None:
    """The position of the record group that each record is from, by the lineage.

    None where it does not say, or where the dataset lacks records that the snapshot had (not all are submitted).
    """
    wanted = (pc.field("dataset") == dataset) & pc.field("variable").is_null() & ~pc.field("part").is_null()
    table = pq.read_table(snapshot / "lineage.parquet", columns=["record", "part"], filters=wanted)
    if not table.num_rows:
        return None
    frame = table.to_pandas().drop_duplicates("record").set_index("record")["part"]
    if len(frame) != rows:
        return None
    result = frame.reindex(pd.RangeIndex(1, rows + 1)).fillna(-1).to_numpy(dtype=np.int64)
    return None if (result < 0).any() else result


def decodes(data: Data, code: str, decode: str) -> dict[str, str]:
    """The decode of each value of a variable; nothing where a value has none, or several."""
    if code not in data.table.column_names or decode not in data.table.column_names:
        return {}
    found: dict[str, str] = {}
    for value, said in data.combinations([code, decode]):
        if value is None:
            continue
        key = value if isinstance(value, str) else numbers.number_text(value)
        if said is None or found.setdefault(key, str(said)) != said:
            return {}
    return found


def checked(wheres: Iterable[Where]) -> tuple[Where, ...]:
    """Each where clause once, in the order met."""
    return tuple({one.oid: one for one in wheres}.values())
