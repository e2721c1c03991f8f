"""The package: datasets, documents, checksums, checklist and manifest of a snapshot, as a folder and as a zip.

    m5/datasets/<study>/tabulations/sdtm/        *.xpt and what describes them
    m5/datasets/<study>/analysis/adam/datasets/  *.xpt and what describes them
    m5/datasets/<study>/analysis/adam/programs/  what the analysis datasets were made by
    dataset-json/                                the same datasets as Dataset-JSON, where asked for
    conformance.html, conformance.xlsx           what was checked, by whom, and what came of it
    manifest.json, checksums.sha256

Nothing in it comes from a clock: two packages of a snapshot are the same bytes. It is made beside its place and moved
there when all of it was checked; a package that is refused leaves nothing, and the one before stands until then.
"""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from transforms.errors import UsageError
from transforms.submission import checklist, dataset_json, xpt
from transforms.submission.agencies import Agency, FurtherKeys, Kept, SubmissionFile, chinese_labels
from transforms.submission.archive import (
    CHECKSUMS,
    MANIFEST,
    digest_file,
    sha256_of,
    sizes_below,
    write_archive,
)
from transforms.submission.checklist import Result
from transforms.submission.contents import DATASETS, TABULATIONS, Contents, Submitted
from transforms.submission.faults import Fault
from transforms.submission.header import header_faults
from transforms.submission.layout import SUPPLEMENTAL, Layout, batches_of, layout_of, shared_lengths
from transforms.submission.read_back import read_back

FOLDERS = {"sdtm": TABULATIONS, "adam": DATASETS}
SUPPLEMENTAL_KEYS = ("USUBJID", "RDOMAIN", "IDVAR", "IDVARVAL", "QNAM")


@dataclass(frozen=True)
class Documents:
    """What others write of the datasets, by path below the study's folder, and what they found wrong, by check."""

    files: Mapping[str, bytes]
    found: Mapping[str, Sequence[Fault]] = field(default_factory=dict)


Writer = Callable[[Contents, Path], Documents]
Reporter = Callable[[Path, Sequence[Result]], Mapping[str, bytes]]


@dataclass(frozen=True)
class Source:
    """A dataset of the snapshot: its Parquet file and what identifies its records."""

    kind: Literal["sdtm", "adam"]
    path: Path
    keys: tuple[str, ...]


@dataclass(frozen=True)
class Order:
    """What is to be packed, for whom, and what the manifest says of it.

    `created` is the time every file says it was made, `labels` gives Chinese labels by English ones. `not_ready` holds
    why it may not be submitted: empty, or the package is a preview.
    """

    studyid: str
    agency: Agency
    own: SubmissionFile
    created: datetime
    sources: Sequence[Source]
    labels: Mapping[str, str]
    facts: Mapping[str, Any]
    not_ready: Sequence[str] = ()
    preview: bool = False
    dataset_json: dataset_json.Form | None = None


@dataclass(frozen=True)
class Package:
    """A package that was written."""

    folder: Path
    archive: Path
    sha256: str
    datasets: Mapping[str, int]
    checklist: tuple[Result, ...]
    preview: bool


@dataclass(frozen=True)
class _Prepared:
    source: Source
    layout: Layout
    measured: xpt.Measured
    kept: Kept

    def batches(self) -> Iterator[pa.RecordBatch]:
        return self.kept.of(batches_of(self.source.path))


def study_folder(studyid: str) -> str:
    """The name of a study's folder: its id in small letters, with hyphens for what an eCTD does not take."""
    return re.sub(r"[^a-z0-9]+", "-", studyid.lower()).strip("-")


