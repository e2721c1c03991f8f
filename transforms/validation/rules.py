"""The rule book of a study: rules that studies share, a study's own, and those its specification implies.

Rules are data: YAML files in `expectations/` and in the study's `checks/`, read and checked as a whole before the
first row of data. What a rule means for GX stands in `transforms.validation.expectations`; docs/checks.md is the guide.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from transforms.core.tables import Table, read_table
from transforms.errors import ConfigurationError, Fault
from transforms.study import Study, graph
from transforms.study.yaml import read_yaml
from transforms.validation.check import SUBJECT
from transforms.validation.columns.base import Kind
from transforms.validation.columns.tables import Cell, FromTable
from transforms.validation.columns.values import Concept
from transforms.validation.expectations import KNOWN
from transforms.validation.explained import ExplainedFailure, explained_failures
from transforms.validation.rule import Rule
from transforms.validation.structure import SUPPLEMENTAL, structural_rules, terms

EXPECTATIONS = Path(__file__).resolve().parents[2] / "expectations"
SHARED = "expectations/"
NUMERIC_TYPES = {"number", "integer"}


@dataclass(frozen=True)
class RuleBook:
    """The rules of one study by source, SDTM dataset and ADaM dataset, and the failures of rules it explains."""

    staged: Mapping[str, tuple[Rule, ...]]
    sdtm: Mapping[str, tuple[Rule, ...]]
    adam: Mapping[str, tuple[Rule, ...]]
    explained: tuple[ExplainedFailure, ...] = ()

    def rules(self) -> Iterator[Rule]:
        """Every rule, staged first."""
        for part in (self.staged, self.sdtm, self.adam):
            for rules in part.values():
                yield from rules


class KindUse(BaseModel):
    """A study's word that one of its sources is of a kind: which column plays which role."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    source: str
    columns: dict[str, str]


