"""The simulated study: subjects, visits, infusions, events, samples and assessments, before any file exists.

The world is complete and knows no extract: what a cut-off shows is decided where the files are written.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta

import numpy as np

from .adverse_events import AdverseEvent, Journey, lab_events, simulate_events
from .analytes import BY_CODE
from .care import (
    Deviation,
    Medication,
    Procedure,
    find_deviations,
    simulate_medications,
    simulate_procedures,
)
from .history import Condition, Drinking, simulate_drinking, simulate_history
from .labs import (
    CRITICAL_AMMONIA,
    SCREENING_CEILINGS,
    Effects,
    Floats,
    Profile,
    drift_share,
    latent_path,
    own_meld,
    results,
    simulate_profile,
)
from .plan import SubjectPlan, assign_outcomes, plan_block
from .protocol import (
    BLOCK_SIZE,
    COHORTS,
    COVID_WAVE,
    DOSE_VISITS,
    FOLLOW_UP_VISITS,
    LAST_MONTH_12,
    SLOTS,
    TARGETS,
    VISIT_BY_NAME,
    PlannedVisit,
)
from .scores import banded, child_pugh_class, meld
from .streams import subject_stream

ETHNIC_GROUPS = (("汉族", 0.98), ("满族", 0.008), ("回族", 0.006), ("朝鲜族", 0.003), ("蒙古族", 0.003))
MASKED_NAMES = "甲乙丙丁戊己庚辛壬癸"
RELAPSE_SHARE = 0.17
FIRST_MRN = 9_900_000
MAX_SUBJECTS = 99_999
"""Hospital numbers stay inside the invented range."""

PLAUSIBLE = "plausible"
SEVERITIES = {PLAUSIBLE: 0.0, "high": 1.3}
"""Shift of the latent severity, in its standard deviations: MELD about 14, and about 17 (10 to 25)."""

STOP_REASONS = {
    "DSMB": ("DSMB DID NOT CLEAR REPEAT ADMINISTRATION", "DSMB DECISION"),
    "SUBJECT": ("SUBJECT DECLINED REPEAT ADMINISTRATION", "WITHDRAWAL BY SUBJECT"),
    "AE": ("ADVERSE EVENT", "ADVERSE EVENT"),
    "PHYSICIAN": ("PHYSICIAN DECISION", "PHYSICIAN DECISION"),
}
"""Why infusions stopped: wording on the visit and dose forms, wording on the end-of-treatment form."""


@dataclass(frozen=True)
class Visit:
    """One planned visit that fell due: made in person, made by telephone, or missed for ``reason``."""

    planned: PlannedVisit
    day: date
    start: date | None
    occurred: bool
    mode: str = ""
    reason: str = ""

    @property
    def attended(self) -> bool:
        """True when the subject came, so that samples and assessments exist."""
        return self.occurred and self.mode == "IN PERSON"


@dataclass(frozen=True)
class Dose:
    """One planned infusion: ``cells`` 10^6, ``volume`` mL, ``weight`` kg; not given if ``start`` is None."""

    number: int
    visit: str
    day: date
    planned: float
    reason: str = ""
    weight: float = 0.0
    cells: float = 0.0
    volume: int = 0
    viability: float = 0.0
    lot: str = ""
    start: datetime | None = None
    end: datetime | None = None
    interrupted: int = 0
    adjustment: str = ""


@dataclass(frozen=True)
class Vital:
    """Vital signs at one time point."""

    visit: str
    at: datetime
    point: str
    height: int | None
    weight: float | None
    temperature: float
    systolic: int
    diastolic: int
    pulse: int
    respiration: int


@dataclass(frozen=True)
class Sample:
    """The blood drawn at one visit; ``values`` holds the results of the panels ordered, by item code."""

    planned: PlannedVisit
    collected: datetime
    age: int
    values: dict[str, float]


@dataclass(frozen=True)
class Assessment:
    """Investigator scores at one visit. Child-Pugh items are (printed text, points)."""

    visit: str
    day: date
    items: tuple[tuple[str, int], ...]
    total: int
    grade: str
    west_haven: int
    karnofsky: int
    meld: int


@dataclass(frozen=True)
class AuditC:
    """AUDIT-C, three items of 0 to 4."""

    visit: str
    day: date
    items: tuple[int, int, int]


@dataclass(frozen=True)
class Decision:
    """One DSMB decision; ``subj`` is empty for a dose group."""

    record: str
    scope: str
    cohort: str
    subj: str
    meeting: date
    cutoff: date
    outcome: str
    observed: int
    toxicities: int


@dataclass(frozen=True)
class Ending:
    """End of treatment or of participation."""

    day: date
    status: str
    reason: str
    last_contact: date
    attempts: int | None = None


@dataclass
class Subject:
    """One screened person with everything that happens to them."""

    seed: int
    plan: SubjectPlan
    mrn: str
    name: str
    birth: date
    age: int
    female: bool
    ethnic: str
    consented: datetime
    screened: date
    eligible: date | None
    enrolled: date | None
    visits: list[Visit] = field(default_factory=list)
    doses: list[Dose] = field(default_factory=list)
    events: list[AdverseEvent] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    vitals: list[Vital] = field(default_factory=list)
    assessments: list[Assessment] = field(default_factory=list)
    auditc: list[AuditC] = field(default_factory=list)
    conditions: list[Condition] = field(default_factory=list)
    drinking: list[Drinking] = field(default_factory=list)
    medications: list[Medication] = field(default_factory=list)
    procedures: list[Procedure] = field(default_factory=list)
    deviations: list[Deviation] = field(default_factory=list)
    decision: Decision | None = None
    end_of_treatment: Ending | None = None
    end_of_study: Ending | None = None
    death: date | None = None

    @property
    def subj(self) -> str:
        """Screening number."""
        return self.plan.subj

    @property
    def cohort(self) -> str:
        """Dose group open at consent; the assigned group where the subject was enrolled."""
        return COHORTS[self.plan.cohort].name

    @property
    def given(self) -> list[Dose]:
        """The infusions given, in order."""
        return [dose for dose in self.doses if dose.start is not None]


@dataclass(frozen=True)
class World:
    """Every subject, and the decisions on dose groups."""

    seed: int
    subjects: list[Subject]
    decisions: list[Decision]


def simulate(seed: int, subjects: int = BLOCK_SIZE, severity: str = PLAUSIBLE) -> World:
    """Simulate the first ``subjects`` screening numbers (whole blocks of 48 are drawn, then cut).

    ``severity`` is one of ``SEVERITIES``: it moves every subject's latent severity, and nothing by dose.
    """
    if severity not in SEVERITIES:
        raise ValueError(f"severity is one of {tuple(SEVERITIES)}; got {severity}")
    if seed < 0 or not 1 <= subjects <= MAX_SUBJECTS:
        raise ValueError(f"seed must be 0 or more and subjects 1 to {MAX_SUBJECTS}; got {seed} and {subjects}")
    people: list[Subject] = []
    shift = SEVERITIES[severity]
    for block in range(-(-subjects // BLOCK_SIZE)):
        plans = plan_block(seed, block)
        females = {plan.serial: _is_female(seed, plan.serial) for plan in plans}
        profiles = {
            plan.serial: simulate_profile(
                seed, plan.serial, female=females[plan.serial], failure=plan.failure, shift=shift
            )
            for plan in plans
        }
        meld_of = {serial: own_meld(profile) for serial, profile in profiles.items()}
        for plan in assign_outcomes(seed, block, plans, meld_of):
            if plan.serial <= subjects:
                people.append(simulate_subject(seed, plan, profiles[plan.serial]))
    return World(seed, people, cohort_decisions())


def cohort_decisions() -> list[Decision]:
    """The DSMB's decision on each dose group of a complete block."""
    toxicities = (0, 1, 1)
    return [
        Decision(
            f"DSMB-{cohort.name}-01",
            "COHORT",
            cohort.name,
            "",
            cohort.dsmb_meeting,
            cohort.dsmb_cutoff,
            cohort.dsmb_outcome,
            12,
            count,
        )
        for cohort, count in zip(COHORTS, toxicities, strict=True)
    ]


