"""Imputed dates: whatever was collected of a date stands in what it becomes."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from transforms.algorithms.durations import DateImputed, ImputeDay, ImputeEnd, ImputeStart
from transforms.core import text

DAYS = st.dates(datetime.date(2021, 12, 1), datetime.date(2023, 2, 28))
BOUNDS = st.none() | DAYS


@dataclass(frozen=True)
class Columns:
    """The part of a scope that these algorithms read."""

    columns: dict[str, pd.Series]

    @property
    def index(self) -> pd.Index:
        return next(iter(self.columns.values())).index

    def variable(self, name: str) -> pd.Series:
        return self.columns[name]


@st.composite
def collected(draw: st.DrawFn) -> str | None:
    """A date as SDTM carries it: complete, with a time, without day, without month, with a day of no month, or none."""
    day = draw(DAYS).isoformat()
    forms = [day, f"{day}T08:05", day[:7], day[:4], f"{day[:4]}---{day[8:]}", f"--{day[5:]}", None]
    return draw(st.sampled_from(forms))


ROWS = st.lists(st.tuples(collected(), BOUNDS, BOUNDS, BOUNDS), min_size=1, max_size=30)


def columns(rows: list[tuple[Any, ...]]) -> Columns:
    texts, *bounds = zip(*rows, strict=True)
    index = pd.RangeIndex(len(rows))
    dates = [pd.Series(np.array(one, dtype="datetime64[s]"), index=index) for one in bounds]
    return Columns({"--DTC": text.from_values(list(texts), index)} | dict(zip(("A", "B", "C"), dates, strict=True)))


def known(iso: str) -> str | None:
    """What of a text can be compared with a date: the year, the month and the day as far as they are known in order."""
    return None if iso.startswith("--") else iso[:4] if "---" in iso else iso[:10]


@given(ROWS)
def test_imputation_changes_nothing_that_was_collected(rows: list[tuple[Any, ...]]) -> None:
    scope = columns(rows)
    algorithms = [
        ImputeStart(date="--DTC", treatment="A", not_before=("B",), not_after=("C",)),
        ImputeStart(date="--DTC"),
        ImputeEnd(date="--DTC", not_after=("A", "B")),
        ImputeDay(date="--DTC", after="A"),
    ]
    for algorithm in algorithms:
        values = algorithm.apply(scope).values  # type: ignore[arg-type]
        imputed = DateImputed(inputs=("DATE", "--DTC")).apply(Columns({**scope.columns, "DATE": values})).values  # type: ignore[arg-type]
        for (iso, *_), value, flag in zip(rows, values, imputed.astype(object), strict=True):
            kept = None if iso is None else known(iso)
            if kept is None:
                assert pd.isna(value)
            elif pd.isna(value):
                assert isinstance(algorithm, ImputeDay)
                assert len(kept) < 10
            else:
                assert value.date().isoformat().startswith(kept), algorithm
            expected = None if pd.isna(value) or len(kept or "") == 10 else "D" if len(kept or "") == 7 else "M"
            assert (None if pd.isna(flag) else flag) == expected
