"""The written form of analysis datasets: one YAML file per dataset, by ADaM class, and what needs what in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from transforms.algorithms.base import Algorithm, parse
from transforms.core.conditions import Test
from transforms.standards.models import AnalysisStandard, VariableStandard
from transforms.study import graph, time_to_event
from transforms.study.additions import Added, Average, CarriedForward
from transforms.study.models import WORKING, Exclusion, Frozen, Rule, placed
from transforms.study.time_to_event import TimeToEvent

if TYPE_CHECKING:
    from transforms.study.load import Study

Type = Literal["text", "integer", "float", "date", "datetime"]
SUBJECT_LEVEL = time_to_event.SUBJECT_LEVEL
TIME_TO_EVENT = time_to_event.TIME_TO_EVENT
TTE = "TTE"
ONE_PER_SUBJECT = ("DM", SUBJECT_LEVEL)
WHOLE = "ADSL with what it takes from other analysis datasets"
CUT_OFF = graph.CUT_OFF
PARAMETER = "parameter"
AUTOMATIC = ("STUDYID", "USUBJID")
SUPPLEMENTAL = ("STUDYID", "RDOMAIN", "USUBJID", "IDVAR", "IDVARVAL", "QNAM", "QLABEL", "QVAL", "QORIG", "QEVAL")
KINDS: Mapping[str, str] = {
    "text": "Char",
    "integer": "Num",
    "float": "Num",
    "date": "Date",
    "datetime": "Datetime",
}


class Derivation(Frozen):
    """How an analysis variable is filled, and what is said of it beyond the standard.

    `label` and `type` are for variables that neither ADaM nor the SDTM dataset behind the records defines.
    `required` makes a missing value a finding, always or where a condition holds. `method` is the prose of the
    derivation that reviewers read in place of the sentence made of the rule.
    """

    algorithm: Algorithm
    label: str | None = None
    type: Type | None = None
    codelist: str | None = None
    origin: str | None = None
    method: str | None = Field(default=None, min_length=1)
    comment: str | None = None
    required: bool | dict[str, Test] = False

    @model_validator(mode="before")
    @classmethod
    def _read(cls, value: Any) -> Any:
        if not isinstance(value, Mapping) or "algorithm" in value:
            return value
        own = {key: item for key, item in value.items() if key in cls.model_fields}
        rest = {key: item for key, item in value.items() if key not in cls.model_fields}
        return {**own, "algorithm": parse(rest)}

    def conditions(self) -> tuple[str, ...]:
        """The variables on which it depends whether a value is required."""
        return tuple(self.required) if isinstance(self.required, dict) else ()


class RecordsOf(Frozen):
    """Records made of those of another dataset; `exclude` names the rules under which some give none.

    Without `parameters` each record gives one. With them each record that meets `only` gives one for every parameter
    listed, whose code the variable `parameter` holds: parameters derived of others, which add to the records and
    account for none.
    """

    source: str
    exclude: tuple[Exclusion, ...] = ()
    only: dict[str, Test] = {}
    parameters: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _accounted(self) -> RecordsOf:
        if self.only and not self.parameters:
            raise ValueError("`only` is for records that give parameters; leave others out by `exclude`, with a rule")
        if len(set(self.parameters)) != len(self.parameters):
            raise ValueError("a parameter is listed twice")
        return self


class Taken(Frozen):
    """A variable of the original whose value a copy has in another variable."""

    variable: str


class Copies(Rule):
    """Records that are added as copies of others, with some values of their own (an end-of-treatment visit).

    Copies are made when all variables are filled; `set` writes texts and numbers over those of the original, or
    `{variable: NAME}`, what the original has in another variable.
    """

    where: dict[str, Test] = Field(min_length=1)
    set: dict[str, str | Taken] = Field(min_length=1)

    @field_validator("set", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return {
            key: str(item) if isinstance(item, int | float) and not isinstance(item, bool) else item
            for key, item in value.items()
        }

    def reads(self) -> tuple[str, ...]:
        """The variables that decide which records are copied and what copies hold."""
        taken = [one.variable for one in self.set.values() if isinstance(one, Taken)]
        return tuple(dict.fromkeys((*self.where, *taken)))


class AnalysisFile(Frozen):
    """One analysis dataset's YAML: its class, where its records come from, and what fills each variable.

    `subject` lists the variables of ADSL that every record carries under the same name. `exclude` leaves out records
    when all variables are filled (a score that lacks a component), before copies are made. With `placement`, texts
    written `--` stand for the dataset that the placement profile names. The records of time to event are those of its
    `parameters`, by PARAMCD.
    """

    dataset: str
    observation_class: Literal["ADSL", "BDS", "OCCDS", "TTE"] = Field(alias="class")
    label: str = Field(max_length=40)
    structure: str | None = None
    keys: tuple[str, ...] = Field(min_length=1)
    records: tuple[RecordsOf, ...] = ()
    parameters: dict[str, TimeToEvent] = {}
    subject: tuple[str, ...] = ()
    variables: dict[str, Derivation] = {}
    working: dict[str, Derivation] = {}
    exclude: tuple[Exclusion, ...] = ()
    copies: tuple[Copies, ...] = ()
    carried_forward: tuple[CarriedForward, ...] = ()
    averages: tuple[Average, ...] = ()
    placement: dict[str, str] | None = None
    comment: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _placed(cls, value: Any, info: ValidationInfo) -> Any:
        if not isinstance(value, Mapping) or not isinstance(value.get("placement"), Mapping):
            return value
        profile = (info.context or {}).get("placement")
        if profile not in value["placement"]:
            raise ValueError(f"placement does not say what `--` is under {profile!r}")
        rest = {key: item for key, item in value.items() if key != "placement"}
        return {**placed(rest, str(value["placement"][profile])), "placement": value["placement"]}

    @model_validator(mode="after")
    def _consistent(self) -> AnalysisFile:
        for name in self.working:
            if not WORKING.fullmatch(name):
                raise ValueError(f"working variable {name!r} must be written in lower case")
        twice = sorted({*self.subject} & {*self.variables})
        if twice:
            raise ValueError(f"{', '.join(twice)}: taken from the subject and written again; keep one")
        if self.observation_class == SUBJECT_LEVEL and (
            self.dataset != SUBJECT_LEVEL
            or [one.source for one in self.records] != ["DM"]
            or self.subject
            or self.exclude
            or self.copies
            or self.additions
            or self.records[0].parameters
        ):
            raise ValueError(
                "the subject-level dataset is ADSL: its records are those of DM, "
                "without `subject`, `parameters`, `exclude` and added records"
            )
        changed = self.exclude or self.copies or self.additions
        if self.observation_class == TTE and (self.records or not self.parameters or changed):
            raise ValueError("time to event has `parameters`, and neither `records`, `exclude` nor added records")
        if self.observation_class != TTE and (self.parameters or not self.records):
            raise ValueError("`records` is missing, or `parameters` stands in another class than TTE")
        return self

    @property
    def name(self) -> str:
        """The dataset's name."""
        return self.dataset

    @property
    def sources(self) -> tuple[str, ...]:
        """The datasets its records are made of."""
        if self.observation_class == TTE:
            return (SUBJECT_LEVEL,)
        return tuple(dict.fromkeys(one.source for one in self.records))

    @property
    def additions(self) -> tuple[Added, ...]:
        """The rules that add records after copies, in the order in which they do."""
        return (*self.carried_forward, *self.averages)

    @property
    def automatic(self) -> tuple[str, ...]:
        """The variables that the engine writes and the finished dataset has."""
        return (*AUTOMATIC, *(TIME_TO_EVENT if self.observation_class == TTE else ()))

    @property
    def unwritten(self) -> tuple[str, ...]:
        """The variables that the engine writes and the finished dataset has not."""
        return (CUT_OFF, *((PARAMETER,) if any(one.parameters for one in self.records) else ()))

    def written(self) -> dict[str, Derivation]:
        """All variables with an algorithm, those taken from the subject among them."""
        taken = {name: Derivation.model_validate({"of_subject": f"{SUBJECT_LEVEL}.{name}"}) for name in self.subject}
        return {**taken, **self.variables, **self.working}


