"""Failures of conformance rules that a study explains, as data: its file conformance.csv.

The reasons go into the reviewer's guide, so each names one rule on one dataset and says why it stands.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from difflib import get_close_matches

from transforms.core.tables import Table, read_table
from transforms.errors import Fault
from transforms.study import Study
from transforms.validation import core_engine, pointblank_engine
from transforms.validation.outcome import Outcome

FILE = "conformance.csv"
COLUMNS = ("ENGINE", "RULE", "DOMAIN", "VARIABLE", "WHY")
# The engine that runs the rules which follow from the specification.
OWN = "cairn"
ENGINES = (pointblank_engine.ENGINE, core_engine.ENGINE, OWN)


@dataclass(frozen=True)
class ExplainedFailure:
    """Why a rule may fail on a dataset; without a variable, whatever variable it fails on. `place` is file and line."""

    engine: str
    rule: str
    domain: str
    variable: str
    why: str
    place: str

    def explains(self, outcome: Outcome) -> bool:
        """True if the outcome is the failure that is explained."""
        same = (outcome.engine, outcome.rule, outcome.domain) == (self.engine, self.rule, self.domain)
        return same and self.variable in {"", outcome.variable}


def explained_failures(
    study: Study, own_rules: Collection[str]
) -> tuple[tuple[ExplainedFailure, ...], tuple[Fault, ...]]:
    """The failures that a study explains, and every fault of its file; `own_rules` are the ids of our own rules."""
    path = study.folder / FILE
    if not path.is_file():
        return (), ()
    try:
        table = read_table(path, FILE)
    except ValueError as error:
        return (), (Fault(FILE, "", str(error), "Correct the table"),)
    if table.columns != COLUMNS:
        fault = Fault(FILE, "header", f"is {', '.join(table.columns)}", f"Write {','.join(COLUMNS)}")
        return (), (fault,)
    known = {
        pointblank_engine.ENGINE: set(pointblank_engine.catalogue(study.file.standards.sdtmig)),
        OWN: {one for one in own_rules if one.startswith("structure.")},
    }
    faults = tuple(_faults(study, table, known))
    found = tuple(
        ExplainedFailure(engine, rule, domain, variable, why, f"{FILE} line {line}")
        for (engine, rule, domain, variable, why), line in zip(table.rows, table.lines, strict=True)
    )
    return found, faults


def _faults(study: Study, table: Table, known: dict[str, set[str]]) -> Iterator[Fault]:
    datasets = {*study.standards.datasets, *(f"SUPP{name}" for name in study.datasets), ""}
    seen: dict[tuple[str, ...], str] = {}
    for row, line in zip(table.rows, table.lines, strict=True):
        engine, rule, domain, _, why = row
        place = f"line {line}"
        if engine not in ENGINES:
            yield Fault(FILE, place, f"unknown engine {engine!r}", f"Write one of: {', '.join(ENGINES)}")
        elif engine == core_engine.ENGINE:
            if not re.fullmatch(core_engine.RULE, rule):
                yield Fault(FILE, place, f"{rule!r} is no rule of CORE", "Write its id as CORE-000123")
        elif rule not in known[engine]:
            close = get_close_matches(rule, known[engine], 1, 0.6)
            remedy = f"Did you mean {close[0]}?" if close else "./cairn conformance lists the rules"
            yield Fault(FILE, place, f"{engine} has no rule {rule!r}", remedy)
        if domain not in datasets:
            yield Fault(FILE, place, f"there is no dataset {domain!r}", "Name one of the standard or of the study")
        if not why:
            yield Fault(FILE, place, "does not say why", "Write what the reviewer's guide is to say")
        if row[:4] in seen:
            yield Fault(FILE, place, f"explains the same as {seen[row[:4]]}", "Keep one")
        seen.setdefault(row[:4], place)