def _is_female(seed: int, serial: int) -> bool:
    return bool(subject_stream(seed, serial, "demographics").random() >= 0.92)


def simulate_subject(seed: int, plan: SubjectPlan, profile: Profile) -> Subject:
    """Simulate one subject from its plan; nothing but seed, plan and profile enters."""
    subject = _person(seed, plan, profile)
    weights = _weights(seed, plan.serial, profile.female)
    if plan.first_dose is None:
        planned = VISIT_BY_NAME["SCREENING"]
        subject.visits = [Visit(planned, subject.screened, subject.consented.date(), True, "IN PERSON")]
    else:
        _schedule(seed, subject, weights)
        _follow(seed, subject)
    subject.samples = _samples(seed, subject, profile)
    if subject.given:
        first = subject.given[0].day
        found = lab_events(
            samples=[(s.collected, s.values) for s in subject.samples],
            first_dose=first,
            known=subject.events,
            journey=_journey(subject),
            female=profile.female,
        )
        subject.events = sorted(subject.events + found, key=lambda event: (event.at, event.kind.ctcae))
    subject.assessments = _assessments(seed, subject, profile)
    subject.auditc = _auditc(seed, subject)
    subject.vitals = _vitals(seed, subject, weights)
    _care(seed, subject)
    return subject


