"""Columns that tell of other rows, of this frame or of another: counts, the nearest, the one before, ranks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, model_validator

from transforms.core import conditions, dates, numbers, text
from transforms.core.conditions import Test
from transforms.validation.columns.base import Frame, Kind, Prepared, Scope

# More days than any date has before it.
DAYS = 2**24


class Near(BaseModel):
    """A window of days: `there` lies `from` to `to` days after `here` (before it where negative); both are dates."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    here: str
    there: str
    first: int = Field(alias="from")
    last: int = Field(alias="to")

    @model_validator(mode="after")
    def _forward(self) -> Near:
        if self.first > self.last:
            raise ValueError("near goes from the earlier to the later day")
        return self


class _Rows(Prepared):
    """Base of what looks for rows: of another frame (`of`) or of this one, on which `when` holds, `near` in time."""

    own_value: ClassVar[bool] = False
    of: str | None = None
    there: tuple[str, ...] = ()
    when: dict[str, Test] = {}
    near: Near | None = None

    @property
    def keys(self) -> tuple[str, ...]:
        """The columns of this frame whose values a row must have."""
        raise NotImplementedError

    @model_validator(mode="after")
    def _as_many(self) -> Self:
        if self.there and (self.of is None or len(self.there) != len(self.keys)):
            raise ValueError("there names as many columns of another frame as are looked for")
        return self

    def inputs(self) -> Sequence[str]:
        """See the base."""
        here = (self.near.here,) if self.near else ()
        return (*self.keys, *here, *(() if self.of else self.read_there()))

    def read_there(self) -> tuple[str, ...]:
        """Columns read of the rows looked for."""
        return (*self.there, *self.when, *((self.near.there,) if self.near else ()))

    def others(self) -> Mapping[str, Sequence[str]]:
        """See the base."""
        return {self.of: (*(self.there or self.keys), *self.read_there())} if self.of else {}

    def renamed(self, names: Mapping[str, str]) -> Prepared:
        """See the base."""
        if self.near or self.when:
            raise ValueError("a rule for a kind of source looks neither near a date nor for a condition")
        return super().renamed(names)

    def found(self, scope: Scope) -> tuple[Callable[[str], pd.Series], np.ndarray]:
        """The columns of the frame looked into, and the rows on which `when` holds."""
        frame = scope.frame(self.of) if self.of else None
        values = scope.column if frame is None else frame.__getitem__
        index = scope.index if frame is None else frame.index
        return values, np.flatnonzero(conditions.rows(self.when, values, index))