@dataclass(frozen=True)
class Defined:
    """What an analysis variable is: label, ADaM type, and the C-code of its codelist where it has one."""

    name: str
    label: str
    type: Type
    codelist: str | None
    origin: str

    @property
    def target(self) -> VariableStandard:
        """The same as algorithms see it."""
        codelists = (self.codelist,) if self.codelist else ()
        return VariableStandard(self.name, self.label, KINDS[self.type], "", "Perm", codelists, 0.0)


def define(study: Study, file: AnalysisFile, name: str) -> Defined | None:
    """What a variable of an analysis dataset is; None if nothing says its label and type."""
    derivation = file.variables.get(name) or file.working.get(name)
    if name in file.working and derivation is not None:
        return Defined(name, name, derivation.type or "text", None, "")
    if derivation is None and name in file.subject:
        core = study.analyses.get(SUBJECT_LEVEL)
        known = define(study, core, name) if core is not None and core.name != file.name else None
        return None if known is None else Defined(name, known.label, known.type, known.codelist, "Predecessor")
    standard = standard_of(study, file, name)
    origin = _origin(derivation)
    if derivation is not None and derivation.label and derivation.type:
        return Defined(name, derivation.label, derivation.type, derivation.codelist, origin)
    if standard is None:
        return None
    codelist = derivation.codelist if derivation is not None and derivation.codelist else standard.codelist
    return Defined(name, standard.label, standard.type, codelist, origin)