def _care(seed: int, subject: Subject) -> None:
    """Add what surrounds the study: history, drinking, drugs, procedures, deviations."""
    plan, consent = subject.plan, subject.consented.date()
    screening = subject.assessments[0]
    subject.conditions = simulate_history(
        seed,
        plan.serial,
        consent=consent,
        failure=plan.failure,
        ascites=screening.items[1][1] > 1,
        encephalopathy=screening.west_haven > 0,
    )
    subject.drinking = simulate_drinking(
        seed,
        plan.serial,
        age=subject.age,
        screened=subject.screened,
        consent=consent,
        drank_last_year=any(subject.auditc[0].items),
        relapse=_relapse_day(seed, subject),
        interviews=[(form.day, form.visit) for form in subject.auditc[1:]],
    )
    subject.medications = simulate_medications(seed, subject)
    subject.procedures = simulate_procedures(seed, subject)
    subject.deviations = find_deviations(subject)


def _person(seed: int, plan: SubjectPlan, profile: Profile) -> Subject:
    rng = subject_stream(seed, plan.serial, "demographics")
    rng.random()
    draws = rng.random(8)
    age = min(max(round(49 + 6.5 * float(rng.standard_normal())), 32), 59)
    month = int(draws[0] * 12) + 1
    if month == plan.consent.month:
        month = month % 12 + 1
    had_birthday = month < plan.consent.month
    birth = date(plan.consent.year - age - (0 if had_birthday else 1), month, int(draws[1] * 28) + 1)
    shares = np.cumsum([share for _, share in ETHNIC_GROUPS])
    ethnic = ETHNIC_GROUPS[min(int(np.searchsorted(shares, draws[2])), len(ETHNIC_GROUPS) - 1)][0]
    consented = datetime.combine(plan.consent, time(8 + int(draws[3] * 3), int(draws[4] * 60)))
    screened = _next_weekday(plan.consent)
    eligible = None if plan.first_dose is None else screened + timedelta(days=1)
    enrolled = None
    if eligible is not None and plan.first_dose is not None:
        enrolled = min(eligible + timedelta(days=int(draws[5] * 2)), plan.first_dose - timedelta(days=1))
    return Subject(
        seed=seed,
        plan=plan,
        mrn=str(FIRST_MRN + plan.serial),
        name="模拟*" + MASKED_NAMES[int(draws[6] * 10)],
        birth=birth,
        age=age,
        female=profile.female,
        ethnic=ethnic,
        consented=consented,
        screened=screened,
        eligible=eligible,
        enrolled=enrolled,
    )


