"""Ingest: from files in landing to the raw store, delivery by delivery, each taken whole or refused whole."""

from __future__ import annotations

import fnmatch
import hashlib
import json
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from transforms.core import dates
from transforms.errors import FileRefusedError, UsageError
from transforms.sources.delimited import Extract, Layout, read_delimited
from transforms.sources.manifest import Manifest, ManifestFile, read_manifest
from transforms.study import Study
from transforms.study.models import Source
from transforms.warehouse.raw_store import RawStore, Received

MANIFEST_NAME = "manifest.json"
UNEXPECTED = "unexpected_file"
DEFAULT_SETTLE = 60


@dataclass
class Ingested:
    """What came in: entries accepted and refused, those refused for the first time, and extracts already read."""

    accepted: list[Received] = field(default_factory=list)
    refused: list[Received] = field(default_factory=list)
    newly_refused: bool = False
    extracts: dict[tuple[str, str], Extract] = field(default_factory=dict)


def ingest(study: Study, landing: Path, store: RawStore, only: Collection[str] | None = None) -> Ingested:
    """Take every file of landing that is not known yet, delivery by delivery, or those of `only` some deliveries.

    The files that a manifest.json names are one delivery, every other file is its own. A refused file
    refuses its delivery; its bytes stay in the raw store and the log says why. Refusals are no findings of
    a snapshot, which is made of accepted files only. A file refused before is tried again, since its
    contract may have been corrected, and is not new.
    """
    result = Ingested()
    log = store.received()
    refused_before = {(entry.file, entry.sha256, entry.rule) for entry in log if not entry.accepted}
    number = len(log)
    for delivery, manifest, files in _deliveries(landing):
        if only is not None and delivery not in only:
            continue
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


def look(study: Study, landing: Path, store: RawStore, watch: Path, now: float) -> tuple[list[str], list[str]]:
    """Deliveries of landing that may be taken now, and those still to wait for, by name.

    A delivery may be taken when its files are those its manifest promises, or when no file of it has changed over
    the settle time of its sources. `watch` keeps the sizes seen and since when, `now` is the time in seconds. A
    delivery that holds nothing new, or was refused just as it is, is in neither list.
    """
    seen = json.loads(watch.read_text(encoding="utf-8")) if watch.is_file() else {}
    fresh: dict[str, dict[str, float]] = {}
    log = store.received()
    refused = {(entry.file, entry.sha256) for entry in log if not entry.accepted}
    ready: list[str] = []
    waiting: list[str] = []
    for delivery, manifest, files in _deliveries(landing):
        hashes = {path.name: _sha256(path) for path in files if path.is_file()}
        sources = {path.name: _source_of(study, path.name) for path in files}
        taken = all(
            source is not None and _is_known(source, name, hashes.get(name, ""), log)
            for name, source in sources.items()
        )
        if isinstance(manifest, Manifest):
            whole = {one.name: one.sha256 for one in manifest.files} == hashes
            nothing_new = taken and bool(files)
        else:
            whole = False
            nothing_new = (taken and manifest is None) or all(
                (path.name, hashes.get(path.name, "")) in refused for path in files
            )
        if nothing_new:
            continue
        still = True
        for path in files:
            size = path.stat().st_size
            before = seen.get(path.name)
            since = before["since"] if before and before["size"] == size else now
            fresh[path.name] = {"size": size, "since": since}
            source = sources[path.name]
            still &= now - since >= (source.settle_seconds if source else DEFAULT_SETTLE)
        (ready if whole or still else waiting).append(delivery)
    watch.parent.mkdir(parents=True, exist_ok=True)
    watch.write_text(json.dumps(fresh, sort_keys=True), encoding="utf-8")
    return ready, waiting


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


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
    refusal = _manifest_refusal(study, delivery, manifest, files, store.received()) if manifest else None
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
                label=manifest.label if manifest else "",
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
    study: Study, delivery: str, manifest: Manifest, files: Sequence[Path], received: Sequence[Received]
) -> FileRefusedError | None:
    if manifest.study is not None and manifest.study not in {study.name, study.file.studyid}:
        return FileRefusedError(
            "wrong_study",
            delivery,
            "the manifest names another study",
            "Drop the delivery in the landing folder of the study it is for",
        )
    present = {path.name for path in files}
    kept = {entry.sha256 for entry in received if entry.accepted}
    absent = sorted(one.name for one in manifest.files if one.name not in present and one.sha256 not in kept)
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
    return read_delimited(path, name, Layout(source.encoding, source.delimiter, source.quote, source.extract_columns))


def ordered(received: Iterable[Received], source: str) -> list[Received]:
    """The accepted files of a source in the order in which they were extracted (received, where not stated)."""
    own = [entry for entry in received if entry.source == source]
    return sorted(own, key=lambda entry: (entry.extracted_at or "", entry.number))
