"""The order of work of a study: which variable needs which, across datasets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

from transforms.study.models import DatasetFile, DateRule, Group, Relation, Variable

if TYPE_CHECKING:
    from transforms.study.load import Study

Node = tuple[str, str]
RECORDS = "(records)"
CUT_OFF = "cut_off"
ELEMENT_VARIABLES = ("ETCD", "ELEMENT", "TAETORD", "EPOCH", "SESTDTC", "SEENDTC")
RELATION_VARIABLES = ("STUDYID", "RDOMAIN", "USUBJID", "IDVAR", "IDVARVAL", "RELTYPE", "RELID")


def automatic(study: Study, dataset: DatasetFile) -> tuple[str, ...]:
    """Variables the engine writes itself: identifiers, and the data cut-off where the dataset reads it."""
    if dataset.relations:
        return RELATION_VARIABLES
    standard = study.standards.datasets[dataset.name]
    names = ["STUDYID", "DOMAIN"]
    if dataset.elements is not None:
        outside = any(element.unplanned for element in dataset.elements.elements)
        return (*names, "USUBJID", *ELEMENT_VARIABLES, *(["SEUPDES"] if outside else []))
    if has_subjects(dataset):
        names.append("USUBJID")
    written = [name for name in names if name in standard.by_name]
    reads = {one for places in definitions(dataset).values() for _, item in places for one in _reads(item)}
    return (*written, CUT_OFF) if CUT_OFF in reads else tuple(written)


def submitted(study: Study, name: str) -> tuple[str, ...]:
    """The variables that a finished SDTM dataset has: written ones, automatic ones, and those the standard expects."""
    dataset = study.datasets[name]
    own = {CUT_OFF, *dataset.supplemental, *dataset.working}
    for group in dataset.records:
        own |= {*group.supplemental, *group.working}
    sequence = sequence_variable(study, name)
    names = [*automatic(study, dataset), *definitions(dataset), *((sequence,) if sequence else ())]
    names += [one.name for one in study.standards.datasets[name].variables if one.core in {"Req", "Exp"}]
    return tuple(dict.fromkeys(one for one in names if one not in own))


def _reads(variable: Variable) -> Sequence[str]:
    return variable.algorithm.variable_inputs() if variable.algorithm.derived else ()


def sequence_variable(study: Study, dataset: str) -> str | None:
    """The dataset's --SEQ, if the guide's table has one."""
    name = f"{dataset}SEQ"
    return name if name in study.standards.datasets[dataset].by_name and dataset != "TS" else None


def has_subjects(dataset: DatasetFile) -> bool:
    """True if the dataset's records belong to subjects."""
    made = dataset.elements is not None or bool(dataset.relations)
    return made or any(group.source is not None for group in dataset.records)


def definitions(dataset: DatasetFile) -> dict[str, list[tuple[Group | None, Variable]]]:
    """Every variable a dataset writes, with each place that writes it (a group, or None for all records)."""
    result: dict[str, list[tuple[Group | None, Variable]]] = {}
    for group in dataset.records:
        for name, variable in group.written().items():
            result.setdefault(name, []).append((group, variable))
    for name, variable in {**dataset.variables, **dataset.supplemental, **dataset.working}.items():
        result.setdefault(name, []).append((None, variable))
    return result


def node_of(dataset: str, reference: str) -> Node:
    """`VAR` of a dataset, or `DS.VAR` of another one, as a node."""
    other, dot, name = reference.partition(".")
    return (other, name) if dot else (dataset, reference)


def rule_inputs(rule: DateRule) -> list[str]:
    """What the start or end of an element reads."""
    source = rule.subject or rule.earliest or rule.latest or ""
    dataset = source.partition(".")[0]
    return [
        source,
        *(f"{dataset}.{name}" for name in rule.where),
        *([] if rule.subject else [f"{dataset}.USUBJID"]),
    ]


def relation_inputs(study: Study, relation: Relation) -> list[str]:
    """What a relation of records reads: conditions and matches, and the keys that number the records."""
    found = [f"{name}.{variable}" for name, variable in relation.datasets.items()]
    for name, related in relation.records.items():
        keys = study.datasets[name].keys if name in study.datasets else ()
        variables = (*related.where, *((related.match,) if related.match else ()), "USUBJID", *keys)
        found += [f"{name}.{one}" for one in dict.fromkeys(variables)]
    return found


def dependencies(study: Study) -> dict[Node, set[Node]]:
    """Every node with the nodes it needs; collected variables all come with their dataset's records.

    What is read from another dataset is read when all variables that may hold records there are filled: a held
    record lends nothing, whichever datasets are mapped together.
    """
    graph: dict[Node, set[Node]] = {}
    holding = {name: _holding(dataset) for name, dataset in study.datasets.items()}
    for name, dataset in study.datasets.items():
        records = (name, RECORDS)
        graph[records] = set()
        if name != "DM" and has_subjects(dataset) and "DM" in study.datasets:
            graph[records].add(("DM", RECORDS))
        if dataset.elements is not None:
            written = definitions(study.datasets["DM"]) if "DM" in study.datasets else {}
            arms = {("DM", arm) for arm in ("ARMCD", "ACTARMCD", *(["ARMNRS"] if "ARMNRS" in written else []))}
            graph[records] |= {("DM", "USUBJID"), *arms}
            for element in dataset.elements.elements:
                for rule in element.rules:
                    graph[records] |= {node_of(name, one) for one in rule_inputs(rule)}
        for relation in dataset.relations:
            graph[records] |= {node_of(name, one) for one in relation_inputs(study, relation)}
        for variable in automatic(study, dataset):
            graph[(name, variable)] = {records}
        for variable, places in definitions(dataset).items():
            needs = graph.setdefault((name, variable), {records})
            for _, definition in places:
                algorithm = definition.algorithm
                if algorithm.derived:
                    needs |= {node_of(name, one) for one in algorithm.variable_inputs()}
    for (name, _), needs in graph.items():
        for other in {node[0] for node in needs if node[0] != name and node[1] != RECORDS}:
            needs |= holding.get(other, set())
    return graph


def _holding(dataset: DatasetFile) -> set[Node]:
    """The derived variables of a dataset that may hold records."""
    return {
        (dataset.name, variable)
        for variable, places in definitions(dataset).items()
        if any(one.algorithm.derived and one.algorithm.may_hold for _, one in places)
    }


def order(graph: Mapping[Node, set[Node]], wanted: Iterable[Node] | None = None) -> list[Node]:
    """The nodes in an order in which each comes after what it needs; only what `wanted` needs, if given.

    One dataset is finished before the next is begun where that is possible. Raises CycleError.
    """
    needed = set(graph) if wanted is None else _closure(graph, wanted)
    sorter = TopologicalSorter({node: graph[node] & needed for node in sorted(needed)})
    sorter.prepare()
    result: list[Node] = []
    ready: list[Node] = []
    while sorter.is_active():
        ready.extend(sorter.get_ready())
        ready.sort(key=lambda node: (bool(result) and node[0] != result[-1][0], node))
        node = ready.pop(0)
        result.append(node)
        sorter.done(node)
    return result


def _closure(graph: Mapping[Node, set[Node]], wanted: Iterable[Node]) -> set[Node]:
    needed: set[Node] = set()
    todo = list(wanted)
    while todo:
        node = todo.pop()
        if node not in needed:
            needed.add(node)
            todo.extend(graph.get(node, ()))
    return needed


def cycle(graph: Mapping[Node, set[Node]]) -> Sequence[Node]:
    """One cycle of the graph, or nothing."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return tuple(error.args[1])
    return ()
