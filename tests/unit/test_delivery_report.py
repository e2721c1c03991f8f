"""The delivery report: complete, the same for the same facts, needing nothing else, loud where sums do not close."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import fields, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.reporting.delivery import DeliveryFacts, delivery_report, file_lines, movement_lines, yield_lines

ROOT = Path(__file__).resolve().parents[2]
VOID = {"meta", "br", "link", "img", "input", "hr"}
CLOSED_BY_ITSELF = {"script", "iframe", "object", "embed", "link", "img", "form", "base"}


class Page(HTMLParser):
    """A page as its text, its elements, and the elements that were not closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.parts: list[str] = []
        self.feed(html)
        self.close()
        self.wrong += self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self.open and self.open[-1] == tag:
            self.open.pop()
        else:
            self.wrong.append(f"/{tag}")

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.parts.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.parts))


def received(source: str, rows: int, **more: Any) -> dict[str, Any]:
    return {
        "number": 0,
        "delivery": "manifest.json",
        "source": source,
        "file": f"{source}.csv",
        "sha256": source * 8,
        "size": 1234,
        "rows": rows,
        "extracted_at": "2025-01-31T06:00",
        "accepted": True,
        "rule": "",
        "problem": "",
        "remedy": "",
        **more,
    }


def staging(source: str, outcome: str, rows: int, rule: str = "") -> dict[str, Any]:
    return {
        "stage": "staging",
        "source": source,
        "file": f"{source}.csv",
        "sha256": source * 8,
        "dataset": None,
        "outcome": outcome,
        "rule": rule,
        "rows": rows,
    }


def mapping(source: str, dataset: str, outcome: str, rows: int, rule: str = "") -> dict[str, Any]:
    return staging(source, outcome, rows, rule) | {
        "stage": "mapping",
        "dataset": dataset,
        "file": None,
        "sha256": None,
    }


def finding(finding_id: str, severity: str = "answer", **more: Any) -> dict[str, Any]:
    return {
        "finding_id": finding_id,
        "rule": "unknown_term",
        "severity": severity,
        "dataset": "AE",
        "variable": "AEOUT",
        "message": "a term is in no codelist",
        "remedy": "Add it to the codelist",
        "why": "An unknown term is never passed through",
        "cause": "The form was amended",
        "who": "Data manager",
        "held": False,
        "n_records": 1,
        "places": [{"file": "ae.csv", "lines": [7]}],
        "status": "open",
        "opened": "2025-01-31",
        "change": "new",
        **more,
    }


