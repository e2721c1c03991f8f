"""Direct identifiers of persons in texts where none belongs: identity cards, telephones, addresses, names."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from transforms.core import text
from transforms.core.tables import Table

WORD = re.compile(r"\w+")
KNOWN = "a known identifier"
SHORTEST = 4


@dataclass(frozen=True)
class Identifiers:
    """Patterns of direct identifiers, by the name of what they find: `expectations/tables/direct_identifiers.csv`."""

    patterns: Mapping[str, re.Pattern[str]]

    @classmethod
    def read(cls, table: Table) -> Identifiers:
        """From a table with the columns NAME and PATTERN."""
        named = zip(table.values("NAME"), table.values("PATTERN"), strict=True)
        return cls({name: re.compile(pattern) for name, pattern in named})

    def found(self, texts: Sequence[str], known: Collection[str] = ()) -> dict[str, list[int]]:
        """The texts (positions) that hold an identifier, by its name.

        `known` are identifiers of persons of the same extract; one is found where it stands as a word of its own.
        """
        narrow = [text.narrow(one) for one in texts]
        joined = "\n".join(narrow)
        result: dict[str, list[int]] = {}
        for name, pattern in self.patterns.items():
            # One search over all texts: nearly always there is nothing to find.
            if pattern.search(joined):
                result[name] = [position for position, one in enumerate(narrow) if pattern.search(one)]
        if known:
            words = [position for position, one in enumerate(narrow) if not known_free(one, known)]
            if words:
                result[KNOWN] = words
        return {name: positions for name, positions in result.items() if positions}


def known_free(written: str, known: Collection[str]) -> bool:
    """True if no known identifier is the text or a word of it."""
    return written not in known and not any(word in known for word in WORD.findall(written))


def telling(identifiers: Collection[str]) -> frozenset[str]:
    """The identifiers that name a person: not masked and not so short that they may be anything."""
    return frozenset(one for one in identifiers if "*" not in one and len(one) >= (SHORTEST if one.isascii() else 2))
