"""Conformance of finished SDTM datasets: what each engine says of each rule, and which failures are explained.

Three engines speak into one table: the rules that follow from the specification (`cairn`), those of the package
pointblank, and CDISC CORE where it is installed. A failure is explained by a row of the study's conformance.csv, or
by `ct_version`: pointblank carries one version of the terminology, so a term it does not know is right when it is
a term of the study's own version or an extension that the study declares. What nobody explains is a finding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from transforms.core import text
from transforms.findings import CONFORMANCE_FAILED, Finding, RawPlace, Severity, conformance_cause
from transforms.study import Study
from transforms.study.check import define
from transforms.study.yaml import read_yaml
from transforms.validation import core_engine, pointblank_engine
from transforms.validation.check import Examined
from transforms.validation.columns.base import Frame
from transforms.validation.explained import OWN, ExplainedFailure
from transforms.validation.outcome import NAMED, Level, Outcome, Result, ranges
from transforms.validation.rule import Rule
from transforms.validation.structure import terms

TABLE = "conformance"
LABEL = "Conformance of the SDTM datasets"
KEYS = ("engine", "rule", "domain", "variable")
LABELS = {
    "engine": "Engine that ran the rule",
    "engine_version": "Version of the engine",
    "rule": "Rule",
    "domain": "Dataset",
    "variable": "Variable",
    "severity": "error, warning or information",
    "outcome": "pass, fail, not_applicable or not_run",
    "records": "Failing records",
    "message": "What the rule says",
    "record_numbers": "First failing records",
    "explained_by": "What explains the failure",
    "explanation": "Explanation",
}
LEVELS: Mapping[Severity, Level] = {
    Severity.CRITICAL: "error",
    Severity.ANSWER: "warning",
    Severity.INFORMATION: "information",
}
SEVERITIES = {level: severity for severity, level in LEVELS.items()}
Lines = Callable[[str, np.ndarray], tuple[RawPlace, ...]]
CT_VERSION = "ct_version"
SHARED = Path(__file__).resolve().parents[2] / "expectations" / "conformance.yml"


@dataclass(frozen=True)
class Judged:
    """An outcome, what explains it and why; `by` is empty where nothing does or nothing needs to."""

    outcome: Outcome
    by: str = ""
    why: str = ""

    @property
    def unexplained(self) -> bool:
        """True for a failure, or a rule that an engine could not evaluate, that nobody explains."""
        return _counts(self.outcome) and not self.by


def _counts(outcome: Outcome) -> bool:
    return outcome.result == "fail" or (outcome.result == "not_run" and outcome.severity != "information")


def own_outcomes(
    rules: Mapping[str, Sequence[Rule]],
    examined: Iterable[Examined],
    version: str,
) -> Iterator[Outcome]:
    """What the rules that follow from the specification say."""
    reached: dict[tuple[str, str, str], int] = {}
    failed: dict[tuple[str, str, str], set[int]] = {}
    said: dict[tuple[str, str, str], Rule] = {}
    for dataset, own in rules.items():
        for rule in own:
            if rule.id.startswith("structure."):
                said.setdefault((dataset, rule.id, rule.said), rule)
    for one in examined:
        dataset, number = one.place
        rule = rules[dataset][number]
        key = (dataset, rule.id, rule.said)
        reached[key] = reached.get(key, 0) + one.reached
        for breach in one.breaches if rule.id.startswith("structure.") else ():
            key = (dataset, rule.id, breach.variable)
            said.setdefault(key, rule)
            failed.setdefault(key, set()).update(int(row) + 1 for row in breach.rows)
    for key, rule in said.items():
        dataset, _, variable = key
        numbers = sorted(failed.get(key, ()))
        result: Result = "fail" if key in failed else "pass" if reached.get(key) else "not_applicable"
        first = tuple(numbers[:NAMED])
        level = LEVELS[rule.severity]
        yield Outcome(OWN, version, rule.id, dataset, variable, level, result, rule.message, len(numbers), first)


def judge(
    study: Study,
    datasets: Mapping[str, Frame],
    outcomes: Iterable[Outcome],
    explained: Sequence[ExplainedFailure],
) -> tuple[Judged, ...]:
    """Each outcome with what explains it: a row of the study's file, else a rule that studies share."""
    shared = read_yaml(SHARED)
    result = []
    for outcome in outcomes:
        row = next((one for one in explained if _counts(outcome) and one.explains(outcome)), None)
        if row is not None:
            result.append(Judged(outcome, row.place, row.why))
        elif outcome.result == "fail" and _other_terminology(study, datasets, outcome):
            why = str(shared[CT_VERSION]["why"]).format(ct=study.file.standards.ct)
            result.append(Judged(outcome, CT_VERSION, why))
        else:
            result.append(Judged(outcome))
    return tuple(result)


