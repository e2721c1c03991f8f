"""The rows of a table divided over the pages of a document, so that each page can be read by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from transforms.reporting.layout import BodyRow

CONTINUED = " (continued)"
FILLED = 0.75
"""A page ends where a block ends, as long as this much of it is filled."""


def paged(
    rows: Sequence[BodyRow], room: int, lines: Callable[[BodyRow], int], *, listing: bool = False
) -> list[list[BodyRow]]:
    """Rows by page, `room` lines each; what a page goes on with stands above it again, as continued.

    A page ends before the row that stands highest in the hierarchy, of those the last, and never between a row and the
    first one below it. In a listing the records below a heading are as deep as it.
    """
    pages: list[list[BodyRow]] = []
    start = 0
    while start < len(rows):
        above = [_continued(rows[place]) for place in _parents(rows, start, listing)]
        used, end = sum(lines(one) for one in above), start
        while end < len(rows) and (end == start or used + lines(rows[end]) <= room):
            used += lines(rows[end])
            end += 1
        if end < len(rows):
            end = _end(rows, start, end)
        pages.append([*above, *rows[start:end]])
        start = end
    return pages


def _continued(row: BodyRow) -> BodyRow:
    return replace(row, label=row.label + CONTINUED, cells=(), heading=True)


def _parents(rows: Sequence[BodyRow], place: int, listing: bool) -> list[int]:
    """The places of the rows that a row stands under, the highest first."""
    if listing:
        found = [one for one in range(place) if rows[one].heading]
        return found[-1:] if found and not rows[place].heading else []
    parents: list[int] = []
    depth = rows[place].depth
    for one in range(place - 1, -1, -1):
        if rows[one].depth < depth:
            parents.insert(0, one)
            depth = rows[one].depth
    return parents


def _end(rows: Sequence[BodyRow], start: int, end: int) -> int:
    """Where a page that has room until `end` ends best."""

    def whole(place: int) -> bool:
        return rows[place].depth <= rows[place - 1].depth and not rows[place - 1].heading

    least = start + int(FILLED * (end - start)) + 1
    good = [place for place in range(least, end + 1) if whole(place)]
    if good:
        return min(good, key=lambda place: (rows[place].depth, -place))
    return next((place for place in range(end, start, -1) if whole(place)), end)
