"""The table of conformance as people read it: counts by engine, and each failure with its explanation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from transforms.findings import CONFORMANCE_FAILED, conformance_cause, finding_id

PATH = Path("results", "conformance.parquet")
UNUSED = "conformance_explanation_unused"
EXPLANATIONS = "conformance.csv"
SETTLED = ("answered", "waived")


def read(snapshot: Path) -> dict[str, Any]:
    """What a snapshot's folder says of conformance; empty where it holds no table.

    `engines` are rows of engine, version, passed, failed, explained, unexplained, not_applicable, not_run and note
    (why an engine was not run). `failures` are the rows of the table that failed or could not be evaluated, and
    `unused` the messages of explanations that explain nothing.
    """
    if not (snapshot / PATH).is_file():
        return {}
    rows = pq.read_table(snapshot / PATH).to_pylist()
    found = pq.read_table(snapshot / "findings.parquet", columns=["rule", "message"]).to_pylist()
    engines = sorted({row["engine"] for row in rows}, key=str.casefold)
    return {
        "engines": [_engine(name, [row for row in rows if row["engine"] == name]) for name in engines],
        "failures": [row for row in rows if _failed(row)],
        "unused": [one["message"] for one in found if one["rule"] == UNUSED],
    }


def outcomes(snapshot: Path) -> list[dict[str, Any]]:
    """Every row of the table, in its order; none where the snapshot holds no table."""
    return list(pq.read_table(snapshot / PATH).to_pylist()) if (snapshot / PATH).is_file() else []


def with_reasons(listed: Mapping[str, Any], findings: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What `read` returned, each failure with `why` it may stand and `by` whom; both empty where nobody says so.

    Either a row of the study's conformance.csv or a rule that studies share explains it, or it is a finding that a
    person answered or waived. `findings` are rows with status, decided_by, decided_on and decision.
    """
    if not listed:
        return {}
    told = [(row, _settled(row, findings)) for row in listed["failures"]]
    return {**listed, "failures": [{**row, "why": why, "by": by} for row, (why, by) in told]}


def _settled(row: Mapping[str, Any], findings: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    if row["explained_by"]:
        whose = "the study" if row["explained_by"].startswith(EXPLANATIONS) else "every study"
        return row["explanation"], f"{row['explained_by']}, of {whose}"
    named = finding_id(
        CONFORMANCE_FAILED, row["domain"], row["variable"], conformance_cause(row["engine"], row["rule"])
    )
    place = (row["rule"], row["domain"], row["variable"])
    # A rule of our own is a finding under its own name, one for each cause.
    about = [
        one for one in findings if one["finding_id"] == named or (one["rule"], one["dataset"], one["variable"]) == place
    ]
    if not about or not all(one["status"] in SETTLED for one in about):
        return "", ""
    return (
        "; ".join(dict.fromkeys(one["decision"] for one in about)),
        "; ".join(dict.fromkeys(f"{one['decided_by']}, {one['decided_on']}" for one in about)),
    )


def _failed(row: Mapping[str, Any]) -> bool:
    """True for a failure, and for a rule that its engine could not evaluate; an engine not run has no rule."""
    return row["outcome"] == "fail" or bool(row["outcome"] == "not_run" and row["rule"])


def _engine(name: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    ran = [row for row in rows if row["rule"]]
    failed = [row for row in ran if _failed(row)]
    explained = sum(row["explained_by"] is not None for row in failed)
    return {
        "engine": name,
        "version": max((row["engine_version"] for row in rows), default=""),
        "passed": sum(row["outcome"] == "pass" for row in ran),
        "failed": sum(row["outcome"] == "fail" for row in ran),
        "explained": explained,
        "unexplained": len(failed) - explained,
        "not_applicable": sum(row["outcome"] == "not_applicable" for row in ran),
        "not_run": sum(row["outcome"] == "not_run" for row in rows),
        "note": "; ".join(row["message"] for row in rows if not row["rule"]),
    }


def lines(listed: Mapping[str, Any]) -> Iterator[str]:
    """What `read` returned as lines of text."""
    if not listed:
        yield "The snapshot holds no table of conformance."
        return
    for one in listed["engines"]:
        name = f"{one['engine']} {one['version']}".strip()
        if one["note"]:
            yield f"{name}: {one['note']}"
            continue
        yield (
            f"{name}: {one['passed']} passed, {one['explained'] + one['unexplained']} failed "
            f"({one['unexplained']} unexplained), {one['not_applicable']} not applicable"
        )
    for row in listed["failures"]:
        where = ".".join(one for one in (row["domain"], row["variable"]) if one)
        records = f"  {row['records']} record(s)" if row["records"] else ""
        word = row["outcome"].replace("_", " ")
        yield f"{word}  {row['rule']} ({row['engine']})  {row['severity']}  {where}{records}"
        yield f"    {row['message']}"
        yield f"    {row['explained_by']}: {row['explanation']}" if row["explained_by"] else "    unexplained"
    for message in listed["unused"]:
        yield f"unused  {message}"