class RuleFile(BaseModel):
    """One file of rules: what its rules are for. `kind` declares the roles of a kind of source."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    source: str | None = None
    kind: str | None = None
    roles: dict[str, str] = {}
    dataset: str | None = None
    observation_class: str | None = Field(default=None, alias="class")
    analysis: str | None = None
    analysis_class: str | None = None
    use: tuple[KindUse, ...] = ()
    rules: tuple[dict[str, Any], ...] = ()

    @model_validator(mode="after")
    def _one_target(self) -> RuleFile:
        targets = (self.source, self.kind, self.dataset, self.observation_class, self.analysis, self.analysis_class)
        count = sum(part is not None for part in targets)
        if self.rules and count != 1:
            raise ValueError("rules are for one of: source, kind, dataset, class, analysis, analysis_class")
        if not self.rules and not self.use:
            raise ValueError("holds neither rules nor use")
        if bool(self.roles) != (self.kind is not None):
            raise ValueError("a kind of source declares its roles, nothing else does")
        return self


@lru_cache(maxsize=4)
def rule_book(study: Study, root: Path = EXPECTATIONS) -> RuleBook:
    """The rules of a study, from `root`, from its `checks/` and from its specification; read once for a loaded study.

    Raises ConfigurationError with all faults.
    """
    return _Binder(study, root).book()


def explanations(book: RuleBook) -> Mapping[str, Rule]:
    """One rule of each id: why it matters, what is likely behind it, who acts."""
    result: dict[str, Rule] = {}
    for rule in book.rules():
        result.setdefault(rule.id, rule)
    return result


def prefixed(value: Any, dataset: str) -> Any:
    """`--SEQ` as the dataset's own name of it, in keys and texts alike."""
    if isinstance(value, str):
        return re.sub(r"^--(?=[A-Z])", dataset, value)
    if isinstance(value, Mapping):
        return {prefixed(key, dataset): prefixed(item, dataset) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [prefixed(item, dataset) for item in value]
    return value


class _Binder:
    """Reads the files and binds each rule to the frames of one study; collects faults."""

    def __init__(self, study: Study, root: Path) -> None:
        self.study = study
        self.root = root
        self.faults: list[Fault] = []
        self.ids: dict[str, str] = {}
        self.staged: dict[str, list[Rule]] = {name: [] for name in study.sources}
        self.sdtm: dict[str, list[Rule]] = {name: [] for name in study.datasets}
        self.sdtm_columns = {name: sdtm_columns(study, name) for name in study.datasets}
        for name, dataset in study.datasets.items():
            if graph.has_subjects(dataset) and (name == "DM" or graph.sequence_variable(study, name)):
                self.sdtm[f"SUPP{name}"] = []
                self.sdtm_columns[f"SUPP{name}"] = dict.fromkeys(SUPPLEMENTAL, "text")
        self.staged_columns = {name: staged_columns(study, name) for name in study.sources}
        self.analyses = analyses(study)
        self.adam: dict[str, list[Rule]] = {name: [] for name in self.analyses}
        self.kinds: dict[str, tuple[RuleFile, str]] = {}
        self.tables = dict(study.tables)
        for path in sorted((root / "tables").glob("*.csv")):
            if path.stem in self.tables:
                self.fault(
                    study.tables[path.stem].file, "", "has the name of a table that studies share", "Rename the table"
                )
            self.tables[path.stem] = read_table(path, f"expectations/tables/{path.name}")

    def table(self, name: str) -> Table | None:
        """A table of the study or of `expectations/tables/`, or a published one by its folder and name."""
        if name not in self.tables:
            published = self.study.standards.table(name)
            if published is None:
                return None
            self.tables[name] = published
        return self.tables[name]

    def fault(self, file: str, place: str, problem: str, remedy: str) -> None:
        self.faults.append(Fault(file, place, problem, remedy))

    def book(self) -> RuleBook:
        shared = [
            self.file(path, f"{SHARED}{path.relative_to(self.root).as_posix()}")
            for folder in ("sources", "sdtm", "adam")
            for path in sorted((self.root / folder).glob("*.yml"))
        ]
        own = [
            self.file(path, path.relative_to(self.study.folder).as_posix())
            for path in sorted((self.study.folder / "checks").glob("*.yml"))
        ]
        texts = self.texts()
        for level, frame, rule in structural_rules(self.study, texts, self.sdtm_columns):
            self.ids.setdefault(rule.id, "expectations/structure.yml")
            {"staged": self.staged, "sdtm": self.sdtm}[level][frame].append(rule)
        for part in (shared, own):
            for read in part:
                if read is not None:
                    self.bind(*read)
        for read in own:
            if read is not None:
                for use in read[0].use:
                    self.use(use, read[1])
        self.told(texts)
        self.gathered()
        explained, faults = explained_failures(self.study, texts)
        self.faults.extend(faults)
        if self.faults:
            raise ConfigurationError(self.faults)
        return RuleBook(
            {name: tuple(rules) for name, rules in self.staged.items()},
            {name: tuple(rules) for name, rules in self.sdtm.items()},
            {name: tuple(rules) for name, rules in self.adam.items()},
            explained,
        )

    def told(self, texts: Mapping[str, Mapping[str, Any]]) -> None:
        """Every rule that another one tells exists, and none tells itself in the end."""
        if self.root != EXPECTATIONS:
            return  # what the engine tells is among the rules that studies share
        engine = read_yaml(EXPECTATIONS / "engine.yml")
        known = {*engine, *texts, *self.ids}
        tells = {
            **{rule: tuple(said.get("tells", ())) for rule, said in engine.items()},
            **{rule.id: rule.tells for rule in self.rules()},
        }
        self.named("tells", tells, known)
        own = {rule: [one for one in said.get("gathers", ()) if one != rule] for rule, said in engine.items()}
        self.named("gathers", own, known)

    def gathered(self) -> None:
        """Every rule that another one gathers exists and is split alike, and none gathers itself through another."""
        split = {rule.id: rule.split for rule in self.rules()}
        gathers = {rule.id: tuple(one for one in rule.gathers if one != rule.id) for rule in self.rules()}
        self.named("gathers", gathers, {*split, *self.ids})
        for rule in self.rules():
            file = self.ids.get(rule.id, "")
            for one in rule.gathers:
                if one in split and (not rule.split or rule.split != split[one]):
                    self.fault(
                        file,
                        rule.id,
                        f"gathers {one}, and they are not split by the same columns",
                        "Write the same `per` in both",
                    )

    def rules(self) -> Iterator[Rule]:
        for part in (self.staged, self.sdtm, self.adam):
            for own in part.values():
                yield from own

    def named(self, word: str, others: Mapping[str, Sequence[str]], known: Collection[str]) -> None:
        """Faults of rules that name others: those that do not exist, and those that lead back to their rule."""
        for rule, own in others.items():
            file = self.ids.get(rule, f"{SHARED}engine.yml")
            for one in sorted(set(own) - set(known)):
                self.unknown(file, rule, f"{word} names no rule {one!r}", one, known)
            reached, todo = set(), list(own)
            while todo:
                one = todo.pop()
                if one not in reached:
                    reached.add(one)
                    todo.extend(others.get(one, ()))
            if rule in reached:
                remedy = "Let the rule nearest to the source do so"
                self.fault(file, rule, f"{word} itself, through what it {word}", remedy)

    def content(self, path: Path, file: str) -> Any:
        try:
            return read_yaml(path)
        except (FileNotFoundError, UnicodeDecodeError, yaml.YAMLError) as error:
            mark = getattr(error, "problem_mark", None)
            place = f"line {mark.line + 1}, column {mark.column + 1}" if mark else ""
            problem = getattr(error, "problem", None) or "cannot be read"
            self.fault(file, place, str(problem), "Correct the YAML")
            return None

    def file(self, path: Path, file: str) -> tuple[RuleFile, str] | None:
        content = self.content(path, file)
        if content is None:
            if not any(fault.file == file for fault in self.faults):
                self.fault(file, "", "the file is empty", "Write it; docs/checks.md shows how")
            return None
        try:
            return RuleFile.model_validate(content), file
        except ValidationError as error:
            self.invalid(error, file, "")
            return None

    def texts(self) -> Mapping[str, Mapping[str, Any]]:
        content = self.content(self.root / "structure.yml", "expectations/structure.yml")
        return content if isinstance(content, Mapping) else {}

    def invalid(self, error: ValidationError, file: str, place: str) -> None:
        for item in error.errors(include_url=False):
            where = ".".join("expect" if part == "expectation" else str(part) for part in item["loc"])
            message = str(item["msg"]).removeprefix("Value error, ").rstrip(".")
            if item["type"] == "extra_forbidden":
                message = f"unknown key {str(item['loc'][-1])!r}"
            elif item["type"] == "missing":
                message = f"{where.rpartition('.')[2]!r} is missing"
            self.fault(
                file,
                ".".join(one for one in (place, where) if one),
                message[0].lower() + message[1:],
                "docs/checks.md lists the keys of a rule",
            )

    def bind(self, rules: RuleFile, file: str) -> None:
        """The rules of one file, on every frame they are for."""
        for number, written in enumerate(rules.rules, start=1):
            place = str(written.get("id") or f"rule {number}")
            if place in self.ids:
                self.fault(file, place, f"is also in {self.ids[place]}", "Give each rule an id of its own")
                continue
            self.ids[place] = file
            if rules.kind is not None:
                self.rule(written, file, place)
            elif rules.source is not None:
                self.on_source(rules.source, written, file, place)
            elif rules.dataset is not None:
                self.on_dataset(rules.dataset, written, file, place)
            elif rules.observation_class is not None:
                self.on_class(rules.observation_class, written, file, place)
            else:
                self.on_analyses(rules, written, file, place)
        if rules.kind is not None:
            self.kinds[rules.kind] = (rules, file)

    def rule(self, written: Mapping[str, Any], file: str, place: str) -> Rule | None:
        try:
            return Rule.model_validate(written)
        except ValidationError as error:
            self.invalid(error, file, place)
            return None

    def on_source(self, source: str, written: Mapping[str, Any], file: str, place: str) -> None:
        rule = self.rule(written, file, place)
        if source not in self.staged:
            self.unknown(file, place, f"there is no source {source!r}", source, self.staged)
        elif rule is not None and self.fits(rule, self.staged_columns[source], source, file, place):
            self.staged[source].append(self.resolved(rule))

    def on_dataset(self, dataset: str, written: Mapping[str, Any], file: str, place: str) -> None:
        if file.startswith(SHARED):
            if dataset not in self.study.standards.datasets:
                self.unknown(file, place, f"there is no dataset {dataset!r}", dataset, self.study.standards.datasets)
            else:
                self.on_members(dataset, [dataset], written, file, place)
            return
        rule = self.sdtm_rule(written, file, place)
        if dataset not in self.sdtm:
            self.unknown(file, place, f"there is no dataset {dataset!r}", dataset, self.sdtm)
        elif rule is not None and self.fits(rule, self.sdtm_columns[dataset], dataset, file, place):
            self.sdtm[dataset].append(self.resolved(rule))

    def on_class(self, name: str, written: Mapping[str, Any], file: str, place: str) -> None:
        standards = self.study.standards.datasets
        members = [one for one, standard in standards.items() if name in {"ALL", standard.observation_class}]
        if not members:
            classes = {standard.observation_class for standard in standards.values()}
            self.unknown(file, place, f"there is no class {name!r}", name, classes)
        else:
            self.on_members(name, members, written, file, place)

    def on_members(self, name: str, members: Sequence[str], written: Mapping[str, Any], file: str, place: str) -> None:
        """A shared rule on the datasets of the study that have all its columns; some dataset must be able to."""
        strange: set[str] = set()
        possible = False
        for dataset in members:
            rule = self.sdtm_rule(prefixed(written, dataset), file, place)
            if rule is None:
                return
            missing = {one for one in rule.read() if self.study.standards.variable(dataset, one) is None}
            strange |= missing
            possible = possible or not missing
            if dataset in self.sdtm and self.reads(rule, dataset):
                if not self.fits(rule, self.sdtm_columns[dataset], dataset, file, place):
                    return
                self.sdtm[dataset].append(self.resolved(rule))
        if not possible:
            self.fault(
                file, place, f"no dataset of {name} can have {', '.join(sorted(strange))}", "Correct the variable"
            )

    def reads(self, rule: Rule, dataset: str) -> bool:
        """The study has every column that a shared rule reads, of the dataset and of those it looks into."""
        wanted = [(dataset, rule.read()), *(item for one in rule.columns.values() for item in one.others().items())]
        return all(one in self.sdtm_columns.get(name, {}) for name, columns in wanted for one in columns)

    def on_analyses(self, rules: RuleFile, written: Mapping[str, Any], file: str, place: str) -> None:
        if rules.analysis is not None:
            rule = self.sdtm_rule(written, file, place)
            if rule is not None and rules.analysis in self.adam:
                self.adam[rules.analysis].append(self.resolved(rule))
            elif not file.startswith(SHARED) and rules.analysis not in self.adam:
                self.unknown(file, place, f"there is no dataset {rules.analysis!r}", rules.analysis, self.adam)
            return
        rule = self.sdtm_rule({**written, "lenient": True}, file, place)
        if rules.analysis_class not in {"ALL", *ANALYSIS_CLASSES}:
            self.unknown(
                file, place, f"there is no class {rules.analysis_class!r}", str(rules.analysis_class), ANALYSIS_CLASSES
            )
        elif rule is not None:
            for name, own in self.analyses.items():
                if rules.analysis_class in {"ALL", own} or (rules.analysis_class, own) == ("BDS", "TTE"):
                    self.adam[name].append(self.resolved(rule))

    def sdtm_rule(self, written: Mapping[str, Any], file: str, place: str) -> Rule | None:
        rule = self.rule(written, file, place)
        if rule is not None and rule.action == "hold":
            self.fault(file, place, "holds rows of a dataset", "Only rows of a staged source can be held")
            return None
        return rule

    def use(self, use: KindUse, file: str) -> None:
        place = f"use.{use.kind}"
        if use.kind not in self.kinds:
            self.unknown(file, place, f"there is no kind of source {use.kind!r}", use.kind, self.kinds)
            return
        if use.source not in self.staged:
            self.unknown(file, place, f"there is no source {use.source!r}", use.source, self.staged)
            return
        rules, kind_file = self.kinds[use.kind]
        known = self.staged_columns[use.source]
        before = len(self.faults)
        for role, column in use.columns.items():
            if role not in rules.roles:
                self.unknown(file, place, f"{use.kind} has no role {role!r}", role, rules.roles)
            if column not in known:
                self.unknown(file, place, f"{use.source} has no column {column!r}", column, known)
        if len(self.faults) > before:
            return
        for written in rules.rules:
            try:
                rule = Rule.model_validate(written)
            except ValidationError:
                continue
            # What nobody plays is nowhere present.
            absent = {name for name, test in rule.where.items() if test.present is False} - set(use.columns)
            rule = rule.model_copy(update={"where": {k: v for k, v in rule.where.items() if k not in absent}})
            strange = [one for one in rule.read() if one not in rules.roles]
            if strange:
                self.unknown(kind_file, rule.id, f"{use.kind} has no role {strange[0]!r}", strange[0], rules.roles)
            elif all(one in use.columns for one in rule.read()):
                bound = renamed(rule, use.columns)
                if self.fits(bound, known, use.source, file, f"{place} ({rule.id})"):
                    self.staged[use.source].append(self.resolved(bound))

    def unknown(self, file: str, place: str, problem: str, name: str, known: Iterable[str]) -> None:
        close = get_close_matches(name, list(known), 1, 0.6)
        self.fault(file, place, problem, f"Did you mean {close[0]}?" if close else f"Known: {', '.join(sorted(known))}")

    def fits(self, rule: Rule, known: Mapping[str, str], frame: str, file: str, place: str) -> bool:
        """Every column, table and other frame the rule names is there and of the kind it needs."""
        before = len(self.faults)
        kinds: dict[str, str] = dict(known)

        def column(name: str, needs: str | None) -> None:
            if name not in kinds:
                self.unknown(file, place, f"{frame} has no column {name!r}", name, kinds)
            elif needs == "number" and kinds[name] == "text":
                self.fault(file, place, f"{name} is text", "Prepare a number of it under columns")
            elif needs == "text" and kinds[name] == "number":
                self.fault(file, place, f"{name} is a number", "Use it as it is")

        for name, one in rule.columns.items():
            if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or name in known:
                self.fault(file, place, f"prepared column {name!r}", "Write a lower-case name that no column has")
            for source in one.inputs():
                column(source, one.takes if not (isinstance(one, FromTable)) else None)
            for other, names in one.others().items():
                frames: Mapping[str, Mapping[str, str]] = (
                    self.staged_columns if frame in self.staged else self.sdtm_columns
                )
                there = frames.get(other, {})
                if not there:
                    kind = "source" if frame in self.staged else "dataset"
                    self.unknown(file, place, f"there is no {kind} {other!r}", other, frames)
                for source in names if there else ():
                    if source not in there:
                        self.unknown(file, place, f"{other} has no column {source!r}", source, there)
            if isinstance(one, FromTable):
                table = self.table(one.table)
                if table is None:
                    self.unknown(file, place, f"there is no table {one.table!r}", one.table, self.tables)
                else:
                    for cell in (one.wanted, *one.by, *one.fixed):
                        if cell not in table.columns:
                            self.unknown(file, place, f"{table.file} has no column {cell!r}", cell, table.columns)
            if isinstance(one, Concept):
                for code in one.codelists:
                    if code not in self.study.standards.codelists:
                        self.fault(file, place, f"there is no CT codelist {code!r}", "Correct the C-code")
            kinds[name] = one.kind
        for name in rule.checked:
            column(name, "number" if KNOWN[rule.expectation].numbers else None)
        for name in (*rule.where, *rule.split):
            column(name, None)
        if rule.tell not in ("", "PARAMCD") and not isinstance(rule.columns.get(rule.tell), Cell):
            remedy = "Name a `cell` of columns or PARAMCD: only texts of the specification are told"
            self.fault(file, place, f"tell names {rule.tell!r}", remedy)
        self.values(rule, file, place)
        return len(self.faults) == before

    def values(self, rule: Rule, file: str, place: str) -> None:
        """A value set that is written as a reference to a codelist or a table exists."""
        for key in ("value_set",):
            written = rule.kwargs.get(key)
            if written is None or isinstance(written, list | tuple):
                continue
            if isinstance(written, Mapping) and set(written) == {"codelist"}:
                if written["codelist"] not in self.study.standards.codelists:
                    self.fault(file, place, f"there is no CT codelist {written['codelist']!r}", "Correct the C-code")
            elif isinstance(written, Mapping) and set(written) == {"table", "column"}:
                table = self.table(written["table"])
                if table is None or written["column"] not in table.columns:
                    self.fault(file, place, f"there is no column {written['column']} in a table {written['table']}",
                               "Name a table of the study or a published one, and one of its columns")  # fmt: skip
            else:
                self.fault(file, place, "value_set is neither values nor {codelist} nor {table, column}", "Correct it")

    def resolved(self, rule: Rule) -> Rule:
        """The rule with the terms and limits it refers to."""
        columns = {
            name: one.resolved(self.tables[one.table])
            if isinstance(one, FromTable)
            else one.resolved(self.study.standards.codelists)
            if isinstance(one, Concept)
            else one
            for name, one in rule.columns.items()
        }
        kwargs = dict(rule.kwargs)
        written = kwargs.get("value_set")
        if isinstance(written, Mapping):
            if "codelist" in written:
                kwargs["value_set"] = sorted(terms(self.study, (written["codelist"],)))
            else:
                kwargs["value_set"] = sorted(set(self.tables[written["table"]].values(written["column"])))
        return rule.model_copy(update={"columns": columns, "kwargs": kwargs})


ANALYSIS_CLASSES = ("ADSL", "BDS", "TTE", "OCCDS")


def analyses(study: Study) -> dict[str, str]:
    """The ADaM datasets of a study and their classes, from the files of its adam/ folder."""
    result = {}
    for path in sorted((study.folder / "adam").glob("*.yml")):
        content = read_yaml(path)
        if isinstance(content, Mapping):
            result[str(content.get("dataset") or path.stem.upper())] = str(content.get("class", ""))
    return result


def sdtm_columns(study: Study, name: str) -> dict[str, Kind]:
    """The columns of a finished SDTM dataset and what they hold."""
    result: dict[str, Kind] = {}
    for one in graph.submitted(study, name):
        standard = study.standards.variable(name, one)
        result[one] = "number" if standard is not None and standard.is_number else "text"
    return result


def staged_columns(study: Study, source: str) -> dict[str, str]:
    """The columns of a staged source; those that its contract reads as numbers are `numeric` texts.

    SUBJECT is the subject of each row.
    """
    contract = study.sources[source]
    own = {
        name: "numeric" if column.type in NUMERIC_TYPES else "text"
        for name, column in contract.columns.items()
        if not column.identifier
    }
    return own if contract.subject is None else {**own, SUBJECT: "text"}


def renamed(rule: Rule, names: Mapping[str, str]) -> Rule:
    """A rule written with roles, on the columns that play them."""
    kwargs = {
        key: (names.get(value, value) if isinstance(value, str) else [names.get(one, one) for one in value])
        if key in KNOWN[rule.expectation].columns
        else value
        for key, value in rule.kwargs.items()
    }
    return rule.model_copy(
        update={
            "kwargs": kwargs,
            "columns": {name: one.renamed(names) for name, one in rule.columns.items()},
            "where": {names.get(name, name): test for name, test in rule.where.items()},
            "per": tuple(names.get(name, name) for name in rule.per),
            "variable": ", ".join(names.get(one, one) for one in rule.variable.split(", ")) if rule.variable else "",
        }
    )


__all__ = ["EXPECTATIONS", "Rule", "RuleBook", "explanations", "rule_book"]