def _next_weekday(day: date) -> date:
    following = day + timedelta(days=1)
    return following + timedelta(days=(7 - following.weekday()) % 7 if following.weekday() > 4 else 0)


def _pick(anchor: date, low: int, high: int, draw: float) -> date:
    """A weekday ``low`` to ``high`` days after ``anchor``; any day when there is none."""
    days = [anchor + timedelta(days=n) for n in range(low, high + 1)]
    weekdays = [day for day in days if day.weekday() < 5] or days
    return weekdays[int(draw * len(weekdays))]


def _schedule(seed: int, subject: Subject, weights: Sequence[float]) -> None:
    """Lay out infusions, visits and endings; all draws come first, so that none hangs on an outcome."""
    plan = subject.plan
    assert plan.first_dose is not None
    rng = subject_stream(seed, plan.serial, "schedule")
    place, miss, fate = rng.random(SLOTS), rng.random(SLOTS), rng.random(8)
    first = plan.first_dose
    screening = VISIT_BY_NAME["SCREENING"]
    visits = [Visit(screening, subject.screened, subject.consented.date(), True, "IN PERSON")]

    def came(name: str, day: date) -> None:
        visits.append(Visit(VISIT_BY_NAME[name], day, day, True, "IN PERSON"))

    came("DAY 1", first)
    came("DAY 2", first + timedelta(days=1))
    for name, low, high in (("DAY 8", 6, 8), ("DAY 15", 13, 15)):
        slot = VISIT_BY_NAME[name].slot
        visits.append(_attendance(name, _pick(first, low, high, place[slot]), miss[slot], plan.dlt == "ALT"))
    observed = _pick(first, 21, 23, place[VISIT_BY_NAME["DAY 22"].slot])
    came("DAY 22", observed)

    decided = observed + timedelta(days=1 + int(fate[0] * 2))
    subject.decision = Decision(
        f"DSMB-{subject.subj}-01",
        "SUBJECT",
        subject.cohort,
        subject.subj,
        decided,
        observed,
        "HOLD" if plan.stop == "DSMB" else "REPEAT",
        1,
        0 if plan.dlt is None else 1,
    )

    days = [first]
    for name in DOSE_VISITS[1 : plan.n_doses]:
        days.append(_pick(days[-1], 27, 31, place[VISIT_BY_NAME[name].slot]))
        came(name, days[-1])
    last = days[-1]
    subject.doses = _infusions(seed, subject, days, weights)

    if plan.stop is None:
        subject.end_of_treatment = Ending(last, "COMPLETED", "COMPLETED", last)
    else:
        stopped = decided if plan.stop == "DSMB" else last + timedelta(days=25 if plan.stop == "AE" else 28)
        on_form, on_end = STOP_REASONS[plan.stop]
        subject.end_of_treatment = Ending(stopped, "DISCONTINUED", on_end, stopped)
        for number in range(plan.n_doses + 1, len(DOSE_VISITS) + 1):
            name = DOSE_VISITS[number - 1]
            visits.append(Visit(VISIT_BY_NAME[name], stopped, None, False, reason=on_form))
            subject.doses.append(Dose(number, name, stopped, COHORTS[plan.cohort].dose, on_form))

    ends = _participation_end(plan, last, fate)
    for name in FOLLOW_UP_VISITS:
        slot = VISIT_BY_NAME[name].slot
        spread = {"MONTH 1": (27, 34), "MONTH 3": (84, 98), "MONTH 6": (172, 192), "MONTH 12": (350, 380)}[name]
        day = _pick(last, *spread, place[slot])
        if name == "MONTH 12":
            day = min(day, LAST_MONTH_12)
        if ends is None or day < ends:
            sure = name == "MONTH 12" or (plan.fate in ("LOST", "WITHDRAWAL") and name == "MONTH 3")
            missing = plan.fate == "LOST" and TARGETS[name] > TARGETS["MONTH 3"]
            visits.append(_attendance(name, day, 0.0 if missing else miss[slot], sure))
    if plan.fate in ("WITHDRAWAL", "TRANSPLANT") and ends is not None:
        came("EARLY TERMINATION", ends - timedelta(days=plan.fate == "TRANSPLANT"))
    contact = max(visit.start for visit in visits if visit.start)
    if ends is None:
        subject.end_of_study = Ending(contact, "COMPLETED", "COMPLETED", contact)
    elif plan.fate == "DEATH":
        subject.death = ends
        subject.end_of_study = Ending(ends, "DISCONTINUED", "DEATH", ends)
    elif plan.fate == "LOST":
        subject.end_of_study = Ending(ends, "DISCONTINUED", "LOST TO FOLLOW-UP", contact, 3 + int(fate[3] * 3))
    else:
        reason = "LIVER TRANSPLANT" if plan.fate == "TRANSPLANT" else "WITHDRAWAL BY SUBJECT"
        subject.end_of_study = Ending(ends, "DISCONTINUED", reason, ends)
    subject.visits = sorted(visits, key=lambda visit: (visit.day, visit.planned.num))


