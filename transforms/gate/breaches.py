"""Dosing outside the gate, and decisions that contradict the data or each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from transforms.findings import Severity
from transforms.gate.decisions import FORM, LOG, GateDecision, said_of
from transforms.gate.readiness import Dose, GateCohort, GateSubject, Toxicity, in_window
from transforms.study.gate import Gate

EXPOSURE = "EX"
EVENTS = "AE"


@dataclass(frozen=True)
class GateBreach:
    """What is wrong, with the rows concerned of a dataset or of the source of decisions; positions from 0."""

    rule: str
    severity: Severity
    dataset: str
    variable: str
    message: str
    remedy: str
    rows: tuple[int, ...]
    cause: str


@dataclass(frozen=True)
class _Judge:
    gate: Gate
    cohorts: Sequence[GateCohort]
    subjects: Sequence[GateSubject]
    decisions: Sequence[GateDecision]
    cut_off: date

    def find(
        self,
        rule: str,
        message: str,
        remedy: str,
        rows: Iterable[int],
        cause: str,
        *,
        severity: Severity = Severity.CRITICAL,
        dataset: str = EXPOSURE,
        variable: str = "EXSTDTC",
    ) -> GateBreach:
        return GateBreach(rule, severity, dataset, variable, message, remedy, tuple(sorted(rows)), cause)

    def dosing(self) -> Iterator[GateBreach]:
        for cohort in self.cohorts:
            if cohort.position > 1:
                yield from self.opened(cohort, self.cohorts[cohort.position - 2])
            yield from self.full(cohort)
            yield from self.halted(cohort)
        for subject in self.subjects:
            yield from self.undated(subject)
            yield from self.repeats(subject)
            yield from self.amounts(subject)

    def opened(self, cohort: GateCohort, before: GateCohort) -> Iterator[GateBreach]:
        """First doses before the cohort below was watched, or without a decision that opens this one."""
        arm, lower = cohort.cohort.arm, before.cohort.arm
        decided = said_of(self.decisions, cohort=lower)
        early: list[int] = []
        unopened: list[int] = []
        for subject in cohort.dosed:
            first = subject.first_dose
            if first is None:
                continue
            if before.completed_on is None or first < before.completed_on:
                early.extend(subject.doses[0].rows)
                continue
            between = [one for one in decided if one.decided_on and before.completed_on < one.decided_on <= first]
            if not between or between[-1].outcome not in self.gate.outcomes.open_next:
                unopened.extend(subject.doses[0].rows)
        if early:
            yield self.find(
                "gate_not_observed",
                f"{arm} was dosed before {self.gate.size} subjects of {lower} had been observed for "
                f"{self.gate.observation_days} days",
                "Stop dosing and tell the sponsor and the board at once; correct the dates if they are wrong",
                early,
                arm,
            )
        if unopened:
            yield self.find(
                "gate_not_opened",
                f"{arm} was dosed without a decision that opens it, dated after the observation of {lower} and not "
                "after the dose",
                "Stop dosing and tell the sponsor and the board at once; record the decision if it was taken",
                unopened,
                arm,
            )

    def full(self, cohort: GateCohort) -> Iterator[GateBreach]:
        """More subjects than the size of the cohort, those replaced and an enlargement aside."""
        arm, dosed = cohort.cohort.arm, cohort.dosed
        replaced = [
            one for one in dosed if not one.evaluable and one.over(self.cut_off) and self.gate.replacement != "none"
        ]
        larger = [
            one.decided_on
            for one in said_of(self.decisions, cohort=arm)
            if one.outcome in self.gate.outcomes.enlarge and one.decided_on
        ]
        rows = [
            row
            for one in dosed[self.gate.size + len(replaced) :]
            if one.first_dose is None or not any(on <= one.first_dose for on in larger)
            for row in one.doses[0].rows
        ]
        if rows:
            yield self.find(
                "gate_cohort_full",
                f"more than {self.gate.size} subjects of {arm} were dosed and no decision enlarged the cohort",
                "Tell the sponsor and the board; correct the dose group of the subject if it is wrong",
                rows,
                arm,
                variable="USUBJID",
            )

    def halted(self, cohort: GateCohort) -> Iterator[GateBreach]:
        """Doses in a cohort after a decision that halts it and before another one."""
        arm = cohort.cohort.arm
        rows = [
            row
            for subject in cohort.dosed
            for dose in subject.doses
            if dose.on and self.halt(arm, subject, dose.on)
            for row in dose.rows
        ]
        if rows:
            yield self.find(
                "gate_halted",
                f"{arm} was dosed after a decision that halts it",
                "Stop dosing and tell the sponsor and the board at once; record a later decision if there is one",
                rows,
                arm,
            )

    def halt(self, arm: str, subject: GateSubject, on: date) -> bool:
        """Whether the last decision before a day, on the cohort or the subject, is one that halts the cohort."""
        last = [one for one in said_of(self.decisions, cohort=arm) if one.decided_on and one.decided_on < on]
        if not last or last[-1].outcome not in self.gate.outcomes.halt:
            return False
        halted_on = last[-1].decided_on or date.min
        later = said_of(self.decisions, subject=subject.usubjid)
        return not any(one.decided_on and halted_on < one.decided_on <= on for one in later)

    def undated(self, subject: GateSubject) -> Iterator[GateBreach]:
        """Doses whose day is not known: nobody can say then whether the gate was kept."""
        rows = [row for dose in subject.doses if dose.on is None for row in dose.rows]
        if rows and subject.cohort is not None:
            yield self.find(
                "gate_dose_undated",
                "a dose has no complete date, so observation cannot be counted from it",
                "Ask the site for the date",
                rows,
                subject.usubjid,
            )

    def repeats(self, subject: GateSubject) -> Iterator[GateBreach]:
        """Repeat doses that come too early or without a decision that clears them."""
        if subject.cohort is None or subject.first_dose is None:
            return
        decided = said_of(self.decisions, subject=subject.usubjid)
        early: list[int] = []
        unclear: list[int] = []
        for dose in subject.doses[1:]:
            on = dose.on or date.min
            if (on - subject.first_dose).days < self.gate.repeat_from_day:
                early.extend(dose.rows)
                continue
            before = [one for one in decided if one.decided_on and one.decided_on <= on]
            cleared = before and before[-1].outcome in self.gate.outcomes.open_repeat
            if not cleared and not self.halt(subject.cohort, subject, on):
                unclear.extend(dose.rows)
        if early:
            yield self.find(
                "gate_repeat_early",
                f"a repeat dose was given less than {self.gate.repeat_from_day} days after the first",
                "Ask the site for the dates; if they are right, tell the sponsor and the board",
                early,
                subject.usubjid,
            )
        if unclear:
            yield self.find(
                "gate_repeat_not_cleared",
                "a repeat dose was given and the last decision on the subject up to that day does not clear it",
                "Tell the sponsor and the board; record the decision if it was taken",
                unclear,
                subject.usubjid,
            )

    def amounts(self, subject: GateSubject) -> Iterator[GateBreach]:
        """Doses above the planned one of the subject's cohort, or of another cohort."""
        own = next((one.dose for one in self.gate.cohorts if one.arm == subject.cohort), None)
        if own is None:
            return
        rows = [row for dose in subject.doses if self.foreign(own, dose) for row in dose.rows]
        if rows:
            yield self.find(
                "gate_dose",
                f"a dose is above {self.gate.overdose_above:.0%} of the planned one, or that of another cohort",
                "Ask the site for dose, cells and weight; if they are right, report an overdose or a wrong dose",
                rows,
                subject.usubjid,
                variable="EXDOSE",
            )

    def foreign(self, own: float, dose: Dose) -> bool:
        """Whether an amount is too high, or fits the planned dose of another cohort and not the own one."""
        if dose.amount is None:
            return False
        low, high = self.gate.evaluable_from, self.gate.overdose_above
        share = round(dose.amount / own, 6)
        others = [round(dose.amount / one.dose, 6) for one in self.gate.cohorts if one.dose != own]
        return share > high or (share < low and any(low <= one <= high for one in others))

    def events(self, toxicities: Mapping[str, Sequence[Toxicity]]) -> Iterator[GateBreach]:
        """Dose-limiting toxicities that began outside the days of observation."""
        first = {one.usubjid: one.first_dose for one in self.subjects if one.cohort is not None}
        for usubjid, events in sorted(toxicities.items()):
            if usubjid not in first:
                continue
            began = first[usubjid]
            rows = [one.row for one in events if began is None or not in_window(self.gate, began, one)]
            if rows:
                yield self.find(
                    "gate_dlt_outside_window",
                    "a dose-limiting toxicity began before the first dose or after the "
                    f"{self.gate.observation_days} days of observation, so it does not count",
                    "Ask the investigator for the onset, and whether the event is dose-limiting",
                    rows,
                    usubjid,
                    dataset=EVENTS,
                    variable="AESTDTC",
                )

    def recorded(self, unclear: Sequence[int]) -> Iterator[GateBreach]:
        """Decisions that cannot be read, that state other counts than the data, or that contradict each other."""
        form = self.gate.decisions
        if form is None:
            return
        source = form.source
        lost = [*unclear, *(one.row for one in self.decisions if one.row is not None and self.unclear(one))]
        if lost:
            yield self.find(
                "gate_decision_unclear",
                "a decision has no scope, cohort, subject or date that is known, or an outcome that is none of the "
                "gate's; it opens nothing",
                "Have the form completed; if an outcome or a cohort is new, add it to gate.yml or its codelist",
                lost,
                "",
                dataset=source,
                variable=form.outcome,
            )
        for one in self.decisions:
            if one.row is not None and self.differs(one):
                yield self.find(
                    "gate_counts_differ",
                    "the form states another number of subjects observed or with dose-limiting toxicity than the data "
                    "up to its cut-off",
                    "Compare with ./cairn dsmb; correct the form, or tell the board what it did not know",
                    [one.row],
                    one.decision_id,
                    severity=Severity.ANSWER,
                    dataset=source,
                    variable=f"{form.n_observed}, {form.n_dlt}",
                )
        for one in self.decisions:
            rival = next((other for other in self.decisions if self.contradict(one, other)), None)
            if rival is not None and one.row is not None:
                yield self.find(
                    "gate_decisions_differ",
                    "the form and the decision log hold different outcomes of one day",
                    "Find out what was decided; correct the form, or record the decision anew",
                    [one.row],
                    one.decision_id,
                    dataset=source,
                    variable=form.outcome,
                )

    def unclear(self, one: GateDecision) -> bool:
        # What a subject's decision says is mapped to DS, where an unknown outcome is held.
        wrong = one.scope == "cohort" and one.outcome not in self.gate.outcomes.cohort
        return wrong or one.cohort is None or one.decided_on is None or (one.scope == "subject") != bool(one.subject)

    def differs(self, one: GateDecision) -> bool:
        if one.cut_off is None or self.unclear(one):
            return False
        complete, over, toxic = self.counts(one)
        # Subjects who died or left may be counted as observed or not.
        observed = one.n_observed is None or complete <= one.n_observed <= over
        return not observed or (one.n_dlt is not None and one.n_dlt != toxic)

    def counts(self, one: GateDecision) -> tuple[int, int, int]:
        on = one.cut_off or self.cut_off
        for cohort in self.cohorts:
            if cohort.cohort.arm != one.cohort:
                continue
            if one.scope == "cohort":
                return (*cohort.observed(on), cohort.toxic(on))
            members = tuple(member for member in cohort.members if member.usubjid == one.subject)
            alone = GateCohort(cohort.position, cohort.cohort, members, None, False, None)
            return (*alone.observed(on), alone.toxic(on))
        return 0, 0, 0

    def contradict(self, one: GateDecision, other: GateDecision) -> bool:
        same = (one.scope, one.cohort, one.subject, one.decided_on) == (
            other.scope,
            other.cohort,
            other.subject,
            other.decided_on,
        )
        return same and {one.recorded_in, other.recorded_in} == {FORM, LOG} and one.outcome != other.outcome


def breaches_of(
    gate: Gate,
    cohorts: Sequence[GateCohort],
    subjects: Sequence[GateSubject],
    decisions: Sequence[GateDecision],
    unclear: Sequence[int],
    toxicities: Mapping[str, Sequence[Toxicity]],
    cut_off: date,
) -> list[GateBreach]:
    """Everything that breaches the gate; `unclear` are rows of the form whose scope nobody knows."""
    judge = _Judge(gate, cohorts, subjects, decisions, cut_off)
    return [*judge.dosing(), *judge.events(toxicities), *judge.recorded(unclear)]
