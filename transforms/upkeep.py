"""Looking after what was published: pruning snapshots, and making the ledger in the database anew from the logs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING

from transforms import pipeline
from transforms.errors import CairnError, UsageError
from transforms.pipeline import Home, Opening
from transforms.study import Study
from transforms.warehouse.decisions import locked
from transforms.warehouse.publications import Publication
from transforms.warehouse.snapshots import identify

if TYPE_CHECKING:
    from transforms.warehouse.postgres import Database


def prunable(where: Home, keep: int, pinned: Iterable[str]) -> list[str]:
    """The snapshots that may be deleted: not the current one, none locked or pinned, none of the last `keep`."""
    if keep < 1:
        raise UsageError("--keep is at least 1: the current snapshot always stays")
    published = list(dict.fromkeys(one.snapshot_id for one in reversed(where.publications.entries())))
    stays = {*published[:keep], *locked(where.decisions.entries()), *pinned, where.snapshots.current_id()}
    return [one for one in where.snapshots.listed() if one not in stays]


def prune(where: Home, database: Database, keep: int) -> list[str]:
    """Delete the data of old snapshots, in the database and in the files; returns their ids.

    Their manifests, findings and row accounts stay, and so does everything they were made of.
    """
    with where.snapshots.lock():
        going = prunable(where, keep, database.pins(where.study))
        for snapshot_id in going:
            database.drop_snapshot(where.study, snapshot_id)
            where.snapshots.prune(snapshot_id)
    return going


def rebuild(study: Study, where: Home, database: Database) -> None:
    """Make the tables of `ops` anew from raw store and logs, and load what the database lost.

    A snapshot whose files are gone is built again first. Raises CairnError when it was made by other code or
    another specification, so that it cannot be.
    """
    with where.snapshots.lock():
        publications = where.publications.entries()
        if not publications:
            raise UsageError(f"{study.name} was never published: there is nothing to rebuild")
        for one in publications:
            if not where.snapshots.summary(one.snapshot_id).is_dir():
                build_again(study, where, one)
        last = publications[-1]
        if not where.snapshots.exists(last.snapshot_id):
            build_again(study, where, last)
        where.snapshots.publish(last.snapshot_id)
        database.load(study.name, last.snapshot_id, pipeline.tables_of(study, where.snapshots.path(last.snapshot_id)))
        database.publish(study.name, last.number, last.snapshot_id, pipeline.ops_of(where, [last.snapshot_id]))
        database.rebuild_ops(study.name, pipeline.ops_of(where))


def build_again(study: Study, where: Home, publication: Publication) -> None:
    """Build the snapshot of an old publication from what the logs held then."""
    placed = Study.load(study.folder, placement=publication.placement)
    received = [one for one in where.raw.received()[: publication.deliveries] if one.accepted]
    decisions = where.decisions.entries()[: publication.decisions]
    identity = pipeline.inputs_of(placed, publication.cut_off, received, decisions)
    if identify(identity) != publication.snapshot_id:
        raise CairnError(
            f"{study.name}: snapshot {publication.snapshot_id} is gone and cannot be built again, because the code "
            "or the study's specification has changed since. Check out what made it, and rebuild there"
        )
    opening = Opening(
        publication.snapshot_id,
        identity,
        publication.cut_off,
        publication.as_of,
        publication.placement,
        publication.deliveries,
        publication.decisions,
        publication.decisions_hash,
    )
    building = where.building("rebuild")
    building.begin(asdict(opening))
    pipeline.build(placed, where, building)
    building.published()
