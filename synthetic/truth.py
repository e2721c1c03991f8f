"""Tables of what was simulated and is in the extract, for end-to-end tests; never part of a delivery."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from datetime import datetime

from .edc import Table, adverse_event_id, iso, yes
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
            if adverse_event_id(subject, number) not in known:
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
        Table("form_counts.csv", ("form", "file", "rows"), counts),
    ]


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
