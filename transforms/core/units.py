"""Units as laboratories write them, and the table that says which units an analyte comes in."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field

from transforms.core import text
from transforms.core.tables import Table

SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")
SUPERSCRIPT = re.compile("([0-9]?)([⁰¹²³⁴⁵⁶⁷⁸⁹]+)")
POWER = re.compile(r"^[x×*]?10(?:\^|\*\*?|e\+?)([0-9]+)")
UNIT = "UNIT"


def spelling(unit: str) -> str:
    """A unit as units compare: `μmol/l`, `µmol/L` and `umol / L` are one, so are `×10⁹/L`, `10*9/L` and `10^9/L`.

    Case is ignored: within one analyte no two units differ in case alone, which `Units.read` makes sure of.
    """
    plain = SUPERSCRIPT.sub(lambda found: f"{found[1]}{'^' if found[1] else ''}{found[2]}", text.narrow(unit))
    plain = unicodedata.normalize("NFKC", plain.translate(SUPERSCRIPTS)).casefold().replace("μ", "u")
    return POWER.sub(r"10^\1", re.sub(r"\s+", "", plain))


@dataclass(frozen=True)
class Units:
    """The units of each analyte: by spelling, the table's own writing; the first one listed is the usual one.

    An analyte that has a row without unit has none (a ratio).
    """

    by_analyte: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @classmethod
    def read(cls, table: Table, analyte: str) -> Units:
        """From a table with the columns `analyte` and UNIT; ValueError with the line of a spelling listed twice."""
        found: dict[str, dict[str, str]] = {}
        for name, unit, line in zip(table.values(analyte), table.values(UNIT), table.lines, strict=True):
            own = found.setdefault(name, {})
            if own.setdefault(spelling(unit), unit) != unit:
                raise ValueError(f"line {line}: {unit!r} is another writing of {own[spelling(unit)]!r}")
        return cls(found)

    def usual(self, analyte: str) -> str:
        """The unit listed first."""
        return next(iter(self.by_analyte[analyte].values()))
