"""What the datasets of one define share while it is worked out: lists, methods, comments and where clauses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from transforms.submission.define import values as by_value
from transforms.submission.define.codelists import Codelists, decode_variables
from transforms.submission.define.model import Comment, Item, Label, Method, Origin, ValueList, Where
from transforms.submission.define.profile import Data, Profile
from transforms.submission.labels import Labels

if TYPE_CHECKING:
    from transforms.study import Study


@dataclass(frozen=True)
class AtValue:
    """What is said of a variable under a where clause beside its profile: origins, codelist, method."""

    origins: tuple[Origin, ...]
    codelist: str | None
    method: str | None


@dataclass
class Shared:
    """Collects what several datasets refer to; the same is written once."""

    study: Study
    snapshot: Path
    encoding: str
    lengths: Mapping[str, Mapping[str, int]]
    labels: Labels
    codelists: Codelists = field(init=False)
    value_lists: list[ValueList] = field(default_factory=list)
    wheres: list[Where] = field(default_factory=list)
    methods: list[Method] = field(default_factory=list)
    comments: list[Comment] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.codelists = Codelists(self.study)

    def method(self, place: str, text: str) -> str:
        """The OID of the method of a variable or value."""
        self.methods.append(Method(f"MT.{place}", f"Derivation of {place}", text))
        return f"MT.{place}"

    def comment(self, place: str, *texts: str | None) -> str | None:
        """The OID of the comment on a dataset or variable; None where nothing is said."""
        said = " ".join(text for text in texts if text)
        if not said:
            return None
        self.comments.append(Comment(f"COM.{place}", said))
        return f"COM.{place}"

    def item(self, data: Data, variable: str, label: str, profile: Profile) -> Item:
        """A variable with its label, type and length in the transport file, or with the word that it has no data."""
        length = profile.length
        if profile.type == "text":
            length = self.lengths.get(data.name, {}).get(variable, length)
        return Item(
            oid=f"IT.{data.name}.{variable}",
            name=variable,
            label=self.labels.of(data.field(variable).get("label", label)),
            type=profile.type,
            length=length,
            digits=profile.digits,
            format=profile.format,
            no_data=not profile.filled,
        )

    def decodes(self, data: Data, variable: str, dataset: str) -> dict[str, str]:
        """The decodes of a variable's values, from the variable that holds them."""
        for code, decode in decode_variables().items():
            if code.replace("--", dataset) == variable:
                return by_value.decodes(data, variable, decode.replace("--", dataset))
        return {}

    def by_value(
        self,
        data: Data,
        observation_class: str,
        items: Sequence[Item],
        parts: np.ndarray | None,
        at_value: Callable[[Item, by_value.Slice, str], AtValue],
    ) -> tuple[Item, ...]:
        """The variables; those that the dataset describes by value refer to their value lists."""
        plan = by_value.plan_of(data.name, observation_class)
        if plan is None:
            return tuple(items)
        known = {item.name: item for item in items}
        names = self.decodes(data, plan.by, data.name)
        found: dict[str, list[Item]] = {}
        for one in by_value.slices(data, plan, parts, self.encoding):
            item = known[one.variable]
            place = f"{data.name}.{item.name}.{one.suffix}"
            own = at_value(item, one, place)
            said = names.get(one.where.checks[0].values[0])
            found.setdefault(item.name, []).append(
                replace(
                    item,
                    oid=f"IT.{place}",
                    label=Label(said) if said else item.label,
                    type=one.profile.type,
                    length=one.profile.length,
                    digits=one.profile.digits,
                    format=one.profile.format,
                    mandatory=one.complete,
                    key=None,
                    comment=None,
                    origins=own.origins,
                    codelist=own.codelist,
                    method=own.method,
                    where=one.where.oid,
                )
            )
            self.wheres.append(one.where)
        self.value_lists.extend(ValueList(f"VL.{data.name}.{name}", tuple(said)) for name, said in found.items())
        return tuple(replace(one, values=f"VL.{data.name}.{one.name}") if one.name in found else one for one in items)


def natural_keys(data: Data, keys: Sequence[str], sequence: str | None = None) -> list[str]:
    """The submitted ones of the keys; where two records share them, the sequence number tells them apart."""
    names = [key for key in dict.fromkeys(keys) if key in data.table.column_names]
    frame = data.table.select(names).to_pandas(strings_to_categorical=True)
    if sequence in data.table.column_names and frame.duplicated().any():
        return [*names, str(sequence)]
    return names


def keyed(item: Item, keys: Sequence[str]) -> Item:
    """A variable with its place among the keys."""
    return replace(item, key=keys.index(item.name) + 1) if item.name in keys else item
