"""The written form of a study: frozen models that forbid what they do not know."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping
from datetime import date
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from transforms.algorithms.base import Algorithm, Visits, parse
from transforms.core import dates
from transforms.core.conditions import Test

NAME = re.compile(r"[A-Z][A-Z0-9]{0,7}")
WORKING = re.compile(r"[a-z][a-z0-9_]*")
CONTEXT_SEGMENTS = ("MSH", "PID", "PV1", "ORC", "OBR", "OBX", "SPM", "NTE")
RESULT_FIELDS = ("result", "result_code")
FIELD_PLACE = re.compile(
    r"(?P<segment>[A-Z][A-Z0-9]{2})-(?P<field>\d+)(\[((?P<repetition>\d+)|(?P<by>\d+)=(?P<value>[^\]]+))\])?"
    r"(\.(?P<component>\d+)(\.(?P<subcomponent>\d+))?)?"
)


class Frozen(BaseModel):
    """Base of all models of a specification."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class StandardsUsed(Frozen):
    """Versions of the standards a study is written against; folders under cdisc_mappings/standards."""

    sdtmig: str
    sdtm: str
    ct: str
    adamig: str | None = None


class Placement(Frozen):
    """Where instruments go: the default profile and those one may ask for with --placement."""

    default: str
    profiles: tuple[str, ...]


class ResultColumn(Frozen):
    """How results are read: `texts` is the table of their forms, `flag` the column that takes a flag found in one.

    `reason` is the made column that says why there is no result.
    """

    texts: str
    flag: str | None = None
    reason: str | None = None


class UnitColumn(Frozen):
    """How units are read: `table` lists the units of each analyte, `of` is the result's column.

    `by` has one entry: the table's column with the analyte, and the extract's.
    """

    table: str
    by: dict[str, str] = Field(min_length=1, max_length=1)
    of: str

    @property
    def listed(self) -> str:
        """The table's column with the analyte."""
        return next(iter(self.by))

    @property
    def analyte(self) -> str:
        """The extract's column with the analyte."""
        return self.by[self.listed]


class RangeColumn(Frozen):
    """Which part of a reference range with parts is a row's: that whose label is the value of the column `by`."""

    by: str
    labels: tuple[str, ...] = Field(min_length=1)