def _attendance(name: str, day: date, draw: float, sure: bool) -> Visit:
    planned = VISIT_BY_NAME[name]
    wave = COVID_WAVE[0] <= day <= COVID_WAVE[1]
    if not sure and draw < 0.03:
        return Visit(planned, day, None, False, reason="COVID-19 RESTRICTIONS" if wave else "SUBJECT UNAVAILABLE")
    by_phone = wave and not sure and draw < 0.25
    return Visit(planned, day, day, True, "TELEPHONE" if by_phone else "IN PERSON")


def _participation_end(plan: SubjectPlan, last: date, draws: Floats) -> date | None:
    """Day participation ends before Month 12. Death: Weibull, shape 0.9, 17 % by day 365."""
    if plan.fate == "DEATH":
        share = math.log1p(-0.17 * float(draws[1])) / math.log1p(-0.17)
        return last + timedelta(days=min(max(round(365 * share ** (1 / 0.9)), 14), 345))
    if plan.fate == "LOST":
        return last + timedelta(days=206 + int(draws[1] * 12))
    if plan.fate == "TRANSPLANT":
        return _pick(last, 206, 222, float(draws[1]))
    if plan.fate == "WITHDRAWAL":
        return _pick(last, 112, 150, float(draws[1]))
    return None


def _weights(seed: int, serial: int, female: bool) -> list[float]:
    """Weight (kg) at every visit slot: N(66, 10) for men, N(57, 8) for women, drifting by about 1 kg."""
    rng = subject_stream(seed, serial, "vitals", 1)
    base = 57 + 8 * float(rng.standard_normal()) if female else 66 + 10 * float(rng.standard_normal())
    base = min(max(base, 44.0), 92.0)
    path, value = [], 0.0
    for step in rng.standard_normal(SLOTS):
        value = 0.8 * value + 0.6 * float(step)
        path.append(round(base + value, 1))
    return path


def _infusions(seed: int, subject: Subject, days: list[date], weights: Sequence[float]) -> list[Dose]:
    rng = subject_stream(seed, subject.plan.serial, "infusions")
    draws, errors = rng.random((3, 8)), rng.standard_normal(3)
    dose = COHORTS[subject.plan.cohort].dose
    out: list[Dose] = []
    for i, day in enumerate(days):
        name = DOSE_VISITS[i]
        weight = weights[VISIT_BY_NAME[name].slot]
        error = min(max(0.02 * float(errors[i]), -0.06), 0.06)
        start = datetime.combine(day, time(9 + int(draws[i, 0] * 2), int(draws[i, 1] * 12) * 5))
        minutes = 40 + int(draws[i, 2] * 26)
        out.append(
            Dose(
                number=i + 1,
                visit=name,
                day=day,
                planned=dose,
                weight=weight,
                cells=round(dose * weight * (1 + error), 1),
                volume=100 if draws[i, 3] < 0.8 else 110,
                viability=round(86 + 11 * float(draws[i, 4]), 1),
                lot=f"UC{day:%y%m}-{1 + (day.day - 1) // 4:02d}",
                start=start,
                end=start + timedelta(minutes=minutes),
            )
        )
    return out