def write_package(target: Path, order: Order, documents: Writer, reports: Reporter | None = None) -> Package:
    """Write a package into a folder, a zip and its sha256 beside it; what was there before is replaced.

    `documents` gives what others write of the datasets (definitions, guides, programs), by path below the study's
    folder; it is called with what is in the package and with a folder that holds the datasets as submitted. `reports`
    gives what is said of the package, by path in it, and is called with that folder and the checklist.

    Raises ExportRefusedError with every fault of the data, of a file read back and of the checklist; a preview is
    written in spite of the checklist, which says what fails.
    """
    replaced = target.with_name(f".{target.name}.replaced")
    if replaced.exists() and not target.exists():
        replaced.rename(target)
    if target.exists() and not (target / MANIFEST).is_file() and (target.is_file() or any(target.iterdir())):
        raise UsageError(f"{target} holds something else than a package. Name another folder with --to")
    prepared = _prepare(order)
    building = target.with_name(f".{target.name}.partial")
    submitted = target.with_name(f".{target.name}.submitted")
    archive, growing = target.with_name(f"{target.name}.zip"), target.with_name(f".{target.name}.zip.partial")
    told = growing.with_name(f"{growing.name}.sha256")
    shutil.rmtree(building, ignore_errors=True)
    try:
        study = building / "m5" / "datasets" / study_folder(order.studyid)
        datasets = [_write(study, one, order) for one in prepared if one.measured.records]
        cut_off = order.created.date()
        contents = Contents(order.studyid, study.name, order.agency, cut_off, datasets, sizes_below(study))
        shutil.rmtree(submitted, ignore_errors=True)
        _as_submitted(submitted, prepared)
        written = documents(contents, submitted)
        _write_all(study, written.files)
        contents = replace(contents, files=sizes_below(study), found=written.found)
        results = checklist.results(contents)
        failed = [fault for result in results for fault in result.faults]
        if not order.preview:
            xpt.refuse(failed)
        if order.dataset_json is not None:
            _write_json(building / "dataset-json", datasets, order, order.dataset_json)
        _write_all(building, reports(submitted, results) if reports is not None else {})
        hashes = {path: sha256_of(building / path) for path in sizes_below(building)}
        manifest = _manifest(order, prepared, datasets, results, building, hashes)
        (building / MANIFEST).write_text(manifest, encoding="utf-8")
        hashes[MANIFEST] = sha256_of(building / MANIFEST)
        lines = (f"{digest}  {path}\n" for path, digest in sorted(hashes.items()))
        (building / CHECKSUMS).write_text("".join(lines), encoding="utf-8")
        write_archive(building, growing, order.created)
        digest = sha256_of(growing)
        told.write_text(f"{digest}  {archive.name}\n", encoding="utf-8")
        shutil.rmtree(replaced, ignore_errors=True)
        if target.exists():
            target.rename(replaced)
        building.rename(target)
        growing.replace(archive)
        told.replace(digest_file(archive))
    finally:
        if replaced.exists() and not target.exists():
            replaced.rename(target)
        shutil.rmtree(replaced, ignore_errors=True)
        shutil.rmtree(building, ignore_errors=True)
        shutil.rmtree(submitted, ignore_errors=True)
        growing.unlink(missing_ok=True)
        told.unlink(missing_ok=True)
    counts = {one.layout.name: one.records for one in datasets}
    return Package(target, archive, digest, counts, tuple(results), order.preview)


def _write_all(folder: Path, files: Mapping[str, bytes]) -> None:
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


def _prepare(order: Order) -> list[_Prepared]:
    """Look through every dataset; all faults of all of them at once."""
    prepared: list[_Prepared] = []
    faults: list[Fault] = []
    rules = order.own.of(order.agency.name).leave_out
    for source in order.sources:
        try:
            layout = layout_of(pq.read_schema(source.path), source.keys)
        except (pa.ArrowInvalid, FileNotFoundError):
            problem = "its file in the snapshot is damaged or gone"
            faults.append(Fault(source.path.stem.upper(), "", problem, "Restore the snapshot, or run the study again"))
            continue
        if layout.name.startswith(SUPPLEMENTAL) and not layout.keys:
            layout = replace(layout, keys=SUPPLEMENTAL_KEYS)
        further = [one for one in order.own.keys if one.dataset == layout.name]
        layout = replace(layout, keys=(*layout.keys, *(name for one in further for name in one.variables)))
        kept = Kept(rules, layout.name)
        if unknown := list(_unknown(layout, kept, further)):
            faults.extend(unknown)
            continue
        layout = layout.without(kept.variables)
        if order.agency.chinese:
            labels, missing = chinese_labels(layout, order.labels)
            faults.extend(missing)
            layout = layout.with_labels(labels[""], labels)
        measured = xpt.measure(layout, kept.of(batches_of(source.path)), order.agency.encoding)
        faults.extend(header_faults(layout, order.agency.encoding))
        faults.extend(measured.faults)
        prepared.append(_Prepared(source, layout, measured, kept))
    known = {source.path.stem.upper() for source in order.sources}
    for name in (*(rule.dataset for rule in rules), *(one.dataset for one in order.own.keys)):
        if name not in known:
            problem = "is named in submission.yml, but there is no such dataset"
            faults.append(Fault(name, "", problem, "Correct submission.yml"))
    for name, count in Counter(one.layout.name for one in prepared).items():
        if count > 1:
            problem = "another dataset of the package has the same name"
            faults.append(Fault(name, "", problem, "Rename the analysis dataset in the specification"))
    xpt.refuse(faults)
    lengths = shared_lengths({one.layout.name: one.measured.lengths for one in prepared if one.measured.records})
    return [replace(one, layout=one.layout.with_lengths(lengths.get(one.layout.name, {}))) for one in prepared]


