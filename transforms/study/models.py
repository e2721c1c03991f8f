"""The written form of a study: frozen models that forbid what they do not know."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from transforms.algorithms.base import Algorithm, Visits, parse
from transforms.core import dates
from transforms.core.conditions import Test

NAME = re.compile(r"[A-Z][A-Z0-9]{0,7}")
WORKING = re.compile(r"[a-z][a-z0-9_]*")


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


class Column(Frozen):
    """One column of an extract.

    `text` is taken as it is; `integer` and `number` are written plainly (`63.0` is 63); `date`, `datetime`
    and `time` are read by their layouts into ISO 8601. `not_submitted` says why the column is in no dataset.
    `identifier` marks what may identify a person: it never leaves the raw store.
    """

    type: Literal["text", "integer", "number", "date", "datetime", "time"] = "text"
    layouts: tuple[str, ...] = ()
    required: bool = False
    identifier: bool = False
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


class Rule(Frozen):
    """A named reason why rows give no record."""

    rule: str
    why: str


class Exclusion(Rule):
    """Rows of an extract that are left out under a named rule."""

    where: dict[str, Test]


class Identity(Frozen):
    """How another extract's identifier leads to the subject: its `column` there, and the subject column."""

    source: str
    column: str
    subject: str


class Source(Frozen):
    """The contract of one extract.

    Rows that hold `without_subject` are about the study itself: their subject may be missing. A file without a
    manifest is taken from a watched landing folder when it has not changed for `settle_seconds`.
    """

    source: str
    label: str
    files: str
    extracted_at: str | None = None
    extracted_layout: str = "YYYYMMDDThhmm"
    format: Literal["delimited"] = "delimited"
    encoding: str = "utf-8"
    delimiter: str = ","
    quote: str | None = '"'
    delivery: Literal["full", "incremental"]
    record_id: tuple[str, ...] = ()
    equal_rows: Literal["keep", "duplicate"] = "keep"
    settle_seconds: int = Field(default=60, ge=0)
    exclude: tuple[Exclusion, ...] = ()
    subject: str
    without_subject: dict[str, Test] = {}
    identity: Identity | None = None
    shared_columns: str | None = None
    columns: dict[str, Column]

    @field_validator("delimiter", "quote")
    @classmethod
    def _one_character(cls, value: str | None) -> str | None:
        if value is not None and len(value) != 1:
            raise ValueError("is one character")
        return value

    @field_validator("encoding")
    @classmethod
    def _known(cls, value: str) -> str:
        try:
            "".encode(value)
        except LookupError as error:
            raise ValueError(f"{value!r} is no encoding Python knows") from error
        return value

    @field_validator("extracted_at")
    @classmethod
    def _with_group(cls, value: str | None) -> str | None:
        if value is not None and "at" not in re.compile(value).groupindex:
            raise ValueError("the pattern needs a group named `at`")
        return value


class StudyFile(Frozen):
    """study.yml: what holds for the whole study."""

    study: str
    studyid: str
    title: str
    standards: StandardsUsed
    usubjid: str = "{studyid}-{subject}"
    cut_off: date | None = None
    placement: Placement = Placement(default="cdisc", profiles=("cdisc",))
    visits: Visits = Visits()
    shared_columns: dict[str, dict[str, Column]] = {}

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
    `type` is for qualifiers and working variables, which no standard defines.
    """

    algorithm: Algorithm
    label: str | None = None
    origin: str | None = None
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


class Group(Frozen):
    """Records of a dataset that come from one extract, or from a table of the specification."""

    source: str | None = None
    table: str | None = None
    only: Only | None = None
    for_each: ForEach | None = None
    placement: dict[str, str] | None = None
    variables: dict[str, Variable] = {}
    supplemental: dict[str, Variable] = {}
    working: dict[str, Variable] = {}

    @model_validator(mode="after")
    def _one_origin(self) -> Group:
        if (self.source is None) == (self.table is None):
            raise ValueError("a record group reads either a source or a table")
        return self

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
    starts earlier than that rule's date.
    """

    etcd: str
    start: DateRule
    end: DateRule | None = None
    reached: DateRule | None = None
    before: DateRule | None = None
    arms: tuple[str, ...] = ()

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


class DatasetFile(Frozen):
    """One dataset's YAML: where records come from, what fills each variable, what makes a record unique.

    With `datasets`, one file serves several datasets of one class: variables are written with `--` for
    the dataset's name, and each group's `placement` says which dataset it goes to under which profile.
    """

    dataset: str | None = None
    datasets: tuple[str, ...] = ()
    keys: tuple[str, ...] = Field(min_length=1)
    records: tuple[Group, ...] = ()
    elements: Elements | None = None
    variables: dict[str, Variable] = {}
    supplemental: dict[str, Variable] = {}
    working: dict[str, Variable] = {}
    comment: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _placed(cls, value: Any, info: ValidationInfo) -> Any:
        if not isinstance(value, Mapping) or not info.context or "place" not in info.context:
            return value
        return _resolve(dict(value), *info.context["place"])

    @model_validator(mode="after")
    def _has_records(self) -> DatasetFile:
        if bool(self.records) == (self.elements is not None):
            raise ValueError("a dataset has records, or elements (SE), not both and not neither")
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
    prefixed: dict[str, Any] = _prefix(resolved, dataset)
    return prefixed


def _prefix(value: Any, dataset: str) -> Any:
    if isinstance(value, str):
        return re.sub(r"^--(?=[A-Z])", dataset, value)
    if isinstance(value, Mapping):
        return {_prefix(key, dataset): _prefix(item, dataset) for key, item in value.items()}
    if isinstance(value, list):
        return [_prefix(item, dataset) for item in value]
    return value
