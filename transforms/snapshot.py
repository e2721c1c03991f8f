"""What a snapshot holds, as tables: staged extracts, datasets, lineage, specification and row accounts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa

from transforms.adam.records import AnalysisDataset, DerivationLine, RecordLink
from transforms.core import text
from transforms.gate import assess as gate_assessment
from transforms.gate.assess import Assessment
from transforms.sdtm.records import Dataset, MappingLine, StagedSource
from transforms.sources.extract import AUDIT
from transforms.staging.stage import AccountLine, Staged
from transforms.study import Study, analyses, fingerprints, graph
from transforms.study.analyses import AUTOMATIC, CUT_OFF, ONE_PER_SUBJECT
from transforms.study.models import DatasetFile
from transforms.warehouse import lineage, parquet

FILE, SHA256, LINE, SUBJECT = "_file", "_sha256", "_line", "_subject"
AUDIT_SUFFIX = "__audit"
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


def staged_table(study: Study, source: Staged) -> pa.Table:
    """The accepted rows of a source, each with its file, the file's sha256, its line and its subject."""
    columns = study.sources[source.source].columns
    table = parquet.table_of(source.frame, {key: column.label or key for key, column in columns.items()})
    files, hashes = [file.name for file in source.files], [file.sha256 for file in source.files]
    subjects = source.subjects
    described = {
        FILE: parquet.encoded(source.file_codes, files),
        SHA256: parquet.encoded(source.file_codes, hashes),
        LINE: pa.array(source.lines),
        SUBJECT: parquet.encoded(subjects.array.codes, list(subjects.cat.categories)),
    }
    for name, values in described.items():
        table = table.append_column(name, values)
    return table


def versions_table(sources: Iterable[Staged]) -> pa.Table:
    """What stands behind staged lines; the columns are those of `lineage.VERSIONS`."""
    rows = [
        {
            "source": source.source,
            "file": one.place.file,
            "sha256": one.place.sha256,
            "line": one.place.lines[0],
            "rule": one.behind.rule,
            "column": one.behind.column or None,
            "behind_file": one.behind.place.file,
            "behind_sha256": one.behind.place.sha256 or None,
            "behind_line": one.behind.place.lines[0],
        }
        for source in sources
        for one in source.versions
    ]
    return pa.Table.from_pylist(rows, schema=lineage.VERSIONS)


def audit_table(source: Staged) -> pa.Table:
    """Audit records, annotations, queries and changes that came with the files of a source, in the order read."""
    rows = [dict(zip(AUDIT.names, row, strict=True)) for file in source.files for row in file.extract.audit]
    counts = [len(file.extract.audit) for file in source.files]
    table = pa.Table.from_pylist(rows, schema=AUDIT)
    position = table.schema.get_field_index("line")
    table = table.remove_column(position).append_column(LINE, table["line"])
    codes = np.repeat(np.arange(len(counts)), counts)
    table = table.append_column(FILE, parquet.encoded(codes, [file.name for file in source.files]))
    return table.append_column(SHA256, parquet.encoded(codes, [file.sha256 for file in source.files]))


def staged_source(table: pa.Table) -> StagedSource:
    """The accepted rows of a source as the engine takes them, from what `staged_table` wrote."""
    files = table.select([FILE, SHA256]).to_pandas(strings_to_categorical=True)
    codes, pairs = text.combinations([files[FILE], files[SHA256]])
    frame = parquet.frame_of(table.drop_columns([FILE, SHA256, LINE, SUBJECT]))
    subjects = parquet.frame_of(table.select([SUBJECT]))[SUBJECT]
    names, hashes = tuple(str(name) for name, _ in pairs), tuple(str(sha256) for _, sha256 in pairs)
    return StagedSource(frame, subjects, names, hashes, codes, table[LINE].to_numpy())


def dataset_table(study: Study, dataset: Dataset) -> pa.Table:
    """One SDTM dataset with its labels."""
    name = dataset.name
    standard = study.standards.datasets[name if name in study.standards.datasets else "SUPPQUAL"]
    labels = {variable.name: variable.label for variable in dataset.variables}
    label = standard.label if name == standard.name else f"Supplemental Qualifiers for {name.removeprefix('SUPP')}"
    description = {"dataset": name, "label": label, "class": standard.observation_class}
    return parquet.table_of(dataset.frame, labels, description)


