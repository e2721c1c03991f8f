"""The order of work of a study: which variable needs which, across datasets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

from transforms.study.models import DatasetFile, DateRule, Group, Variable

if TYPE_CHECKING:
    from transforms.study.load import Study

Node = tuple[str, str]
RECORDS = "(records)"
ELEMENT_VARIABLES = ("ETCD", "ELEMENT", "TAETORD", "EPOCH", "SESTDTC", "SEENDTC")


def automatic(study: Study, dataset: DatasetFile) -> tuple[str, ...]:
    """Variables the engine writes itself: identifiers, and the sequence number where the standard has one."""
    standard = study.standards.datasets[dataset.name]
    names = ["STUDYID", "DOMAIN"]
    if dataset.elements is not None:
        return (*names, "USUBJID", *ELEMENT_VARIABLES)
    if has_subjects(dataset):
        names.append("USUBJID")
    return tuple(name for name in names if name in standard.by_name)


def sequence_variable(study: Study, dataset: str) -> str | None:
    """The dataset's --SEQ, if the guide's table has one."""
    name = f"{dataset}SEQ"
    return name if name in study.standards.datasets[dataset].by_name and dataset != "TS" else None


def has_subjects(dataset: DatasetFile) -> bool:
    """True if the dataset's records belong to subjects."""
    return dataset.elements is not None or any(group.source is not None for group in dataset.records)


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
            arms = {("DM", arm) for arm in ("ARMCD", "ACTARMCD")}
            graph[records] |= {("DM", "USUBJID"), *arms}
            for element in dataset.elements.elements:
                for rule in element.rules:
                    graph[records] |= {node_of(name, one) for one in rule_inputs(rule)}
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
