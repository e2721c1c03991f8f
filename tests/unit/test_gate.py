"""The gate between dose cohorts, on small frames: expected values follow by hand from the rules of docs/dsmb.md."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import pandas as pd
import pytest

from transforms.core import text
from transforms.errors import ConfigurationError
from transforms.gate.breaches import GateBreach, breaches_of
from transforms.gate.decisions import GateDecision
from transforms.gate.readiness import cohorts_of, subjects_of, toxicities_of
from transforms.study import Study
from transforms.study.gate import Gate

CUT_OFF = date(2024, 12, 31)
GATE: dict[str, Any] = {
    "title": "Two cohorts of two",
    "cohorts": [{"arm": "LOW", "dose": 1.0}, {"arm": "HIGH", "dose": 3.0}],
    "dose_unit": "mg",
    "size": 2,
    "replacement": "none",
    "observation_days": 21,
    "evaluable_from": 0.9,
    "overdose_above": 1.1,
    "repeat_from_day": 22,
    "dlt": {"qualifiers": ["AEDLTADJ", "AEDLT"]},
    "outcomes": {
        "cohort": ["ESCALATE", "HOLD", "EXPAND"],
        "subject": ["REPEAT", "HOLD"],
        "open_next": ["ESCALATE"],
        "open_repeat": ["REPEAT"],
        "enlarge": ["EXPAND"],
        "halt": ["HOLD"],
    },
    "decisions": {
        "source": "board",
        "record": "ID",
        "scope": "SCOPE",
        "scopes": {"cohort": "C", "subject": "S"},
        "cohort": "COHORT",
        "codelist": "cohort",
        "decided_on": "MET",
        "cut_off": "CUT",
        "outcome": "OUT",
        "n_observed": "N",
        "n_dlt": "T",
    },
    "package": {"datasets": ["DM"]},
}
Row = tuple[Any, ...]
DM: list[Row] = [("L1", "LOW", None), ("L2", "LOW", None), ("H1", "HIGH", None)]
EX: list[Row] = [
    ("L1", "2024-01-01T09:00", 1.0, "mg"),
    ("L2", "2024-01-10T09:00", 1.0, "mg"),
    ("H1", "2024-02-05T09:00", 3.0, "mg"),
]
OPENED = ("cohort", "LOW", None, "2024-02-02", "ESCALATE")


def frame(names: Sequence[str], rows: Sequence[Row], numbers: Sequence[str] = ()) -> pd.DataFrame:
    columns = {name: [row[place] for row in rows] for place, name in enumerate(names)}
    return pd.DataFrame(
        {
            name: pd.Series(values, dtype=float) if name in numbers else text.from_values(values)
            for name, values in columns.items()
        }
    )


def frames(
    dm: Sequence[Row] = DM, ex: Sequence[Row] = EX, ae: Sequence[Row] = (), supp: Sequence[Row] = ()
) -> dict[str, pd.DataFrame]:
    return {
        "DM": frame(("USUBJID", "ARMCD", "DTHDTC"), dm),
        "EX": frame(("USUBJID", "EXSTDTC", "EXDOSE", "EXDOSU"), ex, ("EXDOSE",)),
        "AE": frame(("USUBJID", "AESEQ", "AESTDTC"), ae, ("AESEQ",)),
        "SUPPAE": frame(
            ("USUBJID", "IDVAR", "IDVARVAL", "QNAM", "QVAL"), [(one, "AESEQ", *rest) for one, *rest in supp]
        ),
    }


def decided(*rows: Row) -> list[GateDecision]:
    return [
        GateDecision(
            decision_id=f"D{row}",
            scope=scope,
            cohort=cohort,
            subject=subject,
            decided_on=date.fromisoformat(on) if on else None,
            cut_off=None,
            outcome=outcome,
            row=row,
        )
        for row, (scope, cohort, subject, on, outcome) in enumerate(rows)
    ]


def judged(
    data: dict[str, pd.DataFrame],
    decisions: Sequence[GateDecision] = (),
    cut_off: date = CUT_OFF,
    **changed: Any,
) -> list[GateBreach]:
    gate = Gate.model_validate(GATE | changed)
    subjects = subjects_of(gate, data, cut_off)
    cohorts = cohorts_of(gate, subjects, cut_off)
    return breaches_of(gate, cohorts, subjects, decisions, [], toxicities_of(gate, data), cut_off)


def found(*arguments: Any, **changed: Any) -> list[tuple[str, tuple[int, ...]]]:
    return [(one.rule, one.rows) for one in judged(*arguments, **changed)]


def test_a_cohort_is_ready_on_the_day_on_which_the_last_observation_ends() -> None:
    gate = Gate.model_validate(GATE)
    for cut_off, ready in ((date(2024, 1, 30), False), (date(2024, 1, 31), True)):
        low = cohorts_of(gate, subjects_of(gate, frames(), cut_off), cut_off)[0]
        assert (low.ready, low.completed_on) == (ready, date(2024, 1, 31))
        assert low.observed(cut_off) == ((2, 2) if ready else (1, 1))
        assert (low.waits_for or "") == ("" if ready else "observation of 1, the last until 2024-01-31")


def test_death_ends_observation_and_the_subject_is_not_evaluable() -> None:
    gate = Gate.model_validate(GATE)
    data = frames(dm=[("L1", "LOW", None), ("L2", "LOW", "2024-01-15")])
    low = cohorts_of(gate, subjects_of(gate, data, CUT_OFF), CUT_OFF)[0]
    assert (low.completed_on, low.observed(CUT_OFF)) == (date(2024, 1, 22), (1, 2))
    assert [(one.evaluable, one.not_evaluable_because) for one in low.dosed] == [
        (True, None),
        (False, "died during observation"),
    ]


def test_one_who_cannot_be_evaluated_is_replaced_where_the_gate_says_so() -> None:
    gate = Gate.model_validate(GATE | {"replacement": "not_evaluable"})
    dm = [*DM[:2], ("L3", "LOW", None)]
    data = frames(dm=dm, ex=[("L1", "2024-01-01", 0.8, "mg"), *EX[1:2]])
    low = cohorts_of(gate, subjects_of(gate, data, CUT_OFF), CUT_OFF)[0]
    assert low.dosed[0].not_evaluable_because == "first dose below 90% of planned"
    assert (low.ready, low.waits_for) == (False, "1 of 2 subjects still to be dosed")
    three = frames(dm=dm, ex=[("L1", "2024-01-01", 0.8, "mg"), *EX[1:2], ("L3", "2024-03-01", 1.0, "mg")])
    low = cohorts_of(gate, subjects_of(gate, three, CUT_OFF), CUT_OFF)[0]
    assert (low.ready, low.completed_on) == (True, date(2024, 3, 22))
    assert found(three, replacement="not_evaluable") == []
    assert found(three) == [("gate_cohort_full", (2,))]


@pytest.mark.parametrize(
    ("amount", "evaluable"), [(0.9, True), (0.8994, False)], ids=["90 per cent of planned", "just below"]
)
def test_a_first_dose_of_enough_of_the_planned_one_is_evaluable(amount: float, evaluable: bool) -> None:
    gate = Gate.model_validate(GATE)
    subjects = subjects_of(gate, frames(ex=[("L1", "2024-01-01", amount, "mg")]), CUT_OFF)
    assert {one.usubjid: one.evaluable for one in subjects}["L1"] is evaluable


def test_doses_of_one_day_are_one_dose() -> None:
    data = frames(ex=[("L1", "2024-01-01T09:00", 0.5, "mg"), ("L1", "2024-01-01T15:00", 0.5, "mg")])
    assert found(data) == []


def test_the_adjudicated_answer_counts_before_the_investigators() -> None:
    gate = Gate.model_validate(GATE)
    ae = [("L1", 1.0, "2024-01-05"), ("L2", 1.0, "2024-01-12")]
    supp = [
        ("L1", "1", "AEDLT", "Y"),
        ("L1", "1", "AEDLTADJ", "N"),
        ("L2", "1", "AEDLT", "N"),
        ("L2", "1", "AEDLTADJ", "Y"),
    ]
    low = cohorts_of(gate, subjects_of(gate, frames(ae=ae, supp=supp), CUT_OFF), CUT_OFF)[0]
    assert [bool(one.toxicities) for one in low.dosed] == [False, True]
    assert low.toxic(date(2024, 1, 11)) == 0
    assert low.toxic(date(2024, 1, 12)) == 1


@pytest.mark.parametrize(
    ("onset", "outside"),
    [
        ("2024-01-01", False),
        ("2024-01-22", False),
        ("2024-01-23", True),
        ("2023-12-31", True),
        ("2024-01", False),
        ("2024-02", True),
        ("2024", False),
        (None, False),
    ],
)
def test_a_toxicity_counts_from_the_first_dose_to_the_last_day_of_observation(onset: str | None, outside: bool) -> None:
    data = frames(ae=[("L1", 1.0, onset)], supp=[("L1", "1", "AEDLT", "Y")])
    assert ("gate_dlt_outside_window" in [rule for rule, _ in found(data, decided(OPENED))]) is outside


def test_a_toxicity_during_observation_makes_evaluable_at_once() -> None:
    gate = Gate.model_validate(GATE)
    data = frames(ae=[("L1", 1.0, "2024-01-02")], supp=[("L1", "1", "AEDLT", "Y")])
    on = date(2024, 1, 3)
    assert {one.usubjid: (one.observation, one.evaluable) for one in subjects_of(gate, data, on)}["L1"] == (
        "ongoing",
        True,
    )


@pytest.mark.parametrize(
    ("decisions", "expected"),
    [
        ([OPENED], []),
        ([], ["gate_not_opened"]),
        ([("cohort", "LOW", None, "2024-01-31", "ESCALATE")], ["gate_not_opened"]),
        ([("cohort", "LOW", None, "2024-02-05", "ESCALATE")], []),
        ([("cohort", "LOW", None, "2024-02-06", "ESCALATE")], ["gate_not_opened"]),
        ([OPENED, ("cohort", "LOW", None, "2024-02-03", "HOLD")], ["gate_not_opened"]),
        ([("cohort", "LOW", None, "2024-02-02", "EXPAND")], ["gate_not_opened"]),
        ([("cohort", "HIGH", None, "2024-02-02", "ESCALATE")], ["gate_not_opened"]),
    ],
    ids=["opened", "none", "on the last day", "on the day of dosing", "after dosing", "held", "another", "of another"],
)
def test_the_next_cohort_is_opened_by_a_decision_after_observation(decisions: list[Row], expected: list[str]) -> None:
    assert [rule for rule, _ in found(frames(), decided(*decisions))] == expected


def test_dosing_before_the_end_of_observation_is_one_finding_with_all_its_records() -> None:
    dm = [*DM, ("H2", "HIGH", None)]
    ex = [*EX[:2], ("H1", "2024-01-20T09:00", 3.0, "mg"), ("H2", "2024-01-30T09:00", 3.0, "mg")]
    assert found(frames(dm=dm, ex=ex), decided(OPENED)) == [("gate_not_observed", (2, 3))]


def test_a_cohort_that_is_not_complete_opens_nothing() -> None:
    assert found(frames(ex=[EX[0], EX[2]]), decided(OPENED)) == [("gate_not_observed", (1,))]


def test_one_subject_more_than_the_size_is_found_unless_the_cohort_was_enlarged() -> None:
    data = frames(dm=[*DM, ("L3", "LOW", None)], ex=[*EX, ("L3", "2024-03-01", 1.0, "mg")])
    assert found(data, decided(OPENED)) == [("gate_cohort_full", (3,))]
    assert found(data, decided(OPENED, ("cohort", "LOW", None, "2024-02-20", "EXPAND"))) == []


def test_dosing_after_a_halt_is_found_until_a_later_decision() -> None:
    held = ("cohort", "HIGH", None, "2024-02-04", "HOLD")
    assert found(frames(), decided(OPENED, held)) == [("gate_halted", (2,))]
    again = frames(ex=[*EX, ("H1", "2024-03-10", 3.0, "mg")])
    halted = ("cohort", "HIGH", None, "2024-03-01", "HOLD")
    cleared = ("subject", "HIGH", "H1", "2024-02-28", "REPEAT")
    assert found(again, decided(OPENED, cleared, halted)) == [("gate_halted", (3,))]
    later = ("subject", "HIGH", "H1", "2024-03-05", "REPEAT")
    assert found(again, decided(OPENED, halted, later)) == []


@pytest.mark.parametrize(
    ("on", "decisions", "expected"),
    [
        ("2024-01-23", [("subject", "LOW", "L1", "2024-01-23", "REPEAT")], []),
        ("2024-01-22", [("subject", "LOW", "L1", "2024-01-20", "REPEAT")], [("gate_repeat_early", (3,))]),
        ("2024-01-23", [], [("gate_repeat_not_cleared", (3,))]),
        ("2024-01-23", [("subject", "LOW", "L1", "2024-01-24", "REPEAT")], [("gate_repeat_not_cleared", (3,))]),
        ("2024-01-23", [("subject", "LOW", "L2", "2024-01-23", "REPEAT")], [("gate_repeat_not_cleared", (3,))]),
        (
            "2024-01-25",
            [("subject", "LOW", "L1", "2024-01-23", "REPEAT"), ("subject", "LOW", "L1", "2024-01-24", "HOLD")],
            [("gate_repeat_not_cleared", (3,))],
        ),
    ],
    ids=["22 days", "21 days", "no decision", "decided after", "another subject", "held since"],
)
def test_a_repeat_dose_is_late_enough_and_cleared(
    on: str, decisions: list[Row], expected: list[tuple[str, tuple[int, ...]]]
) -> None:
    data = frames(ex=[*EX, ("L1", f"{on}T10:00", 1.0, "mg")])
    assert found(data, decided(OPENED, *decisions)) == expected


@pytest.mark.parametrize(("amount", "wrong"), [(1.1, False), (1.101, True), (3.0, True), (0.5, False)], ids=str)
def test_a_dose_is_that_of_the_cohort(amount: float, wrong: bool) -> None:
    data = frames(ex=[("L1", "2024-01-01", amount, "mg")])
    assert found(data) == ([("gate_dose", (0,))] if wrong else [])


def test_the_lower_dose_of_another_cohort_is_found() -> None:
    data = frames(ex=[*EX[:2], ("H1", "2024-02-05T09:00", 1.0, "mg")])
    assert found(data, decided(OPENED)) == [("gate_dose", (2,))]


def test_a_dose_without_complete_date_holds_the_cohort_back() -> None:
    gate = Gate.model_validate(GATE)
    data = frames(ex=[("L1", "2024-01", 1.0, "mg"), EX[1]])
    low = cohorts_of(gate, subjects_of(gate, data, CUT_OFF), CUT_OFF)[0]
    assert (low.ready, low.waits_for) == (False, "the date of the first dose of 1")
    assert found(data) == [("gate_dose_undated", (0,))]


def test_contradicting_and_unreadable_decisions_are_found() -> None:
    own = decided(OPENED, ("cohort", "LOW", None, "2024-02-03", "MAYBE"), ("cohort", None, None, "2024-02-03", "HOLD"))
    log = GateDecision(
        "decision 0", "cohort", "LOW", None, date(2024, 2, 2), None, "HOLD", recorded_in="log", number=0, by="Dr A"
    )
    # The log's decision stands last on its day, so it is what counts: the cohort above is not opened either.
    assert found(frames(), [*own, log]) == [
        ("gate_not_opened", (2,)),
        ("gate_decision_unclear", (1, 2)),
        ("gate_decisions_differ", (0,)),
    ]


@pytest.mark.parametrize(
    ("n_observed", "n_dlt", "cut_off", "differs"),
    [
        (2, 0, "2024-01-31", False),
        (1, 0, "2024-01-31", True),
        (1, 0, "2024-01-30", False),
        (2, 1, "2024-01-31", True),
        (None, None, "2024-01-31", False),
    ],
)
def test_counts_on_the_form_are_those_of_the_data_at_its_cut_off(
    n_observed: int | None, n_dlt: int | None, cut_off: str, differs: bool
) -> None:
    one = GateDecision(
        "D0", "cohort", "LOW", None, date(2024, 2, 2), date.fromisoformat(cut_off), "ESCALATE", n_observed, n_dlt, row=0
    )
    assert found(frames(), [one]) == ([("gate_counts_differ", (0,))] if differs else [])


def test_findings_have_one_cause_each_and_name_no_value() -> None:
    ex = [*EX[:2], ("H1", "2024-01-20T09:00", 9.0, "mg")]
    both = judged(frames(ex=ex), decided(OPENED))
    assert [(one.rule, one.cause) for one in both] == [("gate_not_observed", "HIGH"), ("gate_dose", "H1")]
    assert not any("H1" in one.message for one in both)


def test_faults_of_a_gate_are_named_at_once(small: Any) -> None:
    import yaml

    small.specify("gate.yml", yaml.safe_dump(GATE))
    with pytest.raises(ConfigurationError) as raised:
        small.load()
    said = {(fault.place, fault.problem) for fault in raised.value.faults if fault.file == "gate.yml"}
    assert said == {
        ("", "a gate needs AE, which the study does not map"),
        ("decisions.source", "no source 'board'"),
    }
    small.specify("gate.yml", yaml.safe_dump(GATE | {"outcomes": {"cohort": ["GO"], "open_next": ["ESCALATE"]}}))
    with pytest.raises(ConfigurationError, match="ESCALATE is not among the outcomes"):
        small.load()


def test_a_study_without_gate_has_none() -> None:
    assert Study.load("cdiscpilot01").gate is None


def test_the_window_is_that_of_the_specification() -> None:
    """21 days after the first dose, the day of dosing not counted: dosed on 20 October, ready on 10 November."""
    assert date(2022, 10, 20) + timedelta(21) == date(2022, 11, 10)
    assert Study.load("ucmsc_dac").gate.observation_days == 21  # type: ignore[union-attr]
