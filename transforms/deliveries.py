"""What stands of the deliveries: the files of each source that count, read and staged together.

What a delivery says of the ones before it is told here as well: a file that comes late, subjects that are gone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from transforms.core import text
from transforms.core.identifiers import Identifiers
from transforms.core.processes import Work
from transforms.core.tables import read_table
from transforms.findings import Finding, RawPlace, Severity
from transforms.ingest import clock, ordered, read_extracts
from transforms.sources.extract import Extract
from transforms.sources.odm import OdmExtract
from transforms.sources.transactions import apply_transactions
from transforms.staging.stage import AccountLine, RawFile, Staged, identity_map, stage
from transforms.study import Study
from transforms.study.models import OdmSource, Source
from transforms.warehouse import parquet
from transforms.warehouse.raw_store import RawStore, Received
from transforms.warehouse.snapshots import content_hash

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class ToStage:
    """What stages each source, by name, and what was found in the deliveries before.

    The `largest` source is staged in the process that has read it, since sending it costs more than it saves.
    """

    works: Mapping[Hashable, Work]
    largest: str
    found: Sequence[Finding]
    account: Sequence[AccountLine]


def stage_all(
    study: Study,
    store: RawStore,
    cut_off: str,
    received: Sequence[Received],
    extracts: Mapping[tuple[str, str], Extract],
    freed: Mapping[str, Mapping[str, Mapping[str, frozenset[int]]]],
) -> tuple[dict[str, Staged], list[Finding], list[AccountLine]]:
    """Stage every source from the raw store: what `to_stage` says, done in this process."""
    plan = to_stage(study, store, cut_off, received, extracts, freed)
    staged = {name: plan.works[name].call() for name in study.sources}
    return staged, [*plan.found, *(found for one in staged.values() for found in one.findings)], list(plan.account)


def to_stage(
    study: Study,
    store: RawStore,
    cut_off: str,
    received: Sequence[Received],
    extracts: Mapping[tuple[str, str], Extract],
    freed: Mapping[str, Mapping[str, Mapping[str, frozenset[int]]]],
    write: Callable[[Staged], None] | None = None,
) -> ToStage:
    """Read what is not in `extracts` from the raw store, and say how every source is staged.

    A source that was never delivered is empty and a critical finding. `write` is given each source when it is staged.
    """
    found: list[Finding] = []
    account: list[AccountLine] = []
    files: dict[str, list[RawFile]] = {}
    carriers: dict[str, Source] = {}
    used: dict[str, list[Received]] = {}
    for name, source in study.sources.items():
        carriers[name], used[name] = standing(source, ordered(received, name))
    read = _read(study, store, used, extracts)
    told: set[str] = set()
    before = _seen_before(study, store, received, used)
    for name, source in study.sources.items():
        own = ordered(received, name)
        found.extend(late_files(name, own))
        found.extend(other_carriers(source, own))
        account.extend(
            AccountLine(name, entry.file, entry.sha256, "superseded", "later_file", entry.rows)
            for entry in own
            if entry not in used[name]
        )
        files[name] = _in_order(
            carriers[name],
            [RawFile(entry.file, entry.sha256, read[(name, entry.sha256)]) for entry in used[name]],
            told,
        )
        subject = carriers[name].subject
        if carriers[name].delivery == "full" and subject is not None:
            for file in files[name]:
                store.keep_subjects(file.sha256, _reading(carriers[name]), _subjects(subject, file.extract))
        if files[name]:
            found.extend(disappeared(carriers[name], files[name], before[name]))
        unordered = {entry.file for entry in own if not entry.extracted_at}
        if carriers[name].delivery == "full" and len(unordered) > 1:
            found.append(
                Finding(
                    "order_not_declared",
                    Severity.CRITICAL,
                    name,
                    "",
                    f"{', '.join(sorted(unordered))} declare no extract time; {own[-1].file}, received last, stands",
                    "Send a manifest with extract times, or declare extracted_at in the source contract",
                )
            )
        found.extend(same_time(carriers[name], own))
        if not own:
            found.append(
                Finding(
                    "source_not_delivered",
                    Severity.CRITICAL,
                    name,
                    "",
                    f"no file of the source {name} was accepted so far; what needs it is empty",
                    f"Deliver a file that fits {' or '.join(one.files for one in source.carriers)}",
                )
            )
    found.extend(unmatched_removals(files))
    sizes = {name: sum(file.extract.rows for file in own) for name, own in files.items()}
    largest = max(sizes, key=lambda name: sizes[name])
    works: dict[Hashable, Work] = {}
    identifiers = direct_identifiers()
    for name, source in study.sources.items():
        identities = None
        if source.identity is not None:
            link = source.identity
            identities, problems = identity_map(
                carriers[link.source], files[link.source], link.column, link.subject, freed.get(link.source)
            )
            found.extend(problems)
        call = partial(
            _staged,
            carriers[name],
            files[name],
            write,
            cut_off=cut_off,
            identities=identities,
            released=freed.get(name),
            tables=study.tables,
            codelists=study.codelists,
            identifiers=identifiers,
        )
        works[name] = Work(call, here=name == largest)
    works = {name: works[name] for name in sorted(sizes, key=lambda name: -sizes[name])}
    return ToStage(works, largest, found, account)


def _staged(source: Source, files: Sequence[RawFile], write: Callable[[Staged], None] | None, **given: Any) -> Staged:
    """A source staged and written, without the rows of its files."""
    staged = stage(source, files, **given)
    if write is not None:
        write(staged)
    read = [replace(one, extract=replace(one.extract, frame=pd.DataFrame())) for one in staged.files]
    return replace(staged, files=tuple(read))


def standing(source: Source, own: Sequence[Received]) -> tuple[Source, list[Received]]:
    """The carrier and the files of a source that stand; `own` are in the order of extraction.

    The file extracted last says by which carrier the source comes. It stands alone where that carrier is delivered in
    full; where it is incremental, all files of this carrier stand and none of another: what two carriers said is
    never put together. The same bytes under several names stand once, under the name they were extracted with last.
    """
    if not own:
        return source, []
    carrier = source.carrier_of(own[-1].file)
    if carrier.delivery == "full":
        return carrier, list(own[-1:])
    of_carrier = [entry for entry in own if source.carrier_of(entry.file) is carrier]
    last = {entry.sha256: entry for entry in of_carrier}
    return carrier, [entry for entry in of_carrier if last[entry.sha256] is entry]


def other_carriers(source: Source, own: Sequence[Received]) -> list[Finding]:
    """The change of carrier is said where files of a source came by several."""
    if not source.also or not own:
        return []
    carrier = source.carrier_of(own[-1].file)
    others = [entry for entry in own if source.carrier_of(entry.file) is not carrier]
    if not others:
        return []
    return [
        Finding(
            "carrier_changed",
            Severity.INFORMATION,
            source.source,
            "",
            f"{own[-1].file}, extracted last, came by another carrier than {others[-1].file}; what came by that one "
            "no longer stands",
            "Nothing, if the sender changed the format; otherwise ask which files to send",
            (RawPlace(others[-1].file, (), others[-1].sha256),),
            others[-1].sha256,
        )
    ]


def same_time(source: Source, own: Sequence[Received]) -> list[Finding]:
    """Files of a full source that were extracted at the same time as the one that stands, as their senders say.

    A new version under the same name is none of them: the one received last replaces it.
    """
    last = own[-1] if own and source.delivery == "full" else None
    if last is None or not last.extracted_at:
        return []
    when = clock(own)
    at = when(last.extracted_at)
    others = sorted(
        {one.file for one in own if when(one.extracted_at) == at and one.sha256 != last.sha256} - {last.file}
    )
    if not others:
        return []
    return [
        Finding(
            "order_not_declared",
            Severity.CRITICAL,
            source.source,
            "",
            f"{', '.join(others)} and {last.file} declare the same extract time and differ; {last.file}, received "
            "last, stands",
            "Ask the sender which one is meant, and for a manifest with the time of each extract",
            tuple(RawPlace(one.file, (), one.sha256) for one in own if one.file in {*others, last.file}),
        )
    ]


@dataclass(frozen=True)
class SeenBefore:
    """What an earlier full file of a source held: the subject and line of each row, if the source has subjects."""

    entry: Received
    subjects: pa.Table | None


def _seen_before(
    study: Study, store: RawStore, received: Sequence[Received], used: Mapping[str, Sequence[Received]]
) -> dict[str, list[SeenBefore]]:
    """The full files of each source that no longer stand; what the raw store kept of one is not read again."""
    found: dict[str, list[SeenBefore]] = {name: [] for name in study.sources}
    waiting: dict[tuple[str, str], list[tuple[Source, str, Received]]] = {}
    for name, source in study.sources.items():
        stand = {entry.sha256 for entry in used[name]}
        earlier = {one.sha256: one for one in ordered(received, name) if one.sha256 not in stand}
        for entry in earlier.values():
            carrier = source.carrier_of(entry.file)
            if carrier.delivery != "full":
                continue
            kept = store.subjects(entry.sha256, _reading(carrier)) if carrier.subject is not None else None
            if carrier.subject is not None and kept is None:
                waiting.setdefault((entry.sha256, entry.file), []).append((carrier, carrier.subject, entry))
            else:
                found[name].append(SeenBefore(entry, kept))
    for (sha256, file), several in waiting.items():
        extracts, _ = read_extracts(study, [carrier for carrier, _, _ in several], store.path(sha256), file)
        for carrier, subject, entry in several:
            subjects = _subjects(subject, extracts[carrier.source])
            store.keep_subjects(sha256, _reading(carrier), subjects)
            found[carrier.source].append(SeenBefore(entry, subjects))
    return {name: _by_time(own) for name, own in found.items()}


def _by_time(seen: Sequence[SeenBefore]) -> list[SeenBefore]:
    when = clock(one.entry for one in seen)
    return sorted(seen, key=lambda one: (when(one.entry.extracted_at), one.entry.number))


def direct_identifiers() -> Identifiers:
    """What a direct identifier of a person looks like, as the table that studies share says."""
    file = "expectations/tables/direct_identifiers.csv"
    return Identifiers.read(read_table(ROOT / file, file))


def late_files(source: str, own: Sequence[Received]) -> list[Finding]:
    """Files of a source that came after one with a later extract time; `own` are in the order of extraction.

    Which version stands follows the extract time. A new version under the same name that says it is older is asked
    about, since sender and file contradict each other.
    """
    found = []
    when = clock(own)
    for entry in own:
        earlier = [one for one in own if one.number < entry.number]
        newer = [one for one in earlier if when(one.extracted_at) > when(entry.extracted_at)]
        if not entry.extracted_at or not newer:
            continue
        place = (RawPlace(entry.file, (), entry.sha256),)
        if any(one.file == entry.file for one in newer):
            found.append(
                Finding(
                    "extract_time_backwards",
                    Severity.ANSWER,
                    source,
                    "",
                    f"{entry.file} came again with other content and an earlier extract time; the later extract stands",
                    "Ask the sender which version is right, and have it sent with its own extract time",
                    place,
                    entry.sha256,
                )
            )
        else:
            found.append(
                Finding(
                    "late_file",
                    Severity.INFORMATION,
                    source,
                    "",
                    f"{entry.file} came after {newer[-1].file}, which was extracted later; "
                    "which rows stand follows the extract time",
                    "Nothing, unless the sender expected the late file to stand",
                    place,
                    entry.sha256,
                )
            )
    return found


def disappeared(source: Source, files: Sequence[RawFile], earlier: Sequence[SeenBefore]) -> list[Finding]:
    """Rows and subjects that earlier full files of a source have and the files that stand lack.

    All earlier files count, so that a loss does not close itself with the next delivery that repeats it.
    """
    found = []
    last = files[-1]
    place = (RawPlace(last.name, (), last.sha256),)
    rows = sum(file.extract.rows - _replaced(file.extract) for file in files)
    most = max((one.entry.rows for one in earlier), default=0)
    if most and rows < most * (1 - source.rows_may_drop):
        found.append(
            Finding(
                "rows_dropped",
                Severity.CRITICAL,
                source.source,
                "",
                f"{last.name} holds {rows} rows, an earlier full delivery held {most}; "
                f"a drop of {source.rows_may_drop:.0%} is allowed",
                "Ask the sender whether the extract is whole; send it again, or waive this with the sender's reason",
                place,
                last.sha256,
            )
        )
    if source.subject is None:
        return found
    here = {one for file in files for one in text.used_texts(file.extract.frame[source.subject])}
    seen: set[str] = set()
    places = []
    for one in reversed(earlier):
        if one.subjects is None:
            continue
        subjects = parquet.frame_of(one.subjects)["subject"]
        gone = set(text.used_texts(subjects)) - here - seen
        if gone:
            seen |= gone
            lines = one.subjects["line"].to_numpy()[subjects.isin(gone).to_numpy()]
            places.append(RawPlace(one.entry.file, tuple(int(line) for line in np.sort(lines)), one.entry.sha256))
    if seen:
        found.append(
            Finding(
                "subject_disappeared",
                Severity.CRITICAL,
                source.source,
                source.subject,
                f"{len(seen)} subject(s) of earlier full deliveries, last seen in the lines named, have no row in "
                f"{last.name}",
                "Ask the sender for the whole extract, or waive this with the sender's reason",
                tuple(places),
            )
        )
    return found


def _replaced(extract: Extract) -> int:
    """Rows of an extract that its reader knows to stand no more."""
    return sum(len(one.rows) for one in extract.settled if one.outcome in {"superseded", "excluded"})


def _subjects(subject: str, extract: Extract) -> pa.Table:
    """The subject and the line of each row of an extract."""
    return pa.table({"subject": text.to_arrow(extract.frame[subject]), "line": pa.array(extract.lines)})


def _reading(source: Source) -> str:
    """What names the way a source's files are read: its contract and the readers."""
    readers = content_hash(ROOT, ("transforms/sources",), (".py",))
    return hashlib.sha256(f"{readers}{source.model_dump_json()}".encode()).hexdigest()[:16]