def _journey(subject: Subject) -> Journey:
    assert subject.end_of_study is not None and subject.plan.first_dose is not None
    return Journey(
        consent=subject.consented.date(),
        starts=tuple(dose.start for dose in subject.given if dose.start),
        ends=tuple(dose.end for dose in subject.given if dose.end),
        visits={visit.planned.name: visit.day for visit in subject.visits if visit.occurred},
        end=subject.end_of_study.day,
        death=subject.death,
        stop=subject.plan.stop,
        stopped=subject.end_of_treatment.day if subject.end_of_treatment else None,
        plan=subject.plan,
    )


def _follow(seed: int, subject: Subject) -> None:
    """Draw the events, and stretch the infusions during which one began."""
    events, pauses = simulate_events(seed, _journey(subject))
    subject.events = events
    for number, minutes in pauses.items():
        dose = subject.doses[number - 1]
        assert dose.end is not None
        subject.doses[number - 1] = replace(
            dose,
            end=dose.end + timedelta(minutes=minutes),
            interrupted=minutes,
            adjustment="INFUSION REACTION",
        )


def _age_on(subject: Subject, day: date) -> int:
    return day.year - subject.birth.year - ((day.month, day.day) < (subject.birth.month, subject.birth.day))


def _relapse_day(seed: int, subject: Subject) -> date | None:
    """Day drinking resumed after the last infusion, for about one subject in six."""
    rng = subject_stream(seed, subject.plan.serial, "alcohol", 1)
    draw, when = rng.random(2)
    if not subject.given or draw >= RELAPSE_SHARE:
        return None
    return subject.given[-1].day + timedelta(days=40 + int(when * 200))


def _effects(subject: Subject, day: date, relapse: date | None) -> Effects:
    factors: dict[str, float] = {}
    additions: dict[str, float] = {}
    plan = subject.plan

    def times(**by: float) -> None:
        for code, factor in by.items():
            factors[code] = factors.get(code, 1.0) * factor

    infected = plan.failure == "ACTIVE INFECTION"
    for event in subject.events:
        if event.start <= day <= (event.end or date.max):
            infected = infected or event.kind.infection
            if event.kind.ctcae == "Acute kidney injury":
                times(CREA=1.7, UREA=1.6, CYSC=1.4)
            if event.kind.ctcae == "Encephalopathy":
                times(NH3=1.5)
    if infected:
        times(CRP=6.0, PCT=5.0, WBC=1.5)
    if relapse is not None and day >= relapse:
        times(GGT=1.9, AST=1.4, ALT=1.15)
    if plan.dlt == "ALT" and subject.given:
        elapsed = (day - subject.given[0].day).days
        if 5 <= elapsed <= 10:
            times(ALT=8.5, AST=0.35)
            additions["ALT"] = 120.0
        elif 11 <= elapsed <= 17:
            times(ALT=3.0, AST=0.5)
    if subject.death is not None:
        near = max(0.0, 1.0 - (subject.death - day).days / 60.0)
        times(TBIL=1 + 0.6 * near, INR=1 + 0.15 * near, CREA=1 + 0.25 * near)
        additions["ALB"] = -2.5 * near
        additions["NA"] = -3.0 * near
    before = not subject.given or day <= subject.given[0].day
    fails = plan.failure in ("PROTHROMBIN ACTIVITY 40% OR LESS", "ALBUMIN 35 G/L OR MORE")
    return Effects(factors, additions, SCREENING_CEILINGS if before and not fails else {})