FACTS = DeliveryFacts(
    study="tiny",
    title="A small study 小型研究",
    snapshot_id="cafe01",
    previous_id="beef02",
    cut_off="2025-01-31",
    published=True,
    run_id="run-1",
    received=(received("ae", 1099), received("lab", 29013)),
    accounts=(
        staging("ae", "accepted", 1090),
        staging("ae", "excluded", 9, "deleted_record"),
        staging("lab", "accepted", 28001),
        staging("lab", "quarantined", 2, "unreadable_number"),
        staging("lab", "superseded", 1003, "later_file"),
        staging("lab", "duplicate", 7, "equal_row"),
        mapping("ae", "AE", "record", 1085),
        mapping("ae", "AE", "held", 2, "unknown_term"),
        mapping("ae", "AE", "none", 3, "not_given"),
        mapping("lab", "LB", "record", 28001),
    ),
    findings=(
        finding("f1", n_records=8, places=[{"file": "ae.csv", "lines": [3, 5, 8, 13, 21, 34, 55, 89]}]),
        finding("f2", "critical", rule="unreadable_number", dataset="lab", variable="result", held=True),
        finding("f3", "information", change="open", opened="2024-12-31"),
        finding("f4", status="waived", change="reopened"),
    ),
    closed=(finding("f9", message="a date was missing"),),
    datasets={"AE": (1085, 1080), "LB": (28001, 27001), "DM": (48, 48)},
    changes=(
        {"dataset": "AE", "before": 1080, "after": 1085, "added": 6, "removed": 1, "changed": 4}
        | {"renumbered": 17, "variables": {"AEOUT": 4, "AEENDTC": 2}, "new_variables": [], "gone_variables": []},
        {"dataset": "LB", "before": 27001, "after": 28001, "added": 1000, "removed": 0, "changed": 0}
        | {"renumbered": 0, "variables": {}, "new_variables": ["LBNRIND"], "gone_variables": []},
        {"dataset": "DM", "before": 48, "after": 48, "added": 0, "removed": 0, "changed": 0}
        | {"renumbered": 0, "variables": {}, "new_variables": [], "gone_variables": []},
    ),
    quarantine=(
        {"file": "lab.csv", "line": 412, "rule": "unreadable_number", "finding_id": "f2", "releasable": True},
        {"file": "lab.csv", "line": 413, "rule": "unreadable_number", "finding_id": "f2", "releasable": True},
    ),
    waiting=("vs_20250201.csv",),
    conformance={
        "engines": [
            {"engine": "cairn", "version": "cafe", "passed": 1448, "explained": 0, "unexplained": 0}
            | {"not_applicable": 136, "note": ""},
            {"engine": "CORE", "version": "", "passed": 0, "explained": 0, "unexplained": 0}
            | {"not_applicable": 0, "note": "CDISC CORE was not run"},
            {"engine": "pointblank", "version": "1.1.1", "passed": 305, "explained": 1, "unexplained": 1}
            | {"not_applicable": 171, "note": ""},
        ],
        "failures": [
            {
                "rule": "SDTM-094",
                "engine": "pointblank",
                "domain": "LB",
                "message": "A unit",
                "explained_by": "ct_version",
            },
            {
                "rule": "SDTM-121",
                "engine": "pointblank",
                "domain": "TS",
                "message": "TS is missing",
                "explained_by": None,
            },
        ],
        "unused": [],
    },
)
EMPTY = DeliveryFacts("tiny", "A small study", "cafe01", None, "2025-01-31", True, "run-1")
CASES: Mapping[str, DeliveryFacts] = {
    "typical": FACTS,
    "nothing at all": EMPTY,
    "first publication": replace(FACTS, previous_id=None, changes=(), closed=()),
    "200 findings": replace(
        FACTS, findings=tuple(finding(f"id{n}", rule=f"rule_{n % 7}", places=[]) for n in range(200))
    ),
    "refused": replace(
        FACTS,
        published=False,
        received=(
            received("ae", 0, accepted=False, rule="checksum_mismatch", problem="its sha256 differs", remedy="Resend"),
            received("lab", 9, accepted=False, rule="delivery_refused", problem="its delivery was refused"),
        ),
    ),
}


def page(facts: DeliveryFacts) -> Page:
    return Page(delivery_report(facts))


@pytest.mark.parametrize("facts", CASES.values(), ids=CASES.keys())
def test_the_page_is_whole_html_that_needs_nothing_from_outside(facts: DeliveryFacts) -> None:
    html = delivery_report(facts)
    parsed = Page(html)
    assert html.startswith("<!doctype html>")
    assert not parsed.wrong
    assert not {tag for tag, _ in parsed.elements} & CLOSED_BY_ITSELF
    assert "http:" not in html and "https:" not in html and "@import" not in html and "url(" not in html
    targets = [value for _, attrs in parsed.elements for key, value in attrs.items() if key in {"href", "src"}]
    known = {attrs.get("id") for _, attrs in parsed.elements}
    assert all(target and target[0] == "#" and target[1:] in known for target in targets)
    assert not [key for _, attrs in parsed.elements for key in attrs if key.startswith("on") or key == "style"]


@pytest.mark.parametrize("facts", CASES.values(), ids=CASES.keys())
def test_the_same_facts_give_the_same_bytes(facts: DeliveryFacts) -> None:
    assert delivery_report(facts) == delivery_report(replace(facts))


