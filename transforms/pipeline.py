"""The order of the stages, from landing to the published snapshot. The only place that knows it."""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from transforms import findings as findings_module
from transforms.core import dates
from transforms.errors import FileRefusedError, NothingPublishedError, UsageError
from transforms.findings import Finding, Severity
from transforms.sdtm.engine import Mapped, StagedSource, map_study
from transforms.sdtm.records import Dataset
from transforms.sources.delimited import Extract, Layout, read_delimited
from transforms.sources.manifest import Manifest, ManifestFile, read_manifest
from transforms.staging.stage import AccountLine, RawFile, Staged, identity_map, stage
from transforms.study import Study, graph
from transforms.study.models import DatasetFile, Source
from transforms.warehouse import lineage, parquet
from transforms.warehouse.raw_store import RawStore, Received
from transforms.warehouse.snapshots import MANIFEST, Snapshots, content_hash, identify, write_json

ROOT = Path(__file__).resolve().parents[1]
CODE = ("transforms", "sql", "expectations", "requirements.lock", "cdisc_mappings/standards")
CODE_SUFFIXES = (".py", ".sql", ".yml", ".csv", ".lock")
MANIFEST_NAME = "manifest.json"
UNEXPECTED = "unexpected_file"
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


def default_home() -> Path:
    """CAIRN_HOME, or .cairn in the checkout."""
    return Path(os.environ.get("CAIRN_HOME") or ROOT / ".cairn").resolve()


@dataclass(frozen=True)
class Home:
    """The folders of one study under CAIRN_HOME."""

    folder: Path
    study: str

    @property
    def landing(self) -> Path:
        """Where extracts are dropped when no other folder is named."""
        return self.folder / "landing" / self.study

    @property
    def raw(self) -> RawStore:
        """The raw store."""
        return RawStore(self.folder / "raw" / self.study)

    @property
    def snapshots(self) -> Snapshots:
        """The snapshots."""
        return Snapshots(self.folder / "warehouse" / self.study)


@dataclass(frozen=True)
class Report:
    """What a run did. `published` is False when the same snapshot was current already."""

    study: str
    snapshot_id: str
    path: Path
    published: bool
    cut_off: str
    rows: Mapping[str, int]
    findings: Mapping[str, int]
    refused: tuple[Received, ...]
    accepted: tuple[Received, ...]


@dataclass
class _Ingested:
    """What came in: entries accepted and refused, those refused for the first time, and extracts already read."""

    accepted: list[Received] = field(default_factory=list)
    refused: list[Received] = field(default_factory=list)
    newly_refused: bool = False
    extracts: dict[tuple[str, str], Extract] = field(default_factory=dict)


def run(study: Study, *, landing: Path | None = None, as_of: str | None = None, home: Path | None = None) -> Report:
    """Take what lies in landing, build the snapshot of all accepted extracts and publish it.

    Raises NothingPublishedError when every new delivery was refused, UsageError without a cut-off,
    RunInProgressError when the study is being run already.
    """
    where = Home((home or default_home()).resolve(), study.name)
    source_folder = where.landing if landing is None else landing
    if not source_folder.is_dir():
        raise UsageError(f"{source_folder} is no folder. Drop the extracts there, or name a folder with --landing")
    with where.snapshots.lock():
        ingested = ingest(study, source_folder, where.raw)
        received = [entry for entry in where.raw.received() if entry.accepted]
        if not received or (ingested.newly_refused and not ingested.accepted):
            _nothing(study, ingested, source_folder)
        cut_off = resolve_cut_off(study, as_of, received)
        identity = inputs_of(study, cut_off, received)
        snapshot_id = identify(identity)
        snapshots = where.snapshots
        before = snapshots.current_id()
        if not snapshots.exists(snapshot_id):
            build(study, where, snapshot_id, cut_off, identity, received, ingested)
        if before != snapshot_id:
            snapshots.publish(snapshot_id)
        manifest = snapshots.manifest(snapshot_id)
        return Report(
            study.name,
            snapshot_id,
            snapshots.path(snapshot_id),
            before != snapshot_id,
            cut_off,
            manifest["datasets"],
            manifest["findings"],
            tuple(ingested.refused),
            tuple(ingested.accepted),
        )


