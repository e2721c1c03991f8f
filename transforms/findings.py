"""Findings: what a person must know or answer, each with its rule, its records and its remedy.

One cause is one finding, however many records it touches. A finding never holds subject data: it
points to file and line, and `./cairn trace --raw` shows the text to whoever may see it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
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


def joined_places(places: Iterable[RawPlace]) -> tuple[RawPlace, ...]:
    """Each file once, with the lines of all places in it, in order."""
    lines: dict[tuple[str, str], set[int]] = {}
    for place in places:
        lines.setdefault((place.file, place.sha256), set()).update(place.lines)
    return tuple(RawPlace(file, tuple(sorted(own)), sha256) for (file, sha256), own in sorted(lines.items()))


def _written(places: Iterable[RawPlace]) -> list[dict[str, Any]]:
    return [{"file": place.file, "lines": list(place.lines), "sha256": place.sha256} for place in places]


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


# What one stage found, before the stages are joined: `same` is equal where a rule gives one cause in several datasets,
# `cause` where any rules do; a finding that is told apart by nothing has none.
PART_SCHEMA = SCHEMA.append(pa.field("same", pa.string())).append(pa.field("cause", pa.string()))


def to_arrow(findings: Iterable[Finding]) -> pa.Table:
    """Findings of one stage as a table, most severe first; the columns are those of PART_SCHEMA."""
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
            "places": _written(finding.places),
            "same": finding_id(finding.rule, "", "", finding.cause),
            "cause": finding_id("", "", "", finding.cause) if finding.cause else "",
        }
        for finding in findings
    ]
    return _ordered(pa.Table.from_pylist(rows, schema=PART_SCHEMA))


def joined(parts: Iterable[pa.Table], explanations: Mapping[str, Explanation]) -> pa.Table:
    """The findings of all stages, most severe first; the columns are those of SCHEMA.

    Where several datasets say the same of one cause, and its rule is explained with `told_of`, that is one finding: of
    the dataset which is behind it, with the lines of all. A finding of a rule that another `gathers` is part of the
    other's finding of the same cause. Lines that a finding of a rule which `tells` another has are not told again by
    the other; one left without lines, or of the same variable, is left out. What gathers or tells has the graver
    severity of both.
    """
    table = pa.concat_tables(parts)
    shared = pa.array([bool(explanations[rule].told_of) for rule in table["rule"].to_pylist()], pa.bool_())
    causes: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in table.filter(shared).to_pylist():
        of = explanations[row["rule"]].told_of
        causes.setdefault((row["rule"], of, row["variable"], row["same"]), []).append(row)
    once = [
        _together(rows, of, variable) if len(rows) > 1 else rows[0] for (_, of, variable, _), rows in causes.items()
    ]
    others = table.filter(pc.invert(shared))
    whole = pa.concat_tables([others, pa.Table.from_pylist(once, schema=PART_SCHEMA)])
    whole = _gathered(whole, {rule: one.gathers for rule, one in explanations.items() if one.gathers})
    return _ordered(_told_once(whole, {rule: one.tells for rule, one in explanations.items() if one.tells}))


def _gathered(table: pa.Table, gathers: Mapping[str, Sequence[str]]) -> pa.Table:
    """Findings of which those of one cause that one rule gathers are one; the columns are those of SCHEMA."""
    gathered = {one for others in gathers.values() for one in others}
    concerned = pa.array(
        [
            bool(cause) and (rule in gathers or rule in gathered)
            for rule, cause in zip(table["rule"].to_pylist(), table["cause"].to_pylist(), strict=True)
        ],
        pa.bool_(),
    )
    causes: dict[str, list[dict[str, Any]]] = {}
    for row in table.filter(concerned).to_pylist():
        causes.setdefault(row["cause"], []).append(row)
    kept: list[dict[str, Any]] = []
    for rows in causes.values():
        parts: dict[int, list[dict[str, Any]]] = {}
        for at in range(len(rows)):
            parts.setdefault(_first_of(at, rows, gathers), []).append(rows[at])
        kept.extend(_with_parts(rows[first], own) for first, own in parts.items())
    rest = table.filter(pc.invert(concerned)).select(SCHEMA.names)
    return pa.concat_tables([rest, pa.Table.from_pylist(kept, schema=SCHEMA)])


def _first_of(at: int, rows: Sequence[dict[str, Any]], gathers: Mapping[str, Sequence[str]]) -> int:
    """The position of the finding that gathers that at a position in the end: the one itself where none does."""
    own = rows[at]
    for by, row in enumerate(rows):
        if own["rule"] not in gathers.get(row["rule"], ()):
            continue
        # A rule that gathers itself does so across datasets: the first by name has the others.
        if row["rule"] != own["rule"] or (row["dataset"], row["variable"]) < (own["dataset"], own["variable"]):
            return _first_of(by, rows, gathers)
    return at


def _with_parts(first: dict[str, Any], parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A finding with the lines of those it gathers, and what they say behind what it says."""
    others = [row for row in parts if row is not first]
    if not others:
        return first
    said: dict[str, list[str]] = {}
    for row in others:
        said.setdefault(row["message"], []).append(row["dataset"])
    rank = list(Severity)
    return first | {
        "severity": min((row["severity"] for row in parts), key=rank.index),
        "held": any(row["held"] for row in parts),
        "message": "; ".join([first["message"], *(f"{', '.join(sorted(own))}: {one}" for one, own in said.items())]),
        **_lines_of(parts),
    }