def _unknown(layout: Layout, kept: Kept, further: Iterable[FurtherKeys]) -> Iterator[Fault]:
    """Variables that submission.yml names and the dataset does not have, and keys that it leaves out."""
    known, remedy = {variable.name for variable in layout.variables}, "Correct submission.yml"
    named = [name for rule in kept.rules for name in rule.where]
    named += [name for rule in kept.of_variables for name in rule.variables]
    named += [name for one in further for name in one.variables]
    for name in dict.fromkeys(named):
        if name not in known:
            yield Fault(layout.name, name, "is named in submission.yml, but there is no such variable", remedy)
    for name in sorted(kept.variables.intersection(layout.keys)):
        problem = "is left out by submission.yml, but identifies the records"
        yield Fault(layout.name, name, problem, "Name another variable")


def _write(study: Path, one: _Prepared, order: Order) -> Submitted:
    """Write the transport file of a dataset and read it back."""
    file = f"{FOLDERS[one.source.kind]}/{one.layout.name.lower()}.xpt"
    path = study / file
    path.parent.mkdir(parents=True, exist_ok=True)
    encoding = order.agency.encoding
    written = xpt.write(path, one.layout, one.batches(), encoding=encoding, created=order.created)
    read = read_back(path, one.layout, one.batches(), encoding, written.records)
    xpt.refuse(read.faults)
    return Submitted(one.layout, one.measured.lengths, written.records, file, one.batches, read.readers)


def _as_submitted(folder: Path, prepared: Sequence[_Prepared]) -> None:
    """The datasets as they are submitted, laid out as a snapshot: links to what is submitted whole, else new files."""
    snapshot = prepared[0].source.path.parents[1]
    folder.mkdir()
    for path in snapshot.iterdir():
        if path.name not in FOLDERS:
            (folder / path.name).symlink_to(path)
    for one in prepared:
        if one.measured.records:
            place = folder / one.source.kind / one.source.path.name
            place.parent.mkdir(exist_ok=True)
            if not one.kept.whole:
                schema = pq.read_schema(one.source.path)
                kept = [field for field in schema if field.name not in one.kept.variables]
                with pq.ParquetWriter(place, pa.schema(kept, metadata=schema.metadata)) as writer:
                    for batch in one.batches():
                        writer.write_batch(_plain(batch))
            else:
                place.symlink_to(one.source.path)


def _plain(batch: pa.RecordBatch) -> pa.RecordBatch:
    columns = [
        column.dictionary_decode() if pa.types.is_dictionary(column.type) else column for column in batch.columns
    ]
    return pa.RecordBatch.from_arrays(columns, batch.schema.names)


def _write_json(folder: Path, datasets: Iterable[Submitted], order: Order, form: dataset_json.Form) -> None:
    about = dataset_json.About(order.created)
    for one in datasets:
        kind = next(kind for kind, place in FOLDERS.items() if one.file.startswith(place))
        path = folder / kind / f"{one.layout.name.lower()}.{form}"
        path.parent.mkdir(parents=True, exist_ok=True)
        dataset_json.write(path, one.layout, one.batches, form=form, about=about)


def _manifest(
    order: Order,
    prepared: Iterable[_Prepared],
    datasets: Iterable[Submitted],
    results: Iterable[Result],
    folder: Path,
    hashes: Mapping[str, str],
) -> str:
    below = f"m5/datasets/{study_folder(order.studyid)}/"
    submitted = {f"{below}{one.file}": one for one in datasets}
    files = [
        {
            "path": path,
            "sha256": digest,
            "bytes": (folder / path).stat().st_size,
            "records": one.records if one is not None else None,
            "read_by": list(one.readers) if one is not None else None,
            "file_tag": checklist.tag_of(path.removeprefix(below), order.agency) if path.startswith(below) else None,
        }
        for path, digest in hashes.items()
        for one in [submitted.get(path)]
    ]
    left_out = [
        {"dataset": rule.dataset, "where": dict(rule.where), "why": rule.why, "records": count}
        for one in prepared
        for rule, count in zip(one.kept.rules, one.kept.left_out, strict=True)
    ]
    left_out += [
        {"dataset": rule.dataset, "variables": list(rule.variables), "why": rule.why}
        for one in prepared
        for rule in one.kept.of_variables
    ]
    left_out += [
        {"dataset": one.layout.name, "where": None, "why": "It has no records", "records": 0}
        for one in prepared
        if not one.measured.records
    ]
    content = {
        **order.facts,
        "studyid": order.studyid,
        "agency": order.agency.name,
        "encoding": order.agency.encoding,
        "created": order.created.isoformat(),
        "preview": order.preview,
        "not_ready": list(order.not_ready),
        "files": files,
        "left_out": left_out,
        "further_keys": [one.model_dump(mode="json") for one in order.own.keys],
        "checklist": [checklist.as_json(result) for result in results],
    }
    return json.dumps(content, ensure_ascii=False, indent=2, sort_keys=True) + "\n"
