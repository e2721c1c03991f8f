"""Pages of a PDF: headings that are bookmarks, paragraphs, and tables that repeat their head on every page.

The same content gives the same bytes: a document's time is the cut-off of its snapshot, and nothing comes from a clock.
"""

from __future__ import annotations

import calendar
import hashlib
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from typing import Any, Literal

from reportlab.lib import colors
from reportlab.lib.pagesizes import A4, landscape
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import (
    BaseDocTemplate,
    CondPageBreak,
    Flowable,
    Frame,
    PageBreak,
    PageTemplate,
    Paragraph,
    Spacer,
    Table,
)

from transforms.submission.guides.fonts import BOLD, PLAIN, Fonts

PADDING = 3
LONGEST_WORD = 0.4
"""The share of the page that a column gets at most so that its longest word is not broken."""

MARGIN, HEAD, FOOT = 16 * mm, 20 * mm, 14 * mm
GRID, SHADE, INK = colors.HexColor("#b8bec6"), colors.HexColor("#e9edf2"), colors.HexColor("#1c2733")
ROOM = 32 * mm
"""A heading stands on a page that has this much room left."""


@dataclass(frozen=True)
class Heading:
    """A heading, which is a bookmark as well; `keys` name its place for each `Mark` that leads there."""

    text: str
    level: int = 0
    new_page: bool = False
    keys: tuple[str, ...] = ()


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Mark:
    """A bookmark that leads to the heading before it that has its key; a key is of one mark."""

    text: str
    level: int
    key: str


@dataclass(frozen=True)
class Cell:
    """A cell with a colour behind it; `names` are those whose pages are told, where it is drawn."""

    text: str
    colour: str
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Grid:
    """A table: head, rows, and the share of the width that each column has."""

    head: Sequence[str]
    rows: Sequence[Sequence[str | int | Cell | None]]
    shares: Sequence[float]


Block = Heading | Text | Mark | Grid


@dataclass(frozen=True)
class Described:
    """What a document says of itself: title, subject, the line above every page, and the time it is of."""

    title: str
    subject: str
    line: str
    made: datetime
    orientation: Literal["portrait", "landscape"] = "portrait"


@dataclass(frozen=True)
class Drawn:
    """A PDF, the number of its pages, and the pages, from 1, on which the cells of each name were drawn."""

    content: bytes
    count: int
    pages: Mapping[str, tuple[int, ...]]


def drawn(described: Described, blocks: Sequence[Block], chinese_file: str | None) -> Drawn:
    """The PDF of some blocks, every font embedded. Raises UsageError where no font has a character."""
    fonts = Fonts((*_texts(blocks), described.title, described.line), chinese_file)
    size = landscape(A4) if described.orientation == "landscape" else A4
    target = BytesIO()
    document = _Document(target, size, described, fonts)
    document.build([one for block in blocks for one in document.flowables(block)], canvasmaker=_canvas(described))
    pages = {name: tuple(sorted(found)) for name, found in document.told.items()}
    return Drawn(target.getvalue(), document.page, pages)


class _Named(Paragraph):  # type: ignore[misc]
    """A paragraph that says on which page it is drawn; its parts, where it is split between pages, say so too."""

    names: tuple[str, ...] = ()
    told: Mapping[str, set[int]]

    def split(self, wide: float, high: float) -> list[Paragraph]:
        parts = super().split(wide, high)
        for one in parts:
            one.names, one.told = self.names, self.told
        return list(parts)

    def draw(self) -> None:
        for name in self.names:
            self.told[name].add(self.canv.getPageNumber())
        super().draw()


def _texts(blocks: Iterable[Block]) -> Iterable[str]:
    for block in blocks:
        if isinstance(block, Grid):
            yield from block.head
            yield from (_text(cell) for row in block.rows for cell in row)
        else:
            yield block.text


def _text(cell: str | int | Cell | None) -> str:
    if isinstance(cell, Cell):
        return cell.text
    if isinstance(cell, int):
        return f"{cell:,}"
    return cell or ""


def _canvas(described: Described) -> type[Canvas]:
    """A canvas whose document says the time of the snapshot and has an id that follows from its content."""

    class Dated(Canvas):  # type: ignore[misc]
        def __init__(self, *positional: Any, **named: Any) -> None:
            super().__init__(*positional, **{**named, "invariant": 1})
            stamp = self._doc._timeStamp
            stamp.t = calendar.timegm(described.made.timetuple())
            stamp.lt = time.gmtime(stamp.t)
            stamp.YMDhms = tuple(stamp.lt)[:6]
            # The id of a file begins with a clock's time or the environment's; here it begins with what it is of.
            self._doc.signature = hashlib.md5(
                f"{described.title}\n{described.line}\n{described.made.isoformat()}".encode(), usedforsecurity=False
            )
            self.showOutline()

    return Dated


def fitted(widths: Sequence[float], needs: Sequence[float]) -> list[float]:
    """Widths of columns, none below its need; what is missing is taken from those that have more, by how much more.

    As they were where the needs are more than there is.
    """
    missing = sum(max(need - width, 0.0) for width, need in zip(widths, needs, strict=True))
    spare = [max(width - need, 0.0) for width, need in zip(widths, needs, strict=True)]
    if missing > sum(spare):
        return list(widths)
    return [
        need if width < need else width - (own * missing / sum(spare) if missing else 0.0)
        for width, need, own in zip(widths, needs, spare, strict=True)
    ]


