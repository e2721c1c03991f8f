"""gate.yml: how many subjects of a dose cohort are watched for how long before whose decision opens the next."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from transforms.errors import Fault
from transforms.study.models import Frozen

if TYPE_CHECKING:
    from transforms.study.load import Study

GATE = "gate.yml"


class Cohort(Frozen):
    """A dose cohort: its planned arm (DM.ARMCD) and the planned dose, in the unit of the gate."""

    arm: str
    dose: float = Field(gt=0)


class Outcomes(Frozen):
    """What may be decided about a cohort and about a subject, and what a decision does.

    `open_next` opens the next cohort and `open_repeat` a subject's next dose; `enlarge` allows more subjects than the
    size of the cohort; `halt` forbids dosing until a later decision.
    """

    cohort: tuple[str, ...] = Field(min_length=1)
    subject: tuple[str, ...] = ()
    open_next: tuple[str, ...] = Field(min_length=1)
    open_repeat: tuple[str, ...] = ()
    enlarge: tuple[str, ...] = ()
    halt: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _known(self) -> Outcomes:
        for name, allowed in (
            ("open_next", self.cohort),
            ("enlarge", self.cohort),
            ("open_repeat", self.subject),
            ("halt", (*self.cohort, *self.subject)),
        ):
            unknown = sorted({*getattr(self, name)} - {*allowed})
            if unknown:
                raise ValueError(f"{name}: {', '.join(unknown)} is not among the outcomes")
        return self


class DltRule(Frozen):
    """How a dose-limiting toxicity is known: the first of these qualifiers of AE that an event has counts."""

    qualifiers: tuple[str, ...] = Field(min_length=1)
    value: str = "Y"


class Scopes(Frozen):
    """The collected words for a decision about a cohort and about a subject."""

    cohort: str
    subject: str


class DecisionForm(Frozen):
    """The source that holds recorded decisions, and its columns; `codelist` leads from its cohorts to arms."""

    source: str
    record: str
    scope: str
    scopes: Scopes
    cohort: str
    codelist: str
    decided_on: str
    cut_off: str
    outcome: str
    n_observed: str
    n_dlt: str

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the source that are read."""
        return (
            self.record,
            self.scope,
            self.cohort,
            self.decided_on,
            self.cut_off,
            self.outcome,
            self.n_observed,
            self.n_dlt,
        )


class PackageContents(Frozen):
    """What a safety package holds: datasets of SDTM, and the laboratory tests its page shows.

    `not_related` are the terms of AEREL for an event that is not related to treatment; any other, and a missing one,
    counts as related.
    """

    datasets: tuple[str, ...]
    not_related: tuple[str, ...] = ()
    labs: tuple[str, ...] = ()


class Gate(Frozen):
    """The gate between dose cohorts.

    A dose is a record of EX, or several of one day. `size` counts dosed subjects; with `replacement: not_evaluable`
    one who cannot be evaluated is replaced. A subject is watched for `observation_days` after the first dose, and is
    evaluable after a dose-limiting toxicity in these days, or after all of them with a first dose of at least
    `evaluable_from` times the planned one. A dose above `overdose_above` times the planned one is an overdose. A
    repeat dose comes `repeat_from_day` days after the first or later.
    """

    title: str
    cohorts: tuple[Cohort, ...] = Field(min_length=1)
    dose_unit: str
    size: int = Field(gt=0)
    replacement: Literal["none", "not_evaluable"]
    observation_days: int = Field(gt=0)
    evaluable_from: float = Field(gt=0, le=1)
    overdose_above: float = Field(ge=1)
    repeat_from_day: int = Field(gt=0)
    dlt: DltRule
    outcomes: Outcomes
    decisions: DecisionForm | None = None
    package: PackageContents

    @model_validator(mode="after")
    def _distinct(self) -> Gate:
        if len(set(self.arms)) < len(self.arms):
            raise ValueError("an arm stands twice among the cohorts")
        return self

    @property
    def arms(self) -> tuple[str, ...]:
        """The arms of the cohorts, in the order in which they are opened."""
        return tuple(one.arm for one in self.cohorts)

    def allowed(self, scope: str) -> tuple[str, ...]:
        """The outcomes of a decision about a `cohort` or a `subject`."""
        return self.outcomes.cohort if scope == "cohort" else self.outcomes.subject


def faults_of(study: Study) -> Iterator[Fault]:
    """What the gate names and the study does not have."""
    gate = study.gate
    if gate is None:
        return
    for needed in ("DM", "EX", "AE"):
        if needed not in study.datasets:
            yield Fault(
                GATE, "", f"a gate needs {needed}, which the study does not map", f"Write sdtm/{needed.lower()}.yml"
            )
    mapped = {*study.datasets, *(f"SUPP{name}" for name in study.datasets)}
    for name in gate.package.datasets:
        if name not in mapped:
            yield Fault(GATE, "package.datasets", f"the study does not map {name}", "Remove it, or map it")
    if "AE" in study.datasets:
        events = study.datasets["AE"]
        known = {*events.supplemental, *(name for group in events.records for name in group.supplemental)}
        if not known & {*gate.dlt.qualifiers}:
            yield Fault(
                GATE,
                "dlt.qualifiers",
                f"SUPPAE has none of {', '.join(gate.dlt.qualifiers)}",
                "Name a qualifier of sdtm/ae.yml",
            )
    form = gate.decisions
    if form is None:
        return
    source = study.sources.get(form.source)
    if source is None:
        yield Fault(GATE, "decisions.source", f"no source {form.source!r}", "Name one under sources/")
        return
    for column in form.columns:
        if column not in source.columns:
            yield Fault(GATE, "decisions", f"{form.source} has no column {column!r}", "Name one of its contract")
    if form.codelist not in study.codelists:
        yield Fault(GATE, "decisions.codelist", f"no codelist {form.codelist!r}", "Add it to tables/codelists.csv")
        return
    unknown = sorted({*gate.arms} - {term for term in study.codelists[form.codelist].terms.values() if term})
    if unknown:
        yield Fault(
            GATE,
            "decisions.codelist",
            f"{form.codelist} leads to no arm {', '.join(unknown)}",
            "Correct the codelist or the arms of the cohorts",
        )