def record_lineage(dataset: Dataset) -> pa.Table:
    """The links of a dataset's records to raw or specification lines."""
    parts = [
        lineage.Part(
            origin.files,
            origin.hashes,
            origin.file_codes,
            origin.lines,
            origin.specification,
            origin.entry_table.file if origin.entry_table else None,
            origin.entry_columns,
            origin.entry_table.lines if origin.entry_table else (),
        )
        for origin in dataset.origins
    ]
    own = lineage.record_links(dataset.name, parts, dataset.origin_codes, dataset.positions, dataset.entries)
    joined = [
        lineage.joined_links(dataset.name, name, one.files, one.hashes, one.file_codes, one.lines, one.rows)
        for name, one in dataset.joined.items()
    ]
    return pa.concat_tables([own, *joined])


def value_lineage(dataset: Dataset) -> pa.Table:
    """The links of a dataset's values to records of other datasets, by record id."""
    links = {
        name: [(link.dataset, link.records, link.variable) for link in links] for name, links in dataset.links.items()
    }
    return lineage.value_links(dataset.name, links)


def specification_table(study: Study) -> pa.Table:
    """What fills each variable, as written: rule, collected columns, variables read, and where it stands.

    `fingerprint` differs wherever the rule, or a table or codelist it reads, does.
    """
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
                        fingerprints.of_rule(study, definition, dataset.records if group is None else [group]),
                    )
                )
    rows.extend(specification_rows(study))
    if study.gate is not None:
        for table, column, says, inputs in gate_assessment.said():
            rows.append(_rule(table, column, None, "derived", says, [], list(inputs), "gate.yml"))
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
            ("fingerprint", pa.string()),
        ]
    )
    return pa.Table.from_pylist(rows, schema=schema)


def described(study: Study) -> dict[str, object]:
    """What a manifest says of the specification, so that snapshots can be compared from their own files.

    `specification_files` is the sha256 of each file, `sources` what identifies a row of each source, `records` what
    identifies a record of each dataset and which source each of its record groups reads.
    """
    datasets: dict[str, DatasetFile | analyses.AnalysisFile] = {**study.datasets, **study.analyses}
    return {
        "specification_files": dict(study.specification_files),
        "sources": {
            name: {
                "record_id": list(source.record_id),
                "fingerprint": fingerprints.of_source(source),
            }
            for name, source in study.sources.items()
        },
        "records": {
            name: {
                "keys": list(file.keys),
                "sources": [group.source for group in file.records],
                "file": study.files[name],
                "fingerprint": fingerprints.of_records(study, file),
            }
            for name, file in datasets.items()
        },
    }


def _automatic_rules(study: Study, dataset: DatasetFile, file: str) -> Iterator[dict[str, object]]:
    """The rules of the variables that the engine writes itself."""
    written = {
        "STUDYID": ("studyid of study.yml", "study.yml"),
        "DOMAIN": ("the dataset's name", file),
        "USUBJID": (f"the subject of the source, written {study.file.usubjid}", "study.yml"),
    }
    named = {study.sources[group.source].subject for group in dataset.records if group.source}
    subjects = sorted(name for name in named if name is not None)
    relation_inputs = [
        f"{name}.{graph.sequence_variable(study, name)}" for relation in dataset.relations for name in relation.records
    ]
    element_inputs: list[str] = []
    if dataset.elements is not None:
        rules = [rule for element in dataset.elements.elements for rule in element.rules]
        element_inputs = sorted({graph.rule_inputs(rule)[0] for rule in rules})
    for variable in graph.automatic(study, dataset):
        made = "the relations of the dataset" if dataset.relations else "the element rules of the dataset"
        rule, where = written.get(variable, (made, file))
        inputs: list[str] = []
        if variable == graph.CUT_OFF:
            rule = "the cut-off of the snapshot"
        if dataset.relations and variable in {"USUBJID", "IDVARVAL"}:
            subject = [f"{one.partition('.')[0]}.USUBJID" for one in relation_inputs]
            rule, where = made, file
            inputs = list(dict.fromkeys(relation_inputs if variable == "IDVARVAL" else subject))
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
    fingerprint: str | None = None,
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
        "fingerprint": fingerprint or fingerprints.of_text(rule),
    }


def gate_lineage(assessed: Assessment) -> pa.Table:
    """The links of the rows of the gate to the SDTM records they are assessed from."""
    tables = [lineage.SCHEMA.empty_table()]
    for one in assessed.made_of:
        of = np.array(one.records, dtype=np.int64) + 1
        tables.append(lineage.made_of_links(one.table.upper(), np.full(len(of), one.row + 1), one.dataset, of))
    return pa.concat_tables(tables)


def staging_accounts(account: Sequence[AccountLine]) -> pa.Table:
    """Rows of each file by what became of them."""
    rows = [
        {"stage": "staging", "source": one.source, "file": one.file, "sha256": one.sha256, "dataset": None}
        | {"outcome": one.outcome, "rule": one.rule, "rows": one.rows}
        for one in account
    ]
    return pa.Table.from_pylist(rows, schema=ACCOUNT)


