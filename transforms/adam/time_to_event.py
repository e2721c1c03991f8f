"""Time to event: when each subject's time begins and ends, by which event, or how it is censored.

The parameters are data (`transforms.study.time_to_event`). Of a parameter's events the earliest on or after the
origin counts; without one the first censoring that has a date does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from transforms.adam.records import Records
from transforms.algorithms.base import Link, Problem
from transforms.core import conditions, dates, text
from transforms.findings import Severity
from transforms.study.analyses import AnalysisFile
from transforms.study.time_to_event import SUBJECT_LEVEL, TIME_TO_EVENT, Happening, TimeToEvent


@dataclass
class _Ends:
    """How the time of each record ends: seconds, the number of the happening, and its record in its source."""

    seconds: np.ndarray
    chosen: np.ndarray
    rows: np.ndarray

    @classmethod
    def none(cls, size: int) -> _Ends:
        return cls(np.full(size, np.nan), np.full(size, -1), np.full(size, -1))

    def take(self, here: np.ndarray, number: int, seconds: np.ndarray, rows: np.ndarray) -> None:
        self.seconds[here], self.chosen[here], self.rows[here] = seconds[here], number, rows[here]


def fill(
    file: AnalysisFile,
    records: Records,
    frames: Mapping[str, pd.DataFrame],
    links: Mapping[str, Mapping[str, Sequence[Link]]],
) -> list[Problem]:
    """Write PARAMCD, PARAM, STARTDT, ADT, CNSR, the descriptions and the source of every record, with links.

    `frames` are the datasets by name, `links` where the values of the analysis datasets among them were taken from.
    Returns the records of which something must be said: an event without a date, which may be the first one.
    """
    adsl, size = frames[SUBJECT_LEVEL], records.size
    names = list(file.parameters)
    records.columns["PARAMCD"] = text.column(records.copies - 1, names, records.index)
    records.columns["PARAM"] = text.column(
        records.copies - 1, [one.param for one in file.parameters.values()], records.index
    )
    start, ends = np.full(size, np.nan), _Ends.none(size)
    happenings: list[Happening] = []
    undated = np.zeros(size, dtype=bool)
    origins = []
    for number, parameter in enumerate(file.parameters.values(), start=1):
        here = np.flatnonzero(records.copies == number)
        origin = dates.seconds_of(adsl[parameter.origin])[records.positions[here]]
        start[here] = origin
        origins.append(Link(SUBJECT_LEVEL, np.where(records.copies == number, records.positions, -1), parameter.origin))
        subjects = adsl["USUBJID"].astype(object).to_numpy()[records.positions[here]]
        own, without_date = _end(parameter, origin, subjects, frames)
        shifted = np.where(own.chosen >= 0, own.chosen + len(happenings), -1)
        ends.seconds[here], ends.chosen[here], ends.rows[here] = own.seconds, shifted, own.rows
        undated[here] = without_date
        happenings.extend((*parameter.events, *parameter.censorings))
    records.columns["STARTDT"] = dates.from_seconds(start, records.index)
    records.columns["ADT"] = dates.from_seconds(ends.seconds, records.index)
    censor = np.array([*(float(one.censor) for one in happenings), np.nan])
    records.columns["CNSR"] = pd.Series(censor[ends.chosen], index=records.index)
    for name, written in (
        ("EVNTDESC", [one.description for one in happenings]),
        ("CNSDTDSC", [one.date_description for one in happenings]),
    ):
        records.columns[name] = text.column(ends.chosen, written, records.index)
    _sources(records, happenings, ends, frames, links)
    records.links["STARTDT"] = origins
    of_end = list(_links(happenings, ends))
    for name in set(TIME_TO_EVENT) - {"PARAMCD", "PARAM", "STARTDT"}:
        records.links[name] = of_end
    problem = Problem(
        "event_without_date",
        Severity.ANSWER,
        undated,
        "an event that may be the first one has no complete date; the time stays open unless a later event is dated",
        "Ask the site for the date of the event",
    )
    return [problem] if undated.any() else []


def _end(
    parameter: TimeToEvent, origin: np.ndarray, subjects: np.ndarray, frames: Mapping[str, pd.DataFrame]
) -> tuple[_Ends, np.ndarray]:
    """How the time of each subject ends, and whose event has no date."""
    ends = _Ends.none(len(subjects))
    undated = np.zeros(len(subjects), dtype=bool)
    for number, event in enumerate(parameter.events):
        seconds, rows, without = _occurrence(event, origin, subjects, frames)
        undated |= without & (event.censor == 0)
        ends.take(~np.isnan(seconds) & ~(ends.seconds <= seconds), number, seconds, rows)
    unknown = undated & (ends.chosen < 0)
    for number, censoring in enumerate(parameter.censorings, start=len(parameter.events)):
        seconds, rows, _ = _occurrence(censoring, origin, subjects, frames)
        ends.take(~np.isnan(seconds) & (ends.chosen < 0) & ~unknown, number, seconds, rows)
    return ends, undated


def _occurrence(
    happening: Happening, origin: np.ndarray, subjects: np.ndarray, frames: Mapping[str, pd.DataFrame]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The moment and the record of a happening of each subject, and whether one of its records has no date."""
    frame = frames[happening.source]
    position = {subject: place for place, subject in enumerate(subjects)}
    known = np.array([*(position.get(one, -1) for one in text.texts_of(frame["USUBJID"])), -1], dtype=np.int64)
    owners = known[frame["USUBJID"].array.codes]
    kept = np.flatnonzero(conditions.rows(happening.where, frame.__getitem__, frame.index) & (owners >= 0))
    owners = owners[kept]
    values = frame[happening.date]
    seconds = dates.seconds_of(dates.to_dates(values) if isinstance(values.dtype, pd.CategoricalDtype) else values)
    seconds = np.floor(seconds[kept] / dates.SECONDS_PER_DAY) * dates.SECONDS_PER_DAY
    undated = np.zeros(len(subjects), dtype=bool)
    if happening.where:
        undated[owners[np.isnan(seconds)]] = True
    usable = seconds >= origin[owners]
    owners, kept, seconds = owners[usable], kept[usable], seconds[usable]
    order = np.lexsort((kept, -seconds if happening.last else seconds, owners))
    first, place = np.unique(owners[order], return_index=True)
    moments, rows = np.full(len(subjects), np.nan), np.full(len(subjects), -1)
    moments[first], rows[first] = seconds[order][place], kept[order][place]
    return moments, rows, undated


