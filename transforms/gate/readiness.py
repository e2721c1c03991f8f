"""What the data say of each cohort at a cut-off: who was dosed, watched and evaluable, and when the cohort was ready.

A cohort is ready on the day on which as many dosed subjects as its size demands have been watched: each for the days of
observation after the first dose, or until death or the end of participation where that came before. One who cannot be
evaluated does not count where the gate replaces such subjects.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd

from transforms.core import dates
from transforms.gate.decisions import day
from transforms.study.gate import Cohort, Gate

COMPLETE, DIED, LEFT, ONGOING = "complete", "died", "left", "ongoing"
NOT_DOSED, UNDATED = "not dosed", "date of first dose unknown"


@dataclass(frozen=True)
class Dose:
    """What a subject received on one day (None: not known), in the unit of the gate; `rows` are those of EX."""

    on: date | None
    amount: float | None
    rows: tuple[int, ...]


@dataclass(frozen=True)
class Toxicity:
    """A dose-limiting toxicity: the first and the last day on which it may have begun, and its row of AE."""

    earliest: date
    latest: date
    onset: str | None
    row: int


@dataclass(frozen=True)
class GateSubject:
    """A subject of a cohort, with what the gate asks of it. `doses` are in time, those without a day first."""

    usubjid: str
    cohort: str | None
    doses: tuple[Dose, ...]
    toxicities: tuple[Toxicity, ...]
    observation: str
    first_dose: date | None
    observed_until: date | None
    share_of_planned: float | None
    evaluable: bool
    not_evaluable_because: str | None
    last_record: date | None

    @property
    def dosed(self) -> bool:
        """Whether any dose was received, on whatever day."""
        return bool(self.doses)

    def over(self, on: date) -> bool:
        """Whether the observation had ended by a day."""
        return self.observed_until is not None and self.observed_until <= on


@dataclass(frozen=True)
class GateCohort:
    """A cohort at the cut-off. `completed_on` is when enough subjects have been watched, if enough were dosed."""

    position: int
    cohort: Cohort
    members: tuple[GateSubject, ...]
    completed_on: date | None
    ready: bool
    waits_for: str | None

    @property
    def dosed(self) -> tuple[GateSubject, ...]:
        """The dosed subjects in the order of their first doses, those without a day first."""
        known = [one for one in self.members if one.dosed]
        return tuple(sorted(known, key=lambda one: (one.first_dose or date.min, one.usubjid)))

    def observed(self, on: date) -> tuple[int, int]:
        """How many were watched to the end by a day: for all days, and with those who died or left before."""
        over = [one for one in self.dosed if one.over(on)]
        return sum(one.observation == COMPLETE for one in over), len(over)

    def toxic(self, on: date) -> int:
        """How many subjects had a dose-limiting toxicity in the days of observation, begun by a day."""
        return sum(any(event.earliest <= on for event in one.toxicities) for one in self.dosed)


def cohorts_of(gate: Gate, subjects: Sequence[GateSubject], cut_off: date) -> list[GateCohort]:
    """The cohorts of the gate in order, with their subjects."""
    found = []
    for position, cohort in enumerate(gate.cohorts, start=1):
        members = tuple(one for one in subjects if one.cohort == cohort.arm)
        plain = GateCohort(position, cohort, members, None, False, None)
        completed_on = _completed_on(gate, plain.dosed)
        waits_for = _waits_for(gate, plain.dosed, completed_on, cut_off)
        found.append(GateCohort(position, cohort, members, completed_on, not waits_for, waits_for or None))
    return found


def _completed_on(gate: Gate, dosed: Iterable[GateSubject]) -> date | None:
    counted, until = 0, date.min
    for one in dosed:
        until = max(until, one.observed_until or date.min)
        counted += gate.replacement == "none" or one.evaluable
        if counted == gate.size:
            return until
    return None


def _waits_for(gate: Gate, dosed: Sequence[GateSubject], completed_on: date | None, cut_off: date) -> str:
    """What a cohort still waits for, in words; empty when it is ready."""
    parts = []
    counted = [one for one in dosed if gate.replacement == "none" or one.evaluable or one.observation == ONGOING]
    if len(counted) < gate.size:
        parts.append(f"{gate.size - len(counted)} of {gate.size} subjects still to be dosed")
    undated = sum(one.observation == UNDATED for one in dosed)
    if undated:
        parts.append(f"the date of the first dose of {undated}")
    last = completed_on or date.max
    ongoing = [one.observed_until for one in dosed if one.observed_until and cut_off < one.observed_until <= last]
    if ongoing:
        parts.append(f"observation of {len(ongoing)}, the last until {max(ongoing).isoformat()}")
    return "; ".join(parts)


def subjects_of(gate: Gate, frames: Mapping[str, pd.DataFrame], cut_off: date) -> list[GateSubject]:
    """The subjects of the cohorts, and those dosed without an arm, from DM, EX, AE and SUPPAE."""
    doses, toxicities = _doses(gate, frames["EX"]), toxicities_of(gate, frames)
    planned = {one.arm: one.dose for one in gate.cohorts}
    dm = frames["DM"]
    columns = [_column(dm, name) for name in ("USUBJID", "ARMCD", "DTHDTC", "RFENDTC", "RFPENDTC")]
    found = []
    for usubjid, arm, died, left, last in zip(*columns, strict=True):
        if usubjid is None or not (arm in planned or (arm is None and usubjid in doses)):
            continue
        own = doses.get(usubjid, ())
        found.append(
            _subject(
                gate,
                usubjid,
                arm,
                planned.get(arm or ""),
                own,
                toxicities.get(usubjid, []),
                {DIED: day(died), LEFT: day(left)},
                day(last),
                cut_off,
            )
        )
    return sorted(found, key=lambda one: one.usubjid)


def _subject(
    gate: Gate,
    usubjid: str,
    arm: str | None,
    planned: float | None,
    doses: tuple[Dose, ...],
    events: Sequence[Toxicity],
    ends: Mapping[str, date | None],
    last_record: date | None,
    cut_off: date,
) -> GateSubject:
    first = doses[0].on if doses else None
    until, observation = None, NOT_DOSED if not doses else UNDATED
    if first is not None:
        until, observation = first + timedelta(gate.observation_days), COMPLETE
        for kind, ended in ends.items():
            if ended is not None and first <= ended < until:
                until, observation = ended, kind
        observation = observation if until <= cut_off else ONGOING
    inside = tuple(one for one in events if first is not None and in_window(gate, first, one))
    share = None
    if planned and doses and doses[0].amount is not None:
        share = doses[0].amount / planned
    because = _not_evaluable(gate, observation, share)
    return GateSubject(
        usubjid=usubjid,
        cohort=arm,
        doses=doses,
        toxicities=inside,
        observation=observation,
        first_dose=first,
        observed_until=until,
        share_of_planned=share,
        evaluable=bool(inside) or because is None,
        not_evaluable_because=None if inside else because,
        last_record=last_record,
    )


def _not_evaluable(gate: Gate, observation: str, share: float | None) -> str | None:
    """Why a subject without dose-limiting toxicity cannot be evaluated (yet); None where it can."""
    if observation != COMPLETE:
        said = {ONGOING: "still observed", DIED: "died during observation", LEFT: "left during observation"}
        return said.get(observation, observation)
    if share is None:
        return "first dose not known in the unit of the gate"
    # Doses are kept to three decimals, so their share is compared to that precision.
    if round(share, 6) < gate.evaluable_from:
        return f"first dose below {gate.evaluable_from:.0%} of planned"
    return None


def in_window(gate: Gate, first_dose: date, event: Toxicity) -> bool:
    """Whether an event may have begun in the days of observation; a partial date counts where it may have."""
    return event.latest >= first_dose and event.earliest <= first_dose + timedelta(gate.observation_days)


def _doses(gate: Gate, ex: pd.DataFrame) -> dict[str, tuple[Dose, ...]]:
    """The doses of each subject by day: amounts of one day add up."""
    found: dict[str, dict[date | None, list[tuple[int, float | None]]]] = {}
    columns = [_column(ex, name) for name in ("USUBJID", "EXSTDTC", "EXDOSU")]
    amounts = ex["EXDOSE"].to_numpy(dtype=float) if "EXDOSE" in ex else np.full(len(ex), np.nan)
    for row, (usubjid, start, unit) in enumerate(zip(*columns, strict=True)):
        if usubjid is not None:
            known = unit == gate.dose_unit and not np.isnan(amounts[row])
            days = found.setdefault(usubjid, {})
            days.setdefault(day(start), []).append((row, float(amounts[row]) if known else None))
    return {
        usubjid: tuple(
            Dose(on, _total([amount for _, amount in given]), tuple(row for row, _ in given))
            for on, given in sorted(days.items(), key=lambda one: one[0] or date.min)
        )
        for usubjid, days in found.items()
    }


def _total(amounts: Sequence[float | None]) -> float | None:
    known = [one for one in amounts if one is not None]
    return sum(known) if len(known) == len(amounts) else None


def toxicities_of(gate: Gate, frames: Mapping[str, pd.DataFrame]) -> dict[str, list[Toxicity]]:
    """The dose-limiting toxicities of each subject, whenever they began."""
    flags: dict[tuple[str, float], dict[str, str]] = {}
    supp = frames.get("SUPPAE")
    if supp is not None:
        names = ("USUBJID", "IDVAR", "IDVARVAL", "QNAM", "QVAL")
        for usubjid, variable, value, name, said in zip(*(_column(supp, one) for one in names), strict=True):
            if name in gate.dlt.qualifiers and variable == "AESEQ" and usubjid and value and said:
                flags.setdefault((usubjid, float(value)), {})[name] = said
    ae = frames["AE"]
    found: dict[str, list[Toxicity]] = {}
    columns = zip(_column(ae, "USUBJID"), ae["AESEQ"].to_numpy(dtype=float), _column(ae, "AESTDTC"), strict=True)
    for row, (usubjid, sequence, onset) in enumerate(columns):
        own = flags.get((usubjid or "", float(sequence)), {})
        first = next((own[name] for name in gate.dlt.qualifiers if name in own), None)
        if usubjid is not None and first == gate.dlt.value:
            found.setdefault(usubjid, []).append(Toxicity(*_days(onset), onset, row))
    return found


def _days(value: str | None) -> tuple[date, date]:
    """The first and the last day of an ISO date, complete or not; any day where nothing is known."""
    whole = day(value)
    if whole is not None:
        return whole, whole
    if value is None or not dates.is_iso(value) or not value[:4].isdigit():
        return date.min, date.max
    year = int(value[:4])
    if len(value) == 7 and value[5:7].isdigit():
        month = int(value[5:7])
        return date(year, month, 1), date(year, month, calendar.monthrange(year, month)[1])
    return date(year, 1, 1), date(year, 12, 31)


def _column(frame: pd.DataFrame, name: str) -> list[str | None]:
    """A text column as plain texts; all None where the frame does not have it."""
    if name not in frame:
        return [None] * len(frame)
    return [None if isinstance(one, float) else str(one) for one in frame[name].astype(object)]