def _samples(seed: int, subject: Subject, profile: Profile) -> list[Sample]:
    clock = subject_stream(seed, subject.plan.serial, "clock times").random((SLOTS, 4))
    relapse = _relapse_day(seed, subject)
    attended = [visit for visit in subject.visits if visit.occurred]
    days = [visit.day.toordinal() for visit in attended]
    path = latent_path(profile, days, [visit.planned.slot for visit in attended])
    given = subject.given
    first = given[0].day.toordinal() if given else None
    last = given[-1].day.toordinal() if given else None
    out: list[Sample] = []
    for visit, day, latent in zip(attended, days, path, strict=True):
        if not visit.attended:
            continue
        slot = visit.planned.slot
        age = _age_on(subject, visit.day)
        values = results(
            profile,
            slot,
            latent=latent,
            share=drift_share(day, first_dose=first, last_dose=last),
            age=age,
            effects=_effects(subject, visit.day, relapse),
        )
        values = {code: value for code, value in values.items() if BY_CODE[code].panel in visit.planned.panels}
        _explain_ammonia(subject, visit.day, values, out)
        at = datetime.combine(visit.day, time(7, 0)) + timedelta(minutes=int(clock[slot, 0] * 75))
        out.append(Sample(visit.planned, at, age, values))
    return out


def _explain_ammonia(subject: Subject, day: date, values: dict[str, float], earlier: Sequence[Sample]) -> None:
    """No form takes a note on ammonia, so that it becomes critical after the first infusion with an event only."""
    if values.get("NH3", 0.0) <= CRITICAL_AMMONIA or not subject.given or day <= subject.given[0].day:
        return
    before = [
        one.values["NH3"] for one in earlier if "NH3" in one.values and one.collected.date() <= subject.given[0].day
    ]
    event = any(abs((event.start - day).days) <= 14 for event in subject.events)
    if not event and before and max(before) <= CRITICAL_AMMONIA:
        values["NH3"] = CRITICAL_AMMONIA


def _assessments(seed: int, subject: Subject, profile: Profile) -> list[Assessment]:
    serial = subject.plan.serial
    ascites_draw = subject_stream(seed, serial, "ascites").standard_normal(SLOTS)
    he_draw = subject_stream(seed, serial, "encephalopathy").random(SLOTS)
    kps_draw = subject_stream(seed, serial, "performance").random(SLOTS)
    prone = float(he_draw[-1]) < 0.12
    own = float(ascites_draw[-1])
    out: list[Assessment] = []
    for sample in subject.samples:
        if not sample.planned.scores:
            continue
        slot, day, values = sample.planned.slot, sample.collected.date(), sample.values
        active = {event.kind.ctcae: event.grade for event in subject.events if event.covers(day)}
        fluid = 0.75 * own + 0.25 * float(ascites_draw[slot]) - 0.10 * (values["ALB"] - 31)
        ascites = 1 if fluid < -0.35 else 2 if fluid < 0.75 else 3
        if "Ascites" in active:
            ascites = 3
        west_haven = 1 if prone and he_draw[slot] < 0.6 else 0
        if "Encephalopathy" in active:
            west_haven = min(active["Encephalopathy"], 3)
        he_points = (1, 2, 2, 3, 3)[west_haven]
        items = (
            (("None", "1 or 2", "3 or 4")[he_points - 1], he_points),
            (("Absent", "Slight", "Moderate")[ascites - 1], ascites),
            banded(values["TBIL"], 34, 51, ("<34", "34-51", ">51")),
            _albumin(values["ALB"]),
            banded(values["INR"], 1.7, 2.3, ("<1.7", "1.7-2.3", ">2.3")),
        )
        total = sum(points for _, points in items)
        karnofsky = 80 if total <= 7 else 70 if total <= 9 else 60
        karnofsky += 10 if kps_draw[slot] < 0.12 and total <= 9 else -10 if kps_draw[slot] > 0.9 else 0
        out.append(
            Assessment(
                visit=sample.planned.name,
                day=day,
                items=items,
                total=total,
                grade=child_pugh_class(total),
                west_haven=west_haven,
                karnofsky=min(max(karnofsky, 50), 90),
                meld=meld(bilirubin_umol_l=values["TBIL"], inr=values["INR"], creatinine_umol_l=values["CREA"]),
            )
        )
    return out


