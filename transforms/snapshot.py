"""What a snapshot holds: datasets, staged extracts, findings, and the tables that explain them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from transforms import findings as findings_module
from transforms.findings import Finding
from transforms.sdtm.engine import Mapped
from transforms.sdtm.records import Dataset
from transforms.staging.stage import AccountLine, Staged
from transforms.study import Study, graph
from transforms.study.models import DatasetFile
from transforms.warehouse import lineage, parquet

ACCOUNT = pa.schema(
    [
        ("stage", pa.string()),
        ("source", pa.string()),
        ("file", pa.string()),
        ("sha256", pa.string()),
        ("dataset", pa.string()),
        ("outcome", pa.string()),
        ("rule", pa.string()),
        ("rows", pa.int64()),
    ]
)


def write_snapshot(
    study: Study,
    folder: Path,
    staged: Mapping[str, Staged],
    mapped: Mapped,
    findings: Sequence[Finding],
    account: Sequence[AccountLine],
) -> None:
    """Write everything of a snapshot but its manifest."""
    (folder / "staged").mkdir()
    (folder / "sdtm").mkdir()
    for name, source in staged.items():
        files = [file.name for file in source.files]
        table = parquet.table_of(
            source.frame, {key: column.label or key for key, column in study.sources[name].columns.items()}
        )
        table = table.append_column("_file", parquet.encoded(source.file_codes, files))
        table = table.append_column("_line", pa.array(source.lines))
        table = table.append_column(
            "_subject",
            parquet.encoded(source.subjects.cat.codes.to_numpy(), list(source.subjects.cat.categories)),
        )
        parquet.write(table, folder / "staged" / f"{name}.parquet")
    for name, dataset in mapped.datasets.items():
        write_dataset(study, folder / "sdtm", name, dataset)
    parquet.write(lineage_table(mapped, staged), folder / "lineage.parquet")
    parquet.write(findings_module.to_arrow(findings), folder / "findings.parquet")
    parquet.write(specification_table(study), folder / "specification.parquet")
    parquet.write(account_table(account, mapped), folder / "accounts.parquet")


def write_dataset(study: Study, folder: Path, name: str, dataset: Dataset) -> None:
    """Write one SDTM dataset with its labels."""
    standard = study.standards.datasets[name if name in study.standards.datasets else "SUPPQUAL"]
    labels = {variable.name: variable.label for variable in dataset.variables}
    label = standard.label if name == standard.name else f"Supplemental Qualifiers for {name.removeprefix('SUPP')}"
    description = {"dataset": name, "label": label, "class": standard.observation_class}
    parquet.write(parquet.table_of(dataset.frame, labels, description), folder / f"{name.lower()}.parquet")


def lineage_table(mapped: Mapped, staged: Mapping[str, Staged]) -> pa.Table:
    """All links of all datasets."""
    tables = []
    for name, dataset in mapped.datasets.items():
        parts = []
        for origin in dataset.origins:
            hashes = [""] * len(origin.files)
            if not origin.specification:
                hashes = [file.sha256 for file in staged[origin.name].files]
            table = origin.entry_table
            parts.append(
                lineage.Part(
                    origin.files,
                    hashes,
                    origin.file_codes,
                    origin.lines,
                    origin.specification,
                    table.file if table else None,
                    origin.entry_columns,
                    table.lines if table else (),
                )
            )
        tables.append(lineage.record_links(name, parts, dataset.origin_codes, dataset.positions, dataset.entries))
        tables.append(lineage.value_links(name, _links(dataset)))
    return pa.concat_tables(tables).cast(lineage.SCHEMA) if tables else lineage.SCHEMA.empty_table()


def _links(dataset: Dataset) -> dict[str, list[tuple[str, np.ndarray, str | None]]]:
    return {
        name: [(link.dataset, link.records, link.variable) for link in links] for name, links in dataset.links.items()
    }


def specification_table(study: Study) -> pa.Table:
    """What fills each variable, as written: rule, collected columns, variables read, and where it stands."""
    rows: list[dict[str, object]] = []
    for name, dataset in study.datasets.items():
        file = study.files[name]
        rows.extend(_automatic_rules(study, dataset, file))
        sequence = graph.sequence_variable(study, name)
        if sequence is not None:
            rows.append(
                _rule(
                    name,
                    sequence,
                    None,
                    "automatic",
                    f"numbers the subject's records in the order of {', '.join(dataset.keys)}",
                    [],
                    list(dataset.keys),
                    file,
                )
            )
        for variable, places in graph.definitions(dataset).items():
            for group, definition in places:
                algorithm = definition.algorithm
                part = None if group is None else dataset.records.index(group)
                rows.append(
                    _rule(
                        name,
                        variable,
                        part,
                        "derived" if algorithm.derived else "collected",
                        algorithm.says(),
                        list(dict.fromkeys(algorithm.collected_inputs())),
                        list(dict.fromkeys(algorithm.variable_inputs())),
                        file,
                    )
                )
    schema = pa.schema(
        [
            ("dataset", pa.string()),
            ("variable", pa.string()),
            ("part", pa.int16()),
            ("kind", pa.string()),
            ("rule", pa.string()),
            ("collected", pa.list_(pa.string())),
            ("inputs", pa.list_(pa.string())),
            ("file", pa.string()),
        ]
    )
    return pa.Table.from_pylist(rows, schema=schema)


def _automatic_rules(study: Study, dataset: DatasetFile, file: str) -> Iterator[dict[str, object]]:
    """The rules of the variables that the engine writes itself."""
    written = {
        "STUDYID": ("studyid of study.yml", "study.yml"),
        "DOMAIN": ("the dataset's name", file),
        "USUBJID": (f"the subject of the source, written {study.file.usubjid}", "study.yml"),
    }
    subjects = sorted({study.sources[group.source].subject for group in dataset.records if group.source})
    element_inputs: list[str] = []
    if dataset.elements is not None:
        rules = [rule for element in dataset.elements.elements for rule in element.rules]
        element_inputs = sorted({graph.rule_inputs(rule)[0] for rule in rules})
    for variable in graph.automatic(study, dataset):
        rule, where = written.get(variable, ("the element rules of the dataset", file))
        inputs: list[str] = []
        if dataset.elements is not None and variable not in {"STUDYID", "DOMAIN"}:
            inputs = element_inputs if variable in {"SESTDTC", "SEENDTC"} else ["DM.USUBJID"]
        collected = subjects if variable == "USUBJID" else []
        yield _rule(dataset.name, variable, None, "automatic", rule, collected, inputs, where)


def _rule(
    dataset: str,
    variable: str,
    part: int | None,
    kind: str,
    rule: str,
    collected: list[str],
    inputs: list[str],
    file: str,
) -> dict[str, object]:
    return {
        "dataset": dataset,
        "variable": variable,
        "part": part,
        "kind": kind,
        "rule": rule,
        "collected": collected,
        "inputs": inputs,
        "file": file,
    }


def account_table(account: Sequence[AccountLine], mapped: Mapped) -> pa.Table:
    """Row accounts: rows of each file by outcome, and accepted rows of each source by what they gave."""
    rows = [
        {"stage": "staging", "source": one.source, "file": one.file, "sha256": one.sha256, "dataset": None}
        | {"outcome": one.outcome, "rule": one.rule, "rows": one.rows}
        for one in account
    ]
    rows += [
        {"stage": "mapping", "source": one.source, "file": None, "sha256": None, "dataset": one.dataset}
        | {"outcome": one.outcome, "rule": one.rule, "rows": one.rows}
        for one in mapped.account
    ]
    return pa.Table.from_pylist(rows, schema=ACCOUNT)
