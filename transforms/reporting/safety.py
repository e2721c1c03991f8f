"""The page of a safety package: what a board reads of one dose cohort at a cut-off before it decides.

One HTML file without scripts or references to anything outside it. The same facts give the same bytes. Unlike the
delivery report it shows collected values, and is for those who may see the data of subjects.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from statistics import median
from typing import Any

from transforms.reporting.delivery import template

Row = Mapping[str, Any]
GRADES = ("1", "2", "3", "4", "5")


@dataclass(frozen=True)
class SafetyFacts:
    """What the page is made of, as plain rows.

    `cohort` and `subjects` are rows of the tables gate and gate_subjects, `decisions` those of gate_decisions on the
    cohort; `records` holds the cohort's records of SDTM datasets by name. `toxicities` are the keys (USUBJID, AESEQ)
    of events flagged as dose-limiting. `findings` are those open. `not_related` are terms of AEREL, `labs` codes of
    LBTESTCD. A `preview` is of a cohort that is not ready.
    """

    study: str
    title: str
    snapshot_id: str
    cut_off: str
    observation_days: int
    cohort: Row
    subjects: Sequence[Row]
    decisions: Sequence[Row]
    records: Mapping[str, Sequence[Row]]
    toxicities: frozenset[tuple[str, float]]
    findings: Sequence[Row]
    not_related: Sequence[str] = ()
    labs: Sequence[str] = ()
    preview: bool = False
    label: str = ""
    files: Mapping[str, int] = field(default_factory=dict)


def safety_page(facts: SafetyFacts) -> str:
    """The page, as HTML text."""
    first = {one["usubjid"]: one["first_dose"] for one in facts.subjects}
    events = facts.records.get("AE", ())
    after = [one for one in events if _emerged(one, first.get(one["USUBJID"]))]
    critical = [one for one in facts.findings if one["severity"] == "critical"]
    return template("safety.html.j2").render(
        facts=facts,
        cohort=facts.cohort,
        doses=_doses(facts),
        events=_terms(after, facts),
        n_events=len(after),
        before=len(events) - len(after),
        limiting=[
            {**one, "day": _elapsed(one.get("AESTDTC"), first.get(one["USUBJID"]))}
            for one in events
            if (one["USUBJID"], one["AESEQ"]) in facts.toxicities
        ],
        deaths=_deaths(facts),
        labs=_labs(facts, first),
        critical=critical,
        others=[one for one in facts.findings if one["severity"] != "critical"],
        grades=GRADES,
    )


def _emerged(event: Row, first_dose: date | None) -> bool:
    """Whether an event began on or after the day of first dose; an onset that is not known to be earlier counts."""
    onset = event.get("AESTDTC")
    if first_dose is None:
        return False
    return not onset or onset[:10] >= first_dose.isoformat()[: len(onset[:10])]


def _elapsed(when: str | None, first_dose: date | None) -> int | None:
    if not when or len(when) < 10 or first_dose is None:
        return None
    return (date.fromisoformat(when[:10]) - first_dose).days


def _doses(facts: SafetyFacts) -> list[dict[str, Any]]:
    planned = facts.cohort["planned_dose"]
    rows = sorted(facts.records.get("EX", ()), key=lambda one: (one["USUBJID"], one.get("EXSTDTC") or ""))
    return [
        {**one, "share": one["EXDOSE"] / planned if one.get("EXDOSE") is not None and planned else None} for one in rows
    ]


def _terms(events: Iterable[Row], facts: SafetyFacts) -> list[dict[str, Any]]:
    """Events by term: subjects, events, subjects by highest grade, and subjects with a related and a serious one."""
    terms: dict[str, list[Row]] = {}
    for one in events:
        terms.setdefault(one.get("AEDECOD") or one.get("AETERM") or "not coded", []).append(one)
    result = []
    for term, own in terms.items():
        highest: dict[str, str] = {}
        for one in own:
            grade = one.get("AETOXGR") or ""
            highest[one["USUBJID"]] = max(highest.get(one["USUBJID"], ""), grade)
        result.append(
            {
                "term": term,
                "subjects": len(highest),
                "events": len(own),
                "grades": [sum(grade == one for one in highest.values()) for grade in GRADES],
                "ungraded": sum(one not in GRADES for one in highest.values()),
                "related": len({one["USUBJID"] for one in own if one.get("AEREL") not in facts.not_related}),
                "serious": len({one["USUBJID"] for one in own if one.get("AESER") == "Y"}),
            }
        )
    return sorted(result, key=lambda one: (-one["subjects"], one["term"]))


def _deaths(facts: SafetyFacts) -> list[dict[str, Any]]:
    last: dict[str, date] = {}
    for one in facts.records.get("EX", ()):
        start = one.get("EXSTDTC")
        if start and len(start) >= 10:
            last[one["USUBJID"]] = max(last.get(one["USUBJID"], date.min), date.fromisoformat(start[:10]))
    dead = [one for one in facts.records.get("DM", ()) if one.get("DTHFL") == "Y"]
    return [{**one, "days": _elapsed(one.get("DTHDTC"), last.get(one["USUBJID"]))} for one in dead]


def _labs(facts: SafetyFacts, first: Mapping[str, date | None]) -> list[dict[str, Any]]:
    """For each key test after the first dose: subjects, those ever below or above the range, and the values."""
    result = []
    rows = facts.records.get("LB", ())
    for code in facts.labs:
        own = [
            one
            for one in rows
            if one["LBTESTCD"] == code
            and one.get("LBSTRESN") is not None
            and (one.get("LBDTC") or "")[:10] > str(first.get(one["USUBJID"]) or "9999")
        ]
        if not own:
            continue
        values = [one["LBSTRESN"] for one in own]
        result.append(
            {
                "test": own[0].get("LBTEST") or code,
                "unit": ", ".join(sorted({one.get("LBSTRESU") or "" for one in own})),
                "subjects": len({one["USUBJID"] for one in own}),
                "low": len({one["USUBJID"] for one in own if (one.get("LBNRIND") or "").startswith("LOW")}),
                "high": len({one["USUBJID"] for one in own if (one.get("LBNRIND") or "").startswith("HIGH")}),
                "lowest": min(values),
                "median": median(values),
                "highest": max(values),
            }
        )
    return result
