"""Pages of hand-made results: what stands where, what is escaped, the same bytes twice, Chinese text."""

from __future__ import annotations

import json
import re
import struct
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tests.unit.results.hand_made import made
from transforms.reporting import fonts
from transforms.reporting.figures import drawn
from transforms.reporting.fonts import FontMissingError, families
from transforms.reporting.layout import BodyRow, Facts, Heading, Page, filled, pages_of
from transforms.reporting.paging import paged
from transforms.reporting.tables import html_page, index_page, rtf_page

FACTS = Facts("x", "A study", "0123456789abcdef0123", "2024-12-31", "SYNTHETIC")
COUNT = {"id": "any", "label": "Any event", "method": "count", "data": "EMERGENT"}
CURVE = {"id": "curve", "method": "survival_curve", "data": "ADTTE", "at_risk": [0, 10, 20, 30]}


def page(*analyses: dict[str, Any], **output: Any) -> Page:
    found = made(*analyses, **output)
    return next(pages_of(found.outputs, found.results))


def shown(one: Page) -> list[tuple[str, int, tuple[str, ...]]]:
    return [(row.label, row.depth, row.cells) for row in one.rows]


def figure(label: str = "Alive (%)") -> Page:
    about = {
        "kind": "survival",
        "curve": "curve",
        "x": {"label": "Days", "marks": [0, 10, 20, 30]},
        "y": {"label": label},
    }
    return page(CURVE, kind="figure", figure=about)


@pytest.mark.parametrize(
    ("template", "texts", "expected"),
    [
        ("{n} ({pct})", {"n": "3", "pct": "25.0%"}, "3 (25.0%)"),
        ("{n} ({pct})", {"n": "0", "pct": ""}, "0"),
        ("{survival} ({low}, {high})", {"survival": "100.0", "low": "NE", "high": "NE"}, "100.0 (NE, NE)"),
        ("({low}, {high})", {"low": "", "high": ""}, ""),
        ("{q1}, {q3}", {"q1": "", "q3": ""}, ""),
        ("{n}", {}, ""),
    ],
)
def test_templates(template: str, texts: dict[str, str], expected: str) -> None:
    assert filled(template, texts) == expected


def test_nested_rows_are_indented_under_their_class() -> None:
    one = page({**COUNT, "nested": True, "by": ["SOC", "TERM"]}, rows="Term")
    assert [heading.text for heading in one.headings[0]] == ["Term", "Arm A\n(N=4)", "Arm B\n(N=3)", "Total\n(N=7)"]
    assert shown(one) == [
        ("Any event", 0, ("2 (50.0%)", "1 (33.3%)", "3 (42.9%)")),
        ("Liver", 1, ("1 (25.0%)", "0", "1 (14.3%)")),
        ("Jaundice", 2, ("1 (25.0%)", "0", "1 (14.3%)")),
        ("Skin", 1, ("2 (50.0%)", "1 (33.3%)", "3 (42.9%)")),
        ("Itch", 2, ("1 (25.0%)", "0", "1 (14.3%)")),
        ("Rash", 2, ("1 (25.0%)", "1 (33.3%)", "2 (28.6%)")),
    ]


def test_an_analysis_without_records_says_so() -> None:
    one = page({**COUNT, "where": {"GRADE": 5}, "by": ["TERM"]})
    assert [row.label for row in one.rows] == ["Any event", "No records"]


def test_levels_across_and_statistics_across() -> None:
    by = [
        {"variable": "BCLASS", "values": ["A", "B"]},
        {"variable": "CLASS", "values": {"A": "Class A", "B": "Class B", "C": "Class C"}},
    ]
    shift = {
        "id": "s",
        "method": "count",
        "data": "ADEFF",
        "where": {"AVISIT": "Month 1", "BCLASS": ["A", "B"]},
        "by": by,
    }
    one = page(shift, across="CLASS")
    assert [heading.text for heading in one.headings[0]] == ["", "Class A", "Class B", "Class C"]
    assert shown(one)[:3] == [
        ("Arm A (N=4)", 0, ()),
        ("A", 1, ("1 (25.0%)", "0", "0")),
        ("B", 1, ("0", "1 (25.0%)", "0")),
    ]
    change = {"id": "c", "label": "Change", "method": "summary", "data": "ADEFF", "variable": "CHG", "by": ["AVISIT"]}
    cells = [{"label": "n", "show": "{n}"}, {"label": "Mean (SD)", "show": "{mean} ({sd})"}]
    one = page(change, across="statistics", cells=cells)
    assert shown(one)[:4] == [
        ("Change", 0, ()),
        ("Month 1", 1, ()),
        ("Arm A (N=4)", 2, ("2", "-0.5 (3.54)")),
        ("Arm B (N=3)", 2, ("2", "2.0 (2.83)")),
    ]


