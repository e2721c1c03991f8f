"""Codelists of a define: for each variable the terms its data use, with their C-codes, decodes and extensions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from transforms.core import numbers
from transforms.core.tables import read_table
from transforms.standards.models import Codelist as PublishedCodelist
from transforms.submission.define.model import Codelist, DataType, Term

if TYPE_CHECKING:
    from transforms.study import Study

STANDARDS = Path(__file__).resolve().parents[3] / "cdisc_mappings" / "standards"
DEFINE = STANDARDS / "define-2.1"
SDTM_TERMINOLOGY, ADAM_TERMINOLOGY = "STD.CT.SDTM", "STD.CT.ADAM"
LARGEST = 200
NUMERIC = frozenset({"integer", "float"})


@dataclass
class Codelists:
    """The codelists of one define; the same list asked for twice is one."""

    study: Study
    found: dict[str, Codelist] = field(default_factory=dict)
    _known: dict[Codelist, str] = field(default_factory=dict)

    def published(self, codes: Iterable[str]) -> list[PublishedCodelist]:
        """The lists at hand of some C-codes."""
        at_hand = self.study.standards.codelists
        return [at_hand[code] for code in codes if code in at_hand]

    def allowed(self, codes: Iterable[str], values: Iterable[str]) -> bool:
        """True if every value is a term of one of the lists, or declared as an extension of one."""
        lists = self.published(codes)
        terms = set().union(*(one.terms | self.study.extensions.get(one.code, frozenset()) for one in lists))
        return bool(lists) and all(value in terms for value in values)

    def of_terminology(
        self,
        codes: Sequence[str],
        values: Sequence[str],
        place: str,
        decodes: Mapping[str, str] | None = None,
        name: str | None = None,
        outside: Sequence[str] = (),
    ) -> str | None:
        """The OID of the list of those values, whose terms CDISC publishes under one or several codes.

        One list that has them all is preferred. A value that no list publishes is an extended one. None without values
        or without a list at hand. `name` is that of a list whose terms are of several, or not all published: those
        written on purpose `outside` of the terminology.
        """
        lists = self.published(codes)
        if not lists or not values:
            return None
        lists = next(([one] for one in lists if self.allowed([one.code], values)), lists)
        terms = tuple(_term(value, lists, decodes) for value in values)
        beside = [one for one in values if one in outside]
        if len(lists) == 1 and not beside:
            one = lists[0]
            own = Codelist("", one.name, "text", terms, one.code, self.terminology(one.code))
            return self.add(own, f"CL.{one.short_name}", place)
        names = ", ".join(f"{one.short_name} ({one.code})" for one in lists)
        said = f"Terms of published codelists: {names}" + "".join(f"; {one} is of none of them" for one in beside)
        return self.add(Codelist("", name or place, "text", terms, comment=said), f"CL.{place}", place)

    def of_sponsor(
        self,
        name: str,
        values: Sequence[str] | Sequence[float],
        type_: DataType,
        place: str,
        decodes: Mapping[str, str] | None = None,
    ) -> str | None:
        """The OID of a list of the sponsor's own, with decodes where every value has one."""
        if not values or len(values) > LARGEST:
            return None
        written = [one if isinstance(one, str) else numbers.number_text(one) for one in values]
        decoded = decodes if decodes and all(one in decodes for one in written) else {}
        terms = tuple(Term(one, decoded.get(one)) for one in written)
        kind = "float" if type_ == "float" else "integer" if type_ == "integer" else "text"
        return self.add(Codelist("", name, kind, terms), f"CL.{place}", place)  # type: ignore[arg-type]

    def of_dictionary(self, dictionary: str, version: str | None) -> str:
        """The OID of an external dictionary."""
        own = Codelist("", dictionary, "text", dictionary=dictionary, version=version)
        return self.add(own, f"CL.{dictionary.upper()}", dictionary)

    def terminology(self, code: str) -> str:
        """The OID of the published terminology that a codelist is of."""
        return ADAM_TERMINOLOGY if code in adam_codes(self.study) else SDTM_TERMINOLOGY

    def add(self, own: Codelist, oid: str, place: str) -> str:
        """The OID of a list, that of an equal one met before; another list of that OID or name is told apart."""
        if own in self._known:
            return self._known[own]
        if oid in self.found:
            oid = f"{oid}.{place}"
        name = own.name if own.name not in {one.name for one in self.found.values()} else f"{own.name} ({place})"
        self.found[oid] = replace(own, oid=oid, name=name)
        self._known[own] = oid
        return oid


def _term(value: str, lists: Iterable[PublishedCodelist], decodes: Mapping[str, str] | None) -> Term:
    decode = (decodes or {}).get(value)
    for one in lists:
        if value in one.terms:
            return Term(value, decode, one.concepts.get(value))
    return Term(value, decode, extended=True)


def adam_codes(study: Study) -> frozenset[str]:
    """The C-codes of the codelists that ADaM terminology publishes."""
    version = study.file.standards.adamig
    if version is None:
        return frozenset()
    return frozenset(read_table(STANDARDS / f"adamig-{version}" / "codelists.csv", "codelists.csv").values("codelist"))


def decode_variables() -> dict[str, str]:
    """Which variable holds the decode of which code, `--` standing for the dataset."""
    table = read_table(DEFINE / "decodes.csv", "decodes.csv")
    return dict(zip(table.values("code"), table.values("decode"), strict=True))
