"""SDTMIG and ADaMIG datasets and variables and controlled terminology, read from cdisc_mappings/standards."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, cast

from transforms.core.tables import Table, read_table

DATETIME = "ISO 8601 datetime"
PUBLISHED = re.compile(r"[a-z][a-z0-9]*(?:[.-][a-z0-9]+)*/[a-z][a-z0-9_]*")
CLASS_OF_GENERAL_VARIABLES = {"INTERVENTIONS", "EVENTS", "FINDINGS"}


@dataclass(frozen=True)
class VariableStandard:
    """A variable as the standard publishes it; `codelists` are the C-codes its values may come from.

    `outside` are fixed values that a study writes outside of them on purpose, as RSALL for a scale not done;
    `dictionary` names the external dictionary of its values (MedDRA).
    """

    name: str
    label: str
    type: str
    format: str
    core: str
    codelists: tuple[str, ...]
    order: float
    outside: tuple[str, ...] = ()
    dictionary: str = ""

    @property
    def is_number(self) -> bool:
        """True for a Num variable."""
        return self.type == "Num"

    @property
    def is_datetime(self) -> bool:
        """True for a variable that carries an ISO 8601 date or date/time."""
        return self.format == DATETIME


@dataclass(frozen=True)
class DatasetStandard:
    """A dataset of the implementation guide and the variables of its table, in order."""

    name: str
    label: str
    observation_class: str
    structure: str
    variables: tuple[VariableStandard, ...]

    @cached_property
    def by_name(self) -> dict[str, VariableStandard]:
        """The variables of the guide's table by name."""
        return {variable.name: variable for variable in self.variables}


@dataclass(frozen=True)
class Codelist:
    """A CDISC codelist: its submission values, case-sensitive, and whether a sponsor may add to it.

    `concepts` gives the C-code of each term whose code is known; paired lists (a code and its name) share codes.
    """

    code: str
    short_name: str
    name: str
    extensible: bool
    terms: frozenset[str]
    concepts: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class AnalysisStandard:
    """An analysis variable as ADaM publishes it; `codelist` is the C-code its values come from."""

    name: str
    label: str
    type: Literal["text", "integer", "float", "date", "datetime"]
    required: bool
    codelist: str | None


@dataclass(frozen=True)
class AnalysisClass:
    """A class of analysis datasets: its name and structure, and its variables.

    A variable may be written with `xx`, `zz` (two digits) or `y` (a number) in its name and label: TRTxxP, ANLzzFL.
    """

    name: str
    structure: str
    variables: tuple[AnalysisStandard, ...]

    @cached_property
    def patterns(self) -> tuple[tuple[re.Pattern[str], AnalysisStandard], ...]:
        """The variables with the pattern of the names they stand for."""
        digits = {"xx": r"(?P<xx>\d{2})", "zz": r"(?P<zz>\d{2})", "y": r"(?P<y>[1-9]\d?)"}
        return tuple(
            (re.compile(re.sub("xx|zz|y", lambda found: digits[found[0]], variable.name)), variable)
            for variable in self.variables
        )

    def variable(self, name: str) -> AnalysisStandard | None:
        """The variable of that name, the numbers written into its label."""
        for pattern, variable in self.patterns:
            match = pattern.fullmatch(name)
            if match:
                label = variable.label
                for placeholder, number in match.groupdict().items():
                    label = re.sub(rf"\b{placeholder}\b", number, label)
                return replace(variable, name=name, label=label)
        return None


