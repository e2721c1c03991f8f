"""The log of publications, beside the raw store: which snapshot was current, in which order, made of what.

raw/<study>/publications.jsonl: one line per publication, append-only. It holds no clock: the ledger of findings is
worked out from it, from the raw store and from the decisions, and gives the same dates every time.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from transforms.errors import UsageError
from transforms.warehouse.decisions import START, Decision


@dataclass(frozen=True)
class Publication:
    """One publication: the snapshot, its cut-off and placement, and how much of the other logs it covers.

    `deliveries` and `decisions` count lines; `decisions_hash` is the hash of the last decision covered.
    """

    number: int
    snapshot_id: str
    cut_off: str
    as_of: str | None
    placement: str
    deliveries: int
    decisions: int
    decisions_hash: str


class PublicationLog:
    """The publications of one study."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "publications.jsonl"

    def entries(self) -> tuple[Publication, ...]:
        """All publications in order; a last line cut off by a crash is not counted."""
        if not self.path.exists():
            return ()
        lines = self.path.read_text(encoding="utf-8").split("\n")[:-1]
        return tuple(Publication(**json.loads(line)) for line in lines)

    def append(self, entry: Publication) -> None:
        """Record a publication, flushed to disk."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a+b") as stream:
            stream.seek(0)
            content = stream.read()
            if content and not content.endswith(b"\n"):
                stream.truncate(content.rfind(b"\n") + 1)
            stream.write((json.dumps(asdict(entry), ensure_ascii=False, sort_keys=True) + "\n").encode())
            stream.flush()
            os.fsync(stream.fileno())


def named_snapshot(wanted: str, publications: Sequence[Publication], listed: Sequence[str], study: str) -> str:
    """The snapshot that a person names: an id, the beginning of one, `current`, or `previous`.

    `previous` is the one that was current before the current one. Raises UsageError where it names none or several.
    """
    published = list(dict.fromkeys(one.snapshot_id for one in reversed(publications)))
    words = dict(zip(("current", "previous"), published, strict=False))
    found = [words[wanted]] if wanted in words else [one for one in listed if wanted and one.startswith(wanted)]
    if len(found) == 1 and found[0] in listed:
        return found[0]
    what = f"has {len(found)} snapshots that begin with {wanted!r}" if len(found) > 1 else f"has no snapshot {wanted!r}"
    raise UsageError(f"{study} {what}. See ./cairn snapshots {study}; a pruned one holds no data any more")


def anchored(publication: Publication | None, decisions: tuple[Decision, ...]) -> bool:
    """True if the decisions still hold what the publication saw: a tail cut off since then is found here."""
    if publication is None or publication.decisions == 0:
        return True
    if len(decisions) < publication.decisions:
        return False
    return decisions[publication.decisions - 1].hash == publication.decisions_hash


def anchor(decisions: tuple[Decision, ...]) -> str:
    """The hash to anchor: that of the last decision."""
    return decisions[-1].hash if decisions else START
