"""What an algorithm is: a named, declared way to fill one variable.

An algorithm is a frozen model whose fields are what a study writes behind its name. It declares its
inputs, so that the order of work and every dangling name are known before the first row is read. A
*collected* algorithm reads columns of an extract; a *derived* one reads variables. Names follow the
vocabulary of sdtm.oak where it has one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Protocol

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict

from transforms.core import text
from transforms.core.conditions import Test
from transforms.core.tables import Table
from transforms.findings import Severity
from transforms.standards import VariableStandard


class Visits(BaseModel):
    """How collected visit names become VISIT, VISITNUM and VISITDY.

    `table` lists the planned visits; its column `collected` holds the name on the form. `unscheduled` is
    a pattern of the names of visits outside the plan; its group `number`, where it has one, is the VISITNUM.
    Without one the name says nothing of the number: see `visit_number` and `visit_by_date`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    table: str = "visits"
    collected: str = "COLLECTED"
    unscheduled: str | None = None
    unscheduled_visit: str = "UNSCHEDULED {number}"


@dataclass(frozen=True)
class StudyCodelist:
    """A partition of collected texts: each has a term, or is listed as ignored (None). `written` is how it is spelt."""

    name: str
    codelist: str
    terms: Mapping[str, str | None]
    written: Mapping[str, str] = field(default_factory=dict)

    def find(self, collected: str) -> tuple[bool, str | None]:
        """Whether the text is listed (blanks folded, case ignored), and its term."""
        key = fold(collected)
        return key in self.terms, self.terms.get(key)

    def spelling(self, collected: str) -> str | None:
        """A listed text as the list writes it; None for another one."""
        return self.written.get(fold(collected))


def fold(collected: str) -> str:
    """A collected text as codelists compare it: blanks folded, case ignored."""
    return " ".join(collected.split()).casefold()


def as_list(value: object) -> object:
    """A single text as a list of one, for fields that may be written either way."""
    return [value] if isinstance(value, str) else value


@dataclass(frozen=True)
class Problem:
    """Records of which something must be said; `hold` keeps them out of the dataset until it is settled."""

    rule: str
    severity: Severity
    mask: np.ndarray
    message: str
    remedy: str
    cause: str = ""
    hold: bool = False


@dataclass(frozen=True)
class Link:
    """Where values came from in another dataset: for each record a record id there, -1 for none.

    `variable` is the one variable taken from there, where it is one.
    """

    dataset: str
    records: np.ndarray
    variable: str | None = None


@dataclass(frozen=True)
class Outcome:
    """What an algorithm returns: one value per record, problems met, and links to other datasets."""

    values: pd.Series
    problems: tuple[Problem, ...] = ()
    links: tuple[Link, ...] = field(default=())


def limited(outcome: Outcome, mask: np.ndarray) -> Outcome:
    """An outcome where a condition holds; missing, without problems and links, elsewhere."""
    values = outcome.values
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = text.column(np.where(mask, values.array.codes, -1), text.texts_of(values), values.index)
    else:
        values = values.where(mask)
    problems = tuple(replace(problem, mask=problem.mask & mask) for problem in outcome.problems)
    links = tuple(replace(link, records=np.where(mask, link.records, -1)) for link in outcome.links)
    return Outcome(values, tuple(problem for problem in problems if problem.mask.any()), links)


class Scope(Protocol):
    """What an algorithm may see while it runs."""

    @property
    def index(self) -> pd.Index:
        """The record index."""

    @property
    def target(self) -> VariableStandard:
        """The variable being filled."""

    @property
    def visits(self) -> Visits:
        """The study's visit rules."""

    def collected(self, name: str) -> pd.Series:
        """A collected column, on the record index."""

    def variable(self, name: str) -> pd.Series:
        """A variable of this dataset."""

    def by_subject(self, reference: str) -> pd.Series:
        """`DM.VAR` (or, in an analysis dataset, `ADSL.VAR`) of each record's subject."""

    def subject_records(self, dataset: str = "DM") -> np.ndarray:
        """The record id of each record's subject in a dataset of one record per subject, -1 for none."""

    def dataset(self, name: str) -> pd.DataFrame:
        """Another dataset's variables computed so far, its index being record ids."""

    def table(self, name: str) -> Table:
        """A table of the study."""

    def codelist(self, name: str) -> StudyCodelist:
        """A codelist of the study."""