def _sources(
    records: Records,
    happenings: list[Happening],
    ends: _Ends,
    frames: Mapping[str, pd.DataFrame],
    links: Mapping[str, Mapping[str, Sequence[Link]]],
) -> None:
    """SRCDOM, SRCVAR and SRCSEQ: the record of the source, or the one that its date was itself taken from."""
    named: list[tuple[str, str | None]] = []
    codes, sequence = np.full(records.size, -1, dtype=np.int64), np.full(records.size, np.nan)

    def write(here: np.ndarray, named_as: tuple[str, str | None], values: pd.Series | None, rows: np.ndarray) -> None:
        codes[here] = len(named)
        named.append(named_as)
        sequence[here] = np.nan if values is None else values.to_numpy()[rows[here]]

    for number, one in enumerate(happenings):
        here = ends.chosen == number
        own = frames[one.source][one.sequence] if one.sequence is not None else None
        write(here, (one.domain or one.source, one.variable or one.date), own, ends.rows)
        for link in links.get(one.source, {}).get(one.date, ()) if one.traced else ():
            behind = np.append(link.records, -1)[np.where(here, ends.rows, -1)]
            values = frames[link.dataset].get(f"{link.dataset}SEQ")
            write(here & (behind >= 0), (link.dataset, link.variable), values, behind)
    records.columns["SRCDOM"] = text.column(codes, [dataset for dataset, _ in named], records.index)
    records.columns["SRCVAR"] = text.column(codes, [variable for _, variable in named], records.index)
    records.columns["SRCSEQ"] = pd.Series(sequence, index=records.index)


def _links(happenings: list[Happening], ends: _Ends) -> Iterator[Link]:
    for number, one in enumerate(happenings):
        here = ends.chosen == number
        if here.any():
            yield Link(one.source, np.where(here, ends.rows, -1), one.date)