def test_conformance_is_counted_and_what_nobody_explains_is_shown() -> None:
    text = Page(delivery_report(FACTS)).text
    assert "cairn cafe 1,448 0 0 136" in text
    assert "CORE CDISC CORE was not run 0 0 0 0" in text
    assert "pointblank 1.1.1 305 1 1 171" in text
    assert "SDTM-121 pointblank · TS: TS is missing" in text
    assert "SDTM-094" not in text
    assert "Conformance" not in Page(delivery_report(EMPTY)).text


def test_the_order_of_facts_does_not_matter() -> None:
    turned = {
        field.name: tuple(reversed(getattr(FACTS, field.name)))
        for field in fields(FACTS)
        if isinstance(getattr(FACTS, field.name), tuple) and field.name not in {"waiting", "closed"}
    }
    assert delivery_report(replace(FACTS, **turned)) == delivery_report(FACTS)


def test_another_process_with_another_hash_seed_gives_the_same_bytes() -> None:
    script = "import sys; from tests.unit.test_delivery_report import FACTS, delivery_report as report;"
    script += "sys.stdout.buffer.write(report(FACTS).encode())"
    pages = {
        subprocess.run(
            [sys.executable, "-c", script],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT), "TZ": zone},
            capture_output=True,
            check=True,
        ).stdout
        for seed, zone in (("1", "UTC"), ("2", "Asia/Shanghai"))
    }
    assert pages == {delivery_report(FACTS).encode()}


def test_the_summary_says_the_run_in_words() -> None:
    text = page(FACTS).text
    assert "2 files, 30,112 rows in: 29,091 accepted, 2 held, 1,003 superseded, 7 duplicate, 9 excluded." in text
    assert "2 accepted rows are held back in mapping." in text
    assert "2 findings must be answered." in text
    assert "Resolve 1 critical finding, new or reopened." in text


def test_every_number_and_every_name_of_the_facts_is_shown() -> None:
    text = page(FACTS).text
    numbers = [one["rows"] for one in (*FACTS.received, *FACTS.accounts)]
    numbers += [line["line"] for line in FACTS.quarantine if line["line"] != 413]
    assert FACTS.datasets is not None
    numbers += [number for pair in FACTS.datasets.values() for number in pair if number is not None]
    numbers += [change[what] for change in FACTS.changes for what in ("added", "removed", "changed", "renumbered")]
    assert len(numbers) > 30
    assert not [number for number in numbers if not re.search(rf"(?<![\d,]){number:,}(?![\d,])", text)]
    assert "lines 412–413" in text
    for one in (*FACTS.findings, *FACTS.closed):
        for field in ("finding_id", "rule", "remedy", "why", "cause", "who", "opened"):
            assert one["finding_id"] == "f9" or one[field] in text
    for shown in ("AEOUT 4", "AEENDTC 2", "LBNRIND", "deleted_record", "later_file", "equal_row", "not_given"):
        assert shown in text
    for shown in ("tiny", "小型研究", "cafe01", "beef02", "2025-01-31", "run-1", "vs_20250201.csv", "f9"):
        assert shown in text


