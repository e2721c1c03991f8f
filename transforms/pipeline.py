"""The order of the stages, from landing to the published snapshot. The only place that knows it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from transforms.core import dates
from transforms.errors import NothingPublishedError, UsageError
from transforms.findings import Finding, Severity
from transforms.ingest import Ingested, ingest, ordered, read_extract
from transforms.sdtm.engine import StagedSource, map_study
from transforms.snapshot import write_snapshot
from transforms.sources.delimited import Extract
from transforms.staging.stage import AccountLine, RawFile, Staged, identity_map, stage
from transforms.study import Study
from transforms.warehouse.raw_store import RawStore, Received
from transforms.warehouse.snapshots import MANIFEST, Snapshots, content_hash, identify, write_json

ROOT = Path(__file__).resolve().parents[1]
CODE = ("transforms", "sql", "expectations", "requirements.lock", "cdisc_mappings/standards")
CODE_SUFFIXES = (".py", ".sql", ".yml", ".csv", ".lock")


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


def _nothing(study: Study, ingested: Ingested, landing: Path) -> None:
    if ingested.refused:
        lines = "\n".join(f"  - {one.file}: {one.rule}: {one.problem}. {one.remedy}" for one in ingested.refused)
        raise NothingPublishedError(
            f"{study.name}: nothing was published, every new delivery was refused; "
            f"an earlier publication stands:\n{lines}"
        )
    patterns = ", ".join(sorted(source.files for source in study.sources.values()))
    raise UsageError(f"{landing} holds no extract of {study.name}. Its contracts ask for: {patterns}")


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
    ingested: Ingested,
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
