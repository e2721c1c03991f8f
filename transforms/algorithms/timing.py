"""Algorithms of time: study days, reference dates, epochs, visits, the last result before exposure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import Field, field_validator

from transforms.algorithms.base import Link, Outcome, Problem, Scope, register
from transforms.algorithms.values import Derived
from transforms.core import conditions, dates, text
from transforms.core.conditions import Test
from transforms.findings import Severity

REFERENCE = "DM.RFSTDTC"
EXPOSURE = "DM.RFXSTDTC"


@register
class StudyDay(Derived):
    """Days from the reference date, never 0: `study_day: AESTDTC` (SDTMIG 3.4, 4.4.4)."""

    word: ClassVar[str] = "study_day"
    main: ClassVar[str] = "date"
    date: str
    reference: str = REFERENCE

    def variable_inputs(self) -> Sequence[str]:
        return (self.date, self.reference, *self.when)

    def apply(self, scope: Scope) -> Outcome:
        reference = scope.variable(self.reference) if "." not in self.reference else scope.by_subject(self.reference)
        return Outcome(dates.study_days(scope.variable(self.date), reference))


class SubjectDate(Derived):
    """The first or last date(time) a subject has in one or several variables of other datasets.

    `where` chooses the records, `part: date` drops a time of day. Texts compare as ISO 8601.
    """

    main: ClassVar[str] = "sources"
    sources: tuple[str, ...]
    where: dict[str, Test] = {}
    part: Literal["date"] | None = None
    latest: ClassVar[bool]
    searches: ClassVar[bool] = True

    @field_validator("sources", mode="before")
    @classmethod
    def _list(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value

    @field_validator("sources")
    @classmethod
    def _other_datasets(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for source in value:
            if source.count(".") != 1:
                raise ValueError(f"{source!r} is not written DATASET.VARIABLE")
        return value

    def variable_inputs(self) -> Sequence[str]:
        conditions_on = [f"{source.split('.')[0]}.{name}" for source in self.sources for name in self.where]
        return (*self.sources, *conditions_on, "USUBJID", *self.when)

    def apply(self, scope: Scope) -> Outcome:
        return self.extreme(scope, latest=self.latest)

    def extreme(self, scope: Scope, *, latest: bool) -> Outcome:
        """Each subject's first or last value, linked to the record it is from."""
        own = text.texts_of(scope.variable("USUBJID"))
        own_codes = scope.variable("USUBJID").array.codes
        row_of = np.full(len(own) + 1, -1, dtype=np.int64)
        row_of[own_codes] = np.arange(len(own_codes))
        position = {subject: row_of[code] for code, subject in enumerate(own)}
        parts = []
        for source in self.sources:
            dataset, variable = source.split(".")
            frame = scope.dataset(dataset)
            keep = conditions.rows(self.where, lambda name, frame=frame: frame[name], frame.index)  # type: ignore[misc]
            keep &= frame[variable].notna().to_numpy()
            subjects = frame["USUBJID"]
            table = np.array([*(position.get(one, -1) for one in text.texts_of(subjects)), -1], dtype=np.int64)
            rows = table[subjects.array.codes]
            keep &= rows >= 0
            parts.append((dataset, frame.index.to_numpy()[keep], rows[keep], frame[variable][keep]))
        joined = text.concat([values for *_, values in parts])
        rows = np.concatenate([part[2] for part in parts])
        ranks = text.ranks(joined)
        order = np.lexsort((-ranks if latest else ranks, rows))
        owners, first = np.unique(rows[order], return_index=True)
        chosen = np.full(len(scope.index), -1, dtype=np.int64)
        chosen[owners] = order[first]
        codes = np.where(chosen >= 0, joined.array.codes[chosen] if len(joined) else -1, -1)
        values = text.column(codes, text.texts_of(joined), scope.index)
        if self.part == "date":
            values = text.map_text(values, lambda value: value[:10])
        links, start = [], 0
        for source, (dataset, records, *_) in zip(self.sources, parts, strict=True):
            inside = (chosen >= start) & (chosen < start + len(records))
            link = np.full(len(scope.index), -1, dtype=np.int64)
            link[inside] = records[chosen[inside] - start]
            links.append(Link(dataset, link, source.split(".")[1]))
            start += len(records)
        return Outcome(values, links=tuple(links))


@register
class Earliest(SubjectDate):
    """The subject's first date: `earliest: EX.EXSTDTC`."""

    word: ClassVar[str] = "earliest"
    latest: ClassVar[bool] = False


