"""Findings: what a person must know or answer, each with its rule, its records and its remedy.

One cause is one finding, however many records it touches. A finding never holds subject data: it
points to file and line, and `./cairn trace --raw` shows the text to whoever may see it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import pyarrow as pa
from pydantic import BaseModel, ConfigDict


class Severity(StrEnum):
    """`critical` stops an export, `answer` waits for a person's answer, `information` only tells."""

    CRITICAL = "critical"
    ANSWER = "answer"
    INFORMATION = "information"


@dataclass(frozen=True)
class RawPlace:
    """Lines of one raw file: a line counts from 1, the header being line 1. `sha256` is of the file's bytes."""

    file: str
    lines: tuple[int, ...] = ()
    sha256: str = ""


@dataclass(frozen=True)
class Finding:
    """One finding. `cause` tells findings of one rule apart and is hashed, so it may be collected text."""

    rule: str
    severity: Severity
    dataset: str
    variable: str
    message: str
    remedy: str
    places: tuple[RawPlace, ...] = ()
    cause: str = field(default="", repr=False)
    held: bool = False

    @property
    def finding_id(self) -> str:
        """A stable id from rule, place and cause; the same cause has the same id in every run."""
        return finding_id(self.rule, self.dataset, self.variable, self.cause)

    @property
    def n_records(self) -> int:
        """Raw lines concerned."""
        return sum(len(place.lines) for place in self.places)


def finding_id(rule: str, dataset: str, variable: str, cause: str) -> str:
    """The id of the finding of a rule at a place with a cause."""
    return hashlib.sha256("\x1f".join((rule, dataset, variable, cause)).encode()).hexdigest()[:16]


CONFORMANCE_FAILED = "conformance_failed"


def conformance_cause(engine: str, rule: str) -> str:
    """What tells the failures of conformance rules at one place apart."""
    return f"{engine}\x1f{rule}"


SCHEMA = pa.schema(
    [
        ("finding_id", pa.string()),
        ("rule", pa.string()),
        ("severity", pa.string()),
        ("dataset", pa.string()),
        ("variable", pa.string()),
        ("message", pa.string()),
        ("remedy", pa.string()),
        ("held", pa.bool_()),
        ("n_records", pa.int64()),
        (
            "places",
            pa.list_(
                pa.struct([("file", pa.string()), ("lines", pa.list_(pa.int64())), ("sha256", pa.string())]),
            ),
        ),
    ]
)


def to_arrow(findings: Iterable[Finding]) -> pa.Table:
    """Findings as a table, most severe first; the columns are those of SCHEMA."""
    rows = [
        {
            "finding_id": finding.finding_id,
            "rule": finding.rule,
            "severity": finding.severity.value,
            "dataset": finding.dataset,
            "variable": finding.variable,
            "message": finding.message,
            "remedy": finding.remedy,
            "held": finding.held,
            "n_records": finding.n_records,
            "places": [
                {"file": place.file, "lines": list(place.lines), "sha256": place.sha256} for place in finding.places
            ],
        }
        for finding in findings
    ]
    return ordered(pa.Table.from_pylist(rows, schema=SCHEMA))


def ordered(table: pa.Table) -> pa.Table:
    """A table of findings, most severe first."""
    columns = [table[name].to_pylist() for name in ("severity", "dataset", "variable", "rule", "finding_id")]
    rank = {severity.value: position for position, severity in enumerate(Severity)}
    keys = [(rank[severity], *rest) for severity, *rest in zip(*columns, strict=True)]
    return table.take(pa.array(sorted(range(len(keys)), key=keys.__getitem__), type=pa.int64()))


class Explanation(BaseModel):
    """What people want to know of a rule: why it matters, what is likely behind it, who acts.

    `releasable` says that a person may release rows that the rule holds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    why: str
    cause: str
    who: str
    releasable: bool = False


def explained(table: pa.Table, explanations: Mapping[str, Explanation]) -> pa.Table:
    """Findings with the explanation of their rules: why, likely_cause, who_acts, releasable.

    Raises KeyError for a rule that nobody explains.
    """
    known = [explanations[rule] for rule in table["rule"].to_pylist()]
    for name, values in (
        ("why", [one.why for one in known]),
        ("likely_cause", [one.cause for one in known]),
        ("who_acts", [one.who for one in known]),
    ):
        table = table.append_column(name, pa.array(values, type=pa.string()))
    return table.append_column("releasable", pa.array([one.releasable for one in known], type=pa.bool_()))