def standard_of(study: Study, file: AnalysisFile, name: str) -> AnalysisStandard | None:
    """What ADaM says of a variable of the class, or SDTM of one that the records' datasets have."""
    published = study.standards.analysis_variable(file.observation_class, name)
    if published is not None:
        return published
    for source in file.sources:
        if source in study.standards.datasets:
            own = study.standards.variable(source, name)
            if own is not None:
                codelist = own.codelists[0] if own.codelists else None
                return AnalysisStandard(name, own.label, _sdtm_type(own), own.core == "Req", codelist)
        elif source in study.analyses and name in study.analyses[source].written():
            known = define(study, study.analyses[source], name)
            if known is not None:
                return AnalysisStandard(name, known.label, known.type, False, known.codelist)
    return None


def _sdtm_type(variable: VariableStandard) -> Type:
    """SDTM tells numbers from texts only; sequence numbers and study days are whole."""
    if not variable.is_number:
        return "text"
    return "integer" if variable.name.endswith(("SEQ", "DY")) else "float"


def _origin(derivation: Derivation | None) -> str:
    if derivation is None:
        return "Predecessor"
    if derivation.origin is not None:
        return derivation.origin
    algorithm = derivation.algorithm
    if not algorithm.derived:
        return "Assigned"
    inputs = tuple(algorithm.variable_inputs())
    return "Predecessor" if algorithm.word in {"copy", "of_subject"} and "." in inputs[0] else "Derived"


def inputs(derivation: Derivation) -> tuple[str, ...]:
    """What the algorithm and the requirement of a variable read; a literal's condition is on variables too."""
    algorithm = derivation.algorithm
    read = algorithm.variable_inputs() if algorithm.derived else tuple(algorithm.when)
    return tuple(dict.fromkeys((*read, *derivation.conditions())))


def references(file: AnalysisFile) -> Iterator[str]:
    """What an analysis dataset reads of others, as DATASET.VARIABLE; conditions on its sources are among it."""
    for derivation in file.written().values():
        yield from (one for one in inputs(derivation) if "." in one)
    yield from _of_records(file)


def _of_records(file: AnalysisFile) -> Iterator[str]:
    for group in file.records:
        conditions = (group.only, *(one.where for one in group.exclude))
        yield from (f"{group.source}.{name}" for condition in conditions for name in condition)
    for parameter in file.parameters.values():
        yield from parameter.reads()


def reads(file: AnalysisFile) -> set[str]:
    """The other datasets that an analysis dataset reads."""
    found = {*file.sources, *(one.partition(".")[0] for one in references(file))}
    if file.observation_class != SUBJECT_LEVEL:
        found.add(SUBJECT_LEVEL)
    return found - {file.name}


def columns_read(files: Mapping[str, AnalysisFile], step: str) -> dict[str, set[str]]:
    """The columns of other datasets that a step of `dataset_order` reads, by dataset."""
    whole = step == WHOLE
    file = files[SUBJECT_LEVEL if whole else step]
    behind = late(files) if file.name == SUBJECT_LEVEL else frozenset()
    read = [
        one for name, derivation in file.written().items() if (name in behind) == whole for one in inputs(derivation)
    ]
    datasets = () if whole else (*file.sources, SUBJECT_LEVEL)
    found: dict[str, set[str]] = {name: {*AUTOMATIC} for name in datasets}
    for reference in (*read, *(() if whole else _of_records(file)), *_sequences(files, file)):
        dataset, dot, name = reference.partition(".")
        if dot:
            found.setdefault(dataset, {*AUTOMATIC}).add(name)
    return {dataset: names for dataset, names in found.items() if dataset != file.name}