def test_accounts_that_close_raise_no_alarm() -> None:
    assert [one.missing for one in file_lines(FACTS)] == [0, 0]
    assert [one["missing"] for one in yield_lines(FACTS)] == [0, 0]
    assert [one["gap"] for one in movement_lines(FACTS)] == [0, 0, 0]
    assert "not close" not in page(FACTS).text and "closes" in page(FACTS).text


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        (
            replace(FACTS, accounts=FACTS.accounts[1:]),
            "ae.csv: 1,099 rows in, 9 accounted for (1,090 rows missing)",
        ),
        (
            replace(FACTS, accounts=(*FACTS.accounts, staging("lab", "duplicate", 1))),
            "lab.csv: 29,013 rows in, 29,014 accounted for (1 row too many)",
        ),
        (
            replace(FACTS, accounts=()),
            "lab.csv: 29,013 rows in, 0 accounted for (29,013 rows missing)",
        ),
        (
            replace(FACTS, accounts=tuple(one for one in FACTS.accounts if one["outcome"] != "held")),
            "ae to AE: 1,090 rows accepted, 1,088 accounted for (2 rows missing)",
        ),
        (
            replace(FACTS, datasets={"AE": (1086, 1080)}),
            "AE: records before, added and removed give 1,085, the snapshot holds 1,086",
        ),
        (
            replace(FACTS, accounts=(*FACTS.accounts, staging("ae", "lost", 4))),
            "ae.csv: 4 rows with the outcome 'lost', which has no place in the account",
        ),
    ],
)
def test_accounts_that_do_not_close_are_said_first(facts: DeliveryFacts, said: str) -> None:
    text = page(facts).text
    assert said in text
    assert "not close" in text
    assert text.index(said) < text.index("To do") < text.index("Files and rows")
    assert ("div", {"class": "alarm", "role": "alert"}) in page(facts).elements


def test_a_file_taken_before_is_no_file_of_this_run() -> None:
    earlier = replace(FACTS, received=(FACTS.received[0], {**FACTS.received[1], "taken_before": True}))
    text = page(earlier).text
    assert "1 file, 1,099 rows in: 1,090 accepted, 0 held, 9 excluded." in text
    assert "The snapshot also stands on 1 file taken in earlier runs." in text
    assert [one.missing for one in file_lines(earlier)] == [0, 0]
    unknown = replace(FACTS, received=FACTS.received[:1])
    assert [one.missing for one in file_lines(unknown)] == [0, None]
    assert "not stated" in page(unknown).text


def test_a_file_that_came_twice_counts_twice() -> None:
    twice = (staging("ae", "accepted", 10), staging("ae", "superseded", 10, "later_file"))
    facts = replace(EMPTY, received=(received("ae", 10, taken_before=True), received("ae", 10)), accounts=twice)
    [line] = file_lines(facts)
    assert (line.rows, line.missing, line.taken_before) == (20, 0, False)


HOSTILE = "<script>alert(1)</script>\"' onload=x &amp; {{ 7*7 }} </style><img src=x>"


def test_hostile_names_and_messages_stay_text() -> None:
    bad = {"file": HOSTILE, "source": HOSTILE, "sha256": HOSTILE, "rule": HOSTILE}
    facts = DeliveryFacts(
        study=HOSTILE,
        title=HOSTILE,
        snapshot_id=HOSTILE,
        previous_id=HOSTILE + "2",
        cut_off=HOSTILE,
        published=True,
        run_id=HOSTILE,
        received=(
            received("x", 1) | bad | {"extracted_at": HOSTILE},
            received("y", 1) | bad | {"accepted": False, "problem": HOSTILE, "remedy": HOSTILE},
        ),
        accounts=(
            staging("x", "accepted", 1) | bad,
            mapping("x", HOSTILE, "none", 1, HOSTILE) | {"source": HOSTILE},
        ),
        findings=tuple(
            finding(HOSTILE, severity, **dict.fromkeys(("rule", "dataset", "variable", "message", "remedy"), HOSTILE))
            | dict.fromkeys(("why", "cause", "who", "opened"), HOSTILE)
            | {"places": [{"file": HOSTILE, "lines": [1]}]}
            for severity in ("critical", "answer", "information")
        ),
        closed=(finding(HOSTILE, message=HOSTILE),),
        datasets={HOSTILE: (1, None)},
        changes=({"dataset": HOSTILE, "added": 1, "removed": 0, "changed": 0, "variables": {HOSTILE: 1}},),
        quarantine=({"file": HOSTILE, "line": 2, "rule": HOSTILE, "finding_id": HOSTILE, "releasable": True},),
        waiting=(HOSTILE,),
        label=HOSTILE,
    )
    html = delivery_report(facts)
    parsed = Page(html)
    assert not parsed.wrong
    assert not {tag for tag, _ in parsed.elements} & CLOSED_BY_ITSELF
    assert html.count("<style") == html.count("</style") == 1
    assert parsed.text.count("<script>alert(1)</script>") > 20
    assert "{{ 7*7 }}" in parsed.text and "49" not in parsed.text
    assert not [key for _, attrs in parsed.elements for key in attrs if key.startswith("on")]