def _told_once(table: pa.Table, tells: Mapping[str, Sequence[str]]) -> pa.Table:
    """Findings without the lines that another finding tells."""
    here = set(table["rule"].to_pylist())
    told = {one for rule, others in tells.items() if rule in here for one in others} & here
    if not told:
        return table
    concerned = pa.array([rule in told or rule in tells for rule in table["rule"].to_pylist()], pa.bool_())
    rows = table.filter(concerned).to_pylist()
    lines = [{(place["sha256"], line) for place in row["places"] for line in place["lines"]} for row in rows]
    tellers = [
        [by for by, other in enumerate(rows) if row["rule"] in tells.get(other["rule"], ()) and lines[by] & own]
        for row, own in zip(rows, lines, strict=True)
    ]
    rank = list(Severity)
    for _ in tells:
        for row, known in zip(rows, tellers, strict=True):
            for by in known:
                rows[by]["severity"] = min(row["severity"], rows[by]["severity"], key=rank.index)
    kept = []
    for row, own, known in zip(rows, lines, tellers, strict=True):
        same = [by for by in known if (rows[by]["dataset"], rows[by]["variable"]) == (row["dataset"], row["variable"])]
        told_lines = set().union(*(lines[by] for by in known))
        # A line of a file that no other finding is about is part of a record whose other lines may not be told.
        alike = {sha256 for sha256, _ in own} <= {sha256 for sha256, _ in told_lines}
        left = set() if same else own - told_lines if alike else own
        if known and left != own:
            places = [
                place | {"lines": [line for line in place["lines"] if (place["sha256"], line) in left]}
                for place in row["places"]
            ]
            row |= {"places": [place for place in places if place["lines"]], "n_records": len(left)}
        if left or not known:
            kept.append(row)
    return pa.concat_tables([table.filter(pc.invert(concerned)), pa.Table.from_pylist(kept, schema=SCHEMA)])


def _together(rows: Sequence[dict[str, Any]], dataset: str, variable: str) -> dict[str, Any]:
    first = rows[0]
    return first | {
        "finding_id": finding_id(first["rule"], dataset, variable, first["same"]),
        "dataset": dataset,
        "message": f"{', '.join(sorted(row['dataset'] for row in rows))}: {first['message']}",
        **_lines_of(rows),
    }


def _lines_of(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The lines of several findings together, as one finding has them."""
    places = joined_places(RawPlace(**place) for row in rows for place in row["places"])
    return {"n_records": sum(len(place.lines) for place in places), "places": _written(places)}


def _ordered(table: pa.Table) -> pa.Table:
    """A table of findings, most severe first."""
    columns = [table[name].to_pylist() for name in ("severity", "dataset", "variable", "rule", "finding_id")]
    rank = {severity.value: position for position, severity in enumerate(Severity)}
    keys = [(rank[severity], *rest) for severity, *rest in zip(*columns, strict=True)]
    return table.take(pa.array(sorted(range(len(keys)), key=keys.__getitem__), type=pa.int64()))


class Explanation(BaseModel):
    """What people want to know of a rule: why it matters, what is likely behind it, who acts.

    `releasable` says that a person may release rows that the rule holds. `told_of` is the dataset that one cause is
    told of where several datasets find it. `tells` are rules whose findings say nothing new on lines of this one,
    `gathers` those whose findings of the same cause are part of one of this rule; a rule that gathers itself is one
    finding across datasets.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    why: str
    cause: str
    who: str
    releasable: bool = False
    told_of: str = ""
    tells: tuple[str, ...] = ()
    gathers: tuple[str, ...] = ()


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
