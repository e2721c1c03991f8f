"""The conformance report of a submission package: what was checked, by what, what came of it, and who says why.

One page to read and one workbook with every rule. What was not run is said with its reason and counts as nothing.
The same facts give the same bytes; no collected value is in either.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from transforms.core.workbooks import Cell, Sheet, workbook
from transforms.findings import Severity
from transforms.reporting.conformance import SETTLED
from transforms.reporting.delivery import template

Row = Mapping[str, Any]
NOBODY = "Not explained"
WORDS = {
    "pass": "passed",
    "fail": "failed",
    "not run": "not run",
    "not_run": "not run",
    "not_applicable": "nothing to check",
}


@dataclass(frozen=True)
class ConformanceFacts:
    """What the report is made of, as plain rows.

    `conformance` is what `conformance.with_reasons` returns and `outcomes` every row of the table it was read from;
    `findings` are those of the snapshot with status, decided_by, decided_on and decision; `checklist` are the checks of
    the package with id, says, source, outcome, reason and faults. `locked` has by and reason. `not_ready` is why a
    preview may not be submitted.
    """

    study: str
    studyid: str
    title: str
    snapshot_id: str
    cut_off: datetime
    agency: str
    standards: Mapping[str, str]
    conformance: Mapping[str, Any]
    outcomes: Sequence[Row]
    findings: Sequence[Row]
    checklist: Sequence[Row]
    label: str = ""
    locked: Row | None = None
    preview: bool = False
    not_ready: Sequence[str] = ()

    @property
    def failures(self) -> list[dict[str, Any]]:
        """The rules of conformance that failed or could not be evaluated."""
        return [
            {**row, "place": _place(row["domain"], row["variable"])} for row in self.conformance.get("failures", ())
        ]

    @property
    def engines(self) -> list[dict[str, Any]]:
        """What each engine counted; `standing` are failures that neither a row nor a person explains."""
        standing = Counter(row["engine"] for row in self.failures if not row["why"])
        return [
            {
                **one,
                "ran": not one["note"],
                "settled": one["explained"] + one["unexplained"] - standing[one["engine"]],
                "standing": standing[one["engine"]],
            }
            for one in self.conformance.get("engines", ())
        ]

    @property
    def not_run(self) -> list[tuple[str, str]]:
        """What was not run, and why."""
        engines = [(one["engine"], one["note"]) for one in self.engines if not one["ran"]]
        lines = [(one["id"], one["reason"]) for one in self.checklist if one["outcome"] == "not run"]
        return engines + lines

    def of(self, severity: str) -> list[dict[str, Any]]:
        """The findings of a severity, those open first."""
        found = [
            {**one, "place": _place(one["dataset"], one["variable"])}
            for one in self.findings
            if one["severity"] == severity
        ]
        return sorted(found, key=lambda one: (one["status"] in SETTLED, one["rule"], one["place"], one["finding_id"]))


def page(facts: ConformanceFacts) -> str:
    """The page, as HTML text without scripts or references to anything outside it."""
    outcomes = Counter(one["outcome"] for one in facts.checklist)
    return template("conformance.html.j2").render(
        facts=facts,
        words=WORDS,
        nobody=NOBODY,
        checked={word: outcomes[word] for word in ("pass", "fail", "not run")},
        findings=[(severity.value, facts.of(severity)) for severity in Severity],
        settled=SETTLED,
    )


def book(facts: ConformanceFacts) -> bytes:
    """The workbook: what it is of, engines, rules that failed, findings, checks of the package, and every rule."""
    sheets = [
        Sheet("About", {"What": 22, "Is": 100}, list(_about(facts))),
        Sheet(
            "Engines",
            {
                "Engine": 16,
                "Version": 16,
                "Ran": 8,
                "Passed": 10,
                "Failed": 10,
                "of these explained": 12,
                "not explained": 12,
                "Nothing to check": 12,
                "Not evaluated": 12,
                "Why not run": 60,
            },
            [_engine(one) for one in facts.engines],
        ),
        Sheet(
            "Failed rules",
            {
                "Rule": 18,
                "Engine": 14,
                "Severity": 12,
                "Place": 18,
                "Outcome": 12,
                "Records": 10,
                "First records": 24,
                "What the rule says": 50,
                "Why it stands": 60,
                "By": 28,
            },
            [
                [
                    *(row[name] for name in ("rule", "engine", "severity", "place")),
                    WORDS[row["outcome"]],
                    row["records"],
                    row["record_numbers"],
                    row["message"],
                    row["why"] or NOBODY,
                    row["by"],
                ]
                for row in facts.failures
            ],
        ),
        Sheet(
            "Findings",
            {
                "Finding": 18,
                "Rule": 26,
                "Severity": 12,
                "Place": 24,
                "Lines": 10,
                "Status": 12,
                "By": 20,
                "On": 12,
                "Decision": 40,
                "What it is": 60,
                "What to do": 50,
            },
            [
                [
                    *(one[name] for name in ("finding_id", "rule", "severity", "place", "n_records", "status")),
                    *(one[name] for name in ("decided_by", "decided_on", "decision", "message", "remedy")),
                ]
                for severity in Severity
                for one in facts.of(severity)
            ],
        ),
        Sheet(
            "Package",
            {"Check": 18, "Outcome": 12, "What is checked": 70, "Why not run, or what failed": 70, "Source": 50},
            [
                [one["id"], WORDS[one["outcome"]], one["says"], "\n".join(_told(one)), one["source"]]
                for one in facts.checklist
            ],
        ),
        Sheet(
            "Every rule",
            {
                "Engine": 14,
                "Rule": 24,
                "Dataset": 10,
                "Variable": 12,
                "Severity": 12,
                "Outcome": 16,
                "Records": 10,
                "What the rule says": 70,
            },
            [
                [
                    *(row[name] for name in ("engine", "rule", "domain", "variable", "severity")),
                    WORDS[row["outcome"]],
                    row["records"] if row["outcome"] in {"pass", "fail"} else None,
                    row["message"],
                ]
                for row in facts.outcomes
            ],
        ),
    ]
    return workbook(sheets, created=facts.cut_off)


def _about(facts: ConformanceFacts) -> Iterator[tuple[str, Cell]]:
    if facts.label:
        yield "Label", facts.label
    yield "Study", facts.studyid
    yield "Title", facts.title
    yield "Snapshot", facts.snapshot_id
    yield "Cut-off", facts.cut_off.date().isoformat()
    yield "Agency", facts.agency
    yield from facts.standards.items()
    yield "Locked", f"{facts.locked['by']}: {facts.locked['reason']}" if facts.locked else "no"
    for why in facts.not_ready:
        yield "PREVIEW, since", why
    for what, why in facts.not_run:
        yield f"Not run: {what}", why


def _engine(one: Row) -> list[Cell]:
    counts = (one["passed"], one["settled"] + one["standing"], one["settled"], one["standing"])
    told: list[Cell] = [*counts, one["not_applicable"], one["not_run"]]
    return [
        one["engine"],
        one["version"],
        "yes" if one["ran"] else "no",
        *(told if one["ran"] else [None] * 6),
        one["note"],
    ]


def _told(one: Row) -> list[str]:
    return [one["reason"], *one["faults"]] if one["reason"] else list(one["faults"])


def _place(dataset: str | None, variable: str | None) -> str:
    return ".".join(part for part in (dataset, variable) if part)