@register
class Latest(SubjectDate):
    """The subject's last date: `latest: [SV.SVENDTC, DS.DSDTC]`."""

    word: ClassVar[str] = "latest"
    latest: ClassVar[bool] = True


@register
class OnlyValue(SubjectDate):
    """The one value a subject has in a variable of another dataset: `only_value: DS.arm_code`.

    A subject with several different values is a critical finding, and the first in text order stands.
    """

    word: ClassVar[str] = "only_value"
    latest: ClassVar[bool] = False

    def apply(self, scope: Scope) -> Outcome:
        lowest, highest = self.extreme(scope, latest=False), self.extreme(scope, latest=True)
        several = (lowest.values.astype(object).fillna("") != highest.values.astype(object).fillna("")).to_numpy()
        problem = Problem(
            "several_values",
            Severity.CRITICAL,
            several,
            f"a subject has several different values of {' and '.join(self.sources)}",
            "Ask the site which one is right",
        )
        return Outcome(lowest.values, (problem,) if several.any() else (), lowest.links)


@register
class LastBeforeExposure(Derived):
    """`Y` on the subject's last result before first treatment.

    `last_before_exposure: VSDTC, result: VSSTRESC, by: [VSTESTCD, VSTPTNUM]`. One record per subject and `by`.
    A record on the day of first treatment counts when its time is earlier; without a time on either side it
    counts only where `untimed_same_day` says so (a condition; `{}` means always, absent means never). Ties go to
    the higher `order`, then to the later record. `at_start` counts a record of the very minute of first treatment.
    Source: SDTMIG 3.4, 4.5.9.
    """

    word: ClassVar[str] = "last_before_exposure"
    main: ClassVar[str] = "date"
    date: str
    result: str
    by: tuple[str, ...]
    order: tuple[str, ...] = ()
    untimed_same_day: dict[str, Test] | None = None
    at_start: bool = False
    reference: str = EXPOSURE

    def variable_inputs(self) -> Sequence[str]:
        return (
            "USUBJID",
            self.date,
            self.result,
            *self.by,
            *self.order,
            *(self.untimed_same_day or ()),
            self.reference,
            *self.when,
        )

    def apply(self, scope: Scope) -> Outcome:
        when, start = scope.variable(self.date), scope.by_subject(self.reference)
        same_day = dates.day_numbers(when).to_numpy() == dates.day_numbers(start).to_numpy()
        timed = text.map_flag(when, lambda value: len(value) > 10) & text.map_flag(start, lambda value: len(value) > 10)
        seconds = text.map_number(when, dates.first_second).to_numpy()
        began = text.map_number(start, dates.first_second).to_numpy()
        before = seconds <= began if self.at_start else seconds < began
        before = np.where(same_day & ~timed, False, before)
        if self.untimed_same_day is not None:
            before |= same_day & ~timed & conditions.rows(self.untimed_same_day, scope.variable, scope.index)
        candidates = np.flatnonzero(before & scope.variable(self.result).notna().to_numpy() & self._when(scope))
        groups = text.combination_codes([scope.variable(name).iloc[candidates] for name in ("USUBJID", *self.by)])
        orders = [text.ranks(scope.variable(name).iloc[candidates]) for name in reversed(self.order)]
        order = np.lexsort((np.arange(len(candidates)), *orders, seconds[candidates], groups))
        last = np.ones(len(order), dtype=bool)
        last[:-1] = groups[order][1:] != groups[order][:-1]
        flags = np.full(len(scope.index), -1, dtype=np.int8)
        flags[candidates[order[last]]] = 0
        return Outcome(text.column(flags, ["Y"], scope.index))

    def _when(self, scope: Scope) -> np.ndarray:
        return conditions.rows(self.when, scope.variable, scope.index)


