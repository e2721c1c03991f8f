"""Writes the world as EDC forms: one table per form, as text, in the columns documented in README.md."""

from __future__ import annotations

import csv
import io
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from .adverse_events import FATAL, AdverseEvent
from .protocol import LABEL, SITE
from .scores import KPS_TEXT
from .world import Decision, Subject, World

HEAD = ("form_oid", "record_id", "subj", "visit", "page_status", "entered_ts", "modified_ts", "deleted_flag")
TAIL = ("data_label",)

FORMS: dict[str, tuple[str, ...]] = {
    "DM": ("site", "mrn", "brthym", "age", "sex", "ethnic_cn", "nationality", "scrn_cohort"),
    "IC": ("icdat", "ictim", "icver", "icverdat"),
    "ENROL": ("elig_yn", "eligdat", "enrdat", "cohort", "sfdat", "sfreas"),
    "VISIT": ("visitnum", "svstdat", "svendat", "svoccur", "svreasoc", "svcntmod"),
    "VITALS": (
        "vsdat", "vstim", "vstpt", "height_cm", "weight_kg", "temp_c", "sysbp", "diabp", "pulse",
        "resp",
    ),
    "DOSE": (
        "dose_no", "dose_planned", "dose_planned_u", "given", "reas_not_given", "weight_used",
        "cells_total", "volume_ml", "viability_pct", "lot", "infstdtm", "infendtm", "interrupt_min",
        "adj_reason",
    ),
    "AE": (
        "aeterm", "aeterm_zh", "ctcae_term", "soc", "aetoxgr", "aestdat", "aesttim", "aeendat",
        "aeongo", "aeser", "aesdth", "aeslife", "aeshosp", "aesdisab", "aescong", "aesmie", "aerel",
        "aerelnst", "aeacn", "aeout", "aedlt", "aecontrt",
    ),
    "CHILDPUGH": (
        "cpdat", "he_txt", "he_pts", "asc_txt", "asc_pts", "bili_txt", "bili_pts", "alb_txt", "alb_pts",
        "inr_txt", "inr_pts", "cp_total", "cp_class",
    ),
    "KPS": ("kpsdat", "kps_score", "kps_txt"),
    "HE": ("hedat", "he_grade"),
    "MELD": ("melddat", "meld_score"),
    "AUDITC": ("acdat", "ac_q1", "ac_q2", "ac_q3"),
    "EOT": ("eotdat", "eot_status", "eot_reason", "n_doses"),
    "EOS": ("eosdat", "eos_status", "eos_reason", "lastcontdat", "n_attempts"),
    "DEATH": ("dthdat", "dthcat", "dthcause", "dthcause_zh", "dthloc", "autopsy"),
    "DSMB": ("scope", "cohort", "meetdat", "cutoffdat", "outcome", "n_observed21", "n_dlt"),
}  # fmt: skip
"""Columns of each form between the common head and tail."""

MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
VERIFIED_AFTER_DAYS = 30
CONSENT_VERSIONS = ((date(2023, 1, 1), "V1.1", date(2022, 12, 15)), (date.min, "V1.0", date(2022, 5, 20)))


@dataclass(frozen=True)
class Record:
    """One page of one form: when it was entered and last changed, and its values as text."""

    form: str
    record_id: str
    subj: str
    visit: str
    entered: datetime
    modified: datetime
    values: tuple[str, ...]


@dataclass
class Table:
    """A file's content as text, ready to be written or altered: the layer where later versions lay faults."""

    name: str
    columns: tuple[str, ...]
    rows: list[list[str]]


def day_text(day: date | None) -> str:
    """Return ``13JUN2022``, or an empty string."""
    return "" if day is None else f"{day.day:02d}{MONTHS[day.month - 1]}{day.year:04d}"


def iso(day: date | None) -> str:
    """Return ``2022-06-13``, or an empty string."""
    return "" if day is None else day.isoformat()


def clock(moment: datetime | None) -> str:
    """Return ``08:05``, or an empty string."""
    return "" if moment is None else f"{moment.hour:02d}:{moment.minute:02d}"


def minute(moment: datetime) -> str:
    """Return ``2022-06-20 09:30``."""
    return f"{moment.date().isoformat()} {clock(moment)}"


def yes(value: bool) -> str:
    """Return ``Y`` or ``N``."""
    return "Y" if value else "N"


