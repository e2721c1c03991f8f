"""Decisions about cohorts and subjects: those on the form of an extract and those in the decision log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Literal

import numpy as np
import pandas as pd

from transforms.core import dates, numbers
from transforms.study import Study

FORM, LOG = "form", "log"
FORM_AND_LOG = "form and log"


@dataclass(frozen=True)
class GateDecision:
    """One decision. `subject` is a USUBJID, empty in a decision about a cohort; `decided_on` is its day.

    `row` is the row of the form, None in the log; there `number` and `snapshot_id` say which decision it is and what
    it is based on. What the form leaves out or nobody knows is None.
    """

    decision_id: str
    scope: Literal["cohort", "subject"]
    cohort: str | None
    subject: str | None
    decided_on: date | None
    cut_off: date | None
    outcome: str | None
    n_observed: int | None = None
    n_dlt: int | None = None
    recorded_in: str = FORM
    by: str | None = None
    snapshot_id: str | None = None
    number: int | None = None
    row: int | None = None

    @property
    def order(self) -> tuple[date, bool, int]:
        """Sorts decisions in time; of one day the log's come last, in the order in which they were recorded."""
        number = self.number if self.number is not None else self.row
        return self.decided_on or date.min, self.number is not None, number or 0


def of_form(study: Study, frame: pd.DataFrame, subjects: pd.Series) -> tuple[list[GateDecision], list[int]]:
    """The decisions on the form of a study, and the rows whose scope is none of the two known."""
    if study.gate is None or study.gate.decisions is None:
        return [], []
    form = study.gate.decisions
    columns = {name: _texts(frame[name]) for name in form.columns}
    codelist = study.codelists[form.codelist]
    found, unclear = [], []
    for row, subject in enumerate(_texts(subjects)):
        cells = {name: values[row] for name, values in columns.items()}
        scope = cells[form.scope]
        if scope not in {form.scopes.cohort, form.scopes.subject}:
            unclear.append(row)
            continue
        of_cohort = scope == form.scopes.cohort
        cohort, record = cells[form.cohort], cells[form.record]
        usubjid = study.file.usubjid.format(studyid=study.file.studyid, subject=subject) if subject else None
        found.append(
            GateDecision(
                decision_id=record or f"row {row + 1}",
                scope="cohort" if of_cohort else "subject",
                cohort=codelist.find(cohort)[1] if cohort else None,
                subject=None if of_cohort else usubjid,
                decided_on=day(cells[form.decided_on]),
                cut_off=day(cells[form.cut_off]),
                outcome=cells[form.outcome],
                n_observed=_count(cells[form.n_observed]),
                n_dlt=_count(cells[form.n_dlt]),
                row=row,
            )
        )
    return found, unclear


def of_log(decisions: Iterable[tuple[int, str, Mapping[str, Any]]]) -> list[GateDecision]:
    """The decisions about cohorts and subjects among those of a log, given as number, person and target."""
    return [
        GateDecision(
            decision_id=f"decision {number}",
            scope="subject" if target["subject"] else "cohort",
            cohort=target["cohort"],
            subject=target["subject"],
            decided_on=day(target["decided_on"]),
            cut_off=day(target["cut_off"]),
            outcome=target["outcome"],
            n_observed=target["n_observed"],
            n_dlt=target["n_dlt"],
            recorded_in=LOG,
            by=by,
            snapshot_id=target["snapshot_id"],
            number=number,
        )
        for number, by, target in decisions
        if "cohort" in target
    ]


def said_of(
    decisions: Iterable[GateDecision], *, cohort: str | None = None, subject: str | None = None
) -> list[GateDecision]:
    """The decisions about one cohort, or about one subject, in time."""
    wanted = [
        one
        for one in decisions
        if (one.subject == subject if subject is not None else one.scope == "cohort" and one.cohort == cohort)
    ]
    return sorted(wanted, key=lambda one: one.order)


def joined(decisions: list[GateDecision]) -> GateDecision | None:
    """The last of some decisions in time, with the person from the log where form and log hold the same one."""
    if not decisions:
        return None
    last = decisions[-1]
    same = [one for one in decisions if (one.decided_on, one.outcome) == (last.decided_on, last.outcome)]
    if {one.recorded_in for one in same} == {FORM, LOG}:
        return replace(last, recorded_in=FORM_AND_LOG)
    return last


def day(value: str | None) -> date | None:
    """The day of an ISO text; None where it is missing or not complete."""
    part = dates.date_part(value) if value else None
    return date.fromisoformat(part) if part else None


def _texts(values: pd.Series) -> list[str | None]:
    return [None if isinstance(one, float) and np.isnan(one) else str(one) for one in values.astype(object)]


def _count(value: str | None) -> int | None:
    number = numbers.parse_number(value) if value else None
    return int(number) if number is not None else None
