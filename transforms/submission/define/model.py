"""The content of a Define-XML 2.1 document as plain frozen data: what is described, not how it is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Language = Literal["en", "zh"]
Kind = Literal["sdtm", "adam"]
DataType = Literal[
    "text",
    "integer",
    "float",
    "date",
    "datetime",
    "time",
    "partialDate",
    "partialDatetime",
    "incompleteDatetime",
    "durationDatetime",
]
Comparator = Literal["EQ", "NE", "IN", "NOTIN", "LT", "LE", "GT", "GE"]
WITH_LENGTH = frozenset({"text", "integer", "float"})


@dataclass(frozen=True)
class Label:
    """A text in English and, where one is known, in Chinese."""

    en: str
    zh: str | None = None

    def shown(self, language: Language) -> str:
        """The text in a language; English where there is no other."""
        return self.zh if language == "zh" and self.zh else self.en


@dataclass(frozen=True)
class Origin:
    """Where values come from: type and source as Define-XML names them, and the predecessor (`DM.AGE`) of a copy."""

    type: Literal["Collected", "Derived", "Assigned", "Protocol", "Predecessor", "Not Available"]
    source: Literal["Investigator", "Sponsor", "Subject", "Vendor"] | None = None
    predecessor: str | None = None


@dataclass(frozen=True)
class Term:
    """A value of a codelist: its decode where it has one, its C-code where known, and whether CDISC lacks it."""

    value: str
    decode: str | None = None
    concept: str | None = None
    extended: bool = False


@dataclass(frozen=True)
class Codelist:
    """The values a variable may have: `terms`, or an external `dictionary` with its version.

    `standard` is the OID of the terminology it is of, `concept` the C-code of the published list.
    """

    oid: str
    name: str
    type: Literal["text", "integer", "float"]
    terms: tuple[Term, ...] = ()
    concept: str | None = None
    standard: str | None = None
    dictionary: str | None = None
    version: str | None = None
    comment: str | None = None


@dataclass(frozen=True)
class Method:
    """How a value is derived, in prose."""

    oid: str
    name: str
    text: str
    type: Literal["Computation", "Imputation"] = "Computation"


@dataclass(frozen=True)
class Comment:
    """What is said of a dataset, a variable or a value, in prose."""

    oid: str
    text: str


@dataclass(frozen=True)
class Check:
    """One condition of a where clause: the variable's OID, the values, and how they compare.

    Without `how` one value is EQ, several are IN.
    """

    item: str
    values: tuple[str, ...]
    how: Comparator | None = None

    @property
    def comparator(self) -> Comparator:
        """How the variable compares with the values."""
        return self.how or ("EQ" if len(self.values) == 1 else "IN")


@dataclass(frozen=True)
class Where:
    """A where clause: all its checks hold."""

    oid: str
    checks: tuple[Check, ...]


@dataclass(frozen=True)
class Item:
    """A variable, or a variable under a where clause (`where`).

    `length` is that of the file in bytes; it stands for texts and numbers only.
    """

    oid: str
    name: str
    label: Label
    type: DataType
    length: int | None
    digits: int | None = None
    format: str | None = None
    mandatory: bool = False
    key: int | None = None
    role: str | None = None
    origins: tuple[Origin, ...] = ()
    codelist: str | None = None
    method: str | None = None
    comment: str | None = None
    values: str | None = None
    where: str | None = None
    non_standard: bool = False
    no_data: bool = False


@dataclass(frozen=True)
class ValueList:
    """What a variable is under each of several where clauses."""

    oid: str
    items: tuple[Item, ...]


@dataclass(frozen=True)
class Group:
    """A dataset and its variables in order; `standard` is the OID of the guide it follows."""

    name: str
    label: Label
    observation_class: str
    structure: str
    items: tuple[Item, ...]
    rows: int
    subclass: str | None = None
    domain: str | None = None
    repeating: bool = True
    reference: bool = False
    standard: str | None = None
    comment: str | None = None

    @property
    def oid(self) -> str:
        """OID of the ItemGroupDef."""
        return f"IG.{self.name}"

    @property
    def leaf(self) -> str:
        """ID of the leaf that leads to the file."""
        return f"LF.{self.name}"

    @property
    def file(self) -> str:
        """The file beside define.xml."""
        return f"{self.name.lower()}.xpt"


@dataclass(frozen=True)
class Standard:
    """A standard the study follows."""

    oid: str
    name: str
    type: Literal["IG", "CT"]
    version: str
    publishing_set: str | None = None
    status: str = "Final"


@dataclass(frozen=True)
class Document:
    """A document beside define.xml; `role` says which list names it."""

    id: str
    href: str
    title: Label
    role: Literal["annotated_crf", "guide", "other"]


@dataclass(frozen=True)
class AnalysisDataset:
    """A dataset an analysis reads: the records of `where`, and the variables analysed."""

    name: str
    where: str | None
    variables: tuple[str, ...]


@dataclass(frozen=True)
class AnalysisResult:
    """One result of a display: what it is, why and for what it was made, from which data, and how."""

    oid: str
    description: str
    reason: str
    purpose: str
    datasets: tuple[AnalysisDataset, ...]
    parameter: str | None
    documentation: str
    code: str | None = None
    context: str | None = None


@dataclass(frozen=True)
class Display:
    """A table or figure and its results."""

    oid: str
    name: str
    title: str
    results: tuple[AnalysisResult, ...]
    document: str | None = None


@dataclass(frozen=True)
class Define:
    """Everything a define.xml says. `created` is the cut-off, ISO 8601, so that the bytes depend on no clock.

    `pages` gives for `DATASET.VARIABLE` the pages of the annotated CRF on which it is collected. `label` is what the
    deliveries say of themselves, for example that they are synthetic.
    """

    kind: Kind
    language: Language
    study: str
    studyid: str
    title: str
    created: str
    snapshot: str
    standards: tuple[Standard, ...]
    documents: tuple[Document, ...]
    groups: tuple[Group, ...]
    value_lists: tuple[ValueList, ...]
    wheres: tuple[Where, ...]
    codelists: tuple[Codelist, ...]
    methods: tuple[Method, ...]
    comments: tuple[Comment, ...]
    displays: tuple[Display, ...] = ()
    pages: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    label: str = ""

    def by_name(self) -> Mapping[str, Group]:
        """The datasets by name."""
        return {group.name: group for group in self.groups}