class Algorithm(BaseModel):
    """Base of all algorithms. `word` is its name in a specification, `main` the field behind the name.

    `may_hold` says that it may keep a record out of its dataset: whatever reads the dataset from outside runs later.
    `searches` says that it looks through all records of other datasets; the others read one value per record there.
    `reads_visits` says that it reads the study's visit rules and their table.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    word: ClassVar[str]
    main: ClassVar[str]
    derived: ClassVar[bool] = False
    may_hold: ClassVar[bool] = False
    searches: ClassVar[bool] = False
    reads_visits: ClassVar[bool] = False

    when: dict[str, Test] = {}

    def collected_inputs(self) -> Sequence[str]:
        """Collected columns it reads (conditions included)."""
        return () if self.derived else tuple(self.when)

    def variable_inputs(self) -> Sequence[str]:
        """Variables it reads: `VAR` of its own dataset, `DS.VAR` of another one."""
        return tuple(self.when) if self.derived else ()

    def tables(self) -> Mapping[str, Sequence[str]]:
        """Tables of the study it reads, with the columns it needs."""
        return {}

    def study_codelists(self) -> Sequence[str]:
        """Codelists of the study it reads."""
        return ()

    def literal_terms(self) -> Sequence[str]:
        """Terms written in the specification itself that must be in the variable's codelist."""
        return ()

    def fixed_values(self) -> Sequence[str]:
        """Values written in the specification itself that no codelist is asked about."""
        return ()

    def apply(self, scope: Scope) -> Outcome:
        """Fill the variable for the records in scope."""
        raise NotImplementedError

    def says(self) -> str:
        """One line for people: what fills the variable."""
        written = {name: getattr(self, name) for name in type(self).model_fields if name != self.main}
        defaults = {name: item.default for name, item in type(self).model_fields.items()}
        options = [f"{name} {_spoken(value)}" for name, value in written.items() if value != defaults[name]]
        return f"{self.word}: {_spoken(getattr(self, self.main))}" + "".join(f"; {one}" for one in options)


def _spoken(value: Any) -> str:
    """An option of an algorithm as people write it."""
    if isinstance(value, Test):
        return value.says()
    if isinstance(value, Mapping):
        return ", ".join(
            f"{key} {_spoken(item)}" if isinstance(item, Test) else f"{key} = {item}" for key, item in value.items()
        )
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


REGISTRY: dict[str, type[Algorithm]] = {}


def register(cls: type[Algorithm]) -> type[Algorithm]:
    """Make an algorithm known to specifications under its `word`."""
    if cls.word in REGISTRY:
        raise ValueError(f"algorithm {cls.word} is registered twice")
    REGISTRY[cls.word] = cls
    return cls


def parse(written: Mapping[str, Any]) -> Algorithm:
    """The algorithm a specification writes, for example `{assign_ct: IT.SEX, codelist: sex}`.

    Raises ValueError naming the words known when none or several stand there.
    """
    words = [word for word in written if word in REGISTRY]
    if len(words) != 1:
        known = ", ".join(sorted(REGISTRY))
        raise ValueError(f"names {len(words)} algorithms ({', '.join(map(str, written))}); one of: {known}")
    kind = REGISTRY[words[0]]
    options = {key: value for key, value in written.items() if key != words[0]}
    if kind.main in options:
        raise ValueError(f"writes {kind.main!r} twice")
    return kind.model_validate({kind.main: written[words[0]], **options})
