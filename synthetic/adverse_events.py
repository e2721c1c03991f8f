"""Draws the adverse events of a dosed subject, and finds those that laboratory results oblige to report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta

from .analytes import BY_CODE
from .events import (
    ALT_INCREASED,
    BEFORE_FIRST_DOSE,
    COVID,
    FOLLOW_UP_KINDS,
    INFUSION_KINDS,
    INFUSION_REACTION,
    LAB_KINDS,
    LIVER_CANCER,
    LIVER_FAILURE,
    PERITONITIS,
    VARICEAL_BLEEDING,
    EventKind,
)
from .plan import SubjectPlan
from .protocol import COVID_WAVE
from .streams import subject_stream

PROBABLE, POSSIBLE, UNLIKELY, UNRELATED = "很可能有关", "可能有关", "可能无关", "肯定无关"

RECOVERED = "RECOVERED/RESOLVED"
SEQUELAE = "RECOVERED/RESOLVED WITH SEQUELAE"
NOT_RECOVERED = "NOT RECOVERED/NOT RESOLVED"
FATAL = "FATAL"

REPORTED_FROM = {"NA": 2}
"""Grade from which a worsened result is reported, where it is not 3."""


@dataclass(frozen=True)
class AdverseEvent:
    """One event at its worst grade. ``moment`` is the onset with its time, where the time matters."""

    kind: EventKind
    grade: int
    start: date
    end: date | None
    moment: datetime | None
    outcome: str
    causality: str
    causality_routine: str
    action: str
    serious: bool
    treated: bool
    dlt: bool = False
    category: str = ""

    @property
    def at(self) -> datetime:
        """Onset for sorting: its moment, else midnight."""
        return self.moment or datetime.combine(self.start, time())

    def covers(self, day: date) -> bool:
        """True while the event lasts, ends included."""
        return self.start <= day and (self.end is None or day <= self.end)


@dataclass(frozen=True)
class Journey:
    """What the events of a subject depend on: the infusions, the visits and the end of participation."""

    consent: date
    starts: tuple[datetime, ...]
    ends: tuple[datetime, ...]
    visits: Mapping[str, date]
    end: date
    death: date | None
    stop: str | None
    stopped: date | None
    plan: SubjectPlan

    def near_infusion(self, day: date) -> bool:
        """True on an infusion day and the day after, where an onset needs its time."""
        return any((day - start.date()).days in (0, 1) for start in self.starts)

    def clear_day(self, day: date) -> date:
        """The first day from ``day`` on that is not near an infusion."""
        while self.near_infusion(day):
            day += timedelta(days=1)
        return day

    def action(self, start: date) -> str:
        """Action with the cells for an event that changes nothing; not applicable when none remains."""
        return "DOSE NOT CHANGED" if self.starts[0].date() <= start < self.starts[-1].date() else "NOT APPLICABLE"


def _grade(kind: EventKind, draw: float) -> int:
    reached = 0.0
    for grade, share in kind.grades:
        reached += share
        if draw < reached:
            return grade
    return kind.grades[-1][0]


def _close(journey: Journey, start: date, days: int) -> tuple[date | None, str]:
    """End and outcome of an event of ``days``: still open when participation ends first."""
    end = start + timedelta(days=days)
    return (end, RECOVERED) if end <= journey.end and end != journey.death else (None, NOT_RECOVERED)


def simulate_events(seed: int, journey: Journey) -> tuple[list[AdverseEvent], dict[int, int]]:
    """Return the events, and minutes of interruption by infusion number."""
    events, pauses = _infusion_events(seed, journey)
    special = _decided_events(seed, journey)
    taken = {event.kind.ctcae for event in special}
    events += special
    events += [event for event in _follow_up_events(seed, journey) if event.kind.ctcae not in taken]
    if journey.plan.dlt == "INFUSION":
        pauses[1] = 20
    return sorted(events, key=lambda event: (event.at, event.kind.ctcae)), pauses


def _infusion_events(seed: int, journey: Journey) -> tuple[list[AdverseEvent], dict[int, int]]:
    draws = subject_stream(seed, journey.plan.serial, "infusion events").random((32, 8))
    events: list[AdverseEvent] = []
    pauses: dict[int, int] = {}
    for kind, (hit, which, grade_draw, delay, length, how, treated, _) in zip(INFUSION_KINDS, draws, strict=False):
        number = int(which * len(journey.starts)) + 1
        if hit >= kind.incidence or (journey.plan.dlt == "INFUSION" and number == 1):
            continue
        if kind.during:
            moment = journey.starts[number - 1] + timedelta(minutes=10 + int(delay * 25))
            pauses[number] = max(pauses.get(number, 0), 10 + 5 * int(length * 3))
            action = "DRUG INTERRUPTED"
        else:
            moment = journey.ends[number - 1] + timedelta(minutes=30 + int(delay * 600))
            action = journey.action(moment.date())
        low, high = kind.days
        end, outcome = _close(journey, moment.date(), low + int(length * (high - low + 1)))
        events.append(
            AdverseEvent(
                kind=kind,
                grade=_grade(kind, grade_draw),
                start=moment.date(),
                end=end,
                moment=moment,
                outcome=outcome,
                causality=PROBABLE if how < 0.6 else POSSIBLE,
                causality_routine=UNRELATED if how < 0.3 else UNLIKELY,
                action=action,
                serious=False,
                treated=bool(treated < kind.treated),
            )
        )
    return events, pauses


def _follow_up_events(seed: int, journey: Journey) -> list[AdverseEvent]:
    draws = subject_stream(seed, journey.plan.serial, "follow-up events").random((64, 8))
    first = journey.starts[0].date()
    horizon = journey.end - timedelta(days=4)
    wave = (max(COVID_WAVE[0], first + timedelta(days=2)), min(COVID_WAVE[1], horizon))
    before = (journey.consent + timedelta(days=1), first - timedelta(days=1))
    spans = [(kind, first + timedelta(days=2), horizon) for kind in FOLLOW_UP_KINDS]
    spans += [(COVID, *wave), (BEFORE_FIRST_DOSE, *before)]
    events: list[AdverseEvent] = []
    for (kind, low, high), (hit, when, grade_draw, length, how, treated, _, _) in zip(spans, draws, strict=False):
        width = (high - low).days
        if hit >= kind.incidence or width < 1:
            continue
        start = low + timedelta(days=int(when * width))
        if kind is not BEFORE_FIRST_DOSE:
            start = journey.clear_day(start)
        if start > high:
            continue
        grade = _grade(kind, grade_draw)
        shortest, longest = kind.days
        end, outcome = _close(journey, start, shortest + int(length * (longest - shortest + 1)))
        related = start >= first and grade < 3 and how < kind.related
        causality = POSSIBLE if related else UNLIKELY if how < 0.6 and start >= first else UNRELATED
        events.append(
            AdverseEvent(
                kind=kind,
                grade=grade,
                start=start,
                end=end,
                moment=None,
                outcome=outcome,
                causality=causality,
                causality_routine=UNLIKELY,
                action=journey.action(start),
                serious=grade >= kind.serious_from,
                treated=bool(treated < kind.treated),
            )
        )
    return events


def _decided_events(seed: int, journey: Journey) -> list[AdverseEvent]:
    """Events the plan prescribes: toxicities, what stops treatment, the fatal event, liver failure."""
    plan = journey.plan
    draws = subject_stream(seed, plan.serial, "fatal event").random(4)
    toxic = subject_stream(seed, plan.serial, "dose-limiting toxicity").random(2)
    first, last = journey.starts[0], journey.starts[-1]
    events: list[AdverseEvent] = []

    def event(kind: EventKind, grade: int, start: date, end: date | None, outcome: str) -> AdverseEvent:
        return AdverseEvent(
            kind=kind,
            grade=grade,
            start=start,
            end=end,
            moment=None,
            outcome=outcome,
            causality=UNLIKELY,
            causality_routine=UNLIKELY,
            action=journey.action(start),
            serious=True,
            treated=True,
        )

    if plan.dlt == "INFUSION":
        moment = first + timedelta(minutes=20 + int(toxic[0] * 12))
        day = moment.date()
        reaction = event(INFUSION_REACTION, 3, day, day + timedelta(days=1), RECOVERED)
        events.append(
            replace(
                reaction,
                moment=moment,
                causality=PROBABLE,
                causality_routine=UNRELATED,
                action="DRUG WITHDRAWN",
                dlt=True,
            )
        )
    if plan.dlt == "ALT":
        rise = event(ALT_INCREASED, 3, journey.visits["DAY 8"], journey.visits["DAY 22"], RECOVERED)
        events.append(replace(rise, causality=POSSIBLE, action="DOSE NOT CHANGED", serious=False, dlt=True))
    if plan.stop == "AE":
        assert journey.stopped is not None
        kind = PERITONITIS if plan.n_doses == 1 else VARICEAL_BLEEDING
        start = journey.stopped - timedelta(days=1)
        end, outcome = _close(journey, start, 10)
        events.append(replace(event(kind, 3, start, end, outcome), action="DRUG WITHDRAWN"))
    if plan.fatal is not None and journey.death is not None:
        category, kind = plan.fatal
        back = (40 if kind is LIVER_CANCER else 3) + int(draws[0] * 14)
        earliest = journey.clear_day(last.date())
        start = min(max(earliest, journey.death - timedelta(days=back)), journey.death)
        events.append(replace(event(kind, 5, start, journey.death, FATAL), category=category))
    if plan.fate == "TRANSPLANT":
        events.append(event(LIVER_FAILURE, 4, journey.end - timedelta(days=18), journey.end, SEQUELAE))
    return events


def _by_multiple(value: float, baseline: float, limit: float, steps: Sequence[float]) -> int:
    """CTCAE v5.0 grade by multiples of the upper limit, or of an abnormal baseline; else 0."""
    reference = baseline if baseline > limit else limit
    return sum(value > reference * step for step in steps)


def lab_grade(code: str, value: float, baseline: float, *, female: bool) -> int:
    """CTCAE v5.0 grade (0 to 4) of a result, by its number alone (clinical conditions are not considered)."""
    low: dict[str, tuple[float, ...]] = {
        "NA": (137, 130, 125, 120),
        "PLT": (125, 75, 50, 25),
        "WBC": (3.5, 3.0, 2.0, 1.0),
        "NEUT#": (1.8, 1.5, 1.0, 0.5),
        "LYM#": (1.1, 0.8, 0.5, 0.2),
        "HGB": (115 if female else 130, 100, 80, 65),
    }
    if code in low:
        return sum(value < bound for bound in low[code])
    analyte = BY_CODE[code]
    upper = (analyte.range_f if female else analyte.range_m)[1]
    abnormal = baseline > upper
    steps: dict[str, tuple[float, ...]] = {
        "TBIL": (1.0, 1.5, 3.0, 10.0),
        "ALT": (1.5, 3.0, 5.0, 20.0) if abnormal else (1.0, 3.0, 5.0, 20.0),
        "AST": (1.5, 3.0, 5.0, 20.0) if abnormal else (1.0, 3.0, 5.0, 20.0),
        "GGT": (2.0, 2.5, 5.0, 20.0) if abnormal else (1.0, 2.5, 5.0, 20.0),
        "CREA": (1.0, 1.5, 3.0, 6.0),
        "INR": (1.0, 1.5, 2.5, 1e9),
    }
    return _by_multiple(value, baseline, upper, steps[code])


def lab_events(
    *,
    samples: Sequence[tuple[datetime, Mapping[str, float]]],
    first_dose: date,
    known: Sequence[AdverseEvent],
    journey: Journey,
    female: bool,
) -> list[AdverseEvent]:
    """Report each episode of a high grade, or two grades above baseline, unless an event covers it."""
    before = [values for at, values in samples if at.date() <= first_dose]
    after = [(at.date(), values) for at, values in samples if at.date() > first_dose]
    covering = {
        "CREA": "Acute kidney injury",
        "ALT": ALT_INCREASED.ctcae,
        "AST": ALT_INCREASED.ctcae,
    }
    out: list[AdverseEvent] = []
    for code, kind in LAB_KINDS.items():
        baseline = before[-1][code]
        own_grade = lab_grade(code, baseline, baseline, female=female)
        episode: list[tuple[date, int]] = []
        for day, values in [*after, (date.max, {})]:
            if values and code not in values:
                continue
            grade = lab_grade(code, values[code], baseline, female=female) if values else 0
            worse = grade > own_grade and (grade >= REPORTED_FROM.get(code, 3) or grade - own_grade >= 2)
            term = covering.get(code)
            if worse and not any(event.kind.ctcae == term and event.covers(day) for event in known):
                episode.append((day, grade))
            elif episode:
                end, outcome = (None, NOT_RECOVERED) if day == date.max else (day, RECOVERED)
                start = episode[0][0]
                out.append(
                    AdverseEvent(
                        kind=kind,
                        grade=max(worst for _, worst in episode),
                        start=start,
                        end=end,
                        moment=_lab_moment(journey, start, samples),
                        outcome=outcome,
                        causality=UNLIKELY,
                        causality_routine=UNLIKELY,
                        action=journey.action(start),
                        serious=False,
                        treated=code in ("NA", "PLT", "HGB"),
                    )
                )
                episode = []
    return out


def _lab_moment(
    journey: Journey, day: date, samples: Sequence[tuple[datetime, Mapping[str, float]]]
) -> datetime | None:
    if not journey.near_infusion(day):
        return None
    return next(at for at, _ in samples if at.date() == day)
