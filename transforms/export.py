"""The submission package of a locked snapshot: what may be packed, and from where its parts come."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, get_args

from transforms import acts, guides, pipeline
from transforms.errors import UsageError
from transforms.pipeline import Home
from transforms.reporting import conformance, conformance_report
from transforms.safety_package import delivery_label
from transforms.study import Study
from transforms.submission import agencies, checklist, package
from transforms.submission.contents import PROGRAMS, Contents
from transforms.submission.dataset_json import Form
from transforms.submission.define.package import defines
from transforms.submission.faults import Fault
from transforms.submission.labels import Labels
from transforms.submission.package import Documents, Order, Package, Source
from transforms.submission.xpt import refuse
from transforms.warehouse.decisions import locked

Kind = Literal["sdtm", "adam"]
LOCK_FILE = "requirements.lock"
EXPORTS = "exports"
REPORT = "conformance"
STANDARDS = {"sdtmig": "SDTMIG", "sdtm": "SDTM", "adamig": "ADaMIG", "ct": "Terminology"}


def export(
    where: Home,
    study_name: str | Path,
    *,
    agency: str = "fda",
    snapshot_id: str | None = None,
    folder: Path | None = None,
    dataset_json: Form | None = None,
    preview: bool = False,
) -> Package:
    """Write the package of a snapshot, the current one where none is named, for an agency.

    It goes to CAIRN_HOME/exports/<study>/<snapshot>-<agency>, or to `folder`, with a zip beside it. Raises UsageError
    while the snapshot is not locked, has a critical finding that is neither answered nor waived by name, or was made of
    another specification than the one at hand; a preview is written all the same and says so. Raises
    ExportRefusedError with every file of the snapshot that was altered, or with every fault of the data and of the
    checklist.
    """
    whose = agencies.agency(agency)
    based_on = snapshot_id or where.snapshots.current_id()
    if based_on is None or not where.snapshots.exists(based_on):
        raise UsageError(f"{where.study} has no snapshot {based_on or ''}. See ./cairn snapshots {where.study}")
    manifest = where.snapshots.manifest(based_on)
    study = Study.load(study_name, placement=manifest["placement"])
    facts = decided(where, manifest)
    not_ready = list(reasons_against(study, manifest, facts))
    if not_ready and not preview:
        raise UsageError(f"snapshot {based_on} cannot be exported: {'; '.join(not_ready)}. Or write a --preview")
    source = where.snapshots.path(based_on)
    refuse(_altered(where, based_on))
    order = Order(
        studyid=manifest["studyid"],
        agency=whose,
        own=agencies.read(study.folder),
        created=datetime.fromisoformat(manifest["cut_off"]),
        sources=list(_sources(source, manifest)),
        labels=Labels.load(study.folder).chinese if whose.chinese else {},
        facts=facts,
        not_ready=not_ready,
        preview=preview,
        dataset_json=dataset_json,
    )
    target = folder or package_folder(where, based_on, agency, preview=preview)
    target.parent.mkdir(parents=True, exist_ok=True)

    return package.write_package(
        target,
        order,
        lambda contents, submitted: documents(where, study, manifest, order, contents, submitted),
        lambda submitted, results: reports(where, study, manifest, order, submitted, results),
    )


def package_folder(where: Home, snapshot_id: str, agency: str, *, preview: bool = False) -> Path:
    """Where the package of a snapshot for an agency lies, with its archive beside it."""
    return where.folder / EXPORTS / where.study / f"{snapshot_id}-{agency}{'-preview' if preview else ''}"


def documents(
    where: Home, study: Study, manifest: Mapping[str, Any], order: Order, contents: Contents, submitted: Path
) -> Documents:
    """What is written of the datasets, by path below the study's folder, and what is wrong with it.

    What they were made by, the guides and the annotated CRF, and the defines, which name them. `submitted` holds the
    datasets as submitted, laid out as a snapshot.
    """
    made_by = programs(study, contents)
    guided = guides.documents(where, study, manifest, order, contents, submitted, made_by)
    written = {**made_by, **guided.files}
    described = defines(study, contents, submitted, written, guided.pages, order.facts["label"])
    return Documents({**written, **described.files}, described.found)


def reports(
    where: Home,
    study: Study,
    manifest: Mapping[str, Any],
    order: Order,
    submitted: Path,
    results: Sequence[checklist.Result],
) -> dict[str, bytes]:
    """The conformance report of the package, as a page and as a workbook.

    Conformance is that of the whole snapshot, also of records that the agency does not get.
    """
    findings = guides.findings(where, manifest["snapshot_id"])
    facts = conformance_report.ConformanceFacts(
        study=study.name,
        studyid=order.studyid,
        title=study.file.title,
        snapshot_id=manifest["snapshot_id"],
        cut_off=order.created,
        agency=order.agency.name,
        standards={
            title: manifest["standards"][name] for name, title in STANDARDS.items() if name in manifest["standards"]
        },
        conformance=conformance.with_reasons(conformance.read(submitted), findings),
        outcomes=conformance.outcomes(submitted),
        findings=findings,
        checklist=[checklist.as_json(one) for one in results],
        label=order.facts["label"],
        locked=order.facts["locked"],
        preview=order.preview,
        not_ready=order.not_ready,
    )
    return {
        f"{REPORT}.html": conformance_report.page(facts).encode(),
        f"{REPORT}.xlsx": conformance_report.book(facts),
    }


def programs(study: Study, contents: Contents) -> dict[str, bytes]:
    """What the analyses were made by: specification, the tables it reads, and the lock file with every version used.

    As text files, since an eCTD takes no others.
    """
    if not any(one.file.startswith("analysis/") for one in contents.datasets):
        return {}
    paths = [study.folder / "study.yml", *sorted((study.folder / "adam").glob("*.yml"))]
    paths += sorted((study.folder / "tables").glob("*.csv"))
    written = {_program(path.relative_to(study.folder).as_posix()): path.read_bytes() for path in paths}
    return {**written, _program(LOCK_FILE): (pipeline.ROOT / LOCK_FILE).read_bytes()}


def _program(name: str) -> str:
    plain = "".join(character if character.isalnum() and character.isascii() else "-" for character in name.lower())
    return f"{PROGRAMS}/{plain}.txt"


def reasons_against(study: Study, manifest: Mapping[str, Any], facts: Mapping[str, Any]) -> Iterator[str]:
    """Why a snapshot may not be submitted; `facts` are those of `decided`."""
    snapshot_id = manifest["snapshot_id"]
    if facts["locked"] is None:
        yield f"it is not locked (./cairn lock {study.name} {snapshot_id} --by NAME --reason WHY)"
    in_the_way = [acts.named(one) for one in facts["critical_findings"] if one["status"] not in acts.SETTLED]
    if in_the_way:
        shown = ", ".join(in_the_way[:5]) + (", ..." if len(in_the_way) > 5 else "")
        yield f"it has {len(in_the_way)} open critical finding(s), to be cured, or answered or waived by name: {shown}"
    then, now = manifest["specification_files"], dict(study.specification_files)
    changed = sorted(name for name in {*then, *now} if then.get(name) != now.get(name))
    if changed:
        yield f"the specification is another one now ({', '.join(changed[:5])}{', ...' if len(changed) > 5 else ''})"


def _sources(folder: Path, manifest: Mapping[str, Any]) -> Iterator[Source]:
    for kind in get_args(Kind):
        for path in sorted((folder / kind).glob("*.parquet")):
            described = manifest["records"].get(path.stem.upper(), {})
            yield Source(kind, path, tuple(described.get("keys", ())))


def _altered(where: Home, snapshot_id: str) -> Iterator[Fault]:
    for name in where.snapshots.altered(snapshot_id):
        dataset = Path(name).stem.upper() if Path(name).parent.name in get_args(Kind) else name
        problem = "its file in the snapshot is gone or is not the one that was published"
        yield Fault(dataset, "", problem, "Run the study again, which makes it anew, or restore the snapshot")


def decided(where: Home, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What the manifest of the package says of the snapshot and of what people decided on it until now."""
    lock = locked(where.decisions.entries()).get(manifest["snapshot_id"])
    findings = acts.critical_findings(where, manifest["snapshot_id"])
    said = ("study", "snapshot_id", "cut_off", "placement", "standards", "specification", "code")
    return {
        **{name: manifest[name] for name in said},
        "label": delivery_label(where, manifest),
        "locked": {"by": lock.by, "reason": lock.reason} if lock is not None else None,
        "critical_findings": [
            {name: one[name] for name in ("finding_id", "rule", "dataset", "status", "decided_by", "decision")}
            for one in sorted(findings, key=lambda one: str(one["finding_id"]))
        ],
    }