class Column(Frozen):
    """One column of an extract.

    `text` is taken as it is; `integer` and `number` are written plainly (`63.0` is 63); `date`, `datetime` and `time`
    are read by their layouts into ISO 8601; `result`, `unit` and `range` are a laboratory's. `codelist` turns each text
    into its term, `narrow` full-width characters into ordinary ones. `answers` names the codelist whose collected texts
    are what the form offers: each is spelt as the list has it, and another one is asked about. With `default_midnight`
    a time of 00:00 means that the time is unknown. `not_submitted` says why the column is in no dataset. `identifier`
    marks what may identify a person: it never leaves the raw store; other texts are searched for identifiers unless
    `scan` is false. A `made` column is not in the extract: staging writes it. A `planned` date (an expiry, an
    appointment) may lie after the cut-off. A `complete` date is known to the day wherever it is collected, so that a
    partial one is asked about. A `required` column has a value on every row, or on those where a condition on others
    holds. `constant` is the one text that every value of the column is, as the form's own name; `{source}` and
    `{SOURCE}` in it are the source's name. `measured_in` is the MeasurementUnitOID that values of an ODM file must
    carry.
    """

    type: Literal["text", "integer", "number", "date", "datetime", "time", "result", "unit", "range"] = "text"
    layouts: tuple[str, ...] = ()
    default_midnight: bool = False
    result: ResultColumn | None = None
    unit: UnitColumn | None = None
    range: RangeColumn | None = None
    codelist: str | None = None
    answers: str | None = None
    narrow: bool = False
    scan: bool = True
    made: bool = False
    planned: bool = False
    complete: bool = False
    constant: str | None = None
    required: bool | dict[str, Test] = False
    identifier: bool = False
    measured_in: str | None = None
    not_submitted: str | None = None
    label: str | None = None

    @field_validator("layouts")
    @classmethod
    def _readable(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for layout in value:
            dates.layout_pattern(layout)
        return value

    @model_validator(mode="after")
    def _layouts_fit(self) -> Column:
        if (self.type in {"date", "datetime", "time"}) != bool(self.layouts):
            raise ValueError(f"type {self.type} {'needs' if not self.layouts else 'takes no'} layouts")
        return self

    @model_validator(mode="after")
    def _options_fit(self) -> Column:
        for kind, needed in (("result", True), ("unit", True), ("range", False)):
            if getattr(self, kind) is not None and self.type != kind:
                raise ValueError(f"type {self.type} takes no {kind!r}")
            if needed and self.type == kind and getattr(self, kind) is None:
                raise ValueError(f"type {kind} needs {kind!r}")
        if self.codelist is not None and (self.type != "text" or self.identifier):
            raise ValueError("only a text that is no identifier goes through a codelist")
        if self.answers is not None and (self.type != "text" or self.identifier or self.codelist is not None):
            raise ValueError("answers are for a text that is no identifier and goes through no codelist")
        if self.default_midnight and self.type != "datetime":
            raise ValueError("default_midnight is for a datetime")
        if self.constant is not None and (self.type != "text" or self.codelist is not None or self.made):
            raise ValueError("constant is for a text as it is collected")
        if self.planned and self.type not in {"date", "datetime"}:
            raise ValueError("planned is for a date or a datetime")
        if self.complete and self.type not in {"date", "datetime"}:
            raise ValueError("complete is for a date or a datetime")
        if self.made and (self.type != "text" or self.identifier or self.required or self.codelist or self.answers):
            raise ValueError("a made column is a text that nothing is asked of")
        return self


class Rule(Frozen):
    """A named reason why rows give no record."""

    rule: str
    why: str


class Exclusion(Rule):
    """Rows of an extract that are left out under a named rule."""

    where: dict[str, Test]


class Deleted(Frozen):
    """The column, and its value, by which a row says that its record was deleted at the source.

    `otherwise` is what the column says of a record that stands; with it, any other text is a finding.
    """

    column: str
    value: str
    otherwise: str | None = None


class Identity(Frozen):
    """How another extract's identifier leads to the subject: its `column` there, and the subject column."""

    source: str
    column: str
    subject: str


class Revisions(Frozen):
    """Several versions of one record in a source, and which of them stands.

    `key` names the columns of what is revised, `number` that of the revision, `status` that of its state; the other
    fields say which states mean what. `flag` is the made column that is `Y` where a corrected version stands.
    """

    key: tuple[str, ...] = Field(min_length=1)
    number: str
    status: str
    final: tuple[str, ...] = Field(min_length=1)
    corrected: tuple[str, ...] = ()
    preliminary: tuple[str, ...] = ()
    cancelled: tuple[str, ...] = ()
    flag: str | None = None

    @model_validator(mode="after")
    def _one_meaning(self) -> Revisions:
        states = [*self.final, *self.corrected, *self.preliminary, *self.cancelled]
        if len(set(states)) < len(states):
            raise ValueError("a state has one meaning")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it reads."""
        return (*self.key, self.number, self.status)


class FieldPlace(Frozen):
    """A place in the segments of an HL7 message, as `PID-3[5=MR].1`, or `result` or `result_code` of the OBX.

    `repetition` counts from 1; `chosen` names a component and the value it has in the repetition meant.
    """

    segment: str
    field: int
    component: int | None = None
    subcomponent: int | None = None
    repetition: int | None = None
    chosen: tuple[int, str] | None = None

    @model_validator(mode="before")
    @classmethod
    def _read(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        if value in RESULT_FIELDS:
            return {"segment": value, "field": 5}
        match = FIELD_PLACE.fullmatch(value)
        if match is None:
            raise ValueError(f"{value!r} is no place such as OBX-6.1, PID-3[5=MR].1, PID-3[2].1, result or result_code")
        part = match.groupdict()
        return {
            "segment": part["segment"],
            "field": part["field"],
            "component": part["component"],
            "subcomponent": part["subcomponent"],
            "repetition": part["repetition"],
            "chosen": (part["by"], part["value"]) if part["by"] else None,
        }

    @model_validator(mode="after")
    def _counted_from_one(self) -> FieldPlace:
        numbers = (self.field, self.component, self.subcomponent, self.repetition, self.chosen and self.chosen[0])
        if 0 in numbers:
            raise ValueError("fields, components and repetitions count from 1")
        if self.segment in CONTEXT_SEGMENTS or self.segment in RESULT_FIELDS:
            return self
        raise ValueError(f"rows hold {', '.join(CONTEXT_SEGMENTS)} only, not {self.segment}")


class Source(Frozen):
    """The contract of one extract, whatever its format; each format is a class of its own.

    An extract without `subject` belongs to no subject (certificates of a batch): only a `join` reads it. Rows that hold
    `without_subject` are about the study itself: their subject may be missing.
    A file without a manifest is taken from a watched landing folder when it has not changed for `settle_seconds`.
    `rows_may_drop` is the share of rows by which a full file may be shorter than an earlier one; `may_be_empty` says
    that a file without rows is nothing to ask about, as before the first death. A row marked
    `deleted` removes its record, also where an earlier file of an incremental source holds it.
    `supplied_by` says who the values are from, as the origin of a submitted variable names it.
    The same rows may come by other carriers, `also`: each is a contract of its own with the same columns.
    """

    source: str
    label: str
    files: str
    supplied_by: Literal["Investigator", "Subject", "Sponsor", "Vendor"] = "Investigator"
    extracted_at: str | None = None
    extracted_layout: str = "YYYYMMDDThhmm"
    delivery: Literal["full", "incremental"]
    record_id: tuple[str, ...] = ()
    equal_rows: Literal["keep", "duplicate"] = "keep"
    settle_seconds: int = Field(default=60, ge=0)
    rows_may_drop: float = Field(default=0.02, ge=0, le=1)
    may_be_empty: bool = False
    deleted: Deleted | None = None
    exclude: tuple[Exclusion, ...] = ()
    subject: str | None = None
    without_subject: dict[str, Test] = {}
    identity: Identity | None = None
    revisions: Revisions | None = None
    shared_columns: str | None = None
    columns: dict[str, Column]
    also: tuple[Source, ...] = ()

    @field_validator("columns")
    @classmethod
    def _constants_named(cls, value: dict[str, Column], info: ValidationInfo) -> dict[str, Column]:
        return {
            name: column
            if column.constant is None
            else column.model_copy(update={"constant": _filled(column.constant, source=str(info.data.get("source")))})
            for name, column in value.items()
        }

    @property
    def carriers(self) -> tuple[Source, ...]:
        """Every way its rows may come, this contract first."""
        return (self, *self.also)

    def fits(self, name: str) -> bool:
        """True if a file of this name, which may lie in folders of an archive, is one of this carrier."""
        return fnmatch.fnmatchcase(PurePosixPath(name).name, self.files)

    def carrier_of(self, name: str) -> Source:
        """The carrier by which a file of this name came; this contract where no carrier names it any more."""
        return next((carrier for carrier in self.carriers if carrier.fits(name)), self)

    @property
    def extract_columns(self) -> tuple[str, ...]:
        """The columns that the extract itself holds."""
        return tuple(name for name, column in self.columns.items() if not column.made)

    def makers(self) -> dict[str, str]:
        """What the contract writes into other columns: the column that is written, by the place that says so."""
        found = {"revisions.flag": self.revisions.flag if self.revisions else None}
        for name, column in self.columns.items():
            if column.result is not None:
                found[f"columns.{name}.result.reason"] = column.result.reason
        return {place: name for place, name in found.items() if name is not None}

    @field_validator("extracted_at")
    @classmethod
    def _with_group(cls, value: str | None) -> str | None:
        if value is not None and "at" not in re.compile(value).groupindex:
            raise ValueError("the pattern needs a group named `at`")
        return value


def _known_encoding(value: str) -> str:
    try:
        "".encode(value)
    except LookupError as error:
        raise ValueError(f"{value!r} is no encoding Python knows") from error
    return value


Encoding = Annotated[str, AfterValidator(_known_encoding)]


class DelimitedSource(Source):
    """Delimited text: one file is one source's rows."""

    format: Literal["delimited"] = "delimited"
    encoding: Encoding = "utf-8"
    delimiter: str = ","
    quote: str | None = '"'

    @field_validator("delimiter", "quote")
    @classmethod
    def _one_character(cls, value: str | None) -> str | None:
        if value is not None and len(value) != 1:
            raise ValueError("is one character")
        return value


SystemValue = Literal[
    "study_oid",
    "metadata_version",
    "subject_key",
    "site",
    "event_oid",
    "event_repeat",
    "form_oid",
    "form_repeat",
    "group_oid",
    "group_repeat",
    "record_key",
    "entered_at",
    "modified_at",
]


class OdmSource(Source):
    """CDISC ODM-XML 1.3: the data of some item groups are the rows; one file may feed several sources.

    `system` says which columns hold keys of the hierarchy, `items` which hold which ItemOID, `units` which hold the
    measurement unit of which ItemOID. Any other column is the item that `item_oid` names by `{source}` and `{column}`,
    or in capitals by `{SOURCE}` and `{COLUMN}`; `item_groups` and `forms` know the source likewise.
    """

    format: Literal["odm"]
    item_groups: tuple[str, ...] = Field(min_length=1)
    forms: tuple[str, ...] = ()
    row: Literal["item_group", "form"] = "item_group"
    system: dict[str, SystemValue] = {}
    items: dict[str, str] = {}
    item_oid: str = "{column}"
    units: dict[str, str] = {}

    @model_validator(mode="before")
    @classmethod
    def _named_by_source(cls, value: Any) -> Any:
        if not isinstance(value, dict) or not isinstance(value.get("source"), str):
            return value
        named = {}
        for key in ("item_groups", "forms"):
            if isinstance(value.get(key), list | tuple):
                named[key] = [
                    _filled(one, source=value["source"]) if isinstance(one, str) else one for one in value[key]
                ]
        return {**value, **named}

    @field_validator("item_oid")
    @classmethod
    def _names_column(cls, value: str) -> str:
        if _filled(value, source="s", column="a") == _filled(value, source="s", column="b"):
            raise ValueError("must hold {column} or {COLUMN}")
        return value

    @model_validator(mode="after")
    def _each_column_once(self) -> OdmSource:
        _refuse_unknown_columns(self.columns, {"system": self.system, "items": self.items, "units": self.units})
        own = self.item_columns()
        if len(set(own.values())) < len(own):
            raise ValueError("two columns hold the same item")
        if self.row == "form" and any(word in {"group_oid", "group_repeat"} for word in self.system.values()):
            raise ValueError("a row of a whole form has no group_oid and no group_repeat")
        return self

    def item_columns(self) -> dict[str, str]:
        """ItemOID of each column that holds a collected value."""
        return {
            name: self.items.get(name) or _filled(self.item_oid, source=self.source, column=name)
            for name in self.extract_columns
            if name not in self.system and name not in self.units
        }


class Hl7Source(Source):
    """HL7 v2 ORU^R01: each OBX is a row; `fields` says which place of which segment a column holds.

    `encoding` is that of messages whose MSH-18 says nothing.
    """

    format: Literal["hl7"]
    encoding: Encoding = "utf-8"
    fields: dict[str, FieldPlace]

    @model_validator(mode="after")
    def _every_column(self) -> Hl7Source:
        _refuse_unknown_columns(self.columns, {"fields": self.fields})
        lost = sorted(set(self.extract_columns) - set(self.fields))
        if lost:
            raise ValueError(f"fields do not say which place is {', '.join(lost)}")
        return self


def _filled(pattern: str, **names: str) -> str:
    """A pattern with names put in for `{name}`, and in capitals for `{NAME}`."""
    words = {**names, **{word.upper(): name.upper() for word, name in names.items()}}
    try:
        return pattern.format(**words)
    except (KeyError, IndexError, ValueError) as error:
        raise ValueError(f"{pattern!r} knows {', '.join(f'{{{word}}}' for word in sorted(words))} only") from error


def _refuse_unknown_columns(columns: Mapping[str, Column], places: Mapping[str, Mapping[str, object]]) -> None:
    seen: dict[str, str] = {}
    for place, named in places.items():
        for name in named:
            if name not in columns:
                raise ValueError(f"{place} names no column: {name!r}")
            if name in seen:
                raise ValueError(f"{name!r} stands in {seen[name]} and in {place}")
            seen[name] = place


FORMATS: Mapping[str, type[Source]] = {"delimited": DelimitedSource, "odm": OdmSource, "hl7": Hl7Source}


class Dictionary(Frozen):
    """The dictionary, and its version, that the coded terms of a dataset are from: MedDRA, CTCAE."""

    name: str
    version: str | None = None


class Archives(Frozen):
    """What a .zip in landing may hold: bytes of all members together, and how many times its size one may grow."""

    largest_bytes: int = Field(default=2 << 30, gt=0)
    largest_ratio: int = Field(default=100, gt=0)


class StudyFile(Frozen):
    """study.yml: what holds for the whole study."""

    study: str
    studyid: str
    title: str
    standards: StandardsUsed
    usubjid: str = "{studyid}-{subject}"
    study_oid: str | None = None
    cut_off: date | None = None
    archives: Archives = Archives()
    placement: Placement = Placement(default="cdisc", profiles=("cdisc",))
    visits: Visits = Visits()
    dictionaries: dict[str, Dictionary] = {}
    shared_columns: dict[str, dict[str, Column]] = {}
    shared_carriers: dict[str, tuple[dict[str, Any], ...]] = {}

    @field_validator("usubjid")
    @classmethod
    def _names_subject(cls, value: str) -> str:
        try:
            shown = value.format(studyid="S", subject="X")
        except (KeyError, IndexError) as error:
            raise ValueError("knows {studyid} and {subject} only") from error
        if "X" not in shown:
            raise ValueError("must hold {subject}")
        return value

    @field_validator("cut_off", mode="before")
    @classmethod
    def _iso(cls, value: Any) -> Any:
        return date.fromisoformat(value) if isinstance(value, str) else value


class Variable(Frozen):
    """How a variable is filled, and what is said of it beyond the standard.

    `codelists` replaces the standard's CT lists where they depend on another variable (RSTESTCD on RSCAT).
    `type` is for qualifiers and working variables, which no standard defines. `method` is the prose of the derivation
    that reviewers read in place of the sentence made of the rule.
    """

    algorithm: Algorithm
    label: str | None = None
    origin: str | None = None
    method: str | None = Field(default=None, min_length=1)
    comment: str | None = None
    evaluator: str | None = None
    type: Literal["Char", "Num"] | None = None
    codelists: tuple[str, ...] | None = None

    @model_validator(mode="before")
    @classmethod
    def _read(cls, value: Any) -> Any:
        if not isinstance(value, Mapping) or "algorithm" in value:
            return value
        own = {key: item for key, item in value.items() if key in cls.model_fields}
        rest = {key: item for key, item in value.items() if key not in cls.model_fields}
        return {**own, "algorithm": parse(rest)}


class ForEach(Frozen):
    """One record per row of a table whose column is filled: the way from a wide form to a long dataset.

    `column` names the table's column that holds the extract's column names; an algorithm reads the value there as
    `each.value`, the table's cell in column NAME as `each.NAME`, and the value of the extract's column which that
    cell names as `each.column.NAME`.
    """

    table: str
    column: str = "COLUMN"
    none: Rule


class Only(Frozen):
    """The rows a record group takes, and the named rule for the others."""

    where: dict[str, Test]
    otherwise: Rule


class Join(Frozen):
    """Another extract whose columns a record group reads as `SOURCE.COLUMN`, from the row that fits the record's row.

    `by` names its columns and those of the group's own extract that hold the same; where it has subjects, they are
    the same too. `same_day` names its date columns and the group's own that lie on one day. A row without a fitting
    one is a finding of the given `severity`, unless `optional`.
    """

    by: dict[str, str] = Field(min_length=1)
    same_day: dict[str, str] = {}
    optional: bool = False
    severity: Literal["answer", "critical"] = "answer"


class Wait(Rule):
    """The days before the cut-off in which it is too early to miss a row, and the named rule for rows so young."""

    days: int = Field(ge=0)


class Fallback(Frozen):
    """The rows of a group that give records: those for which another extract has none that stands.

    `by` names that extract's columns and the group's own that hold the same; where it has subjects, they are the
    same too. `dates` names a date of each, and `days` how far apart the two may lie; a row without a complete date
    gives no record where the other extract has any row. `otherwise` is the named rule for rows that give none, and
    `wait` that for rows whose date lies shortly before the cut-off.
    """

    of: str
    by: dict[str, str] = Field(min_length=1)
    dates: dict[str, str] = Field(default={}, max_length=1)
    days: int = Field(default=0, ge=0)
    otherwise: Rule
    wait: Wait | None = None
    date: str | None = None

    @model_validator(mode="after")
    def _dated(self) -> Fallback:
        if self.days and not self.dates:
            raise ValueError("days need dates: which date of each extract lies within them")
        if (self.wait is None) != (self.date is None):
            raise ValueError("wait needs date, the column that says how old a row is, and date needs wait")
        return self

    @property
    def own_columns(self) -> tuple[str, ...]:
        """The columns of the group's own extract that are looked at."""
        return (*self.by.values(), *self.dates.values(), *((self.date,) if self.date else ()))


class Group(Frozen):
    """Records of a dataset that come from one extract, or from a table of the specification."""

    source: str | None = None
    table: str | None = None
    join: dict[str, Join] = {}
    only: Only | None = None
    fallback: Fallback | None = None
    for_each: ForEach | None = None
    placement: dict[str, str] | None = None
    variables: dict[str, Variable] = {}
    supplemental: dict[str, Variable] = {}
    working: dict[str, Variable] = {}

    @model_validator(mode="after")
    def _one_origin(self) -> Group:
        if (self.source is None) == (self.table is None):
            raise ValueError("a record group reads either a source or a table")
        if self.join and self.source is None:
            raise ValueError("only a group that reads a source may join another one")
        if self.fallback is not None and self.source is None:
            raise ValueError("only a group that reads a source may fall back on it")
        return self

    @property
    def other_sources(self) -> tuple[str, ...]:
        """The extracts that are looked at beside the group's own."""
        return (*self.join, *((self.fallback.of,) if self.fallback is not None else ()))

    def written(self) -> dict[str, Variable]:
        """All variables the group writes itself."""
        return {**self.variables, **self.supplemental, **self.working}


class DateRule(Frozen):
    """When an element starts or ends: a DM variable of the subject, or a date of another dataset, some days later."""

    subject: str | None = None
    earliest: str | None = None
    latest: str | None = None
    where: dict[str, Test] = {}
    plus_days: int = 0

    def __hash__(self) -> int:
        return hash((self.subject, self.earliest, self.latest, tuple(self.where.items()), self.plus_days))

    @model_validator(mode="after")
    def _one(self) -> DateRule:
        if sum(part is not None for part in (self.subject, self.earliest, self.latest)) != 1:
            raise ValueError("say one of subject, earliest, latest")
        return self


class Element(Frozen):
    """One element a subject may pass through, in planned order; `arms` limits it to subjects of those arm codes.

    `reached` limits it to subjects for whom that rule gives a date, `before` to those for whom the element
    starts earlier than that rule's date. An element outside the plan says with `unplanned` what it is; `arms: [""]`
    limits it to subjects who had no arm's treatment.
    """

    etcd: str
    start: DateRule
    end: DateRule | None = None
    reached: DateRule | None = None
    before: DateRule | None = None
    arms: tuple[str, ...] = ()
    unplanned: str | None = None

    @property
    def rules(self) -> tuple[DateRule, ...]:
        """All date rules of the element."""
        return tuple(rule for rule in (self.start, self.end, self.reached, self.before) if rule is not None)


class Elements(Frozen):
    """SE: the elements subjects pass through, and the tables that plan them.

    `arm` says whose elements a subject has: those of the actual arm (of the planned one where there is no
    actual one), or always those of the planned arm.
    """

    arm: Literal["actual", "planned"] = "actual"
    elements: tuple[Element, ...]
    te: str = "te"
    ta: str = "ta"


class Related(Frozen):
    """The records of one dataset in a relation of records: those with `where`, grouped by the value of `match`."""

    match: str | None = None
    where: dict[str, Test] = {}


class Relation(Frozen):
    """RELREC: how datasets, or records of a subject, are related.

    `datasets` names, for each dataset, the variable whose equal values relate its records, and `types` says ONE or
    MANY for each. `records` relates single records: those of a subject with equal values of `match` (all that fit
    `where` if there is no `match`), when every dataset named has one.
    """

    relid: str = Field(max_length=8)
    datasets: dict[str, str] = {}
    types: dict[str, Literal["ONE", "MANY"]] = {}
    records: dict[str, Related] = {}

    @model_validator(mode="after")
    def _one_kind(self) -> Relation:
        if bool(self.datasets) == bool(self.records) or len(self.datasets or self.records) < 2:
            raise ValueError("relates two or more datasets, or records of two or more")
        if self.types.keys() != self.datasets.keys():
            raise ValueError("types says ONE or MANY for each of the datasets")
        if len({one.match is None for one in self.records.values()}) > 1:
            raise ValueError("either each of the records has a match, or none")
        return self


class DatasetFile(Frozen):
    """One dataset's YAML: where records come from, what fills each variable, what makes a record unique.

    With `datasets`, one file serves several datasets of one class: variables are written with `--` for
    the dataset's name, and each group's `placement` says which dataset it goes to under which profile. A file of
    one dataset may have a `placement` of its own: texts written `--` then stand for the dataset it names.
    """

    dataset: str | None = None
    datasets: tuple[str, ...] = ()
    keys: tuple[str, ...] = Field(min_length=1)
    records: tuple[Group, ...] = ()
    elements: Elements | None = None
    relations: tuple[Relation, ...] = ()
    placement: dict[str, str] | None = None
    variables: dict[str, Variable] = {}
    supplemental: dict[str, Variable] = {}
    working: dict[str, Variable] = {}
    comment: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _placed(cls, value: Any, info: ValidationInfo) -> Any:
        if not isinstance(value, Mapping) or not info.context:
            return value
        if "place" in info.context:
            return _resolve(dict(value), *info.context["place"])
        named = value.get("placement")
        if not isinstance(named, Mapping):
            return value
        profile = info.context.get("profile")
        if profile not in named:
            raise ValueError(f"placement does not say what `--` is under {profile!r}")
        rest = {key: item for key, item in value.items() if key != "placement"}
        return {**placed(rest, str(named[profile])), "placement": named}

    @model_validator(mode="after")
    def _has_records(self) -> DatasetFile:
        if sum((bool(self.records), self.elements is not None, bool(self.relations))) != 1:
            raise ValueError("a dataset has one of: records, elements (SE), relations (RELREC)")
        for name in self.working:
            if not WORKING.fullmatch(name):
                raise ValueError(f"working variable {name!r} must be written in lower case")
        return self

    @property
    def name(self) -> str:
        """The dataset's name."""
        return self.dataset or ""


def _resolve(written: dict[str, Any], dataset: str, profile: str) -> dict[str, Any]:
    """A file for several datasets as the file of one of them under one placement profile."""
    groups = []
    for group in written.get("records", ()):
        if isinstance(group, Mapping) and isinstance(group.get("placement"), Mapping):
            if group["placement"].get(profile) != dataset:
                continue
            group = {key: item for key, item in group.items() if key != "placement"}
        groups.append(group)
    resolved = {key: item for key, item in written.items() if key != "datasets"}
    resolved["records"] = groups
    resolved["dataset"] = dataset
    result: dict[str, Any] = placed(resolved, dataset)
    return result


def placed(value: Any, dataset: str) -> Any:
    """A written value with `--` replaced by the dataset it stands for, in keys and texts alike."""
    if isinstance(value, str):
        return re.sub(r"--(?=[A-Z.]|$)", dataset, value)
    if isinstance(value, Mapping):
        return {placed(key, dataset): placed(item, dataset) for key, item in value.items()}
    if isinstance(value, list):
        return [placed(item, dataset) for item in value]
    return value
