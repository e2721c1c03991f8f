"""What the simulated protocol prescribes: dose groups, gates, visits and windows.

The registry record of NCT05155657 gives three groups of twelve, the 21-day observation and the visits 1, 3,
6 and 12 months after the last administration. The rest (calendar, three infusions four weeks apart,
windows) is assumed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

STUDY = "ucmsc_dac"
SITE = "01"
LABEL = "SYNTHETIC - NOT PATIENT DATA"

BLOCK_SIZE = 48
"""Screened subjects of one complete study."""
SCREENED_PER_COHORT = 16
DOSED_PER_COHORT = 12
OBSERVATION_DAYS = 21
"""Days each subject of a dose group is watched before the next group may start."""
REPEAT_INTERVAL_DAYS = 28
MAX_DOSES = 3
RELEASE_VIABILITY_PCT = 80.0


@dataclass(frozen=True)
class Cohort:
    """One dose group: ``dose`` in 10^6 cells/kg, first infusions from ``first`` to ``last``."""

    name: str
    dose: float
    opened: date
    first: date
    last: date
    dsmb_cutoff: date
    dsmb_meeting: date
    dsmb_outcome: str


COHORTS = (
    Cohort(
        name="C1",
        dose=0.5,
        opened=date(2022, 6, 13),
        first=date(2022, 6, 20),
        last=date(2022, 10, 20),
        dsmb_cutoff=date(2022, 11, 10),
        dsmb_meeting=date(2022, 11, 18),
        dsmb_outcome="ESCALATE",
    ),
    Cohort(
        name="C2",
        dose=1.0,
        opened=date(2022, 11, 21),
        first=date(2022, 11, 24),
        last=date(2023, 3, 28),
        dsmb_cutoff=date(2023, 4, 20),
        dsmb_meeting=date(2023, 4, 27),
        dsmb_outcome="ESCALATE",
    ),
    Cohort(
        name="C3",
        dose=2.0,
        opened=date(2023, 4, 28),
        first=date(2023, 5, 8),
        last=date(2023, 10, 10),
        dsmb_cutoff=date(2023, 11, 3),
        dsmb_meeting=date(2023, 11, 16),
        dsmb_outcome="REPEAT",
    ),
)

LAST_MONTH_12 = date(2024, 12, 20)
"""Latest Month 12 visit; the registry's completion date is 2024-12-25."""

COVID_WAVE = (date(2022, 12, 7), date(2023, 1, 31))


@dataclass(frozen=True)
class PlannedVisit:
    """A planned visit: ``low`` to ``high`` days after the FIRST, PREVIOUS or LAST dose (``anchor``)."""

    num: int
    name: str
    anchor: str
    low: int
    high: int
    slot: int
    panels: str
    scores: bool = False
    auditc: bool = False


ALL_PANELS = "BNCHTI"
NO_TUMOUR = "BNCHI"
"""Panel letters: B chemistry, N ammonia, C coagulation, H haematology, T tumour marker, I inflammation."""

VISITS = (
    PlannedVisit(1, "SCREENING", "FIRST", -28, -1, 0, ALL_PANELS, scores=True, auditc=True),
    PlannedVisit(2, "DAY 1", "FIRST", 0, 0, 1, NO_TUMOUR, scores=True),
    PlannedVisit(3, "DAY 2", "FIRST", 1, 1, 2, "BH"),
    PlannedVisit(4, "DAY 8", "FIRST", 5, 9, 3, NO_TUMOUR),
    PlannedVisit(5, "DAY 15", "FIRST", 12, 16, 4, NO_TUMOUR),
    PlannedVisit(6, "DAY 22", "FIRST", 21, 24, 5, NO_TUMOUR, scores=True),
    PlannedVisit(7, "REPEAT DOSE 2", "PREVIOUS", 25, 31, 6, NO_TUMOUR, scores=True),
    PlannedVisit(8, "REPEAT DOSE 3", "PREVIOUS", 25, 31, 7, NO_TUMOUR, scores=True),
    PlannedVisit(10, "MONTH 1", "LAST", 26, 37, 8, NO_TUMOUR, scores=True),
    PlannedVisit(11, "MONTH 3", "LAST", 77, 105, 9, ALL_PANELS, scores=True, auditc=True),
    PlannedVisit(12, "MONTH 6", "LAST", 161, 203, 10, ALL_PANELS, scores=True, auditc=True),
    PlannedVisit(13, "MONTH 12", "LAST", 335, 395, 11, ALL_PANELS, scores=True, auditc=True),
    PlannedVisit(90, "EARLY TERMINATION", "LAST", 0, 395, 12, ALL_PANELS, scores=True),
)

SLOTS = 16
"""Draws reserved per subject and analyte, one per visit slot; three are spare."""

VISIT_BY_NAME = {visit.name: visit for visit in VISITS}
DOSE_VISITS = ("DAY 1", "REPEAT DOSE 2", "REPEAT DOSE 3")
FOLLOW_UP_VISITS = ("MONTH 1", "MONTH 3", "MONTH 6", "MONTH 12")
TARGETS = {"MONTH 1": 30, "MONTH 3": 91, "MONTH 6": 182, "MONTH 12": 365}