def _albumin(value: float) -> tuple[str, int]:
    if value > 35:
        return ">35", 1
    return ("28-35", 2) if value >= 28 else ("<28", 3)


def _auditc(seed: int, subject: Subject) -> list[AuditC]:
    """AUDIT-C: the past year's drinking at screening, none while abstinent, some after a relapse."""
    draws = subject_stream(seed, subject.plan.serial, "alcohol").random((SLOTS, 3))
    relapse = _relapse_day(seed, subject)
    out: list[AuditC] = []
    for sample in subject.samples:
        if not sample.planned.auditc:
            continue
        day, (a, b, c) = sample.collected.date(), draws[sample.planned.slot]
        if sample.planned.name == "SCREENING":
            items = (int(a * 3), 0, 0) if a < 1 / 3 else (int(a * 3), 1 + int(b * 3), int(c * 3))
        elif relapse is not None and day >= relapse:
            items = (2 + int(a * 3), 1 + int(b * 3), 1 + int(c * 3))
        else:
            items = (0, 0, 0)
        out.append(AuditC(sample.planned.name, day, items))
    return out


def _vitals(seed: int, subject: Subject, weights: Sequence[float]) -> list[Vital]:
    rng = subject_stream(seed, subject.plan.serial, "vitals")
    height = (
        round(158 + 5 * float(rng.standard_normal()))
        if subject.female
        else round(170 + 6 * float(rng.standard_normal()))
    )
    pressure, rate = 116 + 8 * float(rng.standard_normal()), 76 + 6 * float(rng.standard_normal())
    draws = rng.standard_normal((SLOTS, 4, 5))
    clock = subject_stream(seed, subject.plan.serial, "clock times", 1).random(SLOTS)
    doses = {dose.visit: dose for dose in subject.given}
    out: list[Vital] = []
    for visit in subject.visits:
        if not visit.attended:
            continue
        name, slot = visit.planned.name, visit.planned.slot
        at = datetime.combine(visit.day, time(8, 16)) + timedelta(minutes=int(clock[slot] * 40))
        points: list[tuple[str, datetime]] = [("", at)]
        if name in doses:
            end = doses[name].end
            assert end is not None
            after = [(f"{n} H POST-DOSE", end + timedelta(hours=n)) for n in (1, 2, 4)]
            points = [("PRE-DOSE", at), *after]
        for place, (point, moment) in enumerate(points):
            draw = draws[slot, place]
            temperature = 36.5 + 0.2 * float(draw[0])
            systolic = pressure + 5 * float(draw[1])
            for event in subject.events:
                if event.moment is None or not event.moment <= moment <= event.moment + timedelta(hours=8):
                    continue
                if event.kind.ctcae == "Fever":
                    temperature = (38.3 if event.grade == 1 else 39.3) + 0.1 * min(max(float(draw[0]), -2), 2)
                if event.kind.ctcae == "Hypotension" and moment <= event.moment + timedelta(hours=2):
                    systolic = 86 + 2 * float(draw[1])
            systolic = min(max(systolic, 82), 150)
            out.append(
                Vital(
                    visit=name,
                    at=moment,
                    point=point,
                    height=height if name == "SCREENING" else None,
                    weight=weights[slot] if place == 0 else None,
                    temperature=round(min(max(temperature, 36.0), 39.9), 1),
                    systolic=round(systolic),
                    diastolic=round(systolic * 0.62 + 2 * float(draw[2])),
                    pulse=round(min(max(rate + 4 * float(draw[3]) + 12 * (temperature > 37.9), 54), 116)),
                    respiration=round(min(max(18 + float(draw[4]), 14), 22)),
                )
            )
    return out