def _nothing(study: Study, ingested: _Ingested, landing: Path) -> None:
    if ingested.refused:
        lines = "\n".join(f"  - {one.file}: {one.rule}: {one.problem}. {one.remedy}" for one in ingested.refused)
        raise NothingPublishedError(
            f"{study.name}: nothing was published, every new delivery was refused; "
            f"an earlier publication stands:\n{lines}"
        )
    patterns = ", ".join(sorted(source.files for source in study.sources.values()))
    raise UsageError(f"{landing} holds no extract of {study.name}. Its contracts ask for: {patterns}")


def ingest(study: Study, landing: Path, store: RawStore) -> _Ingested:
    """Take every file of landing that is not known yet, delivery by delivery.

    The files that a manifest.json names are one delivery, every other file is its own. A refused file
    refuses its delivery; its bytes stay in the raw store and the log says why. Refusals are no findings of
    a snapshot, which is made of accepted files only. A file refused before is tried again, since its
    contract may have been corrected, and is not new.
    """
    result = _Ingested()
    log = store.received()
    refused_before = {(entry.file, entry.sha256, entry.rule) for entry in log if not entry.accepted}
    number = len(log)
    for delivery, manifest, files in _deliveries(landing):
        entries, extracts, refusal = _take(study, store, delivery, manifest, files, number)
        if refusal is not None:
            entries = tuple(_refused(entry, refusal) for entry in entries)
            result.refused.extend(entries)
            entries = tuple(one for one in entries if (one.file, one.sha256, one.rule) not in refused_before)
            result.newly_refused |= any(one.rule != UNEXPECTED for one in entries)
        else:
            result.accepted.extend(entries)
            result.extracts.update(extracts)
        store.record(entries)
        number += len(entries)
    return result


def _deliveries(
    landing: Path,
) -> list[tuple[str, Manifest | FileRefusedError | None, list[Path]]]:
    files = sorted(path for path in landing.iterdir() if not path.name.startswith("."))
    manifests = [path for path in files if path.name == MANIFEST_NAME or path.name.endswith(".manifest.json")]
    loose = {path.name: path for path in files if path not in manifests}
    deliveries: list[tuple[str, Manifest | FileRefusedError | None, list[Path]]] = []
    for path in manifests:
        try:
            manifest = read_manifest(path)
        except FileRefusedError as error:
            deliveries.append((path.name, error, []))
            continue
        named = [loose.pop(entry.name) for entry in manifest.files if entry.name in loose]
        deliveries.append((path.name, manifest, named))
    deliveries.extend((name, None, [path]) for name, path in sorted(loose.items()))
    return deliveries


def _take(
    study: Study,
    store: RawStore,
    delivery: str,
    manifest: Manifest | FileRefusedError | None,
    files: Sequence[Path],
    number: int,
) -> tuple[tuple[Received, ...], dict[tuple[str, str], Extract], FileRefusedError | None]:
    entries: list[Received] = []
    extracts: dict[tuple[str, str], Extract] = {}
    if isinstance(manifest, FileRefusedError):
        blank = Received(number, delivery, "", delivery, "", 0, 0, None, False)
        return (blank,), {}, manifest
    refusal = _manifest_refusal(study, delivery, manifest, files) if manifest else None
    promised = {entry.name: entry for entry in manifest.files} if manifest else {}
    for path in files:
        source = _source_of(study, path.name) if path.is_file() else None
        if source is None:
            refusal = refusal or FileRefusedError(
                UNEXPECTED,
                path.name,
                "fits no source contract" if path.is_file() else "is no file; extracts lie in landing itself",
                "Correct its name, or write a source contract for it",
            )
            entries.append(Received(number + len(entries), delivery, "", path.name, "", 0, 0, None, True))
            continue
        sha256, size, rows = "", 0, 0
        said = promised.get(path.name)
        stated = (said.extracted_at if said else None) or (manifest.extracted_at if manifest else None)
        try:
            sha256, size = store.take(path)
            if _is_known(source, path.name, sha256, store.received()):
                continue
            extract = read_extract(source, store.path(sha256), path.name)
            rows = len(extract.lines) + len(extract.short_or_long)
            _keep_promise(path.name, said, sha256, rows)
            extracts[(source.source, sha256)] = extract
        except FileRefusedError as error:
            refusal = refusal or error
        entries.append(
            Received(
                number + len(entries),
                delivery,
                source.source,
                path.name,
                sha256,
                size,
                rows,
                stated or _stamp(source, path.name),
                True,
            )
        )
    if refusal is not None and refusal.file not in {entry.file for entry in entries}:
        entries.append(Received(number + len(entries), delivery, "", refusal.file, "", 0, 0, None, False))
    return tuple(entries), extracts, refusal


