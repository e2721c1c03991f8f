"""The description of analysis datasets, from the specification that derives them and the data it gave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import pyarrow.parquet as pq

from transforms.study import analyses
from transforms.study.analyses import AnalysisFile
from transforms.submission.define import origins, prose
from transforms.submission.define.model import Group, Item
from transforms.submission.define.profile import DATE_FORMAT, DATETIME_FORMAT, Data, Profile, column_profile
from transforms.submission.define.shared import AtValue, Shared, keyed, natural_keys
from transforms.submission.define.values import Slice, decodes

SUBJECT_LEVEL = "SUBJECT LEVEL ANALYSIS DATASET"
HELD_AS = {DATE_FORMAT: "days", DATETIME_FORMAT: "seconds"}
WRITTEN = frozenset({"derived", "collected", "automatic"})
# The codelist says what parameters there are; the date of an event or censoring says what it is of.
NAMING, DATE = ("PARAMCD", "PARAM"), "ADT"
NO_DATA = "No record has a value."
# Subclasses of Define-XML by the class of the specification; occurrences of AE are its adverse events.
SUBCLASSES = {"TTE": "TIME-TO-EVENT"}


@dataclass(frozen=True)
class Analyses:
    """Describes the analysis datasets of a snapshot; `guides` is the OID of the guide of each class, "" for others.

    `rules` are the rows of the snapshot's specification, kind and rule, by dataset and variable.
    """

    shared: Shared
    guides: Mapping[str, str]
    rules: Mapping[tuple[str, str], list[tuple[str, str]]]

    @classmethod
    def of(cls, shared: Shared, guides: Mapping[str, str]) -> Analyses:
        """The describer of a snapshot's analysis datasets."""
        table = pq.read_table(
            shared.snapshot / "specification.parquet", columns=["dataset", "variable", "kind", "rule"]
        )
        rules: dict[tuple[str, str], list[tuple[str, str]]] = {}
        for row in table.to_pylist():
            rules.setdefault((row["dataset"], row["variable"]), []).append((row["kind"], row["rule"]))
        return cls(shared, guides, rules)

    def group(self, data: Data) -> Group:
        """The description of one dataset."""
        file = self.shared.study.analyses[data.name]
        described = data.described
        kind = described["class"]
        keys = natural_keys(data, ("STUDYID", *file.keys))
        items = [keyed(self._item(data, file, variable), keys) for variable in data.table.column_names]
        return Group(
            name=data.name,
            label=self.shared.labels.of_dataset(described["label"]),
            observation_class=kind,
            subclass=subclass_of(file),
            structure=described["structure"],
            items=self.shared.by_value(data, kind, items, None, _at_value),
            rows=data.table.num_rows,
            repeating=kind != SUBJECT_LEVEL,
            standard=self.guides.get(kind, self.guides.get("")),
            comment=self.shared.comment(data.name, file.comment),
        )

    def _item(self, data: Data, file: AnalysisFile, variable: str) -> Item:
        shared, place = self.shared, f"{data.name}.{variable}"
        profile = column_profile(data, variable, "", shared.encoding)
        origin = origins.of_analysis_variable(shared.study, file, variable)
        if profile.format and origin.predecessor and origin.predecessor.endswith("DTC"):
            # A number made of a collected text is no copy of it.
            origin = origins.DERIVED
        derivation = file.written().get(variable)
        standard = analyses.standard_of(shared.study, file, variable)
        required = (standard is not None and standard.required) or (
            derivation is not None and derivation.required is True
        )
        item = replace(
            shared.item(data, variable, variable, profile),
            mandatory=required and not data.table[variable].null_count,
            origins=(origin,),
        )
        comment = derivation.comment if derivation is not None else None
        if not profile.filled:
            return replace(item, comment=shared.comment(place, comment, NO_DATA))
        item = replace(item, codelist=self._codelist(data, variable, profile))
        said = self.method(file, variable, profile.format)
        if origin.type == "Derived":
            return replace(item, method=shared.method(place, " ".join(said)), comment=shared.comment(place, comment))
        if origin.type == "Predecessor":
            said = self.added(file, variable)
        return replace(item, comment=shared.comment(place, *([comment] if comment else said)))

    def method(self, file: AnalysisFile, variable: str, held_as: str | None) -> list[str]:
        """How a variable is derived: in the study's own words, or by its rule, its added records and its format."""
        derivation = file.written().get(variable)
        if derivation is not None and derivation.method is not None:
            return [derivation.method]
        said = [*self.rule(file, variable), *self.added(file, variable)]
        if held_as is not None:
            said.append(f"The number is of {HELD_AS[held_as]} since 1960-01-01.")
        return said

    def rule(self, file: AnalysisFile, variable: str) -> list[str]:
        """What fills a variable: its algorithm, or what the engine does by the parameters of the dataset."""
        derivation = file.written().get(variable)
        if derivation is not None:
            return [prose.method(self.shared.study, file.name, derivation)]
        rows = self.rules.get((file.name, variable), [])
        if variable in NAMING:
            return []
        if variable != DATE and rows == self.rules.get((file.name, DATE)):
            return [f"Of the event or censoring that gives {DATE}."]
        return [f"{rule[0].upper()}{rule[1:]}." for kind, rule in rows if kind in WRITTEN]

    def added(self, file: AnalysisFile, variable: str) -> list[str]:
        """What is different in records that the specification adds: copies, values carried forward, averages."""
        rows = self.rules.get((file.name, variable), [])
        said = dict.fromkeys(rule for kind, rule in rows if kind not in WRITTEN)
        return [f"In records added: {rule}." for rule in said]

    def _codelist(self, data: Data, variable: str, profile: Profile) -> str | None:
        """The published list of a variable; the sponsor's own where a code has its decode in another variable."""
        if profile.type not in ("text", "integer", "float") or profile.format:
            return None
        lists, place, known = self.shared.codelists, f"{data.name}.{variable}", data.field(variable)
        values = data.distinct(variable)
        texts = [one for one in values if isinstance(one, str)]
        if "codelist" in known and texts:
            found = lists.of_terminology([known["codelist"]], texts, place)
            if found is not None:
                return found
        decoded = self.shared.decodes(data, variable, data.name)
        if not decoded and variable.endswith("N") and not texts:
            decoded = decodes(data, variable, variable[:-1])
        if not decoded and not decodes(data, f"{variable}N", variable):
            return None
        return lists.of_sponsor(known.get("label", variable), values, profile.type, place, decoded)


def _at_value(item: Item, _slice: Slice, _place: str) -> AtValue:
    """A parameter's value is derived as the variable is: its rules tell parameters apart."""
    return AtValue(item.origins, None, item.method)


def subclass_of(file: AnalysisFile) -> str | None:
    """The subclass of an analysis dataset as ADaM names it; None where it has none."""
    kind: str = file.observation_class
    if kind == "OCCDS" and "AE" in file.sources:
        return "ADVERSE EVENT"
    return SUBCLASSES.get(kind)
