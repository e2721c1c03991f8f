"""A define.xml as read back, whoever wrote it: what its checks look at."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property

from lxml import etree

from transforms.submission.define.xml_file import ARM, DEF, NCI, ODM, XLINK, XML

SPACES = {"odm": ODM, "def": DEF, "arm": ARM, "xlink": XLINK}


@dataclass(frozen=True)
class DefineFault:
    """What is wrong with a define: the rule broken, the element, and what it says there."""

    rule: str
    place: str
    message: str


@dataclass(frozen=True, eq=False)
class Document:
    """The tree of a define.xml, and the files of its folder and below (None: not known yet)."""

    root: etree._Element
    beside: Collection[str] | None = None

    @classmethod
    def parse(cls, content: bytes, beside: Collection[str] | None = None) -> Document:
        """The document of some bytes. Raises lxml.etree.XMLSyntaxError where they are no XML."""
        parser = etree.XMLParser(resolve_entities=False, no_network=True, remove_comments=True)
        return cls(etree.fromstring(content, parser), beside)

    def find(self, path: str, under: etree._Element | None = None) -> list[etree._Element]:
        """The elements of a path written with the prefixes odm, def and arm."""
        start = self.root if under is None else under
        return list(start.iterfind(path, SPACES))

    @cached_property
    def groups(self) -> list[etree._Element]:
        """The datasets."""
        return self.find(".//odm:ItemGroupDef")

    @cached_property
    def items(self) -> dict[str, etree._Element]:
        """The ItemDefs by OID."""
        return {one.get("OID", ""): one for one in self.find(".//odm:ItemDef")}

    @cached_property
    def codelists(self) -> dict[str, etree._Element]:
        """The codelists by OID."""
        return {one.get("OID", ""): one for one in self.find(".//odm:CodeList")}

    @cached_property
    def value_lists(self) -> dict[str, etree._Element]:
        """The value lists by OID."""
        return {one.get("OID", ""): one for one in self.find(".//def:ValueListDef")}

    @cached_property
    def wheres(self) -> dict[str, etree._Element]:
        """The where clauses by OID."""
        return {one.get("OID", ""): one for one in self.find(".//def:WhereClauseDef")}

    @cached_property
    def is_analysis(self) -> bool:
        """True for a define of analysis datasets."""
        return any(one.get("Purpose") == "Analysis" for one in self.groups)

    def references(self, parent: etree._Element) -> list[etree._Element]:
        """The ItemRefs of a dataset or a value list."""
        return self.find("odm:ItemRef", parent)

    def variables(self, group: etree._Element) -> Iterator[tuple[etree._Element, etree._Element]]:
        """The ItemRefs of a dataset in order, each with its ItemDef where there is one."""
        for reference in sorted(self.references(group), key=lambda one: int(one.get("OrderNumber") or 0)):
            item = self.items.get(reference.get("ItemOID", ""))
            if item is not None:
                yield reference, item

    def text(self, element: etree._Element, path: str = "odm:Description", language: str | None = None) -> str | None:
        """The text of a description: the first, or that of a language."""
        for one in self.find(f"{path}/odm:TranslatedText", element):
            if language is None or one.get(f"{{{XML}}}lang") == language:
                return one.text
        return None

    def texts(self, element: etree._Element) -> dict[str, str]:
        """The description of an element by language."""
        return {
            one.get(f"{{{XML}}}lang", ""): one.text or ""
            for one in self.find("odm:Description/odm:TranslatedText", element)
        }

    def codelist_of(self, item: etree._Element) -> etree._Element | None:
        """The codelist a variable refers to."""
        for one in self.find("odm:CodeListRef", item):
            return self.codelists.get(one.get("CodeListOID", ""))
        return None

    def terms(self, codelist: etree._Element) -> list[etree._Element]:
        """The terms of a codelist."""
        return [*self.find("odm:CodeListItem", codelist), *self.find("odm:EnumeratedItem", codelist)]

    def concept(self, element: etree._Element) -> str | None:
        """The C-code of a codelist or a term."""
        for one in self.find("odm:Alias", element):
            if one.get("Context") == NCI:
                return one.get("Name")
        return None

    def conditions(self, where: etree._Element) -> list[tuple[str, str, list[str]]]:
        """The checks of a where clause: variable's OID, comparator, values."""
        return [
            (
                one.get(f"{{{DEF}}}ItemOID", ""),
                one.get("Comparator", ""),
                [value.text or "" for value in self.find("odm:CheckValue", one)],
            )
            for one in self.find("odm:RangeCheck", where)
        ]


def named(element: etree._Element) -> str:
    """An element as problems name it."""
    names = (element.get(attribute) for attribute in ("OID", "ID", "ItemOID", "Name"))
    return f"{etree.QName(element).localname} {next((name for name in names if name), '')}".strip()
