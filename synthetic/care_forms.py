"""Pages about eligibility, history, lots of cells, safety, drugs, procedures, laboratory and deviations."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from .adverse_events import FATAL, NOT_RECOVERED
from .analytes import BY_CODE, reference_range
from .care import AE_TREATMENT, PREMEDICATION, Medication
from .events import LAB_KINDS
from .history import CRITERIA, FAILED_CRITERION, PROTOCOL_VERSION
from .pages import Record, clock, day_text, entry_time, iso, minute, page, record_key, yes
from .protocol import RELEASE_VIABILITY_PCT
from .streams import lot_stream, subject_stream
from .world import Subject, World

KEY_TESTS = {
    "ALT": ("ALT", "U/L"),
    "TBIL": ("Total bilirubin", "umol/L"),
    "ALB": ("Albumin", "g/L"),
    "CREA": ("Creatinine", "umol/L"),
    "NA": ("Sodium", "mmol/L"),
    "INR": ("INR", ""),
    "PLT": ("Platelets", "10^9/L"),
}
"""Items the EDC asks for again: name and unit as on its page."""
LABEDC_DECIMALS = {"NA": 0}
LOT_SPAN_DAYS = 4
"""Days of a month one lot serves; lots are numbered within the month."""


@dataclass(frozen=True)
class EventState:
    """What an extract knows of an event; until its end is known it is ongoing and not yet fatal."""

    entered: datetime
    modified: datetime
    closed: bool
    end: date | None
    outcome: str
    grade: int
    seriousness: tuple[str, ...]


def event_state(subject: Subject, number: int, extracted: datetime) -> EventState:
    """Return the state of the subject's event ``number`` (from 1) at the extract time."""
    event = subject.events[number - 1]
    key = record_key("AE", subject.subj, number)
    entered = entry_time(key, event.start)
    modified = _closing(key, entered, event.end, extracted)
    closed = modified is not None
    outcome = event.outcome if closed else NOT_RECOVERED
    fatal = outcome == FATAL
    grade = event.grade if fatal else min(event.grade, 4)
    reasons = (fatal, event.serious and grade == 4, event.serious, False, False, False)
    return EventState(
        entered=entered,
        modified=modified or entered,
        closed=closed,
        end=event.end if closed else None,
        outcome=outcome,
        grade=grade,
        seriousness=tuple(yes(reason) for reason in reasons),
    )


def _closing(key: str, entered: datetime, end: date | None, extracted: datetime) -> datetime | None:
    """When the end of what ``key`` records was entered, if the extract knows it."""
    closed = max(entered, entry_time(f"{key}-END", end)) if end else None
    return closed if closed is not None and closed <= extracted else None


def _eligibility(subject: Subject) -> Iterator[Record]:
    day = subject.screened + timedelta(days=1)
    failed = FAILED_CRITERION.get(subject.plan.failure or "")
    for number, (code, text) in enumerate(CRITERIA, start=1):
        inclusion = code.startswith("I")
        answer = yes(inclusion != (code == failed))
        category = "INCLUSION" if inclusion else "EXCLUSION"
        values = (day_text(day), category, code, text, answer, PROTOCOL_VERSION)
        yield page("ELIG", subject.subj, number, "SCREENING", day, *values)


def _history(subject: Subject) -> Iterator[Record]:
    for number, condition in enumerate(subject.conditions, start=1):
        kind = condition.kind
        yield page(
            "MH",
            subject.subj,
            number,
            "",
            subject.screened,
            kind.term,
            kind.term_zh,
            kind.category,
            "EPISODE" if kind.decompensation else "INITIAL DIAGNOSIS",
            yes(kind.decompensation),
            condition.start,
            condition.end,
            yes(condition.end is None),
        )


def _drinking(subject: Subject) -> Iterator[Record]:
    for number, told in enumerate(subject.drinking, start=1):
        yield page(
            "ALCOHOL",
            subject.subj,
            number,
            "",
            told.asked,
            iso(told.asked),
            told.period,
            told.drink,
            told.grams_per_day,
            "QD",
            told.start,
            told.end,
            yes(told.end is None),
        )


