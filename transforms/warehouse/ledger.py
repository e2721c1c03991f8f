"""The life of findings: opened, answered, waived, closed and reopened, worked out from the logs alone.

Pure functions of the publications, the findings of their snapshots and the decisions: the same logs give the same
ledger, whoever works it out and whenever. Dates are cut-offs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from transforms.warehouse.decisions import Decision
from transforms.warehouse.publications import Publication

OPEN, ANSWERED, WAIVED, CLOSED = "open", "answered", "waived", "closed"
SAID = {"answer": ANSWERED, "waive": WAIVED}


@dataclass(frozen=True)
class Event:
    """One event in the life of a finding. `publication` is None for a decision that is not published yet."""

    number: int
    finding_id: str
    event: str
    publication: int | None
    snapshot_id: str | None
    cut_off: str | None
    decision: int | None


@dataclass(frozen=True)
class Life:
    """Where a finding stands: its status, the cut-offs at which it was opened and closed, how often it came back.

    `n_records` is how many raw lines it had when it was last answered or waived.
    """

    status: str
    opened: str
    closed: str | None = None
    reopened: int = 0
    decision: int | None = None
    n_records: int | None = None


class Ledger:
    """The ledger as it grows, publication by publication: `history` holds all events, `lives` where each stands."""

    def __init__(self) -> None:
        self.history: list[Event] = []
        self.lives: dict[str, Life] = {}
        self.covered = 0

    def publish(self, publication: Publication, present: Mapping[str, int], decisions: Sequence[Decision]) -> None:
        """One publication: the findings of its snapshot with their raw lines, and all decisions of the log.

        A finding opens, or reopens if it was closed. One that is not there any more is closed. An answer or a
        waiver holds until the finding closes, or until it has more records than when it was given.
        """
        said = decisions[self.covered : max(self.covered, publication.decisions)]
        self.covered = max(self.covered, publication.decisions)
        for one in said:
            self.say(one, publication)
        for finding_id, size in present.items():
            life = self.lives.get(finding_id)
            if life is None:
                self._add(finding_id, "opened", publication)
            elif life.status == CLOSED or (life.n_records is not None and size > life.n_records):
                self._add(finding_id, "reopened", publication)
        releases = {one.target["finding_id"]: one for one in said if one.act == "release"}
        for finding_id, life in list(self.lives.items()):
            if life.status != CLOSED and finding_id not in present:
                self._add(finding_id, CLOSED, publication, releases.get(finding_id))

    def say(self, decision: Decision, publication: Publication | None = None) -> None:
        """An answer or a waiver about a finding that is not closed; before it is published it has no publication."""
        finding_id = str(decision.target.get("finding_id"))
        life = self.lives.get(finding_id)
        if decision.act in SAID and life is not None and life.status != CLOSED:
            self._add(finding_id, SAID[decision.act], publication, decision)

    def _add(
        self, finding_id: str, event: str, publication: Publication | None, decision: Decision | None = None
    ) -> None:
        by = decision.number if decision is not None else None
        number, snapshot_id, cut_off = None, None, None
        if publication is not None:
            number, snapshot_id, cut_off = publication.number, publication.snapshot_id, publication.cut_off
        self.history.append(Event(len(self.history), finding_id, event, number, snapshot_id, cut_off, by))
        life = self.lives.get(finding_id)
        if life is None:
            self.lives[finding_id] = Life(OPEN, cut_off or "")
        elif event == "reopened":
            self.lives[finding_id] = Life(OPEN, life.opened, None, life.reopened + 1)
        elif event == CLOSED:
            self.lives[finding_id] = Life(CLOSED, life.opened, cut_off, life.reopened, by)
        else:
            size = decision.target["n_records"] if decision is not None else None
            self.lives[finding_id] = Life(event, life.opened, None, life.reopened, by, size)


def ledger(
    publications: Sequence[Publication],
    findings_of: Callable[[str], pa.Table],
    decisions: Sequence[Decision],
) -> Ledger:
    """The ledger of a study from its logs; `findings_of` gives the findings of a snapshot."""
    result = Ledger()
    for one in publications:
        table = findings_of(one.snapshot_id)
        present = dict(zip(table["finding_id"].to_pylist(), table["n_records"].to_pylist(), strict=True))
        result.publish(one, present, decisions)
    return result