def _is_known(source: Source, name: str, sha256: str, received: Sequence[Received]) -> bool:
    """True if taking the file again would change nothing.

    The bytes of an incremental source count once. A full source's file is new unless it is the version that stands,
    or the last one received under this name: the bytes of an older version, sent again, are a new version.
    """
    own = [entry for entry in received if entry.accepted and entry.source == source.source]
    if source.delivery == "incremental":
        return sha256 in {entry.sha256 for entry in own}
    same_name = [entry.sha256 for entry in own if entry.file == name]
    standing = ordered(own, source.source)[-1:]
    return sha256 in {*same_name[-1:], *(entry.sha256 for entry in standing)}


def _manifest_refusal(
    study: Study, delivery: str, manifest: Manifest, files: Sequence[Path]
) -> FileRefusedError | None:
    if manifest.study is not None and manifest.study not in {study.name, study.file.studyid}:
        return FileRefusedError(
            "wrong_study",
            delivery,
            "the manifest names another study",
            "Drop the delivery in the landing folder of the study it is for",
        )
    present = {path.name for path in files}
    absent = sorted(entry.name for entry in manifest.files if entry.name not in present)
    if absent:
        return FileRefusedError(
            "incomplete_delivery",
            delivery,
            f"files of the manifest are missing: {', '.join(absent)}",
            "Send them",
        )
    return None


def _keep_promise(name: str, said: ManifestFile | None, sha256: str, rows: int) -> None:
    if said is None:
        return
    if said.sha256 != sha256:
        raise FileRefusedError("checksum_mismatch", name, "its sha256 is not the manifest's", "Transfer the file again")
    if said.rows is not None and said.rows != rows:
        raise FileRefusedError(
            "row_count_mismatch",
            name,
            f"holds {rows} rows, the manifest says {said.rows}",
            "Ask for the whole file",
        )


def _source_of(study: Study, name: str) -> Source | None:
    matches = [source for source in study.sources.values() if fnmatch.fnmatchcase(name, source.files)]
    if len(matches) > 1:
        names = ", ".join(source.source for source in matches)
        raise UsageError(f"{name} fits several source contracts of {study.name} ({names}). Narrow their `files`")
    return matches[0] if matches else None


def _stamp(source: Source, name: str) -> str | None:
    """The extract time a file name carries, as ISO text."""
    match = re.search(source.extracted_at, name) if source.extracted_at else None
    return dates.to_iso(match["at"], (source.extracted_layout,)) if match else None


def _refused(entry: Received, refusal: FileRefusedError) -> Received:
    own = refusal.file == entry.file
    problem = refusal.problem if own else f"its delivery was refused because of {refusal.file}"
    return Received(
        **{
            **entry.__dict__,
            "accepted": False,
            "rule": refusal.rule if own else "delivery_refused",
            "problem": problem,
            "remedy": refusal.remedy,
        }
    )


def read_extract(source: Source, path: Path, name: str) -> Extract:
    """Read one extract under its contract."""
    return read_delimited(path, name, Layout(source.encoding, source.delimiter, source.quote, tuple(source.columns)))


def resolve_cut_off(study: Study, as_of: str | None, received: Iterable[Received]) -> str:
    """The cut-off: --as-of, else study.yml, else the latest extract time declared; UsageError if there is none."""
    if as_of is not None:
        if len(as_of) != 10 or not dates.is_iso(as_of):
            raise UsageError(f"--as-of {as_of!r} is no date. Write YYYY-MM-DD")
        return as_of
    if study.file.cut_off is not None:
        return study.file.cut_off.isoformat()
    stated = [entry.extracted_at[:10] for entry in received if entry.extracted_at]
    if not stated:
        raise UsageError(
            f"{study.name} has no cut-off: no --as-of, none in study.yml, and no manifest or file name declares "
            "an extract time. Give --as-of YYYY-MM-DD"
        )
    return max(stated)


def ordered(received: Iterable[Received], source: str) -> list[Received]:
    """The accepted files of a source in the order in which they were extracted (received, where not stated)."""
    own = [entry for entry in received if entry.source == source]
    return sorted(own, key=lambda entry: (entry.extracted_at or "", entry.number))