def _read(
    study: Study,
    store: RawStore,
    used: Mapping[str, Sequence[Received]],
    extracts: Mapping[tuple[str, str], Extract],
) -> dict[tuple[str, str], Extract]:
    """The extract of every file in use, by source and sha256; a file that feeds several sources is read once."""
    read = dict(extracts)
    waiting: dict[tuple[str, str], list[Source]] = {}
    for name, entries in used.items():
        for entry in entries:
            if (name, entry.sha256) not in read:
                carrier = study.sources[name].carrier_of(entry.file)
                waiting.setdefault((entry.sha256, entry.file), []).append(carrier)
    for (sha256, file), sources in waiting.items():
        found, _ = read_extracts(study, sources, store.path(sha256), file)
        read.update({(name, sha256): extract for name, extract in found.items()})
    return read


def _in_order(source: Source, files: Sequence[RawFile], told: set[str]) -> list[RawFile]:
    """The files of a source as staging takes them: transactions are applied, in their order.

    `told` are files of which another source has said how they follow each other; these are added.
    """
    odm = [file.extract for file in files if isinstance(file.extract, OdmExtract)]
    if source.delivery == "full" or not isinstance(source, OdmSource):
        return list(files)
    known = [at for at, file in enumerate(files) if file.sha256 in told]
    told.update(file.sha256 for file in files)
    return [replace(files[at], extract=extract) for at, extract in apply_transactions(source, odm, known)]


def unmatched_removals(files: Mapping[str, Sequence[RawFile]]) -> list[Finding]:
    """What removes a subject, event or form of which no source has a row, once for each file."""
    lines: dict[str, frozenset[int]] = {}
    of_first: dict[str, tuple[str, RawFile]] = {}
    for name, own in files.items():
        for file in own:
            if isinstance(file.extract, OdmExtract) and file.extract.partial:
                of_first.setdefault(file.sha256, (name, file))
                lines[file.sha256] = lines.get(file.sha256, file.extract.unmatched) & file.extract.unmatched
    return [
        Finding(
            "transaction_conflict",
            Severity.ANSWER,
            source,
            "",
            "a transaction removes a subject, event or form of which no row is there",
            "Ask the sender whether a file is missing or was sent twice",
            (RawPlace(file.name, tuple(sorted(lines[sha256])), sha256),),
            "removes what is not there",
        )
        for sha256, (source, file) in of_first.items()
        if lines[sha256]
    ]
