"""Toxicity grades of laboratory results by CTCAE v5.0.

Source: National Cancer Institute, Common Terminology Criteria for Adverse Events v5.0, 27 November 2017. The criteria
are data, in cdisc_mappings/standards/ctcae-5.0; a term is graded only if it stands there. What a laboratory result
alone cannot say is decided for the lower grade: hyponatraemia and hypokalaemia count as without symptoms, INR as
without anticoagulation, and clinical criteria (transfusion, bleeding, life-threatening consequences) belong to
adverse events.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from transforms.clinical.inputs import finite, positive, shared_index, truth
from transforms.core import text
from transforms.core.numbers import parse_number, round_significant
from transforms.core.tables import Table, read_table
from transforms.errors import ConfigurationError, Fault, UnitError

PUBLISHED = Path(__file__).resolve().parents[2] / "cdisc_mappings" / "standards" / "ctcae-5.0"
COLUMNS = {
    "terms.csv": ("term", "test_code", "direction", "unit", "note"),
    "criteria.csv": ("term", "grade", "baseline", "comparison", "factor", "of"),
    "units.csv": ("term", "unit", "factor"),
}
COMPARISONS: Mapping[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}


@dataclass(frozen=True)
class Criterion:
    """One way to reach a grade: the value compares so with `factor` times `of`, or with `factor` where `of` is empty.

    `baseline` says for whom: `normal`, `high` or `any` baseline.
    """

    grade: int
    baseline: str
    comparison: str
    factor: float
    of: str


@dataclass(frozen=True)
class Rule:
    """The criteria of one term; `factors` convert a unit to the one the criteria are written in."""

    term: str
    test_code: str
    direction: str
    unit: str
    criteria: tuple[Criterion, ...]
    factors: Mapping[str, float]


@dataclass(frozen=True)
class Criteria:
    """The rules by term, in lower case."""

    rules: Mapping[str, Rule]

    @classmethod
    def load(cls, folder: Path = PUBLISHED) -> Criteria:
        """Read terms.csv, criteria.csv and units.csv; ConfigurationError lists every fault."""
        faults: list[Fault] = []
        tables = {name: _read(folder, name, faults) for name in COLUMNS}
        if faults:
            raise ConfigurationError(faults)
        terms = _lines(tables["terms.csv"])
        known = {row["term"] for _, row in terms}
        criteria: dict[str, list[Criterion]] = {term: [] for term in known}
        factors: dict[str, dict[str, float]] = {row["term"]: {row["unit"]: 1.0} for _, row in terms}

        for line, row in _lines(tables["criteria.csv"]):
            factor = parse_number(row["factor"])
            wrong = [
                column
                for column, good in (
                    ("term", row["term"] in known),
                    ("grade", row["grade"] in {"1", "2", "3", "4"}),
                    ("baseline", row["baseline"] in {"any", "normal", "high"}),
                    ("comparison", row["comparison"] in COMPARISONS),
                    ("factor", factor is not None),
                    ("of", row["of"] in {"", "LLN", "ULN", "BASE"}),
                )
                if not good
            ]
            faults += [_fault("criteria.csv", line, f"{column} is {row[column]!r}") for column in wrong]
            if not wrong and factor is not None:
                criteria[row["term"]].append(
                    Criterion(int(row["grade"]), row["baseline"], row["comparison"], factor, row["of"])
                )
        for line, row in _lines(tables["units.csv"]):
            factor = parse_number(row["factor"])
            if row["term"] not in known or row["unit"] in factors[row["term"]] or not factor or factor < 0:
                faults.append(
                    _fault("units.csv", line, "the term is unknown, the unit listed twice or the factor none")
                )
            else:
                factors[row["term"]][row["unit"]] = factor
        rules: dict[str, Rule] = {}
        for line, row in terms:
            term = row["term"]
            if term.lower() in rules or not criteria[term] or row["direction"] not in {"L", "H"}:
                faults.append(
                    _fault("terms.csv", line, "the term is listed twice, has no criterion or no direction L or H")
                )
            rules[term.lower()] = Rule(
                term, row["test_code"], row["direction"], row["unit"], tuple(criteria[term]), factors[term]
            )
        if faults:
            raise ConfigurationError(faults)
        return cls(rules)


@cache
def published_criteria() -> Criteria:
    """The criteria of CTCAE v5.0, read once."""
    return Criteria.load()


def compute_toxicity_terms(
    *, test_code: pd.Series, direction: Literal["L", "H"], criteria: Criteria | None = None
) -> pd.Series:
    """The term that grades low (`L`) or high (`H`) results of each LBTESTCD; missing where there is none."""
    rules = (criteria or published_criteria()).rules.values()
    terms = {rule.test_code: rule.term for rule in rules if rule.direction == direction}
    return text.translate(text.from_values(test_code), terms)


def is_unit_listed(*, term: pd.Series, unit: pd.Series, criteria: Criteria | None = None) -> pd.Series:
    """Whether units.csv lists the unit of a row for its term; true where there is no rule or no unit."""
    rules = (criteria or published_criteria()).rules

    def listed(one: str | None, measured: str | None) -> float:
        rule = rules.get((one or "").strip().lower())
        return float(rule is None or not measured or measured.strip() in rule.factors)

    return text.map_rows_number([text.from_values(term), text.from_values(unit)], listed).astype(bool)


def compute_toxicity_grades(
    *,
    term: pd.Series,
    value: pd.Series,
    unit: pd.Series,
    lln: pd.Series,
    uln: pd.Series,
    baseline: pd.Series,
    baseline_high: pd.Series,
    criteria: Criteria | None = None,
) -> pd.Series:
    """CTCAE v5.0 grade of each result, 0 to 4, NaN where it cannot be known.

    `term` is the CTCAE term, in any case; the rows may have many. `unit` is that of the value, of both limits and of
    the baseline on the row. `baseline_high` says whether the baseline was above its own upper limit: rules with a
    part for an abnormal baseline then look at multiples of the baseline alone, so that a result above the limit may
    have grade 0.

    The grade is the highest one that a criterion reaches, 0 if none does. It is missing where the value is missing,
    negative or infinite, where the term has no rule (ammonia), where the unit is missing, and where a missing limit or
    baseline leaves a higher grade open. Limits and baselines that are negative, and an upper limit or baseline of 0,
    count as missing. Values are compared with cut-offs at 12 significant digits; no bound or rounding else.

    UnitError, naming terms and units, where results stand in a unit that units.csv does not list for the term.
    """
    index = shared_index(
        term=term,
        value=value,
        unit=unit,
        lln=lln,
        uln=uln,
        baseline=baseline,
        baseline_high=baseline_high,
    )
    results = finite("value", value)
    results = np.where(results < 0, np.nan, results)
    lower = finite("lln", lln)
    references = {
        "LLN": np.where(lower < 0, np.nan, lower),
        "ULN": positive("uln", uln),
        "BASE": positive("baseline", baseline),
    }
    high = truth("baseline_high", baseline_high)
    term_codes, terms = pd.factorize(term)
    unit_codes, units = pd.factorize(unit)
    unit_texts = [str(one).strip() for one in units]
    rules = (criteria or published_criteria()).rules

    grades = np.full(len(index), np.nan)
    refused: list[str] = []
    for code, name in enumerate(terms):
        rule = rules.get(str(name).strip().lower())
        if rule is None:
            continue
        rows = np.flatnonzero((term_codes == code) & ~np.isnan(results))
        without = rule.factors.get("", np.nan)
        factors = np.array([*(rule.factors.get(one, 0.0) if one else without for one in unit_texts), without])
        factor = factors[unit_codes[rows]]
        for position in np.unique(unit_codes[rows][factor == 0]):
            count = int((unit_codes[rows] == position).sum())
            refused.append(f"{rule.term} in {unit_texts[position]} ({count} rows; the rule is in {rule.unit})")
        there = {of: reference[rows] * factor for of, reference in references.items()}
        grades[rows] = _grade(rule, results[rows] * factor, there, high[rows])
    if refused:
        raise UnitError(
            f"no factor is listed for {'; '.join(refused)}. "
            "Convert the results to the unit of the rule, or add the factor to "
            "cdisc_mappings/standards/ctcae-5.0/units.csv"
        )
    return pd.Series(grades, index=index)


def _grade(rule: Rule, value: np.ndarray, references: Mapping[str, np.ndarray], high: np.ndarray) -> np.ndarray:
    """The highest grade reached; NaN where the value is missing or a higher grade is undecided."""
    rounded = round_significant(value)
    reached = np.zeros(len(value))
    undecided = np.zeros(len(value))
    applies = {"any": np.ones(len(value)), "normal": 1 - high, "high": high}
    for criterion in rule.criteria:
        limit = criterion.factor * (references[criterion.of] if criterion.of else np.ones(len(value)))
        holds = COMPARISONS[criterion.comparison](rounded, round_significant(limit))
        concerns = applies[criterion.baseline]
        yes = (concerns == 1) & holds
        no = (concerns == 0) | (~np.isnan(limit) & ~holds)
        reached[yes] = np.maximum(reached[yes], criterion.grade)
        undecided[~yes & ~no] = np.maximum(undecided[~yes & ~no], criterion.grade)
    return np.where(np.isnan(value) | (undecided > reached), np.nan, reached)


def _read(folder: Path, name: str, faults: list[Fault]) -> Table:
    try:
        table = read_table(folder / name, name)
    except (OSError, ValueError) as error:
        faults.append(Fault(f"{folder.name}/{name}", "", f"cannot be read ({error})", "Restore or correct the file"))
        return Table(name, name, (), (), ())
    if table.columns != COLUMNS[name]:
        faults.append(
            Fault(f"{folder.name}/{name}", "line 1", "has other columns", f"Write {', '.join(COLUMNS[name])}")
        )
    return table


def _lines(table: Table) -> list[tuple[int, dict[str, str]]]:
    rows = (dict(zip(table.columns, row, strict=True)) for row in table.rows)
    return list(zip(table.lines, rows, strict=True))


def _fault(file: str, line: int, problem: str) -> Fault:
    return Fault(file, f"line {line}", problem, "Correct the line")
