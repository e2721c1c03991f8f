"""Pages written as HTML and as RTF. The same page gives the same bytes."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

import markupsafe
import polars as pl
import rtflite as rtf
from rtflite.strwidth import get_string_width

from transforms.reporting.delivery import template
from transforms.reporting.layout import BodyRow, Facts, Page
from transforms.reporting.paging import paged

LINES = {True: 38, False: 58}
LISTED = 6
"""Lines less on a page of a listing, whose rows wrap where the word processor's font is wider than the one expected."""
FONT_OF_LINES = 9
"""Points by which rtflite counts the lines of a row, whatever the size of its text."""
WIDTH = {True: 9.4, False: 6.9}
EMPTY = BodyRow("", 0)
INDENT = "\\~\\~\\~"
ESCAPED = str.maketrans({"\\": "\\'5c", "{": "\\'7b", "}": "\\'7d", "\n": "\\line "})


def html_page(page: Page, facts: Facts, drawing: str = "") -> str:
    """A page as HTML, without anything outside it; `drawing` is the SVG of a figure."""
    columns = max((sum(one.span for one in line) for line in page.headings), default=1)
    drawn = markupsafe.Markup(drawing[drawing.find("<svg") :] if drawing else "")  # noqa: S704 (drawn here, from numbers and escaped texts)
    return template("output.html.j2").render(page=page, facts=facts, columns=columns, drawing=drawn)


def index_page(pages: Sequence[Page], facts: Facts) -> str:
    """The list of all outputs, as HTML."""
    return template("outputs.html.j2").render(pages=pages, facts=facts)


def rtf_page(page: Page, facts: Facts, picture: Path | None = None) -> str:
    """A page as RTF; `picture` is the PNG file of a figure."""
    common = {
        "rtf_page": rtf.RTFPage(
            orientation="landscape" if page.landscape else "portrait",
            nrow=_lines(page),
            margin=[0.8, 0.8, 1.1, 0.8, 0.5, 0.5],
            col_width=WIDTH[page.landscape],
            border_first="single",
            border_last="single",
        ),
        "rtf_page_header": rtf.RTFPageHeader(
            text=_plain(f"{facts.label + '   ' if facts.label else ''}{facts.study}   {page.output_id}"),
            text_font_size=8,
            text_convert=False,
        ),
        "rtf_title": rtf.RTFTitle(
            text=[_plain(one) for one in (page.output_id, page.title, page.subtitle, page.population) if one],
            text_font_size=10,
            text_convert=False,
        ),
        "rtf_footnote": rtf.RTFFootnote(
            text=[_plain(one) for one in page.footnotes] or [""],
            text_font_size=8,
            text_convert=False,
            as_table=picture is None,
            border_left="",
            border_right="",
        ),
        "rtf_source": rtf.RTFSource(
            text=_plain(f"Data cut-off {facts.cut_off}. Snapshot {facts.snapshot_id}."),
            text_font_size=8,
            text_convert=False,
        ),
    }
    if picture is not None:
        width, height = _fitted(picture, (9.0, 4.9) if page.landscape else (6.6, 8.0))
        size = {"fig_width": width, "fig_height": height}
        return str(rtf.RTFDocument(rtf_figure=rtf.RTFFigure(figures=str(picture), **size), **common).rtf_encode())
    width = len(page.widths)
    cells = [_written(row, width) for row in _filled(page)]
    names = [f"column_{number}" for number in range(width)]
    frame = pl.DataFrame(cells, schema=dict.fromkeys(names, pl.String), orient="row")
    aligned = ["l"] * width if page.kind == "listing" else ["l", *["c"] * (width - 1)]
    document = rtf.RTFDocument(
        df=frame,
        rtf_column_header=[_header(page, line, aligned) for line in page.headings],
        rtf_body=rtf.RTFBody(
            col_rel_width=list(page.widths),
            text_justification=[aligned],
            text_font_size=_size(page),
            text_convert=False,
            border_left="",
            border_right="",
        ),
        **common,
    )
    # A row is not divided between two pages.
    return str(document.rtf_encode()).replace("\\trowd", "\\trowd\\trkeep")


def _lines(page: Page) -> int:
    """How many lines a page of the document has."""
    return LINES[page.landscape] - (LISTED if page.kind == "listing" else 0)


def _written(row: BodyRow, width: int) -> list[str]:
    return [_label(row), *(_plain(one) for one in row.cells), *[""] * (width - 1 - len(row.cells))]


def _filled(page: Page) -> Iterator[BodyRow]:
    """The rows page by page, each page but the last filled with empty ones, so that rtflite ends it there."""
    # Below the lines of the header, above one for the footnotes and one for the source.
    room = _lines(page) - len(page.headings) - bool(page.footnotes) - 1
    widths = [WIDTH[page.landscape] * one / sum(page.widths) for one in page.widths]

    def lines(row: BodyRow) -> int:
        texts = zip(_written(row, len(widths)), widths, strict=True)
        return max(1 + int(get_string_width(text, font_size=FONT_OF_LINES) / width) for text, width in texts)

    pages = paged(page.rows or (EMPTY,), room, lines, listing=page.kind == "listing")
    for rows in pages[:-1]:
        yield from rows
        yield from [EMPTY] * (room - sum(lines(row) for row in rows))
    yield from pages[-1]


def _size(page: Page) -> float:
    """Points of the text of a table; the columns of a listing are many."""
    return 7 if page.kind == "listing" else 8


def _fitted(picture: Path, box: tuple[float, float]) -> tuple[float, float]:
    """Width and height of a PNG picture as large as a box allows, as it is wide to high."""
    width, height = struct.unpack(">II", picture.read_bytes()[16:24])
    scale = min(box[0] / width, box[1] / height)
    return round(width * scale, 3), round(height * scale, 3)


def _header(page: Page, line: Sequence[object], aligned: Sequence[str]) -> rtf.RTFColumnHeader:
    widths, place = [], 0
    spans = [one.span for one in line]  # type: ignore[attr-defined]
    for span in spans:
        widths.append(sum(page.widths[place : place + span]))
        place += span
    justified = [aligned[0], *["c" if page.kind != "listing" else "l"] * (len(spans) - 1)]
    return rtf.RTFColumnHeader(
        text=[_plain(one.text) for one in line],  # type: ignore[attr-defined]
        col_rel_width=widths,
        text_justification=[justified],
        text_format=["b"] * len(spans),
        text_font_size=_size(page),
        text_convert=False,
        border_left="",
        border_right="",
    )


def _label(row: BodyRow) -> str:
    """The label of a row, indented and bold by codes of its own: a format for each row makes rtflite quadratic."""
    bold, space = ("\\b " if row.strong else ""), (" " if row.depth else "")
    return f"{bold}{INDENT * row.depth}{space}{_plain(row.label)}"


def _plain(text: str) -> str:
    """A text without what RTF would take for a command."""
    return text.translate(ESCAPED)
