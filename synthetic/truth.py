"""Tables of what was simulated and is in the extract, for end-to-end tests; never part of a delivery."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Mapping
from datetime import datetime

from .care_forms import case_number, lots_of, report_times
from .history import CRITERIA, FAILED_CRITERION
from .pages import Table, iso, record_key, yes
from .world import Dose, Subject, World


def _stamp(moment: datetime | None) -> str:
    return "" if moment is None else moment.isoformat(timespec="minutes")


def _ids(forms: Mapping[str, Table]) -> set[str]:
    return {row[1] for table in forms.values() for row in table.rows}


def _given(subject: Subject, known: set[str]) -> list[Dose]:
    return [dose for dose in subject.given if f"DOSE-{subject.subj}-{dose.number:02d}" in known]


def build_truth(world: World, forms: Mapping[str, Table], lis: Table) -> list[Table]:
    """Return the truth tables, limited to records that are in the given extract."""
    known = _ids(forms)
    people = [subject for subject in world.subjects if f"DM-{subject.subj}-01" in known]
    subjects: list[list[str]] = []
    doses: list[list[str]] = []
    deaths: list[list[str]] = []
    toxicities: list[list[str]] = []
    for subject in people:
        subj, given = subject.subj, _given(subject, known)
        enrolment = f"ENROL-{subj}-01" in known
        ended = subject.end_of_study if f"EOS-{subj}-01" in known else None
        dead = subject.death if f"DEATH-{subj}-01" in known else None
        subjects.append(
            [
                subj,
                "Y",
                subject.cohort,
                subject.cohort if enrolment and subject.enrolled else "",
                yes(bool(given)),
                str(len(given)),
                _stamp(given[0].start if given else None),
                _stamp(given[-1].start if given else None),
                iso(subject.consented.date()),
                (subject.plan.failure or "") if enrolment else "",
                iso(dead),
                iso(ended.day if ended else None),
                ended.status if ended else "",
                ended.reason if ended else "",
            ]
        )
        for dose in given:
            row = [subj, str(dose.number), _stamp(dose.start), f"{dose.weight:.1f}", f"{dose.cells:.1f}"]
            doses.append([*row, f"{dose.cells / dose.weight:.3f}"])
        for number, event in enumerate(subject.events, start=1):
            if record_key("AE", subject.subj, number) not in known:
                continue
            if event.dlt:
                elapsed = (event.start - subject.given[0].day).days
                row = [subj, subject.cohort, event.kind.ctcae, str(event.grade), iso(event.start)]
                toxicities.append([*row, str(elapsed + 1)])
            if event.category and dead is not None:
                after = (dead - subject.given[-1].day).days
                deaths.append([subj, iso(dead), event.category, event.kind.term, str(after)])
    decisions = [*world.decisions, *(subject.decision for subject in people if subject.decision)]
    counts = [[form, table.name, str(len(table.rows))] for form, table in [*forms.items(), ("LIS", lis)]]
    return [
        Table("subjects.csv", SUBJECTS, subjects),
        Table("doses.csv", ("subj", "dose_no", "start", "weight_kg", "cells_total", "dose_per_kg"), doses),
        Table("deaths.csv", ("subj", "death_date", "category", "cause", "days_from_last_dose"), deaths),
        Table("dlt.csv", ("subj", "cohort", "ctcae_term", "grade", "start", "day_from_first_dose"), toxicities),
        Table(
            "dsmb_decisions.csv",
            DECISIONS,
            [
                [
                    item.record,
                    item.scope,
                    item.cohort,
                    item.subj,
                    iso(item.meeting),
                    iso(item.cutoff),
                    item.outcome,
                    str(item.observed),
                    str(item.toxicities),
                ]
                for item in decisions
                if item.record in known
            ],
        ),
        *_care_truth(world, people, known),
        Table("form_counts.csv", ("form", "file", "rows"), counts),
    ]


def _care_truth(world: World, people: list[Subject], known: set[str]) -> list[Table]:
    """Tables of criteria not met, serious events, treatments, procedures, deviations, relapses and lots."""
    tables = {name: Table(f"{name}.csv", columns, []) for name, columns in CARE.items()}

    def add(table: str, record: str, *values: object) -> None:
        if record in known:
            tables[table].rows.append([record, *("" if value is None else str(value) for value in values)])

    for subject in people:
        subj = subject.subj
        failed = FAILED_CRITERION.get(subject.plan.failure or "")
        for number, (code, _) in enumerate(CRITERIA, start=1):
            if code == failed:
                add("criteria_not_met", record_key("ELIG", subj, number), subj, code)
        serious = [number for number, event in enumerate(subject.events, start=1) if event.serious]
        for case, number in enumerate(serious, start=1):
            aware, reported = report_times(subject, number)
            hours = f"{(reported - aware).total_seconds() / 3600:.2f}"
            event = record_key("AE", subj, number)
            add("serious_events", record_key("SAE", subj, case), subj, case_number(subject, case), event, hours)
        for number, course in enumerate(subject.medications, start=1):
            if course.event:
                event = record_key("AE", subj, course.event)
                add("treatments", record_key("CONMED", subj, number), subj, event, course.drug.name)
        for number, done in enumerate(subject.procedures, start=1):
            event = record_key("AE", subj, done.event) if done.event else ""
            add("procedures", record_key("PROC", subj, number), subj, done.category, iso(done.start), event)
        for number, deviation in enumerate(subject.deviations, start=1):
            about = record_key(deviation.form, subj, deviation.number)
            add("deviations", record_key("DV", subj, number), subj, deviation.kind, yes(deviation.important), about)
        for number, told in enumerate(subject.drinking, start=1):
            if told.period == "RELAPSE":
                add("relapses", record_key("ALCOHOL", subj, number), subj, told.start, told.visit)
    infused = Counter(dose.lot for subject in people for dose in _given(subject, known))
    for lot in lots_of(world):
        add("lots", f"COA-{lot}", lot, infused[lot])
    return list(tables.values())


CARE = {
    "criteria_not_met": ("record_id", "subj", "criterion"),
    "serious_events": ("record_id", "subj", "case_number", "ae_record_id", "hours_to_report"),
    "treatments": ("record_id", "subj", "ae_record_id", "drug"),
    "procedures": ("record_id", "subj", "category", "start", "ae_record_id"),
    "deviations": ("record_id", "subj", "kind", "important", "about_record_id"),
    "relapses": ("record_id", "subj", "relapse", "found_at"),
    "lots": ("record_id", "lot", "infusions"),
}
"""Columns of the tables about care and safety, by name."""

SUBJECTS = (
    "subj",
    "screened",
    "scrn_cohort",
    "cohort",
    "dosed",
    "n_doses",
    "first_dose",
    "last_dose",
    "consent",
    "screen_failure_reason",
    "death_date",
    "eos_date",
    "eos_status",
    "eos_reason",
)
DECISIONS = (
    "decision_id",
    "scope",
    "cohort",
    "subj",
    "meeting_date",
    "data_cutoff",
    "outcome",
    "n_observed21",
    "n_dlt",
)


def truth_bytes(table: Table) -> bytes:
    """Return the file's bytes: UTF-8, comma, LF."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.columns)
    writer.writerows(table.rows)
    return text.getvalue().encode("utf-8")
