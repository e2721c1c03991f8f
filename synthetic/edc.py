"""Writes the world as EDC forms: one table per form, as text, in the columns documented in README.md."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta

from .adverse_events import FATAL, AdverseEvent
from .care_forms import EventState, care_pages, certificate_pages, event_state
from .pages import Record, Table, clock, day_text, entry_time, iso, minute, page, record_key, yes
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
    "ELIG": ("iedat", "iecat", "iecode", "ietext", "ieresp", "iever"),
    "MH": ("mhterm", "mhterm_zh", "mhcat", "mhevdtyp", "mhdecomp", "mhstdat", "mhendat", "mhongo"),
    "ALCOHOL": ("alcdat", "alcper", "alctype", "alcgday", "alcfreq", "alcstdat", "alcendat", "alcongo"),
    "COA": (
        "lot", "coano", "donorid", "passage", "cryo", "mfgdtm", "reldtm", "expdtm", "viab_pct",
        "viab_limit", "endotoxin", "sterility", "mycoplasma", "identity", "released",
    ),
    "SAE": (
        "saeno", "ae_no", "saeterm", "saestdat", "saegr", "saerel", "saerelnst", "saeout", "saeendat",
        "saesdth", "saeslife", "saeshosp", "saesdisab", "saescong", "saesmie", "saeawdtm", "saerepdtm",
        "reptype",
    ),
    "CONMED": (
        "cmtrt", "cmtrt_zh", "cmcat", "cmindc", "cmae_no", "cmmh_no", "cmdose", "cmdosu", "cmdosfrq",
        "cmroute", "cmstdat", "cmsttim", "cmendat", "cmongo",
    ),
    "PROC": ("prtrt", "prtrt_zh", "prcat", "prindc", "prae_no", "prmh_no", "prstdat", "prendat", "prvol_ml"),
    "LABEDC": ("lbdat", "lbtim", "lbitem", "lbtest", "lbval", "lbunit", "lbclsig"),
    "DV": ("dvcat", "dvdecod", "dvterm", "dvstdat", "dvendat", "dvimp", "dvepi", "dvref"),
}  # fmt: skip
"""Columns of each form between the common head and tail."""

VERIFIED_AFTER_DAYS = 30
CONSENT_VERSIONS = ((date(2023, 1, 1), "V1.1", date(2022, 12, 15)), (date.min, "V1.0", date(2022, 5, 20)))


def _demography(subject: Subject) -> Iterator[Record]:
    day = subject.consented.date()
    yield page(
        "DM",
        subject.subj,
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
    yield page("IC", subject.subj, 1, "SCREENING", day, day_text(day), clock(subject.consented), version, iso(dated))


def _enrolment(subject: Subject) -> Iterator[Record]:
    failed = None if subject.enrolled else subject.screened + timedelta(days=1)
    yield page(
        "ENROL",
        subject.subj,
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
        yield page(
            "VISIT",
            subject.subj,
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
        yield page(
            "VITALS",
            subject.subj,
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
        yield page(
            "DOSE",
            subject.subj,
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


def _events(subject: Subject, extracted: datetime) -> Iterator[Record]:
    for number, event in enumerate(subject.events, start=1):
        state = event_state(subject, number, extracted)
        key = record_key("AE", subject.subj, number)
        yield Record("AE", key, subject.subj, "", state.entered, state.modified, _event_values(event, state))


def _event_values(event: AdverseEvent, state: EventState) -> tuple[str, ...]:
    return (
        event.kind.term,
        event.kind.term_zh,
        event.kind.ctcae,
        event.kind.soc,
        str(state.grade),
        day_text(event.start),
        clock(event.moment),
        day_text(state.end),
        yes(not state.closed),
        yes(event.serious),
        *state.seriousness,
        event.causality,
        event.causality_routine,
        event.action,
        state.outcome,
        yes(event.dlt),
        yes(event.treated),
    )


def _assessments(subject: Subject) -> Iterator[Record]:
    for number, score in enumerate(subject.assessments, start=1):
        items = [part for text, points in score.items for part in (text, points)]
        at = (subject.subj, number, score.visit, score.day, iso(score.day))
        yield page("CHILDPUGH", *at, *items, score.total, score.grade)
        yield page("KPS", *at, score.karnofsky, KPS_TEXT[score.karnofsky])
        yield page("HE", *at, f"GRADE {score.west_haven}")
        yield page("MELD", *at, score.meld)


def _auditc(subject: Subject) -> Iterator[Record]:
    for number, form in enumerate(subject.auditc, start=1):
        yield page("AUDITC", subject.subj, number, form.visit, form.day, day_text(form.day), *form.items)


def _endings(subject: Subject) -> Iterator[Record]:
    treatment, study = subject.end_of_treatment, subject.end_of_study
    if treatment is not None:
        yield page(
            "EOT",
            subject.subj,
            1,
            "",
            treatment.day,
            iso(treatment.day),
            treatment.status,
            treatment.reason,
            len(subject.given),
        )
    if study is not None:
        yield page(
            "EOS",
            subject.subj,
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
        yield page(
            "DEATH",
            subject.subj,
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
    yield from (one for one in _all_records(world, extracted) if one.entered <= extracted)


def _all_records(world: World, extracted: datetime) -> Iterator[Record]:
    yield from (_decision(decision) for decision in world.decisions)
    yield from certificate_pages(world)
    for subject in world.subjects:
        for form in SUBJECT_FORMS:
            yield from form(subject)
        yield from _events(subject, extracted)
        yield from care_pages(subject, extracted)
        if subject.decision is not None:
            yield _decision(subject.decision)


def build_forms(world: World, extracted: datetime) -> dict[str, Table]:
    """Return every form as a table of text, in the order of ``FORMS``; a form without records has no rows."""
    stamp = f"{extracted:%Y%m%dT%H%M}"
    tables = {form: Table(f"UCMSC_{form}_{stamp}.csv", HEAD + columns + TAIL, []) for form, columns in FORMS.items()}
    verified = extracted - timedelta(days=VERIFIED_AFTER_DAYS)
    for one in records(world, extracted):
        status = "VERIFIED" if one.modified <= verified else "COMPLETE"
        head = [one.form, one.record_id, one.subj, one.visit, status]
        stamps = [one.entered.isoformat(), one.modified.isoformat(), "N"]
        tables[one.form].rows.append([*head, *stamps, *one.values, LABEL])
    return tables
