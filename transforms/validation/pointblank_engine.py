"""The SDTMIG rules that the package pointblank carries, run on finished SDTM datasets.

Its engine looks at one dataset or at which datasets there are, never across datasets, and names only the first
dataset that a rule about variables fails on. So it is run dataset by dataset. It says "pass" also where a variable is
absent and nothing was looked at; the catalogue of its rules tells the two apart.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa

from transforms.validation.outcome import NAMED, Level, Outcome, Result

ENGINE = "pointblank"
# Operations that ask whether a variable is there: they always have something to look at.
PRESENCE = {"column_presence", "has_required_variables", "valid_variable_order"}
# RELREC and SUPP-- have a structure of their own, so rules for every dataset leave them out.
APART = "RELREC"


@dataclass(frozen=True)
class CatalogueRule:
    """A rule of the catalogue: the datasets it names (none: every dataset), the variables it reads, what it says.

    `codelist` is the terminology list that the values of its one variable are held against. `about_datasets` marks
    a rule about which datasets there are, `needs_define` one that reads a Define-XML.
    """

    id: str
    domains: tuple[str, ...]
    variables: tuple[str, ...]
    severity: Level
    description: str
    codelist: str
    presence: bool
    about_datasets: bool
    needs_define: bool

    def reads(self, dataset: str) -> bool:
        """True if the rule is for the dataset."""
        if self.about_datasets or self.needs_define:
            return False
        return dataset in self.domains if self.domains else not dataset.startswith("SUPP") and dataset != APART


@cache
def catalogue(sdtmig: str) -> Mapping[str, CatalogueRule]:
    """The rules by id for a version of the guide (`3.4`); none for a version that the package does not carry.

    Read without importing the package, which takes a second.
    """
    found = importlib.util.find_spec(ENGINE)
    if found is None or found.origin is None:
        return {}
    folder = Path(found.origin).parent / "data" / "conformance" / "rules"
    path = folder / f"sdtmig-{sdtmig.replace('.', '-')}.json"
    if not path.is_file():
        return {}
    rules = json.loads(path.read_text(encoding="utf-8"))["rules"]
    return {one["core_id"]: _rule(one) for one in rules}


@cache
def _version() -> str:
    return version(ENGINE)


def _rule(written: Mapping[str, Any]) -> CatalogueRule:
    operations = written.get("operations", [])
    lists = {one["params"]["codelist"] for one in operations if one["operator"] == "codelist_check"}
    presence = any(one["operator"] in PRESENCE for one in operations)
    read = [one["params"]["column"] for one in operations if "column" in one.get("params", {})]
    return CatalogueRule(
        id=written["core_id"],
        domains=tuple(written.get("domains", ())),
        variables=tuple(dict.fromkeys([*read, *_columns(written.get("conditions", {}))])),
        severity="warning" if written.get("sensitivity") == "Warning" else "error",
        description=written.get("description", ""),
        codelist=min(lists) if len(lists) == 1 else "",
        presence=presence,
        about_datasets=written["rule_type"] == "DOMAIN_PRESENCE_CHECK",
        needs_define="DEFINE" in written.get("datasets", ()),
    )


def _columns(condition: Mapping[str, Any]) -> Iterator[str]:
    """The variables that a condition reads; those that operations make begin with `_pb_`."""
    for part in (*condition.get("all", ()), *condition.get("any", ())):
        yield from _columns(part)
    name = condition.get("name", "")
    if name and not name.startswith("_pb_"):
        yield name


def run(datasets: Mapping[str, pa.Table], sdtmig: str) -> Iterator[Outcome]:
    """The outcome of every rule of the catalogue, once for each dataset that it is for."""
    rules = catalogue(sdtmig)
    if not rules:
        message = f"pointblank has no rules for SDTMIG {sdtmig}"
        yield Outcome(ENGINE, _version(), "", "", "", "information", "not_run", message)
        return
    told: set[str] = set()
    empty: dict[str, pa.Table] = {}
    for name in datasets:
        table = _plain(datasets[name])
        empty[name] = table.slice(0, 0)
        for one in _validate({name: table}, sdtmig):
            rule = rules[one.rule_id]
            if rule.reads(name):
                told.add(rule.id)
                yield _outcome(rule, name, one, set(table.column_names))
        del table
    for one in _validate(empty, sdtmig):
        rule = rules[one.rule_id]
        if rule.about_datasets:
            told.add(rule.id)
            yield _outcome(rule, one.dataset, one)
    for rule in rules.values():
        if rule.id not in told:
            domain = rule.domains[0] if len(rule.domains) == 1 else ""
            message = "needs a Define-XML" if rule.needs_define else "the study has no such dataset"
            yield _said(rule, domain, "not_applicable", message)


def _validate(datasets: Mapping[str, pa.Table], sdtmig: str) -> list[Any]:
    from pointblank.metadata import validate_sdtmig

    return list(validate_sdtmig(dict(datasets), version=sdtmig).native_result.rule_results)


def _plain(table: pa.Table) -> pa.Table:
    """A dataset with its texts as texts: the engine takes no dictionaries for text."""
    columns = [
        column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
        for column in table.columns
    ]
    return pa.table(dict(zip(table.column_names, columns, strict=True)))


def _outcome(rule: CatalogueRule, domain: str, said: Any, columns: set[str] | None = None) -> Outcome:
    if said.status == "fail":
        rows = [one.row + 1 for one in said.row_findings if one.row is not None]
        return _said(
            rule, domain, "fail", said.message or rule.description, said.n_issues if rows else 0, tuple(rows[:NAMED])
        )
    if said.status == "pass":
        absent = [] if columns is None or rule.presence else [one for one in rule.variables if one not in columns]
        if absent:
            return _said(rule, domain, "not_applicable", f"the dataset has no {', '.join(absent)}")
        return _said(rule, domain, "pass", rule.description)
    if said.status == "not_applicable":
        return _said(rule, domain, "not_applicable", rule.description)
    # What the engine says of an error may hold a value, so it is not repeated.
    return _said(rule, domain, "not_run", "the engine could not evaluate the rule")


def _said(
    rule: CatalogueRule, domain: str, result: Result, message: str, records: int = 0, numbers: tuple[int, ...] = ()
) -> Outcome:
    variable = ", ".join(rule.variables)
    message = message.rstrip(".")
    return Outcome(ENGINE, _version(), rule.id, domain, variable, rule.severity, result, message, records, numbers)