def entry_time(record_id: str, day: date) -> datetime:
    """When a page about ``day`` was entered: one to three days later, settled by the record id alone."""
    code = zlib.crc32(record_id.encode("ascii"))
    at = time(13 + (code >> 4) % 5, (code >> 8) % 60, (code >> 16) % 60)
    return datetime.combine(day + timedelta(days=1 + code % 3), at)


def _page(form: str, subject: Subject, number: int, visit: str, day: date, *values: object) -> Record:
    record_id = f"{form}-{subject.subj}-{number:02d}"
    entered = entry_time(record_id, day)
    text = tuple("" if value is None else str(value) for value in values)
    return Record(form, record_id, subject.subj, visit, entered, entered, text)


def _demography(subject: Subject) -> Iterator[Record]:
    day = subject.consented.date()
    yield _page(
        "DM",
        subject,
        1,
        "SCREENING",
        day,
        SITE,
        subject.mrn,
        subject.birth.isoformat()[:7],
        subject.age,
        "Female" if subject.female else "Male",
        subject.ethnic,
        "China",
        subject.cohort,
    )


def _consent(subject: Subject) -> Iterator[Record]:
    day = subject.consented.date()
    version, dated = next((name, dated) for since, name, dated in CONSENT_VERSIONS if day >= since)
    yield _page("IC", subject, 1, "SCREENING", day, day_text(day), clock(subject.consented), version, iso(dated))


def _enrolment(subject: Subject) -> Iterator[Record]:
    failed = None if subject.enrolled else subject.screened + timedelta(days=1)
    yield _page(
        "ENROL",
        subject,
        1,
        "SCREENING",
        subject.enrolled or failed or subject.screened,
        yes(subject.eligible is not None),
        day_text(subject.eligible),
        day_text(subject.enrolled),
        subject.cohort if subject.enrolled else "",
        day_text(failed),
        subject.plan.failure,
    )


def _visits(subject: Subject) -> Iterator[Record]:
    for number, visit in enumerate(subject.visits, start=1):
        last = visit.day if visit.occurred else None
        yield _page(
            "VISIT",
            subject,
            number,
            visit.planned.name,
            visit.day,
            visit.planned.num,
            iso(visit.start),
            iso(last),
            yes(visit.occurred),
            visit.reason,
            visit.mode,
        )


def _vitals(subject: Subject) -> Iterator[Record]:
    for number, vital in enumerate(subject.vitals, start=1):
        yield _page(
            "VITALS",
            subject,
            number,
            vital.visit,
            vital.at.date(),
            day_text(vital.at.date()),
            clock(vital.at),
            vital.point,
            vital.height,
            vital.weight,
            vital.temperature,
            vital.systolic,
            vital.diastolic,
            vital.pulse,
            vital.respiration,
        )


def _doses(subject: Subject) -> Iterator[Record]:
    for dose in subject.doses:
        given: tuple[object, ...] = ("",) * 9
        if dose.start is not None and dose.end is not None:
            given = (
                f"{dose.weight:.1f}",
                f"{dose.cells:.1f}",
                dose.volume,
                f"{dose.viability:.1f}",
                dose.lot,
                minute(dose.start),
                minute(dose.end),
                dose.interrupted,
                dose.adjustment,
            )
        yield _page(
            "DOSE",
            subject,
            dose.number,
            dose.visit,
            dose.day,
            dose.number,
            dose.planned,
            "10^6 cells/kg",
            yes(dose.start is not None),
            dose.reason,
            *given,
        )


def adverse_event_id(subject: Subject, number: int) -> str:
    """Record id of a subject's event, numbered from 1 in order of onset."""
    return f"AE-{subject.subj}-{number:02d}"


def _events(subject: Subject, extracted: datetime) -> Iterator[Record]:
    for number, event in enumerate(subject.events, start=1):
        record_id = adverse_event_id(subject, number)
        entered = entry_time(record_id, event.start)
        closed = max(entered, entry_time(f"{record_id}-END", event.end)) if event.end else None
        known = closed is not None and closed <= extracted
        modified = closed if known and closed is not None else entered
        yield Record("AE", record_id, subject.subj, "", entered, modified, _event_values(event, known))


def _event_values(event: AdverseEvent, known: bool) -> tuple[str, ...]:
    """Values of an event; until its end is known it is ongoing and not yet fatal."""
    outcome = event.outcome if known else "NOT RECOVERED/NOT RESOLVED"
    fatal = outcome == FATAL
    grade = event.grade if fatal else min(event.grade, 4)
    return (
        event.kind.term,
        event.kind.term_zh,
        event.kind.ctcae,
        event.kind.soc,
        str(grade),
        day_text(event.start),
        clock(event.moment),
        day_text(event.end if known else None),
        yes(not known),
        yes(event.serious),
        yes(fatal),
        yes(event.serious and grade == 4),
        yes(event.serious),
        "N",
        "N",
        "N",
        event.causality,
        event.causality_routine,
        event.action,
        outcome,
        yes(event.dlt),
        yes(event.treated),
    )