def test_analyses_within_levels() -> None:
    both = [
        {
            "id": name,
            "label": name,
            "method": "summary",
            "data": "ADEFF",
            "variable": name,
            "by": ["AVISIT"],
            "lines": {"n": "{n}"},
        }
        for name in ("AVAL", "CHG")
    ]
    assert [(label, depth) for label, depth, _ in shown(page(*both, arrange="levels"))] == [
        ("Month 1", 0),
        ("AVAL", 1),
        ("n", 2),
        ("CHG", 1),
        ("n", 2),
        ("Month 2", 0),
        ("AVAL", 1),
        ("n", 2),
        ("CHG", 1),
        ("n", 2),
    ]


def test_a_listing_has_its_columns_and_says_when_it_is_empty() -> None:
    columns = [{"variable": "USUBJID", "label": "Subject"}, {"variable": "TERM", "label": "Term"}]
    listing = {
        "id": "l",
        "method": "listing",
        "data": "EMERGENT",
        "sort": ["USUBJID"],
        "columns": columns,
        "none": "No event",
    }
    one = page(listing, kind="listing")
    assert [heading.text for heading in one.headings[0]] == ["Subject", "Term"]
    assert shown(one)[0] == ("Arm A", 0, ())
    assert ("X-5", 0, ("Rash",)) in shown(one)
    assert [row.label for row in page({**listing, "where": {"GRADE": 5}}, kind="listing").rows] == ["No event"]


def test_html_stands_alone_and_says_where_it_is_from() -> None:
    one = page(COUNT, title="<b>Events</b> & more", footnotes=["A note on 恶心."])
    html = html_page(one, FACTS)
    assert "&lt;b&gt;Events&lt;/b&gt; &amp; more" in html
    assert FACTS.snapshot_id in html
    assert "2024-12-31" in html
    assert "恶心" in html
    assert "(N=4)" in html
    assert "http" not in html.replace("http-equiv", "")
    assert "t1.html" in index_page([one], FACTS)


def test_long_terms_of_a_listing_break_after_the_slash_and_units_do_not() -> None:
    one = BodyRow("X-1", 0, ("RECOVERED/RESOLVED", "10^9/L", "mL/MIN/1.73 m2", "<b>/NOT RECOVERED"))
    html = html_page(replace(page(COUNT), kind="listing", rows=(one,)), FACTS)
    assert "RECOVERED/<wbr>RESOLVED" in html
    assert "10^9/L<" in html
    assert "&lt;b&gt;/NOT RECOVERED" in html
    assert html.count("<wbr>") == 1


@pytest.mark.parametrize(("landscape", "box"), [(True, (9.0, 4.9)), (False, (6.6, 8.0))])
def test_a_figure_in_rtf_is_as_wide_to_high_as_it_was_drawn(
    landscape: bool, box: tuple[float, float], tmp_path: Path
) -> None:
    one = replace(figure(), landscape=landscape)
    picture = tmp_path / "figure.png"
    picture.write_bytes(drawn(one, FACTS).png)
    written = rtf_page(one, FACTS, picture)
    # Inches in twips, 1440 each.
    width, height = (int(re.search(rf"\\{word}(\d+)", written)[1]) / 1440 for word in ("picwgoal", "pichgoal"))  # type: ignore[index]
    drawn_as = struct.unpack(">II", picture.read_bytes()[16:24])
    assert width / height == pytest.approx(drawn_as[0] / drawn_as[1], rel=0.01)
    assert width <= box[0] + 0.01
    assert height <= box[1] + 0.01


def test_rtf_is_whole_and_the_same_twice() -> None:
    one = page({**COUNT, "nested": True, "by": ["SOC", "TERM"]}, title="Braces {x} and 恶心", footnotes=["Note"])
    written = rtf_page(one, FACTS)
    assert written == rtf_page(one, FACTS)
    assert written.count("{") == written.count("}"), "braces of texts are escaped"
    assert written.isascii()
    assert f"\\u{ord('恶')}" in written
    assert "2 (50.0%)" in written
    assert FACTS.snapshot_id in written
    assert "Arm A\\line (N=4)" in written, "the lines of a heading stay lines"
    assert written.count("\\trowd\\trkeep") == written.count("\\trowd") > 6, "no row is divided between pages"


def block(name: str, *below: str, depth: int = 0) -> list[BodyRow]:
    return [BodyRow(name, depth, heading=True), *(BodyRow(one, depth + 1, ("1",)) for one in below)]


def test_a_page_ends_where_a_block_ends_and_goes_on_under_its_headings() -> None:
    visits = [BodyRow("ALT", 0, heading=True)]
    visits += [row for name in ("Day 8", "Day 15", "Day 22") for row in block(name, "n", "Mean", "Median", depth=1)]
    labels = [[row.label for row in rows] for rows in paged(visits, 10, lambda row: 1)]
    assert labels == [
        ["ALT", "Day 8", "n", "Mean", "Median", "Day 15", "n", "Mean", "Median"],
        ["ALT (continued)", "Day 22", "n", "Mean", "Median"],
    ]
    long = block("Terms", *(f"Term {number}" for number in range(12)))
    labels = [[row.label for row in rows] for rows in paged(long, 8, lambda row: 1)]
    assert [rows[0] for rows in labels] == ["Terms", "Terms (continued)"]
    assert [len(rows) for rows in labels] == [8, 6]
    two = [*block("A", "n"), *block("B", *"123456")]
    assert [rows[0].label for rows in paged(two, 3, lambda row: 1)][:2] == ["A", "B"], "no heading ends a page"
    tall = [BodyRow("x", 0, ("1",)), BodyRow("y", 0, ("1",))]
    assert [len(rows) for rows in paged(tall, 3, lambda row: 5)] == [1, 1], "what is higher than a page has its own"


