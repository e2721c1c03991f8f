"""Ingest: from files in landing to the raw store, delivery by delivery, each taken whole or refused whole."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path, PurePosixPath

from transforms.core import dates
from transforms.core.processes import Work, in_order
from transforms.errors import FileRefusedError, UsageError
from transforms.sources import archive
from transforms.sources.delimited import Layout, read_delimited
from transforms.sources.extract import Extract
from transforms.sources.hl7 import read_hl7
from transforms.sources.manifest import Manifest, ManifestFile, read_manifest
from transforms.sources.odm import read_odm
from transforms.study import Study
from transforms.study.models import DelimitedSource, Hl7Source, OdmSource, Source
from transforms.warehouse.raw_store import RawStore, Received

MANIFEST_NAME = "manifest.json"
UNEXPECTED = "unexpected_file"
DEFAULT_SETTLE = 60
UNPACKING = ".unpacking-"


@dataclass
class Ingested:
    """What came in: entries accepted and refused, those refused for the first time, and extracts already read."""

    accepted: list[Received] = field(default_factory=list)
    refused: list[Received] = field(default_factory=list)
    newly_refused: bool = False
    extracts: dict[tuple[str, str], Extract] = field(default_factory=dict)

    @property
    def causes(self) -> list[Received]:
        """The entries refused for what they are, without those that came with them; all where none is."""
        return [one for one in self.refused if one.rule != "delivery_refused"] or self.refused


@dataclass(frozen=True)
class _File:
    """A file of a delivery: its name as delivered, where its bytes are, and the sha256 of the .zip it came in.

    `junk` is what an operating system left in an archive. `said` is what a manifest promises of it, `stated` its
    extract time, and `label` that of the manifest.
    """

    name: str
    path: Path
    archive: str = ""
    junk: bool = False
    said: ManifestFile | None = None
    stated: str | None = None
    label: str = ""


def ingest(
    study: Study, landing: Path, store: RawStore, only: Collection[str] | None = None, *, processes: int = 1
) -> Ingested:
    """Take every file of landing that is not known yet, delivery by delivery, or those of `only` some deliveries.

    The files that a manifest.json names are one delivery, every other file is its own; a .zip is what it holds. A
    refused file refuses its delivery; its bytes stay in the raw store and the log says why. Refusals are no findings of
    a snapshot, which is made of accepted files only. A file refused before is tried again, since its
    contract may have been corrected, and is not new. The files of a delivery are read in so many `processes`.
    """
    result = Ingested()
    for left in store.folder.glob(f"{UNPACKING}*"):
        shutil.rmtree(left)  # of a run that was killed; whoever calls holds the study's lock
    log = store.received()
    refused_before = {(entry.file, entry.sha256, entry.rule) for entry in log if not entry.accepted}
    number = len(log)
    for delivery, manifest, files in _deliveries(landing):
        if only is not None and delivery not in only:
            continue
        entries, extracts, refusal = _take(study, store, delivery, manifest, files, number, processes)
        if refusal is not None:
            entries = _refused_as_one(entries, refusal, number)
        else:
            result.extracts.update(extracts)
        refused = [entry for entry in entries if not entry.accepted]
        result.accepted.extend(entry for entry in entries if entry.accepted)
        result.refused.extend(refused)
        known = [one for one in refused if (one.file, one.sha256, one.rule) in refused_before]
        result.newly_refused |= any(one.rule != UNEXPECTED for one in refused if one not in known)
        fresh = [entry for entry in entries if entry not in known]
        entries = tuple(replace(entry, number=number + at) for at, entry in enumerate(fresh))
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
            deliveries.append((path.name, error, [path, *_named_in(path, loose)]))
            continue
        named = [loose.pop(entry.name) for entry in manifest.files if entry.name in loose]
        deliveries.append((path.name, manifest, named))
    deliveries.extend((name, None, [path]) for name, path in sorted(loose.items()))
    return deliveries


def _named_in(manifest: Path, loose: dict[str, Path]) -> list[Path]:
    """Take the files out of `loose` whose names stand in a manifest that cannot be read: they are its delivery."""
    content = manifest.read_bytes()
    names = [one for one in loose if one.encode() in content or json.dumps(one)[1:-1].encode() in content]
    return [loose.pop(one) for one in names]


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
        said = manifest if isinstance(manifest, Manifest) else None
        taken = all(_taken(study, path, hashes.get(path.name, ""), said, log) for path in files)
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
            settle = max((one.settle_seconds for one in _sources_of(study, path.name)), default=DEFAULT_SETTLE)
            still &= now - since >= settle
        (ready if whole or still else waiting).append(delivery)
    watch.parent.mkdir(parents=True, exist_ok=True)
    watch.write_text(json.dumps(fresh, sort_keys=True), encoding="utf-8")
    return ready, waiting


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _taken(study: Study, path: Path, sha256: str, manifest: Manifest | None, log: Sequence[Received]) -> bool:
    """True if taking the file, or what the archive holds, would change nothing."""
    hashes = {path.name: sha256}
    outer = _stated(manifest, path.name)
    if archive.is_archive(path):
        manifest = None
        try:
            members = [one for one in _members(study, path) if not one.junk]
            hashes = {one.name: archive.sha256_of(path, one) for one in members if not _is_manifest(one.name)}
            for one in members:
                if _is_manifest(one.name):
                    with tempfile.TemporaryDirectory() as folder:
                        archive.unpack(path, one, Path(folder) / MANIFEST_NAME)
                        manifest = _inner_manifest(Path(folder) / MANIFEST_NAME, one.name)
        except FileRefusedError:
            return False
    return all(
        bool(_sources_of(study, name))
        and all(_is_known(one, name, of, _stated(manifest, name) or outer, log) for one in _sources_of(study, name))
        for name, of in hashes.items()
    )


def _said(manifest: Manifest | None, name: str) -> ManifestFile | None:
    """What a manifest says of a file."""
    return next((one for one in manifest.files if one.name == name), None) if manifest is not None else None


def _stated(manifest: Manifest | None, name: str) -> str | None:
    """The extract time that a manifest gives a file."""
    if manifest is None:
        return None
    own = _said(manifest, name)
    return own.extracted_at if own is not None and own.extracted_at else manifest.extracted_at


def _take(
    study: Study,
    store: RawStore,
    delivery: str,
    manifest: Manifest | FileRefusedError | None,
    files: Sequence[Path],
    number: int,
    processes: int,
) -> tuple[tuple[Received, ...], dict[tuple[str, str], Extract], FileRefusedError | None]:
    store.folder.mkdir(parents=True, exist_ok=True)
    if isinstance(manifest, FileRefusedError):
        kept = [(path.name, *store.take(path)) for path in files if path.is_file()]
        named = (Received(number, delivery, "", name, sha256, size, 0, None, False) for name, sha256, size in kept)
        return tuple(named), {}, manifest
    refusal = (
        _manifest_refusal(study, delivery, manifest, {path.name for path in files}, store.received())
        if manifest
        else None
    )
    entries: list[Received] = []
    landed: list[_File] = []
    promised: dict[str, int] = {}
    label = manifest.label if manifest else ""
    with tempfile.TemporaryDirectory(prefix=UNPACKING, dir=store.folder) as folder:
        for path in files:
            said, stated = _said(manifest, path.name), _stated(manifest, path.name)
            if not (archive.is_archive(path) and path.is_file()):
                landed.append(_File(path.name, path, said=said, stated=stated, label=label))
                continue
            sha256 = _sha256(path)
            try:
                _keep_promise(path.name, said, sha256)
                held, inner = _unpack(study, path, sha256, Path(folder))
            except FileRefusedError as error:
                refusal = refusal or FileRefusedError(error.rule, path.name, error.problem, error.remedy)
                size = path.stat().st_size
                entries.append(Received(0, delivery, "", path.name, sha256, size, 0, None, True, archive=sha256))
                continue
            if said is not None and said.rows is not None:
                promised[path.name] = said.rows
            if inner is not None:
                names = {file.name for file in held if not file.junk}
                refusal = refusal or _manifest_refusal(study, path.name, inner, names, store.received())
                refusal = refusal or _not_named(inner, held)
            landed.extend(
                replace(
                    file,
                    said=_said(inner, file.name),
                    stated=_stated(inner, file.name) or stated,
                    label=inner.label if inner is not None else label,
                )
                for file in held
            )
        taken, extracts, refused = _take_files(study, store, delivery, landed, processes)
        refusal = refusal or refused
        if promised and refusal is None:
            refusal = _rows_of_archives(study, landed, promised, {_sha256(path): path.name for path in files})
    entries.extend(taken)
    if refusal is not None and refusal.file not in {entry.file for entry in entries}:
        entries.append(Received(0, delivery, "", refusal.file, "", 0, 0, None, False))
    return tuple(entries), extracts, refusal


def _members(study: Study, path: Path) -> tuple[archive.Member, ...]:
    limits = study.file.archives
    return archive.members(path, largest_bytes=limits.largest_bytes, largest_ratio=limits.largest_ratio)


def _is_manifest(name: str) -> bool:
    return PurePosixPath(name).name == MANIFEST_NAME


def _unpack(study: Study, path: Path, sha256: str, folder: Path) -> tuple[list[_File], Manifest | None]:
    """The files of an archive, and the manifest among them."""
    files, manifest = [], None
    for number, member in enumerate(_members(study, path)):
        target = folder / f"{sha256[:16]}-{number}"
        if not member.junk:
            archive.unpack(path, member, target)
        if _is_manifest(member.name) and not member.junk:
            if manifest is not None:
                raise FileRefusedError(
                    "bad_manifest", path.name, "holds several files manifest.json", "Ask the sender for one manifest"
                )
            manifest = _inner_manifest(target, member.name)
            continue
        files.append(_File(member.name, target, sha256, member.junk))
    return files, manifest


def _inner_manifest(path: Path, name: str) -> Manifest:
    """The manifest at `path` that an archive holds as `name`; the names it says count from the folder it lies in."""
    manifest = read_manifest(path)
    folder = PurePosixPath(name).parent
    files = tuple(one.model_copy(update={"name": str(folder / one.name)}) for one in manifest.files)
    return manifest.model_copy(update={"files": files})


def _not_named(manifest: Manifest, files: Sequence[_File]) -> FileRefusedError | None:
    named = {one.name for one in manifest.files}
    for file in files:
        if not file.junk and file.name not in named:
            return FileRefusedError(
                UNEXPECTED, file.name, "is not in the manifest of its archive", "Ask the sender what it is"
            )
    return None


def _rows_of_archives(
    study: Study, files: Sequence[_File], promised: Mapping[str, int], names: Mapping[str, str]
) -> FileRefusedError | None:
    """The refusal of an archive whose files hold other rows in all than its manifest promises."""
    held = dict.fromkeys(promised, 0)
    for file in files:
        name = names.get(file.archive, "")
        if name in held and not file.junk:
            held[name] += read_extracts(study, _sources_of(study, file.name), file.path, file.name)[1]
    for name, rows in held.items():
        if rows != promised[name]:
            return FileRefusedError(
                "row_count_mismatch",
                name,
                f"holds {rows} rows in its files, the manifest says {promised[name]}",
                "Ask for the whole archive",
            )
    return None


@dataclass(frozen=True)
class _Kept:
    """A file with its entry, the sources for which it is to be read, and why it is refused before it is read."""

    file: _File
    entry: Received
    fresh: tuple[Source, ...] = ()
    refusal: FileRefusedError | None = None


@dataclass(frozen=True)
class _Read:
    """What was read of a file, by source, and why it is refused."""

    extracts: Mapping[str, Extract] = field(default_factory=dict)
    refusal: FileRefusedError | None = None


def _take_files(
    study: Study, store: RawStore, delivery: str, files: Sequence[_File], processes: int
) -> tuple[list[Received], dict[tuple[str, str], Extract], FileRefusedError | None]:
    """Keep the bytes of every file and read those that are new; in several `processes` the largest is read in this."""
    kept = [one for file in files if (one := _keep(study, store, delivery, file)) is not None]
    waiting = [at for at, one in enumerate(kept) if one.fresh and one.refusal is None]
    waiting.sort(key=lambda at: -kept[at].entry.size)
    works: dict[Hashable, Work] = {}
    for at in waiting:
        fresh, file, sha256 = kept[at].fresh, kept[at].file, kept[at].entry.sha256
        works[at] = Work(partial(_read, study, fresh, store.path(sha256), file), here=at == waiting[0])
    read = in_order(works, processes)
    entries: list[Received] = []
    extracts: dict[tuple[str, str], Extract] = {}
    refusal: FileRefusedError | None = None
    for at, one in enumerate(kept):
        found = read.get(at, _Read(refusal=one.refusal))
        refusal = refusal or found.refusal
        if found.refusal is None:
            extracts.update({(name, one.entry.sha256): extract for name, extract in found.extracts.items()})
        if not one.fresh:
            entries.append(one.entry)
        for source in one.fresh:
            extract = found.extracts.get(source.source)
            time = one.file.stated or _stamp(source, one.file.name) or (extract.declared_at if extract else None)
            rows = extract.rows if extract is not None else 0
            entries.append(replace(one.entry, source=source.source, rows=rows, extracted_at=time))
    return entries, extracts, refusal


def _keep(study: Study, store: RawStore, delivery: str, file: _File) -> _Kept | None:
    """Keep the bytes of a file; None where it says nothing new."""
    entry = Received(0, delivery, "", file.name, "", 0, 0, None, True, label=file.label, archive=file.archive)
    if file.junk:
        problem = "was left in the archive by an operating system; it is not taken"
        remedy = "Nothing, or ask the sender to leave it out"
        return _Kept(file, replace(entry, accepted=False, rule=UNEXPECTED, problem=problem, remedy=remedy))
    sources = _sources_of(study, file.name) if file.path.is_file() else ()
    if not sources and archive.is_foreign(file.name):
        problem = "is an archive, and none that is opened here"
        remedy = "Send what it holds, or a .zip of it"
        return _Kept(file, entry, refusal=FileRefusedError(UNEXPECTED, file.name, problem, remedy))
    if not sources:
        there = file.path.is_file()
        problem = "fits no source contract" if there else "is no file; extracts lie in landing itself"
        remedy = "Correct its name, or write a source contract for it"
        return _Kept(file, entry, refusal=FileRefusedError(UNEXPECTED, file.name, problem, remedy))
    fresh = sources
    try:
        sha256, size = store.take(file.path)
        entry = replace(entry, sha256=sha256, size=size)
        received = store.received()
        fresh = tuple(one for one in sources if not _is_known(one, file.name, sha256, file.stated, received))
        if not fresh:
            return None
        if archive.is_packed(file.path):
            raise FileRefusedError(
                "unreadable_file",
                file.name,
                "is an archive or a workbook under the name of an extract",
                "Send the extract itself; a .zip keeps the name .zip",
            )
        _keep_promise(file.name, file.said, sha256)  # first: damage in transfer may look like any other fault
    except FileRefusedError as error:
        return _Kept(file, entry, fresh, FileRefusedError(error.rule, file.name, error.problem, error.remedy))
    return _Kept(file, entry, fresh)


def _read(study: Study, sources: Sequence[Source], path: Path, file: _File) -> _Read:
    """What a file whose bytes lie at `path` holds for the sources it feeds."""
    try:
        extracts, rows = read_extracts(study, sources, path, file.name)
    except FileRefusedError as error:
        return _Read(refusal=FileRefusedError(error.rule, file.name, error.problem, error.remedy))
    promised = file.said.rows if file.said is not None else None
    if promised not in {None, rows}:
        problem = f"holds {rows} rows, the manifest says {promised}"
        return _Read(extracts, FileRefusedError("row_count_mismatch", file.name, problem, "Ask for the whole file"))
    return _Read(extracts)


def _is_known(source: Source, name: str, sha256: str, stated: str | None, received: Sequence[Received]) -> bool:
    """True if taking the file again would change nothing.

    Nothing is changed by the bytes that stand, by those received last under this name, and by any bytes that an
    incremental source has sent, unless they come with a later extract time than before: then the sender says that
    the extract was still the same at that time. The bytes of an older version of a full source, sent again, are a
    new version. `stated` is the extract time of a manifest, which goes before that of the name.
    """
    own = ordered([entry for entry in received if entry.accepted], source.source)
    if source.delivery == "incremental":
        compared = own
    else:
        compared = [*own[-1:], *sorted((one for one in own if one.file == name), key=lambda one: one.number)[-1:]]
    again = [entry for entry in compared if entry.sha256 == sha256]
    at = stated or _stamp(source, name)
    when = clock(own, at)
    return bool(again) and (at is None or when(at) <= max(when(entry.extracted_at) for entry in again))


def _manifest_refusal(
    study: Study, delivery: str, manifest: Manifest, present: Collection[str], received: Sequence[Received]
) -> FileRefusedError | None:
    if manifest.study is not None and manifest.study not in {study.name, study.file.studyid}:
        return FileRefusedError(
            "wrong_study",
            delivery,
            "the manifest names another study",
            "Drop the delivery in the landing folder of the study it is for",
        )
    kept = {entry.sha256 for entry in received if entry.accepted}
    absent = sorted(one.name for one in manifest.files if one.name not in present and one.sha256 not in kept)
    if absent:
        return FileRefusedError(
            "incomplete_delivery",
            delivery,
            f"files of the manifest are missing: {', '.join(absent)}",
            "Send them; a manifest of what a .zip holds lies in the .zip",
        )
    return None


def _keep_promise(name: str, said: ManifestFile | None, sha256: str) -> None:
    if said is not None and said.sha256 != sha256:
        raise FileRefusedError("checksum_mismatch", name, "its sha256 is not the manifest's", "Transfer the file again")


def _sources_of(study: Study, name: str) -> tuple[Source, ...]:
    """The sources that a file feeds, each as the carrier the file is of.

    They are several where their formats let one file hold the rows of many.
    """
    matches = [one for source in study.sources.values() for one in source.carriers if one.fits(name)]
    if len(matches) > 1 and (
        len({type(source) for source in matches}) > 1
        or len({source.source for source in matches}) < len(matches)
        or any(isinstance(one, DelimitedSource) for one in matches)
    ):
        names = ", ".join(dict.fromkeys(source.source for source in matches))
        raise UsageError(f"{name} fits several source contracts of {study.name} ({names}). Narrow their `files`")
    return tuple(matches)


def _stamp(source: Source, name: str) -> str | None:
    """The extract time a file name carries, as ISO text."""
    match = re.search(source.extracted_at, name) if source.extracted_at else None
    return dates.to_iso(match["at"], (source.extracted_layout,)) if match else None


def _refused_as_one(entries: Sequence[Received], refusal: FileRefusedError, number: int) -> tuple[Received, ...]:
    """The files of a refused delivery, one entry for each file however many sources it would have fed."""
    files: dict[str, list[Received]] = {}
    for entry in entries:
        files.setdefault(entry.file, []).append(entry)
    result = []
    for own in files.values():
        source = own[0].source if len(own) == 1 else ""
        whole = replace(own[0], source=source, rows=max(one.rows for one in own))
        result.append(whole if whole.rule else _refused(whole, refusal))
    return tuple(replace(entry, number=number + at) for at, entry in enumerate(result))


def _refused(entry: Received, refusal: FileRefusedError) -> Received:
    own = refusal.file == entry.file
    problem = refusal.problem if own else f"its delivery was refused because of {refusal.file}"
    rule = refusal.rule if own else "delivery_refused"
    remedy = refusal.remedy if own else "It may come again as it is, together with the file that was refused"
    return replace(entry, accepted=False, rule=rule, problem=problem, remedy=remedy)


def read_extracts(study: Study, sources: Sequence[Source], path: Path, name: str) -> tuple[Mapping[str, Extract], int]:
    """Read one file for the sources it feeds, which are of one format; by source, and the data rows of the file.

    The file is read once however many sources it feeds.
    """
    odm = [source for source in sources if isinstance(source, OdmSource)]
    if odm:
        return read_odm(path, name, study.file.study_oid or study.file.studyid, odm)
    hl7 = [source for source in sources if isinstance(source, Hl7Source)]
    if hl7:
        return read_hl7(path, name, hl7)
    extracts = {}
    for source in sources:
        if isinstance(source, DelimitedSource):
            layout = Layout(source.encoding, source.delimiter, source.quote, source.extract_columns)
            extracts[source.source] = read_delimited(path, name, layout)
    return extracts, sum(extract.rows for extract in extracts.values())


def clock(own: Iterable[Received], other: str | None = None) -> Callable[[str | None], datetime]:
    """What tells when a file of a source was extracted; one whose sender says no time came before all others.

    A time without an offset from UTC, as file names have it, is that of the source's clock: it has the offset that the
    first file with one states (or the `other` time).
    """
    stated = [entry.extracted_at for entry in sorted(own, key=lambda one: one.number) if entry.extracted_at]
    offsets = (dates.offset_of(one) for one in (*stated, *([other] if other else [])))
    usual = next((one for one in offsets if one is not None), None)
    never = dates.instant("0001")
    return lambda at: dates.instant(at, usual) if at else never


def ordered(received: Iterable[Received], source: str) -> list[Received]:
    """The accepted files of a source in the order in which they were extracted (received, where not stated).

    The same bytes sent again under the same name are one file, at their latest extract time.
    """
    own = [entry for entry in received if entry.source == source]
    when = clock(own)
    own.sort(key=lambda entry: (when(entry.extracted_at), entry.number))
    last = {(entry.file, entry.sha256): entry for entry in own}
    return [entry for entry in own if last[entry.file, entry.sha256] is entry]