def inputs_of(study: Study, cut_off: str, received: Sequence[Received]) -> dict[str, object]:
    """What a snapshot is made of; its id is a hash of this."""
    files = [
        {"source": name, "file": entry.file, "sha256": entry.sha256}
        for name in sorted(study.sources)
        for entry in ordered(received, name)
    ]
    return {
        "study": study.name,
        "files": files,
        "decisions": "",
        "specification": study.specification_hash,
        "placement": study.placement,
        "standards": study.file.standards.model_dump(),
        "cut_off": cut_off,
        "code": content_hash(ROOT, CODE, CODE_SUFFIXES),
    }


def build(
    study: Study,
    where: Home,
    snapshot_id: str,
    cut_off: str,
    identity: Mapping[str, object],
    received: Sequence[Received],
    ingested: _Ingested,
) -> None:
    """Stage, map and write one snapshot."""
    staged, found, account = stage_all(study, where.raw, cut_off, received, ingested.extracts)
    mapped = map_study(study, staged_sources(staged))
    findings = [*found, *mapped.findings]
    with where.snapshots.building(snapshot_id) as folder:
        write_snapshot(study, folder, staged, mapped, findings, account)
        counts = {severity.value: sum(one.severity is severity for one in findings) for severity in Severity}
        rows = {(entry.source, entry.sha256): entry for entry in received}
        files = identity["files"]
        write_json(
            folder / MANIFEST,
            {
                **identity,
                "snapshot_id": snapshot_id,
                "studyid": study.file.studyid,
                "files": [
                    {
                        **one,
                        "rows": rows[(one["source"], one["sha256"])].rows,
                        "bytes": rows[(one["source"], one["sha256"])].size,
                    }
                    for one in files  # type: ignore[attr-defined]
                ],
                "datasets": {name: len(dataset.frame) for name, dataset in mapped.datasets.items()},
                "findings": counts,
            },
        )


def stage_all(
    study: Study,
    store: RawStore,
    cut_off: str,
    received: Sequence[Received],
    extracts: Mapping[tuple[str, str], Extract],
) -> tuple[dict[str, Staged], list[Finding], list[AccountLine]]:
    """Stage every source from the raw store; a source that was never delivered is empty and a critical finding."""
    found: list[Finding] = []
    account: list[AccountLine] = []
    files: dict[str, list[RawFile]] = {}
    for name, source in study.sources.items():
        own = ordered(received, name)
        used = own if source.delivery == "incremental" else own[-1:]
        account.extend(
            AccountLine(name, entry.file, entry.sha256, "superseded", "later_file", entry.rows)
            for entry in own
            if entry not in used
        )
        files[name] = [
            RawFile(
                entry.file,
                entry.sha256,
                extracts.get((name, entry.sha256)) or read_extract(source, store.path(entry.sha256), entry.file),
            )
            for entry in used
        ]
        unordered = {entry.file for entry in own if not entry.extracted_at}
        if source.delivery == "full" and len(unordered) > 1:
            found.append(
                Finding(
                    "order_not_declared",
                    Severity.CRITICAL,
                    name,
                    "",
                    f"{', '.join(sorted(unordered))} declare no extract time; {used[-1].file}, received last, stands",
                    "Send a manifest with extract times, or declare extracted_at in the source contract",
                )
            )
        if not own:
            found.append(
                Finding(
                    "source_not_delivered",
                    Severity.CRITICAL,
                    name,
                    "",
                    f"no file of the source {name} was accepted so far; what needs it is empty",
                    f"Deliver a file that fits {source.files}",
                )
            )
    staged: dict[str, Staged] = {}
    for name, source in study.sources.items():
        identities = None
        if source.identity is not None:
            link = source.identity
            identities, problems = identity_map(
                study.sources[link.source], files[link.source], link.column, link.subject
            )
            found.extend(problems)
        staged[name] = stage(source, files[name], cut_off=cut_off, identities=identities)
        found.extend(staged[name].findings)
        account.extend(staged[name].account)
    return staged, found, account


def staged_sources(staged: Mapping[str, Staged]) -> dict[str, StagedSource]:
    """Staged sources as the engine takes them."""
    return {
        name: StagedSource(one.frame, one.subjects, tuple(file.name for file in one.files), one.file_codes, one.lines)
        for name, one in staged.items()
    }


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