def _serious(subject: Subject, extracted: datetime) -> Iterator[Record]:
    serious = [number for number, event in enumerate(subject.events, start=1) if event.serious]
    for case, number in enumerate(serious, start=1):
        event, state = subject.events[number - 1], event_state(subject, number, extracted)
        aware, reported = report_times(subject, number)
        values = (
            case_number(subject, case),
            record_key("AE", subject.subj, number),
            event.kind.term,
            iso(event.start),
            str(state.grade),
            event.causality,
            event.causality_routine,
            state.outcome,
            iso(state.end),
            *state.seriousness,
            minute(aware),
            minute(reported),
            "FOLLOW-UP" if state.closed else "INITIAL",
        )
        key = record_key("SAE", subject.subj, case)
        yield Record("SAE", key, subject.subj, "", state.entered, state.modified, values)


def case_number(subject: Subject, case: int) -> str:
    """Number of the subject's safety case ``case`` (from 1): year of first infusion, subject, case."""
    return f"YHD{subject.given[0].day.year}-{subject.subj}{case:02d}"


def report_times(subject: Subject, number: int) -> tuple[datetime, datetime]:
    """When the investigator knew of event ``number`` and when the sponsor was told: both on the day of onset."""
    event = subject.events[number - 1]
    stream = subject_stream(subject.seed, subject.plan.serial, "safety report", event.start.toordinal())
    draws = stream.random(2)
    aware = event.moment or event.at + timedelta(hours=8, minutes=int(draws[0] * 480))
    aware += timedelta(minutes=10)
    return aware, aware + timedelta(minutes=30 + int(draws[1] * 270))


def _medications(subject: Subject, extracted: datetime) -> Iterator[Record]:
    for number, course in enumerate(subject.medications, start=1):
        key = record_key("CONMED", subject.subj, number)
        entered = _medication_entered(subject, key, course)
        ended = date.fromisoformat(course.end) if course.end and len(course.end) == len("2022-06-13") else None
        modified = _closing(key, entered, ended, extracted)
        known = modified is not None or (course.end is not None and ended is None)
        yield Record(
            "CONMED",
            key,
            subject.subj,
            "",
            entered,
            modified or entered,
            (
                course.drug.name,
                course.drug.name_zh,
                course.category,
                _indication(subject, course),
                record_key("AE", subject.subj, course.event) if course.event else "",
                record_key("MH", subject.subj, course.condition) if course.condition else "",
                course.drug.dose,
                course.drug.unit,
                course.drug.frequency,
                course.drug.route,
                course.start,
                clock(course.moment),
                course.end or "" if known else "",
                yes(not known),
            ),
        )


def _medication_entered(subject: Subject, key: str, course: Medication) -> datetime:
    """Treatment is entered with its event, premedication with its infusion, what came before with the history."""
    if course.event:
        event = subject.events[course.event - 1]
        return entry_time(record_key("AE", subject.subj, course.event), event.start)
    if course.before:
        day = date.fromisoformat(course.start)
        return entry_time(record_key("DOSE", subject.subj, course.before), day)
    known = len(course.start) == len("2022-06-13")
    return entry_time(key, date.fromisoformat(course.start) if known else subject.screened)


def _indication(subject: Subject, course: Medication) -> str:
    if course.category == PREMEDICATION:
        return "PREMEDICATION FOR CELL INFUSION"
    if course.category == AE_TREATMENT and course.event:
        return subject.events[course.event - 1].kind.term
    return subject.conditions[course.condition - 1].kind.term if course.condition else ""


def _procedures(subject: Subject) -> Iterator[Record]:
    for number, done in enumerate(subject.procedures, start=1):
        event = subject.events[done.event - 1] if done.event else None
        condition = subject.conditions[done.condition - 1] if done.condition else None
        one = page(
            "PROC",
            subject.subj,
            number,
            "",
            done.end,
            done.name,
            done.name_zh,
            done.category,
            event.kind.term if event else condition.kind.term if condition else "",
            record_key("AE", subject.subj, done.event) if done.event else "",
            record_key("MH", subject.subj, done.condition) if done.condition else "",
            iso(done.start),
            iso(done.end),
            done.volume,
        )
        if event and done.event:
            entered = max(one.entered, entry_time(record_key("AE", subject.subj, done.event), event.start))
            one = replace(one, entered=entered, modified=entered)
        yield one


