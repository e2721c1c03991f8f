"""Mapping by subjects: a study's rows in buckets of subjects, mapped apart, and their records joined.

What a subject's records say depends on the rows of that subject alone, so buckets can be mapped in any order and in
processes of their own. Datasets for which that does not hold are made after the join, from all records. The joined
records are those that mapping all rows at once makes, in the same order; only record ids differ, which no snapshot
holds.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from transforms.algorithms.base import Link
from transforms.core import text
from transforms.findings import Finding, RawPlace, joined_places
from transforms.sdtm.records import Joined, Origin, Records, StagedSource
from transforms.study import Study, graph

NO_ROWS = np.empty(0, dtype=np.int64)


@dataclass(frozen=True)
class Told:
    """A finding, and the step of the mapping that told it: the same step is the same in every bucket."""

    step: tuple[int, ...]
    finding: Finding


@dataclass(frozen=True)
class Bucket:
    """What one bucket gives: records of the datasets that can be mapped apart, findings, and the rows it is of.

    `rows` are, by source, the positions of the bucket's rows among all of the source. What a record reads of its
    source stays with the source: origins and joined rows come without files and lines.
    """

    records: Mapping[str, Records]
    told: Sequence[Told]
    rows: Mapping[str, np.ndarray]


def bucket_rows(source: StagedSource, number: int, count: int) -> np.ndarray:
    """The positions of a source's rows that belong to bucket `number` of `count` (from 0), by a hash of the subject.

    Rows without subject belong to the first bucket.
    """
    texts = text.texts_of(source.subjects)
    table = np.array([*(zlib.crc32(one.encode()) % count for one in texts), 0], dtype=np.int64)
    return np.flatnonzero(table[source.subjects.array.codes] == number)


def of_rows(source: StagedSource, rows: np.ndarray) -> StagedSource:
    """Some rows of a source; texts that do not occur in them are dropped, so that they cost nothing."""
    frame = {name: _of_rows(source.frame[name], rows) for name in source.frame.columns}
    return StagedSource(
        pd.DataFrame(frame, index=pd.RangeIndex(len(rows))),
        _of_rows(source.subjects, rows),
        source.files,
        source.hashes,
        source.file_codes[rows],
        source.lines[rows],
    )


def _of_rows(values: pd.Series, rows: np.ndarray) -> pd.Series:
    if not isinstance(values.dtype, pd.CategoricalDtype):
        return values.iloc[rows].reset_index(drop=True)
    codes = values.array.codes[rows]
    used = np.unique(codes[codes >= 0])
    table = np.full(len(values.cat.categories) + 1, -1, dtype=np.int32)
    table[used] = np.arange(len(used))
    return pd.Series(pd.Categorical.from_codes(table[codes], categories=values.cat.categories[used]))


def apart(study: Study) -> tuple[frozenset[str], frozenset[str]]:
    """The datasets that can be mapped by subjects, and those that read no subject at all and are the same anywhere.

    All others are made after the join: those of which an algorithm looks across subjects, relations of records,
    records of sources without subjects, keys without the subject, and whatever reads one of these.
    """
    reads: dict[str, set[str]] = {name: set() for name in study.datasets}
    for (name, _), needs in graph.dependencies(study).items():
        reads[name] |= {other for other, _ in needs if other != name}
    whole = {name for name in study.datasets if not _by_subject(study, name)}
    free = {name for name in whole if not graph.has_subjects(study.datasets[name])}
    while grown := {name for name in free if not reads[name] <= free}:
        free -= grown
    while grown := {name for name in study.datasets if name not in whole and reads[name] & (whole - free)}:
        whole |= grown
    return frozenset(study.datasets) - whole, frozenset(free)


def _by_subject(study: Study, name: str) -> bool:
    dataset = study.datasets[name]
    if dataset.relations or not graph.has_subjects(dataset) or "USUBJID" not in dataset.keys:
        return False
    for group in dataset.records:
        if group.table is not None:
            return False
        if any(study.sources[one].subject is None for one in (group.source or "", *group.other_sources)):
            return False
    written = [variable for places in graph.definitions(dataset).values() for _, variable in places]
    return not any(variable.algorithm.across_subjects for variable in written)


def sent(records: Mapping[str, Records], told: Sequence[Told], rows: Mapping[str, np.ndarray]) -> Bucket:
    """A bucket without what the whole sources hold anyway."""
    light = {}
    for name, one in records.items():
        origins = [
            origin if origin.specification else replace(origin, file_codes=NO_ROWS, lines=NO_ROWS)
            for origin in one.origins
        ]
        joins = {
            other: replace(join, frame=pd.DataFrame(), file_codes=NO_ROWS, lines=NO_ROWS)
            for other, join in one.joined.items()
        }
        light[name] = replace(one, rows=pd.DataFrame(), origins=origins, joined=joins, subject_rows=None)
    own = [one for one in told if one.finding.dataset in records]
    return Bucket(light, own, rows)


def merged(told: Sequence[Told]) -> list[Finding]:
    """Findings in the order of the steps; what several buckets, or several steps of the same rows, say is one.

    Such a finding names all the variables: a term that a table lacks is said once, whatever is looked up by it.
    """
    found: dict[tuple[tuple[int, ...], Finding], list[RawPlace]] = {}
    for one in told:
        found.setdefault((one.step, replace(one.finding, places=())), []).extend(one.finding.places)
    ordered = sorted(found, key=lambda key: (key[0], key[1].message, key[1].remedy))
    variables: dict[Finding, dict[str, None]] = {}
    for key in ordered:
        same = replace(key[1], places=joined_places(found[key]), variable="")
        variables.setdefault(same, {})[key[1].variable] = None
    return [replace(one, variable=", ".join(names)) for one, names in variables.items()]


def joined_records(staged: Mapping[str, StagedSource], buckets: Sequence[Bucket]) -> dict[str, Records]:
    """The records of all buckets by dataset, in the order in which all rows at once would have given them."""
    result: dict[str, Records] = {}
    ids: list[dict[str, np.ndarray]] = [{} for _ in buckets]
    names = sorted(buckets[0].records, key=lambda name: (name != "DM", name))
    orders = {}
    for name in names:
        parts = [bucket.records[name] for bucket in buckets]
        records = _stacked(staged, parts, [bucket.rows for bucket in buckets])
        if all(origin.specification for origin in records.origins):
            order = _by_owner(records, result["DM"])
        else:
            order = np.lexsort((records.positions, records.entries, records.origin_codes))
        place = np.empty(len(order), dtype=np.int64)
        place[order] = np.arange(len(order))
        start = 0
        for part, own in zip(parts, ids, strict=True):
            local = part.frame.index.to_numpy()
            own[name] = np.full(int(local.max(initial=-1)) + 2, -1, dtype=np.int64)
            own[name][local] = place[start : start + len(local)]
            start += len(local)
        orders[name] = order
        result[name] = _in_order(records, order)
    for name in names:
        made = [bucket.records[name].links for bucket in buckets]
        sizes = [len(bucket.records[name].frame) for bucket in buckets]
        result[name].links = _links(made, ids, sizes, orders[name])
    return result


def _stacked(
    staged: Mapping[str, StagedSource], parts: Sequence[Records], rows: Sequence[Mapping[str, np.ndarray]]
) -> Records:
    """The records of one dataset, bucket after bucket, with positions among all rows of their sources."""
    first = parts[0]
    positions = [part.positions.copy() for part in parts]
    origins: list[Origin] = []
    for code, origin in enumerate(first.origins):
        if origin.specification:
            start = 0
            for part, own in zip(parts, positions, strict=True):
                own[part.origin_codes == code] += start
                start += len(part.origins[code].lines)
            each = [part.origins[code] for part in parts]
            codes, lines = (np.concatenate([getattr(one, name) for one in each]) for name in ("file_codes", "lines"))
            origins.append(replace(origin, file_codes=codes, lines=lines))
            continue
        source = staged[origin.name]
        origins.append(replace(origin, file_codes=source.file_codes, lines=source.lines))
        for part, own, taken in zip(parts, positions, rows, strict=True):
            here = part.origin_codes == code
            own[here] = taken[origin.name][own[here]]
    frame = {name: _column([part.frame[name] for part in parts]) for name in first.frame.columns}
    size = sum(len(part.frame) for part in parts)
    result = Records(
        first.dataset,
        pd.DataFrame(frame, index=pd.RangeIndex(size)),
        origins,
        np.concatenate([part.origin_codes for part in parts]),
        np.concatenate(positions),
        entries=np.concatenate([part.entries for part in parts]),
        held=np.zeros(size, dtype=bool),
    )
    for number, (name, _) in enumerate(first.no_record):
        rules: dict[str, list[np.ndarray]] = {}
        for part, taken in zip(parts, rows, strict=True):
            for rule, without in part.no_record[number][1].items():
                rules.setdefault(rule, []).append(taken[name][without])
        result.no_record.append((name, {rule: np.concatenate(found) for rule, found in rules.items()}))
    for part, taken in zip(parts, rows, strict=True):
        for name, held in part.held_rules.items():
            for rule, chunks in held.items():
                own_rows = taken.get(name)
                kept = chunks if own_rows is None else [own_rows[one] for one in chunks]
                result.held_rules.setdefault(name, {}).setdefault(rule, []).extend(kept)
    for name, join in first.joined.items():
        source = staged[name]
        found = [np.append(taken[name], -1)[part.joined[name].rows] for part, taken in zip(parts, rows, strict=True)]
        result.joined[name] = Joined(
            source.frame, join.files, join.hashes, source.file_codes, source.lines, np.concatenate(found)
        )
    return result


def _column(parts: Sequence[pd.Series]) -> pd.Series:
    """A variable, bucket after bucket. One that is nowhere filled in a bucket has no type of its own there."""
    texts = [isinstance(part.dtype, pd.CategoricalDtype) for part in parts]
    if all(texts):
        return text.concat(parts)
    return pd.Series(
        np.concatenate(
            [
                np.full(len(part), np.nan) if is_text and part.isna().all() else part.to_numpy()
                for part, is_text in zip(parts, texts, strict=True)
            ]
        )
    )


def _by_owner(records: Records, dm: Records) -> np.ndarray:
    """The order of records made subject by subject, in the order of DM."""
    place = {subject: row for row, subject in enumerate(dm.frame["USUBJID"].astype(object))}
    return np.argsort([place[one] for one in records.frame["USUBJID"].astype(object)], kind="stable").astype(np.int64)


def _in_order(records: Records, order: np.ndarray) -> Records:
    return replace(
        records,
        frame=records.frame.iloc[order].reset_index(drop=True),
        origin_codes=records.origin_codes[order],
        positions=records.positions[order],
        entries=records.entries[order],
        joined={name: replace(one, rows=one.rows[order]) for name, one in records.joined.items()},
    )


def _links(
    parts: Sequence[Mapping[str, Sequence[Link]]],
    ids: Sequence[Mapping[str, np.ndarray]],
    sizes: Sequence[int],
    order: np.ndarray,
) -> dict[str, list[Link]]:
    """The links of one dataset's values, to the ids that records have after the join.

    A bucket lacks a link that none of its records has; links to one variable keep the order they have in a bucket.
    """
    result: dict[str, list[Link]] = {}
    for variable in dict.fromkeys(name for part in parts for name in part):
        keyed: list[dict[tuple[str, str, int], np.ndarray]] = []
        for part, own in zip(parts, ids, strict=True):
            found: dict[tuple[str, str, int], np.ndarray] = {}
            for link in part.get(variable, ()):
                again = sum(key[:2] == (link.dataset, link.variable or "") for key in found)
                known = own.get(link.dataset)
                found[(link.dataset, link.variable or "", again)] = (
                    link.records if known is None else known[np.where(link.records >= 0, link.records, -1)]
                )
            keyed.append(found)
        for key in _agreed([list(one) for one in keyed]):
            records = [one.get(key, np.full(size, -1, dtype=np.int64)) for one, size in zip(keyed, sizes, strict=True)]
            result.setdefault(variable, []).append(Link(key[0], np.concatenate(records)[order], key[1] or None))
    return result


def _agreed(lists: Sequence[list[tuple[str, str, int]]]) -> list[tuple[str, str, int]]:
    """All keys, in an order that each list agrees with."""
    longest = max(lists, key=len)
    keys = {key for one in lists for key in one}
    return longest if keys == set(longest) else sorted(keys)