def mapping_accounts(account: Sequence[MappingLine]) -> pa.Table:
    """Accepted rows of each source by what they gave."""
    rows = [
        {"stage": "mapping", "source": one.source, "file": None, "sha256": None, "dataset": one.dataset}
        | {"outcome": one.outcome, "rule": one.rule, "rows": one.rows}
        for one in account
    ]
    return pa.Table.from_pylist(rows, schema=ACCOUNT)


def analysis_lineage(dataset: AnalysisDataset) -> Iterator[pa.Table]:
    """The links of an analysis dataset: each record to the records it was made of, each value to those it is from.

    What a record carries of its subject is linked once, under USUBJID, and not for every variable: the record of DM
    or ADSL is the same for all of them. `part` is, for a copied record, the number of the copy rule, from 1.
    """
    yield from (_made_of(dataset.name, link) for link in dataset.records)
    made_of = {link.dataset for link in dataset.records}
    subject: dict[str, np.ndarray] = {}
    for name in sorted(dataset.links):
        for link in dataset.links[name]:
            if link.dataset in ONE_PER_SUBJECT and link.dataset != dataset.name and link.dataset not in made_of:
                known = subject.get(link.dataset)
                subject[link.dataset] = link.records if known is None else np.maximum(known, link.records)
            else:
                yield _record_links(dataset.name, name, link.dataset, link.records, link.variable)
    for other, records in sorted(subject.items()):
        yield _record_links(dataset.name, "USUBJID", other, records, "USUBJID")


def _record_links(
    dataset: str, variable: str, other: str, records: np.ndarray, source_variable: str | None
) -> pa.Table:
    known = np.where(records > 0, records, -1)
    return lineage.value_links(dataset, {variable: [(other, known, source_variable)]})


def _made_of(dataset: str, link: RecordLink) -> pa.Table:
    links = _record_links(dataset, "", link.dataset, link.records, None)
    copies = link.copies[link.records > 0].astype(np.int16)
    columns = {"variable": pa.nulls(len(copies), pa.string()), "part": pa.array(copies, mask=copies == 0)}
    for name, values in columns.items():
        links = links.set_column(links.schema.get_field_index(name), lineage.SCHEMA.field(name), values)
    return links


def specification_rows(study: Study) -> list[dict[str, object]]:
    """The rules of the analysis datasets' variables, as rows of the specification table."""
    rows: list[dict[str, object]] = []
    for name, file in study.analyses.items():
        where = study.files[name]
        for variable in AUTOMATIC:
            inputs = [f"{source}.{variable}" for source in file.sources]
            rows.append(_rule(name, variable, None, "automatic", "of the record it is made of", [], inputs, where))
        rows.append(_rule(name, CUT_OFF, None, "automatic", "the cut-off of the snapshot", [], [], where))
        for part, copies in enumerate(file.copies, start=1):
            says = f"copy under the rule {copies.rule}: {copies.why}"
            rows.extend(_rule(name, one, part, "copy", says, [], list(copies.reads()), where) for one in copies.set)
        for part, added in enumerate(file.additions, start=len(file.copies) + 1):
            kind = added.title.replace(" ", "_")
            rows.extend(
                _rule(name, one, part, kind, added.says(one), [], list(added.inputs(one)), where)
                for one in added.given()
            )
        for part, (code, parameter) in enumerate(file.parameters.items(), start=1):
            for one in analyses.TIME_TO_EVENT:
                inputs = parameter.reads_of(one)
                rows.append(_rule(name, one, part, "derived", parameter.says(code, one), [], inputs, where))
        if analyses.PARAMETER in file.unwritten:
            rows.append(_rule(name, analyses.PARAMETER, None, "automatic", "the parameter derived here", [], [], where))
        for variable, derivation in file.written().items():
            algorithm = derivation.algorithm
            kind = "derived" if algorithm.derived else "collected"
            inputs = list(analyses.inputs(derivation))
            fingerprint = fingerprints.of_rule(study, derivation)
            rows.append(_rule(name, variable, None, kind, algorithm.says(), [], inputs, where, fingerprint))
    return rows


def derivation_accounts(account: Sequence[DerivationLine]) -> pa.Table:
    """Records of each source of an analysis dataset by what they gave, as rows of the accounts."""
    rows = [
        {"stage": "derivation", "source": one.source, "file": None, "sha256": None, "dataset": one.dataset}
        | {"outcome": one.outcome, "rule": one.rule, "rows": one.rows}
        for one in account
    ]
    return pa.Table.from_pylist(rows, schema=ACCOUNT)
