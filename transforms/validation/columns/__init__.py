"""Columns that a rule prepares before it checks them: numbers read from texts, dates, limits joined, arithmetic.

Each is a frozen model with one word; it names the columns it reads (of the frame, or prepared before it) and is
computed once per distinct value where that is possible. Nothing here judges: the expectation does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transforms.validation.columns.arithmetic import (
    Absolute,
    Difference,
    Inside,
    Least,
    Margin,
    Product,
    Quotient,
    Rounded,
    Spread,
    Sum,
)
from transforms.validation.columns.base import Prepared
from transforms.validation.columns.other_rows import Count, Distinct, Fetch, Previous, Rank, Related
from transforms.validation.columns.scores import Score, Toxicity, ToxicityTerm
from transforms.validation.columns.tables import Cell, Lookup
from transforms.validation.columns.values import (
    Agree,
    Begin,
    Bytes,
    Concept,
    Day,
    Elapsed,
    End,
    Flags,
    Number,
    Part,
    Pick,
    Present,
    StudyDay,
    Text,
)

WORDS: dict[str, type[Prepared]] = {
    kind.word: kind
    for kind in (
        Number, Text, Part, Bytes, Day, Begin, End, Rounded, Sum, Difference, Product, Quotient, Margin, Inside,
        Lookup, Cell, Pick, Flags, Present, Count, Distinct, Rank, Fetch, Previous, Spread, Least, Absolute, Agree,
        Elapsed, Score, Toxicity, ToxicityTerm, StudyDay, Related, Concept,
    )
}  # fmt: skip


def parse(written: Any) -> Prepared:
    """The prepared column a rule writes, for example `{number: LBORRES}`; ValueError names the words known."""
    if isinstance(written, Prepared):
        return written
    if not isinstance(written, Mapping):
        raise ValueError(f"is no prepared column; write one of: {', '.join(sorted(WORDS))}")
    words = [key for key in written if key in WORDS]
    if len(words) != 1:
        names = ", ".join(map(str, written))
        raise ValueError(f"names {len(words)} preparations ({names}); one of: {', '.join(sorted(WORDS))}")
    several = {"count", "distinct", "flags", "present"}
    options = {key: [one] if key in several and isinstance(one, str) else one for key, one in written.items()}
    return WORDS[words[0]].model_validate(options)
