"""A cause that several rules find is told by one of them."""

from __future__ import annotations

import pyarrow as pa

from transforms.findings import Explanation, Finding, RawPlace, Severity, joined, to_arrow


def finding(rule: str, severity: Severity, *lines: int, file: str = "a.csv") -> Finding:
    return Finding(rule, severity, rule, "start, end", "says", "do", (RawPlace(file, lines, file),))


def rule(*tells: str) -> Explanation:
    return Explanation(why="why", cause="cause", who="who", tells=tells)


def told(*found: Finding, **rules: Explanation) -> dict[str, tuple[str, int, list[list[int]]]]:
    table: pa.Table = joined([to_arrow([one]) for one in found], rules)
    return {
        row["rule"]: (row["severity"], row["n_records"], [place["lines"] for place in row["places"]])
        for row in table.to_pylist()
    }


def test_what_another_rule_told_is_left_out_and_its_severity_stays() -> None:
    source, analysis = finding("source", Severity.ANSWER, 3, 7, 9), finding("analysis", Severity.CRITICAL, 3, 9)
    assert told(source, analysis, source=rule("analysis"), analysis=rule()) == {"source": ("critical", 3, [[3, 7, 9]])}


def test_a_rule_speaks_where_the_other_is_silent() -> None:
    analysis = finding("analysis", Severity.CRITICAL, 3, 9)
    rules = {"source": rule("analysis"), "analysis": rule()}
    assert told(analysis, **rules) == {"analysis": ("critical", 2, [[3, 9]])}
    assert told(finding("source", Severity.ANSWER, 3), analysis, **rules) == {
        "source": ("critical", 1, [[3]]),
        "analysis": ("critical", 1, [[9]]),
    }
    other = finding("source", Severity.ANSWER, 3, 9, file="b.csv")
    assert told(other, analysis, **rules)["analysis"] == ("critical", 2, [[3, 9]])


def test_a_chain_of_rules_is_told_by_the_first() -> None:
    found = [
        finding("a", Severity.INFORMATION, 1),
        finding("b", Severity.ANSWER, 1),
        finding("c", Severity.CRITICAL, 1),
    ]
    rules = {"a": rule("b"), "b": rule("c"), "c": rule()}
    assert told(*found, **rules) == {"a": ("critical", 1, [[1]])}


def test_a_finding_without_lines_stays() -> None:
    whole = Finding("analysis", Severity.CRITICAL, "AE", "", "says", "do")
    assert set(told(finding("source", Severity.ANSWER, 1), whole, source=rule("analysis"), analysis=rule())) == {
        "source",
        "analysis",
    }


def test_a_record_of_several_files_is_told_whole_or_not_at_all() -> None:
    """A record's line in another file says nothing by itself."""
    record = Finding(
        "dataset",
        Severity.ANSWER,
        "LB",
        "LBDTC",
        "says",
        "do",
        (RawPlace("a.csv", (3,), "a"), RawPlace("b.csv", (9,), "b")),
    )
    source = Finding("source", Severity.ANSWER, "lis", "taken", "says", "do", (RawPlace("a.csv", (3,), "a"),))
    rules = {"source": rule("dataset"), "dataset": rule()}
    assert told(source, record, **rules)["dataset"] == ("answer", 2, [[3], [9]])
    same = Finding("source", Severity.ANSWER, "LB", "LBDTC", "says", "do", (RawPlace("a.csv", (3,), "a"),))
    assert set(told(same, record, **rules)) == {"source"}


def split(rule: str, dataset: str, severity: Severity, line: int, cause: str = "subject 1") -> Finding:
    return Finding(rule, severity, dataset, "DTC", f"{rule} says", "do", (RawPlace("a.csv", (line,), "a"),), cause)


def gathers(*rules: str) -> Explanation:
    return Explanation(why="why", cause="cause", who="who", gathers=rules)


def test_rules_of_one_cause_are_one_finding_with_all_records() -> None:
    found = [
        split("dates", "DM", Severity.ANSWER, 1),
        split("visit", "SV", Severity.ANSWER, 2),
        split("result", "VS", Severity.CRITICAL, 3),
        split("result", "LB", Severity.CRITICAL, 4),
        split("result", "LB", Severity.CRITICAL, 5, cause="subject 2"),
    ]
    rules = {
        "dates": gathers("visit", "result"),
        "visit": gathers("result"),
        "result": gathers("result"),
    }
    rows = joined([to_arrow([one]) for one in found], rules).to_pylist()
    assert [(row["finding_id"], row["severity"], row["message"], row["places"][0]["lines"]) for row in rows] == [
        (
            found[0].finding_id,
            "critical",
            "dates says; SV: visit says; LB, VS: result says",
            [1, 2, 3, 4],
        ),
        (found[4].finding_id, "critical", "result says", [5]),
    ]
    without_dates = joined([to_arrow(found[1:])], rules).to_pylist()
    assert [(row["finding_id"], row["n_records"]) for row in without_dates] == [
        (found[4].finding_id, 1),
        (found[1].finding_id, 3),
    ]
    results = joined([to_arrow(found[2:4])], rules).to_pylist()
    assert [(row["finding_id"], row["message"]) for row in results] == [
        (found[3].finding_id, "result says; VS: result says")
    ]


def test_findings_that_nothing_tells_apart_are_not_gathered() -> None:
    found = [split("dates", "DM", Severity.ANSWER, 1, cause=""), split("visit", "SV", Severity.ANSWER, 2, cause="")]
    assert joined([to_arrow(found)], {"dates": gathers("visit"), "visit": gathers()}).num_rows == 2
