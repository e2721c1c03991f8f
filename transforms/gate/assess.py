"""The gate at a cut-off as tables: cohorts, subjects and decisions, with everything that breaches it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import pandas as pd
import pyarrow as pa

from transforms.gate.breaches import GateBreach, breaches_of
from transforms.gate.decisions import GateDecision, joined, of_form, of_log, said_of
from transforms.gate.readiness import GateCohort, GateSubject, cohorts_of, subjects_of, toxicities_of
from transforms.study import Study
from transforms.study.gate import Gate

COHORTS, SUBJECTS, DECISIONS = "gate", "gate_subjects", "gate_decisions"
LABELS = {
    COHORTS: "Readiness of Dose Cohorts",
    SUBJECTS: "Observation of Subjects in Dose Cohorts",
    DECISIONS: "Decisions on Dose Cohorts and Subjects",
}
KEYS = {COHORTS: ("cohort",), SUBJECTS: ("usubjid",), DECISIONS: ("decision_id",)}
_COHORT = {
    "cohort": (pa.string(), "Dose cohort, by its planned arm"),
    "position": (pa.int64(), "Place in the order in which cohorts are opened"),
    "planned_dose": (pa.float64(), "Planned dose"),
    "dose_unit": (pa.string(), "Unit of the planned dose"),
    "size": (pa.int64(), "Dosed subjects a cohort needs"),
    "n_assigned": (pa.int64(), "Subjects assigned"),
    "n_dosed": (pa.int64(), "Subjects dosed"),
    "n_observed": (pa.int64(), "Subjects whose observation is over"),
    "n_complete": (pa.int64(), "Subjects observed for all days"),
    "n_evaluable": (pa.int64(), "Subjects evaluable for dose-limiting toxicity"),
    "n_dlt": (pa.int64(), "Subjects with dose-limiting toxicity"),
    "ready": (pa.string(), "Y when the cohort is ready for a decision"),
    "ready_since": (pa.date32(), "Day on which it became ready"),
    "waits_for": (pa.string(), "What a cohort that is not ready waits for"),
    "decision": (pa.string(), "Outcome of the last decision on the cohort"),
    "decided_on": (pa.date32(), "Day of that decision"),
    "decided_by": (pa.string(), "Person who decided, from the decision log"),
    "recorded_in": (pa.string(), "form, log, or form and log"),
    "decision_id": (pa.string(), "Record of the form, or decision of the log"),
    "opens_next": (pa.string(), "Y when that decision opens the next cohort"),
}
_SUBJECT = {
    "cohort": (pa.string(), "Dose cohort, by its planned arm"),
    "usubjid": (pa.string(), "Unique subject identifier"),
    "dosed": (pa.string(), "Y when any dose was received"),
    "n_doses": (pa.int64(), "Doses received"),
    "first_dose": (pa.date32(), "Day of the first dose"),
    "dose": (pa.float64(), "First dose, in the unit of the gate"),
    "share_of_planned": (pa.float64(), "First dose over the planned one"),
    "observed": (pa.string(), "Y when observation is over"),
    "observed_until": (pa.date32(), "Last day of observation"),
    "observation": (pa.string(), "complete, died, left, ongoing, not dosed or date of first dose unknown"),
    "evaluable": (pa.string(), "Y when evaluable for dose-limiting toxicity"),
    "not_evaluable_because": (pa.string(), "Why the subject cannot be evaluated, or not yet"),
    "dlt": (pa.string(), "Y with a dose-limiting toxicity in the days of observation"),
    "dlt_onset": (pa.string(), "Its onset as in AE, the first of several"),
    "decision": (pa.string(), "Outcome of the last decision on the subject"),
    "decided_on": (pa.date32(), "Day of that decision"),
    "decided_by": (pa.string(), "Person who decided, from the decision log"),
    "last_record": (pa.date32(), "Last day with any record of the subject"),
}
_DECISION = {
    "decision_id": (pa.string(), "Record of the form, or decision of the log"),
    "scope": (pa.string(), "COHORT or SUBJECT"),
    "cohort": (pa.string(), "Dose cohort, by its planned arm"),
    "usubjid": (pa.string(), "Subject decided about"),
    "meeting_dt": (pa.date32(), "Day of the decision"),
    "data_cutoff_dt": (pa.date32(), "Cut-off of the data decided on"),
    "outcome": (pa.string(), "Outcome"),
    "n_observed": (pa.int64(), "Subjects observed, as recorded with the decision"),
    "n_dlt": (pa.int64(), "Subjects with dose-limiting toxicity, as recorded with the decision"),
    "recorded_in": (pa.string(), "form or log"),
    "signed_by": (pa.string(), "Person who decided, from the decision log"),
    "decision": (pa.int64(), "Number in the decision log"),
    "based_on": (pa.string(), "Snapshot the decision was based on"),
}


_DOSED, _WATCHED = ("EX.EXSTDTC",), ("EX.EXSTDTC", "DM.DTHDTC", "DM.RFENDTC")
_TOXIC = ("AE.AESTDTC",)
READS: dict[str, dict[str, tuple[str, ...]]] = {
    SUBJECTS: {
        "cohort": ("DM.ARMCD",),
        "usubjid": ("DM.USUBJID",),
        **dict.fromkeys(("dosed", "n_doses", "first_dose"), _DOSED),
        **dict.fromkeys(("dose", "share_of_planned"), ("EX.EXDOSE",)),
        **dict.fromkeys(("observed", "observed_until", "observation"), _WATCHED),
        **dict.fromkeys(("evaluable", "not_evaluable_because"), (*_WATCHED, "EX.EXDOSE", *_TOXIC)),
        **dict.fromkeys(("dlt", "dlt_onset"), _TOXIC),
    },
    COHORTS: {
        "n_assigned": ("DM.ARMCD",),
        "n_dosed": _DOSED,
        **dict.fromkeys(("n_observed", "n_complete", "ready", "ready_since", "waits_for"), _WATCHED),
        "n_evaluable": (*_WATCHED, "EX.EXDOSE", *_TOXIC),
        "n_dlt": _TOXIC,
    },
    DECISIONS: {},
}
"""The SDTM variables that a column is assessed from; the others are of gate.yml, of the form or of the decision log."""


@dataclass(frozen=True)
class MadeOf:
    """Which records of an SDTM dataset a row of a table is assessed from; both count from 0."""

    table: str
    row: int
    dataset: str
    records: tuple[int, ...]


@dataclass(frozen=True)
class Assessment:
    """The gate at a cut-off: its tables by name, what breaches it, and which records its rows are assessed from."""

    tables: Mapping[str, pa.Table]
    breaches: tuple[GateBreach, ...]
    made_of: tuple[MadeOf, ...] = ()


def said() -> Iterator[tuple[str, str, str, tuple[str, ...]]]:
    """Table, column, what the column is, and the SDTM variables it is assessed from."""
    for table, columns in ((COHORTS, _COHORT), (SUBJECTS, _SUBJECT), (DECISIONS, _DECISION)):
        for column, (_, label) in columns.items():
            yield table.upper(), column, label, READS[table].get(column, ())


def assess(
    study: Study,
    frames: Mapping[str, pd.DataFrame],
    form: tuple[pd.DataFrame, pd.Series] | None,
    log: Iterable[tuple[int, str, Mapping[str, Any]]],
    cut_off: date,
) -> Assessment:
    """Assess the gate of a study.

    `frames` are the SDTM datasets DM, EX, AE and, where there is one, SUPPAE; `form` the accepted rows of the source
    of decisions and their subjects; `log` the decisions as number, person and target.
    """
    gate = study.gate
    if gate is None:
        raise ValueError(f"{study.name} has no gate")
    recorded, unclear = of_form(study, *form) if form is not None else ([], [])
    decisions = sorted([*recorded, *of_log(log)], key=lambda one: one.order)
    place = {arm: number for number, arm in enumerate(gate.arms)}
    subjects = sorted(
        subjects_of(gate, frames, cut_off), key=lambda one: (place.get(one.cohort or "", len(place)), one.usubjid)
    )
    cohorts = cohorts_of(gate, subjects, cut_off)
    toxicities = toxicities_of(gate, frames)
    breaches = breaches_of(gate, cohorts, subjects, decisions, unclear, toxicities, cut_off)
    tables = {
        COHORTS: _table(COHORTS, _COHORT, [_cohort_row(gate, one, decisions, cut_off) for one in cohorts]),
        SUBJECTS: _table(SUBJECTS, _SUBJECT, _subject_rows(subjects, decisions)),
        DECISIONS: _table(DECISIONS, _DECISION, [_decision_row(one) for one in decisions]),
    }
    made_of = [(SUBJECTS, row, [one]) for row, one in enumerate(subjects)]
    made_of += [(COHORTS, row, list(one.members)) for row, one in enumerate(cohorts)]
    in_dm = {subject: row for row, subject in enumerate(frames["DM"]["USUBJID"].astype(object))}
    return Assessment(tables, tuple(breaches), tuple(one for each in made_of for one in _made_of(*each, in_dm)))


def _made_of(table: str, row: int, subjects: Sequence[GateSubject], in_dm: Mapping[str, int]) -> Iterator[MadeOf]:
    yield MadeOf(table, row, "DM", tuple(in_dm[one.usubjid] for one in subjects if one.usubjid in in_dm))
    yield MadeOf(table, row, "EX", tuple(record for one in subjects for dose in one.doses for record in dose.rows))
    yield MadeOf(table, row, "AE", tuple(event.row for one in subjects for event in one.toxicities))


def _table(name: str, columns: Mapping[str, tuple[pa.DataType, str]], rows: list[dict[str, Any]]) -> pa.Table:
    fields = [pa.field(column, kind, metadata={"label": label}) for column, (kind, label) in columns.items()]
    schema = pa.schema(fields, metadata={"dataset": name.upper(), "label": LABELS[name]})
    return pa.Table.from_pylist(rows, schema=schema)


def _cohort_row(gate: Gate, one: GateCohort, decisions: list[GateDecision], cut_off: date) -> dict[str, Any]:
    last = joined(said_of(decisions, cohort=one.cohort.arm))
    complete, over = one.observed(cut_off)
    opens = (
        last is not None
        and one.ready
        and one.completed_on is not None
        and last.outcome in gate.outcomes.open_next
        and (last.decided_on or date.min) > one.completed_on
    )
    return {
        "cohort": one.cohort.arm,
        "position": one.position,
        "planned_dose": one.cohort.dose,
        "dose_unit": gate.dose_unit,
        "size": gate.size,
        "n_assigned": len(one.members),
        "n_dosed": len(one.dosed),
        "n_observed": over,
        "n_complete": complete,
        "n_evaluable": sum(member.evaluable for member in one.dosed),
        "n_dlt": one.toxic(cut_off),
        "ready": _flag(one.ready),
        "ready_since": one.completed_on if one.ready else None,
        "waits_for": one.waits_for,
        "decision": last.outcome if last else None,
        "decided_on": last.decided_on if last else None,
        "decided_by": last.by if last else None,
        "recorded_in": last.recorded_in if last else None,
        "decision_id": last.decision_id if last else None,
        "opens_next": _flag(opens),
    }


def _subject_rows(subjects: list[GateSubject], decisions: list[GateDecision]) -> list[dict[str, Any]]:
    rows = []
    for one in subjects:
        last = joined(said_of(decisions, subject=one.usubjid))
        onsets = sorted((event.earliest, event.onset or "") for event in one.toxicities)
        rows.append(
            {
                "cohort": one.cohort,
                "usubjid": one.usubjid,
                "dosed": _flag(one.dosed),
                "n_doses": len(one.doses),
                "first_dose": one.first_dose,
                "dose": one.doses[0].amount if one.doses else None,
                "share_of_planned": round(one.share_of_planned, 6) if one.share_of_planned is not None else None,
                "observed": _flag(one.observation in {"complete", "died", "left"}),
                "observed_until": one.observed_until,
                "observation": one.observation,
                "evaluable": _flag(one.evaluable),
                "not_evaluable_because": one.not_evaluable_because,
                "dlt": _flag(bool(one.toxicities)),
                "dlt_onset": onsets[0][1] or None if onsets else None,
                "decision": last.outcome if last else None,
                "decided_on": last.decided_on if last else None,
                "decided_by": last.by if last else None,
                "last_record": one.last_record,
            }
        )
    return rows


def _decision_row(one: GateDecision) -> dict[str, Any]:
    return {
        "decision_id": one.decision_id,
        "scope": one.scope.upper(),
        "cohort": one.cohort,
        "usubjid": one.subject,
        "meeting_dt": one.decided_on,
        "data_cutoff_dt": one.cut_off,
        "outcome": one.outcome,
        "n_observed": one.n_observed,
        "n_dlt": one.n_dlt,
        "recorded_in": one.recorded_in,
        "signed_by": one.by,
        "decision": one.number,
        "based_on": one.snapshot_id,
    }


def _flag(value: bool) -> str:
    return "Y" if value else "N"