def _assessments(subject: Subject) -> Iterator[Record]:
    for number, score in enumerate(subject.assessments, start=1):
        items = [part for text, points in score.items for part in (text, points)]
        at = (subject, number, score.visit, score.day, iso(score.day))
        yield _page("CHILDPUGH", *at, *items, score.total, score.grade)
        yield _page("KPS", *at, score.karnofsky, KPS_TEXT[score.karnofsky])
        yield _page("HE", *at, f"GRADE {score.west_haven}")
        yield _page("MELD", *at, score.meld)


def _auditc(subject: Subject) -> Iterator[Record]:
    for number, form in enumerate(subject.auditc, start=1):
        yield _page("AUDITC", subject, number, form.visit, form.day, day_text(form.day), *form.items)


def _endings(subject: Subject) -> Iterator[Record]:
    treatment, study = subject.end_of_treatment, subject.end_of_study
    if treatment is not None:
        yield _page(
            "EOT",
            subject,
            1,
            "",
            treatment.day,
            iso(treatment.day),
            treatment.status,
            treatment.reason,
            len(subject.given),
        )
    if study is not None:
        yield _page(
            "EOS",
            subject,
            1,
            "",
            study.day,
            iso(study.day),
            study.status,
            study.reason,
            iso(study.last_contact),
            study.attempts,
        )
    if subject.death is not None:
        fatal = next(event for event in subject.events if event.outcome == FATAL)
        place = "HOME" if fatal.kind.ctcae.startswith("Neoplasms") else "HOSPITAL"
        yield _page(
            "DEATH",
            subject,
            1,
            "",
            subject.death,
            iso(subject.death),
            fatal.category,
            fatal.kind.term,
            fatal.kind.term_zh,
            place,
            "N",
        )


def _decision(decision: Decision) -> Record:
    entered = entry_time(decision.record, decision.meeting - timedelta(days=1))
    values = (
        decision.scope,
        decision.cohort,
        iso(decision.meeting),
        iso(decision.cutoff),
        decision.outcome,
        str(decision.observed),
        str(decision.toxicities),
    )
    return Record("DSMB", decision.record, decision.subj, "", entered, entered, values)


SUBJECT_FORMS: tuple[Callable[[Subject], Iterator[Record]], ...] = (
    _demography,
    _consent,
    _enrolment,
    _visits,
    _vitals,
    _doses,
    _assessments,
    _auditc,
    _endings,
)


def records(world: World, extracted: datetime) -> Iterator[Record]:
    """Yield every page entered at or before the extract time, subject by subject."""
    pages = [_decision(decision) for decision in world.decisions]
    yield from (page for page in pages if page.entered <= extracted)
    for subject in world.subjects:
        for form in SUBJECT_FORMS:
            yield from (page for page in form(subject) if page.entered <= extracted)
        yield from (page for page in _events(subject, extracted) if page.entered <= extracted)
        if subject.decision is not None:
            page = _decision(subject.decision)
            if page.entered <= extracted:
                yield page


def build_forms(world: World, extracted: datetime) -> dict[str, Table]:
    """Return every form as a table of text, in the order of ``FORMS``; a form without records has no rows."""
    stamp = f"{extracted:%Y%m%dT%H%M}"
    tables = {form: Table(f"UCMSC_{form}_{stamp}.csv", HEAD + columns + TAIL, []) for form, columns in FORMS.items()}
    verified = extracted - timedelta(days=VERIFIED_AFTER_DAYS)
    for page in records(world, extracted):
        status = "VERIFIED" if page.modified <= verified else "COMPLETE"
        head = [page.form, page.record_id, page.subj, page.visit, status]
        stamps = [page.entered.isoformat(), page.modified.isoformat(), "N"]
        tables[page.form].rows.append([*head, *stamps, *page.values, LABEL])
    return tables


def csv_bytes(table: Table) -> bytes:
    """Return the file's bytes: UTF-8 with BOM, comma, CRLF, quotes only where needed."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(table.columns)
    writer.writerows(table.rows)
    return b"\xef\xbb\xbf" + text.getvalue().encode("utf-8")