class Count(_Rows):
    """How many rows of a frame (`of`, else this one) have the same values in the columns `count`.

    Columns of `if_there` belong to them where the dataset has them. `there` names the columns of `of` where they
    have other names. Only rows on which `when` holds count, and with `near` those in the window of days; a row whose
    day is unknown has no number then.
    """

    word: ClassVar[str] = "count"
    count: tuple[str, ...] = Field(min_length=1)
    if_there: tuple[str, ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        """See the base."""
        return self.count

    def column_fields(self) -> tuple[str, ...]:
        """See the base."""
        return ("count", "if_there")

    def values(self, scope: Scope) -> pd.Series:
        """See the class."""
        names = [*self.count, *(name for name in self.if_there if name in scope.names())]
        own = [scope.column(name) for name in names]
        values, rows = self.found(scope)
        there = [values(name).iloc[rows] for name in (*(self.there or self.count), *names[len(self.count) :])]
        here, found, size = _matched(own, there)
        if self.near is None:
            return pd.Series(np.bincount(found, minlength=size)[here].astype(float), index=scope.index)
        asked = dates.day_numbers(scope.column(self.near.here)).to_numpy()
        days = dates.day_numbers(values(self.near.there)).to_numpy()[rows]
        dated = ~np.isnan(days)
        # Key and day as one number, so that the rows of a key in a window of days lie together.
        places = np.sort(found[dated] * DAYS + days[dated].astype(np.int64))

        def before(day: np.ndarray, side: Literal["left", "right"]) -> np.ndarray:
            whole = np.clip(np.nan_to_num(day), 0, DAYS - 1).astype(np.int64)
            position: np.ndarray = np.searchsorted(places, here * DAYS + whole, side)
            return position

        counts = before(asked + self.near.last, "right") - before(asked + self.near.first, "left")
        return pd.Series(np.where(np.isnan(asked), np.nan, counts), index=scope.index)


class Fetch(_Rows):
    """The text in the column `fetch` of another frame, on its one row with the same values in the columns `by`.

    `there` names the columns of the other frame where they have other names; only rows on which `when` holds are
    looked at. With `near` the row is the one nearest in time within the window of days; missing where rows equally
    near say different things.
    """

    word: ClassVar[str] = "fetch"
    kind: ClassVar[Kind] = "text"
    fetch: str
    of: str
    by: tuple[str, ...] = Field(min_length=1)

    @property
    def keys(self) -> tuple[str, ...]:
        """See the base."""
        return self.by

    def column_fields(self) -> tuple[str, ...]:
        """See the base."""
        return ("by",)

    def read_there(self) -> tuple[str, ...]:
        """See the base."""
        return (self.fetch, *super().read_there())

    def values(self, scope: Scope) -> pd.Series:
        """See the class."""
        values, rows = self.found(scope)
        here, found, size = _matched(
            [scope.column(name) for name in self.by], [values(name).iloc[rows] for name in self.there or self.by]
        )
        codes, distinct = text.codes_of(values(self.fetch).iloc[rows])
        if self.near is None:
            code = np.full(size, text.MISSING)
            code[found] = codes
            code[np.bincount(found, minlength=size) > 1] = text.MISSING
            said = code[here]
        else:
            asked = text.map_number(scope.column(self.near.here), dates.first_second).to_numpy()
            moments = text.map_number(values(self.near.there), dates.first_second).to_numpy()[rows]
            said = _nearest(self.near, here, asked, found, moments, codes)
        return text.column(said, [_written(one) for one in distinct], scope.index)


def _nearest(
    near: Near, here: np.ndarray, asked: np.ndarray, there: np.ndarray, moments: np.ndarray, codes: np.ndarray
) -> np.ndarray:
    """For each row here the code of the row there with the same key that is nearest in time, within the window of days.

    Missing where no row is in the window, and where rows equally near have different codes. Moments are seconds, NaN
    where the day is unknown; a missing code is one among others.
    """
    result = np.full(len(here), text.MISSING)
    dated, rows = ~np.isnan(moments), np.flatnonzero(~np.isnan(asked))
    if not dated.any():
        return result
    instants, ranks = np.unique(moments[dated], return_inverse=True)
    width = len(instants) + 1
    # Key and moment as one number, so that the rows of a key lie together in the order of time.
    spots, group = np.unique(there[dated] * width + ranks, return_inverse=True)
    least, most = np.full(len(spots), np.iinfo(np.int64).max), np.full(len(spots), text.MISSING)
    np.minimum.at(least, group, codes[dated])
    np.maximum.at(most, group, codes[dated])
    agreed = np.where(least == most, least, text.MISSING)

    key, moment = here[rows] * width, asked[rows]
    day = moment // dates.SECONDS_PER_DAY
    start, end = (day + near.first) * dates.SECONDS_PER_DAY, (day + near.last + 1) * dates.SECONDS_PER_DAY - 1
    after = np.searchsorted(spots, key + np.searchsorted(instants, np.maximum(moment, start), "left"), "left")
    before = np.searchsorted(spots, key + np.searchsorted(instants, np.minimum(moment, end), "right"), "left") - 1

    def reached(places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How far away in time a place is, infinite in another key or outside of the window, and its code."""
        inside = (places >= 0) & (places < len(spots))
        places = np.where(inside, places, 0)
        at = instants[spots[places] % width]
        inside &= (spots[places] // width * width == key) & (at >= start) & (at <= end)
        return np.where(inside, np.abs(at - moment), np.inf), agreed[places]

    (far, later), (near_by, earlier) = reached(after), reached(before)
    chosen = np.where(far < near_by, later, earlier)
    tied = (far == near_by) & (later != earlier)
    result[rows] = np.where(tied | np.isinf(np.minimum(far, near_by)), text.MISSING, chosen)
    return result


def _written(value: Any) -> str:
    return numbers.number_text(value) if isinstance(value, float) else str(value)


def _matched(here: Sequence[pd.Series], there: Sequence[pd.Series]) -> tuple[np.ndarray, np.ndarray, int]:
    """One integer for each row here and there, equal where all columns agree (missing agrees with missing).

    The third is one more than the greatest of them.
    """
    own = np.zeros(len(here[0]), dtype=np.int64)
    other = np.zeros(len(there[0]), dtype=np.int64)
    size = 1
    for one, two in zip(here, there, strict=True):
        codes, distinct = text.codes_of(one)
        codes_there, distinct_there = text.codes_of(two)
        place = {value: position for position, value in enumerate(distinct, start=1)}
        places = np.array([0, *(place.setdefault(value, len(place) + 1) for value in distinct_there)], dtype=np.int64)
        own = own * (len(place) + 1) + codes + 1
        other = other * (len(place) + 1) + places[codes_there + 1]
        dense, seen = pd.factorize(np.concatenate([own, other]))
        own, other, size = dense[: len(own)].astype(np.int64), dense[len(own) :].astype(np.int64), len(seen)
    return own, other, size


class Previous(Prepared):
    """The text in the column `previous` on the row before this one among those with the same values `within`.

    Before is by the dates in `order`, at least one moment earlier; with `days` at most so many days. Missing where
    the rows at that moment say different things.
    """

    word: ClassVar[str] = "previous"
    kind: ClassVar[Kind] = "text"
    own_value: ClassVar[bool] = False
    previous: str
    within: tuple[str, ...] = Field(min_length=1)
    order: str
    days: int | None = None

    def inputs(self) -> Sequence[str]:
        """See the base."""
        return (self.previous, *self.within, self.order)

    def column_fields(self) -> tuple[str, ...]:
        """See the base."""
        return ("previous", "within", "order")

    def values(self, scope: Scope) -> pd.Series:
        """See the class."""
        data = pd.DataFrame(
            {
                "group": text.combination_codes([scope.column(name) for name in self.within]),
                "moment": text.map_number(scope.column(self.order), dates.first_second).to_numpy(),
                "value": text.codes_of(scope.column(self.previous))[0],
            }
        )
        known = [_written(one) for one in text.codes_of(scope.column(self.previous))[1]]
        groups = data[data["moment"].notna() & (data["value"] >= 0)].groupby(["group", "moment"], sort=True)["value"]
        said = groups.agg(["min", "max"])
        said["code"] = said["min"].where(said["min"] == said["max"], -1)
        moments = said.index.get_level_values("moment")
        said["before"] = said.groupby("group")["code"].shift(fill_value=-1)
        waited = moments.to_series(index=said.index).groupby("group").diff()
        if self.days is not None:
            said.loc[~(waited <= self.days * dates.SECONDS_PER_DAY), "before"] = -1
        codes = data.join(said["before"], on=["group", "moment"])["before"].fillna(-1).to_numpy().astype(np.int64)
        return text.column(codes, known, scope.index)


class Related(Prepared):
    """How many records a pointer reaches: `related` names the columns of RDOMAIN, USUBJID, IDVAR and IDVARVAL.

    Without IDVAR the pointer means the subject, without IDVARVAL every record that has the variable, without USUBJID
    those of all subjects. 0 for a dataset or variable that is not there.
    """

    word: ClassVar[str] = "related"
    own_value: ClassVar[bool] = False
    related: tuple[str, str, str, str] = ("RDOMAIN", "USUBJID", "IDVAR", "IDVARVAL")

    def inputs(self) -> Sequence[str]:
        """See the base."""
        return self.related

    def values(self, scope: Scope) -> pd.Series:
        """See the class."""
        domains, subjects, variables, values = (scope.column(name) for name in self.related)
        codes, pointers = text.combinations([domains, variables])
        result = np.zeros(len(codes))
        for code, (domain, variable) in enumerate(pointers):
            rows = np.flatnonzero(codes == code)
            frame = scope.frame(str(domain)) if domain in scope.datasets() else None
            if frame is not None:
                name = None if variable is None else str(variable)
                result[rows] = _reached(frame, name, subjects.iloc[rows], values.iloc[rows])
        return pd.Series(result, index=scope.index)


def _reached(frame: Frame, variable: str | None, subjects: pd.Series, values: pd.Series) -> np.ndarray:
    """How many records of a dataset each pointer reaches; a subject or value that is missing in it stands for any."""
    result = np.zeros(len(subjects))
    if (variable or "USUBJID") not in frame:
        return result
    subject = frame["USUBJID"] if "USUBJID" in frame else None  # noqa: SIM401 (columns that are read when asked for)
    value = None
    if variable is not None:
        codes, distinct = text.codes_of(frame[variable])
        value = text.column(codes, [_written(one) for one in distinct], frame.index)
        there = value.notna().to_numpy()
        subject, value = None if subject is None else subject[there], value[there]
    size = len(frame) if value is None else len(value)
    given = (subjects.notna().to_numpy(), values.notna().to_numpy())
    for by_subject, by_value in product((True, False), repeat=2):
        rows = np.flatnonzero((given[0] == by_subject) & (given[1] == by_value))
        keys = [(subjects, subject)] * by_subject + [(values, value)] * by_value
        known = [(here.iloc[rows], there) for here, there in keys if there is not None]
        if not keys:
            result[rows] = size
        elif len(rows) and len(known) == len(keys):
            here, found, width = _matched(*map(list, zip(*known, strict=True)))
            result[rows] = np.bincount(found, minlength=width)[here]
    return result


class Distinct(Prepared):
    """How many different values of columns (`distinct`) the rows with the same values `within` have.

    `distinct: ["*"]` means the whole record, `but` the columns listed.
    """

    word: ClassVar[str] = "distinct"
    own_value: ClassVar[bool] = False
    distinct: tuple[str, ...] = Field(min_length=1)
    within: tuple[str, ...] = Field(min_length=1)
    but: tuple[str, ...] = ()

    def inputs(self) -> Sequence[str]:
        """See the base."""
        return (*(one for one in self.distinct if one != "*"), *self.within)

    def column_fields(self) -> tuple[str, ...]:
        """See the base."""
        return ("distinct", "within", "but")

    def values(self, scope: Scope) -> pd.Series:
        """See the class."""
        names = list(self.distinct)
        if names == ["*"]:
            names = [name for name in scope.names() if name not in self.but]
        within = text.combination_codes([scope.column(name) for name in self.within])
        result = np.ones(len(within))
        size = np.bincount(within) if len(within) else np.empty(0, dtype=np.int64)
        rows = np.flatnonzero(size[within] > 1)
        if len(rows):
            whole = text.combination_codes([scope.column(name).iloc[rows] for name in names])
            groups = pd.Series(whole).groupby(within[rows])
            result[rows] = groups.transform("nunique").to_numpy()
        return pd.Series(result, index=scope.index)


class Rank(Prepared):
    """The place, from 1, of a row's number among the rows with the same values `within`."""

    word: ClassVar[str] = "rank"
    own_value: ClassVar[bool] = False
    takes: ClassVar[Kind | None] = None
    rank: str
    within: tuple[str, ...] = Field(min_length=1)

    def inputs(self) -> Sequence[str]:
        """See the base."""
        return (self.rank, *self.within)

    def column_fields(self) -> tuple[str, ...]:
        """See the base."""
        return ("rank", "within")

    def values(self, scope: Scope) -> pd.Series:
        """See the class."""
        groups = text.combination_codes([scope.column(name) for name in self.within])
        order = np.lexsort((scope.number(self.rank).to_numpy(), groups))
        sizes = np.bincount(groups) if len(groups) else np.empty(0, dtype=np.int64)
        starts = np.repeat(np.cumsum(sizes) - sizes, sizes)
        result = np.empty(len(groups))
        result[order] = np.arange(len(groups)) - starts + 1
        return pd.Series(result, index=scope.index)