@dataclass(frozen=True)
class Standards:
    """The published standards a study is written against; `root` is the folder of all that is published."""

    datasets: dict[str, DatasetStandard]
    general: dict[str, tuple[VariableStandard, ...]]
    codelists: dict[str, Codelist]
    analysis: Mapping[str, AnalysisClass] = field(default_factory=dict)
    root: Path = field(default=Path(), repr=False, kw_only=True)

    @classmethod
    def load(cls, root: Path, *, sdtmig: str, sdtm: str, ct: str, adamig: str | None = None) -> Standards:
        """Read the versions named from `root`; FileNotFoundError names a version that is not there."""
        guide = root / f"sdtmig-{sdtmig}"
        model = root / f"sdtm-{sdtm}"
        terminology = root / f"ct-{ct}"
        analysis = root / f"adamig-{adamig}" if adamig is not None else None
        for folder in (guide, model, terminology, *((analysis,) if analysis else ())):
            if not folder.is_dir():
                have = ", ".join(sorted(path.name for path in root.iterdir() if path.is_dir()))
                raise FileNotFoundError(f"{folder.name} is not among the standards at hand ({have})")
        variables = _grouped(read_table(guide / "variables.csv", "variables.csv"), "dataset")
        datasets = {}
        for row in _dicts(read_table(guide / "datasets.csv", "datasets.csv")):
            own = tuple(sorted((_variable(v) for v in variables[row["dataset"]]), key=lambda v: v.order))
            datasets[row["dataset"]] = DatasetStandard(
                row["dataset"], row["label"], row["class"], row["structure"], own
            )
        general = {
            name: tuple(_variable(row) for row in rows)
            for name, rows in _grouped(read_table(model / "variables.csv", "variables.csv"), "class").items()
        }
        if analysis is None:
            return cls(datasets, general, _codelists(terminology), root=root)
        codelists = {**_codelists(analysis), **_codelists(terminology)}
        return cls(datasets, general, codelists, _analysis_classes(analysis), root=root)

    def table(self, name: str) -> Table | None:
        """A published table by its folder and name, as `ctcae-5.0/adverse_events`; None if there is none."""
        path = self.root / f"{name}.csv"
        return read_table(path, f"standards/{name}.csv") if PUBLISHED.fullmatch(name) and path.is_file() else None

    def analysis_variable(self, observation_class: str, name: str) -> AnalysisStandard | None:
        """What ADaM says of a variable in a class; None if it is none of its standard variables."""
        known = self.analysis.get(observation_class)
        return known.variable(name) if known is not None else None

    def required_analysis_variables(self, observation_class: str) -> tuple[str, ...]:
        """The variables that a dataset of the class must have; TRTxxP stands for TRT01P."""
        known = self.analysis.get(observation_class)
        names = [variable.name for variable in known.variables if variable.required] if known is not None else []
        return tuple(name.replace("xx", "01") for name in names)

    def variable(self, dataset: str, name: str) -> VariableStandard | None:
        """The standard's definition of a variable in a dataset; None if it may not stand there.

        Allowed are the variables of the guide's table and, in a general observation class, every
        variable of that class and every identifier and timing variable of SDTM.
        """
        known = self.datasets[dataset]
        if name in known.by_name:
            return known.by_name[name]
        if known.observation_class not in CLASS_OF_GENERAL_VARIABLES and known.name not in {"DM", "SV", "SE"}:
            return None
        for group in ("ALL", known.observation_class):
            for variable in self.general.get(group, ()):
                if variable.name.replace("--", dataset) == name:
                    return replace(variable, name=name, order=self._general_order(known, variable))
        return None

    def variable_names(self, dataset: str) -> frozenset[str]:
        """Every variable that may stand in a dataset: those of the guide's table and of its class."""
        known = self.datasets[dataset]
        general = (one.name for group in ("ALL", known.observation_class) for one in self.general.get(group, ()))
        return frozenset({*known.by_name, *(name.replace("--", dataset) for name in general)})

    def _general_order(self, dataset: DatasetStandard, variable: VariableStandard) -> float:
        """A place between the guide's variables: behind the nearest one that SDTM puts before it."""
        ordered = [*self.general.get("ALL", ()), *self.general.get(dataset.observation_class, ())]
        places = {item.name.replace("--", dataset.name): item.order for item in ordered}
        before = [own.order for own in dataset.variables if own.name in places and places[own.name] < variable.order]
        return max(before, default=0.0) + variable.order / 10_000

    def codelists_of(self, variable: VariableStandard) -> list[Codelist]:
        """The codelists at hand for a variable (a code that is not at hand is left out)."""
        return [self.codelists[code] for code in variable.codelists if code in self.codelists]


def _variable(row: dict[str, str]) -> VariableStandard:
    return VariableStandard(
        name=row["variable"],
        label=row["label"],
        type=row["type"],
        format=row["format"],
        core=row.get("core", "Perm"),
        codelists=tuple(code for code in row["codelist"].split(";") if code),
        order=float(row["order"]),
        dictionary=row.get("dictionary", ""),
    )


def _analysis_classes(folder: Path) -> dict[str, AnalysisClass]:
    """The classes by name; one that is based on another, listed before it, has its variables too."""
    known: dict[str, AnalysisClass] = {}
    variables = _grouped(read_table(folder / "variables.csv", "variables.csv"), "class")
    for row in _dicts(read_table(folder / "classes.csv", "classes.csv")):
        own = tuple(
            AnalysisStandard(
                one["variable"],
                one["label"],
                cast("Any", one["type"]),
                one["core"] == "Req",
                one["codelist"] or None,
            )
            for one in variables[row["class"]]
        )
        known[row["class"]] = AnalysisClass(
            row["name"], row["structure"], own + (known[row["based_on"]].variables if row["based_on"] else ())
        )
    return known


def _dicts(table: Table) -> list[dict[str, str]]:
    return [dict(zip(table.columns, row, strict=True)) for row in table.rows]


def _grouped(table: Table, by: str) -> dict[str, list[dict[str, str]]]:
    result: dict[str, list[dict[str, str]]] = {}
    for row in _dicts(table):
        result.setdefault(row[by], []).append(row)
    return result


def _codelists(folder: Path) -> dict[str, Codelist]:
    terms = _grouped(read_table(folder / "terms.csv", "terms.csv"), "codelist")
    return {
        row["codelist"]: Codelist(
            row["codelist"],
            row["short_name"],
            row["name"],
            row["extensible"] == "Y",
            frozenset(term["term"] for term in terms.get(row["codelist"], ())),
            {term["term"]: term["term_code"] for term in terms.get(row["codelist"], ()) if term["term_code"]},
        )
        for row in _dicts(read_table(folder / "codelists.csv", "codelists.csv"))
    }
