"""The description of SDTM datasets, from the specification that maps them and the data it gave."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from transforms.errors import UsageError
from transforms.standards.models import VariableStandard
from transforms.study import check, graph
from transforms.study.models import DatasetFile
from transforms.submission.define import origins, prose
from transforms.submission.define.model import Group, Item, Origin
from transforms.submission.define.profile import Data, Profile, column_profile
from transforms.submission.define.shared import AtValue, Shared, keyed, natural_keys
from transforms.submission.define.values import Slice, groups_of_records

GUIDE = "STD.SDTMIG"
SUPPLEMENTAL = "SUPP"
SUPPLEMENTAL_KEYS = ("STUDYID", "RDOMAIN", "USUBJID", "IDVAR", "IDVARVAL", "QNAM")
SUPPLEMENTAL_ORIGINS = {"STUDYID": origins.PROTOCOL, "USUBJID": origins.DERIVED, "IDVARVAL": origins.DERIVED}
NO_DATA = "No record has a value; the standard expects the variable."
# Results are of a codelist for some tests only: they are described by value.
OPEN_RESULTS = ("ORRES", "STRESC", "TSVAL")


@dataclass(frozen=True)
class Tabulations:
    """Describes the SDTM datasets of a snapshot."""

    shared: Shared

    def group(self, data: Data) -> Group:
        """The description of one dataset. Raises UsageError where the data do not fit the specification."""
        supplemental = data.name.startswith(SUPPLEMENTAL)
        parent = data.name.removeprefix(SUPPLEMENTAL)
        study = self.shared.study
        file = study.datasets[parent if supplemental else data.name]
        standard = study.standards.datasets["SUPPQUAL" if supplemental else data.name]
        items = list(self._qualifiers(data, file) if supplemental else self._items(data, file))
        parts = groups_of_records(self.shared.snapshot, data.name, data.table.num_rows)

        def at_value(item: Item, one: Slice, place: str) -> AtValue:
            if supplemental:
                return self._at_qualifier(file, one, place)
            return self._at_value(file, item, one, place)

        return Group(
            name=data.name,
            label=self.shared.labels.of_dataset(data.described["label"]),
            observation_class=standard.observation_class,
            structure=standard.structure,
            items=self.shared.by_value(data, standard.observation_class, items, parts, at_value),
            rows=data.table.num_rows,
            domain=file.name,
            repeating=data.name != "DM",
            reference=standard.observation_class == origins.TRIAL_DESIGN,
            standard=GUIDE,
            comment=None if supplemental else self.shared.comment(data.name, file.comment),
        )

    def _items(self, data: Data, file: DatasetFile) -> Iterable[Item]:
        keys = natural_keys(data, ("STUDYID", *file.keys), f"{data.name}SEQ")
        for variable in data.table.column_names:
            published = check.define(self.shared.study, file, variable)
            if published is None:
                raise UsageError(
                    f"{data.name}.{variable} of the snapshot is not in the specification; describe a snapshot with the "
                    "specification it was made from"
                )
            yield keyed(self._item(data, file, published), keys)

    def _item(self, data: Data, file: DatasetFile, published: VariableStandard) -> Item:
        shared, variable = self.shared, published.name
        place = f"{data.name}.{variable}"
        written = "datetime" if published.is_datetime else "duration" if "duration" in published.format else ""
        profile = column_profile(data, variable, written, shared.encoding)
        found = tuple(origins.of_variable(shared.study, file, variable))
        item = replace(
            shared.item(data, variable, published.label, profile), mandatory=published.core == "Req", origins=found
        )
        said = comments_of(file, variable)
        if not profile.filled:
            return replace(item, comment=shared.comment(place, *said, NO_DATA))
        item = replace(item, codelist=self._codelist(data, file.name, published, profile))
        rules = self.rules(file, variable)
        if any(one.type == "Derived" for one in found):
            method = shared.method(place, " ".join(rules) or self.automatic(file, variable))
            return replace(item, method=method, comment=shared.comment(place, *said))
        assigned = rules if found == (origins.ASSIGNED,) else []
        return replace(item, comment=shared.comment(place, *(said or assigned)))

    def rules(self, file: DatasetFile, variable: str, parts: frozenset[int] = frozenset()) -> list[str]:
        """The prose of the rules that fill a variable, in some record groups or in all; each once."""
        rules = origins.rules_of(file, variable)
        wanted = [rule for part, rule in rules if not parts or part is None or part in parts]
        return list(dict.fromkeys(prose.method(self.shared.study, file.name, rule) for rule in wanted))

    def automatic(self, file: DatasetFile, variable: str) -> str:
        """What the engine does for the variables it writes itself."""
        study = self.shared.study
        if file.elements is not None:
            return "By the rules of the study's elements: when each begins and ends, in their planned order."
        if file.relations:
            return "By the relations of the study's datasets."
        if variable.endswith("SEQ"):
            return f"Numbers the subject's records in the order of {', '.join(file.keys)}."
        shown = study.file.usubjid.format(studyid=study.file.studyid, subject="<subject>")
        return f"The subject of the record, written {shown}."

    def _codelist(self, data: Data, dataset: str, published: VariableStandard, profile: Profile) -> str | None:
        lists, variable = self.shared.codelists, published.name
        place = f"{data.name}.{variable}"
        dictionary = self.shared.study.file.dictionaries.get(data.name)
        if published.dictionary and dictionary is not None and profile.type == "text":
            return lists.of_dictionary(dictionary.name, dictionary.version)
        if profile.type not in ("text", "integer", "float"):
            return None
        decodes = self.shared.decodes(data, variable, dataset)
        values = data.distinct(variable)
        texts = [one for one in values if isinstance(one, str)]
        if published.codelists and texts:
            if variable.endswith(OPEN_RESULTS) and not lists.allowed(published.codelists, texts):
                return None
            found = lists.of_terminology(published.codelists, texts, place, decodes, published.label, published.outside)
            if found is not None:
                return found
        return lists.of_sponsor(published.label, values, profile.type, place, decodes) if decodes else None

    def _at_value(self, file: DatasetFile, item: Item, one: Slice, place: str) -> AtValue:
        found, method = item.origins, item.method
        if one.parts:
            found = tuple(origins.of_variable(self.shared.study, file, item.name, one.parts))
            method = self._method_at_value(file, item, one.parts, found, place)
        return AtValue(found, self._codelist_at_value(file, item, one, place), method)

    def _method_at_value(
        self, file: DatasetFile, item: Item, parts: frozenset[int], found: tuple[Origin, ...], place: str
    ) -> str | None:
        """The method of the variable, or one of its own where the record groups are filled otherwise."""
        if not any(one.type == "Derived" for one in found):
            return None
        rules = self.rules(file, item.name, parts)
        return item.method if rules == self.rules(file, item.name) else self.shared.method(place, " ".join(rules))

    def _codelist_at_value(self, file: DatasetFile, item: Item, one: Slice, place: str) -> str | None:
        """The terminology that all texts under the clause are of: the variable's, or that of the study's codelist."""
        if one.profile.type != "text" or not one.texts or item.name == "TSVAL":
            return None
        study, lists = self.shared.study, self.shared.codelists
        published = check.define(study, file, item.name)
        codes = published.codelists if published is not None else ()
        if lists.allowed(codes, one.texts):
            return lists.of_terminology(codes, one.texts, place, name=item.label.en)
        rules = [
            rule for part, rule in origins.rules_of(file, item.name) if not one.parts or part in {None, *one.parts}
        ]
        for name in dict.fromkeys(name for rule in rules for name in rule.algorithm.study_codelists()):
            code = study.codelists[name].codelist
            if lists.allowed([code], one.texts):
                return lists.of_terminology([code], one.texts, place)
        return None

    def _qualifiers(self, data: Data, file: DatasetFile) -> Iterable[Item]:
        """The variables of a SUPP-- dataset; where QVAL is from is said by qualifier."""
        shared, standard = self.shared, self.shared.study.standards.datasets["SUPPQUAL"]
        for variable in data.table.column_names:
            published, place = standard.by_name[variable], f"{data.name}.{variable}"
            profile = column_profile(data, variable, "", shared.encoding)
            found = SUPPLEMENTAL_ORIGINS.get(variable, origins.ASSIGNED)
            item = replace(
                shared.item(data, variable, published.label, profile),
                mandatory=published.core == "Req",
                origins=() if variable == "QVAL" else (found,),
            )
            if not profile.filled:
                item = replace(item, comment=shared.comment(place, NO_DATA))
            elif found == origins.DERIVED:
                said = f"The {variable} of the record of {file.name} that the qualifier belongs to."
                if variable == "IDVARVAL":
                    said = f"The sequence number of the record of {file.name} that the qualifier belongs to."
                item = replace(item, method=shared.method(place, said))
            if profile.filled and variable != "QVAL":
                item = replace(item, codelist=self._codelist(data, data.name, published, profile))
            yield keyed(item, SUPPLEMENTAL_KEYS)

    def _at_qualifier(self, file: DatasetFile, one: Slice, place: str) -> AtValue:
        name = one.where.checks[0].values[0]
        if name not in graph.definitions(file):
            # The rest of a text over 200 bytes: AETERM1 of AETERM.
            name = name.rstrip("0123456789")
        found = tuple(origins.of_variable(self.shared.study, file, name, one.parts or None))
        rules = self.rules(file, name, one.parts)
        derived = any(origin.type == "Derived" for origin in found)
        return AtValue(found, None, self.shared.method(place, " ".join(rules)) if derived else None)


def comments_of(file: DatasetFile, variable: str) -> list[str]:
    """What the specification says of a variable, in any of its record groups."""
    places = (file.variables, *(group.variables for group in file.records))
    said = [place[variable].comment for place in places if variable in place]
    return list(dict.fromkeys(one for one in said if one))
