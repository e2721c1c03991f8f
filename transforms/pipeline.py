"""The order of the stages, from landing to the published snapshot. The only place that knows it.

Each stage reads what the stages before it wrote into the building folder and writes its own part, so that it runs
the same in one process (`run`) and as a task of its own (`transforms.steps`, called by the DAGs).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from transforms import findings as findings_module
from transforms import snapshot
from transforms.core import dates
from transforms.errors import LockedError, NothingPublishedError, UsageError
from transforms.findings import Explanation, Finding, Severity
from transforms.ingest import Ingested, ingest, ordered, read_extract
from transforms.sdtm.engine import StagedSource, map_study
from transforms.sources.delimited import Extract
from transforms.staging.stage import AccountLine, RawFile, Staged, identity_map, stage
from transforms.study import Study
from transforms.study.yaml import read_yaml
from transforms.warehouse import lineage
from transforms.warehouse.building import Building
from transforms.warehouse.decisions import Decision, DecisionLog, DecisionLogError, digest, locked, released
from transforms.warehouse.publications import Publication, PublicationLog, anchor, anchored
from transforms.warehouse.raw_store import RawStore, Received
from transforms.warehouse.snapshots import MANIFEST, Snapshots, content_hash, identify, write_json

ROOT = Path(__file__).resolve().parents[1]
CODE = ("transforms", "sql", "expectations", "requirements.lock", "cdisc_mappings/standards")
CODE_SUFFIXES = (".py", ".sql", ".yml", ".csv", ".lock", ".j2")


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
    def decisions(self) -> DecisionLog:
        """The decision log."""
        return DecisionLog(self.folder / "raw" / self.study)

    @property
    def publications(self) -> PublicationLog:
        """The log of publications."""
        return PublicationLog(self.folder / "raw" / self.study)

    @property
    def snapshots(self) -> Snapshots:
        """The snapshots."""
        return Snapshots(self.folder / "warehouse" / self.study)

    @property
    def watch(self) -> Path:
        """Sizes of the files seen in a watched landing folder."""
        return self.folder / "warehouse" / self.study / ".watch.json"

    def building(self, name: str) -> Building:
        """The folder of a snapshot that is being built."""
        return Building(self.folder / "warehouse" / self.study / "building" / name)


@dataclass(frozen=True)
class Opening:
    """What a snapshot is to be made of. `deliveries` and `decisions` count the lines of the logs it covers."""

    snapshot_id: str
    identity: Mapping[str, Any]
    cut_off: str
    as_of: str | None
    placement: str
    deliveries: int
    decisions: int
    decisions_hash: str


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


def run(
    study: Study,
    *,
    landing: Path | None = None,
    as_of: str | None = None,
    home: Path | None = None,
    run_id: str = "",
) -> Report:
    """Take what lies in landing, build the snapshot of all accepted extracts and decisions, and publish it.

    Raises NothingPublishedError when every new delivery was refused, UsageError without a cut-off,
    RunInProgressError when the study is being run already, LockedError when the current snapshot is locked.
    """
    where = Home((home or default_home()).resolve(), study.name)
    source_folder = where.landing if landing is None else landing
    if not source_folder.is_dir():
        raise UsageError(f"{source_folder} is no folder. Drop the extracts there, or name a folder with --landing")
    with where.snapshots.lock(run_id):
        ingested = ingest(study, source_folder, where.raw)
        received = [entry for entry in where.raw.received() if entry.accepted]
        if not received or (ingested.newly_refused and not ingested.accepted):
            _nothing(study, ingested, source_folder)
        opening = open_snapshot(study, where, as_of)
        before = where.snapshots.current_id()
        if not where.snapshots.exists(opening.snapshot_id):
            building = where.building("run")
            building.begin(asdict(opening))
            build(study, where, building, ingested.extracts)
        if before != opening.snapshot_id:
            publish(study, where, opening)
        where.building("run").published()
        manifest = where.snapshots.manifest(opening.snapshot_id)
        return Report(
            study.name,
            opening.snapshot_id,
            where.snapshots.path(opening.snapshot_id),
            before != opening.snapshot_id,
            opening.cut_off,
            manifest["datasets"],
            manifest["findings"],
            tuple(ingested.refused),
            tuple(ingested.accepted),
        )


def _nothing(study: Study, ingested: Ingested, landing: Path) -> None:
    if ingested.refused:
        lines = "\n".join(f"  - {one.file}: {one.rule}: {one.problem}. {one.remedy}" for one in ingested.refused)
        raise NothingPublishedError(
            f"{study.name}: nothing was published, every new delivery was refused; "
            f"an earlier publication stands:\n{lines}"
        )
    patterns = ", ".join(sorted(source.files for source in study.sources.values()))
    raise UsageError(f"{landing} holds no extract of {study.name}. Its contracts ask for: {patterns}")


def open_snapshot(study: Study, where: Home, as_of: str | None) -> Opening:
    """What the snapshot of all that is known now is made of.

    Raises UsageError without a cut-off, LockedError when the current snapshot is locked and another would replace
    it, DecisionLogError when the decision log was altered.
    """
    log = where.raw.received()
    received = [entry for entry in log if entry.accepted]
    decisions = where.decisions.entries()
    publications = where.publications.entries()
    if not anchored(publications[-1] if publications else None, decisions):
        raise DecisionLogError(
            f"{study.name}: the decision log does not hold what the last publication saw: its end was cut off. "
            "Restore it from a backup; nothing is run or published until then"
        )
    cut_off = resolve_cut_off(study, as_of, received)
    identity = inputs_of(study, cut_off, received, decisions)
    snapshot_id = identify(identity)
    current = where.snapshots.current_id()
    lock = locked(decisions).get(current or "")
    if lock is not None and snapshot_id != current:
        raise LockedError(
            f"{study.name}: snapshot {current} is locked by {lock.by} ({lock.reason}), so no other is published. "
            f"To go on: ./cairn unlock {study.name} {current} --by NAME --reason WHY"
        )
    return Opening(snapshot_id, identity, cut_off, as_of, study.placement, len(log), len(decisions), anchor(decisions))


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


def inputs_of(
    study: Study, cut_off: str, received: Sequence[Received], decisions: Sequence[Decision]
) -> dict[str, object]:
    """What a snapshot is made of; its id is a hash of this."""
    files = [
        {"source": name, "file": entry.file, "sha256": entry.sha256}
        for name in sorted(study.sources)
        for entry in ordered(received, name)
    ]
    return {
        "study": study.name,
        "files": files,
        "decisions": digest(decisions),
        "specification": study.specification_hash,
        "placement": study.placement,
        "standards": study.file.standards.model_dump(),
        "cut_off": cut_off,
        "code": content_hash(ROOT, CODE, CODE_SUFFIXES),
    }


def build(
    study: Study, where: Home, building: Building, extracts: Mapping[tuple[str, str], Extract] | None = None
) -> None:
    """All stages of one snapshot, one after the other; `extracts` are those read already."""
    stage_sources(study, where, building, extracts)
    map_datasets(study, building)
    finish_sdtm(study, building)
    close(study, where, building)


def stage_sources(
    study: Study, where: Home, building: Building, extracts: Mapping[tuple[str, str], Extract] | None = None
) -> None:
    """Stage every source, check its rows, hold what cannot be interpreted, and write what is accepted."""
    opening = building.opening()
    decisions = where.decisions.entries()[: opening["decisions"]]
    staged, found, account = stage_all(
        study, where.raw, opening["cut_off"], _covered(where, opening), extracts or {}, released(decisions)
    )
    for name, source in staged.items():
        building.write(f"staged/{name}", snapshot.staged_table(study, source))
    building.write("parts/staged.findings", findings_module.to_arrow(found))
    building.write("parts/staged.accounts", snapshot.staging_accounts(account))


def _covered(where: Home, opening: Mapping[str, Any]) -> list[Received]:
    """The accepted files that a snapshot covers: those received when it was opened."""
    return [entry for entry in where.raw.received()[: opening["deliveries"]] if entry.accepted]


def stage_all(
    study: Study,
    store: RawStore,
    cut_off: str,
    received: Sequence[Received],
    extracts: Mapping[tuple[str, str], Extract],
    freed: Mapping[str, Mapping[str, Mapping[str, frozenset[int]]]],
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
        staged[name] = stage(source, files[name], cut_off=cut_off, identities=identities, released=freed.get(name))
    for source_staged in staged.values():
        found.extend(source_staged.findings)
        account.extend(source_staged.account)
    return staged, found, account


class _StagedSources(Mapping[str, StagedSource]):
    """The staged sources of a building, each read when it is first asked for."""

    def __init__(self, study: Study, building: Building) -> None:
        self.study = study
        self.building = building
        self.read: dict[str, StagedSource] = {}

    def __getitem__(self, name: str) -> StagedSource:
        if name not in self.read:
            self.read[name] = snapshot.staged_source(self.building.read(f"staged/{name}"))
        return self.read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.study.sources)

    def __len__(self) -> int:
        return len(self.study.sources)


def map_datasets(study: Study, building: Building, only: Iterable[str] | None = None) -> dict[str, int]:
    """Map all SDTM datasets, or `only` some, and write each with its links, findings and accounts.

    Returns the number of records of each dataset written.
    """
    wanted = tuple(study.datasets if only is None else only)
    mapped = map_study(study, _StagedSources(study, building), only)
    for name in wanted:
        for own in (name, f"SUPP{name}"):
            dataset = mapped.datasets.get(own)
            if dataset is None:
                continue
            part = f"parts/sdtm/{own.lower()}"
            building.write(f"sdtm/{own.lower()}", snapshot.dataset_table(study, dataset))
            building.write(f"{part}.records", snapshot.record_lineage(dataset))
            building.write(f"{part}.values", snapshot.value_lineage(dataset))
            building.write(f"{part}.ids", pa.table({"record_id": pa.array(dataset.record_ids)}))
        found = [one for one in mapped.findings if one.dataset == name]
        account = [one for one in mapped.account if one.dataset == name]
        building.write(f"parts/sdtm/{name.lower()}.findings", findings_module.to_arrow(found))
        building.write(f"parts/sdtm/{name.lower()}.accounts", snapshot.mapping_accounts(account))
    return {name: len(dataset.frame) for name, dataset in mapped.datasets.items()}


def finish_sdtm(study: Study, building: Building) -> None:
    """Join the links of all datasets; needs every dataset to be mapped."""
    for name in study.datasets:
        building.read(f"parts/sdtm/{name.lower()}.findings")
    names = building.names("sdtm")
    ids = {
        name.upper(): building.read(f"parts/sdtm/{name}.ids")["record_id"].to_numpy().astype(np.int64) for name in names
    }
    tables = []
    for name in names:
        tables.append(building.read(f"parts/sdtm/{name}.records"))
        tables.append(lineage.numbered(building.read(f"parts/sdtm/{name}.values"), ids))
    building.write("lineage", pa.concat_tables(tables) if tables else lineage.SCHEMA.empty_table())


def close(study: Study, where: Home, building: Building) -> None:
    """Join findings and accounts, write the manifest and make the building the snapshot."""
    opening = building.opening()
    identity = opening["identity"]
    if where.snapshots.exists(opening["snapshot_id"]):
        building.discard()
        return
    parts = ["parts/staged", *(f"parts/sdtm/{name.lower()}" for name in sorted(study.datasets))]
    found = findings_module.ordered(pa.concat_tables(building.read(f"{part}.findings") for part in parts))
    building.write("findings", findings_module.explained(found, explanations(study)))
    building.write("accounts", pa.concat_tables(building.read(f"{part}.accounts") for part in parts))
    building.write("specification", snapshot.specification_table(study))
    severities = found["severity"].to_pylist()
    received = {(entry.source, entry.sha256): entry for entry in _covered(where, opening)}
    manifest = {
        **identity,
        "snapshot_id": opening["snapshot_id"],
        "studyid": study.file.studyid,
        "files": [
            {
                **one,
                "rows": received[(one["source"], one["sha256"])].rows,
                "bytes": received[(one["source"], one["sha256"])].size,
            }
            for one in identity["files"]
        ],
        "datasets": {name.upper(): building.read(f"sdtm/{name}").num_rows for name in building.names("sdtm")},
        "findings": {severity.value: severities.count(severity.value) for severity in Severity},
    }
    write_json(building.folder / MANIFEST, manifest)
    where.snapshots.adopt(building.folder, opening["snapshot_id"])


def explanations(study: Study) -> dict[str, Explanation]:  # noqa: ARG001
    """The explanation of every rule: those of the engine and those of the rule book."""
    written = read_yaml(ROOT / "expectations" / "engine.yml")
    return {rule: Explanation.model_validate(content) for rule, content in written.items()}


def publish(study: Study, where: Home, opening: Opening) -> None:
    """Make a snapshot the current one."""
    where.publications.append(
        Publication(
            len(where.publications.entries()),
            opening.snapshot_id,
            opening.cut_off,
            opening.as_of,
            opening.placement,
            opening.deliveries,
            opening.decisions,
            opening.decisions_hash,
        )
    )
    where.snapshots.publish(opening.snapshot_id)
