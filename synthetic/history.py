"""What a subject brings along: conditions before consent, drinking, and the answers to the criteria."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from .streams import subject_stream

CRITERIA = (
    ("I01", "Age 18 to 60 years"),
    (
        "I02",
        "Decompensated alcoholic cirrhosis (Guidelines for liver cirrhosis; alcoholic liver disease 2018)",
    ),
    ("I03", "Previously diagnosed, treatment ineffective"),
    ("I04", "Liver function was in child Pugh grade A or MELD score < 12"),
    ("I05", "Intermittent albumin supplementation and diuretics required"),
    (
        "I06",
        (
            "Albumin < 35 g/L; total bilirubin < 10 x ULN (hepatocellular) or < 15 x ULN (cholestatic or mixed); "
            "prothrombin activity > 40 %"
        ),
    ),
    ("I07", "No gastrointestinal haemorrhage in the past month"),
    ("I08", "Informed consent"),
    ("E01", "Allergic constitution, or allergy to UCMSC or its excipients"),
    (
        "E02",
        "Acute attack of gastrointestinal bleeding, hepatic encephalopathy, hepatorenal syndrome or infection",
    ),
    ("E03", "Systemic infection or severe infection"),
    ("E04", "Hepatitis B or C virus infection"),
)
"""Codes and texts. The registry shows I01 to I08 (I04 in its words) and E01 to E03; E04 is assumed."""

FAILED_CRITERION = {
    "PROTHROMBIN ACTIVITY 40% OR LESS": "I06",
    "GI BLEEDING WITHIN 1 MONTH": "I07",
    "ACTIVE INFECTION": "E03",
    "HBV INFECTION": "E04",
    "ALBUMIN 35 G/L OR MORE": "I06",
    "WITHDREW CONSENT BEFORE ENROLMENT": "I08",
}
PROTOCOL_VERSION = "1.0"

CIRRHOSIS_HISTORY, GENERAL_HISTORY = "CIRRHOSIS HISTORY", "GENERAL MEDICAL HISTORY"


@dataclass(frozen=True)
class ConditionKind:
    """A condition that may precede the study, and its share of subjects."""

    term: str
    term_zh: str
    category: str
    share: float
    decompensation: bool = False


CIRRHOSIS = ConditionKind("Alcoholic cirrhosis", "酒精性肝硬化", CIRRHOSIS_HISTORY, 1.0)
ASCITES = ConditionKind("Ascites", "腹水", CIRRHOSIS_HISTORY, 0.85, True)
ENCEPHALOPATHY = ConditionKind("Hepatic encephalopathy", "肝性脑病", CIRRHOSIS_HISTORY, 0.18, True)
BLEEDING = ConditionKind("Oesophageal variceal bleeding", "食管静脉曲张破裂出血", CIRRHOSIS_HISTORY, 0.25, True)
PERITONITIS = ConditionKind("Spontaneous bacterial peritonitis", "自发性细菌性腹膜炎", CIRRHOSIS_HISTORY, 0.12, True)
VARICES = ConditionKind("Oesophageal varices", "食管静脉曲张", CIRRHOSIS_HISTORY, 0.55)
SPLENOMEGALY = ConditionKind("Splenomegaly", "脾大", CIRRHOSIS_HISTORY, 0.7)
HYPERTENSION = ConditionKind("Hypertension", "高血压", GENERAL_HISTORY, 0.18)
DIABETES = ConditionKind("Type 2 diabetes mellitus", "2型糖尿病", GENERAL_HISTORY, 0.18)
GALLSTONES = ConditionKind("Cholelithiasis", "胆石症", GENERAL_HISTORY, 0.14)

CONDITIONS = (
    CIRRHOSIS,
    ASCITES,
    ENCEPHALOPATHY,
    BLEEDING,
    PERITONITIS,
    VARICES,
    SPLENOMEGALY,
    HYPERTENSION,
    DIABETES,
    GALLSTONES,
)
"""In the order of their draws: append only."""

DRINKS = ("SPIRITS", "BEER", "MIXED")


@dataclass(frozen=True)
class Condition:
    """One condition: months (``YYYY-MM``) of start and end; no end while it lasts."""

    kind: ConditionKind
    start: str
    end: str | None


@dataclass(frozen=True)
class Drinking:
    """One period of drinking, as told on ``asked`` at ``visit``; dates as far as known, no end while it lasts."""

    asked: date
    visit: str
    period: str
    drink: str
    grams_per_day: int
    start: str
    end: str | None


def month_before(day: date, months: int) -> str:
    """Return ``YYYY-MM``, ``months`` calendar months before the month of ``day``."""
    number = day.year * 12 + day.month - 1 - months
    return f"{number // 12:04d}-{number % 12 + 1:02d}"


def simulate_history(
    seed: int, serial: int, *, consent: date, failure: str | None, ascites: bool, encephalopathy: bool
) -> list[Condition]:
    """Draw the conditions before consent; ``ascites`` and ``encephalopathy`` are those found at screening.

    An episode ended two calendar months before consent at the latest, but for the recent bleeding of a
    screen failure.
    """
    draws = subject_stream(seed, serial, "history").random((32, 4))
    known_for = 6 + int(draws[0, 1] * 54)
    recent_bleeding = failure == "GI BLEEDING WITHIN 1 MONTH"
    held = {
        kind
        for kind, draw in zip(CONDITIONS, draws, strict=False)
        if draw[0] < kind.share
        or (kind is ASCITES and ascites)
        or (kind is ENCEPHALOPATHY and encephalopathy)
        or (kind is BLEEDING and recent_bleeding)
    }
    if not any(kind.decompensation for kind in held):
        held.add(ASCITES)
    if BLEEDING in held:
        held.add(VARICES)
    out: list[Condition] = []
    for kind, draw in zip(CONDITIONS, draws, strict=False):
        if kind not in held:
            continue
        if kind is CIRRHOSIS:
            out.append(Condition(kind, month_before(consent, known_for), None))
        elif kind.category == GENERAL_HISTORY:
            out.append(Condition(kind, month_before(consent, 12 + int(draw[1] * 130)), None))
        elif kind.decompensation:
            back = 4 + int(draw[1] * (known_for - 4))
            lasts = {ASCITES: ascites, ENCEPHALOPATHY: encephalopathy}.get(kind, False)
            if kind is BLEEDING and recent_bleeding:
                recent = (consent - timedelta(days=12)).isoformat()[:7]
                out.append(Condition(kind, recent, recent))
            else:
                end = None if lasts else month_before(consent, max(2, back - 1 - int(draw[2] * 2)))
                out.append(Condition(kind, month_before(consent, back), end))
        else:
            out.append(Condition(kind, month_before(consent, 3 + int(draw[1] * (known_for - 2))), None))
    return sorted(out, key=lambda condition: (condition.start, CONDITIONS.index(condition.kind)))


def simulate_drinking(
    seed: int,
    serial: int,
    *,
    age: int,
    screened: date,
    consent: date,
    drank_last_year: bool,
    relapse: date | None,
    interviews: Sequence[tuple[date, str]],
) -> list[Drinking]:
    """Draw the drinking history, and the relapse where an interview (day, visit) after it found it."""
    draws = subject_stream(seed, serial, "drinking").random(8)
    since = age - min(18 + int(draws[0] * 8), age - 10)
    abstinent = 2 + int(draws[1] * 10) if drank_last_year else 12 + int(draws[1] * 25)
    drink = DRINKS[int(np.searchsorted((0.7, 0.85), draws[2]))]
    history = Drinking(
        asked=screened,
        visit="SCREENING",
        period="HISTORY",
        drink=drink,
        grams_per_day=80 + 10 * int(draws[3] * 13),
        start=str(consent.year - since),
        end=month_before(consent, abstinent),
    )
    found = [told for told in interviews if relapse is not None and told[0] >= relapse]
    if relapse is None or not found:
        return [history]
    again = Drinking(
        asked=found[0][0],
        visit=found[0][1],
        period="RELAPSE",
        drink=drink,
        grams_per_day=20 + 10 * int(draws[4] * 6),
        start=relapse.isoformat(),
        end=None,
    )
    return [history, again]
