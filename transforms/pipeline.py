"""The order of the stages, from landing to the published snapshot. The only place that knows it.

Each stage reads what the stages before it wrote into the building folder and writes its own part, so that it runs
the same in one process (`run`) and as a task of its own (`transforms.steps`, called by the DAGs).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from transforms import findings as findings_module
from transforms import operations, snapshot
from transforms.adam import output
from transforms.adam.engine import derive_each
from transforms.core import dates
from transforms.core.memory import give_back
from transforms.core.processes import Work, available, in_order, kept_processes
from transforms.deliveries import standing, to_stage
from transforms.differences import Difference, Side, source_comparison
from transforms.errors import CairnError, LockedError, NothingPublishedError, StaleSnapshotError, UsageError
from transforms.findings import Explanation, Finding, RawPlace, Severity
from transforms.gate import assess as gate_assessment
from transforms.home import default_home
from transforms.ingest import Ingested, ingest, ordered
from transforms.reporting.delivery import delivery_report, page_name
from transforms.results import records as result_records
from transforms.results.selection import empty_frame
from transforms.sdtm.engine import map_study
from transforms.sdtm.records import StagedSource
from transforms.sources.extract import Extract
from transforms.staging.stage import AccountLine, Staged, quarantine
from transforms.study import Study, graph
from transforms.study.analyses import SUPPLEMENTAL
from transforms.study.yaml import read_yaml
from transforms.validation import conformance, core_engine
from transforms.validation.check import SUBJECT, Breach, Examined, dealt, examine, ready, together
from transforms.validation.outcome import Outcome
from transforms.validation.rule import Rule
from transforms.validation.rules import explanations as rule_book_explanations
from transforms.validation.rules import rule_book
from transforms.warehouse import lineage, parquet, way
from transforms.warehouse.building import Building
from transforms.warehouse.decisions import Decision, DecisionLog, DecisionLogError, digest, digests, locked, released
from transforms.warehouse.publications import Publication, PublicationLog, anchor, anchored, named_snapshot
from transforms.warehouse.raw_store import RawStore, Received
from transforms.warehouse.snapshots import (
    HASHES,
    MANIFEST,
    Snapshots,
    content_hash,
    hashes_below,
    identify,
    write_json,
)

if TYPE_CHECKING:
    from transforms.results.engine import NotShown
    from transforms.warehouse.postgres import Database, Kind, Table

Checked = Literal["staged", "sdtm", "adam"]
FrameT = TypeVar("FrameT")
ROOT = Path(__file__).resolve().parents[1]
KINDS: tuple[Kind, ...] = ("sdtm", "adam", "results")
SUPPLEMENTAL_KEYS = ("USUBJID", "IDVAR", "IDVARVAL", "QNAM")
RESULT_KEYS = {conformance.TABLE.upper(): conformance.KEYS} | {
    name.upper(): keys for name, keys in (*gate_assessment.KEYS.items(), *result_records.KEYS.items())
}
STAGED_NAMES = {snapshot.SUBJECT: SUBJECT, **dict.fromkeys((snapshot.FILE, snapshot.SHA256, snapshot.LINE), "")}
"""What rules call the columns that staging adds to those of a source."""
PROCESS_ROWS = 500_000
"""Rows from which one more process is worth its start."""
ROW_BYTES = 128
"""About how long a row of an extract is."""
WHOLE = "parts/whole"
"""Sources of which rows are held, as they were before."""
CODE = ("transforms", "sql", "expectations", "requirements.lock")
TERMINOLOGY = ("cdisc_mappings/standards",)
CODE_SUFFIXES = (".py", ".sql", ".yml", ".csv", ".lock", ".j2")


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
    def reports(self) -> Path:
        """The delivery reports."""
        return self.folder / "reports" / self.study

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
    """What a run did. `published` is False when the same snapshot was current already; then there is no page."""

    study: str
    snapshot_id: str
    path: Path
    published: bool
    cut_off: str
    rows: Mapping[str, int]
    findings: Mapping[str, int]
    refused: tuple[Received, ...]
    accepted: tuple[Received, ...]
    page: Path | None


def run(
    study: Study,
    *,
    landing: Path | None = None,
    as_of: str | None = None,
    home: Path | None = None,
    database: Database | None = None,
    run_id: str = "",
) -> Report:
    """Take what lies in landing, build the snapshot of all accepted extracts and decisions, and publish it.

    Without a database only files are published. Raises NothingPublishedError when every new delivery was refused,
    UsageError without a cut-off, RunInProgressError when the study is being run already, LockedError when the
    current snapshot is locked.
    """
    where = Home((home or default_home()).resolve(), study.name)
    source_folder = where.landing if landing is None else landing
    if not source_folder.is_dir():
        raise UsageError(f"{source_folder} is no folder. Drop the extracts there, or name a folder with --landing")
    coming = available(_most_processes(_coming(where, source_folder)))
    with where.snapshots.lock(run_id), kept_processes(coming, ready):
        ingested = ingest(study, source_folder, where.raw, processes=coming)
        received = [entry for entry in where.raw.received() if entry.accepted]
        opening = open_snapshot(study, where, as_of) if received else None
        snapshot_id = opening.snapshot_id if opening is not None else ""
        refused = ingested.newly_refused and not ingested.accepted and snapshot_id == where.snapshots.current_id()
        if opening is None or refused:
            if ingested.refused:
                write_report(study, where, run_id or "refused")
            raise _nothing(study, where, ingested, source_folder)
        if not where.snapshots.whole(snapshot_id):
            building = where.building("run")
            building.begin(asdict(opening))
            build(study, where, building, ingested.extracts)
        stands = where.snapshots.current_id() == snapshot_id
        page = None
        if not stands or (database is not None and database.current(study.name) != snapshot_id):
            page = publish(study, where, opening, database=database, run_id=run_id)
        where.building("run").published()
        manifest = where.snapshots.manifest(snapshot_id)
        return Report(
            study.name,
            snapshot_id,
            where.snapshots.path(snapshot_id),
            not stands,
            opening.cut_off,
            manifest["datasets"],
            manifest["findings"],
            tuple(ingested.refused),
            tuple(ingested.accepted),
            page,
        )


def _coming(where: Home, landing: Path) -> int:
    """About how many rows the files of landing hold that were not received yet."""
    known = {(entry.file, entry.size) for entry in where.raw.received()}
    files = [(path.name, path.stat().st_size) for path in landing.iterdir() if path.is_file()]
    return sum(size for name, size in files if (name, size) not in known) // ROW_BYTES


def _nothing(study: Study, where: Home, ingested: Ingested, landing: Path) -> CairnError:
    """Why a run published nothing, and what stands."""
    if ingested.refused:
        lines = "\n".join(f"  - {one.file}: {one.rule}: {one.problem}. {one.remedy}" for one in ingested.causes)
        if others := len(ingested.refused) - len(ingested.causes):
            lines += f"\n  and {others} file(s) that came with them"
        current = where.snapshots.current_id()
        stands = f"the publication {current} stands" if current else "nothing was published before"
        return NothingPublishedError(
            f"{study.name}: nothing was published, every new delivery was refused; {stands}:\n{lines}"
        )
    patterns = ", ".join(sorted({one.files for source in study.sources.values() for one in source.carriers}))
    return UsageError(f"{landing} holds no extract of {study.name}. Its contracts ask for: {patterns}")


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
    _refuse_lock(study, where, decisions, snapshot_id)
    return Opening(snapshot_id, identity, cut_off, as_of, study.placement, len(log), len(decisions), anchor(decisions))


def _refuse_lock(study: Study, where: Home, decisions: Sequence[Decision], snapshot_id: str) -> None:
    current = where.snapshots.current_id()
    lock = locked(decisions).get(current or "")
    if lock is not None and snapshot_id != current:
        raise LockedError(
            f"{study.name}: snapshot {current} is locked by {lock.by} ({lock.reason}), so no other is published. "
            f"To go on: ./cairn unlock {study.name} {current} --by NAME --reason WHY"
        )


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
    core = core_engine.fingerprint()
    return {
        **({"core": core} if core else {}),
        "study": study.name,
        "files": files,
        "decisions": digest(decisions),
        "specification": study.specification_hash,
        "placement": study.placement,
        "standards": study.file.standards.model_dump(),
        "cut_off": cut_off,
        "code": content_hash(ROOT, CODE, CODE_SUFFIXES),
        "terminology": content_hash(ROOT, TERMINOLOGY, CODE_SUFFIXES),
    }


def build(
    study: Study, where: Home, building: Building, extracts: dict[tuple[str, str], Extract] | None = None
) -> None:
    """All stages of one snapshot, one after the other; `extracts` are those read already, and are given up."""
    delivered = _delivered(study, _covered(where, building.opening()))
    with kept_processes(available(_most_processes(delivered)), ready):
        to_sdtm(study, where, building, extracts)
        stages: list[Callable[[], Any]] = [
            lambda: assess_gate(study, where, building),
            lambda: derive_datasets(study, building),
            lambda: finish_adam(study, building),
            lambda: analyse(study, building),
            lambda: close(study, where, building),
        ]
        for one in stages:
            give_back()
            one()


def _delivered(study: Study, received: Sequence[Received]) -> int:
    """How many rows the files hold that stand."""
    stand = (standing(source, ordered(received, name))[1] for name, source in study.sources.items())
    return sum(entry.rows for own in stand for entry in own)


def to_sdtm(
    study: Study, where: Home, building: Building, extracts: dict[tuple[str, str], Extract] | None = None
) -> None:
    """Stage every source, map every dataset and check both: what `stage_sources`, `map_datasets` and `finish_sdtm` do.

    Where there are several processes, each of their parts begins as soon as what it reads is written.
    """
    staging = _stage(study, where, building, extracts or {})
    if extracts is not None:
        extracts.clear()
    give_back()
    processes = _processes(study, building)
    groups = _groups(study, _largest(study, building)) if processes > 1 else [tuple(study.datasets)]
    mapping: dict[Hashable, Work] = {
        ("map", number): Work(partial(map_datasets, study, building, only)) for number, only in enumerate(groups)
    }
    examining = _works(_examining(study, building, "staged", processes, _holds_nothing), "staged")
    done = in_order({**mapping, **examining, **_finishing(study, building, processes, needs=mapping)}, processes)
    _finish_staging(study, building, staging, done)
    _finish_sdtm(study, building, done)


def stage_sources(study: Study, where: Home, building: Building) -> None:
    """Stage every source, check its rows, hold what cannot be interpreted, and write what is accepted."""
    staging = _stage(study, where, building, {})
    processes = _processes(study, building)
    done = in_order(_works(_examining(study, building, "staged", processes, _holds_nothing), "staged"), processes)
    _finish_staging(study, building, staging, done)


@dataclass(frozen=True)
class _Staging:
    """Sources that are staged and written, without the rows that rules hold.

    `staged` knows the places of all rows, `examined` are the rules that hold rows, and `held` is what is to be said of
    each.
    """

    staged: Mapping[str, Staged]
    account: Sequence[AccountLine]
    found: Sequence[Finding]
    examined: Sequence[Examined]
    held: Mapping[tuple[str, int], Sequence[Finding]]


def _stage(study: Study, where: Home, building: Building, extracts: Mapping[tuple[str, str], Extract]) -> _Staging:
    """Stage every source, hold what cannot be interpreted, and write what is accepted.

    A source of which rows are held is kept as it was for the rules that hold none.
    """
    opening = building.opening()
    freed = released(where.decisions.entries()[: opening["decisions"]])
    received = _covered(where, opening)
    processes = available(_most_processes(_delivered(study, received)))
    write = partial(_write_staged, study, building)
    plan = to_stage(study, where.raw, opening["cut_off"], received, extracts, freed, write)
    holding = _holding(study, building, plan.largest, processes)
    done = in_order({**plan.works, **holding}, processes)
    staged = {name: done[name] for name in study.sources}
    found = [*plan.found, *(one for source in staged.values() for one in source.findings)]
    account = list(plan.account)
    del plan  # with what was read
    examined = together(_of("holding", done), rule_book(study).staged)
    kept, held = hold_breaching(staged, freed, examined)
    for name, source in kept.items():
        if len(source.lines) < len(staged[name].lines):
            building.copy(f"staged/{name}", f"{WHOLE}/{name}")
            _write_staged(study, building, source)
        if any(file.extract.audit for file in source.files):
            building.write(f"staged/{name}{snapshot.AUDIT_SUFFIX}", snapshot.audit_table(source))
    building.write("versions", snapshot.versions_table(kept.values()))
    account.extend(line for one in kept.values() for line in one.account)
    light = {name: replace(one, frame=pd.DataFrame()) for name, one in staged.items()}
    return _Staging(light, account, found, examined, held)


def _holding(study: Study, building: Building, largest: str, processes: int) -> dict[Hashable, Work]:
    """What examines the rules that hold rows, as soon as the sources which they look at are staged."""
    book = rule_book(study).staged
    works: dict[Hashable, Work] = {}
    for number, only in enumerate(_shares(book, lambda rule: rule.action == "hold", largest, processes)):
        rules = [book[name][position] for name, own in only.items() for position in own]
        others = {other for rule in rules for column in rule.columns.values() for other in column.others()}
        call = partial(_examine, study, building, "staged", only)
        works["holding", number] = Work(call, {*only, *others})
    return works


def _write_staged(study: Study, building: Building, source: Staged) -> None:
    building.write(f"staged/{source.source}", snapshot.staged_table(study, source))


def _finish_staging(study: Study, building: Building, staging: _Staging, done: Mapping[Hashable, Any]) -> None:
    """Write what was found in the sources, and what became of their rows."""
    found = list(staging.found)
    for one in together([staging.examined, *_of("staged", done)], rule_book(study).staged):
        if one.place in staging.held:
            found.extend(staging.held[one.place])
        else:
            found.extend(
                _finding(breach, staging.staged[breach.dataset].places(breach.rows)) for breach in one.breaches
            )
    building.write("parts/staged.findings", findings_module.to_arrow(found))
    building.write("parts/staged.accounts", snapshot.staging_accounts(staging.account))


def _works(calls: Iterable[Callable[[], Any]], name: str, needs: Collection[Hashable] = ()) -> dict[Hashable, Work]:
    return {(name, number): Work(call, needs) for number, call in enumerate(calls)}


def _of(name: str, done: Mapping[Hashable, Any]) -> list[Any]:
    """What the works of a name returned."""
    return [one for key, one in done.items() if isinstance(key, tuple) and key[0] == name]


def _covered(where: Home, opening: Mapping[str, Any]) -> list[Received]:
    """The accepted files that a snapshot covers: those received when it was opened."""
    return [entry for entry in where.raw.received()[: opening["deliveries"]] if entry.accepted]


def hold_breaching(
    staged: Mapping[str, Staged],
    freed: Mapping[str, Mapping[str, Mapping[str, frozenset[int]]]],
    examined: Iterable[Examined],
) -> tuple[dict[str, Staged], dict[tuple[str, int], list[Finding]]]:
    """Hold the rows on which rules that hold do not hold.

    Returns the sources without these rows, and what is to be said of each rule, by its place.
    """
    result = dict(staged)
    standing = {name: np.arange(len(one.lines)) for name, one in staged.items()}
    told: dict[tuple[str, int], list[Finding]] = {}
    for one in examined:
        said = told.setdefault(one.place, [])
        for breach in one.breaches:
            finding = _finding(breach, staged[breach.dataset].places(breach.rows))
            rows = np.flatnonzero(np.isin(standing[breach.dataset], breach.rows))
            before = len(result[breach.dataset].findings)
            held, keep, kept_out = quarantine(result[breach.dataset], rows, finding, released=freed.get(breach.dataset))
            said.extend(held.findings[before:])
            standing[breach.dataset] = standing[breach.dataset][keep]
            result[breach.dataset] = held
            if kept_out is not None:
                said.append(kept_out)
    return result, told


def _finding(breach: Breach, places: tuple[RawPlace, ...]) -> Finding:
    rule = breach.rule
    message = f"{rule.message}: {breach.told}" if breach.told else rule.message
    return Finding(rule.id, rule.severity, breach.dataset, breach.variable, message, rule.remedy, places, breach.cause)


class _StagedSources(Mapping[str, StagedSource]):
    """The staged sources of a building, each read when it is first asked for."""

    def __init__(self, study: Study, building: Building) -> None:
        self.study = study
        self.building = building
        self.read: dict[str, StagedSource] = {}

    def __getitem__(self, name: str) -> StagedSource:
        if name not in self.read:
            self.read[name] = snapshot.staged_source(self.building.encoded(f"staged/{name}"))
        return self.read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.study.sources)

    def __len__(self) -> int:
        return len(self.study.sources)


def _most_processes(rows: int) -> int:
    """In how many processes so many rows are worth being worked on."""
    return 1 + rows // PROCESS_ROWS


def _processes(study: Study, building: Building) -> int:
    """In how many processes the work of a stage is done; the count is not in the bytes of a snapshot."""
    return available(_most_processes(sum(building.rows(f"staged/{name}") for name in study.sources)))


def _largest(study: Study, building: Building) -> str:
    """The dataset that is made of the most rows."""
    rows = {name: building.rows(f"staged/{name}") for name in study.sources}
    read = {name: {one.source for one in dataset.records} for name, dataset in study.datasets.items()}
    return max(read, key=lambda name: sum(rows.get(source or "", 0) for source in read[name]))


def _groups(study: Study, largest: str) -> list[tuple[str, ...]]:
    """The SDTM datasets in two groups: those that cannot be mapped without the largest one, and the others."""
    needs = graph.dependencies(study)
    read = {
        name: {dataset for dataset, _ in graph.order(needs, [node for node in needs if node[0] == name])}
        for name in study.datasets
    }
    own = tuple(name for name in study.datasets if largest in read[name])
    return [own, tuple(name for name in study.datasets if name not in own)]


def map_datasets(study: Study, building: Building, only: Iterable[str] | None = None) -> dict[str, int]:
    """Map all SDTM datasets, or `only` some, and write each with its links, findings and accounts.

    Returns the number of records of each dataset written.
    """
    only = None if only is None else tuple(only)
    wanted = tuple(study.datasets) if only is None else only
    mapped = map_study(study, _StagedSources(study, building), only, cut_off=building.opening()["cut_off"])
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
    """Join the links of all SDTM datasets and check the datasets; needs every dataset to be mapped."""
    for name in study.datasets:
        building.path(f"parts/sdtm/{name.lower()}.findings")
    processes = _processes(study, building)
    _finish_sdtm(study, building, in_order(_finishing(study, building, processes), processes))


def _finishing(
    study: Study, building: Building, processes: int, needs: Collection[Hashable] = ()
) -> dict[Hashable, Work]:
    """What looks at the SDTM datasets, and what joins their links; none needs what another finds."""
    return {
        ("engines", 0): Work(partial(_engines, study, building), needs),
        ("lineage", 0): Work(partial(_join_lineage, building), needs),
        **_works(_examining(study, building, "sdtm", processes), "sdtm", needs),
    }


def _finish_sdtm(study: Study, building: Building, done: Mapping[Hashable, Any]) -> None:
    shares = together(_of("sdtm", done), rule_book(study).sdtm)
    found = _conforming(study, building, shares, done["engines", 0])
    # Written last: who finds it takes the stage for done.
    building.write("parts/sdtm.findings", findings_module.to_arrow(found))


def _join_lineage(building: Building) -> None:
    """Join the links of all SDTM datasets, with the numbers of the records."""
    names = building.names("sdtm")
    ids = {
        name.upper(): building.read(f"parts/sdtm/{name}.ids")["record_id"].to_numpy().astype(np.int64) for name in names
    }

    def links() -> Iterator[pa.Table]:
        for name in names:
            yield from building.parts(f"parts/sdtm/{name}.records")
            values = building.parts(f"parts/sdtm/{name}.values")
            yield from parquet.grouped(lineage.numbered(part, ids) for part in values)

    linked = lineage.with_versions(links(), building.read("versions"))
    building.write_parts("parts/sdtm.lineage", linked, lineage.SCHEMA)


def _examining(
    study: Study, building: Building, kind: Checked, processes: int, chosen: Callable[[Rule], bool] = lambda _: True
) -> list[Callable[[], list[Examined]]]:
    """What examines the datasets or sources of a kind by the rules chosen, some of them in each call."""
    if kind == "sdtm":
        largest = _largest(study, building)
    else:
        names = study.sources if kind == "staged" else study.analyses
        largest = max(names, key=lambda name: building.rows(f"{kind}/{name.lower()}"), default="")
    shares = _shares(getattr(rule_book(study), kind), chosen, largest, processes)
    return [partial(_examine, study, building, kind, only) for only in shares]


def _shares(
    rules: Mapping[str, Sequence[Rule]], chosen: Callable[[Rule], bool], largest: str, processes: int
) -> list[dict[str, Sequence[int]]]:
    """The positions of the rules chosen of each frame, dealt out to so many processes."""
    numbers = {name: [number for number, rule in enumerate(own) if chosen(rule)] for name, own in rules.items()}
    return dealt({name: own for name, own in numbers.items() if own}, largest, processes)


def _holds_nothing(rule: Rule) -> bool:
    return rule.action != "hold"


def _examine(study: Study, building: Building, kind: Checked, only: Mapping[str, Collection[int]]) -> list[Examined]:
    book, cut_off = rule_book(study), building.opening()["cut_off"]
    if kind == "staged":
        whole = building.names(WHOLE)
        sources = {name: f"{WHOLE if name in whole else 'staged'}/{name}" for name in study.sources}
        staged = _OneByOne(sources, partial(building.columns, names=STAGED_NAMES))
        return examine(staged, book.staged, cut_off, only)
    frames = _OneByOne(_datasets(building, kind), building.columns)
    if kind == "adam":
        return examine(frames, book.adam, only=only)
    return examine(frames, book.sdtm, cut_off, only)


def _engines(study: Study, building: Building) -> list[Outcome]:
    """What the engines other than our own say of the SDTM datasets, each dataset read when it is looked at."""
    opening = building.opening()
    core = opening["identity"].get("core", core_engine.ABSENT)
    datasets = _OneByOne(_datasets(building, "sdtm"), building.encoded)
    return list(conformance.run_engines(study, datasets, cut_off=opening["cut_off"], core=core))


def _datasets(building: Building, kind: Kind) -> dict[str, str]:
    """The datasets of a kind that a building holds, and what they are called in it."""
    return {name.upper(): f"{kind}/{name}" for name in building.names(kind)}


class _OneByOne(Mapping[str, FrameT]):
    """Tables of a building by name, each read anew when it is asked for, so that none is held but by who asks."""

    def __init__(self, names: Mapping[str, str], read: Callable[[str], FrameT]) -> None:
        self.names = names
        self.read = read

    def __getitem__(self, name: str) -> FrameT:
        return self.read(self.names[name])

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


def _conforming(
    study: Study, building: Building, examined: Sequence[Examined], said: Iterable[Outcome]
) -> list[Finding]:
    """Write the table of conformance of the SDTM datasets, and return what a person must know or answer."""
    opening, book = building.opening(), rule_book(study)
    links = lineage.Links(building.path("parts/sdtm.lineage"))
    outcomes = [*conformance.own_outcomes(book.sdtm, examined, opening["identity"]["code"][:12]), *said]
    judged = conformance.judge(
        study, _OneByOne(_datasets(building, "sdtm"), building.columns), outcomes, book.explained
    )
    building.write(f"results/{conformance.TABLE}", conformance.table_of(judged))
    stands = {(one.outcome.domain, one.outcome.rule, one.outcome.variable) for one in judged if one.by}

    return [
        *(
            _finding(one, links.places(one.dataset, one.rows + 1))
            for rule in examined
            for one in rule.breaches
            if (one.dataset, one.rule.id, one.variable) not in stands
        ),
        *conformance.findings(judged, book.explained, links.places),
    ]


def assess_gate(study: Study, where: Home, building: Building) -> None:
    """Assess the gate between dose cohorts, where the study has one, from SDTM, the form of decisions and the log."""
    gate = study.gate
    if gate is None:
        return
    opening = building.opening()
    names = [name for name in ("DM", "EX", "AE", "SUPPAE") if name.lower() in building.names("sdtm")]
    frames = {name: building.frame(f"sdtm/{name.lower()}") for name in names}
    staged = (
        None if gate.decisions is None else snapshot.staged_source(building.encoded(f"staged/{gate.decisions.source}"))
    )
    log = [
        (one.number, one.by, one.target)
        for one in where.decisions.entries()[: opening["decisions"]]
        if one.act == "decide"
    ]
    assessed = gate_assessment.assess(
        study,
        frames,
        None if staged is None else (staged.frame, staged.subjects),
        log,
        date.fromisoformat(opening["cut_off"]),
    )
    for name, table in assessed.tables.items():
        building.write(f"results/{name}", table)
    building.write("parts/gate.lineage", snapshot.gate_lineage(assessed))
    links = lineage.Links(building.path("parts/sdtm.lineage"))
    found = []
    for one in assessed.breaches:
        rows = np.array(one.rows, dtype=np.int64)
        if one.dataset in study.datasets:
            places = links.places(one.dataset, rows + 1)
        else:
            places = _staged_places(staged, rows) if staged is not None else ()
        found.append(
            Finding(one.rule, one.severity, one.dataset, one.variable, one.message, one.remedy, places, one.cause)
        )
    building.write("parts/gate.findings", findings_module.to_arrow(found))


def _staged_places(source: StagedSource, rows: np.ndarray) -> tuple[RawPlace, ...]:
    """The raw lines of some rows of a staged source."""
    codes = source.file_codes[rows]
    return tuple(
        RawPlace(
            source.files[code],
            tuple(sorted(int(line) for line in source.lines[rows[codes == code]])),
            source.hashes[code],
        )
        for code in np.unique(codes)
    )


def derive_datasets(study: Study, building: Building, only: Iterable[str] | None = None) -> dict[str, int]:
    """Derive all analysis datasets, or `only` some, and write each with its links and findings.

    Returns the number of records of each dataset written.
    """
    wanted = tuple(study.analyses if only is None else only)
    if not wanted:
        return {}
    there = {name.upper() for name in building.names("sdtm")}

    def read(name: str, columns: Collection[str]) -> pd.DataFrame | None:
        return building.frame(f"sdtm/{name.lower()}", columns) if name in there else None

    for dataset, found, account in derive_each(study, read, cut_off=building.opening()["cut_off"], only=only):
        name = dataset.name.lower()
        building.write_parts(f"adam/{name}", output.to_arrow(dataset, parquet.ROW_GROUP), output.schema(dataset))
        links = parquet.grouped(snapshot.analysis_lineage(dataset))
        building.write_parts(f"parts/adam/{name}.lineage", links, lineage.SCHEMA)
        building.write(f"parts/adam/{name}.findings", findings_module.to_arrow(found))
        building.write(f"parts/adam/{name}.accounts", snapshot.derivation_accounts(account))
        del dataset
    return {name: building.rows(f"adam/{name.lower()}") for name in wanted}


def finish_adam(study: Study, building: Building) -> None:
    """Join the links of all datasets and check the analysis datasets; needs every dataset to be derived."""
    processes = _processes(study, building)
    works: dict[Hashable, Work] = {("lineage", 0): Work(partial(_join_all_lineage, study, building))}
    done = in_order({**works, **_works(_examining(study, building, "adam", processes), "adam")}, processes)
    links = lineage.Links(building.path("lineage"))
    found = [
        _finding(breach, links.places(breach.dataset, breach.rows + 1))
        for one in together(_of("adam", done), rule_book(study).adam)
        for breach in one.breaches
    ]
    building.write("parts/adam.findings", findings_module.to_arrow(found))


def _join_all_lineage(study: Study, building: Building) -> None:
    """Join the links of the SDTM and the analysis datasets."""
    names = sorted(name.lower() for name in study.analyses)
    gate = ["parts/gate.lineage"] if study.gate is not None else []
    parts = ("parts/sdtm.lineage", *gate, *(f"parts/adam/{name}.lineage" for name in names))
    building.write_parts("lineage", (one for part in parts for one in building.parts(part)), lineage.SCHEMA)


def analyse(study: Study, building: Building) -> int:
    """Make every analysis of the study's outputs, where it has any; needs the analysis datasets to be finished.

    Returns the number of results.
    """
    if study.results is None:
        return 0
    # Its statistics take half a second to import, which only this stage needs.
    from transforms.results.engine import analyse as analyse_results

    frames, keys = {}, {}
    for name in sorted(study.results.datasets()):
        kind = "adam" if name in study.analyses else "sdtm"
        there = name.lower() in building.names(kind)
        # There are no supplemental qualifiers where no record has one.
        frames[name] = building.frame(f"{kind}/{name.lower()}") if there else empty_frame(SUPPLEMENTAL)
        keys[name] = keys_of(study, name) or SUPPLEMENTAL_KEYS
    made = analyse_results(study.results, frames, keys)
    building.write(f"results/{result_records.TABLE}", made.results)
    building.write(f"results/{result_records.OUTPUTS}", made.outputs)
    links = lineage.Links(building.path("lineage"))
    causes: dict[tuple[str, str, str | None, bool], list[NotShown]] = {}
    for one in made.not_shown:
        causes.setdefault((one.dataset, one.variable, one.value, one.grouped), []).append(one)
    found = [_not_shown(several, links) for several in causes.values()]
    building.write("parts/results.findings", findings_module.to_arrow(found))
    return int(made.results.num_rows)


def _not_shown(several: Sequence[NotShown], links: lineage.Links) -> Finding:
    """What outputs leave out for one cause: nothing says where the records of a dataset go."""
    one, outputs = several[0], sorted({f"{one.output} ({one.analysis})" for one in several})
    records = np.unique(np.concatenate([one.records for one in several]))
    if not one.grouped:
        said, remedy = "their subjects are in none of the groups", "Say under `groups` where the subjects belong"
    elif one.value is None:
        said, remedy = f"{one.variable} is missing", "Say under `missing` how they are shown"
    else:
        said, remedy = f"{one.variable} is not among the values listed", "List the value"
    return Finding(
        "result_not_shown",
        Severity.ANSWER,
        one.dataset,
        one.variable,
        f"{', '.join(outputs)}: {len(records)} records of {one.dataset} are not shown; {said}",
        f"{remedy}, or restrict the data of the analysis; see docs/results.md",
        links.places(one.dataset, records + 1),
        f"{one.variable}\x1f{one.value}\x1f{one.grouped}",
    )


def close(study: Study, where: Home, building: Building) -> None:
    """Join findings and accounts, write the manifest and make the building the snapshot."""
    opening = building.opening()
    identity = opening["identity"]
    if where.snapshots.whole(opening["snapshot_id"]):
        building.discard()
        return
    mapped = [f"parts/sdtm/{name.lower()}" for name in sorted(study.datasets)]
    derived = [f"parts/adam/{name.lower()}" for name in sorted(study.analyses)]
    gate = ["parts/gate"] if study.gate is not None else []
    results = ["parts/results"] if study.results is not None else []
    parts = ["parts/staged", *mapped, "parts/sdtm", *gate, *derived, "parts/adam", *results]
    known = explanations(study)
    found = findings_module.joined((building.read(f"{part}.findings") for part in parts), known)
    building.write("findings", findings_module.explained(found, known))
    accounts = [building.read(f"{part}.accounts") for part in ("parts/staged", *mapped, *derived)]
    building.write("accounts", pa.concat_tables(accounts))
    building.write("specification", snapshot.specification_table(study))
    severities = found["severity"].to_pylist()
    covered = _covered(where, opening)
    received = {(entry.source, entry.sha256): entry for entry in covered}
    stands = {
        (name, entry.sha256)
        for name, source in study.sources.items()
        for entry in standing(source, ordered(covered, name))[1]
    }
    decisions = where.decisions.entries()[: opening["decisions"]]
    manifest = {
        **identity,
        **snapshot.described(study),
        "decided": list(digests(decisions)),
        "snapshot_id": opening["snapshot_id"],
        "studyid": study.file.studyid,
        "files": [
            {
                **one,
                "rows": received[(one["source"], one["sha256"])].rows,
                "bytes": received[(one["source"], one["sha256"])].size,
                "stands": (one["source"], one["sha256"]) in stands,
            }
            for one in identity["files"]
        ],
        "datasets": {name.upper(): building.rows(f"{kind}/{name}") for kind in KINDS for name in building.names(kind)},
        "findings": {severity.value: severities.count(severity.value) for severity in Severity},
        HASHES: hashes_below(building.folder),
    }
    write_json(building.folder / MANIFEST, manifest)
    where.snapshots.adopt(building.folder, opening["snapshot_id"])


def explanations(study: Study) -> dict[str, Explanation]:
    """The explanation of every rule: those of the engine and those of the rule book."""
    written = read_yaml(ROOT / "expectations" / "engine.yml")
    engine = {rule: Explanation.model_validate(content) for rule, content in written.items()}
    book = {
        name: Explanation(
            why=rule.why,
            cause=rule.cause,
            who=rule.who,
            releasable=rule.releasable,
            tells=rule.tells,
            gathers=rule.gathers,
        )
        for name, rule in rule_book_explanations(rule_book(study)).items()
    }
    return {**engine, **book}


def tables_of(study: Study, folder: Path) -> Iterator[Table]:
    """The datasets of a snapshot as the database takes them."""
    for kind, name in table_names(folder):
        yield table_of(study, folder, kind, name)


def table_names(folder: Path) -> list[tuple[Kind, str]]:
    """What of a snapshot goes to the database: its datasets, and the way back of their values."""
    datasets: list[tuple[Kind, str]] = [
        (kind, path.stem) for kind in KINDS for path in sorted((folder / kind).glob("*.parquet"))
    ]
    return [*datasets, *(("results", name) for name in way.TABLES)]


def table_of(study: Study, folder: Path, kind: Kind, name: str) -> Table:
    """One dataset of a snapshot as the database takes it; `name` in lower case."""
    from transforms.warehouse.postgres import Table

    if kind == "results" and name in way.TABLES:
        label, table = way.table_of(name, parquet.read_encoded(folder / f"{name}.parquet"))
        return Table(kind, name.upper(), label, table)
    table = pq.read_table(folder / kind / f"{name}.parquet")
    label = (table.schema.metadata or {}).get(b"label", b"").decode()
    return Table(kind, name.upper(), label, table, keys_of(study, name.upper()))


def keys_of(study: Study, dataset: str) -> tuple[str, ...]:
    """The natural key of a dataset; none for SUPP--, whose records are named by those they belong to."""
    if dataset in study.datasets:
        return study.datasets[dataset].keys
    return study.analyses[dataset].keys if dataset in study.analyses else RESULT_KEYS.get(dataset, ())


def publish(study: Study, where: Home, opening: Opening, *, database: Database | None = None, run_id: str = "") -> Path:
    """Make a snapshot the current one, in the database and in the files; returns the delivery report.

    The log of publications is written before either pointer is moved: a run killed in between is finished by the
    next one, which does again what this one did. Raises StaleSnapshotError when a publication that covers more
    stands already; the earlier publication stands until everything of the new one is loaded.
    """
    snapshot_id = opening.snapshot_id
    publications = where.publications.entries()
    last = publications[-1] if publications else None
    if last is not None and (last.deliveries > opening.deliveries or last.decisions > opening.decisions):
        raise StaleSnapshotError(
            f"{study.name}: snapshot {snapshot_id} was begun before what is published now was received. "
            "Nothing is to be done: the newer publication stands"
        )
    _refuse_lock(study, where, where.decisions.entries(), snapshot_id)
    if database is not None:
        database.load(study.name, snapshot_id, tables_of(study, where.snapshots.path(snapshot_id)))
    if last is None or last.snapshot_id != snapshot_id:
        last = Publication(
            len(publications),
            snapshot_id,
            opening.cut_off,
            opening.as_of,
            opening.placement,
            opening.deliveries,
            opening.decisions,
            opening.decisions_hash,
        )
        where.publications.append(last)
    if database is not None:
        database.publish(study.name, last.number, snapshot_id, ops_of(where, [snapshot_id]))
    where.snapshots.publish(snapshot_id)
    return write_report(study, where, run_id or snapshot_id)


def ops_of(where: Home, only: Iterable[str] | None = None) -> dict[str, pa.Table]:
    """The tables of `ops` as of the last publication; what is said of snapshots is limited to `only` some."""
    return operations.ops_tables(
        where.study,
        where.raw.received(),
        where.decisions.entries(),
        where.publications.entries(),
        where.snapshots.summary,
        only,
    )


def write_report(study: Study, where: Home, run_id: str, waiting: Sequence[str] = ()) -> Path:
    """Write the delivery report of the last publication, or of what was refused since, and return its path."""
    facts = operations.delivery_facts(
        study.name,
        study.file.title,
        run_id,
        where.raw.received(),
        where.decisions.entries(),
        where.publications.entries(),
        where.snapshots.summary,
    )
    before, after = (where.snapshots.path(one) if one else None for one in (facts.previous_id, facts.snapshot_id))
    if before is not None and after is not None and before.is_dir() and after.is_dir():
        told = Difference(Side(before), Side(after), where.decisions.entries())
        if all("records" in side.manifest for side in (told.before, told.after)):
            facts = replace(
                facts,
                changes=[one.summary() for one in told.comparisons.values()],
                source_changes=[source_comparison(told.before, told.after, name).summary() for name in told.sources],
            )
    where.reports.mkdir(parents=True, exist_ok=True)
    path = where.reports / page_name(run_id)
    partial = path.with_name(f".{path.name}")
    partial.write_text(delivery_report(replace(facts, waiting=tuple(waiting))), encoding="utf-8")
    partial.replace(path)
    return path


def difference(where: Home, before: str, after: str) -> Difference:
    """Two snapshots compared, each named as people name it. Raises UsageError for an unknown one."""
    publications, listed = where.publications.entries(), where.snapshots.listed()
    one, two = (
        Side(where.snapshots.path(named_snapshot(name, publications, listed, where.study))) for name in (before, after)
    )
    return Difference(one, two, where.decisions.entries())