@register
class EpochOf(Derived):
    """EPOCH of the element in which a date falls, from SE: `epoch: AESTDTC` (SDTMIG 3.4, 4.1.3.1).

    On the day an element starts, dates compare by day unless both have a time: the record belongs to that
    element, or to the one before where the starting element has no epoch (one outside the plan). Missing when
    the day is unknown, before the first element or after the last one's end.
    """

    word: ClassVar[str] = "epoch"
    searches: ClassVar[bool] = True
    main: ClassVar[str] = "date"
    date: str

    def variable_inputs(self) -> Sequence[str]:
        return (
            self.date,
            "USUBJID",
            *(f"SE.{name}" for name in ("USUBJID", "SESTDTC", "SEENDTC", "EPOCH")),
            *self.when,
        )

    def apply(self, scope: Scope) -> Outcome:
        elements = scope.dataset("SE")
        dates_of, epochs = scope.variable(self.date), elements["EPOCH"]
        latest = text.map_number(dates_of, dates.last_second).to_numpy()
        earliest = text.map_number(dates_of, dates.first_second).to_numpy()
        starts = text.map_number(elements["SESTDTC"], dates.first_second).to_numpy()
        ends = text.map_number(elements["SEENDTC"], dates.last_second).to_numpy()

        def element(moment: np.ndarray) -> np.ndarray:
            return covering(scope.variable("USUBJID"), moment, earliest, elements["USUBJID"], starts, ends)

        chosen = element(latest)
        if len(elements):
            # At day precision, where the record or the start has no time, the start could be before or after.
            timed = text.map_flag(dates_of, _timed) & text.map_flag(elements["SESTDTC"], _timed)[chosen]
            days = dates.day_numbers(dates_of).to_numpy()
            same_day = dates.day_numbers(elements["SESTDTC"]).to_numpy()[chosen] == days
            open_start = (chosen >= 0) & same_day & ~timed & epochs.isna().to_numpy()[chosen]
            before = element(np.where(open_start, days * dates.SECONDS_PER_DAY - 1, np.nan))
            chosen = np.where(before >= 0, before, chosen)
        codes = np.where(chosen >= 0, epochs.array.codes[chosen] if len(epochs) else -1, -1)
        records = np.where(chosen >= 0, elements.index.to_numpy()[chosen] if len(epochs) else -1, -1)
        return Outcome(text.column(codes, text.texts_of(epochs), scope.index), links=(Link("SE", records),))


def _timed(value: str) -> bool:
    return len(value) > 10


def covering(
    subjects: pd.Series,
    latest: np.ndarray,
    earliest: np.ndarray,
    owners: pd.Series,
    starts: np.ndarray,
    ends: np.ndarray,
) -> np.ndarray:
    """For each record the position of its subject's interval that covers it, -1 for none.

    The interval is the last one that starts no later than `latest` (seconds); the record must not begin
    (`earliest`) after the interval's end. NaN in a record gives -1, NaN in an end leaves it open.
    """
    position = {subject: code for code, subject in enumerate(text.texts_of(owners))}
    table = np.array([*(position.get(one, -1) for one in text.texts_of(subjects)), -1], dtype=np.int64)
    own = table[subjects.array.codes]
    usable = np.flatnonzero(~np.isnan(starts))
    span = 4e11
    keys = owners.array.codes[usable] * span + starts[usable]
    order = np.argsort(keys, kind="stable")
    asked = own * span + np.nan_to_num(latest, nan=-1.0)
    found = np.searchsorted(keys[order], asked, side="right") - 1
    result = np.where(found >= 0, usable[order][np.maximum(found, 0)] if len(usable) else -1, -1)
    known = (own >= 0) & ~np.isnan(latest) & (result >= 0)
    if len(usable):
        known &= owners.array.codes[result] == own
        known &= ~(earliest > ends[result])
    return np.where(known, result, -1)