def _laboratory(subject: Subject) -> Iterator[Record]:
    number = 0
    for sample in subject.samples:
        day = sample.collected.date()
        for code, (name, unit) in KEY_TESTS.items():
            if code not in sample.values:
                continue
            number += 1
            value = sample.values[code]
            yield page(
                "LABEDC",
                subject.subj,
                number,
                sample.planned.name,
                day,
                day_text(day),
                clock(sample.collected),
                code,
                name,
                _edc_value(code, value),
                unit,
                _significance(subject, code, value, day, sample.age),
            )


def _edc_value(code: str, value: float) -> str:
    decimals = LABEDC_DECIMALS.get(code, BY_CODE[code].decimals)
    scale = 10**decimals
    return f"{math.floor(round(value * scale, 6) + 0.5) / scale:.{decimals}f}"


def _significance(subject: Subject, code: str, value: float, day: date, age: int) -> str:
    low, high = reference_range(BY_CODE[code], female=subject.female, age=age)
    if low <= value <= high:
        return ""
    terms = {LAB_KINDS[code].ctcae} if code in LAB_KINDS else set()
    if code == "CREA":
        terms.add("Acute kidney injury")
    return "CS" if any(event.kind.ctcae in terms and event.covers(day) for event in subject.events) else "NCS"


def _deviations(subject: Subject) -> Iterator[Record]:
    for number, deviation in enumerate(subject.deviations, start=1):
        yield page(
            "DV",
            subject.subj,
            number,
            "",
            deviation.end or deviation.start,
            deviation.category,
            deviation.kind,
            deviation.term,
            iso(deviation.start),
            iso(deviation.end),
            yes(deviation.important),
            yes(deviation.epidemic),
            record_key(deviation.form, subject.subj, deviation.number),
        )


def care_pages(subject: Subject, extracted: datetime) -> Iterator[Record]:
    """Yield every page of care and safety of a subject as the extract would show it."""
    for form in (_eligibility, _history, _drinking, _procedures, _laboratory, _deviations):
        yield from form(subject)
    yield from _serious(subject, extracted)
    yield from _medications(subject, extracted)


def lots_of(world: World) -> list[str]:
    """Return the lots infused, in order."""
    return sorted({dose.lot for subject in world.subjects for dose in subject.given})


def certificate_pages(world: World) -> Iterator[Record]:
    """Yield the release certificate of every lot infused; a lot's values hang on its number alone."""
    for lot in lots_of(world):
        draws = lot_stream(world.seed, lot).random(7)
        opens = date(2000 + int(lot[2:4]), int(lot[4:6]), 1 + LOT_SPAN_DAYS * (int(lot[7:9]) - 1))
        released = datetime.combine(opens - timedelta(days=3 + int(draws[0] * 3)), datetime.min.time())
        released += timedelta(hours=15, minutes=int(draws[1] * 60))
        made = released - timedelta(days=12 + int(draws[2] * 8), hours=5)
        endotoxin = 0.20 * float(draws[5])
        values = (
            lot,
            f"COA-{lot}-R1",
            f"DN{int(draws[3] * 10_000):04d}",
            str(3 + int(draws[4] * 3)),
            "Y",
            minute(made),
            minute(released),
            minute(made + timedelta(days=180)),
            f"{97 + 2 * float(draws[6]):.1f}",
            f"{RELEASE_VIABILITY_PCT:.1f}",
            f"{endotoxin:.2f}" if endotoxin >= 0.05 else "<0.05",
            "NEGATIVE",
            "NEGATIVE",
            "CONFORMS",
            "Y",
        )
        key = f"COA-{lot}"
        entered = entry_time(key, released.date())
        yield Record("COA", key, "", "", entered, entered, values)