def traced(file: AnalysisFile) -> set[str]:
    """The dates, as DATASET.VARIABLE, of which time to event names the record that they were taken from."""
    happenings = (one for parameter in file.parameters.values() for one in (*parameter.events, *parameter.censorings))
    return {f"{one.source}.{one.date}" for one in happenings if one.traced}


def _sequences(files: Mapping[str, AnalysisFile], file: AnalysisFile) -> Iterator[str]:
    """The sequence numbers of the records that dates may have been taken from."""
    for reference in sorted(traced(file)):
        source = reference.partition(".")[0]
        for dataset in sorted(reads(files[source])) if source in files else ():
            yield f"{dataset}.{dataset}SEQ"


def order(file: AnalysisFile) -> list[str]:
    """The variables in an order in which each comes after what it reads. Raises CycleError."""
    written = file.written()
    # What only a requirement reads is looked at when all is filled.
    needs = {name: {one for one in _read(derivation) if one in written} for name, derivation in written.items()}
    sorter = TopologicalSorter({name: sorted(needs[name]) for name in written})
    return list(sorter.static_order())


def dependents(file: AnalysisFile, given: Iterable[str]) -> list[str]:
    """The variables that read some given ones, directly or through others, in the order in which they are filled."""
    written, touched = file.written(), {*given}
    found = []
    for name in order(file):
        if name not in touched and not touched.isdisjoint(_read(written[name])):
            touched.add(name)
            found.append(name)
    return found


def _read(derivation: Derivation) -> Iterable[str]:
    algorithm = derivation.algorithm
    return algorithm.variable_inputs() if algorithm.derived else tuple(algorithm.when)


def late(files: Mapping[str, AnalysisFile]) -> frozenset[str]:
    """The variables of ADSL that read other analysis datasets, directly or through each other.

    Those datasets take their subjects from ADSL, so that these variables are filled when they are finished.
    """
    if SUBJECT_LEVEL not in files:
        return frozenset()
    written = files[SUBJECT_LEVEL].written()
    others = {*files} - {SUBJECT_LEVEL}
    found: set[str] = set()
    while True:
        more = {
            name
            for name, derivation in written.items()
            if any(one.partition(".")[0] in others or one in found for one in inputs(derivation))
        }
        if more == found:
            return frozenset(found)
        found = more


def dataset_order(files: Mapping[str, AnalysisFile], wanted: Iterable[str] | None = None) -> list[str]:
    """The analysis datasets in an order in which each comes after those it reads; what `wanted` needs, if given.

    ADSL comes first. Where it takes values from other analysis datasets, it is finished by a step of its own, WHOLE,
    after these and before whoever reads such a value. Raises CycleError.
    """
    behind = late(files)
    needs = {name: (reads(file) & set(files)) - {name} for name, file in files.items()}
    if behind:
        needs[WHOLE] = needs[SUBJECT_LEVEL] | {SUBJECT_LEVEL}
        needs[SUBJECT_LEVEL] = set()
        for name, file in files.items():
            taken = {*(f"{SUBJECT_LEVEL}.{one}" for one in file.subject), *references(file)}
            if name != SUBJECT_LEVEL and taken & {f"{SUBJECT_LEVEL}.{one}" for one in behind}:
                needs[name] |= {WHOLE}
    todo, needed = list(files if wanted is None else wanted), set[str]()
    if behind and SUBJECT_LEVEL in todo:
        todo.append(WHOLE)
    while todo:
        name = todo.pop()
        if name not in needed:
            needed.add(name)
            todo.extend(needs[name])
    return list(TopologicalSorter({name: sorted(needs[name]) for name in sorted(needed)}).static_order())


def cycle_of(file: AnalysisFile) -> tuple[str, ...]:
    """One cycle among a dataset's variables, or nothing."""
    try:
        order(file)
    except CycleError as error:
        return tuple(error.args[1])
    return ()


def columns_of(study: Study, name: str) -> frozenset[str] | None:
    """The variables that a finished dataset has; None if there is no such dataset."""
    if name in study.analyses:
        file = study.analyses[name]
        return frozenset((*file.automatic, *file.subject, *file.variables))
    if name.startswith("SUPP") and name.removeprefix("SUPP") in study.datasets:
        return frozenset(SUPPLEMENTAL)
    dataset = study.datasets.get(name)
    if dataset is None or name not in study.standards.datasets:
        return None
    return frozenset(graph.submitted(study, name))
