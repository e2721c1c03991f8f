"""What an agency asks of a package, and what a study says about its own: `submission.yml` in its folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from transforms.errors import ConfigurationError, UsageError
from transforms.errors import Fault as ConfigurationFault
from transforms.study.yaml import read_yaml
from transforms.submission.faults import Fault
from transforms.submission.header import Encoding
from transforms.submission.layout import Layout

FILE = "submission.yml"
LABELS = "labels_zh"
SUPPLEMENTAL_LABEL = "Supplemental Qualifiers for "


@dataclass(frozen=True)
class Agency:
    """An agency: the encoding of its files, how large one may be, and whether its labels are the Chinese ones.

    `guide_tags` are the file tags of the reviewer's guides, to the tabulations and to the analysis datasets.
    """

    name: str
    encoding: Encoding
    largest_bytes: int
    guide_tags: tuple[str, str]
    chinese: bool = False


# FDA: Study Data Technical Conformance Guide (5 GB a file). NMPA: draft guidance (4 GB); the encoding is named in the
# reviewer's guide, and a label of 40 bytes is 13 characters of Chinese in UTF-8; a guide is tagged as the definition is
# (appendix 2 of its guideline, as known from those who implement it).
AGENCIES = {
    "fda": Agency(
        "fda", "ascii", 5_000_000_000, guide_tags=("study-data-reviewers-guide", "analysis-data-reviewers-guide")
    ),
    "nmpa": Agency(
        "nmpa",
        "utf-8",
        4_000_000_000,
        guide_tags=("data-tabulation-data-definition", "analysis-data-definition"),
        chinese=True,
    ),
}


def agency(name: str) -> Agency:
    """The agency of that name; UsageError lists those there are."""
    if name not in AGENCIES:
        raise UsageError(f"no agency {name!r}. One of: {', '.join(AGENCIES)}")
    return AGENCIES[name]


class LeaveOut(BaseModel):
    """What of a dataset is not submitted to an agency: variables, or records with one of the values in each of some."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str
    variables: tuple[str, ...] = ()
    where: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    why: str = Field(min_length=1)

    @model_validator(mode="after")
    def _one_of_both(self) -> LeaveOut:
        if bool(self.variables) == bool(self.where):
            raise ValueError("name either variables or, under where, the values of the records")
        return self

    @field_validator("where", mode="before")
    @classmethod
    def _several(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return {key: one if isinstance(one, list | tuple) else [one] for key, one in value.items()}

    def matches(self, batch: pa.RecordBatch) -> np.ndarray:
        """True for the records left out."""
        found = np.ones(batch.num_rows, dtype=bool)
        for name, values in self.where.items():
            column = batch.column(name)
            if pa.types.is_dictionary(column.type):
                column = column.dictionary_decode()
            found &= pc.is_in(column, value_set=pa.array(values, column.type)).to_numpy(zero_copy_only=False)
        return found


class FurtherKeys(BaseModel):
    """Variables that identify the records of a dataset together with its keys, where these alone do not."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str
    variables: tuple[str, ...] = Field(min_length=1)
    why: str = Field(min_length=1)


class AgencyFile(BaseModel):
    """What a study says of the package of one agency."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    leave_out: tuple[LeaveOut, ...] = ()


class SubmissionFile(BaseModel):
    """What a study says of its packages: of all of them, and of that of each agency."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    keys: tuple[FurtherKeys, ...] = ()
    fda: AgencyFile = AgencyFile()
    nmpa: AgencyFile = AgencyFile()

    def of(self, name: str) -> AgencyFile:
        """What it says of one agency."""
        return {"fda": self.fda, "nmpa": self.nmpa}[name]


def read(folder: Path) -> SubmissionFile:
    """What the study in a folder says; nothing where it has no file. ConfigurationError holds every fault."""
    path = folder / FILE
    if not path.is_file():
        return SubmissionFile()
    try:
        return SubmissionFile.model_validate(read_yaml(path) or {})
    except yaml.YAMLError as error:
        raise ConfigurationError(
            [ConfigurationFault(FILE, "", "cannot be read as YAML", "Correct the YAML")]
        ) from error
    except ValidationError as error:
        raise ConfigurationError(
            ConfigurationFault(FILE, ".".join(map(str, one["loc"])), one["msg"].lower(), "Correct the value")
            for one in error.errors(include_url=False)
        ) from error


class Kept:
    """What of a dataset is submitted, batch by batch, and how many records each rule left out."""

    def __init__(self, rules: Iterable[LeaveOut], dataset: str) -> None:
        own = [rule for rule in rules if rule.dataset == dataset]
        self.rules = [rule for rule in own if rule.where]
        self.of_variables = [rule for rule in own if rule.variables]
        self.variables = frozenset(name for rule in self.of_variables for name in rule.variables)
        self.left_out = [0] * len(self.rules)

    @property
    def whole(self) -> bool:
        """Whether nothing was left out."""
        return not self.variables and not any(self.left_out)

    def of(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """What is kept of the batches; counting begins anew."""
        self.left_out = [0] * len(self.rules)
        for batch in batches:
            gone = np.zeros(batch.num_rows, dtype=bool)
            for number, rule in enumerate(self.rules):
                found = rule.matches(batch) & ~gone
                self.left_out[number] += int(found.sum())
                gone |= found
            kept = batch.filter(pa.array(~gone)) if gone.any() else batch
            yield kept.drop_columns(sorted(self.variables)) if self.variables else kept


def chinese_labels(layout: Layout, known: Mapping[str, str]) -> tuple[dict[str, str], list[Fault]]:
    """The Chinese labels of a dataset, by variable ("" is its own), from those known by English label.

    `Supplemental Qualifiers for --` stands for those of any dataset. What has no Chinese label is a fault.
    """
    labels: dict[str, str] = {}
    faults: list[Fault] = []
    for name, label in (("", layout.label), *((one.name, one.label) for one in layout.variables)):
        chinese = known.get(label, "")
        if not chinese and label.startswith(SUPPLEMENTAL_LABEL):
            general = known.get(f"{SUPPLEMENTAL_LABEL}--", "")
            chinese = general.replace("--", label.removeprefix(SUPPLEMENTAL_LABEL))
        if not chinese:
            faults.append(Fault(layout.name, name, "has no Chinese label", f"Write it in the table {LABELS}"))
        labels[name] = chinese
    return labels, faults