@register
class VisitByDate(Derived):
    """VISITNUM of the visit in which a date falls, from SV: `visit_by_date: LBDTC`.

    For extracts that know no visit, and for visits whose name says no number: `unless` names a number that stands
    where it is known. Only visits that took place count; a date in no visit of its subject is an answerable finding
    and stays without visit. `grace` is the number of days before `cut_off` within which the visit log may not have
    come yet: then it is only told.
    """

    word: ClassVar[str] = "visit_by_date"
    searches: ClassVar[bool] = True
    main: ClassVar[str] = "date"
    date: str
    unless: str | None = None
    grace: int | None = Field(default=None, ge=0)
    cut_off: str = "cut_off"

    def variable_inputs(self) -> Sequence[str]:
        return (
            self.date,
            *((self.unless,) if self.unless else ()),
            *((self.cut_off,) if self.grace is not None else ()),
            "USUBJID",
            *(f"SV.{name}" for name in ("USUBJID", "VISITNUM", "SVSTDTC", "SVENDTC")),
            *self.when,
        )

    def apply(self, scope: Scope) -> Outcome:
        visits = scope.dataset("SV")
        collected = scope.variable(self.date)
        days = dates.day_numbers(collected).to_numpy() * dates.SECONDS_PER_DAY
        chosen = covering(
            scope.variable("USUBJID"),
            days,
            days,
            visits["USUBJID"],
            dates.day_numbers(visits["SVSTDTC"]).to_numpy() * dates.SECONDS_PER_DAY,
            dates.day_numbers(visits["SVENDTC"]).to_numpy() * dates.SECONDS_PER_DAY,
        )
        numbers_of = visits["VISITNUM"].to_numpy()
        values = np.where(chosen >= 0, numbers_of[chosen] if len(visits) else np.nan, np.nan)
        records = np.where(chosen >= 0, visits.index.to_numpy()[chosen] if len(visits) else -1, -1)
        lost = (chosen < 0) & collected.notna().to_numpy()
        if self.unless is not None:
            named = scope.variable(self.unless).to_numpy()
            known = ~np.isnan(named)
            values, records, lost = np.where(known, named, values), np.where(known, -1, records), lost & ~known
        recent = np.zeros(len(lost), dtype=bool)
        if self.grace is not None:
            left = dates.day_numbers(scope.variable(self.cut_off)).to_numpy() - days / dates.SECONDS_PER_DAY
            recent = lost & (left <= self.grace)
        problems = (
            Problem(
                "no_visit_on_date",
                Severity.ANSWER,
                lost & ~recent,
                f"{self.date} falls in no visit of the subject",
                "Ask the site whether a visit is missing from the visit log or the date is wrong",
            ),
            Problem(
                "visit_not_logged_yet",
                Severity.INFORMATION,
                recent,
                f"{self.date} falls in no visit of the subject, and lies {self.grace} days before the cut-off at most",
                "Nothing: the visit is expected with the next extract of the visit log",
            ),
        )
        said = tuple(one for one in problems if one.mask.any())
        return Outcome(pd.Series(values, index=scope.index), said, (Link("SV", records),))


@register
class VisitNumber(Derived):
    """VISITNUM of the visit log: the planned number, and for a visit outside the plan one behind it.

    `visit_number: SVSTDTC, planned: planned`: the k-th visit of a subject without a planned number after a planned
    visit n is n + 0.01 k, in the order of their dates (in the order of the extract on one day). A visit on the day of a
    planned one counts as after it, one before every planned visit as after visit 0. Without a date there is no number.
    """

    word: ClassVar[str] = "visit_number"
    main: ClassVar[str] = "date"
    date: str
    planned: str

    def variable_inputs(self) -> Sequence[str]:
        return (self.date, self.planned, "USUBJID", *self.when)

    def apply(self, scope: Scope) -> Outcome:
        planned = scope.variable(self.planned).to_numpy()
        outside = np.isnan(planned)
        visits = pd.DataFrame(
            {
                "subject": scope.variable("USUBJID").array.codes,
                "day": dates.day_numbers(scope.variable(self.date)).to_numpy(),
                "outside": outside,
                "planned": planned,
            }
        )
        dated = visits[visits["day"].notna()].sort_values(["subject", "day", "outside", "planned"], kind="stable")
        before = dated.groupby("subject")["planned"].ffill().fillna(0.0)
        rank = dated["outside"].groupby([dated["subject"], before]).cumsum()
        numbered = (before + rank / 100).where(dated["outside"], dated["planned"]).round(2)
        values = pd.Series(planned, index=scope.index)
        values.iloc[numbered.index.to_numpy()] = numbered.to_numpy()
        return Outcome(values)


@register
class VisitName(Derived):
    """VISIT of a visit outside the plan, from its number: `visit_name: VISITNUM, planned: planned_name`.

    The name is the study's `unscheduled_visit` with the number to two places; a planned name stands where it is known.
    """

    word: ClassVar[str] = "visit_name"
    main: ClassVar[str] = "number"
    number: str
    planned: str

    def variable_inputs(self) -> Sequence[str]:
        return (self.number, self.planned, *self.when)

    def apply(self, scope: Scope) -> Outcome:
        pattern = scope.visits.unscheduled_visit

        def name(planned: str | None, number: float | None) -> str | None:
            if planned is not None or number is None:
                return planned
            return pattern.format(number=f"{number:.2f}")

        return Outcome(text.map_rows([scope.variable(self.planned), scope.variable(self.number)], name))