def _other_terminology(study: Study, datasets: Mapping[str, Frame], outcome: Outcome) -> bool:
    """True if a term pointblank does not know is right: every value is a term of the study's terminology."""
    if outcome.engine != pointblank_engine.ENGINE or outcome.domain not in study.datasets:
        return False
    rule = pointblank_engine.catalogue(study.file.standards.sdtmig)[outcome.rule]
    frame = datasets[outcome.domain]
    if not rule.codelist or len(rule.variables) != 1 or rule.variables[0] not in frame:
        return False
    variable = define(study, study.datasets[outcome.domain], rule.variables[0])
    codes = [one.code for one in study.standards.codelists_of(variable)] if variable is not None else []
    return bool(codes) and set(text.used_texts(frame[rule.variables[0]])) <= terms(study, codes)


def table_of(judged: Sequence[Judged]) -> pa.Table:
    """The table of outcomes, in the order of engine, rule, dataset and variable."""
    rows = [
        {
            "engine": one.outcome.engine,
            "engine_version": one.outcome.version,
            "rule": one.outcome.rule,
            "domain": one.outcome.domain,
            "variable": one.outcome.variable,
            "severity": one.outcome.severity,
            "outcome": one.outcome.result,
            "records": one.outcome.records,
            "message": one.outcome.message,
            "record_numbers": ranges(one.outcome.numbers) or None,
            "explained_by": one.by or None,
            "explanation": one.why or None,
        }
        for one in judged
    ]
    rows.sort(key=lambda row: tuple(str(row[name]) for name in KEYS))
    fields = [
        pa.field(name, pa.int64() if name == "records" else pa.string(), metadata={"label": label})
        for name, label in LABELS.items()
    ]
    return pa.Table.from_pylist(rows, schema=pa.schema(fields, metadata={"dataset": TABLE.upper(), "label": LABEL}))


def findings(judged: Sequence[Judged], explained: Sequence[ExplainedFailure], lineage: Lines) -> Iterator[Finding]:
    """What a person must answer: failures of other engines that nobody explains; and explanations of nothing.

    `lineage` gives the raw lines of some records of a dataset. A failure of a rule of our own is a finding already.
    """
    for one in judged:
        said = one.outcome
        if not one.unexplained or said.engine == OWN:
            continue
        where = f" on {said.records:,} record(s)" if said.numbers else ""
        does = "fails" if said.result == "fail" else "could not be evaluated"
        yield Finding(
            CONFORMANCE_FAILED,
            SEVERITIES[said.severity],
            said.domain,
            said.variable,
            f"{said.rule} of {said.engine} {said.version} {does}{where}: {said.message}",
            "Correct the mapping, or say in conformance.csv why it stands",
            lineage(said.domain, np.array(said.numbers, dtype=np.int64)) if said.numbers else (),
            conformance_cause(said.engine, said.rule),
        )
    ran = {one.outcome.engine for one in judged if one.outcome.rule}
    used = {one.by for one in judged}
    for row in explained:
        if row.engine in ran and row.place not in used:
            yield Finding(
                "conformance_explanation_unused",
                Severity.INFORMATION,
                row.domain,
                row.variable,
                f"{row.place} explains {row.rule} of {row.engine}, which does not fail there any more",
                "Remove the row, so that the reviewer's guide does not say it",
                (),
                conformance_cause(row.engine, row.rule),
            )


def run_engines(study: Study, datasets: Mapping[str, pa.Table], *, cut_off: str, core: str) -> Iterator[Outcome]:
    """What the engines other than our own say; `core` names the CORE that the snapshot was opened with."""
    used = study.file.standards
    yield from pointblank_engine.run(datasets, used.sdtmig)
    yield from core_engine.run(
        datasets,
        studyid=study.file.studyid,
        sdtmig=used.sdtmig,
        terminology=used.ct,
        cut_off=cut_off,
        expected=core,
    )