class _Document(BaseDocTemplate):  # type: ignore[misc]
    """The document: one frame a page, a line above and the page's number below."""

    def __init__(self, target: BytesIO, size: tuple[float, float], described: Described, fonts: Fonts) -> None:
        super().__init__(
            target,
            pagesize=size,
            invariant=1,
            title=described.title,
            subject=described.subject,
            author="",
            creator="Cairn",
            initialFontName=PLAIN,
        )
        self.described, self.fonts, self.wide = described, fonts, size[0] - 2 * MARGIN
        frame = Frame(MARGIN, FOOT, self.wide, size[1] - HEAD - FOOT, 0, 0, 0, 0)
        self.addPageTemplates([PageTemplate(frames=[frame], onPage=self._furniture)])
        body = {"fontName": PLAIN, "textColor": INK, "wordWrap": None}
        self.heads = [
            ParagraphStyle(
                f"head{level}",
                fontName=BOLD,
                textColor=INK,
                fontSize=size,
                leading=size * 1.3,
                spaceBefore=before,
                spaceAfter=4,
            )
            for level, (size, before) in enumerate([(14, 14), (11, 11), (9.5, 8)])
        ]
        self.text = ParagraphStyle("text", fontSize=9, leading=12.5, spaceAfter=5, **body)
        self.cell = ParagraphStyle("cell", fontSize=7.5, leading=9.6, splitLongWords=True, **body)
        self.number = ParagraphStyle("number", parent=self.cell, alignment=2)
        self.head = ParagraphStyle("head", parent=self.cell, fontName=BOLD)
        self._marks = 0
        self.told: defaultdict[str, set[int]] = defaultdict(set)

    def _furniture(self, canvas: Canvas, _: BaseDocTemplate) -> None:
        width, height = canvas._pagesize
        canvas.saveState()
        line = Paragraph(
            self.fonts.markup(self.described.line), ParagraphStyle("line", parent=self.cell, textColor=colors.grey)
        )
        line.wrapOn(canvas, self.wide, HEAD)
        line.drawOn(canvas, MARGIN, height - 13 * mm)
        canvas.setFont(PLAIN, 7.5)
        canvas.setFillColor(colors.grey)
        canvas.drawRightString(width - MARGIN, 7 * mm, f"Page {canvas.getPageNumber()}")
        canvas.restoreState()

    def flowables(self, block: Block) -> list[Flowable]:
        """What a block is drawn by."""
        if isinstance(block, Heading):
            self._marks += 1
            heading = Paragraph(self.fonts.markup(block.text), self.heads[min(block.level, 2)])
            heading.bookmark = (f"heading-{self._marks}", block.text, block.level, block.keys)
            return [PageBreak() if block.new_page else CondPageBreak(ROOM), heading]
        if isinstance(block, Mark):
            mark = Spacer(0, 0)
            mark.outline = (block.key, block.text, block.level)
            return [mark]
        if isinstance(block, Text):
            return [Paragraph(self.fonts.markup(block.text), self.text)]
        return [self._table(block), Spacer(0, 7)]

    def _table(self, grid: Grid) -> Table:
        total = sum(grid.shares)
        rows: list[list[Paragraph]] = [[Paragraph(self.fonts.markup(one), self.head) for one in grid.head]]
        style: list[tuple[Any, ...]] = [
            ("FONT", (0, 0), (-1, -1), PLAIN),
            ("GRID", (0, 0), (-1, -1), 0.4, GRID),
            ("BACKGROUND", (0, 0), (-1, 0), SHADE),
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
            ("TOPPADDING", (0, 0), (-1, -1), 2),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 2.5),
            ("LEFTPADDING", (0, 0), (-1, -1), PADDING),
            ("RIGHTPADDING", (0, 0), (-1, -1), PADDING),
        ]
        for number, row in enumerate(grid.rows, start=1):
            rows.append([self._paragraph(one) for one in row])
            style += [
                ("BACKGROUND", (place, number), (place, number), colors.HexColor(one.colour))
                for place, one in enumerate(row)
                if isinstance(one, Cell)
            ]
        needs = [
            min(max(cell.minWidth() for cell in column) + 2 * PADDING + 1, LONGEST_WORD * self.wide)
            for column in zip(*rows, strict=True)
        ]
        widths = fitted([self.wide * share / total for share in grid.shares], needs)
        return Table(rows, widths, repeatRows=1, style=style, splitInRow=1)

    def _paragraph(self, cell: str | int | Cell | None) -> Paragraph:
        text = self.fonts.markup(_text(cell)).replace("\n", "<br/>")
        if not isinstance(cell, Cell):
            return Paragraph(text, self.number if isinstance(cell, int) else self.cell)
        named = _Named(text, self.cell)
        named.names, named.told = cell.names, self.told
        return named

    def afterFlowable(self, flowable: Flowable) -> None:  # noqa: N802
        """Write the bookmark of a heading."""
        if hasattr(flowable, "bookmark"):
            key, text, level, others = flowable.bookmark
            for one in (key, *others):
                self.canv.bookmarkPage(one)
            self.canv.addOutlineEntry(text, key, level=level, closed=level > 0)
        if hasattr(flowable, "outline"):
            key, text, level = flowable.outline
            self.canv.addOutlineEntry(text, key, level=level, closed=level > 0)
