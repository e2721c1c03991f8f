"""Who is screened, dosed and when: the part of the world that concerns subjects together.

A block is one complete study of 48 screened subjects. Its counts are exact, so that group sizes, gates,
repeat doses and outcomes do not depend on luck; chance decides to whom they fall.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np

from .events import FATAL_KINDS, EventKind
from .protocol import BLOCK_SIZE, COHORTS, DOSED_PER_COHORT, SCREENED_PER_COHORT
from .streams import block_stream

SCREEN_FAILURES = (
    "PROTHROMBIN ACTIVITY 40% OR LESS",
    "GI BLEEDING WITHIN 1 MONTH",
    "ACTIVE INFECTION",
    "HBV INFECTION",
    "ALBUMIN 35 G/L OR MORE",
    "WITHDREW CONSENT BEFORE ENROLMENT",
)

STOPS = ("SUBJECT", "AE")
"""Why subjects with one infusion stop, besides the one the DSMB holds."""
STOPS_AFTER_TWO = ("AE", "SUBJECT", "SUBJECT", "PHYSICIAN")

FATES = ("DEATH",) * 6 + ("LOST",) * 2 + ("TRANSPLANT", "WITHDRAWAL")


@dataclass(frozen=True)
class SubjectPlan:
    """What is settled about a subject before it is simulated.

    ``cohort`` indexes ``COHORTS``. ``stop`` says why repeat infusions ended early, ``dlt`` the kind of
    dose-limiting toxicity (INFUSION or ALT), ``fate`` what ends participation before Month 12, ``fatal``
    the fatal event.
    """

    serial: int
    block: int
    cohort: int
    consent: date
    first_dose: date | None = None
    failure: str | None = None
    n_doses: int = 0
    stop: str | None = None
    dlt: str | None = None
    fate: str | None = None
    fatal: tuple[str, EventKind] | None = None

    @property
    def subj(self) -> str:
        """Screening number, ``1001`` for the first subject."""
        return str(1000 + self.serial)


def on_weekday(day: date) -> date:
    """Return ``day``, or the Friday before it when it falls on a weekend."""
    return day - timedelta(days=max(0, day.weekday() - 4))


def plan_block(seed: int, block: int) -> list[SubjectPlan]:
    """Return the 48 plans of a block in order of screening, without outcomes."""
    rng = block_stream(seed, block, "plan")
    plans: list[SubjectPlan] = []
    for index, cohort in enumerate(COHORTS):
        drafts: list[SubjectPlan] = []
        span = (cohort.last - cohort.first).days
        for slot in range(DOSED_PER_COHORT):
            ends = slot in (0, DOSED_PER_COHORT - 1)
            shift = 0 if ends else int(rng.integers(-3, 4))
            day = cohort.first + timedelta(days=round(span * slot / (DOSED_PER_COHORT - 1)) + shift)
            first_dose = day if ends else on_weekday(day)
            lead = int(rng.integers(5, 19))
            consent = cohort.opened if slot == 0 else max(cohort.opened, on_weekday(first_dose - timedelta(days=lead)))
            drafts.append(SubjectPlan(0, block, index, consent, first_dose))
        last_consent = max(draft.consent for draft in drafts)
        for _ in range(SCREENED_PER_COHORT - DOSED_PER_COHORT):
            offset = int(rng.integers(2, (last_consent - cohort.opened).days - 1))
            consent = max(cohort.opened, on_weekday(cohort.opened + timedelta(days=offset)))
            reason = SCREEN_FAILURES[int(rng.integers(len(SCREEN_FAILURES)))]
            drafts.append(SubjectPlan(0, block, index, consent, None, reason))
        drafts.sort(key=lambda draft: (draft.consent, draft.first_dose or date.max))
        plans += drafts
    return [replace(plan, serial=block * BLOCK_SIZE + i) for i, plan in enumerate(plans, start=1)]


def assign_outcomes(seed: int, block: int, plans: list[SubjectPlan], meld: Mapping[int, float]) -> list[SubjectPlan]:
    """Return the plans with infusions, toxicities and fates.

    Of 36 dosed subjects 29 get three infusions, four two and three one; one subject each of C2 and C3 has a
    dose-limiting toxicity, and the DSMB holds that of C2. Deaths fall with weight exp(0.12 x (MELD - 13)),
    where ``meld`` maps serial to the subject's own level.
    """
    rng = block_stream(seed, block, "fates")
    dosed = [plan.serial for plan in plans if plan.first_dose]
    by_serial = {plan.serial: replace(plan, n_doses=3) if plan.first_dose else plan for plan in plans}

    def of_cohort(index: int) -> list[int]:
        return [serial for serial in dosed if by_serial[serial].cohort == index]

    held = int(rng.choice(of_cohort(1)))
    liver = int(rng.choice(of_cohort(2)))
    by_serial[held] = replace(by_serial[held], n_doses=1, stop="DSMB", dlt="INFUSION")
    by_serial[liver] = replace(by_serial[liver], dlt="ALT")
    free = [serial for serial in dosed if serial not in (held, liver)]
    stopped = [int(serial) for serial in rng.choice(free, size=len(STOPS) + len(STOPS_AFTER_TWO), replace=False)]
    for serial, stop in zip(stopped, STOPS + STOPS_AFTER_TWO, strict=True):
        by_serial[serial] = replace(by_serial[serial], stop=stop, n_doses=1 if serial in stopped[:2] else 2)
    free = [serial for serial in free if serial not in stopped]
    weight = np.array([np.exp(0.12 * (meld[serial] - 13.0)) for serial in free])
    chosen = [int(serial) for serial in rng.choice(free, size=6, replace=False, p=weight / weight.sum())]
    rest = [serial for serial in free if serial not in chosen]
    chosen += [int(serial) for serial in rng.choice(rest, size=len(FATES) - 6, replace=False)]
    causes = [FATAL_KINDS[int(i)] for i in rng.permutation(len(FATAL_KINDS))]
    for place, (serial, fate) in enumerate(zip(chosen, FATES, strict=True)):
        fatal = causes[place] if fate == "DEATH" else None
        by_serial[serial] = replace(by_serial[serial], fate=fate, fatal=fatal)
    return [by_serial[plan.serial] for plan in plans]
