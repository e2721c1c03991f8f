"""Routine care around the study: drugs, procedures and deviations of a subject, drawn after everything else.

Nothing here acts on a laboratory value, so that care may be refined without moving one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from .adverse_events import AdverseEvent
from .history import (
    ASCITES,
    CIRRHOSIS,
    DIABETES,
    ENCEPHALOPATHY,
    HYPERTENSION,
    VARICES,
    Condition,
    ConditionKind,
    month_before,
)
from .protocol import COVID_WAVE
from .streams import subject_stream

if TYPE_CHECKING:
    from .world import Subject

ROUTINE, DIURETIC, ALBUMIN = "ROUTINE", "DIURETIC", "ALBUMIN"
PREMEDICATION, AE_TREATMENT = "PREMEDICATION", "AE TREATMENT"
PREMEDICATION_LEAD = timedelta(minutes=30)
CLEAR_OF_SAMPLES_DAYS = 7
"""Albumin changes the laboratory picture for about a week; no course ends less than that before a sample."""
ALBUMIN_COURSE_DAYS = 3


@dataclass(frozen=True)
class Drug:
    """A drug as prescribed: dose per administration, frequency and route."""

    name: str
    name_zh: str
    dose: str
    unit: str
    frequency: str = "QD"
    route: str = "ORAL"


SPIRONOLACTONE = Drug("Spironolactone", "螺内酯", "80", "mg")
FUROSEMIDE = Drug("Furosemide", "呋塞米", "40", "mg")
HUMAN_ALBUMIN = Drug("Human albumin", "人血白蛋白", "10", "g", "QD", "INTRAVENOUS")
PROPRANOLOL = Drug("Propranolol", "普萘洛尔", "10", "mg", "BID")
LACTULOSE = Drug("Lactulose", "乳果糖", "15", "mL", "TID")
AMLODIPINE = Drug("Amlodipine", "氨氯地平", "5", "mg")
INSULIN = Drug("Insulin glargine", "甘精胰岛素", "10", "U", "QD", "SUBCUTANEOUS")
URSODEOXYCHOLIC_ACID = Drug("Ursodeoxycholic acid", "熊去氧胆酸", "250", "mg", "BID")
PHOSPHATIDYLCHOLINE = Drug("Polyene phosphatidylcholine", "多烯磷脂酰胆碱", "456", "mg", "TID")
VITAMIN_B = Drug("Vitamin B complex", "复合维生素B", "2", "mg", "TID")
HERBAL = Drug("Compound herbal decoction", "复方中药汤剂", "200", "mL", "BID")
PROMETHAZINE = Drug("Promethazine", "异丙嗪", "25", "mg", "ONCE", "INTRAMUSCULAR")
DEXAMETHASONE = Drug("Dexamethasone", "地塞米松", "5", "mg", "ONCE", "INTRAVENOUS")

ROUTINE_DRUGS: tuple[tuple[Drug, ConditionKind, float], ...] = (
    (PROPRANOLOL, VARICES, 0.8),
    (LACTULOSE, ENCEPHALOPATHY, 1.0),
    (AMLODIPINE, HYPERTENSION, 1.0),
    (INSULIN, DIABETES, 1.0),
    (URSODEOXYCHOLIC_ACID, CIRRHOSIS, 0.5),
    (PHOSPHATIDYLCHOLINE, CIRRHOSIS, 0.5),
    (VITAMIN_B, CIRRHOSIS, 0.7),
)
"""Drug, condition and share of those who have the condition. In the order of their draws: append only."""

TREATMENTS: dict[str, tuple[Drug, int]] = {
    "Fever": (Drug("Ibuprofen", "布洛芬", "300", "mg", "ONCE"), 1),
    "Chills": (Drug("Chlorphenamine", "氯苯那敏", "10", "mg", "ONCE", "INTRAMUSCULAR"), 1),
    "Headache": (Drug("Paracetamol", "对乙酰氨基酚", "500", "mg", "ONCE"), 1),
    "Rash maculo-papular": (Drug("Loratadine", "氯雷他定", "10", "mg"), 4),
    "Pruritus": (Drug("Calamine lotion", "炉甘石洗剂", "5", "mL", "BID", "TOPICAL"), 4),
    "Hypotension": (Drug("Sodium chloride 0.9 %", "0.9%氯化钠", "500", "mL", "ONCE", "INTRAVENOUS"), 1),
    "Non-cardiac chest pain": (Drug("Hydrocortisone", "氢化可的松", "100", "mg", "ONCE", "INTRAVENOUS"), 1),
    "Injection site reaction": (Drug("Mucopolysaccharide polysulfate", "多磺酸粘多糖", "3", "g", "BID", "TOPICAL"), 3),
    "Infusion related reaction": (Drug("Methylprednisolone", "甲泼尼龙", "80", "mg", "ONCE", "INTRAVENOUS"), 1),
    "Fatigue": (Drug("Vitamin C", "维生素C", "200", "mg", "TID"), 14),
    "Nausea": (Drug("Metoclopramide", "甲氧氯普胺", "10", "mg", "TID"), 5),
    "Diarrhea": (Drug("Montmorillonite powder", "蒙脱石散", "3000", "mg", "TID"), 5),
    "Abdominal distension": (Drug("Simethicone", "西甲硅油", "80", "mg", "TID"), 10),
    "Ascites": (Drug("Torasemide", "托拉塞米", "20", "mg", "QD", "INTRAVENOUS"), 14),
    "Encephalopathy": (Drug("Ornithine aspartate", "门冬氨酸鸟氨酸", "10", "g", "QD", "INTRAVENOUS"), 10),
    "Esophageal varices hemorrhage": (Drug("Octreotide", "奥曲肽", "1.2", "mg", "QD", "INTRAVENOUS"), 5),
    "Peritoneal infection": (Drug("Ceftriaxone", "头孢曲松", "2000", "mg", "QD", "INTRAVENOUS"), 10),
    "Lung infection": (Drug("Moxifloxacin", "莫西沙星", "400", "mg", "QD", "INTRAVENOUS"), 10),
    "Cholecystitis": (Drug("Piperacillin and tazobactam", "哌拉西林他唑巴坦", "4.5", "g", "TID", "INTRAVENOUS"), 10),
    "Acute kidney injury": (Drug("Terlipressin", "特利加压素", "1", "mg", "BID", "INTRAVENOUS"), 10),
    "Portal vein thrombosis": (Drug("Enoxaparin", "依诺肝素", "4000", "U", "QD", "SUBCUTANEOUS"), 90),
    "Upper respiratory infection": (Drug("Lianhua Qingwen capsule", "连花清瘟胶囊", "1400", "mg", "TID"), 7),
    "Insomnia": (Drug("Zopiclone", "佐匹克隆", "7.5", "mg"), 5),
    "Hepatic failure": (Drug("Acetylcysteine", "乙酰半胱氨酸", "8", "g", "QD", "INTRAVENOUS"), 21),
    "Neoplasms benign, malignant and unspecified (incl cysts and polyps) - Other, specify": (
        Drug("Morphine", "吗啡", "10", "mg", "BID"),
        30,
    ),
    "Intracranial hemorrhage": (Drug("Mannitol", "甘露醇", "25", "g", "TID", "INTRAVENOUS"), 10),
    "Alanine aminotransferase increased": (
        Drug("Magnesium isoglycyrrhizinate", "异甘草酸镁", "150", "mg", "QD", "INTRAVENOUS"),
        14,
    ),
    "Hyponatremia": (Drug("Sodium chloride capsule", "氯化钠胶囊", "1000", "mg", "TID"), 10),
    "Platelet count decreased": (
        Drug("Recombinant thrombopoietin", "重组人血小板生成素", "15000", "U", "QD", "SUBCUTANEOUS"),
        7,
    ),
    "Anemia": (Drug("Iron polysaccharide complex", "多糖铁复合物", "150", "mg"), 28),
}
"""CTCAE term to the drug that treats it and the longest course in days."""


@dataclass(frozen=True)
class Medication:
    """One course of a drug. ``start`` and ``end`` are months before consent, else days; no end while it lasts.

    ``event`` and ``condition`` number the subject's events and conditions from 1. ``before`` is the
    infusion a premedication belongs to.
    """

    drug: Drug
    category: str
    start: str
    end: str | None
    event: int | None = None
    condition: int | None = None
    moment: datetime | None = None
    before: int | None = None


@dataclass(frozen=True)
class Procedure:
    """One procedure, for an event or a condition; ``volume`` mL drained."""

    name: str
    name_zh: str
    category: str
    start: date
    end: date
    event: int | None = None
    condition: int | None = None
    volume: int | None = None


@dataclass(frozen=True)
class Deviation:
    """One protocol deviation: the ``form`` and number of the record it concerns."""

    category: str
    kind: str
    term: str
    start: date
    end: date | None
    important: bool
    epidemic: bool
    form: str
    number: int


PARACENTESIS = ("Paracentesis", "腹腔穿刺放液术", "ASCITES")
LIGATION = ("Endoscopic variceal ligation", "内镜下食管静脉曲张套扎术", "VARICES")
SHUNT = ("Transjugular intrahepatic portosystemic shunt", "经颈静脉肝内门体分流术", "VARICES")
TRANSPLANTATION = ("Liver transplantation", "肝移植术", "TRANSPLANT")
RENAL_REPLACEMENT = ("Continuous renal replacement therapy", "连续性肾脏替代治疗", "RENAL REPLACEMENT")

PLANNED_PARACENTESIS_SHARE = 0.30
PLANNED_LIGATION_SHARE = 0.14
SHUNT_SHARE = 0.10
RENAL_REPLACEMENT_SHARE = 0.4
HERBAL_SHARE = 0.06


def _number(conditions: Sequence[Condition], kind: ConditionKind) -> int | None:
    return next((i for i, condition in enumerate(conditions, start=1) if condition.kind is kind), None)


def _quiet_spans(subject: Subject) -> list[tuple[date, date]]:
    """Spans after the last infusion, from four days after one sample to the day before the next.

    The last span ends five days before participation does.
    """
    if not subject.given or subject.end_of_study is None:
        return []
    last, end = subject.given[-1].day, subject.end_of_study.day
    days = [sample.collected.date() for sample in subject.samples if sample.collected.date() > last]
    starts, ends = [last, *days], [*days, end - timedelta(days=4)]
    return [(a + timedelta(days=4), b - timedelta(days=1)) for a, b in zip(starts, ends, strict=True) if a < b]


def simulate_medications(seed: int, subject: Subject) -> list[Medication]:
    """Draw the drugs: routine, diuretics and albumin (criterion I05), premedication, treatment of events."""
    consent = subject.consented.date()
    until = subject.death or (subject.end_of_study.day if _transplanted(subject) and subject.end_of_study else None)
    out = _background(seed, subject, until.isoformat() if until else None)
    out += _albumin(seed, subject, consent)
    draws = subject_stream(seed, subject.plan.serial, "medication", 2).random(2)
    for dose in subject.given:
        if dose.start is not None:
            day, moment = dose.day.isoformat(), dose.start - PREMEDICATION_LEAD
            drug = PROMETHAZINE if draws[0] < 0.8 else DEXAMETHASONE
            out.append(Medication(drug, PREMEDICATION, day, day, moment=moment, before=dose.number))
    for number, event in enumerate(subject.events, start=1):
        if event.treated:
            out.append(_treatment(number, event))
    herbal = _herbal(seed, subject)
    return sorted(out + herbal, key=lambda course: (course.start, course.category, course.drug.name))


def _transplanted(subject: Subject) -> bool:
    return subject.plan.fate == "TRANSPLANT"


def _background(seed: int, subject: Subject, until: str | None) -> list[Medication]:
    draws = subject_stream(seed, subject.plan.serial, "medication").random((32, 2))
    conditions = subject.conditions
    cirrhosis, ascites = _number(conditions, CIRRHOSIS), _number(conditions, ASCITES)
    out: list[Medication] = []
    for drug, kind, draw in ((SPIRONOLACTONE, DIURETIC, draws[0]), (FUROSEMIDE, DIURETIC, draws[1])):
        number = ascites or cirrhosis
        since = _since(subject, number, float(draw[1]))
        out.append(Medication(drug, kind, since, until, condition=number))
    for (drug, condition, share), draw in zip(ROUTINE_DRUGS, draws[2:], strict=False):
        number = _number(conditions, condition)
        if number is not None and draw[0] < share:
            out.append(Medication(drug, ROUTINE, _since(subject, number, float(draw[1])), until, condition=number))
    return out


def _since(subject: Subject, condition: int | None, draw: float) -> str:
    """Month a drug began: one to twelve before consent, not before the condition it is for."""
    month = month_before(subject.consented.date(), 1 + int(draw * 12))
    return month if condition is None else max(month, subject.conditions[condition - 1].start)


def _albumin(seed: int, subject: Subject, consent: date) -> list[Medication]:
    draws = subject_stream(seed, subject.plan.serial, "medication", 1).random((16, 2))
    condition = _number(subject.conditions, ASCITES) or _number(subject.conditions, CIRRHOSIS)
    before = month_before(consent, 1 + int(draws[0, 0] * 2))
    out = [Medication(HUMAN_ALBUMIN, ALBUMIN, before, before, condition=condition)]
    tail = timedelta(days=CLEAR_OF_SAMPLES_DAYS + ALBUMIN_COURSE_DAYS)
    for (low, high), (hit, when) in zip(_quiet_spans(subject), draws[1:], strict=False):
        room = (high - tail - low).days
        if room < 0 or hit >= 0.8:
            continue
        start = low + timedelta(days=int(when * (room + 1)))
        end = start + timedelta(days=ALBUMIN_COURSE_DAYS - 1)
        out.append(Medication(HUMAN_ALBUMIN, ALBUMIN, start.isoformat(), end.isoformat(), condition=condition))
    return out


def _treatment(number: int, event: AdverseEvent) -> Medication:
    drug, longest = TREATMENTS[event.kind.ctcae]
    end = event.start + timedelta(days=longest - 1)
    if event.end is not None:
        end = min(end, event.end)
    return Medication(drug, AE_TREATMENT, event.start.isoformat(), end.isoformat(), event=number)


def _herbal(seed: int, subject: Subject) -> list[Medication]:
    draws = subject_stream(seed, subject.plan.serial, "deviations").random(4)
    spans = _quiet_spans(subject)
    if draws[0] >= HERBAL_SHARE or not spans:
        return []
    low, high = spans[int(draws[1] * len(spans))]
    start = low + timedelta(days=int(draws[2] * max(1, (high - low).days - 10)))
    end = min(start + timedelta(days=6 + int(draws[3] * 10)), high)
    condition = _number(subject.conditions, CIRRHOSIS)
    return [Medication(HERBAL, ROUTINE, start.isoformat(), end.isoformat(), condition=condition)] if end > start else []


def simulate_procedures(seed: int, subject: Subject) -> list[Procedure]:
    """Draw the procedures: for events that need one, planned ones, and the transplantation."""
    if not subject.given or subject.end_of_study is None:
        return []
    draws = subject_stream(seed, subject.plan.serial, "procedures").random(24)
    out: list[Procedure] = []
    for number, event in enumerate(subject.events, start=1):
        out += _procedures_of(number, event, subject, draws.tolist())
    done = {procedure.name for procedure in out}
    spans = _quiet_spans(subject)
    ascites = _number(subject.conditions, ASCITES)
    if ascites is not None and subject.conditions[ascites - 1].end is not None:
        ascites = None
    if PARACENTESIS[0] not in done and ascites is not None and draws[10] < PLANNED_PARACENTESIS_SHARE and spans:
        day = _within(spans, float(draws[11]), float(draws[12]))
        volume = 2000 + 100 * int(draws[13] * 31)
        out.append(Procedure(*PARACENTESIS, day, day, condition=ascites, volume=volume))
    varices = _number(subject.conditions, VARICES)
    if LIGATION[0] not in done and varices is not None and draws[14] < PLANNED_LIGATION_SHARE and spans:
        day = _within(spans, float(draws[15]), float(draws[16]))
        out.append(Procedure(*LIGATION, day, day, condition=varices))
    return sorted(out, key=lambda procedure: (procedure.start, procedure.name))


def _within(spans: Sequence[tuple[date, date]], which: float, when: float) -> date:
    low, high = spans[int(which * len(spans))]
    return low + timedelta(days=int(when * ((high - low).days + 1)))


def _procedures_of(number: int, event: AdverseEvent, subject: Subject, draws: Sequence[float]) -> list[Procedure]:
    """What an event needs. Renal replacement keeps clear of samples, whose scores do not know of it."""
    assert subject.end_of_study is not None
    last_day = event.end or subject.end_of_study.day
    out: list[Procedure] = []
    if event.kind.ctcae == "Ascites" and event.grade >= 3:
        day = min(event.start + timedelta(days=1), last_day)
        out.append(Procedure(*PARACENTESIS, day, day, event=number, volume=2000 + 100 * int(draws[0] * 31)))
    if event.kind.ctcae == "Esophageal varices hemorrhage":
        if event.grade == 4 or draws[1] < SHUNT_SHARE:
            day = min(event.start + timedelta(days=3), last_day)
            out.append(Procedure(*SHUNT, day, day, event=number))
        else:
            out.append(Procedure(*LIGATION, event.start, event.start, event=number))
    failing = event.kind.ctcae in ("Acute kidney injury", "Hepatic failure") and not _transplanted(subject)
    if failing and draws[2] < RENAL_REPLACEMENT_SHARE:
        start = event.start + timedelta(days=2)
        end = min(start + timedelta(days=3), last_day - timedelta(days=1))
        clear = end + timedelta(days=CLEAR_OF_SAMPLES_DAYS)
        sampled = any(start <= sample.collected.date() <= clear for sample in subject.samples)
        if start <= end and not sampled:
            out.append(Procedure(*RENAL_REPLACEMENT, start, end, event=number))
    if event.kind.ctcae == "Hepatic failure" and _transplanted(subject):
        day = subject.end_of_study.day
        out.append(Procedure(*TRANSPLANTATION, day, day, event=number))
    return out


def find_deviations(subject: Subject) -> list[Deviation]:
    """Tell the deviations: visits by telephone, prohibited drugs."""
    out = [
        Deviation(
            category="VISIT OR ASSESSMENT",
            kind="ASSESSMENTS NOT PERFORMED",
            term=f"{visit.planned.name} made by telephone: samples and assessments not performed",
            start=visit.day,
            end=visit.day,
            important=False,
            epidemic=COVID_WAVE[0] <= visit.day <= COVID_WAVE[1],
            form="VISIT",
            number=number,
        )
        for number, visit in enumerate(subject.visits, start=1)
        if visit.mode == "TELEPHONE"
    ]
    out += [
        Deviation(
            category="CONCOMITANT MEDICATION",
            kind="PROHIBITED CONCOMITANT MEDICATION",
            term="Herbal remedy taken on the subject's own account",
            start=date.fromisoformat(course.start),
            end=date.fromisoformat(course.end) if course.end else None,
            important=True,
            epidemic=False,
            form="CONMED",
            number=number,
        )
        for number, course in enumerate(subject.medications, start=1)
        if course.drug is HERBAL
    ]
    return sorted(out, key=lambda deviation: (deviation.start, deviation.kind))
