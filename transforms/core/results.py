"""Results and reference ranges as laboratories write them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, NamedTuple, get_args

from transforms.core import numbers, text
from transforms.core.tables import Table

Kind = Literal["number", "term", "not_done", "uninterpretable"]
COLUMNS = ("PATTERN", "KIND", "RESULT", "FLAG", "REASON")
SIGNS = str.maketrans({"≤": "<=", "≥": ">="})
SCIENTIFIC = re.compile(r"([<>]=?)?([+-]?\d+(?:\.\d+)?[Ee][+-]?\d+)")
NUMBER = r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)"
BOUND = re.compile(rf"(<=|>=|<|>)\s*({NUMBER})")
BETWEEN = re.compile(rf"({NUMBER})\s*[-~–—]\s*({NUMBER})")
DOUBLED = re.compile(rf"({NUMBER})\s*--\s*({NUMBER})")
LABELLED = re.compile(r"([^\s:;,]+)\s*:\s*([^:]*?)(?=[\s;,]+[^\s:;,]+\s*:|[\s;,]*$)")


class Reading(NamedTuple):
    """A result as read: its text (None where there is none), a flag that stood in it, why it was not done.

    `rule` is the line of the table that was used, 0 where the text is taken as it was written.
    """

    result: str | None
    flag: str | None = None
    reason: str | None = None
    rule: int = 0


@dataclass(frozen=True)
class _Form:
    pattern: re.Pattern[str]
    kind: Kind
    result: str
    flag: str
    reason: str
    line: int


@dataclass(frozen=True)
class ResultTexts:
    r"""The forms of results that are no plain number, as a table lists them; the first that fits decides.

    Columns: PATTERN (a regular expression for the whole text, in ordinary width), KIND, RESULT and FLAG (templates in
    which `\1` is the pattern's first group), REASON. A `number` gives a number or a censored one, a `term` a text, a
    `not_done` no result and its reason; an `uninterpretable` one cannot be taken.
    """

    forms: tuple[_Form, ...]

    @classmethod
    def read(cls, table: Table) -> ResultTexts:
        """From a table of the study; ValueError with the line of the first row that cannot be used."""
        forms = []
        for *row, line in zip(*(table.values(name) for name in COLUMNS), table.lines, strict=True):
            pattern, kind, result, flag, reason = row
            if kind not in get_args(Kind):
                raise ValueError(f"line {line}: unknown KIND {kind!r}; write one of {', '.join(get_args(Kind))}")
            if (kind in {"number", "term"}) != bool(result) or (kind == "not_done") != bool(reason):
                raise ValueError(f"line {line}: a number or term has a RESULT, what is not done has a REASON")
            try:
                compiled = re.compile(pattern)
                for template in (result, flag):
                    re.sub(compiled, template, "")
            except (re.error, IndexError) as error:
                raise ValueError(f"line {line}: {error}") from error
            forms.append(_Form(compiled, kind, result, flag, reason, line))
        return cls(tuple(forms))

    def name_of(self, line: int) -> str:
        """The pattern on a line of the table: its name, wherever the line moves."""
        return next(form.pattern.pattern for form in self.forms if form.line == line)

    def reading(self, collected: str) -> Reading | None:
        """What a collected text says; None for one that cannot be taken."""
        plain = text.narrow(collected)
        number = _number(plain)
        if number is not None:
            return Reading(number)
        for form in self.forms:
            match = form.pattern.fullmatch(plain)
            if match is None:
                continue
            if form.kind == "uninterpretable":
                return None
            if form.kind == "not_done":
                return Reading(None, None, form.reason, form.line)
            result: str | None = match.expand(form.result)
            if form.kind == "number":
                result = _number(_decimal(str(result)))
                if result is None:
                    return None
            return Reading(result, match.expand(form.flag) or None, None, 0 if result == plain else form.line)
        return None


def _number(written: str) -> str | None:
    """A plain or censored number in its ordinary writing, digits as collected; None for anything else."""
    plain = written.translate(SIGNS)
    if numbers.parse_number(plain) is not None:
        return plain
    match = numbers.CENSORED.fullmatch(plain)
    return f"{match[1]}{match[2]}" if match else None


def _decimal(written: str) -> str:
    """`1.0E+03` as `1000`; any other text as it is."""
    match = SCIENTIFIC.fullmatch(written)
    return f"{match[1] or ''}{format(Decimal(match[2]), 'f')}" if match else written


def reference_range(collected: str) -> str | None:
    """A range in one writing: `low-high`, or a bound such as `<=26.0`; digits as collected, None for other texts.

    A doubled dash is one dash unless the upper limit may be negative; where both readings are possible it is neither.
    """
    plain = text.narrow(collected).translate(SIGNS)
    bound = BOUND.fullmatch(plain)
    if bound:
        return f"{bound[1]}{bound[2]}"
    found = {_ordered(match) for match in (BETWEEN.fullmatch(plain), DOUBLED.fullmatch(plain)) if match} - {None}
    if len(found) == 1:
        return found.pop()
    single = BETWEEN.fullmatch(plain)
    return f"{single[1]}-{single[2]}" if single and not found and "--" not in plain else None


def _ordered(match: re.Match[str]) -> str | None:
    return f"{match[1]}-{match[2]}" if float(match[1]) < float(match[2]) else None


def labelled_range(collected: str, label: str | None, labels: Sequence[str]) -> tuple[bool, str | None]:
    """A range of which each part may be for one group, as in `M:57-97 F:41-73`; `label` is the group of the row.

    Returns whether it could be read, and the range of the row's group (None where it has none).
    """
    plain = text.narrow(collected)
    if ":" not in plain:
        found = reference_range(plain)
        return found is not None, found
    parts = dict(LABELLED.findall(plain))
    ranges = {name: reference_range(part) for name, part in parts.items()}
    whole = re.sub(r"[\s;,]", "", "".join(f"{name}:{part}" for name, part in parts.items()))
    if whole != re.sub(r"[\s;,]", "", plain) or None in ranges.values() or not set(ranges) <= set(labels):
        return False, None
    return True, ranges.get(label or "")
