"""What stands behind a staged line: versions it superseded, and listed corrections of its values."""

from __future__ import annotations

from dataclasses import dataclass

from transforms.findings import RawPlace

CORRECTION = "correction"


@dataclass(frozen=True)
class Behind:
    """The line of a version that the row at a position superseded, or of the table that corrected a `column` of it.

    `rule` is that of the account, or CORRECTION.
    """

    rule: str
    row: int
    place: RawPlace
    column: str = ""


@dataclass(frozen=True)
class Version:
    """A line, and what stands behind it."""

    place: RawPlace
    behind: Behind
