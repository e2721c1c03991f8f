"""The life of findings against the rules of the ledger, written out by hand."""

from __future__ import annotations

from typing import Any

from transforms.warehouse.decisions import START, Act, Decision
from transforms.warehouse.ledger import Ledger
from transforms.warehouse.publications import Publication


def publication(number: int, decisions: int = 0) -> Publication:
    return Publication(number, f"snapshot{number}", f"2024-0{number + 1}-01", None, "cdisc", number, decisions, START)


def decision(number: int, act: Act, **target: Any) -> Decision:
    return Decision(number, act, target, "A. Person", "because", "user", "2024-01-01T00:00:00+00:00", START, START)


def told(ledger: Ledger) -> list[tuple[str, str, int | None, int | None]]:
    return [(one.finding_id, one.event, one.publication, one.decision) for one in ledger.history]


def test_a_finding_opens_closes_and_reopens_under_the_same_id() -> None:
    ledger = Ledger()
    for number, present in enumerate([{"a": 3}, {"a": 3}, {}, {"a": 1}]):
        ledger.publish(publication(number), present, ())
    assert told(ledger) == [("a", "opened", 0, None), ("a", "closed", 2, None), ("a", "reopened", 3, None)]
    assert [one.cut_off for one in ledger.history] == ["2024-01-01", "2024-03-01", "2024-04-01"]
    life = ledger.lives["a"]
    assert (life.status, life.opened, life.closed, life.reopened) == ("open", "2024-01-01", None, 1)


def test_an_answer_holds_until_there_are_more_records() -> None:
    said = (decision(0, "answer", finding_id="a", n_records=3),)
    ledger = Ledger()
    for number, size in enumerate([3, 3, 2, 4]):
        ledger.publish(publication(number, min(number, 1)), {"a": size}, said)
    assert told(ledger) == [("a", "opened", 0, None), ("a", "answered", 1, 0), ("a", "reopened", 3, None)]


def test_a_waiver_ends_with_the_finding() -> None:
    said = (decision(0, "waive", finding_id="a", n_records=3),)
    ledger = Ledger()
    for number, present in enumerate([{"a": 3}, {"a": 3}, {}, {"a": 3}]):
        ledger.publish(publication(number, min(number, 1)), present, said)
    assert [event for _, event, _, _ in told(ledger)] == ["opened", "waived", "closed", "reopened"]
    assert ledger.lives["a"].status == "open"


def test_a_release_closes_its_finding_and_is_named() -> None:
    said = (decision(0, "release", finding_id="a"),)
    ledger = Ledger()
    ledger.publish(publication(0), {"a": 1, "b": 1}, said)
    ledger.publish(publication(1, 1), {}, said)
    assert told(ledger)[2:] == [("a", "closed", 1, 0), ("b", "closed", 1, None)]


def test_a_decision_counts_once_and_not_for_unknown_or_closed_findings() -> None:
    said = (decision(0, "answer", finding_id="z", n_records=1), decision(1, "answer", finding_id="a", n_records=1))
    ledger = Ledger()
    ledger.publish(publication(0, 0), {"a": 1}, said)
    ledger.publish(publication(1, 2), {}, said)
    ledger.publish(publication(2, 2), {"a": 1}, said)
    assert [event for _, event, _, _ in told(ledger)] == ["opened", "answered", "closed", "reopened"]


def test_a_decision_before_its_publication_is_seen_at_once() -> None:
    ledger = Ledger()
    ledger.publish(publication(0), {"a": 1}, ())
    ledger.say(decision(0, "answer", finding_id="a", n_records=1))
    assert told(ledger)[-1] == ("a", "answered", None, 0)
    assert ledger.lives["a"].status == "answered"