def test_the_style_sheet_keeps_only_plain_characters_of_the_study() -> None:
    html = delivery_report(replace(FACTS, study='a"; } * { display: none } 研究'))
    style = re.search(r"<style>(.*)</style>", html, re.DOTALL)
    assert style is not None
    assert 'content: "a    display none  研究  snapshot cafe01  cut-off 2025-01-31"' in style[1]


def test_characters_that_reorder_or_break_text_are_written_out() -> None:
    names = ("a\u202egpj.csv", "b\x00.csv", "c\udcff.csv", "d\u200b.csv")
    html = delivery_report(replace(FACTS, waiting=names))
    html.encode()  # a lone surrogate would not pass
    for shown in ("a\\u202egpj.csv", "b\\u0000.csv", "c\\udcff.csv", "d\\u200b.csv"):
        assert shown in html
    assert not set("\u202e\x00\u200b") & set(html)


@given(st.text())
def test_any_file_name_can_be_shown(name: str) -> None:
    parsed = page(replace(EMPTY, waiting=(name,), received=(received("ae", 1, file=name),)))
    assert not parsed.wrong


def test_places_show_five_lines_and_how_many_more() -> None:
    text = page(FACTS).text
    assert "lines 3, 5, 8, 13, 21 and 3 more" in text
    many = finding("f1", places=[{"file": f"f{n}.csv", "lines": [1]} for n in range(8)])
    text = page(replace(FACTS, findings=(many,))).text
    assert "f4.csv" in text and "f5.csv" not in text and "and 3 more files" in text


def test_findings_come_by_severity_and_new_ones_are_marked() -> None:
    text = page(FACTS).text
    assert text.index("f2 ") < text.index("f1 ")
    assert re.search(r"New\s+A term", text)
    assert re.search(r"Reopened\s+Waived\s+A term", text)
    waived = page(replace(FACTS, findings=(finding("f4", status="waived"),)))
    assert "No finding must be answered." in waived.text


def test_a_release_is_a_command_a_shell_takes_as_it_stands() -> None:
    assert './cairn release tiny f2 --by NAME --reason "..."' in page(FACTS).text
    strict = replace(FACTS, quarantine=({**FACTS.quarantine[0], "releasable": False},))
    assert "./cairn release" not in page(strict).text
    assert "has to be corrected at the source" in page(strict).text
    spaced = page(replace(FACTS, study="my studies/tiny; rm -rf"))
    assert "./cairn release 'my studies/tiny; rm -rf' f2" in spaced.text


def test_a_refused_delivery_is_said_with_reason_and_remedy() -> None:
    text = page(CASES["refused"]).text
    assert "2 files were refused. Nothing of this run was taken." in text
    assert "Put right what was refused: ae.csv." in text
    assert "checksum_mismatch Its sha256 differs. Resend." in text
    assert "Not published; snapshot beef02 stands" in text


def test_the_first_publication_compares_with_nothing() -> None:
    text = page(CASES["first publication"]).text
    assert "Published, the first of this study" in text
    assert "This is the first snapshot" in text and "LB 28,001" in text
    assert "cairn diff" not in text


def test_nothing_at_all_is_a_page_too() -> None:
    text = page(EMPTY).text
    assert "No new file arrived. No finding must be answered." in text
    assert "To do Nothing." in text


def test_synthetic_data_is_labelled() -> None:
    assert "SYNTHETIC - NOT PATIENT DATA" not in page(FACTS).text
    assert "SYNTHETIC - NOT PATIENT DATA" in page(replace(FACTS, title="Synthetic study")).text
    assert "TRAINING ONLY" in page(replace(FACTS, label="TRAINING ONLY")).text