def test_a_listing_goes_on_under_its_group() -> None:
    rows = [BodyRow("Arm A", 0, heading=True), *(BodyRow(f"{number}", 0, ("x",)) for number in range(5))]
    labels = [[row.label for row in some] for some in paged(rows, 4, lambda row: 1, listing=True)]
    assert labels == [["Arm A", "0", "1", "2"], ["Arm A (continued)", "3", "4"]]


@pytest.mark.parametrize("footnotes", [(), ("A note",)])
def test_no_page_of_an_rtf_begins_or_ends_within_a_block(footnotes: tuple[str, ...]) -> None:
    rows = [row for number in range(30) for row in block(f"Long name of visit {number} " * 6, "n", "Mean", "Median")]
    headings = ((Heading("Visit"), Heading("A")),)
    one = replace(page(COUNT), rows=tuple(rows), widths=(3, 1), headings=headings, footnotes=footnotes)
    pages = re.split(r"\\page(?![a-z])", rtf_page(one, FACTS))
    assert len(pages) > 3
    for written in pages:
        names = re.findall(r"(Long name of visit \d+) |(n|Mean|Median)\}\\cell", written)
        assert names[0][0]
        assert names[-1][1] == "Median"


def test_a_figure_is_the_same_bytes_twice_and_holds_no_date() -> None:
    one, two = drawn(figure(), FACTS), drawn(figure(), FACTS)
    assert one == two
    assert one.svg.startswith("<?xml")
    assert "<dc:date>" not in one.svg
    assert one.png.startswith(b"\x89PNG")
    assert b"tIME" not in one.png
    assert b"Software" not in one.png


def test_chinese_text_is_drawn_or_refused_but_never_boxes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "chinese_font", lambda: None)
    with pytest.raises(FontMissingError, match="fonts-noto-cjk"):
        drawn(figure("生存率"), FACTS)
    assert families(["Alive (%)"]) == ["DejaVu Sans"]


def test_chinese_text_is_drawn_with_a_font_of_the_machine() -> None:
    if fonts.chinese_font() is None:
        pytest.skip("NOT TESTED: this machine has no font with Chinese characters")
    plain, chinese = drawn(figure("Alive"), FACTS), drawn(figure("生存率"), FACTS)
    assert plain.svg != chinese.svg
    assert len(families(["生存率"])) == 2


def test_the_numbers_at_risk_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """By hand: of A's four subjects three are seen after day 21."""
    rows = [row for row in figure().results if row["group_id"] == "A" and row["statistic"] == "at_risk"]
    at = {row["level_1"]: row["text"] for row in rows if row["level_1_label"] == "at risk"}
    assert at == {"0": "4", "10": "4", "20": "4", "30": "3"}
    assert json.dumps(at)


DOSES = {"id": "doses", "method": "listing", "data": "ADAE", "columns": [{"variable": "ASTDT", "label": "Day"}]}
WATCH = {"cohort": "A", "dosed": "Y", "decision": None, "decided_on": None}


def timeline(subjects: list[dict[str, Any]], decisions: list[dict[str, Any]]) -> str:
    about = {"kind": "timeline", "doses": "doses", "day": "ASTDT", "x": {"label": "Date"}}
    found = made(DOSES, kind="figure", figure=about)
    gate = {"gate_subjects": subjects, "gate_decisions": decisions}
    return drawn(next(pages_of(found.outputs, found.results, gate=gate)), FACTS).svg


def test_a_timeline_shows_watch_and_decisions_and_nothing_where_nobody_was_dosed() -> None:
    first, until = date(2024, 1, 1), date(2024, 1, 22)
    dosed = {**WATCH, "usubjid": "X-1", "first_dose": first, "observed_until": until}
    undated = {**WATCH, "usubjid": "X-2", "first_dose": None, "observed_until": None}
    board = [
        {"scope": "COHORT", "cohort": "A", "meeting_dt": date(2024, 2, day), "outcome": outcome}
        for day, outcome in ((1, "HOLD"), (3, "ESCALATE"))
    ]
    nobody = timeline([], [])
    alone = timeline([{**WATCH, "usubjid": "X-1", "first_dose": first, "observed_until": first}], [])
    decided = timeline([{**dosed, "decision": "REPEAT", "decided_on": until}, undated], board)
    assert len({nobody, alone, decided}) == 3
    assert decided == timeline([undated, {**dosed, "decision": "REPEAT", "decided_on": until}], board[::-1])
    other = timeline([{**dosed, "cohort": "C"}], [])
    assert other == nobody, "a cohort that is no group of the output is not drawn"
