"""The content of a define, worked out from the study's specification and a finished snapshot."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from transforms.core.tables import read_table
from transforms.errors import UsageError
from transforms.standards.models import VariableStandard
from transforms.study import analyses, check
from transforms.study.analyses import AnalysisFile
from transforms.study.models import DatasetFile
from transforms.submission import define_origins as origins
from transforms.submission import define_prose as prose
from transforms.submission import define_values as by_value
from transforms.submission.define_codelists import (
    ADAM_TERMINOLOGY,
    DEFINE,
    SDTM_TERMINOLOGY,
    STANDARDS,
    Codelists,
    decode_variables,
)
from transforms.submission.define_model import (
    Comment,
    Define,
    Document,
    Group,
    Item,
    Kind,
    Label,
    Language,
    Method,
    Origin,
    Standard,
    ValueList,
    Where,
)
from transforms.submission.define_profile import Data, Profile, column_profile, read
from transforms.submission.labels import Labels

if TYPE_CHECKING:
    from transforms.study import Study

Agency = Literal["fda", "nmpa"]
LANGUAGES: dict[Agency, Language] = {"fda": "en", "nmpa": "zh"}
SDTM_GUIDE = "STD.SDTMIG"
SUPPLEMENTAL_KEYS = ("STUDYID", "RDOMAIN", "USUBJID", "IDVAR", "IDVARVAL", "QNAM")
NO_DATA = "No record has a value; the standard expects the variable."
DOCUMENTS: dict[Kind, tuple[Document, ...]] = {
    "sdtm": (
        Document("LF.acrf", "acrf.pdf", Label("Annotated Case Report Form", "注释病例报告表"), "annotated_crf"),
        Document("LF.csdrg", "csdrg.pdf", Label("Clinical Study Data Reviewer's Guide", "临床研究数据审阅说明"), "guide"),
    ),
    "adam": (
        Document("LF.adrg", "adrg.pdf", Label("Analysis Data Reviewer's Guide", "分析数据审阅说明"), "guide"),
    ),
}


def describe(study: Study, snapshot: Path, kind: Kind, *, agency: Agency = "fda", encoding: str = "ascii") -> Define:
    """The define of the SDTM or the analysis datasets of a finished snapshot.

    Lengths are in bytes of `encoding`, that of the transport files. Raises UsageError if the snapshot is of another
    study or holds no such dataset.
    """
    manifest = json.loads((snapshot / "manifest.json").read_text(encoding="utf-8"))
    if manifest["study"] != study.name:
        raise UsageError(f"{snapshot} is a snapshot of {manifest['study']}, not of {study.name}")
    builder = _Builder(study, snapshot, kind, encoding, Labels.load(study.folder))
    groups = tuple(sorted((builder.group(data) for data in read(snapshot, kind).values()), key=_place))
    return Define(
        kind=kind,
        language=LANGUAGES[agency],
        study=study.name,
        studyid=study.file.studyid,
        title=study.file.title,
        created=f"{manifest['cut_off']}T00:00:00",
        snapshot=manifest["snapshot_id"],
        standards=_used(study, kind, groups, builder),
        documents=DOCUMENTS[kind],
        groups=groups,
        value_lists=tuple(builder.value_lists),
        wheres=by_value.checked(builder.wheres),
        codelists=tuple(builder.codelists.found.values()),
        methods=tuple(builder.methods),
        comments=tuple(builder.comments),
    )


def class_order() -> list[str]:
    """The classes of datasets in the order in which a define lists them."""
    return read_table(DEFINE / "class_order.csv", "class_order.csv").values("class")


def _place(group: Group) -> tuple[int, bool, str]:
    """Datasets go by class, in a class by name; the supplemental qualifiers come behind the other relations."""
    return class_order().index(group.observation_class), group.name.startswith("SUPP"), group.name


def _used(study: Study, kind: Kind, groups: Iterable[Group], builder: _Builder) -> tuple[Standard, ...]:
    """The guides that datasets follow and the terminologies that codelists are of."""
    file = study.file.standards
    used = {group.standard for group in groups} | {one.standard for one in builder.codelists.found.values()}
    known = [Standard(SDTM_GUIDE, "SDTMIG", "IG", file.sdtmig)] if kind == "sdtm" else [*_analysis_guides(study)]
    known.append(Standard(SDTM_TERMINOLOGY, "CDISC/NCI", "CT", file.ct, "SDTM"))
    for row in _published(study):
        if row["type"] == "CT":
            known.append(Standard(ADAM_TERMINOLOGY, row["name"], "CT", row["version"], row["publishing_set"]))
    return tuple(one for one in known if one.oid in used)


def _published(study: Study) -> list[dict[str, str]]:
    version = study.file.standards.adamig
    if version is None:
        return []
    table = read_table(STANDARDS / f"adamig-{version}" / "published.csv", "published.csv")
    return [dict(zip(table.columns, row, strict=True)) for row in table.rows]


def _analysis_guides(study: Study) -> Iterator[Standard]:
    for row in _published(study):
        if row["type"] == "IG":
            yield Standard(f"STD.{row['name']}", row["name"], "IG", row["version"])


@dataclass
class _Builder:
    """Collects what the datasets of one define share: lists, methods, comments, where clauses."""

    study: Study
    snapshot: Path
    kind: Kind
    encoding: str
    labels: Labels
    codelists: Codelists = field(init=False)
    value_lists: list[ValueList] = field(default_factory=list)
    wheres: list[Where] = field(default_factory=list)
    methods: list[Method] = field(default_factory=list)
    comments: list[Comment] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.codelists = Codelists(self.study)

    def group(self, data: Data) -> Group:
        """The description of one dataset."""
        return self._tabulation(data) if self.kind == "sdtm" else self._analysis(data)

    def _tabulation(self, data: Data) -> Group:
        study, name = self.study, data.name
        supplemental = name.startswith("SUPP")
        parent = name.removeprefix("SUPP") if supplemental else name
        file = study.datasets[parent]
        standard = study.standards.datasets["SUPPQUAL" if supplemental else name]
        keys = SUPPLEMENTAL_KEYS if supplemental else self._unique(data, ("STUDYID", *file.keys), f"{name}SEQ")
        parts = by_value.groups_of_records(self.snapshot, name, data.table.num_rows)
        plan = by_value.plan_of(name, standard.observation_class)
        items = []
        for variable in data.table.column_names:
            published = standard.by_name[variable] if supplemental else check.define(study, file, variable)
            if published is None:
                raise UsageError(
                    f"{name}.{variable} of the snapshot is not in the specification; describe a snapshot with the "
                    "specification it was made from"
                )
            item = self._sdtm_item(data, file, published, supplemental)
            items.append(self._keyed(item, keys))
        described = self._by_value(data, plan, parts, items, None if supplemental else file, parent)
        structure = standard.structure
        comment = self._comment(name, file.comment) if file.comment and not supplemental else None
        return Group(
            name=name,
            label=self.labels.dataset(name, data.described["label"]),
            observation_class=standard.observation_class,
            structure=structure,
            items=described,
            rows=data.table.num_rows,
            domain=parent,
            repeating=name != "DM",
            reference=standard.observation_class == origins.TRIAL_DESIGN,
            standard=SDTM_GUIDE,
            comment=comment,
        )

    def _unique(self, data: Data, keys: Sequence[str], sequence: str) -> Sequence[str]:
        """The natural keys; where two records share them, the sequence number tells them apart."""
        names = [key for key in dict.fromkeys(keys) if key in data.table.column_names]
        frame = data.table.select(names).to_pandas(strings_to_categorical=True)
        if sequence in data.table.column_names and frame.duplicated().any():
            return [*names, sequence]
        return names

    def _keyed(self, item: Item, keys: Sequence[str]) -> Item:
        return replace(item, key=keys.index(item.name) + 1) if item.name in keys else item

    def _sdtm_item(self, data: Data, file: DatasetFile, published: VariableStandard, supplemental: bool) -> Item:
        study, variable = self.study, published.name
        written = "datetime" if published.is_datetime else "duration" if "duration" in published.format else ""
        profile = column_profile(data, variable, written, self.encoding)
        place = f"{data.name}.{variable}"
        if supplemental:
            found = [origins.AUTOMATIC.get(variable, origins.DERIVED if variable in ("USUBJID", "IDVARVAL") else origins.ASSIGNED)]
            found = [] if variable == "QVAL" else found
            rules: list[str] = []
            comment = None
        else:
            found = origins.of_variable(study, file, variable)
            rules = self._rules(file, variable)
            comment = self._said(file, variable)
        item = Item(
            oid=f"IT.{place}",
            name=variable,
            label=self.labels.variable(data.name, variable, data.field(variable).get("label", published.label)),
            type=profile.type,
            length=profile.length,
            digits=profile.digits,
            format=profile.format,
            mandatory=published.core == "Req",
            origins=tuple(found),
        )
        if not profile.filled:
            nothing = (origins.NOT_AVAILABLE,) if found == [origins.NOT_AVAILABLE] else tuple(found)
            return replace(item, no_data=True, comment=self._comment(place, NO_DATA), origins=nothing)
        codelist = self._sdtm_codelist(data, file.name, published, profile)
        item = replace(item, codelist=codelist)
        if any(one.type == "Derived" for one in found):
            text = " ".join(rules) or self._automatic(file, variable, supplemental)
            return replace(item, method=self._method(place, text), comment=self._comment(place, comment))
        said = [comment or "", *rules] if found == [origins.ASSIGNED] else [comment or ""]
        return replace(item, comment=self._comment(place, " ".join(one for one in said if one)))

    def _rules(self, file: DatasetFile, variable: str, parts: frozenset[int] | None = None) -> list[str]:
        """The prose of the rules that fill a variable: of each record group, where they differ."""
        found: dict[str, None] = {}
        for part, algorithm in origins.rules_of(file, variable):
            if parts is None or part is None or part in parts:
                found[prose.method(self.study, file.name, algorithm)] = None
        return list(found)

    def _said(self, file: DatasetFile, variable: str) -> str | None:
        places = (file, *file.records)
        written = [kind[variable] for one in places for kind in (one.variables, one.supplemental) if variable in kind]
        said = dict.fromkeys(one.comment for one in written if one.comment)
        return " ".join(said) or None

    def _automatic(self, file: DatasetFile, variable: str, supplemental: bool) -> str:
        """What the engine does for the variables it writes itself."""
        study = self.study
        if variable == "IDVARVAL" and supplemental:
            return f"The sequence number of the record of {file.name} that the qualifier belongs to."
        if variable == "USUBJID":
            return f"The subject of the record, written {study.file.usubjid} ({study.file.studyid})."
        if variable.endswith("SEQ") and not file.elements:
            return f"Numbers the subject's records in the order of {', '.join(file.keys)}."
        if file.elements is not None:
            return "By the rules of the study's elements: when each begins and ends, in their planned order."
        return "By the relations of the study's datasets."

    def _sdtm_codelist(
        self, data: Data, dataset: str, published: VariableStandard, profile: Profile
    ) -> str | None:
        variable, place = published.name, f"{data.name}.{published.name}"
        dictionary = self.study.file.dictionaries.get(data.name)
        if published.dictionary and dictionary is not None and profile.type == "text":
            return self.codelists.of_dictionary(dictionary.name, dictionary.version)
        if profile.type not in ("text", "integer", "float"):
            return None
        decodes = self._decodes(data, variable, dataset)
        values = data.distinct(variable)
        texts = [one for one in values if isinstance(one, str)]
        if published.codelists and texts:
            # A result is of a codelist for some tests only: it is described by value.
            if variable.endswith(("ORRES", "STRESC", "TSVAL")) and not self.codelists.allowed(published.codelists, texts):
                return None
            found = self.codelists.of_terminology(published.codelists, texts, place, decodes)
            if found is not None:
                return found
        return self.codelists.of_sponsor(published.label, values, profile.type, place, decodes) if decodes else None

    def _decodes(self, data: Data, variable: str, dataset: str) -> dict[str, str]:
        for code, decode in decode_variables().items():
            if code.replace("--", dataset) == variable:
                return by_value.decodes(data, variable, decode.replace("--", dataset))
        return {}

    def _analysis(self, data: Data) -> Group:
        study, name = self.study, data.name
        file = study.analyses[name]
        described = data.described
        observation_class = described["class"]
        guides = {row["class"]: f"STD.{row['name']}" for row in _published(study) if row["type"] == "IG"}
        keys = self._unique(data, ("STUDYID", *file.keys), "")
        items = [self._keyed(self._adam_item(data, file, variable), keys) for variable in data.table.column_names]
        plan = by_value.plan_of(name, observation_class)
        return Group(
            name=name,
            label=self.labels.dataset(name, described["label"]),
            observation_class=observation_class,
            subclass=self._subclass(file),
            structure=described["structure"],
            items=self._by_value(data, plan, None, items, None, name),
            rows=data.table.num_rows,
            repeating=observation_class != "SUBJECT LEVEL ANALYSIS DATASET",
            standard=guides.get(observation_class, guides.get("")),
            comment=self._comment(name, file.comment),
        )

    def _subclass(self, file: AnalysisFile) -> str | None:
        if file.observation_class == "TTE":
            return "TIME-TO-EVENT"
        return "ADVERSE EVENT" if file.observation_class == "OCCDS" and "AE" in file.sources else None

    def _adam_item(self, data: Data, file: AnalysisFile, variable: str) -> Item:
        study, place = self.study, f"{data.name}.{variable}"
        known = data.field(variable)
        profile = column_profile(data, variable, "", self.encoding)
        origin = origins.of_analysis_variable(study, file, variable)
        if profile.format and origin.predecessor and origin.predecessor.endswith("DTC"):
            # A number made of a collected text is no copy of it.
            origin = origins.DERIVED
        derivation = file.written().get(variable)
        standard = analyses.standard_of(study, file, variable)
        required = (standard is not None and standard.required) or (
            derivation is not None and derivation.required is True
        )
        item = Item(
            oid=f"IT.{place}",
            name=variable,
            label=self.labels.variable(data.name, variable, known.get("label", variable)),
            type=profile.type,
            length=profile.length,
            digits=profile.digits,
            format=profile.format,
            mandatory=bool(required) and not data.table[variable].null_count,
            origins=(origin,),
        )
        comment = derivation.comment if derivation is not None else None
        if not profile.filled:
            said = " ".join(one for one in (comment, "No record has a value.") if one)
            return replace(item, no_data=True, comment=self._comment(place, said))
        item = replace(item, codelist=self._adam_codelist(data, variable, known.get("codelist"), profile))
        rule = prose.method(study, data.name, derivation.algorithm) if derivation is not None else None
        if origin.type == "Derived" and rule is not None:
            if profile.format == "DATE9.":
                rule += " As a number: days since 1960-01-01."
            elif profile.format == "DATETIME20.":
                rule += " As a number: seconds since 1960-01-01."
            return replace(item, method=self._method(place, rule), comment=self._comment(place, comment))
        if origin.type == "Assigned" and rule is not None:
            comment = " ".join(one for one in (comment, rule) if one)
        return replace(item, comment=self._comment(place, comment))

    def _adam_codelist(self, data: Data, variable: str, code: str | None, profile: Profile) -> str | None:
        values = data.distinct(variable) if profile.type in ("text", "integer", "float") and not profile.format else []
        texts = [one for one in values if isinstance(one, str)]
        if code and texts:
            found = self.codelists.of_terminology([code], texts, f"{data.name}.{variable}")
            if found is not None:
                return found
        decodes = self._decodes(data, variable, data.name)
        names = data.table.column_names
        if not decodes and variable.endswith("N") and variable[:-1] in names and profile.type in ("integer", "float"):
            decodes = by_value.decodes(data, variable, variable[:-1])
        paired = f"{variable}N" in names and bool(by_value.decodes(data, variable, f"{variable}N"))
        if not decodes and not paired:
            return None
        label = data.field(variable).get("label", variable)
        return self.codelists.of_sponsor(label, values, profile.type, f"{data.name}.{variable}", decodes)  # type: ignore[arg-type]

    def _by_value(
        self,
        data: Data,
        plan: by_value.Plan | None,
        parts: object,
        items: Sequence[Item],
        file: DatasetFile | None,
        parent: str,
    ) -> tuple[Item, ...]:
        """The variables, those with value-level metadata referring to it."""
        if plan is None:
            return tuple(items)
        known = {item.name: item for item in items}
        found: dict[str, list[Item]] = {}
        said = self._names_of(data, plan)
        for one in by_value.slices(data, plan, parts, self.encoding):  # type: ignore[arg-type]
            found.setdefault(one.variable, []).append(self._value(known[one.variable], one, file, parent, said))
            self.wheres.append(one.where)
        for variable, described in found.items():
            self.value_lists.append(ValueList(f"VL.{data.name}.{variable}", tuple(described)))
        return tuple(
            replace(item, values=f"VL.{data.name}.{item.name}") if item.name in found else item for item in items
        )

    def _names_of(self, data: Data, plan: by_value.Plan) -> dict[str, str]:
        decode = decode_variables()
        dataset = data.name
        for code, name in decode.items():
            if code.replace("--", dataset) == plan.by:
                return by_value.decodes(data, plan.by, name.replace("--", dataset))
        return {}

    def _value(
        self, item: Item, one: by_value.Slice, file: DatasetFile | None, parent: str, said: dict[str, str]
    ) -> Item:
        place = f"{item.oid.removeprefix('IT.')}.{one.suffix}"
        key = one.where.checks[0].values[0]
        found: tuple[Origin, ...] = item.origins
        method = item.method
        study = self.study
        if item.name == "QVAL":
            file = study.datasets[parent]
            name = key if origins.graph.definitions(file).get(key) else key.rstrip("0123456789")
            found = tuple(origins.of_variable(study, file, name, one.parts or None))
            rules = self._rules(file, name, one.parts or None)
            derived = any(origin.type == "Derived" for origin in found)
            method = self._method(place, " ".join(rules)) if derived and rules else None
        elif file is not None and one.parts:
            found = tuple(origins.of_variable(study, file, item.name, one.parts))
            rules = self._rules(file, item.name, one.parts)
            derived = any(origin.type == "Derived" for origin in found)
            if derived and rules != self._rules(file, item.name):
                method = self._method(place, " ".join(rules))
            elif not derived:
                method = None
        return replace(
            item,
            oid=f"IT.{place}",
            label=Label(said.get(key, item.label.en), None if key in said else item.label.zh),
            type=one.profile.type,
            length=one.profile.length,
            digits=one.profile.digits,
            format=one.profile.format,
            mandatory=one.complete,
            key=None,
            origins=found,
            codelist=self._value_codelist(item, one, file, place),
            method=method,
            comment=None,
            where=one.where.oid,
        )

    def _value_codelist(self, item: Item, one: by_value.Slice, file: DatasetFile | None, place: str) -> str | None:
        """The terminology that all texts under the clause are of, or the terms of the study's own codelist."""
        if one.profile.type != "text" or not one.texts or file is None or item.name in ("QVAL", "TSVAL"):
            return None
        published = check.define(self.study, file, item.name)
        codes = published.codelists if published is not None else ()
        if self.codelists.allowed(codes, one.texts):
            return self.codelists.of_terminology(codes, one.texts, place)
        for code in self._study_lists(file, item.name, one.parts):
            if self.codelists.allowed([code], one.texts):
                return self.codelists.of_terminology([code], one.texts, place)
        return None

    def _study_lists(self, file: DatasetFile, variable: str, parts: frozenset[int]) -> list[str]:
        rules = [rule for part, rule in origins.rules_of(file, variable) if part is None or not parts or part in parts]
        names = [name for rule in rules for name in rule.study_codelists()]
        return [self.study.codelists[name].codelist for name in names if self.study.codelists[name].codelist]

    def _method(self, place: str, text: str) -> str:
        """The OID of a method, written once for each place."""
        oid = f"MT.{place}"
        self.methods.append(Method(oid, f"Derivation of {place}", text))
        return oid

    def _comment(self, place: str, text: str | None) -> str | None:
        if not text:
            return None
        oid = f"COM.{place}"
        self.comments.append(Comment(oid, text))
        return oid
