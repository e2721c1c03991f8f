"""Where each field of each form goes: the variables that read it or why it is in none, and how often it has a value."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow.parquet as pq

from transforms.algorithms.base import Algorithm
from transforms.study import Study, graph
from transforms.study.models import DatasetFile, Group, Source, Variable
from transforms.submission.layout import SUPPLEMENTAL

Fate = Literal["mapped", "read by a rule", "not submitted", "withheld"]
Use = Literal["is", "feeds", "decides"]
TOPICS = ("TESTCD", "PARMCD", "TRT", "TERM", "DECOD")
SHOWN_CASES = 6
QUALIFIER = "QNAM = "


@dataclass(frozen=True)
class Annotation:
    """What a field does for a variable: in which records of it, and by which codelist.

    The variable `is` the field's value, or is derived from it (`feeds`), or the field only `decides` something of it.
    """

    dataset: str
    variable: str
    where: str = ""
    codelist: str = ""
    use: Use = "is"

    @property
    def place(self) -> str:
        """The variable it is about: `AE.AETERM`."""
        return f"{self.dataset}.{self.variable}" if self.variable else self.dataset

    @property
    def names(self) -> tuple[str, ...]:
        """As a define names it: the variable, and `SUPPAE.QVAL.AEDLT` for a qualifier."""
        qualifier = self.where.removeprefix(QUALIFIER)
        return (self.place, f"{self.place}.{qualifier}") if qualifier != self.where else (self.place,)

    @property
    def text(self) -> str:
        """As a CRF is annotated: `AE.AETERM`, `SUPPAE.QVAL where QNAM = AEDLT`."""
        conditions = f" where {self.where}" if self.where else ""
        codelist = f" ({self.codelist})" if self.codelist else ""
        return f"{'' if self.use == 'is' else f'{self.use} '}{self.place}{conditions}{codelist}"


@dataclass(frozen=True)
class FieldOfForm:
    """A field: its fate, what reads it, and its values.

    `values` and `blank` count accepted rows; both are None for a field that never leaves the raw store. `held` counts
    rows quarantined because of this field.
    """

    form: str
    name: str
    label: str
    fate: Fate
    reason: str
    annotations: tuple[Annotation, ...]
    values: int | None
    blank: int | None
    held: int


@dataclass(frozen=True)
class Form:
    """A form, or another extract: what became of its rows, by outcome and rule, and its fields in order."""

    source: str
    label: str
    rows: Mapping[tuple[str, str], int]
    fields: tuple[FieldOfForm, ...]

    @property
    def accepted(self) -> int:
        """Rows that staging accepted."""
        return sum(count for (outcome, _), count in self.rows.items() if outcome == "accepted")

    @property
    def datasets(self) -> tuple[str, ...]:
        """The datasets that a field of it goes to."""
        return tuple(
            sorted({one.dataset for field in self.fields for one in field.annotations if one.use != "decides"})
        )


def forms(study: Study, snapshot: Path) -> list[Form]:
    """Every source of a study with each of its fields, from the specification and the folder of a snapshot."""
    uses: dict[tuple[str, str], dict[Annotation, None]] = {}
    for dataset in study.datasets.values():
        for place, annotation in _uses(study, dataset):
            uses.setdefault(place, {})[annotation] = None
    rows: dict[str, dict[tuple[str, str], int]] = {}
    for line in pq.read_table(snapshot / "accounts.parquet").to_pylist():
        if line["stage"] == "staging":
            own = rows.setdefault(line["source"], {})
            own[line["outcome"], line["rule"]] = own.get((line["outcome"], line["rule"]), 0) + line["rows"]
    held: dict[tuple[str, str], int] = {}
    findings = pq.read_table(snapshot / "findings.parquet", columns=["dataset", "variable", "held", "n_records"])
    for one in findings.to_pylist():
        if one["held"] and one["variable"]:
            place = (one["dataset"], one["variable"])
            held[place] = held.get(place, 0) + one["n_records"]
    return [
        _form(study, source, uses, rows.get(source.source, {}), held, snapshot) for source in study.sources.values()
    ]


def _form(
    study: Study,
    source: Source,
    uses: Mapping[tuple[str, str], Mapping[Annotation, None]],
    rows: Mapping[tuple[str, str], int],
    held: Mapping[tuple[str, str], int],
    snapshot: Path,
) -> Form:
    values, accepted = _values(snapshot / "staged" / f"{source.source}.parquet")
    technical = _technical(study, source)
    fields = []
    for name, column in source.columns.items():
        annotations = tuple(uses.get((source.source, name), ()))
        fate, reason = _fate(column.identifier, column.not_submitted, annotations, technical.get(name, ""))
        count = values.get(name) if accepted or not rows else 0
        known = not column.identifier and count is not None
        fields.append(
            FieldOfForm(
                form=source.source,
                name=name,
                label=(column.label or "") + (" (made at staging)" if column.made else ""),
                fate=fate,
                reason=reason,
                annotations=annotations,
                values=count if known else None,
                blank=accepted - (count or 0) if known else None,
                held=held.get((source.source, name), 0),
            )
        )
    return Form(source.source, source.label, dict(sorted(rows.items())), tuple(fields))


def _fate(
    identifier: bool, not_submitted: str | None, annotations: Sequence[Annotation], technical: str
) -> tuple[Fate, str]:
    if any(one.use != "decides" for one in annotations):
        return "mapped", ""
    if identifier:
        return "withheld", "; ".join(filter(None, ["identifies a person: never leaves the raw store", technical]))
    if not_submitted:
        return "not submitted", not_submitted
    return "read by a rule", technical


def _values(path: Path) -> tuple[dict[str, int], int]:
    """How many rows of a staged source have a value, by column, and how many rows there are."""
    if not path.is_file():
        return {}, 0
    file = pq.ParquetFile(path)
    counts: dict[str, int] = {}
    for name in file.schema_arrow.names:
        column = file.read(columns=[name]).column(0)
        counts[name] = len(column) - column.null_count
    return counts, file.metadata.num_rows


def _technical(study: Study, source: Source) -> dict[str, str]:
    """What columns serve that need be in no dataset."""
    found: dict[str, list[str]] = {}

    def note(names: Iterable[str], says: str) -> None:
        for name in names:
            found.setdefault(name, []).append(says)

    note(source.record_id, "identifies the record")
    for exclusion in source.exclude:
        note(exclusion.where, f"rule {exclusion.rule}: {exclusion.why}")
    if source.deleted is not None:
        note([source.deleted.column], f"{source.deleted.value} says that the record was deleted")
    if source.revisions is not None:
        note(source.revisions.columns, "tells which version of a result stands")
    for column in source.columns.values():
        if column.range is not None:
            note([column.range.by], "chooses the part of a reference range")
    if source.identity is not None and source.subject:
        note([source.subject], "leads to the subject")
    for other in study.sources.values():
        if other.identity is not None and other.identity.source == source.source:
            note([other.identity.column], f"leads from {other.source} to the subject")
    return {name: "; ".join(dict.fromkeys(says)) for name, says in found.items()}


def _uses(study: Study, dataset: DatasetFile) -> Iterator[tuple[tuple[str, str], Annotation]]:
    """Each column that a dataset reads, as (source, column), and what it does there."""
    for group in dataset.records:
        if group.source is None:
            continue
        source = study.sources[group.source]
        if source.subject is not None and source.identity is None:
            yield (group.source, source.subject), Annotation(dataset.name, "USUBJID")
        written = {**dataset.variables, **dataset.supplemental, **dataset.working, **group.written()}
        supplemental = {*dataset.supplemental, *group.supplemental}
        working = ({*dataset.working} | {*group.working}) - {*group.variables, *group.supplemental}
        topic = _topic(written)
        for name, variable in written.items():
            if variable.algorithm.derived:
                continue
            places = _places(dataset.name, name, name in supplemental)
            if name in working:
                places = _readers(study, dataset.name, name, set()) or [Annotation(dataset.name, "")]
            for column, cells, value in _columns(study, group, variable.algorithm, written):
                use: Use = "decides" if not value else "feeds" if name in working else "is"
                for place in places:
                    yield column, _annotation(place, variable.algorithm, column, topic, cells, use)
        if group.only is not None:
            for name in group.only.where:
                yield _column(group, name), Annotation(dataset.name, "", "record is taken", use="decides")
        for joined, join in group.join.items():
            subject = study.sources[joined].subject
            if subject is not None:
                yield (joined, subject), Annotation(dataset.name, "", f"joined to {group.source}", use="decides")
            for theirs, own in join.by.items():
                yield (joined, theirs), Annotation(dataset.name, "", f"joined to {group.source}", use="decides")
                yield (group.source, own), Annotation(dataset.name, "", f"joined to {joined}", use="decides")


def _places(dataset: str, name: str, supplemental: bool) -> list[Annotation]:
    if supplemental:
        return [Annotation(f"{SUPPLEMENTAL}{dataset}", "QVAL", f"{QUALIFIER}{name}")]
    return [Annotation(dataset, name)]


def _annotation(
    place: Annotation, algorithm: Algorithm, column: tuple[str, str], topic: str, cells: tuple[str, ...], use: Use
) -> Annotation:
    own = {column[1], f"{column[0]}.{column[1]}"}
    conditions = [
        f"{key.removeprefix('each.')} {test.says()}" for key, test in algorithm.when.items() if key not in own
    ]
    told = _cases(cells) or (topic if not place.where and not place.variable.endswith(TOPICS) else "")
    where = " and ".join(filter(None, [place.where, told, *conditions]))
    lists = ", ".join(algorithm.study_codelists()) if use == "is" else ""
    return Annotation(place.dataset, place.variable, where, f"codelist {lists}" if lists else "", use)


def _cases(cells: tuple[str, ...]) -> str:
    if not cells:
        return ""
    name = cells[0].partition(" = ")[0]
    values = [one.partition(" = ")[2] for one in cells]
    shown = ", ".join(values[:SHOWN_CASES]) + (
        f" and {len(values) - SHOWN_CASES} more" if len(values) > SHOWN_CASES else ""
    )
    return f"{name} = {shown}" if len(values) == 1 else f"{name} in ({shown})"


def _topic(written: Mapping[str, Variable]) -> str:
    """Which records of a dataset a group makes: its test, where the specification writes one into all of them."""
    for name, variable in written.items():
        value = getattr(variable.algorithm, variable.algorithm.main)
        if name.endswith(TOPICS[0]) and variable.algorithm.word.startswith("hardcode") and isinstance(value, str):
            return f"{name} = {value}"
    return ""


def _columns(
    study: Study, group: Group, algorithm: Algorithm, written: Mapping[str, Variable]
) -> Iterator[tuple[tuple[str, str], tuple[str, ...], bool]]:
    """The columns an algorithm reads; which records of a wide form are made of each; whether it takes their value."""
    found: dict[tuple[str, str], list[str]] = {}
    taken: set[tuple[str, str]] = set()
    for name in dict.fromkeys(algorithm.collected_inputs()):
        value = _takes(algorithm, name)
        if not name.startswith("each."):
            found.setdefault(_column(group, name), [])
            taken |= {_column(group, name)} if value else set()
        elif group.for_each is not None:
            table = study.tables[group.for_each.table]
            cell = name.removeprefix("each.column.") if name.startswith("each.column.") else None
            if name == "each.value":
                cell = group.for_each.column
            if cell is None:
                continue
            tests = [column for column in table.columns if column.endswith(TOPICS)]
            topics = table.values(tests[0]) if tests else [""] * len(table.rows)
            target = next((one for one, variable in written.items() if _reads_cell(variable, tests)), "")
            for column, test in zip(table.values(cell), topics, strict=True):
                if column:
                    cases = found.setdefault(_column(group, column), [])
                    taken |= {_column(group, column)} if value else set()
                    if target:
                        cases.append(f"{target} = {test}")
    for place, cells in found.items():
        yield place, tuple(dict.fromkeys(cells)), place in taken


def _takes(algorithm: Algorithm, name: str) -> bool:
    """True if an algorithm takes the value of a column that it reads, and not only a condition on it."""
    return name not in algorithm.when or name in algorithm.model_copy(update={"when": {}}).collected_inputs()


def _reads_cell(variable: Variable, tests: Sequence[str]) -> bool:
    return bool(tests) and f"each.{tests[0]}" in variable.algorithm.collected_inputs()


def _column(group: Group, name: str) -> tuple[str, str]:
    joined, dot, rest = name.partition(".")
    return (joined, rest) if dot and joined in group.join else (group.source or "", name)


def _readers(study: Study, dataset: str, name: str, seen: set[tuple[str, str]]) -> list[Annotation]:
    """The submitted variables that read a working variable, directly or through other ones."""
    seen.add((dataset, name))
    found: dict[Annotation, None] = {}
    for other, file in study.datasets.items():
        own = {*file.supplemental, *(one for group in file.records for one in group.supplemental)}
        working = {*file.working, *(one for group in file.records for one in group.working)}
        for variable, places in graph.definitions(file).items():
            if (other, variable) in seen or not any(
                definition.algorithm.derived
                and (dataset, name) in {graph.node_of(other, one) for one in definition.algorithm.variable_inputs()}
                for _, definition in places
            ):
                continue
            if variable in working:
                found |= dict.fromkeys(_readers(study, other, variable, seen))
            else:
                found |= dict.fromkeys(_places(other, variable, variable in own))
    return list(found)


def counted(rows: Mapping[tuple[str, str], int]) -> list[dict[str, Any]]:
    """The rows of a form as lines of a table."""
    return [{"outcome": outcome, "rule": rule, "rows": count} for (outcome, rule), count in rows.items()]
